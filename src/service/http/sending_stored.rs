//! Sending a stored response over several turns, also while it grows.
//!
//! Its content is in memory or in a file, and is taken from there as the client takes it. Nothing is
//! kept here but the place.

use std::ops::Range;
use std::rc::Rc;

use super::body_writer::BodyWriter;
use super::persistence::Writing;
use super::step::Step;
use crate::cache::{Part, Response, State};
use crate::reactor::{Io, Want};
use crate::service::Cx;

/// A stored response that is being sent.
pub(super) struct SendingStored {
    response: Rc<Response>,
    /// What is still to be sent, in bytes from its beginning; the end may be beyond that of the content.
    range: Range<u64>,
    persistent: bool,
    pub(super) body: BodyWriter,
    /// The store wakes it when there is more.
    is_waiting: bool,
}

impl SendingStored {
    /// Sends this range of its content.
    pub(super) fn new(response: Rc<Response>, range: Range<u64>, persistent: bool, body: BodyWriter) -> Self {
        Self { response, range, persistent, body, is_waiting: false }
    }

    /// There may be more of it.
    pub(super) fn woken(&mut self) {
        self.is_waiting = false;
    }

    /// Bytes of memory that it holds. The store counts the response.
    pub(super) fn memory(&self) -> usize {
        self.body.memory()
    }

    /// Sends what is there, while there is room.
    pub(super) fn advance(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step<Writing> {
        if io.gone {
            return Step::Done(Writing::Abort);
        }
        loop {
            // A stretch of a file leaves before the next one is written.
            if io.output.room() == 0 || io.output.has_file() {
                return Step::Wait(Want::NOTHING);
            }
            if cx.work.is_spent() {
                return Step::Wait(Want::AGAIN);
            }
            let Self { response, range, body, .. } = self;
            let rest = range.end - range.start;
            let Some(part) = response.read(range.start).filter(|_| rest > 0) else {
                return self.go_without(rest, io, cx);
            };
            let most = usize::try_from(rest).unwrap_or(usize::MAX).min(io.output.room());
            match part {
                Part::Memory(mut bytes) => {
                    bytes.truncate(most);
                    range.start += bytes.len() as u64;
                    cx.work.spend_bytes(bytes.len());
                    body.share(bytes, io.output, cx);
                }
                Part::Growing(bytes) => {
                    let piece = &bytes[..bytes.len().min(most)];
                    range.start += piece.len() as u64;
                    cx.work.spend_bytes(piece.len());
                    body.write(piece, io.output, cx);
                }
                Part::File(slice) if body.codes() => {
                    let mut piece = std::mem::take(&mut cx.shared.http.scratch);
                    piece.resize(most, 0);
                    let read = slice.read(&mut piece);
                    if let Ok(count) = read {
                        range.start += count as u64;
                        body.write(&piece[..count], io.output, cx);
                    }
                    piece.clear();
                    cx.shared.http.scratch = piece;
                    // The store writes a file before it tells its length.
                    if let Err(error) = read {
                        log::error!("reading a stored response: {error}");
                        return Step::Done(body.cut());
                    }
                }
                Part::File(mut slice) => {
                    slice.length = slice.length.min(rest);
                    range.start += slice.length;
                    body.write_file(slice, io.output);
                }
            }
        }
    }

    /// Ends or waits: there is nothing to send now, and at most `rest` bytes come.
    fn go_without(&mut self, rest: u64, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step<Writing> {
        match self.response.state() {
            State::Growing if rest > 0 => {
                self.body.flush(io.output, cx);
                self.wait(cx)
            }
            State::Failed if rest > 0 => {
                self.body.flush(io.output, cx);
                Step::Done(self.body.cut())
            }
            State::Growing | State::Failed | State::Whole => {
                self.body.end(io.output, cx);
                Step::Done(Writing::whole(self.persistent))
            }
        }
    }

    /// Waits for more of it.
    fn wait(&mut self, cx: &Cx<'_>) -> Step<Writing> {
        if let Some(cache) = cx.shared.http.cache.as_ref().filter(|_| !self.is_waiting) {
            cache.store.borrow_mut().wait(&self.response, cx.handle);
            self.is_waiting = true;
        }
        Step::Wait(Want::NOTHING)
    }
}
