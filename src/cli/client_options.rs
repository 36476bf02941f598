//! The options of tools that make TLS connections: whom to trust.

use std::path::PathBuf;

use crate::config::options::{Opt, Setter, Value};
use crate::trust::Trust;

/// `--cacert FILE`, for settings in which `set` finds the trust.
pub(super) const fn cacert<D>(set: Setter<D>) -> Opt<D> {
    Opt {
        long: "cacert",
        value: Value::Required("FILE"),
        help: "for TLS: trust servers that an authority in this file has signed (default: those of the system)",
        set,
        ..Opt::DEFAULT
    }
}

/// `--insecure`, as [`cacert`].
pub(super) const fn insecure<D>(set: Setter<D>) -> Opt<D> {
    Opt { long: "insecure", short: Some('k'), help: "for TLS: trust any server", set, ..Opt::DEFAULT }
}

/// `--tls-keylog FILE`, as [`cacert`].
pub(super) const fn tls_keylog<D>(set: Setter<D>) -> Opt<D> {
    Opt {
        long: "tls-keylog",
        value: Value::Required("FILE"),
        help: "append the secrets of TLS to this file, for Wireshark",
        set,
        ..Opt::DEFAULT
    }
}

/// The options of a tool without other settings.
pub(super) const TRUST: &[Opt<Trust>] = &[
    cacert(Setter::Command(|trust, text| {
        *trust = Trust::File(PathBuf::from(text));
        Ok(())
    })),
    insecure(Setter::Command(|trust, _| {
        *trust = Trust::Anybody;
        Ok(())
    })),
];
