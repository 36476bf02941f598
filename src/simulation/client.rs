//! A client: its requests, how far they are sent, and what it received.

use std::time::Duration;

use super::Dice;
use super::cases::{Case, Expected};
use super::reload;
use super::response::{Response, take_chunks};
use super::world::World;
use crate::http::event_stream;
use crate::limits;
use crate::reactor::Tick;

pub(super) struct Client {
    pub(super) cases: Vec<Case>,
    /// All requests, one after another.
    script: Vec<u8>,
    /// Where each request ends in the script.
    ends: Vec<usize>,
    /// Bytes that the server has read.
    sent: usize,
    /// Where the client sends EOF: at the end of the script, or earlier.
    until: usize,
    /// When the server read the first byte of each request, and the last.
    begun: Vec<Tick>,
    whole: Vec<Tick>,
    /// The number of the configuration in use when the first byte of each request was read.
    configurations: Vec<u64>,
    last_sent: Option<Tick>,
    received: Vec<u8>,
    /// The number of complete responses.
    responses: usize,
    /// The connection closes after the last response that was received.
    closing: bool,
    pub(super) overloaded: bool,
    /// The queues of this connection's jobs were full at least once.
    pub(super) crowded: bool,
}

impl Client {
    pub(super) fn draw(dice: &mut Dice, world: &World<'_>, overloaded: bool) -> Self {
        let name = format!("client-{}", dice.roll());
        let mut cases: Vec<_> =
            (0..dice.amount(12)).flat_map(|_| Case::draw(dice, world.huge, &name, world.reloads)).collect();
        // A request after a stream of events is never answered.
        let last = cases.iter().position(|case| matches!(case.content, Expected::Events));
        cases.truncate(last.map_or(cases.len(), |last| last + 1));
        let (mut script, mut ends) = (Vec::new(), Vec::new());
        for case in &cases {
            script.extend_from_slice(&case.bytes);
            ends.push(script.len());
        }
        let until = script.len();
        let (begun, whole, received) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            cases,
            script,
            ends,
            sent: 0,
            until,
            begun,
            whole,
            configurations: Vec::new(),
            last_sent: None,
            received,
            responses: 0,
            closing: false,
            overloaded,
            crowded: false,
        }
    }

    /// Bytes that it will still send.
    pub(super) fn unsent(&self) -> usize {
        self.until - self.sent
    }

    /// Moves EOF to a random place in the unsent bytes.
    pub(super) fn stop_within(&mut self, dice: &mut Dice) {
        self.until = self.sent + dice.below(self.unsent() + 1);
    }

    /// The deadline of the first head. All links are opened at the beginning.
    fn first_deadline(&self) -> Tick {
        Tick::default().after(if self.overloaded { limits::LINGER } else { limits::HEADER_TIMEOUT })
    }

    /// Whether only events can come.
    pub(super) fn watches(&self) -> bool {
        let last_is_events = matches!(self.cases.last().map(|case| &case.content), Some(Expected::Events));
        last_is_events && self.responses + 1 == self.cases.len() && self.sent == self.script.len() && !self.overloaded
    }

    /// The number of the last event that it received.
    pub(super) fn last_event(&self) -> Option<u64> {
        let text = String::from_utf8_lossy(&self.received);
        event_stream::number(text.rsplit_once("id: ")?.1.split('\n').next()?.as_bytes())
    }

    fn start_of(&self, request: usize) -> usize {
        request.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    /// The next bytes, at most `most`.
    pub(super) fn send(&mut self, most: usize, world: &World<'_>) -> &[u8] {
        let now = world.now;
        let from = self.sent;
        self.sent += most.min(self.until - from);
        while self.begun.len() < self.cases.len() && self.start_of(self.begun.len()) < self.sent {
            self.begun.push(now);
            self.configurations.push(world.configuration);
        }
        while self.whole.len() < self.cases.len() && self.ends[self.whole.len()] <= self.sent {
            self.whole.push(now);
        }
        self.last_sent = Some(now);
        &self.script[from..self.sent]
    }

    /// Receives bytes, and checks each complete response.
    pub(super) fn receive(&mut self, bytes: &[u8], world: &mut World<'_>) {
        self.received.extend_from_slice(bytes);
        while let Some(response) = self.parse(false) {
            self.check(&response, world);
        }
    }

    /// The next response, if it is complete; `ended` if no more bytes come.
    fn parse(&self, ended: bool) -> Option<Response> {
        if self.received.is_empty() {
            return None;
        }
        let case = self.cases.get(self.responses).expect("no response without a request");
        // The server can't know that it is HEAD before it has read the method.
        let method_sent = self.sent >= self.start_of(self.responses) + b"HEAD ".len();
        let method = if method_sent { case.method() } else { "GET" };
        let response = Response::parse(&self.received, method, ended);
        if response.is_none() && ended && matches!(case.content, Expected::CutAfter(_)) {
            return self.parse_cut();
        }
        response
    }

    /// A response whose body ended in the middle of the chunked coding.
    fn parse_cut(&self) -> Option<Response> {
        let end = memchr::memmem::find(&self.received, b"\r\n\r\n")? + 4;
        let mut response = Response::parse(&self.received[..end], "HEAD", true)?;
        take_chunks(&self.received[end..], &mut response.body);
        response.length = self.received.len();
        response.open_ended = true;
        Some(response)
    }

    /// Checks that a response is right at this moment.
    fn check(&mut self, response: &Response, world: &mut World<'_>) {
        let index = self.responses;
        let case = &self.cases[index];
        let name = case.name();
        world.log(|| format!("    request {index} gets {}, {} bytes", response.status, response.body.len()));
        *world.statuses.entry(response.status).or_default() += 1;
        assert!(!self.closing, "{name}: a response after the last one");
        assert!(index < self.begun.len(), "{name}: a response before the request");
        self.received.drain(..response.length);
        if response.status == 100 {
            assert!(case.interim, "{name}: 100 isn't expected");
            return;
        }
        let whole = index < self.whole.len();
        let closes = response.field("Connection") == Some("close");
        let expected = response.status == case.status;
        let must_close = if expected { Some(case.closes) } else { self.alternative(response.status, world) };
        let must_close = must_close.unwrap_or_else(|| panic!("{name}: {}", response.head));
        assert!(whole || closes, "{name}: a response before the request is complete, and no close");
        assert!(closes || !must_close, "{name}: it doesn't close: {}", response.head);
        assert!(!closes || must_close || world.draining || self.overloaded, "{name}: it closes: {}", response.head);
        if let Expected::Configured(path) = case.content
            && [200, 404].contains(&response.status)
        {
            reload::check(path, response, self.configurations[index], world.configuration);
        }
        let cut = matches!(case.content, Expected::CutAfter(_));
        assert!(!response.open_ended || closes || cut, "{name}: no end");
        if expected {
            case.content.check(response, case.method() == "HEAD", world.huge, &name);
            if let Expected::Visit(which) = case.content {
                let count = response.text().parse().unwrap_or_else(|_| panic!("{name}: no count"));
                assert!(world.visits.insert((which, count)), "{name}: another request got {count} too");
            }
        }
        self.closing = closes || response.open_ended;
        self.responses += 1;
    }

    /// For a status that is correct although it isn't the expected one: whether the
    /// connection closes. `None` if the status is wrong.
    fn alternative(&self, status: u16, world: &World<'_>) -> Option<bool> {
        let index = self.responses;
        let case = &self.cases[index];
        let whole = index < self.whole.len();
        let since = |moments: &[Tick]| moments.get(index).map_or(Duration::ZERO, |moment| world.now.since(*moment));
        match status {
            // The time for the first head begins with the connection.
            408 if index == 0 && world.now >= self.first_deadline() => (!whole).then_some(true),
            408 => (!whole && since(&self.begun) > limits::RATE_GRACE).then_some(true),
            503 if self.overloaded => Some(true),
            503 if case.session && world.store_may_fail() => Some(false),
            503 if !(case.job || case.session) => None,
            503 => (self.crowded || since(&self.whole) >= limits::JOB_TIMEOUT).then_some(false),
            400 => (self.sent == self.until && !whole).then_some(true),
            _ => case.or.contains(&status).then_some(false),
        }
    }

    /// The service closed the connection: checks that nothing is missing.
    pub(super) fn closed(mut self, world: &mut World<'_>) {
        if let Some(response) = self.parse(true) {
            self.check(&response, world);
        }
        assert!(self.received.is_empty(), "half a response: {:?}", String::from_utf8_lossy(&self.received));
        if self.closing || self.responses == self.cases.len() {
            return;
        }
        let name = self.cases[self.responses].name();
        let (begun, whole) = (self.responses < self.begun.len(), self.responses < self.whole.len());
        let idle = match self.last_sent {
            None => world.now >= self.first_deadline(),
            Some(moment) => world.now.since(moment) >= limits::IDLE_TIMEOUT,
        };
        let ended = self.sent == self.until && !whole;
        // During a shutdown no new request is begun, even if its bytes were read.
        assert!(ended || (!begun && idle) || world.draining, "{name}: closed without a response");
    }
}
