//! `miod report` with the real binary: what it prints of captures, and how it ends.

mod support;

use std::path::Path;
use std::process::Command;

use miod::capture::pcapng::{self, Resolution};
use miod::capture::segments::{TcpConversation, datagram};
use miod::capture::{Both, Reader, Side, Timestamp};
use serde_json::Value;
use support::tcpdump::Tcpdump;
use support::tshark::{first_requests, tshark};
use support::{Outcome, Root, Server, eventually, miod, run_to_end};

/// 2023-11-14T22:13:20Z.
const BEGIN: i64 = 1_700_000_000_000_000_000;

/// A capture that is being written, with a packet each millisecond.
struct Capture {
    file: Vec<u8>,
    packets: i64,
}

impl Capture {
    fn new() -> Self {
        let mut file = Vec::new();
        pcapng::section(&mut file, "miod");
        pcapng::interface(&mut file, "test", Resolution::Micro);
        Self { file, packets: 0 }
    }

    fn emit(&mut self) -> impl FnMut(&[u8], &[u8]) + '_ {
        |header, payload| {
            let time = Timestamp(BEGIN + self.packets * 1_000_000);
            pcapng::packet(&mut self.file, Resolution::Micro, time, &[header, payload], None);
            self.packets += 1;
        }
    }
}

/// Two connections of HTTP, and a flow of datagrams.
fn capture() -> Vec<u8> {
    let mut capture = Capture::new();
    let conversation = |client: &str, isn: u32| {
        let isn = Both { client: isn, server: 1 };
        TcpConversation::new(client.parse().unwrap(), "192.0.2.9:80".parse().unwrap(), isn)
    };
    let mut one = conversation("192.0.2.1:50001", 1);
    one.open(&mut capture.emit());
    one.data(Side::Client, b"GET /a?b=1,2 HTTP/1.1\r\nHost: h\r\n\r\n", &mut capture.emit());
    one.data(Side::Server, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", &mut capture.emit());
    let mut two = conversation("192.0.2.2:50002", 2);
    two.open(&mut capture.emit());
    let both = "GET /b HTTP/1.1\r\nHost: h\r\n\r\nGET /c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    two.data(Side::Client, both.as_bytes(), &mut capture.emit());
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nX: \x1b[2J\r\n\r\n".repeat(2);
    two.data(Side::Server, missing.replace('\u{1b}', "\u{e4}").as_bytes(), &mut capture.emit());
    two.close(Side::Server, &mut capture.emit());
    two.close(Side::Client, &mut capture.emit());
    one.reset(Side::Client, &mut capture.emit());
    let [a, b] = ["192.0.2.1:9", "192.0.2.9:12000"].map(|end| end.parse().unwrap());
    datagram(a, b, b"ping", &mut capture.emit());
    datagram(b, a, b"PING!", &mut capture.emit());
    capture.file
}

fn report(arguments: &[&str], file: &Path) -> Outcome {
    run_to_end(miod().arg("report").args(arguments).arg(file), b"")
}

/// A root with the capture.
fn root() -> (Root, std::path::PathBuf) {
    let root = Root::new();
    root.file("capture.pcapng", capture());
    let file = root.at("capture.pcapng");
    (root, file)
}

#[test]
fn the_table_has_connections_requests_and_totals() {
    let (_root, file) = root();
    let outcome = report(&[], &file);
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    let expected = "\
stream 0: 192.0.2.1:50001 > 192.0.2.9:80, HTTP
  SYN 2023-11-14T22:13:20.000000Z, RST after 0.013000 s, closed: reset by client
      at (s)  status       bytes  first byte (s)  request
    0.003000     200          40        0.001000  GET /a?b=1,2

stream 1: 192.0.2.2:50002 > 192.0.2.9:80, HTTP
  SYN 2023-11-14T22:13:20.005000Z, FIN after 0.005000 s, closed: server
      at (s)  status       bytes  first byte (s)  request
    0.003000     404          55        0.001000  GET /b
    0.003000     404          55        0.001000  GET /c  (pipelined)  (not persistent)

flow 0: 192.0.2.1:9 > 192.0.2.9:12000, UDP
  from 2023-11-14T22:13:20.014000Z, last packet after 0.001000 s
  4 bytes to the server, 5 to the client

connections: 2, at most 2 at the same time
requests: 3, 1.5 per connection that has any
statuses: 200: 1, 404: 2
flows of datagrams: 1
";
    assert_eq!(outcome.text(), expected);
    assert_eq!(outcome.errors, "");
}

#[test]
fn rows_for_programs() {
    let (_root, file) = root();
    let csv = report(&["--csv"], &file).text();
    let expected = "\
stream,client,client_port,server,server_port,start,method,target,status,bytes,ttfb,persistent,pipelined,closed_by
0,192.0.2.1,50001,192.0.2.9,80,2023-11-14T22:13:20.003000Z,GET,\"/a?b=1,2\",200,40,0.001000,yes,no,reset by client
1,192.0.2.2,50002,192.0.2.9,80,2023-11-14T22:13:20.008000Z,GET,/b,404,55,0.001000,yes,no,server
1,192.0.2.2,50002,192.0.2.9,80,2023-11-14T22:13:20.008000Z,GET,/c,404,55,0.001000,no,yes,server
udp0,192.0.2.1,9,192.0.2.9,12000,2023-11-14T22:13:20.014000Z,UDP,,,5,,,,
";
    assert_eq!(csv, expected);
    let markdown = report(&["--md", "--status", "404"], &file).text();
    let rows: Vec<_> = markdown.lines().collect();
    assert!(rows[0].starts_with("| stream | client |") && rows[1] == format!("|{}", "---|".repeat(14)), "{markdown}");
    assert!(rows[2].starts_with("| 1 | 192.0.2.2 |") && rows[3].contains(" | /c | 404 | "), "{markdown}");
    assert_eq!(
        rows[4..],
        [
            "",
            "- connections: 1, at most 1 at the same time",
            "- requests: 2, 2.0 per connection that \
         has any",
            "- statuses: 404: 2"
        ]
    );

    let json: Value = serde_json::from_slice(&report(&["--json"], &file).out).unwrap();
    let stream = &json["streams"][1];
    for (name, value) in [
        ("stream", Value::from(1)),
        ("client", "192.0.2.2".into()),
        ("client_port", 50_002.into()),
        ("server", "192.0.2.9".into()),
        ("server_port", 80.into()),
        ("start", "2023-11-14T22:13:20.005000Z".into()),
        ("syn", "2023-11-14T22:13:20.005000Z".into()),
        ("fin", "2023-11-14T22:13:20.010000Z".into()),
        ("closed_by", "server".into()),
        ("sni", Value::Null),
        ("problems", serde_json::json!({ "retransmitted": 0, "reordered": 0, "lost": 0 })),
    ] {
        assert_eq!(stream[name], value, "{name}");
    }
    let request = &stream["requests"][1];
    for (name, value) in [
        ("method", Value::from("GET")),
        ("target", "/c".into()),
        ("status", 404.into()),
        ("bytes", 55.into()),
        ("body_bytes", 0.into()),
        ("ttfb", 0.001.into()),
        ("persistent", false.into()),
        ("pipelined", true.into()),
        ("complete", true.into()),
    ] {
        assert_eq!(request[name], value, "{name}");
    }
    let totals = &json["totals"];
    assert_eq!((&totals["connections"], &totals["requests"], &totals["parallel"]), (&2.into(), &3.into(), &2.into()));
    assert_eq!(totals["statuses"], serde_json::json!({ "200": 1, "404": 2 }));
    assert_eq!(totals["requests_per_connection"], 1.5);
}

#[test]
fn one_conversation_is_printed_without_control_characters() {
    let (_root, file) = root();
    let outcome = report(&["--stream", "1"], &file);
    let text = outcome.text();
    for line in ["    0.000000 > SYN", "    0.003000 > GET /b HTTP/1.1", "    0.004000 < X: \\xc3\\xa4[2J"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.ends_with("    0.005000 < FIN\n    0.006000 > FIN\n"), "{text}");
    let none = report(&["--stream", "7"], &file);
    assert_eq!(none.code, Some(1));
    assert!(none.errors.contains("no such stream: 7"));
}

#[test]
fn a_damaged_capture_gives_its_rows_and_then_an_error() {
    let root = Root::new();
    let whole = capture();
    root.file("cut.pcapng", &whole[..whole.len() - 3]);
    let outcome = report(&["--csv"], &root.at("cut.pcapng"));
    assert_eq!(outcome.code, Some(65));
    assert_eq!(outcome.text().lines().count(), 5);
    let error = outcome.errors;
    let offset: usize = error.trim_end().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(error.contains("cut.pcapng: the capture is cut off in the record at offset "), "{error}");
    assert_eq!(whole[offset..offset + 4], 6_u32.to_le_bytes(), "a packet begins there");
    // Standard input.
    let outcome = run_to_end(miod().args(["report", "--csv", "-"]), &whole);
    assert_eq!((outcome.code, outcome.text().lines().count()), (Some(0), 5));
    let outcome = run_to_end(miod().args(["report", "-"]), b"hello");
    assert_eq!(outcome.code, Some(65));
    assert!(outcome.errors.contains("-: the file is neither pcap nor pcapng"));
    let outcome = report(&[], &root.at("none"));
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.errors.contains("none: no such file"), "{}", outcome.errors);
}

#[test]
fn mistakes_are_usage_errors() {
    for (arguments, hint) in [
        (&[][..], "give the FILE of a capture"),
        (&["a", "b"], "give the FILE of a capture"),
        (&["--md", "--csv", "a"], "give one of --md, --csv and --json"),
        (&["--stream", "x", "a"], "give a number, from 0"),
        (&["--host", "localhost", "a"], "give an IP address"),
        (&["--port", "0", "a"], "give a port"),
        (&["--status", "6xx", "a"], "give a status like 404, or 4xx"),
        (&["--status", "+404", "a"], "give a status like 404, or 4xx"),
        (&["--status", "99", "a"], "give a status like 404, or 4xx"),
    ] {
        let outcome = run_to_end(miod().arg("report").args(arguments), b"");
        assert_eq!(outcome.code, Some(2), "{arguments:?}");
        assert!(outcome.errors.contains(hint), "{arguments:?}: {}", outcome.errors);
    }
}

// ---- beside tshark and tcpdump

/// The values of fields of the packets that a filter selects: one line for each packet.
fn fields(file: &Path, filter: &str, names: &[&str]) -> Vec<String> {
    let names = names.iter().flat_map(|name| ["-e", name]);
    let arguments: Vec<_> = ["-Y", filter, "-T", "fields"].into_iter().chain(names).collect();
    tshark(file, &arguments).lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs tshark, capinfos and tcpdump"]
fn other_programs_find_nothing_wrong_with_what_is_written() {
    for resolution in [Resolution::Micro, Resolution::Nano] {
        let root = Root::new();
        let mut file = Vec::new();
        pcapng::section(&mut file, "miod");
        pcapng::interface(&mut file, "miod", resolution);
        pcapng::names(&mut file, [([192, 0, 2, 1].into(), "client.test"), ([0; 16].into(), "any.test")]);
        let mut packets = 0;
        for ends in [["192.0.2.1:50001", "192.0.2.9:80"], ["[2001:db8::1]:50001", "[2001:db8::2]:80"]] {
            let [client, server] = ends.map(|end| end.parse().unwrap());
            // The same ports again are another stream.
            for isn in [u32::MAX - 20, 9] {
                let mut tcp = TcpConversation::new(client, server, Both { client: isn, server: isn });
                let mut emit = |header: &[u8], payload: &[u8]| {
                    let time = Timestamp(BEGIN + packets * 1_001);
                    pcapng::secrets(&mut file, &b"# no"[..1 + packets as usize % 4]);
                    let comment = format!("packet {packets} \u{e4}");
                    pcapng::packet(&mut file, resolution, time, &[header, payload], Some(&comment));
                    packets += 1;
                };
                tcp.open(&mut emit);
                tcp.data(Side::Client, b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", &mut emit);
                let body = "x".repeat(200_001);
                let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 200001\r\n\r\n{body}");
                tcp.data(Side::Server, response.as_bytes(), &mut emit);
                tcp.close(Side::Client, &mut emit);
                tcp.close(Side::Server, &mut emit);
                datagram(client, server, b"odd", &mut emit);
            }
        }
        pcapng::statistics(&mut file, resolution, Timestamp(BEGIN), 9, 1);
        root.file("written.pcapng", file);
        let file = root.at("written.pcapng");
        let wrong = "_ws.malformed || _ws.expert.severity >= 6291456 || (tcp.analysis.flags && !tcp.analysis.reused_ports) || tcp.checksum.status == 0 \
                     || ip.checksum.status == 0 || udp.checksum.status == 0";
        assert_eq!(tshark(&file, &["-Y", wrong]), "");
        let right = "tcp.checksum.status == 1 || udp.checksum.status == 1";
        assert_eq!(fields(&file, right, &["frame.number"]).len() as i64, packets);
        // Times, comments and streams.
        let found = fields(&file, "frame", &["frame.time_epoch", "frame.comment"]);
        for (at, line) in found.iter().enumerate() {
            let (step, digits) = if resolution == Resolution::Nano { (1_001, 9) } else { (1_001_i64, 6) };
            let nanos = at as i64 * step / 10_i64.pow(9 - digits) * 10_i64.pow(9 - digits);
            assert_eq!(*line, format!("1700000000.{nanos:09}\tpacket {at} \u{e4}"));
        }
        let streams = fields(&file, "tcp.flags.syn == 1 && tcp.flags.ack == 0", &["tcp.stream"]);
        assert_eq!(streams, ["0", "1", "2", "3"]);
        assert_eq!(fields(&file, "http.response", &["http.response.code"]), ["200"; 4]);
        let rows = report(&["--csv"], &file).text();
        assert_eq!(rows.lines().filter(|row| row.contains(",GET,/a,200,200044,")).count(), 4, "{rows}");
        for program in [&["tcpdump", "-nr"][..], &["capinfos"]] {
            let output = Command::new(program[0]).args(&program[1..]).arg(&file).output().unwrap();
            assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// Requests of each kind, over several connections.
fn talk(server: &Server) -> usize {
    let [_one, mut two] = first_requests(server);
    two.send("POST /lab/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    two.send("5\r\na=b&c\r\n0\r\n\r\n");
    while two.response_to("POST").status == 100 {}
    8
}

#[test]
#[ignore = "needs tshark, editcap and tcpdump, and the right to capture on the loopback"]
fn real_captures_have_the_rows_that_tshark_finds() {
    let root = Root::new();
    root.file("index.html", "start").file("large", support::pattern(300_000));
    let server = Server::start(&root, &[]);
    let port = server.address().port();
    for interface in [&["-i", "lo"][..], &["-i", "any", "-y", "LINUX_SLL2"], &["-i", "any", "-y", "LINUX_SLL"]] {
        let file = root.at("real.pcap");
        let tcpdump = Tcpdump::start(interface, port, &file);
        let count = talk(&server);
        let done = || {
            let json: Value = serde_json::from_slice(&report(&["--json"], &file).out).unwrap_or_default();
            let is_closed = |stream: &Value| !stream["closed_by"].is_null();
            json["totals"]["requests"] == count && json["streams"].as_array().unwrap().iter().all(is_closed)
        };
        assert!(eventually(done), "{}", report(&[], &file).text());
        drop(tcpdump);
        compare(&file, port);
        let rows = report(&["--csv"], &file).text();
        for format in ["nsecpcap", "pcapng", "modpcap"] {
            let converted = root.at("converted");
            let status = Command::new("editcap").args(["-F", format]).args([&file, &converted]).status().unwrap();
            assert!(status.success());
            assert_eq!(report(&["--csv"], &converted).text(), rows, "{format}");
        }
    }
}

/// Compares the report with what tshark finds.
fn compare(file: &Path, port: u16) {
    let json: Value = serde_json::from_slice(&report(&["--json"], file).out).unwrap();
    let streams = json["streams"].as_array().unwrap();
    let decode = format!("tcp.port=={port},http");
    let ask = |filter: &str, names: &[&str]| {
        let names = names.iter().flat_map(|name| ["-e", name]);
        let first = ["-d", &decode, "-Y", filter, "-E", "aggregator=,", "-T", "fields"];
        let arguments: Vec<_> = first.into_iter().chain(names).collect();
        tshark(file, &arguments)
    };
    let each = |name: &str| {
        let requests = |stream: &Value| stream["requests"].as_array().unwrap().clone();
        let all = streams.iter().flat_map(|stream| {
            let number = stream["stream"].clone();
            requests(stream).into_iter().map(move |request| (number.clone(), request))
        });
        let mut all: Vec<_> =
            all.map(|(number, request)| format!("{number} {}", request[name].to_string().trim_matches('"'))).collect();
        all.sort();
        all
    };
    for (filter, name, field) in [
        ("http.request", "method", "http.request.method"),
        ("http.request", "target", "http.request.uri"),
        ("http.response && http.response.code >= 200", "status", "http.response.code"),
    ] {
        let mut found: Vec<String> = Vec::new();
        for line in ask(filter, &["tcp.stream", field]).lines() {
            let (stream, values) = line.split_once('\t').unwrap();
            found.extend(values.split(',').filter(|value| *value != "100").map(|value| format!("{stream} {value}")));
        }
        found.sort();
        assert_eq!(each(name), found, "{field}");
    }
    let syns = ask("tcp.flags.syn == 1 && tcp.flags.ack == 0", &["tcp.stream", "ip.src", "tcp.srcport", "ip.dst"]);
    let ours: Vec<_> = streams
        .iter()
        .map(|stream| {
            let text = |name: &str| stream[name].to_string().replace('"', "");
            format!("{}\t{}\t{}\t{}", text("stream"), text("client"), text("client_port"), text("server"))
        })
        .collect();
    assert_eq!(ours, syns.lines().collect::<Vec<_>>());
    // Who sends the first FIN.
    for stream in streams {
        let filter = format!("tcp.stream == {} && tcp.flags.fin == 1", stream["stream"]);
        let first = ask(&filter, &["tcp.srcport"]).lines().next().unwrap_or_default().to_owned();
        let side = if first == port.to_string() { "server" } else { "client" };
        assert_eq!(stream["closed_by"], side);
    }
}

#[test]
#[ignore = "needs tshark and tcpdump, and the right to capture on the loopback"]
fn tshark_decrypts_with_the_secrets_that_are_written() {
    let root = Root::new();
    root.file("site/index.html", "start");
    let keys = root.at("keys");
    let mut command = miod();
    command.arg(root.at("site")).args(["-p", "0", "--tls", "auto", "--tls-keylog"]).arg(&keys);
    command.env("HOME", root.path()).env_remove("XDG_STATE_HOME");
    let server = Server::run(command);
    let port = server.banner.split("https://127.0.0.1:").nth(1).and_then(|rest| rest.split('/').next()).unwrap();
    let file = root.at("tls.pcap");
    let tcpdump = Tcpdump::start(&["-i", "lo"], port.parse().unwrap(), &file);
    let url = format!("https://localhost:{port}/secret-page");
    assert!(miod().args(["get", "-k", &url]).output().unwrap().status.success());
    let is_closed = || report(&["--csv"], &file).text().contains(",TLS,localhost,");
    assert!(
        eventually(|| is_closed() && report(&[], &file).text().contains("closed:")),
        "{}",
        report(&[], &file).text()
    );
    drop(tcpdump);
    // The same packets, behind the secrets.
    let mut written = Vec::new();
    pcapng::section(&mut written, "miod");
    pcapng::interface(&mut written, "lo", Resolution::Micro);
    pcapng::secrets(&mut written, &std::fs::read(&keys).unwrap());
    let captured = std::fs::read(&file).unwrap();
    let mut reader = Reader::new(&captured[..]).unwrap();
    while let Some(packet) = reader.next_packet().unwrap() {
        pcapng::packet(&mut written, Resolution::Micro, packet.time, &[&packet.data[14..]], None);
    }
    root.file("decrypted.pcapng", written);
    let decode = format!("tcp.port=={port},tls");
    let found = tshark(
        &root.at("decrypted.pcapng"),
        &["-d", &decode, "-Y", "http.request", "-T", "fields", "-e", "http.request.uri"],
    );
    assert_eq!(found.trim(), "/secret-page");
}
