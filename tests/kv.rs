//! The key-value service: its responses, and that no acknowledged write is lost.

mod support;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use support::{Client, Response, Root, Server, eventually, get, miod};

/// The service with further arguments.
fn kv(arguments: &[&str]) -> Server {
    let mut command = miod();
    command.args(["kv", "-b", "127.0.0.1", "-p", "0"]).args(arguments);
    Server::run(command)
}

fn request(method: &str, path: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{lines}\r\n{body}")
}

fn put(path: &str, body: &str) -> String {
    request("PUT", path, "Content-Type: application/json\r\n", body)
}

/// Sends a request. Returns the status, unless the server has ended.
fn try_request(client: &mut Client, request: &str) -> Option<u16> {
    use std::io::{Read, Write};
    client.stream.write_all(request.as_bytes()).ok()?;
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match client.stream.read(&mut byte) {
            Ok(1..) => response.extend(byte),
            Ok(0) => return None,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    // Responses to PUT have no content.
    std::str::from_utf8(&response[9..12]).ok()?.parse().ok()
}

fn value(response: &Response) -> u64 {
    assert_eq!(response.status, 200, "{}", response.head);
    response.text().parse().unwrap()
}

#[test]
fn values_are_written_read_listed_and_deleted() {
    let server = kv(&[]);
    assert!(server.banner.contains("keeps keys and values on http://127.0.0.1:"), "{}", server.banner);
    let mut client = server.connect();
    let mut exchange = |request: String| {
        client.send(request);
        client.response()
    };
    assert_eq!(exchange(put("/a", "{\"n\":1}")).status, 201);
    assert_eq!(exchange(put("/a", "2")).status, 204);
    let response = exchange(get("/a"));
    assert_eq!((response.text().as_str(), response.field("content-type")), ("2", Some("application/json")));
    assert_eq!(response.field("cache-control"), Some("no-store"));
    let made = exchange(request("POST", "/?ttl=60", "Content-Type: application/octet-stream\r\n", "x"));
    assert_eq!(made.status, 201);
    let place = made.field("location").unwrap().to_owned();
    assert_eq!(exchange(get(&place)).text(), "x");
    assert_eq!(exchange(request("DELETE", &place, "", "")).status, 204);
    assert_eq!(exchange(get("/")).text(), "{\"a\":2}\n");
    assert_eq!(exchange(get("/?format=lines")).text(), "{\"a\":2}\n");
    // The limits of the service and of every exchange.
    assert_eq!(exchange(request("PUT", "/a", "Content-Type: text/plain\r\n", "2")).status, 415);
    assert_eq!(
        exchange(request("PUT", "/a", "Content-Type: application/json\r\nOrigin: http://a\r\n", "2")).status,
        403
    );
    let allow = exchange(request("OPTIONS", "/a", "", "")).field("allow").unwrap().to_owned();
    assert_eq!(allow, "GET, HEAD, PUT, POST, DELETE, OPTIONS");
    assert_eq!(exchange(request("PATCH", "/a", "", "")).status, 405);
    assert_eq!(server.exchange(put("/big", &"1".repeat(1024 * 1024 + 1))).status, 413);
    assert_eq!(server.head("/a").field("content-length"), Some("1"));
}

#[test]
fn a_slow_reader_gets_a_long_list_completely() {
    let server = kv(&[]);
    let mut client = server.connect();
    let mut expected = String::new();
    for key in 0..30 {
        let value = format!("\"{}\"", char::from(b'a' + key % 26).to_string().repeat(100_000));
        client.send(put(&format!("/{key:02}"), &value));
        assert_eq!(client.response().status, 201);
        expected += &format!("{{\"{key:02}\":{value}}}\n");
    }
    let mut slow = server.connect();
    slow.send(get("/?format=lines"));
    slow.until_begun();
    // The values are overwritten during the response; it shows the old ones.
    for key in 0..30 {
        client.send(put(&format!("/{key:02}"), "0"));
        assert_eq!(client.response().status, 204);
    }
    assert!(slow.response().text() == expected, "the list differs");
}

#[test]
fn the_token_is_required() {
    let mut command = miod();
    command.args(["kv", "-b", "127.0.0.1", "-p", "0"]).env("MIOD_TOKEN", "s3cret");
    let server = Server::run(command);
    let response = server.get("/");
    assert_eq!((response.status, response.field("www-authenticate")), (401, Some("Bearer realm=\"kv\"")));
    assert_eq!(server.get_with("/", "Authorization: Bearer s3cret\r\n").status, 200);
    assert_eq!(server.get_with("/", "Authorization: Bearer s3cre\r\n").status, 401);
}

#[test]
fn the_service_and_the_web_server_share_one_loop() {
    let root = Root::new();
    root.old_file("index.html", "a page").old_file("404.html", "the site's own");
    let elsewhere = Root::new();
    let data = elsewhere.at("data");
    let server = Server::start(&root, &["--kv", "127.0.0.1:0", "--data", data.to_str().unwrap()]);
    let at = server.banner.split("keys and values on http://").nth(1).expect("a second address");
    let at: SocketAddr = at.trim_end().trim_end_matches('/').parse().unwrap();
    let mut client = Client::connect(at);
    client.send(put("/a", "1"));
    assert_eq!(client.response().status, 201);
    client.send(get("/index.html"));
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (404, "there is no such key\n"));
    // A request that the exchange refuses gets no error page of the site.
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nExpect: tea\r\n\r\n");
    assert!(client.response().status == 417);
    assert_eq!(server.get("/index.html").text(), "a page");
    assert_eq!(server.get("/a").text(), "the site's own");
    assert_eq!(server.exchange(put("/a", "1")).status, 405);
}

#[test]
fn a_store_in_use_is_not_opened_again() {
    let root = Root::new();
    let data = root.at("data");
    let _server = kv(&["--data", data.to_str().unwrap()]);
    let output = miod().args(["kv", "-p", "0", "--data", data.to_str().unwrap()]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{errors}");
    assert!(errors.contains("kv.redb: another process has it open"), "{errors}");
    let output = miod().args(["kv", "-p", "0", "--data", "/proc/none"]).output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("/proc/none"));
}

#[test]
#[ignore = "mounts a small disk in a namespace of its own, by unshare"]
fn on_a_full_disk_values_can_still_be_removed() {
    let root = Root::new();
    root.directory("disk");
    let script = "mount -t tmpfs -o size=2m tmpfs disk && exec \"$0\" kv -b 127.0.0.1 -p 0 --data disk";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(env!("CARGO_BIN_EXE_miod")).current_dir(root.path());
    let server = Server::run(command);
    for size in [20_000, 3000, 150_000] {
        let value = format!("\"{}\"", "x".repeat(size));
        let mut client = server.connect();
        let mut status = |request: String| {
            client.send(request);
            client.response().status
        };
        let refused = (0..).find(|key| status(put(&format!("/k{key}"), &value)) != 201).unwrap();
        assert_eq!(status(put("/more", &value)), 507);
        for key in 0..refused {
            assert_eq!(status(request("DELETE", &format!("/k{key}"), "", "")), 204, "{key} of {refused}");
        }
        assert_eq!(status(put("/again", &value)), 201);
        assert_eq!(status(request("DELETE", "/again", "", "")), 204);
    }
}

#[test]
fn no_acknowledged_write_is_lost_by_a_kill() {
    const ROUNDS: u64 = 8;
    const WRITERS: u64 = 8;
    let root = Root::new();
    let data = root.at("data");
    // Acknowledged: the last value of each writer's own key, and the number of its other keys.
    let acknowledged: Arc<Vec<AtomicU64>> = Arc::new((0..WRITERS).map(|_| AtomicU64::new(0)).collect());
    for round in 0..ROUNDS {
        let mut server = kv(&["--data", data.to_str().unwrap()]);
        let mut reader = server.connect();
        let mut read = |path: String| {
            reader.send(get(&path));
            reader.response()
        };
        for writer in 0..WRITERS {
            let last = acknowledged[writer as usize].load(Ordering::Relaxed);
            if last == 0 {
                continue;
            }
            let found = value(&read(format!("/own-{writer}")));
            // The next value may have been written although its response was lost.
            assert!((last..=last + 1).contains(&found), "round {round}: {found} instead of {last}");
            for number in (1..=last).rev().take(200).chain(1..=last.min(50)) {
                assert_eq!(value(&read(format!("/{writer}/{number}"))), number, "round {round}");
            }
        }
        let (first, begun) = mpsc::channel();
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (acknowledged, address, first) = (Arc::clone(&acknowledged), server.address(), first.clone());
                std::thread::spawn(move || {
                    let mut client = Client::connect(address);
                    let last = &acknowledged[writer as usize];
                    loop {
                        let next = last.load(Ordering::Relaxed) + 1;
                        let writes = [format!("/{writer}/{next}"), format!("/own-{writer}")];
                        for path in writes {
                            match try_request(&mut client, &put(&path, &next.to_string())) {
                                Some(201 | 204) => {}
                                Some(status) => panic!("{path}: status {status}"),
                                None => return,
                            }
                        }
                        last.store(next, Ordering::Relaxed);
                        let _ = first.send(());
                    }
                })
            })
            .collect();
        // Every writer has received its first responses; the kill happens some time later.
        for _ in 0..WRITERS {
            begun.recv_timeout(support::TIMEOUT).expect("a write");
        }
        let moment = Instant::now() + Duration::from_millis(17 * (round + 1) % 90);
        while let Ok(()) = begun.recv_timeout(moment.saturating_duration_since(Instant::now())) {}
        server.signal("KILL");
        server.wait();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    }
    let total: u64 = acknowledged.iter().map(|last| last.load(Ordering::Relaxed)).sum();
    assert!(total >= ROUNDS * WRITERS, "only {total} writes");
}

#[test]
fn a_full_disk_is_an_error_and_loses_no_earlier_write() {
    let root = Root::new();
    let data = root.at("data");
    // No file can grow beyond four MiB; a write beyond that fails instead of killing the process.
    let script = "ulimit -f 4096; exec \"$@\"";
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash", env!("CARGO_BIN_EXE_miod"), "kv", "-b", "127.0.0.1", "-p", "0", "--data"]);
    let server = Server::run({
        command.arg(&data);
        command
    });
    let mut client = server.connect();
    let mut written = Vec::new();
    let big = format!("\"{}\"", "x".repeat(500_000));
    let mut full = false;
    for key in 0..30 {
        let path = format!("/{key}");
        client.send(put(&path, &big));
        let response = client.response();
        match response.status {
            201 => written.push(path),
            507 => {
                assert_eq!(response.text(), "no space is left on the disk\n");
                full = true;
                // The refused write isn't visible either.
                client.send(get(&path));
                assert_eq!(client.response().status, 404);
            }
            other => panic!("{path}: status {other}"),
        }
    }
    assert!(full && !written.is_empty(), "{written:?}");
    assert!(eventually(|| server.errors().contains("can't commit them")), "{}", server.errors());
    // The beginning and the end are logged, not each failed write.
    let errors = server.errors();
    assert!(errors.matches("can't keep").count() <= errors.matches("writes again").count() + 1, "{errors}");
    for path in &written {
        client.send(get(path));
        assert!(client.response().text() == big);
    }
    drop(server);
    let server = kv(&["--data", data.to_str().unwrap()]);
    let lines = server.exchange(request("GET", "/?format=lines", "Connection: close\r\n", "")).text();
    assert_eq!(lines.lines().count(), written.len());
    assert_eq!(server.exchange(put("/more", &big)).status, 201);
}
