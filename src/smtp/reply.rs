//! Replies of a server (RFC 5321 §4.2).
//!
//! ```text
//! 250-mail.example.org            a reply of two lines: a hyphen behind the code says
//! 250 SIZE 10485760               that another line follows
//! ^^^ code, the same in each line
//!
//! 550 5.1.1 no such user          5.1.1 is an enhanced status code (RFC 3463)
//! ```
//!
//! The reader is strict: each line ends with CR LF and begins with the same three digits, and a
//! line and a reply have a limit. A CR or LF alone is refused, since two programs that read it
//! differently would see different replies.

use std::fmt;

use memchr::memchr;

use crate::limits;

/// A reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Its code, from 200 to 599.
    pub code: u16,
    /// The text of each line, without the code and what separates it. At least one line.
    pub lines: Vec<Vec<u8>>,
}

/// What the first digit of a code says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// 2: done.
    Done,
    /// 3: more is needed.
    More,
    /// 4: refused for now.
    Transient,
    /// 5: refused.
    Permanent,
}

impl Reply {
    /// A reply of one line.
    pub fn new(code: u16, text: impl Into<Vec<u8>>) -> Self {
        Self { code, lines: vec![text.into()] }
    }

    /// Appends it as it is on the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        for (at, line) in self.lines.iter().enumerate() {
            out.extend_from_slice(self.code.to_string().as_bytes());
            out.push(if at < last { b'-' } else { b' ' });
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// What the first digit of the code says.
    pub fn kind(&self) -> Kind {
        match self.code / 100 {
            2 => Kind::Done,
            3 => Kind::More,
            4 => Kind::Transient,
            _ => Kind::Permanent,
        }
    }

    /// Its enhanced status code, if it begins with one whose class fits the code (RFC 2034 §4).
    pub fn status(&self) -> Option<EnhancedStatus> {
        let status = EnhancedStatus::parse(self.lines.first()?)?;
        (u16::from(status.class) == self.code / 100).then_some(status)
    }

    /// Its lines as the server sent them, for people: without line ends, control characters
    /// escaped.
    pub fn shown_lines(&self) -> impl Iterator<Item = String> {
        let last = self.lines.len().saturating_sub(1);
        self.lines.iter().enumerate().map(move |(at, line)| {
            let separator = if at < last { '-' } else { ' ' };
            format!("{}{separator}{}", self.code, shown(line)).trim_end().to_owned()
        })
    }
}

impl fmt::Display for Reply {
    /// In one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        self.lines.iter().filter(|line| !line.is_empty()).try_for_each(|line| write!(f, " {}", shown(line)))
    }
}

/// A line of the peer for people: a terminal may interpret control characters.
fn shown(line: &[u8]) -> String {
    let mut shown = String::with_capacity(line.len());
    for char in String::from_utf8_lossy(line).chars() {
        if char.is_control() {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// An enhanced status code (RFC 3463), like `5.1.1`: what went wrong, in more detail than a code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EnhancedStatus {
    /// 2, 4 or 5, as the first digit of a code.
    pub class: u8,
    /// What it is about, like 1 for the address.
    pub subject: u16,
    /// The detail of that subject.
    pub detail: u16,
}

impl EnhancedStatus {
    /// The code at the beginning of a text, if there is one.
    fn parse(text: &[u8]) -> Option<Self> {
        let first = text.split(|&byte| byte == b' ').next()?;
        let mut parts = std::str::from_utf8(first).ok()?.split('.');
        // Three digits at most (RFC 3463 §2); `parse` would take a sign.
        let mut number = || {
            let part = parts.next()?;
            let fits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<u16>().ok().filter(|_| fits)
        };
        let (class, subject, detail) = (number()?, number()?, number()?);
        let class = u8::try_from(class).ok().filter(|class| [2, 4, 5].contains(class))?;
        parts.next().is_none().then_some(Self { class, subject, detail })
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// Why bytes are no reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyError {
    /// A line is longer than [`limits::REPLY_LINE`].
    LongLine,
    /// The reply is longer than [`limits::REPLY`].
    Long,
    /// A CR or LF that isn't a line end.
    LineEnd,
    /// A line doesn't begin with a code from 200 to 599.
    Code,
    /// Lines of one reply have different codes.
    Codes,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LongLine => write!(f, "a line is longer than {} bytes", limits::REPLY_LINE),
            Self::Long => write!(f, "it is longer than {} bytes", limits::REPLY),
            Self::LineEnd => f.write_str("a line doesn't end with CR LF"),
            Self::Code => f.write_str("a line doesn't begin with a reply code"),
            Self::Codes => f.write_str("its lines have different codes"),
        }
    }
}

/// Reads replies from a stream, in whatever pieces it comes.
#[derive(Debug, Default)]
pub struct ReplyReader {
    /// The code of the lines so far.
    code: Option<u16>,
    lines: Vec<Vec<u8>>,
    /// Bytes of these lines.
    size: usize,
}

impl ReplyReader {
    /// Whether some lines of a reply have come.
    pub fn is_amid(&self) -> bool {
        self.code.is_some()
    }

    /// Reads at most one reply from `input`. Returns how many bytes are used, and the reply if it
    /// is complete.
    ///
    /// # Errors
    /// Why it isn't a reply. Nothing can be read from the stream then.
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        let mut used = 0;
        while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) {
            let Some(end) = memchr(b'\n', rest) else {
                return if rest.len() < limits::REPLY_LINE { Ok((used, None)) } else { Err(ReplyError::LongLine) };
            };
            let (line, _) = rest.split_at(end);
            if line.len() + 1 > limits::REPLY_LINE {
                return Err(ReplyError::LongLine);
            }
            used += end + 1;
            if self.line(line)? {
                let code = self.code.take().ok_or(ReplyError::Code)?;
                self.size = 0;
                return Ok((used, Some(Reply { code, lines: std::mem::take(&mut self.lines) })));
            }
        }
        Ok((used, None))
    }

    /// Takes a line without its LF. True if it is the last of its reply.
    fn line(&mut self, line: &[u8]) -> Result<bool, ReplyError> {
        let line = line.strip_suffix(b"\r").ok_or(ReplyError::LineEnd)?;
        if line.contains(&b'\r') {
            return Err(ReplyError::LineEnd);
        }
        let (digits, text) = line.split_first_chunk::<3>().ok_or(ReplyError::Code)?;
        if !digits.iter().all(u8::is_ascii_digit) || !(b'2'..=b'5').contains(&digits[0]) {
            return Err(ReplyError::Code);
        }
        let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
        // Nothing behind the code is allowed for the last line (RFC 5321 §4.2).
        let (is_last, text) = match text.split_first() {
            None => (true, text),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(ReplyError::Code),
        };
        if *self.code.get_or_insert(code) != code {
            return Err(ReplyError::Codes);
        }
        self.size += line.len();
        if self.size > limits::REPLY {
            return Err(ReplyError::Long);
        }
        self.lines.push(text.to_vec());
        Ok(is_last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::every_split;

    /// The first reply, however it is cut.
    fn read(input: &[u8], trailing: &[&[u8]]) -> Result<Option<Reply>, ReplyError> {
        every_split(input, trailing, |pieces| {
            let (mut reader, mut pending) = (ReplyReader::default(), Vec::new());
            for piece in pieces {
                pending.extend_from_slice(piece);
                let (used, reply) = reader.read(&pending)?;
                pending.drain(..used);
                if reply.is_some() {
                    return Ok(reply);
                }
            }
            Ok(None)
        })
    }

    #[test]
    fn replies_of_one_line_and_of_several_are_read() {
        for (input, code, lines) in [
            (&b"220 mail.example.org ESMTP\r\n"[..], 220, &[&b"mail.example.org ESMTP"[..]][..]),
            (b"250\r\n", 250, &[b""]),
            (b"250 \r\n", 250, &[b""]),
            (b"250-a\r\n250-\r\n250 c\r\n", 250, &[b"a", b"", b"c"]),
            (b"250-a\r\n250\r\n", 250, &[b"a", b""]),
            (b"599 \xff\0\x1b[2J\r\n", 599, &[b"\xff\0\x1b[2J"]),
        ] {
            let reply = read(input, &[b"250 next\r\n"]).unwrap().unwrap();
            assert_eq!(reply.code, code);
            assert_eq!(reply.lines, lines, "{}", input.escape_ascii());
        }
        for incomplete in [&b"2"[..], b"250 a\r", b"250-a\r\n", b"250-a\r\n250"] {
            assert_eq!(read(incomplete, &[]), Ok(None));
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        use ReplyError as E;
        let long = [b"250 ".as_slice(), &[b'x'; limits::REPLY_LINE]].concat();
        for (input, error) in [
            (&b"250 a\n"[..], E::LineEnd),
            (b"250 a\rb\r\n", E::LineEnd),
            (b"250 a\r\r\n", E::LineEnd),
            (b"\r\n", E::Code),
            (b"25\r\n", E::Code),
            (b"2500 a\r\n", E::Code),
            (b"250_a\r\n", E::Code),
            (b"150 a\r\n", E::Code),
            (b"600 a\r\n", E::Code),
            (b" 250 a\r\n", E::Code),
            (b"HTTP/1.1 400 Bad Request\r\n", E::Code),
            (b"250-a\r\n251 b\r\n", E::Codes),
        ] {
            assert_eq!(read(input, &[b"250 next\r\n"]), Err(error), "{}", input.escape_ascii());
        }
        let once = |input: &[u8]| ReplyReader::default().read(input);
        assert_eq!(once(&long), Err(E::LongLine));
        assert_eq!(once(&[&long[..], b"\r\n"].concat()), Err(E::LongLine));
        let line = [b"250-".as_slice(), &[b'x'; 1000], b"\r\n"].concat();
        assert_eq!(once(&line.repeat(limits::REPLY / 1000 + 1)), Err(E::Long));
        assert!(once(&line.repeat(limits::REPLY / 1100)).is_ok());
    }

    #[test]
    fn enhanced_status_codes_have_the_class_of_the_code() {
        let status = |text: &str| Reply { code: 550, lines: vec![text.into()] }.status().map(|s| s.to_string());
        assert_eq!(status("5.1.1 no such user").as_deref(), Some("5.1.1"));
        assert_eq!(status("5.7.999").as_deref(), Some("5.7.999"));
        for text in ["2.1.1 odd", "5.1", "5.1.1.1 a", "5.+1.1 a", "5.1000.1 a", "no such user", "3.1.1 a", "5..1", ""] {
            assert_eq!(status(text), None, "{text}");
        }
    }

    #[test]
    fn terminals_get_no_control_characters() {
        let reply = Reply { code: 550, lines: vec![b"a\x1b[31m\xff".to_vec(), Vec::new(), b"c".to_vec()] };
        assert_eq!(reply.to_string(), "550 a\\u{1b}[31m\u{fffd} c");
        let lines: Vec<_> = reply.shown_lines().collect();
        assert_eq!(lines, ["550-a\\u{1b}[31m\u{fffd}", "550-", "550 c"]);
    }
}
