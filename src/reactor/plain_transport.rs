//! Writing in plain text: how [`Transport`] sends the lent output by the socket itself.
//!
//! What is in memory leaves in one call, with its stretches; a file leaves without passing through this
//! process, unless a tap is to see it. A turn has a share of both.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use super::buffers::{FileSlice, Next, Output};
use super::tap::{LentTap, Observer};
use super::transport::{Sent, Share, Transport};

/// Most stretches that leave in one call.
const PARTS: usize = 32;

impl Transport {
    /// As [`flush`](Self::flush), in plain text. `last`: the connection closes behind it.
    #[inline(always)]
    pub(super) fn flush_plain(
        &mut self,
        output: &mut Output,
        last: bool,
        share: &mut Share,
        tap: &mut LentTap,
    ) -> io::Result<Sent> {
        let mut sent = Sent { bytes: 0, turn_over: false };
        while let Some(next) = output.next() {
            if share.bytes == 0 {
                break;
            }
            let attempt = match next {
                Next::Bytes(bytes, false) => {
                    let cut = share.cut(bytes);
                    let attempt = self.socket.send(cut, last && cut.len() == bytes.len());
                    if let Some(tap) = tap {
                        tap.sent(&attempt, cut);
                    }
                    attempt
                }
                Next::Bytes(_, true) => self.send_parts(output, share, last, tap),
                Next::File(_) if share.files == 0 => {
                    sent.turn_over = true;
                    break;
                }
                Next::File(slice) => self.send_file(slice, share, tap),
            };
            match attempt {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    sent.bytes += count as u64;
                    share.bytes -= count as u64;
                    output.sent(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked();
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Sends the stretches in memory together. Apart from [`flush`](Self::flush) for the same reason as
    /// [`send_file`](Self::send_file).
    #[inline(never)]
    fn send_parts(&self, output: &Output, share: &Share, last: bool, tap: &mut LentTap) -> io::Result<usize> {
        let mut parts = [IoSlice::new(&[]); PARTS];
        let (mut count, mut left, mut pending) = (0, *share, output.pending());
        for (place, part) in parts.iter_mut().zip(output.parts()) {
            let cut = left.cut(part);
            *place = IoSlice::new(cut);
            count += usize::from(!cut.is_empty());
            left.bytes -= cut.len() as u64;
            pending -= cut.len() as u64;
        }
        // What waits for the limit of the speed waits for too long for that.
        let more = left.bytes > 0 && (last || pending > 0);
        let parts = &parts[..count];
        let attempt = match parts {
            [part] => self.socket.send(part, more),
            parts => self.socket.send_parts(parts, more),
        };
        if let Some(tap) = tap {
            let all = parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<_>>();
            tap.sent(&attempt, &all);
        }
        attempt
    }

    /// Sends of a file what the socket takes, within the turn's share. Apart from
    /// [`flush`](Self::flush), which has nothing to do with files most of the time.
    #[inline(never)]
    fn send_file(&mut self, slice: &FileSlice, share: &mut Share, tap: &mut LentTap) -> io::Result<usize> {
        let count = slice.length.min(share.files).min(share.bytes) as usize;
        // Without it each turn would end in a small segment. What waits for the limit of the
        // speed waits for so long that the kernel would send that segment in any case.
        let goes_on = slice.length > share.files && share.files < share.bytes;
        self.cork(goes_on);
        let sent = match tap {
            None => self.socket.sendfile(slice.file.as_fd(), slice.offset, count)?,
            Some(tap) => self.send_seen(slice, count, tap)?,
        };
        share.files -= sent as u64;
        Ok(sent)
    }

    /// Sends at most `count` bytes of a file so that the tap sees them.
    #[cold]
    fn send_seen(&self, slice: &FileSlice, count: usize, tap: &mut Observer) -> io::Result<usize> {
        let mut piece = std::mem::take(&mut tap.piece);
        piece.resize(count, 0);
        let attempt = slice.read(&mut piece).and_then(|read| self.socket.send(&piece[..read], false));
        tap.sent(&attempt, &piece);
        tap.piece = piece;
        attempt
    }
}
