//! What is found on connections, as it is listed.

use super::{Side, Timestamp};

/// A request and its response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// When the first byte of the request was captured; without a request, of the response.
    pub start: Timestamp,
    /// The method. None if the request isn't in the capture.
    pub method: Option<String>,
    /// The request-target, printable.
    pub target: String,
    /// The status. None if the response isn't in the capture.
    pub status: Option<u16>,
    /// Bytes of the response with its head, and of interim responses.
    pub bytes: u64,
    /// Bytes of its content.
    pub body_bytes: u64,
    /// From the last byte of the request before the response, to its first byte: nanoseconds.
    pub ttfb: Option<i64>,
    /// By what both heads say, another request may follow on the connection.
    pub persistent: bool,
    /// It was sent before the response to an earlier request had arrived.
    pub pipelined: bool,
    /// The response is whole.
    pub complete: bool,
}

/// Something that happened on a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// Who did it.
    pub side: Side,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// It opened the connection.
    Syn,
    /// It sends no more.
    Fin,
    /// It reset the connection.
    Reset,
    /// It sent the head of a request or response.
    Head(Vec<u8>),
    /// It has sent content of so many bytes.
    Content(u64),
    /// It sent bytes of another protocol.
    Data(u64),
    /// So many bytes of it aren't in the capture.
    Lost(u64),
}

/// Memory for rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Bytes that are left.
    pub(super) left: usize,
    /// What wasn't listed for want of it.
    pub(super) unlisted: u64,
}

impl Room {
    /// Takes some. False if there is no more.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) if self.unlisted == 0 => {
                self.left = left;
                true
            }
            _ => {
                self.unlisted += 1;
                false
            }
        }
    }
}
