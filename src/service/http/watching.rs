//! A stream of events: a response that has no end of its own.
//!
//! The application keeps the last events, once for all watchers. A watcher keeps only the
//! number of the last event that it sent. When there is room, it asks for the events after
//! that. So a watcher is small, also if its client is slow. A slow client misses the events
//! that the application no longer keeps.
//!
//! ```text
//!   POST ─▶ application: `call.news` ─▶ a message to each watcher ─▶ run queue
//!                ▲                                                       │
//!                └── events after the last that it was sent ◀── a turn ──┘
//! ```
//!
//! Each watcher has a deadline for its next comment. The system of a dead client responds to
//! the comment with a reset, or not at all.

use std::rc::Rc;
use std::time::Duration;

use super::body_writer::BodyWriter;
use super::persistence::Writing;
use super::step::Step;
use crate::app::boundary::Application;
use crate::http::event_stream;
use crate::limits;
use crate::reactor::{Finish, Handle, Io, Output, Tick, Want};
use crate::service::{Cx, Message};

/// A stream of events to one client.
pub(super) struct Watching {
    app: Rc<Application>,
    watcher: Handle,
    /// The number of the last event that was sent.
    seen: u64,
    /// When to send the next comment.
    beat: Tick,
    pub(super) body: BodyWriter,
}

impl Watching {
    /// A stream of the events of `app` after number `seen`, whose head is written.
    pub(super) fn begin(
        app: Rc<Application>,
        seen: u64,
        body: BodyWriter,
        output: &mut Output,
        cx: &mut Cx<'_>,
    ) -> Box<Self> {
        app.watch(cx.handle);
        let mut watching = Self { app, watcher: cx.handle, seen, beat: next_beat(cx), body };
        let mut beginning = Vec::new();
        event_stream::begin(seen, &mut beginning);
        watching.body.write(&beginning, output, cx);
        Box::new(watching)
    }

    /// Bytes of memory that it holds.
    pub(super) fn memory(&self) -> usize {
        self.body.memory()
    }

    /// Whether it is registered at the application.
    pub(super) fn is_registered(&self) -> bool {
        self.app.is_watched_by(self.watcher)
    }

    /// Sends new events while there is room.
    pub(super) fn advance(&mut self, request: u32, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step<Writing> {
        loop {
            if io.gone {
                // The entry is written when the connection is closed, which knows what
                // didn't arrive.
                return Step::Wait(Want::finish(Finish::Abort));
            }
            if cx.draining {
                // Otherwise it would last as long as the client wants.
                self.body.end(io.output, cx);
                return Step::Done(Writing::Last);
            }
            let room = io.output.room();
            if room == 0 {
                return Step::Wait(Want::NOTHING);
            }
            let mut content = std::mem::take(&mut cx.shared.http.scratch);
            let seen = self.app.events(self.seen, &mut content, room);
            let news = !content.is_empty();
            if cx.time.now >= self.beat {
                self.beat = next_beat(cx);
                if !news {
                    content.extend_from_slice(event_stream::COMMENT);
                }
            }
            self.body.write(&content, io.output, cx);
            content.clear();
            cx.shared.http.scratch = content;
            let Ok(seen) = seen else {
                log::error!("#{}.{request} the events of the application failed", cx.handle.number());
                return Step::Done(Writing::Cut);
            };
            self.seen = seen;
            if !news {
                self.body.flush(io.output, cx);
                return Step::Wait(Want::NOTHING.by(self.beat));
            }
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.app.unwatch(self.watcher);
    }
}

/// Tells each watcher of the application that there are new events.
pub(in crate::service) fn notify(app: &Application, cx: &mut Cx<'_>) {
    for watcher in app.watchers() {
        cx.send(watcher, Message::News);
    }
}

/// When a watcher gets its next comment: not all at the same time.
fn next_beat(cx: &Cx<'_>) -> Tick {
    let spread = u64::from(cx.handle.number()) % limits::HEARTBEAT_SPREAD.as_millis() as u64;
    cx.time.now.after(limits::HEARTBEAT + Duration::from_millis(spread))
}
