//! Checking: what is under protection.

use super::*;

/// A user: alice, whose password is apple.
pub(super) fn alice() -> Users {
    Users::fixed("alice:$2y$04$MLhQcSVSXWZEBa76VTowc.Dn8tyrxSjlY.gu8AkQrojRxxZtcQUQW").unwrap()
}

/// Alice's password is apple; `/private/` has a small file, and a large one.
fn protected(prefix: &str) -> Bench {
    let bench = Bench::with_host(|host| {
        host.guard.borrow_mut().protect(prefix, Some(alice())).unwrap();
    });
    bench.files.directory("private");
    testing::old_file(&bench.files, "private/index.html", "<p>private");
    testing::old_file(&bench.files, "private/large.bin", &"0123456789abcdef".repeat(1024));
    bench
}

/// alice:apple and alice:pear.
pub(super) const RIGHT: &str = "Authorization: Basic YWxpY2U6YXBwbGU=\r\n";
const WRONG: &str = "Authorization: Basic YWxpY2U6cGVhcg==\r\n";

fn ask_for(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
}

#[test]
fn what_is_under_protection_needs_the_right_password_once_in_a_while() {
    let mut bench = protected("/private");
    let (answer, want) = bench.ask(get("/private/"));
    assert_eq!((statuses(&answer), want.finish), (vec![401], Finish::No));
    assert!(answer.contains("WWW-Authenticate: Basic realm=\"/private/\", charset=\"UTF-8\"\r\n"), "{answer}");
    assert!(answer.contains("Cache-Control: no-store\r\n"));

    for (lines, status) in [(WRONG, 401), (RIGHT, 200)] {
        let want = bench.send(ask_for("/private/", lines));
        assert_eq!(want, Want::NOTHING.by(Tick::default().after(limits::JOB_TIMEOUT)));
        assert_eq!((bench.phase(), bench.answers()), ("Waiting", String::new()));
        bench.run_jobs();
        let answer = bench.answers();
        assert_eq!(statuses(&answer), [status]);
        assert_eq!(answer.contains("WWW-Authenticate"), status == 401);
    }
    // From now on it costs no check.
    let (answers, _) = bench.ask(ask_for("/private/", RIGHT) + &ask_for("/private/", RIGHT));
    assert_eq!(statuses(&answers), [200, 200]);
    bench.now = bench.now.after(Duration::from_secs(limits::VERIFIED_FOR));
    bench.send(ask_for("/private/", RIGHT));
    assert_eq!(bench.phase(), "Waiting");
}

#[test]
fn no_way_of_writing_a_path_gets_around() {
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
        assert_eq!(statuses(&bench.ask(get(path)).0), [401], "{path}");
    }
    for path in ["/privat", "/privates/", "/lab/private/", "/%2570rivate/", "/Private/"] {
        assert_eq!(statuses(&bench.ask(get(path)).0), [404], "{path}");
    }
    for path in ["/private%2findex.html", "/x/../private/", "/private\\index.html", "/%70rivate/%2e%2e/private/"] {
        assert_eq!(statuses(&bench.ask(get(path)).0), [400], "{path}");
    }
    for method in ["HEAD", "POST", "OPTIONS", "DELETE", "BREW"] {
        let (answer, _) = bench.ask(format!("{method} /private/ HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(statuses(&answer), [401], "{method}");
    }
}

#[test]
fn applications_are_under_protection_too_and_get_the_body() {
    let mut bench = protected("/lab/echo");
    let post = |lines: &str| format!("POST /lab/echo HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: 4\r\n\r\nping");
    bench.send(post(RIGHT) + &get("/"));
    assert_eq!(bench.phase(), "Waiting");
    bench.run_jobs();
    let answers = bench.answers();
    assert_eq!(statuses(&answers), [200, 200]);
    assert!(answers.contains("\r\n\r\npingHTTP/1.1"), "{answers}");
    assert!(answers.contains("Cache-Control: no-store\r\n") && !answers.contains("private"), "{answers}");
    // Nobody's body isn't read for long, nor asked for.
    assert_eq!(statuses(&bench.ask(post("") + &get("/")).0), [401, 200]);
    let (answer, want) = bench.ask("POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n");
    assert_eq!((statuses(&answer), want.finish), (vec![401], Finish::Linger));
    let mut bench = protected("/lab/echo");
    let (answer, _) = bench.ask(post("Expect: 100-continue\r\n"));
    assert_eq!(statuses(&answer)[0], 401);
}

#[test]
fn what_is_under_protection_is_not_for_shared_caches() {
    let mut bench = protected("/");
    bench.send(ask_for("/private/", RIGHT));
    bench.run_jobs();
    let answer = bench.answers();
    assert!(answer.contains("Cache-Control: private, no-cache\r\n") && answer.ends_with("<p>private"), "{answer}");
    for (path, lines, status) in [
        ("/private/", "If-None-Match: *\r\n", 304),
        ("/private/", "Range: bytes=0-1\r\n", 206),
        ("/private", "", 301),
        ("/lab/hello", "", 200),
        ("/lab/stream?chunks=1&ms=0", "", 200),
    ] {
        let (answer, _) = bench.ask(ask_for(path, &format!("{RIGHT}{lines}")));
        assert_eq!(statuses(&answer), [status], "{path}");
        let line = answer.lines().find(|line| line.starts_with("Cache-Control")).expect(path);
        assert!(line.contains("private") || line.contains("no-store"), "{path}: {line}");
    }
    bench.send(ask_for("/private/large.bin", RIGHT) + &ask_for("/", RIGHT));
    let head = bench.answers();
    assert!(head.contains("Cache-Control: private, no-cache\r\n") && head.ends_with("\r\n\r\n<0-16384>"), "{head}");
    bench.settle();
    assert_eq!(statuses(&bench.answers()), [200]);
    // Elsewhere nothing changes.
    let mut bench = protected("/private");
    assert!(bench.ask(get("/")).0.contains("Cache-Control: no-cache\r\n"));
}

#[test]
fn a_check_that_takes_too_long_is_a_503_and_what_comes_of_it_is_for_nobody() {
    let mut bench = protected("/private");
    bench.send(ask_for("/private/", RIGHT));
    let jobs = bench.context.run_jobs();
    bench.pass(limits::JOB_TIMEOUT);
    assert_eq!(statuses(&bench.answers()), [503]);
    bench.send(ask_for("/private/", WRONG));
    jobs.into_iter().for_each(|(job, result)| bench.http.job_ended(job, result));
    bench.settle();
    assert_eq!((bench.phase(), bench.answers()), ("Waiting", String::new()));
    bench.run_jobs();
    assert_eq!(statuses(&bench.answers()), [401]);
}

#[test]
fn who_guesses_is_told_to_wait_and_so_is_who_asks_for_too_much() {
    let mut bench = protected("/private");
    let guess = |number: u32| {
        let encoded = STANDARD.encode(format!("alice:{number}"));
        ask_for("/private/", &format!("Authorization: Basic {encoded}\r\n"))
    };
    for number in 0..10 {
        bench.send(guess(number));
        bench.run_jobs();
        assert_eq!(statuses(&bench.answers()), [401]);
    }
    let (answer, _) = bench.ask(guess(10));
    assert_eq!(statuses(&answer), [429]);
    assert!(answer.contains("Retry-After: 6\r\n"), "{answer}");
    assert_eq!(statuses(&bench.ask(get("/")).0), [200]);
}

#[test]
fn where_nobody_may_pass_nobody_does() {
    let mut bench = Bench::with_host(|host| host.guard.borrow_mut().protect("/private", None).unwrap());
    for lines in ["", RIGHT] {
        assert_eq!(statuses(&bench.ask(ask_for("/private/", lines)).0), [403]);
    }
}
