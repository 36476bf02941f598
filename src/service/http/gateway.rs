//! The handler of requests that other servers answer. What follows is in `proxied`.

use std::borrow::Cow;
use std::rc::Rc;

use super::Cx;
use super::exchange::{Exchange, Facts, Turn};
use super::proxied::{Plan, Proxied};
use super::respond::{self, refuse};
use super::state::{Progress, State};
use crate::http::head;
use crate::http::proxying::{UpstreamFailure, has_passed_here, textbook_location};
use crate::http::response::Stamp;
use crate::http::{FieldLines, Fields, Reject, Status, date, target};
use crate::reactor::Io;
use crate::service::proxy::{Answer, Proxy};

/// Asks an upstream of a route.
pub(super) fn respond(exchange: &Exchange<'_>, proxy: &Rc<Proxy>, mount: usize, turn: &mut Turn<'_, '_>) -> Progress {
    let plan = Plan { proxy: Rc::clone(proxy), target: target_of(exchange, proxy, mount), textbook: None };
    ask(exchange, plan, turn)
}

/// Asks an upstream.
pub(super) fn ask(exchange: &Exchange<'_>, plan: Plan, turn: &mut Turn<'_, '_>) -> Progress {
    if has_passed_here(&exchange.head.fields, &plan.proxy.pseudonym) {
        return refuse(exchange, UpstreamFailure::Loop.reject(), turn);
    }
    let Some(in_flight) = plan.proxy.choose(&[], turn.cx.time.now) else {
        return refuse(exchange, UpstreamFailure::NoneHealthy.reject(), turn);
    };
    Progress::Pending(State::Proxied(Proxied::begin(exchange, plan, in_flight, turn)))
}

/// Makes a tunnel to an upstream.
pub(super) fn connect(exchange: &Exchange<'_>, _: &Rc<Proxy>, turn: &mut Turn<'_, '_>) -> Progress {
    refuse(exchange, Reject::new(Status::NOT_IMPLEMENTED, "no tunnels yet"), turn)
}

/// The path and query for the upstream, encoded.
fn target_of(exchange: &Exchange<'_>, proxy: &Proxy, mount: usize) -> Vec<u8> {
    let mut out = Vec::new();
    if proxy.strip {
        let below = exchange.path().get(mount..).unwrap_or_default();
        if !below.starts_with(b"/") {
            out.push(b'/');
        }
        target::encode_path(below, &mut out);
    } else {
        out.extend_from_slice(exchange.head.target.path);
    }
    if let Some(query) = exchange.head.target.query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    out
}

/// Writes the head of the response of an upstream.
pub(super) fn pass_on(proxied: &mut Proxied, answer: &Answer, request: u32, io: &mut Io<'_>, cx: &mut Cx<'_>) {
    let mut lines = FieldLines::default();
    let (head, facts) = proxied.parts();
    let head = head::parse_again(head, &mut lines);
    // The rest of the content may still be read. If it isn't, the connection closes unannounced.
    let exchange = Exchange { head: &head, facts: Facts { unread: None, ..facts.clone() } };
    let upstream = Rc::clone(proxied.upstream());
    let turn = &mut Turn::new(io.output, io.ends, request, cx);
    turn.upstream = Some(&upstream.url);
    let fields = answer.fields.fields();
    let stamp = stamp_of(&fields, turn);
    let textbook = proxied.plan().textbook.as_deref();
    let is_forward = proxied.plan().proxy.is_forward;
    // Names are tokens, so they are ASCII.
    let fields = fields.iter().filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)));
    let fields = fields.filter(|(name, _)| match name.len() {
        4 => !name.eq_ignore_ascii_case("Date"),
        // A gateway says which server it is itself.
        6 => is_forward || !name.eq_ignore_ascii_case("Server"),
        10 => textbook.is_none() || !name.eq_ignore_ascii_case("Set-Cookie"),
        _ => true,
    });
    let fields = fields.map(|(name, value)| match textbook {
        Some(server) if name.eq_ignore_ascii_case("Location") => (name, Cow::from(textbook_location(server, value))),
        _ => (name, Cow::from(value)),
    });
    // A gateway need not name itself there (RFC 9110 §7.6.3).
    let via = is_forward.then(|| Cow::from(format!("1.1 {}", proxied.plan().proxy.pseudonym).into_bytes()));
    let fields = fields.chain(via.map(|via| ("Via", via)));
    let (form, persistent) = respond::begin_at(&exchange, answer.status, fields, answer.length, &stamp, turn);
    let body = respond::begin_body(&exchange, answer.status, form, turn);
    proxied.send(persistent, body);
}

/// The Date of a response: that of the upstream (RFC 9110 §6.6.1), or else the present time.
fn stamp_of(fields: &Fields<'_>, turn: &Turn<'_, '_>) -> Stamp {
    let own = &turn.cx.shared.http.stamp;
    let told = fields.get("date").and_then(|value| date::parse(value, own.unix_seconds()));
    match told {
        Some(seconds) if seconds != own.unix_seconds() => Stamp::new(seconds),
        _ => own.clone(),
    }
}

/// Responds in place of an upstream.
pub(super) fn fail(proxied: Proxied, reject: Reject, request: u32, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Progress {
    let upstream = Rc::clone(proxied.upstream());
    let (head, facts) = proxied.into_parts();
    let mut lines = FieldLines::default();
    let head = head::parse_again(&head, &mut lines);
    let mut turn = Turn::new(io.output, io.ends, request, cx);
    turn.upstream = Some(&upstream.url);
    refuse(&Exchange { head: &head, facts }, reject, &mut turn)
}
