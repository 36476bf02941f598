//! A visit to an application: from a request to its answer, with the session that
//! it reads.
//!
//! ```text
//!            ┌──────── the store must be asked ───────┐
//!            │                                        ▼
//! visit ─▶ load ─▶ call ─▶ answer ─▶ save ─▶ send   Parked
//!            ▲       │                 │              ▲
//!            │       └──── job ──────▶ │ ─────────────┤
//!            └─ what came of it ◀── Parked ◀──────────┘
//! ```
//!
//! Between load and save the application runs in one turn, so two requests of one
//! session never work on the same state, however long each waits before and after.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::phase::{Awaits, Parked, Phase};
use super::{Cx, Http, Out, Step, shared};
use crate::app::{Answer, Outcome, Request, Response, Visit};
use crate::http::Lines;
use crate::http::head::{self, RequestHead};
use crate::http::{Reject, Status};
use crate::limits;
use crate::reactor::{Io, Want};
use crate::service::{Message, carrier};
use crate::session::{Loaded, Refusal, Saved, Session, Store, Taken};

/// A request for an application.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) head: &'a RequestHead<'a>,
    pub(super) body: &'a [u8],
    /// The application's number.
    pub(super) app: usize,
    pub(super) persistent: bool,
    /// It came by TLS to a trusted proxy.
    pub(super) secure: bool,
}

/// It panicked, in a call or in its job.
const FAILED: Reject = Reject::new(Status::INTERNAL_SERVER_ERROR, "the application failed");
/// Its job takes too long.
const LATE: Reject = Reject::new(Status::SERVICE_UNAVAILABLE, "the application didn't answer in time");
/// The store failed, or takes too long.
const NO_STORE: Reject = Reject::new(Status::SERVICE_UNAVAILABLE, "what is remembered of you can't be looked up now");
/// The application put too much into a session.
const TOO_LARGE: Reject =
    Reject::new(Status::INSUFFICIENT_STORAGE, "more is to be remembered of you than there is room for");

impl Http {
    /// Asks an application, for the first time or with what came of its job; but
    /// first for the session, if it reads that.
    pub(super) fn visit(&mut self, call: Call<'_>, done: Option<Outcome>, out: &mut Out<'_, '_>, cx: &mut Cx<'_>) {
        let http = &mut cx.shared.http;
        if !http.routes(self.kind).get(call.app).1.reads_session() {
            self.call(call, done, None, out, cx);
            return;
        }
        carrier::prepare(cx);
        match cx.shared.http.sessions.load(&call.head.fields, call.secure, cx.handle, cx.time) {
            Loaded::Now(session) => self.call(call, done, Some(session), out, cx),
            Loaded::Later(ticket) => {
                self.park(call, Awaits::Session(ticket, done), cx);
                carrier::hurry(cx);
            }
            Loaded::Unavailable => self.refuse(call.head, NO_STORE, call.persistent, out, cx),
        }
    }

    /// Asks an application, whose session is there.
    fn call(
        &mut self,
        call: Call<'_>,
        done: Option<Outcome>,
        mut session: Option<Session>,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
        let Call { head, body, persistent, secure, .. } = call;
        let mut path = Vec::new();
        shared::decode(head.target.path, &mut path);
        let client = cx.shared.http.proxies.client(out.ends.peer().map(|peer| peer.ip()), &head.fields);
        let (mount, app) = cx.shared.http.routes(self.kind).get(call.app);
        let below = path.get(mount.len()..).unwrap_or_default();
        let request = Request { head, body, mount, path: below };
        let mut visit = Visit {
            time: cx.time,
            connection: cx.handle,
            request_number: self.requests,
            ends: out.ends,
            client,
            secure,
            session: session.as_mut(),
            news: false,
        };
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let answer = match done {
                None => app.handle(&request, &mut visit),
                Some(outcome) => app.resume(&request, &mut visit, outcome),
            };
            let changed = visit.session.as_ref().is_some_and(|session| session.is_changed());
            debug_assert!(!(changed && matches!(answer, Answer::Later(_))), "what changed before a job is lost");
            answer
        }));
        if visit.news {
            self.tell_watchers(call.app, cx);
        }
        match answer {
            Ok(Answer::Now(response)) => match session {
                Some(session) => self.keep(call, response, session, out, cx),
                None => self.send(response, head, persistent, out, cx),
            },
            Ok(Answer::Later(job)) => {
                let ticket = self.requests;
                cx.run(move || Message::Done { ticket, outcome: catch_unwind(AssertUnwindSafe(job)).ok() });
                self.park(call, Awaits::Job(None), cx);
            }
            Ok(Answer::Watch(seen)) => self.watch(call, seen, out, cx),
            Ok(Answer::Refused(reject)) => {
                // For whom may be a question of the session, like what else it answers.
                let lines: &[u8] = if session.is_some() { b"Vary: Cookie\r\n" } else { b"" };
                self.refuse_with(head, reject, lines, persistent, out, cx);
            }
            Err(_) => {
                // Where and why was said by the panic hook; here is for whom.
                log::error!("#{}.{} the application panicked", cx.handle.number(), self.requests);
                self.refuse(head, FAILED, persistent, out, cx);
            }
        }
    }

    /// Keeps the session, if something changed in it, and then answers.
    fn keep(&mut self, call: Call<'_>, response: Response, session: Session, out: &mut Out<'_, '_>, cx: &mut Cx<'_>) {
        carrier::prepare(cx);
        match cx.shared.http.sessions.save(session, call.secure, cx.handle, cx.time) {
            Saved::Now(cookie) => self.send(response.private(cookie), call.head, call.persistent, out, cx),
            Saved::Later(ticket, cookie) => {
                let answer = Box::new(response.private(cookie));
                self.park(Call { body: b"", ..call }, Awaits::Keeping(ticket, answer), cx);
                carrier::hurry(cx);
            }
            Saved::Refused(Refusal::Unavailable) => self.refuse(call.head, NO_STORE, call.persistent, out, cx),
            Saved::Refused(Refusal::TooLarge) => {
                log::error!("#{}.{} the session is too large", cx.handle.number(), self.requests);
                self.refuse(call.head, TOO_LARGE, call.persistent, out, cx);
            }
        }
    }

    fn park(&mut self, call: Call<'_>, awaits: Awaits, cx: &mut Cx<'_>) {
        // A commit is a job too.
        let is_job = matches!(awaits, Awaits::Job(_)) || matches!(cx.shared.http.sessions.store, Store::Kept(_));
        let patience = if is_job { limits::JOB_TIMEOUT } else { limits::STORE_TIMEOUT };
        let parked = Parked {
            head: call.head.raw.to_vec(),
            body: call.body.into(),
            app: call.app,
            persistent: call.persistent,
            deadline: cx.time.now.after(patience),
            awaits,
        };
        self.enter(Phase::Parked(Box::new(parked)), cx);
    }

    /// Waits for a job, or for the store.
    pub(super) fn parked(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step {
        let Phase::Parked(parked) = &self.phase else { return Step::Again };
        let ticket = self.phase.ticket();
        let taken = ticket.map(|ticket| cx.shared.http.sessions.take(ticket, cx.time));
        let waits = matches!((&parked.awaits, &taken), (Awaits::Job(None), _) | (_, Some(Taken::NotYet)));
        if waits && cx.time.now < parked.deadline {
            return Step::Wait(Want::NOTHING.by(parked.deadline));
        }
        let Phase::Parked(parked) = self.take_phase(cx) else { return Step::Again };
        let Parked { head, body, app, persistent, awaits, .. } = *parked;
        let mut lines = Lines::default();
        let head = head::parse_again(&head, &mut lines);
        let mut out = Out::new(io.output, io.ends);
        let secure = cx.shared.http.secure(&head, out.ends);
        let call = Call { head: &head, body: &body, app, persistent: persistent && !cx.draining, secure };
        match (awaits, taken) {
            (Awaits::Job(Some(Some(outcome))), _) => self.visit(call, Some(outcome), &mut out, cx),
            (Awaits::Session(_, done), Some(Taken::Loaded(session))) => {
                self.call(call, done, Some(session), &mut out, cx);
            }
            (Awaits::Keeping(_, response), Some(Taken::Saved)) => {
                self.send(*response, &head, call.persistent, &mut out, cx);
            }
            (awaits, _) => {
                if let Some(ticket) = ticket {
                    cx.shared.http.sessions.forget(ticket);
                }
                let reject = match awaits {
                    Awaits::Job(Some(_)) => FAILED,
                    Awaits::Job(None) => LATE,
                    Awaits::Session(..) | Awaits::Keeping(..) => NO_STORE,
                };
                self.refuse(&head, reject, call.persistent, &mut out, cx);
            }
        }
        Step::Again
    }
}
