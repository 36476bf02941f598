//! Whether a stored response answers a request (RFC 9111 §4, §4.2.4, §5.2.1, RFC 5861, RFC 8246).
//!
//! ```text
//!                     fresh                      stale
//!                ┌─────────────┬─────────────────────────────────────┐
//! usual          │ serve       │ validate                            │
//! no-cache,      │ validate    │ validate, never serve               │
//! must-revalidate│ serve       │ validate, never serve               │
//! max-stale      │ serve       │ serve so long                       │
//! stale-while-…  │ serve       │ serve so long, and validate as well │
//! stale-if-error │ serve       │ validate; serve so long if it fails │
//!                └─────────────┴─────────────────────────────────────┘
//! ```
//!
//! `must-revalidate`, `proxy-revalidate` and `s-maxage` forbid every use of a stale response, also
//! what `stale-while-revalidate`, `stale-if-error` or the client would allow (§4.2.4, §5.2.2.10).

use super::directives::RequestDirectives;
use super::exchange::{Request, Settings};
use super::freshness::Freshness;
use crate::http::Status;
use crate::http::head::Method;

/// What the store has for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookup<'a> {
    /// Nothing for the URI.
    Nothing,
    /// Responses for the URI, but none that matches the request (§4.1).
    OtherVariants,
    /// A response that matches.
    Found(&'a Freshness),
}

/// What to do with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Send the stored response with this Age, in seconds. If it is to be `validated`, do that
    /// after or beside it, once for all requests at the time.
    Serve {
        /// The value of the Age field.
        age: u32,
        /// It is stale; validate it in the background.
        validate: bool,
    },
    /// Send the request to the origin; as a validation if a response was found that
    /// [can be validated](Freshness::has_validator), unless the reason is
    /// [`Method`](Reason::Method) or [`Bypass`](Reason::Bypass).
    Forward(Reason),
    /// The client wants a stored response only (`only-if-cached`): respond with 504.
    Unavailable,
}

/// Why a request goes to the origin, as in the Cache-Status field (RFC 9211 §2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The cache doesn't handle such requests: it has content, or is about another version of
    /// the resource (If-Match, If-Unmodified-Since).
    Bypass,
    /// The method is neither GET nor HEAD.
    Method,
    /// Nothing was stored for the URI.
    UriMiss,
    /// What was stored for the URI doesn't match the request.
    VaryMiss,
    /// The directives of the request don't allow the stored response.
    Request,
    /// The stored response is stale, or must always be validated.
    Stale,
}

/// Decides what to do with a request at the Unix second `now`.
pub fn decide(request: &Request<'_>, stored: Lookup<'_>, now: i64, settings: &Settings) -> Decision {
    if !matches!(request.method, Method::Get | Method::Head) {
        return Decision::Forward(Reason::Method);
    }
    let directives = RequestDirectives::of(&request.fields);
    let decision = match stored {
        _ if is_bypassed(request) => Decision::Forward(Reason::Bypass),
        Lookup::Nothing => Decision::Forward(Reason::UriMiss),
        Lookup::OtherVariants => Decision::Forward(Reason::VaryMiss),
        Lookup::Found(freshness) => reuse(freshness, &obeyed(directives, settings), now),
    };
    match decision {
        Decision::Forward(_) if directives.only_if_cached => Decision::Unavailable,
        decision => decision,
    }
}

/// Whether the origin must see the request. If-Match and If-Unmodified-Since are about what the
/// origin has, not about what is stored (RFC 9111 §4.3.2).
fn is_bypassed(request: &Request<'_>) -> bool {
    let has = |name: &str| request.fields.get(name).is_some();
    request.has_content || has("if-match") || has("if-unmodified-since")
}

fn obeyed(directives: RequestDirectives, settings: &Settings) -> RequestDirectives {
    if settings.obey_requests { directives } else { RequestDirectives::default() }
}

fn reuse(freshness: &Freshness, directives: &RequestDirectives, now: i64) -> Decision {
    let age = freshness.age(now);
    let fresh = freshness.is_fresh(now);
    // A reload has `max-age=0`. A client that doubts an immutable response says `no-cache`.
    let too_old = directives.max_age.is_some_and(|most| most == 0 || age > most);
    if directives.no_cache || (too_old && !(fresh && freshness.is_immutable())) {
        return Decision::Forward(Reason::Request);
    }
    if fresh {
        let fresh_enough = freshness.remaining(now) >= i64::from(directives.min_fresh);
        return match fresh_enough {
            true => Decision::Serve { age, validate: false },
            false => Decision::Forward(Reason::Request),
        };
    }
    let Some(staleness) = freshness.staleness(now).filter(|_| directives.min_fresh == 0) else {
        return Decision::Forward(Reason::Stale);
    };
    if directives.max_stale.is_some_and(|most| staleness <= most) {
        return Decision::Serve { age, validate: false };
    }
    // With `max-age` the client wants nothing stale (§5.2.1.1).
    if directives.max_age.is_none() && staleness < freshness.while_revalidate() {
        return Decision::Serve { age, validate: true };
    }
    Decision::Forward(Reason::Stale)
}

/// After the origin has failed: the age of the stored response that may be sent instead, if it may
/// (RFC 5861 §4). `failure` is the status of the origin's response, none if there was no response.
/// What remains otherwise is to forward the response, or to respond with 502 or 504.
pub fn stale_on_error(
    request: &Request<'_>,
    freshness: &Freshness,
    failure: Option<Status>,
    now: i64,
    settings: &Settings,
) -> Option<u32> {
    let is_failure = failure.is_none_or(|status| matches!(status.0, 500 | 502..=504));
    let is_retrieval = matches!(request.method, Method::Get | Method::Head) && !is_bypassed(request);
    if !is_failure || !is_retrieval {
        return None;
    }
    let directives = obeyed(RequestDirectives::of(&request.fields), settings);
    let age = freshness.age(now);
    if directives.no_cache || directives.min_fresh > 0 || directives.max_age.is_some_and(|most| age > most) {
        return None;
    }
    let window = freshness.if_error().max(directives.stale_if_error);
    let allowed = directives.max_stale.is_some_and(|most| freshness.staleness(now).is_some_and(|stale| stale <= most));
    let usable = freshness.is_fresh(now) || allowed || freshness.staleness(now).is_some_and(|stale| stale < window);
    usable.then_some(age)
}
