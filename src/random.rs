//! Repeatable random numbers: SplitMix64 (Steele, Lea and Flood, 2014).
//!
//! They are for simulated networks and tests: the same seed gives the same sequence. Secrets
//! (tokens, keys) come from the kernel's generator instead.

/// A generator of 64-bit numbers. Every seed is a good one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SplitMix64(u64);

/// The odd number nearest to 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix64 {
    /// The generator with this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of many generators with the same seed. Each `index` has a sequence of its own.
    pub fn nth(seed: u64, index: u64) -> Self {
        Self(Self(seed.wrapping_add(GOLDEN.wrapping_mul(index))).roll())
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which isn't 0. If `bound` isn't a power of two, the numbers
    /// aren't quite equally likely, but the difference is negligible.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    /// True once in `count` calls on average.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// A random element.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_reference_implementation() {
        let mut random = SplitMix64::new(1_234_567);
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(expected.map(|_: u64| random.roll()), expected);
    }

    #[test]
    fn generators_with_adjacent_seeds_or_indexes_are_independent() {
        let numbers = |seed, index| {
            let mut random = SplitMix64::nth(seed, index);
            [random.roll(), random.roll(), random.roll()]
        };
        let all: Vec<u64> = (0..4).flat_map(|n| [numbers(n, 0), numbers(0, n + 1)].concat()).collect();
        let mut different = all.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), all.len());
        assert_eq!(numbers(7, 3), numbers(7, 3));
    }
}
