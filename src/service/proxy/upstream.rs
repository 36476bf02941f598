//! The servers behind a gateway: where they are, which one is asked next, and their idle
//! connections.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::time::Duration;

use super::{Addresses, CacheRules};
use crate::http::proxying::UpstreamTimeouts;
use crate::limits;
use crate::reactor::{Handle, Tick, TlsClient};

/// How long an upstream that failed isn't asked, if there is another one: after the first failure,
/// and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What answers the requests below a path: one of these upstreams.
pub struct Proxy {
    /// The upstreams.
    pub upstreams: Vec<Rc<Upstream>>,
    /// The name of this server in Via. No other server has it.
    pub pseudonym: String,
    /// Most bytes of a request's content; none: no limit.
    pub body_limit: Option<u64>,
    /// The prefix is taken off the path.
    pub strip: bool,
    /// They get their own names in the Host field, and not that of the client.
    pub own_host: bool,
    /// Its client chose the upstream, which isn't told who that is. What the upstream says about
    /// itself is passed on.
    pub is_forward: bool,
    /// How responses are stored, if they are.
    pub cache: Option<Rc<CacheRules>>,
}

/// A server behind the gateway.
pub struct Upstream {
    /// Its URL, for messages.
    pub url: String,
    /// Its host and port, for the Host field.
    pub authority: String,
    addresses: RefCell<Addresses>,
    tls: Option<TlsClient>,
    timeouts: UpstreamTimeouts,
    /// Requests that it has not answered completely.
    in_flight: Cell<usize>,
    idle: RefCell<Vec<Handle>>,
    /// It failed, and isn't asked before this moment if there is another one.
    paused: Cell<Option<(Tick, Duration)>>,
}

/// A request that an upstream has; it counts until this is dropped.
pub struct InFlight(Rc<Upstream>);

impl InFlight {
    pub(super) fn begin(upstream: &Rc<Upstream>) -> Self {
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

impl Proxy {
    /// The upstream for a request: of those that work the one with the fewest requests, but none of
    /// those that were `tried` already. If none works, the one whose pause is over first. None if
    /// all were tried.
    pub fn choose(&self, tried: &[*const Upstream], now: Tick) -> Option<InFlight> {
        let candidates = self.upstreams.iter().filter(|upstream| !tried.contains(&Rc::as_ptr(upstream)));
        let chosen = candidates.min_by_key(|upstream| {
            let paused = upstream.paused.get().map(|(until, _)| until).filter(|until| *until > now);
            (paused, upstream.in_flight.get())
        });
        chosen.map(InFlight::begin)
    }
}

impl Upstream {
    /// An upstream at these addresses.
    pub fn new(
        url: String,
        authority: String,
        addresses: Addresses,
        tls: Option<TlsClient>,
        timeouts: UpstreamTimeouts,
    ) -> Self {
        let (in_flight, idle, paused) = (Cell::new(0), RefCell::default(), Cell::new(None));
        let addresses = RefCell::new(addresses);
        Self { url, authority, addresses, tls, timeouts, in_flight, idle, paused }
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
    pub(crate) fn failed(&self, now: Tick) {
        let pause = self.paused.get().map_or(PAUSE, |(_, pause)| (pause * 2).min(LONGEST_PAUSE));
        if self.paused.get().is_none() {
            log::warn!("the upstream {} fails", self.url);
        }
        self.paused.set(Some((now.after(pause), pause)));
    }

    /// It has responded.
    pub(super) fn works(&self) {
        if self.paused.take().is_some() {
            log::info!("the upstream {} works again", self.url);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::Endpoint;

    fn upstream(name: &str) -> Rc<Upstream> {
        let second = Duration::from_secs(1);
        let timeouts = UpstreamTimeouts { connect: second, response: second, idle: second, tunnel: second };
        let addresses = Addresses::at(Endpoint::Unix(name.into()));
        Rc::new(Upstream::new(name.to_owned(), name.to_owned(), addresses, None, timeouts))
    }

    #[test]
    fn the_upstream_with_the_fewest_requests_is_asked_and_one_that_fails_is_spared() {
        let (one, two) = (upstream("1"), upstream("2"));
        let upstreams = vec![Rc::clone(&one), Rc::clone(&two)];
        let (pseudonym, body_limit) = ("a".to_owned(), None);
        let proxy =
            Proxy { upstreams, pseudonym, body_limit, strip: false, own_host: false, is_forward: false, cache: None };
        let at = |seconds: u64| Tick::from_micros(seconds * 1_000_000);
        let first = proxy.choose(&[], at(0)).unwrap();
        assert_eq!(first.upstream().url, "1");
        let second = proxy.choose(&[], at(0)).unwrap();
        assert_eq!(second.upstream().url, "2");
        drop(first);
        assert_eq!(proxy.choose(&[], at(0)).unwrap().upstream().url, "1");
        one.failed(at(0));
        assert_eq!(proxy.choose(&[], at(0)).unwrap().upstream().url, "2");
        assert_eq!(proxy.choose(&[Rc::as_ptr(&two)], at(0)).unwrap().upstream().url, "1", "there is no other");
        assert!(proxy.choose(&[Rc::as_ptr(&two), Rc::as_ptr(&one)], at(0)).is_none());
        assert_eq!(proxy.choose(&[], at(2)).unwrap().upstream().url, "1", "the pause is over");
        one.failed(at(2));
        assert_eq!(proxy.choose(&[], at(3)).unwrap().upstream().url, "2", "the pause is longer");
        one.works();
        assert_eq!(proxy.choose(&[], at(3)).unwrap().upstream().url, "1");
    }
}
