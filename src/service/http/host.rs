//! A host: what is served under one or more names.
//!
//! The composition root builds a host completely. After that only the state of its parts
//! changes: cached files, checked passwords, the state of an application. These parts are in
//! cells, each borrowed in one place for one call. An exchange holds its host by
//! [`Rc`](std::rc::Rc). So a reload can replace the table of hosts at any moment, and an
//! exchange ends with the host that it began with.

use std::cell::RefCell;
use std::rc::Rc;

use super::counts::HostCounts;
use super::error_page::ErrorPages;
use super::local_only::LocalOnly;
use super::routes::Routes;
use super::rules::{RuleSet, Rules};
use super::tree::Tree;
use crate::auth::Guard;
use crate::http::basic::Asker;
use crate::http::prefix_map::{self, PrefixMap};
use crate::logging::HostLog;
use crate::service::proxy::Forward;
use crate::service::session_store_client::StoredSessions;

/// What is served under one or more names.
pub struct Host {
    /// Its name in logs and figures: the first of its names.
    pub name: String,
    /// Its requests.
    pub counts: Rc<HostCounts>,
    /// Files.
    pub files: Option<Rc<Tree>>,
    /// What answers in place of files.
    pub routes: Routes,
    /// What answers all requests, if it is a forward proxy.
    pub forward: Option<Rc<Forward>>,
    /// It answers only to this machine, under a local name and without a proxy.
    pub local_only: Option<&'static LocalOnly>,
    /// The protected paths.
    pub guard: RefCell<Guard>,
    /// The sessions of its clients.
    pub sessions: Rc<StoredSessions>,
    /// The built-in error pages.
    pub(super) errors: RefCell<ErrorPages>,
    /// Where its requests are logged, if not where those of other hosts are.
    pub access_log: Option<HostLog>,
    /// Requests in plain text are redirected to HTTPS.
    pub redirect_https: bool,
    /// The rules; the first are those of the host itself.
    rules: Vec<RuleSet>,
    /// The numbers of the rules of routes.
    prefixes: PrefixMap<u16>,
}

impl Default for Host {
    /// A host that serves nothing yet.
    fn default() -> Self {
        Self::new(Rules::default())
    }
}

impl Host {
    /// A host that serves nothing yet, with these rules.
    pub fn new(rules: Rules) -> Self {
        Self {
            name: String::new(),
            counts: Rc::default(),
            files: None,
            routes: Routes::default(),
            forward: None,
            local_only: None,
            guard: RefCell::default(),
            sessions: Rc::default(),
            errors: RefCell::default(),
            access_log: None,
            redirect_https: false,
            rules: vec![RuleSet::new(0, rules)],
            prefixes: PrefixMap::default(),
        }
    }

    /// All directories that it serves.
    pub fn trees(&self) -> impl Iterator<Item = &Rc<Tree>> {
        self.files.iter().chain(self.routes.trees())
    }

    /// Who asks for credentials: the server, or the proxy.
    pub(super) fn asker(&self) -> Asker {
        if self.forward.is_some() { Asker::Proxy } else { Asker::Origin }
    }

    /// Replaces the rules of the host itself.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules[0] = RuleSet::new(0, rules);
    }

    /// Adds the rules of the paths below a prefix, in place of those of the host.
    ///
    /// # Errors
    /// If no path can have the prefix, or there are too many.
    pub fn add_rules(&mut self, prefix: &str, rules: Rules) -> Result<(), String> {
        let path = prefix_map::normalise(prefix).ok_or_else(|| format!("no path begins with {prefix:?}"))?;
        // A policy has a number of 16 bits, and rules have two.
        let number = u16::try_from(self.rules.len()).ok().filter(|number| *number < 1 << 15);
        let number = number.ok_or("there are too many routes with rules")?;
        self.rules.push(RuleSet::new(number, rules));
        self.prefixes.set(path, number);
        Ok(())
    }

    /// The number of the rules for a decoded path.
    pub(super) fn find_rules(&self, path: &[u8]) -> u16 {
        self.prefixes.find(path).map_or(0, |index| *self.prefixes.get(index).1)
    }

    /// The length of the longest prefix of a route, with a handler, rules or users of its own,
    /// that a decoded path is below; none if there is none.
    #[cold]
    pub(super) fn find_route(&self, path: &[u8]) -> Option<usize> {
        let handler = self.routes.find(path).map(|(_, length)| length);
        let rules = self.prefixes.find(path).map(|index| self.prefixes.get(index).0.len());
        let users = self.guard.borrow();
        let users = users.find(path).map(|realm| users.prefix(realm).len());
        handler.max(rules).max(users)
    }

    /// The rules with this number.
    pub(super) fn rules(&self, number: u16) -> &RuleSet {
        &self.rules[usize::from(number)]
    }
}
