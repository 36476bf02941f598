//! All streams of a capture, numbered as Wireshark numbers them (`tcp.stream`, `udp.stream`): by their
//! first packet. A SYN with another sequence number begins a new stream between the same addresses.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use super::Timestamp;
use super::fragments::Fragments;
use super::packet::{self, Datagram, Segment, Transport};
use super::reader::Captured;
use super::rows::Room;
use super::tcp::{CONNECTION, Stream};

/// Bytes of a connection that wait for others, at most: as much as may be on the way.
const WAITING: usize = 4 * 1024 * 1024;
/// Bytes of all connections that wait or are incomplete.
const HELD: usize = 64 * 1024 * 1024;
/// Bytes of memory for all rows.
const ROWS: usize = 512 * 1024 * 1024;

/// Packets that are in no stream.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Unread {
    /// Those that are no IP packets, or carry neither TCP nor UDP.
    pub other: u64,
    /// Pieces of packets that never became whole.
    pub fragments: u64,
    /// Those whose link type isn't known, by link type.
    pub links: BTreeMap<u32, u64>,
}

/// Which stream: the addresses, the smaller one first, and whether it is TCP.
type Key = (SocketAddr, SocketAddr, bool);

/// The streams of a capture.
pub(super) struct Streams {
    pub(super) list: Vec<Stream>,
    /// The newest stream of each key.
    newest: HashMap<Key, usize>,
    /// How many there are of TCP, and of UDP.
    count: [u32; 2],
    fragments: Fragments,
    /// Bytes of what waits or is incomplete.
    held: usize,
    pub(super) room: Room,
    pub(super) unread: Unread,
    /// The connection whose events are kept.
    traced: Option<u32>,
}

impl Streams {
    pub(super) fn new(traced: Option<u32>) -> Self {
        Self {
            list: Vec::new(),
            newest: HashMap::new(),
            count: [0; 2],
            fragments: Fragments::default(),
            held: 0,
            room: Room { left: ROWS, unlisted: 0 },
            unread: Unread::default(),
            traced,
        }
    }

    /// Adds a packet.
    pub(super) fn add(&mut self, captured: &Captured<'_>) {
        if !packet::is_known(captured.link) {
            *self.unread.links.entry(captured.link).or_default() += 1;
            return;
        }
        let Some(ip) = packet::ip(captured.link, captured.data) else {
            self.unread.other += 1;
            return;
        };
        let joined;
        let (payload, missing) = if ip.fragment.is_some() {
            self.unread.fragments += 1;
            let Some((whole, pieces)) = self.fragments.add(&ip) else { return };
            self.unread.fragments = self.unread.fragments.saturating_sub(pieces);
            joined = whole;
            (&joined[..], 0)
        } else {
            (ip.payload, ip.missing)
        };
        match packet::transport((ip.source, ip.destination), ip.protocol, payload, missing) {
            Some(Transport::Tcp(segment)) => self.segment(&segment, captured.time),
            Some(Transport::Udp(datagram)) => self.datagram(&datagram, captured.time),
            None => self.unread.other += 1,
        }
    }

    fn segment(&mut self, segment: &Segment<'_>, time: Timestamp) {
        let key = key(segment.source, segment.destination, true);
        let mut found = self.newest.get(&key).copied();
        if let Some(over) = found.take_if(|at| self.list.get(*at).is_some_and(|stream| stream.is_over(segment))) {
            self.finish(over);
        }
        let begin = |number, traced| Stream::tcp(number, segment, time, traced);
        let Some(at) = found.or_else(|| self.begin(key, begin)) else { return };
        let Self { list, room, held, .. } = self;
        let Some(stream) = list.get_mut(at) else { return };
        *held -= stream.held().min(*held);
        stream.segment(segment, time, room);
        while stream.waiting() > WAITING || (stream.waiting() > 0 && *held + stream.held() > HELD) {
            stream.give_up(room);
        }
        *held += stream.held();
        if *held > HELD {
            // Its messages never end, and there is no room for more.
            self.finish(at);
            self.room.unlisted += 1;
        }
    }

    fn datagram(&mut self, datagram: &Datagram, time: Timestamp) {
        let key = key(datagram.source, datagram.destination, false);
        let begin = |number, _| Stream::udp(number, datagram.source, datagram.destination, time);
        let Some(at) = self.newest.get(&key).copied().or_else(|| self.begin(key, begin)) else { return };
        if let Some(stream) = self.list.get_mut(at) {
            stream.datagram(datagram.source, datagram.length, time);
        }
    }

    /// Begins a stream, if there is room. `new` makes it from its number, and whether its events are kept.
    fn begin(&mut self, key: Key, new: impl FnOnce(u32, bool) -> Stream) -> Option<usize> {
        if !self.room.take(CONNECTION) {
            return None;
        }
        let (_, _, is_tcp) = key;
        let count = &mut self.count[usize::from(!is_tcp)];
        let number = *count;
        *count += 1;
        let at = self.list.len();
        self.list.push(new(number, is_tcp && self.traced == Some(number)));
        self.newest.insert(key, at);
        Some(at)
    }

    fn finish(&mut self, at: usize) {
        let Some(stream) = self.list.get_mut(at) else { return };
        self.held -= stream.held().min(self.held);
        stream.finish(&mut self.room);
    }

    /// No more packets come.
    pub(super) fn finish_all(&mut self) {
        for stream in &mut self.list {
            stream.finish(&mut self.room);
        }
    }
}

fn key(one: SocketAddr, other: SocketAddr, is_tcp: bool) -> Key {
    (one.min(other), one.max(other), is_tcp)
}
