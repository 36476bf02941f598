//! `miod cache purge`: in a directory, or by a running server.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::super::blocking::{self, RESPONSE, Stream, invalid};
use super::super::error::CommandError;
use super::Owner;
use crate::cache::{Directory, Purge};
use crate::http::client::Request;
use crate::http::{Status, form};
use crate::limits;

/// The limit for a response: the server waits for the end of a purge.
const TIMEOUT: Duration = limits::CACHE_PURGE.saturating_add(Duration::from_secs(10));

/// Removes what is named. Returns how many entries there were.
pub(super) fn run(from: &Owner, what: &[Purge]) -> Result<u64, CommandError> {
    if let Owner::Directory(path) = from {
        return of_directory(path, what);
    }
    let asked = what.iter().map(|what| ask(from, what)).sum::<io::Result<u64>>();
    asked.map_err(|error| CommandError::runtime(&format!("have it purged by the server at {}", shown(from)), &error))
}

fn of_directory(path: &Path, what: &[Purge]) -> Result<u64, CommandError> {
    let directory = Directory::open_to_change(path).map_err(|error| {
        let busy = error.error.kind() == io::ErrorKind::ResourceBusy;
        let mut error = CommandError::cache(&error);
        if busy {
            error.message += "; a server removes entries itself, with --admin ADDR";
        }
        error
    })?;
    let removed = what.iter().map(|what| directory.remove(what)).sum::<io::Result<u64>>();
    removed.map_err(|error| CommandError::runtime(&format!("purge {}", path.display()), &error))
}

fn shown(server: &Owner) -> String {
    match server {
        Owner::Directory(path) => path.display().to_string(),
        Owner::Unix(path) => format!("unix:{}", path.display()),
        Owner::Tcp(host, port) => authority(host, *port),
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Has a server remove something.
fn ask(server: &Owner, what: &Purge) -> io::Result<u64> {
    let (mut stream, host): (Box<dyn Stream>, String) = match server {
        Owner::Tcp(host, port) => (Box::new(blocking::connect(host, *port, TIMEOUT)?), authority(host, *port)),
        Owner::Unix(path) => (Box::new(blocking::connect_unix(path, TIMEOUT)?), "localhost".to_owned()),
        Owner::Directory(_) => return Err(io::ErrorKind::Unsupported.into()),
    };
    let target = format!("/cache/purge?{}", query(what));
    let fields = [("Connection", "close"), ("Accept", "application/json, text/plain")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let request = Request { method: "POST", target: &target, host: &host, fields: &fields, length: Some(0) };
    let mut text = Vec::new();
    let status = blocking::ask(&mut *stream, &request, |_, content| {
        text.extend_from_slice(content);
        if text.len() > RESPONSE { Err(invalid("the response is too long")) } else { Ok(()) }
    })?;
    let removed = serde_json::from_slice::<Value>(&text).ok().and_then(|object| object.get("removed")?.as_u64());
    match (status, removed) {
        (Status::OK, Some(removed)) => Ok(removed),
        (Status(code), _) => {
            let text = String::from_utf8_lossy(&text);
            Err(io::Error::other(format!("{code} {}", text.trim())))
        }
    }
}

/// What is to be removed, as a query.
fn query(what: &Purge) -> String {
    let value = |bytes: &[u8]| form::encode(&String::from_utf8_lossy(bytes));
    match what {
        Purge::All => "all=1".to_owned(),
        Purge::Uri(uri) => format!("url={}", value(uri)),
        Purge::Prefix(prefix) => format!("prefix={}", value(prefix)),
        Purge::Tag(tag) => format!("tag={}", value(tag)),
    }
}
