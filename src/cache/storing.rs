//! How a response is stored.
//!
//! ```text
//! begin ─► append … append ─► end: an entry, instead of the one with the same name
//!             │                 └─► doomed meanwhile, or cut: none
//!             └─► too large, the disk is full, fail: readers see that it failed
//! ```
//!
//! What is appended can be read at once. A small body stays in memory until its end; of a larger
//! one each full chunk becomes an operation on the disk. A producer that is faster than the disk
//! is told to pause, and woken when half is written.

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::filling::{Appended, BACKLOG, Filling, New};
use super::format::{INLINE, MOST_META, Meta};
use super::index::{EntryId, NewEntry};
use super::job::{Action, Subject, Writer};
use super::key::{Key, Name};
use super::response::{Body, FillingId, Response};
use super::store::{Store, WAITERS};
use crate::http::Fields;
use crate::http::caching::variant;

/// The most responses that are being stored.
const FILLINGS: usize = 1024;
/// All that waits for the disk, in bytes: with more nothing new is stored.
const QUEUED: u64 = 16 * 1024 * 1024;

impl<W: Clone> Store<W> {
    /// Begins to store a response. None if it is too large, or too much is under way.
    pub fn begin(&mut self, new: New<'_, W>) -> Option<FillingId> {
        let New { key, uri, names: names_text, variant_key, head, freshness, length, producer } = new;
        let meta = Meta { uri, names: names_text, key: variant_key, head, freshness, body: 0, body_checksum: 0 };
        if meta.length() > MOST_META || length.is_some_and(|length| length > self.limits.object) {
            return None;
        }
        let reserved = self.first_memory(length);
        let memory = self.meter.bytes() + reserved;
        let queued = self.queue.as_ref().map_or(0, |queue| queue.bytes());
        let is_busy = self.fillings.len() >= FILLINGS || memory > self.limits.memory / 2 || queued > QUEUED;
        let Some(names) = (!is_busy).then(|| self.index.names(names_text)).flatten() else {
            self.figures.refused += 1;
            return None;
        };
        let id = FillingId(self.number());
        let name = Name { key, variant: self.secret.variant(names_text, variant_key) };
        let body = Rc::new(Body::growing(id, length, reserved, &self.meter));
        let response = Response::new(uri, head, freshness, body);
        let meta = meta.write(self.secret.seed());
        let filling = Filling {
            name,
            names,
            names_text: names_text.into(),
            response,
            meta,
            writer: None,
            producer: Some(producer),
            is_paused: false,
            waiters: Vec::new(),
            is_doomed: false,
        };
        self.fillings.insert(id, filling);
        Some(id)
    }

    /// The latest response that is being stored and matches a request with these fields.
    pub fn filling(&self, key: Key, request: &Fields<'_>) -> Option<FillingId> {
        let matches = |filling: &Filling<W>| {
            let mut value = Vec::new();
            variant::write_key(&filling.names_text, request, &mut value);
            self.secret.variant(&filling.names_text, &value) == filling.name.variant
        };
        let mut fillings = self.fillings.iter().rev();
        let found = fillings.find(|(_, own)| own.name.key == key && !own.is_doomed && matches(own));
        found.map(|(id, _)| *id)
    }

    /// A response that is being stored, for readers; none if it ended.
    pub fn growing(&self, id: FillingId) -> Option<&Rc<Response>> {
        self.fillings.get(&id).map(|filling| &filling.response)
    }

    /// Has `waiter` woken when the response has more bytes, or ends, if it still grows. It may be woken before.
    pub fn wait(&mut self, response: &Response, waiter: W) {
        let Some(filling) = response.body.filling.and_then(|id| self.fillings.get_mut(&id)) else { return };
        // Some may have gone while they waited. With more of them than readers all are woken: who still reads
        // waits again, which makes room for as many before the next time.
        if filling.waiters.len() >= WAITERS.max(2 * Rc::strong_count(&filling.response)) {
            self.wakes.extend(filling.waiters.drain(..));
        }
        filling.waiters.push(waiter);
    }

    /// Appends bytes to the body. After `Full` the producer is woken when there is room; after
    /// `Failed` the response is over.
    pub fn append(&mut self, id: FillingId, bytes: &[u8]) -> Appended {
        let Some(filling) = self.fillings.get_mut(&id) else { return Appended::Failed };
        let body = &filling.response.body;
        let length = filling.response.available().saturating_add(bytes.len() as u64);
        let has_disk = self.queue.is_some();
        let no_memory = !has_disk && self.meter.bytes() + body.needs(bytes.len()) > self.limits.memory / 2;
        let too_long = length > body.expected().unwrap_or(self.limits.object).min(self.limits.object);
        // A producer that doesn't pause can't fill the memory.
        let ignores_pause = has_disk && body.unwritten() > 4 * BACKLOG;
        if no_memory || too_long || ignores_pause {
            self.fail(id);
            return Appended::Failed;
        }
        body.append(bytes);
        self.wakes.extend(filling.waiters.drain(..));
        if has_disk && length > INLINE {
            let (directory, seed) = (filling.name.key.directory(), self.secret.seed());
            let new = || Arc::new(Mutex::new(Writer::new(directory, seed)));
            let writer = Arc::clone(filling.writer.get_or_insert_with(new));
            let body = Rc::clone(&filling.response.body);
            filling.is_paused = body.unwritten() > BACKLOG;
            while let Some(chunk) = body.seal(false) {
                self.push(Subject::Filling(id), Action::Append { writer: Arc::clone(&writer), chunk });
            }
            self.written.insert(id, body);
        }
        self.make_room();
        let is_paused = self.fillings.get(&id).is_some_and(|filling| filling.is_paused);
        if is_paused { Appended::Full } else { Appended::Room }
    }

    /// The response is whole: it becomes an entry, which replaces the one with the same variant.
    /// None if it is shorter than its length, or was removed meanwhile. In the latter case those
    /// who read it can go on.
    pub fn end(&mut self, id: FillingId) -> Option<EntryId> {
        let filling = self.fillings.get(&id)?;
        let length = filling.response.available();
        if filling.response.body.expected().is_some_and(|expected| expected != length) {
            self.fail(id);
            return None;
        }
        let Filling { name, names, response, meta, writer, waiters, is_doomed, .. } = self.fillings.remove(&id)?;
        response.body.finish();
        self.wakes.extend(waiters);
        if is_doomed {
            self.index.release(names);
            self.discard(id, writer);
            return None;
        }
        if let Some(old) = self.index.named(name) {
            self.forget(old);
        }
        if let Some(surplus) = self.index.surplus(name.key) {
            self.figures.evictions += 1;
            self.remove_entry(surplus);
        }
        let (freshness, meta_length) = (response.freshness, meta.len() as u32);
        let new = NewEntry { name, names, freshness, meta: meta_length, body: length, is_verified: true };
        let entry = self.index.insert(new, false);
        let rest = if self.queue.is_some() { response.body.seal(true) } else { None };
        self.keep(entry, &response, |change| match writer {
            Some(writer) => (Subject::Commit(id, entry, change), Action::Commit { writer, rest, name, meta }),
            None => (Subject::Entry(entry, change), Action::Write { name, meta, body: rest }),
        });
        Some(entry)
    }

    /// The response can't be completed. Those who read it see that it failed.
    pub fn fail(&mut self, id: FillingId) {
        let Some(filling) = self.fillings.remove(&id) else { return };
        filling.response.body.fail();
        self.wakes.extend(filling.waiters);
        self.index.release(filling.names);
        self.discard(id, filling.writer);
    }

    /// As [`fail`](Self::fail), and the producer is woken to see it.
    pub(super) fn abort(&mut self, id: FillingId) {
        let producer = self.fillings.get_mut(&id).and_then(|filling| filling.producer.take());
        self.wakes.extend(producer);
        self.fail(id);
    }

    fn discard(&mut self, id: FillingId, writer: Option<Arc<Mutex<Writer>>>) {
        self.written.remove(&id);
        if let Some(writer) = writer {
            self.push(Subject::Removal, Action::Discard(writer));
        }
    }
}
