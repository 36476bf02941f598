//! Sessions: loaded before, saved after.

use super::*;

/// A request for `path` with a session's cookie, if there is one.
fn visit(path: &str, cookie: &str) -> String {
    format!("GET /visits{path} HTTP/1.1\r\nHost: x\r\n{}\r\n", line_of(cookie))
}

fn line_of(cookie: &str) -> String {
    if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") }
}

/// The cookie that an answer sets, name and value; none if it sets none.
fn cookie_in(answer: &str) -> Option<String> {
    assert!(answer.matches("Set-Cookie: ").count() <= 1, "{answer}");
    let line = answer.lines().find_map(|line| line.strip_prefix("Set-Cookie: "))?;
    let (cookie, attributes) = line.split_once("; ").unwrap();
    assert!(attributes.ends_with("HttpOnly; SameSite=Lax; Path=/"), "{line}");
    Some(cookie.to_owned())
}

/// Bench with a store that must be asked.
fn with_pending() -> Bench {
    Bench::with(|http| http.sessions.store = Store::Remote(Pending::default()), false)
}

impl Bench {
    fn pending(&mut self) -> &mut Pending {
        let Store::Remote(pending) = &mut self.shared.http.sessions.store else { panic!("another store") };
        pending
    }

    /// What the store is asked next.
    fn question(&mut self) -> (Ticket, Question) {
        self.pending().next_question().expect("a question")
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply) -> Want {
        self.pending().answer(ticket, reply);
        self.settle()
    }
}

#[test]
fn a_session_begins_when_something_is_written_and_goes_on_by_its_cookie() {
    let mut bench = Bench::new();
    let (answer, _) = bench.ask(visit("/look", ""));
    assert_eq!((body(&answer), cookie_in(&answer)), ("0", None), "nothing was written");
    assert_eq!(answer.matches("Cache-Control: private, no-store\r\n").count(), 1);
    assert!(answer.contains("Vary: Cookie\r\n") && !answer.contains("max-age"), "{answer}");
    let (answer, _) = bench.ask(visit("", ""));
    assert_eq!(body(&answer), "1");
    let cookie = cookie_in(&answer).unwrap();
    assert!(cookie.starts_with("sessionId="));
    for (path, count) in [("", "2"), ("/look", "2"), ("", "3"), ("/later", "4"), ("", "5")] {
        bench.send(visit(path, &cookie));
        bench.run_jobs();
        let answer = bench.answers();
        assert_eq!((body(&answer), cookie_in(&answer)), (count, None), "{path}");
    }
    // Among other cookies, and on another connection.
    let (answer, _) = bench.ask(visit("", &format!("a=b; sessionId=junk; {cookie}; c")));
    assert_eq!((body(&answer), cookie_in(&answer)), ("6", None));
    assert_eq!(body(&bench.ask(visit("", "")).0), "1", "another visitor");
}

#[test]
fn an_identifier_that_was_not_given_out_is_not_adopted() {
    let mut bench = Bench::new();
    let planted = format!("sessionId={}", Id::new());
    let (answer, _) = bench.ask(visit("", &planted));
    let cookie = cookie_in(&answer).unwrap();
    assert_eq!(body(&answer), "1");
    assert_ne!(cookie, planted);
    assert_eq!(body(&bench.ask(visit("/look", &planted)).0), "0");
    assert_eq!(body(&bench.ask(visit("/look", &cookie)).0), "1");
}

#[test]
fn a_renewed_session_keeps_its_values_and_its_old_identifier_is_nobodys() {
    let mut bench = Bench::new();
    let old = cookie_in(&bench.ask(visit("", "")).0).unwrap();
    let (answer, _) = bench.ask(visit("/renew", &old));
    let new = cookie_in(&answer).unwrap();
    assert_eq!(body(&answer), "2");
    assert_ne!(old, new);
    assert_eq!(body(&bench.ask(visit("/look", &old)).0), "0");
    assert_eq!(body(&bench.ask(visit("/look", &new)).0), "2");
}

#[test]
fn an_ended_session_takes_its_cookie_back_and_the_next_begins_anew() {
    let mut bench = Bench::new();
    let cookie = cookie_in(&bench.ask(visit("", "")).0).unwrap();
    let (answer, _) = bench.ask(visit("/end", &cookie));
    assert_eq!(cookie_in(&answer).as_deref(), Some("sessionId="));
    assert!(answer.contains("sessionId=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; "), "{answer}");
    let (answer, _) = bench.ask(visit("", &cookie));
    assert_eq!(body(&answer), "1");
    assert_ne!(cookie_in(&answer).unwrap(), cookie);
}

#[test]
fn what_is_too_large_or_panics_is_not_kept() {
    let mut bench = Bench::new();
    let cookie = cookie_in(&bench.ask(visit("", "")).0).unwrap();
    for (path, status) in [("/large", 507), ("/panic", 500)] {
        let (answer, want) = bench.ask(visit(path, &cookie));
        assert_eq!((statuses(&answer), want.finish, cookie_in(&answer)), (vec![status], Finish::No, None));
        assert_eq!(body(&bench.ask(visit("/look", &cookie)).0), "1");
    }
}

#[test]
fn what_another_site_causes_is_refused_if_it_could_change_something() {
    for (request, lines, status) in [
        ("POST /visits", "Origin: http://evil.example\r\n", 403),
        ("POST /visits", "Sec-Fetch-Site: cross-site\r\n", 403),
        ("PUT /visits", "Origin: null\r\n", 403),
        ("BREW /visits", "Origin: null\r\n", 403),
        ("POST /visits", "Origin: http://x\r\nSec-Fetch-Site: same-origin\r\n", 200),
        ("POST /visits", "", 200),
        ("GET /visits", "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n", 200),
        ("HEAD /visits", "Origin: http://evil.example\r\n", 200),
        // It reads no session.
        ("POST /lab/echo", "Origin: http://evil.example\r\n", 200),
    ] {
        let mut bench = Bench::new();
        let (answer, _) = bench.ask(format!("{request} HTTP/1.1\r\nHost: x\r\n{lines}\r\n"));
        assert_eq!(statuses(&answer), [status], "{request} {lines}");
    }
}

#[test]
fn files_and_other_applications_touch_no_session() {
    let mut bench = with_pending();
    let cookie = format!("Cookie: sessionId={}\r\n", Id::new());
    for path in ["/", "/large.bin", "/nope", "/lab/hello"] {
        let (answer, _) = bench.ask(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{cookie}\r\n"));
        assert!(!answer.contains("Set-Cookie") && !answer.contains("Vary: Cookie"), "{answer}");
        bench.settle();
        bench.answers();
    }
    assert_eq!(bench.pending().next_question(), None);
}

#[test]
fn a_store_that_must_be_asked_parks_the_exchange_before_and_after() {
    let mut bench = with_pending();
    // Who has no session needs no question, until there is something to be kept.
    let (answer, want) = bench.ask(visit("", ""));
    assert_eq!((bench.phase(), &*answer), ("Waiting", ""));
    assert_eq!(want, Want::NOTHING.by(bench.now.after(limits::SESSION_STORE_TIMEOUT)));
    let (ticket, Question::Save { id, was: None, text, seconds: 1800 }) = bench.question() else { panic!("no save") };
    assert_eq!(text, br#"{"@":[1800000000,1800000000],"count":1}"#);
    bench.reply(ticket, Reply::Saved);
    let answer = bench.answers();
    let cookie = format!("sessionId={id}");
    assert_eq!((body(&answer), cookie_in(&answer).as_ref()), ("1", Some(&cookie)));

    bench.send(visit("", &cookie) + &get("/"));
    let (load, Question::Load(asked)) = bench.question() else { panic!("no load") };
    assert_eq!((asked, bench.phase(), bench.answers().as_str()), (id, "Waiting", ""));
    bench.reply(load, Reply::Loaded(Some(text)));
    let (ticket, Question::Save { was, text, .. }) = bench.question() else { panic!("no save") };
    assert_eq!(was, Some(id));
    assert!(text.ends_with(br#""count":2}"#));
    bench.reply(ticket, Reply::Saved);
    let answers = bench.answers();
    assert_eq!(statuses(&answers), [200, 200], "and the next request");
    assert!(answers.contains("\r\n\r\n2HTTP/1.1") && cookie_in(&answers).is_none(), "{answers}");
    assert!(bench.pending().is_empty());
}

#[test]
fn the_session_is_loaded_again_when_a_job_is_done() {
    let mut bench = with_pending();
    let id = Id::new();
    let text = |count: u32| Some(format!("{{\"@\":[1799999999,1799999999],\"count\":{count}}}").into_bytes());
    bench.send(visit("/later", &format!("sessionId={id}")));
    let (load, _) = bench.question();
    bench.reply(load, Reply::Loaded(text(1)));
    // While the job runs, somebody else counts.
    bench.run_jobs();
    let (load, question) = bench.question();
    assert_eq!(question, Question::Load(id));
    bench.reply(load, Reply::Loaded(text(5)));
    let (save, _) = bench.question();
    bench.reply(save, Reply::Saved);
    assert_eq!(body(&bench.answers()), "6");
}

#[test]
fn a_store_that_fails_or_takes_too_long_is_a_503_for_who_needs_it() {
    let cookie = format!("sessionId={}", Id::new());
    let refused = |bench: &mut Bench| {
        let answer = bench.answers();
        assert_eq!(statuses(&answer), [503]);
        assert!(answer.contains("Retry-After: ") && cookie_in(&answer).is_none(), "{answer}");
        assert!(bench.pending().is_empty(), "nobody waits any more");
        assert_eq!(statuses(&bench.ask(get("/")).0), [200], "the connection lives");
    };
    for saving in [false, true] {
        let mut bench = with_pending();
        let ask = |bench: &mut Bench| {
            bench.send(visit("", if saving { "" } else { &cookie }));
            bench.question().0
        };
        let ticket = ask(&mut bench);
        bench.reply(ticket, Reply::Failed);
        refused(&mut bench);
        // An answer to something else.
        let ticket = ask(&mut bench);
        bench.reply(ticket, if saving { Reply::Loaded(None) } else { Reply::Saved });
        refused(&mut bench);
        let ticket = ask(&mut bench);
        bench.pass(limits::SESSION_STORE_TIMEOUT);
        refused(&mut bench);
        bench.reply(ticket, if saving { Reply::Saved } else { Reply::Loaded(None) });
        assert_eq!(bench.answers(), "", "too late");
        ask(&mut bench);
        bench.pending().unavailable();
        bench.settle();
        refused(&mut bench);
        // As long as it is gone, nobody waits.
        bench.send(visit("", if saving { "" } else { &cookie }));
        refused(&mut bench);
    }
}

#[test]
fn who_leaves_while_the_store_is_asked_is_forgotten() {
    let mut bench = with_pending();
    bench.send(visit("", ""));
    let Bench { shared, http, context, now, .. } = &mut bench;
    let time = Time { now: *now, unix_seconds: 0, unix_micros: 0 };
    http.closed(0, ends(), &mut context.context(shared, time, false));
    assert!(bench.pending().is_empty());
    // For the end of the bench, which closes it once more.
    bench.http = Bench::connect(&mut bench.shared, false);
}

#[test]
fn in_a_signed_cookie_the_visitor_carries_it_all() {
    let mut bench = Bench::with(|http| http.sessions.store = Store::Signed(Signed::new(Keys::random())), false);
    let (answer, _) = bench.ask(visit("", ""));
    let first = cookie_in(&answer).unwrap();
    let (answer, _) = bench.ask(visit("", &first));
    let second = cookie_in(&answer).unwrap();
    assert_eq!(body(&answer), "2");
    let (answer, _) = bench.ask(visit("/look", &second));
    assert_eq!((body(&answer), cookie_in(&answer)), ("2", None));
    let (answer, _) = bench.ask(visit("/look", &second.replace("sessionId=", "sessionId=x")));
    assert_eq!(body(&answer), "0", "not as it was signed");
    let (answer, _) = bench.ask(visit("/large", &second));
    assert_eq!(statuses(&answer), [507]);
    let (answer, _) = bench.ask(visit("/end", &second));
    assert_eq!(cookie_in(&answer).as_deref(), Some("sessionId="));
}
