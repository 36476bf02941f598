//! The resources of the origins that may be stored: each has variants, and each of these versions that
//! follow each other. An entity-tag names all three, and so does the content.

use std::collections::HashMap;

use super::Dice;
use super::texts;

/// How many there are, and variants of each.
pub(super) const URIS: usize = 3;
pub(super) const VARIANTS: usize = 2;

/// The versions of the variants.
#[derive(Default)]
pub(super) struct Resources(HashMap<(usize, usize), u64>);

impl Resources {
    /// The present version.
    pub(super) fn version(&self, uri: usize, variant: usize) -> u64 {
        self.0.get(&(uri, variant)).copied().unwrap_or(0)
    }

    pub(super) fn change(&mut self, uri: usize, variant: usize) {
        *self.0.entry((uri, variant)).or_default() += 1;
    }
}

/// Whether a resource has variants.
pub(super) fn varies(uri: usize) -> bool {
    uri != 1
}

pub(super) fn etag(uri: usize, variant: usize, version: u64) -> String {
    format!("\"{uri}-{variant}-{version}\"")
}

/// The length of a version.
pub(super) fn length(uri: usize, variant: usize, version: u64) -> usize {
    let mut dice = Dice::new(texts::of_resource(uri, variant, version));
    let most = if dice.one_in(5) { 300_000 } else { 3_000 };
    dice.amount(most)
}

/// The part that a Range field asks for.
pub(super) fn part(range: &str, length: usize) -> Option<std::ops::Range<usize>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && first < length).then(|| first..length.min(last + 1))
}
