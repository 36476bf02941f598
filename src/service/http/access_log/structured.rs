//! The facts of a line by name, for the formats that have names. Both formats have the same
//! names, because both are written from here.
//!
//! An absent fact is an absent name. Times are in UTC, durations in seconds.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use super::text::{Text, push_ip};
use super::{Details, Entry, Phases};
use crate::http::date;
use crate::http::response::write_decimal;

/// Writes named facts in one format.
pub(super) trait Facts {
    /// Text, which may have been chosen by the client.
    fn text(&mut self, name: &'static str, text: &[u8]);
    /// A text that needs no escape: `write` appends printable ASCII without spaces, quotation
    /// marks, backslashes and equals signs.
    fn plain(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>));
    /// A number, which `write` appends.
    fn number(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>));

    /// What is written so far.
    fn written(&mut self) -> &mut Vec<u8>;

    /// Text in lower case. Names and escapes are in lower case anyway.
    fn lower_case(&mut self, name: &'static str, text: &[u8]) {
        let start = self.written().len();
        self.text(name, text);
        self.written()[start..].make_ascii_lowercase();
    }

    /// Seconds with six decimals.
    fn seconds(&mut self, name: &'static str, span: Duration) {
        self.number(name, |out| {
            let mut seconds = Text::<32>::new();
            seconds.push_seconds(span);
            out.extend_from_slice(seconds.get());
        });
    }

    /// A whole number.
    fn count(&mut self, name: &'static str, count: u64) {
        self.number(name, |out| write_decimal(out, count));
    }
}

/// The beginning of times: their date and second, which many successive lines share.
#[derive(Default)]
pub(super) struct Moment {
    second: i64,
    /// As in RFC 3339, up to the second: `2026-11-21T07:15:00`.
    text: Vec<u8>,
}

impl Moment {
    /// Sets the second.
    fn refresh(&mut self, unix_seconds: i64) {
        if self.second != unix_seconds || self.text.is_empty() {
            self.second = unix_seconds;
            self.text.clear();
            date::write_rfc3339(unix_seconds, &mut self.text);
            // The fraction comes before the Z.
            self.text.pop();
        }
    }
}

/// Writes all facts of a line.
pub(super) fn write(entry: &Entry<'_>, moment: &mut Moment, facts: &mut impl Facts) {
    let Entry { request, response, .. } = entry;
    moment.refresh(entry.time.unix_seconds);
    facts.plain("time", |out| {
        out.extend_from_slice(&moment.text);
        let mut fraction = Text::<8>::new();
        fraction.push_fraction(entry.time.unix_micros);
        out.extend_from_slice(fraction.get());
        out.push(b'Z');
    });
    if let Some(client) = request.client {
        facts.plain("client", |out| push_ip(out, client));
    }
    if let Some(port) = response.peer_port {
        facts.count("peer_port", u64::from(port));
    }
    if let Some(local) = response.local {
        facts.plain("local", |out| push_address(out, local));
    }
    facts.count("connection", u64::from(entry.connection));
    facts.count("request", u64::from(response.request));
    if let Some(details) = request.details {
        facts.plain("scheme", |out| out.extend_from_slice(if details.secure { b"https" } else { b"http" }));
        if let Some(host) = details.host {
            facts.lower_case("host", host_name(host));
        }
    }
    if let Some(user) = &request.user {
        facts.text("user", user.as_bytes());
    }
    write_request_line(request.line, facts);
    facts.count("status", u64::from(response.status.0));
    facts.count("body_bytes", response.body);
    facts.count("bytes", response.bytes);
    if let Some(details) = request.details {
        facts.seconds("time_to_response", details.phases.wait);
    }
    facts.seconds("total_time", response.duration);
    if let Some(details) = request.details {
        write_exchange(details, facts);
    }
    for (name, value) in [("referer", request.referer), ("user_agent", request.agent)] {
        if let Some(value) = value {
            facts.text(name, value);
        }
    }
    if let Some(id) = request.details.and_then(|details| details.request_id) {
        facts.text("request_id", id);
    }
    if let Some([version, cipher]) = request.details.and_then(|details| details.tls) {
        facts.text("tls_version", version.as_bytes());
        facts.text("tls_cipher", cipher.as_bytes());
    }
}

/// Writes what only an exchange has: its phases, its route, its upstream, and what the cache said.
fn write_exchange(details: &Details<'_>, facts: &mut impl Facts) {
    let Phases { head, body, answer, send, .. } = details.phases;
    for (name, span) in [("time_head", head), ("time_body", body), ("time_answer", answer), ("time_send", send)] {
        if let Some(span) = span {
            facts.seconds(name, span);
        }
    }
    if let Some(route) = details.route {
        facts.text("route", route);
    }
    if let Some(upstream) = details.upstream {
        facts.text("upstream", upstream);
    }
    if let Some(cache) = details.cache {
        facts.plain("cache", |out| out.extend_from_slice(cache.name().as_bytes()));
    }
}

/// Writes method, target and protocol, if the line has these three words. Else it is no request
/// line, and is written as it is.
fn write_request_line(line: &[u8], facts: &mut impl Facts) {
    let mut words = line.splitn(3, |&byte| byte == b' ');
    match (words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some(protocol)) if protocol.starts_with(b"HTTP/") && !protocol.contains(&b' ') => {
            facts.text("method", method);
            facts.text("target", target);
            facts.text("protocol", protocol);
        }
        _ => facts.text("line", line),
    }
}

/// The host of `host[:port]`.
fn host_name(host: &[u8]) -> &[u8] {
    // An IPv6 address has colons inside of its brackets.
    let from = memchr::memchr(b']', host).unwrap_or(0);
    let end = memchr::memchr(b':', &host[from..]).map_or(host.len(), |colon| from + colon);
    &host[..end]
}

fn push_address(out: &mut Vec<u8>, address: SocketAddr) {
    // Writing to a vector can't fail.
    let _ = write!(out, "{address}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_no_port() {
        for (host, expected) in [
            ("a.example", "a.example"),
            ("a.example:80", "a.example"),
            ("a.example:", "a.example"),
            ("[::1]", "[::1]"),
            ("[2001:db8::1]:8080", "[2001:db8::1]"),
            ("", ""),
        ] {
            assert_eq!(host_name(host.as_bytes()), expected.as_bytes());
        }
    }
}
