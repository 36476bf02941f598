//! The key-value service: values under keys, over HTTP.
//!
//! ```text
//! GET    /            everything, as one JSON object; ?format=lines: one object on a line
//! POST   /            stores a value under a new UUID: 201 with Location
//! GET    /KEY         the value, with its media type
//! PUT    /KEY         stores a value: 201 if the key is new, else 204
//! DELETE /KEY         204, or 404
//! ```
//!
//! With `?ttl=SECONDS` a value expires after that time. A value is `application/json`, which
//! is checked, or `application/octet-stream`. No form of a web page can send these types.
//! `guard.rs` refuses other requests of web pages.
//!
//! A value has an entity-tag, so preconditions work (RFC 9110 §13): `If-None-Match: *` stores
//! only a new key, `If-Match` changes only the value that the client has seen. They are
//! evaluated together with the write, and pending writes count, so of two such requests one
//! gets 412. Tags are valid until the service is started again.
//!
//! In the list a JSON value is itself. Bytes are a string if they are UTF-8, else a string
//! with a `data:` URI (RFC 2397).
//!
//! The service is an application at the root of a host of its own, so framing, limits,
//! timeouts and the log are those of every exchange. A write to a durable store is a job;
//! [`durable`](crate::durable) explains how writes share a commit.

mod guard;
mod listing;

use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Answer, App, Call, Methods, Outcome, Request, Response};
use crate::durable::{Change, Record, Store, WriteError, Written};
use crate::http::Status;
use crate::http::conditional::{self, Evaluation, Validators};
use crate::http::head::Method;
use crate::http::target;
use crate::reactor::JobClass;
use listing::{Format, Listing, SharedStore, StoreCell};

/// Longest key in bytes.
pub const KEY: usize = 512;
/// Longest time to live in seconds: a hundred years.
const TTL: i64 = 100 * 365 * 86_400;
/// Most lists that are sent at the same time.
const LISTINGS: usize = 4;

/// The types of values. The first byte of a record is the index of its type.
const JSON: (u8, &str) = (b'j', "application/json");
const BYTES: (u8, &str) = (b'o', "application/octet-stream");

/// The key-value service.
pub struct Kv {
    store: SharedStore,
    token: Option<String>,
    /// Counts the lists that are being sent: each has a clone.
    listings: Rc<()>,
    /// Makes entity-tags. Its key is secret, so no client can make two values with one tag.
    hasher: RandomState,
}

/// The kind of a write.
enum Done {
    Put { location: String, new_key: Option<String>, etag: String },
    Removed,
}

/// The result of the job.
struct Committed {
    done: Done,
    outcome: Result<bool, WriteError>,
}

impl Kv {
    /// Serves `store`. With a token, only clients that know it have access.
    pub fn new(store: Store, token: Option<String>) -> Self {
        Self { store: StoreCell::new(store), token, listings: Rc::new(()), hasher: RandomState::new() }
    }

    fn list(&mut self, request: &Request<'_>, now: i64) -> Response {
        let format = match request.query("format").as_deref() {
            None | Some("json") => Format::Object,
            Some("lines") => Format::Lines,
            Some(_) => return refuse(Status::BAD_REQUEST, "the formats are json and lines"),
        };
        if Rc::strong_count(&self.listings) > LISTINGS {
            let busy = refuse(Status::SERVICE_UNAVAILABLE, "too many lists are on their way");
            return busy.field("Retry-After", "1");
        }
        let listing = Listing::new(Rc::clone(&self.store), now, format, Rc::clone(&self.listings));
        private(Response::new(Status::OK)).stream(format.media_type(), listing)
    }

    fn get(&mut self, key: &str, request: &Request<'_>, now: i64) -> Response {
        let Self { store, hasher, .. } = self;
        store.with(|store| {
            let Some(record) = store.get(key.as_bytes(), now) else { return missing() };
            let Some((tag, value)) = record.value.split_first() else { return missing() };
            let etag = etag(hasher, &record.value);
            let validators = Validators { etag: etag.as_bytes(), modified: None };
            let status = match conditional::evaluate(true, &request.head.fields, Some(&validators), now) {
                Evaluation::Proceed => Status::OK,
                Evaluation::NotModified => return private(Response::new(Status::NOT_MODIFIED)).field("ETag", etag),
                Evaluation::Failed => return changed(),
            };
            private(Response::new(status)).field("ETag", etag).content(media_type(*tag), value.to_vec())
        })
    }

    /// Whether the preconditions of a write hold. Pending writes count as done.
    fn may_write(&mut self, key: &str, request: &Request<'_>, now: i64) -> bool {
        let Self { store, hasher, .. } = self;
        let current = store.with(|store| store.latest(key.as_bytes(), now)).map(|record| etag(hasher, &record.value));
        let validators = current.as_ref().map(|etag| Validators { etag: etag.as_bytes(), modified: None });
        conditional::evaluate(false, &request.head.fields, validators.as_ref(), now) == Evaluation::Proceed
    }

    fn put(&mut self, key: &str, is_new: bool, request: &Request<'_>, now: i64) -> Result<Answer, Response> {
        let expires = match request.query("ttl") {
            None => None,
            Some(seconds) => Some(now.saturating_add(ttl(&seconds)?)),
        };
        let (tag, _) = value_type(request)?;
        if !self.may_write(key, request, now) {
            return Err(changed());
        }
        let value: Arc<[u8]> = [&[tag], request.body].concat().into();
        let etag = etag(&self.hasher, &value);
        let change = Change::Put(key.as_bytes().into(), Record { value, expires });
        let mut location = b"/".to_vec();
        target::encode_path(key.as_bytes(), &mut location);
        // The encoded key is ASCII.
        let location = String::from_utf8_lossy(&location).into_owned();
        Ok(self.write(change, Done::Put { location, new_key: is_new.then(|| key.to_owned()), etag }, now))
    }

    fn write(&mut self, change: Change, done: Done, now: i64) -> Answer {
        match self.store.with(|store| store.write(vec![change], now)) {
            Ok(Written::Now(was)) => Answer::now(done.response(Ok(was))),
            Ok(Written::Later(commit)) => {
                Answer::later(JobClass::Commit, move || Committed { done, outcome: commit.wait() })
            }
            Err(error) => Answer::now(done.response(Err(error))),
        }
    }

    fn answer(&mut self, request: &Request<'_>, call: &Call<'_>) -> Result<Answer, Response> {
        guard::check(request.head, call.ends.local(), self.token.as_deref())?;
        let now = call.time.unix_seconds;
        let method = request.head.method;
        if request.path.is_empty() && request.head.target.path != b"/" {
            return Err(refuse(Status::BAD_REQUEST, "that path can't be decoded, or names no key"));
        }
        let key = request.path.strip_prefix(b"/").unwrap_or_default();
        if key.is_empty() {
            return match method {
                Method::Get | Method::Head => Ok(Answer::now(self.list(request, now))),
                Method::Post => self.put(&Uuid::new_v4().to_string(), true, request, now),
                _ => Err(not_allowed("GET, HEAD, POST, OPTIONS")),
            };
        }
        if key.len() > KEY {
            return Err(refuse(Status::URI_TOO_LONG, "a key has at most 512 bytes"));
        }
        let key = std::str::from_utf8(key).map_err(|_| refuse(Status::BAD_REQUEST, "a key is UTF-8"))?;
        match method {
            Method::Get | Method::Head => Ok(Answer::now(self.get(key, request, now))),
            Method::Put => self.put(key, false, request, now),
            Method::Delete if !self.may_write(key, request, now) => {
                // Without the key the response is 404 anyway (RFC 9110 §13.2.1).
                let exists = self.store.with(|store| store.latest(key.as_bytes(), now)).is_some();
                Err(if exists { changed() } else { missing() })
            }
            Method::Delete => Ok(self.write(Change::Remove(key.as_bytes().into()), Done::Removed, now)),
            _ => Err(not_allowed("GET, HEAD, PUT, DELETE, OPTIONS")),
        }
    }
}

impl App for Kv {
    fn figures(&self) -> Vec<(&'static str, u64)> {
        self.store.with(|store| store.figures())
    }

    fn methods(&self, _path: &[u8]) -> Methods {
        Methods::Only(&[Method::Get, Method::Head, Method::Put, Method::Post, Method::Delete])
    }

    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        self.answer(request, call).unwrap_or_else(Answer::now)
    }

    fn resume(&mut self, _request: &Request<'_>, _call: &mut Call<'_>, done: Outcome) -> Answer {
        Answer::now(match done.downcast::<Committed>() {
            Ok(committed) => committed.done.response(committed.outcome),
            Err(_) => unreachable!("every job of this application is a write"),
        })
    }
}

impl Done {
    fn response(self, outcome: Result<bool, WriteError>) -> Response {
        let was = match outcome {
            Ok(was) => was,
            Err(error @ (WriteError::Full | WriteError::NoSpace)) => {
                return refuse(Status::INSUFFICIENT_STORAGE, error.to_string());
            }
            Err(error) => return refuse(Status::INTERNAL_SERVER_ERROR, error.to_string()),
        };
        match self {
            Self::Put { location, new_key: Some(key), etag } => {
                let response = private(Response::new(Status::CREATED)).field("Location", location).field("ETag", etag);
                response.json(&json!({ "key": key }))
            }
            Self::Put { location, new_key: None, etag } if !was => {
                Response::new(Status::CREATED).field("Location", location).field("ETag", etag)
            }
            Self::Put { etag, .. } => Response::new(Status::NO_CONTENT).field("ETag", etag),
            Self::Removed if !was => missing(),
            Self::Removed => Response::new(Status::NO_CONTENT),
        }
    }
}

/// The time to live in seconds.
fn ttl(text: &str) -> Result<i64, Response> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|seconds| digits && (1..=TTL).contains(seconds));
    seconds.ok_or_else(|| refuse(Status::BAD_REQUEST, "ttl is a whole number of seconds from 1 to a hundred years"))
}

/// The type of the value in a request, which is valid.
fn value_type(request: &Request<'_>) -> Result<(u8, &'static str), Response> {
    let named = request.head.fields.get("content-type").unwrap_or_default();
    let named = named.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let types = [JSON, BYTES].into_iter().find(|(_, name)| named.eq_ignore_ascii_case(name.as_bytes()));
    match types {
        None => {
            let why = "a value has Content-Type: application/json or application/octet-stream";
            Err(refuse(Status::UNSUPPORTED_MEDIA_TYPE, why))
        }
        // It is parsed without building a tree.
        Some(JSON) => match serde_json::from_slice::<&RawValue>(request.body) {
            Ok(_) => Ok(JSON),
            Err(error) => Err(refuse(Status::BAD_REQUEST, format!("the value isn't JSON: {error}"))),
        },
        Some(other) => Ok(other),
    }
}

fn media_type(tag: u8) -> &'static str {
    if tag == JSON.0 { JSON.1 } else { BYTES.1 }
}

/// Data of clients: no cache stores it.
fn private(response: Response) -> Response {
    response.no_store()
}

/// The entity-tag of a record's value.
fn etag(hasher: &RandomState, value: &[u8]) -> String {
    format!("\"{:016x}\"", hasher.hash_one(value))
}

fn changed() -> Response {
    refuse(Status::PRECONDITION_FAILED, "the key has another value than the request expects")
}

fn missing() -> Response {
    refuse(Status::NOT_FOUND, "there is no such key")
}

fn not_allowed(methods: &'static str) -> Response {
    refuse(Status::METHOD_NOT_ALLOWED, "the method isn't allowed here").field("Allow", methods)
}

/// An error as a line of text.
fn refuse(status: Status, why: impl Into<String>) -> Response {
    private(Response::new(status)).text(why.into() + "\n")
}

#[cfg(test)]
mod tests;
