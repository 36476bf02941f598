//! What the tests of several modules share.

use std::fmt::Debug;

/// Checks that a parser's result depends on the bytes only, never on how they
/// happened to arrive, and returns that result.
///
/// `run` is a fresh run over the pieces it is given; it is called with `input`
/// whole, cut in two at every place, in three with an empty piece in the middle,
/// and one byte at a time, and each of that again with every one of `trailing`
/// behind it: the bytes of a next message, which must change nothing. Pass no
/// `trailing` for input that isn't a complete message.
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

    /// The first line, whatever follows it.
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
