//! Completions and the manual page have every option.

mod support;

use std::process::Command;

use support::{Outcome, Root, miod, run_to_end};

fn text(arguments: &[&str]) -> String {
    let outcome = run_to_end(miod().args(arguments), b"");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    outcome.text()
}

/// The long options that the help of a command lists.
fn options(command: &str) -> Vec<String> {
    let help = text(&[command, "--help"]);
    let names = help.lines().filter_map(|line| {
        let rest = line.strip_prefix("  ")?.trim_start();
        let long = rest
            .strip_prefix("--")
            .or_else(|| rest.split_once(", --").filter(|(short, _)| short.len() == 2).map(|(_, long)| long))?;
        Some(long.split([' ', '[', '=']).next()?.to_owned())
    });
    names.filter(|name| !["help", "version"].contains(&name.as_str())).collect()
}

const COMMANDS: [&str; 12] =
    ["serve", "kv", "echo", "upper", "passwd", "sessions", "connect", "get", "udp", "ping", "unit", "reload"];

#[test]
fn every_option_of_every_command_is_completed() {
    let (bash, zsh, fish) =
        (text(&["completions", "bash"]), text(&["completions", "zsh"]), text(&["completions", "fish"]));
    let page = text(&["man"]);
    for command in COMMANDS {
        let options = options(command);
        assert!(!options.is_empty(), "{command}");
        let of_bash = bash.lines().find(|line| line.starts_with(&format!("    {command}) word="))).unwrap();
        for option in options {
            assert!(of_bash.contains(&format!("--{option}")), "bash {command} --{option}");
            assert!(zsh.contains(&format!("*--{option}[")), "zsh --{option}");
            assert!(fish.contains(&format!(" -l {option} ")), "fish --{option}");
            assert!(page.contains(&format!("\\-\\-{}\\fR", option.replace('-', "\\-"))), "man --{option}");
        }
    }
    assert!(page.contains("\\fBMIOD_IDLE_TIMEOUT\\fR") && page.starts_with(".TH MIOD 1"));
    assert_eq!(run_to_end(miod().args(["completions", "tcsh"]), b"").code, Some(2));
}

/// What bash completes in the last word.
fn bash(root: &Root, words: &[&str]) -> Outcome {
    let script =
        "source ./script; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _miod; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut command = Command::new("bash");
    command.current_dir(root.path()).args(["--norc", "-c", script, "bash"]).args(words);
    run_to_end(&mut command, b"")
}

#[test]
fn bash_completes_commands_options_values_and_files() {
    let root = Root::new();
    root.file("script", text(&["completions", "bash"])).file("users.txt", "");
    for (words, expected) in [
        (&["miod", "che"][..], "check\n"),
        (&["miod", "--idle"], "--idle-timeout\n"),
        (&["miod", "kv", "--tok"], "--token\n"),
        (&["miod", "echo", "--del"], "--delay\n"),
        (&["miod", "--symlinks", "i"], "inside\n"),
        (&["miod", "--log-format", "j"], "json\n"),
        (&["miod", "--users", "us"], "users.txt\n"),
        (&["miod", "completions", "z"], "zsh\n"),
        (&["miod", "get", "--cac"], "--cacert\n"),
    ] {
        let outcome = bash(&root, words);
        assert_eq!(outcome.text(), expected, "{words:?} {outcome:?}");
    }
}

#[test]
#[ignore = "needs zsh, fish and groff"]
fn the_shells_and_groff_read_them() {
    let root = Root::new();
    root.file("_miod", text(&["completions", "zsh"])).file("miod.fish", text(&["completions", "fish"]));
    root.file("miod.1", text(&["man"]));
    for (program, arguments) in [
        ("zsh", &["-n", "_miod"][..]),
        ("fish", &["-n", "miod.fish"]),
        ("groff", &["-man", "-Tutf8", "-ww", "-z", "miod.1"]),
    ] {
        let outcome = run_to_end(Command::new(program).current_dir(root.path()).args(arguments), b"");
        assert!(outcome.code == Some(0) && outcome.errors.is_empty(), "{program}: {outcome:?}");
    }
}
