//! The reverse proxy: requests that other servers answer.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::reload::{reload, serve};
use support::site::{Site, certificate};
use support::{Client, Root, Server, eventually, get, get_with, miod, pattern, read_head};

/// A server whose connections each get a thread; `act` is called with the number of the
/// connection, from 0.
fn origin(act: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let act = Arc::new(act);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (Ok(mut stream), act) = (stream, Arc::clone(&act)) else { return };
            std::thread::spawn(move || act(number, &mut stream));
        }
    });
    port
}

/// An origin that answers each request on a connection with what `answer` makes of its head.
fn answering(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> u16 {
    origin(move |_, stream| {
        loop {
            let head = read_head(stream);
            if head.is_empty() || stream.write_all(&answer(&head)).is_err() {
                return;
            }
        }
    })
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn proxy(port: u16, arguments: &[&str]) -> Server {
    let root = Root::new();
    root.file("index.html", "own");
    let route = format!("/api=http://127.0.0.1:{port}");
    Server::start_with(root, &[&["--proxy", &route], arguments].concat())
}

#[test]
fn a_request_is_passed_on_and_its_response_too() {
    let port = answering(|head| {
        let body = head.to_owned();
        let head = "HTTP/1.1 201 Made\r\nContent-Type: text/x\r\nConnection: X-Hop\r\nX-Hop: 1\r\nServer: other\r\nSet-Cookie: \
                    a=1\r\nSet-Cookie: b=2";
        format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    });
    let server = proxy(port, &[]);
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
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let port = origin(move |_, stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        while !read_head(stream).is_empty() {
            stream.write_all(&ok("x")).unwrap();
        }
    });
    let server = proxy(port, &[]);
    for _ in 0..20 {
        assert_eq!(server.get("/api/").text(), "x");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[test]
fn an_idle_connection_that_was_closed_loses_no_request() {
    // Each connection answers once, says that it persists, and closes.
    let port = origin(|_, stream| {
        read_head(stream);
        stream.write_all(&ok("x")).unwrap();
    });
    let server = proxy(port, &[]);
    for method in ["GET", "PUT", "GET", "DELETE"] {
        let request = format!("{method} /api/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(server.exchange(request).status, 200, "{method}");
    }
}

#[test]
fn content_streams_in_both_directions() {
    let size = 3_000_000;
    let port = origin(move |_, stream| {
        let head = read_head(stream);
        assert!(head.contains("Transfer-Encoding: chunked") || head.contains("Content-Length: 3000000"), "{head}");
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        // What is sent back is what comes, whatever its framing; then the end.
        let mut buffer = vec![0; 10_000];
        let mut left = if head.contains("chunked") { 0 } else { size };
        while left > 0 {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0);
            left -= count;
            write!(stream, "{count:x}\r\n").unwrap();
            stream.write_all(&buffer[..count]).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    let server = proxy(port, &[]);
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
fn a_large_response_is_passed_on_with_bounded_memory() {
    let size = 20_000_000;
    let port = origin(move |_, stream| {
        read_head(stream);
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").unwrap();
        let _ = stream.write_all(&pattern(size));
    });
    let server = proxy(port, &[]);
    let before = server.memory();
    let mut client = server.connect();
    client.send(get("/api/"));
    // A client that reads nothing for a while holds the upstream up, and not memory.
    assert_eq!(client.take(100_000).len(), 100_000);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(server.memory() < before + 2_000_000, "{} then {}", before, server.memory());
    let mut received = 100_000;
    while received < size {
        received += client.take((size - received).min(1_000_000)).len();
    }
}

#[test]
fn failures_have_their_status() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = origin(|_, stream| drop(stream.read_to_end(&mut Vec::new())));
    for (port, status, why, arguments) in [
        (closed, 502, "refuses the connection", &[][..]),
        (silent, 504, "did not respond in time", &["--upstream-timeout", "0.2"]),
        (origin(|_, stream| drop(read_head(stream))), 502, "closed the connection", &[]),
        (answering(|_| b"nonsense\r\n\r\n".to_vec()), 502, "malformed", &[]),
        (
            answering(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx".to_vec()),
            502,
            "malformed",
            &[],
        ),
        (
            answering(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()),
            502,
            "malformed",
            &[],
        ),
    ] {
        let server = proxy(port, arguments);
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
    let port = answering(|head| {
        let framing = if head.contains("/api/length") { "Content-Length: 10" } else { "Transfer-Encoding: chunked" };
        let body = if head.contains("/api/length") { "12345" } else { "5\r\n12345\r\n" };
        format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{body}").into_bytes()
    });
    // The origin waits for the next request, so a time-out cuts the response.
    let server = proxy(port, &["--upstream-idle-timeout", "0.2"]);
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
    let (gone, seen) = std::sync::mpsc::channel();
    let gone = std::sync::Mutex::new(gone);
    let port = origin(move |_, stream| {
        read_head(stream);
        let ended = stream.read(&mut [0; 1]);
        let _ = gone.lock().unwrap().send(ended.map_or(true, |count| count == 0));
    });
    let server = proxy(port, &[]);
    let mut client = server.connect();
    client.send(get("/api/"));
    assert!(eventually(|| true));
    std::thread::sleep(std::time::Duration::from_millis(100));
    rustix::net::sockopt::set_socket_linger(client.stream.try_clone().unwrap(), Some(std::time::Duration::ZERO))
        .unwrap();
    drop(client);
    assert_eq!(seen.recv_timeout(support::TIMEOUT), Ok(true));
}

#[test]
fn another_upstream_is_asked_if_one_fails() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let works = answering(|_| ok("x"));
    let root = Root::new();
    let route = format!("/=http://127.0.0.1:{closed},http://127.0.0.1:{works}");
    let server = Server::start(&root, &["--proxy", &route]);
    for _ in 0..5 {
        assert_eq!(server.get("/").text(), "x");
    }
    // Content isn't sent twice.
    let request = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(server.exchange(request).status, 200, "the one that fails is spared");
}

#[test]
fn routes_of_the_file_strip_the_prefix_and_name_the_upstream() {
    let port = answering(ok);
    let root = Root::new();
    root.file(
        "miod.toml",
        format!(
            "bind = \"127.0.0.1:0\"\n[[host]]\n[[host.route]]\npath = \"/app\"\nproxy = \"http://127.0.0.1:{port}\"\nstrip = \
             true\nhost = \"upstream\"\nbody-limit = 5\n[[host.route]]\npath = \"/keep\"\nproxy = [\"http://127.0.0.1:{port}\"]\n"
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
        let host = if path.starts_with("/app") {
            format!("Host: 127.0.0.1:{port}\r\n")
        } else {
            "Host: localhost\r\n".to_owned()
        };
        assert!(text.contains(&host), "{path}: {text}");
    }
    let request = "PUT /app/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\n123456";
    assert_eq!(server.exchange(request).status, 413);
}

#[test]
fn heads_without_content_and_interim_responses_pass() {
    let port = answering(|head| match head.split(' ').nth(1).unwrap() {
        "/api/head" => b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n".to_vec(),
        "/api/304" => b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n".to_vec(),
        "/api/early" => {
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_vec()
        }
        _ => b"HTTP/1.0 200 OK\r\n\r\nuntil the end".to_vec(),
    });
    let server = proxy(port, &[]);
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
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    drop(taken);
    let mut command = miod();
    let at = format!("127.0.0.1:{port}");
    command.arg("serve").arg(root.path()).args(["-b", &at, "--proxy", &format!("/=http://{at}")]);
    let server = Server::run(command);
    let response = server.get("/");
    assert_eq!(response.status, 502);
    assert!(response.text().contains("passed here before"), "{}", response.text());
}

#[test]
fn a_route_to_upstreams_changes_under_load_and_loses_no_request() {
    let (one, two) = (answering(|_| ok("1")), answering(|_| ok("2")));
    let slow = answering(|_| {
        std::thread::sleep(std::time::Duration::from_millis(300));
        ok("slow")
    });
    let root = Root::new();
    let config = |port: u16, further: &str| {
        format!(
            "bind = \"127.0.0.1:0\"\n[[host]]\n[[host.route]]\npath = \"/\"\nproxy = \"http://127.0.0.1:{port}\"\n{further}"
        )
    };
    let with_slow = format!("[[host.route]]\npath = \"/slow\"\nproxy = \"http://127.0.0.1:{slow}\"\n");
    let server = serve(&root, &config(one, &with_slow));
    let over = Arc::new(AtomicUsize::new(0));
    let address = server.address();
    let clients: Vec<_> = (0..6)
        .map(|number| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while over.load(Ordering::Relaxed) == 0 {
                    if number % 2 == 1 {
                        client = Client::connect(address);
                    }
                    client.send(get("/"));
                    let response = client.response();
                    assert!(response.status == 200 && ["1", "2"].contains(&response.text().as_str()), "{response:?}");
                }
            })
        })
        .collect();
    let mut waiting = server.connect();
    waiting.send(get("/slow"));
    for count in 0..30 {
        let port = if count % 2 == 0 { two } else { one };
        assert!(reload(&server, &root, &config(port, "")));
    }
    assert_eq!(waiting.response().text(), "slow", "it ends as it began");
    over.store(1, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().expect("a request was lost"));
    assert_eq!(server.get("/slow").text(), "1", "the route is gone");
}

#[test]
fn the_log_names_the_upstream() {
    let root = Root::new();
    root.file("site/index.html", "own");
    let (works, closed) =
        (answering(|_| ok("x")), TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let log = root.at("log").display().to_string();
    let mut command = miod();
    command.arg("serve").arg(root.at("site")).args(["-p", "0", "--log-format", "json", "--access-log", &log]);
    command.args([
        "--proxy",
        &format!("/a=http://127.0.0.1:{works}"),
        "--proxy",
        &format!("/b=http://127.0.0.1:{closed}"),
    ]);
    let server = Server::run(command);
    for (path, status) in [("/a", 200), ("/b", 502), ("/", 200)] {
        assert_eq!(server.get(path).status, status);
    }
    let mut lines: Vec<serde_json::Value> = Vec::new();
    assert!(eventually(|| {
        let text = std::fs::read_to_string(&log).unwrap();
        lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.len() == 3
    }));
    let upstreams: Vec<_> = lines.iter().map(|line| line["upstream"].as_str()).collect();
    let urls = [works, closed].map(|port| format!("http://127.0.0.1:{port}"));
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
    assert!(response.text().contains("TLS to the upstream failed"), "{}", response.text());

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
    let port = answering(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        ok("late")
    });
    let server = proxy(port, &[]);
    let mut client: Client = server.connect();
    client.send(get("/api/"));
    client.end();
    assert_eq!(client.response().text(), "late");
}
