//! How often values were how large.

/// Counts values by their size: one counter for each bound, and one for what is larger.
#[derive(Clone, Debug)]
pub struct Histogram<const N: usize> {
    /// The largest value of each bucket, in ascending order.
    bounds: &'static [u64; N],
    counts: [u64; N],
    /// Values larger than the last bound.
    beyond: u64,
    sum: u64,
}

impl<const N: usize> Histogram<N> {
    /// An empty one with these bounds, in ascending order. Each is the largest value of its bucket.
    pub const fn new(bounds: &'static [u64; N]) -> Self {
        Self { bounds, counts: [0; N], beyond: 0, sum: 0 }
    }

    /// Counts a value.
    // Most values are in the first buckets, so this is faster than a search by halves.
    pub fn add(&mut self, value: u64) {
        self.sum = self.sum.wrapping_add(value);
        match self.bounds.iter().position(|bound| value <= *bound) {
            Some(bucket) => self.counts[bucket] += 1,
            None => self.beyond += 1,
        }
    }

    /// Each bound, and how many values aren't larger.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut total = 0;
        self.bounds.iter().zip(&self.counts).map(move |(bound, count)| {
            total += count;
            (*bound, total)
        })
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.beyond
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let mut histogram = Histogram::new(&[10, 100]);
        for value in [0, 10, 11, 100, 101, 5_000] {
            histogram.add(value);
        }
        assert_eq!(histogram.cumulative().collect::<Vec<_>>(), [(10, 2), (100, 4)]);
        assert_eq!((histogram.count(), histogram.sum()), (6, 5_222));
    }
}
