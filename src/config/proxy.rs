//! Other servers that answer for a route.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::http::proxying::Server;
use crate::http::target::valid_host;
use crate::http::uri::after_scheme;

/// Other servers that answer for a route.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProxyRoute {
    /// The servers; at least one.
    pub upstreams: Vec<ProxyUpstream>,
    /// The prefix of the route is taken off the paths.
    pub strip: bool,
    /// The servers get their own names in the Host field, and not that of the client.
    pub own_host: bool,
    /// Most requests that one of them has at the same time; `None`: no limit.
    pub max_in_flight: Option<usize>,
    /// The path and the interval of the checks whether they work; `None`: no checks.
    pub health: Option<(String, Duration)>,
    /// How responses are stored; `None`: they aren't.
    pub cache: Option<RouteCache>,
}

/// How the responses of a route are stored.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RouteCache {
    /// Requests with one of these fields pass the cache by.
    pub bypass_fields: Vec<String>,
    /// Requests with one of these cookies pass it by.
    pub bypass_cookies: Vec<String>,
    /// The shortest lifetime, whatever a response says.
    pub min_age: Option<Duration>,
    /// The longest lifetime, whatever a response says.
    pub max_age: Option<Duration>,
    /// Responses that set cookies are stored, with these.
    pub set_cookie: bool,
}

/// One of these servers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyUpstream {
    /// Where it is.
    pub url: UpstreamUrl,
    /// How many requests it gets while one of weight 1 gets one.
    pub weight: u32,
}

impl From<UpstreamUrl> for ProxyUpstream {
    fn from(url: UpstreamUrl) -> Self {
        Self { url, weight: 1 }
    }
}

/// Where a server is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UpstreamUrl {
    /// `http://HOST[:PORT]` or `https://HOST[:PORT]`.
    Tcp(Server),
    /// `unix:PATH`.
    Unix(PathBuf),
}

impl UpstreamUrl {
    /// Parses it.
    ///
    /// # Errors
    /// A hint.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err("give an absolute path, like unix:/run/app.sock".to_owned()),
            };
        }
        let hint = "give http://HOST:PORT, https://HOST:PORT or unix:PATH";
        let (is_https, rest) = after_scheme(text.as_bytes()).ok_or(hint)?;
        let authority = rest.strip_suffix(b"/").unwrap_or(rest);
        if authority.contains(&b'/') {
            return Err("the URL of an upstream has no path; the path of the request is kept".to_owned());
        }
        if authority.contains(&b'@') || !valid_host(authority) {
            return Err(hint.to_owned());
        }
        let server = Server::new(is_https, authority).ok_or("give a port from 1 to 65535")?;
        Ok(Self::Tcp(server))
    }

    /// The server as it calls itself: one on a unix-domain socket has no name.
    pub fn server(&self) -> Server {
        match self {
            Self::Tcp(server) => server.clone(),
            Self::Unix(_) => Server { is_https: false, host: "localhost".to_owned(), port: 80 },
        }
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(server) => f.write_str(&server.origin()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_upstreams() {
        for (text, shown, authority) in [
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000", "127.0.0.1:3000"),
            ("http://app/", "http://app", "app"),
            ("https://app:443", "https://app", "app"),
            ("https://app", "https://app", "app"),
            ("http://app:443", "http://app:443", "app:443"),
            ("http://[::1]:3000", "http://[::1]:3000", "[::1]:3000"),
            ("http://[::1]", "http://[::1]", "[::1]"),
            ("unix:/run/a b", "unix:/run/a b", "localhost"),
        ] {
            let url = UpstreamUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.server().authority().as_str()), (shown, authority), "{text}");
        }
        for (text, hint) in [
            ("app:3000", "http://HOST"),
            ("ftp://app", "http://HOST"),
            ("http://", "http://HOST"),
            ("http://a b", "http://HOST"),
            ("http://user@app", "http://HOST"),
            ("http://app/path", "no path"),
            ("http://app:0", "port from 1"),
            ("http://app:99999", "http://HOST"),
            ("unix:run", "absolute"),
        ] {
            let error = UpstreamUrl::parse(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }
}
