//! Why TLS failed, or can't be set up.

use std::fmt;

/// Why a TLS connection failed: what an [`io::Error`](std::io::Error) of it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TlsFailure {
    /// The peer's certificate isn't trusted: a sentence that says why.
    Untrusted(String),
    /// The peer refused, or did what the protocol forbids: a sentence that says what.
    Handshake(String),
    /// The connection ended in the handshake.
    Cut,
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untrusted(why) => write!(f, "the peer's certificate isn't trusted: {why}"),
            Self::Handshake(why) => f.write_str(why),
            Self::Cut => f.write_str("the peer closed the connection in the TLS handshake"),
        }
    }
}

impl std::error::Error for TlsFailure {}

impl From<TlsFailure> for std::io::Error {
    fn from(failure: TlsFailure) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, failure)
    }
}

impl TlsFailure {
    /// The failure in an error of a connection, if it is one of TLS.
    pub fn of(error: &std::io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What an error of rustls means.
    pub(super) fn new(error: &rustls::Error) -> Self {
        use rustls::{CertificateError, Error};
        match error {
            Error::InvalidCertificate(why) => Self::Untrusted(match why {
                CertificateError::UnknownIssuer => "its issuer is unknown".to_owned(),
                // The name of the issuer is that of a trusted authority, which has another key: as after
                // the authority of `--tls auto` was made anew.
                CertificateError::BadSignature => "the trusted authority has not signed it".to_owned(),
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "it is not valid yet".to_owned()
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "it is for another name".to_owned()
                }
                CertificateError::Revoked => "it is revoked".to_owned(),
                other => format!("{other:?}").to_lowercase(),
            }),
            Error::AlertReceived(alert) => Self::Handshake(format!("the peer sent the alert {alert:?}")),
            Error::NoApplicationProtocol => Self::Handshake("no common application protocol (ALPN)".to_owned()),
            Error::NoCertificatesPresented => Self::Handshake("the peer sent no certificate".to_owned()),
            other => Self::Handshake(other.to_string()),
        }
    }
}

/// Why the settings of TLS can't be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TlsSettingsError {
    /// The key isn't the one of the certificate with this number.
    KeyMismatch(usize),
    /// The certificate or key with this number can't be used: why.
    Unusable(usize, String),
    /// The authorities for client certificates can't be used: why.
    Authorities(String),
    /// There is no certificate.
    NoCertificate,
}

impl fmt::Display for TlsSettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyMismatch(_) => f.write_str("the key does not belong to the certificate"),
            Self::Unusable(_, why) => write!(f, "the certificate can't be used: {why}"),
            Self::Authorities(why) => write!(f, "the certificates of the authority can't be used: {why}"),
            Self::NoCertificate => f.write_str("there is no certificate"),
        }
    }
}

impl std::error::Error for TlsSettingsError {}
