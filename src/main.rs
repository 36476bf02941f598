//! The `miod` command: reads the command line, starts the log, runs a server, and
//! tells why that ended.

use std::process::ExitCode;

use miod::cli::failure::{Failure, USAGE};
use miod::cli::{self, Command};
use miod::logging::{self, AccessLog, Log, Settings};
use miod::server;

fn main() -> ExitCode {
    let outcome = match cli::parse(std::env::args_os().skip(1), |name| std::env::var_os(name)) {
        Err(error) => Err(Failure { code: USAGE, message: error.to_string() }),
        Ok(Command::Help(text)) => {
            cli::say(&text);
            Ok(())
        }
        Ok(Command::Version) => {
            cli::say(concat!("miod ", env!("CARGO_PKG_VERSION"), "\n"));
            Ok(())
        }
        Ok(Command::Serve(options)) => run(&options.logging, |log| server::serve(options.config, log)),
        Ok(Command::Echo(options)) => run(&options.logging, |log| server::echo(options.config, log)),
        Ok(Command::Upper(options)) => run(&options.logging, |log| server::upper(options.config, log)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            cli::complain(&failure);
            ExitCode::from(failure.code)
        }
    }
}

/// Runs a server with its log, and leaves no line of that behind.
fn run(settings: &Settings, server: impl FnOnce(Log) -> Result<(), Failure>) -> Result<(), Failure> {
    let log = logging::init(settings).map_err(|error| match &settings.access {
        AccessLog::File(path) => Failure::access_log(path, &error),
        _ => Failure::runtime("start the log", &error),
    })?;
    logging::install_panic_hook();
    let outcome = server(log.clone());
    log.flush();
    outcome
}
