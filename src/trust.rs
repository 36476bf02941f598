//! Which servers our own connections trust: those of the client tools, and to remote stores.

use std::path::PathBuf;

use crate::certificates::load_authorities;
use crate::reactor::{TlsClient, TlsConnector, TlsTrust};

/// Why there is no client's side for a host.
pub const NAMELESS: &str = "no certificate can be for this name";

/// Which servers are trusted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Trust {
    /// Those that an authority of the system has signed. `SSL_CERT_FILE` and `SSL_CERT_DIR`
    /// name others.
    #[default]
    System,
    /// Those that an authority in this file has signed.
    File(PathBuf),
    /// All.
    Anybody,
}

impl Trust {
    /// The client's side of connections to one server.
    ///
    /// # Errors
    /// A sentence, if no authority can be used, or no certificate can be for this name.
    pub fn client(&self, host: &str, protocols: &'static [&'static str]) -> Result<TlsClient, String> {
        self.connector(protocols)?.to(host).ok_or_else(|| format!("{host}: {NAMELESS}"))
    }

    /// A connector for connections that speak these protocols (ALPN).
    ///
    /// # Errors
    /// A sentence, if no authority can be used.
    pub fn connector(&self, protocols: &'static [&'static str]) -> Result<TlsConnector, String> {
        let trust = match self {
            Self::Anybody => TlsTrust::Anybody,
            Self::File(path) => TlsTrust::Authorities(load_authorities(path).map_err(|error| error.to_string())?),
            Self::System => {
                let found = rustls_native_certs::load_native_certs();
                if found.certs.is_empty() {
                    let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
                    return Err(format!(
                        "this system has no trusted authorities{why}: install them (the package ca-certificates), or \
                         give a file"
                    ));
                }
                TlsTrust::Authorities(found.certs)
            }
        };
        TlsConnector::new(trust, protocols).map_err(|error| match self {
            Self::File(path) => format!("{}: {error}", path.display()),
            _ => error.to_string(),
        })
    }
}
