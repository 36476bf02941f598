//! Listings: helper threads read them, and they are kept for a second.
//!
//! Reading a directory of ten thousand entries takes some fifty milliseconds, so the loop
//! never does it. A helper thread runs each [`ListingJob`], one after another:
//!
//! ```text
//!  loop:    find ── kept ──▶ the entries        job ─▶ the exchange waits
//!             ▲                                  │
//!  helper:    └──── kept ◀── read, sort ◀────────┘ unless another job just has
//! ```
//!
//! A listing is kept until the watch reports a change in the directory, and for a second
//! at most: what is behind links and in the directories below isn't watched. A job may
//! wait behind another job for the same listing. It takes the result of that job, if that
//! job began to read after this job was created. So a hundred requests at once cost one
//! or two readings.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::listing::{Listing, Page};
use super::resolve::Root;
use crate::limits;

/// The listings that are kept. A clone shares them, also with a helper thread.
#[derive(Clone, Default)]
pub(super) struct Listings(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// In order of their time, the newest last.
    entries: VecDeque<Entry>,
    /// Counts the jobs.
    jobs: u64,
    /// Counts the changes that were reported.
    changes: u64,
}

struct Entry {
    listing: Arc<Listing>,
    /// The number of jobs when its reading began.
    begun: u64,
    /// When its job was created, in seconds of the loop's clock.
    second: u32,
    /// No change was reported since its reading began.
    fresh: bool,
}

/// A job that reads one directory on a helper thread.
pub struct ListingJob {
    listings: Listings,
    root: Root,
    dir: OwnedFd,
    path: Vec<u8>,
    page: Page,
    /// Coded forms of files aren't listed.
    precompressed: bool,
    /// Its number.
    number: u64,
    second: u32,
}

impl Listings {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // No code that can panic runs while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page of the directory at `path`, if a current one is kept.
    pub(super) fn find(&self, path: &[u8], page: &Page, second: u32) -> Option<Arc<Listing>> {
        let kept = self.lock();
        let entry = kept.find(path, page)?;
        (entry.fresh && second.wrapping_sub(entry.second) <= 1).then(|| Arc::clone(&entry.listing))
    }

    /// The job that reads `dir`, which `root` found at `path`.
    pub(super) fn job(
        &self,
        root: &Root,
        dir: OwnedFd,
        path: &[u8],
        page: Page,
        precompressed: bool,
        second: u32,
    ) -> ListingJob {
        let mut kept = self.lock();
        kept.jobs += 1;
        let number = kept.jobs;
        let (listings, root, path) = (self.clone(), root.clone(), path.into());
        ListingJob { listings, root, dir, path, page, precompressed, number, second }
    }

    /// Takes note of a change at `path`, relative to the root.
    pub(super) fn forget(&self, path: &[u8]) {
        let mut kept = self.lock();
        kept.changes += 1;
        let parent = memchr::memrchr(b'/', path).map_or(&b""[..], |slash| &path[..slash]);
        for entry in kept.entries.iter_mut().filter(|entry| entry.listing.is_of(parent)) {
            entry.fresh = false;
        }
    }

    /// Removes all: anything may have changed.
    pub(super) fn clear(&self) {
        let mut kept = self.lock();
        kept.changes += 1;
        kept.entries.clear();
    }
}

impl ListingJob {
    /// Reads the directory, unless another job has read it since this one was created.
    ///
    /// # Errors
    /// Of getdents64(2).
    pub fn run(self) -> io::Result<Arc<Listing>> {
        let (begun, changes) = {
            let kept = self.listings.lock();
            if let Some(entry) = kept.find(&self.path, &self.page)
                && entry.begun >= self.number
            {
                return Ok(Arc::clone(&entry.listing));
            }
            (kept.jobs, kept.changes)
        };
        let listing = Arc::new(Listing::read(&self.root, self.dir, &self.path, self.page, self.precompressed)?);
        let mut kept = self.listings.lock();
        let fresh = kept.changes == changes;
        kept.keep(Entry { listing: Arc::clone(&listing), begun, second: self.second, fresh });
        Ok(listing)
    }
}

impl Kept {
    /// A page of a path. There is one at most.
    fn find(&self, path: &[u8], page: &Page) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.listing.is(path, page))
    }

    /// Keeps an entry, which replaces the one of the same listing. Drops the oldest entries
    /// beyond the limits.
    fn keep(&mut self, entry: Entry) {
        self.entries.retain(|other| !other.listing.is_same(&entry.listing));
        self.entries.push_back(entry);
        let memory = |entries: &VecDeque<Entry>| entries.iter().map(|entry| entry.listing.memory).sum::<usize>();
        while self.entries.len() > limits::LISTINGS
            || (self.entries.len() > 1 && memory(&self.entries) > limits::LISTINGS_MEMORY)
        {
            self.entries.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::resolve::{Opened, Symlinks};
    use super::super::scratch::Scratch;
    use super::*;

    /// A root with one directory, `d`, with one file in it.
    fn root() -> (Scratch, Root) {
        let files = Scratch::new();
        files.directory("d");
        files.file("d/a", "1");
        let root = Root::open(files.path(), Symlinks::Inside).unwrap();
        (files, root)
    }

    fn job(listings: &Listings, root: &Root, second: u32) -> ListingJob {
        let Ok(Opened::Directory { dir, .. }) = root.get(b"d/") else { panic!("no directory") };
        listings.job(root, dir, b"d/", Page::default(), true, second)
    }

    fn rows(listing: &Listing) -> usize {
        listing.rows().len()
    }

    #[test]
    fn a_listing_is_kept_until_something_changes_and_for_a_second_at_most() {
        let ((files, root), listings) = (root(), Listings::default());
        let find = |second| listings.find(b"d/", &Page::default(), second).map(|listing| rows(&listing));
        assert_eq!(find(7), None);
        assert_eq!(rows(&job(&listings, &root, 7).run().unwrap()), 1);
        assert_eq!((find(7), find(8), find(9)), (Some(1), Some(1), None));
        assert!(listings.find(b"d/", &Page::from_query(b"sort=size"), 7).is_none(), "another order");
        assert!(listings.find(b"d/", &Page::from_query(b"after=a"), 7).is_none(), "another page");
        listings.forget(b"other/a");
        assert_eq!(find(7), Some(1), "another directory");
        files.file("d/b", "2");
        listings.forget(b"d/b");
        assert_eq!(find(7), None);
        assert_eq!(rows(&job(&listings, &root, 7).run().unwrap()), 2);
        listings.clear();
        assert_eq!(find(7), None);
    }

    #[test]
    fn jobs_that_wait_for_the_same_listing_share_one_reading() {
        let ((files, root), listings) = (root(), Listings::default());
        let (first, second) = (job(&listings, &root, 7), job(&listings, &root, 7));
        let read = first.run().unwrap();
        files.file("d/b", "2");
        let later = job(&listings, &root, 7);
        assert!(Arc::ptr_eq(&read, &second.run().unwrap()), "its reading began after both jobs were created");
        assert_eq!(rows(&later.run().unwrap()), 2, "created after that reading began");
    }

    #[test]
    fn a_change_during_the_reading_makes_the_listing_stale() {
        let ((_files, root), listings) = (root(), Listings::default());
        let pending = job(&listings, &root, 7);
        listings.forget(b"d/b");
        assert_eq!(rows(&pending.run().unwrap()), 1, "the change was reported before the reading began");
        assert!(listings.find(b"d/", &Page::default(), 7).is_some());
        let mut kept = listings.lock();
        let stale = Entry { fresh: false, begun: 0, second: 7, listing: Arc::clone(&kept.entries[0].listing) };
        kept.keep(stale);
        drop(kept);
        assert!(listings.find(b"d/", &Page::default(), 7).is_none());
    }

    #[test]
    fn the_number_of_kept_listings_is_bounded() {
        let ((_files, root), listings) = (root(), Listings::default());
        for query in ["", "sort=size", "sort=modified", "order=desc", "sort=size&order=desc"] {
            let Ok(Opened::Directory { dir, .. }) = root.get(b"d/") else { panic!("no directory") };
            listings.job(&root, dir, b"d/", Page::from_query(query.as_bytes()), true, 7).run().unwrap();
        }
        assert_eq!(listings.lock().entries.len(), 5.min(limits::LISTINGS));
    }
}
