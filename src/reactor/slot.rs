//! One connection: its transport, its protocol, and what the loop knows of it.

use super::held::Held;
use super::timers::Armed;
use super::transport::Transport;
use super::want::Want;

/// What a handle names.
pub(super) struct Slot<P> {
    pub(super) transport: Transport,
    pub(super) protocol: P,
    /// Its earliest entry among the timers.
    pub(super) armed: Armed,
    /// The memory that it holds beyond its slot.
    pub(super) held: Held,
    /// The run queue that it is in.
    pub(super) queued: Queued,
    /// The socket is registered with the poll.
    pub(super) registered: bool,
    /// How much input the protocol wanted when it was called last.
    pub(super) reading: Reading,
    /// Which listener it came from.
    pub(super) listener: u8,
}

/// How much input a protocol wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reading {
    No,
    Usual,
    Bulk,
}

impl From<&Want> for Reading {
    fn from(want: &Want) -> Self {
        match (want.read, want.in_bulk) {
            (false, _) => Self::No,
            (true, false) => Self::Usual,
            (true, true) => Self::Bulk,
        }
    }
}

/// Which run queue a connection is in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Queued {
    /// In none.
    No,
    /// For a turn of a bulk transfer, one between two looks at the poll.
    Bulk,
    /// For a turn in the next pass: there is a message for it, or its event came when
    /// the pass had no work left.
    Soon,
    /// For the next turn: there is a message for it that brings a large piece.
    Next,
}

impl<P> Slot<P> {
    /// A connection that was just made.
    pub(super) fn new(transport: Transport, protocol: P, reading: Reading, listener: u8) -> Self {
        Self {
            transport,
            protocol,
            armed: Armed::NONE,
            held: Held::default(),
            queued: Queued::No,
            registered: false,
            reading,
            listener,
        }
    }

    /// Whether it is in the middle of a bulk transfer: of a file, or of a large body, whose
    /// last piece may cost a lot of work at once.
    pub(super) fn is_bulk(&self) -> bool {
        self.transport.is_amid_file() || self.held.bytes() > super::input::BUFFER
    }
}

// What ten thousand idle connections cost is ten thousand times this.
const _: () = assert!(size_of::<Option<Slot<[u64; 3]>>>() <= 88 || cfg!(debug_assertions));
