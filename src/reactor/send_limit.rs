//! The limit of the speed at which a connection is sent bytes: a token bucket.
//!
//! The bucket holds the bytes of one second, and fills at the rate. Short responses find it full
//! and leave at once; a download gets a second's worth, and then pieces of an eighth of a second.
//! Between them the connection waits for its timer.
//!
//! All that a bucket needs is the moment at which it is full again. Each byte moves it later, by
//! the time that the byte takes at this rate. Once the moment is past, nothing has to be
//! remembered, so an idle connection has no bucket. Another rate can be used at any time.

use super::Tick;

/// What a full bucket holds, in microseconds.
const BURST: u64 = 1_000_000;

/// Pieces of a longer transfer in a second.
const PIECES: u64 = 8;

/// Most bytes in a second that can be computed with.
const MOST: u64 = 1 << 40;

/// So many bytes in a second, for each connection that was accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SendLimit(u64);

impl SendLimit {
    /// The limit of `bytes` in a second; none for less than one byte.
    pub fn per_second(bytes: u64) -> Option<Self> {
        (bytes > 0).then_some(Self(bytes.min(MOST)))
    }

    /// How many bytes may be sent `now` from a bucket that is full at `full`.
    pub(super) fn room(self, full: Tick, now: Tick) -> u64 {
        let missing = full.since(now).as_micros() as u64;
        // At most 2^40 times 10^6, which is below 2^60.
        self.0 * BURST.saturating_sub(missing) / BURST
    }

    /// When the bucket is full again, if `bytes` are sent `now`.
    pub(super) fn spend(self, full: Tick, now: Tick, bytes: u64) -> Tick {
        Tick::from_micros(full.max(now).as_micros().saturating_add(self.duration(bytes)))
    }

    /// When the next piece can be sent, if `pending` bytes are left.
    pub(super) fn next(self, full: Tick, pending: u64) -> Tick {
        let piece = pending.clamp(1, self.0.div_ceil(PIECES));
        Tick::from_micros((full.as_micros() + self.duration(piece)).saturating_sub(BURST))
    }

    /// How many microseconds so many bytes take. A part of one counts as a whole, so no rate is
    /// ever exceeded.
    fn duration(self, bytes: u64) -> u64 {
        let micros = (u128::from(bytes) * u128::from(BURST)).div_ceil(u128::from(self.0));
        u64::try_from(micros).unwrap_or(u64::MAX / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(bytes: u64) -> SendLimit {
        SendLimit::per_second(bytes).unwrap()
    }

    fn at(micros: u64) -> Tick {
        Tick::from_micros(micros)
    }

    /// Sends `total` bytes as soon as they may be. Returns the moment of each piece, and its bytes.
    fn pieces(limit: SendLimit, start: Tick, total: u64) -> Vec<(Tick, u64)> {
        let (mut full, mut now, mut left, mut pieces) = (Tick::default(), start, total, Vec::new());
        while left > 0 {
            let bytes = limit.room(full, now).min(left);
            full = limit.spend(full, now, bytes);
            left -= bytes;
            pieces.push((now, bytes));
            let next = limit.next(full, left);
            assert!(left == 0 || next > now, "nothing is gained by waking at {next:?}");
            now = next;
        }
        pieces
    }

    #[test]
    fn a_second_at_once_and_then_eight_pieces_a_second() {
        let found = pieces(limit(800), at(5_000_000), 1_050);
        let after = |millis: u64| at(5_000_000 + 1000 * millis);
        assert_eq!(found, [(after(0), 800), (after(125), 100), (after(250), 100), (at(5_312_500), 50)]);
    }

    #[test]
    fn no_rate_is_exceeded_and_none_is_missed_by_much() {
        for rate in [1, 7, 1_000, 65_536, 999_983, 1 << 20, 123_456_789, 1 << 40, u64::MAX] {
            let rate = rate.min(MOST);
            let total = rate.saturating_mul(5) + 3;
            let (mut sent, mut last) = (0, Tick::default());
            for (now, bytes) in pieces(limit(rate), at(17), total) {
                sent += bytes;
                let allowed = u128::from(rate) * u128::from(BURST + now.since(at(17)).as_micros() as u64);
                assert!(u128::from(sent) * u128::from(BURST) <= allowed, "{rate}: {sent} bytes at {now:?}");
                last = now;
            }
            let ideal = (u128::from(total - rate) * u128::from(BURST) / u128::from(rate)) as u64;
            let took = last.since(at(17)).as_micros() as u64;
            assert!((ideal..=ideal + 60).contains(&took), "{rate}: {took} instead of {ideal} µs");
        }
    }

    #[test]
    fn a_bucket_is_full_again_after_a_second() {
        let limit = limit(1_000);
        let full = limit.spend(Tick::default(), at(0), 1_000);
        assert_eq!(full, at(1_000_000));
        for (micros, room) in [(0, 0), (999, 0), (1_000, 1), (500_000, 500), (1_000_000, 1_000), (9_000_000, 1_000)] {
            assert_eq!(limit.room(full, at(micros)), room);
        }
        // Bytes that were sent before the limit came count against it, and are no reason to panic.
        let full = limit.spend(full, at(0), u64::MAX);
        assert_eq!((limit.room(full, at(1_000_000)), limit.next(full, 1) > at(1 << 60)), (0, true));
        assert_eq!(SendLimit::per_second(0), None);
    }
}
