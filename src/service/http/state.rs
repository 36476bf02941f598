//! The states of a connection, and the progress of an exchange after a step.

use super::access_log::PendingEntry;
use super::body::ReadingBody;
use super::census::Phase;
use super::lookup::LookingUp;
use super::proxied::Proxied;
use super::sending::Sending;
use super::sending_stored::SendingStored;
use super::tunnel::Tunnel;
use super::waiting::Waiting;
use super::watching::Watching;
use crate::reactor::{Finish, ShortTick, Tick};
use crate::service::Cx;

/// The state of a connection. An idle one is small, and so is one that sends a file, since most
/// responses are files. The other states are boxed.
pub(super) enum State {
    /// Before the first request or between two; no byte of the next one was received.
    Idle { since: Tick },
    /// A part of a head was received, its first byte at `since`; `seen` bytes were parsed.
    Head { since: Tick, seen: u32 },
    /// A body is being read.
    Body(Box<ReadingBody>),
    /// The request waits for a job or a store.
    Waiting(Box<Waiting>),
    /// The file in the output is on its way.
    SendingFile { persistent: bool, began: ShortTick, entry: Option<Box<PendingEntry>> },
    /// Content that doesn't fit the output at once, or that is generated over time.
    Sending(Box<Sending>),
    /// Events are sent as they happen.
    Watching(Box<Watching>),
    /// Another server answers.
    Proxied(Box<Proxied>),
    /// It is looked up what the cache has for the request.
    LookingUp(Box<LookingUp>),
    /// A stored response is on its way.
    SendingStored(Box<SendingStored>),
    /// Bytes pass unchanged between the client and another server.
    Tunnel(Box<Tunnel>),
    /// The connection ends.
    Closing(Finish),
}

/// The progress of an exchange.
pub(super) enum Progress {
    /// The complete response is in the output, and its line in the access log.
    Complete {
        /// Another request may follow.
        persistent: bool,
    },
    /// It continues in a later turn, from this state.
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
            Self::Proxied(_) => Phase::Proxied,
            Self::LookingUp(_) => Phase::Waiting,
            Self::SendingStored(_) => Phase::Sending,
            Self::Tunnel(_) => Phase::Tunnel,
            Self::Closing(_) => Phase::Closing,
        }
    }

    /// The client is gone: nobody need work for its request any more, and another one may begin at its
    /// upstream.
    pub(super) fn cancel(&self, cx: &mut Cx<'_>) {
        match self {
            Self::Waiting(waiting) => {
                if let Some(ticket) = waiting.ticket() {
                    waiting.facts.host.sessions.sessions.forget(ticket);
                }
            }
            Self::Proxied(proxied) => {
                proxied.cancel(cx);
                proxied.make_room(cx);
            }
            Self::Tunnel(tunnel) => {
                tunnel.cancel(cx);
                tunnel.make_room(cx);
            }
            _ => {}
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
            Self::Proxied(proxied) => size_of::<Proxied>() + proxied.memory(),
            Self::LookingUp(looking) => size_of::<LookingUp>() + looking.memory(),
            Self::SendingStored(stored) => size_of::<SendingStored>() + stored.memory(),
            Self::Tunnel(tunnel) => size_of::<Tunnel>() + tunnel.memory(),
        }
    }

    /// Of a response that is on its way: when its request began, and the size of its content in
    /// bytes, if it isn't known before.
    pub(super) fn response(&self) -> Option<(Tick, Option<u64>)> {
        match self {
            Self::Idle { .. } | Self::Head { .. } | Self::Body(_) | Self::Waiting(_) | Self::Closing(_) => None,
            Self::SendingFile { began, .. } => Some(((*began).into(), None)),
            Self::Sending(sending) => Some((sending.body.began, Some(sending.body.size))),
            Self::Watching(watching) => Some((watching.body.began, Some(watching.body.size))),
            Self::SendingStored(stored) => Some((stored.body.began, Some(stored.body.size))),
            Self::LookingUp(_) => None,
            Self::Proxied(proxied) => proxied.body().map(|body| (body.began, Some(body.size))),
            Self::Tunnel(tunnel) => Some((tunnel.body.began, Some(tunnel.body.size))),
        }
    }

    /// The line of the access log that is written when the response ends.
    pub(super) fn take_entry(&mut self) -> Option<Box<PendingEntry>> {
        match self {
            Self::Idle { .. } | Self::Head { .. } | Self::Body(_) | Self::Waiting(_) | Self::Closing(_) => None,
            Self::SendingFile { entry, .. } => entry.take(),
            Self::Sending(sending) => sending.body.entry.take(),
            Self::Watching(watching) => watching.body.entry.take(),
            Self::SendingStored(stored) => stored.body.entry.take(),
            Self::LookingUp(_) => None,
            Self::Proxied(proxied) => proxied.body_mut()?.entry.take(),
            Self::Tunnel(tunnel) => tunnel.body.entry.take(),
        }
    }
}
