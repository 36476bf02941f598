//! One test context for several connections, which send messages to each other.

use super::helpers::{JobId, JobResult};
use super::protocol::{Effect, Protocol, TestContext};
use super::slots::Handle;

impl<P: Protocol> TestContext<P> {
    /// Makes it the context of another connection.
    pub(crate) fn turn_to(&mut self, handle: Handle) {
        self.handle = handle;
    }

    /// Memory is short from now on, or isn't.
    pub(crate) fn set_memory_short(&mut self, is_short: bool) {
        self.figures.limits.1 = 2;
        self.figures.held = if is_short { 2 } else { 0 };
    }

    /// Takes a slot for a connection that was accepted, or that is made later.
    pub(crate) fn reserve(&mut self) -> Handle {
        self.slots.reserve()
    }

    /// The connection is gone: its jobs that have not begun are skipped, and its slot is free.
    pub(crate) fn release(&mut self, handle: Handle) {
        self.helpers.forget(handle);
        self.slots.free(handle);
    }

    /// How many slots are taken.
    pub(crate) fn taken(&self) -> usize {
        self.slots.len()
    }

    /// As [`run_jobs`](Self::run_jobs), each result with the connection that waits for it.
    pub(crate) fn run_all_jobs(&mut self) -> Vec<(Handle, JobId, JobResult<P::Outcome>)> {
        self.helpers.run_all();
        std::iter::from_fn(|| self.helpers.ended()).map(|ended| (ended.waiter, ended.job, ended.result)).collect()
    }

    /// The messages that were sent, each with its sender and its receiver.
    pub(crate) fn messages(&mut self) -> Vec<(Handle, Handle, P::Message)> {
        let sent = self.effects.extract_if(.., |effect| matches!(effect, Effect::Send { .. }));
        sent.filter_map(|effect| match effect {
            Effect::Send { from, to, message } => Some((from, to, message)),
            _ => None,
        })
        .collect()
    }
}
