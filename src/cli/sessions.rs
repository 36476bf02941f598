//! `miod sessions`: lists the sessions of a store, or ends one.
//!
//! It runs no loop: it sends a request, blocks for the response, and ends.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::arguments::Tool;
use super::blocking::{self, RESPONSE, Stream, invalid, more};
use super::client_options::{ClientDraft, cacert, insecure};
use super::error::{CommandError, RUNTIME};
use super::{Command, UsageError};
use crate::config::options::Draft;
use crate::durable::{Change, Store, Written};
use crate::http::Status;
use crate::http::client::Request;
use crate::limits;
use crate::reactor::Time;
use crate::session::record::SessionRecord;
use crate::session::remote::resp;
use crate::session::remote::{PREFIX, StoreProtocol, StoreUrl, key};
use crate::session::{Id, disk_store};
use crate::trust::Trust;

/// The limit for a response.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The keys in one SCAN request.
const PAGE: &[u8] = b"500";

/// What to do with which store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionsPlan {
    /// The session to end; `None` lists all.
    end: Option<String>,
    store: Location,
    trust: Trust,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Location {
    Directory(PathBuf),
    Remote(StoreUrl),
}

pub(super) const TOOL: Tool<ClientDraft> = Tool {
    usage: "miod sessions lists the sessions of a store, or ends one, while servers use it.

Usage: miod sessions dump STORE
       miod sessions end ID STORE

STORE is http://[:TOKEN@]HOST:PORT/ (a key-value service), redis://[:PASS@]HOST:PORT/DB, the same by
TLS with https:// and rediss://, or the directory of --sessions file:DIR. dump prints the sessions,
one JSON object per line. end ends one; in a directory only while no server uses it.
",
    options: &[cacert(), insecure()],
    tap: &[],
    defaults: Draft::default,
    more: "Exit codes: 0; 1 no such session, or the store is unavailable; 2 usage error; 69 a server uses
the directory; 78 the store is damaged.

Examples:
  miod sessions dump redis://127.0.0.1:6379/0
  miod sessions end 8f14e45f-ceea-467f-9f0e-1c5b1f7bd2a1 http://127.0.0.1:5100/
",
};

pub(super) fn parse(arguments: Vec<OsString>) -> Result<Command, UsageError> {
    TOOL.parse(arguments, |Draft { command, .. }, words| {
        SessionsPlan::parse(&words).map(|plan| Command::Sessions(SessionsPlan { trust: command.trust, ..plan }))
    })
}

impl SessionsPlan {
    fn parse(words: &[String]) -> Result<Self, UsageError> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (end, store) = match words.as_slice() {
            ["dump", store] => (None, *store),
            ["end", id, store] => {
                let id =
                    Id::parse(id.as_bytes()).ok_or_else(|| UsageError(format!("{id} isn't a session identifier")))?;
                (Some(id.to_string()), *store)
            }
            _ => return Err(UsageError("give dump STORE, or end ID STORE".to_owned())),
        };
        let store = match store.strip_prefix("file:") {
            Some(directory) => Location::Directory(directory.into()),
            None if store.contains("://") => Location::Remote(
                StoreUrl::parse(store).map_err(|hint| UsageError(format!("the URL of the store: {hint}")))?,
            ),
            None => Location::Directory(store.into()),
        };
        Ok(Self { end, store, trust: Trust::System })
    }

    /// Runs the command. Sessions go to standard output.
    ///
    /// # Errors
    /// If the store is unavailable, or there is no such session.
    pub fn run(&self) -> Result<(), CommandError> {
        let ended = match (&self.store, &self.end) {
            (Location::Directory(directory), None) => {
                let mut store =
                    Store::copy(directory, disk_store::NAME).map_err(|error| CommandError::store(&error))?;
                for (key, record) in store.range(.., Time::wall()) {
                    show(&String::from_utf8_lossy(key), &record.value);
                }
                true
            }
            (Location::Directory(directory), Some(id)) => {
                // Fail if there is no store, instead of creating one.
                Store::copy(directory, disk_store::NAME).map_err(|error| CommandError::store(&error))?;
                let store = Store::open(directory, disk_store::NAME, limits::SESSIONS_SIZE);
                let mut store = store.map_err(|error| CommandError::store(&error))?;
                let ended = match store.write(vec![Change::Remove(Arc::from(id.as_bytes()))], Time::wall()) {
                    Ok(Written::Later(commit)) => commit.wait(),
                    Ok(Written::Now(was)) => Ok(was),
                    Err(error) => Err(error),
                };
                ended.map_err(|error| CommandError::new(RUNTIME, format!("can't end the session: {error}")))?
            }
            (Location::Remote(url), end) => {
                let asked = connect(url, &self.trust).and_then(|stream| match &url.protocol {
                    StoreProtocol::Redis { .. } => redis(stream, url, end.as_deref()),
                    StoreProtocol::Kv { token } => kv(stream, url, token.as_deref(), end.as_deref()),
                });
                asked.map_err(|error| CommandError::runtime(&format!("read {url}"), &error))?
            }
        };
        if ended { Ok(()) } else { Err(CommandError::new(RUNTIME, "no such session")) }
    }
}

/// Prints an entry of the store as a line, if it is a session.
fn show(id: &str, text: &[u8]) {
    let data = SessionRecord::decode(text).map(|record| record.data).or_else(|| serde_json::from_slice(text).ok());
    if let (Some(id), Some(data)) = (Id::parse(id.as_bytes()), data) {
        let line = Map::from_iter([(id.to_string(), Value::Object(data))]);
        super::print(&format!("{}\n", Value::Object(line)));
    }
}

fn connect(url: &StoreUrl, trust: &Trust) -> io::Result<Box<dyn Stream>> {
    let stream = blocking::connect(&url.host, url.port, TIMEOUT)?;
    if !url.tls {
        return Ok(Box::new(stream));
    }
    Ok(Box::new(blocking::secure(stream, &url.host, trust, url.protocol.alpn())?))
}

// ---- Redis

struct Redis {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
}

impl Redis {
    fn ask(&mut self, parts: &[&[u8]]) -> io::Result<resp::Value> {
        let mut out = Vec::new();
        resp::command(parts, &mut out);
        self.stream.write_all(&out)?;
        loop {
            match resp::parse(&self.input).map_err(|_| invalid("it isn't RESP2"))? {
                Some((resp::Value::Error(why), _)) => return Err(io::Error::other(why)),
                Some((value, length)) => {
                    self.input.drain(..length);
                    return Ok(value);
                }
                None => more(&mut *self.stream, &mut self.input)?,
            }
        }
    }
}

/// Ends a session, or lists all. False if there is no such session.
fn redis(stream: Box<dyn Stream>, url: &StoreUrl, end: Option<&str>) -> io::Result<bool> {
    let mut redis = Redis { stream, input: Vec::new() };
    if let StoreProtocol::Redis { user, password, database } = &url.protocol {
        if let Some(password) = password {
            let user = user.as_deref().unwrap_or("default");
            redis.ask(&[b"AUTH", user.as_bytes(), password.as_bytes()])?;
        }
        redis.ask(&[b"SELECT", database.to_string().as_bytes()])?;
    }
    if let Some(id) = end.and_then(|id| Id::parse(id.as_bytes())) {
        return Ok(redis.ask(&[b"DEL", key(id).as_bytes()])? != resp::Value::Integer(0));
    }
    let mut cursor = b"0".to_vec();
    loop {
        let pattern = format!("{PREFIX}*");
        let page = redis.ask(&[b"SCAN", &cursor, b"MATCH", pattern.as_bytes(), b"COUNT", PAGE])?;
        let resp::Value::Array(parts) = page else { return Err(invalid("unexpected response to SCAN")) };
        let [resp::Value::Bulk(next), resp::Value::Array(keys)] = parts.as_slice() else {
            return Err(invalid("unexpected response to SCAN"));
        };
        for key in keys {
            let resp::Value::Bulk(key) = key else { continue };
            // It may have expired since.
            if let resp::Value::Bulk(text) = redis.ask(&[b"GET", key])? {
                show(String::from_utf8_lossy(key).trim_start_matches(PREFIX), &text);
            }
        }
        if next == b"0" {
            return Ok(true);
        }
        cursor.clone_from(next);
    }
}

// ---- A key-value service

/// Ends a session, or lists all. False if there is no such session.
fn kv(mut stream: Box<dyn Stream>, url: &StoreUrl, token: Option<&str>, end: Option<&str>) -> io::Result<bool> {
    let mut fields = vec![("Connection".to_owned(), "close".to_owned())];
    fields.extend(token.map(|token| ("Authorization".to_owned(), format!("Bearer {token}"))));
    let target = end.map_or_else(|| "/?format=lines".to_owned(), |id| format!("/{id}"));
    let method = if end.is_some() { "DELETE" } else { "GET" };
    let host = url.authority();
    let request = Request { method, target: &target, host: &host, fields: &fields, length: None };
    let mut lines = Vec::new();
    let status = blocking::ask(&mut *stream, &request, |status, content| {
        lines.extend_from_slice(content);
        if status == Status::OK {
            while let Some(end) = memchr::memchr(b'\n', &lines) {
                let line: Vec<u8> = lines.drain(..=end).collect();
                show_line(&line);
            }
        }
        if lines.len() > RESPONSE { Err(invalid("the response is too long")) } else { Ok(()) }
    })?;
    match status {
        Status::OK | Status::NO_CONTENT => Ok(true),
        Status::NOT_FOUND if end.is_some() => Ok(false),
        Status(code) => Err(io::Error::other(format!("{code} {}", String::from_utf8_lossy(&lines).trim()))),
    }
}

/// Prints an object of a key and its value.
fn show_line(line: &[u8]) {
    if let Ok(Value::Object(object)) = serde_json::from_slice(line) {
        for (key, value) in object {
            show(&key, value.to_string().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<SessionsPlan, UsageError> {
        SessionsPlan::parse(&words.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn command_lines_and_mistakes() {
        let id = "11111111-1111-4111-8111-111111111111";
        let remote = |url: &str| Location::Remote(StoreUrl::parse(url).unwrap());
        for (words, end, store) in [
            ("dump /srv/data", None, Location::Directory("/srv/data".into())),
            ("dump file:data", None, Location::Directory("data".into())),
            ("dump http://h:5100/", None, remote("http://h:5100/")),
            (&format!("end {id} redis://h/1"), Some(id.to_owned()), remote("redis://h/1")),
        ] {
            assert_eq!(parse(words), Ok(SessionsPlan { end, store, trust: Trust::System }), "{words}");
        }
        for words in ["", "dump", "end", "dump a b", "end x /srv", &format!("end {id}"), "dump ftp://h/", "list /srv"] {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
