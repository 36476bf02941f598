//! What a request to a forward proxy is for (RFC 9112 §3.2).
//!
//! | Form | Is for |
//! |---|---|
//! | `GET http://example.org/path` | that resource: what clients send that know of the proxy (§3.2.2) |
//! | `CONNECT example.org:443` | a tunnel (§3.2.3) |
//! | `GET /example.org/path` | the same resource, for clients that take the proxy for a web server |
//!
//! The last form is that of textbooks. The first segment of the path is a host if it has a dot or a
//! port, or is `localhost`; `http://` or `https://` may be before it. The links of such a page have to
//! lead back here. Relative ones do. Those that begin with a slash lose the host, so the Referer tells
//! it: the client is sent to the path with the host before it, and not just given the resource,
//! because the links of a style sheet are relative to its own URL.

use crate::http::head::{Method, RequestHead};
use crate::http::target::{Form, valid_host};
use crate::http::uri::{Scheme, after_scheme, authority, split_host_port};

/// What a request is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Asked {
    /// A resource of another server.
    Resource(Destination),
    /// A tunnel to another server.
    Tunnel(Server),
    /// The same, at this path of the proxy.
    Moved(Vec<u8>),
    /// The proxy itself.
    Proxy,
    /// The path names no host.
    NoHost,
}

/// Where a server is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Server {
    /// The connection is by TLS.
    pub is_https: bool,
    /// Its name in lower case, or its address; IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// A resource of another server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    /// The server.
    pub server: Server,
    /// Its path and query, encoded, if they aren't those of the request-target.
    pub target: Option<Vec<u8>>,
    /// The client takes the proxy for a web server.
    pub is_textbook: bool,
}

impl Server {
    /// That with this authority: `host[:port]`, valid by [`valid_host`]. None if the port is zero.
    pub fn new(is_https: bool, authority: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(authority).ok()?.to_ascii_lowercase();
        let (host, port) = split_host_port(&text);
        let port = match port {
            "" => Scheme::of(is_https).default_port(),
            digits => digits.parse().ok().filter(|port| *port > 0)?,
        };
        // The root of DNS may be written or not.
        let host = host.strip_suffix('.').filter(|host| !host.is_empty()).unwrap_or(host).to_owned();
        Some(Self { is_https, host, port })
    }

    /// Its name and port for the Host field; the port isn't told if it is the usual one.
    pub fn authority(&self) -> String {
        authority(Scheme::of(self.is_https), &self.host, self.port)
    }

    /// Its origin (RFC 6454 §6.2): the scheme and the authority.
    pub fn origin(&self) -> String {
        format!("{}://{}", Scheme::of(self.is_https), self.authority())
    }
}

impl Asked {
    /// What a request is for.
    pub fn of(head: &RequestHead<'_>) -> Self {
        let target = &head.target;
        let server = target.authority.and_then(|authority| Server::new(target.is_https, authority));
        match (target.form, server) {
            (Form::Absolute, Some(server)) => {
                // OPTIONS without a path is about the server as a whole (RFC 9110 §9.3.7).
                let is_whole = head.method == Method::Options
                    && target.authority.is_some_and(|authority| head.raw_target.ends_with(authority));
                let target = is_whole.then(|| b"*".to_vec());
                Self::Resource(Destination { server, target, is_textbook: false })
            }
            (Form::Authority, Some(server)) => Self::Tunnel(server),
            (Form::Origin, _) => Self::of_path(head),
            (Form::Asterisk, _) => Self::Proxy,
            (Form::Absolute | Form::Authority, None) => Self::NoHost,
        }
    }

    /// What a path of the proxy is for.
    fn of_path(head: &RequestHead<'_>) -> Self {
        let (path, query) = (head.target.path, head.target.query);
        let named = Named::in_path(path);
        if let Some(page) = referring_page(head)
            && named.as_ref().is_none_or(|named| named.prefix != page.prefix)
        {
            return Self::Moved(origin_form(&[page.prefix, path].concat(), query));
        }
        let Some(named) = named else { return if path == b"/" { Self::Proxy } else { Self::NoHost } };
        if named.path.is_empty() {
            // Relative links need the slash.
            return Self::Moved(origin_form(&[path, b"/"].concat(), query));
        }
        match Server::new(named.is_https, named.authority) {
            None => Self::NoHost,
            Some(server) => {
                let target = Some(origin_form(named.path, query));
                Self::Resource(Destination { server, target, is_textbook: true })
            }
        }
    }
}

/// A host that a path of the proxy names.
struct Named<'a> {
    is_https: bool,
    authority: &'a [u8],
    /// The part of the path that names it.
    prefix: &'a [u8],
    /// The rest.
    path: &'a [u8],
}

impl<'a> Named<'a> {
    fn in_path(path: &'a [u8]) -> Option<Self> {
        let path_without_slash = path.strip_prefix(b"/")?;
        let of_url = after_scheme(path_without_slash);
        let (is_https, rest) = of_url.unwrap_or((false, path_without_slash));
        let end = memchr::memchr(b'/', rest).unwrap_or(rest.len());
        let (authority, below) = rest.split_at(end);
        let is_host = of_url.is_some()
            || authority.eq_ignore_ascii_case(b"localhost")
            // What ends with a colon is another scheme, as in /ftp://a.example/.
            || (!authority.ends_with(b":")
                && memchr::memchr2(b'.', b':', authority.get(1..).unwrap_or_default()).is_some());
        (is_host && valid_host(authority)).then_some(Self {
            is_https,
            authority,
            prefix: &path[..path.len() - below.len()],
            path: below,
        })
    }
}

/// The page of another server that the request came from, if that was got here.
fn referring_page<'a>(head: &RequestHead<'a>) -> Option<Named<'a>> {
    let referer = head.fields.get("referer")?;
    let start = memchr::memmem::find(referer, b"://")? + 3;
    let rest = &referer[start..];
    let slash = memchr::memchr(b'/', rest)?;
    if !rest[..slash].eq_ignore_ascii_case(head.host()?) {
        return None;
    }
    let end = rest.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(rest.len());
    Named::in_path(&rest[slash..end])
}

fn origin_form(path: &[u8], query: Option<&[u8]>) -> Vec<u8> {
    match query {
        None => path.to_vec(),
        Some(query) => [path, b"?", query].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;
    use crate::http::head;

    fn asked(line: &str, fields: &str) -> Asked {
        let raw = format!("{line} HTTP/1.1\r\nHost: proxy:8888\r\n{fields}\r\n");
        let mut lines = FieldLines::default();
        Asked::of(&head::parse(raw.as_bytes(), &mut lines).unwrap().unwrap())
    }

    fn shown(asked: &Asked) -> String {
        match asked {
            Asked::Resource(Destination { server, target, is_textbook }) => {
                let scheme = Scheme::of(server.is_https);
                let form = if *is_textbook { " textbook" } else { "" };
                let target =
                    target.as_deref().map_or(String::new(), |target| String::from_utf8_lossy(target).into_owned());
                format!("{scheme} {}:{} {target}{form}", server.host, server.port)
            }
            Asked::Tunnel(server) => format!("tunnel {}:{}", server.host, server.port),
            Asked::Moved(path) => format!("moved {}", String::from_utf8_lossy(path)),
            Asked::Proxy => "proxy".to_owned(),
            Asked::NoHost => "no host".to_owned(),
        }
    }

    #[test]
    fn each_form_names_its_server() {
        for (line, expected) in [
            ("GET http://A.example/b?c", "http a.example:80 "),
            ("GET http://a.example.:81", "http a.example:81 "),
            ("POST https://a/../%zz?", "https a:443 "),
            ("GET http://[::1]:8080/", "http ::1:8080 "),
            ("GET http://a:0/", "no host"),
            ("OPTIONS http://a.example:81", "http a.example:81 *"),
            ("OPTIONS http://a.example/", "http a.example:80 "),
            ("CONNECT a.example:443", "tunnel a.example:443"),
            ("CONNECT [2001:db8::1]:563", "tunnel 2001:db8::1:563"),
            ("OPTIONS *", "proxy"),
            ("GET /", "proxy"),
            ("GET /www.example.org/a/b?c=/d", "http www.example.org:80 /a/b?c=/d textbook"),
            ("GET /localhost/a", "http localhost:80 /a textbook"),
            ("GET /host:81/", "http host:81 / textbook"),
            ("GET /[::1]:81/", "http ::1:81 / textbook"),
            ("GET /https://www.example.org/a", "https www.example.org:443 /a textbook"),
            ("GET /http://host/a", "http host:80 /a textbook"),
            ("GET /www.example.org", "moved /www.example.org/"),
            ("GET /www.example.org?a", "moved /www.example.org/?a"),
            ("GET /images/a.png", "no host"),
            ("GET /.well-known/a", "no host"),
            ("GET /a%2eb@c/d", "no host"),
            ("GET /host:0/", "no host"),
            ("GET /ftp://www.example.org/a", "no host"),
        ] {
            assert_eq!(shown(&asked(line, "")), expected, "{line}");
        }
    }

    #[test]
    fn a_link_that_begins_with_a_slash_is_of_the_host_of_its_page() {
        for (line, referer, expected) in [
            ("GET /a.png?b", "http://proxy:8888/www.example.org/c/d", "moved /www.example.org/a.png?b"),
            ("GET /a/b", "https://PROXY:8888/https://x.example/", "moved /https://x.example/a/b"),
            ("GET /www.example.org/a", "http://proxy:8888/www.example.org/", "http www.example.org:80 /a textbook"),
            ("GET /", "http://proxy:8888/www.example.org/?x", "moved /www.example.org/"),
            ("GET /a/b", "http://other/www.example.org/", "no host"),
            ("GET /www.example.org/a", "http://proxy:8888/", "http www.example.org:80 /a textbook"),
            ("GET /a/b", "nonsense", "no host"),
        ] {
            assert_eq!(shown(&asked(line, &format!("Referer: {referer}\r\n"))), expected, "{line} {referer}");
        }
    }
}
