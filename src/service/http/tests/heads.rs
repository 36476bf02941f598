//! Phases Idle and Head: from one request to the next.

use super::*;

#[test]
fn requests_in_any_pieces_get_responses_in_order() {
    let requests: Vec<u8> =
        ["/", "/lab/hello?name=a", "/nope", "/lab/status/204", "/", "/lab/echo"].map(get).concat().into_bytes();
    let responses = every_split(&requests, &[], |pieces| {
        let mut bench = Bench::new();
        let mut responses = String::new();
        for piece in pieces {
            let (text, want) = bench.exchange(piece);
            assert!(want.read && want.finish == Finish::No);
            responses.push_str(&text);
        }
        responses
    });
    assert_eq!(statuses(&responses), [200, 200, 404, 204, 200, 200]);
}

#[test]
fn pipelined_requests_wait_for_room_in_the_output() {
    let mut bench = Bench::new();
    let requests = get("/").repeat(1000);
    let (responses, want) = bench.exchange(requests);
    assert_eq!(statuses(&responses), [200; 1000]);
    assert!(want.read);
    assert_eq!(bench.phase(), "Idle");
}

#[test]
fn an_error_follows_the_responses_to_earlier_requests_and_closes() {
    let mut bench = Bench::new();
    let (responses, want) = bench.exchange(get("/") + "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" + &get("/"));
    assert_eq!(statuses(&responses), [200, 400]);
    assert_eq!(want.finish, Finish::Linger);
    assert!(responses.contains("Connection: close\r\n") && responses.contains("Request 1/2"), "{responses}");
}

#[test]
fn garbage_is_refused_before_it_ends() {
    for garbage in [&b"\x15\x03\x01"[..], b"GET /\r\n", b"\0"] {
        let mut bench = Bench::new();
        let (responses, want) = bench.exchange(garbage);
        assert_eq!((statuses(&responses), want.finish), (vec![400], Finish::Linger));
    }
}

#[test]
fn an_error_response_to_a_malformed_head_request_has_no_content() {
    for request in ["HEAD / HTTP/1.1\r\nHost: a b\r\n\r\n", "HEAD  /", "\r\nHEAD / HTTP/2.0\r\n\r\n"] {
        let (response, want) = Bench::new().exchange(request);
        assert_eq!((body(&response), want.finish), ("", Finish::Linger), "{request:?}");
        assert!(response.contains("\r\nContent-Length: "), "{response}");
    }
}

#[test]
fn the_connection_persists_if_both_sides_agree() {
    for (request, line, finish) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", None, Finish::No),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", Some("Connection: close\r\n"), Finish::Close),
        ("GET / HTTP/1.0\r\n\r\n", Some("Connection: close\r\n"), Finish::Close),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Some("Connection: keep-alive\r\n"), Finish::No),
        ("GET /nope HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Some("Connection: keep-alive\r\n"), Finish::No),
    ] {
        let mut bench = Bench::new();
        let (response, want) = bench.exchange(request);
        assert_eq!(want.finish, finish, "{request:?}");
        assert_eq!(response.contains("Connection: "), line.is_some(), "{response}");
        assert!(line.is_none_or(|line| response.contains(line)), "{response}");
    }
}

#[test]
fn a_slow_head_gets_408_and_silence_gets_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.settle(), Want::READ.by(Tick::default().after(10 * SECOND)));
    assert_eq!(bench.pass(10 * SECOND).finish, Finish::Linger);
    assert_eq!(bench.responses(), "");

    let mut bench = Bench::new();
    bench.send("G");
    // The timeout is for the whole head: more bytes don't extend it.
    bench.pass(9 * SECOND);
    assert_eq!(bench.send("ET").wake, Some(Tick::default().after(10 * SECOND)));
    let want = bench.pass(SECOND);
    assert_eq!((statuses(&bench.responses()), want.finish), (vec![408], Finish::Linger));
}

#[test]
fn the_idle_timeout_between_requests_closes_silently() {
    let mut bench = Bench::new();
    let (_, want) = bench.exchange(get("/"));
    assert_eq!(want, Want::READ.by(Tick::default().after(60 * SECOND)));
    bench.pass(50 * SECOND);
    // The head of a request has its own timeout, from its first byte.
    assert_eq!(bench.send("GET").wake, Some(bench.now.after(10 * SECOND)));
    let (response, want) = bench.exchange(" / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(statuses(&response), [200]);
    assert_eq!(want.wake, Some(bench.now.after(60 * SECOND)));
    assert_eq!(bench.pass(60 * SECOND).finish, Finish::Linger, "a request that crosses gets no reset");
    assert_eq!(bench.responses(), "");
}

#[test]
fn eof_closes_after_the_responses() {
    for (input, count) in [("", 0), ("GET / HTT", 0), (&*(get("/") + &get("/nope") + "GET"), 2)] {
        let mut bench = Bench::new();
        bench.peer.end();
        let (responses, want) = bench.exchange(input);
        assert_eq!((statuses(&responses).len(), want.finish), (count, Finish::Close));
    }
}

#[test]
fn a_client_that_speaks_tls_is_closed_without_a_byte() {
    for hello in [&b"\x16"[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut bench = Bench::new();
        let (responses, want) = bench.exchange(hello);
        assert_eq!((responses.as_str(), want.finish), ("", Finish::Linger));
    }
}
