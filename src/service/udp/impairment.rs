//! The impairments of a simulated bad network: loss, delay, jitter and duplicates.
//!
//! Each datagram draws the same number of random values, whatever the options are. So the
//! seed alone decides whether the n-th datagram is lost, and another delay doesn't change
//! that.

use std::time::Duration;

use crate::random::SplitMix64;

/// How bad the network is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Impairment {
    /// The probability that a datagram is lost.
    pub loss: f64,
    /// The delay of each datagram.
    pub delay: Duration,
    /// The largest further delay; the actual one is random.
    pub jitter: Duration,
    /// The probability that a datagram that isn't lost is duplicated.
    pub duplicate: f64,
    /// The seed of the random numbers.
    pub seed: u64,
}

impl Default for Impairment {
    fn default() -> Self {
        Self { loss: 0.0, delay: Duration::ZERO, jitter: Duration::ZERO, duplicate: 0.0, seed: 0 }
    }
}

impl Impairment {
    /// Whether the seed matters.
    pub fn is_random(&self) -> bool {
        self.loss > 0.0 || self.duplicate > 0.0 || !self.jitter.is_zero()
    }
}

/// Decides what happens to each datagram.
pub(super) struct Dice {
    impairment: Impairment,
    random: SplitMix64,
}

impl Dice {
    pub(super) fn new(impairment: Impairment) -> Self {
        Self { random: SplitMix64::new(impairment.seed), impairment }
    }

    /// The delay of the next datagram, `None` if it is lost; and the delay of its
    /// duplicate, `None` if there is no duplicate.
    pub(super) fn next(&mut self) -> [Option<Duration>; 2] {
        let [loss, duplicate, first, second] = [(); 4].map(|()| self.draw());
        let Impairment { delay, jitter, .. } = self.impairment;
        let arrives = loss >= self.impairment.loss;
        let twice = arrives && duplicate < self.impairment.duplicate;
        [arrives.then(|| delay + jitter.mul_f64(first)), twice.then(|| delay + jitter.mul_f64(second))]
    }

    /// A random number of 53 bits from 0 to 1, exclusive.
    fn draw(&mut self) -> f64 {
        (self.random.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(impairment: Impairment, count: usize) -> Vec<[Option<Duration>; 2]> {
        let mut dice = Dice::new(impairment);
        (0..count).map(|_| dice.next()).collect()
    }

    #[test]
    fn the_seed_alone_decides_what_is_lost() {
        let lossy = Impairment { loss: 0.3, seed: 7, ..Impairment::default() };
        let slow =
            Impairment { delay: Duration::from_millis(5), jitter: Duration::from_millis(9), duplicate: 0.5, ..lossy };
        let lost = |impairment| delays(impairment, 1000).iter().map(|delays| delays[0].is_none()).collect::<Vec<_>>();
        assert_eq!(lost(lossy), lost(slow));
        assert_eq!(delays(slow, 1000), delays(slow, 1000));
        assert_ne!(lost(lossy), lost(Impairment { seed: 8, ..lossy }));
        let count = lost(lossy).into_iter().filter(|lost| *lost).count();
        assert!((250..350).contains(&count), "{count} of 1000 are lost");
        // These are fixed, so that a seed has the same effect in later versions.
        let lost: Vec<_> = (0..16).filter(|at| lost(lossy)[*at]).collect();
        assert_eq!(lost, [2, 9, 11, 13]);
    }

    #[test]
    fn probabilities_of_0_and_1_are_certain() {
        assert!(delays(Impairment::default(), 1000).iter().all(|delays| *delays == [Some(Duration::ZERO), None]));
        let nothing = Impairment { loss: 1.0, duplicate: 1.0, ..Impairment::default() };
        assert!(delays(nothing, 1000).iter().all(|delays| *delays == [None, None]));
        let (delay, jitter) = (Duration::from_millis(10), Duration::from_millis(4));
        let twice = Impairment { duplicate: 1.0, delay, jitter, ..Impairment::default() };
        for drawn in delays(twice, 1000).into_iter().flatten() {
            let took = drawn.expect("nothing is lost");
            assert!(took >= delay && took < delay + jitter, "{took:?}");
        }
    }
}
