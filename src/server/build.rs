//! From a configuration to what the loop shares: hosts, certificates, limits. Nothing of it is
//! in use yet, so a start and a reload build in the same way, and either can fail.

use std::rc::Rc;

use super::admin;
use super::descriptors::Descriptors;
use super::error::Faults;
use super::host::Built;
use super::mail;
use super::own_files;
use super::protection;
use super::site;
use super::state::State;
use super::surroundings::Surroundings;
use super::tls::{self, Opened};
use super::{Ready, ServerError};
use crate::config::{self, Config, Handler, Host, Protocol};
use crate::files::resolve::Root;
use crate::reactor::{Endpoint, Time};
use crate::service::certificates::Certificates;
use crate::service::http::{self, Hosts, Limits, RouteHandler};

/// What is made from a configuration, but for sockets and sessions.
pub(super) struct Build {
    /// The hosts of the web server.
    pub(super) web: Hosts,
    /// The host of the key-value service beside it.
    pub(super) kv: Option<Hosts>,
    /// The host of the service for operators.
    pub(super) admin: Hosts,
    /// The limits of requests.
    pub(super) limits: Limits,
    /// The certificates of the listeners for TLS.
    pub(super) certificates: Option<Certificates>,
    /// An application reads sessions.
    pub(super) reads_sessions: bool,
}

/// The endpoints of each listener, or none if they can't be resolved.
pub(super) type Endpoints = [Option<Vec<Endpoint>>];

/// What is built first: errors in the configuration come before others.
pub(super) struct Roots(Vec<Option<Root>>);

impl Roots {
    /// Opens the root of each host.
    pub(super) fn open(config: &Config, faults: &mut Faults) -> Self {
        let mut open = |host: &Host| {
            faults.place(host.positions.of("root"));
            let root = faults.keep(site::open_root(host.root.as_ref()?, host.symlinks));
            faults.place(None);
            root
        };
        Self(config.hosts.iter().map(&mut open).collect())
    }

    /// Whether no client could request the server's own files.
    pub(super) fn hide_own_files(&self, config: &Config, faults: &mut Faults) -> bool {
        own_files::check(config, &self.0, faults)
    }

    /// Builds everything. What the operator should know is added to `report`.
    pub(super) fn build(
        self,
        config: &Config,
        endpoints: &Endpoints,
        state: &State,
        budget: &Descriptors,
        report: &mut Ready,
        faults: &mut Faults,
    ) -> (Vec<http::Host>, Option<Certificates>) {
        let is_board = |route: &config::Route| matches!(&route.handler, Some(Handler::App(name)) if name == "board");
        let boards = config.hosts.iter().map(|host| {
            let at_usual_path = match &host.apps {
                config::Apps::Only(names) => names.iter().any(|name| name == "board"),
                config::Apps::AllBut(names) => !names.iter().any(|name| name == "board"),
                config::Apps::Usual => host.demonstration != config::Demonstration::Off,
            };
            usize::from(at_usual_path) + host.routes.iter().filter(|route| is_board(route)).count()
        });
        let (boards, trees) = (boards.sum(), site::further_trees(&config.hosts));
        let mut hosts = Vec::new();
        for (number, (host, root)) in config.hosts.iter().zip(self.0).enumerate() {
            let local = is_local(&config.listeners, endpoints, number);
            faults.place(host.positions.of(""));
            let demonstration = protection::is_demonstration(host, local, faults);
            report.demonstration |= demonstration;
            let (process, open_files) = (&config.process, budget.files);
            let is_local = local;
            let surroundings = Surroundings { process, state, is_local, demonstration, open_files, trees, boards };
            let built = Built::build(host, root, &surroundings, faults);
            let mut built = built.into_host(host, report, faults);
            let name = if host.is_key_value() { "_kv" } else { &built.name };
            built.counts = state.counts(name);
            if config.process.mailbox.is_some() && local {
                built.local_only = Some(&mail::LOCAL);
            }
            hosts.push(built);
            faults.place(None);
        }
        if let Some(first) = hosts.first_mut() {
            for (prefix, app) in state.mounted() {
                faults.keep(first.routes.set(prefix, RouteHandler::App(app)).map_err(ServerError::Config));
            }
        }
        let certificates = open_certificates(config, endpoints, report, faults);
        (hosts, certificates)
    }
}

impl Build {
    /// Puts hosts in their tables.
    pub(super) fn new(
        config: &Config,
        hosts: Vec<http::Host>,
        certificates: Option<Certificates>,
        state: &State,
    ) -> Self {
        let sessions = hosts.first().map(|host| Rc::clone(&host.sessions)).unwrap_or_default();
        let reads_sessions = hosts.iter().any(|host| host.routes.read_sessions());
        let hosts: Vec<_> = hosts.into_iter().map(Rc::new).collect();
        let kv = config.listeners.iter().find(|listener| is_kv_beside(config, listener));
        let mut web = hosts_of(config, &config.listeners[0], &hosts);
        web.count_unknown(state.counts("_unknown"));
        Self {
            web,
            admin: admin::hosts(config.process.admin_public, state.counts("_admin"), sessions),
            kv: kv.map(|listener| hosts_of(config, listener, &hosts)),
            limits: limits(config),
            certificates,
            reads_sessions,
        }
    }
}

/// Whether a listener is that of the key-value service beside the main one.
fn is_kv_beside(config: &Config, listener: &config::Listener) -> bool {
    config.listeners.first().is_some_and(|main| main.hosts != listener.hosts && listener.protocol == Protocol::Http)
        && config.default_host(listener).is_some_and(Host::is_key_value)
}

/// The hosts of a listener, of all that were built.
fn hosts_of(config: &Config, listener: &config::Listener, built: &[Rc<http::Host>]) -> Hosts {
    let default = listener.hosts.iter().find(|number| config.hosts[**number].names.is_empty());
    let default = default.filter(|_| !listener.strict_hosts).map(|number| Rc::clone(&built[*number]));
    let server_field = config.hosts_of(listener).all(|host| host.server_field);
    let mut hosts = Hosts::new(default, server_field);
    for number in &listener.hosts {
        for name in &config.hosts[*number].names {
            hosts.insert(name, &built[*number]);
        }
    }
    hosts
}

/// The certificates of the listener for TLS, if there is one.
fn open_certificates(
    config: &Config,
    endpoints: &Endpoints,
    report: &mut Ready,
    faults: &mut Faults,
) -> Option<Certificates> {
    let secure = || config.listeners.iter().zip(endpoints).filter(|(listener, _)| listener.tls.is_some());
    let (listener, _) = secure().next()?;
    let tls = listener.tls.as_ref()?;
    let endpoints: Vec<_> = secure().map(|(_, at)| at.clone()).collect::<Option<Vec<_>>>()?.concat();
    tls::check_names(config, faults);
    let now = Time::wall();
    let opened = tls::open(tls, &config.process.tap, listener.protocol, &endpoints, now, faults.may_create());
    let Opened { certificates, authority } = faults.keep(opened).flatten()?;
    report.authority = authority;
    report.notices = certificates.notices(now);
    report.certificates = certificates.ends().to_vec();
    if let Some(file) = &tls.key_log {
        report.notices.push(format!("{} gets the secrets of all connections", file.display()));
    }
    Some(certificates)
}

/// Whether only this machine can connect to a host. `endpoints` has those of each listener.
fn is_local(listeners: &[config::Listener], endpoints: &Endpoints, host: usize) -> bool {
    let of_host = listeners.iter().zip(endpoints).filter(|(listener, _)| listener.hosts.contains(&host));
    of_host.flat_map(|(_, endpoints)| endpoints.iter().flatten()).all(|endpoint| match endpoint {
        Endpoint::Tcp(address) => address.ip().is_loopback(),
        Endpoint::Unix(_) => true,
    })
}

/// The limits of requests: those of the main listener.
fn limits(config: &Config) -> Limits {
    let listener = &config.listeners[0];
    Limits {
        header_timeout: listener.header_timeout,
        idle_timeout: listener.idle_timeout,
        body_timeout: listener.body_timeout,
        per_address: listener.max_per_address,
    }
}
