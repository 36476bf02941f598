//! Suggests the name that a mistyped one may have meant.

/// The candidate that begins with `word`, else the one with the fewest edits. `None` if it
/// takes more than one edit for every three letters.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    let rank = |candidate: &'a str| {
        let is_prefix = word.len() > 2 && candidate.starts_with(word);
        let distance = if is_prefix { 0 } else { strsim::osa_distance(word, candidate) };
        (distance <= limit).then_some((distance, candidate))
    };
    candidates.into_iter().filter_map(rank).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// `; did you mean --NAME?` with `mark` before the name, or nothing.
pub fn did_you_mean<'a>(mark: &str, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|name| format!("; did you mean {mark}{name}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
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
        assert_eq!(did_you_mean("--", "bnid", names), "; did you mean --bind?");
        assert_eq!(did_you_mean("--", "verbose", names), "");
    }
}
