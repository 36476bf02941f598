//! A tunnel: bytes that pass unchanged between a client and an upstream, after a 101 (RFC 9110
//! §7.8) or CONNECT (§9.3.6).
//!
//! ```text
//!  client ⇄ socket ⇄ TunnelEnd ◀── Piece, Room, End, Lost ──▶ TunnelEnd ⇄ socket ⇄ upstream
//! ```
//!
//! The two ends are alike. Each passes on what its peer sends, as far as the other end has room, and
//! sends its peer what arrives from the other end. The two directions don't depend on each other:
//! a message is taken note of at once, and never waits behind another that has no room. The end of
//! one direction is passed on, while the other goes on. What goes wrong at one end resets the other.
//! A tunnel in which nothing moves holds no buffer.

use std::collections::VecDeque;

use super::{FromUpstream, LARGE_WINDOW, Owed, Room, Taken, ToUpstream};
use crate::http::proxying::UpstreamFailure;
use crate::reactor::{Bytes, Finish, Io, Tick, Want};
use crate::service::Cx;

/// What one end of a tunnel tells the other.
#[derive(Debug)]
pub enum Flow {
    /// Bytes.
    Piece(Bytes),
    /// There will be no more of them.
    End,
    /// So many bytes were written.
    Room(Taken),
    /// The connection is lost.
    Lost,
}

impl Flow {
    /// What a client's end says; none if that isn't about a tunnel.
    pub fn of_client(message: ToUpstream) -> Option<Self> {
        match message {
            ToUpstream::Piece(bytes) => Some(Self::Piece(bytes)),
            ToUpstream::End => Some(Self::End),
            ToUpstream::Room(taken) => Some(Self::Room(taken)),
            ToUpstream::Cancel => Some(Self::Lost),
            ToUpstream::Ask(_) | ToUpstream::Connect => None,
        }
    }

    /// What an upstream's end says; none if that isn't about a tunnel.
    pub fn of_upstream(message: FromUpstream) -> Option<Self> {
        match message {
            FromUpstream::Piece(bytes) => Some(Self::Piece(bytes)),
            FromUpstream::End => Some(Self::End),
            FromUpstream::Room(taken) => Some(Self::Room(taken)),
            FromUpstream::Failed(_) => Some(Self::Lost),
            FromUpstream::Established
            | FromUpstream::Interim(..)
            | FromUpstream::Head(_)
            | FromUpstream::Tunnel(..)
            | FromUpstream::Unasked => None,
        }
    }
}

impl From<Flow> for ToUpstream {
    fn from(flow: Flow) -> Self {
        match flow {
            Flow::Piece(bytes) => Self::Piece(bytes),
            Flow::End => Self::End,
            Flow::Room(taken) => Self::Room(taken),
            Flow::Lost => Self::Cancel,
        }
    }
}

impl From<Flow> for FromUpstream {
    fn from(flow: Flow) -> Self {
        match flow {
            Flow::Piece(bytes) => Self::Piece(bytes),
            Flow::End => Self::End,
            Flow::Room(taken) => Self::Room(taken),
            Flow::Lost => Self::Failed(UpstreamFailure::Closed),
        }
    }
}

/// How a tunnel goes on at one end.
pub enum Passing {
    /// It does.
    On(Want),
    /// Both directions have ended.
    Over,
    /// The connection, or that of the other end, is lost: what was sent may be incomplete.
    Lost,
}

/// One end of a tunnel.
pub struct TunnelEnd {
    /// What has arrived from the other end, and isn't written.
    arrived: VecDeque<Bytes>,
    /// What was written.
    owed: Owed,
    /// Bytes that the other end has room for.
    room: Room,
    /// The other end knows that the input has ended.
    is_input_over: bool,
    /// Nothing more will arrive.
    is_output_over: bool,
    is_lost: bool,
    /// When a byte moved last.
    moved: Tick,
}

impl TunnelEnd {
    /// An end of a tunnel that begins now.
    pub fn new(now: Tick) -> Self {
        Self {
            arrived: VecDeque::new(),
            owed: Owed::default(),
            room: Room::whole(LARGE_WINDOW),
            is_input_over: false,
            is_output_over: false,
            is_lost: false,
            moved: now,
        }
    }

    /// Takes note of what the other end says.
    pub fn deliver(&mut self, flow: Flow) {
        match flow {
            Flow::Piece(bytes) => self.arrived.push_back(bytes),
            Flow::End => self.is_output_over = true,
            Flow::Room(taken) => self.room.give(taken),
            Flow::Lost => self.is_lost = true,
        }
    }

    /// Bytes of memory that it holds beyond its own size.
    pub fn memory(&self) -> usize {
        self.arrived.capacity() * size_of::<Bytes>() + Bytes::memory_of(&self.arrived)
    }

    /// When a byte moved last.
    pub fn moved(&self) -> Tick {
        self.moved
    }

    /// The next piece that is to be written now, if the output has room.
    pub fn take_arrived(&mut self, io: &Io<'_>, now: Tick) -> Option<Bytes> {
        if io.output.room() == 0 {
            return None;
        }
        let piece = self.arrived.pop_front()?;
        if self.arrived.is_empty() {
            self.arrived = VecDeque::new();
        }
        self.owed.add(piece.len());
        self.moved = now;
        Some(piece)
    }

    /// What is to be told to the other end next.
    pub fn next(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Option<Flow> {
        // An end that has told that nothing more comes needs no room, and may be closed already.
        if !self.is_output_over
            && let Some(taken) = self.owed.announce(io.output)
        {
            return Some(Flow::Room(taken));
        }
        if self.is_input_over || self.is_lost {
            return None;
        }
        self.room.set_window(cx.window());
        let count = io.input.bytes().len().min(self.room.bytes());
        if count > 0 && !cx.work.is_spent() {
            let piece = io.input.share(0..count);
            io.input.consume(count);
            cx.work.spend_bytes(count);
            self.room.sent(count);
            self.moved = cx.time.now;
            return Some(Flow::Piece(piece));
        }
        if io.ended && io.input.is_empty() {
            if io.truncated {
                // Over TLS a missing close_notify may have cut what was sent.
                self.is_lost = true;
                return Some(Flow::Lost);
            }
            self.is_input_over = true;
            return Some(Flow::End);
        }
        None
    }

    /// How it goes on.
    pub fn passing(&self, io: &Io<'_>) -> Passing {
        let is_output_over = self.is_output_over && self.arrived.is_empty();
        if self.is_lost {
            return Passing::Lost;
        }
        if is_output_over && self.is_input_over {
            return Passing::Over;
        }
        let want = if self.is_input_over { Want::NOTHING } else { self.room.want() };
        let finish = if is_output_over { Finish::HalfClose } else { Finish::No };
        // What is left although there is room is left because the turn's work is spent.
        Passing::On(Want { again: want.read && !io.input.is_empty(), finish, ..want })
    }
}
