//! Opens listening sockets: at the configured endpoints, else at loopback, IPv4 and IPv6.
//! Endpoints with port 0 share one free port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::ServerError;
use crate::reactor::{Endpoint, Listener};

/// Opens the listeners.
pub(super) fn listen(endpoints: &[Endpoint], port: u16) -> Result<Vec<Listener>, ServerError> {
    bind_all(endpoints, port, |endpoint| {
        // In all our services the client speaks first.
        let listener = Listener::bind(endpoint)?;
        let address = listener.address();
        Ok((listener, address))
    })
}

/// Calls `bind` for each endpoint; it returns the socket and its address. Without endpoints:
/// loopback, IPv4 and IPv6 (if there is one). Endpoints with port 0 share one free port.
///
/// # Errors
/// [`ServerError::Bind`], if one can't be opened.
pub(crate) fn bind_all<T>(
    endpoints: &[Endpoint],
    port: u16,
    bind: impl Fn(&Endpoint) -> io::Result<(T, Option<SocketAddr>)>,
) -> Result<Vec<T>, ServerError> {
    /// How many free ports are tried on all addresses.
    const TRIES: usize = 16;
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
        .map(|address| Endpoint::Tcp(SocketAddr::new(address, port)));
    let (endpoints, optional_v6) = if endpoints.is_empty() { (&loopback[..], true) } else { (endpoints, false) };
    let mut tries = TRIES;
    loop {
        match bind_once(endpoints, optional_v6, &bind) {
            Err((ServerError::Bind(_, error), true)) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {
                tries -= 1
            }
            Err((failure, _)) => return Err(failure),
            Ok(sockets) => return Ok(sockets),
        }
    }
}

/// One attempt. An error comes with whether another port may succeed.
fn bind_once<T>(
    endpoints: &[Endpoint],
    optional_v6: bool,
    bind: impl Fn(&Endpoint) -> io::Result<(T, Option<SocketAddr>)>,
) -> Result<Vec<T>, (ServerError, bool)> {
    let mut sockets = Vec::new();
    // The free port that the first endpoint with port 0 got.
    let mut found = None;
    for endpoint in endpoints {
        let (endpoint, any) = match endpoint {
            Endpoint::Tcp(address) if address.port() == 0 => {
                (Endpoint::Tcp(SocketAddr::new(address.ip(), found.unwrap_or(0))), true)
            }
            other => (other.clone(), false),
        };
        match bind(&endpoint) {
            Ok((socket, address)) => {
                if any {
                    found = address.map(|address| address.port());
                }
                sockets.push(socket);
            }
            Err(error) if optional_v6 && !sockets.is_empty() && is_absent(&error) => {
                log::info!("no IPv6 here: {error}");
            }
            Err(error) => return Err((ServerError::Bind(endpoint, error), any && found.is_some())),
        }
    }
    Ok(sockets)
}

/// The machine has no such address family.
fn is_absent(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let absent = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL, Errno::PROTONOSUPPORT];
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error().is_some_and(|code| absent.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_0_is_the_same_free_port_on_all_addresses() {
        let any = |address: &str| Endpoint::Tcp(address.parse().unwrap());
        let listeners = listen(&[any("127.0.0.1:0"), any("127.0.0.2:0")], 0).unwrap();
        let ports: Vec<_> = listeners.iter().map(|listener| listener.address().unwrap().port()).collect();
        assert_eq!(ports[0], ports[1]);
    }
}
