//! What comes of operations on the disk.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::filling::Filling;
use super::index::{EntryId, NewEntry};
use super::job::{Action, DiskJob, Effect, Loaded, LoadedBody, Operation, Subject};
use super::key::{Key, Name};
use super::response::{Body, FillingId, Response};
use super::store::{Claim, Loading, Store};
use super::walk::{Found, STEP, Walk};

/// The most removals during a step of the scan that are remembered.
const REMOVED: usize = 4096;
/// For how many jobs a response stays for those that waited for it.
const CLAIM: u8 = 2;
/// On a full disk so many parts of what is stored leave, in at most so many entries.
const PARTS: u64 = 16;
const SHRINK: usize = 64;

impl<W> Store<W> {
    pub(super) fn push(&mut self, subject: Subject, action: Action) {
        if let Some(queue) = &mut self.queue {
            queue.push(Operation { subject, action });
        }
    }

    /// Has the files of an entry removed.
    pub(super) fn remove_files(&mut self, name: Name) {
        self.note_removal(name.key);
        if let Some(queue) = &mut self.queue {
            queue.remove(name);
        }
    }

    /// The step of the scan that is under way may have found what is removed now.
    pub(super) fn note_removal(&mut self, key: Key) {
        if let Some(removed) = self.queue.as_mut().and_then(|queue| queue.removed.as_mut())
            && removed.len() < REMOVED
        {
            removed.push(key);
        }
    }

    /// The next job, if there is one and the last one is over. To be asked after each call.
    pub fn next_job(&mut self) -> Option<DiskJob> {
        self.queue.as_mut()?.next_job()
    }

    /// Whether nothing waits for the disk, so that the process can end without a loss.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| !queue.has_job && queue.loads.is_empty() && queue.changes.is_empty())
    }

    /// Whether nothing is left of what was under way. What was read for those who have gone stays for a
    /// few jobs.
    #[cfg(test)]
    pub(crate) fn is_settled(&self) -> bool {
        let waits = self.fillings.len() + self.written.len() + self.loads.len() + self.pending.len();
        waits == 0 && (self.meter.bytes() == 0 || !self.claims.is_empty())
    }
}

impl<W: Clone> Store<W> {
    /// Writes all changes that wait for the disk, because the process ends. A job that another thread has is
    /// waited for so long at most.
    pub fn finish(&mut self, patience: Duration, now: i64) {
        while let Some(queue) = self.queue.as_mut().filter(|queue| queue.has_job || !queue.changes.is_empty()) {
            if let Some(job) = queue.next_job() {
                job.run();
            }
            if !self.collect_within(patience, now) {
                return;
            }
        }
    }

    /// Takes in what came of the last job, if it is over. `now` is the Unix second.
    pub fn collect(&mut self, now: i64) {
        self.collect_within(Duration::ZERO, now);
    }

    /// As [`collect`](Self::collect), if it is over in this time. Returns whether it is.
    fn collect_within(&mut self, patience: Duration, now: i64) -> bool {
        let Some(done) = self.queue.as_mut().and_then(|queue| queue.take_done(patience)) else { return false };
        self.claims.retain_mut(|claim| {
            claim.age += 1;
            claim.age < CLAIM
        });
        let mut is_full = false;
        for (subject, result) in done.outcomes {
            if let Err(error) = &result {
                is_full |= matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
                self.figures.errors += 1;
                if let Some(queue) = &mut self.queue {
                    queue.troubles.report(now, error);
                }
            }
            self.take(subject, result);
        }
        if let Some(queue) = &mut self.queue {
            queue.removed = None;
        }
        if is_full {
            self.shrink();
        }
        self.make_room();
        true
    }

    /// The disk is full, of other things or of more files than it can have: some entries leave,
    /// so that there is room for new ones.
    fn shrink(&mut self) {
        let enough = self.index.bytes() - self.index.bytes() / PARTS;
        for _ in 0..SHRINK {
            if self.index.bytes() <= enough || !self.evict() {
                break;
            }
        }
    }

    fn take(&mut self, subject: Subject, result: io::Result<Effect>) {
        match (subject, result) {
            (_, Ok(Effect::Again(action))) => self.push(subject, action),
            (Subject::Load(id), result) => self.take_loaded(id, result),
            (Subject::Entry(id, change), result) => self.take_written(id, change, result.is_ok()),
            (Subject::Commit(filling, id, change), result) => {
                let body = self.written.remove(&filling);
                if let (Some(body), Ok(Effect::Written(_, length))) = (body, &result) {
                    body.written(None, *length);
                }
                self.take_written(id, change, result.is_ok());
            }
            (Subject::Filling(id), result) => self.take_grown(id, result),
            (Subject::Scan, Ok(Effect::Walked(found, next))) => self.take_scanned(found, next),
            (Subject::Scan, _) => self.figures.scanning = false,
            (Subject::Purge(number), Ok(Effect::Walked(found, next))) => self.take_purged(number, found, next),
            (Subject::Purge(number), _) => self.end_purge(number),
            (Subject::Removal, _) => {}
        }
    }

    fn take_loaded(&mut self, id: EntryId, result: io::Result<Effect>) {
        let Some(Loading { waiters, is_outdated }) = self.loads.remove(&id) else { return };
        let count = waiters.len();
        self.wakes.extend(waiters);
        if is_outdated || self.index.get(id).is_none() {
            return;
        }
        match result {
            Ok(Effect::Loaded(Loaded { uri, head, freshness, body })) => {
                let body = Rc::new(match body {
                    LoadedBody::Memory(bytes) => Body::in_memory(bytes),
                    LoadedBody::File(file, length) => Body::in_file(file.into(), length),
                });
                let response = Response::new(uri, head, freshness, body);
                if let Some(entry) = self.index.get_mut(id) {
                    entry.is_verified = true;
                }
                self.claims.push(Claim { id, response: Rc::clone(&response), waiters: count, age: 0 });
                self.keep_in_memory(id, response);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
                self.remove_entry(id);
            }
            // It may be readable another time.
            _ => {}
        }
    }

    fn take_written(&mut self, id: EntryId, change: u64, is_written: bool) {
        if self.pending.get(&id).is_none_or(|pending| pending.change != change) {
            return;
        }
        if !is_written {
            return self.remove_entry(id);
        }
        if let Some(pending) = self.pending.remove(&id) {
            self.keep_in_memory(id, pending.response);
        }
    }

    fn take_grown(&mut self, id: FillingId, result: io::Result<Effect>) {
        let (Ok(Effect::Written(file, length)), Some(body)) = (result, self.written.get(&id)) else {
            // After its end the last operation fails, too.
            return self.abort(id);
        };
        body.written(file, length);
        let producer = self.fillings.get_mut(&id).and_then(Filling::resume);
        self.wakes.extend(producer);
    }

    fn take_scanned(&mut self, found: Found, next: Option<Box<Walk>>) {
        let removed = self.queue.as_mut().and_then(|queue| queue.removed.take()).unwrap_or_default();
        for record in found.records {
            let name = record.name;
            if self.index.named(name).is_some() {
                // It was stored since the start.
                continue;
            }
            let is_removed = removed.len() >= REMOVED || removed.contains(&name.key);
            let has_place = !is_removed && self.index.surplus(name.key).is_none();
            let Some(names) = has_place.then(|| self.index.names(&record.names)).flatten() else {
                self.remove_files(name);
                continue;
            };
            let (freshness, meta, body) = (record.freshness, record.meta, record.body);
            self.index.insert(NewEntry { name, names, freshness, meta, body, is_verified: false }, true);
        }
        self.figures.errors += found.damaged + found.errors;
        let Some(queue) = &mut self.queue else { return };
        queue.found.damaged += found.damaged;
        queue.found.foreign += found.foreign;
        queue.found.errors += found.errors;
        if let Some(walk) = next {
            return self.push(Subject::Scan, Action::Walk(walk));
        }
        let Found { damaged, foreign, errors, .. } = std::mem::take(&mut queue.found);
        self.figures.scanning = false;
        let entries = self.index.len();
        log::info!("responses in the directory of the cache: {entries}");
        if damaged + foreign + errors > 0 {
            log::warn!(
                "the cache removed {damaged} damaged files, left {foreign} alone that aren't its own, and failed \
                 to read or remove {errors}"
            );
        }
    }

    fn take_purged(&mut self, number: u64, found: Found, next: Option<Box<Walk>>) {
        debug_assert!(found.records.len() <= STEP);
        let count = found.records.len() as u64;
        for record in found.records {
            match self.index.named(record.name) {
                Some(id) => self.remove_entry(id),
                None => self.remove_files(record.name),
            }
        }
        if let Some(purge) = self.purges.iter_mut().find(|purge| purge.number == number) {
            purge.removed += count;
        }
        match next {
            Some(walk) => self.push(Subject::Purge(number), Action::Walk(walk)),
            None => self.end_purge(number),
        }
    }
}
