//! Sending the content of a response over several turns.

use super::body_writer::BodyWriter;
use super::persistence::Writing;
use super::step::Step;
use super::waiting::body_memory;
use crate::app::boundary::Failed;
use crate::app::{Body, Pull};
use crate::reactor::{FileSlice, Io, Want};
use crate::service::Cx;

/// A response whose content is written into the output when there is room.
pub(super) struct Sending {
    pub(super) content: Content,
    /// How much of content in memory is written.
    pub(super) written: usize,
    pub(super) persistent: bool,
    pub(super) body: BodyWriter,
}

/// The content of a response.
pub(super) enum Content {
    /// What an application has made, or makes over time.
    Made(Body),
    /// What is left of a file, which is compressed.
    File(FileSlice),
}

impl Sending {
    /// Bytes of memory that it holds.
    pub(super) fn memory(&self) -> usize {
        let content = if let Content::Made(content) = &self.content { body_memory(content) } else { 0 };
        content + self.body.memory()
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
                    log::error!("#{}.{request} the content failed", cx.handle.number());
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
            Content::Made(Body::Bytes(bytes)) => {
                let rest = &bytes[self.written..];
                let count = rest.len().min(room);
                self.body.write(&rest[..count], io.output, cx);
                self.written += count;
                Ok(if count == rest.len() { Pull::End } else { Pull::More })
            }
            Content::Made(Body::Source(content)) => {
                let mut piece = std::mem::take(&mut cx.shared.http.scratch);
                let pulled = content.pull(&mut piece, room, cx.time.now);
                cx.work.spend(1);
                cx.work.spend_bytes(piece.len());
                self.body.write(&piece, io.output, cx);
                piece.clear();
                cx.shared.http.scratch = piece;
                pulled
            }
            Content::File(slice) => {
                let mut piece = std::mem::take(&mut cx.shared.http.scratch);
                piece.resize(room, 0);
                // Nothing of a file without content is read.
                let read = if slice.length == 0 { Ok(0) } else { slice.read(&mut piece) };
                if let Ok(count) = read {
                    slice.offset += count as u64;
                    slice.length -= count as u64;
                    self.body.write(&piece[..count], io.output, cx);
                }
                piece.clear();
                cx.shared.http.scratch = piece;
                match read {
                    Ok(_) if slice.length > 0 => Ok(Pull::More),
                    Ok(_) => Ok(Pull::End),
                    Err(error) => {
                        log::error!("reading a file: {error}");
                        Err(Failed)
                    }
                }
            }
        }
    }
}
