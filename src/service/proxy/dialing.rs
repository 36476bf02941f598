//! How an exchange gets a new connection to an upstream.
//!
//! The connection tells the exchange when it is established, and only then it is asked. So until
//! then nothing of the request was sent, and another address or upstream can be asked in its place.

use std::rc::Rc;

use super::attempts::Attempts;
use super::{ExchangeId, FromUpstream, ToUpstream, Upstream, UpstreamConnection};
use crate::http::proxying::UpstreamFailure;
use crate::reactor::{Context, Dial, Handle, Tick};
use crate::service::{Message, Service};

type Cx<'a> = Context<'a, Service>;

/// A connection that an exchange waits for.
pub(crate) struct Dialing {
    upstream: Rc<Upstream>,
    exchange: ExchangeId,
    attempts: Attempts,
    established: Option<Handle>,
}

/// What has come of it.
pub(crate) enum Dialed {
    /// Something is due at this moment.
    Waits(Tick),
    /// The connection is there, and can be asked.
    Established(Handle),
    /// There will be none.
    Failed(UpstreamFailure),
}

impl Dialing {
    /// A connection to `upstream` for an exchange.
    pub(crate) fn new(upstream: Rc<Upstream>, exchange: ExchangeId, now: Tick) -> Self {
        let attempts = Attempts::new(upstream.endpoints(), now, upstream.timeouts().connect);
        Self { upstream, exchange, attempts, established: None }
    }

    /// Takes note of a message from a connection.
    pub(crate) fn hear(&mut self, from: Handle, message: &FromUpstream, now: Tick) {
        match message {
            FromUpstream::Established if self.established.is_none() => {
                if let Some(endpoint) = self.attempts.established(from) {
                    self.upstream.prefer(&endpoint);
                    self.established = Some(from);
                }
            }
            FromUpstream::Failed(failure) => self.attempts.failed(from, *failure, now),
            // What else comes is about an attempt that was given up.
            _ => {}
        }
    }

    /// Begins the attempts that are due.
    pub(crate) fn advance(&mut self, cx: &mut Cx<'_>) -> Dialed {
        let now = cx.time.now;
        if let Some(connection) = self.established.take() {
            self.cancel(cx);
            return Dialed::Established(connection);
        }
        if let Err(failure) = self.attempts.wake(now) {
            self.cancel(cx);
            return Dialed::Failed(failure);
        }
        while let Some(endpoint) = self.attempts.due(now) {
            let connection = UpstreamConnection::new(Rc::clone(&self.upstream), self.exchange, now);
            let dial = Dial { endpoint: endpoint.clone(), tls: self.upstream.tls() };
            let connection = cx.connect(dial, Service::Upstream(Box::new(connection)));
            self.attempts.begun(connection, endpoint);
        }
        self.attempts.wake(now).map_or_else(Dialed::Failed, Dialed::Waits)
    }

    /// Gives up what has begun.
    pub(crate) fn cancel(&self, cx: &mut Cx<'_>) {
        for connection in self.attempts.open().chain(self.established) {
            cx.send(connection, Message::ToUpstream(self.exchange, ToUpstream::Cancel));
        }
    }
}
