//! The cache of the forward proxy: responses are stored and sent again, and requests for the same
//! are sent once.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use support::{Client, Response, Root, Script, Server, TIMEOUT, eventually, miod, pattern, read_head, uninterrupted};

/// A forward proxy with these arguments.
fn forward(arguments: &[&str]) -> Server {
    let mut command = miod();
    command.args(["proxy", "-p", "0"]).args(arguments);
    Server::run(command)
}

/// An origin, and the heads of the requests that it got.
struct Origin {
    script: Script,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Origin {
    /// It answers each request on a connection with what `answer` makes of its head.
    fn answering(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heads);
        let script = Script::parallel(move |_, stream| {
            loop {
                let head = read_head(stream);
                if head.is_empty() {
                    return;
                }
                noted.lock().unwrap().push(head.clone());
                if stream.write_all(answer(&head).as_bytes()).is_err() {
                    return;
                }
            }
        });
        Self { script, heads }
    }

    /// It answers with this text and these further fields.
    fn with(fields: &'static str) -> Self {
        Self::answering(move |_| ok(fields, "text"))
    }

    fn count(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    fn last(&self) -> String {
        self.heads.lock().unwrap().last().unwrap().clone()
    }

    fn url(&self, path: &str) -> String {
        self.script.url(path)
    }
}

fn ok(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A request in the absolute form, with further lines.
fn request(method: &str, url: &str, lines: &str) -> String {
    format!("{method} {url} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

fn get(server: &Server, url: &str, lines: &str) -> Response {
    server.exchange(request("GET", url, lines))
}

/// What the cache says about a response, without the lifetime that is left.
fn handling(response: &Response) -> String {
    let status = response.field("Cache-Status").unwrap_or_else(|| panic!("{}", response.head));
    status.split("; ttl=").next().unwrap().to_owned()
}

const MISS: &str = "miod; fwd=uri-miss; stored";
const HIT: &str = "miod; hit";
const COLLAPSED: &str = "miod; fwd=uri-miss; collapsed";

#[test]
fn a_response_is_stored_and_sent_again() {
    let origin = Origin::with("Cache-Control: max-age=100\r\nETag: \"e\"\r\nServer: other\r\n");
    let server = forward(&[]);
    let url = origin.url("/a?b");
    let first = get(&server, &url, "");
    assert_eq!((handling(&first), first.field("X-Cache")), (MISS.to_owned(), Some("MISS")));
    for _ in 0..3 {
        let again = get(&server, &url, "");
        assert_eq!((handling(&again), again.field("X-Cache")), (HIT.to_owned(), Some("HIT")));
        assert!(again.text() == "text" && again.field("Server") == Some("other"), "{}", again.head);
        let age: u32 = again.field("Age").unwrap().parse().unwrap();
        assert!(age < 100, "{age}");
        assert!(again.field("Via").unwrap().starts_with("1.1 miod-"));
    }
    // It is the same resource for all clients, however they write its URL.
    let port = origin.script.address.port();
    let textbook = format!("/{}/a?b", origin.script.address);
    for (target, lines) in [
        (url.replace("http", "HTTP"), "Host: other\r\n"),
        (textbook.clone(), ""),
        (format!("/http:/{textbook}"), ""),
        (url.clone(), "Cookie: a=b\r\n"),
    ] {
        let raw = match lines.starts_with("Host") {
            true => format!("GET {target} HTTP/1.1\r\n{lines}\r\n"),
            false => request("GET", &target, lines),
        };
        let response = server.exchange(raw);
        assert_eq!(handling(&response), HIT, "{target} {lines}");
    }
    let mut client = server.connect();
    client.send(request("HEAD", &url, ""));
    let head = client.response_to("HEAD");
    assert_eq!((handling(&head), head.field("Content-Length")), (HIT.to_owned(), Some("4")));
    let part = get(&server, &url, "Range: bytes=1-2\r\n");
    assert_eq!((part.status, &*part.text(), handling(&part)), (206, "ex", HIT.to_owned()));
    let unchanged = get(&server, &url, "If-None-Match: \"e\"\r\n");
    assert_eq!((unchanged.status, handling(&unchanged)), (304, HIT.to_owned()));
    assert_eq!(get(&server, &url, "Cache-Control: only-if-cached\r\n").status, 200);
    assert_eq!(get(&server, &origin.url("/b"), "Cache-Control: only-if-cached\r\n").status, 504);
    assert_eq!(origin.count(), 1);
    // Another name is another origin.
    assert_eq!(handling(&get(&server, &format!("http://localhost:{port}/a?b"), "")), MISS);
    assert_eq!(handling(&get(&server, &format!("HTTP://LOCALHOST:{port}/a?b"), "")), HIT);
    // A change makes it unusable.
    assert_eq!(server.exchange(request("POST", &url, "Content-Length: 0\r\n")).status, 200);
    assert_eq!(handling(&get(&server, &url, "")), MISS);
}

#[test]
fn what_is_for_one_client_is_not_sent_to_another() {
    for (fields, lines) in [
        ("Cache-Control: no-store\r\n", ""),
        ("Cache-Control: private, max-age=100\r\n", ""),
        ("Cache-Control: max-age=100\r\n", "Authorization: Basic YTpi\r\n"),
        ("Cache-Control: max-age=100\r\nVary: *\r\n", ""),
    ] {
        let origin = Origin::with(fields);
        let server = forward(&[]);
        for count in 1..=3 {
            let response = get(&server, &origin.url("/"), lines);
            assert_eq!(response.field("X-Cache"), Some("MISS"), "{fields}: {}", response.head);
            assert_eq!(origin.count(), count, "{fields}");
        }
    }
}

#[test]
fn stored_fields_are_those_of_the_form_that_asks() {
    let origin = Origin::answering(|head| match head.split(' ').nth(1).unwrap() {
        "/moved" => {
            "HTTP/1.1 301 Moved\r\nCache-Control: max-age=100\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n".to_owned()
        }
        _ => ok("Cache-Control: max-age=100\r\nSet-Cookie: a=1\r\n", "text"),
    });
    let server = forward(&[]);
    let at = origin.script.address;
    // Whichever form it was stored for.
    for absolute_first in [true, false] {
        let path = format!("/?{absolute_first}");
        let forms =
            [(origin.url(&path), 1), (format!("/{at}{path}"), 0), (origin.url(&path), 1), (format!("/{at}{path}"), 0)];
        for (target, cookies) in forms.into_iter().skip(usize::from(!absolute_first)) {
            let response = get(&server, &target, "");
            assert_eq!(response.count("Set-Cookie"), cookies, "{target}: {}", response.head);
        }
    }
    for (target, location) in [
        (origin.url("/moved"), "/x".to_owned()),
        (format!("/{at}/moved"), format!("/{at}/x")),
        (origin.url("/moved"), "/x".to_owned()),
    ] {
        let response = get(&server, &target, "");
        assert_eq!((response.status, response.field("Location")), (301, Some(&*location)), "{target}");
    }
}

#[test]
fn a_stale_response_is_validated() {
    let origin = Origin::answering(|head| match head.contains("If-None-Match: \"e\"") {
        true => "HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\nCache-Control: max-age=0\r\n\r\n".to_owned(),
        false => ok("Cache-Control: max-age=0\r\nETag: \"e\"\r\n", "text"),
    });
    let server = forward(&[]);
    let url = origin.url("/");
    assert_eq!(handling(&get(&server, &url, "")), MISS);
    for count in 2..5 {
        let response = get(&server, &url, "");
        assert_eq!((response.status, &*response.text()), (200, "text"));
        assert!(handling(&response).starts_with("miod; fwd=stale; fwd-status=304"), "{}", response.head);
        assert!(origin.count() == count && origin.last().contains("If-None-Match: \"e\""), "{}", origin.last());
    }
    // A client's own condition is about its own copy.
    let response = get(&server, &url, "If-None-Match: \"e\"\r\n");
    assert_eq!(response.status, 304);
}

#[test]
fn a_stored_response_is_sent_while_its_origin_is_down() {
    for (fields, status) in [
        ("Cache-Control: max-age=0\r\n", 200),
        ("Cache-Control: max-age=0, must-revalidate\r\nETag: \"e\"\r\n", 502),
        ("Cache-Control: no-cache\r\nETag: \"e\"\r\n", 502),
    ] {
        // It answers once, and its listener is closed before that.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let origin = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            drop(listener);
            read_head(&mut stream);
            stream.write_all(ok(&format!("{fields}Connection: close\r\n"), "text").as_bytes()).unwrap();
        });
        let server = forward(&[]);
        assert_eq!(handling(&get(&server, &url, "")), MISS, "{fields}");
        origin.join().unwrap();
        let response = get(&server, &url, "");
        assert_eq!(response.status, status, "{fields}");
        if status == 200 {
            assert!(handling(&response).starts_with("miod; fwd=stale"), "{}", response.head);
            assert!(response.field("Cache-Status").unwrap().contains("ttl="), "{}", response.head);
            assert_eq!(response.text(), "text");
        }
    }
}

#[test]
fn responses_are_stored_nowhere_or_in_a_directory_that_outlives_the_process() {
    let origin = Origin::with("Cache-Control: max-age=1000\r\n");
    let url = origin.url("/");
    let server = forward(&["--proxy-cache", "off"]);
    for count in 1..3 {
        let response = get(&server, &url, "");
        assert_eq!((response.count("Cache-Status"), response.count("X-Cache"), origin.count()), (0, 0, count));
    }
    let root = Root::new();
    let place = root.at("cache").display().to_string();
    let mut server = forward(&["--proxy-cache", &place]);
    assert_eq!(handling(&get(&server, &url, "")), MISS);
    assert_eq!(handling(&get(&server, &url, "")), HIT);
    // Files are written beside the responses.
    let files =
        |directory: PathBuf| std::fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
    let is_written =
        || files(root.at("cache")).flat_map(&files).any(|file| file.extension().is_none_or(|end| end != "tmp"));
    assert!(eventually(is_written));
    server.signal("TERM");
    assert!(server.wait().success());
    let server = forward(&["--proxy-cache", &place]);
    // The directory is read from the start on, and not only when the first request comes.
    assert!(eventually(|| server.errors().contains("responses in the directory of the cache: 1")));
    let response = get(&server, &url, "");
    assert_eq!((handling(&response), &*response.text(), origin.count()), (HIT.to_owned(), "text", 3));
}

/// What is held up until it is opened.
#[derive(Default)]
struct Gate(Mutex<bool>, Condvar);

impl Gate {
    fn open(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }

    fn pass(&self) {
        let (is_open, _) = self.1.wait_timeout_while(self.0.lock().unwrap(), TIMEOUT, |is_open| !*is_open).unwrap();
        assert!(*is_open, "nobody opens the gate");
    }
}

/// An origin whose response is held up before its head and in the middle of its content.
struct Slow {
    script: Script,
    head: Arc<Gate>,
    rest: Arc<Gate>,
    requests: Arc<AtomicUsize>,
    /// Tells of each request.
    asked: Receiver<()>,
}

impl Slow {
    fn start(fields: &'static str, content: Vec<u8>, is_chunked: bool) -> Self {
        let (head, rest) = (Arc::new(Gate::default()), Arc::new(Gate::default()));
        let requests = Arc::new(AtomicUsize::new(0));
        let (tell, asked) = channel();
        let tell = Mutex::new(tell);
        let shared = (Arc::clone(&head), Arc::clone(&rest), Arc::clone(&requests));
        let script = Script::parallel(move |_, stream| {
            let (head, rest, requests) = &shared;
            if read_head(stream).is_empty() {
                return;
            }
            requests.fetch_add(1, Ordering::SeqCst);
            let _ = tell.lock().unwrap().send(());
            head.pass();
            let (one, two) = content.split_at(content.len() / 2);
            let length = content.len();
            // The client may be gone.
            let mut send = || -> std::io::Result<()> {
                match is_chunked {
                    true => write!(stream, "HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n")?,
                    false => write!(stream, "HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n")?,
                }
                for (at, half) in [one, two].into_iter().enumerate() {
                    if at == 1 {
                        rest.pass();
                    }
                    if is_chunked {
                        write!(stream, "{:x}\r\n", half.len())?;
                    }
                    stream.write_all(half)?;
                    if is_chunked {
                        stream.write_all(b"\r\n")?;
                    }
                }
                if is_chunked { stream.write_all(b"0\r\n\r\n") } else { Ok(()) }
            };
            let _ = send();
        });
        Self { script, head, rest, requests, asked }
    }

    /// This many clients, whose requests have all reached the proxy.
    fn clients(&self, server: &Server, count: usize) -> Vec<Client> {
        let mut clients: Vec<Client> = (0..count).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send(request("GET", &self.script.url("/"), ""));
        }
        self.asked.recv_timeout(TIMEOUT).unwrap();
        // A later response on another connection shows that the requests were read.
        assert_eq!(server.exchange(request("GET", "/", "")).status, 200);
        clients
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Receives the first bytes of each client, so many that they are from the first half.
fn take_heads(clients: &mut [Client]) -> Vec<Vec<u8>> {
    let begin = |client: &mut Client| {
        let mut bytes = vec![0; 1_000];
        client.stream.read_exact(&mut bytes).unwrap();
        bytes
    };
    clients.iter_mut().map(begin).collect()
}

const SHARED: &str = "Cache-Control: max-age=100\r\n";

#[test]
fn clients_that_ask_at_once_cause_one_request_and_get_the_whole() {
    for is_chunked in [false, true] {
        for size in [4_000, 100_000, 3_000_000] {
            let content = pattern(size);
            let origin = Slow::start(SHARED, content.clone(), is_chunked);
            let server = forward(&[]);
            let mut clients = origin.clients(&server, 10);
            origin.head.open();
            let begins = match is_chunked {
                // All get the first half before the origin has the second.
                false => take_heads(&mut clients),
                // It may be too long for the cache in the end: the others wait until it is whole.
                true => vec![Vec::new(); clients.len()],
            };
            origin.rest.open();
            let mut misses = 0;
            for (client, begin) in clients.iter_mut().zip(begins) {
                let end = read_response(client, begin);
                assert!(end.body == content, "{size} {is_chunked}: {}", end.head);
                match &*handling(&end) {
                    MISS => misses += 1,
                    handling => assert_eq!(handling, COLLAPSED, "{size} {is_chunked}"),
                }
            }
            assert_eq!(misses, 1, "{size} {is_chunked}");
            assert_eq!(origin.requests(), 1, "{size} {is_chunked}");
            assert_eq!(handling(&get(&server, &origin.script.url("/"), "")), HIT);
        }
    }
}

#[test]
fn a_response_that_arrives_during_a_shutdown_is_stored() {
    let content = pattern(300_000);
    let slow = Slow::start(SHARED, content.clone(), false);
    let root = Root::new();
    let place = root.at("cache").display().to_string();
    let mut server = forward(&["--proxy-cache", &place]);
    let mut clients = slow.clients(&server, 1);
    slow.head.open();
    let begin = take_heads(&mut clients).remove(0);
    server.signal("TERM");
    assert!(eventually(|| TcpStream::connect(server.address()).is_err()));
    slow.rest.open();
    assert!(read_response(&mut clients[0], begin).body == content);
    drop(clients);
    assert!(server.wait().success());
    let server = forward(&["--proxy-cache", &place]);
    let url = slow.script.url("/");
    // The directory is read beside the first requests.
    assert!(eventually(|| get(&server, &url, "Cache-Control: only-if-cached\r\n").status == 200));
    assert!(get(&server, &url, "").body == content && slow.requests() == 1);
}

/// The response that begins with these bytes, while more of it arrives.
fn read_response(client: &mut Client, begin: Vec<u8>) -> Response {
    let mut received = begin;
    let mut some = vec![0; 256 * 1024];
    loop {
        if let Some(response) = Response::parse(&received, "GET", false) {
            return response;
        }
        let count = uninterrupted(|| client.stream.read(&mut some)).unwrap();
        assert!(count > 0, "it ends after {} bytes", received.len());
        received.extend_from_slice(&some[..count]);
    }
}

#[test]
fn requests_whose_responses_are_not_shared_are_sent_one_by_one() {
    let origin = Slow::start("Cache-Control: no-store\r\n", pattern(4_000), false);
    let server = forward(&[]);
    let mut clients = origin.clients(&server, 10);
    assert_eq!(origin.requests(), 1, "the others wait for its head");
    origin.head.open();
    origin.rest.open();
    let mut waited = 0;
    for client in &mut clients {
        let response = client.response();
        assert!(response.body == pattern(4_000));
        // Those that waited for it did so in vain (RFC 9211 §2.7).
        waited += usize::from(handling(&response) == format!("{COLLAPSED}=?0"));
    }
    assert_eq!((origin.requests(), waited), (10, 9));
}

/// Closes a connection with a reset.
fn reset(client: Client) {
    rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_client_that_goes_away_does_not_cut_the_others() {
    // Before the head of the response, and in the middle of it.
    for is_early in [true, false] {
        let content = pattern(3_000_000);
        let origin = Slow::start(SHARED, content.clone(), false);
        let server = forward(&[]);
        let mut first = server.connect();
        first.send(request("GET", &origin.script.url("/"), ""));
        origin.asked.recv_timeout(TIMEOUT).unwrap();
        let mut clients: Vec<Client> = (0..9).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send(request("GET", &origin.script.url("/"), ""));
        }
        assert_eq!(server.exchange(request("GET", "/", "")).status, 200);
        if is_early {
            reset(first);
            // Another one asks in its place, if its request was given up.
            assert_eq!(server.exchange(request("GET", "/", "")).status, 200);
            origin.head.open();
        } else {
            origin.head.open();
            first.take(1_000);
            reset(first);
        }
        let begins = take_heads(&mut clients);
        origin.rest.open();
        for (client, begin) in clients.iter_mut().zip(begins) {
            assert!(read_response(client, begin).body == content, "{is_early}");
        }
        assert!(is_early || origin.requests() == 1, "{}", origin.requests());
        assert_eq!(handling(&get(&server, &origin.script.url("/"), "")), HIT);
    }
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_up_the_others() {
    let content = pattern(3_000_000);
    let origin = Slow::start(SHARED, content.clone(), false);
    let server = forward(&[]);
    let mut clients = origin.clients(&server, 5);
    origin.head.open();
    origin.rest.open();
    // The first doesn't read; it is the one whose request was sent.
    for client in clients.iter_mut().skip(1) {
        assert!(client.response().body == content);
    }
    assert!(clients[0].response().body == content);
    assert_eq!(origin.requests(), 1);
}
