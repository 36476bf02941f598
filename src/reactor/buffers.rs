//! Bytes between a socket and a protocol.
//!
//! The reactor owns one [`Input`] and one [`Output`] and lends them to whichever
//! connection is being pumped. A protocol parses in place and writes in place;
//! only what it left unparsed, or the peer didn't take, is copied into the
//! connection's own memory when its turn ends. An idle connection owns no buffer.
//! Large pieces aren't copied: they are [`Bytes`].

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::io::retry_on_intr;

use super::bytes::{Bytes, LEAST};
use super::input::{BUFFER, Input};

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

impl FileSlice {
    /// Reads its first bytes: as many as `buffer` has room for, or fewer. Returns how many.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file is shorter than it was.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.length).unwrap_or(usize::MAX).min(buffer.len());
        match retry_on_intr(|| rustix::io::pread(&self.file, &mut buffer[..most], self.offset))? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }
}

/// What is to be sent: bytes in memory, with stretches of files or of other memory between them.
///
/// Small writes coalesce in one buffer; a stretch remembers the position
/// in it that it follows. So a plain answer is one write, an answer with a file
/// is a head and a stretch, and a multipart answer is head, stretch, head,
/// stretch, tail, all by the same mechanism.
pub struct Output {
    bytes: Vec<u8>,
    /// How much of `bytes` is sent.
    sent: usize,
    cuts: VecDeque<Cut>,
    /// The mark above which it has no room.
    mark: usize,
}

impl Default for Output {
    fn default() -> Self {
        Self { bytes: Vec::new(), sent: 0, cuts: VecDeque::new(), mark: BUFFER }
    }
}

/// A stretch and how many bytes of the buffer go before it.
#[derive(Debug)]
struct Cut {
    at: usize,
    stretch: Stretch,
}

/// What isn't in the buffer.
#[derive(Debug)]
enum Stretch {
    File(FileSlice),
    Memory(Bytes),
}

impl Stretch {
    /// In bytes.
    fn length(&self) -> u64 {
        match self {
            Self::File(slice) => slice.length,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Drops the first `count` bytes.
    fn consume(&mut self, count: usize) {
        match self {
            Self::File(slice) => {
                slice.offset += count as u64;
                slice.length -= count as u64;
            }
            Self::Memory(bytes) => bytes.consume(count),
        }
    }

    fn file(&self) -> Option<&FileSlice> {
        if let Self::File(slice) = self { Some(slice) } else { None }
    }

    fn memory(&self) -> Option<&Bytes> {
        if let Self::Memory(bytes) = self { Some(bytes) } else { None }
    }
}

/// A position in an output: what is written after it can be taken back
/// ([`Output::rollback`]) as long as none of it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Length of the buffer, sent bytes included.
    bytes: usize,
    /// Number of stretches.
    cuts: usize,
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
        if self.cuts.is_empty() {
            self.mark.saturating_sub(self.bytes.len() - self.sent)
        } else {
            self.room_among_cuts()
        }
    }

    #[inline(never)]
    fn room_among_cuts(&self) -> usize {
        let pending = usize::try_from(self.pending()).unwrap_or(usize::MAX);
        if self.has_file() { 0 } else { self.mark.saturating_sub(pending) }
    }

    /// How many bytes it has room for if it is empty.
    pub(super) fn most(&self) -> usize {
        self.mark
    }

    /// Has it have room for so many bytes, from now on; never for more than [`BUFFER`].
    pub(super) fn set_window(&mut self, window: usize) {
        self.mark = window.min(BUFFER);
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
        Mark { bytes: self.bytes.len(), cuts: self.cuts.len() }
    }

    /// Takes back everything that was written since `mark`, bytes and stretches
    /// together. Nothing else shortens an output that is not sent.
    ///
    /// # Panics
    /// In debug builds, if the socket took some of it in the meantime.
    pub fn rollback(&mut self, mark: Mark) {
        debug_assert!(mark.bytes >= self.sent, "what was sent can't be taken back");
        self.bytes.truncate(mark.bytes);
        self.cuts.truncate(mark.cuts);
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
            self.cuts.push_back(Cut { at: self.bytes.len(), stretch: Stretch::File(slice) });
        }
    }

    /// Appends bytes that are sent from where they are, if they are many.
    pub fn share(&mut self, bytes: Bytes) {
        if bytes.len() < LEAST {
            return self.write(&bytes);
        }
        self.cuts.push_back(Cut { at: self.bytes.len(), stretch: Stretch::Memory(bytes) });
    }

    /// Whether all is sent.
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len() && self.cuts.is_empty()
    }

    /// Whether a stretch of a file is unsent.
    pub fn has_file(&self) -> bool {
        !self.cuts.is_empty() && self.cuts.iter().any(|cut| cut.stretch.file().is_some())
    }

    /// How many bytes are unsent, stretches included.
    pub fn pending(&self) -> u64 {
        (self.bytes.len() - self.sent) as u64 + self.cuts.iter().map(|cut| cut.stretch.length()).sum::<u64>()
    }

    /// How many bytes were added since `mark`, stretches included.
    pub fn since(&self, mark: Mark) -> u64 {
        let stretches: u64 = self.cuts.iter().skip(mark.cuts).map(|cut| cut.stretch.length()).sum();
        (self.bytes.len() - mark.bytes) as u64 + stretches
    }

    /// The unsent bytes in the buffer; for tests.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// The unsent stretches of files; for tests.
    pub fn files(&self) -> impl Iterator<Item = Range<u64>> {
        let files = self.cuts.iter().filter_map(|cut| cut.stretch.file());
        files.map(|slice| slice.offset..slice.offset + slice.length)
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
    pub(crate) fn try_take(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let taken = match self.next() {
            None => Vec::new(),
            Some(Next::Bytes(bytes, _)) => bytes[..most.min(bytes.len())].to_vec(),
            Some(Next::File(slice)) => {
                let mut taken = vec![0; most.min(slice.length as usize)];
                let count = slice.read(&mut taken)?;
                taken.truncate(count);
                taken
            }
        };
        self.sent(taken.len());
        Ok(taken)
    }

    pub(super) fn next(&self) -> Option<Next<'_>> {
        if !self.cuts.is_empty() {
            return self.next_among_cuts();
        }
        let bytes = self.bytes();
        (!bytes.is_empty()).then_some(Next::Bytes(bytes, false))
    }

    /// A function of its own, so that a response without stretches skips it.
    #[inline(never)]
    fn next_among_cuts(&self) -> Option<Next<'_>> {
        let cut = self.cuts.front()?;
        let before = &self.bytes[self.sent..cut.at];
        Some(match &cut.stretch {
            _ if !before.is_empty() => Next::Bytes(before, true),
            Stretch::File(slice) => Next::File(slice),
            Stretch::Memory(bytes) => Next::Bytes(bytes, self.cuts.len() > 1 || self.bytes.len() > cut.at),
        })
    }

    /// All that can leave in one call: what is in memory, up to the first stretch of a file.
    pub(super) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let file = self.cuts.iter().find(|cut| cut.stretch.file().is_some());
        let end = file.map_or(self.bytes.len(), |cut| cut.at);
        let stretches = self.cuts.iter().map_while(|cut| Some((cut.at, &cut.stretch.memory()?[..])));
        // The last stretch of the buffer is followed by nothing.
        stretches
            .chain([(end, &[][..])])
            .scan(self.sent, |from, (at, stretch)| {
                let before = &self.bytes[std::mem::replace(from, at)..at];
                Some([before, stretch])
            })
            .flatten()
            .filter(|part| !part.is_empty())
    }

    /// So many of the next bytes are sent.
    pub(super) fn sent(&mut self, count: usize) {
        if self.cuts.is_empty() {
            self.sent += count;
        } else {
            self.sent_among_cuts(count);
        }
        if self.is_empty() {
            self.rewind();
        }
    }

    #[inline(never)]
    fn sent_among_cuts(&mut self, mut count: usize) {
        while let Some(cut) = self.cuts.front_mut() {
            let before = count.min(cut.at - self.sent);
            self.sent += before;
            count -= before;
            if self.sent < cut.at {
                return;
            }
            let taken = cut.stretch.length().min(count as u64) as usize;
            cut.stretch.consume(taken);
            count -= taken;
            if cut.stretch.length() > 0 {
                return;
            }
            self.cuts.pop_front();
        }
        self.sent += count;
    }

    /// Moves at most `most` bytes in memory to another output, for filters. Returns how many. None from the first
    /// stretch of a file on.
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
    input: Bytes,
    output: Box<[u8]>,
    cuts: VecDeque<Cut>,
}

impl Leftover {
    /// Whether a stretch of a file is among it.
    pub(super) fn has_file(&self) -> bool {
        self.cuts.iter().any(|cut| cut.stretch.file().is_some())
    }

    /// Whether there is input.
    pub(super) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// How many bytes are to be sent, stretches included.
    pub(super) fn unsent(&self) -> u64 {
        self.output.len() as u64 + self.cuts.iter().map(|cut| cut.stretch.length()).sum::<u64>()
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        let shared = Bytes::memory_of(self.cuts.iter().filter_map(|cut| cut.stretch.memory()));
        Bytes::memory_of([&self.input]) + self.output.len() + self.cuts.capacity() * size_of::<Cut>() + shared
    }

    /// Takes what is left in the lent buffers, which are empty then.
    pub(super) fn save(&mut self, input: &mut Input, output: &mut Output) {
        self.input = input.share(0..input.bytes().len());
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
        input.restore(std::mem::take(&mut self.input));
        output.write(&std::mem::take(&mut self.output));
        output.cuts = std::mem::take(&mut self.cuts);
    }
}

#[cfg(test)]
mod tests;
