//! Which site caused a request: Origin (RFC 6454 §7) and Sec-Fetch-Site (Fetch Metadata).
//!
//! A page of any site can make a browser send a form to this server, together with the
//! user's cookies (cross-site request forgery). Browsers tell which site it was. A client
//! that sends neither field is no browser, and has no user's cookies to misuse.
//!
//! An origin includes the scheme. This server's is `http`, or `https` if the client uses TLS
//! with a proxy before it. A page on the same host with the other scheme has another origin,
//! because an attacker on the network can forge pages over `http`.
//!
//! A page with `Referrer-Policy: no-referrer` sends `Origin: null`, and so do a sandboxed frame
//! and a redirect from another site. Sec-Fetch-Site tells these apart, and no script can set
//! it. So `null` counts as ours if Sec-Fetch-Site is `same-origin`, and else never.

use std::net::IpAddr;

use super::Fields;
use super::head::RequestHead;
use super::target;
use super::uri::split_host_port;

/// Whether a page of another origin caused the request, according to the browser. This server's
/// origin has the scheme `https` if `secure`, else `http`. Without either field: no.
pub fn is_cross_origin(head: &RequestHead<'_>, secure: bool) -> bool {
    let fields = &head.fields;
    let null_is_ours = fields.get("sec-fetch-site") == Some(b"same-origin");
    let is_ours = |origin: &[u8]| is_ours(origin, head, secure) || (null_is_ours && origin == b"null");
    fetch_site_is_cross_origin(fields) || fields.all("origin").any(|origin| !is_ours(origin))
}

/// Whether Sec-Fetch-Site says that another origin caused the request. `none` means that the
/// user did, by typing the address. `same-site` is another origin too: another port or a
/// sibling host.
fn fetch_site_is_cross_origin(fields: &Fields<'_>) -> bool {
    fields.all("sec-fetch-site").any(|site| !matches!(site, b"same-origin" | b"none"))
}

/// Whether `origin` is the one that the request is for.
fn is_ours(origin: &[u8], head: &RequestHead<'_>, secure: bool) -> bool {
    let (scheme, port): (&[u8], &[u8]) = if secure { (b"https://", b":443") } else { (b"http://", b":80") };
    let Some(place) = origin.strip_prefix(scheme) else { return false };
    head.host().is_some_and(|host| bare(host, port).eq_ignore_ascii_case(bare(place, port)))
        && target::valid_host(place)
}

/// The origin of the host that a request names, with the scheme `https` if `secure`, else `http`,
/// and this port. None if the request names no host.
pub fn at(head: &RequestHead<'_>, secure: bool, port: u16) -> Option<String> {
    let (host, _) = split_host_port(std::str::from_utf8(head.host()?).ok()?);
    if host.is_empty() {
        return None;
    }
    let (scheme, default_port) = if secure { ("https", 443) } else { ("http", 80) };
    let brackets = if host.contains(':') { ("[", "]") } else { ("", "") };
    let port = if port == default_port { String::new() } else { format!(":{port}") };
    Some(format!("{scheme}://{}{host}{}{port}", brackets.0, brackets.1))
}

/// Whether a host with its port, as in the Host field, is `localhost` or an IP address that
/// `accepts`. Such a name can't be made to mean another machine (DNS rebinding).
pub fn is_local_name(host: &[u8], accepts: fn(&IpAddr) -> bool) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let (name, _) = split_host_port(host);
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address| accepts(&address))
}

fn bare<'a>(place: &'a [u8], default_port: &[u8]) -> &'a [u8] {
    place.strip_suffix(default_port).or_else(|| place.strip_suffix(b":")).unwrap_or(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;
    use crate::http::head::parse;

    #[test]
    fn the_same_host_has_an_origin_at_each_port() {
        for (host, secure, port, origin) in [
            ("a.example:8080", true, 8443, Some("https://a.example:8443")),
            ("a", true, 443, Some("https://a")),
            ("a", true, 80, Some("https://a:80")),
            ("a:1", false, 80, Some("http://a")),
            ("a", false, 443, Some("http://a:443")),
            ("[::1]:8080", true, 1, Some("https://[::1]:1")),
            ("[::1]", false, 80, Some("http://[::1]")),
        ] {
            let bytes = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes();
            let mut lines = FieldLines::default();
            let head = parse(&bytes, &mut lines).unwrap().unwrap();
            assert_eq!(at(&head, secure, port).as_deref(), origin, "{host} {secure} {port}");
        }
        let mut lines = FieldLines::default();
        assert_eq!(at(&parse(b"GET / HTTP/1.0\r\n\r\n", &mut lines).unwrap().unwrap(), false, 80), None);
    }

    fn foreign(head: &str) -> bool {
        is_cross_origin_to(head, false)
    }

    fn is_cross_origin_to(head: &str, secure: bool) -> bool {
        let bytes = format!("{head}\r\n\r\n").into_bytes();
        let mut lines = FieldLines::default();
        is_cross_origin(&parse(&bytes, &mut lines).unwrap().unwrap(), secure)
    }

    #[test]
    fn a_request_of_another_origin_is_recognised() {
        for (host, lines, expected) in [
            ("a", "X: y", false),
            ("a", "Origin: http://a", false),
            ("a", "Origin: http://a:80", false),
            ("a:80", "Origin: http://a", false),
            ("A", "Origin: http://a", false),
            ("a:8080", "Origin: http://a:8080", false),
            ("[::1]:8080", "Origin: http://[::1]:8080", false),
            ("a", "Sec-Fetch-Site: same-origin", false),
            ("a", "Sec-Fetch-Site: none", false),
            ("a", "Sec-Fetch-Site: same-origin\r\nOrigin: http://a", false),
            ("a", "Sec-Fetch-Site: same-origin\r\nOrigin: null", false),
            ("a", "Sec-Fetch-Site: none\r\nOrigin: null", true),
            ("a", "Sec-Fetch-Site: cross-site\r\nOrigin: null", true),
            ("a", "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\nOrigin: null", true),
            ("a", "Origin: http://b", true),
            ("a", "Origin: http://a.b", true),
            ("a", "Origin: http://a:8080", true),
            ("a:8080", "Origin: http://a", true),
            ("a:8080", "Origin: http://a:80", true),
            ("a:180", "Origin: http://a:1", true),
            ("a", "Origin: https://a", true),
            ("a", "Origin: null", true),
            ("a", "Origin: a", true),
            ("a", "Origin:", true),
            ("a", "Origin: http://", true),
            ("a", "Origin: http://a http://a", true),
            ("a", "Origin: http://a/", true),
            ("a", "Origin: http://a\r\nOrigin: http://b", true),
            ("a", "Sec-Fetch-Site: cross-site", true),
            ("a", "Sec-Fetch-Site: same-site", true),
            ("a", "Sec-Fetch-Site: same-origin, none", true),
            ("a", "Sec-Fetch-Site: cross-site\r\nOrigin: http://a", true),
            ("a", "Sec-Fetch-Site: same-origin\r\nOrigin: http://b", true),
        ] {
            assert_eq!(foreign(&format!("POST / HTTP/1.1\r\nHost: {host}\r\n{lines}")), expected, "{host} {lines:?}");
        }
        for (host, lines, expected) in [
            ("a", "X: y", false),
            ("a", "Origin: https://a", false),
            ("a", "Origin: https://a:443", false),
            ("a:443", "Origin: https://A", false),
            ("a:8443", "Origin: https://a:8443", false),
            ("a", "Origin: http://a", true),
            ("a", "Origin: https://a:80", true),
            ("a:80", "Origin: https://a", true),
            ("a", "Origin: https://b", true),
            ("a", "Origin: https://a\r\nSec-Fetch-Site: cross-site", true),
        ] {
            let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\n{lines}");
            assert_eq!(is_cross_origin_to(&head, true), expected, "{host} {lines:?}");
        }
        assert!(foreign("POST / HTTP/1.0\r\nOrigin: http://a"), "without Host the server's origin is unknown");
        assert!(!foreign("POST http://a/ HTTP/1.1\r\nHost: b\r\nOrigin: http://a"));
        assert!(foreign("POST http://a/ HTTP/1.1\r\nHost: b\r\nOrigin: http://b"));
    }
}
