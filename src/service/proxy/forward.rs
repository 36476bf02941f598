//! The servers that a forward proxy asks.
//!
//! An origin is an upstream that is made when it is first asked for. It is kept as long as there is
//! room, because its idle connections are used again and its name need not be looked up each time.
//!
//! Clients must not reach by the proxy what only its machine can reach. So an origin filters its
//! addresses after its name was looked up.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::{Addresses, CacheRules, Proxy, Upstream};
use crate::http::proxying::{Server, UpstreamTimeouts, is_public};
use crate::limits;
use crate::reactor::{Tick, TlsConnector};

/// A forward proxy.
pub struct Forward {
    /// Its name in Via. No other server has it.
    pub pseudonym: String,
    /// The ports to which it makes tunnels.
    pub connect_ports: Vec<u16>,
    /// It asks servers at special addresses, too.
    pub allows_private: bool,
    /// How long an origin may take.
    pub timeouts: UpstreamTimeouts,
    /// How TLS is spoken with origins; none if no authority is trusted.
    pub connector: Option<TlsConnector>,
    /// How responses are stored, if they are.
    pub cache: Option<Rc<CacheRules>>,
    /// The origins that were asked.
    pub origins: RefCell<Origins>,
}

/// The origins that were asked, each with the time of its last request.
#[derive(Default)]
pub struct Origins(HashMap<Server, (Rc<Proxy>, Tick)>);

impl Forward {
    /// The upstream for a server; none if TLS can't be spoken with it.
    pub(crate) fn origin(&self, server: &Server, now: Tick) -> Option<Rc<Proxy>> {
        let mut origins = self.origins.borrow_mut();
        if let Some((proxy, used)) = origins.0.get_mut(server) {
            *used = now;
            return Some(Rc::clone(proxy));
        }
        let tls = match (server.is_https, &self.connector) {
            (false, _) => None,
            (true, connector) => Some(connector.as_ref()?.to(&server.host)?),
        };
        let allows_private = self.allows_private;
        let filter = Rc::new(move |address| allows_private || is_public(address));
        let addresses = Addresses::unknown(&server.host, server.port, filter);
        let upstream = Upstream::new(server.origin(), server.clone(), addresses, tls, self.timeouts);
        let upstreams = vec![Rc::new(upstream.foreign())];
        let proxy = Proxy::new(upstreams, self.pseudonym.clone());
        let proxy = Rc::new(Proxy { own_host: true, is_forward: true, cache: self.cache.clone(), ..proxy });
        origins.make_room();
        origins.0.insert(server.clone(), (Rc::clone(&proxy), now));
        Some(proxy)
    }
}

impl Origins {
    /// Forgets a part of the origins if there are too many: those that were asked the longest time
    /// ago. Exchanges keep theirs.
    fn make_room(&mut self) {
        if self.0.len() < limits::ORIGINS {
            return;
        }
        let mut times: Vec<Tick> = self.0.values().map(|(_, used)| *used).collect();
        let at = times.len() / 4;
        let (_, oldest, _) = times.select_nth_unstable(at);
        let oldest = *oldest;
        self.0.retain(|_, (_, used)| *used > oldest);
    }
}
