//! The settings of the file, the environment and the command line, and what they make together.
//!
//! ```text
//!   file ─┐
//!   variables ─┼─► the last that has an option counts ─► Draft ─► Config
//!   arguments ─┘                                           ▲
//!   hosts of the file: their own settings, else those above ┘
//! ```

use super::file::{FileSettings, HostSettings};
use super::options::{Draft, ServerDraft};
use super::setting::Setting;
use super::{Host, Route, ServerCommand};

/// All settings, by where they come from.
pub(crate) struct Layers {
    pub(crate) command: ServerCommand,
    pub(crate) arguments: Vec<Setting>,
    pub(crate) variables: Vec<Setting>,
    pub(crate) file: FileSettings,
}

impl Layers {
    /// The settings that count, but for those that hosts have themselves.
    pub(crate) fn effective(&self) -> impl Iterator<Item = &Setting> {
        let layers = [&self.file.settings, &self.variables, &self.arguments];
        let overridden = move |at: usize, setting: &Setting| {
            layers[at + 1..].iter().copied().flatten().any(|later| later.option.long == setting.option.long)
        };
        let numbered = layers.into_iter().enumerate().flat_map(|(at, layer)| layer.iter().map(move |one| (at, one)));
        numbered.filter(move |(at, setting)| !overridden(*at, setting)).map(|(_, setting)| setting)
    }

    /// The setting that counts for an option.
    pub(crate) fn find(&self, long: &str) -> Option<&Setting> {
        self.effective().filter(|setting| setting.option.long == long).last()
    }

    /// The settings of the process, the main listener and the default host.
    ///
    /// # Errors
    /// A hint, if a value is wrong. Each was checked where it was read.
    pub(crate) fn draft(&self) -> Result<Draft<ServerDraft>, String> {
        let mut draft = Draft::at(self.command.default_port());
        self.effective().try_for_each(|setting| setting.apply(&mut draft))?;
        Ok(draft)
    }

    /// The hosts of the file.
    ///
    /// # Errors
    /// As [`draft`](Self::draft).
    pub(crate) fn hosts(&self) -> Result<Vec<Host>, String> {
        self.file.hosts.iter().map(|host| self.host(host)).collect()
    }

    /// A host of the file. What it doesn't set itself is as for all hosts.
    fn host(&self, own: &HostSettings) -> Result<Host, String> {
        let is_own = |setting: &Setting| own.settings.iter().any(|other| other.option.long == setting.option.long);
        let mut draft = Draft::at(0);
        // A host that names no directory has no files.
        draft.host.root = None;
        self.effective()
            .filter(|setting| setting.is_for_hosts() && !is_own(setting))
            .chain(&own.settings)
            .try_for_each(|setting| setting.apply(&mut draft))?;
        let mut host = draft.host;
        for route in &own.routes {
            let slot = host.route(&route.prefix);
            let auth = route.auth.clone().or(slot.auth.take());
            *slot = Route { auth, ..route.clone() };
        }
        host.names.clone_from(&own.names);
        host.certificates.clone_from(&own.certificates);
        host.access_log.clone_from(&own.access_log);
        host.file_fields.clone_from(&own.file_fields);
        host.positions = own.positions.clone();
        Ok(host)
    }
}
