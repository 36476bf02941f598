//! The framing of a body: where it ends according to the fields (RFC 9112 §6.3), and
//! reading it.
//!
//! Every ambiguity about the length of a body allows request smuggling. So every ambiguity
//! is refused, and the caller closes the connection. What the RFC allows a recipient to
//! repair (the same length twice, a length beside chunked) isn't repaired.

use super::chunked::{Decoder, Progress};
use super::fields::is_named;
use super::grammar::is_token;
use super::{Fields, Reject, Status};

/// How the body of a message is delimited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// There is no body, or an empty one.
    None,
    /// The body has this many bytes, at least one.
    Length(u64),
    /// The body is in the chunked coding.
    Chunked,
}

/// The framing of a request of version HTTP/1.`version_minor` with `fields`. Without a field
/// about it there is no body (RFC 9112 §6.3, item 7).
///
/// # Errors
/// 501 for one well-formed transfer coding other than `chunked` (also `identity`, which RFC
/// 7230 removed). 400 for anything else that isn't exactly one Content-Length of digits, or
/// exactly one Transfer-Encoding `chunked` in HTTP/1.1. The connection must then be closed.
pub fn request_framing(version_minor: u8, fields: &Fields<'_>) -> Result<Framing, Reject> {
    let (mut length, mut coding) = (None, None);
    for (name, value) in fields.iter() {
        let line = match name.len() {
            14 if is_named(name, b"Content-Length") => &mut length,
            17 if is_named(name, b"Transfer-Encoding") => &mut coding,
            _ => continue,
        };
        if line.replace(value).is_some() {
            return Err(Reject::bad_request("Content-Length or Transfer-Encoding is repeated"));
        }
    }
    match (length, coding) {
        (None, None) => Ok(Framing::None),
        (Some(value), None) => match parse_length(value) {
            None => Err(Reject::bad_request("Content-Length isn't a single number")),
            Some(0) => Ok(Framing::None),
            Some(length) => Ok(Framing::Length(length)),
        },
        (Some(_), Some(_)) => Err(Reject::bad_request("a message can't have Content-Length and Transfer-Encoding")),
        (None, Some(_)) if version_minor == 0 => Err(Reject::bad_request("HTTP/1.0 has no Transfer-Encoding")),
        (None, Some(value)) if value.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (None, Some(value)) if is_token(value) => {
            Err(Reject::new(Status::NOT_IMPLEMENTED, "chunked is the only supported transfer coding"))
        }
        (None, Some(_)) => Err(Reject::bad_request("Transfer-Encoding isn't a single coding")),
    }
}

/// `1*DIGIT` below 2^64 (RFC 9110 §8.6); unlike `str::parse` it refuses a `+`.
pub fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |length, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

/// Reads one body incrementally, with any framing.
#[derive(Clone, Debug)]
pub struct BodyReader(Reader);

#[derive(Clone, Debug)]
enum Reader {
    /// Bytes that are missing.
    Length(u64),
    Chunked(Decoder),
}

impl BodyReader {
    /// A reader at the beginning of a body. With [`Framing::None`] it is done at once.
    pub const fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::None => Reader::Length(0),
            Framing::Length(length) => Reader::Length(length),
            Framing::Chunked => Reader::Chunked(Decoder::new()),
        })
    }

    /// Reads `input`, which begins after the last consumed byte. One call returns at most one
    /// piece of content and never consumes a byte after the end of the body. Call it until it
    /// is done or consumes nothing; the latter means that more input is needed.
    ///
    /// # Errors
    /// Those of [`Decoder::read`].
    pub fn read(&mut self, input: &[u8]) -> Result<Progress, Reject> {
        match &mut self.0 {
            Reader::Length(left) => {
                let taken = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= taken as u64;
                Ok(Progress { consumed: taken, content: 0..taken, done: *left == 0 })
            }
            Reader::Chunked(decoder) => decoder.read(input),
        }
    }

    /// Whether the whole body was read.
    pub fn is_done(&self) -> bool {
        match &self.0 {
            Reader::Length(left) => *left == 0,
            Reader::Chunked(decoder) => decoder.is_done(),
        }
    }

    /// Bytes of content that are missing, if the length is known.
    pub fn remaining(&self) -> Option<u64> {
        match self.0 {
            Reader::Length(left) => Some(left),
            Reader::Chunked(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;
    use crate::testing::every_split;

    fn framing(version_minor: u8, lines: &[(&str, &[u8])]) -> Result<Framing, u16> {
        request_framing(version_minor, &FieldLines::of(lines.iter().copied()).fields())
            .map_err(|reject| reject.status.0)
    }

    #[test]
    fn content_length_is_a_single_number() {
        assert_eq!(framing(1, &[("Host", b"a")]), Ok(Framing::None));
        let cases: &[(&[u8], Result<Framing, u16>)] = &[
            (b"0", Ok(Framing::None)),
            (b"5", Ok(Framing::Length(5))),
            (b"0005", Ok(Framing::Length(5))),
            (b"18446744073709551615", Ok(Framing::Length(u64::MAX))),
            (b"18446744073709551616", Err(400)),
            (b"99999999999999999999999", Err(400)),
            (b"", Err(400)),
            (b"+5", Err(400)),
            (b"-5", Err(400)),
            (b"5 5", Err(400)),
            (b" 5", Err(400)),
            (b"5\x0b", Err(400)),
            (b"0x5", Err(400)),
            (b"5.0", Err(400)),
            (b"5,5", Err(400)),
            (b"5, 5", Err(400)),
            (b"5,", Err(400)),
            (b"\"5\"", Err(400)),
            (b"five", Err(400)),
            (b"\xd9\xa5", Err(400)),
        ];
        for &(value, expected) in cases {
            for version in [0, 1] {
                assert_eq!(framing(version, &[("Content-length", value)]), expected, "{}", value.escape_ascii());
            }
        }
    }

    #[test]
    fn the_transfer_coding_is_chunked() {
        let cases: &[(&[u8], Result<Framing, u16>)] = &[
            (b"chunked", Ok(Framing::Chunked)),
            (b"Chunked", Ok(Framing::Chunked)),
            (b"CHUNKED", Ok(Framing::Chunked)),
            (b"gzip", Err(501)),
            (b"identity", Err(501)),
            (b"xchunked", Err(501)),
            (b"chunked1", Err(501)),
            (b"", Err(400)),
            (b",", Err(400)),
            (b"chunked,", Err(400)),
            (b",chunked", Err(400)),
            (b"chunked, chunked", Err(400)),
            (b"gzip, chunked", Err(400)),
            (b"chunked, gzip", Err(400)),
            (b"chunked gzip", Err(400)),
            (b"chunked;q=1", Err(400)),
            (b"chunked;", Err(400)),
            (b"\"chunked\"", Err(400)),
            (b"\x0bchunked", Err(400)),
            (b"chunked\x0c", Err(400)),
            (b" chunked", Err(400)),
            (b"chunked\0", Err(400)),
            (b"chun\xe4ked", Err(400)),
            // The Kelvin sign equals k for code that folds case by Unicode.
            ("chun\u{212a}ed".as_bytes(), Err(400)),
        ];
        for &(value, expected) in cases {
            assert_eq!(framing(1, &[("transfer-encoding", value)]), expected, "{}", value.escape_ascii());
            assert_eq!(framing(0, &[("transfer-encoding", value)]), Err(400), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn repeated_and_contradictory_fields_are_refused() {
        let (length, coding) = ("Content-Length", "Transfer-Encoding");
        let cases: &[&[(&str, &[u8])]] = &[
            &[(length, b"5"), (length, b"5")],
            &[(length, b"5"), ("content-length", b"6")],
            &[(length, b"0"), (length, b"")],
            &[(coding, b"chunked"), (coding, b"chunked")],
            &[(coding, b"gzip"), (coding, b"chunked")],
            &[(coding, b"chunked"), (coding, b"")],
            &[(length, b"5"), (coding, b"chunked")],
            &[(coding, b"chunked"), ("X", b""), (length, b"0")],
            &[(length, b"5"), (coding, b"gzip")],
        ];
        for lines in cases {
            for version in [0, 1] {
                assert_eq!(framing(version, lines), Err(400), "{lines:?}");
            }
        }
    }

    fn read_all(framing: Framing, pieces: &mut dyn Iterator<Item = &[u8]>) -> Option<(Vec<u8>, usize)> {
        let mut reader = BodyReader::new(framing);
        let (mut content, mut consumed) = (Vec::new(), 0);
        for mut piece in pieces {
            while !reader.is_done() {
                let progress = reader.read(piece).expect("a good body");
                assert_eq!(progress.done, reader.is_done());
                content.extend_from_slice(&piece[progress.content]);
                consumed += progress.consumed;
                piece = &piece[progress.consumed..];
                if progress.consumed == 0 {
                    break;
                }
            }
        }
        reader.is_done().then_some((content, consumed))
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        let cases: &[(Framing, &[u8], &[u8])] = &[
            (Framing::None, b"", b""),
            (Framing::Length(1), b"a", b"a"),
            (Framing::Length(5), b"hello", b"hello"),
            (Framing::Chunked, b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", b"hello!"),
        ];
        for &(framing, body, content) in cases {
            let result = every_split(body, &[b"x", b"GET / HTTP/1.1\r\n"], |pieces| read_all(framing, pieces));
            assert_eq!(result, Some((content.to_vec(), body.len())), "{framing:?}");
        }
        assert_eq!(every_split(b"hell", &[], |pieces| read_all(Framing::Length(5), pieces)), None);
    }

    #[test]
    fn the_remaining_length_is_known() {
        let mut reader = BodyReader::new(Framing::Length(u64::MAX));
        let progress = reader.read(b"abc").expect("no error is possible");
        assert_eq!(progress, Progress { consumed: 3, content: 0..3, done: false });
        assert_eq!(reader.remaining(), Some(u64::MAX - 3));
        assert_eq!(BodyReader::new(Framing::Chunked).remaining(), None);
        assert!(BodyReader::new(Framing::None).is_done());
        assert!(size_of::<BodyReader>() <= 40);
    }
}
