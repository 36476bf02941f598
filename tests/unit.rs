//! systemd accepts the units that `miod unit` prints, and finds little that an attacker could
//! use.

mod support;

use std::process::{Command, Output};

use support::{Root, miod};

/// The units for these arguments, each in a file; gives back their paths, the service first.
fn units(root: &Root, arguments: &[&str]) -> Vec<String> {
    // The program must be one that exists, and this one may be in a home directory.
    let output = miod().args(["unit", "--program=/bin/true"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let files = text.split("# /etc/systemd/system/").flat_map(|part| part.split("# ~/.config/systemd/user/")).skip(1);
    let write = |file: &str| {
        let (name, content) = file.split_once('\n').unwrap();
        root.file(name, content);
        root.at(name).to_str().unwrap().to_owned()
    };
    files.filter(|file| !file.is_empty()).map(write).collect()
}

fn analyze(arguments: &[&str], files: &[String]) -> Output {
    let mut command = Command::new("systemd-analyze");
    // That of a user looks for other units there.
    command.env("XDG_RUNTIME_DIR", std::env::temp_dir()).args(arguments).args(files);
    command.output().unwrap()
}

/// Arguments of servers with different needs.
const SERVERS: &[&[&str]] = &[
    &["/srv/www"],
    &["-b", "0.0.0.0", "-p", "80", "--tls=auto", "--tls-bind=0.0.0.0:443", "/srv/www"],
    &["--data=/srv/my data", "--access-log=/var/log/miod/access", "--pid-file=/run/miod/pid", "/home/x/a b%c$d\"e\\f"],
    &["kv", "--token", "secret", "--data", "/var/lib/miod/kv"],
    &["--sessions", "redis://:secret@127.0.0.1/0", "--users", "/etc/miod/users", "/srv/www"],
    &["echo"],
    &["--reuse-port", "-p80", "--pid-file=/run/miod/pid", "--access-log=/var/log/miod/a.b.log", "/srv/www"],
    &["--reuse-port", "--users=/etc/miod/users", "--sessions=cookie", "--session-key=/etc/miod/key", "/srv/www"],
];

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_accepts_the_units() {
    for server in SERVERS {
        for (own, options) in [
            (&[][..], &["verify", "--man=no"][..]),
            (&["--socket"], &["verify", "--man=no"]),
            (&["--per-user"], &["verify", "--man=no", "--user"]),
            (&["--per-user", "--socket"], &["verify", "--man=no", "--user"]),
        ] {
            let root = Root::new();
            let files = units(&root, &[own, server].concat());
            assert_eq!(files.len() > 1, own.contains(&"--socket"), "{files:?}");
            let output = analyze(options, &files);
            let messages = String::from_utf8_lossy(&output.stderr);
            // A machine may have other units with mistakes.
            let ours: Vec<_> = messages.lines().filter(|line| line.contains("miod")).collect();
            assert!(output.status.success() && ours.is_empty(), "{own:?} {server:?}: {messages}");
        }
    }
}

#[test]
#[ignore = "needs systemd-analyze"]
fn little_is_exposed() {
    for server in SERVERS {
        for own in [&[][..], &["--socket"]] {
            let root = Root::new();
            let files = units(&root, &[own, server].concat());
            // The exposure in tenths.
            let options = ["security", "--offline=true", "--threshold=20", "--no-pager"];
            let output = analyze(&options, &files[..1]);
            let table = String::from_utf8_lossy(&output.stdout);
            let summary = table.lines().last().unwrap_or_default();
            assert!(output.status.success(), "{own:?} {server:?}: {table}");
            println!("{own:?} {server:?}: {summary}");
        }
    }
}
