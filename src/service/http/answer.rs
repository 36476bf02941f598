//! The answering half of an exchange: from a request to whoever answers it, files,
//! an application, or its job that is done.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::phase::{Parked, Phase};
use super::{Cx, Http, Out, Step, shared};
use crate::app::{Answer, Methods, Outcome, Request, Response, Visit};
use crate::files::Served;
use crate::http::head::{self, Expect, Lines, Method, RequestHead};
use crate::http::response::Manner;
use crate::http::{Reject, Status, negotiate, target};
use crate::limits;
use crate::reactor::{Io, Want};
use crate::service::Message;
use crate::text::html;

/// Where a request goes.
pub(super) enum Route {
    App(usize),
    Files,
    /// `OPTIONS`: nothing to do but to say what could be done.
    Options(Methods),
    Refused(Reject, Option<Methods>),
}

/// What files understand.
const FILE_METHODS: Methods = Methods::Only(&[Method::Get, Method::Head]);

/// It panicked, in a call or in its job.
const FAILED: Reject = Reject::new(Status::INTERNAL_SERVER_ERROR, "the application failed");

impl Http {
    /// Finds out where a request goes.
    #[inline]
    pub(super) fn route(&self, head: &RequestHead<'_>, cx: &mut Cx<'_>) -> Route {
        let http = &mut cx.shared.http;
        if head.target.form == target::Form::Asterisk {
            return Route::Options(FILE_METHODS);
        }
        let app = http.route(self.kind, &head.target);
        let methods = match app {
            Some(index) => http.routes(self.kind).get(index).1.methods(),
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
    pub(super) fn respond(
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
            Route::App(index) => self.ask(index, head, body, persistent, None, out, cx),
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
    pub(super) fn respond_with_file(
        &mut self,
        head: &RequestHead<'_>,
        persistent: bool,
        out: &mut Out<'_, '_>,
        cx: &mut Cx<'_>,
    ) {
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
    pub(super) fn ask(
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
        let (mount, app) = cx.shared.http.routes(self.kind).get(index);
        let below = path.get(mount.len()..).unwrap_or_default();
        let request = Request { head, body, mount, path: below };
        let mut visit =
            Visit { time: cx.time, connection: cx.handle, request_number: self.requests, ends: out.ends, news: false };
        let answer = catch_unwind(AssertUnwindSafe(|| match done {
            None => app.handle(&request, &mut visit),
            Some(outcome) => app.resume(&request, &mut visit, outcome),
        }));
        if visit.news {
            for watcher in cx.shared.http.watchers.of(index).collect::<Vec<_>>() {
                cx.send(watcher, Message::News);
            }
        }
        match answer {
            Ok(Answer::Watch(seen)) => self.watch(index, seen, head, persistent, out, cx),
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
                self.refuse(head, FAILED, persistent, out, cx);
            }
        }
    }

    /// Waits for a job.
    pub(super) fn parked(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step {
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
            Some(None) => self.refuse(&head, FAILED, persistent, &mut out, cx),
            None => {
                let reject = Reject::new(Status::SERVICE_UNAVAILABLE, "the application didn't answer in time");
                self.refuse(&head, reject, persistent, &mut out, cx);
            }
        }
        Step::Again
    }
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
