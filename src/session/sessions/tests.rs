//! Sessions in local stores, and in a remote store without a connection.

use super::*;
use crate::http::FieldLines;
use crate::reactor::Tick;
use crate::session::key::Keys;
use crate::session::pending::{Pending, Reply};
use crate::session::signed::Signed;
use serde_json::Value;
use std::time::Duration;

const LIFETIME: Lifetime = Lifetime { idle: Duration::from_secs(100), max_age: Duration::from_secs(250) };

fn at(seconds: i64) -> Time {
    Time { now: Tick::default(), unix_seconds: seconds, ..Time::default() }
}

fn waiter() -> Handle {
    Handle::for_test(1)
}

/// Loads the session of a Cookie field value.
fn load(sessions: &Sessions, cookie: &str, seconds: i64) -> LoadResult {
    let lines = FieldLines::of([("Cookie", cookie.as_bytes())]);
    sessions.load(&lines.fields(), false, waiter(), at(seconds))
}

fn now(loaded: LoadResult) -> Session {
    if let LoadResult::Now(session) = loaded { session } else { panic!("{loaded:?}") }
}

fn save(sessions: &Sessions, session: Session, seconds: i64) -> Cookie {
    match sessions.save(session, false, waiter(), at(seconds)) {
        SaveResult::Now(cookie) => cookie,
        other => panic!("{other:?}"),
    }
}

/// Name and value of a Set-Cookie field value.
fn pair(cookie: Cookie) -> String {
    cookie.expect("a cookie").split(';').next().unwrap().to_owned()
}

fn local_stores() -> [Sessions; 2] {
    let signed = Store::Signed(Signed::new(Keys::random()));
    [Store::Memory(Memory::default()), signed].map(|store| Sessions::new(store, LIFETIME))
}

#[test]
fn a_local_session_is_saved_loaded_and_ended() {
    for sessions in local_stores() {
        let mut session = now(load(&sessions, "", 0));
        assert_eq!(save(&sessions, Session::none(0), 0), None, "nothing was written");
        session.set("a", 1);
        let cookie = save(&sessions, session, 0).unwrap();
        assert!(cookie.starts_with("sessionId=") && cookie.ends_with("; HttpOnly; SameSite=Lax; Path=/"), "{cookie}");
        let cookie = pair(Some(cookie));
        let mut session = now(load(&sessions, &cookie, 1));
        assert_eq!(session.get("a"), Some(&Value::from(1)));
        session.end();
        let ended = save(&sessions, session, 1).unwrap();
        let expected = "sessionId=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax; Path=/";
        assert_eq!(ended, expected);
    }
}

#[test]
fn a_session_expires_when_idle_or_old() {
    for sessions in local_stores() {
        let mut session = Session::none(0);
        session.set("a", 1);
        let mut cookie = pair(save(&sessions, session, 0));
        for (seconds, lives) in [(99, true), (198, true), (249, true), (250, false)] {
            let session = now(load(&sessions, &cookie, seconds));
            assert_eq!(session.id().is_some(), lives, "{seconds}");
            // A signed cookie records the time of use.
            if let Some(line) = save(&sessions, session, seconds) {
                cookie = pair(Some(line));
            }
        }
        let mut session = Session::none(0);
        session.set("a", 1);
        let cookie = pair(save(&sessions, session, 0));
        assert_eq!(now(load(&sessions, &cookie, 100)).id(), None, "idle");
    }
}

#[test]
fn a_signed_cookie_is_renewed_once_in_a_tenth_of_its_idle_time() {
    let [_, sessions] = local_stores();
    let mut session = Session::none(0);
    session.set("a", 1);
    let cookie = pair(save(&sessions, session, 0));
    for (seconds, renewed) in [(0, false), (9, false), (10, true)] {
        let session = now(load(&sessions, &cookie, seconds));
        assert!(!session.is_changed());
        assert_eq!(save(&sessions, session, seconds).is_some(), renewed, "{seconds}");
    }
}

#[test]
fn the_first_known_cookie_among_a_few_is_used() {
    for sessions in local_stores() {
        let mut session = Session::none(0);
        session.set("a", 1);
        let cookie = pair(save(&sessions, session, 0));
        let foreign = format!("sessionId={}", Id::new());
        for (line, found) in [
            (format!("{foreign}; {cookie}"), true),
            (format!("sessionId=; x=y; {cookie}; {foreign}"), true),
            (format!("sessionid=x; {foreign}"), false),
            (format!("{}{cookie}", format!("{foreign}; ").repeat(limits::SESSION_COOKIES)), false),
        ] {
            assert_eq!(now(load(&sessions, &line, 0)).id().is_some(), found, "{line}");
        }
    }
}

#[test]
fn a_session_that_is_too_large_is_refused() {
    let [memory, signed] = local_stores();
    for (sessions, fits, too_large) in [(memory, limits::SESSION - 100, limits::SESSION), (signed, 2_800, 3_100)] {
        let filled = |size: usize| {
            let mut session = Session::none(0);
            session.set("a", "x".repeat(size));
            session
        };
        let cookie = pair(save(&sessions, filled(fits), 0));
        assert!(now(load(&sessions, &cookie, 0)).id().is_some());
        assert!(matches!(
            sessions.save(filled(too_large), false, waiter(), at(0)),
            SaveResult::Refused(SaveError::TooLarge)
        ));
    }
}

#[test]
fn a_cookie_name_that_browsers_would_refuse_is_an_error() {
    let named = |name: &str| Sessions::default().with_cookie(name);
    let sessions = named("sid").ok().unwrap();
    let mut session = Session::none(0);
    session.set("a", 1);
    assert!(pair(save(&sessions, session, 0)).starts_with("sid="));
    assert_eq!(sessions.cookie(), "sid");
    for wrong in ["", "a b", "a=b", "a;b", "__Host-a", "__secure-a"] {
        assert!(named(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn over_tls_the_cookie_has_the_host_prefix() {
    for sessions in local_stores() {
        let mut session = Session::none(0);
        session.set("a", 1);
        let SaveResult::Now(Some(cookie)) = sessions.save(session, true, waiter(), at(0)) else { panic!("no cookie") };
        assert!(cookie.starts_with("__Host-sessionId="), "{cookie}");
        assert!(cookie.ends_with("; Secure; HttpOnly; SameSite=Lax; Path=/"), "{cookie}");
        let found = |secure: bool, name: &str| {
            let line = cookie.split(';').next().unwrap().replace("__Host-sessionId", name);
            let lines = FieldLines::of([("Cookie", line.as_bytes())]);
            now(sessions.load(&lines.fields(), secure, waiter(), at(0)))
        };
        // A cookie that could have been set over plain HTTP is ignored.
        assert_eq!(found(true, "sessionId").id(), None);
        assert_eq!(found(false, "__Host-sessionId").id(), None);
        let mut session = found(true, "__Host-sessionId");
        assert!(session.id().is_some());
        session.end();
        let SaveResult::Now(Some(ended)) = sessions.save(session, true, waiter(), at(0)) else { panic!("no cookie") };
        assert!(ended.starts_with("__Host-sessionId=; Max-Age=0; ") && ended.contains("; Secure; "), "{ended}");
    }
}

#[test]
fn a_remote_session_is_loaded_and_saved_later() {
    let sessions = Sessions::new(Store::Remote(Pending::default()), LIFETIME);
    assert_eq!(now(load(&sessions, "sessionId=junk", 0)).id(), None, "no operation is needed");
    let id = Id::new();
    let LoadResult::Later(ticket) = load(&sessions, &format!("sessionId=junk; sessionId={id}"), 0) else {
        panic!("not later")
    };
    assert!(matches!(sessions.take(ticket, at(0)), TicketState::Pending));
    for (reply, seconds, found) in [
        (Reply::Loaded(Some(br#"{"@":[0,0],"a":1}"#.to_vec())), 5, true),
        (Reply::Loaded(Some(br#"{"@":[0,0],"a":1}"#.to_vec())), 100, false),
        (Reply::Loaded(Some(b"junk".to_vec())), 0, false),
        (Reply::Loaded(None), 0, false),
    ] {
        let LoadResult::Later(ticket) = load(&sessions, &format!("sessionId={id}"), seconds) else {
            panic!("not later")
        };
        answer(&sessions, ticket, reply);
        let TicketState::Loaded(session) = sessions.take(ticket, at(seconds)) else { panic!("not loaded") };
        assert_eq!(session.id(), found.then_some(id));
    }
    // The store gets the remaining lifetime.
    let LoadResult::Later(ticket) = load(&sessions, &format!("sessionId={id}"), 240) else { panic!("not later") };
    answer(&sessions, ticket, Reply::Loaded(Some(br#"{"@":[0,230]}"#.to_vec())));
    let TicketState::Loaded(session) = sessions.take(ticket, at(240)) else { panic!("not loaded") };
    let SaveResult::Later(_, None) = sessions.save(session, false, waiter(), at(240)) else { panic!("not saved") };
    let operation = std::iter::from_fn(|| pending(&sessions).next_operation()).last();
    let text = br#"{"@":[0,240]}"#.to_vec();
    assert_eq!(operation.unwrap().1, Operation::Save { id, was: Some(id), text, seconds: 10 });
    // Ending a session that was never stored needs no operation.
    let mut session = Session::none(0);
    session.end();
    assert!(matches!(sessions.save(session, false, waiter(), at(0)), SaveResult::Now(Some(_))));
    pending(&sessions).unavailable();
    assert!(matches!(load(&sessions, &format!("sessionId={id}"), 0), LoadResult::Unavailable));
    let mut session = Session::none(0);
    session.set("a", 1);
    assert!(matches!(sessions.save(session, false, waiter(), at(0)), SaveResult::Refused(SaveError::Unavailable)));
}

fn pending(sessions: &Sessions) -> RefMut<'_, Pending> {
    RefMut::map(sessions.store(), |store| store.pending().expect("a remote store"))
}

fn answer(sessions: &Sessions, ticket: Ticket, reply: Reply) {
    assert_eq!(pending(sessions).answer(ticket, reply), Some(waiter()));
}
