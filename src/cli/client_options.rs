//! Options that tools for connections have in common: whom to trust, and the limit for everything.
//!
//! What they change is a part of the settings of each tool.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::options::{Opt, Setter, Value};
use crate::config::values;
use crate::trust::Trust;

/// What these options change.
#[derive(Default)]
pub(super) struct ClientDraft {
    /// Which servers are trusted.
    pub(super) trust: Trust,
    /// Where the secrets of TLS are written.
    pub(super) key_log: Option<PathBuf>,
    /// The limit for everything together.
    pub(super) max_time: Option<Duration>,
}

/// The settings of a tool that has such options.
pub(super) trait HasClientDraft {
    /// What the options change.
    fn client(&mut self) -> &mut ClientDraft;
}

impl HasClientDraft for ClientDraft {
    fn client(&mut self) -> &mut ClientDraft {
        self
    }
}

/// `--cacert FILE`.
pub(super) const fn cacert<D: HasClientDraft>() -> Opt<D> {
    Opt {
        long: "cacert",
        value: Value::Required("FILE"),
        help: "for TLS: trust servers that an authority in this file has signed (default: those of the system)",
        set: Setter::Command(|draft, text| {
            draft.client().trust = Trust::File(PathBuf::from(text));
            Ok(())
        }),
        ..Opt::DEFAULT
    }
}

/// `--insecure`.
pub(super) const fn insecure<D: HasClientDraft>() -> Opt<D> {
    Opt {
        long: "insecure",
        short: Some('k'),
        help: "for TLS: trust any server",
        set: Setter::Command(|draft, _| {
            draft.client().trust = Trust::Anybody;
            Ok(())
        }),
        ..Opt::DEFAULT
    }
}

/// `--tls-keylog FILE`.
pub(super) const fn tls_keylog<D: HasClientDraft>() -> Opt<D> {
    Opt {
        long: "tls-keylog",
        value: Value::Required("FILE"),
        help: "append the secrets of TLS to this file, for Wireshark",
        set: Setter::Command(|draft, text| {
            draft.client().key_log = Some(PathBuf::from(text));
            Ok(())
        }),
        ..Opt::DEFAULT
    }
}

/// `--max-time SECONDS`.
pub(super) const fn max_time<D: HasClientDraft>() -> Opt<D> {
    Opt {
        long: "max-time",
        short: Some('m'),
        value: Value::Required("SECONDS"),
        help: "for everything together (default: no limit)",
        set: Setter::Command(|draft, text| {
            draft.client().max_time = Some(values::seconds(text)?);
            Ok(())
        }),
        ..Opt::DEFAULT
    }
}
