//! The store: look-ups, and how entries come and go.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::checksum::Checksum;
use super::disk::{Disk, OpenError};
use super::eviction::NONE;
use super::filling::Filling;
use super::format::{INLINE, MOST_META};
use super::index::{EntryId, Found, Index};
use super::job::{Action, Subject};
use super::key::{Key, Name, Secret};
use super::memory::Residents;
use super::purge::Purge;
use super::queue::Queue;
use super::response::{Body, FillingId, Meter, Response};
use super::walk::Walk;
use crate::http::Fields;
use crate::http::caching::Freshness;

/// The most that wait for one load, and the most loads at once. For a growing response twice its readers wait, or
/// so many, if that is more.
pub(super) const WAITERS: usize = 1024;
/// The most entries that leave in one call; the next call goes on.
const EVICTIONS: usize = 256;
/// The most purges that are under way.
const PURGES: usize = 16;
/// The least memory, in bytes: so that what was read is there until those who wait have it.
const LEAST_MEMORY: u64 = 1024 * 1024;
/// The largest body may take so many parts of the memory or the disk.
const SHARE: u64 = 8;

/// What a store may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of memory for responses. The index is not among them: it has 150 bytes an entry.
    pub memory: u64,
    /// Bytes on the disk.
    pub disk: u64,
    /// Entries, which are also files on the disk.
    pub entries: usize,
    /// The largest body in bytes; at most an eighth of the disk, or of the memory without one.
    pub object: u64,
    /// Open files of entries that nobody reads.
    pub files: u64,
}

/// What came of asking for a response.
pub enum Load {
    /// Here it is.
    Ready(Rc<Response>),
    /// It is read from the disk. The waiter is woken, and should ask again.
    Pending,
    /// The entry is gone, or too many wait: a miss.
    Gone,
}

/// What a store counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Entries.
    pub entries: usize,
    /// Bytes on the disk, in whole blocks.
    pub disk: u64,
    /// Bytes in memory, without the index.
    pub memory: u64,
    /// Responses that are being stored.
    pub growing: usize,
    /// Loads that were answered from memory.
    pub memory_hits: u64,
    /// Loads that waited for the disk.
    pub disk_hits: u64,
    /// Entries that left for others.
    pub evictions: u64,
    /// Responses that weren't stored because too much was under way.
    pub refused: u64,
    /// Operations on the disk that failed, and damaged files.
    pub errors: u64,
    /// The entries on the disk aren't all known yet.
    pub scanning: bool,
}

/// An entry whose file is being written: its response stays in memory.
pub(super) struct Pending {
    pub(super) change: u64,
    pub(super) response: Rc<Response>,
}

/// An entry that is being read.
pub(super) struct Loading<W> {
    pub(super) waiters: Vec<W>,
    /// It was updated meanwhile, so what is read has the old head.
    pub(super) is_outdated: bool,
}

/// A response that was read for some who wait.
pub(super) struct Claim {
    pub(super) id: EntryId,
    pub(super) response: Rc<Response>,
    pub(super) waiters: usize,
    /// How many jobs ended since.
    pub(super) age: u8,
}

/// A purge that is under way.
pub(super) struct Purging<W> {
    pub(super) number: u64,
    pub(super) waiter: Option<W>,
    pub(super) removed: u64,
    pub(super) is_over: bool,
}

/// Names a purge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PurgeId(u64);

/// Stored responses. `W` is what is given back to wake who waits.
pub struct Store<W> {
    pub(super) limits: Limits,
    pub(super) secret: Secret,
    pub(super) index: Index,
    pub(super) residents: Residents,
    pub(super) meter: Meter,
    pub(super) fillings: BTreeMap<FillingId, Filling<W>>,
    /// The bodies that are being written, also after their end.
    pub(super) written: HashMap<FillingId, Rc<Body>>,
    pub(super) loads: HashMap<EntryId, Loading<W>>,
    pub(super) claims: Vec<Claim>,
    pub(super) pending: HashMap<EntryId, Pending>,
    pub(super) purges: Vec<Purging<W>>,
    pub(super) queue: Option<Queue>,
    pub(super) wakes: VecDeque<W>,
    pub(super) figures: Figures,
    pub(super) numbers: u64,
}

impl<W> Store<W> {
    /// A store without a directory.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub fn in_memory(limits: Limits) -> io::Result<Self> {
        Ok(Self::new(limits, Secret::new()?, None))
    }

    /// A store in a directory, which is created if it doesn't exist. What is in it becomes known
    /// bit by bit, by jobs.
    ///
    /// # Errors
    /// If another process has it, if it has files but isn't a cache, if it is damaged or of
    /// another version, and those of the system.
    pub fn open(directory: &Path, limits: Limits) -> Result<Self, OpenError> {
        let disk = Arc::new(Disk::open(directory)?);
        let mut store = Self::new(limits, disk.secret.clone(), Some(Queue::new(disk)));
        store.figures.scanning = true;
        store.push(Subject::Scan, Action::Walk(Box::new(Walk::scan())));
        Ok(store)
    }

    fn new(limits: Limits, secret: Secret, queue: Option<Queue>) -> Self {
        let memory = limits.memory.max(LEAST_MEMORY);
        let room = if queue.is_some() { limits.disk } else { memory };
        let limits = Limits { memory, object: limits.object.min(room / SHARE), ..limits };
        Self {
            limits,
            secret,
            index: Index::new(),
            residents: Residents::new(),
            meter: Meter::default(),
            fillings: BTreeMap::new(),
            written: HashMap::new(),
            loads: HashMap::new(),
            claims: Vec::new(),
            pending: HashMap::new(),
            purges: Vec::new(),
            queue,
            wakes: VecDeque::new(),
            figures: Figures::default(),
            numbers: 0,
        }
    }

    /// The next one to wake. To be asked after each call until there is none.
    pub fn next_wake(&mut self) -> Option<W> {
        self.wakes.pop_front()
    }

    /// What the store counts.
    pub fn figures(&self) -> Figures {
        Figures {
            entries: self.index.len(),
            disk: if self.queue.is_some() { self.index.bytes() } else { 0 },
            memory: self.residents.bytes() + self.meter.bytes(),
            growing: self.fillings.len(),
            ..self.figures
        }
    }

    /// The largest body that can be stored, in bytes.
    pub fn object_limit(&self) -> u64 {
        self.limits.object
    }

    /// The key of a URI.
    pub fn key(&self, uri: &[u8]) -> Key {
        self.secret.key(uri)
    }

    /// The most recent response that matches a request with these fields.
    pub fn find(&self, key: Key, request: &Fields<'_>) -> Found {
        self.index.find(&self.secret, key, request)
    }

    /// The freshness of an entry; none if it is gone.
    pub fn freshness(&self, id: EntryId) -> Option<Freshness> {
        self.index.get(id).map(|entry| entry.freshness)
    }

    /// The length of an entry's body in bytes; none if it is gone.
    pub fn length(&self, id: EntryId) -> Option<u64> {
        self.index.get(id).map(|entry| entry.body)
    }

    /// The response of an entry, which must have this URI. It counts as a use. If it has to be
    /// read, `waiter` is woken when that is over.
    pub fn load(&mut self, id: EntryId, uri: &[u8], waiter: W) -> Load {
        let Some(entry) = self.index.get_mut(id) else { return Load::Gone };
        entry.node.touch();
        let (name, resident, verifies) = (entry.name, entry.resident, !entry.is_verified);
        let is_own = |response: &Rc<Response>| match response.uri() == uri {
            true => Load::Ready(Rc::clone(response)),
            false => Load::Gone,
        };
        if let Some(place) = self.claims.iter().position(|claim| claim.id == id) {
            let claim = &mut self.claims[place];
            let ready = is_own(&claim.response);
            claim.waiters -= 1;
            if claim.waiters == 0 {
                self.claims.swap_remove(place);
            }
            return ready;
        }
        let pending = self.pending.get(&id).map(|pending| &pending.response);
        if let Some(response) = pending.or_else(|| self.residents.get(resident)) {
            self.figures.memory_hits += 1;
            let ready = is_own(response);
            self.residents.touch(resident);
            return ready;
        }
        if self.queue.is_none() {
            return Load::Gone;
        }
        let loads = self.loads.len();
        match self.loads.get_mut(&id) {
            Some(loading) if loading.waiters.len() >= WAITERS => return Load::Gone,
            Some(loading) => loading.waiters.push(waiter),
            None if loads >= WAITERS => return Load::Gone,
            None => {
                self.loads.insert(id, Loading { waiters: vec![waiter], is_outdated: false });
                self.push(Subject::Load(id), Action::Load { name, verifies });
            }
        }
        self.figures.disk_hits += 1;
        Load::Pending
    }

    /// Replaces the head of an entry, after a validation. `response` is what was loaded of it, and
    /// `head` has the whole stored head. Returns the new response. Those who read the old one can
    /// go on.
    pub fn update(
        &mut self,
        id: EntryId,
        response: &Response,
        head: &[u8],
        freshness: Freshness,
    ) -> Option<Rc<Response>> {
        let entry = self.index.get(id)?;
        let (name, resident, length) = (entry.name, entry.resident, entry.body);
        let meta = (entry.meta as usize).saturating_sub(response.head.len()) + head.len();
        if meta > MOST_META {
            self.remove_entry(id);
            return None;
        }
        let replaced = Checksum::of(self.secret.seed(), &response.head);
        let (uri, body) = (Rc::clone(&response.uri), Rc::clone(&response.body));
        let response = Response::new(uri, head, freshness, body);
        self.index.update(id, freshness, meta as u32);
        self.residents.remove(resident);
        if let Some(entry) = self.index.get_mut(id) {
            entry.resident = NONE;
        }
        self.claims.retain(|claim| claim.id != id);
        if let Some(loading) = self.loads.get_mut(&id) {
            loading.is_outdated = true;
        }
        let action = Action::Update { name, head: head.into(), freshness, replaced, body: length };
        self.keep(id, &response, |change| (Subject::Entry(id, change), action));
        Some(response)
    }

    /// Keeps the response of an entry in memory until its file is written by an operation, or
    /// until it is evicted if there is no disk.
    pub(super) fn keep(
        &mut self,
        id: EntryId,
        response: &Rc<Response>,
        operation: impl FnOnce(u64) -> (Subject, Action),
    ) {
        if self.queue.is_some() {
            let change = self.number();
            self.pending.insert(id, Pending { change, response: Rc::clone(response) });
            let (subject, action) = operation(change);
            self.push(subject, action);
        } else {
            self.keep_in_memory(id, Rc::clone(response));
        }
        self.make_room();
    }

    /// Keeps the response of an entry in memory until it is evicted.
    pub(super) fn keep_in_memory(&mut self, id: EntryId, response: Rc<Response>) {
        response.body.release();
        let Some(entry) = self.index.get_mut(id) else { return };
        // So there are no more files open than may be.
        let file = if response.has_file() { self.limits.memory / self.limits.files.max(1) } else { 0 };
        let (hash, size) = (entry.name.key.hash() ^ entry.name.variant, response.memory() + file);
        self.residents.remove(entry.resident);
        entry.resident = self.residents.insert(id, hash, response, size);
        self.make_room();
    }

    /// Removes an entry, and its file.
    pub fn remove(&mut self, id: EntryId) {
        self.remove_entry(id);
    }

    /// Removes all responses for a URI, also those that grow: they get no entry.
    pub fn remove_uri(&mut self, key: Key) {
        for id in self.index.variants(key) {
            self.remove_entry(id);
        }
        for filling in self.fillings.values_mut().filter(|filling| filling.name.key == key) {
            filling.is_doomed = true;
        }
        if self.figures.scanning {
            // There may be some that aren't known yet.
            self.push(Subject::Removal, Action::RemoveKey(key));
            self.note_removal(key);
        }
    }

    /// Removes responses by URI or tag. What is being stored gets no entry, and what is in memory
    /// only is removed at once; what is on the disk by jobs. `waiter` is woken when all is done.
    /// None if too many purges are under way.
    pub fn purge(&mut self, what: &Purge, waiter: Option<W>) -> Option<PurgeId> {
        if self.purges.len() >= PURGES {
            let over = self.purges.iter().position(|purge| purge.is_over)?;
            self.purges.remove(over);
        }
        let fits = |response: &Response| what.fits(&response.uri, &response.head);
        for filling in self.fillings.values_mut().filter(|filling| fits(&filling.response)) {
            filling.is_doomed = true;
        }
        let pending = self.pending.iter().filter(|(_, pending)| fits(&pending.response)).map(|(id, _)| *id);
        let mut found: Vec<_> = pending.collect();
        let has_disk = self.queue.is_some();
        if !has_disk {
            found.extend(self.residents.iter().filter(|(_, response)| fits(response)).map(|(id, _)| id));
        }
        let removed = found.len() as u64;
        found.into_iter().for_each(|id| self.remove_entry(id));
        let number = self.number();
        self.purges.push(Purging { number, waiter, removed, is_over: false });
        if has_disk {
            self.push(Subject::Purge(number), Action::Walk(Box::new(Walk::purge(what.clone(), &self.secret))));
        } else {
            self.end_purge(number);
        }
        Some(PurgeId(number))
    }

    /// How many entries a purge has removed, when it is over. It is told once.
    pub fn purged(&mut self, id: PurgeId) -> Option<u64> {
        let place = self.purges.iter().position(|purge| purge.number == id.0 && purge.is_over)?;
        Some(self.purges.swap_remove(place).removed)
    }

    pub(super) fn end_purge(&mut self, number: u64) {
        if let Some(purge) = self.purges.iter_mut().find(|purge| purge.number == number) {
            purge.is_over = true;
            self.wakes.extend(purge.waiter.take());
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(super) fn remove_entry(&mut self, id: EntryId) {
        if let Some(name) = self.forget(id) {
            self.remove_files(name);
        }
    }

    /// Forgets an entry, but leaves its file, which is to be replaced.
    pub(super) fn forget(&mut self, id: EntryId) -> Option<Name> {
        let (name, resident) = self.index.remove(id)?;
        self.residents.remove(resident);
        if let Some(pending) = self.pending.remove(&id) {
            pending.response.body.release();
        }
        self.claims.retain(|claim| claim.id != id);
        Some(name)
    }

    /// Has entries leave as long as the rest takes too much.
    pub(super) fn make_room(&mut self) {
        // What can't be evicted has half of the memory at most.
        let room = self.limits.memory - self.meter.bytes().min(self.limits.memory / 2);
        for _ in 0..EVICTIONS {
            let Some(id) = self.residents.evict(room) else { break };
            match self.index.get_mut(id) {
                Some(entry) if self.queue.is_some() => entry.resident = NONE,
                _ => {
                    self.figures.evictions += 1;
                    self.forget(id);
                }
            }
        }
        for _ in 0..EVICTIONS {
            let is_full = self.queue.is_some() && self.index.bytes() > self.limits.disk;
            if (!is_full && self.index.len() <= self.limits.entries) || !self.evict() {
                break;
            }
        }
    }

    /// Has one entry leave. Returns false if there is none, or the search goes on later.
    pub(super) fn evict(&mut self) -> bool {
        let Some(id) = self.index.evict(self.limits.disk) else { return false };
        self.figures.evictions += 1;
        self.remove_entry(id);
        true
    }

    /// What a response takes in memory at first, in bytes, if its length is `expected`.
    pub(super) fn first_memory(&self, expected: Option<u64>) -> u64 {
        let expected = expected.unwrap_or(INLINE);
        if self.queue.is_some() { expected.min(INLINE) } else { expected }
    }
}
