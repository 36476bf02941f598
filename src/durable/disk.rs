//! The store on disk: one redb file with one table. Each row is the expiry and the value.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{fmt, mem};

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, Table, TableDefinition};

use super::journal::{Medium, Write};
use super::records::{Change, Record};
use super::reserve::{Reserve, is_full};
use crate::panics;

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// Size of redb's page cache in bytes: enough for the pages that a commit touches. All values
/// are in memory anyway.
const PAGES: usize = 1024 * 1024;

/// Why a store can't be opened.
#[derive(Debug)]
pub struct OpenError {
    /// The path of the file, or of its directory.
    pub path: PathBuf,
    /// The cause.
    pub error: io::Error,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error.kind() {
            io::ErrorKind::ResourceBusy => f.write_str("another process has it open"),
            io::ErrorKind::InvalidData => write!(f, "this is no store of miod, or it is damaged ({})", self.error),
            _ => fmt::Display::fmt(&self.error, f),
        }
    }
}

impl std::error::Error for OpenError {}

/// The file of a store.
pub(super) struct Disk {
    path: PathBuf,
    /// None between a failure and the next attempt to open it.
    database: Option<Database>,
    reserve: Reserve,
}

impl Disk {
    /// Opens the store `name` in `directory` and calls `each` with every record.
    pub(super) fn open(directory: &Path, name: &str, each: &mut dyn FnMut(&[u8], Record)) -> Result<Self, OpenError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| OpenError { path, error }
        };
        if !directory.exists() {
            log::info!("the directory {} is created", directory.display());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(at(directory))?;
        let reserve = Reserve::at(directory.join(format!("{name}.reserve")));
        let mut disk = Self { path: directory.join(format!("{name}.redb")), database: None, reserve };
        let mut begun = disk.begin_safely(each);
        if begun.as_ref().is_err_and(is_full) && disk.reserve.release() {
            begun = disk.begin_safely(each);
        }
        begun.map_err(at(&disk.path))?;
        if let Err(error) = disk.reserve.hold() {
            log::warn!("the disk of {} is full, so only removals are possible: {error}", disk.path.display());
        }
        // The directory entry must be as durable as the file.
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(at(directory))?;
        Ok(disk)
    }

    /// Calls `each` with every record of the store `name` in `directory`, even if another
    /// process has it open.
    ///
    /// It reads a copy of the file that may be torn by concurrent writes. Everything that the
    /// root refers to is checksummed, so a torn copy is detected, and a new one is made.
    pub(super) fn copy(directory: &Path, name: &str, each: &mut dyn FnMut(&[u8], Record)) -> Result<(), OpenError> {
        /// A copy takes milliseconds, so only a process that writes without pause can tear this
        /// many.
        const TRIES: usize = 20;
        let path = directory.join(format!("{name}.redb"));
        let mut result = Ok(());
        for _ in 0..TRIES {
            let mut records = Vec::new();
            let bytes = match fs::read(&path) {
                Ok(bytes) if bytes.is_empty() => return Err(OpenError { path, error: empty() }),
                Err(error) => return Err(OpenError { path, error }),
                Ok(bytes) => bytes,
            };
            let attempt = panics::catch_expected(|| {
                let memory = InMemoryBackend::new();
                memory.set_len(bytes.len() as u64)?;
                memory.write(0, &bytes)?;
                drop(bytes);
                let mut database = Database::builder().create_with_backend(memory).map_err(system)?;
                database.check_integrity().map_err(system)?;
                rows(&database, &mut |key, record| records.push((key.to_vec(), record)))
            });
            // Everything is in memory, so any error is one of the data.
            let damaged = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            result = attempt.unwrap_or_else(|_| Err(io::ErrorKind::InvalidData.into())).map_err(damaged);
            if result.is_ok() {
                records.into_iter().for_each(|(key, record)| each(&key, record));
                break;
            }
        }
        result.map_err(|error| OpenError { path, error })
    }

    /// As [`begin`](Self::begin). Some damage makes redb panic; it finds most other damage only
    /// when it reads the page.
    fn begin_safely(&mut self, each: &mut dyn FnMut(&[u8], Record)) -> io::Result<()> {
        let begun = panics::catch_expected(|| self.begin(each));
        let begun = begun.unwrap_or_else(|_| Err(io::ErrorKind::InvalidData.into()));
        if begun.is_err() {
            // redb can also panic when it closes a damaged file.
            let _ = panics::catch_expected(|| drop(mem::take(&mut self.database)));
        }
        begun
    }

    fn begin(&mut self, each: &mut dyn FnMut(&[u8], Record)) -> io::Result<()> {
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path);
        if created.is_ok() {
            log::info!("a new store begins in {}", self.path.display());
        }
        self.open_file(created.is_ok())?;
        let database = self.database.as_mut().ok_or(io::ErrorKind::NotFound)?;
        database.check_integrity().map_err(system)?;
        // Creates the table, so that it can be read.
        let transaction = database.begin_write().map_err(system)?;
        transaction.open_table(RECORDS).map_err(system)?;
        transaction.commit().map_err(system)?;
        rows(database, each)
    }

    /// Opens the database. An empty file is one only if it is new: ours are never empty, so this
    /// one has lost everything, or isn't ours.
    fn open_file(&mut self, new: bool) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        if !new && file.metadata()?.len() == 0 {
            return Err(empty());
        }
        self.database = Some(Database::builder().set_cache_size(PAGES).create_file(file).map_err(system)?);
        Ok(())
    }

    fn database(&self) -> io::Result<&Database> {
        self.database.as_ref().ok_or_else(|| io::Error::other("the store isn't open"))
    }
}

impl Medium for Disk {
    fn commit(&mut self, batch: &[Write]) -> io::Result<Vec<bool>> {
        let transaction = self.database()?.begin_write().map_err(system)?;
        let mut were = Vec::with_capacity(batch.len());
        {
            let mut table = transaction.open_table(RECORDS).map_err(system)?;
            let mut row = Vec::new();
            for write in batch {
                let mut was = false;
                for change in &write.changes {
                    was |= apply(&mut table, change, write.now, &mut row)?;
                }
                were.push(was);
            }
        }
        transaction.commit().map_err(system)?;
        Ok(were)
    }

    fn recover(&mut self) -> io::Result<()> {
        // The old one holds the lock that the new one needs.
        drop(mem::take(&mut self.database));
        self.open_file(false)
    }

    fn reserve(&mut self) -> io::Result<()> {
        self.reserve.hold()
    }

    fn release(&mut self) -> bool {
        self.reserve.release()
    }

    fn read(&mut self, key: &[u8]) -> io::Result<Option<Record>> {
        let transaction = self.database()?.begin_read().map_err(system)?;
        let table = transaction.open_table(RECORDS).map_err(system)?;
        let row = table.get(key).map_err(system)?;
        row.map(|row| decode(row.value())).transpose()
    }

    fn close(&mut self) {
        // redb can panic when it closes a damaged file.
        let _ = panics::catch_expected(|| drop(mem::take(&mut self.database)));
    }
}

fn empty() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file is empty; if it is removed, a new store begins")
}

/// Calls `each` with every record.
fn rows(database: &Database, each: &mut dyn FnMut(&[u8], Record)) -> io::Result<()> {
    let transaction = database.begin_read().map_err(system)?;
    for row in transaction.open_table(RECORDS).map_err(system)?.iter().map_err(system)? {
        let (key, row) = row.map_err(system)?;
        each(key.value(), decode(row.value())?);
    }
    Ok(())
}

/// Makes one change. Returns whether there was a record that was live at `now`.
fn apply(table: &mut Table<'_, &[u8], &[u8]>, change: &Change, now: i64, row: &mut Vec<u8>) -> io::Result<bool> {
    let live = |row: &[u8]| decode(row).is_ok_and(|record| record.is_live(now));
    let before = match change {
        Change::Put(key, record) => {
            row.clear();
            row.extend_from_slice(&record.expires.unwrap_or(i64::MAX).to_be_bytes());
            row.extend_from_slice(&record.value);
            table.insert(&**key, row.as_slice()).map_err(system)?
        }
        Change::Remove(key) => table.remove(&**key).map_err(system)?,
        Change::Expire(key, then) => {
            let row = table.get(&**key).map_err(system)?;
            let expired = row.map(|row| decode(row.value())).transpose()?.is_some_and(|record| !record.is_live(*then));
            if expired { table.remove(&**key).map_err(system)? } else { None }
        }
    };
    Ok(before.is_some_and(|row| live(row.value())))
}

/// Decodes a row: eight bytes of expiry, the greatest number for none, then the value.
fn decode(row: &[u8]) -> io::Result<Record> {
    let (expires, value) = row.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
    let expires = Some(i64::from_be_bytes(*expires)).filter(|expires| *expires != i64::MAX);
    Ok(Record { value: value.into(), expires })
}

/// Converts an error of redb into the error kinds that callers distinguish.
fn system(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        // A file that is shorter than its header says.
        redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            io::Error::new(io::ErrorKind::InvalidData, error)
        }
        redb::Error::Io(error) => error,
        redb::Error::DatabaseAlreadyOpen => io::ErrorKind::ResourceBusy.into(),
        error @ (redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::RepairAborted
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TypeDefinitionChanged { .. }) => io::Error::new(io::ErrorKind::InvalidData, error),
        error => io::Error::other(error),
    }
}
