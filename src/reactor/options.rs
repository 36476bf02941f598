//! What can be set about the loop, and how long it runs.

use std::time::Duration;

use super::{CAPACITY, SendLimit};
use crate::limits;

/// What an operator can set.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections at once; beyond it the reserve answers.
    pub connections: usize,
    /// Further connections, which are accepted only to be refused in a proper way.
    pub reserve: usize,
    /// Bytes that all connections may hold together, beyond their slots: input that isn't
    /// parsed yet, and output that the peers don't take. When an eighth of it is left, new
    /// connections are refused. At the limit, a connection that needs more is closed.
    pub memory: usize,
    /// Without the peer taking any byte of the output.
    pub send_timeout: Duration,
    /// How fast each accepted connection is sent bytes at most; none: as fast as it takes them.
    pub send_limit: Option<SendLimit>,
    /// Reading and discarding after the last output.
    pub linger: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: CAPACITY - limits::CONNECTION_RESERVE,
            reserve: limits::CONNECTION_RESERVE,
            memory: limits::MEMORY,
            send_timeout: limits::SEND_TIMEOUT,
            send_limit: None,
            linger: limits::LINGER,
        }
    }
}

/// How long [`Reactor::run`] runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Until a [`Closer`], a signal or a protocol ends it.
    Closed,
    /// Until this many connections were accepted and all is over, datagram sockets
    /// included.
    Connections(u64),
    /// Until there is neither a connection nor a datagram socket: for clients.
    /// Nothing is accepted.
    Idle,
}
