//! `miod check`: all that a start would find wrong, and the merged settings with where each comes
//! from. Nothing is started, and no file is written.

use std::ffi::OsString;
use std::fs;

use super::error::{CommandError, CommandErrors, IN_USE};
use super::server::{self, ServerPlan};
use super::{Command, UsageError};
use crate::certificates::x509::iso_date;
use crate::config::shown::{self, ShownSetting};
use crate::config::{AccessLog, Config};
use crate::logging;
use crate::server::{Ready, Server};

/// What to check.
#[derive(Debug)]
pub struct CheckPlan {
    server: ServerPlan,
    json: bool,
}

const HELP: &str = "miod check finds all that a start would find wrong, and prints the settings.

Usage: miod check [--json] [serve|kv|proxy|echo|upper|mailbox] [OPTIONS OF THE SERVER] [ROOT]

Nothing is started, and no file is written. Each setting is printed with where it comes from: an
argument, a variable of the environment, a line of the configuration file, or the default. Ports
that the process of the pid file of this configuration holds are free enough.

Options:
      --json      print an object: option or path, value and origin
  -h, --help      print this help
  -V, --version   print the version

Exit codes:
  0   a start would succeed
  2   the command line is wrong
  69  an address is in use
  77  the system forbids it
  78  the configuration is wrong

Examples:
  miod check -c /etc/miod/miod.toml
  miod check --json -p 81 /srv/www
";

/// Parses the arguments after the command.
pub(super) fn parse(mut arguments: Vec<OsString>) -> Result<Command, UsageError> {
    let has = |arguments: &[OsString], names: &[&str]| arguments.iter().any(|one| names.iter().any(|name| one == name));
    if has(&arguments, &["-h", "--help"]) {
        return Ok(Command::Help(HELP.to_owned()));
    }
    let json = has(&arguments, &["--json"]);
    arguments.retain(|argument| argument != "--json");
    match server::parse(arguments, |name| std::env::var_os(name))? {
        Command::Server(server) => Ok(Command::Check(CheckPlan { server, json })),
        other => Ok(other),
    }
}

/// Checks, and returns the text to print.
///
/// # Errors
/// All that is wrong.
pub(super) fn run(plan: &CheckPlan) -> Result<String, CommandErrors> {
    let config = plan.server.load()?;
    let mut report = Ready::default();
    let wrong = problems(&config, &mut report);
    if !wrong.0.is_empty() {
        return Err(wrong);
    }
    let mut settings = config.process.shown;
    settings.extend(found(&report));
    if plan.json {
        return Ok(shown::json(settings));
    }
    let notes: String = report.notices.iter().map(|notice| format!("note: {notice}\n")).collect();
    Ok(shown::text(&settings) + &notes + "a start would succeed\n")
}

/// What depends on the machine.
fn found(report: &Ready) -> Vec<ShownSetting> {
    let connections = ShownSetting {
        name: "connections".to_owned(),
        value: report.connections.into(),
        origin: "limit of file descriptors, or max-connections".to_owned(),
    };
    let certificates = report.certificates.iter().map(|(file, end)| ShownSetting {
        name: format!("end of {}", file.display()),
        value: iso_date(*end).into(),
        origin: "certificate".to_owned(),
    });
    let cache = report.cache.iter().map(|cache| ShownSetting {
        name: "cache".to_owned(),
        value: cache.clone().into(),
        origin: "a proxy stores responses".to_owned(),
    });
    std::iter::once(connections).chain(cache).chain(certificates).collect()
}

/// What a start would find wrong. What else it would find goes to `report`.
fn problems(config: &Config, report: &mut Ready) -> CommandErrors {
    let mut errors = CommandErrors::default();
    if let AccessLog::File(path) = &config.process.logging.access {
        let checked = logging::check_file(path);
        errors.0.extend(checked.err().map(|error| CommandError::access_log(path, &error)));
    }
    if let Err(error) = Server::new(config.clone()).check(report) {
        errors.0.extend(CommandErrors::from(error).0);
    }
    // The ports of the running server are in use, and will be free when it is replaced.
    if let Some(pid) = config.process.pid_file.as_ref().and_then(|path| fs::read_to_string(path).ok()) {
        let owner = format!("(process {})", pid.trim());
        errors.0.retain(|error| error.code != IN_USE || !error.message.contains(&owner));
    }
    errors
}
