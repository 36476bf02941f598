//! The options of the server commands, and the text of their `--help`.

use super::help::{info_rows, row};
use crate::config::ServerCommand;
use crate::config::options::{Draft, GROUPS, Opt, ServerDraft, server_options};

/// The options of a command.
pub(super) fn table(command: ServerCommand) -> Vec<&'static Opt<ServerDraft>> {
    server_options().filter(|option| option.belongs_to(command)).collect()
}

/// The help of a server command. The help of `serve` is also that of the whole program.
pub(super) fn server_help(command: ServerCommand) -> String {
    let mut text = String::from(usage(command));
    let defaults = Draft::at(command.default_port());
    for group in GROUPS {
        let mut options = table(command).into_iter().filter(|option| option.group == *group).peekable();
        if options.peek().is_some() {
            text += &format!("\n{group}:\n");
        }
        for option in options {
            row(&mut text, option, &defaults);
        }
    }
    text += "\nHelp:\n";
    info_rows(&mut text);
    text += "\nEach option is also a variable of the environment: --send-timeout is MIOD_SEND_TIMEOUT, with\n\
             commas between the values of a repeatable option (MIOD_TLS: semicolons); -v and -q are\n\
             RUST_LOG=debug and RUST_LOG=warn. An option overrides its variable.\n";
    text + examples(command)
}

/// The purpose and the synopsis of a command.
fn usage(command: ServerCommand) -> &'static str {
    match command {
        ServerCommand::Serve => {
            "miod serves files and small applications over HTTP.

Usage: miod [serve] [OPTIONS] [ROOT]
       miod kv|proxy|mailbox|echo|upper [OPTIONS]
       miod passwd [OPTIONS] FILE USER
       miod check|reload|unit|completions|man [OPTIONS] ...
       miod sessions|cache|report|connect|get|udp|ping|heartbeat [OPTIONS] ...

ROOT is the directory whose files are served (default: ./public if it exists, else the current
directory), or one file.

Commands:
  serve      files and applications over HTTP/1.1 (the default command)
  kv         keys and values over HTTP: GET, PUT, DELETE /KEY
  proxy      a forward proxy: ask other servers for clients
  mailbox    receive mail, and show it in a browser: to try mail clients with
  sessions   list the sessions of a store, or end one
  cache      list, show, check or purge what proxies have stored
  report     list the connections and requests of a capture of packets
  passwd     write a password file for --auth and --users
  echo       send each byte back
  upper      send the input back in upper case
  connect    send standard input to a service, and print what comes back
  get        send HTTP requests, and print the responses
  udp        upper, echo: reply to each datagram, over a simulated bad network
  ping       measure the round-trip time of such a service
  heartbeat  send, watch: monitor which senders are alive
  check      find what a start would find wrong, and print the settings
  reload     have a running server load its configuration again
  unit       print unit files for systemd
  completions, man   print completions for a shell, or the manual page
Each has its own --help.
"
        }
        ServerCommand::Kv => {
            "miod kv stores values under keys, over HTTP.

Usage: miod kv [OPTIONS]

  GET    /      everything as JSON; with ?format=lines one object per line
  POST   /      store a value under a new UUID, which Location reports
  GET    /KEY   the value
  PUT    /KEY   store a value; with ?ttl=SECONDS for that long
  DELETE /KEY   delete the value

A value is application/json or application/octet-stream.
"
        }
        ServerCommand::Proxy => {
            "miod proxy asks other servers for its clients: a forward proxy.

Usage: miod proxy [OPTIONS]

  GET http://HOST/PATH     the resource; so do clients that are told of the proxy
  CONNECT HOST:443         a tunnel, for HTTPS
  GET /HOST/PATH           the resource, for clients that take the proxy for a web server

Only this machine may use it, but for --allow. Servers on the public Internet are asked; others only
if no other machine can use the proxy, or with --allow-private.
"
        }
        ServerCommand::Echo => "miod echo sends each byte back.\n\nUsage: miod echo [OPTIONS]\n",
        ServerCommand::Upper => "miod upper sends its input back in upper case.\n\nUsage: miod upper [OPTIONS]\n",
        ServerCommand::Mailbox => MAILBOX,
    }
}

const MAILBOX: &str = "miod mailbox receives mail, and shows it in a browser: to try mail clients with.

Usage: miod mailbox [OPTIONS]

It keeps what it gets for every recipient, and never sends it on. The last 1,000 messages are there,
or 256 MiB of them.
";

/// The examples of a command.
fn examples(command: ServerCommand) -> &'static str {
    match command {
        ServerCommand::Serve => {
            "
Examples:
  miod                            this directory (or ./public), at http://127.0.0.1:8080/
  miod -p 0 --listing ~/site      another directory, at a free port, with directory listings
  miod -b 0.0.0.0 -b :: site      for everybody on the network
  miod --spa index.html dist      a single-page application
  miod --auth /private=users      only users of that file, written by miod passwd, get /private/
  miod --access-log access.log    a log in the combined format; SIGUSR1 reopens it
  miod --sessions cookie site     sessions in signed cookies, which outlive a restart
  MIOD_PORT=80 miod /srv/www      options from the environment
"
        }
        ServerCommand::Kv => {
            "
Examples:
  miod kv --data ~/kv &
  curl -X PUT -H 'Content-Type: application/json' -d '{\"n\":1}' 127.0.0.1:5100/a
  curl 127.0.0.1:5100/
"
        }
        ServerCommand::Proxy => {
            "
Examples:
  miod proxy &
  http_proxy=http://127.0.0.1:8888 curl http://www.example.org/
  curl http://127.0.0.1:8888/www.example.org/
  miod proxy -b 0.0.0.0 --allow 192.168.1.0/24 --proxy-auth users
"
        }
        ServerCommand::Echo => {
            "\nExamples:\n  miod echo & miod connect 127.0.0.1 5555\n  miod echo --delay 200 --chaos 7\n"
        }
        ServerCommand::Upper => {
            "\nExamples:\n  miod upper & miod connect 127.0.0.1 12000\n  miod upper --delay 200 --chaos 7\n"
        }
        ServerCommand::Mailbox => {
            "
Examples:
  miod mailbox &
  miod mail --server localhost:2525 --from ada@example.org --body Hello bob@example.org
  miod mailbox --tls auto --smtps localhost --users users   with TLS, for these users only
  miod mailbox --fail RCPT=450                              recipients are refused for now
"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::help::WIDTH;
    use super::*;

    #[test]
    fn each_command_lists_its_options_and_no_others() {
        for command in ServerCommand::ALL {
            let text = server_help(command);
            for option in server_options() {
                let listed = text.contains(&format!("--{}", option.long))
                    && text.contains(option.help.split(' ').next().unwrap());
                let known = option.belongs_to(command);
                assert!(listed || !known, "{command:?} --{}", option.long);
                let is_shown = [" ", "\n"].iter().any(|end| text.contains(&format!("    --{}{end}", option.long)));
                assert!(known || !is_shown, "{command:?} --{}", option.long);
            }
            assert!(text.contains(&format!("(default: {})", command.default_port())));
            assert!(text.contains("-h, --help") && text.contains("-V, --version"));
            assert!(text.lines().all(|line| line.len() <= WIDTH && line.trim_end() == line), "{text}");
        }
    }

    #[test]
    fn a_group_has_one_heading() {
        let text = server_help(ServerCommand::Serve);
        for group in GROUPS.iter().filter(|group| !["A bad network", "Mail"].contains(group)) {
            assert_eq!(text.matches(&format!("\n{group}:\n")).count(), 1, "{group}");
        }
    }
}
