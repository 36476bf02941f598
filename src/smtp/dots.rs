//! The end of a message, and the dots that keep a line from being it (RFC 5321 §4.5.2).
//!
//! ```text
//! message        on the wire
//! .signature     ..signature     a line that begins with a dot gets another one
//!                .               a dot alone is the end
//! ```
//!
//! Only CR LF ends a line here, on either side. A receiver that took LF alone for a line end
//! would see an end where the sender sent none, and take what follows for commands: SMTP
//! smuggling. So [`Unstuffer`] goes on to the true end, and says that the message is malformed.

/// Adds dots to a message, and its end.
#[derive(Debug)]
pub struct Stuffer {
    place: Place,
}

/// What the bytes so far end with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// CR LF, or nothing: a line begins.
    Start,
    /// A CR.
    Return,
    /// Anything else.
    Within,
}

impl Default for Stuffer {
    fn default() -> Self {
        Self { place: Place::Start }
    }
}

impl Stuffer {
    /// Appends a piece of the message, cut anywhere.
    pub fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while let Some(&first) = rest.first() {
            if self.place == Place::Start && first == b'.' {
                out.push(b'.');
            }
            if self.place == Place::Return && first == b'\n' {
                self.place = Place::Start;
                out.push(first);
                rest = &rest[1..];
                continue;
            }
            // Up to the next CR nothing can begin a line.
            let end = memchr::memchr(b'\r', rest).map_or(rest.len(), |at| at + 1);
            let (done, next) = rest.split_at(end);
            out.extend_from_slice(done);
            self.place = if done.ends_with(b"\r") { Place::Return } else { Place::Within };
            rest = next;
        }
    }

    /// Appends the end. A last line without a line end gets one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match self.place {
            Place::Start => {}
            Place::Return => out.push(b'\n'),
            Place::Within => out.extend_from_slice(b"\r\n"),
        }
        out.extend_from_slice(b".\r\n");
        self.place = Place::Start;
    }
}

/// Takes the dots out of a message that comes, and finds its end.
#[derive(Debug, Default)]
pub struct Unstuffer {
    state: State,
    /// There was a CR or LF that is no line end, or a NUL.
    malformed: bool,
}

/// What came last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// CR LF, or nothing.
    #[default]
    Start,
    /// A dot at the beginning of a line.
    Dot,
    /// That, and a CR.
    DotReturn,
    /// A CR.
    Return,
    /// Anything else.
    Within,
}

impl Unstuffer {
    /// Whether the message has a CR or LF that is no line end, or a NUL: it can't be accepted.
    pub fn is_malformed(&self) -> bool {
        self.malformed
    }

    /// Appends what `input` has of the message. Returns how many bytes are used, and whether the
    /// end is there: what follows it is the next command.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, bool) {
        for (at, &byte) in input.iter().enumerate() {
            let next = match (self.state, byte) {
                (State::DotReturn, b'\n') => {
                    *self = Self { state: State::Start, malformed: self.malformed };
                    return (at + 1, true);
                }
                (State::Start, b'.') => State::Dot,
                (State::Dot, b'\r') => State::DotReturn,
                (State::Return, b'\n') => State::Start,
                (_, b'\r') => State::Return,
                _ => State::Within,
            };
            // A dot that was held back isn't the end; a line of one dot and text lost its dot.
            if self.state == State::DotReturn {
                out.extend_from_slice(b"\r");
            }
            let held = matches!(next, State::Dot | State::DotReturn);
            let after_return = matches!(self.state, State::Return | State::DotReturn);
            self.malformed |= byte == 0 || (after_return && byte != b'\n') || (byte == b'\n' && !after_return);
            if !held {
                out.push(byte);
            }
            self.state = next;
        }
        (input.len(), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::every_split;
    use proptest::prelude::*;

    /// A message on the wire, however it is cut.
    fn stuffed(message: &[u8]) -> Vec<u8> {
        every_split(message, &[], |pieces| {
            let (mut stuffer, mut out) = (Stuffer::default(), Vec::new());
            pieces.for_each(|piece| stuffer.encode(piece, &mut out));
            stuffer.finish(&mut out);
            out
        })
    }

    /// The message, whether its end came, and whether it is malformed, however it is cut.
    fn unstuffed(wire: &[u8]) -> (Vec<u8>, bool, bool) {
        let trailing: &[&[u8]] = if wire.ends_with(b"\r\n.\r\n") { &[b"QUIT\r\n", b"."] } else { &[] };
        every_split(wire, trailing, |pieces| {
            let (mut unstuffer, mut out) = (Unstuffer::default(), Vec::new());
            for piece in pieces {
                let (used, over) = unstuffer.decode(piece, &mut out);
                assert!(used <= piece.len() && (over || used == piece.len()));
                if over {
                    return (out, true, unstuffer.is_malformed());
                }
            }
            (out, false, unstuffer.is_malformed())
        })
    }

    #[test]
    fn lines_that_begin_with_a_dot_get_another_one() {
        for (message, wire) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a\r", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"..a\r\n.b", b"...a\r\n..b\r\n.\r\n"),
            (b"a.b\r\nc.", b"a.b\r\nc.\r\n.\r\n"),
            (b"a\n.b\r.c\r\n", b"a\n.b\r.c\r\n.\r\n"),
        ] {
            assert_eq!(stuffed(message).escape_ascii().to_string(), wire.escape_ascii().to_string());
        }
    }

    #[test]
    fn only_cr_lf_dot_cr_lf_is_the_end() {
        // Every mix of CR and LF around a dot.
        let ends: [&[u8]; 5] = [b"", b"\r", b"\n", b"\r\n", b"\n\r"];
        for before in ends {
            for after in ends {
                let wire = [b"a", before, b".", after, b"b\r\n.\r\n"].concat();
                let is_end = before == b"\r\n" && after == b"\r\n";
                let (message, over, malformed) = unstuffed_without_tail(&wire);
                assert!(over, "{}", wire.escape_ascii());
                if is_end {
                    assert_eq!((&message[..], malformed), (&b"a\r\n"[..], false));
                } else {
                    let plain = before.is_empty() || before == b"\r\n";
                    assert_eq!(
                        malformed,
                        !(plain && (after.is_empty() || after == b"\r\n")),
                        "{}",
                        wire.escape_ascii()
                    );
                    assert!(message.ends_with(b"b\r\n"), "{}", message.escape_ascii());
                }
            }
        }
        assert_eq!(unstuffed(b"a\r\n.\r"), (b"a\r\n".to_vec(), false, false));
        assert!(unstuffed(b".\r\n").1);
    }

    fn unstuffed_without_tail(wire: &[u8]) -> (Vec<u8>, bool, bool) {
        every_split(wire, &[], |mut pieces| {
            let (mut unstuffer, mut out) = (Unstuffer::default(), Vec::new());
            let over = Iterator::any(&mut pieces, |piece| unstuffer.decode(piece, &mut out).1);
            (out, over, unstuffer.is_malformed())
        })
    }

    #[test]
    fn a_nul_is_malformed_and_a_dot_before_text_is_taken_out() {
        assert!(unstuffed(b"a\0\r\n.\r\n").2);
        assert_eq!(unstuffed(b"..\r\n.a\r\n...\r\n.\r\n"), (b".\r\na\r\n..\r\n".to_vec(), true, false));
    }

    proptest! {
        #[test]
        fn what_is_stuffed_comes_back(lines in proptest::collection::vec("[.a]{0,4}", 0..8)) {
            let message: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect();
            prop_assert_eq!(unstuffed_without_tail(&stuffed(&message)), (message, true, false));
        }
    }
}
