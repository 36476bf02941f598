//! Which part of a stored response a client gets: all of it, ranges, or a 304, because it has its
//! own copy (RFC 9111 §4.3.2, RFC 9110 §13, §14).
//!
//! Only a stored 200 has conditions and ranges: they select from the representation, and any other
//! response isn't one (RFC 9110 §13.2.1).

use super::exchange::{Request, single};
use crate::http::conditional::{Evaluation, Validators, evaluate, is_entity_tag, range_applies};
use crate::http::head::Method;
use crate::http::range::{self, Ranges};
use crate::http::{Fields, Status, date};

/// What is sent of a stored response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// All of it, with the stored status.
    Whole,
    /// 304 with [some of the stored fields](super::is_sent_with_304).
    NotModified,
    /// 206 with one range or several, or 416; never [`Ignored`](Ranges::Ignored).
    Ranges(Ranges),
}

/// What the client gets of a stored response with this status, these fields and `length` bytes of
/// content, which is whole, at the Unix second `now`.
pub fn answer(request: &Request<'_>, status: Status, stored: &Fields<'_>, length: u64, now: i64) -> Answer {
    if status != Status::OK {
        return Answer::Whole;
    }
    let etag = single(stored, "etag").filter(|etag| is_entity_tag(etag)).unwrap_or_default();
    let date_in = |name: &str| single(stored, name).and_then(|value| date::parse(value, now));
    let modified = date_in("last-modified");
    // If it is unknown when it was modified, it was not after its generation.
    let validators = Validators { etag, modified: modified.or_else(|| date_in("date")) };
    if evaluate(true, &request.fields, Some(&validators), now) == Evaluation::NotModified {
        return Answer::NotModified;
    }
    let Some(field) = single(&request.fields, "range").filter(|_| request.method == Method::Get) else {
        return Answer::Whole;
    };
    if !range_applies(&request.fields, &Validators { etag, modified }, now) {
        return Answer::Whole;
    }
    match range::parse(field, length) {
        Ranges::Ignored => Answer::Whole,
        ranges => Answer::Ranges(ranges),
    }
}
