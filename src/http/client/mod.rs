//! The client's side of HTTP/1.1 (RFC 9112): the mirror of what the server reads
//! and writes.
//!
//! ```text
//! Request ──write──► bytes        bytes ──AnswerReader──► head, content, end
//! ```
//!
//! Neither has a socket or a clock. A request is written as a whole head; its body,
//! if it has one, is whatever the caller sends behind it. Answers are read one after
//! the other, in the order of the requests, by one [`AnswerReader`] for each: it
//! hands out the head, borrowed from the input, and stretches of the input that are
//! content, so no body is ever copied or collected here.
//!
//! A client trusts a server no more than a server trusts a client: where two readers
//! of one connection differ about the end of an answer, one of them takes content
//! for the next answer (response splitting). So whatever the server's parser refuses
//! is refused here too, and after any [`Fault`] the connection is of no use.

mod head;
mod reader;
mod request;

use std::fmt;

pub use head::{Body, ResponseHead, parse};
pub use reader::AnswerReader;
pub use request::{Request, check_field};

use super::Reject;

/// What of a request decides how its answer is read (RFC 9112 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Asked {
    /// An answer with whatever content it has: GET and almost all others.
    #[default]
    Content,
    /// HEAD: the answer has no content, whatever its head says.
    HeadOnly,
    /// CONNECT: after a 2xx the connection is a tunnel.
    Tunnel,
    /// There was an Upgrade field: after a 101 the connection speaks otherwise.
    Upgrade,
}

impl Asked {
    /// What a request with this method asks for.
    pub fn by(method: &str) -> Self {
        match method {
            "HEAD" => Self::HeadOnly,
            "CONNECT" => Self::Tunnel,
            _ => Self::Content,
        }
    }
}

/// Why an answer can't be read to its end. A gateway makes a 502 of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// What came isn't an answer of HTTP/1.0 or 1.1, is beyond a limit, or leaves its
    /// own end in doubt. Why, as a sentence without its full stop.
    Malformed(&'static str),
    /// The connection ended before the answer's first byte: it may have been closed
    /// before the request arrived.
    Unanswered,
    /// The connection ended amid the answer.
    Truncated,
}

impl From<Reject> for Fault {
    fn from(reject: Reject) -> Self {
        Self::Malformed(reject.why)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed(why) => why,
            Self::Unanswered => "the connection ended without an answer",
            Self::Truncated => "the connection ended amid the answer",
        })
    }
}

impl std::error::Error for Fault {}
