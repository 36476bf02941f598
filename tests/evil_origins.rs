//! Response splitting: upstreams that send what two parsers may cut apart differently, or that
//! break off anywhere.
//!
//! In each case a client sends three requests at once: for the odd response, for a file of the
//! server's own, and for a plain response of the same upstream. Whatever the first is, the client
//! gets either one complete response (its content, or a 502) and then the two others, or a
//! response that is visibly incomplete, and nothing more. The *marker* is a response that is
//! hidden in the first one; nobody may ever get it as a response of its own.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::{Client, Response, Root, Script, Server, TIMEOUT, get, pattern, read_head};

/// What the client gets for the first request.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Fate {
    /// A 502.
    Refused,
    /// A 502, or the beginning of a response.
    Failed,
    /// This status and content.
    Whole(u16, String),
    /// Any of these, but all the rest must hold.
    Agreed,
}
use Fate::{Agreed, Failed, Refused, Whole};

/// What the upstream does after its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    Keeps,
    Closes,
    Resets,
}
use Then::{Closes, Keeps, Resets};

struct Case {
    method: &'static str,
    response: Vec<u8>,
    then: Then,
    fate: Fate,
}

const MARKER: &str = "HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 4\r\n\r\nevil";
const OK: &str = "HTTP/1.1 200 OK\r\n";

/// Lines of a head that make it malformed or ambiguous.
const BAD_LINES: &[&str] = &[
    "Content-Length: {l}\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: {l}\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    "Content-Length: 0\r\nContent-Length: {l}\r\n",
    "Content-Length: {l}\r\nContent-Length: 0\r\n",
    "Content-Length: {l}\r\nContent-Length: x\r\n",
    "Content-Length: {l}, 0\r\n",
    "Content-Length: 0, {l}\r\n",
    "Content-Length: +{l}\r\n",
    "Content-Length: -{l}\r\n",
    "Content-Length: {l} 0\r\n",
    "Content-Length: {l}.0\r\n",
    "Content-Length: 0x0\r\n",
    "Content-Length:\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Content-Length: \u{b}{l}\r\n",
    "Content-Length: {l}\0\r\n",
    "Content-Length : {l}\r\n",
    "Content-Length\t: 0\r\n",
    " Content-Length: {l}\r\n",
    "Content-Length: 0\rX: y\r\n",
    "X: y\rContent-Length: 0\r\n",
    "X: y\nContent-Length: 0\r\n",
    "X: y\r\r\n",
    "X: y\0\r\n",
    "X: y\u{7f}\r\n",
    "X: y\rX-Evil: 1\r\n",
    "X\r\n",
    "X y: z\r\n",
    "X\0: z\r\n",
    ": y\r\n",
    "X\u{e4}: y\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Transfer-Encoding: identity, chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked, gzip\r\n",
    "Transfer-Encoding: \"chunked\"\r\n",
    "Transfer-Encoding: chunked;q=1\r\n",
    "Transfer-Encoding: \u{b}chunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding:\r\n",
];

/// Status lines, with CRLF, that aren't any.
const BAD_STATUS_LINES: &[&str] = &[
    "",
    "hello\r\n",
    "\0\r\n",
    "ICY 200 OK\r\n",
    "http/1.1 200 OK\r\n",
    "HTTP/2.0 200 OK\r\n",
    "HTTP/0.9 200 OK\r\n",
    "HTTP/1.1 20 OK\r\n",
    "HTTP/1.1 2000 OK\r\n",
    "HTTP/1.1 099 OK\r\n",
    "HTTP/1.1 999 OK\r\n",
    "HTTP/1.1 -20 OK\r\n",
    "HTTP/1.1 200OK\r\n",
    "HTTP/1.1  200 OK\r\n",
    "HTTP/1.1\t200 OK\r\n",
    "HTTP/1.1 200 O\rK\r\n",
    "HTTP/1.1 200 O\0K\r\n",
    "HTTP/1.1 200 OK\rX-Evil: 1\r\n",
    " HTTP/1.1 200 OK\r\n",
    "xHTTP/1.1 200 OK\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n",
];

/// Contents in chunks that are malformed. `{h}` is the marker's length in hexadecimal.
const BAD_CHUNKS: &[&str] = &[
    "+{h}\r\n{m}\r\n0\r\n\r\n",
    "-{h}\r\n{m}\r\n0\r\n\r\n",
    "0x{h}\r\n{m}\r\n0\r\n\r\n",
    " {h}\r\n{m}\r\n0\r\n\r\n",
    "{h} 0\r\n{m}\r\n0\r\n\r\n",
    "{h},0\r\n{m}\r\n0\r\n\r\n",
    "{h}\0\r\n{m}\r\n0\r\n\r\n",
    "{h}\n{m}\r\n0\r\n\r\n",
    "{h}\r{m}\r\n0\r\n\r\n",
    "{h};x\n{m}\r\n0\r\n\r\n",
    "{h};x\rx\r\n{m}\r\n0\r\n\r\n",
    "{h}\r\n{m}0\r\n\r\n",
    "{h}\r\n{m}\n0\r\n\r\n",
    "{h}\r\n{m}xx0\r\n\r\n",
    "{h}\r\n{m}\r\n\r\n0\r\n\r\n",
    "{h}\r\n{m}\r\n-0\r\n\r\n",
    "{h}\r\n{m}\r\n0\n\n",
    "{h}\r\n{m}\r\n0\r\n\n",
    "{h}\r\n{m}\r\n0\r\n{m}",
    "{h}\r\n{m}\r\n0\r\nX : y\r\n\r\n",
    "{h}\r\n{m}\r\n0\r\nX: y\r\n z\r\n\r\n",
    "\r\n{m}\r\n0\r\n\r\n",
    "x\r\n{m}\r\n0\r\n\r\n",
    "1000000000000000{h}\r\n{m}\r\n0\r\n\r\n",
    "ffffffffffffffffff\r\n{m}\r\n0\r\n\r\n",
];

/// What is in the texts above.
fn text(template: &str) -> String {
    let length = MARKER.len();
    let filled = template.replace("{m}", MARKER);
    filled.replace("{l}", &length.to_string()).replace("{h}", &format!("{length:x}"))
}

fn case(method: &'static str, response: impl AsRef<[u8]>, then: Then, fate: Fate) -> Case {
    Case { method, response: response.as_ref().to_vec(), then, fate }
}

/// Heads and contents that aren't right.
fn refused() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut refuse = |method, response: String, fate: &Fate| {
        for then in [Keeps, Closes] {
            cases.push(case(method, &response, then, fate.clone()));
        }
    };
    for lines in BAD_LINES {
        for method in ["GET", "HEAD"] {
            refuse(method, text(&format!("{OK}{lines}\r\n{MARKER}")), &Refused);
            refuse(method, text(&format!("{OK}{lines}\r\n{{h}}\r\n{MARKER}\r\n0\r\n\r\n")), &Refused);
        }
    }
    for line in BAD_STATUS_LINES {
        refuse("GET", text(&format!("{line}Content-Length: {{l}}\r\n\r\n{MARKER}")), &Refused);
    }
    for chunks in BAD_CHUNKS {
        // What came before the mistake may have been sent.
        refuse("GET", text(&format!("{OK}Transfer-Encoding: chunked\r\n\r\n{chunks}")), &Failed);
    }
    let hints = "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n".repeat(1_000);
    refuse("GET", format!("{hints}{OK}Content-Length: 0\r\n\r\n"), &Refused);
    refuse("GET", format!("{OK}X: {}\r\nContent-Length: 0\r\n\r\n", "y".repeat(1_000_000)), &Refused);
    refuse("GET", format!("{OK}{}Content-Length: 0\r\n\r\n", "X: y\r\n".repeat(20_000)), &Refused);
    cases
}

/// Responses that are right, or can be made so, most with bytes after them; and what the client
/// gets.
const GOOD: &[(&str, &str, u16, &str)] = &[
    ("GET", "HTTP/1.1 200 OK\r\nContent-Length: {l}\r\n\r\n{m}", 200, MARKER),
    ("GET", "HTTP/1.1 200 \r\ncontent-length:{l}\r\n\r\n{m}", 200, MARKER),
    ("GET", "HTTP/1.1 599 \u{e4}\u{fc}\r\nContent-Length: \t 0{l} \r\n\r\n{m}", 599, MARKER),
    ("GET", "HTTP/1.1 200 OK\r\nContent-Length: {l}\r\nConnection: Content-Length, x\r\n\r\n{m}", 200, MARKER),
    ("GET", "HTTP/1.1 200 OK\r\nContent-Length: {l}\r\nContent_Length: 0\r\n\r\n{m}", 200, MARKER),
    ("GET", "HTTP/1.0 200 OK\r\nContent-Length: {l}\r\n\r\n{m}", 200, MARKER),
    // A continued line is made one (RFC 9112 §5.2).
    ("GET", "HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 0\r\n\t\r\nContent-Length: {l}\r\n\r\n{m}", 200, MARKER),
    ("GET", "HTTP/1.1 200 OK\r\nContent-Length:\r\n {l}\r\n\r\n{m}", 200, MARKER),
    ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{m}", 200, "ok"),
    ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n", 200, "ok"),
    ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n{m}", 200, ""),
    ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{h}\r\n{m}\r\n0\r\n\r\n", 200, MARKER),
    (
        "GET",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n00{h};x=y\r\n{m}\r\n0\r\nX-Evil: 1\r\n\r\n",
        200,
        MARKER,
    ),
    ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{m}", 200, "ok"),
    ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: {l}\r\n\r\n{m}", 204, ""),
    ("GET", "HTTP/1.1 204 No Content\r\n\r\n{m}", 204, ""),
    ("GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n{h}\r\n{m}\r\n0\r\n\r\n", 304, ""),
    ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: {l}\r\n\r\n{m}", 304, ""),
    ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: {l}\r\n\r\n{m}", 200, ""),
    ("HEAD", "HTTP/1.1 200 OK\r\n\r\n", 200, ""),
    ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{h}\r\n{m}\r\n0\r\n\r\n", 200, ""),
    ("GET", "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{m}", 200, "ok"),
];

fn whole() -> Vec<Case> {
    let mut cases = Vec::new();
    let whole = |status, content: &str| Whole(status, content.to_owned());
    let marked = |head: &str| text(&format!("{head}\r\n{MARKER}"));
    for &(method, response, status, content) in GOOD {
        for then in [Keeps, Closes] {
            cases.push(case(method, text(response), then, whole(status, content)));
        }
    }
    // The end of the connection is the end of these.
    for (response, content) in [
        (marked(OK), MARKER),
        (marked("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"), MARKER),
        (marked("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n"), MARKER),
        (format!("{OK}\r\n"), ""),
    ] {
        cases.push(case("GET", &response, Closes, whole(200, content)));
        cases.push(case("GET", &response, Resets, Failed));
    }
    for response in ["HTTP/1.1 200\r\n", "\r\nHTTP/1.1 200 OK\r\n", "\nHTTP/1.1 200 OK\r\n", "HTTP/1.2 200 OK\r\n"] {
        cases.push(case("GET", marked(&format!("{response}Content-Length: {{l}}\r\n")), Keeps, Agreed));
        cases.push(case(
            "GET",
            text(&format!("{response}Transfer-Encoding: chunked\r\n\r\n{}", BAD_CHUNKS[0])),
            Keeps,
            Failed,
        ));
    }
    // A chunk of this size never ends.
    cases.push(case(
        "GET",
        format!("{OK}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{MARKER}"),
        Closes,
        Failed,
    ));
    cases.push(case(
        "GET",
        text("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{h}\r\n{m}\r\n0\r\n\r\n"),
        Keeps,
        Agreed,
    ));
    cases
}

/// A response in each framing, broken off at each byte.
fn broken_off() -> Vec<Case> {
    let mut cases = Vec::new();
    for (head, content) in [
        ("HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 9\r\n\r\n", "some text"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4;x\r\nsome\r\n5\r\n text\r\n0\r\nX: y\r\n\r\n"),
        ("HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", "."),
    ] {
        let response = [head, content].concat();
        for length in 0..response.len() {
            let fate = if length < head.len() { Refused } else { Failed };
            for then in [Closes, Resets] {
                // A reset may overtake what was sent before it.
                let fate = if then == Resets { Failed } else { fate.clone() };
                cases.push(case("GET", &response[..length], then, fate));
            }
        }
    }
    cases
}

/// Responses with a few other bytes. What they then are nobody says.
fn mutated() -> Vec<Case> {
    const BYTES: &[u8] = b"\r\n\0 \t:;,+-0123456789afx/\x0b\x7f";
    let mut state = 0x5eed_u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let models: Vec<Case> = whole().into_iter().filter(|case| case.then == Keeps && case.response.is_ascii()).collect();
    let mut cases = Vec::new();
    for number in 0..1_500 {
        let model = &models[number % models.len()];
        let mut response = model.response.clone();
        for _ in 0..=below(3) {
            let at = below(response.len());
            match below(3) {
                0 => response[at] = BYTES[below(BYTES.len())],
                1 => response.insert(at, BYTES[below(BYTES.len())]),
                _ => drop(response.remove(at)),
            }
        }
        // It can't be kept open: what is cut would be waited for.
        cases.push(case(model.method, response, Closes, Agreed));
    }
    cases
}

/// An upstream that sends the response of the case whose number is in the target, and is plain
/// else.
fn evil(cases: Arc<Vec<Case>>) -> Script {
    Script::parallel(move |_, stream| {
        loop {
            let head = read_head(stream);
            if head.is_empty() {
                return;
            }
            let number = head.split_once("/case/").and_then(|(_, rest)| rest.split(' ').next()?.parse::<usize>().ok());
            let Some(number) = number else {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain");
                continue;
            };
            let case = &cases[number];
            let _ = stream.write_all(&case.response);
            if case.then == Resets {
                let _ = rustix::net::sockopt::set_socket_linger(&*stream, Some(Duration::ZERO));
            }
            if case.then == Closes {
                // A reset would take away what was sent.
                let _ = stream.shutdown(Shutdown::Write);
                let _ = stream.read_to_end(&mut Vec::new());
            }
            if case.then != Keeps {
                return;
            }
        }
    })
}

/// The first response of `received` to such a request, without interim ones, and the rest.
fn first<'a>(mut received: &'a [u8], method: &str) -> (Option<Response>, &'a [u8]) {
    while let Some(response) = Response::parse(received, method, true) {
        received = &received[response.length..];
        if response.status >= 200 {
            return (Some(response), received);
        }
    }
    (None, received)
}

/// What is wrong with what the client got, if anything is.
fn verdict(case: &Case, received: &[u8]) -> Result<(), String> {
    let (response, mut rest) = first(received, case.method);
    let Some(response) = response else {
        let fits = matches!(case.fate, Failed | Agreed);
        return if fits { Ok(()) } else { Err(format!("it is cut, not {:?}", case.fate)) };
    };
    if response.open_ended {
        return Err("its end is that of the connection".to_owned());
    }
    match &case.fate {
        Refused | Failed if response.status != 502 => return Err(format!("{}, not 502", response.status)),
        Whole(status, content) if response.status != *status || response.text() != *content => {
            return Err(format!("{} {:?}", response.status, response.text()));
        }
        _ => {}
    }
    let is_silent = !case.response.to_ascii_lowercase().windows(15).any(|window| window == b"content-length:");
    if case.method == "HEAD" && is_silent && response.status == 200 && response.count("Content-Length") > 0 {
        return Err("nobody told that length".to_owned());
    }
    if response.count("X-Evil") > 0 && case.fate != Agreed {
        return Err("it has a field that is none".to_owned());
    }
    for expected in ["own", "plain"] {
        let (response, following) = first(rest, "GET");
        match response {
            Some(response) if response.text() == expected => {}
            other => {
                return Err(format!("{expected:?} was to follow, but: {other:?}, {:?}", String::from_utf8_lossy(rest)));
            }
        }
        rest = following;
    }
    if rest.is_empty() { Ok(()) } else { Err("more follows".to_owned()) }
}

/// Runs all cases. `/` is the server's own, and all else the upstream's.
fn run(cases: Vec<Case>) {
    let cases = Arc::new(cases);
    let upstream = evil(Arc::clone(&cases));
    let root = Root::new();
    root.file("index.html", "own");
    let route = |path: &str| format!("/{path}={}", upstream.url(""));
    let server = Server::start(&root, &["--proxy", &route("case"), "--proxy", &route("next")]);
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some(case) = cases.get(number) else { return };
                    let mut client = Client::connect(server.address());
                    let odd = get(&format!("/case/{number}")).replacen("GET", case.method, 1);
                    client.send([odd, get("/"), support::get_with("/next/", "Connection: close\r\n")].concat());
                    let (received, _) = client.rest_or_reset();
                    if let Err(why) = verdict(case, &received) {
                        let sent = String::from_utf8_lossy(&case.response[..case.response.len().min(2_000)]);
                        let received = String::from_utf8_lossy(&received);
                        let text =
                            format!("{why}\n  {} {:?} sent {sent:?}\n  received {received:?}", case.method, case.then);
                        wrong.lock().unwrap().push(text);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    // Its log is of no use here, and long.
    drop(server);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong[..wrong.len().min(20)].join("\n"));
}

#[test]
fn ambiguous_responses_are_refused() {
    run(refused());
}

#[test]
fn a_response_ends_where_it_says() {
    run(whole());
}

#[test]
fn a_response_that_breaks_off_is_visibly_cut() {
    run(broken_off());
}

#[test]
fn no_response_is_split_whatever_the_upstream_sends() {
    run(mutated());
}

#[test]
fn bytes_that_nobody_asked_for_are_no_response_to_the_next_request() {
    let (sent, seen) = channel();
    let (send, told) = channel();
    let (sent, told) = (Mutex::new(sent), Mutex::new(told));
    let upstream = Script::parallel(move |number, stream| {
        while !read_head(stream).is_empty() {
            let body = if number == 0 { "first" } else { "plain" };
            stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}").as_bytes()).unwrap();
            if number == 0 {
                told.lock().unwrap().recv_timeout(TIMEOUT).unwrap();
                stream.write_all(MARKER.as_bytes()).unwrap();
                sent.lock().unwrap().send(()).unwrap();
            }
        }
    });
    let root = Root::new();
    let server = Server::start(&root, &["--proxy", &format!("/={}", upstream.url(""))]);
    let mut client = server.connect();
    client.send(get("/"));
    assert_eq!(client.response().text(), "first");
    send.send(()).unwrap();
    seen.recv_timeout(TIMEOUT).unwrap();
    client.send(get("/"));
    assert_eq!(client.response().text(), "plain");
}

#[test]
fn an_early_response_leaves_the_client_in_step_or_closes() {
    // The upstream answers when it has the head, and reads no content.
    for (framing, closes) in [("length", false), ("length", true), ("chunks", false), ("chunks", true)] {
        let upstream = Script::parallel(move |_, stream: &mut TcpStream| {
            let head = read_head(stream);
            let body = if head.contains("/next") { "plain" } else { "early" };
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}").as_bytes());
            if !closes {
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
        let root = Root::new();
        let server = Server::start(&root, &["--proxy", &format!("/={}", upstream.url(""))]);
        let content = pattern(1_000_000);
        let request = match framing {
            "length" => [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", &content[..]].concat(),
            _ => {
                let head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nf4240\r\n";
                [head, &content[..], b"\r\n0\r\n\r\n"].concat()
            }
        };
        let mut client = server.connect();
        let mut stream = client.stream.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            // It may close instead of reading all of it.
            let _ = stream.write_all(&request);
            let _ = stream.write_all(support::get_with("/next", "Connection: close\r\n").as_bytes());
        });
        let (received, _) = client.rest_or_reset();
        writing.join().unwrap();
        let (response, rest) = first(&received, "POST");
        // If the upstream closed while content was on its way, its response may be lost.
        let status = response.as_ref().map(|response| response.status);
        assert!(
            status == Some(200) || closes && matches!(status, Some(502) | None),
            "{framing} {closes}: {response:?}"
        );
        let (next, rest) = first(rest, "GET");
        assert!(rest.is_empty());
        assert!(next.is_none_or(|next| next.text() == "plain"), "{framing} {closes}");
    }
}
