//! Sending the content of a response over several turns.

use super::Cx;
use super::body_writer::BodyWriter;
use super::persistence::Writing;
use super::step::Step;
use super::waiting::body_memory;
use crate::app::boundary::Failed;
use crate::app::{Body, Pull};
use crate::reactor::{Io, Want};

/// A response whose content is written into the output when there is room.
pub(super) struct Sending {
    pub(super) content: Body,
    /// How much of content in memory is written.
    pub(super) written: usize,
    pub(super) persistent: bool,
    pub(super) body: BodyWriter,
}

impl Sending {
    /// Bytes of memory that it holds.
    pub(super) fn memory(&self) -> usize {
        body_memory(&self.content) + self.body.memory()
    }

    /// Continues to send while there is room.
    pub(super) fn advance(&mut self, request: u32, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step<Writing> {
        loop {
            let room = io.output.room();
            if room == 0 {
                return Step::Wait(Want::NOTHING);
            }
            if cx.work.is_spent() {
                return Step::Wait(Want::AGAIN);
            }
            match self.pull(room, io, cx) {
                Ok(Pull::More) => {}
                Ok(Pull::Wait(until)) => {
                    self.body.flush(io.output, cx);
                    return Step::Wait(Want::NOTHING.by(until));
                }
                Ok(Pull::End) => {
                    self.body.end(io.output, cx);
                    return Step::Done(Writing::whole(self.persistent));
                }
                Err(Failed) => {
                    log::error!("#{}.{request} the content of the application failed", cx.handle.number());
                    self.body.flush(io.output, cx);
                    // The body gets no last chunk, so the client knows that it is incomplete.
                    return Step::Done(self.body.cut());
                }
            }
        }
    }

    /// Sends about `room` bytes.
    fn pull(&mut self, room: usize, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Result<Pull, Failed> {
        match &mut self.content {
            Body::Bytes(bytes) => {
                let rest = &bytes[self.written..];
                let count = rest.len().min(room);
                self.body.write(&rest[..count], io.output, cx);
                self.written += count;
                Ok(if count == rest.len() { Pull::End } else { Pull::More })
            }
            Body::Source(content) => {
                let mut piece = std::mem::take(&mut cx.shared.http.scratch);
                let pulled = content.pull(&mut piece, room, cx.time.now);
                cx.work.spend(1);
                cx.work.spend_bytes(piece.len());
                self.body.write(&piece, io.output, cx);
                piece.clear();
                cx.shared.http.scratch = piece;
                pulled
            }
        }
    }
}
