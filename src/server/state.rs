//! The state that outlives a change of the configuration: the keys that sign cookies, and
//! the directory of durable stores.
//!
//! An open store belongs to its application, because only one process may have it open. So
//! applications that have a store are part of the state, too: under the same name and path they
//! are the same after a change. So are the counts of a host.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

use uuid::Uuid;

use super::ServerError;
use super::error::Faults;
use super::sessions::KeyRing;
use crate::app::App;
use crate::app::boundary::Application;
use crate::cache::{Limits, Store};
use crate::config::{CachePlace, Config, ProxyCache};
use crate::durable;
use crate::limits;
use crate::service::http::HostCounts;
use crate::service::proxy::Cache;

/// The state of a server.
pub(super) struct State {
    pub(super) keys: Rc<KeyRing>,
    kept: Rc<Kept>,
}

/// What stays whatever the configuration is.
struct Kept {
    data: Option<PathBuf>,
    /// The name of this process in Via: random, so no other server has it.
    pseudonym: String,
    /// By the name of the host, the prefix and the name of the application.
    apps: RefCell<HashMap<String, Rc<Application>>>,
    /// The requests of each host, by its name.
    counts: RefCell<HashMap<String, Rc<HostCounts>>>,
    /// The cache of the proxies, when one of them uses it.
    cache: RefCell<Option<Rc<Cache>>>,
    /// The applications of the program itself, for the first host: prefix and application.
    mounted: Vec<(String, Rc<Application>)>,
}

impl State {
    /// Reads the keys, if the server's own files are `hidden` from clients: the key file
    /// may be created.
    pub(super) fn open(
        config: &Config,
        hidden: bool,
        mounted: Vec<(String, Box<dyn App>)>,
        faults: &mut Faults,
    ) -> Self {
        let keys = if hidden { faults.keep(KeyRing::open(config)) } else { None };
        let keys = keys.unwrap_or_else(KeyRing::unreadable);
        let mounted = mounted.into_iter().map(|(prefix, app)| (prefix, Rc::new(Application::new(app)))).collect();
        let (apps, counts) = (RefCell::default(), RefCell::default());
        // Eight digits are enough to tell it from the others on the way.
        let pseudonym = format!("miod-{:08x}", Uuid::new_v4().as_fields().0);
        let cache = RefCell::default();
        let kept = Kept { data: config.process.data.clone(), pseudonym, apps, counts, cache, mounted };
        Self { keys: Rc::new(keys), kept: Rc::new(kept) }
    }

    /// The same state with these keys.
    pub(super) fn with_keys(&self, keys: Rc<KeyRing>) -> Self {
        Self { keys, kept: Rc::clone(&self.kept) }
    }

    /// The name of this process in Via.
    pub(super) fn pseudonym(&self) -> &str {
        &self.kept.pseudonym
    }

    /// Whether stores are on disk.
    pub(super) fn is_durable(&self) -> bool {
        self.kept.data.is_some()
    }

    /// The application that was kept under this key, or else the one that is made now.
    ///
    /// # Errors
    /// Those of `make`.
    pub(super) fn keep(
        &self,
        key: String,
        make: impl FnOnce() -> Result<Box<dyn App>, ServerError>,
    ) -> Result<Rc<Application>, ServerError> {
        let kept = self.kept.apps.borrow().get(&key).map(Rc::clone);
        if let Some(app) = kept {
            return Ok(app);
        }
        let app = Rc::new(Application::new(make()?));
        self.kept.apps.borrow_mut().insert(key, Rc::clone(&app));
        Ok(app)
    }

    /// The applications of the program itself, for the first host: prefix and application.
    pub(super) fn mounted(&self) -> impl Iterator<Item = (&str, Rc<Application>)> {
        self.kept.mounted.iter().map(|(prefix, app)| (prefix.as_str(), Rc::clone(app)))
    }

    /// The counts of the host with this name.
    pub(super) fn counts(&self, name: &str) -> Rc<HostCounts> {
        Rc::clone(self.kept.counts.borrow_mut().entry(name.to_owned()).or_default())
    }

    /// Forgets the applications and the counts that no host has any more.
    pub(super) fn forget_unused(&self) {
        self.kept.counts.borrow_mut().retain(|_, counts| Rc::strong_count(counts) > 1);
        self.kept.apps.borrow_mut().retain(|_, app| Rc::strong_count(app) > 1);
    }

    /// The cache of the proxies, which is opened when it is asked for first; none if it is off.
    ///
    /// # Errors
    /// If its directory can't be used.
    pub(super) fn cache(&self, config: &ProxyCache) -> Result<Option<Rc<Cache>>, ServerError> {
        let mut cache = self.kept.cache.borrow_mut();
        if cache.is_none() {
            let limits = Limits {
                memory: config.memory,
                disk: config.size,
                entries: limits::CACHE_ENTRIES,
                object: limits::CACHE_OBJECT,
                files: limits::CACHE_FILES,
            };
            let store = match &config.place {
                CachePlace::Off => return Ok(None),
                CachePlace::Memory => Store::in_memory(limits)?,
                CachePlace::Directory(directory) => Store::open(directory, limits)
                    .map_err(|error| ServerError::Config(format!("--proxy-cache {}: {error}", directory.display())))?,
            };
            *cache = Some(Rc::new(Cache::new(store)));
        }
        Ok(cache.clone())
    }

    /// The cache of the proxies, if one of them uses it.
    pub(super) fn opened_cache(&self) -> Option<Rc<Cache>> {
        self.kept.cache.borrow().clone()
    }

    /// The store of this name, on disk or in memory, for at most this many bytes.
    pub(super) fn store(&self, name: &str, capacity: usize) -> Result<durable::Store, ServerError> {
        match &self.kept.data {
            Some(directory) => durable::Store::open(directory, name, capacity).map_err(ServerError::Store),
            None => Ok(durable::Store::in_memory(capacity)),
        }
    }
}
