//! The composition root: from a configuration to a running reactor.
//!
//! The parts are made in the files beside this one; here they are put together.
//! The order matters: descriptors first (their limit bounds everything), then
//! what is served, then the listeners, and the announcement last, when a client
//! that reads it can connect.

mod applications;
mod descriptors;
mod listening;
pub mod protection;
mod sessions;
pub mod udp;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use crate::app::kv::Kv;
use crate::config::{self, Config, LineConfig};
use crate::durable::{self, OpenError};
use crate::files::resolve::Root;
use crate::files::{self, Site};
use crate::http::media_type::MediaTypes;
use crate::logging::Log;
use crate::reactor::{Endpoint, Listener, Options, Reactor, Signal, Tick, Until};
use crate::service::rough::Trouble;
use crate::service::{Kind, Service, Shared, http};
use applications::mount;
use descriptors::Descriptors;
use listening::listen;
use protection::Protection;
use sessions::{KeyRing, sessions_size};

/// Why a server couldn't start, or ended.
#[derive(Debug)]
pub enum Failure {
    /// An endpoint can't be listened at.
    Bind(Endpoint, io::Error),
    /// A datagram socket can't be opened at this address.
    BindDatagrams(SocketAddr, io::Error),
    /// The root can't be opened.
    Root(PathBuf, io::Error),
    /// A store can't be opened.
    Store(OpenError),
    /// The configuration says what can't be.
    Config(String),
    /// The system failed us.
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a server says of itself when it is ready.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// Where the key-value service listens, if it runs beside others.
    pub kv: Vec<Endpoint>,
    /// The directory it serves, if it serves files.
    pub root: Option<PathBuf>,
    /// Symbolic links aren't followed, because the kernel lacks the call that
    /// makes it safe.
    pub no_links: bool,
    /// The applications: prefix and name.
    pub apps: Vec<(String, String)>,
    /// The protected paths, and who gets there.
    pub protected: Vec<(String, Protection)>,
    /// Where visitors' sessions are kept, if an application reads them.
    pub sessions: Option<String>,
    /// Most connections at once.
    pub connections: usize,
}

impl Ready {
    /// Nothing but listeners.
    fn bare(endpoints: Vec<Endpoint>, budget: &Descriptors) -> Self {
        let connections = budget.connections;
        Self {
            endpoints,
            kv: Vec::new(),
            root: None,
            no_links: false,
            apps: Vec::new(),
            sessions: None,
            protected: Vec::new(),
            connections,
        }
    }
}

/// Serves files and applications until a signal ends it; `ready` is called when
/// clients can connect.
///
/// # Errors
/// If it can't start, or the poll fails.
pub fn serve(config: &Config, log: Log, ready: impl FnOnce(&Ready)) -> Result<(), Failure> {
    let budget = Descriptors::raise(config.max_connections);
    let root = Root::open(&config.root, config.symlinks).map_err(|error| Failure::Root(config.root.clone(), error))?;
    let no_links = root.fallback();
    if no_links {
        log::warn!("this system lacks openat2: symbolic links are not followed");
    }
    let listeners = listen(&config.endpoints, config.port)?;
    // Nobody else can connect.
    let local = listeners.iter().all(|listener| listener.address().is_none_or(|address| address.ip().is_loopback()));
    let users = protection::users(config, local)?;
    let (guard, mut protected) = protection::protect(config, users.as_ref())?;
    let keys = KeyRing::of(config)?;
    let (routes, apps) = mount(config, local, users.as_ref().map(|(users, _)| users), &keys.keys)?;
    if let Some((_, protection)) = users {
        let logins = apps.iter().filter(|(_, name)| name == "login");
        protected.extend(logins.map(|(prefix, _)| (prefix.clone(), protection.clone())));
    }
    let sessions_are = routes.read_sessions().then(|| keys.told(&config.sessions));

    let mut web = http::Host::new(config.server_field);
    web.routes = routes;
    web.guard = RefCell::new(guard);
    web.files = Some(RefCell::new(Site::new(root, site_settings(config, budget.files)?)));
    let kv = if config.kv.is_empty() { Vec::new() } else { listen(&config.kv, config::KV_PORT)? };
    let mut http = http::Shared::new(limits(config), web);
    if !kv.is_empty() {
        http.kv = Rc::new(kv_host(config)?);
    }
    http.proxies = config.trusted_proxies.clone();
    http.sessions = sessions::sessions(config, keys)?;
    http.link = sessions::link(config)?;

    let options = budget.options(config.max_memory - cache_size(config) - sessions_size(config), config.send_timeout);
    let kv_endpoints = kv.iter().map(Listener::endpoint).collect();
    let ready_with = |endpoints| {
        let root = std::path::absolute(&config.root).unwrap_or_else(|_| config.root.clone());
        ready(&Ready {
            endpoints,
            kv: kv_endpoints,
            root: Some(root),
            no_links,
            apps,
            protected,
            sessions: sessions_are,
            connections: budget.connections,
        });
    };
    let all = vec![(Kind::Http, listeners), (Kind::Kv, kv)];
    run(Trouble::default(), http, all, options, log, ready_with)
}

/// Serves keys and values until a signal ends it.
///
/// # Errors
/// As [`serve`].
pub fn serve_kv(config: &Config, log: Log, ready: impl FnOnce(&Ready)) -> Result<(), Failure> {
    let budget = Descriptors::raise(config.max_connections);
    let http = http::Shared::new(limits(config), kv_host(config)?);
    let listeners = listen(&config.endpoints, config.port)?;
    let options = budget.options(config.max_memory, config.send_timeout);
    run(Trouble::default(), http, vec![(Kind::Kv, listeners)], options, log, |endpoints| {
        ready(&Ready::bare(endpoints, &budget))
    })
}

/// The limits of requests.
fn limits(config: &Config) -> http::Limits {
    http::Limits {
        header_timeout: config.header_timeout,
        idle_timeout: config.idle_timeout,
        body_timeout: config.body_timeout,
        body: config.body_limit,
        per_address: config.max_per_address,
    }
}

/// The host of the key-value service, with its store.
fn kv_host(config: &Config) -> Result<http::Host, Failure> {
    let store = match &config.data {
        Some(directory) => durable::Store::open(directory, "kv", config.capacity).map_err(Failure::Store)?,
        None => durable::Store::in_memory(config.capacity),
    };
    let mut host = http::Host::new(config.server_field);
    host.routes.mount("/", Box::new(Kv::new(store, config.token.clone()))).map_err(Failure::Config)?;
    Ok(host)
}

/// Runs a service that is no web server: `miod echo`, `miod upper`.
///
/// # Errors
/// As [`serve`].
pub fn serve_lines(kind: Kind, config: &LineConfig, log: Log, ready: impl FnOnce(&Ready)) -> Result<(), Failure> {
    let budget = Descriptors::raise(config.max_connections);
    let listeners = listen(&config.endpoints, config.port)?;
    let http = http::Shared::new(http::Limits::default(), http::Host::new(false));
    let options = budget.options(config.max_memory, config.send_timeout);
    let trouble = Trouble { delay: config.delay, chaos: config.chaos };
    run(trouble, http, vec![(kind, listeners)], options, log, |endpoints| ready(&Ready::bare(endpoints, &budget)))
}

/// Runs the loop; `ready` is told where the first kind of listeners listens.
fn run(
    trouble: Trouble,
    http: http::Shared,
    listeners: Vec<(Kind, Vec<Listener>)>,
    options: Options,
    log: Log,
    ready: impl FnOnce(Vec<Endpoint>),
) -> Result<(), Failure> {
    let watch = http.web.files.as_ref().and_then(|files| files.borrow().watch_fd());
    let mut reactor = Reactor::<Service>::new(Shared { trouble, ..Shared::new(http, log.clone()) }, options)?;
    reactor.take_signals(&[Signal::Terminate, Signal::Interrupt, Signal::Hangup, Signal::User1, Signal::User2])?;
    if let Some(watch) = watch {
        reactor.watch(watch)?;
    }
    // So that what is wrong with a remote store is said at once.
    let now = Tick::default();
    if let Some((to, carrier)) = reactor.shared().http.link.as_mut().map(|link| link.connect(now)) {
        reactor.connect(to, carrier);
    }
    let endpoints = listeners.first().iter().flat_map(|(_, first)| first).map(Listener::endpoint).collect();
    for (kind, listeners) in listeners {
        for listener in listeners {
            reactor.listen(listener, kind as usize)?;
        }
    }
    ready(endpoints);
    let result = reactor.run(Until::Closed);
    log.flush();
    Ok(result?)
}

/// The cache's share of the memory: at most half, so that connections have the other.
fn cache_size(config: &Config) -> usize {
    config.cache_size.min(config.max_memory / 2)
}

fn site_settings(config: &Config, open_files: usize) -> Result<files::Settings, Failure> {
    let mut media_types = MediaTypes::new();
    for (extension, media_type) in &config.media_types {
        media_types.add(extension, media_type).map_err(Failure::Config)?;
    }
    Ok(files::Settings {
        listing: config.listing,
        cache_control: config.cache_control.clone(),
        cache_size: cache_size(config),
        open_files,
        etag_inode: config.etag_inode,
        media_types,
        spa: config.spa.clone(),
    })
}
