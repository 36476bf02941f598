//! What all HTTP connections share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::access::AccessLog;
use super::error_page::ErrorPages;
use super::phase::Census;
use super::watch::Watchers;
use crate::app::{Methods, Pull, Routes, Source};
use crate::auth::Guard;
use crate::files::Site;
use crate::files::listing::Rendering;
use crate::http::forwarded::Proxies;
use crate::http::head::RequestHead;
use crate::http::response::Stamp;
use crate::http::section::Recent;
use crate::http::target::{self, Target};
use crate::limits;
use crate::reactor::{Ends, Tick};
use crate::service::Kind;
use crate::service::carrier::Link;
use crate::session::Sessions;

/// What an operator can set about requests.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From accept, or from a request's first octet, to the whole head.
    pub header_timeout: Duration,
    /// Between requests.
    pub idle_timeout: Duration,
    /// Without progress of a body.
    pub body_timeout: Duration,
    /// Largest body that an application is given, in octets.
    pub body: u64,
    /// Most connections from one address.
    pub per_address: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: limits::HEADER_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            body_timeout: limits::BODY_TIMEOUT,
            body: limits::BODY,
            per_address: None,
        }
    }
}

/// What all HTTP connections share.
pub struct Shared {
    /// Files.
    pub site: Option<Site>,
    /// Applications.
    pub routes: Routes,
    /// The key-value service, which has listeners of its own.
    pub kv: Routes,
    /// What is under protection.
    pub guard: Guard,
    /// Who may speak for clients.
    pub proxies: Proxies,
    /// What is remembered of visitors.
    pub sessions: Sessions,
    /// The way to where they are kept, if that is somewhere else.
    pub link: Option<Link>,
    /// Bounds.
    pub limits: Limits,
    /// Every request is answered with 503.
    pub maintenance: bool,
    /// What connections have said lately in their header sections.
    pub(super) recent: Recent,
    pub(super) stamp: Stamp,
    pub(super) census: Census,
    pub(super) access: AccessLog,
    pub(super) errors: ErrorPages,
    pub(super) watchers: Watchers,
    /// Content on its way into the output, and decoded paths.
    pub(super) scratch: Vec<u8>,
    addresses: HashMap<IpAddr, u32>,
}

impl Shared {
    /// Answers with the Server field or without; nothing to serve yet.
    pub fn new(limits: Limits, server_field: bool) -> Self {
        Self {
            site: None,
            routes: Routes::default(),
            kv: Routes::default(),
            guard: Guard::default(),
            proxies: Proxies::default(),
            sessions: Sessions::default(),
            link: None,
            limits,
            maintenance: false,
            recent: Recent::default(),
            stamp: Stamp::new(0, server_field),
            census: Census::default(),
            access: AccessLog::new(),
            errors: ErrorPages::default(),
            watchers: Watchers::default(),
            scratch: Vec::new(),
            addresses: HashMap::new(),
        }
    }

    /// Counts a connection of an address: whether it may have one more. None if
    /// nobody counts.
    pub(super) fn count(&mut self, address: IpAddr) -> Option<bool> {
        let most = self.limits.per_address?;
        let count = self.addresses.entry(address).or_default();
        *count += 1;
        Some(*count <= most)
    }

    /// A counted connection is over.
    pub(super) fn uncount(&mut self, address: IpAddr) {
        if let Some(count) = self.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
    }

    /// Whether a request came by TLS to a proxy that may say so.
    pub(super) fn secure(&self, head: &RequestHead<'_>, ends: Ends<'_>) -> bool {
        self.proxies.secure(ends.peer().map(|peer| peer.ip()), &head.fields)
    }

    /// The applications behind this kind of listener.
    #[inline]
    pub(super) fn routes(&mut self, kind: Kind) -> &mut Routes {
        if kind == Kind::Kv { &mut self.kv } else { &mut self.routes }
    }

    /// The application behind this kind of listener that serves a request path, if one
    /// does, and what it serves there.
    #[inline]
    pub(super) fn route(&mut self, kind: Kind, target: &Target<'_>) -> Option<(usize, Methods)> {
        let find = |routes: &Routes, path: &[u8]| routes.find(path).map(|index| (index, routes.methods(index, path)));
        if kind == Kind::Kv {
            // There is one, which says itself what is wrong with a path.
            return find(&self.kv, b"/");
        }
        if target.plain {
            return find(&self.routes, target.path);
        }
        self.with_decoded(target.path, |this, path| find(&this.routes, path))
    }

    /// The realm of the guard that a request path is in, if it is in one. What can't
    /// be decoded is in none, and nowhere else either. The key-value service has a
    /// guard of its own.
    #[inline]
    pub(super) fn realm(&mut self, kind: Kind, target: &Target<'_>) -> Option<usize> {
        if kind == Kind::Kv {
            return None;
        }
        if target.plain {
            return self.guard.find(target.path);
        }
        self.with_decoded(target.path, |this, path| this.guard.find(path))
    }

    fn with_decoded<R>(&mut self, path: &[u8], find: impl FnOnce(&Self, &[u8]) -> Option<R>) -> Option<R> {
        let mut decoded = std::mem::take(&mut self.scratch);
        let found = decode(path, &mut decoded).then(|| find(self, &decoded)).flatten();
        decoded.clear();
        self.scratch = decoded;
        found
    }
}

/// Decodes a request path, its slash included; false if it can't be.
pub(super) fn decode(path: &[u8], decoded: &mut Vec<u8>) -> bool {
    decoded.push(b'/');
    target::decode_path(path, decoded).is_ok()
}

/// A directory listing as content.
pub(super) struct ListingSource(pub(super) Rendering);

impl Source for ListingSource {
    fn pull(&mut self, out: &mut Vec<u8>, room: usize, _now: Tick) -> Pull {
        if self.0.write_some(out, room) { Pull::More } else { Pull::End }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_an_address_are_counted_and_forgotten() {
        let mut shared = Shared::new(Limits { per_address: Some(2), ..Limits::default() }, true);
        let address: IpAddr = "::1".parse().unwrap();
        assert_eq!([(); 3].map(|()| shared.count(address)), [Some(true), Some(true), Some(false)]);
        for _ in 0..3 {
            shared.uncount(address);
        }
        assert!(shared.addresses.is_empty());
        assert_eq!(Shared::new(Limits::default(), true).count(address), None);
    }
}
