//! The text of `--help`, made from the table of options.

use std::fmt::Write;

use super::Name;
use super::options::{FLAGS, Flag, Value};
use crate::config::Config;

/// Where the second column begins.
const COLUMN: usize = 34;
/// Where lines end.
const WIDTH: usize = 100;

/// The help of a command; that of `serve` is also the whole program's.
pub(super) fn help(command: Name) -> String {
    let config = Config { port: command.default_port(), ..Config::default() };
    let mut text = String::from(match command {
        Name::Serve => {
            "miod serves files and small applications over HTTP.

Usage: miod [serve] [OPTIONS] [ROOT]
       miod kv|echo|upper [OPTIONS]
       miod passwd [OPTIONS] FILE USER
       miod sessions|connect|get|udp|ping|heartbeat [OPTIONS] ...

ROOT is the directory whose files are served: without it ./public, if there is one, else the
directory you are in.

Commands:
  serve      files and applications over HTTP/1.1 (what miod does if no command is given)
  kv         keys and values over HTTP: GET, PUT, DELETE /KEY
  sessions   shows what a store of sessions has, or ends one
  passwd     writes a password file for --auth and --users
  echo       every octet goes back to its sender
  upper      every line goes back in upper case
  connect    standard input to a service, and what comes back to standard output
  get        ask an HTTP server for something
  udp        upper, echo: every datagram goes back, over a network as bad as you wish
  ping       asks such a service, and tells how long answers take
  heartbeat  send, watch: who lives, and since when not
Each tells more with --help.
"
        }
        Name::Kv => {
            "miod kv keeps values under keys, and speaks HTTP.

Usage: miod kv [OPTIONS]

  GET    /      everything as JSON; with ?format=lines an object a line
  POST   /      a value under a new UUID, told in Location
  GET    /KEY   the value
  PUT    /KEY   the value from now on; with ?ttl=SECONDS for that long
  DELETE /KEY   none from now on

A value is application/json or application/octet-stream.
"
        }
        Name::Echo => "miod echo sends every octet back to its sender.\n\nUsage: miod echo [OPTIONS]\n",
        Name::Upper => "miod upper sends every line back in upper case.\n\nUsage: miod upper [OPTIONS]\n",
    });
    let mut group = "";
    for flag in FLAGS.iter().filter(|flag| flag.commands.contains(&command)) {
        if flag.group != group {
            group = flag.group;
            text += &format!("\n{group}:\n");
        }
        option(&mut text, flag, &config);
    }
    text += "\nOptions but those of Help are also variables of the environment: --send-timeout is\n\
             MIOD_SEND_TIMEOUT, -v and -q are RUST_LOG=debug or RUST_LOG=warn. Options that may be given\n\
             more than once have commas there. An option beats its variable.\n";
    text += match command {
        Name::Serve => {
            "
Examples:
  miod                            this directory (or ./public), at http://127.0.0.1:8080/
  miod -p 0 --listing ~/site      another one, at a free port, with lists of directories
  miod -b 0.0.0.0 -b :: site      for everybody on the network
  miod --spa index.html dist      a single-page application
  miod --auth /private=users      the users of that file, made by miod passwd, get to /private/
  miod --access-log access.log    a log in the combined format; SIGUSR1 opens it again
  miod --sessions cookie site     visitors' state in signed cookies, which outlives a restart
  MIOD_PORT=80 miod /srv/www      options from the environment
"
        }
        Name::Kv => {
            "
Examples:
  miod kv --data ~/kv &
  curl -X PUT -H 'Content-Type: application/json' -d '{\"n\":1}' 127.0.0.1:5100/a
  curl 127.0.0.1:5100/
"
        }
        Name::Echo => "\nExamples:\n  miod echo & miod connect 127.0.0.1 5555\n  miod echo --delay 200 --chaos 7\n",
        Name::Upper => "\nExamples:\n  miod upper & miod connect 127.0.0.1 12000\n  miod upper --delay 200 --chaos 7\n",
    };
    text
}

/// One option of a server.
fn option(text: &mut String, flag: &Flag, config: &Config) {
    let mut help = flag.help.to_owned();
    if flag.repeatable && flag.value != Value::None {
        help += "; repeatable";
    }
    let default = (flag.default)(config);
    if !default.is_empty() {
        help += &format!(" (default: {default})");
    }
    row(text, flag.short, flag.long, flag.value, &help);
}

/// One option, its help in the second column.
pub(super) fn row(text: &mut String, short: Option<char>, long: &str, value: Value, help: &str) {
    let short = short.map_or("    ".to_owned(), |short| format!("-{short}, "));
    let value = match value {
        Value::None => String::new(),
        Value::Required(name) => format!(" {name}"),
        Value::Optional(name) => format!("[={name}]"),
    };
    let mut line = format!("  {short}--{long}{value}");
    line += if line.len() < COLUMN { "" } else { " " };
    let _ = write!(line, "{:1$}", "", COLUMN.saturating_sub(line.len()));
    for (at, word) in help.split(' ').enumerate() {
        if line.len() + 1 + word.len() > WIDTH {
            *text += line.trim_end();
            *text += "\n";
            line = " ".repeat(COLUMN);
        } else if at > 0 {
            line += " ";
        }
        line += word;
    }
    *text += &line;
    *text += "\n";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_tells_its_options_and_no_others() {
        for command in Name::ALL {
            let text = help(command);
            for flag in FLAGS {
                let told =
                    text.contains(&format!("--{}", flag.long)) && text.contains(flag.help.split(' ').next().unwrap());
                let known = flag.commands.contains(&command);
                assert!(told || !known, "{command:?} --{}", flag.long);
                assert!(known || !text.contains(&format!("    --{}", flag.long)), "{command:?} --{}", flag.long);
            }
            assert!(text.contains(&format!("(default: {})", command.default_port())));
            assert!(text.lines().all(|line| line.len() <= WIDTH && line.trim_end() == line), "{text}");
        }
    }
}
