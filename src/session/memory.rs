//! Sessions in memory; they are gone when the process ends.
//!
//! A slab holds the values as JSON text, which is small and of known size. A hash table
//! finds an entry; a linked list through the slab holds the entries in the order of their
//! last use. So every operation takes constant time. Any client can create sessions as fast
//! as it can send requests: at the limit the session that was idle for longest is removed.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use slab::Slab;

use super::Id;
use super::record::{Lifetime, SessionRecord};
use crate::limits;

/// The end of the list.
const END: u32 = u32::MAX;
/// What a session takes beyond its values: its entry, its slot in the hash table, and what the
/// allocator adds to the text.
const OVERHEAD: usize = size_of::<Entry>() + 32;
/// Expired sessions that one operation removes: more than one operation can add.
const EXPIRED: usize = 2;

struct Entry {
    id: Id,
    values: Box<[u8]>,
    created: i64,
    last_used: i64,
    /// The neighbours in the order of use.
    newer: u32,
    older: u32,
}

/// The sessions.
pub struct Memory {
    hasher: RandomState,
    table: HashTable<u32>,
    entries: Slab<Entry>,
    newest: u32,
    oldest: u32,
    size: usize,
    most: usize,
    most_size: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_bounds(limits::SESSIONS, limits::SESSIONS_SIZE)
    }
}

impl Memory {
    /// A store for at most `most` sessions that take at most `size` bytes together.
    pub fn with_bounds(most: usize, size: usize) -> Self {
        Self {
            hasher: RandomState::default(),
            table: HashTable::new(),
            entries: Slab::new(),
            newest: END,
            oldest: END,
            size: 0,
            most: most.clamp(1, END as usize),
            most_size: size,
        }
    }

    /// Sets the most bytes. The next [`save`](Self::save) removes what is too much.
    pub fn set_size(&mut self, size: usize) {
        self.most_size = size;
    }

    /// The record of `id`, which is now in use.
    pub fn load(&mut self, id: Id, lifetime: Lifetime, now: i64) -> Option<SessionRecord> {
        self.remove_expired(lifetime, now);
        let key = self.find(id)?;
        let entry = &mut self.entries[key as usize];
        if lifetime.left(entry.created, entry.last_used, now).is_none() {
            self.remove(id);
            return None;
        }
        if lifetime.is_due(entry.last_used, now) {
            entry.last_used = now;
        }
        let record = SessionRecord::with_values(&entry.values, entry.created, entry.last_used);
        self.unlink(key);
        self.link(key);
        record
    }

    /// Stores a record under `id`; an older one is replaced.
    pub fn save(&mut self, id: Id, record: &SessionRecord, lifetime: Lifetime, now: i64) {
        self.remove(id);
        self.remove_expired(lifetime, now);
        let values = record.values().into_boxed_slice();
        let size = OVERHEAD + values.len();
        while self.entries.len() >= self.most || (self.size + size > self.most_size && self.oldest != END) {
            self.remove(self.entries[self.oldest as usize].id);
        }
        let entry = Entry { id, values, created: record.created, last_used: record.last_used, newer: END, older: END };
        let key = self.entries.insert(entry) as u32;
        let (hasher, entries) = (&self.hasher, &self.entries);
        self.table.insert_unique(hasher.hash_one(id), key, |&key| hasher.hash_one(entries[key as usize].id));
        self.size += size;
        self.link(key);
    }

    /// Removes the session `id`.
    pub fn remove(&mut self, id: Id) {
        let (hasher, entries) = (&self.hasher, &self.entries);
        let found = self.table.find_entry(hasher.hash_one(id), |&key| entries[key as usize].id == id);
        let Ok(occupied) = found else { return };
        let (key, _) = occupied.remove();
        self.unlink(key);
        let entry = self.entries.remove(key as usize);
        self.size -= OVERHEAD + entry.values.len();
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no session.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that all sessions take, about.
    pub fn size(&self) -> usize {
        self.size
    }

    fn find(&self, id: Id) -> Option<u32> {
        self.table.find(self.hasher.hash_one(id), |&key| self.entries[key as usize].id == id).copied()
    }

    /// Removes expired sessions from the end of the list, a few at most.
    fn remove_expired(&mut self, lifetime: Lifetime, now: i64) {
        for _ in 0..EXPIRED {
            match self.entries.get(self.oldest as usize) {
                Some(entry) if lifetime.left(entry.created, entry.last_used, now).is_none() => self.remove(entry.id),
                _ => return,
            }
        }
    }

    /// Inserts an entry at the front of the list.
    fn link(&mut self, key: u32) {
        let second = self.newest;
        let entry = &mut self.entries[key as usize];
        (entry.newer, entry.older) = (END, second);
        self.newest = key;
        match self.entries.get_mut(second as usize) {
            Some(second) => second.newer = key,
            None => self.oldest = key,
        }
    }

    /// Removes an entry from the list.
    fn unlink(&mut self, key: u32) {
        let Entry { newer, older, .. } = self.entries[key as usize];
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::collections::HashMap;
    use std::time::Duration;

    const LIFETIME: Lifetime = Lifetime { idle: Duration::from_secs(100), max_age: Duration::from_secs(250) };

    fn record(count: i64, now: i64) -> SessionRecord {
        let mut record = SessionRecord::new(now);
        record.data.insert("count".to_owned(), Value::from(count));
        record
    }

    fn count(memory: &mut Memory, id: Id, now: i64) -> Option<i64> {
        memory.load(id, LIFETIME, now)?.data.get("count")?.as_i64()
    }

    /// Checks that the list is complete in both directions and the size is right.
    fn audit(memory: &Memory) {
        let (mut key, mut newer, mut count, mut size) = (memory.newest, END, 0, 0);
        while key != END {
            let entry = &memory.entries[key as usize];
            assert_eq!(entry.newer, newer);
            (size, count) = (size + OVERHEAD + entry.values.len(), count + 1);
            (newer, key) = (key, entry.older);
        }
        assert_eq!((newer, count, size), (memory.oldest, memory.len(), memory.size));
        assert_eq!(memory.table.len(), count);
        assert!(count <= memory.most && (size <= memory.most_size || count == 1));
    }

    #[test]
    fn a_saved_session_is_loaded_until_it_is_removed() {
        let mut memory = Memory::default();
        let (a, b) = (Id::new(), Id::new());
        memory.save(a, &record(1, 0), LIFETIME, 0);
        memory.save(b, &record(2, 0), LIFETIME, 0);
        memory.save(a, &record(3, 0), LIFETIME, 0);
        assert_eq!((count(&mut memory, a, 0), count(&mut memory, b, 0)), (Some(3), Some(2)));
        assert_eq!(count(&mut memory, Id::new(), 0), None);
        memory.remove(a);
        memory.remove(a);
        assert_eq!((count(&mut memory, a, 0), memory.len()), (None, 1));
        audit(&memory);
    }

    #[test]
    fn the_session_that_was_idle_for_longest_is_removed_first() {
        let mut memory = Memory::with_bounds(3, usize::MAX);
        let ids: Vec<_> = (0..4).map(|_| Id::new()).collect();
        for (n, &id) in (0..).zip(&ids[..3]) {
            memory.save(id, &record(n, 0), LIFETIME, 0);
        }
        assert_eq!(count(&mut memory, ids[0], 0), Some(0));
        memory.save(ids[3], &record(3, 0), LIFETIME, 0);
        let remaining: Vec<_> = ids.iter().map(|&id| count(&mut memory, id, 0)).collect();
        assert_eq!(remaining, [Some(0), None, Some(2), Some(3)]);
        audit(&memory);
    }

    #[test]
    fn the_size_in_bytes_is_limited() {
        let mut memory = Memory::with_bounds(1_000, 10_000);
        let mut large = SessionRecord::new(0);
        large.data.insert("x".to_owned(), Value::from("x".repeat(3_000)));
        for _ in 0..100 {
            memory.save(Id::new(), &large, LIFETIME, 0);
            audit(&memory);
        }
        assert_eq!(memory.len(), 3);
        // A session above the limit replaces all others.
        large.data.insert("y".to_owned(), Value::from("y".repeat(20_000)));
        memory.save(Id::new(), &large, LIFETIME, 0);
        assert_eq!(memory.len(), 1);
        audit(&memory);
    }

    #[test]
    fn idle_and_old_sessions_expire_and_use_is_recorded_once_in_a_tenth_of_the_idle_time() {
        let mut memory = Memory::default();
        let id = Id::new();
        memory.save(id, &record(1, 0), LIFETIME, 0);
        // Use is recorded after a tenth of the idle time.
        assert_eq!(memory.load(id, LIFETIME, 9).unwrap().last_used, 0);
        assert_eq!(memory.load(id, LIFETIME, 99).unwrap().last_used, 99);
        assert_eq!(memory.load(id, LIFETIME, 108).unwrap().last_used, 99);
        assert_eq!(count(&mut memory, id, 198), Some(1));
        assert_eq!(count(&mut memory, id, 249), Some(1));
        assert_eq!((count(&mut memory, id, 250), memory.len()), (None, 0), "too old, though not idle");
        memory.save(id, &record(1, 300), LIFETIME, 300);
        assert_eq!((count(&mut memory, id, 400), memory.len()), (None, 0), "idle");
    }

    #[test]
    fn every_operation_removes_a_few_expired_sessions() {
        let mut memory = Memory::default();
        for _ in 0..10 {
            memory.save(Id::new(), &record(1, 0), LIFETIME, 0);
        }
        for left in [9, 8, 7] {
            memory.save(Id::new(), &record(1, 1_000), LIFETIME, 1_000);
            assert_eq!(memory.len(), left);
        }
        for _ in 0..4 {
            memory.load(Id::new(), LIFETIME, 1_000);
        }
        assert_eq!(memory.len(), 3);
        audit(&memory);
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_list_that_drops_the_oldest(
            steps in proptest::collection::vec((0..4_u8, 0..12_usize), 0..120), most in 1..8_usize
        ) {
            let ids: Vec<_> = (0..12).map(|_| Id::new()).collect();
            let mut memory = Memory::with_bounds(most, usize::MAX);
            // The model: a list, newest last.
            let mut model: Vec<(usize, i64)> = Vec::new();
            for (step, (what, which)) in steps.into_iter().enumerate() {
                let at = model.iter().position(|(id, _)| *id == which);
                match what {
                    0 | 1 => {
                        memory.save(ids[which], &record(step as i64, 0), LIFETIME, 0);
                        at.map(|at| model.remove(at));
                        model.push((which, step as i64));
                        if model.len() > most {
                            model.remove(0);
                        }
                    }
                    2 => {
                        let expected = at.map(|at| {
                            let entry = model.remove(at);
                            model.push(entry);
                            entry.1
                        });
                        prop_assert_eq!(count(&mut memory, ids[which], 0), expected);
                    }
                    _ => {
                        memory.remove(ids[which]);
                        at.map(|at| model.remove(at));
                    }
                }
                audit(&memory);
            }
            let model: HashMap<_, _> = model.into_iter().collect();
            for (which, &id) in ids.iter().enumerate() {
                prop_assert_eq!(count(&mut memory, id, 0), model.get(&which).copied());
            }
        }
    }
}
