//! The handler of requests that other servers answer. What follows is in `proxied`.

use std::borrow::Cow;
use std::rc::Rc;

use super::Cx;
use super::asking::{Plan, Wanted};
use super::exchange::{Exchange, Facts, Turn};
use super::proxied::{Over, Proxied};
use super::respond::{self, refuse, refuse_with};
use super::state::{Progress, State};
use super::tunnel::Tunnel;
use crate::http::caching::NAME;
use crate::http::proxying::{UpstreamFailure, has_passed_here, is_offered_change, textbook_location};
use crate::http::response::Stamp;
use crate::http::{FieldLines, Fields, Status, date, head, target};
use crate::reactor::Io;
use crate::service::Message;
use crate::service::proxy::{Answer, Proxy, ToUpstream};

/// Asks an upstream of a route.
pub(super) fn respond(exchange: &Exchange<'_>, proxy: &Rc<Proxy>, mount: usize, turn: &mut Turn<'_, '_>) -> Progress {
    let plan =
        Plan { proxy: Rc::clone(proxy), wanted: Wanted::Response(target_of(exchange, proxy, mount)), textbook: None };
    ask(exchange, plan, turn)
}

/// Asks an upstream.
pub(super) fn ask(exchange: &Exchange<'_>, plan: Plan, turn: &mut Turn<'_, '_>) -> Progress {
    if has_passed_here(&exchange.head.fields, &plan.proxy.pseudonym) {
        return fail(exchange, UpstreamFailure::Loop, turn);
    }
    let Some(in_flight) = plan.proxy.choose(&[], turn.cx.time.now) else {
        return fail(exchange, UpstreamFailure::NoneHealthy, turn);
    };
    Progress::Pending(State::Proxied(Proxied::begin(exchange, plan, in_flight, turn)))
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
    let fields = received(proxied.plan(), &fields);
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

/// The fields of a response of an upstream, as the client gets them.
fn received<'f>(plan: &'f Plan, fields: &Fields<'f>) -> impl Iterator<Item = (&'f str, Cow<'f, [u8]>)> {
    let (textbook, is_forward) = (plan.textbook.as_deref(), plan.proxy.is_forward);
    // Names are tokens, so they are ASCII.
    let fields = fields.iter().filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)));
    let fields = fields.filter(move |(name, _)| match name.len() {
        4 => !name.eq_ignore_ascii_case("Date"),
        // A gateway says which server it is itself.
        6 => is_forward || !name.eq_ignore_ascii_case("Server"),
        10 => textbook.is_none() || !name.eq_ignore_ascii_case("Set-Cookie"),
        _ => true,
    });
    let fields = fields.map(move |(name, value)| match textbook {
        Some(server) if name.eq_ignore_ascii_case("Location") => (name, Cow::from(textbook_location(server, value))),
        _ => (name, Cow::from(value)),
    });
    // A gateway need not name itself there (RFC 9110 §7.6.3).
    let via = is_forward.then(|| Cow::from(format!("1.1 {}", plan.proxy.pseudonym).into_bytes()));
    fields.chain(via.map(|via| ("Via", via)))
}

/// Responds in place of an upstream, or begins a tunnel.
pub(super) fn conclude(proxied: Proxied, over: Over, request: u32, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Progress {
    let (head, facts, plan, link) = proxied.into_parts();
    let upstream = Rc::clone(link.in_flight.upstream());
    let mut lines = FieldLines::default();
    let head = head::parse_again(&head, &mut lines);
    let exchange = Exchange { head: &head, facts };
    let turn = &mut Turn::new(io.output, io.ends, request, cx);
    turn.upstream = Some(&upstream.url);
    match over {
        Over::Refused(reject) => refuse(&exchange, reject, turn),
        Over::Failed(failure) => fail(&exchange, failure, turn),
        Over::Tunnel(status, fields) => {
            let fields = fields.fields();
            if status == Status::SWITCHING_PROTOCOLS && !is_offered_change(&head, &fields) {
                turn.cx.send(link.connection, Message::ToUpstream(link.id, ToUpstream::Cancel));
                return fail(&exchange, UpstreamFailure::Malformed, turn);
            }
            let stamp = stamp_of(&fields, turn);
            let body = respond::begin_tunnel(&exchange, status, received(&plan, &fields), &stamp, turn);
            Progress::Pending(State::Tunnel(Box::new(Tunnel::new(link, body, turn.cx.time.now))))
        }
    }
}

/// Responds after a failure of an upstream, and says which it was in Proxy-Status (RFC 9209).
fn fail(exchange: &Exchange<'_>, failure: UpstreamFailure, turn: &mut Turn<'_, '_>) -> Progress {
    let line = format!("Proxy-Status: {NAME}; error={}\r\n", failure.token());
    refuse_with(exchange, failure.reject(), line.as_bytes(), turn)
}
