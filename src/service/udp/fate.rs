//! What a bad network does to datagrams, by chance that can be repeated.
//!
//! Each datagram draws the same number of lots, whatever the network is like. So
//! the same seed means the same fate for the n-th datagram, and another delay
//! changes nothing of what is lost.

use std::time::Duration;

use crate::random::SplitMix64;

/// How bad a network is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Network {
    /// The probability that a datagram is lost.
    pub loss: f64,
    /// How long each takes.
    pub delay: Duration,
    /// How much longer it takes at most; as much of it as chance has it.
    pub jitter: Duration,
    /// The probability that one that isn't lost comes twice.
    pub duplicate: f64,
    /// What chance comes from.
    pub seed: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self { loss: 0.0, delay: Duration::ZERO, jitter: Duration::ZERO, duplicate: 0.0, seed: 0 }
    }
}

impl Network {
    /// Whether chance has a say.
    pub fn is_chancy(&self) -> bool {
        self.loss > 0.0 || self.duplicate > 0.0 || !self.jitter.is_zero()
    }
}

/// What becomes of each datagram.
pub(super) struct Fate {
    network: Network,
    dice: SplitMix64,
}

impl Fate {
    pub(super) fn new(network: Network) -> Self {
        Self { dice: SplitMix64::new(network.seed), network }
    }

    /// How long the next datagram takes, and how long its duplicate; none if there
    /// is none.
    pub(super) fn next(&mut self) -> [Option<Duration>; 2] {
        let [loss, duplicate, first, second] = [(); 4].map(|()| self.draw());
        let Network { delay, jitter, .. } = self.network;
        let arrives = loss >= self.network.loss;
        let twice = arrives && duplicate < self.network.duplicate;
        [arrives.then(|| delay + jitter.mul_f64(first)), twice.then(|| delay + jitter.mul_f64(second))]
    }

    /// A number from 0 to 1, which it never is: 53 bits are what it can hold.
    fn draw(&mut self) -> f64 {
        (self.dice.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(network: Network, count: usize) -> Vec<[Option<Duration>; 2]> {
        let mut fate = Fate::new(network);
        (0..count).map(|_| fate.next()).collect()
    }

    #[test]
    fn the_same_seed_is_the_same_fate_whatever_else_is_wished() {
        let lossy = Network { loss: 0.3, seed: 7, ..Network::default() };
        let slow =
            Network { delay: Duration::from_millis(5), jitter: Duration::from_millis(9), duplicate: 0.5, ..lossy };
        let lost = |network| fates(network, 1000).iter().map(|fate| fate[0].is_none()).collect::<Vec<_>>();
        assert_eq!(lost(lossy), lost(slow));
        assert_eq!(fates(slow, 1000), fates(slow, 1000));
        assert_ne!(lost(lossy), lost(Network { seed: 8, ..lossy }));
        let count = lost(lossy).into_iter().filter(|lost| *lost).count();
        assert!((250..350).contains(&count), "{count} of 1000 are lost");
        // Written down once, so that a seed means the same tomorrow.
        let lost: Vec<_> = (0..16).filter(|at| lost(lossy)[*at]).collect();
        assert_eq!(lost, [2, 9, 11, 13]);
    }

    #[test]
    fn probabilities_of_0_and_1_are_certainties() {
        assert!(fates(Network::default(), 1000).iter().all(|fate| *fate == [Some(Duration::ZERO), None]));
        let nothing = Network { loss: 1.0, duplicate: 1.0, ..Network::default() };
        assert!(fates(nothing, 1000).iter().all(|fate| *fate == [None, None]));
        let (delay, jitter) = (Duration::from_millis(10), Duration::from_millis(4));
        let twice = Network { duplicate: 1.0, delay, jitter, ..Network::default() };
        for fate in fates(twice, 1000).into_iter().flatten() {
            let took = fate.expect("nothing is lost");
            assert!(took >= delay && took < delay + jitter, "{took:?}");
        }
    }
}
