//! The response of an application.

use std::borrow::Cow;

use serde::Serialize;

use super::boundary::Content;
use super::source::Source;
use crate::http::Status;
use crate::text::json;

/// A response: status, fields, content. Date, Server, framing and connection
/// are added on the way out.
pub struct Response {
    /// The status.
    pub status: Status,
    /// The field lines.
    pub fields: Vec<(&'static str, Cow<'static, str>)>,
    /// The content.
    pub body: Body,
    /// The content has a secret beside text that the client chose; see
    /// [`with_secrets`](Self::with_secrets).
    pub mixes_secrets: bool,
}

/// The content of a response.
pub enum Body {
    /// These bytes.
    Bytes(Cow<'static, [u8]>),
    /// Content that a [`Source`] makes over time.
    Source(Content),
}

impl Response {
    /// An empty response.
    pub fn new(status: Status) -> Self {
        Self { status, fields: Vec::new(), body: Body::Bytes(Cow::Borrowed(b"")), mixes_secrets: false }
    }

    /// Adds a field line.
    ///
    /// # Panics
    /// If the value contains a control byte, which could begin another field line. Encode
    /// values from outside first.
    pub fn field(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        let value = value.into();
        assert!(value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)), "a control byte in {name}");
        self.fields.push((name, value));
        self
    }

    /// Content of a media type, as which browsers must take it, without a guess: it may
    /// repeat what a client sent.
    pub fn content(mut self, media_type: impl Into<Cow<'static, str>>, body: impl Into<Cow<'static, [u8]>>) -> Self {
        self.body = Body::Bytes(body.into());
        self.typed(media_type)
    }

    /// Plain text.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.content("text/plain; charset=utf-8", text.into().into_bytes())
    }

    /// An HTML page.
    pub fn html(self, page: impl Into<String>) -> Self {
        self.content("text/html; charset=utf-8", page.into().into_bytes())
    }

    /// JSON on one line.
    ///
    /// # Panics
    /// If the value has a map with keys that are no text.
    pub fn json(self, value: &impl Serialize) -> Self {
        self.content("application/json", (json::to_string(value) + "\n").into_bytes())
    }

    /// Content that is made over time.
    pub fn stream(mut self, media_type: &'static str, source: impl Source + 'static) -> Self {
        self.body = Body::Source(Content::new(Box::new(source)));
        self.typed(media_type)
    }

    fn typed(self, media_type: impl Into<Cow<'static, str>>) -> Self {
        self.field("Content-Type", media_type).field("X-Content-Type-Options", "nosniff")
    }

    /// For this client only, whatever its Cache-Control was; with a cookie, if there is one.
    pub(crate) fn private(mut self, cookie: Option<String>) -> Self {
        self.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("Cache-Control"));
        let response = self.field("Vary", "Cookie").field("Cache-Control", "private, no-store");
        match cookie {
            Some(line) => response.field("Set-Cookie", line),
            None => response,
        }
    }

    /// The content has a secret, like a token or a cookie, beside text that the client chose, like its
    /// query. It is never compressed: somebody who can make the client ask again and again, and sees
    /// how long the responses are, could guess the secret from that (BREACH).
    pub fn with_secrets(self) -> Self {
        Self { mixes_secrets: true, ..self }
    }

    /// Not to be stored by any cache.
    pub fn no_store(self) -> Self {
        self.field("Cache-Control", "no-store")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a control byte in X")]
    fn a_value_cannot_begin_another_field_line() {
        let _ = Response::new(Status::OK).field("X", "a\r\nSet-Cookie: b");
    }
}
