//! The options: one type of table for all commands.
//!
//! Each option is one entry with a scope, which is the struct that its setter changes.
//! Command line, environment and help all come from the entries, so every option is
//! documented and every documented option exists. [`server_options`] is the table of the
//! configuration. The setters of a client tool are [`Setter::Command`].

/// The [`Setter`] of an option that only stores its value in a field of the scope's struct.
/// A function of [`values`](super::values) parses the value; a switch stores `true` or
/// `false`.
macro_rules! assign {
    ($scope:ident . $($field:ident).+ = $switch:literal) => {
        $crate::config::options::Setter::$scope(|target, _| {
            target.$($field).+ = $switch;
            Ok(())
        })
    };
    ($scope:ident . $($field:ident).+ = Some($read:expr)) => {
        $crate::config::options::Setter::$scope(|target, text| {
            target.$($field).+ = Some($read(text)?);
            Ok(())
        })
    };
    ($scope:ident . $($field:ident).+ = $read:expr) => {
        $crate::config::options::Setter::$scope(|target, text| {
            target.$($field).+ = $read(text)?;
            Ok(())
        })
    };
}
pub(crate) use assign;

pub(crate) mod foreign;
mod forward;
mod host;
mod listener;
mod mailbox;
pub(crate) mod paths;
mod process;
mod route;
mod tap;

use std::path::{Path, PathBuf};

use crate::http::language::Languages;

use super::listener::{MAILBOX_PORT, SMTPS_PORT};
use super::{Config, Host, Listener, Mailbox, Process, Protocol, Route, ServerCommand, SessionStore, Trust};

pub use listener::{bind, port};
pub use process::verbose;

/// Whether an option has a value, and its name in help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    /// It is a switch.
    None,
    /// It needs a value.
    Required(&'static str),
    /// It may have a value after an equals sign.
    Optional(&'static str),
}

/// The result of setting a value. An error is a hint: what a right value looks like.
pub type SetResult = Result<(), String>;

/// A setter. It gets the value as written; for a switch, an empty text.
pub enum Setter<D> {
    /// Of the process.
    Process(fn(&mut Process, &str) -> SetResult),
    /// Of a listener.
    Listener(fn(&mut Listener, &str) -> SetResult),
    /// Of a host.
    Host(fn(&mut Host, &str) -> SetResult),
    /// Of a route.
    Route(fn(&mut Route, &str) -> SetResult),
    /// Of the command's own settings.
    Command(fn(&mut D, &str) -> SetResult),
}

/// An option of a command whose own settings are a `D`.
pub struct Opt<D: 'static> {
    /// Its name after `--`, which is also its key in a configuration file.
    pub long: &'static str,
    /// Its letter after `-`.
    pub short: Option<char>,
    /// Its value.
    pub value: Value,
    /// The server commands that have it. If empty, all commands that use the table.
    pub commands: &'static [ServerCommand],
    /// The heading in help.
    pub group: &'static str,
    /// The sentence in help.
    pub help: &'static str,
    /// The default in help; empty if it is obvious or part of the sentence.
    pub default: fn(&Draft<D>) -> String,
    /// It can be given more than once.
    pub repeatable: bool,
    /// What is between the values in its variable, if it is repeatable.
    pub separator: char,
    /// It can be set by a variable of the environment.
    pub environment: bool,
    /// Its value may contain a password or a token, so no message shows it.
    pub secret: bool,
    /// Makes relative paths in a value of the configuration file relative to its directory.
    pub relative: fn(&str, &Path) -> String,
    /// How it changes the settings.
    pub set: Setter<D>,
}

impl<D> Opt<D> {
    /// What most entries have in common. Its setter changes nothing.
    pub const DEFAULT: Self = Self {
        long: "",
        short: None,
        value: Value::None,
        commands: &[],
        group: "Options",
        help: "",
        default: |_| String::new(),
        repeatable: false,
        separator: ',',
        environment: false,
        secret: false,
        relative: paths::none,
        set: Setter::Command(|_, _| Ok(())),
    };

    /// Whether a server command has it.
    pub fn belongs_to(&self, command: ServerCommand) -> bool {
        self.commands.is_empty() || self.commands.contains(&command)
    }

    /// A value with an equals sign before it, as messages show it.
    pub fn shown(&self, value: &str) -> String {
        if self.secret { String::new() } else { format!("={value}") }
    }

    /// Its variable of the environment: `MIOD_IDLE_TIMEOUT` for `--idle-timeout`.
    pub fn variable(&self) -> String {
        format!("MIOD_{}", self.long.to_ascii_uppercase().replace('-', "_"))
    }

    /// Sets it.
    ///
    /// # Errors
    /// A hint, if the value is wrong.
    pub fn apply(&self, draft: &mut Draft<D>, text: &str) -> SetResult {
        match self.set {
            Setter::Process(set) => set(&mut draft.process, text),
            Setter::Listener(set) => set(&mut draft.listener, text),
            Setter::Host(set) => set(&mut draft.host, text),
            Setter::Route(set) => set(&mut draft.route, text),
            Setter::Command(set) => set(&mut draft.command, text),
        }
    }
}

/// The settings of a command line: one struct of each scope.
#[derive(Clone, Debug, Default)]
pub struct Draft<D> {
    /// The process.
    pub process: Process,
    /// The main listener.
    pub listener: Listener,
    /// Its default host.
    pub host: Host,
    /// The route of the key-value service.
    pub route: Route,
    /// The command's own settings.
    pub command: D,
}

impl<D: Default> Draft<D> {
    /// The defaults, with this port.
    pub fn at(port: u16) -> Self {
        Self { listener: Listener::at(port), ..Self::default() }
    }
}

/// The settings of server command lines that aren't part of the configuration.
#[derive(Clone, Debug, Default)]
pub struct ServerDraft {
    /// Where `--kv` listens.
    pub kv: Vec<String>,
    /// Where the service for operators listens.
    pub admin: Vec<String>,
    /// Where HTTPS is listened for.
    pub tls_bind: Vec<String>,
    /// Where the page of a mailbox is.
    pub http: Vec<String>,
    /// Where mail is received over TLS.
    pub smtps: Vec<String>,
    /// The mailbox.
    pub mailbox: Mailbox,
    /// The configuration file.
    pub config: Option<PathBuf>,
}

/// The options of `serve`, `kv`, `proxy`, `echo`, `upper` and `mailbox`.
pub fn server_options() -> impl Iterator<Item = &'static Opt<ServerDraft>> + Clone {
    let tables = [
        listener::OPTIONS,
        mailbox::OPTIONS,
        host::OPTIONS,
        route::OPTIONS,
        forward::OPTIONS,
        process::OPTIONS,
        tap::OPTIONS,
    ];
    tables.into_iter().flatten()
}

/// The headings of server options in help, in their order.
pub const GROUPS: &[&str] = &[
    "Configuration",
    "Listening",
    "TLS",
    "Serving",
    "Applications",
    "Proxy",
    "Access",
    "Sessions",
    "Keys and values",
    "Mail",
    "A bad network",
    "Limits",
    "Running",
    "Logging",
    "Capturing",
];

/// This file in the default root marks it as the demonstration of this project. Its name is
/// hidden, so it is never served.
pub const DEMONSTRATION_MARK: &str = ".demonstration";

impl Draft<ServerDraft> {
    /// Finds options that do nothing without another one. `hosts` are those of the configuration
    /// file.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self, hosts: &[Host]) -> SetResult {
        if self.listener.strict_hosts && hosts.iter().all(|host| host.names.is_empty()) {
            return Err("--strict-hosts needs a configuration file with hosts that have names".to_owned());
        }
        self.process.tap.check()?;
        let has_certificates = hosts.iter().any(|host| !host.certificates.is_empty());
        let has_tls = has_certificates
            || match &self.listener.tls {
                Some(tls) if !tls.auto && tls.certificates.is_empty() => {
                    return Err("--tls-min, --client-ca and --tls-keylog need --tls".to_owned());
                }
                tls => tls.is_some(),
            };
        if has_certificates && self.listener.tls.as_ref().is_some_and(|tls| tls.auto) {
            return Err("--tls auto can't be combined with certificates of hosts".to_owned());
        }
        if !has_tls && !self.command.tls_bind.is_empty() {
            return Err("--tls-bind needs --tls".to_owned());
        }
        if !has_tls && !self.command.smtps.is_empty() {
            return Err("--smtps needs --tls".to_owned());
        }
        if self.command.mailbox.any_login && self.host.users.is_some() {
            return Err("--any-login can't be combined with --users".to_owned());
        }
        let has_tls_store = matches!(&self.process.sessions.store, SessionStore::Remote(url) if url.tls);
        if !has_tls_store && self.process.sessions.trust != Trust::default() {
            return Err("--sessions-ca needs a store behind TLS: --sessions https://… or rediss://…".to_owned());
        }
        let of_nothing =
            |host: &Host| !host.negotiate && (host.strict_negotiation || host.languages != Languages::default());
        if of_nothing(&self.host) || hosts.iter().any(of_nothing) {
            return Err("--languages and --strict-negotiation need --negotiate".to_owned());
        }
        // A proxy may speak TLS with the clients.
        let can_be_secure = has_tls || !self.process.trusted_proxies.is_empty();
        let needs_tls = |host: &Host| host.redirect_https || host.hsts.is_some();
        if !can_be_secure && (needs_tls(&self.host) || hosts.iter().any(needs_tls)) {
            return Err("--redirect-https and --hsts need --tls, or a --trusted-proxy that speaks TLS".to_owned());
        }
        Ok(())
    }

    /// The configuration of a command. `hosts` are those of the configuration file. Without them
    /// the settings are for one host.
    pub fn build(self, command: ServerCommand, hosts: Vec<Host>) -> Config {
        if command == ServerCommand::Mailbox {
            return self.build_mailbox();
        }
        let Self { mut process, mut listener, host, route, command: ServerDraft { kv, admin, tls_bind, config, .. } } =
            self;
        process.config_file = config;
        listener.protocol = match command {
            ServerCommand::Serve | ServerCommand::Kv | ServerCommand::Proxy | ServerCommand::Mailbox => Protocol::Http,
            ServerCommand::Echo => Protocol::Echo,
            ServerCommand::Upper => Protocol::Upper,
        };
        let admin = (!admin.is_empty()).then(|| listener.admin_beside(admin));
        let key_value = Host {
            server_field: host.server_field,
            body_limit: host.body_limit,
            rate: host.rate,
            ..Host::key_value(route)
        };
        if command == ServerCommand::Kv {
            let mut config = Config::single(process, listener, key_value);
            config.listeners.extend(admin);
            return config;
        }
        if command == ServerCommand::Proxy {
            let mut config = Config::single(process, listener, host.into_forward_proxy());
            config.listeners.extend(admin);
            return config;
        }
        if command != ServerCommand::Serve {
            return Config { process, listeners: [listener].into_iter().chain(admin).collect(), hosts: Vec::new() };
        }
        let hosts = if hosts.is_empty() { vec![host] } else { hosts };
        let certificates = || hosts.iter().flat_map(|host| &host.certificates).cloned();
        if certificates().next().is_some() {
            listener.tls.get_or_insert_default().certificates.extend(certificates());
        }
        // All listeners of the web server are for the same hosts.
        listener.hosts = (0..hosts.len()).collect();
        let tls = listener.tls.take().map(|tls| Listener::https_beside(&listener, tls_bind, tls));
        let beside = Listener { bind: kv, port: ServerCommand::Kv.default_port(), ..listener.clone() };
        let mut config = Config { process, listeners: vec![listener], hosts };
        config.listeners.extend(tls);
        if !beside.bind.is_empty() {
            config.add(beside, key_value);
        }
        config.listeners.extend(admin);
        config
    }

    /// The configuration of a mailbox: the main listener is that of its page.
    fn build_mailbox(self) -> Config {
        let Self { mut process, listener, mut host, command, .. } = self;
        let ServerDraft { admin, http, smtps, mailbox, config, .. } = command;
        process.config_file = config;
        process.mailbox = Some(Mailbox { users: host.users.take(), ..mailbox });
        let page = listener.beside(http, MAILBOX_PORT, Protocol::Http, None);
        let smtps =
            (!smtps.is_empty()).then(|| listener.beside(smtps, SMTPS_PORT, Protocol::Smtps, listener.tls.clone()));
        let admin = (!admin.is_empty()).then(|| listener.admin_beside(admin));
        let mut config = Config::single(process, page, host.mailbox());
        config.listeners.push(Listener { protocol: Protocol::Smtp, ..listener });
        config.listeners.extend(smtps.into_iter().chain(admin));
        config
    }
}

/// The commands for HTTP.
const HTTP: &[ServerCommand] = &[ServerCommand::Serve, ServerCommand::Kv, ServerCommand::Proxy, ServerCommand::Mailbox];
/// Those that have content of their own.
const CONTENT: &[ServerCommand] = &[ServerCommand::Serve, ServerCommand::Kv];
/// Those that ask upstreams.
const PROXIES: &[ServerCommand] = &[ServerCommand::Serve, ServerCommand::Proxy];
/// Only the web server.
const SERVE: &[ServerCommand] = &[ServerCommand::Serve];

/// What the entries of the server tables have in common.
const SERVER: Opt<ServerDraft> = Opt { environment: true, ..Opt::DEFAULT };

#[cfg(test)]
mod tests;
