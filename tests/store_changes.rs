//! Another session store takes the place of the present one in a reload: no request fails, and a
//! store whose settings stay is kept.

mod support;

use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use support::redis::Redis;
use support::reload::{Load, reload, serve};
use support::sockets::free_port;
use support::{Client, Ended, Response, Root, Server, eventually, get_with};

/// A configuration with the counter, whose sessions are in this store.
fn with(sessions: &str) -> String {
    format!("bind = \"127.0.0.1:0\"\nroot = \"a\"\napps = [\"counter\"]\nsessions = \"{sessions}\"\n")
}

fn site() -> Root {
    let root = Root::new();
    root.file("a/index.html", "a");
    root
}

/// Requests the counter: the count, and the cookie from now on.
fn count(client: &mut Client, cookie: &str) -> (u64, String) {
    ask(client, cookie);
    counted(&client.response(), cookie)
}

fn ask(client: &mut Client, cookie: &str) {
    client.send(get_with("/counter", &format!("Accept: application/json\r\nCookie: {cookie}\r\n")));
}

fn counted(response: &Response, cookie: &str) -> (u64, String) {
    let text = response.text();
    assert_eq!(response.status, 200, "{}{text}", response.head);
    let count = text.trim().strip_prefix("{\"count\":").and_then(|rest| rest.strip_suffix('}'));
    let set = response.field("Set-Cookie").map(|line| line.split(';').next().unwrap());
    (count.unwrap().parse().unwrap(), set.unwrap_or(cookie).to_owned())
}

/// How many descriptors of the server are open for a file whose path ends so.
fn open_files(server: &Server, end: &str) -> usize {
    let all = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().flatten();
    all.filter(|fd| fs::read_link(fd.path()).is_ok_and(|path| path.to_string_lossy().ends_with(end))).count()
}

#[test]
fn sessions_stay_in_a_store_that_is_kept() {
    let root = site();
    let key = root.at("key").display().to_string();
    for store in ["memory".to_owned(), "file:s".to_owned(), format!("cookie\"\nsession-key = \"{key}")] {
        let server = serve(&root, &with(&store));
        let client = &mut server.connect();
        let (_, mut cookie) = count(client, "");
        let mut next = 2;
        let mut visit = |cookie: &str| {
            let (seen, cookie) = count(client, cookie);
            assert_eq!(seen, next, "{store}");
            next += 1;
            cookie
        };
        cookie = visit(&cookie);
        assert!(reload(&server, &root, &with(&store)));
        cookie = visit(&cookie);
        // Other options of sessions change.
        assert!(reload(&server, &root, &(with(&store) + "session-idle = \"3h\"\nsession-cookie = \"sid\"\n")));
        cookie = visit(&cookie.replace("sessionId", "sid"));
        assert!(cookie.starts_with("sid="), "{cookie}");
        assert!(reload(&server, &root, &with(&store)));
        visit(&cookie.replace("sid", "sessionId"));
    }
}

#[test]
fn stores_change_under_load_and_no_request_fails() {
    let root = site();
    let server = serve(&root, &with("memory"));
    let load = Load::start(server.address(), 6, |client, cookie: &mut String| *cookie = count(client, cookie).1);
    for round in 0..20 {
        // Two names of one directory: it is opened once.
        let directory = if round % 2 == 0 { "file:s" } else { "file:./s/../s" };
        assert!(reload(&server, &root, &with(directory)), "{}", server.errors());
        assert_eq!(open_files(&server, "sessions.redb"), 1);
        let next = if round % 3 == 0 { "file:s" } else { "memory" };
        assert!(reload(&server, &root, &with(next)), "{}", server.errors());
    }
    let requests = load.finish();
    assert!(requests > 100, "{requests}");
    assert!(eventually(|| open_files(&server, "sessions.redb") == 0), "the old store is open");
}

#[test]
fn a_session_is_in_the_store_where_it_began() {
    let root = site();
    let server = serve(&root, &with("file:s"));
    let client = &mut server.connect();
    let (_, on_disk) = count(client, "");
    assert!(reload(&server, &root, &with("memory")));
    let (first, in_memory) = count(client, &on_disk);
    assert!(first == 1 && in_memory != on_disk, "it isn't carried over");
    assert!(reload(&server, &root, &with("file:s")));
    assert_eq!((count(client, &on_disk).0, count(client, &in_memory).0), (2, 1));
}

#[test]
fn a_store_that_cannot_be_opened_changes_nothing() {
    let root = site();
    let other = serve(&root, &with("file:taken"));
    for first in ["memory", "file:s"] {
        let server = serve(&root, &with(first));
        let client = &mut server.connect();
        let (_, mut cookie) = count(client, "");
        let wrong = [
            ("file:a/index.html", "index.html"),
            ("file:taken", "another process has it open"),
            ("file:a", "below the root"),
            ("cookie\"\nsession-key = \"a/index.html", "below the root"),
            ("redis://127.0.0.1:1\"\nsessions-ca = \"none", "sessions-ca"),
            ("rediss://localhost:1\"\nsessions-ca = \"none", "none"),
        ];
        for (expected, (store, why)) in (2..).zip(wrong) {
            assert!(!reload(&server, &root, &with(store)), "{store}");
            assert!(server.errors().contains(why), "{store}: {}", server.errors());
            let (seen, next) = count(client, &cookie);
            assert_eq!(seen, expected, "{first} {store}");
            cookie = next;
        }
        // The whole configuration is wrong: a new store isn't opened.
        assert!(!reload(&server, &root, &(with("file:new") + "users = \"none\"\n")));
        assert!(!root.at("new").exists());
        assert_eq!(count(client, &cookie).0, 8);
    }
    drop(other);
}

#[test]
fn a_request_that_waits_for_the_old_store_ends_there() {
    let root = site();
    let redis = Redis::start();
    let server = serve(&root, &with(&redis.url()));
    let mut client = server.connect();
    let (_, cookie) = count(&mut client, "");
    redis.faults.delay.store(200, Ordering::Relaxed);
    ask(&mut client, &cookie);
    assert!(eventually(|| redis.faults.commands.load(Ordering::Relaxed) >= 2), "it doesn't ask");
    assert!(reload(&server, &root, &with("memory")));
    let (_, other) = count(&mut server.connect(), &cookie);
    assert_ne!(other, cookie, "new requests use the new store");
    assert_eq!(counted(&client.response(), &cookie), (2, cookie.clone()));
    redis.faults.delay.store(0, Ordering::Relaxed);
    assert!(reload(&server, &root, &with(&redis.url())));
    assert_eq!(count(&mut client, &cookie).0, 3);
}

#[test]
fn another_key_makes_old_cookies_invalid() {
    let root = site();
    let with = |key: &str| with("cookie") + &format!("session-key = \"{key}\"\n");
    let server = serve(&root, &with("one"));
    let client = &mut server.connect();
    let (_, cookie) = count(client, "");
    assert!(reload(&server, &root, &with("two")));
    assert_eq!(count(client, &cookie).0, 1);
    assert!(reload(&server, &root, &with("one")));
    assert_eq!(count(client, &cookie).0, 2);
}

#[test]
#[ignore = "needs redis-server"]
fn a_real_redis_takes_the_place_of_memory_and_gives_it_back() {
    let root = site();
    root.directory("redis");
    let port = free_port().to_string();
    let mut redis = Command::new("redis-server");
    redis.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir", root.at("redis").to_str().unwrap()]);
    let _redis = Ended(redis.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    assert!(eventually(|| TcpStream::connect(("127.0.0.1", port.parse().unwrap())).is_ok()));
    let remote = with(&format!("redis://127.0.0.1:{port}/1"));
    let server = serve(&root, &with("memory"));
    let mut client = server.connect();
    let (_, in_memory) = count(&mut client, "");
    assert!(reload(&server, &root, &remote));
    let (first, in_redis) = count(&mut client, &in_memory);
    assert_eq!(first, 1);
    for expected in 2..50 {
        // The connection to the store is kept.
        assert!(reload(&server, &root, &remote));
        assert_eq!(count(&mut client, &in_redis).0, expected);
    }
    assert!(reload(&server, &root, &with("memory")));
    assert_eq!(count(&mut client, &in_redis).0, 1);
    assert!(reload(&server, &root, &remote));
    assert_eq!(count(&mut client, &in_redis).0, 50);
}
