//! Cache-Control (RFC 9111 §5.2) of an answer that isn't for everybody.

use std::ops::Range;

use super::grammar::split_unquoted;

/// What must be changed in a head, so that no shared cache keeps the answer: which
/// octets, and what is to stand there. None if it says so already.
///
/// Directives that invite shared caches (`public`, `s-maxage`) go, the others
/// stay. `answer` is a whole head of ours, in which Cache-Control comes once at
/// most; content may follow it.
pub fn keep_private(answer: &[u8]) -> Option<(Range<usize>, Vec<u8>)> {
    const NAME: &[u8] = b"Cache-Control:";
    let mut start = 0;
    while let Some(end) = memchr::memchr(b'\r', &answer[start..]) {
        let line = &answer[start..start + end];
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_at_checked(NAME.len())
            && name.eq_ignore_ascii_case(NAME)
        {
            return Some((start..start + line.len(), [NAME, b" ", &restrict(value)?].concat()));
        }
        start += end + 2;
    }
    Some((start..start, b"Cache-Control: private\r\n".to_vec()))
}

/// The directives in `value` with `private` before them; none if that, or something
/// stricter, is among them.
fn restrict(value: &[u8]) -> Option<Vec<u8>> {
    let named = |directive: &[u8], name: &[u8]| {
        // With an argument, `private` is about single fields only.
        directive.eq_ignore_ascii_case(name)
    };
    let shares = |directive: &[u8]| {
        named(directive, b"public")
            || directive.split_at_checked(9).is_some_and(|(name, _)| name.eq_ignore_ascii_case(b"s-maxage="))
    };
    let mut restricted = b"private".to_vec();
    for directive in split_unquoted(value, b',') {
        if named(directive, b"private") || named(directive, b"no-store") {
            return None;
        }
        if !shares(directive) {
            restricted.extend_from_slice(b", ");
            restricted.extend_from_slice(directive);
        }
    }
    Some(restricted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_caches_are_kept_out_and_the_rest_stays() {
        for (line, expected) in [
            ("Cache-Control: no-cache\r\n", Some("Cache-Control: private, no-cache\r\n")),
            ("cache-control: Public, max-age=60\r\n", Some("Cache-Control: private, max-age=60\r\n")),
            ("Cache-Control: max-age=1, S-MaxAge=9\r\n", Some("Cache-Control: private, max-age=1\r\n")),
            ("Cache-Control: private=\"a,b\", x\r\n", Some("Cache-Control: private, private=\"a,b\", x\r\n")),
            ("Cache-Control:\r\n", Some("Cache-Control: private\r\n")),
            ("Cache-Control: no-store\r\n", None),
            ("Cache-Control: max-age=60, Private\r\n", None),
            ("", Some("Cache-Control: private\r\n")),
            ("X-Cache-Control: no-store\r\n", Some("X-Cache-Control: no-store\r\nCache-Control: private\r\n")),
        ] {
            // An answer without fields, one with more, and one with content like a head.
            for (before, after) in [
                ("HTTP/1.1 200 OK\r\n", "\r\n"),
                ("HTTP/1.1 200 OK\r\nDate: x\r\n", "\r\nCache-Control: no-store\r\n\r\n"),
            ] {
                let mut answer = format!("{before}{line}{after}").into_bytes();
                if let Some((range, text)) = keep_private(&answer) {
                    answer.splice(range, text);
                }
                let expected = format!("{before}{}{after}", expected.unwrap_or(line));
                assert_eq!(String::from_utf8(answer).unwrap(), expected);
            }
        }
    }
}
