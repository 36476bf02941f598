//! The table of options. Each is one entry, from which parsing, environment and
//! help all come: what is documented exists, and what exists is documented.

use std::path::PathBuf;
use std::time::Duration;

use super::values;
use super::{Name, Name::Echo, Name::Kv, Name::Serve, Name::Upper};
use crate::auth::guard::check_prefix;
use crate::config::{self, Apps, Config};
use crate::files::resolve::Symlinks;
use crate::http::grammar;
use crate::http::media_type::MediaTypes;
use crate::logging::{AccessLog, Settings};
use crate::session::Sessions;

/// What the options say, before it is known which command it is for.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) logging: Settings,
    /// As written: the port may come later.
    pub(super) binds: Vec<String>,
    pub(super) port: Option<u16>,
    pub(super) delay: Duration,
    pub(super) chaos: Option<u64>,
}

/// Whether an option takes a value, and how help calls it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Value {
    /// It is a switch.
    None,
    /// It takes a value.
    Required(&'static str),
    /// It takes a value behind an equals sign, or none.
    Optional(&'static str),
}

/// One option.
pub(super) struct Flag {
    pub(super) long: &'static str,
    pub(super) short: Option<char>,
    pub(super) value: Value,
    /// The commands that know it.
    pub(super) commands: &'static [Name],
    /// The heading in help.
    pub(super) group: &'static str,
    pub(super) help: &'static str,
    /// The default as help tells it, where that isn't self-evident.
    pub(super) default: fn(&Config) -> String,
    /// It may be given more than once; in its variable with commas between.
    pub(super) repeatable: bool,
    /// It can also be set by a variable of the environment.
    pub(super) in_environment: bool,
    pub(super) apply: fn(&mut Draft, &str) -> Result<(), String>,
}

impl Flag {
    /// The variable of the environment: `MIOD_IDLE_TIMEOUT` for `--idle-timeout`.
    pub(super) fn variable(&self) -> String {
        format!("MIOD_{}", self.long.to_ascii_uppercase().replace('-', "_"))
    }
}

/// Those that listen.
const ALL: &[Name] = &[Serve, Kv, Echo, Upper];
/// Those that speak HTTP.
const HTTP: &[Name] = &[Serve, Kv];

/// What most entries have in common.
const FLAG: Flag = Flag {
    long: "",
    short: None,
    value: Value::None,
    commands: &[Serve],
    group: "",
    help: "",
    default: |_| String::new(),
    repeatable: false,
    in_environment: true,
    apply: |_, _| Ok(()),
};

const LISTENING: Flag = Flag { group: "Listening", commands: ALL, ..FLAG };
const SERVING: Flag = Flag { group: "Serving", ..FLAG };
const APPLICATIONS: Flag = Flag { group: "Applications", ..FLAG };
const ACCESS: Flag = Flag { group: "Access", ..FLAG };
const STORE: Flag = Flag { group: "Keys and values", commands: HTTP, ..FLAG };
const SESSIONS: Flag = Flag { group: "Sessions", ..FLAG };
/// What line services do to those who test their clients.
const TROUBLE: Flag = Flag { group: "A bad network", commands: &[Echo, Upper], ..FLAG };
const LIMITS: Flag = Flag { group: "Limits", commands: HTTP, ..FLAG };
/// `RUST_LOG` is the variable that belongs to these.
const VERBOSITY: Flag = Flag { group: "Logging", commands: ALL, repeatable: true, in_environment: false, ..FLAG };
/// What is asked once and not configured; done where options are parsed.
const ASKING: Flag = Flag { group: "Help", commands: ALL, in_environment: false, ..FLAG };

/// All options, in the order of help.
pub(super) static FLAGS: &[Flag] = &[
    Flag {
        long: "bind",
        short: Some('b'),
        value: Value::Required("ADDR[:PORT]"),
        help: "listen here: an address, a name or unix:PATH (default: 127.0.0.1 and [::1])",
        repeatable: true,
        apply: |draft, text| {
            // Whether it is an address is told now, the port may come later.
            values::endpoints(text, 0)?;
            draft.binds.push(text.to_owned());
            Ok(())
        },
        ..LISTENING
    },
    Flag {
        long: "port",
        short: Some('p'),
        value: Value::Required("PORT"),
        help: "where an address names none; 0 is any free one, the same for all",
        default: |config| config.port.to_string(),
        apply: |draft, text| {
            draft.port = Some(values::port(text)?);
            Ok(())
        },
        ..LISTENING
    },
    Flag {
        long: "listing",
        help: "list directories that have no index file",
        apply: |draft, _| {
            draft.config.listing = true;
            Ok(())
        },
        ..SERVING
    },
    Flag {
        long: "symlinks",
        value: Value::Required("inside|none"),
        help: "follow symbolic links that stay below the root, or none",
        default: |_| "inside".to_owned(),
        apply: |draft, text| {
            draft.config.symlinks = match text {
                "inside" => Symlinks::Inside,
                "none" => Symlinks::None,
                _ => return Err("give inside or none".to_owned()),
            };
            Ok(())
        },
        ..SERVING
    },
    Flag {
        long: "cache-control",
        value: Value::Required("VALUE"),
        help: "the Cache-Control of files",
        default: |config| config.cache_control.clone(),
        apply: |draft, text| {
            if text.trim() != text || !text.bytes().all(grammar::is_field_text) {
                return Err("give the value of a field, like max-age=3600".to_owned());
            }
            draft.config.cache_control = text.to_owned();
            Ok(())
        },
        ..SERVING
    },
    Flag {
        long: "cache-size",
        value: Value::Required("SIZE"),
        help: "memory for small files; 0 is none",
        default: |config| size(config.cache_size as u64),
        apply: |draft, text| {
            draft.config.cache_size =
                usize::try_from(values::size(text)?).map_err(|_| "that is too much".to_owned())?;
            Ok(())
        },
        ..SERVING
    },
    Flag {
        long: "etag-inode",
        help: "finer entity-tags, which differ from one machine to another",
        apply: |draft, _| {
            draft.config.etag_inode = true;
            Ok(())
        },
        ..SERVING
    },
    Flag {
        long: "media-type",
        value: Value::Required("EXT=TYPE"),
        help: "the media type of files with this extension",
        repeatable: true,
        apply: |draft, text| {
            let (extension, media_type) = values::pair(text)?;
            MediaTypes::new().add(&extension, &media_type)?;
            draft.config.media_types.push((extension, media_type));
            Ok(())
        },
        ..SERVING
    },
    Flag {
        long: "spa",
        value: Value::Required("FILE"),
        help: "this file below the root, with 200, for what isn't found",
        apply: |draft, text| {
            let inside = !text.is_empty() && text.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
            if !inside {
                return Err("give a path relative to the root, like index.html".to_owned());
            }
            draft.config.spa = Some(text.to_owned());
            Ok(())
        },
        ..SERVING
    },
    Flag {
        long: "no-server-header",
        commands: HTTP,
        help: "answers don't name the server",
        apply: |draft, _| {
            draft.config.server_field = false;
            Ok(())
        },
        ..SERVING
    },
    Flag {
        long: "app",
        value: Value::Required("PREFIX=NAME"),
        help: "mount an application at this path",
        repeatable: true,
        apply: |draft, text| {
            let (prefix, name) = values::pair(text)?;
            if !prefix.starts_with('/') {
                return Err("give a path that begins with a slash, like /lab=lab".to_owned());
            }
            draft.config.mounts.push((prefix, name));
            Ok(())
        },
        ..APPLICATIONS
    },
    Flag {
        long: "apps",
        value: Value::Optional("NAME,..."),
        help: "mount these, or all, at their usual paths (default: all, if only this machine can connect)",
        apply: |draft, text| {
            let names = values::names(text);
            draft.config.apps = if names.is_empty() { Apps::AllBut(names) } else { Apps::Only(names) };
            Ok(())
        },
        ..APPLICATIONS
    },
    Flag {
        long: "no-apps",
        value: Value::Optional("NAME,..."),
        help: "mount all but these, or none",
        apply: |draft, text| {
            let names = values::names(text);
            draft.config.apps = if names.is_empty() { Apps::Only(names) } else { Apps::AllBut(names) };
            Ok(())
        },
        ..APPLICATIONS
    },
    Flag {
        long: "auth",
        value: Value::Required("PREFIX=FILE"),
        help: "the users of a password file (see miod passwd) alone get to the paths below PREFIX",
        repeatable: true,
        apply: |draft, text| {
            let (prefix, file) = values::pair(text)?;
            check_prefix(&prefix)?;
            draft.config.auth.push((prefix, PathBuf::from(file)));
            Ok(())
        },
        ..ACCESS
    },
    Flag {
        long: "users",
        value: Value::Required("FILE"),
        help: "the password file of who can log in at /login",
        apply: |draft, text| {
            if text.is_empty() {
                return Err("give a file".to_owned());
            }
            draft.config.users = Some(PathBuf::from(text));
            Ok(())
        },
        ..ACCESS
    },
    Flag {
        long: "trusted-proxy",
        value: Value::Required("CIDR|unix"),
        help: "what such a peer says in Forwarded or X-Forwarded-For is the client's address",
        repeatable: true,
        apply: |draft, text| draft.config.trusted_proxies.add(text).map_err(str::to_owned),
        ..ACCESS
    },
    Flag {
        long: "quiz",
        value: Value::Required("FILE"),
        help: "the questions of the quiz, as JSON (default: some on HTTP and sockets)",
        apply: |draft, text| {
            draft.config.quiz = Some(values::file(text)?);
            Ok(())
        },
        ..APPLICATIONS
    },
    Flag {
        long: "sessions",
        value: Value::Required("STORE"),
        help: "where visitors' sessions are: memory (gone at exit), cookie (signed, with the visitor), file:DIR, http://HOST:PORT/ (as miod kv), redis://[:PASS@]HOST:PORT/DB",
        default: |_| "memory".to_owned(),
        apply: |draft, text| {
            draft.config.sessions = values::sessions(text)?;
            Ok(())
        },
        ..SESSIONS
    },
    Flag {
        long: "session-key",
        value: Value::Required("FILE"),
        help: "the keys that sign cookies; made if it isn't there (default: miod/session.key in your directory for state)",
        apply: |draft, text| {
            if text.is_empty() {
                return Err("give a file".to_owned());
            }
            draft.config.session_key = Some(PathBuf::from(text));
            Ok(())
        },
        ..SESSIONS
    },
    Flag {
        long: "session-cookie",
        value: Value::Required("NAME"),
        help: "the name of the cookie",
        default: |config| config.session_cookie.clone(),
        apply: |draft, text| {
            Sessions::default().with_cookie(text)?;
            draft.config.session_cookie = text.to_owned();
            Ok(())
        },
        ..SESSIONS
    },
    Flag {
        long: "session-idle",
        value: Value::Required("SPAN"),
        help: "a session that isn't used is over: 90, 30m, 12h or 7d",
        default: |config| span(config.session_lifetime.idle),
        apply: |draft, text| {
            draft.config.session_lifetime.idle = values::span(text)?;
            Ok(())
        },
        ..SESSIONS
    },
    Flag {
        long: "session-max",
        value: Value::Required("SPAN"),
        help: "a session of this age is over, used or not",
        default: |config| span(config.session_lifetime.most),
        apply: |draft, text| {
            draft.config.session_lifetime.most = values::span(text)?;
            Ok(())
        },
        ..SESSIONS
    },
    Flag {
        long: "kv",
        value: Value::Required("ADDR[:PORT]"),
        commands: &[Serve],
        help: "run the key-value service here too (miod kv), on the same loop; repeatable",
        apply: |draft, text| {
            draft.config.kv.extend(values::endpoints(text, config::KV_PORT)?);
            Ok(())
        },
        ..STORE
    },
    Flag {
        long: "data",
        value: Value::Required("DIR"),
        help: "keep posts, keys and values on disk, in this directory; made if absent (default: in memory)",
        apply: |draft, text| {
            draft.config.data = Some(values::directory(text)?);
            Ok(())
        },
        ..STORE
    },
    Flag {
        long: "token",
        value: Value::Required("TOKEN"),
        help: "clients must show this bearer token; better as a variable, which other users can't see",
        apply: |draft, text| {
            draft.config.token = Some(values::token(text)?);
            Ok(())
        },
        ..STORE
    },
    Flag {
        long: "capacity",
        value: Value::Required("SIZE"),
        help: "for all keys and values together; beyond it, 507",
        default: |config| size(config.capacity as u64),
        apply: |draft, text| {
            draft.config.capacity = usize::try_from(values::size(text)?).map_err(|_| "that is too much".to_owned())?;
            Ok(())
        },
        ..STORE
    },
    Flag {
        long: "delay",
        value: Value::Required("MS"),
        help: "hold every answer back for so many milliseconds",
        apply: |draft, text| {
            draft.delay = values::millis(text)?;
            Ok(())
        },
        ..TROUBLE
    },
    Flag {
        long: "chaos",
        value: Value::Required("SEED"),
        help: "cut answers into pieces at random places, stall, now and then reset; the same number \
               gives each connection the same fate again",
        apply: |draft, text| {
            draft.chaos = Some(text.parse().map_err(|_| "give a whole number, like 7".to_owned())?);
            Ok(())
        },
        ..TROUBLE
    },
    Flag {
        long: "header-timeout",
        value: Value::Required("SECONDS"),
        help: "for the whole head of a request",
        default: |config| config.header_timeout.as_secs_f64().to_string(),
        apply: |draft, text| {
            draft.config.header_timeout = values::seconds(text)?;
            Ok(())
        },
        ..LIMITS
    },
    Flag {
        long: "idle-timeout",
        value: Value::Required("SECONDS"),
        help: "between two requests of a connection",
        default: |config| config.idle_timeout.as_secs_f64().to_string(),
        apply: |draft, text| {
            draft.config.idle_timeout = values::seconds(text)?;
            Ok(())
        },
        ..LIMITS
    },
    Flag {
        long: "body-timeout",
        value: Value::Required("SECONDS"),
        help: "without progress of a request's body",
        default: |config| config.body_timeout.as_secs_f64().to_string(),
        apply: |draft, text| {
            draft.config.body_timeout = values::seconds(text)?;
            Ok(())
        },
        ..LIMITS
    },
    Flag {
        long: "send-timeout",
        value: Value::Required("SECONDS"),
        commands: ALL,
        help: "without progress of an answer",
        default: |config| config.send_timeout.as_secs_f64().to_string(),
        apply: |draft, text| {
            draft.config.send_timeout = values::seconds(text)?;
            Ok(())
        },
        ..LIMITS
    },
    Flag {
        long: "body-limit",
        value: Value::Required("SIZE"),
        help: "largest body of a request",
        default: |config| size(config.body_limit),
        apply: |draft, text| {
            draft.config.body_limit = values::size(text)?;
            Ok(())
        },
        ..LIMITS
    },
    Flag {
        long: "max-memory",
        value: Value::Required("SIZE"),
        commands: ALL,
        help: "for what connections hold, the cache and sessions together; beyond it, 503",
        default: |config| size(config.max_memory as u64),
        apply: |draft, text| {
            draft.config.max_memory =
                usize::try_from(values::size(text)?).map_err(|_| "that is too much".to_owned())?;
            // Less than a few buffers would turn everybody away.
            if draft.config.max_memory < 1 << 20 { Err("it takes 1M at least".to_owned()) } else { Ok(()) }
        },
        ..LIMITS
    },
    Flag {
        long: "max-connections",
        value: Value::Required("N"),
        commands: ALL,
        help: "at once (default: as many as there are file descriptors)",
        apply: |draft, text| {
            draft.config.max_connections = Some(values::count(text)?);
            Ok(())
        },
        ..LIMITS
    },
    Flag {
        long: "max-per-address",
        value: Value::Required("N"),
        help: "connections at once from one address (default: no bound)",
        apply: |draft, text| {
            draft.config.max_per_address = Some(values::count(text)?);
            Ok(())
        },
        ..LIMITS
    },
    Flag {
        long: "access-log",
        value: Value::Required("FILE|-"),
        group: "Logging",
        commands: HTTP,
        help: "a line for each request, to a file or standard output (default: to standard error, if that is a terminal)",
        apply: |draft, text| {
            draft.logging.access = match text {
                "" => return Err("give a file, or - for standard output".to_owned()),
                "-" => AccessLog::Stdout,
                path => AccessLog::File(PathBuf::from(path)),
            };
            Ok(())
        },
        ..FLAG
    },
    Flag {
        long: "verbose",
        short: Some('v'),
        help: "log more; twice: even more (RUST_LOG beats it)",
        apply: |draft, _| {
            draft.logging.verbosity = draft.logging.verbosity.saturating_add(1);
            Ok(())
        },
        ..VERBOSITY
    },
    Flag {
        long: "quiet",
        short: Some('q'),
        help: "log warnings only; twice: errors only",
        apply: |draft, _| {
            draft.logging.verbosity = draft.logging.verbosity.saturating_sub(1);
            Ok(())
        },
        ..VERBOSITY
    },
    Flag { long: "version", short: Some('V'), help: "tell the version", ..ASKING },
    Flag { long: "help", short: Some('h'), help: "tell this", ..ASKING },
];

/// Octets as an operator would write them.
fn size(octets: u64) -> String {
    match octets {
        0 => "0".to_owned(),
        _ if octets.is_multiple_of(1 << 30) => format!("{}G", octets >> 30),
        _ if octets.is_multiple_of(1 << 20) => format!("{}M", octets >> 20),
        _ if octets.is_multiple_of(1 << 10) => format!("{}K", octets >> 10),
        _ => octets.to_string(),
    }
}

/// A span of whole seconds as an operator would write it.
fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds if seconds.is_multiple_of(86_400) && seconds > 86_400 => format!("{}d", seconds / 86_400),
        seconds if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        seconds if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        seconds => seconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn the_table_is_in_order() {
        for (at, flag) in FLAGS.iter().enumerate() {
            let before = &FLAGS[..at];
            assert!(flag.long.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-'), "{}", flag.long);
            assert!(before.iter().all(|other| other.long != flag.long), "{} twice", flag.long);
            assert!(flag.short.is_none() || before.iter().all(|other| other.short != flag.short), "{}", flag.long);
            assert!(!flag.help.is_empty() && !flag.group.is_empty() && !flag.commands.is_empty());
        }
        assert_eq!(FLAGS.iter().find(|flag| flag.long == "idle-timeout").unwrap().variable(), "MIOD_IDLE_TIMEOUT");
    }

    #[test]
    fn defaults_are_acceptable_values() {
        let config = Config::default();
        for flag in FLAGS {
            let default = (flag.default)(&config);
            if !default.is_empty() {
                let applied = (flag.apply)(&mut Draft::default(), &default);
                assert_eq!(applied, Ok(()), "--{} {default}", flag.long);
            }
        }
    }

    #[test]
    fn spans_as_an_operator_writes_them() {
        for seconds in [1, 59, 60, 90, 3_600, 86_400, 7 * 86_400] {
            assert_eq!(values::span(&span(Duration::from_secs(seconds))), Ok(Duration::from_secs(seconds)));
        }
        assert_eq!(span(limits::SESSION_MOST), "24h");
    }

    #[test]
    fn sizes_as_an_operator_writes_them() {
        for octets in [0, 1, 1023, 1024, 1 << 20, 3 << 30, (1 << 30) + 1024] {
            assert_eq!(values::size(&size(octets)), Ok(octets));
        }
        assert_eq!(size(32 << 20), "32M");
    }
}
