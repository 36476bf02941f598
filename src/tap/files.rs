//! Packets as files, which are limited and rotated.
//!
//! ```text
//! FILE.2 ◄─ FILE.1 ◄─ FILE ◄── blocks
//! ```
//!
//! Each file is a whole capture: it has names, and the secrets of connections before the first of their
//! packets. Blocks are written whole. So a file that is cut off by the end of the process is one, too.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::store::{self, Counts, Packet, Store};
use crate::capture::pcapng;
use crate::reactor::Handle;

/// Blocks are written when they have this many bytes, or at the end of a batch.
const BLOCK: usize = 256 * 1024;
/// What the end of a file takes, at most.
const END: u64 = 64;
/// Most bytes of secrets of a connection.
pub(super) const SECRETS: usize = 16 * 1024;

/// Where the files are, and how many at most.
pub(super) struct Place {
    path: PathBuf,
    files: usize,
}

impl Place {
    pub(super) fn new(path: &Path, files: usize) -> Self {
        Self { path: path.to_owned(), files }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file anew, for its owner only.
    ///
    /// # Errors
    /// If something else than a file is there, or the system refuses.
    pub(super) fn create(&self) -> io::Result<File> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if found.is_file() => fs::remove_file(&self.path)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it isn't a regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)
    }

    /// Gives the older files their next names, and makes the file anew.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub(super) fn rotate(&self) -> io::Result<File> {
        for number in (1..self.files).rev() {
            match fs::rename(self.older(number - 1), self.older(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.create()
    }

    fn older(&self, number: usize) -> PathBuf {
        let mut name = OsString::from(&self.path);
        if number > 0 {
            name.push(format!(".{number}"));
        }
        name.into()
    }
}

/// Secrets of an open connection.
struct Secrets {
    lines: Vec<u8>,
    /// So many bytes of them are in the present file.
    written: usize,
}

/// Files that are written.
pub(super) struct Files {
    place: Place,
    limit: Option<u64>,
    /// None after an error, or when the only file is full.
    file: Option<File>,
    /// Bytes in it.
    written: u64,
    /// Blocks that aren't in it yet, and the packets of them.
    out: Vec<u8>,
    waiting: u64,
    names: Vec<(IpAddr, String)>,
    secrets: HashMap<Handle, Secrets>,
    counts: Counts,
}

impl Files {
    /// Makes the first file.
    ///
    /// # Errors
    /// As [`Place::create`].
    pub(super) fn open(path: &Path, files: usize, limit: Option<u64>) -> io::Result<Self> {
        let place = Place::new(path, files);
        let file = place.create()?;
        let (names, secrets, counts) = (Vec::new(), HashMap::new(), Counts::default());
        let mut this =
            Self { place, limit, file: Some(file), written: 0, out: Vec::new(), waiting: 0, names, secrets, counts };
        store::begin(&mut this.out, &this.names);
        this.write()?;
        Ok(this)
    }

    /// Writes the blocks that wait.
    fn write(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(&self.out)?;
        }
        self.written += self.out.len() as u64;
        self.waiting = 0;
        self.out.clear();
        Ok(())
    }

    fn try_write(&mut self) {
        if let Err(error) = self.write() {
            self.fail(&error);
        }
    }

    /// Nothing is written any more.
    fn fail(&mut self, error: &io::Error) {
        log::error!("the tap {} can't be written, and stops: {error}", self.place.path.display());
        self.counts.dropped += self.waiting;
        self.waiting = 0;
        self.out.clear();
        self.file = None;
    }

    /// Whether the file has no room for what waits.
    fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.written + self.out.len() as u64 + END > limit)
    }

    /// Adds a packet, and secrets before it that aren't in the file yet.
    fn add(&mut self, packet: &Packet<'_>) {
        if let Some(secrets) = self.secrets.get_mut(&packet.of)
            && secrets.written < secrets.lines.len()
        {
            pcapng::secrets(&mut self.out, &secrets.lines[secrets.written..]);
            secrets.written = secrets.lines.len();
        }
        store::packet(&mut self.out, packet);
        self.waiting += 1;
    }

    /// Ends the file, and begins the next one, if there may be one.
    fn next_file(&mut self) {
        self.end_file();
        if self.file.is_none() {
            return;
        }
        if self.place.files == 1 {
            log::warn!("the tap {} has reached its size, and stops", self.place.path.display());
            self.file = None;
            return;
        }
        match self.place.rotate() {
            Ok(file) => {
                self.file = Some(file);
                self.written = 0;
                self.secrets.values_mut().for_each(|secrets| secrets.written = 0);
                store::begin(&mut self.out, &self.names);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn end_file(&mut self) {
        if self.file.is_some() {
            store::end(&mut self.out, self.counts);
            self.try_write();
        }
    }
}

impl Store for Files {
    fn packet(&mut self, packet: &Packet<'_>) {
        self.counts.time = packet.time;
        if self.file.is_some() {
            let before = self.out.len();
            self.add(packet);
            if self.is_full() {
                self.out.truncate(before);
                self.waiting -= 1;
                self.next_file();
                if self.file.is_some() {
                    self.add(packet);
                }
            }
        }
        self.counts.received += 1;
        self.counts.dropped += u64::from(self.file.is_none());
        if self.out.len() >= BLOCK {
            self.try_write();
        }
    }

    fn secrets(&mut self, of: Handle, lines: &[u8]) {
        let secrets = self.secrets.entry(of).or_insert_with(|| Secrets { lines: Vec::new(), written: 0 });
        if secrets.lines.len() + lines.len() <= SECRETS {
            secrets.lines.extend_from_slice(lines);
        }
    }

    fn name(&mut self, address: IpAddr, name: &str) {
        store::name(&mut self.out, address, name);
        self.names.push((address, name.to_owned()));
    }

    fn lose(&mut self, packets: u64) {
        self.counts.received += packets;
        self.counts.dropped += packets;
    }

    fn closed(&mut self, of: Handle) {
        self.secrets.remove(&of);
    }

    fn ask(&mut self) {}

    fn flush(&mut self) {
        if !self.out.is_empty() {
            self.try_write();
        }
    }

    fn finish(&mut self) {
        self.end_file();
        if self.counts.dropped > 0 {
            let Counts { received, dropped, .. } = self.counts;
            log::warn!("the tap {} lacks {dropped} of {received} packets", self.place.path.display());
        }
    }
}
