//! How many bytes the other side of an exchange has room for.
//!
//! A little room is none. Otherwise a large piece would be cut where the room ends, the next one would
//! begin there, and all that follow would be cut in two in the same way (RFC 9293 §3.8.6.2 has a window like
//! that: silly). Nothing waits for ever by this: what fills the other half is under way, and its room is
//! announced when it is written.
//!
//! While memory is short the window is smaller, whatever was announced before: less may be under way.

use super::WINDOW;

/// Room for bytes at the other side.
pub struct Room {
    /// Bytes that are under way, or that there is no room for.
    taken: usize,
    /// How many may be.
    window: usize,
}

impl Room {
    /// There is none yet.
    pub const NONE: Self = Self { taken: WINDOW, window: WINDOW };

    /// All of the window.
    pub const WHOLE: Self = Self { taken: 0, window: WINDOW };

    /// How many bytes it may be sent now.
    pub fn bytes(&self) -> usize {
        let bytes = self.window.saturating_sub(self.taken);
        if bytes < self.window / 2 { 0 } else { bytes }
    }

    /// At most so many bytes may be under way from now on.
    pub fn set_window(&mut self, window: usize) {
        self.window = window.min(WINDOW);
    }

    /// It has room for more.
    pub fn give(&mut self, bytes: usize) {
        self.taken = self.taken.saturating_sub(bytes);
    }

    /// It was sent so many bytes.
    pub fn take(&mut self, bytes: usize) {
        self.taken += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_little_room_is_none() {
        let mut room = Room::WHOLE;
        room.take(WINDOW / 2);
        assert_eq!(room.bytes(), WINDOW / 2);
        room.take(1);
        assert_eq!(room.bytes(), 0);
        room.give(1);
        assert_eq!(room.bytes(), WINDOW / 2);
        assert_eq!(Room::NONE.bytes(), 0);
    }

    #[test]
    fn less_may_be_under_way_while_memory_is_short() {
        let mut room = Room::WHOLE;
        room.take(WINDOW);
        room.set_window(100);
        room.give(WINDOW - 51);
        assert_eq!(room.bytes(), 0, "51 bytes are under way");
        room.give(1);
        assert_eq!(room.bytes(), 50);
        room.set_window(WINDOW);
        assert_eq!(room.bytes(), WINDOW - 50);
    }

    #[test]
    fn pieces_are_cut_once_at_most() {
        // The first piece came with a head; the others are as large as what is received at once.
        let (mut room, mut under_way, mut pieces) = (Room::WHOLE, Vec::new(), Vec::new());
        let mut at_hand = WINDOW - 266;
        for _ in 0..20 {
            let piece = at_hand.min(room.bytes());
            if piece > 0 {
                room.take(piece);
                at_hand -= piece;
                under_way.push(piece);
                pieces.push(piece);
            } else {
                under_way.drain(..).for_each(|piece| room.give(piece));
            }
            if at_hand == 0 && room.bytes() > 0 {
                at_hand = WINDOW;
            }
        }
        assert!(pieces.len() >= 8 && pieces[1..].iter().all(|piece| *piece == WINDOW), "{pieces:?}");
    }
}
