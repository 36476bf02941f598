//! Operations that wait for the disk, and the jobs that they are done in.
//!
//! There is one job at a time. It has some loads first, because clients wait for them; then
//! changes, in their order; and if no change is left, a step of a walk. So a walk never meets a
//! file that is about to be removed or replaced by what was ordered before, and a load never one
//! that isn't written: until then the response is in memory.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::disk::Disk;
use super::job::{Action, DiskJob, Done, Operation, Subject};
use super::key::{Key, Name};
use super::walk::Found;

/// The most loads, and the most changes, in a job.
const LOADS: usize = 16;
const CHANGES: usize = 32;
/// What the changes of a job have, in bytes.
const BYTES: u64 = 1024 * 1024;
/// The most names in one operation.
const NAMES: usize = 64;

/// What waits for the disk.
pub(super) struct Queue {
    disk: Arc<Disk>,
    pub(super) loads: VecDeque<Operation>,
    pub(super) changes: VecDeque<Operation>,
    walks: VecDeque<Operation>,
    /// The bytes of all changes, and of those that are in a job.
    bytes: u64,
    job_bytes: u64,
    pub(super) has_job: bool,
    /// What was removed during a step of the scan that is in a job, or none if there is none.
    pub(super) removed: Option<Vec<Key>>,
    back: (Sender<Done>, Receiver<Done>),
    pub(super) troubles: Troubles,
    pub(super) found: Found,
}

/// What went wrong, and was reported.
#[derive(Default)]
pub(super) struct Troubles {
    minute: i64,
    count: u64,
}

impl Troubles {
    /// Logs an error, at most once a minute.
    pub(super) fn report(&mut self, now: i64, error: &io::Error) {
        self.count += 1;
        let minute = now.div_euclid(60) + 1;
        if std::mem::replace(&mut self.minute, minute) != minute {
            let others = std::mem::take(&mut self.count) - 1;
            let more = if others == 0 { String::new() } else { format!("; {others} other errors before") };
            log::warn!("the cache can't use its directory as it should: {error}{more}");
        }
    }
}

impl Queue {
    pub(super) fn new(disk: Arc<Disk>) -> Self {
        Self {
            disk,
            loads: VecDeque::new(),
            changes: VecDeque::new(),
            walks: VecDeque::new(),
            bytes: 0,
            job_bytes: 0,
            has_job: false,
            removed: None,
            back: channel(),
            troubles: Troubles::default(),
            found: Found::default(),
        }
    }

    /// How many bytes wait.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    #[cfg(test)]
    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    fn lane(&mut self, operation: &Operation) -> &mut VecDeque<Operation> {
        match operation.action {
            Action::Load { .. } | Action::Verify(_) => &mut self.loads,
            Action::Walk(_) => &mut self.walks,
            _ => {
                self.bytes += operation.action.bytes();
                &mut self.changes
            }
        }
    }

    pub(super) fn push(&mut self, operation: Operation) {
        self.lane(&operation).push_back(operation);
    }

    pub(super) fn remove(&mut self, name: Name) {
        if let Some(Operation { action: Action::Remove(names), .. }) = self.changes.back_mut()
            && names.len() < NAMES
        {
            return names.push(name);
        }
        self.push(Operation { subject: Subject::Removal, action: Action::Remove(vec![name]) });
    }

    pub(super) fn next_job(&mut self) -> Option<DiskJob> {
        if self.has_job {
            return None;
        }
        let mut job: VecDeque<_> = self.loads.drain(..self.loads.len().min(LOADS)).collect();
        let mut bytes = 0;
        for _ in 0..CHANGES {
            let Some(operation) = (bytes < BYTES).then(|| self.changes.pop_front()).flatten() else { break };
            bytes += operation.action.bytes();
            job.push_back(operation);
        }
        if self.changes.is_empty()
            && let Some(walk) = self.walks.pop_front()
        {
            self.removed = (walk.subject == Subject::Scan).then(Vec::new);
            job.push_back(walk);
        }
        if job.is_empty() {
            return None;
        }
        (self.has_job, self.job_bytes) = (true, bytes);
        Some(DiskJob::new(Arc::clone(&self.disk), job, self.back.0.clone()))
    }

    /// What came of the job, if it is over in this time.
    pub(super) fn take_done(&mut self, patience: Duration) -> Option<Done> {
        let mut done = self.back.1.recv_timeout(patience).ok()?;
        self.has_job = false;
        self.bytes -= std::mem::take(&mut self.job_bytes);
        while let Some(operation) = done.left.pop_back() {
            self.lane(&operation).push_front(operation);
        }
        Some(done)
    }
}
