//! Helpers for the tests of several modules.

use std::fmt::Debug;

/// Checks that the result of a parser depends only on the bytes, not on the pieces in which they
/// arrive. Returns the result.
///
/// `run` parses its pieces with a new parser. It is called with `input` in one piece, in
/// two pieces for every cut, in three with an empty piece in the middle, and in single
/// bytes. Then each call is repeated with each of `trailing` after `input`. That is the
/// start of a next message, which must not change the result. For an incomplete message
/// `trailing` must be empty.
pub(crate) fn every_split<R: PartialEq + Debug>(
    input: &[u8],
    trailing: &[&[u8]],
    mut run: impl FnMut(&mut dyn Iterator<Item = &[u8]>) -> R,
) -> R {
    let expected = run(&mut [input].into_iter());
    for tail in [&b""[..]].iter().chain(trailing) {
        let all = [input, tail].concat();
        let mut check = |pieces: &mut dyn Iterator<Item = &[u8]>, how: &dyn Debug| {
            assert_eq!(
                run(pieces),
                expected,
                "{:?} and {:?} cut at {how:?}",
                input.escape_ascii(),
                tail.escape_ascii()
            );
        };
        for cut in 0..=all.len() {
            let (head, rest) = all.split_at(cut);
            check(&mut [head, rest].into_iter(), &cut);
            check(&mut [head, &[], rest].into_iter(), &cut);
        }
        check(&mut all.chunks(1), &"every byte");
    }
    expected
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first line. Bytes after it are ignored.
    fn line(pieces: &mut dyn Iterator<Item = &[u8]>) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        for &byte in pieces.flatten() {
            if byte == b'\n' {
                return Some(line);
            }
            line.push(byte);
        }
        None
    }

    #[test]
    fn a_good_parser_passes() {
        assert_eq!(every_split(b"ab\n", &[b"c\n"], line).as_deref(), Some(&b"ab"[..]));
        assert_eq!(every_split(b"ab", &[], line), None);
    }

    #[test]
    #[should_panic(expected = "cut at 0")]
    fn a_parser_that_depends_on_the_pieces_fails() {
        every_split(b"ab\n", &[], |pieces| pieces.next().map(<[u8]>::len));
    }
}
