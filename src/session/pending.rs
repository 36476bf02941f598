//! Pending operations to a remote store: which exchange waits for which reply, until when,
//! and what two concurrent requests of one session mean for each other.
//!
//! ```text
//! exchange ── load, save ─▶ operations ─────────▶ the store's client
//!     ▲                                             │
//!     └──────── take ◀── tickets ◀──── reply ───────┘
//! ```
//!
//! An exchange starts an operation and gets a [`Ticket`]. It waits, with a deadline, until the
//! store's client has the reply for that ticket and wakes it. There is no socket here: the
//! client takes the operations in their order and passes the replies on.
//!
//! **Coherence.** Two requests of one session may be in flight at once, and both may have
//! asked for its values before one of them saves. So a save overrides every earlier load of
//! the same session whose result was not taken yet. An application runs between the taking
//! of a load and the save, in one turn of the loop. So no request loses the update of
//! another one, as long as both run in the same process. With several processes on one
//! store the later save wins.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::Id;
use crate::limits;
use crate::reactor::{Handle, Tick, Time};

/// Identifies an operation whose reply is pending.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub(super) u64);

/// An operation to the store.
#[derive(Clone, PartialEq, Debug)]
pub enum Operation {
    /// Load the session with this identifier.
    Load(Id),
    /// Store this session.
    Save {
        /// The identifier to store it under.
        id: Id,
        /// The identifier that the session had so far; if it differs, the store removes it.
        /// None: the session is new.
        was: Option<Id>,
        /// The stored text: a [`SessionRecord`](super::record::SessionRecord) as JSON.
        text: Vec<u8>,
        /// Seconds until it expires.
        seconds: i64,
    },
    /// Remove the session with this identifier.
    End(Id),
}

/// The reply of a store.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// The stored text, if there is one.
    Loaded(Option<Vec<u8>>),
    /// The session is stored, or removed.
    Saved,
    /// The store reported an error.
    Failed,
}

/// The result of a ticket.
#[derive(Clone, PartialEq, Debug)]
pub enum StoreResult {
    /// The stored text under the identifier, if there is one.
    Loaded(Id, Option<Vec<u8>>),
    /// The session is stored, or removed.
    Saved,
    /// The store reported an error.
    Failed,
}

/// The store takes no operations now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unavailable;

/// An operation that an exchange waits for.
struct Open {
    waiter: Handle,
    deadline: Tick,
    /// The session, if this is a load; none for a save.
    loads: Option<Id>,
    /// The sessions to load if the store doesn't have this one, the next one last.
    further: Vec<Id>,
    reply: Option<Reply>,
}

/// The loads of one session whose results were not taken yet.
#[derive(Default)]
struct Loads {
    count: usize,
    /// The last save since then: its ticket, and the text that is now valid.
    overridden: Option<(Ticket, Option<Vec<u8>>)>,
}

/// All operations whose results were not taken yet.
pub struct Pending {
    operations: VecDeque<(Ticket, Operation)>,
    /// Bytes of the operations that were not sent yet.
    queued: usize,
    /// In the order of their deadlines, because all have the same timeout.
    open: BTreeMap<Ticket, Open>,
    loads: HashMap<Id, Loads>,
    tickets: u64,
    available: bool,
}

impl Default for Pending {
    fn default() -> Self {
        let (operations, open, loads) = (VecDeque::new(), BTreeMap::new(), HashMap::new());
        Self { operations, queued: 0, open, loads, tickets: 0, available: true }
    }
}

impl Operation {
    /// Bytes that it takes, about.
    fn size(&self) -> usize {
        size_of::<(Ticket, Self)>() + if let Self::Save { text, .. } = self { text.len() } else { 0 }
    }
}

impl Pending {
    // ---- For the exchange

    /// Asks for the first of these sessions that the store has. A client may send several
    /// identifiers, for example with a cookie of another path. The connection `waiter` is woken
    /// when the reply is there.
    ///
    /// # Errors
    /// If the store takes no operations now.
    ///
    /// # Panics
    /// If there is no identifier.
    pub fn load(&mut self, ids: &[Id], waiter: Handle, time: Time) -> Result<Ticket, Unavailable> {
        let (first, further) = ids.split_first().expect("an identifier");
        let ticket = self.enqueue(Operation::Load(*first), Some(*first), waiter, time)?;
        if let Some(open) = self.open.get_mut(&ticket) {
            open.further = further.iter().rev().copied().collect();
        }
        self.loads.entry(*first).or_default().count += 1;
        Ok(ticket)
    }

    /// Asks for a session to be stored or removed.
    ///
    /// # Errors
    /// If the store takes no operations now.
    pub fn save(&mut self, operation: Operation, waiter: Handle, time: Time) -> Result<Ticket, Unavailable> {
        let (removed, stored) = match &operation {
            Operation::Load(_) => (None, None),
            Operation::End(id) => (Some(*id), None),
            Operation::Save { id, was, text, .. } => (was.filter(|was| was != id), Some((*id, text.clone()))),
        };
        let ticket = self.enqueue(operation, None, waiter, time)?;
        let changes = [removed.map(|id| (id, None)), stored.map(|(id, text)| (id, Some(text)))];
        for (id, text) in changes.into_iter().flatten() {
            if let Some(loads) = self.loads.get_mut(&id) {
                loads.overridden = Some((ticket, text));
            }
        }
        Ok(ticket)
    }

    /// Takes the result, if it is there. The ticket is then invalid.
    pub fn take(&mut self, ticket: Ticket) -> Option<StoreResult> {
        // An unknown ticket never gets a reply.
        let Some(open) = self.open.get_mut(&ticket) else { return Some(StoreResult::Failed) };
        let settled = match (open.reply.take()?, open.loads) {
            (Reply::Loaded(text), Some(id)) => match self.loads.get(&id) {
                Some(Loads { overridden: Some((by, text)), .. }) if ticket < *by => {
                    StoreResult::Loaded(id, text.clone())
                }
                _ => StoreResult::Loaded(id, text),
            },
            (Reply::Saved, None) => StoreResult::Saved,
            // A reply of the wrong kind is an error.
            _ => StoreResult::Failed,
        };
        self.forget(ticket);
        Some(settled)
    }

    /// Drops a ticket; no exchange waits for it any more.
    pub fn forget(&mut self, ticket: Ticket) {
        if let Some(Open { loads: Some(id), .. }) = self.open.remove(&ticket) {
            self.forget_load(id);
        }
    }

    fn forget_load(&mut self, id: Id) {
        if let Some(loads) = self.loads.get_mut(&id) {
            loads.count -= 1;
            if loads.count == 0 {
                self.loads.remove(&id);
            }
        }
    }

    // ---- For the store's client

    /// The next operation to send. A load that no exchange waits for is skipped; a save is never
    /// skipped.
    pub fn next_operation(&mut self) -> Option<(Ticket, Operation)> {
        loop {
            let (ticket, operation) = self.operations.pop_front()?;
            self.queued -= operation.size();
            if self.open.contains_key(&ticket) || !matches!(operation, Operation::Load(_)) {
                return Some((ticket, operation));
            }
        }
    }

    /// Passes on the reply to an operation. Returns the connection to wake, if one still waits and
    /// nothing further is to be asked for it.
    pub fn answer(&mut self, ticket: Ticket, reply: Reply) -> Option<Handle> {
        let open = self.open.get_mut(&ticket)?;
        if reply == Reply::Loaded(None)
            && let Some(id) = open.loads
            && self.loads.get(&id).is_none_or(|loads| loads.overridden.is_none())
            && let Some(next) = open.further.pop()
        {
            open.loads = Some(next);
            self.loads.entry(next).or_default().count += 1;
            self.forget_load(id);
            let operation = Operation::Load(next);
            self.queued += operation.size();
            self.operations.push_back((ticket, operation));
            return None;
        }
        open.reply.get_or_insert(reply);
        Some(open.waiter)
    }

    /// When the first exchange gives up waiting. If the store hasn't replied by then, its
    /// client should try another connection.
    pub fn deadline(&self) -> Option<Tick> {
        self.open.values().find(|open| open.reply.is_none()).map(|open| open.deadline)
    }

    /// Allows operations.
    pub fn available(&mut self) {
        self.available = true;
    }

    /// Refuses operations until the store is [`available`](Self::available) again. All pending
    /// ones fail. Returns the connections to wake.
    pub fn unavailable(&mut self) -> Vec<Handle> {
        self.available = false;
        self.operations.clear();
        self.queued = 0;
        let waiting = self.open.values_mut().filter(|open| open.reply.is_none());
        waiting
            .map(|open| {
                open.reply = Some(Reply::Failed);
                open.waiter
            })
            .collect()
    }

    /// How many results are pending or were not taken yet.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn enqueue(
        &mut self,
        operation: Operation,
        loads: Option<Id>,
        waiter: Handle,
        time: Time,
    ) -> Result<Ticket, Unavailable> {
        let size = operation.size();
        if !self.available || self.queued + size > limits::SESSION_STORE_QUEUE {
            return Err(Unavailable);
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.queued += size;
        self.operations.push_back((ticket, operation));
        let deadline = time.now.after(limits::SESSION_STORE_TIMEOUT);
        self.open.insert(ticket, Open { waiter, deadline, loads, further: Vec::new(), reply: None });
        Ok(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time { now: Tick::from_micros(millis * 1000), ..Time::default() }
    }

    fn waiter(number: u32) -> Handle {
        Handle::for_test(number)
    }

    fn text(count: i64) -> Vec<u8> {
        format!("{{\"count\":{count}}}").into_bytes()
    }

    fn save(pending: &mut Pending, id: Id, was: Option<Id>, count: i64) -> Ticket {
        let operation = Operation::Save { id, was, text: text(count), seconds: 60 };
        pending.save(operation, waiter(9), at(0)).unwrap()
    }

    /// The result of a load; the store has `count`.
    fn reply_with(pending: &mut Pending, ticket: Ticket, count: i64) -> Option<Vec<u8>> {
        pending.answer(ticket, Reply::Loaded(Some(text(count))));
        take_text(pending, ticket)
    }

    fn take_text(pending: &mut Pending, ticket: Ticket) -> Option<Vec<u8>> {
        match pending.take(ticket) {
            Some(StoreResult::Loaded(_, text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_session_that_the_store_has_is_loaded() {
        let mut pending = Pending::default();
        let [a, b, c] = [(); 3].map(|()| Id::new());
        let ticket = pending.load(&[a, b, c], waiter(1), at(0)).unwrap();
        assert_eq!(pending.next_operation(), Some((ticket, Operation::Load(a))));
        assert_eq!(pending.answer(ticket, Reply::Loaded(None)), None, "there is another one to ask for");
        assert_eq!((pending.take(ticket), pending.next_operation()), (None, Some((ticket, Operation::Load(b)))));
        assert_eq!(pending.answer(ticket, Reply::Loaded(Some(text(1)))), Some(waiter(1)));
        assert_eq!(pending.take(ticket), Some(StoreResult::Loaded(b, Some(text(1)))));
        assert!(pending.is_empty() && pending.loads.is_empty() && pending.queued == 0);

        let ticket = pending.load(&[a, b], waiter(1), at(0)).unwrap();
        pending.answer(ticket, Reply::Loaded(None));
        assert_eq!(pending.answer(ticket, Reply::Loaded(None)), Some(waiter(1)));
        assert_eq!(pending.take(ticket), Some(StoreResult::Loaded(b, None)));

        // A failure is no missing session, and what another request saves is found.
        let ticket = pending.load(&[a, b], waiter(1), at(0)).unwrap();
        assert_eq!(pending.answer(ticket, Reply::Failed), Some(waiter(1)));
        assert_eq!(pending.take(ticket), Some(StoreResult::Failed));
        let ticket = pending.load(&[a, b], waiter(1), at(0)).unwrap();
        save(&mut pending, a, None, 7);
        assert_eq!(pending.answer(ticket, Reply::Loaded(None)), Some(waiter(1)));
        assert_eq!(pending.take(ticket), Some(StoreResult::Loaded(a, Some(text(7)))));
        let ticket = pending.load(&[a, b], waiter(1), at(0)).unwrap();
        pending.answer(ticket, Reply::Loaded(None));
        pending.forget(ticket);
        assert!(pending.loads.is_empty(), "the load of b is forgotten too");
    }

    #[test]
    fn a_operation_is_sent_and_its_reply_is_returned() {
        let mut pending = Pending::default();
        let (a, b) = (Id::new(), Id::new());
        let load = pending.load(&[a], waiter(1), at(0)).unwrap();
        let end = pending.save(Operation::End(b), waiter(2), at(100)).unwrap();
        assert_eq!(pending.deadline(), Some(Tick::from_micros(500_000)));
        assert_eq!(pending.next_operation(), Some((load, Operation::Load(a))));
        assert_eq!(pending.next_operation(), Some((end, Operation::End(b))));
        assert_eq!((pending.next_operation(), pending.queued), (None, 0));
        assert_eq!(pending.take(load), None, "not there yet");
        assert_eq!(pending.answer(load, Reply::Loaded(None)), Some(waiter(1)));
        assert_eq!(pending.deadline(), Some(Tick::from_micros(600_000)), "the deadline of the other operation");
        assert_eq!(pending.take(load), Some(StoreResult::Loaded(a, None)));
        assert_eq!(pending.answer(end, Reply::Saved), Some(waiter(2)));
        // Only the first reply counts.
        pending.answer(end, Reply::Failed);
        assert_eq!((pending.take(end), pending.deadline()), (Some(StoreResult::Saved), None));
        assert_eq!(pending.take(end), Some(StoreResult::Failed), "a result can be taken once");
        assert!(pending.is_empty() && pending.loads.is_empty());
    }

    #[test]
    fn a_dropped_ticket_wakes_nothing_and_its_load_is_not_sent() {
        let mut pending = Pending::default();
        let id = Id::new();
        let load = pending.load(&[id], waiter(1), at(0)).unwrap();
        let saved = save(&mut pending, id, Some(id), 1);
        pending.forget(load);
        pending.forget(saved);
        pending.forget(saved);
        assert!(matches!(pending.next_operation(), Some((ticket, Operation::Save { .. })) if ticket == saved));
        assert_eq!((pending.next_operation(), pending.queued), (None, 0));
        assert_eq!(pending.answer(saved, Reply::Saved), None);
        assert!(pending.is_empty() && pending.loads.is_empty());
    }

    #[test]
    fn a_save_overrides_earlier_loads() {
        let mut pending = Pending::default();
        let (id, other) = (Id::new(), Id::new());
        let [first, second, third] = [(); 3].map(|()| pending.load(&[id], waiter(1), at(0)).unwrap());
        let elsewhere = pending.load(&[other], waiter(2), at(0)).unwrap();
        // The first saves while the second has its reply and the third still waits for its own.
        pending.answer(second, Reply::Loaded(Some(text(1))));
        assert_eq!(reply_with(&mut pending, first, 1), Some(text(1)));
        save(&mut pending, id, Some(id), 2);
        assert_eq!(take_text(&mut pending, second), Some(text(2)));
        save(&mut pending, id, Some(id), 3);
        let later = pending.load(&[id], waiter(1), at(0)).unwrap();
        assert_eq!(reply_with(&mut pending, third, 1), Some(text(3)));
        // A load after the save gets the reply of the store: another process may have changed it.
        assert_eq!(reply_with(&mut pending, later, 7), Some(text(7)));
        assert_eq!(reply_with(&mut pending, elsewhere, 8), Some(text(8)));
        assert!(pending.loads.is_empty());
    }

    #[test]
    fn an_earlier_load_finds_no_ended_or_renewed_session() {
        for end in [true, false] {
            let mut pending = Pending::default();
            let (id, new) = (Id::new(), Id::new());
            let load = pending.load(&[id], waiter(1), at(0)).unwrap();
            let on_new = pending.load(&[new], waiter(1), at(0)).unwrap();
            if end {
                pending.save(Operation::End(id), waiter(2), at(0)).unwrap();
            } else {
                save(&mut pending, new, Some(id), 2);
            }
            assert_eq!(reply_with(&mut pending, load, 1), None);
            assert_eq!(reply_with(&mut pending, on_new, 5), Some(text(if end { 5 } else { 2 })));
        }
    }

    #[test]
    fn a_failed_load_stays_failed_after_a_save() {
        let mut pending = Pending::default();
        let id = Id::new();
        let load = pending.load(&[id], waiter(1), at(0)).unwrap();
        save(&mut pending, id, Some(id), 2);
        pending.answer(load, Reply::Failed);
        assert_eq!(pending.take(load), Some(StoreResult::Failed));
    }

    #[test]
    fn a_lost_store_fails_all_pending_operations_and_refuses_new_ones() {
        let mut pending = Pending::default();
        let id = Id::new();
        let there = pending.load(&[id], waiter(1), at(0)).unwrap();
        pending.answer(there, Reply::Loaded(None));
        let load = pending.load(&[id], waiter(2), at(0)).unwrap();
        let saved = save(&mut pending, id, None, 1);
        assert_eq!(pending.unavailable(), [waiter(2), waiter(9)]);
        assert_eq!((pending.next_operation(), pending.queued, pending.deadline()), (None, 0, None));
        assert_eq!(pending.load(&[id], waiter(1), at(0)), Err(Unavailable));
        assert_eq!(pending.take(load), Some(StoreResult::Failed));
        assert_eq!(pending.take(saved), Some(StoreResult::Failed));
        assert_eq!(take_text(&mut pending, there), Some(text(1)), "an earlier reply stays");
        pending.available();
        assert!(pending.load(&[id], waiter(1), at(0)).is_ok());
    }

    #[test]
    fn the_queue_of_operations_is_limited() {
        let mut pending = Pending::default();
        let mut count = 0;
        while let Ok(ticket) = pending.load(&[Id::new()], waiter(1), at(0)) {
            pending.forget(ticket);
            count += 1;
        }
        assert!(count > 10_000 && pending.queued <= limits::SESSION_STORE_QUEUE, "{count}");
        assert_eq!((pending.next_operation(), pending.queued), (None, 0));
    }
}
