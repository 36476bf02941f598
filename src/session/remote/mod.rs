//! A store that is somewhere else: what is said on the connection to it.
//!
//! ```text
//! Question ─▶ Courier::ask ─▶ bytes      bytes ─▶ Courier::read ─▶ Reply
//! ```
//!
//! One connection carries the questions of all exchanges, pipelined: a question is one
//! command or two, answers come in the order of the commands, and the [`Courier`] keeps
//! which belong to which ticket. In two languages: `redis` and `kv`.
//! Who reads or writes the bytes, and when to give up, is the protocol's business that
//! has the connection.

mod kv;
mod redis;
pub mod resp;
mod store_url;

use std::collections::VecDeque;
use std::fmt;

use super::Id;
use super::pending::{Question, Reply, Ticket};
use crate::reactor::Tick;
use kv::Kv;
use redis::Redis;
pub use redis::{PREFIX, key};
pub use store_url::{StoreProtocol, StoreUrl};

/// Longest reply in bytes: the largest session with all that belongs to a reply, and
/// less than fits into what is received at once.
const REPLY: usize = 48 * 1024;

/// After what came the connection is of no use. A sentence tells why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault(pub String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a store is told to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Command {
    /// To let us in.
    Begin,
    Get,
    Put,
    Delete,
}

/// What it says to one command.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Answer {
    Value(Vec<u8>),
    /// There is none, or there is none any more.
    Nothing,
    Done,
    /// It doesn't, and why.
    Refused(String),
}

/// A command whose answer is awaited.
struct Expected {
    command: Command,
    /// Whom it is for; none if it belongs to no question.
    ticket: Option<Ticket>,
    /// It is the last of its question.
    last: bool,
    since: Tick,
}

enum Language {
    Redis(Redis),
    Kv(Kv),
}

/// One connection's worth of questions and answers.
pub struct Courier {
    language: Language,
    expected: VecDeque<Expected>,
    /// The commands before in the same question were done.
    fine: bool,
    /// What the store refused last.
    refusal: Option<String>,
}

/// What was read.
#[derive(Debug, PartialEq)]
pub struct Read {
    /// Bytes that are understood.
    pub consumed: usize,
    /// An answer that is complete.
    pub reply: Option<(Ticket, Reply)>,
}

impl Courier {
    /// For a new connection to `place`.
    pub fn new(place: &StoreUrl) -> Self {
        let language = match &place.protocol {
            StoreProtocol::Redis { user, password, database } => {
                Language::Redis(Redis::new(user.clone(), password.clone(), *database))
            }
            StoreProtocol::Kv { token } => Language::Kv(Kv::new(place.authority(), token.as_deref())),
        };
        Self { language, expected: VecDeque::new(), fine: true, refusal: None }
    }

    /// Writes what a connection begins with.
    pub fn begin(&mut self, now: Tick, out: &mut Vec<u8>) {
        let count = match &self.language {
            Language::Redis(redis) => redis.begin(out),
            Language::Kv(_) => 0,
        };
        for _ in 0..count {
            self.expect(Command::Begin, None, true, now);
        }
    }

    /// Writes a question.
    pub fn ask(&mut self, ticket: Ticket, question: &Question, now: Tick, out: &mut Vec<u8>) {
        match question {
            Question::Load(id) => self.command(Command::Get, *id, None, ticket, true, now, out),
            Question::End(id) => self.command(Command::Delete, *id, None, ticket, true, now, out),
            Question::Save { id, was, text, seconds } => {
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
        match &mut self.language {
            Language::Redis(_) => redis::write(command, id, value, out),
            Language::Kv(kv) => kv.write(command, id, value, out),
        }
        self.expect(command, Some(ticket), last, now);
    }

    fn expect(&mut self, command: Command, ticket: Option<Ticket>, last: bool, since: Tick) {
        self.expected.push_back(Expected { command, ticket, last, since });
    }

    /// Reads what came, as far as one reply goes. Call it until nothing is consumed.
    ///
    /// # Errors
    /// If it isn't what such a store says, or it doesn't let us in.
    pub fn read(&mut self, input: &mut [u8]) -> Result<Read, Fault> {
        let Some(expected) = self.expected.front() else {
            return if input.is_empty() { Ok(Read { consumed: 0, reply: None }) } else { Err(unasked()) };
        };
        let (consumed, answer) = match &mut self.language {
            Language::Redis(_) => redis::read(input)?,
            Language::Kv(kv) => kv.read(input)?,
        };
        let Some(answer) = answer else {
            // What isn't whole and fills all there is would never become whole.
            let stuck = consumed == 0 && input.len() > REPLY;
            return if stuck { Err(too_long()) } else { Ok(Read { consumed, reply: None }) };
        };
        let Expected { command, ticket, last, .. } = *expected;
        self.expected.pop_front();
        let reply = match (command, answer) {
            (Command::Begin, Answer::Refused(why)) => return Err(Fault(format!("it doesn't let us in: {why}"))),
            (_, Answer::Refused(why)) => {
                self.refusal = Some(why);
                Reply::Failed
            }
            (Command::Get, Answer::Value(value)) => Reply::Loaded(Some(value)),
            (Command::Get, Answer::Nothing) => Reply::Loaded(None),
            (Command::Put | Command::Begin, Answer::Done) | (Command::Delete, Answer::Done | Answer::Nothing) => {
                Reply::Saved
            }
            _ => return Err(unasked()),
        };
        self.fine &= reply != Reply::Failed;
        let reply = ticket.filter(|_| last).map(|ticket| (ticket, if self.fine { reply } else { Reply::Failed }));
        self.fine |= last;
        Ok(Read { consumed, reply })
    }

    /// How many answers are awaited.
    pub fn len(&self) -> usize {
        self.expected.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.expected.is_empty()
    }

    /// Since when the oldest answer is awaited.
    pub fn waits_since(&self) -> Option<Tick> {
        self.expected.front().map(|expected| expected.since)
    }

    /// Whether this connection can't carry more questions: it ends after what was asked.
    pub fn is_over(&self) -> bool {
        matches!(&self.language, Language::Kv(kv) if kv.is_over())
    }

    /// What the store refused since this was last asked.
    pub fn refusal(&mut self) -> Option<String> {
        self.refusal.take()
    }
}

fn unasked() -> Fault {
    Fault("what it says is no answer to what was asked".to_owned())
}

fn too_long() -> Fault {
    Fault("what it says is longer than any session".to_owned())
}

#[cfg(test)]
mod tests;
