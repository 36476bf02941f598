//! A TCP connection in a capture: both directions in order, how it began and ended, what was said.
//!
//! A segment is passed on when all is there that its sender had before it, by its acknowledgement. So a
//! response never comes before its request, in whatever order packets were captured. What isn't in the
//! capture would hold up the rest, so it is given up when too much waits, and at the end.

use std::net::SocketAddr;

use super::exchanges::{Dialogue, Mode};
use super::half::{Half, Kind};
use super::packet::Segment;
use super::rows::{Event, EventKind, Exchange, Room};
use super::sniff::{Sniffed, is_response, sniff};
use super::{Both, Side, Timestamp};

/// What a connection costs beside its requests, in bytes.
pub(super) const CONNECTION: usize = 256 + size_of::<Stream>() + size_of::<Live>();

/// What is spoken on a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// HTTP/1.x over TCP.
    Http,
    /// TLS over TCP.
    Tls,
    /// Something else over TCP.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Who ended a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closer {
    /// The one who was the first to send no more.
    Closed(Side),
    /// The one who reset it.
    Reset(Side),
}

/// How many segments weren't as they should be.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Problems {
    /// Segments that were sent again.
    pub retransmitted: u64,
    /// Segments that came in another order.
    pub reordered: u64,
    /// Gaps: data that isn't in the capture.
    pub lost: u64,
}

/// A connection, or a flow of datagrams.
pub struct Stream {
    /// Its number, from 0, in the order of first packets; TCP and UDP are counted on their own.
    pub number: u32,
    /// What is spoken.
    pub protocol: Protocol,
    /// Who began it.
    pub client: SocketAddr,
    /// The other one.
    pub server: SocketAddr,
    /// The first packet.
    pub start: Timestamp,
    /// The last packet.
    pub end: Timestamp,
    /// The client's SYN.
    pub syn: Option<Timestamp>,
    /// The first FIN or RST.
    pub fin: Option<Timestamp>,
    /// When both sides had ended it.
    pub closed: Option<Timestamp>,
    /// Who ended it.
    pub closed_by: Option<Closer>,
    /// Segments or datagrams that each side sent.
    pub packets: Both<u64>,
    /// Bytes of data that each side sent, repeated ones not counted.
    pub bytes: Both<u64>,
    /// What went wrong.
    pub problems: Problems,
    /// The name of the server that a TLS client asked for.
    pub server_name: Option<String>,
    /// Requests and responses.
    pub requests: Vec<Exchange>,
    /// All that happened, if that was asked for.
    pub events: Vec<Event>,
    /// The number before the first byte of each side: that of its SYN.
    isn: Both<Option<u32>>,
    /// While it is read.
    live: Option<Box<Live>>,
}

/// What is known about a connection while it is read.
struct Live {
    halves: Both<Half>,
    dialogue: Dialogue,
    /// From the client's SYN to its next acknowledgement.
    round_trip: Option<i64>,
    /// Who is the client was guessed by the ports.
    guessed: bool,
    /// The server has opened its direction.
    server_opened: bool,
}

impl Stream {
    /// A flow of datagrams.
    pub(super) fn udp(number: u32, client: SocketAddr, server: SocketAddr, time: Timestamp) -> Self {
        Self {
            number,
            protocol: Protocol::Udp,
            client,
            server,
            start: time,
            end: time,
            syn: None,
            fin: None,
            closed: None,
            closed_by: None,
            packets: Both::default(),
            bytes: Both::default(),
            problems: Problems::default(),
            server_name: None,
            requests: Vec::new(),
            events: Vec::new(),
            isn: Both::default(),
            live: None,
        }
    }

    /// The connection of its first segment.
    pub(super) fn tcp(number: u32, segment: &Segment<'_>, time: Timestamp, traced: bool) -> Self {
        let (side, guessed) = match side_of(segment) {
            Some(side) => (side, false),
            None if segment.source.port() >= segment.destination.port() => (Side::Client, true),
            None => (Side::Server, true),
        };
        let (client, server) = match side {
            Side::Client => (segment.source, segment.destination),
            Side::Server => (segment.destination, segment.source),
        };
        let dialogue = Dialogue::new(segment.syn, traced);
        let live = Live { halves: Both::default(), dialogue, round_trip: None, guessed, server_opened: false };
        Self { protocol: Protocol::Tcp, live: Some(Box::new(live)), ..Self::udp(number, client, server, time) }
    }

    /// The side of an address.
    pub(super) fn side(&self, address: SocketAddr) -> Side {
        if address == self.client { Side::Client } else { Side::Server }
    }

    /// Whether a segment begins another connection between the same addresses.
    pub(super) fn is_over(&self, segment: &Segment<'_>) -> bool {
        let is_first = segment.syn && segment.acknowledged.is_none();
        is_first && *self.isn.of(self.side(segment.source)) != Some(segment.sequence)
    }

    /// Bytes of memory that wait for others.
    pub(super) fn held(&self) -> usize {
        self.waiting() + self.live.as_ref().map_or(0, |live| live.dialogue.memory())
    }

    /// Bytes of data that wait for others.
    pub(super) fn waiting(&self) -> usize {
        self.live.as_ref().map_or(0, |live| live.halves.client.held + live.halves.server.held)
    }

    /// A datagram.
    pub(super) fn datagram(&mut self, from: SocketAddr, length: usize, time: Timestamp) {
        let side = self.side(from);
        self.end = time;
        *self.packets.of_mut(side) += 1;
        *self.bytes.of_mut(side) += length as u64;
    }

    /// A segment.
    pub(super) fn segment(&mut self, segment: &Segment<'_>, time: Timestamp, room: &mut Room) {
        self.end = time;
        self.correct_sides(segment);
        let side = self.side(segment.source);
        *self.packets.of_mut(side) += 1;
        let Some(live) = &mut self.live else { return };
        let sequence = if segment.syn { segment.sequence.wrapping_add(1) } else { segment.sequence };
        live.halves.of_mut(side).begin(sequence);
        self.isn.of_mut(side).get_or_insert(sequence.wrapping_sub(1));
        let other = live.halves.of_mut(side.other());
        let mut after = 0;
        if let Some(acknowledged) = segment.acknowledged {
            other.begin(acknowledged);
            after = other.offset(acknowledged).unwrap_or(0);
            other.acknowledged = other.acknowledged.max(after);
        }
        if segment.syn {
            self.note_syn(side, time);
        } else if let (Side::Client, Some(syn)) = (side, self.syn) {
            live.round_trip.get_or_insert(time.since(syn));
        }
        self.take_data(segment, side, sequence, after, time, room);
        self.note_end(segment, side, sequence, time);
        self.pass_on(time, room);
        if segment.rst || self.live.as_ref().is_some_and(|live| live.halves.client.ended && live.halves.server.ended) {
            self.closed = Some(time);
            self.finish(room);
        }
    }

    /// If only the ports told who is the client, the first data may tell better.
    fn correct_sides(&mut self, segment: &Segment<'_>) {
        let Some(live) = &mut self.live else { return };
        if !live.guessed {
            return;
        }
        let Some(side) = side_of(segment) else { return };
        live.guessed = false;
        let is_client = segment.source == self.client;
        if is_client != (side == Side::Client) && live.dialogue.mode == Mode::Undecided {
            std::mem::swap(&mut self.client, &mut self.server);
            std::mem::swap(&mut live.halves.client, &mut live.halves.server);
            std::mem::swap(&mut self.packets.client, &mut self.packets.server);
            std::mem::swap(&mut self.bytes.client, &mut self.bytes.server);
            std::mem::swap(&mut self.isn.client, &mut self.isn.server);
        }
    }

    fn note_syn(&mut self, side: Side, time: Timestamp) {
        let Some(live) = &mut self.live else { return };
        let is_repeated = match side {
            Side::Client => self.syn.is_some(),
            Side::Server => live.server_opened,
        };
        match side {
            _ if is_repeated => self.problems.retransmitted += 1,
            Side::Client => self.syn = Some(time),
            Side::Server => live.server_opened = true,
        }
        live.dialogue.note(time, side, EventKind::Syn);
    }

    /// Takes the data of a segment.
    fn take_data(
        &mut self,
        segment: &Segment<'_>,
        side: Side,
        sequence: u32,
        after: u64,
        time: Timestamp,
        room: &mut Room,
    ) {
        let (Some(live), length @ 1..) = (&mut self.live, segment.length as u64) else { return };
        let next = live.halves.of(side.other()).next;
        let half = live.halves.of_mut(side);
        // What comes before the first byte was sent again.
        let Some(offset) = half.offset(sequence) else {
            self.problems.retransmitted += 1;
            return;
        };
        match half.kind(offset, length, time, live.round_trip) {
            Kind::KeepAlive => return,
            Kind::Again => self.problems.retransmitted += 1,
            Kind::Reordered => self.problems.reordered += 1,
            Kind::New => {}
        }
        half.seen = half.seen.max(offset + length);
        if half.is_next(offset) && is_there(after, next) && segment.payload.len() == segment.length {
            half.next += length;
            *self.bytes.of_mut(side) += length;
            live.dialogue.data(side, segment.payload, time, room);
        } else {
            half.keep(offset, segment.payload, length, time, after);
        }
    }

    fn note_end(&mut self, segment: &Segment<'_>, side: Side, sequence: u32, time: Timestamp) {
        let Some(live) = &mut self.live else { return };
        let half = live.halves.of_mut(side);
        let kind = if segment.rst {
            self.closed_by.get_or_insert(Closer::Reset(side));
            EventKind::Reset
        } else if segment.fin && half.fin.is_none() {
            half.fin = half.offset(sequence).map(|offset| offset + segment.length as u64);
            self.closed_by.get_or_insert(Closer::Closed(side));
            EventKind::Fin
        } else {
            return;
        };
        self.fin.get_or_insert(time);
        live.dialogue.note(time, side, kind);
    }

    /// Passes on what can be.
    fn pass_on(&mut self, time: Timestamp, room: &mut Room) {
        loop {
            let mut is_stuck = true;
            for side in Side::BOTH {
                let Some(live) = &self.live else { return };
                let half = live.halves.of(side);
                let next = live.halves.of(side.other()).next;
                if half.first().is_some_and(|(at, _, after)| at <= half.next && is_there(after, next)) {
                    self.pass_first(side, room);
                    is_stuck = false;
                } else if half.is_at_end() {
                    self.pass_end(side, time);
                    is_stuck = false;
                }
            }
            if is_stuck {
                return;
            }
        }
    }

    /// Passes on the first piece of a side, if it is the next.
    fn pass_first(&mut self, side: Side, room: &mut Room) {
        let Some(live) = &mut self.live else { return };
        let Some(piece) = live.halves.of_mut(side).take() else { return };
        *self.bytes.of_mut(side) += piece.length;
        live.dialogue.data(side, &piece.data, piece.time, room);
        let missing = piece.length.saturating_sub(piece.data.len() as u64);
        if missing > 0 {
            live.dialogue.lost(side, missing, piece.time);
        }
    }

    fn pass_end(&mut self, side: Side, time: Timestamp) {
        let Some(live) = &mut self.live else { return };
        live.halves.of_mut(side).ended = true;
        live.dialogue.end(side, time);
    }

    /// Gives up what the oldest piece waits for.
    pub(super) fn give_up(&mut self, room: &mut Room) {
        let Some(live) = &self.live else { return };
        let first = |side: Side| live.halves.of(side).first().map(|(at, time, after)| (time, side, at, after));
        let oldest = Side::BOTH.into_iter().filter_map(first).min_by_key(|found| found.0);
        let Some((time, side, at, after)) = oldest else { return };
        let before = first(side.other()).map_or(after, |(_, _, at, _)| at.min(after));
        if !is_there(before, live.halves.of(side.other()).next) {
            self.lose(side.other(), before, time);
        }
        self.lose(side, at, time);
        self.pass_first(side, room);
        self.pass_on(time, room);
    }

    /// What is before `offset` isn't in the capture.
    fn lose(&mut self, side: Side, offset: u64, time: Timestamp) {
        let Some(live) = &mut self.live else { return };
        let half = live.halves.of_mut(side);
        if let Some(gap @ 1..) = offset.checked_sub(half.next) {
            half.next = offset;
            self.problems.lost += 1;
            live.dialogue.lost(side, gap, time);
        }
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self, room: &mut Room) {
        while self
            .live
            .as_ref()
            .is_some_and(|live| Side::BOTH.iter().any(|&side| live.halves.of(side).first().is_some()))
        {
            self.give_up(room);
        }
        for side in Side::BOTH {
            let Some(live) = &self.live else { return };
            let half = live.halves.of(side);
            // The end of a side is acknowledged like a byte.
            if half.acknowledged > half.next + 1 {
                self.lose(side, half.acknowledged, self.end);
            }
        }
        if let Some(live) = self.live.take() {
            let Dialogue { mode, exchanges, server_name, trace, .. } = live.dialogue;
            self.protocol = match mode {
                Mode::Http | Mode::Tunnel => Protocol::Http,
                Mode::Tls => Protocol::Tls,
                Mode::Undecided | Mode::Opaque => Protocol::Tcp,
            };
            (self.requests, self.server_name, self.events) = (exchanges, server_name, trace.unwrap_or_default());
            self.requests.shrink_to_fit();
            // What waited was captured before.
            self.events.sort_by_key(|event| event.time);
        }
    }
}

/// Whether all is there up to an acknowledged offset. The end of a side is acknowledged like a byte.
fn is_there(acknowledged: u64, next: u64) -> bool {
    acknowledged <= next.saturating_add(1)
}

/// The side that a segment comes from, as far as it tells.
fn side_of(segment: &Segment<'_>) -> Option<Side> {
    if segment.syn {
        return Some(if segment.acknowledged.is_none() { Side::Client } else { Side::Server });
    }
    match sniff(segment.payload) {
        Sniffed::Http | Sniffed::Tls => Some(Side::Client),
        Sniffed::Other if is_response(segment.payload) => Some(Side::Server),
        _ => None,
    }
}
