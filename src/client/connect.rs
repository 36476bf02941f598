//! `miod connect` sends standard input to a socket, and prints what comes back.
//!
//! ```text
//! stdin ─► helper thread ─► piece ─► output ═► peer
//!              ▲              │
//!              └──next piece──┘ when the last one is in the output
//! peer ═► input ─► output queue ─► stdout
//! ```
//!
//! At most one piece of standard input is pending: the next one is read when the last one
//! is in the output and there is room for more. So a peer that doesn't read stops the
//! reading of standard input.
//!
//! Over TCP the end of standard input is a half-close; what the peer still sends is printed
//! until EOF.
//!
//! Over UDP each line is a datagram, without its line end, and each reply is printed as a
//! line. The queue of a receiver is bounded, and what is beyond it is lost. So only a few
//! lines are in flight, sent but not answered; the next one leaves when a reply comes. If
//! none comes within a time limit, those in flight are given up. (A reply doesn't say which
//! line it answers, so it counts for the oldest.) The end of standard input is followed by
//! the same wait. If lines and replies differ in number at the end, that is an error: UDP
//! may lose datagrams, but a loss must not go unnoticed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::datagrams::any_address;
use super::{ClientError, NO_ADDRESS, STDIN, Target, ToolError, begin_tap, conclude, resolve_within};
use crate::console::{Destination, OutputQueue, read_stdin};
use crate::reactor::{
    Accepted, Context, DatagramProtocol, Ending, Endpoint, Ends, Finish, Io, JobClass, JobId, JobResult, Options,
    Outbox, Panicked, Protocol, QueueFull, Reactor, Stay, Tick, Time, Until, Want,
};
use crate::tap::TapSettings;
use crate::text::io_error::describe;

/// Most lines in flight, and most bytes in them. The receive buffer of a Linux socket is
/// 208 KiB. In it a short datagram counts for about 0.8 KiB, or 2.3 KiB if it came from a
/// network card. A single line of any length may be in flight alone.
const WINDOW: usize = 32;
const WINDOW_BYTES: usize = 64 * 1024;

/// The options of `miod connect`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectPlan {
    /// The peer.
    pub target: Target,
    /// Datagrams instead of a connection.
    pub udp: bool,
    /// The limit for resolving the name, and for connecting.
    pub timeout: Duration,
    /// The limit for a missing reply, over UDP.
    pub wait: Duration,
    /// Where what is received and sent is written.
    pub tap: TapSettings,
}

/// Copies in both directions until both have ended.
///
/// # Errors
/// If there is no connection, or it breaks.
pub fn run(plan: &ConnectPlan) -> Result<(), ToolError> {
    copy(plan).map_err(|error| error.at(&plan.target))
}

fn copy(plan: &ConnectPlan) -> Result<(), ClientError> {
    let found = resolve_within(&plan.target.host, plan.target.port, plan.timeout)?;
    let mut addresses: VecDeque<_> = found.ok_or(ClientError::TimedOut(NO_ADDRESS, plan.timeout))?.into();
    // There is at least one.
    let first = addresses.pop_front().ok_or(ClientError::Io(io::ErrorKind::NotFound.into()))?;
    let shared = ConnectShared {
        output: OutputQueue::default(),
        addresses,
        timeout: plan.timeout,
        wait: plan.wait,
        outcome: Ok(()),
    };
    let mut reactor = Reactor::<Stream>::new(shared, Options::default())?;
    reactor.shared().output = OutputQueue::new(Destination::Stdout, reactor.closer());
    begin_tap(&plan.tap, &mut reactor)?;
    if plan.udp {
        reactor
            .datagrams(any_address(first), Some(first), Lines::new(first))
            .map_err(|error| ClientError::Connect(first, error))?;
    } else {
        reactor.connect(Endpoint::Tcp(first), Stream::default());
    }
    reactor.run(Until::Idle)?;
    let shared = reactor.shared();
    let outcome = std::mem::replace(&mut shared.outcome, Ok(()));
    conclude(&mut shared.output, outcome)
}

/// What the connections to the addresses of a host share.
pub struct ConnectShared {
    output: OutputQueue,
    /// Addresses that haven't been tried.
    addresses: VecDeque<SocketAddr>,
    timeout: Duration,
    wait: Duration,
    outcome: Result<(), ClientError>,
}

/// Standard input, piece by piece.
#[derive(Debug, Default)]
enum Source {
    /// The next piece may be read.
    #[default]
    Idle,
    /// The helper thread reads.
    Reading,
    /// This piece isn't sent yet.
    Piece(Vec<u8>),
    /// EOF.
    Ended,
    /// The read failed.
    Failed(io::Error),
}

impl Source {
    /// The state after a read was requested.
    fn begin(job: Result<JobId, QueueFull>) -> Self {
        match job {
            Ok(_) => Self::Reading,
            Err(QueueFull) => Self::Failed(io::ErrorKind::ResourceBusy.into()),
        }
    }

    fn job_ended(&mut self, read: JobResult<io::Result<Vec<u8>>>) {
        self.deliver(read.unwrap_or_else(|Panicked| Err(io::Error::other("the reader failed"))));
    }

    fn deliver(&mut self, read: io::Result<Vec<u8>>) {
        *self = match read {
            Ok(piece) if piece.is_empty() => Self::Ended,
            Ok(piece) => Self::Piece(piece),
            Err(error) => Self::Failed(error),
        };
    }
}

/// The protocol of one connection.
#[derive(Debug, Default)]
pub struct Stream {
    source: Source,
    established: bool,
    /// The peer has sent EOF.
    ended: bool,
    /// When connecting times out.
    deadline: Option<Tick>,
}

impl Protocol for Stream {
    type Shared = ConnectShared;
    type Listener = ();
    type Message = Infallible;
    type Outcome = io::Result<Vec<u8>>;
    type Datagrams = Lines;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        None
    }

    fn job_ended(&mut self, _: JobId, read: JobResult<io::Result<Vec<u8>>>) {
        self.source.job_ended(read);
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
        cx.shared.output.write(io.input.bytes());
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
            self.source = Source::begin(cx.run(JobClass::Files, read_stdin));
        }
        let finish = match &mut self.source {
            Source::Failed(error) => {
                let error = std::mem::replace(error, io::ErrorKind::Other.into());
                cx.shared.outcome = Err(ClientError::Input(STDIN.into(), error));
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
            // The peer may close before it has read everything.
            _ if self.ended => return,
            Some(error) if self.established => ClientError::Lost(error),
            None if self.established => return,
            error => {
                if let Some(next) = cx.shared.addresses.pop_front() {
                    cx.connect(Endpoint::Tcp(next), Self::default());
                    return;
                }
                ClientError::connect(ends.peer(), error)
            }
        };
        cx.shared.outcome = Err(failure);
    }

    fn before_wait(shared: &mut ConnectShared, _: Time, _: bool) -> Option<Duration> {
        shared.output.flush();
        None
    }
}

/// The protocol of a socket whose datagrams are lines.
#[derive(Debug)]
pub struct Lines {
    peer: SocketAddr,
    source: Source,
    /// The bytes of the piece that are sent.
    at: usize,
    /// The start of a line that ends in the next piece.
    begun: Vec<u8>,
    /// The lengths of the lines in flight, the oldest first.
    flight: VecDeque<usize>,
    /// When the lines in flight are given up, unless a reply comes.
    deadline: Tick,
    /// How many lines there were, how many of them are known to be lost, how many replies came.
    lines: u64,
    lost: u64,
    replies: u64,
    /// A datagram was refused: nobody listens.
    refused: Option<io::Error>,
}

impl Lines {
    fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            source: Source::Idle,
            at: 0,
            begun: Vec::new(),
            flight: VecDeque::new(),
            deadline: Tick::default(),
            lines: 0,
            lost: 0,
            replies: 0,
            refused: None,
        }
    }

    /// Whether the next line has to wait.
    fn is_full(&self) -> bool {
        self.flight.len() >= WINDOW || self.flight.iter().sum::<usize>() >= WINDOW_BYTES
    }

    fn send(&mut self, line: &[u8], out: &mut Outbox) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        out.send(self.peer, line);
        self.flight.push_back(line.len());
        self.lines += 1;
    }

    /// Sends lines of the current piece while there may be more in flight.
    fn send_lines(&mut self, out: &mut Outbox) {
        /// Longer than any datagram; the system refuses the whole line.
        const LONGEST: usize = 64 * 1024;
        let piece = match std::mem::take(&mut self.source) {
            Source::Piece(piece) => piece,
            other => {
                self.source = other;
                return;
            }
        };
        loop {
            let rest = &piece[self.at..];
            let Some(end) = memchr::memchr(b'\n', rest) else {
                if self.begun.len() <= LONGEST {
                    self.begun.extend_from_slice(rest);
                }
                self.at = 0;
                return;
            };
            if self.is_full() {
                break;
            }
            let mut line = std::mem::take(&mut self.begun);
            line.extend_from_slice(&rest[..end]);
            self.send(&line, out);
            self.at += end + 1;
        }
        self.source = Source::Piece(piece);
    }

    /// Sends the last line, if it has no end. True if it is sent.
    fn send_last(&mut self, out: &mut Outbox) -> bool {
        if !self.begun.is_empty() && !self.is_full() {
            let line = std::mem::take(&mut self.begun);
            self.send(&line, out);
        }
        self.begun.is_empty()
    }

    /// Compares the number of lines and replies.
    fn finish(&mut self, shared: &mut ConnectShared) {
        let Self { lines, replies, .. } = *self;
        if shared.outcome.is_err() {
            return;
        }
        match self.refused.take() {
            Some(error) if replies == 0 => shared.outcome = Err(ClientError::Connect(self.peer, error)),
            _ if replies < lines => shared.outcome = Err(ClientError::Unanswered { lines, replies }),
            _ if replies > lines => {
                shared.output.note(format_args!("miod: more replies than lines: {lines} sent, {replies} received"));
            }
            _ => {}
        }
    }
}

impl DatagramProtocol<Stream> for Lines {
    fn received(&mut self, datagram: &[u8], _: SocketAddr, _: &mut Outbox, cx: &mut Context<'_, Stream>) {
        self.replies += 1;
        self.flight.pop_front();
        self.deadline = cx.time.now.after(cx.shared.wait);
        cx.shared.output.write(datagram);
        if !datagram.ends_with(b"\n") {
            cx.shared.output.write(b"\n");
        }
    }

    fn job_ended(&mut self, _: JobId, read: JobResult<io::Result<Vec<u8>>>) {
        self.source.job_ended(read);
    }

    fn advance(&mut self, out: &mut Outbox, cx: &mut Context<'_, Stream>) -> Stay {
        if cx.draining {
            return Stay::Over;
        }
        let now = cx.time.now;
        if self.is_full() && self.deadline <= now {
            self.flight.clear();
        }
        let before = self.lines;
        self.send_lines(out);
        let sent_all = match std::mem::take(&mut self.source) {
            Source::Idle => {
                self.source = Source::begin(cx.run(JobClass::Files, read_stdin));
                false
            }
            source @ (Source::Reading | Source::Piece(_)) => {
                self.source = source;
                false
            }
            source @ (Source::Ended | Source::Failed(_)) => {
                if let Source::Failed(error) = source {
                    cx.shared.outcome = Err(ClientError::Input(STDIN.into(), error));
                }
                self.source = Source::Ended;
                self.send_last(out)
            }
        };
        if self.lines > before {
            self.deadline = now.after(cx.shared.wait);
        }
        if sent_all && (self.replies + self.lost >= self.lines || self.deadline <= now) {
            self.finish(cx.shared);
            return Stay::Over;
        }
        if sent_all || self.is_full() { Stay::Until(self.deadline) } else { Stay::Open }
    }

    fn failed(&mut self, error: &io::Error, to: Option<SocketAddr>, cx: &mut Context<'_, Stream>) {
        // The line won't get a reply. If the system refused a line, it is most likely the longest one.
        self.lost += 1;
        let longest = || self.flight.iter().enumerate().max_by_key(|(_, length)| **length);
        let index = if to.is_some() { longest().map_or(0, |(index, _)| index) } else { 0 };
        self.flight.remove(index);
        let what = if to.is_some() { "a line isn't sent" } else { "a line didn't arrive" };
        cx.shared.output.note(format_args!("miod: {what}: {}", describe(error)));
        if error.kind() == io::ErrorKind::ConnectionRefused {
            self.refused = Some(error.kind().into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::{BUFFER, Input, Output, TestContext};

    fn shared() -> ConnectShared {
        ConnectShared {
            output: OutputQueue::default(),
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
        stream: Stream,
        effects: TestContext<Stream>,
        input: Input,
        output: Output,
        ended: bool,
        established: bool,
    }

    impl Bench {
        fn advance(&mut self, shared: &mut ConnectShared, time: Time) -> Want {
            let mut call = || {
                let local = address();
                let ends = Ends::for_test(address(), &local);
                let (ended, established) = (self.ended, self.established);
                let (input, output) = (&mut self.input, &mut self.output);
                let mut io =
                    Io { input, output, ended, truncated: false, unread: false, gone: false, established, ends };
                let want = self.stream.advance(&mut io, &mut self.effects.context(shared, time, false));
                (want, io.output.pending())
            };
            let first = call();
            assert_eq!(call(), first, "advance isn't idempotent");
            first.0
        }

        fn piece(&mut self, bytes: &[u8]) {
            assert!(matches!(self.stream.source, Source::Reading), "no read was requested");
            self.stream.source.deliver(Ok(bytes.to_vec()));
        }
    }

    #[test]
    fn input_is_sent_piece_by_piece_and_eof_is_a_half_close() {
        let (mut bench, mut shared) = (Bench::default(), shared());
        assert_eq!(bench.advance(&mut shared, at(0)), Want::READ.by(at(10_000).now));
        assert!(matches!(bench.stream.source, Source::Idle), "stdin is read before the connection is open");
        bench.established = true;
        assert_eq!(bench.advance(&mut shared, at(1)), Want::READ);
        bench.piece(b"one");
        bench.advance(&mut shared, at(2));
        bench.piece(b"two");
        bench.advance(&mut shared, at(3));
        assert_eq!(bench.output.take(100), b"onetwo");
        bench.piece(b"");
        assert_eq!(bench.advance(&mut shared, at(4)).finish, Finish::HalfClose);
        bench.input.extend(b"answer");
        assert_eq!(bench.advance(&mut shared, at(5)).finish, Finish::HalfClose);
        bench.ended = true;
        assert_eq!(bench.advance(&mut shared, at(6)).finish, Finish::Close);
        assert_eq!(shared.output.out(), b"answer");
        assert!(shared.outcome.is_ok());
    }

    #[test]
    fn nothing_is_read_without_room_in_the_output() {
        let (mut bench, mut shared) = (Bench { established: true, ..Bench::default() }, shared());
        bench.advance(&mut shared, at(0));
        bench.piece(&vec![b'x'; BUFFER]);
        bench.advance(&mut shared, at(1));
        assert!(matches!(bench.stream.source, Source::Idle) && bench.output.room() == 0);
        bench.output.take(1);
        bench.advance(&mut shared, at(2));
        assert!(matches!(bench.stream.source, Source::Reading));
    }

    #[test]
    fn a_failed_read_of_stdin_is_a_half_close_and_an_error() {
        let (mut bench, mut shared) = (Bench { established: true, ..Bench::default() }, shared());
        bench.advance(&mut shared, at(0));
        bench.stream.source.deliver(Err(io::ErrorKind::IsADirectory.into()));
        assert_eq!(bench.advance(&mut shared, at(1)).finish, Finish::HalfClose);
        assert!(matches!(shared.outcome, Err(ClientError::Input(..))));
    }

    #[test]
    fn connecting_times_out() {
        let (mut bench, mut shared) = (Bench::default(), shared());
        bench.advance(&mut shared, at(0));
        assert_eq!(bench.advance(&mut shared, at(9_999)).finish, Finish::No);
        assert_eq!(bench.advance(&mut shared, at(10_000)).finish, Finish::Abort);
        let mut closed = |shared: &mut ConnectShared, error| {
            let local = address();
            let ends = Ends::for_test(address(), &local);
            bench.stream.closed(Ending { unsent: 0, error }, ends, &mut bench.effects.context(shared, at(0), false));
        };
        shared.addresses.push_back(address());
        closed(&mut shared, None);
        assert!(shared.outcome.is_ok() && shared.addresses.is_empty(), "there was another");
        closed(&mut shared, None);
        let Err(ClientError::Connect(_, error)) = &shared.outcome else { panic!("{:?}", shared.outcome) };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// One turn: the datagrams that are sent, and how long the socket stays open.
    fn turn(lines: &mut Lines, shared: &mut ConnectShared, time: Time) -> (Vec<Vec<u8>>, Stay) {
        let (mut effects, mut out) = (TestContext::<Stream>::default(), Outbox::default());
        let stay = lines.advance(&mut out, &mut effects.context(shared, time, false));
        (out.iter().map(|(_, datagram)| datagram.to_vec()).collect(), stay)
    }

    fn reply(lines: &mut Lines, shared: &mut ConnectShared, time: Time, bytes: &[u8]) {
        let (mut effects, mut out) = (TestContext::<Stream>::default(), Outbox::default());
        lines.received(bytes, address(), &mut out, &mut effects.context(shared, time, false));
    }

    #[test]
    fn each_line_is_a_datagram_wherever_the_pieces_are_cut() {
        let text = b"one\r\n\ntwo\n\xff";
        for cut in 0..text.len() {
            let (mut lines, mut shared, mut sent) = (Lines::new(address()), shared(), Vec::new());
            for piece in [&text[..cut], &text[cut..], b""] {
                sent.extend(turn(&mut lines, &mut shared, at(0)).0);
                if piece.is_empty() && cut == 0 && sent.is_empty() {
                    continue; // an empty piece is the end
                }
                lines.source.deliver(Ok(piece.to_vec()));
            }
            sent.extend(turn(&mut lines, &mut shared, at(0)).0);
            assert_eq!(sent, [&b"one"[..], b"", b"two", b"\xff"], "cut at {cut}");
        }
    }

    /// Lines that have this piece of input.
    fn with_input(shared: &mut ConnectShared, text: &[u8]) -> Lines {
        let mut lines = Lines::new(address());
        turn(&mut lines, shared, at(0));
        lines.source.deliver(Ok(text.to_vec()));
        lines
    }

    fn fail(lines: &mut Lines, shared: &mut ConnectShared, kind: io::ErrorKind, to: Option<SocketAddr>) {
        lines.failed(&kind.into(), to, &mut TestContext::<Stream>::default().context(shared, at(0), false));
    }

    #[test]
    fn the_next_line_waits_for_a_reply() {
        let mut shared = shared();
        let mut lines = with_input(&mut shared, &b"x\n".repeat(WINDOW + 3));
        let (sent, stay) = turn(&mut lines, &mut shared, at(0));
        assert_eq!((sent.len(), stay), (WINDOW, Stay::Until(at(1000).now)));
        assert_eq!(turn(&mut lines, &mut shared, at(999)), (vec![], Stay::Until(at(1000).now)));
        reply(&mut lines, &mut shared, at(999), b"X");
        assert_eq!(turn(&mut lines, &mut shared, at(999)), (vec![b"x".to_vec()], Stay::Until(at(1999).now)));
        // No reply: the others are given up, and what is left is sent.
        assert_eq!(turn(&mut lines, &mut shared, at(1998)).0.len(), 0);
        assert_eq!(turn(&mut lines, &mut shared, at(1999)).0.len(), 2);
        assert!(matches!(lines.source, Source::Reading));
    }

    #[test]
    fn the_bytes_in_flight_are_bounded() {
        let mut shared = shared();
        let text = [&vec![b'x'; 60_000][..], b"\n"].concat().repeat(4);
        let mut lines = with_input(&mut shared, &text);
        assert_eq!(turn(&mut lines, &mut shared, at(0)).0.len(), 2);
        reply(&mut lines, &mut shared, at(1), b"X");
        assert_eq!(turn(&mut lines, &mut shared, at(1)).0.len(), 1);
        // A line that the system refuses isn't in flight.
        fail(&mut lines, &mut shared, io::ErrorKind::InvalidInput, Some(address()));
        assert_eq!(turn(&mut lines, &mut shared, at(1)).0.len(), 1);
    }

    /// The outcome for this input, after so many replies and then silence.
    fn outcome(text: &[u8], replies: usize, refused: bool) -> Result<(), ClientError> {
        let mut shared = shared();
        let mut lines = with_input(&mut shared, text);
        turn(&mut lines, &mut shared, at(0));
        lines.source.deliver(Ok(Vec::new()));
        for _ in 0..replies {
            reply(&mut lines, &mut shared, at(1), b"X");
        }
        if refused {
            fail(&mut lines, &mut shared, io::ErrorKind::ConnectionRefused, None);
        }
        turn(&mut lines, &mut shared, at(1));
        assert_eq!(turn(&mut lines, &mut shared, at(2000)).1, Stay::Over);
        shared.outcome
    }

    #[test]
    fn missing_replies_are_an_error() {
        assert!(outcome(b"one\ntwo\nthree", 3, false).is_ok());
        assert!(outcome(b"", 0, false).is_ok());
        for (replies, refused) in [(2, false), (2, true), (0, false)] {
            let outcome = outcome(b"one\ntwo\nthree", replies, refused);
            let Err(ClientError::Unanswered { lines: 3, replies: counted }) = outcome else { panic!("{outcome:?}") };
            assert_eq!(counted, replies as u64);
        }
        assert!(matches!(outcome(b"one\n", 0, true), Err(ClientError::Connect(..))));
        // The system may report the refusal of an earlier datagram.
        assert!(outcome(b"one\n", 1, true).is_ok());
    }

    #[test]
    fn the_last_line_waits_for_room_and_then_for_its_reply() {
        let mut shared = shared();
        let text = [&b"x\n".repeat(WINDOW)[..], b"last"].concat();
        let mut lines = with_input(&mut shared, &text);
        assert_eq!(turn(&mut lines, &mut shared, at(0)).0.len(), WINDOW);
        turn(&mut lines, &mut shared, at(0));
        lines.source.deliver(Ok(Vec::new()));
        assert_eq!(turn(&mut lines, &mut shared, at(0)), (vec![], Stay::Until(at(1000).now)));
        for _ in 0..WINDOW {
            reply(&mut lines, &mut shared, at(600), b"X\n");
        }
        let last = (vec![b"last".to_vec()], Stay::Until(at(1600).now));
        assert_eq!(turn(&mut lines, &mut shared, at(600)), last);
        reply(&mut lines, &mut shared, at(1599), b"LAST");
        assert_eq!(turn(&mut lines, &mut shared, at(1599)), (vec![], Stay::Over));
        assert!(shared.outcome.is_ok());
        assert!(shared.output.out().ends_with(b"X\nLAST\n"));
    }
}
