//! HTTPS in operation: sessions in a Redis behind TLS, and certificates that change under load.

mod support;

use std::net::TcpStream;
use std::process::{Command, Stdio};

use support::browser::Browser;
use support::site::{Certificate, Site, certificate};
use support::sockets::free_port;
use support::{Ended, Root, Server, eventually, miod, run_to_end};

/// A Redis with a password that speaks TLS alone, with the certificate in this directory.
fn redis(root: &Root, directory: &str, port: u16) -> Ended {
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--tls-port", &port.to_string(), "--bind", "127.0.0.1", "--tls-auth-clients", "no"]);
    for (option, file) in
        [("--tls-cert-file", "server.pem"), ("--tls-key-file", "server-key.pem"), ("--tls-ca-cert-file", "ca.pem")]
    {
        command.arg(option).arg(root.at(&format!("{directory}/{file}")));
    }
    command.args(["--requirepass", "p@ss", "--daemonize", "no", "--save", "", "--dir"]).arg(root.path());
    let redis = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    assert!(eventually(|| TcpStream::connect(("127.0.0.1", port)).is_ok()), "redis-server doesn't listen");
    redis
}

#[test]
#[ignore = "needs redis-server with TLS"]
fn a_redis_behind_tls_keeps_sessions() {
    let root = Root::new();
    let trusted = certificate(&root, "redis", &[]).authority;
    let other = certificate(&root, "other", &[]).authority;
    let port = free_port();
    let _redis = redis(&root, "redis", port);
    let store = format!("rediss://:p%40ss@localhost:{port}/2");
    let start =
        |authority: &[&str]| Server::start_with(Root::new(), &[&["--apps", "--sessions", &store], authority].concat());
    let with_trust = ["--sessions-ca", trusted.as_str()];
    let mut server = start(&with_trust);
    let mut browser = Browser::new(&server);
    for count in 1..=3 {
        assert_eq!(browser.json("/counter").text(), format!("{{\"count\":{count}}}\n"));
    }
    let cookie = browser.cookie;
    server.signal("TERM");
    assert!(server.wait().success());
    let server = start(&with_trust);
    let mut browser = Browser::new(&server);
    browser.cookie = cookie;
    assert_eq!(browser.json("/counter").text(), "{\"count\":4}\n");
    let dump = run_to_end(miod().args(["sessions", "--cacert", &trusted, "dump", &store]), b"");
    assert!(dump.code == Some(0) && dump.text().contains("{\"count\":4}"), "{dump:?}");
    // With another authority of the same name, or those of the system, nothing works.
    for (wrong, why) in [
        (&["--sessions-ca", other.as_str()][..], "isn't trusted: the trusted authority has not signed it"),
        (&[], "isn't trusted: its issuer is unknown"),
    ] {
        let server = start(wrong);
        assert_eq!((server.get("/counter").status, server.get("/").status), (503, 404));
        let expected =
            format!("the session store at rediss://localhost:{port}/2 is unavailable: the peer's certificate {why}");
        assert!(eventually(|| server.errors().contains(&expected)), "{}", server.errors());
    }
    let dump = run_to_end(miod().args(["sessions", "--cacert", &other, "dump", &store]), b"");
    assert!(dump.code == Some(1) && dump.errors.contains("has not signed it"), "{dump:?}");
    // In plain text it isn't understood.
    let plain = store.replace("rediss:", "redis:");
    let server = Server::start_with(Root::new(), &["--apps", "--sessions", &plain]);
    assert_eq!(server.get("/counter").status, 503);
}

/// wrk for the site, which ends by itself only if nobody ends it before.
fn wrk(site: &Site, arguments: &[&str]) -> Ended {
    let mut command = Command::new("wrk");
    command.args(["-t", "1", "-c", "8", "-d", "60", "--timeout", "10"]).args(arguments).arg(site.url("/"));
    Ended(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
}

/// Ends wrk: what it has counted.
fn report(mut wrk: Ended) -> String {
    support::kill("INT", wrk.0.id());
    let mut printed = String::new();
    std::io::Read::read_to_string(&mut wrk.0.stdout.take().unwrap(), &mut printed).unwrap();
    printed
}

#[test]
#[ignore = "needs wrk"]
fn no_request_fails_while_certificates_change() {
    const CHANGES: usize = 50;
    let root = Root::new();
    root.file("site/index.html", "hello");
    let pairs = ["one", "two"].map(|name| certificate(&root, name, &[]));
    // Certificate and key in one file, so that they change together.
    let use_pair = |number: usize| {
        let (certificate, key) = pairs[number % 2].pair.split_once(',').unwrap();
        let both = [certificate, key].map(|file| std::fs::read(file).unwrap()).concat();
        root.file("new.pem", both);
        std::fs::rename(root.at("new.pem"), root.at("current.pem")).unwrap();
    };
    use_pair(0);
    let current = root.at("current.pem").display().to_string();
    let server = Server::run(Site::command(&root, &["--tls", &current]));
    let site = Site { root: Root::new(), server };
    // One with a handshake for each request, one with long connections.
    let loads = [wrk(&site, &["-H", "Connection: close"]), wrk(&site, &[])];
    for change in 1..=CHANGES {
        use_pair(change);
        site.server.signal("HUP");
        let read_again = || site.server.errors().matches("the new configuration is in use").count();
        assert!(eventually(|| read_again() >= change), "change {change}: {}", site.server.errors());
        for (number, Certificate { authority, .. }) in pairs.iter().enumerate() {
            let expected = if number == change % 2 { 0 } else { 60 };
            let outcome = site.get(&["--cacert", authority], "/");
            assert_eq!(outcome.code, Some(expected), "change {change}: {outcome:?}");
        }
    }
    for load in loads.map(report) {
        let count = load.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse::<u64>().ok());
        assert!(count.is_some_and(|count| count > 10 * CHANGES as u64), "{load}");
        assert!(!load.contains("Socket errors") && !load.contains("Non-2xx"), "{load}");
    }
    assert!(!site.server.errors().contains("stay in use"), "{}", site.server.errors());
}
