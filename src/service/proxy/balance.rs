//! Which upstream is asked next.
//!
//! Of those that work it is the one with the fewest requests for its weight: with weights 3 and 1 the
//! first has three requests while the second has one. Of equals, as while there are few requests, each has
//! its turn: of four requests one after the other the first gets three.
//!
//! Turns are those of start-time fair queueing. Each upstream has a time of its own, at which it is asked next; a
//! request moves it on by a step that is the shorter, the larger the weight is. The proxy's time is that of the
//! upstream that was asked last. One that was out for a while begins at that time, and isn't asked for all that
//! it has missed.

use std::cell::Cell;
use std::rc::Rc;

use super::{CacheRules, ExchangeId, InFlight, Place, Queue, Upstream};
use crate::http::proxying::UpstreamFailure;
use crate::reactor::Tick;

/// What answers the requests below a path: one of these upstreams.
pub struct Proxy {
    /// The upstreams.
    pub upstreams: Vec<Rc<Upstream>>,
    /// Most requests that one of them has at the same time.
    pub max_in_flight: usize,
    /// The turn at which an upstream was asked last.
    pub turn: Cell<u64>,
    /// Those that wait.
    pub queue: Rc<Queue>,
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

/// What a request gets.
pub enum Chosen {
    /// An upstream.
    Upstream(InFlight),
    /// A place in the queue: each upstream has as many requests as it should have.
    Waits(Place),
}

impl Chosen {
    /// The upstream, if there is one.
    pub fn upstream(&self) -> Option<&Rc<Upstream>> {
        match self {
            Self::Upstream(in_flight) => Some(in_flight.upstream()),
            Self::Waits(_) => None,
        }
    }
}

impl Proxy {
    /// A proxy to these upstreams that passes on everything.
    pub fn new(upstreams: Vec<Rc<Upstream>>, pseudonym: String) -> Self {
        Self {
            upstreams,
            max_in_flight: usize::MAX,
            turn: Cell::default(),
            queue: Rc::default(),
            pseudonym,
            body_limit: None,
            strip: false,
            own_host: false,
            is_forward: false,
            cache: None,
        }
    }

    /// The upstream for a request, or a place in the queue. None of those that were `tried` already
    /// is chosen.
    ///
    /// # Errors
    /// If all were tried or are down, or if too many requests wait.
    pub fn choose(
        &self,
        tried: &[*const Upstream],
        exchange: ExchangeId,
        now: Tick,
    ) -> Result<Chosen, UpstreamFailure> {
        if self.candidates(tried).next().is_none() {
            return Err(UpstreamFailure::NoneHealthy);
        }
        match self.take(tried, exchange, now) {
            Some(in_flight) => Ok(Chosen::Upstream(in_flight)),
            None => self.queue.enter(exchange, now).map(Chosen::Waits).ok_or(UpstreamFailure::Busy),
        }
    }

    /// The upstream for a request: of those that work the one with the fewest requests for its weight.
    /// If none works, the one whose pause is over first. None if all have as many requests as they
    /// should have, or if others have waited longer.
    pub fn take(&self, tried: &[*const Upstream], exchange: ExchangeId, now: Tick) -> Option<InFlight> {
        if !self.queue.is_turn_of(exchange) {
            return None;
        }
        let candidates = self.candidates(tried).filter(|upstream| upstream.in_flight() < self.max_in_flight);
        let chosen = candidates.min_by(|one, other| {
            one.paused_until(now).cmp(&other.paused_until(now)).then_with(|| one.compare_load(other))
        });
        let chosen = chosen?;
        self.turn.set(chosen.take_turn(self.turn.get()));
        Some(InFlight::begin(chosen))
    }

    fn candidates(&self, tried: &[*const Upstream]) -> impl Iterator<Item = &Rc<Upstream>> {
        self.upstreams.iter().filter(|upstream| !upstream.is_down() && !tried.contains(&Rc::as_ptr(upstream)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::proxying::{Server, UpstreamTimeouts};
    use crate::reactor::{Endpoint, Handle};
    use crate::service::proxy::Addresses;

    fn upstream(name: &str) -> Rc<Upstream> {
        let second = Duration::from_secs(1);
        let timeouts = UpstreamTimeouts { connect: second, response: second, idle: second, tunnel: second };
        let addresses = Addresses::at(Endpoint::Unix(name.into()));
        Rc::new(Upstream::new(name.to_owned(), Server::new(false, b"a").unwrap(), addresses, None, timeouts))
    }

    const EXCHANGE: ExchangeId = ExchangeId { client: Handle::for_test(1), request: 1 };

    fn proxy(upstreams: Vec<Rc<Upstream>>, max_in_flight: usize) -> Proxy {
        Proxy { max_in_flight, ..Proxy::new(upstreams, "a".to_owned()) }
    }

    #[test]
    fn the_upstream_with_the_fewest_requests_is_asked_and_one_that_fails_is_spared() {
        let (one, two) = (upstream("1"), upstream("2"));
        let upstreams = vec![Rc::clone(&one), Rc::clone(&two)];
        let proxy = proxy(upstreams, usize::MAX);
        let at = |seconds: u64| Tick::from_micros(seconds * 1_000_000);
        let first = proxy.take(&[], EXCHANGE, at(0)).unwrap();
        assert_eq!(first.upstream().url, "1");
        let second = proxy.take(&[], EXCHANGE, at(0)).unwrap();
        assert_eq!(second.upstream().url, "2");
        drop(first);
        assert_eq!(proxy.take(&[], EXCHANGE, at(0)).unwrap().upstream().url, "1");
        one.failed(UpstreamFailure::Refused, at(0));
        assert_eq!(proxy.take(&[], EXCHANGE, at(0)).unwrap().upstream().url, "2");
        assert_eq!(proxy.take(&[Rc::as_ptr(&two)], EXCHANGE, at(0)).unwrap().upstream().url, "1", "there is no other");
        let none = proxy.choose(&[Rc::as_ptr(&two), Rc::as_ptr(&one)], EXCHANGE, at(0));
        assert!(matches!(none, Err(UpstreamFailure::NoneHealthy)));
        assert_eq!(proxy.take(&[], EXCHANGE, at(2)).unwrap().upstream().url, "1", "the pause is over");
        one.failed(UpstreamFailure::Refused, at(2));
        assert_eq!(proxy.take(&[], EXCHANGE, at(3)).unwrap().upstream().url, "2", "the pause is longer");
        one.works(at(2));
        assert_eq!(proxy.take(&[], EXCHANGE, at(3)).unwrap().upstream().url, "1");
    }
    #[test]
    fn the_weight_is_a_share_of_the_requests() {
        let weighted = |name: &str, weight| Rc::new(Rc::into_inner(upstream(name)).unwrap().with_weight(weight));
        let upstreams = vec![weighted("1", 1), weighted("2", 3)];
        let proxy = proxy(upstreams, usize::MAX);
        let all: Vec<InFlight> = (0..8).map(|_| proxy.take(&[], EXCHANGE, Tick::default()).unwrap()).collect();
        let urls: Vec<&str> = all.iter().map(|one| &*one.upstream().url).collect();
        assert_eq!(urls, ["1", "2", "2", "2", "1", "2", "2", "2"]);
    }
    #[test]
    fn of_upstreams_without_requests_each_has_its_turn() {
        let weighted = |name: &str, weight| Rc::new(Rc::into_inner(upstream(name)).unwrap().with_weight(weight));
        let (one, two) = (weighted("1", 1), weighted("2", 3));
        let proxy = proxy(vec![Rc::clone(&one), two], usize::MAX);
        let at = |seconds: u64| Tick::from_micros(seconds * 1_000_000);
        let ask = |count: usize, now| -> String {
            (0..count).map(|_| proxy.take(&[], EXCHANGE, now).unwrap().upstream().url.clone()).collect()
        };
        assert_eq!(ask(8, at(0)), "12221222");
        one.failed(UpstreamFailure::Refused, at(0));
        assert_eq!(ask(8, at(0)), "22222222");
        assert_eq!(ask(8, at(2)), "12212221", "it doesn't get what it has missed");
    }
    #[test]
    fn requests_wait_in_their_order_while_all_upstreams_have_enough() {
        let proxy = proxy(vec![upstream("1"), upstream("2")], 1);
        let exchange = |request| ExchangeId { request, ..EXCHANGE };
        let choose = |request| proxy.choose(&[], exchange(request), Tick::default()).unwrap();
        let take = |request| proxy.take(&[], exchange(request), Tick::default());
        let (one, two) = (take(1).unwrap(), take(2).unwrap());
        let (Chosen::Waits(third), Chosen::Waits(_fourth)) = (choose(3), choose(4)) else { panic!("they don't wait") };
        assert!(take(3).is_none());
        drop(two);
        assert!(take(4).is_none() && matches!(choose(5), Chosen::Waits(_)), "it isn't their turn");
        let two = take(3).unwrap();
        assert_eq!(two.upstream().url, "2");
        drop(third);
        assert!(take(4).is_none());
        drop(one);
        assert_eq!(take(4).unwrap().upstream().url, "1");
    }
}
