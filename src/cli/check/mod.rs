//! `miod check`: all that a start would find wrong, and the merged settings with where each comes
//! from. Nothing is started, and no file is written.

mod values;

use std::ffi::OsString;
use std::fmt::Write;
use std::fs;

use serde_json::{Map, Value as Json, json};

use super::error::{CommandError, CommandErrors, IN_USE};
use super::server::{self, ServerPlan};
use super::server_help::table;
use super::{Command, UsageError};
use crate::config::layers::Layers;
use crate::config::options::{Draft, Opt, ServerDraft, Value};
use crate::config::setting::{Origin, Setting};
use crate::config::{AccessLog, Config};
use crate::logging;
use crate::server::Server;
use values::route_values;

/// What to check.
#[derive(Debug)]
pub struct CheckPlan {
    server: ServerPlan,
    json: bool,
}

const HELP: &str = "miod check finds all that a start would find wrong, and prints the settings.

Usage: miod check [--json] [serve|kv|echo|upper] [OPTIONS OF THE SERVER] [ROOT]

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

/// A setting as it is printed.
struct Entry {
    /// The option, or a path like `host[0].root`.
    name: String,
    value: Json,
    origin: String,
}

/// Checks, and returns the text to print.
///
/// # Errors
/// All that is wrong.
pub(super) fn run(plan: &CheckPlan) -> Result<String, CommandErrors> {
    let (layers, config) = plan.server.load_layers()?;
    let wrong = problems(&config);
    if !wrong.0.is_empty() {
        return Err(wrong);
    }
    let entries = entries(&layers, &config);
    if plan.json {
        let object: Map<String, Json> = entries
            .into_iter()
            .map(|Entry { name, value, origin }| (name, json!({ "value": value, "origin": origin })))
            .collect();
        return Ok(crate::text::json::to_string(&Json::Object(object)) + "\n");
    }
    let mut text = String::new();
    for Entry { name, value, origin } in &entries {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // Writing to a string can't fail.
        let _ = writeln!(text, "{:<48}  {origin}", format!("{name} = {shown}"));
    }
    Ok(text + "a start would succeed\n")
}

/// What a start would find wrong.
fn problems(config: &Config) -> CommandErrors {
    let mut errors = CommandErrors::default();
    if let AccessLog::File(path) = &config.process.logging.access {
        let checked = logging::check_file(path);
        errors.0.extend(checked.err().map(|error| CommandError::access_log(path, &error)));
    }
    if let Err(error) = Server::new(config.clone()).check() {
        errors.0.extend(CommandErrors::from(error).0);
    }
    // The ports of the running server are in use, and will be free when it is replaced.
    if let Some(pid) = config.process.pid_file.as_ref().and_then(|path| fs::read_to_string(path).ok()) {
        let owner = format!("(process {})", pid.trim());
        errors.0.retain(|error| error.code != IN_USE || !error.message.contains(&owner));
    }
    errors
}

/// All settings that count.
fn entries(layers: &Layers, config: &Config) -> Vec<Entry> {
    let mut entries = Vec::new();
    let draft = Draft::at(layers.command.default_port());
    let effective: Vec<&Setting> = layers.effective().collect();
    for option in table(layers.command) {
        let of_it: Vec<&&Setting> = effective.iter().filter(|setting| setting.option.long == option.long).collect();
        match of_it.last() {
            Some(last) => {
                let values: Vec<&String> = of_it.iter().flat_map(|setting| &setting.values).collect();
                entries.push(Entry {
                    name: option.long.to_owned(),
                    value: shown(option, &values),
                    origin: origin(option, &last.origin),
                });
            }
            None => {
                let default = (option.default)(&draft);
                if option.value == Value::None || !default.is_empty() {
                    let values = if option.value == Value::None { Vec::new() } else { vec![&default] };
                    let value = shown(option, &values);
                    entries.push(Entry { name: option.long.to_owned(), value, origin: "default".to_owned() });
                }
            }
        }
    }
    for (number, (host, own)) in config.hosts.iter().zip(&layers.file.hosts).enumerate() {
        let place = |key: &str| own.positions.of(key).map_or_else(String::new, |position| position.line_only());
        let name = |key: &str| format!("host[{number}].{key}");
        let names: Vec<_> = host.names.iter().map(ToString::to_string).collect();
        entries.push(Entry { name: name("names"), value: json!(names), origin: place("names") });
        if !host.certificates.is_empty() {
            let files: Vec<_> = host.certificates.iter().map(ToString::to_string).collect();
            entries.push(Entry { name: name("tls"), value: json!(files), origin: place("tls") });
        }
        if let Some(path) = &host.access_log {
            let value = json!(path.to_string_lossy());
            entries.push(Entry { name: name("access-log"), value, origin: place("access-log") });
        }
        for setting in &own.settings {
            let value = shown(setting.option, &setting.values.iter().collect::<Vec<_>>());
            let origin = origin(setting.option, &setting.origin);
            entries.push(Entry { name: name(setting.option.long), value, origin });
        }
        for (number, route) in own.routes.iter().enumerate() {
            for (key, value) in route_values(route) {
                let top = key.split('.').next().unwrap_or_default();
                let origin = route.positions.of(top).map_or_else(String::new, |position| position.line_only());
                entries.push(Entry { name: name(&format!("route[{number}].{key}")), value, origin });
            }
        }
        for (number, fields) in own.file_fields.iter().enumerate() {
            let set: Map<String, Json> = fields.set.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            let value = json!({ "glob": fields.glob, "set": set });
            entries.push(Entry { name: name(&format!("header[{number}]")), value, origin: place("") });
        }
    }
    entries
}

/// The values of an option, as a configuration file would have them.
fn shown(option: &Opt<ServerDraft>, values: &[&String]) -> Json {
    let one = |text: &str| match text.parse::<u64>() {
        _ if option.secret => json!("***"),
        Ok(number) => json!(number),
        Err(_) => json!(text),
    };
    match (option.value, values) {
        (Value::None, []) => json!(false),
        (Value::None, values) if option.repeatable => json!(values.len()),
        (Value::None, _) => json!(true),
        (Value::Optional(_), []) => json!(false),
        (Value::Optional(_), [value]) if value.is_empty() => json!(true),
        (Value::Required(_), values) if option.repeatable => values.iter().map(|value| one(value)).collect(),
        (_, values) => values.last().map_or(Json::Null, |value| one(value)),
    }
}

fn origin(option: &Opt<ServerDraft>, origin: &Origin) -> String {
    match origin {
        Origin::Argument => "argument".to_owned(),
        Origin::Variable => option.variable(),
        Origin::File(position) => position.line_only(),
    }
}
