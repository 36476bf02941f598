//! The head of an answer (RFC 9112 §4, §5), and where its body ends (§6.3).
//!
//! As for requests, `httparse` cuts the head up and what it lets through is looked
//! at again. An empty line before the status line, which a server tolerates before
//! a request, is refused: the answer before this one has ended somewhere else then.

use std::mem::MaybeUninit;

use super::{Asked, Fault};
use crate::http::framing::{Framing, request_framing};
use crate::http::section::{Connection, check_size, no_bare_lf};
use crate::http::{Fields, Lines, Status};
use crate::limits;

/// Where the body of an answer ends: decided once, from the head and what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    /// With the head: there is none, or it is empty.
    Absent,
    /// After so many bytes, at least one.
    Length(u64),
    /// Where the chunked coding says.
    Chunked,
    /// With the connection.
    UntilClose,
    /// Never: from here on the connection speaks another protocol.
    Tunnel,
}

/// The head of an answer, understood; borrowed from the input.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// The status, 100 to 599.
    pub status: Status,
    /// The reason phrase; empty if there is none or it isn't ASCII.
    pub reason: &'a str,
    /// 0 for HTTP/1.0; 1 for HTTP/1.1 and what calls itself higher.
    pub minor: u8,
    /// The field lines.
    pub fields: Fields<'a>,
    /// Where the body ends.
    pub body: Body,
    /// Whether the connection may persist after this answer (RFC 9112 §9.3).
    pub persistent: bool,
    /// The head as it was sent, to the end of its empty line.
    pub raw: &'a [u8],
    /// Bytes that the head takes.
    pub length: usize,
}

impl ResponseHead<'_> {
    /// Whether another answer to the same request follows this one (RFC 9110 §15.2).
    pub fn is_interim(&self) -> bool {
        self.status.0 < 200 && self.body != Body::Tunnel
    }
}

/// Parses the head at the beginning of `input`; none if it isn't whole yet. What is
/// there of an unwhole head is checked as far as it goes.
///
/// # Errors
/// For whatever isn't a proper head of HTTP/1.x, or leaves the end of its body in
/// doubt; beyond [`limits::HEAD`] and [`limits::FIELDS`]; for a 101 that nobody asked for.
pub fn parse<'a>(asked: Asked, input: &'a mut [u8], lines: &'a mut Lines) -> Result<Option<ResponseHead<'a>>, Fault> {
    const VERSION: &[u8] = b"HTTP/1.";
    let begin = &input[..VERSION.len().min(input.len())];
    if !VERSION.starts_with(begin) {
        return Err(Fault::Malformed("that is no answer of HTTP/1.x"));
    }
    // A higher minor version is read as the highest we know (RFC 9110 §2.5).
    if let [_, _, _, _, _, _, _, minor @ b'2'..=b'9', b' ', ..] = input {
        *minor = b'1';
    }

    let mut room = [const { MaybeUninit::uninit() }; limits::FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let input = &*input;
    let parser = httparse::ParserConfig::default();
    let length = match parser.parse_response_with_uninit_headers(&mut response, input, &mut room) {
        Ok(httparse::Status::Complete(length)) => length,
        // The byte that tells whether the minor version ends may be yet to come.
        Err(httparse::Error::Version) if input.len() <= VERSION.len() + 1 => return Ok(None),
        Ok(httparse::Status::Partial) => {
            no_bare_lf(input)?;
            check_size(input.len() + 1)?;
            return Ok(None);
        }
        Err(error) => {
            no_bare_lf(input)?;
            return Err(explain(error));
        }
    };
    let raw = &input[..length];
    no_bare_lf(raw)?;
    check_size(length)?;
    let (Some(code), Some(minor)) = (response.code, response.version) else {
        return Err(Fault::Malformed("the status line isn't whole"));
    };
    if !(100..600).contains(&code) {
        return Err(Fault::Malformed("the status isn't one from 100 to 599"));
    }
    lines.fill(raw, response.headers);
    let (status, fields) = (Status(code), lines.within(raw));
    let (body, clean) = body(asked, status, minor, &fields)?;
    Ok(Some(ResponseHead {
        status,
        reason: response.reason.unwrap_or_default(),
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

/// Where the body ends (RFC 9112 §6.3), and whether the sender can't mean another
/// end: a body where none may be is read as the next answer, so there must be none.
fn body(asked: Asked, status: Status, minor: u8, fields: &Fields<'_>) -> Result<(Body, bool), Fault> {
    // The fields mean the same as in a request, and are refused for the same reasons.
    let framing = request_framing(minor, fields)?;
    if status == Status::SWITCHING_PROTOCOLS {
        return match asked {
            Asked::Upgrade => Ok((Body::Tunnel, true)),
            _ => Err(Fault::Malformed("it switches protocols, which nobody asked for")),
        };
    }
    if status.0 < 200 {
        return match framing {
            Framing::None => Ok((Body::Absent, true)),
            _ => Err(Fault::Malformed("an interim answer has no content")),
        };
    }
    if asked == Asked::Tunnel && status.0 < 300 {
        return Ok((Body::Tunnel, true));
    }
    // Those two tell what the answer to a GET would have.
    if asked == Asked::HeadOnly || status == Status::NOT_MODIFIED {
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

fn explain(error: httparse::Error) -> Fault {
    Fault::Malformed(match error {
        httparse::Error::TooManyHeaders => "there are too many field lines",
        httparse::Error::HeaderName => "a field name is malformed",
        httparse::Error::HeaderValue => "a field value holds a control byte",
        httparse::Error::NewLine => "a line doesn't end in CRLF",
        httparse::Error::Version => "the HTTP version is malformed",
        _ => "the status line is malformed",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    /// What comes of a head: the essentials, nothing yet, or why not.
    fn outcome(asked: Asked, input: &[u8]) -> Result<Option<String>, Fault> {
        let mut input = input.to_vec();
        let mut lines = Lines::default();
        Ok(parse(asked, &mut input, &mut lines)?.map(|head| {
            let keep = if head.persistent { "keep" } else { "close" };
            format!("{} {:?} 1.{} {:?} {keep} {}", head.status.0, head.reason, head.minor, head.body, head.length)
        }))
    }

    fn says(asked: Asked, status: &str, lines: &str) -> String {
        let text = format!("{status}\r\n{lines}\r\n");
        let found = outcome(asked, text.as_bytes()).unwrap_or_else(|fault| panic!("{text:?}: {fault}"));
        let found = found.unwrap_or_else(|| panic!("{text:?} isn't whole"));
        found.rsplit_once(' ').unwrap().0.split_once("1.").unwrap().1.to_owned()
    }

    #[test]
    fn the_usual_answer_wherever_it_is_cut_and_whatever_follows() {
        let head = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nX:\r\n\r\n";
        let expected = format!("206 \"Partial Content\" 1.1 Length(5) keep {}", head.len());
        for cut in 0..head.len() {
            assert_eq!(outcome(Asked::Content, &head[..cut]), Ok(None), "cut at {cut}");
        }
        for trailing in [&b""[..], b"H", b"hello", b"\n\n", b"\0"] {
            assert_eq!(outcome(Asked::Content, &[head, trailing].concat()), Ok(Some(expected.clone())));
        }
    }

    #[test]
    fn versions_and_reasons() {
        for (line, expected) in [
            ("HTTP/1.1 200 OK", "200 \"OK\" 1.1 UntilClose close"),
            ("HTTP/1.0 200 OK", "200 \"OK\" 1.0 UntilClose close"),
            ("HTTP/1.9 200 OK", "200 \"OK\" 1.1 UntilClose close"),
            ("HTTP/1.1 200 ", "200 \"\" 1.1 UntilClose close"),
            // Without the space that belongs there: many servers.
            ("HTTP/1.1 200", "200 \"\" 1.1 UntilClose close"),
            ("HTTP/1.1 200 \u{fc}", "200 \"\" 1.1 UntilClose close"),
        ] {
            let text = format!("{line}\r\n\r\n");
            let found = outcome(Asked::Content, text.as_bytes()).unwrap().unwrap();
            assert!(found.starts_with(expected), "{found}");
            for cut in 0..text.len() {
                assert_eq!(outcome(Asked::Content, &text.as_bytes()[..cut]), Ok(None), "{line} cut at {cut}");
            }
        }
    }

    #[test]
    fn the_end_of_the_body_is_decided_by_head_and_request() {
        use Asked::*;
        let (length, zero, coding) =
            ("Content-Length: 5\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n");
        for (asked, status, lines, expected) in [
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
            // A server that announces a body there may also send it.
            (Content, "HTTP/1.1 204", length, "1 Absent close"),
            (Content, "HTTP/1.1 204", coding, "1 Absent close"),
            (Content, "HTTP/1.1 100", "", "1 Absent keep"),
            (Content, "HTTP/1.1 103", "Link: </a>\r\n", "1 Absent keep"),
            (Upgrade, "HTTP/1.1 101", "Upgrade: x\r\n", "1 Tunnel close"),
            (Upgrade, "HTTP/1.1 200", length, "1 Length(5) keep"),
            (Tunnel, "HTTP/1.1 200", length, "1 Tunnel close"),
            (Tunnel, "HTTP/1.1 407", length, "1 Length(5) keep"),
        ] {
            let found = says(asked, status, lines);
            let found = found.split_once(' ').map(|(minor, rest)| format!("{minor} {rest}"));
            assert_eq!(found.as_deref(), Some(expected), "{asked:?} {status} {lines:?}");
        }
    }

    #[test]
    fn doubts_are_refused() {
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
            b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
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
            let found = outcome(Asked::Content, case);
            assert!(matches!(found, Err(Fault::Malformed(_))), "{:?}: {found:?}", case.escape_ascii());
        }
    }

    #[test]
    fn sizes_are_bounded_and_garbage_is_not_waited_for() {
        let begin = "HTTP/1.1 200 OK\r\n";
        let large = format!("{begin}A: {}", "a".repeat(limits::HEAD));
        assert!(outcome(Asked::Content, large.as_bytes()).is_err());
        let many = format!("{begin}{}", "A: b\r\n".repeat(limits::FIELDS + 1));
        assert!(outcome(Asked::Content, many.as_bytes()).is_err());
        let most = format!("{begin}{}\r\n", "A: b\r\n".repeat(limits::FIELDS));
        assert!(outcome(Asked::Content, most.as_bytes()).unwrap().is_some());
        for garbage in ["X", "HTTP/2", "HTTP/1.1 2x", "HTTP/1.1 200 OK\r\nA B", "HTTP/1.1 200 OK\r\nA: b\n"] {
            assert!(outcome(Asked::Content, garbage.as_bytes()).is_err(), "{garbage}");
        }
    }
}
