//! The text of `--help`, made from the tables of options.

use std::fmt::Write;

use super::server;
use crate::config::ServerCommand;
use crate::config::options::{Draft, GROUPS, Opt, Value};

/// Where the second column begins.
const COLUMN: usize = 34;
/// Where lines end.
const WIDTH: usize = 100;

/// Appends the rows of `--help` and `--version`.
pub(super) fn info_rows(text: &mut String) {
    columns(text, "  -h, --help", "print this help");
    columns(text, "  -V, --version", "print the version");
}

/// The help of a server command; that of `serve` is also the whole program's.
pub(super) fn server_help(command: ServerCommand) -> String {
    let mut text = String::from(server::usage(command));
    let defaults = Draft::at(command.default_port());
    for group in GROUPS {
        let mut options = server::table(command).into_iter().filter(|option| option.group == *group).peekable();
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
             commas between the values of a repeatable option; -v and -q are RUST_LOG=debug and\n\
             RUST_LOG=warn. An option overrides its variable.\n";
    text + server::examples(command)
}

/// The row of an option.
pub(super) fn row<D>(text: &mut String, option: &Opt<D>, defaults: &Draft<D>) {
    let short = option.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
    let value = match option.value {
        Value::None => String::new(),
        Value::Required(name) => format!(" {name}"),
        Value::Optional(name) => format!("[={name}]"),
    };
    let mut help = option.help.to_owned();
    if option.repeatable && option.value != Value::None {
        help += "; repeatable";
    }
    let default = (option.default)(defaults);
    if !default.is_empty() {
        help += &format!(" (default: {default})");
    }
    columns(text, &format!("  {short}--{}{value}", option.long), &help);
}

/// Appends two columns; the second is wrapped.
fn columns(text: &mut String, first: &str, second: &str) {
    let mut line = first.to_owned();
    line += if line.len() < COLUMN { "" } else { " " };
    let _ = write!(line, "{:1$}", "", COLUMN.saturating_sub(line.len()));
    for (at, word) in second.split(' ').enumerate() {
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
    use crate::config::options::server_options;

    #[test]
    fn each_command_lists_its_options_and_no_others() {
        for command in ServerCommand::ALL {
            let text = server_help(command);
            for option in server_options() {
                let listed = text.contains(&format!("--{}", option.long))
                    && text.contains(option.help.split(' ').next().unwrap());
                let known = option.belongs_to(command);
                assert!(listed || !known, "{command:?} --{}", option.long);
                assert!(known || !text.contains(&format!("    --{}", option.long)), "{command:?} --{}", option.long);
            }
            assert!(text.contains(&format!("(default: {})", command.default_port())));
            assert!(text.contains("-h, --help") && text.contains("-V, --version"));
            assert!(text.lines().all(|line| line.len() <= WIDTH && line.trim_end() == line), "{text}");
        }
    }

    #[test]
    fn a_group_has_one_heading() {
        let text = server_help(ServerCommand::Serve);
        for group in GROUPS.iter().filter(|group| **group != "A bad network") {
            assert_eq!(text.matches(&format!("\n{group}:\n")).count(), 1, "{group}");
        }
    }
}
