//! The composition root: from a configuration to a running reactor.
//!
//! ```text
//! Config ─► descriptors ─► roots ─► state ─► hosts ─► listeners ─► reactor ─► ready
//!   ▲                        └───────── build ────────┘                          │
//!   └──────────────────────────── reload (running) ◄──────── SIGHUP ◄────────────┘
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
mod admin;
mod applications;
mod build;
mod descriptors;
mod error;
mod host;
mod host_logs;
mod identity;
mod listening;
mod mail;
mod own_files;
mod pid_file;
mod privileges;
mod protection;
mod proxies;
mod restart;
mod routes;
mod running;
mod sandbox;
mod sessions;
mod sharing;
mod site;
mod sockets;
mod state;
mod status;
mod surroundings;
mod tap;
mod tls;
pub(crate) mod udp;

use std::path::PathBuf;

pub use error::ServerError;
pub use protection::Protection;
pub use running::Reloader;
pub use tls::Authority;

pub use crate::logging::Log;

use crate::app::App;
use crate::config::{self, Config, Host};
use crate::reactor::{Endpoint, Options, Reactor, Until};
use crate::service::bad_network::BadNetwork;
use crate::service::certificates::Certificates;
use crate::service::notify::Notifier;
use crate::service::{Service, Shared, http};
use activation::Activation;
use build::{Build, Roots};
use descriptors::Descriptors;
use error::Faults;
use pid_file::PidFile;
use privileges::ChangeOfUser;
use running::{Opened, Running};
use sessions::Visitors;
use sockets::Role;
use state::State;
use status::status;

/// What a server reports when it is ready.
#[derive(Clone, Debug, Default)]
pub struct Ready {
    /// Where the main listener listens.
    pub endpoints: Vec<Endpoint>,
    /// Where HTTPS is listened for beside the main listener.
    pub https: Vec<Endpoint>,
    /// The authority that clients must trust, with `--tls auto`.
    pub authority: Option<Authority>,
    /// What the operator should know.
    pub notices: Vec<String>,
    /// The files of certificates, and when each ends, in Unix seconds.
    pub certificates: Vec<(PathBuf, i64)>,
    /// Where the key-value service listens, if it runs in addition to the main listener.
    pub kv: Vec<Endpoint>,
    /// Where the service for operators listens.
    pub admin: Vec<Endpoint>,
    /// Where mail is received, in a mailbox.
    pub mail: Vec<Endpoint>,
    /// Where it is received over TLS from the beginning.
    pub mails: Vec<Endpoint>,
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
    /// Where responses of other servers are stored, if a proxy stores them.
    pub cache: Option<String>,
    /// Most connections at once.
    pub connections: usize,
    /// What the process has given up, if it isn't asked to give up nothing.
    pub sandbox: Option<String>,
    /// Where what is received and sent is written, if it is.
    pub tap: Option<String>,
}

impl Ready {
    /// Where anything listens.
    fn listened(&self) -> impl Iterator<Item = &Endpoint> {
        let Self { endpoints, https, kv, admin, mail, mails, .. } = self;
        [endpoints, https, kv, admin, mail, mails].into_iter().flatten()
    }
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
    reloader: Option<Box<dyn Reloader>>,
}

impl Server {
    /// A server of this configuration.
    pub fn new(config: Config) -> Self {
        Self { config, log: Log::default(), apps: Vec::new(), reloader: None }
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

    /// Gets another configuration from `reloader` when SIGHUP asks for it. Without one, the same
    /// configuration is used again: files that it names are read again.
    pub fn reload_by(self, reloader: impl Reloader + 'static) -> Self {
        Self { reloader: Some(Box::new(reloader)), ..self }
    }

    /// Runs until a signal ends it. `ready` is called when clients can connect. The process gets
    /// no new privileges from now on, and may become another user.
    ///
    /// # Errors
    /// If it can't start, or the poll fails.
    pub fn run(mut self, ready: impl FnOnce(&Ready)) -> Result<(), ServerError> {
        let log = self.log.clone();
        let _flush = FlushOnDrop(&log);
        privileges::forbid_new()?;
        let pid_file = self.config.process.pid_file.clone();
        let mut faults = Faults::default();
        let state = state_directory();
        let change = faults.keep(ChangeOfUser::plan(&self.config, state.as_deref())).flatten();
        let sandbox = sandbox::Plan::new(&self.config, state.as_deref());
        let reloader = self.reloader.take();
        let mut report = Ready::default();
        let Prepared { mut shared, options, sockets, config, state, visitors } = self.prepare(faults, &mut report)?;
        shared.notifier = Notifier::from_environment(std::process::id(), |name| std::env::var_os(name));
        let mut reactor = Reactor::<Service>::new(shared, options)?;
        tap::begin(&config.process.tap, &mut reactor)?;
        let mut running = Running::start(&mut reactor, config, (state, visitors), sockets, &mut report)?;
        let _pid_file = pid_file.as_deref().map(PidFile::write).transpose()?;
        privileges::give_up(change)?;
        report.sandbox = sandbox.apply(report.listened())?;
        running.operate(&mut reactor, report.sandbox.clone());
        ready(&report);
        if let Some(notifier) = &mut reactor.shared().notifier {
            notifier.serves(status(&report));
            notifier.ready();
        }
        loop {
            reactor.run(Until::Closed)?;
            if reactor.is_over() {
                let time = reactor.time();
                reactor.shared().http.cache.iter().for_each(|cache| cache.finish(time));
                return Ok(());
            }
            running.reload(&mut reactor, reloader.as_deref())?;
        }
    }

    /// Finds all errors that would make a start fail, but doesn't run. Stores aren't
    /// opened. What a start would report goes to `report`, as far as it is known.
    ///
    /// # Errors
    /// If it can't start.
    pub fn check(self, report: &mut Ready) -> Result<(), ServerError> {
        let mut faults = Faults::of_check();
        faults.keep(ChangeOfUser::plan(&self.config, None));
        self.prepare(faults, report).map(drop)
    }

    /// Builds everything, and notes all errors.
    fn prepare(self, mut faults: Faults, report: &mut Ready) -> Result<Prepared, ServerError> {
        let Self { mut config, log, mut apps, .. } = self;
        let mut passed = Activation::take(&mut config, &mut faults);
        let budget = Descriptors::raise(further_descriptors(&config), config.process.max_connections);
        let roots = Roots::open(&config, &mut faults);
        let own = endpoints(&config, &mut faults);
        let mut all = own.clone();
        passed.add_to(&config.listeners, &mut all);
        admin::check(&config, &all, &mut faults);
        tap::check(&config, &all, &mut faults);
        report.tap = tap::describe(&config.process.tap, &all);
        let hidden = roots.hide_own_files(&config, &mut faults);
        let mailbox = mail::open(&config, &mut apps, &mut faults);
        let state = State::open(&config, hidden, apps, &mut faults);
        let mail = mail::serve(&config, mailbox, &state, &mut faults);
        report.connections = budget.connections;
        let (mut hosts, certificates) = roots.build(&config, &all, &state, &budget, report, &mut faults);
        host_logs::open(&config, &mut hosts, &log, &mut faults);
        let visitors = has_sessions(&config)
            .then(|| faults.keep(Visitors::open(&config.process, &state.keys, faults.may_create(), None)));
        let visitors = visitors.flatten();
        visitors.iter().for_each(|visitors| visitors.give_to(&mut hosts));
        let Build { web, kv, admin, limits, certificates, reads_sessions } =
            Build::new(&config, hosts, certificates, &state);
        let mut http = http::Shared::new(limits, web);
        http.admin = admin;
        if let Some(kv) = kv {
            http.kv = kv;
        }
        http.proxies = config.process.trusted_proxies.clone();
        http.cache = state.opened_cache();
        http.limit_memory(config.process.max_memory);
        report.cache = proxies::describe_cache(&config);
        report.sessions = reads_sessions.then(|| state.keys.describe(&config.process.sessions.store));
        let config::Listener { delay, chaos, .. } = config.listeners[0];
        let mut shared = Shared { bad_network: BadNetwork { delay, chaos }, ..Shared::new(http, log) };
        (shared.certificates, shared.mail) = (certificates, mail);
        let acceptor = shared.certificates.as_ref().map(Certificates::acceptor);
        let mut sockets = Vec::new();
        for (number, (listener, endpoints)) in config.listeners.iter().zip(&own).enumerate() {
            let role = Role::of(&config, number);
            let rest = endpoints.as_ref().and_then(|endpoints| passed.rest(listener, endpoints));
            sockets.extend(passed.sockets(number, acceptor.as_ref()).into_iter().map(|it| Opened::passed(it, role)));
            let opened = rest.and_then(|rest| faults.keep(sockets::open(listener, role, &rest)));
            sockets.extend(opened.into_iter().flatten().map(|open| Opened::own(open, acceptor.as_ref())));
        }
        report.notices.extend(budget.notice(config.process.max_connections));
        sharing::check(&config, reads_sessions, &mut report.notices, &mut faults);
        faults.finish()?;
        let options = options(&config, &budget);
        Ok(Prepared { shared, options, sockets, config, state, visitors })
    }
}

/// All that a reactor needs, and what is kept for a reload.
struct Prepared {
    shared: Shared,
    options: Options,
    sockets: Vec<Opened>,
    config: Config,
    state: State,
    visitors: Option<Visitors>,
}

/// The endpoints of each listener.
fn endpoints(config: &Config, faults: &mut Faults) -> Vec<Option<Vec<Endpoint>>> {
    let mut of = |listener: &config::Listener| faults.keep(listener.endpoints().map_err(ServerError::Config));
    config.listeners.iter().map(&mut of).collect()
}

/// The descriptors that grow with the configuration: of directories and of logs.
fn further_descriptors(config: &Config) -> usize {
    site::further_trees(&config.hosts) + host_logs::count(config)
}

/// Whether there are hosts whose applications may read sessions.
fn has_sessions(config: &Config) -> bool {
    config.process.mailbox.is_none() && config.hosts.iter().any(|host| !Host::is_key_value(host))
}

/// The options of the loop.
fn options(config: &Config, budget: &Descriptors) -> Options {
    let mut memory = config.process.max_memory;
    if has_sessions(config) {
        memory -= site::cache_size(&config.process) + sessions::sessions_size(&config.process);
    }
    budget.options(memory, &config.listeners[0])
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
