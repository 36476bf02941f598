//! The cache of the proxies.

use std::path::PathBuf;

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
