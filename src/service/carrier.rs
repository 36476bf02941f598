//! The connection to a remote store of sessions.
//!
//! ```text
//!             questions                     nothing asked for a while
//!  Absent ──────────────▶ Coming ──▶ There ───────────────────────────▶ Absent
//!    ▲                      │          │
//!    └─ after a pause ◀── failed ◀─────┘ lost, too slow, not understood
//! ```
//!
//! One connection serves all exchanges. It is made when something is to be asked, so
//! there is nothing to be done while nobody asks: an exchange that asks during the pause
//! after a failure is told at once that there is no store, and the first one after it has
//! the connection made. When it is lost everybody who waits for it is told.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Message, Outcome, Service, Shared};
use crate::limits;
use crate::reactor::{Context, Ending, Endpoint, Finish, Handle, Io, JobClass, QueueFull, Tick, Want};
use crate::session::Store;
use crate::session::pending::Pending;
use crate::session::remote::{Courier, Place};

/// Most questions on their way, each with a ticket here and a command there.
const PIPELINE: usize = 1024;
/// A connection that nobody used for so long is closed: before the other side does, so
/// that no question meets its end.
const IDLE: Duration = Duration::from_secs(20);
/// The first pause after a failure; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause: how long a store that is back goes unnoticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What is known of the remote store.
pub struct Link {
    place: Place,
    addresses: Vec<SocketAddr>,
    /// Which of the addresses is tried next, and how many were since the last success.
    next: usize,
    tried: usize,
    state: State,
    pause: Duration,
    /// That it fails has been said.
    failing: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// There is none, and until then none is asked for.
    Absent(Tick),
    /// It is asked for, and will see for itself what there is to ask.
    Coming,
    There(Handle),
}

impl Link {
    /// To the store at `place`, which has these addresses.
    pub fn new(place: Place, addresses: Vec<SocketAddr>) -> Self {
        Self {
            place,
            addresses,
            next: 0,
            tried: 0,
            state: State::Absent(Tick::default()),
            pause: PAUSE,
            failing: false,
        }
    }

    /// A connection is to be made; to where, and what lives on it.
    ///
    /// # Panics
    /// If the place has no address.
    pub fn connect(&mut self, now: Tick) -> (Endpoint, Service) {
        self.state = State::Coming;
        let address = self.addresses[self.next];
        (Endpoint::Tcp(address), Service::Carrier(Box::new(Carrier::new(&self.place, now))))
    }

    /// Whether an address is left that wasn't tried since the last success.
    fn try_another(&mut self) -> bool {
        self.next = (self.next + 1) % self.addresses.len();
        self.tried = (self.tried + 1) % self.addresses.len();
        self.tried > 0
    }

    fn failed(&mut self, now: Tick, why: &str) {
        if !self.failing {
            log::warn!("the store of sessions at {} fails: {why}", self.place);
        }
        log::debug!("{}: {why}; nothing is asked for {:?}", self.place, self.pause);
        self.failing = true;
        self.state = State::Absent(now.after(self.pause));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn works(&mut self) {
        if self.failing {
            log::info!("the store of sessions at {} is back", self.place);
        }
        self.failing = false;
        self.pause = PAUSE;
        self.tried = 0;
    }
}

type Cx<'a> = Context<'a, Service>;

fn pending(shared: &mut Shared) -> Option<&mut Pending> {
    match &mut shared.http.sessions.store {
        Store::Pending(pending) => Some(pending),
        _ => None,
    }
}

/// To be called before the store of sessions is asked: after a pause it may be asked again.
pub(super) fn prepare(cx: &mut Cx<'_>) {
    if let Some(Link { state: State::Absent(until), .. }) = &cx.shared.http.link
        && *until <= cx.time.now
        && let Some(pending) = pending(cx.shared)
    {
        pending.available();
    }
}

/// To be called when the store of sessions was asked: has the question carried there, or
/// to the disk.
///
/// # Errors
/// If too many durable writes wait.
pub(super) fn hurry(cx: &mut Cx<'_>) -> Result<(), QueueFull> {
    if let Store::Kept(kept) = &mut cx.shared.http.sessions.store
        && let Some(commit) = kept.next_commit()
    {
        cx.run(JobClass::Commit, move || {
            // What came of it is where the session is looked for.
            let _ = commit.wait();
            Outcome::Session
        })?;
    }
    let Some(link) = &mut cx.shared.http.link else { return Ok(()) };
    match link.state {
        State::There(handle) => cx.send(handle, Message::Session),
        State::Coming => {}
        State::Absent(_) => {
            let (to, carrier) = link.connect(cx.time.now);
            cx.connect(to, carrier);
        }
    }
    Ok(())
}

/// The protocol on the connection.
pub struct Carrier {
    courier: Courier,
    begun: bool,
    established: bool,
    /// Something was answered, so whoever is there is a store.
    answered: bool,
    /// When it was made, or something came last.
    active: Tick,
    /// Why it is of no use any more.
    failure: Option<String>,
}

impl Carrier {
    fn new(place: &Place, now: Tick) -> Self {
        Self {
            courier: Courier::new(place),
            begun: false,
            established: false,
            answered: false,
            active: now,
            failure: None,
        }
    }

    /// All that can be done now.
    pub(super) fn advance(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Want {
        let now = cx.time.now;
        if !self.begun {
            self.begun = true;
            self.courier.begin(now, io.output.buffer());
            if let Some(link) = &mut cx.shared.http.link {
                link.state = State::There(cx.handle);
            }
        }
        self.established |= io.established;
        if self.failure.is_none() {
            self.failure = self.read(io, cx).or_else(|| self.is_late(now));
        }
        if self.failure.is_some() {
            return Want::finish(Finish::Abort);
        }
        let over = io.ended || self.courier.is_over();
        // What is asked goes nowhere but to a connection that is there: if none comes
        // about, it can still be asked elsewhere.
        if self.established && !over {
            self.ask(io, cx);
        }
        let unasked = pending(cx.shared).is_none_or(|pending| pending.is_empty());
        let idle = self.active.after(IDLE);
        if self.courier.is_empty() && ((over && self.answered) || (unasked && (cx.draining || now >= idle))) {
            return Want::finish(Finish::Close);
        }
        if io.ended {
            self.failure = Some("it ended the connection".to_owned());
            return Want::finish(Finish::Abort);
        }
        Want::READ.by(self.deadline().unwrap_or(idle))
    }

    /// Takes the answers; why no more can be taken.
    fn read(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Option<String> {
        loop {
            let read = match self.courier.read(io.input.bytes_mut()) {
                Ok(read) => read,
                Err(fault) => return Some(fault.0),
            };
            if read.consumed == 0 && read.reply.is_none() {
                return None;
            }
            io.input.consume(read.consumed);
            (self.active, self.answered) = (cx.time.now, true);
            if let Some(refusal) = self.courier.refusal() {
                log::warn!("the store of sessions refuses: {refusal}");
            }
            if let Some((ticket, reply)) = read.reply {
                if let Some(link) = &mut cx.shared.http.link {
                    link.works();
                }
                if let Some(who) = pending(cx.shared).and_then(|pending| pending.answer(ticket, reply)) {
                    cx.send(who, Message::Session);
                }
            }
        }
    }

    /// Asks what there is to ask.
    fn ask(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) {
        let Some(pending) = pending(cx.shared) else { return };
        while io.output.room() > 0 && self.courier.len() < PIPELINE {
            let Some((ticket, question)) = pending.next_question() else { break };
            self.courier.ask(ticket, &question, cx.time.now, io.output.buffer());
        }
    }

    /// When the answer that is awaited, or the connection, must be there.
    fn deadline(&self) -> Option<Tick> {
        let since = if self.established { self.courier.waits_since() } else { Some(self.active) };
        since.map(|since| since.after(limits::STORE_TIMEOUT))
    }

    fn is_late(&self, now: Tick) -> Option<String> {
        let late = self.deadline().is_some_and(|deadline| deadline <= now);
        late.then(|| {
            if self.established { "it doesn't answer in time" } else { "it can't be reached in time" }.to_owned()
        })
    }

    /// The connection is over, or never came about.
    pub(super) fn closed(&mut self, ending: Ending, cx: &mut Cx<'_>) {
        let now = cx.time.now;
        let lost = || (!self.courier.is_empty()).then(|| "it ended the connection".to_owned());
        let why = self.failure.take().or_else(|| ending.error.map(|error| error.to_string())).or_else(lost);
        let Some(link) = &mut cx.shared.http.link else { return };
        let Some(why) = why else {
            // Nobody lost anything by it.
            link.state = State::Absent(now);
            if pending(cx.shared).is_some_and(|pending| !pending.is_empty()) {
                // Without a store on disk there is nothing to be refused.
                let _ = hurry(cx);
            }
            return;
        };
        if !self.established && link.try_another() {
            let (to, carrier) = link.connect(now);
            cx.connect(to, carrier);
            return;
        }
        link.failed(now, &why);
        for who in pending(cx.shared).map(Pending::unavailable).unwrap_or_default() {
            cx.send(who, Message::Session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::scratch::Scratch;
    use crate::reactor::{TestContext, Time};
    use crate::service::testing::{self, Peer, ends};
    use crate::session::Id;
    use crate::session::pending::{Question, Settled, Ticket, Unavailable};
    use std::io;

    /// A connection to a store with `addresses` addresses, and the loop's time.
    struct Bench {
        shared: Shared,
        carrier: Carrier,
        peer: Peer,
        now: Tick,
        context: TestContext<Service>,
        _files: Scratch,
    }

    const MILLI: Duration = Duration::from_millis(1);

    impl Bench {
        fn new(addresses: u16) -> Self {
            let files = testing::files();
            let mut shared = testing::shared(&files);
            shared.http.sessions.store = Store::Pending(Pending::default());
            let addresses = (1..=addresses).map(|port| ([127, 0, 0, 1], port).into()).collect();
            shared.http.link = Some(Link::new(Place::parse("redis://h").unwrap(), addresses));
            let mut bench = Self {
                carrier: Carrier::new(&Place::parse("redis://h").unwrap(), Tick::default()),
                shared,
                peer: Peer::default(),
                now: Tick::default(),
                context: TestContext::default(),
                _files: files,
            };
            bench.connect();
            bench
        }

        /// What the reactor does when it is asked for a connection.
        fn connect(&mut self) {
            let now = self.now;
            let Service::Carrier(carrier) = self.link().connect(now).1 else { panic!() };
            (self.carrier, self.peer) = (*carrier, Peer::default());
        }

        fn link(&mut self) -> &mut Link {
            self.shared.http.link.as_mut().unwrap()
        }

        fn state(&mut self) -> State {
            self.link().state
        }

        fn time(&self) -> Time {
            Time { now: self.now, ..Time::default() }
        }

        fn pass(&mut self, span: Duration) {
            self.now = self.now.after(span);
        }

        fn with<R>(&mut self, call: impl FnOnce(&mut Cx<'_>) -> R) -> R {
            let time = self.time();
            call(&mut self.context.context(&mut self.shared, time, false))
        }

        fn load(&mut self) -> Result<Ticket, Unavailable> {
            let time = self.time();
            let asked = pending(&mut self.shared).unwrap().load(Id::new(), Handle::for_test(1), time);
            if asked.is_ok() {
                self.with(hurry).unwrap();
            }
            asked
        }

        fn settle(&mut self) -> Want {
            let time = self.time();
            let Self { shared, carrier, peer, context, .. } = self;
            peer.turn(|io| carrier.advance(io, &mut context.context(shared, time, false)))
        }

        fn close(&mut self, error: Option<io::ErrorKind>) {
            let time = self.time();
            let ending = Ending { unsent: 0, error: error.map(io::Error::from) };
            self.carrier.closed(ending, &mut self.context.context(&mut self.shared, time, false));
        }

        fn take(&mut self, ticket: Ticket) -> Option<Settled> {
            pending(&mut self.shared).unwrap().take(ticket)
        }
    }

    #[test]
    fn questions_of_all_go_out_together_and_answers_wake_who_asked() {
        let mut bench = Bench::new(1);
        let tickets = [(); 3].map(|()| bench.load().unwrap());
        bench.settle();
        assert!(matches!(bench.state(), State::There(_)));
        assert_eq!(bench.peer.received().windows(3).filter(|part| part == b"GET").count(), 3);
        bench.peer.send(b"$-1\r\n$-1");
        bench.settle();
        assert!(matches!(bench.take(tickets[0]), Some(Settled::Loaded(_, None))));
        assert_eq!(bench.take(tickets[1]), None);
        bench.peer.send(b"\r\n-LOADING\r\n");
        bench.settle();
        assert!(matches!(bench.take(tickets[1]), Some(Settled::Loaded(..))));
        assert_eq!(bench.take(tickets[2]), Some(Settled::Failed));
        // To the connection for each question, and back for each answer.
        assert!(bench.context.sent().len() >= 3);
    }

    #[test]
    fn no_answer_in_time_is_the_end_for_all_and_pauses_grow_up_to_two_seconds() {
        let mut bench = Bench::new(1);
        let ticket = bench.load().unwrap();
        let deadline = bench.now.after(limits::STORE_TIMEOUT);
        assert_eq!(bench.settle(), Want::READ.by(deadline));
        bench.now = deadline;
        assert_eq!(bench.settle().finish, Finish::Abort);
        bench.close(None);
        assert_eq!(bench.take(ticket), Some(Settled::Failed));
        for expected in [100, 200, 400, 800, 1600, 2000, 2000] {
            let until = bench.now.after(MILLI * expected);
            assert_eq!(bench.state(), State::Absent(until));
            bench.with(prepare);
            assert_eq!(bench.load(), Err(Unavailable), "within the pause");
            bench.now = until;
            bench.with(prepare);
            let ticket = bench.load().unwrap();
            assert_eq!(bench.state(), State::Coming);
            bench.connect();
            bench.close(Some(io::ErrorKind::ConnectionRefused));
            assert_eq!(bench.take(ticket), Some(Settled::Failed), "told at once");
        }
        // Once it works all is forgotten.
        bench.pass(LONGEST_PAUSE);
        bench.with(prepare);
        bench.load().unwrap();
        bench.connect();
        bench.settle();
        bench.peer.send(b"$-1\r\n");
        bench.settle();
        assert_eq!((bench.link().pause, bench.link().failing), (PAUSE, false));
    }

    #[test]
    fn another_address_is_tried_before_anybody_is_told() {
        let mut bench = Bench::new(2);
        let ticket = bench.load().unwrap();
        bench.close(Some(io::ErrorKind::ConnectionRefused));
        assert_eq!((bench.state(), bench.take(ticket)), (State::Coming, None));
        bench.connect();
        bench.close(Some(io::ErrorKind::ConnectionRefused));
        assert!(matches!(bench.state(), State::Absent(_)));
        assert_eq!(bench.take(ticket), Some(Settled::Failed));
    }

    #[test]
    fn a_connection_that_does_not_come_about_is_not_waited_for() {
        let mut bench = Bench::new(1);
        let advance = |bench: &mut Bench| {
            let (time, Peer { input, output, .. }) = (bench.time(), &mut bench.peer);
            let mut io =
                Io { input, output, ended: false, unread: false, gone: false, established: false, ends: ends() };
            bench.carrier.advance(&mut io, &mut bench.context.context(&mut bench.shared, time, false))
        };
        let ticket = bench.load().unwrap();
        assert!(advance(&mut bench).wake.is_some() && bench.peer.received().is_empty());
        bench.pass(limits::STORE_TIMEOUT);
        assert_eq!(advance(&mut bench).finish, Finish::Abort);
        bench.close(None);
        assert_eq!(bench.take(ticket), Some(Settled::Failed));
    }

    #[test]
    fn an_idle_connection_is_closed_and_made_again_when_it_is_needed() {
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
            assert_eq!((bench.state(), bench.link().failing), (State::Absent(bench.now), false));
            let ticket = bench.load().unwrap();
            assert_eq!((bench.state(), bench.take(ticket)), (State::Coming, None));
        }
    }

    #[test]
    fn an_end_amid_questions_or_without_any_answer_is_a_failure() {
        for asked in [true, false] {
            let mut bench = Bench::new(1);
            let ticket = asked.then(|| bench.load().unwrap());
            bench.settle();
            bench.peer.end();
            assert_eq!(bench.settle().finish, Finish::Abort);
            bench.close(None);
            assert!(matches!(bench.state(), State::Absent(until) if until > bench.now));
            assert_eq!(ticket.and_then(|ticket| bench.take(ticket)), asked.then_some(Settled::Failed));
        }
    }

    #[test]
    fn nonsense_is_a_failure_and_so_is_what_nobody_asked_for() {
        for octets in [&b"HTTP/1.1 200 OK\r\n"[..], b"+OK\r\n", b"$-1\r\n$-1\r\n"] {
            let mut bench = Bench::new(1);
            bench.load().unwrap();
            bench.settle();
            bench.peer.send(octets);
            assert_eq!(bench.settle().finish, Finish::Abort, "{:?}", octets.escape_ascii().to_string());
        }
    }

    #[test]
    fn questions_on_their_way_are_bounded() {
        let mut bench = Bench::new(1);
        for _ in 0..PIPELINE + 100 {
            bench.load().unwrap();
        }
        for _ in 0..10 {
            bench.settle();
            bench.peer.received();
        }
        assert_eq!(bench.carrier.courier.len(), PIPELINE);
        // What a save asks is no different.
        let question = Question::End(Id::new());
        let time = bench.time();
        assert!(pending(&mut bench.shared).unwrap().save(question, Handle::for_test(1), time).is_ok());
    }
}
