//! The upper-case service: sends its input back in upper case.
//!
//! Characters are answered as they come; a client may wait for the answer to a sentence
//! without a line end. They are mapped by Unicode, which may make them longer (`ß` becomes
//! `SS`). Upper case depends on single characters only (lower case doesn't: the final
//! sigma), so it doesn't matter where the input is cut. Only an incomplete character at its
//! end waits for its rest, or for EOF. Bytes that aren't UTF-8 go back unchanged.
//!
//! The input is answered as a whole if there is any room. So the output exceeds its limit by
//! at most three times the input buffer, the largest growth by upper-casing.

use crate::reactor::{Io, Want};

/// One connection of the upper-case service. It has no state: an incomplete character waits
/// in the input.
#[derive(Debug, Default)]
pub struct Upper;

impl Upper {
    /// Answers the complete characters. Draining counts as EOF.
    pub fn advance(&mut self, io: &mut Io<'_>, draining: bool) -> Want {
        let ended = io.ended || draining;
        if io.output.room() > 0 {
            let input = io.input.bytes();
            let count = if ended { input.len() } else { complete(input) };
            write_upper(&input[..count], io.output.buffer());
            io.input.consume(count);
        }
        if ended && io.input.is_empty() {
            return Want::over(io.ended);
        }
        Want { read: io.output.room() > 0, ..Want::NOTHING }
    }
}

/// The length of `input` without an incomplete character at its end.
fn complete(input: &[u8]) -> usize {
    // A character has at most four bytes, so an incomplete one begins in the last three.
    let start = input.len().saturating_sub(3);
    let incomplete = (start..input.len()).find(|&at| {
        matches!(std::str::from_utf8(&input[at..]), Err(error) if error.valid_up_to() == 0 && error.error_len().is_none())
    });
    incomplete.unwrap_or(input.len())
}

/// Appends `input` in upper case. Bytes that aren't UTF-8 are unchanged.
pub(super) fn write_upper(input: &[u8], out: &mut Vec<u8>) {
    for chunk in input.utf8_chunks() {
        let text = chunk.valid();
        if text.is_ascii() {
            let start = out.len();
            out.extend_from_slice(text.as_bytes());
            out[start..].make_ascii_uppercase();
        } else {
            out.extend_from_slice(text.to_uppercase().as_bytes());
        }
        out.extend_from_slice(chunk.invalid());
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Peer, every_way};
    use super::*;
    use crate::reactor::{BUFFER, Finish};

    fn answered(input: &[u8]) -> Vec<u8> {
        let (answer, closed) = every_way(input, || {
            let mut upper = Upper;
            move |io, draining| upper.advance(io, draining)
        });
        assert!(!closed, "it never closes by itself");
        answer
    }

    #[test]
    fn answers_in_upper_case_wherever_the_input_is_cut() {
        for (input, output) in [
            ("", ""),
            ("\n", "\n"),
            ("hello, World!\n", "HELLO, WORLD!\n"),
            ("a\r\nb\n\r\nc", "A\r\nB\n\r\nC"),
            ("stra\u{df}e\n\u{e4}\u{3c2}\u{149}", "STRASSE\n\u{c4}\u{3a3}\u{2bc}N"),
            ("\u{390}", "\u{399}\u{308}\u{301}"),
            ("\u{1f600}a\u{10428}", "\u{1f600}A\u{10400}"),
            ("\0a\n", "\0A\n"),
        ] {
            assert_eq!(answered(input.as_bytes()), output.as_bytes(), "{input:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_go_back_unchanged() {
        for (input, output) in [
            (&b"\xc3\xa4\xffx\n\xe4x"[..], &b"\xc3\x84\xffX\n\xe4X"[..]),
            (b"a\xc3", b"A\xc3"),
            (b"\xf0\x9f\x98z\xe2\x82", b"\xf0\x9f\x98Z\xe2\x82"),
            (b"\xc3\xc3\xa4\x80\x80\x80\x80", b"\xc3\xc3\x84\x80\x80\x80\x80"),
            (b"\xed\xa0\x80b\xc0\xaf", b"\xed\xa0\x80B\xc0\xaf"),
        ] {
            assert_eq!(answered(input), output, "{input:?}");
        }
    }

    #[test]
    fn a_character_is_answered_when_it_is_complete() {
        let mut peer = Peer::default();
        for (sent, back) in [
            (&b"hello"[..], &b"HELLO"[..]),
            (b"a\xc3", b"A"),
            (b"\xa4", b"\xc3\x84"),
            (b"\xf0\x9f\x98", b""),
            (b"\x80", b"\xf0\x9f\x98\x80"),
            (b"\xe2", b""),
            (b"x", b"\xe2X"),
            (b"\xe2\x82", b""),
        ] {
            peer.send(sent);
            assert_eq!(peer.turn(|io| Upper.advance(io, false)), Want::READ);
            assert_eq!(peer.received(), back, "{sent:?}");
        }
        assert_eq!(peer.turn(|io| Upper.advance(io, true)), Want::finish(Finish::Linger));
        assert_eq!(peer.received(), b"\xe2\x82");
    }

    #[test]
    fn a_full_buffer_is_answered_up_to_an_incomplete_character() {
        let mut peer = Peer::default();
        // The last character is cut in two by the buffer's end.
        let text = format!("a{}", "\u{e4}".repeat(BUFFER / 2));
        let (start, rest) = text.as_bytes().split_at(BUFFER);
        peer.send(start);
        peer.turn(|io| Upper.advance(io, false));
        let mut answer = peer.received();
        assert_eq!((answer.len(), peer.waiting()), (BUFFER - 1, 1));
        peer.send(rest);
        peer.end();
        assert_eq!(peer.turn(|io| Upper.advance(io, false)).finish, Finish::Close);
        answer.extend(peer.received());
        assert_eq!(answer, text.to_uppercase().as_bytes());
    }

    #[test]
    fn growth_is_bounded_and_the_next_input_waits_for_room() {
        let mut peer = Peer::default();
        let text = "\u{390}".repeat(BUFFER / 4);
        peer.clog(1);
        peer.send(text.as_bytes());
        assert_eq!(peer.turn(|io| Upper.advance(io, false)), Want::NOTHING);
        peer.send(b"b\n");
        assert_eq!(peer.turn(|io| Upper.advance(io, false)), Want::NOTHING);
        assert_eq!((peer.received().len(), peer.waiting()), (text.len() * 3, 2));
        assert_eq!(peer.turn(|io| Upper.advance(io, false)), Want::READ);
        assert_eq!(peer.received(), b"B\n");
    }
}
