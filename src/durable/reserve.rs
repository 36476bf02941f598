//! Space on the disk that is kept back for removals.
//!
//! A removal needs space too: the tree is copied on write, and what it frees can be used only
//! after the next commit. So on a full disk no room could be made. A file beside the store
//! holds some space. When the disk is full, the file is removed, the removals are committed,
//! and then the file is written again, as large as it can be. While there is none, nothing but
//! removals is committed; otherwise the next value would take what they need.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// The size of the file. A commit of a removal writes some 20 pages of 4 KiB, and more if its
/// neighbours in the tree are large.
const SIZE: u64 = 512 * 1024;
/// The least that is of use.
const LEAST: u64 = 128 * 1024;
/// The file is written in such pieces.
const PIECE: usize = 32 * 1024;

/// The reserve of one store.
pub(super) struct Reserve {
    path: PathBuf,
    held: bool,
}

impl Reserve {
    /// The reserve in this file, which needn't exist.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, held: false }
    }

    /// Makes sure that there is a reserve.
    ///
    /// # Errors
    /// If the disk has no space for it. If it can't be made for another reason, the store has to
    /// do without.
    pub(super) fn hold(&mut self) -> io::Result<()> {
        if self.held {
            return Ok(());
        }
        match self.write() {
            Err(error) if is_full(&error) => return Err(error),
            Err(error) => log::warn!("there is no reserve for a full disk: {}: {error}", self.path.display()),
            Ok(()) => {}
        }
        self.held = true;
        Ok(())
    }

    /// Gives the space back. Returns whether there was any.
    pub(super) fn release(&mut self) -> bool {
        self.held = false;
        fs::remove_file(&self.path).is_ok()
    }

    /// Writes as much of the file as the disk takes, if that is enough to be of use.
    fn write(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        let written = fill(&mut file).and_then(|()| file.sync_data());
        if let Err(error) = written
            && file.metadata()?.len() < LEAST
        {
            fs::remove_file(&self.path)?;
            return Err(error);
        }
        Ok(())
    }
}

/// Appends to the file until it has its size. A hole would reserve nothing.
fn fill(file: &mut File) -> io::Result<()> {
    let mut length = file.metadata()?.len();
    while length < SIZE {
        length += file.write(&[b'.'; PIECE])? as u64;
    }
    Ok(())
}

/// Whether the disk has no space left.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::scratch::Scratch;

    #[test]
    fn the_file_is_written_once_and_again_after_its_release() {
        let files = Scratch::new();
        let path = files.at("reserve");
        let length = || fs::metadata(&path).map(|metadata| metadata.len()).ok();
        let mut reserve = Reserve::at(path.clone());
        assert!(!reserve.release());
        for _ in 0..2 {
            reserve.hold().unwrap();
            assert_eq!(length(), Some(SIZE));
        }
        assert!(reserve.release() && length().is_none());
        // What an earlier process left is completed.
        fs::write(&path, [b'.'; PIECE]).unwrap();
        reserve.hold().unwrap();
        assert_eq!(length(), Some(SIZE));
    }

    #[test]
    fn a_store_does_without_a_reserve_that_cannot_be_made() {
        let files = Scratch::new();
        files.directory("reserve");
        let mut reserve = Reserve::at(files.at("reserve"));
        assert!(reserve.hold().is_ok() && !reserve.release());
    }
}
