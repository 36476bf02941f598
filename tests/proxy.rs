//! The reverse proxy: requests that other servers answer.

mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::reload::{Load, reload, serve};
use support::site::{Site, certificate};
use support::sockets::{Deaf, free_port};
use support::{
    Client, Root, Script, Server, TIMEOUT, eventually, get, get_with, miod, pattern, read_head, uninterrupted,
    whole_lines,
};

/// An origin that holds its response back until it is told to send it.
fn held(body: &'static str) -> (Script, Sender<()>) {
    let (answer, told) = channel();
    let told = Mutex::new(told);
    let origin = Script::answering(move |_| {
        told.lock().unwrap().recv_timeout(TIMEOUT).expect("a word from the test");
        ok(body)
    });
    (origin, answer)
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A server whose paths below `/api` another one answers.
fn proxy(upstream: SocketAddr, arguments: &[&str]) -> Server {
    let root = Root::new();
    root.file("index.html", "own");
    let route = format!("/api=http://{upstream}");
    Server::start_with(root, &[&["--proxy", &route], arguments].concat())
}

#[test]
fn a_request_is_passed_on_and_its_response_too() {
    let origin = Script::answering(|head| {
        let body = head.to_owned();
        let head = "HTTP/1.1 201 Made\r\nContent-Type: text/x\r\nConnection: X-Hop\r\nX-Hop: 1\r\nServer: other\r\nSet-Cookie: \
                    a=1\r\nSet-Cookie: b=2";
        format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    });
    let server = proxy(origin.address, &[]);
    let response =
        server.get_with("/api/a%20b?c=d", "X-Forwarded-For: 6.6.6.6\r\nConnection: X-Secret\r\nX-Secret: 1\r\n");
    assert_eq!((response.status, response.field("Content-Type")), (201, Some("text/x")));
    assert_eq!((response.count("Set-Cookie"), response.count("X-Hop"), response.field("Server")), (2, 0, Some("miod")));
    let text = response.text();
    assert!(text.starts_with("GET /api/a%20b?c=d HTTP/1.1\r\nHost: localhost\r\n"), "{text}");
    for part in [
        "X-Forwarded-For: 127.0.0.1\r\n",
        "Via: 1.1 miod-",
        "Forwarded: for=127.0.0.1;proto=http;host=\"localhost\"\r\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("6.6.6.6") && !text.contains("Secret"), "{text}");
    assert_eq!(server.get("/").text(), "own");
    assert_eq!(server.get("/apix").status, 404);
}

#[test]
fn connections_to_the_upstream_are_used_again() {
    let (origin, connections) = Script::counting(|_| ok("x"));
    let server = proxy(origin.address, &[]);
    for _ in 0..20 {
        assert_eq!(server.get("/api/").text(), "x");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[test]
fn an_idle_connection_that_was_closed_loses_no_request() {
    // Each connection answers once, says that it persists, and closes.
    let origin = Script::parallel(|_, stream| {
        read_head(stream);
        stream.write_all(&ok("x")).unwrap();
    });
    let server = proxy(origin.address, &[]);
    for method in ["GET", "PUT", "GET", "DELETE"] {
        let request = format!("{method} /api/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(server.exchange(request).status, 200, "{method}");
    }
}

#[test]
fn content_streams_in_both_directions() {
    let size = 3_000_000;
    let origin = Script::parallel(move |_, stream| {
        let head = read_head(stream);
        assert!(head.contains("Transfer-Encoding: chunked") || head.contains("Content-Length: 3000000"), "{head}");
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        // What is sent back is what comes, whatever its framing; then the end.
        let mut buffer = vec![0; 10_000];
        let mut left = if head.contains("chunked") { 0 } else { size };
        while left > 0 {
            let count = uninterrupted(|| stream.read(&mut buffer)).unwrap();
            assert!(count > 0);
            left -= count;
            write!(stream, "{count:x}\r\n").unwrap();
            stream.write_all(&buffer[..count]).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    let server = proxy(origin.address, &[]);
    let content = pattern(size);
    let mut client = server.connect();
    client.send(format!("PUT /api/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"));
    let mut sender = client.stream.try_clone().unwrap();
    let copy = content.clone();
    let writing = std::thread::spawn(move || sender.write_all(&copy).unwrap());
    let response = client.response();
    writing.join().unwrap();
    assert!(response.status == 200 && response.body == content);
    client.send(get("/"));
    assert_eq!(client.response().text(), "own", "the connection persists");
}

#[test]
fn content_and_response_do_not_wait_for_each_other() {
    let size = 20_000_000;
    // One origin reads all content before it responds; the other does both at once.
    for is_patient in [true, false] {
        let origin = Script::parallel(move |_, stream| {
            read_head(stream);
            let mut reader = stream.try_clone().unwrap();
            let reading = std::thread::spawn(move || {
                let mut buffer = vec![0; 100_000];
                let mut left = size;
                while left > 0 {
                    left -= uninterrupted(|| reader.read(&mut buffer)).unwrap();
                }
            });
            if is_patient {
                reading.join().unwrap();
            }
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").unwrap();
            stream.write_all(&pattern(size)).unwrap();
        });
        let server = proxy(origin.address, &[]);
        let mut client = server.connect();
        client.send(format!("PUT /api/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"));
        // All of it before the first byte of the response is read.
        client.send(pattern(size));
        assert!(client.response().body == pattern(size));
    }
    // This one sends its whole response before it reads any content.
    let origin = Script::parallel(move |_, stream| {
        read_head(stream);
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").unwrap();
        stream.write_all(&pattern(size)).unwrap();
        let mut left = vec![0; size];
        stream.read_exact(&mut left).unwrap();
    });
    let server = proxy(origin.address, &[]);
    let mut client = server.connect();
    client.send(format!("PUT /api/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"));
    let mut sender = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || sender.write_all(&pattern(size)));
    assert!(client.response().body == pattern(size));
    drop(sending.join().unwrap());
}

#[test]
fn a_large_response_is_passed_on_with_bounded_memory() {
    let size = 20_000_000;
    let (stalled, seen) = channel();
    let stalled = Mutex::new(stalled);
    let origin = Script::parallel(move |_, stream| {
        read_head(stream);
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        let content = pattern(size);
        let mut rest = &content[..];
        while !rest.is_empty() {
            match uninterrupted(|| stream.write(rest)) {
                Ok(count) => rest = &rest[count..],
                // Nobody takes more.
                Err(_) => drop(stalled.lock().unwrap().send(())),
            }
        }
    });
    let server = proxy(origin.address, &[]);
    let before = server.memory();
    let mut client = server.connect();
    client.send(get("/api/"));
    // A client that reads nothing for a while holds the upstream up, and not memory.
    assert_eq!(client.take(100_000).len(), 100_000);
    assert_eq!(seen.recv_timeout(TIMEOUT), Ok(()));
    assert!(server.memory() < before + 2_000_000, "{} then {}", before, server.memory());
    let mut received = 100_000;
    while received < size {
        received += client.take((size - received).min(1_000_000)).len();
    }
}

#[test]
fn failures_have_their_status() {
    let silent = || Script::parallel(|_, stream| drop(stream.read_to_end(&mut Vec::new())));
    let responding = |response: &'static [u8]| Script::answering(|_| response.to_vec());
    for (origin, status, why, arguments) in [
        (None, 502, "refuses the connection", &[][..]),
        (Some(silent()), 504, "did not respond in time", &["--upstream-timeout", "0.2"]),
        (Some(Script::parallel(|_, stream| drop(read_head(stream)))), 502, "closed the connection", &[]),
        (Some(responding(b"nonsense\r\n\r\n")), 502, "malformed", &[]),
        // A client treats an invalid status as a 5xx (RFC 9110 §15); this one has a meaning.
        (Some(responding(b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n")), 502, "malformed", &[]),
        (
            Some(responding(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx")),
            502,
            "malformed",
            &[],
        ),
        (
            Some(responding(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")),
            502,
            "malformed",
            &[],
        ),
    ] {
        let nobody = Deaf::new();
        let server = proxy(origin.as_ref().map_or(nobody.address, |origin| origin.address), arguments);
        let mut client = server.connect();
        client.send(get("/api/"));
        let response = client.response();
        assert_eq!(response.status, status, "{why}");
        assert!(response.text().contains(why), "{why}: {}", response.text());
        client.send(get("/"));
        assert_eq!(client.response().text(), "own", "the client's connection goes on");
    }
}

#[test]
fn a_cut_response_is_visibly_cut() {
    let origin = Script::answering(|head| {
        let framing = if head.contains("/api/length") { "Content-Length: 10" } else { "Transfer-Encoding: chunked" };
        let body = if head.contains("/api/length") { "12345" } else { "5\r\n12345\r\n" };
        format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{body}").into_bytes()
    });
    // The origin waits for the next request, so a time-out cuts the response.
    let server = proxy(origin.address, &["--upstream-idle-timeout", "0.2"]);
    for path in ["/api/length", "/api/chunked"] {
        let mut client = server.connect();
        client.send(get(path));
        let (received, _) = client.rest_or_reset();
        let text = String::from_utf8_lossy(&received);
        assert!(text.starts_with("HTTP/1.1 200") && !text.ends_with("0\r\n\r\n"), "{text}");
    }
}

#[test]
fn a_client_that_goes_away_cancels_its_request() {
    let (asked, seen) = channel();
    let asked = Mutex::new(asked);
    let origin = Script::parallel(move |_, stream| {
        read_head(stream);
        let tell = |is_over| asked.lock().unwrap().send(is_over).unwrap_or_default();
        tell(false);
        tell(uninterrupted(|| stream.read(&mut [0])).map_or(true, |count| count == 0));
    });
    let server = proxy(origin.address, &[]);
    let mut client = server.connect();
    client.send(get("/api/"));
    assert_eq!(seen.recv_timeout(TIMEOUT), Ok(false));
    rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(seen.recv_timeout(TIMEOUT), Ok(true));
}

#[test]
fn another_upstream_is_asked_if_one_fails() {
    let (closed, works) = (Deaf::new(), Script::answering(|_| ok("x")));
    let root = Root::new();
    let route = format!("/=http://{},{}", closed.address, works.url(""));
    let server = Server::start(&root, &["--proxy", &route]);
    for _ in 0..5 {
        assert_eq!(server.get("/").text(), "x");
    }
}

/// An origin that sends back the content of one request for each connection.
fn echo() -> Script {
    Script::parallel(|_, stream| {
        let head = read_head(stream);
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap();
        let mut content = vec![0; length];
        stream.read_exact(&mut content).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&content).unwrap();
    })
}

#[test]
fn content_is_kept_until_an_upstream_has_accepted_the_connection() {
    let (closed, works) = (Deaf::new(), echo());
    let route = format!("/=http://{},{}", closed.address, works.url(""));
    let server = Server::start_with(Root::new(), &["--proxy", &route]);
    let request = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(server.exchange(request).text(), "hello", "the first that is asked refuses");
    let line = format!("the upstream http://{} fails: connection_refused\n", closed.address);
    assert!(eventually(|| server.errors().contains(&line)), "{}", server.errors());
}

#[test]
fn each_address_of_a_name_is_tried() {
    // The name has an address of IPv6 on most machines, at which nobody listens.
    let works = echo();
    let route = format!("/=http://localhost:{}", works.address.port());
    let server = Server::start_with(Root::new(), &["--proxy", &route]);
    for _ in 0..2 {
        let request = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(server.exchange(request).text(), "hello");
    }
}

#[test]
fn requests_wait_while_an_upstream_has_as_many_as_it_should_have() {
    let (asked, seen) = channel();
    let (answer, told) = channel::<()>();
    let (asked, told) = (Mutex::new(asked), Mutex::new(told));
    let origin = Script::answering(move |head| {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        asked.lock().unwrap().send(path.clone()).unwrap();
        told.lock().unwrap().recv_timeout(TIMEOUT).expect("a word from the test");
        ok(&path)
    });
    let root = Root::new();
    let route = format!("[[host]]\n[[host.route]]\npath = \"/\"\nproxy = \"{}\"\nmax-in-flight = 1\n", origin.url(""));
    let server = serve(&root, &format!("bind = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{route}"));
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..4 {
        let mut client = server.connect();
        client.send(get(&format!("/{number}")));
        if number == 0 {
            assert_eq!(seen.recv_timeout(TIMEOUT).as_deref(), Ok("/0"));
        }
        clients.push(client);
    }
    // One that goes away leaves its place.
    let gone = clients.remove(2);
    rustix::net::sockopt::set_socket_linger(&gone.stream, Some(Duration::ZERO)).unwrap();
    drop(gone);
    for number in [0, 1, 3] {
        answer.send(()).unwrap();
        assert_eq!(clients.remove(0).response().text(), format!("/{number}"));
    }
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["/1", "/3"]);
}

#[test]
fn requests_wait_until_a_stored_response_is_whole_or_confirmed_and_no_longer() {
    let (asked, seen) = channel();
    let (answer, told) = channel::<()>();
    let (asked, told) = (Mutex::new(asked), Mutex::new(told));
    let origin = Script::parallel(move |_, stream| {
        loop {
            let head = read_head(stream);
            let Some(path) = head.split(' ').nth(1) else { return };
            asked.lock().unwrap().send(path.to_owned()).unwrap();
            let (first, rest): (&[u8], &[u8]) = match (path, head.contains("If-None-Match")) {
                ("/up/stored", false) => {
                    (b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nCache-Control: no-cache\r\nContent-Length: 2\r\n\r\nx", b"y")
                }
                ("/up/stored", true) => (b"", b"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n"),
                _ => {
                    stream.write_all(&ok("other")).unwrap();
                    continue;
                }
            };
            stream.write_all(first).unwrap();
            told.lock().unwrap().recv_timeout(TIMEOUT).expect("a word from the test");
            stream.write_all(rest).unwrap();
        }
    });
    let root = Root::new();
    let route = format!("path = \"/up\"\nproxy = \"{}\"\nmax-in-flight = 1\ncache = true\n", origin.url(""));
    let server = serve(&root, &format!("bind = \"127.0.0.1:0\"\n[[host]]\n[[host.route]]\n{route}"));
    for _ in ["whole", "confirmed"] {
        let mut reader = server.connect();
        reader.send(get("/up/stored"));
        assert_eq!(seen.recv_timeout(TIMEOUT).as_deref(), Ok("/up/stored"));
        let mut other = server.connect();
        other.send(get("/up/other"));
        // When this is answered, the other request has come, and waits.
        assert_eq!(server.get("/").status, 404);
        assert!(seen.try_recv().is_err());
        answer.send(()).unwrap();
        assert_eq!(reader.response().text(), "xy");
        assert_eq!(other.response().text(), "other");
        assert_eq!(seen.recv_timeout(TIMEOUT).as_deref(), Ok("/up/other"));
    }
}

#[test]
fn checks_take_an_upstream_out_and_bring_it_back() {
    let is_up = Arc::new(AtomicBool::new(true));
    let answer = Arc::clone(&is_up);
    let checked = Script::answering(move |head| match (head.starts_with("GET /up "), answer.load(Ordering::SeqCst)) {
        (true, false) => b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n".to_vec(),
        (is_check, _) => {
            assert!(!is_check || head.contains("User-Agent: miod/"), "{head}");
            ok("one")
        }
    });
    let other = Script::answering(|_| ok("two"));
    let (root, url) = (Root::new(), checked.url(""));
    let route = |path: &str, urls: &[&str]| {
        format!("[[host.route]]\npath = \"{path}\"\nproxy = {urls:?}\nhealth = \"/up\"\nhealth-interval = 0.02\n")
    };
    let config = "bind = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[[host]]\n".to_owned();
    let config = config + &route("/", &[&url, &other.url("")]) + &route("/alone", &[&url]);
    let mut server = serve(&root, &config);
    let is_up_there = |server: &Server| {
        let mut client = Client::connect(server.operators());
        client.send(get("/metrics"));
        let text = client.response().text();
        let sample = format!("miod_upstream_up{{host=\"_default\",path=\"/alone\",upstream=\"{url}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&sample).map(|value| value == "1")).expect("a sample")
    };
    assert_eq!((server.get("/").text().as_str(), server.get("/alone").text().as_str()), ("one", "one"));
    is_up.store(false, Ordering::SeqCst);
    assert!(eventually(|| server.get("/alone").status == 503 && server.get("/").text() == "two"));
    assert!(!is_up_there(&server));
    is_up.store(true, Ordering::SeqCst);
    assert!(eventually(|| server.get("/alone").status == 200 && server.get("/").text() == "one"));
    assert!(is_up_there(&server));
    // Without checks nobody notices; and no check holds up a shutdown.
    assert!(reload(&server, &root, &config.replace("health = \"/up\"\nhealth-interval = 0.02\n", "")));
    assert!(reload(&server, &root, &config));
    server.signal("TERM");
    assert!(server.wait().success());
}

#[test]
fn an_upstream_that_accepts_and_closes_is_asked_once() {
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&accepted);
    let origin = Script::parallel(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let server = proxy(origin.address, &[]);
    assert_eq!(server.exchange("POST /api/ HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 502);
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[test]
fn routes_of_the_file_strip_the_prefix_and_name_the_upstream() {
    let origin = Script::answering(ok);
    let at = origin.address;
    let root = Root::new();
    root.file(
        "miod.toml",
        format!(
            "bind = \"127.0.0.1:0\"\n[[host]]\n[[host.route]]\npath = \"/app\"\nproxy = \"http://{at}\"\nstrip = \
             true\nhost = \"upstream\"\nbody-limit = 5\n[[host.route]]\npath = \"/keep\"\nproxy = [\"http://{at}\"]\n"
        ),
    );
    let mut command = miod();
    command.arg("-c").arg(root.at("miod.toml"));
    let server = Server::run(command);
    for (path, target) in
        [("/app/a/b?q", "/a/b?q"), ("/app", "/"), ("/app/", "/"), ("/app/%C3%A4", "/%C3%A4"), ("/keep/x", "/keep/x")]
    {
        let text = server.get(path).text();
        assert!(text.starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{path}: {text}");
        let host = if path.starts_with("/app") { format!("Host: {at}\r\n") } else { "Host: localhost\r\n".to_owned() };
        assert!(text.contains(&host), "{path}: {text}");
    }
    let request = "PUT /app/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\n123456";
    assert_eq!(server.exchange(request).status, 413);
}

#[test]
fn what_an_upstream_calls_itself_becomes_a_path_of_its_route() {
    // An origin that names the URL that the client tells it.
    let origin = || {
        Script::answering(|head| {
            let url = head.split_once("X-Url: ").map_or("", |(_, rest)| rest.split("\r\n").next().unwrap());
            let lines = format!("Location: {url}\r\nContent-Location: {url}\r\nCache-Control: max-age=60");
            let status = if head.starts_with("GET") { 301 } else { 201 };
            format!("HTTP/1.1 {status} X\r\n{lines}\r\nContent-Length: 0\r\n\r\n").into_bytes()
        })
    };
    let (first, second) = (origin(), origin());
    let (one, other) = (first.address, second.address);
    let root = Root::new();
    let upstreams = format!("proxy = [\"http://{one}\", \"http://{other}\"]");
    root.file(
        "miod.toml",
        format!(
            "bind = \"127.0.0.1:0\"\nproxy-cache = \"memory\"\n[[host]]\n[[host.route]]\npath = \"/app\"\n{upstreams}\n\
             strip = true\nhost = \"upstream\"\ncache = true\n[[host.route]]\npath = \"/keep\"\n{upstreams}\n"
        ),
    );
    let mut command = miod();
    command.arg("-c").arg(root.at("miod.toml"));
    let server = Server::run(command);
    let port = one.port();
    let cases = [
        ("/app/", format!("http://{one}/a?b#c"), "/app/a?b#c"),
        ("/app/", format!("http://{other}"), "/app/"),
        ("/app/", format!("//{one}/a"), "/app/a"),
        ("/app/", format!("http://{one}//other/a"), "/app//other/a"),
        ("/app/", "http://localhost/a".to_owned(), "http://localhost/a"),
        ("/app/", "http://other/a".to_owned(), "http://other/a"),
        ("/app/", "/a".to_owned(), "/a"),
        ("/keep/", format!("http://{one}/keep/a"), "/keep/a"),
        ("/keep/", format!("http://localhost:{port}/keep/a"), "/keep/a"),
        ("/keep/", format!("http://{one}//other/a"), "/.//other/a"),
        ("/keep/", "https://localhost/keep/a".to_owned(), "https://localhost/keep/a"),
    ];
    for (number, (path, url, expected)) in cases.into_iter().enumerate() {
        let path = format!("{path}{number}");
        for attempt in ["MISS", "HIT"] {
            let response = server.get_with(&path, &format!("X-Url: {url}\r\n"));
            let found = ["Location", "Content-Location"].map(|name| response.field(name));
            assert_eq!((response.status, found), (301, [Some(expected); 2]), "{path}");
            let is_cached = path.starts_with("/app");
            assert_eq!(response.field("X-Cache"), is_cached.then_some(attempt), "{path}");
        }
    }
    // What was changed isn't stored any more, by whatever name it is called.
    assert_eq!(server.get("/app/changed").field("X-Cache"), Some("MISS"));
    assert_eq!(server.get("/app/changed").field("X-Cache"), Some("HIT"));
    let change = format!("POST /app/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nX-Url: http://{one}/changed");
    assert_eq!(server.exchange(format!("{change}\r\n\r\n")).status, 201);
    assert_eq!(server.get("/app/changed").field("X-Cache"), Some("MISS"));
}

#[test]
fn paths_pass_as_they_were_sent_and_encoded_slashes_get_around_no_rule() {
    let origin = Script::answering(|head| ok(head.split(' ').nth(1).unwrap()));
    let proxy = format!("proxy = \"http://{}\"", origin.address);
    let root = Root::new();
    root.file(
        "miod.toml",
        format!(
            "bind = \"127.0.0.1:0\"\n[[host]]\n[[host.route]]\npath = \"/\"\n{proxy}\n[[host.route]]\n\
             path = \"/app\"\n{proxy}\nstrip = true\n[[host.route]]\npath = \"/private\"\nallow = [\"10.0.0.0/8\"]\n\
             [[host.route]]\npath = \"/files\"\nroot = \".\"\n"
        ),
    );
    let mut command = miod();
    command.arg("-c").arg(root.at("miod.toml"));
    let server = Server::run(command);
    for (path, expected) in [
        ("/a%2fb", Some("/a%2fb")),
        ("/a//b/./c:d@e%3A?f%2f", Some("/a//b/./c:d@e%3A?f%2f")),
        ("/app/a%2fb//c:d", Some("/a%2fb//c:d")),
        ("/app///a", Some("/a")),
        ("/%61pp?b", Some("/?b")),
        ("/app/%2fa", Some("/%2fa")),
        // Whether these are below another route depends on who reads them.
        ("/app%2fa", None),
        ("/private%2fa", None),
        ("/a/..%2fprivate", None),
        ("/a%2f..%2fprivate", None),
        ("/app/..%2f", None),
        ("/files/a%2fb", None),
    ] {
        let response = server.get(path);
        match expected {
            Some(target) => assert_eq!((response.status, &*response.text()), (200, target), "{path}"),
            None => assert_eq!(response.status, 400, "{path}"),
        }
    }
    assert_eq!(server.get("/private/a").status, 403);
}

#[test]
fn of_several_upstreams_each_has_its_turn() {
    let (one, two) = (Script::answering(|_| ok("1")), Script::answering(|_| ok("2")));
    let route = format!("/={},{}", one.url(""), two.url(""));
    let server = Server::start_with(Root::new(), &["--proxy", &route]);
    let all: String = (0..6).map(|_| server.get("/").text()).collect();
    assert_eq!(all, "121212");
}

#[test]
fn heads_without_content_and_interim_responses_pass() {
    let origin = Script::answering(|head| match head.split(' ').nth(1).unwrap() {
        "/api/head" => b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n".to_vec(),
        "/api/304" => b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n".to_vec(),
        "/api/early" => {
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_vec()
        }
        _ => b"HTTP/1.0 200 OK\r\n\r\nuntil the end".to_vec(),
    });
    let server = proxy(origin.address, &[]);
    let mut client = server.connect();
    client.send(get("/api/head").replace("GET", "HEAD"));
    assert_eq!(client.response_to("HEAD").field("Content-Length"), Some("77"));
    client.send(get("/api/304"));
    let response = client.response();
    assert_eq!((response.status, response.field("ETag")), (304, Some("\"x\"")));
    client.send(get_with("/api/early", "Connection: close\r\n"));
    let text = String::from_utf8(client.rest()).unwrap();
    assert!(text.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"), "{text}");
}

#[test]
fn a_loop_is_found() {
    let root = Root::new();
    let mut command = miod();
    let at = format!("127.0.0.1:{}", free_port());
    command.arg("serve").arg(root.path()).args(["-b", &at, "--proxy", &format!("/=http://{at}")]);
    let server = Server::run(command);
    let response = server.get("/");
    assert_eq!(response.status, 502);
    assert!(response.text().contains("passed here before"), "{}", response.text());
}

#[test]
fn a_route_to_upstreams_changes_under_load_and_loses_no_request() {
    let (one, two) = (Script::answering(|_| ok("1")), Script::answering(|_| ok("2")));
    let (slow, answer) = held("slow");
    let root = Root::new();
    let config = |origin: &Script, further: &str| {
        let url = origin.url("");
        format!("bind = \"127.0.0.1:0\"\n[[host]]\n[[host.route]]\npath = \"/\"\nproxy = \"{url}\"\n{further}")
    };
    let with_slow = format!("[[host.route]]\npath = \"/slow\"\nproxy = \"{}\"\n", slow.url(""));
    let server = serve(&root, &config(&one, &with_slow));
    let load = Load::start(server.address(), 6, |client, (): &mut ()| {
        client.send(get("/"));
        let response = client.response();
        assert!(response.status == 200 && ["1", "2"].contains(&response.text().as_str()), "{response:?}");
    });
    let mut waiting = server.connect();
    waiting.send(get("/slow"));
    // Its head must have come before the first reload.
    assert_eq!(server.get("/").status, 200);
    for count in 0..30 {
        let origin = if count % 2 == 0 { &two } else { &one };
        assert!(reload(&server, &root, &config(origin, "")));
    }
    answer.send(()).unwrap();
    assert_eq!(waiting.response().text(), "slow", "it ends as it began");
    load.finish();
    assert_eq!(server.get("/slow").text(), "1", "the route is gone");
}

#[test]
fn the_log_names_the_upstream() {
    let root = Root::new();
    root.file("site/index.html", "own");
    let origin = Script::answering(|_| ok("x"));
    let nobody = Deaf::new();
    let (works, closed) = (origin.address, nobody.address);
    let log = root.at("log").display().to_string();
    let mut command = miod();
    command.arg("serve").arg(root.at("site")).args(["-p", "0", "--log-format", "json", "--access-log", &log]);
    command.args(["--proxy", &format!("/a=http://{works}"), "--proxy", &format!("/b=http://{closed}")]);
    let server = Server::run(command);
    for (path, status) in [("/a", 200), ("/b", 502), ("/", 200)] {
        assert_eq!(server.get(path).status, status);
    }
    let mut lines: Vec<serde_json::Value> = Vec::new();
    assert!(eventually(|| {
        let whole = whole_lines(Path::new(&log));
        lines = whole.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.len() == 3
    }));
    let upstreams: Vec<_> = lines.iter().map(|line| line["upstream"].as_str()).collect();
    let urls = [works, closed].map(|at| format!("http://{at}"));
    assert_eq!(upstreams, [Some(&*urls[0]), Some(&*urls[1]), None]);
    assert_eq!(lines[0]["status"], 200);
}

#[test]
fn upstreams_may_be_behind_tls_or_on_unix_domain_sockets() {
    let site = Site::start(&["--tls", "auto"]);
    let url = format!("/=https://localhost:{}", site.port());
    let root = Root::new();
    let trusting = Server::start(&root, &["--proxy", &url, "--upstream-ca", &site.authority()]);
    assert_eq!(trusting.get("/").text(), "hello");
    assert_eq!(trusting.get("/large").body, pattern(3_000_000));
    let other = certificate(&root, "tls", &["localhost"]);
    let suspicious = Server::start(&root, &["--proxy", &url, "--upstream-ca", &other.authority]);
    let response = suspicious.get("/");
    assert_eq!(response.status, 502);
    assert!(response.text().contains("The certificate of the upstream isn't trusted"), "{}", response.text());

    let path = root.at("socket");
    root.file("site/index.html", "by a socket");
    let at = format!("unix:{}", path.display());
    let mut command = miod();
    command.arg("serve").arg(root.at("site")).args(["-b", "127.0.0.1:0", "-b", &at]);
    let _upstream = Server::run(command);
    let server = Server::start(&root, &["--proxy", &format!("/={at}")]);
    assert_eq!(server.get("/").text(), "by a socket");
}

#[test]
fn a_client_may_be_half_closed_and_still_gets_its_response() {
    let (origin, answer) = held("late");
    let server = proxy(origin.address, &[]);
    let mut client: Client = server.connect();
    client.send(get("/api/"));
    client.end();
    // A later response on another connection shows that the end was seen.
    assert_eq!(server.get("/").text(), "own");
    answer.send(()).unwrap();
    assert_eq!(client.response().text(), "late");
}
