//! The upper-case service: sends each line back in upper case.
//!
//! A line of valid UTF-8 is mapped by Unicode, which may make it longer (`ß` becomes `SS`).
//! In other lines only the ASCII letters change. The line end, LF or CRLF, stays. A last
//! line without a line end is answered at EOF.
//!
//! A line is answered when it is complete, because only then it is known to be valid. A line
//! that doesn't fit the input buffer is answered in pieces, each cut between two characters
//! if possible. Unicode's upper case depends on single characters only (lower case doesn't:
//! the final sigma), so a cut changes nothing.
//!
//! The response to a line is written as a whole if there is any room. So the output exceeds
//! its limit by at most one response: three times the input buffer, the largest growth by
//! upper-casing.

use crate::reactor::{BUFFER, Io, Want};

/// One connection of the upper-case service. It has no state: an incomplete line waits in the
/// input.
#[derive(Debug, Default)]
pub struct Upper;

impl Upper {
    /// Answers the complete lines. Draining counts as EOF.
    pub fn advance(&mut self, io: &mut Io<'_>, draining: bool) -> Want {
        let ended = io.ended || draining;
        while io.output.room() > 0
            && let Some(line) = next_line(io.input.bytes(), ended)
        {
            write_upper(line, io.output.buffer());
            let count = line.len();
            io.input.consume(count);
        }
        if ended && io.input.is_empty() {
            return Want::over(io.ended);
        }
        Want { read: io.output.room() > 0, ..Want::NOTHING }
    }
}

/// The first line of `input` with its line end, if it is complete, or can't become complete
/// because of EOF or a full buffer.
fn next_line(input: &[u8], ended: bool) -> Option<&[u8]> {
    if let Some(end) = memchr::memchr(b'\n', input) {
        Some(&input[..=end])
    } else if input.len() == BUFFER {
        Some(&input[..character_boundary(input)])
    } else {
        (ended && !input.is_empty()).then_some(input)
    }
}

/// Where to cut `piece`: before an incomplete character at its end, if the rest is valid.
fn character_boundary(piece: &[u8]) -> usize {
    match std::str::from_utf8(piece) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => piece.len(),
    }
}

fn write_upper(line: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    match std::str::from_utf8(line) {
        Ok(text) if !text.is_ascii() => out.extend_from_slice(text.to_uppercase().as_bytes()),
        _ => {
            out.extend_from_slice(line);
            out[start..].make_ascii_uppercase();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Peer, every_way};
    use super::*;
    use crate::reactor::Finish;

    fn answered(input: &[u8]) -> Vec<u8> {
        let (answer, closed) = every_way(input, || {
            let mut upper = Upper;
            move |io, draining| upper.advance(io, draining)
        });
        assert!(!closed, "it never closes of itself");
        answer
    }

    #[test]
    fn answers_each_line_in_upper_case_and_keeps_its_end() {
        for (input, output) in [
            ("", ""),
            ("\n", "\n"),
            ("hello, World!\n", "HELLO, WORLD!\n"),
            ("a\r\nb\n\r\nc", "A\r\nB\n\r\nC"),
            ("stra\u{df}e\n\u{e4}\u{3c2}\u{149}", "STRASSE\n\u{c4}\u{3a3}\u{2bc}N"),
            ("\u{390}", "\u{399}\u{308}\u{301}"),
            ("\0a\n", "\0A\n"),
        ] {
            assert_eq!(answered(input.as_bytes()), output.as_bytes(), "{input:?}");
        }
    }

    #[test]
    fn what_is_not_utf_8_changes_its_ascii_letters_only_and_only_in_its_line() {
        assert_eq!(answered(b"\xc3\xa4\xff\n\xc3\xa4\n\xe4x"), b"\xc3\xa4\xff\n\xc3\x84\n\xe4X");
    }

    #[test]
    fn a_line_waits_for_its_end() {
        let mut peer = Peer::default();
        peer.send(b"a\nb");
        assert_eq!(peer.turn(|io| Upper.advance(io, false)), Want::READ);
        assert_eq!(peer.received(), b"A\n");
        peer.send(b"c\n");
        assert_eq!(peer.turn(|io| Upper.advance(io, false)), Want::READ);
        assert_eq!(peer.received(), b"BC\n");
        peer.send(b"d");
        assert_eq!(peer.turn(|io| Upper.advance(io, true)), Want::finish(Finish::Linger));
        assert_eq!(peer.received(), b"D");
    }

    #[test]
    fn an_endless_line_goes_in_pieces_between_characters() {
        let mut peer = Peer::default();
        // The last character is cut in two by the buffer's end.
        let text = format!("a{}", "\u{e4}".repeat(BUFFER / 2));
        let (start, rest) = text.as_bytes().split_at(BUFFER);
        peer.send(start);
        peer.turn(|io| Upper.advance(io, false));
        let mut answer = peer.received();
        assert_eq!(answer.len(), BUFFER - 1);
        assert_eq!(peer.waiting(), 1);
        peer.send(rest);
        peer.end();
        assert_eq!(peer.turn(|io| Upper.advance(io, false)).finish, Finish::Close);
        answer.extend(peer.received());
        assert_eq!(answer, text.to_uppercase().as_bytes());
    }

    #[test]
    fn an_endless_line_that_is_not_utf_8_goes_whole() {
        let mut peer = Peer::default();
        peer.send(&[b"\xff".as_slice(), &[b'a'; BUFFER - 2], b"\xc3"].concat());
        peer.turn(|io| Upper.advance(io, false));
        assert_eq!(peer.received().len(), BUFFER);
        // Its line end may be all that follows.
        peer.send(b"\n");
        peer.turn(|io| Upper.advance(io, false));
        assert_eq!(peer.received(), b"\n");
    }

    #[test]
    fn what_grows_waits_for_room_and_is_bounded() {
        let mut peer = Peer::default();
        let line = "\u{390}".repeat(BUFFER / 4);
        peer.clog(1);
        peer.send(format!("{line}\nb\n").as_bytes());
        assert_eq!(peer.turn(|io| Upper.advance(io, false)), Want::NOTHING);
        assert_eq!(peer.received().len(), line.len() * 3 + 1);
        assert_eq!(peer.waiting(), 2);
        assert_eq!(peer.turn(|io| Upper.advance(io, false)), Want::READ);
        assert_eq!(peer.received(), b"B\n");
    }
}
