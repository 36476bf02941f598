//! Files of certificates on disk: read whole and with a limit, written atomically.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::error::{CertificateError, Problem};
use crate::limits;

/// The content of a file, and whether all users may read it.
///
/// What isn't a file is refused. The file is opened without waiting: a FIFO has perhaps no
/// writer.
pub(super) fn read(path: &Path) -> Result<(Vec<u8>, bool), CertificateError> {
    let wrong = |problem| CertificateError::new(path, problem);
    let unreadable = |error| CertificateError::new(path, Problem::Unreadable(error));
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let kind = metadata.file_type();
    if !kind.is_file() {
        let kinds = [(kind.is_dir(), "a directory"), (kind.is_fifo(), "a FIFO"), (kind.is_char_device(), "a device")];
        let kind = kinds.iter().find(|(is, _)| *is).map_or("something else", |(_, kind)| *kind);
        return Err(wrong(Problem::NoFile(kind)));
    }
    let mut content = Vec::new();
    let limit = limits::CERTIFICATE_FILE;
    file.take(limit + 1).read_to_end(&mut content).map_err(unreadable)?;
    match content.len() as u64 {
        0 => Err(wrong(Problem::Empty)),
        length if length > limit => Err(wrong(Problem::TooLarge)),
        _ => Ok((content, metadata.permissions().mode() & 0o004 != 0)),
    }
}

/// Replaces a file. After a failure or a crash at any moment it has the old content or the new
/// one. Only the owner may read it. The caller holds the lock of the directory.
pub(super) fn replace(directory: &Path, name: &str, content: &str) -> Result<(), CertificateError> {
    let path = directory.join(name);
    let attempt = || {
        let new = directory.join(format!("{name}.new"));
        // It may be left from a process that was killed.
        if let Err(error) = fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        // The directory entry must be as durable as the file.
        File::open(directory)?.sync_all()
    };
    attempt().map_err(|error| CertificateError::new(&path, Problem::Unwritable(error)))
}

/// Renames a file that can't be used, if there is one, to `NAME.old`: perhaps its owner can do
/// something with it.
pub(super) fn set_aside(directory: &Path, name: &str) -> Result<(), CertificateError> {
    let path = directory.join(name);
    match fs::rename(&path, directory.join(format!("{name}.old"))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CertificateError::new(&path, Problem::Unwritable(error)))
        }
        _ => Ok(()),
    }
}

/// Creates a directory for the owner alone, if it doesn't exist, and locks it against other
/// processes until the file is closed.
pub(super) fn lock(directory: &Path) -> Result<File, CertificateError> {
    let create = || DirBuilder::new().recursive(true).mode(0o700).create(directory);
    create().map_err(|error| CertificateError::new(directory, Problem::Unwritable(error)))?;
    let path = directory.join("lock");
    let attempt = || {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NONBLOCK);
        let file = file.open(&path)?;
        // A holder makes two certificates at most, in milliseconds.
        while let Err(error) = file.lock() {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Ok(file)
    };
    attempt().map_err(|error| CertificateError::new(&path, Problem::Unwritable(error)))
}
