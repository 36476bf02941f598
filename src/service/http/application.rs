//! The call of an application: from a request to its response, with the session that the
//! application reads.
//!
//! ```text
//!            ┌──────── the store must be asked ───────┐
//!            │                                        ▼
//! begin ─▶ load ─▶ run ──▶ response ─▶ save ─▶ send  Waiting
//!            ▲       │                 │              ▲
//!            │       └──── job ──────▶ │ ─────────────┤
//!            └─ its result ◀── Waiting ◀──────────────┘
//! ```
//!
//! Between load and save the application runs in one turn, so two requests of one
//! session never work on the same state, however long each waits before and after.

use std::borrow::Cow;
use std::rc::Rc;

use super::body::{Destination, ReadingBody, Stream};
use super::coding::Coding;
use super::exchange::{Exchange, Turn};
use super::jobs;
use super::rejects::{FAILED, NO_STORE, SESSION_TOO_LARGE};
use super::respond::{self, refuse, refuse_with, send};
use super::state::{Progress, State};
use super::waiting::{AfterJob, Awaits, Waiting};
use super::watching::{self, Watching};
use crate::app::boundary::{Application, ContentSink};
use crate::app::{Answer, Call, Outcome, Ports, Request, Response, Sink};
use crate::http::compressing::{Traits, VARY};
use crate::http::response::{BodyForm, Length};
use crate::http::{Status, event_stream};
use crate::limits;
use crate::service;
use crate::session::{LoadResult, SaveError, SaveResult, Session, Store};

/// What a call of an application costs in units of [`Work`](crate::reactor::Work), beside
/// the body that it parses.
const CALL: u32 = 16;

/// An exchange whose handler is an application.
#[derive(Clone, Copy)]
pub(super) struct AppCall<'a> {
    pub(super) exchange: &'a Exchange<'a>,
    pub(super) body: &'a [u8],
    pub(super) app: &'a Rc<Application>,
    /// The length of the application's prefix.
    pub(super) mount: usize,
}

impl AppCall<'_> {
    /// Calls the application, for the first time or with the result of its job. If it reads
    /// sessions, the session of the client is loaded first, which may take several turns.
    pub(super) fn begin(self, done: Option<Outcome>, turn: &mut Turn<'_, '_>) -> Progress {
        match self.app.reads_session() {
            Ok(false) => return self.run(done, None, turn),
            Ok(true) => {}
            Err(_) => return refuse(self.exchange, FAILED, turn),
        }
        let (cx, exchange) = (&mut *turn.cx, self.exchange);
        let stored = &exchange.facts.host.sessions;
        stored.allow_retry(cx.time.now);
        match stored.sessions.load(&exchange.head.fields, exchange.facts.secure, cx.handle, cx.time) {
            LoadResult::Now(session) => self.run(done, Some(session), turn),
            LoadResult::Later(ticket) => wait_for_store(self.exchange, self.body, Awaits::Session(ticket, done), turn),
            LoadResult::Unavailable => refuse(self.exchange, NO_STORE, turn),
        }
    }

    /// Calls the application, whose session is loaded.
    pub(super) fn run(self, done: Option<Outcome>, mut session: Option<Session>, turn: &mut Turn<'_, '_>) -> Progress {
        let exchange = self.exchange;
        let (mount, path) = exchange.mount(self.mount);
        let request = Request { head: exchange.head, body: self.body, mount: &mount, path };
        let mut call = Call {
            time: turn.cx.time,
            connection: turn.cx.handle,
            request_number: turn.request,
            ends: turn.ends,
            client: exchange.client(turn.ends),
            secure: exchange.facts.secure,
            ports: ports(turn),
            session: session.as_mut(),
            news: false,
        };
        let answer = self.app.answer(&request, &mut call, done);
        turn.cx.work.spend(CALL);
        turn.cx.work.spend_bytes(self.body.len());
        if call.news {
            watching::notify(self.app, turn.cx);
        }
        match answer {
            Ok(Answer::Now(response)) => match session {
                Some(session) => self.save(response, session, turn),
                None => send(exchange, response, turn),
            },
            Ok(Answer::Later(class, job)) => {
                let job = move || service::Outcome::App(job());
                jobs::start(exchange, self.body, AfterJob::Call, class, job, turn)
            }
            Ok(Answer::Receive(sink)) => self.receive(sink, turn),
            Ok(Answer::Watch(seen)) => self.watch(seen, turn),
            Ok(Answer::Refused(reject)) => refuse(exchange, reject, turn),
            Err(_) => {
                log::error!("#{}.{} the application failed", turn.cx.handle.number(), turn.request);
                refuse(exchange, FAILED, turn)
            }
        }
    }

    /// Begins to hand the body of the request to the application.
    fn receive(self, sink: Box<dyn Sink>, turn: &mut Turn<'_, '_>) -> Progress {
        let sink = ContentSink::new(sink);
        let Some(limit) = self.exchange.facts.unread else {
            log::error!("an application asked for content that it was given before");
            return refuse(self.exchange, FAILED, turn);
        };
        let destination = Destination::Stream(Stream::new(sink));
        Progress::Pending(State::Body(ReadingBody::new(self.exchange, destination, limit, turn)))
    }

    /// Saves the session if it has changed, and then sends the response.
    fn save(self, response: Response, session: Session, turn: &mut Turn<'_, '_>) -> Progress {
        let (cx, secure) = (&mut *turn.cx, self.exchange.facts.secure);
        let stored = &self.exchange.facts.host.sessions;
        stored.allow_retry(cx.time.now);
        match stored.sessions.save(session, secure, cx.handle, cx.time) {
            SaveResult::Now(cookie) => send(self.exchange, response.private(cookie), turn),
            SaveResult::Later(ticket, cookie) => {
                let response = Box::new(response.private(cookie));
                wait_for_store(self.exchange, b"", Awaits::Saving(ticket, response), turn)
            }
            SaveResult::Refused(SaveError::Unavailable) => refuse(self.exchange, NO_STORE, turn),
            SaveResult::Refused(SaveError::TooLarge) => {
                log::error!("#{}.{} the session is too large", turn.cx.handle.number(), turn.request);
                refuse(self.exchange, SESSION_TOO_LARGE, turn)
            }
        }
    }

    /// Begins to send the events of the application after number `seen`.
    fn watch(self, seen: u64, turn: &mut Turn<'_, '_>) -> Progress {
        let fields = [
            ("Content-Type", event_stream::MEDIA_TYPE),
            ("Cache-Control", "no-store"),
            // A proxy that buffers a response to its end would never pass it on.
            ("X-Accel-Buffering", "no"),
        ];
        let status = Status::OK;
        let fields = fields.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let mut coding = Coding::decide(self.exchange, Traits::of(status, fields), Length::Unknown).in_pieces(turn);
        if let Some(reject) = coding.refusal() {
            return refuse_with(self.exchange, reject, VARY, turn);
        }
        let coder = coding.coder.take();
        let fields = coding.fields(fields.into_iter().map(|(name, value)| (name, Cow::from(value))));
        let (form, persistent) = respond::begin(self.exchange, status, fields, Length::Unknown, turn);
        if form == BodyForm::Absent {
            return respond::complete(self.exchange, status, 0, persistent, turn);
        }
        let body = respond::begin_body(self.exchange, status, form, turn).with(coder);
        let watching = Watching::begin(Rc::clone(self.app), seen, body, turn.output, turn.cx);
        Progress::Pending(State::Watching(watching))
    }
}

/// Waits for what was asked of the session store.
pub(super) fn wait_for_store(
    exchange: &Exchange<'_>,
    body: &[u8],
    awaits: Awaits,
    turn: &mut Turn<'_, '_>,
) -> Progress {
    let stored = &exchange.facts.host.sessions;
    // A commit to disk is a job.
    let on_disk = matches!(*stored.sessions.store(), Store::Disk(_));
    let patience = if on_disk { limits::JOB_TIMEOUT } else { limits::SESSION_STORE_TIMEOUT };
    let waiting = Waiting::new(exchange, body, awaits, patience, turn);
    if stored.flush(turn.cx).is_err() {
        if let Some(ticket) = waiting.ticket() {
            stored.sessions.forget(ticket);
        }
        return refuse(exchange, NO_STORE, turn);
    }
    Progress::Pending(State::Waiting(waiting))
}

/// The ports of the web server, if the client is connected to one of them.
fn ports(turn: &Turn<'_, '_>) -> Ports {
    let http = &turn.cx.shared.http;
    let peer = turn.ends.peer().map(|peer| peer.ip());
    if http.proxies.trust(peer) { Ports::default() } else { http.ports }
}
