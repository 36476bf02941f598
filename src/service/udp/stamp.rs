//! What probes and heartbeats say: `WORD SEQUENCE TIME`, the sequence from 1, the
//! time in Unix seconds with a fraction. More may follow, behind a space.

use crate::reactor::Time;

/// What a datagram says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    pub(super) sequence: u64,
    /// When it was sent by the sender's clock, in microseconds since 1970.
    pub(super) micros: i64,
}

/// The time in microseconds since 1970.
pub(super) fn micros(time: Time) -> i64 {
    time.unix_seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.unix_micros))
}

impl Stamp {
    /// The stamp of what is sent now.
    pub(super) fn now(sequence: u64, time: Time) -> Self {
        Self { sequence, micros: micros(time) }
    }

    /// The datagram.
    pub(super) fn write(self, word: &str) -> String {
        let Self { sequence, micros } = self;
        format!("{word} {sequence} {}.{:06}", micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000))
    }

    /// Reads a datagram; a service may have changed the case of its letters. None
    /// if it isn't one of these.
    pub(super) fn read(word: &str, datagram: &[u8]) -> Option<Self> {
        let mut parts = datagram.split(u8::is_ascii_whitespace);
        if !parts.next()?.eq_ignore_ascii_case(word.as_bytes()) {
            return None;
        }
        let sequence = number(parts.next()?)?;
        let time = parts.next()?;
        let (seconds, fraction) = match memchr::memchr(b'.', time) {
            Some(at) => (&time[..at], &time[at + 1..]),
            None => (time, &b""[..]),
        };
        if !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        // Whatever is finer than microseconds is cut off.
        let micros = fraction.iter().chain(b"000000").take(6).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        let seconds = i64::try_from(number(seconds)?).ok()?;
        Some(Self { sequence, micros: seconds.checked_mul(1_000_000)?.checked_add(micros)? })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    // No sign.
    digits.first().filter(|digit| digit.is_ascii_digit())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let time = Time { unix_seconds: 1_800_000_000, unix_micros: 42, ..Time::default() };
        let stamp = Stamp::now(7, time);
        assert_eq!(stamp.write("Ping"), "Ping 7 1800000000.000042");
        for text in ["Ping 7 1800000000.000042", "PING 7 1800000000.0000429 xxx", "ping 7 1800000000.000042\n"] {
            assert_eq!(Stamp::read("Ping", text.as_bytes()), Some(stamp), "{text}");
        }
        assert_eq!(Stamp::read("x", b"x 1 5").unwrap().micros, 5_000_000);
        assert_eq!(Stamp::read("x", b"x 1 5.25").unwrap().micros, 5_250_000);
    }

    #[test]
    fn anything_else_is_nothing() {
        for text in [
            &b""[..],
            b"Ping",
            b"Ping 7",
            b"Pong 7 1.0",
            b"Ping +7 1.0",
            b"Ping 7 -1.0",
            b"Ping 7 1.0x",
            b"Ping 7 1.-0",
            b"Ping  7 1.0",
            b"Ping 18446744073709551616 1.0",
            b"Ping 7 18446744073709551615.0",
            b"Ping 7 9223372036854775807.0",
            b"\xff 7 1.0",
            b"Ping \xff 1.0",
        ] {
            assert_eq!(Stamp::read("Ping", text), None, "{}", String::from_utf8_lossy(text));
        }
    }
}
