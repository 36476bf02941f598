//! The link to a remote store of sessions: whether there is a connection, and when it may
//! be opened again.

use std::net::SocketAddr;
use std::time::Duration;

use super::SessionStoreClient;
use crate::reactor::{Dial, Endpoint, Handle, Tick, TlsClient};
use crate::service::Service;
use crate::session::remote::StoreUrl;

/// The first pause after a failure; each further one is twice as long.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause: how late a recovery is noticed.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The link to a remote store.
pub struct SessionStoreLink {
    url: StoreUrl,
    addresses: Vec<SocketAddr>,
    tls: Option<TlsClient>,
    /// The next address to try, and how many failed since the last success.
    next: usize,
    tried: usize,
    pub(super) state: State,
    pub(super) pause: Duration,
    /// The failure was logged.
    pub(super) failing: bool,
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
    /// A link to the store at `url`, which has these addresses.
    pub fn new(url: StoreUrl, addresses: Vec<SocketAddr>, tls: Option<TlsClient>) -> Self {
        let state = State::Absent(Tick::default());
        Self { url, addresses, tls, next: 0, tried: 0, state, pause: PAUSE, failing: false }
    }

    /// How to connect, and the protocol of a new connection.
    ///
    /// # Panics
    /// If the store has no address.
    pub fn connect(&mut self, now: Tick) -> (Dial, Service) {
        self.state = State::Connecting;
        let address = self.addresses[self.next];
        let to = Dial { endpoint: Endpoint::Tcp(address), tls: self.tls.clone() };
        (to, Service::SessionStore(Box::new(SessionStoreClient::new(&self.url, now))))
    }

    /// Whether the last attempt to reach the store has failed.
    pub fn is_failing(&self) -> bool {
        self.failing
    }

    /// Whether an address is left that wasn't tried since the last success.
    pub(super) fn try_another(&mut self) -> bool {
        self.next_address();
        self.tried = (self.tried + 1) % self.addresses.len();
        self.tried > 0
    }

    /// Uses the next address from now on.
    pub(super) fn next_address(&mut self) {
        self.next = (self.next + 1) % self.addresses.len();
    }

    pub(super) fn failed(&mut self, now: Tick, why: &str) {
        if !self.failing {
            log::warn!("the session store at {} is unavailable: {why}", self.url);
        }
        log::debug!("{}: {why}; retry after {:?}", self.url, self.pause);
        self.failing = true;
        self.state = State::Absent(now.after(self.pause));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    pub(super) fn works(&mut self) {
        if self.failing {
            log::info!("the session store at {} is available again", self.url);
        }
        self.failing = false;
        self.pause = PAUSE;
        self.tried = 0;
    }
}
