//! The address of a peer, as a connection keeps it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::endpoint::Endpoint;

/// A peer's address in 19 bytes instead of the 32 of a `SocketAddr`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Peer {
    ip: [u8; 16],
    port: [u8; 2],
    family: Family,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    V4,
    V6,
    Unix,
}

impl Peer {
    pub(super) fn new(address: Option<SocketAddr>) -> Self {
        let port = address.map_or(0, |a| a.port()).to_be_bytes();
        // A socket for both families, which a service manager may pass, has IPv4 peers as IPv6.
        match address.map(|a| a.ip().to_canonical()) {
            Some(IpAddr::V4(v4)) => {
                let mut ip = [0; 16];
                ip[..4].copy_from_slice(&v4.octets());
                Self { ip, port, family: Family::V4 }
            }
            Some(IpAddr::V6(v6)) => Self { ip: v6.octets(), port, family: Family::V6 },
            None => Self { ip: [0; 16], port, family: Family::Unix },
        }
    }

    /// The peer that is connected to at `to`.
    pub(super) fn of(to: &Endpoint) -> Self {
        Self::new(match to {
            Endpoint::Tcp(address) => Some(*address),
            Endpoint::Unix(_) => None,
        })
    }

    pub(super) fn address(self) -> Option<SocketAddr> {
        let ip = match self.family {
            Family::V4 => IpAddr::V4(Ipv4Addr::new(self.ip[0], self.ip[1], self.ip[2], self.ip[3])),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(self.ip)),
            Family::Unix => return None,
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes(self.port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_keeps_its_address() {
        for address in ["1.2.3.4:5", "[2001:db8::1]:65535", "0.0.0.0:0"] {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(Peer::new(Some(address)).address(), Some(address));
        }
        let mapped = Peer::new(Some("[::ffff:1.2.3.4]:5".parse().unwrap()));
        assert_eq!(mapped.address(), Some("1.2.3.4:5".parse().unwrap()));
        assert_eq!(Peer::new(None).address(), None);
        assert_eq!(size_of::<Peer>(), 19);
    }
}
