//! `miod connect`: standard input to a socket, and what comes back to standard output.
//!
//! ```text
//! stdin ─► helper thread ─► piece ─► output ═► peer
//!              ▲              │
//!              └──next piece──┘ when the last is on its way
//! peer ═► input ─► paper ─► stdout
//! ```
//!
//! There is one piece of standard input at most: the next is asked for when the last is
//! in the output and there is room for more. So a peer that doesn't read stops us
//! reading, and whoever writes to us through a pipe stops too.
//!
//! Over TCP the end of input is a half-close; what the peer still says is printed until
//! it ends too. Over UDP each line is a datagram, its end left out, and each answer is
//! printed as a line; after the end of input as many answers are waited for as lines
//! were sent, but not for longer than it was said.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::console::{Console, Paper, Target, read_stdin};
use super::{Failed, Failure, NO_ADDRESS, resolve_within};
use crate::reactor::{
    Accepted, Context, DatagramProtocol, Ending, Endpoint, Ends, Finish, Io, JobClass, JobId, JobPanicked, JobResult,
    Options, Outbox, Protocol, Reactor, Stay, Tick, Time, Until, Want,
};
use crate::text::reason::reason;

/// How messages call it.
const STDIN: &str = "standard input";

/// Most datagrams of one turn, and the pause behind it. A receiver's queue is bounded,
/// and what doesn't fit it is lost: so a file isn't thrown at it at once.
const BURST: usize = 32;
const PAUSE: Duration = Duration::from_millis(1);

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// A name or an address.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// Datagrams instead of a connection.
    pub udp: bool,
    /// How long making the connection may take, and before that looking up the name.
    pub timeout: Duration,
    /// How long the last answers may take after the end of input, over UDP.
    pub wait: Duration,
}

/// Talks until both have ended.
///
/// # Errors
/// If nobody can be reached, or the connection breaks.
pub fn run(plan: &Plan) -> Result<(), Failed> {
    talk(plan).map_err(|failure| failure.at(format_args!("{}, port {}", plan.host, plan.port)))
}

fn talk(plan: &Plan) -> Result<(), Failure> {
    let found = resolve_within(&plan.host, plan.port, plan.timeout)?;
    let mut addresses: VecDeque<_> = found.ok_or(Failure::TimedOut(NO_ADDRESS, plan.timeout))?.into();
    // There is one at least.
    let Some(first) = addresses.pop_front() else { return Err(Failure::Name(plan.host.clone())) };
    let desk = Desk {
        paper: Paper::default(),
        console: None,
        addresses,
        timeout: plan.timeout,
        wait: plan.wait,
        outcome: Ok(()),
    };
    let mut reactor = Reactor::<Line>::new(desk, Options::default())?;
    let console = Console::new(Target::Stdout, reactor.closer());
    reactor.shared().console = Some(console);
    if plan.udp {
        let any: IpAddr = if first.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        reactor
            .datagrams(SocketAddr::new(any, 0), Some(first), Datagrams::new(first))
            .map_err(|error| Failure::Connect(first, error))?;
    } else {
        reactor.connect(Endpoint::Tcp(first), Line::default());
    }
    reactor.run(Until::Idle)?;
    let desk = reactor.shared();
    if let Some(console) = &mut desk.console {
        console.print(&mut desk.paper);
        if let Some(failure) = console.failure() {
            return Err(failure);
        }
        if console.is_broken() {
            return Ok(());
        }
    }
    std::mem::replace(&mut desk.outcome, Ok(()))
}

/// What a connection shares with those who print, and with the next address.
pub struct Desk {
    paper: Paper,
    /// None in tests.
    console: Option<Console>,
    /// Those that aren't tried yet.
    addresses: VecDeque<SocketAddr>,
    timeout: Duration,
    wait: Duration,
    outcome: Result<(), Failure>,
}

/// Standard input, piece by piece.
#[derive(Debug, Default)]
enum Source {
    /// The next piece may be asked for.
    #[default]
    Idle,
    /// The helper thread reads.
    Asked,
    /// This is there and not yet on its way.
    Piece(Vec<u8>),
    /// There is no more.
    Ended,
    /// It can't be read.
    Failed(io::Error),
}

impl Source {
    fn take_note(&mut self, read: io::Result<Vec<u8>>) {
        *self = match read {
            Ok(piece) if piece.is_empty() => Self::Ended,
            Ok(piece) => Self::Piece(piece),
            Err(error) => Self::Failed(error),
        };
    }
}

/// One connection that is talked over.
#[derive(Debug, Default)]
pub struct Line {
    source: Source,
    established: bool,
    /// The peer has said all.
    ended: bool,
    /// When the connection must be there.
    deadline: Option<Tick>,
}

impl Protocol for Line {
    type Shared = Desk;
    type Listener = ();
    type Message = Infallible;
    type Outcome = io::Result<Vec<u8>>;
    type Datagrams = Datagrams;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        None
    }

    fn deliver(&mut self, message: Infallible) {
        match message {}
    }

    fn job_ended(&mut self, _: JobId, read: JobResult<io::Result<Vec<u8>>>) {
        self.source.take_note(read.unwrap_or_else(|JobPanicked| Err(io::Error::other("the reader failed"))));
    }

    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        if cx.draining {
            return Want::finish(Finish::Abort);
        }
        self.established = io.established;
        if !io.established {
            let deadline = *self.deadline.get_or_insert(cx.time.now.after(cx.shared.timeout));
            return if cx.time.now < deadline { Want::READ.by(deadline) } else { Want::finish(Finish::Abort) };
        }
        cx.shared.paper.out.extend_from_slice(io.input.bytes());
        io.input.consume(io.input.bytes().len());
        self.ended = io.ended;
        if io.ended {
            return Want::finish(Finish::Close);
        }
        if let Source::Piece(piece) = &self.source
            && io.output.room() > 0
        {
            io.output.write(piece);
            self.source = Source::Idle;
        }
        if matches!(self.source, Source::Idle) && io.output.room() > 0 {
            self.source = Source::Asked;
            if cx.run(JobClass::Files, read_stdin).is_err() {
                self.source = Source::Failed(io::ErrorKind::ResourceBusy.into());
            }
        }
        let finish = match &mut self.source {
            Source::Failed(error) => {
                let error = std::mem::replace(error, io::ErrorKind::Other.into());
                cx.shared.outcome = Err(Failure::Input(STDIN.into(), error));
                self.source = Source::Ended;
                Finish::HalfClose
            }
            Source::Ended => Finish::HalfClose,
            _ => Finish::No,
        };
        Want { finish, ..Want::READ }
    }

    fn closed(&mut self, ending: Ending, ends: Ends<'_>, cx: &mut Context<'_, Self>) {
        if cx.draining {
            return;
        }
        let failure = match ending.error {
            // It needn't take what it doesn't want.
            _ if self.ended => return,
            Some(error) if self.established => Failure::Lost(error),
            None if self.established => return,
            error => {
                if let Some(next) = cx.shared.addresses.pop_front() {
                    cx.connect(Endpoint::Tcp(next), Self::default());
                    return;
                }
                Failure::connect(ends.peer(), error)
            }
        };
        cx.shared.outcome = Err(failure);
    }

    fn before_wait(desk: &mut Desk, _: Time, _: bool) -> Option<Duration> {
        if let Some(console) = &mut desk.console {
            console.print(&mut desk.paper);
        }
        None
    }
}

/// A socket whose datagrams are lines.
#[derive(Debug)]
pub struct Datagrams {
    peer: SocketAddr,
    source: Source,
    /// How much of the piece is sent.
    at: usize,
    /// The begin of a line whose end is in the next piece.
    begun: Vec<u8>,
    /// Datagrams that may be answered, and answers.
    sent: u64,
    answers: u64,
    /// No more is sent before.
    pause: Option<Tick>,
    /// The input has ended, and the last answers are waited for.
    until: Option<Tick>,
    /// Nobody listened there when a datagram arrived.
    refused: Option<io::Error>,
}

impl Datagrams {
    fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            source: Source::Idle,
            at: 0,
            begun: Vec::new(),
            sent: 0,
            answers: 0,
            pause: None,
            until: None,
            refused: None,
        }
    }

    fn send(&mut self, line: &[u8], out: &mut Outbox) {
        out.send(self.peer, line.strip_suffix(b"\r").unwrap_or(line));
        self.sent += 1;
    }

    /// Sends the lines of the piece at hand; false if there are more than for one turn.
    fn send_lines(&mut self, out: &mut Outbox) -> bool {
        /// Longer than any datagram: the system refuses it, and all of it is one line.
        const LONGEST: usize = 64 * 1024;
        let piece = match std::mem::take(&mut self.source) {
            Source::Piece(piece) => piece,
            other => {
                self.source = other;
                return true;
            }
        };
        for _ in 0..BURST {
            let rest = &piece[self.at..];
            let Some(end) = memchr::memchr(b'\n', rest) else {
                if self.begun.len() <= LONGEST {
                    self.begun.extend_from_slice(rest);
                }
                self.at = 0;
                return true;
            };
            let mut line = std::mem::take(&mut self.begun);
            line.extend_from_slice(&rest[..end]);
            self.send(&line, out);
            self.at += end + 1;
        }
        self.source = Source::Piece(piece);
        false
    }
}

impl DatagramProtocol<Line> for Datagrams {
    fn received(&mut self, datagram: &[u8], _: SocketAddr, _: &mut Outbox, cx: &mut Context<'_, Line>) {
        self.answers += 1;
        let out = &mut cx.shared.paper.out;
        out.extend_from_slice(datagram);
        if !datagram.ends_with(b"\n") {
            out.push(b'\n');
        }
        // The wait is for each answer.
        if self.until.is_some() {
            self.until = Some(cx.time.now.after(cx.shared.wait));
        }
    }

    fn job_ended(&mut self, _: JobId, read: JobResult<io::Result<Vec<u8>>>) {
        self.source.take_note(read.unwrap_or_else(|JobPanicked| Err(io::Error::other("the reader failed"))));
    }

    fn advance(&mut self, out: &mut Outbox, cx: &mut Context<'_, Line>) -> Stay {
        if cx.draining {
            return Stay::Over;
        }
        let now = cx.time.now;
        if let Some(until) = self.until {
            if self.answers < self.sent && now < until {
                return Stay::Until(until);
            }
            if let Some(error) = self.refused.take()
                && self.answers == 0
                && cx.shared.outcome.is_ok()
            {
                cx.shared.outcome = Err(Failure::Connect(self.peer, error));
            }
            return Stay::Over;
        }
        if let Some(pause) = self.pause
            && now < pause
        {
            return Stay::Until(pause);
        }
        if !self.send_lines(out) {
            let pause = now.after(PAUSE);
            self.pause = Some(pause);
            return Stay::Until(pause);
        }
        match std::mem::take(&mut self.source) {
            Source::Idle => {
                self.source = Source::Asked;
                if cx.run(JobClass::Files, read_stdin).is_err() {
                    self.source = Source::Failed(io::ErrorKind::ResourceBusy.into());
                }
                Stay::Open
            }
            source @ (Source::Asked | Source::Piece(_)) => {
                self.source = source;
                Stay::Open
            }
            source @ (Source::Ended | Source::Failed(_)) => {
                if let Source::Failed(error) = source {
                    cx.shared.outcome = Err(Failure::Input(STDIN.into(), error));
                }
                if !self.begun.is_empty() {
                    let line = std::mem::take(&mut self.begun);
                    self.send(&line, out);
                }
                let until = now.after(cx.shared.wait);
                self.until = Some(until);
                Stay::Until(until)
            }
        }
    }

    fn failed(&mut self, error: &io::Error, to: Option<SocketAddr>, cx: &mut Context<'_, Line>) {
        // It won't be answered.
        self.sent = self.sent.saturating_sub(1);
        let what = if to.is_some() { "a line isn't sent" } else { "a line didn't arrive" };
        cx.shared.paper.note(format_args!("miod: {what}: {}", reason(error)));
        if error.kind() == io::ErrorKind::ConnectionRefused {
            self.refused = Some(error.kind().into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::{BUFFER, Input, Output, TestContext};

    fn desk() -> Desk {
        Desk {
            paper: Paper::default(),
            console: None,
            addresses: VecDeque::new(),
            timeout: Duration::from_secs(10),
            wait: Duration::from_secs(1),
            outcome: Ok(()),
        }
    }

    fn at(millis: u64) -> Time {
        Time { now: Tick::from_micros(millis * 1000), ..Time::default() }
    }

    fn address() -> SocketAddr {
        ([192, 0, 2, 1], 5555).into()
    }

    /// A connection without a socket.
    #[derive(Default)]
    struct Bench {
        line: Line,
        effects: TestContext<Line>,
        input: Input,
        output: Output,
        ended: bool,
        established: bool,
    }

    impl Bench {
        fn advance(&mut self, desk: &mut Desk, time: Time) -> Want {
            let mut call = || {
                let local = address();
                let ends = Ends::for_test(address(), &local);
                let (ended, established) = (self.ended, self.established);
                let (input, output) = (&mut self.input, &mut self.output);
                let mut io = Io { input, output, ended, unread: false, gone: false, established, ends };
                let want = self.line.advance(&mut io, &mut self.effects.context(desk, time, false));
                (want, io.output.pending())
            };
            let first = call();
            assert_eq!(call(), first, "advance isn't idempotent");
            first.0
        }

        fn piece(&mut self, octets: &[u8]) {
            assert!(matches!(self.line.source, Source::Asked), "nobody asked for it");
            self.line.source.take_note(Ok(octets.to_vec()));
        }
    }

    #[test]
    fn input_goes_out_piece_by_piece_and_its_end_is_a_half_close() {
        let (mut bench, mut desk) = (Bench::default(), desk());
        assert_eq!(bench.advance(&mut desk, at(0)), Want::READ.by(at(10_000).now));
        assert!(matches!(bench.line.source, Source::Idle), "it reads before there is somebody to tell");
        bench.established = true;
        assert_eq!(bench.advance(&mut desk, at(1)), Want::READ);
        bench.piece(b"one");
        bench.advance(&mut desk, at(2));
        bench.piece(b"two");
        bench.advance(&mut desk, at(3));
        assert_eq!(bench.output.take(100), b"onetwo");
        bench.piece(b"");
        assert_eq!(bench.advance(&mut desk, at(4)).finish, Finish::HalfClose);
        bench.input.extend(b"answer");
        assert_eq!(bench.advance(&mut desk, at(5)).finish, Finish::HalfClose);
        bench.ended = true;
        assert_eq!(bench.advance(&mut desk, at(6)).finish, Finish::Close);
        assert_eq!(desk.paper.out, b"answer");
        assert!(desk.outcome.is_ok());
    }

    #[test]
    fn without_room_no_more_is_asked_for() {
        let (mut bench, mut desk) = (Bench { established: true, ..Bench::default() }, desk());
        bench.advance(&mut desk, at(0));
        bench.piece(&vec![b'x'; BUFFER]);
        bench.advance(&mut desk, at(1));
        assert!(matches!(bench.line.source, Source::Idle) && bench.output.room() == 0);
        bench.output.take(1);
        bench.advance(&mut desk, at(2));
        assert!(matches!(bench.line.source, Source::Asked));
    }

    #[test]
    fn input_that_cannot_be_read_is_an_end_and_a_failure() {
        let (mut bench, mut desk) = (Bench { established: true, ..Bench::default() }, desk());
        bench.advance(&mut desk, at(0));
        bench.line.source.take_note(Err(io::ErrorKind::IsADirectory.into()));
        assert_eq!(bench.advance(&mut desk, at(1)).finish, Finish::HalfClose);
        assert!(matches!(desk.outcome, Err(Failure::Input(..))));
    }

    #[test]
    fn a_connection_that_does_not_come_is_given_up() {
        let (mut bench, mut desk) = (Bench::default(), desk());
        bench.advance(&mut desk, at(0));
        assert_eq!(bench.advance(&mut desk, at(9_999)).finish, Finish::No);
        assert_eq!(bench.advance(&mut desk, at(10_000)).finish, Finish::Abort);
        let mut closed = |desk: &mut Desk, error| {
            let local = address();
            let ends = Ends::for_test(address(), &local);
            bench.line.closed(Ending { unsent: 0, error }, ends, &mut bench.effects.context(desk, at(0), false));
        };
        desk.addresses.push_back(address());
        closed(&mut desk, None);
        assert!(desk.outcome.is_ok() && desk.addresses.is_empty(), "there was another");
        closed(&mut desk, None);
        let Err(Failure::Connect(_, error)) = &desk.outcome else { panic!("{:?}", desk.outcome) };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// A socket for datagrams without a socket: what it sends in a turn, and how long it stays.
    fn turn(datagrams: &mut Datagrams, desk: &mut Desk, time: Time) -> (Vec<Vec<u8>>, Stay) {
        let (mut effects, mut out) = (TestContext::<Line>::default(), Outbox::default());
        let stay = datagrams.advance(&mut out, &mut effects.context(desk, time, false));
        (out.iter().map(|(_, datagram)| datagram.to_vec()).collect(), stay)
    }

    fn answer(datagrams: &mut Datagrams, desk: &mut Desk, time: Time, octets: &[u8]) {
        let (mut effects, mut out) = (TestContext::<Line>::default(), Outbox::default());
        datagrams.received(octets, address(), &mut out, &mut effects.context(desk, time, false));
    }

    #[test]
    fn lines_are_datagrams_wherever_the_pieces_are_cut() {
        let text = b"one\r\n\ntwo\n\xff";
        for cut in 0..text.len() {
            let (mut datagrams, mut desk, mut sent) = (Datagrams::new(address()), desk(), Vec::new());
            for piece in [&text[..cut], &text[cut..], b""] {
                sent.extend(turn(&mut datagrams, &mut desk, at(0)).0);
                if piece.is_empty() && cut == 0 && sent.is_empty() {
                    continue; // an empty piece is the end
                }
                datagrams.source.take_note(Ok(piece.to_vec()));
            }
            sent.extend(turn(&mut datagrams, &mut desk, at(0)).0);
            assert_eq!(sent, [&b"one"[..], b"", b"two", b"\xff"], "cut at {cut}");
        }
    }

    #[test]
    fn a_file_is_not_thrown_at_the_receiver_at_once() {
        let (mut datagrams, mut desk) = (Datagrams::new(address()), desk());
        turn(&mut datagrams, &mut desk, at(0));
        datagrams.source.take_note(Ok(b"x\n".repeat(BURST + 1)));
        let (sent, stay) = turn(&mut datagrams, &mut desk, at(0));
        assert_eq!((sent.len(), stay), (BURST, Stay::Until(at(1).now)));
        assert_eq!(turn(&mut datagrams, &mut desk, at(0)).0.len(), 0);
        assert_eq!(turn(&mut datagrams, &mut desk, at(1)).0.len(), 1);
    }

    #[test]
    fn the_last_answers_are_waited_for_and_no_longer() {
        let (mut datagrams, mut desk) = (Datagrams::new(address()), desk());
        turn(&mut datagrams, &mut desk, at(0));
        datagrams.source.take_note(Ok(b"one\ntwo\n".to_vec()));
        turn(&mut datagrams, &mut desk, at(0));
        datagrams.source.take_note(Ok(Vec::new()));
        assert_eq!(turn(&mut datagrams, &mut desk, at(0)).1, Stay::Until(at(1000).now));
        answer(&mut datagrams, &mut desk, at(600), b"ONE");
        assert_eq!(turn(&mut datagrams, &mut desk, at(600)).1, Stay::Until(at(1600).now));
        let mut late = Datagrams { refused: Some(io::ErrorKind::ConnectionRefused.into()), answers: 0, ..datagrams };
        answer(&mut late, &mut desk, at(700), b"TWO\n");
        late.answers = 2;
        assert_eq!(turn(&mut late, &mut desk, at(700)).1, Stay::Over);
        assert_eq!((&desk.paper.out[..], desk.outcome.is_ok()), (&b"ONE\nTWO\n"[..], true));
        let mut silent = Datagrams { sent: 1, answers: 0, until: Some(at(1000).now), ..late };
        silent.refused = Some(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(turn(&mut silent, &mut desk, at(999)).1, Stay::Until(at(1000).now));
        assert_eq!(turn(&mut silent, &mut desk, at(1000)).1, Stay::Over);
        assert!(matches!(desk.outcome, Err(Failure::Connect(..))));
    }
}
