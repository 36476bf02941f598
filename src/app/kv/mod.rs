//! The key-value service: a dictionary that speaks HTTP.
//!
//! ```text
//! GET    /            everything, as one JSON object; ?format=lines: an object a line
//! POST   /            a value under a new UUID: 201, its place in Location
//! GET    /KEY         the value, with the media type it came with
//! PUT    /KEY         the value from now on: 201 if there was none, else 204
//! DELETE /KEY         204, or 404
//! ```
//!
//! With `?ttl=SECONDS` a value written is gone after that time. A value is
//! `application/json`, and then it must be that, or `application/octet-stream`: types that
//! no form of a web page can send. What web pages could do else, `guard` refuses.
//!
//! In the list a JSON value is itself; of bytes those that are UTF-8 are a string, others a
//! string that is a `data:` URI (RFC 2397).
//!
//! It is an application at the root of a listener of its own, so framing, limits,
//! time-outs and the log are those of every exchange. A write to a durable store
//! is a job for the helper thread; see [`durable`](crate::durable) how these share a commit.

mod guard;
mod listing;

use std::rc::Rc;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Answer, App, Call, Methods, Outcome, Request, Response};
use crate::durable::{Change, Record, Store, WriteError, Written};
use crate::http::Status;
use crate::http::head::Method;
use crate::http::target;
use crate::reactor::JobClass;
use listing::{Format, Listing, SharedStore, StoreCell};

/// Longest key in bytes: long enough for any identifier, and short beside a value.
pub const KEY: usize = 512;
/// Longest life that can be given, in seconds: a hundred years.
const TTL: i64 = 100 * 365 * 86_400;
/// Most lists on their way at once: each keeps what it found, however slowly it is read.
const LISTINGS: usize = 4;

/// The types of values. The first byte of a record tells which.
const JSON: (u8, &str) = (b'j', "application/json");
const BYTES: (u8, &str) = (b'o', "application/octet-stream");

/// The key-value service.
pub struct Kv {
    store: SharedStore,
    token: Option<String>,
    /// As many owners beside this one as there are lists on their way.
    listings: Rc<()>,
}

/// What a write was, for its answer.
enum Done {
    Put { location: String, new_key: Option<String> },
    Removed,
}

/// What comes back from the helper thread.
struct Committed {
    done: Done,
    outcome: Result<bool, WriteError>,
}

impl Kv {
    /// Serves what is in `store`; with a token, to those alone who know it.
    pub fn new(store: Store, token: Option<String>) -> Self {
        Self { store: StoreCell::new(store), token, listings: Rc::new(()) }
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

    fn get(&mut self, key: &str, now: i64) -> Response {
        self.store.with(|store| match store.get(key.as_bytes(), now).and_then(|record| record.value.split_first()) {
            Some((tag, value)) => private(Response::new(Status::OK)).content(media_type(*tag), value.to_vec()),
            None => missing(),
        })
    }

    fn put(&mut self, key: &str, is_new: bool, request: &Request<'_>, now: i64) -> Result<Answer, Response> {
        let expires = match request.query("ttl") {
            None => None,
            Some(seconds) => Some(now.saturating_add(ttl(&seconds)?)),
        };
        let (tag, _) = value_type(request)?;
        let value = [&[tag], request.body].concat().into();
        let change = Change::Put(key.as_bytes().into(), Record { value, expires });
        let mut location = b"/".to_vec();
        target::encode_path(key.as_bytes(), &mut location);
        // What is encoded is ASCII.
        let location = String::from_utf8_lossy(&location).into_owned();
        Ok(self.write(change, Done::Put { location, new_key: is_new.then(|| key.to_owned()) }, now))
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
            Method::Get | Method::Head => Ok(Answer::now(self.get(key, now))),
            Method::Put => self.put(key, false, request, now),
            Method::Delete => Ok(self.write(Change::Remove(key.as_bytes().into()), Done::Removed, now)),
            _ => Err(not_allowed("GET, HEAD, PUT, DELETE, OPTIONS")),
        }
    }
}

impl App for Kv {
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
            Self::Put { location, new_key: Some(key) } => private(Response::new(Status::CREATED))
                .field("Location", location)
                .json(format!("{{\"key\":\"{key}\"}}\n")),
            Self::Put { location, new_key: None } if !was => Response::new(Status::CREATED).field("Location", location),
            Self::Removed if !was => missing(),
            _ => Response::new(Status::NO_CONTENT),
        }
    }
}

/// Seconds of a life.
fn ttl(text: &str) -> Result<i64, Response> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|seconds| digits && (1..=TTL).contains(seconds));
    seconds.ok_or_else(|| refuse(Status::BAD_REQUEST, "ttl is a whole number of seconds from 1 to a hundred years"))
}

/// Which type the value of a request has; it is of that type.
fn value_type(request: &Request<'_>) -> Result<(u8, &'static str), Response> {
    let named = request.head.fields.get("content-type").unwrap_or_default();
    let named = named.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let types = [JSON, BYTES].into_iter().find(|(_, name)| named.eq_ignore_ascii_case(name.as_bytes()));
    match types {
        None => {
            let why = "a value has Content-Type: application/json or application/octet-stream";
            Err(refuse(Status::UNSUPPORTED_MEDIA_TYPE, why))
        }
        // Read over, nothing is built of it.
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

/// Others' data: it isn't kept on its way, and a browser doesn't guess what it is.
fn private(response: Response) -> Response {
    response.no_store().field("X-Content-Type-Options", "nosniff")
}

fn missing() -> Response {
    refuse(Status::NOT_FOUND, "there is no such key")
}

fn not_allowed(methods: &'static str) -> Response {
    refuse(Status::METHOD_NOT_ALLOWED, "the method isn't allowed here").field("Allow", methods)
}

/// An error: a sentence with its end of line.
fn refuse(status: Status, why: impl Into<String>) -> Response {
    private(Response::new(status)).text(why.into() + "\n")
}

#[cfg(test)]
mod tests;
