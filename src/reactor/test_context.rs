//! A context outside any reactor, for tests and benches: of one connection, or of several that send messages to
//! each other.

use super::clock::Time;
use super::figures::Figures;
use super::helpers::{Helpers, JobId, JobResult};
use super::protocol::{Context, Effect, Protocol};
use super::slot::Slot;
use super::slots::{Handle, Slots};
use super::tap::LentTap;
use super::tls::TlsSide;
use super::work::Work;

/// A context outside any reactor, for tests and benches of one protocol.
#[doc(hidden)]
pub struct TestContext<P: Protocol> {
    effects: Vec<Effect<P>>,
    helpers: Helpers<P::Outcome>,
    slots: Slots<Slot<P>>,
    figures: Figures,
    tap: LentTap,
    handle: Handle,
}

impl<P: Protocol> Default for TestContext<P> {
    fn default() -> Self {
        Self::of(Handle::for_test(1))
    }
}

impl<P: Protocol> TestContext<P> {
    /// For the connection that is called so.
    pub fn of(handle: Handle) -> Self {
        Self {
            effects: Vec::new(),
            helpers: Helpers::new(None),
            slots: Slots::default(),
            figures: Figures::default(),
            tap: None,
            handle,
        }
    }

    /// A context at `time`, with unlimited work.
    pub fn context<'a>(&'a mut self, shared: &'a mut P::Shared, time: Time, draining: bool) -> Context<'a, P> {
        let Self { effects, helpers, slots, figures, tap, handle } = self;
        let (handle, work) = (*handle, Work::UNLIMITED);
        Context { shared, time, handle, draining, work, helpers, slots, effects, figures, tap }
    }

    /// Runs the jobs that the protocol asked for, here and now. Returns their results.
    pub fn run_jobs(&mut self) -> Vec<(JobId, JobResult<P::Outcome>)> {
        self.helpers.run_all();
        std::iter::from_fn(|| self.helpers.ended()).map(|ended| (ended.job, ended.result)).collect()
    }

    /// The connections that it asked for, and their protocols.
    pub fn connecting(&mut self) -> Vec<(Handle, P)> {
        let connects = self.effects.extract_if(.., |effect| matches!(effect, Effect::Connect(..)));
        connects
            .filter_map(
                |effect| {
                    if let Effect::Connect(handle, _, protocol) = effect { Some((handle, protocol)) } else { None }
                },
            )
            .collect()
    }

    /// How many connections it asked for that are to be made later.
    pub fn connecting_later(&mut self) -> usize {
        self.effects.extract_if(.., |effect| matches!(effect, Effect::ConnectLater(..))).count()
    }

    /// The sides of TLS that it asked to begin.
    pub fn securing(&mut self) -> Vec<TlsSide> {
        let asked = self.effects.extract_if(.., |effect| matches!(effect, Effect::Secure(..)));
        asked.filter_map(|effect| if let Effect::Secure(_, side) = effect { Some(side) } else { None }).collect()
    }

    /// The messages that it sent, each with its receiver.
    pub fn sent(&mut self) -> Vec<(Handle, P::Message)> {
        let sent = self.effects.extract_if(.., |effect| matches!(effect, Effect::Send { .. }));
        sent.filter_map(|effect| if let Effect::Send { to, message, .. } = effect { Some((to, message)) } else { None })
            .collect()
    }
}

/// Several connections.
#[cfg(test)]
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

    /// As [`run_jobs`](Self::run_jobs), each result with the connection that waits for it; none of a shared job.
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
