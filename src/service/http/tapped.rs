//! What a tap is told about exchanges: what the bytes on the wire don't say.
//!
//! | on the packet | is said |
//! |---|---|
//! | that completes the head of a request | connection and request number, host, route |
//! | with the head of its response | the numbers, status, time in each phase |
//! | with the last bytes, if they come in a later turn | the numbers, how long the exchange took |
//! | that ends the connection | why it ends |
//!
//! Connection and request have the numbers of the access log. Without a tap nothing of this is called.

use std::fmt;
use std::time::Duration;

use super::access_log::{Details, Phases};
use super::exchange::{Exchange, Turn};
use super::persistence::{Reading, Writing};
use crate::http::Status;
use crate::logging::escape;
use crate::reactor::NoteOn;
use crate::service::Cx;

/// A request was resolved.
#[cold]
pub(super) fn request(exchange: &Exchange<'_>, turn: &mut Turn<'_, '_>) {
    let Details { host, route, .. } = exchange.details(turn);
    let [host, route] = [host, route].map(|text| escape(text.unwrap_or(b"none")));
    let exchange = number(turn.cx, turn.request);
    turn.cx.note(NoteOn::Received, format_args!("{exchange}: host {host}, route {route}"));
}

/// A response begins, or is there at once.
#[cold]
pub(super) fn response(exchange: &Exchange<'_>, status: Status, turn: &mut Turn<'_, '_>) {
    let phases = exchange.phases(turn.cx.time.now);
    let (exchange, status) = (number(turn.cx, turn.request), status.0);
    match turn.upstream {
        None => turn.cx.note(NoteOn::Sending, format_args!("{exchange}: status {status}{phases}")),
        Some(url) => {
            let url = escape(url.as_bytes());
            turn.cx.note(NoteOn::Sending, format_args!("{exchange}: status {status}{phases}, upstream {url}"));
        }
    }
    if status >= 500 {
        turn.cx.incident();
    }
}

/// Input that isn't a request is refused.
#[cold]
pub(super) fn refusal(status: Status, request: u32, cx: &mut Cx<'_>) {
    let exchange = number(cx, request);
    cx.note(NoteOn::Received, format_args!("{exchange}: it isn't a request"));
    cx.note(NoteOn::Sending, format_args!("{exchange}: status {}", status.0));
}

/// A response has ended that took more than one turn.
#[cold]
pub(super) fn ended(request: u32, took: Duration, unsent: u64, cx: &mut Cx<'_>) {
    let (exchange, took) = (number(cx, request), took.as_secs_f64());
    match unsent {
        0 => cx.note(NoteOn::Sent, format_args!("{exchange}: ended after {took:.6} s")),
        _ => cx.note(NoteOn::Sent, format_args!("{exchange}: ended after {took:.6} s, {unsent} bytes weren't sent")),
    }
}

/// The connection ends after an exchange.
#[cold]
pub(super) fn closing(reading: Reading, writing: Writing, request: u32, cx: &mut Cx<'_>) {
    let why = match (reading, writing) {
        (_, Writing::Cut | Writing::Abort) => "the response is incomplete",
        (Reading::Unread, _) => "a part of the request wasn't read",
        (Reading::Last, _) => "by its head the request was the last one",
        (Reading::KeepAlive, _) => "by its head the response was the last one",
    };
    closes(why, request, cx);
}

/// The connection ends for this reason.
#[cold]
pub(super) fn closes(why: &str, request: u32, cx: &mut Cx<'_>) {
    let exchange = number(cx, request);
    cx.note(NoteOn::Sending, format_args!("{exchange}: closed: {why}"));
}

/// An exchange, as it is named in the access log.
#[derive(Clone, Copy)]
struct Number {
    connection: u32,
    request: u32,
}

fn number(cx: &Cx<'_>, request: u32) -> Number {
    Number { connection: cx.handle.number(), request }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}, request {}", self.connection, self.request)
    }
}

impl fmt::Display for Phases {
    /// Those that took time. What happened in one turn took none by the clock of the loop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, time) in [("head", self.head), ("body", self.body), ("answer", self.answer)] {
            if let Some(time) = time.filter(|time| !time.is_zero()) {
                write!(f, ", {name} {:.6} s", time.as_secs_f64())?;
            }
        }
        Ok(())
    }
}
