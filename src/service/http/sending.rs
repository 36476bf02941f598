//! Sending the content of a response over several turns.

use super::Cx;
use super::access_log::PendingEntry;
use super::persistence::Writing;
use super::state::Step;
use super::waiting::body_memory;
use crate::app::boundary::Failed;
use crate::app::{Body, Pull};
use crate::http::chunked::{LAST_CHUNK, encode_chunk};
use crate::reactor::{Io, Want};

/// A response whose content goes into the output as there is room.
pub(super) struct Sending {
    pub(super) body: Body,
    pub(super) chunked: bool,
    /// Bytes of content so far.
    pub(super) sent: u64,
    pub(super) persistent: bool,
    pub(super) entry: Option<Box<PendingEntry>>,
}

impl Sending {
    /// Bytes of memory that it holds.
    pub(super) fn memory(&self) -> usize {
        body_memory(&self.body) + self.entry.as_ref().map_or(0, |entry| entry.memory())
    }

    /// Sends on, as there is room.
    pub(super) fn advance(&mut self, request: u32, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step<Writing> {
        let writing = loop {
            let room = io.output.room();
            if room == 0 {
                return Step::Wait(Want::NOTHING);
            }
            if cx.work.is_spent() {
                return Step::Wait(Want::AGAIN);
            }
            match self.pull(room, io, cx) {
                Ok(Pull::More) => {}
                Ok(Pull::Wait(until)) => return Step::Wait(Want::NOTHING.by(until)),
                Ok(Pull::End) => break Writing::whole(self.persistent),
                Err(Failed) => {
                    log::error!("#{}.{request} the content of the application failed", cx.handle.number());
                    // The body gets no end, so the client knows that it isn't whole.
                    break if self.chunked { Writing::Cut } else { Writing::Abort };
                }
            }
        };
        if let Some(mut entry) = self.entry.take() {
            entry.end(0, cx);
        }
        Step::Done(writing)
    }

    /// Sends about `room` bytes.
    fn pull(&mut self, room: usize, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Result<Pull, Failed> {
        let (before, sent) = (io.output.mark(), self.sent);
        let pulled = match &mut self.body {
            Body::Bytes(bytes) => {
                let rest = &bytes[self.sent as usize..];
                let count = rest.len().min(room);
                io.output.write(&rest[..count]);
                self.sent += count as u64;
                Ok(if count == rest.len() { Pull::End } else { Pull::More })
            }
            Body::Source(content) => {
                let mut piece = std::mem::take(&mut cx.shared.http.scratch);
                let pulled = content.pull(&mut piece, room, cx.time.now);
                self.sent += piece.len() as u64;
                cx.work.spend(1);
                cx.work.spend_bytes(piece.len());
                if self.chunked {
                    encode_chunk(&piece, io.output.buffer());
                } else {
                    io.output.write(&piece);
                }
                piece.clear();
                cx.shared.http.scratch = piece;
                pulled
            }
        };
        if self.chunked && pulled == Ok(Pull::End) {
            io.output.write(LAST_CHUNK);
        }
        if let Some(entry) = &mut self.entry {
            entry.add(self.sent - sent, io.output.since(before));
        }
        pulled
    }
}
