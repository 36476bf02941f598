//! The resources of the origins that may be stored: each has variants, and each of these versions that
//! follow each other. An entity-tag names all three, and so does the content.

use std::collections::HashMap;

use super::Dice;
use super::origin::Request;
use super::texts;
use super::world::{Given, World};

/// How many there are, and variants of each.
pub(super) const URIS: usize = 3;
pub(super) const VARIANTS: usize = 2;

/// The versions of the variants.
#[derive(Default)]
pub(super) struct Resources(HashMap<(usize, usize), u64>);

impl Resources {
    /// The present version.
    pub(super) fn version(&self, uri: usize, variant: usize) -> u64 {
        self.0.get(&(uri, variant)).copied().unwrap_or(0)
    }

    fn change(&mut self, uri: usize, variant: usize) {
        *self.0.entry((uri, variant)).or_default() += 1;
    }
}

/// Whether a resource has variants.
pub(super) fn varies(uri: usize) -> bool {
    uri != 1
}

pub(super) fn etag(uri: usize, variant: usize, version: u64) -> String {
    format!("\"{uri}-{variant}-{version}\"")
}

/// The length of a version.
pub(super) fn length(uri: usize, variant: usize, version: u64) -> usize {
    let mut dice = Dice::new(texts::of_resource(uri, variant, version));
    let most = if dice.one_in(5) { 300_000 } else { 3_000 };
    dice.amount(most)
}

/// What an origin says about reuse: the value of Cache-Control, for how long it is fresh, for how long
/// it may be used then, and whether it is for one client only.
const DIRECTIVES: [(&str, i64, i64, bool); 9] = [
    ("max-age=100", 100, 0, false),
    ("max-age=3", 3, 0, false),
    ("max-age=3", 3, 0, false),
    ("max-age=0", 0, 0, false),
    ("no-cache", 0, -1, false),
    ("no-store", 0, -1, true),
    ("private, max-age=100", 0, -1, true),
    ("max-age=2, stale-while-revalidate=10", 2, 10, false),
    ("max-age=2, stale-if-error=50", 2, 50, false),
];

/// The answer to a request for a resource, and the field lines of its head.
pub(super) fn answer(request: &Request, world: &mut World<'_>) -> (Given, String) {
    let number = request.target().rsplit('/').next().and_then(|uri| uri.parse().ok());
    let uri: usize = number.expect("a resource");
    let variant = request.field("X-Variant").and_then(|variant| variant.parse().ok()).expect("a variant");
    let variant = if varies(uri) { variant } else { 0 };
    if !matches!(request.method(), "GET" | "HEAD") {
        (0..VARIANTS).for_each(|variant| world.resources.change(uri, variant));
        let mut given = Given::new(request.id, 204, 0, 0, world);
        given.also = world.dice.one_in(2).then(|| world.dice.below(URIS));
        let origin = world.dice.pick(&["", "http://origin-0", "http://a.example"]);
        let line = |also: usize| format!("Content-Location: {origin}/up/c/{also}\r\n");
        let lines = given.also.map(line).unwrap_or_default();
        return (given, lines);
    }
    if world.dice.one_in(6) {
        world.resources.change(uri, variant);
    }
    let version = world.resources.version(uri, variant);
    let (directives, lifetime, grace, is_private) = world.dice.pick(&DIRECTIVES);
    let (etag, length) = (etag(uri, variant, version), length(uri, variant, version));
    let mut given = Given::new(request.id, 200, texts::of_resource(uri, variant, version), length, world);
    (given.resource, given.lifetime, given.grace, given.is_private) =
        (Some((uri, variant)), lifetime, grace, is_private);
    let mut lines = format!("Cache-Control: {directives}\r\n");
    if varies(uri) {
        lines.push_str("Vary: X-Variant\r\n");
    }
    if world.dice.one_in(10) {
        // Nobody knows when it changes.
        (given.status, given.tag) = (world.dice.pick(&[500, 404]), texts::of_answer(world.given.len()));
        return (given, lines);
    }
    lines.push_str(&format!("ETag: {etag}\r\nDate: {}\r\n", date(world.second())));
    let range = request.field("Range").filter(|_| request.method() == "GET" && request.field("If-Range").is_none());
    if request.field("If-None-Match").is_some_and(|tags| tags.split(", ").any(|tag| tag == etag)) {
        given.status = 304;
    } else if let Some(part) = range.and_then(|range| part(range, length)).filter(|_| world.dice.one_in(2)) {
        lines.push_str(&format!("Content-Range: bytes {}-{}/{length}\r\n", part.start, part.end - 1));
        (given.status, given.part) = (206, part);
    }
    (given, lines)
}

/// The part that a Range field asks for.
pub(super) fn part(range: &str, length: usize) -> Option<std::ops::Range<usize>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && first < length).then(|| first..length.min(last + 1))
}

fn date(second: i64) -> String {
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(second as u64))
}
