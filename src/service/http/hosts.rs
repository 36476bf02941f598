//! The hosts of a listener, by the names that requests are for.

use std::collections::HashSet;
use std::rc::Rc;

use super::counts::HostCounts;
use super::host::Host;
use super::rules::Rules;
use crate::http::head::RequestHead;
use crate::http::host_names::{HostName, HostNames};

/// The hosts of a listener.
pub struct Hosts {
    names: HostNames<Rc<Host>>,
    /// For requests that are for no other host.
    default: Option<Rc<Host>>,
    /// Answers for a host that isn't there. It has no content.
    nobody: Rc<Host>,
}

impl From<Host> for Hosts {
    /// One host, for all requests.
    fn from(host: Host) -> Self {
        Self::new(Some(Rc::new(host)), true)
    }
}

impl Hosts {
    /// A table with this default host. Without one, requests for unknown hosts get 421, with the
    /// Server field or not.
    pub fn new(default: Option<Rc<Host>>, server_field: bool) -> Self {
        let rules = if server_field { Rules::default() } else { Rules { lines: Vec::new(), ..Rules::default() } };
        Self { names: HostNames::default(), default, nobody: Rc::new(Host::new(rules)) }
    }

    /// Has the requests for unknown hosts counted in `counts`.
    pub fn count_unknown(&mut self, counts: Rc<HostCounts>) {
        if let Some(nobody) = Rc::get_mut(&mut self.nobody) {
            nobody.counts = counts;
        }
    }

    /// Adds a host under a name. One that had it loses it.
    pub fn insert(&mut self, name: &HostName, host: &Rc<Host>) {
        self.names.insert(name, Rc::clone(host));
    }

    /// The host that a request is for. None if there is none.
    pub(super) fn find(&self, head: &RequestHead<'_>) -> Option<&Rc<Host>> {
        if self.names.is_empty() {
            return self.default.as_ref();
        }
        let named = head.host().and_then(|host| self.names.find(host));
        named.or(self.default.as_ref())
    }

    /// The host for what is no request, or for no host.
    pub(super) fn default_host(&self) -> &Rc<Host> {
        self.default.as_ref().unwrap_or(&self.nobody)
    }

    /// The host that answers in place of one that isn't there.
    pub(super) fn nobody(&self) -> &Rc<Host> {
        &self.nobody
    }

    /// All hosts, each once.
    pub fn all(&self) -> Vec<Rc<Host>> {
        let mut seen = HashSet::new();
        let named = self.default.iter().chain(self.names.values());
        named.filter(|host| seen.insert(Rc::as_ptr(host))).map(Rc::clone).collect()
    }
}
