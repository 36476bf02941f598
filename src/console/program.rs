//! A command whose loop has datagram sockets and no connections: `miod udp`, `ping`
//! and `heartbeat`.
//!
//! [`run`] attaches the sockets, empties the output queue between turns and ends with
//! the first SIGINT or SIGTERM, which the state machines see as draining: they print
//! their summary.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Destination, OutputQueue};
use crate::limits;
use crate::logging::Log;
use crate::reactor::{
    Accepted, Context, DatagramProtocol, DatagramSocket, Io, Options, Outbox, Protocol, Reactor, Signal, Stay, Time,
    Until, Want,
};
use crate::tap::Tap;

/// The protocol of the loop: there are no connections.
pub enum Program {}

/// A state machine on a datagram socket. There are few, so one loop for all of them by
/// `dyn` is better than a copy of the loop for each: 25 kB of code.
pub type Machine = Box<dyn DatagramProtocol<Program>>;

/// What the sockets share.
#[derive(Default)]
pub struct Shared {
    /// The output queue.
    pub output: OutputQueue,
    /// The command was successful; its exit code reports that.
    pub succeeded: bool,
    log: Log,
}

/// What a call of a state machine gets.
pub type ProgramContext<'a> = Context<'a, Program>;

impl Protocol for Program {
    type Shared = Shared;
    type Listener = ();
    type Message = Infallible;
    type Outcome = Infallible;
    type Datagrams = Machine;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        None
    }

    fn advance(&mut self, _: &mut Io<'_>, _: &mut Context<'_, Self>) -> Want {
        match *self {}
    }

    fn signal(signal: Signal, cx: &mut Context<'_, Self>) {
        match signal {
            Signal::Terminate | Signal::Interrupt if cx.draining => cx.quit(),
            Signal::Terminate | Signal::Interrupt => cx.drain(limits::DRAIN_GRACE),
            Signal::Hangup | Signal::User1 | Signal::User2 => {}
        }
    }

    fn before_wait(shared: &mut Shared, time: Time, quiet: bool) -> Option<Duration> {
        shared.output.flush();
        shared.log.before_wait(time.now, quiet)
    }
}

impl DatagramProtocol<Program> for Machine {
    fn opened(&mut self, local: SocketAddr) {
        (**self).opened(local);
    }

    fn received(&mut self, datagram: &[u8], from: SocketAddr, out: &mut Outbox, cx: &mut ProgramContext<'_>) {
        (**self).received(datagram, from, out, cx);
    }

    fn advance(&mut self, out: &mut Outbox, cx: &mut ProgramContext<'_>) -> Stay {
        (**self).advance(out, cx)
    }

    fn failed(&mut self, error: &io::Error, to: Option<SocketAddr>, cx: &mut ProgramContext<'_>) {
        (**self).failed(error, to, cx);
    }
}

/// Runs `machines` on their sockets until all are over or a signal ends them. `ready` is
/// called with the addresses when peers can send. Returns whether the command was successful.
///
/// # Errors
/// The error of the poll or of a socket.
pub fn run(
    machines: Vec<(DatagramSocket, Machine)>,
    log: &Log,
    tap: Option<Tap>,
    ready: impl FnOnce(&[SocketAddr]),
) -> io::Result<bool> {
    let shared = Shared { log: log.clone(), ..Shared::default() };
    let mut reactor = Reactor::<Program>::new(shared, Options::default())?;
    reactor.shared().output = OutputQueue::new(Destination::Stdout, reactor.closer());
    reactor.take_signals(&[Signal::Terminate, Signal::Interrupt])?;
    tap.map(|tap| tap.attach(&mut reactor)).transpose()?;
    let addresses: Vec<_> = machines.iter().map(|(socket, _)| socket.address()).collect();
    for (socket, machine) in machines {
        reactor.attach(socket, machine)?;
    }
    ready(&addresses);
    let result = reactor.run(Until::Idle);
    reactor.shared().output.flush();
    log.flush();
    result?;
    Ok(reactor.shared().succeeded)
}
