//! The head of a request: request line and field lines (RFC 9112 §2 to §5).
//!
//! `httparse` cuts the head up; it is lenient in places where two servers in a
//! row that differ are a hole (request smuggling), so what it lets through is
//! looked at again here: every line must end in CRLF, at most one empty line may
//! come first, and the fields that decide about framing, routing and persistence
//! must be beyond doubt. Every doubt is a [`Reject`], after which the connection
//! closes, since nobody knows where the next request would begin.

use std::mem::MaybeUninit;

use super::framing::{Framing, request_framing};
use super::section::{Lines, Present, Section};
use super::target::{self, Form, Target};
use super::{Fields, Reject, Status};
use crate::limits;

/// A request method (RFC 9110 §9).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    Patch,
    Connect,
    Trace,
    /// Any other; case matters, so `get` is one of these.
    Unknown,
}

impl Method {
    /// The method's name; of an unknown one, a stand-in.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Connect => "CONNECT",
            Self::Trace => "TRACE",
            Self::Unknown => "?",
        }
    }

    fn from_name(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            "PATCH" => Self::Patch,
            "CONNECT" => Self::Connect,
            "TRACE" => Self::Trace,
            _ => Self::Unknown,
        }
    }
}

/// What the client expects before it sends the body (RFC 9110 §10.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// Nothing.
    Nothing,
    /// To be told to continue.
    Continue,
    /// Something that we don't know.
    Unknown,
}

/// The head of a request, understood; borrowed from the input.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: Method,
    /// The method as it was sent.
    pub method_name: &'a str,
    /// The request-target as it was sent.
    pub raw_target: &'a [u8],
    /// The request-target, cut up.
    pub target: Target<'a>,
    /// 0 for HTTP/1.0; 1 for HTTP/1.1 and what calls itself higher.
    pub minor: u8,
    /// The field lines.
    pub fields: Fields<'a>,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the connection may persist after the answer (RFC 9112 §9.3).
    pub persistent: bool,
    /// What is expected before the body.
    pub expect: Expect,
    /// Which fields are there.
    pub present: Present,
    /// The head as it was sent, to the end of its empty line. It can be parsed again.
    pub raw: &'a [u8],
    /// Octets that the head takes, an empty line before it included.
    pub length: usize,
}

/// Parses the head at the beginning of `input`; none if it isn't whole yet.
///
/// What is there of an unwhole head is checked as far as it goes, so garbage is
/// refused without waiting for its end.
///
/// # Errors
/// 400 for whatever isn't a proper head; 414, 431 over [`limits::TARGET`],
/// [`limits::HEAD`], [`limits::FIELDS`]; 501 for an unknown transfer coding or an
/// endless method; 505 for another major version.
pub fn parse<'a>(input: &'a mut [u8], lines: &'a mut Lines) -> Result<Option<RequestHead<'a>>, Reject> {
    // One empty line is tolerated (RFC 9112 §2.2): some clients send one after a body.
    let skipped = if input.starts_with(b"\r\n") { 2 } else { 0 };
    let head = &mut input[skipped..];
    if head.starts_with(b"\n") || head.starts_with(b"\r\n") {
        return Err(Reject::bad_request("an empty line stands where a request should begin"));
    }
    let line = line_end(head)?;
    check_line(head, line)?;
    if let Some(line) = line {
        serve_as_1_1(&mut head[..line]);
    }

    let head = &*head;
    if let Some(line) = line
        && let Some((length, section)) = lines.recognise(&head[line + 2..])
        && let Some(request_line) = parse_line(&head[..line + 2])
    {
        let raw = &head[..line + 2 + length];
        check_size(raw.len())?;
        let fields = lines.within(&raw[line + 2..]);
        return understand(request_line, fields, section, raw, skipped).map(Some);
    }

    let mut room = [const { MaybeUninit::uninit() }; limits::FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_request_with_uninit_headers(&mut request, head, &mut room) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => {
            no_bare_lf(head)?;
            check_size(head.len() + 1)?;
            return Ok(None);
        }
        Err(error) => {
            no_bare_lf(head)?;
            return match (error, line) {
                // What kind of version it is shows when the line is whole.
                (httparse::Error::Version, None) => Ok(None),
                (httparse::Error::Version, Some(line)) => Err(wrong_version(&head[..line])),
                (error, _) => Err(explain(error)),
            };
        }
    };
    let raw = &head[..length];
    no_bare_lf(raw)?;
    check_size(length)?;
    let (Some(line), Some(request_line)) = (line, RequestLine::of(&request)) else {
        return Err(Reject::bad_request("the request line isn't whole"));
    };
    let octets = &raw[line + 2..];
    lines.fill(octets, request.headers);
    let section = Section::understand(&lines.within(octets))?;
    lines.keep(octets, section);
    understand(request_line, lines.within(octets), section, raw, skipped).map(Some)
}

/// A request line, cut up (RFC 9112 §3).
struct RequestLine<'a> {
    method: &'a str,
    target: &'a str,
    minor: u8,
}

impl<'a> RequestLine<'a> {
    fn of(request: &httparse::Request<'_, 'a>) -> Option<Self> {
        Some(Self { method: request.method?, target: request.path?, minor: request.version? })
    }
}

/// Parses a request line with its CRLF, by itself; none if it isn't one.
fn parse_line(line: &[u8]) -> Option<RequestLine<'_>> {
    let mut request = httparse::Request::new(&mut []);
    // It isn't complete, since no field line follows, but understood so far.
    request.parse(line).ok()?;
    RequestLine::of(&request)
}

/// Whether a head that wasn't whole when it had `seen` octets is worth another
/// look: a line has ended since, or its length has doubled. So a head that comes
/// octet by octet is parsed once a line, and an endless line a few times.
pub fn has_news(input: &[u8], seen: usize) -> bool {
    seen == 0 || input.len().ilog2() > seen.ilog2() || memchr::memchr(b'\n', &input[seen..]).is_some()
}

/// Parses a head that was [`RequestHead::raw`] before, and was kept while its body or
/// its answer was waited for.
///
/// # Panics
/// If it wasn't.
pub fn parse_again<'a>(raw: &'a mut [u8], lines: &'a mut Lines) -> RequestHead<'a> {
    match parse(raw, lines) {
        Ok(Some(head)) => head,
        Ok(None) | Err(_) => unreachable!("the head was parsed before"),
    }
}

/// Where the request line ends (before its CRLF), if it does.
fn line_end(head: &[u8]) -> Result<Option<usize>, Reject> {
    match memchr::memchr(b'\n', head) {
        None => Ok(None),
        Some(at) if at > 0 && head[at - 1] == b'\r' => Ok(Some(at - 1)),
        Some(_) => Err(BARE_LF),
    }
}

const BARE_LF: Reject = Reject::bad_request("a line ends in a bare LF");

/// Every line must end in CRLF. Without a branch inside, so that many octets are
/// looked at at once.
pub(super) fn no_bare_lf(head: &[u8]) -> Result<(), Reject> {
    let pairs = head.iter().zip(head.get(1..).unwrap_or_default());
    let bare = pairs.fold(false, |bare, (&before, &octet)| bare | ((octet == b'\n') & (before != b'\r')));
    if bare { Err(BARE_LF) } else { Ok(()) }
}

/// The head must fit its limit.
pub(super) fn check_size(length: usize) -> Result<(), Reject> {
    if length > limits::HEAD {
        return Err(Reject::new(Status::HEADER_FIELDS_TOO_LARGE, "the head is too large"));
    }
    Ok(())
}

/// A higher minor version is served as the highest we know (RFC 9110 §2.5),
/// which is what the request line says from here on, since `httparse` knows no
/// other. `line` has no line end.
fn serve_as_1_1(line: &mut [u8]) {
    if let [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9'] = line {
        *minor = b'1';
    }
}

/// 505 if the request line ends in a proper version of another major, else 400.
fn wrong_version(line: &[u8]) -> Reject {
    match line {
        [.., b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && *major != b'1' && minor.is_ascii_digit() =>
        {
            Reject::new(Status::VERSION_NOT_SUPPORTED, "only HTTP/1.0 and HTTP/1.1 are spoken here")
        }
        _ => Reject::bad_request("the HTTP version is missing or malformed"),
    }
}

fn check_line(head: &[u8], line: Option<usize>) -> Result<(), Reject> {
    // Method and version beside the target: generous for both.
    const AROUND_TARGET: usize = 64;
    if line.unwrap_or(head.len()) > limits::TARGET + AROUND_TARGET {
        // Which of the two is too long decides about the answer (RFC 9112 §3).
        if !head[..AROUND_TARGET].contains(&b' ') {
            return Err(Reject::new(Status::NOT_IMPLEMENTED, "the method is longer than any that is known here"));
        }
        return Err(Reject::new(Status::URI_TOO_LONG, "the request-target is too long"));
    }
    Ok(())
}

fn explain(error: httparse::Error) -> Reject {
    match error {
        httparse::Error::TooManyHeaders => {
            Reject::new(Status::HEADER_FIELDS_TOO_LARGE, "there are too many field lines")
        }
        httparse::Error::HeaderName => Reject::bad_request("a field name is malformed"),
        httparse::Error::HeaderValue => Reject::bad_request("a field value holds a control octet"),
        httparse::Error::NewLine => Reject::bad_request("a line doesn't end in CRLF"),
        _ => Reject::bad_request("the request line is malformed"),
    }
}

fn understand<'a>(
    line: RequestLine<'a>,
    fields: Fields<'a>,
    section: Section,
    raw: &'a [u8],
    skipped: usize,
) -> Result<RequestHead<'a>, Reject> {
    let RequestLine { method: method_name, target: raw_target, minor } = line;
    if raw_target.len() > limits::TARGET {
        return Err(Reject::new(Status::URI_TOO_LONG, "the request-target is too long"));
    }
    let method = Method::from_name(method_name);
    let target = target::parse(raw_target.as_bytes())?;
    if target.form == Form::Asterisk && method != Method::Options {
        return Err(Reject::bad_request("the request-target * is for OPTIONS alone"));
    }
    if !section.host && minor > 0 {
        return Err(Reject::bad_request("there must be exactly one Host field"));
    }
    Ok(RequestHead {
        method,
        method_name,
        raw_target: raw_target.as_bytes(),
        target,
        minor,
        fields,
        framing: if section.framed { request_framing(minor, &fields)? } else { Framing::None },
        persistent: section.connection.persists(minor),
        expect: if section.expected && minor > 0 { expectation(&fields) } else { Expect::Nothing },
        present: section.present,
        raw,
        length: skipped + raw.len(),
    })
}

fn expectation(fields: &Fields<'_>) -> Expect {
    let mut expect = Expect::Nothing;
    for token in fields.tokens("expect") {
        if !token.eq_ignore_ascii_case(b"100-continue") {
            return Expect::Unknown;
        }
        expect = Expect::Continue;
    }
    expect
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a head: its length and the essentials, or the status.
    fn outcome(input: &[u8]) -> Result<Option<String>, u16> {
        let mut input = input.to_vec();
        let mut lines = Lines::default();
        match parse(&mut input, &mut lines) {
            Ok(None) => Ok(None),
            Ok(Some(head)) => Ok(Some(format!(
                "{:?} {} 1.{} {:?} {} {:?} {}",
                head.method,
                String::from_utf8_lossy(head.target.path),
                head.minor,
                head.framing,
                if head.persistent { "keep" } else { "close" },
                head.expect,
                head.length
            ))),
            Err(reject) => Err(reject.status.0),
        }
    }

    fn status(input: &[u8]) -> u16 {
        outcome(input).expect_err("refused")
    }

    #[test]
    fn understands_the_usual_request_wherever_it_is_cut_and_whatever_follows() {
        let head = b"GET /a?b HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n";
        let expected = format!("Get /a 1.1 None keep Nothing {}", head.len());
        for cut in 0..head.len() {
            assert_eq!(outcome(&head[..cut]), Ok(None), "cut at {cut}");
        }
        for trailing in [&b""[..], b"G", b"\r\n\r\n", b"\n\n", b"\0"] {
            assert_eq!(outcome(&[head, trailing].concat()), Ok(Some(expected.clone())));
        }
    }

    #[test]
    fn an_endless_head_is_parsed_a_bounded_number_of_times() {
        // Counted by what makes a parse worthwhile, for one octet at a time.
        let line = vec![b'a'; limits::HEAD];
        assert!((1..line.len()).filter(|&n| has_news(&line[..n], n - 1)).count() < 20);
    }

    #[test]
    fn versions() {
        let request = |version: &str| format!("GET / {version}\r\nHost: x\r\n\r\n").into_bytes();
        for (version, expected) in [("HTTP/1.1", "1.1 None keep"), ("HTTP/1.0", "1.0 None close")] {
            assert!(outcome(&request(version)).unwrap().unwrap().contains(expected));
        }
        for version in ["HTTP/1.2", "HTTP/1.9"] {
            let request = request(version);
            assert!(outcome(&request).unwrap().unwrap().contains("1.1 None keep"), "{version}");
            for cut in 0..request.len() {
                assert_eq!(outcome(&request[..cut]), Ok(None), "{version} cut at {cut}");
            }
        }
        for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.1"] {
            assert_eq!(status(&request(version)), 505, "{version}");
        }
        for version in ["HTTP/1", "HTTP/1.", "HTTP/1.10", "HTTP/11", "http/1.1", "HTTP/a.1", "HTTP/1.1 ", "HTP/1.1", ""]
        {
            assert_eq!(status(&request(version)), 400, "{version}");
        }
        assert_eq!(status(b"GET /\r\n"), 400, "HTTP/0.9 is refused at the end of its line");
        assert_eq!(status(b"\x16\x03\x01\x02\x00\x01\x00"), 400, "a TLS ClientHello, at once");
    }

    #[test]
    fn persistence_follows_version_and_connection_options() {
        let request = |minor: u8, lines: &str| format!("GET / HTTP/1.{minor}\r\nHost: x\r\n{lines}\r\n").into_bytes();
        for (minor, lines, expected) in [
            (1, "", "keep"),
            (1, "Connection: close\r\n", "close"),
            (1, "Connection: foo, CLOSE ,\r\n", "close"),
            (1, "Connection: keep-alive\r\nconnection: close\r\n", "close"),
            (1, "Connection: closed\r\n", "keep"),
            (0, "", "close"),
            (0, "Connection: Keep-Alive\r\n", "keep"),
            (0, "Connection: keep-alive, close\r\n", "close"),
        ] {
            let seen = outcome(&request(minor, lines)).unwrap().unwrap();
            assert!(seen.contains(&format!(" {expected} ")), "1.{minor} {lines:?}: {seen}");
        }
    }

    #[test]
    fn refuses_what_two_servers_could_read_in_two_ways() {
        for head in [
            "GET / HTTP/1.1\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "\rGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            " GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / x HTTP/1.1\r\nHost: x\r\n\r\n",
            "G\x01T / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA B: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: \x7f\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /#a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET http://u@x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n",
        ] {
            assert_eq!(status(head.as_bytes()), 400, "{head:?}");
        }
    }

    #[test]
    fn one_empty_line_before_the_request_is_tolerated() {
        let head = b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(outcome(head).unwrap().unwrap(), format!("Get / 1.1 None keep Nothing {}", head.len()));
        assert_eq!(outcome(b"\r"), Ok(None));
        assert_eq!(outcome(b"\r\n"), Ok(None));
    }

    #[test]
    fn limits_have_statuses_of_their_own_whole_or_not() {
        let target = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(n - 1)).into_bytes();
        assert!(outcome(&target(limits::TARGET)).is_ok());
        assert_eq!(status(&target(limits::TARGET + 1)), 414);
        assert_eq!(status(&target(limits::TARGET * 2)[..limits::TARGET + 100]), 414);
        assert_eq!(status(&vec![b'A'; limits::TARGET + 100]), 501, "a method, not a target, has no end");
        let fields = |n: usize| format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(n - 1)).into_bytes();
        assert!(outcome(&fields(limits::FIELDS)).is_ok());
        assert_eq!(status(&fields(limits::FIELDS + 1)), 431);
        let large = |n: usize| {
            let frame = "GET / HTTP/1.1\r\nHost: x\r\nA: \r\n\r\n".len();
            format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(n - frame)).into_bytes()
        };
        assert!(outcome(&large(limits::HEAD)).is_ok());
        assert_eq!(status(&large(limits::HEAD + 1)), 431);
        assert_eq!(status(&large(limits::HEAD * 2)[..limits::HEAD]), 431);
    }

    #[test]
    fn expectations_and_presence() {
        let mut input = b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 3\r\nIf-None-Match: *\r\nAccept-Encoding: br\r\n\r\n".to_vec();
        let mut lines = Lines::default();
        let head = parse(&mut input, &mut lines).unwrap().unwrap();
        assert_eq!((head.expect, head.framing), (Expect::Continue, Framing::Length(3)));
        assert_eq!(head.present, Present { conditional: true, range: false, accept: false, accept_encoding: true });
        assert!(outcome(b"GET / HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n").unwrap().unwrap().contains("Unknown"));
        assert!(outcome(b"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").unwrap().unwrap().contains("Nothing"));
    }

    #[test]
    fn the_absolute_form_names_the_path() {
        let seen = outcome(b"GET HTTP://example.org/a/b?c HTTP/1.1\r\nHost: x\r\n\r\n").unwrap().unwrap();
        assert!(seen.starts_with("Get /a/b "), "{seen}");
        assert!(outcome(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").unwrap().unwrap().starts_with("Options * "));
    }
}
