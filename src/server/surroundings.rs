//! What a host depends on, besides its own configuration.

use super::state::State;
use crate::config::Process;

/// What a host depends on, besides its own configuration.
pub(super) struct Surroundings<'a> {
    pub(super) process: &'a Process,
    pub(super) state: &'a State,
    /// Only this machine can connect.
    pub(super) is_local: bool,
    /// The host is the demonstration.
    pub(super) demonstration: bool,
    /// Most files that are kept open.
    pub(super) open_files: usize,
    /// How many directories are served, in addition to the first one.
    pub(super) trees: usize,
    /// How many boards there are on all hosts.
    pub(super) boards: usize,
}
