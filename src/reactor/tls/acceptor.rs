//! The server's side: certificates, and what clients may ask for.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};

use super::connection::TlsConnection;
use super::failure::{TlsFailure, TlsSettingsError};
use super::key_log::KeyLog;
use super::provider;
use super::resolver::{Resolver, TlsIdentity};

/// What a server offers.
#[derive(Debug, Default)]
pub struct TlsServerSettings {
    /// At least one. A client gets the first that is for the name that it asks for, or else the
    /// first.
    pub identities: Vec<TlsIdentity>,
    /// TLS 1.2 is refused.
    pub only_tls13: bool,
    /// The protocols that are spoken (ALPN). A client that offers only others is refused; one
    /// that offers none isn't.
    pub protocols: &'static [&'static str],
    /// Clients must have a certificate of one of these authorities. Empty: none is asked for.
    pub client_authorities: Vec<CertificateDer<'static>>,
    /// Where the secrets of sessions are written.
    pub key_log: KeyLog,
}

/// Begins the server's side of TLS connections. Clones share their settings.
#[derive(Clone)]
pub struct TlsAcceptor {
    current: Arc<Mutex<Current>>,
}

/// The settings in use.
#[derive(Clone)]
struct Current {
    config: Arc<ServerConfig>,
    resolver: Arc<Resolver>,
    protocols: &'static [&'static str],
    /// The authorities that the tickets were given under.
    client_authorities: Vec<CertificateDer<'static>>,
}

impl TlsAcceptor {
    /// An acceptor with these settings.
    ///
    /// # Errors
    /// If they can't be used.
    pub fn new(settings: TlsServerSettings) -> Result<Self, TlsSettingsError> {
        let current = Current::new(settings, None)?;
        Ok(Self { current: Arc::new(Mutex::new(current)) })
    }

    /// Uses other settings from the next handshake on. Sessions can still be resumed, unless
    /// other clients are trusted now.
    ///
    /// # Errors
    /// If they can't be used; then nothing has changed.
    pub fn replace(&self, settings: TlsServerSettings) -> Result<(), TlsSettingsError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Current::new(settings, Some(&current))?;
        Ok(())
    }

    /// Whether the certificate that a client got who asked for `asked` is good for a host. A
    /// client that asked for no name got the first one. That is good enough if no other
    /// certificate is for the host: it is the one that such a client gets in any case. No client
    /// asks for an address, so addresses aren't compared.
    pub fn is_for(&self, asked: Option<&str>, host: &str) -> bool {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        host.parse::<IpAddr>().is_ok() || host.starts_with('[') || current.resolver.is_for(asked, host)
    }

    /// Uses the settings of another acceptor from the next handshake on, as
    /// [`replace`](Self::replace) does.
    pub fn take_over(&self, other: &Self) {
        let mut new = other.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.client_authorities == new.client_authorities {
            let mut config = (*new.config).clone();
            config.ticketer = Arc::clone(&current.config.ticketer);
            new.config = Arc::new(config);
        }
        *current = new;
    }

    /// The TLS of a new connection.
    pub(in super::super) fn accept(&self) -> Result<TlsConnection, TlsFailure> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        TlsConnection::server(Arc::clone(&current.config), Arc::clone(&current.resolver), current.protocols)
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsAcceptor")
    }
}

impl Current {
    fn new(settings: TlsServerSettings, before: Option<&Self>) -> Result<Self, TlsSettingsError> {
        let TlsServerSettings { identities, only_tls13, protocols, client_authorities, key_log } = settings;
        let provider = provider();
        let resolver = Arc::new(Resolver::new(identities)?);
        let versions = if only_tls13 { &[&TLS13][..] } else { &[&TLS13, &TLS12] };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| TlsSettingsError::Unusable(0, error.to_string()))?;
        let builder = if client_authorities.is_empty() {
            builder.with_no_client_auth()
        } else {
            let unusable = |error: &dyn fmt::Display| TlsSettingsError::Authorities(error.to_string());
            let mut roots = RootCertStore::empty();
            for authority in &client_authorities {
                roots.add(authority.clone()).map_err(|error| unusable(&error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| unusable(&error))?)
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&resolver) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        // Tickets are kept by clients, so sessions take no memory here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = match before.filter(|before| before.client_authorities == client_authorities) {
            Some(before) => Arc::clone(&before.config.ticketer),
            None => new_ticketer(),
        };
        config.key_log = key_log.shared();
        Ok(Self { config: Arc::new(config), resolver, protocols, client_authorities })
    }
}

/// Makes tickets; their keys change every six hours.
fn new_ticketer() -> Arc<dyn ProducesTickets> {
    // It fails only without random numbers. Then no session is resumed.
    rustls::crypto::ring::Ticketer::new().unwrap_or_else(|_| {
        log::warn!("TLS sessions can't be resumed: there are no random numbers");
        Arc::new(NoTickets)
    })
}

#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }
    fn lifetime(&self) -> u32 {
        0
    }
    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}
