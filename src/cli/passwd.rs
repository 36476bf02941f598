//! `miod passwd`: writes password files.
//!
//! The file is replaced atomically: a running server reads the old one or the new one, and
//! an error leaves the old one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};

use super::arguments::Tool;
use super::error::CommandError;
use super::{Command, UsageError, prompt};
use crate::auth::htpasswd;
use crate::config::options::{Draft, Opt, Setter, Value, assign};

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PasswdPlan {
    /// The password file.
    pub file: PathBuf,
    /// The user.
    pub user: String,
    /// What to do with the user.
    pub action: Action,
}

/// What to do with a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Set the password, with this cost of bcrypt.
    Set(u32),
    /// Remove the user.
    Delete,
}

/// About 50 ms for each check: slow enough against guessing, fast enough for a small machine.
const COST: u32 = 10;

/// The options.
pub(super) struct PasswdDraft {
    cost: u32,
    delete: bool,
}

impl Default for PasswdDraft {
    fn default() -> Self {
        Self { cost: COST, delete: false }
    }
}

pub(super) const TOOL: Tool<PasswdDraft> = Tool {
    usage: "miod passwd writes the password files of --auth and --users.

Usage: miod passwd [OPTIONS] FILE USER

Sets the password of USER in FILE, which is created if absent. On a terminal the password is asked
for twice; otherwise it is the first line of standard input. A running server uses the new file at
once.
",
    options: &[
        Opt {
            long: "delete",
            short: Some('D'),
            help: "remove USER from FILE",
            set: assign!(Command.delete = true),
            ..Opt::DEFAULT
        },
        Opt {
            long: "cost",
            value: Value::Required("N"),
            help: "the cost of bcrypt, 4 to 15; each step doubles the time of a check",
            default: |draft| draft.command.cost.to_string(),
            set: Setter::Command(|draft, text| {
                let cost = text.parse().ok().filter(|cost| htpasswd::COSTS.contains(cost));
                draft.cost = cost.ok_or("give a number from 4 to 15")?;
                Ok(())
            }),
            ..Opt::DEFAULT
        },
    ],
    tap: &[],
    defaults: Draft::default,
    more: "Examples:
  miod passwd users.htpasswd alice
  printf 'apple\\n' | miod passwd users.htpasswd alice
  miod --auth /private=users.htpasswd
",
};

/// Parses the arguments after the command.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Command, UsageError> {
    TOOL.parse(arguments, |Draft { command: draft, .. }, positional| {
        let [file, user] = <[String; 2]>::try_from(positional).map_err(|_| UsageError("give FILE USER".to_owned()))?;
        htpasswd::check_name(&user).map_err(|hint| UsageError(hint.to_owned()))?;
        let action = if draft.delete { Action::Delete } else { Action::Set(draft.cost) };
        Ok(Command::Passwd(PasswdPlan { file: file.into(), user, action }))
    })
}

/// Edits the file; returns a line that reports the change.
///
/// # Errors
/// If the file is unchanged.
pub fn run(plan: &PasswdPlan) -> Result<String, CommandError> {
    let PasswdPlan { file, user, action } = plan;
    // The target of a symbolic link is replaced, so that the link stays.
    let path = fs::canonicalize(file).unwrap_or_else(|_| file.clone());
    let before = read(&path).map_err(|error| failed("read", file, &error))?;
    let (old, text) = match before {
        Some((metadata, text)) => (Some(metadata), text),
        None => (None, Vec::new()),
    };
    let hash = match action {
        Action::Delete => None,
        Action::Set(cost) => Some(new_hash(user, *cost)?),
    };
    let (text, was_there) = htpasswd::edit(&text, user, hash.as_deref());
    if hash.is_none() && !was_there {
        return Err(CommandError::configuration(format!("there is no user {user} in {}", file.display())));
    }
    replace(&path, &text, old.as_ref()).map_err(|error| failed("write", file, &error))?;
    let done = match (action, was_there) {
        (Action::Delete, _) => "removed from",
        (Action::Set(_), true) => "has a new password in",
        (Action::Set(_), false) => "added to",
    };
    let mut report = format!("{user} {done} {}\n", file.display());
    if let Some(wrong) = htpasswd::parse(&text).1 {
        report += &format!("line {} is wrong, so no server starts with this file: {}\n", wrong.line, wrong.why);
    }
    Ok(report)
}

fn new_hash(user: &str, cost: u32) -> Result<String, CommandError> {
    let password = prompt::new_password(user)?;
    htpasswd::check_password(&password).map_err(CommandError::configuration)?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)
        .map_err(|error| CommandError::runtime("get random bytes", &io::Error::other(error.to_string())))?;
    htpasswd::hash(&password, cost, salt).map_err(CommandError::configuration)
}

/// The content of the file; `None` if it doesn't exist.
fn read(path: &Path) -> io::Result<Option<(fs::Metadata, Vec<u8>)>> {
    match htpasswd::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(None) => Err(io::Error::other("the file is too large for a password file")),
        other => other,
    }
}

/// Replaces the file at `path` by one with this text. Owner and mode stay; a new file is
/// readable by its owner only.
fn replace(path: &Path, text: &[u8], old: Option<&fs::Metadata>) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it isn't a file name"))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Hidden, so no server of this directory sends it.
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let new = parent.join(hidden);
    let written = write_new(&new, text, old).and_then(|()| match fs::rename(&new, path) {
        // A file that is a mount point, as in containers, can't be replaced, only written.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => overwrite(path, text),
        renamed => renamed,
    });
    // It is gone if it was renamed.
    let _ = fs::remove_file(&new);
    written?;
    File::open(parent)?.sync_all()
}

/// Writes into the existing file. A server that reads it meanwhile finds only a part of it,
/// and reads it again when its modification time changes.
fn overwrite(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn write_new(path: &Path, text: &[u8], old: Option<&fs::Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if let Some(old) = old {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
            fchown(&file, Some(Uid::from_raw(old.uid())), Some(Gid::from_raw(old.gid())))?;
        }
        fchmod(&file, Mode::from_raw_mode(old.mode() & 0o777))?;
    }
    file.write_all(text)?;
    file.sync_all()
}

fn failed(what: &str, path: &Path, error: &io::Error) -> CommandError {
    CommandError::runtime(&format!("{what} {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn command_lines_and_mistakes() {
        let user = "alice".to_owned();
        for (line, action) in [
            ("f alice", Action::Set(10)),
            ("--cost 12 f alice", Action::Set(12)),
            ("f --cost=4 alice", Action::Set(4)),
            ("-D f alice", Action::Delete),
            ("f alice --delete", Action::Delete),
        ] {
            let expected = PasswdPlan { file: "f".into(), user: user.clone(), action };
            assert!(matches!(read_line(line), Ok(Command::Passwd(plan)) if plan == expected), "{line}");
        }
        assert!(
            matches!(read_line("--help"), Ok(Command::Help(text)) if text.contains("-D") && text.contains("(default: 10)"))
        );
        for (line, hint) in [
            ("", "FILE USER"),
            ("f", "FILE USER"),
            ("f a b", "FILE USER"),
            ("f a:b", "colon"),
            ("f #a", "#"),
            ("--cost 3 f a", "4 to 15"),
            ("--cost 16 f a", "4 to 15"),
            ("f a --cost", "needs a value"),
            ("-x f a", "-x"),
        ] {
            let error = read_line(line).expect_err(line);
            assert!(error.0.contains(hint), "{line}: {error}");
        }
    }
}
