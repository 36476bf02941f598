//! A connection to an upstream: one exchange after the other.
//!
//! ```text
//! new ─▶ established: the exchange that waits for it is told
//!          │
//! idle ◀───┴──────────── response and request are complete, both persist ───────┐
//!  │ Ask                                                                        │
//!  └───▶ the head is written ─▶ content, as far as it comes ─▶ response is read ┤
//!                                                                               └─▶ closed
//! ```
//!
//! Nothing is written before the connection is established, and nothing to one that the upstream has
//! closed; so a request that wasn't written can be sent elsewhere. It reads only what its exchange
//! has room for (`exchange`). What an upstream says about its framing isn't passed on: the content is
//! taken out of it, and a response that is ambiguous, or cut, fails.
//!
//! A connection that has become a tunnel is one until it closes (`tunnel`).

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use super::exchange::{Exchange, send};
use super::{BESIDE, ExchangeId, Flow, FromUpstream, Passing, ToUpstream, TunnelEnd, Upstream};
use crate::http::proxying::UpstreamFailure;
use crate::limits;
use crate::reactor::{Bytes, Ending, Finish, Io, NoteOn, Tick, TlsFailure, Want};
use crate::service::Cx;

/// The protocol of the connection.
pub struct UpstreamConnection {
    upstream: Rc<Upstream>,
    /// Messages that weren't acted on.
    inbox: VecDeque<(ExchangeId, ToUpstream)>,
    exchange: Option<Exchange>,
    /// The exchange that waits for a new connection.
    waiting: Option<ExchangeId>,
    established: bool,
    /// When it was asked for, was established, or became idle.
    since: Tick,
    /// Requests so far.
    requests: u32,
    /// Why it can't be used any more.
    failure: Option<UpstreamFailure>,
    /// The exchange doesn't want its response.
    cancelled: bool,
    /// Its last response was read.
    is_over: bool,
}

impl UpstreamConnection {
    /// A connection that was just asked for by an exchange, which is told when it is established.
    pub(super) fn new(upstream: Rc<Upstream>, exchange: ExchangeId, now: Tick) -> Self {
        Self {
            upstream,
            inbox: VecDeque::new(),
            exchange: None,
            waiting: Some(exchange),
            established: false,
            since: now,
            requests: 0,
            failure: None,
            cancelled: false,
            is_over: false,
        }
    }

    /// Takes note of a message.
    pub fn deliver(&mut self, from: ExchangeId, message: ToUpstream) {
        if let Some(Exchange { id, tunnel: Some(end), .. }) = &mut self.exchange
            && *id == from
        {
            Flow::of_client(message).into_iter().for_each(|flow| end.deliver(flow));
            return;
        }
        self.inbox.push_back((from, message));
    }

    /// The cache may have room again.
    pub fn woken(&mut self) {
        if let Some(growing) = self.exchange.as_mut().and_then(|exchange| exchange.growing.as_mut()) {
            growing.is_paused = false;
        }
    }

    /// Bytes of memory that it holds beyond its own size.
    pub fn memory(&self) -> usize {
        let pieces = self.inbox.iter().filter_map(|(_, message)| message.piece());
        let tunnel = self.exchange.as_ref().and_then(|exchange| exchange.tunnel.as_ref());
        let inbox = Bytes::memory_of(pieces) + self.inbox.iter().map(|(_, message)| message.memory()).sum::<usize>();
        size_of::<Self>() + inbox + tunnel.map_or(0, TunnelEnd::memory)
    }

    /// Writes what the exchange sends, and reads what it has room for.
    pub fn advance(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Want {
        if io.established && !self.established {
            (self.established, self.since) = (true, cx.time.now);
            if let Some(id) = self.waiting {
                send(id, FromUpstream::Established, cx);
            }
        }
        self.take_room(cx);
        self.take_messages(io, cx);
        if self.cancelled || self.failure.is_some() {
            return Want::finish(Finish::Abort);
        }
        if let Err(failure) = self.read(io, cx) {
            self.failure = Some(failure);
            return Want::finish(Finish::Abort);
        }
        if let Some(want) = self.pass(io, cx) {
            return want;
        }
        match &mut self.exchange {
            Some(exchange) => {
                exchange.announce_room(io, cx);
                self.wait(io, cx)
            }
            None => self.wait_idle(io, cx),
        }
    }

    /// Takes note of the room that the exchange has. If that waited behind content that the upstream
    /// doesn't take, the two directions could wait for each other.
    fn take_room(&mut self, cx: &Cx<'_>) {
        let Some(exchange) = &mut self.exchange else { return };
        exchange.set_window(cx.window());
        self.inbox.retain(|(id, message)| match message {
            ToUpstream::Room(taken) if *id == exchange.id => {
                exchange.give_room(*taken, cx.time.now);
                false
            }
            _ => true,
        });
    }

    /// Acts on what the exchange says, while the output has room.
    fn take_messages(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) {
        while io.output.room() > 0 {
            let Some((id, message)) = self.inbox.pop_front() else { return };
            match message {
                // It wouldn't be answered: it stays for another connection.
                ToUpstream::Ask(_) if io.ended || !io.input.is_empty() => {
                    self.waiting = None;
                    return self.inbox.push_front((id, message));
                }
                ToUpstream::Ask(ask) => self.begin(Exchange::ask(id, *ask, io, cx), cx),
                ToUpstream::Connect => {
                    let exchange = Exchange::connect(id, cx);
                    self.begin(exchange, cx);
                }
                ToUpstream::Cancel if self.waiting == Some(id) => self.cancelled = true,
                // What is about an exchange that is over changes nothing.
                message => {
                    if let Some(exchange) = self.exchange.as_mut().filter(|exchange| exchange.id == id) {
                        self.cancelled |= !exchange.hear(message, io, cx.time.now);
                    }
                }
            }
        }
    }

    fn begin(&mut self, exchange: Exchange, cx: &mut Cx<'_>) {
        self.waiting = None;
        self.requests = self.requests.saturating_add(1);
        if cx.is_tapped() {
            self.note_purpose(exchange.id, cx);
        }
        self.exchange = Some(exchange);
    }

    /// Tells the tap whose request is sent.
    #[cold]
    fn note_purpose(&self, ExchangeId { client, request }: ExchangeId, cx: &mut Cx<'_>) {
        let (own, number, client) = (cx.handle.number(), self.requests, client.number());
        let purpose = match request {
            BESIDE => format!("to renew what is stored, after a request of connection {client}"),
            request => format!("for connection {client}, request {request}"),
        };
        cx.note(NoteOn::Sending, format_args!("connection {own}, request {number}: {purpose}"));
    }

    /// Reads the response, as far as the exchange has room for it.
    fn read(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Result<(), UpstreamFailure> {
        loop {
            let Some(exchange) = &mut self.exchange else {
                // Nobody has asked for anything. One who waits may want what the upstream says first.
                let is_fine = io.input.is_empty() || self.waiting.is_some();
                return if is_fine { Ok(()) } else { Err(UpstreamFailure::Malformed("nobody has asked")) };
            };
            if cx.work.is_spent() || exchange.tunnel.is_some() {
                return Ok(());
            }
            let was_something = exchange.read(&self.upstream, io, cx)?;
            if exchange.is_read() {
                self.upstream.works(cx.time.now);
                self.end(io, cx);
            } else if !was_something {
                if io.ended && exchange.end_of_input(io)? {
                    self.end(io, cx);
                }
                return Ok(());
            }
        }
    }

    /// The response is complete.
    fn end(&mut self, io: &Io<'_>, cx: &mut Cx<'_>) {
        let Some(exchange) = self.exchange.take() else { return };
        self.since = cx.time.now;
        let persists = exchange.end(io, cx) && self.requests < limits::UPSTREAM_REQUESTS;
        self.is_over = !persists || cx.draining || !self.upstream.keep_idle(cx.handle);
    }

    /// Passes bytes on, if the connection is a tunnel. Returns what it wants then.
    fn pass(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Option<Want> {
        let Exchange { id, tunnel: Some(end), .. } = self.exchange.as_mut()? else { return None };
        self.upstream.works(cx.time.now);
        while let Some(piece) = end.take_arrived(io, cx.time.now) {
            io.output.share(piece);
        }
        while let Some(flow) = end.next(io, cx) {
            send(*id, flow.into(), cx);
        }
        Some(match end.passing(io) {
            Passing::On(want) => want,
            Passing::Over => {
                self.exchange = None;
                Want::finish(Finish::Close)
            }
            Passing::Lost => {
                self.cancelled = true;
                Want::finish(Finish::Abort)
            }
        })
    }

    /// Waits for the upstream or for the exchange.
    fn wait(&mut self, io: &Io<'_>, cx: &Cx<'_>) -> Want {
        if cx.work.is_spent() && !io.input.is_empty() {
            return Want::AGAIN;
        }
        let Some(exchange) = &self.exchange else { return Want::finish(Finish::Close) };
        let Some(deadline) = exchange.deadline(self.upstream.timeouts()) else { return Want::NOTHING };
        if cx.time.now >= deadline {
            self.failure = Some(UpstreamFailure::ResponseTimeout);
            return Want::finish(Finish::Abort);
        }
        exchange.want().by(deadline)
    }

    /// Waits until the connection is established, and for the next request.
    fn wait_idle(&mut self, io: &Io<'_>, cx: &Cx<'_>) -> Want {
        let late = if self.established { limits::UPSTREAM_IDLE } else { self.upstream.timeouts().connect };
        let deadline = self.since.after(late);
        let is_late = cx.time.now >= deadline;
        if is_late && !self.established {
            self.failure = Some(UpstreamFailure::ConnectTimeout);
            return Want::finish(Finish::Abort);
        }
        if self.is_over || io.ended || is_late || (cx.draining && self.waiting.is_none()) {
            self.upstream.forget_idle(cx.handle);
            return Want::finish(Finish::Close);
        }
        Want::READ.by(deadline)
    }

    /// The connection is over, or was never made.
    pub fn closed(&mut self, ending: &Ending, cx: &mut Cx<'_>) {
        self.upstream.forget_idle(cx.handle);
        if let Some(exchange) = &mut self.exchange {
            let is_read_in_store = exchange.is_read_in_store();
            if let Some(growing) = exchange.growing.take() {
                growing.end(false, exchange.id, cx);
            }
            if is_read_in_store {
                return;
            }
        }
        // The request may still be among the messages.
        let asked = self.inbox.iter().find(|(_, message)| matches!(message, ToUpstream::Ask(_) | ToUpstream::Connect));
        if let Some((id, _)) = asked {
            return send(*id, FromUpstream::Unasked, cx);
        }
        // One that was told that the connection is there finds that it is gone when it asks.
        let waiting = self.waiting.filter(|_| !self.established);
        let exchange = self.exchange.as_ref().map(|exchange| exchange.id).or(waiting);
        let Some(id) = exchange.filter(|_| !self.cancelled) else { return };
        let failure = self.failure.unwrap_or_else(|| reason(ending, self.established));
        let cause = ending.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        log::debug!("#{} to {}: {failure}{cause}", cx.handle.number(), self.upstream.url);
        send(id, FromUpstream::Failed(failure), cx);
    }
}

/// Why a connection has ended.
fn reason(ending: &Ending, established: bool) -> UpstreamFailure {
    let error = ending.error.as_ref();
    match error.and_then(TlsFailure::of) {
        None => {}
        Some(TlsFailure::Untrusted(_)) => return UpstreamFailure::Untrusted,
        Some(_) => return UpstreamFailure::Tls,
    }
    match (established, error.map(io::Error::kind)) {
        (false, Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)) => UpstreamFailure::Refused,
        (false, Some(io::ErrorKind::TimedOut)) => UpstreamFailure::ConnectTimeout,
        (false, _) => UpstreamFailure::Unreachable,
        (true, _) => UpstreamFailure::Closed,
    }
}
