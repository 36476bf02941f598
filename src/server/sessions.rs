//! Where visitors' sessions are kept, and the keys that sign cookies.

use std::path::{Path, PathBuf};

use super::ServerError;
use crate::config::{Config, Process, SessionStore};
use crate::durable;
use crate::limits;
use crate::names;
use crate::service::session_store_client::SessionStoreLink;
use crate::session::disk_store::{self, DiskStore};
use crate::session::key::{self, Keys};
use crate::session::memory::Memory;
use crate::session::pending::Pending;
use crate::session::signed::Signed;
use crate::session::{Sessions, Store};

/// The sessions of visitors. A store on disk is opened only if files may be created.
pub(super) fn sessions(process: &Process, ring: &KeyRing, may_create: bool) -> Result<Sessions, ServerError> {
    let config = &process.sessions;
    let store = match &config.store {
        SessionStore::Memory => Store::Memory(Memory::with_bounds(limits::SESSIONS, sessions_size(process))),
        SessionStore::Cookie => Store::Signed(Signed::new(ring.keys.clone())),
        SessionStore::Directory(_) if !may_create => Store::Memory(Memory::default()),
        SessionStore::Directory(directory) => {
            let store = durable::Store::open(directory, disk_store::NAME, sessions_size(process));
            Store::Disk(DiskStore::new(store.map_err(ServerError::Store)?))
        }
        SessionStore::Remote(_) => Store::Remote(Pending::default()),
    };
    let sessions = Sessions::new(store, config.lifetime);
    sessions.with_cookie(&config.cookie).map_err(|why| ServerError::Config(why.to_owned()))
}

/// The link to a remote store of sessions. Its name is resolved once.
pub(super) fn link(process: &Process) -> Result<Option<SessionStoreLink>, ServerError> {
    let SessionStore::Remote(url) = &process.sessions.store else { return Ok(None) };
    let addresses = names::resolve(&url.host, url.port).map_err(|error| ServerError::Config(error.to_string()))?;
    let tls = url.tls.then(|| process.sessions.trust.client(&url.host, url.protocol.alpn())).transpose();
    let tls = tls.map_err(ServerError::Config)?;
    Ok(Some(SessionStoreLink::new(url.clone(), addresses, tls)))
}

/// The keys that sign cookies, and their file.
pub(super) struct KeyRing {
    pub(super) keys: Keys,
    /// The file, or why the keys are for this run only.
    file: Result<PathBuf, String>,
}

impl KeyRing {
    /// Reads the configured file, or the default one if cookies have to outlive the process.
    /// Otherwise the keys are random, and no file is read or created.
    pub(super) fn open(config: &Config) -> Result<Self, ServerError> {
        let for_this_run = |why: String| Ok(Self::for_this_run(why));
        let configured = config.process.sessions.key.as_deref();
        let Some(path) = configured.map(Path::to_path_buf).or_else(|| key::default_path(|name| std::env::var_os(name)))
        else {
            return for_this_run("this user has no state directory".to_owned());
        };
        if configured.is_none() && config.process.sessions.store != SessionStore::Cookie {
            return for_this_run("no file is configured".to_owned());
        }
        match read_keys(config, &path)? {
            Ok(keys) => {
                if key::is_open_to_others(&path) {
                    log::warn!("other users can read the keys in {}", path.display());
                }
                Ok(Self { keys, file: Ok(path) })
            }
            // A configured file must work; the default one is optional.
            Err(why) if configured.is_some() => Err(ServerError::Config(why)),
            Err(why) => {
                log::warn!("cookies are signed by a key for this run only: {why}");
                for_this_run(why)
            }
        }
    }

    /// Random keys, and why they are for this run only.
    fn for_this_run(why: String) -> Self {
        Self { keys: Keys::random(), file: Err(why) }
    }

    /// Random keys in place of keys that can't be read, so that a failing start can go on.
    pub(super) fn unreadable() -> Self {
        Self::for_this_run("the keys can't be read".to_owned())
    }

    /// A sentence for the operator: where sessions are stored.
    pub(super) fn describe(&self, store: &SessionStore) -> String {
        match (store, &self.file) {
            (SessionStore::Memory, _) => "sessions are in memory and lost at exit".to_owned(),
            (SessionStore::Directory(directory), _) => format!("sessions are in {}", directory.display()),
            (SessionStore::Remote(url), _) => format!("sessions are at {url}"),
            (SessionStore::Cookie, Ok(path)) => format!("sessions are in cookies, signed by {}", path.display()),
            (SessionStore::Cookie, Err(why)) => {
                format!("sessions are in cookies, signed by a key for this run only: {why}")
            }
        }
    }
}

/// The keys in a file, or why it can't be used.
///
/// # Errors
/// If the file is malformed.
fn read_keys(config: &Config, path: &Path) -> Result<Result<Keys, String>, ServerError> {
    let shown = path.display();
    let mut roots = config.hosts.iter().filter_map(|host| host.root.as_ref());
    if roots.any(|root| key::is_below(path, root)) {
        return Ok(Err(format!("{shown} is below the root, so clients could request it")));
    }
    match Keys::open(path) {
        Ok(keys) => Ok(Ok(keys)),
        Err(key::KeyError::Io(error)) => Ok(Err(format!("{shown} can't be used: {error}"))),
        Err(key::KeyError::Malformed(line)) => {
            let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
            Err(ServerError::Config(format!("{shown}{line}: malformed key; a line is 32 bytes in base64")))
        }
    }
}

/// The share of the memory that sessions may use.
pub(super) fn sessions_size(process: &Process) -> usize {
    match process.sessions.store {
        SessionStore::Memory | SessionStore::Directory(_) => limits::SESSIONS_SIZE.min(process.max_memory / 8),
        SessionStore::Cookie | SessionStore::Remote(_) => 0,
    }
}
