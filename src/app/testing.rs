//! Calls an application without a server.

use std::cell::Cell;
use std::time::Duration;

use crate::app::{Answer, App, Body, Call, Ports, Request, Response};
use crate::http::FieldLines;
use crate::http::Status;
use crate::http::head::parse;
use crate::reactor::{Ends, Handle, Security, Tick, Time};
use crate::session::Session;

/// What a call has beside the request. It is the third request on connection 12.
#[derive(Default)]
pub(crate) struct Visit<'a> {
    pub(crate) session: Option<&'a mut Session>,
    pub(crate) security: Security<'a>,
    pub(crate) secure: bool,
    pub(crate) ports: Ports,
    /// In seconds.
    pub(crate) now: u64,
    /// The address of the server and the host that the request names, if they aren't the usual ones.
    pub(crate) at: Option<(&'a str, &'a str)>,
    /// Set if there is news for the application's watchers.
    pub(crate) news: Option<&'a Cell<bool>>,
}

impl Visit<'_> {
    /// The response of `app`, mounted at `mount`, to the request `head` (without its Host field
    /// and empty line) with `body`. Its jobs are done.
    pub(crate) fn answer(self, app: &mut dyn App, mount: &str, head: &str, body: &[u8]) -> Answer {
        let (local, host) = self.at.unwrap_or(("192.0.2.1:80", "example.org"));
        let bytes = format!("{head}\r\nHost: {host}\r\n\r\n").into_bytes();
        let mut lines = FieldLines::default();
        let head = parse(&bytes, &mut lines).unwrap().unwrap();
        let path = head.target.path.strip_prefix(mount.as_bytes()).unwrap();
        let request = Request { head: &head, body, mount, path };
        let local = local.parse().unwrap();
        let mut call = Call {
            time: Time { now: Tick::default().after(Duration::from_secs(self.now)), ..Time::default() },
            connection: Handle::for_test(12),
            request_number: 3,
            ends: Ends::secured_for_test("192.0.2.7:4711".parse().unwrap(), &local, self.security),
            client: Some("192.0.2.7".parse().unwrap()),
            secure: self.secure,
            ports: self.ports,
            session: self.session,
            news: false,
        };
        let answer = match app.handle(&request, &mut call) {
            Answer::Later(_, job) => app.resume(&request, &mut call, job()),
            answer => answer,
        };
        if let Some(news) = self.news {
            news.set(call.news);
        }
        answer
    }

    /// The response to a GET of `target` with the field lines `fields`, mounted at `/lab/x`.
    pub(crate) fn ask(self, app: &mut dyn App, target: &str, fields: &[&str]) -> Response {
        let head = [&[format!("GET {target} HTTP/1.1").as_str()], fields].concat().join("\r\n");
        response(self.answer(app, "/lab/x", &head, b""))
    }
}

/// The response of `app`, mounted at `mount`, to the request `head` with `body`.
pub(crate) fn visit(app: &mut dyn App, mount: &str, head: &str, body: &[u8], session: Option<&mut Session>) -> Answer {
    Visit { session, ..Visit::default() }.answer(app, mount, head, body)
}

/// The response of `app`, mounted at `mount`, to the request `head` (without its
/// Host field and empty line) with `body`.
pub(crate) fn ask_with(app: &mut dyn App, mount: &str, head: &str, body: &[u8]) -> Response {
    response(visit(app, mount, head, body, None))
}

fn response(answer: Answer) -> Response {
    match answer {
        Answer::Now(response) => response,
        Answer::Later(..) => panic!("its job is done"),
        Answer::Refused(reject) => panic!("{reject:?}"),
        Answer::Watch(_) => panic!("the applications here have no events"),
        Answer::Receive(_) => panic!("the applications here receive no content"),
    }
}

/// The status with which `app` refuses the request.
pub(crate) fn refused_with(app: &mut dyn App, mount: &str, head: &str, body: &[u8]) -> Status {
    match visit(app, mount, head, body, None) {
        Answer::Refused(reject) => reject.status,
        _ => panic!("not refused"),
    }
}

/// The same for a GET of `target` with the field lines `fields`.
pub(crate) fn refused(app: &mut dyn App, target: &str, fields: &[&str]) -> Status {
    let head = [&[format!("GET {target} HTTP/1.1").as_str()], fields].concat().join("\r\n");
    refused_with(app, "/lab/x", &head, b"")
}

/// The same for a GET of `target` with the field lines `fields`.
pub(crate) fn ask(app: &mut dyn App, target: &str, fields: &[&str]) -> Response {
    let head = [&[format!("GET {target} HTTP/1.1").as_str()], fields].concat().join("\r\n");
    ask_with(app, "/lab/x", &head, b"")
}

/// The value of a field, of which the response has one.
pub(crate) fn field<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let mut values = response.fields.iter().filter(|(found, _)| *found == name);
    let value = values.next().map(|(_, value)| &**value);
    assert!(values.next().is_none(), "{name} comes twice");
    value
}

/// The content of a response that isn't made over time.
pub(crate) fn content(response: &Response) -> &[u8] {
    match &response.body {
        Body::Bytes(bytes) => bytes,
        Body::Source(_) => panic!("made over time"),
    }
}

/// The same as text.
pub(crate) fn text(response: &Response) -> &str {
    std::str::from_utf8(content(response)).unwrap()
}
