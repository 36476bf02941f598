//! The `miod` command: reads the command line, starts the log, runs a server, and
//! tells why that ended.

use std::io::IsTerminal;
use std::process::ExitCode;

use miod::cli::banner::{Served, banner};
use miod::cli::datagrams::{DatagramOptions, Tool};
use miod::cli::failure::{Failure, USAGE};
use miod::cli::{self, Command};
use miod::client;
use miod::logging::{self, AccessLog, Log, Settings};
use miod::server::{self, Ready};
use miod::service::Kind;

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
        Ok(Command::Passwd(options)) => cli::passwd::run(&options).map(|said| cli::say(&said)),
        Ok(Command::Serve(options)) => run(&options.logging, |log| {
            server::serve(&options.config, log, |ready| announce(Served::Http(&options.config), ready))
        }),
        Ok(Command::Kv(options)) => run(&options.logging, |log| {
            server::serve_kv(&options.config, log, |ready| announce(Served::Kv(&options.config), ready))
        }),
        Ok(Command::Sessions(task)) => task.run(),
        Ok(Command::Echo(options)) => run(&options.logging, |log| {
            server::serve_lines(Kind::Echo, &options.config, log, |ready| announce(Served::Echo, ready))
        }),
        Ok(Command::Upper(options)) => run(&options.logging, |log| {
            server::serve_lines(Kind::Upper, &options.config, log, |ready| announce(Served::Upper, ready))
        }),
        Ok(Command::Connect(plan)) => use_tool(|| client::connect::run(&plan)),
        Ok(Command::Get(request)) => use_tool(|| client::get::run(request)),
        Ok(Command::Datagrams(options)) => match with_datagrams(options) {
            Ok(true) => Ok(()),
            // That was told already.
            Ok(false) => return ExitCode::FAILURE,
            Err(failure) => Err(failure),
        },
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
fn run(settings: &Settings, server: impl FnOnce(Log) -> Result<(), server::Failure>) -> Result<(), Failure> {
    let log = logging::init(settings).map_err(|error| match &settings.access {
        AccessLog::File(path) => Failure::access_log(path, &error),
        _ => Failure::runtime("start the log", &error),
    })?;
    logging::install_panic_hook();
    let outcome = server(log.clone());
    log.flush();
    Ok(outcome?)
}

/// Runs a client tool; its log tells warnings, or what `RUST_LOG` says.
fn use_tool(tool: impl FnOnce() -> Result<(), client::ToolError>) -> Result<(), Failure> {
    let settings = Settings { verbosity: -1, access: AccessLog::Off };
    let log = logging::init(&settings).map_err(|error| Failure::runtime("start the log", &error))?;
    let outcome = tool();
    log.flush();
    Ok(outcome?)
}

/// Runs what lives on datagrams; says whether that came to what it was for.
fn with_datagrams(options: DatagramOptions) -> Result<bool, Failure> {
    let DatagramOptions { tool, logging } = options;
    let ready = |addresses: &[_]| cli::say(&cli::datagrams::banner(&tool, addresses));
    let log = logging::init(&logging).map_err(|error| Failure::runtime("start the log", &error))?;
    Ok(match &tool {
        Tool::Answer { reply, impairment, verbose, at: (endpoints, port) } => {
            server::udp::answer(*reply, *impairment, *verbose, (endpoints, *port), &log, ready)?;
            true
        }
        Tool::Watch { settings, at: (endpoints, port) } => {
            server::udp::watch(settings, (endpoints, *port), &log, ready)?;
            true
        }
        Tool::Ping(target, settings) => client::datagrams::ping(target, settings.clone(), &log)?,
        Tool::Send(target, settings) => {
            client::datagrams::send_heartbeats(target, settings.clone(), &log)?;
            true
        }
    })
}

/// Tells that clients can connect.
fn announce(service: Served<'_>, ready: &Ready) {
    let terminal = std::io::stdout().is_terminal();
    cli::say(&banner(service, ready, terminal));
    // Programs get a banner of one line; what else it would say is for the log then.
    if let (false, Some(sessions)) = (terminal, &ready.sessions) {
        log::info!("{sessions}");
    }
}
