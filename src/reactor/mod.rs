//! The reactor: one poll, one thread, every socket.
//!
//! ```text
//! loop {
//!     wait       until an event, the first deadline, or not at all if work is queued
//!     read the clock, once
//!     sources    descriptors that must come before any connection (file changes)
//!     events     each connection that became ready gets its turn
//!     deadlines  each that is due gets its turn
//!     run queue  one of those whose last turn ended before their work did, and of
//!                those who are in the middle of a file
//!     connect    where protocols wish to
//!     accept     what waits at the listeners; then the sources once more, and each
//!                newcomer gets its turn
//! }
//! ```
//!
//! It knows octets and connections, and nothing of what they mean: that is the
//! [`Protocol`]'s. Connections are registered at most once, edge-triggered, for both
//! directions, and never again; [`transport`](self) tells why that is enough.
//!
//! Invariants, checked in debug builds after each turn: as many slots as
//! connections opened, by either side, less those closed; as many queued flags as entries in the
//! run queue that are alive.

mod blocking;
mod buffers;
mod clock;
mod conversation;
mod datagram;
mod endpoint;
mod listener;
mod pace;
mod protocol;
mod pump;
mod signals;
mod slots;
mod timers;
mod transport;

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

pub use blocking::within;
pub use buffers::{BUFFER, FileSlice, Input, Mark, Output};
pub use clock::{Tick, Time};
pub use conversation::{Conversation, Next, Talk};
pub use datagram::{DatagramProtocol, DatagramSocket, NoDatagrams, NoStreams, Outbox, Stay};
pub use endpoint::Endpoint;
pub use listener::Listener;
pub use pace::Pace;
pub use protocol::{Accepted, Context, Ending, Ends, Finish, Io, Protocol, Solitude, Want};
pub use signals::Signal;
pub use slots::{CAPACITY, Handle, Slots};
pub use timers::{Armed, Timers};

use crate::limits;
use blocking::Blocking;
use clock::Clock;
use datagram::Datagrams;
use listener::Listeners;
use protocol::{Effect, Job};
use signals::Signals;

use transport::{Peer, Transport};

/// The reactor's own tokens: generation 0, which no connection has.
const WAKER: Token = Token(0);
const SIGNALS: Token = Token(1);
const FIRST_SOURCE: usize = 2;
const FIRST_LISTENER: usize = 256;
/// Most listeners: a slot names its own in one octet, or says that it has none.
const LISTENERS: usize = 255;
const NO_LISTENER: u8 = 255;
/// Tokens below are the reactor's own.
const OWN_TOKENS: usize = Datagrams::<()>::FIRST + Datagrams::<()>::MOST;

/// Events taken from the kernel at once.
const EVENTS: usize = 512;
/// Connections taken from one listener in one turn.
const ACCEPTS: usize = 64;
/// Rounds of that when a shut-down takes what still waits: the whole backlog.
const DRAIN_ACCEPTS: usize = 64;
/// Turns from the run queue between two looks at the poll. One of 128 KiB takes some
/// 35 µs, fifty times what the look costs, and no small request waits for more of them.
const RUN: usize = 1;
/// How long accepting rests when the system has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// What an operator can set.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections at once; beyond it the reserve answers.
    pub connections: usize,
    /// Connections more than that, which are told that it is full.
    pub reserve: usize,
    /// Octets that all connections may hold together, beyond their slots: what
    /// peers sent and isn't understood, or don't take. When an eighth of it is left
    /// newcomers are told that it is full; at the bound who would hold more is cut off.
    pub memory: usize,
    /// Without the peer taking any octet of the output.
    pub send_timeout: Duration,
    /// Reading and discarding after the last output.
    pub linger: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: CAPACITY - limits::CONNECTION_RESERVE,
            reserve: limits::CONNECTION_RESERVE,
            memory: limits::MEMORY,
            send_timeout: limits::SEND_TIMEOUT,
            linger: limits::LINGER,
        }
    }
}

/// How long [`Reactor::run`] runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Until a [`Closer`], a signal or a protocol ends it.
    Closed,
    /// Until this many connections were accepted and all is over, datagram sockets
    /// included.
    Connections(u64),
    /// Until there is neither a connection nor a datagram socket: for clients.
    /// Nothing is accepted.
    Idle,
}

/// Ends a reactor from outside, from any thread.
#[derive(Clone)]
pub struct Closer {
    closing: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Closer {
    /// Has the loop shut down in good order: listeners close, connections finish
    /// what is in flight.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        // If the loop is gone there is nobody to wake.
        let _ = self.waker.wake();
    }
}

/// One connection: its transport, its protocol, and what the loop knows of it.
struct Slot<P> {
    transport: Transport,
    protocol: P,
    /// Its earliest entry among the timers.
    armed: Armed,
    /// Bytes of memory that it holds beyond its slot.
    held: u32,
    /// It is in the run queue.
    queued: bool,
    /// The socket is registered with the poll.
    registered: bool,
    /// The protocol's last wish was more input.
    reading: bool,
    /// Which listener it came from.
    listener: u8,
}

/// A shut-down in good order.
struct Drain {
    /// When it ends whatever is in flight.
    by: Tick,
    /// Connections that were in flight when that was last said.
    waiting_for: usize,
}

/// The loop and everything it owns.
pub struct Reactor<P: Protocol> {
    poll: Poll,
    clock: Clock,
    time: Time,
    slots: Slots<Slot<P>>,
    timers: Timers,
    run_queue: VecDeque<Handle>,
    /// Connections to be made, each with its protocol.
    dials: VecDeque<(Endpoint, P)>,
    /// Accepted or asked for in this turn, and not yet heard.
    newcomers: Vec<Handle>,
    datagrams: Datagrams<P::Datagrams>,
    listeners: Listeners,
    signals: Option<Signals>,
    sources: usize,
    blocking: Blocking<P::Message>,
    closer: Closer,
    input: Input,
    output: Output,
    outbox: Outbox,
    effects: Vec<Effect<P>>,
    shared: P::Shared,
    options: Options,
    drain: Option<Drain>,
    over: bool,
    accepted: u64,
    accept_limit: u64,
    dialled: u64,
    closed: u64,
    /// Octets that connections hold beyond their slots.
    held: usize,
}

impl<P: Protocol> Reactor<P> {
    /// A reactor without connections.
    ///
    /// # Errors
    /// If the system has no descriptor for a poll.
    pub fn new(shared: P::Shared, options: Options) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let clock = Clock::start();
        Ok(Self {
            poll,
            time: clock.read(),
            clock,
            slots: Slots::default(),
            timers: Timers::default(),
            run_queue: VecDeque::new(),
            dials: VecDeque::new(),
            newcomers: Vec::new(),
            datagrams: Datagrams::default(),
            listeners: Listeners::default(),
            signals: None,
            sources: 0,
            blocking: Blocking::new(Arc::clone(&waker)),
            closer: Closer { closing: Arc::new(AtomicBool::new(false)), waker },
            input: Input::default(),
            output: Output::default(),
            outbox: Outbox::default(),
            effects: Vec::new(),
            shared,
            options,
            drain: None,
            over: false,
            accepted: 0,
            accept_limit: u64::MAX,
            dialled: 0,
            closed: 0,
            held: 0,
        })
    }

    /// Adds a listener; connections from it carry `service`.
    ///
    /// # Errors
    /// If it can't be registered, or there are too many.
    pub fn listen(&mut self, mut listener: Listener, service: usize) -> io::Result<()> {
        let index = self.listeners.len();
        if index == LISTENERS {
            return Err(io::Error::other("too many listeners"));
        }
        listener.register(self.poll.registry(), Token(FIRST_LISTENER + index))?;
        self.listeners.add(listener, service);
        Ok(())
    }

    /// Has a connection made to `to`, as [`Context::connect`] does.
    pub fn connect(&mut self, to: Endpoint, protocol: P) {
        self.dials.push_back((to, protocol));
    }

    /// Has these signals delivered to [`Protocol::signal`] instead of their
    /// usual effect. To be called once.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn take_signals(&mut self, signals: &[Signal]) -> io::Result<()> {
        self.signals = Some(Signals::register(self.poll.registry(), SIGNALS, signals)?);
        Ok(())
    }

    /// Has [`Protocol::source_ready`] called when `fd`, which must stay open as
    /// long as the reactor lives, becomes readable. Returns the source's number.
    ///
    /// # Errors
    /// If it can't be polled.
    pub fn watch(&mut self, fd: RawFd) -> io::Result<usize> {
        let source = self.sources;
        self.poll.registry().register(&mut SourceFd(&fd), Token(FIRST_SOURCE + source), Interest::READABLE)?;
        self.sources += 1;
        Ok(source)
    }

    /// What ends this reactor from outside.
    pub fn closer(&self) -> Closer {
        self.closer.clone()
    }

    /// Reads the clock: for what is timed before the loop runs.
    pub fn time(&mut self) -> Time {
        self.time = self.clock.read();
        self.time
    }

    /// What the connections share.
    pub fn shared(&mut self) -> &mut P::Shared {
        &mut self.shared
    }

    /// Runs the loop.
    ///
    /// # Errors
    /// If the poll itself fails, which nothing can be done about.
    pub fn run(&mut self, until: Until) -> io::Result<()> {
        self.accept_limit = match until {
            Until::Closed => u64::MAX,
            Until::Connections(count) => self.accepted + count,
            Until::Idle => 0,
        };
        let mut events = Events::with_capacity(EVENTS);
        let mut quiet = false;
        while !self.over {
            let hook = P::before_wait(&mut self.shared, self.time, quiet);
            self.wait(&mut events, hook)?;
            self.time = self.clock.read();
            quiet = events.is_empty() && self.run_queue.is_empty();
            self.turn_of_all(&events);
            #[cfg(debug_assertions)]
            self.audit();
        }
        P::before_wait(&mut self.shared, self.time, true);
        Ok(())
    }

    /// The only place that blocks.
    fn wait(&mut self, events: &mut Events, hook: Option<Duration>) -> io::Result<()> {
        let timeout = if !self.run_queue.is_empty() || !self.dials.is_empty() || self.can_accept() {
            Some(Duration::ZERO)
        } else {
            let (now, drain) = (self.time.now, self.drain.as_ref());
            let mut next = self.timers.next();
            let hook = hook.map(|span| now.after(span));
            for other in [self.datagrams.wake(), self.listeners.pause_until, drain.map(|drain| drain.by), hook] {
                next = Tick::earlier(next, other);
            }
            next.map(|next| next.since(now))
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            other => other,
        }
    }

    fn turn_of_all(&mut self, events: &Events) {
        // Changes of files were made before the requests that ask for them.
        if self.sources > 0 {
            for event in events {
                let token = event.token().0;
                if (FIRST_SOURCE..FIRST_SOURCE + self.sources).contains(&token) {
                    P::source_ready(token - FIRST_SOURCE, &mut self.shared);
                }
            }
        }
        for event in events {
            match event.token() {
                WAKER => self.woken(),
                SIGNALS => self.signalled(),
                Token(token @ FIRST_LISTENER..OWN_TOKENS) => match token.checked_sub(Datagrams::<()>::FIRST) {
                    Some(index) => self.datagrams_ready(index, event),
                    None => {
                        if let Some(listening) = self.listeners.get(token - FIRST_LISTENER) {
                            listening.latched = true;
                        }
                    }
                },
                token => {
                    let handle = Slots::<Slot<P>>::handle_of(token);
                    if let Some(slot) = self.slots.get(handle) {
                        slot.transport.latch(event);
                        // Its turn may already be due in the run queue; and who is
                        // in the middle of a file has time.
                        if slot.transport.is_amid_file() {
                            slot.enqueue(handle, &mut self.run_queue);
                        } else if !slot.queued {
                            self.pump(handle);
                        }
                    }
                }
            }
        }
        while let Some((index, armed)) = self.timers.expired(self.time.now) {
            if let Some((handle, slot)) = self.slots.at(index)
                && slot.armed == armed
            {
                slot.armed = Armed::NONE;
                if !slot.queued {
                    self.pump(handle);
                }
            }
        }
        self.wake_datagrams();
        // Then events get their turn again: sixty downloads in a row would let a small
        // request wait for milliseconds.
        self.run_queued(RUN);
        self.dial_all();
        if self.can_accept() {
            self.accept_all();
        }
        let open = self.open();
        if let Some(drain) = &mut self.drain {
            if open == 0 {
                self.over = true;
            } else if drain.by <= self.time.now {
                log::warn!("{open} connections cut off");
                self.over = true;
            } else if open != drain.waiting_for {
                drain.waiting_for = open;
                log::info!("waiting for {open} connections, at most {:.0?}", drain.by.since(self.time.now));
            }
        }
        if self.accepted >= self.accept_limit && open == 0 {
            self.over = true;
        }
    }

    /// How many connections and datagram sockets there are, or are to be.
    fn open(&self) -> usize {
        self.slots.len() + self.dials.len() + self.datagrams.len()
    }

    fn woken(&mut self) {
        if self.closer.closing.load(Ordering::Acquire) {
            self.begin_drain(limits::DRAIN_GRACE);
        }
        while let Some((handle, message)) = self.blocking.finished() {
            self.deliver(handle, message);
        }
    }

    fn signalled(&mut self) {
        let signals = self.signals.as_mut().map(Signals::pending).unwrap_or_default();
        for signal in signals {
            let (time, draining) = (self.time, self.drain.is_some());
            let handle = Handle::new(0, 0);
            let mut cx = Context { shared: &mut self.shared, time, handle, draining, effects: &mut self.effects };
            P::signal(signal, &mut cx);
            self.apply_effects();
        }
    }

    #[inline]
    fn apply_effects(&mut self) {
        if !self.effects.is_empty() {
            self.apply_all_effects();
        }
    }

    #[inline(never)]
    fn apply_all_effects(&mut self) {
        // In the order in which they were asked for.
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Send(handle, message) => self.deliver(handle, message),
                Effect::Run(handle, job) => self.run_job(handle, job),
                Effect::Connect(to, protocol) => self.connect(to, protocol),
                Effect::Drain(grace) => self.begin_drain(grace),
                Effect::Quit => self.over = true,
            }
        }
    }

    fn run_job(&mut self, handle: Handle, job: Job<P::Message>) {
        if let Err(error) = self.blocking.run(handle, job) {
            // Who waits has a deadline of its own.
            log::error!("no helper thread: {error}");
        }
    }

    fn deliver(&mut self, handle: Handle, message: P::Message) {
        if let Some(slot) = self.slots.get(handle) {
            slot.protocol.deliver(message);
            slot.enqueue(handle, &mut self.run_queue);
        } else if let Some(index) = Datagrams::<P::Datagrams>::index(handle) {
            self.deliver_to_datagrams(index, message);
        }
    }

    /// Gives `most` of those in the run queue their turn, and nobody two.
    fn run_queued(&mut self, most: usize) {
        for _ in 0..self.run_queue.len().min(most) {
            let Some(handle) = self.run_queue.pop_front() else { break };
            if let Some(slot) = self.slots.get(handle) {
                slot.queued = false;
                self.pump(handle);
            } else if let Some(index) = Datagrams::<P::Datagrams>::index(handle) {
                self.run_datagrams(index);
            }
        }
    }

    fn begin_drain(&mut self, grace: Duration) {
        if self.drain.is_some() {
            return;
        }
        self.drain = Some(Drain { by: self.time.now.after(grace), waiting_for: 0 });
        // Whoever is connected as far as the kernel is concerned is heard: closing
        // a listener resets what waits there.
        self.listeners.latch();
        for _ in 0..DRAIN_ACCEPTS {
            if !self.can_accept() {
                break;
            }
            self.accept_all();
        }
        self.listeners.close();
        self.listeners.pause_until = None;
        // Each is asked anew what it wants, now: the idle ones want to close, and
        // nobody is to be told that they are waited for.
        for handle in self.slots.handles() {
            if let Some(slot) = self.slots.get(handle) {
                slot.enqueue(handle, &mut self.run_queue);
            }
        }
        self.enqueue_all_datagrams();
        self.run_queued(usize::MAX);
    }

    fn has_room(&self) -> bool {
        self.slots.len() < (self.options.connections + self.options.reserve).min(CAPACITY)
    }

    fn may_accept(&self) -> bool {
        self.has_room() && self.accepted < self.accept_limit
    }

    fn can_accept(&self) -> bool {
        self.listeners.any_latched()
            && self.may_accept()
            && self.listeners.pause_until.is_none_or(|t| t <= self.time.now)
    }

    /// Asks for the connections that were wished for until now. What is wished for
    /// because one failed at once has to wait: events come first.
    fn dial_all(&mut self) {
        if self.dials.is_empty() {
            return;
        }
        for _ in 0..self.dials.len() {
            let Some((to, mut protocol)) = self.dials.pop_front() else { break };
            self.dialled += 1;
            let handle = self.slots.reserve();
            let transport =
                if self.has_room() { Transport::connect(&to) } else { Err(io::Error::other("too many connections")) };
            match transport {
                Ok(transport) => {
                    self.slots.insert(Slot {
                        transport,
                        protocol,
                        armed: Armed::NONE,
                        held: 0,
                        queued: false,
                        registered: false,
                        reading: false,
                        listener: NO_LISTENER,
                    });
                    self.newcomers.push(handle);
                }
                Err(error) => {
                    log::debug!("#{} can't be connected: {error}", handle.number());
                    let peer = Peer::of(&to);
                    let ends = Ends { peer, listener: None, socket: None };
                    self.ended(handle, &mut protocol, Ending { unsent: 0, error: Some(error) }, ends);
                    self.apply_effects();
                }
            }
        }
        self.hear_newcomers();
    }

    fn accept_all(&mut self) {
        self.listeners.pause_until = None;
        for index in 0..self.listeners.len() {
            for _ in 0..ACCEPTS {
                if self.slots.len() >= self.options.connections {
                    // Those that were just taken may be over in one turn.
                    self.hear_newcomers();
                }
                if !self.may_accept() || !self.accept_one(index) {
                    break;
                }
            }
        }
        self.hear_newcomers();
    }

    /// Gives the connections just taken their first turn. They may be younger
    /// than the events of this pass, so the sources are asked once more: what
    /// happened there before a client connected must be known when it is answered.
    fn hear_newcomers(&mut self) {
        if self.newcomers.is_empty() {
            return;
        }
        for source in 0..self.sources {
            P::source_ready(source, &mut self.shared);
        }
        let mut newcomers = std::mem::take(&mut self.newcomers);
        for handle in newcomers.drain(..) {
            self.pump(handle);
        }
        // Empty, but its memory is of use.
        self.newcomers = newcomers;
    }

    /// Takes one connection, to be heard soon. False if there is none.
    fn accept_one(&mut self, index: usize) -> bool {
        // Newcomers are told before those who are there have to be cut off.
        let overloaded = self.slots.len() >= self.options.connections || self.held >= self.options.memory / 8 * 7;
        let Some(listening) = self.listeners.get(index).filter(|listening| listening.latched) else { return false };
        let service = listening.service;
        let (socket, peer, readable) = match listening.listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    listening.latched = false;
                    return false;
                }
                // That one is gone; the next may be there.
                io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => return true,
                _ => {
                    // No descriptors or no memory: the latch stays, and the
                    // kernel keeps the connections for us.
                    if !self.listeners.starved {
                        log::warn!("can't accept: {error}");
                        self.listeners.starved = true;
                    }
                    self.listeners.pause_until = Some(self.time.now.after(PAUSE));
                    return false;
                }
            },
        };
        self.listeners.starved = false;
        self.accepted += 1;
        let handle = self.slots.reserve();
        let (time, draining, address) = (self.time, self.drain.is_some(), self.listeners.address(index as u8));
        let ends = Ends { peer, listener: address, socket: Some(&socket) };
        let mut cx = Context { shared: &mut self.shared, time, handle, draining, effects: &mut self.effects };
        let protocol = P::open(&Accepted { service, ends, overloaded }, &mut cx);
        self.apply_effects();
        let Some(protocol) = protocol else {
            self.closed += 1;
            return true;
        };
        // While shutting down nobody waits for an event that says so.
        let readable = readable || draining;
        self.slots.insert(Slot {
            transport: Transport::new(socket, peer, readable),
            protocol,
            armed: Armed::NONE,
            held: 0,
            queued: false,
            registered: false,
            // A client whose octets are awaited before it is accepted speaks first.
            reading: readable,
            listener: index as u8,
        });
        self.newcomers.push(handle);
        true
    }

    /// Compares the counts. Every connection is looked at, so not after every
    /// turn when there are many.
    #[cfg(debug_assertions)]
    fn audit(&self) {
        if self.slots.len() > 64 && !self.accepted.is_multiple_of(64) {
            return;
        }
        let opened = self.accepted + self.dialled;
        assert_eq!(opened - self.closed, self.slots.len() as u64, "a slot leaked");
        let queued = self.slots.iter().filter(|slot| slot.queued).count() + self.datagrams.queued();
        assert!(queued <= self.run_queue.len(), "a connection is marked as queued and isn't");
        assert!(self.slots.iter().all(|slot| slot.registered), "a connection is not registered");
        assert_eq!(self.held, self.slots.iter().map(|slot| slot.held as usize).sum::<usize>(), "memory is miscounted");
        assert!(self.input.is_empty() && self.output.is_empty(), "the lent buffers hold somebody's octets");
        P::audit(&self.shared, &mut self.slots.iter().map(|slot| &slot.protocol));
    }
}

// What ten thousand idle connections cost is ten thousand times this.
const _: () = assert!(size_of::<Slot<[u64; 3]>>() <= 80 || cfg!(debug_assertions));
