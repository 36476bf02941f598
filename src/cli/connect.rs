//! The command line of `miod connect`.

use std::ffi::OsString;
use std::time::Duration;

use super::arguments::Tool;
use super::{Command, UsageError};
use crate::client::Target;
use crate::client::connect::ConnectPlan;
use crate::config::options::{Draft, Opt, Value, assign};
use crate::config::value_text::seconds;
use crate::config::values;

pub(super) struct ConnectDraft {
    udp: bool,
    timeout: Duration,
    wait: Duration,
}

impl Default for ConnectDraft {
    fn default() -> Self {
        Self { udp: false, timeout: Duration::from_secs(10), wait: Duration::from_secs(1) }
    }
}

pub(super) const TOOL: Tool<ConnectDraft> = Tool {
    usage: "miod connect sends standard input to a service and prints what comes back.

Usage: miod connect [OPTIONS] HOST PORT

EOF of standard input is passed on to the service; what it still sends is printed until it ends the
connection.
",
    options: &[
        Opt {
            long: "udp",
            short: Some('u'),
            help: "send each line as a datagram, without its line end, and print each reply as a line",
            set: assign!(Command.udp = true),
            ..Opt::DEFAULT
        },
        Opt {
            long: "timeout",
            value: Value::Required("SECONDS"),
            help: "for resolving the name, and for connecting",
            default: |draft| seconds(draft.command.timeout),
            set: assign!(Command.timeout = values::seconds),
            ..Opt::DEFAULT
        },
        Opt {
            long: "wait",
            short: Some('w'),
            value: Value::Required("SECONDS"),
            help: "with --udp, for a missing reply",
            default: |draft| seconds(draft.command.wait),
            set: assign!(Command.wait = values::seconds),
            ..Opt::DEFAULT
        },
    ],
    tap: Opt::TAP_OF_CLIENT,
    defaults: Draft::default,
    more: "Exit codes: 0; 2 usage error; 6 unknown host name; 7 connection refused or unreachable;
28 timeout, or fewer replies than lines over UDP; 56 connection lost.

Examples:
  miod connect localhost 5555                        talk to miod echo; Ctrl-D ends
  printf 'hello\\n' | miod connect localhost 12000    HELLO, from miod upper
  miod connect --udp localhost 12000                 one datagram for each line
",
};

pub(super) fn parse(arguments: Vec<OsString>) -> Result<Command, UsageError> {
    TOOL.parse(arguments, |Draft { command: draft, process, .. }, positional| {
        let [host, port] = &positional[..] else { return Err(UsageError("give HOST PORT".to_owned())) };
        Ok(Command::Connect(ConnectPlan {
            target: Target { host: values::host(host), port: values::remote_port(port).map_err(UsageError)? },
            udp: draft.udp,
            timeout: draft.timeout,
            wait: draft.wait,
            tap: process.tap,
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tap::TapSettings;

    #[test]
    fn every_option_sets_its_field() {
        let parse = |text: &str| parse(text.split(' ').map(OsString::from).collect());
        let plan = |host: &str, udp, timeout, wait| ConnectPlan {
            target: Target { host: host.to_owned(), port: 81 },
            udp,
            timeout: Duration::from_secs(timeout),
            wait: Duration::from_secs(wait),
            tap: TapSettings::default(),
        };
        for (arguments, expected) in
            [("a 81", plan("a", false, 10, 1)), ("--udp [::1] 81 --timeout 3 -w 4", plan("::1", true, 3, 4))]
        {
            match parse(arguments) {
                Ok(Command::Connect(plan)) => assert_eq!(plan, expected),
                other => panic!("{other:?}"),
            }
        }
        for wrong in ["a", "a 0", "a b", "a 81 c", "a 65536"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
