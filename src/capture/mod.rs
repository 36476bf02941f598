//! Captures: what was on the wire, as a file that Wireshark and tcpdump read and write.
//!
//! ```text
//! bytes of a connection ─► segments ─► packets ─► pcapng ─► a file
//!
//! a file ─► reader ─► packets ─► packet ─► streams ─► exchanges ─► Report
//!           pcap, pcapng        IP, TCP    in order   HTTP, TLS
//! ```
//!
//! Nothing here has a socket or a clock: times are those of the packets. A capture may come from an
//! attacker, so each length is checked before memory is taken, and each table has a limit.

mod exchanges;
mod fragments;
mod half;
mod hello;
mod packet;
pub mod pcapng;
mod reader;
mod report;
mod rows;
mod sections;
pub mod segments;
mod sniff;
mod source;
mod streams;
mod tcp;

#[cfg(test)]
mod tests;

use std::fmt;

pub use reader::{Captured, Reader};
pub use report::{Filter, Report, StatusFilter, Totals, read};
pub use rows::{Event, EventKind, Exchange};
pub use source::{CaptureError, Damage};
pub use streams::Unread;
pub use tcp::{Closer, Problems, Protocol, Stream};

/// The link type of packets that begin with their IP header (LINKTYPE_RAW).
pub const LINK_RAW: u16 = 101;

/// The longest packet, in bytes: tools that use libpcap refuse files with longer ones.
pub const SNAPLEN: u32 = 262_144;

/// A side of a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The one that began it.
    Client,
    /// The other one.
    Server,
}

impl Side {
    /// The two.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    /// The peer.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// When a packet was captured: nanoseconds since the beginning of 1970, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The time from `earlier` until this one in nanoseconds; negative if `earlier` is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds since the beginning of 1970, and the nanoseconds after them.
    pub const fn parts(self) -> (i64, u32) {
        (self.0.div_euclid(NANOS), self.0.rem_euclid(NANOS) as u32)
    }
}

/// Nanoseconds in a second.
const NANOS: i64 = 1_000_000_000;

/// A value for each side.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Both<T> {
    /// Of the client.
    pub client: T,
    /// Of the server.
    pub server: T,
}

impl<T> Both<T> {
    /// That of one side.
    pub const fn of(&self, side: Side) -> &T {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    /// That of one side, to change it.
    pub const fn of_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}
