//! The reasons for errors that more than one step has.

use crate::http::{Reject, Status};

/// Application code panicked or broke its contract.
pub(super) const FAILED: Reject = Reject::new(Status::INTERNAL_SERVER_ERROR, "the application failed");

/// Too many jobs wait for a helper thread.
pub(super) const BUSY: Reject = Reject::new(Status::SERVICE_UNAVAILABLE, "the server is busy");

/// The job of an application takes too long.
pub(super) const LATE: Reject = Reject::new(Status::SERVICE_UNAVAILABLE, "the application did not answer in time");

/// The session store failed, or takes too long.
pub(super) const NO_STORE: Reject = Reject::new(Status::SERVICE_UNAVAILABLE, "the session store is unavailable");

/// The application put too much into a session.
pub(super) const SESSION_TOO_LARGE: Reject =
    Reject::new(Status::INSUFFICIENT_STORAGE, "the session is too large to be stored");

/// The body is over its limit.
pub(super) const BODY_TOO_LARGE: Reject =
    Reject::new(Status::CONTENT_TOO_LARGE, "the body of the request is too large");

/// No host has the name that the request is for, or it came by a connection that isn't for it.
pub(super) const UNKNOWN_HOST: Reject =
    Reject::new(Status::MISDIRECTED_REQUEST, "the host that the request is for is not served here");

/// The client wants a stored response only (RFC 9111 §5.2.1.7).
pub(super) const NOT_STORED: Reject = Reject::new(Status::GATEWAY_TIMEOUT, "no stored response may be sent");
