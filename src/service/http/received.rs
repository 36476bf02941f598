//! The fields of a response of an upstream, as the client gets them.

use std::borrow::Cow;

use super::asking::Plan;
use super::exchange::Turn;
use crate::http::proxying::textbook_location;
use crate::http::response::Stamp;
use crate::http::{Fields, date};

/// The Date of a response: that of the upstream (RFC 9110 §6.6.1), or else the present time.
pub(super) fn stamp_of(fields: &Fields<'_>, turn: &Turn<'_, '_>) -> Stamp {
    let own = &turn.cx.shared.http.stamp;
    let told = fields.get("date").filter(|value| value != own.date());
    match told.and_then(|value| date::parse(value, own.unix_seconds())) {
        Some(seconds) if seconds != own.unix_seconds() => Stamp::new(seconds),
        _ => own.clone(),
    }
}

/// The fields, but for Date.
pub(super) fn received<'f>(plan: &'f Plan, fields: &Fields<'f>) -> impl Iterator<Item = (&'f str, Cow<'f, [u8]>)> {
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
    fields.chain(plan.via().map(|via| ("Via", Cow::from(via.into_bytes()))))
}
