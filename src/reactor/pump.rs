//! One connection's turn: decide, act, decide.
//!
//! The protocol says what it wants, the transport does that much, and the
//! protocol is asked again, until what it wants now can move nothing. To act on what it
//! wanted *before*, and then to conclude that nothing is left to do, would hang.
//!
//! A turn begins by reading, if the protocol wanted that last. What came is what the
//! protocol waits for, so it is called once for a request and not twice. It is called
//! after each attempt to read, also if nothing was read.
//!
//! After sending, the protocol is asked again only if the output had no room when
//! it returned: otherwise it had already produced all that it could.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::Registry;

use super::buffers::Output;
use super::clock::Tick;
use super::input::{Input, RECEIVED};
use super::protocol::{Context, Ending, Ends, Io, Protocol};
use super::slot::{Queued, Reading, Slot};
use super::slots::Handle;
use super::tls::{LentCiphertext, TlsFailure, TlsSide};
use super::transport::{FILE_TURN, Filled, Phase, Share};
use super::want::{Finish, Want};
use super::work::{HANDSHAKE, ROUND, Work};
use super::{NO_LISTENER, Options, Reactor, SendLimit};

/// Most rounds of one turn: 256 KiB of input, or some hundred responses. What is
/// left goes to the run queue, since the edge doesn't come back.
const ROUNDS: usize = 4;

/// How a turn ended, if the connection goes on.
enum Turn {
    /// Nothing moves until an event, a message or the deadline.
    Settled { wake: Option<Tick> },
    /// There is more to do, but it is the others' turn.
    Unfinished,
}

/// What is lent to a connection for its turn.
struct Lent<'a> {
    input: &'a mut Input,
    output: &'a mut Output,
    ciphertext: &'a mut LentCiphertext,
    /// The address of the listener that it came from.
    listener: Option<&'a SocketAddr>,
    options: &'a Options,
    /// Bytes of files that may still be sent in this pass.
    files: &'a mut u64,
}

/// What a turn has done so far.
struct Done {
    rounds: usize,
    /// Bytes sent.
    sent: u64,
    /// What it may still send.
    share: Share,
}

/// How a connection ends.
struct Over {
    ending: Ending,
    reset: bool,
}

impl Over {
    /// The end that the protocol wanted.
    const PROPER: Self = Self { ending: Ending::PROPER, reset: false };

    fn failed(error: io::Error, unsent: u64, reset: bool) -> Self {
        Self { ending: Ending { unsent, error: Some(error) }, reset }
    }

    /// The socket, or the file that was being sent, is of no use any more.
    #[cold]
    fn gone(handle: Handle, error: io::Error, unsent: u64) -> Self {
        let shorter = error.kind() == io::ErrorKind::UnexpectedEof;
        if shorter {
            log::warn!("#{}: a file became shorter while it was being sent", handle.number());
        } else {
            log::debug!("#{} is gone: {error}", handle.number());
        }
        Self::failed(error, unsent, shorter)
    }
}

impl Lent<'_> {
    /// Bytes that weren't sent.
    fn unsent(&self) -> u64 {
        self.output.pending() + self.ciphertext.as_ref().map_or(0, |ciphertext| ciphertext.sealed.pending())
    }

    /// Drops everything.
    fn clear(&mut self) {
        self.input.clear();
        self.output.clear();
        if let Some(ciphertext) = self.ciphertext {
            ciphertext.clear();
        }
    }
}

impl<P: Protocol> Reactor<P> {
    /// Gives a connection its turn and settles what follows from it.
    pub(super) fn pump_alone(&mut self, handle: Handle) {
        // It is taken out for its turn, so that others can be made in it.
        let Some(mut slot) = self.slots.take(handle) else { return };
        slot.queued = Queued::No;
        let turn = self.turn(handle, &mut slot);
        let settled = turn.and_then(|turn| {
            match turn {
                // A deadline that is past, or not over yet as the timers count, would
                // expire again within this pass over the deadlines.
                Turn::Settled { wake: Some(wake) } => {
                    let next = self.time.now.after(Duration::from_micros(1));
                    self.timers.arm(handle.index(), &mut slot.armed, wake.max(next));
                }
                Turn::Settled { wake: None } => {}
                Turn::Unfinished => self.run_queue.push(handle, &mut slot, Queued::Bulk),
            }
            slot.register(handle, self.poll.registry())
        });
        match settled {
            Ok(()) => self.slots.put(handle, slot),
            Err(over) => self.close(handle, slot, over),
        }
        self.apply_effects();
    }

    fn turn(&mut self, handle: Handle, slot: &mut Slot<P>) -> Result<Turn, Over> {
        let (time, draining) = (self.time, self.drain.is_some());
        let Self {
            slots,
            input,
            output,
            ciphertext,
            shared,
            effects,
            options,
            listeners,
            helpers,
            files,
            figures,
            tap,
            ..
        } = self;
        if let Some(tap) = tap {
            tap.turn(handle);
        }
        let work = Work::turn();
        let mut cx = Context { shared, time, handle, draining, work, helpers, slots, effects, figures, tap };
        let (listener, window) = (listeners.address(slot.listener), cx.window());
        input.set_window(window.min(RECEIVED));
        output.set_window(window);
        ciphertext.iter_mut().for_each(|ciphertext| ciphertext.set_window(window));
        let turn = slot.turn(&mut Lent { input, output, ciphertext, listener, options, files }, &mut cx);
        let done = cx.work.done();
        self.work.spend(done);
        turn
    }

    /// Has TLS begin on a connection in plain text.
    #[cold]
    pub(super) fn begin_tls(&mut self, handle: Handle, side: &TlsSide) {
        let Some(slot) = self.slots.get(handle) else { return };
        match slot.transport.begin_tls(side) {
            Ok(()) => self.run_queue.push(handle, slot, Queued::Soon),
            Err(failure) => {
                log::debug!("#{}: TLS can't begin: {failure}", handle.number());
                if let Some(slot) = self.slots.take(handle) {
                    let unsent = slot.transport.unsent();
                    self.close(handle, slot, Over::failed(failure.into(), unsent, true));
                    self.apply_effects();
                }
            }
        }
    }

    /// Closes a connection.
    fn close(&mut self, handle: Handle, slot: Slot<P>, over: Over) {
        let Slot { transport, mut protocol, listener, held, .. } = slot;
        if over.reset {
            transport.reset_on_close();
        }
        self.figures.held -= held.bytes();
        let listener = self.listeners.address(listener).copied();
        let (security, connected) = (transport.security(), transport.phase() != Phase::Connecting);
        let ends = Ends {
            peer: transport.peer,
            listener: listener.as_ref(),
            socket: Some(&transport.socket),
            security,
            connected,
        };
        let told = self.tap.as_ref().map(|tap| tap.ending(over.reset, over.ending.error.as_ref(), connected));
        self.ended(handle, &mut protocol, over.ending, ends);
        self.tell_closed(handle, told);
    }

    /// The one place where a connection ends, if only in the attempt.
    pub(super) fn ended(&mut self, handle: Handle, protocol: &mut P, ending: Ending, ends: Ends<'_>) {
        protocol.closed(ending, ends, &mut self.context(handle));
        self.helpers.forget(handle);
        self.slots.free(handle);
        self.figures.closed += 1;
    }
}

impl<P: Protocol> Slot<P> {
    /// One turn.
    fn turn(&mut self, lent: &mut Lent<'_>, cx: &mut Context<'_, P>) -> Result<Turn, Over> {
        if self.transport.phase() == Phase::Connecting
            && let Err(error) = self.transport.establish(cx.tap)
        {
            log::debug!("#{} can't be connected: {error}", cx.handle.number());
            return Err(Over::failed(error, self.transport.unsent(), false));
        }
        if self.transport.phase() != Phase::Lingering {
            self.transport.restore(lent.input, lent.output, lent.ciphertext);
            let turn = self.rounds(lent, cx);
            if turn.is_err() {
                lent.clear();
                return turn;
            }
            self.account(lent, cx)?;
            if self.transport.phase() != Phase::Lingering {
                return turn;
            }
            // At once, so that a peer that has closed already doesn't keep its slot from
            // the next.
        }
        self.discard(lent.input, cx)
    }

    /// Puts away what is left in the lent buffers, and counts the memory that the
    /// connection holds now.
    fn account(&mut self, lent: &mut Lent<'_>, cx: &mut Context<'_, P>) -> Result<(), Over> {
        let holds = self.transport.save(lent.input, lent.output, lent.ciphertext) + self.protocol.memory();
        let before = self.held.bytes();
        let grown = self.held.set(holds);
        let held = &mut cx.figures.held;
        *held = *held - before + self.held.bytes();
        if grown && *held > lent.options.memory {
            cx.figures.out_of_memory += 1;
            log::warn!("#{} needs more memory than is left, and is closed", cx.handle.number());
            return Err(Over::failed(io::ErrorKind::OutOfMemory.into(), 0, true));
        }
        Ok(())
    }

    /// Reads, asks the protocol and sends, until nothing moves or it is the others' turn.
    fn rounds(&mut self, lent: &mut Lent<'_>, cx: &mut Context<'_, P>) -> Result<Turn, Over> {
        let files = FILE_TURN.min(*lent.files);
        let (now, limit) = (cx.time.now, lent.options.send_limit.filter(|_| self.listener != NO_LISTENER));
        let bytes = limit.map_or(u64::MAX, |limit| limit.room(self.transport.full(), now));
        let mut done = Done { rounds: 0, sent: 0, share: Share { files, bytes } };
        let (turn, finish) = loop {
            let want = self.ask(lent, cx)?;
            done.rounds += 1;
            cx.work.spend(ROUND);
            if let Some(turn) = self.act(&want, &mut done, lent, cx)? {
                break (turn, want.finish);
            }
        };
        *lent.files -= files - done.share.files;
        cx.figures.sent += done.sent;
        let mut until = self.deadline(finish, done.sent, lent, cx)?;
        match limit {
            Some(limit) => {
                let next = self.pay(limit, bytes - done.share.bytes, done.share, finish, lent, now);
                until = Tick::earlier(until, next);
            }
            None => self.transport.set_full(None),
        }
        let Some(until) = until else { return Ok(turn) };
        Ok(match turn {
            Turn::Settled { wake } => Turn::Settled { wake: Tick::earlier(wake, Some(until)) },
            Turn::Unfinished => Turn::Unfinished,
        })
    }

    /// Counts what was sent against the limit of the speed. Returns when the connection needs a
    /// turn for that: when more may be sent, or when nothing has to be remembered any longer.
    #[inline(never)]
    fn pay(
        &mut self,
        limit: SendLimit,
        sent: u64,
        left: Share,
        finish: Finish,
        lent: &Lent<'_>,
        now: Tick,
    ) -> Option<Tick> {
        let full = limit.spend(self.transport.full(), now, sent);
        let is_held = left.bytes == 0 && self.transport.has_output(lent.output, finish, lent.ciphertext);
        let full = Some(full).filter(|full| *full > now);
        self.transport.set_full(full);
        full.map(|full| if is_held { limit.next(full, lent.unsent()) } else { full })
    }

    /// When the connection is to be given up, if the peer doesn't take its output. What waits
    /// for the limit of the speed doesn't wait for the peer.
    #[inline(always)]
    fn deadline(
        &mut self,
        finish: Finish,
        sent: u64,
        lent: &Lent<'_>,
        cx: &mut Context<'_, P>,
    ) -> Result<Option<Tick>, Over> {
        let transport = &mut self.transport;
        // A connection that isn't there yet has a deadline of its protocol's.
        let blocked = transport.phase() != Phase::Connecting
            && transport.has_output(lent.output, finish, lent.ciphertext)
            && (!transport.can_write() || transport.is_handshaking());
        let deadline = transport.track_output(cx.time.now, sent, blocked, lent.options.send_timeout);
        if deadline.is_some_and(|deadline| deadline <= cx.time.now) {
            cx.figures.slow_readers += 1;
            let peer = transport.peer.address().map_or_else(|| "unix".to_owned(), |peer| peer.to_string());
            log::debug!("#{} {peer}: closed, because it reads too slowly", cx.handle.number());
            return Err(Over::failed(io::ErrorKind::TimedOut.into(), lent.unsent(), true));
        }
        Ok(deadline)
    }

    /// Reads if that was wanted last, and asks the protocol what it wants now.
    #[inline(always)]
    fn ask(&mut self, lent: &mut Lent<'_>, cx: &mut Context<'_, P>) -> Result<Want, Over> {
        // A handshake reads whatever the protocol wants.
        let reads = self.reading != Reading::No || self.transport.is_handshaking();
        if reads && self.transport.can_read() && !lent.input.is_full() {
            if self.reading == Reading::Bulk {
                lent.input.set_window(cx.window());
            }
            let (before, shaking) = (lent.input.bytes().len(), self.transport.is_handshaking());
            let filled = self.transport.fill(lent.input, lent.ciphertext, cx.tap);
            cx.figures.received += (lent.input.bytes().len() - before) as u64;
            if shaking {
                self.count_handshake(&filled, cx);
            }
            match filled {
                Ok(Filled::Yes) => {}
                Ok(Filled::Handshake) => cx.work.spend(HANDSHAKE),
                Ok(Filled::PlainText) => self.expect_plain_text(cx)?,
                Err(error) if self.transport.has_failed() => return self.end_failed(error, lent, cx),
                Err(error) => return Err(Over::gone(cx.handle, error, lent.unsent())),
            }
        }
        let Self { transport, protocol, reading, .. } = self;
        let Lent { input, output, listener, .. } = lent;
        let (peer, ended, unread) = (transport.peer, transport.ended, transport.can_read());
        let (security, connected) = (transport.security(), transport.phase() != Phase::Connecting);
        let ends = Ends { peer, listener: *listener, socket: Some(&transport.socket), security, connected };
        let (truncated, gone, established) =
            (transport.is_truncated(), transport.is_gone(), transport.is_established());
        let mut io = Io { input, output, ended, truncated, unread, gone, established, ends };
        let want = protocol.advance(&mut io, cx);
        *reading = Reading::from(&want);
        Ok(want)
    }

    /// Counts a handshake of TLS that was not over, if it is now.
    #[cold]
    fn count_handshake(&self, filled: &io::Result<Filled>, cx: &mut Context<'_, P>) {
        match (filled, self.transport.security().facts()) {
            (Err(_), _) => cx.figures.failed_handshakes += 1,
            (Ok(_), Some(facts)) => cx.figures.handshakes[usize::from(facts.resumed)] += 1,
            (Ok(_), None) => {}
        }
    }

    /// The peer of a listener for TLS speaks plain text.
    #[cold]
    fn expect_plain_text(&self, cx: &Context<'_, P>) -> Result<(), Over> {
        if self.protocol.answers_plain_text() {
            return Ok(());
        }
        log::debug!("#{} closed: it speaks plain text where TLS is expected", cx.handle.number());
        Err(Over::PROPER)
    }

    /// TLS has failed. Sends the alert, if the socket takes it, and ends.
    #[cold]
    fn end_failed(&mut self, error: io::Error, lent: &mut Lent<'_>, cx: &mut Context<'_, P>) -> Result<Want, Over> {
        lent.output.clear();
        let share = &mut Share::unlimited();
        let failed = self.transport.flush(lent.output, Finish::Cut, share, lent.ciphertext, cx.tap).is_err();
        let cut = TlsFailure::of(&error) == Some(&TlsFailure::Cut);
        if failed || cut || lent.listener.is_none() {
            return Err(Over::gone(cx.handle, error, 0));
        }
        // The peer may still be sending, so that a close would cost it the alert.
        log::debug!("#{}: {error}", cx.handle.number());
        lent.clear();
        Ok(Want::finish(Finish::Cut))
    }

    /// Does what the protocol wants. Returns how the turn ends, if it does.
    #[inline(always)]
    fn act(
        &mut self,
        want: &Want,
        done: &mut Done,
        lent: &mut Lent<'_>,
        cx: &mut Context<'_, P>,
    ) -> Result<Option<Turn>, Over> {
        if want.finish == Finish::Abort {
            let ending = Ending { unsent: lent.unsent(), error: None };
            return Err(Over { ending, reset: true });
        }
        let transport = &mut self.transport;
        let full = lent.output.room() == 0;
        let mut has_output = transport.has_output(lent.output, want.finish, lent.ciphertext);
        if has_output && transport.can_write() {
            let flushed = transport
                .flush(lent.output, want.finish, &mut done.share, lent.ciphertext, cx.tap)
                .map_err(|error| Over::gone(cx.handle, error, lent.unsent()))?;
            done.sent += flushed.bytes;
            if flushed.turn_over {
                return Ok(Some(Turn::Unfinished));
            }
            has_output = transport.has_output(lent.output, want.finish, lent.ciphertext);
        }
        let made_room = full && lent.output.room() > 0;
        if want.finish != Finish::No && !has_output {
            // A connection that isn't there can't be half closed, and its peer can't be sending.
            let connecting = transport.phase() == Phase::Connecting;
            match want.finish {
                Finish::No | Finish::Abort => {}
                Finish::HalfClose => transport.half_close(cx.tap),
                _ if connecting => return Err(Over::PROPER),
                Finish::Close if lent.input.is_empty() && !transport.can_read() => return Err(Over::PROPER),
                Finish::Close | Finish::Linger | Finish::Cut => {
                    lent.input.clear();
                    transport.begin_linger(cx.time.now.after(lent.options.linger), cx.tap);
                    return Ok(Some(Turn::Unfinished));
                }
            }
        }
        let reads = want.read || transport.is_handshaking();
        let readable = reads && transport.can_read() && !lent.input.is_full();
        Ok(match (want.again, made_room || readable) {
            (true, _) => Some(Turn::Unfinished),
            (false, false) => Some(Turn::Settled { wake: want.wake }),
            (false, true) => (done.rounds == ROUNDS || cx.work.is_spent()).then_some(Turn::Unfinished),
        })
    }

    /// A turn of a connection whose protocol is over: reads and discards.
    fn discard(&mut self, input: &mut Input, cx: &mut Context<'_, P>) -> Result<Turn, Over> {
        let Some(until) = self.transport.lingers().filter(|until| *until > cx.time.now) else {
            return Err(Over::PROPER);
        };
        for _ in 0..ROUNDS {
            if self.transport.ended {
                return Err(Over::PROPER);
            }
            if !self.transport.can_read() {
                return Ok(Turn::Settled { wake: Some(until) });
            }
            let received = self.transport.receive(input);
            if let Some(tap) = cx.tap {
                let hidden = tap.is_plain() && self.transport.security().is_tls();
                tap.read(&received, if hidden { &[] } else { input.bytes() }, self.transport.ended);
            }
            input.clear();
            if received.is_err() {
                return Err(Over::PROPER);
            }
        }
        Ok(Turn::Unfinished)
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

#[cfg(test)]
mod tests;
