//! All commands with their options, as completions and the manual page list them. The options
//! come from the tables that the commands are parsed by.

use super::arguments::Tool;
use super::server_help::table;
use super::{cache, connect, get, mail, passwd, report, sessions, udp};
use crate::config::ServerCommand;
use crate::config::options::{Opt, Value};

/// An option.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Flag {
    pub(super) long: &'static str,
    pub(super) short: Option<char>,
    /// The name of its value.
    pub(super) value: Option<&'static str>,
    pub(super) help: &'static str,
    pub(super) group: &'static str,
    /// Its variable of the environment.
    pub(super) variable: Option<String>,
}

/// A command.
pub(super) struct CommandText {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) flags: Vec<Flag>,
}

impl Flag {
    fn of<D>(option: &Opt<D>) -> Self {
        let value = match option.value {
            Value::None => None,
            Value::Required(name) | Value::Optional(name) => Some(name),
        };
        let variable = option.environment.then(|| option.variable());
        Self { long: option.long, short: option.short, value, help: option.help, group: option.group, variable }
    }

    const fn own(long: &'static str, value: Option<&'static str>, help: &'static str) -> Self {
        Self { long, short: None, value, help, group: "Options", variable: None }
    }

    /// The values that it can have, if they are fixed.
    pub(super) fn choices(&self) -> Vec<&'static str> {
        let is_choice =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || b"|.0123456789".contains(&byte));
        self.value
            .filter(|value| value.contains('|') && is_choice(value))
            .map(|value| value.split('|').collect())
            .unwrap_or_default()
    }

    /// Whether its value is a path.
    pub(super) fn is_path(&self) -> bool {
        self.value.is_some_and(|value| ["FILE", "DIR", "CERT.pem", "unix:PATH"].iter().any(|part| value.contains(part)))
    }
}

fn flags<D>(tool: &Tool<D>) -> Vec<Flag> {
    let mut flags: Vec<Flag> = Vec::new();
    for flag in tool.all_options().map(Flag::of) {
        if flags.iter().all(|other| other.long != flag.long) {
            flags.push(flag);
        }
    }
    flags
}

fn server(command: ServerCommand) -> Vec<Flag> {
    table(command).into_iter().map(Flag::of).collect()
}

/// All commands. The first is that of a command line without a command.
pub(super) fn all() -> Vec<CommandText> {
    let text = |name, about, flags| CommandText { name, about, flags };
    let with = |own: &[Flag]| [own, &server(ServerCommand::Serve)[..]].concat();
    vec![
        text("serve", "files and applications over HTTP", server(ServerCommand::Serve)),
        text("kv", "keys and values over HTTP", server(ServerCommand::Kv)),
        text("proxy", "ask other servers for clients: a forward proxy", server(ServerCommand::Proxy)),
        text("echo", "send each byte back", server(ServerCommand::Echo)),
        text("upper", "send the input back in upper case", server(ServerCommand::Upper)),
        text("mailbox", "receive mail, and show it", server(ServerCommand::Mailbox)),
        text(
            "check",
            "find what a start would find wrong, and print the settings",
            with(&[Flag::own("json", None, "print an object: option or path, value and origin")]),
        ),
        text(
            "reload",
            "have a running server load its configuration again",
            server(ServerCommand::Serve)
                .into_iter()
                .filter(|flag| ["config", "pid-file"].contains(&flag.long))
                .collect(),
        ),
        text(
            "unit",
            "print unit files for systemd",
            with(&[
                Flag::own("socket", None, "systemd opens the listening sockets"),
                Flag::own("per-user", None, "for the manager of your user"),
                Flag::own("program", Some("FILE"), "the program (default: this one)"),
            ]),
        ),
        text("passwd", "write a password file for --auth and --users", flags(&passwd::TOOL)),
        text("sessions", "list the sessions of a store, or end one", flags(&sessions::TOOL)),
        text("cache", "list, show, check or purge what proxies have stored", flags(&cache::TOOL)),
        text("report", "list the connections and requests of a capture", flags(&report::TOOL)),
        text("connect", "send standard input to a service, and print what comes back", flags(&connect::TOOL)),
        text("get", "send HTTP requests, and print the responses", flags(&get::TOOL)),
        text("mail", "send a message to a mail server", flags(&mail::TOOL)),
        text("udp", "reply to each datagram, over a simulated bad network", flags(&udp::ANSWER)),
        text("ping", "measure the round-trip time of such a service", flags(&udp::PING)),
        text("heartbeat", "monitor which senders are alive", {
            let mut all = flags(&udp::SEND);
            let watch = flags(&udp::WATCH);
            all.extend(watch.into_iter().filter(|flag| udp::SEND.all_options().all(|other| other.long != flag.long)));
            all
        }),
        text("completions", "print completions for a shell: bash, zsh or fish", Vec::new()),
        text("man", "print the manual page", Vec::new()),
    ]
}
