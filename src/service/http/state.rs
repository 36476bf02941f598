//! The states of a connection, and what an exchange has come to at the end of a step.

use super::access_log::PendingEntry;
use super::body::ReadingBody;
use super::census::Phase;
use super::sending::Sending;
use super::waiting::Waiting;
use super::watching::Watching;
use crate::reactor::{Finish, Tick};

/// Where a connection is. An idle one is small, and so is one that sends a file, since
/// files are most of what is sent. Everything else is boxed.
pub(super) enum State {
    /// Before the first request or between two; nothing of the next one is there.
    Idle { since: Tick },
    /// Part of a head is there since this moment: `seen` bytes of it were looked at.
    Head { since: Tick, seen: u32 },
    /// A body is being read.
    Body(Box<ReadingBody>),
    /// The request waits for a job or a store.
    Waiting(Box<Waiting>),
    /// The file in the output is on its way.
    SendingFile { persistent: bool, entry: Option<Box<PendingEntry>> },
    /// Content that doesn't fit the output at once, or is made over time.
    Sending(Box<Sending>),
    /// Events are sent as they happen.
    Watching(Box<Watching>),
    /// The connection ends.
    Closing(Finish),
}

/// What an exchange has come to.
pub(super) enum Progress {
    /// The whole response is in the output, and its line in the access log.
    Complete {
        /// Another request may follow.
        persistent: bool,
    },
    /// It goes on in a later turn.
    Pending(State),
}

impl State {
    pub(super) fn phase(&self) -> Phase {
        match self {
            Self::Idle { .. } => Phase::Idle,
            Self::Head { .. } => Phase::Head,
            Self::Body(_) => Phase::Body,
            Self::Waiting(_) => Phase::Waiting,
            Self::SendingFile { .. } => Phase::SendingFile,
            Self::Sending(_) => Phase::Sending,
            Self::Watching(_) => Phase::Watching,
            Self::Closing(_) => Phase::Closing,
        }
    }

    /// Bytes of memory that it holds beyond its own size.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Idle { .. } | Self::Head { .. } | Self::Closing(_) => 0,
            Self::Body(body) => size_of::<ReadingBody>() + body.memory(),
            Self::Waiting(waiting) => size_of::<Waiting>() + waiting.memory(),
            Self::SendingFile { entry, .. } => entry.as_ref().map_or(0, |entry| entry.memory()),
            Self::Sending(sending) => size_of::<Sending>() + sending.memory(),
            Self::Watching(watching) => size_of::<Watching>() + watching.memory(),
        }
    }

    /// The line of the access log that is written when the response ends.
    pub(super) fn take_entry(&mut self) -> Option<Box<PendingEntry>> {
        match self {
            Self::Idle { .. } | Self::Head { .. } | Self::Body(_) | Self::Waiting(_) | Self::Closing(_) => None,
            Self::SendingFile { entry, .. } => entry.take(),
            Self::Sending(sending) => sending.body.entry.take(),
            Self::Watching(watching) => watching.body.entry.take(),
        }
    }
}
