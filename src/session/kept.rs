//! Sessions on disk: in a durable store of ours, which survives the process.
//!
//! Reading is reading memory, so a session is there at once. Saving is a commit on the
//! helper thread: the exchange waits for its [`Ticket`], and hands the
//! [`Commit`] over to be carried out. A request that loads a session meanwhile gets what is on
//! its way, so that two requests of one session lose nothing of each other.
//!
//! Anybody can begin sessions as fast as he can ask. When the store is full, those go
//! whose time ends first: of those with one lifetime, the ones idle for longest.

use std::collections::HashMap;
use std::sync::Arc;

use super::Id;
use super::pending::Ticket;
use super::record::Record;
use crate::durable::{self, Change, Commit, WriteError, Written};

/// What the store is called in its directory.
pub const NAME: &str = "sessions";
/// How many make room for one: each is at least a sixteenth of the largest.
const EVICTED: usize = 16;

/// The sessions.
pub struct Kept {
    store: durable::Store,
    /// What exchanges wait for.
    open: HashMap<Ticket, Commit>,
    tickets: u64,
    /// The last one, until it is handed over.
    fresh: Option<Commit>,
}

impl Kept {
    /// In this store.
    pub fn new(store: durable::Store) -> Self {
        Self { store, open: HashMap::new(), tickets: 0, fresh: None }
    }

    /// What is known under `id`.
    pub(super) fn load(&mut self, id: Id, now: i64) -> Option<Record> {
        let record = self.store.latest(id.to_string().as_bytes(), now)?;
        Record::decode(&record.value)
    }

    /// Has the session `old` forgotten, and one kept under an identifier until a Unix
    /// second. A ticket for when that is done; none if it is done already.
    pub(super) fn save(
        &mut self,
        old: Option<Id>,
        new: Option<(Id, &Record, i64)>,
        now: i64,
    ) -> Result<Option<Ticket>, WriteError> {
        let key = |id: Id| Arc::from(id.to_string().into_bytes());
        let mut changes: Vec<Change> = old.map(|old| Change::Remove(key(old))).into_iter().collect();
        if let Some((id, record, expires)) = new {
            let record = durable::Record { value: record.encode().into(), expires: Some(expires) };
            changes.push(Change::Put(key(id), record));
        }
        let written = match self.store.write(changes.clone(), now) {
            Err(WriteError::Full) => {
                changes.extend(self.store.soonest(EVICTED).into_iter().map(Change::Remove));
                self.store.write(changes, now)?
            }
            other => other?,
        };
        Ok(match written {
            Written::Now(_) => None,
            Written::Later(commit) => {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                self.open.insert(ticket, commit.clone());
                self.fresh = Some(commit);
                Some(ticket)
            }
        })
    }

    /// What came of a ticket: whether it is kept, once that is known.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<bool> {
        let Some(commit) = self.open.get(&ticket) else { return Some(false) };
        let kept = commit.outcome()?.is_ok();
        self.open.remove(&ticket);
        Some(kept)
    }

    /// Nobody waits for this any more.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        self.open.remove(&ticket);
    }

    /// The commit of the last save, which the helper thread is to carry out.
    pub fn next_commit(&mut self) -> Option<Commit> {
        self.fresh.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn record(count: i64) -> Record {
        let mut record = Record::new(0);
        record.data.insert("count".to_owned(), Value::from(count));
        record
    }

    #[test]
    fn sessions_are_kept_read_on_their_way_and_forgotten() {
        let directory = std::env::temp_dir().join(format!("miod-kept-{}", std::process::id()));
        let mut kept = Kept::new(durable::Store::open(&directory, "sessions", 1 << 20).unwrap());
        let (id, next) = (Id::new(), Id::new());
        let ticket = kept.save(None, Some((id, &record(1), 100)), 0).unwrap().unwrap();
        // Another request of the same session works on what this one has written.
        assert_eq!((kept.load(id, 0), kept.take(ticket)), (Some(record(1)), None));
        let commit = kept.next_commit().unwrap();
        assert!(kept.next_commit().is_none());
        commit.wait().unwrap();
        assert_eq!(
            (kept.load(id, 0), kept.take(ticket), kept.take(ticket)),
            (Some(record(1)), Some(true), Some(false))
        );
        // Under another identifier the old one is nobody's.
        let ticket = kept.save(Some(id), Some((next, &record(2), 100)), 0).unwrap().unwrap();
        assert_eq!((kept.load(id, 0), kept.load(next, 0)), (None, Some(record(2))));
        kept.forget(ticket);
        kept.next_commit().unwrap().wait().unwrap();
        assert_eq!((kept.load(id, 0), kept.load(next, 99), kept.load(next, 100)), (None, Some(record(2)), None));
        assert!(kept.open.is_empty());
        drop(kept);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_full_store_lets_those_go_that_end_first() {
        let mut kept = Kept::new(durable::Store::in_memory(40 * 300));
        let ids: Vec<_> = (0..100).map(|_| Id::new()).collect();
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(kept.save(None, Some((*id, &record(1), 1000 + at as i64)), 0), Ok(None));
        }
        assert_eq!((kept.load(ids[0], 0), kept.load(ids[99], 0)), (None, Some(record(1))));
        let there = ids.iter().filter(|id| kept.load(**id, 0).is_some()).count();
        assert!(there >= 20, "{there}");
        assert!(ids.is_sorted_by_key(|id| kept.load(*id, 0).is_some()), "not the oldest went");
    }
}
