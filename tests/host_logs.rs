//! Access logs of hosts: each request is in one file, the one of its host.

mod support;

use std::fs;

use support::{Client, Root, Server, eventually, miod, run_to_end};

/// Two hosts with logs, of which one has two names in two tables, and the default host.
const CONFIG: &str = "bind = \"127.0.0.1:0\"\naccess-log = \"log/common\"\nlog-format = \"json\"\n\
    [[host]]\nroot = \"site\"\n\
    [[host]]\nnames = [\"a.test\"]\nroot = \"site\"\naccess-log = \"log/a\"\n\
    [[host.route]]\npath = \"/quiet\"\nrespond = { body = \"q\" }\nlog = false\n\
    [[host]]\nnames = [\"b.test\"]\nroot = \"site\"\naccess_log = \"log/b\"\n\
    [[host]]\nnames = [\"c.test\"]\nroot = \"site\"\naccess-log = \"log/../log/b\"\n\
    [[host]]\nnames = [\"d.test\"]\nroot = \"site\"\naccess-log = \"log/common\"\n";

fn site(config: &str) -> Root {
    let root = Root::new();
    root.old_file("site/index.html", "index").old_file("site/large", support::pattern(8 << 20)).directory("log");
    root.file("miod.toml", config);
    root
}

fn serve(root: &Root) -> Server {
    let mut command = miod();
    command.arg("-c").arg(root.at("miod.toml"));
    Server::run(command)
}

/// Requests a path of a host.
fn ask(server: &Server, host: &str, path: &str) -> u16 {
    server.exchange(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).status
}

/// The targets of the lines in a log.
fn targets(root: &Root, log: &str) -> Vec<String> {
    let text = fs::read_to_string(root.at(&format!("log/{log}"))).unwrap_or_default();
    let target =
        |line: &str| line.split("\"target\":\"").nth(1).unwrap_or("no target").split('"').next().unwrap().to_owned();
    text.lines().map(target).collect()
}

fn has(root: &Root, log: &str, expected: &[&str]) -> bool {
    eventually(|| targets(root, log) == expected)
}

/// How many descriptors of the server are of this file.
fn descriptors(server: &Server, root: &Root, log: &str) -> usize {
    let path = fs::canonicalize(root.path()).unwrap().join("log").join(log);
    let all = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    all.filter(|entry| fs::read_link(entry.as_ref().unwrap().path()).is_ok_and(|to| to == path)).count()
}

fn reload(server: &Server) {
    let done = || server.errors().matches("configuration is in use").count();
    let stays = || server.errors().matches("configuration stays in use").count();
    let before = done() + stays();
    server.signal("HUP");
    assert!(eventually(|| done() + stays() > before), "{}", server.errors());
}

#[test]
fn the_requests_of_a_host_are_in_its_own_file() {
    let root = site(CONFIG);
    let mut server = serve(&root);
    for (host, path) in [
        ("other.test", "/1"),
        ("a.test", "/2"),
        ("a.test", "/quiet"),
        ("b.test", "/3"),
        ("c.test", "/4"),
        ("d.test", "/5"),
        ("b.test", "/large"),
        ("b.test", "/6"),
    ] {
        ask(&server, host, path);
    }
    // What is no request is of the default host.
    assert_eq!(server.exchange("nonsense\r\n\r\n").status, 400);
    assert!(has(&root, "a", &["/2"]));
    assert!(has(&root, "b", &["/3", "/4", "/large", "/6"]), "{:?}", targets(&root, "b"));
    assert!(has(&root, "common", &["/1", "/5", "no target"]), "{:?}", targets(&root, "common"));
    assert_eq!(["a", "b", "common"].map(|log| descriptors(&server, &root, log)), [1; 3]);

    for log in ["a", "b", "common"] {
        fs::rename(root.at(&format!("log/{log}")), root.at(&format!("log/{log}.1"))).unwrap();
    }
    server.signal("USR1");
    assert!(eventually(|| ["a", "b", "common"].iter().all(|log| root.at(&format!("log/{log}")).exists())));
    ask(&server, "a.test", "/7");
    ask(&server, "c.test", "/8");
    server.signal("TERM");
    assert!(server.wait().success());
    assert_eq!((targets(&root, "a"), targets(&root, "b")), (vec!["/7".to_owned()], vec!["/8".to_owned()]));
    assert_eq!(targets(&root, "a.1"), ["/2"]);
}

#[test]
fn a_log_of_a_host_needs_no_other_log() {
    let root = site(&CONFIG.replace("access-log = \"log/common\"\n", ""));
    let server = serve(&root);
    for host in ["other.test", "a.test", "d.test"] {
        ask(&server, host, "/");
    }
    assert!(has(&root, "a", &["/"]));
    assert!(!root.at("log/common").exists());
}

#[test]
fn a_reload_opens_and_closes_logs() {
    let root = site(CONFIG);
    let server = serve(&root);
    assert_eq!(ask(&server, "a.test", "/1"), 404);
    // A request that began before ends in the log that it began with.
    let mut slow = Client::connect(server.address());
    slow.send("GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n");
    slow.response_to("HEAD");
    root.file("miod.toml", CONFIG.replace("\"log/a\"", "\"log/new\""));
    reload(&server);
    ask(&server, "a.test", "/2");
    assert!(has(&root, "new", &["/2"]) && has(&root, "a", &["/1"]));
    assert_eq!((descriptors(&server, &root, "a"), descriptors(&server, &root, "b")), (1, 1));
    assert!(slow.take(8 << 20) == support::pattern(8 << 20));
    assert!(has(&root, "a", &["/1", "/large"]));
    assert!(eventually(|| descriptors(&server, &root, "a") == 0));
    // With a mistake all stays as it is.
    root.file("miod.toml", CONFIG.replace("\"log/a\"", "\"none/a\""));
    reload(&server);
    assert!(server.errors().contains("miod.toml:9:1: can't open the access log "), "{}", server.errors());
    ask(&server, "a.test", "/3");
    assert!(has(&root, "new", &["/2", "/3"]));
    root.file("miod.toml", CONFIG.replace("access-log = \"log/a\"\n", ""));
    reload(&server);
    ask(&server, "a.test", "/4");
    assert!(has(&root, "common", &["/4"]));
    assert!(eventually(|| descriptors(&server, &root, "new") == 0));
}

#[test]
fn a_log_that_cannot_be_opened_is_a_mistake_at_its_place() {
    let root = site(&CONFIG.replace("\"log/a\"", "\"none/a\""));
    let run = |arguments: &[&str]| {
        let mut command = miod();
        command.args(arguments).arg("-c").arg(root.at("miod.toml"));
        run_to_end(&mut command, b"")
    };
    for arguments in [&[][..], &["check"]] {
        let outcome = run(arguments);
        assert_eq!(outcome.code, Some(78), "{outcome:?}");
        assert!(outcome.errors.contains("miod.toml:9:1: can't open the access log /"), "{outcome:?}");
        assert!(outcome.errors.ends_with("  access-log = \"none/a\"\n  ^^^^^^^^^^\n"), "{outcome:?}");
    }
    root.file("miod.toml", CONFIG.replace("\"log/a\"", "\"-\""));
    assert!(run(&["check"]).errors.contains("standard output is for all hosts"));
    // Nobody may request it.
    root.file("miod.toml", CONFIG.replace("\"log/a\"", "\"site/a.log\""));
    assert!(run(&["check"]).errors.contains("site/a.log (access-log) is below the root"));
    // A check shows it, and makes no file.
    root.file("miod.toml", CONFIG);
    fs::remove_dir_all(root.at("log")).unwrap();
    root.directory("log");
    let outcome = run(&["check"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let line = outcome.text().lines().find(|line| line.starts_with("host[1].access-log = ")).unwrap().to_owned();
    assert!(line.contains("log/a ") && line.ends_with("miod.toml:9"), "{line}");
    assert_eq!(fs::read_dir(root.at("log")).unwrap().count(), 0);
}
