//! Work on the disk: operations, and the jobs that they are done in.
//!
//! The store has one job at a time, so operations are done in their order and never at once. A
//! job gives back what came of each operation, and those that weren't begun, when it is dropped:
//! after it ran, after a panic, and if nobody ran it. So nothing is lost but at the end of the
//! process.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use super::checksum::Checksum;
use super::disk::Disk;
use super::format::{self, Meta};
use super::index::EntryId;
use super::key::{Key, Name};
use super::read::{checked, cut, damaged, open_body, read_head};
use super::response::FillingId;
use super::walk::{Found, Walk};
use crate::http::caching::Freshness;
use crate::panics;

/// A large body is verified in such steps, in bytes, with other operations between.
const VERIFIED: usize = 1024 * 1024;
/// How much is read at once.
const PIECE: usize = 64 * 1024;

/// What an operation is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Subject {
    /// Someone waits for this entry to be in memory.
    Load(EntryId),
    /// The entry, after a change with this number.
    Entry(EntryId, u64),
    /// The entry, after it grew as this response.
    Commit(FillingId, EntryId, u64),
    /// The response that grows.
    Filling(FillingId),
    /// The search for entries of earlier processes.
    Scan,
    /// The purge with this number.
    Purge(u64),
    /// Nobody waits.
    Removal,
}

/// An operation.
pub(super) struct Operation {
    pub(super) subject: Subject,
    pub(super) action: Action,
}

/// What is to be done.
pub(super) enum Action {
    /// Reads an entry, and compares the checksum of its large body, too, if it `verifies`.
    Load { name: Name, verifies: bool },
    /// Goes on with it.
    Verify(Box<Verifying>),
    /// Writes an entry with a small body. The meta data is complete but for the body.
    Write { name: Name, meta: Vec<u8>, body: Option<Arc<Vec<u8>>> },
    /// Writes the next chunk of a large body.
    Append { writer: Arc<Mutex<Writer>>, chunk: Arc<Vec<u8>> },
    /// Makes an entry of a large body. The last chunk is in `rest`.
    Commit { writer: Arc<Mutex<Writer>>, rest: Option<Arc<Vec<u8>>>, name: Name, meta: Vec<u8> },
    /// Removes what was written of a large body.
    Discard(Arc<Mutex<Writer>>),
    /// Replaces the head of an entry. It must have a head with this checksum, and a body of this
    /// length: if an earlier write failed, the file is one that should be gone.
    Update { name: Name, head: Box<[u8]>, freshness: Freshness, replaced: u64, body: u64 },
    /// Removes entries.
    Remove(Vec<Name>),
    /// Removes all entries with this key.
    RemoveKey(Key),
    /// Reads the heads of some entries.
    Walk(Box<Walk>),
}

/// What came of it.
pub(super) enum Effect {
    Done,
    /// So much of a large body is written. The first time with a descriptor to read it.
    Written(Option<OwnedFd>, u64),
    Loaded(Loaded),
    /// There is more to do.
    Again(Action),
    /// What a step found, and the next step.
    Walked(Found, Option<Box<Walk>>),
}

/// An entry that was read.
pub(super) struct Loaded {
    pub(super) uri: Vec<u8>,
    pub(super) head: Vec<u8>,
    pub(super) freshness: Freshness,
    pub(super) body: LoadedBody,
}

pub(super) enum LoadedBody {
    Memory(Vec<u8>),
    File(File, u64),
}

/// A large body whose checksum is being compared.
pub(super) struct Verifying {
    loaded: Loaded,
    checksum: Checksum,
    expected: u64,
    offset: u64,
}

/// The file of a large body that grows.
pub(super) struct Writer {
    directory: u8,
    file: Option<(File, String)>,
    checksum: Checksum,
    length: u64,
    /// A write failed, so the rest is of no use.
    is_broken: bool,
}

impl Writer {
    pub(super) fn new(directory: u8, seed: u64) -> Self {
        Self { directory, file: None, checksum: Checksum::new(seed), length: 0, is_broken: false }
    }

    fn append(&mut self, disk: &Disk, chunk: &[u8]) -> io::Result<Option<OwnedFd>> {
        if self.is_broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.is_broken = true;
        let is_new = self.file.is_none();
        if is_new {
            self.file = Some(disk.create(self.directory)?);
        }
        let Some((file, _)) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        disk.write(file, chunk, self.length)?;
        self.checksum.update(chunk);
        self.length += chunk.len() as u64;
        let reader = is_new.then(|| file.try_clone()).transpose()?;
        self.is_broken = false;
        Ok(reader.map(OwnedFd::from))
    }

    fn discard(&mut self, disk: &Disk) -> io::Result<()> {
        self.is_broken = true;
        self.file.take().map_or(Ok(()), |(_, path)| disk.unlink(&path))
    }
}

/// What came of a job.
pub(super) struct Done {
    pub(super) outcomes: Vec<(Subject, io::Result<Effect>)>,
    /// What wasn't begun.
    pub(super) left: VecDeque<Operation>,
}

/// Work for a thread that may wait for the disk.
pub struct DiskJob {
    disk: Arc<Disk>,
    done: Done,
    back: Sender<Done>,
}

impl DiskJob {
    pub(super) fn new(disk: Arc<Disk>, left: VecDeque<Operation>, back: Sender<Done>) -> Self {
        Self { disk, done: Done { outcomes: Vec::new(), left }, back }
    }

    /// Does the work. The store gets what came of it at its next
    /// [`collect`](super::Store::collect).
    pub fn run(mut self) {
        while let Some(operation) = self.done.left.pop_front() {
            let Operation { subject, action } = operation;
            let result = panics::catch(|| action.run(&self.disk));
            let result = result.unwrap_or_else(|_| Err(io::Error::other("it panicked")));
            self.done.outcomes.push((subject, result));
        }
    }
}

impl Drop for DiskJob {
    fn drop(&mut self) {
        let nothing = Done { outcomes: Vec::new(), left: VecDeque::new() };
        // There may be no store any more.
        let _ = self.back.send(std::mem::replace(&mut self.done, nothing));
    }
}

impl Action {
    /// How many bytes wait in it.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Write { meta, body, .. } => meta.len() + body.as_ref().map_or(0, |body| body.len()),
            Self::Append { chunk, .. } => chunk.len(),
            Self::Commit { rest, meta, .. } => meta.len() + rest.as_ref().map_or(0, |rest| rest.len()),
            Self::Update { head, .. } => head.len(),
            _ => 0,
        };
        bytes as u64
    }

    fn run(self, disk: &Disk) -> io::Result<Effect> {
        let done = |()| Effect::Done;
        match self {
            Self::Load { name, verifies } => load(disk, name, verifies),
            Self::Verify(verifying) => verifying.step(),
            Self::Write { name, meta, body } => {
                let body = body.as_ref().map_or(&[][..], |body| body);
                remove_after(disk, name, write(disk, name, meta, body)).map(done)
            }
            Self::Append { writer, chunk } => {
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                writer.append(disk, &chunk).map(|reader| Effect::Written(reader, writer.length))
            }
            Self::Commit { writer, rest, name, meta } => {
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                let committed = commit(disk, &mut writer, rest.as_ref().map_or(&[], |rest| rest), name, meta);
                if committed.is_err() {
                    let _ = writer.discard(disk);
                }
                remove_after(disk, name, committed).map(|()| Effect::Written(None, writer.length))
            }
            Self::Discard(writer) => writer.lock().unwrap_or_else(PoisonError::into_inner).discard(disk).map(done),
            Self::Update { name, head, freshness, replaced, body } => {
                let is_own =
                    |old: &Meta<'_>| old.body == body && Checksum::of(disk.secret.seed(), old.head) == replaced;
                remove_after(disk, name, update(disk, name, &head, freshness, is_own)).map(done)
            }
            Self::Remove(names) => {
                // Each is tried; the first error counts.
                let results = names.into_iter().map(|name| disk.remove(name));
                results.fold(Ok(()), Result::and).map(done)
            }
            Self::RemoveKey(key) => {
                let listing = disk.list(key.directory())?;
                let names = listing.heads.into_iter().filter(|name| name.key == key);
                names.map(|name| disk.remove(name)).fold(Ok(()), Result::and).map(done)
            }
            Self::Walk(walk) => walk.step(disk).map(|(found, next)| Effect::Walked(found, next)),
        }
    }
}

/// An entry that couldn't be changed isn't kept as it was before: it was replaced for a reason.
fn remove_after(disk: &Disk, name: Name, result: io::Result<()>) -> io::Result<()> {
    if result.is_err() {
        let _ = disk.remove(name);
    }
    result
}

/// Writes the file of an entry with a small body, or without its large body.
fn write_file(disk: &Disk, name: Name, meta: &[u8], body: &[u8]) -> io::Result<()> {
    let (file, path) = disk.create(name.key.directory())?;
    let written = disk.write(&file, meta, 0).and_then(|()| {
        if !body.is_empty() {
            disk.write(&file, body, meta.len() as u64)?;
        }
        disk.publish(&path, name, false)
    });
    if written.is_err() {
        let _ = disk.unlink(&path);
    }
    written
}

fn write(disk: &Disk, name: Name, mut meta: Vec<u8>, body: &[u8]) -> io::Result<()> {
    let seed = disk.secret.seed();
    format::complete(&mut meta, seed, body.len() as u64, Checksum::of(seed, body));
    write_file(disk, name, &meta, body)?;
    // The entry that it replaces may have had a large body.
    disk.remove_body(name)
}

/// A process that ends between the two names leaves a head whose body isn't its own, or a body
/// without a head: both are found.
fn commit(disk: &Disk, writer: &mut Writer, rest: &[u8], name: Name, mut meta: Vec<u8>) -> io::Result<()> {
    if !rest.is_empty() {
        writer.append(disk, rest)?;
    }
    let Some((_, path)) = writer.file.as_ref().filter(|_| !writer.is_broken) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    format::complete(&mut meta, disk.secret.seed(), writer.length, writer.checksum.finish());
    disk.publish(path, name, true)?;
    writer.file = None;
    write_file(disk, name, &meta, &[])
}

fn update(
    disk: &Disk,
    name: Name,
    head: &[u8],
    freshness: Freshness,
    is_own: impl FnOnce(&Meta<'_>) -> bool,
) -> io::Result<()> {
    let seed = disk.secret.seed();
    let (bytes, file_length) = read_head(disk, name)?;
    let old = checked(disk, name, &bytes, file_length)?;
    if !is_own(&old) {
        return Err(damaged("a file is that of an earlier entry"));
    }
    let meta = Meta { head, freshness, ..old };
    write_file(disk, name, &meta.write(seed), &bytes[old.length()..])
}

fn load(disk: &Disk, name: Name, verifies: bool) -> io::Result<Effect> {
    let (mut bytes, length) = read_head(disk, name)?;
    let meta = checked(disk, name, &bytes, length)?;
    let Meta { freshness, body, body_checksum: expected, .. } = meta;
    let [uri, head] = [meta.uri, meta.head].map(<[u8]>::to_vec);
    if meta.is_inline() {
        bytes.drain(..meta.length());
        bytes.shrink_to_fit();
        if Checksum::of(disk.secret.seed(), &bytes) != expected {
            return Err(damaged("a body is damaged"));
        }
        return Ok(Effect::Loaded(Loaded { uri, head, freshness, body: LoadedBody::Memory(bytes) }));
    }
    let file = open_body(disk, name, body)?;
    let loaded = Loaded { uri, head, freshness, body: LoadedBody::File(file, body) };
    if !verifies {
        return Ok(Effect::Loaded(loaded));
    }
    let checksum = Checksum::new(disk.secret.seed());
    Ok(Effect::Again(Action::Verify(Box::new(Verifying { loaded, checksum, expected, offset: 0 }))))
}

impl Verifying {
    fn step(mut self: Box<Self>) -> io::Result<Effect> {
        let LoadedBody::File(file, length) = &self.loaded.body else { return Ok(Effect::Loaded(self.loaded)) };
        let end = length.saturating_sub(self.offset).min(VERIFIED as u64) + self.offset;
        let mut piece = vec![0; PIECE];
        while self.offset < end {
            let size = (end - self.offset).min(PIECE as u64) as usize;
            file.read_exact_at(&mut piece[..size], self.offset).map_err(cut)?;
            self.checksum.update(&piece[..size]);
            self.offset += size as u64;
        }
        if end < *length {
            return Ok(Effect::Again(Action::Verify(self)));
        }
        if self.checksum.finish() != self.expected {
            return Err(damaged("a body is damaged"));
        }
        Ok(Effect::Loaded(self.loaded))
    }
}

/// Verifies an entry whole; for tools.
///
/// # Errors
/// If it is damaged (`InvalidData`), gone (`NotFound`), and those of the system.
pub(super) fn verify(disk: &Disk, name: Name) -> io::Result<Loaded> {
    let mut action = Action::Load { name, verifies: true };
    loop {
        match action.run(disk)? {
            Effect::Loaded(loaded) => return Ok(loaded),
            Effect::Again(next) => action = next,
            _ => return Err(io::ErrorKind::Other.into()),
        }
    }
}
