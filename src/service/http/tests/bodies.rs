//! Phase Body: bodies that are read or refused, and the next request.

use super::*;

#[test]
fn a_body_arrives_completely_in_both_framings_followed_by_the_next_request() {
    let requests = b"POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello\
        POST /lab/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nwor\r\n2\r\nld\r\n0\r\nT: t\r\n\r\n";
    let responses = every_split(requests, &[], |pieces| {
        let mut bench = Bench::new();
        pieces.map(|piece| bench.exchange(piece).0).collect::<String>()
    });
    assert_eq!(statuses(&responses), [200, 200]);
    assert!(responses.contains("\r\n\r\nhelloHTTP/1.1") && responses.ends_with("\r\n\r\nworld"), "{responses}");
}

#[test]
fn continue_is_sent_only_if_the_body_is_wanted() {
    let request = |path: &str, expect: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nExpect: {expect}\r\nContent-Length: 2\r\n\r\n")
    };
    let mut bench = Bench::new();
    assert_eq!(bench.exchange(request("/lab/echo", "100-continue")).0, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(body(&bench.exchange("ok").0), "ok");
    for (path, expect, status) in [("/", "100-continue", 405), ("/lab/echo", "200-ok", 417)] {
        let mut bench = Bench::new();
        let (response, want) = bench.exchange(request(path, expect));
        assert_eq!((statuses(&response), want.finish), (vec![status], Finish::Linger));
        assert!(response.contains("Connection: close"));
    }
}

#[test]
fn an_unwanted_body_is_read_up_to_a_limit() {
    let mut bench = Bench::new();
    let (responses, want) =
        bench.exchange(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc{}", get("/")));
    assert_eq!((statuses(&responses), want.finish), (vec![405, 200], Finish::No));

    let mut bench = Bench::new();
    let (responses, want) = bench.exchange("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n");
    assert_eq!((statuses(&responses), want.finish), (vec![405], Finish::Linger));

    let mut bench = Bench::new();
    bench.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("4000\r\n{}\r\n", "a".repeat(0x4000));
    for _ in 0..4 {
        assert_eq!(bench.exchange(&chunk).0, "");
    }
    let (responses, want) = bench.exchange(&chunk);
    assert_eq!((statuses(&responses), want.finish), (vec![405], Finish::Linger));
}

#[test]
fn a_body_over_the_limit_gets_413() {
    for framing in ["Content-Length: 11\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n"] {
        let mut bench = Bench::with_host(|host| host.set_rules(Rules { body_limit: 10, ..Rules::default() }));
        let (responses, want) = bench.exchange(format!("POST /lab/echo HTTP/1.1\r\nHost: x\r\n{framing}"));
        assert_eq!((statuses(&responses), want.finish), (vec![413], Finish::Linger), "{framing:?}");
    }
}

#[test]
fn a_malformed_body_gets_400_wanted_or_not() {
    for path in ["/", "/lab/echo"] {
        let mut bench = Bench::new();
        let (responses, want) =
            bench.exchange(format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\r\n"));
        assert_eq!((statuses(&responses), want.finish), (vec![400], Finish::Linger));
    }
    let mut bench = Bench::new();
    bench.peer.end();
    let (responses, _) = bench.exchange("POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc");
    assert_eq!(statuses(&responses), [400]);
}

#[test]
fn a_slow_body_gets_408() {
    let mut bench = Bench::new();
    let want = bench.send("POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n");
    assert_eq!(want.wake, Some(Tick::default().after(20 * SECOND)));
    bench.now = bench.now.after(10 * SECOND);
    // It makes progress, but below the minimum rate.
    let want = bench.send("a");
    assert_eq!((statuses(&bench.responses()), want.finish), (vec![408], Finish::Linger));
}
