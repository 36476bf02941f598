//! Access to the service: for clients that know the token, if there is one, and for no web
//! page.
//!
//! A page on any site can have a browser send requests to this service. It can't send a body
//! with the types of values: that needs a preflight request (CORS), which the service
//! refuses. But it can send GET requests; so a request that another site caused is refused.
//! With DNS rebinding, a name of the attacker points to this service, and its pages count as
//! the same site. So on loopback, which every local browser can reach, the Host must be a
//! local name, unless there is a token.

use std::hint::black_box;
use std::net::SocketAddr;

use super::refuse;
use crate::app::Response;
use crate::http::head::RequestHead;
use crate::http::{Status, origin};

/// Whether a request to the address `local` may use the service.
pub(super) fn check(head: &RequestHead<'_>, local: Option<SocketAddr>, token: Option<&str>) -> Result<(), Response> {
    let host = head.host().unwrap_or_default();
    if origin::is_cross_origin(head, false) {
        return Err(refuse(Status::FORBIDDEN, "requests of other sites are not served"));
    }
    if head.fields.all("authorization").count() > 1 {
        // RFC 9110 §5.3: only a list may have several lines.
        return Err(refuse(Status::BAD_REQUEST, "there is more than one Authorization"));
    }
    match token {
        Some(token) if !bears(head, token) => {
            Err(refuse(Status::UNAUTHORIZED, "give the token: Authorization: Bearer TOKEN")
                .field("WWW-Authenticate", "Bearer realm=\"kv\""))
        }
        None if local.is_some_and(|local| local.ip().is_loopback()) && !origin::is_local_name(host, |_| true) => {
            Err(refuse(Status::FORBIDDEN, "on loopback the Host is an address or localhost"))
        }
        _ => Ok(()),
    }
}

/// Whether the request has the token (RFC 6750 §2.1). The time of the comparison depends on
/// the length of the token only.
fn bears(head: &RequestHead<'_>, token: &str) -> bool {
    let Some((scheme, given)) = head.fields.get("authorization").and_then(|value| value.split_at_checked(7)) else {
        return false;
    };
    let given = given.trim_ascii_start();
    let same = given.len() == token.len()
        && given.iter().zip(token.as_bytes()).fold(0, |differ, (a, b)| black_box(differ | (a ^ b))) == 0;
    scheme.eq_ignore_ascii_case(b"bearer ") && same
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;
    use crate::http::head::parse;

    fn status(lines: &str, token: Option<&str>) -> u16 {
        let bytes = format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n").into_bytes();
        let mut room = FieldLines::default();
        let head = parse(&bytes, &mut room).unwrap().unwrap();
        check(&head, Some(([127, 0, 0, 1], 5100).into()), token).err().map_or(200, |response| response.status.0)
    }

    #[test]
    fn web_pages_have_no_access() {
        for (lines, expected) in [
            ("Host: 127.0.0.1:5100", 200),
            ("Host: localhost:5100", 200),
            ("Host: [::1]:5100", 200),
            ("Host: LOCALHOST", 200),
            ("Host: 127.0.0.1:5100\r\nOrigin: http://127.0.0.1:5100", 200),
            ("Host: 127.0.0.1:5100\r\nSec-Fetch-Site: none", 200),
            ("Host: 127.0.0.1:5100\r\nSec-Fetch-Site: same-origin", 200),
            ("Host: 127.0.0.1:5100\r\nOrigin: http://127.0.0.1:8080", 403),
            ("Host: 127.0.0.1:5100\r\nOrigin: https://127.0.0.1:5100", 403),
            ("Host: 127.0.0.1:5100\r\nOrigin: null", 403),
            ("Host: 127.0.0.1:5100\r\nOrigin: null\r\nSec-Fetch-Site: same-origin", 200),
            ("Host: 127.0.0.1:5100\r\nOrigin: http://127.0.0.1:5100\r\nOrigin: http://evil", 403),
            ("Host: 127.0.0.1:5100\r\nSec-Fetch-Site: cross-site", 403),
            ("Host: 127.0.0.1:5100\r\nSec-Fetch-Site: same-site", 403),
            ("Host: evil.example:5100\r\nOrigin: http://evil.example:5100", 403),
            ("Host: evil.example:5100\r\nSec-Fetch-Site: same-origin", 403),
            ("Host: localhost.evil.example", 403),
            ("Host: 127.0.0.1.evil.example", 403),
        ] {
            assert_eq!(status(lines, None), expected, "{lines}");
        }
        // The absolute form's authority is the host.
        assert_eq!(status("Host: evil.example\r\nAuthorization: Bearer t", Some("t")), 200);
    }

    #[test]
    fn only_the_token_gives_access() {
        let with = |value: &str| status(&format!("Host: localhost\r\nAuthorization: {value}"), Some("s3cret"));
        assert_eq!((with("Bearer s3cret"), with("bearer   s3cret")), (200, 200));
        for wrong in
            ["Bearer s3cre", "Bearer s3creT", "Bearer s3crett", "Bearer", "Bearer ", "Basic s3cret", "s3cret", ""]
        {
            assert_eq!(with(wrong), 401, "{wrong}");
        }
        assert_eq!(status("Host: localhost", Some("s3cret")), 401);
        let twice = "Host: localhost\r\nAuthorization: Bearer s3cret\r\nAuthorization: Bearer x";
        assert_eq!((status(twice, Some("s3cret")), status(twice, None)), (400, 400));
        // Another site has no access, even with the token.
        assert_eq!(status("Host: a\r\nOrigin: http://b\r\nAuthorization: Bearer s3cret", Some("s3cret")), 403);
    }
}
