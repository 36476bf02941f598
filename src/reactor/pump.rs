//! One connection's turn: decide, act, decide.
//!
//! The protocol says what it wants, the transport does that much, and the
//! protocol is asked again, until a fresh wish can move nothing. Acting on an *old*
//! wish and then concluding that there is nothing left to do would hang.
//!
//! A turn begins by reading, if that was the last wish: what came is what the
//! protocol waits for, and so it is asked once for a request and not twice. It is
//! asked after each attempt to read, whatever came of it.
//!
//! After sending, the protocol is asked again only if the output had no room when
//! it returned: otherwise it had already produced all that it could.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::Registry;

use super::buffers::{Input, Output};
use super::clock::Tick;
use super::protocol::{Context, Ending, Ends, Finish, Io, Protocol};
use super::slots::Handle;
use super::transport::{FILE_TURN, Phase};
use super::{Options, Reactor, Slot};

/// Most rounds of one turn: 256 KiB of input, or some hundred answers. What is
/// left goes to the run queue, since the edge doesn't come back.
const ROUNDS: usize = 4;

/// How a turn ended, if the connection goes on.
enum Turn {
    /// Nothing moves until an event, a message or the deadline.
    Settled { wake: Option<Tick> },
    /// There is more to do, but it is the others' turn.
    Unfinished,
}

/// How a connection ends.
struct Over {
    ending: Ending,
    reset: bool,
}

impl Over {
    /// The end that was wished for.
    const PROPER: Self = Self { ending: Ending::PROPER, reset: false };

    fn failed(error: io::Error, unsent: u64, reset: bool) -> Self {
        Self { ending: Ending { unsent, error: Some(error) }, reset }
    }

    /// The socket, or the file that was being sent, is of no use any more.
    #[cold]
    fn gone(handle: Handle, error: io::Error, output: &Output) -> Self {
        let shorter = error.kind() == io::ErrorKind::UnexpectedEof;
        if shorter {
            log::warn!("#{}: a file became shorter while it was being sent", handle.number());
        } else {
            log::debug!("#{} is gone: {error}", handle.number());
        }
        Self::failed(error, output.pending(), shorter)
    }
}

impl<P: Protocol> Reactor<P> {
    /// Gives a connection its turn and settles what follows from it.
    pub(super) fn pump(&mut self, handle: Handle) {
        let draining = self.drain.is_some();
        let Self { slots, input, output, shared, effects, options, listeners, held, .. } = self;
        let Some(slot) = slots.get(handle) else { return };
        let mut cx = Context { shared, time: self.time, handle, draining, effects };
        let turn = match slot.turn(input, output, listeners.address(slot.listener), &mut cx, options, held) {
            Ok(turn) => {
                match turn {
                    // A wish for a moment that is past, or not over yet as the
                    // timers count, would expire again within this pass over
                    // the deadlines, and that pass would never end.
                    Turn::Settled { wake: Some(wake) } => {
                        let next = self.time.now.after(Duration::from_micros(1));
                        self.timers.arm(handle.index(), &mut slot.armed, wake.max(next));
                    }
                    Turn::Settled { wake: None } => {}
                    Turn::Unfinished => slot.enqueue(handle, &mut self.run_queue),
                }
                slot.register(handle, self.poll.registry())
            }
            Err(over) => Err(over),
        };
        if let Err(over) = turn {
            self.close(handle, over);
        }
        self.apply_effects();
    }

    /// Closes a connection.
    fn close(&mut self, handle: Handle, over: Over) {
        let Slot { transport, mut protocol, listener, held, .. } = self.slots.remove(handle);
        if over.reset {
            transport.reset_on_close();
        }
        self.held -= held as usize;
        let listener = self.listeners.address(listener).copied();
        let ends = Ends { peer: transport.peer, listener: listener.as_ref(), socket: Some(&transport.socket) };
        self.ended(handle, &mut protocol, over.ending, ends);
    }

    /// The one place where a connection ends, if only in the attempt.
    pub(super) fn ended(&mut self, handle: Handle, protocol: &mut P, ending: Ending, ends: Ends<'_>) {
        let (time, draining) = (self.time, self.drain.is_some());
        let mut cx = Context { shared: &mut self.shared, time, handle, draining, effects: &mut self.effects };
        protocol.closed(ending, ends, &mut cx);
        self.closed += 1;
    }
}

impl<P: Protocol> Slot<P> {
    /// One turn with these buffers, of a connection that came from `listener`; `held` is
    /// what all connections hold.
    fn turn(
        &mut self,
        input: &mut Input,
        output: &mut Output,
        listener: Option<&SocketAddr>,
        cx: &mut Context<'_, P>,
        options: &Options,
        held: &mut usize,
    ) -> Result<Turn, Over> {
        let (handle, now) = (cx.handle, cx.time.now);
        if self.transport.phase() == Phase::Connecting
            && let Err(error) = self.transport.establish()
        {
            log::debug!("#{} can't be connected: {error}", handle.number());
            return Err(Over::failed(error, self.transport.unsent(), false));
        }
        if self.transport.phase() != Phase::Lingering {
            self.transport.restore(input, output);
            let turn = self.rounds(input, output, listener, cx, options);
            if turn.is_err() {
                input.clear();
                output.clear();
                return turn;
            }
            let holds = self.transport.save(input, output) + self.protocol.memory();
            let before = std::mem::replace(&mut self.held, u32::try_from(holds).unwrap_or(u32::MAX));
            *held = *held - before as usize + self.held as usize;
            if *held > options.memory && self.held > before {
                log::warn!("#{} wants memory that isn't there, and is cut off", handle.number());
                return Err(Over::failed(io::ErrorKind::OutOfMemory.into(), 0, true));
            }
            if self.transport.phase() != Phase::Lingering {
                return turn;
            }
            // At once, so that who has closed already doesn't keep his place from the next.
        }
        self.discard(input, now)
    }

    /// Reads, asks the protocol and sends, until nothing moves or it is the others' turn.
    fn rounds(
        &mut self,
        input: &mut Input,
        output: &mut Output,
        listener: Option<&SocketAddr>,
        cx: &mut Context<'_, P>,
        options: &Options,
    ) -> Result<Turn, Over> {
        let Self { transport, protocol, reading, .. } = self;
        let (handle, now) = (cx.handle, cx.time.now);
        let established = transport.phase() != Phase::Connecting;
        let mut file_turn = FILE_TURN;
        let mut sent = 0;
        let mut rounds = 0;
        let turn = loop {
            if *reading && transport.can_read() && !input.is_full() {
                transport.fill(input).map_err(|error| Over::gone(handle, error, output))?;
            }
            let (peer, ended, unread) = (transport.peer, transport.ended, transport.can_read());
            let ends = Ends { peer, listener, socket: Some(&transport.socket) };
            let mut io = Io { input, output, ended, unread, gone: transport.is_gone(), established, ends };
            let want = protocol.advance(&mut io, cx);
            rounds += 1;
            *reading = want.read;

            if want.finish == Finish::Abort {
                let ending = Ending { unsent: output.pending(), error: None };
                return Err(Over { ending, reset: true });
            }
            let full = output.room() == 0;
            let mut made_room = false;
            if !output.is_empty() && transport.can_write() {
                let last = want.finish == Finish::Close;
                let flushed =
                    transport.flush(output, last, &mut file_turn).map_err(|error| Over::gone(handle, error, output))?;
                sent += flushed.octets;
                if flushed.turn_over {
                    break Turn::Unfinished;
                }
                made_room = full && flushed.octets > 0;
            }
            if want.finish != Finish::No && output.is_empty() {
                match want.finish {
                    Finish::No | Finish::Abort => {}
                    // A connection that isn't there yet can't be ended by half, and
                    // there is nobody who could still be sending.
                    Finish::HalfClose => transport.half_close(),
                    Finish::Close | Finish::Linger if !established => return Err(Over::PROPER),
                    Finish::Close if input.is_empty() && !transport.can_read() => return Err(Over::PROPER),
                    Finish::Close | Finish::Linger => {
                        input.clear();
                        transport.begin_linger(now.after(options.linger));
                        break Turn::Unfinished;
                    }
                }
            }
            let readable = want.read && transport.can_read() && !input.is_full();
            if !made_room && !readable {
                break Turn::Settled { wake: want.wake };
            }
            if rounds == ROUNDS {
                break Turn::Unfinished;
            }
        };

        let blocked = !output.is_empty() && !transport.can_write() && established;
        let Some(deadline) = transport.pace(now, sent, blocked, options.send_timeout) else { return Ok(turn) };
        if deadline <= now {
            log::debug!("#{} takes its answer too slowly", handle.number());
            return Err(Over::failed(io::ErrorKind::TimedOut.into(), output.pending(), true));
        }
        Ok(match turn {
            Turn::Settled { wake } => Turn::Settled { wake: Tick::earlier(wake, Some(deadline)) },
            Turn::Unfinished => Turn::Unfinished,
        })
    }

    /// A turn of a connection whose protocol is over: reads and throws away.
    fn discard(&mut self, input: &mut Input, now: Tick) -> Result<Turn, Over> {
        let Some(until) = self.transport.lingers().filter(|until| *until > now) else { return Err(Over::PROPER) };
        for _ in 0..ROUNDS {
            if self.transport.ended {
                return Err(Over::PROPER);
            }
            if !self.transport.can_read() {
                return Ok(Turn::Settled { wake: Some(until) });
            }
            let filled = self.transport.fill(input);
            input.clear();
            if filled.is_err() {
                return Err(Over::PROPER);
            }
        }
        Ok(Turn::Unfinished)
    }

    /// Puts it into the run queue, if it isn't there.
    pub(super) fn enqueue(&mut self, handle: Handle, run_queue: &mut VecDeque<Handle>) {
        if !self.queued {
            self.queued = true;
            run_queue.push_back(handle);
        }
    }

    /// Registers a connection that outlived its first turn: what was accepted,
    /// answered and closed in one turn never meets the poll. Adding reports the
    /// readiness that is already there, so nothing is missed.
    fn register(&mut self, handle: Handle, registry: &Registry) -> Result<(), Over> {
        if self.registered {
            return Ok(());
        }
        self.registered = true;
        self.transport.socket.register(registry, handle.token()).map_err(|error| {
            log::warn!("#{} can't be registered: {error}", handle.number());
            Over::failed(error, 0, true)
        })
    }
}
