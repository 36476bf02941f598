//! The access log: one line for each request, with correct values.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use support::site::Site;
use support::{Root, Server, await_lines, eventually, get, get_with, head_with, miod, pattern, run_to_end};

/// A parsed line.
#[derive(Debug, Default)]
struct Line {
    host: String,
    moment: String,
    request: String,
    status: u16,
    body: u64,
    referer: String,
    agent: String,
    port: String,
    local: String,
    seconds: f64,
    bytes: u64,
    /// The numbers of connection and request.
    number: String,
}

/// Parses a line. Panics if it differs from the format.
fn parse(line: &str) -> Line {
    let mut rest = line;
    let mut until = |end: &str| {
        // In a quoted field, a quotation mark after a backslash is text.
        let mut from = 0;
        let at = loop {
            let at = from + rest[from..].find(end).unwrap_or_else(|| panic!("no {end:?} in {line:?}"));
            let slashes = rest[..at].len() - rest[..at].trim_end_matches('\\').len();
            if slashes.is_multiple_of(2) || !end.starts_with('"') {
                break at;
            }
            from = at + 1;
        };
        let part = rest[..at].to_owned();
        rest = &rest[at + end.len()..];
        part
    };
    let host = until(" - - [");
    let moment = until("] \"");
    let request = until("\" ");
    let status = until(" ").parse().unwrap();
    let body = until(" \"").parse().unwrap();
    let referer = until("\" \"");
    let agent = until("\" ");
    let (port, local) = (until(" "), until(" "));
    let duration = until(" ");
    assert_eq!(duration.split_once('.').unwrap().1.len(), 6, "{line}");
    let bytes = until(" ").parse().unwrap();
    let number = rest.to_owned();
    let (connection, count) = number.split_once('/').unwrap();
    assert!(connection.parse::<u32>().is_ok() && count.parse::<u32>().is_ok(), "{line}");
    let seconds = duration.parse().unwrap();
    Line { host, moment, request, status, body, referer, agent, port, local, seconds, bytes, number }
}

struct Logged {
    root: Root,
    server: Server,
}

impl Logged {
    fn new(arguments: &[&str]) -> Self {
        let root = Root::new();
        root.old_file("www/index.html", "index").old_file("www/large", pattern(24 << 20));
        let mut command = miod();
        command
            .arg("serve")
            .arg(root.at("www"))
            .args(["-p", "0", "--apps", "--access-log"])
            .arg(root.at("log"))
            .args(arguments);
        Self { server: Server::run(command), root }
    }

    /// Waits for `count` lines. Returns all lines.
    fn lines(&self, count: usize) -> Vec<Line> {
        await_lines(&self.root.at("log"), count).iter().map(|line| parse(line)).collect()
    }

    /// The line of the last request.
    fn last(&self, count: usize) -> Line {
        self.lines(count).pop().unwrap()
    }
}

#[test]
fn a_line_has_every_field_of_the_format() {
    let logged = Logged::new(&[]);
    let mut client = logged.server.connect();
    let (own, served) = (client.stream.local_addr().unwrap(), client.stream.peer_addr().unwrap());
    client.send(get_with("/?a=b", "User-Agent: test/1.0 (x)\r\nReferer: http://example.org/\r\n"));
    let response = client.response();
    let line = logged.last(1);
    assert_eq!((line.host.as_str(), line.port), ("127.0.0.1", own.port().to_string()));
    assert_eq!(line.local, served.to_string());
    assert_eq!((line.request.as_str(), line.status, line.body), ("GET /?a=b HTTP/1.1", 200, 5));
    assert_eq!((line.referer.as_str(), line.agent.as_str()), ("http://example.org/", "test/1.0 (x)"));
    assert_eq!(line.bytes as usize, response.head.len() + response.body.len());
    assert!(line.seconds < 5.0);
    // The same time as in the response, in another format: Sat, 21 Nov 2026 07:15:00 GMT.
    let date: Vec<&str> = response.field("Date").unwrap().split(' ').collect();
    assert_eq!(line.moment, format!("{}/{}/{}:{} +0000", date[1], date[2], date[3], date[4]));

    client.send(head_with("/large", ""));
    let head = client.response_to("HEAD");
    let line = logged.last(2);
    assert_eq!((line.request.as_str(), line.status, line.body), ("HEAD /large HTTP/1.1", 200, 0));
    assert_eq!((line.referer.as_str(), line.agent.as_str(), line.bytes as usize), ("-", "-", head.head.len()));
    assert_eq!(line.number.split_once('/').unwrap().1, "2");

    let cases = [
        (get_with("/", "If-None-Match: *\r\n"), 304, 0),
        (get_with("/large", "Range: bytes=0-99\r\n"), 206, 100),
        (get_with("/large", "Range: bytes=0-99999\r\n"), 206, 100_000),
        (get_with("/large", "Range: bytes=99999999-\r\n"), 416, 0),
        (get("/large"), 200, 24 << 20),
        (get("/www"), 404, 0),
    ];
    for (at, (request, status, body)) in cases.into_iter().enumerate() {
        client.send(request);
        let response = client.response();
        assert_eq!(response.status, status);
        let line = logged.last(3 + at);
        assert_eq!(line.status, status);
        assert_eq!(line.body as usize, response.body.len());
        assert_eq!(line.bytes as usize, response.head.len() + response.body.len());
        if body > 0 {
            assert_eq!(line.body, body);
        }
    }
}

#[test]
fn the_log_and_the_error_page_have_the_same_request_number() {
    let logged = Logged::new(&[]);
    let mut client = logged.server.connect();
    for count in 1..=3 {
        client.send(get("/missing"));
        let page = client.response().text();
        let number = logged.last(count).number;
        assert!(page.ends_with(&format!("\nRequest {number}\n")), "{number} {page}");
        assert!(number.ends_with(&format!("/{count}")));
    }
    // A malformed request has a number too.
    client.send("nonsense\r\n\r\n");
    let page = client.response().text();
    let line = logged.last(4);
    assert_eq!((line.request.as_str(), line.status), ("nonsense", 400));
    assert!(page.ends_with(&format!("\nRequest {}\n", line.number)), "{page}");
    let first = logged.lines(4).remove(0).number;
    logged.server.get("/missing");
    assert_ne!(logged.last(5).number, first);
}

#[test]
fn an_error_page_of_the_site_has_the_request_number_where_it_wants_it() {
    let logged = Logged::new(&[]);
    let page = "<p>Request <!-- request -->, not <!-- request --></p>";
    logged.root.old_file("www/404.html", page).old_file("www/50x.html", "x".repeat(100_000) + page);
    let mut client = logged.server.connect();
    for count in 1..=2 {
        client.send(get("/missing"));
        let text = client.response().text();
        let number = logged.last(count).number;
        assert_eq!(text, format!("<p>Request {number}, not <!-- request --></p>"));
    }
    client.send(get_with("/missing", "Connection: close\r\n").replace("GET", "HEAD"));
    let (head, _) = client.rest_or_reset();
    let text = String::from_utf8(head).unwrap();
    assert!(text.contains("\r\nContent-Length: 40\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    // A large page is sent as it is.
    logged.server.signal("USR2");
    assert!(eventually(|| logged.server.get("/").text().ends_with(page)));
}

#[test]
fn requests_cannot_forge_a_line() {
    let logged = Logged::new(&[]);
    let agent = b"User-Agent: a\" 200 1 \"-\" \\ \tb\xc3\xa9\r\nReferer: \"\r\n\r\n";
    let request = [&b"GET /%0a\"quoted\" HTTP/1.1\r\nHost: x\r\n"[..], agent].concat();
    assert_eq!(logged.server.exchange(&request).status, 400);
    let line = logged.last(1);
    assert_eq!(line.request, r"GET /%0a\x22quoted\x22 HTTP/1.1");
    let agent = r"a\x22 200 1 \x22-\x22 \x5c \x09b\xc3\xa9";
    assert_eq!((line.agent.as_str(), line.referer.as_str()), (agent, r"\x22"));
    logged.server.exchange("GET /\x01\x7f\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n");
    let line = logged.last(2);
    assert_eq!(line.status, 400);
    assert_eq!(line.request, r"GET /\x01\x7f\xc3\xa9 HTTP/1.1");
    let text = fs::read(logged.root.at("log")).unwrap();
    assert!(text.iter().all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\n'));
}

#[test]
fn the_duration_begins_with_the_first_byte_of_the_request() {
    const PAUSE: Duration = Duration::from_millis(30);
    let logged = Logged::new(&[]);
    let mut client = logged.server.connect();
    // A head in two pieces, as the first request and as a later one; then a body in two.
    for _ in 0..2 {
        let request = get("/");
        client.send(&request[..10]);
        client.until_read();
        assert!(client.is_silent_for(PAUSE));
        client.send(&request[10..]);
        assert_eq!(client.response().status, 200);
    }
    client.send("POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na");
    client.until_read();
    assert!(client.is_silent_for(PAUSE));
    client.send("b");
    assert_eq!(client.response().status, 200);
    for line in logged.lines(3) {
        assert!(line.seconds >= PAUSE.as_secs_f64(), "{line:?}");
    }
}

#[test]
fn an_aborted_download_is_logged_with_the_bytes_that_were_sent() {
    let logged = Logged::new(&[]);
    let mut client = logged.server.connect();
    client.send(get("/large"));
    client.stream.read_exact(&mut [0; 100_000]).unwrap();
    drop(client);
    let line = logged.last(1);
    assert_eq!((line.request.as_str(), line.status), ("GET /large HTTP/1.1", 200));
    assert!(line.body >= 99_000 && line.body < 24 << 20, "{line:?}");
    assert!(line.bytes > line.body && line.bytes < 24 << 20, "{line:?}");

    // The same with streamed content.
    let mut client = logged.server.connect();
    client.send(get("/lab/stream?chunks=1000&ms=200"));
    client.until_begun();
    drop(client);
    let line = logged.last(2);
    assert!(line.status == 200 && line.body < 10_000, "{line:?}");
}

#[test]
fn a_line_is_written_when_its_request_ends() {
    let logged = Logged::new(&[]);
    let mut client = logged.server.connect();
    // It is too large to end before the client reads it.
    client.send(get("/large"));
    client.until_begun();
    logged.server.get("/");
    // The shorter response ends first, although its request arrived later.
    assert_eq!(logged.last(1).request, "GET / HTTP/1.1");
    let response = client.response();
    assert_eq!(logged.last(2).body as usize, response.body.len());
    client.send(get("/lab/stream?chunks=5&ms=100"));
    let response = client.response();
    let line = logged.last(3);
    assert_eq!(line.body as usize, response.body.len());
    assert!(line.seconds >= 0.39 && line.seconds < 10.0, "{line:?}");
    assert!(line.bytes > line.body, "{line:?}");
}

#[test]
fn pipelined_requests_have_a_line_each() {
    let logged = Logged::new(&[]);
    let mut client = logged.server.connect();
    let train: String = (0..100).map(|at| get(&format!("/{at}"))).collect();
    client.send(train);
    for _ in 0..100 {
        assert_eq!(client.response().status, 404);
    }
    for (at, line) in logged.lines(100).iter().enumerate() {
        assert_eq!(line.request, format!("GET /{at} HTTP/1.1"));
        assert_eq!(line.number.split_once('/').unwrap().1, (at + 1).to_string());
    }
    // A connection without a request has no line.
    drop(logged.server.connect());
    logged.server.get("/last");
    assert_eq!(logged.last(101).request, "GET /last HTTP/1.1");
}

#[test]
fn the_log_is_appended_to_and_complete_at_exit() {
    let mut logged = Logged::new(&[]);
    let log = logged.root.at("log");
    logged.server.get("/one");
    logged.server.signal("TERM");
    assert!(logged.server.wait().success());
    let before = fs::read_to_string(&log).unwrap();
    assert!(before.contains("GET /one ") && before.ends_with('\n'), "{before}");
    let mut command = miod();
    command.arg("serve").arg(logged.root.at("www")).args(["-p", "0", "--access-log"]).arg(&log);
    let server = Server::run(command);
    server.get("/two");
    assert!(eventually(|| fs::read_to_string(&log).unwrap().contains("GET /two ")));
    assert!(fs::read_to_string(&log).unwrap().starts_with(&before));
}

#[test]
fn the_log_goes_to_standard_output_only_if_requested() {
    let root = Root::new();
    root.old_file("index.html", "index");
    let server = Server::start(&root, &["--access-log", "-"]);
    server.get("/");
    assert!(eventually(|| server.output().contains("\"GET / HTTP/1.1\" 200 5 ")), "{}", server.output());
    parse(server.output().lines().next().unwrap());
    // Without the option nothing is logged on standard output or standard error.
    let server = Server::start(&root, &[]);
    for _ in 0..3 {
        server.get("/");
    }
    server.signal("USR2");
    assert!(eventually(|| server.errors().contains("maintenance is on")));
    assert!(!server.errors().contains("GET") && server.output().is_empty());
}

#[test]
fn a_unix_socket_has_no_addresses() {
    let root = Root::new();
    root.old_file("www/index.html", "index");
    let (socket, log) = (root.at("socket"), root.at("log"));
    let mut command = miod();
    command.arg("serve").arg(root.at("www")).args(["-b", "127.0.0.1:0", "--access-log"]).arg(&log);
    command.arg("-b").arg(format!("unix:{}", socket.display()));
    let _server = Server::run(command);
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(support::TIMEOUT)).unwrap();
    stream.write_all(get_with("/", "Connection: close\r\n").as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.ends_with("\r\n\r\nindex"), "{response}");
    assert!(eventually(|| fs::read_to_string(&log).unwrap().ends_with('\n')));
    let line = parse(fs::read_to_string(&log).unwrap().trim_end());
    assert_eq!((line.host.as_str(), line.port.as_str(), line.local.as_str()), ("unix", "-", "-"));
}

/// A connection whose server logs at debug level with these arguments, after it has ended, and
/// the lines about it.
fn notices(arguments: &[&str], input: &[u8]) -> Vec<String> {
    let root = Root::new();
    root.old_file("index.html", "index");
    std::os::unix::fs::symlink("/etc/passwd", root.at("out")).unwrap();
    let server = Server::start(&root, &[&["-v"], arguments].concat());
    let mut client = server.connect();
    client.send(input);
    client.rest();
    let peer = client.stream.local_addr().unwrap().to_string();
    let mut lines = Vec::new();
    assert!(eventually(|| {
        lines = server.errors().lines().filter(|line| line.contains(&peer)).map(str::to_owned).collect();
        !lines.is_empty()
    }));
    assert!(lines.iter().all(|line| line.contains("DEBUG") && line.contains(&format!(" {peer}: "))), "{lines:?}");
    lines
}

#[test]
fn at_debug_level_the_log_says_why_a_request_is_refused_or_a_connection_closed() {
    let end = "Host: a\r\nConnection: close\r\n\r\n";
    let (idle, slow) = (["--idle-timeout", "0.05"], ["--header-timeout", "0.05"]);
    let long = "x".repeat(9000);
    for (arguments, input, expected) in [
        (&[][..], format!("GET /out HTTP/1.1\r\n{end}"), ".1 ", "404 for GET /out: a symbolic link in its path"),
        (&[], "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), ".1 ", "505: HTTP/2 without an upgrade"),
        (&[], format!("GET /{long} HTTP/1.1\r\n{end}"), ".1 ", "414: "),
        (
            &["--app", "/echo=echo"],
            format!("POST /echo HTTP/1.1\r\nContent-Length: 99999999\r\n{end}"),
            ".1 ",
            "413 for POST /echo: ",
        ),
        (&slow, String::new(), ".0 ", "closed, because no request came in time"),
        (&idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), ".1 ", "closed, because no request came in time"),
        (&slow, "GET / HT".to_owned(), ".1 ", "408: the head of the request came too slowly"),
    ]
    .map(|(arguments, input, request, expected)| (arguments, input, [request, expected]))
    {
        let lines = notices(arguments, input.as_bytes());
        assert!(lines.len() == 1 && expected.iter().all(|part| lines[0].contains(part)), "{expected:?}: {lines:?}");
    }
}

#[test]
fn at_trace_level_the_log_has_the_target_of_a_request() {
    let root = Root::new();
    root.old_file("index.html", "index");
    let server = Server::start(&root, &["-vv"]);
    assert_eq!(server.get("/?a=\"").status, 200);
    assert!(eventually(|| server.errors().contains("#1.1 GET /?a=\\\"\n")), "{}", server.errors());
}

#[test]
#[ignore = "needs curl"]
fn a_client_with_a_certificate_is_logged_by_its_subject() {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let named = |name: &str| {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters
    };
    let root = Root::new();
    root.file("site/index.html", "hello");
    let mut authority = named("authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = Issuer::new(authority, KeyPair::generate().unwrap());
    let key = KeyPair::generate().unwrap();
    let client = named("Al \"ice\"\n").signed_by(&key, &authority).unwrap();
    let own = named("authority").self_signed(authority.key()).unwrap();
    let pem =
        |label: &str, der: &[u8]| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der));
    root.file("ca.pem", pem("CERTIFICATE", own.der()));
    root.file("client.pem", pem("CERTIFICATE", client.der()) + &pem("PRIVATE KEY", &key.serialize_der()));
    let (ca, client) = (root.at("ca.pem").display().to_string(), root.at("client.pem").display().to_string());
    let log = root.at("log").display().to_string();
    let arguments = ["--tls", "auto", "--client-ca", &ca, "--access-log", &log];
    let site = Site::over(root, &arguments);
    for path in ["/", "/none"] {
        let mut curl = Command::new("curl");
        let got = run_to_end(curl.args(["-sk", "--cert", &client]).arg(site.url(path)), b"");
        assert_eq!(got.code, Some(0), "{got:?}");
    }
    site.server.get("/");
    let mut text = String::new();
    assert!(eventually(|| {
        text = fs::read_to_string(site.root.at("log")).unwrap();
        text.lines().count() == 3
    }));
    let users: Vec<_> = text.lines().map(|line| line.split(' ').nth(2).unwrap()).collect();
    let subject = r"CN=Al\x20\x5c\x22ice\x5c\x22\x5c0A";
    assert_eq!(users, [subject, subject, "-"], "{text}");
}
