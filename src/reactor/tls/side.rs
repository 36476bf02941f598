//! Either side of TLS, for connections that begin in plain text.

use super::acceptor::TlsAcceptor;
use super::connection::TlsConnection;
use super::connector::TlsClient;
use super::failure::TlsFailure;

/// The side that we are in a TLS that begins on an open connection, as after STARTTLS (RFC 3207).
#[derive(Clone, Debug)]
pub enum TlsSide {
    /// The client's, to this server.
    Client(TlsClient),
    /// The server's.
    Server(TlsAcceptor),
}

impl TlsSide {
    /// The TLS of a connection.
    pub(in super::super) fn begin(&self) -> Result<TlsConnection, TlsFailure> {
        match self {
            Self::Client(client) => client.connect(),
            Self::Server(acceptor) => acceptor.accept(),
        }
    }
}
