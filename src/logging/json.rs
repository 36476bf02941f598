//! JSON strings (RFC 8259 §7) of printable ASCII, for text from the network: no reader sees a
//! second line, a control character, or text that runs backwards.
//!
//! All other characters are `\uXXXX`, those above U+FFFF as surrogate pairs. Each sequence of
//! bytes that is not UTF-8 is `\ufffd`, the replacement character. Readers of logfmt know these
//! escapes too.

use std::io::Write;

use super::escape::is_plain_text;

/// Appends `text` as a JSON string with its quotation marks. The usual text needs no escape and
/// is copied.
pub fn push_json_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    if is_plain_text(text) {
        out.extend_from_slice(text);
    } else {
        push_slowly(out, text);
    }
    out.push(b'"');
}

#[cold]
fn push_slowly(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_char(out, c);
        }
        if !chunk.invalid().is_empty() {
            push_char(out, char::REPLACEMENT_CHARACTER);
        }
    }
}

fn push_char(out: &mut Vec<u8>, c: char) {
    let short = match c {
        '"' | '\\' => c,
        '\t' => 't',
        '\n' => 'n',
        '\r' => 'r',
        ' '..='~' => {
            out.push(c as u8);
            return;
        }
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a vector can't fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short as u8]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn string(text: &[u8]) -> String {
        let mut out = Vec::new();
        push_json_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn other_characters_are_escaped() {
        for (text, expected) in [
            (&b""[..], r#""""#),
            (b"curl/8.5 (x) ~", r#""curl/8.5 (x) ~""#),
            (b"a\"b\\c\r\n\t", r#""a\"b\\c\r\n\t""#),
            (b"\0\x1b[31m\x7f", r#""\u0000\u001b[31m\u007f""#),
            ("\u{e4}\u{2028}\u{202e}\u{1f600}".as_bytes(), r#""\u00e4\u2028\u202e\ud83d\ude00""#),
            (b"a\xffb\xe2\x82c", r#""a\ufffdb\ufffdc""#),
        ] {
            assert_eq!(string(text), expected);
        }
    }

    proptest! {
        #[test]
        fn every_string_is_printable_and_parses_to_the_text(text: Vec<u8>) {
            let json = string(&text);
            prop_assert!(json.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            let parsed: String = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(parsed, String::from_utf8_lossy(&text));
        }
    }
}
