//! Deadlines without cancel tokens.
//!
//! A heap of (moment, slot) pairs, and in each slot the moment of its earliest
//! entry. A later deadline costs nothing: the entry fires, the protocol says what it
//! wants now, and that makes a new entry. An earlier deadline makes a second entry; the
//! first is recognised as stale, because the slot has another moment. Nothing is ever searched for or removed.
//!
//! An entry is one word: 40 bits of milliseconds (34 years) over 24 bits of slot
//! number, so ten thousand idle connections cost eighty thousand bytes here. A
//! slot that was freed and taken again may be woken for its predecessor; it then
//! finds nothing to do, since `advance` is idempotent.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Tick;

const INDEX_BITS: u32 = 24;

/// Most slots that an entry can name.
pub(super) const MAX_SLOTS: usize = 1 << INDEX_BITS;

/// The moment of a slot's earliest entry, in microseconds, but always the end of a
/// millisecond; `NONE` if it has none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Armed(u64);

impl Armed {
    /// No entry.
    pub const NONE: Self = Self(u64::MAX);
}

/// All deadlines.
#[derive(Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<u64>>,
}

impl Timers {
    /// Makes sure that slot `index`, whose earliest entry is `armed`, is woken at `deadline`
    /// or within a millisecond after it.
    pub fn arm(&mut self, index: usize, armed: &mut Armed, deadline: Tick) {
        // An entry in the same millisecond is early enough.
        if deadline.as_micros().saturating_add(999) < armed.0 {
            *armed = self.push(index, deadline);
        }
    }

    #[inline(never)]
    fn push(&mut self, index: usize, deadline: Tick) -> Armed {
        let millis = deadline.as_micros().div_ceil(1000).min((1 << (u64::BITS - INDEX_BITS)) - 1);
        self.heap.push(Reverse(millis << INDEX_BITS | index as u64));
        Armed(millis * 1000)
    }

    /// Takes an entry whose moment has come: the slot's number, and the moment
    /// to compare with the slot's own.
    pub fn expired(&mut self, now: Tick) -> Option<(usize, Armed)> {
        let Reverse(entry) = *self.heap.peek()?;
        let millis = entry >> INDEX_BITS;
        if millis > now.as_micros() / 1000 {
            return None;
        }
        self.heap.pop();
        // A peak of connections leaves a large heap behind; give it back.
        if self.heap.len() * 4 < self.heap.capacity() && self.heap.capacity() > 1024 {
            self.heap.shrink_to(self.heap.len() * 2);
        }
        Some(((entry & (MAX_SLOTS as u64 - 1)) as usize, Armed(millis * 1000)))
    }

    /// The first moment for which there is an entry.
    pub fn next(&self) -> Option<Tick> {
        let Reverse(entry) = self.heap.peek()?;
        Some(Tick::from_micros((entry >> INDEX_BITS) * 1000))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Tick {
        Tick::from_micros(millis * 1000)
    }

    #[test]
    fn a_later_wish_adds_no_entry_and_an_earlier_one_makes_the_old_stale() {
        let mut timers = Timers::default();
        let mut armed = Armed::NONE;
        timers.arm(7, &mut armed, ms(10));
        timers.arm(7, &mut armed, ms(20));
        assert_eq!(timers.len(), 1);
        timers.arm(7, &mut armed, ms(5));
        assert_eq!(timers.len(), 2);
        assert_eq!(timers.expired(ms(4)), None);
        assert_eq!(timers.expired(ms(10)), Some((7, Armed(5_000))));
        let stale = timers.expired(ms(10)).unwrap();
        assert_ne!(stale.1, armed);
    }

    #[test]
    fn never_wakes_early_and_tells_when_it_is_next() {
        let mut timers = Timers::default();
        let mut armed = Armed::NONE;
        assert_eq!(timers.next(), None);
        timers.arm(1, &mut armed, Tick::from_micros(1_001));
        assert_eq!(timers.expired(Tick::from_micros(1_999)), None);
        assert_eq!(timers.next(), Some(ms(2)));
        assert_eq!(timers.expired(ms(2)).map(|e| e.0), Some(1));
    }

    #[test]
    fn entries_come_in_the_order_of_time_and_the_heap_shrinks_after_a_peak() {
        let mut timers = Timers::default();
        for index in 0..10_000_usize {
            let mut armed = Armed::NONE;
            timers.arm(index, &mut armed, ms((index as u64 * 7919) % 10_007 + 1));
        }
        let mut last = Armed(0);
        while let Some((_, at)) = timers.expired(ms(20_000)) {
            assert!(at >= last);
            last = at;
        }
        assert!(timers.heap.capacity() <= 1024);
    }
}
