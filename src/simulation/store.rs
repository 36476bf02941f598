//! A remote store of sessions: the service's client, and a server that speaks RESP.

use std::collections::BTreeMap;

use super::Dice;
use crate::reactor::{Ending, Finish, Handle, Protocol, TestContext, Tick, Time, Want};
use crate::service::testing::{Peer, ends};
use crate::service::{Message, Service, Shared};

/// The connection between the service's client and the server.
pub(super) struct StoreLink {
    pub(super) handle: Handle,
    service: Service,
    context: TestContext<Service>,
    peer: Peer,
    want: Want,
    /// Bytes of commands that the server has received.
    commands: Vec<u8>,
    /// Bytes of replies that the client hasn't received.
    replies: Vec<u8>,
}

/// The records of the server.
#[derive(Default)]
pub(super) struct Server(pub(super) BTreeMap<Vec<u8>, Vec<u8>>);

impl Server {
    /// Executes the first command of `commands`, if it is complete, and writes the reply.
    fn execute(&mut self, commands: &mut Vec<u8>, replies: &mut Vec<u8>) -> bool {
        let Some((parts, length)) = parse_command(commands) else { return false };
        commands.drain(..length);
        match (&*parts[0], &parts[1..]) {
            (b"GET", [key]) => match self.0.get(key) {
                Some(value) => {
                    replies.extend(format!("${}\r\n", value.len()).as_bytes());
                    replies.extend(value);
                    replies.extend(b"\r\n");
                }
                None => replies.extend(b"$-1\r\n"),
            },
            (b"SET", [key, value, ..]) => {
                self.0.insert(key.clone(), value.clone());
                replies.extend(b"+OK\r\n");
            }
            (b"DEL", [key]) => {
                let removed = self.0.remove(key).is_some();
                replies.extend(format!(":{}\r\n", u8::from(removed)).as_bytes());
            }
            (name, _) => panic!("an unknown command: {}", name.escape_ascii()),
        }
        true
    }
}

/// A command (an array of bulk strings), and its length in bytes.
fn parse_command(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let number = |at: usize| {
        let end = at + memchr::memmem::find(&bytes[at..], b"\r\n")?;
        let number: usize = std::str::from_utf8(&bytes[at + 1..end]).expect("text").parse().expect("a number");
        Some((number, end + 2))
    };
    let (count, mut at) = number(0)?;
    let mut parts = Vec::new();
    for _ in 0..count {
        let (length, begin) = if at < bytes.len() { number(at)? } else { return None };
        parts.push(bytes.get(begin..begin + length)?.to_vec());
        at = begin + length + 2;
    }
    (at <= bytes.len()).then_some((parts, at))
}

impl StoreLink {
    /// The service opened a connection to the store.
    pub(super) fn new(handle: Handle, service: Service) -> Self {
        let (context, peer) = (TestContext::of(handle), Peer::default());
        Self { handle, service, context, peer, want: Want::NOTHING, commands: Vec::new(), replies: Vec::new() }
    }

    pub(super) fn settle(&mut self, shared: &mut Shared, time: Time, draining: bool) {
        let Self { service, context, .. } = self;
        self.want = self.peer.turn(|io| service.advance(io, &mut context.context(shared, time, draining)));
    }

    pub(super) fn context(&mut self) -> &mut TestContext<Service> {
        &mut self.context
    }

    pub(super) fn deliver(&mut self, message: Message) {
        self.service.deliver(message);
    }

    pub(super) fn deadline(&self) -> Option<Tick> {
        self.want.wake
    }

    /// Whether the client wants to close.
    pub(super) fn is_over(&self) -> bool {
        self.want.finish != Finish::No && (self.peer.output.is_empty() || self.want.finish == Finish::Abort)
    }

    /// The server receives, executes, and replies: all of it, or a random part. False if
    /// nothing happened.
    pub(super) fn step(&mut self, server: &mut Server, dice: Option<&mut Dice>) -> bool {
        let all = (usize::MAX, usize::MAX, usize::MAX);
        let (receive, execute, reply) =
            dice.map_or(all, |dice| (dice.amount(2_000), dice.below(3), dice.amount(2_000)));
        let received = self.peer.output.take(receive);
        let mut moved = !received.is_empty();
        self.commands.extend(received);
        for _ in 0..execute {
            if !server.execute(&mut self.commands, &mut self.replies) {
                break;
            }
            moved = true;
        }
        let count = reply.min(self.replies.len()).min(self.peer.input_room());
        moved |= count > 0;
        let replies: Vec<u8> = self.replies.drain(..count).collect();
        self.peer.send(&replies);
        moved
    }

    /// The server executes `count` more commands, and the connection is lost.
    pub(super) fn lose(&mut self, server: &mut Server, count: usize) {
        for _ in 0..count {
            server.execute(&mut self.commands, &mut self.replies);
        }
        self.replies.clear();
        self.peer.end();
    }

    /// Tells the client that its connection is closed.
    pub(super) fn closed(mut self, shared: &mut Shared, time: Time, draining: bool) -> TestContext<Service> {
        let mut cx = self.context.context(shared, time, draining);
        self.service.closed(Ending { unsent: 0, error: None }, ends(), &mut cx);
        self.context
    }
}
