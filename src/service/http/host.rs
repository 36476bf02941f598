//! A host: what is served under one or more names.
//!
//! The composition root builds a host completely. After that only the state of its parts
//! changes: cached files, checked passwords, the state of an application. These parts are in
//! cells, each borrowed in one place for one call. An exchange holds its host by
//! [`Rc`](std::rc::Rc). So a reload can replace the table of hosts at any moment, and an
//! exchange ends with the host that it began with.

use std::cell::RefCell;

use super::error_page::ErrorPages;
use crate::app::Routes;
use crate::auth::Guard;
use crate::files::Site;
use crate::http::response::Policy;

/// What is served under one or more names.
pub struct Host {
    /// Files.
    pub files: Option<RefCell<Site>>,
    /// Applications.
    pub routes: Routes,
    /// It answers only to this machine, under a local name and without a proxy.
    pub local_only: bool,
    /// The protected paths.
    pub guard: RefCell<Guard>,
    /// The built-in error pages.
    pub(super) errors: RefCell<ErrorPages>,
    /// The policy of public responses, and of those behind a password.
    policies: [Policy; 2],
}

impl Default for Host {
    /// A host that serves nothing yet.
    fn default() -> Self {
        Self::with_lines(b"Server: miod\r\n")
    }
}

impl Host {
    /// A host that serves nothing yet, and whose responses don't have the Server field.
    pub fn without_server_field() -> Self {
        Self::with_lines(b"")
    }

    /// A host whose responses have these field lines.
    fn with_lines(lines: &[u8]) -> Self {
        let lines: Box<[u8]> = lines.into();
        Self {
            files: None,
            routes: Routes::default(),
            local_only: false,
            guard: RefCell::default(),
            errors: RefCell::default(),
            policies: [Policy { id: 0, lines: lines.clone(), private: false }, Policy { id: 1, lines, private: true }],
        }
    }

    /// The policy of a protected path, or of any other.
    pub(super) fn policy(&self, protected: bool) -> &Policy {
        &self.policies[usize::from(protected)]
    }
}
