//! What the loop hands to the tap's thread: records, and their bytes behind each other.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::capture::Timestamp;
use crate::capture::pcapng::fit;
use crate::reactor::{Handle, TapEnd, TapEnds};

/// What a record takes beside its bytes.
const RECORD: usize = size_of::<Record>();
/// Most bytes of a comment.
const COMMENT: usize = 4096;

/// Something that happened.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) of: Handle,
    pub(super) time: Timestamp,
    pub(super) fact: Fact,
    /// What is said about its packet.
    pub(super) comment: String,
}

/// What happened.
#[derive(Debug)]
pub(super) enum Fact {
    Accepted(Box<TapEnds>),
    Dialled(Box<TapEnds>),
    Connected,
    Received(Piece),
    Sent(Piece),
    PeerEnded,
    Ended,
    Closed(TapEnd),
    /// From the first address to the second one.
    Datagram(Box<(SocketAddr, SocketAddr)>, Piece),
    Secrets(Piece),
    /// What the ring has is to be written.
    Asked,
}

/// Bytes of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    start: usize,
    pub(super) length: usize,
}

/// Records in their order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    bytes: Vec<u8>,
    /// The bytes of packets were dropped, for want of room.
    stripped: bool,
}

impl Batch {
    /// Adds a record.
    pub(super) fn push(&mut self, of: Handle, time: Timestamp, fact: Fact) -> &mut Record {
        self.insert(self.records.len(), of, time, fact)
    }

    /// Adds a record before another one.
    pub(super) fn insert(&mut self, at: usize, of: Handle, time: Timestamp, fact: Fact) -> &mut Record {
        let at = at.min(self.records.len());
        self.records.insert(at, Record { of, time, fact, comment: String::new() });
        &mut self.records[at]
    }

    /// Adds bytes, for a record.
    pub(super) fn piece(&mut self, bytes: &[u8]) -> Piece {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Piece { start, length: bytes.len() }
    }

    /// The bytes of a piece; none if they were dropped.
    pub(super) fn bytes(&self, piece: Piece) -> Option<&[u8]> {
        if self.stripped { None } else { self.bytes.get(piece.start..piece.start + piece.length) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How full it is: bytes of packets and of records, without texts.
    pub(super) fn filled(&self) -> usize {
        self.records.len() * RECORD + self.bytes.len()
    }

    /// Bytes of memory that it takes: all that it has on the heap.
    pub(super) fn memory(&self) -> usize {
        let beside: usize = self.records.iter().map(Record::memory).sum();
        self.records.capacity() * RECORD + self.bytes.capacity() + beside
    }

    /// Drops the bytes of packets and keeps what happened.
    pub(super) fn strip(&mut self) {
        // Secrets that are lost can't be found again, but without its bytes no packet needs them.
        self.bytes = Vec::new();
        self.stripped = true;
    }

    /// Empties it, to be filled again.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.bytes.clear();
        self.stripped = false;
    }
}

impl Record {
    /// Bytes on the heap.
    fn memory(&self) -> usize {
        let beside = match &self.fact {
            Fact::Accepted(ends) | Fact::Dialled(ends) => {
                size_of::<TapEnds>() + ends.path.as_ref().map_or(0, PathBuf::capacity)
            }
            Fact::Datagram(..) => size_of::<(SocketAddr, SocketAddr)>(),
            Fact::Connected | Fact::PeerEnded | Fact::Ended | Fact::Closed(_) | Fact::Asked => 0,
            Fact::Received(_) | Fact::Sent(_) | Fact::Secrets(_) => 0,
        };
        beside + self.comment.capacity()
    }

    /// Says something more about its packet.
    pub(super) fn comment(&mut self, text: fmt::Arguments<'_>) {
        add_line(&mut self.comment, text);
    }
}

/// Adds a line to a comment, as far as there is room.
pub(super) fn add_line(comment: &mut String, text: fmt::Arguments<'_>) {
    if comment.len() >= COMMENT {
        return;
    }
    if !comment.is_empty() {
        comment.push('\n');
    }
    // Writing to a string can't fail.
    let _ = comment.write_fmt(text);
    if comment.len() > COMMENT {
        comment.truncate(fit(comment, COMMENT).len());
        comment.shrink_to_fit();
    }
}
