//! Timeouts disconnect stalled clients, but not slow ones.

mod support;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use support::{Root, Server, eventually, get, pattern, with_small_buffer};

const STEP: Duration = Duration::from_millis(40);
/// A deadline is met if the end is after it and not much later; the machine may be busy.
const MARGIN: Duration = Duration::from_secs(5);

fn assert_on_time(begin: Instant, least_ms: u64) {
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_millis(least_ms), "too early: {elapsed:?}");
    assert!(elapsed < MARGIN, "too late: {elapsed:?}");
}

fn site() -> Root {
    let root = Root::new();
    root.old_file("index.html", "index");
    root
}

#[test]
fn an_incomplete_head_gets_408() {
    let server = Server::start_with(site(), &["--apps", "--header-timeout", "0.2"]);
    for beginning in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: x\r\nAccept: te", "\r\n"] {
        let mut client = server.connect();
        let begin = Instant::now();
        client.send(beginning);
        let (rest, _) = client.rest_or_reset();
        assert_on_time(begin, 150);
        let text = String::from_utf8(rest).unwrap();
        if beginning != "\r\n" {
            assert!(text.starts_with("HTTP/1.1 408 ") && text.contains("\r\nConnection: close\r\n"), "{text}");
        }
    }
}

#[test]
fn bytes_of_a_head_do_not_extend_its_timeout() {
    let server = Server::start_with(site(), &["--apps", "--header-timeout", "0.3"]);
    // As the first request of a connection, and as a later one.
    for earlier in [false, true] {
        let mut client = server.connect();
        if earlier {
            client.send(get("/"));
            assert_eq!(client.response().status, 200);
        }
        let begin = Instant::now();
        for byte in get(&"/a".repeat(500)).bytes() {
            client.send([byte]);
            if !client.is_silent_for(STEP) {
                break;
            }
        }
        assert_eq!(client.response().status, 408);
        assert_on_time(begin, 250);
    }
}

#[test]
fn a_silent_connection_is_closed_without_a_response() {
    let server = Server::start_with(site(), &["--apps", "--header-timeout", "0.2", "--idle-timeout", "0.3"]);
    let begin = Instant::now();
    let mut silent = server.connect();
    let mut idle = server.connect();
    let since = Instant::now();
    idle.send(get("/"));
    assert_eq!(idle.response().status, 200);
    assert!(idle.is_closed());
    assert_on_time(since, 250);
    assert!(silent.is_closed());
    // The kernel passes on a connection without input only after some seconds.
    assert!(begin.elapsed() < 2 * MARGIN);
}

#[test]
fn the_idle_timeout_restarts_after_each_request() {
    let server = Server::start_with(site(), &["--apps", "--header-timeout", "0.2", "--idle-timeout", "0.8"]);
    let mut client = server.connect();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        client.send(get("/"));
        assert_eq!(client.response().status, 200);
        assert!(client.is_silent_for(Duration::from_millis(60)));
    }
}

#[test]
fn a_stalled_body_gets_408_and_a_slow_one_does_not() {
    let server = Server::start_with(site(), &["--apps", "--body-timeout", "0.6", "--header-timeout", "0.2"]);
    let post = "POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n";
    let mut client = server.connect();
    let begin = Instant::now();
    client.send(post.to_owned() + "abc");
    let response = client.response();
    assert_eq!((response.status, response.field("Connection")), (408, Some("close")));
    assert_on_time(begin, 550);
    assert!(client.is_closed());

    let mut client = server.connect();
    client.send(post);
    let begin = Instant::now();
    for byte in b"abcdefghijklmnopqrst" {
        assert!(client.is_silent_for(STEP));
        client.send([*byte]);
    }
    assert!(begin.elapsed() > Duration::from_millis(600));
    let response = client.response();
    assert_eq!(response.status, 200);
    assert!(response.text().contains("abcdefghijklmnopqrst"), "{}", response.text());
}

#[test]
fn a_client_that_does_not_read_is_disconnected() {
    let root = site();
    root.old_file("large", pattern(24 << 20));
    let server = Server::start(&root, &["--apps", "--send-timeout", "0.3"]);
    let begin = Instant::now();
    let mut client = with_small_buffer(server.address());
    client.send(get("/large"));
    let mut error = None;
    assert!(eventually(|| {
        error = client.stream.take_error().unwrap();
        error.is_some()
    }));
    assert_on_time(begin, 250);
    assert_eq!(error.unwrap().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_slow_but_steady_reader_gets_everything() {
    let root = site();
    let content = pattern(12 << 20);
    root.old_file("large", &content);
    let server =
        Server::start(&root, &["--apps", "--send-timeout", "1.5", "--idle-timeout", "0.1", "--header-timeout", "0.1"]);
    let mut client = with_small_buffer(server.address());
    client.send(get("/large"));
    client.response_to("HEAD");
    let begin = Instant::now();
    // It reads so slowly that the buffers don't hide it for the length of the timeout.
    let mut body = client.take_slowly(2 << 20, 64 * 1024, Duration::from_millis(60));
    assert!(begin.elapsed() > Duration::from_millis(1_500), "{:?}", begin.elapsed());
    body.extend(client.take(content.len() - body.len()));
    assert!(body == content);
}

#[test]
fn pauses_of_a_stream_do_not_time_out() {
    let arguments = ["--apps", "--send-timeout", "0.1", "--idle-timeout", "0.1", "--header-timeout", "0.1"];
    let server = Server::start_with(site(), &arguments);
    let response = server.get("/lab/stream?chunks=3&ms=300");
    assert_eq!((response.status, response.text().lines().count()), (200, 3));
}

#[test]
fn what_came_while_the_process_was_stopped_is_read_before_deadlines() {
    let server = Server::start_with(site(), &["--apps", "--header-timeout", "1.5"]);
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\n"));
    // A response on another connection shows that the beginnings are read.
    assert_eq!(server.get("/").status, 200);
    server.signal("STOP");
    clients.iter_mut().for_each(|client| client.send("Host: x\r\n\r\n"));
    // Longer than the timeout: for a process that is stopped only real time passes.
    std::thread::sleep(Duration::from_secs(2));
    server.signal("CONT");
    for mut client in clients {
        assert_eq!(client.response().status, 200);
    }
}
