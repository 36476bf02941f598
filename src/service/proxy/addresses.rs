//! Where an upstream is: its addresses, and the look-ups of its name.
//!
//! ```text
//!  unknown ── a look-up, which the exchange waits for ──▶ known ── 30 s ──▶ out of date
//!                                                           ▲                  │ used, while
//!                                                           └── a look-up ◀────┘ they are
//! ```
//!
//! A look-up runs on a helper thread, and its result waits here until the addresses are used next;
//! the exchange that asked for it may be over by then. If its job was skipped, because its
//! connection is gone, another exchange asks again after a while. A look-up that fails leaves the
//! addresses as they are.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::http::proxying::UpstreamFailure;
use crate::limits;
use crate::names::{self, UnknownHost};
use crate::reactor::{Endpoint, Tick};

/// Which addresses may be asked.
pub type AddressFilter = Rc<dyn Fn(IpAddr) -> bool>;

/// Where an upstream is.
pub struct Addresses {
    /// What is looked up; none if there is nothing to look up.
    name: Option<(String, u16)>,
    may_ask: Option<AddressFilter>,
    /// In the order in which to try.
    known: Vec<Endpoint>,
    /// Until when they needn't be looked up again.
    fresh: Tick,
    results: (Sender<Found>, Receiver<Found>),
    /// Why the last look-up brought no address.
    failure: Option<UpstreamFailure>,
}

/// What a look-up has found.
struct Found {
    began: Tick,
    result: Result<Vec<SocketAddr>, UnknownHost>,
}

impl Addresses {
    /// This one endpoint.
    pub fn at(endpoint: Endpoint) -> Self {
        Self::new(None, None, vec![endpoint])
    }

    /// The addresses of a name, which was looked up when the process started.
    pub fn known(host: &str, port: u16, addresses: Vec<SocketAddr>) -> Self {
        let mut this = Self::of(host, port, None);
        this.learn(addresses);
        this.fresh = Tick::default().after(limits::ADDRESSES_FRESH);
        this
    }

    /// Those of the addresses of a name that may be asked. They are looked up when they are needed,
    /// and filtered after each look-up, since what a name stands for can change.
    pub fn unknown(host: &str, port: u16, may_ask: AddressFilter) -> Self {
        Self::of(host, port, Some(may_ask))
    }

    fn of(host: &str, port: u16, may_ask: Option<AddressFilter>) -> Self {
        match host.parse::<IpAddr>() {
            Ok(address) => {
                let mut this = Self::new(None, may_ask, Vec::new());
                this.learn(vec![SocketAddr::new(address, port)]);
                this
            }
            Err(_) => Self::new(Some((host.to_owned(), port)), may_ask, Vec::new()),
        }
    }

    fn new(name: Option<(String, u16)>, may_ask: Option<AddressFilter>, known: Vec<Endpoint>) -> Self {
        Self { name, may_ask, known, fresh: Tick::default(), results: channel(), failure: None }
    }

    /// The addresses that are known, in the order in which to try.
    pub(super) fn get(&mut self) -> &[Endpoint] {
        while let Ok(found) = self.results.1.try_recv() {
            self.take(found);
        }
        &self.known
    }

    /// Why there is no address, after a look-up.
    pub(super) fn failure(&self) -> UpstreamFailure {
        self.failure.unwrap_or(UpstreamFailure::NameUnknown)
    }

    /// The job that looks the name up, if that is due. For some time it isn't due again.
    pub(super) fn look_up(&mut self, now: Tick) -> Option<impl FnOnce() + Send + use<>> {
        let is_due = self.known.is_empty() || now >= self.fresh;
        let (host, port) = self.name.clone().filter(|_| is_due)?;
        self.fresh = now.after(limits::LOOK_UP_AGAIN);
        let results = self.results.0.clone();
        Some(move || {
            let result = names::resolve(&host, port);
            // The upstream may be gone.
            let _ = results.send(Found { began: now, result });
        })
    }

    fn take(&mut self, found: Found) {
        let had_failed = self.failure.is_some();
        match found.result {
            Ok(addresses) => {
                self.learn(addresses);
                self.fresh = found.began.after(limits::ADDRESSES_FRESH);
            }
            Err(unknown) => {
                self.failure = Some(UpstreamFailure::NameUnknown);
                // A name without addresses comes from a client, who is told.
                if !had_failed && !self.known.is_empty() {
                    log::warn!("{unknown}; its last addresses are used");
                }
            }
        }
    }

    /// Takes over the addresses of a look-up.
    fn learn(&mut self, addresses: Vec<SocketAddr>) {
        let may_ask = |address: &SocketAddr| self.may_ask.as_ref().is_none_or(|may| may(address.ip().to_canonical()));
        let before = self.known.first().cloned();
        let permitted = addresses.into_iter().filter(may_ask).collect();
        self.known = interleaved(permitted).into_iter().map(Endpoint::Tcp).collect();
        self.failure = self.known.is_empty().then_some(UpstreamFailure::Forbidden);
        if let Some(before) = before {
            self.prefer(&before);
        }
    }

    /// A connection was established there: it is tried first from now on.
    pub(super) fn prefer(&mut self, endpoint: &Endpoint) {
        if let Some(at) = self.known.iter().position(|one| one == endpoint) {
            self.known[..=at].rotate_right(1);
        }
    }
}

/// Addresses of IPv6 and IPv4 in turn, beginning with the family of the first (RFC 8305 §4): if one
/// family doesn't work, that costs one attempt.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for address in addresses {
        let family = if address.is_ipv6() == first { &mut ones } else { &mut others };
        family.push(address);
    }
    let shorter = ones.len().min(others.len());
    let rest = ones.split_off(shorter).into_iter().chain(others.split_off(shorter)).collect::<Vec<_>>();
    ones.into_iter().zip(others).flat_map(|(one, other)| [one, other]).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Tick {
        Tick::from_micros(seconds * 1_000_000)
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// A look-up ends with these addresses, or fails if there are none.
    fn found(addresses: &Addresses, began: Tick, texts: &[&str]) {
        let unknown = UnknownHost { host: "name".to_owned(), reason: "for a test".to_owned() };
        let found: Vec<SocketAddr> = texts.iter().map(|text| address(text)).collect();
        let result = if found.is_empty() { Err(unknown) } else { Ok(found) };
        addresses.results.0.send(Found { began, result }).unwrap();
    }

    fn shown(addresses: &mut Addresses) -> Vec<String> {
        addresses.get().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_are_used_while_they_are_looked_up_again_and_a_failure_keeps_them() {
        let mut all = Addresses::known("name", 1, vec![address("10.0.0.1:1")]);
        assert!(all.look_up(at(29)).is_none(), "they are fresh");
        assert!(all.look_up(at(30)).is_some());
        assert!(all.look_up(at(30)).is_none(), "one look-up is enough");
        assert_eq!(shown(&mut all), ["10.0.0.1:1"]);
        assert!(all.look_up(at(40)).is_some(), "its connection went away");
        found(&all, at(40), &["10.0.0.2:1"]);
        assert_eq!(shown(&mut all), ["10.0.0.2:1"]);
        assert!(all.look_up(at(69)).is_none(), "they are fresh since the look-up began");
        assert!(all.look_up(at(70)).is_some());
        found(&all, at(70), &[]);
        assert_eq!(shown(&mut all), ["10.0.0.2:1"]);
    }

    #[test]
    fn only_permitted_addresses_are_asked_also_if_a_name_changes() {
        let is_public = |address: IpAddr| !matches!(address, IpAddr::V4(address) if address.is_private());
        let filter: AddressFilter = Rc::new(is_public);
        let mut all = Addresses::unknown("name", 1, Rc::clone(&filter));
        assert!(all.get().is_empty() && all.look_up(at(1)).is_some());
        assert!(all.look_up(at(1)).is_some(), "each that waits has a look-up of its own");
        found(&all, at(1), &["10.0.0.1:1", "9.9.9.9:1", "[::ffff:10.0.0.1]:1"]);
        assert_eq!(shown(&mut all), ["9.9.9.9:1"]);
        found(&all, at(31), &["10.0.0.1:1"]);
        assert!(all.get().is_empty());
        assert_eq!(all.failure(), UpstreamFailure::Forbidden);
        found(&all, at(32), &[]);
        assert!(all.get().is_empty());
        assert_eq!(all.failure(), UpstreamFailure::NameUnknown);
        let mut literal = Addresses::unknown("10.0.0.1", 1, filter);
        assert!(literal.get().is_empty() && literal.look_up(at(1)).is_none());
        assert_eq!(literal.failure(), UpstreamFailure::Forbidden);
    }

    #[test]
    fn families_take_turns_and_what_works_comes_first() {
        let texts = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"];
        let mut all = Addresses::known("name", 1, texts.map(address).to_vec());
        assert_eq!(shown(&mut all), ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        all.prefer(&Endpoint::Tcp(address("[::2]:1")));
        assert_eq!(shown(&mut all), ["[::2]:1", "[::1]:1", "1.1.1.1:1", "2.2.2.2:1", "[::3]:1"]);
        found(&all, at(1), &["1.1.1.1:1", "[::2]:1"]);
        assert_eq!(shown(&mut all), ["[::2]:1", "1.1.1.1:1"], "also after a look-up");
    }
}
