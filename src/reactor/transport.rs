//! A connection's plumbing: the socket, what is latched about it, what is left
//! over. The only place that decides when a stream is read, written or shut down.
//!
//! Readiness is a latch. Under edge triggering an event says "has become
//! readable"; it is remembered here and cleared only by proof: `WouldBlock`, or a
//! read that didn't fill its buffer, unless a hang-up was seen, since then the
//! end of input is still to be read. So the read that would only say "nothing
//! there" is never made. (A read also stops short at TCP's urgent mark: a client
//! that sends urgent data may have to send more before it is read, or it runs into
//! its deadline. No protocol here knows urgent data.)

use std::io;
use std::time::Duration;

use mio::event::Event;

use super::buffers::{Leftover, Output};
use super::clock::Tick;
use super::endpoint::Dial;
use super::input::{Input, SMALL};
use super::peer::Peer;
use super::security::Security;
use super::send_progress::SendProgress;
use super::socket::Socket;
use super::tap::{LentTap, TapEvent};
use super::tls::{LentCiphertext, TlsClient, TlsConnection};
use super::want::Finish;

/// Most bytes of files in one turn of one connection: then it is the others'
/// turn. Measured: larger turns fill the socket's queue beyond the processor's
/// cache and let small answers wait.
pub(super) const FILE_TURN: u64 = 128 * 1024;

/// What one turn may still send.
#[derive(Clone, Copy)]
pub(super) struct Share {
    /// Bytes of files.
    pub(super) files: u64,
    /// Bytes of any kind: what the limit of the speed allows now.
    pub(super) bytes: u64,
}

impl Share {
    /// For what is sent in any case.
    pub(super) fn unlimited() -> Self {
        Self { files: 0, bytes: u64::MAX }
    }

    /// As many of `bytes` as may be sent now.
    #[inline(always)]
    pub(super) fn cut<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        if bytes.len() as u64 <= self.bytes { bytes } else { &bytes[..self.bytes as usize] }
    }
}

/// Whether a hang-up was seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum HungUp {
    No,
    /// The end of input is there to be read.
    Ended,
    /// There was a reset, or both directions have ended.
    Gone,
}

/// A connection's plumbing.
pub(super) struct Transport {
    pub(super) socket: Socket,
    /// What an idle connection doesn't have.
    rest: Option<Box<Rest>>,
    pub(super) peer: Peer,
    readable: bool,
    writable: bool,
    hung_up: HungUp,
    /// The end of input was read.
    pub(super) ended: bool,
    phase: Phase,
}

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// It was asked for, and isn't there yet.
    Connecting,
    /// It is there.
    Open,
    /// Its output was ended.
    Shut,
    /// Its protocol is over; what still comes is discarded.
    Lingering,
}

/// What only a busy connection has.
#[derive(Default)]
struct Rest {
    leftover: Leftover,
    /// The progress of the output while the peer doesn't take it.
    progress: Option<SendProgress>,
    /// Until when input is discarded; the protocol is over.
    linger: Option<Tick>,
    /// When it may be sent a second's worth of bytes again, if their speed is limited.
    full: Option<Tick>,
    /// The kernel keeps a last segment that isn't full: a file goes on in the next turn.
    corked: bool,
    protection: Option<Protection>,
}

/// What protects a connection whose listener or dial is for TLS, or that asked for it.
pub(super) enum Protection {
    Tls(Box<TlsConnection>),
    /// TLS that begins when the output in plain text is sent. Nothing is read until then.
    Awaited(Box<TlsConnection>),
    /// Nothing: the peer spoke plain text.
    Missing,
}

/// What came of an attempt to receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Filled {
    /// What there was.
    Yes,
    /// A message of the handshake, which cost a lot of work.
    Handshake,
    /// Plain text, where TLS was expected.
    PlainText,
}

/// What came of an attempt to send.
pub(super) struct Sent {
    /// Bytes that went out.
    pub(super) bytes: u64,
    /// The turn's share of file bytes is used up.
    pub(super) turn_over: bool,
}

impl Rest {
    /// Whether nothing is in it.
    fn is_empty(&self) -> bool {
        self.linger.is_none() && self.full.is_none() && !self.corked && self.protection.is_none()
    }
}

impl Transport {
    /// A connection just made. `readable` if it is known that input is there.
    pub(super) fn new(socket: Socket, peer: Peer, readable: bool, tls: Option<TlsConnection>) -> Self {
        let rest = tls.map(|tls| {
            let protection = Some(Protection::Tls(Box::new(tls)));
            Box::new(Rest { protection, ..Rest::default() })
        });
        Self { socket, rest, peer, readable, writable: true, hung_up: HungUp::No, ended: false, phase: Phase::Open }
    }

    /// A connection that is asked for now. Until it is there, nothing can be read or
    /// sent: output waits.
    pub(super) fn connect(to: &Dial) -> io::Result<Self> {
        let tls = to.tls.as_ref().map(TlsClient::connect).transpose()?;
        let transport = Self::new(Socket::connect(&to.endpoint)?, Peer::of(&to.endpoint), false, tls);
        Ok(Self { writable: false, phase: Phase::Connecting, ..transport })
    }

    /// What protects it.
    pub(super) fn security(&self) -> Security<'_> {
        match self.rest.as_ref().and_then(|rest| rest.protection.as_ref()) {
            None => Security::Plain,
            Some(Protection::Missing) => Security::PlainAtTls,
            Some(Protection::Tls(tls) | Protection::Awaited(tls)) => Security::Tls(tls.facts()),
        }
    }

    fn tls(&self) -> Option<&TlsConnection> {
        match self.rest.as_ref()?.protection.as_ref()? {
            Protection::Tls(tls) => Some(tls),
            Protection::Missing | Protection::Awaited(_) => None,
        }
    }

    /// Whether TLS begins when the output is sent.
    pub(super) fn awaits_tls(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| matches!(rest.protection, Some(Protection::Awaited(_))))
    }

    /// Whether input is left over from the last turn.
    pub(super) fn has_input(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.leftover.has_input())
    }

    /// Takes out what protects it, to be put back at once.
    pub(super) fn take_protection(&mut self) -> Option<Protection> {
        self.rest.as_mut()?.protection.take()
    }

    pub(super) fn put_protection(&mut self, protection: Protection) {
        self.rest.get_or_insert_default().protection = Some(protection);
    }

    /// Whether a handshake of TLS isn't over yet.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls().is_some_and(TlsConnection::is_handshaking)
    }

    /// Whether TLS has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.tls().is_some_and(TlsConnection::has_failed)
    }

    /// Whether the input may have been cut short by somebody between the peers: it ended without
    /// close_notify.
    pub(super) fn is_truncated(&self) -> bool {
        self.ended && self.tls().is_some_and(TlsConnection::is_truncated)
    }

    /// Whether bytes can be exchanged.
    pub(super) fn is_established(&self) -> bool {
        self.phase != Phase::Connecting && !self.is_handshaking() && !self.awaits_tls()
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Looks whether a connection that was asked for is there.
    ///
    /// # Errors
    /// Why it never will be.
    pub(super) fn establish(&mut self, tap: &mut LentTap) -> io::Result<()> {
        if self.writable {
            if self.socket.is_connected()? {
                self.phase = Phase::Open;
                if let Some(tap) = tap {
                    tap.here(TapEvent::Connected);
                }
            } else {
                // An event too early; the one that counts is still to come.
                (self.readable, self.writable, self.hung_up) = (false, false, HungUp::No);
            }
        }
        Ok(())
    }

    /// Remembers what an event says.
    pub(super) fn latch(&mut self, event: &Event) {
        self.readable |= event.is_readable() && !self.ended;
        self.writable |= event.is_writable();
        // An error is found by the next read; a hang-up is an end of input.
        if event.is_read_closed() || event.is_error() || event.is_write_closed() {
            let gone = event.is_write_closed() || event.is_error();
            self.hung_up = self.hung_up.max(if gone { HungUp::Gone } else { HungUp::Ended });
            self.readable = !self.ended;
            self.writable |= gone;
        }
    }

    /// Lends the buffers what was left over from the last turn.
    pub(super) fn restore(&mut self, input: &mut Input, output: &mut Output, ciphertext: &mut LentCiphertext) {
        if let Some(rest) = &mut self.rest {
            rest.leftover.restore(input, output);
            if let Some(Protection::Tls(tls)) = &mut rest.protection {
                tls.restore(ciphertext.get_or_insert_default());
            }
        }
    }

    /// Takes back what is left over in the lent buffers. Returns how many bytes of memory
    /// that takes.
    pub(super) fn save(&mut self, input: &mut Input, output: &mut Output, ciphertext: &mut LentCiphertext) -> usize {
        if self.rest.is_none() && input.is_empty() && output.is_empty() {
            return 0;
        }
        self.save_rest(input, output, ciphertext)
    }

    #[inline(never)]
    fn save_rest(&mut self, input: &mut Input, output: &mut Output, ciphertext: &mut LentCiphertext) -> usize {
        let nothing = input.is_empty() && output.is_empty();
        if nothing && self.rest.as_ref().is_none_or(|rest| rest.is_empty()) {
            self.rest = None;
            return 0;
        }
        let rest = self.rest.get_or_insert_default();
        if !nothing {
            rest.leftover.save(input, output);
        }
        let mut memory = size_of::<Rest>() + rest.leftover.memory();
        match &mut rest.protection {
            Some(Protection::Tls(tls)) => {
                tls.save(ciphertext.get_or_insert_default());
                memory += tls.memory();
            }
            Some(Protection::Awaited(tls)) => memory += tls.memory(),
            Some(Protection::Missing) | None => {}
        }
        memory
    }

    /// Bytes that are left over to be sent.
    pub(super) fn unsent(&self) -> u64 {
        let sealed = self.tls().map_or(0, TlsConnection::unsent);
        sealed + self.rest.as_ref().map_or(0, |rest| rest.leftover.unsent())
    }

    /// Whether a file was left over from the last turn.
    pub(super) fn is_amid_file(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.leftover.has_file())
    }

    /// Whether the peer is gone.
    pub(super) fn is_gone(&self) -> bool {
        self.hung_up == HungUp::Gone && self.phase == Phase::Open
    }

    /// Whether there may be input to read, or its end.
    pub(super) fn can_read(&self) -> bool {
        (self.readable && !self.awaits_tls()) || self.tls().is_some_and(TlsConnection::has_unread)
    }

    /// Whether the socket may take output.
    pub(super) fn can_write(&self) -> bool {
        self.writable
    }

    /// The socket took less than there was.
    pub(super) fn blocked(&mut self) {
        self.writable = false;
    }

    /// Whether there is something to send, if the protocol wants to end its output so.
    pub(super) fn has_output(&self, output: &Output, finish: Finish, ciphertext: &LentCiphertext) -> bool {
        !output.is_empty() || (self.rest.is_some() && self.has_sealed(finish, ciphertext))
    }

    #[inline(never)]
    fn has_sealed(&self, finish: Finish, ciphertext: &LentCiphertext) -> bool {
        let Some(tls) = self.tls() else { return false };
        let sealed = ciphertext.as_ref().is_some_and(|ciphertext| !ciphertext.sealed.is_empty());
        sealed || tls.has_output(finish.is_orderly())
    }

    /// Reads once: bytes, the end of input, or proof that there is nothing yet.
    // A part of each turn; called, it would cost a third more.
    #[inline(always)]
    pub(super) fn fill(
        &mut self,
        input: &mut Input,
        ciphertext: &mut LentCiphertext,
        tap: &mut LentTap,
    ) -> io::Result<Filled> {
        if self.rest.is_some() && self.tls().is_some() {
            return self.fill_secure(input, ciphertext, tap);
        }
        let received = self.receive(input);
        if let Some(tap) = tap {
            tap.read(&received, input.bytes(), self.ended);
        }
        received.map(|_| Filled::Yes)
    }

    /// Reads once from the socket. Returns how many bytes came.
    #[inline(always)]
    pub(super) fn receive(&mut self, input: &mut Input) -> io::Result<usize> {
        let size = if input.is_small() { SMALL } else { input.make_room() };
        let received = if input.is_small() { self.receive_few(input) } else { self.socket.receive(input.space()) };
        match received {
            Ok(0) => (self.readable, self.ended) = (false, true),
            Ok(count) => {
                if count < size && self.hung_up == HungUp::No {
                    self.readable = false;
                }
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
            // The latch stays.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(0)
    }

    /// Reads once from the socket, while memory is short.
    #[cold]
    fn receive_few(&self, input: &mut Input) -> io::Result<usize> {
        let mut piece = [0; SMALL];
        let count = self.socket.receive(&mut piece[..])?;
        input.extend(&piece[..count]);
        Ok(count)
    }

    /// Has the system wait for more before it sends a segment that isn't full, or not any longer.
    pub(super) fn cork(&mut self, on: bool) {
        if on != self.rest.as_ref().is_some_and(|rest| rest.corked) {
            self.rest.get_or_insert_default().corked = on;
            self.socket.cork(on);
        }
    }

    /// Sends what the socket takes, within one turn's share. If the connection closes behind
    /// it, the last bytes and the end can share a segment.
    ///
    /// # Errors
    /// The socket's, and `UnexpectedEof` if a file is shorter than was promised.
    // As `fill`.
    #[inline(always)]
    pub(super) fn flush(
        &mut self,
        output: &mut Output,
        finish: Finish,
        share: &mut Share,
        ciphertext: &mut LentCiphertext,
        tap: &mut LentTap,
    ) -> io::Result<Sent> {
        if self.rest.is_some() && (self.tls().is_some() || self.awaits_tls()) {
            return self.flush_secure(output, finish.is_orderly(), share, ciphertext, tap);
        }
        self.flush_plain(output, finish == Finish::Close, share, tap)
    }

    /// Keeps account of output that the peer doesn't take: when the connection
    /// is to be given up. `sent` bytes went out in this turn.
    pub(super) fn track_output(&mut self, now: Tick, sent: u64, blocked: bool, timeout: Duration) -> Option<Tick> {
        if !blocked {
            if let Some(rest) = &mut self.rest {
                rest.progress = None;
            }
            return None;
        }
        Some(self.track_blocked(now, sent, timeout))
    }

    #[inline(never)]
    fn track_blocked(&mut self, now: Tick, sent: u64, timeout: Duration) -> Tick {
        let socket = &self.socket;
        let queue = || socket.unacknowledged();
        match &mut self.rest.get_or_insert_default().progress {
            Some(progress) => progress.update(now, sent, timeout, queue),
            none => none.insert(SendProgress::start(now, queue().unwrap_or(sent))).update(now, 0, timeout, || None),
        }
    }

    /// When it may be sent a second's worth of bytes, as far as its limit goes.
    pub(super) fn full(&self) -> Tick {
        self.rest.as_ref().and_then(|rest| rest.full).unwrap_or_default()
    }

    /// Remembers when that will be, until it is.
    pub(super) fn set_full(&mut self, full: Option<Tick>) {
        if full.is_some() || self.rest.is_some() {
            self.rest.get_or_insert_default().full = full;
        }
    }

    /// Ends the output, once.
    pub(super) fn half_close(&mut self, tap: &mut LentTap) {
        if self.phase == Phase::Open {
            if let Some(tap) = tap {
                tap.here(TapEvent::Ended);
            }
            self.phase = Phase::Shut;
            // If it fails the connection is gone, which the next read will say.
            let _ = self.socket.shutdown_write();
        }
    }

    /// Begins to discard input until `until`.
    pub(super) fn begin_linger(&mut self, until: Tick, tap: &mut LentTap) {
        self.half_close(tap);
        self.phase = Phase::Lingering;
        self.rest.get_or_insert_default().linger = Some(until);
    }

    /// Until when input is discarded, if it is.
    pub(super) fn lingers(&self) -> Option<Tick> {
        self.rest.as_ref().and_then(|rest| rest.linger)
    }

    /// Makes the close a reset.
    pub(super) fn reset_on_close(&self) {
        self.socket.reset_on_close();
    }
}
