//! A host: what is served under one or more names.
//!
//! A host is built whole by the composition root and then never changed, except for
//! what its parts learn while they serve (cached files, checked passwords, an
//! application's own state). These stand in cells, each borrowed in one place for one
//! call. Exchanges hold their host by [`Rc`](std::rc::Rc), so a reload replaces the
//! table of hosts at any moment and what has begun ends under the host it began with.

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
    /// For responses that anybody may see, and for those behind a password.
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
