//! `miod passwd`: writes password files.
//!
//! The file is replaced as a whole: who reads it meanwhile, a running server say, sees
//! it as it was or as it is, and a failure leaves it as it was.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};

use super::failure::Failure;
use super::options::Value;
use super::tool::{Opt, Said, Tool};
use super::{Command, UsageError, prompt};
use crate::auth::htpasswd;

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The password file.
    pub file: PathBuf,
    /// Whose line.
    pub user: String,
    /// What about it.
    pub action: Action,
}

/// What becomes of a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// A new password, with this cost of bcrypt.
    Set(u32),
    /// The end.
    Delete,
}

/// About 50 ms a check: slow enough for who guesses, quick enough for a small machine.
const COST: u32 = 10;

/// What the options say.
struct Draft {
    cost: u32,
    delete: bool,
}

impl Default for Draft {
    fn default() -> Self {
        Self { cost: COST, delete: false }
    }
}

const TOOL: Tool<Draft> = Tool {
    name: "passwd",
    usage: "miod passwd writes the password files of --auth and --users.

Usage: miod passwd [OPTIONS] FILE USER

Sets the password of USER in FILE, which is made if it isn't there. The password is asked for twice
on a terminal; otherwise it is the first line of standard input. A running server notices.
",
    options: &[
        Opt {
            long: "delete",
            short: Some('D'),
            value: Value::None,
            help: "take USER out of FILE",
            apply: |draft, _| {
                draft.delete = true;
                Ok(())
            },
        },
        Opt {
            long: "cost",
            short: None,
            value: Value::Required("N"),
            help: "of bcrypt, 4 to 15; each step doubles the time of a check (default: 10)",
            apply: |draft, text| {
                let cost = text.parse().ok().filter(|cost| htpasswd::COSTS.contains(cost));
                draft.cost = cost.ok_or("give a number from 4 to 15")?;
                Ok(())
            },
        },
    ],
    more: "Examples:
  miod passwd users.htpasswd alice
  printf 'apple\\n' | miod passwd users.htpasswd alice
  miod --auth /private=users.htpasswd
",
};

/// Reads the arguments behind the command.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let (draft, places) = match TOOL.parse(arguments)? {
        Said::Do(draft, places) => (draft, places),
        Said::Help(text) => return Ok(Command::Help(text)),
        Said::Version => return Ok(Command::Version),
    };
    let [file, user] = <[String; 2]>::try_from(places).map_err(|_| UsageError("give FILE USER".to_owned()))?;
    htpasswd::check_name(&user).map_err(|hint| UsageError(hint.to_owned()))?;
    let action = if draft.delete { Action::Delete } else { Action::Set(draft.cost) };
    Ok(Command::Passwd(Options { file: file.into(), user, action }))
}

/// Does it, and says in a line what was done.
///
/// # Errors
/// If nothing was done.
pub fn run(options: &Options) -> Result<String, Failure> {
    let Options { file, user, action } = options;
    // A link stays a link.
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
        return Err(Failure::configuration(format!("there is no user {user} in {}", file.display())));
    }
    replace(&path, &text, old.as_ref()).map_err(|error| failed("write", file, &error))?;
    let done = match (action, was_there) {
        (Action::Delete, _) => "is no user any more",
        (Action::Set(_), true) => "has a new password",
        (Action::Set(_), false) => "is a user now",
    };
    let mut said = format!("{user} {done} in {}\n", file.display());
    if let Some(wrong) = htpasswd::parse(&text).1 {
        said += &format!("line {} can't be used, and no server starts with it: {}\n", wrong.line, wrong.why);
    }
    Ok(said)
}

fn new_hash(user: &str, cost: u32) -> Result<String, Failure> {
    let password = prompt::new_password(user)?;
    htpasswd::check_password(&password).map_err(Failure::configuration)?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)
        .map_err(|error| Failure::runtime("get random octets", &io::Error::other(error.to_string())))?;
    htpasswd::hash(&password, cost, salt).map_err(Failure::configuration)
}

/// What is in the file, if there is one.
fn read(path: &Path) -> io::Result<Option<(fs::Metadata, Vec<u8>)>> {
    match htpasswd::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(None) => Err(io::Error::other("it is larger than a password file may be")),
        other => other,
    }
}

/// Puts a file with this text in the place of `path`. It has the owner and the mode
/// of the old one; a new one is for its owner alone.
fn replace(path: &Path, text: &[u8], old: Option<&fs::Metadata>) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("that is no name of a file"))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Hidden, so that no server of this directory shows it.
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let new = parent.join(hidden);
    let written = write_new(&new, text, old).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // It may not even be there.
        let _ = fs::remove_file(&new);
    }
    written?;
    File::open(parent)?.sync_all()
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

fn failed(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::runtime(&format!("{what} {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn what_one_can_write() {
        let user = "alice".to_owned();
        for (line, action) in [
            ("f alice", Action::Set(10)),
            ("--cost 12 f alice", Action::Set(12)),
            ("f --cost=4 alice", Action::Set(4)),
            ("-D f alice", Action::Delete),
            ("f alice --delete", Action::Delete),
        ] {
            let expected = Options { file: "f".into(), user: user.clone(), action };
            assert!(matches!(read_line(line), Ok(Command::Passwd(options)) if options == expected), "{line}");
        }
        assert!(
            matches!(read_line("--help"), Ok(Command::Help(text)) if text.contains("-D") && text.contains("(default: 10)"))
        );
        for (line, hint) in [
            ("", "FILE USER"),
            ("f", "FILE USER"),
            ("f a b", "FILE USER"),
            ("f a:b", "colons"),
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
