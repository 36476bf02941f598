//! Connections whose turn is due without an event, in three classes.
//!
//! `soon` holds those that have a message or an outcome, and those that no work was left
//! for when their event came. Each pass gives all of them their turn, as far as its
//! [work](super::work) goes. `bulk` holds those in the middle of a transfer: each pass
//! gives one of them its turn. So a reply from a store doesn't wait behind downloads, and
//! neither does a small request.
//!
//! `next` holds those that a message has brought a large piece, one that isn't copied. They have their turn right
//! after its sender: the piece is in the processor's cache then, and its memory is free again for the next one.
//! For small messages it is better if those who send them have their turns one after the other, and then
//! those who get them: it is the code that should be in the cache.
//!
//! If a connection gets into a class before its own, its older entry is recognised as stale by the slot's
//! own mark.

use std::collections::VecDeque;

use super::slot::{Queued, Slot};
use super::slots::Handle;

/// The queues of all classes.
#[derive(Default)]
pub(super) struct RunQueue {
    next: VecDeque<Handle>,
    soon: VecDeque<Handle>,
    bulk: VecDeque<Handle>,
}

impl RunQueue {
    /// Queues a connection, if it isn't queued in this class already, or in one before it.
    pub(super) fn push<P>(&mut self, handle: Handle, slot: &mut Slot<P>, class: Queued) {
        if slot.queued < class {
            slot.queued = class;
            self.push_handle(handle, class);
        }
    }

    /// Queues a datagram socket.
    pub(super) fn push_handle(&mut self, handle: Handle, class: Queued) {
        match class {
            Queued::No => {}
            Queued::Bulk => self.bulk.push_back(handle),
            Queued::Soon => self.soon.push_back(handle),
            Queued::Next => self.next.push_back(handle),
        }
    }

    /// The next handle of a class. Its slot knows whether the turn is still due.
    pub(super) fn pop(&mut self, class: Queued) -> Option<Handle> {
        let queue = match class {
            Queued::No => return None,
            Queued::Bulk => &mut self.bulk,
            Queued::Soon => &mut self.soon,
            Queued::Next => &mut self.next,
        };
        let handle = queue.pop_front();
        // After a peak, give the memory back once there is nothing in it.
        if queue.is_empty() && queue.capacity() > 256 {
            *queue = VecDeque::new();
        }
        handle
    }

    /// How many handles are in `next`.
    pub(super) fn next(&self) -> usize {
        self.next.len()
    }

    /// How many handles are in `soon`.
    pub(super) fn soon(&self) -> usize {
        self.soon.len()
    }

    /// Whether all queues are empty.
    pub(super) fn is_empty(&self) -> bool {
        self.next.is_empty() && self.soon.is_empty() && self.bulk.is_empty()
    }

    /// Entries of all classes, stale ones included.
    #[cfg(debug_assertions)]
    pub(super) fn len(&self) -> usize {
        self.next.len() + self.soon.len() + self.bulk.len()
    }
}
