//! The configuration as plain data: process, listeners, hosts and routes.
//!
//! ```text
//! Config ─┬─ Process                 memory, sessions, trusted proxies, logging
//!         ├─ Listener 1..n           endpoints, timeouts, protocol ─► numbers of its hosts
//!         └─ Host 1..n               files, applications, password files
//!              └─ Route 0..n         a path prefix: application, password file
//! ```
//!
//! The command line makes a [`Config`]. The composition root ([`server`](crate::server))
//! reads it. Nothing here opens a file or a socket. `options` is the table of all settings,
//! each with a scope: one of the four structs. The defaults are those of the structs.

mod cache;
pub(crate) mod file;
mod forward;
mod host;
pub(crate) mod layers;
mod listener;
mod mailbox;
pub(crate) mod options;
mod position;
mod process;
mod proxy;
mod route;
pub(crate) mod setting;
pub(crate) mod shown;
pub(crate) mod value_text;
pub(crate) mod values;

pub use cache::{CachePlace, ProxyCache};
pub use forward::ForwardProxy;
pub use host::{Apps, Demonstration, Host};
pub use listener::{HEARTBEAT_PORT, Listener, Protocol, Tls, UPPER_PORT};
pub use mailbox::Mailbox;
pub use position::{Mistake, Position, Positions, Source};
pub use process::{Process, Sandbox, SessionConfig, SessionStore};
pub use proxy::{ProxyRoute, ProxyUpstream, RouteCache, UpstreamUrl};
pub use route::{Content, FieldChanges, FileFields, Handler, Redirect, Respond, Route, Rules};

pub use crate::files::resolve::Symlinks;
pub use crate::http::proxying::UpstreamTimeouts;
pub use crate::logging::{AccessLog, DiagnosticFormat, LogFormat, LogOptions};
pub use crate::session::record::Lifetime;
pub use crate::session::remote::StoreUrl;
pub use crate::trust::Trust;

/// The application of the key-value service.
pub const KV: &str = "kv";

/// A configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The settings of the whole process.
    pub process: Process,
    /// The listeners. The first one is the main listener.
    pub listeners: Vec<Listener>,
    /// The hosts that listeners refer to.
    pub hosts: Vec<Host>,
}

impl Config {
    /// The configuration of one listener with one host.
    pub fn single(process: Process, mut listener: Listener, host: Host) -> Self {
        listener.hosts = vec![0];
        Self { process, listeners: vec![listener], hosts: vec![host] }
    }

    /// Adds a listener with a host of its own.
    pub fn add(&mut self, mut listener: Listener, host: Host) {
        listener.hosts = vec![self.hosts.len()];
        self.listeners.push(listener);
        self.hosts.push(host);
    }

    /// The hosts of a listener; none if it isn't for HTTP.
    pub fn hosts_of(&self, listener: &Listener) -> impl Iterator<Item = &Host> {
        listener.hosts.iter().filter_map(|number| self.hosts.get(*number))
    }

    /// The host for requests that name no other host of the listener, if there is one.
    pub fn default_host(&self, listener: &Listener) -> Option<&Host> {
        self.hosts_of(listener).find(|host| host.names.is_empty())
    }
}

/// The mistakes in a configuration file with this text.
#[doc(hidden)] // for tests
pub fn mistakes(text: String) -> Vec<Mistake> {
    let source = std::sync::Arc::new(Source::new("miod.toml", text));
    file::parse(&source, ServerCommand::Serve).1
}

/// The commands that run a server on stream sockets. Each is a preset of a configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServerCommand {
    /// Files and applications over HTTP.
    Serve,
    /// The key-value service over HTTP.
    Kv,
    /// A forward proxy.
    Proxy,
    /// Each byte is sent back.
    Echo,
    /// The input is sent back in upper case.
    Upper,
    /// Mail is received and shown.
    Mailbox,
}

impl ServerCommand {
    /// All commands.
    pub const ALL: [Self; 6] = [Self::Serve, Self::Kv, Self::Proxy, Self::Echo, Self::Upper, Self::Mailbox];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Kv => "kv",
            Self::Proxy => "proxy",
            Self::Echo => "echo",
            Self::Upper => "upper",
            Self::Mailbox => "mailbox",
        }
    }

    /// The port that it listens at by default.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Serve => listener::HTTP_PORT,
            Self::Kv => listener::KV_PORT,
            Self::Proxy => listener::PROXY_PORT,
            Self::Echo => listener::ECHO_PORT,
            Self::Upper => listener::UPPER_PORT,
            Self::Mailbox => listener::SMTP_PORT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_listener_has_its_default_host() {
        let (first, second) = (Host { listing: true, ..Host::default() }, Host::key_value(Route::default()));
        let mut config = Config::single(Process::default(), Listener::default(), first);
        config.add(Listener::default(), second);
        assert!(config.default_host(&config.listeners[0]).unwrap().listing);
        assert!(config.default_host(&config.listeners[1]).unwrap().is_key_value());
        let line = Listener { protocol: Protocol::Echo, ..Listener::default() };
        assert!(config.default_host(&line).is_none());
    }
}
