//! The files that were served lately, by path.
//!
//! There are two tables. `found` keeps files in their forms: small content whole, larger
//! content as a head and an open descriptor. `missing` keeps paths without a file, so that a 404
//! costs no system call. The watch reports a change of a file before the next request is
//! processed. What a watch can't see (a shared mapping, another machine, another hard
//! link) is found by a stat(2) at most a second later.
//!
//! The cache is bounded in bytes and descriptors. An entry counts with all that it takes: its
//! allocations as the allocator rounds them up, and its share of the table. For small files
//! that is more than their content. `tests/memory_audit.rs` compares the count with what is
//! allocated. When it is full, a sweep removes the
//! entries that weren't used since the last sweep, until an eighth is free. A sweep
//! touches every entry, but sweeps are rare.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

use super::entry::Entry;
use crate::limits;

/// A path without a file, and when that was checked (seconds of the loop's clock).
struct Missing {
    key: Box<[u8]>,
    checked: u32,
}

/// What the cache knows of a path.
pub(super) enum Known<'c> {
    /// This is its file.
    Found(&'c Entry),
    /// There was no file a moment ago.
    Missing,
    /// Nothing.
    Unknown,
}

/// What the cache of a directory counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheFigures {
    /// Files in it.
    pub entries: usize,
    /// Bytes of memory.
    pub memory: usize,
    /// Files that it keeps open.
    pub descriptors: usize,
    /// Look-ups that found a file, or that there is none.
    pub hits: u64,
    /// Look-ups that found nothing.
    pub misses: u64,
}

/// Files and missing paths.
pub(super) struct Cache {
    hasher: RandomState,
    found: HashTable<Entry>,
    missing: HashTable<Missing>,
    limit: usize,
    memory: usize,
    descriptors: usize,
    hits: u64,
    misses: u64,
    /// Most descriptors that are kept open: a share of the limit of the process.
    descriptor_limit: usize,
}

impl Cache {
    pub(super) fn new(limit: usize, descriptor_limit: usize) -> Self {
        Self {
            // The seed comes from the addresses and the clock of the process, so a client
            // can't prepare paths that collide.
            hasher: RandomState::default(),
            found: HashTable::new(),
            missing: HashTable::new(),
            limit,
            memory: 0,
            descriptors: 0,
            hits: 0,
            misses: 0,
            descriptor_limit,
        }
    }

    /// What is known of `key` at the second `now`. An entry that wasn't checked in this
    /// second is kept only if `is_current` says that the file hasn't changed.
    pub(super) fn look_up(&mut self, key: &[u8], now: u32, is_current: impl FnOnce(&Entry) -> bool) -> Known<'_> {
        let hash = self.hasher.hash_one(key);
        match self.found.find_entry(hash, |entry| entry.key() == key) {
            Ok(occupied) => {
                if occupied.get().checked != now && !is_current(occupied.get()) {
                    let (entry, _) = occupied.remove();
                    self.memory -= entry.memory();
                    self.descriptors -= entry.descriptors();
                    self.misses += 1;
                    return Known::Unknown;
                }
                self.hits += 1;
                let entry = occupied.into_mut();
                // Without a change there is no write, so the processor's cache line stays
                // clean.
                if entry.checked != now || !entry.used {
                    entry.checked = now;
                    entry.used = true;
                }
                Known::Found(entry)
            }
            Err(_) => match self.missing.find(hash, |entry| &*entry.key == key) {
                Some(entry) if now.wrapping_sub(entry.checked) <= 1 => {
                    self.hits += 1;
                    Known::Missing
                }
                _ => {
                    self.misses += 1;
                    Known::Unknown
                }
            },
        }
    }

    pub(super) fn figures(&self) -> CacheFigures {
        let Self { memory, descriptors, hits, misses, .. } = *self;
        CacheFigures { entries: self.found.len(), memory, descriptors, hits, misses }
    }

    /// Keeps a file. It replaces the entry of its path. One that is so large that it would
    /// displace all others isn't kept.
    pub(super) fn insert(&mut self, entry: Entry) {
        let hash = self.hasher.hash_one(entry.key());
        self.remove(entry.key());
        let (memory, descriptors) = (entry.memory(), entry.descriptors());
        if memory > self.most() || descriptors > self.descriptor_limit {
            return;
        }
        while self.memory + memory > self.limit || self.descriptors + descriptors > self.descriptor_limit {
            self.sweep();
        }
        self.memory += memory;
        self.descriptors += descriptors;
        let hasher = &self.hasher;
        self.found.insert_unique(hash, entry, |entry| hasher.hash_one(entry.key()));
    }

    /// Keeps that `key` has no file.
    pub(super) fn insert_missing(&mut self, key: &[u8], now: u32) {
        if self.limit == 0 || key.len() > limits::MISSING_PATH {
            return;
        }
        if self.missing.len() >= limits::MISSING {
            // A client is scanning for paths. The useful entries come back.
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

    /// Removes the entry of `key`.
    pub(super) fn remove(&mut self, key: &[u8]) {
        drop(self.take(key));
    }

    /// Takes the entry of `key` out.
    pub(super) fn take(&mut self, key: &[u8]) -> Option<Entry> {
        let hash = self.hasher.hash_one(key);
        let (entry, _) = self.found.find_entry(hash, |entry| entry.key() == key).ok()?.remove();
        self.memory -= entry.memory();
        self.descriptors -= entry.descriptors();
        Some(entry)
    }

    /// The most bytes of memory that an entry may take.
    fn most(&self) -> usize {
        self.limit / 8
    }

    /// By how many bytes an entry may grow, with one more descriptor.
    pub(super) fn room(&self, entry: &Entry) -> usize {
        if entry.descriptors() < self.descriptor_limit { self.most().saturating_sub(entry.memory()) } else { 0 }
    }

    /// Removes all missing paths: a new file has appeared.
    pub(super) fn forget_missing(&mut self) {
        self.missing.clear();
    }

    /// Removes everything.
    pub(super) fn clear(&mut self) {
        self.found = HashTable::new();
        self.missing = HashTable::new();
        self.memory = 0;
        self.descriptors = 0;
    }

    /// Bytes of memory that the files take.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Removes the entries that weren't used since the last sweep, until an eighth is free.
    fn sweep(&mut self) {
        let Self { hasher, found, memory, descriptors, limit, descriptor_limit, .. } = self;
        let (enough, few) = (*limit / 8 * 7, *descriptor_limit / 8 * 7);
        found.retain(|entry| {
            if *memory <= enough && *descriptors <= few {
                return true;
            }
            if std::mem::take(&mut entry.used) {
                return true;
            }
            *memory -= entry.memory();
            *descriptors -= entry.descriptors();
            false
        });
        // Fewer, larger files have taken the place of small ones. The table must not be larger
        // than the share of it that they count.
        let slots = found.allocation_size() / (size_of::<Entry>() + 1);
        if found.len() < slots * 7 / 16 {
            found.shrink_to(found.len(), |entry| hasher.hash_one(entry.key()));
        }
    }
}
