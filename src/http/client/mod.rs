//! The client's side of HTTP/1.1 (RFC 9112).
//!
//! ```text
//! Request ──write──► bytes        bytes ──ResponseReader──► head, content, end
//! ```
//!
//! Neither has a socket or a clock. A request is written as a complete head; the caller
//! sends the body after it. Responses are read in the order of the requests, with one
//! [`ResponseReader`] each. It returns the head, borrowed from the input, and ranges of the
//! input that are content, so no body is copied or collected here.
//!
//! A client trusts a server no more than a server trusts a client. If two readers of one
//! connection disagree about the end of a response, one of them takes content for the next
//! response (response splitting). So everything that the server's parser refuses is refused
//! here too, and after any [`HttpError`] the connection can't be used.

mod head;
mod reader;
mod request;

use std::fmt;

pub use head::{Body, ResponseHead, parse};
pub use reader::ResponseReader;
pub use request::{Request, check_field};

use super::{Reject, Status};

/// The property of a request that decides how its response is read (RFC 9112 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RequestKind {
    /// The response may have content: GET and most other methods.
    #[default]
    Content,
    /// HEAD: the response has no content, whatever its fields say.
    HeadOnly,
    /// CONNECT: after a 2xx the connection is a tunnel.
    Tunnel,
    /// The request has an Upgrade field: after a 101 the connection uses another protocol.
    Upgrade,
}

impl RequestKind {
    /// The kind of a request with this method.
    pub fn of(method: &str) -> Self {
        match method {
            "HEAD" => Self::HeadOnly,
            "CONNECT" => Self::Tunnel,
            _ => Self::Content,
        }
    }
}

/// Why a request can't be written, or a response can't be read. A gateway responds with 502.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HttpError {
    /// The response isn't HTTP/1.0 or 1.1, or has an ambiguous end; or a part
    /// of the request is malformed. The reason is a sentence without its full stop.
    Malformed(&'static str),
    /// The head of the response exceeds a limit.
    TooLarge(&'static str),
    /// The connection was closed before the first byte of the response; perhaps before the
    /// request arrived.
    NoResponse,
    /// The connection was closed before the end of the response.
    Truncated,
}

impl From<Reject> for HttpError {
    fn from(reject: Reject) -> Self {
        match reject.status {
            Status::HEADER_FIELDS_TOO_LARGE => Self::TooLarge(reject.why),
            _ => Self::Malformed(reject.why),
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(why) | Self::TooLarge(why) => why,
            Self::NoResponse => "the connection was closed without a response",
            Self::Truncated => "the connection was closed before the end of the response",
        })
    }
}

impl std::error::Error for HttpError {}
