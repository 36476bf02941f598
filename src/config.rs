//! What an operator can decide, as plain data: the command line makes it, the
//! composition root reads it.

use std::path::PathBuf;
use std::time::Duration;

use crate::files::resolve::Symlinks;
use crate::http::forwarded::Proxies;
use crate::limits;
use crate::reactor::Endpoint;
use crate::session;
use crate::session::record::Lifetime;
use crate::session::remote::Place;

/// The port of `miod serve`: the usual one for HTTP without privileges.
pub const HTTP_PORT: u16 = 8080;
/// The port of the key-value service.
pub const KV_PORT: u16 = 5100;
/// The port of `miod echo`.
pub const ECHO_PORT: u16 = 5555;
/// The port of `miod upper`.
pub const UPPER_PORT: u16 = 12_000;
/// The port of `miod heartbeat watch`.
pub const HEARTBEAT_PORT: u16 = 12_001;

/// Everything that `miod serve` and `miod kv` can be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory whose files are served.
    pub root: PathBuf,
    /// Where to listen. Empty: loopback, IPv4 and IPv6 (if there is one), at
    /// [`port`](Self::port). Endpoints with port 0 share one that is free for all.
    pub endpoints: Vec<Endpoint>,
    /// The port of the default endpoints; 0: any that is free.
    pub port: u16,
    /// Directories without an index file are listed.
    pub listing: bool,
    /// Which symbolic links are followed.
    pub symlinks: Symlinks,
    /// The value of Cache-Control on files.
    pub cache_control: String,
    /// Octets that the cache of small files may take; 0 turns it off.
    pub cache_size: usize,
    /// Octets that connections, the cache and sessions in memory may hold together.
    pub max_memory: usize,
    /// The entity-tag also tells inode and ctime: finer, but of one machine only.
    pub etag_inode: bool,
    /// Media types beyond the built-in ones: extension and type.
    pub media_types: Vec<(String, String)>,
    /// The file, relative to the root, that answers what isn't found, with 200.
    pub spa: Option<String>,
    /// From accept, or from a request's first octet, to the whole head.
    pub header_timeout: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// Without progress of a request's body.
    pub body_timeout: Duration,
    /// Without progress of an answer.
    pub send_timeout: Duration,
    /// Largest request body that an application is given, in octets.
    pub body_limit: u64,
    /// Most connections at once; none: as many as there are descriptors.
    pub max_connections: Option<usize>,
    /// Most connections at once from one address; none: no bound.
    pub max_per_address: Option<u32>,
    /// What is under protection: path prefix and password file. Empty: see
    /// [`protection`](crate::server::protection).
    pub auth: Vec<(String, PathBuf)>,
    /// The password file of who can log in; none: see
    /// [`protection`](crate::server::protection).
    pub users: Option<PathBuf>,
    /// The proxies whose word about their clients is taken.
    pub trusted_proxies: Proxies,
    /// Answers say `Server: miod`.
    pub server_field: bool,
    /// Which applications are mounted.
    pub apps: Apps,
    /// The questions of the quiz; none: those that are built in.
    pub quiz: Option<PathBuf>,
    /// An application mounted elsewhere: path prefix and name.
    pub mounts: Vec<(String, String)>,
    /// Where the key-value service listens beside the web server. Empty: nowhere.
    pub kv: Vec<Endpoint>,
    /// What its clients have to know; none: whoever can connect may use it.
    pub token: Option<String>,
    /// Octets that its keys and values may take.
    pub capacity: usize,
    /// The directory where what must last is kept; none: in memory.
    pub data: Option<PathBuf>,
    /// Where visitors' sessions are kept.
    pub sessions: SessionStore,
    /// The file with the keys that sign cookies; none: the usual one, if cookies are
    /// to be signed that outlive the process.
    pub session_key: Option<PathBuf>,
    /// The name of the cookie.
    pub session_cookie: String,
    /// How long sessions live.
    pub session_lifetime: Lifetime,
}

/// Where visitors' sessions are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionStore {
    /// In the process, and gone with it.
    Memory,
    /// In the visitor's cookie, signed.
    Cookie,
    /// On disk, in this directory.
    Directory(PathBuf),
    /// With a store that is somewhere else.
    Remote(Place),
}

/// Everything that `miod echo` and `miod upper` can be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineConfig {
    /// Where to listen, as in [`Config`].
    pub endpoints: Vec<Endpoint>,
    /// The port of the default endpoints; 0: any that is free.
    pub port: u16,
    /// Without the peer taking any octet of the output.
    pub send_timeout: Duration,
    /// Most connections at once; none: as many as there are descriptors.
    pub max_connections: Option<usize>,
    /// Octets that connections may hold together.
    pub max_memory: usize,
    /// How long answers are held back.
    pub delay: Duration,
    /// The seed of a bad network that is put on, if one is.
    pub chaos: Option<u64>,
}

/// Which of the built-in applications are mounted at their usual place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Apps {
    /// All, if every listener is loopback or a unix-domain socket; else none.
    IfLocal,
    /// These.
    Only(Vec<String>),
    /// All but these.
    AllBut(Vec<String>),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: PathBuf::from("."),
            endpoints: Vec::new(),
            port: HTTP_PORT,
            listing: false,
            symlinks: Symlinks::Inside,
            cache_control: "no-cache".to_owned(),
            cache_size: limits::CACHE,
            max_memory: limits::MEMORY,
            etag_inode: false,
            media_types: Vec::new(),
            spa: None,
            header_timeout: limits::HEADER_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            body_timeout: limits::BODY_TIMEOUT,
            send_timeout: limits::SEND_TIMEOUT,
            body_limit: limits::BODY,
            max_connections: None,
            max_per_address: None,
            auth: Vec::new(),
            users: None,
            trusted_proxies: Proxies::default(),
            server_field: true,
            apps: Apps::IfLocal,
            quiz: None,
            mounts: Vec::new(),
            kv: Vec::new(),
            token: None,
            capacity: limits::STORE,
            data: None,
            sessions: SessionStore::Memory,
            session_key: None,
            session_cookie: session::COOKIE.to_owned(),
            session_lifetime: Lifetime::default(),
        }
    }
}
