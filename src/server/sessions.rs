//! Where visitors' sessions are kept, and the keys that sign cookies.
//!
//! A host has its sessions, and an exchange has its host. So a reload gives other sessions to the
//! new hosts, and the requests that began before end with those that they began with. The old
//! store is closed when the last of them has ended.

use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

use super::ServerError;
use crate::config::{Config, Process, SessionConfig, SessionStore};
use crate::durable;
use crate::limits;
use crate::names;
use crate::reactor::Reactor;
use crate::service::session_store_client::{SessionStoreLink, StoredSessions};
use crate::service::{Service, http};
use crate::session::disk_store::{self, DiskStore};
use crate::session::key::{self, Keys};
use crate::session::memory::Memory;
use crate::session::pending::Pending;
use crate::session::remote::StoreUrl;
use crate::session::signed::Signed;
use crate::session::{Sessions, SharedStore, Store};

/// The sessions that all hosts have, and the settings that they were opened with.
pub(super) struct Visitors {
    config: SessionConfig,
    stored: Rc<StoredSessions>,
    /// The stores on disk that may still be open, and their directories. An exchange from before a
    /// reload may have one, and it can't be opened twice.
    on_disk: Vec<(PathBuf, Weak<SharedStore>)>,
}

impl Visitors {
    /// Opens the store, unless it is open already: a store stays if its settings do. A store on
    /// disk is opened only if files may be created.
    pub(super) fn open(
        process: &Process,
        ring: &KeyRing,
        may_create: bool,
        present: Option<&Self>,
    ) -> Result<Self, ServerError> {
        let config = process.sessions.clone();
        let mut on_disk = present.map(|present| present.on_disk.clone()).unwrap_or_default();
        on_disk.retain(|(_, store)| store.strong_count() > 0);
        let kept = present.filter(|present| present.config.has_same_store(&config));
        let (store, link) = match (kept.map(|kept| &*kept.stored), &config.store) {
            // It has no state but the keys.
            (_, SessionStore::Cookie) => (SharedStore::new(Store::Signed(Signed::new(ring.keys.clone()))), None),
            (Some(kept), _) => (kept.sessions.shared_store(), kept.link.clone()),
            (None, SessionStore::Memory) => {
                (SharedStore::new(Store::Memory(Memory::with_bounds(limits::SESSIONS, sessions_size(process)))), None)
            }
            (None, SessionStore::Directory(_)) if !may_create => {
                (SharedStore::new(Store::Memory(Memory::default())), None)
            }
            (None, SessionStore::Directory(directory)) => (on_disk_at(directory, process, &mut on_disk)?, None),
            (None, SessionStore::Remote(url)) => {
                let store = SharedStore::new(Store::Remote(Pending::default()));
                let link = link(url, process, &store)?;
                (store, Some(link))
            }
        };
        let sessions = Sessions::sharing(store, config.lifetime);
        let sessions = sessions.with_cookie(&config.cookie).map_err(|why| ServerError::Config(why.to_owned()))?;
        Ok(Self { config, stored: Rc::new(StoredSessions { sessions, link }), on_disk })
    }

    /// Gives all hosts their sessions.
    pub(super) fn give_to(&self, hosts: &mut [http::Host]) {
        hosts.iter_mut().for_each(|host| host.sessions = Rc::clone(&self.stored));
    }

    /// Begins to use them, in place of those that are `present`. A new remote store is connected
    /// to, so that an error is logged now.
    pub(super) fn begin(&self, process: &Process, present: Option<&Self>, reactor: &mut Reactor<Service>) {
        self.stored.sessions.store().set_capacity(sessions_size(process));
        let Some(link) = &self.stored.link else { return };
        let before = present.and_then(|present| present.stored.link.as_ref());
        if before.is_none_or(|before| !Rc::ptr_eq(before, link)) {
            let now = reactor.time().now;
            let (to, client) = link.connect(now);
            reactor.connect(to, client);
        }
    }
}

/// The store in a directory: the one that is still open, or else it is opened now.
fn on_disk_at(
    directory: &Path,
    process: &Process,
    open: &mut Vec<(PathBuf, Weak<SharedStore>)>,
) -> Result<Rc<SharedStore>, ServerError> {
    let is_same = |other: &Path| {
        let whole = |path: &Path| path.canonicalize().ok();
        other == directory || whole(other).is_some_and(|other| Some(other) == whole(directory))
    };
    let found = open.iter().find(|(other, _)| is_same(other)).and_then(|(_, store)| store.upgrade());
    if let Some(store) = found {
        return Ok(store);
    }
    let store =
        durable::Store::open(directory, disk_store::NAME, sessions_size(process)).map_err(ServerError::Store)?;
    let store = SharedStore::new(Store::Disk(DiskStore::new(store)));
    open.push((directory.to_owned(), Rc::downgrade(&store)));
    Ok(store)
}

/// The link to a remote store of sessions. Its name is resolved once.
fn link(url: &StoreUrl, process: &Process, store: &Rc<SharedStore>) -> Result<Rc<SessionStoreLink>, ServerError> {
    let addresses = names::resolve(&url.host, url.port).map_err(|error| ServerError::Config(error.to_string()))?;
    let tls = url.tls.then(|| process.sessions.trust.client(&url.host, url.protocol.alpn())).transpose();
    let tls = tls.map(|tls| tls.map(|client| client.with_key_log(process.tap.key_log(None))));
    let tls = tls.map_err(ServerError::Config)?;
    Ok(SessionStoreLink::new(url.clone(), addresses, tls, Rc::clone(store)))
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

    /// The keys for another configuration. They are read again only if it names another file;
    /// this user may be unable to read the present one.
    pub(super) fn change(self: &Rc<Self>, old: &Config, new: &Config) -> Result<Rc<Self>, ServerError> {
        let file = |config: &Config| {
            let sessions = &config.process.sessions;
            (sessions.key.clone(), sessions.key.is_none() && sessions.store == SessionStore::Cookie)
        };
        if file(old) == file(new) {
            return Ok(Rc::clone(self));
        }
        let opened = Self::open(new)?;
        // Keys for this run are as good as others, and may have signed something.
        let keys = if opened.file.is_err() { self.keys.clone() } else { opened.keys };
        Ok(Rc::new(Self { keys, ..opened }))
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
