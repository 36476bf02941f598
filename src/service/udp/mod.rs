//! What runs on datagram sockets: services that answer, and the tools that ask.
//!
//! ```text
//! answer     upper, echo: over a network as bad as one wishes (fate)
//! ping       asks such a service, and tells how long answers take
//! heartbeat  tells a watcher that it lives
//! watch      the watcher: who lives, since when not, and what was lost
//! ```
//!
//! Each is a state machine in a file of its own, and a variant of [`Machine`]. What it
//! has to tell goes into the shared report; a shut-down ends it with its summary.

pub mod answer;
pub mod fate;
pub mod heartbeat;
pub mod ping;
mod spread;
mod stamp;
#[cfg(test)]
pub(crate) mod testing;
pub mod watch;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::Service;
use crate::reactor::{Context, DatagramProtocol, Outbox, Stay, Tick};
use answer::Answerer;
use heartbeat::Heart;
use ping::Ping;
use watch::Watch;

/// A datagram protocol of ours.
pub enum Machine {
    /// See [`answer`].
    Answerer(Answerer),
    /// See [`ping`].
    Ping(Ping),
    /// See [`heartbeat`].
    Heart(Heart),
    /// See [`watch`].
    Watch(Watch),
}

/// `$call` on whichever machine it is.
macro_rules! each {
    ($machine:expr, $inner:ident => $call:expr) => {
        match $machine {
            Machine::Answerer($inner) => $call,
            Machine::Ping($inner) => $call,
            Machine::Heart($inner) => $call,
            Machine::Watch($inner) => $call,
        }
    };
}

impl DatagramProtocol<Service> for Machine {
    fn opened(&mut self, local: SocketAddr) {
        each!(self, machine => machine.opened(local));
    }

    fn received(&mut self, datagram: &[u8], from: SocketAddr, out: &mut Outbox, cx: &mut Context<'_, Service>) {
        each!(self, machine => machine.received(datagram, from, out, cx));
    }

    fn advance(&mut self, out: &mut Outbox, cx: &mut Context<'_, Service>) -> Stay {
        each!(self, machine => machine.advance(out, cx))
    }

    fn failed(&mut self, error: &io::Error, to: Option<SocketAddr>, cx: &mut Context<'_, Service>) {
        each!(self, machine => machine.failed(error, to, cx));
    }
}

/// When something is due that was due at `last` and is once an interval. What was
/// missed, because the machine slept, isn't made up for.
fn following(last: Tick, interval: Duration, now: Tick) -> Tick {
    let next = last.after(interval);
    if next > now { next } else { now.after(interval) }
}
