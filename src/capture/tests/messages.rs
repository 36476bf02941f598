//! What is said on a connection.

use super::super::hello::tests::hello;
use super::*;

#[test]
fn requests_are_matched_with_responses() {
    let length = OK.len();
    let post = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let head = "HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n";
    let close = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let endless = "HTTP/1.0 200 OK\r\n\r\nto the end";
    let continued = format!("HTTP/1.1 100 Continue\r\n\r\n{OK}");
    let empty = "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n";
    for (acts, expected) in [
        (vec![client(GET), server(OK), client(GET), server(OK)], vec![format!("GET /a 200 {length} 5 persistent"); 2]),
        (
            vec![client(&format!("{GET}{post}{GET}")), server(&format!("{OK}{chunked}")), server(empty)],
            vec![
                format!("GET /a 200 {length} 5 persistent"),
                format!("POST /p 200 {} 3 persistent pipelined", chunked.len()),
                format!("GET /a 304 {} 0 persistent pipelined", empty.len()),
            ],
        ),
        (
            vec![client(head), server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), client(GET), server(close)],
            vec![format!("HEAD /h 200 {} 0 persistent", length - 5), format!("GET /a 200 {} 0", close.len())],
        ),
        (
            vec![client(GET), server(endless), Act::Close(Side::Server)],
            vec![format!("GET /a 200 {} 10", endless.len())],
        ),
        (vec![client(GET), server(endless)], vec![format!("GET /a 200 {} 10 incomplete", endless.len())]),
        (vec![client(post), server(&continued)], vec![format!("POST /p 200 {} 5 persistent", continued.len())]),
        (vec![client(GET)], vec!["GET /a 0 0 0 persistent incomplete".to_owned()]),
        (
            vec![client(GET), server(&OK[..length - 1]), Act::Close(Side::Server)],
            vec![format!("GET /a 200 {} 4 persistent incomplete", length - 1)],
        ),
        // A server that closes an idle connection.
        (
            vec![client(GET), server(OK), server("HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n")],
            vec![format!("GET /a 200 {length} 5 persistent"), "?  408 43 0 persistent".to_owned()],
        ),
    ] {
        for size in [1_460, 1, 7] {
            let acts = [&[Act::Open][..], &acts].concat();
            let file = capture(&packets_of([CLIENT, SERVER], ISN, size, &acts));
            let found: Vec<_> = report(&file).streams[0].requests.iter().map(request).collect();
            assert_eq!(found, expected, "in segments of {size}: {acts:?}");
        }
    }
}

#[test]
fn what_a_server_refuses_is_listed() {
    let refused = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    for (sent, expected) in [
        ("GET /b HTTP/1.1\r\n\r\n", "GET /b"),
        ("GET /b HTTP/1.1\nHost: a\n\n", "GET /b"),
        ("POST /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", "?"),
        ("PUT /%zz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", "PUT /%zz"),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a b"),
        ("hello\r\n", "?"),
    ] {
        let found = requests(&[Act::Open, client(sent), server(refused), Act::Close(Side::Server)]);
        let (bytes, space) = (refused.len(), if expected == "?" { " " } else { "" });
        if expected == "?" {
            // The client doesn't speak HTTP, so nothing is listed.
            assert!(found.is_empty(), "{sent:?}: {found:?} {bytes} {space}");
        } else {
            assert_eq!(found, [format!("{expected} 400 {bytes} 0")], "{sent:?}");
        }
    }
    // A response that can't be read.
    let found = requests(&[Act::Open, client(GET), server("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"), server(OK)]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("GET /a 200 "), "{found:?}");
}

#[test]
fn tunnels_are_opaque() {
    let connect = "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n";
    let upgrade = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let established = "HTTP/1.1 200 Connected\r\n\r\n";
    for (sent, response, line) in [(connect, established, "CONNECT h:443 200"), (upgrade, switched, "GET /ws 101")] {
        let found = requests(&[
            Act::Open,
            client(sent),
            server(response),
            client(GET),
            server(OK),
            client(GET),
            Act::Close(Side::Server),
        ]);
        let (bytes, content) = (response.len() + OK.len(), OK.len());
        assert_eq!(found, [format!("{line} {bytes} {content}")]);
    }
}

#[test]
fn other_protocols_are_told_apart() {
    let tls = hello(Some("example.org"), 100);
    let greeting = [server("220 mail ESMTP\r\n"), client("EHLO h\r\n")];
    let list = [
        (vec![Act::Client(tls.clone()), Act::Server(vec![0x16, 3, 3, 0, 0])], Protocol::Tls, Some("example.org")),
        (
            vec![Act::Client(tls[..50].to_vec()), Act::Client(tls[50..].to_vec()), client("\x17")],
            Protocol::Tls,
            Some("example.org"),
        ),
        (vec![Act::Client(hello(None, 1_000))], Protocol::Tls, None),
        (greeting.to_vec(), Protocol::Tcp, None),
        (vec![client("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")], Protocol::Tcp, None),
        (vec![client("GET")], Protocol::Tcp, None),
        (vec![], Protocol::Tcp, None),
        (vec![client(GET)], Protocol::Http, None),
    ];
    for (acts, protocol, name) in list {
        let report = report(&capture(&packets(&[&[Act::Open][..], &acts].concat())));
        let stream = &report.streams[0];
        assert_eq!((stream.protocol, stream.server_name.as_deref()), (protocol, name), "{acts:?}");
        assert_eq!(stream.requests.len(), usize::from(protocol == Protocol::Http));
    }
}

#[test]
fn times_are_those_of_the_packets() {
    let report = report(&capture(&packets(&[
        Act::Open,
        client("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na"),
        client("bc"),
        server("HTTP/1.1 200 OK\r\nContent-"),
        server("Length: 0\r\n\r\n"),
        Act::Close(Side::Client),
        Act::Close(Side::Server),
    ])));
    let stream = &report.streams[0];
    let at = |packet: i64| Timestamp(packet * 100_000);
    assert_eq!((stream.syn, stream.start, stream.fin), (Some(at(0)), at(0), Some(at(7))));
    assert_eq!(stream.closed, Some(at(8)));
    assert_eq!((stream.requests[0].start, stream.requests[0].ttfb), (at(3), Some(100_000)));
}

#[test]
fn one_conversation_has_its_events() {
    let file = capture(&packets(&[Act::Open, client(GET), server(OK), Act::Reset(Side::Client)]));
    let filter = Filter { stream: Some(0), ..Filter::default() };
    let (report, _) = read(&file[..], &filter);
    let events: Vec<_> = report.streams[0]
        .events
        .iter()
        .map(|event| match &event.kind {
            EventKind::Head(head) => format!("{} {}", event.side, String::from_utf8_lossy(head)),
            kind => format!("{} {kind:?}", event.side),
        })
        .collect();
    let head = OK.strip_suffix("hello").unwrap();
    let expected = [
        "client Syn".to_owned(),
        "server Syn".to_owned(),
        format!("client {GET}"),
        format!("server {head}"),
        "server Content(5)".to_owned(),
        "client Reset".to_owned(),
    ];
    assert_eq!(events, expected);
    let (report, _) = read(&file[..], &Filter { stream: Some(1), ..Filter::default() });
    assert!(report.streams.is_empty());
}

#[test]
fn after_a_gap_the_next_head_is_found() {
    let body = "x".repeat(3_000);
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
    let acts = [Act::Open, client(GET), server(&endless), Act::Close(Side::Server)];
    let mut list = packets(&acts);
    list.remove(5);
    let found: Vec<_> = report(&capture(&list)).streams[0].requests.iter().map(request).collect();
    assert_eq!(found, [format!("GET /a 200 {} 3000", endless.len())], "a part of a body until the end");
    // The first response is lost.
    let next = GET.replace("/a", "/b");
    let mut list = packets(&[Act::Open, client(GET), server(OK), client(&next), server(OK)]);
    list.remove(4);
    let found: Vec<_> = report(&capture(&list)).streams[0].requests.iter().map(request).collect();
    let whole = OK.len();
    assert_eq!(found, ["GET /a 0 0 0 persistent incomplete".to_owned(), format!("GET /b 200 {whole} 5 persistent")]);
}
