//! Short texts: numbers, durations and addresses, without the cost of formatting.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use crate::http::response::write_decimal;

/// A short text of fixed capacity. Only text of limited length goes here, none from the
/// network, so it can't be too long.
pub(super) struct Text<const ROOM: usize> {
    room: [u8; ROOM],
    end: usize,
}

// Inlined, so that its end is in a register.
impl<const ROOM: usize> Text<ROOM> {
    pub(super) fn new() -> Self {
        Self { room: [0; ROOM], end: 0 }
    }

    pub(super) fn get(&self) -> &[u8] {
        &self.room[..self.end]
    }

    #[inline(always)]
    pub(super) fn push(&mut self, text: &[u8]) {
        self.room[self.end..][..text.len()].copy_from_slice(text);
        self.end += text.len();
    }

    #[inline(always)]
    pub(super) fn push_number(&mut self, number: u64) {
        let small = number as u32 as usize;
        let pair = |number: usize| PAIRS[number % 100];
        match number {
            0..10 => self.push(&[b'0' + small as u8]),
            10..100 => self.push(&pair(small)),
            100..1_000 => {
                let [c, d] = pair(small);
                self.push(&[b'0' + (small / 100) as u8, c, d]);
            }
            1_000..10_000 => {
                let ([a, b], [c, d]) = (pair(small / 100), pair(small));
                self.push(&[a, b, c, d]);
            }
            10_000..100_000 => {
                let ([a, b], [c, d]) = (pair(small / 100), pair(small));
                self.push(&[b'0' + (small / 10_000) as u8, a, b, c, d]);
            }
            _ => self.push(itoa::Buffer::new().format(number).as_bytes()),
        }
    }

    /// Seconds with six decimals.
    #[inline(always)]
    pub(super) fn push_seconds(&mut self, duration: Duration) {
        if duration.is_zero() {
            // Most durations are zero.
            self.push(b"0.000000");
            return;
        }
        self.push_number(duration.as_secs());
        self.push_fraction(duration.subsec_micros());
    }

    /// A point, and the six decimals of a number of microseconds below a second.
    #[inline(always)]
    pub(super) fn push_fraction(&mut self, micros: u32) {
        self.push(b".");
        for place in [10_000, 100, 1] {
            self.push(&PAIRS[(micros / place % 100) as usize]);
        }
    }
}

/// The numbers below 100 in two digits.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + number as u8 / 10, b'0' + number as u8 % 10];
        number += 1;
    }
    pairs
};

/// Appends an IP address.
pub(super) fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(v4) => {
            for (at, byte) in v4.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                write_decimal(out, u64::from(byte));
            }
        }
        // This is rare. Writing to a vector can't fail.
        IpAddr::V6(v6) => drop(write!(out, "{v6}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_addresses() {
        let text = |push: &dyn Fn(&mut Text<64>)| {
            let mut text = Text::new();
            push(&mut text);
            String::from_utf8(text.get().to_vec()).unwrap()
        };
        for number in (0..=10_001).chain([65_535, 99_999, 100_000, 1 << 32, u64::MAX]) {
            assert_eq!(text(&|out| out.push_number(number)), number.to_string());
        }
        for (micros, expected) in
            [(0, "0.000000"), (12, "0.000012"), (61_000_001, "61.000001"), (1_234_567, "1.234567")]
        {
            assert_eq!(text(&|out| out.push_seconds(Duration::from_micros(micros))), expected);
        }
        for address in ["0.0.0.0", "192.0.2.255", "2001:db8::1"] {
            let mut out = Vec::new();
            push_ip(&mut out, address.parse().unwrap());
            assert_eq!(out, address.as_bytes());
        }
    }
}
