//! The command as a process: its output and its exit code. Tests of a running server are in
//! other files.

use std::io::{self, Read};
use std::process::{Command, Output, Stdio};

/// The command, without variables that it would read.
fn miod(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_miod"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MIOD_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

/// Exit code, standard output and standard error.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the command starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn help_goes_to_standard_output() {
    let (code, stdout, stderr) = run(&mut miod(&["--help"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for part in ["Usage: miod", "--idle-timeout SECONDS", "(default: 60)", "MIOD_SEND_TIMEOUT", "Examples:"] {
        assert!(stdout.contains(part), "{part} is missing in {stdout}");
    }
    let (_, echo, _) = run(&mut miod(&["echo", "-h"]));
    assert!(echo.contains("(default: 5555)") && !echo.contains("--listing"), "{echo}");
    let (_, upper, _) = run(&mut miod(&["upper", "-h"]));
    assert!(upper.contains("(default: 12000)"), "{upper}");
}

#[test]
fn the_version_is_that_of_the_package() {
    for option in ["-V", "--version"] {
        let expected = format!("miod {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(run(&mut miod(&[option])), (Some(0), expected, String::new()));
    }
}

#[test]
fn wrong_arguments_exit_with_2_and_a_hint() {
    for (arguments, hint) in [
        (&["--listng"][..], "did you mean --listing?"),
        (&["ehco"], "did you mean echo?"),
        (&["-x"], "unknown option -x"),
        (&["--port"], "needs a value"),
        (&["--port", "many"], "a port from 0 to 65535"),
        (&["--idle-timeout=0"], "give seconds"),
        (&["--bind", "8080"], "--port 8080"),
        (&["echo", "--spa", "index.html"], "echo has no option --spa"),
        (&[".", "."], "unexpected argument"),
    ] {
        let (code, stdout, stderr) = run(&mut miod(arguments));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.starts_with("miod: ") && stderr.contains(hint), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn a_malformed_environment_variable_is_named() {
    let (code, _, stderr) = run(miod(&[]).env("MIOD_IDLE_TIMEOUT", "soon"));
    assert_eq!(code, Some(2));
    assert!(stderr.starts_with("miod: MIOD_IDLE_TIMEOUT=soon: give seconds"), "{stderr}");
}

#[test]
fn a_log_that_cannot_be_opened_is_an_error() {
    let (code, _, stderr) = run(&mut miod(&["--access-log", "/none/such/log"]));
    assert_eq!(code, Some(78));
    assert_eq!(stderr, "miod: can't open the access log /none/such/log: no such file or directory\n");
}

#[test]
fn a_closed_standard_output_ends_the_command_quietly() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut child = miod(&["--help"]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_closed_standard_error_is_ignored() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut child = miod(&["--frobnicate"]).stderr(writer).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2));
}
