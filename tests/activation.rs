//! Sockets that are passed to the server, as systemd does it.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{FdFlags, fcntl_setfd};
use support::{Client, Ended, Root, Server, TIMEOUT, eventually, get, get_with, miod};

fn site() -> Root {
    let root = Root::new();
    root.old_file("index.html", "index");
    root
}

/// `miod` with further arguments, to which these descriptors are passed under these names.
fn passing(sockets: &[BorrowedFd<'_>], names: &str, arguments: &[&str]) -> Command {
    let mut script = String::new();
    for (at, socket) in sockets.iter().enumerate() {
        // The process inherits the descriptor, and the shell gives it its number.
        fcntl_setfd(socket, FdFlags::empty()).unwrap();
        script += &format!("exec {}<&{}; ", 3 + at, socket.as_raw_fd());
    }
    script += "LISTEN_PID=$$ exec \"$@\"";
    let bare = miod();
    let mut command = Command::new("bash");
    command.args(["-c", &script, "bash"]).arg(bare.get_program()).args(arguments);
    for (name, value) in bare.get_envs() {
        assert!(value.is_none());
        command.env_remove(name);
    }
    command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names);
    command
}

/// The status and the message of a start that fails.
fn failure(mut command: Command) -> (Option<i32>, String) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Ended(child);
    let mut status = None;
    assert!(eventually(|| {
        status = child.0.try_wait().unwrap();
        status.is_some()
    }));
    let mut errors = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    (status.unwrap().code(), errors)
}

/// Moves a descriptor out of the range that the shell uses for the passed ones.
fn high<T: AsFd>(socket: &T) -> std::os::fd::OwnedFd {
    rustix::io::fcntl_dupfd_cloexec(socket, 20).unwrap()
}

fn ask(mut stream: impl Read + Write) -> String {
    stream.write_all(get_with("/", "Connection: close\r\n").as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn ask_unix(path: &Path) -> String {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    ask(stream)
}

#[test]
fn passed_sockets_are_served_and_nothing_else_is_bound() {
    let root = site();
    let (first, second) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let unix = UnixListener::bind(root.at(".socket")).unwrap();
    let sockets = [high(&first), high(&second), high(&unix)];
    let site = root.path().to_str().unwrap();
    let mut server = Server::run(passing(&sockets.each_ref().map(AsFd::as_fd), "http::unknown.socket", &[site]));
    let banner = format!(
        "on http://{}/ http://{}/ unix:{}\n",
        first.local_addr().unwrap(),
        second.local_addr().unwrap(),
        root.at(".socket").display()
    );
    assert!(server.banner.ends_with(&banner), "{}", server.banner);
    for listener in [&first, &second] {
        let mut client = Client::connect(listener.local_addr().unwrap());
        client.send(get("/"));
        assert_eq!(client.response().status, 200);
    }
    assert!(ask_unix(&root.at(".socket")).starts_with("HTTP/1.1 200"));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(root.at(".socket").exists(), "the file is the manager's");
    // The manager's sockets still listen.
    TcpStream::connect(first.local_addr().unwrap()).unwrap();
}

#[test]
fn a_socket_for_operators_needs_no_option() {
    let root = site();
    let (site, operators) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let sockets = [high(&site), high(&operators)];
    let path = root.path().to_str().unwrap();
    let mut server = Server::run(passing(&sockets.each_ref().map(AsFd::as_fd), "http:admin", &[path]));
    let ask = |listener: &TcpListener, path: &str| {
        let mut client = Client::connect(listener.local_addr().unwrap());
        client.send(get(path));
        client.response().status
    };
    assert_eq!((ask(&site, "/"), ask(&site, "/health"), ask(&operators, "/health")), (200, 404, 200));
    // A reload keeps it, though the configuration doesn't name it.
    server.signal("HUP");
    assert!(eventually(|| server.errors().contains("the new configuration is in use")));
    assert_eq!(ask(&operators, "/ready"), 200);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn chosen_endpoints_are_opened_beside_passed_sockets() {
    let root = site();
    let passed = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = high(&passed);
    let site = root.path().to_str().unwrap();
    let server = Server::run(passing(&[socket.as_fd()], "http", &[site, "-b", "127.0.0.1:0"]));
    let mut urls: Vec<_> = server.banner.split(' ').filter_map(|word| word.trim().strip_prefix("http://")).collect();
    assert_eq!(urls.remove(0), format!("{}/", passed.local_addr().unwrap()));
    assert_eq!(urls.len(), 1, "{}", server.banner);
    let own = urls[0].trim_end_matches('/').parse().unwrap();
    for address in [own, passed.local_addr().unwrap()] {
        let mut client = Client::connect(address);
        client.send(get("/"));
        assert_eq!(client.response().status, 200);
    }
}

/// Requests until `over`: on one connection as long as it persists, or each on its own. Each gets a
/// complete response. Returns how many there were.
fn load(address: std::net::SocketAddr, keep_alive: bool, large: &[u8], over: &AtomicBool) -> u32 {
    let mut client = Client::connect(address);
    let mut requests = 0;
    while !over.load(Ordering::Relaxed) {
        let (path, expected) = if requests % 50 == 9 { ("/large", large) } else { ("/", &b"index"[..]) };
        client.send(get(path));
        let response = client.response();
        assert!(response.status == 200 && response.body == expected, "{}", response.head);
        requests += 1;
        let closes = response.field("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if closes || !keep_alive {
            client = Client::connect(address);
        }
    }
    requests
}

#[test]
fn a_new_process_takes_over_a_passed_socket_and_no_request_fails() {
    let root = site();
    let large = support::pattern(2 << 20);
    root.old_file("large", &large);
    let passed = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, socket) = (passed.local_addr().unwrap(), high(&passed));
    let start = || Server::run(passing(&[socket.as_fd()], "http", &[root.path().to_str().unwrap()]));
    let over = AtomicBool::new(false);
    let mut server = start();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|number| {
                let (large, over) = (&large, &over);
                scope.spawn(move || load(address, number % 2 == 0, large, over))
            })
            .collect();
        for _ in 0..5 {
            let next = start();
            server.signal("TERM");
            assert_eq!(server.wait().code(), Some(0));
            server = next;
            // The new one answers alone.
            let mut client = Client::connect(address);
            client.send(get("/"));
            assert_eq!(client.response().status, 200);
        }
        over.store(true, Ordering::Relaxed);
        let requests: Vec<u32> = clients.into_iter().map(|client| client.join().expect("a request failed")).collect();
        assert!(requests.iter().all(|count| *count > 20), "{requests:?}");
    });
}

#[test]
fn connections_that_wait_at_a_passed_socket_are_left_to_the_next_process() {
    let (old, new) = (Root::new(), Root::new());
    old.old_file("index.html", "old");
    new.old_file("index.html", "new");
    let passed = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, socket) = (passed.local_addr().unwrap(), high(&passed));
    let start = |root: &Root| Server::run(passing(&[socket.as_fd()], "http", &[root.path().to_str().unwrap()]));
    let mut server = start(&old);
    server.signal("STOP");
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(address)).collect();
    clients.iter_mut().for_each(|client| client.send(get("/")));
    server.signal("TERM");
    server.signal("CONT");
    assert_eq!(server.wait().code(), Some(0));
    let _server = start(&new);
    let answers: Vec<String> = clients.iter_mut().map(|client| client.response().text()).collect();
    // One turn may come before the signal; it accepts 64.
    let by_old = answers.iter().filter(|answer| *answer == "old").count();
    assert!(by_old <= 64 && answers.iter().all(|answer| ["old", "new"].contains(&answer.as_str())), "{answers:?}");
}

#[test]
fn a_chosen_endpoint_that_is_passed_is_not_opened_again() {
    let root = site();
    let passed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = passed.local_addr().unwrap().to_string();
    let socket = high(&passed);
    let site = root.path().to_str().unwrap();
    let server = Server::run(passing(&[socket.as_fd()], "http", &[site, "-b", &address]));
    assert!(server.banner.ends_with(&format!("on http://{address}/\n")), "{}", server.banner);
    assert_eq!(server.get("/").status, 200);
}

#[test]
fn a_socket_for_https_speaks_tls() {
    let root = site();
    let (plain, secure) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let sockets = [high(&plain), high(&secure)];
    let sockets = sockets.each_ref().map(AsFd::as_fd);
    let site = root.path().to_str().unwrap();
    let mut command = passing(&sockets, "http:https", &[site, "--tls", "auto"]);
    command.env("XDG_STATE_HOME", root.at(".state"));
    let server = Server::run(command);
    let url = format!("https://{}/", secure.local_addr().unwrap());
    assert!(server.banner.contains(&url), "{}", server.banner);
    assert_eq!(server.get("/").status, 200);
    let output = miod().args(["get", "-k", &url]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "index", "{output:?}");
    drop(server);

    let (code, errors) = failure(passing(&sockets, "http:https", &[site]));
    assert_eq!(code, Some(78));
    assert!(errors.contains("4 (https)") && errors.contains("--tls"), "{errors}");
}

#[test]
fn an_abstract_socket_has_no_file() {
    let root = site();
    let name = format!("miod-passed-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let passed = UnixListener::bind_addr(&address).unwrap();
    let also = TcpListener::bind("127.0.0.1:0").unwrap();
    let sockets = [high(&passed), high(&also)];
    let server = Server::run(passing(&sockets.each_ref().map(AsFd::as_fd), ":", &[root.path().to_str().unwrap()]));
    assert!(server.banner.contains(&format!("unix:@{name}")), "{}", server.banner);
    let stream = UnixStream::connect_addr(&address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    assert!(ask(stream).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_socket_for_both_families_has_peers_of_each() {
    let root = site();
    let Ok(passed) = TcpListener::bind("[::]:0") else { return };
    let port = passed.local_addr().unwrap().port();
    let socket = high(&passed);
    let site = root.path().to_str().unwrap();
    let log = root.at(".log");
    let mut command = passing(&[socket.as_fd()], "http", &[site, "--access-log", log.to_str().unwrap()]);
    command.stderr(Stdio::piped());
    let mut server = Server::run(command);
    let mut client = Client::connect(([127, 0, 0, 1], port).into());
    client.send(get("/"));
    assert_eq!(client.response().status, 200);
    drop(client);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let log = fs::read_to_string(log).unwrap();
    assert!(log.starts_with("127.0.0.1 - - "), "{log}");
}

#[test]
fn a_mailbox_takes_no_passed_socket() {
    let passed = TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, errors) = failure(passing(&[high(&passed).as_fd()], "smtp", &["mailbox", "-p", "0"]));
    assert_eq!(code, Some(78), "{errors}");
    assert!(errors.contains("a mailbox opens its sockets itself"), "{errors}");
}

#[test]
fn what_is_not_a_listening_socket_is_refused() {
    let root = site();
    let site = root.path().to_str().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let file = fs::File::open(root.at("index.html")).unwrap();
    for (socket, name, why) in [
        (high(&udp), "http", "3 (http) can't be used: it isn't a stream socket"),
        (high(&connected), "", "socket 3 can't be used: it doesn't listen"),
        (high(&file), "x", "3 (x) can't be used: it isn't a socket"),
        (high(&listener), "a:b", "2 names for the 1 sockets"),
    ] {
        let (code, errors) = failure(passing(&[socket.as_fd()], name, &[site]));
        assert!(code == Some(78) && errors.contains(why) && errors.lines().count() == 1, "{why}: {code:?} {errors}");
    }
    let mut closed = passing(&[], "", &[site]);
    closed.env("LISTEN_FDS", "1").env_remove("LISTEN_FDNAMES");
    let (code, errors) = failure(closed);
    assert!(code == Some(78) && errors.contains("3 can't be used: it wasn't passed"), "{errors}");
}
