//! The resolution of host names; no other file does it.
//!
//! It uses the system's resolver, which honours /etc/hosts and nsswitch.conf. The resolver
//! blocks, so a running loop resolves names on a helper thread.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use crate::text::io_error::describe;

/// A name that can't be resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownHost {
    /// The name.
    pub host: String,
    /// The reason that the resolver gives.
    pub reason: String,
}

impl fmt::Display for UnknownHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't resolve {}: {}", self.host, self.reason)
    }
}

impl std::error::Error for UnknownHost {}

impl From<UnknownHost> for io::Error {
    fn from(error: UnknownHost) -> Self {
        Self::new(io::ErrorKind::NotFound, error)
    }
}

/// The name of this machine, if it has one that can be a host name.
pub fn own() -> Option<String> {
    let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    (!name.is_empty() && name.bytes().all(fits)).then_some(name)
}

/// The addresses of a host, at least one, in the order in which to try them. Blocks.
///
/// # Errors
/// If the resolver finds no address.
pub fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, UnknownHost> {
    let unknown = |reason: String| UnknownHost { host: host.to_owned(), reason };
    let found = (host, port).to_socket_addrs().map_err(|error| {
        // The resolver's reason follows the text of the standard library.
        let text = describe(&error);
        unknown(text.rsplit(": ").next().unwrap_or(&text).to_lowercase())
    })?;
    let mut addresses: Vec<_> = found.collect();
    // Some systems list an address once for each type of socket.
    addresses.dedup();
    if addresses.is_empty() { Err(unknown("it has no address".to_owned())) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_resolves_to_itself() {
        assert_eq!(resolve("127.0.0.1", 80), Ok(vec![([127, 0, 0, 1], 80).into()]));
        assert_eq!(resolve("::1", 80), Ok(vec!["[::1]:80".parse().unwrap()]));
    }

    #[test]
    fn a_name_that_cannot_be_resolved_is_reported_with_the_reason() {
        let error = resolve("a b", 80).unwrap_err();
        assert_eq!(error.host, "a b");
        assert!(error.to_string().starts_with("can't resolve a b: ") && !error.reason.contains(':'), "{error}");
    }
}
