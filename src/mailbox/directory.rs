//! The directory of a mailbox, and each operation on its files.
//!
//! ```text
//! directory/              0700
//!   miod-mailbox          the process that has its lock has the directory
//!   42.mail               a message: one line about it, then its content, byte for byte
//!   43.mail.tmp           a message that is being written
//! ```
//!
//! The line is `miod mail 1 ` and a JSON object: when the message was received, the length of its content, its
//! envelope, and its sender and subject for the list. So a message is one file, which is there as a whole or
//! not at all: it is written under its temporary name and synced, then renamed, and then the directory is
//! synced. The content of a message alone is `tail -n +2 42.mail`.
//!
//! Other files are left alone. All names are looked up from the open directory, so it may be moved.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::about::{About, MessageId};
use crate::text::json;

const LOCK: &str = "miod-mailbox";
const VERSION: &[u8] = b"miod mail 1 ";
const SUFFIX: &[u8] = b".mail";
const TEMPORARY: &[u8] = b".mail.tmp";
/// Longest line about a message: a hundred recipients take a third of it.
const LINE: u64 = 1024 * 1024;

/// The open directory. The mailbox and its jobs share it.
pub struct Directory {
    path: PathBuf,
    root: OwnedFd,
    _lock: File,
    jobs: Mutex<Jobs>,
}

/// What the mailbox and its jobs tell each other.
#[derive(Default)]
struct Jobs {
    /// What jobs have done, for the mailbox.
    finished: Vec<Finished>,
    /// Messages that left the mailbox, whose files a job is to remove.
    doomed: Vec<MessageId>,
}

/// What a job has done.
pub(super) enum Finished {
    Written(MessageId, About),
    Removed(Vec<MessageId>),
}

/// What is in a directory.
pub(super) struct Found {
    /// The messages, the oldest first.
    pub(super) messages: Vec<(MessageId, About)>,
    /// The number of the next message, greater than that of any file.
    pub(super) next: MessageId,
}

impl Directory {
    /// Opens a directory for its only user, and reads what is in it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Found)> {
        let is_new = !path.exists();
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())?;
        let lock = open_file(&root, LOCK, OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process uses it as its mailbox"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if is_new && let Some(parent) = path.canonicalize()?.parent() {
            // Messages in it aren't durable before it is itself.
            File::open(parent)?.sync_all()?;
        }
        let directory = Self { path: path.to_owned(), root, _lock: lock, jobs: Mutex::default() };
        let found = directory.find()?;
        Ok((directory, found))
    }

    fn find(&self) -> io::Result<Found> {
        let mut found = Found { messages: Vec::new(), next: MessageId::FIRST };
        let mut others = 0_usize;
        for entry in rustix::fs::Dir::read_from(&self.root)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if let Some(id) = name.strip_suffix(TEMPORARY).and_then(MessageId::parse) {
                // It was never kept: its process has ended before.
                self.unlink(&temporary(id))?;
            } else if let Some(id) = name.strip_suffix(SUFFIX).and_then(MessageId::parse) {
                found.next = found.next.max(id.next());
                match self.open_message(id) {
                    Ok((_, about)) => found.messages.push((id, about)),
                    Err(error) => log::warn!("{} is skipped: {error}", self.path.join(file(id)).display()),
                }
            } else if !matches!(name, b"." | b"..") && name != LOCK.as_bytes() {
                others += 1;
            }
        }
        if others > 0 {
            log::warn!("{} has {others} other files, which are no messages", self.path.display());
        }
        found.messages.sort_unstable_by_key(|(id, _)| *id);
        Ok(found)
    }

    /// Writes a message; it is durable when this returns.
    pub(super) fn write(&self, id: MessageId, about: About, content: &[u8]) -> io::Result<()> {
        let line = json::to_string(&about);
        let written = self.write_temporary(id, &line, content).and_then(|()| self.publish(id));
        if written.is_err() {
            // What is left after a second failure is removed when the mailbox is opened again.
            let _ = self.unlink(&temporary(id));
        }
        written?;
        self.jobs().finished.push(Finished::Written(id, about));
        self.remove_doomed();
        Ok(())
    }

    /// Writes a message under its temporary name.
    fn write_temporary(&self, id: MessageId, line: &str, content: &[u8]) -> io::Result<()> {
        if line.len() as u64 > LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the envelope is too large"));
        }
        let mut file = open_file(&self.root, &temporary(id), OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
        let head = [VERSION, line.as_bytes(), b"\n"].concat();
        file.write_all(&head)?;
        file.write_all(content)?;
        file.sync_data()
    }

    /// Gives a message that is written its name. If that isn't durable, it is taken back.
    fn publish(&self, id: MessageId) -> io::Result<()> {
        rustix::fs::renameat(&self.root, temporary(id), &self.root, file(id))?;
        let synced = self.sync();
        if synced.is_err() {
            let _ = self.unlink(&file(id));
        }
        synced
    }

    /// Removes the files of messages; that is durable when this returns.
    ///
    /// # Errors
    /// The first error. Messages whose files are still there aren't reported to the mailbox.
    pub(super) fn remove(&self, ids: Vec<MessageId>) -> io::Result<()> {
        let (mut removed, mut result) = (Vec::new(), Ok(()));
        for id in ids {
            match self.unlink(&file(id)) {
                Ok(()) => removed.push(id),
                Err(error) => result = result.and(Err(error)),
            }
        }
        self.jobs().finished.push(Finished::Removed(removed));
        self.remove_doomed();
        result.and(self.sync())
    }

    /// Reads the content of a message.
    pub(super) fn read(&self, id: MessageId) -> io::Result<Vec<u8>> {
        let (mut file, about) = self.open_message(id)?;
        let mut content = Vec::with_capacity(usize::try_from(about.size).unwrap_or_default());
        file.read_to_end(&mut content)?;
        if content.len() as u64 == about.size { Ok(content) } else { Err(damaged("it has changed")) }
    }

    /// The file of this message is to be removed.
    pub(super) fn doom(&self, id: MessageId) {
        self.jobs().doomed.push(id);
    }

    /// Removes the files of messages that left the mailbox.
    pub(super) fn remove_doomed(&self) {
        let doomed = std::mem::take(&mut self.jobs().doomed);
        for id in doomed {
            if let Err(error) = self.unlink(&file(id)) {
                log::warn!("{} can't be removed: {error}", self.path.join(file(id)).display());
            }
        }
    }

    /// What jobs have done since the last call.
    pub(super) fn take_finished(&self) -> Vec<Finished> {
        std::mem::take(&mut self.jobs().finished)
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        // Nothing panics while it has the lock.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the file of a message, and reads the line about it. What is left to read is its content.
    fn open_message(&self, id: MessageId) -> io::Result<(impl Read, About)> {
        // A FIFO with this name would block an open without the flag.
        let file = open_file(&self.root, &file(id), OFlags::RDONLY | OFlags::NONBLOCK)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(damaged("it isn't a regular file"));
        }
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        (&mut file).take(LINE + VERSION.len() as u64 + 1).read_until(b'\n', &mut line)?;
        let text = line.strip_prefix(VERSION).and_then(|line| line.strip_suffix(b"\n"));
        let text = text.ok_or_else(|| damaged("it is no message of this version"))?;
        let about: About = serde_json::from_slice(text).map_err(|_| damaged("its first line is damaged"))?;
        let length = (line.len() as u64).checked_add(about.size);
        if length != Some(metadata.len()) {
            return Err(damaged("it doesn't have its whole content"));
        }
        Ok((file.take(about.size), about))
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.root, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.root)?)
    }
}

fn file(id: MessageId) -> String {
    format!("{id}.mail")
}

fn temporary(id: MessageId) -> String {
    format!("{id}.mail.tmp")
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn open_file(root: &OwnedFd, name: &str, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::openat(root, name, flags, Mode::RUSR | Mode::WUSR)?.into())
}

#[cfg(test)]
mod tests {
    use super::super::Envelope;
    use super::super::mime::Summary;
    use super::*;
    use crate::files::scratch::Scratch;

    fn about(size: u64) -> About {
        About { received: 7, size, envelope: Envelope::default(), summary: Summary::default() }
    }

    #[test]
    fn a_process_that_ends_before_the_rename_leaves_no_message() {
        let files = Scratch::new();
        let (directory, found) = Directory::open(files.path()).unwrap();
        directory.write_temporary(found.next, &json::to_string(&about(5)), b"hello").unwrap();
        drop(directory);
        assert!(files.at("1.mail.tmp").exists());
        let (directory, found) = Directory::open(files.path()).unwrap();
        assert!(found.messages.is_empty() && !files.at("1.mail.tmp").exists());
        // After the rename it is there, whatever the mailbox knows.
        directory.write_temporary(found.next, &json::to_string(&about(5)), b"hello").unwrap();
        directory.publish(found.next).unwrap();
        drop(directory);
        let (directory, found) = Directory::open(files.path()).unwrap();
        assert_eq!((found.messages.len(), found.next.to_string()), (1, "2".to_owned()));
        assert_eq!(directory.read(found.messages[0].0).unwrap(), b"hello");
    }

    #[test]
    fn damaged_and_foreign_files_are_skipped_and_never_replaced() {
        let files = Scratch::new();
        let (directory, found) = Directory::open(files.path()).unwrap();
        directory.write(found.next, about(2), b"\r\n").unwrap();
        drop(directory);
        let whole = std::fs::read(files.at("1.mail")).unwrap();
        for end in 0..whole.len() {
            std::fs::write(files.at(&format!("{}.mail", end + 2)), &whole[..end]).unwrap();
        }
        let last = whole.len() + 2;
        std::fs::write(files.at(&format!("{last}.mail")), [&whole[..], b"x"].concat()).unwrap();
        files.link("900.mail", "1.mail");
        files.fifo("901.mail");
        files.directory("902.mail");
        for name in ["01.mail", "x.mail", "1.eml", "9999999999999999999.mail"] {
            files.file(name, "mine");
        }
        let (_directory, found) = Directory::open(files.path()).unwrap();
        let ids: Vec<_> = found.messages.iter().map(|(id, _)| id.to_string()).collect();
        assert_eq!((ids, found.next.to_string()), (vec!["1".to_owned()], "903".to_owned()));
        assert_eq!(std::fs::read_to_string(files.at("1.eml")).unwrap(), "mine");
        let busy = Directory::open(files.path()).err().unwrap();
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
    }

    #[test]
    fn a_message_that_cannot_be_written_leaves_nothing() {
        let files = Scratch::new();
        let (directory, found) = Directory::open(files.path()).unwrap();
        // Its name is taken, by something that no file can replace.
        files.directory("1.mail/x");
        assert!(directory.write(found.next, about(1), b"x").is_err());
        assert!(!files.at("1.mail.tmp").exists() && directory.take_finished().is_empty());
        let large = Envelope { helo: "x".repeat(2 << 20), ..Default::default() };
        assert!(directory.write(found.next.next(), About { envelope: large, ..about(1) }, b"x").is_err());
        assert!(!files.at("2.mail").exists() && !files.at("2.mail.tmp").exists());
    }
}
