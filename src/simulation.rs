//! A simulation: clients and the HTTP service joined by links in memory.
//!
//! A seed draws what the clients ask, how their bytes are cut, how much of the
//! answers they take and when, half-closes, resets, leaps of the clock, jobs that
//! come late or never, a store of sessions that does, fails or is lost, events that
//! some watch and others cause, and the end of the server. Whatever happens, after each
//! step no buffer is over its bound, nothing waits without a deadline and the counts
//! are right; and each request is answered in order and rightly, or there is a reason
//! why it isn't.
//!
//! `SIMULATION_SEED=7 cargo test simulation -- --nocapture` tells the story of one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use crate::files::scratch::Scratch;
use crate::http::event_stream;
use crate::limits;
use crate::random::SplitMix64;
use crate::reactor::{
    Accepted, BUFFER, Ending, Finish, Handle, JobId, JobResult, Protocol, TestContext, Tick, Time, Want,
};
use crate::service::http::HostId;
use crate::service::testing::{self, Peer, ends};
use crate::service::{Kind, Message, Outcome, Service, Shared};
use crate::session::pending::{Pending, Question, Reply, Ticket};
use crate::session::record::{Lifetime, Record};
use crate::session::{Id, Store};

/// How many seeds a run of the tests tries.
const SEEDS: u64 = 300;
/// Largest body that applications take here.
const BODY: u64 = 100_000;
/// Length of `/huge.bin`.
const HUGE: usize = 150_000;

/// Where all chance comes from.
type Dice = SplitMix64;

impl Dice {
    /// From 1 to `most`: a few, some, or as many as can be.
    fn amount(&mut self, most: usize) -> usize {
        let scale = self.pick(&[3, 50, 1_000, 20_000, usize::MAX]);
        1 + self.below(most.min(scale))
    }
}

// ---- What is asked

/// A request and what must come of it.
struct Asked {
    bytes: Vec<u8>,
    head_only: bool,
    status: u16,
    content: Content,
    /// The connection ends after the answer.
    closes: bool,
    /// It may be told to continue first.
    interim: bool,
    /// Its job may take too long.
    later: bool,
    /// It needs a session, which may not be had.
    visits: bool,
}

enum Content {
    /// Whatever an error says.
    Any,
    Exactly(Vec<u8>),
    /// Several stretches of `/huge.bin`.
    Parts(Vec<Range<usize>>),
    /// So many lines of a stream.
    Stream(usize),
    /// Events until the server ends.
    Events,
    /// The number of a visit that nobody else was told, in this session.
    Visit(usize),
    /// This, and then the connection breaks off.
    BrokenOff(&'static [u8]),
}

fn huge() -> String {
    (0..).map(|n: u32| format!("{n} ")).flat_map(|word| word.into_bytes()).take(HUGE).map(char::from).collect()
}

impl Asked {
    fn new(request: impl Into<Vec<u8>>, status: u16, content: Content) -> Self {
        let bytes = request.into();
        let head_only = bytes.starts_with(b"HEAD ");
        Self { bytes, head_only, status, content, closes: false, interim: false, later: false, visits: false }
    }

    fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// The first line, for the story.
    fn name(&self) -> String {
        String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(60)]).escape_debug().to_string()
    }

    /// Draws a request.
    #[allow(clippy::too_many_lines)]
    fn draw(dice: &mut Dice, huge: &[u8]) -> Self {
        use Content::{Any, BrokenOff, Events, Exactly, Parts, Stream, Visit};
        let head = |line: &str, lines: &str| format!("{line} HTTP/1.1\r\nHost: x\r\n{lines}\r\n");
        let get = |path: &str, lines: &str| head(&format!("GET {path}"), lines);
        let index = || Exactly(b"<p>index".to_vec());
        match dice.below(34) {
            0 | 1 => Self::new(get("/", ""), 200, index()),
            2 | 3 => Self::new(get("/huge.bin", ""), 200, Exactly(huge.to_vec())),
            4 => {
                let paths = ["/", "/huge.bin", "/lab/hello", "/lab/stream?chunks=3&ms=9", "/slow/a", "/feed"];
                let path = dice.pick(&paths);
                let mut asked = Self::new(head(&format!("HEAD {path}"), ""), 200, Exactly(Vec::new()));
                asked.later = path == "/slow/a";
                asked
            }
            5 | 6 => {
                let from = dice.below(HUGE);
                let length = dice.amount(HUGE - from);
                let (range, expected) = match dice.below(3) {
                    0 => (format!("{from}-"), from..HUGE),
                    1 => (format!("-{length}"), HUGE - length..HUGE),
                    _ => (format!("{from}-{}", from + length - 1), from..from + length),
                };
                let content = Exactly(huge[expected].to_vec());
                Self::new(get("/huge.bin", &format!("Range: bytes={range}\r\n")), 206, content)
            }
            7 => {
                let ranges: Vec<_> = (0..2 + dice.below(3))
                    .map(|n| {
                        let from = n * 30_000 + dice.below(10_000);
                        from..from + dice.amount(10_000)
                    })
                    .collect();
                let list: Vec<_> = ranges.iter().map(|range| format!("{}-{}", range.start, range.end - 1)).collect();
                let lines = format!("Range: bytes={}\r\n", list.join(","));
                Self::new(get("/huge.bin", &lines), 206, Parts(ranges))
            }
            8 => Self::new(get("/huge.bin", "Range: bytes=150000-\r\n"), 416, Any),
            9 => Self::new(get("/huge.bin", "If-None-Match: *\r\n"), 304, Exactly(Vec::new())),
            10 => Self::new(get("/nope", ""), 404, Any),
            11 | 12 => {
                let content = vec![dice.roll() as u8; dice.amount(BODY as usize)];
                let head = head("POST /lab/echo", &format!("Content-Length: {}\r\n", content.len()));
                Self::new([head.as_bytes(), &content].concat(), 200, Exactly(content))
            }
            13 | 14 => {
                let content = vec![dice.roll() as u8; dice.amount(BODY as usize)];
                let mut bytes = head("PUT /lab/echo", "Transfer-Encoding: chunked\r\n").into_bytes();
                chunk(dice, &content, &mut bytes);
                Self::new(bytes, 200, Exactly(content))
            }
            15..=17 => {
                let content = vec![b'x'; dice.below(2_000)];
                let path = dice.pick(&["a", "again", "panic"]);
                let lines = format!("Content-Length: {}\r\n", content.len());
                let request = [head(&format!("POST /slow/{path}"), &lines).as_bytes(), &content].concat();
                let length = content.len();
                let mut asked = match path {
                    "a" => Self::new(request, 200, Exactly(format!("/A {length}").into_bytes())),
                    "again" => Self::new(request, 200, Exactly(format!("twice {length}").into_bytes())),
                    _ => Self::new(request, 500, Any),
                };
                asked.later = true;
                asked
            }
            18 => {
                let (chunks, ms) = (1 + dice.below(40), dice.pick(&[0, 1, 200]));
                Self::new(get(&format!("/lab/stream?chunks={chunks}&ms={ms}"), ""), 200, Stream(chunks))
            }
            19 => {
                let (line, status) = dice.pick(&[("DELETE /", 405), ("BREW /huge.bin", 501), ("OPTIONS *", 204)]);
                let content = vec![b'x'; dice.below(3_000)];
                let head = head(line, &format!("Content-Length: {}\r\n", content.len()));
                Self::new([head.as_bytes(), &content].concat(), status, Any)
            }
            20 => {
                let lines = "Expect: 100-continue\r\nContent-Length: 5\r\n";
                let mut asked = Self::new(head("POST /lab/echo", lines) + "hello", 200, Exactly(b"hello".to_vec()));
                asked.interim = true;
                match dice.below(3) {
                    0 => Self::new(head("POST /", lines) + "hello", 405, Any).closing(),
                    1 => Self::new(get("/", "Expect: wonders\r\n"), 417, Any),
                    _ => asked,
                }
            }
            21 => {
                let request = dice.pick(&[
                    "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
                    "GET / HTTP/1.1\r\n\r\n",
                    "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
                    "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
                    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naa\r\n0\r\n\r\n",
                    "POST /lab/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n\r\n",
                ]);
                Self::new(request, 400, Any).closing()
            }
            22 => {
                let too_much = vec![b'x'; BODY as usize + 1];
                let length = format!("Content-Length: {}\r\n", too_much.len());
                let chunked = "Transfer-Encoding: chunked\r\n";
                let (path, status) = dice.pick(&[("/lab/echo", 413), ("/", 405)]);
                let lines = if dice.one_in(2) { &*length } else { chunked };
                let mut bytes = head(&format!("POST {path}"), lines).into_bytes();
                if lines == chunked {
                    chunk(dice, &too_much, &mut bytes);
                } else {
                    bytes.extend(too_much);
                }
                Self::new(bytes, status, Any).closing()
            }
            23 => match dice.below(3) {
                0 => Self::new("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, index()),
                1 => Self::new("GET / HTTP/1.0\r\n\r\n", 200, index()).closing(),
                _ => Self::new("GET /lab/stream?chunks=5&ms=1 HTTP/1.0\r\n\r\n", 200, Stream(5)).closing(),
            },
            24 => Self::new(get("/huge.bin", "Connection: close\r\n"), 200, Exactly(huge.to_vec())).closing(),
            25 => Self::new(get("/half", ""), 200, BrokenOff(b"half")),
            26..=29 => {
                let (which, path) = (dice.below(SESSIONS), dice.pick(&["", "", "/later"]));
                let lines = format!("Cookie: sessionId={}\r\n", session(which));
                let mut asked = Self::new(get(&format!("/visits{path}"), &lines), 200, Visit(which));
                (asked.visits, asked.later) = (true, !path.is_empty());
                asked
            }
            30 | 31 => {
                let content = "x".repeat(dice.amount(5_000));
                let head = head("POST /feed", &format!("Content-Length: {}\r\n", content.len()));
                Self::new(head + &content, 204, Exactly(Vec::new()))
            }
            32 if dice.one_in(2) => Self::new("GET /feed HTTP/1.0\r\n\r\n", 200, Events).closing(),
            32 => Self::new(get("/feed", ""), 200, Events),
            _ => Self::new("\r\n".to_owned() + &get("/", ""), 200, index()),
        }
    }
}

/// Writes content in the chunked coding, cut at random.
fn chunk(dice: &mut Dice, mut content: &[u8], out: &mut Vec<u8>) {
    while !content.is_empty() {
        let (piece, rest) = content.split_at(dice.amount(content.len()));
        let extension = dice.pick(&["", "", ";a", ";a=\"b\""]);
        out.extend(format!("{:x}{extension}\r\n", piece.len()).as_bytes());
        out.extend(piece);
        out.extend(b"\r\n");
        content = rest;
    }
    out.extend(dice.pick(&["0\r\n\r\n", "00\r\nA: b\r\n\r\n"]).as_bytes());
}

// ---- Who asks

/// A client: what it asks, how far it is, and what it got.
struct Client {
    asked: Vec<Asked>,
    /// All requests, one after another.
    script: Vec<u8>,
    /// Where each ends in the script.
    ends: Vec<usize>,
    /// Bytes that the server has read.
    sent: usize,
    /// Where it ends its side, if it does before all is sent.
    until: usize,
    /// When the server read the first byte of each request, and the last.
    begun: Vec<Tick>,
    whole: Vec<Tick>,
    last_sent: Option<Tick>,
    received: Vec<u8>,
    answered: usize,
    /// It was told that the connection ends.
    told: bool,
    overloaded: bool,
}

/// An answer as it stands in what was received.
struct Answer {
    status: u16,
    head: String,
    content: Vec<u8>,
    /// Its end is the connection's.
    open_ended: bool,
    length: usize,
}

impl Client {
    fn draw(dice: &mut Dice, huge: &[u8], overloaded: bool) -> Self {
        let mut asked: Vec<_> = (0..dice.amount(12)).map(|_| Asked::draw(dice, huge)).collect();
        // What follows events would never be answered.
        let last = asked.iter().position(|one| matches!(one.content, Content::Events));
        asked.truncate(last.map_or(asked.len(), |last| last + 1));
        let (mut script, mut ends) = (Vec::new(), Vec::new());
        for one in &asked {
            script.extend_from_slice(&one.bytes);
            ends.push(script.len());
        }
        let until = script.len();
        let (begun, whole, received) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            asked,
            script,
            ends,
            sent: 0,
            until,
            begun,
            whole,
            last_sent: None,
            received,
            answered: 0,
            told: false,
            overloaded,
        }
    }

    /// When the first head must be there; all links open at the beginning.
    fn first_deadline(&self) -> Tick {
        Tick::default().after(if self.overloaded { limits::LINGER } else { limits::HEADER_TIMEOUT })
    }

    /// Whether nothing more is to come but events.
    fn watches(&self) -> bool {
        let asks_for_events = matches!(self.asked.last().map(|asked| &asked.content), Some(Content::Events));
        asks_for_events && self.answered + 1 == self.asked.len() && self.sent == self.script.len() && !self.overloaded
    }

    /// The number of the last event that it got.
    fn last_event(&self) -> Option<u64> {
        let text = String::from_utf8_lossy(&self.received);
        event_stream::number(text.rsplit_once("id: ")?.1.split('\n').next()?.as_bytes())
    }

    fn start_of(&self, request: usize) -> usize {
        request.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    /// The next bytes, at most so many.
    fn send(&mut self, most: usize, now: Tick) -> &[u8] {
        let from = self.sent;
        self.sent += most.min(self.until - from);
        while self.begun.len() < self.asked.len() && self.start_of(self.begun.len()) < self.sent {
            self.begun.push(now);
        }
        while self.whole.len() < self.asked.len() && self.ends[self.whole.len()] <= self.sent {
            self.whole.push(now);
        }
        self.last_sent = Some(now);
        &self.script[from..self.sent]
    }

    /// Takes bytes, and judges each answer that is whole.
    fn receive(&mut self, bytes: &[u8], world: &mut World<'_>) {
        self.received.extend_from_slice(bytes);
        while let Some(answer) = self.parse(false) {
            self.judge(answer, world);
        }
    }

    /// The next answer, if it is there; `over` if no more comes.
    fn parse(&self, over: bool) -> Option<Answer> {
        let end = memchr::memmem::find(&self.received, b"\r\n\r\n")? + 4;
        let head = String::from_utf8(self.received[..end].to_vec()).expect("a head of text");
        let status = head.strip_prefix("HTTP/1.1 ").expect("a status line")[..3].parse().expect("a status");
        let rest = &self.received[end..];
        let none = status < 200 || status == 204 || status == 304;
        let asked = self.asked.get(self.answered).expect("no answer without a request");
        let answer = |content: &[u8], framing: usize, open_ended| {
            let length = end + content.len() + framing;
            Some(Answer { status, head: head.clone(), content: content.to_vec(), open_ended, length })
        };
        // Nobody can know that it is one before its method is there.
        let head_only = asked.head_only && self.sent >= self.start_of(self.answered) + b"HEAD ".len();
        if none || head_only {
            return answer(b"", 0, false);
        }
        if let Some(length) = field(&head, "Content-Length") {
            return answer(rest.get(..length.parse().expect("a length"))?, 0, false);
        }
        if field(&head, "Transfer-Encoding").is_none() {
            return over.then(|| answer(rest, 0, true))?;
        }
        let (mut content, mut at) = (Vec::new(), 0);
        while let Some(line) = memchr::memmem::find(&rest[at..], b"\r\n") {
            let size = std::str::from_utf8(&rest[at..at + line]).expect("a size line");
            let size = usize::from_str_radix(size, 16).expect("a size");
            let Some(chunk) = rest.get(at + line + 2..at + line + 2 + size + 2) else { break };
            assert!(chunk.ends_with(b"\r\n"), "a chunk ends in CRLF");
            content.extend_from_slice(&chunk[..size]);
            at += line + 2 + size + 2;
            if size == 0 {
                let framing = at - content.len();
                return answer(&content, framing, false);
            }
        }
        (over && matches!(asked.content, Content::BrokenOff(_)) && at == rest.len())
            .then(|| answer(&content, at - content.len(), true))?
    }

    /// Whether the answer is what it has to be.
    fn judge(&mut self, answer: Answer, world: &mut World<'_>) {
        let index = self.answered;
        let asked = &self.asked[index];
        let name = asked.name();
        world.tell(|| format!("    request {index} gets {}, {} bytes", answer.status, answer.content.len()));
        *world.statuses.entry(answer.status).or_default() += 1;
        assert!(!self.told, "{name}: an answer after the last one");
        assert!(index < self.begun.len(), "{name}: an answer before the request");
        self.received.drain(..answer.length);
        if answer.status == 100 {
            assert!(asked.interim, "{name}: 100 isn't expected");
            return;
        }
        let whole = index < self.whole.len();
        let since = |moments: &[Tick]| moments.get(index).map_or(Duration::ZERO, |moment| world.now.since(*moment));
        let closes = field(&answer.head, "Connection") == Some("close");
        let ended_early = self.sent == self.until && !whole;
        // What else may come, and whether the connection then ends.
        let otherwise = match answer.status {
            // The time for the first head begins with the connection.
            408 if index == 0 && world.now >= self.first_deadline() => (!whole).then_some(true),
            408 => (!whole && since(&self.begun) > limits::RATE_GRACE).then_some(true),
            503 if self.overloaded => Some(true),
            503 if asked.visits && world.store.is_some() => Some(false),
            503 => (asked.later && since(&self.whole) >= limits::JOB_TIMEOUT).then_some(false),
            400 => ended_early.then_some(true),
            _ => None,
        };
        let expected = if answer.status == asked.status { Some(asked.closes) } else { otherwise };
        let must_close = expected.unwrap_or_else(|| panic!("{name}: {}", answer.head));
        assert!(whole || closes, "{name}: answered before it was whole, and not closed");
        assert!(closes || !must_close, "{name}: it doesn't close: {}", answer.head);
        assert!(!closes || must_close || world.draining || self.overloaded, "{name}: it closes: {}", answer.head);
        let broken_off = matches!(asked.content, Content::BrokenOff(_));
        assert!(!answer.open_ended || closes || broken_off, "{name}: no end");
        if answer.status == asked.status {
            asked.content.check(&answer, asked.head_only, world.huge, &name);
            if let Content::Visit(which) = asked.content {
                let count = std::str::from_utf8(&answer.content).ok().and_then(|text| text.parse().ok());
                let count = count.unwrap_or_else(|| panic!("{name}: no count"));
                assert!(world.visits.insert((which, count)), "{name}: visit {count} was told to somebody else");
            }
        }
        self.told = closes || answer.open_ended;
        self.answered += 1;
    }

    /// The connection is over, and not by this client's doing: was that all?
    fn over(mut self, world: &mut World<'_>) {
        if let Some(answer) = self.parse(true) {
            self.judge(answer, world);
        }
        assert!(self.received.is_empty(), "an answer breaks off: {:?}", String::from_utf8_lossy(&self.received));
        if self.told || self.answered == self.asked.len() {
            return;
        }
        let name = self.asked[self.answered].name();
        let (begun, whole) = (self.answered < self.begun.len(), self.answered < self.whole.len());
        let idle = match self.last_sent {
            None => world.now >= self.first_deadline(),
            Some(moment) => world.now.since(moment) >= limits::IDLE_TIMEOUT,
        };
        let ended = self.sent == self.until && !whole;
        // While the server ends, nothing new is begun, read or not.
        assert!(ended || (!begun && idle) || world.draining, "{name}: closed without an answer");
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

impl Content {
    fn check(&self, answer: &Answer, head_only: bool, huge: &str, name: &str) {
        let content = &answer.content;
        match self {
            _ if head_only => assert!(content.is_empty(), "{name}: content"),
            Self::Any | Self::Visit(_) => {}
            Self::Exactly(expected) => assert!(content == expected, "{name}: the wrong content"),
            Self::BrokenOff(expected) => assert!(answer.open_ended && content == expected, "{name}: it has an end"),
            Self::Parts(ranges) => {
                let media_type = field(&answer.head, "Content-Type").expect("a media type");
                let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").expect("a boundary");
                let content = std::str::from_utf8(content).expect("text");
                let parts: Vec<_> = content.split(&format!("--{boundary}")).collect();
                assert_eq!((parts.len(), parts[ranges.len() + 1]), (ranges.len() + 2, "--\r\n"), "{name}");
                for (part, range) in parts[1..].iter().zip(ranges) {
                    let says = format!("Content-Range: bytes {}-{}/{HUGE}\r\n", range.start, range.end - 1);
                    let whole = format!("\r\n\r\n{}\r\n", &huge[range.clone()]);
                    assert!(part.contains(&says) && part.ends_with(&whole), "{name}: a wrong part");
                }
            }
            Self::Events => {
                let text = std::str::from_utf8(content).expect("text");
                let numbers: Vec<_> = text.split("id: ").skip(1).map(|id| id.split('\n').next().unwrap()).collect();
                let expected: Vec<_> = (0..numbers.len()).map(|number| number.to_string()).collect();
                assert_eq!(numbers, expected, "{name}");
                assert!(text.starts_with("retry: 2000\nid: 0\n\n") && text.ends_with("\n\n"), "{name}: {text}");
            }
            Self::Stream(chunks) => {
                let text = std::str::from_utf8(content).expect("text");
                assert_eq!(text.lines().count(), *chunks, "{name}");
                for (number, line) in text.lines().enumerate() {
                    assert!(line.starts_with(&format!("chunk {} of {chunks} after ", number + 1)), "{name}: {line}");
                }
            }
        }
    }
}

// ---- Where it happens

/// A connection: both its sides, and what is on its way between them.
struct Link {
    number: usize,
    client: Client,
    peer: Peer,
    service: Service,
    context: TestContext<Service>,
    want: Want,
    /// The output had no room when the service was asked last.
    full: bool,
    /// What came of jobs and isn't delivered yet.
    outcomes: VecDeque<Arrival>,
}

/// What arrives at a link without coming from its client.
enum Arrival {
    Message(Message),
    Job(JobId, JobResult<Outcome>),
}

/// What all links share.
struct World<'a> {
    shared: Shared,
    now: Tick,
    draining: bool,
    /// The content of `/huge.bin`.
    huge: &'a str,
    /// Messages from one link to another that aren't delivered yet.
    mail: Vec<(Handle, Message)>,
    talks: bool,
    statuses: BTreeMap<u16, u32>,
    /// What answers later, if sessions aren't in memory.
    store: Option<LateStore>,
    /// The visits that were told: session and number.
    visits: BTreeSet<(usize, u64)>,
}

/// A store of sessions that answers when it likes.
#[derive(Default)]
struct LateStore {
    kept: BTreeMap<Id, Vec<u8>>,
    /// What it was asked, in order.
    asked: VecDeque<(Ticket, Question)>,
}

impl LateStore {
    /// Does what it was asked first, and says so.
    fn answer(&mut self) -> Option<(Ticket, Reply)> {
        let (ticket, question) = self.asked.pop_front()?;
        Some((ticket, self.carry_out(question)))
    }

    fn carry_out(&mut self, question: Question) -> Reply {
        match question {
            Question::Load(id) => return Reply::Loaded(self.kept.get(&id).cloned()),
            Question::End(id) => _ = self.kept.remove(&id),
            Question::Save { id, was, text, .. } => {
                was.map(|was| self.kept.remove(&was));
                self.kept.insert(id, text);
            }
        }
        Reply::Saved
    }
}

impl World<'_> {
    fn pending(&mut self) -> Option<&mut Pending> {
        match &mut self.shared.http.sessions.store {
            Store::Remote(pending) => Some(pending),
            _ => None,
        }
    }

    /// The store takes the next question and answers the first; false if there is
    /// none. Now and then it fails, or its answer is lost.
    fn store_moves(&mut self, chance: usize, links: &mut [Link]) -> bool {
        let Some(pending) = self.pending() else { return false };
        let question = pending.next_question();
        let taken = question.is_some();
        let store = self.store.as_mut().expect("who answers");
        store.asked.extend(question);
        let answer = match chance {
            0 => store.asked.pop_front().map(|(ticket, _)| (ticket, Reply::Failed)),
            1 => store.asked.pop_front().and(None),
            2 => store.answer().and(None),
            _ => store.answer(),
        };
        let moved = taken || answer.is_some();
        self.tell(|| format!("the store moves; {answer:?}"));
        if let Some((ticket, reply)) = answer
            && let Some(who) = self.pending().and_then(|pending| pending.answer(ticket, reply))
        {
            tell_link(links, who);
        }
        moved
    }

    /// The store is lost, with what it was asked: some of that it did. Then it is
    /// there again.
    fn store_is_lost(&mut self, did: usize, links: &mut [Link]) {
        let Some(pending) = self.pending() else { return };
        let waiting = pending.unavailable();
        pending.available();
        self.tell(|| format!("the store is lost, and {} wait for it", waiting.len()));
        let store = self.store.as_mut().expect("who is lost");
        for _ in 0..did {
            store.answer();
        }
        store.asked.clear();
        waiting.into_iter().for_each(|who| tell_link(links, who));
    }

    fn time(&self) -> Time {
        Time { now: self.now, unix_seconds: 1_800_000_000 + (self.now.as_micros() / 1_000_000) as i64, unix_micros: 0 }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.talks {
            println!("{:>12} {}", self.now.as_micros(), what());
        }
    }
}

impl Link {
    fn open(number: usize, client: Client, world: &mut World<'_>) -> Self {
        let mut context = TestContext::of(Handle::for_test(number as u32 + 1));
        let accepted =
            Accepted { listener: Kind::Http(HostId::default()), ends: ends(), overloaded: client.overloaded };
        let time = world.time();
        let service = Service::open(&accepted, &mut context.context(&mut world.shared, time, world.draining))
            .expect("HTTP takes every connection");
        let (peer, outcomes) = (Peer::default(), VecDeque::new());
        let mut link = Self { number, client, peer, service, context, want: Want::NOTHING, full: false, outcomes };
        world.tell(|| format!("link {number} opens; overloaded: {}", link.client.overloaded));
        for (index, asked) in link.client.asked.iter().enumerate() {
            world.tell(|| format!("    request {index}: {} ({} bytes)", asked.name(), asked.bytes.len()));
        }
        link.settle(world);
        link
    }

    /// Asks the service, and looks whether what it says can be.
    fn settle(&mut self, world: &mut World<'_>) {
        let Self { peer, service, context, .. } = self;
        let time = world.time();
        let draining = world.draining;
        let shared = &mut world.shared;
        self.want = peer.turn(|io| service.advance(io, &mut context.context(shared, time, draining)));
        world.mail.extend(self.context.sent());
        self.full = self.peer.output.room() == 0;
        let Want { read, wake, finish, again: _ } = self.want;
        let output = &self.peer.output;
        assert!(output.bytes().len() <= 2 * BUFFER, "the output is too large");
        assert!(output.pending() <= (2 * BUFFER + HUGE) as u64, "another answer behind a file");
        assert!(!(read && self.peer.input.is_full()), "it waits for what there is no room for");
        assert!(finish != Finish::No || wake.is_some() || !self.peer.output.is_empty(), "no deadline");
        assert!(matches!(finish, Finish::No | Finish::Close | Finish::Linger), "not a way to end");
    }

    /// Whether nothing more comes from the service.
    fn is_over(&self) -> bool {
        self.want.finish != Finish::No && self.peer.output.is_empty()
    }

    /// The server reads at most so many bytes, or the end; false if it can't.
    fn send(&mut self, most: usize, world: &mut World<'_>) -> bool {
        let left = self.client.until - self.client.sent;
        let ends_here = left == 0 && !self.peer.ended;
        if !self.want.read || (left == 0 && !ends_here) {
            return false;
        }
        let most = most.min(BUFFER - self.peer.waiting());
        if ends_here {
            world.tell(|| format!("link {} sends its end", self.number));
            self.peer.end();
        } else {
            let bytes = self.client.send(most, world.now);
            world.tell(|| format!("link {} sends {} bytes", self.number, bytes.len()));
            self.peer.send(bytes);
        }
        self.settle(world);
        true
    }

    /// The client takes at most so many bytes; false if there are none.
    fn take(&mut self, most: usize, world: &mut World<'_>) -> bool {
        let taken = self.peer.output.take(most);
        if taken.is_empty() {
            return false;
        }
        world.tell(|| format!("link {} takes {} bytes, {} left", self.number, taken.len(), self.peer.output.pending()));
        self.client.receive(&taken, world);
        if self.full {
            self.settle(world);
        }
        true
    }

    /// Jobs run; what comes of them arrives later, or some of it never.
    fn run_jobs(&mut self, world: &World<'_>, lost: impl FnOnce() -> bool) -> bool {
        let outcomes = self.context.run_jobs();
        if outcomes.is_empty() {
            return false;
        }
        let lost = lost();
        world.tell(|| format!("link {} has its job run; its outcome is lost: {lost}", self.number));
        if !lost {
            self.outcomes.extend(outcomes.into_iter().map(|(job, result)| Arrival::Job(job, result)));
        }
        true
    }

    fn deliver(&mut self, world: &mut World<'_>) -> bool {
        let Some(outcome) = self.outcomes.pop_front() else { return false };
        world.tell(|| format!("link {} gets what came of a job", self.number));
        match outcome {
            Arrival::Message(message) => self.service.deliver(message),
            Arrival::Job(job, result) => self.service.job_ended(job, result),
        }
        self.settle(world);
        true
    }

    /// The deadline, if it is due.
    fn wake(&mut self, world: &mut World<'_>) {
        if self.want.wake.is_some_and(|wake| wake <= world.now) {
            world.tell(|| format!("link {} is woken", self.number));
            self.settle(world);
        }
    }

    /// The connection ends, by the service's wish or because the client is gone.
    fn close(mut self, gone: bool, world: &mut World<'_>) {
        world.tell(|| format!("link {} ends; the client is gone: {gone}", self.number));
        let time = world.time();
        let unsent = self.peer.output.pending();
        let mut cx = self.context.context(&mut world.shared, time, world.draining);
        self.service.closed(Ending { unsent, error: None }, ends(), &mut cx);
        if !gone {
            self.client.over(world);
        }
    }
}

/// What one seed makes happen; the statuses that were seen.
fn simulate(seed: u64, files: &Scratch, huge: &str, talks: bool) -> BTreeMap<u16, u32> {
    let mut dice = Dice::new(seed);
    let mut shared = testing::shared(files);
    shared.http.limits.body = BODY;
    let now = Tick::default();
    let (statuses, visits) = (BTreeMap::new(), BTreeSet::new());
    let mut world =
        World { shared, now, draining: false, huge, mail: Vec::new(), talks, statuses, store: None, visits };
    remember(&mut world, dice.one_in(2));
    let mut links: Vec<Link> = Vec::new();
    for number in 0..1 + dice.below(3) {
        let overloaded = dice.one_in(30);
        let client = Client::draw(&mut dice, world.huge.as_bytes(), overloaded);
        links.push(Link::open(number, client, &mut world));
    }
    for _ in 0..dice.amount(400) {
        if links.is_empty() {
            break;
        }
        let index = dice.below(links.len());
        let link = &mut links[index];
        match dice.below(200) {
            0..=69 => _ = link.send(dice.amount(BUFFER), &mut world),
            70..=139 => _ = link.take(dice.amount(BUFFER), &mut world),
            140..=154 => _ = link.run_jobs(&world, || dice.one_in(8)),
            155..=164 => _ = link.deliver(&mut world),
            165..=169 => _ = tell_the_news(&mut links, &mut world),
            170..=192 => {
                let micros = match dice.below(40) {
                    0 => dice.below(100_000_000),
                    1..=4 => dice.below(10_000_000),
                    _ => dice.below(300_000),
                };
                world.now = world.now.after(Duration::from_micros(micros as u64));
                // Now and then something else comes before the deadlines.
                if !dice.one_in(4) {
                    links.iter_mut().for_each(|link| link.wake(&mut world));
                }
            }
            193..=195 => {
                let left = link.client.until - link.client.sent;
                link.client.until = link.client.sent + dice.below(left + 1);
            }
            196 => links.swap_remove(index).close(true, &mut world),
            197 if dice.one_in(3) => {
                world.tell(|| "the server is told to end".to_owned());
                world.draining = true;
                links.iter_mut().for_each(|link| link.settle(&mut world));
            }
            198 if dice.one_in(3) => world.store_is_lost(dice.below(5), &mut links),
            _ => {}
        }
        // Mostly it keeps up, in some worlds it doesn't.
        if dice.below(10) < 2 + (seed % 8) as usize {
            world.store_moves(dice.below(30), &mut links);
        }
        end_what_is_over(&mut links, &mut world);
    }
    world.tell(|| "now everybody does all that they can".to_owned());
    for round in 0.. {
        assert!(round < 20_000, "it never ends");
        let mut moved = false;
        for link in &mut links {
            moved |= link.take(usize::MAX, &mut world)
                || link.send(BUFFER, &mut world)
                || link.run_jobs(&world, || false)
                || link.deliver(&mut world);
        }
        moved |= tell_the_news(&mut links, &mut world);
        moved |= world.store_moves(usize::MAX, &mut links);
        end_what_is_over(&mut links, &mut world);
        if links.is_empty() {
            break;
        }
        if !moved && links.iter().all(|link| link.client.watches()) {
            let last = testing::last_event(&mut world.shared);
            for link in &links {
                assert_eq!(link.client.last_event(), Some(last), "link {} misses an event", link.number);
            }
            world.tell(|| "only watchers are left, and the server ends".to_owned());
            world.draining = true;
            links.iter_mut().for_each(|link| link.settle(&mut world));
        } else if !moved {
            let next = links.iter().filter_map(|link| link.want.wake).min();
            world.now = world.now.max(next.expect("somebody waits, and nothing will ever wake them"));
            links.iter_mut().for_each(|link| link.wake(&mut world));
        }
    }
    assert!(world.pending().is_none_or(|pending| pending.is_empty()), "somebody who is gone still waits");
    world.statuses
}

/// Delivers a message of one link to another; false if there is none.
fn tell_the_news(links: &mut [Link], world: &mut World<'_>) -> bool {
    let Some((to, message)) = world.mail.pop() else { return false };
    if let Some(link) = links.iter_mut().find(|link| Handle::for_test(link.number as u32 + 1) == to) {
        world.tell(|| format!("link {} is told that there is news", link.number));
        link.service.deliver(message);
        link.settle(world);
    }
    true
}

/// How many sessions there are, and their names.
const SESSIONS: usize = 2;
fn session(which: usize) -> Id {
    Id::parse(format!("{which:08}-1111-4111-8111-111111111111").as_bytes()).expect("an identifier")
}

/// Puts the sessions into a store: in memory, or one that answers later.
fn remember(world: &mut World<'_>, late: bool) {
    let record = Record::new(world.time().unix_seconds);
    let sessions = &mut world.shared.http.sessions;
    sessions.lifetime = Lifetime { idle: Duration::from_secs(1 << 30), max_age: Duration::from_secs(1 << 30) };
    let all = (0..SESSIONS).map(session);
    if late {
        sessions.store = Store::Remote(Pending::default());
        world.store = Some(LateStore { kept: all.map(|id| (id, record.encode())).collect(), asked: VecDeque::new() });
    } else if let Store::Memory(memory) = &mut sessions.store {
        all.for_each(|id| memory.save(id, &record, sessions.lifetime, record.created));
    }
}

/// The store has an answer for who waits.
fn tell_link(links: &mut [Link], who: Handle) {
    if let Some(link) = links.iter_mut().find(|link| Handle::for_test(link.number as u32 + 1) == who) {
        link.outcomes.push_back(Arrival::Message(Message::Session));
    }
}

fn end_what_is_over(links: &mut Vec<Link>, world: &mut World<'_>) {
    while let Some(index) = links.iter().position(Link::is_over) {
        links.swap_remove(index).close(false, world);
    }
    Service::audit(&world.shared, &mut links.iter().map(|link| &link.service));
}

#[test]
fn whatever_happens_requests_are_answered_in_order_or_there_is_a_reason() {
    /// Tells which seed it was.
    struct Seed(u64);
    impl Drop for Seed {
        fn drop(&mut self) {
            if std::thread::panicking() {
                println!("to see it again: SIMULATION_SEED={} cargo test simulation -- --nocapture", self.0);
            }
        }
    }
    let files = testing::files();
    let huge = huge();
    testing::old_file(&files, "huge.bin", &huge);
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        simulate(seed.parse().expect("a number"), &files, &huge, true);
        return;
    }
    let mut seen = BTreeMap::new();
    for seed in 0..SEEDS {
        let guard = Seed(seed);
        for (status, count) in simulate(seed, &files, &huge, false) {
            *seen.entry(status).or_default() += count;
        }
        drop(guard);
    }
    println!("answers: {seen:?}");
    // Chance has been everywhere.
    for status in [100, 200, 204, 206, 304, 400, 404, 405, 408, 413, 416, 417, 500, 501, 503] {
        assert!(seen.get(&status).is_some_and(|count: &u32| *count > 3), "{status} was hardly seen: {seen:?}");
    }
}
