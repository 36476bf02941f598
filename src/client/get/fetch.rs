//! The state machine of a fetch: what is asked on which connection, what an answer
//! means, and what comes next.
//!
//! ```text
//! Dialling ──► Talking ──all answered──► outcome
//!    ▲            │
//!    │            ├─ the server closes, more to ask ─────► Leaving ─┐
//!    │            └─ redirect ─┬─ same server: go on asking         │
//!    │                         ├─ same host ────────────► Leaving ─┤
//!    │                         └─ another ─► Resolving ─► Leaving ─┤
//!    └──────────────────────────────────────────────────────────────┘
//! ```
//!
//! There is one connection at a time, and it persists as long as the server lets it. A
//! request that was lost with its connection is sent again on the next, if it can be
//! (RFC 9112 §9.3.1) and that one answered at least one before; so no server can have us
//! connect without end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::plan::{Content, GetPlan};
use super::trace::{Times, Trace};
use crate::client::{ClientError, NO_ADDRESS};
use crate::console::OutputQueue;
use crate::http::Lines;
use crate::http::Status;
use crate::http::client::{AnswerReader, Asked, Fault, Request, ResponseHead};
use crate::http::uri::HttpUrl;
use crate::limits;
use crate::reactor::{Ending, Finish, Io, Tick, Want};

/// What is waited for all in all.
const NOT_DONE: &str = "it isn't done";

/// What the connection is to do now.
pub(super) enum Next {
    /// This.
    Go(Want),
    /// Have this host looked up, with this port, before this moment.
    Resolve(String, u16, Tick),
}

#[derive(Debug)]
enum Stage {
    /// A connection is asked for, since it was first heard of.
    Dialling { since: Option<Tick> },
    /// It is there.
    Talking,
    /// Where the next one leads is looked up, if that was asked for already.
    Resolving { since: Tick, asked: bool },
    /// This connection isn't of use any longer; another is.
    Leaving,
}

/// A request that is on its way.
#[derive(Debug)]
struct Flight {
    sent: Tick,
    /// The first byte of the answer.
    first: Option<Tick>,
}

/// One fetch from its beginning to its end.
#[derive(Debug)]
pub(super) struct Fetch {
    plan: GetPlan,
    begun: Tick,
    stage: Stage,
    outcome: Option<Result<(), ClientError>>,
    trace: Trace,

    /// What is asked for now; a redirect changes it.
    url: HttpUrl,
    method: String,
    fields: Vec<(String, String)>,
    content: Option<Content>,
    redirects: usize,

    /// Where the host is, and which of it wasn't tried yet.
    addresses: Vec<SocketAddr>,
    untried: VecDeque<SocketAddr>,

    /// Requests that aren't on their way yet, and those that are.
    unsent: u32,
    flights: VecDeque<Flight>,
    /// Answers that came on this connection.
    answered_here: u32,

    /// The answer that is being read: to the first flight.
    reader: AnswerReader,
    status: Status,
    /// Its content is part of the output.
    shown: bool,
    /// Bytes of its content so far.
    got: u64,
    /// Where it leads, if that is followed.
    location: Option<String>,
    /// How much there was before it, and how much there will be.
    before: u64,
    total: Option<u64>,
    /// The first answer that was an error, if that is to be a failure.
    error: Option<Status>,

    /// When something last moved, and the bytes at hand then.
    moved: Tick,
    seen: usize,
}

impl Fetch {
    /// A fetch that began at `begun` with looking up its host.
    pub(super) fn new(plan: GetPlan, begun: Tick) -> Self {
        let mut fields = plan.fields.clone();
        if let Some(at) = plan.resume {
            fields.push(("Range".to_owned(), format!("bytes={at}-")));
        }
        Self {
            begun,
            stage: Stage::Resolving { since: begun, asked: true },
            outcome: None,
            trace: Trace::new(plan.show.trace),
            url: plan.url.clone(),
            method: plan.method.clone(),
            fields,
            content: plan.content.clone(),
            redirects: 0,
            addresses: Vec::new(),
            untried: VecDeque::new(),
            unsent: plan.repeat,
            flights: VecDeque::new(),
            answered_here: 0,
            reader: AnswerReader::new(Asked::by(&plan.method)),
            status: Status::OK,
            shown: false,
            got: 0,
            location: None,
            before: 0,
            total: None,
            error: None,
            moved: begun,
            seen: 0,
            plan,
        }
    }

    /// How long the first look-up may take, and what it is that takes too long then.
    pub(super) fn resolve_limit(plan: &GetPlan) -> (&'static str, Duration) {
        match plan.max_time {
            Some(most) if most < plan.timeout => (NOT_DONE, most),
            _ => (NO_ADDRESS, plan.timeout),
        }
    }

    /// The host's addresses are known, or it is known that there are none.
    pub(super) fn resolved(
        &mut self,
        found: Result<Vec<SocketAddr>, ClientError>,
        now: Tick,
        output: &mut OutputQueue,
    ) {
        let Stage::Resolving { since, .. } = self.stage else { return };
        match found {
            Ok(addresses) => {
                self.trace.resolved(&self.url.host, &addresses, now.since(since), output);
                self.addresses = addresses;
                self.leave();
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// Where the next connection leads, if there is to be one.
    pub(super) fn dial(&mut self) -> Option<SocketAddr> {
        if self.outcome.is_some() {
            return None;
        }
        let address = self.untried.pop_front()?;
        self.stage = Stage::Dialling { since: None };
        Some(address)
    }

    /// Does all that can be done on this connection now.
    pub(super) fn advance(&mut self, io: &mut Io<'_>, now: Tick, output: &mut OutputQueue) -> Next {
        let end = self.plan.max_time.map(|most| self.begun.after(most));
        if let (Some(most), Some(end)) = (self.plan.max_time, end)
            && now >= end
            && self.outcome.is_none()
        {
            self.fail(ClientError::TimedOut(NOT_DONE, most));
        }
        if let Stage::Dialling { since } = &mut self.stage {
            let since = *since.get_or_insert(now);
            if io.established {
                self.trace.connected(io.ends.peer(), now.since(since), output);
                self.stage = Stage::Talking;
                self.moved = now;
            }
        }
        if matches!(self.stage, Stage::Talking) && self.outcome.is_none() {
            self.talk(io, now, output);
        }
        match &self.outcome {
            Some(Ok(())) => return Next::Go(Want::finish(Finish::Close)),
            Some(Err(_)) => return Next::Go(Want::finish(Finish::Abort)),
            None => {}
        }
        let (since, what) = match &mut self.stage {
            // What it wasn't given yet, it won't answer.
            Stage::Leaving if io.output.is_empty() => return Next::Go(Want::finish(Finish::Close)),
            Stage::Leaving => return Next::Go(Want::finish(Finish::Abort)),
            Stage::Dialling { since } => (since.unwrap_or(now), None),
            Stage::Talking => (self.moved, Some("nothing came")),
            Stage::Resolving { since, .. } => (*since, Some(NO_ADDRESS)),
        };
        let deadline = since.after(self.plan.timeout);
        let wake = end.map_or(deadline, |end| end.min(deadline));
        if let Stage::Resolving { asked: asked @ false, .. } = &mut self.stage {
            *asked = true;
            return Next::Resolve(self.url.host.clone(), self.url.port, wake);
        }
        if now < deadline {
            let read = !matches!(self.stage, Stage::Resolving { .. });
            return Next::Go(Want { read, wake: Some(wake), ..Want::NOTHING });
        }
        // Another address may be better than one that can't be connected to.
        if let Some(what) = what {
            self.fail(ClientError::TimedOut(what, self.plan.timeout));
        }
        Next::Go(Want::finish(Finish::Abort))
    }

    /// The connection is over.
    pub(super) fn closed(&mut self, ending: Ending, peer: Option<SocketAddr>, now: Tick) {
        if self.outcome.is_some() {
            return;
        }
        let failure = match (&self.stage, ending.error) {
            (Stage::Leaving | Stage::Resolving { .. }, _) => return,
            (Stage::Dialling { .. }, _) if !self.untried.is_empty() => return,
            (Stage::Dialling { .. }, error) => ClientError::connect(peer, error),
            (Stage::Talking, Some(error)) if error.kind() == std::io::ErrorKind::TimedOut => {
                ClientError::TimedOut("the request isn't taken", now.since(self.moved))
            }
            (Stage::Talking, Some(error)) => match self.ask_again() {
                true => return,
                false => ClientError::Lost(error),
            },
            (Stage::Talking, None) => ClientError::Response(Fault::Unanswered),
        };
        self.fail(failure);
    }

    /// What came of it all.
    pub(super) fn finish(&mut self, output: &mut OutputQueue) -> Result<(), ClientError> {
        self.trace.summary(output);
        self.outcome.take().unwrap_or(Err(ClientError::Response(Fault::Unanswered)))
    }

    /// What was asked for last.
    pub(super) fn url(&self) -> &HttpUrl {
        &self.url
    }

    /// How much of the output is there, and how much there will be, if anything is.
    pub(super) fn progress(&self) -> Option<(u64, Option<u64>)> {
        self.shown.then(|| (self.before + self.got, self.total))
    }

    fn fail(&mut self, failure: ClientError) {
        self.outcome = Some(Err(failure));
    }

    /// Another connection to the same host is wanted.
    fn leave(&mut self) {
        self.untried = self.addresses.iter().copied().collect();
        self.stage = Stage::Leaving;
    }

    /// Has the requests whose answers won't come sent again on another connection; false
    /// if that mustn't be.
    fn ask_again(&mut self) -> bool {
        let safe = matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE");
        if !safe || self.answered_here == 0 || !self.reader.is_fresh() {
            return false;
        }
        self.requeue();
        true
    }

    fn requeue(&mut self) {
        self.unsent += u32::try_from(self.flights.len()).unwrap_or(u32::MAX);
        self.flights.clear();
        (self.answered_here, self.seen) = (0, 0);
        self.leave();
    }

    fn talk(&mut self, io: &mut Io<'_>, now: Tick, output: &mut OutputQueue) {
        self.ask(io, now, output);
        while !self.flights.is_empty() && self.is_talking() {
            match self.hear(io, now, output) {
                Ok(true) => self.ask(io, now, output),
                Ok(false) => break,
                Err(failure) => return self.fail(failure),
            }
        }
        if !self.is_talking() {
            return;
        }
        if io.ended {
            return self.ended(io, now, output);
        }
        let left = io.input.bytes().len();
        if left != self.seen || !io.output.is_empty() {
            (self.seen, self.moved) = (left, now);
        }
    }

    fn is_talking(&self) -> bool {
        self.outcome.is_none() && matches!(self.stage, Stage::Talking)
    }

    /// Sends as many requests as may be on their way.
    fn ask(&mut self, io: &mut Io<'_>, now: Tick, output: &mut OutputQueue) {
        let most = usize::try_from(self.plan.pipeline).unwrap_or(usize::MAX);
        while self.unsent > 0 && self.flights.len() < most && io.output.room() > 0 && self.is_talking() {
            let own = self.url.authority();
            let request = Request {
                method: &self.method,
                target: &self.url.target,
                host: self.plan.host.as_ref().filter(|_| self.redirects == 0).unwrap_or(&own),
                fields: &self.fields,
                length: self.content.as_ref().map(Content::length),
            };
            let start = io.output.buffer().len();
            if let Err(fault) = request.write(io.output.buffer()) {
                return self.fail(ClientError::Request(fault));
            }
            if self.plan.show.exchange {
                show_lines(b"> ", &io.output.buffer()[start..], output.errors());
            }
            if let Some(content) = &self.content {
                content.write(io.output);
            }
            self.unsent -= 1;
            self.moved = now;
            self.flights.push_back(Flight { sent: now, first: None });
        }
    }

    /// Takes a head or a piece of content; false if there is none.
    fn hear(&mut self, io: &mut Io<'_>, now: Tick, output: &mut OutputQueue) -> Result<bool, ClientError> {
        if let Some(flight) = self.flights.front_mut()
            && !io.input.is_empty()
        {
            flight.first.get_or_insert(now);
        }
        let consumed = if self.reader.awaits_head() {
            let mut lines = Lines::default();
            let head = self.reader.head(io.input.bytes_mut(), &mut lines).map_err(ClientError::Response)?;
            let Some(head) = head else { return Ok(false) };
            self.understand(&head, output)?;
            head.length
        } else {
            let input = io.input.bytes();
            let progress = self.reader.read(input).map_err(ClientError::Response)?;
            self.got += progress.content.len() as u64;
            if self.shown {
                output.write(&input[progress.content]);
            }
            progress.consumed
        };
        io.input.consume(consumed);
        if consumed > 0 {
            self.moved = now;
        }
        if self.reader.is_done() {
            // What nobody asked for would be taken for the answer to the next.
            let excess = self.flights.len() == 1 && !io.input.is_empty();
            self.answered(self.reader.is_persistent() && !excess, now, output);
            return Ok(true);
        }
        Ok(consumed > 0)
    }

    /// A head came: decides what becomes of the content.
    fn understand(&mut self, head: &ResponseHead<'_>, output: &mut OutputQueue) -> Result<(), ClientError> {
        if self.plan.show.exchange {
            show_lines(b"< ", head.raw, output.errors());
        }
        if self.plan.show.heads {
            output.write(head.raw);
        }
        if head.is_interim() {
            return Ok(());
        }
        let status = head.status;
        (self.status, self.got, self.shown) = (status, 0, false);
        self.location = head
            .fields
            .get("location")
            .filter(|_| self.plan.follow && matches!(status.0, 301 | 302 | 303 | 307 | 308))
            .map(|location| String::from_utf8_lossy(location).into_owned());
        if self.location.is_some() {
            return Ok(());
        }
        if let Some(at) = self.plan.resume {
            let range = head.fields.get("content-range").unwrap_or_default();
            match status {
                Status::PARTIAL_CONTENT if range.starts_with(format!("bytes {at}-").as_bytes()) => {}
                // There is no more than what is there.
                Status::RANGE_NOT_SATISFIABLE if range == format!("bytes */{at}").as_bytes() => return Ok(()),
                _ if self.plan.fail && status.is_error() => {}
                _ => return Err(ClientError::Resume(status)),
            }
        }
        if self.plan.fail && status.is_error() {
            self.error.get_or_insert(status);
            return Ok(());
        }
        self.shown = true;
        self.before = self.plan.resume.unwrap_or(0);
        self.total = self.reader.remaining().map(|remaining| remaining + self.before);
        output.begin();
        Ok(())
    }

    /// An answer is complete; whether another may follow it on this connection.
    fn answered(&mut self, persistent: bool, now: Tick, output: &mut OutputQueue) {
        let Some(flight) = self.flights.pop_front() else { return };
        let times = Times { sent: flight.sent, first: flight.first.unwrap_or(now), last: now };
        self.trace.answered(times, self.status, self.got, output);
        self.answered_here += 1;
        if let Some(location) = self.location.take() {
            self.redirect(&location, persistent, now);
        } else if self.unsent == 0 && self.flights.is_empty() {
            self.outcome = Some(self.error.map_or(Ok(()), |status| Err(ClientError::Status(status))));
        } else if !persistent {
            self.requeue();
        }
        self.reader = AnswerReader::new(Asked::by(&self.method));
    }

    /// Goes on elsewhere.
    fn redirect(&mut self, location: &str, persistent: bool, now: Tick) {
        self.redirects += 1;
        if self.redirects > limits::REDIRECTS {
            return self.fail(ClientError::Redirects(limits::REDIRECTS));
        }
        let url = match self.url.join(location) {
            Ok(url) => url,
            Err(error) => return self.fail(ClientError::Redirect(location.to_owned(), error)),
        };
        // As everybody does, and RFC 9110 §15.4 puts up with.
        let get = match self.status.0 {
            303 => self.method != "HEAD",
            301 | 302 => self.method == "POST",
            _ => false,
        };
        if get {
            self.method = "GET".to_owned();
            self.content = None;
            self.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        }
        if !url.same_origin(&self.url) {
            // What is between us and one server is no other's business.
            let secret = |name: &str| ["authorization", "cookie"].iter().any(|one| name.eq_ignore_ascii_case(one));
            self.fields.retain(|(name, _)| !secret(name));
        }
        let before = std::mem::replace(&mut self.url, url);
        self.unsent += 1;
        if self.url.same_origin(&before) && persistent {
            return;
        }
        (self.answered_here, self.seen) = (0, 0);
        if self.url.host.eq_ignore_ascii_case(&before.host) {
            for address in &mut self.addresses {
                address.set_port(self.url.port);
            }
            self.leave();
        } else {
            self.stage = Stage::Resolving { since: now, asked: false };
        }
    }

    /// The server has sent all it will.
    fn ended(&mut self, io: &mut Io<'_>, now: Tick, output: &mut OutputQueue) {
        if self.flights.is_empty() {
            return self.requeue();
        }
        match self.reader.end(io.input.bytes_mut()) {
            Ok(()) => self.answered(false, now, output),
            Err(Fault::Unanswered) if self.ask_again() => {}
            Err(fault) => self.fail(ClientError::Response(fault)),
        }
    }
}

/// The lines of a head, each behind a mark. Bytes above ASCII are escaped, since a
/// terminal may obey them; below it there are none that it does.
fn show_lines(mark: &[u8], head: &[u8], out: &mut Vec<u8>) {
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        out.extend_from_slice(mark);
        for &byte in line.trim_ascii_end() {
            match byte {
                b' '..=b'~' | b'\t' => out.push(byte),
                _ => out.extend(byte.escape_ascii()),
            }
        }
        out.push(b'\n');
    }
}
