//! How long a response is fresh, and how old it is (RFC 9111 §4.2).
//!
//! ```text
//! sent    received        now
//!  │ delay   │ here for     │
//!  ├─────────┼──────────────┤
//!  age = max(received - Date, Age + delay) + here for
//! ```
//!
//! A response is fresh while its age is less than its lifetime: `s-maxage`, else `max-age`, else
//! Expires - Date, else a tenth of the time that it wasn't modified before. All of it is computed
//! once, when the response is received, and kept as a [`Freshness`], a few numbers in the index
//! of the store.
//!
//! Whatever is malformed makes a response older or its lifetime shorter, except Age: what isn't
//! a number there is ignored, as the RFC says (§5.1), because Date still shows the age. Numbers
//! end at 2^31 seconds, 68 years. A clock that is set back counts as time that has passed.

use super::directives::{ResponseDirectives, is_no_cache_pragma};
use super::exchange::{Arrival, Request, Response, Settings, single};
use crate::http::cache_control::MAX_SECONDS;
use crate::http::{Fields, Status, conditional, date};

/// What the index of a store keeps about a stored response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Freshness {
    /// When it was received, in Unix seconds.
    received: i64,
    /// The Date field, or else when it was received.
    date: i64,
    /// The age when it was received, and for how long it is fresh, in seconds.
    initial_age: u32,
    lifetime: u32,
    /// For how long it may be used after that, in seconds: while it is validated, and if the
    /// origin fails.
    stale_while_revalidate: u32,
    stale_if_error: u32,
    /// It may be used only after validation.
    no_cache: bool,
    /// It must not be used when it is stale.
    forbid_stale: bool,
    immutable: bool,
    has_validator: bool,
}

/// The index of a store has a hundred more bytes for an entry.
const _: () = assert!(size_of::<Freshness>() <= 40);

impl Freshness {
    /// The freshness of a response. Whether it may be stored at all is decided by
    /// [`evaluate`](super::evaluate).
    pub(super) fn of(
        request: &Request<'_>,
        response: &Response<'_>,
        directives: &ResponseDirectives,
        arrival: Arrival,
        settings: &Settings,
    ) -> Self {
        let fields = &response.fields;
        let date = date_of(fields, arrival.received).unwrap_or(arrival.received);
        let explicit = directives.s_maxage.or(directives.max_age);
        let explicit =
            explicit.or_else(|| if directives.targeted { None } else { expires(fields, date, arrival.received) });
        let lifetime = explicit.unwrap_or_else(|| heuristic(request, response, directives, date, arrival, settings));
        let (shortest, longest) = settings.lifetimes;
        Self {
            received: arrival.received,
            date,
            initial_age: initial_age(date, arrival),
            lifetime: lifetime.max(shortest).min(longest),
            stale_while_revalidate: directives.stale_while_revalidate.unwrap_or(0),
            stale_if_error: directives.stale_if_error.unwrap_or(settings.stale_if_error),
            no_cache: directives.no_cache,
            forbid_stale: directives.forbid_stale(),
            immutable: directives.immutable,
            has_validator: has_validator(fields, arrival.received),
        }
    }

    /// The length of its form on disk.
    pub const BYTES: usize = 33;

    /// The form on disk.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.received.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.date.to_le_bytes());
        let seconds = [self.initial_age, self.lifetime, self.stale_while_revalidate, self.stale_if_error];
        for (place, number) in bytes[16..32].chunks_exact_mut(4).zip(seconds) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let flags = [self.no_cache, self.forbid_stale, self.immutable, self.has_validator];
        bytes[32] = flags.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag));
        bytes
    }

    /// Reads the form on disk; none if it has an unknown flag. Whether the bytes are those that
    /// were written is checked by the store.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let long = |at: usize| Some(i64::from_le_bytes(*bytes[at..].first_chunk()?));
        let short = |at: usize| Some(u32::from_le_bytes(*bytes[at..].first_chunk()?));
        let flags = bytes[32];
        let has = |bit: u8| flags & 1 << bit != 0;
        (flags < 16).then_some(Self {
            received: long(0)?,
            date: long(8)?,
            initial_age: short(16)?,
            lifetime: short(20)?.min(MAX_SECONDS),
            stale_while_revalidate: short(24)?,
            stale_if_error: short(28)?,
            no_cache: has(0),
            forbid_stale: has(1),
            immutable: has(2),
            has_validator: has(3),
        })
    }

    /// The age in seconds at the Unix second `now` (§4.2.3): the value of the Age field.
    pub fn age(&self, now: i64) -> u32 {
        let here = u32::try_from(now.abs_diff(self.received)).unwrap_or(MAX_SECONDS);
        self.initial_age.saturating_add(here).min(MAX_SECONDS)
    }

    /// For how long it is fresh, in seconds from its generation.
    pub fn lifetime(&self) -> u32 {
        self.lifetime
    }

    /// For how many seconds it stays fresh; negative since it is stale.
    pub fn remaining(&self, now: i64) -> i64 {
        i64::from(self.lifetime) - i64::from(self.age(now))
    }

    /// Whether it may be used without validation: it is fresh, and there is no `no-cache`.
    pub fn is_fresh(&self, now: i64) -> bool {
        !self.no_cache && self.age(now) < self.lifetime
    }

    /// Since how many seconds it is stale; none if it is fresh, or must not be used stale.
    pub(super) fn staleness(&self, now: i64) -> Option<u32> {
        if self.forbid_stale { None } else { self.age(now).checked_sub(self.lifetime) }
    }

    /// For how long it may be used while it is validated (RFC 5861 §3).
    pub(super) fn while_revalidate(&self) -> u32 {
        self.stale_while_revalidate
    }

    /// For how long it may be used if the origin fails (RFC 5861 §4).
    pub(super) fn if_error(&self) -> u32 {
        self.stale_if_error
    }

    /// Clients don't want it validated while it is fresh (RFC 8246 §2).
    pub(super) fn is_immutable(&self) -> bool {
        self.immutable
    }

    /// Whether it can be validated, because it has an ETag or Last-Modified (§4.3.1).
    pub fn has_validator(&self) -> bool {
        self.has_validator
    }

    /// Whether it can never be used, now or later, not even after validation.
    pub(super) fn is_useless(&self) -> bool {
        let stale = match self.forbid_stale {
            true => 0,
            false => self.stale_while_revalidate.max(self.stale_if_error),
        };
        let usable = if self.no_cache { 0 } else { self.lifetime.saturating_add(stale) };
        !self.has_validator && self.initial_age >= usable
    }

    /// The order of responses that match the same request: the last one is used (§4.1).
    pub(super) fn order(&self) -> (i64, i64) {
        (self.date, self.received)
    }
}

/// The Date field. Of several the earliest; none if one is malformed.
pub(super) fn date_of(fields: &Fields<'_>, now: i64) -> Option<i64> {
    earliest(fields, "date", now)?
}

/// The earliest date of all lines of a field. Inner none if one is malformed; outer none if
/// there is no line.
fn earliest(fields: &Fields<'_>, name: &str, now: i64) -> Option<Option<i64>> {
    fields.all(name).map(|value| date::parse_leniently(value, now)).reduce(|a, b| Some(a?.min(b?)))
}

/// `corrected_initial_age` (§4.2.3).
fn initial_age(date: i64, arrival: Arrival) -> u32 {
    let apparent = arrival.received.saturating_sub(date).clamp(0, i64::from(MAX_SECONDS)) as u32;
    let delay = u32::try_from(arrival.received.abs_diff(arrival.requested)).unwrap_or(MAX_SECONDS);
    apparent.max(arrival.age.saturating_add(delay)).min(MAX_SECONDS)
}

/// Expires - Date in seconds; 0 if Expires is malformed (§5.3), none if there is none.
fn expires(fields: &Fields<'_>, date: i64, now: i64) -> Option<u32> {
    let expires = earliest(fields, "expires", now)?;
    let lifetime = expires.map_or(0, |expires| expires.saturating_sub(date));
    Some(lifetime.clamp(0, i64::from(MAX_SECONDS)) as u32)
}

/// Whether a response with this status may be fresh without saying so (RFC 9110 §15.1).
pub(super) fn is_heuristically_cacheable(status: Status) -> bool {
    matches!(status.0, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The lifetime of a response that doesn't say it (§4.2.2). Without Last-Modified it is 0. A
/// request with cookies may have a personal response, even if that doesn't say so.
fn heuristic(
    request: &Request<'_>,
    response: &Response<'_>,
    directives: &ResponseDirectives,
    date: i64,
    arrival: Arrival,
    settings: &Settings,
) -> u32 {
    let fields = &response.fields;
    let allowed = directives.public || is_heuristically_cacheable(response.status);
    let personal = !directives.public && request.fields.get("cookie").is_some();
    if !allowed || personal || (!directives.present && is_no_cache_pragma(fields)) {
        return 0;
    }
    let modified = single(fields, "last-modified").and_then(|value| date::parse_leniently(value, arrival.received));
    let unmodified = modified.map_or(0, |modified| date.saturating_sub(modified).max(0));
    (unmodified / 10).min(i64::from(settings.heuristic_limit.min(MAX_SECONDS))) as u32
}

/// Whether there is an ETag or Last-Modified that can be sent back.
fn has_validator(fields: &Fields<'_>, now: i64) -> bool {
    single(fields, "etag").is_some_and(conditional::is_entity_tag)
        || single(fields, "last-modified").is_some_and(|value| date::parse_leniently(value, now).is_some())
}
