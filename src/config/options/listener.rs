//! Options of a listener.

use super::super::value_text::seconds;
use super::super::values;
use super::{HTTP, Opt, SERVE, SERVER, ServerCommand, ServerDraft, Setter, Value, paths};
use crate::certificates::PemFiles;

const LINES: &[ServerCommand] = &[ServerCommand::Echo, ServerCommand::Upper];

const TLS: Opt<ServerDraft> = Opt { group: "TLS", ..SERVER };
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
        relative: paths::endpoint,
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
        set: Setter::Listener(|listener, text| {
            listener.port = values::port(text)?;
            listener.port_is_chosen = true;
            Ok(())
        }),
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
        long: "reuse-port",
        group: "Listening",
        // Several mailboxes would each have some of the messages.
        commands: &[
            ServerCommand::Serve,
            ServerCommand::Kv,
            ServerCommand::Proxy,
            ServerCommand::Echo,
            ServerCommand::Upper,
        ],
        help: "let other processes of this user listen at the same addresses; each gets a share of the connections",
        set: assign!(Listener.reuse_port = true),
        ..SERVER
    },
    Opt {
        long: "strict-hosts",
        group: "Listening",
        commands: SERVE,
        help: "refuse requests for hosts that the configuration file doesn't name (421), in place of answering them \
               with the default host",
        set: assign!(Listener.strict_hosts = true),
        ..SERVER
    },
    Opt {
        long: "admin",
        group: "Running",
        value: Value::Required("ADDR[:PORT]"),
        help: "answer operators here (default port: 9180; or unix:PATH): /metrics, /health, /ready, /config and /cache",
        repeatable: true,
        relative: paths::endpoint,
        set: Setter::Command(|draft, text| {
            values::endpoints(text, 0)?;
            draft.admin.push(text.to_owned());
            Ok(())
        }),
        ..SERVER
    },
    Opt {
        long: "admin-public",
        group: "Running",
        help: "let operators on other machines ask, by any name; all who can connect see figures and configuration",
        set: assign!(Process.admin_public = true),
        ..SERVER
    },
    Opt {
        long: "tls",
        value: Value::Required("auto|CERT.pem[,KEY.pem]"),
        help: "speak TLS, with this certificate; of several the name that a client asks for decides; auto: with one \
               that is made for you, by an authority of your own",
        repeatable: true,
        // A value itself may have a comma.
        separator: ';',
        relative: paths::pem_files,
        set: Setter::Listener(|listener, text| {
            let tls = listener.tls.get_or_insert_default();
            if text == "auto" {
                tls.auto = true;
            } else {
                tls.certificates.push(PemFiles::parse(text)?);
            }
            match tls.auto && !tls.certificates.is_empty() {
                true => Err("auto can't be combined with files".to_owned()),
                false => Ok(()),
            }
        }),
        ..TLS
    },
    Opt {
        long: "tls-bind",
        value: Value::Required("ADDR[:PORT]"),
        commands: SERVE,
        help: "listen for HTTPS here (default: the addresses of --bind, at port 8443)",
        repeatable: true,
        relative: paths::endpoint,
        set: Setter::Command(|draft, text| {
            values::endpoints(text, 0)?;
            draft.tls_bind.push(text.to_owned());
            Ok(())
        }),
        ..TLS
    },
    Opt {
        long: "tls-min",
        value: Value::Required("1.2|1.3"),
        help: "the oldest version of TLS that is spoken",
        default: |_| "1.2".to_owned(),
        set: Setter::Listener(|listener, text| {
            listener.tls.get_or_insert_default().only_tls13 = match text {
                "1.2" => false,
                "1.3" => true,
                _ => return Err("give 1.2 or 1.3".to_owned()),
            };
            Ok(())
        }),
        ..TLS
    },
    Opt {
        long: "client-ca",
        value: Value::Required("FILE"),
        help: "refuse clients without a certificate that an authority in this file has signed",
        relative: paths::whole,
        set: Setter::Listener(|listener, text| {
            listener.tls.get_or_insert_default().client_ca = Some(values::file(text)?);
            Ok(())
        }),
        ..TLS
    },
    Opt {
        long: "tls-keylog",
        value: Value::Required("FILE"),
        help: "append the secrets of all connections to this file, for Wireshark; all who read it can decrypt them",
        relative: paths::whole,
        set: Setter::Listener(|listener, text| {
            listener.tls.get_or_insert_default().key_log = Some(values::file(text)?);
            Ok(())
        }),
        ..TLS
    },
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
        long: "limit-rate",
        value: Value::Required("SIZE/s"),
        help: "send each connection at most so many bytes per second, after those of the first second (default: no \
               limit)",
        set: assign!(Listener.limit_rate = Some(values::send_limit)),
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
