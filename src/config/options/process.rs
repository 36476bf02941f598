//! Options of the process.

use std::path::PathBuf;

use super::super::value_text::{seconds, size, span};
use super::super::values;
use super::super::{CachePlace, Sandbox, Trust};
use super::{HTTP, Opt, PROXIES, SERVE, SERVER, ServerCommand, ServerDraft, Setter, Value, paths};
use crate::logging::{AccessLog, DiagnosticFormat, LogFormat};
use crate::session::Sessions;

const SESSIONS: Opt<ServerDraft> = Opt { group: "Sessions", commands: SERVE, ..SERVER };
const PROXY: Opt<ServerDraft> = Opt { group: "Proxy", commands: PROXIES, ..SERVER };
const LIMITS: Opt<ServerDraft> = Opt { group: "Limits", ..SERVER };
/// Their variable is `RUST_LOG`.
const VERBOSITY: Opt<ServerDraft> = Opt { group: "Logging", repeatable: true, environment: false, ..SERVER };

/// `--verbose`, for servers of streams and of datagrams.
pub const fn verbose<D>(help: &'static str) -> Opt<D> {
    Opt {
        long: "verbose",
        short: Some('v'),
        help,
        set: Setter::Process(|process, _| {
            process.logging.verbosity = process.logging.verbosity.saturating_add(1);
            Ok(())
        }),
        ..Opt::DEFAULT
    }
}

pub(super) static OPTIONS: &[Opt<ServerDraft>] = &[
    Opt {
        long: "config",
        short: Some('c'),
        value: Value::Required("FILE"),
        group: "Configuration",
        help: "read settings from this file (TOML): the options by their long names, hosts and routes; see the manual",
        set: Setter::Command(|draft, text| {
            draft.config = Some(values::file(text)?);
            Ok(())
        }),
        ..SERVER
    },
    Opt {
        long: "cache-size",
        value: Value::Required("SIZE"),
        commands: SERVE,
        group: "Serving",
        help: "memory for small files; 0: none",
        default: |draft| size(draft.process.cache_size as u64),
        set: assign!(Process.cache_size = values::memory),
        ..SERVER
    },
    Opt {
        long: "trusted-proxy",
        value: Value::Required("CIDR|unix"),
        commands: SERVE,
        group: "Access",
        help: "take the client's address from Forwarded or X-Forwarded-For if the peer is this proxy",
        repeatable: true,
        set: Setter::Process(|process, text| process.trusted_proxies.add(text).map_err(str::to_owned)),
        ..SERVER
    },
    Opt {
        long: "connect-timeout",
        value: Value::Required("SECONDS"),
        help: "an upstream that doesn't accept a connection in this time fails (504)",
        default: |draft| seconds(draft.process.upstream_timeouts.connect),
        set: assign!(Process.upstream_timeouts.connect = values::seconds),
        ..PROXY
    },
    Opt {
        long: "upstream-timeout",
        value: Value::Required("SECONDS"),
        help: "an upstream that sends no response in this time fails (504)",
        default: |draft| seconds(draft.process.upstream_timeouts.response),
        set: assign!(Process.upstream_timeouts.response = values::seconds),
        ..PROXY
    },
    Opt {
        long: "upstream-idle-timeout",
        value: Value::Required("SECONDS"),
        help: "a response in which nothing moves for this time is cut",
        default: |draft| seconds(draft.process.upstream_timeouts.idle),
        set: assign!(Process.upstream_timeouts.idle = values::seconds),
        ..PROXY
    },
    Opt {
        long: "tunnel-timeout",
        value: Value::Required("SECONDS"),
        help: "a tunnel (WebSocket and the like) in which no byte moves for this time is closed",
        default: |draft| seconds(draft.process.upstream_timeouts.tunnel),
        set: assign!(Process.upstream_timeouts.tunnel = values::seconds),
        ..PROXY
    },
    Opt {
        long: "upstream-ca",
        value: Value::Required("FILE"),
        help: "with https://: trust an upstream that an authority in this file has signed (default: those of the \
               system)",
        relative: paths::whole,
        set: Setter::Process(|process, text| {
            process.upstream_trust = Trust::File(values::file(text)?);
            Ok(())
        }),
        ..PROXY
    },
    Opt {
        long: "proxy-cache",
        value: Value::Required("memory|off|DIR"),
        help: "where responses of upstreams are stored: miod proxy stores them, and routes with cache = true",
        default: |_| "memory".to_owned(),
        relative: paths::cache_place,
        set: Setter::Process(|process, text| {
            process.proxy_cache.place = match text {
                "memory" => CachePlace::Memory,
                "off" => CachePlace::Off,
                directory => CachePlace::Directory(values::directory(directory)?),
            };
            Ok(())
        }),
        ..PROXY
    },
    Opt {
        long: "proxy-cache-size",
        value: Value::Required("SIZE"),
        help: "for stored responses in a directory; those that are used least leave it",
        default: |draft| size(draft.process.proxy_cache.size),
        set: assign!(Process.proxy_cache.size = values::size),
        ..PROXY
    },
    Opt {
        long: "proxy-cache-memory",
        value: Value::Required("SIZE"),
        help: "for stored responses in memory",
        default: |draft| size(draft.process.proxy_cache.memory),
        set: assign!(Process.proxy_cache.memory = values::size),
        ..PROXY
    },
    Opt {
        long: "sessions",
        value: Value::Required("STORE"),
        help: "where visitors' sessions are kept: memory (lost at exit), cookie (signed, at the visitor), file:DIR, \
               http://HOST:PORT/ (a miod kv), redis://[:PASS@]HOST:PORT/DB; https:// and rediss:// for TLS",
        default: |_| "memory".to_owned(),
        secret: true,
        relative: paths::session_store,
        set: assign!(Process.sessions.store = values::sessions),
        ..SESSIONS
    },
    Opt {
        long: "sessions-ca",
        value: Value::Required("FILE"),
        help: "with https:// or rediss://: trust a store that an authority in this file has signed (default: those \
               of the system)",
        relative: paths::whole,
        set: Setter::Process(|process, text| {
            process.sessions.trust = Trust::File(values::file(text)?);
            Ok(())
        }),
        ..SESSIONS
    },
    Opt {
        long: "session-key",
        value: Value::Required("FILE"),
        help: "the keys that sign cookies; created if absent (default: miod/session.key in your state directory)",
        relative: paths::whole,
        set: assign!(Process.sessions.key = Some(values::file)),
        ..SESSIONS
    },
    Opt {
        long: "session-cookie",
        value: Value::Required("NAME"),
        help: "the name of the cookie",
        default: |draft| draft.process.sessions.cookie.clone(),
        set: Setter::Process(|process, text| {
            Sessions::default().with_cookie(text)?;
            process.sessions.cookie = text.to_owned();
            Ok(())
        }),
        ..SESSIONS
    },
    Opt {
        long: "session-idle",
        value: Value::Required("SPAN"),
        help: "an unused session ends after this time: 90, 30m, 12h or 7d",
        default: |draft| span(draft.process.sessions.lifetime.idle),
        set: assign!(Process.sessions.lifetime.idle = values::span),
        ..SESSIONS
    },
    Opt {
        long: "session-max",
        value: Value::Required("SPAN"),
        help: "every session ends after this time, used or not",
        default: |draft| span(draft.process.sessions.lifetime.max_age),
        set: assign!(Process.sessions.lifetime.max_age = values::span),
        ..SESSIONS
    },
    Opt {
        long: "data",
        value: Value::Required("DIR"),
        commands: &[ServerCommand::Serve, ServerCommand::Kv, ServerCommand::Mailbox],
        group: "Running",
        help: "keep posts, keys and values, or mail on disk, in this directory; created if absent (default: in \
               memory)",
        relative: paths::whole,
        set: assign!(Process.data = Some(values::directory)),
        ..SERVER
    },
    Opt {
        long: "max-memory",
        value: Value::Required("SIZE"),
        help: "for connections, the cache and sessions together; beyond it, 503",
        default: |draft| size(draft.process.max_memory as u64),
        set: Setter::Process(|process, text| {
            process.max_memory = values::memory(text)?;
            // Less than a few buffers would refuse every connection.
            if process.max_memory < 1 << 20 { Err("give at least 1M".to_owned()) } else { Ok(()) }
        }),
        ..LIMITS
    },
    Opt {
        long: "max-connections",
        value: Value::Required("N"),
        help: "connections at once (default: as many as there are file descriptors)",
        set: assign!(Process.max_connections = Some(values::count)),
        ..LIMITS
    },
    Opt {
        long: "pid-file",
        value: Value::Required("FILE"),
        group: "Running",
        help: "write the number of the process to this file when clients can connect; it is removed at the end",
        relative: paths::whole,
        set: assign!(Process.pid_file = Some(values::file)),
        ..SERVER
    },
    Opt {
        long: "user",
        value: Value::Required("NAME[:GROUP]"),
        group: "Running",
        help: "run as this user, after root has opened what needs it; names or numbers",
        set: Setter::Process(|process, text| {
            if text.is_empty() || text.starts_with(':') || text.ends_with(':') {
                return Err("give a user, like www-data, 33 or www-data:web".to_owned());
            }
            process.user = Some(text.to_owned());
            Ok(())
        }),
        ..SERVER
    },
    Opt {
        long: "sandbox",
        value: Value::Required("auto|off|require"),
        group: "Running",
        help: "give up files and ports that no option names, by landlock; require: don't start if the kernel can't",
        default: |_| "off".to_owned(),
        set: Setter::Process(|process, text| {
            process.sandbox = match text {
                "auto" => Sandbox::Auto,
                "off" => Sandbox::Off,
                "require" => Sandbox::Require,
                _ => return Err("give auto, off or require".to_owned()),
            };
            Ok(())
        }),
        ..SERVER
    },
    Opt {
        long: "access-log",
        value: Value::Required("FILE|-"),
        group: "Logging",
        commands: HTTP,
        help: "write a line for each request to a file or standard output (default: to standard error, if that is a terminal)",
        relative: paths::or_dash,
        set: Setter::Process(|process, text| {
            process.logging.access = match text {
                "" => return Err("give a file, or - for standard output".to_owned()),
                "-" => AccessLog::Stdout,
                path => AccessLog::File(PathBuf::from(path)),
            };
            Ok(())
        }),
        ..SERVER
    },
    Opt {
        long: "log-format",
        value: Value::Required("combined|common|json|logfmt"),
        group: "Logging",
        commands: HTTP,
        help: "the format of these lines: combined, common, json or logfmt",
        default: |draft| draft.process.logging.format.name().to_owned(),
        set: Setter::Process(|process, text| {
            let format = LogFormat::ALL.into_iter().find(|format| format.name() == text);
            process.logging.format = format.ok_or("give combined, common, json or logfmt")?;
            Ok(())
        }),
        ..SERVER
    },
    Opt {
        long: "diagnostics",
        value: Value::Required("text|json"),
        group: "Logging",
        help: "the format of messages on standard error: text or json",
        default: |draft| draft.process.logging.diagnostics.name().to_owned(),
        set: Setter::Process(|process, text| {
            let format = DiagnosticFormat::ALL.into_iter().find(|format| format.name() == text);
            process.logging.diagnostics = format.ok_or("give text or json")?;
            Ok(())
        }),
        ..SERVER
    },
    Opt { group: "Logging", repeatable: true, ..verbose("log more; twice: even more (RUST_LOG overrides it)") },
    Opt {
        long: "quiet",
        short: Some('q'),
        help: "log warnings only; twice: errors only",
        set: Setter::Process(|process, _| {
            process.logging.verbosity = process.logging.verbosity.saturating_sub(1);
            Ok(())
        }),
        ..VERBOSITY
    },
];
