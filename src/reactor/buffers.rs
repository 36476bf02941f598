//! Bytes between a socket and a protocol.
//!
//! The reactor owns one [`Input`] and one [`Output`] and lends them to whichever
//! connection is being pumped. A protocol parses in place and writes in place;
//! only what it left unparsed, or the peer didn't take, is copied into the
//! connection's own memory when its turn ends. An idle connection owns no buffer.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::buffer::{SpareCapacity, spare_capacity};

/// Size of the input buffer, and the mark above which an output has no room: as
/// much as a socket usually gives or takes at once, and small enough for the cache.
pub const BUFFER: usize = 64 * 1024;

/// Room of an input beyond [`BUFFER`]: one record of TLS, which comes whole (RFC 8446 §5.1).
pub(super) const RECORD: usize = 16 * 1024;

/// What was received and not yet consumed.
///
/// The system writes into memory that was never cleared, so only pages that bytes were
/// received into are ever touched.
pub struct Input {
    buffer: Vec<u8>,
    /// How much of it is consumed.
    start: usize,
}

impl Default for Input {
    fn default() -> Self {
        Self { buffer: Vec::with_capacity(BUFFER + RECORD), start: 0 }
    }
}

impl Input {
    /// The bytes at hand, the oldest first.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// The same, for a parser that changes them in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..]
    }

    /// Drops the first `count` bytes, which are parsed.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.buffer.len() - self.start);
        self.start += count;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Whether nothing is at hand.
    pub fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// Whether no more should be received before something is consumed.
    pub fn is_full(&self) -> bool {
        self.buffer.len() - self.start >= BUFFER
    }

    /// Appends bytes, as a socket would; for tests and for filters.
    ///
    /// # Panics
    /// If they don't fit.
    pub fn extend(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.make_room());
        self.buffer.extend_from_slice(bytes);
    }

    /// Moves the bytes at hand to the front; how many more can be received then.
    pub(super) fn make_room(&mut self) -> usize {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.capacity() - self.buffer.len()
    }

    /// Where the system may put bytes, behind those at hand; what it puts there is.
    pub(super) fn space(&mut self) -> SpareCapacity<'_, u8> {
        spare_capacity(&mut self.buffer)
    }

    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.start = 0;
    }
}

/// A stretch of an open file that is to be sent. The descriptor is shared with
/// other connections that send the same file.
#[derive(Clone, Debug)]
pub struct FileSlice {
    /// The file, open for reading.
    pub file: Rc<OwnedFd>,
    /// Where the stretch begins, in bytes from the file's beginning.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

/// What is to be sent: bytes in memory, with stretches of files between them.
///
/// Small writes coalesce in one buffer; a file stretch remembers the position
/// in it that it follows. So a plain answer is one write, an answer with a file
/// is a head and a stretch, and a multipart answer is head, stretch, head,
/// stretch, tail, all by the same mechanism.
#[derive(Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// How much of `bytes` is sent.
    sent: usize,
    cuts: VecDeque<Cut>,
}

/// A file stretch and how many bytes of the buffer go before it.
#[derive(Debug)]
struct Cut {
    at: usize,
    slice: FileSlice,
}

/// A position in an output: what is written after it can be taken back
/// ([`Output::rollback`]) as long as none of it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Length of the buffer, sent bytes included.
    bytes: usize,
    /// Number of file slices.
    files: usize,
}

/// What is to be sent next, and whether more follows it.
pub(super) enum Next<'a> {
    Bytes(&'a [u8], bool),
    File(&'a FileSlice),
}

impl Output {
    /// How many bytes a protocol should still add before it waits for the peer
    /// to take some. None while a file stretch is unsent: what follows a file
    /// waits until the file is gone.
    pub fn room(&self) -> usize {
        if self.cuts.is_empty() { BUFFER.saturating_sub(self.bytes.len() - self.sent) } else { 0 }
    }

    /// The buffer, to append to. What is in it already belongs to the socket.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The current end of the output.
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), files: self.cuts.len() }
    }

    /// Takes back everything that was written since `mark`, bytes and file slices
    /// together. Nothing else shortens an output that is not sent.
    ///
    /// # Panics
    /// In debug builds, if the socket took some of it in the meantime.
    pub fn rollback(&mut self, mark: Mark) {
        debug_assert!(mark.bytes >= self.sent, "what was sent can't be taken back");
        self.bytes.truncate(mark.bytes);
        self.cuts.truncate(mark.files);
    }

    /// Runs `write`. If it fails, takes back what it wrote, so that the output
    /// holds whole responses only.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn attempt<T, E>(&mut self, write: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let mark = self.mark();
        write(self).inspect_err(|_| self.rollback(mark))
    }

    /// Appends a stretch of a file; an empty one is nothing.
    pub fn file(&mut self, slice: FileSlice) {
        if slice.length > 0 {
            self.cuts.push_back(Cut { at: self.bytes.len(), slice });
        }
    }

    /// Whether all is sent.
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len() && self.cuts.is_empty()
    }

    /// Whether a stretch of a file is unsent.
    pub fn has_file(&self) -> bool {
        !self.cuts.is_empty()
    }

    /// How many bytes are unsent, files included.
    pub fn pending(&self) -> u64 {
        (self.bytes.len() - self.sent) as u64 + self.cuts.iter().map(|cut| cut.slice.length).sum::<u64>()
    }

    /// How many bytes were added since `mark`, those of files included.
    pub fn since(&self, mark: Mark) -> u64 {
        let files: u64 = self.cuts.iter().skip(mark.files).map(|cut| cut.slice.length).sum();
        (self.bytes.len() - mark.bytes) as u64 + files
    }

    /// The unsent bytes in memory; for tests.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// The unsent stretches of files; for tests.
    pub fn files(&self) -> impl Iterator<Item = Range<u64>> {
        self.cuts.iter().map(|cut| cut.slice.offset..cut.slice.offset + cut.slice.length)
    }

    /// Takes at most `most` bytes, as a peer would; those of a file
    /// are read from it.
    #[cfg(test)]
    pub(crate) fn take(&mut self, most: usize) -> Vec<u8> {
        self.try_take(most).expect("the file is as long as it was")
    }

    /// As [`take`](Self::take).
    ///
    /// # Errors
    /// If the file has ended before its slice does.
    #[cfg(test)]
    pub(crate) fn try_take(&mut self, most: usize) -> std::io::Result<Vec<u8>> {
        let taken = match self.next() {
            None => Vec::new(),
            Some(Next::Bytes(bytes, _)) => bytes[..most.min(bytes.len())].to_vec(),
            Some(Next::File(slice)) => {
                let mut taken = vec![0; most.min(slice.length as usize)];
                let count = rustix::io::pread(&slice.file, &mut taken[..], slice.offset)?;
                taken.truncate(count);
                if count == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                taken
            }
        };
        self.sent(taken.len());
        Ok(taken)
    }

    pub(super) fn next(&self) -> Option<Next<'_>> {
        if self.has_file() {
            return self.next_among_files();
        }
        let bytes = self.bytes();
        (!bytes.is_empty()).then_some(Next::Bytes(bytes, false))
    }

    /// A function of its own, so that a response without files skips it.
    #[inline(never)]
    fn next_among_files(&self) -> Option<Next<'_>> {
        let cut = self.cuts.front()?;
        let before = &self.bytes[self.sent..cut.at];
        Some(if before.is_empty() { Next::File(&cut.slice) } else { Next::Bytes(before, true) })
    }

    /// So many bytes of what is [`next`](Self::next) are sent.
    pub(super) fn sent(&mut self, count: usize) {
        if self.has_file() {
            self.sent_among_files(count);
        } else {
            self.sent += count;
        }
        if self.is_empty() {
            self.rewind();
        }
    }

    #[inline(never)]
    fn sent_among_files(&mut self, count: usize) {
        match self.cuts.front_mut() {
            Some(cut) if cut.at == self.sent => {
                cut.slice.offset += count as u64;
                cut.slice.length -= count as u64;
                if cut.slice.length == 0 {
                    self.cuts.pop_front();
                }
            }
            _ => self.sent += count,
        }
    }

    /// Moves at most `most` bytes in memory to another output, for filters. Returns how many. None from the first stretch of a file on.
    pub fn pass_on(&mut self, most: usize, to: &mut Output) -> usize {
        let Some(Next::Bytes(bytes, _)) = self.next() else { return 0 };
        let count = most.min(bytes.len());
        to.write(&bytes[..count]);
        self.sent(count);
        // Who passes on in small pieces may never be empty.
        self.compact();
        count
    }

    /// Forgets what is sent once it is more than what isn't.
    fn compact(&mut self) {
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            for cut in &mut self.cuts {
                cut.at -= self.sent;
            }
            self.sent = 0;
        }
    }

    /// Drops everything unsent.
    pub fn clear(&mut self) {
        self.cuts.clear();
        self.rewind();
    }

    /// Begins again with an empty buffer.
    fn rewind(&mut self) {
        self.bytes.clear();
        // One answer may be larger than the mark; don't keep its memory.
        self.bytes.shrink_to(2 * BUFFER);
        self.sent = 0;
    }
}

/// What a connection keeps between its turns, if anything is left over.
#[derive(Default)]
pub(super) struct Leftover {
    input: Box<[u8]>,
    output: Box<[u8]>,
    cuts: VecDeque<Cut>,
}

impl Leftover {
    /// Whether a stretch of a file is among it.
    pub(super) fn has_file(&self) -> bool {
        !self.cuts.is_empty()
    }

    /// How many bytes are to be sent, files included.
    pub(super) fn unsent(&self) -> u64 {
        self.output.len() as u64 + self.cuts.iter().map(|cut| cut.slice.length).sum::<u64>()
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        self.input.len() + self.output.len() + self.cuts.capacity() * size_of::<Cut>()
    }

    /// Takes what is left in the lent buffers, which are empty then.
    pub(super) fn save(&mut self, input: &mut Input, output: &mut Output) {
        self.input = input.bytes().into();
        self.output = output.bytes().into();
        self.cuts = std::mem::take(&mut output.cuts);
        for cut in &mut self.cuts {
            cut.at -= output.sent;
        }
        input.clear();
        output.clear();
    }

    /// Puts what was left over back into the lent buffers.
    #[inline(never)]
    pub(super) fn restore(&mut self, input: &mut Input, output: &mut Output) {
        input.extend(&std::mem::take(&mut self.input));
        output.write(&std::mem::take(&mut self.output));
        output.cuts = std::mem::take(&mut self.cuts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(offset: u64, length: u64) -> FileSlice {
        FileSlice { file: Rc::new(std::fs::File::open("/dev/null").unwrap().into()), offset, length }
    }

    /// Everything in an output in the order in which it is sent, a few bytes at a time.
    fn drain(output: &mut Output, step: usize) -> String {
        let mut seen = String::new();
        while let Some(next) = output.next() {
            match next {
                Next::Bytes(bytes, _) => {
                    let count = bytes.len().min(step);
                    seen.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
                    output.sent(count);
                }
                Next::File(file) => {
                    let count = file.length.min(step as u64);
                    for at in file.offset..file.offset + count {
                        seen.push_str(&format!("<{at}>"));
                    }
                    output.sent(count as usize);
                }
            }
        }
        seen
    }

    #[test]
    fn files_stand_between_the_bytes_they_were_written_between() {
        for step in 1..10 {
            let mut output = Output::default();
            output.write(b"head");
            output.file(slice(7, 2));
            output.file(slice(0, 0));
            output.write(b"mid");
            output.file(slice(0, 1));
            output.write(b"tail");
            assert_eq!(output.pending(), 14);
            assert_eq!(output.room(), 0);
            assert_eq!(drain(&mut output, step), "head<7><8>mid<0>tail");
            assert!(output.is_empty());
            assert_eq!(output.room(), BUFFER);
        }
    }

    #[test]
    fn a_rollback_takes_back_bytes_and_file_slices_together() {
        let mut output = Output::default();
        output.write(b"first");
        output.file(slice(1, 1));
        let before = output.mark();
        let failed: Result<(), &str> = output.attempt(|output| {
            output.write(b"second");
            output.file(slice(7, 2));
            output.write(b"third");
            Err("the file is too short")
        });
        assert_eq!((failed, output.mark()), (Err("the file is too short"), before));
        let whole: Result<(), ()> = output.attempt(|output| {
            output.write(b"!");
            Ok(())
        });
        assert_eq!(whole, Ok(()));
        assert_eq!(drain(&mut output, 2), "first<1>!");
    }

    #[test]
    fn what_is_left_over_survives_being_put_away_at_any_point() {
        for cut in 0..14 {
            let (mut input, mut output) = (Input::default(), Output::default());
            input.extend(b"unread");
            input.consume(2);
            output.write(b"head");
            output.file(slice(7, 2));
            output.write(b"midtail");
            let mut seen = String::new();
            for _ in 0..cut {
                let before = output.pending();
                match output.next() {
                    Some(Next::Bytes(bytes, _)) => {
                        seen.push(bytes[0] as char);
                        output.sent(1);
                    }
                    Some(Next::File(file)) => {
                        seen.push_str(&format!("<{}>", file.offset));
                        output.sent(1);
                    }
                    None => break,
                }
                assert_eq!(output.pending(), before - 1);
            }
            let mut leftover = Leftover::default();
            leftover.save(&mut input, &mut output);
            assert!(input.is_empty() && output.is_empty());
            leftover.restore(&mut input, &mut output);
            assert_eq!(input.bytes(), b"read");
            seen.push_str(&drain(&mut output, 3));
            assert_eq!(seen, "head<7><8>midtail");
        }
    }

    #[test]
    fn the_input_keeps_its_bytes_when_it_makes_space() {
        let mut input = Input::default();
        input.extend(&[b'a'; BUFFER]);
        assert!(input.is_full());
        input.consume(BUFFER - 3);
        assert_eq!(input.make_room(), BUFFER + RECORD - 3);
        assert_eq!(input.bytes(), b"aaa");
    }
}
