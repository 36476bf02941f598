//! Records that outlive the process: keys and values, with an expiry or without.
//!
//! ```text
//!   the loop                                  the helper thread
//!   ────────                                  ─────────────────
//!   get ──▶ Table (memory)
//!   write ─▶ Journal: batch that gathers ──▶ Commit::wait: one transaction, one fsync
//!   Table ◀─ Journal: what is committed ◀────┘ and every write of the batch is answered
//! ```
//!
//! Everything here is bounded, so all of it is in memory: reads are answered there
//! and never wait. The disk is the journal behind it. A [`write`](Store::write) gives
//! back a [`Commit`], a job for the helper thread. The first such job commits all that
//! has gathered by then; while its `fsync` runs, further writes gather and make the next
//! batch; and jobs whose write went along find that out at once. So the commits a
//! second don't bound the writes a second.
//!
//! **Memory and disk don't drift apart**, because memory changes only when the
//! disk has: what is committed is handed back in order and applied before the next read.
//! Nobody sees what could still be lost, and what a commit acknowledged is seen
//! by everybody after ([`latest`](Store::latest) is for who asks for more). A batch that fails has changed nothing in memory; the store is
//! opened again, and what the disk then says about the keys of that batch is what
//! memory takes over, since a commit that reports an error may have happened.
//!
//! The store is [redb](https://docs.rs/redb): one file, pure Rust, a copy-on-write
//! B-tree whose root moves in one write after everything it names is checksummed and
//! synced. So a process that is killed at any moment leaves either the old state
//! or the new one. A log of our own with compaction would be smaller, and one more
//! thing to be proven.

mod disk;
mod journal;
mod table;

use std::collections::HashMap;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;

pub use disk::OpenError;
pub use journal::WriteError;
pub use table::{Change, Record};

use disk::Disk;
use journal::Journal;
use table::Table;

/// Expired records that one call removes: more than one call can add, so that none stay.
const EXPIRED: usize = 64;

/// Keys and values, in memory, and on disk if it was opened there.
pub struct Store {
    table: Table,
    journal: Option<Arc<Journal<Disk>>>,
    /// Gone from memory; they leave the disk with the next batch.
    expired: Vec<Arc<[u8]>>,
    /// The last change to each key that is on its way.
    ahead: HashMap<Arc<[u8]>, (journal::Ticket, Change)>,
    /// Bytes that it may hold, see [`Change`].
    capacity: usize,
}

/// What became of a write.
#[must_use]
pub enum Written {
    /// It is done; whether there was a record before.
    Now(bool),
    /// It is done when this says so.
    Later(Commit),
}

/// A write on its way to the disk. It is acknowledged when [`wait`](Self::wait) returns;
/// dropped, the write goes with a later one.
#[must_use]
#[derive(Clone)]
pub struct Commit {
    journal: Arc<Journal<Disk>>,
    ticket: journal::Ticket,
}

impl Commit {
    /// Blocks until the write is on disk: for the helper thread. Says whether
    /// there was a record before.
    ///
    /// # Errors
    /// If it isn't on disk, see [`WriteError`].
    pub fn wait(self) -> Result<bool, WriteError> {
        self.journal.wait(&self.ticket)
    }

    /// What [`wait`](Self::wait) says or would say, if that is known already.
    pub fn outcome(&self) -> Option<Result<bool, WriteError>> {
        self.ticket.get().copied()
    }
}

impl Store {
    /// A store in memory alone, of at most `capacity` bytes.
    pub fn in_memory(capacity: usize) -> Self {
        Self { table: Table::default(), journal: None, expired: Vec::new(), ahead: HashMap::new(), capacity }
    }

    /// Opens the store `name` in `directory`, which is made, for its owner alone, if it is
    /// absent.
    ///
    /// # Errors
    /// If another process has it open, or the file is no store, or the system refuses.
    pub fn open(directory: &Path, name: &str, capacity: usize) -> Result<Self, OpenError> {
        let mut store = Self::in_memory(capacity);
        let disk = Disk::open(directory, name, &mut |key, record| {
            store.table.apply(Change::Put(key.into(), record));
        })?;
        store.journal = Some(Arc::new(Journal::new(disk)));
        Ok(store)
    }

    /// What is in the store `name` in `directory` at this moment, also if another process has it open; to be
    /// read only, what is written to it goes nowhere.
    ///
    /// # Errors
    /// If there is none, or a damaged one, or it is written to without pause.
    pub fn copy(directory: &Path, name: &str) -> Result<Self, OpenError> {
        let mut store = Self::in_memory(usize::MAX);
        Disk::copy(directory, name, &mut |key, record| {
            store.table.apply(Change::Put(key.into(), record));
        })?;
        Ok(store)
    }

    /// The live record of `key`.
    pub fn get(&mut self, key: &[u8], now: i64) -> Option<&Record> {
        self.settle(now);
        self.table.get(key).filter(|record| record.is_live(now))
    }

    /// The live record of `key` as it will be when all that is on its way is on disk: for
    /// who changes a record and must not lose what somebody else just changed in it.
    pub fn latest(&mut self, key: &[u8], now: i64) -> Option<Record> {
        // Looked at first: what is answered now is in the table when that is settled.
        let ahead = self.ahead.get(key).filter(|(ticket, _)| ticket.get().is_none());
        let ahead = ahead.map(|(_, change)| change.clone());
        self.settle(now);
        let record = match ahead {
            Some(Change::Put(_, record)) => Some(record),
            Some(_) => None,
            None => self.table.get(key).cloned(),
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
        self.table.range(keys).filter(move |(_, record)| record.is_live(now))
    }

    /// The keys of the records that expire first, and to which nothing is on its way: at
    /// most `count`.
    pub fn soonest(&self, count: usize) -> Vec<Arc<[u8]>> {
        self.table.soonest().filter(|key| !self.ahead.contains_key(*key)).take(count).cloned().collect()
    }

    /// Bytes of what is there and on its way.
    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.journal.as_ref().map_or(0, |journal| journal.bytes())
    }

    /// Makes these changes, all or none.
    ///
    /// # Errors
    /// [`WriteError::Full`] if they don't fit. Removing always fits.
    pub fn write(&mut self, changes: Vec<Change>, now: i64) -> Result<Written, WriteError> {
        self.settle(now);
        let puts: usize = changes.iter().filter(|change| matches!(change, Change::Put(..))).map(Change::bytes).sum();
        let replaced = self.replaced(&changes);
        if puts > 0 && self.bytes() + puts > self.capacity + replaced {
            return Err(WriteError::Full);
        }
        let Some(journal) = &self.journal else {
            let was = changes.into_iter().fold(false, |was, change| self.table.apply(change) | was);
            return Ok(Written::Now(was));
        };
        let expired = self.expired.drain(..).map(|key| Change::Expire(key, now)).collect();
        let ahead = changes.clone();
        let ticket = journal.enqueue(expired, changes, now);
        self.ahead.extend(ahead.into_iter().map(|change| (Arc::clone(change.key()), (Arc::clone(&ticket), change))));
        Ok(Written::Later(Commit { journal: Arc::clone(journal), ticket }))
    }

    /// Bytes that `changes` free.
    fn replaced(&self, changes: &[Change]) -> usize {
        changes.iter().map(|change| self.table.size_of(change.key())).sum()
    }

    /// Takes over what is committed, and drops what has expired.
    fn settle(&mut self, now: i64) {
        if let Some(journal) = self.journal.as_ref().filter(|journal| journal.has_news()) {
            // Before, so that what leaves here is in what comes.
            self.ahead.retain(|_, (ticket, _)| ticket.get().is_none());
            for change in journal.committed() {
                self.table.apply(change);
            }
        }
        for _ in 0..EXPIRED {
            let Some(key) = self.table.take_expired(now) else { break };
            if self.journal.is_some() {
                self.expired.push(key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
