//! The forward proxy: which servers its clients may have asked.

use crate::http::address_blocks::AddressBlocks;

/// The forward proxy: it asks any server that a request names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForwardProxy {
    /// The addresses of clients that may use it, besides this machine.
    pub allow: AddressBlocks,
    /// The ports to which CONNECT makes tunnels.
    pub connect_ports: Vec<u16>,
    /// It asks servers that are not on the public Internet, too, also if other machines can use it.
    pub allow_private: bool,
}

impl Default for ForwardProxy {
    fn default() -> Self {
        // HTTPS, and news over TLS.
        Self { allow: AddressBlocks::default(), connect_ports: vec![443, 563], allow_private: false }
    }
}
