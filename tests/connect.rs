//! `miod connect` with the real binary.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use support::sockets::{Deaf, DeafDatagrams};
use support::{Ended, Outcome, Script, Server, TIMEOUT, UNKNOWN, eventually, miod, pattern, run_to_end, uninterrupted};

fn connect(arguments: &[&str], input: &[u8]) -> Outcome {
    run_to_end(miod().arg("connect").args(arguments), input)
}

fn service(name: &str) -> (Server, String) {
    let mut command = miod();
    command.args([name, "-p", "0"]);
    let server = Server::run(command);
    let port = server.address().port().to_string();
    (server, port)
}

#[test]
fn bytes_are_echoed_and_eof_on_input_ends_the_command() {
    let (_echo, port) = service("echo");
    for host in ["127.0.0.1", "localhost"] {
        let outcome = connect(&[host, &port], b"hello\n\xff\0 and no end");
        assert_eq!((outcome.code, &outcome.out[..]), (Some(0), &b"hello\n\xff\0 and no end"[..]), "{}", outcome.errors);
    }
    assert_eq!(connect(&["127.0.0.1", &port], b"").out, b"");
    let large = pattern(5_000_000);
    // A line `exit` would end it.
    assert!(connect(&["127.0.0.1", &port], &large).out == large);
    let (_upper, port) = service("upper");
    assert_eq!(connect(&["localhost", &port], "straße\n".as_bytes()).text(), "STRASSE\n");
}

#[test]
fn the_command_ends_when_the_service_closes() {
    let (_echo, port) = service("echo");
    let mut child = miod()
        .args(["connect", "127.0.0.1", &port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map(Ended)
        .unwrap();
    // The input of the command stays open.
    let mut stdin = child.0.stdin.take().unwrap();
    stdin.write_all(b"hello\nexit\n").unwrap();
    let mut output = String::new();
    child.0.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert_eq!(output, "hello\n");
    assert!(eventually(|| child.0.try_wait().unwrap().is_some_and(|status| status.success())));
}

#[test]
fn output_continues_after_eof_on_input() {
    let server = Script::start(|_, stream| {
        let mut output = Vec::new();
        stream.read_to_end(&mut output).unwrap();
        stream.write_all(&output.repeat(2)).unwrap();
    });
    assert_eq!(connect(&["127.0.0.1", &server.address.port().to_string()], b"abc").text(), "abcabc");
}

#[test]
fn input_is_not_read_while_the_service_does_not_read() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut child = miod()
        .args(["connect", "127.0.0.1", &port])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map(Ended)
        .unwrap();
    let mut stdin = child.0.stdin.take().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    rustix::fs::fcntl_setfl(&stdin, rustix::fs::OFlags::NONBLOCK).unwrap();
    // Writes until nothing is accepted for a while.
    let (mut taken, some) = (0, vec![b'x'; 64 * 1024]);
    loop {
        match stdin.write(&some) {
            Ok(count) => taken += count,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        assert!(taken < 100_000_000, "it reads without a limit");
        let most = Duration::from_millis(300).try_into().unwrap();
        let mut fds = [rustix::event::PollFd::new(&stdin, rustix::event::PollFlags::OUT)];
        if uninterrupted(|| Ok(rustix::event::poll(&mut fds, Some(&most))?)).unwrap() == 0 {
            break;
        }
    }
    drop(stdin);
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), taken, "nothing is lost");
}

#[test]
fn an_unreachable_server_is_reported_with_the_reason() {
    let nobody = Deaf::new();
    let unused = nobody.address;
    let outcome = connect(&["127.0.0.1", &unused.port().to_string()], b"");
    assert_eq!(outcome.code, Some(7));
    assert_eq!(outcome.errors, format!("miod: can't connect to {unused}: connection refused\n"));
    assert_eq!(connect(&[UNKNOWN, "1"], b"").code, Some(6));
    assert_eq!(connect(&["a"], b"").code, Some(2));
}

#[test]
fn a_reset_is_reported() {
    let server = Script::start(|_, stream| {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
    });
    let outcome = connect(&["127.0.0.1", &server.address.port().to_string()], b"x");
    assert_eq!(outcome.code, Some(56), "{}", outcome.errors);
}

// ---- Datagrams

/// Sends back `count` datagrams in upper case. Returns the received datagrams.
fn upper(count: usize) -> (String, std::thread::JoinHandle<Vec<Vec<u8>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    let thread = std::thread::spawn(move || {
        let mut datagram = vec![0; 70_000];
        let response = |_| {
            let (length, from) = uninterrupted(|| socket.recv_from(&mut datagram)).unwrap();
            socket.send_to(&datagram[..length].to_ascii_uppercase(), from).unwrap();
            datagram[..length].to_vec()
        };
        (0..count).map(response).collect()
    });
    (port, thread)
}

#[test]
fn each_line_is_a_datagram_and_each_response_a_line() {
    let (port, server) = upper(5);
    let outcome = connect(&["--udp", "--wait", "20", "127.0.0.1", &port], b"one\ntwo\r\n\n\xff\0\nlast");
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert_eq!(outcome.out, b"ONE\nTWO\n\n\xff\0\nLAST\n");
    assert_eq!(server.join().unwrap(), [&b"one"[..], b"two", b"", b"\xff\0", b"last"]);
}

#[test]
fn many_lines_are_sent_one_by_one_and_none_is_lost() {
    let (port, server) = upper(2000);
    let lines: String = (0..2000).map(|n| format!("line {n}\n")).collect();
    let outcome = connect(&["-u", "-w", "20", "localhost", &port], lines.as_bytes());
    assert_eq!((outcome.text(), outcome.code), (lines.to_uppercase(), Some(0)), "{}", outcome.errors);
    server.join().unwrap();
}

#[test]
fn a_line_too_long_for_a_datagram_is_reported_and_the_next_is_sent() {
    let (port, server) = upper(1);
    let input = [&vec![b'x'; 200_000][..], b"\nok\n"].concat();
    let outcome = connect(&["--udp", "--wait", "20", "127.0.0.1", &port], &input);
    assert_eq!((outcome.text().as_str(), outcome.code), ("OK\n", Some(28)));
    assert!(outcome.errors.contains("2 sent, 1 answered"), "{}", outcome.errors);
    assert!(outcome.errors.contains("a line isn't sent: message too long"), "{}", outcome.errors);
    server.join().unwrap();
}

#[test]
fn missing_replies_end_the_command_and_are_an_error() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let outcome = connect(&["--udp", "--wait", "0.1", "127.0.0.1", &port], b"hello\n");
    assert_eq!((outcome.code, outcome.out.len()), (Some(28), 0));
    let missing = format!("miod: 127.0.0.1, port {port}: not every line got a reply: 1 sent, 0 answered\n");
    assert_eq!(outcome.errors, missing);
    let deaf = DeafDatagrams::new();
    let port = deaf.address.port().to_string();
    let outcome = connect(&["--udp", "--wait", "20", "127.0.0.1", &port], b"hello\n");
    assert_eq!(outcome.code, Some(7), "{}", outcome.errors);
}
