//! The services and tools for datagrams, as processes.

mod support;

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Output, Stdio};

use support::sockets::DeafDatagrams;
use support::{Server, TIMEOUT, eventually, kill, miod, uninterrupted};

/// A service on a free port.
fn service(arguments: &[&str]) -> Server {
    let mut command = miod();
    command.args(arguments).args(["-p", "0"]);
    Server::run(command)
}

/// Ends a server. Returns its summary.
fn end(mut server: Server) -> String {
    server.signal("INT");
    assert_eq!(server.wait().code(), Some(0));
    server.output()
}

/// Runs a tool until it ends. Returns exit code, standard output and standard error.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn ping(arguments: &[&str], target: &str) -> (Option<i32>, String, String) {
    run(miod().arg("ping").args(arguments).arg(target))
}

fn client(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(if to.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    socket.connect(to).unwrap();
    socket
}

#[test]
fn every_datagram_gets_a_response_and_is_counted() {
    let long = vec![b'a'; 65_507];
    let upper_of_long = long.to_ascii_uppercase();
    let cases: [(&[u8], &[u8]); 5] = [
        (b"hello", b"HELLO"),
        (b"", b""),
        ("stra\u{df}e".as_bytes(), b"STRASSE"),
        (b"\xff\0z", b"\xff\0Z"),
        (&long, &upper_of_long),
    ];
    for (word, of_upper) in [("upper", true), ("echo", false)] {
        let server = service(&["udp", word]);
        let client = client(server.address());
        for (datagram, upper) in cases {
            client.send(datagram).unwrap();
            let mut response = vec![0; 65_536];
            let length = uninterrupted(|| client.recv(&mut response)).unwrap();
            assert!(response[..length] == *(if of_upper { upper } else { datagram }), "{word} {datagram:.20?}");
        }
        let output = end(server);
        assert!(output.contains(": 5 received, 0 dropped, 5 answered, 0 duplicated, 0 failed\n"), "{output}");
    }
}

#[test]
fn the_seed_determines_the_losses() {
    for _ in 0..2 {
        let server = service(&["udp", "upper", "--loss", "0.3", "--seed", "7"]);
        assert!(server.banner.ends_with("; seed 7\n"), "{}", server.banner);
        let (code, output, errors) = ping(&["-i", "0.02", "-W", "1.5"], &server.address().to_string());
        assert_eq!((code, errors.as_str()), (Some(0), ""));
        for sequence in 1..=10 {
            let what = if [3, 10].contains(&sequence) { "Request timed out" } else { "Reply from 127.0.0.1:" };
            assert_eq!(output.matches(&format!("Sequence {sequence}: {what}")).count(), 1, "{output}");
        }
        assert!(output.contains("\n10 sent, 8 received, 20% loss\nRTT min/avg/max/mdev = 0."), "{output}");
        assert!(end(server).contains(": 10 received, 2 dropped, 8 answered"));
    }
}

#[test]
fn ping_shows_the_faults_of_a_bad_network() {
    let server = service(&["udp", "echo", "--delay", "60", "--duplicate", "1"]);
    let target = server.address().to_string();
    let (code, output, _) = ping(&["-c", "2", "-i", "0.2", "--json"], &target);
    assert_eq!(code, Some(0));
    let rtt: Vec<f64> = output
        .lines()
        .filter(|line| line.contains("\"reply\""))
        .map(|line| line.split("\"rtt\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap())
        .collect();
    assert!(rtt.len() == 2 && rtt.iter().all(|rtt| (0.06..1.0).contains(rtt)), "{output}");
    assert!(output.contains(r#""sent":2,"received":2,"loss":0.0,"late":0,"duplicates":"#), "{output}");
    assert!(output.contains(r#"{"event":"duplicate","sequence":1"#), "{output}");
    // Late replies are counted as late.
    let (code, output, _) = ping(&["-c", "2", "-i", "1", "-W", "0.02"], &target);
    assert_eq!(code, Some(0));
    assert!(output.contains("Sequence 1: Request timed out\nSequence 1: Late reply from"), "{output}");
    assert!(output.contains("\n2 sent, 0 received, 100% loss, ") && output.contains(" late, "), "{output}");
}

#[test]
fn ping_works_over_ipv6_and_with_large_probes() {
    let server = service(&["udp", "echo", "-b", "::1"]);
    let target = server.address().to_string();
    let (code, output, _) = ping(&["-c", "1", "-s", "9000", "-v"], &target);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains(&format!("Sequence 1: Reply from {target} RTT = ")), "{output}");
    assert!(output.contains(" s \"Ping 1 ") && output.contains(" min/avg/max = "), "{output}");
}

#[test]
fn an_unreachable_service_is_reported_and_is_a_failure() {
    let deaf = DeafDatagrams::new();
    let address = deaf.address;
    let (code, output, errors) = ping(&["-c", "2", "-i", "0.01", "-W", "0.2"], &address.to_string());
    assert_eq!((code, errors.as_str()), (Some(1), ""));
    assert!(output.starts_with(&format!("Sequence 1: can't reach {address}: connection refused\n")), "{output}");
    assert!(output.ends_with("\n2 sent, 0 received, 100% loss\n"), "{output}");
}

#[test]
fn errors_name_the_host_and_the_reason() {
    let (code, output, errors) = ping(&[], "unknown.invalid");
    assert_eq!((code, output.as_str()), (Some(6), ""));
    assert!(errors.starts_with("miod: can't resolve unknown.invalid: "), "{errors}");
    let (code, _, errors) = ping(&["--interval", "never"], "localhost");
    assert_eq!(code, Some(2));
    assert!(errors.contains("--interval=never: give seconds"), "{errors}");

    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, errors) = run(miod().args(["udp", "echo", "-b", &address]));
    assert_eq!(code, Some(69));
    let named = format!("miod: can't listen at {address}: port in use");
    assert!(errors.starts_with(&named) && errors.contains(&format!("(process {})", std::process::id())), "{errors}");
    let (code, _, errors) = run(miod().args(["heartbeat", "watch", "-b", "unix:/tmp/socket"]));
    assert_eq!(code, Some(78));
    assert!(errors.contains("unix:/tmp/socket"), "{errors}");
}

/// A tool that runs until it is interrupted, and its lines.
struct Tool {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Tool {
    fn start(arguments: &[&str]) -> Self {
        let mut child = miod().args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    /// Interrupts it. Returns the exit code and the rest of the output.
    fn interrupt(mut self) -> (Option<i32>, String) {
        kill("INT", self.child.id());
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // It has already ended, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_interrupt_prints_the_summary() {
    let server = service(&["udp", "upper"]);
    let target = server.address().to_string();
    let mut tool = Tool::start(&["ping", "-i", "1000", "-W", "1000", &target]);
    assert!(tool.line().starts_with("Sequence 1: Reply from"));
    let (code, rest) = tool.interrupt();
    assert_eq!(code, Some(0));
    assert!(rest.contains("\n1 sent, 1 received, 0% loss\nRTT min/avg/max/mdev = "), "{rest}");
}

#[test]
fn a_closed_pipe_ends_the_tool_quietly() {
    let server = service(&["udp", "upper"]);
    let target = server.address().to_string();
    let mut command = miod();
    command.args(["ping", "-c", "1000000", "-i", "0.01", &target]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    drop(lines);
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(0), ""));
}

#[test]
fn the_watcher_reports_the_state_of_each_sender() {
    let watcher = service(&["heartbeat", "watch", "--timeout", "0.3"]);
    let target = watcher.address().to_string();
    let expect = |part: &str| assert!(eventually(|| watcher.output().contains(part)), "{part}: {}", watcher.output());

    // One sender is the tool, the other is this test.
    let heart = Tool::start(&["heartbeat", "send", "-i", "0.05", &target]);
    expect(": heartbeat 3, delay 0.");
    let (code, rest) = heart.interrupt();
    assert_eq!(code, Some(0));
    assert!(rest.ends_with(&format!(" heartbeats sent to {target}\n")), "{rest}");

    let client = client(watcher.address());
    let local = client.local_addr().unwrap();
    client.send(b"Heartbeat 1 4102444800.0").unwrap();
    client.send(b"Heartbeat 4 4102444801.0").unwrap();
    client.send(b"Heartbeat 3 4102444800.5").unwrap();
    client.send(b"\xff").unwrap();
    expect(&format!("{local}: heartbeat 1, delay -"));
    expect(" s, 2 to 3 are missing\n");
    expect(" s, out of order after 4\n");
    expect(&format!("{local}: lost since 20"));
    client.send(b"Heartbeat 5 4102444802.0").unwrap();
    expect(&format!("{local}: back after "));
    let all = end(watcher);
    assert!(all.contains(&format!("{local}: 4 received, 1 missing, 1 out of order, 0 duplicate, delay")), "{all}");
    assert!(all.contains("1 datagrams were not heartbeats"), "{all}");
}

#[test]
fn a_sender_continues_without_a_receiver() {
    let deaf = DeafDatagrams::new();
    let address = deaf.address;
    let mut heart = Tool::start(&["heartbeat", "send", "-i", "0.02", "--json", &address.to_string()]);
    assert_eq!(
        heart.line(),
        format!("{{\"event\":\"error\",\"to\":\"{address}\",\"reason\":\"connection refused\"}}\n")
    );
    let watcher = deaf.listen();
    let mut datagram = [0; 100];
    let length = uninterrupted(|| watcher.recv(&mut datagram)).unwrap();
    assert!(datagram[..length].starts_with(b"Heartbeat "));
    assert_eq!(heart.line(), format!("{{\"event\":\"recovered\",\"to\":\"{address}\"}}\n"));
    let (code, rest) = heart.interrupt();
    assert_eq!(code, Some(0));
    assert!(rest.starts_with(&format!("{{\"event\":\"summary\",\"to\":\"{address}\",\"sent\":")), "{rest}");
}
