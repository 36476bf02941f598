//! The tap of a server: whether it may be, and what the operator is told.

use super::ServerError;
use super::build::Endpoints;
use super::error::Faults;
use crate::config::{Config, Handler, Host, Route, SessionStore, UpstreamUrl};
use crate::reactor::{Endpoint, Reactor};
use crate::service::Service;
use crate::tap::{Tap, TapSettings};

/// Finds what forbids the tap. `endpoints` has those of each listener.
pub(super) fn check(config: &Config, endpoints: &Endpoints, faults: &mut Faults) {
    let tap = &config.process.tap;
    if speaks_tls(config) {
        faults.keep(tap.check_tls().map_err(ServerError::Config));
    }
    faults.keep(check_public(tap, endpoints).map_err(ServerError::Config));
}

/// Finds endpoints that other machines can reach, unless the tap may be public.
///
/// # Errors
/// What is wrong.
pub(super) fn check_public(tap: &TapSettings, endpoints: &Endpoints) -> Result<(), String> {
    match public(endpoints).filter(|_| tap.file.is_some() && !tap.public) {
        None => Ok(()),
        Some(endpoint) => Err(format!(
            "--tap would write what other machines send to {endpoint}: give a loopback address to --bind, or --tap-public"
        )),
    }
}

/// What the operator is told of it.
pub(super) fn describe(tap: &TapSettings, endpoints: &Endpoints) -> Option<String> {
    let whose = if public(endpoints).is_some() { ", also from other machines" } else { "" };
    let what = match (&tap.secrets, tap.plain) {
        (Some(_), true) => "; what TLS protects is in plain text",
        (Some(_), false) => "; the secrets of TLS are in it",
        (None, _) => "",
    };
    tap.file.as_ref().map(|file| format!("{} gets all that is received and sent{whose}{what}", file.display()))
}

/// Opens the file and begins.
///
/// # Errors
/// If the file can't be made.
pub(super) fn begin(tap: &TapSettings, reactor: &mut Reactor<Service>) -> Result<(), ServerError> {
    let wrong = |why: &dyn std::fmt::Display| ServerError::Config(format!("--tap: {why}"));
    match Tap::open(tap).map_err(|error| wrong(&error))? {
        Some(tap) => Ok(tap.attach(reactor)?),
        None => Ok(()),
    }
}

/// An endpoint that other machines can reach.
fn public(endpoints: &Endpoints) -> Option<&Endpoint> {
    let mut all = endpoints.iter().flatten().flatten();
    all.find(|endpoint| matches!(endpoint, Endpoint::Tcp(address) if !address.ip().is_loopback()))
}

/// Whether connections by TLS are accepted or made.
fn speaks_tls(config: &Config) -> bool {
    let asks = |route: &Route| match &route.handler {
        Some(Handler::Proxy(proxy)) => {
            proxy.upstreams.iter().any(|upstream| matches!(&upstream.url, UpstreamUrl::Tcp(server) if server.is_https))
        }
        _ => false,
    };
    config.listeners.iter().any(|listener| listener.tls.is_some())
        || config.hosts.iter().any(|host: &Host| host.routes.iter().any(asks))
        || matches!(&config.process.sessions.store, SessionStore::Remote(url) if url.tls)
}
