//! A client: what it asks for, how far that is sent, and what it has received.

use super::Dice;
use super::requests::{Case, Kind};
use super::response::{Response, take_chunks};
use super::texts;
use super::world::World;

/// How a connection ended, as its client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Close {
    /// By EOF, after all that was sent.
    Proper,
    /// By a reset.
    Reset,
}

pub(super) struct Client {
    pub(super) cases: Vec<Case>,
    script: Vec<u8>,
    /// Where each request ends.
    ends: Vec<usize>,
    sent: usize,
    /// Where it sends EOF.
    until: usize,
    /// It sends EOF when it has received all, and not before.
    waits: bool,
    /// It sends what is for the tunnel when the 101 is there, and not before.
    waits_for_tunnel: bool,
    /// Where the bytes for the tunnel begin.
    tunnel_at: usize,
    pub(super) has_ended: bool,
    /// At which event the first byte of each request was read.
    begun: Vec<u64>,
    received: Vec<u8>,
    /// How many bytes before these were received and checked.
    checked: u64,
    /// How many bytes the service had sent, when, and at which second.
    produced: Vec<(u64, u64, i64)>,
    responses: usize,
    closing: bool,
    /// The last response came before its request was read, so the service may close.
    is_early: bool,
    /// After a 101: the answer, and how many bytes came through.
    tunnel: Option<(usize, usize)>,
    /// The service sends nothing more.
    pub(super) is_tunnel_over: bool,
    /// What follows isn't understood, since a tunnel was refused.
    is_lost: bool,
}

impl Client {
    pub(super) fn draw(number: usize, world: &mut World<'_>) -> Self {
        let most = world.dice.pick(&[1, 4, 10]);
        let mut cases: Vec<_> =
            (0..world.dice.amount(most)).map(|index| Case::draw((number * 64 + index) as u64 + 1, world)).collect();
        let last = cases.iter().position(|case| matches!(case.kind, Kind::Upgrade | Kind::Old));
        cases.truncate(last.map_or(cases.len(), |last| last + 1));
        let mut this = Self::asking(cases, world);
        if world.dice.one_in(20) {
            this.stop(&mut world.dice);
        }
        (this.waits, this.waits_for_tunnel) = (world.dice.one_in(2), world.dice.one_in(2));
        this
    }

    /// A client that asks this, and waits for all responses.
    pub(super) fn asking(cases: Vec<Case>, world: &World<'_>) -> Self {
        let (mut script, mut ends) = (Vec::new(), Vec::new());
        for case in &cases {
            script.extend_from_slice(&case.bytes);
            ends.push(script.len());
        }
        let tunnel_at = script.len();
        if let Some(case) = cases.last().filter(|case| case.kind == Kind::Upgrade) {
            let length = world.asked[&case.id].tunnel;
            script.extend_from_slice(world.texts.get(texts::of_tunnel(case.id, true), length));
        }
        let until = script.len();
        Self {
            cases,
            script,
            ends,
            sent: 0,
            until,
            waits: true,
            waits_for_tunnel: true,
            tunnel_at,
            has_ended: false,
            begun: Vec::new(),
            received: Vec::new(),
            checked: 0,
            produced: Vec::new(),
            responses: 0,
            closing: false,
            is_early: false,
            tunnel: None,
            is_tunnel_over: false,
            is_lost: false,
        }
    }

    /// The next bytes for the service, at most `most`; none if it waits. Empty is EOF.
    pub(super) fn next(&mut self, most: usize, world: &mut World<'_>) -> Option<&[u8]> {
        if self.has_ended {
            return None;
        }
        let holds = self.waits_for_tunnel && self.tunnel.is_none();
        let until = if holds { self.until.min(self.tunnel_at) } else { self.until };
        let from = self.sent;
        self.sent += most.min(until - from);
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let begun = starts.take(self.cases.len()).filter(|start| *start < self.sent).count();
        self.begun.resize(begun, world.step);
        if from < self.sent {
            return Some(&self.script[from..self.sent]);
        }
        let is_answered = self.responses == self.cases.len() || self.closing;
        if self.sent < self.until && !(holds && is_answered) {
            return None;
        }
        let is_tunnel_over =
            self.tunnel.is_none_or(|(serial, _)| self.is_tunnel_over || !world.given[serial].ends_first);
        if self.waits && self.until == self.script.len() && !(is_answered && is_tunnel_over) {
            return None;
        }
        self.has_ended = true;
        if self.until < self.script.len() {
            self.leave(world);
        }
        Some(&[])
    }

    /// Whether a request that was sent has no response.
    pub(super) fn is_waiting(&self) -> bool {
        let sent = self.ends.iter().filter(|end| **end <= self.sent).count();
        !self.is_lost && !self.closing && self.tunnel.is_none() && self.responses < sent
    }

    /// The service has sent so many bytes.
    pub(super) fn produce(&mut self, bytes: u64, world: &World<'_>) {
        if self.produced.last().is_none_or(|(last, ..)| *last < bytes) {
            self.produced.push((bytes, world.step, world.second()));
        }
    }

    /// Receives bytes, and checks each complete response.
    pub(super) fn receive(&mut self, bytes: &[u8], world: &mut World<'_>) {
        if self.tunnel.is_some() {
            return self.pass(bytes, world);
        }
        self.received.extend_from_slice(bytes);
        while !self.is_lost && self.tunnel.is_none() && !self.received.is_empty() {
            let Some(response) = self.parse(false) else { return };
            self.check(&response, world);
        }
    }

    /// Bytes from a tunnel.
    fn pass(&mut self, bytes: &[u8], world: &World<'_>) {
        let Some((serial, count)) = &mut self.tunnel else { return };
        let given = &world.given[*serial];
        let expected = &world.texts.get(given.tag, given.length)[*count..];
        assert!(expected.starts_with(bytes), "tunnel {:x}: wrong bytes from the origin", given.request);
        *count += bytes.len();
    }

    /// The next response, if it is complete; `ended` if no more bytes come.
    fn parse(&self, ended: bool) -> Option<Response> {
        assert!(self.responses < self.begun.len(), "a response without a request");
        // The service can't know that it is HEAD before it has read the method.
        let start = self.responses.checked_sub(1).map_or(0, |before| self.ends[before]);
        let is_known = self.sent >= start + b"HEAD ".len();
        let method = if is_known { self.cases[self.responses].method() } else { "GET" };
        Response::parse(&self.received, method, ended)
    }

    fn check(&mut self, response: &Response, world: &mut World<'_>) {
        let case = &self.cases[self.responses];
        let name = case.name();
        world.log(|| format!("    {name} gets {}, {} bytes", response.status, response.body.len()));
        assert!(!self.closing, "{name}: a response after the last one");
        let (checked, begun) = (self.checked, self.begun[self.responses]);
        self.received.drain(..response.length);
        self.checked += response.length as u64;
        if response.status == 100 || response.status == 103 {
            assert!(case.kind != Kind::Old, "{name}: an interim response");
            return;
        }
        let produced = self.produced.iter().find(|(bytes, ..)| *bytes > checked).expect("it was sent");
        case.check(response, begun, (produced.1, produced.2), true, world);
        self.closing = response.field("Connection") == Some("close") || response.open_ended;
        let serial = response.field("X-Origin").and_then(|serial| serial.parse::<usize>().ok());
        // An origin that closes an idle connection may have sent a 408 before the request came.
        self.is_early = serial.map_or(response.status == 408, |serial| world.given[serial].is_early);
        self.responses += 1;
        if response.status == 101 {
            self.tunnel = Some((serial.expect("a number"), 0));
            let early = std::mem::take(&mut self.received);
            self.pass(&early, world);
        } else if case.kind == Kind::Upgrade {
            // What was meant for the tunnel is no request.
            self.is_lost = self.sent > self.tunnel_at;
        }
    }

    /// The service has closed the connection: checks that nothing is missing without a reason.
    pub(super) fn closed(mut self, close: Close, world: &mut World<'_>) {
        if self.is_lost {
            return;
        }
        if let Some((serial, count)) = self.tunnel {
            let given = &world.given[serial];
            let is_cut = count < given.length;
            let is_stopped = self.until < self.script.len();
            assert!(!is_cut || close == Close::Reset, "tunnel {:x}: cut without a reset", given.request);
            assert!(!is_cut || world.fault > 0 || is_stopped, "tunnel {:x}: cut without a reason", given.request);
            return world.count("tunnels");
        }
        if close == Close::Proper
            && !self.received.is_empty()
            && let Some(response) = self.parse(true)
        {
            self.check(&response, world);
        }
        if !self.received.is_empty() {
            return self.check_cut(world);
        }
        if self.closing || self.is_early || self.responses == self.cases.len() {
            return;
        }
        let name = self.cases[self.responses].name();
        let is_incomplete = self.sent < self.ends[self.responses];
        // A client that has sent nothing isn't told.
        let begun = self.begun.get(self.responses).copied().unwrap_or(1);
        let is_excused = world.fault >= begun && (close == Close::Reset || is_incomplete);
        let is_stopped = is_incomplete && self.has_ended;
        assert!(is_excused || is_stopped || world.draining, "{name}: no response");
    }

    /// What was received last is a part of a response.
    fn check_cut(&mut self, world: &mut World<'_>) {
        assert!(self.responses < self.begun.len(), "half a response without a request");
        let (case, begun) = (&self.cases[self.responses], self.begun[self.responses]);
        let name = case.name();
        let is_excused = world.fault >= begun || self.sent < self.ends[self.responses];
        world.count("cut responses");
        let Some(end) = memchr::memmem::find(&self.received, b"\r\n\r\n") else {
            return assert!(is_excused, "{name}: its head is cut without a reason");
        };
        let head = &self.received[..end + 4];
        let mut response = Response::parse(head, "HEAD", true).expect("a head");
        assert!(is_excused, "{name}: its response is cut without a reason");
        let rest = &self.received[end + 4..];
        if response.field("Transfer-Encoding").is_some() {
            take_chunks(rest, &mut response.body);
        } else {
            response.body.extend_from_slice(rest);
        }
        let checked = self.checked;
        let produced = self.produced.iter().find(|(bytes, ..)| *bytes > checked).expect("it was sent");
        case.check(&response, begun, (produced.1, produced.2), false, world);
        world.count("cut responses with a head");
    }

    /// The client is gone.
    pub(super) fn leave(&self, world: &mut World<'_>) {
        for case in &self.cases {
            world.asked.get_mut(&case.id).expect("it was asked").is_left = true;
        }
    }

    /// A random place for EOF.
    pub(super) fn stop(&mut self, dice: &mut Dice) {
        self.until = self.sent + dice.below(self.until - self.sent + 1);
    }
}
