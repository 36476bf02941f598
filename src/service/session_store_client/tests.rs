use std::cell::RefMut;
use std::io;

use super::link::{LONGEST_PAUSE, PAUSE, State};
use super::*;
use crate::files::scratch::Scratch;
use crate::reactor::{Endpoint, Handle, TestContext, Time};
use crate::service::testing::{self, Peer, ends};
use crate::service::{Service, Shared};
use crate::session::Id;
use crate::session::pending::{Operation, Pending, StoreResult, Ticket, Unavailable};
use crate::session::record::Lifetime;
use crate::session::remote::StoreUrl;

/// A link to a store with some addresses, its connection, and the time of the loop.
struct Bench {
    stored: StoredSessions,
    shared: Shared,
    client: SessionStoreClient,
    peer: Peer,
    now: Tick,
    context: TestContext<Service>,
    _files: Scratch,
}

const MILLI: Duration = Duration::from_millis(1);

impl Bench {
    fn new(addresses: u16) -> Self {
        let files = testing::files();
        let shared = testing::shared(&files);
        let addresses = (1..=addresses).map(|port| ([127, 0, 0, 1], port).into()).collect();
        let sessions = Sessions::new(Store::Remote(Pending::default()), Lifetime::default());
        let url = StoreUrl::parse("redis://h").unwrap();
        let link = SessionStoreLink::new(url, addresses, None, sessions.shared_store());
        let mut bench = Self {
            client: SessionStoreClient::new(Rc::clone(&link), Tick::default()),
            stored: StoredSessions { sessions, link: Some(link) },
            shared,
            peer: Peer::default(),
            now: Tick::default(),
            context: TestContext::default(),
            _files: files,
        };
        bench.connect();
        bench
    }

    /// Opens the connection, as the reactor does.
    fn connect(&mut self) {
        let now = self.now;
        let Service::SessionStore(client) = self.link().connect(now).1 else { panic!() };
        (self.client, self.peer) = (*client, Peer::default());
    }

    fn link(&self) -> Rc<SessionStoreLink> {
        self.stored.link.clone().unwrap()
    }

    fn state(&self) -> State {
        self.link().state.get()
    }

    fn pending(&self) -> RefMut<'_, Pending> {
        self.stored.link.as_ref().unwrap().pending().unwrap()
    }

    fn allow_retry(&self) {
        self.stored.allow_retry(self.now);
    }

    fn time(&self) -> Time {
        Time { now: self.now, ..Time::default() }
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now.after(span);
    }

    fn load(&mut self) -> Result<Ticket, Unavailable> {
        let time = self.time();
        let ticket = self.pending().load(&[Id::new()], Handle::for_test(1), time);
        if ticket.is_ok() {
            let cx = &mut self.context.context(&mut self.shared, time, false);
            self.stored.flush(cx).unwrap();
        }
        ticket
    }

    fn settle(&mut self) -> Want {
        let time = self.time();
        let Self { shared, client, peer, context, .. } = self;
        peer.turn(|io| client.advance(io, &mut context.context(shared, time, false)))
    }

    fn close(&mut self, error: Option<io::ErrorKind>) {
        let time = self.time();
        let ending = Ending { unsent: 0, error: error.map(io::Error::from) };
        self.client.closed(ending, &mut self.context.context(&mut self.shared, time, false));
    }

    fn take(&mut self, ticket: Ticket) -> Option<StoreResult> {
        self.pending().take(ticket)
    }
}

#[test]
fn operations_are_pipelined_and_each_reply_wakes_its_exchange() {
    let mut bench = Bench::new(1);
    let tickets = [(); 3].map(|()| bench.load().unwrap());
    bench.settle();
    assert!(matches!(bench.state(), State::Open(_)));
    assert_eq!(bench.peer.received().windows(3).filter(|part| part == b"GET").count(), 3);
    bench.peer.send(b"$-1\r\n$-1");
    bench.settle();
    assert!(matches!(bench.take(tickets[0]), Some(StoreResult::Loaded(_, None))));
    assert_eq!(bench.take(tickets[1]), None);
    bench.peer.send(b"\r\n-ERR x\r\n");
    bench.settle();
    assert!(matches!(bench.take(tickets[1]), Some(StoreResult::Loaded(..))));
    assert_eq!(bench.take(tickets[2]), Some(StoreResult::Failed));
    // One message for each operation, and one for each reply.
    assert!(bench.context.sent().len() >= 3);
}

#[test]
fn a_timeout_fails_all_operations_and_pauses_grow_up_to_two_seconds() {
    let mut bench = Bench::new(1);
    let ticket = bench.load().unwrap();
    let deadline = bench.now.after(limits::SESSION_STORE_TIMEOUT);
    assert_eq!(bench.settle(), Want::READ.by(deadline));
    bench.now = deadline;
    assert_eq!(bench.settle().finish, Finish::Abort);
    bench.close(None);
    assert_eq!(bench.take(ticket), Some(StoreResult::Failed));
    for expected in [100, 200, 400, 800, 1600, 2000, 2000] {
        let until = bench.now.after(MILLI * expected);
        assert_eq!(bench.state(), State::Absent(until));
        bench.allow_retry();
        assert_eq!(bench.load(), Err(Unavailable), "within the pause");
        bench.now = until;
        bench.allow_retry();
        let ticket = bench.load().unwrap();
        assert_eq!(bench.state(), State::Connecting);
        bench.connect();
        bench.close(Some(io::ErrorKind::ConnectionRefused));
        assert_eq!(bench.take(ticket), Some(StoreResult::Failed), "it fails at once");
    }
    // A reply resets the pause.
    bench.pass(LONGEST_PAUSE);
    bench.allow_retry();
    bench.load().unwrap();
    bench.connect();
    bench.settle();
    bench.peer.send(b"$-1\r\n");
    bench.settle();
    assert_eq!((bench.link().pause.get(), bench.link().failing.get()), (PAUSE, false));
}

#[test]
fn each_address_is_tried_before_operations_fail() {
    let mut bench = Bench::new(2);
    let ticket = bench.load().unwrap();
    bench.close(Some(io::ErrorKind::ConnectionRefused));
    assert_eq!((bench.state(), bench.take(ticket)), (State::Connecting, None));
    bench.connect();
    bench.close(Some(io::ErrorKind::ConnectionRefused));
    assert!(matches!(bench.state(), State::Absent(_)));
    assert_eq!(bench.take(ticket), Some(StoreResult::Failed));
}

#[test]
fn connecting_times_out() {
    let mut bench = Bench::new(1);
    let advance = |bench: &mut Bench| {
        let (time, Peer { input, output, .. }) = (bench.time(), &mut bench.peer);
        let mut io = Io {
            input,
            output,
            ended: false,
            truncated: false,
            unread: false,
            gone: false,
            established: false,
            ends: ends(),
        };
        bench.client.advance(&mut io, &mut bench.context.context(&mut bench.shared, time, false))
    };
    let ticket = bench.load().unwrap();
    assert!(advance(&mut bench).wake.is_some() && bench.peer.received().is_empty());
    bench.pass(limits::SESSION_STORE_TIMEOUT);
    assert_eq!(advance(&mut bench).finish, Finish::Abort);
    bench.close(None);
    assert_eq!(bench.take(ticket), Some(StoreResult::Failed));
}

#[test]
fn an_idle_connection_is_closed_and_opened_again_when_needed() {
    for ended in [false, true] {
        let mut bench = Bench::new(1);
        let ticket = bench.load().unwrap();
        bench.settle();
        bench.peer.send(b"$-1\r\n");
        assert_eq!(bench.settle().finish, Finish::No);
        assert!(bench.take(ticket).is_some());
        if ended {
            bench.peer.end();
        } else {
            bench.pass(IDLE);
        }
        assert_eq!(bench.settle().finish, Finish::Close);
        bench.close(None);
        assert_eq!((bench.state(), bench.link().failing.get()), (State::Absent(bench.now), false));
        let ticket = bench.load().unwrap();
        assert_eq!((bench.state(), bench.take(ticket)), (State::Connecting, None));
    }
}

#[test]
fn eof_with_pending_operations_or_before_any_reply_is_a_failure() {
    for pending in [true, false] {
        let mut bench = Bench::new(1);
        let ticket = pending.then(|| bench.load().unwrap());
        bench.settle();
        bench.peer.end();
        assert_eq!(bench.settle().finish, Finish::Abort);
        bench.close(None);
        assert!(matches!(bench.state(), State::Absent(until) if until > bench.now));
        assert_eq!(ticket.and_then(|ticket| bench.take(ticket)), pending.then_some(StoreResult::Failed));
    }
}

#[test]
fn malformed_and_unexpected_replies_are_failures() {
    for bytes in [&b"HTTP/1.1 200 OK\r\n"[..], b"+OK\r\n", b"$-1\r\n$-1\r\n"] {
        let mut bench = Bench::new(1);
        bench.load().unwrap();
        bench.settle();
        bench.peer.send(bytes);
        assert_eq!(bench.settle().finish, Finish::Abort, "{:?}", bytes.escape_ascii().to_string());
    }
}

#[test]
fn pipelined_operations_are_limited() {
    let mut bench = Bench::new(1);
    for _ in 0..PIPELINE + 100 {
        bench.load().unwrap();
    }
    for _ in 0..10 {
        bench.settle();
        bench.peer.received();
    }
    assert_eq!(bench.client.pipeline.len(), PIPELINE);
    // A save is still accepted.
    let operation = Operation::End(Id::new());
    let time = bench.time();
    assert!(bench.pending().save(operation, Handle::for_test(1), time).is_ok());
}

#[test]
fn a_server_that_became_a_replica_is_replaced_by_the_next_address() {
    for error in ["READONLY You can't write against a read only replica.", "LOADING", "MASTERDOWN Link is down"] {
        let mut bench = Bench::new(2);
        let tickets = [(); 2].map(|()| bench.load().unwrap());
        bench.settle();
        bench.peer.send(format!("$-1\r\n-{error}\r\n").as_bytes());
        assert_eq!(bench.settle().finish, Finish::Abort, "{error}");
        let now = bench.now;
        assert!(matches!(bench.link().connect(now).0.endpoint, Endpoint::Tcp(address) if address.port() == 1));
        bench.close(None);
        assert_eq!(bench.take(tickets[1]), Some(StoreResult::Failed));
        assert!(matches!(bench.state(), State::Absent(until) if until > now), "it waits before it connects again");
        assert!(
            matches!(bench.link().connect(now).0.endpoint, Endpoint::Tcp(address) if address.port() == 2),
            "{error}"
        );
    }
    // Other errors concern one operation.
    let mut bench = Bench::new(2);
    let ticket = bench.load().unwrap();
    bench.settle();
    bench.peer.send(b"-WRONGTYPE x\r\n");
    assert_eq!((bench.settle().finish, bench.take(ticket)), (Finish::No, Some(StoreResult::Failed)));
}
