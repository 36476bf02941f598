//! The configuration file, in TOML: the long options as keys, and hosts with their routes.
//!
//! ```toml
//! port = 8080                         # each long option is a key
//! access-log = "/var/log/miod.log"
//!
//! [[host]]
//! names = ["example.org", "*.example.org"]
//! root = "site"                       # relative to the directory of the file
//!
//! [[host.route]]
//! path = "/old"
//! redirect = { status = 308, to = "/new$path" }
//! ```
//!
//! A file is read whole, and every mistake in it is reported, with its position. Nothing is used
//! of a file that has one.

mod host;
mod proxy;
mod route;
mod table;
mod value;

use std::path::PathBuf;
use std::sync::Arc;

use toml::de::DeTable;

use super::options::{Draft, server_options};
use super::setting::Setting;
use super::{FileFields, Mistake, Position, Positions, Route, ServerCommand, Source};
use crate::certificates::PemFiles;
use crate::http::host_names::HostName;
use table::Table;

/// Most bytes of a configuration file.
pub(crate) const LARGEST: u64 = 16 << 20;

/// What a configuration file says.
#[derive(Default)]
pub(crate) struct FileSettings {
    /// The options at the top.
    pub(crate) settings: Vec<Setting>,
    /// The hosts. If there are none, the options at the top are for the only host.
    pub(crate) hosts: Vec<HostSettings>,
}

/// What a configuration file says about a host.
#[derive(Default)]
pub(crate) struct HostSettings {
    pub(crate) names: Vec<HostName>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) certificates: Vec<PemFiles>,
    pub(crate) routes: Vec<Route>,
    pub(crate) access_log: Option<PathBuf>,
    pub(crate) file_fields: Vec<FileFields>,
    pub(crate) positions: Positions,
}

/// Reads a configuration file for a command. Also returns all mistakes, in their order.
pub(crate) fn parse(source: &Arc<Source>, command: ServerCommand) -> (FileSettings, Vec<Mistake>) {
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let skipped = source.text.len() - text.len();
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut mistakes = Vec::new();
    if !errors.is_empty() {
        for error in errors {
            let span = error.span().unwrap_or_default();
            let bytes = span.start + skipped..span.end + skipped;
            let position = Position::new(source, bytes);
            mistakes.push(Mistake { position, message: syntax(error.message()) });
        }
        sort(&mut mistakes);
        // What follows a syntax error may be read wrongly, so nothing is said about it.
        return (FileSettings::default(), mistakes);
    }
    let mut file = FileSettings::default();
    let mut draft = Draft::at(command.default_port());
    let mut table = Table::new(source, skipped, root.get_ref(), root.span(), &mut mistakes);
    if command == ServerCommand::Serve {
        file.hosts = host::read_all(&mut table);
    }
    let options = || server_options().filter(move |option| option.belongs_to(command) && option.long != "config");
    file.settings = table.settings(options(), &mut draft);
    table.finish(options().map(|option| option.long).chain(["host"]));
    sort(&mut mistakes);
    (file, mistakes)
}

/// Puts mistakes in the order of the file.
fn sort(mistakes: &mut [Mistake]) {
    mistakes.sort_by_key(|mistake| mistake.position.bytes().start);
}

/// A sentence about a syntax error.
fn syntax(message: &str) -> String {
    let message = message.lines().collect::<Vec<_>>().join("; ");
    format!("this is no TOML: {message}")
}

#[cfg(test)]
mod tests;
