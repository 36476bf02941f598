//! `miod unit`: prints unit files for systemd, with the least privileges that the given options
//! of the server need.
//!
//! ```text
//! options of the server ──parse──► Config ──server/access──► paths and ports ─┐
//!           └── ExecStart, quoted ────────────────────────────────────────────┴─► unit files
//! ```
//!
//! With `--reuse-port` the unit is a template, of which systemd runs several instances. Files that
//! each of them writes alone have the name of the instance in theirs.
//!
//! All settings are known to systemd 252. A per-user manager can't restrict the file system
//! without namespaces of users, which not every system has, so its unit has only what works
//! everywhere.

mod text;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::arguments::{Arguments, Info};
use super::error::{CommandError, CommandErrors};
use super::server::{self, ServerPlan};
use super::{Command, UsageError};
use crate::config::options::{Opt, ServerDraft, Value, foreign, server_options};
use crate::config::{AccessLog, Config, Listener, Protocol, ServerCommand};
use crate::reactor::Endpoint;
use crate::server::access::{Allowed, access};
use text::{Service, Socket};

/// What to print.
#[derive(Debug)]
pub struct UnitPlan {
    server: ServerPlan,
    /// The arguments of the server, without secrets.
    arguments: Vec<String>,
    /// The variables of options that no other user may see.
    secrets: Vec<String>,
    /// systemd opens the sockets.
    socket: bool,
    /// The units are for the manager of a user.
    per_user: bool,
    /// The program; none: this one.
    program: Option<PathBuf>,
}

/// The options of this command.
#[derive(Default)]
struct Own {
    socket: bool,
    per_user: bool,
    program: Option<PathBuf>,
}

const HELP: &str = "miod unit prints unit files for systemd.

Usage: miod unit [OPTIONS] [serve|kv|echo|upper] [OPTIONS OF THE SERVER] [ROOT]

The units run the server with the given options, restricted to what these options need. Relative
paths are those of the current directory. The server's options are those of miod --help; variables
of the environment aren't read. Options with a password or a token aren't printed: the unit reads
their variables from a file. With --reuse-port the unit is a template: miod@1, miod@2 and so on
share the connections.

Options:
      --socket        systemd opens the listening sockets, and starts the server when a client
                      connects
      --per-user      for the manager of your user (systemctl --user)
      --program FILE  the program (default: this one)
  -h, --help          print this help
  -V, --version       print the version

Examples:
  miod unit /srv/www | sudo tee /etc/systemd/system/miod.service
  miod unit --socket -b 0.0.0.0 -p 80 /srv/www
  miod unit --reuse-port -b 0.0.0.0 -p 80 --sessions cookie /srv/www
  miod unit --per-user kv --data ~/kv
";

/// Parses the arguments after the command.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Command, UsageError> {
    let (Own { socket, per_user, program }, rest) = Own::split(arguments)?;
    let table: Vec<_> = server_options().collect();
    let given = Arguments::split(&table, foreign::sentence, rest.clone())?;
    match given.info {
        Some(Info::Help) => return Ok(Command::Help(HELP.to_owned())),
        Some(Info::Version) => return Ok(Command::Version),
        None => {}
    }
    // Mistakes are reported as they are written.
    server::parse(rest, |_| None)?;
    let here = std::env::current_dir().map_err(|error| UsageError(format!("no current directory: {error}")))?;
    let mut positional = given.positional.iter().map(PathBuf::from).peekable();
    let named = |word: &PathBuf| ServerCommand::ALL.into_iter().find(|command| word.as_os_str() == command.name());
    let command = positional.peek().and_then(named);
    let mut all = Vec::from_iter(command.map(|command| command.name().to_owned()));
    if command.is_some() {
        positional.next();
    }
    let (mut printed, mut secrets) = (all.clone(), Vec::new());
    for (option, value) in &given.given {
        let argument = argument(option, &(option.relative)(value, &here));
        if is_secret(option, value) {
            secrets.push(option.variable());
        } else if option.long != "user" && (!socket || !["bind", "port", "tls-bind"].contains(&option.long)) {
            printed.push(argument.clone());
        }
        all.push(argument);
    }
    let has_root = given.given.iter().any(|(option, _)| ["root", "config"].contains(&option.long));
    let is_web = command.is_none_or(|command| command == ServerCommand::Serve);
    let root = positional.next().or_else(|| (is_web && !has_root).then(server::default_root));
    if let Some(root) = root {
        let root = here.join(root).to_string_lossy().into_owned();
        printed.push(root.clone());
        all.push(root);
    }
    match server::parse(all.into_iter().map(OsString::from), |_| None)? {
        Command::Server(server) => {
            Ok(Command::Unit(UnitPlan { server, arguments: printed, secrets, socket, per_user, program }))
        }
        other => Ok(other),
    }
}

impl Own {
    /// Takes the options of this command out of the arguments.
    fn split(arguments: Vec<OsString>) -> Result<(Self, Vec<OsString>), UsageError> {
        let (mut own, mut rest) = (Self::default(), Vec::new());
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--socket") => own.socket = true,
                Some("--per-user") => own.per_user = true,
                Some("--program") => {
                    let value = arguments.next();
                    own.program = Some(value.ok_or_else(|| UsageError("--program needs a value: FILE".into()))?.into());
                }
                Some(text) if text.starts_with("--program=") => own.program = Some(text["--program=".len()..].into()),
                _ => rest.push(argument),
            }
        }
        Ok((own, rest))
    }
}

/// An option of the server as one argument.
fn argument(option: &Opt<ServerDraft>, value: &str) -> String {
    match option.value {
        Value::None => format!("--{}", option.long),
        Value::Optional(_) if value.is_empty() => format!("--{}", option.long),
        Value::Required(_) | Value::Optional(_) => format!("--{}={value}", option.long),
    }
}

/// Whether a value may not be in a unit, which all users can read.
fn is_secret(option: &Opt<ServerDraft>, value: &str) -> bool {
    // The value of --sessions has a secret only if it is a URL with credentials.
    option.secret && (option.long != "sessions" || value.contains('@'))
}

/// The text of all units.
///
/// # Errors
/// If the configuration is wrong, or can't be that of a service.
pub fn run(plan: &UnitPlan) -> Result<String, CommandErrors> {
    let wrong = |message| CommandErrors::from(CommandError::configuration(message));
    let config = plan.server.load()?;
    if plan.socket && config.process.mailbox.is_some() {
        return Err(wrong("a mailbox opens its sockets itself: leave out --socket".to_owned()));
    }
    let program = match &plan.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(|error| CommandError::runtime("find this program", &error))?,
    };
    let listeners = sockets_of(&config).map_err(wrong)?;
    let (mut passed, mut bound) = (Vec::new(), Vec::new());
    for (listener, endpoints) in listeners {
        match plan.socket && !is_beside(&config, listener) {
            true => passed.push(Socket { is_tls: listener.tls.is_some(), endpoints }),
            false => bound.extend(endpoints),
        }
    }
    if passed.iter().flat_map(|socket| &socket.endpoints).any(|at| matches!(at, Endpoint::Tcp(at) if at.port() == 0)) {
        return Err(wrong("a socket of systemd needs a port: give --port".to_owned()));
    }
    let needs = access(&config, &bound, None);
    let paths = needs.iter().filter_map(|needed| match needed {
        Allowed::Read(path) | Allowed::Create(path) | Allowed::Write(path) => Some(path),
        Allowed::Bind(_) | Allowed::Connect(_) | Allowed::ConnectAnywhere => None,
    });
    for path in paths.chain([&program]) {
        if path.is_relative() {
            let shown = path.display();
            return Err(wrong(format!("{shown} isn't absolute, and a service has no current directory")));
        }
        text::check(path).map_err(wrong)?;
    }
    let is_template = !plan.socket && config.listeners[0].reuse_port;
    let arguments =
        if is_template { for_instances(&plan.arguments, &config).map_err(wrong)? } else { plan.arguments.clone() };
    let service = Service {
        program: &program,
        is_template,
        arguments: &arguments,
        secrets: &plan.secrets,
        per_user: plan.per_user,
        user: config.process.user.as_deref(),
        writes: directories(&needs),
        files: needs_static_user(&config, &needs),
        needs: &needs,
        bound: &bound,
        passed: &passed,
    };
    Ok(service.units())
}

/// The arguments of each instance: the names of the files that it writes alone have its own.
///
/// # Errors
/// If another source than the arguments names such a file.
fn for_instances(arguments: &[String], config: &Config) -> Result<Vec<String>, String> {
    let process = &config.process;
    let pid_file = process.pid_file.is_some().then_some("--pid-file=");
    let access_log = matches!(process.logging.access, AccessLog::File(_)).then_some("--access-log=");
    let files: Vec<_> = pid_file.into_iter().chain(access_log).collect();
    if let Some(file) = files.iter().find(|file| !arguments.iter().any(|argument| argument.starts_with(**file))) {
        let option = file.trim_end_matches('=');
        return Err(format!("all processes would write the same file: give {option} here, too"));
    }
    let each = arguments.iter().map(|argument| match files.iter().any(|file| argument.starts_with(file)) {
        true => text::of_instance(argument),
        false => argument.clone(),
    });
    Ok(each.collect())
}

/// Each listener with its endpoints, as it opens them.
fn sockets_of(config: &Config) -> Result<Vec<(&Listener, Vec<Endpoint>)>, String> {
    let of = |listener: &Listener| -> Result<_, String> {
        let mut endpoints = listener.endpoints()?;
        if endpoints.is_empty() {
            endpoints = [std::net::IpAddr::from([127, 0, 0, 1]), std::net::Ipv6Addr::LOCALHOST.into()]
                .map(|ip| Endpoint::Tcp((ip, listener.port).into()))
                .to_vec();
        }
        Ok(endpoints)
    };
    config.listeners.iter().map(|listener| Ok((listener, of(listener)?))).collect()
}

/// Whether a listener is the one of `--kv` or `--admin`, which the server opens itself.
fn is_beside(config: &Config, listener: &Listener) -> bool {
    let first = config.listeners.first();
    let is_other = first.is_some_and(|first| first.hosts != listener.hosts) && listener.tls.is_none();
    is_other || listener.protocol == Protocol::Admin
}

/// The directories that are written, each once.
fn directories(needs: &[Allowed]) -> Vec<&Path> {
    let written = needs.iter().filter_map(|needed| match needed {
        Allowed::Create(path) | Allowed::Write(path) => Some(path.as_path()),
        Allowed::Read(_) | Allowed::Bind(_) | Allowed::Connect(_) | Allowed::ConnectAnywhere => None,
    });
    written.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether a user must exist for the service: for files that it writes outside of its own
/// directories, for keys and passwords, and for files in /tmp, which it would have for its own.
fn needs_static_user(config: &Config, needs: &[Allowed]) -> bool {
    let keys = config.listeners.iter().filter_map(|listener| listener.tls.as_ref()).any(|tls| !tls.auto);
    let users = config.hosts.iter().any(|host| host.users.is_some() || host.routes.iter().any(|at| at.auth.is_some()));
    let root = |needed: &Allowed| matches!(needed, Allowed::Read(path) if path.starts_with("/tmp"));
    keys || users || needs.iter().any(root) || directories(needs).into_iter().any(|path| !text::is_own(path))
}

#[cfg(test)]
mod tests;
