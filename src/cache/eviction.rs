//! What leaves when there is no room: S3-FIFO (Yang et al., SOSP 2023).
//!
//! ```text
//! new ──► small (a tenth) ──used twice──► main ──┐ used: once more round
//!  │         └──else──► out, remembered     ▲ └──┴──else──► out
//!  └── remembered ───────────────────────────┘
//! ```
//!
//! Most of what a proxy stores is never asked for again. It passes through the small queue and
//! leaves what is hot alone, so that a crawler can't flush the cache; a segmented LRU does this
//! less well. A hit sets a counter and moves nothing: no links are written, unlike in any LRU.
//! What comes back soon after it left goes to the main queue at once; a table of short hashes
//! remembers this. It forgets when a newer hash takes the place, which costs a hit, no more.
//!
//! The queues are doubly linked lists through the entries, so anything can be removed at once.

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// The most that counts as use.
const MOST_USES: u8 = 3;
/// So many uses keep an entry of the small queue.
const KEPT_USES: u8 = 2;
/// The most entries that go round again in one call, which bounds its time.
const ROUNDS: usize = 64;
/// The least places of the table of what left.
const LEAST_PLACES: usize = 64;

/// Where an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Nowhere,
    Small,
    Main,
}

/// The part of an entry that the policy needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    before: u32,
    after: u32,
    uses: u8,
    place: Place,
}

impl Default for Node {
    fn default() -> Self {
        Self { before: NONE, after: NONE, uses: 0, place: Place::Nowhere }
    }
}

impl Node {
    /// Counts a use.
    pub(super) fn touch(&mut self) {
        if self.uses < MOST_USES {
            self.uses += 1;
        }
    }

    /// Whether it is in a queue.
    pub(super) fn is_queued(&self) -> bool {
        self.place != Place::Nowhere
    }
}

/// The entries.
pub(super) trait Nodes {
    fn node(&mut self, number: u32) -> &mut Node;
    /// What it takes, in bytes. It mustn't change while the entry is in a queue, but by
    /// [`Policy::resize`].
    fn size(&self, number: u32) -> u64;
    /// A number of which all bits are equally likely to be set, the same when it comes back.
    fn hash(&self, number: u32) -> u64;
}

/// A queue: entries enter it at the head and leave it at the tail.
struct Queue {
    head: u32,
    tail: u32,
    bytes: u64,
}

impl Queue {
    const fn new() -> Self {
        Self { head: NONE, tail: NONE, bytes: 0 }
    }
}

/// The queues, and what left lately.
pub(super) struct Policy {
    small: Queue,
    main: Queue,
    count: usize,
    /// The upper half of each hash, at the place of its lower half.
    left: Box<[u32]>,
}

impl Policy {
    pub(super) fn new() -> Self {
        Self { small: Queue::new(), main: Queue::new(), count: 0, left: Box::default() }
    }

    /// What all entries take, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.small.bytes + self.main.bytes
    }

    /// How many entries there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// A new entry.
    pub(super) fn insert(&mut self, nodes: &mut impl Nodes, number: u32) {
        let place = if self.has_left(nodes.hash(number)) { Place::Main } else { Place::Small };
        self.enter(nodes, number, place);
    }

    /// An entry that was kept before.
    pub(super) fn insert_kept(&mut self, nodes: &mut impl Nodes, number: u32) {
        self.enter(nodes, number, Place::Main);
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, nodes: &mut impl Nodes, number: u32) {
        let Node { before, after, place, .. } = *nodes.node(number);
        if place == Place::Nowhere {
            return;
        }
        let size = nodes.size(number);
        let queue = self.queue(place);
        queue.bytes -= size;
        match before {
            NONE => queue.head = after,
            before => nodes.node(before).after = after,
        }
        let queue = self.queue(place);
        match after {
            NONE => queue.tail = before,
            after => nodes.node(after).before = before,
        }
        self.count -= 1;
        *nodes.node(number) = Node::default();
    }

    /// Takes the entry out that is to leave. `room` is what all entries may take, in bytes. None
    /// if there is none, or if so many stay that the search has to go on at the next call.
    pub(super) fn evict(&mut self, nodes: &mut impl Nodes, room: u64) -> Option<u32> {
        for _ in 0..ROUNDS {
            let from_small = self.small.tail != NONE && (self.main.tail == NONE || self.small.bytes > room / 10);
            let number = if from_small { self.small.tail } else { self.main.tail };
            if number == NONE {
                return None;
            }
            let uses = nodes.node(number).uses;
            let stays = if from_small { uses >= KEPT_USES } else { uses > 0 };
            let hash = nodes.hash(number);
            self.remove(nodes, number);
            if !stays {
                if from_small {
                    self.remember(hash);
                }
                return Some(number);
            }
            self.enter(nodes, number, Place::Main);
            // What was promoted has to prove itself again.
            nodes.node(number).uses = if from_small { 0 } else { uses - 1 };
        }
        None
    }

    /// The entry's size is another now.
    pub(super) fn resize(&mut self, place: &Node, before: u64, after: u64) {
        if place.is_queued() {
            let queue = self.queue(place.place);
            queue.bytes = queue.bytes - before + after;
        }
    }

    /// What it has allocated, in bytes.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.left)
    }

    fn queue(&mut self, place: Place) -> &mut Queue {
        if place == Place::Small { &mut self.small } else { &mut self.main }
    }

    fn enter(&mut self, nodes: &mut impl Nodes, number: u32, place: Place) {
        let size = nodes.size(number);
        let queue = self.queue(place);
        let after = std::mem::replace(&mut queue.head, number);
        queue.bytes += size;
        if after == NONE {
            queue.tail = number;
        } else {
            nodes.node(after).before = number;
        }
        *nodes.node(number) = Node { before: NONE, after, uses: 0, place };
        self.count += 1;
    }

    fn place(&mut self, hash: u64) -> Option<&mut u32> {
        // Its length is a power of two.
        let place = hash as usize & self.left.len().wrapping_sub(1);
        self.left.get_mut(place)
    }

    fn has_left(&mut self, hash: u64) -> bool {
        self.place(hash).is_some_and(|place| *place == short(hash))
    }

    fn remember(&mut self, hash: u64) {
        if self.left.len() < self.count {
            // What was remembered is forgotten.
            self.left = vec![0; self.count.next_power_of_two().max(LEAST_PLACES)].into();
        }
        if let Some(place) = self.place(hash) {
            *place = short(hash);
        }
    }
}

/// What is remembered of a hash; 0 stands for nothing.
fn short(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    /// A cache of entries of one byte: the numbers in it are the entries.
    struct Cache {
        nodes: Vec<Node>,
        policy: Policy,
        room: u64,
    }

    struct All<'a>(&'a mut [Node]);

    impl Nodes for All<'_> {
        fn node(&mut self, number: u32) -> &mut Node {
            &mut self.0[number as usize]
        }

        fn size(&self, _: u32) -> u64 {
            1
        }

        fn hash(&self, number: u32) -> u64 {
            SplitMix64::nth(1, number.into()).roll()
        }
    }

    impl Cache {
        fn new(room: u64) -> Self {
            Self { nodes: vec![Node::default(); 100_000], policy: Policy::new(), room }
        }

        /// Whether it was a hit.
        fn get(&mut self, number: u32) -> bool {
            let hit = self.nodes[number as usize].is_queued();
            let nodes = &mut All(&mut self.nodes);
            if hit {
                nodes.node(number).touch();
                return true;
            }
            while self.policy.bytes() >= self.room {
                self.policy.evict(nodes, self.room);
            }
            self.policy.insert(nodes, number);
            false
        }

        fn has(&self, number: u32) -> bool {
            self.nodes[number as usize].is_queued()
        }
    }

    #[test]
    fn a_scan_does_not_flush_what_is_hot() {
        let mut cache = Cache::new(1000);
        for _ in 0..4 {
            (0..500).for_each(|hot| _ = cache.get(hot));
        }
        // Ten times the room, each asked for once, and nothing hot meanwhile.
        (1000..11_000).for_each(|once| assert!(!cache.get(once)));
        assert_eq!((0..500).filter(|hot| cache.has(*hot)).count(), 500);
    }

    #[test]
    fn what_is_used_no_more_leaves_in_the_end() {
        let mut cache = Cache::new(100);
        for _ in 0..4 {
            (0..90).for_each(|old| _ = cache.get(old));
        }
        for _ in 0..20 {
            (1000..1090).for_each(|new| _ = cache.get(new));
        }
        assert!((1000..1090).filter(|new| cache.has(*new)).count() > 80);
        assert!((0..90).filter(|old| cache.has(*old)).count() < 20);
    }

    #[test]
    fn what_comes_back_soon_is_kept() {
        let mut cache = Cache::new(100);
        (0..100).for_each(|number| _ = cache.get(number));
        cache.get(200);
        assert!(!cache.has(0));
        cache.get(0);
        // It is in the main queue, where those that are asked for once don't come.
        (300..400).for_each(|number| _ = cache.get(number));
        assert!(cache.has(0) && !cache.has(1));
    }

    #[test]
    fn the_time_of_a_call_is_bounded() {
        let mut cache = Cache::new(1000);
        for _ in 0..10 {
            (0..1000).for_each(|number| _ = cache.get(number));
        }
        let in_main = |cache: &Cache| cache.nodes.iter().filter(|node| node.place == Place::Main).count();
        for calls in 1..1000 / ROUNDS {
            assert_eq!(cache.policy.evict(&mut All(&mut cache.nodes), 1000), None);
            assert_eq!(in_main(&cache), calls * ROUNDS);
        }
        // All are in the main queue in the end, and the first one leaves.
        let left = (0..10).find_map(|_| cache.policy.evict(&mut All(&mut cache.nodes), 1000));
        assert!(left.is_some() && cache.policy.count() == 999);
    }

    #[test]
    fn the_queues_hold_what_they_count() {
        let mut random = SplitMix64::new(5);
        let mut cache = Cache::new(50);
        for _ in 0..20_000 {
            let number = random.below(120) as u32;
            match random.below(8) {
                0 => cache.policy.remove(&mut All(&mut cache.nodes), number),
                _ => _ = cache.get(number),
            }
            let queued = cache.nodes[..120].iter().filter(|node| node.is_queued()).count();
            assert_eq!((cache.policy.bytes(), cache.policy.count()), (queued as u64, queued));
            assert!(queued <= 50);
        }
        let mut left = 0;
        while cache.policy.count() > 0 {
            left += usize::from(cache.policy.evict(&mut All(&mut cache.nodes), 50).is_some());
        }
        assert!(left > 0 && cache.nodes.iter().all(|node| !node.is_queued()) && cache.policy.count() == 0);
    }
}
