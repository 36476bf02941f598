//! Bytes that stay where they are until they are sent.
//!
//! What is received is passed on to other connections, and what is stored is sent to many. A large
//! piece isn't copied for that. It is a stretch of the buffer that it was received into, which is used
//! again when all stretches of it are gone; or it is a stretch of the memory of a store. A small piece is
//! copied: that is cheaper than a stretch of its own, and it would keep a large buffer in use.

use std::ops::{Deref, Range};
use std::rc::Rc;
use std::sync::Arc;

/// The least bytes that are not copied.
pub(super) const LEAST: usize = 4 * 1024;

/// Bytes that are passed on without a copy, if they are many.
#[derive(Debug)]
pub struct Bytes {
    owner: Owner,
    range: Range<usize>,
}

/// Where they are.
#[derive(Debug)]
enum Owner {
    Copy(Box<[u8]>),
    /// A buffer that they were received into.
    Received(Rc<Vec<u8>>),
    /// The memory of a store, which counts it.
    Stored(Arc<Vec<u8>>),
}

impl Default for Bytes {
    fn default() -> Self {
        Self::copy(&[])
    }
}

impl Bytes {
    /// A copy of `bytes`.
    pub fn copy(bytes: &[u8]) -> Self {
        Self { range: 0..bytes.len(), owner: Owner::Copy(bytes.into()) }
    }

    /// The bytes of `memory` from `start` on. They don't count as memory of the connection that holds
    /// them, but of the store that does.
    pub fn stored(memory: Arc<Vec<u8>>, start: usize) -> Self {
        let end = memory.len();
        Self { owner: Owner::Stored(memory), range: start.min(end)..end }
    }

    /// A stretch of a buffer that they were received into.
    pub(super) fn received(buffer: Rc<Vec<u8>>, range: Range<usize>) -> Self {
        Self { owner: Owner::Received(buffer), range }
    }

    /// The buffer that they were received into and where in it they begin, or else the bytes as they are.
    pub(super) fn into_received(self) -> Result<(Rc<Vec<u8>>, Range<usize>), Self> {
        match self.owner {
            Owner::Received(buffer) => Ok((buffer, self.range)),
            owner => Err(Self { owner, ..self }),
        }
    }

    /// Keeps the first `most` bytes, if there are more.
    pub fn truncate(&mut self, most: usize) {
        self.range.end = self.range.end.min(self.range.start.saturating_add(most));
    }

    /// Drops the first `count` bytes, or all.
    pub(super) fn consume(&mut self, count: usize) {
        self.range.start = self.range.end.min(self.range.start.saturating_add(count));
    }

    /// Bytes of memory that a queue of these takes. A buffer counts whole, and once if its stretches follow
    /// each other. What is stored is counted by the store.
    pub fn memory_of<'a>(queue: impl IntoIterator<Item = &'a Self>) -> usize {
        let mut last = None;
        let of = |bytes: &'a Self| match &bytes.owner {
            Owner::Copy(copy) => copy.len(),
            Owner::Received(buffer) => match last.replace(Rc::as_ptr(buffer)) == Some(Rc::as_ptr(buffer)) {
                true => 0,
                false => buffer.capacity(),
            },
            Owner::Stored(_) => 0,
        };
        queue.into_iter().map(of).sum()
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let bytes = match &self.owner {
            Owner::Copy(bytes) => bytes,
            Owner::Received(buffer) => &buffer[..],
            Owner::Stored(memory) => &memory[..],
        };
        bytes.get(self.range.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_taken_from_both_ends_wherever_they_are() {
        let received = || Bytes::received(Rc::new(b"abcdefgh".to_vec()), 1..7);
        let stored = || Bytes::stored(Arc::new(b"abcdefg".to_vec()), 1);
        for make in [&(|| Bytes::copy(b"bcdefg")) as &dyn Fn() -> Bytes, &received, &stored] {
            for (most, count) in (0..9).flat_map(|most| (0..9).map(move |count| (most, count))) {
                let mut bytes = make();
                bytes.truncate(most);
                bytes.consume(count);
                assert_eq!(&bytes[..], &b"bcdefg"[count.min(most.min(6))..most.min(6)]);
            }
            let mut bytes = make();
            bytes.truncate(usize::MAX);
            bytes.consume(usize::MAX);
            assert!(bytes.is_empty());
        }
        assert!(Bytes::stored(Arc::new(vec![b'a']), 2).is_empty());
    }

    #[test]
    fn a_buffer_counts_once_and_what_is_stored_does_not_count() {
        let buffers = [0; 2].map(|_| Rc::new(Vec::with_capacity(100)));
        let of = |number: usize| Bytes::received(Rc::clone(&buffers[number]), 0..0);
        assert_eq!(Bytes::memory_of(&[of(0), of(0), Bytes::copy(b"abc"), of(0)]), 103);
        assert_eq!(Bytes::memory_of(&[of(0), of(1), of(1)]), 200);
        assert_eq!(Bytes::memory_of(&[Bytes::stored(Arc::new(vec![b'a']), 0), Bytes::default()]), 0);
    }
}
