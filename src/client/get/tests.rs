//! Tests of a fetch without sockets, with a scripted server and a simulated clock.

use std::net::SocketAddr;
use std::time::Duration;

use super::fetch::{Fetch, Next};
use super::plan::{Content, GetPlan, Show};
use crate::client::ClientError;
use crate::console::OutputQueue;
use crate::http::client::HttpError;
use crate::http::uri::HttpUrl;
use crate::limits;
use crate::reactor::{Ending, Ends, Finish, Input, Io, Output, Tick, Want};

fn address(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

fn plan(url: &str) -> GetPlan {
    GetPlan::new(HttpUrl::parse(url).unwrap())
}

/// A fetch, its connection and its output.
struct Bench {
    fetch: Fetch,
    printed: OutputQueue,
    now: Tick,
    input: Input,
    output: Output,
    ended: bool,
    established: bool,
    /// The address of the connection, if there is one.
    peer: Option<SocketAddr>,
    /// The hosts that were resolved.
    resolved: Vec<String>,
    /// The addresses that the next look-up finds.
    found: Option<Vec<SocketAddr>>,
}

impl Bench {
    /// Names resolve, and connecting takes five milliseconds.
    fn new(plan: GetPlan) -> Self {
        let port = plan.url.port;
        let mut bench = Self {
            fetch: Fetch::new(plan, Tick::default()),
            printed: OutputQueue::default(),
            now: Tick::default(),
            input: Input::default(),
            output: Output::default(),
            ended: false,
            established: false,
            peer: None,
            resolved: Vec::new(),
            found: None,
        };
        bench.pass(3);
        bench.fetch.resolved(Ok(vec![address(port)]), bench.now, &mut bench.printed);
        bench.connect();
        bench
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.after(Duration::from_millis(millis));
    }

    fn connect(&mut self) {
        self.peer = self.fetch.next_address();
        (self.input, self.output) = (Input::default(), Output::default());
        (self.ended, self.established) = (false, false);
        if self.peer.is_some() {
            let want = self.advance();
            assert!(want.wake.is_some() && self.output.is_empty(), "sends before the connection is open");
            self.pass(5);
            self.established = true;
        }
    }

    /// Calls `advance` twice. The second call must change nothing.
    fn advance(&mut self) -> Want {
        let first = self.advance_once();
        let before =
            (self.input.bytes().len(), self.output.pending(), self.printed.out().len(), self.printed.err().len());
        let again = self.advance_once();
        assert_eq!(again, first, "advance isn't idempotent");
        assert_eq!(
            (self.input.bytes().len(), self.output.pending(), self.printed.out().len(), self.printed.err().len()),
            before
        );
        first
    }

    fn advance_once(&mut self) -> Want {
        let local = address(1);
        let ends = Ends::for_test(self.peer.expect("a connection"), &local);
        let (ended, established) = (self.ended, self.established);
        let mut io = Io {
            input: &mut self.input,
            output: &mut self.output,
            ended,
            truncated: false,
            unread: false,
            gone: false,
            established,
            ends,
        };
        match self.fetch.advance(&mut io, self.now, &mut self.printed) {
            Next::Go(want) => want,
            Next::Resolve(host, port, by) => {
                self.resolved.push(host);
                self.found = Some(vec![address(port)]);
                Want::NOTHING.by(by)
            }
        }
    }

    /// The requests that are sent now.
    fn sent(&mut self) -> String {
        self.advance();
        String::from_utf8(self.output.take(usize::MAX)).unwrap()
    }

    /// The server sends `bytes`. If the connection ends, the next one is opened.
    fn receive(&mut self, bytes: &str) -> &mut Self {
        self.input.extend(bytes.as_bytes());
        self.turn();
        self
    }

    fn eof(&mut self) -> &mut Self {
        self.ended = true;
        self.turn();
        self
    }

    fn turn(&mut self) {
        self.advance();
        if let Some(found) = self.found.take() {
            self.pass(2);
            self.fetch.resolved(Ok(found), self.now, &mut self.printed);
        }
        if self.advance().finish != Finish::No {
            self.over(None);
        }
    }

    fn over(&mut self, error: Option<std::io::ErrorKind>) {
        let ending = Ending { unsent: 0, error: error.map(Into::into) };
        self.fetch.closed(ending, self.peer, self.now);
        self.connect();
    }

    fn printed(&self) -> &str {
        std::str::from_utf8(self.printed.out()).unwrap()
    }

    /// The result.
    fn outcome(&mut self) -> Result<(), ClientError> {
        assert_eq!(self.peer, None, "it hasn't finished");
        self.fetch.finish(&mut self.printed)
    }
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

fn redirect(status: u16, to: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 3\r\n\r\n...")
}

#[test]
fn one_request_and_its_response() {
    let mut bench = Bench::new(plan("http://a:81/b?c"));
    assert_eq!(bench.sent(), "GET /b?c HTTP/1.1\r\nHost: a:81\r\n\r\n");
    bench.receive(HELLO);
    assert_eq!(bench.printed(), "hello");
    assert!(bench.outcome().is_ok());
}

#[test]
fn resolving_the_first_name_is_limited() {
    let seconds = Duration::from_secs;
    for (max_time, limit) in [(None, 20), (Some(30), 20), (Some(5), 5)] {
        let plan = GetPlan { max_time: max_time.map(seconds), ..plan("http://a/") };
        assert_eq!(Fetch::resolve_limit(&plan).1, seconds(limit));
    }
}

#[test]
fn a_trace_shows_the_times_of_each_step() {
    let show = Show { trace: true, ..Show::default() };
    let mut bench = Bench::new(GetPlan { repeat: 2, show, ..plan("http://a/") });
    bench.sent();
    bench.pass(7);
    bench.receive("HTTP/1.1 200 OK\r\n");
    bench.pass(4);
    bench.receive("Content-Length: 5\r\n\r\nhello");
    bench.sent();
    bench.pass(1);
    bench.receive(HELLO);
    assert!(bench.outcome().is_ok());
    let lines = [
        "resolve  0.003000 s  a: 192.0.2.1",
        "connect  0.005000 s  192.0.2.1:80",
        "request 1: first byte 0.007000 s, last byte 0.011000 s, status 200, 5 bytes",
        "request 2: first byte 0.001000 s, last byte 0.001000 s, status 200, 5 bytes",
        "2 requests, 10 bytes; last byte min/avg/max 0.001000/0.006000/0.011000 s",
    ];
    assert_eq!(String::from_utf8_lossy(bench.printed.err()), lines.join("\n") + "\n");
}

#[test]
fn heads_and_requests_are_shown_if_requested() {
    let show = Show { heads: true, exchange: true, trace: false };
    let mut bench = Bench::new(GetPlan { show, ..plan("http://a/") });
    bench.sent();
    bench.receive("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").receive(HELLO);
    assert!(
        bench.printed().starts_with("HTTP/1.1 103 Early Hints\r\nLink") && bench.printed().ends_with("\r\n\r\nhello")
    );
    let exchange = String::from_utf8_lossy(bench.printed.err());
    assert!(exchange.starts_with("> GET / HTTP/1.1\n> Host: a\n> \n< HTTP/1.1 103"), "{exchange}");
}

#[test]
fn requests_are_repeated_in_sequence_or_pipelined() {
    for (repeat, pipeline, batches) in [(3, 1, &[1, 1, 1][..]), (3, 3, &[3]), (5, 2, &[2, 1, 1, 1])] {
        let mut bench = Bench::new(GetPlan { repeat, pipeline, ..plan("http://a/") });
        for &batch in batches {
            let sent = bench.sent();
            assert_eq!(sent.matches("GET / HTTP/1.1\r\n").count(), batch, "{repeat} by {pipeline}");
            bench.receive(HELLO);
        }
        for _ in batches.len()..repeat as usize {
            bench.receive(HELLO);
        }
        assert_eq!(bench.printed(), "hello".repeat(repeat as usize));
        assert!(bench.outcome().is_ok());
    }
}

#[test]
fn the_remaining_requests_go_to_another_connection() {
    let mut bench = Bench::new(GetPlan { repeat: 4, pipeline: 4, ..plan("http://a/") });
    bench.sent();
    bench.receive(HELLO).receive("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n..");
    assert_eq!(bench.sent().matches("GET").count(), 2, "the requests without a response");
    bench.receive(HELLO).eof();
    assert_eq!(bench.sent().matches("GET").count(), 1);
    bench.receive(HELLO);
    assert_eq!(bench.printed(), "hello..hellohello");
    assert!(bench.outcome().is_ok());
}

#[test]
fn a_server_without_responses_is_not_retried() {
    let mut bench = Bench::new(GetPlan { repeat: 4, ..plan("http://a/") });
    bench.sent();
    bench.eof();
    assert!(matches!(bench.outcome(), Err(ClientError::Response(HttpError::NoResponse))));
    let mut bench = Bench::new(plan("http://a/"));
    bench.sent();
    bench.over(Some(std::io::ErrorKind::ConnectionReset));
    assert!(matches!(bench.outcome(), Err(ClientError::Lost(_))));
}

#[test]
fn a_request_that_is_not_idempotent_is_not_sent_again() {
    let content = Some(Content::Bytes(b"x".to_vec()));
    let post = GetPlan { method: "POST".to_owned(), content, repeat: 2, ..plan("http://a/") };
    let mut bench = Bench::new(post);
    assert!(bench.sent().ends_with("Content-Length: 1\r\n\r\nx"));
    bench.receive(HELLO);
    bench.sent();
    bench.eof();
    assert!(matches!(bench.outcome(), Err(ClientError::Response(HttpError::NoResponse))));
}

#[test]
fn excess_bytes_are_not_the_next_response() {
    let mut bench = Bench::new(GetPlan { repeat: 2, ..plan("http://a/") });
    bench.sent();
    bench.receive(&format!("{HELLO}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"));
    assert_eq!(bench.sent().matches("GET").count(), 1, "on another connection");
    bench.receive(HELLO);
    assert_eq!(bench.printed(), "hellohello");
    assert!(bench.outcome().is_ok());
}

#[test]
fn a_truncated_response_is_an_error() {
    for (response, complete) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Le", false),
        ("HTTP/1.1 200 OK\r\n\r\nhello", true),
    ] {
        let mut bench = Bench::new(plan("http://a/"));
        bench.sent();
        bench.receive(response).eof();
        assert_eq!(bench.printed(), if response.ends_with('e') { "" } else { "hello" });
        match bench.outcome() {
            Ok(()) => assert!(complete, "{response:?}"),
            Err(ClientError::Response(HttpError::Truncated)) => assert!(!complete, "{response:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn error_statuses_are_errors_with_fail() {
    for (fail, status, shown, good) in [
        (false, 404, "hello", true),
        (true, 404, "", false),
        (true, 500, "", false),
        (true, 304, "", true),
        (true, 200, "hello", true),
    ] {
        let mut bench = Bench::new(GetPlan { fail, ..plan("http://a/") });
        bench.sent();
        bench.receive(&HELLO.replace("200 OK", &format!("{status} X")));
        assert_eq!(bench.printed(), shown, "{status}");
        assert_eq!(bench.outcome().is_ok(), good, "{status}");
    }
}

#[test]
fn a_redirect_on_the_same_server_uses_the_same_connection() {
    let mut bench = Bench::new(GetPlan { follow: true, ..plan("http://a/b/c") });
    bench.sent();
    bench.receive(&redirect(302, "../d?e#f"));
    assert_eq!(bench.sent(), "GET /d?e HTTP/1.1\r\nHost: a\r\n\r\n");
    bench.receive(HELLO);
    assert_eq!((bench.printed(), bench.resolved.len()), ("hello", 0));
    assert!(bench.outcome().is_ok());
}

#[test]
fn a_redirect_to_another_host_resolves_it_and_drops_credentials() {
    let field = |name: &str| (name.to_owned(), "x".to_owned());
    let fields = vec![field("Authorization"), field("Cookie"), field("X-Other")];
    let mut bench = Bench::new(GetPlan { follow: true, fields, ..plan("http://a/") });
    assert!(bench.sent().contains("Cookie: x"));
    bench.receive(&redirect(301, "http://b:82/c"));
    assert_eq!((bench.peer, &bench.resolved[..]), (Some(address(82)), &["b".to_owned()][..]));
    assert_eq!(bench.sent(), "GET /c HTTP/1.1\r\nHost: b:82\r\nX-Other: x\r\n\r\n");
    // Another port of the same host isn't resolved again.
    bench.receive(&redirect(301, "http://b/"));
    assert_eq!((bench.peer, bench.resolved.len()), (Some(address(80)), 1));
    bench.sent();
    bench.receive(HELLO);
    assert!(bench.outcome().is_ok());
}

#[test]
fn a_redirect_may_change_method_and_content() {
    for (method, status, expected) in [
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("PUT", 303, "GET"),
        ("HEAD", 303, "HEAD"),
        ("PUT", 302, "PUT"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
    ] {
        let content = Some(Content::Bytes(b"content".to_vec()));
        let fields = vec![("Content-Type".to_owned(), "text/plain".to_owned())];
        let plan = GetPlan { method: method.to_owned(), content, fields, follow: true, ..plan("http://a/") };
        let mut bench = Bench::new(plan);
        bench.sent();
        let to = redirect(status, "/b");
        bench.receive(if method == "HEAD" { to.trim_end_matches('.') } else { &to });
        let sent = bench.sent();
        assert!(sent.starts_with(&format!("{expected} /b ")), "{method} {status}: {sent}");
        let keeps = expected != "GET";
        assert_eq!(sent.ends_with("\r\n\r\ncontent") && sent.contains("Content-Type"), keeps, "{method} {status}");
    }
}

#[test]
fn the_number_of_redirects_is_limited() {
    let mut bench = Bench::new(GetPlan { follow: true, ..plan("http://a/") });
    for _ in 0..limits::REDIRECTS {
        bench.sent();
        bench.receive(&redirect(302, "/"));
    }
    bench.sent();
    bench.receive(&redirect(302, "/"));
    assert!(matches!(bench.outcome(), Err(ClientError::Redirects(_))));
    for to in ["ftp://a/", "http://a b/"] {
        let mut bench = Bench::new(GetPlan { follow: true, ..plan("http://a/") });
        bench.sent();
        bench.receive(&redirect(302, to));
        assert!(matches!(bench.outcome(), Err(ClientError::Redirect(..))), "{to}");
    }
    // Without `follow` a redirect is printed.
    let mut bench = Bench::new(plan("http://a/"));
    bench.sent();
    bench.receive(&redirect(302, "/"));
    assert_eq!(bench.printed(), "...");
    assert!(bench.outcome().is_ok());
}

#[test]
fn a_download_is_resumed_only_with_the_missing_part() {
    let part = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 3-7/8\r\nContent-Length: 5\r\n\r\nhello";
    let nothing = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */3\r\nContent-Length: 1\r\n\r\n.";
    for (response, printed, good) in [
        (part.to_owned(), "hello", true),
        (nothing.to_owned(), "", true),
        (part.replace("3-7/8", "4-8/9"), "", false),
        (part.replace("bytes 3-7/8", "3"), "", false),
        (nothing.replace("*/3", "*/2"), "", false),
        (HELLO.to_owned(), "", false),
        (HELLO.replace("200", "404"), "", false),
    ] {
        let mut bench = Bench::new(GetPlan { resume: Some(3), ..plan("http://a/") });
        assert!(bench.sent().contains("\r\nRange: bytes=3-\r\n"));
        bench.receive(&response);
        assert_eq!(bench.printed(), printed, "{response}");
        match bench.outcome() {
            Ok(()) => assert!(good, "{response}"),
            Err(ClientError::Resume(_)) => assert!(!good, "{response}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_wait_has_a_limit() {
    let second = Duration::from_secs(1);
    let with_timeout = |max_time| GetPlan { timeout: second, max_time, ..plan("http://a/") };
    // For connecting, to each of two addresses.
    let mut fetch = Bench::new(with_timeout(None));
    fetch.established = false;
    fetch.pass(1000);
    assert_eq!(fetch.advance().finish, Finish::Abort);
    fetch.over(None);
    assert!(
        matches!(fetch.outcome(), Err(ClientError::Connect(peer, error)) if peer == address(80) && error.kind() == std::io::ErrorKind::TimedOut)
    );
    // For the response: each byte extends the wait, but not for ever.
    let mut bench = Bench::new(with_timeout(Some(5 * second)));
    bench.sent();
    for byte in ["H", "T", "T", "P", "/"] {
        bench.pass(900);
        bench.receive(byte);
    }
    bench.pass(900);
    bench.turn();
    assert!(matches!(bench.outcome(), Err(ClientError::TimedOut("it isn't finished", _))));
    let mut bench = Bench::new(with_timeout(None));
    bench.sent();
    bench.receive("HTTP/1.1 200 OK\r\n\r\nhello");
    bench.pass(1000);
    bench.turn();
    assert!(matches!(bench.outcome(), Err(ClientError::TimedOut("no progress", _))));
}

#[test]
fn every_address_is_tried() {
    let mut bench = Bench::new(plan("http://a/"));
    bench.fetch = Fetch::new(plan("http://a/"), bench.now);
    bench.fetch.resolved(Ok(vec![address(1), address(2)]), bench.now, &mut bench.printed);
    bench.connect();
    assert_eq!(bench.peer, Some(address(1)));
    bench.over(Some(std::io::ErrorKind::ConnectionRefused));
    assert_eq!(bench.peer, Some(address(2)));
    bench.over(Some(std::io::ErrorKind::ConnectionRefused));
    assert!(matches!(bench.outcome(), Err(ClientError::Connect(peer, _)) if peer == address(2)));
}

#[test]
fn malformed_responses_are_errors() {
    for response in [
        "hello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        &"HTTP/1.1 100 Continue\r\n\r\n".repeat(100),
        &format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(limits::HEAD)),
    ] {
        let mut bench = Bench::new(plan("http://a/"));
        bench.sent();
        bench.receive(response);
        let outcome = bench.outcome();
        let is_refused =
            matches!(outcome, Err(ClientError::Response(HttpError::Malformed(_) | HttpError::TooLarge(_))));
        assert!(is_refused, "{response:.60}");
    }
}
