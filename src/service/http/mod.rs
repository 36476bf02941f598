//! HTTP/1.1 on a connection: the exchange of one request and one answer after
//! another (RFC 9112 §9).
//!
//! ```text
//!          ┌──────────────────────── persists ────────────────────────┐
//!          ▼                                                          │
//! Idle ─▶ Head ─▶ Body (collected or discarded) ─▶ answer ─▶ Sending ─┤
//!          │                                         │ ▲              │
//!          │ malformed, too slow                     ▼ │              ▼
//!          └────────────────────────────▶ error    Parked         Closing
//! ```
//!
//! A request without a body for a small file goes from Idle to Idle in one call.
//! A new head isn't parsed before the answer to the last is on its way, so
//! pipelined requests wait unparsed, and a connection needs bounded memory.
//!
//! A body is read before the answer is given, whether it is wanted or not: what
//! is malformed in it is found, and the next request begins where it must. Only
//! what is too large isn't read; then the answer says so and the connection
//! closes in a way that lets the client still read it.

mod access;
mod error_page;
mod phase;
mod shared;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub use phase::Census;
pub use shared::{Limits, Shared};

use super::{Message, Service};
use crate::app::{Answer, Body, Methods, Outcome, Pull, Request, Response, Visit};
use crate::files::Served;
use crate::http::chunked::{LAST_CHUNK, encode_chunk};
use crate::http::framing::{BodyReader, Framing};
use crate::http::head::{self, Expect, Lines, Method, RequestHead};
use crate::http::response::{self, Form, Length, Manner};
use crate::http::target;
use crate::http::{Fields, Reject, Status, negotiate};
use crate::limits;
use crate::reactor::{Accepted, Context, Ends, Finish, Io, Output, Pace, Want};
use crate::text::html;
use access::{Account, Exchanged};
use phase::{Collecting, Parked, Phase, Sending};

/// The HTTP side of a connection.
pub struct Http {
    phase: Phase,
    /// Requests so far; the current one's number.
    requests: u32,
    /// It came when there were too many: every request is answered with 503.
    overloaded: bool,
    /// It counts for its address.
    counted: bool,
    /// The client may send more than was read: the rest of a refused request, or
    /// the next one. A close that it doesn't expect must let it read the answer.
    more: bool,
}

type Cx<'a> = Context<'a, Service>;

/// Where an answer goes.
struct Out<'a, 'b> {
    output: &'b mut Output,
    ends: Ends<'a>,
    /// What was in the output before the answer.
    mark: u64,
}

impl<'a, 'b> Out<'a, 'b> {
    fn new(output: &'b mut Output, ends: Ends<'a>) -> Self {
        let mark = output.pending();
        Self { output, ends, mark }
    }

    /// What the log is to know of the answer that was written here.
    fn account(&self, status: Status, body: u64, request: u32) -> Account {
        Account {
            status,
            body,
            octets: self.output.pending() - self.mark,
            duration: Duration::ZERO,
            peer: self.ends.peer(),
            local: self.ends.local(),
            request,
        }
    }
}

/// Whether the exchange can go on at once, or what it waits for.
enum Step {
    Again,
    Wait(Want),
}

/// Where a request goes.
enum Route {
    App(usize),
    Files,
    /// `OPTIONS`: nothing to do but to say what could be done.
    Options(Methods),
    Refused(Reject, Option<Methods>),
}

/// What files understand.
const FILE_METHODS: Methods = Methods::Only(&[Method::Get, Method::Head]);

impl Http {
    /// A connection that was just accepted.
    pub fn open(accepted: &Accepted<'_>, cx: &mut Cx<'_>) -> Self {
        let counted = accepted.ends.peer().map(|peer| cx.shared.http.count(peer.ip()));
        let overloaded = accepted.overloaded || counted.flatten() == Some(false);
        let mut patience = cx.shared.http.limits.header_timeout;
        if overloaded {
            // The reserve is small: who isn't served anyway mustn't hold it.
            patience = patience.min(limits::LINGER);
        }
        let deadline = cx.time.now.after(patience);
        let phase = Phase::Head { deadline, seen: 0 };
        cx.shared.http.census.enter(&phase);
        Self { phase, requests: 0, overloaded, counted: counted.flatten().is_some(), more: false }
    }

    /// The connection is over, by whichever side; `unsent` octets of its output
    /// didn't go out.
    pub fn closed(&mut self, unsent: u64, ends: Ends<'_>, cx: &mut Cx<'_>) {
        let exchanged = match &mut self.phase {
            Phase::SendingFile { exchanged, .. } => exchanged.take(),
            Phase::Sending(sending) => sending.exchanged.take(),
            _ => None,
        };
        if let Some(mut exchanged) = exchanged {
            exchanged.end(unsent, cx);
        }
        cx.shared.http.census.leave(&self.phase);
        if let Some(peer) = ends.peer()
            && self.counted
        {
            cx.shared.http.uncount(peer.ip());
        }
    }

    /// A job of this connection is done.
    pub fn deliver(&mut self, ticket: u32, outcome: Option<Outcome>) {
        if let Phase::Parked(parked) = &mut self.phase
            && ticket == self.requests
        {
            parked.outcome = Some(outcome);
        }
    }

    /// All that can be done now.
    #[inline]
    pub fn advance(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Want {
        cx.shared.http.stamp.refresh(cx.time.unix_seconds);
        loop {
            let step = match &mut self.phase {
                Phase::Idle { .. } | Phase::Head { .. } => self.head(io, cx),
                Phase::Body(_) => self.body(io, cx),
                Phase::Parked(_) => self.parked(io, cx),
                Phase::SendingFile { .. } => self.sending_file(io, cx),
                Phase::Sending(_) => self.sending(io, cx),
                Phase::Closing(finish) => Step::Wait(Want::finish(*finish)),
            };
            if let Step::Wait(want) = step {
                return want;
            }
        }
    }

    /// Moves to another phase.
    fn enter(&mut self, next: Phase, cx: &mut Cx<'_>) {
        log::trace!("#{}.{} {} → {}", cx.handle.number(), self.requests, self.phase.name(), next.name());
        cx.shared.http.census.leave(&self.phase);
        cx.shared.http.census.enter(&next);
        self.phase = next;
    }

    /// Takes what a phase holds, to be answered in this call.
    fn take_phase(&mut self, cx: &mut Cx<'_>) -> Phase {
        let answering = Phase::Head { deadline: cx.time.now, seen: 0 };
        cx.shared.http.census.leave(&self.phase);
        cx.shared.http.census.enter(&answering);
        std::mem::replace(&mut self.phase, answering)
    }

    /// Waits for a head and takes it apart.
    #[inline]
    fn head(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step {
        if io.input.is_empty() {
            return self.wait_for_head(0, io, cx);
        }
        if io.output.room() == 0 {
            return Step::Wait(Want::NOTHING);
        }
        if let Phase::Head { seen, .. } = self.phase
            && !has_news(io.input.bytes(), seen as usize)
            && !io.ended
        {
            return self.wait_for_head(io.input.bytes().len(), io, cx);
        }
        let Io { input, output, ends, .. } = io;
        let mut lines = Lines::default();
        match head::parse(input.bytes_mut(), &mut lines) {
            Ok(Some(head)) => {
                let length = head.length;
                self.requests = self.requests.wrapping_add(1);
                self.more = head.persistent;
                let number = cx.handle.number();
                log::trace!("#{number}.{} {} {:?}", self.requests, head.method_name, head.raw_target.escape_ascii());
                let mut out = Out::new(output, *ends);
                self.begin(&head, &mut out, cx);
                input.consume(length);
                Step::Again
            }
            Ok(None) => {
                let seen = input.bytes().len();
                self.wait_for_head(seen, io, cx)
            }
            Err(reject) => {
                self.requests = self.requests.wrapping_add(1);
                let mut out = Out::new(output, *ends);
                self.refuse_unparsed(input.bytes(), reject, &mut out, cx);
                Step::Again
            }
        }
    }

    /// There is no whole head: `seen` octets of one.
    fn wait_for_head(&mut self, seen: usize, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step {
        let limits = &cx.shared.http.limits;
        let deadline = match self.phase {
            Phase::Head { deadline, .. } => deadline,
            Phase::Idle { since } if seen == 0 => since.after(limits.idle_timeout),
            _ => cx.time.now.after(limits.header_timeout),
        };
        if io.ended || (seen == 0 && cx.draining) {
            self.enter(Phase::Closing(Finish::Close), cx);
            return Step::Again;
        }
        if cx.time.now >= deadline {
            if seen == 0 {
                self.enter(Phase::Closing(Finish::Close), cx);
            } else {
                self.requests = self.requests.wrapping_add(1);
                let reject = Reject::new(Status::REQUEST_TIMEOUT, "the head of the request came too slowly");
                let Io { input, output, ends, .. } = io;
                let mut out = Out::new(output, *ends);
                self.refuse_unparsed(input.bytes(), reject, &mut out, cx);
            }
            return Step::Again;
        }
        if seen > 0 {
            let next = Phase::Head { deadline, seen: seen as u32 };
            if matches!(self.phase, Phase::Head { .. }) {
                self.phase = next;
            } else {
                self.enter(next, cx);
            }
        }
        Step::Wait(Want::READ.by(deadline))
    }

    /// A head is whole: answers it, or makes ready for its body.
    #[inline]
    fn begin(&mut self, head: &RequestHead<'_>, out: &mut Out<'_, '_>, cx: &mut Cx<'_>) {
        if head.framing == Framing::None {
            self.respond(head, b"", head.persistent, out, cx);
            return;
        }
        self.begin_body(head, out, cx);
    }

    fn begin_body(&mut self, head: &RequestHead<'_>, out: &mut Out<'_, '_>, cx: &mut Cx<'_>) {
        let wanted = matches!(self.route(head, cx), Route::App(_)) && head.expect != Expect::Unknown;
        let limit = if wanted { cx.shared.http.limits.body } else { limits::DRAIN };
        if matches!(head.framing, Framing::Length(octets) if octets > limit) {
            self.more = true;
            if wanted {
                self.refuse(head, too_large(), false, out, cx);
            } else {
                self.respond(head, b"", false, out, cx);
            }
            return;
        }
        if head.expect != Expect::Nothing {
            if !wanted {
                // The client waits for a word before it sends its body, and gets
                // another one; whether the body still comes nobody knows.
                self.more = true;
                self.respond(head, b"", false, out, cx);
                return;
            }
            response::status_line(out.output.buffer(), Status::CONTINUE);
            out.output.write(b"\r\n");
        }
        let collecting = Collecting {
            head: head.raw.to_vec(),
            reader: BodyReader::new(head.framing),
            content: Vec::new(),
            read: 0,
            limit,
            wanted,
            pace: Pace::start(cx.time.now),
        };
        self.enter(Phase::Body(Box::new(collecting)), cx);
    }

    /// Reads a body.
    fn body(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step {
        let Phase::Body(collecting) = &mut self.phase else { return Step::Again };
        let timeout = cx.shared.http.limits.body_timeout;
        let failure = loop {
            if collecting.reader.is_done() {
                break None;
            }
            match collecting.reader.read(io.input.bytes()) {
                Err(reject) => break Some((reject, true)),
                Ok(progress) if progress.consumed == 0 => {
                    if io.ended {
                        break Some((Reject::bad_request("the body ended before its end"), true));
                    }
                    let deadline = collecting.pace.deadline(timeout);
                    if cx.time.now >= deadline {
                        let late = Reject::new(Status::REQUEST_TIMEOUT, "the body of the request came too slowly");
                        break Some((late, true));
                    }
                    return Step::Wait(Want::READ.by(deadline));
                }
                Ok(progress) => {
                    collecting.read += progress.content.len() as u64;
                    if collecting.read > collecting.limit {
                        break Some((too_large(), collecting.wanted));
                    }
                    if collecting.wanted {
                        collecting.content.extend_from_slice(&io.input.bytes()[progress.content]);
                    }
                    collecting.pace.moved(cx.time.now, progress.consumed as u64, timeout);
                    io.input.consume(progress.consumed);
                }
            }
        };
        let Phase::Body(mut collecting) = self.take_phase(cx) else { return Step::Again };
        let mut lines = Lines::default();
        let Ok(Some(head)) = head::parse(&mut collecting.head, &mut lines) else {
            unreachable!("the head was parsed before");
        };
        let mut out = Out::new(io.output, io.ends);
        self.more |= failure.is_some();
        match failure {
            None => self.respond(&head, &collecting.content, head.persistent, &mut out, cx),
            Some((reject, true)) => self.refuse(&head, reject, false, &mut out, cx),
            // Nobody wanted it, and it is too much to be read for nothing.
            Some((_, false)) => self.respond(&head, b"", false, &mut out, cx),
        }
        Step::Again
    }

    /// Finds out where a request goes.
    #[inline]
    fn route(&self, head: &RequestHead<'_>, cx: &mut Cx<'_>) -> Route {
        let http = &mut cx.shared.http;
        if head.target.form == target::Form::Asterisk {
            return Route::Options(FILE_METHODS);
        }
        let app = http.route(&head.target);
        let methods = match app {
            Some(index) => http.routes.get(index).1.methods(),
            None => FILE_METHODS,
        };
        let served = match methods {
            Methods::Only(methods) => methods.contains(&head.method),
            Methods::Any => !matches!(head.method, Method::Connect | Method::Trace),
        };
        match (served, head.method, app) {
            (true, _, Some(index)) => Route::App(index),
            (true, _, None) => Route::Files,
            (false, Method::Options, _) => Route::Options(methods),
            (false, Method::Unknown, _) => {
                Route::Refused(Reject::new(Status::NOT_IMPLEMENTED, "the method is unknown here"), None)
            }
            (false, _, _) => {
                let why = "the method isn't allowed here";
                Route::Refused(Reject::new(Status::METHOD_NOT_ALLOWED, why), Some(methods))
            }
        }
    }

    /// Answers a request that is there with its body.
    #[inline]
    fn respond(
        &mut self,
        head: &RequestHead<'_>,
        body: &[u8],
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
        let persistent = persistent && !cx.draining;
        if self.overloaded || cx.shared.http.maintenance {
            let why = if self.overloaded { "there are too many connections" } else { "the server is being maintained" };
            let reject = Reject::new(Status::SERVICE_UNAVAILABLE, why);
            self.refuse(head, reject, persistent && !self.overloaded, out, cx);
            return;
        }
        if head.expect == Expect::Unknown {
            let reject = Reject::new(Status::EXPECTATION_FAILED, "nothing but 100-continue can be expected");
            self.refuse(head, reject, persistent, out, cx);
            return;
        }
        if head.present.accept_encoding && !negotiate::identity_acceptable(&head.fields) {
            let reject = Reject::new(Status::NOT_ACCEPTABLE, "there is nothing here but the identity coding");
            self.refuse(head, reject, persistent, out, cx);
            return;
        }
        match self.route(head, cx) {
            Route::Files => self.respond_with_file(head, persistent, out, cx),
            Route::App(index) => {
                let parked = None;
                self.ask(index, head, body, persistent, parked, out, cx);
            }
            Route::Options(methods) => {
                let response = Response::new(Status::NO_CONTENT).field("Allow", allow(methods));
                self.send(response, head, persistent, out, cx);
            }
            Route::Refused(reject, methods) => {
                let lines = methods.map(|methods| format!("Allow: {}\r\n", allow(methods))).unwrap_or_default();
                self.refuse_with(head, reject, lines.as_bytes(), persistent, out, cx);
            }
        }
    }

    #[inline]
    fn respond_with_file(&mut self, head: &RequestHead<'_>, persistent: bool, out: &mut Out<'_, '_>, cx: &mut Cx<'_>) {
        let manner = Manner { minor: head.minor, head_only: head.method == Method::Head, persistent };
        let http = &mut cx.shared.http;
        let mark = out.output.buffer().len();
        let served = match &mut http.site {
            Some(site) => site.serve(head, manner, &http.stamp, cx.time.now, out.output),
            None => Served::Refused(Reject::new(Status::NOT_FOUND, "no files are served here")),
        };
        match served {
            Served::Answered(answered) => {
                self.finish(head, answered.status, answered.body, answered.persistent, out, cx);
            }
            Served::Redirect(location) => {
                // A Location is made of ASCII octets that need no escape.
                let location = String::from_utf8_lossy(&location).into_owned();
                let page =
                    html::page("Moved", &format!("<p>It is at <a href=\"{0}\">{0}</a>.</p>", html::escape(&location)));
                let response = Response::new(Status::MOVED_PERMANENTLY).field("Location", location).html(page);
                self.send(response, head, persistent, out, cx);
            }
            Served::Listing { rendering, media_type } => {
                let source = shared::ListingSource(rendering);
                let response = Response::new(Status::OK)
                    .field("Cache-Control", "no-cache")
                    .field("Vary", "Accept")
                    .field("X-Content-Type-Options", "nosniff")
                    .stream(media_type, source);
                self.send(response, head, persistent, out, cx);
            }
            Served::Refused(reject) => {
                // A head may have been begun before its file turned out unreadable.
                out.output.buffer().truncate(mark);
                self.refuse(head, reject, persistent, out, cx);
            }
        }
    }

    /// Asks an application, for the first time or with the outcome of its job.
    #[allow(clippy::too_many_arguments)]
    fn ask(
        &mut self,
        index: usize,
        head: &RequestHead<'_>,
        body: &[u8],
        persistent: bool,
        done: Option<Outcome>,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
        let mut path = Vec::new();
        shared::decode(head.target.path, &mut path);
        let (mount, app) = cx.shared.http.routes.get(index);
        let below = path.get(mount.len()..).unwrap_or_default();
        let request = Request { head, body, mount, path: below };
        let mut visit = Visit { time: cx.time, connection: cx.handle, request_number: self.requests, ends: out.ends };
        let answer = catch_unwind(AssertUnwindSafe(|| match done {
            None => app.handle(&request, &mut visit),
            Some(outcome) => app.resume(&request, &mut visit, outcome),
        }));
        match answer {
            Ok(Answer::Now(response)) => self.send(response, head, persistent, out, cx),
            Ok(Answer::Later(job)) => {
                let ticket = self.requests;
                cx.run(move || Message::Done { ticket, outcome: catch_unwind(AssertUnwindSafe(job)).ok() });
                let parked = Parked {
                    head: head.raw.to_vec(),
                    body: body.into(),
                    app: index,
                    persistent,
                    deadline: cx.time.now.after(limits::JOB_TIMEOUT),
                    outcome: None,
                };
                self.enter(Phase::Parked(Box::new(parked)), cx);
            }
            Err(_) => {
                // Where and why was said by the panic hook; here is for whom.
                log::error!("#{}.{} the application panicked", cx.handle.number(), self.requests);
                self.refuse(
                    head,
                    Reject::new(Status::INTERNAL_SERVER_ERROR, "the application failed"),
                    persistent,
                    out,
                    cx,
                );
            }
        }
    }

    /// Waits for a job.
    fn parked(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step {
        let Phase::Parked(parked) = &self.phase else { return Step::Again };
        let late = cx.time.now >= parked.deadline;
        if parked.outcome.is_none() && !late {
            return Step::Wait(Want::NOTHING.by(parked.deadline));
        }
        let Phase::Parked(mut parked) = self.take_phase(cx) else { return Step::Again };
        let mut lines = Lines::default();
        let Ok(Some(head)) = head::parse(&mut parked.head, &mut lines) else {
            unreachable!("the head was parsed before");
        };
        let mut out = Out::new(io.output, io.ends);
        let persistent = parked.persistent && !cx.draining;
        match parked.outcome.take() {
            Some(Some(outcome)) => self.ask(parked.app, &head, &parked.body, persistent, Some(outcome), &mut out, cx),
            Some(None) => {
                let reject = Reject::new(Status::INTERNAL_SERVER_ERROR, "the application failed");
                self.refuse(&head, reject, persistent, &mut out, cx);
            }
            None => {
                let reject = Reject::new(Status::SERVICE_UNAVAILABLE, "the application didn't answer in time");
                self.refuse(&head, reject, persistent, &mut out, cx);
            }
        }
        Step::Again
    }

    /// Sends what an application, or we ourselves, answer.
    fn send(
        &mut self,
        response: Response,
        head: &RequestHead<'_>,
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
        let status = response.status;
        let manner = Manner { minor: head.minor, head_only: head.method == Method::Head, persistent };
        let length = match &response.body {
            // RFC 9110 §15.3.6: a 205 has no content.
            _ if status == Status::RESET_CONTENT => Length::Known(0),
            Body::Bytes(bytes) => Length::Known(bytes.len() as u64),
            Body::Source(_) => Length::Unknown,
        };
        let buffer = out.output.buffer();
        response::begin(buffer, status, &cx.shared.http.stamp);
        for (name, value) in &response.fields {
            response::field(buffer, name, value.as_bytes());
        }
        let (form, persistent) = response::end(buffer, manner, status, length);
        if form == Form::Absent || length == Length::Known(0) {
            self.finish(head, status, 0, persistent, out, cx);
            return;
        }
        if let Body::Bytes(bytes) = &response.body
            && bytes.len() <= out.output.room()
        {
            out.output.write(bytes);
            let octets = bytes.len() as u64;
            self.finish(head, status, octets, persistent, out, cx);
            return;
        }
        let exchanged = self.exchanged(head, status, 0, out, cx);
        let sending = Sending { body: response.body, chunked: form == Form::Chunked, sent: 0, persistent, exchanged };
        self.enter(Phase::Sending(Box::new(sending)), cx);
    }

    /// Sends on, as there is room.
    fn sending(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step {
        let Phase::Sending(sending) = &mut self.phase else { return Step::Again };
        let whole = loop {
            let room = io.output.room();
            if room == 0 {
                return Step::Wait(Want::NOTHING);
            }
            let (before, sent) = (io.output.buffer().len(), sending.sent);
            let next = match &mut sending.body {
                Body::Bytes(bytes) => {
                    let rest = &bytes[sending.sent as usize..];
                    let count = rest.len().min(room);
                    io.output.write(&rest[..count]);
                    sending.sent += count as u64;
                    Some(if count == rest.len() { Pull::End } else { Pull::More })
                }
                Body::Source(source) => {
                    let mut content = std::mem::take(&mut cx.shared.http.scratch);
                    let pulled = catch_unwind(AssertUnwindSafe(|| source.pull(&mut content, room, cx.time.now)));
                    sending.sent += content.len() as u64;
                    if sending.chunked {
                        encode_chunk(&content, io.output.buffer());
                    } else {
                        io.output.write(&content);
                    }
                    content.clear();
                    cx.shared.http.scratch = content;
                    pulled.ok()
                }
            };
            if sending.chunked && next == Some(Pull::End) {
                io.output.write(LAST_CHUNK);
            }
            if let Some(exchanged) = &mut sending.exchanged {
                exchanged.add(sending.sent - sent, (io.output.buffer().len() - before) as u64);
            }
            match next {
                Some(Pull::More) => {}
                Some(Pull::Wait(until)) => return Step::Wait(Want::NOTHING.by(until)),
                Some(Pull::End) => break true,
                None => {
                    log::error!("#{}.{} the application panicked in its answer", cx.handle.number(), self.requests);
                    // The body gets no end, so the client knows that it isn't whole.
                    break false;
                }
            }
        };
        let persistent = sending.persistent && whole && !cx.draining;
        if let Some(mut exchanged) = sending.exchanged.take() {
            exchanged.end(0, cx);
        }
        self.proceed(persistent, cx);
        Step::Again
    }

    /// Waits until a file is gone. Not until what stands behind it is gone too
    /// (the end of a multipart answer): there is room again before, so nobody
    /// would call once more.
    fn sending_file(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step {
        let Phase::SendingFile { persistent, exchanged } = &mut self.phase else { return Step::Again };
        if io.output.has_file() {
            return Step::Wait(Want::NOTHING);
        }
        let persistent = *persistent && !cx.draining;
        if let Some(mut exchanged) = exchanged.take() {
            exchanged.end(0, cx);
        }
        self.proceed(persistent, cx);
        Step::Again
    }

    /// The answer is in the output: what comes next.
    #[inline]
    fn finish(
        &mut self,
        head: &RequestHead<'_>,
        status: Status,
        body: u64,
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
        if out.output.has_file() {
            let exchanged = self.exchanged(head, status, body, out, cx);
            self.enter(Phase::SendingFile { persistent, exchanged }, cx);
            return;
        }
        if cx.shared.http.access.enabled {
            access::write(access::first_line(head.raw), head.fields, out.account(status, body, self.requests), cx);
        }
        match &mut self.phase {
            // The usual case: from one request to the next.
            Phase::Idle { since } if persistent => *since = cx.time.now,
            _ => self.proceed(persistent, cx),
        }
    }

    /// What the log has to know when the answer has gone, if there is a log.
    fn exchanged(
        &self,
        head: &RequestHead<'_>,
        status: Status,
        body: u64,
        out: &Out<'_, '_>,
        cx: &Cx<'_>,
    ) -> Option<Box<Exchanged>> {
        let account = || out.account(status, body, self.requests);
        cx.shared.http.access.enabled.then(|| Box::new(Exchanged::begin(head.raw, account(), cx.time.now)))
    }

    /// The answer is given: waits for the next request, or closes.
    fn proceed(&mut self, persistent: bool, cx: &mut Cx<'_>) {
        let next = match (persistent, self.more) {
            (true, _) => Phase::Idle { since: cx.time.now },
            (false, false) => Phase::Closing(Finish::Close),
            (false, true) => Phase::Closing(Finish::Linger),
        };
        self.enter(next, cx);
    }

    /// Answers with an error.
    fn refuse(
        &mut self,
        head: &RequestHead<'_>,
        reject: Reject,
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
        self.refuse_with(head, reject, b"", persistent, out, cx);
    }

    /// Answers with an error and further field lines.
    fn refuse_with(
        &mut self,
        head: &RequestHead<'_>,
        reject: Reject,
        lines: &[u8],
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
        let manner = Manner { minor: head.minor, head_only: head.method == Method::Head, persistent };
        let html = negotiate::accepts_html(&head.fields);
        let body = self.write_error(reject, lines, html, manner, out, cx);
        self.finish(head, reject.status, body, persistent, out, cx);
    }

    /// Answers what couldn't be understood, and closes.
    fn refuse_unparsed(&mut self, input: &[u8], reject: Reject, out: &mut Out<'_, '_>, cx: &mut Cx<'_>) {
        // As far as it can be understood: no content in answer to HEAD.
        let head_only = input.strip_prefix(b"\r\n").unwrap_or(input).starts_with(b"HEAD ");
        let manner = Manner { minor: 1, head_only, persistent: false };
        let body = self.write_error(reject, b"", true, manner, out, cx);
        if cx.shared.http.access.enabled {
            let account = out.account(reject.status, body, self.requests);
            access::write(access::first_line(input), Fields::default(), account, cx);
        }
        self.more = true;
        self.proceed(false, cx);
    }

    /// Writes an error: the site's own page for it, or ours. Says how long its body is.
    fn write_error(
        &self,
        reject: Reject,
        lines: &[u8],
        html: bool,
        manner: Manner,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) -> u64 {
        /// Long enough for a peak to pass, short enough to be waited for.
        const RETRY_AFTER: &[u8] = b"Retry-After: 5\r\n";
        let http = &mut cx.shared.http;
        let lines = if reject.status == Status::SERVICE_UNAVAILABLE { RETRY_AFTER } else { lines };
        if let (true, Some(site)) = (html, &mut http.site) {
            let page = site.serve_error(reject.status, lines, manner, &http.stamp, cx.time.now, out.output);
            if let Some(answered) = page {
                return answered.body;
            }
        }
        let mut content = std::mem::take(&mut http.scratch);
        error_page::write(&mut content, reject, html, cx.handle.number(), self.requests);
        let buffer = out.output.buffer();
        response::begin(buffer, reject.status, &http.stamp);
        buffer.extend_from_slice(lines);
        response::field(buffer, "Content-Type", error_page::media_type(html));
        buffer.extend_from_slice(b"X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n");
        let length = content.len() as u64;
        let (form, _) = response::end(buffer, manner, reject.status, Length::Known(length));
        let body = if form == Form::Plain { length } else { 0 };
        out.output.write(&content[..body as usize]);
        content.clear();
        http.scratch = content;
        body
    }
}

/// Compares the count of phases with the connections there are.
pub(super) fn audit(shared: &Shared, open: &mut dyn Iterator<Item = &Http>) {
    let mut census = Census::default();
    for http in open {
        census.enter(&http.phase);
    }
    assert_eq!(census, shared.census, "a phase was entered or left uncounted");
}

/// Whether a head that wasn't whole when it had `seen` octets is worth another
/// look: a line has ended since, or its length has doubled. So a head that comes
/// octet by octet is parsed once a line, and an endless line a few times.
fn has_news(input: &[u8], seen: usize) -> bool {
    seen == 0 || input.len().ilog2() > seen.ilog2() || memchr::memchr(b'\n', &input[seen..]).is_some()
}

fn too_large() -> Reject {
    Reject::new(Status::CONTENT_TOO_LARGE, "the body of the request is too large")
}

/// The value of Allow.
fn allow(methods: Methods) -> String {
    let names = match methods {
        Methods::Only(methods) => methods,
        Methods::Any => &[Method::Get, Method::Head, Method::Post, Method::Put, Method::Delete, Method::Patch],
    };
    let mut allow = String::new();
    for method in names.iter().filter(|method| **method != Method::Options) {
        allow.push_str(method.name());
        allow.push_str(", ");
    }
    allow.push_str("OPTIONS");
    allow
}

// What ten thousand idle connections cost is ten thousand times this.
const _: () = assert!(size_of::<Http>() <= 24);

#[cfg(test)]
mod tests;
