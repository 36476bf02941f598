//! What compresses responses piece by piece.
//!
//! An encoder holds a few hundred KiB until its response ends, so there are only so many. When all are
//! in use, further responses are sent as they are.

use std::cell::Cell;
use std::rc::Rc;

use crate::compression::Encoder;
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
    most: usize,
    used: Rc<Cell<usize>>,
}

impl Encoders {
    /// As many as fit a limit of all memory, in bytes.
    pub(super) fn within(memory: usize) -> Self {
        let mut this = Self { most: 0, used: Rc::default() };
        this.limit_memory(memory);
        this
    }

    /// So many that they take at most an eighth of this memory, in bytes.
    pub(super) fn limit_memory(&mut self, memory: usize) {
        self.most = (memory / 8 / Encoder::MEMORY).min(limits::ENCODERS);
    }

    /// An encoder, if there is one left.
    pub(super) fn take(&self, level: u8) -> Option<Box<Coder>> {
        if self.used.get() >= self.most {
            return None;
        }
        self.used.set(self.used.get() + 1);
        Some(Box::new(Coder { encoder: Encoder::new(level), level, is_behind: false, used: Rc::clone(&self.used) }))
    }
}

/// Codes the content of one response.
pub(super) struct Coder {
    encoder: Encoder,
    level: u8,
    /// There may be content that is in no result.
    is_behind: bool,
    used: Rc<Cell<usize>>,
}

impl Coder {
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
        self.used.set(self.used.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoders_are_limited_by_number_and_memory() {
        for (memory, expected) in
            [(0, 0), (8 * Encoder::MEMORY - 1, 0), (16 * Encoder::MEMORY, 2), (1 << 40, limits::ENCODERS)]
        {
            let encoders = Encoders::within(memory);
            let mut taken: Vec<_> = std::iter::from_fn(|| encoders.take(1)).collect();
            assert_eq!(taken.len(), expected, "{memory}");
            if taken.pop().is_some() {
                assert!(encoders.take(1).is_some(), "one was given back");
            }
        }
    }
}
