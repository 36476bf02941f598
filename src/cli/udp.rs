//! The command lines of `miod udp`, `ping` and `heartbeat`.

use std::ffi::OsString;
use std::net::SocketAddr;

use serde::Serialize;

use super::arguments::{Tool, no_more};
use super::{Command, UsageError};
use crate::client::Target;
use crate::client::heartbeat::HeartbeatPlan;
use crate::client::ping::PingPlan;
use crate::config::options::{self, Draft, Opt, Setter, Value, assign};
use crate::config::value_text::seconds;
use crate::config::{self, Listener, Process, values};
use crate::logging::LogOptions;
use crate::service::udp::answer::Reply;
use crate::service::udp::impairment::Impairment;
use crate::service::udp::watch::WatchOptions;
use crate::tap::TapSettings;
use crate::text::json::to_string;

/// A command whose sockets are for datagrams.
#[derive(Clone, PartialEq, Debug)]
pub struct DatagramCommand {
    /// What to do.
    pub task: DatagramTask,
    /// Diagnostics.
    pub logging: LogOptions,
    /// Where what is received and sent is written.
    pub tap: TapSettings,
}

/// What to do with datagrams.
#[derive(Clone, PartialEq, Debug)]
pub enum DatagramTask {
    /// `miod udp`
    Answer {
        /// The reply.
        reply: Reply,
        /// The simulated bad network.
        impairment: Impairment,
        /// Print the counts while it runs.
        verbose: bool,
        /// Where to receive.
        listener: Listener,
    },
    /// `miod ping`
    Ping(Target, PingPlan),
    /// `miod heartbeat send`
    SendHeartbeats(Target, HeartbeatPlan),
    /// `miod heartbeat watch`
    Watch {
        /// Its options.
        options: WatchOptions,
        /// Where to receive.
        listener: Listener,
    },
}

const RECEIVE: &str = "receive here: an address or a name (default: 127.0.0.1 and [::1])";

#[derive(Default)]
pub(super) struct AnswerDraft {
    impairment: Impairment,
    seed: Option<u64>,
}

pub(super) const ANSWER: Tool<AnswerDraft> = Tool {
    usage: "miod udp replies to each datagram: in upper case, or with the same bytes.

Usage: miod udp upper|echo [OPTIONS]
",
    options: &[
        options::bind(RECEIVE),
        options::port(),
        Opt {
            long: "loss",
            value: Value::Required("P"),
            help: "the probability that a datagram is lost, from 0 to 1",
            set: assign!(Command.impairment.loss = values::probability),
            ..Opt::DEFAULT
        },
        Opt {
            long: "delay",
            value: Value::Required("MS"),
            help: "hold each reply back for this many milliseconds",
            set: assign!(Command.impairment.delay = values::millis),
            ..Opt::DEFAULT
        },
        Opt {
            long: "jitter",
            value: Value::Required("MS"),
            help: "hold it back for a further random time, up to this many milliseconds",
            set: assign!(Command.impairment.jitter = values::millis),
            ..Opt::DEFAULT
        },
        Opt {
            long: "duplicate",
            value: Value::Required("P"),
            help: "the probability that a reply is duplicated",
            set: assign!(Command.impairment.duplicate = values::probability),
            ..Opt::DEFAULT
        },
        Opt {
            long: "seed",
            value: Value::Required("N"),
            help: "the seed of the random numbers; the same seed repeats the same events (default: a random one, \
                   which is printed)",
            set: assign!(Command.seed = Some(values::seed)),
            ..Opt::DEFAULT
        },
        options::verbose("print the counts every 10 s; twice: log more (RUST_LOG overrides it)"),
    ],
    tap: Opt::TAP_OF_SERVICE,
    defaults: || Draft::at(config::UPPER_PORT),
    more: "Examples:
  miod udp upper & miod ping 127.0.0.1
  miod udp upper --loss 0.3 --seed 7          three of ten are lost, the same ones each time
  miod udp echo --delay 50 --jitter 100       replies overtake each other
",
};

pub(super) const PING: Tool<PingPlan> = Tool {
    usage: "miod ping sends datagrams and prints the round-trip times of the replies.

Usage: miod ping [OPTIONS] HOST[:PORT]

It works with any service that sends them back, unchanged or in another case, like miod udp. Each
datagram is `Ping SEQUENCE TIME`. The default PORT is 12000.
",
    options: &[
        Opt {
            long: "count",
            short: Some('c'),
            value: Value::Required("N"),
            help: "the number of probes",
            default: |draft| draft.command.count.to_string(),
            set: assign!(Command.count = values::count),
            ..Opt::DEFAULT
        },
        Opt {
            long: "interval",
            short: Some('i'),
            value: Value::Required("SECONDS"),
            help: "between two probes",
            default: |draft| seconds(draft.command.interval),
            set: assign!(Command.interval = values::seconds),
            ..Opt::DEFAULT
        },
        Opt {
            long: "timeout",
            short: Some('W'),
            value: Value::Required("SECONDS"),
            help: "for each reply",
            default: |draft| seconds(draft.command.timeout),
            set: assign!(Command.timeout = values::seconds),
            ..Opt::DEFAULT
        },
        Opt {
            long: "size",
            short: Some('s'),
            value: Value::Required("BYTES"),
            help: "pad each probe to this size",
            set: Setter::Command(|plan, text| {
                // The length field of UDP over IPv4 allows no more.
                let size = usize::try_from(values::size(text)?).ok().filter(|size| *size <= 65_507);
                plan.size = size.ok_or_else(|| "a datagram has at most 65507 bytes".to_owned())?;
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "json",
            help: "print JSON, one object per line",
            set: assign!(Command.json = true),
            ..Opt::DEFAULT
        },
        options::verbose("print the content of replies and the statistics so far; twice: log more"),
    ],
    tap: Opt::TAP_OF_CLIENT,
    defaults: Draft::default,
    more: "Exit codes: 0 if a reply came; 1 if none came; 2 usage error; 6 unknown host name.

Examples:
  miod ping 127.0.0.1                         ten probes, one per second
  miod ping -c 1000 -i 0.01 -W 0.2 [::1]:7    a thousand, a hundred per second
  miod ping --json localhost | jq .rtt
",
};

pub(super) const SEND: Tool<HeartbeatPlan> = Tool {
    usage: "miod heartbeat send sends heartbeats to a watcher until it is interrupted.

Usage: miod heartbeat send [OPTIONS] HOST[:PORT]

Each datagram is `Heartbeat SEQUENCE TIME`. The default PORT is 12001.
",
    options: &[
        Opt {
            long: "interval",
            short: Some('i'),
            value: Value::Required("SECONDS"),
            help: "between two heartbeats",
            default: |draft| seconds(draft.command.interval),
            set: assign!(Command.interval = values::seconds),
            ..Opt::DEFAULT
        },
        Opt {
            long: "json",
            help: "print JSON, one object per line",
            set: assign!(Command.json = true),
            ..Opt::DEFAULT
        },
    ],
    tap: Opt::TAP_OF_CLIENT,
    defaults: Draft::default,
    more: "Examples:\n  miod heartbeat send -i 0.5 127.0.0.1\n",
};

pub(super) const WATCH: Tool<WatchOptions> = Tool {
    usage: "miod heartbeat watch prints which senders are alive or lost, and which heartbeats are missing.

Usage: miod heartbeat watch [OPTIONS]

The printed delays assume that the clocks of sender and watcher are equal.
",
    options: &[
        options::bind(RECEIVE),
        options::port(),
        Opt {
            long: "timeout",
            value: Value::Required("SECONDS"),
            help: "a sender is lost after this time without a heartbeat",
            default: |draft| seconds(draft.command.timeout),
            set: assign!(Command.timeout = values::seconds),
            ..Opt::DEFAULT
        },
        Opt {
            long: "json",
            help: "print JSON, one object per line",
            set: assign!(Command.json = true),
            ..Opt::DEFAULT
        },
    ],
    tap: Opt::TAP_OF_SERVICE,
    defaults: || Draft::at(config::HEARTBEAT_PORT),
    more: "Examples:\n  miod heartbeat watch --timeout 2 & miod heartbeat send 127.0.0.1\n",
};

/// Parses the arguments of `miod udp`.
pub(super) fn parse_udp(arguments: Vec<OsString>) -> Result<Command, UsageError> {
    ANSWER.parse(arguments, |Draft { process, listener, command, .. }, words| {
        let reply = match words.first().map(String::as_str) {
            Some("upper") => Reply::Upper,
            Some("echo") => Reply::Echo,
            _ => return Err(UsageError("give udp upper or udp echo".to_owned())),
        };
        no_more(&words[1..])?;
        let AnswerDraft { mut impairment, seed } = command;
        // 32 bits, so that it is short to type. It needn't be secret.
        impairment.seed = seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 32);
        let verbose = process.logging.verbosity > 0;
        Ok(run(DatagramTask::Answer { reply, impairment, verbose, listener }, &process))
    })
}

/// Parses the arguments of `miod ping`.
pub(super) fn parse_ping(arguments: Vec<OsString>) -> Result<Command, UsageError> {
    PING.parse(arguments, |Draft { process, command: mut plan, .. }, words| {
        plan.verbose = process.logging.verbosity > 0;
        Ok(run(DatagramTask::Ping(target("ping", &words, config::UPPER_PORT)?, plan), &process))
    })
}

/// Parses the arguments of `miod heartbeat`.
pub(super) fn parse_heartbeat(mut arguments: Vec<OsString>) -> Result<Command, UsageError> {
    // The first word decides which options are allowed.
    match arguments.first().and_then(|word| word.to_str()) {
        Some("send") => SEND.parse(arguments.split_off(1), |draft, words| {
            let target = target("heartbeat send", &words, config::HEARTBEAT_PORT)?;
            Ok(run(DatagramTask::SendHeartbeats(target, draft.command), &draft.process))
        }),
        Some("watch") => WATCH.parse(arguments.split_off(1), |draft, words| {
            no_more(&words)?;
            let task = DatagramTask::Watch { options: draft.command, listener: draft.listener };
            Ok(run(task, &draft.process))
        }),
        Some("-h" | "--help") => Ok(Command::Help([SEND.help(), WATCH.help()].join("\n"))),
        _ => Err(UsageError("give heartbeat send or heartbeat watch".to_owned())),
    }
}

/// A command that logs warnings only, unless `-v` is given.
fn run(task: DatagramTask, process: &Process) -> Command {
    let verbosity = process.logging.verbosity.saturating_sub(1);
    let (logging, tap) = (LogOptions::diagnostics_only(verbosity), process.tap.clone());
    Command::Datagrams(DatagramCommand { task, logging, tap })
}

fn target(tool: &str, words: &[String], port: u16) -> Result<Target, UsageError> {
    let [text, more @ ..] = words else { return Err(UsageError(format!("{tool} needs a HOST"))) };
    no_more(more)?;
    let (host, port) = values::target(text, port).map_err(|hint| UsageError(format!("{text}: {hint}")))?;
    Ok(Target { host, port })
}

/// What a watcher prints for programs when peers can send to it.
#[derive(Serialize)]
struct Listening<'a> {
    event: &'static str,
    at: &'a [SocketAddr],
    clocks: &'static str,
}

/// What a service prints when peers can send to it.
pub fn banner(task: &DatagramTask, addresses: &[SocketAddr]) -> String {
    let at = addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>();
    let version = env!("CARGO_PKG_VERSION");
    match task {
        DatagramTask::Answer { reply, impairment, .. } => {
            let what = match reply {
                Reply::Upper => "answers datagrams in upper case",
                Reply::Echo => "echoes datagrams",
            };
            let seed = if impairment.is_random() { format!("; seed {}", impairment.seed) } else { String::new() };
            format!("miod {version} {what} on {}{seed}\n", at.join(" "))
        }
        DatagramTask::Watch { options, .. } if options.json => {
            to_string(&Listening { event: "listening", at: addresses, clocks: "assumed equal" }) + "\n"
        }
        DatagramTask::Watch { .. } => {
            format!("miod {version} watches on {}; delays assume equal clocks\n", at.join(" "))
        }
        DatagramTask::Ping(..) | DatagramTask::SendHeartbeats(..) => String::new(),
    }
}

#[cfg(test)]
mod tests;
