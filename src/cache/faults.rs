//! For tests: file operations that fail, as if the process had ended or the disk were full.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::store::Store;

/// Which operations fail.
#[derive(Default)]
pub(super) struct Faults {
    /// How many there were.
    pub(super) steps: AtomicU64,
    /// From this one on they fail; 0 for never.
    pub(super) from: AtomicU64,
    /// Up to this one; 0 for always, as if the process had ended.
    pub(super) until: AtomicU64,
}

impl Faults {
    pub(super) fn step(&self) -> io::Result<()> {
        let step = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        let (from, until) = (self.from.load(Ordering::Relaxed), self.until.load(Ordering::Relaxed));
        let fails = from != 0 && step >= from && (until == 0 || step <= until);
        if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    /// The next operations fail: `count` of them, or all if it is 0.
    pub(super) fn fail(&self, after: u64, count: u64) {
        let from = self.steps.load(Ordering::Relaxed) + after + 1;
        self.from.store(from, Ordering::Relaxed);
        self.until.store(if count == 0 { 0 } else { from + count - 1 }, Ordering::Relaxed);
    }

    /// All operations succeed.
    pub(super) fn heal(&self) {
        self.from.store(0, Ordering::Relaxed);
    }
}

impl<W> Store<W> {
    /// How many operations of the disk there were.
    pub(crate) fn disk_steps(&self) -> u64 {
        self.faults().map_or(0, |faults| faults.steps.load(Ordering::Relaxed))
    }

    /// The operations of the disk fail after so many: `count` of them, or all if it is 0.
    pub(crate) fn fail_disk(&self, after: u64, count: u64) {
        self.faults().inspect(|faults| faults.fail(after, count));
    }

    /// All operations of the disk succeed.
    pub(crate) fn heal_disk(&self) {
        self.faults().inspect(|faults| faults.heal());
    }

    fn faults(&self) -> Option<&Faults> {
        self.queue.as_ref().map(|queue| &queue.disk().faults)
    }
}
