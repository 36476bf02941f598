//! The request that is sent now. A redirect changes it.

use super::plan::{Content, GetPlan};
use crate::client::ClientError;
use crate::http::Status;
use crate::http::client::Request;
use crate::http::uri::HttpUrl;
use crate::limits;
use crate::reactor::Output;

/// The current request.
#[derive(Debug)]
pub(super) struct CurrentRequest {
    pub(super) url: HttpUrl,
    pub(super) method: String,
    /// The Host field for the first URL, if it differs from the URL's host.
    host: Option<String>,
    fields: Vec<(String, String)>,
    content: Option<Content>,
    redirects: usize,
}

impl CurrentRequest {
    /// The first request of a plan.
    pub(super) fn new(plan: &GetPlan) -> Self {
        let mut fields = plan.fields.clone();
        if let Some(at) = plan.resume {
            fields.push(("Range".to_owned(), format!("bytes={at}-")));
        }
        Self {
            url: plan.url.clone(),
            method: plan.method.clone(),
            host: plan.host.clone(),
            fields,
            content: plan.content.clone(),
            redirects: 0,
        }
    }

    /// Whether it can be sent again after its connection was lost (RFC 9110 §9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
    }

    /// Appends the request to `output`. Returns where its head begins and ends there.
    pub(super) fn write(&self, output: &mut Output) -> Result<std::ops::Range<usize>, ClientError> {
        let authority = self.url.authority();
        let request = Request {
            method: &self.method,
            target: &self.url.target,
            host: self.host.as_ref().unwrap_or(&authority),
            fields: &self.fields,
            length: self.content.as_ref().map(Content::length),
        };
        let start = output.buffer().len();
        request.write(output.buffer()).map_err(ClientError::Request)?;
        let end = output.buffer().len();
        if let Some(content) = &self.content {
            content.write(output);
        }
        Ok(start..end)
    }

    /// Follows a redirect. Returns the URL that it came from.
    pub(super) fn follow(&mut self, status: Status, location: &str) -> Result<HttpUrl, ClientError> {
        self.redirects += 1;
        if self.redirects > limits::REDIRECTS {
            return Err(ClientError::Redirects(limits::REDIRECTS));
        }
        let url = self.url.join(location).map_err(|error| ClientError::Redirect(location.to_owned(), error))?;
        // All clients do this, and RFC 9110 §15.4 allows it.
        let becomes_get = match status.0 {
            303 => self.method != "HEAD",
            301 | 302 => self.method == "POST",
            _ => false,
        };
        if becomes_get {
            self.method = "GET".to_owned();
            self.content = None;
            self.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
        }
        if !url.same_origin(&self.url) {
            // Credentials for one server aren't sent to another.
            let secret = |name: &str| ["authorization", "cookie"].iter().any(|one| name.eq_ignore_ascii_case(one));
            self.fields.retain(|(name, _)| !secret(name));
        }
        self.host = None;
        Ok(std::mem::replace(&mut self.url, url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(request: &CurrentRequest) -> String {
        let mut output = Output::default();
        let head = request.write(&mut output).unwrap();
        String::from_utf8_lossy(&output.buffer()[head]).into_owned()
    }

    #[test]
    fn a_given_host_field_is_for_the_first_url_only() {
        let url = HttpUrl::parse("http://a/").unwrap();
        let mut request = CurrentRequest::new(&GetPlan { host: Some("other".to_owned()), ..GetPlan::new(url) });
        assert!(head(&request).contains("Host: other\r\n"));
        request.follow(Status(302), "/b").unwrap();
        assert!(head(&request).contains("Host: a\r\n"), "{}", head(&request));
    }

    #[test]
    fn the_range_of_the_head_excludes_the_content() {
        let content = Some(Content::Bytes(b"content".to_vec()));
        let request = CurrentRequest::new(&GetPlan { content, ..GetPlan::new(HttpUrl::parse("http://a/").unwrap()) });
        assert!(head(&request).ends_with("\r\n\r\n"), "{}", head(&request));
    }
}
