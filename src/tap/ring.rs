//! A flight recorder: the last packets, in memory. They are written when somebody asks for them, and at
//! the end.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;

use super::files::{Place, SECRETS};
use super::store::{self, Counts, Packet, Store};
use crate::capture::{Timestamp, pcapng};
use crate::reactor::Handle;

/// What a packet takes in memory beside its block.
const OVERHEAD: usize = 64;

/// A connection that is open, or has packets.
#[derive(Default)]
struct Connection {
    /// Lines of a key log.
    secrets: Vec<u8>,
    /// Its packets in the ring.
    packets: usize,
    closed: bool,
}

/// The last packets.
pub(super) struct Ring {
    place: Place,
    /// The file was written before.
    written: bool,
    size: usize,
    blocks: VecDeque<(Handle, Box<[u8]>)>,
    /// Bytes that they take.
    held: usize,
    names: Vec<(IpAddr, String)>,
    connections: HashMap<Handle, Connection>,
    lost: u64,
    time: Timestamp,
}

impl Ring {
    /// An empty ring of this many bytes. The file is made, so that it is known that it can be.
    ///
    /// # Errors
    /// As [`Place::create`].
    pub(super) fn open(path: &Path, files: usize, size: usize) -> io::Result<Self> {
        let place = Place::new(path, files);
        let (blocks, names, connections) = (VecDeque::new(), Vec::new(), HashMap::new());
        let (held, lost, time, written) = (0, 0, Timestamp::default(), false);
        let this = Self { place, written, size, blocks, held, names, connections, lost, time };
        this.write(this.place.create()?)?;
        Ok(this)
    }

    /// Forgets the oldest packet.
    fn forget(&mut self) {
        let Some((of, block)) = self.blocks.pop_front() else { return };
        self.held -= block.len() + OVERHEAD;
        if let Some(connection) = self.connections.get_mut(&of) {
            connection.packets -= 1;
            if connection.packets == 0 && connection.closed {
                self.connections.remove(&of);
            }
        }
    }

    /// Writes all of them to a file.
    fn write(&self, mut file: File) -> io::Result<()> {
        let mut out = Vec::new();
        store::begin(&mut out, &self.names);
        for Connection { secrets, packets, .. } in self.connections.values() {
            if *packets > 0 && !secrets.is_empty() {
                pcapng::secrets(&mut out, secrets);
            }
        }
        file.write_all(&out)?;
        let mut file = io::BufWriter::new(file);
        for (_, block) in &self.blocks {
            file.write_all(block)?;
        }
        out.clear();
        let received = self.blocks.len() as u64 + self.lost;
        store::end(&mut out, Counts { time: self.time, received, dropped: self.lost });
        file.write_all(&out)?;
        file.flush()
    }

    fn dump(&mut self) {
        let file = if self.written { self.place.rotate() } else { self.place.create() };
        let path = self.place.path().display();
        match file.and_then(|file| self.write(file)) {
            Ok(()) => log::info!("the last {} packets are in {path}", self.blocks.len()),
            Err(error) => log::error!("the tap {path} can't be written: {error}"),
        }
        self.written = true;
    }
}

impl Store for Ring {
    fn packet(&mut self, packet: &Packet<'_>) {
        let mut block = Vec::new();
        store::packet(&mut block, packet);
        self.time = packet.time;
        self.held += block.len() + OVERHEAD;
        self.blocks.push_back((packet.of, block.into()));
        self.connections.entry(packet.of).or_default().packets += 1;
        while self.held > self.size {
            self.forget();
        }
    }

    fn secrets(&mut self, of: Handle, lines: &[u8]) {
        let secrets = &mut self.connections.entry(of).or_default().secrets;
        if secrets.len() + lines.len() <= SECRETS {
            secrets.extend_from_slice(lines);
        }
    }

    fn name(&mut self, address: IpAddr, name: &str) {
        self.names.push((address, name.to_owned()));
    }

    fn lose(&mut self, packets: u64) {
        self.lost += packets;
    }

    fn closed(&mut self, of: Handle) {
        if let Some(connection) = self.connections.get_mut(&of) {
            connection.closed = true;
            if connection.packets == 0 {
                self.connections.remove(&of);
            }
        }
    }

    fn ask(&mut self) {
        self.dump();
    }

    fn flush(&mut self) {}

    fn finish(&mut self) {
        self.dump();
    }
}
