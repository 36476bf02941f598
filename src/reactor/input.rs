//! What is received for a protocol.
//!
//! A protocol parses in place. What it passes on is copied, if it is little. Otherwise it is a stretch of the
//! input's buffer ([`Bytes`]), and the input goes on with another buffer: one that was in use before and
//! whose stretches are all gone. So a large transfer takes turns with a few buffers.

use std::ops::Range;
use std::rc::Rc;

use rustix::buffer::{SpareCapacity, spare_capacity};

use super::bytes::{Bytes, LEAST};

/// Size of the input buffer, and the mark above which an output has no room: as
/// much as a socket usually gives or takes at once, and small enough for the cache.
pub const BUFFER: usize = 64 * 1024;

/// Room of an input beyond [`BUFFER`]: one record of TLS, which comes whole (RFC 8446 §5.1).
pub(super) const RECORD: usize = 16 * 1024;

/// Most bytes that are usually received at once.
pub const RECEIVED: usize = BUFFER + RECORD;

/// Most bytes that are received at once for a protocol that passes them on at once
/// ([`Want::in_bulk`](super::Want::in_bulk)). A system call for so many costs little more than one for a few: a
/// relay of 80 KiB at a time takes a half more of the processor.
pub const BULK: usize = 256 * 1024;

/// Takes the place of [`RECEIVED`] and of [`BUFFER`] while memory is short. A piece of that size is copied,
/// so it keeps no buffer.
pub(super) const SMALL: usize = LEAST;

/// Most bytes of the buffers that are kept for their next use: pieces of so many are under way at once
/// without new memory.
const SPARE: usize = 16 * RECEIVED;

/// What was received and not yet consumed.
///
/// The system writes into memory that was never cleared, so only pages that bytes were
/// received into are ever touched.
pub struct Input {
    buffer: Rc<Vec<u8>>,
    /// How much of it is consumed.
    start: usize,
    /// Buffers that were in use before, and may still have stretches.
    former: Vec<Rc<Vec<u8>>>,
    /// Most bytes that are received at once.
    window: usize,
}

impl Default for Input {
    fn default() -> Self {
        Self { buffer: buffer_of(RECEIVED), start: 0, former: Vec::new(), window: RECEIVED }
    }
}

impl Input {
    /// The bytes at hand, the oldest first.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// The same, for a parser that changes them in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // Another buffer begins with the bytes at hand.
        self.own();
        let start = self.start;
        &mut self.own()[start..]
    }

    /// Some of the bytes at hand, to be passed on; they aren't consumed by that. If they are many, the
    /// buffer isn't written to again while they are there.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn share(&self, range: Range<usize>) -> Bytes {
        // A few bytes shouldn't keep much memory.
        if range.len() < LEAST || self.buffer.len() < BUFFER / 2 {
            return Bytes::copy(&self.bytes()[range]);
        }
        assert!(range.end <= self.bytes().len());
        Bytes::received(Rc::clone(&self.buffer), self.start + range.start..self.start + range.end)
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

    /// Has at most so many bytes received at once, from now on.
    pub(super) fn set_window(&mut self, window: usize) {
        self.window = window;
        if self.is_large() != (window > RECEIVED) {
            self.change();
        }
    }

    /// Whether the buffer has room for [`BULK`] bytes.
    fn is_large(&self) -> bool {
        self.buffer.capacity() > RECEIVED
    }

    /// Whether [`SMALL`] bytes are received at once.
    pub(super) fn is_small(&self) -> bool {
        self.window < RECEIVED
    }

    /// Appends bytes, as a socket would; for tests and for filters.
    ///
    /// # Panics
    /// If they don't fit.
    pub fn extend(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.make_room());
        self.own().extend_from_slice(bytes);
    }

    /// Moves the bytes at hand to the front; how many more can be received then.
    pub(super) fn make_room(&mut self) -> usize {
        self.own();
        let consumed = std::mem::take(&mut self.start);
        let buffer = self.own();
        if consumed > 0 {
            buffer.drain(..consumed);
        }
        buffer.capacity() - buffer.len()
    }

    /// Where the system may put bytes, behind those at hand; what it puts there is.
    pub(super) fn space(&mut self) -> SpareCapacity<'_, u8> {
        spare_capacity(self.own())
    }

    pub(super) fn clear(&mut self) {
        match Rc::get_mut(&mut self.buffer) {
            Some(buffer) => {
                buffer.clear();
                self.start = 0;
            }
            None => self.start = self.buffer.len(),
        }
    }

    /// Puts back what [`share`](Self::share) took when a turn ended.
    pub(super) fn restore(&mut self, bytes: Bytes) {
        match bytes.into_received() {
            Ok((buffer, range)) if self.is_empty() => {
                let former = std::mem::replace(&mut self.buffer, buffer);
                self.start = range.start;
                self.keep(former);
            }
            Ok((buffer, range)) => self.extend(&buffer[range]),
            Err(bytes) => self.extend(&bytes),
        }
    }

    /// The buffer, to be written to.
    // A part of each turn: called, it would cost more than it does.
    #[inline(always)]
    fn own(&mut self) -> &mut Vec<u8> {
        if Rc::strong_count(&self.buffer) > 1 {
            self.change();
        }
        Rc::get_mut(&mut self.buffer).expect("nobody else has another buffer")
    }

    /// Goes on with another buffer, because stretches of this one are under way, or because it has
    /// another size.
    #[inline(never)]
    fn change(&mut self) {
        let size = if self.window > RECEIVED { BULK } else { RECEIVED };
        let fits = |buffer: &Rc<Vec<u8>>| Rc::strong_count(buffer) == 1 && buffer.capacity() == size;
        let free = self.former.iter().position(fits);
        let mut next = free.map_or_else(|| buffer_of(size), |free| self.former.swap_remove(free));
        if let Some(buffer) = Rc::get_mut(&mut next) {
            buffer.clear();
            buffer.extend_from_slice(self.bytes());
        }
        self.start = 0;
        let former = std::mem::replace(&mut self.buffer, next);
        self.keep(former);
    }

    fn keep(&mut self, former: Rc<Vec<u8>>) {
        let kept: usize = self.former.iter().map(|buffer| buffer.capacity()).sum();
        if kept + former.capacity() <= SPARE {
            self.former.push(former);
        }
    }
}

/// An empty buffer with room for `size` bytes.
fn buffer_of(size: usize) -> Rc<Vec<u8>> {
    Rc::new(Vec::with_capacity(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_keeps_its_bytes_when_it_makes_space() {
        let mut input = Input::default();
        input.extend(&[b'a'; BUFFER]);
        assert!(input.is_full());
        input.consume(BUFFER - 3);
        assert_eq!(input.make_room(), BUFFER + RECORD - 3);
        assert_eq!(input.bytes(), b"aaa");
    }

    #[test]
    fn a_piece_of_the_input_stays_while_the_input_goes_on() {
        let mut input = Input::default();
        input.extend(&[b'a'; BUFFER]);
        input.extend(b"next");
        let place = input.bytes().as_ptr();
        let (first, second) = (input.share(0..BUFFER / 2), input.share(BUFFER / 2..BUFFER));
        assert_eq!((first.as_ptr(), second.as_ptr_range().end), (place, input.bytes()[BUFFER..].as_ptr()));
        input.consume(BUFFER);
        input.bytes_mut()[0] = b'N';
        assert_eq!(input.make_room(), BUFFER + RECORD - 4);
        input.extend(b"!");
        assert_eq!(input.bytes(), b"Next!");
        assert!(first.iter().chain(&second[..]).all(|byte| *byte == b'a'));
        // It is used again when both are gone.
        input.clear();
        drop((first, second));
        input.extend(&[b'b'; BUFFER]);
        let third = input.share(0..BUFFER);
        input.consume(BUFFER);
        input.extend(b"c");
        assert_eq!((input.bytes(), input.bytes().as_ptr()), (&b"c"[..], place));
        drop(third);
    }

    #[test]
    fn much_is_received_into_buffers_of_their_own() {
        let mut input = Input::default();
        let usual = input.bytes().as_ptr();
        let mut large = Vec::new();
        for _ in 0..3 {
            input.set_window(BULK);
            assert_eq!(input.make_room(), BULK);
            large.push(input.bytes().as_ptr());
            input.extend(&[b'a'; BULK]);
            let piece = input.share(0..BULK);
            input.consume(BULK);
            input.set_window(RECEIVED);
            assert_eq!((input.make_room(), input.bytes().as_ptr()), (RECEIVED, usual));
            assert_eq!((piece.len(), Bytes::memory_of([&piece])), (BULK, BULK));
        }
        assert!(large[0] == large[1] && large[1] == large[2], "it is used again");
        // What is at hand goes along.
        input.extend(b"begin");
        input.set_window(BULK);
        assert_eq!((input.make_room(), input.bytes()), (BULK - 5, &b"begin"[..]));
    }

    #[test]
    fn few_bytes_do_not_keep_a_buffer() {
        let mut input = Input::default();
        input.extend(&[b'a'; BUFFER / 2 - 1]);
        assert_eq!(Bytes::memory_of([&input.share(0..LEAST)]), LEAST, "most of the buffer is empty");
        input.extend(b"b");
        assert_eq!(Bytes::memory_of([&input.share(0..LEAST - 1)]), LEAST - 1);
        assert_eq!(Bytes::memory_of([&input.share(0..LEAST)]), BUFFER + RECORD);
        assert!(std::panic::catch_unwind(|| input.share(LEAST..BUFFER)).is_err());
    }

    #[test]
    fn the_input_keeps_few_buffers() {
        let mut input = Input::default();
        let mut pieces = Vec::new();
        for _ in 0..2 * SPARE / RECEIVED {
            input.extend(&[b'a'; BUFFER]);
            pieces.push(input.share(0..BUFFER));
            input.consume(BUFFER);
        }
        assert_eq!(input.former.len(), SPARE / RECEIVED);
        drop(pieces);
        for _ in 0..2 * SPARE / RECEIVED {
            input.extend(&[b'a'; BUFFER]);
            drop(input.share(0..BUFFER));
            input.consume(BUFFER);
        }
        assert_eq!(input.former.len(), SPARE / RECEIVED);
    }
}
