//! The TLS of listeners: from the configuration to certificates that can be used.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use super::ServerError;
use super::error::Faults;
use crate::certificates::{self, Auto};
use crate::config::{Config, Protocol, Tls};
use crate::names;
use crate::reactor::{Endpoint, KeyLogFile, is_certified};
use crate::service::certificates::{AutoSource, Certificates, Sources};
use crate::session::key;
use crate::tap::TapSettings;

/// The certificates of a listener, and the authority that was made for them.
pub(super) struct Opened {
    pub(super) certificates: Certificates,
    pub(super) authority: Option<Authority>,
}

/// The authority of `--tls auto`, which clients must be told to trust.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authority {
    /// Its certificate.
    pub file: PathBuf,
    /// The SHA-256 of its certificate, like `AA:BB:…`.
    pub fingerprint: String,
}

/// Opens the certificates of a listener at `endpoints`. Files are made only if that is allowed.
///
/// # Errors
/// Which file can't be used, and why.
pub(super) fn open(
    tls: &Tls,
    tap: &TapSettings,
    protocol: Protocol,
    endpoints: &[Endpoint],
    unix_seconds: i64,
    may_create: bool,
) -> Result<Option<Opened>, ServerError> {
    let mut sources = Sources {
        files: tls.certificates.clone(),
        auto: None,
        client_ca: tls.client_ca.clone(),
        only_tls13: tls.only_tls13,
        protocols: match protocol {
            Protocol::Http | Protocol::Admin => &["http/1.1"],
            Protocol::Echo | Protocol::Upper | Protocol::Smtp | Protocol::Smtps => &[],
        },
        key_log: tap.key_log(None),
    };
    if !may_create && (tls.auto || tls.key_log.is_some()) {
        // What a start would make isn't there to be checked.
        return Ok(None);
    }
    if let Some(path) = &tls.key_log {
        let opened = KeyLogFile::open(path);
        let file = opened.map_err(|error| ServerError::Config(format!("{}: {error}", path.display())))?;
        sources.key_log.file = Some(Arc::new(file));
    }
    let mut authority = None;
    if tls.auto {
        let auto = AutoSource {
            directory: directory()?,
            names: names::own().into_iter().collect(),
            addresses: addresses(endpoints),
        };
        let AutoSource { directory, names, addresses } = &auto;
        let made = certificates::prepare(directory, names, addresses, unix_seconds);
        let Auto { files, authority: file, fingerprint } =
            made.map_err(|error| ServerError::Config(error.to_string()))?;
        sources.files = vec![files];
        sources.auto = Some(auto);
        authority = Some(Authority { file, fingerprint });
    }
    let certificates = Certificates::open(sources, unix_seconds).map_err(ServerError::Config)?;
    Ok(Some(Opened { certificates, authority }))
}

/// Checks that the certificates of each host are for its names.
pub(super) fn check_names(config: &Config, faults: &mut Faults) {
    for host in config.hosts.iter().filter(|host| !host.certificates.is_empty()) {
        // What can't be loaded is reported when it is opened.
        let loaded: Vec<_> = host.certificates.iter().filter_map(|files| files.load().ok()).collect();
        if loaded.len() < host.certificates.len() {
            continue;
        }
        for name in &host.names {
            let name = name.to_string();
            let is_for = |pattern: &String| *pattern == name || is_certified(pattern, &name);
            if !loaded.iter().flat_map(|identity| &identity.facts.dns_names).any(is_for) {
                let files: Vec<_> = host.certificates.iter().map(ToString::to_string).collect();
                faults.wrong_at(host.positions.of("tls"), format!("{} isn't for {name}", files.join(" and ")));
            }
        }
    }
}

/// Where the authority is kept: `tls` in this user's state directory.
fn directory() -> Result<PathBuf, ServerError> {
    let key = key::default_path(|name| std::env::var_os(name));
    let found = key.and_then(|key| Some(key.parent()?.join("tls")));
    found.ok_or_else(|| {
        ServerError::Config("--tls auto needs a state directory: set XDG_STATE_HOME or HOME, or give files".to_owned())
    })
}

/// The addresses that a certificate is for: those that are listened at.
fn addresses(endpoints: &[Endpoint]) -> Vec<IpAddr> {
    let of = |endpoint: &Endpoint| match endpoint {
        Endpoint::Tcp(address) => Some(SocketAddr::ip(address)).filter(|ip| !ip.is_unspecified()),
        Endpoint::Unix(_) => None,
    };
    endpoints.iter().filter_map(of).collect()
}
