//! Where a client finds what an upstream names in Location (RFC 9110 §10.2.2) and Content-Location (§8.7).
//!
//! An upstream that doesn't know what stands before it writes URLs to which its clients have no way.
//! Each form has its own map from the upstream's URLs to paths of this server:
//!
//! | Form | `http://UPSTREAM/x` | `http://OTHER/x` | `/x` | `x` |
//! |---|---|---|---|---|
//! | gateway | `/x`, below the prefix that was taken off | unchanged | unchanged | unchanged |
//! | textbook | `/http://UPSTREAM/x` | `/http://OTHER/x` | `/UPSTREAM/x` | unchanged |
//!
//! If a gateway keeps the client's Host, the upstream writes URLs with that host, but with the scheme, or
//! even the port, of its own connection. These become paths, too. The prefix isn't put before them, as
//! it isn't put before `/x`: an upstream that knows the client's host may know the prefix as well.

use super::Server;
use crate::http::target::{encode_path, valid_host};
use crate::http::uri::after_scheme;

/// How a gateway has passed a request on.
#[derive(Clone, Copy, Debug)]
pub struct PassedOn<'a> {
    /// What was taken off its path, decoded.
    pub prefix: &'a [u8],
    /// Its Host, if the upstream got that one.
    pub host: Option<&'a [u8]>,
    /// The client used TLS.
    pub is_secure: bool,
}

/// The path of a gateway for a Location of one of its upstreams; none if it passes unchanged.
pub fn gateway_location<'s>(
    location: &[u8],
    upstreams: impl IntoIterator<Item = &'s Server>,
    passed: PassedOn<'_>,
) -> Option<Vec<u8>> {
    upstreams.into_iter().find_map(|upstream| {
        let (named, rest) = split(location, upstream.is_https)?;
        if named == *upstream {
            Some(path_of(passed.prefix, rest))
        } else if passed.is_client_host(&named, upstream) {
            Some(path_of(b"", rest))
        } else {
            None
        }
    })
}

/// The path of a forward proxy for a Location of a server, if the client takes the proxy for a web server;
/// none if it passes unchanged.
pub fn textbook_location(location: &[u8], server: &Server) -> Option<Vec<u8>> {
    let scheme: &[u8] = if server.is_https { b"https://" } else { b"" };
    match location {
        _ if after_scheme(location).is_some() => Some([b"/", location].concat()),
        [b'/', b'/', rest @ ..] => Some([b"/", scheme, rest].concat()),
        [b'/', ..] => Some([b"/", scheme, server.authority().as_bytes(), location].concat()),
        _ => None,
    }
}

impl PassedOn<'_> {
    /// Whether an upstream means the client's host. It can have the port that the client has written, or
    /// its own. For a client without TLS `https://` is another place: it is sent there to use TLS, and
    /// would be sent there again and again.
    fn is_client_host(&self, named: &Server, upstream: &Server) -> bool {
        let Some(asked) = self.host.and_then(|host| Server::new(upstream.is_https, host)) else { return false };
        let is_reached = self.is_secure || !named.is_https;
        let is_port = [asked.port, upstream.port].contains(&named.port);
        is_reached && is_port && named.is_https == upstream.is_https && named.host == asked.host
    }
}

/// The server that a URL names, and what follows. A URL without a scheme has that of its page. What contains
/// blanks or control bytes isn't a URL: clients may leave them out.
fn split(url: &[u8], is_https: bool) -> Option<(Server, &[u8])> {
    let (is_https, rest) = after_scheme(url).or_else(|| Some((is_https, url.strip_prefix(b"//")?)))?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let is_url = valid_host(authority) && rest.iter().all(|byte| *byte > b' ');
    Some((Server::new(is_https, authority).filter(|_| is_url)?, rest))
}

/// The path for what follows the authority of a URL.
fn path_of(prefix: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(prefix.len() + rest.len() + 1);
    encode_path(prefix.strip_suffix(b"/").unwrap_or(prefix), &mut path);
    if !rest.starts_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(rest);
    if matches!(path.get(1), Some(b'/' | b'\\')) {
        // It would name a host (RFC 3986 §4.2). Browsers read a backslash as a slash.
        path.splice(0..0, *b"/.");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Server {
        split(url.as_bytes(), false).unwrap().0
    }

    fn shown(path: Option<Vec<u8>>) -> String {
        path.map_or_else(|| "unchanged".to_owned(), |path| String::from_utf8(path).unwrap())
    }

    #[test]
    fn a_gateway_names_itself_in_place_of_its_upstreams() {
        let upstreams = ["http://app:3000", "https://10.0.0.1", "http://localhost"].map(server);
        for (location, expected) in [
            ("http://app:3000/a?b#c", "/pre%20fix/a?b#c"),
            ("HTTP://APP.:3000", "/pre%20fix/"),
            ("http://app:3000?b", "/pre%20fix/?b"),
            ("http://app:3000#c", "/pre%20fix/#c"),
            ("//app:3000/a", "/pre%20fix/a"),
            ("https://10.0.0.1:443/a", "/pre%20fix/a"),
            ("http://localhost//a", "/pre%20fix//a"),
            // Another scheme or port is another server.
            ("https://app:3000/a", "unchanged"),
            ("http://app/a", "unchanged"),
            ("http://10.0.0.1/a", "unchanged"),
            ("http://other:3000/a", "unchanged"),
            ("http://app:3000@other/a", "unchanged"),
            ("http://user@app:3000/a", "unchanged"),
            ("http://app:3000/a b", "unchanged"),
            ("http://app:3000/\t/other", "unchanged"),
            ("http:/app:3000/a", "unchanged"),
            ("/a", "unchanged"),
            ("a", "unchanged"),
            ("", "unchanged"),
            ("app:3000/a", "unchanged"),
        ] {
            let passed = PassedOn { prefix: b"/pre fix/", host: None, is_secure: false };
            assert_eq!(shown(gateway_location(location.as_bytes(), &upstreams, passed)), expected, "{location}");
        }
    }

    #[test]
    fn a_path_never_names_a_host() {
        let upstream = server("http://app");
        for (location, expected) in [
            ("http://app//other/a", "/.//other/a"),
            ("http://app/\\other/a", "/./\\other/a"),
            ("http://app/\t/other/a", "unchanged"),
            ("http://app/", "/"),
        ] {
            let passed = PassedOn { prefix: b"/", host: None, is_secure: false };
            assert_eq!(shown(gateway_location(location.as_bytes(), [&upstream], passed)), expected, "{location}");
        }
    }

    #[test]
    fn an_upstream_that_got_the_clients_host_gives_it_the_wrong_scheme_or_port() {
        for (upstream, host, is_secure, location, expected) in [
            ("http://app:3000", "example.org", true, "http://example.org/a", "/a"),
            ("http://app:3000", "Example.org:443", true, "http://example.org:443/a", "/a"),
            ("http://app:3000", "example.org", true, "http://example.org:3000/a", "/a"),
            ("http://app:3000", "example.org", false, "http://example.org:3000/a", "/a"),
            ("http://app:3000", "example.org:8080", false, "http://example.org:8080/a", "/a"),
            ("https://app", "example.org", true, "https://example.org/a", "/a"),
            // It sends the client to TLS.
            ("http://app:3000", "example.org", false, "https://example.org/a", "unchanged"),
            ("https://app", "example.org", false, "https://example.org/a", "unchanged"),
            ("http://app:3000", "example.org", true, "https://example.org/a", "unchanged"),
            ("http://app:3000", "example.org", true, "http://example.org:81/a", "unchanged"),
            ("http://app:3000", "example.org", true, "http://www.example.org/a", "unchanged"),
            ("http://app:3000", "", true, "http://example.org/a", "unchanged"),
        ] {
            let passed = PassedOn { prefix: b"/prefix", host: Some(host.as_bytes()), is_secure };
            let path = gateway_location(location.as_bytes(), [&server(upstream)], passed);
            assert_eq!(shown(path), expected, "{upstream} {host} {is_secure} {location}");
        }
    }

    #[test]
    fn a_redirect_does_not_lead_away_from_the_proxy() {
        for (scheme, location, expected) in [
            ("http", "http://b.example/c", "/http://b.example/c"),
            ("http", "HTTPS://b.example/c", "/HTTPS://b.example/c"),
            ("http", "/c?d", "/a.example:81/c?d"),
            ("https", "/c", "/https://a.example:81/c"),
            ("http", "//b.example/c", "/b.example/c"),
            ("https", "//b.example/c", "/https://b.example/c"),
            ("http", "c/d", "unchanged"),
        ] {
            let server = server(&format!("{scheme}://a.example:81"));
            assert_eq!(shown(textbook_location(location.as_bytes(), &server)), expected, "{location}");
        }
    }
}
