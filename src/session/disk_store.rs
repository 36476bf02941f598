//! Sessions on disk, in a durable store; they survive the process.
//!
//! The store has all records in memory, so loading a session never waits. Saving is a
//! commit on the helper thread: the exchange waits for its [`Ticket`] and passes the
//! [`Commit`] to the helper thread. A request that loads the session meanwhile gets the
//! pending record, so two requests of one session don't lose each other's changes.
//!
//! Any client can create sessions as fast as it can send requests. When the store is full,
//! the sessions that expire first are removed: of those with equal lifetime, the ones that
//! were idle for longest.

use std::collections::HashMap;
use std::sync::Arc;

use super::Id;
use super::pending::Ticket;
use super::record::SessionRecord;
use crate::durable::{self, Change, Commit, WriteError, Written};

/// The store's name in its directory.
pub const NAME: &str = "sessions";
/// Sessions that are removed to make room for one. Each is at least a sixteenth of the largest.
const EVICTED: usize = 16;

/// Sessions on disk.
pub struct DiskStore {
    store: durable::Store,
    /// The commits that exchanges wait for.
    open: HashMap<Ticket, Commit>,
    tickets: u64,
    /// The last commit, until the caller takes it.
    last_commit: Option<Commit>,
}

impl DiskStore {
    /// Sessions in this store.
    pub fn new(store: durable::Store) -> Self {
        Self { store, open: HashMap::new(), tickets: 0, last_commit: None }
    }

    /// Sets the capacity in bytes.
    pub(super) fn set_capacity(&mut self, capacity: usize) {
        self.store.set_capacity(capacity);
    }

    /// The record of `id`, pending changes included.
    pub(super) fn load(&mut self, id: Id, now: i64) -> Option<SessionRecord> {
        let record = self.store.latest(id.to_string().as_bytes(), now)?;
        SessionRecord::decode(&record.value)
    }

    /// Removes the session `old` and stores `new`: an identifier, a record, and the Unix second
    /// at which it expires. Returns a ticket for the commit, or none if it is done already.
    pub(super) fn save(
        &mut self,
        old: Option<Id>,
        new: Option<(Id, &SessionRecord, i64)>,
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
                changes.extend(self.store.first_to_expire(EVICTED).into_iter().map(Change::Remove));
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
                self.last_commit = Some(commit);
                Some(ticket)
            }
        })
    }

    /// Takes the result of a ticket, once there is one: whether the commit succeeded.
    pub(super) fn take(&mut self, ticket: Ticket) -> Option<bool> {
        let Some(commit) = self.open.get(&ticket) else { return Some(false) };
        let committed = commit.outcome()?.is_ok();
        self.open.remove(&ticket);
        Some(committed)
    }

    /// Drops a ticket; no exchange waits for it any more.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        self.open.remove(&ticket);
    }

    /// Takes the commit of the last save, for the helper thread.
    pub fn next_commit(&mut self) -> Option<Commit> {
        self.last_commit.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn record(count: i64) -> SessionRecord {
        let mut record = SessionRecord::new(0);
        record.data.insert("count".to_owned(), Value::from(count));
        record
    }

    #[test]
    fn a_session_is_saved_loaded_while_pending_and_removed() {
        let directory = std::env::temp_dir().join(format!("miod-disk-store-{}", std::process::id()));
        let mut sessions = DiskStore::new(durable::Store::open(&directory, "sessions", 1 << 20).unwrap());
        let (id, next) = (Id::new(), Id::new());
        let ticket = sessions.save(None, Some((id, &record(1), 100)), 0).unwrap().unwrap();
        // Another request of the same session sees what this one has written.
        assert_eq!((sessions.load(id, 0), sessions.take(ticket)), (Some(record(1)), None));
        let commit = sessions.next_commit().unwrap();
        assert!(sessions.next_commit().is_none());
        commit.wait().unwrap();
        assert_eq!(
            (sessions.load(id, 0), sessions.take(ticket), sessions.take(ticket)),
            (Some(record(1)), Some(true), Some(false))
        );
        // After a renewal the old identifier finds nothing.
        let ticket = sessions.save(Some(id), Some((next, &record(2), 100)), 0).unwrap().unwrap();
        assert_eq!((sessions.load(id, 0), sessions.load(next, 0)), (None, Some(record(2))));
        sessions.forget(ticket);
        sessions.next_commit().unwrap().wait().unwrap();
        assert_eq!(
            (sessions.load(id, 0), sessions.load(next, 99), sessions.load(next, 100)),
            (None, Some(record(2)), None)
        );
        assert!(sessions.open.is_empty());
        drop(sessions);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_full_store_removes_the_sessions_that_expire_first() {
        let mut sessions = DiskStore::new(durable::Store::in_memory(40 * 300));
        let ids: Vec<_> = (0..100).map(|_| Id::new()).collect();
        for (at, id) in ids.iter().enumerate() {
            assert_eq!(sessions.save(None, Some((*id, &record(1), 1000 + at as i64)), 0), Ok(None));
        }
        assert_eq!((sessions.load(ids[0], 0), sessions.load(ids[99], 0)), (None, Some(record(1))));
        let remaining = ids.iter().filter(|id| sessions.load(**id, 0).is_some()).count();
        assert!(remaining >= 20, "{remaining}");
        assert!(ids.is_sorted_by_key(|id| sessions.load(*id, 0).is_some()), "a session was removed that expires later");
    }
}
