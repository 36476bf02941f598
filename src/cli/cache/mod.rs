//! `miod cache`: lists, shows and checks what the proxies have stored in a directory, and purges it.
//!
//! ```text
//! list, show, check ─▶ the directory, also while a server uses it
//! purge ─┬─▶ the directory, while no server uses it
//!        └─▶ a running server, by its service for operators
//! ```
//!
//! It runs no loop.

mod purge;
mod shown;

use std::ffi::OsString;
use std::path::PathBuf;

use super::arguments::Tool;
use super::error::CommandError;
use super::{Command, UsageError};
use crate::cache::{Purge, uri};
use crate::config::options::{Draft, Opt, Setter, Value};
use crate::config::values;

/// The port of the service for operators.
const ADMIN_PORT: u16 = 9180;

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CachePlan {
    /// List all entries.
    List {
        /// Where they are.
        directory: PathBuf,
        /// As objects.
        json: bool,
    },
    /// Show the entries of a URI.
    Show {
        /// Where they are.
        directory: PathBuf,
        /// The URI.
        uri: Vec<u8>,
        /// Only their heads.
        only_head: bool,
    },
    /// Check all entries.
    Check {
        /// Where they are.
        directory: PathBuf,
    },
    /// Remove entries.
    Purge {
        /// Where they are, or who has them.
        from: Owner,
        /// Which.
        what: Vec<Purge>,
    },
}

/// Who removes entries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Owner {
    /// This process, in a directory.
    Directory(PathBuf),
    /// A server whose service for operators is at this host and port.
    Tcp(String, u16),
    /// A server whose service for operators has this socket.
    Unix(PathBuf),
}

/// The options.
#[derive(Default)]
pub(super) struct CacheDraft {
    json: bool,
    only_head: bool,
    admin: Option<Owner>,
    what: Vec<Purge>,
}

pub(super) const TOOL: Tool<CacheDraft> = Tool {
    usage: "miod cache lists, shows and checks the responses that proxies have stored, and purges them.

Usage: miod cache list [--json] DIR
       miod cache show [--head] DIR URL
       miod cache check DIR
       miod cache purge DIR|--admin ADDR [URL...] [--prefix URL] [--tag TAG] [--all]

DIR is the directory of --proxy-cache. All but purge may be used while a server uses it. list prints
a line for each response: status, bytes, age, for how long it is fresh or since when it isn't, URL.
show prints what is stored for a URL. check reads all, and says what is damaged. purge removes; if
a server uses the directory, it is asked to, by its service for operators (--admin).
",
    options: &[
        Opt {
            long: "json",
            help: "list: print one JSON object per line",
            set: Setter::Command(|draft, _| {
                draft.json = true;
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "head",
            help: "show: print no bodies",
            set: Setter::Command(|draft, _| {
                draft.only_head = true;
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "admin",
            value: Value::Required("ADDR[:PORT]"),
            help: "purge: ask the server that answers operators here (default port: 9180; or unix:PATH)",
            set: Setter::Command(|draft, text| {
                draft.admin = Some(admin(text)?);
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "prefix",
            value: Value::Required("URL"),
            help: "purge: what has a URL that begins so",
            repeatable: true,
            set: Setter::Command(|draft, text| {
                draft.what.push(Purge::Prefix(uri(text).map_err(|error| error.to_string())?));
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "tag",
            value: Value::Required("TAG"),
            help: "purge: what has this tag in its Cache-Tag field",
            repeatable: true,
            set: Setter::Command(|draft, text| {
                if text.is_empty() {
                    return Err("give a tag".to_owned());
                }
                draft.what.push(Purge::Tag(text.as_bytes().to_vec()));
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "all",
            help: "purge: everything",
            set: Setter::Command(|draft, _| {
                draft.what.push(Purge::All);
                Ok(())
            }),
            ..Opt::DEFAULT
        },
    ],
    tap: &[],
    defaults: Draft::default,
    more: "Exit codes: 0; 1 nothing is stored for the URL, something is damaged, or the server doesn't answer;
2 usage error; 69 a server uses the directory; 77 permission denied.

Examples:
  miod cache list /var/cache/miod
  miod cache show --head /var/cache/miod http://localhost:8080/
  miod cache purge --admin localhost http://localhost:8080/news
  miod cache purge --admin unix:/run/miod/admin --tag news
",
};

fn admin(text: &str) -> Result<Owner, String> {
    match text.strip_prefix("unix:") {
        Some("") => Err("give a path after unix:".to_owned()),
        Some(path) => Ok(Owner::Unix(path.into())),
        None => values::target(text, ADMIN_PORT).map(|(host, port)| Owner::Tcp(host, port)),
    }
}

pub(super) fn parse(arguments: Vec<OsString>) -> Result<Command, UsageError> {
    TOOL.parse(arguments, |Draft { command: draft, .. }, words| CachePlan::of(draft, &words).map(Command::Cache))
}

fn wrong<T>(hint: &str) -> Result<T, UsageError> {
    Err(UsageError(hint.to_owned()))
}

impl CachePlan {
    fn of(draft: CacheDraft, words: &[String]) -> Result<Self, UsageError> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let purges = draft.admin.is_some() || !draft.what.is_empty();
        let plan = match words.as_slice() {
            ["purge", rest @ ..] => return Self::purge(draft, rest),
            ["list", directory] => Self::List { directory: directory.into(), json: draft.json },
            ["show", directory, url] => {
                Self::Show { directory: directory.into(), uri: uri_of(url)?, only_head: draft.only_head }
            }
            ["check", directory] => Self::Check { directory: directory.into() },
            _ => return wrong("give list DIR, show DIR URL, check DIR, or purge DIR URL"),
        };
        match plan {
            _ if purges => wrong("--admin, --prefix, --tag and --all are for purge"),
            Self::Show { .. } | Self::Check { .. } if draft.json => wrong("--json is for list"),
            Self::List { .. } | Self::Check { .. } if draft.only_head => wrong("--head is for show"),
            plan => Ok(plan),
        }
    }

    fn purge(draft: CacheDraft, words: &[&str]) -> Result<Self, UsageError> {
        let CacheDraft { json, only_head, admin, mut what } = draft;
        if json || only_head {
            return wrong("--json is for list, and --head for show");
        }
        let (from, urls) = match (admin, words) {
            (Some(server), urls) => (server, urls),
            (None, [directory, urls @ ..]) => (Owner::Directory(directory.into()), urls),
            (None, []) => return wrong("give DIR, or --admin ADDR"),
        };
        for url in urls {
            what.push(Purge::Uri(uri_of(url)?));
        }
        match what.is_empty() {
            true => wrong("what is to be purged? give URLs, --prefix URL, --tag TAG or --all"),
            false => Ok(Self::Purge { from, what }),
        }
    }

    /// Runs the command. What it finds goes to standard output.
    ///
    /// # Errors
    /// If the directory can't be used, or the server doesn't answer; if there is nothing to show, or
    /// something is damaged.
    pub fn run(&self) -> Result<(), CommandError> {
        match self {
            Self::List { directory, json } => shown::list(directory, *json),
            Self::Show { directory, uri, only_head } => shown::show(directory, uri, *only_head),
            Self::Check { directory } => shown::check(directory),
            Self::Purge { from, what } => {
                let removed = purge::run(from, what)?;
                super::print(&format!("removed {removed}\n"));
                Ok(())
            }
        }
    }
}

fn uri_of(url: &str) -> Result<Vec<u8>, UsageError> {
    uri(url).map_err(|error| UsageError(format!("{url:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<CachePlan, String> {
        match parse(words.split_whitespace().map(OsString::from).collect()) {
            Ok(Command::Cache(plan)) => Ok(plan),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.0),
        }
    }

    #[test]
    fn command_lines() {
        let directory = || PathBuf::from("/c");
        let (uri, b) = (|| b"http://a/".to_vec(), || Purge::Uri(b"http://a/b".to_vec()));
        let of = || Owner::Directory(directory());
        let at = |host: &str, port| Owner::Tcp(host.to_owned(), port);
        for (words, expected) in [
            ("list /c", CachePlan::List { directory: directory(), json: false }),
            ("list --json /c", CachePlan::List { directory: directory(), json: true }),
            ("show /c http://A:80", CachePlan::Show { directory: directory(), uri: uri(), only_head: false }),
            ("show /c http://a/ --head", CachePlan::Show { directory: directory(), uri: uri(), only_head: true }),
            ("check /c", CachePlan::Check { directory: directory() }),
            ("purge /c http://a/b", CachePlan::Purge { from: of(), what: vec![b()] }),
            (
                "purge /c http://a/b --tag x --prefix http://a",
                CachePlan::Purge { from: of(), what: vec![Purge::Tag(b"x".to_vec()), Purge::Prefix(uri()), b()] },
            ),
            ("purge --admin h --all", CachePlan::Purge { from: at("h", 9180), what: vec![Purge::All] }),
            ("purge http://a/b --admin [::1]:1", CachePlan::Purge { from: at("::1", 1), what: vec![b()] }),
            (
                "purge --admin unix:/s --all",
                CachePlan::Purge { from: Owner::Unix("/s".into()), what: vec![Purge::All] },
            ),
        ] {
            assert_eq!(parsed(words), Ok(expected), "{words}");
        }
    }

    #[test]
    fn mistakes() {
        for (words, hint) in [
            ("", "give list DIR"),
            ("list", "give list DIR"),
            ("dump /c", "give list DIR"),
            ("show /c", "give list DIR"),
            ("list /c http://a/", "give list DIR"),
            ("show /c /b", "give a URL like http://host/path"),
            ("purge", "give DIR, or --admin ADDR"),
            ("purge /c", "what is to be purged?"),
            ("purge --admin h", "what is to be purged?"),
            ("purge --admin h /c --all", "give a URL like"),
            ("purge /c --prefix x", "--prefix=x: give a URL like"),
            ("purge /c --tag=", "--tag"),
            ("purge /c --admin unix:", "give a path after unix:"),
            ("purge /c --all --json", "--json is for list"),
            ("list /c --all", "are for purge"),
            ("check /c --json", "--json is for list"),
            ("list /c --head", "--head is for show"),
        ] {
            let error = parsed(words).expect_err(words);
            assert!(error.contains(hint), "{words}: {error}");
        }
    }
}
