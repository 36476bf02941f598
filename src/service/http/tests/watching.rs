//! Watching: events as they happen.

use super::*;

fn post(text: &str) -> String {
    format!("POST /feed HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

#[test]
fn a_watcher_gets_what_was_missed_and_then_each_event_when_it_happens() {
    let mut bench = Bench::new();
    for text in ["one", "two"] {
        let (answer, told) = bench.another_asks(&post(text));
        assert_eq!((statuses(&answer), told), (vec![204], vec![]), "nobody watches");
    }
    let (answer, want) = bench.ask(get("/feed/1") + &get("/"));
    assert!(answer.contains("Content-Type: text/event-stream\r\nCache-Control: no-store\r\n"), "{answer}");
    assert_eq!(body(&answer), "13\r\nretry: 2000\nid: 1\n\n\r\n1D\r\nid: 2\nevent: said\ndata: two\n\n\r\n");
    assert_eq!((bench.phase(), want.read), ("Watching", false));
    let (_, told) = bench.another_asks(&post("three"));
    assert_eq!(told, [Handle::for_test(1)]);
    assert_eq!(bench.settle(), want);
    assert_eq!(bench.answers(), "1F\r\nid: 3\nevent: said\ndata: three\n\n\r\n");
    // Nothing is between two events but signs of life, each at its time.
    let beat = want.wake.unwrap();
    assert!((15..25).contains(&beat.since(bench.now).as_secs()));
    bench.now = Tick::from_micros(beat.as_micros() - 1);
    assert_eq!((bench.settle(), bench.answers()), (want, String::new()));
    bench.now = beat;
    assert!(bench.settle().wake.unwrap() > beat);
    assert_eq!(bench.answers(), "3\r\n:\n\n\r\n");
    // A shut-down ends it in good order.
    bench.draining = true;
    assert_eq!(bench.settle().finish, Finish::Linger);
    assert_eq!(bench.answers(), "0\r\n\r\n");
    assert_eq!(bench.another_asks(&post("four")).1, [], "it watches no more");
}

#[test]
fn a_head_of_events_ends_and_an_old_client_gets_them_without_chunks() {
    let mut bench = Bench::new();
    let (answers, want) = bench.ask(get("/feed").replace("GET", "HEAD") + &get("/"));
    assert_eq!((statuses(&answers), bench.phase(), want.read), (vec![200, 200], "Idle", true));
    assert!(answers.contains("Content-Type: text/event-stream\r\n"), "{answers}");

    let (answer, _) = bench.ask("GET /feed HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(answer.contains("Connection: close\r\n") && !answer.contains("Transfer-Encoding"), "{answer}");
    assert_eq!(body(&answer), "retry: 2000\nid: 0\n\n");
    bench.another_asks(&post("a"));
    bench.settle();
    assert_eq!(bench.answers(), "id: 1\nevent: said\ndata: a\n\n");
    // Who sends no more may still want to hear.
    bench.peer.end();
    bench.another_asks(&post("b"));
    assert_eq!(bench.settle().finish, Finish::No);
    assert_eq!(bench.answers(), "id: 2\nevent: said\ndata: b\n\n");
    // Who is gone altogether doesn't.
    bench.peer.gone = true;
    assert_eq!(bench.settle().finish, Finish::Abort);
}

#[test]
fn a_watcher_takes_events_as_it_can_and_the_others_do_not_wait_for_it() {
    let mut bench = Bench::new();
    bench.ask(get("/feed"));
    let line = "x".repeat(1000);
    let mut sent = String::new();
    for _ in 0..300 {
        bench.another_asks(&post(&line));
        bench.settle();
    }
    // It holds as much as the output has room for, whatever happens.
    assert!(bench.peer.output.pending() < 70_000, "{}", bench.peer.output.pending());
    while bench.peer.output.pending() > 0 {
        sent.push_str(&bench.answers());
        bench.settle();
    }
    assert_eq!(sent.matches(&line).count(), 300);
    assert!(sent.contains("id: 300\n"));
}

#[test]
fn a_panic_in_the_events_ends_them_without_an_end() {
    let mut bench = Bench::new();
    let (answer, want) = bench.ask(get("/feed/panic"));
    assert_eq!((statuses(&answer), want.finish), (vec![200], Finish::No));
    bench.another_asks(&post("a"));
    assert_eq!((bench.settle().finish, bench.answers()), (Finish::Linger, String::new()));
}
