//! The Cookie field of requests (RFC 6265 §4.2, read after §5.4).
//!
//! Cookies come from many places, some of them careless; what can't be read is
//! skipped, so that somebody else's cookie doesn't cost us ours.

use super::Fields;
use super::grammar::trim_ows;

/// Name and value of every cookie, over all Cookie lines, in order.
///
/// White space around both and double quotes around the value are taken off.
/// What has no `=` or no name is skipped. Nothing is decoded. A name may come
/// twice; the first, of the longest path, is the one to believe (RFC 6265 §5.4).
pub fn pairs<'a>(fields: &Fields<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
    fields.all("cookie").flat_map(|line| line.split(|&octet| octet == b';')).filter_map(|pair| {
        let equals = pair.iter().position(|&octet| octet == b'=')?;
        let (name, value) = (trim_ows(&pair[..equals]), trim_ows(&pair[equals + 1..]));
        let value = match value {
            [b'"', inner @ .., b'"'] => inner,
            _ => value,
        };
        (!name.is_empty()).then_some((name, value))
    })
}

/// The value of the first cookie named `name` (case matters).
pub fn value<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a [u8]> {
    pairs(fields).find(|&(found, _)| found == name.as_bytes()).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use httparse::Header;
    use proptest::prelude::*;

    #[test]
    fn reads_what_can_be_read() {
        type Pairs = &'static [(&'static [u8], &'static [u8])];
        let cases: &[(&[&[u8]], Pairs)] = &[
            (&[], &[]),
            (&[b""], &[]),
            (&[b"a=b"], &[(b"a", b"b")]),
            (&[b"a=b; c=d"], &[(b"a", b"b"), (b"c", b"d")]),
            (&[b"a=b;c=d;"], &[(b"a", b"b"), (b"c", b"d")]),
            (&[b" a = b ;\tc\t=\td"], &[(b"a", b"b"), (b"c", b"d")]),
            (&[b"a=b", b"c=d"], &[(b"a", b"b"), (b"c", b"d")]),
            (&[b"a=b; a=c"], &[(b"a", b"b"), (b"a", b"c")]),
            (&[b"a=b=c=="], &[(b"a", b"b=c==")]),
            (&[b"a="], &[(b"a", b"")]),
            (&[b"a=\"b c\"; d=\"\"; e=\"; f=\"g"], &[(b"a", b"b c"), (b"d", b""), (b"e", b"\""), (b"f", b"\"g")]),
            (&[b"junk; =x; ; a=b; =; junk"], &[(b"a", b"b")]),
            (&[b"a=\xff; \xe4=b"], &[(b"a", b"\xff"), (b"\xe4", b"b")]),
            (&[b"a=b, c=d"], &[(b"a", b"b, c=d")]),
        ];
        for (values, expected) in cases {
            let lines: Vec<_> = values.iter().map(|value| Header { name: "Cookie", value }).collect();
            assert_eq!(pairs(&Fields::new(&lines)).collect::<Vec<_>>(), *expected, "{values:?}");
        }
        let lines = [Header { name: "cookie", value: b"A=1; a=2; a=3" }];
        assert_eq!(value(&Fields::new(&lines), "a"), Some(&b"2"[..]));
        assert_eq!(value(&Fields::new(&lines), "b"), None);
    }

    proptest! {
        #[test]
        fn round_trips(cookies in proptest::collection::vec(("[!-:<>-~]{1,8}", "[!#-:<-~]{0,8}"), 0..5)) {
            let field: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let field = field.join("; ");
            let lines = [Header { name: "Cookie", value: field.as_bytes() }];
            let found: Vec<_> = pairs(&Fields::new(&lines)).collect();
            let expected: Vec<_> = cookies.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
