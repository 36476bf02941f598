//! The secrets of sessions, in the format of NSS, for Wireshark: written to a file, or kept for a tap.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Most bytes of secrets that are kept: those of one connection in one turn are below 2 KiB. Connections
/// without a tap leave theirs to nobody.
const KEPT: usize = 64 * 1024;

/// Where the secrets of sessions go.
#[derive(Clone, Debug, Default)]
pub struct KeyLog {
    /// The file that gets them.
    pub file: Option<Arc<KeyLogFile>>,
    /// The place where a tap finds them.
    pub kept: Option<Arc<KeptSecrets>>,
}

impl KeyLog {
    /// As rustls takes it.
    pub(super) fn shared(self) -> Arc<dyn rustls::KeyLog> {
        match self {
            Self { file: None, kept: None } => Arc::new(rustls::NoKeyLog {}),
            some => Arc::new(some),
        }
    }
}

impl rustls::KeyLog for KeyLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        if let Some(file) = &self.file {
            file.append(&line);
        }
        if let Some(kept) = &self.kept {
            kept.add(&line);
        }
    }
}

/// Secrets that were not taken yet, as lines.
#[derive(Default)]
pub struct KeptSecrets(Mutex<Vec<u8>>);

impl KeptSecrets {
    fn add(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() + line.len() <= KEPT {
            lines.extend_from_slice(line.as_bytes());
        }
    }

    /// Takes them.
    pub(in super::super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Places are alike, whatever is there.
impl PartialEq for KeptSecrets {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for KeptSecrets {}

impl fmt::Debug for KeptSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeptSecrets")
    }
}

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

    fn append(&self, line: &str) {
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
