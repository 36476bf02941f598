//! The responses in memory, and which of them leave when there is no room.

use std::rc::Rc;

use super::eviction::{NONE, Node, Nodes, Policy};
use super::index::EntryId;
use super::response::Response;

/// A response in memory.
struct Resident {
    /// None if the place is free; then `size` is the next free one.
    response: Option<Rc<Response>>,
    entry: EntryId,
    hash: u64,
    /// What it takes, in bytes.
    size: u64,
    node: Node,
}

/// All of them, by their numbers.
struct Slots(Vec<Resident>);

impl Nodes for Slots {
    fn node(&mut self, number: u32) -> &mut Node {
        &mut self.0[number as usize].node
    }

    fn size(&self, number: u32) -> u64 {
        self.0.get(number as usize).map_or(0, |resident| resident.size)
    }

    fn hash(&self, number: u32) -> u64 {
        self.0.get(number as usize).map_or(0, |resident| resident.hash)
    }
}

/// The responses in memory that can be evicted.
pub(super) struct Residents {
    slots: Slots,
    free: u32,
    policy: Policy,
}

impl Residents {
    pub(super) fn new() -> Self {
        Self { slots: Slots(Vec::new()), free: NONE, policy: Policy::new() }
    }

    /// What they take, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.policy.bytes()
    }

    /// Adds the response of an entry that takes `size` bytes. Returns its number.
    pub(super) fn insert(&mut self, entry: EntryId, hash: u64, response: Rc<Response>, size: u64) -> u32 {
        let size = size + size_of::<Resident>() as u64;
        let resident = Resident { response: Some(response), entry, hash, size, node: Node::default() };
        let number = match self.free {
            NONE => {
                self.slots.0.push(resident);
                self.slots.0.len() as u32 - 1
            }
            free => {
                let place = &mut self.slots.0[free as usize];
                self.free = place.size as u32;
                *place = resident;
                free
            }
        };
        self.policy.insert(&mut self.slots, number);
        number
    }

    /// The response with this number.
    pub(super) fn get(&self, number: u32) -> Option<&Rc<Response>> {
        self.slots.0.get(number as usize)?.response.as_ref()
    }

    /// Counts a use.
    pub(super) fn touch(&mut self, number: u32) {
        if let Some(resident) = self.slots.0.get_mut(number as usize) {
            resident.node.touch();
        }
    }

    /// Removes the response with this number.
    pub(super) fn remove(&mut self, number: u32) {
        if self.get(number).is_some() {
            self.policy.remove(&mut self.slots, number);
            self.vacate(number);
        }
    }

    fn vacate(&mut self, number: u32) {
        let resident = &mut self.slots.0[number as usize];
        resident.response = None;
        resident.size = u64::from(std::mem::replace(&mut self.free, number));
    }

    /// Removes one response, if all take more than `room` bytes. Returns its entry.
    pub(super) fn evict(&mut self, room: u64) -> Option<EntryId> {
        if self.bytes() <= room {
            return None;
        }
        let number = self.policy.evict(&mut self.slots, room)?;
        self.vacate(number);
        self.slots.0.get(number as usize).map(|resident| resident.entry)
    }

    /// All entries that are in memory, with their responses.
    pub(super) fn iter(&self) -> impl Iterator<Item = (EntryId, &Rc<Response>)> {
        self.slots.0.iter().filter_map(|resident| Some((resident.entry, resident.response.as_ref()?)))
    }
}
