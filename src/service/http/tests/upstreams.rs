//! Requests that other servers answer.

use super::tunnel::Pair;
use super::*;
use crate::service::Message;
use crate::service::proxy::{ExchangeId, InFlight, Proxy, Upstream};

/// A server whose paths below `/p` an upstream answers that may have one request, and the upstream.
fn bench() -> (Bench, Rc<Upstream>) {
    let upstream = Rc::new(testing::upstream());
    let proxy = Proxy { max_in_flight: 1, ..Proxy::new(vec![Rc::clone(&upstream)], "me".to_owned()) };
    let bench = Bench::with_host(|host| host.routes.set("/p", RouteHandler::Proxy(Rc::new(proxy))).unwrap());
    (bench, upstream)
}

#[test]
fn a_request_waits_for_room_at_its_upstream_and_not_for_ever() {
    let (mut bench, upstream) = bench();
    let other = InFlight::begin(&upstream);
    let want = bench.send(get("/p"));
    assert_eq!(want, Want::NOTHING.by(bench.now.after(limits::UPSTREAM_QUEUE_TIMEOUT)));
    assert!(bench.context.connecting().is_empty() && bench.phase() == "Proxied");
    let want = bench.pass(limits::UPSTREAM_QUEUE_TIMEOUT);
    let response = bench.responses();
    assert_eq!((statuses(&response), want.finish), (vec![503], Finish::No));
    assert!(response.contains("Retry-After: ") && response.contains("Too many requests wait"), "{response}");
    // The next one waits, and begins when there is room.
    bench.send(get("/p"));
    assert!(bench.context.connecting().is_empty());
    drop(other);
    bench.settle();
    assert_eq!((bench.context.connecting().len(), upstream.in_flight()), (1, 1));
}

#[test]
fn an_exchange_that_ends_wakes_the_first_that_waits() {
    let (mut bench, upstream) = bench();
    let other = InFlight::begin(&upstream);
    bench.send(get("/p"));
    let (_, notified) = bench.exchange_on_another(&get("/p"));
    assert_eq!(notified, [Handle::for_test(1)], "it was closed while it waited, too");
    drop(other);
    bench.settle();
    assert_eq!(upstream.in_flight(), 1);
    bench.peer.gone = true;
    bench.settle();
    assert_eq!(upstream.in_flight(), 0);
    let cancelled =
        |(_, message): (Handle, Message)| matches!(message, Message::ToUpstream(ExchangeId { request: 1, .. }, _));
    assert!(bench.context.sent().into_iter().any(cancelled));
}

/// After how many seconds an upstream is given up that sends this piece of content each second, but for a pause
/// before the first. None if it isn't.
fn given_up(framing: &str, piece: &[u8], pause: u64) -> Option<u64> {
    let mut pair = Pair::new();
    pair.bench.peer.send(get("/up").as_bytes());
    pair.settle();
    pair.origin.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes());
    pair.settle();
    for second in 0..200 {
        if second >= pause {
            pair.origin.send(piece);
        }
        pair.settle();
        if pair.want.finish == Finish::Abort {
            return Some(second);
        }
        pair.bench.now = pair.bench.now.after(Duration::from_secs(1));
    }
    None
}

#[test]
fn content_of_known_length_comes_at_the_least_rate() {
    let known = "Content-Length: 1000000";
    assert_eq!(given_up(known, b"0123456789", 0), Some(6), "it is slower, after the grace");
    assert_eq!(given_up(known, b"0123456789", 40), Some(46), "until it begins, it may take longer");
    assert_eq!(given_up(known, &[b'x'; 100], 0), None, "it isn't slower");
    assert_eq!(given_up("Transfer-Encoding: chunked", b"1\r\nx\r\n", 0), None, "events are as seldom as they are");
    assert_eq!(given_up("X: 1", b"x", 0), None);
}

#[test]
fn the_time_in_which_a_client_has_no_room_does_not_count() {
    let mut pair = Pair::new();
    pair.bench.peer.send(get("/up").as_bytes());
    pair.settle();
    pair.origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    pair.settle();
    while pair.want.read {
        pair.origin.send(&[b'x'; 10_000]);
        pair.settle();
    }
    pair.bench.now = pair.bench.now.after(Duration::from_secs(10_000));
    pair.settle();
    assert_eq!(pair.want, Want::NOTHING);
    for _ in 0..4 {
        pair.bench.responses();
        pair.settle();
    }
    pair.origin.send(b"x");
    pair.settle();
    assert_eq!((pair.want.read, pair.want.finish), (true, Finish::No));
}
