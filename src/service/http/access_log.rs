//! The access log: one line for each request, written when its response ends.
//!
//! It is the combined format, which every tool reads, with further fields at its end: the
//! client's port, the local address and port, the duration in seconds, the bytes of the
//! complete response, and connection/request, which error pages show too. On a protected
//! path the third field is the user name, in a 401 the name that the client sent. Without such a
//! name it is the subject of the client's certificate, if it sent one.
//!
//! ```text
//! 127.0.0.1 - - [21/Nov/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 1024 "-" "curl/8.5" 50312 127.0.0.1:8080 0.000000 1290 7/1
//! ```
//!
//! The duration begins with the first byte of the request. Times are the loop's, read once a
//! turn: a response in the same turn as its request took 0. Text from the network is escaped,
//! so it can't forge a line.

use std::borrow::Cow;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Cx;
use crate::certificates::x509;
use crate::http::fields::is_named;
use crate::http::head::RequestHead;
use crate::http::response::write_decimal;
use crate::http::{Fields, Status, basic, date};
use crate::logging::{ACCESS, push_escaped};
use crate::reactor::Tick;

/// The fields of a line about the response.
#[derive(Clone, Copy)]
pub(super) struct ResponseSummary {
    pub(super) status: Status,
    /// Bytes of the body.
    pub(super) body: u64,
    /// Bytes of the response, head included.
    pub(super) bytes: u64,
    /// From the first byte of the request to the last of the response.
    pub(super) duration: Duration,
    pub(super) peer: Option<SocketAddr>,
    pub(super) local: Option<SocketAddr>,
    pub(super) request: u32,
    /// The path is protected.
    pub(super) protected: bool,
}

/// The fields of a line about the request and its client.
pub(super) struct RequestSummary<'a> {
    line: &'a [u8],
    client: Option<IpAddr>,
    /// The user name on a protected path, whether its password is right or wrong; else the
    /// subject of the client's certificate.
    user: Option<Cow<'a, str>>,
    referer: &'a [u8],
    agent: &'a [u8],
}

impl<'a> RequestSummary<'a> {
    /// The summary of a request with this request line and these fields. The user is logged if
    /// the path is `protected`, and else the owner of the client's `certificate`.
    pub(super) fn new(
        line: &'a [u8],
        fields: Fields<'a>,
        client: Option<IpAddr>,
        protected: bool,
        certificate: Option<&[u8]>,
    ) -> Self {
        let (mut referer, mut agent) = (None, None);
        for (name, value) in fields.iter() {
            match name.len() {
                7 if is_named(name, b"Referer") => _ = referer.get_or_insert(value),
                10 if is_named(name, b"User-Agent") => _ = agent.get_or_insert(value),
                _ => {}
            }
        }
        Self {
            line,
            client,
            user: if protected || certificate.is_some() { user(&fields, protected, certificate) } else { None },
            referer: referer.unwrap_or(b"-"),
            agent: agent.unwrap_or(b"-"),
        }
    }
}

/// Who sent a request, for the log. Most requests have nobody, and don't get here.
#[cold]
fn user(fields: &Fields<'_>, protected: bool, certificate: Option<&[u8]>) -> Option<Cow<'static, str>> {
    let name = protected.then(|| basic::credentials(fields)).flatten().map(|who| who.name);
    name.or_else(|| x509::subject(certificate?)).map(Cow::from)
}

/// The line of a response that is sent over several turns, written when it ends.
pub(super) struct PendingEntry {
    /// The texts of the [`RequestSummary`], separated by a line feed: only the last can
    /// contain one.
    texts: Box<[u8]>,
    client: Option<IpAddr>,
    /// The last of the texts is a user name.
    named: bool,
    began: Tick,
    response: ResponseSummary,
}

impl PendingEntry {
    /// The line for a response to a request that began at `began`.
    pub(super) fn new(request: &RequestSummary<'_>, response: ResponseSummary, began: Tick) -> Self {
        let user = request.user.as_deref().unwrap_or_default().as_bytes();
        let texts = [request.line, request.referer, request.agent, user].join(&b'\n').into_boxed_slice();
        Self { texts, client: request.client, named: request.user.is_some(), began, response }
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.texts.len()
    }

    /// Counts bytes that were added to the response: of the body, and in total.
    pub(super) fn add(&mut self, body: u64, bytes: u64) {
        self.response.body += body;
        self.response.bytes += bytes;
    }

    /// The response ended, `unsent` bytes short.
    pub(super) fn end(&mut self, unsent: u64, cx: &mut Cx<'_>) {
        self.response.body = self.response.body.saturating_sub(unsent);
        self.response.bytes = self.response.bytes.saturating_sub(unsent);
        self.response.duration = cx.time.now.since(self.began);
        let mut texts = self.texts.splitn(4, |&byte| byte == b'\n');
        let [line, referer, agent, user] = std::array::from_fn(|_| texts.next().unwrap_or_default());
        let user = self.named.then(|| String::from_utf8_lossy(user));
        write(&RequestSummary { line, client: self.client, user, referer, agent }, &self.response, cx);
    }
}

/// The request line.
pub(super) fn request_line<'a>(head: &RequestHead<'a>) -> &'a [u8] {
    // There is one space between its words, and the version is the last.
    &head.raw[..head.method_name.len() + head.raw_target.len() + b"  HTTP/1.1".len()]
}

/// The first line of input that has no request line.
pub(super) fn first_line(head: &[u8]) -> &[u8] {
    /// This much is enough to recognize it.
    const MOST: usize = 8_300;
    let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
    &head[..end.min(MOST)]
}

/// Writes a line. It is put together by hand, since formatting would cost more than the rest
/// of a small response.
pub(super) fn write(request: &RequestSummary<'_>, response: &ResponseSummary, cx: &mut Cx<'_>) {
    let format = &mut cx.shared.http.access;
    format.refresh(cx.time.unix_seconds, request.client, response.local);

    let mut result = Text::<64>::new();
    result.push(b"\" ");
    result.push_number(u64::from(response.status.0));
    result.push(b" ");
    result.push_number(response.body);
    result.push(b" \"");

    let mut end = Text::<192>::new();
    end.push(b"\" ");
    match response.peer {
        Some(peer) => end.push_number(u64::from(peer.port())),
        None => end.push(b"-"),
    }
    end.push(&format.local_text);
    end.push_seconds(response.duration);
    end.push(b" ");
    end.push_number(response.bytes);
    end.push(b" ");
    end.push_number(u64::from(cx.handle.number()));
    end.push(b"/");
    end.push_number(u64::from(response.request));
    end.push(b"\n");

    cx.shared.log.access(|out| {
        match &request.user {
            None => out.extend_from_slice(&format.beginning),
            Some(name) => {
                let (before, behind) = format.beginning.split_at(format.user);
                out.extend_from_slice(before);
                push_word(out, name);
                out.extend_from_slice(&behind[b"-".len()..]);
            }
        }
        push_escaped(out, request.line);
        out.extend_from_slice(result.get());
        push_escaped(out, request.referer);
        out.extend_from_slice(b"\" \"");
        push_escaped(out, request.agent);
        out.extend_from_slice(end.get());
    });
}

/// A short text of fixed capacity. Only text of limited length goes here, none from the
/// network, so it can't be too long.
struct Text<const ROOM: usize> {
    room: [u8; ROOM],
    end: usize,
}

// Inlined, so that its end is in a register.
impl<const ROOM: usize> Text<ROOM> {
    fn new() -> Self {
        Self { room: [0; ROOM], end: 0 }
    }

    fn get(&self) -> &[u8] {
        &self.room[..self.end]
    }

    #[inline(always)]
    fn push(&mut self, text: &[u8]) {
        self.room[self.end..][..text.len()].copy_from_slice(text);
        self.end += text.len();
    }

    #[inline(always)]
    fn push_number(&mut self, number: u64) {
        let small = number as u32 as usize;
        let pair = |number: usize| PAIRS[number % 100];
        match number {
            0..10 => self.push(&[b'0' + small as u8]),
            10..100 => self.push(&pair(small)),
            100..1_000 => {
                let [c, d] = pair(small);
                self.push(&[b'0' + (small / 100) as u8, c, d]);
            }
            1_000..10_000 => {
                let ([a, b], [c, d]) = (pair(small / 100), pair(small));
                self.push(&[a, b, c, d]);
            }
            10_000..100_000 => {
                let ([a, b], [c, d]) = (pair(small / 100), pair(small));
                self.push(&[b'0' + (small / 10_000) as u8, a, b, c, d]);
            }
            _ => self.push(itoa::Buffer::new().format(number).as_bytes()),
        }
    }

    /// Seconds with six decimals.
    #[inline(always)]
    fn push_seconds(&mut self, duration: Duration) {
        if duration.is_zero() {
            // Most durations are zero.
            self.push(b"0.000000");
            return;
        }
        let micros = duration.subsec_micros();
        self.push_number(duration.as_secs());
        self.push(b".");
        for place in [10_000, 100, 1] {
            self.push(&PAIRS[(micros / place % 100) as usize]);
        }
    }
}

/// The numbers below 100 in two digits.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + number as u8 / 10, b'0' + number as u8 % 10];
        number += 1;
    }
    pairs
};

/// A user name as one word: its spaces are escaped, and an empty name is `""`.
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

/// The parts that are the same in many successive lines: the beginning, for a client and a
/// second, and the local address.
#[derive(Default)]
pub(super) struct AccessLog {
    pub(super) enabled: bool,
    /// The beginning, up to the request, without a user name.
    beginning: Vec<u8>,
    /// The position of the user name in it.
    user: usize,
    client: Option<IpAddr>,
    moment: Vec<u8>,
    second: i64,
    local: Option<SocketAddr>,
    local_text: Vec<u8>,
}

impl AccessLog {
    pub(super) fn new() -> Self {
        Self { enabled: log::log_enabled!(target: ACCESS, log::Level::Info), ..Self::default() }
    }

    fn refresh(&mut self, unix_seconds: i64, client: Option<IpAddr>, local: Option<SocketAddr>) {
        if self.second != unix_seconds || self.client != client || self.beginning.is_empty() {
            self.begin(unix_seconds, client);
        }
        if self.local != local || self.local_text.is_empty() {
            self.local = local;
            self.local_text.clear();
            // Writing to a vector can't fail.
            drop(match local {
                Some(local) => write!(self.local_text, " {local} "),
                None => write!(self.local_text, " - "),
            });
        }
    }

    fn begin(&mut self, unix_seconds: i64, client: Option<IpAddr>) {
        if self.second != unix_seconds || self.moment.is_empty() {
            self.second = unix_seconds;
            self.moment.clear();
            date::write_clf(unix_seconds, &mut self.moment);
        }
        self.client = client;
        let out = &mut self.beginning;
        out.clear();
        match client {
            Some(client) => push_ip(out, client),
            None => out.extend_from_slice(b"unix"),
        }
        out.extend_from_slice(b" - ");
        self.user = out.len();
        out.extend_from_slice(b"- ");
        out.extend_from_slice(&self.moment);
        out.extend_from_slice(b" \"");
    }
}

fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(v4) => {
            for (at, byte) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                write_decimal(out, u64::from(byte));
            }
        }
        // This is rare. Writing to a vector can't fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{FieldLines, head};

    #[test]
    fn durations_and_addresses() {
        let text = |push: &dyn Fn(&mut Text<64>)| {
            let mut text = Text::new();
            push(&mut text);
            String::from_utf8(text.get().to_vec()).unwrap()
        };
        for number in (0..=10_001).chain([65_535, 99_999, 100_000, 1 << 32, u64::MAX]) {
            assert_eq!(text(&|out| out.push_number(number)), number.to_string());
        }
        for (micros, expected) in
            [(0, "0.000000"), (12, "0.000012"), (61_000_001, "61.000001"), (1_234_567, "1.234567")]
        {
            assert_eq!(text(&|out| out.push_seconds(Duration::from_micros(micros))), expected);
        }
        for address in ["0.0.0.0", "192.0.2.255", "2001:db8::1"] {
            let mut out = Vec::new();
            push_ip(&mut out, address.parse().unwrap());
            assert_eq!(out, address.as_bytes());
        }
    }

    #[test]
    fn names_are_words() {
        for (name, expected) in [
            ("alice", "alice"),
            (" a  b ", "\\x20a\\x20\\x20b\\x20"),
            ("", "\"\""),
            ("-", "\"\""),
            ("--", "--"),
            ("\u{e4}]", "\\xc3\\xa4]"),
        ] {
            let mut out = b"before ".to_vec();
            push_word(&mut out, name);
            assert_eq!(out, [b"before ", expected.as_bytes()].concat());
        }
    }

    #[test]
    fn the_user_has_a_password_or_else_a_certificate() {
        use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, "a b");
        let certificate = parameters.self_signed(&KeyPair::generate().unwrap()).unwrap();
        // bob:x
        let bob = FieldLines::of([("Authorization", &b"Basic Ym9iOng="[..])]);
        let nobody = FieldLines::default();
        for (lines, protected, certificate, expected) in [
            (&bob, true, Some(certificate.der()), Some("bob")),
            (&bob, false, Some(certificate.der()), Some("CN=a b")),
            (&nobody, true, Some(certificate.der()), Some("CN=a b")),
            (&bob, true, None, Some("bob")),
            (&bob, false, None, None),
        ] {
            let certificate = certificate.map(|der| &der[..]);
            let summary = RequestSummary::new(b"", lines.fields(), None, protected, certificate);
            assert_eq!(summary.user.as_deref(), expected, "{protected}");
        }
        let broken = RequestSummary::new(b"", nobody.fields(), None, false, Some(b"broken"));
        assert_eq!(broken.user, None);
    }

    #[test]
    fn what_many_lines_share_is_made_anew_when_it_changes() {
        let mut format = AccessLog::default();
        let mut line = |second, client: Option<&str>, local: Option<&str>| {
            format.refresh(second, client.map(|ip| ip.parse().unwrap()), local.map(|at| at.parse().unwrap()));
            assert_eq!(format.beginning[format.user], b'-');
            String::from_utf8([&format.beginning[..], &format.local_text].concat()).unwrap()
        };
        for _ in 0..2 {
            assert_eq!(line(0, None, None), "unix - - [01/Jan/1970:00:00:00 +0000] \" - ");
            assert_eq!(line(0, Some("::1"), None), "::1 - - [01/Jan/1970:00:00:00 +0000] \" - ");
            assert_eq!(line(1, Some("::1"), None), "::1 - - [01/Jan/1970:00:00:01 +0000] \" - ");
            assert_eq!(line(1, Some("::1"), Some("[::1]:80")), "::1 - - [01/Jan/1970:00:00:01 +0000] \" [::1]:80 ");
        }
    }

    #[test]
    fn the_request_line_is_what_was_sent() {
        for line in
            ["GET / HTTP/1.1", "GET /a?b HTTP/1.0", "UNHEARD-OF http://x:80/?%20 HTTP/1.1", "OPTIONS * HTTP/1.1"]
        {
            for before in ["", "\r\n"] {
                let input = format!("{before}{line}\r\nHost: x\r\n\r\n").into_bytes();
                let mut lines = FieldLines::default();
                let head = head::parse(&input, &mut lines).unwrap().unwrap();
                assert_eq!(request_line(&head), line.as_bytes());
            }
        }
    }

    #[test]
    fn the_first_line_of_anything() {
        assert_eq!(first_line(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), b"GET / HTTP/1.1");
        assert_eq!(first_line(b"\x16\x03\x01"), b"\x16\x03\x01");
        assert_eq!(first_line(&[b'a'; 100_000]).len(), 8_300);
    }
}
