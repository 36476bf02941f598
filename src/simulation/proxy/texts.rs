//! Content: a stretch of random bytes for each tag. Two of them differ in every part of some bytes, so
//! a mixture is seen wherever it begins.

use super::Dice;

/// The longest content, in bytes.
pub(super) const LONGEST: usize = 400_000;
/// How many bytes there are besides.
const PLACES: usize = 1 << 20;

pub(super) struct Texts(Vec<u8>);

impl Texts {
    pub(super) fn new() -> Self {
        let mut dice = Dice::new(0);
        Self((0..(PLACES + LONGEST) / 8).flat_map(|_| dice.roll().to_le_bytes()).collect())
    }

    /// The content with this tag.
    pub(super) fn get(&self, tag: u64, length: usize) -> &[u8] {
        let place = Dice::new(tag).below(PLACES - 8);
        &self.0[place..place + length]
    }
}

/// The tag of the content of a request.
pub(super) fn of_request(id: u64) -> u64 {
    id << 8 | 1
}

/// The tag of what a client or an origin sends through a tunnel.
pub(super) fn of_tunnel(id: u64, by_client: bool) -> u64 {
    id << 8 | 2 | u64::from(by_client)
}

/// The tag of the content of an answer.
pub(super) fn of_answer(serial: usize) -> u64 {
    (serial as u64) << 8 | 4
}

/// The tag of a version of a resource.
pub(super) fn of_resource(uri: usize, variant: usize, version: u64) -> u64 {
    (version << 16 | (uri as u64) << 8 | variant as u64) << 8 | 5
}
