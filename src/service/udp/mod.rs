//! What runs on datagram sockets: services that answer, and the tools that ask.
//!
//! ```text
//! answer     upper, echo: over a network as bad as one wishes (fate)
//! ping       asks such a service, and tells how long answers take
//! heartbeat  tells a watcher that it lives
//! watch      the watcher: who lives, since when not, and what was lost
//! ```
//!
//! Each is a state machine in a file of its own. None runs beside connections, so
//! each has a reactor with nothing but datagrams, as a [`Tool`]: its lines go into
//! the shared report, a signal ends it in good order, with its summary.

pub mod answer;
pub mod fate;
pub mod heartbeat;
pub mod ping;
mod spread;
mod stamp;
#[cfg(test)]
pub(crate) mod testing;
pub mod watch;

use std::convert::Infallible;
use std::marker::PhantomData;
use std::time::Duration;

use super::report::Report;
use crate::limits;
use crate::reactor::{Accepted, Context, DatagramProtocol, Io, Protocol, Signal, Tick, Time, Want};

/// A program that is a datagram protocol and nothing else.
pub struct Tool<D> {
    never: Infallible,
    datagrams: PhantomData<fn() -> D>,
}

/// What a tool's machines share.
#[derive(Default)]
pub struct Shared {
    /// What is told.
    pub report: Report,
    /// The tool found what it was looking for.
    pub success: bool,
}

impl<D: DatagramProtocol<Self>> Protocol for Tool<D> {
    type Shared = Shared;
    type Message = Infallible;
    type Datagrams = D;

    fn open(_: &Accepted<'_>, _: &mut Context<'_, Self>) -> Option<Self> {
        None
    }

    fn deliver(&mut self, message: Infallible) {
        match message {}
    }

    fn advance(&mut self, _: &mut Io<'_>, _: &mut Context<'_, Self>) -> Want {
        match self.never {}
    }

    fn signal(_: Signal, cx: &mut Context<'_, Self>) {
        if cx.draining {
            cx.quit();
        } else {
            cx.drain(limits::DRAIN_GRACE);
        }
    }

    fn before_wait(shared: &mut Shared, _: Time, _: bool) -> Option<Duration> {
        shared.report.write_out();
        None
    }
}

/// When something is due that was due at `last` and is once an interval. What was
/// missed, because the machine slept, isn't made up for.
fn following(last: Tick, interval: Duration, now: Tick) -> Tick {
    let next = last.after(interval);
    if next > now { next } else { now.after(interval) }
}
