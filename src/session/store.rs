//! The list of stores, and what they return.
//!
//! A local store returns its result at once (`Now`). For the result of a disk or of a
//! remote store there is a ticket (`Later`): the exchange waits for it, with a deadline.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use super::Session;
use super::disk_store::DiskStore;
use super::memory::Memory;
use super::pending::{Pending, Ticket};
use super::signed::Signed;

/// Where sessions are stored.
pub enum Store {
    /// In memory, until the process ends.
    Memory(Memory),
    /// In the client's cookie.
    Signed(Signed),
    /// On disk.
    Disk(DiskStore),
    /// In a remote store.
    Remote(Pending),
}

impl Store {
    /// Sets the most bytes of a store in memory or on disk. What is too much leaves it with the next
    /// sessions.
    pub fn set_capacity(&mut self, size: usize) {
        match self {
            Self::Memory(memory) => memory.set_size(size),
            Self::Disk(disk) => disk.set_capacity(size),
            Self::Signed(_) | Self::Remote(_) => {}
        }
    }

    /// The pending operations, if it is a remote store.
    pub fn pending(&mut self) -> Option<&mut Pending> {
        if let Self::Remote(pending) = self { Some(pending) } else { None }
    }
}

/// A store that hosts share. A reload makes new hosts, but the store stays if its settings do.
pub struct SharedStore(RefCell<Store>);

impl SharedStore {
    /// Shares a store.
    pub fn new(store: Store) -> Rc<Self> {
        Rc::new(Self(RefCell::new(store)))
    }

    /// The store, for one call.
    pub fn borrow(&self) -> RefMut<'_, Store> {
        self.0.borrow_mut()
    }
}

/// The value of a Set-Cookie field; none if the client's cookie stays as it is.
pub type Cookie = Option<String>;

/// The result of loading a session.
#[derive(Debug)]
pub enum LoadResult {
    /// The session; without an identifier if the client has none.
    Now(Session),
    /// The session comes later, with this ticket.
    Later(Ticket),
    /// The store can't be asked.
    Unavailable,
}

/// The result of saving a session.
#[derive(Debug)]
pub enum SaveResult {
    /// It is stored; the response gets this cookie.
    Now(Cookie),
    /// It is stored later, with this ticket; then the response gets this cookie.
    Later(Ticket, Cookie),
    /// It can't be stored.
    Refused(SaveError),
}

/// Why a session can't be stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SaveError {
    /// Its values are larger than the limit.
    TooLarge,
    /// The store can't be asked.
    Unavailable,
}

/// The state of a ticket.
#[derive(Debug)]
pub enum TicketState {
    /// There is no result yet.
    Pending,
    /// The session.
    Loaded(Session),
    /// The session is stored.
    Saved,
    /// The store reported an error.
    Failed,
}
