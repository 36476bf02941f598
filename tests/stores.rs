//! The stores of sessions: on disk, in a key-value service, in Redis; and stores that are
//! slow, unreachable, or send malformed replies.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::redis::Redis;
use support::sockets::{Deaf, free_port};
use support::{Ended, Response, Root, Server, TIMEOUT, eventually, get_with, miod};

const JSON: &str = "Accept: application/json\r\n";

fn server(arguments: &[&str]) -> Server {
    let root = Root::new();
    root.old_file("index.html", "<p>index");
    Server::start_with(root, &[&["--apps"], arguments].concat())
}

/// Requests the counter, with a cookie or without.
fn visit(server: &Server, cookie: &str) -> Response {
    let lines = if cookie.is_empty() { JSON.to_owned() } else { format!("{JSON}Cookie: {cookie}\r\n") };
    server.get_with("/counter", &(lines + "Connection: close\r\n"))
}

fn count(response: &Response) -> u64 {
    let text = response.text();
    let count = text.trim().strip_prefix("{\"count\":").and_then(|rest| rest.strip_suffix('}'));
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{}{text}", response.head))
}

fn cookie(response: &Response) -> String {
    response.field("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned()
}

/// Counts to three, resets, and counts again.
fn check_counter(server: &Server) -> String {
    let first = visit(server, "");
    assert_eq!((count(&first), first.field("cache-control")), (1, Some("private, no-store")));
    let own = cookie(&first);
    assert_eq!([2, 3].map(|_| count(&visit(server, &own))), [2, 3]);
    let reset = server.exchange(format!("POST /counter/reset HTTP/1.1\r\nHost: localhost\r\nCookie: {own}\r\n\r\n"));
    assert_eq!((reset.status, reset.field("location")), (303, Some("/counter")));
    assert!(reset.field("set-cookie").unwrap().contains("Max-Age=0"));
    let restarted = visit(server, &own);
    assert_eq!(count(&restarted), 1);
    let other = cookie(&restarted);
    assert_ne!(other, own);
    // Concurrent requests, and none is lost.
    std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(|| count(&visit(server, &other))))));
    assert_eq!(count(&visit(server, &other)), 10);
    other
}

/// The lines of `miod sessions dump`.
fn dump(store: &str) -> Vec<String> {
    let output = miod().args(["sessions", "dump", store]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Ends a session with `miod sessions end`: its exit code.
fn end(id: &str, store: &str) -> Option<i32> {
    miod().args(["sessions", "end", id, store]).stderr(Stdio::null()).status().unwrap().code()
}

/// `miod sessions` lists the session of the cookie, and ends it.
fn check_tool(store: &str, cookie: &str) {
    let id = cookie.split('=').nth(1).unwrap();
    assert_eq!(dump(store), [format!("{{\"{id}\":{{\"count\":10}}}}")]);
    assert_eq!((end(id, store), dump(store)), (Some(0), vec![]));
    assert_eq!((end(id, store), end("nonsense", store)), (Some(1), Some(2)));
}

#[test]
fn sessions_on_disk_survive_the_process() {
    let data = Root::new();
    let directory = data.at("sessions");
    let store = format!("file:{}", directory.display());
    let first = server(&["--sessions", &store]);
    let own = check_counter(&first);
    let id = own.split('=').nth(1).unwrap();
    // While the server runs, the store can be read but not changed.
    assert_eq!(dump(&store), [format!("{{\"{id}\":{{\"count\":10}}}}")]);
    assert_eq!(end(id, &store), Some(69));
    first.signal("KILL");
    drop(first);
    let second = server(&["--sessions", &store]);
    assert_eq!(count(&visit(&second, &own)), 11);
    drop(second);
    assert_eq!(dump(directory.to_str().unwrap()), [format!("{{\"{id}\":{{\"count\":11}}}}")]);
    assert_eq!((end(id, &store), dump(&store)), (Some(0), vec![]));
    assert_eq!(count(&visit(&server(&["--sessions", &store]), &own)), 1);
}

#[test]
fn no_acknowledged_visit_is_lost_on_disk_by_a_kill() {
    const ROUNDS: u64 = 6;
    let data = Root::new();
    let store = format!("file:{}", data.at("sessions").display());
    let mut clients: Vec<(String, u64)> = vec![(String::new(), 0); 8];
    for round in 0..ROUNDS {
        let mut server = server(&["--sessions", &store]);
        let address = server.address();
        let begun = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for client in &mut clients {
                let begun = &begun;
                scope.spawn(move || {
                    let (cookie, last) = client;
                    let mut first = true;
                    while let Some((text, set)) = try_visit(address, cookie) {
                        let count: u64 = text.trim().trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
                        // One request in a round may count although its response was lost.
                        let most = *last + if first && round > 0 { 2 } else { 1 };
                        assert!((*last + 1..=most).contains(&count), "round {round}: {count} after {last}");
                        (*last, first) = (count, false);
                        *cookie = set.unwrap_or_else(|| cookie.clone());
                        begun.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            // The kill happens some time after the first responses.
            let enough = 16 + 13 * round;
            assert!(eventually(|| begun.load(Ordering::Relaxed) >= enough), "no responses");
            server.signal("KILL");
            server.wait();
        });
    }
    assert!(clients.iter().all(|(cookie, last)| !cookie.is_empty() && *last >= 1), "{clients:?}");
}

/// The JSON of the counter, and the cookie if one is set. `None` if the server ends before
/// its response.
fn try_visit(address: SocketAddr, cookie: &str) -> Option<(String, Option<String>)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let line = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    let request = format!("GET /counter HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{JSON}{line}\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    let (head, text) = response.split_once("\r\n\r\n").filter(|(_, text)| text.ends_with('\n'))?;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let set = head.split_once("Set-Cookie: ").map(|(_, rest)| rest.split(';').next().unwrap().to_owned());
    Some((text.to_owned(), set))
}

#[test]
fn the_key_value_service_on_the_same_loop_keeps_sessions() {
    let at = format!("127.0.0.1:{}", free_port());
    let store = format!("http://{at}/");
    let server = server(&["--kv", &at, "--sessions", &store]);
    let own = check_counter(&server);
    check_tool(&store, &own);
    assert_eq!(count(&visit(&server, &own)), 1);
    server.signal("TERM");
    let mut server = server;
    let begin = Instant::now();
    assert!(server.wait().success());
    assert!(begin.elapsed() < Duration::from_secs(5), "its connection to itself delayed the end");
}

#[test]
fn a_separate_key_value_service_with_a_token_may_restart() {
    let port = free_port().to_string();
    let start = || {
        let mut command = miod();
        command.args(["kv", "-b", "127.0.0.1", "-p", &port]).env("MIOD_TOKEN", "s3cret");
        Server::run(command)
    };
    let kv = start();
    let store = format!("http://:s3cret@127.0.0.1:{port}/");
    let one = server(&["--sessions", &store]);
    check_tool(&store, &check_counter(&one));
    // Without the token, pages that need a session fail.
    let refused = server(&["--sessions", &format!("http://127.0.0.1:{port}/")]);
    assert_eq!(visit(&refused, "").status, 503);
    let own = cookie(&visit(&one, ""));
    drop(kv);
    assert_eq!(visit(&one, &own).status, 503);
    let _kv = start();
    assert!(eventually(|| visit(&one, &own).status == 200), "it isn't connected again");
}

#[test]
fn one_connection_carries_all_sessions() {
    let redis = Redis::start();
    let server = server(&["--sessions", &redis.url()]);
    check_counter(&server);
    assert_eq!(redis.faults.connections.load(Ordering::Relaxed), 1);
}

#[test]
fn a_slow_store_delays_only_requests_that_need_it() {
    let redis = Redis::start();
    let server = server(&["--sessions", &redis.url()]);
    let own = cookie(&visit(&server, ""));
    let commands = || redis.faults.commands.load(Ordering::Relaxed);
    let asked = commands();
    let mut slow = server.connect();
    let begin = Instant::now();
    redis.faults.holds.store(true, Ordering::Relaxed);
    slow.send(get_with("/counter", &format!("{JSON}Cookie: {own}\r\n")));
    assert!(eventually(|| commands() > asked), "the store isn't asked");
    // Files are served meanwhile.
    for _ in 0..5 {
        assert_eq!(server.get_with("/", "Connection: close\r\n").status, 200);
    }
    redis.faults.holds.store(false, Ordering::Relaxed);
    // The store has half a second. A machine that is busier than that has the other outcome.
    let is_in_time = begin.elapsed() < Duration::from_millis(300);
    let response = slow.response();
    assert!(response.status == 200 || !is_in_time, "{}", response.head);
    assert!(eventually(|| visit(&server, &own).status == 200));
    // After the timeout the request fails.
    redis.faults.holds.store(true, Ordering::Relaxed);
    let begin = Instant::now();
    let response = visit(&server, &own);
    assert_eq!((response.status, response.count("retry-after")), (503, 1));
    assert!(begin.elapsed() < Duration::from_millis(2500), "it took {:?}", begin.elapsed());
    redis.faults.holds.store(false, Ordering::Relaxed);
    assert!(eventually(|| visit(&server, &own).status == 200), "it isn't connected again");
}

#[test]
fn a_lost_store_is_reported_at_once_and_connected_again() {
    let redis = Redis::start();
    let server = server(&["--sessions", &redis.url()]);
    let own = cookie(&visit(&server, ""));
    for fault in [&redis.faults.closes, &redis.faults.malformed] {
        fault.store(true, Ordering::Relaxed);
        let begin = Instant::now();
        for _ in 0..20 {
            let response = visit(&server, &own);
            assert_eq!((response.status, response.count("retry-after")), (503, 1));
            assert_eq!(server.get_with("/", "Connection: close\r\n").status, 200);
        }
        // With the timeout it would be ten seconds.
        assert!(begin.elapsed() < Duration::from_secs(4), "they took {:?}", begin.elapsed());
        fault.store(false, Ordering::Relaxed);
        let begin = Instant::now();
        assert!(eventually(|| visit(&server, &own).status == 200), "it isn't connected again");
        assert!(begin.elapsed() < Duration::from_secs(4), "it took {:?}", begin.elapsed());
    }
    assert!(redis.faults.connections.load(Ordering::Relaxed) < 30, "it was connected too often");
    assert!(eventually(|| server.errors().contains("the session store at redis://")), "{}", server.errors());
}

#[test]
fn a_store_may_start_after_the_server() {
    let nobody = Deaf::new();
    let server = server(&["--sessions", &format!("redis://{}", nobody.address)]);
    assert_eq!((visit(&server, "").status, server.get_with("/", "Connection: close\r\n").status), (503, 200));
    assert!(eventually(|| server.errors().contains("refused")), "{}", server.errors());
}

#[test]
#[ignore = "needs redis-server"]
fn a_real_redis_keeps_sessions_for_several_servers() {
    let data = Root::new();
    let port = free_port().to_string();
    let start = || {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", "127.0.0.1", "--requirepass", "p@ss", "--daemonize", "no"]);
        command.args(["--dir", data.path().to_str().unwrap(), "--save", "", "--appendonly", "yes"]);
        Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let redis = start();
    assert!(eventually(|| TcpStream::connect(("127.0.0.1", port.parse().unwrap())).is_ok()));
    let store = format!("redis://:p%40ss@127.0.0.1:{port}/3");
    let servers: Vec<_> = (0..3).map(|_| server(&["--sessions", &store])).collect();
    assert!(eventually(|| visit(&servers[0], "").status == 200));
    check_counter(&servers[0]);
    let own = cookie(&visit(&servers[0], ""));
    for expected in 2..11 {
        assert_eq!(count(&visit(&servers[expected as usize % 3], &own)), expected);
    }
    let id = own.split('=').nth(1).unwrap();
    let expiry = Command::new("redis-cli")
        .args(["-p", &port, "-a", "p@ss", "-n", "3", "TTL", &format!("miod:session:{id}")])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let seconds: u64 = String::from_utf8(expiry.stdout).unwrap().trim().parse().unwrap();
    assert!((1700..=1800).contains(&seconds), "{seconds}");
    let line = format!("{{\"{id}\":{{\"count\":10}}}}");
    assert!(dump(&store).contains(&line), "{:?}", dump(&store));
    // Redis ends and starts again.
    drop(redis);
    assert_eq!(visit(&servers[1], &own).status, 503);
    let _redis = start();
    let begin = Instant::now();
    assert!(eventually(|| visit(&servers[1], &own).status == 200), "it isn't connected again");
    assert!(begin.elapsed() < TIMEOUT / 2);
    // Each server connects again by itself.
    let counted = |server: &Server| {
        let mut response = None;
        assert!(eventually(|| {
            response = Some(visit(server, &own)).filter(|response| response.status == 200);
            response.is_some()
        }));
        count(&response.unwrap())
    };
    assert_eq!(counted(&servers[2]), 12);
    assert_eq!((end(id, &store), end(id, &store)), (Some(0), Some(1)));
    assert_eq!(counted(&servers[0]), 1);
    let refused = server(&["--sessions", &format!("redis://:wrong@127.0.0.1:{port}/3")]);
    assert_eq!(visit(&refused, "").status, 503);
    assert!(eventually(|| refused.errors().contains("refuses the login")), "{}", refused.errors());
}

#[test]
#[ignore = "needs redis-server, and mounts a file of names in a namespace of its own, by unshare"]
fn after_a_failover_of_redis_the_new_master_is_found() {
    let port = free_port().to_string();
    let root = Root::new();
    root.file("hosts", "127.0.0.1 localhost\n127.0.0.2 redis.test\n127.0.0.3 redis.test\n");
    let data = root.path().to_str().unwrap();
    let start = |address: &str| {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", address, "--daemonize", "no", "--save", "", "--dir", data]);
        Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let command = |address: &str, words: &[&str]| {
        let output = Command::new("redis-cli").args(["-h", address, "-p", &port]).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let addresses = ["127.0.0.2", "127.0.0.3"];
    let _servers = addresses.map(start);
    assert!(eventually(|| addresses.iter().all(|address| command(address, &["PING"]) == "PONG\n")));
    // Makes one the master and the other its replica.
    let fail_over = |master: &str, replica: &str| {
        command(master, &["REPLICAOF", "NO", "ONE"]);
        command(replica, &["REPLICAOF", master, &port]);
        assert!(eventually(|| command(replica, &["INFO", "replication"]).contains("master_link_status:up")));
    };
    fail_over("127.0.0.2", "127.0.0.3");
    let mut miod = Command::new("unshare");
    miod.args(["-m", "sh", "-c", "mount --bind hosts /etc/hosts && exec \"$0\" \"$@\""]).current_dir(root.path());
    miod.arg(env!("CARGO_BIN_EXE_miod")).args(["-p", "0", "-b", "127.0.0.1", "--apps"]);
    miod.args(["--sessions", &format!("redis://redis.test:{port}")]);
    let server = Server::run(miod);
    assert!(eventually(|| visit(&server, "").status == 200));
    let mine = cookie(&visit(&server, ""));
    let session = format!("miod:session:{}", mine.split('=').nth(1).unwrap());
    for (expected, master, replica) in [(2, "127.0.0.3", "127.0.0.2"), (3, "127.0.0.2", "127.0.0.3")] {
        // A master tells its client before its replica.
        let has = |address: &str| command(address, &["GET", &session]);
        assert!(eventually(|| has(replica).len() > 1 && has(replica) == has(master)));
        fail_over(master, replica);
        let mut found = None;
        assert!(eventually(|| {
            let response = visit(&server, &mine);
            found = (response.status == 200).then(|| count(&response));
            found.is_some()
        }));
        assert_eq!(found, Some(expected), "the session is there, at {master}");
    }
}
