//! Reading one response: interim heads, the head, the content, the end.
//!
//! ```text
//! Head ──final head──► Body ──► done
//!  └─ interim: again     │
//!                        └─ the connection ends ─► done, or truncated
//!                        └─ the connection closes ─► done, or truncated

use super::{Body, HttpError, RequestKind, ResponseHead, head};
use crate::http::FieldLines;
use crate::http::chunked::Progress;
use crate::http::framing::{BodyReader, Framing};
use crate::http::head::is_worth_parsing;
use crate::limits;

/// The incremental reader of the response to one request.
///
/// While it [awaits the head](Self::awaits_head), pass the input to [`head`](Self::head) and
/// consume the head's length. Then pass the input to [`read`](Self::read) and consume what it
/// says. When the connection closes, call [`end`](Self::end).
#[derive(Clone, Debug)]
pub struct ResponseReader {
    kind: RequestKind,
    persistent: bool,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// The number of interim responses so far, and the bytes of the next head when it was last
    /// parsed.
    Head {
        interim: u8,
        parsed: u32,
    },
    Body(BodyReader),
    /// All input is content, until the connection closes.
    Rest,
    /// The connection has closed, which ended the response.
    Ended,
}

impl ResponseReader {
    /// A reader at the beginning of the response to a request of this kind.
    pub const fn new(kind: RequestKind) -> Self {
        Self { kind, persistent: false, state: State::Head { interim: 0, parsed: 0 } }
    }

    /// Whether the final head was not yet read.
    pub fn awaits_head(&self) -> bool {
        matches!(self.state, State::Head { .. })
    }

    /// Whether nothing of the response was read yet; an incomplete head doesn't count.
    pub fn is_fresh(&self) -> bool {
        matches!(self.state, State::Head { interim: 0, .. })
    }

    /// Whether the response is complete.
    pub fn is_done(&self) -> bool {
        match &self.state {
            State::Body(body) => body.is_done(),
            State::Ended => true,
            State::Head { .. } | State::Rest => false,
        }
    }

    /// Whether another response may follow on this connection after this one.
    pub fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// Bytes of content that are missing, if the length is known.
    pub fn remaining(&self) -> Option<u64> {
        match &self.state {
            State::Body(body) => body.remaining(),
            _ => None,
        }
    }

    /// Parses the next head at the beginning of `input`; none if it is incomplete. After an
    /// interim head another one follows. An incomplete head is parsed again only if [that is
    /// useful](is_worth_parsing), so pass all input, each time there is more.
    ///
    /// # Errors
    /// Those of [`parse`](super::parse), and more than [`limits::INTERIM`] interim responses.
    pub fn head<'a>(
        &mut self,
        input: &'a mut [u8],
        lines: &'a mut FieldLines,
    ) -> Result<Option<ResponseHead<'a>>, HttpError> {
        let State::Head { interim, parsed } = &mut self.state else { return Ok(None) };
        let before = std::mem::replace(parsed, input.len().try_into().unwrap_or(u32::MAX));
        if !is_worth_parsing(input, before as usize) {
            return Ok(None);
        }
        let Some(head) = head::parse(self.kind, input, lines)? else { return Ok(None) };
        *parsed = 0;
        if head.is_interim() {
            *interim += 1;
            if *interim > limits::INTERIM {
                return Err(HttpError::Malformed("there are too many interim responses"));
            }
            return Ok(Some(head));
        }
        self.persistent = head.persistent;
        self.state = match head.body {
            Body::Absent => State::Body(BodyReader::new(Framing::None)),
            Body::Length(length) => State::Body(BodyReader::new(Framing::Length(length))),
            Body::Chunked => State::Body(BodyReader::new(Framing::Chunked)),
            Body::UntilClose | Body::Tunnel => State::Rest,
        };
        Ok(Some(head))
    }

    /// Reads `input`, which begins after the last consumed byte, as [`BodyReader::read`] does.
    ///
    /// # Errors
    /// If the chunked coding is malformed.
    pub fn read(&mut self, input: &[u8]) -> Result<Progress, HttpError> {
        match &mut self.state {
            State::Body(body) => Ok(body.read(input)?),
            State::Rest => Ok(Progress { consumed: input.len(), content: 0..input.len(), done: false }),
            State::Head { .. } | State::Ended => Ok(Progress { consumed: 0, content: 0..0, done: self.is_done() }),
        }
    }

    /// The connection has closed; `left` is the input that isn't consumed, because it is
    /// incomplete.
    ///
    /// # Errors
    /// If the response isn't complete.
    pub fn end(&mut self, left: &mut [u8]) -> Result<(), HttpError> {
        match &self.state {
            State::Head { interim: 0, .. } if left.is_empty() => Err(HttpError::NoResponse),
            // It may be malformed, but wasn't parsed again since that became visible.
            State::Head { .. } => {
                head::parse(self.kind, left, &mut FieldLines::default()).and(Err(HttpError::Truncated))
            }
            State::Rest => {
                self.state = State::Ended;
                Ok(())
            }
            _ if self.is_done() => Ok(()),
            _ => Err(HttpError::Truncated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::chunked::{LAST_CHUNK, encode_chunk};
    use crate::testing::every_split;
    use proptest::prelude::*;

    /// Statuses, the content, the bytes consumed, whether the connection persists, and the
    /// error, if there is one.
    #[derive(Clone, PartialEq, Eq, Debug, Default)]
    struct Read {
        statuses: Vec<u16>,
        content: Vec<u8>,
        consumed: usize,
        persistent: bool,
        done: bool,
        error: Option<HttpError>,
    }

    impl Read {
        /// Consumes as much of `input` as possible.
        fn take(&mut self, reader: &mut ResponseReader, input: &mut Vec<u8>) -> Result<(), HttpError> {
            while !reader.is_done() {
                let consumed = if reader.awaits_head() {
                    let mut lines = FieldLines::default();
                    let Some(head) = reader.head(input, &mut lines)? else { return Ok(()) };
                    self.statuses.push(head.status.0);
                    head.length
                } else {
                    let progress = reader.read(input)?;
                    self.content.extend_from_slice(&input[progress.content]);
                    progress.consumed
                };
                input.drain(..consumed);
                self.consumed += consumed;
                if consumed == 0 {
                    return Ok(());
                }
            }
            Ok(())
        }

        fn run(kind: RequestKind, pieces: &mut dyn Iterator<Item = &[u8]>, ends: bool) -> Self {
            let (mut reader, mut read, mut input) = (ResponseReader::new(kind), Self::default(), Vec::new());
            for piece in pieces {
                input.extend_from_slice(piece);
                read.error = read.take(&mut reader, &mut input).err();
                if read.error.is_some() {
                    break;
                }
            }
            if ends && read.error.is_none() {
                read.error = reader.end(&mut input).err();
            }
            (read.done, read.persistent) = (reader.is_done(), reader.is_persistent());
            if read.error.is_some() {
                // The position in a piece where the error was found doesn't matter.
                read.consumed = 0;
            }
            read
        }
    }

    const NEXT: &[&[u8]] = &[b"H", b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n", b"0\r\n\r\n"];

    #[test]
    fn a_response_ends_where_it_says_in_any_pieces() {
        for (kind, response, statuses, content, persistent) in [
            (RequestKind::Content, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", &[200][..], "hello", true),
            (RequestKind::Content, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &[200], "", true),
            (RequestKind::HeadOnly, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &[200], "", true),
            (RequestKind::Content, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", &[304], "", true),
            (RequestKind::Content, "HTTP/1.1 204 No Content\r\n\r\n", &[204], "", true),
            (
                RequestKind::Content,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nA: b\r\n\r\n",
                &[200],
                "hello!",
                true,
            ),
            (
                RequestKind::Content,
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n\
                 HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n.",
                &[100, 103, 200],
                ".",
                false,
            ),
        ] {
            let read = every_split(response.as_bytes(), NEXT, |pieces| Read::run(kind, pieces, false));
            let expected = Read {
                statuses: statuses.to_vec(),
                content: content.as_bytes().to_vec(),
                consumed: response.len(),
                persistent,
                done: true,
                error: None,
            };
            assert_eq!(read, expected, "{response:?}");
            // With one byte less, the response is truncated.
            for cut in 0..response.len() {
                let read = Read::run(kind, &mut [&response.as_bytes()[..cut]].into_iter(), true);
                let error = if cut == 0 { HttpError::NoResponse } else { HttpError::Truncated };
                assert_eq!((read.error, read.done), (Some(error), false), "{response:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn without_a_length_the_response_ends_with_the_connection() {
        for (kind, head) in [
            (RequestKind::Content, "HTTP/1.1 200 OK\r\n\r\n"),
            (RequestKind::Content, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"),
            (RequestKind::Tunnel, "HTTP/1.1 200 Connected\r\nContent-Length: 3\r\n\r\n"),
            (RequestKind::Upgrade, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        ] {
            let response = format!("{head}all that comes");
            let read = every_split(response.as_bytes(), &[], |pieces| Read::run(kind, pieces, true));
            assert_eq!((read.content, read.error), (b"all that comes".to_vec(), None));
            assert!(read.done && !read.persistent);
            let open = Read::run(kind, &mut [response.as_bytes()].into_iter(), false);
            assert!(!open.done, "{head}");
        }
    }

    #[test]
    fn interim_responses_are_limited() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n";
        let most = interim.repeat(usize::from(limits::INTERIM));
        let good = format!("{most}HTTP/1.1 204 No Content\r\n\r\n");
        assert!(Read::run(RequestKind::Content, &mut [good.as_bytes()].into_iter(), true).done);
        let endless = format!("{most}{interim}");
        let read = every_split(endless.as_bytes(), &[], |pieces| Read::run(RequestKind::Content, pieces, false));
        assert!(matches!(read.error, Some(HttpError::Malformed(_))), "{read:?}");
    }

    #[test]
    fn a_malformed_body_is_an_error() {
        for body in ["x\r\n", "5\r\nhelloworld", "-1\r\n", "1\nx\r\n", "0\r\nA : b\r\n\r\n"] {
            let response = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            let read = every_split(response.as_bytes(), &[], |pieces| Read::run(RequestKind::Content, pieces, true));
            assert!(matches!(read.error, Some(HttpError::Malformed(_))) && !read.done, "{body:?}: {read:?}");
        }
    }

    #[test]
    fn the_remaining_length_is_known() {
        let mut input = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec();
        let mut reader = ResponseReader::new(RequestKind::Content);
        assert_eq!(reader.remaining(), None);
        reader.head(&mut input, &mut FieldLines::default()).unwrap().unwrap();
        assert_eq!(reader.remaining(), Some(5));
        reader.read(b"he").unwrap();
        assert_eq!((reader.remaining(), reader.end(&mut [])), (Some(3), Err(HttpError::Truncated)));
        assert!(size_of::<ResponseReader>() <= 48);
    }

    /// A response on the wire: how its body is delimited, and its content.
    #[derive(Clone, Debug)]
    struct Sent {
        chunks: Option<Vec<usize>>,
        interim: usize,
        content: Vec<u8>,
    }

    impl Sent {
        fn write(&self, wire: &mut Vec<u8>) {
            wire.extend(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(self.interim));
            match &self.chunks {
                None => {
                    wire.extend(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", self.content.len()).bytes());
                    wire.extend_from_slice(&self.content);
                }
                Some(sizes) => {
                    wire.extend_from_slice(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                    let mut rest = &self.content[..];
                    for &size in sizes {
                        let (chunk, after) = rest.split_at(size.min(rest.len()));
                        encode_chunk(chunk, wire);
                        rest = after;
                    }
                    encode_chunk(rest, wire);
                    wire.extend_from_slice(LAST_CHUNK);
                }
            }
        }
    }

    fn sent() -> impl Strategy<Value = Sent> {
        let chunks = proptest::option::of(proptest::collection::vec(1..40usize, 0..6));
        (chunks, 0..3usize, proptest::collection::vec(any::<u8>(), 0..120))
            .prop_map(|(chunks, interim, content)| Sent { chunks, interim, content })
    }

    proptest! {
        #[test]
        fn pipelined_responses_are_separated(
            responses in proptest::collection::vec(sent(), 1..5),
            sizes in proptest::collection::vec(1..60usize, 1..20),
        ) {
            let mut wire = Vec::new();
            for response in &responses {
                response.write(&mut wire);
            }
            let (mut input, mut rest, mut sizes) = (Vec::new(), &wire[..], sizes.into_iter().cycle());
            for response in &responses {
                let (mut reader, mut read) = (ResponseReader::new(RequestKind::Content), Read::default());
                read.take(&mut reader, &mut input).unwrap();
                while !reader.is_done() {
                    prop_assert!(!rest.is_empty());
                    let (piece, after) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                    input.extend_from_slice(piece);
                    rest = after;
                    read.take(&mut reader, &mut input).unwrap();
                }
                prop_assert_eq!(&read.content, &response.content);
                prop_assert_eq!(read.statuses.len(), response.interim + 1);
            }
            prop_assert!(input.is_empty() && rest.is_empty());
        }

        #[test]
        fn reading_never_panics(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let data = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &data[..]].concat();
            let whole = Read::run(RequestKind::Content, &mut [&data[..]].into_iter(), true);
            let single = Read::run(RequestKind::Content, &mut data.chunks(1), true);
            prop_assert_eq!(whole, single);
        }
    }
}
