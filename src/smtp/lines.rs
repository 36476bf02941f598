//! A message as it is on the wire: lines that end with CR LF (RFC 5321 §2.3.8).
//!
//! A file on disk has other line ends. An LF alone becomes CR LF. A CR alone has no meaning in
//! any system of today, and servers refuse it, so it is an error and not changed silently.

use std::fmt;

/// Longest line in bytes, without its CR LF (RFC 5322 §2.1.1).
pub const LINE: usize = 998;

/// Why a message can't be sent: the number of the line, and what is wrong in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineError {
    /// A CR without LF.
    Return(usize),
    /// It is longer than [`LINE`].
    Long(usize),
    /// A NUL.
    Nul(usize),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Return(line) => write!(f, "line {line} has a CR without LF"),
            Self::Long(line) => write!(f, "line {line} is longer than {LINE} bytes"),
            Self::Nul(line) => write!(f, "line {line} has a NUL"),
        }
    }
}

impl std::error::Error for LineError {}

/// The message with CR LF at the end of each line, the last one included.
///
/// # Errors
/// If a line can't be sent.
pub fn canonical(message: &[u8]) -> Result<Vec<u8>, LineError> {
    let mut lines = Vec::with_capacity(message.len() + message.len() / 32 + 2);
    for (number, line) in (1..).zip(message.split_inclusive(|&byte| byte == b'\n')) {
        let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
        if line.contains(&b'\r') {
            return Err(LineError::Return(number));
        }
        if line.len() > LINE {
            return Err(LineError::Long(number));
        }
        if line.contains(&0) {
            return Err(LineError::Nul(number));
        }
        lines.extend_from_slice(line);
        lines.extend_from_slice(b"\r\n");
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_cr_lf() {
        for (message, expected) in [
            (&b""[..], &b""[..]),
            (b"a", b"a\r\n"),
            (b"a\nb\r\n\n", b"a\r\nb\r\n\r\n"),
            (b"\n.\n", b"\r\n.\r\n"),
            (b"\xff\n", b"\xff\r\n"),
        ] {
            assert_eq!(canonical(message).as_deref(), Ok(expected));
            assert_eq!(canonical(expected).as_deref(), Ok(expected), "it is the same again");
        }
    }

    #[test]
    fn lines_that_cannot_be_sent_are_named() {
        let long = [&b"a\n"[..], &[b'x'; LINE + 1], b"\nb"].concat();
        for (message, error) in [
            (&b"a\nb\rc\n"[..], LineError::Return(2)),
            (b"a\r", LineError::Return(1)),
            (b"a\r\r\n", LineError::Return(1)),
            (b"a\n\0", LineError::Nul(2)),
            (&long, LineError::Long(2)),
        ] {
            assert_eq!(canonical(message), Err(error));
        }
        assert!(canonical(&[b'x'; LINE]).is_ok());
    }
}
