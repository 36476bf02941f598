//! The parsers of HTTP, and complete exchanges without a socket.

use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use miod::app::catalogue::{self, Supplies};
use miod::app::{Answer, App, Call, Request, Response};
use miod::files::resolve::{Root, Symlinks};
use miod::files::{Settings, Site};
use miod::http::FieldLines;
use miod::http::Status;
use miod::http::chunked::Decoder;
use miod::http::head;
use miod::reactor::{Accepted, Ends, Input, Io, Output, TestContext, Tick, Time};
use miod::server::Log;
use miod::service;
use miod::service::http::{Http, Limits};

const SMALL: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench\r\n\r\n";
const BROWSER: &[u8] = b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: keep-alive\r\n\
    sec-ch-ua-platform: \"Linux\"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
    sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\nAccept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\nReferer: http://127.0.0.1:8080/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n\r\n";

fn heads(c: &mut Criterion) {
    let mut group = c.benchmark_group("head");
    for (name, bytes) in [("small", SMALL), ("browser", BROWSER)] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |b| {
            let input = bytes.to_vec();
            b.iter(|| {
                let mut lines = FieldLines::default();
                let head = head::parse(black_box(&input), &mut lines).unwrap().unwrap();
                black_box(head.length)
            });
        });
    }
}

fn chunked(c: &mut Criterion) {
    let mut group = c.benchmark_group("chunked");
    for (name, size) in [("chunks of 16", 16), ("chunks of 4096", 4096)] {
        let mut body = Vec::new();
        for _ in 0..64 * 1024 / size {
            body.extend_from_slice(format!("{size:x}\r\n").as_bytes());
            body.resize(body.len() + size, b'x');
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut decoder = Decoder::new();
                let (mut at, mut content) = (0, 0);
                while !decoder.is_done() {
                    let progress = decoder.read(black_box(&body[at..])).unwrap();
                    at += progress.consumed;
                    content += progress.content.len();
                }
                content
            });
        });
    }
}

/// A connection without a socket.
struct Connection {
    shared: service::Shared,
    context: TestContext<service::Service>,
    http: Http,
    input: Input,
    output: Output,
    etag: String,
    /// The cookie of a session in memory.
    cookie: String,
}

const SMALL_COUNTER: &str = "GET /counter HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench\r\n\
    Accept: application/json\r\nCookie: COOKIE\r\n\r\n";

/// An application that only reads the session.
struct Reads;

impl App for Reads {
    fn reads_session(&self) -> bool {
        true
    }

    fn handle(&mut self, _: &Request<'_>, call: &mut Call<'_>) -> Answer {
        let count = call.session().get("count").map(ToString::to_string).unwrap_or_default();
        Answer::now(Response::new(Status::OK).text(count))
    }
}

fn ends() -> Ends<'static> {
    const LOCAL: &SocketAddr = &SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
    Ends::for_test(SocketAddr::from(([127, 0, 0, 1], 50_000)), LOCAL)
}

const TIME: Time = Time { now: Tick::from_micros(0), unix_seconds: 2_000_000_000, unix_micros: 0 };

impl Connection {
    fn new() -> Self {
        let root = std::env::temp_dir().join(format!("miod-bench-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("index.html"), [b'x'; 1024]).unwrap();
        let settings = Settings::default();
        let mut host = service::http::Host::default();
        host.files = Some(std::rc::Rc::new(Site::new(Root::open(&root, Symlinks::Inside).unwrap(), settings).into()));
        let counter = catalogue::find("counter").unwrap();
        host.routes.mount(counter.path, (counter.make)(&mut Supplies::default())).unwrap();
        host.routes.mount("/reads", Box::new(Reads)).unwrap();
        let http = service::http::Shared::new(Limits::default(), host);
        let mut shared = service::Shared::new(http, Log::default());
        let mut context = TestContext::default();
        let accepted = Accepted {
            listener: service::Kind::Http(service::http::HostsId::default()),
            ends: ends(),
            overloaded: false,
        };
        let http =
            Http::open(&accepted, service::http::HostsId::default(), &mut context.context(&mut shared, TIME, false));
        let (input, output) = (Input::default(), Output::default());
        let mut connection = Self { shared, context, http, input, output, etag: String::new(), cookie: String::new() };
        connection.exchange(SMALL, |response| response.to_vec());
        let response = connection.exchange(SMALL, |response| String::from_utf8_lossy(response).into_owned());
        connection.etag = response.split("ETag: ").nth(1).unwrap().split('\r').next().unwrap().to_owned();
        let first = SMALL_COUNTER.replace("COOKIE", "a=b");
        let response = connection.exchange(first.as_bytes(), |response| String::from_utf8_lossy(response).into_owned());
        connection.cookie = response.split("Set-Cookie: ").nth(1).unwrap().split(';').next().unwrap().to_owned();
        fs::remove_dir_all(&root).unwrap();
        connection
    }

    fn exchange<R>(&mut self, request: &[u8], look: impl FnOnce(&[u8]) -> R) -> R {
        self.input.extend(request);
        let mut cx = self.context.context(&mut self.shared, TIME, false);
        let mut io = Io {
            input: &mut self.input,
            output: &mut self.output,
            ended: false,
            truncated: false,
            unread: false,
            gone: false,
            established: true,
            ends: ends(),
        };
        self.http.advance(&mut io, &mut cx);
        let result = look(self.output.bytes());
        self.output.clear();
        result
    }
}

fn exchanges(c: &mut Criterion) {
    let mut connection = Connection::new();
    let head = String::from_utf8_lossy(&SMALL[..SMALL.len() - 2]).into_owned();
    let counter = SMALL_COUNTER.replace("COOKIE", &connection.cookie);
    let cases = [
        ("plain", head.clone() + "\r\n", "200", 1),
        ("pipelined by 16", (head.clone() + "\r\n").repeat(16), "200", 16),
        ("range", head.clone() + "Range: bytes=100-199\r\n\r\n", "206", 1),
        ("304", format!("{head}If-None-Match: {}\r\n\r\n", connection.etag), "304", 1),
        ("404", head.replace("/index.html", "/nope") + "\r\n", "404", 1),
        ("browser", String::from_utf8_lossy(BROWSER).into_owned(), "200", 1),
        ("session read", counter.replace("/counter", "/reads"), "200", 1),
        ("session read and written", counter, "200", 1),
    ];
    let mut group = c.benchmark_group("exchange");
    for (name, request, status, count) in cases {
        let response =
            connection.exchange(request.as_bytes(), |response| String::from_utf8_lossy(response).into_owned());
        assert_eq!(response.matches(&format!("HTTP/1.1 {status} ")).count(), count, "{response}");
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(name, |b| b.iter(|| connection.exchange(request.as_bytes(), |response| response.len())));
    }
}

criterion_group!(benches, heads, chunked, exchanges);
criterion_main!(benches);
