//! The composition root: from a configuration to a running reactor.
//!
//! ```text
//! Config ─► descriptors ─► roots ─► state ─► hosts ─► listeners ─► reactor ─► ready
//! ```
//!
//! The order matters: the descriptor limit bounds everything, mistakes in the configuration
//! are reported before a port in use, and `ready` is called last, when clients can connect.
//! A start goes on after an error, to find the others: see `server/error.rs`.
//!
//! `state` has what outlives a change of the configuration: keys and stores. A
//! `host` is built from its configuration and that state alone, so it can be
//! built again.

pub(crate) mod access;
mod activation;
mod applications;
mod descriptors;
mod error;
mod host;
mod identity;
mod listening;
mod own_files;
mod pid_file;
mod privileges;
mod protection;
mod routes;
mod sandbox;
mod sessions;
mod site;
mod state;
mod status;
mod surroundings;
mod tls;
pub(crate) mod udp;

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub use error::ServerError;
pub use protection::Protection;
pub use tls::Authority;

pub use crate::logging::Log;

use crate::app::App;
use crate::config::{self, Config, Host, Protocol};
use crate::files::resolve::{Root, Symlinks};
use crate::reactor::{Endpoint, Listener, Options, Reactor, Signal, Tick, Time, TlsAcceptor, Until};
use crate::service::bad_network::BadNetwork;
use crate::service::certificates::Certificates;
use crate::service::notify::Notifier;
use crate::service::{Kind, Service, Shared, http};
use activation::Activation;
use descriptors::Descriptors;
use error::Faults;
use host::Built;
use listening::listen;
use pid_file::PidFile;
use privileges::ChangeOfUser;
use state::State;
use status::status;
use surroundings::Surroundings;
use tls::Opened;

/// What a server reports when it is ready.
#[derive(Clone, Debug, Default)]
pub struct Ready {
    /// Where the main listener listens.
    pub endpoints: Vec<Endpoint>,
    /// Where HTTPS is listened for beside the main listener.
    pub https: Vec<Endpoint>,
    /// The authority that clients must trust, with `--tls auto`.
    pub authority: Option<Authority>,
    /// What the operator should know about the certificates.
    pub notices: Vec<String>,
    /// Where the key-value service listens, if it runs in addition to the main listener.
    pub kv: Vec<Endpoint>,
    /// The absolute path of the root, if files are served.
    pub root: Option<PathBuf>,
    /// The root has no index and isn't listed, so its own path is not found.
    pub bare_root: bool,
    /// Symbolic links aren't followed, because the kernel lacks openat2.
    pub no_links: bool,
    /// The first host is the demonstration.
    pub demonstration: bool,
    /// The applications: prefix and name.
    pub apps: Vec<(String, String)>,
    /// The protected paths, and who is allowed.
    pub protected: Vec<(String, Protection)>,
    /// Where sessions are kept, if an application reads them.
    pub sessions: Option<String>,
    /// Most connections at once.
    pub connections: usize,
    /// What the process has given up, if it isn't asked to give up nothing.
    pub sandbox: Option<String>,
}

/// The listening sockets of a listener, and what it is for.
struct Bound {
    kind: Kind,
    role: Role,
    sockets: Vec<Listener>,
}

/// What a listener is, for the report.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The main listener.
    Main,
    /// The one for HTTPS beside it.
    Https,
    /// The one of the key-value service beside it.
    Kv,
}

/// A server that can have applications in addition to the built-in ones.
///
/// ```no_run
/// use miod::app::{Answer, App, Call, Request, Response};
/// use miod::config::{Config, Host, Listener, Process};
/// use miod::http::Status;
/// use miod::server::{Server, ServerError};
///
/// struct Hello;
///
/// impl App for Hello {
///     fn handle(&mut self, _: &Request<'_>, _: &mut Call<'_>) -> Answer {
///         Answer::now(Response::new(Status::OK).text("Hello!\n"))
///     }
/// }
///
/// fn main() -> Result<(), ServerError> {
///     let host = Host { root: Some("site".into()), ..Host::default() };
///     let config = Config::single(Process::default(), Listener::at(8080), host);
///     Server::new(config).mount("/hello", Hello).run(|ready| println!("listening on {:?}", ready.endpoints))
/// }
/// ```
pub struct Server {
    config: Config,
    log: Log,
    apps: Vec<(String, Box<dyn App>)>,
}

impl Server {
    /// A server of this configuration.
    pub fn new(config: Config) -> Self {
        Self { config, log: Log::default(), apps: Vec::new() }
    }

    /// Writes to this log.
    pub fn log(self, log: Log) -> Self {
        Self { log, ..self }
    }

    /// Mounts an application at a path prefix of the first host. It replaces an application
    /// that is mounted there.
    pub fn mount(mut self, prefix: &str, app: impl App + 'static) -> Self {
        self.apps.push((prefix.to_owned(), Box::new(app)));
        self
    }

    /// Runs until a signal ends it. `ready` is called when clients can connect. The process gets
    /// no new privileges from now on, and may become another user.
    ///
    /// # Errors
    /// If it can't start, or the poll fails.
    pub fn run(self, ready: impl FnOnce(&Ready)) -> Result<(), ServerError> {
        let log = self.log.clone();
        let _flush = FlushOnDrop(&log);
        privileges::forbid_new()?;
        let pid_file = self.config.process.pid_file.clone();
        let mut faults = Faults::default();
        let state = state_directory();
        let change = faults.keep(ChangeOfUser::plan(&self.config, state.as_deref())).flatten();
        let sandbox = sandbox::Plan::new(&self.config, state.as_deref());
        let Prepared { mut shared, options, listeners, mut report } = self.prepare(faults)?;
        shared.notifier = Notifier::from_environment(std::process::id(), |name| std::env::var_os(name));
        let mut reactor = Reactor::<Service>::new(shared, options)?;
        start(&mut reactor, listeners, &mut report)?;
        let _pid_file = pid_file.as_deref().map(PidFile::write).transpose()?;
        privileges::give_up(change)?;
        report.sandbox = sandbox.apply(report.endpoints.iter().chain(&report.https).chain(&report.kv))?;
        ready(&report);
        if let Some(notifier) = &mut reactor.shared().notifier {
            notifier.serves(status(&report));
            notifier.ready();
        }
        Ok(reactor.run(Until::Closed)?)
    }

    /// Finds all errors that would make a start fail, but doesn't run. Stores aren't
    /// opened.
    ///
    /// # Errors
    /// If it can't start.
    pub fn check(self) -> Result<(), ServerError> {
        let mut faults = Faults::of_check();
        faults.keep(ChangeOfUser::plan(&self.config, None));
        self.prepare(faults).map(drop)
    }

    /// Builds everything, and notes all errors.
    fn prepare(self, mut faults: Faults) -> Result<Prepared, ServerError> {
        let Self { config, log, apps } = self;
        let passed = Activation::take(&config, &mut faults);
        let budget = Descriptors::raise(config.process.max_connections);
        let roots = open_roots(&config, &mut faults);
        let endpoints = |listener: &config::Listener| listener.endpoints().map_err(ServerError::Config);
        let mut endpoints: Vec<_> = config.listeners.iter().map(|listener| faults.keep(endpoints(listener))).collect();
        let own = endpoints.clone();
        passed.add_to(&config.listeners, &mut endpoints);
        let hidden = own_files::check(&config, &roots, &mut faults);
        let state = State::open(&config, hidden, &mut faults);

        let mut report = Ready { connections: budget.connections, ..Ready::default() };
        let mut hosts = Vec::new();
        let (open_files, trees) = (budget.files, site::further_trees(&config.hosts));
        for (number, (host, root)) in config.hosts.iter().zip(roots).enumerate() {
            let local = is_local(&config.listeners, &endpoints, number);
            faults.place(host.positions.of(""));
            let demonstration = protection::is_demonstration(host, local, &mut faults);
            report.demonstration |= demonstration;
            let process = &config.process;
            let surroundings = Surroundings { process, state: &state, demonstration, open_files, trees };
            let built = Built::build(host, root, &surroundings, &mut faults);
            hosts.push(built.into_host(host, &mut report, &mut faults));
            faults.place(None);
        }
        if let Some(first) = hosts.first_mut() {
            for (prefix, app) in apps {
                faults.keep(first.routes.mount(&prefix, app).map_err(ServerError::Config));
            }
        }
        let reads_sessions = hosts.iter().any(|host| host.routes.read_sessions());
        let hosts: Vec<_> = hosts.into_iter().map(Rc::new).collect();
        let mut http = http::Shared::new(request_limits(&config), hosts_of(&config, &config.listeners[0], &hosts));
        if let Some(kv) = config.listeners.iter().find(|listener| is_kv_beside(&config, listener)) {
            http.kv = hosts_of(&config, kv, &hosts);
        }
        http.proxies = config.process.trusted_proxies.clone();
        let mut memory = config.process.max_memory;
        if config.hosts.iter().any(|host| !host.is_key_value()) {
            report.sessions = reads_sessions.then(|| state.keys.describe(&config.process.sessions.store));
            let sessions = sessions::sessions(&config.process, &state.keys, faults.may_create());
            http.sessions = faults.keep(sessions).unwrap_or_default();
            http.link = faults.keep(sessions::link(&config.process)).flatten();
            memory -= site::cache_size(&config.process) + sessions::sessions_size(&config.process);
        }
        let options = budget.options(memory, config.listeners[0].send_timeout);
        let config::Listener { delay, chaos, .. } = config.listeners[0];
        let mut shared = Shared { bad_network: BadNetwork { delay, chaos }, ..Shared::new(http, log) };
        shared.certificates = open_certificates(&config, &endpoints, &mut report, &mut faults);
        let acceptor = shared.certificates.as_ref().map(Certificates::acceptor);
        let listeners = open_listeners(&config, &own, passed, acceptor.as_ref(), &mut faults);
        faults.finish()?;
        Ok(Prepared { shared, options, listeners, report })
    }
}

/// All that a reactor needs.
struct Prepared {
    shared: Shared,
    options: Options,
    listeners: Vec<Bound>,
    report: Ready,
}

/// Flushes the log, even if the start fails or the loop panics.
struct FlushOnDrop<'a>(&'a Log);

impl Drop for FlushOnDrop<'_> {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Runs a server of this configuration until a signal ends it. `ready` is called when
/// clients can connect.
///
/// # Errors
/// See [`Server::run`].
pub fn serve(config: &Config, log: Log, ready: impl FnOnce(&Ready)) -> Result<(), ServerError> {
    Server::new(config.clone()).log(log).run(ready)
}

/// The directory for what belongs to no option, if this user has one.
fn state_directory() -> Option<PathBuf> {
    let key = crate::session::key::default_path(|name| std::env::var_os(name));
    key.and_then(|key| key.parent().map(PathBuf::from))
}

fn open_root(path: &Path, symlinks: Symlinks) -> Result<Root, ServerError> {
    let root = Root::open(path, symlinks).map_err(|error| ServerError::Root(path.to_owned(), error))?;
    if root.fallback() {
        log::warn!("this system lacks openat2: symbolic links are not followed");
    }
    Ok(root)
}

/// The root of each host.
fn open_roots(config: &Config, faults: &mut Faults) -> Vec<Option<Root>> {
    let mut open = |host: &Host| {
        faults.place(host.positions.of("root"));
        let root = faults.keep(open_root(host.root.as_ref()?, host.symlinks));
        faults.place(None);
        root
    };
    config.hosts.iter().map(&mut open).collect()
}

/// Whether a listener is that of the key-value service beside the main one.
fn is_kv_beside(config: &Config, listener: &config::Listener) -> bool {
    config.listeners.first().is_some_and(|main| main.hosts != listener.hosts)
        && config.default_host(listener).is_some_and(Host::is_key_value)
}

/// The hosts of a listener, of all that were built.
fn hosts_of(config: &Config, listener: &config::Listener, built: &[Rc<http::Host>]) -> http::Hosts {
    let default = listener.hosts.iter().find(|number| config.hosts[**number].names.is_empty());
    let default = default.filter(|_| !listener.strict_hosts).map(|number| Rc::clone(&built[*number]));
    let server_field = config.hosts_of(listener).all(|host| host.server_field);
    let mut hosts = http::Hosts::new(default, server_field);
    for number in &listener.hosts {
        for name in &config.hosts[*number].names {
            hosts.insert(name, &built[*number]);
        }
    }
    hosts
}

/// The role of a listener beside the main one.
fn role_beside(listener: &config::Listener) -> Role {
    if listener.tls.is_some() { Role::Https } else { Role::Kv }
}

/// The certificates of the listener for TLS, if there is one.
fn open_certificates(
    config: &Config,
    endpoints: &[Option<Vec<Endpoint>>],
    report: &mut Ready,
    faults: &mut Faults,
) -> Option<Certificates> {
    let both = config.listeners.iter().zip(endpoints);
    let (listener, tls, endpoints) =
        both.filter_map(|(listener, at)| Some((listener, listener.tls.as_ref()?, at.as_ref()?))).next()?;
    let now = Time::wall();
    let opened = tls::open(tls, listener.protocol, endpoints, now, faults.may_create());
    let Opened { certificates, authority } = faults.keep(opened).flatten()?;
    report.authority = authority;
    report.notices = certificates.notices(now);
    if let Some(file) = &tls.key_log {
        report.notices.push(format!("{} gets the secrets of all connections", file.display()));
    }
    Some(certificates)
}

impl Bound {
    /// Has these sockets first.
    fn with(self, mut first: Vec<Listener>) -> Self {
        first.extend(self.sockets);
        Self { sockets: first, ..self }
    }

    /// Expects TLS, if there is an acceptor.
    fn with_tls(self, acceptor: Option<TlsAcceptor>) -> Self {
        let Some(acceptor) = acceptor else { return self };
        let sockets = self.sockets.into_iter().map(|socket| socket.with_tls(acceptor.clone())).collect();
        Self { sockets, ..self }
    }
}

/// Opens what each listener is listened at, and takes the sockets that were passed for it.
/// `endpoints` are those of each.
fn open_listeners(
    config: &Config,
    endpoints: &[Option<Vec<Endpoint>>],
    mut passed: Activation,
    acceptor: Option<&TlsAcceptor>,
    faults: &mut Faults,
) -> Vec<Bound> {
    let mut listeners = Vec::new();
    for (at, (listener, endpoints)) in config.listeners.iter().zip(endpoints).enumerate() {
        let role = if at == 0 { Role::Main } else { role_beside(listener) };
        let rest = endpoints.as_ref().and_then(|endpoints| passed.rest(listener, endpoints));
        let sockets = rest.map_or(Some(Vec::new()), |rest| faults.keep(bind(listener, &rest)));
        let bound = sockets.map(|sockets| Bound { kind: kind_of(listener, role), role, sockets });
        let bound = bound.map(|bound| bound.with_tls(acceptor.cloned().filter(|_| listener.tls.is_some())));
        listeners.extend(bound.map(|bound| bound.with(passed.sockets(at, acceptor))));
    }
    listeners
}

fn bind(listener: &config::Listener, endpoints: &[Endpoint]) -> Result<Vec<Listener>, ServerError> {
    listen(endpoints, listener.port).map_err(ServerError::Several)
}

fn kind_of(listener: &config::Listener, role: Role) -> Kind {
    match listener.protocol {
        Protocol::Http if role == Role::Kv => Kind::Http(http::HostsId::Kv),
        Protocol::Http => Kind::Http(http::HostsId::Web),
        Protocol::Echo => Kind::Echo,
        Protocol::Upper => Kind::Upper,
    }
}

/// Whether only this machine can connect to a host. `endpoints` has those of each listener.
fn is_local(listeners: &[config::Listener], endpoints: &[Option<Vec<Endpoint>>], host: usize) -> bool {
    let of_host = listeners.iter().zip(endpoints).filter(|(listener, _)| listener.hosts.contains(&host));
    of_host.flat_map(|(_, endpoints)| endpoints.iter().flatten()).all(|endpoint| match endpoint {
        Endpoint::Tcp(address) => address.ip().is_loopback(),
        Endpoint::Unix(_) => true,
    })
}

/// The limits of requests: those of the main listener.
fn request_limits(config: &Config) -> http::Limits {
    let listener = &config.listeners[0];
    http::Limits {
        header_timeout: listener.header_timeout,
        idle_timeout: listener.idle_timeout,
        body_timeout: listener.body_timeout,
        per_address: listener.max_per_address,
    }
}

/// Registers signals, the watched directories and the listeners.
fn start(reactor: &mut Reactor<Service>, listeners: Vec<Bound>, report: &mut Ready) -> io::Result<()> {
    reactor.take_signals(&[Signal::Terminate, Signal::Interrupt, Signal::Hangup, Signal::User1, Signal::User2])?;
    let hosts = [reactor.shared().http.web.all(), reactor.shared().http.kv.all()].concat();
    for files in hosts.iter().flat_map(|host| host.trees()) {
        if let Some(watch) = files.borrow().watch_fd() {
            reactor.watch(watch)?;
            reactor.shared().watched.push(Rc::clone(files));
        }
    }
    // Connect at once, so that an error of the remote store is logged now.
    let now = Tick::default();
    if let Some((to, client)) = reactor.shared().http.link.as_mut().map(|link| link.connect(now)) {
        reactor.connect(to, client);
    }
    for Bound { kind, role, sockets } in listeners {
        let endpoints = match role {
            Role::Main => &mut report.endpoints,
            Role::Https => &mut report.https,
            Role::Kv => &mut report.kv,
        };
        endpoints.extend(sockets.iter().map(Listener::endpoint));
        let port = |tls| {
            let address = sockets.iter().filter(|socket| socket.is_tls() == tls).find_map(Listener::address);
            address.map(|address| address.port())
        };
        let ports = &mut reactor.shared().http.ports;
        ports.https = ports.https.or(port(true));
        if role == Role::Main {
            ports.http = port(false);
        }
        for socket in sockets {
            reactor.listen(socket, kind)?;
        }
    }
    Ok(())
}
