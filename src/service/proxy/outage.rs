//! When it is logged that an upstream fails, and that it works again.
//!
//! One that fails with every other request would fill the log. So an outage lasts until nothing has
//! failed for some time, and is logged when it begins and when it is over.

use std::time::Duration;

use crate::reactor::Tick;

/// When nothing has failed for this time, the upstream works again.
const CALM: Duration = Duration::from_secs(10);

/// The outage that an upstream has, if it has one.
#[derive(Clone, Copy, Default)]
pub(super) struct Outage(Option<Failures>);

#[derive(Clone, Copy)]
struct Failures {
    count: u64,
    last: Tick,
}

impl Outage {
    /// It has failed. Returns whether this begins an outage.
    pub(super) fn failed(&mut self, now: Tick) -> bool {
        let count = self.0.map_or(0, |failures| failures.count);
        self.0 = Some(Failures { count: count.saturating_add(1), last: now });
        count == 0
    }

    /// It has responded. Returns how often it has failed in the outage that this ends, if it ends one.
    pub(super) fn works(&mut self, now: Tick) -> Option<u64> {
        let Failures { count, last } = self.0?;
        let is_over = now.since(last) >= CALM;
        if is_over {
            self.0 = None;
        }
        is_over.then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_that_comes_and_goes_is_told_once() {
        let at = |seconds: u64| Tick::from_micros(seconds * 1_000_000);
        let mut outage = Outage::default();
        assert_eq!(outage.works(at(0)), None);
        assert!(outage.failed(at(1)));
        for second in 2..60 {
            assert_eq!(outage.works(at(second)), None);
            assert!(!outage.failed(at(second)));
        }
        assert_eq!((outage.works(at(68)), outage.works(at(69)), outage.works(at(69))), (None, Some(59), None));
        assert!(outage.failed(at(70)), "it is another one");
        assert_eq!(outage.works(at(80)), Some(1));
    }
}
