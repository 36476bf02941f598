//! The fields of a response of an upstream, as the client gets them.

use std::borrow::Cow;

use super::asking::{Plan, Resource, Wanted};
use super::exchange::{Exchange, Turn};
use crate::http::proxying::{PassedOn, gateway_location, textbook_location};
use crate::http::response::Stamp;
use crate::http::{Fields, date};

/// The Date of a response: that of the upstream (RFC 9110 §6.6.1), or else the present time. An upstream
/// says the same for a second, as this server does, so it is parsed and written once.
pub(super) fn stamp_of(fields: &Fields<'_>, turn: &mut Turn<'_, '_>) -> Stamp {
    let shared = &mut turn.cx.shared.http;
    let Some(told) = fields.get("date") else { return shared.stamp.clone() };
    if let Some(known) = [&shared.stamp, &shared.upstream_stamp].into_iter().find(|known| told == known.date()) {
        return known.clone();
    }
    match date::parse(told, shared.stamp.unix_seconds()) {
        Some(seconds) => shared.upstream_stamp = Stamp::new(seconds),
        None => return shared.stamp.clone(),
    }
    shared.upstream_stamp.clone()
}

/// The fields, but for Date.
pub(super) fn received<'f>(
    exchange: &'f Exchange<'f>,
    plan: &'f Plan,
    fields: &Fields<'f>,
) -> impl Iterator<Item = (&'f [u8], Cow<'f, [u8]>)> {
    let (textbook, is_forward) = (plan.textbook.as_deref(), plan.proxy.is_forward);
    let fields = fields.iter().filter(move |(name, _)| match name.len() {
        4 => !name.eq_ignore_ascii_case(b"Date"),
        // A gateway says which server it is itself.
        6 => is_forward || !name.eq_ignore_ascii_case(b"Server"),
        10 => textbook.is_none() || !name.eq_ignore_ascii_case(b"Set-Cookie"),
        _ => true,
    });
    let fields = fields.map(move |(name, value)| {
        if !is_location(name) {
            return (name, Cow::from(value));
        }
        match textbook {
            Some(server) => (name, textbook_location(value, server).map_or(Cow::from(value), Cow::from)),
            None => (name, own_location(exchange, plan, value)),
        }
    });
    fields.chain(plan.via().map(|via| (&b"Via"[..], Cow::from(via.into_bytes()))))
}

/// Whether the value of a field is the URL of a resource, for the client.
fn is_location(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"Location") || name.eq_ignore_ascii_case(b"Content-Location")
}

/// A Location as a client finds it by the URL of its request: one that names an upstream of a gateway
/// becomes a path here.
pub(super) fn own_location<'f>(exchange: &Exchange<'_>, plan: &Plan, location: &'f [u8]) -> Cow<'f, [u8]> {
    let proxy = &plan.proxy;
    if proxy.is_forward {
        return Cow::from(location);
    }
    let prefix = match &plan.wanted {
        Wanted::Response(Resource::Below(mount)) => exchange.path().get(..*mount).unwrap_or_default(),
        _ => b"",
    };
    let host = exchange.head.host().filter(|_| !proxy.own_host);
    let passed = PassedOn { prefix, host, is_secure: exchange.facts.secure };
    let servers = proxy.upstreams.iter().map(|upstream| &upstream.server);
    gateway_location(location, servers, passed).map_or(Cow::from(location), Cow::from)
}
