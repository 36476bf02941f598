//! The commands for datagrams, `udp`, `ping` and `heartbeat`: their own table of
//! options, read and told by the same means as that of the servers.

use std::ffi::OsString;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use super::options::{Flag, Value};
use super::{Command, UsageError, from_environment, help, split, values};
use crate::config::{self, Target};
use crate::logging::{AccessLog, Settings};
use crate::reactor::Endpoint;
use crate::service::udp::answer::Manner;
use crate::service::udp::fate::Network;
use crate::service::udp::{heartbeat, ping, watch};

/// What to do with datagrams.
#[derive(Clone, PartialEq, Debug)]
pub enum Tool {
    /// Answer them.
    Answer {
        /// How.
        manner: Manner,
        /// Over which network.
        network: Network,
        /// Tell the counts now and then.
        verbose: bool,
        /// Where, and the port where that says none.
        at: (Vec<Endpoint>, u16),
    },
    /// Ask a service.
    Ping(Target, ping::Settings),
    /// Send heartbeats.
    Send(Target, heartbeat::Settings),
    /// Hear them.
    Watch {
        /// How.
        settings: watch::Settings,
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

/// The commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Name {
    Upper,
    Echo,
    Ping,
    Send,
    Watch,
}

use Name::{Echo, Ping, Send, Upper, Watch};

impl Name {
    const ALL: [Name; 5] = [Upper, Echo, Ping, Send, Watch];

    fn words(self) -> &'static [&'static str] {
        match self {
            Upper => &["udp", "upper"],
            Echo => &["udp", "echo"],
            Ping => &["ping"],
            Send => &["heartbeat", "send"],
            Watch => &["heartbeat", "watch"],
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Upper | Echo | Ping => config::UPPER_PORT,
            Send | Watch => config::HEARTBEAT_PORT,
        }
    }
}

/// The first words of the commands.
pub(super) const WORDS: [&str; 3] = ["udp", "ping", "heartbeat"];

/// What the options say.
struct Draft {
    binds: Vec<String>,
    port: u16,
    network: Network,
    seed: Option<u64>,
    count: u64,
    interval: Duration,
    timeout: Duration,
    size: usize,
    json: bool,
    verbosity: i8,
}

impl Draft {
    /// The defaults of a command.
    fn new(command: Name) -> Self {
        let ping::Settings { count, interval, timeout, size, json, .. } = ping::Settings::default();
        Self {
            binds: Vec::new(),
            port: command.default_port(),
            network: Network::default(),
            seed: None,
            count,
            interval,
            timeout: if command == Watch { watch::Settings::default().timeout } else { timeout },
            size,
            json,
            verbosity: 0,
        }
    }
}

type DatagramFlag = Flag<Name, Draft, Draft>;

const LISTENERS: &[Name] = &[Upper, Echo, Watch];
const TALKERS: &[Name] = &[Ping, Send, Watch];

const FLAG: DatagramFlag = Flag {
    long: "",
    short: None,
    value: Value::None,
    commands: &Name::ALL,
    group: "",
    help: "",
    default: |_| String::new(),
    repeatable: false,
    in_environment: false,
    apply: |_, _| Ok(()),
};

const LISTENING: DatagramFlag = Flag { group: "Listening", commands: LISTENERS, in_environment: true, ..FLAG };
const NETWORK: DatagramFlag = Flag { group: "A bad network", commands: &[Upper, Echo], ..FLAG };
const PROBES: DatagramFlag = Flag { group: "Datagrams", ..FLAG };
const TELLING: DatagramFlag = Flag { group: "Output", ..FLAG };
const ASKING: DatagramFlag = Flag { group: "Help", ..FLAG };

/// All options, in the order of help.
static FLAGS: &[DatagramFlag] = &[
    Flag {
        long: "bind",
        short: Some('b'),
        value: Value::Required("ADDR[:PORT]"),
        help: "receive here: an address or a name (default: 127.0.0.1 and [::1])",
        repeatable: true,
        apply: |draft, text| {
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
        default: |draft| draft.port.to_string(),
        apply: |draft, text| {
            draft.port = values::port(text)?;
            Ok(())
        },
        ..LISTENING
    },
    Flag {
        long: "loss",
        value: Value::Required("P"),
        help: "the probability that a datagram is lost, from 0 to 1",
        apply: |draft, text| {
            draft.network.loss = values::probability(text)?;
            Ok(())
        },
        ..NETWORK
    },
    Flag {
        long: "delay",
        value: Value::Required("MS"),
        help: "hold every answer back for so many milliseconds",
        apply: |draft, text| {
            draft.network.delay = values::millis(text)?;
            Ok(())
        },
        ..NETWORK
    },
    Flag {
        long: "jitter",
        value: Value::Required("MS"),
        help: "and for up to so many more, each for as long as chance has it",
        apply: |draft, text| {
            draft.network.jitter = values::millis(text)?;
            Ok(())
        },
        ..NETWORK
    },
    Flag {
        long: "duplicate",
        value: Value::Required("P"),
        help: "the probability that an answer is sent twice",
        apply: |draft, text| {
            draft.network.duplicate = values::probability(text)?;
            Ok(())
        },
        ..NETWORK
    },
    Flag {
        long: "seed",
        value: Value::Required("N"),
        help: "where chance comes from: the same number gives the same fate again (default: another one \
               each time, which is told)",
        apply: |draft, text| {
            draft.seed = Some(text.parse().map_err(|_| "give a whole number, like 7".to_owned())?);
            Ok(())
        },
        ..NETWORK
    },
    Flag {
        long: "count",
        short: Some('c'),
        value: Value::Required("N"),
        commands: &[Ping],
        help: "so many probes",
        default: |draft| draft.count.to_string(),
        apply: |draft, text| {
            draft.count = values::count(text)?;
            Ok(())
        },
        ..PROBES
    },
    Flag {
        long: "interval",
        short: Some('i'),
        value: Value::Required("SECONDS"),
        commands: &[Ping, Send],
        help: "between two of them",
        default: |draft| draft.interval.as_secs_f64().to_string(),
        apply: |draft, text| {
            draft.interval = values::seconds(text)?;
            Ok(())
        },
        ..PROBES
    },
    Flag {
        long: "timeout",
        short: Some('W'),
        value: Value::Required("SECONDS"),
        commands: &[Ping, Watch],
        help: "how long to wait for one",
        default: |draft| draft.timeout.as_secs_f64().to_string(),
        apply: |draft, text| {
            draft.timeout = values::seconds(text)?;
            Ok(())
        },
        ..PROBES
    },
    Flag {
        long: "size",
        short: Some('s'),
        value: Value::Required("OCTETS"),
        commands: &[Ping],
        help: "fill each probe up to so many octets",
        apply: |draft, text| {
            // What the length field of UDP over IPv4 leaves.
            draft.size = usize::try_from(values::size(text)?)
                .ok()
                .filter(|size| *size <= 65_507)
                .ok_or_else(|| "a datagram has at most 65507 octets".to_owned())?;
            Ok(())
        },
        ..PROBES
    },
    Flag {
        long: "json",
        commands: TALKERS,
        help: "tell everything as JSON, an object a line",
        apply: |draft, _| {
            draft.json = true;
            Ok(())
        },
        ..TELLING
    },
    Flag {
        long: "verbose",
        short: Some('v'),
        help: "tell more: the counts each 10 s, or what answers say; twice: log more (RUST_LOG beats it)",
        repeatable: true,
        apply: |draft, _| {
            draft.verbosity = draft.verbosity.saturating_add(1);
            Ok(())
        },
        ..TELLING
    },
    Flag { long: "version", short: Some('V'), help: "tell the version", ..ASKING },
    Flag { long: "help", short: Some('h'), help: "tell this", ..ASKING },
];

/// Reads a command line whose first argument is one of [`WORDS`].
pub(super) fn parse(
    arguments: Vec<OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, UsageError> {
    let (given, places) = split(FLAGS, arguments)?;
    let asked = |long| given.iter().any(|(flag, _)| flag.long == long);
    let is_named =
        |name: &Name| name.words().iter().enumerate().all(|(at, word)| places.get(at).is_some_and(|p| p == word));
    let Some(command) = Name::ALL.into_iter().find(is_named) else {
        let family = || Name::ALL.into_iter().filter(|name| places.first().is_some_and(|word| word == name.words()[0]));
        if asked("help") {
            return Ok(Command::Help(family().map(told).collect::<Vec<_>>().join("\n")));
        }
        let family: Vec<_> = family().map(|name| format!("miod {}", name.words().join(" "))).collect();
        return Err(UsageError(format!("it takes another word: {}", family.join(" or "))));
    };
    if asked("help") {
        return Ok(Command::Help(told(command)));
    }
    if asked("version") {
        return Ok(Command::Version);
    }
    let mut draft = Draft::new(command);
    from_environment(FLAGS, &mut draft, command, &given, variable)?;
    for (flag, value) in &given {
        if !flag.commands.contains(&command) {
            return Err(UsageError(format!("{} has no option --{}", command.words().join(" "), flag.long)));
        }
        (flag.apply)(&mut draft, value).map_err(|hint| UsageError(format!("--{}={value}: {hint}", flag.long)))?;
    }
    finish(draft, command, places.into_iter().skip(command.words().len()))
}

fn finish(draft: Draft, command: Name, mut places: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let Draft { binds, port, mut network, seed, count, interval, timeout, size, json, verbosity } = draft;
    let mut at = (Vec::new(), port);
    for bind in &binds {
        let found = values::endpoints(bind, port).map_err(|hint| UsageError(format!("--bind={bind}: {hint}")))?;
        at.0.extend(found);
        at.0.dedup();
    }
    let mut target = || match places.next().map(OsString::into_string) {
        Some(Ok(text)) => values::target(&text, port).map_err(|hint| UsageError(format!("{text}: {hint}"))),
        Some(Err(text)) => Err(UsageError(format!("{text:?} is not UTF-8"))),
        None => Err(UsageError(format!("{} needs a HOST", command.words().join(" ")))),
    };
    let verbose = verbosity > 0;
    let tool = match command {
        Upper | Echo => {
            // Not to be guessed is more than it needs to be.
            network.seed = seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 32);
            Tool::Answer { manner: if command == Upper { Manner::Upper } else { Manner::Echo }, network, verbose, at }
        }
        Ping => Tool::Ping(target()?, ping::Settings { count, interval, timeout, size, verbose, json }),
        Send => Tool::Send(target()?, heartbeat::Settings { interval, json }),
        Watch => Tool::Watch { settings: watch::Settings { timeout, json }, at },
    };
    if let Some(extra) = places.next() {
        return Err(UsageError(format!("{extra:?} is one argument too many")));
    }
    let logging = Settings { verbosity: verbosity.saturating_sub(1), access: AccessLog::Off };
    Ok(Command::Datagrams(DatagramOptions { tool, logging }))
}

/// The help of a command.
fn told(command: Name) -> String {
    let mut text = String::from(match command {
        Upper => "miod udp upper answers each datagram in upper case.\n\nUsage: miod udp upper [OPTIONS]\n",
        Echo => "miod udp echo sends each datagram back.\n\nUsage: miod udp echo [OPTIONS]\n",
        Ping => {
            "miod ping sends datagrams and tells how long the answers take.

Usage: miod ping [OPTIONS] HOST[:PORT]

It works with whatever sends them back, as they are or in another case: miod udp upper|echo. Each
says `Ping SEQUENCE TIME`. It exits with 0 if any answer came, else with 1.
"
        }
        Send => {
            "miod heartbeat send tells a watcher that it lives, until it is interrupted.

Usage: miod heartbeat send [OPTIONS] HOST[:PORT]

Each datagram says `Heartbeat SEQUENCE TIME`.
"
        }
        Watch => {
            "miod heartbeat watch tells who lives, since when not, and which heartbeats are missing.

Usage: miod heartbeat watch [OPTIONS]

How long a heartbeat took is told as if the clocks of sender and watcher were equal.
"
        }
    });
    if matches!(command, Ping | Send) {
        let _ = writeln!(text, "PORT is {} if none is given.", command.default_port());
    }
    let defaults = Draft::new(command);
    help::groups(&mut text, FLAGS, command, &defaults);
    if LISTENERS.contains(&command) {
        text += "\nWhere to listen is also told by MIOD_BIND, with commas between, and MIOD_PORT.\n";
    }
    text += match command {
        Upper => {
            "
Examples:
  miod udp upper & miod ping 127.0.0.1
  miod udp upper --loss 0.3 --seed 7          three of ten are lost, the same ones each time
  miod udp upper --delay 50 --jitter 100      answers overtake each other
"
        }
        Echo => "\nExample:\n  miod udp echo --duplicate 0.2 & miod ping 127.0.0.1\n",
        Ping => {
            "
Examples:
  miod ping 127.0.0.1                         ten probes, one a second
  miod ping -c 1000 -i 0.01 -W 0.2 [::1]:7    a thousand, a hundred a second
  miod ping --json localhost | jq .rtt
"
        }
        Send => "\nExample:\n  miod heartbeat send -i 0.5 127.0.0.1\n",
        Watch => "\nExample:\n  miod heartbeat watch --timeout 2 & miod heartbeat send 127.0.0.1\n",
    };
    text
}

/// What a tool says when peers can send to it.
pub fn banner(tool: &Tool, addresses: &[SocketAddr]) -> String {
    let at = addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>();
    let version = env!("CARGO_PKG_VERSION");
    match tool {
        Tool::Answer { manner, network, .. } => {
            let what = match manner {
                Manner::Upper => "answers datagrams in upper case",
                Manner::Echo => "echoes datagrams",
            };
            let seed = if network.is_chancy() { format!("; seed {}", network.seed) } else { String::new() };
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

    fn run(arguments: &str, variables: &[(&str, &str)]) -> Result<Command, UsageError> {
        let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        super::super::parse(arguments.split_whitespace().map(OsString::from), variable)
    }

    fn tool(arguments: &str, variables: &[(&str, &str)]) -> Tool {
        match run(arguments, variables) {
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
        let network = Network { loss: 0.3, delay: millis(5), jitter: millis(7), duplicate: 1.0, seed: 9 };
        let bad = "--loss 0.3 --delay 5 --jitter=7 --duplicate 1 --seed 9 -v";
        let at = (vec![Endpoint::Tcp("127.0.0.2:5".parse().unwrap())], 5);
        for (word, manner) in [("upper", Manner::Upper), ("echo", Manner::Echo)] {
            let expected = Tool::Answer { manner, network, verbose: true, at: at.clone() };
            assert_eq!(tool(&format!("udp {word} -b 127.0.0.2 -p 5 {bad}"), &[]), expected);
        }
        let second = Duration::from_secs(1);
        assert_eq!(
            tool("ping -c 3 -i 0.5 -W 2 -s 1K -v --json ::1", &[]),
            Tool::Ping(
                target("::1", 12_000),
                ping::Settings {
                    count: 3,
                    interval: second / 2,
                    timeout: 2 * second,
                    size: 1024,
                    verbose: true,
                    json: true
                }
            )
        );
        assert_eq!(
            tool("heartbeat send -i 2 --json host:7", &[]),
            Tool::Send(target("host", 7), heartbeat::Settings { interval: 2 * second, json: true })
        );
        assert_eq!(
            tool("heartbeat watch --timeout 0.1 --json", &[("MIOD_BIND", "127.0.0.2"), ("MIOD_PORT", "5")]),
            Tool::Watch { settings: watch::Settings { timeout: second / 10, json: true }, at }
        );
    }

    #[test]
    fn the_defaults() {
        assert_eq!(tool("ping localhost", &[]), Tool::Ping(target("localhost", 12_000), ping::Settings::default()));
        assert_eq!(tool("heartbeat send h", &[]), Tool::Send(target("h", 12_001), heartbeat::Settings::default()));
        let at = (vec![], 12_001);
        assert_eq!(tool("heartbeat watch", &[]), Tool::Watch { settings: watch::Settings::default(), at });
        let Tool::Answer { network, at, verbose: false, .. } = tool("udp upper", &[]) else { panic!("an answer") };
        assert_eq!(at, (vec![], 12_000));
        assert!(!network.is_chancy());
    }

    #[test]
    fn mistakes_get_a_hint() {
        for (arguments, expected) in [
            ("udp", "it takes another word: miod udp upper or miod udp echo"),
            ("heartbeat sned", "it takes another word: miod heartbeat send or miod heartbeat watch"),
            ("ping", "ping needs a HOST"),
            ("ping a b", "\"b\" is one argument too many"),
            ("ping a:99999", "a:99999: give a port from 1 to 65535"),
            ("ping --loss 1 a", "ping has no option --loss"),
            ("ping --cuont 1 a", "there is no option --cuont; did you mean --count?"),
            ("ping -s 65508 a", "--size=65508: a datagram has at most 65507 octets"),
            ("udp echo --loss 1.1", "--loss=1.1: give a probability from 0 to 1, like 0.3"),
            ("udp echo host", "\"host\" is one argument too many"),
            ("heartbeat watch -i 1", "heartbeat watch has no option --interval"),
        ] {
            assert_eq!(run(arguments, &[]).expect_err(arguments).0, expected);
        }
    }

    #[test]
    fn each_command_tells_its_options_and_no_others() {
        for command in Name::ALL {
            let Ok(Command::Help(text)) = run(&(command.words().join(" ") + " -h"), &[]) else { panic!("no help") };
            for flag in FLAGS {
                let told = text.contains(&format!("--{}", flag.long));
                assert_eq!(
                    told,
                    flag.commands.contains(&command) || text.contains(&format!("miod udp echo --{}", flag.long)),
                    "{command:?} --{}",
                    flag.long
                );
            }
            assert!(text.lines().all(|line| line.len() <= 100 && line.trim_end() == line), "{text}");
        }
        assert!(matches!(run("heartbeat --help", &[]), Ok(Command::Help(text)) if text.contains("watch [OPTIONS]")));
    }

    #[test]
    fn defaults_are_acceptable_values() {
        for command in Name::ALL {
            for flag in FLAGS {
                let default = (flag.default)(&Draft::new(command));
                assert!(default.is_empty() || (flag.apply)(&mut Draft::new(command), &default).is_ok());
            }
        }
    }
}
