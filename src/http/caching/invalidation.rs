//! What is stored for a URI is out of date after a request that may have changed the resource
//! (RFC 9111 §4.4).
//!
//! An unknown method may be one that changes something. Location and Content-Location count only
//! within the origin of the request: else one site could empty the cache of another.

use crate::http::Status;
use crate::http::head::Method;
use crate::http::uri::HttpUrl;

/// Whether a request with this method and the status of its response invalidate what is stored
/// for the URI of the request, in all variants.
pub fn invalidates(method: Method, status: Status) -> bool {
    let is_safe = matches!(method, Method::Get | Method::Head | Method::Options | Method::Trace);
    !is_safe && (200..400).contains(&status.0)
}

/// The other URIs for which such a response invalidates what is stored: those of the values of Location and
/// Content-Location that have the origin of `target`, the URI of the request.
pub fn further_targets<L: AsRef<[u8]>>(
    target: &HttpUrl,
    locations: impl Iterator<Item = L>,
) -> impl Iterator<Item = HttpUrl> {
    let urls = locations.filter_map(|value| target.join(std::str::from_utf8(value.as_ref()).ok()?).ok());
    urls.filter(move |url| url.same_origin(target) && url != target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_successful_unsafe_requests_invalidate() {
        for (method, status, expected) in [
            (Method::Post, 200, true),
            (Method::Put, 201, true),
            (Method::Delete, 204, true),
            (Method::Patch, 303, true),
            (Method::Unknown, 200, true),
            (Method::Post, 100, false),
            (Method::Post, 400, false),
            (Method::Delete, 404, false),
            (Method::Put, 500, false),
            (Method::Get, 200, false),
            (Method::Head, 200, false),
            (Method::Options, 200, false),
            (Method::Trace, 200, false),
        ] {
            assert_eq!(invalidates(method, Status(status)), expected, "{method:?} {status}");
        }
    }

    #[test]
    fn other_uris_must_have_the_same_origin() {
        let target = HttpUrl::parse("http://a.example/dir/page").unwrap();
        for (location, expected) in [
            ("other", Some("http://a.example/dir/other")),
            ("/x?y#z", Some("http://a.example/x?y")),
            ("http://A.example:80/x", Some("http://a.example/x")),
            ("//a.example/x", Some("http://a.example/x")),
            ("https://a.example/x", None),
            ("http://a.example:81/x", None),
            ("http://b.example/x", None),
            ("http://a.example@b.example/x", None),
            ("//b.example/x", None),
            ("page", None),
            ("", None),
            ("mailto:x", None),
            ("\u{fc}", Some("http://a.example/dir/%C3%BC")),
        ] {
            let found = further_targets(&target, [location].into_iter()).next();
            let found = found.map(|url| url.to_string().to_ascii_lowercase());
            assert_eq!(found, expected.map(str::to_ascii_lowercase), "{location}");
        }
        let locations = [&b"/a"[..], b"\xff", b"/b"];
        let targets: Vec<_> = further_targets(&target, locations.into_iter()).map(|url| url.target).collect();
        assert_eq!(targets, ["/a", "/b"]);
    }
}
