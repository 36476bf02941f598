//! From records to packets: the connections as they look on the wire.
//!
//! | record | packets |
//! |---|---|
//! | accepted | SYN, SYN ACK, ACK |
//! | dialled; connected | SYN; SYN ACK, ACK |
//! | received, sent | data, in as many segments as it needs |
//! | ended, by either side | FIN |
//! | closed | what is missing of FIN and ACK, or RST |
//!
//! A unix-domain socket has no addresses. Its path gets one of the loopback, which a name resolution
//! block gives the path as its name: 127.1.0.1 is the first one. Its clients are 127.0.0.1, each with a
//! port of its own.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::batch::{Batch, Fact, Piece, Record};
use super::handover::Delivery;
use super::store::{Packet, Store};
use crate::capture::segments::{TcpConversation, datagram};
use crate::capture::{Both, Side};
use crate::reactor::{Handle, TapEnd, TapEnds};

/// The port of a unix-domain socket: that of HTTP, so that it is looked for.
const UNIX_PORT: u16 = 80;
/// The first port of its clients.
const FIRST_CLIENT: u16 = 1024;

/// A connection.
struct Conversation {
    tcp: TcpConversation,
    /// Our side.
    ours: Side,
    /// Both have accepted it.
    connected: bool,
    /// The last FIN is acknowledged.
    over: bool,
}

/// All connections.
pub(super) struct Conversations {
    open: HashMap<Handle, Conversation>,
    /// The unix-domain sockets, by their numbers from 1.
    paths: HashMap<PathBuf, u16>,
    /// The port of the next client of one.
    client: u16,
    store: Box<dyn Store + Send>,
}

impl Conversations {
    pub(super) fn new(store: Box<dyn Store + Send>) -> Self {
        Self { open: HashMap::new(), paths: HashMap::new(), client: FIRST_CLIENT, store }
    }

    /// Takes a batch.
    pub(super) fn take(&mut self, Delivery { batch, lost }: &Delivery) {
        if *lost > 0 {
            // What became of the connections isn't known.
            self.open.drain().for_each(|(of, _)| self.store.closed(of));
            self.store.lose(*lost);
        }
        for record in &batch.records {
            self.record(record, batch);
        }
        self.store.flush();
    }

    /// Ends the capture.
    pub(super) fn finish(&mut self) {
        self.store.finish();
    }

    fn record(&mut self, record: &Record, batch: &Batch) {
        match &record.fact {
            Fact::Accepted(ends) => {
                let mut conversation = self.begin(record.of, ends, Side::Server);
                conversation.connected = true;
                let mut emit = emitter(&mut *self.store, record);
                conversation.tcp.open(&mut emit);
                self.open.insert(record.of, conversation);
            }
            Fact::Dialled(ends) => {
                let mut conversation = self.begin(record.of, ends, Side::Client);
                let mut emit = emitter(&mut *self.store, record);
                conversation.tcp.ask(&mut emit);
                self.open.insert(record.of, conversation);
            }
            Fact::Datagram(ends, piece) => {
                let (from, to) = (among(ends.0, ends.1), among(ends.1, ends.0));
                match batch.bytes(*piece) {
                    Some(bytes) => datagram(from, to, bytes, &mut emitter(&mut *self.store, record)),
                    None => self.store.lose(1),
                }
            }
            Fact::Secrets(piece) => {
                if let Some(lines) = batch.bytes(*piece) {
                    self.store.secrets(record.of, lines);
                }
            }
            Fact::Asked => self.store.ask(),
            Fact::Connected | Fact::Received(_) | Fact::Sent(_) | Fact::PeerEnded | Fact::Ended | Fact::Closed(_) => {
                self.known(record, batch)
            }
        }
    }

    /// A record of a connection that should be known.
    fn known(&mut self, record: &Record, batch: &Batch) {
        let Some(conversation) = self.open.get_mut(&record.of) else {
            if let Fact::Received(_) | Fact::Sent(_) = record.fact {
                self.store.lose(1);
            }
            return;
        };
        let (ours, theirs) = (conversation.ours, conversation.ours.other());
        match &record.fact {
            Fact::Received(piece) => conversation.data(theirs, *piece, record, batch, &mut *self.store),
            Fact::Sent(piece) => conversation.data(ours, *piece, record, batch, &mut *self.store),
            Fact::Connected => {
                conversation.connected = true;
                conversation.tcp.accept(&mut emitter(&mut *self.store, record));
            }
            Fact::PeerEnded => conversation.tcp.end(theirs, &mut emitter(&mut *self.store, record)),
            Fact::Ended => conversation.end(&mut emitter(&mut *self.store, record)),
            Fact::Closed(end) => {
                conversation.close(*end, &mut emitter(&mut *self.store, record));
                self.open.remove(&record.of);
                self.store.closed(record.of);
            }
            _ => {}
        }
    }

    /// A connection of which `ours` is our side.
    fn begin(&mut self, of: Handle, ends: &TapEnds, ours: Side) -> Conversation {
        let (local, peer) = match &ends.path {
            None => (ends.local.unwrap_or(UNKNOWN), ends.peer.unwrap_or(UNKNOWN)),
            Some(path) => {
                let (server, client) = self.unix(path);
                if ours == Side::Server { (server, client) } else { (client, server) }
            }
        };
        let (local, peer) = (among(local, peer), among(peer, local));
        let (client, server) = if ours == Side::Server { (peer, local) } else { (local, peer) };
        // Numbers that differ; a tool that sees a number twice takes the packet for a copy.
        let first = of.number().wrapping_mul(0x9e37_79b1);
        let isn = Both { client: first, server: !first };
        Conversation { tcp: TcpConversation::new(client, server, isn), ours, connected: false, over: false }
    }

    /// The addresses that stand for a unix-domain socket, and for its next client.
    fn unix(&mut self, path: &Path) -> (SocketAddr, SocketAddr) {
        let next = (self.paths.len() as u16).wrapping_add(1);
        let number = *self.paths.entry(path.to_owned()).or_insert(next);
        let [high, low] = number.to_be_bytes();
        let address = IpAddr::from([127, 1, high, low]);
        if number == next {
            self.store.name(address, &format!("unix:{}", path.display()));
        }
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, self.client));
        self.client = self.client.checked_add(1).unwrap_or(FIRST_CLIENT);
        (SocketAddr::new(address, UNIX_PORT), client)
    }
}

impl Conversation {
    fn data(&mut self, from: Side, piece: Piece, record: &Record, batch: &Batch, store: &mut (dyn Store + Send)) {
        match batch.bytes(piece) {
            Some(bytes) => self.tcp.data(from, bytes, &mut emitter(store, record)),
            None => {
                self.tcp.skip(from, piece.length);
                store.lose(1);
            }
        }
    }

    /// Our bytes have ended.
    fn end(&mut self, emit: &mut impl FnMut(&[u8], &[u8])) {
        let theirs = self.ours.other();
        self.tcp.end(self.ours, emit);
        if self.tcp.has_ended(theirs) {
            self.tcp.acknowledge(theirs, emit);
            self.over = true;
        }
    }

    fn close(&mut self, end: TapEnd, emit: &mut impl FnMut(&[u8], &[u8])) {
        let theirs = self.ours.other();
        match end {
            TapEnd::PeerReset => self.tcp.reset(theirs, emit),
            TapEnd::Lost => {}
            TapEnd::Reset | TapEnd::Orderly if !self.connected => {}
            TapEnd::Reset => self.tcp.reset(self.ours, emit),
            TapEnd::Orderly if !self.tcp.has_ended(self.ours) => self.end(emit),
            TapEnd::Orderly if self.tcp.has_ended(theirs) && !self.over => self.tcp.acknowledge(self.ours, emit),
            TapEnd::Orderly => {}
        }
    }
}

/// An address that isn't known.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// An address of ours. A socket for all addresses doesn't say at which one a datagram came; beside one of
/// the loopback it is the loopback's.
fn among(address: SocketAddr, other: SocketAddr) -> SocketAddr {
    match (address.ip().is_unspecified(), other.ip()) {
        (true, ip) if ip.is_loopback() => SocketAddr::new(ip, address.port()),
        _ => address,
    }
}

/// Gives the packets of a record to the store; the first one has its comment.
fn emitter<'a>(store: &'a mut (dyn Store + Send), record: &'a Record) -> impl FnMut(&[u8], &[u8]) + 'a {
    let mut comment = Some(record.comment.as_str()).filter(|comment| !comment.is_empty());
    move |header, payload| {
        let comment = comment.take();
        store.packet(&Packet { of: record.of, time: record.time, header, payload, comment });
    }
}
