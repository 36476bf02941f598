//! `--limit-rate`: a download takes its time, and nothing else waits.

mod support;

use std::time::Instant;

use support::site::Site;
use support::{Root, Server, eventually, get, miod, pattern};

const RATE: usize = 1 << 20;
const LARGE: usize = RATE + RATE / 2;

#[test]
fn no_byte_of_a_download_comes_too_early_and_short_responses_come_at_once() {
    let root = Root::new();
    root.old_file("large", pattern(LARGE)).old_file("small", "small");
    // Its own limit never makes a response too slow.
    let server = Server::start(&root, &["--limit-rate", "1M/s", "--send-timeout", "0.05"]);
    let mut client = server.connect();
    let begin = Instant::now();
    client.send(get("/large"));
    let mut received = client.response_to("HEAD").length;
    let mut body = Vec::new();
    while body.len() < LARGE {
        let piece = client.take((LARGE - body.len()).min(10_000));
        received += piece.len();
        body.extend(piece);
        let most = (begin.elapsed().as_secs_f64() + 1.0) * RATE as f64;
        assert!(received as f64 <= most, "{received} bytes after {:?}", begin.elapsed());
    }
    assert!(body == pattern(LARGE));
    assert!(begin.elapsed().as_millis() >= 500);
    // The same connection, and another one.
    client.send(get("/small"));
    assert_eq!(client.response().body, b"small");
    assert_eq!(server.get("/small").body, b"small");
    // The bytes of many short responses count, too.
    let (mut client, begin) = (server.connect(), Instant::now());
    let ranged = "GET /large HTTP/1.1\r\nHost: x\r\nRange: bytes=0-99999\r\n\r\n";
    for _ in 0..15 {
        client.send(ranged);
        assert_eq!(client.response().body.len(), 100_000);
    }
    assert!(begin.elapsed().as_secs_f64() >= (1_500_000.0 - RATE as f64) / RATE as f64, "{:?}", begin.elapsed());
}

#[test]
fn bytes_in_tls_count() {
    let site = Site::start(&["--tls", "auto", "--limit-rate", "2M/s"]);
    let begin = Instant::now();
    let got = site.get(&["-k"], "/large");
    assert_eq!((got.code, got.out.len()), (Some(0), 3_000_000));
    assert!(got.out == pattern(3_000_000));
    assert!(begin.elapsed().as_secs_f64() >= 3_000_000.0 / f64::from(2 << 20) - 1.0, "{:?}", begin.elapsed());
}

#[test]
fn a_reload_changes_the_limit_of_a_download() {
    let root = Root::new();
    let configure = |limit: &str| {
        root.file("miod.toml", format!("bind = \"127.0.0.1:0\"\nroot = \"site\"\n{limit}\n"));
    };
    root.old_file("site/large", pattern(10 * RATE));
    configure("limit-rate = \"1K/s\"");
    let mut command = miod();
    command.arg("-c").arg(root.at("miod.toml"));
    let server = Server::run(command);
    let mut client = server.connect();
    client.send(get("/large"));
    client.response_to("HEAD");
    // At the old limit the rest would take three hours.
    configure("");
    server.signal("HUP");
    assert!(client.take(10 * RATE) == pattern(10 * RATE));
    assert!(eventually(|| server.errors().contains("the new configuration is in use")));
    configure("limit-rate = \"512K\"");
    server.signal("HUP");
    assert!(eventually(|| server.errors().contains("miod.toml:3:14: limit-rate: give bytes per second")));
}
