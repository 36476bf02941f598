//! How many bytes the other side of an exchange has room for.
//!
//! ```text
//!  one side                            the other
//!  Room ──── sent ──── Piece ────────▶ Owed ──── output ────▶ its peer
//!   ▲                                   │
//!   └─── give ──────── Taken ◀──────────┘ as soon as there is room in the output
//! ```
//!
//! A little room is none. Otherwise a large piece would be cut where the room ends, the next one would
//! begin there, and all that follow would be cut in two in the same way (RFC 9293 §3.8.6.2 has a window like
//! that: silly). Nothing waits for ever by this: what fills the other half is under way, and its room is
//! announced when it is written.
//!
//! The window is larger for a peer that has taken all that was sent to it, as a server or a client on the
//! same machine or network does: what costs in a relay are the system calls, and large pieces need fewer of
//! them. A peer that becomes slow holds one such piece at most. While memory is short the window is smaller,
//! whatever was announced before: less may be under way.

use super::{LARGE_WINDOW, WINDOW};
use crate::reactor::{Output, Want};

/// Room for bytes at the other side.
pub struct Room {
    /// Bytes that are under way, or that there is no room for.
    under_way: usize,
    /// How many may be.
    window: usize,
    /// How many may be at most, while memory is short or isn't.
    most: usize,
}

impl Room {
    /// There is none yet.
    pub const NONE: Self = Self { under_way: WINDOW, window: WINDOW, most: LARGE_WINDOW };

    /// All of the window, and at most so many bytes.
    pub fn whole(most: usize) -> Self {
        Self { under_way: 0, window: WINDOW, most }
    }

    /// How many bytes it may be sent now.
    pub fn bytes(&self) -> usize {
        let window = self.window.min(self.most);
        let bytes = window.saturating_sub(self.under_way);
        if bytes < window / 2 { 0 } else { bytes }
    }

    /// What is wanted of the peer whose bytes are passed on.
    pub fn want(&self) -> Want {
        match self.bytes() {
            0 => Want::NOTHING,
            bytes => Want { in_bulk: bytes > WINDOW, ..Want::READ },
        }
    }

    /// At most so many bytes may be under way from now on.
    pub fn set_window(&mut self, window: usize) {
        self.most = window;
    }

    /// It has room for more.
    pub fn give(&mut self, Taken { bytes, is_all }: Taken) {
        self.under_way = self.under_way.saturating_sub(bytes);
        self.window = if is_all { LARGE_WINDOW } else { WINDOW };
    }

    /// It was sent so many bytes.
    pub fn sent(&mut self, bytes: usize) {
        self.under_way += bytes;
    }
}

/// What the other side has taken, so that it has room for more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// So many bytes.
    pub bytes: usize,
    /// They, and all before them, were sent to its peer at once.
    pub is_all: bool,
}

/// Bytes that have arrived from the other side, and for which no room was announced yet.
#[derive(Default)]
pub struct Owed(usize);

impl Owed {
    /// So many have arrived, and are in the output.
    pub fn add(&mut self, bytes: usize) {
        self.0 += bytes;
    }

    /// What is to be announced, if anything is, and the output has room.
    pub fn announce(&mut self, output: &Output) -> Option<Taken> {
        if self.0 == 0 || output.room() == 0 {
            return None;
        }
        Some(Taken { bytes: std::mem::take(&mut self.0), is_all: output.is_empty() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::BUFFER;

    fn part(bytes: usize) -> Taken {
        Taken { bytes, is_all: false }
    }

    #[test]
    fn a_little_room_is_none() {
        let mut room = Room::whole(LARGE_WINDOW);
        room.sent(WINDOW / 2);
        assert_eq!(room.bytes(), WINDOW / 2);
        room.sent(1);
        assert_eq!(room.bytes(), 0);
        room.give(part(1));
        assert_eq!(room.bytes(), WINDOW / 2);
        assert_eq!(Room::NONE.bytes(), 0);
    }

    #[test]
    fn less_may_be_under_way_while_memory_is_short() {
        let mut room = Room::whole(LARGE_WINDOW);
        room.sent(WINDOW);
        room.set_window(100);
        room.give(part(WINDOW - 51));
        assert_eq!(room.bytes(), 0, "51 bytes are under way");
        room.give(part(1));
        assert_eq!(room.bytes(), 50);
        room.set_window(WINDOW);
        assert_eq!(room.bytes(), WINDOW - 50);
    }

    #[test]
    fn the_window_is_large_while_the_peer_takes_everything() {
        let mut room = Room::whole(LARGE_WINDOW);
        assert!(room.want().read && !room.want().in_bulk);
        room.sent(WINDOW);
        assert!(!room.want().read);
        room.give(Taken { bytes: WINDOW, is_all: true });
        assert_eq!((room.bytes(), room.want().in_bulk), (LARGE_WINDOW, true));
        room.set_window(WINDOW);
        assert_eq!((room.bytes(), room.want().in_bulk), (WINDOW, false), "while memory is short");
        room.set_window(LARGE_WINDOW);
        room.sent(LARGE_WINDOW);
        room.give(part(LARGE_WINDOW));
        assert_eq!(room.bytes(), WINDOW, "it has not taken all");
    }

    #[test]
    fn what_the_peer_has_taken_is_announced() {
        let (mut owed, mut output) = (Owed::default(), Output::default());
        assert_eq!(owed.announce(&output), None);
        output.write(&[b'a'; BUFFER]);
        owed.add(BUFFER);
        assert_eq!(owed.announce(&output), None, "the output has no room");
        output.take(1);
        assert_eq!((owed.announce(&output), owed.announce(&output)), (Some(part(BUFFER)), None));
        output.take(BUFFER);
        owed.add(5);
        assert_eq!(owed.announce(&output), Some(Taken { bytes: 5, is_all: true }));
    }

    #[test]
    fn pieces_are_cut_once_at_most() {
        // The first piece came with a head; the others are as large as what is received at once.
        let (mut room, mut under_way, mut pieces) = (Room::whole(LARGE_WINDOW), Vec::new(), Vec::new());
        let mut at_hand = WINDOW - 266;
        for _ in 0..20 {
            let piece = at_hand.min(room.bytes());
            if piece > 0 {
                room.sent(piece);
                at_hand -= piece;
                under_way.push(piece);
                pieces.push(piece);
            } else {
                under_way.drain(..).for_each(|piece| room.give(part(piece)));
            }
            if at_hand == 0 && room.bytes() > 0 {
                at_hand = WINDOW;
            }
        }
        assert!(pieces.len() >= 8 && pieces[1..].iter().all(|piece| *piece == WINDOW), "{pieces:?}");
    }
}
