//! The command lines of what lives on datagrams: `udp`, `ping` and `heartbeat`.

use std::ffi::OsString;
use std::net::SocketAddr;

use super::options::Value;
use super::tool::{Opt, Said};
use super::{Command, UsageError, tool, values};
use crate::client::Target;
use crate::client::heartbeat::HeartbeatPlan;
use crate::client::ping::PingPlan;
use crate::config;
use crate::logging::{AccessLog, Settings};
use crate::reactor::Endpoint;
use crate::service::udp::answer::Reply;
use crate::service::udp::impairment::Impairment;
use crate::service::udp::watch::WatchOptions;

/// What to do with datagrams.
#[derive(Clone, PartialEq, Debug)]
pub enum Tool {
    /// Answer them.
    Answer {
        /// How.
        reply: Reply,
        /// Over which impairment.
        impairment: Impairment,
        /// Tell the counts now and then.
        verbose: bool,
        /// Where, and the port where that says none.
        at: (Vec<Endpoint>, u16),
    },
    /// Ask a service.
    Ping(Target, PingPlan),
    /// Send heartbeats.
    Send(Target, HeartbeatPlan),
    /// Hear them.
    Watch {
        /// How.
        settings: WatchOptions,
        /// Where, as above.
        at: (Vec<Endpoint>, u16),
    },
}

/// The options of a command for datagrams.
#[derive(Clone, PartialEq, Debug)]
pub struct DatagramOptions {
    /// What to do.
    pub tool: Tool,
    /// Those of logging.
    pub logging: Settings,
}

/// Where to receive, as written.
struct Places {
    binds: Vec<String>,
    port: u16,
}

impl Places {
    /// The endpoints, and the port where they say none.
    fn at(self) -> Result<(Vec<Endpoint>, u16), UsageError> {
        let mut endpoints = Vec::new();
        for bind in &self.binds {
            let found =
                values::endpoints(bind, self.port).map_err(|hint| UsageError(format!("--bind={bind}: {hint}")))?;
            endpoints.extend(found);
        }
        endpoints.dedup();
        Ok((endpoints, self.port))
    }
}

/// A draft that says where to receive.
trait Placed {
    fn places(&mut self) -> &mut Places;
}

const fn bind<D: Placed>() -> Opt<D> {
    Opt {
        long: "bind",
        short: Some('b'),
        value: Value::Required("ADDR[:PORT]"),
        help: "receive here: an address or a name; repeatable (default: 127.0.0.1 and [::1])",
        apply: |draft, text| {
            // Whether it is an address is told now, the port may come later.
            values::endpoints(text, 0)?;
            draft.places().binds.push(text.to_owned());
            Ok(())
        },
    }
}

const fn port<D: Placed>(help: &'static str) -> Opt<D> {
    Opt {
        long: "port",
        short: Some('p'),
        value: Value::Required("PORT"),
        help,
        apply: |draft, text| {
            draft.places().port = values::port(text)?;
            Ok(())
        },
    }
}

struct Answering {
    places: Places,
    impairment: Impairment,
    seed: Option<u64>,
    verbosity: i8,
}

impl Default for Answering {
    fn default() -> Self {
        let places = Places { binds: Vec::new(), port: config::UPPER_PORT };
        Self { places, impairment: Impairment::default(), seed: None, verbosity: 0 }
    }
}

impl Placed for Answering {
    fn places(&mut self) -> &mut Places {
        &mut self.places
    }
}

const ANSWERING: tool::Tool<Answering> = tool::Tool {
    name: "udp",
    usage: "miod udp answers each datagram: in upper case, or as it is.

Usage: miod udp upper|echo [OPTIONS]
",
    options: &[
        bind(),
        port("where an address names none; 0 is any free one, the same for all (default: 12000)"),
        Opt {
            long: "loss",
            short: None,
            value: Value::Required("P"),
            help: "the probability that a datagram is lost, from 0 to 1",
            apply: |draft, text| {
                draft.impairment.loss = values::probability(text)?;
                Ok(())
            },
        },
        Opt {
            long: "delay",
            short: None,
            value: Value::Required("MS"),
            help: "hold every answer back for so many milliseconds",
            apply: |draft, text| {
                draft.impairment.delay = values::millis(text)?;
                Ok(())
            },
        },
        Opt {
            long: "jitter",
            short: None,
            value: Value::Required("MS"),
            help: "and for up to so many more, each for as long as chance has it",
            apply: |draft, text| {
                draft.impairment.jitter = values::millis(text)?;
                Ok(())
            },
        },
        Opt {
            long: "duplicate",
            short: None,
            value: Value::Required("P"),
            help: "the probability that an answer is sent twice",
            apply: |draft, text| {
                draft.impairment.duplicate = values::probability(text)?;
                Ok(())
            },
        },
        Opt {
            long: "seed",
            short: None,
            value: Value::Required("N"),
            help: "where chance comes from: the same number gives the same fate again (default: another one \
                   each time, which is told)",
            apply: |draft, text| {
                draft.seed = Some(text.parse().map_err(|_| "give a whole number, like 7".to_owned())?);
                Ok(())
            },
        },
        Opt {
            long: "verbose",
            short: Some('v'),
            value: Value::None,
            help: "tell the counts each 10 s; twice: log more (RUST_LOG beats it)",
            apply: |draft, _| {
                draft.verbosity = draft.verbosity.saturating_add(1);
                Ok(())
            },
        },
    ],
    more: "Examples:
  miod udp upper & miod ping 127.0.0.1
  miod udp upper --loss 0.3 --seed 7          three of ten are lost, the same ones each time
  miod udp echo --delay 50 --jitter 100       answers overtake each other
",
};

#[derive(Default)]
struct Pinging {
    settings: PingPlan,
    verbosity: i8,
}

const PINGING: tool::Tool<Pinging> = tool::Tool {
    name: "ping",
    usage: "miod ping sends datagrams and tells how long the answers take.

Usage: miod ping [OPTIONS] HOST[:PORT]

It works with whatever sends them back, as they are or in another case, like miod udp. Each says
`Ping SEQUENCE TIME`. PORT is 12000 if none is given.
",
    options: &[
        Opt {
            long: "count",
            short: Some('c'),
            value: Value::Required("N"),
            help: "so many probes (default: 10)",
            apply: |draft, text| {
                draft.settings.count = values::count(text)?;
                Ok(())
            },
        },
        Opt {
            long: "interval",
            short: Some('i'),
            value: Value::Required("SECONDS"),
            help: "between two of them (default: 1)",
            apply: |draft, text| {
                draft.settings.interval = values::seconds(text)?;
                Ok(())
            },
        },
        Opt {
            long: "timeout",
            short: Some('W'),
            value: Value::Required("SECONDS"),
            help: "how long an answer may take (default: 1)",
            apply: |draft, text| {
                draft.settings.timeout = values::seconds(text)?;
                Ok(())
            },
        },
        Opt {
            long: "size",
            short: Some('s'),
            value: Value::Required("OCTETS"),
            help: "fill each probe up to so many octets",
            apply: |draft, text| {
                // What the length field of UDP over IPv4 leaves.
                let size = usize::try_from(values::size(text)?).ok().filter(|size| *size <= 65_507);
                draft.settings.size = size.ok_or_else(|| "a datagram has at most 65507 octets".to_owned())?;
                Ok(())
            },
        },
        Opt {
            long: "json",
            short: None,
            value: Value::None,
            help: "tell everything as JSON, an object a line",
            apply: |draft, _| {
                draft.settings.json = true;
                Ok(())
            },
        },
        Opt {
            long: "verbose",
            short: Some('v'),
            value: Value::None,
            help: "tell what answers say, and how long they take so far; twice: log more",
            apply: |draft, _| {
                draft.settings.verbose = true;
                draft.verbosity = draft.verbosity.saturating_add(1);
                Ok(())
            },
        },
    ],
    more: "Exit codes: 0 if any answer came; 1 if none did; 2 the command line is wrong; 6 the name is unknown.

Examples:
  miod ping 127.0.0.1                         ten probes, one a second
  miod ping -c 1000 -i 0.01 -W 0.2 [::1]:7    a thousand, a hundred a second
  miod ping --json localhost | jq .rtt
",
};

const SENDING: tool::Tool<HeartbeatPlan> = tool::Tool {
    name: "heartbeat",
    usage: "miod heartbeat send tells a watcher that it lives, until it is interrupted.

Usage: miod heartbeat send [OPTIONS] HOST[:PORT]

Each datagram says `Heartbeat SEQUENCE TIME`. PORT is 12001 if none is given.
",
    options: &[
        Opt {
            long: "interval",
            short: Some('i'),
            value: Value::Required("SECONDS"),
            help: "between two heartbeats (default: 1)",
            apply: |draft, text| {
                draft.interval = values::seconds(text)?;
                Ok(())
            },
        },
        Opt {
            long: "json",
            short: None,
            value: Value::None,
            help: "tell everything as JSON, an object a line",
            apply: |draft, _| {
                draft.json = true;
                Ok(())
            },
        },
    ],
    more: "Examples:\n  miod heartbeat send -i 0.5 127.0.0.1\n",
};

struct Watching {
    places: Places,
    settings: WatchOptions,
}

impl Default for Watching {
    fn default() -> Self {
        let places = Places { binds: Vec::new(), port: config::HEARTBEAT_PORT };
        Self { places, settings: WatchOptions::default() }
    }
}

impl Placed for Watching {
    fn places(&mut self) -> &mut Places {
        &mut self.places
    }
}

const WATCHING: tool::Tool<Watching> = tool::Tool {
    name: "heartbeat",
    usage: "miod heartbeat watch tells who lives, since when not, and which heartbeats are missing.

Usage: miod heartbeat watch [OPTIONS]

How long a heartbeat took is told as if the clocks of sender and watcher were equal.
",
    options: &[
        bind(),
        port("where an address names none; 0 is any free one, the same for all (default: 12001)"),
        Opt {
            long: "timeout",
            short: None,
            value: Value::Required("SECONDS"),
            help: "after so long without a heartbeat a sender is lost (default: 3)",
            apply: |draft, text| {
                draft.settings.timeout = values::seconds(text)?;
                Ok(())
            },
        },
        Opt {
            long: "json",
            short: None,
            value: Value::None,
            help: "tell everything as JSON, an object a line",
            apply: |draft, _| {
                draft.settings.json = true;
                Ok(())
            },
        },
    ],
    more: "Examples:\n  miod heartbeat watch --timeout 2 & miod heartbeat send 127.0.0.1\n",
};

/// `miod udp …`: its arguments behind that word.
pub(super) fn parse_udp(arguments: Vec<OsString>) -> Result<Command, UsageError> {
    let (Answering { places, mut impairment, seed, verbosity }, words) = match ANSWERING.parse(arguments)? {
        Said::Do(draft, words) => (draft, words),
        other => return Ok(told(other)),
    };
    let reply = match words.first().map(String::as_str) {
        Some("upper") => Reply::Upper,
        Some("echo") => Reply::Echo,
        _ => return Err(UsageError("give another word: udp upper or udp echo".to_owned())),
    };
    none_left(&words[1..])?;
    // Not to be guessed is more than it needs to be.
    impairment.seed = seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 32);
    Ok(with(Tool::Answer { reply, impairment, verbose: verbosity > 0, at: places.at()? }, verbosity))
}

/// `miod ping …`
pub(super) fn parse_ping(arguments: Vec<OsString>) -> Result<Command, UsageError> {
    let (Pinging { settings, verbosity }, words) = match PINGING.parse(arguments)? {
        Said::Do(draft, words) => (draft, words),
        other => return Ok(told(other)),
    };
    Ok(with(Tool::Ping(target("ping", &words, config::UPPER_PORT)?, settings), verbosity))
}

/// `miod heartbeat …`
pub(super) fn parse_heartbeat(mut arguments: Vec<OsString>) -> Result<Command, UsageError> {
    // The word decides which options there are.
    match arguments.first().and_then(|word| word.to_str()) {
        Some("send") => match SENDING.parse(arguments.split_off(1))? {
            Said::Do(settings, words) => {
                let target = target("heartbeat send", &words, config::HEARTBEAT_PORT)?;
                Ok(with(Tool::Send(target, settings), 0))
            }
            other => Ok(told(other)),
        },
        Some("watch") => match WATCHING.parse(arguments.split_off(1))? {
            Said::Do(Watching { places, settings }, words) => {
                none_left(&words)?;
                Ok(with(Tool::Watch { settings, at: places.at()? }, 0))
            }
            other => Ok(told(other)),
        },
        Some("-h" | "--help") => {
            let all = [SENDING.help(), WATCHING.help()];
            Ok(Command::Help(all.join("\n")))
        }
        _ => Err(UsageError("give another word: heartbeat send or heartbeat watch".to_owned())),
    }
}

fn told<D>(said: Said<D>) -> Command {
    match said {
        Said::Help(text) => Command::Help(text),
        Said::Do(..) | Said::Version => Command::Version,
    }
}

fn with(tool: Tool, verbosity: i8) -> Command {
    let logging = Settings { verbosity: verbosity.saturating_sub(1), access: AccessLog::Off };
    Command::Datagrams(DatagramOptions { tool, logging })
}

fn target(tool: &str, words: &[String], port: u16) -> Result<Target, UsageError> {
    let [host, more @ ..] = words else { return Err(UsageError(format!("{tool} needs a HOST"))) };
    none_left(more)?;
    values::target(host, port).map_err(|hint| UsageError(format!("{host}: {hint}")))
}

fn none_left(words: &[String]) -> Result<(), UsageError> {
    match words.first() {
        Some(extra) => Err(UsageError(format!("{extra:?} is one argument too many"))),
        None => Ok(()),
    }
}

/// What a tool says when peers can send to it.
pub fn banner(tool: &Tool, addresses: &[SocketAddr]) -> String {
    let at = addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>();
    let version = env!("CARGO_PKG_VERSION");
    match tool {
        Tool::Answer { reply, impairment, .. } => {
            let what = match reply {
                Reply::Upper => "answers datagrams in upper case",
                Reply::Echo => "echoes datagrams",
            };
            let seed = if impairment.is_random() { format!("; seed {}", impairment.seed) } else { String::new() };
            format!("miod {version} {what} on {}{seed}\n", at.join(" "))
        }
        Tool::Watch { settings, .. } if settings.json => {
            let at: Vec<_> = at.iter().map(|at| format!("\"{at}\"")).collect();
            format!("{{\"event\":\"listening\",\"at\":[{}],\"clocks\":\"assumed equal\"}}\n", at.join(","))
        }
        Tool::Watch { .. } => {
            format!("miod {version} watches on {}; delays are right if both clocks are\n", at.join(" "))
        }
        Tool::Ping(..) | Tool::Send(..) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn run(arguments: &str) -> Result<Command, UsageError> {
        super::super::parse(arguments.split_whitespace().map(OsString::from), |_| None)
    }

    fn tool(arguments: &str) -> Tool {
        match run(arguments) {
            Ok(Command::Datagrams(options)) => options.tool,
            other => panic!("{arguments}: {other:?}"),
        }
    }

    fn target(host: &str, port: u16) -> Target {
        Target { host: host.to_owned(), port }
    }

    #[test]
    fn every_option_arrives() {
        let millis = Duration::from_millis;
        let impairment = Impairment { loss: 0.3, delay: millis(5), jitter: millis(7), duplicate: 1.0, seed: 9 };
        let bad = "--loss 0.3 --delay 5 --jitter=7 --duplicate 1 --seed 9 -v";
        let at = (vec![Endpoint::Tcp("127.0.0.2:5".parse().unwrap())], 5);
        for (word, reply) in [("upper", Reply::Upper), ("echo", Reply::Echo)] {
            let expected = Tool::Answer { reply, impairment, verbose: true, at: at.clone() };
            assert_eq!(tool(&format!("udp {word} -b 127.0.0.2 -p 5 {bad}")), expected);
        }
        let second = Duration::from_secs(1);
        assert_eq!(
            tool("ping -c 3 -i 0.5 -W 2 -s 1K -v --json ::1"),
            Tool::Ping(
                target("::1", 12_000),
                PingPlan { count: 3, interval: second / 2, timeout: 2 * second, size: 1024, verbose: true, json: true }
            )
        );
        assert_eq!(
            tool("heartbeat send -i 2 --json host:7"),
            Tool::Send(target("host", 7), HeartbeatPlan { interval: 2 * second, json: true })
        );
        assert_eq!(
            tool("heartbeat watch --timeout 0.1 --json -b 127.0.0.2 -p 5"),
            Tool::Watch { settings: WatchOptions { timeout: second / 10, json: true }, at }
        );
    }

    #[test]
    fn the_defaults() {
        assert_eq!(tool("ping localhost"), Tool::Ping(target("localhost", 12_000), PingPlan::default()));
        assert_eq!(tool("heartbeat send h"), Tool::Send(target("h", 12_001), HeartbeatPlan::default()));
        let at = (vec![], 12_001);
        assert_eq!(tool("heartbeat watch"), Tool::Watch { settings: WatchOptions::default(), at });
        let Tool::Answer { impairment, at, verbose: false, .. } = tool("udp upper") else { panic!("an answer") };
        assert_eq!(at, (vec![], 12_000));
        assert!(!impairment.is_random());
    }

    #[test]
    fn mistakes_get_a_hint() {
        for (arguments, expected) in [
            ("udp", "give another word: udp upper or udp echo"),
            ("heartbeat sned", "give another word: heartbeat send or heartbeat watch"),
            ("ping", "ping needs a HOST"),
            ("ping a b", "\"b\" is one argument too many"),
            ("ping a:99999", "a:99999: give a port from 1 to 65535"),
            ("ping --loss 1 a", "ping has no option --loss"),
            ("ping --cuont 1 a", "ping has no option --cuont; did you mean --count?"),
            ("ping -s 65508 a", "--size=65508: a datagram has at most 65507 octets"),
            ("udp echo --loss 1.1", "--loss=1.1: give a probability from 0 to 1, like 0.3"),
            ("udp echo host", "\"host\" is one argument too many"),
            ("heartbeat watch -i 1", "heartbeat has no option -i"),
        ] {
            assert_eq!(run(arguments).expect_err(arguments).0, expected);
        }
    }

    #[test]
    fn each_command_tells_its_options() {
        for (command, options) in [
            ("udp", &["--bind", "--port", "--loss", "--delay", "--jitter", "--duplicate", "--seed", "--verbose"][..]),
            ("udp upper", &["--loss"]),
            ("ping", &["--count", "--interval", "--timeout", "--size", "--json", "--verbose", "12000"]),
            ("heartbeat send", &["--interval", "--json", "12001"]),
            ("heartbeat watch", &["--bind", "--port", "--timeout", "--json"]),
            ("heartbeat", &["send [OPTIONS]", "watch [OPTIONS]"]),
        ] {
            let Ok(Command::Help(text)) = run(&format!("{command} --help")) else { panic!("no help") };
            assert!(options.iter().all(|option| text.contains(option)) && text.contains("Examples:"), "{text}");
            assert!(text.lines().all(|line| line.len() <= 100 && line.trim_end() == line), "{text}");
        }
        assert!(matches!(run("udp echo -V"), Ok(Command::Version)));
    }
}
