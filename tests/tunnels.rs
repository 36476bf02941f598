//! Tunnels: WebSocket and other protocols through the proxy.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use support::site::Site;
use support::sockets::Deaf;
use support::{
    Client, Root, Script, Server, TIMEOUT, eventually, get, get_with, miod, pattern, read_head, uninterrupted,
};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: x\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";

/// An origin that agrees to each change of the protocol, and hands the connection to the test.
fn agreeing() -> (Script, Receiver<Client>) {
    let (give, given) = channel();
    let give = Mutex::new(give);
    let origin = Script::parallel(move |_, stream| {
        if read_head(stream).contains("\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n") {
            stream.write_all(SWITCHED.as_bytes()).unwrap();
            let _ = give.lock().unwrap().send(Client::over(stream.try_clone().unwrap()));
        }
    });
    (origin, given)
}

/// A server before `origin`.
fn before(origin: &Script, arguments: &[&str]) -> Server {
    let route = format!("/={}", origin.url(""));
    Server::start_with(Root::new(), &[&["--proxy", &route], arguments].concat())
}

/// Both ends of a tunnel through `server`.
fn open(server: &Server, given: &Receiver<Client>) -> (Client, Client) {
    let mut client = server.connect();
    client.send(get_with("/", UPGRADE));
    let response = client.response();
    assert_eq!(
        (response.status, response.field("Connection"), response.field("Upgrade")),
        (101, Some("Upgrade"), Some("x"))
    );
    (client, given.recv_timeout(TIMEOUT).expect("the origin has agreed"))
}

/// Closes a connection with a reset.
fn reset(client: Client) {
    rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_websocket_is_opened_and_its_frames_pass() {
    let origin = Script::parallel(|_, stream| {
        let head = read_head(stream);
        for line in ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Connection: Upgrade", "Upgrade: websocket"] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
        }
        let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
        write!(stream, "{head}\r\n{accept}\r\n\r\n").unwrap();
        // RFC 6455 §5.7: a masked "Hello", and the answer unmasked.
        let mut frame = [0; 11];
        while stream.read_exact(&mut frame).is_ok() {
            assert_eq!(frame, HELLO);
            stream.write_all(b"\x81\x05Hello").unwrap();
        }
    });
    const HELLO: [u8; 11] = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    let server = before(&origin, &[]);
    let mut client = server.connect();
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    client.send(get_with("/chat", &format!("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n{key}")));
    let response = client.response();
    assert_eq!(response.status, 101);
    assert_eq!(response.field("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!((response.count("Content-Length"), response.count("Transfer-Encoding")), (0, 0));
    for _ in 0..100 {
        client.send(HELLO);
        assert_eq!(client.take(7), b"\x81\x05Hello");
    }
}

/// Sends `content` from a thread of its own. Tells `stalled` when nobody takes more for a while.
fn send_all(peer: &Client, content: Vec<u8>, stalled: Sender<()>) -> std::thread::JoinHandle<()> {
    let mut stream = peer.stream.try_clone().unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    std::thread::spawn(move || {
        let mut rest = &content[..];
        while !rest.is_empty() {
            match uninterrupted(|| stream.write(rest)) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => stalled.send(()).unwrap_or_default(),
                Err(error) => panic!("{error}"),
            }
        }
        stream.shutdown(Shutdown::Write).unwrap();
    })
}

#[test]
fn much_passes_in_both_directions_at_once_and_a_slow_one_holds_up_only_itself() {
    let size = 20_000_000;
    let (origin, given) = agreeing();
    let server = before(&origin, &[]);
    let memory = server.memory();
    let (mut client, mut other) = open(&server, &given);
    let (one, other_content) = (pattern(size), pattern(size + 7)[7..].to_vec());
    let (stalled, seen) = channel();
    let (stalled_too, seen_too) = channel();
    let senders = [send_all(&client, one.clone(), stalled), send_all(&other, other_content.clone(), stalled_too)];
    // Nobody reads, so both directions stand still.
    seen.recv_timeout(TIMEOUT).unwrap();
    seen_too.recv_timeout(TIMEOUT).unwrap();
    assert!(server.memory() < memory + 2_000_000, "{memory} then {}", server.memory());
    // The client reads, while the upstream still doesn't.
    let mut received = client.take(size / 2);
    while seen.try_recv().is_ok() {}
    seen.recv_timeout(TIMEOUT).expect("the other direction stands still");
    let reading = std::thread::spawn(move || {
        let mut taken = Vec::new();
        while taken.len() < size {
            taken.extend(other.take((size - taken.len()).min(1_000)));
        }
        assert!(other.is_closed());
        taken
    });
    while received.len() < size {
        received.extend(client.take((size - received.len()).min(5_000)));
    }
    assert!(client.is_closed());
    assert!(received == other_content && reading.join().unwrap() == one);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}

#[test]
fn each_direction_ends_by_itself() {
    let (origin, given) = agreeing();
    let server = before(&origin, &[]);
    for client_first in [true, false] {
        let (client, other) = open(&server, &given);
        let (mut first, mut second) = if client_first { (client, other) } else { (other, client) };
        first.send("last");
        first.end();
        assert_eq!(second.rest(), b"last");
        for _ in 0..3 {
            second.send("still");
            assert_eq!(first.take(5), b"still");
        }
        second.end();
        assert!(first.is_closed());
    }
}

#[test]
fn a_reset_of_one_side_resets_the_other() {
    let (origin, given) = agreeing();
    let server = before(&origin, &[]);
    for client_first in [true, false] {
        for half_closed in [true, false] {
            let (client, other) = open(&server, &given);
            let (mut first, mut second) = if client_first { (client, other) } else { (other, client) };
            if half_closed {
                second.end();
                assert!(first.is_closed());
            }
            first.send("x");
            assert_eq!(second.take(1), b"x");
            reset(first);
            assert_eq!(second.rest_or_reset(), (Vec::new(), true), "{client_first} {half_closed}");
        }
    }
}

#[test]
fn a_silent_tunnel_is_reset() {
    let (origin, given) = agreeing();
    let server = before(&origin, &["--tunnel-timeout", "0.3"]);
    let (mut client, mut other) = open(&server, &given);
    assert_eq!(client.rest_or_reset(), (Vec::new(), true));
    assert_eq!(other.rest_or_reset(), (Vec::new(), true));
}

#[test]
fn early_bytes_are_not_lost() {
    let origin = Script::parallel(|_, stream| {
        read_head(stream);
        stream.write_all(format!("{SWITCHED}at once").as_bytes()).unwrap();
        let mut early = [0; 5];
        stream.read_exact(&mut early).unwrap();
        stream.write_all(&early).unwrap();
    });
    let server = before(&origin, &[]);
    let mut client = server.connect();
    client.send(get_with("/", UPGRADE) + "early");
    assert_eq!(client.response().status, 101);
    assert_eq!(client.take(12), b"at onceearly");
    client.end();
    assert!(client.is_closed());
}

#[test]
fn a_refused_upgrade_is_a_usual_exchange_and_what_follows_it_a_request() {
    let origin = Script::answering(|head| {
        let body = if head.contains("Upgrade: x") { "no" } else { "yes" };
        let status = if head.contains("Upgrade: x") { "403 No" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    });
    let server = before(&origin, &[]);
    let mut client = server.connect();
    client.send(get_with("/", UPGRADE) + &get("/") + &get_with("/", UPGRADE));
    for (status, text) in [(403, "no"), (200, "yes"), (403, "no")] {
        let response = client.response();
        assert_eq!((response.status, &*response.text()), (status, text));
    }
}

#[test]
fn an_upgrade_that_is_not_for_this_connection_is_not_passed_on() {
    let origin = Script::answering(|head| {
        assert!(!head.contains("Upgrade"), "{head}");
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()
    });
    let server = before(&origin, &[]);
    for request in [
        format!("GET / HTTP/1.0\r\nHost: localhost\r\n{UPGRADE}\r\n"),
        get_with("/", "Upgrade: x\r\n"),
        get_with("/", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n"),
        format!("PUT / HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}Content-Length: 1\r\n\r\nx"),
    ] {
        assert_eq!(server.exchange(&request).status, 200, "{request}");
    }
}

#[test]
fn a_change_that_was_not_asked_for_is_a_502() {
    let origin = Script::answering(|_| SWITCHED.to_owned());
    let server = before(&origin, &[]);
    for lines in ["", "Connection: Upgrade\r\nUpgrade: y\r\n"] {
        let response = server.get_with("/", lines);
        assert_eq!((response.status, response.field("Proxy-Status")), (502, Some("miod; error=http_protocol_error")));
    }
}

#[test]
fn an_upstream_that_is_lost_before_it_agrees_is_a_502() {
    let origin = Script::parallel(|_, stream| drop(read_head(stream)));
    let server = before(&origin, &[]);
    let response = server.get_with("/", UPGRADE);
    assert_eq!((response.status, response.field("Proxy-Status")), (502, Some("miod; error=http_response_incomplete")));
}

#[test]
fn the_proxy_says_why_an_upstream_has_failed_and_passes_on_what_others_say() {
    let origin = Script::answering(|_| {
        "HTTP/1.1 502 Bad Gateway\r\nProxy-Status: inner; error=dns_error\r\nContent-Length: 0\r\n\r\n".to_owned()
    });
    let nobody = Deaf::new();
    let closed = nobody.address;
    let server = before(&origin, &["--proxy", &format!("/closed=http://{closed}")]);
    for (path, status) in [("/", "inner; error=dns_error"), ("/closed", "miod; error=connection_refused")] {
        let response = server.get(path);
        assert_eq!((response.status, response.field("Proxy-Status")), (502, Some(status)));
    }
}

#[test]
fn a_tunnel_passes_tls_on_both_sides() {
    let (origin, given) = agreeing();
    let inner = Site::start(&["--tls", "auto", "--proxy", &format!("/ws={}", origin.url(""))]);
    let url = format!("/ws=https://localhost:{}", inner.port());
    let outer = Server::start_with(Root::new(), &["--proxy", &url, "--upstream-ca", &inner.authority()]);
    let mut client = outer.connect();
    client.send(get_with("/ws", UPGRADE) + "early");
    assert_eq!(client.response().status, 101);
    let mut other = given.recv_timeout(TIMEOUT).unwrap();
    assert_eq!(other.take(5), b"early");
    let content = pattern(1_000_000);
    let (stalled, _seen) = channel();
    let sender = send_all(&other, content.clone(), stalled);
    assert!(client.rest() == content);
    sender.join().unwrap();
    client.send("still");
    client.end();
    assert_eq!(other.rest(), b"still");
    // A reset is one behind TLS, too.
    let mut client = outer.connect();
    client.send(get_with("/ws", UPGRADE));
    assert_eq!(client.response().status, 101);
    let mut other = given.recv_timeout(TIMEOUT).unwrap();
    reset(client);
    assert!(other.rest_or_reset().1);
}

#[test]
fn a_tunnel_is_logged_when_it_ends_and_is_in_the_figures() {
    let (origin, given) = agreeing();
    let root = Root::new();
    let (log, admin) = (root.at("log").display().to_string(), root.at("admin"));
    let at = format!("unix:{}", admin.display());
    let arguments = ["--access-log", &log, "--log-format", "json", "--admin", &at];
    let server = before(&origin, &arguments);
    let (mut client, mut other) = open(&server, &given);
    let mut stream = std::os::unix::net::UnixStream::connect(&admin).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut metrics = String::new();
    stream.read_to_string(&mut metrics).unwrap();
    assert!(metrics.contains("miod_http_connections{phase=\"tunnel\"} 1\n"), "{metrics}");
    other.send("12345");
    assert_eq!(client.take(5), b"12345");
    client.send("abc");
    assert_eq!(other.take(3), b"abc");
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "", "it hasn't ended");
    client.end();
    assert!(other.is_closed());
    drop(other);
    assert!(client.is_closed());
    let mut text = String::new();
    assert!(eventually(|| {
        text = std::fs::read_to_string(&log).unwrap();
        text.ends_with('\n')
    }));
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["status"], &line["body_bytes"]), (&101.into(), &5.into()), "{line}");
    assert_eq!(line["upstream"], origin.url(""));
}

#[test]
fn a_shutdown_waits_for_tunnels() {
    let (origin, given) = agreeing();
    let mut server = before(&origin, &[]);
    let (mut client, mut other) = open(&server, &given);
    server.signal("TERM");
    // The listener is closed as soon as the shutdown has begun.
    assert!(eventually(|| std::net::TcpStream::connect(server.address()).is_err()));
    client.send("x");
    assert_eq!(other.take(1), b"x");
    client.end();
    other.end();
    assert!(client.is_closed() && other.is_closed());
    assert_eq!(server.wait().code(), Some(0));
}

/// An echo server, and a client that tells it three things through `miod`.
const WEBSOCKETS: &str = r#"
import asyncio, subprocess, sys
import websockets

async def echo(socket, *_):
    async for message in socket:
        await socket.send(message)

async def main():
    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        miod = await asyncio.create_subprocess_exec(
            sys.argv[1], "serve", sys.argv[2], "-p", "0", "--proxy", f"/ws=http://127.0.0.1:{port}",
            stdout=subprocess.PIPE)
        try:
            banner = (await miod.stdout.readline()).decode()
            address = banner.split("http://")[1].split("/")[0]
            async with websockets.connect(f"ws://{address}/ws", max_size=None) as socket:
                for message in ["hello", b"\x00\xff", "x" * 3_000_000]:
                    await socket.send(message)
                    assert await socket.recv() == message
                await (await socket.ping())
            assert socket.close_code == 1000, socket.close_code
        finally:
            miod.terminate()
            await miod.wait()
    print("fine")

asyncio.run(asyncio.wait_for(main(), 60))
"#;

#[test]
#[ignore = "needs Debian's python3 with python3-websockets"]
fn a_websocket_library_talks_to_itself_through_the_proxy() {
    let root = Root::new();
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", WEBSOCKETS]).arg(miod().get_program()).arg(root.path());
    let outcome = support::run_to_end(&mut command, b"");
    assert_eq!((outcome.code, &*outcome.text()), (Some(0), "fine\n"), "{}", outcome.errors);
}

/// A forward proxy that makes tunnels to these ports.
fn forward(root: &Root, ports: &[u16]) -> Server {
    let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    let mut command = miod();
    command.current_dir(root.path()).args(["proxy", "-p", "0", "--connect-ports", &ports]);
    Server::run(command)
}

#[test]
fn connect_makes_a_tunnel_to_a_server() {
    // The server speaks first, and sends back what comes.
    let echo = Script::parallel(|_, stream| {
        stream.write_all(b"220 hello\r\n").unwrap();
        let mut buffer = [0; 1000];
        while let Ok(count @ 1..) = uninterrupted(|| stream.read(&mut buffer)) {
            stream.write_all(&buffer[..count]).unwrap();
        }
        stream.write_all(b"bye").unwrap();
    });
    let nobody = Deaf::new();
    let closed = nobody.address;
    let root = Root::new();
    let server = forward(&root, &[echo.address.port(), closed.port()]);
    let connect = |at, lines: &str| format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n{lines}\r\n");
    for _ in 0..20 {
        let mut client = server.connect();
        client.send(connect(echo.address, "") + "\x16\x03\x01early");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(client.take(1));
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        for name in ["Content-Length", "Transfer-Encoding", "Connection"] {
            assert!(!head.contains(name), "{head}");
        }
        assert_eq!(client.take(19), b"220 hello\r\n\x16\x03\x01early");
        client.end();
        assert_eq!(client.rest(), b"bye");
    }
    let response = server.exchange(connect(closed, ""));
    assert_eq!((response.status, response.field("Proxy-Status")), (502, Some("miod; error=connection_refused")));
    assert_eq!(server.exchange(connect(echo.address, "Content-Length: 1\r\n") + "x").status, 400);
    // Clients choose whom it asks, so they could fill the log.
    assert!(!server.errors().contains("fails"), "{}", server.errors());
}
