//! `--tap` with the real binary: the capture has what the access log has.

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{fs, io::Read};

use serde_json::Value;
use support::site::Site;
use support::tcpdump::Tcpdump;
use support::tshark::{first_requests, tshark};
use support::{Client, Root, Script, Server, eventually, get, get_with, miod, pattern, run_to_end, whole_lines};

/// The report of a capture.
fn report(file: &Path) -> Value {
    try_report(file).unwrap_or_else(|error| panic!("{error}"))
}

/// The report of a capture, or why there is none: one that is being written is cut.
fn try_report(file: &Path) -> Result<Value, String> {
    let output = miod().args(["report", "--json"]).arg(file).output().unwrap();
    let whole = output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap());
    whole.ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The requests of a capture.
fn captured(file: &Path) -> Vec<String> {
    requests(&report(file))
}

/// The requests of a report: port of the client, method, target, status, bytes.
fn requests(report: &Value) -> Vec<String> {
    let mut rows = Vec::new();
    for stream in report["streams"].as_array().unwrap() {
        for request in stream["requests"].as_array().unwrap() {
            let row = ["method", "target", "status", "bytes"].map(|name| request[name].to_string());
            rows.push(format!("{} {}", stream["client_port"], row.join(" ")));
        }
    }
    rows.sort();
    rows
}

/// The same of an access log in JSON.
fn logged(file: &Path) -> Vec<String> {
    let mut rows: Vec<_> = whole_lines(file)
        .iter()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            ["peer_port", "method", "target", "status", "bytes"].map(|name| line[name].to_string()).join(" ")
        })
        .collect();
    rows.sort();
    rows
}

/// The options of a server with a tap and a log below a root.
fn options(root: &Root) -> Vec<String> {
    let at = |name: &str| root.at(name).display().to_string();
    let options = ["--tap", &at("tap.pcapng"), "--access-log", &at("log"), "--log-format", "json"];
    options.map(str::to_owned).to_vec()
}

/// A server of a site, with further options.
fn serve(root: &Root, more: &[&str]) -> Server {
    root.file("site/index.html", "start").file("site/large", pattern(300_000));
    let mut command = miod();
    command.arg("serve").arg(root.at("site")).args(options(root)).args(more);
    Server::run(command)
}

/// Requests of each kind, over several connections. Their count.
fn talk(server: &Server) -> usize {
    let [mut one, mut two] = first_requests(server);
    for range in ["bytes=0-9", "bytes=5-70000", "bytes=0-1,5-9"] {
        one.send(get_with("/large", &format!("Range: {range}\r\n")));
        assert_eq!(one.response().status, 206);
    }
    two.send("POST /digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na=b&c\r\n0\r\n\r\n");
    assert_eq!(two.response_to("POST").status, 200);
    two.send(get("/stream?chunks=5&ms=1"));
    assert_eq!(two.response().field("Transfer-Encoding"), Some("chunked"));
    let mut three = server.connect();
    three.send("GET / HTTP/1.0\r\n\r\n");
    three.response();
    assert!(three.is_closed());
    let mut four = server.connect();
    four.send(get("/board/events"));
    support::browser::until(&mut four, "text/event-stream");
    14
}

/// The applications that are talked to.
const APPS: [&str; 6] = ["--app", "/digest=digest", "--app", "/stream=stream", "--app", "/board=board"];

/// Ends a server in good order.
fn end(mut server: Server) {
    server.signal("TERM");
    assert!(server.wait().success(), "{}", server.errors());
}

#[test]
fn the_capture_of_a_server_has_what_its_log_has() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let root = Root::new();
        let server = serve(&root, &[&["-b", bind], &APPS[..]].concat());
        let count = talk(&server);
        // A client that is gone before its response is whole.
        let mut hasty = server.connect();
        hasty.send(get("/large"));
        hasty.take(10);
        drop(hasty);
        assert!(eventually(|| logged(&root.at("log")).len() == count + 1));
        end(server);
        let file = root.at("tap.pcapng");
        let (captured, mut logged) = (captured(&file), logged(&root.at("log")));
        // How much of the last one has reached the client isn't known.
        assert_eq!(captured.len(), logged.len());
        logged.retain(|row| captured.contains(row));
        assert!(logged.len() >= count, "{captured:#?}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let report = report(&file);
        for stream in report["streams"].as_array().unwrap() {
            assert_eq!(stream["problems"], serde_json::json!({ "retransmitted": 0, "reordered": 0, "lost": 0 }));
        }
        let ends: Vec<_> = report["streams"].as_array().unwrap().iter().map(|stream| &stream["closed_by"]).collect();
        assert_eq!([ends[0], ends[2]], ["client", "server"]);
    }
}

#[test]
fn both_ends_have_the_same_sessions() {
    let root = Root::new();
    let server = serve(&root, &["-b", "127.0.0.1:0"]);
    let url = format!("http://{}/large", server.address());
    let tap = root.at("client.pcapng");
    let got = run_to_end(miod().args(["get", "--repeat", "3", "--tap"]).arg(&tap).arg(&url), b"");
    assert_eq!((got.code, got.out.len()), (Some(0), 900_000), "{}", got.errors);
    let connect = root.at("connect.pcapng");
    let address = server.address();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let got = run_to_end(miod().args(["connect", &host, &port, "--tap"]).arg(&connect), b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(got.code, Some(0), "{}", got.errors);
    end(server);
    let all = [captured(&tap), captured(&connect)].concat();
    let mut expected = captured(&root.at("tap.pcapng"));
    expected.sort_by_key(|row| !all[..3].contains(row));
    assert_eq!(all, expected);
    let (ours, theirs) = (report(&tap), report(&root.at("tap.pcapng")));
    for name in ["client", "client_port", "server", "server_port", "bytes_to_client", "bytes_to_server"] {
        assert_eq!(ours["streams"][0][name], theirs["streams"][0][name], "{name}");
    }
    // A port at which nobody listens.
    let refused = run_to_end(miod().args(["get", "--tap"]).arg(&tap).arg(&url), b"");
    assert_eq!(refused.code, Some(7));
    assert_eq!(report(&tap)["streams"][0]["closed_by"], "reset by server");
}

#[test]
fn datagrams_are_flows() {
    let root = Root::new();
    let mut command = miod();
    command.args(["udp", "upper", "-b", "127.0.0.1", "-p", "0", "--tap"]).arg(root.at("service.pcapng"));
    let service = Server::run(command);
    let mut ping = miod();
    ping.args(["ping", "-c", "20", "-i", "0.001", "--tap"]).arg(root.at("ping.pcapng"));
    let outcome = run_to_end(ping.arg(service.address().to_string()), b"");
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    end(service);
    let flows = ["service.pcapng", "ping.pcapng"].map(|name| {
        let report = report(&root.at(name));
        let flow = &report["streams"][0];
        ["client", "client_port", "server", "server_port", "bytes_to_client", "bytes_to_server"]
            .map(|name| flow[name].to_string())
    });
    assert_eq!(flows[0], flows[1]);
    assert_ne!(flows[0][4], "0");
}

#[test]
fn a_unix_socket_is_an_address_with_a_name() {
    let root = Root::new();
    let path = root.at("socket");
    let server = serve(&root, &["-b", "127.0.0.1:0", "-b", &format!("unix:{}", path.display())]);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    end(server);
    let report = report(&root.at("tap.pcapng"));
    let stream = &report["streams"][0];
    assert_eq!((&stream["server"], &stream["requests"][0]["status"]), (&"127.1.0.1".into(), &200.into()));
    let bytes = fs::read(root.at("tap.pcapng")).unwrap();
    let name = format!("unix:{}\0", path.display());
    assert!(bytes.windows(name.len()).any(|window| window == name.as_bytes()));
}

#[test]
fn files_are_rotated_in_a_sandbox_and_as_another_user() {
    let root = Root::new();
    fs::create_dir(root.at("taps")).unwrap();
    let file = root.at("taps/tap");
    let tap = file.display().to_string();
    let mut more = vec!["-b", "127.0.0.1:0", "--tap", &tap, "--tap-size", "256K", "--tap-files", "3"];
    more.extend(["--sandbox", "auto"]);
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
        fs::set_permissions(root.at("taps"), fs::Permissions::from_mode(0o777)).unwrap();
        more.extend(["--user", "nobody"]);
    }
    let server = serve(&root, &more);
    let mut client = server.connect();
    for _ in 0..5 {
        client.send(get("/large"));
        client.response();
    }
    end(server);
    for name in ["taps/tap", "taps/tap.1", "taps/tap.2"] {
        assert!(fs::metadata(root.at(name)).unwrap().len() <= 256 * 1024);
        assert_eq!(report(&root.at(name))["streams"].as_array().unwrap().len(), 1, "{name}");
    }
    assert!(!root.at("taps/tap.3").exists());
}

#[test]
fn a_ring_is_written_at_a_signal_an_error_and_the_end() {
    let root = Root::new();
    let server = serve(&root, &["-b", "127.0.0.1:0", "--tap-ring", "1M", "--tap-files", "5"]);
    let count = |name: &str| try_report(&root.at(name)).ok().map(|report| requests(&report).len());
    assert_eq!(server.get("/").status, 200);
    assert_eq!(count("tap.pcapng"), Some(0));
    server.signal("WINCH");
    assert!(eventually(|| count("tap.pcapng") == Some(1)));
    server.signal("USR2");
    assert!(eventually(|| server.get("/").status == 503));
    assert!(eventually(|| count("tap.pcapng.1") == Some(1)));
    server.get("/");
    end(server);
    // The second 503 came within 10 s.
    assert!(count("tap.pcapng") > count("tap.pcapng.1") && count("tap.pcapng.2") == Some(1));
    assert_eq!(count("tap.pcapng.3"), None);
}

#[test]
fn the_requests_to_an_upstream_say_for_whom_they_are() {
    let upstream = Script::answering(|_| "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab");
    let root = Root::new();
    let proxy = format!("/p={}", upstream.url("/"));
    let server = serve(&root, &["-b", "127.0.0.1:0", "--proxy", &proxy]);
    let mut client = server.connect();
    for _ in 0..2 {
        client.send(get("/p/a"));
        assert_eq!(client.response().body, b"ab");
    }
    end(server);
    let file = root.at("tap.pcapng");
    let streams = report(&file)["streams"].as_array().unwrap().clone();
    assert_eq!(streams.iter().map(|stream| stream["requests"].as_array().unwrap().len()).sum::<usize>(), 4);
    let bytes = fs::read(&file).unwrap();
    for text in
        ["connection 2, request 1: for connection 1, request 1", "request 1: status 200, answer 0.", "upstream http"]
    {
        assert!(bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let root = Root::new();
    root.file("site/index.html", "start");
    fs::create_dir(root.at("directory")).unwrap();
    let (site, file, directory) = (root.at("site"), root.at("tap"), root.at("directory"));
    let inside = root.at("site/tap");
    let [site, file, directory, inside] = [&site, &file, &directory, &inside].map(|path| path.to_str().unwrap());
    for (arguments, code, hint) in [
        (&["serve", site, "--tap-plain"][..], 2, "--tap-plain needs --tap FILE"),
        (&["serve", site, "--tap", file, "--tap-files", "2"], 2, "--tap-files needs --tap-size or --tap-ring"),
        (&["serve", site, "--tap", file, "--tap-ring", "1M", "--tap-size", "1M"], 2, "can't be combined"),
        (&["serve", site, "--tap", file, "--tap-size", "1K"], 2, "give at least 256K"),
        (&["serve", site, "-b", "0.0.0.0", "-p0", "--tap", file], 78, "--tap-public"),
        (&["serve", site, "-p0", "--tls", "auto", "--tap", file], 78, "--tap-secrets"),
        (&["serve", site, "-p0", "--tls", "auto", "--tap", file, "--tap-plain"], 78, "--tap-secrets"),
        (&["serve", site, "-p0", "--tap", inside], 78, "so every client could request it"),
        (&["serve", site, "-p0", "--tap", directory], 78, "it isn't a regular file"),
        (&["udp", "echo", "-b", "0.0.0.0", "-p0", "--tap", file], 78, "--tap-public"),
        (&["get", "https://localhost:1/", "--tap", file], 78, "--tap-secrets"),
        (&["get", "http://localhost:1/", "--tap", directory], 23, "it isn't a regular file"),
        (&["ping", "localhost", "--tap-ring", "1M"], 2, "--tap-ring needs --tap FILE"),
        (&["ping", "localhost", "--tap-public"], 2, "unknown option"),
    ] {
        let outcome = run_to_end(miod().args(arguments).env("XDG_STATE_HOME", root.at("state")), b"");
        assert_eq!(outcome.code, Some(code), "{arguments:?}: {}", outcome.errors);
        assert!(outcome.errors.contains(hint), "{arguments:?}: {}", outcome.errors);
    }
    assert!(!root.at("tap").exists());
}

// ---- beside tshark and tcpdump

/// Checks that tshark finds nothing wrong, and as many requests and responses.
fn inspect(file: &Path, decode: &str, requests: usize, statuses: &[(u16, usize)]) {
    let wrong = "_ws.malformed || tcp.checksum.status == \"Bad\" || ip.checksum.status == \"Bad\" || \
                 udp.checksum.status == \"Bad\" || tcp.analysis.flags";
    assert_eq!(tshark(file, &["-d", decode, "-Y", wrong]), "");
    let found = |filter: &str, field: &str| {
        let arguments = ["-d", decode, "-Y", filter, "-E", "aggregator=\n", "-T", "fields", "-e", field];
        tshark(file, &arguments).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(found("http.request", "http.request.method").len(), requests);
    let responses = found("http.response", "http.response.code");
    for (status, count) in statuses {
        assert_eq!(responses.iter().filter(|code| **code == status.to_string()).count(), *count, "{responses:?}");
    }
}

#[test]
#[ignore = "needs tshark"]
fn tshark_finds_nothing_wrong_and_all_requests() {
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let root = Root::new();
        let server = serve(&root, &[&["-b", bind], &APPS[..]].concat());
        let port = server.address().port();
        let count = talk(&server);
        end(server);
        let file = root.at("tap.pcapng");
        inspect(&file, &format!("tcp.port=={port},http"), count, &[(200, 9), (206, 3), (404, 2)]);
        let comments = tshark(&file, &["-T", "fields", "-e", "frame.comment"]);
        let connections = ["connection 1, request 1: host", "connection 2, request 1: status 200"];
        for part in connections.iter().chain(&["route /digest", "closed: by its head the request was the last one"]) {
            assert!(comments.contains(part), "{part}: {comments}");
        }
        let requests = tshark(&file, &["-Y", "frame.comment contains \"host\""]);
        assert!(requests.lines().count() >= count - 2, "pipelined ones share a packet");
    }
}

#[test]
#[ignore = "needs tshark"]
fn tshark_decrypts_with_the_secrets_inside_and_reads_the_plain_text() {
    for version in ["1.2", "1.3"] {
        for (plain, ring) in [(false, false), (true, false), (false, true)] {
            let root = Root::new();
            root.file("site/index.html", "hello").file("site/large", pattern(3_000_000));
            let mut arguments = options(&root);
            arguments.extend(["--tls", "auto", "--tap-secrets"].map(str::to_owned));
            arguments.extend(plain.then(|| "--tap-plain".to_owned()));
            if ring {
                arguments.extend(["--tap-ring", "16M"].map(str::to_owned));
            }
            let site = Site::over(root, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
            let mut curl = Command::new("curl");
            curl.args(["-sk", "--no-sessionid", "--tlsv1.2", "--tls-max", version]);
            for path in ["/", "/large", "/none", "/large"] {
                curl.args(["-o", "/dev/null"]).arg(site.url(path));
            }
            assert!(curl.status().unwrap().success());
            let client = site.root.at("client.pcapng");
            let more = ["--tap", client.to_str().unwrap(), "--tap-secrets", "-k"];
            assert_eq!(site.get(&more, "/").code, Some(0));
            let port = site.port();
            let Site { root, server } = site;
            end(server);
            let protocol = if plain { "http" } else { "tls" };
            let decode = format!("tcp.port=={port},{protocol}");
            inspect(&root.at("tap.pcapng"), &decode, 5, &[(200, 4), (404, 1)]);
            inspect(&client, &format!("tcp.port=={port},tls"), 1, &[(200, 1)]);
            let secrets = tshark(&root.at("tap.pcapng"), &["-d", &decode, "-Y", "tls"]);
            assert_eq!(secrets.is_empty(), plain);
        }
    }
}

#[test]
#[ignore = "needs tshark"]
fn tshark_sees_resets_and_datagrams() {
    let root = Root::new();
    let server = serve(&root, &["-b", "127.0.0.1:0"]);
    let port = server.address().port();
    let mut hasty = server.connect();
    hasty.send(get("/"));
    hasty.response();
    // The close is a reset then.
    socket2::SockRef::from(&hasty.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(hasty);
    assert_eq!(server.get("/").status, 200);
    end(server);
    let file = root.at("tap.pcapng");
    let decode = format!("tcp.port=={port},http");
    let resets = tshark(&file, &["-d", &decode, "-Y", "tcp.flags.reset == 1", "-T", "fields", "-e", "tcp.dstport"]);
    assert_eq!(resets.trim(), port.to_string());
    inspect(&file, &decode, 2, &[(200, 2)]);
    let mut command = miod();
    command.args(["udp", "upper", "-b", "127.0.0.1", "-p", "0", "--tap"]).arg(&file);
    let service = Server::run(command);
    let address = service.address();
    let outcome = run_to_end(miod().args(["ping", "-c", "20", "-i", "0.001"]).arg(address.to_string()), b"");
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    end(service);
    // What tshark takes the content for depends on ports that mean nothing here.
    let wrong = "ip.checksum.status == \"Bad\" || udp.checksum.status == \"Bad\"";
    assert_eq!(tshark(&file, &["-Y", wrong]), "");
    let ports = tshark(&file, &["-Y", "udp", "-T", "fields", "-e", "udp.dstport"]);
    let to_service = ports.lines().filter(|to| **to == address.port().to_string()).count();
    assert_eq!((to_service, ports.lines().count()), (20, 40));
}

#[test]
#[ignore = "needs tcpdump, and the right to capture on the loopback"]
fn tcpdump_sees_the_same_sessions() {
    let root = Root::new();
    let server = serve(&root, &[&["-b", "127.0.0.1:0"], &APPS[..]].concat());
    let real = root.at("real.pcap");
    let tcpdump = Tcpdump::start(&["-i", "lo"], server.address().port(), &real);
    talk(&server);
    end(server);
    let tap = root.at("tap.pcapng");
    let sessions = |report: &Value| {
        let names = ["client", "client_port", "server", "server_port", "closed_by", "bytes_to_client"];
        // While events are sent, the server doesn't read, and learns of the end of the last one late.
        let streams = report["streams"].as_array().unwrap().iter().take(3);
        let ends: Vec<_> = streams.map(|stream| names.map(|name| stream[name].to_string())).collect();
        (ends, requests(report))
    };
    let expected = sessions(&report(&tap));
    assert_eq!(expected.0.len(), 3);
    // tcpdump is a little behind.
    let seen = || try_report(&real).map(|report| sessions(&report));
    assert!(eventually(|| seen().as_ref() == Ok(&expected)), "{expected:#?} {:#?}", seen());
    drop(tcpdump);
}

#[test]
#[ignore = "takes long"]
fn a_capture_of_many_packets_has_what_the_log_has() {
    const REQUESTS: usize = 50_000;
    let root = Root::new();
    let server = serve(&root, &["-b", "127.0.0.1:0"]);
    let threads: Vec<_> = (0..10)
        .map(|_| {
            let mut client = Client::over(TcpStream::connect(server.address()).unwrap());
            std::thread::spawn(move || {
                for number in 0..REQUESTS / 10 {
                    client.send(get(if number % 7 == 0 { "/none" } else { "/" }));
                    client.response();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    end(server);
    let (captured, logged) = (captured(&root.at("tap.pcapng")), logged(&root.at("log")));
    assert_eq!(captured.len(), REQUESTS);
    assert!(captured == logged);
}
