//! What an origin answers, and what goes wrong then.

use super::Dice;
use super::received::Request;
use super::resources::{self, URIS, VARIANTS, varies};
use super::script::{Script, Then};
use super::texts;
use super::world::{Given, World};

/// An answer.
pub(super) struct Answer {
    /// Its number among those given.
    pub(super) serial: usize,
    /// Interim responses, which are sent at once.
    pub(super) interim: Vec<u8>,
    /// What is sent then.
    pub(super) bytes: Vec<u8>,
    pub(super) then: Then,
    /// It doesn't wait for the content of the request.
    pub(super) is_early: bool,
    /// Bytes pass unchanged then.
    pub(super) is_tunnel: bool,
    /// It is no proper answer.
    pub(super) is_faulty: bool,
}

/// For how many seconds it is fresh.
const FRESH: i64 = 1_000;

impl Script {
    fn answer(&self, request: &Request, serial: usize, world: &mut World<'_>) -> Answer {
        let tag = texts::of_answer(serial);
        let mut given = Given::new(request.id, 200, tag, self.length, world);
        let uri = request.target().strip_prefix("/up/c/").and_then(|uri| uri.parse().ok()).expect("a resource");
        (given.resource, given.lifetime, given.is_private) = (Some((uri, 0)), FRESH, false);
        let lines = format!("X-Origin: {serial}\r\nCache-Control: max-age={FRESH}\r\n");
        let mut bytes = format!("HTTP/1.1 103 \r\n\r\nHTTP/1.1 200 \r\n{lines}").into_bytes();
        let content = world.texts.get(tag, self.length);
        if self.is_chunked {
            bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            super::write_chunks(&mut Dice::new(0), content, &mut bytes);
        } else {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", self.length).as_bytes());
            bytes.extend_from_slice(content);
        }
        given.is_whole = self.bytes >= bytes.len();
        let (then, is_faulty) = if given.is_whole { (Then::Stay, false) } else { (self.then, true) };
        bytes.truncate(self.bytes);
        world.given.push(given);
        if is_faulty {
            world.fault("an answer that is cut");
        }
        Answer { serial, interim: Vec::new(), bytes, then, is_early: false, is_tunnel: false, is_faulty }
    }
}

/// Decides about the answer to a request.
pub(super) fn draw(request: &Request, world: &mut World<'_>) -> Answer {
    let serial = world.given.len();
    if let Some(script) = world.scripts.pop_front() {
        return script.answer(request, serial, world);
    }
    let interim = interim(request, world);
    if request.field("Upgrade").is_some() && world.dice.below(4) > 0 {
        return tunnel(request, serial, interim, world);
    }
    let (given, lines) = match request.target().strip_prefix("/up/c/") {
        Some(_) => resource(request, world),
        None => plain(request, serial, world),
    };
    let mut answer = Answer {
        serial,
        interim,
        bytes: format!("HTTP/1.1 {} \r\n{lines}X-Origin: {serial}\r\n", given.status).into_bytes(),
        then: Then::Stay,
        is_early: world.dice.one_in(10),
        is_tunnel: false,
        is_faulty: false,
    };
    write_content(request, &given, &mut answer, world);
    world.given.push(given);
    if world.is_rough && world.dice.one_in(5) {
        go_wrong(&mut answer, world);
    }
    world.given[serial].is_early = answer.is_early;
    answer
}

fn interim(request: &Request, world: &mut World<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    if request.field("Expect").is_some() && !world.dice.one_in(4) {
        out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    if world.dice.one_in(10) {
        out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    }
    out
}

/// An answer that says nothing about caches.
fn plain(request: &Request, serial: usize, world: &mut World<'_>) -> (Given, String) {
    let status = world.dice.pick(&[200, 200, 200, 200, 404, 500, 204]);
    let most = if world.dice.one_in(8) { texts::LONGEST } else { 4_000 };
    let length = if status == 204 { 0 } else { world.dice.amount(most) - 1 };
    let given = Given::new(request.id, status, texts::of_answer(serial), length, world);
    (given, String::new())
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
fn resource(request: &Request, world: &mut World<'_>) -> (Given, String) {
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
    let (etag, length) = (resources::etag(uri, variant, version), resources::length(uri, variant, version));
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
    } else if let Some(part) = range.and_then(|range| resources::part(range, length)).filter(|_| world.dice.one_in(2)) {
        lines.push_str(&format!("Content-Range: bytes {}-{}/{length}\r\n", part.start, part.end - 1));
        (given.status, given.part) = (206, part);
    }
    (given, lines)
}

fn date(second: i64) -> String {
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(second as u64))
}

impl Given {
    /// An answer, as a cache must not use it.
    pub(super) fn new(request: u64, status: u16, tag: u64, length: usize, world: &World<'_>) -> Self {
        Self {
            request,
            status,
            tag,
            length,
            part: 0..length,
            is_early: false,
            is_whole: true,
            resource: None,
            lifetime: 0,
            grace: 0,
            ends_first: false,
            is_private: true,
            second: world.second(),
            step: world.step,
            lost: None,
            receivers: 0,
            also: None,
            invalid: None,
        }
    }
}

/// Writes the framing and the content.
fn write_content(request: &Request, given: &Given, answer: &mut Answer, world: &mut World<'_>) {
    let content = &world.texts.get(given.tag, given.length)[given.part.clone()];
    let bytes = &mut answer.bytes;
    let is_absent = request.method() == "HEAD" || matches!(given.status, 204 | 304);
    let form = world.dice.below(8);
    match form {
        7 => bytes.extend_from_slice(b"Connection: close\r\n\r\n"),
        _ if matches!(given.status, 204 | 304) => bytes.extend_from_slice(b"\r\n"),
        5..7 => bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n"),
        _ => bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", content.len()).as_bytes()),
    }
    if form == 7 {
        answer.then = Then::Close;
    }
    match form {
        _ if is_absent => {}
        5..7 => super::write_chunks(&mut world.dice, content, bytes),
        _ => bytes.extend_from_slice(content),
    }
}

/// Spoils an answer.
fn go_wrong(answer: &mut Answer, world: &mut World<'_>) {
    let end = world.dice.pick(&[Then::Close, Then::Reset, Then::Reset, Then::Silence]);
    let head = memchr::memmem::find(&answer.bytes, b"\r\n\r\n").map_or(0, |end| end + 4);
    let length = answer.bytes.len();
    let is_open_ended = answer.then == Then::Close && length > head;
    (answer.is_faulty, answer.is_early) = (true, world.dice.one_in(2));
    let what = match world.dice.below(5) {
        0 => {
            (answer.bytes, answer.then) = (Vec::new(), end);
            "no answer"
        }
        1 => {
            let garbage: &[u8] =
                world.dice.pick(&[b"\0", b"HTTP/1.1 2x0 \r\n\r\n", b"HTTP/2 200\r\n\r\n", b"\r\n\r\n\r\n"]);
            (answer.bytes, answer.then) = (garbage.to_vec(), end);
            "garbage"
        }
        2 => {
            answer.bytes.truncate(world.dice.below(head));
            answer.then = end;
            "a cut head"
        }
        3 if answer.then == Then::Stay => {
            answer.bytes.extend_from_slice(world.dice.pick(&[b"\0", b"x"]));
            "extra bytes"
        }
        _ => {
            answer.bytes.truncate(head + world.dice.below(length - head + 1));
            // Nobody can see that a response without a length was cut, if its end is a proper one.
            answer.then = if is_open_ended && end == Then::Close { Then::Reset } else { end };
            "cut content"
        }
    };
    let is_whole = answer.bytes.len() >= length && !is_open_ended;
    let step = world.step;
    let given = &mut world.given[answer.serial];
    given.is_whole = is_whole;
    given.lost = None;
    given.step = step;
    match answer.then {
        Then::Silence => world.lasting_fault(what),
        _ => world.fault(what),
    }
}

/// A 101, and what the origin sends then.
fn tunnel(request: &Request, serial: usize, interim: Vec<u8>, world: &mut World<'_>) -> Answer {
    let most = if world.dice.one_in(4) { texts::LONGEST } else { 2_000 };
    let (tag, length) = (texts::of_tunnel(request.id, false), world.dice.below(most));
    let head = format!("HTTP/1.1 101 \r\nConnection: Upgrade\r\nUpgrade: x/1\r\nX-Origin: {serial}\r\n\r\n");
    let mut bytes = [head.as_bytes(), world.texts.get(tag, length)].concat();
    let mut given = Given::new(request.id, 101, tag, length, world);
    let mut then = world.dice.pick(&[Then::Close, Then::Stay]);
    let is_faulty = world.is_rough && world.dice.one_in(4);
    if is_faulty {
        bytes.truncate(head.len() + world.dice.below(length + 1));
        given.is_whole = false;
        then = world.dice.pick(&[Then::Reset, Then::Silence]);
        world.lasting_fault("a tunnel that is lost");
    }
    given.ends_first = then == Then::Close;
    world.given.push(given);
    Answer { serial, interim, bytes, then, is_early: true, is_tunnel: true, is_faulty }
}
