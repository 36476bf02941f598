//! Group commit: pending writes are committed together, and each gets its own result.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::{fmt, mem};

use super::records::{Change, Record};
use super::reserve::is_full;

/// The storage behind the journal.
pub(super) trait Medium {
    /// Makes the changes of all writes in one transaction, which is on disk when this returns.
    /// Returns for each write whether there was a live record before.
    fn commit(&mut self, batch: &[Write]) -> io::Result<Vec<bool>>;

    /// Makes the medium usable again after an error.
    fn recover(&mut self) -> io::Result<()>;

    /// Makes sure that there is space for removals when the disk is full. An error says that
    /// there is none, so nothing else must be committed.
    fn reserve(&mut self) -> io::Result<()>;

    /// Gives this space up. Returns whether there was any.
    fn release(&mut self) -> bool;

    /// The record on disk.
    fn read(&mut self, key: &[u8]) -> io::Result<Option<Record>>;

    /// Gives the medium up, so that it can be opened again.
    fn close(&mut self);
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
        if is_full(error) { Self::NoSpace } else { Self::Failed }
    }
}

/// The future result of a write.
pub(super) type Ticket = Arc<OnceLock<Result<bool, WriteError>>>;

/// Changes that are made together.
#[derive(Clone)]
pub(super) struct Write {
    pub(super) changes: Vec<Change>,
    /// The Unix second of the call.
    pub(super) now: i64,
    ticket: Ticket,
}

impl Write {
    /// It makes the store larger.
    fn grows(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Put(..)))
    }
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

    /// Commits what is still pending, after a commit that runs, and closes the medium. Nothing may
    /// be added any more.
    pub(super) fn close(&self) {
        self.commit();
        lock(&self.medium).medium.close();
    }

    /// Commits the collected batch.
    fn commit(&self) {
        let mut state = lock(&self.medium);
        let batch = mem::take(&mut lock(&self.shared).batch);
        if batch.is_empty() {
            return;
        }
        let mut known = Vec::new();
        let results = state.commit(&batch, &mut known);
        let mut shared = lock(&self.shared);
        shared.bytes -= batch.iter().map(bytes).sum::<usize>();
        shared.committed.append(&mut known);
        let mut tickets = Vec::with_capacity(batch.len());
        for (write, result) in batch.into_iter().zip(&results) {
            if result.is_ok() {
                shared.committed.extend(write.changes);
            }
            tickets.push(write.ticket);
        }
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
    /// Commits a batch, and returns the result of each write. If the disk is full, the removals
    /// are committed alone, with the reserve. What is read after a failure is added to `known`.
    fn commit(&mut self, batch: &[Write], known: &mut Vec<Change>) -> Vec<Result<bool, WriteError>> {
        let mut error = match self.attempt(batch, known) {
            Ok(were) => {
                // Removals alone don't show that the disk takes values again.
                if batch.iter().any(Write::grows) && mem::take(&mut self.failing) {
                    log::info!("the store commits writes again");
                }
                return were.into_iter().map(Ok).collect();
            }
            Err(error) => error,
        };
        let mut results = vec![Err((&error).into()); batch.len()];
        let (at, removals): (Vec<_>, Vec<_>) =
            batch.iter().enumerate().filter(|(_, write)| !write.grows()).map(|(at, write)| (at, write.clone())).unzip();
        if is_full(&error) && !removals.is_empty() {
            self.medium.release();
            match self.attempt(&removals, known) {
                Ok(were) => at.into_iter().zip(were).for_each(|(at, was)| results[at] = Ok(was)),
                Err(again) => error = again,
            }
            // If there is no space now, the next value is refused and tries again.
            let _ = self.medium.reserve();
        }
        if !mem::replace(&mut self.failing, true) {
            log::error!("writes are refused, because the store can't commit them: {error}");
        }
        results
    }

    /// Commits a batch. A panic in the store is an error like others: every write gets a result.
    fn attempt(&mut self, batch: &[Write], known: &mut Vec<Change>) -> io::Result<Vec<bool>> {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.recover(known)?;
            if batch.iter().any(Write::grows) {
                self.medium.reserve()?;
            }
            let outcome = self.medium.commit(batch);
            if outcome.is_err() {
                self.mark_unknown(batch);
            }
            outcome
        }));
        let outcome = outcome.unwrap_or_else(|_| {
            self.mark_unknown(batch);
            Err(io::Error::other("the store panicked"))
        });
        if outcome.is_err() {
            // At once, so that memory gets the state of the disk. If it fails, it is tried again
            // before the next batch.
            let recovered = catch_unwind(AssertUnwindSafe(|| self.recover(known)));
            if let (false, Ok(Err(error))) = (self.failing, recovered) {
                log::error!("the store can't be reopened: {error}");
            }
        }
        outcome
    }

    /// The commit failed: it is unknown which of these changes are on disk.
    fn mark_unknown(&mut self, batch: &[Write]) {
        let keys = batch.iter().flat_map(|write| &write.changes).map(|change| Arc::clone(change.key()));
        self.unknown.get_or_insert_default().extend(keys);
    }

    /// Recovers the medium if needed, and reads the keys whose state is unknown.
    fn recover(&mut self, known: &mut Vec<Change>) -> io::Result<()> {
        let Some(keys) = &self.unknown else { return Ok(()) };
        let mut recovered = self.medium.recover();
        if recovered.as_ref().is_err_and(is_full) && self.medium.release() {
            recovered = self.medium.recover();
        }
        recovered?;
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
        /// Units of space: each write of a commit takes one, and so does the reserve.
        space: Option<usize>,
        reserved: bool,
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
            let full = self.space.is_some_and(|space| space < batch.len());
            let fails = if full { Some(Failure::Before) } else { self.fails };
            self.space = self.space.map(|space| space.saturating_sub(batch.len()));
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

        fn reserve(&mut self) -> io::Result<()> {
            if let (Some(space), false) = (&mut self.space, self.reserved) {
                *space = space.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
            }
            self.reserved = true;
            Ok(())
        }

        fn release(&mut self) -> bool {
            self.space = self.space.map(|space| space + usize::from(self.reserved));
            mem::take(&mut self.reserved)
        }

        fn read(&mut self, key: &[u8]) -> io::Result<Option<Record>> {
            Ok(self.rows.get(key).cloned())
        }

        fn close(&mut self) {}
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

    fn remove(key: &str) -> Vec<Change> {
        vec![Change::Remove(key.as_bytes().into())]
    }

    #[test]
    fn a_full_disk_refuses_values_but_not_removals() {
        // Room for the reserve and two writes.
        let journal = Journal::new(Fake { space: Some(3), ..Fake::default() });
        let write = |changes| journal.wait(&journal.enqueue(Vec::new(), changes, 0));
        assert_eq!([write(put("a")), write(put("b"))], [Ok(false); 2]);
        assert_eq!(write(put("c")), Err(WriteError::NoSpace));
        journal.committed();
        // In one batch each write has its own result, and the removal uses the reserve.
        let tickets = [put("d"), remove("a"), put("e")].map(|changes| journal.enqueue(Vec::new(), changes, 0));
        let results = tickets.each_ref().map(|ticket| journal.wait(ticket));
        assert_eq!(results, [Err(WriteError::NoSpace), Ok(false), Err(WriteError::NoSpace)]);
        let committed = journal.committed();
        assert_eq!(committed.last(), remove("a").last());
        // What was read after the failure, and then the removal.
        assert_eq!(keys(&committed), ["d", "a", "e", "a"]);
        let rows = || lock(&journal.medium).medium.rows.keys().cloned().collect::<Vec<_>>();
        assert_eq!(rows(), [b"b"[..].into()]);
        // Room for a reserve alone: it isn't given to values.
        lock(&journal.medium).medium.space = Some(1);
        assert_eq!(write(put("f")), Err(WriteError::NoSpace));
        assert_eq!(write(remove("b")), Ok(false));
        assert!(rows().is_empty());
        // Without any, values aren't even tried, and removals are.
        assert_eq!([write(put("g")), write(remove("g"))], [Err(WriteError::NoSpace); 2]);
        lock(&journal.medium).medium.space = None;
        assert_eq!([write(put("g")), write(remove("g"))], [Ok(false); 2]);
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
        // First the changes of the failed batch, then the new one. The other wasn't tried.
        assert_eq!(keys(&journal.committed()), ["a", "c"]);
    }
}
