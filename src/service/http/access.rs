//! The access log: one line for each request, written when it ends.
//!
//! The combined format, which every tool reads, and behind it: the client's
//! port, the local address and port, the duration in seconds, the octets of the
//! whole answer, and connection/request, which error pages show too. The third
//! field is the user's name under protection; with 401, what was claimed.
//!
//! ```text
//! 127.0.0.1 - - [21/Nov/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 1024 "-" "curl/8.5" 50312 127.0.0.1:8080 0.000000 1290 7/1
//! ```
//!
//! Times are the loop's, read once a turn: what was answered in the turn it came
//! in took 0. What comes from the network is escaped, so a line is a line.

use std::borrow::Cow;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Cx;
use crate::http::forwarded::Proxies;
use crate::http::response::write_decimal;
use crate::http::{Fields, Status, basic, date};
use crate::logging::{ACCESS, escape};
use crate::reactor::Tick;

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
    /// The request was for what is under protection.
    pub(super) protected: bool,
}

/// What a line tells of a request and of who made it.
pub(super) struct Asked<'a> {
    line: &'a [u8],
    /// The client's address: the peer's, or what a trusted proxy says.
    client: Option<IpAddr>,
    /// The name that was given, right or wrong, for what is under protection.
    user: Option<Cow<'a, str>>,
    referer: &'a [u8],
    agent: &'a [u8],
}

impl<'a> Asked<'a> {
    /// Of the octets that came, and the fields that were understood of them.
    pub(super) fn new(octets: &'a [u8], fields: Fields<'a>, account: &Account, proxies: &Proxies) -> Self {
        let value = |name| fields.get(name).unwrap_or(b"-");
        Self {
            line: first_line(octets),
            client: proxies.client(account.peer.map(|peer| peer.ip()), &fields),
            user: account.protected.then(|| basic::credentials(&fields)).flatten().map(|who| who.name.into()),
            referer: value("referer"),
            agent: value("user-agent"),
        }
    }
}

/// A request whose answer is on its way; its line is written when that ends.
pub(super) struct Exchanged {
    /// The words of [`Asked`], an end of line between: none of them but the last has one in it.
    words: Box<[u8]>,
    client: Option<IpAddr>,
    /// The last of the words is a user.
    named: bool,
    began: Tick,
    account: Account,
}

impl Exchanged {
    pub(super) fn begin(asked: &Asked<'_>, account: Account, now: Tick) -> Self {
        let user = asked.user.as_deref().unwrap_or_default().as_bytes();
        let words = [asked.line, asked.referer, asked.agent, user].join(&b'\n').into_boxed_slice();
        Self { words, client: asked.client, named: asked.user.is_some(), began: now, account }
    }

    /// Octets that were added to the answer since it began.
    pub(super) fn add(&mut self, body: u64, octets: u64) {
        self.account.body += body;
        self.account.octets += octets;
    }

    /// The answer ended, `unsent` octets short.
    pub(super) fn end(&mut self, unsent: u64, cx: &mut Cx<'_>) {
        self.account.body = self.account.body.saturating_sub(unsent);
        self.account.octets = self.account.octets.saturating_sub(unsent);
        self.account.duration = cx.time.now.since(self.began);
        let mut words = self.words.splitn(4, |&octet| octet == b'\n');
        let [line, referer, agent, user] = std::array::from_fn(|_| words.next().unwrap_or_default());
        let user = self.named.then(|| String::from_utf8_lossy(user));
        write(&Asked { line, client: self.client, user, referer, agent }, self.account, cx);
    }
}

/// The request line, or what came in its place.
pub(super) fn first_line(head: &[u8]) -> &[u8] {
    /// More of it isn't needed to see what it was.
    const MOST: usize = 8_300;
    let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
    &head[..end.min(MOST)]
}

/// Writes a line. By hand, since formatting would cost more than all the rest of
/// a small answer.
pub(super) fn write(asked: &Asked<'_>, account: Account, cx: &mut Cx<'_>) {
    let number = cx.handle.number();
    let format = &mut cx.shared.http.access;
    format.refresh(cx.time.unix_seconds, account.local);
    let out = &mut format.line;
    out.clear();
    match asked.client {
        Some(client) => push_ip(out, client),
        None => out.extend_from_slice(b"unix"),
    }
    out.extend_from_slice(b" - ");
    match &asked.user {
        Some(name) => push_word(out, name),
        None => out.push(b'-'),
    }
    out.push(b' ');
    out.extend_from_slice(&format.moment);
    out.extend_from_slice(b" \"");
    push_escaped(out, asked.line);
    out.extend_from_slice(b"\" ");
    write_decimal(out, u64::from(account.status.0));
    out.push(b' ');
    write_decimal(out, account.body);
    for word in [asked.referer, asked.agent] {
        out.extend_from_slice(b" \"");
        push_escaped(out, word);
        out.push(b'"');
    }
    out.push(b' ');
    match account.peer {
        Some(peer) => write_decimal(out, u64::from(peer.port())),
        None => out.push(b'-'),
    }
    out.push(b' ');
    out.extend_from_slice(&format.local_text);
    out.push(b' ');
    push_seconds(out, account.duration);
    for (before, number) in [(b' ', account.octets), (b' ', u64::from(number)), (b'/', u64::from(account.request))] {
        out.push(before);
        write_decimal(out, number);
    }
    out.push(b'\n');
    cx.shared.log.access(out);
}

fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(v4) => {
            for (at, octet) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                write_decimal(out, u64::from(octet));
            }
        }
        // Rare enough; writing to a vector can't fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

/// Text from the network: as it is, if that is harmless.
fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    // Without a branch inside, so that many octets are looked at at once.
    let harmless = |octet: u8| (b' '..=b'~').contains(&octet) & (octet != b'"') & (octet != b'\\');
    if text.iter().fold(true, |all, &octet| all & harmless(octet)) {
        out.extend_from_slice(text);
    } else {
        drop(write!(out, "{}", escape(text)));
    }
}

/// The same without spaces, and never nothing.
fn push_word(out: &mut Vec<u8>, text: &str) {
    let start = out.len();
    for word in text.split_inclusive(' ') {
        push_escaped(out, word.trim_end_matches(' ').as_bytes());
        if word.ends_with(' ') {
            out.extend_from_slice(b"\\x20");
        }
    }
    if matches!(out[start..], [] | [b'-']) {
        out.truncate(start);
        out.extend_from_slice(b"\"\"");
    }
}

/// Seconds with six decimals.
fn push_seconds(out: &mut Vec<u8>, duration: Duration) {
    let micros = duration.subsec_micros();
    write_decimal(out, duration.as_secs());
    out.push(b'.');
    for place in [100_000, 10_000, 1_000, 100, 10, 1] {
        out.push(b'0' + (micros / place % 10) as u8);
    }
}

/// The line being made, and what is the same in most lines as it is written in one:
/// the moment and the local address.
#[derive(Default)]
pub(super) struct AccessLog {
    pub(super) enabled: bool,
    line: Vec<u8>,
    moment: Vec<u8>,
    second: i64,
    local: Option<SocketAddr>,
    local_text: Vec<u8>,
}

impl AccessLog {
    pub(super) fn new() -> Self {
        Self { enabled: log::log_enabled!(target: ACCESS, log::Level::Info), ..Self::default() }
    }

    fn refresh(&mut self, unix_seconds: i64, local: Option<SocketAddr>) {
        if self.moment.is_empty() || self.second != unix_seconds {
            self.second = unix_seconds;
            self.moment.clear();
            date::write_clf(unix_seconds, &mut self.moment);
        }
        if self.local_text.is_empty() || self.local != local {
            self.local = local;
            self.local_text.clear();
            match local {
                // Writing to a vector can't fail.
                Some(local) => drop(write!(self.local_text, "{local}")),
                None => self.local_text.push(b'-'),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_addresses() {
        let text = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            String::from_utf8(out).unwrap()
        };
        for (micros, expected) in [(0, "0.000000"), (12, "0.000012"), (61_000_001, "61.000001")] {
            assert_eq!(text(&|out| push_seconds(out, Duration::from_micros(micros))), expected);
        }
        for address in ["0.0.0.0", "192.0.2.255", "2001:db8::1"] {
            assert_eq!(text(&|out| push_ip(out, address.parse().unwrap())), address);
        }
        assert_eq!(text(&|out| push_escaped(out, b"a\"b\n")), "a\\\"b\\x0a");
        for (name, expected) in [("alice", "alice"), ("a b ", "a\\x20b\\x20"), ("", "\"\""), ("\u{e4}]", "\\xc3\\xa4]")]
        {
            assert_eq!(text(&|out| push_word(out, name)), expected);
        }
    }

    #[test]
    fn the_first_line_of_anything() {
        assert_eq!(first_line(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), b"GET / HTTP/1.1");
        assert_eq!(first_line(b"\x16\x03\x01"), b"\x16\x03\x01");
        assert_eq!(first_line(&[b'a'; 100_000]).len(), 8_300);
    }
}
