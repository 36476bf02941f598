//! The link to a remote store of sessions: whether there is a connection, and when it may
//! be opened again.

use std::cell::{Cell, RefMut};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::SessionStoreClient;
use crate::reactor::{Dial, Endpoint, Handle, Tick, TlsClient};
use crate::service::Service;
use crate::session::pending::Pending;
use crate::session::remote::StoreUrl;
use crate::session::{SharedStore, Store};

/// The first pause after a failure; each further one is twice as long.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause: how late a recovery is noticed.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The link to a remote store. The hosts whose sessions are there share it with the connection
/// to the store, so it is gone when both are.
pub struct SessionStoreLink {
    url: StoreUrl,
    addresses: Vec<SocketAddr>,
    tls: Option<TlsClient>,
    store: Rc<SharedStore>,
    /// The next address to try, and how many failed since the last success.
    next: Cell<usize>,
    tried: Cell<usize>,
    pub(super) state: Cell<State>,
    pub(super) pause: Cell<Duration>,
    /// The failure was logged.
    pub(super) failing: Cell<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// There is no connection, and none is opened before this time.
    Absent(Tick),
    /// A connection is being opened. It will take the pending operations.
    Connecting,
    Open(Handle),
}

impl SessionStoreLink {
    /// A link to the store at `url`, which has these addresses. `store` has its pending
    /// operations.
    pub fn new(url: StoreUrl, addresses: Vec<SocketAddr>, tls: Option<TlsClient>, store: Rc<SharedStore>) -> Rc<Self> {
        let (next, tried) = (Cell::default(), Cell::default());
        let state = Cell::new(State::Absent(Tick::default()));
        let (pause, failing) = (Cell::new(PAUSE), Cell::default());
        Rc::new(Self { url, addresses, tls, store, next, tried, state, pause, failing })
    }

    /// Where the store is.
    pub(super) fn url(&self) -> &StoreUrl {
        &self.url
    }

    /// Allows operations again after a pause.
    pub(super) fn allow_retry(&self, now: Tick) {
        if let State::Absent(until) = self.state.get()
            && until <= now
            && let Some(mut pending) = self.pending()
        {
            pending.available();
        }
    }

    /// The pending operations.
    pub(super) fn pending(&self) -> Option<RefMut<'_, Pending>> {
        RefMut::filter_map(self.store.borrow(), Store::pending).ok()
    }

    /// How to connect, and the protocol of a new connection.
    ///
    /// # Panics
    /// If the store has no address.
    pub fn connect(self: &Rc<Self>, now: Tick) -> (Dial, Service) {
        self.state.set(State::Connecting);
        let address = self.addresses[self.next.get()];
        let to = Dial { endpoint: Endpoint::Tcp(address), tls: self.tls.clone() };
        (to, Service::SessionStore(Box::new(SessionStoreClient::new(Rc::clone(self), now))))
    }

    /// Whether the last attempt to reach the store has failed.
    pub fn is_failing(&self) -> bool {
        self.failing.get()
    }

    /// Whether an address is left that wasn't tried since the last success.
    pub(super) fn try_another(&self) -> bool {
        self.next_address();
        self.tried.set((self.tried.get() + 1) % self.addresses.len());
        self.tried.get() > 0
    }

    /// Uses the next address from now on.
    pub(super) fn next_address(&self) {
        self.next.set((self.next.get() + 1) % self.addresses.len());
    }

    pub(super) fn failed(&self, now: Tick, why: &str) {
        let pause = self.pause.get();
        if !self.failing.replace(true) {
            log::warn!("the session store at {} is unavailable: {why}", self.url);
        }
        log::debug!("{}: {why}; retry after {pause:?}", self.url);
        self.state.set(State::Absent(now.after(pause)));
        self.pause.set((pause * 2).min(LONGEST_PAUSE));
    }

    pub(super) fn works(&self) {
        if self.failing.replace(false) {
            log::info!("the session store at {} is available again", self.url);
        }
        self.pause.set(PAUSE);
        self.tried.set(0);
    }
}
