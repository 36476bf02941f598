//! Login and logout with the real server: the session, the responses, and the protection
//! against guessing.

mod support;

use std::io::Write;
use std::process::Stdio;

use support::{Response, Root, Server, get_with, miod};

/// A server of the demonstration.
fn server(arguments: &[&str]) -> Server {
    Server::start_with(Root::new(), &[&["--demo"], arguments].concat())
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const JSON: &str = "Content-Type: application/json\r\n";
const WANTS_JSON: &str = "Accept: application/json\r\n";

fn post(server: &Server, path: &str, lines: &str, body: &str) -> Response {
    let length = body.len();
    server.exchange(format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{lines}Content-Length: {length}\r\n\r\n{body}"))
}

/// The `Cookie` line for the cookie that a response sets.
fn cookie(response: &Response) -> String {
    let value = response.field("set-cookie").unwrap_or_else(|| panic!("no cookie in {}", response.head));
    format!("Cookie: {}\r\n", value.split(';').next().unwrap())
}

/// The text of a page, without the request number.
fn text_without_number(response: &Response) -> String {
    response.text().split("<footer").next().unwrap().to_owned()
}

#[test]
fn home_redirects_to_login_and_back_until_logout() {
    let server = server(&[]);
    let home = server.get("/home");
    assert_eq!((home.status, home.field("location")), (303, Some("/login?next=%2Fhome")));
    let form = server.get("/login?next=%2Fhome");
    assert!(form.status == 200 && form.text().contains("name=\"next\" value=\"/home\""), "{}", form.text());
    assert!(form.text().contains("try <strong>alice</strong>"), "{}", form.text());
    assert_eq!(form.count("set-cookie"), 0);

    let done = post(&server, "/login", FORM, "username=alice&password=apple&next=%2Fhome");
    assert_eq!((done.status, done.field("location")), (303, Some("/home")));
    assert_eq!(done.field("cache-control"), Some("private, no-store"));
    let alice = cookie(&done);
    let home = server.get_with("/home", &alice);
    assert!(home.status == 200 && home.text().contains("Hello, alice."), "{}", home.text());

    let out = server.get_with("/logout", &alice);
    assert_eq!((out.status, out.field("allow")), (405, Some("POST, OPTIONS")));
    assert_eq!(server.get_with("/home", &alice).status, 200);
    let out = post(&server, "/logout", &alice, "");
    assert_eq!((out.status, out.field("location")), (303, Some("/login")));
    assert!(out.field("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(server.get_with("/home", &alice).status, 303);
}

#[test]
fn json_clients_get_json() {
    let server = server(&[]);
    let home = server.get_with("/home", WANTS_JSON);
    assert_eq!((home.status, home.text().as_str()), (401, "{\"error\":\"this page needs a login\"}\n"));
    assert!(home.field("www-authenticate").is_some());
    let lines = format!("{JSON}{WANTS_JSON}");
    let wrong = post(&server, "/login", &lines, r#"{"username":"alice","password":"pear"}"#);
    assert_eq!((wrong.status, wrong.field("content-type")), (401, Some("application/json")));
    let done = post(&server, "/login", &lines, r#"{"username":"alice","password":"apple"}"#);
    assert_eq!((done.status, done.text().as_str()), (303, "{\"user\":\"alice\"}\n"));
    let lines = format!("{WANTS_JSON}{}", cookie(&done));
    for path in ["/home", "/login"] {
        assert_eq!(server.get_with(path, &lines).text(), "{\"user\":\"alice\"}\n");
    }
    assert_eq!(server.get_with("/login", WANTS_JSON).text(), "{\"user\":null}\n");
}

#[test]
fn an_unknown_name_looks_like_a_wrong_password() {
    let server = server(&[]);
    // Names of the same length, because the form contains the name.
    let wrong = post(&server, "/login", FORM, "username=alice&password=pear");
    let unknown = post(&server, "/login", FORM, "username=carol&password=apple");
    assert_eq!((wrong.status, unknown.status), (401, 401));
    assert_eq!(
        text_without_number(&wrong).replace("value=\"alice\"", "value=\"carol\""),
        text_without_number(&unknown)
    );
    assert_eq!((wrong.count("set-cookie"), unknown.count("set-cookie")), (0, 0));
    let escaped = post(&server, "/login", FORM, "username=%22%3E%3Cscript%3E&password=x").text();
    assert!(!escaped.contains("<script>"), "{escaped}");
}

#[test]
fn a_login_renews_the_session_and_keeps_its_values() {
    let server = server(&[]);
    let before = cookie(&server.get("/counter"));
    let count = |lines: &str| server.get_with("/counter", &format!("{WANTS_JSON}{lines}")).text();
    assert_eq!(count(&before), "{\"count\":2}\n");
    let done = post(&server, "/login", &format!("{FORM}{before}"), "username=alice&password=apple");
    let after = cookie(&done);
    assert_ne!(before, after);
    assert_eq!(count(&after), "{\"count\":3}\n");
    // The old identifier is invalid.
    assert_eq!(server.get_with("/home", &before).status, 303);
    assert_eq!(count(&before), "{\"count\":1}\n");
}

#[test]
fn a_login_as_another_user_starts_an_empty_session() {
    let root = Root::new();
    for (user, password) in [("alice", "apple"), ("bob", "plum")] {
        let mut command = miod();
        command.args(["passwd", "--cost", "4"]).arg(root.at("users")).arg(user).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
    let file = root.at("users").to_str().unwrap().to_owned();
    root.old_file("www/private/index.html", "private");
    let mut command = miod();
    command.arg("serve").arg(root.at("www")).args(["-p", "0", "--apps", "--users", &file]);
    let server = Server::run(command);
    let alice = cookie(&post(&server, "/login", FORM, "username=alice&password=apple"));
    server.get_with("/counter", &alice);
    let bob = cookie(&post(&server, "/login", &format!("{FORM}{alice}"), "username=bob&password=plum"));
    assert!(!server.get("/login").text().contains("demonstration"));
    let page = |lines: &str| server.get_with("/home", &format!("{WANTS_JSON}{lines}"));
    assert_eq!(page(&bob).text(), "{\"user\":\"bob\"}\n");
    assert_eq!(server.get_with("/counter", &format!("{WANTS_JSON}{bob}")).text(), "{\"count\":1}\n");
    assert_eq!(page(&alice).status, 401);
    // A user of the login has access to the private pages too: bob:plum.
    assert_eq!(server.get_with("/private/", "Authorization: Basic Ym9iOnBsdW0=\r\n").text(), "private");
    assert_eq!(server.get("/private/").status, 401);
}

#[test]
fn redirects_after_login_stay_on_the_site() {
    let server = server(&[]);
    for (next, expected) in [
        ("/counter?x=1", "/counter?x=1"),
        ("", "/home"),
        ("counter", "/home"),
        ("//evil.example/", "/home"),
        ("/%5Cevil.example/", "/%5Cevil.example/"),
        ("/\\evil.example/", "/home"),
        ("https://evil.example/", "/home"),
        ("/\r\nX: y", "/home"),
    ] {
        let encoded: String = next.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let done = post(&server, "/login", FORM, &format!("username=alice&password=apple&next={encoded}"));
        assert_eq!((done.status, done.field("location")), (303, Some(expected)), "{next:?}");
        let form = server.get(&format!("/login?next={encoded}")).text();
        assert_eq!(form.contains("name=\"next\""), expected == next, "{next:?}");
    }
}

#[test]
fn malformed_and_cross_site_logins_are_refused() {
    let server = server(&[]);
    let right = "username=alice&password=apple";
    for (lines, body, status) in [
        ("", right, 415),
        ("Content-Type: text/plain\r\n", right, 415),
        (FORM, "username=alice", 400),
        (FORM, "", 400),
        (JSON, right, 400),
        (JSON, r#"{"username":"alice","password":null}"#, 400),
        (&format!("{FORM}Origin: http://evil.example\r\n"), right, 403),
        (&format!("{FORM}Sec-Fetch-Site: cross-site\r\n"), right, 403),
        (&format!("{FORM}Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n"), right, 303),
    ] {
        assert_eq!(post(&server, "/login", lines, body).status, status, "{lines} {body}");
    }
    for path in ["/login/", "/login/x", "/home/x"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    assert_eq!(post(&server, "/logout", "Origin: http://evil.example\r\n", "").status, 403);
}

#[test]
fn logins_get_429_after_repeated_wrong_passwords() {
    let server = server(&[]);
    for number in 0..10 {
        assert_eq!(post(&server, "/login", FORM, &format!("username=u{number}&password=x")).status, 401);
    }
    for (lines, what) in [("", "<!doctype html>"), (WANTS_JSON, "{\"error\":")] {
        let response = post(&server, "/login", &format!("{FORM}{lines}"), "username=alice&password=apple");
        let wait: u32 = response.field("retry-after").unwrap().parse().unwrap();
        assert!(
            response.status == 429 && wait <= 6 && response.text().to_lowercase().starts_with(what),
            "{}",
            response.text()
        );
    }
}

#[test]
fn a_pipelined_request_waits_for_the_login() {
    let server = server(&[]);
    let mut slow = server.connect();
    let body = "username=alice&password=apple";
    let length = body.len();
    slow.send(format!("POST /login HTTP/1.1\r\nHost: localhost\r\n{FORM}Content-Length: {length}\r\n\r\n{body}"));
    slow.send(get_with("/lab/hello", ""));
    assert_eq!(server.get("/lab/hello").status, 200);
    assert_eq!((slow.response().status, slow.response().status), (303, 200));
}

#[test]
fn login_is_next_to_home_wherever_home_is_mounted() {
    let server = server(&["--no-apps", "--app", "/club/login=login", "--app", "/club/home=home"]);
    assert_eq!(server.get("/club/home").field("location"), Some("/club/login?next=%2Fclub%2Fhome"));
    let done = post(&server, "/club/login", FORM, "username=alice&password=apple");
    assert_eq!(done.field("location"), Some("/club/home"));
    let home = server.get_with("/club/home", &cookie(&done)).text();
    assert!(home.contains("action=\"/club/logout\""), "{home}");
}
