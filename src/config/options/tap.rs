//! Options of a tap, for all commands that have sockets.

use super::super::values;
use super::{Opt, ServerDraft, Setter, Value, paths};

/// Those of servers.
pub(super) static OPTIONS: &[Opt<ServerDraft>] = &options(true);

impl<D> Opt<D> {
    /// Those of commands at which others connect, or send to.
    pub const TAP_OF_SERVICE: &'static [Self] = &options(false);
    /// Those of commands that only connect to others.
    pub const TAP_OF_CLIENT: &'static [Self] = Self::TAP_OF_SERVICE.split_at(6).0;
}

/// The last one is for what other machines send. `environment`: they can be set by variables.
const fn options<D>(environment: bool) -> [Opt<D>; 7] {
    [
        Opt {
            long: "tap",
            value: Value::Required("FILE"),
            help: "write what is received and sent to this file, as a capture (pcapng) for Wireshark and miod report",
            relative: paths::whole,
            set: assign!(Process.tap.file = Some(values::file)),
            ..common(environment)
        },
        Opt {
            long: "tap-plain",
            help: "with TLS, write the plain text",
            set: assign!(Process.tap.plain = true),
            ..common(environment)
        },
        Opt {
            long: "tap-secrets",
            help: "with TLS, write the secrets too; all who read the file can decrypt the connections",
            set: Setter::Process(|process, _| {
                process.tap.secrets.get_or_insert_default();
                Ok(())
            }),
            ..common(environment)
        },
        Opt {
            long: "tap-size",
            value: Value::Required("SIZE"),
            help: "the most bytes of the file; then the tap stops, or goes on in the next file",
            set: Setter::Process(|process, text| process.tap.set_size(values::size(text)?)),
            ..common(environment)
        },
        Opt {
            long: "tap-files",
            value: Value::Required("N"),
            help: "the most files: FILE is the newest, FILE.1 the one before (default: 1, with --tap-ring 10)",
            set: Setter::Process(|process, text| process.tap.set_files(values::count(text)?)),
            ..common(environment)
        },
        Opt {
            long: "tap-ring",
            value: Value::Required("SIZE"),
            help: "keep the last packets in memory, and write them at SIGWINCH, at a 5xx, and at the end",
            set: Setter::Process(|process, text| process.tap.set_ring(values::memory(text)?)),
            ..common(environment)
        },
        Opt {
            long: "tap-public",
            help: "tap also what other machines send",
            set: assign!(Process.tap.public = true),
            ..common(environment)
        },
    ]
}

const fn common<D>(environment: bool) -> Opt<D> {
    Opt { group: "Capturing", environment, ..Opt::DEFAULT }
}
