//! What holds for the whole server: shut-down, maintenance, too many connections.

use super::*;

#[test]
fn while_shutting_down_what_is_there_is_answered_and_closed() {
    let mut bench = Bench::new();
    bench.draining = true;
    let (answer, want) = bench.ask(get("/"));
    assert!(answer.contains("Connection: close\r\n"));
    assert_eq!(want.finish, Finish::Linger);

    let mut bench = Bench::new();
    bench.ask(get("/"));
    bench.draining = true;
    assert_eq!(bench.settle().finish, Finish::Close);
}

#[test]
fn maintenance_answers_503_and_keeps_the_connection() {
    let mut bench = Bench::new();
    bench.shared.http.maintenance = true;
    let (answers, want) = bench.ask(get("/") + &get("/lab/hello"));
    assert_eq!((statuses(&answers), want.finish), (vec![503, 503], Finish::No));
    assert!(answers.contains("Retry-After: 5\r\n"));
    bench.shared.http.maintenance = false;
    assert_eq!(statuses(&bench.ask(get("/")).0), [200]);
}

#[test]
fn a_connection_too_many_is_told_so_and_closed() {
    let mut bench = Bench::with(|_| {}, true);
    let (answer, want) = bench.ask(get("/"));
    assert_eq!((statuses(&answer), want.finish), (vec![503], Finish::Linger));
    assert!(answer.contains("Retry-After: 5\r\n") && answer.contains("Connection: close\r\n"));

    let mut bench = Bench::with(|http| http.limits.per_address = Some(0), false);
    assert_eq!(statuses(&bench.ask(get("/")).0), [503]);
}

#[test]
fn an_error_is_a_page_or_a_line_as_the_client_takes_it() {
    let mut bench = Bench::new();
    let (page, _) = bench.ask("GET /nope HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n");
    assert!(page.contains("Content-Type: text/html") && body(&page).starts_with("<!DOCTYPE html>"));
    let (line, _) = bench.ask("GET /nope HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n");
    assert!(body(&line).starts_with("404 Not Found\n") && body(&line).contains("Request 1/2"));
}
