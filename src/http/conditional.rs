//! Conditional requests (RFC 9110 §13) and their validators (§8.8).

use super::fields::is_named;
use super::{Fields, date, grammar::trim_ows};

/// The validators of the representation that would be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Validators<'a> {
    /// The entity-tag as in the ETag field: with its quotes, and `W/` if it is weak.
    pub etag: &'a [u8],
    /// When it was last modified, in Unix seconds.
    pub modified: i64,
}

/// What the preconditions of a request say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Serve the request as if there were none.
    Proceed,
    /// 304: the client has it already.
    NotModified,
    /// 412: not what the client believes it to be.
    Failed,
}

/// Evaluates the preconditions in `fields` in the order of RFC 9110 §13.2.2, save
/// for If-Range, which is [`range_applies`].
///
/// `safe_method` says that the method is GET or HEAD; `current` is `None` where no
/// representation exists; `now` is in Unix seconds. Dates that can't be read and
/// dates on several lines are ignored (§13.1.3, §13.1.4), and so is an
/// If-Modified-Since in the future, which no answer of ours can have given.
pub fn evaluate(safe_method: bool, fields: &Fields<'_>, current: Option<&Validators<'_>>, now: i64) -> Verdict {
    // Found in one pass. Of a field on several lines the value here is empty, which says
    // as little; those that are lists are looked for again then.
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
    let read = |line: Option<&[u8]>| line.and_then(|value| date::parse(value, now));

    if let Some(line) = if_match {
        if !any_matches(line, fields, "if-match", current, strong_match) {
            return Verdict::Failed;
        }
    } else if let (Some(current), Some(date)) = (current, read(if_unmodified_since))
        && current.modified > date
    {
        return Verdict::Failed;
    }
    if let Some(line) = if_none_match {
        if any_matches(line, fields, "if-none-match", current, weak_match) {
            return if safe_method { Verdict::NotModified } else { Verdict::Failed };
        }
    } else if safe_method
        && let (Some(current), Some(date)) = (current, read(if_modified_since))
        && current.modified <= date
        && date <= now
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a Range field may be obeyed: If-Range names exactly the `current`
/// representation, or there is none (RFC 9110 §13.1.5).
///
/// Parts of different files must never be put together, so the comparison is
/// strong. A date matches only exactly, and only if the last modification is at
/// least two seconds past: the second in which the file could have changed again
/// without its date showing it is then surely over (§8.8.2.2). Where the caller
/// makes the entity-tag weak, the date isn't trusted further than that.
pub fn range_applies(fields: &Fields<'_>, current: &Validators<'_>, now: i64) -> bool {
    let mut lines = fields.all("if-range");
    match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(value), None) if value.starts_with(b"\"") || value.starts_with(b"W/") => {
            split_tag(value).is_some_and(|(tag, rest)| rest.is_empty() && strong_match(tag, current.etag))
        }
        (Some(value), None) => {
            let is_strong = now.saturating_sub(current.modified) >= 2 && !current.etag.starts_with(b"W/");
            is_strong && date::parse(value, now) == Some(current.modified)
        }
        (Some(_), Some(_)) => false,
    }
}

/// Whether the field `name`, whose only line is `line`, is `*` or has a member that
/// matches the entity-tag of `current`. Nothing matches what doesn't exist.
fn any_matches(
    line: &[u8],
    fields: &Fields<'_>,
    name: &str,
    current: Option<&Validators<'_>>,
    matches: fn(&[u8], &[u8]) -> bool,
) -> bool {
    let Some(current) = current else { return false };
    // The usual case is a list of one, which is seen without taking it apart.
    line == b"*" || matches(line, current.etag) || fields.all(name).flat_map(tags).any(|tag| matches(tag, current.etag))
}

/// Both strong and the same (RFC 9110 §8.8.3.2).
fn strong_match(a: &[u8], b: &[u8]) -> bool {
    a == b && !a.starts_with(b"W/")
}

/// The same but for `W/` (RFC 9110 §8.8.3.2).
fn weak_match(a: &[u8], b: &[u8]) -> bool {
    opaque(a) == opaque(b)
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The entity-tags of a list. What isn't one is skipped up to the next comma, so
/// that it doesn't cost the others.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let member = trim_ows(rest);
            let tag = split_tag(member).map(|(tag, behind)| (tag, trim_ows(behind)));
            let (found, behind) = match tag {
                Some((tag, [])) => (Some(tag), &[][..]),
                Some((tag, [b',', behind @ ..])) => (Some(tag), behind),
                _ => {
                    let comma = member.iter().position(|&byte| byte == b',');
                    (None, comma.map_or(&[][..], |comma| &member[comma + 1..]))
                }
            };
            rest = behind;
            if found.is_some() {
                return found;
            }
        }
        None
    })
}

/// `value` cut behind the entity-tag, `[ "W/" ] DQUOTE *etagc DQUOTE`, that it
/// begins with (RFC 9110 §8.8.3). Commas may be part of it; there are no escapes.
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
    use super::Verdict::*;
    use super::*;
    use crate::http::Lines;
    use proptest::prelude::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sunday, 06-Nov-94 08:49:38 GMT";
    const FUTURE: &str = "Sun Nov  6 08:50:38 1994";
    const CURRENT: Validators<'_> = Validators { etag: b"\"a\"", modified: 784_111_777 };
    const NOW: i64 = CURRENT.modified + 60;

    fn with_fields<R>(lines: &[(&str, &str)], run: impl FnOnce(&Fields<'_>) -> R) -> R {
        run(&Lines::of(lines.iter().map(|&(name, value)| (name, value.as_bytes()))).fields())
    }

    #[test]
    fn preconditions() {
        // The fields; the verdicts for GET, for PUT, and for PUT of what isn't there.
        type Case<'a> = (&'a [(&'a str, &'a str)], [Verdict; 3]);
        let cases: &[Case<'_>] = &[
            (&[], [Proceed, Proceed, Proceed]),
            // Each alone.
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
            (&[("If-Unmodified-Since", AFTER)], [Proceed, Proceed, Proceed]),
            (&[("If-Unmodified-Since", "0")], [Proceed, Proceed, Proceed]),
            // Who overrules whom.
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
            assert_eq!(missing, expected[2], "GET of what isn't there: {lines:?}");
        }
    }

    #[test]
    fn comparisons() {
        // RFC 9110 §8.8.3.2, its table.
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
    fn lists_of_tags() {
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
    fn if_range() {
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
            let now = CURRENT.modified + age;
            let applies = with_fields(&[("If-Range", MODIFIED)], |fields| range_applies(fields, &CURRENT, now));
            assert_eq!(applies, strong, "{age} s after the change");
        }
    }

    proptest! {
        #[test]
        fn junk_never_panics_nor_hides_a_tag(junk in "(\"|,| |W/|a|\\*|\t){0,16}") {
            let list = format!("{junk}\", \"found\"");
            prop_assert!(tags(junk.as_bytes()).all(|tag| tag.ends_with(b"\"")));
            prop_assert!(tags(list.as_bytes()).any(|tag| tag == b"\"found\""));
        }
    }
}
