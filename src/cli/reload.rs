//! `miod reload`: has a running server load its configuration again (SIGHUP).

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::error::{CONFIGURATION, CommandError, CommandErrors, PERMISSION, RUNTIME};
use super::server::{self, ServerPlan};
use super::{Command, UsageError};

/// Which server to reload.
#[derive(Debug)]
pub struct ReloadPlan {
    server: ServerPlan,
}

const HELP: &str = "miod reload has a running server load its configuration again.

Usage: miod reload -c FILE | --pid-file FILE

With -c the configuration file is checked first, and it names the pid file. A file with a mistake is
reported, and the server isn't told.

Options:
  -c, --config FILE     the configuration file of the server
      --pid-file FILE   the file with the number of the process
  -h, --help            print this help

Examples:
  miod reload -c /etc/miod/miod.toml
  miod reload --pid-file /run/miod.pid
";

/// Parses the arguments after the command.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Command, UsageError> {
    if arguments.iter().any(|argument| argument == "-h" || argument == "--help") {
        return Ok(Command::Help(HELP.to_owned()));
    }
    if arguments.is_empty() {
        return Err(UsageError("give -c FILE or --pid-file FILE".to_owned()));
    }
    match server::parse(arguments, |name| std::env::var_os(name))? {
        Command::Server(server) => Ok(Command::Reload(ReloadPlan { server })),
        other => Ok(other),
    }
}

/// Tells the server.
///
/// # Errors
/// All mistakes in its configuration, or why it can't be told.
pub(super) fn run(plan: &ReloadPlan) -> Result<(), CommandErrors> {
    let config = plan.server.load()?;
    let Some(path) = &config.process.pid_file else {
        let message = "the configuration has no pid-file, so the process is unknown: give --pid-file FILE";
        return Err(CommandError::configuration(message).into());
    };
    let pid = process(path)?;
    kill_process(pid, Signal::HUP).map_err(|error| {
        let number = pid.as_raw_nonzero();
        match error {
            Errno::PERM => CommandError::new(PERMISSION, format!("process {number} is another user's")),
            error => CommandError::new(RUNTIME, format!("process {number} can't be told: {error}")),
        }
    })?;
    Ok(())
}

/// The process in a pid file. It must be a miod: another process may have got the number.
fn process(path: &Path) -> Result<Pid, CommandError> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        let why = crate::text::io_error::describe(&error);
        CommandError::new(CONFIGURATION, format!("can't read the pid file {shown}: {why}"))
    })?;
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| CommandError::new(CONFIGURATION, format!("{shown} has no number of a process")))?;
    let name: PathBuf = format!("/proc/{}/comm", pid.as_raw_nonzero()).into();
    match fs::read_to_string(&name) {
        Ok(name) if name.trim() == "miod" => Ok(pid),
        Ok(name) => {
            let (number, name) = (pid.as_raw_nonzero(), name.trim().escape_debug().to_string());
            Err(CommandError::new(RUNTIME, format!("process {number} in {shown} is {name}, not miod")))
        }
        // Without /proc the number must do.
        Err(_) if !Path::new("/proc/self/comm").exists() => Ok(pid),
        Err(_) => Err(CommandError::new(
            RUNTIME,
            format!("the server of {shown} isn't running (process {})", pid.as_raw_nonzero()),
        )),
    }
}
