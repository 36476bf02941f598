//! The start of a server: its endpoints, its banner and its errors; and the services echo
//! and upper.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Client, Ended, Root, Server, TIMEOUT, eventually, get, get_with, miod, pattern, uninterrupted};

fn site() -> Root {
    let root = Root::new();
    root.old_file("index.html", "index");
    root
}

/// Runs a command that can't start. Returns its exit code and its message of one line.
fn failure(command: &mut Command) -> (Option<i32>, String) {
    let (code, errors) = failures(command);
    assert_eq!(errors.lines().count(), 1, "{errors}");
    (code, errors)
}

/// Runs a command that can't start. Returns its exit code and its messages.
fn failures(command: &mut Command) -> (Option<i32>, String) {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Ended(child);
    let mut status = None;
    assert!(eventually(|| {
        status = child.0.try_wait().unwrap();
        status.is_some()
    }));
    let (mut output, mut errors) = (String::new(), String::new());
    child.0.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    child.0.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(output, "", "{errors}");
    assert!(errors.lines().all(|line| line.starts_with("miod: ")), "{errors}");
    (status.unwrap().code(), errors)
}

fn serve(arguments: &[&str]) -> Command {
    let mut command = miod();
    command.arg("serve").args(arguments);
    command
}

/// The addresses in a banner.
fn addresses(server: &Server) -> Vec<SocketAddr> {
    let words = server.banner.split_whitespace();
    words.filter_map(|word| word.strip_prefix("http://")?.strip_suffix('/')?.parse().ok()).collect()
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

fn ask_unix(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(get_with("/", "Connection: close\r\n").as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn a_port_in_use_names_its_owner() {
    let root = site();
    let holder = Server::start(&root, &[]);
    let port = holder.address().port().to_string();
    for command in ["serve", "echo", "upper"] {
        let (code, sentence) = failure(miod().args([command, "-p", &port, "-b", "127.0.0.1"]));
        assert_eq!(code, Some(69));
        for part in [format!("127.0.0.1:{port}"), format!("by miod (process {})", holder.pid()), "-p 0".to_owned()] {
            assert!(sentence.contains(&part), "{part}: {sentence}");
        }
    }
    assert_eq!(holder.get("/").status, 200);
}

#[test]
fn all_that_is_wrong_with_a_start_is_reported() {
    let root = site();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    root.file("quiz.json", "{");
    let at = |name: &str| root.at(name).display().to_string();
    let none = at(".none");
    let mut command = serve(&[&at("no-root"), "--users", &none, "--auth", &format!("/a={none}")]);
    command.args(["--apps=one,two,quiz", "--quiz", &at("quiz.json"), "--access-log", &at("none/log")]);
    command.args(["--session-key", &at("quiz.json"), "-b", &taken, "-b", "192.0.2.77:0"]);
    let (code, errors) = failures(&mut command);
    assert_eq!(code, Some(78), "{errors}");
    for (line, part) in errors.lines().zip([
        "can't open the access log",
        "no such directory",
        "malformed key",
        ".none",
        "the quiz",
        "unknown application \"one\"",
        "unknown application \"two\"",
        "port in use",
        "no such address",
    ]) {
        assert!(line.contains(part), "{part}: {errors}");
    }
    assert_eq!(errors.lines().count(), 9, "{errors}");
    // Nothing is created by a start that fails.
    command.args(["--data", &at(".data"), "--sessions", &format!("file:{}", at(".sessions"))]);
    assert_eq!(failures(&mut command).0, Some(78));
    assert!(!root.at(".data").exists() && !root.at(".sessions").exists());
    // Nothing but ports: the exit code is theirs.
    let sockets = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let [one, two] = sockets.each_ref().map(|socket| socket.local_addr().unwrap().to_string());
    let (code, errors) = failures(miod().args(["udp", "echo", "-b", &one, "-b", &two]));
    assert!(code == Some(69) && errors.matches("port in use").count() == 2, "{errors}");
}

#[test]
fn an_absent_root_is_an_error() {
    let root = Root::new();
    root.directory("public").file("file", "");
    let at = |name: &str| root.at(name).display().to_string();
    let (code, sentence) = failure(&mut serve(&[&at("pubilc"), "-p", "0"]));
    assert_eq!(code, Some(78));
    assert!(sentence.contains(&format!("did you mean {}?", at("public"))), "{sentence}");
    let (code, sentence) = failure(&mut serve(&[&at("elsewhere"), "-p", "0"]));
    assert_eq!(code, Some(78));
    assert!(sentence.contains("no such directory") && sentence.contains(&at("elsewhere")), "{sentence}");
    for path in [at("file") + "/x", "/dev/null".to_owned()] {
        let (code, sentence) = failure(&mut serve(&[&path, "-p", "0"]));
        assert_eq!(code, Some(78));
        assert!(sentence.contains("neither a directory nor a file"), "{sentence}");
    }
}

#[test]
fn a_root_that_is_a_file_is_served_alone() {
    let root = Root::new();
    root.old_file("a page.html", "page").old_file("index.html", "secret").old_file("404.html", "secret");
    root.old_file("d/index.html", "secret");
    let server = Server::run({
        let mut command = serve(&["-p", "0", "--listing"]);
        command.arg(root.at("a page.html"));
        command
    });
    for path in ["/", "/a%20page.html", "/?x"] {
        assert_eq!(server.get(path).text(), "page", "{path}");
    }
    for path in ["/index.html", "/404.html", "/d", "/d/", "/d/index.html", "/a%20page.html/", "/other"] {
        let response = server.get(path);
        assert!(response.status == 404 && !response.text().contains("secret"), "{path}: {}", response.text());
    }
    // A file that is renamed into its place is the next response, at both paths.
    root.old_file("new", "changed");
    fs::rename(root.at("new"), root.at("a page.html")).unwrap();
    assert_eq!([server.get("/").text(), server.get("/a%20page.html").text()], ["changed", "changed"]);
    fs::remove_file(root.at("a page.html")).unwrap();
    assert_eq!([server.get("/").status, server.get("/a%20page.html").status], [404, 404]);
}

#[test]
fn the_log_says_once_how_a_directory_is_shown() {
    let root = site();
    root.directory("first").directory("second");
    let server = Server::start(&root, &[]);
    for path in ["/", "/never/", "/first/", "/first", "/second/"] {
        server.get(path);
    }
    let hint = "/first/ has no index.html; --listing shows what is in a directory";
    assert!(eventually(|| server.errors().contains(hint)), "{}", server.errors());
    assert_eq!(server.errors().matches("--listing").count(), 1, "{}", server.errors());

    // If it is the root, the start says so.
    for (arguments, count) in [(&[][..], 1), (&["--listing"][..], 0), (&["--app", "/=counter"][..], 0)] {
        let mut server = Server::start_with(Root::new(), arguments);
        server.signal("TERM");
        server.wait();
        assert_eq!(server.errors().matches("--listing").count(), count, "{arguments:?}: {}", server.errors());
    }
}

#[test]
fn wrong_arguments_are_errors() {
    let root = site();
    let at = root.path().to_str().unwrap();
    for (arguments, code, part) in [
        (&["--no-such-option"][..], 2, "--no-such-option"),
        (&["-p", "70000"], 2, "a port from 0 to 65535"),
        (&["-b", "192.0.2.77"], 78, "no such address"),
        (&["--apps=nonsense", "-p", "0"], 78, "nonsense"),
        (&["--app", "/x=nonsense", "-p", "0"], 78, "nonsense"),
        (&["--media-type", "x=nonsense"], 2, "media type"),
        (&["--symlinks", "some"], 2, "inside or none"),
        (&["--cache-control", "a\u{7f}"], 2, "a field value"),
        (&["--spa", "../x"], 2, "relative to the root"),
        (&["-b", "unix:/none/such/directory/socket"], 78, "no such directory: /none/such/directory"),
    ] {
        let (found, sentence) = failure(serve(&[at]).args(arguments));
        assert_eq!(found, Some(code), "{arguments:?}: {sentence}");
        assert!(sentence.contains(part), "{arguments:?}: {sentence}");
    }
}

#[test]
fn the_banner_is_one_correct_line() {
    let root = site();
    let server = Server::start(&root, &[]);
    let version = env!("CARGO_PKG_VERSION");
    let start =
        format!("miod {version} serves {} on http://127.0.0.1:{}/", root.path().display(), server.address().port());
    assert!(server.banner.starts_with(&start) && server.banner.ends_with("/\n"), "{}", server.banner);
    assert_eq!(server.get("/").text(), "index");
    assert_eq!(server.output(), "");
    // The banner is printed even with --quiet.
    assert!(!Server::start(&root, &["-qq"]).banner.is_empty());
}

#[test]
fn the_default_is_loopback_in_both_families_on_one_port() {
    let root = site();
    let server = Server::start(&root, &[]);
    let places = addresses(&server);
    assert!(places.iter().all(|place| place.ip().is_loopback() && place.port() == server.address().port()));
    assert_eq!(places.len(), if has_ipv6() { 2 } else { 1 }, "{}", server.banner);
    for place in places {
        let mut client = Client::connect(place);
        client.send(get("/"));
        assert_eq!(client.response().text(), "index", "{place}");
    }
}

#[test]
fn several_endpoints_are_served() {
    let root = site();
    let socket = root.at(".socket");
    let unix = format!("unix:{}", socket.display());
    let mut arguments = vec!["-b", "127.0.0.1", "-b", "127.0.0.2", "-b", &unix, "-b", "127.0.0.1"];
    if has_ipv6() {
        arguments.extend(["-b", "[::1]"]);
    }
    let server = Server::start(&root, &arguments);
    let places = addresses(&server);
    assert_eq!(places.len(), if has_ipv6() { 3 } else { 2 }, "{}", server.banner);
    for place in places {
        assert_eq!(place.port(), server.address().port());
        let mut client = Client::connect(place);
        client.send(get("/"));
        assert_eq!(client.response().status, 200);
    }
    assert!(server.banner.contains(&unix));
    assert!(ask_unix(&socket).ends_with("index"));
    if has_ipv6() {
        let only = Server::start(&root, &["-b", "[::1]"]);
        assert!(only.address().is_ipv6() && only.get("/").status == 200);
        assert!(TcpStream::connect(("127.0.0.1", only.address().port())).is_err());
    }
}

#[test]
fn a_unix_socket_is_created_and_removed_by_the_server() {
    let root = site();
    let socket = root.at(".socket");
    let bind = format!("unix:{}", socket.display());
    // A socket of a process that has ended.
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    let mut server = Server::start(&root, &["-b", &bind, "-b", "127.0.0.1"]);
    let metadata = fs::symlink_metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
    assert!(ask_unix(&socket).starts_with("HTTP/1.1 200 OK\r\n"));
    // A socket with a listener isn't taken over.
    let (code, sentence) = failure(&mut serve(&[root.path().to_str().unwrap(), "-b", &bind]));
    assert_eq!(code, Some(69), "{sentence}");
    assert!(ask_unix(&socket).ends_with("index"));
    server.signal("TERM");
    assert!(server.wait().success());
    assert!(!socket.exists());

    fs::write(&socket, "precious").unwrap();
    let (code, _) = failure(&mut serve(&[root.path().to_str().unwrap(), "-b", &bind]));
    assert_eq!(code, Some(69));
    assert_eq!(fs::read(&socket).unwrap(), b"precious");
}

#[test]
fn environment_variables_apply_unless_an_option_is_given() {
    let root = site();
    root.directory("d");
    let mut command = miod();
    command.arg("serve").arg(root.path()).args(["--cache-control", "max-age=7"]);
    command.env("MIOD_PORT", "0").env("MIOD_LISTING", "yes").env("MIOD_BIND", "127.0.0.2,127.0.0.3");
    command.env("MIOD_CACHE_CONTROL", "max-age=1").env("MIOD_NO_SERVER_HEADER", "1").env("MIOD_APPS", "hello");
    let server = Server::run(command);
    let places: Vec<_> = addresses(&server).iter().map(|place| place.ip().to_string()).collect();
    assert_eq!(places, ["127.0.0.2", "127.0.0.3"]);
    let response = server.get("/");
    assert_eq!((response.field("Cache-Control"), response.count("Server")), (Some("max-age=7"), 0));
    assert_eq!(server.get("/d/").status, 200);
    assert_eq!((server.get("/lab/hello").status, server.get("/lab/stream").status), (200, 404));
    let (code, sentence) = failure(serve(&[root.path().to_str().unwrap()]).env("MIOD_SEND_TIMEOUT", "never"));
    assert_eq!(code, Some(2));
    assert!(sentence.contains("MIOD_SEND_TIMEOUT=never"), "{sentence}");
}

#[test]
fn applications_are_served_only_if_requested() {
    let root = site();
    let status = |arguments: &[&str]| Server::start(&root, arguments).get("/lab/hello").status;
    assert_eq!(status(&[]), 404);
    assert_eq!(status(&["--apps"]), 200);
    assert_eq!(status(&["--demo"]), 200);
    assert_eq!(status(&["--no-apps"]), 404);
    assert_eq!(status(&["--no-apps=hello"]), 404);
    assert_eq!(status(&["--apps=stream"]), 404);
    let server = Server::start(&root, &["--app", "/greet=hello", "--no-apps"]);
    assert_eq!((server.get("/greet").status, server.get("/lab/hello").status), (200, 404));
    assert_eq!(server.get("/greetings").status, 404);
}

/// Runs miod without ROOT in a directory whose `public` has the mark of the demonstration.
fn without_root(root: &Root, arguments: &[&str]) -> Server {
    let mut command = miod();
    command.args(["-p", "0"]).args(arguments).current_dir(root.path());
    Server::run(command)
}

#[test]
fn the_demonstration_answers_to_this_machine_only() {
    let root = Root::new();
    root.file("public/.demonstration", "").file("public/index.html", "pages").file("public/home/index.html", "mine");
    let status = |server: &Server, host: &str, lines: &str| {
        server.exchange(format!("GET /lab/hello HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\n\r\n"))
    };
    for (server, is_demonstration) in [
        (without_root(&root, &[]), true),
        (without_root(&root, &["--demo", "public"]), true),
        (without_root(&root, &["-b", "0.0.0.0"]), false),
        (without_root(&root, &["public"]), false),
        (without_root(&root, &["--apps=board"]), false),
    ] {
        let expected = if is_demonstration { [200, 404, 401] } else { [404, 200, 404] };
        let found = ["/lab/hello", "/home/", "/private/"].map(|path| {
            let port = server.address().port();
            let mut client = Client::connect(([127, 0, 0, 1], port).into());
            client.send(get(path));
            client.response().status
        });
        assert_eq!(found, expected, "{}", server.banner);
        if is_demonstration {
            let foreign = status(&server, "example.org", "");
            assert!(foreign.status == 421 && foreign.text().contains("--apps"), "{}", foreign.text());
            let proxied = status(&server, "localhost", "X-Forwarded-For: 192.0.2.1\r\n");
            assert!(proxied.status == 403 && proxied.text().contains("--apps"), "{}", proxied.text());
        }
    }
    let apps = without_root(&root, &["--apps=hello"]);
    assert_eq!(status(&apps, "example.org", "Via: 1.1 proxy\r\n").status, 200, "it was asked for");
    let (code, sentence) = failure(serve(&["public", "--demo", "-b", "0.0.0.0", "-p", "0"]).current_dir(root.path()));
    assert!(code == Some(78) && sentence.contains("--apps"), "{code:?} {sentence}");
}

fn lines(service: &str, arguments: &[&str]) -> Server {
    let mut command = miod();
    command.args([service, "-p", "0", "-b", "127.0.0.1"]).args(arguments);
    Server::run(command)
}

/// Sends in one thread and reads in another, so that neither waits for the other.
fn exchange(server: &Server, bytes: Vec<u8>) -> Vec<u8> {
    let mut client = server.connect();
    let mut writer = client.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let back = client.rest();
    sender.join().unwrap();
    back
}

#[test]
fn echo_sends_back_every_byte() {
    let server = lines("echo", &[]);
    assert!(server.banner.contains(" echoes on 127.0.0.1:"), "{}", server.banner);
    assert_eq!(exchange(&server, Vec::new()), b"");
    assert_eq!(exchange(&server, b"no line end".to_vec()), b"no line end");
    let much = pattern(8 << 20);
    assert!(exchange(&server, much.clone()) == much);
    // Bytes are sent back at once, not in lines, and while the connection stays open.
    let mut client = server.connect();
    for bytes in ["a", "b\n", "ex", "it?\n", "exit now\n", "\r\n"] {
        client.send(bytes);
        if bytes != "ex" {
            let expected = if bytes == "it?\n" { "exit?\n" } else { bytes };
            assert_eq!(client.take(expected.len()), expected.as_bytes());
        }
    }
}

#[test]
fn echo_ends_at_an_exit_line() {
    let server = lines("echo", &[]);
    for (sent, back) in [
        ("exit\n", ""),
        ("exit\r\n", ""),
        ("before\nexit\nbehind\n", "before\n"),
        ("not exit\nexit \nEXIT\nexit", "not exit\nexit \nEXIT\n"),
    ] {
        let mut client = server.connect();
        client.send(sent);
        if !sent.ends_with('\n') {
            client.end();
        }
        assert_eq!(client.rest(), back.as_bytes(), "{sent:?}");
    }
    // Without a line end and with the connection open, silence decides.
    let mut client = server.connect();
    client.send("e");
    assert_eq!(client.take(1), b"e");
    client.send("\nexit");
    assert_eq!(client.rest(), b"\n");
}

#[test]
fn echo_reads_no_more_than_it_can_send_back() {
    let server = lines("echo", &[]);
    let mut client = server.connect();
    // The client doesn't read, so at some point no more is accepted.
    client.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let piece = pattern(64 * 1024);
    let mut sent = Vec::new();
    while let Ok(count) = uninterrupted(|| client.stream.write(&piece)) {
        sent.extend_from_slice(&piece[..count]);
        assert!(sent.len() < 256 << 20, "it reads without a limit");
    }
    assert!(server.memory() < 64 << 20, "{}", server.memory());
    // Others are served meanwhile. Then everything arrives.
    assert_eq!(exchange(&server, b"other".to_vec()), b"other");
    client.end();
    assert!(client.rest() == sent);
}

#[test]
fn upper_sends_back_what_comes_in_upper_case() {
    let server = lines("upper", &[]);
    assert!(server.banner.contains(" answers in upper case on 127.0.0.1:"), "{}", server.banner);
    for (sent, back) in [
        (&b""[..], &b""[..]),
        (b"hello\nworld\r\n", b"HELLO\nWORLD\r\n"),
        (b"no end", b"NO END"),
        ("stra\u{df}e \u{e9}\n".as_bytes(), "STRASSE \u{c9}\n".as_bytes()),
        (b"not utf-8 \xff\n", b"NOT UTF-8 \xff\n"),
        (b"\n\n", b"\n\n"),
    ] {
        assert_eq!(exchange(&server, sent.to_vec()), back, "{sent:?}");
    }
    let long = "a line that is longer than any buffer ".repeat(100_000);
    assert!(exchange(&server, long.clone().into_bytes()) == long.to_uppercase().into_bytes());
    let many = "short\n".repeat(200_000);
    assert!(exchange(&server, many.clone().into_bytes()) == many.to_uppercase().into_bytes());
    // Everything is sent back at once, while the connection stays open.
    let mut client = server.connect();
    for line in ["one\n", "two\n", "four"] {
        client.send(line);
        assert_eq!(client.take(4), line.to_uppercase().as_bytes());
    }
}

#[test]
fn hundreds_of_clients_are_served_at_once() {
    for service in ["echo", "upper"] {
        let mut server = lines(service, &[]);
        let mut clients: Vec<Client> = (0..400).map(|_| server.connect()).collect();
        for round in 0..3 {
            for (at, client) in clients.iter_mut().enumerate() {
                client.send(format!("CLIENT {at} {round}\n"));
            }
            for (at, client) in clients.iter_mut().enumerate() {
                let expected = format!("CLIENT {at} {round}\n");
                assert_eq!(client.take(expected.len()), expected.as_bytes());
            }
        }
        // Half of them close, the others stay open until the server ends.
        for client in clients.iter_mut().step_by(2) {
            client.end();
            assert!(client.is_closed());
        }
        server.signal("TERM");
        for client in clients.iter_mut().skip(1).step_by(2) {
            assert!(client.is_closed());
        }
        drop(clients);
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn a_damaged_store_is_one_sentence() {
    let root = Root::new();
    let directory = root.path().to_str().unwrap();
    // Some damage makes the database panic.
    let header = [b"redb\x1a\x0a\xa9\x0d\x0a".as_slice(), &[7; 91]].concat();
    for content in [vec![], vec![7; 100], header, vec![0; 100], vec![0; 100_000]] {
        for name in ["kv.redb", "sessions.redb"] {
            root.file(name, &content);
        }
        let (mut kv, mut dump) = (miod(), miod());
        kv.args(["kv", "-b", "127.0.0.1", "-p", "0", "--data", directory]);
        dump.args(["sessions", "dump", &format!("file:{directory}")]);
        for command in [&mut kv, &mut dump] {
            let (code, errors) = failure(command);
            assert!(code == Some(78) && errors.contains("no store of miod, or it is damaged"), "{code:?} {errors}");
        }
    }
}

#[test]
fn a_store_that_was_cut_or_overwritten_never_panics() {
    const ID: &str = "8f14e45f-ceea-467f-9f0e-1c5b1f7bd2a1";
    let root = Root::new();
    let directory = root.path().to_str().unwrap();
    let server = lines("kv", &["--data", directory]);
    for key in 0..40 {
        let value = format!("\"{}\"", "value".repeat(40));
        let put = format!("PUT /{key} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
        assert_eq!(server.exchange(format!("{put}Content-Length: {}\r\n\r\n{value}", value.len())).status, 201);
    }
    drop(server);
    let whole = fs::read(root.at("kv.redb")).unwrap();
    let cut = [1, 100, 320, 4096, 10_000, whole.len() / 2, whole.len() - 1].map(|length| whole[..length].to_vec());
    let overwritten = (0..12).map(|page| {
        let mut damaged = whole.clone();
        damaged[page * 4096 + 20..][..200].fill(0xa5);
        damaged
    });
    let mut found = 0;
    for content in cut.into_iter().chain(overwritten) {
        for arguments in [&["sessions", "dump", directory][..], &["sessions", "end", ID, directory]] {
            root.file("sessions.redb", &content);
            let output = miod().args(arguments).stdin(Stdio::null()).output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            // The damage may hit what isn't used, and then there is no such session.
            match output.status.code() {
                Some(78) => {
                    assert!(
                        errors.starts_with("miod: can't open the store") && errors.lines().count() == 1,
                        "{errors}"
                    );
                    found += 1;
                }
                code => assert!(matches!(code, Some(0 | 1)) && errors.lines().count() <= 1, "{code:?} {errors}"),
            }
            assert!(!errors.contains("panicked"), "{errors}");
        }
    }
    assert!(found > 10, "{found}");
}

#[test]
fn pages_that_options_name_must_exist() {
    let root = site();
    root.directory("pages");
    let path = root.path().to_str().unwrap();
    for page in ["app.html", "pages"] {
        let arguments = ["-b", "127.0.0.1", "-p", "0", "--spa", page, "--error-page", &format!("404={page}"), path];
        let (code, errors) = failures(&mut serve(&arguments));
        for option in ["--spa", "--error-page"] {
            let expected = format!("{option} needs the file {page}");
            assert!(code == Some(78) && errors.contains(&expected), "{code:?} {errors}");
        }
    }
}

#[test]
fn the_pid_file_is_there_while_clients_can_connect() {
    let root = site();
    let file = root.at("run.pid");
    let arguments = ["-b", "127.0.0.1", "-p", "0", "--pid-file", "run.pid"];
    let mut command = serve(&arguments);
    command.arg(root.at("index.html")).current_dir(root.path());
    let mut server = Server::run(command);
    assert!(eventually(|| std::fs::read_to_string(&file).is_ok_and(|text| text == format!("{}\n", server.pid()))));
    // A start that fails leaves the file of the server that runs.
    let port = server.address().port().to_string();
    let mut second = serve(&["-b", "127.0.0.1", "-p", &port, "--pid-file", "run.pid"]);
    failure(second.arg(root.at("index.html")).current_dir(root.path()));
    assert!(file.exists());
    server.signal("TERM");
    assert!(server.wait().success());
    assert!(!file.exists());
}

#[test]
fn own_files_below_the_root_are_refused() {
    let root = site();
    for arguments in [
        &["--access-log", "access.log"][..],
        &["--data", "data"],
        &["--sessions", "file:sess"],
        &["--session-key", "key"],
        &["--pid-file", "pid"],
    ] {
        let mut command = serve(&["-b", "127.0.0.1", "-p", "0", "--apps", "."]);
        let (code, errors) = failure(command.args(arguments).current_dir(root.path()));
        assert!(code == Some(78) && errors.contains("is below the root"), "{code:?} {errors}");
    }
    // Names that begin with a dot aren't served.
    let arguments = ["-b", "127.0.0.1", "-p", "0", "--access-log", ".access.log", "--data", ".data", "."];
    let mut command = serve(&arguments);
    command.current_dir(root.path());
    assert_eq!(Server::run(command).get("/").status, 200);
}

#[test]
fn a_mistake_is_reported_even_if_the_port_is_in_use() {
    let root = site();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let path = root.path().to_str().unwrap();
    for (arguments, hint) in [(&["--auth", "/p=absent.htpasswd"][..], "absent.htpasswd"), (&["--apps=nope"], "nope")] {
        let mut command = serve(&["-b", "127.0.0.1", "-p", &port, path]);
        let (code, errors) = failures(command.args(arguments).current_dir(root.path()));
        assert!(code == Some(78) && errors.lines().next().unwrap().contains(hint), "{code:?} {errors}");
        assert!(errors.lines().last().unwrap().contains("port in use"), "{errors}");
    }
}
