//! How the connection of a tool is opened: the peer accepts it, and perhaps TLS begins.
//!
//! ```text
//! Connecting ──accepted──► Handshaking ──TLS is there, or none is wanted──► open
//!     │                        ▲
//!     └ failed: the next       └ STARTTLS, on a connection that was open
//!       address is tried
//! ```

use std::io;
use std::net::SocketAddr;

use super::ClientError;
use super::steps::Steps;
use crate::console::OutputQueue;
use crate::reactor::{Io, Tick, TlsFailure};

/// A connection that isn't open yet.
#[derive(Debug)]
pub(super) enum Opening {
    /// It is asked for, since the first call of `advance`.
    Connecting {
        /// That moment.
        since: Option<Tick>,
    },
    /// The peer has accepted it; the handshake of TLS isn't over.
    Handshaking {
        /// When it began.
        since: Tick,
    },
}

impl Opening {
    /// A connection that is asked for.
    pub(super) const NEW: Self = Self::Connecting { since: None };

    /// Looks how far it is. True if the connection is open.
    pub(super) fn advance(&mut self, io: &Io<'_>, now: Tick, steps: Steps, output: &mut OutputQueue) -> bool {
        if let Self::Connecting { since } = self {
            let since = *since.get_or_insert(now);
            let connected = io.ends.security().is_tls() && io.ends.is_connected();
            if connected || io.established {
                steps.connected(io.ends.peer(), since, now, output);
                *self = Self::Handshaking { since: now };
            }
        }
        let Self::Handshaking { since } = *self else { return false };
        if io.established
            && let Some(facts) = io.ends.security().facts()
        {
            steps.secured(facts, since, now, output);
        }
        io.established
    }

    /// When this step began.
    pub(super) fn since(&self, now: Tick) -> Tick {
        match self {
            Self::Connecting { since } => since.unwrap_or(now),
            Self::Handshaking { since } => *since,
        }
    }

    /// What times out in this step. None while connecting: the next address is tried.
    pub(super) fn timeout(&self) -> Option<&'static str> {
        match self {
            Self::Connecting { .. } => None,
            Self::Handshaking { .. } => Some("the TLS handshake"),
        }
    }

    /// Why the connection isn't open, when it was closed. None if another address can be tried.
    pub(super) fn closed(
        &self,
        error: Option<io::Error>,
        peer: Option<SocketAddr>,
        has_others: bool,
    ) -> Option<ClientError> {
        match self {
            Self::Connecting { .. } if has_others => None,
            Self::Connecting { .. } => Some(ClientError::connect(peer, error)),
            Self::Handshaking { .. } => Some(ClientError::Tls(TlsFailure::Cut)),
        }
    }
}
