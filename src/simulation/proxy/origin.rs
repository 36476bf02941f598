//! An origin's side of a connection: it reads requests, and sends what it answers.

use super::answers::{self, Answer};
use super::received::Request;
use super::script::Then;
use super::texts;
use super::world::World;

/// How far the connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    /// It isn't accepted yet.
    Waits,
    /// It will be refused.
    Refuses,
    /// It won't be accepted.
    Deaf,
    Open,
}

/// What the service receives next.
pub(super) enum Next<'a> {
    Bytes(&'a [u8]),
    Eof,
    Reset,
    Nothing,
}

pub(super) struct Origin {
    pub(super) life: Life,
    received: Vec<u8>,
    request: Option<Request>,
    /// What will be sent, when the request is complete.
    answer: Option<Answer>,
    out: Vec<u8>,
    sent: usize,
    then: Then,
    /// The number of the present answer.
    serial: Option<usize>,
    has_ended: bool,
    /// After a 101: the request, and the bytes that came through.
    tunnel: Option<(u64, usize)>,
    /// It does something wrong.
    pub(super) is_faulty: bool,
}

impl Origin {
    pub(super) fn draw(world: &mut World<'_>) -> Self {
        let life = match world.dice.below(30) {
            0 if world.is_rough => Life::Refuses,
            1 if world.is_rough => Life::Deaf,
            _ => Life::Waits,
        };
        let is_faulty = life != Life::Waits;
        if is_faulty {
            world.lasting_fault(&format!("origin {life:?}"));
        }
        Self {
            life,
            received: Vec::new(),
            request: None,
            answer: None,
            out: Vec::new(),
            sent: 0,
            then: Then::Stay,
            serial: None,
            has_ended: false,
            tunnel: None,
            is_faulty,
        }
    }

    /// Receives bytes.
    pub(super) fn receive(&mut self, bytes: &[u8], world: &World<'_>) {
        if let Some((id, count)) = &mut self.tunnel {
            let most = world.asked[id].tunnel;
            let expected = &world.texts.get(texts::of_tunnel(*id, true), most)[*count..];
            assert!(expected.starts_with(bytes), "tunnel {id:x}: wrong bytes from the client");
            *count += bytes.len();
        } else {
            self.received.extend_from_slice(bytes);
        }
    }

    /// The service sends nothing more.
    pub(super) fn end(&mut self, world: &mut World<'_>) {
        let Some((id, count)) = self.tunnel.filter(|_| !self.has_ended) else { return };
        let asked = &world.asked[&id];
        assert!(count == asked.tunnel || world.fault > 0 || asked.is_left, "tunnel {id:x}: the client's bytes are cut");
        world.count("tunnel: the client has ended");
        if self.then == Then::Stay {
            self.then = Then::Close;
        }
    }

    /// Acts on what was received. False if nothing changed.
    pub(super) fn think(&mut self, world: &mut World<'_>) -> bool {
        if self.tunnel.is_some() || self.has_ended {
            return false;
        }
        // One that closes reads no further request.
        if self.request.is_none() && (self.then != Then::Stay || !self.begin(world)) {
            return false;
        }
        let Some(request) = &mut self.request else { return false };
        let was_complete = request.is_complete;
        request.read(&mut self.received);
        check_content(request, world);
        if let Some(answer) = self.answer.take_if(|answer| answer.is_early || request.is_complete) {
            world.log(|| {
                format!("origin answers {:x}: {} bytes, then {:?}", request.id, answer.bytes.len(), answer.then)
            });
            if answer.is_tunnel {
                let id = request.id;
                self.tunnel = Some((id, 0));
                let early = std::mem::take(&mut self.received);
                self.out.extend_from_slice(&answer.bytes);
                self.then = answer.then;
                self.receive(&early, world);
                return true;
            }
            self.out.extend_from_slice(&answer.bytes);
            self.then = answer.then;
            return true;
        }
        let Some(request) = &self.request else { return false };
        if request.is_complete && self.answer.is_none() && self.sent == self.out.len() && self.then == Then::Stay {
            (self.request, self.serial) = (None, None);
            return true;
        }
        request.is_complete != was_complete
    }

    /// Begins to read a request, and decides about the answer.
    fn begin(&mut self, world: &mut World<'_>) -> bool {
        let Some(end) = memchr::memmem::find(&self.received, b"\r\n\r\n") else { return false };
        let head = String::from_utf8(self.received.drain(..end + 4).collect()).expect("text");
        let request = Request::new(head);
        world.ask(request.id);
        world.log(|| format!("origin gets {:x}: {}", request.id, request.head.lines().next().unwrap_or_default()));
        let answer = answers::draw(&request, world);
        self.is_faulty |= answer.is_faulty;
        self.serial = Some(answer.serial);
        // What needn't wait for the content.
        self.out.extend_from_slice(&answer.interim);
        (self.request, self.answer) = (Some(request), Some(answer));
        true
    }

    /// What the service receives next, if it takes `most` bytes.
    pub(super) fn next(&mut self, most: usize, world: &mut World<'_>) -> Next<'_> {
        if self.has_ended {
            return Next::Nothing;
        }
        if self.sent < self.out.len() {
            let from = self.sent;
            self.sent = self.out.len().min(from + most);
            return Next::Bytes(&self.out[from..self.sent]);
        }
        let next = match self.then {
            Then::Close => Next::Eof,
            Then::Reset => Next::Reset,
            Then::Stay | Then::Silence => return Next::Nothing,
        };
        self.has_ended = true;
        if self.is_faulty {
            world.fault("origin ends");
        }
        next
    }

    /// Closes an idle connection.
    pub(super) fn close_idle(&mut self, world: &mut World<'_>) {
        if self.life == Life::Open && self.request.is_none() && self.received.is_empty() && self.then == Then::Stay {
            let what: &[u8] = world.dice.pick(&[b"", b"", b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n", b"\0"]);
            self.out.extend_from_slice(what);
            (self.then, self.is_faulty) = (world.dice.pick(&[Then::Close, Then::Close, Then::Reset]), true);
            world.fault("origin closes idle");
        }
    }

    /// The connection is closed.
    pub(super) fn closed(&self, world: &mut World<'_>) {
        if self.is_faulty {
            world.fault("a faulty connection is closed");
        }
        let (step, unsent) = (world.step, self.sent < self.out.len() || self.answer.is_some());
        if let Some(given) = self.serial.and_then(|serial| world.given.get_mut(serial)) {
            given.is_whole &= !unsent;
            if !given.is_whole {
                given.lost = Some(step);
            }
        }
    }
}

/// The content that was received of a request is what its client sends.
fn check_content(request: &Request, world: &World<'_>) {
    let (id, length) = (request.id, world.asked[&request.id].length);
    let expected = world.texts.get(texts::of_request(id), length);
    assert!(expected.starts_with(&request.content), "request {id:x}: wrong content");
    assert!(!request.is_complete || request.content.len() == length, "request {id:x}: its content is cut");
}
