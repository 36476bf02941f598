//! The tools of operators read the access log: GoAccess, fail2ban, jq and logrotate.

mod support;

use std::fs;
use std::process::Command;

use serde_json::Value;
use support::{Root, Server, eventually, get, get_with, miod};

/// A server whose access log has this format, and the log after requests of friends and foes.
struct Logged {
    root: Root,
    server: Server,
    requests: usize,
}

impl Logged {
    fn new(format: &str) -> Self {
        let root = Root::new();
        root.old_file("www/index.html", "index");
        let mut command = miod();
        command.arg("serve").arg(root.at("www")).args(["-p", "0", "--log-format", format, "--pid-file"]);
        command.arg(root.at("pid")).arg("--access-log").arg(root.at("log"));
        let mut logged = Self { server: Server::run(command), root, requests: 0 };
        for path in ["/", "/?a=b", "/none", "/wp-login.php", "/a%22b%0a"] {
            logged.send(get_with(path, "User-Agent: Mozilla/5.0 (X11)\r\nReferer: http://example.org/\r\n"));
        }
        // Each byte in each text, in requests that are refused, and in some that aren't.
        for byte in (1..=255).filter(|byte| !b"\r\n".contains(byte)) {
            let head = [b"GET /", &[byte][..], b" HTTP/1.1\r\nHost: x\r\nUser-Agent: a\"", &[byte], b"\\\r\nReferer: "];
            logged.send([&head.concat()[..], &[byte], b"\"\r\n\r\n"].concat());
        }
        logged.send("\x01\x03\x16\x02\r\n\r\n");
        let there = eventually(|| fs::read_to_string(logged.log()).unwrap().matches('\n').count() >= logged.requests);
        assert!(there, "{}", fs::read_to_string(logged.log()).unwrap());
        logged
    }

    fn send(&mut self, request: impl AsRef<[u8]>) {
        let mut client = self.server.connect();
        client.send(request);
        client.response();
        self.requests += 1;
    }

    fn log(&self) -> std::path::PathBuf {
        self.root.at("log")
    }
}

/// What a tool prints. It must succeed.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command:?}: {text} {}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
#[ignore = "needs goaccess"]
fn goaccess_reads_every_line() {
    for format in ["combined", "common"] {
        let logged = Logged::new(format);
        let report = logged.root.at("report.json");
        let mut goaccess = Command::new("goaccess");
        goaccess.arg(logged.log()).args(["--no-global-config", "--log-format", &format.to_uppercase(), "-o"]);
        output(goaccess.arg(&report));
        let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
        let general = &report["general"];
        assert_eq!((&general["total_requests"], &general["failed_requests"]), (&logged.requests.into(), &0.into()));
        let found = |status: &str| report.to_string().contains(&format!("{status} - "));
        assert!(found("200") && found("400") && found("404"), "{report}");
    }
}

#[test]
#[ignore = "needs fail2ban-regex"]
fn the_nginx_filters_of_fail2ban_find_who_misbehaves() {
    for format in ["combined", "common"] {
        let logged = Logged::new(format);
        let log = fs::read_to_string(logged.log()).unwrap();
        // The filter for bad requests stops at a quotation mark, so it misses one with `\"` in it.
        let refused = |line: &&str| line.contains("\" 400 ") && !line.split("\" 400 ").next().unwrap().contains("\\\"");
        for (filter, expected) in [("nginx-bad-request", log.lines().filter(refused).count()), ("nginx-botsearch", 1)] {
            let found = output(Command::new("fail2ban-regex").args(["-o", "ip"]).arg(logged.log()).arg(filter));
            assert_eq!(found.lines().filter(|line| *line == "127.0.0.1").count(), expected, "{filter}: {found}");
            assert!(expected > 0, "{filter}");
        }
    }
}

#[test]
#[ignore = "needs jq"]
fn jq_reads_every_line() {
    let logged = Logged::new("json");
    let text = output(Command::new("jq").args(["-r", "-c", "[.status, .client, .user_agent]"]).arg(logged.log()));
    assert_eq!(text.lines().count(), logged.requests, "{text}");
    let expected = r#"[200,"127.0.0.1","Mozilla/5.0 (X11)"]"#;
    assert_eq!(text.lines().next(), Some(expected));
    // The bytes of a field are those that were sent, if they are UTF-8.
    let texts = output(Command::new("jq").args(["-r", "-c", ".target // .line"]).arg(logged.log()));
    assert!(texts.contains("/a%22b%0a\n") && texts.contains("\u{1}\u{3}\u{16}\u{2}"), "{texts}");
}

#[test]
#[ignore = "needs logrotate"]
fn logrotate_takes_the_log_away() {
    let logged = Logged::new("logfmt");
    let (log, old, pid) = (logged.log(), logged.root.at("log.1"), logged.root.at("pid"));
    let script = format!("kill -USR1 \"$(cat {})\"", pid.display());
    let rules = format!("{} {{\n rotate 3\n postrotate\n {script}\n endscript\n}}\n", log.display());
    logged.root.file("rules", rules);
    let mut logrotate = Command::new("logrotate");
    output(logrotate.arg("--force").arg("--state").arg(logged.root.at("state")).arg(logged.root.at("rules")));
    assert!(eventually(|| log.exists()));
    logged.server.exchange(get("/after"));
    assert!(eventually(|| fs::read_to_string(&log).unwrap().contains(" target=/after ")));
    assert_eq!(fs::read_to_string(&old).unwrap().lines().count(), logged.requests);
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 1);
}
