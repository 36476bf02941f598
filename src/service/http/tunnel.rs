//! The exchange that has become a tunnel: the client's end of it (`service/proxy/tunnel`).
//!
//! It is over when both directions have ended, and counts and is logged then, with the bytes that
//! the client was sent. If no byte moves in either direction for the time of `--tunnel-timeout`, both
//! connections are reset: nobody is to take that for a proper end. A shutdown waits for it as for
//! other exchanges.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::body_writer::BodyWriter;
use super::counts::Timeout;
use super::persistence::Writing;
use super::step::Step;
use crate::reactor::{Handle, Io, Tick};
use crate::service::proxy::{Chosen, ExchangeId, Flow, FromUpstream, Passing, Queue, ToUpstream, TunnelEnd};
use crate::service::{Cx, Message};

/// The way to an upstream.
pub(super) struct Link {
    pub(super) id: ExchangeId,
    /// It counts as a request of the upstream.
    pub(super) chosen: Chosen,
    pub(super) connection: Handle,
    /// What came from it and wasn't acted on.
    pub(super) inbox: VecDeque<(Handle, FromUpstream)>,
}

/// A tunnel.
pub(super) struct Tunnel {
    id: ExchangeId,
    /// It counts as a request of the upstream until this is dropped.
    _chosen: Chosen,
    /// The exchanges that wait until it has ended.
    queue: Rc<Queue>,
    /// The longest time without a byte.
    timeout: Duration,
    /// The connection to the upstream.
    connection: Handle,
    end: TunnelEnd,
    /// Counts what is sent to the client.
    pub(super) body: BodyWriter,
}

impl Tunnel {
    /// The tunnel that goes on after its head was written.
    pub(super) fn new(link: Link, queue: Rc<Queue>, timeout: Duration, body: BodyWriter, now: Tick) -> Self {
        let Link { id, chosen, connection, inbox } = link;
        let end = TunnelEnd::new(now);
        let mut this = Self { id, _chosen: chosen, queue, timeout, connection, end, body };
        inbox.into_iter().for_each(|(from, message)| this.deliver(from, id, message));
        this
    }

    /// Takes note of a message from the upstream.
    pub(super) fn deliver(&mut self, from: Handle, id: ExchangeId, message: FromUpstream) {
        // Other connections are attempts that were given up.
        if (from, id) == (self.connection, self.id)
            && let Some(flow) = Flow::of_upstream(message)
        {
            self.end.deliver(flow);
        }
    }

    /// A message to the upstream didn't arrive: its connection is gone.
    pub(super) fn undelivered(&mut self, to: Handle, id: ExchangeId) {
        if (to, id) == (self.connection, self.id) {
            self.end.deliver(Flow::Lost);
        }
    }

    /// The client is gone.
    pub(super) fn cancel(&self, cx: &mut Cx<'_>) {
        self.tell(Flow::Lost, cx);
    }

    /// It is over: an exchange may begin at its upstream.
    pub(super) fn make_room(&self, cx: &mut Cx<'_>) {
        self.queue.wake(self.id, cx);
    }

    fn tell(&self, flow: Flow, cx: &mut Cx<'_>) {
        cx.send(self.connection, Message::ToUpstream(self.id, ToUpstream::from(flow)));
    }

    /// Bytes of memory that it holds beyond its own size.
    pub(super) fn memory(&self) -> usize {
        self.end.memory() + self.body.memory()
    }

    /// Passes on what is there, in both directions.
    pub(super) fn advance(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step<Writing> {
        while let Some(piece) = self.end.take_arrived(io, cx.time.now) {
            self.body.share(piece, io.output, cx);
        }
        while let Some(flow) = self.end.next(io, cx) {
            self.tell(flow, cx);
        }
        let want = match self.end.passing(io) {
            Passing::On(want) => want,
            Passing::Over => return Step::Done(Writing::Last),
            Passing::Lost => return Step::Done(Writing::Abort),
        };
        let deadline = self.end.moved().after(self.timeout);
        if cx.time.now >= deadline {
            cx.shared.http.counts.timed_out(Timeout::Tunnel);
            self.cancel(cx);
            return Step::Done(Writing::Abort);
        }
        Step::Wait(want.by(deadline))
    }
}
