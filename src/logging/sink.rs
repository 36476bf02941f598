//! The destination of log lines: a descriptor, and the lines that it hasn't taken yet.
//!
//! Logging must not slow down the server, so no write waits for a reader. A terminal, pipe
//! or socket is polled for room first, and gets at most `PIPE_BUF` bytes at once. (It isn't
//! made non-blocking, because that would affect every process that shares it, like the
//! shell.) Bytes that it doesn't take are kept, up to [`BACKLOG`]. Lines beyond that are
//! dropped and counted, and the count is logged when writing works again. Regular files
//! always take everything; they are written to in blocks.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

/// Collected lines are written when they have this many bytes.
const BLOCK: usize = 64 * 1024;
/// Most bytes that are kept for a slow reader.
const BACKLOG: usize = 4 * BLOCK;
/// The bytes that a pipe with room takes without blocking, on all systems.
const PIPE_BUF: usize = 4096;

/// A descriptor, and its pending bytes.
pub(super) struct Sink {
    fd: OwnedFd,
    /// The path to open again.
    path: Option<PathBuf>,
    /// Most bytes in one write, if the descriptor may block.
    piece: Option<usize>,
    pending: Vec<u8>,
    /// The last byte that was written isn't a line end.
    within_line: bool,
    /// The last write failed.
    failing: bool,
    lost: u64,
}

impl Sink {
    /// A sink to an open stream.
    pub(super) fn stream(fd: impl AsFd) -> io::Result<Self> {
        Ok(Self::new(fd.as_fd().try_clone_to_owned()?, None))
    }

    /// A sink that appends to a file, which is created if absent.
    pub(super) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self::new(open(path)?, Some(path.to_owned())))
    }

    fn new(fd: OwnedFd, path: Option<PathBuf>) -> Self {
        let piece = piece(&fd);
        Self { fd, path, piece, pending: Vec::new(), within_line: false, failing: false, lost: 0 }
    }

    /// Collects the line, with its line end, that `write` appends.
    pub(super) fn collect(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.end_torn_line();
        let start = self.pending.len();
        write(&mut self.pending);
        if self.pending.len() > BLOCK {
            self.make_room(start);
        }
    }

    /// Ends a line whose rest was lost.
    fn end_torn_line(&mut self) {
        if self.pending.is_empty() && self.within_line {
            self.pending.push(b'\n');
        }
    }

    /// Writes the lines before the one at `start`. That one is lost if there is no room.
    #[cold]
    fn make_room(&mut self, start: usize) {
        let line = self.pending.split_off(start);
        self.flush();
        if self.pending.len() + line.len() > BACKLOG {
            self.lost += 1;
            return;
        }
        self.end_torn_line();
        self.pending.extend_from_slice(&line);
    }

    /// Whether it is a terminal, a pipe or a socket, and not a file.
    pub(super) fn is_stream(&self) -> bool {
        self.piece.is_some()
    }

    /// Whether lines are pending.
    pub(super) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes without blocking.
    pub(super) fn flush(&mut self) {
        self.flush_until(None);
    }

    /// Writes for at most `patience`.
    pub(super) fn flush_patiently(&mut self, patience: Duration) {
        self.flush_until(Some(Instant::now() + patience));
    }

    fn flush_until(&mut self, deadline: Option<Instant>) {
        let mut done = 0;
        while done < self.pending.len() {
            match self.write(&self.pending[done..], deadline) {
                Ok(count) => {
                    self.failing = false;
                    done += count;
                    self.within_line = self.pending[done - 1] != b'\n';
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    self.failing = true;
                    self.lost += memchr::memchr_iter(b'\n', &self.pending[done..]).count() as u64;
                    done = self.pending.len();
                }
            }
        }
        self.pending.drain(..done);
    }

    fn write(&self, bytes: &[u8], deadline: Option<Instant>) -> Result<usize, Errno> {
        let count = match self.piece {
            None => rustix::io::write(&self.fd, bytes)?,
            Some(piece) => {
                let wait = deadline.map(|at| at.saturating_duration_since(Instant::now())).unwrap_or_default();
                let wait = Timespec::try_from(wait).unwrap_or_default();
                if poll(&mut [PollFd::new(&self.fd, PollFlags::OUT)], Some(&wait))? == 0 {
                    return Err(Errno::AGAIN);
                }
                rustix::io::write(&self.fd, &bytes[..bytes.len().min(piece)])?
            }
        };
        if count == 0 { Err(Errno::IO) } else { Ok(count) }
    }

    /// The number of lost lines, once after writing works again.
    pub(super) fn losses(&mut self) -> Option<u64> {
        let recovered = self.lost > 0 && !self.failing && self.pending.is_empty();
        recovered.then(|| std::mem::take(&mut self.lost))
    }

    /// Opens the file again, after it was moved. On errors the old file stays open.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.flush();
        if let Some(path) = &self.path {
            self.fd = open(path)?;
            self.piece = piece(&self.fd);
        }
        Ok(())
    }
}

/// Opens a log file. Non-blocking, because it may be a FIFO without a reader.
fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    // Addresses of clients are for the operator only.
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP;
    Ok(openat(CWD, path, flags, mode)?)
}

fn piece(fd: &OwnedFd) -> Option<usize> {
    let is_file = fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    (!is_file).then_some(PIPE_BUF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;

    /// Appends a line.
    fn text(line: &[u8]) -> impl FnOnce(&mut Vec<u8>) {
        move |out| out.extend_from_slice(line)
    }

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("miod-sink-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn a_file_is_appended_to_in_blocks() {
        let path = scratch("append");
        fs::write(&path, "old\n").unwrap();
        let mut sink = Sink::file(&path).unwrap();
        sink.collect(text(b"new\n"));
        assert_eq!(fs::read(&path).unwrap(), b"old\n");
        assert!(sink.is_pending());
        sink.flush();
        assert_eq!(fs::read(&path).unwrap(), b"old\nnew\n");
        assert!(!sink.is_pending());

        let line = [b'x'; 1023].iter().chain(b"\n").copied().collect::<Vec<_>>();
        for _ in 0..64 {
            sink.collect(text(&line));
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), 8);
        sink.collect(text(&line));
        assert_eq!(fs::metadata(&path).unwrap().len(), 8 + 64 * 1024);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_moved_file_is_opened_again() {
        let (path, moved) = (scratch("rotate"), scratch("rotated"));
        let mut sink = Sink::file(&path).unwrap();
        sink.collect(text(b"one\n"));
        fs::rename(&path, &moved).unwrap();
        sink.reopen().unwrap();
        sink.collect(text(b"two\n"));
        sink.flush();
        assert_eq!(fs::read(&moved).unwrap(), b"one\n");
        assert_eq!(fs::read(&path).unwrap(), b"two\n");

        // A directory in its place: the lines go where they went.
        fs::rename(&path, &moved).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(sink.reopen().is_err());
        sink.collect(text(b"three\n"));
        sink.flush();
        assert_eq!(fs::read(&moved).unwrap(), b"two\nthree\n");
        fs::remove_dir(&path).unwrap();
        fs::remove_file(&moved).unwrap();
    }

    #[test]
    fn a_slow_reader_gets_everything_without_blocking_the_writer() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut sink = Sink::stream(&writer).unwrap();
        drop(writer);
        let line = |number: usize| format!("{number:99}\n").into_bytes();
        // More than a pipe holds, less than we keep.
        for number in 0..2000 {
            sink.collect(text(&line(number)));
        }
        sink.flush();
        assert!(sink.is_pending());
        let copy = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        sink.flush_patiently(Duration::from_secs(10));
        assert!(!sink.is_pending());
        assert_eq!(sink.losses(), None);
        drop(sink);
        assert!(copy.join().unwrap() == (0..2000).flat_map(line).collect::<Vec<_>>());
    }

    #[test]
    fn dropped_lines_are_counted_and_reported_after_recovery() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut sink = Sink::stream(&writer).unwrap();
        let line = [b'x'; 1023].iter().chain(b"\n").copied().collect::<Vec<_>>();
        for _ in 0..400 {
            sink.collect(text(&line));
        }
        assert_eq!(sink.losses(), None);
        let mut some = vec![0; 8 * 1024];
        let mut received = 0;
        while sink.is_pending() {
            received += reader.read(&mut some).unwrap();
            sink.flush();
        }
        let lost = sink.losses().unwrap();
        assert_eq!(sink.losses(), None);
        drop((sink, writer));
        received += reader.read_to_end(&mut some).unwrap();
        assert_eq!(received, (400 - lost as usize) * 1024);
        assert!((1..200).contains(&lost), "{lost}");
    }

    #[test]
    fn a_closed_pipe_loses_lines_only() {
        let (reader, writer) = io::pipe().unwrap();
        let mut sink = Sink::stream(&writer).unwrap();
        drop(reader);
        sink.collect(text(b"one\n"));
        sink.collect(text(b"two\n"));
        sink.flush();
        assert!(!sink.is_pending());
        assert_eq!((sink.lost, sink.losses()), (2, None));
    }

    #[test]
    fn a_torn_line_ends_before_the_next() {
        let (reader, writer) = io::pipe().unwrap();
        let mut sink = Sink::stream(&writer).unwrap();
        // More than a pipe holds.
        sink.collect(text(&[&[b'x'; 2 * BLOCK][..], b"\n"].concat()));
        sink.flush();
        drop(reader);
        sink.flush();
        assert_eq!((sink.is_pending(), sink.losses()), (false, None));

        let path = scratch("torn");
        sink.fd = fs::File::create(&path).unwrap().into();
        sink.collect(text(b"two\n"));
        sink.collect(text(b"three\n"));
        sink.flush();
        assert_eq!(sink.losses(), Some(1));
        assert_eq!(fs::read(&path).unwrap(), b"\ntwo\nthree\n");
        fs::remove_file(&path).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_loses_lines_only() {
        let mut sink = Sink::file(Path::new("/dev/full")).unwrap();
        sink.collect(text(b"one\n"));
        sink.flush();
        assert_eq!((sink.is_pending(), sink.lost, sink.losses()), (false, 1, None));
    }
}
