//! A line service behind a bad network: answers late, in pieces, with stalls, and
//! now and then cut off by a reset. For those who write clients.
//!
//! ```text
//! input ─► service ─► held ──(delay)──(pieces, stalls, resets)──► output
//! ```
//!
//! The service is as it always is, but what it answers is held back here. *Delay*
//! lets each octet out so long after it was answered, as a long line would. *Chaos*
//! lays cuts at random places of the stream of answers; at each cut it pauses, so
//! that the pieces leave in writes of their own, or stalls, or resets the connection.
//!
//! All chance comes from the seed and the number of the connection, and the cuts lie
//! at places of the stream, however the octets come: the same seed cuts the same
//! answers at the same places.
//!
//! As long as nothing more can be held, the service has no room and isn't read for;
//! so a stall reaches the client as back-pressure too. A shut-down lets all out at once.

use std::collections::VecDeque;
use std::time::Duration;

use super::echo::Echo;
use super::upper::Upper;
use crate::random::SplitMix64;
use crate::reactor::{Finish, Io, Output, Tick, Want};

/// How bad the network is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Trouble {
    /// How long each octet is held back.
    pub delay: Duration,
    /// The seed of the chaos, if there is to be any.
    pub chaos: Option<u64>,
}

impl Trouble {
    /// Whether there is any.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

/// The service behind it.
#[derive(Debug)]
pub enum Line {
    /// See [`echo`](super::echo).
    Echo(Echo),
    /// See [`upper`](super::upper).
    Upper(Upper),
}

impl Line {
    fn advance(&mut self, io: &mut Io<'_>, draining: bool) -> Want {
        match self {
            Self::Echo(echo) => echo.advance(io, draining),
            Self::Upper(upper) => upper.advance(io, draining),
        }
    }
}

/// Most stretches of answers with a moment of their own. Beyond it the last grows and
/// waits with its youngest octet.
const STRETCHES: usize = 256;

/// One connection of a line service in trouble.
pub struct Rough {
    line: Line,
    /// Answered and not yet let out.
    held: Output,
    delay: Duration,
    /// When how many of the held octets may go, in their order; the rest may go.
    late: VecDeque<(Tick, usize)>,
    chaos: Option<Chaos>,
}

impl Rough {
    /// The connection with this number.
    pub fn new(line: Line, trouble: Trouble, number: u32) -> Self {
        let chaos = trouble.chaos.map(|seed| Chaos::new(SplitMix64::nth(seed, number.into())));
        Self { line, held: Output::default(), delay: trouble.delay, late: VecDeque::new(), chaos }
    }

    /// Octets that it holds back.
    pub fn memory(&self) -> usize {
        self.held.bytes().len()
    }

    /// Lets the service answer, and lets out what is due.
    pub fn advance(&mut self, io: &mut Io<'_>, now: Tick, draining: bool) -> Want {
        loop {
            let want = self.answer(io, now, draining);
            let full = self.held.room() == 0;
            if draining {
                (self.late, self.chaos) = (VecDeque::new(), None);
            }
            let Ok(next) = self.let_out(io.output, now) else { return Want::finish(Finish::Abort) };
            if full && self.held.room() > 0 {
                // The service wished that without room for more.
                continue;
            }
            if self.held.is_empty() {
                return want;
            }
            // It ends, in whatever way, when the last octet is out.
            return Want { read: want.read, wake: next, ..Want::NOTHING };
        }
    }

    fn answer(&mut self, io: &mut Io<'_>, now: Tick, draining: bool) -> Want {
        let before = self.held.bytes().len();
        let mut within = Io { input: io.input, output: &mut self.held, ..*io };
        let want = self.line.advance(&mut within, draining);
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

    /// Passes on what is due; says when more will be, if that is known.
    fn let_out(&mut self, output: &mut Output, now: Tick) -> Result<Option<Tick>, Reset> {
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
                // Room comes when the peer takes some.
                return Ok(None);
            }
            if let Some(chaos) = &mut self.chaos {
                chaos.passed(passed, now);
            }
        }
    }
}

/// The connection is to be reset.
struct Reset;

/// Where the stream is cut, and what happens there.
struct Chaos {
    dice: SplitMix64,
    /// Octets before the next cut.
    left: usize,
    /// Nothing goes out before.
    resume: Tick,
    reset: bool,
}

impl Chaos {
    fn new(dice: SplitMix64) -> Self {
        let mut chaos = Self { dice, left: 0, resume: Tick::default(), reset: false };
        chaos.draw_piece();
        chaos
    }

    /// How many octets may go out now, or when some may.
    fn allows(&self, now: Tick) -> Result<Result<usize, Tick>, Reset> {
        if now < self.resume {
            Ok(Err(self.resume))
        } else if self.reset {
            Err(Reset)
        } else {
            Ok(Ok(self.left))
        }
    }

    /// So many went out. At a cut it is drawn what happens there.
    fn passed(&mut self, count: usize, now: Tick) {
        self.left -= count;
        if self.left > 0 {
            return;
        }
        // A pause long enough for the piece to leave alone, or for a person to wonder.
        let pause = if self.dice.one_in(8) { 50 + self.dice.below(950) } else { 1 + self.dice.below(5) };
        self.resume = now.after(Duration::from_millis(pause as u64));
        self.reset = self.dice.one_in(32);
        self.draw_piece();
    }

    fn draw_piece(&mut self) {
        let most = self.dice.pick(&[1, 16, 256, 4096]);
        self.left = 1 + self.dice.below(most);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Peer;
    use super::*;
    use crate::reactor::BUFFER;

    fn echo(trouble: Trouble, number: u32) -> Rough {
        Rough::new(Line::Echo(Echo::default()), trouble, number)
    }

    fn at(millis: u64) -> Tick {
        Tick::from_micros(millis * 1000)
    }

    /// The pieces that come back, each with its moment in milliseconds, and how it ended.
    fn pieces(rough: &mut Rough, input: &[&[u8]]) -> (Vec<(u64, Vec<u8>)>, Finish) {
        let (mut peer, mut now, mut pieces, mut input) = (Peer::default(), at(0), Vec::new(), input.iter());
        loop {
            let want = peer.turn(|io| rough.advance(io, now, false));
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
    fn delay_holds_each_octet_back_and_no_longer() {
        let mut rough = echo(Trouble { delay: Duration::from_millis(20), chaos: None }, 1);
        let mut peer = Peer::default();
        let mut turn = |peer: &mut Peer, millis, send: &[u8]| {
            peer.send(send);
            let want = peer.turn(|io| rough.advance(io, at(millis), false));
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
    fn a_long_delay_of_many_answers_is_bounded() {
        let mut rough = echo(Trouble { delay: Duration::from_secs(10), chaos: None }, 1);
        let mut peer = Peer::default();
        for millis in 0..1000 {
            peer.send(b"x");
            peer.turn(|io| rough.advance(io, at(millis), false));
        }
        assert!(rough.late.len() <= STRETCHES && peer.received().is_empty());
        assert_eq!(rough.memory(), 1000);
        peer.turn(|io| rough.advance(io, at(10_999), false));
        assert_eq!(peer.received(), vec![b'x'; 1000]);
    }

    #[test]
    fn a_slow_line_is_not_read_for_when_it_is_full() {
        let mut rough = echo(Trouble { delay: Duration::from_secs(1), chaos: None }, 1);
        let mut peer = Peer::default();
        peer.send(&vec![b'x'; BUFFER]);
        let want = peer.turn(|io| rough.advance(io, at(0), false));
        assert_eq!((want.read, want.wake, rough.memory()), (false, Some(at(1000)), BUFFER));
        assert!(peer.turn(|io| rough.advance(io, at(1000), false)).read);
    }

    #[test]
    fn chaos_cuts_but_neither_loses_nor_mixes() {
        let text: Vec<u8> = (0..20_000_u32).map(|n| b'a' + (n % 23) as u8).collect();
        let (mut whole, mut resets, mut stalls) = (0, 0, 0);
        for number in 0..100 {
            let (pieces, finish) =
                pieces(&mut echo(Trouble { chaos: Some(7), ..Trouble::default() }, number), &[&text]);
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
    fn the_same_seed_is_the_same_fate_however_the_octets_come() {
        let text = [b'x'; 5000];
        let fate = |seed, number, input: &[&[u8]]| {
            let trouble = Trouble { delay: Duration::from_millis(3), chaos: Some(seed) };
            let (pieces, finish) = pieces(&mut echo(trouble, number), input);
            (pieces.iter().map(|(_, piece)| piece.len()).collect::<Vec<_>>(), finish)
        };
        assert_eq!(fate(1, 1, &[&text]), fate(1, 1, &[&text]));
        assert_ne!(fate(1, 1, &[&text]), fate(1, 2, &[&text]));
        assert_ne!(fate(1, 1, &[&text]), fate(2, 1, &[&text]));
        // Cut by the sender too, there are more pieces, and ours among them.
        let cuts = |(sizes, _): (Vec<usize>, Finish)| {
            sizes
                .iter()
                .scan(0, |at, size| {
                    *at += size;
                    Some(*at)
                })
                .collect::<Vec<_>>()
        };
        let (one, two) = (cuts(fate(1, 1, &[&text])), cuts(fate(1, 1, &[&text[..1000], &text[..4000]])));
        assert!(one.iter().all(|cut| two.contains(cut)), "{one:?} {two:?}");
    }

    #[test]
    fn it_ends_as_the_service_does_when_the_last_octet_is_out() {
        let trouble = Trouble { delay: Duration::from_millis(5), chaos: None };
        let (got, finish) = pieces(&mut echo(trouble, 1), &[b"hello\nexit\nmore"]);
        assert_eq!((together(&got), finish), (b"hello\n".to_vec(), Finish::Linger));
        let mut upper = Rough::new(Line::Upper(Upper), trouble, 1);
        assert_eq!(pieces(&mut upper, &[b"hello\nyou"]).0, [(5, b"HELLO\n".to_vec()), (10, b"YOU".to_vec())]);
    }

    #[test]
    fn a_shut_down_lets_all_out() {
        let mut rough = echo(Trouble { delay: Duration::from_secs(5), chaos: Some(1) }, 1);
        let mut peer = Peer::default();
        peer.send(b"hello");
        peer.turn(|io| rough.advance(io, at(0), false));
        let want = peer.turn(|io| rough.advance(io, at(1), true));
        assert_eq!((peer.received(), want.finish), (b"hello".to_vec(), Finish::Linger));
    }
}
