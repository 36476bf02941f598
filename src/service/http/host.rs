//! A host: what is served under one or more names.
//!
//! The composition root builds a host completely. After that only the state of its parts
//! changes: cached files, checked passwords, the state of an application. These parts are in
//! cells, each borrowed in one place for one call. An exchange holds its host by
//! [`Rc`](std::rc::Rc). So a reload can replace the table of hosts at any moment, and an
//! exchange ends with the host that it began with.

use std::cell::RefCell;
use std::rc::Rc;

use super::error_page::ErrorPages;
use super::routes::Routes;
use super::rules::{RuleSet, Rules};
use super::tree::Tree;
use crate::auth::Guard;
use crate::http::prefix_map::{self, PrefixMap};
use crate::service::session_store_client::StoredSessions;

/// What is served under one or more names.
pub struct Host {
    /// Its name in logs: the first of its names.
    pub name: String,
    /// Files.
    pub files: Option<Rc<Tree>>,
    /// What answers in place of files.
    pub routes: Routes,
    /// It answers only to this machine, under a local name and without a proxy.
    pub local_only: bool,
    /// The protected paths.
    pub guard: RefCell<Guard>,
    /// The sessions of its clients.
    pub sessions: Rc<StoredSessions>,
    /// The built-in error pages.
    pub(super) errors: RefCell<ErrorPages>,
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
            files: None,
            routes: Routes::default(),
            local_only: false,
            guard: RefCell::default(),
            sessions: Rc::default(),
            errors: RefCell::default(),
            redirect_https: false,
            rules: vec![RuleSet::new(0, rules)],
            prefixes: PrefixMap::default(),
        }
    }

    /// All directories that it serves.
    pub fn trees(&self) -> impl Iterator<Item = &Rc<Tree>> {
        self.files.iter().chain(self.routes.trees())
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

    /// The rules with this number.
    pub(super) fn rules(&self, number: u16) -> &RuleSet {
        &self.rules[usize::from(number)]
    }
}
