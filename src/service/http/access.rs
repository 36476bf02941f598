//! The access log: one line for each request, written when it ends.
//!
//! The combined format, which every tool reads, and behind it: the client's
//! port, the local address and port, the duration in seconds, the octets of the
//! whole answer, and connection/request, which error pages show too.
//!
//! ```text
//! 127.0.0.1 - - [21/Nov/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 1024 "-" "curl/8.5" 50312 127.0.0.1:8080 0.000000 1290 7/1
//! ```
//!
//! Times are the loop's, read once a turn: what was answered in the turn it came
//! in took 0. What comes from the network is escaped, so a line is a line.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use super::Cx;
use crate::http::{Fields, Status, date};
use crate::logging::escape;
use crate::reactor::Tick;

/// The name under which lines are logged.
pub(super) const TARGET: &str = "access";

/// What a line tells of an answer.
#[derive(Clone, Copy)]
pub(super) struct Account {
    pub(super) status: Status,
    /// Octets of the body.
    pub(super) body: u64,
    /// Octets of the answer, head included.
    pub(super) octets: u64,
    pub(super) duration: Duration,
    pub(super) peer: Option<SocketAddr>,
    pub(super) local: Option<SocketAddr>,
    pub(super) request: u32,
}

/// A request whose answer is on its way; its line is written when that ends.
pub(super) struct Exchanged {
    /// The request's head, for the line.
    head: Box<[u8]>,
    began: Tick,
    account: Account,
}

impl Exchanged {
    pub(super) fn begin(head: &[u8], account: Account, now: Tick) -> Self {
        Self { head: head.into(), began: now, account }
    }

    /// Octets that were added to the answer since it began.
    pub(super) fn add(&mut self, body: u64, octets: u64) {
        self.account.body += body;
        self.account.octets += octets;
    }

    /// The answer ended, `unsent` octets short.
    pub(super) fn end(&mut self, unsent: u64, cx: &mut Cx<'_>) {
        let mut lines = [httparse::EMPTY_HEADER; crate::limits::FIELDS];
        let mut request = httparse::Request::new(&mut lines);
        // It was parsed before.
        let _ = request.parse(&self.head);
        self.account.body = self.account.body.saturating_sub(unsent);
        self.account.octets = self.account.octets.saturating_sub(unsent);
        self.account.duration = cx.time.now.since(self.began);
        write(first_line(&self.head), Fields::new(request.headers), self.account, cx);
    }
}

/// The request line, or what came in its place.
pub(super) fn first_line(head: &[u8]) -> &[u8] {
    /// More of it isn't needed to see what it was.
    const MOST: usize = 8_300;
    let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
    &head[..end.min(MOST)]
}

/// Writes a line.
pub(super) fn write(line: &[u8], fields: Fields<'_>, account: Account, cx: &mut Cx<'_>) {
    let number = cx.handle.number();
    let log = &mut cx.shared.http.access;
    log.refresh(cx.time.unix_seconds);
    let text = &mut log.line;
    text.clear();
    // Writing to a string can't fail.
    let _ = match account.peer {
        Some(peer) => write!(text, "{} - - ", peer.ip()),
        None => write!(text, "unix - - "),
    };
    text.push_str(&log.moment);
    let (referer, agent) = (fields.get("referer").unwrap_or(b"-"), fields.get("user-agent").unwrap_or(b"-"));
    let (status, body) = (account.status.0, account.body);
    let _ = write!(text, " \"{}\" {status} {body} \"{}\" \"{}\" ", escape(line), escape(referer), escape(agent));
    let _ = match account.peer {
        Some(peer) => write!(text, "{} ", peer.port()),
        None => write!(text, "- "),
    };
    let _ = match account.local {
        Some(local) => write!(text, "{local}"),
        None => write!(text, "-"),
    };
    let micros = account.duration.as_micros();
    let _ = write!(
        text,
        " {}.{:06} {} {number}/{}",
        micros / 1_000_000,
        micros % 1_000_000,
        account.octets,
        account.request
    );
    log::info!(target: TARGET, "{text}");
}

/// The line being made, and the moment as it is written in one.
#[derive(Default)]
pub(super) struct AccessLog {
    pub(super) enabled: bool,
    line: String,
    moment: String,
    second: i64,
}

impl AccessLog {
    pub(super) fn new() -> Self {
        Self { enabled: log::log_enabled!(target: TARGET, log::Level::Info), ..Self::default() }
    }

    fn refresh(&mut self, unix_seconds: i64) {
        if self.moment.is_empty() || self.second != unix_seconds {
            self.second = unix_seconds;
            let mut moment = Vec::with_capacity(32);
            date::write_clf(unix_seconds, &mut moment);
            self.moment = String::from_utf8(moment).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_anything() {
        assert_eq!(first_line(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), b"GET / HTTP/1.1");
        assert_eq!(first_line(b"\x16\x03\x01"), b"\x16\x03\x01");
        assert_eq!(first_line(&[b'a'; 100_000]).len(), 8_300);
    }
}
