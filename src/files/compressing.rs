//! Compresses files on a helper thread.
//!
//! ```text
//!  loop:    a request that would get it ─▶ job        a later request takes the result
//!                                           │              ▲
//!  helper:                                  └─▶ made ──────┘ or dropped, with a job that is skipped
//! ```
//!
//! Nobody waits: until it is made, the file is sent as it is. The entry of the file has the one end
//! of a channel, the job the other. So the result needs no message: the next request that would get
//! it finds it. A job that was skipped, because the connection that began it is gone, shows as a
//! closed channel, and is begun again.
//!
//! The result is in memory, behind a descriptor (memfd_create(2)): so it is sent like any file. It
//! is bounded before it is made, and what it may become counts in the cache from the beginning.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use rustix::fs::{MemfdFlags, SealFlags};

use super::read::read_range;
use super::resolve::{Metadata, Opened, Root};
use crate::compression::{Coding, Crc, Encoder};

/// Bytes of memory that a job and its result take beside the content: the channel, or what the
/// entry has of a form.
const OVERHEAD: usize = 2 * 1024;

/// The size of a page of memory.
const PAGE: usize = 4096;

/// How much is read at once, in bytes.
const PIECE: usize = 64 * 1024;

/// A job that compresses a file.
pub struct CompressionJob {
    root: Root,
    path: Box<[u8]>,
    metadata: Metadata,
    coding: Coding,
    level: u8,
    most: u64,
    result: SyncSender<Option<Compressed>>,
}

/// A compressed file, in memory.
pub(super) struct Compressed {
    pub(super) file: File,
    pub(super) size: u64,
    /// The checksum of its bytes. Other machines and versions may compress the same file to others.
    pub(super) sum: u32,
}

/// The other end of a job.
pub(super) struct Compressing {
    result: Receiver<Option<Compressed>>,
    most: u64,
}

/// What has become of a job.
pub(super) enum Outcome {
    Running(Compressing),
    Made(Compressed),
    /// It isn't smaller, or the file can't be read.
    Useless,
    /// It was not begun.
    Skipped,
}

/// A job that compresses the file at `path`, which has this metadata, in a coding at a level, and its
/// other end. A result of more than `most` bytes is useless.
pub(super) fn begin(
    root: &Root,
    path: &[u8],
    metadata: &Metadata,
    (coding, level): (Coding, u8),
    most: u64,
) -> (CompressionJob, Compressing) {
    let (send, result) = sync_channel(1);
    let (root, path, metadata) = (root.clone(), path.into(), *metadata);
    let job = CompressionJob { root, path, metadata, coding, level, most, result: send };
    (job, Compressing { result, most })
}

impl Compressing {
    /// What has become of it.
    pub(super) fn outcome(self) -> Outcome {
        match self.result.try_recv() {
            Ok(Some(compressed)) => Outcome::Made(compressed),
            Ok(None) => Outcome::Useless,
            Err(TryRecvError::Empty) => Outcome::Running(self),
            Err(TryRecvError::Disconnected) => Outcome::Skipped,
        }
    }

    /// Bytes of memory that it may take.
    pub(super) fn memory(&self) -> usize {
        OVERHEAD + memory(self.most)
    }
}

/// The most bytes of a result that is of use, for a file of `size` bytes: it is smaller by a
/// twentieth, and has room in `room` bytes of memory.
pub(super) fn most(size: u64, room: usize) -> u64 {
    let room = room.saturating_sub(OVERHEAD) / PAGE * PAGE;
    (size - size / 20).min(room as u64)
}

/// Bytes of memory behind a descriptor: whole pages.
pub(super) fn memory(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX).saturating_add(PAGE - 1) / PAGE * PAGE
}

impl CompressionJob {
    /// Compresses the file.
    pub fn run(self) {
        let made = self.compress().unwrap_or_else(|error| {
            log::debug!("compressing {}: {error}", String::from_utf8_lossy(&self.path).escape_debug());
            None
        });
        // The entry may be gone.
        let _ = self.result.try_send(made);
    }

    fn compress(&self) -> io::Result<Option<Compressed>> {
        let changed = || io::Error::other("the file has changed");
        let Ok(Opened::File { file, metadata, .. }) = self.root.get(&self.path) else { return Err(changed()) };
        if metadata != self.metadata {
            return Err(changed());
        }
        let mut made = Memory::new(self.most)?;
        let mut encoder = Encoder::new(self.coding, self.level);
        let (mut input, mut output) = (Vec::new(), Vec::new());
        let mut at = 0;
        while at < metadata.size {
            input.clear();
            let length = usize::try_from(metadata.size - at).unwrap_or(PIECE).min(PIECE);
            read_range(&file, at, length, &mut input)?;
            at += length as u64;
            encoder.write(&input, &mut output);
            if !made.take(&mut output)? {
                return Ok(None);
            }
        }
        encoder.finish(&mut output);
        if !made.take(&mut output)? {
            return Ok(None);
        }
        // What was read while the file was written may be neither the old nor the new content.
        if Metadata::of(&rustix::fs::fstat(&file)?) != Some(metadata) {
            return Err(changed());
        }
        made.seal().map(Some)
    }
}

/// A file in memory that grows.
struct Memory {
    file: File,
    size: u64,
    most: u64,
    sum: Crc,
}

impl Memory {
    fn new(most: u64) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let create = |flags| rustix::fs::memfd_create("miod-compressed", flags);
        // A system may demand that nothing in it can be run; kernels before 6.3 don't know that.
        let file = create(flags | MemfdFlags::NOEXEC_SEAL).or_else(|_| create(flags))?;
        Ok(Self { file: file.into(), size: 0, most, sum: Crc::new() })
    }

    /// Appends bytes. False if they are too many.
    fn take(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let size = self.size + bytes.len() as u64;
        if size > self.most {
            return Ok(false);
        }
        self.file.write_all_at(bytes, self.size)?;
        self.size = size;
        self.sum.update(bytes);
        bytes.clear();
        Ok(true)
    }

    /// From now on it can't be changed.
    fn seal(self) -> io::Result<Compressed> {
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        rustix::fs::fcntl_add_seals(&self.file, seals)?;
        Ok(Compressed { file: self.file, size: self.size, sum: self.sum.sum() })
    }
}
