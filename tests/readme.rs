//! The README and the manual are correct: their commands are run, and the text after
//! `#` is in the output. A command may continue on the next line after a backslash.

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use support::sockets::free_port;
use support::{Ended, Root, Server, eventually, miod};

/// A file of the repository.
fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The names of the chapters, without `.md`.
fn chapters() -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual");
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".md").map(str::to_owned)).filter(|name| name != "links").collect()
}

/// The README and the chapters: name and text.
fn documents() -> Vec<(String, String)> {
    let chapters = chapters().into_iter().map(|name| format!("src/manual/{name}.md"));
    std::iter::once("README.md".to_owned()).chain(chapters).map(|name| (name.clone(), read(&name))).collect()
}

/// `text` with the lines joined that end with a backslash.
fn joined(text: &str) -> String {
    text.split("\\\n").enumerate().map(|(at, part)| if at == 0 { part } else { part.trim_start() }).collect()
}

/// The commands in the blocks of `text` below `mark`, each with the text that it must print.
fn commands(text: &str, mark: &str) -> Vec<(String, String)> {
    let text = joined(text);
    let mut lines = text.lines().map(str::trim_start);
    let mut commands = Vec::new();
    while lines.by_ref().any(|line| line == mark) {
        assert_eq!(lines.next(), Some("```sh"), "a block follows {mark}");
        commands.extend(lines.by_ref().take_while(|line| *line != "```").map(|line| {
            let (command, expected) = line.rsplit_once('#').unwrap_or_else(|| panic!("no expected text: {line}"));
            (command.trim().to_owned(), expected.trim().to_owned())
        }));
    }
    commands
}

/// The search path, with the directory of the tested binary first.
fn path() -> std::ffi::OsString {
    let own = Path::new(env!("CARGO_BIN_EXE_miod")).parent().unwrap().to_owned();
    let others = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&others))).unwrap()
}

/// Runs `command` in `place`, which is its home directory too, and gives back what it printed.
fn output_of(command: &str, place: &Root) -> String {
    let output = Command::new("timeout")
        .args(["30", "bash", "-c", command])
        .env("PATH", path())
        .env("HOME", place.path())
        .current_dir(place.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The entries of a directory.
fn entries(directory: &Path) -> BTreeSet<PathBuf> {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_landing_page_has_at_most_180_lines() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 180, "{lines} lines");
}

#[test]
fn no_line_is_longer_than_120_characters() {
    for (name, text) in documents() {
        let long: Vec<_> = text.lines().filter(|line| line.chars().count() > 120).collect();
        assert!(long.is_empty(), "{name}: {long:#?}");
    }
}

#[test]
fn every_chapter_is_linked_from_the_landing_page_and_from_every_chapter() {
    let (readme, module, links) = (read("README.md"), read("src/manual.rs"), read("src/manual/links.md"));
    assert_eq!(chapters().len(), 15);
    for chapter in chapters() {
        assert!(readme.contains(&format!("](src/manual/{chapter}.md)")), "README.md has no link to {chapter}");
        assert!(module.contains(&format!("include_str!(\"manual/{chapter}.md\")")), "src/manual.rs lacks {chapter}");
        assert!(links.contains(&format!("[{chapter}]: crate::manual::{chapter}\n")), "links.md lacks {chapter}");
        for (name, text) in documents().into_iter().skip(1) {
            assert!(text.contains(&format!("\n[{chapter}]: {chapter}.md\n")), "{name} has no link to {chapter}");
        }
    }
}

#[test]
fn the_options_chapter_lists_the_options_that_help_lists() {
    let options = |text: &str| -> BTreeSet<String> {
        let name = |rest: &str| rest.split(|c: char| c != '-' && !c.is_ascii_lowercase()).next().unwrap().to_owned();
        text.split("--").skip(1).map(name).filter(|name| !name.is_empty()).collect()
    };
    let output = miod().arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let definitions = help.lines().filter(|line| line.trim_start().starts_with('-')).collect::<Vec<_>>().join("\n");
    let chapter = read("src/manual/options.md");
    let rows = chapter.lines().filter(|line| line.starts_with("| `-")).collect::<Vec<_>>().join("\n");
    let mut documented = options(&rows);
    // One row has both as `-v`, `-q`.
    documented.extend(["verbose".to_owned(), "quiet".to_owned()]);
    let listed = options(&definitions);
    assert!(listed.len() > 30, "{listed:?}");
    let missing: Vec<_> = listed.difference(&documented).collect();
    assert!(missing.is_empty(), "src/manual/options.md lacks {missing:?}");
    let known = options(&help);
    let unknown: Vec<_> = documented.difference(&known).collect();
    assert!(unknown.is_empty(), "miod --help lacks {unknown:?}");
}

#[test]
#[ignore = "needs curl, nc and wrk"]
fn the_commands_print_the_expected_text_and_leave_no_file() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let before = entries(repository);
    let home = Root::new();
    let mut command = miod();
    command.args(["-p", "0"]).current_dir(repository).stderr(Stdio::null());
    command.env("HOME", home.path()).env_remove("XDG_STATE_HOME");
    let server = Server::run(command);
    let address = server.address().to_string();
    let mut count = 0;
    for (name, text) in documents() {
        let place = Root::new();
        for (command, expected) in commands(&text, "<!-- run -->") {
            let here =
                command.replace("127.0.0.1:8080", &address).replace("127.0.0.1 8080", &address.replace(':', " "));
            let printed = output_of(&here, &place);
            assert!(printed.contains(&expected), "{name}: {command} doesn't print {expected:?} but\n{printed}");
            count += 1;
        }
        assert_eq!(entries(place.path()), BTreeSet::new(), "the commands of {name} leave files");
    }
    assert!(count > 40, "{count} commands");
    assert_eq!(entries(home.path()), BTreeSet::new(), "the server leaves files");
    assert_eq!(entries(repository), before);
}

#[test]
#[ignore = "needs curl"]
fn the_commands_of_the_key_value_service_print_the_expected_text() {
    let place = Root::new();
    let mut command = miod();
    command.args(["kv", "-b", "127.0.0.1", "-p", "0"]).current_dir(place.path());
    let server = Server::run(command);
    let commands = commands(&read("src/manual/kv.md"), "<!-- run kv -->");
    assert!(commands.len() > 8);
    for (command, expected) in commands {
        let printed = output_of(&command.replace("127.0.0.1:5100", &server.address().to_string()), &place);
        assert!(printed.contains(&expected), "{command} doesn't print {expected:?} but\n{printed}");
    }
    assert_eq!(entries(place.path()), BTreeSet::new());
}

#[test]
#[ignore = "needs curl"]
fn the_commands_of_the_forward_proxy_print_the_expected_text() {
    let (place, home) = (Root::new(), Root::new());
    let mut command = miod();
    command.args(["-p", "0", "--apps", "--cache-control", "/files/**: max-age=60"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("HOME", home.path()).env_remove("XDG_STATE_HOME");
    let origin = Server::run(command);
    let mut command = miod();
    command.args(["proxy", "-p", "0"]).current_dir(place.path());
    let proxy = Server::run(command);
    let commands = commands(&read("src/manual/proxies.md"), "<!-- run proxies -->");
    assert!(commands.len() > 12);
    let to_here = |text: &str| {
        let text = text.replace("127.0.0.1:8080", &origin.address().to_string());
        text.replace("127.0.0.1:8888", &proxy.address().to_string())
    };
    for (command, expected) in commands {
        let printed = output_of(&to_here(&command), &place);
        let expected = to_here(&expected);
        assert!(printed.contains(&expected), "{command} doesn't print {expected:?} but\n{printed}");
    }
    assert_eq!(entries(place.path()), BTreeSet::new());
}

/// aiosmtpd at a port that is free, with these arguments.
fn mail_server(arguments: &[&str]) -> (Ended, u16) {
    // It takes no port of the system's choice.
    let port = free_port();
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-m", "aiosmtpd", "-n", "-l", &format!("127.0.0.1:{port}")]).args(arguments);
    let server = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    assert!(eventually(|| TcpStream::connect(("127.0.0.1", port)).is_ok()), "it listens");
    (server, port)
}

#[test]
fn the_commands_about_mail_print_the_expected_text() {
    let mut mailbox = miod();
    mailbox.args(["mailbox", "-b", "127.0.0.1", "-p", "0"]);
    let server = Server::run(mailbox);
    let port = server.banner.split(' ').find_map(|word| word.strip_prefix("smtp://127.0.0.1:")).unwrap();
    let port = port.trim_end_matches(',');
    let place = Root::new();
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("public/files/photo.jpg"), place.at("photo.jpg")).unwrap();
    let commands = commands(&read("src/manual/mail.md"), "<!-- run mail -->");
    assert_eq!(commands.len(), 5);
    for (command, expected) in commands {
        let printed = output_of(&command.replace("localhost:2525", &format!("localhost:{port}")), &place);
        assert!(printed.contains(&expected), "{command} doesn't print {expected:?} but\n{printed}");
    }
}

#[test]
#[ignore = "needs tshark, the right to capture on the loopback, and Debian's python3 with python3-aiosmtpd"]
fn tshark_decrypts_a_message_with_the_secrets_of_the_client() {
    let place = Root::new();
    let certificate = support::site::certificate(&place, "tls", &["localhost"]);
    let (chain, key) = certificate.pair.split_once(',').unwrap();
    let (_server, port) = mail_server(&["--tlscert", chain, "--tlskey", key]);
    let mut capture = Command::new("timeout")
        .args(["60", "tshark", "-q", "-i", "lo", "-f", &format!("tcp port {port}"), "-w"])
        .arg(place.at("capture.pcap"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let chapter = joined(&read("src/manual/mail.md"));
    let line = chapter.lines().find(|line| line.starts_with("tshark ")).expect("the command");
    let line = line.replace("2525", &port.to_string());
    // As for HTTPS: tshark doesn't report when the capture has begun.
    let found = eventually(|| {
        let server = format!("localhost:{port}");
        let mut mail = miod();
        mail.args(["mail", "--server", &server, "--cacert", &certificate.authority, "--tls-keylog"]);
        mail.arg(place.at("keys")).args(["--body", "hello", "-f", "ada@example.org", "bob@example.org"]);
        assert!(mail.status().unwrap().success());
        place.at("capture.pcap").exists()
            && output_of(&format!("{line} 2>/dev/null || true"), &place).contains("FROM:<ada@example.org>")
    });
    Command::new("kill").arg(capture.id().to_string()).status().unwrap();
    capture.wait().unwrap();
    assert!(found);
}

/// A server of the repository's pages for HTTPS too, with `home` for its state.
fn secure_server(home: &Root, arguments: &[&str]) -> Server {
    let mut command = miod();
    command.args(["-p", "0", "--tls", "auto"]).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("HOME", home.path()).env_remove("XDG_STATE_HOME").stderr(Stdio::null());
    Server::run(command)
}

/// The port for HTTPS of a server.
fn secure_port(server: &Server) -> &str {
    let port = server.banner.split("https://127.0.0.1:").nth(1).expect("an https URL");
    port.split('/').next().unwrap()
}

#[test]
#[ignore = "needs curl and openssl"]
fn the_commands_about_https_print_the_expected_text() {
    let home = Root::new();
    let server = secure_server(&home, &[]);
    let place = Root::new();
    std::fs::copy(home.at(".local/state/miod/tls/ca.pem"), place.at("ca.pem")).unwrap();
    let chapters = ["src/manual/https.md", "src/manual/laboratory.md"].map(read);
    let commands = chapters.iter().flat_map(|text| commands(text, "<!-- run https -->")).collect::<Vec<_>>();
    assert!(commands.len() > 11);
    for (command, expected) in commands {
        let here = command.replace("localhost:8443", &format!("localhost:{}", secure_port(&server)));
        let here = here.replace("localhost:8080", &format!("localhost:{}", server.address().port()));
        let printed = output_of(&here, &place);
        assert!(printed.contains(&expected), "{command} doesn't print {expected:?} but\n{printed}");
    }
}

#[test]
#[ignore = "needs nc"]
fn the_line_services_print_the_expected_text() {
    let chapter = read("src/manual/laboratory.md");
    for (service, port) in [("echo", 5555), ("upper", 12000)] {
        let line =
            chapter.lines().find(|line| line.starts_with("printf") && line.contains(&format!("127.0.0.1 {port}")));
        let (command, expected) = line.expect("the command").rsplit_once('#').unwrap();
        let mut start = miod();
        start.args([service, "-p", "0"]);
        let server = Server::run(start);
        let here = command.replace(&port.to_string(), &server.address().port().to_string());
        assert_eq!(output_of(&here, &Root::new()).trim(), expected.trim(), "{service}");
    }
}

#[test]
#[ignore = "needs tshark"]
fn wireshark_accepts_the_display_filters() {
    let filters: Vec<_> = documents()
        .iter()
        .flat_map(|(_, text)| text.split("filter | shows |\n|---|---|\n").skip(1))
        .flat_map(|table| table.lines().take_while(|line| line.starts_with('|')))
        .map(|line| line.split('`').nth(1).unwrap().replace("\\|", "|"))
        .collect();
    assert!(filters.len() > 15, "{filters:?}");
    // A capture without packets: magic number, version, time zone, accuracy, length, Ethernet.
    let root = Root::new();
    let header = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1].map(u32::to_le_bytes).concat();
    root.file("nothing.pcap", header);
    let all = format!("({})", filters.join(") || ("));
    let output = Command::new("tshark").arg("-r").arg(root.at("nothing.pcap")).args(["-Y", &all]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs tshark and the right to capture on the loopback"]
fn tshark_prints_addresses_and_status_codes() {
    let tour = joined(&read("src/manual/tour.md"));
    let line = tour.lines().find(|line| line.starts_with("tshark ")).expect("the command");
    let mut command = miod();
    command.args(["-p", "0"]).current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::null());
    let server = Server::run(command);
    let port = server.address().port().to_string();
    // -l: flush after each line.
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
    // tshark doesn't report when the capture has begun, so send requests until it prints one.
    let mut first = None;
    eventually(|| {
        assert_eq!(server.get("/HelloWorld.html").status, 200);
        first = lines.recv_timeout(Duration::from_millis(100)).ok();
        first.is_some()
    });
    // timeout passes the signal on to tshark.
    Command::new("kill").arg(capture.id().to_string()).status().unwrap();
    capture.wait().unwrap();
    reader.join().unwrap();
    let first = first.expect("a line");
    let fields: Vec<_> = first.split('\t').collect();
    assert_eq!(fields[..3], ["127.0.0.1", &*port, "127.0.0.1"], "{first}");
    assert_eq!(fields[4], "200", "{first}");
}

#[test]
#[ignore = "needs tshark and the right to capture on the loopback"]
fn tshark_decrypts_a_capture_with_the_secrets_of_the_server() {
    let home = Root::new();
    let secrets = home.at("keys").display().to_string();
    let server = secure_server(&home, &["--tls-keylog", &secrets]);
    let port = secure_port(&server);
    let url = format!("https://localhost:{port}/HelloWorld.html");
    let mut capture = Command::new("timeout")
        .args(["60", "tshark", "-q", "-i", "lo", "-f", &format!("tcp port {port}"), "-w"])
        .arg(home.at("capture.pcap"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let chapter = joined(&read("src/manual/https.md"));
    let line = chapter.lines().find(|line| line.starts_with("tshark ")).expect("the command").replace("8443", port);
    // tshark doesn't report when the capture has begun, so send requests until one is in it. A capture
    // that is still being written ends in the middle of a packet.
    let found = eventually(|| {
        assert_eq!(
            miod().args(["get", "-k", &url]).output().unwrap().stdout,
            read("public/HelloWorld.html").as_bytes()
        );
        home.at("capture.pcap").exists()
            && output_of(&format!("{line} 2>/dev/null || true"), &home).contains("/HelloWorld.html")
    });
    Command::new("kill").arg(capture.id().to_string()).status().unwrap();
    capture.wait().unwrap();
    assert!(found);
}
