//! Minimum, average, maximum and mean deviation of times, as `ping` prints them.

use std::fmt;

use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Statistics of times in microseconds, which may be negative.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct RttStats {
    count: u64,
    sum: f64,
    squares: f64,
    least: i64,
    most: i64,
}

/// Microseconds, shown as seconds.
pub struct Seconds(pub f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0 / 1e6)
    }
}

/// A number with the same digits.
impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl RttStats {
    /// Adds a time.
    pub fn add(&mut self, micros: i64) {
        let value = micros as f64;
        (self.least, self.most) =
            if self.count == 0 { (micros, micros) } else { (self.least.min(micros), self.most.max(micros)) };
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    /// Minimum, average, maximum and mean deviation; `None` without a time.
    pub fn summary(&self) -> Option<[Seconds; 4]> {
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
    fn four_numbers_as_ping_prints_them() {
        let mut stats = RttStats::default();
        assert!(stats.summary().is_none());
        for micros in [200, 400, 400, 1_000] {
            stats.add(micros);
        }
        let summary = stats.summary().unwrap().map(|seconds| seconds.to_string());
        assert_eq!(summary, ["0.000200", "0.000500", "0.001000", "0.000300"]);
        assert_eq!(serde_json::to_string(&stats.summary().unwrap()[..2]).unwrap(), "[0.000200,0.000500]");
        let mut stats = RttStats::default();
        stats.add(-5);
        assert_eq!(
            stats.summary().unwrap().map(|s| s.to_string()),
            ["-0.000005", "-0.000005", "-0.000005", "0.000000"]
        );
    }
}
