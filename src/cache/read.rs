//! Reads the files of entries. What isn't as it was written is an error, `InvalidData`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::disk::Disk;
use super::format::{self, FIXED, INLINE, MOST_META, Meta};
use super::key::Name;

/// Reads the file of an entry: all but a large body. Returns its length, too.
pub(super) fn read_head(disk: &Disk, name: Name) -> io::Result<(Vec<u8>, u64)> {
    let (file, length) = disk.open_entry(name, false)?;
    if length > MOST_META as u64 + INLINE {
        return Err(damaged("a file is too long"));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0).map_err(cut)?;
    Ok((bytes, length))
}

/// Reads what is before the body of an entry. Returns the length of its file, too.
pub(super) fn read_meta(disk: &Disk, name: Name) -> io::Result<(Vec<u8>, u64)> {
    let (file, length) = disk.open_entry(name, false)?;
    let mut bytes = vec![0; FIXED];
    file.read_exact_at(&mut bytes, 0).map_err(cut)?;
    let meta = format::meta_length(&bytes).ok_or_else(|| damaged("a file is none of the cache"))?;
    bytes.resize(meta, 0);
    file.read_exact_at(&mut bytes[FIXED..], FIXED as u64).map_err(cut)?;
    Ok((bytes, length))
}

/// What is before the body, if the file is the one that was written under this name.
pub(super) fn checked<'a>(disk: &Disk, name: Name, bytes: &'a [u8], length: u64) -> io::Result<Meta<'a>> {
    let secret = &disk.secret;
    let meta = Meta::read(secret.seed(), bytes).ok_or_else(|| damaged("a file is damaged"))?;
    let is_own = secret.key(meta.uri) == name.key && secret.variant(meta.names, meta.key) == name.variant;
    if !is_own || length != meta.file_length() {
        return Err(damaged("a file has the name of another, or another length"));
    }
    Ok(meta)
}

/// Opens a large body that must have this length, in bytes.
pub(super) fn open_body(disk: &Disk, name: Name, length: u64) -> io::Result<File> {
    match disk.open_entry(name, true) {
        Ok((file, own)) if own == length => Ok(file),
        Ok(_) => Err(damaged("a body has another length")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(damaged("a body is missing")),
        Err(error) => Err(error),
    }
}

/// The file isn't what it should be.
pub(super) fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// An error while a file is read: one that is shorter than it should be is damaged.
pub(super) fn cut(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof { damaged("a file is cut") } else { error }
}
