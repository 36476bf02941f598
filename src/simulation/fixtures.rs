//! What the requests and the service of a simulation agree on.

use crate::session::Id;

/// The largest body of a request that the service reads, in bytes.
pub(super) const BODY: u64 = 100_000;

/// How many sessions there are.
pub(super) const SESSIONS: usize = 2;

/// The identifier of a session.
pub(super) fn session(which: usize) -> Id {
    Id::parse(format!("{which:08}-1111-4111-8111-111111111111").as_bytes()).expect("an identifier")
}
