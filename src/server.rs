//! The composition root: from a configuration to a running reactor.
//!
//! The order matters: descriptors first (their limit bounds everything), then
//! what is served, then the listeners, and the announcement last, when a client
//! that reads it can connect.

pub mod protection;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::app::catalogue::{self, Supplies};
use crate::app::kv::Kv;
use crate::app::quiz::Quiz;
use crate::app::{Routes, board};
use crate::auth::Users;
use crate::config::{self, Apps, Config, LineConfig, SessionStore};
use crate::durable::{self, OpenError};
use crate::files::resolve::Root;
use crate::files::{self, Site};
use crate::http::media_type::MediaTypes;
use crate::limits;
use crate::logging::Log;
use crate::reactor::{CAPACITY, Endpoint, Listener, Options, Reactor, Signal, Tick, Until};
use crate::service::carrier::Link;
use crate::service::rough::Trouble;
use crate::service::{Kind, Service, Shared, http};
use crate::session::kept::{self, Kept};
use crate::session::key::{self, Keys};
use crate::session::memory::Memory;
use crate::session::pending::Pending;
use crate::session::signed::Signed;
use crate::session::{Sessions, Store};
use protection::Protection;

/// Why a server couldn't start, or ended.
#[derive(Debug)]
pub enum Failure {
    /// An endpoint can't be listened at.
    Bind(Endpoint, io::Error),
    /// A datagram socket can't be opened at this address.
    BindDatagrams(SocketAddr, io::Error),
    /// A name has no address.
    Host(String, io::Error),
    /// An address can't be reached.
    Connect(SocketAddr, io::Error),
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

    let mut http = http_shared(config);
    http.routes = routes;
    http.guard = guard;
    http.proxies = config.trusted_proxies.clone();
    let kv = if config.kv.is_empty() { Vec::new() } else { listen(&config.kv, config::KV_PORT)? };
    if !kv.is_empty() {
        http.kv = kv_routes(config)?;
    }
    http.sessions = sessions(config, keys)?;
    http.link = link(config)?;
    http.site = Some(Site::new(root, site_settings(config, budget.files)?));

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
    let mut http = http_shared(config);
    http.kv = kv_routes(config)?;
    let listeners = listen(&config.endpoints, config.port)?;
    let options = budget.options(config.max_memory, config.send_timeout);
    run(Trouble::default(), http, vec![(Kind::Kv, listeners)], options, log, |endpoints| {
        ready(&Ready::bare(endpoints, &budget))
    })
}

/// What all exchanges share, with nothing to serve yet.
fn http_shared(config: &Config) -> http::Shared {
    let limits = http::Limits {
        header_timeout: config.header_timeout,
        idle_timeout: config.idle_timeout,
        body_timeout: config.body_timeout,
        body: config.body_limit,
        per_address: config.max_per_address,
    };
    http::Shared::new(limits, config.server_field)
}

/// The key-value service with its store.
fn kv_routes(config: &Config) -> Result<Routes, Failure> {
    let store = match &config.data {
        Some(directory) => durable::Store::open(directory, "kv", config.capacity).map_err(Failure::Store)?,
        None => durable::Store::in_memory(config.capacity),
    };
    let mut routes = Routes::default();
    routes.mount("/", Box::new(Kv::new(store, config.token.clone()))).map_err(Failure::Config)?;
    Ok(routes)
}

/// Runs a service that is no web server: `miod echo`, `miod upper`.
///
/// # Errors
/// As [`serve`].
pub fn serve_lines(kind: Kind, config: &LineConfig, log: Log, ready: impl FnOnce(&Ready)) -> Result<(), Failure> {
    let budget = Descriptors::raise(config.max_connections);
    let listeners = listen(&config.endpoints, config.port)?;
    let http = http::Shared::new(http::Limits::default(), true);
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
    let watch = http.site.as_ref().and_then(Site::watch_fd);
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

/// How the descriptors of the process are shared out.
struct Descriptors {
    connections: usize,
    reserve: usize,
    files: usize,
}

impl Descriptors {
    /// Raises the soft limit as far as may be, and shares out what there is.
    fn raise(most: Option<usize>) -> Self {
        let limit = getrlimit(Resource::Nofile);
        // What can't be raised stays as it is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        let available = getrlimit(Resource::Nofile).current.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        Self::share(available, most)
    }

    /// Options with this share of the descriptors.
    fn options(&self, memory: usize, send_timeout: Duration) -> Options {
        let Self { connections, reserve, .. } = *self;
        Options { connections, reserve, memory, send_timeout, ..Options::default() }
    }

    fn share(available: usize, most: Option<usize>) -> Self {
        // Standard streams, poll, waker, signals, watch, log, listeners, and the
        // file of the request that is being answered.
        const OWN: usize = 18;
        let files = limits::OPEN_FILES.min(available / 8);
        let reserve = limits::CONNECTION_RESERVE.min(available / 16).max(1);
        let connections = available.saturating_sub(OWN + files + reserve).clamp(1, CAPACITY - reserve);
        Self { connections: connections.min(most.unwrap_or(usize::MAX)).max(1), reserve, files }
    }
}

/// Makes the listeners.
fn listen(endpoints: &[Endpoint], port: u16) -> Result<Vec<Listener>, Failure> {
    bind_all(endpoints, port, |endpoint| {
        // In all our services the client speaks first.
        let listener = Listener::bind(endpoint, true)?;
        let address = listener.address();
        Ok((listener, address))
    })
}

/// Has `bind` make a socket for each endpoint, and tell the address that it got.
/// Without endpoints: loopback, IPv4 and IPv6, if there is one. Where the port is 0
/// it is one that is free for all.
///
/// # Errors
/// [`Failure::Bind`], if one can't be made.
pub(crate) fn bind_all<T>(
    endpoints: &[Endpoint],
    port: u16,
    bind: impl Fn(&Endpoint) -> io::Result<(T, Option<SocketAddr>)>,
) -> Result<Vec<T>, Failure> {
    /// How often another free port is looked for that is free on all addresses.
    const TRIES: usize = 16;
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
        .map(|address| Endpoint::Tcp(SocketAddr::new(address, port)));
    let (endpoints, optional_v6) = if endpoints.is_empty() { (&loopback[..], true) } else { (endpoints, false) };
    let mut tries = TRIES;
    loop {
        match bind_once(endpoints, optional_v6, &bind) {
            Err((Failure::Bind(_, error), true)) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => tries -= 1,
            Err((failure, _)) => return Err(failure),
            Ok(sockets) => return Ok(sockets),
        }
    }
}

/// One attempt; a failure says whether another port might do.
fn bind_once<T>(
    endpoints: &[Endpoint],
    optional_v6: bool,
    bind: impl Fn(&Endpoint) -> io::Result<(T, Option<SocketAddr>)>,
) -> Result<Vec<T>, (Failure, bool)> {
    let mut sockets = Vec::new();
    // The port that was found where any would do, the same for all.
    let mut found = None;
    for endpoint in endpoints {
        let (endpoint, any) = match endpoint {
            Endpoint::Tcp(address) if address.port() == 0 => {
                (Endpoint::Tcp(SocketAddr::new(address.ip(), found.unwrap_or(0))), true)
            }
            other => (other.clone(), false),
        };
        match bind(&endpoint) {
            Ok((socket, address)) => {
                if any {
                    found = address.map(|address| address.port());
                }
                sockets.push(socket);
            }
            Err(error) if optional_v6 && !sockets.is_empty() && is_absent(&error) => {
                log::info!("no IPv6 here: {error}");
            }
            Err(error) => return Err((Failure::Bind(endpoint, error), any && found.is_some())),
        }
    }
    Ok(sockets)
}

/// The machine has no such address family.
fn is_absent(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let absent = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL, Errno::PROTONOSUPPORT];
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error().is_some_and(|code| absent.iter().any(|errno| errno.raw_os_error() == code))
}

/// Mounts the applications that are asked for, or that are harmless here. Also
/// tells which: prefix and name.
fn mount(
    config: &Config,
    local: bool,
    users: Option<&Users>,
    keys: &Keys,
) -> Result<(Routes, Vec<(String, String)>), Failure> {
    let named = |names: &[String], name: &str| names.iter().any(|n| n == name);
    let usual = catalogue::ALL.iter().filter(|entry| match &config.apps {
        Apps::IfLocal => {
            if entry.for_users {
                users.is_some()
            } else {
                local
            }
        }
        Apps::Only(names) => named(names, entry.name),
        Apps::AllBut(names) => !named(names, entry.name) && (users.is_some() || !entry.for_users),
    });
    let mut apps: Vec<_> = usual.map(|entry| (entry.path.to_owned(), entry.name.to_owned())).collect();
    apps.extend(config.mounts.iter().cloned());

    let mut supplies = supplies(config, keys, users, &apps)?;
    let mut routes = Routes::default();
    for (prefix, name) in &apps {
        let entry = catalogue::find(name).ok_or_else(|| unknown(name))?;
        if entry.for_users && users.is_none() {
            return Err(Failure::Config(format!("{name} needs users, by --users FILE: others can connect here")));
        }
        routes.mount(prefix, (entry.make)(&mut supplies)).map_err(Failure::Config)?;
    }
    if let Apps::Only(names) | Apps::AllBut(names) = &config.apps
        && let Some(name) = names.iter().find(|name| catalogue::find(name).is_none())
    {
        return Err(unknown(name));
    }
    Ok((routes, apps))
}

/// What the applications are made of.
fn supplies(
    config: &Config,
    keys: &Keys,
    users: Option<&Users>,
    apps: &[(String, String)],
) -> Result<Supplies, Failure> {
    let quiz = match &config.quiz {
        None => Quiz::built_in(),
        Some(path) => {
            let wrong = |why: String| Failure::Config(format!("the quiz {}: {why}", path.display()));
            let json = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            Quiz::parse(&json).map_err(wrong)?
        }
    };
    let boards = apps.iter().filter(|(_, name)| name == "board").count();
    let posts = match &config.data {
        Some(_) if boards > 1 => {
            return Err(Failure::Config("one board alone can be kept on disk; mount it once".to_owned()));
        }
        Some(directory) if boards == 1 => {
            Some(durable::Store::open(directory, "board", board::CAPACITY).map_err(Failure::Store)?)
        }
        _ => None,
    };
    let users = users.cloned().unwrap_or_else(Users::nobody);
    Ok(Supplies { users, keys: keys.clone(), session_cookie: config.session_cookie.clone(), quiz, posts })
}

fn unknown(name: &str) -> Failure {
    let names: Vec<_> = catalogue::ALL.iter().map(|entry| entry.name).collect();
    Failure::Config(format!("there is no application {name:?}; there are {}", names.join(", ")))
}

/// The sessions of visitors, as they are to be kept.
fn sessions(config: &Config, ring: KeyRing) -> Result<Sessions, Failure> {
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
fn link(config: &Config) -> Result<Option<Link>, Failure> {
    let SessionStore::Remote(place) = &config.sessions else { return Ok(None) };
    let unknown = || Failure::Config(format!("no address is known for {}", place.host));
    let addresses: Vec<_> = (place.host.as_str(), place.port).to_socket_addrs().map_err(|_| unknown())?.collect();
    if addresses.is_empty() {
        return Err(unknown());
    }
    Ok(Some(Link::new(place.clone(), addresses)))
}

/// The keys that sign cookies, and where they are.
struct KeyRing {
    keys: Keys,
    /// The file; else why they are for this run only.
    kept: Result<PathBuf, String>,
}

impl KeyRing {
    /// From the file that is named, or from the usual one if cookies are to outlive
    /// the process. Otherwise nothing is read or made.
    fn of(config: &Config) -> Result<Self, Failure> {
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
    fn told(&self, store: &SessionStore) -> String {
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
fn sessions_size(config: &Config) -> usize {
    match config.sessions {
        SessionStore::Memory | SessionStore::Directory(_) => limits::SESSIONS_SIZE.min(config.max_memory / 8),
        SessionStore::Cookie | SessionStore::Remote(_) => 0,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_shared_out_whatever_there_is() {
        for available in [0, 1, 32, 64, 1024, 20_000, 1 << 20, usize::MAX] {
            let budget = Descriptors::share(available, None);
            assert!(budget.connections >= 1 && budget.reserve >= 1);
            assert!(budget.connections + budget.reserve <= CAPACITY);
            if available >= 64 {
                assert!(budget.connections + budget.reserve + budget.files < available);
            }
        }
        assert_eq!(Descriptors::share(1024, Some(5)).connections, 5);
    }

    #[test]
    fn login_is_where_there_are_users_and_the_rest_where_only_this_machine_can_connect() {
        let mounted = |config: &Config, local, has_users: bool| {
            let users = Users::nobody();
            let mounted = mount(config, local, has_users.then_some(&users), &Keys::random()).map_err(|_| ())?;
            let has = |name: &str| mounted.1.iter().any(|(_, found)| found == name);
            Ok::<_, ()>((has("login") && has("home") && has("logout"), has("hello")))
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (apps, local, has_users, expected) in [
            (Apps::IfLocal, true, true, Ok((true, true))),
            (Apps::IfLocal, false, true, Ok((true, false))),
            (Apps::IfLocal, false, false, Ok((false, false))),
            (Apps::AllBut(names(&[])), false, true, Ok((true, true))),
            (Apps::AllBut(names(&[])), false, false, Ok((false, true))),
            (Apps::AllBut(names(&["login"])), true, true, Ok((false, true))),
            (Apps::Only(names(&["login", "home", "logout"])), false, true, Ok((true, false))),
            (Apps::Only(names(&["login"])), false, false, Err(())),
            (Apps::Only(names(&[])), true, true, Ok((false, false))),
        ] {
            let config = Config { apps, ..Config::default() };
            assert_eq!(mounted(&config, local, has_users), expected, "{:?} {local} {has_users}", config.apps);
        }
        let config = Config { mounts: vec![("/in".to_owned(), "login".to_owned())], ..Config::default() };
        assert_eq!(mounted(&config, false, false), Err(()));
    }

    #[test]
    fn any_port_is_the_same_port_on_all_addresses() {
        let any = |address: &str| Endpoint::Tcp(address.parse().unwrap());
        let listeners = listen(&[any("127.0.0.1:0"), any("127.0.0.2:0")], 0).unwrap();
        let ports: Vec<_> = listeners.iter().map(|listener| listener.address().unwrap().port()).collect();
        assert_eq!(ports[0], ports[1]);
    }
}
