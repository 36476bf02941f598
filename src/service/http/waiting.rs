//! A request that waits: for a job on a helper thread, for the session store, or for the cache.
//!
//! It keeps its head, its body and its facts. After the result, or after its deadline,
//! [`dispatch`](super::dispatch) continues it.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use super::exchange::{Exchange, Facts, Turn};
use crate::app::{self, Body, Response};
use crate::cache::PurgeId;
use crate::files::listing_page::Format;
use crate::reactor::{JobId, JobResult, Tick};
use crate::service::Outcome;
use crate::service::proxy::Cache;
use crate::session::pending::Ticket;

/// A request that waits.
pub(super) struct Waiting {
    /// The head as it was sent, to be parsed again.
    head: Vec<u8>,
    pub(super) body: Vec<u8>,
    pub(super) facts: Facts,
    pub(super) deadline: Tick,
    pub(super) awaits: Awaits,
}

/// What a request waits for, and the result of it.
pub(super) enum Awaits {
    /// A job, and the step that follows it.
    Job { job: JobId, next: AfterJob, result: Option<JobResult<Outcome>> },
    /// The session that the application is called with, for the first time or with the
    /// result of its job.
    Session(Ticket, Option<app::Outcome>),
    /// The store that saves the session; this is the response to send then.
    Saving(Ticket, Box<Response>),
    /// What an operator has removed from the cache, and how much it was.
    Purge(Rc<Cache>, PurgeId, Option<u64>),
}

/// The step that the result of a job is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AfterJob {
    /// Its password was checked.
    Admit,
    /// The application is called again.
    Call,
    /// A directory was read; its listing is written in this format.
    List(Format),
    /// The names in a directory were read; the file is asked for again.
    Choose,
}

impl Waiting {
    /// Keeps a request with its body.
    pub(super) fn new(
        exchange: &Exchange<'_>,
        body: &[u8],
        awaits: Awaits,
        patience: Duration,
        turn: &Turn<'_, '_>,
    ) -> Box<Self> {
        let deadline = turn.cx.time.now.after(patience);
        let facts = exchange.facts.clone();
        Box::new(Self { head: exchange.head.raw.to_vec(), body: body.into(), facts, deadline, awaits })
    }

    /// Its head as it was sent, and the rest.
    pub(super) fn into_parts(self) -> (Vec<u8>, Vec<u8>, Facts, Awaits) {
        (self.head, self.body, self.facts, self.awaits)
    }

    /// Stores the result of a job, if the request waits for this job.
    pub(super) fn job_ended(&mut self, ended: JobId, result: JobResult<Outcome>) {
        // The session store itself keeps the results of its own requests.
        if let Awaits::Job { job, result: came, .. } = &mut self.awaits
            && *job == ended
        {
            *came = Some(result);
        }
    }

    /// The job that is waited for.
    pub(super) fn job(&self) -> Option<JobId> {
        match self.awaits {
            Awaits::Job { job, .. } => Some(job),
            Awaits::Session(..) | Awaits::Saving(..) | Awaits::Purge(..) => None,
        }
    }

    /// What is expected from the session store.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        match self.awaits {
            Awaits::Session(ticket, _) | Awaits::Saving(ticket, _) => Some(ticket),
            Awaits::Job { .. } | Awaits::Purge(..) => None,
        }
    }

    /// Bytes of memory that it holds.
    pub(super) fn memory(&self) -> usize {
        let response = match &self.awaits {
            Awaits::Saving(_, response) => size_of::<Response>() + body_memory(&response.body),
            Awaits::Job { .. } | Awaits::Session(..) | Awaits::Purge(..) => 0,
        };
        let path = self.facts.path_memory();
        self.head.capacity() + self.body.capacity() + path + response
    }
}

/// Bytes of memory that the content of a response holds.
pub(super) fn body_memory(body: &Body) -> usize {
    match body {
        Body::Bytes(Cow::Borrowed(_)) => 0,
        Body::Bytes(Cow::Owned(bytes)) => bytes.capacity(),
        Body::Source(content) => content.memory(),
    }
}
