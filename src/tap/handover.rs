//! The queue between the loop and the tap's thread, which is bounded in bytes: all memory of its batches counts,
//! bytes of packets, records, comments and addresses.
//!
//! When it is full, batches lose the bytes of their packets, and only what happened is handed over: so
//! the thread knows how long a gap is. When there is no room for that either, whole batches are dropped.
//! Then the thread knows no connection any more.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::batch::Batch;
use crate::limits;

/// What is for batches without their bytes.
const RESERVE: usize = limits::TAP_QUEUE / 4;
/// Empty batches that are kept to be filled again.
const SPARE: usize = 4;

/// Batches that wait.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Each with the memory that it takes.
    batches: VecDeque<(Delivery, usize)>,
    /// Bytes of memory of all of them.
    memory: usize,
    spare: Vec<Batch>,
    /// Records that were dropped since the last batch.
    lost: u64,
    /// The thread waits.
    idle: bool,
    closed: bool,
}

/// A batch as the thread gets it.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) batch: Batch,
    /// So many records were dropped before it.
    pub(super) lost: u64,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a batch. Returns an empty one.
    pub(super) fn push(&self, mut batch: Batch) -> Batch {
        let mut memory = batch.memory();
        let mut state = self.lock();
        if state.memory + memory > limits::TAP_QUEUE {
            batch.strip();
            memory = batch.memory();
        }
        if state.closed || state.memory + memory > limits::TAP_QUEUE + RESERVE {
            state.lost += batch.records.len() as u64;
            batch.clear();
            return batch;
        }
        state.memory += memory;
        let lost = std::mem::take(&mut state.lost);
        state.batches.push_back((Delivery { batch, lost }, memory));
        let next = state.spare.pop().unwrap_or_default();
        let is_idle = std::mem::take(&mut state.idle);
        drop(state);
        if is_idle {
            self.changed.notify_one();
        }
        next
    }

    /// The next batch; none if there will be no more.
    pub(super) fn next(&self) -> Option<Delivery> {
        let mut state = self.lock();
        loop {
            if let Some((delivery, memory)) = state.batches.pop_front() {
                state.memory -= memory;
                return Some(delivery);
            }
            if state.closed {
                return None;
            }
            state.idle = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes a batch back, to be filled again.
    pub(super) fn give_back(&self, mut batch: Batch) {
        batch.clear();
        let mut state = self.lock();
        if state.spare.len() < SPARE {
            state.spare.push(batch);
        }
    }

    /// Whether a batch waits.
    #[cfg(test)]
    pub(super) fn has_batch(&self) -> bool {
        !self.lock().batches.is_empty()
    }

    /// No more batches will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }
}
