//! The secrets of sessions, written to a file in the format of NSS, for Wireshark.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

/// A file of secrets. Whoever reads it can decrypt the connections.
pub struct KeyLogFile(Mutex<File>);

impl KeyLogFile {
    /// Opens the file to append to it; a new one is for its owner only.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Self(Mutex::new(file)))
    }
}

impl rustls::KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let file = self.0.lock();
        // One write a line, so that lines of several processes don't mix. A full disk must not
        // end the connection.
        if let Ok(mut file) = file
            && let Err(error) = file.write_all(line.as_bytes())
        {
            log::debug!("the key log can't be written: {error}");
        }
    }
}

impl fmt::Debug for KeyLogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLogFile")
    }
}
