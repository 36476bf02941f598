//! A server behind a gateway: where it is, its idle connections, and whether it works.

use std::cell::{Cell, RefCell, RefMut};
use std::cmp::Ordering;
use std::rc::Rc;
use std::time::Duration;

use super::health::Health;
use super::outage::Outage;
use super::{Addresses, HealthSettings};
use crate::http::proxying::{Server, UpstreamFailure, UpstreamTimeouts};
use crate::limits;
use crate::reactor::{Handle, Tick, TlsClient};

/// How long an upstream that failed isn't asked, if there is another one: after the first failure,
/// and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The time from one turn of an upstream of weight 1 to its next one: a multiple of all small weights.
const ROUND: u64 = 720_720;

/// A server behind the gateway.
pub struct Upstream {
    /// Its URL, for messages.
    pub url: String,
    /// Its host and port, for the Host field.
    pub authority: String,
    /// What it calls itself if it isn't told another name.
    pub server: Server,
    addresses: RefCell<Addresses>,
    tls: Option<TlsClient>,
    timeouts: UpstreamTimeouts,
    weight: u32,
    /// When it is asked next, compared with others that have as much to do.
    turn: Cell<u64>,
    health_settings: Option<HealthSettings>,
    health: RefCell<Health>,
    /// How often it has failed.
    failures: Cell<u64>,
    /// Requests that it has not answered completely.
    in_flight: Cell<usize>,
    idle: RefCell<Vec<Handle>>,
    /// It failed, and isn't asked before this moment if there is another one.
    paused: Cell<Option<(Tick, Duration)>>,
    outage: Cell<Outage>,
    /// Clients choose it, so what becomes of it is logged for debugging only.
    is_foreign: bool,
}

/// A request that an upstream has; it counts until this is dropped.
pub struct InFlight(Rc<Upstream>);

impl InFlight {
    /// Counts a request of this upstream.
    pub fn begin(upstream: &Rc<Upstream>) -> Self {
        upstream.in_flight.set(upstream.in_flight.get() + 1);
        Self(Rc::clone(upstream))
    }

    /// The upstream.
    pub fn upstream(&self) -> &Rc<Upstream> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
    }
}

impl Upstream {
    /// An upstream at these addresses.
    pub fn new(
        url: String,
        server: Server,
        addresses: Addresses,
        tls: Option<TlsClient>,
        timeouts: UpstreamTimeouts,
    ) -> Self {
        let (in_flight, idle, paused) = (Cell::new(0), RefCell::default(), Cell::new(None));
        let addresses = RefCell::new(addresses);
        Self {
            url,
            authority: server.authority(),
            server,
            addresses,
            tls,
            timeouts,
            weight: 1,
            turn: Cell::default(),
            health_settings: None,
            health: RefCell::default(),
            failures: Cell::default(),
            in_flight,
            idle,
            paused,
            outage: Cell::default(),
            is_foreign: false,
        }
    }

    /// With this weight: it gets so many requests while one of weight 1 gets one.
    ///
    /// # Panics
    /// If it is 0.
    pub fn with_weight(self, weight: u32) -> Self {
        assert!(weight > 0, "an upstream has a weight");
        Self { weight, ..self }
    }

    /// As one that clients choose.
    pub(super) fn foreign(self) -> Self {
        Self { is_foreign: true, ..self }
    }

    /// With checks, if there are settings for them.
    pub fn with_health(self, health_settings: Option<HealthSettings>) -> Self {
        Self { health_settings, ..self }
    }

    /// How it is checked, if it is.
    pub(super) fn health_settings(&self) -> Option<&HealthSettings> {
        self.health_settings.as_ref()
    }

    /// Checks that failed since the last success.
    pub(super) fn failed_checks(&self) -> usize {
        self.health.borrow().failures()
    }

    /// Whether checks have found that it doesn't work.
    pub fn is_down(&self) -> bool {
        self.health.borrow().is_down()
    }

    /// Whether it works as far as is known.
    pub fn is_up(&self) -> bool {
        !self.is_down() && self.paused.get().is_none()
    }

    /// How often a connection, a request or a check has failed.
    pub fn failures(&self) -> u64 {
        self.failures.get()
    }

    /// A check has ended, with a failure if there is one.
    pub(super) fn checked(&self, failure: Option<&str>, now: Tick) {
        let has_changed = self.health.borrow_mut().checked(failure.is_none());
        match (failure, has_changed) {
            (None, true) => log::info!("the upstream {} is up again", self.url),
            (Some(why), true) => log::warn!("the upstream {} is down: {why}", self.url),
            _ => {}
        }
        if failure.is_none() {
            self.works(now);
        } else {
            self.failures.set(self.failures.get() + 1);
        }
    }

    /// Requests that it has not answered completely.
    pub fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Until when it isn't asked if there is another one; none if it works.
    pub(super) fn paused_until(&self, now: Tick) -> Option<Tick> {
        self.paused.get().map(|(until, _)| until).filter(|until| *until > now)
    }

    /// Compares how much each of two has to do for its weight; of equals the one whose turn it is comes first.
    pub(super) fn compare_load(&self, other: &Self) -> Ordering {
        let share = |one: &Self, other: &Self| one.in_flight.get() as u64 * u64::from(other.weight);
        share(self, other).cmp(&share(other, self)).then_with(|| self.turn.cmp(&other.turn))
    }

    /// It is chosen at this turn of its proxy, or at a later one if that is its own. Returns which it was. The
    /// larger its weight, the sooner is its next one.
    pub(super) fn take_turn(&self, present: u64) -> u64 {
        let turn = self.turn.get().max(present);
        self.turn.set(turn.saturating_add(ROUND / u64::from(self.weight)));
        turn
    }

    /// How long it may take.
    pub fn timeouts(&self) -> UpstreamTimeouts {
        self.timeouts
    }

    /// An idle connection to it: the one that was used last.
    pub(crate) fn take_idle(&self) -> Option<Handle> {
        self.idle.borrow_mut().pop()
    }

    /// Keeps a connection that is idle now. False if there are enough.
    pub(super) fn keep_idle(&self, connection: Handle) -> bool {
        let mut idle = self.idle.borrow_mut();
        let fits = idle.len() < limits::UPSTREAM_IDLE_CONNECTIONS;
        if fits {
            idle.push(connection);
        }
        fits
    }

    /// A connection is idle no more.
    pub(super) fn forget_idle(&self, connection: Handle) {
        self.idle.borrow_mut().retain(|idle| *idle != connection);
    }

    /// How connections to it are protected.
    pub(super) fn tls(&self) -> Option<TlsClient> {
        self.tls.clone()
    }

    /// Where it is.
    pub(super) fn addresses(&self) -> RefMut<'_, Addresses> {
        self.addresses.borrow_mut()
    }

    /// It has failed.
    pub(crate) fn failed(&self, why: UpstreamFailure, now: Tick) {
        self.failures.set(self.failures.get() + 1);
        let pause = self.paused.get().map_or(PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
        let mut outage = self.outage.get();
        if outage.failed(now) {
            let level = if self.is_foreign { log::Level::Debug } else { log::Level::Warn };
            log::log!(level, "the upstream {} fails: {why}", self.url);
        }
        self.outage.set(outage);
        self.paused.set(Some((now.after(pause), pause)));
    }

    /// It has responded.
    pub(super) fn works(&self, now: Tick) {
        self.paused.set(None);
        let mut outage = self.outage.get();
        if let Some(failures) = outage.works(now) {
            let level = if self.is_foreign { log::Level::Debug } else { log::Level::Info };
            log::log!(level, "the upstream {} works again, after {failures} failures", self.url);
        }
        self.outage.set(outage);
    }
}
