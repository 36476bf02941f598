//! The phases of an exchange, each with exactly what it needs.

use crate::app::{Body, Outcome, Response};
use crate::auth::Checked;
use crate::http::framing::BodyReader;
use crate::reactor::{Finish, Pace, Tick};
use crate::session::pending::Ticket;

use super::access::Exchanged;
use super::watch::Watching;

/// Where the exchange is. What an idle connection is in is small; what a busy
/// one needs beyond that is boxed.
pub(super) enum Phase {
    /// Between two requests; nothing of the next one is there.
    Idle { since: Tick },
    /// Before the first request, or part of a head is there: `seen` octets of it
    /// were looked at. It must be whole by the deadline.
    Head { deadline: Tick, seen: u32 },
    /// A body is being read.
    Body(Box<Collecting>),
    /// Whether the request may pass is being found out.
    Checking(Box<Checking>),
    /// An application's job runs, or the store of sessions is asked.
    Parked(Box<Parked>),
    /// The file in the output is on its way.
    SendingFile { persistent: bool, exchanged: Option<Box<Exchanged>> },
    /// Content that doesn't fit the output at once, or is made over time, is on its way.
    Sending(Box<Sending>),
    /// Events are sent as they happen.
    Watching(Box<Watching>),
    /// All is said.
    Closing(Finish),
}

/// A request whose body is being read.
pub(super) struct Collecting {
    /// The head, to be parsed again when the body is there.
    pub(super) head: Vec<u8>,
    pub(super) reader: BodyReader,
    pub(super) content: Vec<u8>,
    /// Octets of content so far.
    pub(super) read: u64,
    pub(super) limit: u64,
    /// Whether anybody wants it; else it is read to get past it.
    pub(super) wanted: bool,
    pub(super) pace: Pace,
}

/// A request whose credentials are checked.
pub(super) struct Checking {
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
    pub(super) realm: usize,
    pub(super) persistent: bool,
    pub(super) deadline: Tick,
    /// What came of it, once it is there; none inside if it panicked.
    pub(super) checked: Option<Option<Checked>>,
}

/// A request that waits for somebody else.
pub(super) struct Parked {
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
    pub(super) app: usize,
    pub(super) persistent: bool,
    pub(super) deadline: Tick,
    pub(super) awaits: Awaits,
}

/// What a parked request waits for.
pub(super) enum Awaits {
    /// A job: what came of it, once it is there; none inside if it panicked.
    Job(Option<Option<Outcome>>),
    /// The visitor's session; with it the application is asked, for the first time or
    /// with what came of its job.
    Session(Ticket, Option<Outcome>),
    /// The session to be kept; then this is the answer.
    Keeping(Ticket, Box<Response>),
}

/// An answer whose content goes into the output bit by bit.
pub(super) struct Sending {
    pub(super) body: Body,
    pub(super) chunked: bool,
    /// Octets of content so far.
    pub(super) sent: u64,
    pub(super) persistent: bool,
    pub(super) exchanged: Option<Box<Exchanged>>,
}

/// Its place in the census.
const WATCHING: usize = 6;

impl Phase {
    const COUNT: usize = 9;

    pub(super) fn name(&self) -> &'static str {
        ["Idle", "Head", "Body", "Parked", "SendingFile", "Sending", "Watching", "Closing", "Checking"][self.index()]
    }

    /// Octets of what is boxed, as far as strangers decide how many they are.
    #[inline]
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Idle { .. } | Self::Head { .. } | Self::SendingFile { .. } | Self::Closing(_) => 0,
            Self::Watching(_) => 0,
            Self::Body(collecting) => collecting.head.len() + collecting.content.capacity(),
            Self::Checking(checking) => checking.head.len() + checking.body.len(),
            Self::Parked(parked) => {
                let answer = if let Awaits::Keeping(_, response) = &parked.awaits { size(&response.body) } else { 0 };
                parked.head.len() + parked.body.len() + answer
            }
            Self::Sending(sending) => size(&sending.body),
        }
    }

    /// What is awaited from the store of sessions.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Parked(parked) => match parked.awaits {
                Awaits::Session(ticket, _) | Awaits::Keeping(ticket, _) => Some(ticket),
                Awaits::Job(_) => None,
            },
            _ => None,
        }
    }

    fn index(&self) -> usize {
        match self {
            Self::Idle { .. } => 0,
            Self::Head { .. } => 1,
            Self::Body(_) => 2,
            Self::Parked(_) => 3,
            Self::SendingFile { .. } => 4,
            Self::Sending(_) => 5,
            Self::Watching(_) => WATCHING,
            Self::Closing(_) => 7,
            Self::Checking(_) => 8,
        }
    }
}

fn size(body: &Body) -> usize {
    match body {
        Body::Bytes(bytes) => bytes.len(),
        Body::Source(_) => 0,
    }
}

/// How many connections are in each phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census([u32; Phase::COUNT]);

impl Census {
    pub(super) fn enter(&mut self, phase: &Phase) {
        self.0[phase.index()] += 1;
    }

    /// How many watch.
    pub(super) fn watching(&self) -> usize {
        self.0[WATCHING] as usize
    }

    pub(super) fn leave(&mut self, phase: &Phase) {
        self.0[phase.index()] -= 1;
    }
}
