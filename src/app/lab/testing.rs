//! Asks an application without a server.

use crate::app::{Answer, App, Body, Request, Response, Visit};
use crate::http::head::{Lines, parse};
use crate::reactor::{Ends, Handle, Time};

/// The answer of `app`, mounted at `mount`, to the request `head` (without its
/// Host field and empty line) with `body`: the third request on connection 12.
pub(super) fn ask_with(app: &mut dyn App, mount: &str, head: &str, body: &[u8]) -> Response {
    let mut octets = format!("{head}\r\nHost: example.org\r\n\r\n").into_bytes();
    let mut lines = Lines::default();
    let head = parse(&mut octets, &mut lines).unwrap().unwrap();
    let path = head.target.path.strip_prefix(mount.as_bytes()).unwrap();
    let request = Request { head: &head, body, mount, path };
    let mut visit = Visit {
        time: Time::default(),
        connection: Handle::imagined(12),
        request_number: 3,
        ends: Ends::imagined("192.0.2.7:4711".parse().unwrap(), "192.0.2.1:80".parse().unwrap()),
        session: None,
        news: false,
    };
    match app.handle(&request, &mut visit) {
        Answer::Now(response) => response,
        _ => panic!("the applications here answer at once"),
    }
}

/// The same for a GET of `target` with the field lines `fields`.
pub(super) fn ask(app: &mut dyn App, target: &str, fields: &[&str]) -> Response {
    let head = [&[format!("GET {target} HTTP/1.1").as_str()], fields].concat().join("\r\n");
    ask_with(app, "/lab/x", &head, b"")
}

/// The value of a field of a response, the only one of its name.
pub(super) fn field<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let mut values = response.fields.iter().filter(|(found, _)| *found == name);
    let value = values.next().map(|(_, value)| &**value);
    assert!(values.next().is_none(), "{name} comes twice");
    value
}

/// The content of a response that isn't made over time.
pub(super) fn content(response: &Response) -> &[u8] {
    match &response.body {
        Body::Bytes(bytes) => bytes,
        Body::Source(_) => panic!("made over time"),
    }
}

/// The same as text.
pub(super) fn text(response: &Response) -> &str {
    std::str::from_utf8(content(response)).unwrap()
}
