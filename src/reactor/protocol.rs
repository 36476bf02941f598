//! The contract between the reactor and what runs on it.
//!
//! A protocol is a pure state machine: bytes in, bytes out, the time as an argument. It
//! makes no system call, holds no socket, knows no other protocol but by [`Handle`], and
//! never says "wake me when writable". It leaves bytes in the output, or room unused,
//! and is called again when that changes.
//!
//! A [`DatagramProtocol`] is to a datagram socket what a [`Protocol`] is to a connection.
//! There is no connection, so one machine meets all peers, and every datagram comes with
//! its sender. There are few such sockets, and they live as long as their machine wants.

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use super::buffers::Output;
use super::clock::{Tick, Time};
use super::endpoint::Dial;
use super::figures::Figures;
use super::helpers::{Helpers, JobClass, JobId, JobResult, QueueFull};
use super::input::{BULK, Input, RECEIVED, SMALL};
use super::outbox::Outbox;
use super::peer::Peer;
use super::security::Security;
use super::signals::Signal;
use super::slot::Slot;
use super::slots::{Handle, Slots};
use super::socket::Socket;
use super::tap::LentTap;
use super::tls::TlsSide;
use super::want::Want;
use super::work::Work;

/// A state machine that lives on one stream connection.
pub trait Protocol: Sized + 'static {
    /// What all connections share: configuration, caches, stores. Lent with each call.
    type Shared;
    /// What a listener says of the connections that it accepts: which service they are
    /// for.
    type Listener: Copy + 'static;
    /// What one connection sends another. It stays on this thread, so it may hold
    /// shared buffers and file slices.
    type Message: 'static;
    /// What comes of a job on a helper thread.
    type Outcome: Send + 'static;
    /// What lives on datagram sockets beside it; [`NoDatagrams`]
    /// if there are none.
    type Datagrams: DatagramProtocol<Self>;

    /// Makes the state machine of a connection that was just accepted, or
    /// refuses it, before anything of it is read.
    fn open(accepted: &Accepted<'_, Self::Listener>, cx: &mut Context<'_, Self>) -> Option<Self>;

    /// Takes note of a message. Record only; `advance`, which follows, acts on it.
    fn deliver(&mut self, _message: Self::Message) {}

    /// Takes note that a message of this connection wasn't delivered: `to` is gone. Record
    /// only; `advance` follows.
    fn undelivered(&mut self, _to: Handle, _message: Self::Message) {}

    /// Takes note that a job of this connection has ended. Record only; `advance`
    /// follows.
    fn job_ended(&mut self, _job: JobId, _result: JobResult<Self::Outcome>) {}

    /// A [shared job](Context::run_shared) has ended. Who waits for what it has changed may be sent a message.
    fn shared_job_ended(_result: JobResult<Self::Outcome>, _cx: &mut Context<'_, Self>) {}

    /// Does all that can be done now, with these bytes, this room, this time,
    /// and says what is wanted next. Idempotent: called again with nothing
    /// changed, it changes nothing.
    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want;

    /// Whether it answers a peer that speaks plain text at a listener for TLS: it then sees
    /// [`Security::PlainAtTls`]. Otherwise such a connection is closed.
    fn answers_plain_text(&self) -> bool {
        false
    }

    /// Bytes of memory that it holds beyond its own size and the lent buffers: what
    /// [`Options::memory`](super::Options::memory) bounds.
    fn memory(&self) -> usize {
        0
    }

    /// Bytes of memory that a message brings to its receiver. They count until that has its next turn, and
    /// [`memory`](Self::memory) says what it holds.
    fn memory_of(_message: &Self::Message) -> usize {
        0
    }

    /// The connection is over, or was never made.
    fn closed(&mut self, _ending: Ending, _ends: Ends<'_>, _cx: &mut Context<'_, Self>) {}

    /// The loop begins, or goes on after a pause: what is due is begun here, if no connection asks for it.
    fn started(_cx: &mut Context<'_, Self>) {}

    /// A signal arrived.
    fn signal(_signal: Signal, _cx: &mut Context<'_, Self>) {}

    /// The descriptor that was registered under `source` is readable, or may be.
    /// Called before any connection of the same pass, and once more before those
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

/// A state machine that lives on one datagram socket, beside connections that carry `P`.
///
/// ```
/// use miod::reactor::{Context, DatagramProtocol, NoStreams, Options, Outbox, Reactor, Until};
/// use std::net::{SocketAddr, UdpSocket};
///
/// struct Shout;
///
/// impl DatagramProtocol<NoStreams<Shout>> for Shout {
///     fn received(&mut self, datagram: &[u8], from: SocketAddr, out: &mut Outbox, _: &mut Context<'_, NoStreams<Shout>>) {
///         out.send(from, &datagram.to_ascii_uppercase());
///     }
/// }
///
/// # fn main() -> std::io::Result<()> {
/// let mut reactor = Reactor::<NoStreams<Shout>>::new((), Options::default())?;
/// let address = reactor.datagrams("127.0.0.1:0".parse().unwrap(), None, Shout)?;
/// let closer = reactor.closer();
/// let client = std::thread::spawn(move || -> std::io::Result<String> {
///     let socket = UdpSocket::bind("127.0.0.1:0")?;
///     socket.send_to(b"hello", address)?;
///     let mut answer = [0; 100];
///     let length = socket.recv(&mut answer)?;
///     closer.close();
///     Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
/// });
/// reactor.run(Until::Closed)?;
/// assert_eq!(client.join().unwrap()?, "HELLO");
/// # Ok(())
/// # }
/// ```
pub trait DatagramProtocol<P: Protocol>: 'static {
    /// The socket is there, at this address. Comes first.
    fn opened(&mut self, _local: SocketAddr) {}

    /// A datagram came; it may be empty, or anything else. What is put into `out`
    /// leaves when this returns.
    fn received(&mut self, datagram: &[u8], from: SocketAddr, out: &mut Outbox, cx: &mut Context<'_, P>);

    /// Takes note of a message. Record only; `advance`, which follows, acts on it.
    fn deliver(&mut self, _message: P::Message) {}

    /// Takes note that a job of this socket has ended. Record only; `advance` follows.
    fn job_ended(&mut self, _job: JobId, _result: JobResult<P::Outcome>) {}

    /// Does what is due at this time, and says what is waited for next. Called
    /// after whatever came; idempotent.
    fn advance(&mut self, _out: &mut Outbox, cx: &mut Context<'_, P>) -> Stay {
        if cx.draining { Stay::Over } else { Stay::Open }
    }

    /// The socket reported an error: a datagram to `to` wasn't sent (`WouldBlock`
    /// if it had waited for too long), or, without `to`, an earlier one didn't
    /// arrive. The socket goes on; `advance` follows.
    fn failed(&mut self, _error: &io::Error, _to: Option<SocketAddr>, _cx: &mut Context<'_, P>) {}
}

/// How long a datagram protocol stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stay {
    /// For whatever comes.
    Open,
    /// The same, and it is to be called at this moment at the latest.
    Until(Tick),
    /// No longer than what it sent takes to leave.
    Over,
}

/// The datagram protocol of a reactor without datagram sockets.
pub enum NoDatagrams {}

impl<P: Protocol> DatagramProtocol<P> for NoDatagrams {
    fn received(&mut self, _: &[u8], _: SocketAddr, _: &mut Outbox, _: &mut Context<'_, P>) {
        match *self {}
    }
}

/// The stream protocol of a reactor with datagram sockets only: it refuses every connection.
pub struct NoStreams<D> {
    never: Infallible,
    datagrams: PhantomData<fn() -> D>,
}

impl<D: DatagramProtocol<Self>> Protocol for NoStreams<D> {
    type Shared = ();
    type Listener = ();
    type Message = Infallible;
    type Outcome = Infallible;
    type Datagrams = D;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        None
    }

    fn advance(&mut self, _: &mut Io<'_>, _: &mut Context<'_, Self>) -> Want {
        match self.never {}
    }
}

/// How a connection ended.
#[derive(Debug)]
pub struct Ending {
    /// Bytes of the output that didn't go out.
    pub unsent: u64,
    /// What ended it, if the protocol didn't: why it couldn't be made, why it couldn't be
    /// read or written any longer, or `TimedOut` if the
    /// peer took its output too slowly.
    pub error: Option<io::Error>,
}

impl Ending {
    /// The end that the protocol wanted.
    pub(super) const PROPER: Self = Self { unsent: 0, error: None };
}

/// A connection's bytes, as lent to its protocol.
pub struct Io<'a> {
    /// Received and not yet consumed.
    pub input: &'a mut Input,
    /// To be sent.
    pub output: &'a mut Output,
    /// Whether the input has ended: the peer closed, or half-closed.
    pub ended: bool,
    /// Whether the input ended without TLS's close_notify (RFC 8446 §6.1): what came may be cut
    /// short. Without TLS that can't be known.
    pub truncated: bool,
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

/// The two ends of a connection: their addresses, and what is between them.
#[derive(Clone, Copy)]
pub struct Ends<'a> {
    pub(super) peer: Peer,
    pub(super) listener: Option<&'a SocketAddr>,
    pub(super) socket: Option<&'a Socket>,
    pub(super) security: Security<'a>,
    pub(super) connected: bool,
}

impl<'a> Ends<'a> {
    /// Ends that are no real sockets; for tests.
    pub fn for_test(peer: SocketAddr, local: &'a SocketAddr) -> Self {
        Self::secured_for_test(peer, local, Security::Plain)
    }

    /// The same, protected by `security`.
    pub fn secured_for_test(peer: SocketAddr, local: &'a SocketAddr, security: Security<'a>) -> Self {
        Ends { peer: Peer::new(Some(peer)), listener: Some(local), socket: None, security, connected: true }
    }

    /// What protects the connection.
    pub fn security(&self) -> Security<'a> {
        self.security
    }

    /// Whether the peer has accepted the connection; a handshake of TLS may follow.
    pub fn is_connected(&self) -> bool {
        self.connected
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
pub struct Accepted<'a, L> {
    /// What was given when the listener was added.
    pub listener: L,
    /// The two ends.
    pub ends: Ends<'a>,
    /// There are as many connections as there should be. This one is accepted
    /// from the reserve, to be told so and closed.
    pub overloaded: bool,
}

/// What is lent with each call beside the bytes.
pub struct Context<'a, P: Protocol> {
    /// What all connections share.
    pub shared: &'a mut P::Shared,
    /// This pass's time.
    pub time: Time,
    /// Which connection is being called; [`Handle::NONE`] in calls that are about none.
    pub handle: Handle,
    /// The reactor is shutting down: what is in flight is finished, nothing new begun.
    pub draining: bool,
    /// What this turn may still do.
    pub work: Work,
    pub(super) helpers: &'a mut Helpers<P::Outcome>,
    pub(super) slots: &'a mut Slots<Slot<P>>,
    pub(super) effects: &'a mut Vec<Effect<P>>,
    pub(super) figures: &'a mut Figures,
    pub(super) tap: &'a mut LentTap,
}

/// What a protocol asks of the reactor beyond its own connection; carried out
/// when its call has returned.
pub(super) enum Effect<P: Protocol> {
    Send { from: Handle, to: Handle, message: P::Message },
    Connect(Handle, Dial, P),
    ConnectLater(Tick, Dial, P),
    Secure(Handle, TlsSide),
    Drain(Duration),
    Pause,
    Quit,
}

impl<P: Protocol> Context<'_, P> {
    /// Delivers `message` to another connection. If that is gone,
    /// [`Protocol::undelivered`] says so.
    pub fn send(&mut self, to: Handle, message: P::Message) {
        self.effects.push(Effect::Send { from: self.handle, to, message });
    }

    /// Runs `job`, which may block, on the helper thread of its class. Its result is
    /// delivered to this connection by [`Protocol::job_ended`], if the connection is
    /// still there; if it is closed earlier, a job that has not begun is skipped.
    ///
    /// # Errors
    /// If too many jobs of the class wait.
    pub fn run(
        &mut self,
        class: JobClass,
        job: impl FnOnce() -> P::Outcome + Send + 'static,
    ) -> Result<JobId, QueueFull> {
        self.helpers.run(self.handle, class, Box::new(job))
    }

    /// As [`run`](Self::run), for what all connections share: the job is never skipped, and its result goes to
    /// [`Protocol::shared_job_ended`], whichever connections there are then.
    ///
    /// # Errors
    /// If too many shared jobs of the class wait, or the system has no thread for them.
    pub fn run_shared(
        &mut self,
        class: JobClass,
        job: impl FnOnce() -> P::Outcome + Send + 'static,
    ) -> Result<(), QueueFull> {
        self.helpers.run(Handle::NONE, class, Box::new(job)).map(drop)
    }

    /// Skips a job whose result isn't needed any longer, if it has not begun. Its result,
    /// if it has, is still delivered.
    pub fn cancel(&mut self, job: JobId) {
        self.helpers.cancel(job);
    }

    /// Connects to `to`; `protocol` lives on that connection and is advanced from
    /// now on, whether it is established or not: what it writes waits. How long
    /// that may take it decides by its own deadline; that it failed
    /// [`Protocol::closed`] reports. Returns the name of the new connection, which can
    /// be sent messages at once.
    pub fn connect(&mut self, to: impl Into<Dial>, protocol: P) -> Handle {
        let handle = self.slots.reserve();
        self.effects.push(Effect::Connect(handle, to.into(), protocol));
        handle
    }

    /// Connects to `to` at this moment, unless the reactor is shutting down then: `protocol` is
    /// dropped in that case.
    pub fn connect_later(&mut self, at: Tick, to: impl Into<Dial>, protocol: P) {
        self.effects.push(Effect::ConnectLater(at, to.into(), protocol));
    }

    /// Begins TLS on this connection, which is open and in plain text. For
    /// [`advance`](Protocol::advance), whose call wants no more input then: bytes that are left
    /// in the input came before TLS, so they end the connection. What is in the output leaves
    /// before, in plain text. From the next call on the connection isn't established, until the
    /// handshake is over.
    pub fn secure(&mut self, side: TlsSide) {
        self.effects.push(Effect::Secure(self.handle, side));
    }

    /// Shuts down in good order: listeners close now, connections when they have
    /// finished what is in flight, at the latest after `grace`.
    pub fn drain(&mut self, grace: Duration) {
        self.effects.push(Effect::Drain(grace));
    }

    /// Has [`Reactor::run`](super::Reactor::run) return after this pass, so that its caller can
    /// change what it runs: listeners, sources, what is shared. Connections stay as they are.
    pub fn pause(&mut self) {
        self.effects.push(Effect::Pause);
    }

    /// Most bytes that a connection should hold in one direction: [`BULK`]; [`RECEIVED`] while
    /// the connections hold more than a quarter of the [memory](super::Options::memory) that they may
    /// have; and little while they hold more than half, so that many slow peers don't take the other half.
    pub fn window(&self) -> usize {
        match (self.figures.held, self.figures.limits.1) {
            (held, most) if held <= most / 4 => BULK,
            (held, most) if held <= most / 2 => RECEIVED,
            _ => SMALL,
        }
    }

    /// What the loop has counted.
    pub fn figures(&self) -> &Figures {
        self.figures
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        // That of this call is taken out of its slot, but its number stays taken.
        self.slots.len()
    }

    /// How many jobs of a class wait for its helper thread.
    pub fn waiting_jobs(&self, class: JobClass) -> usize {
        self.helpers.waiting(class)
    }

    /// Ends the loop now, whatever is in flight.
    pub fn quit(&mut self) {
        self.effects.push(Effect::Quit);
    }
}
