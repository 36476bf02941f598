//! Idle and Head: from one request to the next.

use super::*;

#[test]
fn any_number_of_requests_however_they_are_cut_are_answered_in_order() {
    let requests: Vec<u8> =
        ["/", "/lab/hello?name=a", "/nope", "/lab/status/204", "/", "/lab/echo"].map(get).concat().into_bytes();
    let answers = every_split(&requests, &[], |pieces| {
        let mut bench = Bench::new();
        let mut answers = String::new();
        for piece in pieces {
            let (text, want) = bench.ask(piece);
            assert!(want.read && want.finish == Finish::No);
            answers.push_str(&text);
        }
        answers
    });
    assert_eq!(statuses(&answers), [200, 200, 404, 204, 200, 200]);
}

#[test]
fn a_train_of_requests_longer_than_the_output_waits_for_room() {
    let mut bench = Bench::new();
    let train = get("/").repeat(1000);
    let (answers, want) = bench.ask(train);
    assert_eq!(statuses(&answers), [200; 1000]);
    assert!(want.read);
    assert_eq!(bench.phase(), "Idle");
}

#[test]
fn an_error_in_the_middle_answers_what_came_before_then_itself_then_closes() {
    let mut bench = Bench::new();
    let (answers, want) = bench.ask(get("/") + "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" + &get("/"));
    assert_eq!(statuses(&answers), [200, 400]);
    assert_eq!(want.finish, Finish::Linger);
    assert!(answers.contains("Connection: close\r\n") && answers.contains("request 1/2"), "{answers}");
}

#[test]
fn garbage_is_refused_before_it_ends() {
    for garbage in [&b"\x16\x03\x01"[..], b"GET /\r\n", b"\0"] {
        let mut bench = Bench::new();
        let (answers, want) = bench.ask(garbage);
        assert_eq!((statuses(&answers), want.finish), (vec![400], Finish::Linger));
    }
}

#[test]
fn an_error_in_answer_to_what_begins_as_head_has_no_content() {
    for request in ["HEAD / HTTP/1.1\r\nHost: a b\r\n\r\n", "HEAD  /", "\r\nHEAD / HTTP/2.0\r\n\r\n"] {
        let (answer, want) = Bench::new().ask(request);
        assert_eq!((body(&answer), want.finish), ("", Finish::Linger), "{request:?}");
        assert!(answer.contains("\r\nContent-Length: "), "{answer}");
    }
}

#[test]
fn the_connection_persists_as_both_sides_want() {
    for (request, line, finish) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", None, Finish::No),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", Some("Connection: close\r\n"), Finish::Close),
        ("GET / HTTP/1.0\r\n\r\n", Some("Connection: close\r\n"), Finish::Close),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Some("Connection: keep-alive\r\n"), Finish::No),
        ("GET /nope HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Some("Connection: keep-alive\r\n"), Finish::No),
    ] {
        let mut bench = Bench::new();
        let (answer, want) = bench.ask(request);
        assert_eq!(want.finish, finish, "{request:?}");
        assert_eq!(answer.contains("Connection: "), line.is_some(), "{answer}");
        assert!(line.is_none_or(|line| answer.contains(line)), "{answer}");
    }
}

#[test]
fn a_slow_head_gets_408_and_silence_gets_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.settle(), Want::READ.by(Tick::default().after(10 * SECOND)));
    assert_eq!(bench.pass(10 * SECOND).finish, Finish::Close);
    assert_eq!(bench.answers(), "");

    let mut bench = Bench::new();
    bench.send("G");
    // The head has its time as a whole: more bytes don't prolong it.
    bench.pass(9 * SECOND);
    assert_eq!(bench.send("ET").wake, Some(Tick::default().after(10 * SECOND)));
    let want = bench.pass(SECOND);
    assert_eq!((statuses(&bench.answers()), want.finish), (vec![408], Finish::Linger));
}

#[test]
fn between_requests_another_timeout_holds_and_it_closes_silently() {
    let mut bench = Bench::new();
    let (_, want) = bench.ask(get("/"));
    assert_eq!(want, Want::READ.by(Tick::default().after(60 * SECOND)));
    bench.pass(50 * SECOND);
    // A begun request has its own time, from its first byte.
    assert_eq!(bench.send("GET").wake, Some(bench.now.after(10 * SECOND)));
    let (answer, want) = bench.ask(" / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(statuses(&answer), [200]);
    assert_eq!(want.wake, Some(bench.now.after(60 * SECOND)));
    assert_eq!(bench.pass(60 * SECOND).finish, Finish::Close);
    assert_eq!(bench.answers(), "");
}

#[test]
fn an_end_of_input_closes_after_the_answers() {
    for (input, answered) in [("", 0), ("GET / HTT", 0), (&*(get("/") + &get("/nope") + "GET"), 2)] {
        let mut bench = Bench::new();
        bench.peer.end();
        let (answers, want) = bench.ask(input);
        assert_eq!((statuses(&answers).len(), want.finish), (answered, Finish::Close));
    }
}
