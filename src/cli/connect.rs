//! The command line of `miod connect`.

use std::ffi::OsString;
use std::time::Duration;

use super::options::Value;
use super::tool::{Opt, Said, Tool};
use super::{Command, UsageError, values};
use crate::client::Target;
use crate::client::connect::ConnectPlan;

pub(super) struct Draft {
    udp: bool,
    timeout: Duration,
    wait: Duration,
}

impl Default for Draft {
    fn default() -> Self {
        Self { udp: false, timeout: Duration::from_secs(10), wait: Duration::from_secs(1) }
    }
}

const TOOL: Tool<Draft> = Tool {
    name: "connect",
    usage: "miod connect sends standard input to a service, and prints what comes back.

Usage: miod connect [OPTIONS] HOST PORT

The end of the input is told to the service; what it says after that is printed too, until it
ends the connection.
",
    options: &[
        Opt {
            long: "udp",
            short: Some('u'),
            value: Value::None,
            help: "send each line as a datagram, without its end, and print each answer as a line",
            apply: |draft, _| {
                draft.udp = true;
                Ok(())
            },
        },
        Opt {
            long: "timeout",
            short: None,
            value: Value::Required("SECONDS"),
            help: "for looking up the name, and for making the connection (default: 10)",
            apply: |draft, text| {
                draft.timeout = values::seconds(text)?;
                Ok(())
            },
        },
        Opt {
            long: "wait",
            short: Some('w'),
            value: Value::Required("SECONDS"),
            help: "with --udp, for each answer that is missing when the input has ended (default: 1)",
            apply: |draft, text| {
                draft.wait = values::seconds(text)?;
                Ok(())
            },
        },
    ],
    more: "Exit codes: 0; 2 the command line is wrong; 6 the name is unknown; 7 nobody can be connected to;
28 timed out; 56 the connection broke.

Examples:
  miod connect localhost 5555                        talk to miod echo; Ctrl-D ends
  printf 'hello\\n' | miod connect localhost 12000    HELLO, from miod upper
  miod connect --udp localhost 12000                 a datagram for each line
",
};

pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let (draft, places) = match TOOL.parse(arguments)? {
        Said::Do(draft, places) => (draft, places),
        Said::Help(text) => return Ok(Command::Help(text)),
        Said::Version => return Ok(Command::Version),
    };
    let [host, port] = &places[..] else { return Err(UsageError("give HOST PORT".to_owned())) };
    Ok(Command::Connect(ConnectPlan {
        target: Target { host: values::host(host), port: values::remote_port(port).map_err(UsageError)? },
        udp: draft.udp,
        timeout: draft.timeout,
        wait: draft.wait,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_arrives() {
        let parse = |text: &str| parse(text.split(' ').map(OsString::from));
        let plan = |host: &str, udp, timeout, wait| ConnectPlan {
            target: Target { host: host.to_owned(), port: 81 },
            udp,
            timeout: Duration::from_secs(timeout),
            wait: Duration::from_secs(wait),
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
