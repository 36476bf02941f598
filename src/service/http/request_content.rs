//! The content of a request that an upstream gets: it is read as far as the upstream has room.

use super::rejects::BODY_TOO_LARGE;
use crate::http::Reject;
use crate::http::framing::{BodyReader, Framing};
use crate::reactor::{Io, Pace, Tick, Want};
use crate::service::Cx;
use crate::service::proxy::{Room, Taken, ToUpstream};

/// The content of a request.
pub(super) struct RequestContent {
    pub(super) reader: BodyReader,
    /// Bytes that the upstream has room for.
    room: Room,
    /// Bytes so far, and the most.
    read: u64,
    limit: u64,
    /// The upstream knows that it is complete.
    is_ended: bool,
    pace: Pace,
}

impl RequestContent {
    /// The content of a request of which at most `limit` bytes are read. The upstream has no room yet.
    pub(super) fn new(framing: Framing, limit: u64, now: Tick) -> Self {
        let (reader, is_ended) = (BodyReader::new(framing), framing == Framing::None);
        Self { reader, room: Room::NONE, read: 0, limit, is_ended, pace: Pace::start(now) }
    }

    /// An upstream is asked that has this much room. What was read before isn't read again.
    pub(super) fn begin(&mut self, has_content: bool, room: Room, now: Tick) {
        self.is_ended = !has_content;
        self.room = room;
        self.pace = Pace::start(now);
    }

    /// At most so many bytes may be on their way to the upstream from now on.
    pub(super) fn set_window(&mut self, window: usize) {
        self.room.set_window(window);
    }

    /// The upstream has room for more.
    pub(super) fn give_room(&mut self, taken: Taken, now: Tick) {
        if self.room.bytes() == 0 {
            // The time that the upstream took isn't the client's.
            self.pace = Pace::start(now);
        }
        self.room.give(taken);
    }

    /// No upstream has room.
    pub(super) fn hold(&mut self) {
        self.room = Room::NONE;
    }

    /// Whether some of it was read.
    pub(super) fn has_begun(&self) -> bool {
        self.read > 0
    }

    /// Whether more is wanted from the client.
    fn is_wanted(&self) -> bool {
        !self.is_ended && self.room.bytes() > 0
    }

    /// What is wanted from the client.
    pub(super) fn want(&self) -> Want {
        if self.is_ended { Want::NOTHING } else { self.room.want() }
    }

    /// When the client is too slow.
    pub(super) fn deadline(&self, cx: &Cx<'_>) -> Tick {
        self.pace.deadline(cx.shared.http.limits.body_timeout)
    }

    /// Reads what is there, and passes it on by `tell`.
    ///
    /// # Errors
    /// If it is malformed, too long, or cut.
    pub(super) fn read(
        &mut self,
        io: &mut Io<'_>,
        cx: &mut Cx<'_>,
        tell: impl Fn(ToUpstream, &mut Cx<'_>),
    ) -> Result<(), Reject> {
        while self.is_wanted() && !cx.work.is_spent() {
            let most = io.input.bytes().len().min(self.room.bytes());
            let progress = self.reader.read(&io.input.bytes()[..most])?;
            let piece = io.input.share(progress.content);
            io.input.consume(progress.consumed);
            self.read += piece.len() as u64;
            if self.read > self.limit {
                return Err(BODY_TOO_LARGE);
            }
            if !piece.is_empty() {
                self.room.sent(piece.len());
                self.pace.moved(cx.time.now, piece.len() as u64, cx.shared.http.limits.body_timeout);
                cx.work.spend_bytes(piece.len());
                tell(ToUpstream::Piece(piece), cx);
            }
            if self.reader.is_done() {
                self.is_ended = true;
                tell(ToUpstream::End, cx);
            } else if progress.consumed == 0 {
                break;
            }
        }
        if !self.is_ended && io.ended && io.input.is_empty() {
            return Err(Reject::bad_request("the connection ended before the body did"));
        }
        Ok(())
    }
}
