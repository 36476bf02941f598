//! A connection to an upstream: one exchange after the other.
//!
//! ```text
//! new ─▶ established: the exchange that waits for it is told
//!          │
//! idle ◀───┴──────────── response and request are complete, both persist ───────┐
//!  │ Ask                                                                        │
//!  └───▶ the head is written ─▶ content, as far as it comes ─▶ response is read ┤
//!                                                                               └─▶ closed
//! ```
//!
//! Nothing is written before the connection is established, and nothing to one that the upstream has
//! closed; so a request that wasn't written can be sent elsewhere. It reads only what its exchange has room for. What an upstream says about its framing isn't
//! passed on: the content is taken out of it, and a response that is ambiguous, or cut, fails.
//!
//! A connection that has become a tunnel is one until it closes (`tunnel`).

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use super::storing::Growing;
use super::{
    Answer, Ask, BESIDE, Content, ExchangeId, Flow, FromUpstream, InFlight, Kept, Passing, Storing, ToUpstream,
    TunnelEnd, Upstream, WINDOW,
};
use crate::http::chunked::{LAST_CHUNK, encode_chunk};
use crate::http::client::{Body, HttpError, RequestKind, ResponseHead, ResponseReader};
use crate::http::framing::parse_length;
use crate::http::proxying::{UpstreamFailure, response_fields, upgrade_fields};
use crate::http::response::Length;
use crate::http::{FieldLines, Status};
use crate::limits;
use crate::reactor::{Context, Ending, Finish, Io, Tick, TlsFailure, Want};
use crate::service::{Message, Service};

type Cx<'a> = Context<'a, Service>;

/// The protocol of the connection.
pub struct UpstreamConnection {
    upstream: Rc<Upstream>,
    /// Messages that weren't acted on.
    inbox: VecDeque<(ExchangeId, ToUpstream)>,
    exchange: Option<Current>,
    /// The exchange that waits for a new connection.
    waiting: Option<ExchangeId>,
    established: bool,
    /// When it was asked for, was established, or became idle.
    since: Tick,
    /// Requests so far.
    requests: u32,
    /// Why it can't be used any more.
    failure: Option<UpstreamFailure>,
    /// The exchange doesn't want its response.
    cancelled: bool,
    /// Its last response was read.
    is_over: bool,
}

/// The exchange that it has.
struct Current {
    id: ExchangeId,
    reader: ResponseReader,
    content: Content,
    /// All of the request was written.
    is_asked: bool,
    /// Bytes of content that were written, and for which no room was announced yet.
    owed: usize,
    /// Bytes of the response that the exchange has room for.
    room: usize,
    /// When something was received or sent last.
    progress: Tick,
    /// Bytes pass unchanged.
    tunnel: Option<TunnelEnd>,
    /// How the response is stored.
    storing: Option<Box<Storing>>,
    /// It is being stored.
    growing: Option<Box<Growing>>,
}

impl UpstreamConnection {
    /// A connection that was just asked for by an exchange, which is told when it is established.
    pub(super) fn new(upstream: Rc<Upstream>, exchange: ExchangeId, now: Tick) -> Self {
        Self {
            upstream,
            inbox: VecDeque::new(),
            exchange: None,
            waiting: Some(exchange),
            established: false,
            since: now,
            requests: 0,
            failure: None,
            cancelled: false,
            is_over: false,
        }
    }

    /// Takes note of a message.
    pub fn deliver(&mut self, from: ExchangeId, message: ToUpstream) {
        if let Some(Current { id, tunnel: Some(end), .. }) = &mut self.exchange
            && *id == from
        {
            Flow::of_client(message).into_iter().for_each(|flow| end.deliver(flow));
            return;
        }
        self.inbox.push_back((from, message));
    }

    /// The cache may have room again.
    pub fn woken(&mut self) {
        if let Some(growing) = self.exchange.as_mut().and_then(|current| current.growing.as_mut()) {
            growing.is_paused = false;
        }
    }

    /// Bytes of memory that it holds beyond its own size.
    pub fn memory(&self) -> usize {
        let of = |(_, message): &(ExchangeId, ToUpstream)| match message {
            ToUpstream::Piece(bytes) => bytes.capacity(),
            ToUpstream::Ask(ask) => ask.head.capacity(),
            ToUpstream::Connect | ToUpstream::End | ToUpstream::Room(_) | ToUpstream::Cancel => 0,
        };
        let tunnel = self.exchange.as_ref().and_then(|current| current.tunnel.as_ref());
        size_of::<Self>() + self.inbox.iter().map(of).sum::<usize>() + tunnel.map_or(0, TunnelEnd::memory)
    }

    /// Writes what the exchange sends, and reads what it has room for.
    pub fn advance(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Want {
        if io.established && !self.established {
            (self.established, self.since) = (true, cx.time.now);
            if let Some(id) = self.waiting {
                send(id, FromUpstream::Established, cx);
            }
        }
        self.take_room(cx.time.now);
        self.take_messages(io, cx);
        if self.cancelled || self.failure.is_some() {
            return Want::finish(Finish::Abort);
        }
        if let Err(failure) = self.read(io, cx) {
            self.failure = Some(failure);
            return Want::finish(Finish::Abort);
        }
        if let Some(want) = self.pass(io, cx) {
            return want;
        }
        self.announce_room(io, cx);
        match self.exchange {
            Some(_) => self.wait(io, cx),
            None => self.wait_idle(io, cx),
        }
    }

    /// Takes note of the room that the exchange has. If that waited behind content that the upstream
    /// doesn't take, the two directions could wait for each other.
    fn take_room(&mut self, now: Tick) {
        let Some(current) = &mut self.exchange else { return };
        self.inbox.retain(|(id, message)| match message {
            ToUpstream::Room(bytes) if *id == current.id => {
                current.room += bytes;
                current.progress = now;
                false
            }
            _ => true,
        });
    }

    /// Acts on what the exchange says, while the output has room.
    fn take_messages(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) {
        while io.output.room() > 0 {
            let Some((id, message)) = self.inbox.pop_front() else { return };
            match message {
                // It wouldn't be answered: it stays for another connection.
                ToUpstream::Ask(_) if io.ended || !io.input.is_empty() => {
                    self.waiting = None;
                    return self.inbox.push_front((id, message));
                }
                ToUpstream::Ask(ask) => {
                    let Ask { head, content, kind, storing } = *ask;
                    io.output.write(&head);
                    self.begin(Current { storing, ..Current::new(id, kind, content, cx.time.now) });
                    continue;
                }
                ToUpstream::Connect => {
                    let tunnel = Some(TunnelEnd::new(cx.time.now));
                    let current = Current::new(id, RequestKind::Tunnel, Content::None, cx.time.now);
                    self.begin(Current { tunnel, ..current });
                    send(id, FromUpstream::Tunnel(Status::OK, FieldLines::default()), cx);
                    continue;
                }
                ToUpstream::Cancel if self.waiting == Some(id) => self.cancelled = true,
                _ => {}
            }
            // What is about an exchange that is over changes nothing.
            let Some(current) = self.exchange.as_mut().filter(|current| current.id == id) else { continue };
            match message {
                ToUpstream::Ask(_) | ToUpstream::Connect | ToUpstream::Room(_) => {}
                ToUpstream::Piece(bytes) => {
                    match current.content {
                        Content::Chunked => encode_chunk(&bytes, io.output.buffer()),
                        Content::Plain | Content::None => io.output.write(&bytes),
                    }
                    current.owed += bytes.len();
                    current.progress = cx.time.now;
                }
                ToUpstream::End => {
                    if current.content == Content::Chunked {
                        io.output.write(LAST_CHUNK);
                    }
                    current.is_asked = true;
                    current.progress = cx.time.now;
                }
                // What is being stored has other readers, or will have.
                ToUpstream::Cancel => self.cancelled = current.growing.is_none(),
            }
        }
    }

    fn begin(&mut self, current: Current) {
        self.waiting = None;
        self.requests = self.requests.saturating_add(1);
        self.exchange = Some(current);
    }

    /// Reads the response, as far as the exchange has room for it.
    fn read(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Result<(), UpstreamFailure> {
        loop {
            let Some(current) = &mut self.exchange else {
                // Nobody has asked for anything. One who waits may want what the upstream says first.
                let is_fine = io.input.is_empty() || self.waiting.is_some();
                return if is_fine { Ok(()) } else { Err(UpstreamFailure::Malformed) };
            };
            if cx.work.is_spent() || current.tunnel.is_some() {
                return Ok(());
            }
            let consumed = match current.reader.awaits_head() {
                true => current.read_head(&self.upstream, io, cx)?,
                false => current.read_content(io, cx)?,
            };
            if consumed > 0 {
                current.progress = cx.time.now;
                io.input.consume(consumed);
            }
            if !current.reader.awaits_head() && current.reader.is_done() {
                self.upstream.works();
                self.end(io, cx);
            } else if consumed == 0 {
                return if io.ended { self.end_of_input(io, cx) } else { Ok(()) };
            }
        }
    }

    /// The upstream has closed its side.
    fn end_of_input(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Result<(), UpstreamFailure> {
        let Some(current) = &mut self.exchange else { return Ok(()) };
        // What is left may be content that the exchange has no room for.
        let is_body = !current.reader.awaits_head();
        if is_body && !io.input.is_empty() {
            return Ok(());
        }
        // Over TLS a missing close_notify may have cut the response.
        if io.truncated && current.reader.remaining().is_none() {
            return Err(UpstreamFailure::Closed);
        }
        match current.reader.end(io.input.bytes_mut()) {
            Ok(()) => {
                self.end(io, cx);
                Ok(())
            }
            Err(HttpError::Malformed(_)) => Err(UpstreamFailure::Malformed),
            Err(HttpError::NoResponse | HttpError::Truncated) => Err(UpstreamFailure::Closed),
        }
    }

    /// The response is complete.
    fn end(&mut self, io: &Io<'_>, cx: &mut Cx<'_>) {
        let Some(mut current) = self.exchange.take() else { return };
        match current.growing.take() {
            Some(growing) => growing.end(true),
            None => send(current.id, FromUpstream::End, cx),
        }
        // An upstream that responds before it has the whole request doesn't want the rest.
        let persists = current.reader.is_persistent() && current.is_asked && !io.ended && io.input.is_empty();
        self.since = cx.time.now;
        let persists = persists && self.requests < limits::UPSTREAM_REQUESTS;
        self.is_over = !persists || cx.draining || !self.upstream.keep_idle(cx.handle);
    }

    /// Passes bytes on, if the connection is a tunnel. Returns what it wants then.
    fn pass(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Option<Want> {
        let Current { id, tunnel: Some(end), .. } = self.exchange.as_mut()? else { return None };
        self.upstream.works();
        io.output.write(&end.take_arrived(io, cx.time.now));
        while let Some(flow) = end.next(io, cx) {
            send(*id, flow.into(), cx);
        }
        Some(match end.passing(io) {
            Passing::On(want) => want,
            Passing::Over => {
                self.exchange = None;
                Want::finish(Finish::Close)
            }
            Passing::Lost => {
                self.cancelled = true;
                Want::finish(Finish::Abort)
            }
        })
    }

    /// Tells the exchange that its content is on its way.
    fn announce_room(&mut self, io: &Io<'_>, cx: &mut Cx<'_>) {
        if let Some(current) = &mut self.exchange
            && current.owed > 0
            && io.output.room() > 0
        {
            send(current.id, FromUpstream::Room(std::mem::take(&mut current.owed)), cx);
        }
    }

    /// Waits for the upstream or for the exchange.
    fn wait(&mut self, io: &Io<'_>, cx: &Cx<'_>) -> Want {
        if cx.work.is_spent() && !io.input.is_empty() {
            return Want::AGAIN;
        }
        let Some(current) = &self.exchange else { return Want::finish(Finish::Close) };
        let timeouts = self.upstream.timeouts();
        let deadline = match current.reader.awaits_head() {
            true => current.progress.after(timeouts.response),
            // The exchange gives up a client that takes nothing.
            false if current.growing.is_none() && current.room == 0 => return Want::NOTHING,
            false => current.progress.after(timeouts.idle),
        };
        if cx.time.now >= deadline {
            self.failure = Some(UpstreamFailure::ResponseTimeout);
            return Want::finish(Finish::Abort);
        }
        // The store wakes one that is paused.
        let is_paused = current.growing.as_ref().is_some_and(|growing| growing.is_paused);
        if is_paused { Want::NOTHING.by(deadline) } else { Want::READ.by(deadline) }
    }

    /// Waits until the connection is established, and for the next request.
    fn wait_idle(&mut self, io: &Io<'_>, cx: &Cx<'_>) -> Want {
        let late = if self.established { limits::UPSTREAM_IDLE } else { self.upstream.timeouts().connect };
        let deadline = self.since.after(late);
        let is_late = cx.time.now >= deadline;
        if is_late && !self.established {
            self.failure = Some(UpstreamFailure::ConnectTimeout);
            return Want::finish(Finish::Abort);
        }
        if self.is_over || io.ended || is_late || (cx.draining && self.waiting.is_none()) {
            self.upstream.forget_idle(cx.handle);
            return Want::finish(Finish::Close);
        }
        Want::READ.by(deadline)
    }

    /// The connection is over, or was never made.
    pub fn closed(&mut self, ending: &Ending, cx: &mut Cx<'_>) {
        self.upstream.forget_idle(cx.handle);
        if let Some(current) = &mut self.exchange
            && current.growing.take().is_some()
        {
            // Its clients read what is stored.
            return;
        }
        // The request may still be among the messages.
        let asked = self.inbox.iter().find(|(_, message)| matches!(message, ToUpstream::Ask(_) | ToUpstream::Connect));
        if let Some((id, _)) = asked {
            return send(*id, FromUpstream::Unasked, cx);
        }
        // One that was told that the connection is there finds that it is gone when it asks.
        let waiting = self.waiting.filter(|_| !self.established);
        let exchange = self.exchange.as_ref().map(|current| current.id).or(waiting);
        let Some(id) = exchange.filter(|_| !self.cancelled) else { return };
        let failure = self.failure.unwrap_or_else(|| reason(ending, self.established));
        log::debug!("#{} to {}: {failure:?}", cx.handle.number(), self.upstream.url);
        send(id, FromUpstream::Failed(failure), cx);
    }
}

/// Why a connection has ended.
fn reason(ending: &Ending, established: bool) -> UpstreamFailure {
    let error = ending.error.as_ref();
    if error.and_then(TlsFailure::of).is_some() {
        return UpstreamFailure::Tls;
    }
    match (established, error.map(io::Error::kind)) {
        (false, Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)) => UpstreamFailure::Refused,
        (false, Some(io::ErrorKind::TimedOut)) => UpstreamFailure::ConnectTimeout,
        (false, _) => UpstreamFailure::Unreachable,
        (true, _) => UpstreamFailure::Closed,
    }
}

impl Current {
    fn new(id: ExchangeId, kind: RequestKind, content: Content, now: Tick) -> Self {
        let is_asked = content == Content::None;
        Self {
            id,
            reader: ResponseReader::new(kind),
            content,
            is_asked,
            owed: 0,
            room: WINDOW,
            progress: now,
            tunnel: None,
            storing: None,
            growing: None,
        }
    }

    /// Reads the next head. Returns the bytes consumed.
    fn read_head(
        &mut self,
        upstream: &Rc<Upstream>,
        io: &mut Io<'_>,
        cx: &mut Cx<'_>,
    ) -> Result<usize, UpstreamFailure> {
        if io.input.is_empty() {
            return Ok(0);
        }
        let is_full = io.input.is_full();
        let mut lines = FieldLines::default();
        let head = match self.reader.head(io.input.bytes_mut(), &mut lines) {
            Ok(Some(head)) => head,
            Ok(None) if is_full => return Err(UpstreamFailure::TooLarge),
            Ok(None) => return Ok(0),
            Err(_) => return Err(UpstreamFailure::Malformed),
        };
        let (length, status) = (head.length, head.status);
        // In these two Upgrade is about the request, and not about the connection alone.
        let is_about_upgrade = matches!(status, Status::SWITCHING_PROTOCOLS | Status::UPGRADE_REQUIRED);
        let further = is_about_upgrade.then(|| upgrade_fields(head.fields)).into_iter().flatten();
        let fields = FieldLines::of(response_fields(head.fields).chain(further));
        let answer = match head.body {
            Body::Tunnel if status == Status::SWITCHING_PROTOCOLS => {
                self.tunnel = Some(TunnelEnd::new(cx.time.now));
                FromUpstream::Tunnel(status, fields)
            }
            // A 2xx to a CONNECT that wasn't for a proxy.
            Body::Tunnel => return Err(UpstreamFailure::Malformed),
            _ if head.is_interim() => FromUpstream::Interim(status, fields),
            _ => {
                let kept = self.storing.as_ref().map_or(Kept::No, |storing| storing.head(&head, cx.handle, cx.time));
                if let (Kept::Growing(filling, _), Some(storing)) = (&kept, &self.storing) {
                    let growing = Growing::new(storing, *filling, head.body, InFlight::begin(upstream));
                    self.growing = Some(Box::new(growing));
                } else if self.id.request == BESIDE && head.body != Body::Absent {
                    // Nobody wants it.
                    return Err(UpstreamFailure::Closed);
                }
                FromUpstream::Head(Box::new(Answer { status, fields, length: length_of(&head), kept }))
            }
        };
        send(self.id, answer, cx);
        Ok(length)
    }

    /// Reads content. Returns the bytes consumed.
    fn read_content(&mut self, io: &Io<'_>, cx: &mut Cx<'_>) -> Result<usize, UpstreamFailure> {
        let input = io.input.bytes();
        let most = match &self.growing {
            Some(growing) if growing.is_paused => 0,
            Some(_) => input.len(),
            None => input.len().min(self.room),
        };
        if most == 0 {
            return Ok(0);
        }
        let progress = self.reader.read(&input[..most]).map_err(|_| UpstreamFailure::Malformed)?;
        let content = &input[progress.content];
        if !content.is_empty() {
            cx.work.spend_bytes(content.len());
            if let Some(growing) = &mut self.growing {
                // Readers see in the store that it failed.
                return if growing.append(content) { Ok(progress.consumed) } else { Err(UpstreamFailure::Closed) };
            }
            self.room -= content.len();
            send(self.id, FromUpstream::Piece(content.to_vec()), cx);
        }
        Ok(progress.consumed)
    }
}

/// The length of the content; for HEAD that of the content that GET would get.
fn length_of(head: &ResponseHead<'_>) -> Length {
    match head.body {
        Body::Length(bytes) => Length::Known(bytes),
        Body::Chunked | Body::UntilClose | Body::Tunnel => Length::Unknown,
        Body::Absent => {
            let told = head.fields.get("content-length").and_then(parse_length);
            // Without a field GET would get content up to the end of the connection.
            told.map_or(Length::Unknown, Length::Known)
        }
    }
}

fn send(to: ExchangeId, what: FromUpstream, cx: &mut Cx<'_>) {
    cx.send(to.client, Message::FromUpstream(cx.handle, to, what));
}
