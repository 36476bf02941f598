//! The ports of the web server, so that a page can link to itself with the other scheme.

use crate::http::head::RequestHead;
use crate::http::origin;

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
    pub fn origin(self, head: &RequestHead<'_>, secure: bool) -> Option<String> {
        origin::at(head, secure, if secure { self.https } else { self.http }?)
    }
}
