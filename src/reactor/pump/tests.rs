//! Turns of one connection at moments that the test chooses.

use std::convert::Infallible;
use std::fs::File;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use super::*;
use crate::files::scratch::Scratch;
use crate::reactor::buffers::FileSlice;
use crate::reactor::peer::Peer;
use crate::reactor::protocol::{Accepted, NoDatagrams};
use crate::reactor::socket::Socket;
use crate::reactor::test_context::TestContext;
use crate::reactor::transport::Transport;
use crate::reactor::{Bytes, SendLimit, Time};

/// Writes an output.
type Write = Box<dyn FnOnce(&mut Output)>;

/// Sends what it has, and then waits for input, which it drops.
struct Sender(Option<Write>);

impl Protocol for Sender {
    type Shared = ();
    type Listener = ();
    type Message = Infallible;
    type Outcome = ();
    type Datagrams = NoDatagrams;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        None
    }

    fn advance(&mut self, io: &mut Io<'_>, _: &mut Context<'_, Self>) -> Want {
        io.input.consume(io.input.bytes().len());
        if let Some(send) = self.0.take() {
            send(io.output);
        }
        Want::READ
    }
}

/// A connection, and its peer.
struct Bench {
    slot: Slot<Sender>,
    peer: UnixStream,
    options: Options,
    input: Input,
    output: Output,
    test: TestContext<Sender>,
}

impl Bench {
    /// A connection that is sent at most so many bytes per second.
    fn new(limit: u64, send: impl FnOnce(&mut Output) + 'static) -> Self {
        let (own, peer) = UnixStream::pair().unwrap();
        own.set_nonblocking(true).unwrap();
        peer.set_nonblocking(true).unwrap();
        let socket = Socket::Unix(mio::net::UnixStream::from_std(own));
        let slot = Slot::new(
            Transport::new(socket, Peer::new(None), false, None),
            Sender(Some(Box::new(send))),
            Reading::No,
            0,
        );
        let options = Options { send_limit: SendLimit::per_second(limit), ..Options::default() };
        Self { slot, peer, options, input: Input::default(), output: Output::default(), test: TestContext::default() }
    }

    /// Gives it a turn. Returns how many bytes its peer got, and when it is to be woken.
    fn turn(&mut self, micros: u64) -> (usize, Option<u64>) {
        let wake = self.advance(micros);
        (self.received().len(), wake)
    }

    /// Gives it a turn. Returns when it is to be woken.
    fn advance(&mut self, micros: u64) -> Option<u64> {
        let time = Time { now: Tick::from_micros(micros), ..Time::default() };
        let mut shared = ();
        let Self { slot, input, output, options, test, .. } = self;
        let mut cx = test.context(&mut shared, time, false);
        let mut files = u64::MAX;
        let (listener, mut ciphertext) = (None, None);
        let mut lent = Lent { input, output, ciphertext: &mut ciphertext, listener, options, files: &mut files };
        let wake = match slot.turn(&mut lent, &mut cx) {
            Ok(Turn::Settled { wake }) => wake,
            Ok(Turn::Unfinished) => panic!("it would get its next turn at once"),
            Err(over) => panic!("it is closed: {:?}", over.ending),
        };
        wake.map(Tick::as_micros)
    }

    /// What its peer has got.
    fn received(&mut self) -> Vec<u8> {
        let mut some = vec![0; 1 << 20];
        let count = self.peer.read(&mut some).unwrap_or_default();
        some.truncate(count);
        some
    }
}

#[test]
fn what_is_shared_arrives_in_order_however_it_is_cut() {
    let content: Vec<u8> = (0..50_000u32).map(|number| (number % 251) as u8).collect();
    for limit in [1, 999, 5_000, 17_001, 1_000_000] {
        let whole = content.clone();
        let mut bench = Bench::new(limit, move |output: &mut Output| {
            for piece in whole.chunks(5_000) {
                output.write(&piece[..10]);
                output.share(Bytes::copy(&piece[10..]));
            }
        });
        let (mut seen, mut now) = (Vec::new(), 7_000_000);
        while seen.len() < content.len().min(20 * limit as usize) {
            let turn = bench.advance(now);
            now = turn.unwrap_or(now);
            seen.append(&mut bench.received());
        }
        assert!(content.starts_with(&seen), "{limit} bytes per second");
    }
}

#[test]
fn a_limited_connection_is_sent_a_second_at_once_and_then_pieces() {
    let scratch = Scratch::new();
    scratch.file("file", &"x".repeat(6_000));
    let file = Rc::new(File::open(scratch.at("file")).unwrap().into());
    let bytes = |count: usize| move |output: &mut Output| output.write(&vec![b'x'; count]);
    let slice = FileSlice { file, offset: 0, length: 6_000 };
    let with_file = move |output: &mut Output| {
        output.write(&[b'x'; 4_000]);
        output.file(slice);
    };
    let shared = |output: &mut Output| {
        output.write(&[b'x'; 1_000]);
        output.share(Bytes::copy(&[b'x'; 5_000]));
        output.share(Bytes::copy(&[b'x'; 4_000]));
    };
    for mut bench in [Bench::new(8_000, bytes(10_000)), Bench::new(8_000, with_file), Bench::new(8_000, shared)] {
        let (mut got, mut wake) = bench.turn(7_000_000);
        assert_eq!((got, wake), (8_000, Some(7_125_000)));
        // Turns for another reason change nothing.
        assert_eq!(bench.turn(7_000_000), (0, Some(7_125_000)));
        assert_eq!(bench.turn(7_000_100), (0, Some(7_125_000)));
        while let Some(now) = wake.filter(|_| got < 10_000) {
            let turn = bench.turn(now);
            assert_eq!(turn.0, 1_000);
            (got, wake) = (got + turn.0, turn.1);
        }
        // The next response may be short: the bucket fills for another second.
        assert_eq!((got, wake), (10_000, Some(8_250_000)));
        assert!(bench.slot.held.bytes() > 0);
        assert_eq!(bench.turn(8_250_000), (0, None));
        assert_eq!(bench.slot.held.bytes(), 0, "an idle connection holds nothing");
    }
}

#[test]
fn the_timeout_of_a_response_does_not_run_while_it_is_held_back() {
    let mut bench = Bench::new(1_000, |output| output.write(&[b'x'; 100_000]));
    bench.options.send_timeout = Duration::from_millis(50);
    let (mut got, mut wake) = bench.turn(0);
    while got < 100_000 {
        let now = wake.expect("a turn");
        // A turn that comes late finds more room.
        let turn = bench.turn(now + 60_000);
        assert!(turn.0 > 0);
        (got, wake) = (got + turn.0, turn.1);
    }
}

#[test]
fn a_peer_that_takes_nothing_is_given_up_with_a_limit_too() {
    let mut bench = Bench::new(1 << 40, |output| output.write(&vec![b'x'; 10 << 20]));
    bench.options.send_timeout = Duration::from_secs(5);
    let mut turn = |now| {
        let time = Time { now, ..Time::default() };
        let mut shared = ();
        let Bench { slot, options, input, output, test, .. } = &mut bench;
        let mut cx = test.context(&mut shared, time, false);
        let mut ciphertext = None;
        let (files, listener) = (&mut 0, None);
        slot.turn(&mut Lent { input, output, ciphertext: &mut ciphertext, listener, options, files }, &mut cx)
    };
    let deadline = Tick::from_micros(5_000_000);
    assert!(matches!(turn(Tick::default()), Ok(Turn::Settled { .. })));
    let Err(over) = turn(deadline.after(Duration::from_secs(120))) else { panic!("it stays") };
    assert_eq!(over.ending.error.map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
}

#[test]
fn another_limit_holds_from_then_on_and_none_too() {
    let mut bench = Bench::new(1_000, |output| output.write(&[b'x'; 50_000]));
    assert_eq!(bench.turn(0), (1_000, Some(125_000)));
    bench.options.send_limit = SendLimit::per_second(10_000);
    assert_eq!(bench.turn(100_000), (1_000, Some(225_000)));
    bench.options.send_limit = None;
    assert_eq!(bench.turn(100_000), (48_000, None));
    assert_eq!(bench.slot.held.bytes(), 0);
}

#[test]
fn a_connection_that_was_asked_for_has_no_limit() {
    let mut bench = Bench::new(1_000, |output| output.write(&[b'x'; 50_000]));
    bench.slot.listener = NO_LISTENER;
    assert_eq!(bench.turn(0), (50_000, None));
}
