//! Time as the loop sees it: read once a turn, in one place.
//!
//! Protocols never read a clock. They get a [`Tick`] with each call, store plain
//! deadlines as ticks, and say in their `Want` when they wish to be woken. Tests
//! make ticks out of nothing and so own the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment on the reactor's monotonic clock: microseconds since the reactor began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Tick(u64);

impl Tick {
    /// The moment `micros` microseconds after the reactor began.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the reactor began.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The moment `span` later; the far future if that can't be told.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it is yet to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// This turn's time: the same for everything that happens in one turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Time {
    /// The monotonic clock, for deadlines and durations.
    pub now: Tick,
    /// The wall clock in Unix seconds, for what people and other machines read.
    pub unix_seconds: i64,
    /// The fraction of that second, in microseconds.
    pub unix_micros: u32,
}

/// The only reader of the system's clocks.
pub(super) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    pub(super) fn read(&self) -> Time {
        let micros = self.origin.elapsed().as_micros();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time {
            now: Tick(u64::try_from(micros).unwrap_or(u64::MAX)),
            unix_seconds: i64::try_from(wall.as_secs()).unwrap_or(i64::MAX),
            unix_micros: wall.subsec_micros(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_saturate_at_both_ends() {
        let t = Tick::from_micros(5);
        assert_eq!(t.after(Duration::MAX), Tick(u64::MAX));
        assert_eq!(Tick::default().since(t), Duration::ZERO);
        assert_eq!(t.after(Duration::from_millis(1)).since(t), Duration::from_millis(1));
    }

    #[test]
    fn the_clock_moves_forward_and_knows_the_century() {
        let clock = Clock::start();
        let first = clock.read();
        assert!(first.unix_seconds > 1_700_000_000);
        assert!(clock.read().now >= first.now);
    }
}
