//! What somebody may have meant who wrote something else.

/// The candidate that is nearest to `word`: one that it begins, or one that few
/// edits away. `None` if nothing is near enough to be worth a question.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong; more than that is another word.
    let limit = (word.chars().count() / 3).max(1);
    let rank = |candidate: &'a str| {
        let distance = if word.len() > 2 && candidate.starts_with(word) { 0 } else { distance(word, candidate) };
        (distance <= limit).then_some((distance, candidate))
    };
    candidates.into_iter().filter_map(rank).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// How many letters must be inserted, removed, replaced or swapped with their
/// neighbour to make `b` of `a` (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Rows of the table of prefixes: `above[j]` is the distance of a[..i] and b[..j].
    let mut above2 = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let replaced = above[j] + usize::from(a[i] != b[j]);
            row[j + 1] = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                row[j + 1] = row[j + 1].min(above2[j - 1] + 1);
            }
        }
        (above2, above) = (above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("same", "same", 0),
            ("ehco", "echo", 1),
            ("kitten", "sitting", 3),
            ("listng", "listing", 1),
            ("ä", "a", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn near_and_far() {
        let names = ["listing", "bind", "idle-timeout", "body-timeout"];
        for (word, expected) in [
            ("listng", Some("listing")),
            ("idel-timeout", Some("idle-timeout")),
            ("idle", Some("idle-timeout")),
            ("bnid", Some("bind")),
            ("verbose", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), expected, "{word}");
        }
    }
}
