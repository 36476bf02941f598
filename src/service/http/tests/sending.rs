//! Sending: content that takes time or room.

use super::*;

#[test]
fn a_panic_becomes_a_500_and_the_connection_lives() {
    let mut bench = Bench::new();
    let (answers, want) = bench.ask(get("/lab/panic") + &get("/"));
    assert_eq!((statuses(&answers), want.finish), (vec![500, 200], Finish::No));
}

#[test]
fn a_panic_in_the_middle_of_the_content_leaves_it_without_an_end() {
    let mut bench = Bench::new();
    let (answer, want) = bench.ask(get("/half"));
    assert_eq!((body(&answer), want.finish), ("4\r\nhalf\r\n", Finish::Linger));
    // Without chunks, only a reset tells a part from the whole.
    let (_, want) = Bench::new().ask("GET /half HTTP/1.0\r\n\r\n");
    assert_eq!(want.finish, Finish::Abort);
}

#[test]
fn content_over_time_is_chunked_and_wakes_by_a_timer() {
    let mut bench = Bench::new();
    let (answer, want) = bench.ask(get("/lab/stream?chunks=3&ms=500"));
    assert!(answer.contains("Transfer-Encoding: chunked\r\n"));
    assert_eq!(body(&answer), "18\r\nchunk 1 of 3 after 0 ms\n\r\n");
    assert_eq!(want, Want::NOTHING.by(Tick::default().after(SECOND / 2)));
    bench.pass(SECOND / 2);
    assert_eq!(bench.answers(), "1A\r\nchunk 2 of 3 after 500 ms\n\r\n");
    let want = bench.pass(SECOND / 2);
    assert_eq!(bench.answers(), "1B\r\nchunk 3 of 3 after 1000 ms\n\r\n0\r\n\r\n");
    assert!(want.read && bench.phase() == "Idle");
}

#[test]
fn to_an_old_client_such_content_ends_with_the_connection() {
    let mut bench = Bench::new();
    let (answer, want) = bench.ask("GET /lab/stream?chunks=2&ms=0 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(answer.contains("Connection: close\r\n") && !answer.contains("Transfer-Encoding"));
    assert_eq!(body(&answer), "chunk 1 of 2 after 0 ms\nchunk 2 of 2 after 0 ms\n");
    // It asked to keep the connection, so its next request may be under way.
    assert_eq!(want.finish, Finish::Linger);
}

#[test]
fn content_larger_than_the_output_goes_in_pieces() {
    let mut bench = Bench::new();
    let content = "x".repeat(200_000);
    let request = format!("POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{content}", content.len());
    let mut answer = String::new();
    for piece in request.as_bytes().chunks(50_000) {
        answer.push_str(&bench.ask(piece).0);
    }
    assert_eq!(body(&answer), content);
    assert_eq!(bench.phase(), "Idle");
}

#[test]
fn a_large_file_is_a_head_and_a_stretch_and_what_follows_waits_for_it() {
    let mut bench = Bench::new();
    let want = bench.send(get("/large.bin") + &get("/"));
    assert_eq!(want, Want::NOTHING);
    assert_eq!(bench.phase(), "SendingFile");
    assert!(bench.answers().ends_with("\r\n\r\n<0-16384>"));
    bench.settle();
    assert_eq!(statuses(&bench.answers()), [200]);
}

#[test]
fn the_exchange_goes_on_when_the_file_is_gone_though_the_end_of_a_multipart_answer_is_not() {
    let mut bench = Bench::new();
    bench.send("GET /large.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=0-4999,8000-12999\r\n\r\n".to_owned() + &get("/"));
    while bench.peer.output.has_file() {
        assert_eq!(bench.phase(), "SendingFile");
        bench.peer.output.take(1000);
    }
    // The peer takes no more for now; there is room, so this is the last call.
    assert!(bench.peer.output.pending() > 0);
    let want = bench.settle();
    assert_eq!((bench.phase(), want.read), ("Idle", true));
    assert!(bench.answers().ends_with("<p>index"));
}
