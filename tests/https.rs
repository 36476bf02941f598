//! HTTPS on real sockets, between the server and `miod get`.

mod support;

use std::path::Path;

use support::site::{Site, certificate};
use support::{Client, Root, Server, eventually, miod, pattern, raise_limit, run_to_end};

#[test]
fn a_client_that_trusts_the_authority_once_trusts_it_after_a_restart() {
    let mut site = Site::start(&["--tls", "auto"]);
    let authority = site.authority();
    for _ in 0..2 {
        let got = site.get(&["--cacert", &authority], "/large");
        assert_eq!((got.code, got.errors.as_str()), (Some(0), ""));
        assert!(got.out == pattern(3_000_000));
        // Plain HTTP stays.
        assert_eq!(site.server.get("/").body, b"hello");
        site.server.signal("TERM");
        assert!(site.server.wait().success());
        site.server = Server::run(Site::command(&site.root, &["--tls", "auto"]));
    }
    let unknown = site.get(&[], "/");
    assert!(matches!(unknown.code, Some(60 | 77)), "{unknown:?}");
    // An authority with the same name and another key.
    let other = site.get(&["--cacert", &certificate(&site.root, "other", &[]).authority], "/");
    assert_eq!(other.code, Some(60));
    assert!(other.errors.contains("the trusted authority has not signed it"), "{other:?}");
    let trusting = site.get(&["-k", "-v", "--trace"], "/");
    assert_eq!((trusting.code, trusting.out.as_slice()), (Some(0), &b"hello"[..]));
    for part in ["* TLSv1.3, TLS_AES_", "ALPN http/1.1", "issued by CN=", "tls      0."] {
        assert!(trusting.errors.contains(part), "{part}: {}", trusting.errors);
    }
    let nothing = run_to_end(miod().args(["get", "--cacert", "/nowhere", "https://localhost:1/"]), b"");
    assert_eq!(nothing.code, Some(77), "{nothing:?}");
    let plain = format!("https://{}/", site.server.address());
    let not_tls = run_to_end(miod().args(["get", "-k", &plain]), b"");
    assert_eq!(not_tls.code, Some(35), "{not_tls:?}");
}

#[test]
fn plain_requests_are_redirected_and_only_https_has_the_strict_field() {
    let site = Site::start(&["--tls", "auto", "--redirect-https", "--hsts", "77"]);
    let moved = site.server.get("/a%20b?c=d");
    let location = format!("https://localhost:{}/a%20b?c=d", site.port());
    assert_eq!((moved.status, moved.field("Location")), (308, Some(location.as_str())));
    assert_eq!(moved.field("Strict-Transport-Security"), None);
    assert_eq!(site.server.get("/.well-known/acme-challenge/x").status, 404);
    site.root.file("site/.well-known/acme-challenge/token", "key");
    assert_eq!(site.server.get("/.well-known/acme-challenge/token").body, b"key");
    for path in ["/", "/none"] {
        let got = site.get(&["-k", "-i"], path).text();
        assert!(got.contains("\r\nStrict-Transport-Security: max-age=77\r\n"), "{got}");
    }
}

#[test]
fn the_wrong_language_gets_an_answer_that_it_understands() {
    let site = Site::start(&["--tls", "auto"]);
    let mut client = site.connect();
    client.send("GET /a?b HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let response = client.response();
    let expected = format!("This port speaks HTTPS: https://localhost:{}/a?b\n", site.port());
    assert_eq!((response.status, String::from_utf8_lossy(&response.body).as_ref()), (400, expected.as_str()));
    assert!(client.is_closed());
    // A ClientHello at the port for plain HTTP.
    let mut client = site.server.connect();
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert!(client.is_closed());
    assert!(eventually(|| site.server.errors().contains("speaks TLS at a port for plain HTTP")));
}

#[test]
fn a_new_certificate_is_used_after_sighup_and_a_broken_one_is_not() {
    let site = Site::start(&["--tls", "auto"]);
    let file = |name: &str| site.root.at(&format!("state/miod/tls/{name}"));
    let pair = format!("{},{}", file("server.pem").display(), file("server-key.pem").display());
    let second = Server::run(Site::command(&site.root, &["--tls", &pair]));
    let second = Site { root: Root::new(), server: second };
    let works = |site: &Site| site.get(&["-k"], "/").code == Some(0);
    assert!(works(&second));
    std::fs::write(file("server.pem"), "broken").unwrap();
    second.server.signal("HUP");
    assert!(eventually(|| second.server.errors().contains("stays in use")));
    assert!(works(&second));
}

#[test]
fn certificates_that_cannot_be_used_are_mistakes_of_the_configuration() {
    let root = Root::new();
    root.file("site/index.html", "").file("empty.pem", "");
    for (files, expected) in [("empty.pem", "empty.pem"), ("none.pem", "none.pem")] {
        let outcome = run_to_end(&mut Site::command(&root, &["--tls", &root.at(files).display().to_string()]), b"");
        assert!(outcome.code == Some(78) && outcome.errors.contains(expected), "{outcome:?}");
    }
}

#[test]
fn silent_handshakes_hold_nobody_up_and_end_at_the_limit() {
    raise_limit();
    let site = Site::start(&["--tls", "auto", "--header-timeout", "2"]);
    let begin = |_| {
        let mut client = site.connect();
        client.send(b"\x16\x03\x01\x02\x00");
        client
    };
    let mut silent: Vec<Client> = (0..1_000).map(begin).collect();
    assert_eq!(site.get(&["-k"], "/").out, b"hello");
    for client in &mut silent {
        client.rest_or_reset();
    }
    assert!(site.server.cpu() < 5.0);
}

#[test]
fn sessions_can_be_kept_by_a_key_value_service_behind_tls() {
    let root = Root::new();
    root.file("site/index.html", "");
    let mut command = miod();
    command.env("XDG_STATE_HOME", root.at("state")).args(["kv", "-b", "127.0.0.1:0", "--tls", "auto"]);
    let kv = Server::run(command);
    let url = kv.banner.split_whitespace().find(|word| word.starts_with("https://")).expect("a URL");
    let url = url.replace("127.0.0.1", "localhost");
    let authority = root.at("state/miod/tls/ca.pem");
    let server = Server::start_with(
        Root::new(),
        &["--apps=counter", "--sessions", &url, "--sessions-ca", &authority.display().to_string()],
    );
    let page = server.get("/counter");
    assert_eq!(page.status, 200, "{}", server.errors());
    let dump = run_to_end(miod().args(["sessions", "--cacert"]).arg(Path::new(&authority)).args(["dump", &url]), b"");
    assert_eq!(dump.code, Some(0), "{dump:?}");
}

#[test]
fn a_client_writes_the_secrets_of_its_connections() {
    let site = Site::start(&["--tls", "auto"]);
    let root = Root::new();
    let keys = root.at("keys").display().to_string();
    assert_eq!(site.get(&["-k", "--tls-keylog", &keys], "/").out, b"hello");
    assert!(std::fs::read_to_string(&keys).unwrap().contains("\nCLIENT_TRAFFIC_SECRET_0 "));
    let failed = site.get(&["-k", "--tls-keylog", "/none/such"], "/");
    assert_eq!(failed.code, Some(23), "{}", failed.errors);
}

#[test]
fn a_full_disk_costs_the_key_log_and_no_connection() {
    let site = Site::start(&["--tls", "auto", "--tls-keylog", "/dev/full"]);
    for _ in 0..2 {
        assert_eq!(site.get(&["-k"], "/").out, b"hello");
    }
    assert!(eventually(|| site.server.errors().contains("the key log can't be written")));
    assert_eq!(site.server.errors().matches("key log").count(), 1);
}
