//! What a connection holds, as it is counted against [`Options::memory`](super::Options::memory).

/// Bytes of memory that a connection holds beyond its slot, and whether a message has made them more since
/// its last turn. Both in one word, because an idle connection has it, too.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Held(u32);

/// Set if a message has made them more.
const GROWN: u32 = 1 << 31;
/// Most bytes that are counted.
const MOST: u32 = GROWN - 1;

impl Held {
    /// How many bytes.
    pub(super) fn bytes(self) -> usize {
        (self.0 & MOST) as usize
    }

    /// A message brings bytes.
    pub(super) fn add(&mut self, bytes: usize) {
        if bytes > 0 {
            self.0 = GROWN | Self::of(self.bytes().saturating_add(bytes)).0;
        }
    }

    /// After a turn it holds so many bytes. Returns whether they are more than after the last turn, by
    /// this one or by a message.
    pub(super) fn set(&mut self, bytes: usize) -> bool {
        let before = std::mem::replace(self, Self::of(bytes));
        before.0 & GROWN != 0 || self.0 > before.0
    }

    fn of(bytes: usize) -> Self {
        Self(u32::try_from(bytes).unwrap_or(MOST).min(MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_by_turns_and_by_messages() {
        let mut held = Held::default();
        assert!(!held.set(0) && held.set(5) && !held.set(5) && !held.set(4));
        held.add(0);
        assert!(!held.set(4));
        held.add(6);
        assert_eq!(held.bytes(), 10);
        assert!(held.set(10), "by the message");
        assert!(!held.set(10));
        held.add(usize::MAX);
        assert_eq!(held.bytes(), MOST as usize);
        assert!(held.set(usize::MAX) && !held.set(usize::MAX));
        assert_eq!(held.bytes(), MOST as usize);
    }
}
