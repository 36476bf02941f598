//! `application/x-www-form-urlencoded`, in queries and simple forms (WHATWG URL §5.1).

use std::borrow::Cow;

/// Name and value of every field, in order. Never fails: a pair without `=` has an empty value,
/// a `%` without two digits stands for itself, and invalid UTF-8 becomes U+FFFD. A pair is
/// decoded when the iterator reaches it, and copied only if it needs decoding.
pub fn pairs(encoded: &[u8]) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(encoded)
}

/// The value of the first field named `name`.
pub fn value(encoded: &[u8], name: &str) -> Option<String> {
    pairs(encoded).find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// `text` encoded as a value of a query or a form.
pub fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    #[test]
    fn malformed_pairs_are_parsed_leniently() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("&&", &[]),
            ("a=b", &[("a", "b")]),
            ("a=b&c=d", &[("a", "b"), ("c", "d")]),
            ("a=b&a=c", &[("a", "b"), ("a", "c")]),
            ("a", &[("a", "")]),
            ("a=", &[("a", "")]),
            ("=b", &[("", "b")]),
            ("=", &[("", "")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a+b=c+d", &[("a b", "c d")]),
            ("a=%2B+%26%3D", &[("a", "+ &=")]),
            ("a=%C3%a4", &[("a", "\u{e4}")]),
            ("a=%ff", &[("a", "\u{fffd}")]),
            ("a=%+%2&%zz", &[("a", "% %2"), ("%zz", "")]),
            ("a=%00", &[("a", "\0")]),
            ("a;b=c", &[("a;b", "c")]),
        ];
        for (encoded, expected) in cases {
            let found: Vec<_> = pairs(encoded.as_bytes()).collect();
            let found: Vec<_> = found.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(found, *expected, "{encoded}");
        }
        assert_eq!(value(b"x=1&name=a+b&name=c", "name").as_deref(), Some("a b"));
        assert_eq!(value(b"x=1", "name"), None);
        assert!(pairs(b"a=b").all(|(name, value)| matches!((name, value), (Cow::Borrowed(_), Cow::Borrowed(_)))));
    }

    #[test]
    fn encoded_text_is_one_value() {
        assert_eq!(encode("/a b?&=+"), "%2Fa%20b%3F%26%3D%2B");
        assert_eq!(value(format!("a={}", encode("/a b?&=+%")).as_bytes(), "a").as_deref(), Some("/a b?&=+%"));
    }

    proptest! {
        #[test]
        fn round_trips(fields in proptest::collection::vec((".{0,6}", ".{1,6}"), 0..4)) {
            let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().replace("%20", "+");
            let encoded: Vec<_> =
                fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
            let found: Vec<_> = pairs(encoded.join("&").as_bytes())
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect();
            prop_assert_eq!(found, fields);
        }

        #[test]
        fn never_panics(encoded in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = pairs(&encoded).count();
        }
    }
}
