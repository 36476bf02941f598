//! What an application answers.

use std::borrow::Cow;

use super::boundary::Content;
use crate::http::Status;
use crate::reactor::Tick;

/// A response: status, fields, content. Date, Server, framing and connection
/// are added on the way out.
pub struct Response {
    /// The status.
    pub status: Status,
    /// The field lines.
    pub fields: Vec<(&'static str, Cow<'static, str>)>,
    /// The content.
    pub body: Body,
}

/// The content of a response.
pub enum Body {
    /// These bytes.
    Bytes(Cow<'static, [u8]>),
    /// What a [`Source`] makes over time.
    Source(Content),
}

/// Content that is made over time.
pub trait Source {
    /// Appends up to about `room` bytes of content to `out`. Called when there
    /// is room, so a slow reader slows it down; `now` is the loop's time.
    fn pull(&mut self, out: &mut Vec<u8>, room: usize, now: Tick) -> Pull;

    /// Bytes of memory that it holds beyond its own size, as far as they are its own and
    /// shared with nobody: they count against the limit of all connections.
    fn memory(&self) -> usize;
}

/// What a source says after a pull.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pull {
    /// Something was added, and there is more now.
    More,
    /// There will be more at this moment.
    Wait(Tick),
    /// That was all.
    End,
}

impl Response {
    /// An empty response.
    pub fn new(status: Status) -> Self {
        Self { status, fields: Vec::new(), body: Body::Bytes(Cow::Borrowed(b"")) }
    }

    /// Adds a field line.
    ///
    /// # Panics
    /// If the value holds a control byte, which would let it write field lines
    /// of its own. Values from outside are to be encoded first.
    pub fn field(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        let value = value.into();
        assert!(value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)), "a control byte in {name}");
        self.fields.push((name, value));
        self
    }

    /// Content of a media type.
    pub fn content(mut self, media_type: impl Into<Cow<'static, str>>, body: impl Into<Cow<'static, [u8]>>) -> Self {
        self.body = Body::Bytes(body.into());
        self.field("Content-Type", media_type)
    }

    /// Plain text.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.content("text/plain; charset=utf-8", text.into().into_bytes())
    }

    /// A page.
    pub fn html(self, page: impl Into<String>) -> Self {
        self.content("text/html; charset=utf-8", page.into().into_bytes())
    }

    /// JSON.
    pub fn json(self, json: impl Into<String>) -> Self {
        self.content("application/json", json.into().into_bytes())
    }

    /// Content that is made over time.
    pub fn stream(mut self, media_type: &'static str, source: impl Source + 'static) -> Self {
        self.body = Body::Source(Content::new(Box::new(source)));
        self.field("Content-Type", media_type)
    }

    /// About this visitor and for nobody else, whatever was said about that; with a
    /// cookie, if there is one.
    pub(crate) fn private(mut self, cookie: Option<String>) -> Self {
        self.fields.retain(|(name, _)| !name.eq_ignore_ascii_case("Cache-Control"));
        let answer = self.field("Vary", "Cookie").field("Cache-Control", "private, no-store");
        match cookie {
            Some(line) => answer.field("Set-Cookie", line),
            None => answer,
        }
    }

    /// Not to be kept by any cache: it is about this moment or this visitor.
    pub fn no_store(self) -> Self {
        self.field("Cache-Control", "no-store")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a control byte in X")]
    fn a_value_cannot_write_lines_of_its_own() {
        let _ = Response::new(Status::OK).field("X", "a\r\nSet-Cookie: b");
    }
}
