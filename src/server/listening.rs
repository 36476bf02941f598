//! From endpoints to sockets: those that were asked for, or loopback in both
//! families, and where any port will do one that is free for all.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::ServerError;
use crate::reactor::{Endpoint, Listener};

/// Makes the listeners.
pub(super) fn listen(endpoints: &[Endpoint], port: u16) -> Result<Vec<Listener>, ServerError> {
    bind_all(endpoints, port, |endpoint| {
        // In all our services the client speaks first.
        let listener = Listener::bind(endpoint)?;
        let address = listener.address();
        Ok((listener, address))
    })
}

/// Has `bind` make a socket for each endpoint, and tell the address that it got.
/// Without endpoints: loopback, IPv4 and IPv6, if there is one. Where the port is 0
/// it is one that is free for all.
///
/// # Errors
/// [`ServerError::Bind`], if one can't be made.
pub(crate) fn bind_all<T>(
    endpoints: &[Endpoint],
    port: u16,
    bind: impl Fn(&Endpoint) -> io::Result<(T, Option<SocketAddr>)>,
) -> Result<Vec<T>, ServerError> {
    /// How often another free port is looked for that is free on all addresses.
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

/// One attempt; a failure says whether another port might do.
fn bind_once<T>(
    endpoints: &[Endpoint],
    optional_v6: bool,
    bind: impl Fn(&Endpoint) -> io::Result<(T, Option<SocketAddr>)>,
) -> Result<Vec<T>, (ServerError, bool)> {
    let mut sockets = Vec::new();
    // The port that was found where any would do, the same for all.
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
    fn any_port_is_the_same_port_on_all_addresses() {
        let any = |address: &str| Endpoint::Tcp(address.parse().unwrap());
        let listeners = listen(&[any("127.0.0.1:0"), any("127.0.0.2:0")], 0).unwrap();
        let ports: Vec<_> = listeners.iter().map(|listener| listener.address().unwrap().port()).collect();
        assert_eq!(ports[0], ports[1]);
    }
}
