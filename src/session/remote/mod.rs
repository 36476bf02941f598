//! The protocols of remote stores, as state machines without sockets.
//!
//! ```text
//! Operation ─▶ Pipeline::write ─▶ bytes    bytes ─▶ Pipeline::read ─▶ Reply
//! ```
//!
//! One connection carries the operations of all exchanges, pipelined. An operation is one
//! command or two. Replies come in the order of the commands, and the [`Pipeline`] remembers
//! which command belongs to which ticket. There are two protocols: `redis` and `kv`. The
//! owner of the connection reads and writes the bytes and decides about timeouts.

mod kv;
mod redis;
pub mod resp;
mod store_url;

use std::collections::VecDeque;
use std::fmt;

use super::Id;
use super::pending::{Operation, Reply, Ticket};
use crate::reactor::Tick;
use kv::Kv;
use redis::Redis;
pub use redis::{PREFIX, key};
pub use store_url::{StoreProtocol, StoreUrl};

/// Longest reply in bytes: the largest session and the overhead of a reply; less than the input
/// buffer.
const REPLY: usize = 48 * 1024;

/// Why the connection can't be used any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProtocolError(pub String);

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A command to a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Command {
    /// Authenticate, or select the database.
    Login,
    Get,
    Put,
    Delete,
}

/// The store's reply to one command.
#[derive(Clone, PartialEq, Eq, Debug)]
enum CommandReply {
    Value(Vec<u8>),
    /// The key does not exist.
    Missing,
    Done,
    /// An error, with its text.
    Error(String),
}

/// A command whose reply is pending.
struct Expected {
    command: Command,
    /// The ticket of its operation; none if it belongs to no operation.
    ticket: Option<Ticket>,
    /// It is the last command of its operation.
    last: bool,
    since: Tick,
}

enum Codec {
    Redis(Redis),
    Kv(Kv),
}

/// The pipelined operations of one connection.
pub struct Pipeline {
    codec: Codec,
    expected: VecDeque<Expected>,
    /// No command of the current operation has failed yet.
    succeeded: bool,
    /// The last error of the store.
    error: Option<String>,
    /// The store replied that another server is to be used.
    wrong_server: bool,
}

/// What [`Pipeline::read`] has read.
#[derive(Debug, PartialEq)]
pub struct Progress {
    /// Bytes consumed.
    pub consumed: usize,
    /// A complete reply.
    pub reply: Option<(Ticket, Reply)>,
}

impl Pipeline {
    /// A pipeline for a new connection to the store `url`.
    pub fn new(url: &StoreUrl) -> Self {
        let codec = match &url.protocol {
            StoreProtocol::Redis { user, password, database } => {
                Codec::Redis(Redis::new(user.clone(), password.clone(), *database))
            }
            StoreProtocol::Kv { token } => Codec::Kv(Kv::new(url.authority(), token.as_deref())),
        };
        Self { codec, expected: VecDeque::new(), succeeded: true, error: None, wrong_server: false }
    }

    /// Writes the first commands of a connection.
    pub fn begin(&mut self, now: Tick, out: &mut Vec<u8>) {
        let count = match &self.codec {
            Codec::Redis(redis) => redis.begin(out),
            Codec::Kv(_) => 0,
        };
        for _ in 0..count {
            self.expect(Command::Login, None, true, now);
        }
    }

    /// Writes an operation.
    pub fn write(&mut self, ticket: Ticket, operation: &Operation, now: Tick, out: &mut Vec<u8>) {
        match operation {
            Operation::Load(id) => self.command(Command::Get, *id, None, ticket, true, now, out),
            Operation::End(id) => self.command(Command::Delete, *id, None, ticket, true, now, out),
            Operation::Save { id, was, text, seconds } => {
                let old = was.filter(|was| was != id);
                self.command(Command::Put, *id, Some((text, *seconds)), ticket, old.is_none(), now, out);
                if let Some(old) = old {
                    self.command(Command::Delete, old, None, ticket, true, now, out);
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a command")]
    fn command(
        &mut self,
        command: Command,
        id: Id,
        value: Option<(&[u8], i64)>,
        ticket: Ticket,
        last: bool,
        now: Tick,
        out: &mut Vec<u8>,
    ) {
        match &mut self.codec {
            Codec::Redis(_) => redis::write(command, id, value, out),
            Codec::Kv(kv) => kv.write(command, id, value, out),
        }
        self.expect(command, Some(ticket), last, now);
    }

    fn expect(&mut self, command: Command, ticket: Option<Ticket>, last: bool, since: Tick) {
        self.expected.push_back(Expected { command, ticket, last, since });
    }

    /// Reads one reply at most. Call it until it consumes nothing.
    ///
    /// # Errors
    /// If the input is no reply of such a store, or the store refuses the login, or it replies
    /// that another server is to be used.
    pub fn read(&mut self, input: &mut [u8]) -> Result<Progress, ProtocolError> {
        let Some(expected) = self.expected.front() else {
            return if input.is_empty() { Ok(Progress { consumed: 0, reply: None }) } else { Err(unexpected()) };
        };
        let (consumed, reply) = match &mut self.codec {
            Codec::Redis(_) => redis::read(input)?,
            Codec::Kv(kv) => kv.read(input)?,
        };
        let Some(reply) = reply else {
            // An incomplete reply that fills the buffer can never be completed.
            let stuck = consumed == 0 && input.len() > REPLY;
            return if stuck { Err(too_long()) } else { Ok(Progress { consumed, reply: None }) };
        };
        let Expected { command, ticket, last, .. } = *expected;
        self.expected.pop_front();
        let reply = match (command, reply) {
            (Command::Login, CommandReply::Error(text)) => {
                return Err(ProtocolError(format!("the store refuses the login: {text}")));
            }
            (_, CommandReply::Error(text)) if redis::is_wrong_server(&text) => {
                self.wrong_server = true;
                return Err(ProtocolError(format!("the server can't keep sessions now: {text}")));
            }
            (_, CommandReply::Error(text)) => {
                self.error = Some(text);
                Reply::Failed
            }
            (Command::Get, CommandReply::Value(value)) => Reply::Loaded(Some(value)),
            (Command::Get, CommandReply::Missing) => Reply::Loaded(None),
            (Command::Put | Command::Login, CommandReply::Done)
            | (Command::Delete, CommandReply::Done | CommandReply::Missing) => Reply::Saved,
            _ => return Err(unexpected()),
        };
        self.succeeded &= reply != Reply::Failed;
        let reply = ticket.filter(|_| last).map(|ticket| (ticket, if self.succeeded { reply } else { Reply::Failed }));
        self.succeeded |= last;
        Ok(Progress { consumed, reply })
    }

    /// How many replies are pending.
    pub fn len(&self) -> usize {
        self.expected.len()
    }

    /// Whether none is pending.
    pub fn is_empty(&self) -> bool {
        self.expected.is_empty()
    }

    /// When the oldest pending command was written.
    pub fn oldest_since(&self) -> Option<Tick> {
        self.expected.front().map(|expected| expected.since)
    }

    /// Whether the connection takes no more operations: it closes after the pending ones.
    pub fn is_closing(&self) -> bool {
        matches!(&self.codec, Codec::Kv(kv) if kv.is_closing())
    }

    /// Whether the store replied that another server is to be used.
    pub fn is_wrong_server(&self) -> bool {
        self.wrong_server
    }

    /// Takes the last error of the store.
    pub fn error(&mut self) -> Option<String> {
        self.error.take()
    }
}

fn unexpected() -> ProtocolError {
    ProtocolError("the store sent an unexpected reply".to_owned())
}

fn too_long() -> ProtocolError {
    ProtocolError("the reply is too long".to_owned())
}

#[cfg(test)]
mod tests;
