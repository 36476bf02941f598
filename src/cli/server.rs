//! The command lines of the servers: `serve`, `kv`, `echo` and `upper`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::arguments::{Arguments, Info, no_more};
use super::server_help::{server_help, table};
use super::suggest::nearest;
use super::{Command, TOOLS, UsageError, error, foreign};
use crate::config::options::{DEMONSTRATION_MARK, Draft, server_options};
use crate::config::{Apps, Demonstration, Host, ServerCommand};

/// Parses a command line that names no tool.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, UsageError> {
    // The command may follow its options.
    let all: Vec<_> = server_options().collect();
    let mut arguments = Arguments::split(&all, foreign::sentence, arguments)?;
    let named = arguments.positional.first().and_then(named);
    if named.is_some() {
        arguments.positional.remove(0);
    }
    let command = named.unwrap_or(ServerCommand::Serve);
    match arguments.info {
        Some(Info::Help) => return Ok(Command::Help(server_help(command))),
        Some(Info::Version) => return Ok(Command::Version),
        None => {}
    }
    if let Some((option, _)) = arguments.given.iter().find(|(option, _)| !option.belongs_to(command)) {
        return Err(UsageError(format!("{} has no option --{}", command.name(), option.long)));
    }
    let mut draft = Draft::at(command.default_port());
    arguments.apply_environment(&table(command), &mut draft, variable)?;
    arguments.apply(&mut draft)?;
    let mut positional = &arguments.positional[..];
    if command == ServerCommand::Serve {
        let root = match positional.split_first() {
            Some((root, rest)) => {
                positional = rest;
                PathBuf::from(root)
            }
            None => {
                let root = default_root();
                draft.host.demonstration = demonstration_of(&draft.host, &root);
                root
            }
        };
        if named.is_none() && is_mistyped(&root) {
            return Err(UsageError(unknown_word(&root)));
        }
        draft.host.root = Some(root);
    }
    no_more(positional)?;
    draft.check().map_err(UsageError)?;
    Ok(Command::Server(draft.build(command)))
}

fn named(word: &OsString) -> Option<ServerCommand> {
    ServerCommand::ALL.into_iter().find(|command| word == command.name())
}

/// The root if none is given.
pub(super) fn default_root() -> PathBuf {
    PathBuf::from(if Path::new("public").is_dir() { "public" } else { "." })
}

/// Whether a site without a given root is the demonstration. It is, if its default root has
/// the mark and no option chooses applications or users.
fn demonstration_of(host: &Host, root: &Path) -> Demonstration {
    let asks = host.apps != Apps::Usual || host.users.is_some() || host.routes.iter().any(|route| route.app.is_some());
    match host.demonstration {
        Demonstration::Off if !asks && root.join(DEMONSTRATION_MARK).exists() => Demonstration::IfLocal,
        chosen => chosen,
    }
}

/// Whether the root was probably meant as a command: it is a plain word, and no such path
/// exists.
fn is_mistyped(root: &Path) -> bool {
    let is_word =
        root.to_str().is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    is_word && !root.exists()
}

fn unknown_word(root: &Path) -> String {
    let word = root.to_string_lossy();
    let names = ServerCommand::ALL.map(ServerCommand::name).into_iter().chain(TOOLS.map(|(name, _)| name));
    let near = nearest(&word, names).map(str::to_owned).or_else(|| error::sibling(root));
    let hint = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    format!("unknown command or directory {word}{hint}")
}

#[cfg(test)]
mod tests;
