//! Requests that other servers answer.

use super::*;
use crate::http::proxying::{Server, UpstreamTimeouts};
use crate::reactor::Endpoint;
use crate::service::Message;
use crate::service::proxy::{Addresses, ExchangeId, InFlight, Proxy, Upstream};

/// A server whose paths below `/p` an upstream answers that may have one request, and the upstream.
fn bench() -> (Bench, Rc<Upstream>) {
    let addresses = Addresses::at(Endpoint::Unix("/a".into()));
    let upstream = Upstream::new(
        "unix:/a".into(),
        Server::new(false, b"a").unwrap(),
        addresses,
        None,
        UpstreamTimeouts::default(),
    );
    let upstream = Rc::new(upstream);
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
