//! `miod passwd` as a process: the file that it writes, and its prompts on a terminal.

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use support::terminal::Terminal;
use support::{Root, miod};

fn passwd(arguments: &[&str]) -> Command {
    let mut command = miod();
    command.arg("passwd").args(["--cost", "4"]).args(arguments);
    command
}

/// Runs it with `input`. Returns exit code, standard output and standard error.
fn run(mut command: Command, input: &str) -> (Option<i32>, String, String) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may have ended before it read the input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn text(root: &Root) -> String {
    fs::read_to_string(root.at("users")).unwrap()
}

fn mode(root: &Root) -> u32 {
    fs::metadata(root.at("users")).unwrap().permissions().mode() & 0o777
}

#[test]
#[ignore = "mounts a file in a namespace of its own, by unshare"]
fn a_file_that_is_a_mount_point_is_written_in_place() {
    let root = Root::new();
    fs::write(root.at("users"), "# comment\n").unwrap();
    let script = "mount --bind users users && printf 'apple\\n' | \"$0\" passwd --cost 4 users alice";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(env!("CARGO_BIN_EXE_miod")).current_dir(root.path());
    let (code, said, errors) = run(command, "");
    assert_eq!((code, said.as_str()), (Some(0), "alice added to users\n"), "{errors}");
    assert!(text(&root).starts_with("# comment\nalice:$2y$04$"));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "no other file is left");
}

#[test]
fn users_are_added_changed_and_removed() {
    let root = Root::new();
    let file = root.at("users").to_str().unwrap().to_owned();
    let (code, output, _) = run(passwd(&[&file, "alice"]), "apple\n");
    assert_eq!((code, output), (Some(0), format!("alice added to {file}\n")));
    assert!(text(&root).starts_with("alice:$2y$04$") && text(&root).len() == 67 && mode(&root) == 0o600);

    fs::write(root.at("users"), format!("# comment\n{}odd\n", text(&root))).unwrap();
    fs::set_permissions(root.at("users"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = text(&root);
    let (code, output, _) = run(passwd(&[&file, "bob"]), "pear\r\nmore");
    assert_eq!(code, Some(0));
    assert!(output.contains("line 3 is wrong"), "{output}");
    assert!(text(&root).starts_with(&before) && text(&root).contains("\nbob:$2y$") && mode(&root) == 0o640);

    let before = text(&root);
    let (_, output, _) = run(passwd(&[&file, "alice"]), "plum");
    assert!(output.starts_with("alice has a new password"), "{output}");
    assert!(text(&root) != before && text(&root).len() == before.len());

    let (code, output, _) = run(passwd(&["-D", &file, "alice"]), "");
    assert!(code == Some(0) && output.starts_with("alice removed from"), "{output}");
    assert!(text(&root).starts_with("# comment\nodd\nbob:"));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "no other file is left");
}

#[test]
fn a_symbolic_link_is_kept() {
    let root = Root::new();
    root.file("real/users", "").link("users", "real/users");
    let (code, ..) = run(passwd(&[root.at("users").to_str().unwrap(), "alice"]), "apple\n");
    assert_eq!(code, Some(0));
    assert!(fs::symlink_metadata(root.at("users")).unwrap().is_symlink() && text(&root).starts_with("alice:"));
}

#[test]
fn errors_leave_the_file_unchanged() {
    let root = Root::new();
    root.file("users", "alice:x\n");
    let file = root.at("users").to_str().unwrap().to_owned();
    let none = root.at("none/users").to_str().unwrap().to_owned();
    for (arguments, input, code, hint) in [
        (&[&*file][..], "", 2, "FILE USER"),
        (&[&*file, "a:b"], "", 2, "colon"),
        (&["--cost=99", &*file, "a"], "", 2, "4 to 15"),
        (&[&*file, "alice"], "", 78, "1 to 72"),
        (&[&*file, "alice"], "\n", 78, "1 to 72"),
        (&[&*file, "alice"], &"x".repeat(73), 78, "1 to 72"),
        (&[&*file, "alice"], "a\tb\n", 78, "control"),
        (&["-D", &*file, "bob"], "", 78, "there is no user bob"),
        (&[&*none, "alice"], "apple\n", 1, "no such file or directory"),
        (&[root.path().to_str().unwrap(), "alice"], "apple\n", 1, "not a regular file"),
    ] {
        let (status, output, error) = run(passwd(arguments), input);
        assert_eq!((status, output.as_str()), (Some(code), ""), "{arguments:?} {error}");
        assert!(error.starts_with("miod: ") && error.contains(hint), "{error}");
    }
    assert_eq!(text(&root), "alice:x\n");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn on_a_terminal_the_password_is_entered_twice_and_not_shown() {
    let root = Root::new();
    let file = root.at("users").to_str().unwrap().to_owned();
    let mut terminal = Terminal::start(passwd(&[&file, "alice"]));
    terminal.expect("New password of alice: ");
    terminal.write("secrex\x7ft\r");
    terminal.expect("Again: ");
    terminal.write("secret\n");
    terminal.expect("alice added to");
    assert_eq!(terminal.code(), Some(0));
    assert!(!terminal.seen.contains("secre"), "{}", terminal.seen);
    assert!(text(&root).starts_with("alice:"));

    let before = text(&root);
    let mut terminal = Terminal::start(passwd(&[&file, "alice"]));
    terminal.expect("New password");
    terminal.write("one\n");
    terminal.expect("Again");
    terminal.write("another\n");
    terminal.expect("the passwords differ");
    assert_eq!(terminal.code(), Some(78));

    let mut terminal = Terminal::start(passwd(&[&file, "alice"]));
    terminal.expect("New password");
    terminal.write("one\x03");
    terminal.expect("nothing is changed: interrupted");
    assert_eq!(terminal.code(), Some(1));
    assert_eq!(text(&root), before);
    // The terminal echoes input again.
    let modes = rustix::termios::tcgetattr(&terminal.master).unwrap().local_modes;
    assert!(modes.contains(rustix::termios::LocalModes::ECHO | rustix::termios::LocalModes::ISIG));
}
