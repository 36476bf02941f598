//! Every command of the README is true: it is run, and what stands behind its
//! `#` is in what it prints.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use support::{Root, Server, eventually, miod};

/// The commands below a mark, `<!-- run -->`, each with what it must print.
fn commands(mark: &str) -> Vec<(String, String)> {
    let readme = include_str!("../README.md");
    readme
        .split(&format!("{mark}\n```sh\n"))
        .skip(1)
        .flat_map(|block| block.split("```").next().unwrap().lines())
        .map(|line| {
            let (command, expected) = line.rsplit_once('#').unwrap_or_else(|| panic!("nothing is expected of {line}"));
            (command.trim().to_owned(), expected.trim().to_owned())
        })
        .collect()
}

/// Where commands are looked for: ours first.
fn path() -> std::ffi::OsString {
    let own = std::path::Path::new(env!("CARGO_BIN_EXE_miod")).parent().unwrap().to_owned();
    let others = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&others))).unwrap()
}

#[test]
#[ignore = "needs curl, nc and wrk"]
fn the_tour_is_true() {
    let commands = commands("<!-- run -->");
    assert!(commands.len() > 15);
    let mut command = miod();
    command.args(["-p", "0"]).current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::null());
    let server = Server::run(command);
    // What they write goes here.
    let place = Root::new();
    for (command, expected) in commands {
        let here = command
            .replace("127.0.0.1:8080", &server.address().to_string())
            .replace("127.0.0.1 8080", &server.address().to_string().replace(':', " "));
        let output = Command::new("timeout")
            .args(["30", "bash", "-c", &here])
            .env("PATH", path())
            .current_dir(place.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains(&expected), "{command} doesn't print {expected:?} but\n{text}");
    }
}

#[test]
#[ignore = "needs curl"]
fn keys_and_values_are_kept_as_shown() {
    let mut command = miod();
    command.args(["kv", "-b", "127.0.0.1", "-p", "0"]);
    let server = Server::run(command);
    let commands = commands("<!-- run kv -->");
    assert!(commands.len() > 8);
    for (command, expected) in commands {
        let here = command.replace("127.0.0.1:5100", &server.address().to_string());
        let output = Command::new("timeout").args(["30", "bash", "-c", &here]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&expected), "{command} doesn't print {expected:?} but\n{text}");
    }
}

#[test]
#[ignore = "needs nc"]
fn the_line_services_answer_as_shown() {
    for (service, input, expected) in
        [("echo", "hello\\nexit\\n", "hello\n"), ("upper", "stra\\303\\237e\\n", "STRASSE\n")]
    {
        let mut command = miod();
        command.args([service, "-p", "0"]);
        let server = Server::run(command);
        let nc = format!("printf '{input}' | timeout 30 nc -N 127.0.0.1 {}", server.address().port());
        let output = Command::new("bash").args(["-c", &nc]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{service}");
    }
}

#[test]
#[ignore = "needs tshark"]
fn wireshark_understands_the_display_filters() {
    let filters: Vec<_> = include_str!("../README.md")
        .split("filter | shows |\n|---|---|\n")
        .skip(1)
        .flat_map(|table| table.lines().take_while(|line| line.starts_with('|')))
        .map(|line| line.split('`').nth(1).unwrap().replace("\\|", "|"))
        .collect();
    assert!(filters.len() > 15, "{filters:?}");
    // A capture of nothing: magic number, version, time zone, accuracy, length, Ethernet.
    let root = Root::new();
    let header = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
    root.file("nothing.pcap", header);
    let all = format!("({})", filters.join(") || ("));
    let output = Command::new("tshark").arg("-r").arg(root.at("nothing.pcap")).args(["-Y", &all]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs tshark and the right to capture on the loopback"]
fn tshark_prints_addresses_and_statuses() {
    let readme = include_str!("../README.md");
    let line = readme.lines().find(|line| line.starts_with("tshark ")).expect("the command");
    let mut command = miod();
    command.args(["-p", "0"]).current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::null());
    let server = Server::run(command);
    let port = server.address().port().to_string();
    // Line by line.
    let here = line.replace("8080", &port).replace("tshark ", "tshark -l ");
    let mut capture = Command::new("timeout")
        .args(["60", "bash", "-c", &format!("exec {here}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(capture.stdout.take().unwrap());
    let (send, lines) = mpsc::channel();
    let reader =
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(send.send(line))));
    // Nothing tells when the capture has begun, so ask until something is seen.
    let mut first = None;
    eventually(|| {
        assert_eq!(server.get("/HelloWorld.html").status, 200);
        first = lines.recv_timeout(Duration::from_millis(100)).ok();
        first.is_some()
    });
    // By way of timeout, which passes it on.
    Command::new("kill").arg(capture.id().to_string()).status().unwrap();
    capture.wait().unwrap();
    reader.join().unwrap();
    let first = first.expect("a line");
    let fields: Vec<_> = first.split('\t').collect();
    assert_eq!(fields[..3], ["127.0.0.1", &*port, "127.0.0.1"], "{first}");
    assert_eq!(fields[4], "200", "{first}");
}
