//! The requests of clients, and what may be the response to each.

use super::resources::{self, URIS, VARIANTS};
use super::response::Response;
use super::texts;
use super::world::{Asked, Given, World};

/// What a request is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// The origin answers what it likes.
    Plain,
    /// The same, by HTTP/1.0.
    Old,
    /// A change to another protocol.
    Upgrade,
    /// A resource, and its variant.
    Resource(usize, usize),
}

/// A request.
pub(super) struct Case {
    pub(super) id: u64,
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
    method: &'static str,
    /// What it says to the cache.
    further: String,
}

impl Case {
    pub(super) fn draw(id: u64, world: &mut World<'_>) -> Self {
        let is_cached = world.cache.is_some();
        let kind = match world.dice.below(12) {
            0 => Kind::Upgrade,
            1 => Kind::Old,
            2.. if is_cached => Kind::Resource(world.dice.below(URIS), world.dice.below(VARIANTS)),
            _ => Kind::Plain,
        };
        let method = match kind {
            Kind::Plain => world.dice.pick(&["GET", "GET", "HEAD", "POST", "PUT", "POST"]),
            Kind::Old | Kind::Upgrade => "GET",
            Kind::Resource(..) => {
                world.dice.pick(&["GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET", "HEAD", "POST"])
            }
        };
        let mut this = Self { id, kind, bytes: Vec::new(), method, further: String::new() };
        this.write(world);
        this
    }

    /// A GET for the first variant of a resource, without conditions.
    pub(super) fn resource(id: u64, uri: usize, world: &mut World<'_>) -> Self {
        let asked = Asked { length: 0, is_idempotent: true, attempts: 0, tunnel: 0, is_left: false };
        world.asked.insert(id, asked);
        let bytes = format!("GET /up/c/{uri} HTTP/1.1\r\nHost: a.example\r\nX-Req: {id:x}\r\nX-Variant: 0\r\n\r\n");
        let (kind, bytes) = (Kind::Resource(uri, 0), bytes.into_bytes());
        Self { id, kind, bytes, method: "GET", further: String::new() }
    }

    fn write(&mut self, world: &mut World<'_>) {
        let (target, version) = match self.kind {
            Kind::Resource(uri, _) => (format!("/up/c/{uri}"), 1),
            Kind::Old => (format!("/up/p/{}", self.id), 0),
            Kind::Plain | Kind::Upgrade => (format!("/up/p/{}", self.id), 1),
        };
        let mut head =
            format!("{} {target} HTTP/1.{version}\r\nHost: a.example\r\nX-Req: {:x}\r\n", self.method, self.id);
        let mut asked =
            Asked { length: 0, is_idempotent: self.method != "POST", attempts: 0, tunnel: 0, is_left: false };
        match self.kind {
            Kind::Resource(uri, variant) => {
                self.further = condition(uri, variant, world);
                head += &format!("X-Variant: {variant}\r\n{}", self.further);
            }
            Kind::Upgrade => {
                let most = if world.dice.one_in(4) { texts::LONGEST } else { 2_000 };
                asked.tunnel = world.dice.below(most);
                head += "Connection: Upgrade\r\nUpgrade: x/1\r\n";
            }
            Kind::Plain | Kind::Old => {}
        }
        let mut content = Vec::new();
        if matches!(self.method, "POST" | "PUT") {
            let most = if world.dice.one_in(8) { texts::LONGEST } else { 4_000 };
            asked.length = world.dice.amount(most) - 1;
            let text = world.texts.get(texts::of_request(self.id), asked.length);
            if world.dice.one_in(4) {
                head += "Expect: 100-continue\r\n";
            }
            if world.dice.one_in(2) {
                head += "Transfer-Encoding: chunked\r\n";
                super::write_chunks(&mut world.dice, text, &mut content);
            } else {
                head += &format!("Content-Length: {}\r\n", asked.length);
                content.extend_from_slice(text);
            }
        }
        self.bytes = [head.as_bytes(), b"\r\n", &content].concat();
        world.asked.insert(self.id, asked);
    }

    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    pub(super) fn name(&self) -> String {
        format!("{:x} {} {:?} {}", self.id, self.method, self.kind, self.further.trim())
    }

    fn has(&self, what: &str) -> bool {
        self.further.contains(what)
    }

    /// Checks a response, whose request was begun at this event, and which was sent then. `is_whole`:
    /// its content is as long as its framing says.
    pub(super) fn check(
        &self,
        response: &Response,
        begun: u64,
        sent: (u64, i64),
        is_whole: bool,
        world: &mut World<'_>,
    ) {
        let name = self.name();
        let Some(serial) = response.field("X-Origin") else { return self.check_own(response, begun, world) };
        let serial: usize = serial.parse().expect("a number");
        world.given[serial].receivers += 1;
        let hit = response.field("X-Cache").unwrap_or("none");
        world.count(&format!("{} {hit}", response.status));
        if let (Kind::Resource(uri, _), "POST", 204) = (self.kind, self.method, response.status) {
            let also = world.given[serial].also;
            let location = also.map(|also| format!("/up/c/{also}"));
            assert_eq!(response.field("Content-Location"), location.as_deref(), "{name}: it names the origin");
            world.invalidate([Some(uri), also]);
        }
        let given = &world.given[serial];
        let mut status = given.status;
        match (self.kind, given.resource) {
            (Kind::Resource(uri, variant), Some(resource)) => {
                let variant = if resources::varies(uri) { variant } else { 0 };
                assert_eq!(resource, (uri, variant), "{name}: another resource");
                self.check_age(given, begun, sent, world);
                if self.check_part(response, given, world) {
                    return;
                }
                // It was validated, and a 304 has changed the stored head.
                status = if status == 304 { 200 } else { status };
            }
            _ => assert_eq!(given.request, self.id, "{name}: the response to another request"),
        }
        assert_eq!(response.status, status, "{name}: another status");
        let expected = &world.texts.get(given.tag, given.length)[given.part.clone()];
        let is_absent = self.method == "HEAD" || matches!(status, 101 | 204);
        match (is_absent, is_whole) {
            (true, _) => assert!(response.body.is_empty(), "{name}: content"),
            (false, true) => assert!(response.body == expected, "{name}: the wrong content"),
            (false, false) => assert!(expected.starts_with(&response.body), "{name}: the wrong content, and cut"),
        }
        // A cut is seen.
        assert!(given.is_whole || !is_whole || is_absent || expected.is_empty(), "{name}: whole, and was cut");
    }

    /// A response of the service itself: there must be a reason.
    fn check_own(&self, response: &Response, begun: u64, world: &mut World<'_>) {
        let name = self.name();
        let status = response.status;
        world.count(&format!("own {status}"));
        let is_excused = world.fault >= begun || world.draining;
        match status {
            504 if self.has("only-if-cached") => {}
            416 if self.has("Range") => {}
            400 => {}
            408 | 502 | 503 | 504 => assert!(is_excused, "{name}: {status} without a reason: {}", response.text()),
            _ => panic!("{name}: {status}"),
        }
    }

    /// A response that may be stored is used as long as it may be.
    fn check_age(&self, given: &Given, begun: u64, (step, second): (u64, i64), world: &World<'_>) {
        let name = self.name();
        assert!(!given.is_private || given.receivers == 1, "{name}: a response that is for another client");
        // It was asked for meanwhile, or another answer says that it is the present one.
        let is_same = |other: &Given| other.resource == given.resource && other.tag == given.tag;
        if world.given.iter().any(|other| other.step >= begun && is_same(other)) {
            return;
        }
        let is_known = given.invalid.is_some_and(|invalid| begun > invalid);
        assert!(!is_known, "{name}: it was changed before");
        assert!(given.lost.is_none_or(|lost| lost >= step), "{name}: a response that was cut before");
        let asked = if self.has("max-stale") { 11 } else { 0 };
        let grace = given.grace.max(asked).max(i64::from(world.stale_if_error));
        let grace = if given.grace < 0 { 0 } else { grace };
        let age = second - given.second;
        assert!(age < given.lifetime + grace, "{name}: stale: {age} of {} + {grace}", given.lifetime);
        assert!(!self.has("no-cache"), "{name}: it wasn't validated");
    }

    /// Checks a 304 or a 206. False if it is none.
    fn check_part(&self, response: &Response, given: &Given, world: &World<'_>) -> bool {
        let name = self.name();
        match response.status {
            304 => {
                let etag = response.field("ETag").expect("an entity-tag");
                assert!(self.has(etag), "{name}: 304 for {etag}");
            }
            206 => {
                let range = response.field("Content-Range").expect("a range");
                let (range, length) = range["bytes ".len()..].split_once('/').expect("a length");
                let part = resources::part(&format!("bytes={range}"), given.length).expect("a part");
                assert!(self.has(&format!("bytes={}-", part.start)), "{name}: {range}");
                assert_eq!(length.parse(), Ok(given.length), "{name}");
                let expected = &world.texts.get(given.tag, given.length)[part];
                assert!(expected.starts_with(&response.body), "{name}: the wrong part");
            }
            416 => assert!(self.has("bytes="), "{name}: 416"),
            _ => return false,
        }
        true
    }
}

/// A condition, a range, or a directive.
fn condition(uri: usize, variant: usize, world: &mut World<'_>) -> String {
    let variant = if resources::varies(uri) { variant } else { 0 };
    let version = world.dice.below(3) as u64;
    match world.dice.below(14) {
        0 => "Cache-Control: no-cache\r\n".to_owned(),
        1 => "Cache-Control: only-if-cached\r\n".to_owned(),
        2 => "Cache-Control: max-stale=10\r\n".to_owned(),
        3 => format!("If-None-Match: {}\r\n", resources::etag(uri, variant, version)),
        4 | 5 => {
            let first = world.dice.amount(3_000) - 1;
            format!("Range: bytes={first}-{}\r\n", first + world.dice.amount(100_000))
        }
        _ => String::new(),
    }
}
