//! Group commit: writes that gather, are committed together, and are answered
//! each; and the bookkeeping of what is on its way.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::{fmt, mem};

use super::table::{Change, Record};

/// Where batches go.
pub(super) trait Medium {
    /// Makes the changes of all writes in one transaction, which is on disk when this
    /// returns. Says of each write whether there was a live record before.
    fn commit(&mut self, batch: &[Write]) -> io::Result<Vec<bool>>;

    /// Makes it usable again after an error.
    fn recover(&mut self) -> io::Result<()>;

    /// What is on disk.
    fn read(&mut self, key: &[u8]) -> io::Result<Option<Record>>;
}

/// Why a write isn't on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteError {
    /// It doesn't fit the store's capacity.
    Full,
    /// The disk has no space.
    NoSpace,
    /// The disk failed; what it said is in the log.
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

/// Where the answer to a write will be.
pub(super) type Ticket = Arc<OnceLock<Result<bool, WriteError>>>;

/// Changes that are made together.
pub(super) struct Write {
    pub(super) changes: Vec<Change>,
    /// The Unix second at which it was asked for.
    pub(super) now: i64,
    ticket: Ticket,
}

/// What both threads touch, each for a moment.
#[derive(Default)]
struct Desk {
    /// The batch that gathers.
    batch: Vec<Write>,
    /// Bytes of it, and of the one that is being committed.
    bytes: usize,
    /// Committed and not yet taken over.
    committed: Vec<Change>,
}

/// The way from memory to the disk and back.
pub(super) struct Journal<M> {
    desk: Mutex<Desk>,
    /// There is something committed on the desk.
    news: AtomicBool,
    /// Held as long as a commit takes, so never by the loop.
    medium: Mutex<Condition<M>>,
}

/// The medium, and the keys of which it isn't known what it says.
struct Condition<M> {
    medium: M,
    unknown: Option<Vec<Arc<[u8]>>>,
    /// The last batch was lost. It is told once, not for every batch while a disk is full.
    failing: bool,
}

/// Nothing is left half done by who panics here, so the lock is as good as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bytes(write: &Write) -> usize {
    write.changes.iter().map(Change::bytes).sum()
}

impl<M: Medium> Journal<M> {
    pub(super) fn new(medium: M) -> Self {
        let medium = Mutex::new(Condition { medium, unknown: None, failing: false });
        Self { desk: Mutex::default(), news: AtomicBool::new(false), medium }
    }

    /// Bytes of what isn't committed.
    pub(super) fn bytes(&self) -> usize {
        lock(&self.desk).bytes
    }

    /// Has `changes` go with the next batch, and before them what expired, which nobody
    /// waits for.
    pub(super) fn enqueue(&self, expired: Vec<Change>, changes: Vec<Change>, now: i64) -> Ticket {
        let ticket = Ticket::default();
        let mut desk = lock(&self.desk);
        for (changes, ticket) in [(expired, Ticket::default()), (changes, Arc::clone(&ticket))] {
            if !changes.is_empty() {
                let write = Write { changes, now, ticket };
                desk.bytes += bytes(&write);
                desk.batch.push(write);
            }
        }
        ticket
    }

    /// Whether a batch has ended since this was last asked.
    pub(super) fn has_news(&self) -> bool {
        self.news.swap(false, Ordering::Acquire)
    }

    /// What was committed since the last call, in order.
    pub(super) fn committed(&self) -> Vec<Change> {
        mem::take(&mut lock(&self.desk).committed)
    }

    /// Blocks until the write of this ticket is answered. Writes of one batch are
    /// answered together, so most find their answer there.
    pub(super) fn wait(&self, ticket: &Ticket) -> Result<bool, WriteError> {
        if ticket.get().is_none() {
            self.commit();
        }
        *ticket.get().unwrap_or(&Err(WriteError::Failed))
    }

    /// Commits what has gathered.
    fn commit(&self) {
        let mut condition = lock(&self.medium);
        let batch = mem::take(&mut lock(&self.desk).batch);
        if batch.is_empty() {
            return;
        }
        let mut known = Vec::new();
        // A panic in the store is an error like others: who waits is answered.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            condition.recover(&mut known)?;
            condition.commit(&batch)
        }));
        let outcome = outcome.unwrap_or_else(|_| Err(io::Error::other("the store panicked")));
        let began = mem::replace(&mut condition.failing, outcome.is_err()) != outcome.is_err();
        if let Err(error) = &outcome {
            if began {
                log::error!("writes are refused, since the store can't keep them: {error}");
            }
            condition.doubt(&batch);
            // At once, so that memory learns what is true; else before the next batch.
            let recovered = catch_unwind(AssertUnwindSafe(|| condition.recover(&mut known)));
            if let (true, Ok(Err(error))) = (began, recovered) {
                log::error!("the store can't be opened again: {error}");
            }
        } else if began {
            log::info!("the store keeps writes again");
        }
        let answers: Vec<_> = match &outcome {
            Ok(were) => were.iter().map(|was| Ok(*was)).collect(),
            Err(error) => vec![Err(error.into()); batch.len()],
        };
        let mut desk = lock(&self.desk);
        desk.bytes -= batch.iter().map(bytes).sum::<usize>();
        desk.committed.append(&mut known);
        let tickets: Vec<_> = batch
            .into_iter()
            .map(|write| {
                if outcome.is_ok() {
                    desk.committed.extend(write.changes);
                }
                write.ticket
            })
            .collect();
        drop(desk);
        // First it can be seen, then it is acknowledged.
        self.news.store(true, Ordering::Release);
        for (ticket, answer) in tickets.iter().zip(answers) {
            // Nobody else answers.
            let _ = ticket.set(answer);
        }
    }
}

impl<M: Medium> Condition<M> {
    fn commit(&mut self, batch: &[Write]) -> io::Result<Vec<bool>> {
        self.medium.commit(batch)
    }

    /// Whether these changes are on disk isn't known.
    fn doubt(&mut self, batch: &[Write]) {
        let keys = batch.iter().flat_map(|write| &write.changes).map(|change| Arc::clone(change.key()));
        self.unknown.get_or_insert_default().extend(keys);
    }

    /// Makes the medium usable if it isn't, and finds out what it says.
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

    /// A disk that does what a test tells it to.
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
                Some(Failure::Panic) => panic!("as told"),
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
    fn what_gathers_goes_in_one_batch() {
        let journal = Journal::new(Fake::default());
        let tickets = ["a", "b", "c"].map(|key| journal.enqueue(Vec::new(), put(key), 0));
        assert!(journal.bytes() > 0 && !journal.has_news());
        for ticket in &tickets {
            assert_eq!(journal.wait(ticket), Ok(false));
        }
        assert_eq!(lock(&journal.medium).medium.batches, [3]);
        assert_eq!((keys(&journal.committed()), journal.bytes()), (vec!["a", "b", "c"], 0));
        assert_eq!((journal.committed(), journal.has_news(), journal.has_news()), (vec![], true, false));
    }

    #[test]
    fn a_failed_batch_is_answered_and_memory_hears_what_the_disk_says() {
        for (failure, error, expected) in [
            (Failure::Before, WriteError::NoSpace, Change::Remove(b"a"[..].into())),
            // The commit was reported as failed, and wasn't.
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
    fn a_disk_that_is_gone_and_comes_back() {
        let journal = Journal::new(Fake { fails: Some(Failure::ForGood), ..Fake::default() });
        for key in ["a", "b"] {
            assert!(journal.wait(&journal.enqueue(Vec::new(), put(key), 0)).is_err());
            assert!(journal.committed().is_empty());
        }
        lock(&journal.medium).medium.fails = None;
        assert_eq!(journal.wait(&journal.enqueue(Vec::new(), put("c"), 0)), Ok(false));
        // What was in doubt first, then what is new.
        assert_eq!(keys(&journal.committed()), ["a", "b", "c"]);
    }
}
