//! Datagrams that a protocol sends, until its call returns.

use std::net::SocketAddr;

use super::input::BUFFER;

/// Datagrams to be sent, in their order. Lent to the protocol with each call.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// The destination of each, and where it ends.
    datagrams: Vec<(SocketAddr, usize)>,
}

impl Outbox {
    /// Sends a datagram. A connected socket sends to its peer, whatever `to` is.
    /// What is returned is the copy that leaves, to be altered at will.
    pub fn send(&mut self, to: SocketAddr, datagram: &[u8]) -> &mut [u8] {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.datagrams.push((to, self.bytes.len()));
        &mut self.bytes[start..]
    }

    /// The datagrams, each with its destination.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let mut start = 0;
        self.datagrams.iter().map(move |&(to, end)| (to, &self.bytes[std::mem::replace(&mut start, end)..end]))
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.bytes.clear();
        // One answer may be large; don't keep its memory.
        self.bytes.shrink_to(2 * BUFFER);
        self.datagrams.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outbox_keeps_datagrams_apart_and_lets_them_be_altered() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut out = Outbox::default();
        out.send(at(1), b"one").make_ascii_uppercase();
        out.send(at(2), b"");
        out.send(at(3), b"three");
        let all: Vec<_> = out.iter().collect();
        assert_eq!(all, [(at(1), &b"ONE"[..]), (at(2), b""), (at(3), b"three")]);
        out.clear();
        assert_eq!(out.iter().count(), 0);
    }
}
