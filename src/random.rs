//! Chance that can be repeated: SplitMix64 (Steele, Lea and Flood, 2014).
//!
//! For simulated networks and tests: the same seed gives the same sequence. Code that must
//! not be guessed (tokens, keys) takes the kernel's generator instead.

/// A generator of 64-bit numbers from a seed; every seed is a good one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SplitMix64(u64);

/// The odd number nearest to 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix64 {
    /// The generator of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of the many generators of `seed`, each with numbers of its own: for the
    /// `index`-th of those who share the seed.
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

    /// A number below `bound`, which isn't 0. Those of a bound that is no power of two
    /// aren't quite equally likely; by less than can be noticed.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    /// True once in `count` times.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of several.
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
    fn neighbours_have_nothing_in_common() {
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
