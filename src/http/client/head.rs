//! The head of a response (RFC 9112 §4, §5), and the framing of its body (§6.3).
//!
//! As for requests, `httparse` splits the head, and what it lets through is checked again.
//! A field value that goes on in the next line (obs-fold), as old servers send it, is joined by
//! spaces (RFC 9112 §5.2). An empty line before the status line is refused, unlike before a request: it means that
//! the previous response ended somewhere else.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::{HttpError, RequestKind};
use crate::http::framing::{Framing, request_framing};
use crate::http::header_section::{Connection, check_size, no_bare_lf};
use crate::http::{FieldLines, Fields, Status};
use crate::limits;

/// Where the body of a response ends, according to the head and the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    /// There is no body, or it is empty.
    Absent,
    /// After this many bytes, at least one.
    Length(u64),
    /// At the end of the chunked coding.
    Chunked,
    /// When the connection closes.
    UntilClose,
    /// Never: the connection uses another protocol now.
    Tunnel,
}

/// A parsed response head, borrowed from the input.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// The status, 100 to 599.
    pub status: Status,
    /// The reason phrase; empty if there is none or it isn't ASCII.
    pub reason: &'a str,
    /// 0 for HTTP/1.0; 1 for HTTP/1.1 and higher minor versions.
    pub minor: u8,
    /// The field lines.
    pub fields: Fields<'a>,
    /// Where the body ends.
    pub body: Body,
    /// Whether the connection may persist after this response (RFC 9112 §9.3).
    pub persistent: bool,
    /// The head as it was received, up to the end of its empty line.
    pub raw: &'a [u8],
    /// Length of the head in bytes.
    pub length: usize,
}

impl ResponseHead<'_> {
    /// Whether this is an interim response; another one to the same request follows (RFC 9110
    /// §15.2).
    pub fn is_interim(&self) -> bool {
        self.status.0 < 200 && self.body != Body::Tunnel
    }
}

/// Parses the head at the beginning of `input`; none if it is incomplete. An incomplete head is
/// checked as far as it goes.
///
/// # Errors
/// For a head that isn't valid HTTP/1.x, or leaves the end of its body ambiguous; beyond
/// [`limits::HEAD`] and [`limits::FIELDS`]; for a 101 without an Upgrade field in the request.
pub fn parse<'a>(
    kind: RequestKind,
    input: &'a mut [u8],
    lines: &'a mut FieldLines,
) -> Result<Option<ResponseHead<'a>>, HttpError> {
    const VERSION: &[u8] = b"HTTP/1.";
    let begin = &input[..VERSION.len().min(input.len())];
    if !VERSION.starts_with(begin) {
        return Err(HttpError::Malformed("the response isn't HTTP/1.x"));
    }
    // A higher minor version is read as HTTP/1.1 (RFC 9110 §2.5).
    if let [_, _, _, _, _, _, _, minor @ b'2'..=b'9', b' ', ..] = input {
        *minor = b'1';
    }

    let mut found = find_parts(input, lines);
    // The parser refuses folded lines, which are rare.
    if found.is_err() && unfold(input) {
        found = find_parts(input, lines);
    }
    let input = &*input;
    let Parts { length, code, minor, reason } = match found {
        Ok(Some(parts)) => parts,
        // The byte after the minor version may still be missing.
        Err(httparse::Error::Version) if input.len() <= VERSION.len() + 1 => return Ok(None),
        Ok(None) => {
            no_bare_lf(input)?;
            check_size(input.len() + 1)?;
            return Ok(None);
        }
        Err(error) => {
            no_bare_lf(input)?;
            return Err(error_of(error));
        }
    };
    let raw = &input[..length];
    no_bare_lf(raw)?;
    check_size(length)?;
    // A client is to treat an invalid status as a 5xx (RFC 9110 §15). An error is no less: a gateway says
    // 502 in its place, or sends what it has stored, and passes no status on that means nothing.
    if !(100..600).contains(&code) {
        return Err(HttpError::Malformed("the status code isn't from 100 to 599"));
    }
    let (status, fields) = (Status(code), lines.within(raw));
    let (body, clean) = body(kind, status, minor, &fields)?;
    Ok(Some(ResponseHead {
        status,
        reason: raw.get(reason).and_then(|reason| std::str::from_utf8(reason).ok()).unwrap_or_default(),
        minor,
        fields,
        body,
        persistent: clean
            && !matches!(body, Body::UntilClose | Body::Tunnel)
            && Connection::of(&fields).persists(minor),
        raw,
        length,
    }))
}

/// The parts of a head.
struct Parts {
    /// The length of the head in bytes.
    length: usize,
    code: u16,
    minor: u8,
    /// Where its reason phrase is.
    reason: Range<usize>,
}

/// Finds the parts of the head at the beginning of `input`, and its field lines; none if it is incomplete.
fn find_parts(input: &[u8], lines: &mut FieldLines) -> Result<Option<Parts>, httparse::Error> {
    let mut room = [const { MaybeUninit::uninit() }; limits::FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let status = parser.parse_response_with_uninit_headers(&mut response, input, &mut room)?;
    let httparse::Status::Complete(length) = status else { return Ok(None) };
    // They are there if a head is complete.
    let (Some(code), Some(minor)) = (response.code, response.version) else { return Err(httparse::Error::Status) };
    let reason = response.reason.unwrap_or_default();
    let start = (reason.as_ptr() as usize).wrapping_sub(input.as_ptr() as usize);
    let reason = if reason.is_empty() { 0..0 } else { start..start + reason.len() };
    if length <= limits::HEAD {
        lines.fill(&input[..length], response.headers);
    }
    Ok(Some(Parts { length, code, minor, reason }))
}

/// Replaces the line ends of folded field lines by spaces. Returns whether there were any. The line after
/// the status line isn't joined: what begins with a blank there is malformed.
fn unfold(input: &mut [u8]) -> bool {
    let (mut begin, mut is_folded) = (true, false);
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\n', &input[at..]) {
        let end = at + found;
        at = end + 1;
        if !input[..end].ends_with(b"\r") {
            continue;
        }
        match input.get(at) {
            Some(b' ' | b'\t') if !begin => {
                input[end - 1..at].fill(b' ');
                is_folded = true;
            }
            // The end of the head.
            Some(b'\r') | None => break,
            Some(_) => begin = false,
        }
    }
    is_folded
}

/// Where the body ends (RFC 9112 §6.3), and whether this is unambiguous. A body where none is
/// allowed would be read as the next response; if the fields announce one, the connection must
/// close.
fn body(kind: RequestKind, status: Status, minor: u8, fields: &Fields<'_>) -> Result<(Body, bool), HttpError> {
    // The fields mean the same as in a request, and are refused for the same reasons.
    let framing = request_framing(minor, fields)?;
    if status == Status::SWITCHING_PROTOCOLS {
        return match kind {
            RequestKind::Upgrade => Ok((Body::Tunnel, true)),
            _ => Err(HttpError::Malformed("the server switches protocols, but the request has no Upgrade field")),
        };
    }
    if status.0 < 200 {
        return match framing {
            Framing::None => Ok((Body::Absent, true)),
            _ => Err(HttpError::Malformed("an interim response can't have content")),
        };
    }
    if kind == RequestKind::Tunnel && status.0 < 300 {
        return Ok((Body::Tunnel, true));
    }
    // The fields describe the response to a GET.
    if kind == RequestKind::HeadOnly || status == Status::NOT_MODIFIED {
        return Ok((Body::Absent, true));
    }
    if !status.allows_content() {
        return Ok((Body::Absent, framing == Framing::None));
    }
    Ok(match framing {
        Framing::Length(length) => (Body::Length(length), true),
        Framing::Chunked => (Body::Chunked, true),
        Framing::None if fields.get("content-length").is_some() => (Body::Absent, true),
        Framing::None => (Body::UntilClose, true),
    })
}

fn error_of(error: httparse::Error) -> HttpError {
    HttpError::Malformed(match error {
        httparse::Error::TooManyHeaders => return HttpError::TooLarge("there are too many field lines"),
        httparse::Error::HeaderName => "a field name is malformed",
        httparse::Error::HeaderValue => "a field value contains a control byte",
        httparse::Error::NewLine => "a line doesn't end in CRLF",
        httparse::Error::Version => "the HTTP version is malformed",
        _ => "the status line is malformed",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    /// The essentials of a head, nothing yet, or an error.
    fn outcome(kind: RequestKind, input: &[u8]) -> Result<Option<String>, HttpError> {
        let mut input = input.to_vec();
        let mut lines = FieldLines::default();
        Ok(parse(kind, &mut input, &mut lines)?.map(|head| {
            let keep = if head.persistent { "keep" } else { "close" };
            format!("{} {:?} 1.{} {:?} {keep} {}", head.status.0, head.reason, head.minor, head.body, head.length)
        }))
    }

    fn says(kind: RequestKind, status: &str, lines: &str) -> String {
        let text = format!("{status}\r\n{lines}\r\n");
        let found = outcome(kind, text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let found = found.unwrap_or_else(|| panic!("{text:?} isn't whole"));
        found.rsplit_once(' ').unwrap().0.split_once("1.").unwrap().1.to_owned()
    }

    #[test]
    fn a_usual_response_is_parsed_in_any_pieces() {
        let head = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nX:\r\n\r\n";
        let expected = format!("206 \"Partial Content\" 1.1 Length(5) keep {}", head.len());
        for cut in 0..head.len() {
            assert_eq!(outcome(RequestKind::Content, &head[..cut]), Ok(None), "cut at {cut}");
        }
        for trailing in [&b""[..], b"H", b"hello", b"\n\n", b"\0"] {
            assert_eq!(outcome(RequestKind::Content, &[head, trailing].concat()), Ok(Some(expected.clone())));
        }
    }

    #[test]
    fn a_folded_field_line_is_one_line() {
        let mut head = b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\t  c\r\nContent-Length: 2\r\n\r\n\r\n x".to_vec();
        for cut in 0..head.len() - 4 {
            assert_eq!(outcome(RequestKind::Content, &head[..cut]), Ok(None), "cut at {cut}");
        }
        let mut lines = FieldLines::default();
        let parsed = parse(RequestKind::Content, &mut head, &mut lines).unwrap().unwrap();
        assert_eq!((parsed.fields.get("x"), parsed.body), (Some(&b"a   b  \t  c"[..]), Body::Length(2)));
        let length = parsed.length;
        assert_eq!(&head[length..], b"\r\n x", "the body stays");
        for malformed in ["HTTP/1.1 200 OK\r\n X: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n\r\n"] {
            assert!(outcome(RequestKind::Content, malformed.as_bytes()).is_err(), "{malformed:?}");
        }
    }

    #[test]
    fn versions_and_reasons_are_parsed() {
        for (line, expected) in [
            ("HTTP/1.1 200 OK", "200 \"OK\" 1.1 UntilClose close"),
            ("HTTP/1.0 200 OK", "200 \"OK\" 1.0 UntilClose close"),
            ("HTTP/1.9 200 OK", "200 \"OK\" 1.1 UntilClose close"),
            ("HTTP/1.1 200 ", "200 \"\" 1.1 UntilClose close"),
            // Without the required space, as many servers send it.
            ("HTTP/1.1 200", "200 \"\" 1.1 UntilClose close"),
            ("HTTP/1.1 200 \u{fc}", "200 \"\" 1.1 UntilClose close"),
        ] {
            let text = format!("{line}\r\n\r\n");
            let found = outcome(RequestKind::Content, text.as_bytes()).unwrap().unwrap();
            assert!(found.starts_with(expected), "{found}");
            for cut in 0..text.len() {
                assert_eq!(outcome(RequestKind::Content, &text.as_bytes()[..cut]), Ok(None), "{line} cut at {cut}");
            }
        }
    }

    #[test]
    fn the_framing_depends_on_head_and_request() {
        use RequestKind::*;
        let (length, zero, coding) =
            ("Content-Length: 5\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n");
        for (kind, status, lines, expected) in [
            (Content, "HTTP/1.1 200", "", "1 UntilClose close"),
            (Content, "HTTP/1.1 200", length, "1 Length(5) keep"),
            (Content, "HTTP/1.1 200", zero, "1 Absent keep"),
            (Content, "HTTP/1.1 200", coding, "1 Chunked keep"),
            (Content, "HTTP/1.1 404", length, "1 Length(5) keep"),
            (Content, "HTTP/1.0 200", length, "0 Length(5) close"),
            (Content, "HTTP/1.0 200", "Content-Length: 5\r\nConnection: Keep-Alive\r\n", "0 Length(5) keep"),
            (Content, "HTTP/1.1 200", "Content-Length: 5\r\nConnection: x, CLOSE\r\n", "1 Length(5) close"),
            (HeadOnly, "HTTP/1.1 200", length, "1 Absent keep"),
            (HeadOnly, "HTTP/1.1 200", coding, "1 Absent keep"),
            (HeadOnly, "HTTP/1.1 200", "", "1 Absent keep"),
            (Content, "HTTP/1.1 304", length, "1 Absent keep"),
            (Content, "HTTP/1.1 304", "", "1 Absent keep"),
            (Content, "HTTP/1.1 204", "", "1 Absent keep"),
            (Content, "HTTP/1.1 204", zero, "1 Absent keep"),
            // A server that announces a body here may also send it.
            (Content, "HTTP/1.1 204", length, "1 Absent close"),
            (Content, "HTTP/1.1 204", coding, "1 Absent close"),
            (Content, "HTTP/1.1 100", "", "1 Absent keep"),
            (Content, "HTTP/1.1 103", "Link: </a>\r\n", "1 Absent keep"),
            (Upgrade, "HTTP/1.1 101", "Upgrade: x\r\n", "1 Tunnel close"),
            (Upgrade, "HTTP/1.1 200", length, "1 Length(5) keep"),
            (Tunnel, "HTTP/1.1 200", length, "1 Tunnel close"),
            (Tunnel, "HTTP/1.1 407", length, "1 Length(5) keep"),
        ] {
            let found = says(kind, status, lines);
            let found = found.split_once(' ').map(|(minor, rest)| format!("{minor} {rest}"));
            assert_eq!(found.as_deref(), Some(expected), "{kind:?} {status} {lines:?}");
        }
    }

    #[test]
    fn ambiguous_responses_are_refused() {
        let cases: &[&[u8]] = &[
            b"\r\nHTTP/1.1 200 OK\r\n\r\n",
            b"\nHTTP/1.1 200 OK\r\n\r\n",
            b" HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.10 200 OK\r\n\r\n",
            b"HTTP/1. 200 OK\r\n\r\n",
            b"http/1.1 200 OK\r\n\r\n",
            b"ICY 200 OK\r\n\r\n",
            b"hello",
            b"\x15\x03\x01\x00\x02",
            b"HTTP/1.1  200 OK\r\n\r\n",
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 099 OK\r\n\r\n",
            b"HTTP/1.1 600 OK\r\n\r\n",
            b"HTTP/1.1 +20 OK\r\n\r\n",
            b"HTTP/1.1\t200 OK\r\n\r\n",
            b"HTTP/1.1 200 O\rK\r\n\r\n",
            b"HTTP/1.1 200 O\0K\r\n\r\n",
            b"HTTP/1.1 200 OK\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\r\n\n",
            b"HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA[]: b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        ];
        for &case in cases {
            let found = outcome(RequestKind::Content, case);
            assert!(matches!(found, Err(HttpError::Malformed(_))), "{}: {found:?}", case.escape_ascii());
        }
    }

    #[test]
    fn sizes_are_limited_and_garbage_is_refused_at_once() {
        let begin = "HTTP/1.1 200 OK\r\n";
        let large = format!("{begin}A: {}", "a".repeat(limits::HEAD));
        assert!(matches!(outcome(RequestKind::Content, large.as_bytes()), Err(HttpError::TooLarge(_))));
        let many = format!("{begin}{}", "A: b\r\n".repeat(limits::FIELDS + 1));
        assert!(matches!(outcome(RequestKind::Content, many.as_bytes()), Err(HttpError::TooLarge(_))));
        let most = format!("{begin}{}\r\n", "A: b\r\n".repeat(limits::FIELDS));
        assert!(outcome(RequestKind::Content, most.as_bytes()).unwrap().is_some());
        for garbage in ["X", "HTTP/2", "HTTP/1.1 2x", "HTTP/1.1 200 OK\r\nA B", "HTTP/1.1 200 OK\r\nA: b\n"] {
            assert!(outcome(RequestKind::Content, garbage.as_bytes()).is_err(), "{garbage}");
        }
    }
}
