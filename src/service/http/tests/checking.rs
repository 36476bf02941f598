//! Protected paths and password checks.

use super::*;

/// A user: alice, whose password is apple.
pub(super) fn alice() -> Users {
    Users::fixed("alice:$2y$04$MLhQcSVSXWZEBa76VTowc.Dn8tyrxSjlY.gu8AkQrojRxxZtcQUQW").unwrap()
}

/// The only user is alice, whose password is apple. `/private/` has a small and a large file.
fn protected(prefix: &str) -> Bench {
    let bench = Bench::with_host(|host| {
        host.guard.borrow_mut().protect(prefix, alice()).unwrap();
    });
    bench.files.directory("private");
    testing::old_file(&bench.files, "private/index.html", "<p>private");
    testing::old_file(&bench.files, "private/large.bin", &"0123456789abcdef".repeat(1024));
    bench
}

/// alice:apple and alice:pear.
pub(super) const RIGHT: &str = "Authorization: Basic YWxpY2U6YXBwbGU=\r\n";
const WRONG: &str = "Authorization: Basic YWxpY2U6cGVhcg==\r\n";

fn get_with(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
}

#[test]
fn a_protected_path_needs_a_password_which_is_checked_once_in_a_while() {
    let mut bench = protected("/private");
    let (response, want) = bench.exchange(get("/private/"));
    assert_eq!((statuses(&response), want.finish), (vec![401], Finish::No));
    assert!(response.contains("WWW-Authenticate: Basic realm=\"/private/\", charset=\"UTF-8\"\r\n"), "{response}");
    assert!(response.contains("Cache-Control: no-store\r\n"));

    for (lines, status) in [(WRONG, 401), (RIGHT, 200)] {
        let want = bench.send(get_with("/private/", lines));
        assert_eq!(want, Want::NOTHING.by(Tick::default().after(limits::JOB_TIMEOUT)));
        assert_eq!((bench.phase(), bench.responses()), ("Waiting", String::new()));
        bench.run_jobs();
        let response = bench.responses();
        assert_eq!(statuses(&response), [status]);
        assert_eq!(response.contains("WWW-Authenticate"), status == 401);
    }
    // From now on no check is needed.
    let (responses, _) = bench.exchange(get_with("/private/", RIGHT) + &get_with("/private/", RIGHT));
    assert_eq!(statuses(&responses), [200, 200]);
    bench.now = bench.now.after(Duration::from_secs(limits::VERIFIED_FOR));
    bench.send(get_with("/private/", RIGHT));
    assert_eq!(bench.phase(), "Waiting");
}

#[test]
fn no_spelling_of_a_path_avoids_the_protection() {
    let mut bench = protected("/private");
    for path in [
        "/private",
        "/private/",
        "//private/",
        "/./private/",
        "/private//",
        "/private/./",
        "/%70rivate/",
        "/p%72ivate/index.html",
        "/private/%2e/index.html",
        "/private/nothing",
        "/private?x",
        "/private/?x",
        "http://x/private/",
        "http://x//%70rivate",
    ] {
        assert_eq!(statuses(&bench.exchange(get(path)).0), [401], "{path}");
    }
    for path in ["/privat", "/privates/", "/lab/private/", "/%2570rivate/", "/Private/"] {
        assert_eq!(statuses(&bench.exchange(get(path)).0), [404], "{path}");
    }
    for path in ["/private%2findex.html", "/x/../private/", "/private\\index.html", "/%70rivate/%2e%2e/private/"] {
        assert_eq!(statuses(&bench.exchange(get(path)).0), [400], "{path}");
    }
    for method in ["HEAD", "POST", "OPTIONS", "DELETE", "BREW"] {
        let (response, _) = bench.exchange(format!("{method} /private/ HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(statuses(&response), [401], "{method}");
    }
}

#[test]
fn protected_applications_get_the_body() {
    let mut bench = protected("/lab/echo");
    let post = |lines: &str| format!("POST /lab/echo HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: 4\r\n\r\nping");
    bench.send(post(RIGHT) + &get("/"));
    assert_eq!(bench.phase(), "Waiting");
    bench.run_jobs();
    let responses = bench.responses();
    assert_eq!(statuses(&responses), [200, 200]);
    assert!(responses.contains("\r\n\r\npingHTTP/1.1"), "{responses}");
    assert!(responses.contains("Cache-Control: no-store\r\n") && !responses.contains("private"), "{responses}");
    // Without a password the body is read only up to the limit, and 100 is not sent.
    assert_eq!(statuses(&bench.exchange(post("") + &get("/")).0), [401, 200]);
    let (response, want) = bench.exchange("POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n");
    assert_eq!((statuses(&response), want.finish), (vec![401], Finish::Linger));
    let mut bench = protected("/lab/echo");
    let (response, _) = bench.exchange(post("Expect: 100-continue\r\n"));
    assert_eq!(statuses(&response)[0], 401);
}

#[test]
fn protected_responses_are_not_for_shared_caches() {
    let mut bench = protected("/");
    bench.send(get_with("/private/", RIGHT));
    bench.run_jobs();
    let response = bench.responses();
    assert!(
        response.contains("Cache-Control: private, no-cache\r\n") && response.ends_with("<p>private"),
        "{response}"
    );
    for (path, lines, status) in [
        ("/private/", "If-None-Match: *\r\n", 304),
        ("/private/", "Range: bytes=0-1\r\n", 206),
        ("/private", "", 301),
        ("/lab/hello", "", 200),
        ("/lab/stream?chunks=1&ms=0", "", 200),
    ] {
        let (response, _) = bench.exchange(get_with(path, &format!("{RIGHT}{lines}")));
        assert_eq!(statuses(&response), [status], "{path}");
        let line = response.lines().find(|line| line.starts_with("Cache-Control")).expect(path);
        assert!(line.contains("private") || line.contains("no-store"), "{path}: {line}");
    }
    bench.send(get_with("/private/large.bin", RIGHT) + &get_with("/", RIGHT));
    let head = bench.responses();
    assert!(head.contains("Cache-Control: private, no-cache\r\n") && head.ends_with("\r\n\r\n<0-16384>"), "{head}");
    bench.settle();
    assert_eq!(statuses(&bench.responses()), [200]);
    // Other paths are not affected.
    let mut bench = protected("/private");
    assert!(bench.exchange(get("/")).0.contains("Cache-Control: no-cache\r\n"));
}

#[test]
fn a_check_that_takes_too_long_is_a_503_and_its_result_is_dropped() {
    let mut bench = protected("/private");
    bench.send(get_with("/private/", RIGHT));
    let jobs = bench.context.run_jobs();
    bench.pass(limits::JOB_TIMEOUT);
    assert_eq!(statuses(&bench.responses()), [503]);
    bench.send(get_with("/private/", WRONG));
    jobs.into_iter().for_each(|(job, result)| bench.http.job_ended(job, result));
    bench.settle();
    assert_eq!((bench.phase(), bench.responses()), ("Waiting", String::new()));
    bench.run_jobs();
    assert_eq!(statuses(&bench.responses()), [401]);
}

#[test]
fn repeated_wrong_passwords_get_429() {
    let mut bench = protected("/private");
    let guess = |number: u32| {
        let encoded = STANDARD.encode(format!("alice:{number}"));
        get_with("/private/", &format!("Authorization: Basic {encoded}\r\n"))
    };
    for number in 0..10 {
        bench.send(guess(number));
        bench.run_jobs();
        assert_eq!(statuses(&bench.responses()), [401]);
    }
    let (response, _) = bench.exchange(guess(10));
    assert_eq!(statuses(&response), [429]);
    assert!(response.contains("Retry-After: 6\r\n"), "{response}");
    assert_eq!(statuses(&bench.exchange(get("/")).0), [200]);
}
