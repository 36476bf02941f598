//! Phase Sending: content that takes time or room.

use super::*;

#[test]
fn a_panic_is_a_500_and_the_connection_persists() {
    let mut bench = Bench::new();
    let (responses, want) = bench.exchange(get("/lab/panic") + &get("/"));
    assert_eq!((statuses(&responses), want.finish), (vec![500, 200], Finish::No));
}

#[test]
fn a_panic_during_the_content_truncates_it() {
    let mut bench = Bench::new();
    let (response, want) = bench.exchange(get("/half"));
    assert_eq!((body(&response), want.finish), ("4\r\nhalf\r\n", Finish::Cut));
    // Without chunks, only a reset shows that the content is incomplete.
    let (_, want) = Bench::new().exchange("GET /half HTTP/1.0\r\n\r\n");
    assert_eq!(want.finish, Finish::Abort);
}

#[test]
fn streamed_content_is_chunked_and_continued_by_a_timer() {
    let mut bench = Bench::new();
    let (response, want) = bench.exchange(get("/lab/stream?chunks=3&ms=500"));
    assert!(response.contains("Transfer-Encoding: chunked\r\n"));
    assert_eq!(body(&response), "18\r\nchunk 1 of 3 after 0 ms\n\r\n");
    assert_eq!(want, Want::NOTHING.by(Tick::default().after(SECOND / 2)));
    bench.pass(SECOND / 2);
    assert_eq!(bench.responses(), "1A\r\nchunk 2 of 3 after 500 ms\n\r\n");
    let want = bench.pass(SECOND / 2);
    assert_eq!(bench.responses(), "1B\r\nchunk 3 of 3 after 1000 ms\n\r\n0\r\n\r\n");
    assert!(want.read && bench.phase() == "Idle");
}

#[test]
fn streamed_content_ends_with_the_connection_in_http_1_0() {
    let mut bench = Bench::new();
    let (response, want) = bench.exchange("GET /lab/stream?chunks=2&ms=0 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(response.contains("Connection: close\r\n") && !response.contains("Transfer-Encoding"));
    assert_eq!(body(&response), "chunk 1 of 2 after 0 ms\nchunk 2 of 2 after 0 ms\n");
    // It requested a persistent connection, so its next request may be in flight.
    assert_eq!(want.finish, Finish::Linger);
}

#[test]
fn content_larger_than_the_output_is_sent_in_pieces() {
    let mut bench = Bench::new();
    let content = "x".repeat(200_000);
    let request = format!("POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{content}", content.len());
    let mut response = String::new();
    for piece in request.as_bytes().chunks(50_000) {
        response.push_str(&bench.exchange(piece).0);
    }
    assert_eq!(body(&response), content);
    assert_eq!(bench.phase(), "Idle");
}

#[test]
fn a_request_after_a_large_file_waits_until_the_file_is_sent() {
    let mut bench = Bench::new();
    let want = bench.send(get("/large.bin") + &get("/"));
    assert_eq!(want, Want::NOTHING);
    assert_eq!(bench.phase(), "SendingFile");
    assert!(bench.responses().ends_with("\r\n\r\n<0-16384>"));
    bench.settle();
    assert_eq!(statuses(&bench.responses()), [200]);
}

#[test]
fn the_next_request_starts_when_the_file_is_sent_and_the_multipart_end_is_pending() {
    let mut bench = Bench::new();
    bench.send("GET /large.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=0-4999,8000-12999\r\n\r\n".to_owned() + &get("/"));
    while bench.peer.output.has_file() {
        assert_eq!(bench.phase(), "SendingFile");
        bench.peer.output.take(1000);
    }
    // The peer accepts no more for now. The output has room, so no other call follows.
    assert!(bench.peer.output.pending() > 0);
    let want = bench.settle();
    assert_eq!((bench.phase(), want.read), ("Idle", true));
    assert!(bench.responses().ends_with("<p>index"));
}
