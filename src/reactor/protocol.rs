//! The contract between the reactor and what runs on it.
//!
//! A protocol is a pure state machine: octets in, octets out, the time as an
//! argument. It makes no system call, holds no socket, knows no other protocol
//! but by [`Handle`], and never says "wake me when writable". It leaves octets
//! in the output, or room unused, and is called again when that changes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::buffers::{Input, Output};
use super::clock::{Tick, Time};
use super::datagram::DatagramProtocol;
use super::endpoint::Endpoint;
use super::signals::Signal;
use super::slots::Handle;
use super::transport::{Peer, Socket};

/// A state machine that lives on one stream connection.
pub trait Protocol: Sized + 'static {
    /// What all connections share: configuration, caches, stores. Lent with each call.
    type Shared;
    /// What one connection, or a job of the helper thread, tells another.
    type Message: Send + 'static;
    /// What lives on datagram sockets beside it; [`NoDatagrams`](super::NoDatagrams)
    /// if there are none.
    type Datagrams: DatagramProtocol<Self>;

    /// Makes the state machine of a connection that was just accepted, or
    /// refuses it, before anything of it is read.
    fn open(accepted: &Accepted<'_>, cx: &mut Context<'_, Self>) -> Option<Self>;

    /// Takes note of a message. Record only; `advance`, which follows, acts on it.
    fn deliver(&mut self, message: Self::Message);

    /// Does all that can be done now, with these octets, this room, this time,
    /// and says what is wanted next. Idempotent: called again with nothing
    /// changed, it changes nothing.
    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want;

    /// Octets of memory that it holds beyond its own size and the lent buffers: what
    /// [`Options::memory`](super::Options::memory) bounds.
    fn memory(&self) -> usize {
        0
    }

    /// The connection is over, or never came to be.
    fn closed(&mut self, _ending: Ending, _ends: Ends<'_>, _cx: &mut Context<'_, Self>) {}

    /// A signal arrived.
    fn signal(_signal: Signal, _cx: &mut Context<'_, Self>) {}

    /// The descriptor that was registered under `source` is readable, or may be.
    /// Called before any connection of the same turn, and once more before those
    /// that were accepted in it.
    fn source_ready(_source: usize, _shared: &mut Self::Shared) {}

    /// Called before each wait for events; `quiet` if the last wait brought
    /// none. What it returns bounds the wait.
    fn before_wait(_shared: &mut Self::Shared, _time: Time, _quiet: bool) -> Option<Duration> {
        None
    }

    /// Compares the counts that `shared` keeps with the connections there are.
    /// Called in debug builds only.
    fn audit(_shared: &Self::Shared, _open: &mut dyn Iterator<Item = &Self>) {}
}

/// What a protocol wishes now. Computed anew by every `advance`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Want {
    /// More input. This holds until the next call: what has come by then is read before it.
    pub read: bool,
    /// To be called at this moment at the latest.
    pub wake: Option<Tick>,
    /// To end the connection.
    pub finish: Finish,
}

impl Want {
    /// More input, no deadline.
    pub const READ: Self = Self { read: true, wake: None, finish: Finish::No };
    /// Nothing but what is already on its way: room in the output, a message.
    pub const NOTHING: Self = Self { read: false, wake: None, finish: Finish::No };

    /// The end, in this way.
    pub const fn finish(finish: Finish) -> Self {
        Self { read: false, wake: None, finish }
    }

    /// The end after the last output: [`Finish::Close`] if the peer has
    /// ended its input, [`Finish::Linger`] if more may still be on its way, since
    /// a close would then cost the peer our last octets.
    pub const fn over(peer_ended: bool) -> Self {
        Self::finish(if peer_ended { Finish::Close } else { Finish::Linger })
    }

    /// The same, and to be called at `tick` at the latest.
    pub const fn by(mut self, tick: Tick) -> Self {
        self.wake = Some(tick);
        self
    }
}

/// How a connection ends, after all output is sent (but for `Abort`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finish {
    /// Not yet.
    No,
    /// No more output will come; input goes on.
    HalfClose,
    /// It is over and the peer owes nothing. If input is unread all the same,
    /// this is `Linger`.
    Close,
    /// It is over, but the peer may still be sending. A close now would make the
    /// peer's system throw away what it hasn't read, so: end the output, read
    /// and discard until the peer ends too, or for [`Options::linger`](super::Options::linger).
    Linger,
    /// At once, with a reset; unsent output is dropped, in the kernel too.
    Abort,
}

/// How a connection ended.
#[derive(Debug)]
pub struct Ending {
    /// Octets of the output that didn't go out.
    pub unsent: u64,
    /// What ended it, if that wasn't the protocol's own wish: why it couldn't be
    /// made, why it couldn't be read or written any longer, or `TimedOut` if the
    /// peer took its output too slowly.
    pub error: Option<io::Error>,
}

impl Ending {
    /// The end that was wished for.
    pub(super) const PROPER: Self = Self { unsent: 0, error: None };
}

/// A connection's octets, as lent to its protocol.
pub struct Io<'a> {
    /// Received and not yet consumed.
    pub input: &'a mut Input,
    /// To be sent.
    pub output: &'a mut Output,
    /// Whether the input has ended: the peer closed, or half-closed.
    pub ended: bool,
    /// Whether there may be input that wasn't read yet.
    pub unread: bool,
    /// Whether the peer is gone altogether: nothing that is sent will arrive.
    pub gone: bool,
    /// Whether the connection is there. One that was asked for by
    /// [`Context::connect`] may not be yet; what is written to it waits.
    pub established: bool,
    /// The two ends.
    pub ends: Ends<'a>,
}

/// The addresses of a connection.
#[derive(Clone, Copy)]
pub struct Ends<'a> {
    pub(super) peer: Peer,
    pub(super) listener: Option<&'a SocketAddr>,
    pub(super) socket: Option<&'a Socket>,
}

impl<'a> Ends<'a> {
    /// Ends that are no real sockets; for tests.
    pub fn imagined(peer: SocketAddr, local: &'a SocketAddr) -> Self {
        Ends { peer: Peer::new(Some(peer)), listener: Some(local), socket: None }
    }

    /// The peer's address and port; none on a unix-domain socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer.address()
    }

    /// The local address and port; none on a unix-domain socket. Costs a system
    /// call if the listener is bound to the unspecified address, or if there is no
    /// listener since the connection was asked for here.
    pub fn local(&self) -> Option<SocketAddr> {
        match self.listener.copied() {
            Some(address) if !address.ip().is_unspecified() => Some(address),
            listener => self.socket.and_then(Socket::local).or(listener),
        }
    }
}

/// A connection that was just accepted.
pub struct Accepted<'a> {
    /// What was given when the listener was added: which service it is for.
    pub service: usize,
    /// The two ends.
    pub ends: Ends<'a>,
    /// There are as many connections as there should be. This one is accepted
    /// from the reserve, to be told so and closed.
    pub overloaded: bool,
}

/// What is lent with each call beside the octets.
pub struct Context<'a, P: Protocol> {
    /// What all connections share.
    pub shared: &'a mut P::Shared,
    /// This turn's time.
    pub time: Time,
    /// Which connection is being called.
    pub handle: Handle,
    /// The reactor is shutting down: what is in flight is finished, nothing new begun.
    pub draining: bool,
    pub(super) effects: &'a mut Vec<Effect<P>>,
}

/// A job for the helper thread.
pub(super) type Job<M> = Box<dyn FnOnce() -> M + Send>;

/// What a protocol asks of the reactor beyond its own connection; carried out
/// when its call has returned.
pub(super) enum Effect<P: Protocol> {
    Send(Handle, P::Message),
    Run(Handle, Job<P::Message>),
    Connect(Endpoint, P),
    Drain(Duration),
    Quit,
}

impl<'a, P: Protocol> Context<'a, P> {
    /// Delivers `message` to another connection, if it is still there.
    pub fn send(&mut self, to: Handle, message: P::Message) {
        self.effects.push(Effect::Send(to, message));
    }

    /// Runs `job`, which may block, on the helper thread. What it returns is
    /// delivered to this connection, if it is still there.
    pub fn run(&mut self, job: impl FnOnce() -> P::Message + Send + 'static) {
        self.effects.push(Effect::Run(self.handle, Box::new(job)));
    }

    /// Connects to `to`; `protocol` lives on that connection and is advanced from
    /// now on, whether it is there already or not: what it writes waits. How long
    /// that may take it decides by its own deadline; that it failed
    /// [`Protocol::closed`] tells. The new protocol finds its name in
    /// [`Context::handle`], and can send it to whoever asked for it.
    pub fn connect(&mut self, to: Endpoint, protocol: P) {
        self.effects.push(Effect::Connect(to, protocol));
    }

    /// Shuts down in good order: listeners close now, connections when they have
    /// finished what is in flight, at the latest after `grace`.
    pub fn drain(&mut self, grace: Duration) {
        self.effects.push(Effect::Drain(grace));
    }

    /// Ends the loop now, whatever is in flight.
    pub fn quit(&mut self) {
        self.effects.push(Effect::Quit);
    }
}

/// A context outside any reactor, for tests and benches of one protocol.
pub struct Solitude<P: Protocol> {
    effects: Vec<Effect<P>>,
    handle: Handle,
}

impl<P: Protocol> Default for Solitude<P> {
    fn default() -> Self {
        Self::of(Handle::imagined(1))
    }
}

impl<P: Protocol> Solitude<P> {
    /// For the connection that is called so.
    pub fn of(handle: Handle) -> Self {
        Self { effects: Vec::new(), handle }
    }
}

impl<P: Protocol> Solitude<P> {
    /// A context at `time` for a protocol that lives alone.
    pub fn context<'a>(&'a mut self, shared: &'a mut P::Shared, time: Time, draining: bool) -> Context<'a, P> {
        Context { shared, time, handle: self.handle, draining, effects: &mut self.effects }
    }

    /// Runs the jobs that the protocol asked for, here and now: the messages that they
    /// deliver, and those it sent to itself.
    pub fn run_jobs(&mut self) -> Vec<P::Message> {
        let own = self.handle;
        let own = move |effect: &mut Effect<P>| match effect {
            Effect::Run(..) => true,
            Effect::Send(to, _) => *to == own,
            _ => false,
        };
        let messages = self.effects.extract_if(.., own).filter_map(|effect| match effect {
            Effect::Run(_, job) => Some(job()),
            Effect::Send(_, message) => Some(message),
            _ => None,
        });
        messages.collect()
    }

    /// The messages that it sent to others, and to whom.
    pub fn sent(&mut self) -> Vec<(Handle, P::Message)> {
        let sent = self.effects.extract_if(.., |effect| matches!(effect, Effect::Send(..)));
        sent.filter_map(|effect| if let Effect::Send(to, message) = effect { Some((to, message)) } else { None })
            .collect()
    }
}
