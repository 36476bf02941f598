//! The reactor: one poll, one thread, every socket.
//!
//! ```text
//! loop {
//!     wait        until an event, the first deadline, or not at all if work is queued
//!     read the clock, once
//!     sources     descriptors that must come before any connection (file changes)
//!     soon        connections left over from the pass before
//!     events      each connection that became ready gets its turn
//!     messages    signals and the outcomes of jobs; connections that have a message or
//!                 an outcome get their turn, but for those that were sent large pieces: they have it right
//!                 after the sender
//!     deadlines   each that was due before the poll gets its turn
//!     bulk        one of those that are in the middle of a transfer
//!     connect     where protocols want to
//!     accept      what waits at the listeners; then the sources once more, and each
//!                 new connection gets its turn
//!     count       how long this pass took
//! }
//! ```
//!
//! It knows bytes and connections, and nothing of what they mean: that is the
//! [`Protocol`]'s. Connections are registered at most once, edge-triggered, for both
//! directions, and never again; `transport.rs` explains why that is enough.
//!
//! A pass ends after a bounded amount of [work](Work). When it is used up, connections
//! whose event came get their turn in the next pass, in the order of their events.
//!
//! Invariants, checked in debug builds after each pass: as many slots as connections
//! opened, by either side, less those closed; as many slots marked as queued as there are
//! entries in the run queues that are not stale.

mod buffers;
mod bytes;
mod clock;
mod conversation;
mod datagram_socket;
mod datagrams;
mod endpoint;
mod figures;
mod held;
mod helpers;
mod input;
mod listener;
mod open;
mod options;
mod outbox;
mod pace;
mod pass;
mod peer;
mod plain_transport;
mod protocol;
mod pump;
mod run_queue;
mod security;
mod send_limit;
mod send_progress;
mod signals;
mod slot;
mod slots;
mod socket;
mod sys;
mod tap;
mod tapping;
mod test_context;
mod timers;
mod tls;
mod tls_transport;
mod transport;
mod want;
mod work;

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

pub use buffers::{FileSlice, Mark, Output};
pub use bytes::Bytes;
pub use clock::{ShortTick, Tick, Time};
pub use conversation::{Conversation, Next, Talk, TalkContext};
pub use datagram_socket::DatagramSocket;
pub use endpoint::{Dial, Endpoint};
pub use figures::Figures;
pub use helpers::{JobClass, JobId, JobResult, QueueFull, start_worker, within};
pub use input::{BUFFER, BULK, Input, RECEIVED};
pub use listener::Listener;
pub use options::{Options, Until};
pub use outbox::Outbox;
pub use pace::Pace;
pub use protocol::{Accepted, Context, DatagramProtocol, Ending, Ends, Io, NoDatagrams, NoStreams, Protocol, Stay};
pub use security::{Security, TlsFacts};
pub use send_limit::SendLimit;
pub use signals::Signal;
pub use slots::{CAPACITY, Handle, Slots};
pub(crate) use sys::{change_user, forbid_new_privileges};
pub use tap::{NoteOn, Tap, TapEnd, TapEnds, TapEvent, TapOptions};
#[doc(hidden)] // for tests and benches
pub use test_context::TestContext;
pub use timers::{Armed, Timers};
pub use tls::{
    KeptSecrets, KeyLog, KeyLogFile, TlsAcceptor, TlsClient, TlsConnector, TlsFailure, TlsIdentity, TlsServerSettings,
    TlsSettingsError, TlsSide, TlsStream, TlsTrust, is_certified,
};
pub use want::{Finish, Want};
pub use work::Work;

pub use crate::panics::Panicked;

use clock::Clock;
use datagrams::Datagrams;
use helpers::Helpers;
use listener::Listeners;
use protocol::Effect;
use run_queue::RunQueue;
use signals::Signals;
use slot::Slot;
use tap::LentTap;
use tls::LentCiphertext;

/// The reactor's own tokens: generation 0, which no connection has.
const WAKER: Token = Token(0);
const SIGNALS: Token = Token(1);
const TAP_SIGNAL: Token = Token(2);
const FIRST_SOURCE: usize = 3;
const FIRST_LISTENER: usize = 256;
/// Most listeners: a slot names its own in one byte, or says that it has none.
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
/// How often the log says for how many connections a shut-down waits.
const SAY_AGAIN: Duration = Duration::from_secs(1);
/// Deadlines in one pass.
const EXPIRED: usize = 64;
/// So much less memory in use than at the last peak is worth giving back to the system.
const TRIM: usize = 1024 * 1024;
/// How long the loop must have been quiet before: what was freed may be needed again at
/// once, and giving back many mebibytes takes milliseconds.
const TRIM_AFTER: Duration = Duration::from_secs(1);
/// How long accepting rests when the system has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

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
        // If the loop has ended there is nothing to wake.
        let _ = self.waker.wake();
    }
}

/// A shut-down in good order.
struct Drain {
    /// When it ends whatever is in flight.
    by: Tick,
    /// Connections that were in flight when that was last said, and when it was.
    waiting_for: usize,
    said: Tick,
}

/// The loop and everything it owns.
pub struct Reactor<P: Protocol> {
    poll: Poll,
    clock: Clock,
    time: Time,
    slots: Slots<Slot<P>>,
    timers: Timers,
    run_queue: RunQueue,
    /// Connections to be made, each with its protocol.
    dials: VecDeque<(Handle, Dial, P)>,
    /// Connections to be made at a moment, each with its protocol.
    later: Vec<(Tick, Dial, P)>,
    /// What this phase of the pass may still do.
    work: Work,
    /// Bytes of files that this pass may still send.
    files: u64,
    /// Accepted or started in this turn, before their first turn.
    newcomers: Vec<Handle>,
    datagrams: Datagrams<P::Datagrams>,
    listeners: Listeners<P::Listener>,
    signals: Option<Signals>,
    sources: usize,
    helpers: Helpers<P::Outcome>,
    closer: Closer,
    input: Input,
    output: Output,
    ciphertext: LentCiphertext,
    tap: LentTap,
    outbox: Outbox,
    effects: Vec<Effect<P>>,
    shared: P::Shared,
    options: Options,
    drain: Option<Drain>,
    over: bool,
    /// A protocol has asked for a pause.
    paused: bool,
    accept_limit: u64,
    figures: Figures,
    /// Most memory in use since it was last given back.
    peak: usize,
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
        let mut figures = Figures::default();
        figures.note_limits(&options);
        Ok(Self {
            poll,
            time: clock.read(),
            clock,
            slots: Slots::default(),
            timers: Timers::default(),
            run_queue: RunQueue::default(),
            dials: VecDeque::new(),
            later: Vec::new(),
            work: Work::phase(),
            files: work::PASS_FILES,
            newcomers: Vec::new(),
            datagrams: Datagrams::default(),
            listeners: Listeners::default(),
            signals: None,
            sources: 0,
            helpers: Helpers::new(Some(Arc::clone(&waker))),
            closer: Closer { closing: Arc::new(AtomicBool::new(false)), waker },
            input: Input::default(),
            output: Output::default(),
            ciphertext: None,
            tap: None,
            outbox: Outbox::default(),
            effects: Vec::new(),
            shared,
            options,
            drain: None,
            over: false,
            paused: false,
            accept_limit: u64::MAX,
            figures,
            peak: 0,
        })
    }

    /// Adds a listener; connections from it carry `value`. Returns its number.
    ///
    /// # Errors
    /// If it can't be registered, or there are too many.
    pub fn listen(&mut self, mut listener: Listener, value: P::Listener) -> io::Result<usize> {
        let is_used = |index: usize| self.slots.iter().any(|slot| usize::from(slot.listener) == index);
        let index = self.listeners.free(is_used);
        if index == LISTENERS {
            return Err(io::Error::other("too many listeners"));
        }
        listener.register(self.poll.registry(), Token(FIRST_LISTENER + index))?;
        self.listeners.put(index, listener, value);
        Ok(index)
    }

    /// The listener with this number.
    pub fn listener(&mut self, number: usize) -> Option<&Listener> {
        self.listeners.get(number).map(|listening| &listening.listener)
    }

    /// Changes what further connections of a listener speak and carry, and whether it is
    /// [apart](Listener::apart).
    pub fn change_listener(&mut self, number: usize, tls: Option<TlsAcceptor>, apart: bool, value: P::Listener) {
        if let Some(listening) = self.listeners.get(number) {
            listening.listener.set_tls(tls);
            listening.listener.set_apart(apart);
            listening.value = value;
        }
    }

    /// Closes the listener with this number. Connections that wait there are taken first; all of
    /// its connections stay.
    pub fn close_listener(&mut self, number: usize) {
        if let Some(listening) = self.listeners.get(number) {
            listening.latched = true;
        }
        self.accept_from(number, DRAIN_ACCEPTS * ACCEPTS);
        self.listeners.remove(number);
    }

    /// Has a connection made to `to`, as [`Context::connect`] does.
    pub fn connect(&mut self, to: impl Into<Dial>, protocol: P) -> Handle {
        let handle = self.slots.reserve();
        self.dials.push_back((handle, to.into(), protocol));
        handle
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
        if FIRST_SOURCE + source == FIRST_LISTENER {
            return Err(io::Error::other("too many sources"));
        }
        self.poll.registry().register(&mut SourceFd(&fd), Token(FIRST_SOURCE + source), Interest::READABLE)?;
        self.sources += 1;
        Ok(source)
    }

    /// Has no source reported any more.
    pub fn unwatch_all(&mut self, fds: impl IntoIterator<Item = RawFd>) {
        for fd in fds {
            // One that was closed is not registered any more.
            let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
        }
        self.sources = 0;
    }

    /// Uses other options from now on.
    pub fn set_options(&mut self, options: Options) {
        self.figures.note_limits(&options);
        self.options = options;
    }

    /// Whether it has ended for good, and isn't only paused.
    pub fn is_over(&self) -> bool {
        self.over
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

    /// Runs the loop, until the end or a [pause](Context::pause). After a pause it can go on.
    ///
    /// # Errors
    /// If the poll itself fails, which nothing can be done about.
    pub fn run(&mut self, until: Until) -> io::Result<()> {
        self.accept_limit = match until {
            Until::Closed => u64::MAX,
            Until::Connections(count) => self.figures.accepted + count,
            Until::Idle => 0,
        };
        let mut events = Events::with_capacity(EVENTS);
        let mut quiet = false;
        self.paused = false;
        P::started(&mut self.context(Handle::NONE));
        while !self.over && !self.paused {
            let mut hook = P::before_wait(&mut self.shared, self.time, quiet);
            if let Some(tap) = &mut self.tap {
                hook = hook.into_iter().chain(tap.before_wait(self.time, quiet)).min();
            }
            let asked = self.time.now;
            self.wait(&mut events, hook)?;
            self.time = self.clock.read();
            quiet = events.is_empty() && self.run_queue.is_empty();
            if quiet && self.can_trim() {
                sys::trim_heap();
                self.peak = self.in_use();
            }
            self.pass(&events, asked);
            let ended = self.clock.ticks();
            self.figures.passes.add(ended.as_micros().saturating_sub(self.time.now.as_micros()));
            #[cfg(debug_assertions)]
            self.audit();
        }
        P::before_wait(&mut self.shared, self.time, true);
        self.end_tap();
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
            let trim = self.can_trim().then(|| now.after(TRIM_AFTER));
            let later = self.later.iter().map(|(at, ..)| *at).min();
            let drain = drain.map(|drain| drain.by);
            for other in [self.datagrams.wake(), self.listeners.pause_until, drain, hook, trim, later] {
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

    /// About how many bytes connections take.
    fn in_use(&self) -> usize {
        self.figures.held + self.slots.len() * size_of::<Slot<P>>()
    }

    /// Whether much less memory is in use than at the last peak.
    fn can_trim(&self) -> bool {
        self.peak > self.in_use() + TRIM
    }

    /// Whether it is all over.
    fn check_end(&mut self) {
        let open = if self.drain.is_some() { self.awaited() } else { self.open() };
        if let Some(drain) = &mut self.drain {
            if open == 0 {
                self.over = true;
            } else if drain.by <= self.time.now {
                log::warn!("{open} connections cut off");
                self.over = true;
            } else if open != drain.waiting_for && drain.said <= self.time.now {
                (drain.waiting_for, drain.said) = (open, self.time.now.after(SAY_AGAIN));
                log::info!("waiting for {open} connections, at most {:.0?}", drain.by.since(self.time.now));
            }
        }
        if self.figures.accepted >= self.accept_limit && open == 0 {
            self.over = true;
        }
    }

    /// Compares the counts. Every connection is looked at, so not after every
    /// turn when there are many.
    #[cfg(debug_assertions)]
    fn audit(&self) {
        if self.slots.len() > 64 && !self.figures.accepted.is_multiple_of(64) {
            return;
        }
        let figures = &self.figures;
        let opened = figures.accepted + figures.dialled;
        let open = self.slots.len() - self.dials.len();
        assert_eq!(opened - figures.closed, open as u64, "a slot leaked");
        let queued = self.slots.iter().filter(|slot| slot.queued != slot::Queued::No).count() + self.datagrams.queued();
        assert!(queued <= self.run_queue.len(), "a connection is marked as queued and isn't");
        let is_known = |slot: &Slot<P>| slot.registered || slot.queued != slot::Queued::No;
        assert!(self.slots.iter().all(is_known), "a connection is neither registered nor queued");
        assert_eq!(
            figures.held,
            self.slots.iter().map(|slot| slot.held.bytes()).sum::<usize>(),
            "memory is miscounted"
        );
        assert!(self.input.is_empty() && self.output.is_empty(), "the lent buffers hold somebody's bytes");
        P::audit(&self.shared, &mut self.slots.iter().map(|slot| &slot.protocol));
    }
}
