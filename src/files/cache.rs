//! What was served lately, by path.
//!
//! Two tables. `found` keeps representations: small files whole, larger ones as
//! a head and an open descriptor. `missing` remembers paths that lead nowhere,
//! so that a 404 costs no system call. A change of a file is seen by the
//! watch before the next request is answered; what no watch can see (a shared
//! mapping, another machine, a further hard link) is found by looking again at
//! most a second later.
//!
//! Bounded in bytes and descriptors. When it is full, what wasn't asked for
//! since the last sweep goes, until an eighth is free: a sweep touches every
//! entry, but then there is none for long.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use super::representation::Representation;
use crate::limits;

/// A path that leads nowhere, and when that was seen (seconds of the loop's clock).
struct Missing {
    key: Box<[u8]>,
    checked: u32,
}

/// What the cache knows of a path.
pub(super) enum Known<'c> {
    /// It leads here.
    Found(&'c Representation),
    /// It led nowhere a moment ago.
    Missing,
    /// Nothing.
    Unknown,
}

/// Representations and misses by path.
pub(super) struct Cache {
    hasher: RandomState,
    found: HashTable<Representation>,
    missing: HashTable<Missing>,
    limit: usize,
    memory: usize,
    descriptors: usize,
    /// Most descriptors kept open: a share of what the process may have.
    descriptor_limit: usize,
}

impl Cache {
    pub(super) fn new(limit: usize, descriptor_limit: usize) -> Self {
        Self {
            // Seeded from the process's addresses and clock, so that nobody can
            // prepare colliding paths.
            hasher: RandomState::default(),
            found: HashTable::new(),
            missing: HashTable::new(),
            limit,
            memory: 0,
            descriptors: 0,
            descriptor_limit,
        }
    }

    /// What is known of `key` at the second `now`. An entry that wasn't looked at
    /// in this second is kept only if `still` says that it is as it was.
    pub(super) fn look_up(&mut self, key: &[u8], now: u32, still: impl FnOnce(&Representation) -> bool) -> Known<'_> {
        let hash = self.hasher.hash_one(key);
        match self.found.find_entry(hash, |entry| entry.key() == key) {
            Ok(occupied) => {
                if occupied.get().checked != now && !still(occupied.get()) {
                    let (entry, _) = occupied.remove();
                    self.memory -= entry.memory();
                    self.descriptors -= usize::from(entry.has_descriptor());
                    return Known::Unknown;
                }
                let entry = occupied.into_mut();
                // Not written where nothing changes: then no line of the processor's
                // cache has to go back to memory.
                if entry.checked != now || !entry.used {
                    entry.checked = now;
                    entry.used = true;
                }
                Known::Found(entry)
            }
            Err(_) => match self.missing.find(hash, |entry| &*entry.key == key) {
                Some(entry) if now.wrapping_sub(entry.checked) <= 1 => Known::Missing,
                _ => Known::Unknown,
            },
        }
    }

    /// Keeps a representation, in place of what was there for its path, unless
    /// it is so large that it would push out all others.
    pub(super) fn insert(&mut self, entry: Representation) {
        let hash = self.hasher.hash_one(entry.key());
        self.remove(entry.key());
        if entry.memory() > self.limit / 8 || (entry.has_descriptor() && self.descriptor_limit == 0) {
            return;
        }
        while self.memory + entry.memory() > self.limit
            || (entry.has_descriptor() && self.descriptors >= self.descriptor_limit)
        {
            self.sweep();
        }
        self.memory += entry.memory();
        self.descriptors += usize::from(entry.has_descriptor());
        let hasher = &self.hasher;
        self.found.insert_unique(hash, entry, |entry| hasher.hash_one(entry.key()));
    }

    /// Remembers that `key` leads nowhere.
    pub(super) fn insert_missing(&mut self, key: &[u8], now: u32) {
        if self.limit == 0 || key.len() > limits::MISSING_PATH {
            return;
        }
        if self.missing.len() >= limits::MISSING {
            // A scan for holes; whatever was worth remembering comes back.
            self.missing.clear();
        }
        let hash = self.hasher.hash_one(key);
        let hasher = &self.hasher;
        match self.missing.find_mut(hash, |entry| &*entry.key == key) {
            Some(entry) => entry.checked = now,
            None => {
                let entry = Missing { key: key.into(), checked: now };
                self.missing.insert_unique(hash, entry, |entry| hasher.hash_one(&*entry.key));
            }
        }
    }

    /// Forgets what is known of `key`.
    pub(super) fn remove(&mut self, key: &[u8]) {
        let hash = self.hasher.hash_one(key);
        if let Ok(entry) = self.found.find_entry(hash, |entry| entry.key() == key) {
            let (entry, _) = entry.remove();
            self.memory -= entry.memory();
            self.descriptors -= usize::from(entry.has_descriptor());
        }
    }

    /// Forgets all misses: something new appeared.
    pub(super) fn forget_missing(&mut self) {
        self.missing.clear();
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.found = HashTable::new();
        self.missing = HashTable::new();
        self.memory = 0;
        self.descriptors = 0;
    }

    /// Drops what wasn't used since the last sweep, until an eighth is free.
    fn sweep(&mut self) {
        let Self { found, memory, descriptors, limit, descriptor_limit, .. } = self;
        let (enough, few) = (*limit / 8 * 7, *descriptor_limit / 8 * 7);
        found.retain(|entry| {
            if *memory <= enough && *descriptors <= few {
                return true;
            }
            if std::mem::take(&mut entry.used) {
                return true;
            }
            *memory -= entry.memory();
            *descriptors -= usize::from(entry.has_descriptor());
            false
        });
    }
}
