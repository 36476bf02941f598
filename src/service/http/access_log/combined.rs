//! The combined format with further fields at its end, and the Common Log Format.
//!
//! ```text
//! 127.0.0.1 - - [21/Nov/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 1024 "-" "curl/8.5" 50312 127.0.0.1:8080 0.000000 1290 7/1
//! 127.0.0.1 - - [21/Nov/2026:07:15:00 +0000] "GET / HTTP/1.1" 200 1024
//! ```
//!
//! Both have `-` for what is absent; the Common Log Format also for a body without bytes.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::Entry;
use super::text::{Text, push_ip};
use crate::http::date;
use crate::logging::push_escaped;

/// Writes a line in the combined format. It is put together by hand, since formatting would cost
/// more than the rest of a small response.
#[inline(always)]
pub(super) fn write_combined(entry: &Entry<'_>, parts: &mut Parts, out: &mut Vec<u8>) {
    let Entry { request, response, .. } = entry;
    parts.refresh(entry.time.unix_seconds, request.client, response.local);

    let mut result = Text::<64>::new();
    result.push(b"\" ");
    result.push_number(u64::from(response.status.0));
    result.push(b" ");
    result.push_number(response.body);
    result.push(b" \"");

    let mut end = Text::<192>::new();
    end.push(b"\" ");
    match response.peer_port {
        Some(port) => end.push_number(u64::from(port)),
        None => end.push(b"-"),
    }
    end.push(&parts.local_text);
    end.push_seconds(response.duration);
    end.push(b" ");
    end.push_number(response.bytes);
    end.push(b" ");
    end.push_number(u64::from(entry.connection));
    end.push(b"/");
    end.push_number(u64::from(response.request));
    end.push(b"\n");

    parts.push_beginning(request.user.as_deref(), out);
    push_escaped(out, request.line);
    out.extend_from_slice(result.get());
    push_escaped(out, request.referer.unwrap_or(b"-"));
    out.extend_from_slice(b"\" \"");
    push_escaped(out, request.agent.unwrap_or(b"-"));
    out.extend_from_slice(end.get());
}

/// Writes a line in the Common Log Format.
pub(super) fn write_common(entry: &Entry<'_>, parts: &mut Parts, out: &mut Vec<u8>) {
    let Entry { request, response, .. } = entry;
    parts.refresh(entry.time.unix_seconds, request.client, response.local);

    let mut end = Text::<64>::new();
    end.push(b"\" ");
    end.push_number(u64::from(response.status.0));
    end.push(b" ");
    match response.body {
        0 => end.push(b"-"),
        body => end.push_number(body),
    }
    end.push(b"\n");

    parts.push_beginning(request.user.as_deref(), out);
    push_escaped(out, request.line);
    out.extend_from_slice(end.get());
}

/// The parts that are the same in many successive lines: the beginning, for a client and a
/// second, and the local address.
#[derive(Default)]
pub(super) struct Parts {
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

impl Parts {
    #[inline(always)]
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

    /// Appends the beginning of a line, with this user name.
    #[inline(always)]
    fn push_beginning(&self, user: Option<&str>, out: &mut Vec<u8>) {
        match user {
            None => out.extend_from_slice(&self.beginning),
            Some(name) => {
                let (before, behind) = self.beginning.split_at(self.user);
                out.extend_from_slice(before);
                push_word(out, name);
                out.extend_from_slice(&behind[b"-".len()..]);
            }
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_many_lines_share_is_made_anew_when_it_changes() {
        let mut parts = Parts::default();
        let mut line = |second, client: Option<&str>, local: Option<&str>| {
            parts.refresh(second, client.map(|ip| ip.parse().unwrap()), local.map(|at| at.parse().unwrap()));
            assert_eq!(parts.beginning[parts.user], b'-');
            String::from_utf8([&parts.beginning[..], &parts.local_text].concat()).unwrap()
        };
        for _ in 0..2 {
            assert_eq!(line(0, None, None), "unix - - [01/Jan/1970:00:00:00 +0000] \" - ");
            assert_eq!(line(0, Some("::1"), None), "::1 - - [01/Jan/1970:00:00:00 +0000] \" - ");
            assert_eq!(line(1, Some("::1"), None), "::1 - - [01/Jan/1970:00:00:01 +0000] \" - ");
            assert_eq!(line(1, Some("::1"), Some("[::1]:80")), "::1 - - [01/Jan/1970:00:00:01 +0000] \" [::1]:80 ");
        }
    }
}
