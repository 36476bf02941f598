//! Asking the origin whether a stored response is still right (RFC 9111 §4.3), and what its
//! answer means.
//!
//! ```text
//! request of the client ── without its own conditions and ranges ──► + write_conditions ──► origin
//!
//! 304 ── confirms ──► write_updated, evaluate: store the head again, send the stored content
//! 200 … 4xx ────────► replaces the stored response, or removes it if it isn't stored
//! 5xx, nothing ─────► stale_on_error
//! ```
//!
//! The conditions of the client are left out, because a 304 to them would say nothing about what
//! is stored. Afterwards [`answer`](super::answer()) applies them to the result.
//!
//! A 304 that confirms nothing that is stored is a fault of the origin, or another variant was
//! meant. It can't be sent to the client, who didn't ask for it: ask again without conditions.

use super::exchange::{Response, single};
use super::variant::have_same_names;
use crate::http::conditional::{is_entity_tag, strong_match, weak_match};
use crate::http::{Fields, Status, date};

/// Whether a field of the client's request is left out of a validation.
pub fn is_left_out(name: &[u8]) -> bool {
    ["If-None-Match", "If-Modified-Since", "If-Range", "Range"]
        .iter()
        .any(|usual| usual.as_bytes().eq_ignore_ascii_case(name))
}

/// Appends the conditions of a validation (§4.3.1): If-None-Match with the entity-tags of all
/// stored responses for the URI, and If-Modified-Since if the `selected` one, which matches the
/// request, has a Last-Modified. `others` are the ETag fields of the other variants: the origin
/// may choose one of those. Returns whether there is any condition.
pub fn write_conditions<'a>(
    selected: Option<&Fields<'_>>,
    others: impl IntoIterator<Item = &'a [u8]>,
    now: i64,
    out: &mut Vec<u8>,
) -> bool {
    let begin = out.len();
    let mut add = |etag: &[u8]| {
        if is_entity_tag(etag) {
            out.extend_from_slice(if out.len() == begin { b"If-None-Match: " } else { b", " });
            out.extend_from_slice(etag);
        }
    };
    let own = selected.and_then(|fields| single(fields, "etag"));
    own.into_iter().for_each(&mut add);
    others.into_iter().filter(|etag| Some(*etag) != own).for_each(&mut add);
    if out.len() > begin {
        out.extend_from_slice(b"\r\n");
    }
    let modified = selected.and_then(|fields| single(fields, "last-modified"));
    if let Some(modified) = modified.filter(|value| date::parse(value, now).is_some()) {
        for part in [&b"If-Modified-Since: "[..], modified, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.len() > begin
}

/// What a 304 says about one stored response (§4.3.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Confirmation {
    /// It is about another one.
    No,
    /// It has the same weak validator. If several stored responses have, only the most recent is
    /// confirmed.
    Weak,
    /// It has the same strong validator: each such response is confirmed.
    Strong,
}

/// Whether a 304 with the fields `update` confirms the response with the fields `stored`, one of
/// `offered` stored responses whose validators were in the request.
///
/// A 304 without validators confirms the only response that was offered. (The RFC has no answer
/// for this; many origins leave the validators out.)
pub fn confirms(update: &Fields<'_>, stored: &Fields<'_>, offered: usize) -> Confirmation {
    let weak = |matches: bool| if matches { Confirmation::Weak } else { Confirmation::No };
    let same = |name: &str| single(update, name).is_some() && single(update, name) == single(stored, name);
    if update.get("etag").is_some() {
        let (Some(new), Some(old)) = (single(update, "etag"), single(stored, "etag")) else { return Confirmation::No };
        return match (is_entity_tag(new), new.starts_with(b"W/")) {
            (true, false) if strong_match(new, old) => Confirmation::Strong,
            (true, false) => Confirmation::No,
            (true, true) => weak(is_entity_tag(old) && weak_match(new, old)),
            (false, _) => weak(new == old),
        };
    }
    if update.get("last-modified").is_some() {
        return weak(same("last-modified"));
    }
    weak(offered == 1)
}

/// Whether the Vary field of a 304 or of a response to HEAD differs from the stored one. The
/// stored response is right for this request, but other requests may be taken for the same: remove
/// it after it was sent.
pub fn changes_selection(update: &Fields<'_>, stored: &Fields<'_>) -> bool {
    update.get("vary").is_some() && !have_same_names(update, stored)
}

/// What the response to HEAD says about a stored response to GET that matches the request (§4.3.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadEffect {
    /// Nothing.
    Nothing,
    /// It is the same: freshen it.
    Update,
    /// It is another: remove what is stored.
    Invalidate,
}

/// What the `response` to HEAD says about a stored response with this status, these fields and
/// `length` bytes of content.
pub fn head_effect(response: &Response<'_>, status: Status, stored: &Fields<'_>, length: u64) -> HeadEffect {
    if response.status != Status::OK || status != Status::OK {
        return HeadEffect::Nothing;
    }
    let fields = &response.fields;
    let differs = |name: &str| fields.get(name).is_some() && !fields.all(name).eq(stored.all(name));
    let has_length = single(fields, "content-length").map(|digits| {
        digits.iter().try_fold(0u64, |number, byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            number.checked_mul(10)?.checked_add(digit)
        })
    });
    let other_length = has_length.is_some_and(|bytes| bytes != Some(length));
    if differs("etag") || differs("last-modified") || differs("content-encoding") || other_length {
        return HeadEffect::Invalidate;
    }
    if changes_selection(fields, stored) { HeadEffect::Invalidate } else { HeadEffect::Update }
}
