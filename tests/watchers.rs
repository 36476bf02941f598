//! Watchers of events over real sockets: the memory of each, and that waking all of them
//! delays no other request. In a process of its own, because the allocator counts for the
//! whole process.

mod support;

use std::alloc::System;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use miod::app::{Answer, App, Call, Methods, Request, Response};
use miod::http::head::Method;
use miod::http::{Status, event_stream};
use miod::limits;
use miod::service::http::Host;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::in_process::InProcess;
use support::{Client, TIMEOUT, get, uninterrupted};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const WATCHERS: usize = 1_000;
/// The limit for one watcher: slot, boxes (with the place of an encoder), and its share of tables.
const MOST: usize = 528;

/// Counts POSTs, and sends an event for each.
struct Counter(u64);

impl App for Counter {
    fn methods(&self, _path: &[u8]) -> Methods {
        Methods::Only(&[Method::Get, Method::Post])
    }

    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        match (request.head.method, request.path) {
            (Method::Post, _) => {
                self.0 += 1;
                call.news = true;
                Answer::now(Response::new(Status::NO_CONTENT))
            }
            (_, b"/hello") => Answer::now(Response::new(Status::OK).text("hello")),
            _ => Answer::Watch(self.0),
        }
    }

    fn events(&mut self, seen: u64, out: &mut Vec<u8>, _: usize) -> u64 {
        if seen < self.0 {
            event_stream::event(self.0, "count", &self.0.to_string(), out);
        }
        self.0
    }
}

/// Enables access lines and drops them, so that they are formatted.
struct Sink;

impl log::Log for Sink {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, _: &log::Record<'_>) {}
    fn flush(&self) {}
}

/// Serves the counter at `/`.
fn serve() -> InProcess {
    InProcess::start(|| {
        let mut host = Host::default();
        host.routes.mount("/", Box::new(Counter(0))).unwrap();
        host
    })
}

/// The request of a browser that watches.
const WATCH: &str = "GET /events?after=12345 HTTP/1.1\r\nHost: localhost:8080\r\nConnection: keep-alive\r\n\
    sec-ch-ua-platform: \"Linux\"\r\nCache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    Accept: text/event-stream\r\nsec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n\
    Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nReferer: http://localhost:8080/board\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\
    Cookie: sessionId=3d9f0c1e-6b52-4c7b-9f3c-1f8f0b8f9a55\r\n\r\n";

/// Whether no byte has arrived yet.
fn has_nothing(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let nothing = matches!(stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    nothing
}

#[test]
fn a_watcher_uses_little_memory_and_waking_a_thousand_delays_no_request() {
    log::set_logger(&Sink).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let server = serve();
    let address = server.address;
    let mut other = Client::connect(address);
    let mut poster = Client::connect(address);
    for client in [&mut other, &mut poster] {
        client.send(get("/hello"));
        assert_eq!(client.response().text(), "hello");
    }
    // Recognized header fields are stored once for all connections.
    for _ in 0..limits::REMEMBERED_SECTIONS {
        let mut client = Client::connect(address);
        client.send(WATCH.replace("/events?after=12345", "/hello"));
        assert_eq!(client.response().text(), "hello");
    }
    let mut watchers = Vec::with_capacity(WATCHERS);
    let mut beginning = vec![0; 1024];
    let region = Region::new(ALLOCATOR);
    for _ in 0..WATCHERS {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(WATCH.as_bytes()).unwrap();
        let count = uninterrupted(|| stream.read(&mut beginning)).unwrap();
        assert!(beginning[..count].ends_with(b"retry: 2000\nid: 0\n\n\r\n"));
        watchers.push(stream);
    }
    let change = region.change();
    let each = (change.bytes_allocated - change.bytes_deallocated) / WATCHERS;
    println!("a watcher takes {each} bytes");
    assert!(each <= MOST, "{each} bytes");

    // A request is served while the watchers are woken. Whether the test can see this
    // depends on the scheduler, so it tries more than once.
    let mut overtook = false;
    for number in 1..=50 {
        poster.send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(poster.response().status, 204);
        other.send(get("/hello"));
        assert_eq!(other.response().text(), "hello");
        overtook |= watchers.iter().any(has_nothing);
        let event = format!("id: {number}\nevent: count\ndata: {number}\n\n");
        let event = format!("{:X}\r\n{event}\r\n", event.len());
        let mut some = vec![0; event.len()];
        for stream in &mut watchers {
            stream.read_exact(&mut some).unwrap();
            assert_eq!(some, event.as_bytes());
        }
        if overtook {
            break;
        }
    }
    assert!(overtook, "a small request waits until all watchers have their event");
    server.finish();
}
