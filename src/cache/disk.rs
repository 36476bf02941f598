//! The directory of a store, and each operation on its files.
//!
//! ```text
//! directory/            0700
//!   miod-cache          version and secret; who holds its lock has the directory
//!   00/ … ff/           the files of entries, by the first byte of their names
//! ```
//!
//! A file is written under a temporary name and gets its own when it is whole, so a process that
//! ends at any moment leaves no part of an entry. Both names are in the same directory: a sandbox
//! may forbid renaming from one to another.
//!
//! Only the marker is synced. A file of an entry that is lost or torn when the machine loses its
//! power is found by its checksums and is a miss; syncing each would cost more than the cache
//! brings. All names are looked up from the open directory, so it may be moved.

use std::fmt;
use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::key::{NAME_LENGTH, Name, SECRET_LENGTH, Secret};

const MARKER: &str = "miod-cache";
const NEW_MARKER: &str = "miod-cache.new";
const VERSION: &str = "miod cache 1\n";
/// Made by mkfs; a cache may have a file system of its own.
const LOST_AND_FOUND: &str = "lost+found";
const BODY: &str = ".body";
const TEMPORARY: &str = ".tmp";

/// How many directories there are.
pub(super) const DIRECTORIES: u16 = 256;

/// Why a directory can't be used.
#[derive(Debug)]
pub struct OpenError {
    /// The directory.
    pub path: PathBuf,
    /// The cause.
    pub error: io::Error,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error.kind() {
            io::ErrorKind::ResourceBusy => f.write_str("another process uses it as its cache"),
            _ => fmt::Display::fmt(&self.error, f),
        }
    }
}

impl std::error::Error for OpenError {}

/// An open directory.
pub(super) struct Disk {
    root: OwnedFd,
    pub(super) secret: Secret,
    /// Its lock; none if it is only read.
    _marker: Option<File>,
    /// In the names of temporary files: those of earlier processes have another.
    run: u64,
    temporaries: AtomicU64,
    #[cfg(test)]
    pub(super) faults: super::faults::Faults,
}

/// What is in one of the directories.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) heads: Vec<Name>,
    pub(super) bodies: Vec<Name>,
    /// Temporary files of earlier processes.
    pub(super) leftovers: Vec<String>,
    /// How many files are none of ours.
    pub(super) foreign: usize,
}

impl Disk {
    /// Opens a directory for its only writer. It is created if it doesn't exist.
    ///
    /// # Errors
    /// If another process has it, if it has files but isn't a cache, if it is damaged or of
    /// another version, and those of the system.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let fail = |error| OpenError { path: path.to_owned(), error };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)?;
        Self::open_existing(path, true).map_err(fail)
    }

    /// Opens the directory of a cache to read in it, even if a process has it.
    ///
    /// # Errors
    /// If it isn't the directory of a cache, and those of the system.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, OpenError> {
        Self::open_existing(path, false).map_err(|error| OpenError { path: path.to_owned(), error })
    }

    /// Opens the directory of a cache as its only writer.
    ///
    /// # Errors
    /// As [`open`](Self::open), and if it doesn't exist.
    pub(super) fn open_to_change(path: &Path) -> Result<Self, OpenError> {
        let disk = Self::open_existing(path, false).and_then(|_| Self::open_existing(path, true));
        disk.map_err(|error| OpenError { path: path.to_owned(), error })
    }

    fn open_existing(path: &Path, writes: bool) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())?;
        let marker = match open_file(&root, MARKER, OFlags::RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && writes => begin(&root)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(io::Error::new(io::ErrorKind::NotFound, "it isn't the directory of a cache"));
            }
            marker => marker?,
        };
        if writes {
            match marker.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::ResourceBusy.into()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        let secret = read_marker(&marker)?;
        let mut run = [0; 8];
        getrandom::fill(&mut run).map_err(io::Error::other)?;
        Ok(Self {
            root,
            secret,
            _marker: writes.then_some(marker),
            run: u64::from_le_bytes(run),
            temporaries: AtomicU64::new(0),
            #[cfg(test)]
            faults: super::faults::Faults::default(),
        })
    }

    /// Before each operation: where a test stops it.
    fn step(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.step()?;
        Ok(())
    }

    /// Creates a file with a temporary name in one of the directories. Returns it and its path.
    pub(super) fn create(&self, directory: u8) -> io::Result<(File, String)> {
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        let path = format!("{directory:02x}/{:016x}-{number:x}{TEMPORARY}", self.run);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        self.step()?;
        match open_file(&self.root, &path, flags) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match rustix::fs::mkdirat(&self.root, &path[..2], Mode::RWXU) {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
                self.step()?;
                Ok((open_file(&self.root, &path, flags)?, path))
            }
            file => Ok((file?, path)),
        }
    }

    /// Writes bytes at `offset` of a file.
    pub(super) fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Err(error) = self.step() {
            // What a process that ends or a disk that is full leaves.
            let _ = file.write_all_at(&bytes[..bytes.len() / 2], offset);
            return Err(error);
        }
        file.write_all_at(bytes, offset)
    }

    /// Gives a temporary file the name of an entry, instead of the file that had it.
    pub(super) fn publish(&self, temporary: &str, name: Name, is_body: bool) -> io::Result<()> {
        self.step()?;
        Ok(rustix::fs::renameat(&self.root, temporary, &self.root, path(name, is_body))?)
    }

    /// Removes the files of an entry, if there are any. The body stays as long as the head does:
    /// so a failure leaves a whole entry.
    pub(super) fn remove(&self, name: Name) -> io::Result<()> {
        self.unlink(&path(name, false))?;
        self.remove_body(name)
    }

    /// Removes the large body of an entry, if there is any.
    pub(super) fn remove_body(&self, name: Name) -> io::Result<()> {
        self.unlink(&path(name, true))
    }

    /// Removes a file with a temporary name, or another path in the directory.
    pub(super) fn unlink(&self, path: &str) -> io::Result<()> {
        self.step()?;
        match rustix::fs::unlinkat(&self.root, path, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file of an entry to read it. Returns it and its length.
    pub(super) fn open_entry(&self, name: Name, is_body: bool) -> io::Result<(File, u64)> {
        self.step()?;
        // A FIFO with this name would block an open without the flag.
        let file = open_file(&self.root, &path(name, is_body), OFlags::RDONLY | OFlags::NONBLOCK)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it isn't a regular file"));
        }
        Ok((file, metadata.len()))
    }

    /// The path of an entry's file below the directory.
    pub(super) fn file_of(name: Name) -> String {
        path(name, false)
    }

    /// What is in a directory.
    pub(super) fn list(&self, directory: u8) -> io::Result<Listing> {
        self.step()?;
        let mut listing = Listing::default();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.root, format!("{directory:02x}"), flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => return Ok(listing),
            fd => fd?,
        };
        for entry in rustix::fs::Dir::read_from(fd)? {
            let entry = entry?;
            let text = entry.file_name().to_bytes();
            let fits = |name: &Name| name.key.directory() == directory;
            let name = text.get(..NAME_LENGTH).and_then(Name::parse).filter(fits);
            match (name, text.get(NAME_LENGTH..)) {
                _ if matches!(text, b"." | b"..") => {}
                (Some(name), Some(b"")) => listing.heads.push(name),
                (Some(name), Some(rest)) if rest == BODY.as_bytes() => listing.bodies.push(name),
                _ => match std::str::from_utf8(text).ok().filter(|text| text.ends_with(TEMPORARY)) {
                    Some(text) if text.starts_with(&format!("{:016x}-", self.run)) => {}
                    Some(text) => listing.leftovers.push(format!("{directory:02x}/{text}")),
                    None => listing.foreign += 1,
                },
            }
        }
        Ok(listing)
    }
}

fn path(name: Name, is_body: bool) -> String {
    let suffix = if is_body { BODY } else { "" };
    format!("{:02x}/{}{suffix}", name.key.directory(), name.text())
}

fn open_file(root: &OwnedFd, path: &str, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::openat(root, path, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// Makes a cache of an empty directory. A process that ends meanwhile leaves what is still
/// empty for the next; of two that begin at once, the later makes the marker that counts.
fn begin(root: &OwnedFd) -> io::Result<File> {
    for entry in rustix::fs::Dir::read_from(root)? {
        let entry = entry?;
        let known = [".", "..", NEW_MARKER, LOST_AND_FOUND];
        if !known.iter().any(|known| entry.file_name().to_bytes() == known.as_bytes()) {
            let name = entry.file_name().to_string_lossy();
            let message = format!("it has other files, such as {name:?}, and isn't the directory of a cache");
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, message));
        }
    }
    let mut file = open_file(root, NEW_MARKER, OFlags::RDWR | OFlags::CREATE)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::ResourceBusy.into()),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Another process may have finished since the look-up.
    if let Ok(marker) = open_file(root, MARKER, OFlags::RDONLY) {
        return Ok(marker);
    }
    file.set_len(0)?;
    file.write_all(format!("{VERSION}{}\n", Secret::new()?.text()).as_bytes())?;
    file.sync_all()?;
    rustix::fs::renameat(root, NEW_MARKER, root, MARKER)?;
    rustix::fs::fsync(root)?;
    // Its lock was taken on this descriptor already.
    Ok(file)
}

fn read_marker(marker: &File) -> io::Result<Secret> {
    let damaged = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut text = Vec::new();
    let length = VERSION.len() + SECRET_LENGTH + 1;
    let mut file = marker;
    std::io::Seek::rewind(&mut file)?;
    file.take(length as u64 + 1).read_to_end(&mut text)?;
    let Some(rest) = text.strip_prefix(VERSION.as_bytes()) else {
        return Err(damaged("it is of another version, or damaged; if it is removed, a new cache begins"));
    };
    let secret = rest.strip_suffix(b"\n").and_then(Secret::parse);
    secret.ok_or_else(|| damaged("it is damaged; if it is removed, a new cache begins"))
}
