//! The composition root of what lives on datagrams: names are resolved, sockets
//! opened, and the tool is run until it is over.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use crate::config::Target;
use crate::logging::Log;
use crate::reactor::{DatagramSocket, Endpoint, Options, Reactor, Signal, Until};
use crate::server::{Failure, bind_all};
use crate::service::report::Report;
use crate::service::udp::Machine;
use crate::service::udp::answer::{Answerer, Manner};
use crate::service::udp::fate::Network;
use crate::service::udp::heartbeat::{self, Heart};
use crate::service::udp::ping::{self, Ping};
use crate::service::udp::watch::{self, Watch};
use crate::service::{Service, Shared, http};

/// Answers datagrams until a signal ends it; `ready` is called when peers can send.
///
/// # Errors
/// If it can't start, or the poll fails.
pub fn answer(
    manner: Manner,
    network: Network,
    verbose: bool,
    (endpoints, port): (&[Endpoint], u16),
    log: &Log,
    ready: impl FnOnce(&[SocketAddr]),
) -> Result<(), Failure> {
    let sockets = listen(endpoints, port)?;
    let machines =
        sockets.into_iter().map(|socket| (socket, Machine::Answerer(Answerer::new(manner, network, verbose))));
    run(machines.collect(), log, ready).map(drop)
}

/// Hears heartbeats until a signal ends it.
///
/// # Errors
/// As [`answer`].
pub fn watch(
    settings: &watch::Settings,
    (endpoints, port): (&[Endpoint], u16),
    log: &Log,
    ready: impl FnOnce(&[SocketAddr]),
) -> Result<(), Failure> {
    let sockets = listen(endpoints, port)?;
    let machines = sockets.into_iter().map(|socket| (socket, Machine::Watch(Watch::new(settings.clone()))));
    run(machines.collect(), log, ready).map(drop)
}

/// Asks `target`; says whether it answered.
///
/// # Errors
/// If it has no address that can be sent to, or the poll fails.
pub fn ping(target: &Target, settings: ping::Settings, log: &Log) -> Result<bool, Failure> {
    let (socket, peer) = connect(target)?;
    run(vec![(socket, Machine::Ping(Ping::new(peer, settings)))], log, |_| ())
}

/// Sends heartbeats to `target` until a signal ends it.
///
/// # Errors
/// As [`ping()`].
pub fn send_heartbeats(target: &Target, settings: heartbeat::Settings, log: &Log) -> Result<(), Failure> {
    let (socket, peer) = connect(target)?;
    run(vec![(socket, Machine::Heart(Heart::new(peer, settings)))], log, |_| ()).map(drop)
}

fn run(
    machines: Vec<(DatagramSocket, Machine)>,
    log: &Log,
    ready: impl FnOnce(&[SocketAddr]),
) -> Result<bool, Failure> {
    let http = http::Shared::new(http::Limits::default(), http::Host::new(false));
    let shared = Shared::new(http, log.clone());
    let mut reactor = Reactor::<Service>::new(shared, Options::default())?;
    reactor.shared().report = Report::new(Box::new(io::stdout()), reactor.closer());
    reactor.take_signals(&[Signal::Terminate, Signal::Interrupt])?;
    let addresses: Vec<_> = machines.iter().map(|(socket, _)| socket.address()).collect();
    for (socket, machine) in machines {
        reactor.attach(socket, machine)?;
    }
    ready(&addresses);
    let result = reactor.run(Until::Idle);
    log.flush();
    result?;
    Ok(reactor.shared().success)
}

fn listen(endpoints: &[Endpoint], port: u16) -> Result<Vec<DatagramSocket>, Failure> {
    bind_all(endpoints, port, |endpoint| match endpoint {
        Endpoint::Tcp(address) => {
            let socket = DatagramSocket::open(*address, None)?;
            let address = socket.address();
            Ok((socket, Some(address)))
        }
        Endpoint::Unix(_) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "datagrams are sent to an address and a port"))
        }
    })
    .map_err(|failure| match failure {
        Failure::Bind(Endpoint::Tcp(address), error) => Failure::BindDatagrams(address, error),
        other => other,
    })
}

/// A socket that is connected to the first address of `target`.
fn connect(target: &Target) -> Result<(DatagramSocket, SocketAddr), Failure> {
    let Target { host, port } = target;
    let found = (host.as_str(), *port).to_socket_addrs();
    let peer = found.and_then(|mut all| all.next().ok_or_else(|| io::Error::other("it has no address")));
    let peer = peer.map_err(|error| Failure::Host(host.clone(), error))?;
    let any = if peer.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = DatagramSocket::open(SocketAddr::new(any, 0), Some(peer));
    Ok((socket.map_err(|error| Failure::Connect(peer, error))?, peer))
}
