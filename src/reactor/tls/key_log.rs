//! The secrets of sessions, written to a file in the format of NSS, for Wireshark.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A file of secrets. Anybody who reads it can decrypt the connections.
pub struct KeyLogFile(Mutex<Sink>);

struct Sink {
    file: File,
    /// The last write failed, which is in the log.
    failing: bool,
}

impl KeyLogFile {
    /// Opens the file to append to it; a new one is for its owner only.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Self(Mutex::new(Sink { file, failing: false })))
    }
}

impl rustls::KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let Sink { file, failing } = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One write a line, so that lines of several processes don't mix. A full disk must not
        // end the connection.
        let written = file.write_all(line.as_bytes());
        let failed_before = std::mem::replace(failing, written.is_err());
        if let Err(error) = written
            && !failed_before
        {
            log::error!("the key log can't be written: {error}");
        }
    }
}

impl fmt::Debug for KeyLogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLogFile")
    }
}
