//! `miod completions SHELL`: completions of commands, options and values for bash, zsh and fish.

use std::ffi::OsString;
use std::fmt::Write;

use super::commands::{CommandText, Flag, all};
use super::{Command, UsageError};

const HELP: &str = "miod completions prints completions for a shell.

Usage: miod completions bash|zsh|fish

Examples:
  miod completions bash > /etc/bash_completion.d/miod
  miod completions zsh > ~/.zfunc/_miod
  miod completions fish > ~/.config/fish/completions/miod.fish
";

/// Parses the arguments after the command.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Command, UsageError> {
    let words: Vec<_> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    match words[..] {
        ["bash"] => Ok(Command::Help(bash())),
        ["zsh"] => Ok(Command::Help(zsh())),
        ["fish"] => Ok(Command::Help(fish())),
        ["-h" | "--help"] => Ok(Command::Help(HELP.to_owned())),
        _ => Err(UsageError("give bash, zsh or fish".to_owned())),
    }
}

/// All names of an option.
fn names(flag: &Flag) -> Vec<String> {
    let short = flag.short.map(|short| format!("-{short}"));
    short.into_iter().chain([format!("--{}", flag.long)]).collect()
}

fn bash() -> String {
    let commands = all();
    let mut text = String::from("# Completions of miod for bash.\n_miod() {\n  local cur=${COMP_WORDS[COMP_CWORD]} ");
    text +=
        "prev=${COMP_WORDS[COMP_CWORD-1]} command=serve word\n  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n";
    let list = commands.iter().map(|command| command.name).collect::<Vec<_>>();
    // Writing to a string can't fail.
    let _ = writeln!(text, "    case $word in {}) command=$word; break ;; esac\n  done", list.join("|"));
    text += "  case $command:$prev in\n";
    for CommandText { name, flags, .. } in &commands {
        for flag in flags.iter().filter(|flag| flag.value.is_some()) {
            let pattern = names(flag).iter().map(|one| format!("{name}:{one}")).collect::<Vec<_>>().join("|");
            let choices = flag.choices();
            let reply = if !choices.is_empty() {
                format!("COMPREPLY=($(compgen -W '{}' -- \"$cur\"))", choices.join(" "))
            } else if flag.is_path() {
                "COMPREPLY=($(compgen -f -- \"$cur\"))".to_owned()
            } else {
                "COMPREPLY=()".to_owned()
            };
            let _ = writeln!(text, "    {pattern}) {reply}; return ;;");
        }
    }
    text += "    completions:*) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$cur\")); return ;;\n  esac\n  case $command in\n";
    for CommandText { name, flags, .. } in &commands {
        let options: Vec<String> = flags.iter().flat_map(names).chain(["--help".to_owned()]).collect();
        let _ = writeln!(text, "    {name}) word='{}' ;;", options.join(" "));
    }
    text += "  esac\n  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"$word\" -- \"$cur\"))\n  ";
    let _ = writeln!(
        text,
        "elif ((COMP_CWORD == 1)); then COMPREPLY=($(compgen -W '{}' -- \"$cur\") $(compgen -d -- \"$cur\"))",
        list.join(" ")
    );
    text + "  else COMPREPLY=($(compgen -f -- \"$cur\")); fi\n}\ncomplete -o filenames -F _miod miod\n"
}

/// Text in single quotes of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn zsh() -> String {
    let commands = all();
    let mut text =
        String::from("#compdef miod\n_miod() {\n  local command=serve word\n  for word in ${words[2,CURRENT-1]}; do\n");
    let list = commands.iter().map(|command| command.name).collect::<Vec<_>>();
    let _ = writeln!(
        text,
        "    case $word in ({}) command=$word; break ;; esac\n  done\n  case $command in",
        list.join("|")
    );
    // Brackets and colons have a meaning in a specification.
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
    for CommandText { name, flags, .. } in &commands {
        let _ = write!(text, "    ({name}) _arguments");
        for flag in flags {
            for one in names(flag) {
                let choices = flag.choices();
                let action = if !choices.is_empty() {
                    format!(":value:({})", choices.join(" "))
                } else if flag.is_path() {
                    ":file:_files".to_owned()
                } else if let Some(value) = flag.value {
                    format!(":{}:", escaped(value))
                } else {
                    String::new()
                };
                let _ = write!(text, " \\\n      {}", quoted(&format!("*{one}[{}]{action}", escaped(flag.help))));
            }
        }
        let _ = match *name {
            "completions" => writeln!(text, " '*:shell:(bash zsh fish)' ;;"),
            "serve" => writeln!(text, " '1:command or root:({})' '*:root:_files' ;;", list.join(" ")),
            _ => writeln!(text, " '*:argument:_files' ;;"),
        };
    }
    text + "  esac\n}\n_miod \"$@\"\n"
}

fn fish() -> String {
    let commands = all();
    let list = commands.iter().map(|command| command.name).collect::<Vec<_>>().join(" ");
    let mut text = format!("# Completions of miod for fish.\nset -l commands {list}\n");
    for CommandText { name, about, flags } in &commands {
        let _ = writeln!(
            text,
            "complete -c miod -n \"not __fish_seen_subcommand_from $commands\" -a {name} -d {}",
            quoted(about)
        );
        let seen = match *name {
            "serve" => "not __fish_seen_subcommand_from $commands; or __fish_seen_subcommand_from serve".to_owned(),
            name => format!("__fish_seen_subcommand_from {name}"),
        };
        for flag in flags {
            let short = flag.short.map(|short| format!(" -s {short}")).unwrap_or_default();
            let choices = flag.choices();
            let value = match flag.value {
                None => String::new(),
                Some(_) if !choices.is_empty() => format!(" -x -a {}", quoted(&choices.join(" "))),
                Some(_) if flag.is_path() => " -r -F".to_owned(),
                Some(_) => " -x".to_owned(),
            };
            let help = quoted(flag.help);
            let _ = writeln!(text, "complete -c miod -n \"{seen}\"{short} -l {}{value} -d {help}", flag.long);
        }
    }
    text + "complete -c miod -n '__fish_seen_subcommand_from completions' -x -a 'bash zsh fish'\n"
}
