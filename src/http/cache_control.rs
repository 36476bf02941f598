//! Cache-Control (RFC 9111 §5.2) of a response that is for one user only.

use super::grammar::split_unquoted;

/// The value of Cache-Control that keeps a response out of shared caches: `private` before the
/// directives of `value`, without those that allow shared caching (`public`, `s-maxage`). None
/// if `value` is strict enough already.
pub fn restrict(value: &[u8]) -> Option<Vec<u8>> {
    let named = |directive: &[u8], name: &[u8]| {
        // With an argument, `private` applies to single fields only.
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
    fn shared_caching_is_forbidden_and_other_directives_stay() {
        for (value, expected) in [
            ("no-cache", Some("private, no-cache")),
            ("Public, max-age=60", Some("private, max-age=60")),
            ("max-age=1, S-MaxAge=9", Some("private, max-age=1")),
            ("private=\"a,b\", x", Some("private, private=\"a,b\", x")),
            ("", Some("private")),
            ("no-store", None),
            ("max-age=60, Private", None),
        ] {
            assert_eq!(restrict(value.as_bytes()).as_deref(), expected.map(str::as_bytes), "{value}");
        }
    }
}
