//! The privileges of the process: given up before the first client.
//!
//! ```text
//! no new privileges ─► ports, keys, logs, stores, as root ─► files get their owner ─► the user
//! ```
//!
//! No program that this process could start gains privileges, whatever its file says
//! (`PR_SET_NO_NEW_PRIVS`). A process of root with `--user` opens all that needs root, and then
//! becomes that user for good. It still has to write some of what it has made as root: these
//! files get the new owner. What the operator has made stays as it is, but for the access log;
//! if the user can't write it, that is logged.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, accessat, chownat, fstat, openat};

use super::ServerError;
use super::access::{Allowed, access};
use super::identity::Identity;
use crate::config::{AccessLog, Config, SessionStore};
use crate::reactor::{change_user, forbid_new_privileges};

/// The change of the user that is to come.
pub(super) struct ChangeOfUser {
    identity: Identity,
    /// Files that get the new owner if root owns them.
    files: Vec<PathBuf>,
    /// Directories for this server alone. What is made there gets the new owner.
    directories: Vec<PathBuf>,
    /// What was in these directories, and they themselves, before the start.
    known: BTreeSet<PathBuf>,
    /// What is read at any time.
    read: Vec<PathBuf>,
}

/// Forbids new privileges, for all threads that are to come.
///
/// # Errors
/// If the system refuses.
pub(super) fn forbid_new() -> Result<(), ServerError> {
    forbid_new_privileges().map_err(|error| ServerError::Config(format!("can't forbid new privileges: {error}")))
}

/// Becomes another user, if that is planned; else says so if the process stays root's.
///
/// # Errors
/// See [`ChangeOfUser::carry_out`].
pub(super) fn give_up(change: Option<ChangeOfUser>) -> Result<(), ServerError> {
    match change {
        Some(change) => change.carry_out()?,
        None if rustix::process::geteuid().is_root() => {
            log::warn!("the server runs as root; --user NAME gives that up when the ports are open");
        }
        None => {}
    }
    Ok(())
}

impl ChangeOfUser {
    /// What `--user` asks for, before anything is opened. None if it isn't given, or if the
    /// process is of that user already.
    ///
    /// # Errors
    /// If there is no such user, or the process isn't root's.
    pub(super) fn plan(config: &Config, state: Option<&Path>) -> Result<Option<Self>, ServerError> {
        let is_root = rustix::process::geteuid().is_root();
        let Some(wanted) = &config.process.user else { return Ok(None) };
        let identity = Identity::find(wanted).map_err(ServerError::Config)?;
        if rustix::process::geteuid().as_raw() == identity.user {
            return Ok(None);
        }
        if !is_root {
            return Err(ServerError::Config(format!("--user {wanted}: only root can become another user")));
        }
        let mut directories: Vec<PathBuf> = config.process.data.clone().into_iter().collect();
        if let SessionStore::Directory(directory) = &config.process.sessions.store {
            directories.push(directory.clone());
        }
        let needs = access(config, &[], state);
        directories.extend(state.filter(|_| needs.iter().any(|needed| is_below(needed, state))).map(PathBuf::from));
        let mut files = files(config);
        let absent = |path: &Path| path.ancestors().skip(1).take_while(|at| is_absent(at)).map(PathBuf::from).collect();
        let parents: Vec<Vec<PathBuf>> = directories.iter().chain(&files).map(|path| absent(path)).collect();
        files.extend(parents.concat());
        let known = directories.iter().flat_map(|directory| tree(directory)).collect();
        let read = needs.into_iter().filter_map(|needed| match needed {
            Allowed::Read(path) => Some(path),
            _ => None,
        });
        Ok(Some(Self { identity, files, directories, known, read: read.collect() }))
    }

    /// Becomes the user, for good.
    ///
    /// # Errors
    /// If the system refuses, or would let the process go back.
    fn carry_out(self) -> Result<(), ServerError> {
        let Identity { name, user, group, groups } = &self.identity;
        let found: Vec<_> = self.directories.iter().flat_map(|directory| tree(directory)).collect();
        let made = found.iter().filter(|path| !self.known.contains(*path));
        for path in made.chain(&self.files) {
            if let Err(error) = give(path, *user, *group) {
                log::warn!("{} can't be given to the user {name}: {error}", path.display());
            }
        }
        change_user(*user, *group, groups)
            .map_err(|error| ServerError::Config(format!("can't become the user {name}: {error}")))?;
        log::info!("the server runs as the user {name} ({user}), group {group}");
        for path in found.iter().chain(&self.files).filter(|path| is_forbidden(path, Access::WRITE_OK)) {
            log::warn!("the user {name} can't write {}", path.display());
        }
        for path in self.read.iter().filter(|path| is_forbidden(path, Access::READ_OK)) {
            log::warn!("the user {name} can't read {}", path.display());
        }
        Ok(())
    }
}

/// Whether something that is written is below the state directory.
fn is_below(needed: &Allowed, state: Option<&Path>) -> bool {
    match (needed, state) {
        (Allowed::Create(path) | Allowed::Write(path), Some(state)) => path.starts_with(state),
        _ => false,
    }
}

/// The files that options name, and that the server writes. Those with keys are only written
/// when they are made, so they aren't among them if they exist.
fn files(config: &Config) -> Vec<PathBuf> {
    let process = &config.process;
    let key_logs = config.listeners.iter().filter_map(|listener| listener.tls.as_ref()?.key_log.as_ref());
    let secrets = process.sessions.key.iter().chain(key_logs).filter(|path| !path.exists());
    let mut files: Vec<PathBuf> = secrets.chain(&process.pid_file).chain(&process.tap.file).cloned().collect();
    if let AccessLog::File(path) = &process.logging.access {
        files.push(path.clone());
    }
    files.extend(config.hosts.iter().filter_map(|host| host.access_log.clone()));
    let bind = config.listeners.iter().flat_map(|listener| &listener.bind);
    files.extend(bind.filter_map(|bind| bind.strip_prefix("unix:")).map(PathBuf::from));
    files
}

/// Whether a directory will have to be made.
fn is_absent(path: &Path) -> bool {
    !path.as_os_str().is_empty() && !path.exists()
}

/// A directory and what is in it, two levels deep. Links aren't followed.
fn tree(directory: &Path) -> Vec<PathBuf> {
    let children = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    };
    if !directory.exists() {
        return Vec::new();
    }
    let first = children(directory);
    let real = first.iter().filter(|path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()));
    let second: Vec<_> = real.flat_map(|path| children(path)).collect();
    [vec![directory.to_owned()], first, second].concat()
}

/// Gives a file or directory of root's to a user. Another's, a link, a device, and a file that
/// has a second name stay as they are: that name may be somebody's way to a file of root's.
fn give(path: &Path, user: u32, group: u32) -> rustix::io::Result<()> {
    let file = match openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        other => other?,
    };
    let found = fstat(&file)?;
    let is_single = match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile | FileType::Socket => found.st_nlink == 1,
        FileType::Directory => true,
        _ => false,
    };
    if found.st_uid != 0 || !is_single {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    chownat(file.as_fd(), "", Some(user), Some(group), AtFlags::EMPTY_PATH)
}

/// Whether the process may not do that with a file or directory that exists.
fn is_forbidden(path: &Path, how: Access) -> bool {
    let how = if path.is_dir() { how | Access::EXEC_OK } else { how };
    accessat(CWD, path, how, AtFlags::EACCESS) == Err(rustix::io::Errno::ACCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Host, Listener, LogOptions, Process, Tls};
    use crate::files::scratch::Scratch;

    #[test]
    fn the_files_that_are_written_are_known() {
        let logging = LogOptions { access: AccessLog::File("log".into()), ..LogOptions::default() };
        let mut process = Process { pid_file: Some("pid".into()), logging, ..Process::default() };
        process.sessions.key = Some("key".into());
        let bind = ["127.0.0.1", "unix:/run/s"].map(str::to_owned).to_vec();
        let tls = Some(Tls { key_log: Some("secrets".into()), ..Tls::default() });
        let host = Host { access_log: Some("hostlog".into()), ..Host::default() };
        let config = Config::single(process, Listener { bind, tls, ..Listener::default() }, host);
        assert_eq!(files(&config), ["key", "secrets", "pid", "log", "hostlog", "/run/s"].map(PathBuf::from));
    }

    #[test]
    fn a_tree_has_two_levels_and_follows_no_link() {
        let scratch = Scratch::new();
        scratch.directory("a/b/c");
        scratch.file("a/file", "");
        scratch.file("a/b/c/deep", "");
        scratch.link("a/link", "b");
        let mut found = tree(&scratch.at("a"));
        found.sort();
        assert_eq!(found, ["a", "a/b", "a/b/c", "a/file", "a/link"].map(|name| scratch.at(name)));
        assert!(tree(&scratch.at("none")).is_empty());
    }

    #[test]
    fn only_root_becomes_another_user() {
        let process = Process { user: Some("miod-no-such-user".to_owned()), ..Process::default() };
        let config = Config::single(process, Listener::default(), Host::default());
        let error = ChangeOfUser::plan(&config, None).err();
        assert!(matches!(error, Some(ServerError::Config(text)) if text.contains("unknown user")));
        if !rustix::process::geteuid().is_root() {
            let process = Process { user: Some("12345:12345".to_owned()), ..Process::default() };
            let config = Config::single(process, Listener::default(), Host::default());
            let error = ChangeOfUser::plan(&config, None).err();
            assert!(matches!(error, Some(ServerError::Config(text)) if text.contains("only root")));
        }
    }
}
