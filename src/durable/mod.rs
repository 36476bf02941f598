//! Durable records: keys and values with an optional expiry; they survive the process.
//!
//! ```text
//!   the loop                                  the helper thread
//!   ────────                                  ─────────────────
//!   get ──▶ Records (memory)
//!   write ─▶ Journal: pending batch ──▶ Commit::wait: one transaction, one fsync
//!   Records ◀─ Journal: committed changes ◀──┘ and every write of the batch has its result
//! ```
//!
//! A store is small enough to be in memory, so reads never wait. The journal writes it to
//! the disk. A [`write`](Store::write) returns a [`Commit`], a job for the helper thread.
//! The first such job commits all pending writes in one batch. While its `fsync` runs, further
//! writes form the next batch. Later jobs of the same batch find their result at once. So
//! the number of writes per second isn't limited by the number of commits per second.
//!
//! **Memory and disk don't diverge**, because memory changes only after the disk:
//! committed changes are passed back in order and applied before the next read. So no
//! reader sees a value that could still be lost, and every reader sees a value once it is
//! acknowledged. ([`latest`](Store::latest) also sees pending values.) A failed batch
//! changes nothing in memory. A commit that reports an error may still have happened, so
//! the store is reopened, the keys of that batch are read from the disk, and memory takes
//! these values.
//!
//! **A full disk refuses values, not removals**: a `reserve` of space is kept for them.
//!
//! The file is a [redb](https://docs.rs/redb) database: one file, pure Rust, a copy-on-write
//! B-tree. Everything that a root refers to is checksummed and synced before the root is
//! replaced in one write. So a process that is killed at any moment leaves the old state or
//! the new one. A log with compaction would be smaller, but it would have to be proven
//! correct.

mod disk;
mod journal;
mod records;
mod reserve;

use std::collections::HashMap;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;

pub use disk::OpenError;
pub use journal::WriteError;
pub use records::{Change, Record};

use disk::Disk;
use journal::Journal;
use records::Records;

/// Expired records that one call removes: more than one call can add, so none accumulate.
const EXPIRED: usize = 64;

/// Keys and values, in memory, and on disk if the store was opened there.
pub struct Store {
    records: Records,
    journal: Option<Arc<Journal<Disk>>>,
    /// Keys that are removed from memory; the next batch removes them from the disk.
    expired: Vec<Arc<[u8]>>,
    /// The last pending change of each key.
    pending: HashMap<Arc<[u8]>, (journal::Ticket, Change)>,
    /// Most bytes in the store, see [`Change`].
    capacity: usize,
}

/// Commits what is pending, and closes the file: then it can be opened again, even if a helper
/// thread still has a [`Commit`]. This waits for the disk.
impl Drop for Store {
    fn drop(&mut self) {
        if let Some(journal) = &self.journal {
            journal.close();
        }
    }
}

/// The result of [`Store::write`].
#[must_use]
pub enum Written {
    /// It is done; whether there was a record before.
    Now(bool),
    /// It is pending.
    Later(Commit),
}

/// A pending write. It is acknowledged when [`wait`](Self::wait) returns. If this is dropped,
/// the write is committed with a later one, or when the store is dropped.
#[must_use]
#[derive(Clone)]
pub struct Commit {
    journal: Arc<Journal<Disk>>,
    ticket: journal::Ticket,
}

impl Commit {
    /// Blocks until the write is on disk; for the helper thread. Returns whether there was a
    /// record before.
    ///
    /// # Errors
    /// If it isn't on disk, see [`WriteError`].
    pub fn wait(self) -> Result<bool, WriteError> {
        self.journal.wait(&self.ticket)
    }

    /// The result of [`wait`](Self::wait), if there is one already.
    pub fn outcome(&self) -> Option<Result<bool, WriteError>> {
        self.ticket.get().copied()
    }
}

impl Store {
    /// A store in memory only, with this capacity in bytes.
    pub fn in_memory(capacity: usize) -> Self {
        Self { records: Records::default(), journal: None, expired: Vec::new(), pending: HashMap::new(), capacity }
    }

    /// Opens the store `name` in `directory`. Both are created if absent, for their owner only.
    ///
    /// # Errors
    /// If another process has it open, if the file is no store, or if the system refuses.
    pub fn open(directory: &Path, name: &str, capacity: usize) -> Result<Self, OpenError> {
        let mut store = Self::in_memory(capacity);
        let disk = Disk::open(directory, name, &mut |key, record| {
            store.records.apply(Change::Put(key.into(), record));
        })?;
        store.journal = Some(Arc::new(Journal::new(disk)));
        Ok(store)
    }

    /// A read-only copy of the store `name` in `directory`, even if another process has it
    /// open. Writes to the copy don't reach the disk.
    ///
    /// # Errors
    /// If there is no store, if it is damaged, or if another process writes to it without pause.
    pub fn copy(directory: &Path, name: &str) -> Result<Self, OpenError> {
        let mut store = Self::in_memory(usize::MAX);
        Disk::copy(directory, name, &mut |key, record| {
            store.records.apply(Change::Put(key.into(), record));
        })?;
        Ok(store)
    }

    /// The live record of `key`.
    pub fn get(&mut self, key: &[u8], now: i64) -> Option<&Record> {
        self.settle(now);
        self.records.get(key).filter(|record| record.is_live(now))
    }

    /// The live record of `key` including pending changes: for a caller that changes a record
    /// and must not lose a concurrent change.
    pub fn latest(&mut self, key: &[u8], now: i64) -> Option<Record> {
        // This comes first: a change that has its result now is in `records` after `settle`.
        let pending = self.pending.get(key).filter(|(ticket, _)| ticket.get().is_none());
        let pending = pending.map(|(_, change)| change.clone());
        self.settle(now);
        let record = match pending {
            Some(Change::Put(_, record)) => Some(record),
            Some(_) => None,
            None => self.records.get(key).cloned(),
        };
        record.filter(|record| record.is_live(now))
    }

    /// The live records in this range of keys, in order.
    pub fn range(
        &mut self,
        keys: impl RangeBounds<[u8]>,
        now: i64,
    ) -> impl DoubleEndedIterator<Item = (&Arc<[u8]>, &Record)> {
        self.settle(now);
        self.records.range(keys).filter(move |(_, record)| record.is_live(now))
    }

    /// The keys of the records that expire first, without those that have a pending change: at
    /// most `count`.
    pub fn first_to_expire(&self, count: usize) -> Vec<Arc<[u8]>> {
        self.records.first_to_expire().filter(|key| !self.pending.contains_key(*key)).take(count).cloned().collect()
    }

    /// What operators may want to know about it: how many records, and their bytes.
    pub fn figures(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("records", self.records.len() as u64),
            ("bytes", self.bytes() as u64),
            ("capacity", u64::try_from(self.capacity).unwrap_or(u64::MAX)),
        ]
    }

    /// Sets the capacity in bytes. Records that are there stay.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Bytes of all records and pending changes.
    pub fn bytes(&self) -> usize {
        self.records.bytes() + self.journal.as_ref().map_or(0, |journal| journal.bytes())
    }

    /// Makes these changes, all or none.
    ///
    /// # Errors
    /// [`WriteError::Full`] if they don't fit. A removal always fits.
    pub fn write(&mut self, changes: Vec<Change>, now: i64) -> Result<Written, WriteError> {
        self.settle(now);
        let puts: usize = changes.iter().filter(|change| matches!(change, Change::Put(..))).map(Change::bytes).sum();
        let replaced = self.replaced(&changes);
        if puts > 0 && self.bytes() + puts > self.capacity + replaced {
            return Err(WriteError::Full);
        }
        let Some(journal) = &self.journal else {
            let was = changes.into_iter().fold(false, |was, change| self.records.apply(change) | was);
            return Ok(Written::Now(was));
        };
        let expired = self.expired.drain(..).map(|key| Change::Expire(key, now)).collect();
        let pending = changes.clone();
        let ticket = journal.enqueue(expired, changes, now);
        self.pending
            .extend(pending.into_iter().map(|change| (Arc::clone(change.key()), (Arc::clone(&ticket), change))));
        Ok(Written::Later(Commit { journal: Arc::clone(journal), ticket }))
    }

    /// Bytes that `changes` free.
    fn replaced(&self, changes: &[Change]) -> usize {
        changes.iter().map(|change| self.records.size_of(change.key())).sum()
    }

    /// Applies committed changes and removes expired records.
    fn settle(&mut self, now: i64) {
        if let Some(journal) = self.journal.as_ref().filter(|journal| journal.has_committed()) {
            // This comes first: a change that is no longer pending is then in the committed ones.
            self.pending.retain(|_, (ticket, _)| ticket.get().is_none());
            for change in journal.committed() {
                self.records.apply(change);
            }
        }
        for _ in 0..EXPIRED {
            let Some(key) = self.records.take_expired(now) else { break };
            if self.journal.is_some() {
                self.expired.push(key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
