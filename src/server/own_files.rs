//! Files that the server writes, or that hold secrets, must not be served.
//!
//! The resolver that serves files decides whether a file is served, with the host's rules
//! for symbolic links and hidden names. There is no second rule. A client can request a
//! file by the path that the operator wrote, and by its real path. For a file or directory
//! that doesn't exist yet, its nearest existing parent decides.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::error::Faults;
use crate::config::{AccessLog, Config, SessionStore};
use crate::files::resolve::Root;

/// Refuses a configuration in which clients could request such a file. True if there is none.
pub(super) fn check(config: &Config, roots: &[Option<Root>], faults: &mut Faults) -> bool {
    let mut all_hidden = true;
    for (path, option) in own_files(config) {
        if let Some(root) = roots.iter().flatten().find(|root| is_served(path, root)) {
            all_hidden = false;
            faults.wrong(format!(
                "{} ({option}) is below the root {}, so every client could request it: move it elsewhere",
                path.display(),
                root.path().display()
            ));
        }
    }
    all_hidden
}

/// The files and directories, with the options that name them.
fn own_files(config: &Config) -> Vec<(&PathBuf, &'static str)> {
    let mut files = Vec::new();
    if let AccessLog::File(path) = &config.process.logging.access {
        files.push((path, "--access-log"));
    }
    if let SessionStore::Directory(path) = &config.process.sessions.store {
        files.push((path, "--sessions"));
    }
    files.extend(config.process.sessions.key.iter().map(|path| (path, "--session-key")));
    files.extend(config.process.data.iter().map(|path| (path, "--data")));
    files.extend(config.process.tap.file.iter().map(|path| (path, "--tap")));
    files.extend(config.process.pid_file.iter().map(|path| (path, "--pid-file")));
    for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        let keys = tls.certificates.iter().map(|files| files.key.as_ref().unwrap_or(&files.certificate));
        files.extend(keys.map(|path| (path, "--tls")));
        files.extend(tls.key_log.iter().map(|path| (path, "--tls-keylog")));
    }
    for host in &config.hosts {
        files.extend(host.access_log.iter().map(|path| (path, "access-log")));
        files.extend(host.users.iter().map(|path| (path, "--users")));
        files.extend(host.routes.iter().filter_map(|route| route.auth.as_ref()).map(|path| (path, "--auth")));
    }
    files
}

/// Whether a request could get this file, or one in this directory.
fn is_served(path: &Path, root: &Root) -> bool {
    let below = |path: &Path, root: &Path| path.strip_prefix(root).ok().map(Path::to_path_buf);
    let Ok(written) = std::path::absolute(path) else { return false };
    if below(&written, root.path()).is_some_and(|below| root.peek(below.as_os_str().as_bytes()).is_some()) {
        return true;
    }
    let Ok(real_root) = fs::canonicalize(root.path()) else { return false };
    if let Ok(real) = fs::canonicalize(path) {
        return below(&real, &real_root).is_some_and(|below| root.peek(below.as_os_str().as_bytes()).is_some());
    }
    // It doesn't exist yet.
    let parent = written.ancestors().find_map(|parent| Some((fs::canonicalize(parent).ok()?, parent)));
    let real = parent.and_then(|(real, parent)| Some(real.join(written.strip_prefix(parent).ok()?)));
    real.and_then(|real| below(&real, &real_root)).is_some_and(|below| root.may_serve(below.as_os_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::PemFiles;
    use crate::config::{Host, Listener, Process, Tls};
    use crate::files::resolve::Symlinks;
    use crate::files::scratch::Scratch;

    #[test]
    fn files_with_secrets_of_tls_are_own_files() {
        let tls = Tls {
            certificates: vec![PemFiles::parse("a.pem,a-key.pem").unwrap(), PemFiles::parse("b.pem").unwrap()],
            key_log: Some("secrets".into()),
            client_ca: Some("authority.pem".into()),
            ..Tls::default()
        };
        let listener = Listener { tls: Some(tls), ..Listener::default() };
        let config = Config::single(Process::default(), listener, Host::default());
        let found: Vec<_> = own_files(&config).into_iter().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(found, ["a-key.pem", "b.pem", "secrets"]);
    }

    #[test]
    fn a_file_is_served_if_the_resolver_serves_it() {
        let files = Scratch::new();
        for directory in ["www/.hidden", "www/.well-known", "www/a", "www/..2026", "elsewhere"] {
            files.directory(directory);
        }
        for name in
            ["www/users", "www/.htpasswd", "www/.hidden/users", "www/a/users", "www/..2026/users", "elsewhere/users"]
        {
            files.file(name, "x");
        }
        // As Kubernetes mounts a ConfigMap.
        files.link("www/..data", "..2026");
        files.link("www/mounted", "..data/users");
        files.link("www/out", "../elsewhere/users");
        files.link("link", "www/users");
        let inside = Root::open(&files.at("www"), Symlinks::Inside).unwrap();
        let none = Root::open(&files.at("www"), Symlinks::None).unwrap();
        for (name, with_links, without) in [
            ("elsewhere/users", false, false),
            ("www/users", true, true),
            ("www/a/users", true, true),
            ("www/a", true, true),
            ("www/.htpasswd", false, false),
            ("www/.hidden/users", false, false),
            ("www/.hidden", false, false),
            ("www/mounted", true, false),
            ("www/out", false, false),
            ("link", true, true),
            // These don't exist yet.
            ("www/access.log", true, true),
            ("www/new/data", true, true),
            ("www/.log", false, false),
            ("www/.hidden/log", false, false),
            ("www/.well-known/log", true, true),
            ("elsewhere/log", false, false),
        ] {
            assert_eq!(is_served(&files.at(name), &inside), with_links, "{name}");
            assert_eq!(is_served(&files.at(name), &none), without, "{name} without links");
        }
        // Nothing else is served of the directory of a root that is a file.
        let file = Root::open(&files.at("www/users"), Symlinks::Inside).unwrap();
        for (name, served) in [("www/users", true), ("link", true), ("www/a/users", false), ("www/access.log", false)] {
            assert_eq!(is_served(&files.at(name), &file), served, "{name}");
        }
    }
}
