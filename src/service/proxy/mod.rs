//! A gateway: requests that other servers answer.
//!
//! ```text
//!  exchange (service/http/proxied)                    connection to an upstream
//!  ───────────────────────────────                    ─────────────────────────
//!          ◀──────────── Established ────────────── a new one is there
//!  head ──────────────── Ask ───────────────────────▶ written to the socket
//!  content ───────────── Piece, End ────────────────▶        "
//!          ◀──────────── Room (content was written) ─
//!          ◀──────────── Head, Piece, End ─────────── read from the socket
//!  sent to the client ── Room ──────────────────────▶ reads on
//!          ◀──────────── Failed ───────────────────── lost, late, malformed
//!  client is gone ────── Cancel ────────────────────▶ closes
//! ```
//!
//! Each is a connection of its own, and they share nothing but messages. Each side sends no more
//! content than the other has room for, so a transfer of any size takes bounded memory, and the
//! slower one sets the pace. A large piece isn't copied: it is a stretch of the buffer that it was received
//! into ([`Bytes`]).
//!
//! A message names the exchange that it is about. What comes late, about an exchange that is over,
//! is dropped.
//!
//! After a 101, or at once if that was asked for (Connect), the two connections are the ends of a
//! tunnel. A response that is stored isn't sent as pieces: it grows in the cache, and all clients that
//! want it read it there.
//!
//! | File | Does |
//! |---|---|
//! | `balance`, `queue` | which upstream of a route is asked, and who waits for one |
//! | `forward` | the upstreams of a forward proxy: the servers that its clients name |
//! | `upstream`, `addresses` | a server: its connections, its name and where that is |
//! | `health`, `health_check`, `outage` | whether it works, how that is checked, and when it is logged |
//! | `dialing`, `attempts` | the way to a new connection |
//! | `connection`, `exchange` | a connection to an upstream, and the exchange that it has |
//! | `storing`, `cache` | how it stores a response, and what all proxies share for that |
//! | `tunnel` | an end of a tunnel |
//! | `room` | how much one side may send the other |

mod addresses;
mod attempts;
mod balance;
mod cache;
mod connection;
mod dialing;
mod exchange;
mod forward;
mod health;
mod health_check;
mod outage;
mod queue;
mod room;
mod storing;
mod tunnel;
mod upstream;

pub use addresses::{AddressFilter, Addresses};
pub use balance::{Chosen, Proxy};
pub(crate) use cache::Fetching;
pub use cache::{Cache, CacheRules};
pub use connection::UpstreamConnection;
pub(crate) use dialing::{Dialed, Dialing, ask_beside};
pub use forward::{Forward, Origins};
pub use health::HealthSettings;
pub use health_check::HealthCheck;
pub use queue::{Place, Queue};
pub use room::{Owed, Room, Taken};
pub use storing::Kept;
pub(crate) use storing::{CachePlace, Storing, parse_stored};
pub use tunnel::{Flow, Passing, TunnelEnd};
pub use upstream::{InFlight, Upstream};

use crate::http::client::RequestKind;
use crate::http::proxying::UpstreamFailure;
use crate::http::response::Length;
use crate::http::{FieldLines, Status};
use crate::reactor::{BULK, Bytes, Handle, RECEIVED};

/// Bytes of content that are on their way between two connections, at most, in each direction: as many as
/// are received at once, so that nothing of them is left over.
pub const WINDOW: usize = RECEIVED;

/// The same, towards a peer that has taken all that was sent to it.
pub const LARGE_WINDOW: usize = BULK;

/// The number of a request that no exchange waits for; theirs begin at 1.
const BESIDE: u32 = 0;

/// The name of an exchange: its connection, and the number of its request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExchangeId {
    /// The client's connection.
    pub client: Handle,
    /// The number of the request on it.
    pub request: u32,
}

/// From an exchange to its upstream.
#[derive(Debug)]
pub enum ToUpstream {
    /// A request.
    Ask(Box<Ask>),
    /// No request: bytes pass unchanged as soon as the connection is there.
    Connect,
    /// A piece of its content; never empty.
    Piece(Bytes),
    /// Its content is complete.
    End,
    /// The client took so many bytes of the response.
    Room(Taken),
    /// Nobody wants the response any more.
    Cancel,
}

impl ToUpstream {
    /// The piece, if it is one.
    pub fn piece(&self) -> Option<&Bytes> {
        if let Self::Piece(piece) = self { Some(piece) } else { None }
    }

    /// Bytes of memory that it takes beyond its own size and its piece.
    pub fn memory(&self) -> usize {
        match self {
            Self::Ask(ask) => ask.head.capacity(),
            Self::Piece(_) | Self::Connect | Self::End | Self::Room(_) | Self::Cancel => 0,
        }
    }
}

/// A request for an upstream.
#[derive(Debug)]
pub struct Ask {
    /// The head.
    pub head: Vec<u8>,
    /// Its content follows, in the chunked coding or not.
    pub content: Content,
    /// How its response is read.
    pub kind: RequestKind,
    /// How its response is stored, if it may be.
    pub(crate) storing: Option<Box<Storing>>,
}

/// How the content of a request is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// There is none.
    None,
    /// Unchanged.
    Plain,
    /// In the chunked coding.
    Chunked,
}

/// From an upstream to an exchange.
#[derive(Debug)]
pub enum FromUpstream {
    /// The connection is there, and can be asked.
    Established,
    /// An interim response (RFC 9110 §15.2).
    Interim(Status, FieldLines),
    /// The head of the response.
    Head(Box<Answer>),
    /// The head after which bytes pass unchanged: a 101 with its Upgrade field, or the 200 of CONNECT.
    Tunnel(Status, FieldLines),
    /// A piece of its content; never empty.
    Piece(Bytes),
    /// It is complete.
    End,
    /// So many bytes of the request's content were written.
    Room(Taken),
    /// There is no response, or no more of it.
    Failed(UpstreamFailure),
    /// The connection has ended, and nothing of the request was written to it.
    Unasked,
}

impl FromUpstream {
    /// The piece, if it is one.
    pub fn piece(&self) -> Option<&Bytes> {
        if let Self::Piece(piece) = self { Some(piece) } else { None }
    }

    /// Bytes of memory that it takes beyond its own size and its piece.
    pub fn memory(&self) -> usize {
        match self {
            Self::Head(answer) => answer.fields.memory(),
            Self::Interim(_, fields) | Self::Tunnel(_, fields) => fields.memory(),
            Self::Piece(_) | Self::End | Self::Room(_) | Self::Failed(_) | Self::Established | Self::Unasked => 0,
        }
    }
}

/// The head of a response from an upstream.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: Status,
    /// The fields for the client.
    pub fields: FieldLines,
    /// The length of the content.
    pub length: Length,
    /// Whether it is stored: then its content doesn't follow, but is there.
    pub kept: Kept,
}
