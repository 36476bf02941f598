//! Sizes as people read them.
//!
//! Lists, pages and progress show a size at a glance, and all in this form. Where a reader compares a figure
//! with another one, it stays exact: limits, transcripts, captures, and everything that is for programs.

/// Each is 1,024 of the one before it; the first is 1,024 bytes.
const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A number of bytes in the largest unit in which it is at least 1: `1023 B`, `1.5 KiB`, `16.0 EiB`.
///
/// Beyond bytes it has one decimal, rounded to the nearest, halves up.
pub fn shown(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // In 128 bits there is no overflow.
    let tenths = |shift: usize| (u128::from(bytes) * 10 + (1 << (shift - 1))) >> shift;
    let mut at = 0;
    // On the rounded value, or 1,048,575 would be "1024.0 KiB".
    while tenths(10 * (at + 1)) >= 10_240 && at + 1 < UNITS.len() {
        at += 1;
    }
    let tenths = tenths(10 * (at + 1));
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_into_their_unit() {
        for (size, expected) in [
            (0, "0 B"),
            (1, "1 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_075, "1.0 KiB"),
            (1_076, "1.1 KiB"),
            (1_536, "1.5 KiB"),
            (1_048_524, "1023.9 KiB"),
            (1_048_525, "1.0 MiB"),
            (1_048_575, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (1 << 40, "1.0 TiB"),
            (3 << 49, "1.5 PiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(shown(size), expected, "{size}");
        }
    }
}
