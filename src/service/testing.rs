//! A test bench for protocols: the peer of a connection without a socket, and a small site to
//! send requests to.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::resume_unwind;
use std::time::Duration;

use super::proxy::{Addresses, Upstream};
use super::{Shared, http};
use crate::app::{
    Answer, App, Call, Methods, Outcome, Pull, Request, Response, Source, catalogue, catalogue::Supplies,
};
use crate::files::resolve::{Root, Symlinks};
use crate::files::scratch::Scratch;
use crate::files::{Settings, Site};
use crate::http::head::Method;
use crate::http::proxying::{Server, UpstreamTimeouts};
use crate::http::{Status, event_stream};
use crate::limits;
use crate::logging::Log;
use crate::reactor::{BUFFER, Endpoint, Ends, Finish, Input, Io, JobClass, Output, Security, Tick, Want};
use crate::session::Session;
use crate::testing::every_split;

/// An upstream that nothing was asked of.
pub(crate) fn upstream() -> Upstream {
    let addresses = Addresses::at(Endpoint::Unix("/a".into()));
    Upstream::new("unix:/a".into(), Server::new(false, b"a").unwrap(), addresses, None, UpstreamTimeouts::default())
}

/// The peer: the bytes that it sent and received, and whether it has sent EOF.
#[derive(Default)]
pub(crate) struct Peer {
    pub(crate) input: Input,
    pub(crate) output: Output,
    pub(crate) ended: bool,
    /// The peer is gone: no output reaches it.
    pub(crate) gone: bool,
    /// EOF came without TLS's close_notify.
    pub(crate) truncated: bool,
    /// The connection is asked for, and not there yet.
    pub(crate) connecting: bool,
    /// It may wait for another connection, which has a deadline.
    pub(crate) has_partner: bool,
    /// What protects the connection.
    pub(crate) security: Security<'static>,
    /// Filler bytes in the output.
    clogged: usize,
}

impl Peer {
    /// Sends bytes, which must fit.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.input.extend(bytes);
    }

    /// Sends EOF.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Fills the output except for `room` bytes.
    pub(crate) fn clog(&mut self, room: usize) {
        assert!(self.output.is_empty());
        self.clogged = BUFFER - room;
        self.output.write(&vec![b'#'; self.clogged]);
    }

    /// Takes the output since the last call.
    pub(crate) fn received(&mut self) -> Vec<u8> {
        let all = std::mem::take(&mut self.output);
        all.bytes()[std::mem::take(&mut self.clogged)..].to_vec()
    }

    /// The number of bytes that it may send now.
    pub(crate) fn input_room(&self) -> usize {
        BUFFER - self.waiting()
    }

    /// Bytes that the protocol hasn't consumed.
    pub(crate) fn waiting(&self) -> usize {
        self.input.bytes().len()
    }

    /// Calls `advance` twice. The second call must change nothing.
    pub(crate) fn turn(&mut self, mut advance: impl FnMut(&mut Io<'_>) -> Want) -> Want {
        let (ended, gone, truncated, established) = (self.ended, self.gone, self.truncated, !self.connecting);
        let ends = secured(self.security);
        let mut call = |this: &mut Self| {
            let want = advance(&mut Io {
                input: &mut this.input,
                output: &mut this.output,
                ended,
                truncated,
                unread: false,
                gone,
                established,
                ends,
            });
            (want, this.input.bytes().len(), this.output.pending())
        };
        let first = call(self);
        assert_eq!(call(self), first, "advance isn't idempotent");
        let (want, _, pending) = first;
        let waits = !want.read && want.finish == Finish::No && pending == 0;
        assert!(!waits || want.wake.is_some() || self.has_partner, "it waits without a deadline");
        want
    }
}

/// The addresses of a connection without a socket.
pub(crate) fn ends() -> Ends<'static> {
    secured(Security::Plain)
}

fn secured(security: Security<'static>) -> Ends<'static> {
    const LOCAL: &SocketAddr = &SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
    Ends::secured_for_test("192.0.2.1:1000".parse().unwrap(), LOCAL, security)
}

/// A root with a small file and a large one, both old enough for strong entity-tags.
pub(crate) fn files() -> Scratch {
    let files = Scratch::new();
    old_file(&files, "index.html", "<p>index");
    old_file(&files, "large.bin", &"0123456789abcdef".repeat(1024));
    files
}

/// Writes a file that was last modified long ago.
pub(crate) fn old_file(files: &Scratch, name: &str, content: &str) {
    files.file(name, content);
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    std::fs::File::options().write(true).open(files.at(name)).unwrap().set_modified(long_ago).unwrap();
}

/// A server of `files` with all built-in applications, [`Slow`] at `/slow`, [`HalfWay`] at
/// `/half`, [`Visits`] at `/visits` and [`Feed`] at `/feed`.
pub(crate) fn shared(files: &Scratch) -> Shared {
    shared_with(files, |_| {})
}

/// Like [`shared`], with a host that `adjust` has changed.
pub(crate) fn shared_with(files: &Scratch, adjust: impl FnOnce(&mut http::Host)) -> Shared {
    let mut host = http::Host::default();
    let root = Root::open(files.path(), Symlinks::Inside).unwrap();
    host.files = Some(std::rc::Rc::new(Site::new(root, Settings::default()).into()));
    for entry in catalogue::ALL {
        host.routes.mount(entry.path, (entry.make)(&mut Supplies::default())).unwrap();
    }
    host.routes.mount("/slow", Box::new(Slow)).unwrap();
    host.routes.mount("/half", Box::new(HalfWay)).unwrap();
    host.routes.mount("/feed", Box::new(Feed::default())).unwrap();
    host.routes.mount("/visits", Box::new(Visits)).unwrap();
    adjust(&mut host);
    Shared::new(http::Shared::new(http::Limits::default(), host), Log::default())
}

/// An application that responds after a job, with the path in upper case and the length of the
/// content. `/panic` panics without a message; `/again` takes two jobs.
struct Slow;

impl App for Slow {
    fn methods(&self, _path: &[u8]) -> Methods {
        Methods::Any
    }

    fn handle(&mut self, request: &Request<'_>, _: &mut Call<'_>) -> Answer {
        let path = String::from_utf8_lossy(request.path).into_owned();
        Answer::later(JobClass::Files, move || {
            if path == "/panic" { resume_unwind(Box::new(path)) } else { path.to_uppercase() }
        })
    }

    fn resume(&mut self, request: &Request<'_>, _: &mut Call<'_>, done: Outcome) -> Answer {
        let text = *done.downcast::<String>().expect("what the job returned");
        if text == "/AGAIN" {
            return Answer::later(JobClass::Files, || "twice".to_owned());
        }
        Answer::now(Response::new(Status::OK).text(format!("{text} {}", request.body.len())))
    }
}

/// An application that counts requests in the session, and responds with the
/// count. `/later` counts when a job is done, `/renew` renews and `/end` ends the session
/// first, `/look` changes nothing, `/large` puts too much into it, `/panic` panics when
/// it has counted.
struct Visits;

impl App for Visits {
    fn methods(&self, _path: &[u8]) -> Methods {
        Methods::Any
    }

    fn reads_session(&self) -> bool {
        true
    }

    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        let session = call.session();
        let count = |session: &Session| session.get("count").and_then(|count| count.as_u64()).unwrap_or(0);
        match request.path {
            b"/later" => return Answer::later(JobClass::Files, || ()),
            b"/renew" => session.renew(),
            b"/end" => session.end(),
            b"/large" => session.set("large", "x".repeat(limits::SESSION)),
            _ => {}
        }
        if !matches!(request.path, b"/look" | b"/end") {
            session.set("count", count(session) + 1);
        }
        if request.path == b"/panic" {
            resume_unwind(Box::new("counted"));
        }
        let text = count(session).to_string();
        Answer::now(Response::new(Status::OK).field("Cache-Control", "max-age=60").text(text))
    }

    fn resume(&mut self, request: &Request<'_>, call: &mut Call<'_>, _: Outcome) -> Answer {
        self.handle(&Request { path: b"", ..*request }, call)
    }
}

/// An application whose content panics after its first piece, without a message.
struct HalfWay;

impl App for HalfWay {
    fn handle(&mut self, _: &Request<'_>, _: &mut Call<'_>) -> Answer {
        struct Half(bool);
        impl Source for Half {
            fn pull(&mut self, out: &mut Vec<u8>, _: usize, _: Tick) -> Pull {
                if std::mem::replace(&mut self.0, true) {
                    resume_unwind(Box::new("half-way"));
                }
                out.extend_from_slice(b"half");
                Pull::More
            }

            fn memory(&self) -> usize {
                0
            }
        }
        Answer::now(Response::new(Status::OK).stream("text/plain", Half(false)))
    }
}

/// An application of events. Each POST creates an event with its content. `/N` watches from
/// number N, and `/panic` panics at the first event.
#[derive(Default)]
struct Feed {
    events: Vec<String>,
}

/// The number of the last event of [`Feed`].
pub(crate) fn last_event(shared: &mut Shared) -> u64 {
    let hosts = shared.http.web.all();
    hosts[0].routes.app(b"/feed").unwrap().events(0, &mut Vec::new(), usize::MAX).unwrap()
}

/// The number at which [`Feed`] panics.
const PANIC: u64 = u64::MAX;

impl App for Feed {
    fn methods(&self, _path: &[u8]) -> Methods {
        Methods::Only(&[Method::Get, Method::Head, Method::Post])
    }

    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        if request.head.method == Method::Post {
            self.events.push(String::from_utf8_lossy(request.body).into_owned());
            call.news = true;
            return Answer::now(Response::new(Status::NO_CONTENT));
        }
        let path = request.path.strip_prefix(b"/").unwrap_or_default();
        Answer::Watch(if path == b"panic" { PANIC } else { event_stream::number(path).unwrap_or_default() })
    }

    fn events(&mut self, seen: u64, out: &mut Vec<u8>, room: usize) -> u64 {
        if seen == PANIC && !self.events.is_empty() {
            resume_unwind(Box::new("in the events"));
        }
        let mut last = seen;
        for (number, data) in (1..).zip(&self.events).filter(|(number, _)| *number > seen) {
            if out.len() >= room {
                break;
            }
            event_stream::event(number, "post", data, out);
            last = number;
        }
        last
    }
}

/// Sends `input` and EOF to a new protocol for each way to cut the input into pieces, with
/// much and little room in the output. All must have the same result, which is returned:
/// the output, and whether the protocol closed before EOF.
pub(super) fn every_way<A>(input: &[u8], mut fresh: impl FnMut() -> A) -> (Vec<u8>, bool)
where
    A: FnMut(&mut Io<'_>, bool) -> Want,
{
    let mut results = [BUFFER, 1, 3].into_iter().map(|room| {
        every_split(input, &[], |pieces| {
            let mut advance = fresh();
            let mut peer = Peer::default();
            let mut seen = Vec::new();
            // As the reactor does: a turn for each piece, and more turns while the
            // output is full.
            let mut settle = |peer: &mut Peer| loop {
                peer.clog(room);
                let want = peer.turn(|io| advance(io, false));
                let full = peer.output.room() == 0;
                seen.extend(peer.received());
                assert!(!(full && want.read), "it reads more than the output has room for");
                if !full {
                    return want;
                }
            };
            let mut closed = false;
            for piece in pieces {
                peer.send(piece);
                closed |= settle(&mut peer).finish == Finish::Linger;
            }
            peer.end();
            assert_eq!(settle(&mut peer).finish, Finish::Close);
            (seen, closed)
        })
    });
    let first = results.next().unwrap_or_default();
    assert!(results.all(|result| result == first), "the result depends on the room");
    first
}
