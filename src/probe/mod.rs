//! The datagrams of `miod ping` and `miod heartbeat`: `WORD SEQUENCE TIME`.
//!
//! The sequence counts from 1. The time is in Unix seconds with a fraction. More content
//! may follow after a space.

pub mod rtt_stats;

use crate::reactor::Time;

/// The word of a ping.
pub const PING: &str = "Ping";
/// The word of a heartbeat.
pub const HEARTBEAT: &str = "Heartbeat";

/// The content of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// The number of the datagram, from 1.
    pub sequence: u64,
    /// When it was sent, by the sender's clock, in microseconds since 1970.
    pub micros: i64,
}

/// The time in microseconds since 1970.
pub fn micros(time: Time) -> i64 {
    time.unix_seconds.saturating_mul(1_000_000).saturating_add(i64::from(time.unix_micros))
}

impl Probe {
    /// A probe that is sent now.
    pub fn now(sequence: u64, time: Time) -> Self {
        Self { sequence, micros: micros(time) }
    }

    /// The datagram.
    pub fn write(self, word: &str) -> String {
        let Self { sequence, micros } = self;
        format!("{word} {sequence} {}.{:06}", micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000))
    }

    /// Parses a datagram. A service may have changed the case of its letters. `None` if it
    /// isn't a probe.
    pub fn parse(word: &str, datagram: &[u8]) -> Option<Self> {
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
        // Digits after the microseconds are dropped.
        let micros = fraction.iter().chain(b"000000").take(6).fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        let seconds = i64::try_from(number(seconds)?).ok()?;
        Some(Self { sequence, micros: seconds.checked_mul(1_000_000)?.checked_add(micros)? })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    // `parse` would accept a sign.
    digits.first().filter(|digit| digit.is_ascii_digit())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_probe_is_parsed_back() {
        let time = Time { unix_seconds: 1_800_000_000, unix_micros: 42, ..Time::default() };
        let probe = Probe::now(7, time);
        assert_eq!(probe.write("Ping"), "Ping 7 1800000000.000042");
        for text in ["Ping 7 1800000000.000042", "PING 7 1800000000.0000429 xxx", "ping 7 1800000000.000042\n"] {
            assert_eq!(Probe::parse("Ping", text.as_bytes()), Some(probe), "{text}");
        }
        assert_eq!(Probe::parse("x", b"x 1 5").unwrap().micros, 5_000_000);
        assert_eq!(Probe::parse("x", b"x 1 5.25").unwrap().micros, 5_250_000);
    }

    #[test]
    fn malformed_datagrams_are_not_probes() {
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
            assert_eq!(Probe::parse("Ping", text), None, "{}", String::from_utf8_lossy(text));
        }
    }
}
