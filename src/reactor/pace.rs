//! How fast a transfer moves, and when it is too slow.
//!
//! A total time-out would cut long downloads, a time-out on progress alone lets
//! an adversary hold a connection with one byte now and then. So two rules: no
//! byte at all for the time-out is the end; and whenever bytes do move, after
//! the first [`limits::RATE_GRACE`] of a measuring window they must have moved
//! at [`limits::MIN_RATE`] at least. Windows are as long as the time-out, so a
//! quick start doesn't buy an endless trickle.

use std::time::Duration;

use super::Tick;
use crate::limits;

/// The progress of one transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    window: Tick,
    moved: u64,
    last: Tick,
    too_slow: bool,
}

impl Pace {
    /// A transfer that begins `now`.
    pub fn start(now: Tick) -> Self {
        Self { window: now, moved: 0, last: now, too_slow: false }
    }

    /// Notes that `bytes` (more than none) moved `now`.
    pub fn moved(&mut self, now: Tick, bytes: u64, timeout: Duration) {
        self.moved = self.moved.saturating_add(bytes);
        self.last = now;
        let elapsed = now.since(self.window);
        if elapsed > limits::RATE_GRACE {
            let expected = u128::from(limits::MIN_RATE) * elapsed.as_millis() / 1000;
            if u128::from(self.moved) < expected {
                self.too_slow = true;
            } else if elapsed > timeout {
                *self = Self::start(now);
            }
        }
    }

    /// Whether it is slower than it may be.
    pub fn is_too_slow(&self) -> bool {
        self.too_slow
    }

    /// When the transfer ends if nothing more moves.
    pub fn deadline(&self, timeout: Duration) -> Tick {
        if self.too_slow { self.last } else { self.last.after(timeout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn at(seconds: u64) -> Tick {
        Tick::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn silence_ends_at_the_timeout_after_the_last_byte() {
        let mut pace = Pace::start(at(0));
        assert_eq!(pace.deadline(TIMEOUT), at(20));
        pace.moved(at(3), 1, TIMEOUT);
        assert_eq!(pace.deadline(TIMEOUT), at(23));
    }

    #[test]
    fn a_trickle_ends_at_its_first_byte_after_the_grace() {
        let mut pace = Pace::start(at(0));
        pace.moved(at(4), 1, TIMEOUT);
        assert!(pace.deadline(TIMEOUT) > at(4));
        pace.moved(at(6), 1, TIMEOUT);
        assert_eq!(pace.deadline(TIMEOUT), at(6));
    }

    #[test]
    fn a_quick_start_does_not_pay_for_a_trickle_later() {
        let mut pace = Pace::start(at(0));
        pace.moved(at(1), 1_000_000, TIMEOUT);
        pace.moved(at(19), 1, TIMEOUT);
        pace.moved(at(38), 1, TIMEOUT); // still paid for; a new window begins
        pace.moved(at(57), 1, TIMEOUT);
        assert_eq!(pace.deadline(TIMEOUT), at(57));
    }

    #[test]
    fn the_least_rate_goes_on_for_ever() {
        let mut pace = Pace::start(at(0));
        for second in 1..500 {
            pace.moved(at(second), limits::MIN_RATE, TIMEOUT);
            assert_eq!(pace.deadline(TIMEOUT), at(second + 20));
        }
    }
}
