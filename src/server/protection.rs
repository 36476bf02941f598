//! Which paths are protected, and who can log in: by the configuration, else by the needs
//! of the demonstration site.
//!
//! The demonstration site has protected pages in [`PRIVATE`]. That path is never open by
//! default, because somebody may put files there and believe them safe: only users who can
//! log in are allowed, and nobody if there are none. While only this machine can connect,
//! the demonstration's user can log in.

use std::path::{Path, PathBuf};

use super::ServerError;
use super::error::Faults;
use crate::auth::{DEMONSTRATION, Guard, Users};
use crate::config::Host;

/// What is protected if no route is.
pub const PRIVATE: &str = "/private/";

/// Who may request a protected path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Protection {
    /// The users of a password file, and their number.
    File(PathBuf, usize),
    /// The demonstration's user.
    Demonstration,
    /// Nobody.
    Closed,
}

/// The users who can log in. `local`: only this machine can connect.
pub(super) fn users(host: &Host, local: bool, faults: &mut Faults) -> Option<(Users, Protection)> {
    match &host.users {
        Some(file) => Some(open(file, faults)),
        None if local => {
            let users = faults.keep(Users::fixed(DEMONSTRATION).map_err(ServerError::Config))?;
            Some((users, Protection::Demonstration))
        }
        None => None,
    }
}

/// Makes the guard. Also returns the protected paths and who is allowed. `users` can log in.
pub(super) fn protect(
    host: &Host,
    users: Option<&(Users, Protection)>,
    faults: &mut Faults,
) -> (Guard, Vec<(String, Protection)>) {
    let mut guard = Guard::default();
    let mut protected = Vec::new();
    let mut add = |prefix: &str, users: Option<Users>, protection: Protection, faults: &mut Faults| {
        protected.push((prefix.to_owned(), protection));
        if let Err(hint) = guard.protect(prefix, users) {
            faults.wrong(format!("can't protect {prefix}: {hint}"));
        }
    };
    let files = || host.routes.iter().filter_map(|route| Some((&route.prefix, route.auth.as_ref()?)));
    for (prefix, file) in files() {
        let (users, protection) = open(file, faults);
        add(prefix, Some(users), protection, faults);
    }
    if files().next().is_none() {
        match users.cloned() {
            Some((users, protection)) => add(PRIVATE, Some(users), protection, faults),
            None => add(PRIVATE, None, Protection::Closed, faults),
        }
    }
    // An absent directory needn't be reported as closed.
    let has_private = host.root.as_ref().is_some_and(|root| root.join(PRIVATE.trim_matches('/')).is_dir());
    protected.retain(|(_, protection)| *protection != Protection::Closed || has_private);
    (guard, protected)
}

/// Opens a password file. One that can't be read has no users.
fn open(file: &Path, faults: &mut Faults) -> (Users, Protection) {
    let users = faults.keep(Users::open(file).map_err(ServerError::Config)).unwrap_or_else(Users::empty);
    let protection = Protection::File(file.to_owned(), users.count());
    (users, protection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::scratch::Scratch;

    const USERS: &str = "alice:$2y$04$RGgDOvYKtT.rejuCbhz.melLwAGQVOl0yMXxMmxoroUInQhXZbhq6\n";

    fn protected(host: &Host, local: bool) -> Vec<(String, Protection)> {
        let mut faults = Faults::default();
        let (guard, protected) = protect(host, users(host, local, &mut faults).as_ref(), &mut faults);
        faults.finish().unwrap();
        assert_eq!(guard.find(b"/private/x").is_some(), protected.iter().any(|(prefix, _)| prefix == PRIVATE));
        protected
    }

    #[test]
    fn private_is_never_open_by_default() {
        let files = Scratch::new();
        files.directory("www/private");
        files.file("users", USERS);
        let mut host = Host { root: Some(files.at("www")), ..Host::default() };
        assert_eq!(protected(&host, true), [(PRIVATE.to_owned(), Protection::Demonstration)]);
        assert_eq!(protected(&host, false), [(PRIVATE.to_owned(), Protection::Closed)]);
        host.route("/a").auth = Some(files.at("users"));
        for local in [true, false] {
            assert_eq!(protected(&host, local), [("/a".to_owned(), Protection::File(files.at("users"), 1))]);
        }
        host = Host { root: Some(files.at("www")), users: Some(files.at("users")), ..Host::default() };
        for local in [true, false] {
            assert_eq!(protected(&host, local), [(PRIVATE.to_owned(), Protection::File(files.at("users"), 1))]);
        }
        host = Host { root: Some(files.at("users")), ..Host::default() };
        let (guard, protected) = protect(&host, None, &mut Faults::default());
        assert!(
            guard.find(b"/private").is_some() && protected.is_empty(),
            "it is closed even if the directory is absent"
        );
    }
}
