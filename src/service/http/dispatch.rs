//! The steps of an exchange in their order: first the policy, then the handler. A request
//! that has waited continues here, too.

use super::admin;
use super::application::AppCall;
use super::body::Stream;
use super::exchange::{Exchange, Handler, Turn};
use super::files;
use super::forward;
use super::gateway;
use super::jobs;
use super::policy::{self, Admission};
use super::rejects::{FAILED, LATE, NO_STORE};
use super::respond::{refuse, refuse_with, send};
use super::state::Progress;
use super::step::Step;
use super::waiting::{AfterJob, Awaits, Waiting};
use crate::app::boundary::Failed;
use crate::app::{Methods, Response};
use crate::http::head::{self, Method};
use crate::http::{FieldLines, Status};
use crate::reactor::{Io, JobClass, JobResult, Want};
use crate::service::{Cx, Outcome};
use crate::session::TicketState;

/// Responds to a request whose body was read. On an overloaded connection the response is a 503.
// Without inlining, this step and the next one cost a small request forty instructions more.
#[inline(always)]
pub(super) fn respond(exchange: &Exchange<'_>, body: &[u8], overloaded: bool, turn: &mut Turn<'_, '_>) -> Progress {
    match policy::admit(exchange, overloaded, turn) {
        Admission::Granted => handle(exchange, body, turn),
        Admission::Refused(refused) => refuse_with(exchange, refused.reject, &refused.lines, turn),
        Admission::Answered(response) => send(exchange, *response, turn),
        Admission::Unknown(check) => {
            let job = move || Outcome::Checked(check.run());
            jobs::start(exchange, body, AfterJob::Admit, JobClass::Hashing, job, turn)
        }
    }
}

/// Responds to a request that the policy admits.
#[inline(always)]
fn handle(exchange: &Exchange<'_>, body: &[u8], turn: &mut Turn<'_, '_>) -> Progress {
    if let Err(refused) = policy::check_expectations(exchange) {
        return refuse_with(exchange, refused.reject, &refused.lines, turn);
    }
    match &exchange.facts.handler {
        Handler::Files | Handler::Tree(..) => files::respond(exchange, turn),
        Handler::Redirect(redirect) => send(exchange, redirect.respond(exchange.head, exchange.path()), turn),
        Handler::Fixed(response) => send(exchange, response.respond(), turn),
        Handler::Proxy(proxy, mount) => gateway::respond(exchange, proxy, *mount, turn),
        Handler::Forward(proxy) => forward::respond(exchange, proxy, turn),
        Handler::Admin(page) => admin::respond(exchange, *page, turn),
        Handler::Options(methods) => {
            let response = Response::new(Status::NO_CONTENT).field("Allow", allow(*methods));
            send(exchange, response, turn)
        }
        Handler::Refused(reject, methods) => {
            let lines = methods.map(|methods| format!("Allow: {}\r\n", allow(methods))).unwrap_or_default();
            refuse_with(exchange, *reject, lines.as_bytes(), turn)
        }
        Handler::App(app, mount) => AppCall { exchange, body, app, mount: *mount }.begin(None, turn),
    }
}

/// Whether a waiting request can go on, and the state of its ticket at the session store.
pub(super) fn look(waiting: &mut Waiting, cx: &mut Cx<'_>) -> Step<Option<TicketState>> {
    if let Awaits::Purge(cache, id, removed @ None) = &mut waiting.awaits {
        *removed = cache.store.borrow_mut().purged(*id);
    }
    let taken = waiting.ticket().map(|ticket| waiting.facts.host.sessions.sessions.take(ticket, cx.time));
    let waits = matches!(
        (&waiting.awaits, &taken),
        (Awaits::Job { result: None, .. } | Awaits::Purge(_, _, None), _) | (_, Some(TicketState::Pending))
    );
    if waits && cx.time.now < waiting.deadline {
        return Step::Wait(Want::NOTHING.by(waiting.deadline));
    }
    if let Some(job) = waiting.job() {
        // The job is done, or its result comes too late.
        cx.cancel(job);
    }
    Step::Done(taken)
}

/// Continues a request that has waited, until its result or its deadline.
pub(super) fn resume(
    waiting: Waiting,
    taken: Option<TicketState>,
    request: u32,
    io: &mut Io<'_>,
    cx: &mut Cx<'_>,
) -> Progress {
    let (head, body, facts, awaits) = waiting.into_parts();
    let mut lines = FieldLines::default();
    let head = head::parse_again(&head, &mut lines);
    let exchange = &Exchange { head: &head, facts };
    let turn = &mut Turn::new(io.output, io.ends, request, cx);
    match (awaits, taken) {
        (Awaits::Job { next, result, .. }, _) => after_job(exchange, &body, next, result, turn),
        (Awaits::Session(_, done), Some(TicketState::Loaded(session))) => {
            call(exchange, &body, turn, |call, turn| call.run(done, Some(session), turn))
        }
        (Awaits::Purge(_, _, removed), _) => admin::purged(exchange, removed, turn),
        (Awaits::Saving(_, response), Some(TicketState::Saved)) => send(exchange, *response, turn),
        (Awaits::Session(ticket, _) | Awaits::Saving(ticket, _), _) => {
            exchange.facts.host.sessions.sessions.forget(ticket);
            refuse(exchange, NO_STORE, turn)
        }
    }
}

/// Continues with the result of a job; none if it took too long.
fn after_job(
    exchange: &Exchange<'_>,
    body: &[u8],
    next: AfterJob,
    result: Option<JobResult<Outcome>>,
    turn: &mut Turn<'_, '_>,
) -> Progress {
    match (next, result) {
        (AfterJob::Admit, result) => {
            let checked = if let Some(Ok(Outcome::Checked(checked))) = &result { Some(checked) } else { None };
            match policy::settle(exchange, checked, turn) {
                Ok(()) => handle(exchange, body, turn),
                Err(refused) => refuse_with(exchange, refused.reject, &refused.lines, turn),
            }
        }
        (AfterJob::List(format), result) => files::resume_listing(exchange, result, format, turn),
        (AfterJob::Choose, result) => files::resume_choice(exchange, result, turn),
        (AfterJob::Call, Some(Ok(Outcome::App(outcome)))) => {
            call(exchange, body, turn, |call, turn| call.begin(Some(outcome), turn))
        }
        (AfterJob::Call, Some(_)) => refuse(exchange, FAILED, turn),
        (AfterJob::Call, None) => refuse(exchange, LATE, turn),
    }
}

/// Calls an application that has received the body of the request.
pub(super) fn received(exchange: &Exchange<'_>, stream: Stream, turn: &mut Turn<'_, '_>) -> Progress {
    match stream.finish() {
        Ok(outcome) => call(exchange, b"", turn, |call, turn| call.begin(Some(outcome), turn)),
        Err(Failed) => refuse(exchange, FAILED, turn),
    }
}

/// Calls the application of a request that has waited.
fn call(
    exchange: &Exchange<'_>,
    body: &[u8],
    turn: &mut Turn<'_, '_>,
    go_on: impl FnOnce(AppCall<'_>, &mut Turn<'_, '_>) -> Progress,
) -> Progress {
    match &exchange.facts.handler {
        Handler::App(app, mount) => go_on(AppCall { exchange, body, app, mount: *mount }, turn),
        // Only applications have jobs and sessions.
        _ => refuse(exchange, FAILED, turn),
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
