//! One connection's turn: decide, act, decide.
//!
//! The protocol says what it wants, the transport does that much, and the
//! protocol is asked again, until a fresh wish moves nothing. Acting on an *old*
//! wish and then concluding that there is nothing left to do would hang.
//!
//! After sending, the protocol is asked again only if the output had no room when
//! it returned: otherwise it had already produced all that it could.

use std::io;
use std::time::Duration;

use super::clock::Tick;
use super::protocol::{Context, Ending, Ends, Finish, Io, Protocol};
use super::slots::Handle;
use super::transport::Phase;
use super::{Reactor, Slot};

/// Most rounds of one turn: 256 KiB of input, or some hundred answers. What is
/// left goes to the run queue, since the edge doesn't come back.
const ROUNDS: usize = 4;

/// How a turn ended.
enum Turn {
    /// Nothing moves until an event, a message or the deadline.
    Settled { wake: Option<Tick> },
    /// There is more to do, but it is the others' turn.
    Unfinished,
    /// The protocol is over; what still comes is discarded.
    Lingering,
    /// The connection is over.
    Over { ending: Ending, reset: bool },
}

impl<P: Protocol> Reactor<P> {
    /// Gives connection `index` its turn and settles what follows from it.
    pub(super) fn pump(&mut self, index: usize) {
        let Some(handle) = self.slots.handle(index) else { return };
        let Some(slot) = self.slots.at(index) else { return };
        let turn = match slot.transport.phase() {
            Phase::Open | Phase::Corked | Phase::Shut => self.turn(index, handle),
            Phase::Lingering => self.discard(index),
            Phase::Connecting => match slot.transport.establish() {
                Ok(()) => self.turn(index, handle),
                Err(error) => {
                    log::debug!("#{} can't be connected: {error}", handle.number());
                    let ending = Ending { unsent: slot.transport.unsent(), error: Some(error) };
                    Turn::Over { ending, reset: false }
                }
            },
        };
        // At once, so that who has closed already doesn't keep his place from the next.
        let turn = if matches!(turn, Turn::Lingering) { self.discard(index) } else { turn };
        match turn {
            Turn::Settled { wake } => {
                if let Some(slot) = self.slots.at(index)
                    && let Some(wake) = wake
                {
                    // A wish for a moment that is past, or not over yet as the
                    // timers count, would expire again within this pass over
                    // the deadlines, and that pass would never end.
                    let next = self.time.now.after(Duration::from_micros(1));
                    self.timers.arm(index, &mut slot.armed, wake.max(next));
                }
                self.register(index, handle);
            }
            Turn::Unfinished | Turn::Lingering => {
                self.enqueue(index);
                self.register(index, handle);
            }
            Turn::Over { ending, reset } => self.close(handle, ending, reset),
        }
        self.apply_effects();
    }

    fn turn(&mut self, index: usize, handle: Handle) -> Turn {
        let draining = self.drain.is_some();
        let Self { slots, input, output, shared, effects, time, options, listeners, held, .. } = self;
        let Some(slot) = slots.at(index) else { return Turn::Settled { wake: None } };
        let (transport, protocol) = (&mut slot.transport, &mut slot.protocol);
        let listener = listeners.address(slot.listener);
        let mut cx = Context { shared, time: *time, handle, draining, effects };
        let mut file_turn = super::transport::FILE_TURN;
        let mut sent = 0;
        let established = transport.phase() != Phase::Connecting;
        transport.restore(input, output);

        let mut rounds = 0;
        let mut turn = loop {
            let (peer, ended, unread) = (transport.peer, transport.ended, transport.can_read());
            let ends = Ends { peer, listener, socket: Some(&transport.socket) };
            let mut io = Io { input, output, ended, unread, gone: transport.is_gone(), established, ends };
            let want = protocol.advance(&mut io, &mut cx);
            rounds += 1;

            if want.finish == Finish::Abort {
                let ending = Ending { unsent: output.pending(), error: None };
                break Turn::Over { ending, reset: true };
            }
            let full = output.room() == 0;
            let mut moved = false;
            let mut turn_over = false;
            if !output.is_empty() && transport.can_write() {
                match transport.flush(output, want.finish == Finish::Close, &mut file_turn) {
                    Ok(flushed) => {
                        sent += flushed.octets;
                        turn_over = flushed.turn_over;
                        moved = full && flushed.octets > 0;
                    }
                    Err(error) => {
                        gone(handle, &error);
                        let reset = error.kind() == io::ErrorKind::UnexpectedEof;
                        let ending = Ending { unsent: output.pending(), error: Some(error) };
                        break Turn::Over { ending, reset };
                    }
                }
            }
            if turn_over {
                break Turn::Unfinished;
            }
            if output.is_empty() {
                match want.finish {
                    Finish::No | Finish::Abort => {}
                    // A connection that isn't there yet can't be ended by half, and
                    // there is nobody who could still be sending.
                    Finish::HalfClose => transport.half_close(),
                    Finish::Close | Finish::Linger if !established => {
                        break Turn::Over { ending: Ending::PROPER, reset: false };
                    }
                    Finish::Close if input.is_empty() && !transport.can_read() => {
                        break Turn::Over { ending: Ending::PROPER, reset: false };
                    }
                    Finish::Close | Finish::Linger => {
                        input.clear();
                        let until = time.now.after(options.linger);
                        transport.begin_linger(until);
                        break Turn::Lingering;
                    }
                }
            }
            if want.read && transport.can_read() && !input.is_full() {
                match transport.fill(input) {
                    Ok(filled) => moved |= filled,
                    Err(error) => {
                        gone(handle, &error);
                        let ending = Ending { unsent: output.pending(), error: Some(error) };
                        break Turn::Over { ending, reset: false };
                    }
                }
            }
            if !moved {
                break Turn::Settled { wake: want.wake };
            }
            if rounds == ROUNDS {
                break Turn::Unfinished;
            }
        };

        let blocked = !output.is_empty() && !transport.can_write() && established;
        if let Some(deadline) = transport.pace(time.now, sent, blocked, options.send_timeout) {
            if deadline <= time.now {
                log::debug!("#{} takes its answer too slowly", handle.number());
                let ending = Ending { unsent: output.pending(), error: Some(io::ErrorKind::TimedOut.into()) };
                turn = Turn::Over { ending, reset: true };
            } else if let Turn::Settled { wake } = &mut turn {
                *wake = Some(wake.map_or(deadline, |wake| wake.min(deadline)));
            }
        }
        if let Turn::Over { .. } = turn {
            input.clear();
            output.clear();
        }
        let (now, before) = transport.save(input, output, protocol.memory());
        *held = *held + now - before;
        if *held > options.memory && now > before && !matches!(turn, Turn::Over { .. }) {
            log::warn!("#{} wants memory that isn't there, and is cut off", handle.number());
            let ending = Ending { unsent: 0, error: Some(io::ErrorKind::OutOfMemory.into()) };
            turn = Turn::Over { ending, reset: true };
        }
        turn
    }

    /// A turn of a connection whose protocol is over: reads and throws away.
    fn discard(&mut self, index: usize) -> Turn {
        let Some(slot) = self.slots.at(index) else { return Turn::Settled { wake: None } };
        let over = Turn::Over { ending: Ending::PROPER, reset: false };
        let Some(until) = slot.transport.lingers().filter(|until| *until > self.time.now) else { return over };
        for _ in 0..ROUNDS {
            if slot.transport.ended {
                return over;
            }
            if !slot.transport.can_read() {
                return Turn::Settled { wake: Some(until) };
            }
            let filled = slot.transport.fill(&mut self.input);
            self.input.clear();
            if filled.is_err() {
                return over;
            }
        }
        Turn::Unfinished
    }

    /// Registers a connection that outlived its first turn: what was accepted,
    /// answered and closed in one turn never meets the poll. Adding reports the
    /// readiness that is already there, so nothing is missed.
    fn register(&mut self, index: usize, handle: Handle) {
        let Some(slot) = self.slots.at(index) else { return };
        if slot.registered {
            return;
        }
        slot.registered = true;
        if let Err(error) = slot.transport.socket.register(self.poll.registry(), handle.token()) {
            log::warn!("#{} can't be registered: {error}", handle.number());
            self.close(handle, Ending { unsent: 0, error: Some(error) }, true);
        }
    }

    /// Closes a connection.
    fn close(&mut self, handle: Handle, ending: Ending, reset: bool) {
        let Slot { transport, mut protocol, listener, .. } = self.slots.remove(handle);
        if reset {
            transport.reset_on_close();
        }
        self.held -= transport.held();
        let listener = self.listeners.address(listener);
        let ends = Ends { peer: transport.peer, listener, socket: Some(&transport.socket) };
        self.ended(handle, &mut protocol, ending, ends);
    }

    /// The one place where a connection ends, if only in the attempt.
    pub(super) fn ended(&mut self, handle: Handle, protocol: &mut P, ending: Ending, ends: Ends<'_>) {
        let (time, draining) = (self.time, self.drain.is_some());
        let mut cx = Context { shared: &mut self.shared, time, handle, draining, effects: &mut self.effects };
        protocol.closed(ending, ends, &mut cx);
        self.closed += 1;
    }
}

fn gone(handle: Handle, error: &io::Error) {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        log::warn!("#{}: a file became shorter while it was being sent", handle.number());
    } else {
        log::debug!("#{} is gone: {error}", handle.number());
    }
}
