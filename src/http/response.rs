//! The head of a response (RFC 9112 §4, §5, §6). Every response head is written by
//! [`ResponseHead`], directly into the output.
//!
//! ```text
//! status line, Date │ the policy's lines: Server, … │ the handler's lines │ body and connection
//! begin ────────────────────────────────────────────▶ field, lines ───────▶ end
//! ```
//!
//! The writer decides two things that no handler can decide. The [`Policy`] decides whether
//! a shared cache may store the response: under a private one Cache-Control is restricted
//! when it is written. The fields about the body, and whether the connection persists,
//! follow from the version and the length:
//!
//! | | length known | length unknown |
//! |---|---|---|
//! | HTTP/1.1 | `Content-Length` | `Transfer-Encoding: chunked` |
//! | HTTP/1.0 | `Content-Length` | the connection closes |
//! | HEAD | the same head, no body | the same head, no body |
//! | 1xx, 204, 304 | no body, no field about one | |

use std::rc::Rc;

use super::compressible::CompressionRules;
use super::date;
use super::{Status, cache_control};

/// The current second, formatted as a Date field.
#[derive(Clone, Debug)]
pub struct Stamp {
    unix_seconds: i64,
    /// The field line.
    line: [u8; DATE.len() + date::LENGTH + 2],
}

const DATE: &[u8] = b"Date: ";

impl Stamp {
    /// The stamp of the Unix second `unix_seconds`.
    pub fn new(unix_seconds: i64) -> Self {
        let mut line = [0; DATE.len() + date::LENGTH + 2];
        line[..DATE.len()].copy_from_slice(DATE);
        line[DATE.len() + date::LENGTH..].copy_from_slice(b"\r\n");
        let mut stamp = Self { unix_seconds, line };
        date::write(unix_seconds, stamp.date_mut());
        stamp
    }

    /// Updates the stamp. The date is formatted only when the second changes.
    pub fn refresh(&mut self, unix_seconds: i64) {
        if unix_seconds != self.unix_seconds {
            self.unix_seconds = unix_seconds;
            date::write(unix_seconds, self.date_mut());
        }
    }

    /// The time in Unix seconds.
    pub fn unix_seconds(&self) -> i64 {
        self.unix_seconds
    }

    /// The time as the value of a Date field.
    pub fn date(&self) -> &[u8; date::LENGTH] {
        self.line[DATE.len()..].first_chunk().expect("the line contains a date")
    }

    fn date_mut(&mut self) -> &mut [u8; date::LENGTH] {
        self.line[DATE.len()..].first_chunk_mut().expect("the line contains a date")
    }
}

/// What a host or a route adds to each of its responses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// The number of the policy within its host. Field lines that were prebuilt under one
    /// policy are used under no other.
    pub id: u16,
    /// Field lines that may be prebuilt with others: Server.
    pub lines: Box<[u8]>,
    /// Field lines that depend on the request, so they are prebuilt nowhere:
    /// Strict-Transport-Security.
    pub further: Box<[u8]>,
    /// The response is for one user only, so no shared cache may store it (RFC 9111 §5.2.2.7).
    pub private: bool,
    /// Names of fields, in lower case, that nobody else writes: `lines` have them, or they are
    /// left out.
    pub replaced: Box<[Box<str>]>,
    /// The Cache-Control of files, in place of that of the host.
    pub cache_control: Option<Box<str>>,
    /// How responses are compressed.
    pub compression: Rc<CompressionRules>,
}

impl Policy {
    /// Whether nobody else writes this field.
    pub fn replaces(&self, name: &[u8]) -> bool {
        self.replaced.iter().any(|replaced| replaced.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// What decides how the head of a response is written, apart from its content.
#[derive(Clone, Copy, Debug)]
pub struct HeadContext<'a> {
    /// The properties of the request.
    pub traits: RequestTraits,
    /// The current time.
    pub stamp: &'a Stamp,
    /// The policy of the host or route.
    pub policy: &'a Policy,
    /// Field lines for this request alone: those of the policy, and more.
    pub further: &'a [u8],
}

/// The properties of a request that decide how its response is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestTraits {
    /// The minor version: 0 for HTTP/1.0, else 1.
    pub minor: u8,
    /// The method is HEAD: there is no body, whatever the fields say.
    pub head_only: bool,
    /// The connection should persist.
    pub persistent: bool,
}

/// The length of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// In bytes.
    Known(u64),
    /// Unknown before the end of the body.
    Unknown,
}

/// How a body is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyForm {
    /// There is none.
    Absent,
    /// Unchanged, with a length that the head tells.
    Plain,
    /// Unchanged; it ends with the connection.
    UntilClose,
    /// In the chunked coding.
    Chunked,
}

/// The position of the Date value in a head, in bytes.
pub const fn date_offset(status: Status) -> usize {
    b"HTTP/1.1 200 \r\n".len() + status.reason().len() + DATE.len()
}

/// Writes the head of one response.
pub struct ResponseHead<'a> {
    out: &'a mut Vec<u8>,
    status: Status,
    context: HeadContext<'a>,
    /// Cache-Control was written.
    cache_control: bool,
}

impl<'a> ResponseHead<'a> {
    /// Writes the status line, Date, and the policy's field lines.
    pub fn begin(out: &'a mut Vec<u8>, status: Status, context: HeadContext<'a>) -> Self {
        Self::begin_with(out, status, &context.stamp.line, context)
    }

    /// Writes the status line and the policy's field lines. The caller writes Date.
    pub fn begin_undated(out: &'a mut Vec<u8>, status: Status, context: HeadContext<'a>) -> Self {
        Self::begin_with(out, status, b"", context)
    }

    fn begin_with(out: &'a mut Vec<u8>, status: Status, date: &[u8], context: HeadContext<'a>) -> Self {
        status_line(out, status);
        out.extend_from_slice(date);
        out.extend_from_slice(&context.policy.lines);
        let cache_control = context.policy.replaces(b"cache-control");
        Self { out, status, context, cache_control }
    }

    /// Writes one field line. The caller guarantees that the value contains no control bytes.
    /// Cache-Control may be written once.
    pub fn field(&mut self, name: impl AsRef<[u8]>, value: &[u8]) {
        let name = name.as_ref();
        if self.context.policy.replaces(name) {
            return;
        }
        if self.context.policy.private && name.eq_ignore_ascii_case(b"Cache-Control") {
            self.cache_control = true;
            if let Some(restricted) = cache_control::restrict(value) {
                return field(self.out, name, &restricted);
            }
        }
        field(self.out, name, value);
    }

    /// Writes complete field lines, without Cache-Control.
    pub fn lines(&mut self, lines: &[u8]) {
        let policy = self.context.policy;
        if policy.replaced.is_empty() {
            return self.out.extend_from_slice(lines);
        }
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            if !policy.replaces(name) {
                self.out.extend_from_slice(line);
            }
        }
    }

    /// Writes complete field lines that this writer wrote before under the same policy,
    /// including Cache-Control.
    pub fn prebuilt(&mut self, lines: &[u8]) {
        self.cache_control = true;
        self.lines(lines);
    }

    /// The position of the next line in the buffer: to copy prebuilt lines out of a head.
    pub fn position(&self) -> usize {
        self.out.len()
    }

    /// The buffer, to append a line in pieces.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Writes the fields about the body, the policy's further lines, the field about the
    /// connection, and the empty line. Returns how the body is sent, and whether the connection
    /// persists.
    pub fn end(mut self, length: Length) -> (BodyForm, bool) {
        if self.context.policy.private && !self.cache_control {
            self.field("Cache-Control", b"private");
        }
        let RequestTraits { minor, head_only, ref mut persistent } = self.context.traits;
        let mut form = BodyForm::Plain;
        if !self.status.allows_content() {
            form = BodyForm::Absent;
        } else {
            match length {
                Length::Known(bytes) => content_length(self.out, bytes),
                Length::Unknown if minor > 0 => {
                    self.lines(b"Transfer-Encoding: chunked\r\n");
                    form = BodyForm::Chunked;
                }
                Length::Unknown => {
                    *persistent = false;
                    form = BodyForm::UntilClose;
                }
            }
            if head_only {
                form = BodyForm::Absent;
            }
        }
        end_head(self.out, self.context);
        (form, self.context.traits.persistent)
    }

    /// Writes the policy's further lines and the empty line of a head without content, after which the
    /// connection has another protocol.
    pub fn end_at_tunnel(self) {
        self.out.extend_from_slice(self.context.further);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Writes a status line. An interim response is this line and an empty line.
pub fn status_line(out: &mut Vec<u8>, status: Status) {
    match status.line() {
        Some(line) => out.extend_from_slice(line),
        None => {
            out.extend_from_slice(b"HTTP/1.1 ");
            write_decimal(out, u64::from(status.0));
            out.extend_from_slice(b" \r\n");
        }
    }
}

/// Writes one field line. The caller guarantees that the value contains no control bytes.
pub fn field(out: &mut Vec<u8>, name: impl AsRef<[u8]>, value: &[u8]) {
    out.extend_from_slice(name.as_ref());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The field lines of a head that was written, without its first line and its empty one.
pub fn field_lines(head: &[u8]) -> &[u8] {
    let begin = memchr::memchr(b'\n', head).map_or(head.len(), |at| at + 1);
    &head[begin..head.len().saturating_sub(2).max(begin)]
}

/// Name and value of each of these field lines, as they were written. What follows an empty line isn't
/// looked at.
pub fn written_fields(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines.split(|byte| *byte == b'\n').map_while(|line| {
        let (name, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
        Some((name, value[1..].trim_ascii()))
    })
}

/// `Content-Length`.
pub fn content_length(out: &mut Vec<u8>, bytes: u64) {
    out.extend_from_slice(b"Content-Length: ");
    write_decimal(out, bytes);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in decimal digits.
pub fn write_decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Ends a head to which only the policy's further lines and the Connection field are missing.
pub fn end_head(out: &mut Vec<u8>, context: HeadContext<'_>) {
    out.extend_from_slice(context.further);
    out.extend_from_slice(match (context.traits.minor, context.traits.persistent) {
        (0, true) => b"Connection: keep-alive\r\n\r\n",
        (_, true) => b"\r\n",
        (_, false) => b"Connection: close\r\n\r\n",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(private: bool) -> Policy {
        Policy { lines: b"Server: miod\r\n".as_slice().into(), private, ..Policy::default() }
    }

    fn head(minor: u8, head_only: bool, status: Status, length: Length) -> (String, BodyForm, bool) {
        let mut out = Vec::new();
        let traits = RequestTraits { minor, head_only, persistent: true };
        let policy = policy(false);
        let context = HeadContext { traits, stamp: &Stamp::new(784_111_777), policy: &policy, further: b"" };
        let (form, persistent) = ResponseHead::begin(&mut out, status, context).end(length);
        (String::from_utf8(out).unwrap(), form, persistent)
    }

    const START: &str = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: miod\r\n";

    #[test]
    fn the_framing_depends_on_the_version() {
        for (minor, length, lines, form, persistent) in [
            (1, Length::Known(5), "Content-Length: 5\r\n\r\n", BodyForm::Plain, true),
            (0, Length::Known(0), "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n", BodyForm::Plain, true),
            (1, Length::Unknown, "Transfer-Encoding: chunked\r\n\r\n", BodyForm::Chunked, true),
            (0, Length::Unknown, "Connection: close\r\n\r\n", BodyForm::UntilClose, false),
        ] {
            let expected = (format!("{START}{lines}"), form, persistent);
            assert_eq!(head(minor, false, Status::OK, length), expected);
            let expected = (format!("{START}{lines}"), BodyForm::Absent, persistent);
            assert_eq!(head(minor, true, Status::OK, length), expected, "the head for HEAD is the same");
        }
    }

    #[test]
    fn a_status_without_content_has_no_field_about_a_body() {
        for code in [204, 304] {
            for length in [Length::Known(5), Length::Unknown] {
                let (text, form, persistent) = head(1, false, Status(code), length);
                assert!(!text.contains("Content-Length") && !text.contains("Transfer-Encoding"), "{text}");
                assert_eq!((form, persistent), (BodyForm::Absent, true));
            }
        }
    }

    #[test]
    fn a_private_policy_restricts_or_adds_cache_control() {
        for (value, public, private) in [
            (Some("no-cache"), "Cache-Control: no-cache\r\n", "Cache-Control: private, no-cache\r\n"),
            (Some("no-store"), "Cache-Control: no-store\r\n", "Cache-Control: no-store\r\n"),
            (None, "", "Cache-Control: private\r\n"),
        ] {
            for (is_private, expected) in [(false, public), (true, private)] {
                let mut out = Vec::new();
                let traits = RequestTraits { minor: 1, head_only: false, persistent: true };
                let policy = policy(is_private);
                let context = HeadContext { traits, stamp: &Stamp::new(784_111_777), policy: &policy, further: b"" };
                let mut head = ResponseHead::begin(&mut out, Status::OK, context);
                if let Some(value) = value {
                    head.field("Cache-Control", value.as_bytes());
                }
                head.end(Length::Known(0));
                let text = String::from_utf8(out).unwrap();
                assert_eq!(text, format!("{START}{expected}Content-Length: 0\r\n\r\n"));
            }
        }
    }

    #[test]
    fn a_policy_replaces_fields_of_handlers() {
        let policy = Policy {
            lines: b"X-A: 1\r\n".as_slice().into(),
            replaced: ["x-a", "cache-control", "x-c"].map(Box::from).into(),
            private: true,
            ..Policy::default()
        };
        let traits = RequestTraits { minor: 1, head_only: false, persistent: true };
        let further = b"X-F: 1\r\n";
        let context = HeadContext { traits, stamp: &Stamp::new(784_111_777), policy: &policy, further };
        let mut out = Vec::new();
        let mut head = ResponseHead::begin(&mut out, Status::OK, context);
        head.field("X-a", b"2");
        head.field("X-B", b"2");
        head.lines(b"X-C: 3\r\nX-D: 4\r\n");
        head.prebuilt(b"Cache-Control: no-store\r\nX-E: 5\r\n");
        head.end(Length::Known(0));
        let text = String::from_utf8(out).unwrap();
        let (_, fields) = text.split_once("GMT\r\n").unwrap();
        let expected = "X-A: 1\r\nX-B: 2\r\nX-D: 4\r\nX-E: 5\r\nContent-Length: 0\r\nX-F: 1\r\n\r\n";
        assert_eq!(fields, expected, "and no Cache-Control is added");
    }

    #[test]
    fn the_date_is_at_its_offset_and_can_be_updated() {
        for status in [Status::OK, Status::NOT_FOUND, Status(299)] {
            let mut out = Vec::new();
            let mut stamp = Stamp::new(784_111_777);
            stamp.refresh(1_000_000_000);
            assert_eq!(stamp.date(), Stamp::new(1_000_000_000).date());
            let traits = RequestTraits { minor: 1, head_only: false, persistent: true };
            let policy = Policy::default();
            let context = HeadContext { traits, stamp: &stamp, policy: &policy, further: b"" };
            ResponseHead::begin(&mut out, status, context);
            let at = date_offset(status);
            assert_eq!(&out[at..at + date::LENGTH], stamp.date());
        }
    }

    #[test]
    fn decimals_are_written() {
        for number in [0, 7, 10, 4096, u64::MAX] {
            let mut out = Vec::new();
            write_decimal(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}
