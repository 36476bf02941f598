//! The common elements of the grammar: tokens, field values, quoted strings (RFC 9110
//! §5.5, §5.6).

/// The classes of bytes (`tchar`, `field-vchar`) as bits of one table. A table is faster than a
/// chain of comparisons.
const CLASSES: [u8; 256] = classes();
const TCHAR: u8 = 1;
const TEXT: u8 = 2;

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let o = byte as u8;
        if o.is_ascii_alphanumeric() {
            table[byte] |= TCHAR;
        }
        if o == b'\t' || (o >= b' ' && o != 0x7f) {
            table[byte] |= TEXT;
        }
        byte += 1;
    }
    let punctuation = b"!#$%&'*+-.^_`|~";
    let mut i = 0;
    while i < punctuation.len() {
        table[punctuation[i] as usize] |= TCHAR;
        i += 1;
    }
    table
}

/// Whether `byte` is allowed in a token (RFC 9110 §5.6.2).
pub const fn is_tchar(byte: u8) -> bool {
    CLASSES[byte as usize] & TCHAR != 0
}

/// Whether `value` is a token: at least one `tchar` (RFC 9110 §5.6.2).
pub fn is_token(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|&byte| is_tchar(byte))
}

/// Whether `byte` is allowed in a field value: visible, space, tab or above ASCII, but no
/// control byte (RFC 9110 §5.5).
pub const fn is_field_text(byte: u8) -> bool {
    CLASSES[byte as usize] & TEXT != 0
}

/// `value` without white space around it (OWS: space and tab only, RFC 9110 §5.6.3).
pub fn trim_ows(value: &[u8]) -> &[u8] {
    let is_ows = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(start) = value.iter().position(|byte| !is_ows(byte)) else { return &[] };
    let end = value.iter().rposition(|byte| !is_ows(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// The parts of `value` between `separator`s outside of quoted strings (RFC 9110 §5.6.4),
/// trimmed, without empty ones. An unclosed string extends to the end.
pub fn split_unquoted(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(move |&byte| {
            if escaped {
                escaped = false;
                return false;
            }
            match byte {
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ => return byte == separator && !quoted,
            }
            false
        })
        .map(trim_ows)
        .filter(|part| !part.is_empty())
}

/// Whether each quoted string in a line has an end. Else it is unknown where what follows the quote
/// begins.
pub fn has_closed_quotes(line: &[u8]) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for &byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    !quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_are_those_of_the_rfc() {
        for byte in 0..=255u8 {
            let delimiter = b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            assert_eq!(is_tchar(byte), byte.is_ascii_graphic() && !delimiter, "{byte:#x}");
            assert_eq!(is_field_text(byte), byte == b'\t' || !byte.is_ascii_control(), "{byte:#x}");
        }
        assert!(is_token(b"chunked") && !is_token(b"") && !is_token(b"a b"));
    }

    #[test]
    fn only_http_white_space_is_trimmed() {
        for (value, expected) in
            [(&b" \t a b\t"[..], &b"a b"[..]), (b"", b""), (b" \t", b""), (b"\x0ba\x0c", b"\x0ba\x0c"), (b"a", b"a")]
        {
            assert_eq!(trim_ows(value), expected);
        }
    }

    #[test]
    fn quoted_strings_hide_separators() {
        let parts = |value: &'static str| -> Vec<&str> {
            split_unquoted(value.as_bytes(), b',').map(|part| std::str::from_utf8(part).unwrap()).collect()
        };
        assert_eq!(parts("a, b ,,c"), ["a", "b", "c"]);
        assert_eq!(parts(r#"a="x,y", b"#), [r#"a="x,y""#, "b"]);
        assert_eq!(parts(r#"a="x\",y", b"#), [r#"a="x\",y""#, "b"]);
        assert_eq!(parts(r#"a\,b"#), [r"a\", "b"], "a backslash escapes in quoted strings only");
        assert_eq!(parts(r#"a="x, b"#), [r#"a="x, b"#]);
        assert_eq!(parts(" , "), [""; 0]);
    }

    #[test]
    fn quoted_strings_must_end() {
        for (line, closed) in
            [("a=\"b\"", true), ("a=\"b", false), ("a=\"b\\\"", false), ("a\\\"b\"", true), ("", true)]
        {
            assert_eq!(has_closed_quotes(line.as_bytes()), closed, "{line}");
        }
    }
}
