//! `miod connect`: standard input to a socket, and what comes back to standard output.
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
//! until EOF. Over UDP each line is a datagram, without its line end, and each reply is
//! printed as a line. After the end of standard input the tool waits for as many replies as
//! lines were sent, each up to a time limit.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::datagrams::any_address;
use super::{ClientError, NO_ADDRESS, Target, ToolError, conclude, resolve_within};
use crate::console::{Destination, OutputQueue, read_stdin};
use crate::reactor::{
    Accepted, Context, DatagramProtocol, Ending, Endpoint, Ends, Finish, Io, JobClass, JobId, JobResult, Options,
    Outbox, Panicked, Protocol, QueueFull, Reactor, Stay, Tick, Time, Until, Want,
};
use crate::text::io_error::describe;

/// Its name in messages.
const STDIN: &str = "standard input";

/// Most datagrams of one turn, and the pause after it. A receiver's queue is bounded and
/// more datagrams are lost, so a file isn't sent at once.
const BURST: usize = 32;
const PAUSE: Duration = Duration::from_millis(1);

/// The options of `miod connect`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectPlan {
    /// The peer.
    pub target: Target,
    /// Datagrams instead of a connection.
    pub udp: bool,
    /// The limit for resolving the name, and for connecting.
    pub timeout: Duration,
    /// The limit for each missing reply after the end of input, over UDP.
    pub wait: Duration,
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
    /// A read was asked for.
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
    /// Datagrams that arrived as far as is known, and replies.
    sent: u64,
    replies: u64,
    /// Nothing is sent before this time.
    pause: Option<Tick>,
    /// The input has ended; when the wait for replies ends.
    until: Option<Tick>,
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
            sent: 0,
            replies: 0,
            pause: None,
            until: None,
            refused: None,
        }
    }

    fn send(&mut self, line: &[u8], out: &mut Outbox) {
        out.send(self.peer, line.strip_suffix(b"\r").unwrap_or(line));
        self.sent += 1;
    }

    /// Sends the lines of the current piece; false if there are more than one turn may send.
    fn send_lines(&mut self, out: &mut Outbox) -> bool {
        /// Longer than any datagram; the system refuses the whole line.
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

impl DatagramProtocol<Stream> for Lines {
    fn received(&mut self, datagram: &[u8], _: SocketAddr, _: &mut Outbox, cx: &mut Context<'_, Stream>) {
        self.replies += 1;
        cx.shared.output.write(datagram);
        if !datagram.ends_with(b"\n") {
            cx.shared.output.write(b"\n");
        }
        // The limit holds for each reply.
        if self.until.is_some() {
            self.until = Some(cx.time.now.after(cx.shared.wait));
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
        if let Some(until) = self.until {
            if self.replies < self.sent && now < until {
                return Stay::Until(until);
            }
            if let Some(error) = self.refused.take()
                && self.replies == 0
                && cx.shared.outcome.is_ok()
            {
                cx.shared.outcome = Err(ClientError::Connect(self.peer, error));
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
                self.source = Source::begin(cx.run(JobClass::Files, read_stdin));
                Stay::Open
            }
            source @ (Source::Reading | Source::Piece(_)) => {
                self.source = source;
                Stay::Open
            }
            source @ (Source::Ended | Source::Failed(_)) => {
                if let Source::Failed(error) = source {
                    cx.shared.outcome = Err(ClientError::Input(STDIN.into(), error));
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

    fn failed(&mut self, error: &io::Error, to: Option<SocketAddr>, cx: &mut Context<'_, Stream>) {
        // It won't get a reply.
        self.sent = self.sent.saturating_sub(1);
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
                let mut io = Io { input, output, ended, unread: false, gone: false, established, ends };
                let want = self.stream.advance(&mut io, &mut self.effects.context(shared, time, false));
                (want, io.output.pending())
            };
            let first = call();
            assert_eq!(call(), first, "advance isn't idempotent");
            first.0
        }

        fn piece(&mut self, bytes: &[u8]) {
            assert!(matches!(self.stream.source, Source::Reading), "nobody asked for it");
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

    #[test]
    fn at_most_one_burst_is_sent_in_one_turn() {
        let (mut lines, mut shared) = (Lines::new(address()), shared());
        turn(&mut lines, &mut shared, at(0));
        lines.source.deliver(Ok(b"x\n".repeat(BURST + 1)));
        let (sent, stay) = turn(&mut lines, &mut shared, at(0));
        assert_eq!((sent.len(), stay), (BURST, Stay::Until(at(1).now)));
        assert_eq!(turn(&mut lines, &mut shared, at(0)).0.len(), 0);
        assert_eq!(turn(&mut lines, &mut shared, at(1)).0.len(), 1);
    }

    #[test]
    fn the_last_replies_are_waited_for_up_to_the_limit() {
        let (mut lines, mut shared) = (Lines::new(address()), shared());
        turn(&mut lines, &mut shared, at(0));
        lines.source.deliver(Ok(b"one\ntwo\n".to_vec()));
        turn(&mut lines, &mut shared, at(0));
        lines.source.deliver(Ok(Vec::new()));
        assert_eq!(turn(&mut lines, &mut shared, at(0)).1, Stay::Until(at(1000).now));
        reply(&mut lines, &mut shared, at(600), b"ONE");
        assert_eq!(turn(&mut lines, &mut shared, at(600)).1, Stay::Until(at(1600).now));
        let mut late = Lines { refused: Some(io::ErrorKind::ConnectionRefused.into()), replies: 0, ..lines };
        reply(&mut late, &mut shared, at(700), b"TWO\n");
        late.replies = 2;
        assert_eq!(turn(&mut late, &mut shared, at(700)).1, Stay::Over);
        assert_eq!((shared.output.out(), shared.outcome.is_ok()), (&b"ONE\nTWO\n"[..], true));
        let mut silent = Lines { sent: 1, replies: 0, until: Some(at(1000).now), ..late };
        silent.refused = Some(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(turn(&mut silent, &mut shared, at(999)).1, Stay::Until(at(1000).now));
        assert_eq!(turn(&mut silent, &mut shared, at(1000)).1, Stay::Over);
        assert!(matches!(shared.outcome, Err(ClientError::Connect(..))));
    }
}
