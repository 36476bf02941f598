//! What all HTTP connections share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::access_log::AccessLog;
use super::census::Census;
use super::counts::Counts;
use super::encoders::Encoders;
use super::hosts::Hosts;
use super::notices::Notices;
use super::tree::Tree;
use crate::app::Ports;
use crate::http::forwarded::Proxies;
use crate::http::header_section::RecentSections;
use crate::http::rate::Rates;
use crate::http::response::Stamp;
use crate::limits;
use crate::service::proxy::Cache;

/// What an operator can set about requests.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From accept to the first byte, and from the first byte of a request to the whole head.
    pub header_timeout: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// Without progress of a body.
    pub body_timeout: Duration,
    /// Most connections from one address.
    pub per_address: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: limits::HEADER_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            body_timeout: limits::BODY_TIMEOUT,
            per_address: None,
        }
    }
}

/// Names the hosts of a listener. The table itself can be replaced at any moment: an exchange
/// keeps the host that it began with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HostsId {
    /// Those of the web server.
    #[default]
    Web,
    /// That of the key-value service beside it.
    Kv,
    /// That of those who operate the server.
    Admin,
}

/// What operators can see beside the figures.
#[derive(Clone, Debug, Default)]
pub struct Operation {
    /// When the process began to serve, in Unix seconds.
    pub started: i64,
    /// The configuration in use, as text and as JSON.
    pub settings: Option<[String; 2]>,
    /// Reloads that succeeded, and reloads that failed.
    pub reloads: [u64; 2],
}

/// What all HTTP connections share.
pub struct Shared {
    /// The hosts of the web server.
    pub web: Hosts,
    /// The host of the key-value service beside it.
    pub kv: Hosts,
    /// The host of those who operate the server.
    pub admin: Hosts,
    /// What they can see.
    pub operation: Operation,
    /// The proxies that are trusted.
    pub proxies: Proxies,
    /// Limits of requests.
    pub limits: Limits,
    /// The ports of the web server.
    pub ports: Ports,
    /// Every request gets 503.
    pub maintenance: bool,
    /// The cache of the proxies, if there is one.
    pub cache: Option<Rc<Cache>>,
    /// The header sections that connections sent last.
    pub(super) recent: RecentSections,
    pub(super) stamp: Stamp,
    /// The Date that an upstream has sent last.
    pub(super) upstream_stamp: Stamp,
    pub(super) census: Census,
    pub(super) counts: Counts,
    pub(super) access: AccessLog,
    pub(super) notices: Notices,
    /// A buffer for content that isn't in the output yet.
    pub(super) scratch: Vec<u8>,
    /// What addresses have used up of the limits of requests.
    pub(super) rates: Rates,
    /// What compresses responses.
    pub(super) encoders: Encoders,
    addresses: HashMap<IpAddr, u32>,
}

impl Shared {
    /// With these hosts of the web server.
    pub fn new(limits: Limits, web: impl Into<Hosts>) -> Self {
        Self {
            web: web.into(),
            kv: Hosts::new(None, true),
            admin: Hosts::new(None, true),
            operation: Operation::default(),
            proxies: Proxies::default(),
            limits,
            ports: Ports::default(),
            maintenance: false,
            cache: None,
            recent: RecentSections::default(),
            stamp: Stamp::new(0),
            upstream_stamp: Stamp::new(0),
            census: Census::default(),
            counts: Counts::default(),
            access: AccessLog::new(),
            notices: Notices::default(),
            scratch: Vec::new(),
            rates: Rates::default(),
            encoders: Encoders::within(limits::MEMORY),
            addresses: HashMap::new(),
        }
    }

    /// The hosts of a connection.
    pub(super) fn hosts(&self, id: HostsId) -> &Hosts {
        match id {
            HostsId::Web => &self.web,
            HostsId::Kv => &self.kv,
            HostsId::Admin => &self.admin,
        }
    }

    /// The directories of all hosts.
    pub fn trees(&self) -> Vec<Rc<Tree>> {
        let hosts = [self.web.all(), self.kv.all()].concat();
        hosts.iter().flat_map(|host| host.trees()).map(Rc::clone).collect()
    }

    /// Has responses compressed within this limit of all memory, in bytes.
    pub fn limit_memory(&mut self, most: usize) {
        self.encoders.limit_memory(most);
    }

    /// Has a line written to the access log for each request, or not.
    pub fn log_access(&mut self, enabled: bool) {
        self.access.enabled = enabled;
    }

    /// Counts a connection of an address. Returns whether the address may have it; none
    /// if there is no limit.
    pub(in crate::service) fn count(&mut self, address: IpAddr) -> Option<bool> {
        let most = self.limits.per_address?;
        let count = self.addresses.entry(address).or_default();
        *count += 1;
        Some(*count <= most)
    }

    /// A counted connection is over.
    pub(in crate::service) fn uncount(&mut self, address: IpAddr) {
        if let Some(count) = self.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Host;
    use super::*;

    fn with_limit(per_address: Option<u32>) -> Shared {
        Shared::new(Limits { per_address, ..Limits::default() }, Host::default())
    }

    #[test]
    fn connections_of_an_address_are_counted_and_forgotten() {
        let mut shared = with_limit(Some(2));
        let address: IpAddr = "::1".parse().unwrap();
        assert_eq!([(); 3].map(|()| shared.count(address)), [Some(true), Some(true), Some(false)]);
        for _ in 0..3 {
            shared.uncount(address);
        }
        assert!(shared.addresses.is_empty());
        assert_eq!(with_limit(None).count(address), None);
    }
}
