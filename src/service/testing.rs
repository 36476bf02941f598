//! A harness for protocols on octets: the other end of a connection, without a
//! socket.

use std::net::{Ipv4Addr, SocketAddr};

use crate::reactor::{BUFFER, Ends, Finish, Input, Io, Output, Want};
use crate::testing::every_split;

/// The other end: what it sent, what it received, whether it has ended.
#[derive(Default)]
pub(super) struct Peer {
    input: Input,
    output: Output,
    ended: bool,
    /// Octets of the output that are only there to take room.
    clogged: usize,
}

impl Peer {
    /// Sends octets; they must fit.
    pub(super) fn send(&mut self, octets: &[u8]) {
        self.input.extend(octets);
    }

    /// Sends no more.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Fills the output but for `room` octets.
    pub(super) fn clog(&mut self, room: usize) {
        assert!(self.output.is_empty());
        self.clogged = BUFFER - room;
        self.output.write(&vec![b'#'; self.clogged]);
    }

    /// What was sent to it and not yet seen.
    pub(super) fn received(&mut self) -> Vec<u8> {
        let all = std::mem::take(&mut self.output);
        all.bytes()[std::mem::take(&mut self.clogged)..].to_vec()
    }

    /// Octets that the protocol hasn't consumed.
    pub(super) fn waiting(&self) -> usize {
        self.input.bytes().len()
    }

    /// Calls `advance`, and once more, which must change nothing.
    pub(super) fn turn(&mut self, mut advance: impl FnMut(&mut Io<'_>) -> Want) -> Want {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let ended = self.ended;
        let mut call = |this: &mut Self| {
            let ends = Ends::imagined(nowhere, nowhere);
            let want = advance(&mut Io { input: &mut this.input, output: &mut this.output, ended, ends });
            (want, this.input.bytes().len(), this.output.bytes().len())
        };
        let first = call(self);
        assert_eq!(call(self), first, "advance isn't idempotent");
        first.0
    }
}

/// Sends `input` to fresh protocols in every way, with much room and with little,
/// and then the end. All must answer alike: what, and whether the protocol closed
/// before the input ended.
pub(super) fn every_way<A>(input: &[u8], mut fresh: impl FnMut() -> A) -> (Vec<u8>, bool)
where
    A: FnMut(&mut Io<'_>, bool) -> Want,
{
    let mut results = [BUFFER, 1, 3].into_iter().map(|room| {
        every_split(input, &[], |pieces| {
            let mut advance = fresh();
            let mut peer = Peer::default();
            let mut seen = Vec::new();
            // As the reactor does: a turn for each piece, and as long as the
            // output was full.
            let mut settle = |peer: &mut Peer| loop {
                peer.clog(room);
                let want = peer.turn(|io| advance(io, false));
                let full = peer.output.room() == 0;
                seen.extend(peer.received());
                assert!(!(full && want.read), "reads more than it can answer");
                if !full {
                    return want;
                }
            };
            let mut closed = false;
            for piece in pieces {
                peer.send(piece);
                closed |= settle(&mut peer).finish == Finish::Linger;
            }
            peer.end();
            assert_eq!(settle(&mut peer).finish, Finish::Close);
            (seen, closed)
        })
    });
    let first = results.next().unwrap_or_default();
    assert!(results.all(|result| result == first), "the room changes the answer");
    first
}
