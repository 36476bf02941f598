//! Whether a connection goes on after a response (RFC 9112 §9.3, §9.6).
//!
//! Each direction has a state of its own, and one rule joins them:
//!
//! | reading \ writing | `KeepAlive` | `Last` | `Cut` |
//! |---|---|---|---|
//! | `KeepAlive` | next request | linger | cut |
//! | `Last` | close | close | cut |
//! | `Unread` | linger | linger | cut |
//!
//! To linger means to end the output and to discard input until the peer closes, too. A close
//! with unread input would reset the connection, and the peer would lose the
//! response. A shutdown changes nothing here: its responses say that they are the last.
//! A cut is a linger that over TLS shows that content is missing. `Abort` is a reset. It is used where
//! a proper end would make incomplete content look complete.

use crate::reactor::Finish;

/// What the client may still send on this connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reading {
    /// The request was read to its end, and another one may follow.
    KeepAlive,
    /// The request was read to its end, and is the last one.
    Last,
    /// The rest of the request wasn't read, or its end is unknown.
    Unread,
}

/// How a response ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Writing {
    /// Complete; another response may follow.
    KeepAlive,
    /// Complete; its head announces the close, or the end of the connection is its end.
    Last,
    /// Incomplete, and the peer sees that: a part of its length, or the last chunk, is missing.
    Cut,
    /// Incomplete, and only a reset can show that.
    Abort,
}

impl Writing {
    /// The value for a complete response.
    pub(super) fn whole(persistent: bool) -> Self {
        if persistent { Self::KeepAlive } else { Self::Last }
    }
}

/// How the connection ends after a response; `None` if the next request follows.
pub(super) fn after(reading: Reading, writing: Writing) -> Option<Finish> {
    match (reading, writing) {
        (_, Writing::Abort) => Some(Finish::Abort),
        (_, Writing::Cut) => Some(Finish::Cut),
        (Reading::KeepAlive, Writing::KeepAlive) => None,
        (Reading::Last, _) => Some(Finish::Close),
        (Reading::KeepAlive | Reading::Unread, _) => Some(Finish::Linger),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_goes_on_only_if_both_directions_do() {
        use Reading::{KeepAlive, Last, Unread};
        for (reading, writing, expected) in [
            (KeepAlive, Writing::KeepAlive, None),
            (KeepAlive, Writing::Last, Some(Finish::Linger)),
            (KeepAlive, Writing::Cut, Some(Finish::Cut)),
            (Last, Writing::KeepAlive, Some(Finish::Close)),
            (Last, Writing::Cut, Some(Finish::Cut)),
            (Unread, Writing::KeepAlive, Some(Finish::Linger)),
            (Unread, Writing::Abort, Some(Finish::Abort)),
            (Last, Writing::Abort, Some(Finish::Abort)),
        ] {
            assert_eq!(after(reading, writing), expected, "{reading:?} {writing:?}");
        }
    }
}
