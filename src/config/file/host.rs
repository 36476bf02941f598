//! Reads `[[host]]`: names, certificates, the options of hosts, routes, and fields of files.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use super::HostSettings;
use super::route;
use super::table::Table;
use super::value::{string, strings};
use crate::certificates::PemFiles;
use crate::config::options::{Draft, Opt, ServerDraft, Setter, paths, server_options};
use crate::config::{FileFields, Positions, ServerCommand};
use crate::files::glob::Glob;
use crate::http::host_names::HostName;

/// The keys of a host that are no options.
const KEYS: [&str; 5] = ["names", "tls", "access-log", "route", "header"];

/// The options that hosts have.
fn options() -> impl Iterator<Item = &'static Opt<ServerDraft>> + Clone {
    let is_for_hosts = |option: &&'static Opt<ServerDraft>| {
        matches!(option.set, Setter::Host(_)) && option.belongs_to(ServerCommand::Serve)
    };
    server_options().filter(is_for_hosts)
}

/// Takes all hosts of a file. A name that two hosts have is a mistake.
pub(super) fn read_all(file: &mut Table<'_>) -> Vec<HostSettings> {
    let mut hosts: Vec<HostSettings> = Vec::new();
    // The line of the first host that has a name.
    let mut lines = HashMap::new();
    file.tables("host", "host", |table| {
        let host = read(table);
        let line = host.positions.of("names").map_or(0, |position| position.line());
        for name in &host.names {
            match lines.entry(name.clone()) {
                Entry::Vacant(none) => {
                    none.insert(line);
                }
                Entry::Occupied(first) => {
                    let position = host.positions.of("names").cloned().unwrap_or_else(|| table.own_position());
                    let message = format!("{name} is also a name of the host in line {}", first.get());
                    table.mistakes.push(crate::config::Mistake { position, message });
                }
            }
        }
        if host.names.is_empty()
            && let Some(other) = hosts.iter().find(|other| other.names.is_empty())
        {
            let line = other.positions.of("").map_or(0, |position| position.line());
            table.wrong_here(format!(
                "the host in line {line} has no names, too, and only one can be the default: give names"
            ));
        }
        hosts.push(host);
    });
    hosts
}

fn read(table: &mut Table<'_>) -> HostSettings {
    let mut host = HostSettings::default();
    let positions = &mut host.positions;
    positions.add("", table.own_position());
    host.names = table.get("names", positions, |value| names(&strings(value)?)).unwrap_or_default();
    let directory = table.directory();
    let read = |files: Vec<String>| files.iter().map(|text| certificate(text, directory)).collect();
    host.certificates = table.get("tls", positions, |value| read(strings(value)?)).unwrap_or_default();
    host.access_log = table.get("access-log", positions, |value| match string(value)?.as_str() {
        "" => Err("give a file".to_owned()),
        "-" => Err("standard output is for all hosts: write access-log = \"-\" at the top of the file".to_owned()),
        path => Ok(directory.join(path)),
    });
    table.tables("route", "host.route", |table| {
        if let Some(route) = route::read(table) {
            if let Some(other) = host.routes.iter().find(|other| other.prefix == route.prefix) {
                let line = other.positions.of("").map_or(0, |position| position.line());
                table.wrong_here(format!("the route in line {line} is for {} already", other.prefix));
            }
            host.routes.push(route);
        }
    });
    table.tables("header", "host.header", |table| host.file_fields.extend(file_fields(table)));
    host.settings = table.settings(options(), &mut Draft::at(0));
    for setting in &host.settings {
        if let crate::config::setting::Origin::File(position) = &setting.origin {
            host.positions.add(setting.option.long, position.clone());
        }
    }
    table.finish(options().map(|option| option.long).chain(KEYS));
    host
}

fn names(texts: &[String]) -> Result<Vec<HostName>, String> {
    let mut names = Vec::new();
    for text in texts {
        let name = HostName::parse(text).map_err(|hint| format!("{text}: {hint}"))?;
        if names.contains(&name) {
            return Err(format!("{name} is there twice"));
        }
        names.push(name);
    }
    Ok(names)
}

fn certificate(text: &str, directory: &Path) -> Result<PemFiles, String> {
    if text == "auto" {
        return Err("auto is for all hosts: write tls = \"auto\" at the top of the file".to_owned());
    }
    PemFiles::parse(&paths::pem_files(text, directory))
}

/// Reads `[[host.header]]`.
fn file_fields(table: &mut Table<'_>) -> Option<FileFields> {
    let mut positions = Positions::default();
    let glob = table.get("glob", &mut positions, |value| {
        let text = string(value)?;
        Glob::parse(&text).map(|_| text)
    });
    let set = table.table("set", &mut positions, |table| Some(route::fields(table)));
    if positions.of("glob").is_none() {
        table.wrong_here("a header needs a glob, like glob = \"*.woff2\"");
    }
    if positions.of("set").is_none() {
        table.wrong_here("a header needs a table of fields, like set = { X-Name = \"value\" }");
    }
    table.finish(["glob", "set"].into_iter());
    Some(FileFields { glob: glob?, set: set? })
}
