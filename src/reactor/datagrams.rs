//! The turns of datagram sockets.
//!
//! A socket that became readable is drained until it has no more, or for a bounded
//! turn. The responses to a datagram leave before the next one is received, so they keep
//! the order.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::Token;
use mio::event::Event;

use super::Reactor;
use super::clock::Tick;
use super::datagram_socket::DatagramSocket;
use super::helpers::{JobId, JobResult};
use super::protocol::{Context, DatagramProtocol, Protocol, Stay};
use super::slot::Queued;
use super::slots::Handle;
use super::work::Work;

/// Most datagrams received in one turn: then it is the others' turn. About 100 µs.
const TURN: usize = 64;
/// Errors without end in one turn mean that the socket has nothing else to tell;
/// the next event says when it has.
const FAULTS: usize = 16;

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
        socket.register(self.poll.registry(), token)?;
        protocol.opened(socket.address());
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

    /// Gives each socket whose deadline has come its turn.
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
        // The tap is told by the socket. The protocols have nothing to add.
        let (mut tap, mut no_tap) = (self.tap.take(), None);
        let Self { poll, datagrams, input, outbox, shared, effects, figures, time, drain, helpers, slots, .. } = self;
        let Some(DatagramSlot { socket, protocol, wake, .. }) = datagrams.get(index) else {
            self.tap = tap;
            return;
        };
        let handle = Handle::new(Datagrams::<P::Datagrams>::FIRST + index, 0);
        let draining = drain.is_some();
        let work = Work::turn();
        if let Some(tap) = &mut tap {
            tap.turn(handle);
        }
        let (time, tap_of_context) = (*time, &mut no_tap);
        let mut cx =
            Context { shared, time, handle, draining, work, helpers, slots, effects, figures, tap: tap_of_context };
        let mut faults = 0;
        socket.flush(outbox, &mut tap, &mut |error, to| protocol.failed(&error, to, &mut cx));
        for _ in 0..TURN {
            if !socket.readable {
                break;
            }
            match socket.receive(input, &mut tap) {
                Ok(Some(from)) => protocol.received(input.bytes(), from, outbox, &mut cx),
                Ok(None) => break,
                Err(error) => {
                    protocol.failed(&error, None, &mut cx);
                    faults += 1;
                    socket.readable = faults < FAULTS;
                }
            }
            input.clear();
            socket.flush(outbox, &mut tap, &mut |error, to| protocol.failed(&error, to, &mut cx));
        }
        let stay = protocol.advance(outbox, &mut cx);
        let mut failed = false;
        socket.flush(outbox, &mut tap, &mut |error, to| {
            failed = true;
            protocol.failed(&error, to, &mut cx);
        });
        *wake = match stay {
            // A moment in the past must not keep the loop from sleeping.
            Stay::Until(wake) => Some(wake.max(time.now.after(Duration::from_micros(1)))),
            Stay::Open | Stay::Over => None,
        };
        // What failed may change what it wants.
        let unfinished = socket.readable || failed;
        socket.await_room(poll.registry(), Token(handle.index()));
        if stay == Stay::Over && socket.is_flushed() {
            datagrams.slots[index] = None;
            datagrams.open -= 1;
        } else if unfinished {
            self.enqueue_datagrams(index);
        }
        self.tap = tap;
        self.apply_effects();
    }
}

#[cfg(test)]
mod tests {
    use super::super::outbox::Outbox;
    use super::super::protocol::NoStreams;
    use super::super::{Options, Until};
    use super::*;

    fn port() -> DatagramSocket {
        DatagramSocket::open("127.0.0.1:0".parse().unwrap(), None).unwrap()
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

    /// Sends what can't be sent, and is over when it is told.
    struct TooLong(SocketAddr, Option<bool>);

    impl DatagramProtocol<NoStreams<Self>> for TooLong {
        fn received(&mut self, _: &[u8], _: SocketAddr, _: &mut Outbox, _: &mut Context<'_, NoStreams<Self>>) {}

        fn advance(&mut self, out: &mut Outbox, _: &mut Context<'_, NoStreams<Self>>) -> Stay {
            if self.1.is_none() {
                self.1 = Some(false);
                out.send(self.0, &[b'x'; 70_000]);
            }
            if self.1 == Some(true) { Stay::Over } else { Stay::Open }
        }

        fn failed(&mut self, _: &io::Error, _: Option<SocketAddr>, _: &mut Context<'_, NoStreams<Self>>) {
            self.1 = Some(true);
        }
    }

    #[test]
    fn a_failure_is_followed_by_a_turn() {
        let (send, over) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut reactor = Reactor::<NoStreams<TooLong>>::new((), Options::default()).unwrap();
            let sender = port();
            let to = sender.address();
            reactor.attach(sender, TooLong(to, None)).unwrap();
            send.send(reactor.run(Until::Idle)).unwrap();
        });
        over.recv_timeout(Duration::from_secs(20)).expect("it gets a turn").unwrap();
    }

    #[test]
    fn what_waits_leaves_when_there_is_room() {
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local_addr().unwrap();
        let (send, over) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut reactor = Reactor::<NoStreams<Farewell>>::new((), Options::default()).unwrap();
            let mut sender = port();
            // As after a WouldBlock, and room comes unseen.
            sender.pretend_full();
            reactor.attach(sender, Farewell(to, false)).unwrap();
            send.send(reactor.run(Until::Idle)).unwrap();
        });
        over.recv_timeout(Duration::from_secs(20)).expect("it is told of room").unwrap();
        let mut buffer = [0; 4];
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 3);
    }
}
