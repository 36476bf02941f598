//! Sessions with the real binary: over connections, in cookies, across restarts.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use support::{Client, Response, Root, Server, eventually, get, get_with, miod};

const JSON: &str = "Accept: application/json\r\n";

fn site() -> Root {
    let root = Root::new();
    root.old_file("index.html", "<p>index");
    root
}

/// A server of all applications. Later options may choose others.
fn server(arguments: &[&str]) -> Server {
    Server::start_with(site(), &[&["--apps"], arguments].concat())
}

/// The cookie that a response sets: name and value.
fn cookie(response: &Response) -> String {
    assert_eq!(response.count("Set-Cookie"), 1, "{}", response.head);
    response.field("Set-Cookie").unwrap().split(';').next().unwrap().to_owned()
}

/// Requests the counter on this connection. Returns the count and the response.
fn count(client: &mut Client, cookie: &str) -> (u64, Response) {
    let lines = if cookie.is_empty() { JSON.to_owned() } else { format!("{JSON}Cookie: {cookie}\r\n") };
    client.send(get_with("/counter", &lines));
    let response = client.response();
    assert_eq!(response.status, 200);
    let text = response.text();
    let count = text.trim().strip_prefix("{\"count\":").and_then(|rest| rest.strip_suffix('}'));
    (count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{text}")), response)
}

fn post(path: &str, lines: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

#[test]
fn a_session_spans_connections_and_a_connection_serves_many_sessions() {
    for store in ["memory", "cookie"] {
        let key = Root::new();
        let server = server(&["--sessions", store, "--session-key", key.at("key").to_str().unwrap()]);
        let (first, response) = count(&mut server.connect(), "");
        assert_eq!(first, 1);
        let mut mine = cookie(&response);
        for expected in 2..10 {
            let (seen, response) = count(&mut server.connect(), &mine);
            assert_eq!((seen, response.status), (expected, 200));
            if response.count("Set-Cookie") > 0 {
                mine = cookie(&response);
            }
        }
        let mut client = server.connect();
        let mut clients: Vec<String> = (0..20).map(|_| cookie(&count(&mut client, "").1)).collect();
        for expected in 2..4 {
            for own in &mut clients {
                let (seen, response) = count(&mut client, own);
                assert_eq!(seen, expected);
                if response.count("Set-Cookie") > 0 {
                    *own = cookie(&response);
                }
            }
        }
        assert_eq!(count(&mut client, &mine).0, 10);
    }
}

#[test]
fn the_cookie_is_set_once_with_its_attributes() {
    let server = server(&[]);
    let mut client = server.connect();
    let (_, response) = count(&mut client, "");
    let line = response.field("Set-Cookie").unwrap();
    let (id, attributes) = line.strip_prefix("sessionId=").unwrap().split_once("; ").unwrap();
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Path=/");
    let shape: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!((shape, &id[14..15]), (vec![8, 4, 4, 4, 12], "4"), "a UUID of version 4");
    assert!(response.head.contains("Vary: Cookie\r\n"), "{}", response.head);
    assert_eq!(response.field("Cache-Control"), Some("private, no-store"));
    let mine = cookie(&response);
    // A refusal may depend on the session too.
    client.send(get("/counter/nowhere"));
    let refused = client.response();
    assert_eq!((refused.status, refused.field("Vary")), (404, Some("Cookie")));
    assert_eq!(refused.field("Cache-Control"), Some("no-store"));
    for _ in 0..3 {
        assert_eq!(count(&mut client, &mine).1.count("Set-Cookie"), 0);
    }
    let server = self::server(&["--session-cookie", "sid"]);
    assert!(cookie(&count(&mut server.connect(), "").1).starts_with("sid="));
}

#[test]
fn reset_ends_the_session_and_the_next_visit_is_the_first() {
    let server = server(&[]);
    let mut client = server.connect();
    let mine = cookie(&count(&mut client, "").1);
    assert_eq!(count(&mut client, &mine).0, 2);
    client.send(post("/counter/reset", &format!("Cookie: {mine}\r\nContent-Length: 0\r\n")));
    let response = client.response();
    assert_eq!((response.status, response.field("Location")), (303, Some("/counter")));
    let line = response.field("Set-Cookie").unwrap();
    for part in ["sessionId=; ", "Max-Age=0", "Expires=Thu, 01 Jan 1970 00:00:00 GMT", "Path=/"] {
        assert!(line.contains(part), "{line}");
    }
    // A client without the old cookie, and one with it.
    assert_eq!(count(&mut client, "").0, 1);
    let (seen, response) = count(&mut client, &mine);
    assert_eq!(seen, 1);
    assert_ne!(cookie(&response), mine, "an ended session isn't continued");
}

#[test]
fn an_unknown_identifier_is_not_adopted() {
    let server = server(&[]);
    let mut client = server.connect();
    let planted = "sessionId=11111111-1111-4111-8111-111111111111";
    let (seen, response) = count(&mut client, planted);
    assert_eq!(seen, 1);
    assert_ne!(cookie(&response), planted);
    assert_eq!(count(&mut client, planted).0, 1, "the identifier has no session");
}

#[test]
fn files_use_no_session() {
    let server = server(&[]);
    let mut client = server.connect();
    let mine = cookie(&count(&mut client, "").1);
    for lines in [String::new(), format!("Cookie: {mine}\r\n")] {
        for path in ["/", "/index.html", "/nope", "/lab/hello"] {
            client.send(get_with(path, &lines));
            let response = client.response();
            assert_eq!(response.count("Set-Cookie"), 0, "{path}");
            assert!(!response.head.contains("Vary: Cookie"), "{path}");
        }
    }
    assert_eq!(count(&mut client, &mine).0, 2);
}

#[test]
fn cross_site_requests_change_nothing() {
    let server = server(&[]);
    let mut client = server.connect();
    let mine = cookie(&count(&mut client, "").1);
    for lines in ["Origin: http://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        client.send(post("/counter/reset", &format!("Cookie: {mine}\r\n{lines}")));
        assert_eq!(client.response().status, 403, "{lines}");
    }
    assert_eq!(count(&mut client, &mine).0, 2);
    client.send(post("/counter/reset", &format!("Cookie: {mine}\r\nOrigin: http://localhost\r\n")));
    assert_eq!(client.response().status, 303);
    assert_eq!(count(&mut client, &mine).0, 1);
}

#[test]
fn over_tls_to_a_trusted_proxy_the_cookie_is_secure_and_the_origin_is_https() {
    let exchange = |server: &Server, line: &str, lines: &str| {
        server.exchange(format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n"))
    };
    let trusting = server(&["--trusted-proxy", "127.0.0.1"]);
    for tls in ["X-Forwarded-Proto: https\r\n", "Forwarded: for=192.0.2.1;proto=https\r\n"] {
        let response = exchange(&trusting, "GET /counter", tls);
        let line = response.field("Set-Cookie").unwrap();
        assert!(line.starts_with("__Host-sessionId=") && line.contains("; Secure; "), "{line}");
        let mine = cookie(&response);
        // Another server on http can set a cookie with the plain name.
        let plain = mine.replace("__Host-", "");
        for (name, expected) in [(&mine, 2), (&plain, 1)] {
            let response = exchange(&trusting, "GET /counter", &format!("{tls}{JSON}Cookie: {name}\r\n"));
            assert_eq!(response.text(), format!("{{\"count\":{expected}}}\n"));
        }
        for (origin, status) in [("http://a", 403), ("https://b", 403), ("https://a:444", 403), ("https://a", 303)] {
            let lines = format!("{tls}Cookie: {mine}\r\nOrigin: {origin}\r\n");
            assert_eq!(exchange(&trusting, "POST /counter/reset", &lines).status, status, "{origin}");
        }
        for path in ["/quiz?question=1&choice=1", "/lab/cookies/set?a=b"] {
            for (origin, foreign) in [("http://a", true), ("https://a", false)] {
                let response = exchange(&trusting, &format!("GET {path}"), &format!("{tls}Origin: {origin}\r\n"));
                assert_eq!(response.status == 403, foreign, "{path} {origin}");
            }
        }
        assert_eq!(exchange(&trusting, "GET /lab/cookies/set?__Host-sessionId=x&Secure&Path=/", tls).status, 400);
    }
    let strict = server(&["--trusted-proxy", "10.0.0.0/8"]);
    for (server, lines) in [(&trusting, "X-Forwarded-Proto: http\r\n"), (&strict, "X-Forwarded-Proto: https\r\n")] {
        assert!(cookie(&exchange(server, "GET /counter", lines)).starts_with("sessionId="));
        for (origin, status) in [("http://a", 303), ("https://a", 403)] {
            let lines = format!("{lines}Origin: {origin}\r\n");
            assert_eq!(exchange(server, "POST /counter/reset", &lines).status, status, "{origin}");
        }
    }
}

#[test]
fn concurrent_requests_of_one_session_lose_no_visit() {
    let server = server(&[]);
    let mine = cookie(&count(&mut server.connect(), "").1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = server.connect();
                let train = get_with("/counter", &format!("{JSON}Cookie: {mine}\r\n")).repeat(50);
                client.send(train);
                for _ in 0..50 {
                    assert_eq!(client.response().status, 200);
                }
            });
        }
    });
    assert_eq!(count(&mut server.connect(), &mine).0, 202);
}

#[test]
fn sessions_expire_when_idle_or_old() {
    let server = server(&["--session-idle", "3", "--session-max", "3"]);
    let mut client = server.connect();
    let mine = cookie(&count(&mut client, "").1);
    assert_eq!(count(&mut client, &mine).0, 2);
    // A client with regular requests isn't idle, but its session gets old.
    assert!(eventually(|| count(&mut client, &mine).0 == 1), "it never expires");
}

#[test]
fn sessions_in_memory_end_at_exit_and_signed_cookies_do_not() {
    let key = Root::new();
    let file = key.at("state/key");
    let arguments = ["--sessions", "cookie", "--session-key", file.to_str().unwrap()];
    let signed = cookie(&count(&mut server(&arguments).connect(), "").1);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = server(&arguments);
    assert_eq!(count(&mut again.connect(), &signed).0, 2);
    // If any character is changed, the session is invalid.
    for at in ["sessionId=".len(), signed.len() / 2, signed.len() - 2] {
        let other = if &signed[at..=at] == "x" { "y" } else { "x" };
        let tampered = format!("{}{other}{}", &signed[..at], &signed[at + 1..]);
        assert_eq!(count(&mut again.connect(), &tampered).0, 1, "{tampered}");
    }
    // With a new key above the old one, cookies of the old one are still valid.
    let old = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{}\n{old}", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")).unwrap();
    let rotated = server(&arguments);
    let (seen, response) = count(&mut rotated.connect(), &signed);
    assert_eq!(seen, 2);
    let by_new = cookie(&response);
    std::fs::write(&file, "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n").unwrap();
    let new_alone = server(&arguments);
    assert_eq!((count(&mut new_alone.connect(), &by_new).0, count(&mut new_alone.connect(), &signed).0), (3, 1));

    let mine = cookie(&count(&mut server(&[]).connect(), "").1);
    let after = server(&[]);
    assert!(eventually(|| after.errors().contains("sessions are in memory and lost at exit")), "{}", after.errors());
    assert_eq!(count(&mut after.connect(), &mine).0, 1);
}

/// A server with signed cookies and these environment variables.
fn signed_with(root: &Root, variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = miod();
    command.arg("serve").arg(root.path()).args(["-p", "0", "--apps", "--sessions", "cookie"]).args(arguments);
    command.envs(variables.iter().copied());
    command
}

#[test]
fn the_key_is_in_the_users_state_directory_or_for_this_run_only() {
    let (root, state) = (site(), Root::new());
    let home = state.path().to_str().unwrap();
    let server = Server::run(signed_with(&root, &[("XDG_STATE_HOME", home)], &[]));
    assert!(state.at("miod/session.key").is_file());
    assert!(eventually(|| server.errors().contains("signed by")), "{}", server.errors());
    // A directory where the key can't be created, or where it would be served.
    state.file("plain", "");
    for place in [state.at("plain"), root.at("state")] {
        let variables = [("XDG_STATE_HOME", place.to_str().unwrap())];
        let server = Server::run(signed_with(&root, &variables, &[]));
        assert!(eventually(|| server.errors().contains("a key for this run")), "{}", server.errors());
        let mut client = server.connect();
        let mine = cookie(&count(&mut client, "").1);
        assert_eq!(count(&mut client, &mine).0, 2);
    }
    assert!(!root.at("state").exists());
}

#[test]
fn an_unusable_key_file_is_an_error() {
    let (root, keys) = (site(), Root::new());
    keys.file("plain", "x").file("words", "no key\n");
    for (file, words) in [
        (root.at("key"), "below the root"),
        (keys.at("plain/key"), "can't be used"),
        (keys.at("words"), "line 1: malformed key"),
    ] {
        let output = signed_with(&root, &[], &["--session-key", file.to_str().unwrap()]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{errors}");
        assert!(errors.contains(words), "{errors}");
    }
    assert!(!root.at("key").exists());
}

#[test]
fn applications_are_mounted_only_if_requested() {
    let here = server(&["--apps=counter", "--app", "/visits=counter"]);
    assert_eq!([here.get("/counter").status, here.get("/lab/hello").status], [200, 404]);
    assert_eq!(here.get("/visits").status, 200);
    let mut client = here.connect();
    client.send(post("/visits/reset", ""));
    assert_eq!(client.response().field("Location"), Some("/visits"));
    let none = server(&["--no-apps=counter"]);
    assert_eq!([none.get("/counter").status, none.get("/lab/hello").status], [404, 200]);
    let files = Server::start_with(site(), &[]);
    assert_eq!(files.get("/counter").status, 404);
}

#[test]
fn the_counter_has_a_page_and_the_laboratory_sets_cookies() {
    let server = server(&[]);
    let response = server.get("/counter");
    assert_eq!(response.field("Content-Type"), Some("text/html; charset=utf-8"));
    let page = response.text();
    let mine = cookie(&response);
    let block = mine.strip_prefix("sessionId=").unwrap().split('-').next().unwrap();
    assert!(page.contains("Count: 1") && page.contains(&format!("request 1, session {block}<")), "{page}");
    let response = server.get("/lab/cookies/set?name=v&Max-Age=60&Path=/lab");
    assert_eq!(response.field("Set-Cookie"), Some("name=v; Max-Age=60; Path=/lab"));
    assert_eq!(server.get("/lab/cookies/set?sessionId=x").status, 400);
    let response = server.get_with("/lab/track", JSON);
    assert!(response.text().starts_with("{\"cookie\":1,\"field\":1,\"query\":1,"), "{}", response.text());
}

#[test]
#[ignore = "needs curl"]
fn two_cookie_jars_of_curl_have_separate_counts() {
    let (server, jars) = (server(&[]), Root::new());
    let url = format!("http://{}/counter", server.address());
    let curl = |jar: &str, more: &[&str]| {
        let jar = jars.at(jar);
        let jar = jar.to_str().unwrap();
        let output = Command::new("curl")
            .args(["-s", "--noproxy", "*", "--max-time", "20", "-c", jar, "-b", jar, "-H", "Accept: application/json"])
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    for expected in 1..4 {
        assert_eq!(curl("one", &[&url]), format!("{{\"count\":{expected}}}\n"));
    }
    assert_eq!(curl("two", &[&url]), "{\"count\":1}\n");
    assert_eq!(curl("one", &["-L", "-d", "", &format!("{url}/reset")]), "{\"count\":1}\n");
    assert_eq!(curl("one", &[&url]), "{\"count\":2}\n");
    assert_eq!(curl("two", &[&url]), "{\"count\":2}\n");
}
