//! The fields that a cache adds to a response: Age (RFC 9111 §5.1) and Cache-Status (RFC 9211).
//!
//! Cache-Status is a list; each cache on the way adds a member after those that are there already,
//! so the line comes after the stored ones.

use super::reuse::Reason;
use crate::http::Status;
use crate::http::response::write_decimal;

/// The name of this cache in Cache-Status.
pub const NAME: &str = "miod";

/// How a cache handled a request (RFC 9211 §2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Handling {
    /// With a stored response, without asking the origin before.
    Hit,
    /// It asked the origin.
    Forwarded {
        /// Why.
        why: Reason,
        /// The status of the origin's response, if it isn't that of the response to the client.
        status: Option<Status>,
        /// The origin's response was stored.
        stored: bool,
        /// Another request that was under way was waited for: whether its response could be used, or this
        /// request had to be sent after all (§2.7). None: there was no waiting.
        collapsed: Option<bool>,
    },
}

impl Reason {
    /// The value of `fwd` (RFC 9211 §2.2).
    pub const fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

/// Appends the line of Age. It replaces any Age that came from the origin.
pub fn write_age(age: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Age: ");
    write_decimal(out, u64::from(age));
    out.extend_from_slice(b"\r\n");
}

/// Appends the line of Cache-Status. `remaining` is for how many seconds the response stays fresh,
/// negative if it is stale; none if it isn't stored.
pub fn write_cache_status(handling: Handling, remaining: Option<i64>, out: &mut Vec<u8>) {
    for part in ["Cache-Status: ", NAME] {
        out.extend_from_slice(part.as_bytes());
    }
    match handling {
        Handling::Hit => out.extend_from_slice(b"; hit"),
        Handling::Forwarded { why, status, stored, collapsed } => {
            out.extend_from_slice(b"; fwd=");
            out.extend_from_slice(why.token().as_bytes());
            if let Some(status) = status {
                out.extend_from_slice(b"; fwd-status=");
                write_decimal(out, u64::from(status.0));
            }
            if stored {
                out.extend_from_slice(b"; stored");
            }
            out.extend_from_slice(match collapsed {
                None => b"",
                Some(true) => b"; collapsed",
                Some(false) => b"; collapsed=?0",
            });
        }
    }
    if let Some(seconds) = remaining {
        out.extend_from_slice(if seconds < 0 { b"; ttl=-" } else { b"; ttl=" });
        write_decimal(out, seconds.unsigned_abs());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_as_in_the_rfc() {
        let forwarded = |why, status, stored, collapsed| Handling::Forwarded { why, status, stored, collapsed };
        for (handling, remaining, expected) in [
            (Handling::Hit, None, "miod; hit"),
            (Handling::Hit, Some(30), "miod; hit; ttl=30"),
            (Handling::Hit, Some(-412), "miod; hit; ttl=-412"),
            (forwarded(Reason::UriMiss, None, true, None), Some(0), "miod; fwd=uri-miss; stored; ttl=0"),
            (forwarded(Reason::VaryMiss, None, false, Some(true)), None, "miod; fwd=vary-miss; collapsed"),
            (forwarded(Reason::UriMiss, None, false, Some(false)), None, "miod; fwd=uri-miss; collapsed=?0"),
            (forwarded(Reason::Stale, Some(Status(304)), false, None), None, "miod; fwd=stale; fwd-status=304"),
            (forwarded(Reason::Request, None, false, None), None, "miod; fwd=request"),
            (forwarded(Reason::Method, None, false, None), None, "miod; fwd=method"),
            (forwarded(Reason::Bypass, None, false, None), None, "miod; fwd=bypass"),
        ] {
            let mut out = Vec::new();
            write_cache_status(handling, remaining, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("Cache-Status: {expected}\r\n"));
        }
        let mut out = Vec::new();
        write_age(1 << 31, &mut out);
        assert_eq!(out, b"Age: 2147483648\r\n");
    }
}
