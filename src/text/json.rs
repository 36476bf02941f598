//! Text for JSON (RFC 8259).

use std::fmt::{self, Display, Write};

/// `text` as a JSON string, with its quotes. Invalid UTF-8 becomes U+FFFD.
///
/// All control characters are escaped, even those that JSON allows unescaped, because JSON is
/// shown in terminals.
pub fn string<T: AsRef<[u8]> + ?Sized>(text: &T) -> impl Display {
    JsonString(text.as_ref())
}

struct JsonString<'a>(&'a [u8]);

impl Display for JsonString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in String::from_utf8_lossy(self.0).chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_never_ends_its_string() {
        assert_eq!(string("").to_string(), "\"\"");
        assert_eq!(string("\"\\").to_string(), r#""\"\\""#);
        assert_eq!(
            string(b"\0\x1f\x7f\xc2\x9b\xff\xc3\xa4").to_string(),
            "\"\\u0000\\u001f\\u007f\\u009b\u{fffd}\u{e4}\""
        );
    }
}
