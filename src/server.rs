//! The composition root: from a configuration to a server that runs.

pub use crate::cli::failure::Failure;
use crate::config::{Config, LineConfig};
use crate::logging::Log;

/// Serves files and applications over HTTP until a signal ends it.
///
/// # Errors
/// If it can't begin, or the system fails it.
pub fn serve(_config: Config, _log: Log) -> Result<(), Failure> {
    Err(Failure::configuration("serve isn't there yet"))
}

/// Sends every octet back until a signal ends it.
///
/// # Errors
/// If it can't begin, or the system fails it.
pub fn echo(_config: LineConfig, _log: Log) -> Result<(), Failure> {
    Err(Failure::configuration("echo isn't there yet"))
}

/// Sends every line back in upper case until a signal ends it.
///
/// # Errors
/// If it can't begin, or the system fails it.
pub fn upper(_config: LineConfig, _log: Log) -> Result<(), Failure> {
    Err(Failure::configuration("upper isn't there yet"))
}
