//! Text of strangers in a log: on one line, without control characters, and so
//! that it can't be taken for ours.

use std::fmt::{self, Display, Write};

/// Shows `bytes` with printable ASCII as it is, but for `"` and `\`, which get a
/// backslash, and everything else as `\xNN`.
pub fn escape(bytes: &[u8]) -> impl Display {
    Escaped(bytes)
}

struct Escaped<'a>(&'a [u8]);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |octet: &u8| matches!(octet, b' '..=b'~') && !matches!(octet, b'"' | b'\\');
        // What is plain goes out in runs: a log has little else.
        for run in self.0.chunk_by(|a, b| is_plain(a) && is_plain(b)) {
            match *run {
                [quote @ (b'"' | b'\\')] => write!(f, "\\{}", char::from(quote))?,
                [octet] if !is_plain(&octet) => write!(f, "\\x{octet:02x}")?,
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
    fn strangers_cannot_forge_lines() {
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

    proptest! {
        #[test]
        fn only_printable_ascii_and_the_same_again_unescaped(bytes: Vec<u8>) {
            let escaped = escape(&bytes).to_string();
            prop_assert!(escaped.bytes().all(|octet| matches!(octet, b' '..=b'~')));
            let mut back = Vec::new();
            let mut rest = escaped.as_bytes();
            while let Some((&octet, tail)) = rest.split_first() {
                let (octet, tail) = match (octet, tail) {
                    (b'\\', [b'x', high, low, tail @ ..]) => {
                        let digit = |octet: &u8| char::from(*octet).to_digit(16).unwrap() as u8;
                        (16 * digit(high) + digit(low), tail)
                    }
                    (b'\\', [quoted, tail @ ..]) => (*quoted, tail),
                    _ => (octet, tail),
                };
                rest = tail;
                back.push(octet);
            }
            prop_assert_eq!(back, bytes);
        }
    }
}
