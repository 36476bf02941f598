//! The cache of the proxies.

use std::fmt;
use std::path::PathBuf;

use super::value_text::size;
use crate::limits;

/// The cache of the proxies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyCache {
    /// Where responses are stored.
    pub place: CachePlace,
    /// Most bytes on the disk.
    pub size: u64,
    /// Most bytes in memory.
    pub memory: u64,
}

/// Where responses are stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CachePlace {
    /// Nowhere.
    Off,
    /// In memory, lost at exit.
    Memory,
    /// In this directory; small ones that are used often also in memory.
    Directory(PathBuf),
}

impl Default for ProxyCache {
    fn default() -> Self {
        Self { place: CachePlace::Memory, size: limits::CACHE_DISK, memory: limits::CACHE_MEMORY }
    }
}

impl fmt::Display for ProxyCache {
    /// Where responses are stored, and in at most how many bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            CachePlace::Off => f.write_str("nowhere"),
            CachePlace::Memory => write!(f, "in memory ({}), lost at exit", size(self.memory)),
            CachePlace::Directory(directory) => write!(f, "{} ({})", directory.display(), size(self.size)),
        }
    }
}
