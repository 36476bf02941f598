//! The client's side: whom to trust, and which server is meant.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::connection::TlsConnection;
use super::failure::{TlsFailure, TlsSettingsError};
use super::key_log::KeyLog;
use super::provider;

/// Which servers are trusted.
#[derive(Clone, Debug)]
pub enum TlsTrust {
    /// Those whose certificate is for their name, and signed by one of these authorities.
    Authorities(Vec<CertificateDer<'static>>),
    /// All. The connection is encrypted, but to whom isn't known.
    Anybody,
}

/// Begins the client's side of TLS connections. Clones share their settings, and sessions.
#[derive(Clone)]
pub struct TlsConnector {
    config: Arc<ClientConfig>,
    protocols: &'static [&'static str],
}

impl TlsConnector {
    /// A connector that trusts `trust` and speaks these protocols (ALPN).
    ///
    /// # Errors
    /// If no authority can be used.
    pub fn new(trust: TlsTrust, protocols: &'static [&'static str]) -> Result<Self, TlsSettingsError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| TlsSettingsError::Unusable(0, error.to_string()))?;
        let mut config = match trust {
            TlsTrust::Authorities(authorities) => {
                let mut roots = RootCertStore::empty();
                let (usable, _) = roots.add_parsable_certificates(authorities);
                if usable == 0 {
                    return Err(TlsSettingsError::Authorities("there is none".to_owned()));
                }
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            TlsTrust::Anybody => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth()
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Ok(Self { config: Arc::new(config), protocols })
    }

    /// Has the secrets of sessions go there.
    #[must_use]
    pub fn with_key_log(self, key_log: KeyLog) -> Self {
        let mut config = (*self.config).clone();
        config.key_log = key_log.shared();
        Self { config: Arc::new(config), ..self }
    }

    /// For a connection to the server of this name, or this IP address; none if it is neither.
    pub fn to(&self, name: &str) -> Option<TlsClient> {
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let name = ServerName::try_from(name).ok()?.to_owned();
        Some(TlsClient { connector: self.clone(), name })
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector")
    }
}

/// The client's side of a TLS connection to be made.
#[derive(Clone, Debug)]
pub struct TlsClient {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl TlsClient {
    /// Has the secrets of sessions go there.
    #[must_use]
    pub fn with_key_log(self, key_log: KeyLog) -> Self {
        Self { connector: self.connector.with_key_log(key_log), ..self }
    }

    /// The TLS of a new connection.
    pub(in super::super) fn connect(&self) -> Result<TlsConnection, TlsFailure> {
        TlsConnection::client(Arc::clone(&self.connector.config), self.name.clone(), self.connector.protocols)
    }
}

/// Trusts any certificate. That the peer has its key is checked all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
