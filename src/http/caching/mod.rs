//! The rules of a shared HTTP cache: RFC 9111, with RFC 5861 (stale responses), 8246 (immutable),
//! 9211 (Cache-Status) and 9213 (CDN-Cache-Control, for a reverse proxy).
//!
//! Rules only: bytes and times come in, decisions come out. Nothing here stores, waits, or knows
//! the time. An exchange of a proxy asks in this order:
//!
//! ```text
//! request head ─► the store: URI ─► names, variant::write_key ─► variant::most_recent
//!                    │
//!                 decide ──► Serve ──► answer: whole, ranges, 304 ──► write_age, write_cache_status
//!                    │  └──► Unavailable: 504
//!                 Forward ──► is_left_out, write_conditions if it can be validated ──► origin
//!                                                                                        │
//!   invalidates, further_targets ◄── after an unsafe method ─────────────────────────────┤
//!   stale_on_error ◄── 5xx or nothing ───────────────────────────────────────────────────┤
//!   confirms ─► write_updated ─► evaluate ─► answer ◄── 304 ─────────────────────────────┤
//!   head_effect ◄── after HEAD ──────────────────────────────────────────────────────────┤
//!   evaluate ─► write_stored, write_names, write_key ─► is_whole: the entry is visible ◄── else
//! ```
//!
//! What the caller has to see to:
//!
//! - The key is the method GET, the scheme, the host, the port, and the path and query as they are
//!   sent to the origin, byte for byte. A field that changes the response without being in the key
//!   or in Vary poisons the cache: the request that fills it must not have more of the client's
//!   than other requests for the key would.
//! - An entry becomes visible when its body [is whole](is_whole), not before. If a stale one
//!   was to be replaced and the response isn't stored, the stale one is removed, unless the refusal
//!   is about the request or its status.
//! - Requests that wait for one that is under way get its response only if it was stored, and
//!   [`decide`] says `Serve` for each; else each is sent on its own. So nobody gets the cookies of
//!   another, and a response with `max-age=0` isn't shared.
//! - While a response is validated in the background, no other request validates it; if that fails,
//!   not again within the same second.
//! - The stored head is `HTTP/1.1`, the status and the lines of [`write_stored`], so that
//!   [`client::parse`](super::client::parse) reads it. The length of the content is known to the
//!   store. In memory there are a [`Freshness`], which has 40 bytes, and the keys; on disk the
//!   freshness has [`Freshness::BYTES`].
//! - Times are whole Unix seconds. The Age that is sent is the one that was compared with the
//!   lifetime, so a fresh response never seems stale to the next cache.
//!
//! Parts (206) aren't stored, responses to POST neither: both may be left out, and both are easily
//! wrong.

mod answer;
mod directives;
mod exchange;
mod freshness;
mod invalidation;
mod reuse;
mod status;
mod stored_head;
mod storing;
mod structured;
mod validation;
pub mod variant;

pub use answer::{Answer, answer};
pub use directives::{RequestDirectives, ResponseDirectives};
pub use exchange::{Arrival, Request, Response, Settings};
pub use freshness::Freshness;
pub use invalidation::{further_targets, invalidates};
pub use reuse::{Decision, Lookup, Reason, decide, stale_on_error};
pub use status::{Handling, NAME, write_age, write_cache_status};
pub use stored_head::{is_sent_with_304, write_stored, write_updated};
pub use storing::{Refusal, evaluate, is_whole};
pub use validation::{
    Confirmation, HeadEffect, changes_selection, confirms, head_effect, is_left_out, write_conditions,
};

#[cfg(test)]
mod tests;
