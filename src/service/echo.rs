//! The echo service, like RFC 862, but with a way to end the connection.
//!
//! Each byte is sent back at once. A line that is exactly `exit` ends the connection. This
//! line isn't echoed, and nothing after it. A line ends in LF or CRLF, or with EOF.
//!
//! So at the start of a line `exi` can't be echoed yet, because it may become `exit`. It
//! stays in the input until the next byte decides, or a pause: many clients send `exit`
//! without a line end, and one that sends `e` alone waits for its echo. After 200 ms of
//! silence the line counts as ended: `exit` ends the connection, anything else is echoed. At
//! most five bytes (`exit` and a CR) wait like this.
//!
//! Input is consumed only if the output has room. So nothing is read from a peer that
//! doesn't read.
//!
//! At debug level, target `miod::echo`, each *message* is logged. A stream has no messages:
//! this means the bytes that were echoed in one turn.

use std::time::Duration;

use crate::logging::escape;
use crate::reactor::{Ends, Io, Tick, Want};

/// The silence that ends a line.
const SILENCE: Duration = Duration::from_millis(200);

/// Most bytes in one line of the log; a longer message gets several lines.
const LOGGED: usize = 256;

/// One connection of the echo service.
#[derive(Debug)]
pub struct Echo {
    /// The input is at the start of a line.
    line_start: bool,
    /// How many bytes of the input wait for the next one: five at most.
    held: u8,
    /// Until when they wait.
    until: Tick,
    /// The output has ended.
    over: bool,
}

impl Default for Echo {
    fn default() -> Self {
        Self { line_start: true, held: 0, until: Tick::default(), over: false }
    }
}

impl Echo {
    /// Echoes the input. Draining counts as EOF: input that is already received is still
    /// echoed.
    pub fn advance(&mut self, io: &mut Io<'_>, now: Tick, draining: bool) -> Want {
        let ended = io.ended || draining;
        let room = io.output.room();
        if !self.over && room > 0 {
            let input = io.input.bytes();
            let silent = self.held > 0 && usize::from(self.held) == input.len() && self.until <= now;
            let (plain, next) = split(input, self.line_start, ended || silent);
            let count = plain.min(room);
            let stretch = &input[..count];
            if let Some(last) = stretch.last() {
                log_message(io.ends, stretch);
                io.output.write(stretch);
                self.line_start = *last == b'\n';
                io.input.consume(count);
            }
            if count == plain {
                match next {
                    Next::Exit(length) => {
                        io.input.consume(length);
                        self.over = true;
                    }
                    Next::Unknown => self.over = ended,
                }
                self.hold(io.input.bytes().len() as u8, now);
            }
        }
        if self.over {
            return Want::over(io.ended);
        }
        let read = io.output.room() > 0;
        let wake = (read && self.held > 0).then_some(self.until);
        Want { read, wake, ..Want::NOTHING }
    }

    /// This many bytes wait now. The silence begins with the last one.
    fn hold(&mut self, count: u8, now: Tick) {
        if self.held != count {
            (self.held, self.until) = (count, now.after(SILENCE));
        }
    }
}

/// What follows the bytes that can be echoed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// The line `exit`, with this many bytes including its line end.
    Exit(usize),
    /// Nothing, or the start of a possible `exit`.
    Unknown,
}

/// How many bytes of `input` can be echoed, and what follows them. `ended`: the last line
/// is complete.
fn split(input: &[u8], line_start: bool, ended: bool) -> (usize, Next) {
    let first = line_start.then_some(0);
    let others = memchr::memchr_iter(b'\n', input).map(|at| at + 1);
    for start in first.into_iter().chain(others) {
        match &input[start..] {
            [b'e', b'x', b'i', b't', b'\n', ..] => return (start, Next::Exit(5)),
            [b'e', b'x', b'i', b't', b'\r', b'\n', ..] => return (start, Next::Exit(6)),
            b"exit" if ended => return (start, Next::Exit(4)),
            rest if !ended && b"exit\r\n".starts_with(rest) => return (start, Next::Unknown),
            _ => {}
        }
    }
    (input.len(), Next::Unknown)
}

fn log_message(ends: Ends<'_>, message: &[u8]) {
    if !log::log_enabled!(target: "miod::echo", log::Level::Debug) {
        return;
    }
    let peer = ends.peer().map_or_else(|| "unix".to_owned(), |peer| peer.to_string());
    for piece in message.chunks(LOGGED) {
        log::debug!(target: "miod::echo", "{peer} sent: {}", escape(piece));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Peer, every_way};
    use super::*;
    use crate::reactor::{BUFFER, Finish};

    fn at(millis: u64) -> Tick {
        Tick::from_micros(millis * 1000)
    }

    /// What comes back for `input`, and whether the service closed by itself.
    fn echoed(input: &[u8]) -> (Vec<u8>, bool) {
        every_way(input, || {
            let mut echo = Echo::default();
            move |io, draining| echo.advance(io, at(0), draining)
        })
    }

    #[test]
    fn everything_before_the_exit_line_is_echoed() {
        for (input, output, closes) in [
            ("", "", false),
            ("a", "a", false),
            ("hello\nworld\r\n", "hello\nworld\r\n", false),
            ("exit\n", "", true),
            ("exit\r\n", "", true),
            ("a\nexit\nb\n", "a\n", true),
            ("a\r\nexit\r\nb", "a\r\n", true),
            ("\nexit\nexit\n", "\n", true),
            ("exit\0\n", "exit\0\n", false),
            (" exit\nexit \nexits\nEXIT\nan exit\n", " exit\nexit \nexits\nEXIT\nan exit\n", false),
            ("exit\r\rexit\n", "exit\r\rexit\n", false),
            ("exexit\nexi\nexit\n", "exexit\nexi\n", true),
            ("e\ne", "e\ne", false),
            ("exi", "exi", false),
            ("exit\r", "exit\r", false),
        ] {
            assert_eq!(echoed(input.as_bytes()), (output.as_bytes().to_vec(), closes), "{input:?}");
        }
    }

    #[test]
    fn eof_ends_a_line_too() {
        // The test bench sends EOF itself, so the service doesn't close before EOF.
        assert_eq!(echoed(b"a\nexit"), (b"a\n".to_vec(), false));
        assert_eq!(echoed(b"a exit"), (b"a exit".to_vec(), false));
    }

    #[test]
    fn only_a_possible_exit_line_is_held_back() {
        let mut echo = Echo::default();
        let mut peer = Peer::default();
        let mut type_in = |text: &[u8]| {
            peer.send(text);
            let want = peer.turn(|io| echo.advance(io, at(0), false));
            let held = (peer.waiting() > 0).then_some(at(200));
            assert_eq!(want, Want { wake: held, ..Want::READ });
            peer.received()
        };
        assert_eq!(type_in(b"aex"), b"aex");
        assert_eq!(type_in(b"it\nex"), b"it\n");
        assert_eq!(type_in(b"it"), b"");
        assert_eq!(type_in(b"\r"), b"");
        assert_eq!(type_in(b"x"), b"exit\rx");
    }

    #[test]
    fn silence_ends_a_line() {
        for (typed, echoed, closes) in [
            (&["exit"][..], "", true),
            (&["a\nexit"], "a\n", true),
            (&["ex", "it"], "", true),
            (&["e"], "e", false),
            (&["exit\r"], "exit\r", false),
            (&["aexit"], "aexit", false),
        ] {
            let (mut echo, mut peer, mut out) = (Echo::default(), Peer::default(), Vec::new());
            let mut now = 0;
            for text in typed {
                now += 150;
                peer.send(text.as_bytes());
                assert_eq!(peer.turn(|io| echo.advance(io, at(now), false)).finish, Finish::No);
                out.extend(peer.received());
            }
            let want = peer.turn(|io| echo.advance(io, at(now + 199), false));
            assert!(want.finish == Finish::No && want.wake.is_none_or(|wake| wake == at(now + 200)), "{typed:?}");
            let want = peer.turn(|io| echo.advance(io, at(now + 200), false));
            assert_eq!(want, if closes { Want::finish(Finish::Linger) } else { Want::READ }, "{typed:?}");
            out.extend(peer.received());
            assert_eq!(String::from_utf8(out).unwrap(), echoed);
        }
    }

    #[test]
    fn held_bytes_wait_for_room_after_the_silence() {
        let (mut echo, mut peer) = (Echo::default(), Peer::default());
        peer.clog(2);
        peer.send(b"a\nexi");
        assert_eq!(peer.turn(|io| echo.advance(io, at(0), false)), Want::NOTHING);
        assert_eq!(peer.turn(|io| echo.advance(io, at(300), false)), Want::NOTHING);
        assert_eq!(peer.received(), b"a\n");
        // The silence has already passed, so the held bytes are sent at once.
        peer.clog(1);
        assert_eq!(peer.turn(|io| echo.advance(io, at(300), false)), Want::NOTHING);
        assert_eq!(peer.received(), b"e");
        peer.send(b"t\nexit\n");
        assert_eq!(peer.turn(|io| echo.advance(io, at(301), false)), Want::finish(Finish::Linger));
        assert_eq!(peer.received(), b"xit\n");
    }

    #[test]
    fn a_slow_reader_is_not_read_from() {
        let mut echo = Echo::default();
        let mut peer = Peer::default();
        peer.clog(3);
        peer.send(b"abcde\nexit\n");
        assert_eq!(peer.turn(|io| echo.advance(io, at(0), false)), Want::NOTHING);
        assert_eq!((peer.waiting(), peer.received()), (8, b"abc".to_vec()));
        assert_eq!(peer.turn(|io| echo.advance(io, at(0), false)), Want::finish(Finish::Linger));
        assert_eq!(peer.received(), b"de\n");
    }

    #[test]
    fn a_full_buffer_goes_through_at_once() {
        let mut echo = Echo::default();
        let mut peer = Peer::default();
        peer.send(&[b'x'; BUFFER]);
        assert_eq!(peer.turn(|io| echo.advance(io, at(0), false)), Want::NOTHING);
        assert_eq!(peer.received().len(), BUFFER);
        assert_eq!(peer.turn(|io| echo.advance(io, at(0), false)), Want::READ);
    }

    #[test]
    fn draining_sends_the_received_input() {
        let mut echo = Echo::default();
        let mut peer = Peer::default();
        peer.send(b"a\nexi");
        assert_eq!(peer.turn(|io| echo.advance(io, at(0), true)), Want::finish(Finish::Linger));
        assert_eq!(peer.received(), b"a\nexi");
    }
}
