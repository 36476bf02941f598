//! The syntax of Cache-Control (RFC 9111 §5.2), and how a response is kept out of shared caches.
//!
//! This is the one parser of the field. What the directives mean to a cache is in
//! [`caching`](super::caching).

use super::grammar::{split_unquoted, trim_ows};

/// The largest number of seconds that is told apart from more (RFC 9111 §1.2.2).
pub const MAX_SECONDS: u32 = 1 << 31;

/// One directive, as it was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Directive<'a> {
    /// The whole directive.
    pub text: &'a [u8],
    /// The name, without white space after it.
    pub name: &'a [u8],
    /// What follows the `=`, with its quotes and any white space.
    pub argument: Option<&'a [u8]>,
}

impl<'a> Directive<'a> {
    fn parse(text: &'a [u8]) -> Self {
        match text.iter().position(|&byte| byte == b'=') {
            Some(at) => Self { text, name: trim_ows(&text[..at]), argument: Some(&text[at + 1..]) },
            None => Self { text, name: text, argument: None },
        }
    }

    /// Whether this is the directive `name`; names are case-insensitive.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The argument without its quotes: recipients accept both forms of each (RFC 9111 §5.2).
    /// None if there is none, or if there is white space around the `=`, which is malformed.
    pub fn value(&self) -> Option<&'a [u8]> {
        let argument = self.argument?;
        if self.name.len() + 1 + argument.len() != self.text.len() || trim_ows(argument) != argument {
            return None;
        }
        Some(argument.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(argument))
    }
}

/// The directives of one line, in order. Commas in quoted strings separate nothing.
pub fn directives(line: &[u8]) -> impl Iterator<Item = Directive<'_>> {
    split_unquoted(line, b',').map(Directive::parse)
}

/// `delta-seconds`: digits only; a larger number counts as [`MAX_SECONDS`] (RFC 9111 §1.2.2).
pub fn seconds(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit).min(MAX_SECONDS))
    })
}

/// The value of Cache-Control that keeps a response out of shared caches: `private` before the
/// directives of `value`, without those that allow shared caching (`public`, `s-maxage`). None
/// if `value` is strict enough already.
pub fn restrict(value: &[u8]) -> Option<Vec<u8>> {
    let mut restricted = b"private".to_vec();
    for directive in directives(value) {
        // With an argument, `private` applies to single fields only.
        if directive.argument.is_none() && (directive.is("private") || directive.is("no-store")) {
            return None;
        }
        if !directive.is("public") && !directive.is("s-maxage") {
            restricted.extend_from_slice(b", ");
            restricted.extend_from_slice(directive.text);
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

    #[test]
    fn arguments_have_two_forms() {
        let first = |line: &'static str| directives(line.as_bytes()).next().unwrap();
        for (line, name, value) in [
            ("max-age=5", "max-age", Some("5")),
            ("MAX-AGE=\"5\", x", "max-age", Some("5")),
            ("max-age", "max-age", None),
            ("max-age=", "max-age", Some("")),
            ("max-age =5", "max-age", None),
            ("max-age= 5", "max-age", None),
            ("private=\"a, b\", x", "private", Some("a, b")),
            ("a=b=c", "a", Some("b=c")),
            ("=5", "", Some("5")),
            ("a=\"", "a", Some("\"")),
        ] {
            let directive = first(line);
            assert!(directive.is(name), "{line}");
            assert_eq!(directive.value(), value.map(str::as_bytes), "{line}");
        }
    }

    #[test]
    fn seconds_are_digits_and_limited() {
        for (digits, expected) in [
            ("0", Some(0)),
            ("003600", Some(3600)),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", Some(MAX_SECONDS)),
            ("4294967297", Some(MAX_SECONDS)),
            ("99999999999999999999999999", Some(MAX_SECONDS)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            ("1 ", None),
            ("'1'", None),
            ("0x1", None),
            ("99999999999999a", None),
        ] {
            assert_eq!(seconds(digits.as_bytes()), expected, "{digits:?}");
        }
    }
}
