//! The composition root: from a configuration to a running reactor.
//!
//! ```text
//! Config ─► descriptors ─► roots ─► listeners ─► state ─► hosts ─► reactor ─► ready
//! ```
//!
//! The order matters: the descriptor limit bounds everything, a wrong root is reported
//! before a port in use, and `ready` is called last, when clients can connect.
//!
//! `state` has what outlives a change of the configuration: keys and stores. A
//! `host` is built from its configuration and that state alone, so it can be
//! built again.

mod applications;
mod descriptors;
mod host;
mod listening;
pub mod protection;
mod sessions;
mod state;
pub mod udp;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use crate::config::{self, Config, Host, Protocol};
use crate::durable::OpenError;
use crate::files::resolve::Root;
use crate::limits;
use crate::logging::Log;
use crate::reactor::{Endpoint, Listener, Reactor, Signal, Tick, Until};
use crate::service::bad_network::BadNetwork;
use crate::service::{Kind, Service, Shared, http};
use descriptors::Descriptors;
use host::Surroundings;
use listening::listen;
use protection::Protection;
use state::State;

/// Why a server can't start, or ended.
#[derive(Debug)]
pub enum ServerError {
    /// An endpoint can't be listened at.
    Bind(Endpoint, io::Error),
    /// A datagram socket can't be opened at this address.
    BindDatagrams(SocketAddr, io::Error),
    /// The root can't be opened.
    Root(PathBuf, io::Error),
    /// A store can't be opened.
    Store(OpenError),
    /// The configuration is wrong; a sentence.
    Config(String),
    /// The system refused something else.
    Io(io::Error),
}

impl From<io::Error> for ServerError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a server reports when it is ready.
#[derive(Clone, Debug, Default)]
pub struct Ready {
    /// Where the main listener listens.
    pub endpoints: Vec<Endpoint>,
    /// Where the key-value service listens, if it runs beside the main listener.
    pub kv: Vec<Endpoint>,
    /// The absolute path of the root, if files are served.
    pub root: Option<PathBuf>,
    /// Symbolic links aren't followed, because the kernel lacks openat2.
    pub no_links: bool,
    /// The applications: prefix and name.
    pub apps: Vec<(String, String)>,
    /// The protected paths, and who is allowed.
    pub protected: Vec<(String, Protection)>,
    /// Where sessions are kept, if an application reads them.
    pub sessions: Option<String>,
    /// Most connections at once.
    pub connections: usize,
}

/// The listening sockets of a listener, and what it is for.
struct Bound {
    kind: Kind,
    sockets: Vec<Listener>,
    /// The number of its default host.
    host: Option<usize>,
}

/// Runs a server until a signal ends it. `ready` is called when clients can connect.
///
/// # Errors
/// If it can't start, or the poll fails.
pub fn serve(config: &Config, log: Log, ready: impl FnOnce(&Ready)) -> Result<(), ServerError> {
    let budget = Descriptors::raise(config.process.max_connections);
    let roots = config.hosts.iter().map(open_root).collect::<Result<Vec<_>, _>>()?;
    let listeners = config.listeners.iter().map(|listener| bind(config, listener)).collect::<Result<Vec<_>, _>>()?;
    let state = State::open(config)?;

    let mut report = Ready { connections: budget.connections, ..Ready::default() };
    let mut http = http::Shared::new(request_limits(config), http::Host::new(false));
    for (number, (host, root)) in config.hosts.iter().zip(roots).enumerate() {
        let local = is_local(&listeners, number);
        let built = Surroundings { process: &config.process, state: &state, local, open_files: budget.files }
            .build(host, root)?;
        let place = if host.is_key_value() { &mut http.kv } else { &mut http.web };
        *place = Rc::new(built.into_host(host, &mut report));
    }
    http.proxies = config.process.trusted_proxies.clone();
    let mut memory = config.process.max_memory;
    if config.hosts.iter().any(|host| !host.is_key_value()) {
        report.sessions = http.web.routes.read_sessions().then(|| state.keys.describe(&config.process.sessions.store));
        http.sessions = sessions::sessions(&config.process, &state.keys)?;
        http.link = sessions::link(&config.process)?;
        memory -= host::cache_size(&config.process) + sessions::sessions_size(&config.process);
    }
    let options = budget.options(memory, config.listeners[0].send_timeout);
    let config::Listener { delay, chaos, .. } = config.listeners[0];
    let shared = Shared { bad_network: BadNetwork { delay, chaos }, ..Shared::new(http, log.clone()) };
    let mut reactor = Reactor::<Service>::new(shared, options)?;
    start(&mut reactor, listeners, &mut report)?;
    ready(&report);
    let result = reactor.run(Until::Closed);
    log.flush();
    Ok(result?)
}

fn open_root(host: &Host) -> Result<Option<Root>, ServerError> {
    let Some(path) = &host.root else { return Ok(None) };
    let root = Root::open(path, host.symlinks).map_err(|error| ServerError::Root(path.clone(), error))?;
    if root.fallback() {
        log::warn!("this system lacks openat2: symbolic links are not followed");
    }
    Ok(Some(root))
}

fn bind(config: &Config, listener: &config::Listener) -> Result<Bound, ServerError> {
    let endpoints = listener.endpoints().map_err(ServerError::Config)?;
    let sockets = listen(&endpoints, listener.port)?;
    let kind = match listener.protocol {
        Protocol::Http if config.default_host(listener).is_some_and(Host::is_key_value) => Kind::Kv,
        Protocol::Http => Kind::Http,
        Protocol::Echo => Kind::Echo,
        Protocol::Upper => Kind::Upper,
    };
    Ok(Bound { kind, sockets, host: listener.hosts.first().copied() })
}

/// Whether only this machine can connect to a host.
fn is_local(listeners: &[Bound], host: usize) -> bool {
    let mut sockets = listeners.iter().filter(|bound| bound.host == Some(host)).flat_map(|bound| &bound.sockets);
    sockets.all(|socket| socket.address().is_none_or(|address| address.ip().is_loopback()))
}

/// The limits of requests: those of the main listener and its default host.
fn request_limits(config: &Config) -> http::Limits {
    let listener = &config.listeners[0];
    http::Limits {
        header_timeout: listener.header_timeout,
        idle_timeout: listener.idle_timeout,
        body_timeout: listener.body_timeout,
        body: config.default_host(listener).map_or(limits::BODY, |host| host.body_limit),
        per_address: listener.max_per_address,
    }
}

/// Registers signals, the watched directories and the listeners.
fn start(reactor: &mut Reactor<Service>, listeners: Vec<Bound>, report: &mut Ready) -> io::Result<()> {
    reactor.take_signals(&[Signal::Terminate, Signal::Interrupt, Signal::Hangup, Signal::User1, Signal::User2])?;
    if let Some(watch) = reactor.shared().http.web.files.as_ref().and_then(|files| files.borrow().watch_fd()) {
        reactor.watch(watch)?;
    }
    // At once, so that an error of the remote store is logged now.
    let now = Tick::default();
    if let Some((to, client)) = reactor.shared().http.link.as_mut().map(|link| link.connect(now)) {
        reactor.connect(to, client);
    }
    for (at, Bound { kind, sockets, .. }) in listeners.into_iter().enumerate() {
        let endpoints = if at == 0 { &mut report.endpoints } else { &mut report.kv };
        endpoints.extend(sockets.iter().map(Listener::endpoint));
        for socket in sockets {
            reactor.listen(socket, kind)?;
        }
    }
    Ok(())
}
