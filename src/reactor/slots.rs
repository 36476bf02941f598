//! Slots, and the handles that name them.
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

    /// The handle of nothing.
    pub const NONE: Self = Self::new(0, 0);

    /// The handle of a connection that doesn't exist.
    #[doc(hidden)]
    pub const fn for_test(number: u32) -> Self {
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
///
/// A slot can be reserved before there is anything in it, and what is in it can be taken
/// out for a while: its handle then names nothing, but stays its own.
pub struct Slots<T> {
    slab: Slab<Option<T>>,
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

    /// Takes a slot, for [`put`](Self::put).
    pub fn reserve(&mut self) -> Handle {
        // Generation 0 is the reactor's own.
        self.generation = match (self.generation + 1) & (usize::MAX >> HALF) as u32 {
            0 => 1,
            next => next,
        };
        let index = self.slab.insert(None);
        if index == self.generations.len() {
            self.generations.push(0);
        }
        self.generations[index] = self.generation;
        Handle::new(index, self.generation)
    }

    /// Puts `value` into the slot that was reserved or taken out of.
    ///
    /// # Panics
    /// If the handle names no slot.
    #[inline]
    pub fn put(&mut self, handle: Handle, value: T) {
        self.slab[handle.index()] = Some(value);
    }

    /// Takes out what `handle` names, if it is there. The slot stays taken.
    pub fn take(&mut self, handle: Handle) -> Option<T> {
        if self.generations.get(handle.index()) != Some(&handle.generation) {
            return None;
        }
        self.slab.get_mut(handle.index())?.take()
    }

    /// Frees the slot that `handle` names.
    ///
    /// # Panics
    /// If it is free already.
    pub fn free(&mut self, handle: Handle) {
        self.slab.remove(handle.index());
        // After a peak, give the memory back once there is nothing in it.
        if self.slab.is_empty() && self.slab.capacity() > 256 {
            self.slab = Slab::new();
            self.generations = Vec::new();
        }
    }

    /// What `handle` names, if it is there.
    pub fn get(&mut self, handle: Handle) -> Option<&mut T> {
        if self.generations.get(handle.index()) != Some(&handle.generation) {
            return None;
        }
        self.slab.get_mut(handle.index())?.as_mut()
    }

    /// What is in a slot, whichever generation, and its handle.
    pub(super) fn at(&mut self, index: usize) -> Option<(Handle, &mut T)> {
        let value = self.slab.get_mut(index)?.as_mut()?;
        Some((Handle::new(index, self.generations[index]), value))
    }

    /// The handle in a token. `get` finds out whether it still names anything.
    pub(super) fn handle_of(token: Token) -> Handle {
        Handle::new(token.0 & (usize::MAX >> HALF), (token.0 >> HALF) as u32)
    }

    /// All handles.
    pub(super) fn handles(&self) -> Vec<Handle> {
        self.slab.iter().map(|(index, _)| Handle::new(index, self.generations[index])).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slab.iter().filter_map(|(_, value)| value.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_names_its_own_generation_only() {
        let mut slots = Slots::default();
        let first = slots.reserve();
        assert_eq!(slots.len(), 1);
        assert_eq!(slots.get(first), None, "reserved, and nothing in it");
        slots.put(first, "first");
        assert_eq!(slots.take(first), Some("first"));
        assert_eq!(slots.take(first), None);
        slots.put(first, "first");
        slots.free(first);
        let second = slots.reserve();
        slots.put(second, "second");
        assert_eq!(first.index(), second.index());
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.take(first), None);
        assert_eq!(slots.get(second), Some(&mut "second"));
        assert_eq!(Slots::<()>::handle_of(second.token()), second);
        assert_eq!(slots.at(second.index()), Some((second, &mut "second")));
        slots.free(second);
        assert_eq!(slots.get(second), None);
        assert_eq!(slots.at(second.index()), None);
    }

    #[test]
    fn numbers_count_on_and_the_memory_of_a_peak_is_given_back() {
        let mut slots = Slots::default();
        let handles: Vec<Handle> = (0..1000).map(|_| slots.reserve()).collect();
        assert_eq!(handles[999].number(), 1000);
        for handle in handles {
            slots.put(handle, ());
            slots.free(handle);
        }
        assert_eq!((slots.slab.capacity(), slots.generations.capacity()), (0, 0));
        assert_eq!(slots.reserve().number(), 1001);
    }
}
