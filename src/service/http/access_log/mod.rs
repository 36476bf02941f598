//! The access log: one line for each request, written when its response ends.
//!
//! A line is written from an [`Entry`], a summary of the request and one of its response:
//!
//! | File | Format |
//! |---|---|
//! | `combined` | the combined format with further fields, and the Common Log Format |
//! | `json`, `logfmt` | named facts, which `structured` selects for both |
//!
//! The format is that of the [`Log`](crate::logging::Log), chosen when it is opened. Facts that only the formats with
//! names have are [`Details`]; for the others nobody looks for them.
//!
//! On a protected path the user is the name that is logged in, in a 401 the name that the client
//! sent. Without such a name it is the subject of the client's certificate, if it sent one.
//!
//! The duration begins with the first byte of the request. Times are the loop's, read once a
//! turn: a response in the same turn as its request took 0. Text from the network is escaped,
//! so it can't forge a line.

mod combined;
mod json;
mod logfmt;
mod pending;
mod structured;
mod text;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::certificates::x509;
use crate::files::CacheResult;
use crate::http::basic::{self, Asker};
use crate::http::fields::is_named;
use crate::http::head::RequestHead;
use crate::http::{Fields, Status};
use crate::logging::{ACCESS, HostLog, Log, LogFormat};
use crate::reactor::{Security, Tick, Time};
use crate::service::Cx;

pub(super) use pending::PendingEntry;

/// The fields of a line about the response.
#[derive(Clone, Copy)]
pub(super) struct ResponseSummary {
    pub(super) status: Status,
    /// Bytes of the body.
    pub(super) body: u64,
    /// Bytes of the response, head included.
    pub(super) bytes: u64,
    /// From the first byte of the request to the last of the response.
    pub(super) duration: Duration,
    pub(super) peer_port: Option<u16>,
    pub(super) local: Option<SocketAddr>,
    pub(super) request: u32,
    /// Who asked for credentials, if the path is protected.
    pub(super) asker: Option<Asker>,
}

/// The fields of a line about the request and its client.
pub(super) struct RequestSummary<'a> {
    line: &'a [u8],
    client: Option<IpAddr>,
    /// The user name on a protected path, whether its password is right or wrong; else the
    /// subject of the client's certificate.
    user: Option<Cow<'a, str>>,
    referer: Option<&'a [u8]>,
    agent: Option<&'a [u8]>,
    /// For the formats with names. By reference, since they are large and mostly absent.
    details: Option<&'a Details<'a>>,
}

/// What only the formats with names say about a request.
#[derive(Clone, Copy)]
pub(super) struct Details<'a> {
    /// The host that the request is for, perhaps with a port.
    pub(super) host: Option<&'a [u8]>,
    /// The value of X-Request-ID, with which a proxy names a request.
    pub(super) request_id: Option<&'a [u8]>,
    /// The client used TLS, directly or to a trusted proxy.
    pub(super) secure: bool,
    /// The version and cipher suite of the connection.
    pub(super) tls: Option<[&'a str; 2]>,
    /// The prefix of the route that the path is below.
    pub(super) route: Option<&'a [u8]>,
    /// Whether a file was in the cache.
    pub(super) cache: Option<CacheResult>,
    /// The URL of the upstream that answers.
    pub(super) upstream: Option<&'a [u8]>,
    pub(super) phases: Phases,
}

impl<'a> Details<'a> {
    /// The details of a request for this host with these fields, whose response is there `wait`
    /// after its first byte.
    #[cold]
    pub(super) fn new(
        host: Option<&'a [u8]>,
        fields: &Fields<'a>,
        secure: bool,
        security: Security<'_>,
        wait: Duration,
    ) -> Self {
        let tls = security.facts().map(|facts| [facts.version, facts.cipher_suite]);
        let request_id = fields.get("x-request-id");
        let phases = Phases { wait, ..Phases::default() };
        Self { host, request_id, secure, tls, route: None, cache: None, upstream: None, phases }
    }
}

/// How long the phases of an exchange took, one after the other, as far as that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Phases {
    /// From the first byte of the request to the head of the response.
    pub(super) wait: Duration,
    /// From the first byte of the request to the end of its head.
    pub(super) head: Option<Duration>,
    /// To the end of its body.
    pub(super) body: Option<Duration>,
    /// To the head of the response.
    pub(super) answer: Option<Duration>,
    /// To the end of the response, if that is in a later turn. What is sent at once is with the
    /// kernel at once, or waits there or here without anybody noting it.
    send: Option<Duration>,
}

impl Phases {
    /// The phases until the head of the response, which is ready `now`.
    pub(super) fn new(began: Tick, head_at: Tick, body_at: Option<Tick>, now: Tick) -> Self {
        Self {
            wait: now.since(began),
            head: Some(head_at.since(began)),
            body: body_at.map(|at| at.since(head_at)),
            answer: Some(now.since(body_at.unwrap_or(head_at))),
            send: None,
        }
    }
}

impl<'a> RequestSummary<'a> {
    /// The summary of a request with this request line and these fields. The user is logged if
    /// an `asker` wanted credentials, and else the owner of the client's `certificate`.
    pub(super) fn new(
        line: &'a [u8],
        fields: Fields<'a>,
        client: Option<IpAddr>,
        asker: Option<Asker>,
        certificate: Option<&[u8]>,
        details: Option<&'a Details<'a>>,
    ) -> Self {
        let (mut referer, mut agent) = (None, None);
        for (name, value) in fields.iter() {
            match name.len() {
                7 if is_named(name, b"Referer") => _ = referer.get_or_insert(value),
                10 if is_named(name, b"User-Agent") => _ = agent.get_or_insert(value),
                _ => {}
            }
        }
        Self {
            line,
            client,
            user: if asker.is_some() || certificate.is_some() { user(&fields, asker, certificate) } else { None },
            referer,
            agent,
            details,
        }
    }
}

/// Who sent a request, for the log. Most requests have nobody, and don't get here.
#[cold]
fn user(fields: &Fields<'_>, asker: Option<Asker>, certificate: Option<&[u8]>) -> Option<Cow<'static, str>> {
    let name = asker.and_then(|asker| basic::credentials(fields, asker)).map(|who| who.name);
    name.or_else(|| x509::subject(certificate?)).map(Cow::from)
}

/// The request line.
pub(super) fn request_line<'a>(head: &RequestHead<'a>) -> &'a [u8] {
    // There is one space between its words, and the version is the last.
    &head.raw[..head.method_name.len() + head.raw_target.len() + b"  HTTP/1.1".len()]
}

/// The first line of input that has no request line.
pub(super) fn first_line(head: &[u8]) -> &[u8] {
    /// This much is enough to recognize it.
    const MOST: usize = 8_300;
    let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
    &head[..end.min(MOST)]
}

/// All that a line is written from.
struct Entry<'a> {
    request: &'a RequestSummary<'a>,
    response: &'a ResponseSummary,
    /// The number of the connection.
    connection: u32,
    /// When the response ended.
    time: Time,
}

/// The access log, with what many successive lines share.
#[derive(Default)]
pub(super) struct AccessLog {
    pub(super) enabled: bool,
    parts: combined::Parts,
    moment: structured::Moment,
}

impl AccessLog {
    pub(super) fn new() -> Self {
        Self { enabled: log::log_enabled!(target: ACCESS, log::Level::Info), ..Self::default() }
    }
}

/// Writes a line, to the log of a host or to that of all others.
pub(super) fn write(to: Option<&HostLog>, request: &RequestSummary<'_>, response: &ResponseSummary, cx: &mut Cx<'_>) {
    let entry = Entry { request, response, connection: cx.handle.number(), time: cx.time };
    let (log, access) = (&cx.shared.log, &mut cx.shared.http.access);
    match log.format() {
        LogFormat::Combined => log.access(to, |out| combined::write_combined(&entry, &mut access.parts, out)),
        format => write_in(format, &entry, access, to, log),
    }
}

/// Writes a line in a format other than the default. That one is written without a further call.
#[inline(never)]
fn write_in(format: LogFormat, entry: &Entry<'_>, access: &mut AccessLog, to: Option<&HostLog>, log: &Log) {
    log.access(to, |out| write_to(out, format, entry, access));
}

fn write_to(out: &mut Vec<u8>, format: LogFormat, entry: &Entry<'_>, access: &mut AccessLog) {
    match format {
        LogFormat::Combined => combined::write_combined(entry, &mut access.parts, out),
        LogFormat::Common => combined::write_common(entry, &mut access.parts, out),
        LogFormat::Json => json::write(entry, &mut access.moment, out),
        LogFormat::Logfmt => logfmt::write(entry, &mut access.moment, out),
    }
}

#[cfg(test)]
mod tests;
