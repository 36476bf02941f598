//! Reading and writing through TLS: what [`Transport`] does instead of calling the
//! socket with the lent buffers.
//!
//! ```text
//! fill    socket ─▶ received ─▶ tls ─▶ input       flush   output ─▶ tls ─▶ sealed ─▶ socket
//! ```
//!
//! Output is sealed up to [64 KiB](super::input::BUFFER) at a time, so that a head, the first
//! piece of a file and close_notify leave in one call. What the socket doesn't take stays
//! sealed. A file is read in pieces into a lent buffer, never whole.

use std::io;

use super::buffers::{FileSlice, Next, Output};
use super::input::Input;
use super::tap::{LentTap, TapEvent};
use super::tls::{Ciphertext, LentCiphertext, TlsConnection, TlsFailure, TlsSide};
use super::transport::{Filled, Protection, Sent, Share, Transport};

impl Transport {
    /// Has TLS begin when what is left over to be sent is sent.
    ///
    /// # Errors
    /// If input in plain text is left over, since nobody could tell it from what came through
    /// TLS; if the input has ended; if there is TLS already; if TLS can't be set up.
    pub(super) fn begin_tls(&mut self, side: &TlsSide) -> Result<(), TlsFailure> {
        if self.security().is_tls() {
            return Err(TlsFailure::Handshake("TLS has begun already".to_owned()));
        }
        if self.has_input() {
            return Err(TlsFailure::Handshake("the peer sent plain text where TLS begins".to_owned()));
        }
        if self.ended {
            return Err(TlsFailure::Cut);
        }
        let tls = Box::new(side.begin()?);
        let is_sent = self.unsent() == 0;
        self.put_protection(if is_sent { Protection::Tls(tls) } else { Protection::Awaited(tls) });
        Ok(())
    }

    /// As [`fill`](Self::fill), through TLS.
    #[inline(never)]
    pub(super) fn fill_secure(
        &mut self,
        input: &mut Input,
        lent: &mut LentCiphertext,
        tap: &mut LentTap,
    ) -> io::Result<Filled> {
        let lent = lent.get_or_insert_default();
        let Some(Protection::Tls(mut tls)) = self.take_protection() else { return Ok(Filled::Yes) };
        if !tls.has_unread() && self.can_read() {
            let received = self.receive(&mut lent.received);
            if let Some(tap) = tap {
                let bytes = if tap.is_plain() { &[] } else { lent.received.bytes() };
                tap.read(&received, bytes, self.ended);
            }
            tls.socket_ended |= self.ended;
            if let Err(error) = received {
                self.put_protection(Protection::Tls(tls));
                return Err(error);
            }
        }
        if tls.is_plain_text(&lent.received) {
            input.extend(lent.received.bytes());
            lent.received.clear();
            tell_plain(tap, input.bytes(), TapEvent::Received);
            self.put_protection(Protection::Missing);
            return Ok(Filled::PlainText);
        }
        let (before, opened_before) = (lent.sealed.pending(), input.bytes().len());
        let opened = tls.open_records(lent, input);
        tell_plain(tap, input.bytes().get(opened_before..).unwrap_or_default(), TapEvent::Received);
        if let Some(tap) = tap {
            tap.secrets();
        }
        let answered = tls.is_handshaking() && lent.sealed.pending() > before;
        self.ended = tls.has_ended();
        let is_cut = self.ended && tls.is_handshaking();
        self.put_protection(Protection::Tls(tls));
        match opened {
            Err(failure) => Err(failure.into()),
            Ok(()) if is_cut => Err(TlsFailure::Cut.into()),
            Ok(()) if answered => Ok(Filled::Handshake),
            Ok(()) => Ok(Filled::Yes),
        }
    }

    /// As [`flush`](Self::flush), through TLS.
    ///
    /// # Errors
    /// As `flush`, and if TLS can't encrypt any more.
    #[inline(never)]
    pub(super) fn flush_secure(
        &mut self,
        output: &mut Output,
        ending: bool,
        share: &mut Share,
        lent: &mut LentCiphertext,
        tap: &mut LentTap,
    ) -> io::Result<Sent> {
        let lent = lent.get_or_insert_default();
        let mut before = 0;
        if self.awaits_tls() {
            let sent = self.flush_plain(output, false, share, tap)?;
            if !output.is_empty() {
                return Ok(sent);
            }
            before = sent.bytes;
        }
        let Some(Protection::Tls(mut tls) | Protection::Awaited(mut tls)) = self.take_protection() else {
            return Ok(Sent { bytes: before, turn_over: false });
        };
        let sent = self.seal_and_send(&mut tls, output, ending, share, lent, tap);
        self.put_protection(Protection::Tls(tls));
        sent.map(|sent| Sent { bytes: sent.bytes + before, ..sent })
    }

    fn seal_and_send(
        &mut self,
        tls: &mut TlsConnection,
        output: &mut Output,
        ending: bool,
        share: &mut Share,
        lent: &mut Ciphertext,
        tap: &mut LentTap,
    ) -> io::Result<Sent> {
        let mut sent = Sent { bytes: 0, turn_over: false };
        loop {
            // A handshake is no response, and isn't held back.
            let limited = !tls.is_handshaking();
            if limited && share.bytes == 0 {
                sent.turn_over = false;
                return Ok(sent);
            }
            sent.turn_over = seal(tls, output, ending, &mut share.files, lent, tap)?;
            if lent.sealed.is_empty() {
                return Ok(sent);
            }
            // In a handshake the output waits for the peer.
            let more = !tls.is_handshaking() && (ending || !output.is_empty());
            let sealed = lent.sealed.bytes();
            let cut = if limited { share.cut(sealed) } else { sealed };
            let attempt = self.socket.send(cut, more && cut.len() == sealed.len());
            if let Some(tap) = tap {
                tap.secrets();
                tap.sent(&attempt, if tap.is_plain() { &[] } else { cut });
            }
            match attempt {
                Ok(count) => {
                    sent.bytes += count as u64;
                    if limited {
                        share.bytes -= count as u64;
                    }
                    lent.sealed.sent(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked();
                    return Ok(sent);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Seals output until there is enough to send. Returns whether the turn's share of file bytes
/// is used up.
fn seal(
    tls: &mut TlsConnection,
    output: &mut Output,
    ending: bool,
    file_turn: &mut u64,
    lent: &mut Ciphertext,
    tap: &mut LentTap,
) -> io::Result<bool> {
    if tls.has_output(false) {
        // A client speaks first.
        tls.open_records(lent, &mut Input::default())?;
    }
    while !tls.is_handshaking() && !lent.is_full() {
        let count = match output.next() {
            None if ending => {
                tls.seal_close(lent)?;
                break;
            }
            None => break,
            Some(Next::Bytes(bytes, _)) => {
                let bytes = &bytes[..bytes.len().min(lent.most())];
                let count = tls.seal(bytes, lent)?;
                tell_plain(tap, bytes.get(..count).unwrap_or(bytes), TapEvent::Sent);
                count
            }
            Some(Next::File(_)) if *file_turn == 0 => return Ok(true),
            Some(Next::File(slice)) => {
                let count = seal_file(tls, slice, *file_turn, lent, tap)?;
                *file_turn -= count as u64;
                count
            }
        };
        if count == 0 {
            break;
        }
        output.sent(count);
    }
    Ok(false)
}

/// Seals a piece of a file. Returns how many bytes of it.
///
/// # Errors
/// `UnexpectedEof` if the file is shorter than was promised.
fn seal_file(
    tls: &mut TlsConnection,
    slice: &FileSlice,
    most: u64,
    lent: &mut Ciphertext,
    tap: &mut LentTap,
) -> io::Result<usize> {
    let length = most.min(lent.most() as u64) as usize;
    let mut piece = std::mem::take(&mut lent.piece);
    piece.resize(length, 0);
    let read = slice.read(&mut piece);
    let sealed = read.and_then(|count| tls.seal(&piece[..count], lent).map_err(Into::into));
    if let Ok(count) = &sealed {
        tell_plain(tap, piece.get(..*count).unwrap_or_default(), TapEvent::Sent);
    }
    lent.piece = piece;
    sealed
}

/// Tells the tap of plain text, if it wants that.
#[inline(always)]
fn tell_plain<'a>(tap: &mut LentTap, bytes: &'a [u8], event: fn(&'a [u8]) -> TapEvent<'a>) {
    if let Some(tap) = tap
        && tap.is_plain()
        && !bytes.is_empty()
    {
        tap.here(event(bytes));
    }
}
