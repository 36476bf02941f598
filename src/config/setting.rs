//! A setting as it is written, and where.

use std::fmt;

use super::Position;
use super::options::{Draft, Opt, ServerDraft, SetResult, Setter};

/// Where a setting comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// An argument of the command line.
    Argument,
    /// A variable of the environment.
    Variable,
    /// The configuration file.
    File(Position),
}

/// An option with its values as they are written.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) option: &'static Opt<ServerDraft>,
    /// A switch that is on has one empty value; what is turned off has none.
    pub(crate) values: Vec<String>,
    pub(crate) origin: Origin,
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.option.long, self.origin)
    }
}

impl Setting {
    /// Sets the option.
    ///
    /// # Errors
    /// A hint, if a value is wrong.
    pub(crate) fn apply(&self, draft: &mut Draft<ServerDraft>) -> SetResult {
        self.values.iter().try_for_each(|value| self.option.apply(draft, value))
    }

    /// Whether hosts have it.
    pub(super) fn is_for_hosts(&self) -> bool {
        matches!(self.option.set, Setter::Host(_))
    }
}
