//! The directory of a cache as tools see it, without a server.
//!
//! To list, show and check needs no lock: a server may go on meanwhile, and what it removes or
//! replaces is as it was before or after. To remove needs the lock, so that no server has
//! entries in its index without a file.

use std::io;
use std::path::Path;

use super::disk::{DIRECTORIES, Disk, OpenError};
use super::job::{LoadedBody, verify};
use super::key::Name;
use super::purge::Purge;
use super::read::{checked, read_meta};
use crate::http::caching::Freshness;

/// The directory of a cache.
pub struct Directory {
    pub(super) disk: Disk,
    changes: bool,
}

/// An entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The URI.
    pub uri: Vec<u8>,
    /// The names in Vary, with commas between.
    pub names: Vec<u8>,
    /// What requests have in the fields of `names`
    /// ([`read_key`](crate::http::caching::variant::read_key)).
    pub key: Vec<u8>,
    /// The stored head.
    pub head: Vec<u8>,
    /// Its freshness.
    pub freshness: Freshness,
    /// The length of the body in bytes.
    pub body: u64,
    name: Name,
}

/// Why an entry can't be used.
#[derive(Debug)]
pub struct Problem {
    /// The file, below the directory.
    pub file: String,
    /// What is wrong with it.
    pub error: io::Error,
}

impl Listed {
    /// The status.
    pub fn status(&self) -> Option<u16> {
        std::str::from_utf8(self.head.get(9..12)?).ok()?.parse().ok()
    }
}

impl Directory {
    /// Opens a directory to list, show and check, even if a server has it.
    ///
    /// # Errors
    /// If it isn't the directory of a cache, and those of the system.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { disk: Disk::open_to_read(path)?, changes: false })
    }

    /// Opens a directory to remove entries, too.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if a server has it.
    pub fn open_to_change(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { disk: Disk::open_to_change(path)?, changes: true })
    }

    /// Calls `each` with every entry, or what is wrong with it. If `checks`, bodies are read and
    /// their checksums compared. What is removed meanwhile is left out.
    ///
    /// # Errors
    /// If a directory can't be read.
    pub fn entries(&self, checks: bool, mut each: impl FnMut(Result<Listed, Problem>)) -> io::Result<()> {
        for directory in 0..DIRECTORIES {
            let mut names = self.disk.list(directory as u8)?.heads;
            names.sort_unstable();
            for name in names {
                match self.entry(name, checks) {
                    Ok(listed) => each(Ok(listed)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => each(Err(Problem { file: Disk::file_of(name), error })),
                }
            }
        }
        Ok(())
    }

    /// A server may replace or remove it meanwhile. Then the second look is right.
    fn entry(&self, name: Name, checks: bool) -> io::Result<Listed> {
        self.read(name, checks).or_else(|_| self.read(name, checks))
    }

    fn read(&self, name: Name, checks: bool) -> io::Result<Listed> {
        if checks {
            verify(&self.disk, name)?;
        }
        let (bytes, length) = read_meta(&self.disk, name)?;
        let meta = checked(&self.disk, name, &bytes, length)?;
        let (freshness, body) = (meta.freshness, meta.body);
        let [uri, names, key, head] = [meta.uri, meta.names, meta.key, meta.head].map(<[u8]>::to_vec);
        Ok(Listed { uri, names, key, head, freshness, body, name })
    }

    /// The entries of a URI.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub fn find(&self, uri: &[u8]) -> io::Result<Vec<Result<Listed, Problem>>> {
        let key = self.disk.secret.key(uri);
        let mut names = self.disk.list(key.directory())?.heads;
        names.retain(|name| name.key == key);
        let entry = |name| self.entry(name, true).map_err(|error| Problem { file: Disk::file_of(name), error });
        Ok(names.into_iter().map(entry).collect())
    }

    /// Writes the body of an entry, after its checksum was compared.
    ///
    /// # Errors
    /// If it is damaged or gone, and those of `out`.
    pub fn write_body(&self, entry: &Listed, out: &mut impl io::Write) -> io::Result<()> {
        match verify(&self.disk, entry.name)?.body {
            LoadedBody::Memory(bytes) => out.write_all(&bytes),
            LoadedBody::File(mut file, _) => io::copy(&mut file, out).map(|_| ()),
        }
    }

    /// Removes all entries that `purge` includes, and if it is [`Purge::All`], also what is damaged.
    /// Returns how many there were.
    ///
    /// # Errors
    /// If the directory was opened to read only, and those of the system.
    pub fn remove(&self, purge: &Purge) -> io::Result<u64> {
        if !self.changes {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let mut count = 0;
        let (directories, key) = purge.places(&self.disk.secret);
        for directory in directories {
            for name in self.disk.list(directory as u8)?.heads {
                if key.is_some_and(|key| key != name.key) {
                    continue;
                }
                let fits = match self.entry(name, false) {
                    Ok(entry) => purge.fits(&entry.uri, &entry.head),
                    Err(_) => *purge == Purge::All,
                };
                if fits {
                    self.disk.remove(name)?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }
}
