//! Byte ranges (RFC 9110 §14).
//!
//! A server may ignore a Range field (§14.2). If it is malformed, or costs more than it
//! saves, it is ignored and the whole representation is sent. The ranges that are sent never
//! overlap, so a response is never larger than the file and the heads of its parts.
//!
//! Nothing of an empty representation can be a part. A suffix of it is satisfiable all the same
//! (§14.1.2), but no Content-Range can describe it. So every range of it is ignored: the client
//! gets all that there is, with 200, which is what other servers do.

use std::ops::Range;

use crate::limits;

/// If the gap between two ranges is smaller than the head of a part, they are sent as one: that
/// is shorter (RFC 9110 §15.3.7.2).
const PART_OVERHEAD: u64 = 80;

/// Most ranges of one field that are parsed. Many small ones may coalesce into a few parts, but
/// a client that sends more than this doesn't want the file.
const SPECS: usize = 8 * limits::RANGE_PARTS;

/// What a Range field asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ranges {
    /// The field is ignored: send the whole representation.
    Ignored,
    /// Well-formed, but no range contains a byte of the representation, which isn't empty: 416.
    Unsatisfiable,
    /// One range, never empty.
    One(Range<u64>),
    /// Two to [`limits::RANGE_PARTS`] ranges; none is empty, and no two overlap.
    Several(Vec<Range<u64>>),
}

/// Parses the Range field `field` for a representation of `size` bytes.
///
/// Unsatisfiable ranges among others are dropped. Ranges that overlap or are close become one,
/// at the position of the first of them. The other ranges stay in their order: a client may
/// want the end of a file first. Positions beyond 64 bits are clamped. White space around a
/// range is accepted, although the grammar forbids it after the `=`.
pub fn parse(field: &[u8], size: u64) -> Ranges {
    let Some((unit, mut rest)) = field.split_at_checked(b"bytes=".len()) else { return Ranges::Ignored };
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return Ranges::Ignored;
    }
    // The usual single range needs no vector and so no allocation.
    let mut first = None;
    let mut more = Vec::new();
    let mut specs = 0;
    loop {
        // Empty list members are ignored (RFC 9110 §5.6.1.2).
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        if rest.is_empty() {
            break;
        }
        specs += 1;
        if specs > SPECS {
            return Ranges::Ignored;
        }
        match take_spec(&mut rest, size) {
            None => return Ranges::Ignored,
            Some(range) if range.is_empty() => {}
            Some(range) if first.is_none() => first = Some(range),
            Some(range) => more.push(range),
        }
        while let [b' ' | b'\t', after @ ..] = rest {
            rest = after;
        }
        if !matches!(rest, [] | [b',', ..]) {
            return Ranges::Ignored;
        }
    }
    match first {
        None if specs == 0 || size == 0 => Ranges::Ignored,
        None => Ranges::Unsatisfiable,
        Some(range) if more.is_empty() => Ranges::One(range),
        Some(range) => {
            more.insert(0, range);
            coalesce(more)
        }
    }
}

/// Consumes one `range-spec`. Returns its bytes; an empty range if it can't be satisfied (RFC
/// 9110 §14.1.2); `None` if it is malformed.
fn take_spec(rest: &mut &[u8], size: u64) -> Option<Range<u64>> {
    let first = take_position(rest);
    let [b'-', after @ ..] = *rest else { return None };
    *rest = after;
    match (first, take_position(rest)) {
        (None, None) => None,
        (None, Some(suffix)) => Some(size.saturating_sub(suffix)..size),
        (Some(first), None) => Some(first..size),
        (Some(first), Some(last)) => (first <= last).then(|| first..last.saturating_add(1).min(size)),
    }
}

/// Consumes `*DIGIT`; `None` if there is no digit. Larger numbers are clamped.
fn take_position(rest: &mut &[u8]) -> Option<u64> {
    let mut left = *rest;
    let mut position = 0u64;
    while let [digit @ b'0'..=b'9', after @ ..] = left {
        position = position.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
        left = after;
    }
    let found = left.len() < rest.len();
    *rest = left;
    found.then_some(position)
}

/// Joins ranges that overlap or are close, in O(n log n).
fn coalesce(ranges: Vec<Range<u64>>) -> Ranges {
    let mut ranges: Vec<(usize, Range<u64>)> = ranges.into_iter().enumerate().collect();
    ranges.sort_unstable_by_key(|(_, range)| range.start);
    ranges.dedup_by(|(place, range), (first_place, first)| {
        let near = range.start < first.end.saturating_add(PART_OVERHEAD);
        if near {
            first.end = first.end.max(range.end);
            *first_place = (*first_place).min(*place);
        }
        near
    });
    if let [(_, range)] = &ranges[..] {
        return Ranges::One(range.clone());
    }
    if ranges.len() > limits::RANGE_PARTS {
        return Ranges::Ignored;
    }
    ranges.sort_unstable_by_key(|&(place, _)| place);
    Ranges::Several(ranges.into_iter().map(|(_, range)| range).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::Ranges::*;
    use super::*;
    use proptest::prelude::*;

    const HUGE: &str = "99999999999999999999999999";

    #[test]
    #[expect(clippy::too_many_lines, reason = "most of it is a table")]
    fn all_forms_are_parsed() {
        let several = |ranges: &[Range<u64>]| Several(ranges.to_vec());
        let cases: &[(&str, u64, Ranges)] = &[
            // First and last position.
            ("bytes=0-0", 10, One(0..1)),
            ("bytes=0-9", 10, One(0..10)),
            ("bytes=0-10", 10, One(0..10)),
            ("bytes=9-9", 10, One(9..10)),
            ("bytes=10-10", 10, Unsatisfiable),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=9-", 10, One(9..10)),
            ("bytes=0-", 10, One(0..10)),
            ("bytes=5-4", 10, Ignored),
            ("bytes=15-14", 10, Ignored),
            ("bytes=007-08", 10, One(7..9)),
            (&format!("bytes=3-{HUGE}"), 10, One(3..10)),
            (&format!("bytes={HUGE}-"), 10, Unsatisfiable),
            (&format!("bytes={HUGE}-{HUGE}"), u64::MAX, Unsatisfiable),
            ("bytes=0-18446744073709551615", u64::MAX, One(0..u64::MAX)),
            // Suffixes.
            ("bytes=-1", 10, One(9..10)),
            ("bytes=-10", 10, One(0..10)),
            ("bytes=-11", 10, One(0..10)),
            ("bytes=-0", 10, Unsatisfiable),
            (&format!("bytes=-{HUGE}"), 10, One(0..10)),
            // Nothing of an empty representation can be a part.
            ("bytes=0-", 0, Ignored),
            ("bytes=0-0", 0, Ignored),
            ("bytes=7-9,-5", 0, Ignored),
            ("bytes=-1", 0, Ignored),
            ("bytes=-0", 0, Ignored),
            ("bytes=-5", 0, Ignored),
            // Range units.
            ("BYTES=0-0", 10, One(0..1)),
            ("lines=0-0", 10, Ignored),
            ("bytes", 10, Ignored),
            ("bytes 0-0", 10, Ignored),
            ("bytes =0-0", 10, Ignored),
            ("=0-0", 10, Ignored),
            ("", 10, Ignored),
            // One malformed range invalidates the field.
            ("bytes=", 10, Ignored),
            ("bytes=,", 10, Ignored),
            ("bytes=-", 10, Ignored),
            ("bytes=1", 10, Ignored),
            ("bytes=a-b", 10, Ignored),
            ("bytes=1-b", 10, Ignored),
            ("bytes=+1-2", 10, Ignored),
            ("bytes=1-+2", 10, Ignored),
            ("bytes=--1", 10, Ignored),
            ("bytes=1--2", 10, Ignored),
            ("bytes=1-2-3", 10, Ignored),
            ("bytes=1 - 2", 10, Ignored),
            ("bytes=0x1-2", 10, Ignored),
            ("bytes=0-0,x", 10, Ignored),
            ("bytes=0-0,5-4", 10, Ignored),
            ("bytes=0-0;1-1", 10, Ignored),
            ("bytes=0-0\x0b", 10, Ignored),
            ("bytes==0-0", 10, Ignored),
            // Lists.
            ("bytes= 0-0", 10, One(0..1)),
            ("bytes=0-0,", 10, One(0..1)),
            ("bytes=,0-0", 10, One(0..1)),
            ("bytes= ,\t,0-0 , ,", 10, One(0..1)),
            ("bytes=0-0,20-", 10, One(0..1)),
            ("bytes=20-,-0,30-40", 10, Unsatisfiable),
            ("bytes=0-0,500-500", 1000, several(&[0..1, 500..501])),
            ("bytes=0-0 ,\t500-500", 1000, several(&[0..1, 500..501])),
            ("bytes=0-9,-10", 1000, several(&[0..10, 990..1000])),
            // The order of the field.
            ("bytes=-10,0-9", 1000, several(&[990..1000, 0..10])),
            ("bytes=900-,0-9,500-509", 1000, several(&[900..1000, 0..10, 500..510])),
            // Overlapping and close ranges, at the position of the first of them.
            ("bytes=0-99,100-199", 1000, One(0..200)),
            ("bytes=100-199,0-99", 1000, One(0..200)),
            ("bytes=0-,0-,0-", 1000, One(0..1000)),
            ("bytes=0-500,100-200", 1000, One(0..501)),
            ("bytes=100-200,0-500", 1000, One(0..501)),
            ("bytes=0-9,89-99", 1000, One(0..100)),
            ("bytes=0-9,90-99", 1000, several(&[0..10, 90..100])),
            ("bytes=500-509,0-9,505-600", 1000, several(&[500..601, 0..10])),
            ("bytes=900-,0-9,5-20,895-899", 1000, several(&[895..1000, 0..21])),
            ("bytes=0-0,18446744073709551613-", u64::MAX, several(&[0..1, u64::MAX - 2..u64::MAX])),
        ];
        for (field, size, expected) in cases {
            assert_eq!(parse(field.as_bytes(), *size), *expected, "{field:?} of {size}");
        }
    }

    #[test]
    fn the_number_of_ranges_is_limited() {
        let apart = |count: u64| (0..count).map(|i| format!("{}-{},", i * 100, i * 100)).collect::<String>();
        let field = |count| format!("bytes={}", apart(count));
        let most = limits::RANGE_PARTS as u64;
        let Several(ranges) = parse(field(most).as_bytes(), 1 << 20) else { panic!("that many are allowed") };
        assert_eq!(ranges.len() as u64, most);
        assert_eq!(parse(field(most + 1).as_bytes(), 1 << 20), Ignored);

        assert_eq!(parse(format!("bytes={}", "0-,".repeat(SPECS)).as_bytes(), 10), One(0..10));
        assert_eq!(parse(format!("bytes={}", "0-,".repeat(SPECS + 1)).as_bytes(), 10), Ignored);
        assert_eq!(parse(format!("bytes={}", "20-,".repeat(SPECS + 1)).as_bytes(), 10), Ignored);
        assert_eq!(parse(format!("bytes=0-0{}", ",".repeat(30_000)).as_bytes(), 10), One(0..1));
    }

    proptest! {
        #[test]
        fn no_byte_is_sent_twice(
            specs in proptest::collection::vec((0..2000u64, proptest::option::of(0..2000u64), 0..4u8), 1..20),
            size in 0..1500u64,
        ) {
            let mut field = b"bytes=".to_vec();
            for (first, length, kind) in &specs {
                let _ = match (kind, length) {
                    (0, _) => write!(field, "-{first},"),
                    (_, None) => write!(field, "{first}-,"),
                    (_, Some(length)) => write!(field, "{first}-{},", first + length),
                };
            }
            let asked = |byte: u64| specs.iter().any(|(first, length, kind)| match (kind, length) {
                (0, _) => byte >= size.saturating_sub(*first),
                (_, None) => byte >= *first,
                (_, Some(length)) => (*first..=first + length).contains(&byte),
            });
            let ranges = match parse(&field, size) {
                Ignored => return Ok(()),
                Unsatisfiable => vec![],
                One(range) => vec![range],
                Several(ranges) => ranges,
            };
            prop_assert!(ranges.iter().all(|range| !range.is_empty() && range.end <= size));
            prop_assert!(ranges.iter().map(|range| range.end - range.start).sum::<u64>() <= size);
            for byte in 0..size {
                let parts = ranges.iter().filter(|range| range.contains(&byte)).count();
                prop_assert!(parts <= 1, "byte {} is sent twice", byte);
                prop_assert!(parts == 1 || !asked(byte), "byte {} is missing", byte);
            }
        }

        #[test]
        fn never_panics(field in "(bytes=)?([0-9]{1,22}|-|,| |=|x){0,24}", size: u64) {
            if let Several(ranges) = parse(field.as_bytes(), size) {
                prop_assert!(ranges.len() > 1 && ranges.len() <= limits::RANGE_PARTS);
            }
        }
    }
}
