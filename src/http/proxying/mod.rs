//! What a proxy does to the heads of the messages that it passes on (RFC 9110 §7.6).
//!
//! A head is never copied whole. It was parsed, and is written anew: what is for one connection
//! only stays behind, the framing is that of the new connection, and what the next server should
//! know about the client is added.
//!
//! | File | Does |
//! |---|---|
//! | `hops` | which fields are for one connection only |
//! | `forwards` | how many more proxies may pass a request on |
//! | `request` | the head of a request to an upstream |
//! | `response` | the field lines of an upstream's response |
//! | `upgrade` | the change to another protocol |
//! | `failure` | what a client is told if the upstream fails |
//! | `destination` | what a request to a forward proxy is for |
//! | `location` | where a client finds what an upstream names in Location |
//! | `reachable` | which addresses a forward proxy asks |

mod destination;
mod failure;
mod forwards;
mod hops;
mod location;
mod reachable;
mod request;
mod response;
mod upgrade;

pub use destination::{Asked, Destination, Server};
pub use failure::UpstreamFailure;
pub use forwards::forwards_left;
pub use hops::HopFields;
pub use location::{PassedOn, gateway_location, textbook_location};
pub use reachable::is_public;
pub use request::{ForwardedRequest, HostChoice, Sender};
pub use response::{has_passed_here, response_fields};
pub use upgrade::{is_offered_change, offered_protocols, upgrade_fields};

use std::time::Duration;

use crate::limits;

/// How long an upstream may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UpstreamTimeouts {
    /// To accept a connection.
    pub connect: Duration,
    /// Until the head of its response.
    pub response: Duration,
    /// Between two pieces of its response.
    pub idle: Duration,
    /// Between two bytes of a tunnel, in whichever direction.
    pub tunnel: Duration,
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        Self {
            connect: limits::UPSTREAM_CONNECT_TIMEOUT,
            response: limits::UPSTREAM_TIMEOUT,
            idle: limits::UPSTREAM_TIMEOUT,
            tunnel: limits::TUNNEL_TIMEOUT,
        }
    }
}
