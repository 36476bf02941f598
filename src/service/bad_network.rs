//! A simulated bad network for the line services (echo and upper). It delays responses,
//! splits them, stalls, and sometimes resets the connection. For testing clients.
//!
//! ```text
//! input ─► service ─► held ──(delay)──(pieces, stalls, resets)──► output
//! ```
//!
//! The service is unchanged, but its output is held back here. *Delay* passes each byte on
//! a fixed time after the service wrote it. *Chaos* cuts the output stream at random
//! places. At each cut it pauses, so that the pieces are sent separately, or it stalls, or
//! resets the connection.
//!
//! The random numbers depend on the seed and the number of the connection. The cuts depend
//! only on the position in the stream. So the same seed cuts the same responses at the same
//! places.
//!
//! While the held output is full, the service has no room and nothing is read. So the
//! client sees a stall as back-pressure too. A shutdown passes everything on at once.

use std::collections::VecDeque;
use std::time::Duration;

use super::echo::Echo;
use super::upper::Upper;
use crate::random::SplitMix64;
use crate::reactor::{Finish, Io, Output, Tick, Want};

/// How bad the network is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BadNetwork {
    /// How long each byte is held back.
    pub delay: Duration,
    /// The seed of the chaos; `None` for no chaos.
    pub chaos: Option<u64>,
}

impl BadNetwork {
    /// Whether the network has any effect.
    pub fn is_bad(&self) -> bool {
        *self != Self::default()
    }
}

/// The service behind the network.
#[derive(Debug)]
pub enum Line {
    /// See [`echo`](super::echo).
    Echo(Echo),
    /// See [`upper`](super::upper).
    Upper(Upper),
}

impl Line {
    fn advance(&mut self, io: &mut Io<'_>, now: Tick, draining: bool) -> Want {
        match self {
            Self::Echo(echo) => echo.advance(io, now, draining),
            Self::Upper(upper) => upper.advance(io, draining),
        }
    }
}

/// Most stretches of output with a due time of their own. When they are used up, the last
/// one grows and takes the due time of its last byte.
const STRETCHES: usize = 256;

/// One connection of a line service over a bad network.
pub struct Impaired {
    line: Line,
    /// Output that isn't passed on yet.
    held: Output,
    delay: Duration,
    /// Due times of the last held bytes, and their counts; bytes before them are due.
    late: VecDeque<(Tick, usize)>,
    chaos: Option<Chaos>,
}

impl Impaired {
    /// The connection with this number.
    pub fn new(line: Line, network: BadNetwork, number: u32) -> Self {
        let chaos = network.chaos.map(|seed| Chaos::new(SplitMix64::nth(seed, number.into())));
        Self { line, held: Output::default(), delay: network.delay, late: VecDeque::new(), chaos }
    }

    /// Bytes that it holds back.
    pub fn memory(&self) -> usize {
        self.held.bytes().len()
    }

    /// Runs the service, and passes on the output that is due.
    pub fn advance(&mut self, io: &mut Io<'_>, now: Tick, draining: bool) -> Want {
        loop {
            let want = self.answer(io, now, draining);
            let full = self.held.room() == 0;
            if draining {
                (self.late, self.chaos) = (VecDeque::new(), None);
            }
            let Ok(next) = self.pass_on_due(io.output, now) else { return Want::finish(Finish::Abort) };
            if full && self.held.room() > 0 {
                // Now there is room for the output that the service couldn't write.
                continue;
            }
            if self.held.is_empty() {
                return want;
            }
            // The service's end waits until the last byte is passed on.
            let wake = next.into_iter().chain(want.wake).min();
            return Want { read: want.read, wake, ..Want::NOTHING };
        }
    }

    fn answer(&mut self, io: &mut Io<'_>, now: Tick, draining: bool) -> Want {
        let before = self.held.bytes().len();
        let mut within = Io { input: io.input, output: &mut self.held, ..*io };
        let want = self.line.advance(&mut within, now, draining);
        let fresh = self.held.bytes().len() - before;
        if fresh > 0 && !self.delay.is_zero() {
            let due = now.after(self.delay);
            let full = self.late.len() == STRETCHES;
            match self.late.back_mut() {
                Some((last, count)) if *last == due || full => {
                    (*last, *count) = (due, *count + fresh);
                }
                _ => self.late.push_back((due, fresh)),
            }
        }
        want
    }

    /// Passes on the output that is due. Returns when more will be, if that is known.
    fn pass_on_due(&mut self, output: &mut Output, now: Tick) -> Result<Option<Tick>, Reset> {
        loop {
            while self.late.front().is_some_and(|(due, _)| *due <= now) {
                self.late.pop_front();
            }
            let early: usize = self.late.iter().map(|(_, count)| count).sum();
            let due = self.held.bytes().len() - early;
            if due == 0 {
                return Ok(self.late.front().map(|(due, _)| *due));
            }
            let most = match &self.chaos {
                None => due,
                Some(chaos) => match chaos.allows(now)? {
                    Ok(most) => most.min(due),
                    Err(until) => return Ok(Some(until)),
                },
            };
            let passed = self.held.pass_on(most.min(output.room()), output);
            if passed == 0 {
                // Wait until the peer has read something.
                return Ok(None);
            }
            if let Some(chaos) = &mut self.chaos {
                chaos.passed(passed, now);
            }
        }
    }
}

/// The connection must be reset.
struct Reset;

/// Where the stream is cut, and what happens there.
struct Chaos {
    random: SplitMix64,
    /// Bytes before the next cut.
    left: usize,
    /// Nothing is passed on before this time.
    resume: Tick,
    reset: bool,
}

impl Chaos {
    fn new(random: SplitMix64) -> Self {
        let mut chaos = Self { random, left: 0, resume: Tick::default(), reset: false };
        chaos.draw_piece();
        chaos
    }

    /// The bytes that may be passed on now, or when some may.
    fn allows(&self, now: Tick) -> Result<Result<usize, Tick>, Reset> {
        if now < self.resume {
            Ok(Err(self.resume))
        } else if self.reset {
            Err(Reset)
        } else {
            Ok(Ok(self.left))
        }
    }

    /// This many bytes were passed on. At a cut the next event is drawn.
    fn passed(&mut self, count: usize, now: Tick) {
        self.left -= count;
        if self.left > 0 {
            return;
        }
        // Long enough for the piece to be sent alone, or a stall that people notice.
        let pause = if self.random.one_in(8) { 50 + self.random.below(950) } else { 1 + self.random.below(5) };
        self.resume = now.after(Duration::from_millis(pause as u64));
        self.reset = self.random.one_in(32);
        self.draw_piece();
    }

    fn draw_piece(&mut self) {
        let most = self.random.pick(&[1, 16, 256, 4096]);
        self.left = 1 + self.random.below(most);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Peer;
    use super::*;
    use crate::reactor::BUFFER;

    fn echo(network: BadNetwork, number: u32) -> Impaired {
        Impaired::new(Line::Echo(Echo::default()), network, number)
    }

    fn at(millis: u64) -> Tick {
        Tick::from_micros(millis * 1000)
    }

    /// The pieces that come back, each with its time in milliseconds, and how the
    /// connection ended.
    fn pieces(impaired: &mut Impaired, input: &[&[u8]]) -> (Vec<(u64, Vec<u8>)>, Finish) {
        let (mut peer, mut now, mut pieces, mut input) = (Peer::default(), at(0), Vec::new(), input.iter());
        loop {
            let want = peer.turn(|io| impaired.advance(io, now, false));
            let piece = peer.received();
            if !piece.is_empty() {
                pieces.push((now.as_micros() / 1000, piece));
            }
            match (want.finish, want.wake) {
                (Finish::No, Some(wake)) => {
                    assert!(wake > now, "woken in the past");
                    now = wake;
                }
                (Finish::No, None) => match input.next() {
                    Some(more) => peer.send(more),
                    None => peer.end(),
                },
                (finish, _) => return (pieces, finish),
            }
        }
    }

    fn together(pieces: &[(u64, Vec<u8>)]) -> Vec<u8> {
        pieces.iter().flat_map(|(_, piece)| piece.clone()).collect()
    }

    #[test]
    fn delay_holds_each_byte_back_exactly() {
        let mut impaired = echo(BadNetwork { delay: Duration::from_millis(20), chaos: None }, 1);
        let mut peer = Peer::default();
        let mut turn = |peer: &mut Peer, millis, send: &[u8]| {
            peer.send(send);
            let want = peer.turn(|io| impaired.advance(io, at(millis), false));
            (peer.received(), want.wake, want.finish)
        };
        assert_eq!(turn(&mut peer, 0, b"one "), (b"".to_vec(), Some(at(20)), Finish::No));
        assert_eq!(turn(&mut peer, 5, b"two "), (b"".to_vec(), Some(at(20)), Finish::No));
        assert_eq!(turn(&mut peer, 19, b""), (b"".to_vec(), Some(at(20)), Finish::No));
        assert_eq!(turn(&mut peer, 20, b""), (b"one ".to_vec(), Some(at(25)), Finish::No));
        peer.end();
        assert_eq!(turn(&mut peer, 25, b""), (b"two ".to_vec(), None, Finish::Close));
    }

    #[test]
    fn held_stretches_are_bounded() {
        let mut impaired = echo(BadNetwork { delay: Duration::from_secs(10), chaos: None }, 1);
        let mut peer = Peer::default();
        for millis in 0..1000 {
            peer.send(b"x");
            peer.turn(|io| impaired.advance(io, at(millis), false));
        }
        assert!(impaired.late.len() <= STRETCHES && peer.received().is_empty());
        assert_eq!(impaired.memory(), 1000);
        peer.turn(|io| impaired.advance(io, at(10_999), false));
        assert_eq!(peer.received(), vec![b'x'; 1000]);
    }

    #[test]
    fn nothing_is_read_while_the_held_output_is_full() {
        let mut impaired = echo(BadNetwork { delay: Duration::from_secs(1), chaos: None }, 1);
        let mut peer = Peer::default();
        peer.send(&vec![b'x'; BUFFER]);
        let want = peer.turn(|io| impaired.advance(io, at(0), false));
        assert_eq!((want.read, want.wake, impaired.memory()), (false, Some(at(1000)), BUFFER));
        assert!(peer.turn(|io| impaired.advance(io, at(1000), false)).read);
    }

    #[test]
    fn chaos_keeps_every_byte_in_order() {
        let text: Vec<u8> = (0..20_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
        let (mut whole, mut resets, mut stalls) = (0, 0, 0);
        for number in 0..100 {
            let (pieces, finish) =
                pieces(&mut echo(BadNetwork { chaos: Some(7), ..BadNetwork::default() }, number), &[&text]);
            let got = together(&pieces);
            assert!(text.starts_with(&got));
            assert!(pieces.len() > 1 || finish == Finish::Abort, "nothing is cut");
            stalls += pieces.windows(2).filter(|pair| pair[1].0 - pair[0].0 >= 50).count();
            match finish {
                Finish::Close => {
                    whole += 1;
                    assert_eq!(got.len(), text.len());
                }
                Finish::Abort => resets += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(whole > 5 && resets > 5 && stalls > 40, "{whole} whole, {resets} reset, {stalls} stalls");
    }

    #[test]
    fn the_same_seed_cuts_at_the_same_places_however_the_input_is_split() {
        let text = [b'x'; 5000];
        let outcome = |seed, number, input: &[&[u8]]| {
            let network = BadNetwork { delay: Duration::from_millis(3), chaos: Some(seed) };
            let (pieces, finish) = pieces(&mut echo(network, number), input);
            (pieces.iter().map(|(_, piece)| piece.len()).collect::<Vec<_>>(), finish)
        };
        assert_eq!(outcome(1, 1, &[&text]), outcome(1, 1, &[&text]));
        assert_ne!(outcome(1, 1, &[&text]), outcome(1, 2, &[&text]));
        assert_ne!(outcome(1, 1, &[&text]), outcome(2, 1, &[&text]));
        // If the sender cuts the input too, there are more pieces, but the same cuts are among them.
        let cuts = |(sizes, _): (Vec<usize>, Finish)| {
            sizes
                .iter()
                .scan(0, |at, size| {
                    *at += size;
                    Some(*at)
                })
                .collect::<Vec<_>>()
        };
        let (one, two) = (cuts(outcome(1, 1, &[&text])), cuts(outcome(1, 1, &[&text[..1000], &text[..4000]])));
        assert!(one.iter().all(|cut| two.contains(cut)), "{one:?} {two:?}");
    }

    #[test]
    fn the_service_ends_after_the_last_byte_is_passed_on() {
        let network = BadNetwork { delay: Duration::from_millis(5), chaos: None };
        let (got, finish) = pieces(&mut echo(network, 1), &[b"hello\nexit\nmore"]);
        assert_eq!((together(&got), finish), (b"hello\n".to_vec(), Finish::Linger));
        let mut upper = Impaired::new(Line::Upper(Upper), network, 1);
        assert_eq!(pieces(&mut upper, &[b"hello\nyou"]).0, [(5, b"HELLO\nYOU".to_vec())]);
    }

    #[test]
    fn the_service_is_woken_while_bytes_are_held() {
        let mut impaired = echo(BadNetwork { delay: Duration::from_secs(5), chaos: None }, 1);
        let mut peer = Peer::default();
        peer.send(b"hello\nexit");
        let want = peer.turn(|io| impaired.advance(io, at(0), false));
        assert_eq!((want.wake, want.read), (Some(at(200)), true));
        let want = peer.turn(|io| impaired.advance(io, at(200), false));
        assert_eq!((want.wake, want.read), (Some(at(5000)), false), "it has ended the connection");
        assert_eq!(peer.turn(|io| impaired.advance(io, at(5000), false)).finish, Finish::Linger);
        assert_eq!(peer.received(), b"hello\n");
    }

    #[test]
    fn a_shutdown_passes_everything_on() {
        let mut impaired = echo(BadNetwork { delay: Duration::from_secs(5), chaos: Some(1) }, 1);
        let mut peer = Peer::default();
        peer.send(b"hello");
        peer.turn(|io| impaired.advance(io, at(0), false));
        let want = peer.turn(|io| impaired.advance(io, at(1), true));
        assert_eq!((peer.received(), want.finish), (b"hello".to_vec(), Finish::Linger));
    }
}
