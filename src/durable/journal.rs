//! Group commit: pending writes are committed together, and each gets its own result.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::{fmt, mem};

use super::records::{Change, Record};

/// The storage behind the journal.
pub(super) trait Medium {
    /// Makes the changes of all writes in one transaction, which is on disk when this returns.
    /// Returns for each write whether there was a live record before.
    fn commit(&mut self, batch: &[Write]) -> io::Result<Vec<bool>>;

    /// Makes the medium usable again after an error.
    fn recover(&mut self) -> io::Result<()>;

    /// The record on disk.
    fn read(&mut self, key: &[u8]) -> io::Result<Option<Record>>;
}

/// Why a write isn't on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteError {
    /// The store has no capacity left.
    Full,
    /// The disk has no space left.
    NoSpace,
    /// The disk failed; the log has the error.
    Failed,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the store is full",
            Self::NoSpace => "no space is left on the disk",
            Self::Failed => "the disk failed",
        })
    }
}

impl std::error::Error for WriteError {}

impl From<&io::Error> for WriteError {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::NoSpace,
            _ => Self::Failed,
        }
    }
}

/// The future result of a write.
pub(super) type Ticket = Arc<OnceLock<Result<bool, WriteError>>>;

/// Changes that are made together.
pub(super) struct Write {
    pub(super) changes: Vec<Change>,
    /// The Unix second of the call.
    pub(super) now: i64,
    ticket: Ticket,
}

/// What both threads share; each locks it for a moment only.
#[derive(Default)]
struct Shared {
    /// The batch that is being collected.
    batch: Vec<Write>,
    /// Bytes of this batch, and of the one that is being committed.
    bytes: usize,
    /// Changes that are committed but not yet applied to memory.
    committed: Vec<Change>,
}

/// The way of changes from memory to the disk and back.
pub(super) struct Journal<M> {
    shared: Mutex<Shared>,
    /// There are committed changes to apply.
    new_commits: AtomicBool,
    /// Locked during a commit, so the loop never locks it.
    medium: Mutex<State<M>>,
}

/// The medium and its state.
struct State<M> {
    medium: M,
    unknown: Option<Vec<Arc<[u8]>>>,
    /// The last batch failed. Only the first failure is logged, not every batch while a disk is
    /// full.
    failing: bool,
}

/// A panic leaves no inconsistent data behind these locks, so a poisoned lock is used on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bytes(write: &Write) -> usize {
    write.changes.iter().map(Change::bytes).sum()
}

impl<M: Medium> Journal<M> {
    pub(super) fn new(medium: M) -> Self {
        let medium = Mutex::new(State { medium, unknown: None, failing: false });
        Self { shared: Mutex::default(), new_commits: AtomicBool::new(false), medium }
    }

    /// Bytes that are not yet committed.
    pub(super) fn bytes(&self) -> usize {
        lock(&self.shared).bytes
    }

    /// Adds `changes` to the batch; before them the removal of expired records, for which no
    /// caller waits.
    pub(super) fn enqueue(&self, expired: Vec<Change>, changes: Vec<Change>, now: i64) -> Ticket {
        let ticket = Ticket::default();
        let mut shared = lock(&self.shared);
        for (changes, ticket) in [(expired, Ticket::default()), (changes, Arc::clone(&ticket))] {
            if !changes.is_empty() {
                let write = Write { changes, now, ticket };
                shared.bytes += bytes(&write);
                shared.batch.push(write);
            }
        }
        ticket
    }

    /// Whether a batch has ended since the last call.
    pub(super) fn has_committed(&self) -> bool {
        self.new_commits.swap(false, Ordering::Acquire)
    }

    /// Takes the changes that were committed since the last call, in order.
    pub(super) fn committed(&self) -> Vec<Change> {
        mem::take(&mut lock(&self.shared).committed)
    }

    /// Blocks until the write has a result. All writes of a batch get their results together,
    /// so most callers find theirs at once.
    pub(super) fn wait(&self, ticket: &Ticket) -> Result<bool, WriteError> {
        if ticket.get().is_none() {
            self.commit();
        }
        *ticket.get().unwrap_or(&Err(WriteError::Failed))
    }

    /// Commits the collected batch.
    fn commit(&self) {
        let mut state = lock(&self.medium);
        let batch = mem::take(&mut lock(&self.shared).batch);
        if batch.is_empty() {
            return;
        }
        let mut known = Vec::new();
        // A panic in the store is an error like others: every write gets a result.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            state.recover(&mut known)?;
            state.commit(&batch)
        }));
        let outcome = outcome.unwrap_or_else(|_| Err(io::Error::other("the store panicked")));
        let changed = mem::replace(&mut state.failing, outcome.is_err()) != outcome.is_err();
        if let Err(error) = &outcome {
            if changed {
                log::error!("writes are refused, because the store can't commit them: {error}");
            }
            state.mark_unknown(&batch);
            // At once, so that memory gets the state of the disk. If it fails, it is tried
            // again before the next batch.
            let recovered = catch_unwind(AssertUnwindSafe(|| state.recover(&mut known)));
            if let (true, Ok(Err(error))) = (changed, recovered) {
                log::error!("the store can't be reopened: {error}");
            }
        } else if changed {
            log::info!("the store commits writes again");
        }
        let results: Vec<_> = match &outcome {
            Ok(were) => were.iter().map(|was| Ok(*was)).collect(),
            Err(error) => vec![Err(error.into()); batch.len()],
        };
        let mut shared = lock(&self.shared);
        shared.bytes -= batch.iter().map(bytes).sum::<usize>();
        shared.committed.append(&mut known);
        let tickets: Vec<_> = batch
            .into_iter()
            .map(|write| {
                if outcome.is_ok() {
                    shared.committed.extend(write.changes);
                }
                write.ticket
            })
            .collect();
        drop(shared);
        // The changes are visible before they are acknowledged.
        self.new_commits.store(true, Ordering::Release);
        for (ticket, result) in tickets.iter().zip(results) {
            // Nothing else sets it.
            let _ = ticket.set(result);
        }
    }
}

impl<M: Medium> State<M> {
    fn commit(&mut self, batch: &[Write]) -> io::Result<Vec<bool>> {
        self.medium.commit(batch)
    }

    /// The commit failed: it is unknown which of these changes are on disk.
    fn mark_unknown(&mut self, batch: &[Write]) {
        let keys = batch.iter().flat_map(|write| &write.changes).map(|change| Arc::clone(change.key()));
        self.unknown.get_or_insert_default().extend(keys);
    }

    /// Recovers the medium if needed, and reads the keys whose state is unknown.
    fn recover(&mut self, known: &mut Vec<Change>) -> io::Result<()> {
        let Some(keys) = &self.unknown else { return Ok(()) };
        self.medium.recover()?;
        let mut found = Vec::new();
        for key in keys {
            found.push(match self.medium.read(key)? {
                Some(record) => Change::Put(Arc::clone(key), record),
                None => Change::Remove(Arc::clone(key)),
            });
        }
        known.append(&mut found);
        self.unknown = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A disk that fails as a test wants it.
    #[derive(Default)]
    struct Fake {
        rows: BTreeMap<Arc<[u8]>, Record>,
        batches: Vec<usize>,
        fails: Option<Failure>,
        broken: bool,
    }

    #[derive(Clone, Copy, PartialEq)]
    enum Failure {
        Before,
        After,
        Panic,
        ForGood,
    }

    impl Medium for Fake {
        fn commit(&mut self, batch: &[Write]) -> io::Result<Vec<bool>> {
            assert!(!self.broken, "used without recovery");
            self.batches.push(batch.len());
            let fails = self.fails;
            self.broken = fails.is_some();
            if matches!(fails, None | Some(Failure::After)) {
                for change in batch.iter().flat_map(|write| &write.changes) {
                    match change {
                        Change::Put(key, record) => drop(self.rows.insert(Arc::clone(key), record.clone())),
                        Change::Remove(key) | Change::Expire(key, _) => drop(self.rows.remove(key)),
                    }
                }
            }
            match fails {
                None => Ok(vec![false; batch.len()]),
                Some(Failure::Panic) => panic!("as the test wants"),
                Some(_) => Err(io::ErrorKind::StorageFull.into()),
            }
        }

        fn recover(&mut self) -> io::Result<()> {
            if self.fails == Some(Failure::ForGood) {
                return Err(io::ErrorKind::NotFound.into());
            }
            self.broken = false;
            Ok(())
        }

        fn read(&mut self, key: &[u8]) -> io::Result<Option<Record>> {
            Ok(self.rows.get(key).cloned())
        }
    }

    fn put(key: &str) -> Vec<Change> {
        vec![Change::Put(key.as_bytes().into(), Record { value: [1].into(), expires: None })]
    }

    fn keys(changes: &[Change]) -> Vec<&str> {
        changes.iter().map(|change| std::str::from_utf8(change.key()).unwrap()).collect()
    }

    #[test]
    fn pending_writes_are_committed_in_one_batch() {
        let journal = Journal::new(Fake::default());
        let tickets = ["a", "b", "c"].map(|key| journal.enqueue(Vec::new(), put(key), 0));
        assert!(journal.bytes() > 0 && !journal.has_committed());
        for ticket in &tickets {
            assert_eq!(journal.wait(ticket), Ok(false));
        }
        assert_eq!(lock(&journal.medium).medium.batches, [3]);
        assert_eq!((keys(&journal.committed()), journal.bytes()), (vec!["a", "b", "c"], 0));
        assert_eq!((journal.committed(), journal.has_committed(), journal.has_committed()), (vec![], true, false));
    }

    #[test]
    fn after_a_failed_batch_memory_gets_the_state_of_the_disk() {
        for (failure, error, expected) in [
            (Failure::Before, WriteError::NoSpace, Change::Remove(b"a"[..].into())),
            // The commit reported an error, but it succeeded.
            (Failure::After, WriteError::NoSpace, put("a").remove(0)),
            (Failure::Panic, WriteError::Failed, Change::Remove(b"a"[..].into())),
        ] {
            let journal = Journal::new(Fake { fails: Some(failure), ..Fake::default() });
            let ticket = journal.enqueue(Vec::new(), put("a"), 0);
            assert_eq!(journal.wait(&ticket), Err(error));
            assert_eq!((journal.committed(), journal.bytes()), (vec![expected], 0));
            lock(&journal.medium).medium.fails = None;
            let ticket = journal.enqueue(Vec::new(), put("b"), 0);
            assert_eq!(journal.wait(&ticket), Ok(false));
            assert_eq!(keys(&journal.committed()), ["b"]);
        }
    }

    #[test]
    fn a_disk_that_fails_for_a_while_recovers() {
        let journal = Journal::new(Fake { fails: Some(Failure::ForGood), ..Fake::default() });
        for key in ["a", "b"] {
            assert!(journal.wait(&journal.enqueue(Vec::new(), put(key), 0)).is_err());
            assert!(journal.committed().is_empty());
        }
        lock(&journal.medium).medium.fails = None;
        assert_eq!(journal.wait(&journal.enqueue(Vec::new(), put("c"), 0)), Ok(false));
        // First the changes of the failed batches, then the new one.
        assert_eq!(keys(&journal.committed()), ["a", "b", "c"]);
    }
}
