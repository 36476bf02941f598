//! Reading one answer: interim heads, the head, the content, the end.
//!
//! ```text
//! Head ──final head──► Body ──► done
//!  └─ interim: again     │
//!                        └─ the connection ends ─► done, or truncated
//! ```

use super::{Asked, Body, Fault, ResponseHead, head};
use crate::http::Lines;
use crate::http::chunked::Progress;
use crate::http::framing::{BodyReader, Framing};
use crate::http::head::has_news;
use crate::limits;

/// The incremental reader of the answer to one request.
///
/// While it [awaits the head](Self::awaits_head), give what is at hand to
/// [`head`](Self::head) and drop the head's length from it; after that to
/// [`read`](Self::read), and drop what is consumed. When the connection ends, ask
/// [`end`](Self::end) what that means.
#[derive(Clone, Debug)]
pub struct AnswerReader {
    asked: Asked,
    persistent: bool,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// So many interim answers came, and so many bytes of the next head.
    Head {
        interim: u8,
        seen: u32,
    },
    Body(BodyReader),
    /// All that comes is content, until the connection ends.
    Rest,
    /// The connection has ended, and so the answer.
    Over,
}

impl AnswerReader {
    /// A reader before the first byte of the answer to what was asked.
    pub const fn new(asked: Asked) -> Self {
        Self { asked, persistent: false, state: State::Head { interim: 0, seen: 0 } }
    }

    /// Whether the final head is yet to come.
    pub fn awaits_head(&self) -> bool {
        matches!(self.state, State::Head { .. })
    }

    /// Whether nothing of an answer came yet, an unwhole head aside.
    pub fn is_fresh(&self) -> bool {
        matches!(self.state, State::Head { interim: 0, .. })
    }

    /// Whether the answer is complete.
    pub fn is_done(&self) -> bool {
        match &self.state {
            State::Body(body) => body.is_done(),
            State::Over => true,
            State::Head { .. } | State::Rest => false,
        }
    }

    /// Whether another answer may follow on this connection, once this one is done.
    pub fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// How many bytes of content are missing, where that can be known.
    pub fn remaining(&self) -> Option<u64> {
        match &self.state {
            State::Body(body) => body.remaining(),
            _ => None,
        }
    }

    /// The next head at the beginning of `input`; none if it isn't whole yet. After
    /// an interim one another follows. One that comes byte by byte is looked at when
    /// [there is news](has_news), so call it with all that is at hand, each time there is
    /// more.
    ///
    /// # Errors
    /// Those of [`parse`](super::parse), and more than [`limits::INTERIM`] interim
    /// answers.
    pub fn head<'a>(&mut self, input: &'a mut [u8], lines: &'a mut Lines) -> Result<Option<ResponseHead<'a>>, Fault> {
        let State::Head { interim, seen } = &mut self.state else { return Ok(None) };
        let before = std::mem::replace(seen, input.len().try_into().unwrap_or(u32::MAX));
        if !has_news(input, before as usize) {
            return Ok(None);
        }
        let Some(head) = head::parse(self.asked, input, lines)? else { return Ok(None) };
        *seen = 0;
        if head.is_interim() {
            *interim += 1;
            if *interim > limits::INTERIM {
                return Err(Fault::Malformed("there are too many interim answers"));
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

    /// Reads on in `input`, which begins where the last call stopped consuming, as
    /// [`BodyReader::read`] does.
    ///
    /// # Errors
    /// If the chunked coding is malformed.
    pub fn read(&mut self, input: &[u8]) -> Result<Progress, Fault> {
        match &mut self.state {
            State::Body(body) => Ok(body.read(input)?),
            State::Rest => Ok(Progress { consumed: input.len(), content: 0..input.len(), done: false }),
            State::Head { .. } | State::Over => Ok(Progress { consumed: 0, content: 0..0, done: self.is_done() }),
        }
    }

    /// The connection has ended, and `left` of the input isn't consumed, because it
    /// isn't enough.
    ///
    /// # Errors
    /// If the answer isn't complete.
    pub fn end(&mut self, left: &mut [u8]) -> Result<(), Fault> {
        match &self.state {
            State::Head { interim: 0, .. } if left.is_empty() => Err(Fault::Unanswered),
            // It may be no head at all, and not have been looked at since that shows.
            State::Head { .. } => head::parse(self.asked, left, &mut Lines::default()).and(Err(Fault::Truncated)),
            State::Rest => {
                self.state = State::Over;
                Ok(())
            }
            _ if self.is_done() => Ok(()),
            _ => Err(Fault::Truncated),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::chunked::{LAST_CHUNK, encode_chunk};
    use crate::testing::every_split;
    use proptest::prelude::*;

    /// Statuses, the content, the bytes consumed, whether the connection persists;
    /// and how it ended: not yet, or with a fault.
    #[derive(Clone, PartialEq, Eq, Debug, Default)]
    struct Read {
        statuses: Vec<u16>,
        content: Vec<u8>,
        consumed: usize,
        persistent: bool,
        done: bool,
        fault: Option<Fault>,
    }

    impl Read {
        /// Takes all that can be taken of `input`.
        fn take(&mut self, reader: &mut AnswerReader, input: &mut Vec<u8>) -> Result<(), Fault> {
            while !reader.is_done() {
                let consumed = if reader.awaits_head() {
                    let mut lines = Lines::default();
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

        fn run(asked: Asked, pieces: &mut dyn Iterator<Item = &[u8]>, ends: bool) -> Self {
            let (mut reader, mut read, mut input) = (AnswerReader::new(asked), Self::default(), Vec::new());
            for piece in pieces {
                input.extend_from_slice(piece);
                read.fault = read.take(&mut reader, &mut input).err();
                if read.fault.is_some() {
                    break;
                }
            }
            if ends && read.fault.is_none() {
                read.fault = reader.end(&mut input).err();
            }
            (read.done, read.persistent) = (reader.is_done(), reader.is_persistent());
            if read.fault.is_some() {
                // Where in a piece it was noticed means nothing.
                read.consumed = 0;
            }
            read
        }
    }

    const NEXT: &[&[u8]] = &[b"H", b"HTTP/1.1 200 OK\r\n\r\n", b"\r\n", b"0\r\n\r\n"];

    #[test]
    fn an_answer_ends_where_it_says_wherever_it_is_cut_and_whatever_follows() {
        for (asked, answer, statuses, content, persistent) in [
            (Asked::Content, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", &[200][..], "hello", true),
            (Asked::Content, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &[200], "", true),
            (Asked::HeadOnly, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &[200], "", true),
            (Asked::Content, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", &[304], "", true),
            (Asked::Content, "HTTP/1.1 204 No Content\r\n\r\n", &[204], "", true),
            (
                Asked::Content,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nA: b\r\n\r\n",
                &[200],
                "hello!",
                true,
            ),
            (
                Asked::Content,
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n\
                 HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n.",
                &[100, 103, 200],
                ".",
                false,
            ),
        ] {
            let read = every_split(answer.as_bytes(), NEXT, |pieces| Read::run(asked, pieces, false));
            let expected = Read {
                statuses: statuses.to_vec(),
                content: content.as_bytes().to_vec(),
                consumed: answer.len(),
                persistent,
                done: true,
                fault: None,
            };
            assert_eq!(read, expected, "{answer:?}");
            // Not one byte less is enough, and it is told that it was cut.
            for cut in 0..answer.len() {
                let read = Read::run(asked, &mut [&answer.as_bytes()[..cut]].into_iter(), true);
                let fault = if cut == 0 { Fault::Unanswered } else { Fault::Truncated };
                assert_eq!((read.fault, read.done), (Some(fault), false), "{answer:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn without_a_length_the_answer_ends_with_the_connection() {
        for (asked, head) in [
            (Asked::Content, "HTTP/1.1 200 OK\r\n\r\n"),
            (Asked::Content, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"),
            (Asked::Tunnel, "HTTP/1.1 200 Connected\r\nContent-Length: 3\r\n\r\n"),
            (Asked::Upgrade, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        ] {
            let answer = format!("{head}all that comes");
            let read = every_split(answer.as_bytes(), &[], |pieces| Read::run(asked, pieces, true));
            assert_eq!((read.content, read.fault), (b"all that comes".to_vec(), None));
            assert!(read.done && !read.persistent);
            let open = Read::run(asked, &mut [answer.as_bytes()].into_iter(), false);
            assert!(!open.done, "{head}");
        }
    }

    #[test]
    fn interim_answers_are_bounded() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n";
        let most = interim.repeat(usize::from(limits::INTERIM));
        let good = format!("{most}HTTP/1.1 204 No Content\r\n\r\n");
        assert!(Read::run(Asked::Content, &mut [good.as_bytes()].into_iter(), true).done);
        let endless = format!("{most}{interim}");
        let read = every_split(endless.as_bytes(), &[], |pieces| Read::run(Asked::Content, pieces, false));
        assert!(matches!(read.fault, Some(Fault::Malformed(_))), "{read:?}");
    }

    #[test]
    fn a_malformed_body_is_no_end() {
        for body in ["x\r\n", "5\r\nhelloworld", "-1\r\n", "1\nx\r\n", "0\r\nA : b\r\n\r\n"] {
            let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            let read = every_split(answer.as_bytes(), &[], |pieces| Read::run(Asked::Content, pieces, true));
            assert!(matches!(read.fault, Some(Fault::Malformed(_))) && !read.done, "{body:?}: {read:?}");
        }
    }

    #[test]
    fn what_remains_is_known_for_a_length_and_it_is_small() {
        let mut input = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec();
        let mut reader = AnswerReader::new(Asked::Content);
        assert_eq!(reader.remaining(), None);
        reader.head(&mut input, &mut Lines::default()).unwrap().unwrap();
        assert_eq!(reader.remaining(), Some(5));
        reader.read(b"he").unwrap();
        assert_eq!((reader.remaining(), reader.end(&mut [])), (Some(3), Err(Fault::Truncated)));
        assert!(size_of::<AnswerReader>() <= 48);
    }

    /// An answer on the wire: how its body is delimited, and what is in it.
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
        fn pipelined_answers_come_apart_as_they_were_put_together(
            answers in proptest::collection::vec(sent(), 1..5),
            sizes in proptest::collection::vec(1..60usize, 1..20),
        ) {
            let mut wire = Vec::new();
            for answer in &answers {
                answer.write(&mut wire);
            }
            let (mut input, mut rest, mut sizes) = (Vec::new(), &wire[..], sizes.into_iter().cycle());
            for answer in &answers {
                let (mut reader, mut read) = (AnswerReader::new(Asked::Content), Read::default());
                read.take(&mut reader, &mut input).unwrap();
                while !reader.is_done() {
                    prop_assert!(!rest.is_empty());
                    let (piece, after) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                    input.extend_from_slice(piece);
                    rest = after;
                    read.take(&mut reader, &mut input).unwrap();
                }
                prop_assert_eq!(&read.content, &answer.content);
                prop_assert_eq!(read.statuses.len(), answer.interim + 1);
            }
            prop_assert!(input.is_empty() && rest.is_empty());
        }

        #[test]
        fn anything_is_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let data = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &data[..]].concat();
            let whole = Read::run(Asked::Content, &mut [&data[..]].into_iter(), true);
            let single = Read::run(Asked::Content, &mut data.chunks(1), true);
            prop_assert_eq!(whole, single);
        }
    }
}
