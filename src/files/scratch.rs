//! A temporary directory for the tests of this module.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A new directory with the files of one test. It is removed when it is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Creates an empty directory that no other test or process uses.
    pub(crate) fn new() -> Scratch {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("miod-files-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The path of `name` below the directory.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Creates a directory and its parents.
    pub(crate) fn directory(&self, name: &str) {
        std::fs::create_dir_all(self.at(name)).unwrap();
    }

    /// Writes a file.
    pub(crate) fn file(&self, name: &str, content: &str) {
        std::fs::write(self.at(name), content).unwrap();
    }

    /// Creates the symbolic link `name` to `target`.
    pub(crate) fn link(&self, name: &str, target: impl AsRef<Path>) {
        std::os::unix::fs::symlink(target, self.at(name)).unwrap();
    }

    /// Creates a FIFO.
    pub(crate) fn fifo(&self, name: &str) {
        use rustix::fs::{CWD, FileType, Mode};
        rustix::fs::mknodat(CWD, self.at(name), FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A failed test may leave files that can't be removed. A second panic would hide
        // the message of the first.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
