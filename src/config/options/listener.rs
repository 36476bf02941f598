//! Options of a listener.

use super::super::values;
use super::{HTTP, Opt, SERVER, ServerCommand, ServerDraft, Setter, Value, seconds};

const LINES: &[ServerCommand] = &[ServerCommand::Echo, ServerCommand::Upper];

const LIMITS: Opt<ServerDraft> = Opt { group: "Limits", commands: HTTP, ..SERVER };
/// Impairments of the line services, to test clients.
const BAD_NETWORK: Opt<ServerDraft> = Opt { group: "A bad network", commands: LINES, ..SERVER };

/// `--bind`, for servers of streams and of datagrams.
pub const fn bind<D>(help: &'static str) -> Opt<D> {
    Opt {
        long: "bind",
        short: Some('b'),
        value: Value::Required("ADDR[:PORT]"),
        help,
        repeatable: true,
        set: Setter::Listener(|listener, text| {
            // The value is checked now and resolved later, since --port may follow.
            values::endpoints(text, 0)?;
            listener.bind.push(text.to_owned());
            Ok(())
        }),
        ..Opt::DEFAULT
    }
}

/// `--port`, for both too.
pub const fn port<D>() -> Opt<D> {
    Opt {
        long: "port",
        short: Some('p'),
        value: Value::Required("PORT"),
        help: "the port of addresses without one; 0: one free port for all of them",
        default: |draft| draft.listener.port.to_string(),
        set: assign!(Listener.port = values::port),
        ..Opt::DEFAULT
    }
}

pub(super) static OPTIONS: &[Opt<ServerDraft>] = &[
    Opt {
        group: "Listening",
        environment: true,
        ..bind("listen here: an address, a name or unix:PATH (default: 127.0.0.1 and [::1])")
    },
    Opt { group: "Listening", environment: true, ..port() },
    Opt {
        long: "delay",
        value: Value::Required("MS"),
        help: "hold each response back for this many milliseconds",
        set: assign!(Listener.delay = values::millis),
        ..BAD_NETWORK
    },
    Opt {
        long: "chaos",
        value: Value::Required("SEED"),
        help: "split responses at random places, stall, and sometimes reset the connection; the same seed \
               repeats the same events",
        set: assign!(Listener.chaos = Some(values::seed)),
        ..BAD_NETWORK
    },
    Opt {
        long: "header-timeout",
        value: Value::Required("SECONDS"),
        help: "for the whole head of a request",
        default: |draft| seconds(draft.listener.header_timeout),
        set: assign!(Listener.header_timeout = values::seconds),
        ..LIMITS
    },
    Opt {
        long: "idle-timeout",
        value: Value::Required("SECONDS"),
        help: "between two requests on a connection",
        default: |draft| seconds(draft.listener.idle_timeout),
        set: assign!(Listener.idle_timeout = values::seconds),
        ..LIMITS
    },
    Opt {
        long: "body-timeout",
        value: Value::Required("SECONDS"),
        help: "without progress of a request's body",
        default: |draft| seconds(draft.listener.body_timeout),
        set: assign!(Listener.body_timeout = values::seconds),
        ..LIMITS
    },
    Opt {
        long: "send-timeout",
        value: Value::Required("SECONDS"),
        commands: &[],
        help: "without progress of a response",
        default: |draft| seconds(draft.listener.send_timeout),
        set: assign!(Listener.send_timeout = values::seconds),
        ..LIMITS
    },
    Opt {
        long: "max-per-address",
        value: Value::Required("N"),
        help: "connections at once from one address (default: no limit)",
        set: assign!(Listener.max_per_address = Some(values::count)),
        ..LIMITS
    },
];
