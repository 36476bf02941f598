//! A connection that speaks HTTP/1.1: its framing and its timeouts.
//!
//! ```text
//!          ┌──────────────────── persists ─────────────────────┐
//!          ▼                                                   │
//! Idle ─▶ Head ─▶ Body (collected or discarded) ─▶ Exchange ───┤
//!          │                │                                  │
//!          │ malformed, too slow                               ▼
//!          └────────────────┴──────────▶ error ────────────▶ Closing
//! ```
//!
//! The body for an application that receives it in pieces is read after the first call of
//! the application, from a state of the exchange: Head ─▶ Exchange ─▶ Body ─▶ Exchange.
//!
//! A request without a body for a small file goes from Idle to Idle in one call. A new
//! head isn't parsed before the response to the last one is on its way, so pipelined
//! requests wait unparsed, and a connection needs bounded memory. What an exchange does in its further
//! turns is in `turns`.

mod turns;

use std::net::IpAddr;
use std::time::Duration;

use super::body::{Destination, Read, ReadingBody};
use super::counts::{Refusal, Timeout};
use super::dispatch;
use super::exchange::{Exchange, Turn};
use super::notices::{notice, tls_at_plain};
use super::persistence::{self, Reading, Writing};
use super::policy;
use super::rejects::BODY_TOO_LARGE;
use super::resolve::resolve;
use super::respond;
use super::state::{Progress, State};
use super::step::Step;
use super::tapped;
use super::{Census, HostsId, Shared};
use crate::http::framing::Framing;
use crate::http::head::{self, Expect, RequestHead, is_worth_parsing};
use crate::http::{FieldLines, Reject, Status};
use crate::limits;
use crate::logging::escape;
use crate::reactor::{Accepted, Ends, Finish, Handle, Io, JobId, JobResult, Tick, Want};
use crate::service::proxy::{ExchangeId, FromUpstream, ToUpstream};
use crate::service::{Cx, Kind, Outcome};

/// What a request costs in units of [`Work`](crate::reactor::Work): parsing it, and
/// answering it from the cache.
const REQUEST: u32 = 1;

/// The HTTP side of a connection.
pub struct Http {
    state: State,
    /// Requests so far; the number of the current one.
    requests: u32,
    /// There were too many connections when it was accepted: every request gets 503.
    overloaded: bool,
    /// It counts as a connection of its address.
    counted: bool,
    /// What the client may still send.
    reading: Reading,
    /// The hosts of its listener.
    hosts: HostsId,
}

/// The first byte of a TLS connection (RFC 8446 §5.1). No request begins with it.
const TLS_HANDSHAKE: u8 = 22;

impl Http {
    /// A connection that was just accepted.
    pub fn open(accepted: &Accepted<'_, Kind>, hosts: HostsId, cx: &mut Cx<'_>) -> Self {
        // A proxy has many clients, so its connections aren't limited by address; nor are those of
        // operators.
        let http = &mut cx.shared.http;
        let is_limited = |peer: &IpAddr| hosts != HostsId::Admin && !http.proxies.trust(Some(*peer));
        let peer = accepted.ends.peer().map(|peer| peer.ip()).filter(is_limited);
        let counted = peer.and_then(|peer| http.count(peer));
        let refusal = match (accepted.overloaded, counted) {
            (true, _) => Some(Refusal::Full),
            (false, Some(false)) => Some(Refusal::Address),
            (false, _) => None,
        };
        if let Some(refusal) = refusal {
            http.counts.refused(refusal);
        }
        let overloaded = refusal.is_some();
        let state = State::Idle { since: cx.time.now };
        http.census.enter(state.phase());
        let counted = counted.is_some();
        Self { state, requests: 0, overloaded, counted, reading: Reading::Last, hosts }
    }

    /// The connection was closed by either side; `unsent` bytes of its output weren't sent.
    pub fn closed(&mut self, unsent: u64, ends: Ends<'_>, cx: &mut Cx<'_>) {
        self.response_ended(unsent, cx);
        self.state.cancel(cx);
        cx.shared.http.census.leave(self.state.phase());
        // Others may wait for what it has asked for.
        self.state = State::Closing(Finish::Abort);
        if let Some(peer) = ends.peer()
            && self.counted
        {
            cx.shared.http.uncount(peer.ip());
        }
    }

    /// Bytes of memory that it holds beyond its own size.
    pub fn memory(&self) -> usize {
        self.state.memory()
    }

    /// A job of this connection has ended.
    pub fn job_ended(&mut self, job: JobId, result: JobResult<Outcome>) {
        match &mut self.state {
            State::Waiting(waiting) => waiting.job_ended(job, result),
            State::Body(body) => body.job_ended(job, result),
            State::Proxied(proxied) => proxied.job_ended(job),
            _ => {}
        }
    }

    /// The cache may have what is waited for.
    pub fn woken(&mut self) {
        match &mut self.state {
            State::LookingUp(looking) => looking.woken(),
            State::SendingStored(stored) => stored.woken(),
            _ => {}
        }
    }

    /// A message from an upstream.
    pub fn deliver(&mut self, from: Handle, id: ExchangeId, message: FromUpstream) {
        match &mut self.state {
            State::Proxied(proxied) => proxied.deliver(from, id, message),
            State::Tunnel(tunnel) => tunnel.deliver(from, id, message),
            _ => {}
        }
    }

    /// A message to an upstream didn't arrive.
    pub fn undelivered(&mut self, to: Handle, id: ExchangeId, message: &ToUpstream) {
        match &mut self.state {
            State::Proxied(proxied) => proxied.undelivered(to, id, message),
            State::Tunnel(tunnel) => tunnel.undelivered(to, id),
            _ => {}
        }
    }

    /// Does all that can be done now.
    pub fn advance(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Want {
        cx.shared.http.stamp.refresh(cx.time.unix_seconds);
        loop {
            let step = match &mut self.state {
                State::Idle { .. } | State::Head { .. } => self.read_head(io, cx),
                State::Body(_) => self.read_body(io, cx),
                State::Closing(finish) => Step::Wait(Want::finish(*finish)),
                _ => self.go_on(io, cx),
            };
            if let Step::Wait(want) = step {
                return want;
            }
            if cx.work.is_spent() {
                return Want::AGAIN;
            }
        }
    }

    /// Waits for a head, parses it, and begins its exchange.
    fn read_head(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step<()> {
        if io.input.is_empty() {
            return self.wait_for_head(0, io, cx);
        }
        if io.output.room() == 0 {
            return Step::Wait(Want::NOTHING);
        }
        if let State::Head { seen, .. } = self.state
            && !is_worth_parsing(io.input.bytes(), seen as usize)
            && !io.ended
        {
            return self.wait_for_head(io.input.bytes().len(), io, cx);
        }
        if io.input.bytes()[0] == TLS_HANDSHAKE {
            return self.close_tls(io.ends, cx);
        }
        let Io { input, output, ends, .. } = io;
        let number = cx.handle.number();
        let mut lines = cx.shared.http.recent.take(number);
        let step = match head::parse(input.bytes(), &mut lines) {
            Ok(Some(head)) => {
                let length = head.length;
                self.requests = self.requests.wrapping_add(1);
                self.reading = if head.persistent { Reading::KeepAlive } else { Reading::Last };
                log::trace!("#{number}.{} {} {}", self.requests, head.method_name, escape(head.raw_target));
                let began = self.began(cx);
                self.begin(&head, began, &mut Turn::new(output, *ends, self.requests, cx));
                input.consume(length);
                Step::Done(())
            }
            Ok(None) => {
                let seen = input.bytes().len();
                self.wait_for_head(seen, io, cx)
            }
            Err(reject) => {
                self.refuse_unparsed(reject, io, cx);
                Step::Done(())
            }
        };
        cx.shared.http.recent.put(number, lines);
        step
    }

    /// Waits for the rest of a head, of which `seen` bytes are there.
    fn wait_for_head(&mut self, seen: usize, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step<()> {
        let began = self.began(cx);
        let deadline = match self.state {
            State::Idle { since } if seen == 0 => since.after(self.idle_timeout(cx)),
            _ => began.after(self.header_timeout(cx)),
        };
        let late = cx.time.now >= deadline;
        if io.ended || (seen == 0 && late && !io.unread) {
            if !io.ended {
                cx.shared.http.counts.timed_out(Timeout::Idle);
                notice(cx, io.ends, self.requests, "closed, because no request came in time");
            }
            if cx.is_tapped() {
                let why = if io.ended { "by the client" } else { "no request came in time" };
                tapped::closes(why, self.requests, cx);
            }
            self.enter(State::Closing(Want::over(io.ended).finish), cx);
            return Step::Done(());
        }
        if late && seen > 0 {
            cx.shared.http.counts.timed_out(Timeout::Head);
            let reject = Reject::new(Status::REQUEST_TIMEOUT, "the head of the request came too slowly");
            self.refuse_unparsed(reject, io, cx);
            return Step::Done(());
        }
        if seen > 0 {
            self.enter(State::Head { since: began, seen: seen as u32 }, cx);
        }
        Step::Wait(Want::READ.by(deadline))
    }

    /// When the first byte of the current request was received.
    fn began(&self, cx: &Cx<'_>) -> Tick {
        if let State::Head { since, .. } = self.state { since } else { cx.time.now }
    }

    /// How long a connection may be idle. When the server shuts down, a client that has just
    /// got a response may have sent the next request already: for a short time it still gets
    /// its response, which says that the connection closes.
    fn idle_timeout(&self, cx: &Cx<'_>) -> Duration {
        let first = self.requests == 0;
        let timeout = if first { self.header_timeout(cx) } else { cx.shared.http.limits.idle_timeout };
        if cx.draining { timeout.min(limits::LINGER) } else { timeout }
    }

    /// How long a client may take to send a head, or the first byte of a connection.
    fn header_timeout(&self, cx: &Cx<'_>) -> Duration {
        let timeout = cx.shared.http.limits.header_timeout;
        // The reserve is small. A connection that isn't served must not occupy it for long.
        if self.overloaded { timeout.min(limits::LINGER) } else { timeout }
    }

    /// Closes the connection of a client that speaks TLS at a port for plain HTTP. It would
    /// understand no response.
    #[cold]
    fn close_tls(&mut self, ends: Ends<'_>, cx: &mut Cx<'_>) -> Step<()> {
        self.reading = Reading::Unread;
        tls_at_plain(cx, ends);
        self.enter(State::Closing(Finish::Linger), cx);
        Step::Done(())
    }

    /// Responds to input that isn't a request, and closes the connection.
    fn refuse_unparsed(&mut self, reject: Reject, io: &mut Io<'_>, cx: &mut Cx<'_>) {
        self.requests = self.requests.wrapping_add(1);
        self.reading = Reading::Unread;
        let began = self.began(cx);
        let host = std::rc::Rc::clone(cx.shared.http.hosts(self.hosts).default_host());
        let mut turn = Turn::new(io.output, io.ends, self.requests, cx);
        respond::refuse_unparsed(&host, io.input.bytes(), reject, began, &mut turn);
        self.end(Writing::Last, cx);
    }

    /// Handles a head: responds to the request, or begins to read its body.
    fn begin(&mut self, head: &RequestHead<'_>, began: Tick, turn: &mut Turn<'_, '_>) {
        turn.cx.work.spend(REQUEST);
        let hosts = turn.cx.shared.http.hosts(self.hosts);
        let mut exchange = resolve(head, hosts, began, turn);
        exchange.facts.persistent &= !self.overloaded;
        if turn.cx.is_tapped() {
            tapped::request(&exchange, turn);
        }
        if head.framing == Framing::None {
            let progress = dispatch::respond(&exchange, b"", self.overloaded, turn);
            self.proceed(progress, turn.cx);
        } else {
            self.begin_body(exchange, turn);
        }
    }

    fn begin_body(&mut self, mut exchange: Exchange<'_>, turn: &mut Turn<'_, '_>) {
        let head = exchange.head;
        let wanted = policy::wants_body(&exchange);
        let streamed = exchange.facts.unread.filter(|_| wanted);
        let limit = match streamed {
            Some(limit) => limit,
            None if wanted => exchange.rules().rules.body_limit,
            None => limits::DISCARDED_BODY,
        };
        let too_long = matches!(head.framing, Framing::Length(bytes) if bytes > limit);
        // A client that waits for an interim response gets the final one instead; whether
        // the body still comes is unknown. An application that may receive the body is
        // called before any of it is read.
        let never_read = too_long || (head.expect != Expect::Nothing && !wanted);
        if never_read || streamed.is_some() {
            self.reading = Reading::Unread;
            exchange.facts.persistent &= !never_read;
            let progress = if too_long && wanted {
                respond::refuse(&exchange, BODY_TOO_LARGE, turn)
            } else {
                dispatch::respond(&exchange, b"", self.overloaded, turn)
            };
            self.proceed(progress, turn.cx);
            return;
        }
        let destination = if wanted { Destination::Collect(Vec::new()) } else { Destination::Discard };
        let body = ReadingBody::new(&exchange, destination, limit, turn);
        self.enter(State::Body(body), turn.cx);
    }

    /// Reads a body, and responds when it is complete.
    fn read_body(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step<()> {
        let State::Body(body) = &mut self.state else { return Step::Done(()) };
        let timeout = cx.shared.http.limits.body_timeout;
        let read = match body.advance(timeout, io, cx) {
            Step::Wait(want) => return Step::Wait(want),
            Step::Done(read) => read,
        };
        let State::Body(body) = self.take_state(cx) else { return Step::Done(()) };
        let (head, mut facts, destination) = body.into_parts();
        let mut lines = FieldLines::default();
        let head = head::parse_again(&head, &mut lines);
        self.reading = match read {
            Read::Whole if head.persistent => Reading::KeepAlive,
            Read::Whole => Reading::Last,
            Read::Failed(_) | Read::GivenUp => Reading::Unread,
        };
        facts.persistent &= self.reading == Reading::KeepAlive;
        facts.body_at = matches!(read, Read::Whole).then_some(cx.time.now);
        let exchange = Exchange { head: &head, facts };
        let mut turn = Turn::new(io.output, io.ends, self.requests, cx);
        let progress = match (read, destination) {
            (Read::Failed(reject), _) => respond::refuse(&exchange, reject, &mut turn),
            (_, Destination::Stream(stream)) => dispatch::received(&exchange, stream, &mut turn),
            (_, Destination::Collect(content)) => dispatch::respond(&exchange, &content, self.overloaded, &mut turn),
            (_, Destination::Discard) => dispatch::respond(&exchange, b"", self.overloaded, &mut turn),
        };
        self.proceed(progress, cx);
        Step::Done(())
    }

    /// Takes the state out, since its request is answered in this call.
    fn take_state(&mut self, cx: &mut Cx<'_>) -> State {
        let answering = State::Head { since: cx.time.now, seen: 0 };
        cx.shared.http.census.leave(self.state.phase());
        cx.shared.http.census.enter(answering.phase());
        std::mem::replace(&mut self.state, answering)
    }

    /// Enters the state that a step of an exchange has returned.
    pub(super) fn proceed(&mut self, progress: Progress, cx: &mut Cx<'_>) {
        match progress {
            Progress::Complete { persistent } => self.end(Writing::whole(persistent), cx),
            Progress::Pending(state) => self.enter(state, cx),
        }
    }

    /// Counts and logs a response that took more than one turn; `unsent` bytes of it weren't sent.
    fn response_ended(&mut self, unsent: u64, cx: &mut Cx<'_>) {
        if let Some((began, size)) = self.state.response() {
            cx.shared.http.counts.ended(began, cx.time.now);
            if cx.is_tapped() {
                tapped::ended(self.requests, cx.time.now.since(began), unsent, cx);
            }
            if let Some(size) = size {
                cx.shared.http.counts.sizes.add(size);
            }
        }
        if let Some(mut entry) = self.state.take_entry() {
            entry.end(unsent, cx);
        }
    }

    /// A response has ended: waits for the next request, or closes.
    fn end(&mut self, writing: Writing, cx: &mut Cx<'_>) {
        match persistence::after(self.reading, writing) {
            None => match &mut self.state {
                // The usual case: from one request to the next.
                State::Idle { since } => *since = cx.time.now,
                _ => self.enter(State::Idle { since: cx.time.now }, cx),
            },
            Some(finish) => {
                if cx.is_tapped() {
                    tapped::closing(self.reading, writing, self.requests, cx);
                }
                self.enter(State::Closing(finish), cx);
            }
        }
    }

    /// Moves to another state.
    fn enter(&mut self, next: State, cx: &mut Cx<'_>) {
        let (from, to) = (self.state.phase(), next.phase());
        if from != to {
            log::trace!("#{}.{} {from:?} → {to:?}", cx.handle.number(), self.requests);
            cx.shared.http.census.leave(from);
            cx.shared.http.census.enter(to);
        }
        self.state = next;
    }
}

/// Compares the counts of phases and watchers with the open connections.
pub(crate) fn audit(shared: &Shared, open: &mut dyn Iterator<Item = &Http>) {
    let mut census = Census::default();
    for http in open {
        census.enter(http.state.phase());
        if let State::Watching(watching) = &http.state {
            assert!(watching.is_registered(), "the application doesn't know a watcher");
        }
    }
    assert_eq!(census, shared.census, "a phase was entered or left uncounted");
}

#[cfg(test)]
impl Http {
    /// The phase it is in.
    pub(super) fn phase(&self) -> super::census::Phase {
        self.state.phase()
    }
}

// Ten thousand idle connections need ten thousand times this.
const _: () = assert!(size_of::<Http>() <= 24);
