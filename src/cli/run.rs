//! Runs commands: starts the log, calls the server or the tool, and reports errors.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use super::banner::banner;
use super::error::{CommandError, CommandErrors, USAGE};
use super::udp::{self, DatagramCommand, DatagramTask};
use super::{Command, ServerPlan, check, environment, parse, passwd, print, print_error, reload, unit};
use crate::client::mail::Stamp;
use crate::client::{self, ToolError};
use crate::config::Config;
use crate::files::nothing_to_show;
use crate::logging::{self, AccessLog, Log, LogOptions};
use crate::reactor::Time;
use crate::server::{self, Ready, Reloader, Server, ServerError};

/// The program `miod`: parses the command line of the process and runs the command.
pub fn main() -> ExitCode {
    let command = parse(std::env::args_os().skip(1), |name| std::env::var_os(name));
    let command = command.map_err(|error| CommandError::new(USAGE, error.to_string()));
    match command.map_err(CommandErrors::from).and_then(run) {
        Ok(code) => code,
        Err(errors) => {
            errors.0.iter().for_each(report);
            ExitCode::from(errors.code())
        }
    }
}

/// Prints an error, and the lines that it is about.
fn report(error: &CommandError) {
    print_error(error);
    let excerpt = error.excerpt.as_deref().unwrap_or_default();
    for line in excerpt.lines() {
        // Tabs keep the mark below its place.
        let line = line.replace(|char: char| char.is_control() && char != '\t', "\u{fffd}");
        let _ = writeln!(io::stderr(), "{line}");
    }
}

fn run(command: Command) -> Result<ExitCode, CommandErrors> {
    match command {
        Command::Help(text) => print(&text),
        Command::Version => print(concat!("miod ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Passwd(plan) => print(&passwd::run(&plan)?),
        Command::Sessions(plan) => {
            start_log(&LogOptions::diagnostics_only(-1))?;
            plan.run()?;
        }
        Command::Cache(plan) => plan.run()?,
        Command::Report(plan) => plan.run()?,
        Command::Unit(plan) => print(&unit::run(&plan)?),
        Command::Check(plan) => print(&check::run(&plan)?),
        Command::Reload(plan) => reload::run(&plan)?,
        Command::Server(plan) => serve(plan)?,
        Command::Connect(plan) => run_tool(|| client::connect::run(&plan))?,
        Command::Get(request) => run_tool(|| client::get::run(request))?,
        Command::Mail(command) => {
            // Before there are threads: then the local time is known.
            let stamp = Stamp::now(Time::wall());
            let (dry_run, request) = (command.dry_run, command.request()?);
            run_tool(
                || if dry_run { client::mail::print(request, &stamp) } else { client::mail::run(request, &stamp) },
            )?;
        }
        Command::Datagrams(command) => return run_datagrams(command),
    }
    Ok(ExitCode::SUCCESS)
}

fn serve(plan: ServerPlan) -> Result<(), CommandErrors> {
    let mut config = plan.load()?;
    let log = match start_log(&config.process.logging) {
        Ok(log) => log,
        Err(error) => {
            // Report what else is wrong, too.
            start_log(&LogOptions { access: AccessLog::Off, ..config.process.logging.clone() })?;
            let others = Server::new(config.clone())
                .check(&mut Ready::default())
                .err()
                .map(CommandErrors::from)
                .unwrap_or_default();
            return Err(CommandErrors([vec![error], others.0].concat()));
        }
    };
    for warning in environment::warnings(std::env::vars_os()) {
        log::warn!("{warning}");
    }
    let server = Server::new(config.clone()).log(log).reload_by(plan);
    // Only the server needs them, and there may be many.
    config.process.shown = Vec::new();
    Ok(server.run(|ready| announce(&config, ready))?)
}

impl Reloader for ServerPlan {
    fn load(&self) -> Option<Config> {
        Self::load(self).map_err(|errors| log_errors(&errors)).ok()
    }

    fn refused(&self, error: ServerError) {
        log_errors(&error.into());
    }
}

/// Logs errors as a start would print them.
fn log_errors(errors: &CommandErrors) {
    for error in &errors.0 {
        log::error!("{error}");
        // Each line of a log is a record of its own.
        for line in error.excerpt.iter().flat_map(|excerpt| excerpt.lines()) {
            log::error!("{line}");
        }
    }
}

fn start_log(options: &LogOptions) -> Result<Log, CommandError> {
    let log = logging::init(options).map_err(|error| match &options.access {
        AccessLog::File(path) => CommandError::access_log(path, &error),
        _ => CommandError::runtime("start the log", &error),
    })?;
    logging::install_panic_hook();
    Ok(log)
}

/// Prints that clients can connect.
fn announce(config: &Config, ready: &Ready) {
    let terminal = std::io::stdout().is_terminal();
    print(&banner(config, ready, terminal));
    // Without a terminal the banner is one line, and the rest is logged.
    if terminal {
        return;
    }
    for notice in &ready.notices {
        log::warn!("{notice}");
    }
    if let Some(sessions) = &ready.sessions {
        log::info!("{sessions}");
    }
    if let Some(cache) = &ready.cache {
        log::info!("cache: {cache}");
    }
    if let Some(tap) = &ready.tap {
        log::warn!("tap: {tap}");
    }
    if let Some(sandbox) = &ready.sandbox {
        log::info!("sandbox: {sandbox}");
    }
    if let (true, Some(root)) = (ready.bare_root, &ready.root) {
        log::info!("{}", nothing_to_show(root));
    }
}

/// Runs a client tool, which logs warnings, or what `RUST_LOG` selects.
fn run_tool(tool: impl FnOnce() -> Result<(), ToolError>) -> Result<(), CommandErrors> {
    let log = start_log(&LogOptions::diagnostics_only(-1))?;
    let outcome = tool();
    log.flush();
    Ok(outcome?)
}

fn run_datagrams(DatagramCommand { task, logging, tap }: DatagramCommand) -> Result<ExitCode, CommandErrors> {
    let log = start_log(&logging)?;
    let ready = |addresses: &[_]| print(&udp::banner(&task, addresses));
    match &task {
        DatagramTask::Answer { reply, impairment, verbose, listener } => {
            server::udp::answer(*reply, *impairment, *verbose, listener, (&log, &tap), ready)?;
        }
        DatagramTask::Watch { options, listener } => server::udp::watch(options, listener, (&log, &tap), ready)?,
        DatagramTask::Ping(target, plan) => {
            let answered = client::datagrams::ping(target, plan.clone(), &log, &tap)?;
            return Ok(if answered { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        DatagramTask::SendHeartbeats(target, plan) => {
            client::datagrams::send_heartbeats(target, plan.clone(), &log, &tap)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
