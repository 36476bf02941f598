//! The rules for all handlers. They decide whether a request may pass to its handler.
//!
//! ```text
//! maintenance, overload ─▶ HTTPS ─▶ local only ─▶ address, rate, method, preflight ─▶ password
//!     ─▶ expectation, coding of the content ─▶ handler
//! ```
//!
//! A job may have to check a password. The exchange waits for it, and then continues with the
//! next rule.

use std::time::Duration;

use super::exchange::{Exchange, Handler, Turn};
use super::https;
use crate::app::Response;
use crate::auth::guard::{Access, Refusal};
use crate::auth::{Check, Checked};
use crate::http::basic::Asker;
use crate::http::content_coding::content_codings;
use crate::http::cors::Cors;
use crate::http::framing::Framing;
use crate::http::head::{Expect, Method, RequestHead};
use crate::http::rate::Rate;
use crate::http::{Reject, Status, basic};

/// Whether a request may pass.
pub(super) enum Admission {
    Granted,
    Refused(Refused),
    /// A rule has its own response.
    Answered(Box<Response>),
    /// A job must check the password.
    Unknown(Check),
}

/// A refused request: the response, and its further field lines.
pub(super) struct Refused {
    pub(super) reject: Reject,
    pub(super) lines: Vec<u8>,
}

impl From<Reject> for Refused {
    fn from(reject: Reject) -> Self {
        Self { reject, lines: Vec::new() }
    }
}

/// Whether a request may pass. It is unknown if a job must check the password.
pub(super) fn admit(exchange: &Exchange<'_>, overloaded: bool, turn: &mut Turn<'_, '_>) -> Admission {
    let maintenance = turn.cx.shared.http.maintenance && !matches!(exchange.facts.handler, Handler::Admin(_));
    if overloaded || maintenance {
        let why = if overloaded { "there are too many connections" } else { "the server is under maintenance" };
        return Admission::Refused(Reject::new(Status::SERVICE_UNAVAILABLE, why).into());
    }
    if https::applies(exchange, turn)
        && let Some(response) = https::answer(exchange, turn)
    {
        return Admission::Answered(Box::new(response));
    }
    if let Some(rule) = exchange.facts.host.local_only
        && let Err(reject) = rule.check(exchange.head, turn.ends.peer(), &turn.cx.shared.http.proxies)
    {
        return Admission::Refused(reject.into());
    }
    if exchange.rules().may_answer
        && let Some(admission) = by_rules(exchange, turn)
    {
        return admission;
    }
    match exchange.facts.realm {
        None => Admission::Granted,
        Some(realm) => enter_realm(exchange, realm, turn),
    }
}

/// What the rules of the route say about a request; none if they let it pass.
fn by_rules(exchange: &Exchange<'_>, turn: &mut Turn<'_, '_>) -> Option<Admission> {
    let (head, rules) = (exchange.head, &exchange.rules().rules);
    let client = exchange.client(turn.ends);
    let denied = client.is_some_and(|client| rules.deny.contain(client));
    // A client on a unix-domain socket has no address. It is on this machine, and so may use a forward proxy.
    let allowed = rules.allow.is_empty()
        || client.map_or(exchange.facts.host.forward.is_some(), |client| rules.allow.contain(client));
    if denied || !allowed {
        let why = "requests from this address are not allowed";
        return Some(Admission::Refused(Reject::new(Status::FORBIDDEN, why).into()));
    }
    if let (Some((rate, group)), Some(client)) = (rules.rate, client)
        && let Err(wait) = turn.cx.shared.http.rates.take(rate, group, client, turn.cx.time.now.as_micros())
    {
        return Some(Admission::Refused(too_many(rate, wait)));
    }
    // A preflight has no password, whatever the request will have.
    if rules.cors.is_some() && Cors::is_preflight(head) {
        return Some(Admission::Answered(Box::new(Response::new(Status::NO_CONTENT))));
    }
    let methods = rules.methods.as_ref()?;
    let is_allowed = |name: &str| methods.iter().any(|method| method == name);
    let passes = is_allowed(head.method_name) || (head.method == Method::Head && is_allowed("GET"));
    if passes {
        return None;
    }
    let allow = format!("{}, OPTIONS", methods.join(", "));
    if head.method == Method::Options {
        let response = Response::new(Status::NO_CONTENT).field("Allow", allow);
        return Some(Admission::Answered(Box::new(response)));
    }
    let reject = Reject::new(Status::METHOD_NOT_ALLOWED, "the method is not allowed here");
    Some(Admission::Refused(Refused { reject, lines: format!("Allow: {allow}\r\n").into_bytes() }))
}

/// The response to an address that has used up its requests: RFC 6585 §4, and the fields of
/// draft-ietf-httpapi-ratelimit-headers.
fn too_many(rate: Rate, wait: Duration) -> Refused {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let (burst, window) = (rate.burst, rate.window());
    let lines = format!(
        "Retry-After: {seconds}\r\nRateLimit-Policy: \"address\";q={burst};w={window}\r\n\
         RateLimit: \"address\";r=0;t={seconds}\r\n"
    );
    let reject = Reject::new(Status::TOO_MANY_REQUESTS, "there are too many requests from this address");
    Refused { reject, lines: lines.into_bytes() }
}

fn enter_realm(exchange: &Exchange<'_>, realm: u16, turn: &Turn<'_, '_>) -> Admission {
    let facts = &exchange.facts;
    let (now, asker) = (turn.cx.time.now.as_secs(), facts.host.asker());
    match facts.host.guard.borrow_mut().check(realm, &exchange.head.fields, asker, exchange.client(turn.ends), now) {
        Access::Allowed => Admission::Granted,
        Access::Ask(check) => Admission::Unknown(check),
        Access::Refused(refusal) => Admission::Refused(refused(&refusal, asker)),
    }
}

/// Whether a request may pass after the check of its password; `checked` is none if the check
/// couldn't run.
pub(super) fn settle(exchange: &Exchange<'_>, checked: Option<&Checked>, turn: &Turn<'_, '_>) -> Result<(), Refused> {
    let asker = exchange.facts.host.asker();
    let (Some(checked), Some(realm)) = (checked, exchange.facts.realm) else {
        return Err(refused(&Refusal::Busy, asker));
    };
    let now = turn.cx.time.now.as_secs();
    exchange.facts.host.guard.borrow_mut().settle(realm, checked, now).map_err(|refusal| refused(&refusal, asker))
}

fn refused(refusal: &Refusal, asker: Asker) -> Refused {
    let (status, why, lines) = match refusal {
        Refusal::Unauthorized(challenge) => {
            let lines = [asker.challenge_field().as_bytes(), b": ", &**challenge, b"\r\n"].concat();
            (asker.status(), "a valid user name and password are required", lines)
        }
        Refusal::TooMany(wait) => {
            let lines = format!("Retry-After: {wait}\r\n").into_bytes();
            (Status::TOO_MANY_REQUESTS, "there were too many wrong passwords", lines)
        }
        Refusal::Busy => (Status::SERVICE_UNAVAILABLE, "too many passwords are being checked", Vec::new()),
    };
    Refused { reject: Reject::new(status, why), lines }
}

/// Whether the server can answer in a way that the request accepts.
///
/// # Errors
/// 417 for an unknown expectation, 415 if the content of a request to an application has another coding than
/// gzip.
pub(super) fn check_expectations(exchange: &Exchange<'_>) -> Result<(), Refused> {
    let head = exchange.head;
    if head.expect == Expect::Unknown {
        return Err(Reject::new(Status::EXPECTATION_FAILED, "only 100-continue can be expected").into());
    }
    if matches!(exchange.facts.handler, Handler::App(..)) && has_unknown_coding(head) {
        let reject = Reject::new(Status::UNSUPPORTED_MEDIA_TYPE, "the content coding of the request isn't gzip");
        // RFC 9110 §12.5.3.
        return Err(Refused { reject, lines: b"Accept-Encoding: gzip\r\n".to_vec() });
    }
    Ok(())
}

/// Whether the content of a request has a coding that can't be taken off.
fn has_unknown_coding(head: &RequestHead<'_>) -> bool {
    // Of a request without content the field says nothing.
    head.framing != Framing::None && content_codings(&head.fields).is_err()
}

/// Whether the body of a request is needed: its handler is an application or another server, and no
/// rule refuses the request already.
pub(super) fn wants_body(exchange: &Exchange<'_>) -> bool {
    let head = exchange.head;
    let asker = exchange.facts.host.asker();
    let lacks_credentials = exchange.facts.realm.is_some() && basic::credentials(&head.fields, asker).is_none();
    matches!(exchange.facts.handler, Handler::App(..) | Handler::Proxy(..) | Handler::Forward(_))
        && head.expect != Expect::Unknown
        && !(matches!(exchange.facts.handler, Handler::App(..)) && has_unknown_coding(head))
        && !lacks_credentials
}
