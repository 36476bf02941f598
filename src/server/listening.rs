//! Opens listening sockets: at the configured endpoints, else at loopback, IPv4 and IPv6.
//! Endpoints with port 0 share one free port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::ServerError;
use crate::reactor::{Endpoint, Listener};

/// Opens the listeners by `bind`.
pub(super) fn listen(
    endpoints: &[Endpoint],
    port: u16,
    bind: fn(&Endpoint) -> io::Result<Listener>,
) -> Result<Vec<Listener>, Vec<ServerError>> {
    bind_all(endpoints, port, |endpoint| {
        let listener = bind(endpoint)?;
        let address = listener.address();
        Ok((listener, address))
    })
}

/// Calls `bind` for each endpoint; it returns the socket and its address. Without endpoints:
/// loopback, IPv4 and IPv6 (if there is one). Endpoints with port 0 share one free port.
///
/// # Errors
/// A [`ServerError::Bind`] for each one that can't be opened.
pub(crate) fn bind_all<T>(
    endpoints: &[Endpoint],
    port: u16,
    bind: impl Fn(&Endpoint) -> io::Result<(T, Option<SocketAddr>)>,
) -> Result<Vec<T>, Vec<ServerError>> {
    /// How many free ports are tried, if one isn't free on all addresses.
    const TRIES: usize = 16;
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
        .map(|address| Endpoint::Tcp(SocketAddr::new(address, port)));
    let (endpoints, optional_v6) = if endpoints.is_empty() { (&loopback[..], true) } else { (endpoints, false) };
    let mut tries = TRIES;
    loop {
        match bind_once(endpoints, optional_v6, &bind) {
            Err(failures) if tries > 0 && failures.iter().all(BindFailure::is_retryable) => tries -= 1,
            Err(failures) => {
                return Err(failures
                    .into_iter()
                    .map(|BindFailure(at, error, _)| ServerError::Bind(at, error))
                    .collect());
            }
            Ok(sockets) => return Ok(sockets),
        }
    }
}

/// An endpoint that can't be opened, the error, and whether the system chose its port for
/// another address.
struct BindFailure(Endpoint, io::Error, bool);

impl BindFailure {
    /// Whether an attempt with another free port may succeed.
    fn is_retryable(&self) -> bool {
        self.2 && self.1.kind() == io::ErrorKind::AddrInUse
    }
}

/// One attempt at all endpoints.
fn bind_once<T>(
    endpoints: &[Endpoint],
    optional_v6: bool,
    bind: impl Fn(&Endpoint) -> io::Result<(T, Option<SocketAddr>)>,
) -> Result<Vec<T>, Vec<BindFailure>> {
    let (mut sockets, mut failures) = (Vec::new(), Vec::new());
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
            Err(error) => {
                failures.push(BindFailure(endpoint, error, any && found.is_some()));
                if optional_v6 {
                    // The other address most likely has the same error.
                    break;
                }
            }
        }
    }
    if failures.is_empty() { Ok(sockets) } else { Err(failures) }
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
    fn each_endpoint_that_cannot_be_opened_is_an_error() {
        let holder = listen(&[], 0, Listener::bind).unwrap();
        let taken = holder[0].address().unwrap();
        let at = |address: &str| Endpoint::Tcp(address.parse().unwrap());
        let Err(errors) = listen(&[Endpoint::Tcp(taken), at("127.0.0.1:0"), at("192.0.2.1:0")], 0, Listener::bind)
        else {
            panic!("it is in use");
        };
        let of: Vec<_> = errors
            .iter()
            .map(|error| match error {
                ServerError::Bind(Endpoint::Tcp(address), _) => address.ip().to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(of, ["127.0.0.1", "192.0.2.1"]);
        // Without endpoints it is one service on both families, and one error.
        assert_eq!(listen(&[], taken.port(), Listener::bind).err().unwrap().len(), 1);
    }

    #[test]
    fn port_0_is_the_same_free_port_on_all_addresses() {
        let any = |address: &str| Endpoint::Tcp(address.parse().unwrap());
        let listeners = listen(&[any("127.0.0.1:0"), any("127.0.0.2:0")], 0, Listener::bind).unwrap();
        let ports: Vec<_> = listeners.iter().map(|listener| listener.address().unwrap().port()).collect();
        assert_eq!(ports[0], ports[1]);
    }
}
