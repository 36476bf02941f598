//! Numbers in queries.

use std::ops::RangeInclusive;

/// A number in `range`, of digits only; `str::parse` accepts a sign as well.
pub(super) fn parse(text: &str, range: RangeInclusive<u64>) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && range.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_and_only_in_range() {
        for (text, number) in [("1", Some(1)), ("007", Some(7)), ("10", Some(10)), ("0", None), ("11", None)] {
            assert_eq!(parse(text, 1..=10), number, "{text}");
        }
        for text in ["", "+1", "-1", "1.0", " 1", "1 ", "0x1", "\u{661}", "18446744073709551617"] {
            assert_eq!(parse(text, 0..=u64::MAX), None, "{text}");
        }
    }
}
