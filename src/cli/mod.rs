//! The command line.
//!
//! ```text
//! arguments, environment ─► parse ─► Command ─► run
//!                             │
//!            tables of options ─► help      (config/options, and one table per tool)
//! ```
//!
//! A value comes from the defaults, the configuration file (`idle-timeout = 5`), a variable of
//! the environment (`MIOD_IDLE_TIMEOUT`) or an option (`--idle-timeout`); the later overrides the
//! earlier. [`parse`] reads only what it is given, and resolves names to listen at; so tests need
//! no process. The file is read when the command runs, and again for a reload.
//!
//! [`run`] executes the command. [`banner`] is what a server prints when it is ready,
//! [`error`] why a command failed.

mod arguments;
pub mod banner;
mod blocking;
pub mod cache;
pub mod check;
mod client_options;
mod commands;
mod completions;
mod connect;
mod environment;
pub mod error;
mod get;
mod help;
mod mail;
mod man;
mod output;
pub mod passwd;
mod port_owner;
mod prompt;
pub mod reload;
pub mod report;
pub mod run;
mod server;
mod server_help;
pub mod sessions;
mod settings;
pub mod udp;
pub mod unit;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};

use crate::client::connect::ConnectPlan;
use crate::client::get::GetRequest;

pub use run::main;
pub use server::ServerPlan;

/// What to do.
#[derive(Debug)]
pub enum Command {
    /// Run a server on stream sockets.
    Server(ServerPlan),
    /// Run a service or a tool on datagrams.
    Datagrams(udp::DatagramCommand),
    /// Copy standard input to a service.
    Connect(ConnectPlan),
    /// Send HTTP requests.
    Get(GetRequest),
    /// Send a message.
    Mail(Box<mail::MailCommand>),
    /// Write a password file.
    Passwd(passwd::PasswdPlan),
    /// List or end sessions of a store.
    Sessions(sessions::SessionsPlan),
    /// List, show, check or purge what proxies have stored.
    Cache(cache::CachePlan),
    /// Print what is in a capture.
    Report(report::ReportPlan),
    /// Print units for a service manager.
    Unit(unit::UnitPlan),
    /// Find what a start would find wrong.
    Check(check::CheckPlan),
    /// Have a running server load its configuration again.
    Reload(reload::ReloadPlan),
    /// Print this help.
    Help(String),
    /// Print the version.
    Version,
}

/// What is wrong with the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageError(pub String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (see miod --help)", self.0)
    }
}

impl std::error::Error for UsageError {}

/// The commands that have a table of options of their own. Their name is the first argument.
type ParseTool = fn(Vec<OsString>) -> Result<Command, UsageError>;
const TOOLS: [(&str, ParseTool); 15] = [
    ("completions", completions::parse),
    ("man", man::parse),
    ("check", check::parse),
    ("reload", reload::parse),
    ("sessions", sessions::parse),
    ("cache", cache::parse),
    ("report", report::parse),
    ("passwd", passwd::parse),
    ("connect", connect::parse),
    ("get", get::parse),
    ("mail", mail::parse),
    ("udp", udp::parse_udp),
    ("ping", udp::parse_ping),
    ("heartbeat", udp::parse_heartbeat),
    ("unit", unit::parse),
];

/// Parses the arguments, without the program's name, and the environment, read by
/// `variable`.
///
/// # Errors
/// If the command line is wrong.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, UsageError> {
    let mut arguments = arguments.into_iter().peekable();
    match arguments.peek().and_then(|first| first.to_str()) {
        // Like in other programs, `miod help get` is `miod get --help`.
        Some("help") => {
            let topic = arguments.nth(1);
            let is_known = |topic: &OsString| commands::all().iter().any(|command| topic == command.name);
            if let Some(unknown) = topic.as_ref().filter(|topic| !is_known(topic)) {
                return Err(UsageError(format!("there is no command {}", unknown.display())));
            }
            return parse(topic.into_iter().chain(["--help".into()]), variable);
        }
        Some("version") => return Ok(Command::Version),
        _ => {}
    }
    let tool = TOOLS.iter().find(|(name, _)| arguments.peek().is_some_and(|first| first == name));
    match tool {
        Some((_, parse)) => parse(arguments.skip(1).collect()),
        None => server::parse(arguments, variable),
    }
}

/// Writes to standard output. A reader that is gone isn't an error; `println!` would panic.
pub fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes `miod: sentence` to standard error, if it can.
pub fn print_error(sentence: impl fmt::Display) {
    // Arguments may contain line ends or control sequences of terminals.
    let line = sentence.to_string().replace(char::is_control, "\u{fffd}");
    let _ = writeln!(io::stderr(), "miod: {line}");
}
