//! The slab of connections, and handles that can't be mistaken.
//!
//! A slot's number is used again as soon as it is free, so an event or a message
//! for the old connection could reach the new one. A [`Handle`] therefore carries
//! a generation beside the number; the lookup compares it.

use mio::Token;
use slab::Slab;

use super::protocol::Protocol;
use super::timers::{Armed, MAX_SLOTS};
use super::transport::Transport;

/// Names a connection for as long as it lives, and nothing afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Handle {
    index: u32,
    generation: u32,
}

/// Half of a token for the slot's number, half for the generation.
const HALF: u32 = usize::BITS / 2;

/// Most connections at once: what a token and a timer entry can name.
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
    /// start (and begins again after four thousand million).
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

/// One connection: its transport, its protocol.
pub(super) struct Slot<P> {
    pub(super) transport: Transport,
    pub(super) protocol: P,
    pub(super) generation: u32,
    /// Its earliest entry among the timers.
    pub(super) armed: Armed,
    /// It is in the run queue.
    pub(super) queued: bool,
    /// The socket is registered with the poll.
    pub(super) registered: bool,
    /// Which listener it came from.
    pub(super) listener: u8,
}

/// All connections.
pub(super) struct Slots<P> {
    slab: Slab<Slot<P>>,
    generation: u32,
}

impl<P: Protocol> Slots<P> {
    pub(super) fn new() -> Self {
        Self { slab: Slab::new(), generation: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// The handle of the connection that is inserted next.
    pub(super) fn next_handle(&mut self) -> Handle {
        // As many bits as a token has for it; never 0, which is the reactor's own.
        self.generation = match (self.generation + 1) & (usize::MAX >> HALF) as u32 {
            0 => 1,
            next => next,
        };
        Handle::new(self.slab.vacant_key(), self.generation)
    }

    pub(super) fn insert(&mut self, slot: Slot<P>) -> usize {
        self.slab.insert(slot)
    }

    pub(super) fn remove(&mut self, index: usize) -> Slot<P> {
        let slot = self.slab.remove(index);
        // After a peak, give the slab's memory back once it is empty.
        if self.slab.is_empty() && self.slab.capacity() > 256 {
            self.slab = Slab::new();
        }
        slot
    }

    pub(super) fn by_index(&mut self, index: usize) -> Option<&mut Slot<P>> {
        self.slab.get_mut(index)
    }

    pub(super) fn get(&mut self, handle: Handle) -> Option<&mut Slot<P>> {
        self.slab.get_mut(handle.index()).filter(|slot| slot.generation == handle.generation)
    }

    /// The handle in a token, if it names a connection that lives.
    pub(super) fn resolve(&self, token: Token) -> Option<Handle> {
        let handle = Handle::new(token.0 & (usize::MAX >> HALF), (token.0 >> HALF) as u32);
        self.slab.get(handle.index()).is_some_and(|slot| slot.generation == handle.generation).then_some(handle)
    }

    pub(super) fn handles(&self) -> Vec<Handle> {
        self.slab.iter().map(|(index, slot)| Handle::new(index, slot.generation)).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot<P>> {
        self.slab.iter().map(|(_, slot)| slot)
    }
}
