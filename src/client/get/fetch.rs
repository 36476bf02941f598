//! The state machine of a fetch: which request goes to which connection, what a response
//! means, and what comes next.
//!
//! ```text
//! Connecting ──► Open ──all responses──► outcome
//!    ▲            │
//!    │            ├─ the server closes, requests left ───► Leaving ─┐
//!    │            └─ redirect ─┬─ same server: stay open            │
//!    │                         ├─ same host ────────────► Leaving ─┤
//!    │                         └─ another ─► Resolving ─► Leaving ─┤
//!    └──────────────────────────────────────────────────────────────┘
//! ```
//!
//! There is one connection at a time, used as long as the server keeps it open. A request
//! that was lost with its connection is sent again on the next one, if it is idempotent
//! (RFC 9112 §9.3.1) and the lost connection had brought a response. So no server can make
//! the tool connect for ever.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::current::CurrentRequest;
use super::plan::GetPlan;
use super::trace::{Times, Trace};
use crate::client::opening::Opening;
use crate::client::steps::Steps;
use crate::client::{ClientError, NO_ADDRESS, NOT_DONE};
use crate::console::OutputQueue;
use crate::http::FieldLines;
use crate::http::Status;
use crate::http::client::{HttpError, RequestKind, ResponseHead, ResponseReader};
use crate::http::uri::HttpUrl;
use crate::reactor::{Ending, Finish, Io, Tick, TlsFailure, Want};

/// What the connection does next.
pub(super) enum Next {
    /// Wait for this.
    Go(Want),
    /// Resolve this host, with this port, before this time.
    Resolve(String, u16, Tick),
}

#[derive(Debug)]
enum Stage {
    /// The connection is being opened.
    Opening(Opening),
    /// The connection is open.
    Open,
    /// The host of the next connection is being resolved, once `started`.
    Resolving { since: Tick, started: bool },
    /// Another connection is needed.
    Leaving,
}

/// A request without a complete response.
#[derive(Debug)]
struct PendingRequest {
    sent: Tick,
    /// When the first byte of the response came.
    first: Option<Tick>,
}

/// One fetch.
#[derive(Debug)]
pub(super) struct Fetch {
    plan: GetPlan,
    begun: Tick,
    stage: Stage,
    outcome: Option<Result<(), ClientError>>,
    steps: Steps,
    trace: Trace,

    request: CurrentRequest,

    /// The addresses of the host, and those that haven't been tried.
    addresses: Vec<SocketAddr>,
    untried: VecDeque<SocketAddr>,

    /// Requests that aren't sent, and those without a complete response.
    unsent: u32,
    pending: VecDeque<PendingRequest>,
    /// Responses on this connection.
    responses_here: u32,

    /// The response that is being read: that of the first pending request.
    reader: ResponseReader,
    status: Status,
    /// Its content is printed.
    shown: bool,
    /// The bytes of its content so far.
    got: u64,
    /// The redirect to follow.
    location: Option<String>,
    /// The bytes of the file before the content of this response, and of the whole file.
    before: u64,
    total: Option<u64>,
    /// The first error status, with `--fail`.
    error: Option<Status>,

    /// The time of the last progress, and the length of the input then.
    progressed: Tick,
    seen: usize,
}

impl Fetch {
    /// A fetch that began at `begun` by resolving its host.
    pub(super) fn new(plan: GetPlan, begun: Tick) -> Self {
        Self {
            begun,
            stage: Stage::Resolving { since: begun, started: true },
            outcome: None,
            steps: Steps { times: plan.show.trace, facts: plan.show.exchange },
            trace: Trace::new(plan.show.trace),
            request: CurrentRequest::new(&plan),
            addresses: Vec::new(),
            untried: VecDeque::new(),
            unsent: plan.repeat,
            pending: VecDeque::new(),
            responses_here: 0,
            reader: ResponseReader::new(RequestKind::of(&plan.method)),
            status: Status::OK,
            shown: false,
            got: 0,
            location: None,
            before: 0,
            total: None,
            error: None,
            progressed: begun,
            seen: 0,
            plan,
        }
    }

    /// The limit for resolving the first host, and what times out then.
    pub(super) fn resolve_limit(plan: &GetPlan) -> (&'static str, Duration) {
        match plan.max_time {
            Some(most) if most < plan.timeout => (NOT_DONE, most),
            _ => (NO_ADDRESS, plan.timeout),
        }
    }

    /// The host is resolved.
    pub(super) fn resolved(
        &mut self,
        found: Result<Vec<SocketAddr>, ClientError>,
        now: Tick,
        output: &mut OutputQueue,
    ) {
        let Stage::Resolving { since, .. } = self.stage else { return };
        match found {
            Ok(addresses) => {
                self.steps.resolved(&self.request.url.host, &addresses, now.since(since), output);
                self.addresses = addresses;
                self.leave();
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// The address of the next connection, if one is needed.
    pub(super) fn next_address(&mut self) -> Option<SocketAddr> {
        if self.outcome.is_some() {
            return None;
        }
        let address = self.untried.pop_front()?;
        self.stage = Stage::Opening(Opening::NEW);
        Some(address)
    }

    /// Does all that can be done on this connection.
    pub(super) fn advance(&mut self, io: &mut Io<'_>, now: Tick, output: &mut OutputQueue) -> Next {
        let end = self.plan.max_time.map(|most| self.begun.after(most));
        if let (Some(most), Some(end)) = (self.plan.max_time, end)
            && now >= end
            && self.outcome.is_none()
        {
            self.fail(ClientError::TimedOut(NOT_DONE, most));
        }
        if let Stage::Opening(opening) = &mut self.stage
            && opening.advance(io, now, self.steps, output)
        {
            self.stage = Stage::Open;
            self.progressed = now;
        }
        if matches!(self.stage, Stage::Open) && self.outcome.is_none() {
            self.exchange(io, now, output);
        }
        match &self.outcome {
            Some(Ok(())) => return Next::Go(Want::finish(Finish::Close)),
            Some(Err(_)) => return Next::Go(Want::finish(Finish::Abort)),
            None => {}
        }
        let (since, what) = match &mut self.stage {
            // Unsent requests are dropped here; they go to the next connection.
            Stage::Leaving if io.output.is_empty() => return Next::Go(Want::finish(Finish::Close)),
            Stage::Leaving => return Next::Go(Want::finish(Finish::Abort)),
            Stage::Opening(opening) => (opening.since(now), opening.timeout()),
            Stage::Open => (self.progressed, Some("no progress")),
            Stage::Resolving { since, .. } => (*since, Some(NO_ADDRESS)),
        };
        let deadline = since.after(self.plan.timeout);
        let wake = end.map_or(deadline, |end| end.min(deadline));
        if let Stage::Resolving { started: started @ false, .. } = &mut self.stage {
            *started = true;
            return Next::Resolve(self.request.url.host.clone(), self.request.url.port, wake);
        }
        if now < deadline {
            let read = !matches!(self.stage, Stage::Resolving { .. });
            return Next::Go(Want { read, wake: Some(wake), ..Want::NOTHING });
        }
        // While connecting, the next address is tried.
        if let Some(what) = what {
            self.fail(ClientError::TimedOut(what, self.plan.timeout));
        }
        Next::Go(Want::finish(Finish::Abort))
    }

    /// The connection has ended.
    pub(super) fn closed(&mut self, ending: Ending, peer: Option<SocketAddr>, now: Tick) {
        if self.outcome.is_some() {
            return;
        }
        if let Some(failure) = ending.error.as_ref().and_then(TlsFailure::of) {
            return self.fail(ClientError::Tls(failure.clone()));
        }
        let failure = match (&self.stage, ending.error) {
            (Stage::Leaving | Stage::Resolving { .. }, _) => return,
            (Stage::Opening(opening), error) => match opening.closed(error, peer, !self.untried.is_empty()) {
                Some(failure) => failure,
                None => return,
            },
            (Stage::Open, Some(error)) if error.kind() == std::io::ErrorKind::TimedOut => {
                ClientError::TimedOut("the server doesn't read the request", now.since(self.progressed))
            }
            (Stage::Open, Some(error)) => match self.retry() {
                true => return,
                false => ClientError::Lost(error),
            },
            (Stage::Open, None) => ClientError::Response(HttpError::NoResponse),
        };
        self.fail(failure);
    }

    /// The result.
    pub(super) fn finish(&mut self, output: &mut OutputQueue) -> Result<(), ClientError> {
        self.trace.summary(output);
        self.outcome.take().unwrap_or(Err(ClientError::Response(HttpError::NoResponse)))
    }

    /// The last URL.
    pub(super) fn url(&self) -> &HttpUrl {
        &self.request.url
    }

    /// The bytes of the output so far, and in total, if there is output.
    pub(super) fn progress(&self) -> Option<(u64, Option<u64>)> {
        self.shown.then(|| (self.before + self.got, self.total))
    }

    pub(super) fn fail(&mut self, failure: ClientError) {
        self.outcome = Some(Err(failure));
    }

    /// Leaves this connection for another one to the same host.
    fn leave(&mut self) {
        self.untried = self.addresses.iter().copied().collect();
        self.stage = Stage::Leaving;
    }

    /// Sends the pending requests again on another connection; false if that isn't allowed.
    fn retry(&mut self) -> bool {
        if !self.request.is_idempotent() || self.responses_here == 0 || !self.reader.is_fresh() {
            return false;
        }
        self.requeue();
        true
    }

    fn requeue(&mut self) {
        self.unsent += u32::try_from(self.pending.len()).unwrap_or(u32::MAX);
        self.pending.clear();
        (self.responses_here, self.seen) = (0, 0);
        self.leave();
    }

    fn exchange(&mut self, io: &mut Io<'_>, now: Tick, output: &mut OutputQueue) {
        self.send(io, now, output);
        while !self.pending.is_empty() && self.is_open() {
            match self.receive(io, now, output) {
                Ok(true) => self.send(io, now, output),
                Ok(false) => break,
                Err(failure) => return self.fail(failure),
            }
        }
        if !self.is_open() {
            return;
        }
        if io.ended {
            return self.ended(io, now, output);
        }
        let left = io.input.bytes().len();
        if left != self.seen || !io.output.is_empty() {
            (self.seen, self.progressed) = (left, now);
        }
    }

    fn is_open(&self) -> bool {
        self.outcome.is_none() && matches!(self.stage, Stage::Open)
    }

    /// Sends requests up to the limit of pending ones.
    fn send(&mut self, io: &mut Io<'_>, now: Tick, output: &mut OutputQueue) {
        let most = usize::try_from(self.plan.pipeline).unwrap_or(usize::MAX);
        while self.unsent > 0 && self.pending.len() < most && io.output.room() > 0 && self.is_open() {
            let head = match self.request.write(io.output) {
                Ok(head) => head,
                Err(error) => return self.fail(error),
            };
            if self.plan.show.exchange {
                show_lines(b"> ", &io.output.buffer()[head], output.errors());
            }
            self.unsent -= 1;
            self.progressed = now;
            self.pending.push_back(PendingRequest { sent: now, first: None });
        }
    }

    /// Reads a head or a piece of content; false if there is none.
    fn receive(&mut self, io: &mut Io<'_>, now: Tick, output: &mut OutputQueue) -> Result<bool, ClientError> {
        if let Some(request) = self.pending.front_mut()
            && !io.input.is_empty()
        {
            request.first.get_or_insert(now);
        }
        let consumed = if self.reader.awaits_head() {
            let mut lines = FieldLines::default();
            let head = self.reader.head(io.input.bytes_mut(), &mut lines).map_err(ClientError::Response)?;
            let Some(head) = head else { return Ok(false) };
            self.take_head(&head, output)?;
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
            self.progressed = now;
        }
        if self.reader.is_done() {
            // Bytes without a request would be taken for the next response.
            let excess = self.pending.len() == 1 && !io.input.is_empty();
            self.completed(self.reader.is_persistent() && !excess, now, output);
            return Ok(true);
        }
        Ok(consumed > 0)
    }

    /// Decides by the head what to do with the content.
    fn take_head(&mut self, head: &ResponseHead<'_>, output: &mut OutputQueue) -> Result<(), ClientError> {
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
                // The file is complete.
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

    /// A response is complete. `persistent`: another one may follow on this connection.
    fn completed(&mut self, persistent: bool, now: Tick, output: &mut OutputQueue) {
        let Some(request) = self.pending.pop_front() else { return };
        let times = Times { sent: request.sent, first: request.first.unwrap_or(now), last: now };
        self.trace.answered(times, self.status, self.got, output);
        self.responses_here += 1;
        if let Some(location) = self.location.take() {
            self.redirect(&location, persistent, now);
        } else if self.unsent == 0 && self.pending.is_empty() {
            self.outcome = Some(self.error.map_or(Ok(()), |status| Err(ClientError::Status(status))));
        } else if !persistent {
            self.requeue();
        }
        self.reader = ResponseReader::new(RequestKind::of(&self.request.method));
    }

    /// Follows a redirect.
    fn redirect(&mut self, location: &str, persistent: bool, now: Tick) {
        let before = match self.request.follow(self.status, location) {
            Ok(before) => before,
            Err(error) => return self.fail(error),
        };
        self.unsent += 1;
        if self.request.url.same_origin(&before) && persistent {
            return;
        }
        (self.responses_here, self.seen) = (0, 0);
        if self.request.url.host.eq_ignore_ascii_case(&before.host) {
            for address in &mut self.addresses {
                address.set_port(self.request.url.port);
            }
            self.leave();
        } else {
            self.stage = Stage::Resolving { since: now, started: false };
        }
    }

    /// The server has sent EOF.
    fn ended(&mut self, io: &mut Io<'_>, now: Tick, output: &mut OutputQueue) {
        if self.pending.is_empty() {
            return self.requeue();
        }
        match self.reader.end(io.input.bytes_mut()) {
            // Somebody between the two may have ended the connection.
            Ok(()) if io.truncated => self.fail(ClientError::Response(HttpError::Truncated)),
            Ok(()) => self.completed(false, now, output),
            Err(HttpError::NoResponse) if self.retry() => {}
            Err(fault) => self.fail(ClientError::Response(fault)),
        }
    }
}

/// Shows the lines of a head, each after a mark. Bytes above ASCII are escaped, because a
/// terminal may interpret them; a valid head has no control characters.
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
