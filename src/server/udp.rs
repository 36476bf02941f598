//! Composition of the services on datagram sockets: opens the sockets and runs the loop.

use std::io;
use std::net::SocketAddr;

use super::ServerError;
use super::listening::bind_all;
use crate::config::Listener;
use crate::console::program::{self, Machine};
use crate::logging::Log;
use crate::reactor::{DatagramSocket, Endpoint};
use crate::service::udp::answer::{Answerer, Reply};
use crate::service::udp::impairment::Impairment;
use crate::service::udp::watch::{Watch, WatchOptions};

/// Replies to datagrams until a signal ends it. `ready` is called when peers can send.
///
/// # Errors
/// If it can't start, or the poll fails.
pub fn answer(
    reply: Reply,
    impairment: Impairment,
    verbose: bool,
    listener: &Listener,
    log: &Log,
    ready: impl FnOnce(&[SocketAddr]),
) -> Result<(), ServerError> {
    serve(listener, || Box::new(Answerer::new(reply, impairment, verbose)), log, ready)
}

/// Watches heartbeats until a signal ends it.
///
/// # Errors
/// See [`answer`].
pub fn watch(
    options: &WatchOptions,
    listener: &Listener,
    log: &Log,
    ready: impl FnOnce(&[SocketAddr]),
) -> Result<(), ServerError> {
    serve(listener, || Box::new(Watch::new(options.clone())), log, ready)
}

fn serve(
    listener: &Listener,
    make: impl Fn() -> Machine,
    log: &Log,
    ready: impl FnOnce(&[SocketAddr]),
) -> Result<(), ServerError> {
    let endpoints = listener.endpoints().map_err(ServerError::Config)?;
    let sockets = bind(&endpoints, listener.port)?;
    let machines = sockets.into_iter().map(|socket| (socket, make())).collect();
    program::run(machines, log, ready)?;
    Ok(())
}

fn bind(endpoints: &[Endpoint], port: u16) -> Result<Vec<DatagramSocket>, ServerError> {
    bind_all(endpoints, port, |endpoint| match endpoint {
        Endpoint::Tcp(address) => {
            let socket = DatagramSocket::open(*address, None)?;
            let address = socket.address();
            Ok((socket, Some(address)))
        }
        Endpoint::Unix(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "datagrams need an address and a port")),
    })
    .map_err(|errors| {
        let of_datagrams = |error| match error {
            ServerError::Bind(Endpoint::Tcp(address), error) => ServerError::BindDatagrams(address, error),
            other => other,
        };
        ServerError::Several(errors.into_iter().map(of_datagrams).collect())
    })
}
