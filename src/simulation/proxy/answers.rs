//! What an origin answers, and what goes wrong then.

use super::Dice;
use super::origin::Request;
use super::texts;
use super::world::{Given, World};

/// What follows an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    /// The next request.
    Stay,
    Close,
    Reset,
    /// Nothing, without an end.
    Silence,
}

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

/// An answer to a GET that was decided before: a version of a resource, which is fresh for a while.
pub(super) struct Script {
    pub(super) is_chunked: bool,
    pub(super) length: usize,
    /// So many bytes of it are sent, if there are as many.
    pub(super) bytes: usize,
    /// What follows if it is cut.
    pub(super) then: Then,
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
        Some(_) => super::resources::answer(request, world),
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
