//! Where a stream is listened at, or connected to.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::tls::TlsClient;

/// Where to listen, or to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// An address and a port; port 0 is any free one.
    Tcp(SocketAddr),
    /// A unix-domain socket at this path, for this user and group.
    Unix(PathBuf),
}

/// How to connect: where, and whether by TLS.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Where to.
    pub endpoint: Endpoint,
    /// To which server by TLS; none: in plain text.
    pub tls: Option<TlsClient>,
}

impl From<Endpoint> for Dial {
    fn from(endpoint: Endpoint) -> Self {
        Self { endpoint, tls: None }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
