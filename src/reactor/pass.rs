//! One pass over everything that is due: the phases of the loop, and what other threads,
//! the system and connections say to each other.

use std::sync::atomic::Ordering;

use mio::event::Event;
use mio::{Events, Token};

use super::clock::Tick;
use super::datagrams::Datagrams;
use super::helpers::Ended;
use super::protocol::{Context, Effect, Protocol};
use super::signals::Signals;
use super::slot::{Queued, Slot};
use super::slots::{Handle, Slots};
use super::timers::Armed;
use super::work::{self, Work};
use super::{EXPIRED, FIRST_LISTENER, FIRST_SOURCE, OWN_TOKENS, Reactor, SIGNALS, TAP_SIGNAL, WAKER, bytes, transport};
use crate::limits;

/// Effects for which memory is kept; a turn has a few.
const EFFECTS: usize = 64;

impl<P: Protocol> Reactor<P> {
    /// One pass over everything that is due. `asked` is before the poll that found the events.
    pub(super) fn pass(&mut self, events: &Events, asked: Tick) {
        self.files = work::PASS_FILES;
        self.take_sources(events);
        // Each phase has a share of its own: neither those that waited nor those that come
        // can take it all, however much the turn of one of them does.
        self.work = Work::phase();
        self.run_soon();
        self.work = Work::phase();
        self.take_events(events);
        self.take_messages(events);
        self.run_soon();
        self.expire_deadlines(asked);
        self.run_bulk();
        self.dial_all();
        if self.can_accept() {
            self.accept_all();
        }
        self.peak = self.peak.max(self.in_use());
        self.check_end();
    }

    /// Changes of files were made before the requests that ask for them.
    fn take_sources(&mut self, events: &Events) {
        if self.sources == 0 {
            return;
        }
        for event in events {
            let token = event.token().0;
            if (FIRST_SOURCE..FIRST_SOURCE + self.sources).contains(&token) {
                P::source_ready(token - FIRST_SOURCE, &mut self.shared);
            }
        }
    }

    /// What other threads and the system say. After the events: a request that came
    /// before a signal is answered as if the signal had not come.
    fn take_messages(&mut self, events: &Events) {
        for event in events {
            match event.token() {
                WAKER => self.woken(),
                SIGNALS => self.signalled(),
                TAP_SIGNAL => self.tap_asked(),
                _ => {}
            }
        }
    }

    /// Each connection, listener and datagram socket that became ready. When the work is
    /// spent, connections are queued.
    fn take_events(&mut self, events: &Events) {
        for event in events {
            match event.token() {
                WAKER | SIGNALS | TAP_SIGNAL => {}
                Token(token @ FIRST_LISTENER..OWN_TOKENS) => match token.checked_sub(Datagrams::<()>::FIRST) {
                    Some(index) => self.datagrams_ready(index, event),
                    None => {
                        if let Some(listening) = self.listeners.get(token - FIRST_LISTENER) {
                            listening.latched = true;
                        }
                    }
                },
                token => self.connection_ready(Slots::<Slot<P>>::handle_of(token), event),
            }
        }
    }

    fn connection_ready(&mut self, handle: Handle, event: &Event) {
        let Some(slot) = self.slots.get(handle) else { return };
        slot.transport.latch(event);
        if slot.queued != Queued::No {
            // Its turn is due anyway.
        } else if slot.is_bulk() {
            self.run_queue.push(handle, slot, Queued::Bulk);
        } else if self.work.is_spent() {
            self.run_queue.push(handle, slot, Queued::Soon);
        } else {
            self.pump(handle);
        }
    }

    /// Those that were due when the sockets were asked last. A process may be stopped for long,
    /// also between the poll and the reading of the clock: then the next poll, which doesn't wait,
    /// finds what has come meanwhile, and the deadlines follow.
    fn expire_deadlines(&mut self, asked: Tick) {
        for _ in 0..EXPIRED {
            let Some((index, armed)) = self.timers.expired(asked) else { break };
            if let Some((handle, slot)) = self.slots.at(index)
                && slot.armed == armed
            {
                slot.armed = Armed::NONE;
                if slot.queued == Queued::No {
                    self.pump(handle);
                }
            }
        }
        self.wake_datagrams();
    }

    /// Those that have a message, and those that a phase had no work left for, as far as
    /// the work of this phase goes. None gets two turns.
    pub(super) fn run_soon(&mut self) {
        self.pump_next();
        for _ in 0..self.run_queue.soon() {
            if self.work.is_spent() {
                break;
            }
            self.run_next(Queued::Soon, Self::pump);
        }
    }

    /// One transfer, whatever work is left: then events come first again.
    fn run_bulk(&mut self) {
        self.files = self.files.max(transport::FILE_TURN);
        self.run_next(Queued::Bulk, Self::pump);
    }

    /// Gives a connection its turn, and then those that it has sent large pieces.
    pub(super) fn pump(&mut self, handle: Handle) {
        self.pump_alone(handle);
        if self.run_queue.next() > 0 {
            self.pump_next();
        }
    }

    /// Gives those that were sent large pieces their turn, as far as the work of this phase goes. Those that
    /// they send some in turn wait, so that no two take all the work.
    #[inline(never)]
    fn pump_next(&mut self) {
        for _ in 0..self.run_queue.next() {
            if self.work.is_spent() {
                break;
            }
            self.run_next(Queued::Next, Self::pump_alone);
        }
    }

    /// Gives the next of a class its turn by `pump`.
    fn run_next(&mut self, class: Queued, pump: impl Fn(&mut Self, Handle)) {
        while let Some(handle) = self.run_queue.pop(class) {
            if let Some(slot) = self.slots.get(handle) {
                // Else it is queued in the other class by now, or had its turn.
                if slot.queued == class {
                    return pump(self, handle);
                }
            } else if let Some(index) = Datagrams::<P::Datagrams>::index(handle) {
                return self.run_datagrams(index);
            }
        }
    }

    /// How many connections and datagram sockets there are, or are to be.
    pub(super) fn open(&self) -> usize {
        self.slots.len() + self.datagrams.len()
    }

    pub(super) fn woken(&mut self) {
        if self.closer.closing.load(Ordering::Acquire) {
            self.begin_drain(limits::DRAIN_GRACE);
        }
        while let Some(Ended { waiter, job, result }) = self.helpers.ended() {
            if waiter == Handle::NONE {
                P::shared_job_ended(result, &mut self.context(waiter));
                self.apply_effects();
            } else if let Some(slot) = self.slots.get(waiter) {
                slot.protocol.job_ended(job, result);
                self.run_queue.push(waiter, slot, Queued::Soon);
            } else if let Some(index) = Datagrams::<P::Datagrams>::index(waiter) {
                self.job_ended_for_datagrams(index, job, result);
            }
        }
    }

    /// A context for a call outside a connection's turn.
    pub(super) fn context(&mut self, handle: Handle) -> Context<'_, P> {
        let (time, draining) = (self.time, self.drain.is_some());
        let Self { shared, helpers, slots, effects, figures, tap, .. } = self;
        let work = Work::turn();
        Context { shared, time, handle, draining, work, helpers, slots, effects, figures, tap }
    }

    pub(super) fn signalled(&mut self) {
        let signals = self.signals.as_mut().map(Signals::pending).unwrap_or_default();
        for signal in signals {
            P::signal(signal, &mut self.context(Handle::NONE));
            self.apply_effects();
        }
    }

    pub(super) fn apply_effects(&mut self) {
        if !self.effects.is_empty() {
            self.apply_all_effects();
        }
    }

    #[inline(never)]
    fn apply_all_effects(&mut self) {
        // In the order in which they were asked for.
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send { from, to, message } => self.deliver(from, to, message),
                Effect::Connect(handle, to, protocol) => self.dials.push_back((handle, to, protocol)),
                Effect::ConnectLater(at, to, protocol) => self.later.push((at, to, protocol)),
                Effect::Secure(handle, side) => self.begin_tls(handle, &side),
                Effect::Drain(grace) => self.begin_drain(grace),
                Effect::Pause => self.paused = true,
                Effect::Quit => self.over = true,
            }
        }
        // Its memory is used again, unless it was a peak.
        if self.effects.is_empty() && effects.capacity() <= EFFECTS {
            self.effects = effects;
        }
    }

    fn deliver(&mut self, from: Handle, to: Handle, message: P::Message) {
        if let Some(slot) = self.slots.get(to) {
            // Its turn may come after many others.
            let (held, brought) = (slot.held.bytes(), P::memory_of(&message));
            slot.held.add(brought);
            slot.protocol.deliver(message);
            self.figures.held += slot.held.bytes() - held;
            self.run_queue.push(to, slot, if brought < bytes::LEAST { Queued::Soon } else { Queued::Next });
        } else if let Some(index) = Datagrams::<P::Datagrams>::index(to) {
            self.deliver_to_datagrams(index, message);
        } else if let Some((.., protocol)) = self.dials.iter_mut().find(|(handle, ..)| *handle == to) {
            // It is asked for, and gets its first turn soon.
            protocol.deliver(message);
        } else if let Some(slot) = self.slots.get(from) {
            slot.protocol.undelivered(to, message);
            self.run_queue.push(from, slot, Queued::Soon);
        }
    }
}
