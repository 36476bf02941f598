//! Composition of the services on datagram sockets: opens the sockets and runs the loop.

use std::io;
use std::net::SocketAddr;

use super::ServerError;
use super::listening::bind_all;
use super::tap;
use crate::config::Listener;
use crate::console::program::{self, Machine};
use crate::logging::Log;
use crate::reactor::{DatagramSocket, Endpoint};
use crate::service::udp::answer::{Answerer, Reply};
use crate::service::udp::impairment::Impairment;
use crate::service::udp::watch::{Watch, WatchOptions};
use crate::tap::{Tap, TapSettings};

/// Replies to datagrams until a signal ends it. `ready` is called when peers can send.
///
/// # Errors
/// If it can't start, or the poll fails.
pub fn answer(
    reply: Reply,
    impairment: Impairment,
    verbose: bool,
    listener: &Listener,
    (log, tap): (&Log, &TapSettings),
    ready: impl FnOnce(&[SocketAddr]),
) -> Result<(), ServerError> {
    serve(listener, || Box::new(Answerer::new(reply, impairment, verbose)), (log, tap), ready)
}

/// Watches heartbeats until a signal ends it.
///
/// # Errors
/// See [`answer`].
pub fn watch(
    options: &WatchOptions,
    listener: &Listener,
    (log, tap): (&Log, &TapSettings),
    ready: impl FnOnce(&[SocketAddr]),
) -> Result<(), ServerError> {
    serve(listener, || Box::new(Watch::new(options.clone())), (log, tap), ready)
}

fn serve(
    listener: &Listener,
    make: impl Fn() -> Machine,
    (log, tap): (&Log, &TapSettings),
    ready: impl FnOnce(&[SocketAddr]),
) -> Result<(), ServerError> {
    let endpoints = listener.endpoints().map_err(ServerError::Config)?;
    tap::check_public(tap, &[Some(endpoints.clone())]).map_err(ServerError::Config)?;
    let sockets = bind(&endpoints, listener.port)?;
    let tap = Tap::open(tap).map_err(|error| ServerError::Config(format!("--tap: {error}")))?;
    let machines = sockets.into_iter().map(|socket| (socket, make())).collect();
    program::run(machines, log, tap, ready)?;
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
