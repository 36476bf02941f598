//! Tables of the rules. The rows are named after the rule; dates are relative to one second.

mod random;
mod reuse;
mod storing;
mod validation;

use super::*;
use crate::http::cache_control::MAX_SECONDS;
use crate::http::client::Body;
use crate::http::date;
use crate::http::head::Method;
use crate::http::{FieldLines, Status};

/// 2026-11-21T07:15:00Z, when the stored response is received.
const NOW: i64 = 1_795_245_300;

type Lines<'a> = &'a [(&'a str, &'a str)];

/// Field lines. A value like `@-60` is the date of so many seconds after [`NOW`].
fn lines(lines: Lines<'_>) -> FieldLines {
    let written = lines.iter().map(|&(name, value)| match value.strip_prefix('@') {
        Some(offset) => (name, at(offset.parse().unwrap())),
        None => (name, value.as_bytes().to_vec()),
    });
    let written: Vec<_> = written.collect();
    FieldLines::of(written.iter().map(|(name, value)| (*name, &value[..])))
}

fn at(offset: i64) -> Vec<u8> {
    let mut out = [0; date::LENGTH];
    date::write(NOW + offset, &mut out);
    out.to_vec()
}

fn get(lines: &FieldLines) -> Request<'_> {
    Request { method: Method::Get, fields: lines.fields(), has_content: false }
}

fn response(status: u16, lines: &FieldLines) -> Response<'_> {
    Response { status: Status(status), fields: lines.fields(), body: Body::Length(10) }
}

/// What comes of a response that is received at once.
fn store(request: Lines<'_>, status: u16, fields: Lines<'_>, settings: &Settings) -> Result<Freshness, Refusal> {
    let (request, fields) = (lines(request), lines(fields));
    let arrival = Arrival::of(&fields.fields(), NOW, NOW);
    evaluate(&get(&request), &response(status, &fields), arrival, settings)
}

const DEFAULT: Settings = Settings {
    gateway: false,
    store_cookies: false,
    obey_requests: true,
    heuristic_limit: 24 * 60 * 60,
    stale_if_error: 0,
    lifetimes: (0, u32::MAX),
};

#[test]
fn the_default_settings_are_those_of_a_proxy() {
    assert_eq!(Settings::default(), Settings { stale_if_error: 60, lifetimes: (0, MAX_SECONDS), ..DEFAULT });
}
