//! How a connection to an upstream stores the response to its request.
//!
//! ```text
//! head ─▶ may it be stored? ─┬─ no ─────────────▶ it is passed on
//!                            ├─ yes ────────────▶ it grows in the store; its clients read it there
//!                            └─ 304 to our own ─▶ the stored one is fresh again
//!                               conditions
//! ```
//!
//! The rules are in [`http::caching`](crate::http::caching).

use std::rc::Rc;

use super::cache::CacheRules;
use super::{ExchangeId, InFlight, Queue};
use crate::cache::{Appended, EntryId, FillingId, Key, New, Response};
use crate::http::cache_control::MAX_SECONDS;
use crate::http::caching::{self, Arrival, Confirmation, HeadEffect, Refusal, variant};
use crate::http::client::{self, RequestKind, ResponseHead};
use crate::http::framing::parse_length;
use crate::http::head::{self, Method};
use crate::http::uri::HttpUrl;
use crate::http::{FieldLines, Fields, Status};
use crate::limits;
use crate::reactor::{Handle, Tick, Time};
use crate::service::Cx;

/// What a cache has for a request, and where.
#[derive(Clone)]
pub(crate) struct CachePlace {
    pub(crate) rules: Rc<CacheRules>,
    /// The key of the resource, as text and in the store.
    pub(crate) uri: Rc<[u8]>,
    pub(crate) key: Key,
    /// What is stored for it.
    pub(crate) stored: Option<(EntryId, Rc<Response>)>,
}

/// How the response to a request is stored. What is stored before is validated, if it can be.
pub(crate) struct Storing {
    pub(crate) place: CachePlace,
    /// The head of the client's request.
    pub(crate) request: Rc<[u8]>,
    /// When it was sent.
    pub(crate) requested: Tick,
    /// The requests that wait until the upstream has no more to do with it.
    pub(crate) queue: Rc<Queue>,
}

/// What became of a response.
#[derive(Clone)]
pub enum Kept {
    /// It isn't stored.
    No,
    /// It isn't stored. The origin has failed, and this one may be sent in its place.
    Stale(Rc<Response>),
    /// It says that something else is not modified than what is stored.
    Unconfirmed,
    /// It grows there, and its clients read it there.
    Growing(FillingId, Rc<Response>),
    /// It is passed on, and a copy grows there. Its length isn't known, so it may be too long for the store.
    Copying(FillingId),
    /// It has confirmed this one.
    Confirmed(Rc<Response>),
}

impl CachePlace {
    /// The resource, if its key is the URL of one.
    pub(crate) fn url(&self) -> Option<HttpUrl> {
        std::str::from_utf8(&self.uri).ok().and_then(|uri| HttpUrl::parse(uri).ok())
    }

    /// What is stored, if it may be sent although the origin has failed: with this status, or without a
    /// response.
    pub(crate) fn usable_after(
        &self,
        failure: Option<Status>,
        request: &caching::Request<'_>,
        time: Time,
    ) -> Option<&Rc<Response>> {
        let (_, stored) = self.stored.as_ref()?;
        let settings = &self.rules.settings;
        caching::stale_on_error(request, stored.freshness(), failure, time.unix_seconds, settings)?;
        Some(stored)
    }

    /// No other request may have the response.
    pub(crate) fn note_unshared(&self, now: Tick) {
        self.rules.cache.note_unshared(self.key, now);
    }
}

impl std::fmt::Debug for Storing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storing").field("uri", &self.place.uri.escape_ascii().to_string()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::No => "No",
            Self::Stale(_) => "Stale",
            Self::Unconfirmed => "Unconfirmed",
            Self::Growing(..) => "Growing",
            Self::Copying(_) => "Copying",
            Self::Confirmed(_) => "Confirmed",
        })
    }
}

/// A request, and the head of the response that has come.
#[derive(Clone, Copy)]
struct Answered<'a> {
    request: caching::Request<'a>,
    response: &'a ResponseHead<'a>,
    /// The connection that reads the response.
    producer: Handle,
    time: Time,
}

impl Storing {
    /// Whether the request asks if what is stored is still right.
    pub(crate) fn is_validation(&self) -> bool {
        self.place.stored.as_ref().is_some_and(|(_, stored)| stored.freshness().has_validator())
    }

    /// Appends the conditions of a validation.
    pub(crate) fn write_conditions(&self, now: i64, out: &mut Vec<u8>) {
        let Some((_, stored)) = &self.place.stored else { return };
        with_head(stored.head(), |head| caching::write_conditions(Some(&head.fields), std::iter::empty(), now, out));
    }

    /// Takes note of the head of a response, and stores it if it may be.
    pub(crate) fn head(&self, response: &ResponseHead<'_>, producer: Handle, time: Time) -> Kept {
        let mut lines = FieldLines::default();
        let head = head::parse_again(&self.request, &mut lines);
        let answered = Answered { request: caching::Request::from(&head), response, producer, time };
        let method = answered.request.method;
        if method == Method::Post {
            return self.store_posted(answered);
        }
        if let Some(stored) = self.place.usable_after(Some(response.status), &answered.request, time) {
            // That is better than an error.
            return Kept::Stale(Rc::clone(stored));
        }
        let kept = match (&self.place.stored, response.status) {
            (Some((id, stored)), _) if method == Method::Head => {
                self.compare(*id, stored, answered);
                return Kept::No;
            }
            (Some((id, stored)), Status::NOT_MODIFIED) if self.is_validation() => self.validated(*id, stored, answered),
            (Some(_), Status::NOT_MODIFIED) => Kept::No,
            _ => self.store(answered),
        };
        if matches!(kept, Kept::No | Kept::Unconfirmed) {
            self.place.note_unshared(time.now);
        }
        kept
    }

    /// Stores a response, if it may be.
    fn store(&self, answered: Answered<'_>) -> Kept {
        let Answered { request, response, time, .. } = answered;
        let arrival = self.arrival(&response.fields, time);
        match caching::evaluate(&request, &response.into(), arrival, &self.place.rules.settings) {
            Ok(freshness) => self.begin(answered, freshness),
            Err(refusal) => {
                // What was stored isn't right any more, unless this is about another request or failure.
                if let Some((id, _)) = self.place.stored
                    && !matches!(refusal, Refusal::Request | Refusal::Status)
                {
                    self.place.rules.cache.store.borrow_mut().remove(id);
                }
                Kept::No
            }
        }
    }

    /// Stores a response to POST, if it says that it is what GET would get, and for how long (RFC 9110
    /// §9.3.3).
    fn store_posted(&self, answered: Answered<'_>) -> Kept {
        let Answered { request, response, time, .. } = answered;
        let location = response.fields.get("content-location").and_then(|value| std::str::from_utf8(value).ok());
        let (Some(url), Some(location)) = (self.place.url(), location) else { return Kept::No };
        if url.join(location).ok().as_ref() != Some(&url) {
            return Kept::No;
        }
        let request = caching::Request { method: Method::Get, has_content: false, ..request };
        let settings =
            caching::Settings { heuristic_limit: 0, lifetimes: (0, MAX_SECONDS), ..self.place.rules.settings };
        let arrival = self.arrival(&response.fields, time);
        match caching::evaluate(&request, &response.into(), arrival, &settings) {
            Ok(freshness) if freshness.lifetime() > 0 => {
                // What was stored before isn't right any more.
                self.place.rules.cache.store.borrow_mut().remove_uri(self.place.key);
                self.begin(Answered { request, ..answered }, freshness)
            }
            _ => Kept::No,
        }
    }

    fn begin(&self, answered: Answered<'_>, freshness: caching::Freshness) -> Kept {
        let Answered { request, response, producer, time } = answered;
        let head = self.stored_head(response.status, |out| {
            caching::write_stored(&response.fields, time.unix_seconds, &self.place.rules.settings, out);
        });
        let (mut names, mut variant_key) = (Vec::new(), Vec::new());
        variant::write_names(&response.fields, &mut names);
        variant::write_key(&names, &request.fields, &mut variant_key);
        let length = match response.body {
            client::Body::Length(bytes) => Some(bytes),
            client::Body::Absent => Some(0),
            _ => response.fields.get("content-length").and_then(parse_length),
        };
        let mut store = self.place.rules.cache.store.borrow_mut();
        let new = New {
            key: self.place.key,
            uri: &self.place.uri,
            names: &names,
            variant_key: &variant_key,
            head: &head,
            freshness,
            length,
            producer,
        };
        let Some(filling) = store.begin(new) else { return Kept::No };
        match (length, store.growing(filling)) {
            (Some(_), Some(growing)) => Kept::Growing(filling, Rc::clone(growing)),
            (_, _) => Kept::Copying(filling),
        }
    }

    /// After a 304: what is stored is fresh again, if it was meant.
    fn validated(&self, id: EntryId, stored: &Rc<Response>, answered: Answered<'_>) -> Kept {
        let kept = with_head(stored.head(), |old| {
            if caching::confirms(&answered.response.fields, &old.fields, 1) == Confirmation::No {
                return Kept::Unconfirmed;
            }
            let updated = self.freshen(id, stored, old, answered);
            Kept::Confirmed(updated.unwrap_or_else(|| Rc::clone(stored)))
        });
        kept.unwrap_or(Kept::Unconfirmed)
    }

    /// After a response to HEAD: whether what is stored is the same.
    fn compare(&self, id: EntryId, stored: &Rc<Response>, answered: Answered<'_>) {
        with_head(stored.head(), |old| {
            match caching::head_effect(&answered.response.into(), old.status, &old.fields, stored.available()) {
                HeadEffect::Nothing => {}
                HeadEffect::Invalidate => self.place.rules.cache.store.borrow_mut().remove(id),
                HeadEffect::Update => {
                    // What is stored is the response to GET.
                    let request = caching::Request { method: Method::Get, ..answered.request };
                    self.freshen(id, stored, old, Answered { request, ..answered });
                }
            }
        });
    }

    /// Updates the head of what is stored. None if it isn't stored any more.
    fn freshen(
        &self,
        id: EntryId,
        stored: &Rc<Response>,
        old: &ResponseHead<'_>,
        Answered { request, response, time, .. }: Answered<'_>,
    ) -> Option<Rc<Response>> {
        let settings = &self.place.rules.settings;
        let head = self.stored_head(old.status, |out| {
            caching::write_updated(&old.fields, &response.fields, time.unix_seconds, settings, out);
        });
        let arrival = self.arrival(&response.fields, time);
        let freshness = with_head(&head, |new| {
            let as_stored = caching::Response { body: client::Body::Length(0), ..caching::Response::from(new) };
            caching::evaluate(&request, &as_stored, arrival, settings).ok()
        })?;
        let mut store = self.place.rules.cache.store.borrow_mut();
        let updated = freshness.and_then(|freshness| store.update(id, stored, &head, freshness));
        if updated.is_none() || caching::changes_selection(&response.fields, &old.fields) {
            store.remove(id);
        }
        updated
    }

    /// When a response came. It took whole seconds only if it did, whatever the clock showed.
    fn arrival(&self, fields: &Fields<'_>, time: Time) -> Arrival {
        let delay = time.now.since(self.requested).as_secs();
        Arrival::of(fields, time.unix_seconds.saturating_sub_unsigned(delay), time.unix_seconds)
    }

    /// A head as it is stored. A gateway says itself which server it is.
    fn stored_head(&self, status: Status, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} \r\n", status.0).into_bytes();
        let mut lines = Vec::new();
        write(&mut lines);
        let is_left_out = |line: &&[u8]| {
            self.place.rules.settings.gateway && line.get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"server:"))
        };
        let kept = lines.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_left_out(line));
        kept.for_each(|line| head.extend_from_slice(line));
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// Parses a stored head.
pub(crate) fn parse_stored<'a>(head: &'a mut [u8], lines: &'a mut FieldLines) -> Option<ResponseHead<'a>> {
    client::parse(RequestKind::Content, head, lines).ok().flatten()
}

/// What `read` finds in a stored head.
fn with_head<T>(head: &[u8], read: impl FnOnce(&ResponseHead<'_>) -> T) -> Option<T> {
    let (mut lines, mut bytes) = (FieldLines::default(), head.to_vec());
    parse_stored(&mut bytes, &mut lines).map(|head| read(&head))
}

/// A response that grows in the store. If it is dropped before its end, readers see that it failed.
pub(super) struct Growing {
    rules: Rc<CacheRules>,
    filling: FillingId,
    body: client::Body,
    bytes: u64,
    /// The disk is slower than the upstream.
    pub(super) is_paused: bool,
    /// Its client gets it from the connection.
    pub(super) is_copy: bool,
    /// The upstream is busy with it, whether its client waits for it or not. Of a copy the exchange knows.
    _in_flight: Option<InFlight>,
    /// The requests that wait until it has ended.
    queue: Rc<Queue>,
}

impl Growing {
    /// A response that its clients read in the store, or, without `in_flight`, a copy.
    pub(super) fn new(storing: &Storing, filling: FillingId, body: client::Body, in_flight: Option<InFlight>) -> Self {
        let (rules, queue) = (Rc::clone(&storing.place.rules), Rc::clone(&storing.queue));
        let is_copy = in_flight.is_none();
        Self { rules, filling, body, bytes: 0, is_paused: false, is_copy, _in_flight: in_flight, queue }
    }

    /// Appends content. Returns false if nobody needs more of it: it can't be stored, or much is missing
    /// and no client reads it.
    pub(super) fn append(&mut self, content: &[u8]) -> bool {
        self.bytes += content.len() as u64;
        let mut store = self.rules.cache.store.borrow_mut();
        let appended = store.append(self.filling, content);
        self.is_paused = appended == Appended::Full;
        let rest = match self.body {
            client::Body::Length(length) => length.saturating_sub(self.bytes),
            // It may be short.
            _ => self.bytes,
        };
        // The store has one reference.
        let is_read = store.growing(self.filling).is_some_and(|response| Rc::strong_count(response) > 1);
        appended != Appended::Failed && (self.is_copy || is_read || rest <= limits::CACHE_UNREAD)
    }

    /// The response to this exchange has ended, properly or not: another one may begin at the upstream.
    pub(super) fn end(self, is_complete: bool, exchange: ExchangeId, cx: &mut Cx<'_>) {
        self.queue.wake(exchange, cx);
        if caching::is_whole(self.body, self.bytes, is_complete) {
            self.rules.cache.store.borrow_mut().end(self.filling);
        }
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        // After its end there is nothing under this name.
        self.rules.cache.store.borrow_mut().fail(self.filling);
    }
}
