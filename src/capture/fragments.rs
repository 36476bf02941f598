//! IP packets that come in pieces (RFC 791 §3.2, RFC 8200 §4.5).
//!
//! Few packets are: most systems find out what fits. So a small table is enough; the oldest packet is
//! given up if there are more.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use etherparse::IpNumber;
use etherparse::defrag::IpDefragBuf;

use super::packet::IpPacket;

/// Most packets whose pieces are kept: 4 MiB at most.
const PACKETS: usize = 64;

/// Which packet a piece is of.
type Key = (IpAddr, IpAddr, u8, u32);

/// Packets of which pieces are missing.
#[derive(Default)]
pub(super) struct Fragments {
    /// With the number of their pieces.
    packets: HashMap<Key, (IpDefragBuf, u64)>,
    /// Their keys, the oldest first.
    order: VecDeque<Key>,
}

impl Fragments {
    /// Adds a piece. Returns the payload of the packet and the number of pieces, if it was the last one
    /// that was missing.
    pub(super) fn add(&mut self, piece: &IpPacket<'_>) -> Option<(Vec<u8>, u64)> {
        let fragment = piece.fragment?;
        if piece.missing > 0 {
            return None;
        }
        let key = (piece.source, piece.destination, piece.protocol, fragment.identification);
        if !self.packets.contains_key(&key) {
            if self.order.len() == PACKETS {
                let oldest = self.order.pop_front()?;
                self.packets.remove(&oldest);
            }
            self.order.push_back(key);
        }
        let new = || IpDefragBuf::new(IpNumber(piece.protocol), Vec::new(), Vec::new());
        let (packet, pieces) = self.packets.entry(key).or_insert_with(|| (new(), 0));
        *pieces += 1;
        let is_fine = packet.add(fragment.offset, fragment.more, piece.payload).is_ok();
        if is_fine && !packet.is_complete() {
            return None;
        }
        // It is whole, or its pieces contradict each other.
        self.order.retain(|other| *other != key);
        let (packet, pieces) = self.packets.remove(&key)?;
        is_fine.then(|| (packet.take_bufs().0, pieces))
    }
}
