//! Listings: helper threads read them, and they are kept for a second.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::listing::{Listing, Page};
use super::readings::{Read, Reading, Readings};
use super::resolve::Root;

/// The listings that are kept.
pub(super) type Listings = Readings<Listing>;

impl Read for Listing {
    type Part = Page;

    fn memory(&self) -> usize {
        self.memory
    }
}

/// A job that reads one directory on a helper thread.
pub struct ListingJob {
    pub(super) reading: Reading<Listing>,
    pub(super) root: Root,
    pub(super) dir: OwnedFd,
    /// Coded forms of files aren't listed.
    pub(super) precompressed: bool,
}

impl ListingJob {
    /// Reads the directory, unless another job has read it since this one was created.
    ///
    /// # Errors
    /// Of getdents64(2).
    pub fn run(self) -> io::Result<Arc<Listing>> {
        let Self { reading, root, dir, precompressed } = self;
        reading.run(|path, page| Listing::read(&root, dir, path, page.clone(), precompressed))
    }
}
