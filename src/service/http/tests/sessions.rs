//! Sessions: loaded before a request and saved after it.

use std::cell::RefMut;

use super::*;

/// A request for `path` with a session's cookie, if there is one.
fn visit(path: &str, cookie: &str) -> String {
    format!("GET /visits{path} HTTP/1.1\r\nHost: x\r\n{}\r\n", line_of(cookie))
}

fn line_of(cookie: &str) -> String {
    if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") }
}

/// The cookie that a response sets, name and value. `None` if it sets none.
fn cookie_in(response: &str) -> Option<String> {
    assert!(response.matches("Set-Cookie: ").count() <= 1, "{response}");
    let line = response.lines().find_map(|line| line.strip_prefix("Set-Cookie: "))?;
    let (cookie, attributes) = line.split_once("; ").unwrap();
    assert!(attributes.ends_with("HttpOnly; SameSite=Lax; Path=/"), "{line}");
    Some(cookie.to_owned())
}

/// A bench whose sessions are in this store.
fn with_store(store: Store) -> Bench {
    let sessions = Sessions::new(store, Lifetime::default());
    Bench::with_host(|host| host.sessions = Rc::new(sessions.into()))
}

/// A bench with a remote store.
fn with_pending() -> Bench {
    with_store(Store::Remote(Pending::default()))
}

impl Bench {
    fn pending(&self) -> RefMut<'_, Pending> {
        let store = self.shared.http.web.default_host().sessions.sessions.store();
        RefMut::map(store, |store| store.pending().expect("a remote store"))
    }

    /// The next operation to the store.
    fn operation(&mut self) -> (Ticket, Operation) {
        self.pending().next_operation().expect("an operation")
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply) -> Want {
        self.pending().answer(ticket, reply);
        self.settle()
    }
}

#[test]
fn a_session_starts_with_the_first_value_and_continues_by_its_cookie() {
    let mut bench = Bench::new();
    let (response, _) = bench.exchange(visit("/look", ""));
    assert_eq!((body(&response), cookie_in(&response)), ("0", None), "nothing was written");
    assert_eq!(response.matches("Cache-Control: private, no-store\r\n").count(), 1);
    assert!(response.contains("Vary: Cookie\r\n") && !response.contains("max-age"), "{response}");
    let (response, _) = bench.exchange(visit("", ""));
    assert_eq!(body(&response), "1");
    let cookie = cookie_in(&response).unwrap();
    assert!(cookie.starts_with("sessionId="));
    for (path, count) in [("", "2"), ("/look", "2"), ("", "3"), ("/later", "4"), ("", "5")] {
        bench.send(visit(path, &cookie));
        bench.run_jobs();
        let response = bench.responses();
        assert_eq!((body(&response), cookie_in(&response)), (count, None), "{path}");
    }
    // Among other cookies, and on another connection.
    let (response, _) = bench.exchange(visit("", &format!("a=b; sessionId=junk; {cookie}; c")));
    assert_eq!((body(&response), cookie_in(&response)), ("6", None));
    assert_eq!(body(&bench.exchange(visit("", "")).0), "1", "another client");
}

#[test]
fn an_unknown_identifier_is_not_adopted() {
    let mut bench = Bench::new();
    let unknown = format!("sessionId={}", Id::new());
    let (response, _) = bench.exchange(visit("", &unknown));
    let cookie = cookie_in(&response).unwrap();
    assert_eq!(body(&response), "1");
    assert_ne!(cookie, unknown);
    assert_eq!(body(&bench.exchange(visit("/look", &unknown)).0), "0");
    assert_eq!(body(&bench.exchange(visit("/look", &cookie)).0), "1");
}

#[test]
fn a_renewed_session_keeps_its_values_and_its_old_identifier_is_invalid() {
    let mut bench = Bench::new();
    let old = cookie_in(&bench.exchange(visit("", "")).0).unwrap();
    let (response, _) = bench.exchange(visit("/renew", &old));
    let new = cookie_in(&response).unwrap();
    assert_eq!(body(&response), "2");
    assert_ne!(old, new);
    assert_eq!(body(&bench.exchange(visit("/look", &old)).0), "0");
    assert_eq!(body(&bench.exchange(visit("/look", &new)).0), "2");
}

#[test]
fn an_ended_session_removes_its_cookie_and_the_next_is_empty() {
    let mut bench = Bench::new();
    let cookie = cookie_in(&bench.exchange(visit("", "")).0).unwrap();
    let (response, _) = bench.exchange(visit("/end", &cookie));
    assert_eq!(cookie_in(&response).as_deref(), Some("sessionId="));
    assert!(response.contains("sessionId=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; "), "{response}");
    let (response, _) = bench.exchange(visit("", &cookie));
    assert_eq!(body(&response), "1");
    assert_ne!(cookie_in(&response).unwrap(), cookie);
}

#[test]
fn a_session_is_not_saved_if_it_is_too_large_or_the_application_panics() {
    let mut bench = Bench::new();
    let cookie = cookie_in(&bench.exchange(visit("", "")).0).unwrap();
    for (path, status) in [("/large", 507), ("/panic", 500)] {
        let (response, want) = bench.exchange(visit(path, &cookie));
        assert_eq!(response.matches("Vary: Cookie\r\n").count(), 1, "{response}");
        assert_eq!((statuses(&response), want.finish, cookie_in(&response)), (vec![status], Finish::No, None));
        assert_eq!(body(&bench.exchange(visit("/look", &cookie)).0), "1");
    }
}

#[test]
fn unsafe_cross_site_requests_are_refused() {
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
        let (response, _) = bench.exchange(format!("{request} HTTP/1.1\r\nHost: x\r\n{lines}\r\n"));
        assert_eq!(statuses(&response), [status], "{request} {lines}");
    }
}

#[test]
fn files_and_other_applications_use_no_session() {
    let mut bench = with_pending();
    let cookie = format!("Cookie: sessionId={}\r\n", Id::new());
    for path in ["/", "/large.bin", "/nope", "/lab/hello"] {
        let (response, _) = bench.exchange(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{cookie}\r\n"));
        assert!(!response.contains("Set-Cookie") && !response.contains("Vary: Cookie"), "{response}");
        bench.settle();
        bench.responses();
    }
    assert_eq!(bench.pending().next_operation(), None);
}

#[test]
fn the_exchange_waits_for_a_remote_store_before_and_after_the_application() {
    let mut bench = with_pending();
    // Without a session nothing is loaded; the first value is saved.
    let (response, want) = bench.exchange(visit("", ""));
    assert_eq!((bench.phase(), &*response), ("Waiting", ""));
    assert_eq!(want, Want::NOTHING.by(bench.now.after(limits::SESSION_STORE_TIMEOUT)));
    let (ticket, Operation::Save { id, was: None, text, seconds: 1800 }) = bench.operation() else { panic!("no save") };
    assert_eq!(text, br#"{"@":[1800000000,1800000000],"count":1}"#);
    bench.reply(ticket, Reply::Saved);
    let response = bench.responses();
    let cookie = format!("sessionId={id}");
    assert_eq!((body(&response), cookie_in(&response).as_ref()), ("1", Some(&cookie)));

    bench.send(visit("", &cookie) + &get("/"));
    let (load, Operation::Load(loaded)) = bench.operation() else { panic!("no load") };
    assert_eq!((loaded, bench.phase(), bench.responses().as_str()), (id, "Waiting", ""));
    bench.reply(load, Reply::Loaded(Some(text)));
    let (ticket, Operation::Save { was, text, .. }) = bench.operation() else { panic!("no save") };
    assert_eq!(was, Some(id));
    assert!(text.ends_with(br#""count":2}"#));
    bench.reply(ticket, Reply::Saved);
    let responses = bench.responses();
    assert_eq!(statuses(&responses), [200, 200], "the next request is served too");
    assert!(responses.contains("\r\n\r\n2HTTP/1.1") && cookie_in(&responses).is_none(), "{responses}");
    assert!(bench.pending().is_empty());
}

#[test]
fn the_session_is_loaded_again_when_a_job_is_done() {
    let mut bench = with_pending();
    let id = Id::new();
    let text = |count: u32| Some(format!("{{\"@\":[1799999999,1799999999],\"count\":{count}}}").into_bytes());
    bench.send(visit("/later", &format!("sessionId={id}")));
    let (load, _) = bench.operation();
    bench.reply(load, Reply::Loaded(text(1)));
    // During the job, another request increases the count.
    bench.run_jobs();
    let (load, operation) = bench.operation();
    assert_eq!(operation, Operation::Load(id));
    bench.reply(load, Reply::Loaded(text(5)));
    let (save, _) = bench.operation();
    bench.reply(save, Reply::Saved);
    assert_eq!(body(&bench.responses()), "6");
}

#[test]
fn a_store_that_fails_or_takes_too_long_is_a_503() {
    let cookie = format!("sessionId={}", Id::new());
    let refused = |bench: &mut Bench| {
        let response = bench.responses();
        assert_eq!(statuses(&response), [503]);
        assert!(response.contains("Retry-After: 5\r\n") && cookie_in(&response).is_none(), "{response}");
        assert_eq!(response.matches("Vary: Cookie\r\n").count(), 1, "{response}");
        assert!(bench.pending().is_empty(), "no exchange waits");
        assert_eq!(statuses(&bench.exchange(get("/")).0), [200], "the connection persists");
    };
    for saving in [false, true] {
        let mut bench = with_pending();
        let begin = |bench: &mut Bench| {
            bench.send(visit("", if saving { "" } else { &cookie }));
            bench.operation().0
        };
        let ticket = begin(&mut bench);
        bench.reply(ticket, Reply::Failed);
        refused(&mut bench);
        // A reply to another operation.
        let ticket = begin(&mut bench);
        bench.reply(ticket, if saving { Reply::Loaded(None) } else { Reply::Saved });
        refused(&mut bench);
        let ticket = begin(&mut bench);
        bench.pass(limits::SESSION_STORE_TIMEOUT);
        refused(&mut bench);
        bench.reply(ticket, if saving { Reply::Saved } else { Reply::Loaded(None) });
        assert_eq!(bench.responses(), "", "too late");
        begin(&mut bench);
        bench.pending().unavailable();
        bench.settle();
        refused(&mut bench);
        // While the store is unavailable, no exchange waits.
        bench.send(visit("", if saving { "" } else { &cookie }));
        refused(&mut bench);
    }
}

#[test]
fn a_refusal_before_the_application_is_called_varies_as_its_responses_do() {
    let mut bench = Bench::with(|http| http.maintenance = true, false);
    bench.files.file("50x.html", "later");
    for (path, varies) in [("/visits", 1), ("/visits/look", 1), ("/", 0), ("/slow", 0)] {
        for accept in ["text/html", "text/plain"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n");
            let (response, _) = bench.exchange(request);
            assert_eq!(statuses(&response), [503]);
            assert_eq!(response.matches("Vary: Cookie\r\n").count(), varies, "{response}");
            assert_eq!(response.matches("Retry-After: 5\r\n").count(), 1, "{response}");
        }
    }
}

#[test]
fn a_client_that_closes_while_an_operation_is_pending_is_forgotten() {
    let mut bench = with_pending();
    bench.send(visit("", ""));
    let Bench { shared, http, context, now, .. } = &mut bench;
    let time = Time { now: *now, unix_seconds: 0, unix_micros: 0 };
    http.closed(0, ends(), &mut context.context(shared, time, false));
    assert!(bench.pending().is_empty());
    // The bench closes its connection when it is dropped.
    bench.http = Bench::connect(&mut bench.shared, false);
}

#[test]
fn a_signed_cookie_holds_the_whole_session() {
    let mut bench = with_store(Store::Signed(Signed::new(Keys::random())));
    let (response, _) = bench.exchange(visit("", ""));
    let first = cookie_in(&response).unwrap();
    let (response, _) = bench.exchange(visit("", &first));
    let second = cookie_in(&response).unwrap();
    assert_eq!(body(&response), "2");
    let (response, _) = bench.exchange(visit("/look", &second));
    assert_eq!((body(&response), cookie_in(&response)), ("2", None));
    let (response, _) = bench.exchange(visit("/look", &second.replace("sessionId=", "sessionId=x")));
    assert_eq!(body(&response), "0", "the signature is wrong");
    let (response, _) = bench.exchange(visit("/large", &second));
    assert_eq!(statuses(&response), [507]);
    let (response, _) = bench.exchange(visit("/end", &second));
    assert_eq!(cookie_in(&response).as_deref(), Some("sessionId="));
}
