//! The formats of the access log and of diagnostics, as the real server writes them.

mod support;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use support::site::Site;
use support::{Root, Server, await_lines, eventually, get, get_with, miod, pattern, run_to_end, whole_lines};

const CIPHER: &str = "TLS_CHACHA20_POLY1305_SHA256";

/// A server whose access log has this format.
struct Logged {
    root: Root,
    server: Server,
}

impl Logged {
    fn new(format: &str, arguments: &[&str]) -> Self {
        let root = Root::new();
        root.old_file("www/index.html", "index");
        let mut command = miod();
        command.arg("serve").arg(root.at("www")).args(["-p", "0", "--apps", "--access-log"]).arg(root.at("log"));
        command.args(["--log-format", format]).args(arguments);
        Self { server: Server::run(command), root }
    }

    /// Waits for `count` lines.
    fn lines(&self, count: usize) -> Vec<String> {
        await_lines(&self.root.at("log"), count)
    }
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn json_has_every_fact() {
    let logged = Logged::new("json", &[]);
    let mut client = logged.server.connect();
    let (own, served) = (client.stream.local_addr().unwrap(), client.stream.peer_addr().unwrap());
    let fields = "User-Agent: a \"b\"\r\nReferer: http://r/\r\nX-Request-ID: id-1\r\n";
    client.send(get_with("/?a=b", fields).replace("Host: ", "Host: A.Example:81\r\nX-Old: "));
    let response = client.response();
    let line = json(&logged.lines(1)[0]);
    for (name, expected) in [
        ("client", Value::from(own.ip().to_string())),
        ("peer_port", own.port().into()),
        ("local", served.to_string().into()),
        ("request", 1.into()),
        ("scheme", "http".into()),
        ("host", "a.example".into()),
        ("method", "GET".into()),
        ("target", "/?a=b".into()),
        ("protocol", "HTTP/1.1".into()),
        ("status", 200.into()),
        ("body_bytes", 5.into()),
        ("bytes", (response.head.len() + response.body.len()).into()),
        ("referer", "http://r/".into()),
        ("user_agent", "a \"b\"".into()),
        ("request_id", "id-1".into()),
    ] {
        assert_eq!(line[name], expected, "{name} in {line}");
    }
    let time = line["time"].as_str().unwrap();
    assert!(time.len() == "2026-11-21T07:15:00.250000Z".len() && time.ends_with('Z'), "{time}");
    for name in ["user", "tls_version", "tls_cipher", "line", "route"] {
        assert!(line.get(name).is_none(), "{name} in {line}");
    }

    // A response over several turns: its head is there before its end.
    client.send(get("/lab/stream?chunks=3&ms=50"));
    assert_eq!(client.response().status, 200);
    let line = json(&logged.lines(2)[1]);
    let seconds = |name: &str| line[name].as_f64().unwrap();
    assert!(seconds("total_time") >= 0.1, "{line}");
    assert!(seconds("total_time") - seconds("time_to_response") >= 0.09, "two pauses follow the head: {line}");
    assert_eq!((&line["target"], &line["referer"]), (&"/lab/stream?chunks=3&ms=50".into(), &Value::Null));
    assert_eq!(line["host"], json(&logged.lines(2)[1])["host"]);

    client.send("nonsense\r\n\r\n");
    assert_eq!(client.response().status, 400);
    let line = json(&logged.lines(3)[2]);
    assert_eq!((&line["line"], &line["status"], &line["host"]), (&"nonsense".into(), &400.into(), &Value::Null));
}

#[test]
fn json_and_logfmt_have_the_facts_of_a_streamed_response() {
    for format in ["json", "logfmt"] {
        let logged = Logged::new(format, &[]);
        let mut client = logged.server.connect();
        let fields = "User-Agent: agent\r\nX-Request-ID: \u{ff}\r\n";
        client.send(get_with("/lab/stream?chunks=2&ms=10", fields).replace("Host: ", "Host: A.Example\r\nX-Old: "));
        assert_eq!(client.response().status, 200);
        let line = logged.lines(1).remove(0);
        let parts = match format {
            "json" => {
                [r#""scheme":"http","host":"a.example","method":"GET""#, r#","user_agent":"agent","request_id":""#]
            }
            _ => [" scheme=http host=a.example method=GET ", " user_agent=agent request_id=\""],
        };
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        assert!(!line.contains("referer") && !line.contains("user="), "{line}");
    }
}

#[test]
fn lines_have_the_route_the_cache_and_the_times_of_the_phases() {
    let root = Root::new();
    root.old_file("site/a.txt", "a").old_file("site/rules/b", "b").old_file("site/large", pattern(8 << 20));
    let config = "bind = \"127.0.0.1:0\"\naccess-log = \"log\"\nlog-format = \"json\"\n[[host]]\nroot = \"site\"\n\
        app = [\"/lab/echo=echo\", \"/lab/stream=stream\"]\n[[host.route]]\npath = \"/rules\"\ncache-control = \"no-store\"\n\
        [[host.route]]\npath = \"/rules/\u{e4} \\\"\"\nrespond = { body = \"x\" }\n";
    root.file("miod.toml", config);
    let mut command = miod();
    command.arg("-c").arg(root.at("miod.toml"));
    let server = Server::run(command);
    let mut client = server.connect();
    for path in ["/a.txt", "/a.txt", "/none", "/rules/b", "/rules/b", "/rules/%C3%A4%20%22/x", "/%ff/../..", "/large"] {
        client.send(get(path));
        client.response();
    }
    client.send("POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n");
    // A response on another connection shows that the next piece has a turn of its own.
    client.until_read();
    assert_eq!(server.get("/none").status, 404);
    client.send("\r\na");
    client.until_read();
    assert_eq!(server.get("/none").status, 404);
    client.send("b");
    assert_eq!(client.response().status, 200);
    client.send(get("/lab/stream?chunks=3&ms=50"));
    assert_eq!(client.response().status, 200);
    let mut lines = Vec::new();
    assert!(eventually(|| {
        lines = whole_lines(&root.at("log")).iter().map(|line| json(line)).collect();
        lines.retain(|line: &Value| line["target"] != "/none" || line["connection"] == 1);
        lines.len() == 10
    }));
    let facts = |name: &str| lines.iter().map(|line| line[name].as_str().unwrap_or("-").to_owned()).collect::<Vec<_>>();
    assert_eq!(facts("cache"), ["miss", "hit", "-", "miss", "hit", "-", "-", "miss", "-", "-"]);
    assert_eq!(
        facts("route"),
        ["-", "-", "-", "/rules", "/rules", "/rules/\u{e4} \"", "-", "-", "/lab/echo", "/lab/stream"]
    );
    let seconds = |line: usize, name: &str| lines[line][name].as_f64();
    for (number, line) in lines.iter().enumerate() {
        let phases = ["time_head", "time_body", "time_answer", "time_send"].map(|name| seconds(number, name));
        let sum: f64 = phases.iter().flatten().sum();
        assert!((sum - seconds(number, "total_time").unwrap()).abs() < 1e-9, "{line}");
        assert_eq!(phases.map(|phase| phase.is_some()), [true, number == 8, true, matches!(number, 7 | 9)], "{line}");
    }
    assert!(seconds(8, "time_head") > Some(0.0) && seconds(8, "time_body") > Some(0.0), "{}", lines[8]);
    assert!(seconds(9, "time_send") >= Some(0.1), "{}", lines[9]);
}

#[test]
fn the_common_format_has_seven_fields() {
    let logged = Logged::new("common", &[]);
    logged.server.get("/");
    assert_eq!(logged.server.exchange(get_with("/", "If-None-Match: *\r\n")).status, 304);
    let lines = logged.lines(2);
    assert!(lines[0].starts_with("127.0.0.1 - - [") && lines[0].ends_with(" +0000] \"GET / HTTP/1.1\" 200 5"));
    assert!(lines[1].ends_with(" +0000] \"GET / HTTP/1.1\" 304 -"), "{}", lines[1]);
}

#[test]
fn the_format_is_checked_and_comes_from_the_environment_too() {
    let output = miod().args(["--log-format", "xml"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(message.contains("give combined, common, json or logfmt"), "{message}");
    let output = miod().env("MIOD_DIAGNOSTICS", "xml").output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("give text or json"), "{message}");

    let root = Root::new();
    let mut command = miod();
    command.arg("serve").arg(root.path()).args(["-p", "0", "--access-log", "-"]).env("MIOD_LOG_FORMAT", "logfmt");
    let server = Server::run(command);
    server.get("/");
    assert!(eventually(|| server.output().contains(" status=404 ")), "{}", server.output());
}

/// A server whose standard error is a file.
struct Quiet(Child);

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a server with its standard error in `file` until it ends after a signal. Returns what is in the file.
fn diagnostics(root: &Root, arguments: &[&str], variable: Option<String>) -> String {
    let path = root.at("stderr");
    let file = File::create(&path).unwrap();
    let variable = variable.unwrap_or_else(|| {
        let metadata = file.metadata().unwrap();
        format!("{}:{}", metadata.dev(), metadata.ino())
    });
    let mut command: Command = miod();
    command.arg("serve").arg(root.at("www")).args(["-p", "0"]).args(arguments).env("JOURNAL_STREAM", variable);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
    let child = Quiet(child);
    let text = || fs::read_to_string(&path).unwrap();
    // It handles signals when it has told what it serves.
    assert!(eventually(|| text().contains('\n')), "{}", text());
    support::kill("USR2", child.0.id());
    assert!(eventually(|| text().contains("maintenance is on")), "{}", text());
    text()
}

#[test]
fn messages_have_priorities_in_the_journal_and_times_elsewhere() {
    let root = Root::new();
    root.directory("www");
    let journal = diagnostics(&root, &[], None);
    assert!(journal.contains("<4>WARN  miod::service maintenance is on"), "{journal}");
    assert!(journal.lines().all(|line| line.starts_with('<') && line.as_bytes()[2] == b'>'), "{journal}");
    let journal = diagnostics(&root, &["--diagnostics", "json"], None);
    for line in journal.lines() {
        let object = json(line.split_once('>').unwrap().1);
        assert!(object.get("time").is_none() && object["level"].is_string(), "{line}");
    }
    // The variable of a parent whose output was the journal.
    let text = diagnostics(&root, &[], Some("1:2".to_owned()));
    assert!(text.lines().all(|line| line.starts_with("20") && line.as_bytes()[19] == b'Z'), "{text}");
    let text = diagnostics(&root, &["--diagnostics", "json"], Some(String::new()));
    let last = json(text.lines().last().unwrap());
    assert_eq!((&last["level"], &last["target"]), (&"warn".into(), &"miod::service".into()));
    assert!(last["time"].as_str().unwrap().ends_with('Z') && last["message"].as_str().unwrap().contains("is on"));
}

#[test]
#[ignore = "needs curl"]
fn with_tls_a_line_has_its_version_and_cipher() {
    let root = Root::new();
    root.old_file("site/index.html", "index");
    let log = root.at("log").display().to_string();
    let site = Site::over(root, &["--tls", "auto", "--apps", "--access-log", &log, "--log-format", "json"]);
    // The first response is complete at once, the second is sent over several turns.
    for path in ["/", "/lab/stream?chunks=2&ms=10"] {
        let got = run_to_end(Command::new("curl").args(["-sk", "--tls13-ciphers", CIPHER]).arg(site.url(path)), b"");
        assert_eq!(got.code, Some(0), "{got:?}");
    }
    for line in await_lines(Path::new(&log), 2).iter().map(|line| json(line)) {
        assert_eq!((&line["scheme"], &line["host"]), (&"https".into(), &"localhost".into()), "{line}");
        assert_eq!((&line["tls_version"], &line["tls_cipher"]), (&"TLSv1.3".into(), &CIPHER.into()), "{line}");
    }
}
