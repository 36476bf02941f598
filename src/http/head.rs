//! The head of a request: request line and header section (RFC 9112 §2 to §5).
//!
//! The parser is strict wherever two servers in a row could differ, because every such
//! difference allows request smuggling. Every line must end in CRLF. At most one empty line
//! may come first. One space separates the words of the request line. The fields that decide
//! about framing, routing and persistence must be unambiguous. After a [`Reject`] the
//! connection closes, because it is unknown where the next request would begin.
//!
//! This file parses the request line, [`header_section`](super::header_section) the rest.

use super::content_coding::AcceptedCodings;
use super::framing::{Framing, request_framing};
use super::grammar::{is_tchar, is_token};
use super::header_section::{BARE_LF, FieldLines, Present, check_size};
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
    /// Any other; methods are case-sensitive, so `get` is one of these.
    Unknown,
}

impl Method {
    /// The method's name; of an unknown one, a placeholder.
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

    fn from_name(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            b"CONNECT" => Self::Connect,
            b"TRACE" => Self::Trace,
            _ => Self::Unknown,
        }
    }
}

/// What the client expects before it sends the body (RFC 9110 §10.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// Nothing.
    Nothing,
    /// A 100 (Continue) response.
    Continue,
    /// An unknown expectation.
    Unknown,
}

/// A parsed request head, borrowed from the input.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: Method,
    /// The method as it was received.
    pub method_name: &'a str,
    /// The request-target as it was received.
    pub raw_target: &'a [u8],
    /// The parsed request-target.
    pub target: Target<'a>,
    /// 0 for HTTP/1.0; 1 for HTTP/1.1 and higher minor versions.
    pub minor: u8,
    /// The field lines.
    pub fields: Fields<'a>,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the connection may persist after the response (RFC 9112 §9.3).
    pub persistent: bool,
    /// What the client expects before it sends the body.
    pub expect: Expect,
    /// Which of the fields that affect a response are present.
    pub present: Present,
    /// The content codings that the client accepts.
    pub codings: AcceptedCodings,
    /// The number of the line of the Host field.
    host: Option<u16>,
    /// The head as it was received, up to the end of its empty line. It can be parsed again.
    pub raw: &'a [u8],
    /// Length of the head in bytes, including an empty line before it.
    pub length: usize,
}

impl<'a> RequestHead<'a> {
    /// The host and port that the request is for: of the target if it has them, else of the
    /// Host field (RFC 9112 §3.2.2).
    pub fn host(&self) -> Option<&'a [u8]> {
        self.target.authority.or_else(|| self.fields.value(self.host?))
    }
}

/// Parses the head at the beginning of `input`; none if it is incomplete.
///
/// An incomplete head is checked as far as it goes, so garbage is refused before its end.
///
/// # Errors
/// 400 for a malformed head; 414 and 431 beyond [`limits::TARGET`], [`limits::HEAD`] and
/// [`limits::FIELDS`]; 501 for an unknown transfer coding or a method that is too long; 505 for
/// another major version.
pub fn parse<'a>(input: &'a [u8], lines: &'a mut FieldLines) -> Result<Option<RequestHead<'a>>, Reject> {
    // One empty line is tolerated (RFC 9112 §2.2): some clients send one after a body.
    let skipped = if input.starts_with(b"\r\n") { 2 } else { 0 };
    let head = &input[skipped..];
    if head.starts_with(b"\n") || head.starts_with(b"\r\n") {
        return Err(Reject::bad_request("there is more than one empty line before the request"));
    }
    let end = line_end(head)?;
    check_line(head, end)?;
    let Some(end) = end else {
        check_beginning(head)?;
        return Ok(None);
    };
    let line = RequestLine::parse(&head[..end])?;
    let bytes = &head[end + 2..];
    let (length, section) = match lines.recognise(bytes) {
        Some(known) => known,
        None => match lines.parse(bytes)? {
            Some(found) => found,
            None => {
                check_size(head.len() + 1)?;
                return Ok(None);
            }
        },
    };
    let raw = &head[..end + 2 + length];
    check_size(raw.len())?;
    let fields = lines.within(&bytes[..length]);
    let RequestLine { method, method_name, raw_target, target, minor } = line;
    if section.host.is_none() && minor > 0 {
        return Err(Reject::bad_request("there must be exactly one Host field"));
    }
    Ok(Some(RequestHead {
        method,
        method_name,
        raw_target,
        target,
        minor,
        fields,
        framing: if section.framed { request_framing(minor, &fields)? } else { Framing::None },
        persistent: section.connection.persists(minor),
        expect: if section.expected && minor > 0 { expectation(&fields) } else { Expect::Nothing },
        present: section.present,
        codings: section.codings,
        host: section.host,
        raw,
        length: skipped + raw.len(),
    }))
}

/// A parsed request line (RFC 9112 §3).
struct RequestLine<'a> {
    method: Method,
    method_name: &'a str,
    raw_target: &'a [u8],
    target: Target<'a>,
    minor: u8,
}

impl<'a> RequestLine<'a> {
    /// Parses a line without its CRLF.
    fn parse(line: &'a [u8]) -> Result<Self, Reject> {
        let Some(space) = line.iter().position(|&byte| byte == b' ') else { return Err(MALFORMED) };
        let (name, rest) = line.split_at(space);
        let method = Method::from_name(name);
        let method_name = match method {
            Method::Unknown if is_token(name) => std::str::from_utf8(name).map_err(|_| MALFORMED)?,
            Method::Unknown => return Err(MALFORMED),
            known => known.name(),
        };
        let Some((rest, minor @ b'0'..=b'9')) = rest.split_last().map(|(last, rest)| (rest, *last)) else {
            return Err(wrong_version(line));
        };
        let Some([b' ', raw_target @ ..]) = rest.strip_suffix(b" HTTP/1.") else {
            return Err(wrong_version(line));
        };
        if raw_target.len() > limits::TARGET {
            return Err(TARGET_TOO_LONG);
        }
        let target = match method {
            Method::Connect => target::parse_authority(raw_target)?,
            _ => target::parse(raw_target)?,
        };
        if target.form == Form::Asterisk && method != Method::Options {
            return Err(Reject::bad_request("the request-target * is for OPTIONS only"));
        }
        // A higher minor version is handled as HTTP/1.1 (RFC 9110 §2.5).
        let minor = u8::from(minor > b'0');
        Ok(Self { method, method_name, raw_target, target, minor })
    }
}

const MALFORMED: Reject = Reject::bad_request("the request line is malformed");
const TARGET_TOO_LONG: Reject = Reject::new(Status::URI_TOO_LONG, "the request-target is too long");

/// Checks that an incomplete request line can still become valid.
fn check_beginning(line: &[u8]) -> Result<(), Reject> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let method = line.iter().position(|&byte| !is_tchar(byte)).unwrap_or(line.len());
    match &line[method..] {
        [] => Ok(()),
        [b' ', rest @ ..] if method > 0 && !rest.starts_with(b" ") && !rest.iter().any(u8::is_ascii_control) => Ok(()),
        _ => Err(MALFORMED),
    }
}

/// Whether to parse an incomplete head again that was last parsed when it had `parsed` bytes:
/// if a line has ended since, or its length has doubled. So a head that comes byte by byte is
/// parsed once per line, and an endless line a few times.
pub fn is_worth_parsing(input: &[u8], parsed: usize) -> bool {
    parsed == 0 || input.len().ilog2() > parsed.ilog2() || memchr::memchr(b'\n', &input[parsed..]).is_some()
}

/// Parses a head again: a copy of [`RequestHead::raw`] that was stored while the request waited
/// for its body or its response.
///
/// # Panics
/// If it is anything else.
pub fn parse_again<'a>(raw: &'a [u8], lines: &'a mut FieldLines) -> RequestHead<'a> {
    match parse(raw, lines) {
        Ok(Some(head)) => head,
        Ok(None) | Err(_) => unreachable!("the head was parsed before"),
    }
}

/// The end of the request line (before its CRLF), if it has one.
fn line_end(head: &[u8]) -> Result<Option<usize>, Reject> {
    match memchr::memchr(b'\n', head) {
        None => Ok(None),
        Some(at) if at > 0 && head[at - 1] == b'\r' => Ok(Some(at - 1)),
        Some(_) => Err(BARE_LF),
    }
}

/// 505 if the request line ends in a valid version with another major number, else 400.
fn wrong_version(line: &[u8]) -> Reject {
    match line {
        [.., b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && *major != b'1' && minor.is_ascii_digit() =>
        {
            Reject::new(Status::VERSION_NOT_SUPPORTED, "only HTTP/1.0 and HTTP/1.1 are supported")
        }
        _ => Reject::bad_request("the HTTP version is missing or malformed"),
    }
}

fn check_line(head: &[u8], line: Option<usize>) -> Result<(), Reject> {
    // Room for method and version beside the target; generous for both.
    const AROUND_TARGET: usize = 64;
    if line.unwrap_or(head.len()) > limits::TARGET + AROUND_TARGET {
        // The status depends on which of the two is too long (RFC 9112 §3).
        if !head[..AROUND_TARGET].contains(&b' ') {
            return Err(Reject::new(Status::NOT_IMPLEMENTED, "the method is longer than any supported one"));
        }
        return Err(TARGET_TOO_LONG);
    }
    Ok(())
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
    use super::super::content_coding::ContentCoding;
    use super::*;

    /// The length of a head and its essentials, or the status.
    fn outcome(input: &[u8]) -> Result<Option<String>, u16> {
        let input = input.to_vec();
        let mut lines = FieldLines::default();
        match parse(&input, &mut lines) {
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
    fn a_usual_request_is_parsed_in_any_pieces() {
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
    fn an_endless_head_is_parsed_a_limited_number_of_times() {
        // Counts the parses for one byte at a time.
        let line = vec![b'a'; limits::HEAD];
        assert!((1..line.len()).filter(|&n| is_worth_parsing(&line[..n], n - 1)).count() < 20);
    }

    #[test]
    fn versions_are_parsed() {
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
    fn persistence_depends_on_version_and_connection_options() {
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
            let parsed = outcome(&request(minor, lines)).unwrap().unwrap();
            assert!(parsed.contains(&format!(" {expected} ")), "1.{minor} {lines:?}: {parsed}");
        }
    }

    #[test]
    fn ambiguous_requests_are_refused() {
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
    fn each_limit_has_its_own_status() {
        let target = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(n - 1)).into_bytes();
        assert!(outcome(&target(limits::TARGET)).is_ok());
        assert_eq!(status(&target(limits::TARGET + 1)), 414);
        assert_eq!(status(&target(limits::TARGET * 2)[..limits::TARGET + 100]), 414);
        assert_eq!(status(&vec![b'A'; limits::TARGET + 100]), 501, "an endless method, not a target");
        let fields = |n: usize| format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(n - 1)).into_bytes();
        assert!(outcome(&fields(limits::FIELDS)).is_ok());
        assert_eq!(status(&fields(limits::FIELDS + 1)), 431);
        let large = |n: usize| {
            let frame = "GET / HTTP/1.1\r\nHost: x\r\nA: \r\n\r\n".len();
            format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(n - frame)).into_bytes()
        };
        assert!(outcome(&large(limits::HEAD)).is_ok());
        assert_eq!(status(&large(limits::HEAD + 1)), 431);
        let long = "a".repeat(40_000);
        let far = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {long}\r\nB: {long}\r\n\r\n");
        assert_eq!(status(far.as_bytes()), 431, "a position beyond 16 bits");
        assert_eq!(status(&large(limits::HEAD * 2)[..limits::HEAD]), 431);
    }

    #[test]
    fn expectations_and_present_fields_are_found() {
        let input = b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 3\r\nIf-None-Match: *\r\nAccept-Encoding: br;q=0.5\r\n\r\n".to_vec();
        let mut lines = FieldLines::default();
        let head = parse(&input, &mut lines).unwrap().unwrap();
        assert_eq!((head.expect, head.framing), (Expect::Continue, Framing::Length(3)));
        assert_eq!(head.present, Present { conditional: true, range: false, accept: false });
        assert!(head.codings.accepts(ContentCoding::Brotli) && !head.codings.accepts(ContentCoding::Gzip));
        assert!(outcome(b"GET / HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n").unwrap().unwrap().contains("Unknown"));
        assert!(outcome(b"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").unwrap().unwrap().contains("Nothing"));
    }

    #[test]
    fn the_absolute_form_is_split() {
        let parsed = outcome(b"GET HTTP://example.org/a/b?c HTTP/1.1\r\nHost: x\r\n\r\n").unwrap().unwrap();
        assert!(parsed.starts_with("Get /a/b "), "{parsed}");
        assert!(outcome(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").unwrap().unwrap().starts_with("Options * "));
    }
}
