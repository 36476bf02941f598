//! The client of a remote store of sessions.
//!
//! ```text
//!             operation                             idle
//!  Absent ──────────────▶ Connecting ──▶ Open ─────────────▶ Absent
//!    ▲                      │             │
//!    └─ after a pause ◀── failed ◀────────┘ lost, timed out, malformed reply
//! ```
//!
//! All exchanges share one connection, which is opened with the first operation. An operation
//! during the pause after a failure fails at once; the first one after the pause opens the
//! connection again. When the connection is lost, all pending operations fail.
//!
//! A host has its sessions as [`StoredSessions`], and an exchange has its host. So an exchange
//! that began before a reload ends with the store that it began with, and the connection to that
//! store closes when it is idle.

mod link;

use std::rc::Rc;
use std::time::Duration;

use super::{Cx, Message, Outcome};
use crate::limits;
use crate::reactor::{Ending, Finish, Io, JobClass, QueueFull, Tick, Want};
use crate::session::remote::Pipeline;
use crate::session::{Sessions, Store};
pub use link::SessionStoreLink;
use link::State;

/// Most pipelined operations. Each has a ticket here and a command in the store.
const PIPELINE: usize = 1024;
/// An idle connection is closed after this time, before the server closes it, so that no
/// operation is lost.
const IDLE: Duration = Duration::from_secs(20);

/// Sessions, and the way to their store.
#[derive(Default)]
pub struct StoredSessions {
    /// The sessions.
    pub sessions: Sessions,
    /// The link to their store, if it is a remote one.
    pub link: Option<Rc<SessionStoreLink>>,
}

impl From<Sessions> for StoredSessions {
    /// Sessions in a store that isn't remote.
    fn from(sessions: Sessions) -> Self {
        Self { sessions, link: None }
    }
}

impl StoredSessions {
    /// Allows operations again after a pause. Call it before an operation.
    pub(super) fn allow_retry(&self, now: Tick) {
        if let Some(link) = &self.link {
            link.allow_retry(now);
        }
    }

    /// Sends pending operations to the store, or to the disk. Call it after an operation.
    ///
    /// # Errors
    /// If too many durable writes wait.
    pub(super) fn flush(&self, cx: &mut Cx<'_>) -> Result<(), QueueFull> {
        if let Store::Disk(disk) = &mut *self.sessions.store()
            && let Some(commit) = disk.next_commit()
        {
            cx.run(JobClass::Commit, move || {
                // The exchange finds the result in the store.
                let _ = commit.wait();
                Outcome::Session
            })?;
        }
        if let Some(link) = &self.link {
            flush(link, cx);
        }
        Ok(())
    }
}

/// Sends pending operations to the store.
fn flush(link: &Rc<SessionStoreLink>, cx: &mut Cx<'_>) {
    match link.state.get() {
        State::Open(handle) => cx.send(handle, Message::Session),
        State::Connecting => {}
        State::Absent(_) => {
            let (to, client) = link.connect(cx.time.now);
            cx.connect(to, client);
        }
    }
}

/// The protocol of the connection.
pub struct SessionStoreClient {
    link: Rc<SessionStoreLink>,
    pipeline: Pipeline,
    begun: bool,
    established: bool,
    /// A reply came, so the peer is a store.
    answered: bool,
    /// When the connection was opened, or the last reply came.
    active: Tick,
    /// Why the connection can't be used any more.
    failure: Option<String>,
}

impl SessionStoreClient {
    fn new(link: Rc<SessionStoreLink>, now: Tick) -> Self {
        Self {
            pipeline: Pipeline::new(link.url()),
            link,
            begun: false,
            established: false,
            answered: false,
            active: now,
            failure: None,
        }
    }

    /// Reads replies and sends operations.
    pub(super) fn advance(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Want {
        let now = cx.time.now;
        if !self.begun {
            self.begun = true;
            self.pipeline.begin(now, io.output.buffer());
            self.link.state.set(State::Open(cx.handle));
        }
        self.established |= io.established;
        if self.failure.is_none() {
            self.failure = self.read(io, cx).or_else(|| self.is_late(now));
        }
        if self.failure.is_some() {
            return Want::finish(Finish::Abort);
        }
        let over = io.ended || self.pipeline.is_closing();
        // Only an open connection takes operations, so that they can go to another address if this one fails.
        if self.established && !over {
            self.ask(io, cx);
        }
        let nothing_to_do = !self.is_waited_for();
        let idle = self.active.after(IDLE);
        if self.pipeline.is_empty() && ((over && self.answered) || (nothing_to_do && (cx.draining || now >= idle))) {
            return Want::finish(Finish::Close);
        }
        if io.ended {
            self.failure = Some("the server closed the connection".to_owned());
            return Want::finish(Finish::Abort);
        }
        Want::READ.by(self.deadline().unwrap_or(idle))
    }

    /// Reads the replies; returns why no more can be read.
    fn read(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Option<String> {
        loop {
            let read = match self.pipeline.read(io.input.bytes_mut()) {
                Ok(read) => read,
                Err(error) => return Some(error.0),
            };
            if read.consumed == 0 && read.reply.is_none() {
                return None;
            }
            io.input.consume(read.consumed);
            (self.active, self.answered) = (cx.time.now, true);
            if let Some(error) = self.pipeline.error() {
                log::warn!("the session store refuses: {error}");
            }
            if let Some((ticket, reply)) = read.reply {
                self.link.works();
                let exchange = self.link.pending().and_then(|mut pending| pending.answer(ticket, reply));
                if let Some(exchange) = exchange {
                    cx.send(exchange, Message::Session);
                }
            }
        }
    }

    /// Sends the pending operations.
    fn ask(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) {
        let Some(mut pending) = self.link.pending() else { return };
        while io.output.room() > 0 && self.pipeline.len() < PIPELINE {
            let Some((ticket, operation)) = pending.next_operation() else { break };
            self.pipeline.write(ticket, &operation, cx.time.now, io.output.buffer());
        }
    }

    /// Whether an exchange waits for a result, or hasn't taken it yet.
    fn is_waited_for(&self) -> bool {
        self.link.pending().is_some_and(|pending| !pending.is_empty())
    }

    /// When the next reply, or connecting, times out.
    fn deadline(&self) -> Option<Tick> {
        let since = if self.established { self.pipeline.oldest_since() } else { Some(self.active) };
        since.map(|since| since.after(limits::SESSION_STORE_TIMEOUT))
    }

    fn is_late(&self, now: Tick) -> Option<String> {
        let late = self.deadline().is_some_and(|deadline| deadline <= now);
        late.then(|| if self.established { "no reply in time" } else { "no connection in time" }.to_owned())
    }

    /// The connection has ended, or failed to open.
    pub(super) fn closed(&mut self, ending: Ending, cx: &mut Cx<'_>) {
        let now = cx.time.now;
        let lost = || (!self.pipeline.is_empty()).then(|| "the server closed the connection".to_owned());
        let why = self.failure.take().or_else(|| ending.error.map(|error| error.to_string())).or_else(lost);
        let link = &self.link;
        let Some(why) = why else {
            // No operation is lost.
            link.state.set(State::Absent(now));
            if self.is_waited_for() {
                flush(link, cx);
            }
            return;
        };
        if !self.established && link.try_another() {
            let (to, client) = link.connect(now);
            cx.connect(to, client);
            return;
        }
        if self.pipeline.is_wrong_server() {
            link.next_address();
        }
        link.failed(now, &why);
        let waiting = link.pending().map(|mut pending| pending.unavailable());
        for exchange in waiting.unwrap_or_default() {
            cx.send(exchange, Message::Session);
        }
    }
}

#[cfg(test)]
mod tests;
