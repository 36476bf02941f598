//! A slab, and handles that can't be mistaken.
//!
//! A slot's number is used again as soon as it is free, so an event or a message
//! for the old connection could reach the new one. A [`Handle`] therefore carries
//! a generation beside the number, and the look-up compares it.

use mio::Token;
use slab::Slab;

use super::timers::MAX_SLOTS;

/// Names what is in a slot for as long as it is there, and nothing afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Handle {
    index: u32,
    generation: u32,
}

/// Half of a token for the slot's number, half for the generation.
const HALF: u32 = usize::BITS / 2;

/// Most slots: what a token and a timer entry can name.
pub const CAPACITY: usize = if HALF < 24 { 1 << HALF } else { MAX_SLOTS };

impl Handle {
    pub(super) const fn new(index: usize, generation: u32) -> Self {
        Self { index: index as u32, generation }
    }

    /// The handle of a connection that doesn't exist; for tests.
    pub const fn imagined(number: u32) -> Self {
        Self::new(0, number)
    }

    /// The connection's number: counts up from 1 with every connection since the
    /// start (and begins again after four thousand million). 0 for a datagram socket.
    pub fn number(self) -> u32 {
        self.generation
    }

    pub(super) fn index(self) -> usize {
        self.index as usize
    }

    /// Tokens of generation 0 are the reactor's own.
    pub(super) fn token(self) -> Token {
        Token((self.generation as usize) << HALF | self.index as usize)
    }
}

/// A slab that gives out handles.
pub struct Slots<T> {
    slab: Slab<T>,
    /// By slot; beside the slab, where they leave no padding in its entries.
    generations: Vec<u32>,
    generation: u32,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slab: Slab::new(), generations: Vec::new(), generation: 0 }
    }
}

impl<T> Slots<T> {
    /// How many slots are taken.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// The handle of what is inserted next.
    pub fn reserve(&mut self) -> Handle {
        // As many bits as a token has for it; never 0, which is the reactor's own.
        self.generation = match (self.generation + 1) & (usize::MAX >> HALF) as u32 {
            0 => 1,
            next => next,
        };
        Handle::new(self.slab.vacant_key(), self.generation)
    }

    /// Puts `value` where the handle that was reserved last says.
    pub fn insert(&mut self, value: T) -> Handle {
        let index = self.slab.insert(value);
        if index == self.generations.len() {
            self.generations.push(0);
        }
        self.generations[index] = self.generation;
        Handle::new(index, self.generation)
    }

    /// Frees the slot that `handle` names.
    ///
    /// # Panics
    /// If it is free already.
    pub fn remove(&mut self, handle: Handle) -> T {
        let value = self.slab.remove(handle.index());
        // After a peak, give the memory back once there is nothing in it.
        if self.slab.is_empty() && self.slab.capacity() > 256 {
            self.slab = Slab::new();
            self.generations = Vec::new();
        }
        value
    }

    /// What `handle` names, if it is still there.
    #[inline]
    pub fn get(&mut self, handle: Handle) -> Option<&mut T> {
        if self.generations.get(handle.index()) != Some(&handle.generation) {
            return None;
        }
        self.slab.get_mut(handle.index())
    }

    /// What is in a slot, whichever generation, and its handle.
    pub(super) fn at(&mut self, index: usize) -> Option<(Handle, &mut T)> {
        let value = self.slab.get_mut(index)?;
        Some((Handle::new(index, self.generations[index]), value))
    }

    /// The handle in a token; whether it still names anything, `get` tells.
    pub(super) fn handle_of(token: Token) -> Handle {
        Handle::new(token.0 & (usize::MAX >> HALF), (token.0 >> HALF) as u32)
    }

    /// All handles.
    pub(super) fn handles(&self) -> Vec<Handle> {
        self.slab.iter().map(|(index, _)| Handle::new(index, self.generations[index])).collect()
    }

    #[cfg_attr(not(debug_assertions), expect(dead_code, reason = "for the counts that debug builds compare"))]
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slab.iter().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_names_its_own_generation_only() {
        let mut slots = Slots::default();
        let expected = slots.reserve();
        let first = slots.insert("first");
        assert_eq!(first, expected);
        slots.remove(first);
        slots.reserve();
        let second = slots.insert("second");
        assert_eq!(first.index(), second.index());
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.get(second), Some(&mut "second"));
        assert_eq!(Slots::<()>::handle_of(second.token()), second);
        assert_eq!(slots.at(second.index()), Some((second, &mut "second")));
        slots.remove(second);
        assert_eq!(slots.get(second), None);
        assert_eq!(slots.at(second.index()), None);
    }

    #[test]
    fn numbers_count_on_and_the_memory_of_a_peak_is_given_back() {
        let mut slots = Slots::default();
        let handles: Vec<Handle> = (0..1000).map(|n| (slots.reserve(), slots.insert(n)).1).collect();
        assert_eq!(handles[999].number(), 1000);
        for handle in handles {
            slots.remove(handle);
        }
        assert_eq!((slots.slab.capacity(), slots.generations.capacity()), (0, 0));
        slots.reserve();
        assert_eq!(slots.insert(0).number(), 1001);
    }
}
