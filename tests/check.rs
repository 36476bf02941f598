//! `miod check` and `miod reload`.

mod support;

use std::net::TcpListener;

use serde_json::{Value, json};
use support::site::certificate;
use support::sockets::free_port;
use support::{Outcome, Root, Server, eventually, miod, run_to_end};

fn run(root: &Root, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let mut command = miod();
    command.args(arguments).current_dir(root.path()).envs(variables.iter().copied());
    run_to_end(&mut command, b"")
}

const CONFIG: &str = r#"port = 8123
listing = true
sessions = "redis://:secret@127.0.0.1:1/0"
[[host]]
names = ["a.example"]
root = "a"
listing = false
[[host.route]]
path = "/old"
redirect = { to = "/new" }
rate = "5/s"
allow = "10.0.0.0/8"
[[host.route]]
path = "/x"
respond = { body = "x" }
"#;

#[test]
fn the_settings_are_shown_with_their_origins() {
    let root = Root::new();
    root.file("a/index.html", "a").file("m.toml", CONFIG);
    let free = ["check", "-c", "m.toml", "-p", "0", "--json"];
    let outcome = run(&root, &free, &[("MIOD_IDLE_TIMEOUT", "7")]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let found: Value = serde_json::from_str(&outcome.text()).unwrap();
    for (name, value, origin) in [
        ("port", json!(0), "argument"),
        ("idle-timeout", json!(7), "MIOD_IDLE_TIMEOUT"),
        ("listing", json!(true), "m.toml:2"),
        ("sessions", json!("***"), "m.toml:3"),
        ("header-timeout", json!(10), "default"),
        ("etag-inode", json!(false), "default"),
        ("host[0].names", json!(["a.example"]), "m.toml:5"),
        ("host[0].root", json!("a"), "m.toml:6"),
        ("host[0].listing", json!(false), "m.toml:7"),
        ("host[0].route[0].path", json!("/old"), "m.toml:9"),
        ("host[0].route[0].redirect.to", json!("/new"), "m.toml:10"),
        ("host[0].route[0].rate", json!("5/s:5"), "m.toml:11"),
        ("host[0].route[0].allow", json!(["10.0.0.0/8"]), "m.toml:12"),
        ("host[0].route[1].respond.body", json!("x"), "m.toml:15"),
    ] {
        assert_eq!(found[name], json!({ "value": value, "origin": origin }), "{name}");
    }
    let outcome = run(&root, &free[..5], &[]);
    assert!(outcome.code == Some(0) && outcome.text().ends_with("a start would succeed\n"), "{outcome:?}");
    assert!(
        outcome.text().contains("listing = true") && !outcome.text().replace("tap-secrets", "").contains("secret"),
        "{outcome:?}"
    );
}

#[test]
fn the_ends_of_certificates_and_the_limit_of_connections_are_shown() {
    let root = Root::new();
    let own = certificate(&root, "tls", &["a.example"]);
    root.file("a/index.html", "a").file(
        "m.toml",
        format!("bind = \"127.0.0.1:0\"\ntls-bind = \"127.0.0.1:0\"\nroot = \"a\"\ntls = \"{}\"\n", own.pair),
    );
    let outcome = run(&root, &["check", "-c", "m.toml", "--max-connections", "99000000"], &[]);
    let text = outcome.text();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(text.lines().any(|line| line.starts_with("end of ") && line.contains("= 20")), "{text}");
    assert!(text.contains("\nnote: there are at most ") && text.contains("99000000 were asked for"), "{text}");
}

#[test]
fn all_that_is_wrong_is_found_and_no_file_is_written() {
    let root = Root::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    root.file(
        "m.toml",
        format!("bind = \"127.0.0.1:{port}\"\ndata = \"data\"\naccess-log = \"log\"\n[[host]]\nroot = \"none\"\nusers = \"no\"\n"),
    );
    let outcome = run(&root, &["check", "-c", "m.toml"], &[]);
    assert_eq!(outcome.code, Some(78), "{outcome:?}");
    for part in
        ["m.toml:5:1: can't serve none: no such directory", "root = \"none\"", "in use", "m.toml:6:1: no can't be read"]
    {
        assert!(outcome.errors.contains(part), "{part}: {}", outcome.errors);
    }
    let mut names: Vec<_> = std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["m.toml"]);
    let outcome = run(&root, &["check", "-c", "none.toml"], &[]);
    assert!(outcome.code == Some(78) && outcome.errors.contains("no such file"), "{outcome:?}");
    assert_eq!(run(&root, &["check", "--nonsense"], &[]).code, Some(2));
}

#[test]
fn the_upstreams_of_a_route_are_shown() {
    let root = Root::new();
    let route =
        "[[host]]\n[[host.route]]\npath = \"/\"\nproxy = [\"http://127.0.0.1:1\", { url = \"unix:/a\", weight = 3 }]\n";
    root.file("m.toml", format!("bind = \"127.0.0.1:0\"\n{route}"));
    let outcome = run(&root, &["check", "--json", "-c", "m.toml"], &[]);
    let settings: serde_json::Value = serde_json::from_str(&outcome.text()).unwrap();
    let expected = serde_json::json!(["http://127.0.0.1:1", { "url": "unix:/a", "weight": 3 }]);
    assert_eq!(settings["host[0].route[0].proxy"]["value"], expected, "{outcome:?}");
}

#[test]
fn an_unknown_application_is_reported_where_it_is_named() {
    let root = Root::new();
    root.directory("a");
    let host = "bind = \"127.0.0.1:0\"\nroot = \"a\"\n[[host]]\nnames = [\"a.example\"]\n";
    let route = "\n[[host.route]]\npath = \"/x\"\n";
    for (config, place) in [
        (format!("{host}{route}app = \"nonsense\"\n"), "m.toml:8:1: unknown application \"nonsense\""),
        (format!("{host}{route}app = \"login\"\n"), "m.toml:8:1: the application login needs --users FILE"),
        (format!("{host}apps = [\"nonsense\"]\n{route}app = \"echo\"\n"), "m.toml:5:1: unknown application"),
        (format!("{host}app = \"/y=nonsense\"\n{route}app = \"echo\"\n"), "m.toml:5:1: unknown application"),
    ] {
        root.file("m.toml", &config);
        let outcome = run(&root, &["check", "-c", "m.toml"], &[]);
        assert!(outcome.code == Some(78) && outcome.errors.contains(place), "{config}\n{outcome:?}");
    }
}

#[test]
fn a_running_server_is_found_by_its_pid_file() {
    let root = Root::new();
    root.file("a/index.html", "a").file("b/index.html", "b");
    let port = free_port();
    let config = |site: &str| format!("bind = \"127.0.0.1:{port}\"\nroot = \"{site}\"\npid-file = \"pid\"\n");
    root.file("m.toml", config("a"));
    let reload = ["reload", "-c", "m.toml"];
    let outcome = run(&root, &reload, &[]);
    assert!(outcome.code == Some(78) && outcome.errors.contains("can't read the pid file"), "{outcome:?}");
    let mut command = miod();
    command.args(["-c", "m.toml"]).current_dir(root.path());
    let server = Server::run(command);
    // Its own port is no error.
    assert!(eventually(|| root.at("pid").exists()));
    let outcome = run(&root, &["check", "-c", "m.toml"], &[]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    root.file("m.toml", config("b") + "nonsense = 1\n");
    let outcome = run(&root, &reload, &[]);
    assert!(outcome.code == Some(78) && outcome.errors.contains("m.toml:4:1: unknown key nonsense"), "{outcome:?}");
    assert_eq!(server.get("/").text(), "a");
    root.file("m.toml", config("b"));
    assert_eq!(run(&root, &reload, &[]).code, Some(0));
    assert!(eventually(|| server.get("/").text() == "b"));
    assert_eq!(run(&root, &["reload", "--pid-file", root.at("pid").to_str().unwrap()], &[]).code, Some(0));
    // The number may be another process's, or nobody's.
    root.file("other", format!("{}\n", std::process::id()));
    let outcome = run(&root, &["reload", "--pid-file", "other"], &[]);
    assert!(outcome.code == Some(1) && outcome.errors.contains("not miod"), "{outcome:?}");
    root.file("other", "nonsense\n");
    assert_eq!(run(&root, &["reload", "--pid-file", "other"], &[]).code, Some(78));
    assert_eq!(run(&root, &["reload"], &[]).code, Some(2));
}
