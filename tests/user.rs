//! The privileges of the process: the user that it becomes, and none that are new.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use support::{Root, Server, eventually, get, miod};

/// The user of these tests, which every Debian system has.
const NOBODY: u32 = 65_534;

fn site() -> Root {
    let root = Root::new();
    root.old_file("www/index.html", "index");
    root
}

fn serve(root: &Root, arguments: &[&str]) -> Command {
    let mut command = miod();
    command.arg("serve").arg(root.at("www")).args(arguments).env("XDG_STATE_HOME", root.at("state"));
    command
}

/// The values of a field of /proc/PID/status, of all threads.
fn status(server: &Server, field: &str) -> Vec<Vec<u32>> {
    let threads = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let of = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap().to_owned();
        line.split_whitespace().map(|number| number.parse().unwrap()).collect()
    };
    threads.map(|thread| of(thread.unwrap())).collect()
}

/// A port below 1024 that is free on loopback.
fn low_port() -> u16 {
    (600..1024).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

#[test]
fn no_new_privileges_are_given() {
    let root = site();
    let server = Server::run(serve(&root, &["-p0"]));
    assert_eq!(status(&server, "NoNewPrivs"), [[1]]);
}

#[test]
fn an_unknown_user_is_an_error_among_others() {
    let root = site();
    let output = serve(&root, &["-p0", "--user", "miod-nobody", "--users", "/none"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{errors}");
    assert!(errors.contains("unknown user \"miod-nobody\"") && errors.contains("/none"), "{errors}");
}

#[test]
#[ignore = "needs root"]
fn the_process_becomes_the_user_with_all_its_threads() {
    let root = site();
    root.directory("www/listed");
    let port = low_port();
    let server =
        Server::run(serve(&root, &["-b", "127.0.0.1", "-p", &port.to_string(), "--user", "nobody", "--listing"]));
    assert_eq!(server.get("/").status, 200);
    // A helper thread reads the directory.
    assert_eq!(server.get("/listed/").status, 200);
    let users = status(&server, "Uid");
    assert!(users.len() > 1 && users.iter().all(|users| users == &[NOBODY; 4]), "{users:?}");
    let groups = status(&server, "Gid");
    assert!(groups.iter().all(|groups| groups.windows(2).all(|two| two[0] == two[1] && two[0] != 0)), "{groups:?}");
    assert!(status(&server, "Groups").iter().flatten().all(|group| *group != 0));
    assert!(status(&server, "NoNewPrivs").iter().all(|value| value == &[1]));
    let text = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    assert!(text.contains("\nCapEff:\t0000000000000000\n") && text.contains("\nCapPrm:\t0000000000000000\n"), "{text}");
    assert!(eventually(|| server.errors().contains("runs as the user nobody")), "{}", server.errors());
}

#[test]
#[ignore = "needs root"]
fn a_user_by_number_has_the_given_group_only() {
    let root = site();
    let server = Server::run(serve(&root, &["-p0", "--user", "12345:12346"]));
    assert_eq!(status(&server, "Uid"), [[12_345; 4]]);
    assert_eq!(status(&server, "Gid"), [[12_346; 4]]);
    assert_eq!(status(&server, "Groups"), [[0; 0]]);
    assert_eq!(server.get("/").status, 200);
}

#[test]
#[ignore = "needs root"]
fn what_root_has_made_can_be_written_by_the_user() {
    let root = site();
    for name in ["log", "run"] {
        root.directory(name);
        chown(root.at(name), Some(NOBODY), None).unwrap();
    }
    let at = |name: &str| root.at(name).to_str().unwrap().to_owned();
    let mut server = Server::run({
        let mut command = serve(&root, &["-p0", "--user", "nobody", "--apps=board,quiz", "--access-log", &at("log/a")]);
        command.args(["--data", &at("data"), "--sessions", &format!("file:{}", at("sessions"))]);
        command.args(["--pid-file", &at("run/pid"), "--session-key", &at("key"), "--tls=auto", "-b", "127.0.0.1"]);
        command.args(["-b", &format!("unix:{}", at("run/socket")), "--tls-bind", "127.0.0.1:0"]);
        command
    });
    assert_eq!(server.get("/").status, 200);
    for name in ["log/a", "data", "sessions", "key", "run/pid", "run/socket", "state/miod", "state/miod/tls"] {
        assert_eq!(fs::metadata(root.at(name)).unwrap().uid(), NOBODY, "{name}");
    }
    for directory in ["data", "sessions", "state/miod/tls"] {
        for entry in fs::read_dir(root.at(directory)).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().uid(), NOBODY, "{entry:?}");
        }
    }
    fs::rename(root.at("log/a"), root.at("log/b")).unwrap();
    server.signal("USR1");
    assert!(eventually(|| root.at("log/a").exists()), "{}", server.errors());
    assert_eq!(server.get("/").status, 200);
    assert!(!server.errors().contains("can't"), "{}", server.errors());
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(!root.at("run/pid").exists() && !root.at("run/socket").exists());
    assert!(fs::read_to_string(root.at("log/a")).unwrap().contains("GET /"));
}

#[test]
#[ignore = "needs root"]
fn what_the_operator_has_made_stays_and_is_reported() {
    let root = site();
    root.file("data/board.redb.old", "").file("secret/users", "").file("data/real", "");
    fs::hard_link(root.at("data/real"), root.at("linked")).unwrap();
    fs::set_permissions(root.at("secret"), fs::Permissions::from_mode(0o700)).unwrap();
    let (data, users) = (root.at("data"), root.at("secret/users"));
    let (data, users) = (data.to_str().unwrap(), users.to_str().unwrap());
    let server =
        Server::run(serve(&root, &["-p0", "--user", "nobody", "--data", data, "--users", users, "--apps=board"]));
    for part in [format!("can't write {data}\n"), format!("can't read {}\n", root.at("secret").display())] {
        assert!(eventually(|| server.errors().contains(&part)), "{part}: {}", server.errors());
    }
    assert_eq!(fs::metadata(root.at("data/board.redb.old")).unwrap().uid(), 0);
    assert_eq!(fs::metadata(root.at("linked")).unwrap().uid(), 0);
}

#[test]
#[ignore = "needs root"]
fn only_root_becomes_another_user() {
    let root = site();
    // The original may be where another user can't get at it.
    fs::copy(env!("CARGO_BIN_EXE_miod"), root.at("miod")).unwrap();
    let run = |user: &str| {
        let mut command = Command::new(root.at("miod"));
        command.arg(root.at("www")).args(["-p0", "--user", user]).uid(NOBODY).gid(NOBODY).stdin(Stdio::null());
        command
    };
    let output = run("12345:12345").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("only root"), "{output:?}");
    // It is that user already.
    let mut server = Server::run(run("nobody"));
    assert_eq!(server.exchange(get("/")).status, 200);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
#[ignore = "needs root"]
fn a_server_of_root_says_so() {
    let root = site();
    let server = Server::run(serve(&root, &["-p0"]));
    assert!(eventually(|| server.errors().contains("runs as root")), "{}", server.errors());
}
