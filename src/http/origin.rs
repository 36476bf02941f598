//! Where a request was caused: Origin (RFC 6454 §7) and Sec-Fetch-Site (Fetch
//! Metadata).
//!
//! A page of any site can make a browser send a form here, with the visitor's
//! cookies (cross-site request forgery). Browsers say which site it was; who says
//! nothing is no browser, and has no visitor's cookies to misuse.

use super::head::RequestHead;
use super::target;

/// Whether a browser says that a page of another origin than ours, spoken to
/// over `http`, caused the request. Without a word about it: no.
pub fn is_foreign(head: &RequestHead<'_>) -> bool {
    let fields = &head.fields;
    // `same-site` is another origin all the same: another port, or a neighbour's name.
    fields.all("sec-fetch-site").any(|site| !matches!(site, b"same-origin" | b"none"))
        || fields.all("origin").any(|origin| !is_ours(origin, head))
}

/// Whether an origin is the one that the request is for. `null` is nobody's.
fn is_ours(origin: &[u8], head: &RequestHead<'_>) -> bool {
    let Some(place) = origin.strip_prefix(b"http://") else { return false };
    let host = head.target.authority.or_else(|| head.fields.get("host"));
    host.is_some_and(|host| without_default_port(host).eq_ignore_ascii_case(without_default_port(place)))
        && target::valid_host(place)
}

fn without_default_port(place: &[u8]) -> &[u8] {
    place.strip_suffix(b":80").or_else(|| place.strip_suffix(b":")).unwrap_or(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{Lines, parse};

    fn foreign(head: &str) -> bool {
        let mut octets = format!("{head}\r\n\r\n").into_bytes();
        let mut lines = Lines::default();
        is_foreign(&parse(&mut octets, &mut lines).unwrap().unwrap())
    }

    #[test]
    fn who_caused_it() {
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
        assert!(foreign("POST / HTTP/1.0\r\nOrigin: http://a"), "nobody knows where it is for");
        assert!(!foreign("POST http://a/ HTTP/1.1\r\nHost: b\r\nOrigin: http://a"));
        assert!(foreign("POST http://a/ HTTP/1.1\r\nHost: b\r\nOrigin: http://b"));
    }
}
