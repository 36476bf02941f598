//! Which paths are protected, and who can log in.
//!
//! The options `--auth` and `--users` decide this. If no path is protected and there are
//! users who can log in, [`PRIVATE`] is for them. The demonstration has such a user, whose
//! password everybody knows. So it is only for this machine: it has no listener that other
//! machines can reach, and its exchanges refuse what a proxy passes on
//! (`service/http/local_only.rs`).

use std::path::{Path, PathBuf};

use super::ServerError;
use super::error::Faults;
use crate::app::catalogue;
use crate::auth::{DEMONSTRATION, Guard, Users};
use crate::config::{Demonstration, Handler, Host, Route};
use crate::files;
use crate::http::address_blocks::AddressBlocks;
use crate::limits;

/// The path that is protected if no route has a password file.
pub const PRIVATE: &str = "/private/";

/// Who may request a protected path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Protection {
    /// The users of a password file, and their number.
    File(PathBuf, usize),
    /// The demonstration's user.
    Demonstration,
    /// Everybody: the path has the name of a protected one, but isn't protected.
    Open,
}

/// Whether a host is the demonstration. `local`: only this machine can connect.
pub(super) fn is_demonstration(host: &Host, local: bool, faults: &mut Faults) -> bool {
    match host.demonstration {
        Demonstration::Off => false,
        Demonstration::IfLocal => local,
        Demonstration::On => {
            if !local {
                faults.wrong(
                    "other machines could connect to the demonstration: use --apps and --users FILE in place of \
                     --demo, or a loopback address",
                );
            }
            true
        }
    }
}

/// The users who can log in.
pub(super) fn users(host: &Host, demonstration: bool, faults: &mut Faults) -> Option<(Users, Protection)> {
    match &host.users {
        Some(file) => Some(open(file, faults)),
        None if demonstration => {
            let alice = faults.keep(Users::fixed(DEMONSTRATION).map_err(ServerError::Config))?;
            Some((alice, Protection::Demonstration))
        }
        None => None,
    }
}

/// Makes the guard. Also returns the protected paths and who is allowed. `users` can log in.
/// `negotiates`: files are shown under shorter names, too.
pub(super) fn protect(
    host: &Host,
    users: Option<&(Users, Protection)>,
    negotiates: bool,
    faults: &mut Faults,
) -> (Guard, Vec<(String, Protection)>) {
    let mut guard = Guard::default();
    let mut protected = Vec::new();
    let mut add = |prefix: &str, users: Users, protection: Protection, faults: &mut Faults| {
        protected.push((prefix.to_owned(), protection));
        if let Err(hint) = guard.protect(prefix, users) {
            faults.wrong(format!("can't protect {prefix}: {hint}"));
        }
    };
    for route in &host.routes {
        let rules = &route.rules;
        let restricted = [
            ("auth", route.auth.is_some()),
            ("allow", rules.allow != AddressBlocks::default()),
            ("deny", rules.deny != AddressBlocks::default()),
        ];
        if let Some((key, _)) = restricted.into_iter().find(|(_, is_set)| *is_set) {
            faults.place(route.positions.of(key).or(host.positions.of(key)));
            check_names(host, route, negotiates, faults);
            faults.place(host.positions.of(""));
        }
    }
    let files = || host.routes.iter().filter_map(|route| Some((route, route.auth.as_ref()?)));
    for (route, file) in files() {
        let prefix = &route.prefix;
        faults.place(route.positions.of("auth").or(host.positions.of("auth")));
        let (users, protection) = open(file, faults);
        add(prefix, users, protection, faults);
        faults.place(host.positions.of(""));
    }
    if files().next().is_none() {
        match users.cloned() {
            Some((users, protection)) => add(PRIVATE, users, protection, faults),
            None if has_private(host) => protected.push((PRIVATE.to_owned(), Protection::Open)),
            None => {}
        }
    }
    (guard, protected)
}

/// Refuses to protect a file under one of its names only.
fn check_names(host: &Host, route: &Route, negotiates: bool, faults: &mut Faults) {
    let prefix = &route.prefix;
    let name = prefix.rsplit('/').next().unwrap_or_default();
    let mut refuse = |why: &str| faults.wrong(format!("can't protect {prefix}: {why}"));
    if host.index.iter().any(|index| index == name) {
        refuse("the page is shown for its directory, too: protect that");
    }
    if host.pretty_urls && name.ends_with(".html") {
        refuse("the page is shown without .html, too: protect its directory");
    }
    let Some(path) = host.root.as_ref().map(|root| root.join(prefix.trim_start_matches('/'))) else { return };
    if name.is_empty() || path.is_dir() {
        return;
    }
    if negotiates && name.contains('.') {
        refuse("--negotiate shows the file under shorter names, too: protect its directory");
    }
    let is_of_files = matches!(route.handler, None | Some(Handler::Files));
    if is_of_files && !catalogue::ALL.iter().any(|app| app.path == *prefix) {
        let page = format!("{name}.html");
        let mut longer = longer_names(&path);
        let longer = longer.find(|longer| {
            let is_coded = path.is_file() && files::original(longer.as_bytes()) == Some(name.as_bytes());
            negotiates || is_coded || (host.pretty_urls && *longer == page)
        });
        if let Some(longer) = longer {
            refuse(&format!("{longer} is shown under its own name, too: protect its directory"));
        }
    }
}

/// The names of the files that have an ending behind this path.
fn longer_names(path: &Path) -> impl Iterator<Item = String> {
    let start = path.file_name().map(|name| format!("{}.", name.to_string_lossy()));
    let entries = path.parent().and_then(|directory| directory.read_dir().ok()).into_iter().flatten();
    let names =
        entries.take(limits::NAMES).filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    names.filter(move |name| start.as_ref().is_some_and(|start| name.starts_with(start)))
}

fn has_private(host: &Host) -> bool {
    host.root.as_ref().is_some_and(|root| root.join(PRIVATE.trim_matches('/')).is_dir())
}

/// Opens a password file. If it can't be read, there are no users.
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

    #[test]
    fn the_demonstration_is_for_this_machine_alone() {
        use Demonstration::*;
        for (demonstration, local, expected) in [
            (Off, true, Some(false)),
            (Off, false, Some(false)),
            (IfLocal, true, Some(true)),
            (IfLocal, false, Some(false)),
            (On, true, Some(true)),
            (On, false, None),
        ] {
            let host = Host { demonstration, ..Host::default() };
            let mut faults = Faults::default();
            let found = is_demonstration(&host, local, &mut faults);
            assert_eq!(faults.finish().ok().map(|()| found), expected, "{demonstration:?} {local}");
        }
    }

    #[test]
    fn private_is_for_users_who_can_log_in_unless_other_paths_are_protected() {
        let files = Scratch::new();
        files.directory("www/private");
        files.file("users", USERS);
        let protected = |host: &Host, demonstration: bool| {
            let mut faults = Faults::default();
            let (guard, protected) =
                protect(host, users(host, demonstration, &mut faults).as_ref(), false, &mut faults);
            faults.finish().unwrap();
            let is_protected = protected.iter().any(|(at, by)| at == PRIVATE && *by != Protection::Open);
            assert_eq!(guard.find(b"/private/x").is_some(), is_protected);
            protected
        };
        let by_file = |prefix: &str| vec![(prefix.to_owned(), Protection::File(files.at("users"), 1))];

        let mut host = Host { root: Some(files.at("www")), ..Host::default() };
        assert_eq!(protected(&host, true), [(PRIVATE.to_owned(), Protection::Demonstration)]);
        assert_eq!(protected(&host, false), [(PRIVATE.to_owned(), Protection::Open)], "the operator gets a note");
        host.route("/a").auth = Some(files.at("users"));
        for demonstration in [true, false] {
            assert_eq!(protected(&host, demonstration), by_file("/a"));
        }
        host = Host { root: Some(files.at("www")), users: Some(files.at("users")), ..Host::default() };
        for demonstration in [true, false] {
            assert_eq!(protected(&host, demonstration), by_file(PRIVATE));
        }
        host = Host { root: Some(files.at("users")), ..Host::default() };
        assert_eq!(protected(&host, false), [], "there is no such directory");
    }

    #[test]
    fn a_file_is_not_protected_without_what_is_compressed_of_it() {
        let files = Scratch::new();
        files.directory("www/d");
        for file in ["www/a.html", "www/a.html.gz", "www/b.html", "www/b.html.txt", "www/d.gz"] {
            files.file(file, "x");
        }
        files.file("users", USERS);
        for (path, expected) in [
            ("/a.html", Some("a.html.gz is shown under its own name, too: protect its directory")),
            ("/b.html", None),
            ("/d", None),
            ("/a.html.gz", None),
        ] {
            let mut host = Host { root: Some(files.at("www")), ..Host::default() };
            host.route(path).auth = Some(files.at("users"));
            let mut faults = Faults::default();
            protect(&host, None, false, &mut faults);
            let found = faults.finish().err().map(|error| format!("{error:?}"));
            assert_eq!(found.is_some(), expected.is_some(), "{path}");
            assert!(expected.is_none_or(|why| found.unwrap_or_default().contains(why)), "{path}");
        }
    }
}
