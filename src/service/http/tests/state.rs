//! States of the whole server: shutdown, maintenance, too many connections.

use super::*;

#[test]
fn shutdown_serves_received_requests_and_closes() {
    let mut bench = Bench::new();
    bench.draining = true;
    let (response, want) = bench.exchange(get("/"));
    assert!(response.contains("Connection: close\r\n"));
    assert_eq!(want.finish, Finish::Linger);

    // One that has just become idle may have sent the next request already.
    let mut bench = Bench::new();
    bench.exchange(get("/"));
    bench.pass(SECOND);
    bench.draining = true;
    assert_eq!(bench.settle(), Want::READ.by(bench.now.after(limits::LINGER - SECOND)));
    assert_eq!(bench.pass(limits::LINGER - SECOND).finish, Finish::Linger);

    let mut bench = Bench::new();
    bench.exchange(get("/"));
    bench.draining = true;
    bench.settle();
    let (response, want) = bench.exchange(get("/"));
    assert!(response.contains("Connection: close\r\n"), "{response}");
    assert_eq!(want.finish, Finish::Linger);

    // One that was idle for long is closed at once.
    let mut bench = Bench::new();
    bench.exchange(get("/"));
    bench.pass(10 * SECOND);
    bench.draining = true;
    assert_eq!(bench.settle().finish, Finish::Linger);
}

#[test]
fn maintenance_sends_503_and_keeps_the_connection() {
    let mut bench = Bench::new();
    bench.shared.http.maintenance = true;
    let (responses, want) = bench.exchange(get("/") + &get("/lab/hello"));
    assert_eq!((statuses(&responses), want.finish), (vec![503, 503], Finish::No));
    assert!(responses.contains("Retry-After: 5\r\n"));
    bench.shared.http.maintenance = false;
    assert_eq!(statuses(&bench.exchange(get("/")).0), [200]);
}

#[test]
fn a_connection_over_the_limit_gets_503_and_is_closed() {
    let mut bench = Bench::with(|_| {}, true);
    let (response, want) = bench.exchange(get("/"));
    assert_eq!((statuses(&response), want.finish), (vec![503], Finish::Linger));
    assert!(response.contains("Retry-After: 5\r\n") && response.contains("Connection: close\r\n"));

    let mut bench = Bench::with(|http| http.limits.per_address = Some(0), false);
    assert_eq!(statuses(&bench.exchange(get("/")).0), [503]);
}

#[test]
fn an_error_is_html_or_text_depending_on_accept() {
    let mut bench = Bench::new();
    let (page, _) = bench.exchange("GET /nope HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n");
    assert!(page.contains("Content-Type: text/html") && body(&page).starts_with("<!DOCTYPE html>"));
    let (line, _) = bench.exchange("GET /nope HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n");
    assert!(body(&line).starts_with("404 Not Found\n") && body(&line).contains("Request 1/2"));
}
