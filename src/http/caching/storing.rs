//! Whether a response may be stored (RFC 9111 §3).
//!
//! Only the whole response to a GET is stored. A 206 isn't: parts would have to be combined
//! (§3.4), and a part must never pass for the whole. A body that ends when the connection closes
//! isn't either, because it can't be told from one that was cut; and of any body, only the caller
//! knows whether it was complete ([`is_whole`]).
//!
//! Some errors are the fault of one request: its range, its conditions, its size, its credentials.
//! The next request for the same URI might be fine, so they aren't stored, even if they say that
//! they could be. (Else one bad request replaces a page by an error for everyone.)

use super::directives::{RequestDirectives, ResponseDirectives, is_essential};
use super::exchange::{Arrival, Request, Response, Settings};
use super::freshness::{Freshness, is_heuristically_cacheable};
use super::variant;
use crate::http::Status;
use crate::http::client::Body;
use crate::http::head::Method;

/// Why a response isn't stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The method isn't GET, or the request has content.
    Request,
    /// `no-store`, in the request or the response (§5.2.1.5, §5.2.2.5).
    NoStore,
    /// `private` (§5.2.2.7).
    Private,
    /// The status isn't final, is about the one request, or isn't understood although it must
    /// be (§5.2.2.3).
    Status,
    /// The request has Authorization, and the response doesn't allow it (§3.5).
    Authorized,
    /// The response sets cookies (§7.3).
    Cookies,
    /// Vary has `*`, more than [`NAMES`](variant::NAMES) names, or is malformed (§4.1).
    Vary,
    /// The Connection field names a field without which the response is another one (RFC 9110
    /// §7.6.1).
    Connection,
    /// The end of the body can't be known.
    Endless,
    /// Nothing says that the response may be stored (§3).
    NotExplicit,
    /// It is stale, and could neither be validated nor used stale.
    Useless,
}

/// Decides whether the response may be stored, as far as its head shows, and what the index of
/// the store keeps about it.
///
/// # Errors
/// The reason why it must not be stored.
pub fn evaluate(
    request: &Request<'_>,
    response: &Response<'_>,
    arrival: Arrival,
    settings: &Settings,
) -> Result<Freshness, Refusal> {
    let directives = ResponseDirectives::of(&response.fields, settings);
    if let Some(refusal) = refusal(request, response, &directives, settings) {
        return Err(refusal);
    }
    let freshness = Freshness::of(request, response, &directives, arrival, settings);
    if freshness.is_useless() { Err(Refusal::Useless) } else { Ok(freshness) }
}

fn refusal(
    request: &Request<'_>,
    response: &Response<'_>,
    directives: &ResponseDirectives,
    settings: &Settings,
) -> Option<Refusal> {
    let fields = &response.fields;
    if request.method != Method::Get || request.has_content {
        return Some(Refusal::Request);
    }
    let understood = is_understood(response.status);
    // With `must-understand`, `no-store` is for caches that don't understand the status.
    let no_store = directives.no_store && !(directives.must_understand && understood);
    if no_store || RequestDirectives::of(&request.fields).no_store {
        return Some(Refusal::NoStore);
    }
    if !is_storable(response.status) || (directives.must_understand && !understood) {
        return Some(Refusal::Status);
    }
    if directives.private {
        return Some(Refusal::Private);
    }
    if request.fields.get("authorization").is_some() && !directives.allow_authorized() {
        return Some(Refusal::Authorized);
    }
    let explicit = directives.public
        || directives.max_age.is_some()
        || directives.s_maxage.is_some()
        || (!directives.targeted && fields.get("expires").is_some());
    let sets_cookies = |name: &str| fields.get(name).is_some() && !directives.exclude(fields, name.as_bytes());
    let may_set_cookies = settings.store_cookies && explicit;
    if !may_set_cookies && (sets_cookies("set-cookie") || sets_cookies("set-cookie2")) {
        return Some(Refusal::Cookies);
    }
    if !variant::is_selectable(fields) {
        return Some(Refusal::Vary);
    }
    if fields.tokens("connection").any(is_essential) {
        return Some(Refusal::Connection);
    }
    if matches!(response.body, Body::UntilClose | Body::Tunnel) {
        return Some(Refusal::Endless);
    }
    (!explicit && !is_heuristically_cacheable(response.status)).then_some(Refusal::NotExplicit)
}

/// Whether the response to a GET without conditions and ranges can have this status, for any client.
fn is_storable(status: Status) -> bool {
    !matches!(
        status.0,
        ..200 | 206 | 304 | 401 | 407 | 408 | 411 | 412 | 413 | 416 | 417 | 421 | 425 | 426 | 428 | 429 | 431 | 600..
    )
}

/// Whether this cache does all that is required for the status (§5.2.2.3).
fn is_understood(status: Status) -> bool {
    is_storable(status) && !status.reason().is_empty()
}

/// Whether a body that was received is whole (§3.3), so that it may be stored: `ended` if the
/// reader of the response says that it is done, after `bytes` of content.
pub fn is_whole(body: Body, bytes: u64, ended: bool) -> bool {
    ended
        && match body {
            Body::Absent => bytes == 0,
            Body::Length(length) => bytes == length,
            Body::Chunked => true,
            Body::UntilClose | Body::Tunnel => false,
        }
}
