//! What compresses responses piece by piece.
//!
//! An encoder holds a few hundred KiB until its response ends, so there are only so many, and they have
//! only so much memory. When all of it is in use, further responses are sent as they are.

use std::cell::Cell;
use std::rc::Rc;

use crate::compression::{Coding, Encoder};
use crate::limits;
use crate::reactor::Work;

/// What compressing so many bytes costs in units of [`Work`].
pub(super) fn cost(level: u8, bytes: usize) -> u32 {
    // Microseconds for a KiB.
    let each = if level > 6 { 32 } else { 10 };
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).saturating_mul(each)
}

/// The encoders that may be in use at the same time.
pub(super) struct Encoders {
    /// The most bytes of memory of all.
    most: usize,
    used: Rc<Used>,
}

/// What encoders are in use.
#[derive(Default)]
struct Used {
    number: Cell<usize>,
    /// In bytes.
    memory: Cell<usize>,
}

impl Encoders {
    /// As many as fit a limit of all memory, in bytes.
    pub(super) fn within(memory: usize) -> Self {
        let mut this = Self { most: 0, used: Rc::default() };
        this.limit_memory(memory);
        this
    }

    /// They take at most an eighth of this memory, in bytes.
    pub(super) fn limit_memory(&mut self, memory: usize) {
        self.most = memory / 8;
    }

    /// An encoder, if there is one left.
    pub(super) fn take(&self, coding: Coding, level: u8) -> Option<Box<Coder>> {
        let (number, memory) = (self.used.number.get() + 1, self.used.memory.get() + Encoder::memory(coding));
        if number > limits::ENCODERS || memory > self.most {
            return None;
        }
        self.used.number.set(number);
        self.used.memory.set(memory);
        let (encoder, used) = (Encoder::new(coding, level), Rc::clone(&self.used));
        Some(Box::new(Coder { encoder, coding, level, is_behind: false, used }))
    }
}

/// Codes the content of one response.
pub(super) struct Coder {
    encoder: Encoder,
    coding: Coding,
    level: u8,
    /// There may be content that is in no result.
    is_behind: bool,
    used: Rc<Used>,
}

impl Coder {
    /// Bytes of memory that it holds.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + Encoder::memory(self.coding)
    }

    /// Codes a piece. What is made of it by now is in the result.
    pub(super) fn write(&mut self, content: &[u8], work: &mut Work) -> Vec<u8> {
        work.spend(cost(self.level, content.len()));
        let mut coded = Vec::new();
        self.encoder.write(content, &mut coded);
        self.is_behind |= !content.is_empty();
        coded
    }

    /// All that wasn't in a result.
    pub(super) fn flush(&mut self) -> Vec<u8> {
        let mut coded = Vec::new();
        if std::mem::take(&mut self.is_behind) {
            self.encoder.flush(&mut coded);
        }
        coded
    }

    /// The same, and the end.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut coded = Vec::new();
        self.encoder.finish(&mut coded);
        coded
    }
}

impl Drop for Coder {
    fn drop(&mut self) {
        self.used.number.set(self.used.number.get() - 1);
        self.used.memory.set(self.used.memory.get() - Encoder::memory(self.coding));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoders_are_limited_by_number_and_memory() {
        use Coding::{Gzip, Zstd};
        let of = Encoder::memory;
        for (memory, coding, expected) in [
            (0, Gzip, 0),
            (8 * of(Gzip) - 1, Gzip, 0),
            (16 * of(Gzip), Gzip, 2),
            (16 * of(Zstd) - 1, Zstd, 1),
            (16 * of(Zstd), Zstd, 2),
            (1 << 40, Gzip, limits::ENCODERS),
            (1 << 40, Zstd, limits::ENCODERS),
        ] {
            let encoders = Encoders::within(memory);
            let mut taken: Vec<_> = std::iter::from_fn(|| encoders.take(coding, 1)).collect();
            assert_eq!(taken.len(), expected, "{memory} {coding:?}");
            if taken.pop().is_some() {
                assert!(encoders.take(coding, 1).is_some(), "one was given back");
            }
        }
        let encoders = Encoders::within(8 * (of(Gzip) + of(Zstd)));
        let taken = [Gzip, Zstd, Gzip].map(|coding| encoders.take(coding, 1));
        assert_eq!(taken.each_ref().map(Option::is_some), [true, true, false], "they share the memory");
    }
}
