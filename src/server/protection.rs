//! What is under protection, and who can log in: as the operator says, or else by
//! what the demonstration site needs.
//!
//! That has pages in [`PRIVATE`], which show what protection is. So that nobody puts
//! others there and believes them safe, that path is never open by itself: those who
//! can log in get there; else nobody does. As long as only this machine can connect,
//! the demonstration's user can log in.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::Failure;
use crate::auth::{DEMONSTRATION, Guard, Users};
use crate::config::Config;

/// What is under protection if nothing else is.
pub const PRIVATE: &str = "/private/";

/// Who gets to a protected path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Protection {
    /// So many users of a password file.
    File(PathBuf, usize),
    /// The demonstration's user.
    Demonstration,
    /// Nobody.
    Closed,
}

/// Who can log in, if anybody can. `local`: only this machine can connect.
pub(super) fn users(config: &Config, local: bool) -> Result<Option<(Users, Protection)>, Failure> {
    Ok(match &config.users {
        Some(file) => Some(open(file, &config.root)?),
        None if local => Some((Users::fixed(DEMONSTRATION).map_err(Failure::Config)?, Protection::Demonstration)),
        None => None,
    })
}

/// Makes the guard, and tells which paths it protects and from whom. `users` can log in.
pub(super) fn protect(
    config: &Config,
    users: Option<&(Users, Protection)>,
) -> Result<(Guard, Vec<(String, Protection)>), Failure> {
    let mut guard = Guard::default();
    let mut told = Vec::new();
    let mut add = |prefix: &str, users: Option<Users>, protection: Protection| {
        told.push((prefix.to_owned(), protection));
        guard.protect(prefix, users).map_err(|hint| Failure::Config(format!("can't protect {prefix}: {hint}")))
    };
    for (prefix, file) in &config.auth {
        let (users, protection) = open(file, &config.root)?;
        add(prefix, Some(users), protection)?;
    }
    if config.auth.is_empty() {
        match users.cloned() {
            Some((users, protection)) => add(PRIVATE, Some(users), protection)?,
            None => add(PRIVATE, None, Protection::Closed)?,
        }
    }
    // Where nothing is, nobody needs to know that it is closed.
    let has_private = config.root.join(PRIVATE.trim_matches('/')).is_dir();
    told.retain(|(_, protection)| *protection != Protection::Closed || has_private);
    Ok((guard, told))
}

/// Opens a password file, unless it is served itself.
fn open(file: &Path, root: &Path) -> Result<(Users, Protection), Failure> {
    let users = Users::open(file).map_err(Failure::Config)?;
    if let (Ok(path), Ok(root)) = (fs::canonicalize(file), fs::canonicalize(root))
        && let Ok(below) = path.strip_prefix(&root)
        && !below.components().any(is_hidden)
    {
        let sentence = "lies below the root, where everybody could fetch it: keep it elsewhere";
        return Err(Failure::Config(format!("{} {sentence}", file.display())));
    }
    let protection = Protection::File(file.to_owned(), users.count());
    Ok((users, protection))
}

/// Names that begin with a dot aren't served.
fn is_hidden(component: Component<'_>) -> bool {
    matches!(component, Component::Normal(name) if name.as_encoded_bytes().starts_with(b".") && name != ".well-known")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::scratch::Scratch;

    const USERS: &str = "alice:$2y$04$RGgDOvYKtT.rejuCbhz.melLwAGQVOl0yMXxMmxoroUInQhXZbhq6\n";

    fn protected(config: &Config, local: bool) -> Vec<(String, Protection)> {
        let (guard, told) = protect(config, users(config, local).unwrap().as_ref()).unwrap();
        assert_eq!(guard.find(b"/private/x").is_some(), told.iter().any(|(prefix, _)| prefix == PRIVATE));
        told
    }

    #[test]
    fn private_is_never_open_by_itself() {
        let files = Scratch::new();
        files.directory("www/private");
        files.file("users", USERS);
        let mut config = Config { root: files.at("www"), ..Config::default() };
        assert_eq!(protected(&config, true), [(PRIVATE.to_owned(), Protection::Demonstration)]);
        assert_eq!(protected(&config, false), [(PRIVATE.to_owned(), Protection::Closed)]);
        config.auth = vec![("/a".to_owned(), files.at("users"))];
        for local in [true, false] {
            assert_eq!(protected(&config, local), [("/a".to_owned(), Protection::File(files.at("users"), 1))]);
        }
        config = Config { root: files.at("www"), users: Some(files.at("users")), ..Config::default() };
        for local in [true, false] {
            assert_eq!(protected(&config, local), [(PRIVATE.to_owned(), Protection::File(files.at("users"), 1))]);
        }
        config = Config { root: files.at("users"), ..Config::default() };
        let (guard, told) = protect(&config, None).unwrap();
        assert!(guard.find(b"/private").is_some() && told.is_empty(), "closed, whether anything is there or not");
    }

    #[test]
    fn a_password_file_is_not_served() {
        let files = Scratch::new();
        for directory in ["www/.hidden", "www/.well-known", "www/a"] {
            files.directory(directory);
        }
        for (name, fine) in [
            ("users", true),
            ("www/.htpasswd", true),
            ("www/.hidden/users", true),
            ("www/users", false),
            ("www/a/users", false),
            ("www/.well-known/users", false),
        ] {
            files.file(name, USERS);
            assert_eq!(open(&files.at(name), &files.at("www")).is_ok(), fine, "{name}");
        }
        files.link("link", "www/users");
        assert!(open(&files.at("link"), &files.at("www")).is_err());
    }
}
