//! What can be set about a tap.

use std::path::PathBuf;
use std::sync::Arc;

use crate::reactor::{KeptSecrets, KeyLog, KeyLogFile};

/// The least size of a file or of the ring, in bytes: a few of the longest packets.
pub const LEAST: u64 = 256 * 1024;
/// Most files.
const FILES: usize = 1000;
/// So many files a ring is written to, if nothing else is set.
const DUMPS: usize = 10;

/// What can be set about a tap.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TapSettings {
    /// The file; none: there is no tap.
    pub file: Option<PathBuf>,
    /// Under TLS, the plain text is written.
    pub plain: bool,
    /// Secrets of TLS, or what they protect, may be written. This is where its sessions leave them.
    pub secrets: Option<Arc<KeptSecrets>>,
    /// Most bytes of a file.
    pub size: Option<u64>,
    /// Most files.
    pub files: Option<usize>,
    /// The last packets are kept in memory, up to this many bytes, and written when they are asked for.
    pub ring: Option<usize>,
    /// What other machines send may be written.
    pub public: bool,
}

impl TapSettings {
    /// Finds settings that don't fit together.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), String> {
        let given = [
            ("--tap-plain", self.plain),
            ("--tap-secrets", self.secrets.is_some()),
            ("--tap-size", self.size.is_some()),
            ("--tap-files", self.files.is_some()),
            ("--tap-ring", self.ring.is_some()),
            ("--tap-public", self.public),
        ];
        if self.file.is_none() {
            return match given.iter().find(|(_, is_given)| *is_given) {
                Some((option, _)) => Err(format!("{option} needs --tap FILE")),
                None => Ok(()),
            };
        }
        if self.size.is_some() && self.ring.is_some() {
            return Err("--tap-size and --tap-ring can't be combined: the ring has a size of its own".to_owned());
        }
        if self.files.is_some() && self.size.is_none() && self.ring.is_none() {
            return Err("--tap-files needs --tap-size or --tap-ring".to_owned());
        }
        Ok(())
    }

    /// Finds what is missing for a process that speaks TLS.
    ///
    /// # Errors
    /// That.
    pub fn check_tls(&self) -> Result<(), String> {
        if self.file.is_none() || self.secrets.is_some() {
            return Ok(());
        }
        let why = "everybody who can read the file can read what TLS protects";
        Err(format!("--tap needs --tap-secrets where TLS is spoken, because {why}"))
    }

    /// Sets the most bytes of a file.
    ///
    /// # Errors
    /// If they are too few.
    pub fn set_size(&mut self, size: u64) -> Result<(), String> {
        self.size = Some(least(size)?);
        Ok(())
    }

    /// Sets the bytes that are kept.
    ///
    /// # Errors
    /// If they are too few.
    pub fn set_ring(&mut self, size: usize) -> Result<(), String> {
        least(size as u64)?;
        self.ring = Some(size);
        Ok(())
    }

    /// Sets the most files.
    ///
    /// # Errors
    /// If they are too many.
    pub fn set_files(&mut self, files: usize) -> Result<(), String> {
        if files > FILES {
            return Err(format!("give at most {FILES}"));
        }
        self.files = Some(files);
        Ok(())
    }

    /// Where the secrets of TLS go, if they also go to this file.
    pub fn key_log(&self, file: Option<Arc<KeyLogFile>>) -> KeyLog {
        KeyLog { file, kept: self.kept() }
    }

    /// The place for secrets, if they are to be written.
    pub(super) fn kept(&self) -> Option<Arc<KeptSecrets>> {
        self.secrets.clone().filter(|_| self.file.is_some() && !self.plain)
    }

    /// The files of a tap without a ring.
    pub(super) fn files(&self) -> usize {
        self.files.unwrap_or(1)
    }

    /// The files of a ring.
    pub(super) fn dumps(&self) -> usize {
        self.files.unwrap_or(DUMPS)
    }
}

fn least(size: u64) -> Result<u64, String> {
    if size < LEAST { Err(format!("give at least {}K", LEAST / 1024)) } else { Ok(size) }
}
