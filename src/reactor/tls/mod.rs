//! TLS (RFC 8446, RFC 5246), between the socket and the lent buffers. The only place that
//! names rustls.
//!
//! ```text
//!   socket ──▶ received ──▶ TlsConnection::open_records ──▶ Input  ──▶ protocol
//!   socket ◀── sealed   ◀── TlsConnection::seal         ◀── Output ◀── protocol
//! ```
//!
//! A [`TlsConnection`] makes no system call and owns no buffer while it is idle: it is lent the
//! ciphertext at hand, as a protocol is lent the plain text. What it can't use yet (a part of a
//! record) and what the socket doesn't take is kept beside it between two turns.
//!
//! Three things are different from plain text, and the transport asks for them:
//! plain text may wait inside when the socket is silent ([`TlsConnection::has_unread`]); there
//! may be something to send when the protocol has nothing ([`TlsConnection::has_output`]); and an
//! orderly end is a message of its own, close_notify (RFC 8446 §6.1), without which the peer
//! must take the content for cut short.
//!
//! rustls is used over ring, by its unbuffered interface: it costs a third of the memory of the
//! buffered one.

mod acceptor;
mod blocking;
mod ciphertext;
mod connection;
mod connector;
mod failure;
mod key_log;
mod resolver;
mod side;
#[cfg(test)]
mod tests;

pub use acceptor::{TlsAcceptor, TlsServerSettings};
pub use blocking::TlsStream;
pub use connector::{TlsClient, TlsConnector, TlsTrust};
pub use failure::{TlsFailure, TlsSettingsError};
pub use key_log::{KeptSecrets, KeyLog, KeyLogFile};
pub use resolver::{TlsIdentity, is_certified};
pub use side::TlsSide;

pub(super) use ciphertext::{Ciphertext, LentCiphertext};
pub(super) use connection::TlsConnection;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

/// The cryptography of all connections.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
