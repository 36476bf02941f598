//! The requests of the simulation, each with the response that is expected.

use std::ops::Range;

use ring::digest::SHA256;

use super::Dice;
use super::fixtures::{BODY, SESSIONS, session};
use super::reload;
use super::response::Response;

/// Length of `/huge.bin`.
pub(super) const HUGE: usize = 150_000;

/// A request and the response that is expected.
pub(super) struct Case {
    pub(super) bytes: Vec<u8>,
    pub(super) status: u16,
    pub(super) content: Expected,
    /// The connection closes after the response.
    pub(super) closes: bool,
    /// It may get 100 first.
    pub(super) interim: bool,
    /// It has a job, which may take too long.
    pub(super) job: bool,
    /// It needs a session, whose store may be unavailable.
    pub(super) session: bool,
    /// Other statuses that are correct too.
    pub(super) or: &'static [u16],
}

/// The content that is expected.
pub(super) enum Expected {
    /// Any.
    Any,
    Exactly(Vec<u8>),
    /// Several ranges of `/huge.bin`.
    Parts(Vec<Range<usize>>),
    /// This many lines of `/lab/stream`.
    Stream(usize),
    /// Events until the server shuts down.
    Events,
    /// A number that no other request of this session gets.
    Visit(usize),
    /// What the configuration says about this path.
    Configured(&'static str),
    /// This, and then the connection ends within the body.
    CutAfter(&'static [u8]),
}

use Expected::{Any, Configured, CutAfter, Events, Exactly, Parts, Stream, Visit};

/// The content of `/huge.bin`.
pub(super) fn huge() -> String {
    (0..).map(|n: u32| format!("{n} ")).flat_map(|word| word.into_bytes()).take(HUGE).map(char::from).collect()
}

fn head(line: &str, lines: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

fn get(path: &str, lines: &str) -> String {
    head(&format!("GET {path}"), lines)
}

fn with_body(line: &str, lines: &str, content: &[u8]) -> Vec<u8> {
    let head = head(line, &format!("{lines}Content-Length: {}\r\n", content.len()));
    [head.as_bytes(), content].concat()
}

fn index() -> Expected {
    Exactly(b"<p>index".to_vec())
}

impl Case {
    fn new(request: impl Into<Vec<u8>>, status: u16, content: Expected) -> Self {
        let bytes = request.into();
        Self { bytes, status, content, closes: false, interim: false, job: false, session: false, or: &[] }
    }

    fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    fn with_job(self) -> Self {
        Self { job: true, ..self }
    }

    fn or(self, or: &'static [u16]) -> Self {
        Self { or, ..self }
    }

    /// The method.
    pub(super) fn method(&self) -> &str {
        if self.bytes.starts_with(b"HEAD ") { "HEAD" } else { "GET" }
    }

    /// The beginning of the request, for messages.
    pub(super) fn name(&self) -> String {
        String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(60)]).escape_debug().to_string()
    }

    /// One random request, or several that belong together. With `reloads`, many are for the host
    /// that changes.
    pub(super) fn draw(dice: &mut Dice, huge: &str, client: &str, reloads: bool) -> Vec<Self> {
        if reloads && dice.one_in(2) {
            return vec![configured(dice)];
        }
        let one = match dice.below(17) {
            0 => small_file(dice),
            1 => Self::new(get("/huge.bin", ""), 200, Exactly(huge.into())),
            2 => head_only(dice),
            3 => range(dice, huge),
            4 => ranges(dice),
            5 => condition(dice),
            6 => echo(dice),
            7 => slow(dice),
            8 => stream(dice),
            9 => other_method(dice),
            10 => expectation(dice),
            11 => malformed(dice),
            12 => too_large(dice),
            13 => old_version(dice, huge),
            14 => return pick_many(dice, client),
            15 => visit(dice),
            _ => protected(dice),
        };
        vec![one]
    }
}

fn pick_many(dice: &mut Dice, client: &str) -> Vec<Case> {
    match dice.below(4) {
        0 => vec![post_event(dice)],
        1 => vec![events(dice)],
        2 => vec![digest(dice)],
        _ => key_value(dice, client),
    }
}

fn small_file(dice: &mut Dice) -> Case {
    match dice.below(3) {
        0 => Case::new("\r\n".to_owned() + &get("/", ""), 200, index()),
        1 => Case::new(get("/half", ""), 200, CutAfter(b"half")),
        _ => Case::new(get("/", ""), 200, index()),
    }
}

fn head_only(dice: &mut Dice) -> Case {
    let path = dice.pick(&["/", "/huge.bin", "/lab/hello", "/lab/stream?chunks=3&ms=9", "/slow/a", "/feed"]);
    let case = Case::new(head(&format!("HEAD {path}"), ""), 200, Exactly(Vec::new()));
    if path == "/slow/a" { case.with_job() } else { case }
}

fn range(dice: &mut Dice, huge: &str) -> Case {
    let from = dice.below(HUGE);
    let length = dice.amount(HUGE - from);
    let (range, expected) = match dice.below(3) {
        0 => (format!("{from}-"), from..HUGE),
        1 => (format!("-{length}"), HUGE - length..HUGE),
        _ => (format!("{from}-{}", from + length - 1), from..from + length),
    };
    let content = Exactly(huge[expected].into());
    Case::new(get("/huge.bin", &format!("Range: bytes={range}\r\n")), 206, content)
}

fn ranges(dice: &mut Dice) -> Case {
    let ranges: Vec<_> = (0..2 + dice.below(3))
        .map(|n| {
            let from = n * 30_000 + dice.below(10_000);
            from..from + dice.amount(10_000)
        })
        .collect();
    let list: Vec<_> = ranges.iter().map(|range| format!("{}-{}", range.start, range.end - 1)).collect();
    Case::new(get("/huge.bin", &format!("Range: bytes={}\r\n", list.join(","))), 206, Parts(ranges))
}

fn condition(dice: &mut Dice) -> Case {
    match dice.below(3) {
        0 => Case::new(get("/huge.bin", "Range: bytes=150000-\r\n"), 416, Any),
        1 => Case::new(get("/huge.bin", "If-None-Match: *\r\n"), 304, Exactly(Vec::new())),
        _ => Case::new(get("/nope", ""), 404, Any),
    }
}

fn content(dice: &mut Dice) -> Vec<u8> {
    vec![dice.roll() as u8; dice.amount(BODY as usize)]
}

fn echo(dice: &mut Dice) -> Case {
    let content = content(dice);
    if dice.one_in(2) {
        return Case::new(with_body("POST /lab/echo", "", &content), 200, Exactly(content));
    }
    let mut bytes = head("PUT /lab/echo", "Transfer-Encoding: chunked\r\n").into_bytes();
    write_chunks(dice, &content, &mut bytes);
    Case::new(bytes, 200, Exactly(content))
}

/// A body that the application receives piece by piece.
fn digest(dice: &mut Dice) -> Case {
    let content = content(dice);
    let hash: String =
        ring::digest::digest(&SHA256, &content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = Exactly(format!("{hash}  {} bytes\n", content.len()).into());
    match dice.below(3) {
        0 => {
            let bytes = with_body("PUT /lab/digest", "Expect: 100-continue\r\n", &content);
            Case { interim: true, ..Case::new(bytes, 200, expected) }
        }
        1 => Case::new(with_body("POST /lab/digest", "", &content), 200, expected),
        _ => {
            let mut bytes = head("PUT /lab/digest", "Transfer-Encoding: chunked\r\n").into_bytes();
            write_chunks(dice, &content, &mut bytes);
            Case::new(bytes, 200, expected)
        }
    }
}

fn slow(dice: &mut Dice) -> Case {
    let content = vec![b'x'; dice.below(2_000)];
    let path = dice.pick(&["a", "again", "panic"]);
    let request = with_body(&format!("POST /slow/{path}"), "", &content);
    let length = content.len();
    let (status, content) = match path {
        "a" => (200, Exactly(format!("/A {length}").into_bytes())),
        "again" => (200, Exactly(format!("twice {length}").into_bytes())),
        _ => (500, Any),
    };
    Case::new(request, status, content).with_job()
}

fn stream(dice: &mut Dice) -> Case {
    let (chunks, ms) = (1 + dice.below(40), dice.pick(&[0, 1, 200]));
    Case::new(get(&format!("/lab/stream?chunks={chunks}&ms={ms}"), ""), 200, Stream(chunks))
}

fn other_method(dice: &mut Dice) -> Case {
    let (line, status) = dice.pick(&[("DELETE /", 405), ("BREW /huge.bin", 501), ("OPTIONS *", 204)]);
    Case::new(with_body(line, "", &vec![b'x'; dice.below(3_000)]), status, Any)
}

fn expectation(dice: &mut Dice) -> Case {
    let lines = "Expect: 100-continue\r\n";
    match dice.below(3) {
        0 => Case::new(with_body("POST /", lines, b"hello"), 405, Any).closing(),
        1 => Case::new(get("/", "Expect: wonders\r\n"), 417, Any),
        _ => {
            let case = Case::new(with_body("POST /lab/echo", lines, b"hello"), 200, Exactly(b"hello".to_vec()));
            Case { interim: true, ..case }
        }
    }
}

fn malformed(dice: &mut Dice) -> Case {
    let request = dice.pick(&[
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naa\r\n0\r\n\r\n",
        "POST /lab/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n\r\n",
        "POST /lab/digest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n\r\n",
    ]);
    Case::new(request, 400, Any).closing()
}

fn too_large(dice: &mut Dice) -> Case {
    let content = vec![b'x'; BODY as usize + 1];
    let (path, status) = dice.pick(&[("/lab/echo", 413), ("/", 405)]);
    let line = format!("POST {path}");
    if dice.one_in(2) {
        return Case::new(with_body(&line, "", &content), status, Any).closing();
    }
    let mut bytes = head(&line, "Transfer-Encoding: chunked\r\n").into_bytes();
    write_chunks(dice, &content, &mut bytes);
    Case::new(bytes, status, Any).closing()
}

fn old_version(dice: &mut Dice, huge: &str) -> Case {
    match dice.below(4) {
        0 => Case::new("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, index()),
        1 => Case::new("GET / HTTP/1.0\r\n\r\n", 200, index()).closing(),
        2 => Case::new("GET /lab/stream?chunks=5&ms=1 HTTP/1.0\r\n\r\n", 200, Stream(5)).closing(),
        _ => Case::new(get("/huge.bin", "Connection: close\r\n"), 200, Exactly(huge.into())).closing(),
    }
}

fn visit(dice: &mut Dice) -> Case {
    let (which, path) = (dice.below(SESSIONS), dice.pick(&["", "", "/later"]));
    // A cookie of another path may come first, with a session that no store has.
    let foreign = dice.pick(&["", "", "sessionId=99999999-1111-4111-8111-111111111111; "]);
    let lines = format!("Cookie: {foreign}sessionId={}\r\n", session(which));
    let case = Case::new(get(&format!("/visits{path}"), &lines), 200, Visit(which));
    Case { session: true, job: !path.is_empty(), ..case }
}

/// A request to the host that reloads change. Its body may come before or after a reload.
fn configured(dice: &mut Dice) -> Case {
    let path = dice.pick(&["/a", "/b", "/b/c", "/b/c/d", "/c"]);
    let body = vec![b'x'; dice.below(3_000)];
    let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n", reload::NAME, body.len());
    Case::new([head.as_bytes(), &body].concat(), 200, Configured(path)).with_job().or(&[404])
}

/// A protected page: the password is checked by a job. Too many wrong ones are 429.
fn protected(dice: &mut Dice) -> Case {
    let private = || Exactly(b"<p>private".to_vec());
    // alice:apple, alice:pear
    match dice.below(4) {
        0 => Case::new(get("/private/", ""), 401, Any),
        1 => Case::new(get("/private/", "Authorization: Basic YWxpY2U6cGVhcg==\r\n"), 401, Any).with_job().or(&[429]),
        _ => Case::new(get("/private/", "Authorization: Basic YWxpY2U6YXBwbGU=\r\n"), 200, private())
            .with_job()
            .or(&[429]),
    }
}

fn post_event(dice: &mut Dice) -> Case {
    let content = "x".repeat(dice.amount(5_000));
    Case::new(with_body("POST /feed", "", content.as_bytes()), 204, Exactly(Vec::new()))
}

fn events(dice: &mut Dice) -> Case {
    if dice.one_in(4) {
        return Case::new("GET /feed HTTP/1.0\r\n\r\n", 200, Events).closing();
    }
    Case::new(get("/feed", ""), 200, Events)
}

/// Requests to a key-value service: in memory at `/kv`, durable at `/durable`. The key
/// belongs to this client.
fn key_value(dice: &mut Dice, client: &str) -> Vec<Case> {
    let lines = "Content-Type: application/octet-stream\r\n";
    let value = vec![b'v'; dice.amount(3_000)];
    let key = format!("{client}-{}", dice.roll());
    if dice.one_in(3) {
        let put = Case::new(with_body(&format!("PUT /durable/{key}"), lines, &value), 201, Any).with_job();
        // If the first write took too long, it isn't known whether it was done.
        let again = Case::new(with_body(&format!("PUT /durable/{key}"), lines, &value), 204, Any).with_job().or(&[201]);
        return vec![put, again];
    }
    let at = |method: &str| head(&format!("{method} /kv/{key}"), "");
    vec![
        Case::new(at("GET"), 404, Any),
        Case::new(with_body(&format!("PUT /kv/{key}"), lines, &value), 201, Any),
        Case::new(at("GET"), 200, Exactly(value)),
        Case::new(get("/kv/", ""), 200, Any),
        Case::new(at("DELETE"), 204, Exactly(Vec::new())),
    ]
}

/// Writes content in the chunked coding, cut at random.
pub(super) fn write_chunks(dice: &mut Dice, mut content: &[u8], out: &mut Vec<u8>) {
    while !content.is_empty() {
        let (piece, rest) = content.split_at(dice.amount(content.len()));
        let extension = dice.pick(&["", "", ";a", ";a=\"b\""]);
        out.extend(format!("{:x}{extension}\r\n", piece.len()).as_bytes());
        out.extend(piece);
        out.extend(b"\r\n");
        content = rest;
    }
    out.extend(dice.pick(&["0\r\n\r\n", "00\r\nA: b\r\n\r\n"]).as_bytes());
}

impl Expected {
    /// Checks the content of a response with the expected status.
    pub(super) fn check(&self, response: &Response, head_only: bool, huge: &str, name: &str) {
        let content = &response.body;
        match self {
            _ if head_only => assert!(content.is_empty(), "{name}: content"),
            Any | Visit(_) | Configured(_) => {}
            Exactly(expected) => assert!(content == expected, "{name}: the wrong content"),
            CutAfter(expected) => assert!(response.open_ended && content == expected, "{name}: it has an end"),
            Parts(ranges) => check_parts(response, ranges, huge, name),
            Events => check_events(content, name),
            Stream(chunks) => {
                let text = std::str::from_utf8(content).expect("text");
                assert_eq!(text.lines().count(), *chunks, "{name}");
                for (number, line) in text.lines().enumerate() {
                    assert!(line.starts_with(&format!("chunk {} of {chunks} after ", number + 1)), "{name}: {line}");
                }
            }
        }
    }
}

fn check_parts(response: &Response, ranges: &[Range<usize>], huge: &str, name: &str) {
    let media_type = response.field("Content-Type").expect("a media type");
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").expect("a boundary");
    let content = response.text();
    let parts: Vec<_> = content.split(&format!("--{boundary}")).collect();
    assert_eq!((parts.len(), parts[ranges.len() + 1]), (ranges.len() + 2, "--\r\n"), "{name}");
    for (part, range) in parts[1..].iter().zip(ranges) {
        let field = format!("Content-Range: bytes {}-{}/{HUGE}\r\n", range.start, range.end - 1);
        let end = format!("\r\n\r\n{}\r\n", &huge[range.clone()]);
        assert!(part.contains(&field) && part.ends_with(&end), "{name}: a wrong part");
    }
}

fn check_events(content: &[u8], name: &str) {
    let text = std::str::from_utf8(content).expect("text");
    let numbers: Vec<_> = text.split("id: ").skip(1).map(|id| id.split('\n').next().unwrap()).collect();
    let expected: Vec<_> = (0..numbers.len()).map(|number| number.to_string()).collect();
    assert_eq!(numbers, expected, "{name}");
    assert!(text.starts_with("retry: 2000\nid: 0\n\n") && text.ends_with("\n\n"), "{name}: {text}");
}
