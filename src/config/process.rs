//! The settings of the whole process.

use std::path::PathBuf;

use super::shown::ShownSetting;
use super::{Mailbox, ProxyCache, UpstreamTimeouts};
use crate::http::forwarded::Proxies;
use crate::limits;
use crate::logging::LogOptions;
use crate::session;
use crate::session::record::Lifetime;
use crate::session::remote::StoreUrl;
use crate::tap::TapSettings;
use crate::trust::Trust;

/// The settings of the whole process.
#[derive(Clone, Debug)]
pub struct Process {
    /// The configuration file, if there is one.
    pub config_file: Option<PathBuf>,
    /// Most bytes that connections, the cache and sessions in memory hold together.
    pub max_memory: usize,
    /// Most connections; `None`: as many as there are file descriptors.
    pub max_connections: Option<usize>,
    /// Most bytes of the cache of small files; 0 turns it off.
    pub cache_size: usize,
    /// The directory of durable stores; `None`: stores are in memory.
    pub data: Option<PathBuf>,
    /// The file that gets the number of the process, while it runs.
    pub pid_file: Option<PathBuf>,
    /// The service for operators may be reached by other machines, and under any name.
    pub admin_public: bool,
    /// All settings as operators can see them.
    pub shown: Vec<ShownSetting>,
    /// The user, and perhaps the group, that the process becomes: `NAME[:GROUP]`.
    pub user: Option<String>,
    /// Whether the running server is in a sandbox. It is around the whole program.
    pub sandbox: Sandbox,
    /// The proxies that are trusted to report the client's address.
    pub trusted_proxies: Proxies,
    /// How long upstreams may take.
    pub upstream_timeouts: UpstreamTimeouts,
    /// Which upstreams are trusted, if the connection to them is by TLS.
    pub upstream_trust: Trust,
    /// The cache of the proxies.
    pub proxy_cache: ProxyCache,
    /// The mailbox, if there is one.
    pub mailbox: Option<Mailbox>,
    /// The sessions of visitors.
    pub sessions: SessionConfig,
    /// Diagnostics and the access log.
    pub logging: LogOptions,
    /// Where what is received and sent is written.
    pub tap: TapSettings,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            config_file: None,
            max_memory: limits::MEMORY,
            max_connections: None,
            cache_size: limits::CACHE,
            data: None,
            pid_file: None,
            admin_public: false,
            shown: Vec::new(),
            user: None,
            sandbox: Sandbox::Off,
            trusted_proxies: Proxies::default(),
            upstream_timeouts: UpstreamTimeouts::default(),
            upstream_trust: Trust::System,
            proxy_cache: ProxyCache::default(),
            mailbox: None,
            sessions: SessionConfig::default(),
            logging: LogOptions::default(),
            tap: TapSettings::default(),
        }
    }
}

/// Whether the running server is in a sandbox of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sandbox {
    /// As far as the kernel can.
    Auto,
    /// No.
    Off,
    /// In full; otherwise the server doesn't start.
    Require,
}

/// The settings of visitors' sessions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionConfig {
    /// Where the sessions are stored.
    pub store: SessionStore,
    /// Which remote stores are trusted, if the connection to them is by TLS.
    pub trust: Trust,
    /// The file with the keys that sign cookies. `None`: the default file, if the cookies
    /// have to outlive the process.
    pub key: Option<PathBuf>,
    /// The name of the cookie.
    pub cookie: String,
    /// How long the sessions live.
    pub lifetime: Lifetime,
}

impl SessionConfig {
    /// Whether the sessions are stored in the same place, in the same way.
    pub fn has_same_store(&self, other: &Self) -> bool {
        (&self.store, &self.trust) == (&other.store, &other.trust)
    }
}

impl Default for SessionConfig {
    fn default() -> Self {
        let cookie = session::COOKIE.to_owned();
        let trust = Trust::System;
        Self { store: SessionStore::Memory, trust, key: None, cookie, lifetime: Lifetime::default() }
    }
}

/// Where visitors' sessions are stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionStore {
    /// In the memory of the process; they are lost at exit.
    Memory,
    /// In the visitor's cookie, signed.
    Cookie,
    /// On disk, in this directory.
    Directory(PathBuf),
    /// In a remote store.
    Remote(StoreUrl),
}
