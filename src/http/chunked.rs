//! The chunked transfer coding (RFC 9112 §7.1): an incremental, strict decoder, and the
//! encoder.
//!
//! ```text
//! chunked-body = *chunk last-chunk trailer-section CRLF
//! chunk        = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
//! chunk-size   = 1*HEXDIG
//! last-chunk   = 1*("0") [ chunk-ext ] CRLF
//! chunk-ext    = *( ";" ext-name [ "=" ( token / quoted-string ) ] )
//! ```
//!
//! If two parsers of one connection read these lines differently, one of them takes the
//! end of a body for the next request (request smuggling). So nothing is tolerated: a line
//! ends in CRLF only, and the "bad white space" around `;` and `=`, which a recipient may
//! refuse, is refused.
//!
//! The decoder has a few bytes of state and reads each byte once. Extensions and trailer
//! fields are checked, counted and dropped: no application needs them, and merging trailer
//! fields into the head would let a client forge fields (§7.1.2).

use std::io::Write as _;
use std::ops::Range;

use super::grammar::{is_field_text, is_tchar};
use super::{Reject, Status};
use crate::limits;

/// The result of one step of reading a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes of the input that are consumed, framing and content.
    pub consumed: usize,
    /// The range of the content within the input; may be empty.
    pub content: Range<usize>,
    /// Whether the body is complete; no byte after its end was consumed.
    pub done: bool,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Size,
    ExtensionStart,
    ExtensionName,
    ValueStart,
    Value,
    Quoted,
    QuotedPair,
    QuotedEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

/// The incremental decoder of one chunked body.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// While the size is read: the size so far. In the chunk: the bytes that are missing.
    left: u64,
    /// Bytes of all extensions.
    extensions: u32,
    /// Bytes of the trailer section.
    trailer: u32,
    /// Bytes of the current extension.
    extension: u16,
    /// Field lines of the trailer section.
    fields: u16,
    /// Digits of the current size.
    digits: u8,
    state: State,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the beginning of a body.
    pub const fn new() -> Self {
        Self { left: 0, extensions: 0, trailer: 0, extension: 0, fields: 0, digits: 0, state: State::Size }
    }

    /// Whether the end of the body was read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Reads `input`, which begins after the last consumed byte. It stops after the first piece
    /// of content, so there is one at most. If nothing is consumed before the end of the body,
    /// `input` was empty.
    ///
    /// # Errors
    /// 400 for malformed input, for a size of more than 16 digits, and for extensions beyond
    /// [`limits::CHUNK_EXTENSION`] and [`limits::CHUNK_EXTENSIONS_TOTAL`]; 431 for a trailer
    /// section beyond [`limits::HEAD`] or [`limits::FIELDS`]. Neither the connection nor the
    /// decoder can be used further.
    pub fn read(&mut self, input: &[u8]) -> Result<Progress, Reject> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                let rest = input.len() - at;
                let taken = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                self.left -= taken as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                return Ok(Progress { consumed: at + taken, content: at..at + taken, done: false });
            }
            self.state = self.step(input[at])?;
            at += 1;
        }
        Ok(Progress { consumed: at, content: at..at, done: self.is_done() })
    }

    /// The state after one byte of framing.
    fn step(&mut self, byte: u8) -> Result<State, Reject> {
        use State::*;
        match self.state {
            ExtensionStart | ExtensionName | ValueStart | Value | Quoted | QuotedPair | QuotedEnd => {
                self.count_extension(byte)?;
            }
            TrailerStart | TrailerName | TrailerValue | TrailerLf => self.count_trailer()?,
            _ => {}
        }
        Ok(match (self.state, byte) {
            (Size, _) if byte.is_ascii_hexdigit() => {
                self.push_digit(byte)?;
                Size
            }
            (Size, b';') if self.digits > 0 => {
                self.count_extension(byte)?;
                ExtensionStart
            }
            (Size, b'\r') if self.digits > 0 => SizeLf,

            (ExtensionStart | ExtensionName, _) if is_tchar(byte) => ExtensionName,
            (ExtensionName, b'=') => ValueStart,
            (ValueStart, b'"') => Quoted,
            (ValueStart | Value, _) if is_tchar(byte) => Value,
            (Quoted, b'"') => QuotedEnd,
            (Quoted, b'\\') => QuotedPair,
            (Quoted | QuotedPair, _) if is_field_text(byte) => Quoted,
            (ExtensionName | Value | QuotedEnd, b';') => ExtensionStart,
            (ExtensionName | Value | QuotedEnd, b'\r') => SizeLf,

            (SizeLf, b'\n') => {
                self.digits = 0;
                if self.left == 0 { TrailerStart } else { Data }
            }
            (DataCr, b'\r') => DataLf,
            (DataLf, b'\n') => Size,

            (TrailerStart, b'\r') => EndLf,
            (TrailerStart, _) if is_tchar(byte) => {
                self.fields += 1;
                if usize::from(self.fields) > limits::FIELDS {
                    return Err(Reject::new(Status::HEADER_FIELDS_TOO_LARGE, "too many trailer fields"));
                }
                TrailerName
            }
            (TrailerName, _) if is_tchar(byte) => TrailerName,
            (TrailerName, b':') => TrailerValue,
            (TrailerValue, b'\r') => TrailerLf,
            (TrailerValue, _) if is_field_text(byte) => TrailerValue,
            (TrailerLf, b'\n') => TrailerStart,
            (EndLf, b'\n') => Done,

            // `read` passes no byte in these states.
            (Data | Done, _) => self.state,
            (state, _) => return Err(malformed(state)),
        })
    }

    fn push_digit(&mut self, digit: u8) -> Result<(), Reject> {
        // Sixteen digits are 64 bits, so the shift loses none.
        if self.digits == 16 {
            return Err(Reject::bad_request("a chunk size is too large"));
        }
        self.digits += 1;
        self.left = self.left << 4 | u64::from(char::from(digit).to_digit(16).unwrap_or(0));
        Ok(())
    }

    /// Counts a byte of an extension. Each extension begins with `;`.
    fn count_extension(&mut self, byte: u8) -> Result<(), Reject> {
        if byte == b';' && self.state != State::Quoted && self.state != State::QuotedPair {
            self.extension = 0;
        }
        if byte != b'\r' {
            self.extension += 1;
            self.extensions += 1;
        }
        if usize::from(self.extension) > limits::CHUNK_EXTENSION {
            return Err(Reject::bad_request("a chunk extension is too long"));
        }
        if self.extensions as usize > limits::CHUNK_EXTENSIONS_TOTAL {
            return Err(Reject::bad_request("there are too many chunk extensions"));
        }
        Ok(())
    }

    fn count_trailer(&mut self) -> Result<(), Reject> {
        self.trailer += 1;
        if self.trailer as usize > limits::HEAD {
            return Err(Reject::new(Status::HEADER_FIELDS_TOO_LARGE, "the trailer section is too large"));
        }
        Ok(())
    }
}

/// The error for a byte that isn't allowed in this state.
#[cold]
fn malformed(state: State) -> Reject {
    use State::*;
    Reject::bad_request(match state {
        Size => "a chunk size isn't a hexadecimal number",
        ExtensionStart | ExtensionName | ValueStart | Value | Quoted | QuotedPair | QuotedEnd => {
            "a chunk extension is malformed"
        }
        SizeLf | DataCr | DataLf | Data | Done => "a chunk doesn't end with CRLF",
        TrailerStart | TrailerName | TrailerValue | TrailerLf | EndLf => "the trailer section is malformed",
    })
}

/// The end of a chunked body, without trailer fields.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What follows the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends `data` as one chunk. Empty data is skipped, because an empty chunk would end the body.
pub fn encode_chunk(data: &[u8], out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    begin_chunk(data.len() as u64, out);
    out.extend_from_slice(data);
    out.extend_from_slice(CHUNK_END);
}

/// Appends what comes before `length` bytes of data in a chunk. There must be some: an empty chunk would
/// end the body.
pub fn begin_chunk(length: u64, out: &mut Vec<u8>) {
    // Writing to a vector can't fail.
    let _ = write!(out, "{length:X}\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::every_split;
    use proptest::prelude::*;

    /// Content and consumed bytes, or the status; `None` if more input is needed.
    type Outcome = Result<Option<(Vec<u8>, usize)>, u16>;

    fn decode(pieces: &mut dyn Iterator<Item = &[u8]>) -> Outcome {
        let mut decoder = Decoder::new();
        let (mut content, mut consumed) = (Vec::new(), 0);
        for mut piece in pieces {
            loop {
                let progress = decoder.read(piece).map_err(|reject| reject.status.0)?;
                assert!(progress.consumed <= piece.len() && progress.content.end <= progress.consumed);
                assert_eq!(progress.done, decoder.is_done());
                content.extend_from_slice(&piece[progress.content]);
                consumed += progress.consumed;
                piece = &piece[progress.consumed..];
                if progress.done {
                    return Ok(Some((content, consumed)));
                }
                if progress.consumed == 0 {
                    assert!(piece.is_empty(), "the decoder is stuck");
                    break;
                }
            }
        }
        Ok(None)
    }

    const NEXT: &[&[u8]] = &[b"G", b"\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"];

    #[test]
    fn valid_bodies_are_decoded() {
        let cases: &[(&str, &str)] = &[
            ("0\r\n\r\n", ""),
            ("000\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello"),
            ("00000000000005\r\nhello\r\n0\r\n\r\n", "hello"),
            ("2\r\n\r\n\r\n3\r\n0\r\n\r\n0\r\n\r\n", "\r\n0\r\n"),
            ("a\r\n0123456789\r\nA;x\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
            ("1;a\r\nx\r\n0\r\n\r\n", "x"),
            ("1;a=b\r\nx\r\n0;end\r\n\r\n", "x"),
            ("1;a=\"b;c \\\"\\\\=\t\"\r\nx\r\n0\r\n\r\n", "x"),
            ("1;a=\"\";b\r\nx\r\n0\r\n\r\n", "x"),
            ("0\r\nA: b\r\n\r\n", ""),
            ("0\r\nA:\r\nB: \t c d \u{e4}\r\n\r\n", ""),
        ];
        for &(body, content) in cases {
            let expected = Ok(Some((content.as_bytes().to_vec(), body.len())));
            assert_eq!(every_split(body.as_bytes(), NEXT, decode), expected, "{body:?}");
        }
    }

    #[test]
    fn an_incomplete_body_needs_more_input() {
        let body = b"5;a=\"b\"\r\nhello\r\n0\r\nA: b\r\n\r\n";
        for end in 0..body.len() {
            assert_eq!(every_split(&body[..end], &[], decode), Ok(None), "up to {end}");
        }
    }

    #[test]
    fn malformed_bodies_are_refused() {
        let cases: &[&[u8]] = &[
            // Sizes.
            b"\r\n",
            b"\n",
            b";\r\n",
            b";a\r\n",
            b" 5\r\n",
            b"+5\r\n",
            b"-5\r\n",
            b"0x5\r\n",
            b"5_0\r\n",
            b"g\r\n",
            b"5 \r\n",
            b"5\t\r\n",
            b"00000000000000000\r\n",
            b"10000000000000000\r\n",
            b"FFFFFFFFFFFFFFFFF\r\n",
            // Line ends.
            b"5\nhello",
            b"5\rhello",
            b"5\r\r\n",
            b"5\r\nhello\n",
            b"5\r\nhello\r0",
            b"5\r\nhelloworld",
            b"5\r\nhello0\r\n",
            b"5\r\nhello\r\n\r\n",
            b"0\n\n",
            b"0\r\n\n",
            b"0\r\n\rX",
            // Extensions.
            b"5;\r\n",
            b"5; a\r\n",
            b"5 ;a\r\n",
            b"5;a \r\n",
            b"5;;a\r\n",
            b"5;a[\r\n",
            b"5;a=\r\n",
            b"5;=b\r\n",
            b"5;a =b\r\n",
            b"5;a= b\r\n",
            b"5;a=b=c\r\n",
            b"5;a\n",
            b"5;a=b\n",
            b"5;a=\"b\n\"\r\n",
            b"5;a=\"b\r\n",
            b"5;a=\"b\\\n\"\r\n",
            b"5;a=\"b\"c\r\n",
            b"5;a=\"\0\"\r\n",
            b"5;a\0\r\n",
            // Trailer sections.
            b"0\r\n a: b\r\n\r\n",
            b"0\r\n:b\r\n\r\n",
            b"0\r\na\r\n\r\n",
            b"0\r\na : b\r\n\r\n",
            b"0\r\na: b\r\n c\r\n\r\n",
            b"0\r\na: b\n\r\n",
            b"0\r\na: b\0\r\n\r\n",
            b"0\r\na: b\rc\r\n\r\n",
            b"0\r\nGET / HTTP/1.1\r\n\r\n",
        ];
        for body in cases {
            assert_eq!(every_split(body, &[b"x"], decode), Err(400), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn extensions_are_limited_each_and_in_total() {
        let chunk = |extension: &str| format!("1{extension}\r\nx\r\n");
        let run = |body: &str| decode(&mut [body.as_bytes()].into_iter());

        let longest = format!(";{}", "a".repeat(limits::CHUNK_EXTENSION - 1));
        let twice = longest.repeat(2);
        assert_eq!(run(&chunk(&longest)), Ok(None));
        assert_eq!(run(&chunk(&twice)), Ok(None), "each one is counted separately");
        assert_eq!(run(&chunk(&format!("{longest}a"))), Err(400));
        for semicolon in [";", "\\;"] {
            let quoted = format!(";a=\"{}\"", semicolon.repeat(limits::CHUNK_EXTENSION));
            assert_eq!(run(&chunk(&quoted)), Err(400), "a quoted semicolon doesn't begin an extension");
        }

        let most = limits::CHUNK_EXTENSIONS_TOTAL / limits::CHUNK_EXTENSION;
        assert_eq!(run(&chunk(&longest).repeat(most)), Ok(None));
        assert_eq!(run(&(chunk(&longest).repeat(most) + &chunk(";a"))), Err(400));
    }

    #[test]
    fn trailer_sections_are_limited() {
        let run = |trailer: &str| decode(&mut [b"0\r\n", trailer.as_bytes()].into_iter()).map(|_| ());
        let lines = |count| "a:b\r\n".repeat(count) + "\r\n";
        assert_eq!(run(&lines(limits::FIELDS)), Ok(()));
        assert_eq!(run(&lines(limits::FIELDS + 1)), Err(431));
        // A line has three bytes besides its value; the end begins with CR.
        let line = |value| format!("a:{}\r\n\r\n", "b".repeat(value));
        assert_eq!(run(&line(limits::HEAD - 5)), Ok(()));
        assert_eq!(run(&line(limits::HEAD - 4)), Err(431));
    }

    #[test]
    fn the_largest_size_does_not_overflow() {
        let mut decoder = Decoder::new();
        let progress = decoder.read(b"FFFFFFFFFFFFFFFF\r\nabc").expect("sixteen digits fit");
        assert_eq!(progress, Progress { consumed: 21, content: 18..21, done: false });
        assert!(size_of::<Decoder>() <= 32);
    }

    #[test]
    fn encoding_empty_data_does_not_end_the_body() {
        let mut out = Vec::new();
        encode_chunk(b"", &mut out);
        assert!(out.is_empty());
        encode_chunk(&[b'x'; 26], &mut out);
        assert!(out.starts_with(b"1A\r\nxx") && out.ends_with(b"x\r\n"));
    }

    proptest! {
        #[test]
        fn encoded_data_is_decoded_in_any_pieces(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..4),
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                encode_chunk(chunk, &mut body);
            }
            body.extend_from_slice(LAST_CHUNK);
            prop_assert_eq!(every_split(&body, NEXT, decode), Ok(Some((chunks.concat(), body.len()))));
        }

        #[test]
        fn the_result_does_not_depend_on_the_pieces(body in "([05aF]|\r\n|\r|\n|;|=|\"|\\\\|a|:| |x){0,24}") {
            let _ = every_split(body.as_bytes(), &[], decode);
        }
    }
}
