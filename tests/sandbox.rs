//! The sandbox of a running server. A kernel without landlock has none.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Root, Server, eventually, get_with, miod};

fn serve(root: &Root, arguments: &[&str]) -> Command {
    root.old_file("www/index.html", "index");
    root.old_file("www/private/index.html", "private");
    let mut command = miod();
    command.arg("serve").arg(root.at("www")).args(["-p0"]).args(arguments);
    command
}

/// What the server says of its sandbox.
fn sandbox(server: &Server) -> Option<String> {
    server.errors().lines().find_map(|line| line.split_once("sandbox: ").map(|(_, text)| text.to_owned()))
}

#[test]
fn the_server_says_what_holds() {
    let root = Root::new();
    let server = Server::run(serve(&root, &["--sandbox", "auto"]));
    assert!(eventually(|| sandbox(&server).is_some()), "{}", server.errors());
    assert_eq!(server.get("/").status, 200);
    for arguments in [&[][..], &["--sandbox", "off"]] {
        let mut server = Server::run(serve(&root, arguments));
        assert_eq!(server.get("/").status, 200);
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
        assert_eq!(sandbox(&server), None, "{arguments:?}");
    }
}

#[test]
fn a_sandbox_that_is_required_holds_or_the_server_does_not_start() {
    let root = Root::new();
    let full = sandbox(&{
        let server = Server::run(serve(&root, &["--sandbox", "auto"]));
        assert!(eventually(|| sandbox(&server).is_some()));
        server
    });
    if full.is_some_and(|text| text.contains("TCP ports")) {
        let server = Server::run(serve(&root, &["--sandbox", "require"]));
        assert_eq!(server.get("/").status, 200);
    } else {
        let output = serve(&root, &["--sandbox", "require"]).stdin(Stdio::null()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0), "{errors}");
        assert!(errors.lines().any(|line| line.starts_with("miod: --sandbox require: ")), "{errors}");
    }
}

/// Moves a directory and puts a link to another one, with the same content, in its place.
fn redirect(directory: &Path, elsewhere: &Path) {
    fs::create_dir(elsewhere).unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), elsewhere.join(entry.file_name())).unwrap();
    }
    fs::rename(directory, directory.with_extension("old")).unwrap();
    std::os::unix::fs::symlink(elsewhere, directory).unwrap();
}

#[test]
#[ignore = "needs a kernel with landlock"]
fn the_server_cannot_get_out() {
    // alice, with the password apple.
    let users = "alice:$2b$04$sY3m53hNb.X7/9xUdhJrd.yr7wG8vkn1A.6cxHIDKOlcT6VCFwDaa\n";
    for (mode, is_confined) in [("auto", true), ("off", false)] {
        let root = Root::new();
        root.file("users/file", users).directory("log");
        let at = |name: &str| root.at(name).to_str().unwrap().to_owned();
        let auth = format!("/private={}", at("users/file"));
        let log = at("log/access");
        let server = Server::run(serve(&root, &["--sandbox", mode, "--auth", &auth, "--access-log", &log]));
        if is_confined {
            let holds = || sandbox(&server).is_some_and(|text| text.starts_with("landlock"));
            assert!(eventually(holds), "{}", server.errors());
        }

        // Within the directories of its files it works as ever.
        fs::rename(root.at("log/access"), root.at("log/old")).unwrap();
        server.signal("USR1");
        assert!(eventually(|| root.at("log/access").exists()), "{mode}: {}", server.errors());
        root.file("users/new", "");
        fs::rename(root.at("users/new"), root.at("users/file")).unwrap();
        root.file("www/new.html", "new");
        assert_eq!(server.get("/new.html").status, 200);
        assert_eq!(server.get("/private/").status, 401);

        // A place that wasn't named at the start isn't reached, by whatever way.
        redirect(&root.at("log"), &root.at("elsewhere"));
        server.signal("USR1");
        let refused = || server.errors().contains("can't be reopened");
        let reopened = || server.errors().matches("was reopened").count() == 2;
        assert!(eventually(|| if is_confined { refused() } else { reopened() }), "{mode}: {}", server.errors());
        assert_eq!(server.exchange(get_with("/", "Connection: close\r\n")).status, 200);
    }
}
