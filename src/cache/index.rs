//! What the store knows of each entry: some 130 bytes, without the URI and the values of fields.
//!
//! ```text
//! table: key ─► first entry ─next─► another variant ─next─► …
//! entry: name (key, variant) · freshness · lengths · names in Vary · place in a queue
//! ```
//!
//! Entries are in pieces of memory that never move, and the table has a part of each hash, so it
//! grows without a look at the entries. The names in Vary are few on a site; each list of them
//! is stored once. An identifier has a generation, so that of an entry that is gone finds
//! nothing, even if its place has a new one.

use std::num::NonZeroU32;

use hashbrown::HashTable;

use super::eviction::{NONE, Node, Nodes, Policy};
use super::format::INLINE;
use super::key::{Key, Name, Secret};
use crate::http::Fields;
use crate::http::caching::{Freshness, variant};

/// The most responses to requests for one URI. A site has some codings and languages; what has
/// more varies by something that clients choose.
pub(super) const VARIANTS: usize = 64;
/// The most lists of names in Vary.
const LISTS: usize = 256;
/// The longest list, in bytes.
const LIST: usize = 1024;
/// How many entries are in a piece of memory.
const PIECE: usize = 256;
/// What a file system takes in: blocks, and what it needs to know of a file.
const BLOCK: u64 = 4096;
const INODE: u64 = 256;

/// Names an entry until it is removed or replaced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EntryId {
    slot: u32,
    generation: NonZeroU32,
}

/// What a look-up found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// There is no response with this URI.
    Nothing,
    /// There are responses, but to requests that differ in what Vary names.
    OtherVariants,
    /// This one.
    Entry(EntryId),
}

/// What is known of an entry.
pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) freshness: Freshness,
    /// The lengths of the body, and of what is before it in its file.
    pub(super) body: u64,
    pub(super) meta: u32,
    generation: NonZeroU32,
    /// The next variant, or the next free place.
    next: u32,
    /// Its number among the responses in memory.
    pub(super) resident: u32,
    pub(super) node: Node,
    /// The number of its list of names.
    names: u16,
    /// Its body was verified since the start.
    pub(super) is_verified: bool,
    is_live: bool,
}

impl Entry {
    /// What it takes on the disk, in bytes.
    pub(super) fn size(&self) -> u64 {
        let meta = u64::from(self.meta);
        match self.body {
            body @ 0..=INLINE => (meta + body).next_multiple_of(BLOCK) + INODE,
            body => meta.next_multiple_of(BLOCK) + body.next_multiple_of(BLOCK) + 2 * INODE,
        }
    }

    fn vacant(next: u32) -> Self {
        // Nothing of it counts.
        let freshness = Freshness::from_bytes(&[0; Freshness::BYTES]);
        Self {
            name: Name { key: Key::NONE, variant: 0 },
            freshness: freshness.expect("it has no flag"),
            body: 0,
            meta: 0,
            generation: NonZeroU32::MIN,
            next,
            resident: NONE,
            node: Node::default(),
            names: 0,
            is_verified: false,
            is_live: false,
        }
    }
}

/// A list of names, and how many use it.
struct List {
    names: Box<[u8]>,
    users: u32,
}

/// The number of a list, which is kept until it is [released](Index::release).
#[derive(Clone, Copy, Debug)]
pub(super) struct Names(u16);

/// The entries.
struct Slots {
    pieces: Vec<Box<[Entry]>>,
    free: u32,
}

/// The index.
pub(super) struct Index {
    table: HashTable<(u32, u32)>,
    slots: Slots,
    policy: Policy,
    lists: Vec<List>,
}

impl Slots {
    fn get(&self, slot: u32) -> Option<&Entry> {
        self.pieces.get(slot as usize / PIECE)?.get(slot as usize % PIECE)
    }

    fn get_mut(&mut self, slot: u32) -> &mut Entry {
        // Slots come from here, and pieces stay.
        &mut self.pieces[slot as usize / PIECE][slot as usize % PIECE]
    }

    /// A free place.
    fn take(&mut self) -> u32 {
        if self.free == NONE {
            let first = (self.pieces.len() * PIECE) as u32;
            let end = first + PIECE as u32;
            let next = |slot| if slot + 1 == end { NONE } else { slot + 1 };
            self.pieces.push((first..end).map(|slot| Entry::vacant(next(slot))).collect());
            self.free = first;
        }
        let slot = self.free;
        self.free = self.get_mut(slot).next;
        slot
    }
}

impl Nodes for Slots {
    fn node(&mut self, slot: u32) -> &mut Node {
        &mut self.get_mut(slot).node
    }

    fn size(&self, slot: u32) -> u64 {
        self.get(slot).map_or(0, Entry::size)
    }

    fn hash(&self, slot: u32) -> u64 {
        self.get(slot).map_or(0, |entry| entry.name.key.hash() ^ entry.name.variant)
    }
}

/// The part of a hash that the table keeps, and the hash that it is given for it.
fn tag(key: Key) -> u32 {
    key.hash() as u32
}

fn spread(tag: u32) -> u64 {
    u64::from(tag) | u64::from(tag) << 32
}

impl Index {
    pub(super) fn new() -> Self {
        let slots = Slots { pieces: Vec::new(), free: NONE };
        Self { table: HashTable::new(), slots, policy: Policy::new(), lists: Vec::new() }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.policy.count()
    }

    /// What they take on the disk, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.policy.bytes()
    }

    /// The list of these names; none if there are too many lists.
    pub(super) fn names(&mut self, names: &[u8]) -> Option<Names> {
        let known = self.lists.iter().position(|list| list.users > 0 && *list.names == *names);
        let number = match known {
            Some(number) => number,
            None if names.len() > LIST => return None,
            None => {
                let list = List { names: names.into(), users: 0 };
                match self.lists.iter().position(|list| list.users == 0) {
                    Some(number) => {
                        self.lists[number] = list;
                        number
                    }
                    None if self.lists.len() == LISTS => return None,
                    None => {
                        self.lists.push(list);
                        self.lists.len() - 1
                    }
                }
            }
        };
        self.lists[number].users += 1;
        Some(Names(number as u16))
    }

    /// A list that isn't used any more.
    pub(super) fn release(&mut self, Names(number): Names) {
        if let Some(list) = self.lists.get_mut(usize::from(number)) {
            list.users -= 1;
        }
    }

    fn list(&self, number: u16) -> &[u8] {
        self.lists.get(usize::from(number)).map_or(&[], |list| &list.names)
    }

    fn first(&self, key: Key) -> Option<u32> {
        let is_own = |slot: u32| self.slots.get(slot).is_some_and(|entry| entry.name.key == key);
        self.table.find(spread(tag(key)), |(own, slot)| *own == tag(key) && is_own(*slot)).map(|(_, slot)| *slot)
    }

    /// The variants of a key, the latest first.
    fn chain(&self, key: Key) -> impl Iterator<Item = (u32, &Entry)> {
        let mut next = self.first(key);
        std::iter::from_fn(move || {
            let slot = next?;
            let entry = self.slots.get(slot)?;
            next = Some(entry.next).filter(|next| *next != NONE);
            Some((slot, entry))
        })
    }

    /// The response for a request with these fields.
    pub(super) fn find(&self, secret: &Secret, key: Key, request: &Fields<'_>) -> Found {
        let (mut others, mut last, mut value) = (false, None, Vec::new());
        let matching = self.chain(key).filter(|(_, entry)| {
            others = true;
            let own = match last {
                Some((names, own)) if names == entry.names => own,
                _ => {
                    let names = self.list(entry.names);
                    value.clear();
                    variant::write_key(names, request, &mut value);
                    secret.variant(names, &value)
                }
            };
            last = Some((entry.names, own));
            own == entry.name.variant
        });
        let matching = matching.map(|(slot, entry)| (EntryId { slot, generation: entry.generation }, &entry.freshness));
        match variant::most_recent(matching) {
            Some(id) => Found::Entry(id),
            None if others => Found::OtherVariants,
            None => Found::Nothing,
        }
    }

    /// The entry with this name.
    pub(super) fn named(&self, name: Name) -> Option<EntryId> {
        let (slot, entry) = self.chain(name.key).find(|(_, entry)| entry.name.variant == name.variant)?;
        Some(EntryId { slot, generation: entry.generation })
    }

    /// All variants of a key.
    pub(super) fn variants(&self, key: Key) -> Vec<EntryId> {
        self.chain(key).map(|(slot, entry)| EntryId { slot, generation: entry.generation }).collect()
    }

    /// The entry that must leave so that there is room for one more variant of the key.
    pub(super) fn surplus(&self, key: Key) -> Option<EntryId> {
        let (slot, entry) = self.chain(key).nth(VARIANTS - 1)?;
        Some(EntryId { slot, generation: entry.generation })
    }

    pub(super) fn get(&self, id: EntryId) -> Option<&Entry> {
        self.slots.get(id.slot).filter(|entry| entry.is_live && entry.generation == id.generation)
    }

    pub(super) fn get_mut(&mut self, id: EntryId) -> Option<&mut Entry> {
        self.get(id)?;
        Some(self.slots.get_mut(id.slot))
    }

    /// Adds an entry. There is none with its name. If it `was_kept` before, it is no newcomer.
    pub(super) fn insert(&mut self, new: NewEntry, was_kept: bool) -> EntryId {
        let NewEntry { name, names: Names(names), freshness, meta, body, is_verified } = new;
        let slot = self.slots.take();
        let generation = self.slots.get_mut(slot).generation;
        let next = self.first(name.key).unwrap_or(NONE);
        let entry = Entry { name, freshness, body, meta, generation, next, names, is_verified, ..Entry::vacant(NONE) };
        *self.slots.get_mut(slot) = Entry { is_live: true, ..entry };
        self.point(name.key, next, slot);
        if was_kept {
            self.policy.insert_kept(&mut self.slots, slot);
        } else {
            self.policy.insert(&mut self.slots, slot);
        }
        EntryId { slot, generation }
    }

    /// Has the table point to the first variant `to` instead of `from`.
    fn point(&mut self, key: Key, from: u32, to: u32) {
        let hash = spread(tag(key));
        match self.table.find_entry(hash, |(_, slot)| *slot == from) {
            Ok(place) if to == NONE => _ = place.remove(),
            Ok(mut place) => place.get_mut().1 = to,
            Err(_) => _ = self.table.insert_unique(hash, (tag(key), to), |(tag, _)| spread(*tag)),
        }
    }

    /// Removes an entry. Returns its name, and its number among the responses in memory.
    pub(super) fn remove(&mut self, id: EntryId) -> Option<(Name, u32)> {
        let entry = self.get(id)?;
        let (name, names, next, resident) = (entry.name, entry.names, entry.next, entry.resident);
        let before = self.chain(name.key).find(|(_, entry)| entry.next == id.slot).map(|(slot, _)| slot);
        match before {
            Some(before) => self.slots.get_mut(before).next = next,
            None => self.point(name.key, id.slot, next),
        }
        self.policy.remove(&mut self.slots, id.slot);
        self.release(Names(names));
        let free = std::mem::replace(&mut self.slots.free, id.slot);
        let entry = self.slots.get_mut(id.slot);
        entry.is_live = false;
        entry.next = free;
        entry.generation = entry.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        Some((name, resident))
    }

    /// The entry has another head.
    pub(super) fn update(&mut self, id: EntryId, freshness: Freshness, meta: u32) {
        let Some(entry) = self.get_mut(id) else { return };
        let before = entry.size();
        (entry.freshness, entry.meta) = (freshness, meta);
        let (node, after) = (entry.node, entry.size());
        self.policy.resize(&node, before, after);
    }

    /// What it takes in memory, in bytes.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let entries = self.slots.pieces.len() * PIECE * size_of::<Entry>();
        let lists: usize = self.lists.iter().map(|list| size_of::<List>() + list.names.len()).sum();
        entries + self.table.allocation_size() + lists + self.policy.memory()
    }

    /// The entry that is to leave if they take more than `bytes` on the disk. It isn't in a queue
    /// any more, and has to be removed.
    pub(super) fn evict(&mut self, bytes: u64) -> Option<EntryId> {
        let slot = self.policy.evict(&mut self.slots, bytes)?;
        let entry = self.slots.get(slot)?;
        Some(EntryId { slot, generation: entry.generation })
    }
}

/// What a new entry has.
pub(super) struct NewEntry {
    pub(super) name: Name,
    pub(super) names: Names,
    pub(super) freshness: Freshness,
    pub(super) meta: u32,
    pub(super) body: u64,
    pub(super) is_verified: bool,
}
