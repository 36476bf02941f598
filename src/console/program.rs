//! A command whose loop has datagram sockets and no connections: `miod udp`, `ping`
//! and `heartbeat`.
//!
//! [`run`] attaches the sockets, empties the output queue between turns and ends with
//! the first SIGINT or SIGTERM, which the state machines see as draining: they print
//! their summary.

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Destination, OutputQueue};
use crate::limits;
use crate::logging::Log;
use crate::reactor::{
    Accepted, Context, DatagramProtocol, DatagramSocket, Io, Options, Protocol, Reactor, Signal, Time, Until, Want,
};

/// The protocol of the loop: there are no connections.
pub struct Program<D> {
    never: Infallible,
    datagrams: PhantomData<fn() -> D>,
}

/// What the sockets share.
#[derive(Default)]
pub struct Shared {
    /// What is printed.
    pub output: OutputQueue,
    /// The command reached its purpose; its exit code reports that.
    pub succeeded: bool,
    log: Log,
}

/// What a call of a state machine gets.
pub type ProgramContext<'a, D> = Context<'a, Program<D>>;

impl<D: DatagramProtocol<Self>> Protocol for Program<D> {
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

/// Runs `machines` on their sockets until all are over or a signal ends them. `ready` is
/// called with the addresses when peers can send. True if the command reached its purpose.
///
/// # Errors
/// What the system says to the poll or the sockets.
pub fn run<D: DatagramProtocol<Program<D>>>(
    machines: Vec<(DatagramSocket, D)>,
    log: &Log,
    ready: impl FnOnce(&[SocketAddr]),
) -> io::Result<bool> {
    let shared = Shared { log: log.clone(), ..Shared::default() };
    let mut reactor = Reactor::<Program<D>>::new(shared, Options::default())?;
    reactor.shared().output = OutputQueue::new(Destination::Stdout, reactor.closer());
    reactor.take_signals(&[Signal::Terminate, Signal::Interrupt])?;
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
