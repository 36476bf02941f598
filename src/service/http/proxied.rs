//! The exchange of a gateway: another server answers the request.
//!
//! Content and response stream at the same time, each as fast as its slower side, and with a bounded
//! window (`service/proxy`). Nothing is sent before the connection is established, so an upstream
//! that can't be reached costs no content. A request is sent again only if nothing of a response was
//! received, none of its content was sent, and either it wasn't sent itself or doing it twice does no
//! harm (RFC 9110 §9.2.2).

use std::collections::VecDeque;
use std::rc::Rc;

use super::asking::{Fetch, Plan, Wanted};
use super::body_writer::BodyWriter;
use super::counts::Timeout;
use super::exchange::{Exchange, Facts, Turn};
use super::persistence::{Reading, Writing};
use super::request_content::RequestContent;
use super::step::Step;
use super::tunnel::Link;
use crate::cache::Response;
use crate::http::caching::Handling;
use crate::http::head::{self, Method, RequestHead};
use crate::http::proxying::UpstreamFailure;
use crate::http::response;
use crate::http::{FieldLines, Fields, Reject, Status};
use crate::reactor::{Bytes, Ends, Handle, Io, JobId, Tick, Want};
use crate::service::proxy::{
    Answer, Chosen, Content, Dialed, Dialing, ExchangeId, FromUpstream, Owed, Room, ToUpstream, Upstream,
};
use crate::service::{Cx, Message};

/// A request that an upstream answers.
pub(super) struct Proxied {
    /// The head as it was received.
    head: Vec<u8>,
    /// The minor version of its HTTP.
    minor: u8,
    /// The client lets another request follow.
    persistent: bool,
    facts: Facts,
    plan: Plan,
    id: ExchangeId,
    chosen: Chosen,
    /// The connection that was asked.
    connection: Handle,
    /// The connection had other requests before, and may just be closing.
    reused: bool,
    /// Upstreams that failed.
    tried: Vec<*const Upstream>,
    inbox: VecDeque<(Handle, FromUpstream)>,
    content: RequestContent,
    stage: Stage,
}

/// How far the response is.
enum Stage {
    /// All upstreams have as many requests as they should have.
    Queued,
    /// There is no connection yet.
    Dialing(Dialing),
    /// Its head has not come.
    Asked,
    /// Its content is sent.
    Sending {
        persistent: bool,
        /// What was written.
        owed: Owed,
        body: BodyWriter,
    },
}

/// How a turn of the exchange ended.
pub(super) enum End {
    /// The head of the response has come. When it is written, the exchange goes on.
    Head(Box<Answer>),
    /// The response was written.
    Written(Writing),
    /// There is none; something else follows.
    Over(Over),
}

/// What follows an exchange without a response of the upstream.
pub(super) enum Over {
    /// This is to be sent.
    Refused(Reject),
    /// The upstream has failed.
    Failed(UpstreamFailure),
    /// A stored response.
    Stored(Rc<Response>, Handling),
    /// A tunnel, after a head with these fields.
    Tunnel(Status, FieldLines),
}

impl Proxied {
    /// Asks the upstream that was chosen for an exchange, or waits for one.
    pub(super) fn begin(exchange: &Exchange<'_>, plan: Plan, chosen: Chosen, turn: &mut Turn<'_, '_>) -> Box<Self> {
        let head = exchange.head;
        let limit = exchange.facts.unread.unwrap_or(u64::MAX);
        let content = RequestContent::new(head.framing, limit, turn.cx.time.now);
        let mut this = Box::new(Self {
            head: head.raw.to_vec(),
            minor: head.minor,
            persistent: head.persistent,
            facts: exchange.facts.clone(),
            plan,
            id: ExchangeId { client: turn.cx.handle, request: turn.request },
            chosen,
            connection: turn.cx.handle,
            reused: false,
            tried: Vec::new(),
            inbox: VecDeque::new(),
            content,
            stage: Stage::Queued,
        });
        this.connect(true, Some(head), turn.ends, turn.cx);
        this
    }

    /// Asks by an idle connection, or waits for a new one, or in the queue. `head` is the head if it is still
    /// there as it was parsed.
    fn connect(&mut self, may_reuse: bool, head: Option<&RequestHead<'_>>, ends: Ends<'_>, cx: &mut Cx<'_>) {
        self.content.hold();
        let Some(upstream) = self.upstream().map(Rc::clone) else {
            self.stage = Stage::Queued;
            return;
        };
        let is_request = matches!(self.plan.wanted, Wanted::Response(_));
        let idle = if may_reuse && is_request { upstream.take_idle() } else { None };
        self.reused = idle.is_some();
        match idle {
            Some(connection) => self.ask(connection, head, ends, cx),
            None => self.stage = Stage::Dialing(Dialing::new(upstream, self.id, cx.time.now)),
        }
    }

    /// Asks the upstream. The content of the request follows.
    fn ask(&mut self, connection: Handle, head: Option<&RequestHead<'_>>, ends: Ends<'_>, cx: &mut Cx<'_>) {
        let Some(upstream) = self.upstream() else { return };
        let mut lines = FieldLines::default();
        let again;
        let head = match head {
            Some(head) => head,
            None => {
                again = head::parse_again(&self.head, &mut lines);
                &again
            }
        };
        let ask = self.plan.ask(head, upstream, &self.facts, ends, cx);
        let has_content = matches!(&ask, ToUpstream::Ask(ask) if ask.content != Content::None);
        self.content.begin(has_content, Room::whole(cx.window()), cx.time.now);
        (self.connection, self.stage) = (connection, Stage::Asked);
        self.tell(ask, cx);
    }

    fn tell(&self, message: ToUpstream, cx: &mut Cx<'_>) {
        cx.send(self.connection, Message::ToUpstream(self.id, message));
    }

    /// Takes note of a message from the upstream.
    pub(super) fn deliver(&mut self, from: Handle, id: ExchangeId, message: FromUpstream) {
        if id == self.id {
            self.inbox.push_back((from, message));
        }
    }

    /// A message to the upstream didn't arrive: its connection is gone.
    pub(super) fn undelivered(&mut self, to: Handle, id: ExchangeId, message: &ToUpstream) {
        // If the connection has told why, that came first.
        if id == self.id && self.inbox.iter().all(|(from, _)| *from != to) {
            let is_unasked = matches!(message, ToUpstream::Ask(_) | ToUpstream::Connect);
            let closed = FromUpstream::Failed(UpstreamFailure::Closed);
            self.inbox.push_back((to, if is_unasked { FromUpstream::Unasked } else { closed }));
        }
    }

    /// A job has ended.
    pub(super) fn job_ended(&mut self, job: JobId) {
        if let Stage::Dialing(dialing) = &mut self.stage {
            dialing.job_ended(job);
        }
    }

    /// The client is gone.
    pub(super) fn cancel(&self, cx: &mut Cx<'_>) {
        match &self.stage {
            Stage::Queued => {}
            Stage::Dialing(dialing) => dialing.cancel(cx),
            Stage::Asked | Stage::Sending { .. } => self.tell(ToUpstream::Cancel, cx),
        }
    }

    /// The exchange is over: another one may begin at its upstream.
    pub(super) fn make_room(&self, cx: &mut Cx<'_>) {
        self.plan.proxy.queue.wake(self.id, cx);
    }

    /// Bytes of memory that it holds beyond its own size.
    pub(super) fn memory(&self) -> usize {
        let pieces = self.inbox.iter().filter_map(|(_, message)| message.piece());
        let inbox = Bytes::memory_of(pieces) + self.inbox.iter().map(|(_, message)| message.memory()).sum::<usize>();
        let path = self.facts.path_memory();
        let body = if let Stage::Sending { body, .. } = &self.stage { body.memory() } else { 0 };
        self.head.capacity() + self.plan.memory() + path + body + inbox
    }

    /// The writer of the response, if it has begun.
    pub(super) fn body(&self) -> Option<&BodyWriter> {
        if let Stage::Sending { body, .. } = &self.stage { Some(body) } else { None }
    }

    /// The same, mutable.
    pub(super) fn body_mut(&mut self) -> Option<&mut BodyWriter> {
        if let Stage::Sending { body, .. } = &mut self.stage { Some(body) } else { None }
    }

    /// What the client may still send after this exchange.
    pub(super) fn reading(&self) -> Reading {
        match (self.content.reader.is_done(), self.persistent) {
            (false, _) => Reading::Unread,
            (true, true) => Reading::KeepAlive,
            (true, false) => Reading::Last,
        }
    }

    /// The head and the facts, for a response of this server, the plan, and the way to the upstream.
    pub(super) fn into_parts(self) -> (Vec<u8>, Facts, Plan, Link) {
        // What is not read of the request is not read any more.
        let unread = self.facts.unread.filter(|_| !self.content.reader.is_done());
        let Self { head, facts, plan, id, chosen, connection, inbox, .. } = self;
        (head, Facts { unread, ..facts }, plan, Link { id, chosen, connection, inbox })
    }

    /// Passes on what is there, in both directions.
    pub(super) fn advance(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step<End> {
        if io.gone {
            return self.give_up(End::Written(Writing::Abort), cx);
        }
        self.content.set_window(cx.window());
        self.take_room(cx.time.now);
        while io.output.room() > 0 {
            let Some((from, message)) = self.inbox.pop_front() else { break };
            if let Stage::Dialing(dialing) = &mut self.stage {
                dialing.hear(from, &message, cx.time.now);
            } else if from == self.connection
                && let Some(end) = self.take(message, io, cx)
            {
                return Step::Done(end);
            }
        }
        if let (true, Stage::Sending { body, .. }) = (self.inbox.is_empty(), &mut self.stage) {
            body.flush(io.output, cx);
        }
        while matches!(self.stage, Stage::Queued | Stage::Dialing(_)) {
            match self.approach(io.ends, cx) {
                Ok(None) => {}
                Ok(Some(until)) => return Step::Wait(Want::NOTHING.by(until)),
                Err(failure) => return Step::Done(End::Over(Over::Failed(failure))),
            }
        }
        if let Err(end) = self.read_content(io, cx) {
            return self.give_up(end, cx);
        }
        if let Stage::Sending { owed, .. } = &mut self.stage
            && let Some(taken) = owed.announce(io.output)
        {
            self.tell(ToUpstream::Room(taken), cx);
        }
        self.wait(io, cx)
    }

    /// Goes on towards a connection. Returns until when it waits, if it does.
    fn approach(&mut self, ends: Ends<'_>, cx: &mut Cx<'_>) -> Result<Option<Tick>, UpstreamFailure> {
        let now = cx.time.now;
        if let Chosen::Waits(place) = &self.chosen {
            let until = place.until();
            let Some(in_flight) = self.plan.proxy.take(&self.tried, self.id, now) else {
                return if now < until { Ok(Some(until)) } else { Err(UpstreamFailure::Busy) };
            };
            self.chosen = Chosen::Upstream(in_flight);
            // There may be room for another one.
            self.make_room(cx);
            self.connect(true, None, ends, cx);
        }
        let Stage::Dialing(dialing) = &mut self.stage else { return Ok(None) };
        match dialing.advance(cx) {
            Dialed::Waits(until) => return Ok(Some(until)),
            Dialed::Established(connection) => self.ask(connection, None, ends, cx),
            Dialed::Failed(failure) if self.ask_another(failure, ends, cx) => {}
            Dialed::Failed(failure) => return Err(failure),
        }
        Ok(None)
    }

    /// Ends the exchange; the upstream need not go on.
    fn give_up(&self, end: End, cx: &mut Cx<'_>) -> Step<End> {
        self.cancel(cx);
        Step::Done(match (end, &self.stage) {
            // A response that has begun can't become an error any more.
            (End::Over(_), Stage::Sending { body, .. }) => End::Written(body.cut()),
            (end, _) => end,
        })
    }

    /// Sends the content of the request to the upstream, as far as that has room.
    fn read_content(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Result<(), End> {
        let (connection, id) = (self.connection, self.id);
        let tell = |message, cx: &mut Cx<'_>| cx.send(connection, Message::ToUpstream(id, message));
        self.content.read(io, cx, tell).map_err(|reject| End::Over(Over::Refused(reject)))
    }

    /// Takes note of the room that the upstream has. If that waited behind a response that the client
    /// doesn't take, the two directions could wait for each other.
    fn take_room(&mut self, now: Tick) {
        let Self { inbox, connection, content, .. } = self;
        inbox.retain(|(from, message)| match message {
            FromUpstream::Room(taken) => {
                if from == connection {
                    content.give_room(*taken, now);
                }
                false
            }
            _ => true,
        });
    }

    /// Acts on a message. Returns the end of the exchange, if it is one.
    fn take(&mut self, message: FromUpstream, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Option<End> {
        match (message, &mut self.stage) {
            (FromUpstream::Interim(status, fields), Stage::Asked) => self.pass_interim(status, &fields.fields(), io),
            (FromUpstream::Head(answer), Stage::Asked) => return Some(End::Head(answer)),
            (FromUpstream::Tunnel(status, fields), Stage::Asked) => {
                return Some(End::Over(Over::Tunnel(status, fields)));
            }
            (FromUpstream::Piece(bytes), Stage::Sending { owed, body, .. }) => {
                owed.add(bytes.len());
                body.share(bytes, io.output, cx);
            }
            (FromUpstream::End, Stage::Sending { persistent, body, .. }) => {
                body.end(io.output, cx);
                return Some(End::Written(Writing::whole(*persistent)));
            }
            (FromUpstream::Failed(failure), Stage::Asked) => return self.try_again(failure, true, io, cx),
            (FromUpstream::Unasked, Stage::Asked) => return self.try_again(UpstreamFailure::Closed, false, io, cx),
            (FromUpstream::Failed(_), Stage::Sending { body, .. }) => {
                body.flush(io.output, cx);
                return Some(End::Written(body.cut()));
            }
            // No upstream sends these in this order: its reader sees to that. Room was taken before.
            (FromUpstream::Piece(_) | FromUpstream::End | FromUpstream::Established, Stage::Asked)
            | (
                FromUpstream::Head(_)
                | FromUpstream::Interim(..)
                | FromUpstream::Tunnel(..)
                | FromUpstream::Established
                | FromUpstream::Unasked,
                Stage::Sending { .. },
            )
            | (FromUpstream::Room(_), _)
            | (_, Stage::Queued | Stage::Dialing(_)) => {}
        }
        None
    }

    /// Passes on an interim response, which clients of HTTP/1.0 don't know.
    fn pass_interim(&self, status: Status, fields: &Fields<'_>, io: &mut Io<'_>) {
        if self.minor > 0 {
            let out = io.output.buffer();
            response::status_line(out, status);
            for (name, value) in fields.iter() {
                response::field(out, name, value);
            }
            io.output.write(b"\r\n");
        }
    }

    /// What the cache is to do.
    pub(super) fn fetch_mut(&mut self) -> Option<&mut Fetch> {
        self.plan.fetch.as_deref_mut()
    }

    /// The upstream's response was about something else: asks again, without what is stored.
    pub(super) fn ask_again(&mut self, ends: Ends<'_>, cx: &mut Cx<'_>) {
        if let Some(fetch) = self.fetch_mut() {
            fetch.place.stored = None;
        }
        self.connect(true, None, ends, cx);
    }

    /// What is asked of which upstreams.
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The upstream that was asked last.
    pub(super) fn upstream(&self) -> Option<&Rc<Upstream>> {
        self.chosen.upstream()
    }

    /// The head as it was received, and the facts, for a response.
    pub(super) fn parts(&self) -> (&[u8], &Facts) {
        (&self.head, &self.facts)
    }

    /// The head of the response was written: its content follows.
    pub(super) fn send(&mut self, persistent: bool, body: BodyWriter) {
        self.stage = Stage::Sending { persistent, owed: Owed::default(), body };
    }

    /// After a failure of the connection that was asked: asks again, or ends. `was_sent`: the upstream
    /// may have the request.
    fn try_again(&mut self, failure: UpstreamFailure, was_sent: bool, io: &Io<'_>, cx: &mut Cx<'_>) -> Option<End> {
        let mut lines = FieldLines::default();
        let is_idempotent = is_idempotent(head::parse_again(&self.head, &mut lines).method);
        let may_repeat = !was_sent || (is_idempotent && failure.is_worth_another_attempt());
        let again = if self.content.has_begun() || !may_repeat {
            if let Some(upstream) = self.upstream().filter(|_| !self.reused) {
                upstream.failed(failure, cx.time.now);
            }
            false
        } else if self.reused {
            // It was closed while it was idle: that says nothing about the upstream. A new connection
            // can't be one that is just closing.
            self.connect(false, None, io.ends, cx);
            true
        } else {
            self.ask_another(failure, io.ends, cx)
        };
        (!again).then_some(End::Over(Over::Failed(failure)))
    }

    /// The upstream has failed: asks another one, or waits for one. False if there is none.
    fn ask_another(&mut self, failure: UpstreamFailure, ends: Ends<'_>, cx: &mut Cx<'_>) -> bool {
        if let Some(upstream) = self.upstream().map(Rc::clone) {
            // Otherwise it is its name that isn't known.
            if failure.is_worth_another_attempt() {
                upstream.failed(failure, cx.time.now);
            }
            self.tried.push(Rc::as_ptr(&upstream));
        }
        let Ok(next) = self.plan.proxy.choose(&self.tried, self.id, cx.time.now) else { return false };
        self.chosen = next;
        self.make_room(cx);
        self.connect(true, None, ends, cx);
        true
    }

    /// What is waited for: the client's content, or a message.
    fn wait(&mut self, io: &Io<'_>, cx: &mut Cx<'_>) -> Step<End> {
        let want = self.content.want();
        if !want.read {
            return Step::Wait(want);
        }
        if cx.work.is_spent() && !io.input.is_empty() {
            return Step::Wait(Want::AGAIN);
        }
        let deadline = self.content.deadline(cx);
        if cx.time.now >= deadline {
            cx.shared.http.counts.timed_out(Timeout::Body);
            let reject = Reject::new(Status::REQUEST_TIMEOUT, "the body of the request came too slowly");
            return self.give_up(End::Over(Over::Refused(reject)), cx);
        }
        Step::Wait(want.by(deadline))
    }
}

/// Whether doing it twice has the same effect as once (RFC 9110 §9.2.2).
fn is_idempotent(method: Method) -> bool {
    matches!(method, Method::Get | Method::Head | Method::Put | Method::Delete | Method::Options | Method::Trace)
}
