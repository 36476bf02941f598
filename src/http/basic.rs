//! The Basic authentication scheme (RFC 7617): the credentials in the Authorization or the
//! Proxy-Authorization field of a request, and the challenge of a response.
//!
//! The parser is strict, because honest clients need no leniency here: one field line,
//! canonical base64 with padding, UTF-8 (which the challenge asks for), no control
//! characters.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Fields, Status, target};

/// A name and a password that a client sent.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub struct Credentials {
    /// The user's name; it contains no colon. May be empty.
    pub name: String,
    /// The password. May be empty.
    pub password: String,
}

/// Who asks for credentials: the server that has the resource, or the proxy on the way to it (RFC 9110
/// §11.6, §11.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asker {
    /// The server.
    Origin,
    /// The proxy.
    Proxy,
}

impl Asker {
    /// The status of a response that asks for credentials.
    pub fn status(self) -> Status {
        match self {
            Self::Origin => Status::UNAUTHORIZED,
            Self::Proxy => Status::PROXY_AUTHENTICATION_REQUIRED,
        }
    }

    /// The name of the field with the challenge.
    pub fn challenge_field(self) -> &'static str {
        match self {
            Self::Origin => "WWW-Authenticate",
            Self::Proxy => "Proxy-Authenticate",
        }
    }

    fn credentials_field(self) -> &'static str {
        match self {
            Self::Origin => "authorization",
            Self::Proxy => "proxy-authorization",
        }
    }
}

/// The Basic credentials of a request for `asker`; none if they are missing, malformed, or of another
/// scheme.
pub fn credentials(fields: &Fields<'_>, asker: Asker) -> Option<Credentials> {
    let mut lines = fields.all(asker.credentials_field());
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

/// The value of WWW-Authenticate for the realm of the paths below `prefix`, which is decoded
/// and has no slash at its end.
pub fn challenge(prefix: &[u8]) -> Vec<u8> {
    let mut value = b"Basic realm=\"".to_vec();
    // Percent-encoded, it contains nothing that is special in a quoted string.
    target::encode_path(prefix, &mut value);
    value.extend_from_slice(b"/\", charset=\"UTF-8\"");
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;

    fn read(values: &[&[u8]]) -> Option<(String, String)> {
        let lines = FieldLines::of(values.iter().map(|value| ("authorization", *value)));
        assert_eq!(credentials(&lines.fields(), Asker::Proxy), None, "it is for the server");
        credentials(&lines.fields(), Asker::Origin).map(|found| (found.name, found.password))
    }

    #[test]
    fn credentials_are_parsed() {
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
    fn malformed_credentials_are_ignored() {
        for value in [
            &b""[..],
            b"Basic",
            b"Basic ",
            b"BasicYTpi",
            b"Bearer YTpi",
            b"Basic YTpi YTpi",
            b"Basic YTpi,",
            b"Basic YTpi=",
            // Without padding, with bits after the end, in the URL-safe alphabet.
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
    fn a_challenge_is_one_quoted_string_for_every_prefix() {
        let text = |prefix: &str| String::from_utf8(challenge(prefix.as_bytes())).unwrap();
        assert_eq!(text("/private"), "Basic realm=\"/private/\", charset=\"UTF-8\"");
        assert_eq!(text(""), "Basic realm=\"/\", charset=\"UTF-8\"");
        assert_eq!(text("/a\"b\u{e4}"), "Basic realm=\"/a%22b%C3%A4/\", charset=\"UTF-8\"");
    }
}
