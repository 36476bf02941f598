//! Time as the loop sees it: read once a pass, in one place. (At its end it is read once more,
//! to know how long it took.)
//!
//! Protocols never read a clock. They get a [`Tick`] with each call, store plain
//! deadlines as ticks, and return in their `Want` when to wake them. Tests make
//! ticks of their own, and so control the time.

use std::time::Duration;

use super::sys;

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

    /// Whole seconds since the reactor began.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The moment `span` later; the last possible moment if that is out of range.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }

    /// The earlier of two moments, of which either may never come.
    pub(super) fn earlier(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// How long ago `earlier` was; zero if it is yet to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// A [`Tick`] in six bytes, for what must be small. It lasts for 8.9 years.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShortTick([u16; 3]);

impl From<Tick> for ShortTick {
    fn from(Tick(micros): Tick) -> Self {
        Self([micros as u16, (micros >> 16) as u16, (micros >> 32) as u16])
    }
}

impl From<ShortTick> for Tick {
    fn from(ShortTick([low, middle, high]): ShortTick) -> Self {
        Self(u64::from(low) | u64::from(middle) << 16 | u64::from(high) << 32)
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

impl Time {
    /// The wall clock in Unix seconds, for commands that run no loop.
    pub fn wall() -> i64 {
        Clock::start().read().unix_seconds
    }

    /// The system's monotonic clock in microseconds, as other processes see it.
    pub fn monotonic_micros() -> u64 {
        Clock::start().origin
    }
}

/// The only reader of the system's clocks. The standard library's would take both
/// apart and together again, for a hundred instructions in each turn.
pub(super) struct Clock {
    /// What the monotonic clock showed at the start, in microseconds.
    origin: u64,
}

impl Clock {
    pub(super) fn start() -> Self {
        let (seconds, micros) = read(libc::CLOCK_MONOTONIC);
        Self { origin: seconds * 1_000_000 + u64::from(micros) }
    }

    pub(super) fn read(&self) -> Time {
        let now = self.ticks();
        let (unix_seconds, unix_micros) = read(libc::CLOCK_REALTIME);
        Time { now, unix_seconds: unix_seconds as i64, unix_micros }
    }

    /// The monotonic clock alone.
    pub(super) fn ticks(&self) -> Tick {
        let (seconds, micros) = read(libc::CLOCK_MONOTONIC);
        Tick((seconds * 1_000_000 + u64::from(micros)).saturating_sub(self.origin))
    }
}

/// Seconds and microseconds; zero before 1970, as a machine without a clock of its own
/// may think it is.
fn read(clock: libc::clockid_t) -> (u64, u32) {
    let (seconds, nanoseconds) = sys::clock(clock);
    (u64::try_from(seconds).unwrap_or(0), (nanoseconds / 1000) as u32)
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
    fn a_short_tick_is_the_same_moment() {
        for micros in [0, 1, 65_536, 0x1234_5678_9abc, (1 << 48) - 1] {
            assert_eq!(Tick::from(ShortTick::from(Tick(micros))), Tick(micros));
        }
    }

    #[test]
    fn the_clock_moves_forward_and_knows_the_century() {
        let clock = Clock::start();
        let first = clock.read();
        assert!(first.unix_seconds > 1_700_000_000);
        assert!(clock.read().now >= first.now);
    }
}
