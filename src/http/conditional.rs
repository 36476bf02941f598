//! Conditional requests (RFC 9110 §13) and their validators (§8.8).

use super::fields::is_named;
use super::{Fields, date, grammar::trim_ows};

/// The validators of the current representation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validators<'a> {
    /// The entity-tag as in the ETag field: with its quotes, and with `W/` if it is weak. Empty
    /// if there is none.
    pub etag: &'a [u8],
    /// When it was last modified, in Unix seconds. If that is unknown, dates in requests are
    /// ignored (§13.1.3, §13.1.4).
    pub modified: Option<i64>,
}

/// The result of evaluating the preconditions of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Evaluation {
    /// They hold, or there are none: serve the request.
    Proceed,
    /// 304: the client has the current representation.
    NotModified,
    /// 412: the representation is not the one that the client expects.
    Failed,
}

/// Evaluates the preconditions in `fields` in the order of RFC 9110 §13.2.2, except for
/// If-Range; for that see [`range_applies`].
///
/// `safe_method`: the method is GET or HEAD. `current` is `None` if no representation exists.
/// `now` is in Unix seconds. Malformed dates and dates on several field lines are ignored
/// (§13.1.3, §13.1.4). So is an If-Modified-Since in the future, which can't come from a
/// response of this server.
pub fn evaluate(safe_method: bool, fields: &Fields<'_>, current: Option<&Validators<'_>>, now: i64) -> Evaluation {
    // One pass finds all fields. A field on several lines gets an empty value here, which has
    // no effect; the fields that are lists are then looked up again.
    let (mut if_match, mut if_none_match, mut if_modified_since, mut if_unmodified_since) = (None, None, None, None);
    for (name, value) in fields.iter() {
        let line: &mut Option<&[u8]> = match name.len() {
            8 if is_named(name, b"If-Match") => &mut if_match,
            13 if is_named(name, b"If-None-Match") => &mut if_none_match,
            17 if is_named(name, b"If-Modified-Since") => &mut if_modified_since,
            19 if is_named(name, b"If-Unmodified-Since") => &mut if_unmodified_since,
            _ => continue,
        };
        *line = Some(if line.is_none() { value } else { b"" });
    }
    let modified = current.and_then(|current| current.modified);
    let read = |line: Option<&[u8]>| line.and_then(|value| date::parse(value, now));

    if let Some(line) = if_match {
        if !any_matches(line, fields, "if-match", current, strong_match) {
            return Evaluation::Failed;
        }
    } else if let (Some(modified), Some(date)) = (modified, read(if_unmodified_since))
        && modified > date
    {
        return Evaluation::Failed;
    }
    if let Some(line) = if_none_match {
        if any_matches(line, fields, "if-none-match", current, weak_match) {
            return if safe_method { Evaluation::NotModified } else { Evaluation::Failed };
        }
    } else if safe_method
        && let (Some(modified), Some(date)) = (modified, read(if_modified_since))
        && modified <= date
        && date <= now
    {
        return Evaluation::NotModified;
    }
    Evaluation::Proceed
}

/// Whether the Range field applies: If-Range is exactly the `current` representation, or there
/// is no If-Range (RFC 9110 §13.1.5).
///
/// Parts of different versions of a file must never be combined, so the comparison is strong. A
/// date must match exactly, and the last modification must be at least two seconds old: within
/// the same second the file could change again without a change of its date (§8.8.2.2). If the
/// caller makes the entity-tag weak, dates are trusted no further.
pub fn range_applies(fields: &Fields<'_>, current: &Validators<'_>, now: i64) -> bool {
    let mut lines = fields.all("if-range");
    match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(value), None) if value.starts_with(b"\"") || value.starts_with(b"W/") => {
            split_tag(value).is_some_and(|(tag, rest)| rest.is_empty() && strong_match(tag, current.etag))
        }
        (Some(value), None) => {
            let old = current.modified.filter(|modified| now.saturating_sub(*modified) >= 2);
            let is_strong = !current.etag.starts_with(b"W/");
            is_strong && old.is_some_and(|modified| date::parse(value, now) == Some(modified))
        }
        (Some(_), Some(_)) => false,
    }
}

/// Which of several representations the preconditions of a request name, by their entity-tags: the
/// first that is in If-None-Match, else in If-Match, else, with `of_range`, the one in If-Range.
///
/// A client may have stored any representation that it accepts. So the one that it names is the
/// selected one (RFC 9110 §3.2), and its preconditions are evaluated for that.
pub fn named(fields: &Fields<'_>, etags: &[&[u8]], of_range: bool) -> Option<usize> {
    type Match = fn(&[u8], &[u8]) -> bool;
    const LISTS: [(&str, Match); 3] =
        [("if-none-match", weak_match), ("if-match", strong_match), ("if-range", strong_match)];
    LISTS[..if of_range { 3 } else { 2 }].iter().find_map(|(name, matches)| {
        etags.iter().position(|etag| fields.all(name).flat_map(tags).any(|tag| matches(tag, etag)))
    })
}

/// Whether the field `name`, whose only line is `line`, is `*` or has a member that matches the
/// entity-tag of `current`. If there is no representation, nothing matches.
fn any_matches(
    line: &[u8],
    fields: &Fields<'_>,
    name: &str,
    current: Option<&Validators<'_>>,
    matches: fn(&[u8], &[u8]) -> bool,
) -> bool {
    let Some(current) = current else { return false };
    // The usual list has one member, which is compared without parsing the list.
    line == b"*"
        || (matches(line, current.etag) && !line.is_empty())
        || fields.all(name).flat_map(tags).any(|tag| matches(tag, current.etag))
}

/// Whether `value` is one entity-tag and nothing else (RFC 9110 §8.8.3).
pub fn is_entity_tag(value: &[u8]) -> bool {
    split_tag(value).is_some_and(|(_, rest)| rest.is_empty())
}

/// Both are strong and equal (RFC 9110 §8.8.3.2).
pub fn strong_match(a: &[u8], b: &[u8]) -> bool {
    a == b && !a.starts_with(b"W/")
}

/// They are equal, apart from `W/` (RFC 9110 §8.8.3.2).
pub fn weak_match(a: &[u8], b: &[u8]) -> bool {
    opaque(a) == opaque(b)
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The entity-tags of a list. A malformed member is skipped up to the next comma, so that the
/// others still count.
pub(super) fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let member = trim_ows(rest);
            let tag = split_tag(member).map(|(tag, after)| (tag, trim_ows(after)));
            let (found, after) = match tag {
                Some((tag, [])) => (Some(tag), &[][..]),
                Some((tag, [b',', after @ ..])) => (Some(tag), after),
                _ => {
                    let comma = member.iter().position(|&byte| byte == b',');
                    (None, comma.map_or(&[][..], |comma| &member[comma + 1..]))
                }
            };
            rest = after;
            if found.is_some() {
                return found;
            }
        }
        None
    })
}

/// Splits `value` after its first entity-tag, `[ "W/" ] DQUOTE *etagc DQUOTE` (RFC 9110
/// §8.8.3). A tag may contain commas; there are no escapes.
fn split_tag(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let opaque = opaque(value).strip_prefix(b"\"")?;
    let length = opaque.iter().position(|&byte| byte <= b' ' || byte == b'"' || byte == 0x7f)?;
    if opaque[length] != b'"' {
        return None;
    }
    let end = value.len() - opaque.len() + length + 1;
    Some(value.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::Evaluation::*;
    use super::*;
    use crate::http::FieldLines;
    use proptest::prelude::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sunday, 06-Nov-94 08:49:38 GMT";
    const FUTURE: &str = "Sun Nov  6 08:50:38 1994";
    const CURRENT: Validators<'_> = Validators { etag: b"\"a\"", modified: Some(784_111_777) };
    const NOW: i64 = 784_111_777 + 60;

    fn with_fields<R>(lines: &[(&str, &str)], run: impl FnOnce(&Fields<'_>) -> R) -> R {
        run(&FieldLines::of(lines.iter().map(|&(name, value)| (name, value.as_bytes()))).fields())
    }

    #[test]
    fn without_a_date_of_modification_dates_are_ignored() {
        let undated = Validators { modified: None, ..CURRENT };
        for name in ["If-Modified-Since", "If-Unmodified-Since"] {
            for date in [BEFORE, MODIFIED, AFTER] {
                for safe in [true, false] {
                    let evaluation = with_fields(&[(name, date)], |fields| evaluate(safe, fields, Some(&undated), NOW));
                    assert_eq!(evaluation, Proceed, "{name}: {date}");
                }
            }
        }
        assert!(!with_fields(&[("If-Range", MODIFIED)], |fields| range_applies(fields, &undated, NOW)));
    }

    #[test]
    fn without_an_entity_tag_none_matches() {
        let untagged = Validators { etag: b"", modified: None };
        for (lines, expected) in [
            (&[("If-None-Match", "")][..], Proceed),
            (&[("If-None-Match", "\"a\""), ("If-None-Match", "\"b\"")], Proceed),
            (&[("If-None-Match", "\"\"")], Proceed),
            (&[("If-None-Match", "*")], NotModified),
            (&[("If-Match", "")], Failed),
        ] {
            let evaluation = with_fields(lines, |fields| evaluate(true, fields, Some(&untagged), NOW));
            assert_eq!(evaluation, expected, "{lines:?}");
        }
        assert!(!with_fields(&[("If-Range", "\"\"")], |fields| range_applies(fields, &untagged, NOW)));
    }

    #[test]
    fn preconditions_are_evaluated_in_order() {
        // The fields; the results for GET, for PUT, and for PUT of a missing representation.
        type Case<'a> = (&'a [(&'a str, &'a str)], [Evaluation; 3]);
        let cases: &[Case<'_>] = &[
            (&[], [Proceed, Proceed, Proceed]),
            // Single fields.
            (&[("If-Match", "\"a\"")], [Proceed, Proceed, Failed]),
            (&[("If-Match", "\"b\"")], [Failed, Failed, Failed]),
            (&[("If-Match", "W/\"a\"")], [Failed, Failed, Failed]),
            (&[("If-Match", "*")], [Proceed, Proceed, Failed]),
            (&[("If-Match", "")], [Failed, Failed, Failed]),
            (&[("If-Match", "a")], [Failed, Failed, Failed]),
            (&[("If-None-Match", "\"a\"")], [NotModified, Failed, Proceed]),
            (&[("If-None-Match", "W/\"a\"")], [NotModified, Failed, Proceed]),
            (&[("If-None-Match", "\"b\"")], [Proceed, Proceed, Proceed]),
            (&[("If-None-Match", "*")], [NotModified, Failed, Proceed]),
            (&[("If-None-Match", "")], [Proceed, Proceed, Proceed]),
            (&[("If-Modified-Since", BEFORE)], [Proceed, Proceed, Proceed]),
            (&[("If-Modified-Since", MODIFIED)], [NotModified, Proceed, Proceed]),
            (&[("If-Modified-Since", AFTER)], [NotModified, Proceed, Proceed]),
            (&[("If-Modified-Since", FUTURE)], [Proceed, Proceed, Proceed]),
            (&[("If-Modified-Since", "yesterday")], [Proceed, Proceed, Proceed]),
            (&[("If-Modified-Since", MODIFIED), ("If-Modified-Since", MODIFIED)], [Proceed, Proceed, Proceed]),
            (&[("If-Unmodified-Since", BEFORE)], [Failed, Failed, Proceed]),
            (&[("If-Unmodified-Since", MODIFIED)], [Proceed, Proceed, Proceed]),
            (&[("If-Unmodified-Since", "Wed, 31 Dec 1969 23:59:59 GMT")], [Failed, Failed, Proceed]),
            (&[("If-Unmodified-Since", "Sun, 06 Nov 1994 08:48:60 GMT")], [Failed, Failed, Proceed]),
            (&[("If-Unmodified-Since", AFTER)], [Proceed, Proceed, Proceed]),
            (&[("If-Unmodified-Since", "0")], [Proceed, Proceed, Proceed]),
            // Precedence.
            (&[("If-Match", "\"a\""), ("If-Unmodified-Since", BEFORE)], [Proceed, Proceed, Failed]),
            (&[("If-None-Match", "\"b\""), ("If-Modified-Since", MODIFIED)], [Proceed, Proceed, Proceed]),
            (&[("If-None-Match", "\"a\""), ("If-Modified-Since", BEFORE)], [NotModified, Failed, Proceed]),
            (&[("If-None-Match", "junk"), ("If-Modified-Since", MODIFIED)], [Proceed, Proceed, Proceed]),
            (&[("If-None-Match", "\"a\""), ("If-Match", "\"b\"")], [Failed, Failed, Failed]),
            (&[("If-None-Match", "\"a\""), ("If-Match", "\"a\"")], [NotModified, Failed, Failed]),
            (&[("If-Modified-Since", MODIFIED), ("If-Unmodified-Since", BEFORE)], [Failed, Failed, Proceed]),
            (&[("If-Modified-Since", MODIFIED), ("If-Unmodified-Since", MODIFIED)], [NotModified, Proceed, Proceed]),
            // Lists.
            (&[("If-Match", "\"b\", \"a\"")], [Proceed, Proceed, Failed]),
            (&[("If-Match", "\"b\""), ("if-match", "\"a\"")], [Proceed, Proceed, Failed]),
            (&[("If-None-Match", ", \"b\"\t,, W/\"a\" ,")], [NotModified, Failed, Proceed]),
            (&[("If-None-Match", "\"b,a\"")], [Proceed, Proceed, Proceed]),
            (&[("If-None-Match", "*, \"b\"")], [Proceed, Proceed, Proceed]),
            (&[("If-None-Match", "*"), ("If-None-Match", "\"b\"")], [Proceed, Proceed, Proceed]),
        ];
        for (lines, expected) in cases {
            let verdicts = with_fields(lines, |fields| {
                [(true, Some(&CURRENT)), (false, Some(&CURRENT)), (false, None)]
                    .map(|(safe, current)| evaluate(safe, fields, current, NOW))
            });
            assert_eq!(verdicts, *expected, "{lines:?}");
            let missing = with_fields(lines, |fields| evaluate(true, fields, None, NOW));
            assert_eq!(missing, expected[2], "GET of a missing representation: {lines:?}");
        }
    }

    #[test]
    fn entity_tags_are_compared_as_the_rfc_says() {
        // The table in RFC 9110 §8.8.3.2.
        for (a, b, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
        ] {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            assert_eq!((strong_match(a, b), strong_match(b, a)), (strong, strong));
            assert_eq!((weak_match(a, b), weak_match(b, a)), (weak, weak));
        }
    }

    #[test]
    fn lists_of_entity_tags_are_parsed() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            (",, ,", &[]),
            ("\"\"", &["\"\""]),
            ("\"a\"", &["\"a\""]),
            ("\"a\",W/\"b\"", &["\"a\"", "W/\"b\""]),
            ("\"a,b\" , \"c\\\"", &["\"a,b\"", "\"c\\\""]),
            ("a, \"b\"", &["\"b\""]),
            ("w/\"a\", \"b\"", &["\"b\""]),
            ("W/ \"a\", \"b\"", &["\"b\""]),
            ("\"a\"b, \"c\"", &["\"c\""]),
            ("\"a\" \"b\", \"c\"", &["\"c\""]),
            ("\"a b\", \"c\"", &["\"c\""]),
            ("\"a, \"b\"", &["\"b\""]),
            ("\"a", &[]),
            ("\"", &[]),
            ("\"\x7f\", \"\t\"", &[]),
            ("\"a\", *", &["\"a\""]),
            ("\"\u{e4}\"", &["\"\u{e4}\""]),
        ];
        for &(list, expected) in cases {
            let found: Vec<_> = tags(list.as_bytes()).map(|tag| String::from_utf8_lossy(tag).into_owned()).collect();
            assert_eq!(found, expected, "{list}");
        }
    }

    #[test]
    fn if_range_needs_a_strong_match() {
        let weak = Validators { etag: b"W/\"a\"", ..CURRENT };
        let cases: &[(&[&str], bool, bool)] = &[
            (&[], true, true),
            (&["\"a\""], true, false),
            (&["\"b\""], false, false),
            (&["W/\"a\""], false, false),
            (&["\"a\", \"a\""], false, false),
            (&["\"a\" "], false, false),
            (&["\"a\"", "\"a\""], false, false),
            (&["*"], false, false),
            (&[""], false, false),
            (&["a"], false, false),
            (&[MODIFIED], true, false),
            (&[BEFORE], false, false),
            (&[AFTER], false, false),
            (&[FUTURE], false, false),
        ];
        for (values, strong_result, weak_result) in cases {
            let lines: Vec<_> = values.iter().map(|&value| ("If-Range", value)).collect();
            let run = |current| with_fields(&lines, |fields| range_applies(fields, current, NOW));
            assert_eq!((run(&CURRENT), run(&weak)), (*strong_result, *weak_result), "{values:?}");
        }
        for (age, strong) in [(-1, false), (0, false), (1, false), (2, true)] {
            let now = 784_111_777 + age;
            let applies = with_fields(&[("If-Range", MODIFIED)], |fields| range_applies(fields, &CURRENT, now));
            assert_eq!(applies, strong, "{age} s after the change");
        }
    }

    proptest! {
        #[test]
        fn malformed_members_never_panic_nor_hide_a_tag(junk in "(\"|,| |W/|a|\\*|\t){0,16}") {
            let list = format!("{junk}\", \"found\"");
            prop_assert!(tags(junk.as_bytes()).all(|tag| tag.ends_with(b"\"")));
            prop_assert!(tags(list.as_bytes()).any(|tag| tag == b"\"found\""));
        }
    }
}
