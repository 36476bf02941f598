//! The forward proxy: requests that name the server that answers them.

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;

use support::site::Site;
use support::sockets::Deaf;
use support::{Client, Response, Root, Script, Server, TIMEOUT, UNKNOWN, miod, pattern, read_head, run_to_end};

/// A forward proxy with these arguments.
fn forward(arguments: &[&str]) -> Server {
    let mut command = miod();
    command.args(["proxy", "-p", "0"]).args(arguments);
    Server::run(command)
}

/// An origin that answers each request on a connection with what `answer` makes of its head.
fn answering(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Script {
    Script::parallel(move |_, stream| {
        loop {
            let head = read_head(stream);
            if head.is_empty() || stream.write_all(&answer(&head)).is_err() {
                return;
            }
        }
    })
}

/// An origin that sends back each request: its head, and its content without chunks.
fn echo() -> Script {
    Script::parallel(|_, stream| {
        loop {
            let head = read_head(stream);
            if head.is_empty() {
                return;
            }
            let mut content = Vec::new();
            if let Some(length) = field(&head, "Content-Length") {
                content = vec![0; length.parse().unwrap()];
                stream.read_exact(&mut content).unwrap();
            } else if head.contains("\r\nTransfer-Encoding: chunked\r\n") {
                while !content.ends_with(b"0\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    content.push(byte[0]);
                }
            }
            let length = head.len() + content.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").unwrap();
            if !head.starts_with("HEAD ") {
                stream.write_all(&[head.as_bytes(), &content].concat()).unwrap();
            }
        }
    })
}

/// The value of a field in a head.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A GET in the absolute form, with further lines.
fn get_of(url: &str, lines: &str) -> String {
    format!("GET {url} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

/// The status of a response, its Proxy-Status, and its text.
fn failure(response: &Response) -> (u16, Option<&str>, String) {
    let error = response.field("Proxy-Status").map(|value| value.strip_prefix("miod; error=").expect("our name"));
    (response.status, error, response.text())
}

#[test]
fn the_target_is_passed_on_as_it_is() {
    let origin = echo();
    let (server, at, port) = (forward(&[]), origin.address.to_string(), origin.address.port());
    let long = format!("/{}", "x".repeat(7_000));
    for (target, passed) in [
        ("http://AT/a%20b?c=d", "/a%20b?c=d"),
        ("http://AT", "/"),
        ("http://AT/", "/"),
        ("HTTP://AT/A", "/A"),
        ("http://AT?q", "/?q"),
        ("http://AT/?", "/?"),
        ("http://AT/../..", "/../.."),
        ("http://AT//a//./b/", "//a//./b/"),
        ("http://AT/%zz%", "/%zz%"),
        ("http://AT/%2e%2e/%2F%00", "/%2e%2e/%2F%00"),
        ("http://AT/\"<>\\^`{|}?\"<>\\^`{|}", "/\"<>\\^`{|}?\"<>\\^`{|}"),
        ("http://AT/http://b/?http://c/", "/http://b/?http://c/"),
        ("http://AT/*", "/*"),
        (&format!("http://AT{long}"), &long),
    ] {
        for host in ["localhost", "other.example:81", &at] {
            let request = format!("GET {} HTTP/1.1\r\nHost: {host}\r\n\r\n", target.replace("AT", &at));
            let text = server.exchange(request).text();
            assert!(text.starts_with(&format!("GET {passed} HTTP/1.1\r\nHost: {at}\r\n")), "{target}: {text}");
            assert_eq!(text.matches("Host:").count(), 1, "{text}");
        }
    }
    // Names of this machine; the Host field is what was asked for.
    for name in ["localhost", "LOCALHOST", "localhost."] {
        let text = server.exchange(get_of(&format!("http://{name}:{port}/"), "")).text();
        assert!(text.starts_with(&format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n")), "{name}: {text}");
    }
    for (target, status) in [
        (format!("http://{at}/{}", "x".repeat(9_000)), 414),
        (format!("http://{at}/#a"), 400),
        (format!("http://u:p@{at}/"), 400),
        (format!("ftp://{at}/"), 400),
        ("http:///a".to_owned(), 400),
        ("http://a:99999/".to_owned(), 400),
        ("http://a:0/".to_owned(), 404),
    ] {
        assert_eq!(server.exchange(get_of(&target, "")).status, status, "{target}");
    }
}

#[test]
fn every_method_is_passed_on() {
    let origin = echo();
    let (server, url) = (forward(&[]), origin.url("/a"));
    let mut client = server.connect();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW", "M-SEARCH", "get"] {
        client.send(format!("{method} {url} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let text = client.response().text();
        assert!(text.starts_with(&format!("{method} /a HTTP/1.1\r\n")), "{method}: {text}");
    }
    client.send(format!("HEAD {url} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let response = client.response_to("HEAD");
    assert!(response.status == 200 && response.field("Content-Length").unwrap().parse::<usize>().unwrap() > 40);
    // OPTIONS about the whole server, and about its root.
    for (target, passed) in [(origin.url(""), "*"), (origin.url("/"), "/"), (origin.url("?"), "/?")] {
        client.send(format!("OPTIONS {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let text = client.response().text();
        assert!(text.starts_with(&format!("OPTIONS {passed} HTTP/1.1\r\n")), "{target}: {text}");
    }
    client.send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response().status, 204, "the proxy itself");
}

#[test]
fn content_is_passed_on_whole() {
    let origin = echo();
    let (server, url) = (forward(&[]), origin.url("/"));
    let mut client = server.connect();
    for (lines, content, framing, passed) in [
        ("Content-Length: 5\r\n", "hello", "Content-Length: 5", "hello"),
        ("Content-Length: 0\r\n", "", "Content-Length: 0", ""),
        ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: x\r\n\r\n", "chunked", "abc"),
        ("Content-Length: 3\r\nExpect: 100-continue\r\n", "abc", "Content-Length: 3", "abc"),
    ] {
        client.send(format!("POST {url} HTTP/1.1\r\nHost: x\r\n{lines}\r\n{content}"));
        let mut response = client.response();
        if response.status == 100 {
            response = client.response();
        }
        let text = response.text();
        let (head, content) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(framing) && content.contains(passed), "{lines}: {text}");
        assert!(!text.contains("x=y") && !text.contains("T: x"), "{text}");
    }
}

#[test]
fn fields_for_one_connection_stay_behind_and_the_others_pass() {
    let origin = answering(|head| {
        let body = head.to_owned();
        let fields = "Server: other/1\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
                      Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n\
                      Via: 1.1 inner\r\nX-End: 1\r\n";
        format!("HTTP/1.1 201 Made\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    });
    let server = forward(&[]);
    let response = server.exchange(get_of(
        &origin.url("/"),
        "Accept: */*\r\nAuthorization: Basic YTpi\r\nCookie: c=3\r\nUser-Agent: test\r\nVia: 1.0 outer\r\n\
         Referer: http://a/\r\nX-Forwarded-For: 192.0.2.9\r\nForwarded: for=192.0.2.9\r\nX-Real-IP: 192.0.2.9\r\n\
         Proxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nKeep-Alive: 5\r\n\
         Connection: close, X-Secret\r\nX-Secret: 1\r\nUpgrade: x\r\n",
    ));
    let text = response.text();
    for line in [
        "Accept: */*",
        "Authorization: Basic YTpi",
        "Cookie: c=3",
        "User-Agent: test",
        "Referer: http://a/",
        // They are the client's own; nothing is added.
        "X-Forwarded-For: 192.0.2.9",
        "Forwarded: for=192.0.2.9",
        "X-Real-IP: 192.0.2.9",
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line}: {text}");
    }
    for absent in ["Proxy-", "c2VjcmV0", "Secret", "TE:", "Keep-Alive", "Upgrade", "Connection", "127.0.0.1;"] {
        assert!(!text.contains(absent), "{absent}: {text}");
    }
    assert!(field(&text, "Via").unwrap().starts_with("1.0 outer, 1.1 miod-"), "{text}");
    assert_eq!((response.status, response.field("Server")), (201, Some("other/1")));
    assert_eq!(response.field("Date"), Some("Tue, 14 Nov 2023 22:13:20 GMT"));
    assert_eq!((response.count("Set-Cookie"), response.field("X-End")), (2, Some("1")));
    assert!(response.head.starts_with("HTTP/1.1 201 "), "{}", response.head);
    for absent in ["X-Hop", "Keep-Alive", "Proxy-Authenticate"] {
        assert_eq!(response.count(absent), 0, "{absent}: {}", response.head);
    }
    let via: Vec<_> = response.head.lines().filter_map(|line| line.strip_prefix("Via: ")).collect();
    assert!(via.len() == 2 && via[0] == "1.1 inner" && via[1].starts_with("1.1 miod-"), "{via:?}");
    // The client's own fields, and none of ours.
    let text = server.exchange(get_of(&origin.url("/"), "")).text();
    assert!(!text.contains("Forwarded"), "{text}");
}

#[test]
fn max_forwards_counts_down() {
    let origin = echo();
    let (server, url) = (forward(&[]), origin.url("/"));
    for (method, value, passed) in [
        ("TRACE", "5", Some("4")),
        ("OPTIONS", "1", Some("0")),
        ("OPTIONS", "0", None),
        ("GET", "0", Some("0")),
        ("OPTIONS", "x", Some("x")),
    ] {
        let request = format!("{method} {url} HTTP/1.1\r\nHost: x\r\nMax-Forwards: {value}\r\n\r\n");
        let text = server.exchange(request).text();
        assert_eq!(field(&text, "Max-Forwards"), passed, "{method} {value}: {text}");
    }
    // TRACE ends here: its head is sent back, without what is secret (RFC 9110 §9.3.8).
    let request = format!("TRACE {url} HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n");
    assert_eq!(server.exchange(request).status, 405);
}

#[test]
fn responses_pass_as_they_are() {
    let origin = answering(|head| match head.split(' ').nth(1).unwrap() {
        "/early" => {
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx".to_vec()
        }
        "/404" => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "/500" => b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno".to_vec(),
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n".to_vec(),
        "/chunks" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n".to_vec(),
        "/401" => b"HTTP/1.1 401 U\r\nWWW-Authenticate: Basic realm=\"a\"\r\nContent-Length: 0\r\n\r\n".to_vec(),
        path => panic!("{path}"),
    });
    let until_end = Script::responding("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    let server = forward(&[]);
    let mut client = server.connect();
    for (path, status, text) in [
        ("/404", 404, ""),
        ("/500", 500, "no"),
        ("/204", 204, ""),
        ("/304", 304, ""),
        ("/chunks", 200, "abc"),
        ("/401", 401, ""),
    ] {
        client.send(get_of(&origin.url(path), ""));
        let response = client.response();
        assert_eq!((response.status, &*response.text()), (status, text), "{path}");
        assert_eq!(response.field("Proxy-Status"), None);
    }
    client.send(get_of(&origin.url("/early"), ""));
    assert_eq!(client.response().field("Link"), Some("</a>"));
    assert_eq!(client.response().text(), "x");
    client.send(get_of(&until_end.url("/"), ""));
    assert_eq!(client.response().text(), "until the end");
    // HTTP/1.0 has neither interim responses nor chunks.
    for (path, text) in [("/early", "x"), ("/chunks", "abc"), ("/404", "")] {
        let response = server.exchange(format!("GET {} HTTP/1.0\r\n\r\n", origin.url(path)));
        assert!(response.count("Transfer-Encoding") == 0 && response.text() == text, "{path}: {response:?}");
    }
    let mut client = server.connect();
    client.send(format!("GET {} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", origin.url("/500")));
    assert_eq!(client.response().field("Connection"), Some("keep-alive"));
    client.send(format!("GET {} HTTP/1.0\r\n\r\n", origin.url("/500")));
    assert_eq!(client.response().text(), "no");
    assert!(client.is_closed());
}

#[test]
fn pipelined_requests_for_different_origins_are_answered_in_their_order() {
    let origins: Vec<Script> = (0..4)
        .map(|number| answering(move |head| ok(&format!("{number} {}", head.split(' ').nth(1).unwrap()))))
        .collect();
    let server = forward(&[]);
    let mut client = server.connect();
    let order = [0, 3, 1, 1, 2, 0, 3, 2];
    let mut requests = String::new();
    for (at, number) in order.into_iter().enumerate() {
        requests += &get_of(&origins[number].url(&format!("/{at}")), "");
    }
    client.send(requests + &get_of("http://a:0/", "") + &get_of(&origins[0].url("/last"), "Connection: close\r\n"));
    for (at, number) in order.into_iter().enumerate() {
        assert_eq!(client.response().text(), format!("{number} /{at}"));
    }
    assert_eq!(client.response().status, 404);
    assert_eq!(client.response().text(), "0 /last");
    assert!(client.is_closed());
}

#[test]
fn connections_to_origins_are_used_again() {
    let (origin, connections) = Script::counting(|_| ok("x"));
    let server = forward(&[]);
    for number in 0..20 {
        // Also in the other form.
        let path = format!("/{number}");
        let request = match number % 2 {
            0 => get_of(&origin.url(&path), ""),
            _ => get_of(&format!("/{}{path}", origin.address), ""),
        };
        assert_eq!(server.exchange(request).text(), "x");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[test]
fn failures_have_their_status_and_the_connection_goes_on() {
    let own = forward(&[]);
    let responding = |bytes: &[u8]| Script::responding(bytes);
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let origins = [
        (responding(b""), "http_response_incomplete"),
        (responding(b"HTTP/1.1 200 OK\r\nContent-"), "http_response_incomplete"),
        (responding(b"nonsense\r\n\r\n"), "http_protocol_error"),
        (responding(b"HTTP/2.0 200 OK\r\n\r\n"), "http_protocol_error"),
        (responding(b"HTTP/1.1 99 X\r\n\r\n"), "http_protocol_error"),
        (responding(b"HTTP/1.1 600 X\r\n\r\n"), "http_protocol_error"),
        (responding(b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n"), "http_protocol_error"),
        (responding(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"), "http_protocol_error"),
        (
            responding(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "http_protocol_error",
        ),
        (responding(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), "http_protocol_error"),
        (responding(huge.as_bytes()), "http_response_header_section_size"),
    ];
    let mut client = own.connect();
    let good = answering(|_| ok("good"));
    for (origin, token) in &origins {
        client.send(get_of(&origin.url("/"), ""));
        let response = client.response();
        assert_eq!((response.status, failure(&response).1), (502, Some(*token)), "{token}: {}", response.text());
        client.send(get_of(&good.url("/"), ""));
        assert_eq!(client.response().text(), "good");
    }
    let nobody = Deaf::new();
    let closed = nobody.address;
    for (url, status, token) in [
        (format!("http://{closed}/"), 502, "connection_refused"),
        (format!("http://{UNKNOWN}/"), 502, "dns_error"),
        ("http://name.invalid/".to_owned(), 502, "dns_error"),
        (format!("http://[::1]:{}/", closed.port()), 502, "connection_refused"),
    ] {
        client.send(get_of(&url, ""));
        let response = client.response();
        assert_eq!((response.status, failure(&response).1), (status, Some(token)), "{url}: {}", response.text());
    }
    let silent = Script::parallel(|_, stream| drop(stream.read_to_end(&mut Vec::new())));
    let hasty = forward(&["--upstream-timeout", "0.2"]);
    let response = hasty.exchange(get_of(&silent.url("/"), ""));
    assert_eq!((response.status, failure(&response).1), (504, Some("http_response_timeout")));
}

#[test]
fn a_cut_response_is_visibly_cut() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\nx\r\n",
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\n12345",
    ] {
        let origin = Script::responding(response);
        let server = forward(&[]);
        // The second time it would be sent from the cache.
        for _ in 0..2 {
            let mut client = server.connect();
            client.send(get_of(&origin.url("/"), ""));
            let (received, _) = client.rest_or_reset();
            let text = String::from_utf8_lossy(&received);
            assert!(text.starts_with("HTTP/1.1 200") && text.contains("\r\n\r\n"), "{response}: {text}");
            assert!(Response::parse(&received, "GET", false).is_none(), "{response}: {text}");
        }
    }
}

#[test]
fn loops_are_found() {
    let server = forward(&[]);
    let at = server.address();
    for url in [format!("http://{at}/http://{at}/x"), format!("http://{at}/localhost:{}/", at.port())] {
        let response = server.exchange(get_of(&url, ""));
        assert_eq!(response.status, 502, "{url}: {}", response.text());
        assert!(response.text().contains("passed here before"), "{}", response.text());
    }
    // Once is no loop: the page of the proxy.
    let response = server.exchange(get_of(&format!("http://{at}/"), ""));
    assert!(response.text().contains("A forward proxy"), "{}", response.text());
    // Via with its name, as it came back.
    let origin = echo();
    let text = server.exchange(get_of(&origin.url("/"), "")).text();
    let via = field(&text, "Via").unwrap();
    assert_eq!(server.exchange(get_of(&origin.url("/"), &format!("Via: {via}\r\n"))).status, 502);
    // Two proxies in a row are no loop.
    let other = forward(&[]);
    let response = other.exchange(get_of(&format!("http://{at}/{}/a", origin.address), ""));
    let text = response.text();
    assert!(text.starts_with("GET /a HTTP/1.1\r\n") && field(&text, "Via").unwrap().matches("miod-").count() == 2);
}

#[test]
fn private_addresses_are_refused_if_others_can_use_the_proxy() {
    let origin = echo();
    let port = origin.address.port();
    let ports = format!("443,{port}");
    let shared = forward(&["--allow", "10.0.0.0/8", "--connect-ports", &ports]);
    let private = forward(&["--allow", "10.0.0.0/8", "--allow-private", "--connect-ports", &ports]);
    for host in [
        "127.0.0.1",
        "127.0.0.2",
        "0.0.0.0",
        "localhost",
        "localhost.",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "10.0.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00::1]",
        // What the resolver takes for an address.
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
    ] {
        for request in [
            get_of(&format!("http://{host}:{port}/"), ""),
            get_of(&format!("/{host}:{port}/"), ""),
            format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: x\r\n\r\n"),
        ] {
            let response = shared.exchange(&request);
            let token = failure(&response).1;
            let expected = (403, Some("destination_ip_prohibited"));
            assert_eq!((response.status, token), expected, "{request}: {}", response.text());
        }
    }
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let text = private.exchange(get_of(&format!("http://{host}:{port}/"), "")).text();
        assert!(text.starts_with(&format!("GET / HTTP/1.1\r\nHost: {host}:{port}\r\n")), "{text}");
    }
}

/// The address of this machine by which others would reach it; none without a network.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent.
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_loopback())
}

#[test]
fn only_clients_at_permitted_addresses_may_use_it() {
    let origin = echo();
    let Some(outer) = outer_address() else { return };
    let block = format!("{outer}/32");
    for (arguments, status) in [(&[][..], 403), (&["--allow", "198.51.100.0/24"], 403), (&["--allow", &block], 200)] {
        let server = forward(&[&["-b", "0.0.0.0", "--allow-private"], arguments].concat());
        let port = server.address().port();
        for (from, status) in [(outer, status), (Ipv4Addr::LOCALHOST.into(), 200)] {
            for target in [origin.url("/"), format!("/{}/", origin.address), "/".to_owned()] {
                let mut client = Client::connect((from, port).into());
                client.send(get_of(&target, "X-Forwarded-For: 127.0.0.1\r\n"));
                assert_eq!(client.response().status, status, "{arguments:?} {from} {target}");
            }
        }
        let mut client = Client::connect((outer, port).into());
        client.send("CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(client.response().status, if status == 403 { 403 } else { 502 });
    }
    // Others can reach this one, so it asks no private address for any client.
    let server = forward(&["-b", "0.0.0.0"]);
    let mut client = Client::connect((Ipv4Addr::LOCALHOST, server.address().port()).into());
    client.send(get_of(&origin.url("/"), ""));
    assert_eq!(failure(&client.response()).1, Some("destination_ip_prohibited"));
}

#[test]
fn clients_on_a_unix_domain_socket_may_use_it() {
    let origin = echo();
    let root = Root::new();
    let path = root.at("socket");
    let server = forward(&["-b", "127.0.0.1", "-b", &format!("unix:{}", path.display())]);
    for (target, passed) in [(origin.url("/a"), "/a"), (format!("/{}/b", origin.address), "/b")] {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(get_of(&target, "Connection: close\r\n").as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.contains(&format!("\r\n\r\nGET {passed} HTTP/1.1\r\n")), "{target}: {response}");
    }
    drop(server);
}

#[test]
fn a_password_may_be_wanted() {
    let origin = echo();
    let root = Root::new();
    let users = root.at("users");
    let mut command = miod();
    assert_eq!(run_to_end(command.args(["passwd", "--cost", "4"]).arg(&users).arg("ann"), b"secret\n").code, Some(0));
    let server = forward(&["--proxy-auth", &users.display().to_string(), "--connect-ports", "443"]);
    // ann:secret, and ann:wrong.
    let (right, wrong) = ("Basic YW5uOnNlY3JldA==", "Basic YW5uOndyb25n");
    for (lines, status) in [
        (String::new(), 407),
        (format!("Proxy-Authorization: {wrong}\r\n"), 407),
        (format!("Authorization: {right}\r\n"), 407),
        (format!("Proxy-Authorization: {right}\r\nAuthorization: Basic YTpi\r\n"), 200),
        (format!("Proxy-Authorization: {right}\r\n"), 200),
    ] {
        for target in [origin.url("/"), format!("/{}/", origin.address)] {
            let response = server.exchange(get_of(&target, &lines));
            assert_eq!(response.status, status, "{target} {lines}");
            let challenged =
                response.field("Proxy-Authenticate").is_some_and(|value| value.starts_with("Basic realm="));
            assert_eq!((challenged, response.count("WWW-Authenticate")), (status == 407, 0));
            let text = response.text();
            assert!(!text.contains("YW5u"), "{text}");
            assert_eq!(text.contains("\r\nAuthorization: Basic YTpi\r\n"), lines.contains("YTpi"), "{text}");
        }
        let request = format!("CONNECT {} HTTP/1.1\r\nHost: x\r\n{lines}\r\n", origin.address);
        assert_eq!(server.exchange(request).status, if status == 407 { 407 } else { 403 }, "the port isn't allowed");
    }
}

#[test]
fn tunnels_are_made_to_some_ports() {
    let origin = echo();
    let port = origin.address.port();
    let server = forward(&["--connect-ports", &port.to_string()]);
    for (target, status) in [
        ("127.0.0.1".to_owned(), 400),
        ("127.0.0.1:".to_owned(), 400),
        ("http://127.0.0.1/".to_owned(), 400),
        ("/".to_owned(), 400),
        ("127.0.0.1:0".to_owned(), 404),
        ("127.0.0.1:443".to_owned(), 403),
        ("127.0.0.1:25".to_owned(), 403),
        (format!("{UNKNOWN}:{port}"), 502),
        (format!("[::1]:{port}"), 502),
    ] {
        let response = server.exchange(format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(response.status, status, "{target}: {}", response.text());
    }
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let mut client = server.connect();
        client.send(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(client.take(1));
        }
        assert!(head.starts_with(b"HTTP/1.1 200 "), "{host}");
        // What is in the tunnel is nobody else's: nothing is added to it.
        client.send("GET /in HTTP/1.1\r\nA: b\r\n\r\n");
        assert_eq!(client.response().text(), "GET /in HTTP/1.1\r\nA: b\r\n\r\n", "{host}");
    }
}

#[test]
fn origins_may_be_behind_tls() {
    let site = Site::start(&["--tls", "auto"]);
    let trusting = forward(&["--upstream-ca", &site.authority()]);
    let port = site.port();
    for target in [format!("https://localhost:{port}"), format!("/https://localhost:{port}")] {
        let mut client: Client = trusting.connect();
        for (path, body) in [("/", b"hello".to_vec()), ("/large", pattern(3_000_000))] {
            client.send(get_of(&format!("{target}{path}"), ""));
            let response = client.response();
            assert!(response.status == 200 && response.body == body, "{target}{path}: {}", response.head);
        }
    }
    let suspicious = forward(&[]);
    for (server, url, expected) in [
        (&suspicious, format!("https://localhost:{port}/"), "tls_certificate_error"),
        // Plain text where TLS is expected, and the other way round.
        (&trusting, format!("https://{}/", site.server.address()), "tls_protocol_error"),
    ] {
        let response = server.exchange(get_of(&url, ""));
        assert_eq!((response.status, failure(&response).1), (502, Some(expected)), "{url}");
    }
}

#[test]
fn clients_may_take_it_for_a_web_server() {
    let origin = answering(|head| match head.split(' ').nth(1).unwrap() {
        "/moved" => b"HTTP/1.1 302 Found\r\nLocation: /there?a\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "/away" => b"HTTP/1.1 302 Found\r\nLocation: http://b.example/c\r\nContent-Length: 0\r\n\r\n".to_vec(),
        "/set" => b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX: y\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ => ok(head),
    });
    let (server, at) = (forward(&[]), origin.address);
    let get = |path: &str, lines: &str| server.exchange(get_of(path, lines));
    for (path, passed) in [
        (format!("/{at}/a/b?c=d"), "/a/b?c=d"),
        (format!("/{at}/../%zz//"), "/../%zz//"),
        (format!("/http://{at}/a"), "/a"),
        (format!("/HTTP://{at}/?"), "/?"),
    ] {
        let text = get(&path, "Cookie: secret=1\r\n").text();
        assert!(text.starts_with(&format!("GET {passed} HTTP/1.1\r\nHost: {at}\r\n")), "{path}: {text}");
        assert!(!text.contains("secret"), "cookies are those of the proxy's origin: {text}");
    }
    let response = get(&format!("/{at}/set"), "");
    assert_eq!((response.count("Set-Cookie"), response.field("X")), (0, Some("y")));
    for (path, lines, location) in [
        (format!("/{at}"), String::new(), format!("/{at}/")),
        (format!("/{at}?q"), String::new(), format!("/{at}/?q")),
        ("/a.css".to_owned(), format!("Referer: http://localhost/{at}/x/y?z\r\n"), format!("/{at}/a.css")),
        ("/a?b".to_owned(), format!("Referer: http://localhost/http://{at}/\r\n"), format!("/http://{at}/a?b")),
        ("/".to_owned(), format!("Referer: http://localhost/{at}/x\r\n"), format!("/{at}/")),
        ("/x.y/z".to_owned(), format!("Referer: http://localhost/{at}/x\r\n"), format!("/{at}/x.y/z")),
    ] {
        let response = get(&path, &lines);
        assert_eq!((response.status, response.field("Location")), (307, Some(&*location)), "{path} {lines}");
    }
    for (path, location) in [("/moved", format!("/{at}/there?a")), ("/away", "/http://b.example/c".to_owned())] {
        let response = get(&format!("/{at}{path}"), "");
        assert_eq!((response.status, response.field("Location")), (302, Some(&*location)), "{path}");
        // In the absolute form nothing is changed.
        let response = get(&origin.url(path), "");
        assert!(["/there?a", "http://b.example/c"].contains(&response.field("Location").unwrap()));
    }
    for (path, status) in [("/", 200), ("/images/a.png", 404), ("/favicon", 404), ("/a.example:0/", 404)] {
        assert_eq!(get(path, "").status, status, "{path}");
    }
    assert!(get("/", "").text().contains("http_proxy=http://localhost"));
    // A form is sent on with its content.
    let request = format!(
        "POST /form HTTP/1.1\r\nHost: localhost\r\nReferer: http://localhost/{at}/\r\nContent-Length: 1\r\n\r\nx"
    );
    let response = server.exchange(request);
    assert_eq!((response.status, response.field("Location")), (307, Some(&*format!("/{at}/form"))));
}

#[test]
fn a_page_of_another_site_can_not_read_what_only_this_machine_reaches() {
    let origin = echo();
    let (server, shared) = (forward(&[]), forward(&["--allow", "10.0.0.0/8"]));
    let at = origin.address;
    let get = |server: &Server, path: &str, host: &str| {
        server.exchange(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).status
    };
    for (host, status) in [
        ("localhost", 200),
        ("LOCALHOST:8888", 200),
        ("127.0.0.1:8888", 200),
        ("192.0.2.1", 200),
        ("[::1]:8888", 200),
        ("evil.example", 421),
        ("evil.example:8888", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
    ] {
        assert_eq!(get(&server, &format!("/{at}/"), host), status, "{host}");
        assert_eq!(get(&server, "/", host), status, "{host}");
        // A name means nothing where another one is in the target, or where nothing private is asked.
        assert_eq!(get(&server, &origin.url("/"), host), 200, "{host}");
        assert_eq!(get(&shared, &format!("/{at}/"), host), 403, "{host}");
    }
    assert_eq!(server.exchange(format!("GET /{at}/ HTTP/1.0\r\n\r\n")).status, 200);
}

#[test]
fn the_log_has_the_target_and_the_origin() {
    let origin = answering(|_| ok("x"));
    let root = Root::new();
    let log = root.at("log").display().to_string();
    let server = forward(&["--access-log", &log, "--log-format", "json"]);
    let url = origin.url("/a?b");
    assert_eq!(server.exchange(get_of(&url, "")).status, 200);
    let mut text = String::new();
    assert!(support::eventually(|| {
        text = std::fs::read_to_string(&log).unwrap();
        text.ends_with('\n')
    }));
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["upstream"], &line["status"]), (&origin.url("").into(), &200.into()), "{line}");
    assert!(text.contains(&url), "{text}");
}
