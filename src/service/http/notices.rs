//! What the log says about clients at debug level (`-v`): why a request was refused, and why a
//! connection was closed. An operator who sees only a status in the access log, or nothing at
//! all, finds the reason here.
//!
//! A client can cause any number of such lines, so there are at most [`MOST`] in a second. The
//! others are counted, and the next line says how many there were.

use std::fmt;

use super::exchange::{Exchange, Turn};
use crate::http::{Reject, Status};
use crate::logging::escape;
use crate::reactor::Ends;
use crate::service::Cx;

/// Most lines in one second.
const MOST: u32 = 50;
/// Most bytes of a target that are shown.
const SHOWN: usize = 200;

/// The lines of the current second.
#[derive(Debug, Default)]
pub(super) struct Notices {
    second: i64,
    count: u32,
    left_out: u64,
    /// The minute in which a client that speaks TLS was reported last.
    tls_minute: i64,
}

impl Notices {
    /// Whether there may be a line; with how many were left out before it.
    fn admit(&mut self, second: i64) -> Option<u64> {
        if self.second != second {
            (self.second, self.count) = (second, 0);
        }
        if self.count == MOST {
            self.left_out += 1;
            return None;
        }
        self.count += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// Logs that a client speaks TLS at a port for plain HTTP, at most once a minute.
pub(super) fn tls_at_plain(cx: &mut Cx<'_>, ends: Ends<'_>) {
    let minute = cx.time.unix_seconds.div_euclid(60);
    if std::mem::replace(&mut cx.shared.http.notices.tls_minute, minute) == minute {
        return;
    }
    let peer = ends.peer().map_or_else(|| "unix".to_owned(), |peer| peer.to_string());
    log::warn!("#{} {peer} speaks TLS at a port for plain HTTP; its URL must begin with http://", cx.handle.number());
}

/// Logs a line about request number `request` of a connection. `what` is formatted only if it
/// is logged.
pub(super) fn notice(cx: &mut Cx<'_>, ends: Ends<'_>, request: u32, what: impl fmt::Display) {
    if !log::log_enabled!(log::Level::Debug) {
        return;
    }
    let Some(left_out) = cx.shared.http.notices.admit(cx.time.unix_seconds) else { return };
    if left_out > 0 {
        log::debug!("{left_out} lines like the next one are left out");
    }
    let number = cx.handle.number();
    match ends.peer() {
        Some(peer) => log::debug!("#{number}.{request} {peer}: {what}"),
        None => log::debug!("#{number}.{request} unix: {what}"),
    }
}

/// Logs why a request is refused. That a file isn't there, or a password is missing, is usual.
pub(super) fn refused(exchange: &Exchange<'_>, reject: Reject, turn: &mut Turn<'_, '_>) {
    let files = exchange.facts.host.files.as_ref();
    let why = match reject.status {
        Status::UNAUTHORIZED => return,
        Status::NOT_FOUND if !log::log_enabled!(log::Level::Debug) => return,
        Status::NOT_FOUND if files.is_some_and(|files| files.borrow().refuses_link(&exchange.path()[1..])) => {
            "a symbolic link in its path leads nowhere, or out of the root, or links aren't followed"
        }
        Status::NOT_FOUND => return,
        _ => reject.why,
    };
    let head = exchange.head;
    let target = &head.raw_target[..head.raw_target.len().min(SHOWN)];
    let Status(status) = reject.status;
    let what = format_args!("{status} for {} {}: {why}", head.method_name, escape(target));
    notice(turn.cx, turn.ends, turn.request, what);
}

/// Logs why input is refused that is no request.
pub(super) fn refused_unparsed(input: &[u8], reject: Reject, turn: &mut Turn<'_, '_>) {
    let why = other_protocol(input).unwrap_or(reject.why);
    let Status(status) = reject.status;
    notice(turn.cx, turn.ends, turn.request, format_args!("{status}: {why}"));
}

/// What a client speaks instead of HTTP/1.1, as far as it is usual.
fn other_protocol(input: &[u8]) -> Option<&'static str> {
    match input {
        _ if input.starts_with(b"PRI * HTTP/2.0") => Some("HTTP/2 without an upgrade; this is HTTP/1.1"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_limited_in_each_second_and_the_others_are_counted() {
        let mut notices = Notices::default();
        for second in [7, 8] {
            let left_out = if second == 7 { 0 } else { 3 };
            assert_eq!(notices.admit(second), Some(left_out));
            for _ in 1..MOST {
                assert_eq!(notices.admit(second), Some(0));
            }
            assert_eq!([(); 3].map(|()| notices.admit(second)), [None; 3]);
        }
    }

    #[test]
    fn other_protocols_are_recognized() {
        assert!(other_protocol(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap().starts_with("HTTP/2"));
        for input in [&b""[..], b"\x16", b"GET / HTTP/1.1\r\n", b"PRI / HTTP/1.1\r\n"] {
            assert_eq!(other_protocol(input), None);
        }
    }
}
