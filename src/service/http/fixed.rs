//! Handlers that are configured: redirects, and responses that are always the same.

use crate::app::Response;
use crate::http::head::RequestHead;
use crate::http::host_names::bare;
use crate::http::redirect::RedirectTarget;
use crate::http::{Status, target};

/// A redirect.
pub struct Redirect {
    /// The status.
    pub status: Status,
    /// Where to.
    pub to: RedirectTarget,
}

/// A response that is always the same.
pub struct FixedResponse {
    /// The status.
    pub status: Status,
    /// The media type of the content.
    pub media_type: String,
    /// The content.
    pub content: Box<[u8]>,
}

impl Redirect {
    /// The response to a request for a decoded path.
    pub(super) fn respond(&self, head: &RequestHead<'_>, path: &[u8]) -> Response {
        let mut encoded = Vec::new();
        target::encode_path(path, &mut encoded);
        let host = head.host().map(bare).unwrap_or_default();
        if host.is_empty() && self.to.needs_host() {
            return Response::new(Status::BAD_REQUEST).text("The request names no host.\n");
        }
        // The host and the query were checked when the head was parsed: they are ASCII.
        let [path, query, host] = [&encoded, head.target.query.unwrap_or_default(), host].map(String::from_utf8_lossy);
        let location = self.to.expand(&path, &query, &host);
        let text = format!("See {location}\n");
        Response::new(self.status).field("Location", location).text(text)
    }
}

impl FixedResponse {
    /// The response to a request.
    pub(super) fn respond(&self) -> Response {
        let response = Response::new(self.status);
        match self.content.is_empty() {
            true => response,
            false => response.content(self.media_type.clone(), self.content.to_vec()),
        }
    }
}
