//! HTTP/1.1 on a connection: the exchange of one request and one answer after
//! another (RFC 9112 §9).
//!
//! ```text
//!          ┌──────────────────────── persists ────────────────────────┐
//!          ▼                                                          │
//! Idle ─▶ Head ─▶ Body (collected or discarded) ─▶ answer ─▶ Sending ─┤
//!          │                                         │ ▲              │
//!          │ malformed, too slow                     ▼ │              ▼
//!          └────────────────────────────▶ error    Parked         Closing
//! ```
//!
//! What is under protection may have to wait, before it is answered, in Checking.
//!
//! A request without a body for a small file goes from Idle to Idle in one call.
//! A new head isn't parsed before the answer to the last is on its way, so
//! pipelined requests wait unparsed, and a connection needs bounded memory.
//!
//! A body is read before the answer is given, whether it is wanted or not: what
//! is malformed in it is found, and the next request begins where it must. Only
//! what is too large isn't read; then the answer says so and the connection
//! closes in a way that lets the client still read it.
//!
//! An application that reads the visitor's session is lent it, loaded before and
//! saved after if something changed. A store that must be asked for it parks the
//! exchange, as a job does. A stream of events is Watching in the place of Sending, and
//! doesn't persist.
//!
//! `receive` makes a request of octets, `admission` says whether it may pass, `answer`
//! finds who answers it, `visit` asks an application, `send` brings the answer into the
//! output, `watch` sends events for as long as somebody watches, `refuse` makes answers
//! of errors; `phase` has the states between which they move.

mod access;
mod admission;
mod answer;
mod error_page;
mod phase;
mod receive;
mod refuse;
mod send;
mod shared;
mod visit;
mod watch;

use std::time::Duration;

pub use phase::Census;
pub use shared::{Limits, Shared};

use super::{Kind, Service};
use crate::app::Outcome;
use crate::http::Status;
use crate::limits;
use crate::reactor::{Accepted, Context, Ends, Io, Output, Want};
use access::Account;
use phase::{Awaits, Phase};

/// The HTTP side of a connection.
pub struct Http {
    phase: Phase,
    /// Requests so far; the current one's number.
    requests: u32,
    /// It came when there were too many: every request is answered with 503.
    overloaded: bool,
    /// It counts for its address.
    counted: bool,
    /// The client may send more than was read: the rest of a refused request, or
    /// the next one. A close that it doesn't expect must let it read the answer.
    more: bool,
    /// What its listener is for: pages and files, or the key-value service.
    kind: Kind,
}

type Cx<'a> = Context<'a, Service>;

/// Where an answer goes.
struct Out<'a, 'b> {
    output: &'b mut Output,
    ends: Ends<'a>,
    /// Where the answer begins in the output's buffer.
    start: usize,
    /// The answer is to a request for what is under protection.
    protected: bool,
}

impl<'a, 'b> Out<'a, 'b> {
    fn new(output: &'b mut Output, ends: Ends<'a>) -> Self {
        let start = output.buffer().len();
        Self { output, ends, start, protected: false }
    }

    /// What the log is to know of the answer that was written here.
    #[inline]
    fn account(&self, status: Status, body: u64, request: u32) -> Account {
        Account {
            status,
            body,
            octets: self.output.since(self.start),
            duration: Duration::ZERO,
            peer: self.ends.peer(),
            local: self.ends.local(),
            request,
            protected: self.protected,
        }
    }
}

/// Whether the exchange can go on at once, or what it waits for.
enum Step {
    Again,
    Wait(Want),
}

impl Http {
    /// A connection that was just accepted.
    pub fn open(accepted: &Accepted<'_>, cx: &mut Cx<'_>) -> Self {
        // A proxy has many clients; how many it lets come is its own matter.
        let http = &mut cx.shared.http;
        let peer = accepted.ends.peer().map(|peer| peer.ip()).filter(|peer| !http.proxies.trust(Some(*peer)));
        let counted = peer.and_then(|peer| http.count(peer));
        let overloaded = accepted.overloaded || counted == Some(false);
        let mut patience = cx.shared.http.limits.header_timeout;
        if overloaded {
            // The reserve is small: who isn't served anyway mustn't hold it.
            patience = patience.min(limits::LINGER);
        }
        let deadline = cx.time.now.after(patience);
        let phase = Phase::Head { deadline, seen: 0 };
        cx.shared.http.census.enter(&phase);
        let kind = if accepted.service == Kind::Kv as usize { Kind::Kv } else { Kind::Http };
        Self { phase, requests: 0, overloaded, counted: counted.is_some(), more: false, kind }
    }

    /// The connection is over, by whichever side; `unsent` octets of its output
    /// didn't go out.
    pub fn closed(&mut self, unsent: u64, ends: Ends<'_>, cx: &mut Cx<'_>) {
        let exchanged = match &mut self.phase {
            Phase::SendingFile { exchanged, .. } => exchanged.take(),
            Phase::Sending(sending) => sending.exchanged.take(),
            Phase::Watching(watching) => {
                cx.shared.http.watchers.remove(cx.handle);
                watching.exchanged.take()
            }
            _ => None,
        };
        if let Some(mut exchanged) = exchanged {
            exchanged.end(unsent, cx);
        }
        if let Some(ticket) = self.phase.ticket() {
            cx.shared.http.sessions.forget(ticket);
        }
        cx.shared.http.census.leave(&self.phase);
        if let Some(peer) = ends.peer()
            && self.counted
        {
            cx.shared.http.uncount(peer.ip());
        }
    }

    /// Octets that it holds beyond its own size.
    #[inline]
    pub fn memory(&self) -> usize {
        self.phase.memory()
    }

    /// A job of this connection is done.
    pub fn deliver(&mut self, ticket: u32, outcome: Option<Outcome>) {
        if let Phase::Parked(parked) = &mut self.phase
            && let Awaits::Job(came) = &mut parked.awaits
            && ticket == self.requests
        {
            *came = Some(outcome);
        }
    }

    /// All that can be done now.
    #[inline]
    pub fn advance(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Want {
        cx.shared.http.stamp.refresh(cx.time.unix_seconds);
        loop {
            let step = match &mut self.phase {
                Phase::Idle { .. } | Phase::Head { .. } => self.head(io, cx),
                Phase::Body(_) => self.body(io, cx),
                Phase::Checking(_) => self.checking(io, cx),
                Phase::Parked(_) => self.parked(io, cx),
                Phase::SendingFile { .. } => self.sending_file(io, cx),
                Phase::Sending(_) => self.sending(io, cx),
                Phase::Watching(_) => self.watching(io, cx),
                Phase::Closing(finish) => Step::Wait(Want::finish(*finish)),
            };
            if let Step::Wait(want) = step {
                return want;
            }
        }
    }

    /// Moves to another phase.
    fn enter(&mut self, next: Phase, cx: &mut Cx<'_>) {
        log::trace!("#{}.{} {} → {}", cx.handle.number(), self.requests, self.phase.name(), next.name());
        cx.shared.http.census.leave(&self.phase);
        cx.shared.http.census.enter(&next);
        self.phase = next;
    }

    /// Takes what a phase holds, to be answered in this call.
    fn take_phase(&mut self, cx: &mut Cx<'_>) -> Phase {
        let answering = Phase::Head { deadline: cx.time.now, seen: 0 };
        cx.shared.http.census.leave(&self.phase);
        cx.shared.http.census.enter(&answering);
        std::mem::replace(&mut self.phase, answering)
    }
}

/// Compares the count of phases with the connections there are.
pub(super) fn audit(shared: &Shared, open: &mut dyn Iterator<Item = &Http>) {
    let mut census = Census::default();
    for http in open {
        census.enter(&http.phase);
    }
    assert_eq!(census, shared.census, "a phase was entered or left uncounted");
    assert_eq!(census.watching(), shared.watchers.len(), "who watches isn't known, or is no more");
}

// What ten thousand idle connections cost is ten thousand times this.
const _: () = assert!(size_of::<Http>() <= 24);

#[cfg(test)]
mod tests;
