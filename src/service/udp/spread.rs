//! Minimum, average, maximum and mean deviation of times, as ping tells them.

use std::fmt;

/// Times so far, in microseconds; they may be negative.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Spread {
    count: u64,
    sum: f64,
    squares: f64,
    least: i64,
    most: i64,
}

/// Microseconds, shown as seconds.
pub(super) struct Seconds(pub(super) f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0 / 1e6)
    }
}

impl Spread {
    pub(super) fn add(&mut self, micros: i64) {
        let value = micros as f64;
        (self.least, self.most) =
            if self.count == 0 { (micros, micros) } else { (self.least.min(micros), self.most.max(micros)) };
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    /// Minimum, average, maximum and mean deviation; none if there is no time.
    pub(super) fn told(&self) -> Option<[Seconds; 4]> {
        if self.count == 0 {
            return None;
        }
        let count = self.count as f64;
        let average = self.sum / count;
        let deviation = (self.squares / count - average * average).max(0.0).sqrt();
        Some([self.least as f64, average, self.most as f64, deviation].map(Seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_numbers_as_ping_tells_them() {
        let mut spread = Spread::default();
        assert!(spread.told().is_none());
        for micros in [200, 400, 400, 1_000] {
            spread.add(micros);
        }
        let told = spread.told().unwrap().map(|seconds| seconds.to_string());
        assert_eq!(told, ["0.000200", "0.000500", "0.001000", "0.000300"]);
        let mut spread = Spread::default();
        spread.add(-5);
        assert_eq!(spread.told().unwrap().map(|s| s.to_string()), ["-0.000005", "-0.000005", "-0.000005", "0.000000"]);
    }
}
