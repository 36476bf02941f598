//! The site in real browsers, one of them without scripts and images.

mod support;

use std::collections::HashSet;
use std::io::Write;
use std::process::{Command, Stdio};
use support::browser::{chromium, open};
use support::{Root, Server, miod};

#[test]
#[ignore = "needs chromium"]
fn the_pages_load_completely_and_badges_share_connections() {
    let root = Root::new();
    let mut command = miod();
    let log = root.at("access.log");
    command.args(["-p", "0", "--access-log"]).arg(&log).current_dir(env!("CARGO_MANIFEST_DIR"));
    let mut server = Server::run(command);
    for page in ["", "HelloWorld.html", "ranges.html", "badges.html"] {
        let document = open(&mut chromium(root.path()), &format!("http://{}/{page}", server.address()));
        assert!(document.contains("<h1") && document.ends_with("</html>\n"), "{page}: {document}");
    }
    server.signal("TERM");
    assert!(server.wait().success());
    let log = std::fs::read_to_string(log).unwrap();
    let failed: Vec<_> = log.lines().filter(|line| !line.contains("\" 200 ") && !line.contains("\" 304 ")).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let badges: Vec<_> = log.lines().filter(|line| line.contains("/lab/badge?n=")).collect();
    assert_eq!(badges.len(), 12);
    let connections: HashSet<_> =
        badges.iter().map(|line| line.rsplit_once(' ').unwrap().1.split('/').next()).collect();
    assert!((2..=6).contains(&connections.len()), "{} connections", connections.len());
}

/// A page as lynx shows it, after it has sent a form, if there is one.
fn lynx(server: &Server, path: &str, form: Option<&str>) -> String {
    let mut command = Command::new("timeout");
    command.args(["20", "lynx", "-dump", "-nolist", "-accept_all_cookies"]);
    command.args(form.map(|_| "-post_data")).arg(format!("http://{}{path}", server.address()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut lynx = command.spawn().unwrap();
    if let Some(form) = form {
        write!(lynx.stdin.take().unwrap(), "{form}\n---\n").unwrap();
    }
    let output = lynx.wait_with_output().unwrap();
    assert!(output.status.success(), "lynx failed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[ignore = "needs lynx"]
fn the_applications_work_without_scripts() {
    let server = Server::start_with(Root::new(), &["--demo"]);
    for (path, form, words) in [
        ("/counter", None, "Count: 1"),
        ("/counter/reset", Some("a=b"), "Count: 1"),
        ("/quiz", None, "Question 1 of 12"),
        ("/quiz", Some("question=1&choice=2"), "Question 2 of 12"),
        ("/login", None, "Password ___"),
        ("/login", Some("username=alice&password=apple"), "Hello, alice."),
        ("/board", None, "There are no posts yet."),
        ("/board", Some("text=from+lynx"), "from lynx\n   (BUTTON) Delete"),
        ("/lab/track", None, "Cookie 1 "),
    ] {
        let shown = lynx(&server, path, form);
        assert!(shown.contains(words) && shown.contains("Connection "), "{path}: {shown}");
    }
}

#[test]
#[ignore = "needs chromium and python3"]
fn the_applications_work_by_mouse_and_keyboard() {
    let server = Server::start_with(Root::new(), &["--demo"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser_pages.py");
    let output = Command::new("timeout")
        .args(["180", "python3", script])
        .arg(format!("http://{}", server.address()))
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    for test in ["counter", "quiz", "login", "board"] {
        assert!(printed.contains(&format!("{test}: passed")), "{printed}");
    }
}
