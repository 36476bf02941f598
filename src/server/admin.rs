//! The service for operators: its host, and who may reach it.

use std::rc::Rc;

use super::error::Faults;
use crate::config::shown::{self, ShownSetting};
use crate::config::{Config, Protocol};
use crate::reactor::Endpoint;
use crate::service::http::{Host, HostCounts, Hosts, LocalOnly, Page, RouteHandler, Rules};
use crate::service::session_store_client::StoredSessions;

/// Whom the service answers if it is not public. A page in a browser can't use it by the name of
/// another site.
static LOCAL: LocalOnly = LocalOnly {
    through_proxy: "the service for operators does not answer requests that come through a proxy; --admin-public \
                    lets it",
    other_name: "the service for operators answers only to localhost and loopback addresses; --admin-public lets it \
                 answer to other names",
    // A socket in the file system has no name, and no browser connects to it.
    sockets_too: false,
};

/// The host of the service, whose requests are counted in `counts`. It asks the store of these
/// sessions whether it works.
pub(super) fn hosts(public: bool, counts: Rc<HostCounts>, sessions: Rc<StoredSessions>) -> Hosts {
    let mut host = Host::new(Rules { log: false, ..Rules::default() });
    host.counts = counts;
    host.sessions = sessions;
    host.local_only = (!public).then_some(&LOCAL);
    for page in Page::ALL {
        let set = host.routes.set(page.path(), RouteHandler::Admin(page));
        debug_assert!(set.is_ok());
    }
    host.into()
}

/// Checks that no other machine can reach the service, unless it is public. `endpoints` has those
/// of each listener.
pub(super) fn check(config: &Config, endpoints: &[Option<Vec<Endpoint>>], faults: &mut Faults) {
    if config.process.admin_public {
        return;
    }
    let both = config.listeners.iter().zip(endpoints).filter(|(listener, _)| listener.protocol == Protocol::Admin);
    for endpoint in both.flat_map(|(_, endpoints)| endpoints.iter().flatten()) {
        if matches!(endpoint, Endpoint::Tcp(address) if !address.ip().is_loopback()) {
            faults.wrong(format!(
                "the service for operators would be open to other machines at {endpoint}: give a loopback address or \
                 unix:PATH to --admin, or --admin-public"
            ));
        }
    }
}

/// The configuration in use, as the service shows it: as text, and as JSON. `sandbox` says what the
/// process has given up.
pub(super) fn settings(mut all: Vec<ShownSetting>, sandbox: Option<&str>) -> Option<[String; 2]> {
    if all.is_empty() {
        return None;
    }
    let value = sandbox.unwrap_or("nothing").into();
    all.push(ShownSetting { name: "given-up".to_owned(), value, origin: "system".to_owned() });
    Some([shown::text(&all), shown::json(all)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Listener, Process};

    #[test]
    fn other_machines_are_kept_out_unless_it_is_public() {
        let check = |public, at: &str| {
            let endpoint = if at == "unix" { Endpoint::Unix("/s".into()) } else { Endpoint::Tcp(at.parse().unwrap()) };
            let mut config = Config::single(
                Process { admin_public: public, ..Process::default() },
                Listener::default(),
                crate::config::Host::default(),
            );
            config.listeners.push(Listener { protocol: Protocol::Admin, ..Listener::default() });
            let mut faults = Faults::default();
            let everywhere = vec![Endpoint::Tcp(([0, 0, 0, 0], 80).into())];
            super::check(&config, &[Some(everywhere), Some(vec![endpoint])], &mut faults);
            faults.finish().is_ok()
        };
        for (at, expected) in [("127.0.0.1:1", true), ("[::1]:1", true), ("unix", true), ("0.0.0.0:1", false)] {
            assert_eq!(check(false, at), expected, "{at}");
            assert!(check(true, at));
        }
    }
}
