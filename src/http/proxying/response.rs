//! The field lines of an upstream's response, for the client.

use super::hops::HopFields;
use crate::http::Fields;

/// The fields to pass on: not those for the upstream's connection.
pub fn response_fields<'a>(fields: Fields<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    HopFields::of(fields).others()
}

/// Whether a request has passed here already (RFC 9110 §7.6.3): Via names this proxy.
pub fn has_passed_here(fields: &Fields<'_>, pseudonym: &str) -> bool {
    // A member is a protocol, a name, and perhaps a comment.
    fields.tokens("via").any(|member| {
        let mut words = member.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
        words.nth(1).is_some_and(|name| name == pseudonym.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;

    fn fields(lines: &[(&str, &str)]) -> FieldLines {
        FieldLines::of(lines.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    #[test]
    fn the_framing_of_the_upstream_stays_behind() {
        let all = fields(&[
            ("Content-Type", "a/b"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "keep-alive, x"),
            ("X", "1"),
            ("Set-Cookie", "a"),
            ("Set-Cookie", "b"),
            ("Keep-Alive", "timeout=5"),
        ]);
        let passed: Vec<_> = response_fields(all.fields()).map(|(_, value)| value).collect();
        assert_eq!(passed, [&b"a/b"[..], b"a", b"b"]);
    }

    #[test]
    fn a_loop_is_found() {
        for (via, expected) in [
            (&["1.1 miod"][..], true),
            (&["1.0 a, 1.1 miod, 1.1 b"], true),
            (&["1.1 a", "HTTP/1.1   miod (a comment)"], true),
            (&["1.1 miod2", "1.1 a (1.1 miod)"], false),
            (&["miod"], false),
            (&[], false),
        ] {
            let all = fields(&via.iter().map(|value| ("Via", *value)).collect::<Vec<_>>());
            assert_eq!(has_passed_here(&all.fields(), "miod"), expected, "{via:?}");
        }
    }
}
