//! What a cache has to know about an exchange: the request, the response, the times, and its own
//! settings.

use crate::http::cache_control::{self, MAX_SECONDS};
use crate::http::client::{Body, ResponseHead};
use crate::http::framing::Framing;
use crate::http::head::{Method, RequestHead};
use crate::http::{Fields, Status};

/// How a cache behaves where the RFCs leave a choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The cache belongs to a reverse proxy: CDN-Cache-Control is for it (RFC 9213).
    pub gateway: bool,
    /// Responses that set cookies may be stored, with the cookies, if they say how long they are fresh.
    /// Each client then gets the cookies of the first.
    pub store_cookies: bool,
    /// The directives of requests decide about reuse (RFC 9111 §5.2.1). Without this no client
    /// can force a request to the origin; `only-if-cached` and `no-store` are obeyed anyway.
    pub obey_requests: bool,
    /// The longest heuristic lifetime in seconds; 0 for no heuristics (§4.2.2).
    pub heuristic_limit: u32,
    /// For how many seconds after its lifetime a response without `stale-if-error` is served if the origin
    /// fails (§4.2.4).
    pub stale_if_error: u32,
    /// The shortest and the longest lifetime in seconds, whatever a response says. One that must be
    /// validated always is all the same.
    pub lifetimes: (u32, u32),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gateway: false,
            store_cookies: false,
            obey_requests: true,
            heuristic_limit: 24 * 60 * 60,
            stale_if_error: 60,
            lifetimes: (0, MAX_SECONDS),
        }
    }
}

/// A request, as far as a cache is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// The field lines.
    pub fields: Fields<'a>,
    /// The request has content. That of a GET isn't part of any key, but the origin may use it.
    pub has_content: bool,
}

impl<'a> From<&RequestHead<'a>> for Request<'a> {
    fn from(head: &RequestHead<'a>) -> Self {
        let has_content = !matches!(head.framing, Framing::None | Framing::Length(0));
        Self { method: head.method, fields: head.fields, has_content }
    }
}

/// A response, as far as a cache is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The status.
    pub status: Status,
    /// The field lines.
    pub fields: Fields<'a>,
    /// Where the body ends.
    pub body: Body,
}

impl<'a> From<&ResponseHead<'a>> for Response<'a> {
    fn from(head: &ResponseHead<'a>) -> Self {
        Self { status: head.status, fields: head.fields, body: head.body }
    }
}

/// When a response was asked for and received, and how old it said it was (RFC 9111 §4.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// When the request was sent, in Unix seconds.
    pub requested: i64,
    /// When the head of the response was received, in Unix seconds.
    pub received: i64,
    /// The value of its Age field in seconds.
    pub age: u32,
}

impl Arrival {
    /// The arrival of the response with these fields, as they were received. After a 304 it is
    /// the response that counts.
    ///
    /// Of several values of Age the first counts; what isn't a number is ignored (§5.1).
    pub fn of(response: &Fields<'_>, requested: i64, received: i64) -> Self {
        let age = response.tokens("age").next().and_then(cache_control::seconds).unwrap_or(0);
        Self { requested, received, age }
    }
}

/// The value of a field that must have one line; none if it is missing or has several.
pub(super) fn single<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a [u8]> {
    let mut lines = fields.all(name);
    let first = lines.next()?;
    lines.next().is_none().then_some(first)
}
