//! Phase Watching: events.

use super::*;

fn post(text: &str) -> String {
    format!("POST /feed HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

#[test]
fn a_watcher_gets_missed_events_and_then_each_new_event() {
    let mut bench = Bench::new();
    for text in ["one", "two"] {
        let (response, notified) = bench.exchange_on_another(&post(text));
        assert_eq!((statuses(&response), notified), (vec![204], vec![]), "there is no watcher");
    }
    let (response, want) = bench.exchange(get("/feed/1") + &get("/"));
    assert!(response.contains("Content-Type: text/event-stream\r\nCache-Control: no-store\r\n"), "{response}");
    assert_eq!(body(&response), "13\r\nretry: 2000\nid: 1\n\n\r\n1D\r\nid: 2\nevent: post\ndata: two\n\n\r\n");
    assert_eq!((bench.phase(), want.read), ("Watching", false));
    let (_, notified) = bench.exchange_on_another(&post("three"));
    assert_eq!(notified, [Handle::for_test(1)]);
    assert_eq!(bench.settle(), want);
    assert_eq!(bench.responses(), "1F\r\nid: 3\nevent: post\ndata: three\n\n\r\n");
    // Between events only comments are sent, at regular times.
    let beat = want.wake.unwrap();
    assert!((15..25).contains(&beat.since(bench.now).as_secs()));
    bench.now = Tick::from_micros(beat.as_micros() - 1);
    assert_eq!((bench.settle(), bench.responses()), (want, String::new()));
    bench.now = beat;
    assert!(bench.settle().wake.unwrap() > beat);
    assert_eq!(bench.responses(), "3\r\n:\n\n\r\n");
    // Shutdown ends the stream with its last chunk.
    bench.draining = true;
    assert_eq!(bench.settle().finish, Finish::Linger);
    assert_eq!(bench.responses(), "0\r\n\r\n");
    assert_eq!(bench.exchange_on_another(&post("four")).1, [], "it isn't a watcher any more");
}

#[test]
fn head_of_events_ends_and_http_1_0_gets_them_without_chunks() {
    let mut bench = Bench::new();
    let (responses, want) = bench.exchange(get("/feed").replace("GET", "HEAD") + &get("/"));
    assert_eq!((statuses(&responses), bench.phase(), want.read), (vec![200, 200], "Idle", true));
    assert!(responses.contains("Content-Type: text/event-stream\r\n"), "{responses}");

    let (response, _) = bench.exchange("GET /feed HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(response.contains("Connection: close\r\n") && !response.contains("Transfer-Encoding"), "{response}");
    assert_eq!(body(&response), "retry: 2000\nid: 0\n\n");
    bench.exchange_on_another(&post("a"));
    bench.settle();
    assert_eq!(bench.responses(), "id: 1\nevent: post\ndata: a\n\n");
    // A half-closed client still gets events.
    bench.peer.end();
    bench.exchange_on_another(&post("b"));
    assert_eq!(bench.settle().finish, Finish::No);
    assert_eq!(bench.responses(), "id: 2\nevent: post\ndata: b\n\n");
    // A client that has closed doesn't.
    bench.peer.gone = true;
    assert_eq!(bench.settle().finish, Finish::Abort);
}

#[test]
fn a_slow_watcher_gets_every_event_and_delays_no_other() {
    let mut bench = Bench::new();
    bench.exchange(get("/feed"));
    let line = "x".repeat(1000);
    let mut sent = String::new();
    for _ in 0..300 {
        bench.exchange_on_another(&post(&line));
        bench.settle();
    }
    // It buffers at most what the output has room for.
    assert!(bench.peer.output.pending() < 70_000, "{}", bench.peer.output.pending());
    while bench.peer.output.pending() > 0 {
        sent.push_str(&bench.responses());
        bench.settle();
    }
    assert_eq!(sent.matches(&line).count(), 300);
    assert!(sent.contains("id: 300\n"));
}

#[test]
fn a_panic_in_the_events_truncates_them() {
    let mut bench = Bench::new();
    let (response, want) = bench.exchange(get("/feed/panic"));
    assert_eq!((statuses(&response), want.finish), (vec![200], Finish::No));
    bench.exchange_on_another(&post("a"));
    assert_eq!((bench.settle().finish, bench.responses()), (Finish::Cut, String::new()));
}
