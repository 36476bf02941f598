//! The ports of the web server, so that a page can link to itself with the other scheme.

use super::Request;
use crate::http::head::RequestHead;
use crate::http::{origin, target};

/// The TCP ports at which the web server listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ports {
    /// That for http.
    pub http: Option<u16>,
    /// That for https.
    pub https: Option<u16>,
}

impl Ports {
    /// The origin of the host that a request names, with the scheme https if `secure`, else http.
    /// None if there is no such port, or the request names no host. The client chooses the host,
    /// so this is for links, forms and comparisons in the response to this client alone.
    ///
    /// It has only the signs of names and addresses. So it may stand in a policy or a command,
    /// where others that a host may contain (RFC 3986 §3.2.2), like `;`, have a meaning.
    pub fn origin(self, head: &RequestHead<'_>, secure: bool) -> Option<String> {
        let origin = origin::at(head, secure, if secure { self.https } else { self.http }?)?;
        let is_simple = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/[]".contains(&byte);
        origin.bytes().all(is_simple).then_some(origin)
    }

    /// The URL of the application itself at that origin.
    pub fn url(self, request: &Request<'_>, secure: bool) -> Option<String> {
        Some(self.origin(request.head, secure)? + &encoded(request.here()))
    }
}

/// A decoded path, encoded for a URL.
pub(super) fn encoded(path: &str) -> String {
    let mut address = Vec::new();
    target::encode_path(path.as_bytes(), &mut address);
    // The encoded text is ASCII.
    String::from_utf8_lossy(&address).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;
    use crate::http::head::parse;

    #[test]
    fn an_application_has_a_url_for_each_port_that_is_there() {
        let mut lines = FieldLines::default();
        let head = parse(b"GET /a%20b HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", &mut lines).unwrap().unwrap();
        let ports = Ports { http: None, https: Some(443) };
        for (mount, url) in [("/a b", "https://[::1]/a%20b"), ("", "https://[::1]/")] {
            let request = Request { head: &head, body: b"", mount, path: b"" };
            assert_eq!(ports.url(&request, true).as_deref(), Some(url));
            assert_eq!(ports.url(&request, false), None);
        }
        for host in ["a;b", "a'b", "a,b", "a%20b", "a$b"] {
            let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let mut lines = FieldLines::default();
            let head = parse(head.as_bytes(), &mut lines).unwrap().unwrap();
            assert_eq!(ports.origin(&head, true), None, "{host}");
        }
    }
}
