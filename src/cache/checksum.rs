//! XXH64, the checksum of what is on disk (`xxhash_spec.md` of xxHash, version 0.2).
//!
//! It finds torn and rotten data, not forgeries: who can write to the directory can do worse. It
//! needs neither tables nor special instructions, and is faster than a disk on any processor with
//! 64 bits. Of damaged files one in 2^64 goes unnoticed.

const P1: u64 = 0x9e37_79b1_85eb_ca87;
const P2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const P3: u64 = 0x1656_67b1_9e37_79f9;
const P4: u64 = 0x85eb_ca77_c2b2_ae63;
const P5: u64 = 0x27d4_eb2f_1656_67c5;

/// Input is taken in such stripes.
const STRIPE: usize = 32;

/// A checksum of bytes that come in pieces.
#[derive(Clone)]
pub(super) struct Checksum {
    seed: u64,
    lanes: [u64; 4],
    /// What doesn't fill a stripe yet: the first `rest` bytes.
    stripe: [u8; STRIPE],
    rest: usize,
    length: u64,
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl Checksum {
    pub(super) fn new(seed: u64) -> Self {
        let lanes = [seed.wrapping_add(P1).wrapping_add(P2), seed.wrapping_add(P2), seed, seed.wrapping_sub(P1)];
        Self { seed, lanes, stripe: [0; STRIPE], rest: 0, length: 0 }
    }

    /// The checksum of these bytes.
    pub(super) fn of(seed: u64, bytes: &[u8]) -> u64 {
        let mut checksum = Self::new(seed);
        checksum.update(bytes);
        checksum.finish()
    }

    /// Adds bytes.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        self.length = self.length.wrapping_add(bytes.len() as u64);
        if self.rest > 0 {
            let (taken, after) = bytes.split_at(bytes.len().min(STRIPE - self.rest));
            self.stripe[self.rest..self.rest + taken.len()].copy_from_slice(taken);
            self.rest += taken.len();
            bytes = after;
            if self.rest < STRIPE {
                return;
            }
            let stripe = self.stripe;
            self.consume(&stripe);
            self.rest = 0;
        }
        let mut stripes = bytes.chunks_exact(STRIPE);
        stripes.by_ref().for_each(|stripe| self.consume(stripe));
        let rest = stripes.remainder();
        self.stripe[..rest.len()].copy_from_slice(rest);
        self.rest = rest.len();
    }

    fn consume(&mut self, stripe: &[u8]) {
        for (lane, bytes) in self.lanes.iter_mut().zip(stripe.chunks_exact(8)) {
            *lane = round(*lane, word(bytes));
        }
    }

    /// The checksum of all bytes so far.
    pub(super) fn finish(&self) -> u64 {
        let [a, b, c, d] = self.lanes;
        let mut hash = if self.length < STRIPE as u64 {
            self.seed.wrapping_add(P5)
        } else {
            let rotated = [a.rotate_left(1), b.rotate_left(7), c.rotate_left(12), d.rotate_left(18)];
            let sum = rotated.into_iter().fold(0, u64::wrapping_add);
            self.lanes.iter().fold(sum, |hash, lane| (hash ^ round(0, *lane)).wrapping_mul(P1).wrapping_add(P4))
        };
        hash = hash.wrapping_add(self.length);
        let mut words = self.stripe[..self.rest].chunks_exact(8);
        for bytes in words.by_ref() {
            hash = (hash ^ round(0, word(bytes))).rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
        }
        let mut rest = words.remainder();
        if let Some((bytes, after)) = rest.split_first_chunk() {
            let half = u64::from(u32::from_le_bytes(*bytes));
            hash = (hash ^ half.wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
            rest = after;
        }
        for &byte in rest {
            hash = (hash ^ u64::from(byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
        }
        hash = (hash ^ (hash >> 33)).wrapping_mul(P2);
        hash = (hash ^ (hash >> 29)).wrapping_mul(P3);
        hash ^ (hash >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_reference_implementation() {
        for (input, expected) in [
            ("", 0xef46_db37_51d8_e999),
            ("a", 0xd24e_c4f1_a98c_6e5b),
            ("as", 0x1c33_0fb2_d66b_e179),
            ("asd", 0x631c_37ce_72a9_7393),
            ("asdf", 0x4158_72f5_99ce_a71e),
            ("Call me Ishmael. Some years ago--never mind how long precisely-", 0x02a2_e854_70d6_fd96),
        ] {
            assert_eq!(Checksum::of(0, input.as_bytes()), expected, "{input}");
        }
    }

    #[test]
    fn pieces_do_not_matter_and_each_byte_does() {
        let input: Vec<u8> = (0..=255).collect();
        let whole = Checksum::of(7, &input);
        for size in 1..100 {
            let mut checksum = Checksum::new(7);
            input.chunks(size).for_each(|piece| checksum.update(piece));
            assert_eq!(checksum.finish(), whole, "{size}");
        }
        assert_ne!(Checksum::of(8, &input), whole);
        for at in 0..input.len() {
            let mut other = input.clone();
            other[at] ^= 1;
            assert_ne!(Checksum::of(7, &other), whole);
            assert_ne!(Checksum::of(7, &input[..at]), whole);
        }
    }
}
