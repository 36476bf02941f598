//! Reading the body of a request.
//!
//! A body is read before the response is given, whether it is needed or not: what is
//! malformed in it is found, and the next request begins where it must. Only what is
//! too large isn't read; then the response says so, and the connection closes in a way
//! that lets the client still read it.

use super::exchange::Facts;
use super::state::Step;
use crate::http::framing::{BodyReader, Framing};
use crate::http::{Reject, Status};
use crate::reactor::{Io, Pace, Tick, Want};

use std::time::Duration;

/// A request whose body is being read.
pub(super) struct Collecting {
    /// The head as it was sent, to be parsed again when the body is there.
    pub(super) head: Vec<u8>,
    pub(super) facts: Facts,
    pub(super) content: Vec<u8>,
    reader: BodyReader,
    /// Bytes of content so far.
    read: u64,
    limit: u64,
    /// Whether the content is kept; else it is read to get past it.
    wanted: bool,
    pace: Pace,
}

/// How the reading of a body ended.
pub(super) enum Read {
    /// The body is whole.
    Whole,
    /// It can't be read to its end: this is the response.
    Failed(Reject),
    /// The response doesn't need it, and it is too much to be read for nothing.
    GivenUp,
}

impl Collecting {
    /// Begins with the body of a request.
    pub(super) fn new(
        head: &[u8],
        facts: Facts,
        framing: Framing,
        (wanted, limit): (bool, u64),
        now: Tick,
    ) -> Box<Self> {
        Box::new(Self {
            head: head.to_vec(),
            facts,
            content: Vec::new(),
            reader: BodyReader::new(framing),
            read: 0,
            limit,
            wanted,
            pace: Pace::start(now),
        })
    }

    /// Bytes of memory that it holds.
    pub(super) fn memory(&self) -> usize {
        self.head.capacity() + self.content.capacity()
    }

    /// Reads what is there.
    pub(super) fn advance(&mut self, timeout: Duration, io: &mut Io<'_>, now: Tick) -> Step<Read> {
        while !self.reader.is_done() {
            let progress = match self.reader.read(io.input.bytes()) {
                Ok(progress) => progress,
                Err(reject) => return Step::Done(Read::Failed(reject)),
            };
            if progress.consumed == 0 {
                if io.ended {
                    let reject = Reject::bad_request("the connection ended before the body did");
                    return Step::Done(Read::Failed(reject));
                }
                let deadline = self.pace.deadline(timeout);
                if now >= deadline {
                    let reject = Reject::new(Status::REQUEST_TIMEOUT, "the body of the request came too slowly");
                    return Step::Done(Read::Failed(reject));
                }
                return Step::Wait(Want::READ.by(deadline));
            }
            self.read += progress.content.len() as u64;
            if self.read > self.limit {
                return Step::Done(if self.wanted { Read::Failed(too_large()) } else { Read::GivenUp });
            }
            if self.wanted {
                self.content.extend_from_slice(&io.input.bytes()[progress.content]);
            }
            self.pace.moved(now, progress.consumed as u64, timeout);
            io.input.consume(progress.consumed);
        }
        Step::Done(Read::Whole)
    }
}

/// The response to a body over the limit.
pub(super) fn too_large() -> Reject {
    Reject::new(Status::CONTENT_TOO_LARGE, "the body of the request is too large")
}
