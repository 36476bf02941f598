//! The command lines of the servers: `serve`, `kv`, `echo` and `upper`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::arguments::{Arguments, Info, no_more};
use super::help::server_help;
use super::suggest::nearest;
use super::{Command, TOOLS, UsageError, error};
use crate::config::ServerCommand;
use crate::config::options::{Draft, Opt, ServerDraft, server_options};

/// The options of a command.
pub(super) fn table(command: ServerCommand) -> Vec<&'static Opt<ServerDraft>> {
    server_options().filter(|option| option.belongs_to(command)).collect()
}

/// Parses a command line that names no tool.
pub(super) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, UsageError> {
    // The command may follow its options.
    let all: Vec<_> = server_options().collect();
    let mut arguments = Arguments::split(&all, arguments)?;
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
            None => default_root(),
        };
        if named.is_none() && is_mistyped(&root) {
            return Err(UsageError(unknown_word(&root)));
        }
        draft.host.root = Some(root);
    }
    no_more(positional)?;
    Ok(Command::Server(draft.build(command)))
}

fn named(word: &OsString) -> Option<ServerCommand> {
    ServerCommand::ALL.into_iter().find(|command| word == command.name())
}

/// The root if none is given.
pub(super) fn default_root() -> PathBuf {
    PathBuf::from(if Path::new("public").is_dir() { "public" } else { "." })
}

/// A plain word that is no directory was probably meant as a command.
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

/// The purpose and the synopsis of a command.
pub(super) fn usage(command: ServerCommand) -> &'static str {
    match command {
        ServerCommand::Serve => {
            "miod serves files and small applications over HTTP.

Usage: miod [serve] [OPTIONS] [ROOT]
       miod kv|echo|upper [OPTIONS]
       miod passwd [OPTIONS] FILE USER
       miod sessions|connect|get|udp|ping|heartbeat [OPTIONS] ...

ROOT is the directory whose files are served (default: ./public if it exists, else the current
directory).

Commands:
  serve      files and applications over HTTP/1.1 (the default command)
  kv         keys and values over HTTP: GET, PUT, DELETE /KEY
  sessions   list the sessions of a store, or end one
  passwd     write a password file for --auth and --users
  echo       send each byte back
  upper      send each line back in upper case
  connect    send standard input to a service, and print what comes back
  get        send HTTP requests, and print the responses
  udp        upper, echo: reply to each datagram, over a simulated bad network
  ping       measure the round-trip time of such a service
  heartbeat  send, watch: monitor which senders are alive
Each has its own --help.
"
        }
        ServerCommand::Kv => {
            "miod kv stores values under keys, over HTTP.

Usage: miod kv [OPTIONS]

  GET    /      everything as JSON; with ?format=lines one object per line
  POST   /      store a value under a new UUID, which Location reports
  GET    /KEY   the value
  PUT    /KEY   store a value; with ?ttl=SECONDS for that long
  DELETE /KEY   delete the value

A value is application/json or application/octet-stream.
"
        }
        ServerCommand::Echo => "miod echo sends each byte back.\n\nUsage: miod echo [OPTIONS]\n",
        ServerCommand::Upper => "miod upper sends each line back in upper case.\n\nUsage: miod upper [OPTIONS]\n",
    }
}

/// The examples of a command.
pub(super) fn examples(command: ServerCommand) -> &'static str {
    match command {
        ServerCommand::Serve => {
            "
Examples:
  miod                            this directory (or ./public), at http://127.0.0.1:8080/
  miod -p 0 --listing ~/site      another directory, at a free port, with directory listings
  miod -b 0.0.0.0 -b :: site      for everybody on the network
  miod --spa index.html dist      a single-page application
  miod --auth /private=users      only users of that file, written by miod passwd, get /private/
  miod --access-log access.log    a log in the combined format; SIGUSR1 reopens it
  miod --sessions cookie site     sessions in signed cookies, which outlive a restart
  MIOD_PORT=80 miod /srv/www      options from the environment
"
        }
        ServerCommand::Kv => {
            "
Examples:
  miod kv --data ~/kv &
  curl -X PUT -H 'Content-Type: application/json' -d '{\"n\":1}' 127.0.0.1:5100/a
  curl 127.0.0.1:5100/
"
        }
        ServerCommand::Echo => {
            "\nExamples:\n  miod echo & miod connect 127.0.0.1 5555\n  miod echo --delay 200 --chaos 7\n"
        }
        ServerCommand::Upper => {
            "\nExamples:\n  miod upper & miod connect 127.0.0.1 12000\n  miod upper --delay 200 --chaos 7\n"
        }
    }
}

#[cfg(test)]
mod tests;
