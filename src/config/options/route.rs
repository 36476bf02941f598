//! Options of a route: those of the key-value service.

use super::super::value_text::size;
use super::super::{KV, values};
use super::{CONTENT, Opt, SERVE, SERVER, ServerCommand, ServerDraft, Setter, Value, paths};

const KEYS_AND_VALUES: Opt<ServerDraft> = Opt { group: "Keys and values", commands: CONTENT, ..SERVER };

pub(super) static OPTIONS: &[Opt<ServerDraft>] = &[
    Opt {
        long: KV,
        value: Value::Required("ADDR[:PORT]"),
        commands: SERVE,
        repeatable: true,
        help: "run the key-value service (miod kv) in this process too, at this address",
        relative: paths::endpoint,
        set: Setter::Command(|draft, text| {
            values::endpoints(text, ServerCommand::Kv.default_port())?;
            draft.kv.push(text.to_owned());
            Ok(())
        }),
        ..KEYS_AND_VALUES
    },
    Opt {
        long: "token",
        value: Value::Required("TOKEN"),
        help: "clients must send this bearer token; as a variable it is hidden from other users",
        secret: true,
        set: assign!(Route.token = Some(values::token)),
        ..KEYS_AND_VALUES
    },
    Opt {
        long: "capacity",
        value: Value::Required("SIZE"),
        help: "for all keys and values together; more are refused with 507",
        default: |draft| size(draft.route.capacity as u64),
        set: assign!(Route.capacity = values::memory),
        ..KEYS_AND_VALUES
    },
];
