//! The handler of requests that other servers answer. What follows is in `proxied`.

use std::rc::Rc;

use super::Cx;
use super::exchange::{Exchange, Facts, Turn};
use super::proxied::Proxied;
use super::respond::{self, refuse};
use super::state::{Progress, State};
use crate::http::head;
use crate::http::proxying::{UpstreamFailure, has_passed_here};
use crate::http::{FieldLines, Reject, target};
use crate::reactor::Io;
use crate::service::proxy::{Answer, Proxy};

/// Asks an upstream.
pub(super) fn ask(exchange: &Exchange<'_>, proxy: &Rc<Proxy>, mount: usize, turn: &mut Turn<'_, '_>) -> Progress {
    if has_passed_here(&exchange.head.fields, &proxy.pseudonym) {
        return refuse(exchange, UpstreamFailure::Loop.reject(), turn);
    }
    let Some(in_flight) = proxy.choose(&[], turn.cx.time.now) else {
        return refuse(exchange, UpstreamFailure::NoneHealthy.reject(), turn);
    };
    let target = target_of(exchange, proxy, mount);
    Progress::Pending(State::Proxied(Proxied::begin(exchange, proxy, target, in_flight, turn)))
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
pub(super) fn respond(proxied: &mut Proxied, answer: &Answer, request: u32, io: &mut Io<'_>, cx: &mut Cx<'_>) {
    let mut lines = FieldLines::default();
    let (head, facts) = proxied.parts();
    let head = head::parse_again(head, &mut lines);
    // The rest of the content may still be read. If it isn't, the connection closes unannounced.
    let exchange = Exchange { head: &head, facts: Facts { unread: None, ..facts.clone() } };
    let upstream = Rc::clone(proxied.upstream());
    let turn = &mut Turn::new(io.output, io.ends, request, cx);
    turn.upstream = Some(&upstream.url);
    // Names are tokens, so they are ASCII.
    let fields = answer.fields.fields();
    let fields = fields.iter().filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value)));
    let (form, persistent) = respond::begin(&exchange, answer.status, fields, answer.length, turn);
    let body = respond::begin_body(&exchange, answer.status, form, turn);
    proxied.send(persistent, body);
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
