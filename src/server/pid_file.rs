//! The file with the number of the process (`--pid-file`), for service managers and scripts that
//! send it signals.
//!
//! It is written when clients can connect, so a program that waits for the file waits for the server. It
//! appears with its content: a reader never finds it empty. It is removed at the end, unless it
//! is another process's by then. A file that a killed process has left is replaced.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use super::ServerError;

/// The file, while this process runs.
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Writes the file.
    ///
    /// # Errors
    /// If the system refuses that.
    pub(super) fn write(path: &Path) -> Result<Self, ServerError> {
        replace(path, &content())
            .map_err(|error| ServerError::Config(format!("can't write {} (--pid-file): {error}", path.display())))?;
        // A relative path means the same if the process changes its directory.
        Ok(Self(std::path::absolute(path).unwrap_or_else(|_| path.to_owned())))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if fs::read_to_string(&self.0).is_ok_and(|found| found == content())
            && let Err(error) = fs::remove_file(&self.0)
        {
            log::warn!("can't remove {}: {error}", self.0.display());
        }
    }
}

fn content() -> String {
    format!("{}\n", process::id())
}

/// Gives a file this content, at once.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", process::id()));
    let written = fs::write(&beside, content).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::scratch::Scratch;

    #[test]
    fn the_file_is_there_while_the_process_runs() {
        let files = Scratch::new();
        files.file("pid", "1\n");
        let pid_file = PidFile::write(&files.at("pid")).unwrap();
        assert_eq!(fs::read_to_string(files.at("pid")).unwrap(), content());
        assert_eq!(fs::read_dir(files.path()).unwrap().count(), 1);
        drop(pid_file);
        assert!(!files.at("pid").exists());
    }

    #[test]
    fn the_file_of_another_process_stays() {
        let files = Scratch::new();
        let pid_file = PidFile::write(&files.at("pid")).unwrap();
        files.file("pid", "1\n");
        drop(pid_file);
        assert_eq!(fs::read_to_string(files.at("pid")).unwrap(), "1\n");
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing() {
        let files = Scratch::new();
        files.directory("pid/full");
        for name in ["pid", "none/pid"] {
            let written = PidFile::write(&files.at(name));
            assert!(matches!(written, Err(ServerError::Config(text)) if text.contains("--pid-file")), "{name}");
        }
        assert_eq!(fs::read_dir(files.path()).unwrap().count(), 1);
    }
}
