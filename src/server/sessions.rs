//! Where visitors' sessions are kept, and the keys that sign cookies.

use std::path::{Path, PathBuf};

use super::Failure;
use crate::config::{Config, SessionStore};
use crate::durable;
use crate::limits;
use crate::names;
use crate::service::carrier::Link;
use crate::session::kept::{self, Kept};
use crate::session::key::{self, Keys};
use crate::session::memory::Memory;
use crate::session::pending::Pending;
use crate::session::signed::Signed;
use crate::session::{Sessions, Store};

/// The sessions of visitors, as they are to be kept.
pub(super) fn sessions(config: &Config, ring: KeyRing) -> Result<Sessions, Failure> {
    let store = match &config.sessions {
        SessionStore::Memory => Store::Memory(Memory::with_bounds(limits::SESSIONS, sessions_size(config))),
        SessionStore::Cookie => Store::Signed(Signed::new(ring.keys)),
        SessionStore::Directory(directory) => {
            let store = durable::Store::open(directory, kept::NAME, sessions_size(config)).map_err(Failure::Store)?;
            Store::Kept(Kept::new(store))
        }
        SessionStore::Remote(_) => Store::Pending(Pending::default()),
    };
    let sessions = Sessions::new(store, config.session_lifetime);
    sessions.with_cookie(&config.session_cookie).map_err(|why| Failure::Config(why.to_owned()))
}

/// The way to the store of sessions, if that is somewhere else. Its name is looked up once.
pub(super) fn link(config: &Config) -> Result<Option<Link>, Failure> {
    let SessionStore::Remote(place) = &config.sessions else { return Ok(None) };
    let addresses = names::resolve(&place.host, place.port).map_err(|error| Failure::Config(error.to_string()))?;
    Ok(Some(Link::new(place.clone(), addresses)))
}

/// The keys that sign cookies, and where they are.
pub(super) struct KeyRing {
    pub(super) keys: Keys,
    /// The file; else why they are for this run only.
    kept: Result<PathBuf, String>,
}

impl KeyRing {
    /// From the file that is named, or from the usual one if cookies are to outlive
    /// the process. Otherwise nothing is read or made.
    pub(super) fn of(config: &Config) -> Result<Self, Failure> {
        let for_this_run = |why: String| Ok(Self { keys: Keys::random(), kept: Err(why) });
        let named = config.session_key.as_deref();
        let Some(path) = named.map(Path::to_path_buf).or_else(|| key::default_path(|name| std::env::var_os(name)))
        else {
            return for_this_run("this user has no directory for state".to_owned());
        };
        if named.is_none() && config.sessions != SessionStore::Cookie {
            return for_this_run("no file is asked for".to_owned());
        }
        let shown = path.display();
        let outcome = if key::is_below(&path, &config.root) {
            Err(format!("{shown} lies below the root, where it could be served"))
        } else {
            match Keys::open(&path) {
                Ok(keys) => Ok(keys),
                Err(key::Failure::Io(error)) => Err(format!("{shown} can't be used: {error}")),
                Err(key::Failure::Malformed(line)) => {
                    let line = line.map(|line| format!(" in line {line}")).unwrap_or_default();
                    let why = format!("{shown} is no file of keys{line}: a line is 32 octets in base64");
                    return Err(Failure::Config(why));
                }
            }
        };
        match outcome {
            Ok(keys) => {
                if key::is_open_to_others(&path) {
                    log::warn!("others may read the keys in {shown}");
                }
                Ok(Self { keys, kept: Ok(path) })
            }
            // What was asked for is done or said; what wasn't is done as well as can be.
            Err(why) if named.is_some() => Err(Failure::Config(why)),
            Err(why) => {
                log::warn!("cookies are signed by a key for this run: {why}");
                for_this_run(why)
            }
        }
    }

    /// Where sessions are, for people.
    pub(super) fn told(&self, store: &SessionStore) -> String {
        match (store, &self.kept) {
            (SessionStore::Memory, _) => "sessions are in memory, gone at exit".to_owned(),
            (SessionStore::Directory(directory), _) => format!("sessions are in {}", directory.display()),
            (SessionStore::Remote(place), _) => format!("sessions are at {place}"),
            (SessionStore::Cookie, Ok(path)) => format!("sessions are in cookies, signed by {}", path.display()),
            (SessionStore::Cookie, Err(why)) => format!("sessions are in cookies, signed by a key for this run: {why}"),
        }
    }
}

/// The share of the memory that sessions may take.
pub(super) fn sessions_size(config: &Config) -> usize {
    match config.sessions {
        SessionStore::Memory | SessionStore::Directory(_) => limits::SESSIONS_SIZE.min(config.max_memory / 8),
        SessionStore::Cookie | SessionStore::Remote(_) => 0,
    }
}
