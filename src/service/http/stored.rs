//! Sends a stored response: all of it, a range of it, or that it is not modified (RFC 9111 §4).
//!
//! What is stored was written to be copied: all field lines but those about the message, Age and
//! Cache-Status. So the head of a usual hit isn't parsed.

use std::ops::Range;
use std::rc::Rc;

use super::asking::Plan;
use super::coding::Coding;
use super::exchange::{Exchange, Turn};
use super::received::received;
use super::rejects::FAILED;
use super::respond::{self, refuse};
use super::sending_stored::SendingStored;
use super::state::{Progress, State};
use crate::cache::{self, Part, Response};
use crate::files::CacheResult;
use crate::http::caching::{self, Answer, Handling};
use crate::http::client::ResponseHead as StoredHead;
use crate::http::compressing::Change;
use crate::http::range::Ranges;
use crate::http::response::{BodyForm, Length, ResponseHead, write_decimal};
use crate::http::{FieldLines, Status};
use crate::service::proxy::parse_stored;

/// Sends what of a stored response the request asks for.
pub(super) fn send(
    exchange: &Exchange<'_>,
    plan: &Plan,
    response: Rc<Response>,
    handling: Handling,
    turn: &mut Turn<'_, '_>,
) -> Progress {
    turn.cache = Some(if handling == Handling::Hit { CacheResult::Hit } else { CacheResult::Miss });
    let now = turn.cx.time.unix_seconds;
    let (mut room, mut bytes) = (FieldLines::default(), Vec::new());
    let length = response.length().map_or(Length::Unknown, Length::Known);
    let own = Rc::clone(&response);
    let decide = |traits| Coding::decide(exchange, traits, length);
    let whole = decide(own.traits());
    let is_usual = is_usual(exchange, plan, &response) && whole.change() != Change::Fields;
    let head = match is_usual {
        true => None,
        false => {
            bytes.extend_from_slice(response.head());
            parse_stored(&mut bytes, &mut room)
        }
    };
    let Some(status) = response.status().filter(|_| is_usual || head.is_some()) else {
        // It was parsed when it was stored.
        return refuse(exchange, FAILED, turn);
    };
    let answer = head.as_ref().map_or(Answer::Whole, |head| answer_of(exchange, head, &response, now));
    let answered = |status| decide(own.traits().answered(status));
    let (status, range, coding) = match answer {
        Answer::NotModified => (Status::NOT_MODIFIED, None, answered(Status::NOT_MODIFIED)),
        // Ranges are those of the content as it is.
        Answer::Ranges(Ranges::One(range)) => (Status::PARTIAL_CONTENT, Some(range), answered(Status::PARTIAL_CONTENT)),
        Answer::Ranges(Ranges::Unsatisfiable) => (Status::RANGE_NOT_SATISFIABLE, None, decide(own.traits().fixed())),
        // Several ranges are more work for both than the whole (RFC 9110 §14.2).
        Answer::Whole | Answer::Ranges(Ranges::Several(_) | Ranges::Ignored) => (status, None, whole.in_pieces(turn)),
    };
    let mut sending = Sending { exchange, plan, head: head.as_ref(), response, handling, coding, turn };
    match status {
        Status::NOT_MODIFIED | Status::RANGE_NOT_SATISFIABLE => sending.nothing(status),
        _ => sending.content(status, range),
    }
}

/// Whether all of the response is sent, as it is stored.
fn is_usual(exchange: &Exchange<'_>, plan: &Plan, response: &Response) -> bool {
    let (present, policy) = (exchange.head.present, exchange.facts.policy());
    let is_for_anybody = policy.replaced.is_empty() && !policy.private;
    // A URL with a host may be one of the upstream.
    let is_passed = plan.textbook.is_none() && (plan.proxy.is_forward || !response.has_urls());
    !present.conditional && !present.range && is_for_anybody && is_passed
}

fn answer_of(exchange: &Exchange<'_>, head: &StoredHead<'_>, response: &Response, now: i64) -> Answer {
    let request = caching::Request::from(exchange.head);
    match caching::answer(&request, head.status, &head.fields, response.available(), now) {
        // Where a range ends is known when all is there.
        Answer::Ranges(_) if response.state() != cache::State::Whole => Answer::Whole,
        answer => answer,
    }
}

/// A stored response on its way to a client.
struct Sending<'s, 't, 'c> {
    exchange: &'s Exchange<'s>,
    plan: &'s Plan,
    /// Its parsed head, if it isn't sent as it is stored.
    head: Option<&'s StoredHead<'s>>,
    response: Rc<Response>,
    handling: Handling,
    coding: Coding<'s>,
    turn: &'s mut Turn<'t, 'c>,
}

impl Sending<'_, '_, '_> {
    /// Sends a response without content.
    fn nothing(&mut self, status: Status) -> Progress {
        let (_, persistent) = self.write_head(status, None, Length::Known(0));
        respond::complete(self.exchange, status, 0, persistent, self.turn)
    }

    /// Sends content: all of it, or this range.
    fn content(mut self, status: Status, range: Option<Range<u64>>) -> Progress {
        let length = match (&range, self.response.length()) {
            (Some(range), _) => Length::Known(range.end - range.start),
            (None, Some(bytes)) => Length::Known(bytes),
            (None, None) => Length::Unknown,
        };
        let length = self.coding.length(length);
        let coder = self.coding.coder.take();
        let (form, persistent) = self.write_head(status, range.as_ref(), length);
        let Self { exchange, response, turn, .. } = self;
        if form == BodyForm::Absent || length == Length::Known(0) {
            return respond::complete(exchange, status, 0, persistent, turn);
        }
        let range = range.unwrap_or(0..u64::MAX);
        if let Length::Known(bytes) = length
            && write_at_once(&response, range.start, bytes, turn)
        {
            return respond::complete(exchange, status, bytes, persistent, turn);
        }
        let body = respond::begin_body(exchange, status, form, turn).with(coder);
        Progress::Pending(State::SendingStored(Box::new(SendingStored::new(response, range, persistent, body))))
    }

    fn write_head(&mut self, status: Status, range: Option<&Range<u64>>, length: Length) -> (BodyForm, bool) {
        let (now, freshness) = (self.turn.cx.time.unix_seconds, self.response.freshness());
        let context = self.exchange.context(&self.turn.cx.shared.http.stamp, self.turn.cx.draining);
        let mut out = ResponseHead::begin_undated(self.turn.output.buffer(), status, context);
        match self.head {
            None => {
                out.prebuilt(self.response.lines());
                if let Change::Line(line) = self.coding.change() {
                    out.lines(line);
                }
                self.plan.via().into_iter().for_each(|via| out.field("Via", via.as_bytes()));
            }
            Some(head) => {
                let is_304 = status == Status::NOT_MODIFIED;
                let fields = received(self.exchange, self.plan, &head.fields);
                head.fields.get("date").into_iter().for_each(|date| out.field("Date", date));
                let fields = fields.filter(|(name, _)| !is_304 || caching::is_sent_with_304(name));
                self.coding.fields(fields).for_each(|(name, value)| out.field(name, &value));
            }
        }
        let buffer = out.buffer();
        caching::write_age(freshness.age(now), buffer);
        caching::write_cache_status(self.handling, Some(freshness.remaining(now)), buffer);
        let is_hit = self.handling == Handling::Hit;
        buffer.extend_from_slice(if is_hit { b"X-Cache: HIT\r\n" } else { b"X-Cache: MISS\r\n" });
        if range.is_some() || status == Status::RANGE_NOT_SATISFIABLE {
            write_content_range(range, self.response.available(), buffer);
        }
        out.end(length)
    }
}

/// Writes Content-Range (RFC 9110 §14.4); without a range, as 416 has it.
fn write_content_range(range: Option<&Range<u64>>, length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Content-Range: bytes ");
    match range {
        None => out.push(b'*'),
        Some(range) => {
            write_decimal(out, range.start);
            out.push(b'-');
            write_decimal(out, range.end - 1);
        }
    }
    out.push(b'/');
    write_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Writes content of this length, if all of it is there and fits.
fn write_at_once(response: &Response, at: u64, length: u64, turn: &mut Turn<'_, '_>) -> bool {
    match response.read(at) {
        Some(Part::Memory(mut bytes)) if bytes.len() as u64 >= length && length <= turn.output.room() as u64 => {
            bytes.truncate(length as usize);
            turn.output.share(bytes);
            true
        }
        Some(Part::File(mut slice)) if slice.length >= length => {
            slice.length = length;
            turn.output.file(slice);
            true
        }
        _ => false,
    }
}
