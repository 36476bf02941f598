//! Reads gzip that comes in pieces.
//!
//! A few bytes can become a thousand times as many. So each call returns a piece of limited size; what
//! wasn't consumed is handed in again. A call also ends where a member ends: who counts calls has
//! counted all work.
//!
//! Several members one after the other are the content of all of them (RFC 1952 §2.2). Behind the last
//! one there is nothing: padding or garbage isn't gzip.

use flate2::{Decompress, FlushDecompress, Status};

/// Reads members of gzip.
pub struct Decoder {
    member: Decompress,
    state: State,
    piece: Box<[u8]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was read.
    Beginning,
    /// Within a member.
    Within,
    /// A member is complete.
    Between,
}

/// What isn't gzip, or was changed on the way: its checksum or its length is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken;

/// The base-2 logarithm of the largest window.
const WINDOW_BITS: u8 = 15;

impl Default for Decoder {
    /// A decoder before the first member.
    fn default() -> Self {
        let piece = vec![0; Self::PIECE].into();
        Self { member: Decompress::new_gzip(WINDOW_BITS), state: State::Beginning, piece }
    }
}

impl Decoder {
    /// Most bytes of content that a call returns.
    pub const PIECE: usize = 32 * 1024;

    /// Bytes of memory that a decoder holds: its window, its tables, and a piece.
    pub const MEMORY: usize = 48 * 1024 + Self::PIECE;

    /// Reads on. Returns how many bytes of the input are done with, and the content that was in them, at
    /// most [`PIECE`](Self::PIECE) bytes. There may be more if these are not all, or if it is as many.
    ///
    /// # Errors
    /// If the input isn't gzip.
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, &[u8]), Broken> {
        match self.state {
            State::Beginning | State::Between if input.is_empty() => return Ok((0, b"")),
            State::Between => self.member.reset(true),
            State::Beginning | State::Within => {}
        }
        self.state = State::Within;
        let before = (self.member.total_in(), self.member.total_out());
        let status = self.member.decompress(input, &mut self.piece, FlushDecompress::None).map_err(|_| Broken)?;
        if status == Status::StreamEnd {
            self.state = State::Between;
        }
        let count = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
        let made = count(self.member.total_out(), before.1);
        Ok((count(self.member.total_in(), before.0), self.piece.get(..made).unwrap_or_default()))
    }

    /// Whether the input may end here. Without any input there is no content.
    pub fn is_complete(&self) -> bool {
        self.state != State::Within
    }
}

#[cfg(test)]
mod tests {
    use super::super::Coding;
    use super::*;

    fn compress(content: &[u8], level: u8) -> Vec<u8> {
        super::super::compress(Coding::Gzip, content, level)
    }

    /// Decodes all of it, which comes in one piece.
    fn decode(coded: &[u8]) -> Result<Vec<u8>, Broken> {
        decode_in(coded, coded.len())
    }

    /// Decodes what comes in pieces of `size` bytes.
    fn decode_in(coded: &[u8], size: usize) -> Result<Vec<u8>, Broken> {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        for mut piece in coded.chunks(size.max(1)) {
            loop {
                let (consumed, content) = decoder.read(piece)?;
                out.extend_from_slice(content);
                let is_full = content.len() == Decoder::PIECE;
                piece = &piece[consumed..];
                if piece.is_empty() && !is_full {
                    break;
                }
            }
        }
        if decoder.is_complete() { Ok(out) } else { Err(Broken) }
    }

    #[test]
    fn pieces_make_no_difference() {
        let content = b"to be or not to be, that is the question".repeat(2000);
        let coded = compress(&content, 5);
        for size in 1..coded.len() + 1 {
            assert_eq!(decode_in(&coded, size).as_deref(), Ok(&content[..]), "{size}");
        }
        for length in [Decoder::PIECE - 1, Decoder::PIECE, Decoder::PIECE + 1, 2 * Decoder::PIECE] {
            assert_eq!(decode(&compress(&content[..length], 5)).as_deref(), Ok(&content[..length]), "{length}");
        }
    }

    #[test]
    fn several_members_are_one_content() {
        let coded = [compress(b"one ", 1), compress(b"", 5), compress(b"two", 9)].concat();
        for size in 1..coded.len() + 1 {
            assert_eq!(decode_in(&coded, size).as_deref(), Ok(&b"one two"[..]), "{size}");
        }
    }

    #[test]
    fn what_is_cut_is_not_complete() {
        let coded = compress(b"content, content, content", 5);
        for end in 1..coded.len() {
            assert_eq!(decode(&coded[..end]), Err(Broken), "{end}");
        }
    }

    #[test]
    fn what_is_changed_or_has_more_behind_it_is_broken() {
        let content = b"content, ".repeat(20);
        let coded = compress(&content, 5);
        // The flags, time, level and system in the header aren't protected by the checksum.
        for at in (0..3).chain(10..coded.len()) {
            for bit in 0..8 {
                let mut changed = coded.clone();
                changed[at] ^= 1 << bit;
                // Some bits are padding, and some repetitions can be told in two ways.
                let decoded = decode(&changed);
                assert!(decoded.is_err() || decoded == Ok(content.clone()), "bit {bit} of byte {at}");
            }
        }
        for garbage in [&b"\0"[..], b"garbage behind it", b"\x1f", b"\x1f\x8b\x08"] {
            assert_eq!(decode(&[&coded, garbage].concat()), Err(Broken), "{garbage:?}");
        }
        assert_eq!(decode(b"plain text"), Err(Broken));
        assert_eq!(decode(b""), Ok(Vec::new()));
    }

    #[test]
    fn headers_may_have_all_optional_fields() {
        // RFC 1952 §2.3: extra field, name, comment.
        let plain = compress(b"content", 5);
        let (header, rest) = plain.split_at(10);
        let mut coded = header.to_vec();
        coded[3] = 0b1_1100;
        coded.extend_from_slice(b"\x03\0abcname\0comment\0");
        coded.extend_from_slice(rest);
        for size in 1..coded.len() {
            assert_eq!(decode_in(&coded, size).as_deref(), Ok(&b"content"[..]));
        }
    }

    #[test]
    fn a_bomb_yields_a_piece_at_a_time() {
        let bomb = compress(&vec![0; 10_000_000], 9);
        assert!(bomb.len() < 20_000);
        let mut decoder = Decoder::default();
        let (consumed, content) = decoder.read(&bomb).unwrap();
        assert_eq!(content.len(), Decoder::PIECE);
        assert!(consumed < bomb.len());
    }
}
