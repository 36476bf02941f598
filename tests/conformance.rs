//! Cases of public conformance suites for HTTP/1.1 servers, sent to the real binary over real
//! sockets. `tests/conformance/cases.txt` has the cases and describes their format.

mod support;

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::{Root, Server, TIMEOUT, uninterrupted};

/// After this time without a byte, the server counts as silent.
const SILENCE: Duration = Duration::from_millis(300);
/// How long the test waits for an excess response.
const EXCESS_WAIT: Duration = Duration::from_millis(100);
/// Cases that run at the same time.
const PARALLEL: usize = 24;

// ---- Cases

struct Case {
    id: &'static str,
    must: bool,
    servers: &'static [&'static str],
    steps: Vec<Vec<u8>>,
    pass: Vec<Outcome>,
    warn: Vec<Outcome>,
    needs: Vec<&'static str>,
    /// The response of miod where it differs on purpose, and the reason.
    gets: Vec<Outcome>,
    differs: Option<&'static str>,
}

/// One possible outcome of a case: a part for each checked step.
type Outcome = Vec<Part>;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Status(RangeInclusive<u16>, Option<After>),
    /// Closed without a response.
    Close,
    /// Left open without a response.
    Silence,
}

/// The state of the connection after a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    Open,
    Closed,
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in include_str!("conformance/cases.txt").lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "case" {
            let mut words = rest.split('#').next().unwrap().split_whitespace();
            let id = words.next().unwrap();
            let level = words.next().unwrap();
            assert!(["must", "should", "may", "none", "unscored"].contains(&level), "{line}");
            let servers: &[_] = match words.next() {
                None => &["files", "app"],
                Some("files") => &["files"],
                Some("app") => &["app"],
                Some(_) => panic!("{line}"),
            };
            let (must, steps, needs) = (level == "must", Vec::new(), Vec::new());
            let (pass, warn, gets) = (Vec::new(), Vec::new(), Vec::new());
            cases.push(Case { id, must, servers, steps, pass, warn, needs, gets, differs: None });
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let case = cases.last_mut().unwrap();
        match word {
            "send" => case.steps.push(bytes(rest)),
            "pass" => case.pass = outcomes(rest),
            "warn" => case.warn = outcomes(rest),
            "gets" => case.gets = outcomes(rest),
            "needs" => case.needs.push(rest),
            "differs" => case.differs = Some(rest),
            _ => panic!("{line}"),
        }
    }
    for case in &cases {
        assert!(!case.steps.is_empty() && case.pass.len() + case.warn.len() > 0, "{}", case.id);
        assert_eq!(case.differs.is_some(), !case.gets.is_empty(), "{}", case.id);
        assert!(case.differs.is_none_or(|why| why.len() > 20), "{}: why?", case.id);
    }
    cases
}

/// Decodes the escapes in a line.
fn bytes(text: &str) -> Vec<u8> {
    if let Some((before, rest)) = text.split_once("{{") {
        let (repeated, after) = rest.split_once("}}").unwrap();
        let (unit, count) = repeated.rsplit_once('*').unwrap();
        let mut all = bytes(before);
        for number in 0..count.parse::<usize>().unwrap() {
            all.extend(bytes(&unit.replace('#', &number.to_string())));
        }
        all.extend(bytes(after));
        return all;
    }
    let mut all = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            all.push(*first);
            continue;
        }
        let (byte, length) = match rest {
            [b'r', ..] => (b'\r', 1),
            [b'n', ..] => (b'\n', 1),
            [b't', ..] => (b'\t', 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', digits @ ..] => (u8::from_str_radix(std::str::from_utf8(&digits[..2]).unwrap(), 16).unwrap(), 3),
            _ => panic!("unknown escape: {text}"),
        };
        all.push(byte);
        rest = &rest[length..];
    }
    all
}

fn outcomes(text: &str) -> Vec<Outcome> {
    text.split(' ').map(|outcome| outcome.split(',').map(part).collect()).collect()
}

fn part(text: &str) -> Part {
    let (status, after) = match text.split_once('/') {
        Some((status, "open")) => (status, Some(After::Open)),
        Some((status, "closed")) => (status, Some(After::Closed)),
        Some(_) => panic!("{text}"),
        None => (text, None),
    };
    let number = |text: &str| text.parse::<u16>().unwrap_or_else(|_| panic!("no status: {text}"));
    match (status, status.split_once('-')) {
        ("close", _) => Part::Close,
        ("silence", _) => Part::Silence,
        ("any", _) => Part::Status(200..=599, after),
        (_, Some((from, to))) => Part::Status(number(from)..=number(to), after),
        _ => Part::Status(number(status)..=number(status), after),
    }
}

// ---- Responses

/// What the client received in one step.
#[derive(Default)]
struct Reply {
    /// Final responses, normally one.
    responses: Vec<support::Response>,
    /// Whether a 1xx response preceded a final one.
    interim: bool,
    /// Bytes that belong to no response.
    rest: Vec<u8>,
    closed: bool,
}

impl Reply {
    fn is(&self, part: &Part) -> bool {
        if !self.rest.is_empty() {
            return false;
        }
        match (part, &self.responses[..]) {
            (Part::Close, []) => self.closed,
            (Part::Silence, []) => !self.closed,
            (Part::Status(range, after), [response]) => {
                range.contains(&response.status) && after.is_none_or(|after| (after == After::Closed) == self.closed)
            }
            _ => false,
        }
    }

    fn has(&self, need: &str) -> bool {
        let Some(response) = self.responses.first() else { return true };
        let contains = |what: &str| {
            let what = bytes(what);
            response.body.windows(what.len()).any(|window| window == what)
        };
        match need.split_once('=').unwrap_or((need, "")) {
            ("field", name) => response.field(name).is_some(),
            ("nofield", name) => response.field(name).is_none(),
            // An error may have any content.
            ("body" | "inbody", _) if response.status >= 400 => true,
            ("body", what) => response.body == what.as_bytes(),
            ("inbody", what) => contains(what),
            ("notinbody", what) => !contains(what),
            ("nointerim", _) => !self.interim,
            ("date", _) => response.field("Date").is_some_and(|date| {
                httpdate::parse_http_date(date).is_ok_and(|moment| httpdate::fmt_http_date(moment) == date)
            }),
            _ => panic!("unknown need: {need}"),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for response in &self.responses {
            write!(f, "{} ", response.status)?;
        }
        if !self.rest.is_empty() {
            write!(f, "{:?} ", String::from_utf8_lossy(&self.rest[..self.rest.len().min(80)]))?;
        }
        f.write_str(if self.closed { "closed" } else { "open" })
    }
}

struct Link {
    stream: TcpStream,
    buffer: Vec<u8>,
    closed: bool,
}

impl Link {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Self { stream, buffer: Vec::new(), closed: false }
    }

    /// One step: sends a request and receives what follows.
    fn step(&mut self, request: &[u8], may_be_silent: bool) -> Reply {
        // The server may close during the request; this is then the result.
        let _ = self.stream.write_all(request);
        let method = request.split(|&byte| byte == b' ').next().unwrap_or_default();
        let method = String::from_utf8_lossy(method).into_owned();
        let mut reply = Reply::default();
        let mut until = Instant::now() + if may_be_silent { SILENCE } else { TIMEOUT };
        loop {
            while let Some(response) = self.response(&method) {
                if response.status < 200 && response.status != 101 {
                    reply.interim = true;
                    continue;
                }
                // After `Connection: close` the server must close; otherwise the test waits for excess bytes.
                let closes = response.field("Connection") == Some("close");
                until = Instant::now() + if closes { TIMEOUT } else { EXCESS_WAIT };
                reply.responses.push(response);
            }
            if self.closed || !self.read(until) {
                break;
            }
        }
        reply.rest = std::mem::take(&mut self.buffer);
        reply.closed = self.closed;
        reply
    }

    /// Takes a complete response from the received bytes.
    fn response(&mut self, method: &str) -> Option<support::Response> {
        // All other bytes stay in the buffer.
        self.buffer.starts_with(b"HTTP/1.1 ").then_some(())?;
        let response = support::Response::parse(&self.buffer, method, self.closed)?;
        self.buffer.drain(..response.length);
        Some(response)
    }

    /// Reads more bytes. Returns false if none arrive.
    fn read(&mut self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left)).unwrap();
        let mut some = vec![0; 64 * 1024];
        match uninterrupted(|| self.stream.read(&mut some)) {
            Ok(0) => self.closed = true,
            Ok(count) => self.buffer.extend_from_slice(&some[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return false,
            Err(error) => {
                // A reset may lose the response, so it doesn't count as a close.
                self.closed = true;
                self.buffer.extend_from_slice(error.to_string().as_bytes());
            }
        }
        true
    }
}

// ---- Verdicts

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Verdict {
    Passed,
    Warned,
    Differs,
    Failed,
}

impl Case {
    /// Sends the case to a server and checks the outcome.
    fn run(&self, address: SocketAddr) -> (Verdict, String) {
        let replies = self.exchange(address);
        let matches = |outcomes: &[Outcome]| outcomes.iter().any(|outcome| is(&replies, outcome));
        let needs = self.needs.iter().all(|need| replies.last().is_none_or(|reply| reply.has(need)));
        let verdict = if self.differs.is_some() {
            // A difference must be the expected one, so that an improvement is noticed too.
            if matches(&self.gets) && !matches(&self.pass) { Verdict::Differs } else { Verdict::Failed }
        } else if matches(&self.pass) && needs {
            Verdict::Passed
        } else if matches(&self.warn) && !self.must {
            Verdict::Warned
        } else {
            Verdict::Failed
        };
        (verdict, replies.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    fn exchange(&self, address: SocketAddr) -> Vec<Reply> {
        let mut link = Link::to(address);
        let mut replies: Vec<Reply> = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let field = |name| replies.last()?.responses.first()?.field(name).map(str::to_owned);
            let tag = field("ETag").unwrap_or_default();
            let step = replace(step, b"{ETAG}", tag.trim_matches('"').as_bytes());
            let step = replace(&step, b"{LAST-MODIFIED}", field("Last-Modified").unwrap_or_default().as_bytes());
            let may_be_silent = [&self.pass, &self.warn, &self.gets]
                .into_iter()
                .flatten()
                .any(|outcome| outcome.get(index) == Some(&Part::Silence));
            replies.push(link.step(&step, may_be_silent));
            if link.closed {
                break;
            }
        }
        replies
    }
}

fn is(replies: &[Reply], outcome: &Outcome) -> bool {
    // No step follows a close, so an outcome with such a step doesn't match.
    outcome.iter().enumerate().all(|(index, part)| replies.get(index).is_some_and(|reply| reply.is(part)))
        && replies.iter().all(|reply| reply.rest.is_empty() && reply.responses.len() <= 1)
}

fn replace(bytes: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    match bytes.windows(what.len()).position(|window| window == what) {
        Some(at) => [&bytes[..at], by, &bytes[at + what.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

#[test]
fn conformance() {
    let root = Root::new();
    root.old_file("index.html", "<!doctype html>\n<title>Hello</title>\n<p>Hello\n");
    let files = Server::start(&root, &["--app", "/echo=inspect", "--app", "/cookie=cookies"]);
    let app = Server::start(&root, &["--app", "/=echo", "--app", "/echo=inspect", "--app", "/cookie=cookies"]);
    let cases = cases();
    let runs: Vec<_> = cases.iter().flat_map(|case| case.servers.iter().map(move |server| (case, *server))).collect();
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                while let Some((case, server)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let address = if *server == "files" { files.address() } else { app.address() };
                    let (verdict, replies) = case.run(address);
                    verdicts.lock().unwrap().push((case.id, verdict, *server, replies));
                }
            });
        }
    });

    let mut verdicts = verdicts.into_inner().unwrap();
    verdicts.sort_by(|a, b| (a.0, a.2).cmp(&(b.0, b.2)));
    let worst = |id| verdicts.iter().filter(|run| run.0 == id).map(|run| run.1).max();
    let of =
        |verdict| cases.iter().filter(|case| worst(case.id) == Some(verdict)).map(|case| case.id).collect::<Vec<_>>();
    for (id, verdict, server, replies) in &verdicts {
        if *verdict != Verdict::Passed {
            println!("{id} ({server}) {verdict:?}: {replies}");
        }
    }
    println!(
        "{} cases: {} passed, {} warned, {} differ on purpose, {} failed",
        cases.len(),
        of(Verdict::Passed).len(),
        of(Verdict::Warned).len(),
        of(Verdict::Differs).len(),
        of(Verdict::Failed).len()
    );
    assert_eq!(of(Verdict::Failed), [""; 0]);
}
