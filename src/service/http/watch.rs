//! A stream of events: an answer that has no end of its own.
//!
//! The application keeps the last events, once for all who watch; a watcher keeps
//! the number of the last one that it was sent. When there is room it asks for what
//! came after. So a watcher is small, a slow one holds no more than a quick one, and
//! how much it can miss is bounded by what the application keeps.
//!
//! ```text
//!   POST ─▶ application: `visit.news` ─▶ a message to each watcher ─▶ run queue
//!                ▲                                                       │
//!                └── events after the last that it was sent ◀── a turn ──┘
//! ```
//!
//! The run queue gives a few of them their turn between two looks at the poll, so
//! ten thousand watchers hold up nobody. Each has a deadline too: now and then it is
//! sent a comment, which a dead client's system answers with a reset.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::access::Exchanged;
use super::phase::Phase;
use super::visit::Call;
use super::{Cx, Http, Out, Step};
use crate::http::chunked::{LAST_CHUNK, encode_chunk};
use crate::http::head::Method;
use crate::http::response::{self, Form, Length, Manner};
use crate::http::{Status, event_stream};
use crate::limits;
use crate::reactor::{Finish, Handle, Io, Output, Tick, Want};
use crate::service::Message;

/// A stream of events on its way.
pub(super) struct Watching {
    app: usize,
    /// The last event that was sent.
    seen: u64,
    /// When to give the next sign of life.
    beat: Tick,
    chunked: bool,
    pub(super) exchanged: Option<Box<Exchanged>>,
}

impl Watching {
    fn write(&mut self, content: &[u8], output: &mut Output) {
        let before = output.buffer().len();
        if self.chunked {
            encode_chunk(content, output.buffer());
        } else {
            output.write(content);
        }
        if let Some(exchanged) = &mut self.exchanged {
            exchanged.add(content.len() as u64, (output.buffer().len() - before) as u64);
        }
    }
}

/// Who watches which application.
#[derive(Default)]
pub(super) struct Watchers(HashMap<Handle, usize>);

impl Watchers {
    /// Those of an application.
    pub(super) fn of(&self, app: usize) -> impl Iterator<Item = Handle> {
        self.0.iter().filter(move |(_, watched)| **watched == app).map(|(watcher, _)| *watcher)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn remove(&mut self, watcher: Handle) {
        self.0.remove(&watcher);
        // After a peak, give the memory back once there is nothing in it.
        if self.0.is_empty() {
            self.0 = HashMap::new();
        }
    }
}

impl Http {
    /// Begins to answer with the events of an application after number `seen`.
    pub(super) fn watch(&mut self, call: Call<'_>, seen: u64, out: &mut Out<'_, '_>, cx: &mut Cx<'_>) {
        let Call { head, app, persistent, .. } = call;
        let manner = Manner { minor: head.minor, head_only: head.method == Method::Head, persistent };
        let buffer = out.output.buffer();
        response::begin(buffer, Status::OK, &cx.shared.http.stamp);
        response::field(buffer, "Content-Type", event_stream::MEDIA_TYPE.as_bytes());
        response::field(buffer, "Cache-Control", b"no-store");
        // A proxy that collects answers before it passes them on would pass on none.
        response::field(buffer, "X-Accel-Buffering", b"no");
        let (form, persistent) = response::end(buffer, manner, Status::OK, Length::Unknown);
        if form == Form::Absent {
            self.finish(head, Status::OK, 0, persistent, out, cx);
            return;
        }
        let exchanged = self.exchanged(head, Status::OK, 0, out, cx);
        let beat = next_beat(cx);
        let mut watching = Watching { app, seen, beat, chunked: form == Form::Chunked, exchanged };
        let mut beginning = Vec::new();
        event_stream::begin(seen, &mut beginning);
        watching.write(&beginning, out.output);
        cx.shared.http.watchers.0.insert(cx.handle, app);
        self.enter(Phase::Watching(Box::new(watching)), cx);
    }

    /// There is news: each who watches the application is to be asked.
    pub(super) fn tell_watchers(&self, app: usize, cx: &mut Cx<'_>) {
        for watcher in cx.shared.http.watchers.of(app).collect::<Vec<_>>() {
            cx.send(watcher, Message::News);
        }
    }

    /// Sends what has happened, as there is room.
    pub(super) fn watching(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step {
        let Phase::Watching(watching) = &mut self.phase else { return Step::Again };
        let finish = loop {
            if io.gone {
                // The rest when it is closed, which knows what didn't arrive.
                return Step::Wait(Want::finish(Finish::Abort));
            }
            if cx.draining {
                // It would last as long as the client likes.
                if watching.chunked {
                    io.output.write(LAST_CHUNK);
                }
                break if self.more { Finish::Linger } else { Finish::Close };
            }
            let room = io.output.room();
            if room == 0 {
                return Step::Wait(Want::NOTHING);
            }
            let http = &mut cx.shared.http;
            let mut content = std::mem::take(&mut http.scratch);
            let app = http.routes(self.kind).get(watching.app).1;
            let seen = catch_unwind(AssertUnwindSafe(|| app.events(watching.seen, &mut content, room)));
            let news = !content.is_empty();
            if cx.time.now >= watching.beat {
                watching.beat = next_beat(cx);
                if !news {
                    content.extend_from_slice(event_stream::COMMENT);
                }
            }
            watching.write(&content, io.output);
            content.clear();
            cx.shared.http.scratch = content;
            let Ok(seen) = seen else {
                log::error!("#{}.{} the application panicked in its events", cx.handle.number(), self.requests);
                break Finish::Linger;
            };
            watching.seen = seen;
            if !news {
                return Step::Wait(Want::NOTHING.by(watching.beat));
            }
        };
        if let Some(mut exchanged) = watching.exchanged.take() {
            exchanged.end(0, cx);
        }
        cx.shared.http.watchers.remove(cx.handle);
        self.enter(Phase::Closing(finish), cx);
        Step::Again
    }
}

/// When a watcher is to get its next sign of life: each connection at a pace of its own.
fn next_beat(cx: &Cx<'_>) -> Tick {
    let spread = u64::from(cx.handle.number()) % limits::HEARTBEAT_SPREAD.as_millis() as u64;
    cx.time.now.after(limits::HEARTBEAT + Duration::from_millis(spread))
}
