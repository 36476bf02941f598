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

use std::time::Duration;

use super::Cx;
use super::access_log::{Details, Phases};
use super::exchange::{Exchange, Turn};
use super::persistence::{Reading, Writing};
use crate::http::Status;
use crate::logging::escape;
use crate::reactor::NoteOn;

/// A request was resolved.
#[cold]
pub(super) fn request(exchange: &Exchange<'_>, turn: &mut Turn<'_, '_>) {
    let number = number(turn.cx, turn.request);
    let details = Details::of(exchange, turn);
    let host = details.host.map_or_else(|| "none".to_owned(), |host| escape(host).to_string());
    let route = details.route.map_or_else(|| "none".to_owned(), |route| escape(route).to_string());
    turn.cx.note(NoteOn::Received, || format!("{number}: host {host}, route {route}"));
}

/// A response begins, or is there at once.
#[cold]
pub(super) fn response(exchange: &Exchange<'_>, status: Status, turn: &mut Turn<'_, '_>) {
    let number = number(turn.cx, turn.request);
    let Phases { head, body, answer, .. } = Details::of(exchange, turn).phases;
    let phases = [("head", head), ("body", body), ("answer", answer)];
    // What happened in one turn took no time by the clock of the loop.
    let phases = phases.into_iter().filter(|(_, time)| time.is_some_and(|time| !time.is_zero()));
    let phases: String = phases.map(|(name, time)| format!(", {name} {}", seconds(time.unwrap_or_default()))).collect();
    let upstream = turn.upstream.map_or_else(String::new, |url| format!(", upstream {}", escape(url.as_bytes())));
    turn.cx.note(NoteOn::Sending, || format!("{number}: status {}{phases}{upstream}", status.0));
    if status.0 >= 500 {
        turn.cx.incident();
    }
}

/// Input that isn't a request is refused.
#[cold]
pub(super) fn refusal(status: Status, request: u32, cx: &mut Cx<'_>) {
    let number = number(cx, request);
    cx.note(NoteOn::Received, || format!("{number}: it isn't a request"));
    cx.note(NoteOn::Sending, || format!("{number}: status {}", status.0));
}

/// A response has ended that took more than one turn.
#[cold]
pub(super) fn ended(request: u32, took: Duration, unsent: u64, cx: &mut Cx<'_>) {
    let number = number(cx, request);
    let rest = if unsent == 0 { String::new() } else { format!(", {unsent} bytes weren't sent") };
    cx.note(NoteOn::Sent, || format!("{number}: ended after {}{rest}", seconds(took)));
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
    let number = number(cx, request);
    cx.note(NoteOn::Sending, || format!("{number}: closed: {why}"));
}

fn number(cx: &Cx<'_>, request: u32) -> String {
    format!("connection {}, request {request}", cx.handle.number())
}

fn seconds(time: Duration) -> String {
    format!("{:.6} s", time.as_secs_f64())
}
