//! Which upstream is asked next.
//!
//! Of those that work it is the one with the fewest requests for its weight: with weights 3 and 1 the
//! first has three requests while the second has one.

use std::rc::Rc;

use super::{CacheRules, InFlight, Upstream};
use crate::reactor::Tick;

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

impl Proxy {
    /// The upstream for a request: of those that work the one with the fewest requests for its weight,
    /// but none of those that were `tried` already. If none works, the one whose pause is over first.
    /// None if all were tried.
    pub fn choose(&self, tried: &[*const Upstream], now: Tick) -> Option<InFlight> {
        let candidates = self.upstreams.iter().filter(|upstream| !tried.contains(&Rc::as_ptr(upstream)));
        let chosen = candidates.min_by(|one, other| {
            one.paused_until(now).cmp(&other.paused_until(now)).then_with(|| one.compare_load(other))
        });
        chosen.map(InFlight::begin)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::proxying::UpstreamTimeouts;
    use crate::reactor::Endpoint;
    use crate::service::proxy::Addresses;

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
    #[test]
    fn the_weight_is_a_share_of_the_requests() {
        let weighted = |name: &str, weight| Rc::new(Rc::into_inner(upstream(name)).unwrap().with_weight(weight));
        let upstreams = vec![weighted("1", 1), weighted("2", 3)];
        let (pseudonym, body_limit) = ("a".to_owned(), None);
        let proxy =
            Proxy { upstreams, pseudonym, body_limit, strip: false, own_host: false, is_forward: false, cache: None };
        let all: Vec<InFlight> = (0..8).map(|_| proxy.choose(&[], Tick::default()).unwrap()).collect();
        let urls: Vec<&str> = all.iter().map(|one| &*one.upstream().url).collect();
        assert_eq!(urls, ["2", "2", "1", "2", "2", "2", "1", "2"]);
    }
}
