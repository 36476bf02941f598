//! What is known about whether an upstream works.

use std::time::Duration;

use crate::limits;

/// How an upstream is checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthSettings {
    /// The path that is asked for.
    pub path: String,
    /// The time between two checks.
    pub interval: Duration,
}

/// What checks have found out about an upstream.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Failures since the last success.
    failures: usize,
}

impl Health {
    /// Takes note of a check. Whether it has changed what [`is_down`](Self::is_down) says.
    pub(super) fn checked(&mut self, is_good: bool) -> bool {
        let was_down = self.is_down();
        self.failures = if is_good { 0 } else { self.failures.saturating_add(1) };
        was_down != self.is_down()
    }

    /// Whether the upstream is out.
    pub(super) fn is_down(&self) -> bool {
        self.failures >= limits::UPSTREAM_CHECKS
    }

    /// Failures since the last success.
    pub(super) fn failures(&self) -> usize {
        self.failures
    }
}
