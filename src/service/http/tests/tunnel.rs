//! Phase Tunnel: both ends of a tunnel, and the messages between them.

use super::*;
use crate::http::proxying::{Server, UpstreamTimeouts};
use crate::http::{FieldLines, head};
use crate::reactor::{Ending, Endpoint, Protocol};
use crate::service::http::asking::{Plan, Wanted};
use crate::service::http::exchange::Turn;
use crate::service::http::proxied::Proxied;
use crate::service::http::resolve::resolve;
use crate::service::http::state::{Progress, State};
use crate::service::http::tunnel::Tunnel;
use crate::service::proxy::{Addresses, ExchangeId, Proxy, Taken, ToUpstream, Upstream};
use crate::service::{Message, Service};
use crate::testing::every_split;

/// The timeout of a tunnel.
const SILENCE: Duration = Duration::from_secs(100);

/// A client, its connection, the connection to an upstream, and that.
pub(super) struct Pair {
    pub(super) bench: Bench,
    proxy: Rc<Proxy>,
    upstream: Option<Service>,
    pub(super) origin: Peer,
    /// Of the connection to the upstream.
    handle: Handle,
    context: TestContext<Service>,
    /// What the upstream's connection wanted last.
    pub(super) want: Want,
}

impl Pair {
    pub(super) fn new() -> Self {
        let timeouts = UpstreamTimeouts { tunnel: SILENCE, ..UpstreamTimeouts::default() };
        let addresses = Addresses::at(Endpoint::Unix("a".into()));
        let upstream =
            Rc::new(Upstream::new("u".to_owned(), Server::new(false, b"u").unwrap(), addresses, None, timeouts));
        let proxy = Rc::new(Proxy { max_in_flight: 1, ..Proxy::new(vec![upstream], "miod-x".to_owned()) });
        let route = RouteHandler::Proxy(Rc::clone(&proxy));
        let mut bench = Bench::with_host(|host| host.routes.set("/up", route).unwrap());
        bench.peer.has_partner = true;
        let mut origin = Peer::default();
        origin.has_partner = true;
        let (handle, context) = (Handle::for_test(2), TestContext::default());
        Self { bench, proxy, upstream: None, origin, handle, context, want: Want::NOTHING }
    }

    /// One whose client has sent `early` with its request, and whose upstream is a tunnel now.
    fn open(early: &str) -> Self {
        let mut pair = Self::new();
        pair.bench.peer.send(format!("{UPGRADE}{early}").as_bytes());
        pair.settle();
        assert!(pair.asked().ends_with("\r\nConnection: Upgrade\r\nUpgrade: x/1\r\n\r\n"));
        pair.origin.send(SWITCHED.as_bytes());
        pair.settle();
        let head = pair.bench.responses();
        assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\nDate: "), "{head}");
        assert!(head.ends_with("\r\nX: 1\r\nConnection: Upgrade\r\nUpgrade: X/1\r\n\r\n"), "{head}");
        pair
    }

    /// One that CONNECT has asked for; the connection isn't there yet.
    fn connect(early: &str) -> Self {
        let mut pair = Self::new();
        let Bench { shared, http, peer, context, .. } = &mut pair.bench;
        let request = b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n";
        peer.send(early.as_bytes());
        let proxy = &pair.proxy;
        peer.turn(|io| {
            let mut cx = context.context(shared, Time::default(), false);
            if http.phase() == super::super::census::Phase::Idle {
                let mut lines = FieldLines::default();
                let head = head::parse(request, &mut lines).unwrap().unwrap();
                let turn = &mut Turn::new(io.output, io.ends, 1, &mut cx);
                let exchange = resolve(&head, turn.cx.shared.http.hosts(HostsId::default()), Tick::default(), turn);
                let id = ExchangeId { client: turn.cx.handle, request: 1 };
                let chosen = proxy.choose(&[], id, Tick::default()).unwrap();
                let plan = Plan { proxy: Rc::clone(proxy), wanted: Wanted::Tunnel, textbook: None, fetch: None };
                let proxied = Proxied::begin(&exchange, plan, chosen, turn);
                http.proceed(Progress::Pending(State::Proxied(proxied)), &mut cx);
            }
            http.advance(io, &mut cx)
        });
        pair.origin.connecting = true;
        pair
    }

    /// Passes messages on until nothing moves. Returns what the client's connection wants.
    pub(super) fn settle(&mut self) -> Want {
        loop {
            let want = self.bench.settle();
            if let Some((handle, made)) = self.bench.context.connecting().pop() {
                (self.handle, self.context) = (handle, TestContext::of(handle));
                self.upstream = Some(made);
            }
            let sent = self.bench.context.sent();
            let Self { bench, upstream, origin, context, .. } = self;
            let Some(upstream) = upstream else { return want };
            let is_quiet = sent.is_empty();
            sent.into_iter().for_each(|(_, message)| upstream.deliver(message));
            let time = Time { now: bench.now, ..Time::default() };
            self.want = origin.turn(|io| upstream.advance(io, &mut context.context(&mut bench.shared, time, false)));
            if !self.pass_back() && is_quiet {
                return want;
            }
        }
    }

    /// Delivers what the upstream's connection has sent. Returns whether that was anything.
    fn pass_back(&mut self) -> bool {
        let sent = self.context.sent();
        let is_any = !sent.is_empty();
        for (_, message) in sent {
            let Message::FromUpstream(_, id, message) = message else { panic!("{message:?}") };
            self.bench.http.deliver(self.handle, id, message);
        }
        is_any
    }

    /// The connection to the upstream is lost.
    fn lose(&mut self, error: Option<std::io::ErrorKind>) -> Want {
        let time = Time { now: self.bench.now, ..Time::default() };
        let ending = Ending { unsent: 0, error: error.map(Into::into) };
        let mut upstream = self.upstream.take().unwrap();
        upstream.closed(ending, ends(), &mut self.context.context(&mut self.bench.shared, time, false));
        self.pass_back();
        self.bench.settle()
    }

    /// What the upstream has received.
    fn asked(&mut self) -> String {
        String::from_utf8(self.origin.received()).unwrap()
    }
}

const UPGRADE: &str = "GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x/1\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Fine\r\nX: 1\r\nUpgrade: X/1\r\nConnection: upgrade\r\n\r\n";

#[test]
fn bytes_pass_in_both_directions_and_an_idle_tunnel_holds_none() {
    let mut pair = Pair::open("");
    assert_eq!(pair.bench.phase(), "Tunnel");
    for _ in 0..3 {
        pair.bench.peer.send(b"GET / HTTP/1.1\r\n\r\n");
        pair.origin.send(b"back");
        pair.settle();
        assert_eq!(pair.asked(), "GET / HTTP/1.1\r\n\r\n");
        assert_eq!(pair.bench.responses(), "back");
    }
    let want = pair.settle();
    assert!(want.read && pair.want.read);
    assert!(pair.bench.http.memory() - size_of::<Tunnel>() < 300, "only the line of the log");
    let Some(Service::Upstream(upstream)) = &pair.upstream else { panic!("it is gone") };
    assert_eq!(upstream.memory(), size_of_val(&**upstream));
}

#[test]
fn early_bytes_wait_for_the_tunnel() {
    let mut pair = Pair::open("early");
    assert_eq!(pair.asked(), "early");
    // Bytes right behind the head of the upstream, in any pieces.
    every_split(format!("{SWITCHED}at once").as_bytes(), &[], |pieces| {
        let mut pair = Pair::new();
        pair.bench.peer.send(UPGRADE.as_bytes());
        pair.settle();
        for piece in pieces {
            pair.origin.send(piece);
            pair.settle();
        }
        let text = pair.bench.responses();
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    });
}

#[test]
fn each_direction_ends_by_itself() {
    for client_first in [true, false] {
        let mut pair = Pair::open("");
        let end = |pair: &mut Pair, client: bool| {
            let peer = if client { &mut pair.bench.peer } else { &mut pair.origin };
            peer.send(b"last");
            peer.end();
            let want = pair.settle();
            let (asked, responses) = (pair.asked(), pair.bench.responses());
            assert_eq!((&*asked, &*responses), if client { ("last", "") } else { ("", "last") });
            (want, pair.want)
        };
        let (client, upstream) = end(&mut pair, client_first);
        let (ended, other) = if client_first { (client, upstream) } else { (upstream, client) };
        assert_eq!((ended.read, ended.finish), (false, Finish::No), "it is still sent to");
        assert_eq!((other.read, other.finish), (true, Finish::HalfClose));
        let peer = if client_first { &mut pair.origin } else { &mut pair.bench.peer };
        peer.send(b"still");
        pair.settle();
        assert_eq!(if client_first { pair.bench.responses() } else { pair.asked() }, "still");
        let (client, upstream) = end(&mut pair, !client_first);
        assert!([Finish::Close, Finish::Linger].contains(&client.finish), "{client:?}");
        assert_eq!(upstream.finish, Finish::Close);
        assert_eq!(pair.bench.phase(), "Closing");
    }
}

#[test]
fn what_goes_wrong_at_one_end_resets_the_other() {
    // The upstream is lost.
    let mut pair = Pair::open("");
    assert_eq!(pair.lose(Some(std::io::ErrorKind::ConnectionReset)).finish, Finish::Abort);
    // The client is lost.
    let mut pair = Pair::open("");
    let time = Time { now: pair.bench.now, ..Time::default() };
    let Bench { shared, http, context, .. } = &mut pair.bench;
    http.closed(0, ends(), &mut context.context(shared, time, false));
    for (_, message) in pair.bench.context.sent() {
        pair.upstream.as_mut().unwrap().deliver(message);
    }
    let (upstream, shared) = (pair.upstream.as_mut().unwrap(), &mut pair.bench.shared);
    let want = pair.origin.turn(|io| upstream.advance(io, &mut pair.context.context(shared, time, false)));
    assert_eq!(want.finish, Finish::Abort);
    pair.bench.http = Bench::connect(&mut pair.bench.shared, false);
    // What was sent may be cut.
    for client in [true, false] {
        let mut pair = Pair::open("");
        let peer = if client { &mut pair.bench.peer } else { &mut pair.origin };
        (peer.ended, peer.truncated) = (true, true);
        let wants = (pair.settle().finish, pair.want.finish);
        assert_eq!(wants, (Finish::Abort, Finish::Abort), "{client}");
    }
    // A message didn't arrive.
    let mut pair = Pair::open("");
    let id = ExchangeId { client: Handle::for_test(1), request: 1 };
    pair.bench.http.undelivered(Handle::for_test(7), id, &ToUpstream::Cancel);
    assert_eq!(pair.settle().finish, Finish::No, "it was for an attempt that was given up");
    pair.bench.http.undelivered(pair.handle, id, &ToUpstream::Room(Taken { bytes: 1, is_all: true }));
    assert_eq!(pair.bench.settle().finish, Finish::Abort);
}

#[test]
fn an_upstream_that_is_gone_after_both_ends_changes_nothing() {
    let mut pair = Pair::open("");
    pair.bench.peer.end();
    pair.settle();
    pair.bench.peer.clog(0);
    pair.origin.send(b"last");
    pair.origin.end();
    pair.settle();
    assert_eq!(pair.want.finish, Finish::Close);
    assert_eq!(pair.lose(None).finish, Finish::No);
    pair.bench.peer.received();
    assert!([Finish::Close, Finish::Linger].contains(&pair.bench.settle().finish));
    assert_eq!((pair.bench.responses(), pair.bench.context.sent().len()), ("last".to_owned(), 0));
}

#[test]
fn silence_ends_it() {
    let mut pair = Pair::open("");
    for client in [true, false] {
        pair.bench.now = pair.bench.now.after(SILENCE - SECOND);
        if client { &mut pair.bench.peer } else { &mut pair.origin }.send(b"x");
        let want = pair.settle();
        assert_eq!(want.wake, Some(pair.bench.now.after(SILENCE)), "each byte counts: {client}");
    }
    pair.bench.now = pair.bench.now.after(SILENCE);
    assert_eq!(pair.settle().finish, Finish::Abort);
    assert_eq!(pair.want.finish, Finish::Abort);
    assert_eq!(pair.bench.shared.http.counts.timeouts, [0, 0, 0, 1]);
}

#[test]
fn a_change_that_was_not_offered_is_refused_and_a_usual_response_passes() {
    for (response, status, persists) in [
        ("HTTP/1.1 101 A\r\nUpgrade: y\r\n\r\n", 502, false),
        ("HTTP/1.1 101 A\r\n\r\n", 502, false),
        ("HTTP/1.1 426 A\r\nUpgrade: y\r\nContent-Length: 0\r\n\r\n", 426, true),
    ] {
        let mut pair = Pair::new();
        pair.bench.peer.send(UPGRADE.as_bytes());
        pair.settle();
        pair.origin.send(response.as_bytes());
        pair.settle();
        let text = pair.bench.responses();
        assert_eq!(statuses(&text), [status], "{text}");
        assert_eq!(text.contains("Proxy-Status: miod; error=http_protocol_error\r\n"), !persists, "{text}");
        assert_eq!(text.contains("\r\nConnection: Upgrade\r\nUpgrade: y\r\n"), persists, "{text}");
        assert_eq!(pair.want.finish == Finish::No, persists);
        assert_eq!(pair.bench.phase(), "Idle");
        pair.bench.exchange(get("/"));
    }
}

#[test]
fn connect_is_a_tunnel_as_soon_as_the_connection_is_there() {
    let mut pair = Pair::connect("\x16\x03\x01 hello");
    pair.settle();
    assert_eq!((pair.bench.responses(), pair.asked()), (String::new(), String::new()));
    pair.origin.connecting = false;
    pair.origin.send(b"first");
    pair.settle();
    let head = pair.bench.responses();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nDate: ") && head.ends_with("\r\n\r\nfirst"), "{head}");
    for name in ["Content-Length", "Transfer-Encoding", "Connection", "Upgrade"] {
        assert!(!head.contains(name), "{head}");
    }
    assert_eq!(pair.asked(), "\x16\x03\x01 hello");
    assert_eq!(pair.bench.phase(), "Tunnel");

    // One that can't be made is a usual failure.
    let mut pair = Pair::connect("");
    pair.settle();
    pair.lose(Some(std::io::ErrorKind::ConnectionRefused));
    let text = pair.bench.responses();
    assert_eq!(statuses(&text), [502]);
    assert!(text.contains("Proxy-Status: miod; error=connection_refused\r\n"), "{text}");
}
