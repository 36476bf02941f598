//! Protected paths of the real server: access, the names in the log, and that a password check
//! delays no other request.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use support::{Root, Server, eventually, get_with, miod};

/// A site with a protected directory, and alice in a password file at this cost.
fn site(cost: &str) -> Root {
    let root = Root::new();
    root.old_file("www/index.html", "index").old_file("www/private/index.html", "private");
    passwd(&root, cost, "alice", "apple");
    root
}

fn passwd(root: &Root, cost: &str, user: &str, password: &str) {
    let mut command = miod();
    command.args(["passwd", "--cost", cost]).arg(root.at("users")).arg(user);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn serve(root: &Root, prefix: &str, arguments: &[&str]) -> Command {
    let mut command = miod();
    command.arg("serve").arg(root.at("www")).args(["-p", "0", "--auth"]);
    command.arg(format!("{prefix}={}", root.at("users").display())).args(arguments);
    command
}

/// alice:apple, alice:pear and bob:plum.
const ALICE: &str = "Authorization: Basic YWxpY2U6YXBwbGU=\r\n";
const PEAR: &str = "Authorization: Basic YWxpY2U6cGVhcg==\r\n";
const BOB: &str = "Authorization: Basic Ym9iOnBsdW0=\r\n";

#[test]
fn only_users_get_access_and_the_log_names_them() {
    let root = site("4");
    let server = Server::run(serve(&root, "/private", &["--access-log", "-"]));
    let response = server.get("/private/");
    assert_eq!(response.status, 401);
    assert_eq!(response.field("www-authenticate"), Some("Basic realm=\"/private/\", charset=\"UTF-8\""));
    let wrong = server.get_with("/private/", PEAR);
    let unknown = server.get_with("/private/", BOB);
    let refused = |response: &support::Response| response.text().split("equest ").next().unwrap().to_owned();
    assert_eq!((wrong.status, unknown.status), (401, 401));
    assert_eq!((refused(&wrong), wrong.head.len()), (refused(&unknown), unknown.head.len()));
    for _ in 0..3 {
        let response = server.get_with("/private/", ALICE);
        assert_eq!((response.status, response.text().as_str()), (200, "private"));
        assert_eq!(response.field("cache-control"), Some("private, no-cache"));
    }
    assert_eq!(server.get("/").field("cache-control"), Some("no-cache"));
    assert!(eventually(|| server.output().lines().count() == 7));
    let output = server.output();
    for (line, user, status) in
        [(0, "-", 401), (1, "alice", 401), (2, "bob", 401), (3, "alice", 200), (5, "alice", 200), (6, "-", 200)]
    {
        let line = output.lines().nth(line).unwrap();
        assert!(
            line.starts_with(&format!("127.0.0.1 - {user} [")) && line.contains(&format!("\" {status} ")),
            "{line}"
        );
    }
}

#[test]
fn a_changed_password_file_takes_effect() {
    let root = site("4");
    let server = Server::run(serve(&root, "/", &[]));
    assert_eq!(server.get_with("/", ALICE).status, 200);
    assert_eq!(server.get_with("/", BOB).status, 401);
    passwd(&root, "4", "bob", "plum");
    passwd(&root, "4", "alice", "pear");
    assert!(eventually(|| server.get_with("/", ALICE).status == 401));
    assert_eq!([PEAR, BOB].map(|lines| server.get_with("/", lines).status), [200, 200]);
    let mut command = miod();
    command.args(["passwd", "-D"]).arg(root.at("users")).arg("bob").stdout(Stdio::null());
    assert!(command.status().unwrap().success());
    assert!(eventually(|| server.get_with("/", BOB).status == 401));
    assert_eq!(server.get_with("/", PEAR).status, 200);
}

#[test]
fn a_password_check_delays_no_other_request() {
    // A check at this cost takes half a second and more.
    let root = site("13");
    let server = Server::run(serve(&root, "/private", &["--access-log", "-"]));
    // Both have come when the server goes on, so nothing that holds up the test comes between them.
    server.stop();
    let [mut slow, mut quick] = [server.connect(), server.connect()];
    slow.send(get_with("/private/", ALICE));
    quick.send(get_with("/", ""));
    server.signal("CONT");
    assert_eq!([quick.response().status, slow.response().status], [200, 200]);
    assert!(eventually(|| server.output().lines().count() == 2));
    let output = server.output();
    let requests: Vec<_> = output.lines().map(|line| line.split('"').nth(1).unwrap()).collect();
    assert_eq!(requests, ["GET / HTTP/1.1", "GET /private/ HTTP/1.1"]);
    // The second time the result is remembered.
    let before = server.cpu();
    assert_eq!(server.get_with("/private/", ALICE).status, 200);
    assert!(server.cpu() - before < 0.1);
}

#[test]
fn the_demonstration_protects_private() {
    let root = site("4");
    let serve_with = |arguments: &[&str]| {
        let mut command = miod();
        command.arg("serve").arg(root.at("www")).args(["-p", "0"]).args(arguments);
        Server::run(command)
    };
    assert_eq!(serve_with(&[]).get("/private/").text(), "private");
    let server = serve_with(&["--demo"]);
    assert_eq!(server.get_with("/private/", PEAR).status, 401);
    assert_eq!(server.get_with("/private/", ALICE).text(), "private");
    // With a protected path of its own, the default doesn't apply.
    let server = Server::run(serve(&root, "/elsewhere", &[]));
    assert_eq!(server.get("/private/").text(), "private");
}

#[test]
fn protected_paths_do_not_restrict_the_key_value_service() {
    let server = Server::start_with(Root::new(), &["--demo", "--kv", "127.0.0.1:0"]);
    assert_eq!(server.get("/private").status, 401);
    let at = server.banner.split("keys and values on http://").nth(1).expect("a second address");
    let mut client = support::Client::connect(at.trim_end().trim_end_matches('/').parse().unwrap());
    client.send(get_with("/private", ""));
    assert_eq!(client.response().status, 404);
}

#[test]
fn a_bad_password_file_is_an_error_at_start() {
    let root = site("4");
    root.file("bad", "alice:$apr1$x$y\n").file("www/users", "");
    for (file, hint) in [
        ("bad", "bad line 1: the hash isn't one of bcrypt"),
        ("none", "none can't be read"),
        ("www/users", "below the root"),
    ] {
        let mut command = miod();
        command.arg("serve").arg(root.at("www")).args(["-p", "0", "--auth"]);
        let output = command.arg(format!("/private={}", root.at(file).display())).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.lines().count()), (Some(78), 1), "{error}");
        assert!(error.contains(hint), "{error}");
    }
}

#[test]
fn a_trusted_proxy_names_the_client() {
    let lines = "X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\n";
    for (arguments, expected) in [
        (&["--trusted-proxy", "127.0.0.0/8"][..], "203.0.113.9"),
        (&["--trusted-proxy", "127.0.0.0/8", "--trusted-proxy", "203.0.113.0/24"], "6.6.6.6"),
        (&["--trusted-proxy", "10.0.0.0/8"], "127.0.0.1"),
        (&[], "127.0.0.1"),
    ] {
        let arguments = [&["--access-log", "-"], arguments].concat();
        let server = Server::start_with(Root::new(), &arguments);
        server.get_with("/", lines);
        assert!(eventually(|| server.output().lines().count() == 1));
        assert!(server.output().starts_with(&format!("{expected} - - [")), "{}", server.output());
    }
}

#[test]
fn failures_behind_a_proxy_count_for_the_client() {
    let root = site("4");
    let server = Server::run(serve(&root, "/private", &["--trusted-proxy", "127.0.0.1", "--max-per-address", "1"]));
    let mut proxy = server.connect();
    let mut status_of = |client: &str, lines: &str| {
        proxy.send(get_with("/private/", &format!("Forwarded: for={client}\r\n{lines}")));
        proxy.response().status
    };
    for _ in 0..10 {
        assert_eq!(status_of("203.0.113.9", PEAR), 401);
    }
    assert_eq!(status_of("203.0.113.9", PEAR), 429);
    assert_eq!(status_of("203.0.113.10", PEAR), 401);
    // The number of connections of the proxy isn't limited.
    assert_eq!(server.get("/").status, 200);
}
