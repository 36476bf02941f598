//! The small common words of the grammar: tokens, field values, quoted strings
//! (RFC 9110 §5.5, §5.6).

/// `tchar`, `field-vchar` and the like, as bits of one table: a lookup for each
/// octet is quicker than a chain of comparisons.
const CLASSES: [u8; 256] = classes();
const TCHAR: u8 = 1;
const TEXT: u8 = 2;

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let o = octet as u8;
        if o.is_ascii_alphanumeric() {
            table[octet] |= TCHAR;
        }
        if o == b'\t' || (o >= b' ' && o != 0x7f) {
            table[octet] |= TEXT;
        }
        octet += 1;
    }
    let punctuation = b"!#$%&'*+-.^_`|~";
    let mut i = 0;
    while i < punctuation.len() {
        table[punctuation[i] as usize] |= TCHAR;
        i += 1;
    }
    table
}

/// Whether `octet` may stand in a token (RFC 9110 §5.6.2).
pub const fn is_tchar(octet: u8) -> bool {
    CLASSES[octet as usize] & TCHAR != 0
}

/// Whether `value` is a token: one `tchar` or more (RFC 9110 §5.6.2).
pub fn is_token(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|&octet| is_tchar(octet))
}

/// Whether `octet` may stand in a field value: visible, space, tab or above
/// ASCII, so no control octet (RFC 9110 §5.5).
pub const fn is_field_text(octet: u8) -> bool {
    CLASSES[octet as usize] & TEXT != 0
}

/// `value` without the white space (OWS: space and tab only, RFC 9110 §5.6.3)
/// around it.
pub fn trim_ows(value: &[u8]) -> &[u8] {
    let is_ows = |octet: &u8| matches!(octet, b' ' | b'\t');
    let Some(start) = value.iter().position(|octet| !is_ows(octet)) else { return &[] };
    let end = value.iter().rposition(|octet| !is_ows(octet)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// The parts of `value` between `separator`s that aren't inside a quoted string
/// (RFC 9110 §5.6.4), trimmed, without empty ones. A string that is never closed
/// reaches to the end.
pub fn split_unquoted(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(move |&octet| {
            if escaped {
                escaped = false;
                return false;
            }
            match octet {
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ => return octet == separator && !quoted,
            }
            false
        })
        .map(trim_ows)
        .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_the_rfcs() {
        for octet in 0..=255u8 {
            let delimiter = b"\"(),/:;<=>?@[\\]{}".contains(&octet);
            assert_eq!(is_tchar(octet), octet.is_ascii_graphic() && !delimiter, "{octet:#x}");
            assert_eq!(is_field_text(octet), octet == b'\t' || !octet.is_ascii_control(), "{octet:#x}");
        }
        assert!(is_token(b"chunked") && !is_token(b"") && !is_token(b"a b"));
    }

    #[test]
    fn trims_only_what_is_white_space_in_http() {
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
        assert_eq!(parts(r#"a\,b"#), [r"a\", "b"], "a backslash escapes inside of quotes only");
        assert_eq!(parts(r#"a="x, b"#), [r#"a="x, b"#]);
        assert_eq!(parts(" , "), [""; 0]);
    }
}
