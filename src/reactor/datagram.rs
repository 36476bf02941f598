//! Datagram sockets: how they are made, and the only place that receives and
//! sends datagrams.
//!
//! A [`DatagramProtocol`] is to a datagram socket what a [`Protocol`] is to a
//! connection: a pure state machine. There is no connection, so one machine meets
//! all peers, and every datagram comes with its sender. There are few such sockets,
//! and they live as long as their machine wishes.
//!
//! A socket that became readable is drained until it has no more, or for a bounded
//! turn; what a datagram is answered by leaves before the next one is received, so
//! answers keep the order. What the system doesn't take waits in a bounded queue,
//! and the oldest beyond that is lost, as datagrams may be. Errors are told to the
//! machine and end nothing: most are the echo of a datagram that didn't arrive.
//!
//! The poll is asked about room for more only while something waits for it. Room comes
//! with each datagram that leaves, which is no news to anybody else, and would wake the
//! loop once more for each answer. (A connection is told far more rarely, so it is
//! registered once and for all.)
//!
//! ```
//! use miod::reactor::{Context, DatagramProtocol, NoStreams, Options, Outbox, Reactor, Until};
//! use std::net::{SocketAddr, UdpSocket};
//!
//! struct Shout;
//!
//! impl DatagramProtocol<NoStreams<Shout>> for Shout {
//!     fn received(&mut self, datagram: &[u8], from: SocketAddr, out: &mut Outbox, _: &mut Context<'_, NoStreams<Shout>>) {
//!         out.send(from, &datagram.to_ascii_uppercase());
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let mut reactor = Reactor::<NoStreams<Shout>>::new((), Options::default())?;
//! let address = reactor.datagrams("127.0.0.1:0".parse().unwrap(), None, Shout)?;
//! let closer = reactor.closer();
//! let client = std::thread::spawn(move || -> std::io::Result<String> {
//!     let socket = UdpSocket::bind("127.0.0.1:0")?;
//!     socket.send_to(b"hello", address)?;
//!     let mut answer = [0; 100];
//!     let length = socket.recv(&mut answer)?;
//!     closer.close();
//!     Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
//! });
//! reactor.run(Until::Closed)?;
//! assert_eq!(client.join().unwrap()?, "HELLO");
//! # Ok(())
//! # }
//! ```

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Event;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use socket2::{Domain, SockAddr, Type};

use super::buffers::Input;
use super::clock::Tick;
use super::helpers::{JobId, JobResult};
use super::protocol::{Accepted, Context, Io, Protocol, Want};
use super::slot::Queued;
use super::slots::Handle;
use super::work::Work;
use super::{Reactor, buffers};

/// Most datagrams received in one turn: then it is the others' turn. About 100 µs.
const TURN: usize = 64;
/// Errors without end in one turn mean that the socket has nothing else to tell;
/// the next event says when it has.
const FAULTS: usize = 16;
/// Most datagrams, and bytes of them, that wait until the system takes them: what
/// it takes again after the usual send buffer was full.
const WAITING: usize = 256;
const WAITING_BYTES: usize = 512 * 1024;

/// A state machine that lives on one datagram socket, beside connections that carry `P`.
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
    /// arrive. The socket goes on.
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

/// Datagrams to be sent, in their order. Lent to the protocol with each call.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// Each one's receiver, and where it ends.
    datagrams: Vec<(SocketAddr, usize)>,
}

impl Outbox {
    /// Sends a datagram. A connected socket sends to its peer, whatever `to` is.
    /// What is returned is the copy that leaves, to be altered at will.
    pub fn send(&mut self, to: SocketAddr, datagram: &[u8]) -> &mut [u8] {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.datagrams.push((to, self.bytes.len()));
        &mut self.bytes[start..]
    }

    /// What is to be sent, and to whom.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let mut start = 0;
        self.datagrams.iter().map(move |&(to, end)| (to, &self.bytes[std::mem::replace(&mut start, end)..end]))
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
        // One answer may be large; don't keep its memory.
        self.bytes.shrink_to(2 * buffers::BUFFER);
        self.datagrams.clear();
    }
}

/// The datagram protocol of those who have none.
pub enum NoDatagrams {}

impl<P: Protocol> DatagramProtocol<P> for NoDatagrams {
    fn received(&mut self, _: &[u8], _: SocketAddr, _: &mut Outbox, _: &mut Context<'_, P>) {
        match *self {}
    }
}

/// The stream protocol of those who have none but datagrams: it refuses every connection.
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

/// A datagram socket: what is latched about it, and what it wasn't yet given.
pub struct DatagramSocket {
    socket: UdpSocket,
    address: SocketAddr,
    connected: bool,
    readable: bool,
    writable: bool,
    /// The poll tells when it is writable again.
    awaits_room: bool,
    waiting: VecDeque<(SocketAddr, Box<[u8]>)>,
    waiting_bytes: usize,
}

impl DatagramSocket {
    /// Opens one at `bind` (port 0 is any free one), which sends to and receives from
    /// `peer` alone, if there is one.
    ///
    /// # Errors
    /// What the system says: the address is in use, not ours, not allowed.
    pub fn open(bind: SocketAddr, peer: Option<SocketAddr>) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(bind), Type::DGRAM.nonblocking(), None)?;
        if bind.is_ipv6() {
            // IPv4 has a socket of its own.
            socket.set_only_v6(true)?;
        }
        socket.bind(&SockAddr::from(bind))?;
        if let Some(peer) = peer {
            socket.connect(&SockAddr::from(peer))?;
        }
        let socket = UdpSocket::from_std(socket.into());
        Ok(Self {
            address: socket.local_addr()?,
            socket,
            connected: peer.is_some(),
            readable: false,
            writable: true,
            awaits_room: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        })
    }

    /// The address that it got.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn latch(&mut self, event: &Event) {
        // An error is found by the next call, whichever it is.
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// Has the poll tell of room for more, or not any longer.
    fn await_room(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if self.awaits_room == self.writable {
            let room = Interest::READABLE | Interest::WRITABLE;
            let interest = if self.writable { Interest::READABLE } else { room };
            registry.reregister(&mut self.socket, token, interest)?;
            self.awaits_room = !self.writable;
        }
        Ok(())
    }

    /// Receives one datagram, if there is one, into the empty input; tells its sender.
    fn receive(&mut self, input: &mut Input) -> io::Result<Option<SocketAddr>> {
        loop {
            let space = input.space();
            return match self.socket.try_io(|| Ok(rustix::net::recvfrom(&self.socket, space, RecvFlags::empty())?)) {
                Ok((_, _, from)) => Ok(Some(from.ok_or(Errno::AFNOSUPPORT)?.try_into()?)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    Ok(None)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    fn send_one(&self, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        loop {
            let sent = if self.connected { self.socket.send(datagram) } else { self.socket.send_to(datagram, to) };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map(drop),
            }
        }
    }

    /// Sends a datagram if the system takes it now; false if it doesn't.
    fn send(&mut self, to: SocketAddr, datagram: &[u8], failed: &mut dyn FnMut(io::Error, Option<SocketAddr>)) -> bool {
        if !self.writable {
            return false;
        }
        let mut sent = self.send_one(to, datagram);
        if let Err(error) = &sent
            && error.kind() == io::ErrorKind::ConnectionRefused
        {
            // That is what became of an earlier one; this one wasn't tried.
            failed(io::ErrorKind::ConnectionRefused.into(), None);
            sent = self.send_one(to, datagram);
        }
        match sent {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                false
            }
            Err(error) => {
                failed(error, Some(to));
                true
            }
        }
    }

    /// Sends what waits, and then what is in `out`; what the system doesn't take waits.
    fn flush(&mut self, out: &mut Outbox, failed: &mut dyn FnMut(io::Error, Option<SocketAddr>)) {
        while self.writable
            && let Some((to, datagram)) = self.waiting.pop_front()
        {
            if self.send(to, &datagram, failed) {
                self.waiting_bytes -= datagram.len();
            } else {
                self.waiting.push_front((to, datagram));
            }
        }
        for (to, datagram) in out.iter() {
            if !self.send(to, datagram, failed) {
                self.waiting_bytes += datagram.len();
                self.waiting.push_back((to, datagram.into()));
            }
        }
        while (self.waiting.len() > WAITING || self.waiting_bytes > WAITING_BYTES)
            && let Some((to, datagram)) = self.waiting.pop_front()
        {
            self.waiting_bytes -= datagram.len();
            failed(io::ErrorKind::WouldBlock.into(), Some(to));
        }
        out.clear();
    }
}

/// A socket with its protocol, and what the loop knows of them.
pub(super) struct DatagramSlot<D> {
    socket: DatagramSocket,
    protocol: D,
    wake: Option<Tick>,
    /// It is in the run queue.
    queued: bool,
}

/// All datagram sockets. Numbers aren't used again, so that a handle never names another.
pub(super) struct Datagrams<D> {
    slots: Vec<Option<DatagramSlot<D>>>,
    open: usize,
}

impl<D> Default for Datagrams<D> {
    fn default() -> Self {
        Self { slots: Vec::new(), open: 0 }
    }
}

impl<D> Datagrams<D> {
    /// The reactor's own tokens for them begin here.
    pub(super) const FIRST: usize = 512;
    /// Most sockets in a reactor's life.
    pub(super) const MOST: usize = 256;

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.open
    }

    /// The number of the socket that `handle` names.
    pub(super) fn index(handle: Handle) -> Option<usize> {
        (handle.number() == 0).then(|| handle.index().checked_sub(Self::FIRST)).flatten()
    }

    fn get(&mut self, index: usize) -> Option<&mut DatagramSlot<D>> {
        self.slots.get_mut(index)?.as_mut()
    }

    /// The first deadline of all.
    pub(super) fn wake(&self) -> Option<Tick> {
        self.slots.iter().flatten().filter_map(|slot| slot.wake).min()
    }

    #[cfg(debug_assertions)]
    pub(super) fn queued(&self) -> usize {
        self.slots.iter().flatten().filter(|slot| slot.queued).count()
    }
}

impl<P: Protocol> Reactor<P> {
    /// Opens a datagram socket for `protocol`, as [`DatagramSocket::open`] does, and
    /// returns the address that it got.
    ///
    /// # Errors
    /// As there, or if there were more than 256 of them.
    pub fn datagrams(
        &mut self,
        bind: SocketAddr,
        peer: Option<SocketAddr>,
        protocol: P::Datagrams,
    ) -> io::Result<SocketAddr> {
        let socket = DatagramSocket::open(bind, peer)?;
        let address = socket.address();
        self.attach(socket, protocol)?;
        Ok(address)
    }

    /// Has `protocol` live on `socket`.
    ///
    /// # Errors
    /// If it can't be registered, or there were more than 256 of them.
    pub fn attach(&mut self, mut socket: DatagramSocket, mut protocol: P::Datagrams) -> io::Result<()> {
        let index = self.datagrams.slots.len();
        if index == Datagrams::<P::Datagrams>::MOST {
            return Err(io::Error::other("too many datagram sockets"));
        }
        let token = Token(Datagrams::<P::Datagrams>::FIRST + index);
        self.poll.registry().register(&mut socket.socket, token, Interest::READABLE)?;
        protocol.opened(socket.address);
        self.datagrams.slots.push(Some(DatagramSlot { socket, protocol, wake: None, queued: false }));
        self.datagrams.open += 1;
        // It may have something to send.
        self.enqueue_datagrams(index);
        Ok(())
    }

    pub(super) fn datagrams_ready(&mut self, index: usize, event: &Event) {
        if let Some(slot) = self.datagrams.get(index) {
            slot.socket.latch(event);
            // Its turn may already be due in the run queue.
            if !slot.queued {
                self.pump_datagrams(index);
            }
        }
    }

    /// Gives those whose deadline has come their turn.
    pub(super) fn wake_datagrams(&mut self) {
        for index in 0..self.datagrams.slots.len() {
            let now = self.time.now;
            if let Some(slot) = self.datagrams.get(index)
                && slot.wake.is_some_and(|wake| wake <= now)
                && !slot.queued
            {
                self.pump_datagrams(index);
            }
        }
    }

    pub(super) fn deliver_to_datagrams(&mut self, index: usize, message: P::Message) {
        if let Some(slot) = self.datagrams.get(index) {
            slot.protocol.deliver(message);
            self.enqueue_datagrams(index);
        }
    }

    pub(super) fn job_ended_for_datagrams(&mut self, index: usize, job: JobId, result: JobResult<P::Outcome>) {
        if let Some(slot) = self.datagrams.get(index) {
            slot.protocol.job_ended(job, result);
            self.enqueue_datagrams(index);
        }
    }

    pub(super) fn enqueue_all_datagrams(&mut self) {
        for index in 0..self.datagrams.slots.len() {
            self.enqueue_datagrams(index);
        }
    }

    fn enqueue_datagrams(&mut self, index: usize) {
        if let Some(slot) = self.datagrams.get(index)
            && !slot.queued
        {
            slot.queued = true;
            self.run_queue.push_handle(Handle::new(Datagrams::<P::Datagrams>::FIRST + index, 0), Queued::Soon);
        }
    }

    /// Its turn from the run queue.
    pub(super) fn run_datagrams(&mut self, index: usize) {
        if let Some(slot) = self.datagrams.get(index) {
            slot.queued = false;
            self.pump_datagrams(index);
        }
    }

    /// Gives a socket its turn and settles what follows from it.
    fn pump_datagrams(&mut self, index: usize) {
        let Self { poll, datagrams, input, outbox, shared, effects, time, drain, helpers, slots, .. } = self;
        let Some(DatagramSlot { socket, protocol, wake, .. }) = datagrams.get(index) else { return };
        let handle = Handle::new(Datagrams::<P::Datagrams>::FIRST + index, 0);
        let draining = drain.is_some();
        let work = Work::turn();
        let mut cx = Context { shared, time: *time, handle, draining, work, helpers, slots, effects };
        let mut faults = 0;
        socket.flush(outbox, &mut |error, to| protocol.failed(&error, to, &mut cx));
        for _ in 0..TURN {
            if !socket.readable {
                break;
            }
            match socket.receive(input) {
                Ok(Some(from)) => protocol.received(input.bytes(), from, outbox, &mut cx),
                Ok(None) => break,
                Err(error) => {
                    protocol.failed(&error, None, &mut cx);
                    faults += 1;
                    socket.readable = faults < FAULTS;
                }
            }
            input.clear();
            socket.flush(outbox, &mut |error, to| protocol.failed(&error, to, &mut cx));
        }
        let stay = protocol.advance(outbox, &mut cx);
        socket.flush(outbox, &mut |error, to| protocol.failed(&error, to, &mut cx));
        *wake = match stay {
            // A wish for a moment that is past mustn't keep the loop from sleeping.
            Stay::Until(wake) => Some(wake.max(time.now.after(Duration::from_micros(1)))),
            Stay::Open | Stay::Over => None,
        };
        let unfinished = socket.readable;
        if let Err(error) = socket.await_room(poll.registry(), Token(handle.index())) {
            // What waits leaves with what is sent next.
            log::error!("a datagram socket isn't watched for room: {error}");
            socket.writable = true;
        }
        if stay == Stay::Over && socket.waiting.is_empty() {
            datagrams.slots[index] = None;
            datagrams.open -= 1;
        } else if unfinished {
            self.enqueue_datagrams(index);
        }
        self.apply_effects();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Options, Until};
    use super::*;

    fn port() -> DatagramSocket {
        DatagramSocket::open("127.0.0.1:0".parse().unwrap(), None).unwrap()
    }

    #[test]
    fn what_the_system_does_not_take_waits_and_the_oldest_is_lost() {
        let receiver = port();
        let to = receiver.socket.local_addr().unwrap();
        let mut sender = port();
        let mut out = Outbox::default();
        // As after a WouldBlock.
        sender.writable = false;
        let mut lost = 0;
        for number in 0..WAITING as u16 + 3 {
            out.send(to, &number.to_be_bytes());
            sender.flush(&mut out, &mut |error, of| {
                assert_eq!((error.kind(), of), (io::ErrorKind::WouldBlock, Some(to)));
                lost += 1;
            });
        }
        assert_eq!((lost, sender.waiting.len(), sender.waiting_bytes), (3, WAITING, 2 * WAITING));
        out.send(to, &[b'x'; 60_000]);
        out.send(to, &[b'x'; 60_000]);
        sender.flush(&mut out, &mut |_, _| lost += 1);
        assert_eq!((lost, sender.waiting.len()), (5, WAITING));
        // The rest leaves in its order.
        sender.writable = true;
        while sender.waiting.len() > 2 {
            let (to, datagram) = sender.waiting.pop_front().unwrap();
            assert!(sender.send(to, &datagram, &mut |_, _| unreachable!("it is sent")));
            let mut buffer = [0; 2];
            assert_eq!(receiver.socket.recv(&mut buffer).unwrap(), 2);
            assert_eq!(buffer, datagram[..]);
        }
    }

    /// Sends one datagram and is over.
    struct Farewell(SocketAddr, bool);

    impl DatagramProtocol<NoStreams<Self>> for Farewell {
        fn received(&mut self, _: &[u8], _: SocketAddr, _: &mut Outbox, _: &mut Context<'_, NoStreams<Self>>) {}

        fn advance(&mut self, out: &mut Outbox, _: &mut Context<'_, NoStreams<Self>>) -> Stay {
            if !std::mem::replace(&mut self.1, true) {
                out.send(self.0, b"bye");
            }
            Stay::Over
        }
    }

    #[test]
    fn what_waits_leaves_when_there_is_room() {
        let receiver = port();
        let to = receiver.socket.local_addr().unwrap();
        let (send, over) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut reactor = Reactor::<NoStreams<Farewell>>::new((), Options::default()).unwrap();
            let mut sender = port();
            // As after a WouldBlock, and room comes unseen.
            sender.writable = false;
            reactor.attach(sender, Farewell(to, false)).unwrap();
            send.send(reactor.run(Until::Idle)).unwrap();
        });
        over.recv_timeout(Duration::from_secs(20)).expect("it is told of room").unwrap();
        let mut buffer = [0; 4];
        assert_eq!(receiver.socket.recv(&mut buffer).unwrap(), 3);
    }

    #[test]
    fn large_datagrams_are_bounded_by_their_bytes() {
        let mut sender = port();
        let to = sender.socket.local_addr().unwrap();
        sender.writable = false;
        let mut out = Outbox::default();
        for _ in 0..20 {
            out.send(to, &[b'x'; 60_000]);
        }
        let mut lost = 0;
        sender.flush(&mut out, &mut |_, _| lost += 1);
        assert!(sender.waiting_bytes <= WAITING_BYTES);
        assert_eq!((sender.waiting.len(), lost), (8, 12));
    }

    #[test]
    fn the_outbox_keeps_datagrams_apart_and_lets_them_be_altered() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut out = Outbox::default();
        out.send(at(1), b"one").make_ascii_uppercase();
        out.send(at(2), b"");
        out.send(at(3), b"three");
        let all: Vec<_> = out.iter().collect();
        assert_eq!(all, [(at(1), &b"ONE"[..]), (at(2), b""), (at(3), b"three")]);
        out.clear();
        assert_eq!(out.iter().count(), 0);
    }
}
