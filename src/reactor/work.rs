//! How much work a turn, and a pass over the loop, may do.
//!
//! Time is read once a pass, so what bounds a pass are counts. A unit is about a
//! microsecond on a small machine: a read or a write, a small request, a kibibyte of
//! text that is parsed or made. A turn ends when its units are used, and a phase of a pass
//! gives no further connection a turn when its units are; what is left is queued for the
//! next pass. So whatever one connection asks for, and however many ask at once,
//! the others' events are looked at again within a few milliseconds.

/// Units of one phase of a pass: those that waited have one, and those that come.
const PHASE: u32 = 512;
/// Units of one turn of a connection.
const TURN: u32 = 512;
/// Bytes of files that a pass sends for connections whose event came in it. Beyond it a
/// file waits for the run queue, where downloads take turns.
pub(super) const PASS_FILES: u64 = 512 * 1024;
/// What a round of reading, asking the protocol and sending takes: most of it is the
/// system calls.
pub(super) const ROUND: u32 = 4;
/// A message of a TLS handshake: one of them needs a signature.
pub(super) const HANDSHAKE: u32 = 120;

/// Work done so far, and how much there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work {
    done: u32,
    most: u32,
}

impl Work {
    /// So much that it never ends: for tests of one protocol, and for a shut-down.
    pub(super) const UNLIMITED: Self = Self { done: 0, most: u32::MAX };

    /// The work of one turn.
    pub(super) fn turn() -> Self {
        Self { done: 0, most: TURN }
    }

    /// The work of one phase of a pass.
    pub(super) fn phase() -> Self {
        Self { done: 0, most: PHASE }
    }

    /// Takes note of work that was done, in units of about a microsecond. A protocol
    /// that does anything beyond reading and writing says so.
    pub fn spend(&mut self, units: u32) {
        self.done = self.done.saturating_add(units);
    }

    /// Takes note of making or parsing so many bytes of text.
    pub fn spend_bytes(&mut self, bytes: usize) {
        self.spend(u32::try_from(bytes / 1024).unwrap_or(u32::MAX));
    }

    /// Whether it is all used. A protocol then returns
    /// [`Want::AGAIN`](super::Want::AGAIN) if there is more that it could do.
    pub fn is_spent(&self) -> bool {
        self.done >= self.most
    }

    /// How much was done.
    pub(super) fn done(&self) -> u32 {
        self.done
    }
}
