//! The times of a tool that does something once per interval.

use std::time::Duration;

use crate::reactor::Tick;

/// The next time of something that was due at `last` and happens once per interval. Times
/// that were missed, because the machine slept, are skipped.
pub(super) fn next_after(last: Tick, interval: Duration, now: Tick) -> Tick {
    let next = last.after(interval);
    if next > now { next } else { now.after(interval) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_were_missed_are_skipped() {
        let at = |seconds: u64| Tick::from_micros(seconds * 1_000_000);
        let second = Duration::from_secs(1);
        assert_eq!(next_after(at(5), second, at(5)), at(6));
        assert_eq!(next_after(at(5), second, at(9)), at(10));
    }
}
