//! Signals to a busy server.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use support::{Client, Ended, Root, Server, TIMEOUT, eventually, get, miod, pattern};

fn site() -> Root {
    let root = Root::new();
    root.old_file("index.html", "index");
    root
}

fn begin_shutdown(server: &Server, signal: &str) {
    server.signal(signal);
    assert!(eventually(|| server.errors().contains("shutting down")), "{}", server.errors());
}

/// A connection with a request whose body is incomplete.
fn waiting_for_body(server: &Server) -> Client {
    let mut client = server.connect();
    client.send("POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.response().status, 100);
    client
}

#[test]
fn an_idle_server_ends_soon() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start_with(site(), &["--apps"]);
        let mut idle = server.connect();
        idle.send(get("/"));
        assert_eq!(idle.response().status, 200);
        let begin = Instant::now();
        server.signal(signal);
        assert!(idle.is_closed(), "an idle connection is closed without a response");
        assert_eq!(server.wait().code(), Some(0));
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }
}

#[test]
fn started_requests_are_finished_and_no_new_ones_accepted() {
    for signal in ["TERM", "INT"] {
        let (root, large) = (site(), pattern(24 << 20));
        root.old_file("large", &large);
        let mut server = Server::start(&root, &["--apps"]);
        let mut streaming = server.connect();
        streaming.send(get("/lab/stream?chunks=10&ms=60"));
        streaming.until_begun();
        let mut uploading = waiting_for_body(&server);
        let mut downloading = server.connect();
        // The request behind it has come before the signal. It waits for a response that waits for the client.
        downloading.send(get("/large") + &get("/"));
        downloading.until_begun();
        let mut idle = server.connect();
        idle.send(get("/"));
        assert_eq!(idle.response().status, 200);

        begin_shutdown(&server, signal);
        assert!(idle.is_closed());
        assert!(TcpStream::connect_timeout(&server.address(), TIMEOUT).is_err(), "it still listens");
        uploading.send("abc");
        let response = uploading.response();
        assert_eq!((response.status, response.field("Connection")), (200, Some("close")));
        assert!(response.text().contains("abc"));
        assert!(uploading.is_closed());
        let response = streaming.response();
        assert_eq!((response.status, response.text().lines().count()), (200, 10));
        assert!(streaming.is_closed());
        assert!(downloading.response().body == large);
        assert_eq!(downloading.response().field("Connection"), Some("close"));
        assert!(downloading.is_closed());
        drop((uploading, streaming, downloading));
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn no_request_is_lost_under_load() {
    let mut server = Server::start_with(site(), &[]);
    let (told, started) = std::sync::mpsc::channel();
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let (mut client, told) = (server.connect(), told.clone());
            std::thread::spawn(move || {
                for count in 1.. {
                    client.send(get("/"));
                    let response = client.response();
                    assert_eq!(response.status, 200);
                    if count == 10 {
                        told.send(()).unwrap();
                    }
                    if response.field("Connection") == Some("close") {
                        return client.is_closed();
                    }
                }
                false
            })
        })
        .collect();
    for _ in &clients {
        started.recv_timeout(TIMEOUT).unwrap();
    }
    server.signal("TERM");
    for client in clients {
        assert!(client.join().expect("a request was lost"));
    }
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let mut server = Server::start_with(site(), &["--apps"]);
        let mut client = server.connect();
        client.send(get("/lab/stream?chunks=1000&ms=500"));
        client.until_begun();
        begin_shutdown(&server, first);
        // It waits, and logs the number of connections.
        assert!(eventually(|| server.errors().contains("waiting for 1 connections")), "{}", server.errors());
        let begin = Instant::now();
        server.signal(second);
        server.wait();
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
        // The response is visibly incomplete.
        let (rest, _) = client.rest_or_reset();
        assert!(!rest.ends_with(b"0\r\n\r\n"));
    }
}

#[test]
fn usr2_turns_maintenance_on_and_off() {
    let server = Server::start_with(site(), &["--apps"]);
    let mut client = server.connect();
    let mut status = || {
        client.send(get("/"));
        client.response().status
    };
    assert_eq!(status(), 200);
    for _ in 0..2 {
        server.signal("USR2");
        assert!(eventually(|| status() == 503));
        let response = server.get("/lab/hello");
        assert_eq!((response.status, response.field("Retry-After")), (503, Some("5")));
        server.signal("USR2");
        assert!(eventually(|| status() == 200));
    }
}

#[test]
fn hup_and_usr1_reopen_the_access_log() {
    for signal in ["HUP", "USR1"] {
        let root = site();
        let (log, old) = (root.at(".log"), root.at(".log.1"));
        let server = Server::start(&root, &["--apps", "--access-log", log.to_str().unwrap()]);
        let has = |path: &std::path::Path, what: &str| fs::read_to_string(path).is_ok_and(|text| text.contains(what));
        server.get("/first");
        assert!(eventually(|| has(&log, "GET /first ")));
        // The log is renamed as by logrotate. Until the signal, lines go to the renamed file.
        fs::rename(&log, &old).unwrap();
        server.get("/between");
        server.signal(signal);
        assert!(eventually(|| log.exists()));
        server.get("/after");
        assert!(eventually(|| has(&log, "GET /after ")));
        assert!(has(&old, "GET /between ") && !has(&log, "GET /between ") && !has(&old, "GET /after "));

        // If the log can't be opened, the old one stays in use.
        fs::remove_file(&log).unwrap();
        fs::create_dir(&log).unwrap();
        server.signal(signal);
        assert!(eventually(|| server.errors().contains("can't be reopened")), "{}", server.errors());
        assert_eq!(server.get("/").status, 200);
    }
}

#[test]
fn closed_output_pipes_and_resets_do_not_stop_the_server() {
    let root = site();
    let mut command = miod();
    command.arg("serve").arg(root.path()).args(["-p", "0", "-vv", "--access-log", "-"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Ended(child);
    drop(child.0.stderr.take());
    let mut banner = String::new();
    let mut stdout = BufReader::new(child.0.stdout.take().unwrap());
    stdout.read_line(&mut banner).unwrap();
    drop(stdout);
    let address = banner.split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    let mut client = Client::connect(address);
    for _ in 0..200 {
        client.send(get("/"));
        assert_eq!(client.response().status, 200);
    }
    // Clients that close during a response.
    for _ in 0..20 {
        let mut closing = Client::connect(address);
        closing.send(get("/lab/stream?chunks=500&ms=0").repeat(20));
        closing.stream.read_exact(&mut [0; 10]).unwrap();
    }
    client.send(get("/"));
    assert_eq!(client.response().status, 200);
    support::kill("TERM", child.0.id());
    assert!(eventually(|| child.0.try_wait().unwrap().is_some_and(|status| status.code() == Some(0))));
}

#[test]
fn requests_sent_before_the_signal_get_responses() {
    let root = site();
    let mut server = Server::start(&root, &["--apps"]);
    let mut kept = server.connect();
    kept.send(get("/"));
    assert_eq!(kept.response().status, 200);
    let mut idle = server.connect();
    idle.send(get("/"));
    assert_eq!(idle.response().status, 200);
    // The server is stopped while requests arrive on an accepted connection and on some
    // that only the kernel has accepted, followed by the signal.
    server.signal("STOP");
    kept.send(get("/"));
    let mut new: Vec<_> = (0..10).map(|_| server.connect()).collect();
    for client in &mut new {
        client.send(get("/"));
    }
    server.signal("TERM");
    server.signal("CONT");
    for client in new.iter_mut().chain([&mut kept]) {
        assert_eq!(client.response().status, 200);
        client.end();
        assert!(client.is_closed());
    }
    assert!(idle.is_closed());
    drop(new);
    drop(kept);
    assert!(server.wait().success());
}

#[test]
fn idle_connections_that_the_clients_keep_open_do_not_stop_the_shutdown() {
    let mut server = Server::start_with(site(), &[]);
    let mut idle: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for client in &mut idle {
        client.send(get("/"));
        assert_eq!(client.response().status, 200);
    }
    server.signal("TERM");
    assert!(server.wait().success());
    // It is not the end of the time for requests that are under way.
    assert!(!server.errors().contains("cut off"), "{}", server.errors());
}

#[test]
fn two_processes_share_an_address_if_both_want_to() {
    let root = site();
    let first = Server::start(&root, &["--reuse-port", "-b", "127.0.0.1"]);
    let port = first.address().port().to_string();
    let start = |arguments: &[&str]| {
        let mut command = miod();
        command.arg("serve").arg(root.path()).args(["-b", "127.0.0.1", "-p", &port]).args(arguments);
        command
    };
    let refused = support::run_to_end(&mut start(&[]), b"");
    assert_eq!(refused.code, Some(69), "{refused:?}");
    let log = root.at(".second.log");
    let second = Server::run(start(&["--reuse-port", "--access-log", log.to_str().unwrap()]));
    // Each connection gets the one or the other; of many, both have some.
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(first.address())).collect();
    for client in &mut clients {
        client.send(get("/"));
        assert_eq!(client.response().status, 200);
    }
    assert!(eventually(|| (1..100).contains(&fs::read_to_string(&log).unwrap().lines().count())));
    drop((clients, second));
    assert_eq!(first.get("/").status, 200);
}
