//! The state that outlives a change of the configuration: the keys that sign cookies, and
//! the directory of durable stores.
//!
//! An open store isn't part of it. It belongs to its application, because only one process
//! may have it open.

use std::path::PathBuf;

use super::ServerError;
use super::error::Faults;
use super::sessions::KeyRing;
use crate::config::Config;
use crate::durable;

/// The state of a server.
pub(super) struct State {
    pub(super) keys: KeyRing,
    data: Option<PathBuf>,
}

impl State {
    /// Reads the keys, if the server's own files are `hidden` from clients: the key file
    /// may be created.
    pub(super) fn open(config: &Config, hidden: bool, faults: &mut Faults) -> Self {
        let keys = if hidden { faults.keep(KeyRing::open(config)) } else { None };
        let keys = keys.unwrap_or_else(KeyRing::unreadable);
        Self { keys, data: config.process.data.clone() }
    }

    /// Whether stores are on disk.
    pub(super) fn is_durable(&self) -> bool {
        self.data.is_some()
    }

    /// The store of this name, on disk or in memory, for at most this many bytes.
    pub(super) fn store(&self, name: &str, capacity: usize) -> Result<durable::Store, ServerError> {
        match &self.data {
            Some(directory) => durable::Store::open(directory, name, capacity).map_err(ServerError::Store),
            None => Ok(durable::Store::in_memory(capacity)),
        }
    }
}
