//! The access logs of hosts: a file that several name is opened once.

use std::fs;
use std::path::{Path, PathBuf};

use super::ServerError;
use super::error::Faults;
use crate::config::{AccessLog, Config};
use crate::logging::{HostLog, Log, check_file};
use crate::service::http;

/// Opens the access logs of all hosts, which were built from this configuration. The file of the
/// process isn't opened again: a host that names it has none of its own.
pub(super) fn open(config: &Config, hosts: &mut [http::Host], log: &Log, faults: &mut Faults) {
    let common = match &config.process.logging.access {
        AccessLog::File(path) => Some(real(path)),
        _ => None,
    };
    let mut opened: Vec<(PathBuf, Option<HostLog>)> = Vec::new();
    for (own, host) in config.hosts.iter().zip(hosts) {
        let Some(path) = &own.access_log else { continue };
        let identity = real(path);
        if common.as_ref() == Some(&identity) {
            continue;
        }
        if let Some((_, log)) = opened.iter().find(|(known, _)| *known == identity) {
            host.access_log.clone_from(log);
            continue;
        }
        // What only looks for mistakes makes no file.
        let log = if faults.may_create() { log.open_host_log(path) } else { check_file(path).map(|()| None) };
        faults.place(own.positions.of("access-log"));
        host.access_log = faults.keep(log.map_err(|error| ServerError::AccessLog(path.clone(), error))).flatten();
        faults.place(None);
        opened.push((identity, host.access_log.clone()));
    }
}

/// How many files there are.
pub(super) fn count(config: &Config) -> usize {
    let mut paths: Vec<_> = config.hosts.iter().filter_map(|host| host.access_log.as_deref()).map(real).collect();
    paths.sort();
    paths.dedup();
    paths.len()
}

/// The path of a file without links, if it or its directory exists.
fn real(path: &Path) -> PathBuf {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let of_new = || Some(fs::canonicalize(directory).ok()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(of_new).unwrap_or_else(|| path.to_owned())
}
