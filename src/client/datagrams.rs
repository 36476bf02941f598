//! Runs the tools that send datagrams to one peer: `miod ping` and `miod heartbeat send`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::heartbeat::{Heartbeat, HeartbeatPlan};
use super::ping::{Ping, PingPlan};
use super::{ClientError, Target, ToolError};
use crate::console::program::{self, Machine};
use crate::logging::Log;
use crate::names;
use crate::reactor::DatagramSocket;
use crate::tap::{Tap, TapSettings};

/// Sends probes to `target`. True if a reply came.
///
/// # Errors
/// If `target` has no address that can be sent to, or the poll fails.
pub fn ping(target: &Target, plan: PingPlan, log: &Log, tap: &TapSettings) -> Result<bool, ToolError> {
    run(target, |peer| Box::new(Ping::new(peer, plan)), log, tap)
}

/// Sends heartbeats to `target` until a signal ends it.
///
/// # Errors
/// See [`ping()`].
pub fn send_heartbeats(target: &Target, plan: HeartbeatPlan, log: &Log, tap: &TapSettings) -> Result<(), ToolError> {
    run(target, |peer| Box::new(Heartbeat::new(peer, plan)), log, tap).map(drop)
}

fn run(
    target: &Target,
    make: impl FnOnce(SocketAddr) -> Machine,
    log: &Log,
    tap: &TapSettings,
) -> Result<bool, ToolError> {
    let run = || {
        let (socket, peer) = connect(target)?;
        Ok(program::run(vec![(socket, make(peer))], log, Tap::open(tap)?, |_| ())?)
    };
    run().map_err(|error: ClientError| error.at(target))
}

/// A socket that is connected to the first address of `target`.
fn connect(target: &Target) -> Result<(DatagramSocket, SocketAddr), ClientError> {
    let addresses = names::resolve(&target.host, target.port)?;
    let peer = addresses[0];
    let socket = DatagramSocket::open(any_address(peer), Some(peer));
    Ok((socket.map_err(|error| ClientError::Send(peer, error))?, peer))
}

/// The local address of a socket to `peer`: any address and any port of its family.
pub(super) fn any_address(peer: SocketAddr) -> SocketAddr {
    let any = if peer.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    SocketAddr::new(any, 0)
}
