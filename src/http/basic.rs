//! The Basic authentication scheme (RFC 7617): what a client says of itself in
//! Authorization, and the challenge that asks it to.
//!
//! Strict, since nobody who means well needs leniency here: one field line, the
//! canonical base64 with its padding, UTF-8 (which the challenge asks for), no
//! control characters.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Fields, target};

/// A name and a password, as a client claims them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name; holds no colon. May be empty.
    pub name: String,
    /// The password. May be empty.
    pub password: String,
}

/// The credentials of the Basic scheme in a request; none if there are none, or
/// they are malformed, or of another scheme.
pub fn credentials(fields: &Fields<'_>) -> Option<Credentials> {
    let mut lines = fields.all("authorization");
    let value = lines.next().filter(|_| lines.next().is_none())?;
    let (scheme, rest) = value.split_at_checked(b"Basic".len())?;
    let token = rest.trim_ascii_start();
    if !scheme.eq_ignore_ascii_case(b"Basic") || token.len() == rest.len() {
        return None;
    }
    let mut name = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
    let colon = name.find(':')?;
    let password = name.split_off(colon + 1);
    name.pop();
    let printable = |text: &str| !text.contains(|c: char| c.is_control());
    (printable(&name) && printable(&password)).then_some(Credentials { name, password })
}

/// The value of WWW-Authenticate for the realm of the paths below `prefix`, which
/// is decoded and has no slash at its end.
pub fn challenge(prefix: &[u8]) -> Vec<u8> {
    let mut value = b"Basic realm=\"".to_vec();
    // Encoded, it holds nothing that a quoted string can't.
    target::encode_path(prefix, &mut value);
    value.extend_from_slice(b"/\", charset=\"UTF-8\"");
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Lines;

    fn read(values: &[&[u8]]) -> Option<(String, String)> {
        let lines = Lines::of(values.iter().map(|value| ("authorization", *value)));
        credentials(&lines.fields()).map(|found| (found.name, found.password))
    }

    #[test]
    fn what_a_client_claims() {
        for (value, name, password) in [
            // RFC 7617 §2 and §2.1.
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"),
            ("Basic dGVzdDoxMjPCow==", "test", "123\u{a3}"),
            ("bAsIc  Og==", "", ""),
            ("Basic YTpiOmM=", "a", "b:c"),
        ] {
            assert_eq!(read(&[value.as_bytes()]), Some((name.to_owned(), password.to_owned())), "{value}");
        }
    }

    #[test]
    fn everything_else_is_nothing() {
        for value in [
            &b""[..],
            b"Basic",
            b"Basic ",
            b"BasicYTpi",
            b"Bearer YTpi",
            b"Basic YTpi YTpi",
            b"Basic YTpi,",
            b"Basic YTpi=",
            // Without its padding, with bits behind the end, in the alphabet of URLs.
            b"Basic dGVzdDoxMjPCow",
            b"Basic dGVzdDoxMjPCox==",
            b"Basic Oj_-",
            // No colon; not UTF-8; a line feed, a NUL, U+0085.
            b"Basic YWI=",
            b"Basic YTr/",
            b"Basic YTpiCg==",
            b"Basic AGE6Yg==",
            b"Basic YTrChQ==",
            b"Basic \xff",
        ] {
            assert_eq!(read(&[value]), None, "{}", value.escape_ascii());
        }
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[b"Basic YTpi", b"Basic YTpi"]), None);
    }

    #[test]
    fn a_challenge_is_one_quoted_string_whatever_the_prefix() {
        let text = |prefix: &str| String::from_utf8(challenge(prefix.as_bytes())).unwrap();
        assert_eq!(text("/private"), "Basic realm=\"/private/\", charset=\"UTF-8\"");
        assert_eq!(text(""), "Basic realm=\"/\", charset=\"UTF-8\"");
        assert_eq!(text("/a\"b\u{e4}"), "Basic realm=\"/a%22b%C3%A4/\", charset=\"UTF-8\"");
    }
}
