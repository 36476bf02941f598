//! A running server, and how another configuration takes the place of the present one.
//!
//! ```text
//! SIGHUP ─► the loop pauses ─► load ─► build all anew ─► open what is new ─► no error? ─► swap
//!                                │            │                │               │
//!                                └────────────┴── an error: all stays as it is ┘
//! ```
//!
//! **All or nothing.** Everything that can fail is done first, beside what is in use. The swap
//! can't fail. No connection notices it: an exchange keeps the host that it began with, and the
//! next one looks its host up in the new table. Sockets that both configurations have stay open.

use std::os::fd::RawFd;
use std::rc::Rc;

use super::build::{Build, Roots};
use super::descriptors::Descriptors;
use super::error::Faults;
use super::host_logs;
use super::sessions::Visitors;
use super::sockets::{self, Open, Role, Wanted, or_loopback};
use super::state::State;
use super::{
    Ready, ServerError, admin, endpoints, further_descriptors, has_sessions, options, proxies, restart, sharing, tap,
};
use crate::config::{self, Config};
use crate::logging::{AccessLog, Log, NewAccessLog};
use crate::reactor::{Endpoint, Listener, Reactor, Signal, Time, TlsAcceptor};
use crate::service::Service;
use crate::service::certificates::Certificates;
use crate::service::http;

/// Where a running server gets another configuration.
pub trait Reloader {
    /// The configuration to use from now on. None if it can't be used: what is wrong with it was
    /// reported.
    fn load(&self) -> Option<Config>;

    /// The configuration can't be used, for this reason; to be reported.
    fn refused(&self, error: ServerError);
}

/// A listening socket.
pub(super) struct Opened {
    wanted: Wanted,
    /// The service manager has opened it, so it is never closed.
    passed: bool,
    socket: Listener,
}

impl Opened {
    /// One that this process has opened. It expects TLS if that is wanted.
    pub(super) fn own(Open { wanted, socket }: Open, acceptor: Option<&TlsAcceptor>) -> Self {
        let socket = match acceptor.filter(|_| wanted.tls) {
            Some(acceptor) => socket.with_tls(acceptor.clone()),
            None if wanted.role == Role::Admin => socket.apart(),
            None => socket,
        };
        Self { wanted, passed: false, socket }
    }

    /// One that the service manager has opened.
    pub(super) fn passed(socket: Listener, role: Role) -> Self {
        let socket = if role == Role::Admin { socket.apart() } else { socket };
        let wanted = Wanted { role, endpoint: socket.endpoint(), tls: socket.is_tls() };
        Self { wanted, passed: true, socket }
    }
}

/// A listening socket in use.
struct Listening {
    wanted: Wanted,
    passed: bool,
    /// Its number in the reactor.
    number: usize,
}

/// A running server.
pub(super) struct Running {
    /// The configuration in use.
    config: Config,
    state: State,
    /// The sessions, if a host has applications.
    visitors: Option<Visitors>,
    listening: Vec<Listening>,
    /// What the process has given up.
    sandbox: Option<String>,
}

/// What a reload has prepared.
struct Change {
    config: Config,
    state: State,
    visitors: Option<Visitors>,
    build: Build,
    opened: Vec<Opened>,
    access_log: Option<NewAccessLog>,
    budget: Descriptors,
    notices: Vec<String>,
}

impl Running {
    /// Registers signals, the watched directories and the sockets.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn start(
        reactor: &mut Reactor<Service>,
        config: Config,
        (state, visitors): (State, Option<Visitors>),
        sockets: Vec<Opened>,
        report: &mut Ready,
    ) -> Result<Self, ServerError> {
        reactor.take_signals(&[Signal::Terminate, Signal::Interrupt, Signal::Hangup, Signal::User1, Signal::User2])?;
        watch(reactor);
        if let Some(visitors) = &visitors {
            visitors.begin(&config.process, None, reactor);
        }
        let mut this = Self { config, state, visitors, listening: Vec::new(), sandbox: None };
        for socket in sockets {
            let endpoints = match socket.wanted.role {
                Role::Main => &mut report.endpoints,
                Role::Https => &mut report.https,
                Role::Kv => &mut report.kv,
                Role::Admin => &mut report.admin,
                Role::Mail => &mut report.mail,
                Role::MailOverTls => &mut report.mails,
            };
            endpoints.push(socket.socket.endpoint());
            this.listen(reactor, socket)?;
        }
        this.note_ports(reactor);
        proxies::begin_checks(reactor);
        Ok(this)
    }

    fn listen(&mut self, reactor: &mut Reactor<Service>, opened: Opened) -> Result<(), ServerError> {
        let Opened { wanted, passed, socket } = opened;
        let kind = wanted.role.kind(&self.config.listeners[0]);
        let number = reactor.listen(socket, kind)?;
        self.listening.push(Listening { wanted, passed, number });
        Ok(())
    }

    /// Begins to tell operators what they may want to know, also what the process has given up.
    pub(super) fn operate(&mut self, reactor: &mut Reactor<Service>, sandbox: Option<String>) {
        self.sandbox = sandbox;
        reactor.shared().http.operation.started = Time::wall();
        self.show_settings(reactor);
    }

    /// Keeps the settings as they are shown, if somebody can ask for them.
    fn show_settings(&mut self, reactor: &mut Reactor<Service>) {
        let all = std::mem::take(&mut self.config.process.shown);
        let is_shown = self.listening.iter().any(|one| one.wanted.role == Role::Admin);
        let settings = if is_shown { admin::settings(all, self.sandbox.as_deref()) } else { None };
        reactor.shared().http.operation.settings = settings;
    }

    /// Tells the exchanges at which ports the web server is.
    fn note_ports(&self, reactor: &mut Reactor<Service>) {
        let mut port = |tls: bool, roles: &[Role]| {
            let mut found =
                self.listening.iter().filter(|one| one.wanted.tls == tls && roles.contains(&one.wanted.role));
            found.find_map(|one| Some(reactor.listener(one.number)?.address()?.port()))
        };
        let (http, https) = (port(false, &[Role::Main]), port(true, &[Role::Main, Role::Https, Role::Kv]));
        let ports = &mut reactor.shared().http.ports;
        (ports.http, ports.https) = (http, https);
    }

    /// Loads the configuration again, and uses it, if it has no error.
    ///
    /// # Errors
    /// If the reactor can't go on.
    pub(super) fn reload(
        &mut self,
        reactor: &mut Reactor<Service>,
        reloader: Option<&dyn Reloader>,
    ) -> Result<(), ServerError> {
        log::info!("reloading the configuration");
        if let Some(notifier) = &mut reactor.shared().notifier {
            notifier.reloading();
        }
        let config = reloader.map_or_else(|| Some(self.config.clone()), Reloader::load);
        let prepared = config.map(|config| {
            let shared = reactor.shared();
            self.prepare(config, shared.certificates.as_ref(), &shared.log)
        });
        let outcome = match prepared {
            None => false,
            Some(Err(error)) => {
                match reloader {
                    Some(reloader) => reloader.refused(error),
                    None => log::error!("{error:?}"),
                }
                // Stores that were opened for nothing.
                self.state.forget_unused();
                false
            }
            Some(Ok(change)) => {
                self.commit(reactor, change)?;
                true
            }
        };
        reactor.shared().http.operation.reloads[usize::from(!outcome)] += 1;
        match outcome {
            true => log::info!("the new configuration is in use"),
            false => log::error!("the old configuration stays in use"),
        }
        if let Some(notifier) = &mut reactor.shared().notifier {
            notifier.ready();
        }
        Ok(())
    }

    /// Makes everything that another configuration needs.
    fn prepare(&self, mut config: Config, present: Option<&Certificates>, log: &Log) -> Result<Change, ServerError> {
        for option in restart::keep(&self.config, &mut config) {
            log::warn!("{option} can't change before a restart");
        }
        let mut faults = Faults::default();
        let budget = Descriptors::raise(further_descriptors(&config), config.process.max_connections);
        let roots = Roots::open(&config, &mut faults);
        let endpoints = endpoints(&config, &mut faults);
        admin::check(&config, &endpoints, &mut faults);
        tap::check(&config, &endpoints, &mut faults);
        let hidden = roots.hide_own_files(&config, &mut faults);
        let keys = hidden.then(|| faults.keep(self.state.keys.change(&self.config, &config))).flatten();
        let state = self.state.with_keys(keys.unwrap_or_else(|| Rc::clone(&self.state.keys)));
        let mut report = Ready::default();
        let (mut hosts, certificates) = roots.build(&config, &endpoints, &state, &budget, &mut report, &mut faults);
        host_logs::open(&config, &mut hosts, log, &mut faults);
        // Listeners keep the acceptor that they have.
        let acceptor = present.or(certificates.as_ref()).map(Certificates::acceptor);
        let mut opened = Vec::new();
        for (number, (listener, endpoints)) in config.listeners.iter().zip(&endpoints).enumerate() {
            let (Some(endpoints), role) = (endpoints, Role::of(&config, number)) else { continue };
            let Some(missing) = self.missing(listener, role, endpoints) else { continue };
            let sockets = faults.keep(sockets::open(listener, role, &missing));
            opened.extend(sockets.into_iter().flatten().map(|open| Opened::own(open, acceptor.as_ref())));
        }
        let logging = &config.process.logging;
        let is_file = matches!(logging.access, AccessLog::File(_));
        let access_log = (is_file || *logging != self.config.process.logging).then(|| {
            let wrong = |error| ServerError::Config(format!("the access log can't be reopened: {error}"));
            faults.keep(Log::open_access(logging).map_err(wrong))
        });
        let reads_sessions = hosts.iter().any(|host| host.routes.read_sessions());
        sharing::check(&config, reads_sessions, &mut report.notices, &mut faults);
        let visitors = self.visitors(&config, &state, &mut faults);
        visitors.iter().for_each(|visitors| visitors.give_to(&mut hosts));
        faults.finish()?;
        let build = Build::new(&config, hosts, certificates, &state);
        let (access_log, notices) = (access_log.flatten(), report.notices);
        Ok(Change { config, state, visitors, build, opened, access_log, budget, notices })
    }

    /// The sessions of another configuration. This comes last, so that a reload that fails makes no
    /// files.
    fn visitors(&self, config: &Config, state: &State, faults: &mut Faults) -> Option<Visitors> {
        if !has_sessions(config) {
            return None;
        }
        let may_create = faults.may_create();
        faults.keep(Visitors::open(&config.process, &state.keys, may_create, self.visitors.as_ref()))
    }

    /// The endpoints of a listener that aren't open yet. None if there are none. (An empty list
    /// is the default.)
    fn missing(&self, listener: &config::Listener, role: Role, endpoints: &[Endpoint]) -> Option<Vec<Endpoint>> {
        if self.listening.iter().any(|one| one.passed) && !listener.is_chosen() {
            return None;
        }
        let is_open = |endpoint: &_| self.listening.iter().any(|one| one.wanted.is_same(role, endpoint));
        let all = or_loopback(endpoints, listener.port);
        let missing: Vec<_> = all.iter().filter(|endpoint| !is_open(endpoint)).cloned().collect();
        match (endpoints.is_empty(), missing.len()) {
            (_, 0) => None,
            // One of the two is enough: this machine may have no IPv6.
            (true, missing) if missing < all.len() => None,
            (true, _) => Some(Vec::new()),
            (false, _) => Some(missing),
        }
    }

    /// Uses what was prepared. Nothing here fails but the poll itself.
    fn commit(&mut self, reactor: &mut Reactor<Service>, change: Change) -> Result<(), ServerError> {
        let Change { config, state, visitors, build, opened, access_log, budget, notices } = change;
        (self.config, self.state) = (config, state);
        if let Some(visitors) = &visitors {
            visitors.begin(&self.config.process, self.visitors.as_ref(), reactor);
        }
        self.visitors = visitors;
        unwatch(reactor);
        let shared = reactor.shared();
        let Build { web, kv, admin, limits, certificates, .. } = build;
        shared.http.web = web;
        shared.http.admin = admin;
        shared.http.kv = kv.unwrap_or_else(|| http::Hosts::new(None, true));
        shared.http.limits = limits;
        shared.http.proxies = self.config.process.trusted_proxies.clone();
        shared.http.cache = self.state.opened_cache();
        shared.http.limit_memory(self.config.process.max_memory);
        match (&mut shared.certificates, certificates) {
            (Some(present), Some(new)) => present.take_over(new),
            (present, new) => *present = new,
        }
        let acceptor = shared.certificates.as_ref().map(Certificates::acceptor);
        if let Some(new) = access_log {
            shared.log.replace_access(new);
        }
        let enabled = shared.log.is_access_enabled();
        shared.http.log_access(enabled);
        for notice in notices {
            log::warn!("{notice}");
        }
        watch(reactor);
        reactor.set_options(options(&self.config, &budget));
        self.listening = self.changed(reactor, acceptor.as_ref());
        for socket in opened {
            self.listen(reactor, socket)?;
        }
        self.note_ports(reactor);
        proxies::begin_checks(reactor);
        self.show_settings(reactor);
        self.state.forget_unused();
        Ok(())
    }

    /// The sockets that stay, for what they are for now. Others are closed.
    fn changed(&mut self, reactor: &mut Reactor<Service>, acceptor: Option<&TlsAcceptor>) -> Vec<Listening> {
        let mut wanted = Vec::new();
        for (number, listener) in self.config.listeners.iter().enumerate() {
            // They could be resolved a moment ago.
            let endpoints = or_loopback(&listener.endpoints().unwrap_or_default(), listener.port);
            let (role, tls) = (Role::of(&self.config, number), listener.speaks_tls());
            wanted.extend(endpoints.into_iter().map(|endpoint| Wanted { role, endpoint, tls }));
        }
        let mut kept = Vec::new();
        for one in std::mem::take(&mut self.listening) {
            let is_same = |wanted: &&Wanted| one.wanted.is_same(wanted.role, &wanted.endpoint);
            let wanted = match wanted.iter().find(is_same) {
                Some(wanted) => wanted.clone(),
                None if one.passed => one.wanted.clone(),
                None => {
                    reactor.close_listener(one.number);
                    continue;
                }
            };
            let kind = wanted.role.kind(&self.config.listeners[0]);
            let apart = wanted.role == Role::Admin;
            reactor.change_listener(one.number, acceptor.filter(|_| wanted.tls).cloned(), apart, kind);
            kept.push(Listening { wanted, ..one });
        }
        kept
    }
}

/// Has changes of files reported.
fn watch(reactor: &mut Reactor<Service>) {
    for files in reactor.shared().http.trees() {
        let Some(watch) = files.borrow().watch_fd() else { continue };
        match reactor.watch(watch) {
            Ok(_) => reactor.shared().watched.push(Rc::clone(&files)),
            // The files are checked once a second.
            Err(error) => log::warn!("can't watch for changed files: {error}"),
        }
    }
}

/// Has no changes of files reported any more.
fn unwatch(reactor: &mut Reactor<Service>) {
    let watched = std::mem::take(&mut reactor.shared().watched);
    let fds: Vec<RawFd> = watched.iter().filter_map(|files| files.borrow().watch_fd()).collect();
    reactor.unwatch_all(fds);
}
