//! A host: what is served under one or more names.
//!
//! The composition root builds a host completely. After that only the state of its parts
//! changes: cached files, checked passwords, the state of an application. These parts are in
//! cells, each borrowed in one place for one call. An exchange holds its host by
//! [`Rc`](std::rc::Rc). So a reload can replace the table of hosts at any moment, and an
//! exchange ends with the host that it began with.

use std::cell::RefCell;
use std::time::Duration;

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
    /// Requests in plain text are redirected to HTTPS.
    pub redirect_https: bool,
    /// The policies of public responses and of those behind a password, in plain text and over
    /// TLS.
    policies: [Policy; 4],
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
        let policy = |id: u16, private| Policy { id, lines: lines.into(), private, ..Policy::default() };
        Self {
            files: None,
            routes: Routes::default(),
            local_only: false,
            guard: RefCell::default(),
            errors: RefCell::default(),
            redirect_https: false,
            policies: [policy(0, false), policy(1, true), policy(0, false), policy(1, true)],
        }
    }

    /// Tells browsers that came by HTTPS to use nothing else for so long. In plain text the
    /// field is not allowed (RFC 6797 §7.2).
    pub fn set_hsts(&mut self, span: Duration) {
        let line = format!("Strict-Transport-Security: max-age={}\r\n", span.as_secs());
        for policy in &mut self.policies[2..] {
            policy.further = line.as_bytes().into();
        }
    }

    /// The policy of a protected path, or of any other; over TLS, or not.
    pub(super) fn policy(&self, protected: bool, secure: bool) -> &Policy {
        &self.policies[usize::from(protected) + 2 * usize::from(secure)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_prebuilt_in_plain_text_is_used_over_tls() {
        let mut host = Host::default();
        host.set_hsts(Duration::from_secs(1));
        for protected in [false, true] {
            let [plain, secure] = [false, true].map(|secure| host.policy(protected, secure));
            assert_eq!((plain.id, &plain.lines, plain.private), (secure.id, &secure.lines, secure.private));
            assert_ne!(plain.further, secure.further);
        }
        assert_ne!(host.policy(false, true).id, host.policy(true, true).id);
    }
}
