//! Cookies: parsing the Cookie field of requests (RFC 6265 §4.2, §5.4), and writing the
//! Set-Cookie field of responses (§4.1, with the later rules of browsers in RFC 6265bis).
//!
//! Other servers and scripts set cookies too, some of them malformed. A malformed cookie is
//! skipped, so that it doesn't hide the others. Writing is strict: a cookie that would
//! break the field, or that browsers ignore, is an error.

use std::fmt::Write;

use super::Fields;
use super::date;
use super::grammar::{is_token, trim_ows};

/// Name and value of every cookie of all Cookie lines, in order.
///
/// White space around both, and double quotes around the value, are removed. A cookie without
/// `=` or without a name is skipped. Nothing is decoded. A name may occur twice; the first one
/// counts, because it has the longest path (RFC 6265 §5.4).
pub fn pairs<'a>(fields: &Fields<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
    fields.all("cookie").flat_map(|line| line.split(|&byte| byte == b';')).filter_map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (trim_ows(&pair[..equals]), trim_ows(&pair[equals + 1..]));
        let value = match value {
            [b'"', inner @ .., b'"'] => inner,
            _ => value,
        };
        (!name.is_empty()).then_some((name, value))
    })
}

/// The values of the cookies named `name` (case-sensitive), in order.
pub fn values<'a, 'n>(fields: &Fields<'a>, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
    pairs(fields).filter(move |&(found, _)| found == name.as_bytes()).map(|(_, value)| value)
}

/// The value of the first cookie named `name`.
pub fn value<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a [u8]> {
    values(fields, name).next()
}

/// Browsers accept a cookie with this prefix only over TLS, for one host and all its paths. So
/// neither a neighbouring host nor an attacker on the network can set it.
pub const HOST: &str = "__Host-";

/// Longest name and value together that browsers store (RFC 6265bis §5.7).
pub const PAIR: usize = 4_096;
/// Longest value of an attribute that browsers store.
const ATTRIBUTE: usize = 1_024;

/// Whether browsers send a cookie with requests that another site causes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SameSite {
    /// Never.
    Strict,
    /// Only with a top-level navigation by a safe method, such as a link.
    Lax,
    /// Always.
    None,
}

impl SameSite {
    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

/// A cookie to be set; [`line`](Self::line) checks it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct SetCookie {
    pub name: String,
    pub value: String,
    /// In Unix seconds.
    pub expires: Option<i64>,
    /// In seconds from now; zero or less deletes the cookie.
    pub max_age: Option<i64>,
    pub domain: Option<String>,
    pub path: Option<String>,
    pub secure: bool,
    pub http_only: bool,
    pub same_site: Option<SameSite>,
}

impl SetCookie {
    /// The value of the Set-Cookie field.
    ///
    /// # Errors
    /// If the cookie would break the field, or browsers would ignore it: the reason, as a
    /// sentence without its full stop.
    pub fn line(&self) -> Result<String, &'static str> {
        self.check()?;
        let mut line = format!("{}={}", self.name, self.value);
        // Writing to a String can't fail.
        if let Some(seconds) = self.max_age {
            let _ = write!(line, "; Max-Age={seconds}");
        }
        if let Some(moment) = self.expires {
            let mut text = [0; date::LENGTH];
            date::write(moment, &mut text);
            let _ = write!(line, "; Expires={}", text.escape_ascii());
        }
        if let Some(domain) = &self.domain {
            let _ = write!(line, "; Domain={domain}");
        }
        for (is_set, name) in [(self.secure, "; Secure"), (self.http_only, "; HttpOnly")] {
            line += if is_set { name } else { "" };
        }
        if let Some(same_site) = self.same_site {
            let _ = write!(line, "; SameSite={}", same_site.as_str());
        }
        if let Some(path) = &self.path {
            let _ = write!(line, "; Path={path}");
        }
        Ok(line)
    }

    fn check(&self) -> Result<(), &'static str> {
        let begins = |prefix: &str| self.name.get(..prefix.len()).is_some_and(|s| s.eq_ignore_ascii_case(prefix));
        let host_bound = begins(HOST);
        if !is_token(self.name.as_bytes()) {
            return Err("a cookie name contains only letters, digits and a few signs");
        }
        if !self.value.bytes().all(is_cookie_byte) {
            return Err("a cookie value contains no space, comma, semicolon, quote, backslash or non-ASCII character");
        }
        if self.name.len() + self.value.len() > PAIR {
            return Err("name and value of a cookie have 4,096 bytes at most");
        }
        if let Some(domain) = &self.domain
            && !(domain.len() <= ATTRIBUTE && is_domain(domain.as_bytes()))
        {
            return Err("the domain of a cookie is a name like example.org");
        }
        if let Some(path) = &self.path
            && !(path.len() <= ATTRIBUTE && path.starts_with('/') && path.bytes().all(is_path_byte))
        {
            return Err("the path of a cookie begins with a slash and contains no semicolon or non-ASCII character");
        }
        if self.same_site == Some(SameSite::None) && !self.secure {
            return Err("a cookie with SameSite=None must be Secure");
        }
        if (host_bound || begins("__Secure-")) && !self.secure {
            return Err("a cookie of this name must be Secure");
        }
        if host_bound && !(self.domain.is_none() && self.path.as_deref() == Some("/")) {
            return Err("a cookie of this name has Path=/ and no Domain");
        }
        Ok(())
    }
}

/// `cookie-octet` (RFC 6265 §4.1.1).
const fn is_cookie_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

/// `path-value` (RFC 6265 §4.1.1).
const fn is_path_byte(byte: u8) -> bool {
    (byte == b' ' || byte.is_ascii_graphic()) && byte != b';'
}

fn is_domain(name: &[u8]) -> bool {
    let label = |label: &[u8]| {
        !label.is_empty()
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            && label[0] != b'-'
            && label[label.len() - 1] != b'-'
    };
    name.split(|&byte| byte == b'.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;
    use proptest::prelude::*;

    #[test]
    fn cookies_are_parsed_and_malformed_ones_are_skipped() {
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
            let lines = FieldLines::of(values.iter().map(|value| ("Cookie", *value)));
            assert_eq!(pairs(&lines.fields()).collect::<Vec<_>>(), *expected, "{values:?}");
        }
        let lines = FieldLines::of([("cookie", &b"A=1; a=2; a=3"[..])]);
        assert_eq!(value(&lines.fields(), "a"), Some(&b"2"[..]));
        assert_eq!(value(&lines.fields(), "b"), None);
    }

    /// A cookie with any value.
    fn named(name: &str, value: &str) -> SetCookie {
        SetCookie { name: name.to_owned(), value: value.to_owned(), ..SetCookie::default() }
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn all_attributes_are_written() {
        assert_eq!(named("a", "").line().as_deref(), Ok("a="));
        let all = SetCookie {
            expires: Some(784_111_777),
            max_age: Some(-1),
            domain: some("example.org"),
            path: some("/a b"),
            secure: true,
            http_only: true,
            same_site: Some(SameSite::None),
            ..named("__Secure-a", "b=c")
        };
        assert_eq!(
            all.line().as_deref(),
            Ok("__Secure-a=b=c; Max-Age=-1; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Domain=example.org; \
                Secure; HttpOnly; SameSite=None; Path=/a b")
        );
        let host = SetCookie { secure: true, path: some("/"), ..named("__Host-a", "b") };
        assert_eq!(host.line().as_deref(), Ok("__Host-a=b; Secure; Path=/"));
    }

    #[test]
    fn a_cookie_that_breaks_the_field_or_is_ignored_is_an_error() {
        for name in ["", "a b", "a=b", "a;b", "a\r\nX: y", "\u{e4}", "a\"", "a,"] {
            assert!(named(name, "").line().is_err(), "{name:?}");
        }
        for value in ["a b", "a;b", "a,b", "\"a\"", "a\\b", "a\r\nX: y", "\u{e4}", "\0", "\x7f", "\t"] {
            assert!(named("a", value).line().is_err(), "{value:?}");
        }
        assert!(named("a", &"b".repeat(PAIR - 1)).line().is_ok());
        assert!(named("a", &"b".repeat(PAIR)).line().is_err());
        for domain in ["", ".", ".a", "a.", "a..b", "a b", "a;b", "-a", "a-", "a_b", "\u{e4}.de", &"a".repeat(1_025)] {
            assert!(SetCookie { domain: some(domain), ..named("a", "b") }.line().is_err(), "{domain:?}");
        }
        for path in ["", "a", "/a;b", "/a\r\nX: y", "/\u{e4}", &format!("/{}", "a".repeat(1_024))] {
            assert!(SetCookie { path: some(path), ..named("a", "b") }.line().is_err(), "{path:?}");
        }
        let insecure = SetCookie { same_site: Some(SameSite::None), ..named("a", "b") };
        assert!(insecure.line().is_err());
        for name in ["__Secure-a", "__host-a", "__HOST-a"] {
            assert!(SetCookie { path: some("/"), ..named(name, "b") }.line().is_err(), "{name} without Secure");
        }
        for host in [
            SetCookie { secure: true, ..named("__Host-a", "b") },
            SetCookie { secure: true, path: some("/a"), ..named("__Host-a", "b") },
            SetCookie { secure: true, path: some("/"), domain: some("a.b"), ..named("__Host-a", "b") },
        ] {
            assert!(host.line().is_err(), "{host:?}");
        }
    }

    /// What the crate `cookie` parses from a Cookie line, for comparison.
    fn second_opinion(line: &str) -> Vec<(String, String)> {
        let read = cookie::Cookie::split_parse(line.to_owned()).filter_map(Result::ok);
        read.map(|cookie| (cookie.name().to_owned(), cookie.value_trimmed().to_owned())).collect()
    }

    fn ours(line: &str) -> Vec<(String, String)> {
        let lines = FieldLines::of([("Cookie", line.as_bytes())]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        pairs(&lines.fields()).map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn known_differences_to_the_crate_cookie() {
        // White space in HTTP is space and tab; the crate removes all Unicode white space.
        assert_eq!(ours("a=\u{a0}b"), [("a".to_owned(), "\u{a0}b".to_owned())]);
        assert_eq!(second_opinion("a=\u{a0}b"), [("a".to_owned(), "b".to_owned())]);
        // A cookie need not be UTF-8: `pairs` returns bytes, the crate takes text only.
    }

    prop_compose! {
        fn any_cookie()(
            (name, value) in ("[!-~]{0,6}", "[ -~]{0,6}"),
            expires in proptest::option::of(0..253_402_300_799_i64),
            max_age in proptest::option::of(0..10_000_000_000_i64),
            domain in proptest::option::of("[a-z.;-]{0,8}"),
            path in proptest::option::of("/?[ -~]{0,6}"),
            (secure, http_only) in (any::<bool>(), any::<bool>()),
            same_site in proptest::option::of(prop_oneof![
                Just(SameSite::Strict), Just(SameSite::Lax), Just(SameSite::None)
            ]),
        ) -> SetCookie {
            SetCookie { name, value, expires, max_age, domain, path, secure, http_only, same_site }
        }
    }

    proptest! {
        #[test]
        fn parsing_agrees_with_the_crate_cookie(line in "[ -~\\t]{0,40}|([ab]=[ -~]{0,4}; ?){0,4}") {
            prop_assert_eq!(ours(&line), second_opinion(&line));
        }

        #[test]
        fn the_crate_cookie_parses_what_is_written(set in any_cookie()) {
            let Ok(line) = set.line() else { return Ok(()) };
            let read = cookie::Cookie::parse(line.clone()).unwrap();
            prop_assert_eq!((read.name(), read.value()), (&*set.name, &*set.value));
            prop_assert_eq!(read.max_age().map(|span| span.whole_seconds()), set.max_age);
            let expires = read.expires().and_then(|expires| expires.datetime());
            prop_assert_eq!(expires.map(|moment| moment.unix_timestamp()), set.expires);
            prop_assert_eq!(read.domain(), set.domain.as_deref());
            prop_assert_eq!(read.path(), set.path.as_deref().map(str::trim), "{}", line);
            prop_assert_eq!(read.secure().unwrap_or(false), set.secure);
            prop_assert_eq!(read.http_only().unwrap_or(false), set.http_only);
            let same_site = read.same_site().map(|same_site| same_site.to_string());
            prop_assert_eq!(same_site.as_deref(), set.same_site.map(SameSite::as_str));
        }

        #[test]
        fn round_trips(cookies in proptest::collection::vec(("[!-:<>-~]{1,8}", "[!#-:<-~]{0,8}"), 0..5)) {
            let field: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let field = field.join("; ");
            let lines = FieldLines::of([("Cookie", field.as_bytes())]);
            let found: Vec<_> = pairs(&lines.fields()).collect();
            let expected: Vec<_> = cookies.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
