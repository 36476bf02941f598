//! The destination of log lines: a descriptor, and the lines that it hasn't taken yet.
//!
//! Logging must not slow down the server, so no write waits for a reader:
//!
//! - A pipe or a terminal is opened once more, as a non-blocking one. The one that was inherited
//!   isn't made non-blocking, because that would affect every process that shares it, like the
//!   shell.
//! - A socket is sent to without waiting.
//! - If a system can't open a descriptor again, what remains is to ask for room before each
//!   write. Another process that writes to the same pipe may take that room meanwhile.
//!
//! Streams get at most `PIPE_BUF` bytes at once, after they are polled for room. Bytes that one
//! doesn't take are kept, up to [`BACKLOG`]. Regular files always take everything; they are written
//! to in blocks.
//!
//! Lines beyond the backlog are lost, and so are lines whose write fails: on a full disk, or in
//! a pipe without a reader. They are counted. That it begins is told once ([`News`]), and that it
//! has ended too, when nothing was lost for [`CALM`].

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::reactor::Tick;

/// Collected lines are written when they have this many bytes.
const BLOCK: usize = 64 * 1024;
/// Most bytes that are kept for a slow reader.
const BACKLOG: usize = 4 * BLOCK;
/// The bytes that a pipe with room takes without blocking, on all systems.
const PIPE_BUF: usize = 4096;
/// When nothing was lost for this time, a sink works again. A disk that is almost full takes some
/// lines and loses others; it doesn't fill the diagnostics.
pub(super) const CALM: Duration = Duration::from_secs(1);

/// How a descriptor is written to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A regular file.
    File,
    /// A socket.
    Socket,
    /// A pipe, a terminal or another device.
    Stream,
}

/// Why lines are lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    /// A write failed.
    Failed(Errno),
    /// The reader is too slow.
    Slow,
}

/// What is to be told about a sink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum News {
    /// It loses lines from now on.
    Fails(Cause),
    /// It works again, after it has lost this number of lines.
    Works(u64),
}

/// A time in which lines are lost.
struct Outage {
    cause: Cause,
    /// The lines that were lost in it.
    lines: u64,
    /// How many of them were lost when [`Sink::news`] looked last, and the last time that they
    /// had become more.
    seen: Option<(u64, Tick)>,
}

/// A descriptor, and its pending bytes.
pub(super) struct Sink {
    fd: OwnedFd,
    /// The path to open again.
    path: Option<PathBuf>,
    kind: Kind,
    pending: Vec<u8>,
    /// The last byte that was written isn't a line end.
    within_line: bool,
    /// The last write failed.
    failing: bool,
    outage: Option<Outage>,
    lost: u64,
}

impl Sink {
    /// A sink to an open stream.
    pub(super) fn stream(fd: impl AsFd) -> io::Result<Self> {
        let own = match open_again(fd.as_fd()) {
            Some(own) => own,
            None => fd.as_fd().try_clone_to_owned()?,
        };
        Ok(Self::new(own, None))
    }

    /// A sink that appends to a file, which is created if absent.
    pub(super) fn file(path: &Path) -> io::Result<Self> {
        Ok(Self::new(open(path)?, Some(path.to_owned())))
    }

    fn new(fd: OwnedFd, path: Option<PathBuf>) -> Self {
        let kind = kind(&fd);
        Self { fd, path, kind, pending: Vec::new(), within_line: false, failing: false, outage: None, lost: 0 }
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
            self.lose(1, Cause::Slow);
            return;
        }
        self.end_torn_line();
        self.pending.extend_from_slice(&line);
    }

    /// The file that it appends to.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether it is a terminal, a pipe or a socket, and not a file.
    pub(super) fn is_stream(&self) -> bool {
        self.kind != Kind::File
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
                Err(error) => {
                    self.failing = true;
                    let lines = memchr::memchr_iter(b'\n', &self.pending[done..]).count() as u64;
                    self.lose(lines, Cause::Failed(error));
                    done = self.pending.len();
                }
            }
        }
        self.pending.drain(..done);
    }

    fn write(&self, bytes: &[u8], deadline: Option<Instant>) -> Result<usize, Errno> {
        let count = if self.kind == Kind::File {
            rustix::io::write(&self.fd, bytes)?
        } else {
            let wait = deadline.map(|at| at.saturating_duration_since(Instant::now())).unwrap_or_default();
            let wait = Timespec::try_from(wait).unwrap_or_default();
            if poll(&mut [PollFd::new(&self.fd, PollFlags::OUT)], Some(&wait))? == 0 {
                return Err(Errno::AGAIN);
            }
            let piece = &bytes[..bytes.len().min(PIPE_BUF)];
            match self.kind {
                Kind::Socket => send(&self.fd, piece, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?,
                _ => rustix::io::write(&self.fd, piece)?,
            }
        };
        if count == 0 { Err(Errno::IO) } else { Ok(count) }
    }

    fn lose(&mut self, lines: u64, cause: Cause) {
        self.lost += lines;
        self.outage.get_or_insert(Outage { cause, lines: 0, seen: None }).lines += lines;
    }

    /// How many lines were lost since the start.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// What is to be told now. Everything is told once.
    pub(super) fn news(&mut self, now: Tick) -> Option<News> {
        let outage = self.outage.as_mut()?;
        match outage.seen {
            None => {
                outage.seen = Some((outage.lines, now));
                Some(News::Fails(outage.cause))
            }
            Some((seen, _)) if seen != outage.lines => {
                outage.seen = Some((outage.lines, now));
                None
            }
            // A busy server always has some pending lines. A backlog is more than a block.
            Some((_, last)) if !self.failing && self.pending.len() <= BLOCK && now.since(last) >= CALM => {
                self.outage.take().map(|outage| News::Works(outage.lines))
            }
            Some(_) => None,
        }
    }

    /// Whether lines are being lost, or were a moment ago.
    pub(super) fn has_outage(&self) -> bool {
        self.outage.is_some()
    }

    /// Whether it will have news although nothing more is written.
    pub(super) fn is_recovering(&self) -> bool {
        self.outage.is_some() && !self.failing
    }

    /// Opens the file again, after it was moved. On errors the old file stays open.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.flush();
        if let Some(path) = &self.path {
            self.fd = open(path)?;
            self.kind = kind(&self.fd);
        }
        Ok(())
    }
}

/// How a log file is opened. Non-blocking, because it may be a FIFO without a reader.
const OPEN: OFlags =
    OFlags::WRONLY.union(OFlags::APPEND).union(OFlags::CLOEXEC).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

/// Whether a log file could be opened. It isn't made.
pub(super) fn check(path: &Path) -> io::Result<()> {
    match openat(CWD, path, OPEN, Mode::empty()) {
        Err(Errno::NOENT) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            std::fs::metadata(parent.unwrap_or(Path::new("."))).map(drop)
        }
        other => Ok(other.map(drop)?),
    }
}

/// Opens a log file.
fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OPEN | OFlags::CREATE;
    // Addresses of clients are for the operator only.
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP;
    Ok(openat(CWD, path, flags, mode)?)
}

/// Opens a pipe or a terminal once more, so that it can be non-blocking without affecting others.
/// None for anything else, and if the system can't do it: it needs Linux and its `/proc`.
fn open_again(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
    if kind(fd) != Kind::Stream {
        return None;
    }
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    openat(CWD, format!("/proc/self/fd/{}", fd.as_raw_fd()), flags, Mode::empty()).ok()
}

fn kind(fd: impl AsFd) -> Kind {
    match fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::RegularFile) => Kind::File,
        Ok(FileType::Socket) => Kind::Socket,
        _ => Kind::Stream,
    }
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

    fn at(millis: u64) -> Tick {
        Tick::from_micros(1000 * millis)
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
        assert_eq!(sink.news(at(0)), None);
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
        assert_eq!(sink.news(at(0)), Some(News::Fails(Cause::Slow)));
        // Nothing more is lost, but the reader still doesn't read.
        assert_eq!([sink.news(at(5)), sink.news(at(9000))], [None; 2]);
        let mut some = vec![0; 8 * 1024];
        let mut received = 0;
        while sink.is_pending() {
            received += reader.read(&mut some).unwrap();
            sink.flush();
        }
        // It is told when a second has passed without a loss.
        assert!(sink.is_recovering());
        let lost = sink.lost();
        assert_eq!(sink.news(at(9000)), Some(News::Works(lost)));
        assert_eq!((sink.news(at(9000)), sink.is_recovering()), (None, false));
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
        assert_eq!((sink.lost(), sink.news(at(0))), (2, Some(News::Fails(Cause::Failed(Errno::PIPE)))));
        assert_eq!((sink.news(at(9000)), sink.is_recovering()), (None, false));
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
        assert_eq!((sink.is_pending(), sink.lost()), (false, 1));

        let path = scratch("torn");
        sink.fd = fs::File::create(&path).unwrap().into();
        sink.collect(text(b"two\n"));
        sink.collect(text(b"three\n"));
        sink.flush();
        assert_eq!(sink.news(at(0)), Some(News::Fails(Cause::Failed(Errno::PIPE))));
        assert_eq!(sink.news(at(1000)), Some(News::Works(1)));
        assert_eq!(fs::read(&path).unwrap(), b"\ntwo\nthree\n");
        fs::remove_file(&path).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_loses_lines_only() {
        let mut sink = Sink::file(Path::new("/dev/full")).unwrap();
        sink.collect(text(b"one\n"));
        sink.flush();
        assert_eq!((sink.is_pending(), sink.lost()), (false, 1));
        assert_eq!(sink.news(at(0)), Some(News::Fails(Cause::Failed(Errno::NOSPC))));
    }

    #[test]
    fn an_outage_that_comes_and_goes_is_told_once() {
        let mut sink = Sink::stream(io::pipe().unwrap().1).unwrap();
        sink.lose(1, Cause::Slow);
        assert_eq!(sink.news(at(0)), Some(News::Fails(Cause::Slow)));
        for time in 1..100 {
            sink.lose(1, Cause::Failed(Errno::NOSPC));
            assert_eq!([sink.news(at(900 * time)), sink.news(at(900 * time + 899))], [None; 2]);
        }
        assert_eq!(sink.news(at(900 * 99 + 1000)), Some(News::Works(100)));
        sink.lose(1, Cause::Slow);
        assert_eq!(sink.news(at(90_200)), Some(News::Fails(Cause::Slow)));
        assert_eq!((sink.news(at(91_200)), sink.lost()), (Some(News::Works(1)), 101));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_inherited_pipe_or_terminal_stays_as_it_is_for_others() {
        use rustix::fs::fcntl_getfl;
        use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).and_then(|()| unlockpt(&controller)).unwrap();
        let terminal = ioctl_tiocgptpeer(&controller, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        let (_reader, writer) = io::pipe().unwrap();
        for stream in [terminal, OwnedFd::from(writer)] {
            let mut sink = Sink::stream(&stream).unwrap();
            assert!(!fcntl_getfl(&stream).unwrap().contains(OFlags::NONBLOCK));
            assert!(fcntl_getfl(&sink.fd).unwrap().contains(OFlags::NONBLOCK));
            // A write that asked for room before another process took it doesn't wait.
            sink.collect(text(&[b'x'; 2 * BLOCK]));
            sink.flush();
            assert!(sink.is_pending());
            let more = [b'x'; PIPE_BUF];
            assert_eq!(rustix::io::write(&sink.fd, &more), Err(Errno::AGAIN));
        }
    }

    #[test]
    fn a_socket_whose_reader_does_not_read_is_not_waited_for() {
        let (own, other) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut sink = Sink::stream(&own).unwrap();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..2000 {
            sink.collect(text(&line));
        }
        sink.flush();
        assert!(sink.is_pending() && sink.lost() > 0);
        drop((own, other));
        sink.flush();
        assert!(!sink.is_pending());
    }
}
