//! Escapes text from the network for logs: it stays on one line, has no control characters
//! and can't end a quoted string.

use std::fmt::{self, Display, Write};
use std::io::Write as _;

/// Shows `bytes` with printable ASCII as it is, but for `"` and `\`, which get a
/// backslash, and everything else as `\xNN`.
pub fn escape(bytes: &[u8]) -> impl Display {
    Escaped(bytes)
}

/// Appends escaped text. The usual text needs no escape and is copied.
pub fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    #[cold]
    fn push_slowly(out: &mut Vec<u8>, text: &[u8]) {
        // Writing to a vector can't fail.
        let _ = write!(out, "{}", escape(text));
    }
    if is_plain_text(text) { out.extend_from_slice(text) } else { push_slowly(out, text) }
}

/// Whether text needs no escape. It is checked in blocks without a branch inside. The last block
/// overlaps the one before it.
pub(super) fn is_plain_text(text: &[u8]) -> bool {
    #[inline(always)]
    fn block<const N: usize>(bytes: &[u8; N]) -> bool {
        bytes.iter().fold(true, |all, &byte| all & (b' '..=b'~').contains(&byte) & (byte != b'"') & (byte != b'\\'))
    }
    if let Some(last) = text.last_chunk::<16>() {
        return text.as_chunks::<16>().0.iter().fold(block(last), |all, bytes| all & block(bytes));
    }
    match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) => block(first) & block(last),
        _ => text.iter().all(|&byte| block(&[byte])),
    }
}

struct Escaped<'a>(&'a [u8]);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        // Plain text is written in runs: most of a log is plain.
        for run in self.0.chunk_by(|a, b| is_plain(a) && is_plain(b)) {
            match *run {
                [quote @ (b'"' | b'\\')] => write!(f, "\\{}", char::from(quote))?,
                [byte] if !is_plain(&byte) => write!(f, "\\x{byte:02x}")?,
                _ => match std::str::from_utf8(run) {
                    Ok(plain) => f.write_str(plain)?,
                    Err(_) => f.write_char('?')?,
                },
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_from_the_network_cannot_forge_lines() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"curl/8.5.0 (x86_64)", "curl/8.5.0 (x86_64)"),
            (b"a\"b\\c", "a\\\"b\\\\c"),
            (b"\" 200 \r\n10.0.0.1 -", "\\\" 200 \\x0d\\x0a10.0.0.1 -"),
            (b"\x1b[31m\x7f\x00", "\\x1b[31m\\x7f\\x00"),
            ("ä".as_bytes(), "\\xc3\\xa4"),
        ] {
            assert_eq!(escape(bytes).to_string(), expected);
        }
    }

    #[test]
    fn a_byte_that_needs_an_escape_is_found_at_every_position() {
        for length in 0..70 {
            let mut text = vec![b'a'; length];
            assert!(is_plain_text(&text));
            for at in 0..length {
                for byte in 0..=255 {
                    text[at] = byte;
                    let plain = matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
                    assert_eq!(is_plain_text(&text), plain, "{byte} at {at} of {length}");
                }
                text[at] = b'a';
            }
        }
        let mut out = Vec::new();
        push_escaped(&mut out, b"a\"b\n");
        assert_eq!(out, b"a\\\"b\\x0a");
    }

    proptest! {
        #[test]
        fn escaped_text_is_printable_ascii_and_unescapes_to_the_original(bytes: Vec<u8>) {
            let escaped = escape(&bytes).to_string();
            let mut pushed = Vec::new();
            push_escaped(&mut pushed, &bytes);
            prop_assert_eq!(&pushed, escaped.as_bytes());
            prop_assert!(escaped.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            let mut back = Vec::new();
            let mut rest = escaped.as_bytes();
            while let Some((&byte, tail)) = rest.split_first() {
                let (byte, tail) = match (byte, tail) {
                    (b'\\', [b'x', high, low, tail @ ..]) => {
                        let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap() as u8;
                        (16 * digit(high) + digit(low), tail)
                    }
                    (b'\\', [quoted, tail @ ..]) => (*quoted, tail),
                    _ => (byte, tail),
                };
                rest = tail;
                back.push(byte);
            }
            prop_assert_eq!(back, bytes);
        }
    }
}
