//! HTTP over real sockets: behaviour that unit tests can't show.

mod support;

use support::{Client, Root, Server, get};

fn site() -> Root {
    let root = Root::new();
    root.old_file("index.html", "<p>index").old_file("large.bin", "0123456789abcdef".repeat(40_000));
    root
}

#[test]
fn pipelined_responses_are_in_order_whether_copied_or_sent_from_files() {
    let root = site();
    let server = Server::start(&root, &[]);
    let mut client = server.connect();
    let requests: Vec<&str> = ["/", "/large.bin", "/nope", "/", "/large.bin"].into_iter().cycle().take(200).collect();
    let bytes = requests.iter().map(|path| get(path)).collect::<String>();
    let mut writer = client.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        use std::io::Write;
        writer.write_all(bytes.as_bytes()).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    for path in requests {
        let response = client.response();
        match path {
            "/" => assert_eq!(response.body, b"<p>index"),
            "/large.bin" => assert_eq!(response.body, "0123456789abcdef".repeat(40_000).as_bytes()),
            _ => assert_eq!(response.status, 404),
        }
    }
    assert!(client.is_closed());
    sender.join().unwrap();
}

#[test]
fn a_refused_body_does_not_lose_the_response() {
    let root = site();
    let server = Server::start(&root, &[]);
    for length in [100_000, 5_000_000] {
        let mut client = server.connect();
        client.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"));
        // The client continues to send while the response is in flight.
        let mut writer = client.stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            use std::io::Write;
            let _ = writer.write_all(&vec![b'x'; length]);
        });
        assert_eq!(client.response().status, 405);
        sender.join().unwrap();
    }
}

#[test]
fn an_upload_that_is_received_in_pieces_takes_no_memory() {
    let root = site();
    let server = Server::start(&root, &["--apps", "--body-limit", "1K"]);
    let before = server.memory();
    let piece = [0; 64 * 1024];
    for framing in ["Content-Length: 67108864\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut client = server.connect();
        client.send(format!("PUT /lab/digest HTTP/1.1\r\nHost: x\r\n{framing}\r\n"));
        for _ in 0..1024 {
            if framing.starts_with('T') {
                client.send("10000\r\n");
            }
            client.send(piece);
            if framing.starts_with('T') {
                client.send("\r\n");
            }
        }
        let grown = server.memory().saturating_sub(before);
        assert!(grown < 1024 * 1024, "{grown} bytes of memory for an upload");
        if framing.starts_with('T') {
            client.send("0\r\n\r\n");
        }
        let digest = "3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351";
        assert_eq!(client.response().text(), format!("{digest}  67108864 bytes\n"));
        client.send(get("/"));
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn a_half_closed_client_gets_its_complete_response() {
    let root = site();
    let server = Server::start(&root, &[]);
    let mut client = Client::connect(server.address());
    client.send(get("/large.bin"));
    client.end();
    assert_eq!(client.response().body.len(), 640_000);
    assert!(client.is_closed());
}

#[test]
fn bytes_after_a_closing_request_do_not_lose_its_response() {
    let root = site();
    let server = Server::start(&root, &[]);
    for _ in 0..20 {
        let mut client = server.connect();
        let mut bytes = support::get_with("/large.bin", "Connection: close\r\n").into_bytes();
        bytes.resize(1_000_000, b'x');
        let mut writer = client.stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            use std::io::Write;
            let _ = writer.write_all(&bytes);
        });
        assert_eq!(client.response().body.len(), 640_000);
        sender.join().unwrap();
    }
}
