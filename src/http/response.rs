//! The head of an answer (RFC 9112 §4, §5, §6), written straight into the output.
//!
//! What the head says about the body is decided here and nowhere else: whether
//! there is one, how its end is known, and whether the connection can persist.
//!
//! | | length known | length unknown |
//! |---|---|---|
//! | HTTP/1.1 | `Content-Length` | `Transfer-Encoding: chunked` |
//! | HTTP/1.0 | `Content-Length` | ends with the connection |
//! | HEAD | the same head, no body | the same head, no body |
//! | 1xx, 204, 304 | no body, nothing said about one | |

use super::Status;
use super::date;

/// What every answer carries: the date, and who serves.
#[derive(Clone, Debug)]
pub struct Stamp {
    unix_seconds: i64,
    date: [u8; date::LENGTH],
    /// The field lines Date and Server.
    lines: Box<[u8]>,
}

const DATE: &[u8] = b"Date: ";

impl Stamp {
    /// A stamp for the moment `unix_seconds`; with the Server field or without.
    pub fn new(unix_seconds: i64, server_field: bool) -> Self {
        let mut date = [0; date::LENGTH];
        date::write(unix_seconds, &mut date);
        let server: &[u8] = if server_field { b"Server: miod\r\n" } else { b"" };
        Self { unix_seconds, date, lines: [DATE, &date, b"\r\n", server].concat().into() }
    }

    /// Moves the stamp on; the date is formatted only if the second is another.
    #[inline]
    pub fn refresh(&mut self, unix_seconds: i64) {
        if unix_seconds != self.unix_seconds {
            self.unix_seconds = unix_seconds;
            date::write(unix_seconds, &mut self.date);
            self.lines[DATE.len()..][..date::LENGTH].copy_from_slice(&self.date);
        }
    }

    /// The moment.
    pub fn unix_seconds(&self) -> i64 {
        self.unix_seconds
    }

    /// The moment as the value of a Date field.
    pub fn date(&self) -> &[u8; date::LENGTH] {
        &self.date
    }
}

/// Where in a head begun by [`begin`] the value of Date stands.
pub const fn date_offset(status: Status) -> usize {
    b"HTTP/1.1 200 \r\n".len() + status.reason().len() + DATE.len()
}

/// Begins a head: the status line, Date and Server.
pub fn begin(out: &mut Vec<u8>, status: Status, stamp: &Stamp) {
    status_line(out, status);
    out.extend_from_slice(&stamp.lines);
}

/// A status line; also the whole of an interim answer, with an empty line behind it.
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

/// One field line. The caller vouches for the value: no control octets.
pub fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// `Content-Length`.
pub fn content_length(out: &mut Vec<u8>, octets: u64) {
    out.extend_from_slice(b"Content-Length: ");
    write_decimal(out, octets);
    out.extend_from_slice(b"\r\n");
}

/// A number in decimal digits.
pub fn write_decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// What the request says about how it is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Manner {
    /// The request's minor version.
    pub minor: u8,
    /// The method was HEAD: no body, whatever the head says.
    pub head_only: bool,
    /// The connection is to persist.
    pub persistent: bool,
}

/// The length of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// So many octets.
    Known(u64),
    /// Not known before it ends.
    Unknown,
}

/// How a body is to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Not at all.
    Absent,
    /// As it is.
    Plain,
    /// In the chunked coding.
    Chunked,
}

/// Ends a head: the fields about body and connection, and the empty line. Says
/// how the body is to be sent, and whether the connection persists.
pub fn end(out: &mut Vec<u8>, manner: Manner, status: Status, length: Length) -> (Form, bool) {
    let mut persistent = manner.persistent;
    let mut form = Form::Plain;
    if !status.allows_content() {
        form = Form::Absent;
    } else {
        match length {
            Length::Known(octets) => content_length(out, octets),
            Length::Unknown if manner.minor > 0 => {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                form = Form::Chunked;
            }
            Length::Unknown => persistent = false,
        }
        if manner.head_only {
            form = Form::Absent;
        }
    }
    end_persistence(out, manner.minor, persistent);
    (form, persistent)
}

/// Ends a head whose fields are complete but for the connection's.
pub fn end_persistence(out: &mut Vec<u8>, minor: u8, persistent: bool) {
    out.extend_from_slice(match (minor, persistent) {
        (0, true) => b"Connection: keep-alive\r\n\r\n",
        (_, true) => b"\r\n",
        (_, false) => b"Connection: close\r\n\r\n",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(minor: u8, head_only: bool, status: Status, length: Length) -> (String, Form, bool) {
        let mut out = Vec::new();
        begin(&mut out, status, &Stamp::new(784_111_777, true));
        let (form, persistent) = end(&mut out, Manner { minor, head_only, persistent: true }, status, length);
        (String::from_utf8(out).unwrap(), form, persistent)
    }

    const START: &str = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: miod\r\n";

    #[test]
    fn the_body_is_delimited_as_the_version_can_read_it() {
        for (minor, length, lines, form, persistent) in [
            (1, Length::Known(5), "Content-Length: 5\r\n\r\n", Form::Plain, true),
            (0, Length::Known(0), "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n", Form::Plain, true),
            (1, Length::Unknown, "Transfer-Encoding: chunked\r\n\r\n", Form::Chunked, true),
            (0, Length::Unknown, "Connection: close\r\n\r\n", Form::Plain, false),
        ] {
            let expected = (format!("{START}{lines}"), form, persistent);
            assert_eq!(head(minor, false, Status::OK, length), expected);
            let expected = (format!("{START}{lines}"), Form::Absent, persistent);
            assert_eq!(head(minor, true, Status::OK, length), expected, "HEAD says the same");
        }
    }

    #[test]
    fn what_has_no_content_says_nothing_about_it() {
        for code in [204, 304] {
            for length in [Length::Known(5), Length::Unknown] {
                let (text, form, persistent) = head(1, false, Status(code), length);
                assert!(!text.contains("Content-Length") && !text.contains("Transfer-Encoding"), "{text}");
                assert_eq!((form, persistent), (Form::Absent, true));
            }
        }
    }

    #[test]
    fn the_date_stands_where_it_is_said_to_stand() {
        for status in [Status::OK, Status::NOT_FOUND, Status(299)] {
            let mut out = Vec::new();
            let stamp = Stamp::new(1_000_000_000, false);
            begin(&mut out, status, &stamp);
            let at = date_offset(status);
            assert_eq!(&out[at..at + date::LENGTH], stamp.date());
        }
    }

    #[test]
    fn decimals() {
        for number in [0, 7, 10, 4096, u64::MAX] {
            let mut out = Vec::new();
            write_decimal(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}
