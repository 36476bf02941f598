//! What the server tells its service manager: systemd's notifications.

mod support;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::Duration;

use support::{Root, Server, TIMEOUT, get, miod, uninterrupted};

fn serve(root: &Root, arguments: &[&str]) -> Command {
    root.old_file("index.html", "index");
    let mut command = miod();
    command.arg("serve").arg(root.path()).args(["-p", "0"]).args(arguments);
    command
}

/// The next notification.
fn next(manager: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    let count = uninterrupted(|| manager.recv(&mut bytes)).expect("a notification");
    String::from_utf8(bytes[..count].to_vec()).unwrap()
}

#[test]
fn the_manager_learns_each_state() {
    let root = Root::new();
    let path = root.at(".notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut command = serve(&root, &[]);
    command.env("NOTIFY_SOCKET", &path);
    let mut server = Server::run(command);
    let text = next(&manager);
    assert!(text.starts_with(&format!("READY=1\nMAINPID={}\nSTATUS=serves ", server.pid())), "{text}");
    let status = text.lines().last().unwrap().strip_prefix("STATUS=").unwrap();
    for part in [root.path().to_str().unwrap().to_owned(), server.address().to_string()] {
        assert!(status.contains(&part), "{part}: {text}");
    }
    server.signal("HUP");
    let text = next(&manager);
    assert!(text.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{text}");
    assert!(next(&manager).starts_with("READY=1\n"));
    server.signal("USR2");
    assert_eq!(next(&manager), format!("STATUS=maintenance: every request gets 503; {status}\n"));
    server.signal("USR2");
    assert_eq!(next(&manager), format!("STATUS={status}\n"));
    // A request whose body is missing holds the shut-down up.
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    client.until_begun();
    server.signal("TERM");
    assert_eq!(next(&manager), format!("STOPPING=1\nSTATUS=finishing requests; {status}\n"));
    drop(client);
    assert_eq!(server.wait().code(), Some(0));
    assert!(server.errors().lines().all(|line| !line.contains("notification")), "{}", server.errors());
}

#[test]
fn a_loop_that_is_stuck_tells_no_watchdog() {
    let root = Root::new();
    let name = format!("miod-notify-{}", std::process::id());
    let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut command = serve(&root, &[]);
    command.env("NOTIFY_SOCKET", format!("@{name}")).env("WATCHDOG_USEC", "100000");
    let server = Server::run(command);
    assert!(next(&manager).starts_with("READY=1\n"));
    for _ in 0..3 {
        assert_eq!(next(&manager), "WATCHDOG=1\n");
    }
    server.stop();
    // Some may have come before.
    let mut bytes = [0; 64];
    manager.set_nonblocking(true).unwrap();
    while manager.recv(&mut bytes).is_ok() {}
    manager.set_nonblocking(false).unwrap();
    manager.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    let received = uninterrupted(|| manager.recv(&mut bytes));
    assert!(received.is_err(), "{}", bytes.escape_ascii());
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    server.signal("CONT");
    assert_eq!(next(&manager), "WATCHDOG=1\n");
}

#[test]
fn a_manager_that_is_gone_does_not_matter() {
    let root = Root::new();
    let mut command = serve(&root, &[]);
    command.env("NOTIFY_SOCKET", root.at(".none")).env("WATCHDOG_USEC", "10000");
    let mut server = Server::run(command);
    assert_eq!(server.exchange(get("/")).status, 200);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.errors().matches("notification").count(), 1, "{}", server.errors());
}
