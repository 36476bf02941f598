//! Dates in fields (RFC 9110 §5.6.7) and in logs. The time comes from the caller, in Unix
//! seconds.

/// Length of an IMF-fixdate, like `Sun, 06 Nov 1994 08:49:37 GMT`, in bytes.
pub const LENGTH: usize = 29;

/// The first second of year 0 and the last of 9999: the years with four digits.
const FIRST_SECOND: i64 = -62_167_219_200;
const LAST_SECOND: i64 = 253_402_300_799;
const DAY: i64 = 86_400;

const WEEKDAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

/// A second of the proleptic Gregorian calendar in UTC, as digits and names for all formats.
struct Civil {
    year: [u8; 4],
    /// From `01`.
    month: [u8; 2],
    month_name: &'static [u8],
    day: [u8; 2],
    /// Three letters.
    weekday: &'static [u8],
    hour: [u8; 2],
    minute: [u8; 2],
    second: [u8; 2],
}

impl Civil {
    /// Clamps to the years 0 to 9999, so that a year has four digits.
    fn new(unix_seconds: i64) -> Self {
        let seconds = unix_seconds.clamp(FIRST_SECOND, LAST_SECOND);
        let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        // After H. Hinnant, "chrono-compatible low-level date algorithms": years begin in
        // March, so that the leap day comes last, in eras of 400 years.
        let shifted = days + 719_468;
        let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year + i64::from(month <= 2);

        let [year_high, year_low] = [two_digits(year / 100), two_digits(year % 100)];
        let name = 3 * (month as usize - 1);
        Self {
            year: [year_high[0], year_high[1], year_low[0], year_low[1]],
            month: two_digits(month),
            month_name: &MONTHS[name..name + 3],
            day: two_digits(day),
            weekday: &WEEKDAYS[days.rem_euclid(7) as usize].as_bytes()[..3],
            hour: two_digits(second / 3600),
            minute: two_digits(second / 60 % 60),
            second: two_digits(second % 60),
        }
    }
}

fn two_digits(number: i64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

/// Writes an IMF-fixdate, for Date and Last-Modified (RFC 9110 §5.6.7). Times before 1970 or
/// after 9999 are clamped.
pub fn write(unix_seconds: i64, out: &mut [u8; LENGTH]) {
    let date = Civil::new(unix_seconds.max(0));
    *out = *b"Sun, 06 Nov 1994 08:49:37 GMT";
    out[..3].copy_from_slice(date.weekday);
    out[5..7].copy_from_slice(&date.day);
    out[8..11].copy_from_slice(date.month_name);
    out[12..16].copy_from_slice(&date.year);
    out[17..19].copy_from_slice(&date.hour);
    out[20..22].copy_from_slice(&date.minute);
    out[23..25].copy_from_slice(&date.second);
}

/// Appends a time in the format of RFC 3339, like `1994-11-06T08:49:37Z`. Times before year 0
/// or after 9999 are clamped.
pub fn write_rfc3339(unix_seconds: i64, out: &mut Vec<u8>) {
    let date = Civil::new(unix_seconds);
    for (part, mark) in [
        (&date.year[..], b'-'),
        (&date.month, b'-'),
        (&date.day, b'T'),
        (&date.hour, b':'),
        (&date.minute, b':'),
        (&date.second, b'Z'),
    ] {
        out.extend_from_slice(part);
        out.push(mark);
    }
}

/// Appends a time in the Common Log Format, like `[06/Nov/1994:08:49:37 +0000]`.
pub fn write_clf(unix_seconds: i64, out: &mut Vec<u8>) {
    let date = Civil::new(unix_seconds);
    out.push(b'[');
    for (part, mark) in [
        (&date.day[..], b'/'),
        (date.month_name, b'/'),
        (&date.year, b':'),
        (&date.hour, b':'),
        (&date.minute, b':'),
        (&date.second, b' '),
    ] {
        out.extend_from_slice(part);
        out.push(mark);
    }
    out.extend_from_slice(b"+0000]");
}

/// The Unix seconds of a date in one of the three formats: IMF-fixdate, RFC 850 or asctime (RFC
/// 9110 §5.6.7). `None` for anything else and for a wrong day of the week. The second may be
/// 60, a leap second.
///
/// `now` determines the century of an RFC 850 date: its year is at most 50 years ahead. Only
/// years are compared.
pub fn parse(value: &[u8], now: i64) -> Option<i64> {
    let parts = parts(value, now)?;
    let (days, seconds) = time_of(&parts)?;
    (parts.weekday as i64 == days.rem_euclid(7)).then_some(seconds)
}

/// As [`parse`], for a cache, which is not to care about upper and lower case (RFC 9111 §4.2). Nor
/// does the day of the week matter: the date says it better.
pub fn parse_leniently(value: &[u8], now: i64) -> Option<i64> {
    parse(value, now).or_else(|| {
        let mut usual = value.to_ascii_lowercase();
        // Names begin in upper case, and the zone and asctime's letters are all that is left.
        let mut is_first = true;
        for byte in &mut usual {
            if is_first {
                byte.make_ascii_uppercase();
            }
            is_first = !byte.is_ascii_alphabetic();
        }
        if usual.ends_with(b" Gmt") {
            let zone = usual.len() - 3;
            usual[zone..].make_ascii_uppercase();
        }
        time_of(&parts(&usual, now)?).map(|(_, seconds)| seconds)
    })
}

/// The parts of a date in one of the three formats.
fn parts(value: &[u8], now: i64) -> Option<Parts<'_>> {
    fixdate(value).or_else(|| asctime(value)).or_else(|| rfc850(value, now))
}

/// The days since 1970 and the Unix seconds of a date; none if it doesn't exist.
fn time_of(parts: &Parts<'_>) -> Option<(i64, i64)> {
    let &Parts { day, month, year, time, .. } = parts;
    let month = MONTHS.chunks(3).position(|name| name == month)? as i64 + 1;
    let days = days_to(year, month, day);
    // A date that doesn't exist, like 30 Feb, is written otherwise.
    let exists = Civil::new(days * DAY).day == two_digits(day);
    let &[h0, h1, b':', m0, m1, b':', s0, s1] = time else { return None };
    let (hour, minute, second) = (number(&[h0, h1])?, number(&[m0, m1])?, number(&[s0, s1])?);
    let valid = exists && hour < 24 && minute < 60 && second <= 60;
    valid.then_some((days, days * DAY + hour * 3600 + minute * 60 + second))
}

/// The parts of a date.
struct Parts<'a> {
    /// An index of [`WEEKDAYS`].
    weekday: usize,
    day: i64,
    month: &'a [u8],
    year: i64,
    /// `HH:MM:SS`
    time: &'a [u8],
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn fixdate(value: &[u8]) -> Option<Parts<'_>> {
    let (name, rest) = value.split_at_checked(3)?;
    let [b',', b' ', d0, d1, b' ', rest @ .., b' ', b'G', b'M', b'T'] = rest else { return None };
    let (month, rest) = rest.split_at_checked(3)?;
    let [b' ', y0, y1, y2, y3, b' ', time @ ..] = rest else { return None };
    let weekday = WEEKDAYS.iter().position(|weekday| weekday.as_bytes()[..3] == *name)?;
    Some(Parts { weekday, day: number(&[*d0, *d1])?, month, year: number(&[*y0, *y1, *y2, *y3])?, time })
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<Parts<'_>> {
    let (name, rest) = value.split_at_checked(3)?;
    let (month, rest) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
    let [b' ', d0, d1, b' ', time @ .., b' ', y0, y1, y2, y3] = rest else { return None };
    let weekday = WEEKDAYS.iter().position(|weekday| weekday.as_bytes()[..3] == *name)?;
    let day = if *d0 == b' ' { number(&[*d1])? } else { number(&[*d0, *d1])? };
    Some(Parts { weekday, day, month, year: number(&[*y0, *y1, *y2, *y3])?, time })
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(value: &[u8], now: i64) -> Option<Parts<'_>> {
    let weekday = WEEKDAYS.iter().position(|weekday| value.starts_with(weekday.as_bytes()))?;
    let rest = &value[WEEKDAYS[weekday].len()..];
    let [b',', b' ', d0, d1, b'-', rest @ .., b' ', b'G', b'M', b'T'] = rest else { return None };
    let (month, rest) = rest.split_at_checked(3)?;
    let [b'-', y0, y1, b' ', time @ ..] = rest else { return None };
    let this_year = number(&Civil::new(now.max(0)).year)?;
    // The latest year with these digits that is at most 50 years ahead.
    let limit = this_year + 50;
    let year = limit - (limit - number(&[*y0, *y1])?).rem_euclid(100);
    Some(Parts { weekday, day: number(&[*d0, *d1])?, month, year, time })
}

/// A number of digits only.
fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| Some(10 * number + i64::from(char::from(*digit).to_digit(10)?)))
}

/// The days from 1970-01-01 to a date (after H. Hinnant, as above).
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let month = if month > 2 { month - 3 } else { month + 9 };
    let day = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year * 365 + year / 4 - year / 100 + day - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    /// 1994-11-06T08:49:37Z, the example of the RFC.
    const EXAMPLE: i64 = 784_111_777;
    /// 2026-11-21T07:15:00Z
    const NOW: i64 = 1_795_245_300;

    fn written(unix_seconds: i64) -> String {
        let mut out = [0; LENGTH];
        write(unix_seconds, &mut out);
        String::from_utf8(out.to_vec()).expect("dates are ASCII")
    }

    #[test]
    fn all_formats_are_written() {
        assert_eq!(written(EXAMPLE), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(written(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(written(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(written(LAST_SECOND), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(written(i64::MIN), written(0));
        assert_eq!(written(i64::MAX), written(LAST_SECOND));
        let mut out = Vec::new();
        write_rfc3339(NOW, &mut out);
        write_clf(NOW, &mut out);
        write_clf(i64::MAX, &mut out);
        assert_eq!(
            String::from_utf8(out).as_deref(),
            Ok("2026-11-21T07:15:00Z[21/Nov/2026:07:15:00 +0000][31/Dec/9999:23:59:59 +0000]")
        );
    }

    #[test]
    fn every_day_is_written_as_httpdate_does() {
        for seconds in (0..=LAST_SECOND).step_by(DAY as usize * 30 + 12_345) {
            let theirs = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds as u64));
            assert_eq!(written(seconds), theirs);
        }
    }

    #[test]
    fn all_three_formats_are_parsed() {
        let cases: &[(&str, Option<i64>)] = &[
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(EXAMPLE)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(EXAMPLE)),
            ("Sun Nov  6 08:49:37 1994", Some(EXAMPLE)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", Some(-1)),
            ("Sat, 01 Jan 0000 00:00:00 GMT", Some(FIRST_SECOND)),
            ("Sat, 31 Dec 2016 23:59:60 GMT", Some(1_483_228_800)),
            ("Sat, 31 Dec 2016 23:59:61 GMT", None),
            ("Sat, 31 Dec 2016 23:60:00 GMT", None),
            ("Sun Nov 06 08:49:37 1994", Some(EXAMPLE)),
            ("Sun Nov 6 08:49:37 1994", None),
            ("Sun, 00 Nov 1994 08:49:37 GMT", None),
            ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
            ("Thu, 29 Feb 1900 00:00:00 GMT", None),
            ("sun, 06 nov 1994 08:49:37 gmt", None),
            ("Mon, 06 Nov 1994 08:49:37 GMT", None),
            ("Monday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 6 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 24:00:00 GMT", None),
            ("Wed, 30 Feb 1994 08:49:37 GMT", None),
            ("Sunday, 06-Nov-9x 08:49:37 GMT", None),
            ("Sunday, 06-Nov-1994 08:49:37 GMT", None),
            ("Sunday, 06-Nov-94", None),
            ("Sunday, ", None),
            ("Sunday", None),
            ("Sunday, xx-yyy-94 aa:bb:cc GMT", None),
            ("1994-11-06T08:49:37Z", None),
            ("0", None),
            ("", None),
            ("Sun, 06 N\u{f6}v 1994 08:49:37 GMT", None),
        ];
        for &(value, expected) in cases {
            assert_eq!(parse(value.as_bytes(), NOW), expected, "{value}");
        }
        assert_eq!(parse(b"\xff", NOW), None);
    }

    #[test]
    fn a_cache_cares_neither_about_case_nor_about_the_day_of_the_week() {
        for (value, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(EXAMPLE)),
            ("sun, 06 nov 1994 08:49:37 gmt", Some(EXAMPLE)),
            ("SUNDAY, 06-NOV-94 08:49:37 Gmt", Some(EXAMPLE)),
            ("Mon Nov  6 08:49:37 1994", Some(EXAMPLE)),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 31 Feb 1994 08:49:37 GMT", None),
            ("Son, 06 Nov 1994 08:49:37 GMT", None),
            ("0", None),
            ("", None),
        ] {
            assert_eq!(parse_leniently(value.as_bytes(), NOW), expected, "{value}");
        }
    }

    #[test]
    fn a_two_digit_year_is_at_most_fifty_years_ahead() {
        // The day of the week reveals the century, so each date is valid in one century only.
        let year_2070 = 3_155_760_000;
        for (value, now, expected) in [
            ("Saturday, 21-Nov-26 07:15:00 GMT", NOW, "2026-11-21T07:15:00Z"),
            ("Saturday, 21-Nov-76 07:15:00 GMT", NOW, "2076-11-21T07:15:00Z"),
            ("Monday, 21-Nov-77 07:15:00 GMT", NOW, "1977-11-21T07:15:00Z"),
            ("Friday, 01-Jan-99 00:00:00 GMT", NOW, "1999-01-01T00:00:00Z"),
            ("Thursday, 01-Jan-99 00:00:00 GMT", year_2070, "2099-01-01T00:00:00Z"),
            ("Friday, 01-Jan-10 00:00:00 GMT", NOW, "2010-01-01T00:00:00Z"),
            ("Wednesday, 01-Jan-10 00:00:00 GMT", year_2070, "2110-01-01T00:00:00Z"),
        ] {
            let mut out = Vec::new();
            let seconds = parse(value.as_bytes(), now).unwrap_or_else(|| panic!("{value} is a date"));
            write_rfc3339(seconds, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{value}");
        }
        for now in [i64::MIN, 0, i64::MAX] {
            let _ = parse(b"Sunday, 06-Nov-94 08:49:37 GMT", now);
        }
    }

    proptest! {
        #[test]
        fn round_trips(seconds in 0..=LAST_SECOND, now: i64) {
            prop_assert_eq!(parse(written(seconds).as_bytes(), now), Some(seconds));
        }

        #[test]
        fn all_that_httpdate_parses_is_parsed_alike(seconds in 0..=LAST_SECOND, at in 0usize..29, byte in b' '..b'~') {
            let mut value = written(seconds).into_bytes();
            value[at] = byte;
            let text = std::str::from_utf8(&value).expect("dates are ASCII");
            let theirs = httpdate::parse_http_date(text).ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            if let Some(theirs) = theirs {
                prop_assert_eq!(parse(&value, NOW), Some(theirs.as_secs() as i64), "{}", text);
            }
        }

        #[test]
        fn never_panics(value in "((Sun|Sunday|Monday),? ?)?([0-9]{2}|[- :]|Nov| GMT|\u{e4}){0,14}", now: i64) {
            let _ = parse(value.as_bytes(), now);
        }
    }
}
