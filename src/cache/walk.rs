//! A walk over all entries on the disk, in steps: for the index after a start, and for a purge,
//! because the index has no URIs.

use std::collections::HashSet;
use std::io;
use std::ops::Range;

use super::disk::{DIRECTORIES, Disk};
use super::key::{Key, Name, Secret};
use super::purge::Purge;
use super::read::{checked, open_body, read_meta};
use crate::http::caching::Freshness;

/// The most entries that are read in a step: the store takes them at once.
pub(super) const STEP: usize = 64;
/// The most directories in a step.
const DIRECTORIES_IN_STEP: usize = 16;

/// Where a walk is.
pub(super) struct Walk {
    /// Only these are looked for; none for all of them, which also cleans up.
    purge: Option<Purge>,
    /// The directories that aren't listed yet.
    directories: Range<u16>,
    /// Only entries with this key are read, if there is one.
    key: Option<Key>,
    heads: Vec<Name>,
}

/// An entry that was found.
pub(super) struct Record {
    pub(super) name: Name,
    pub(super) names: Box<[u8]>,
    pub(super) freshness: Freshness,
    /// The length before the body, and that of the body, in bytes.
    pub(super) meta: u32,
    pub(super) body: u64,
}

/// What a step found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) records: Vec<Record>,
    /// How many files were damaged, and are removed.
    pub(super) damaged: u64,
    /// How many weren't of the cache, and are left alone.
    pub(super) foreign: u64,
    /// How many couldn't be read.
    pub(super) errors: u64,
}

impl Walk {
    /// A walk that finds all entries, and removes what is damaged or incomplete.
    pub(super) fn scan() -> Self {
        Self { purge: None, directories: 0..DIRECTORIES, key: None, heads: Vec::new() }
    }

    /// A walk that finds what is to be purged.
    pub(super) fn purge(purge: Purge, secret: &Secret) -> Self {
        let (directories, key) = purge.places(secret);
        Self { purge: Some(purge), directories, key, heads: Vec::new() }
    }

    /// Makes a step. Returns what it found, and the walk if there is more.
    pub(super) fn step(mut self: Box<Self>, disk: &Disk) -> io::Result<(Found, Option<Box<Self>>)> {
        let mut found = Found::default();
        let (mut entries, mut directories) = (0, 0);
        while entries < STEP {
            if let Some(name) = self.heads.pop() {
                self.read(disk, name, &mut found);
                entries += 1;
            } else if directories < DIRECTORIES_IN_STEP
                && let Some(directory) = self.directories.next()
            {
                self.list(disk, directory, &mut found);
                directories += 1;
            } else {
                break;
            }
        }
        let is_over = self.heads.is_empty() && self.directories.is_empty();
        Ok((found, (!is_over).then_some(self)))
    }

    fn list(&mut self, disk: &Disk, directory: u16, found: &mut Found) {
        let Ok(listing) = disk.list(directory as u8) else {
            found.errors += 1;
            return;
        };
        self.heads = listing.heads;
        if let Some(key) = self.key {
            self.heads.retain(|name| name.key == key);
        }
        if self.purge.is_some() {
            return;
        }
        found.foreign += listing.foreign as u64;
        for path in listing.leftovers {
            found.errors += u64::from(disk.unlink(&path).is_err());
        }
        // Nothing else is done meanwhile, so there is none whose head is about to come.
        let heads: HashSet<_> = self.heads.iter().copied().collect();
        for body in listing.bodies.iter().filter(|body| !heads.contains(body)) {
            found.errors += u64::from(disk.remove_body(*body).is_err());
        }
    }

    fn read(&self, disk: &Disk, name: Name, found: &mut Found) {
        match self.record(disk, name) {
            Ok(record) => found.records.extend(record),
            // It was removed since the directory was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                if self.purge.is_none() {
                    found.damaged += 1;
                    found.errors += u64::from(disk.remove(name).is_err());
                }
            }
            Err(_) => found.errors += 1,
        }
    }

    fn record(&self, disk: &Disk, name: Name) -> io::Result<Option<Record>> {
        let (bytes, length) = read_meta(disk, name)?;
        let meta = checked(disk, name, &bytes, length)?;
        if self.purge.as_ref().is_some_and(|purge| !purge.fits(meta.uri, meta.head)) {
            return Ok(None);
        }
        if self.purge.is_none() && !meta.is_inline() {
            open_body(disk, name, meta.body)?;
        }
        let (freshness, body) = (meta.freshness, meta.body);
        Ok(Some(Record { name, names: meta.names.into(), freshness, meta: meta.length() as u32, body }))
    }
}
