//! The front that the exchange uses: from the cookies of a request to a session,
//! and from a changed session to the cookie of the answer.
//!
//! One enum lists the stores. What one has at hand comes [`Now`](Loaded::Now); for
//! what must be asked for there is a ticket, and the exchange waits
//! ([`Later`](Loaded::Later)), with a deadline.

use super::kept::Kept;
use super::memory::Memory;
use super::pending::{Pending, Question, Settled, Ticket, Unavailable};
use super::record::{Lifetime, Record};
use super::signed::Signed;
use super::{Id, Session};
use crate::http::Fields;
use crate::http::cookie::{self, SameSite, SetCookie};
use crate::limits;
use crate::reactor::{Handle, Time};

/// Where sessions are kept.
pub enum Store {
    /// Here, until the process ends.
    Memory(Memory),
    /// With the visitor.
    Signed(Signed),
    /// Here and on disk.
    Kept(Kept),
    /// With somebody who answers later.
    Pending(Pending),
}

/// All sessions.
pub struct Sessions {
    /// Where they are kept.
    pub store: Store,
    /// The name of their cookie; it is one that can be set.
    cookie: String,
    /// Over TLS.
    secure_cookie: String,
    /// How long they live.
    pub lifetime: Lifetime,
}

/// The name of the cookie if nobody says.
pub const COOKIE: &str = "sessionId";

impl Default for Sessions {
    fn default() -> Self {
        Self::new(Store::Memory(Memory::default()), Lifetime::default())
    }
}

/// The value of a Set-Cookie field; none if the visitor's cookie is right as it is.
pub type Cookie = Option<String>;

/// What comes of loading.
#[derive(Debug)]
pub enum Loaded {
    /// This session; one without an identifier if the visitor has none.
    Now(Session),
    /// This ticket will be answered.
    Later(Ticket),
    /// The store can't be asked.
    Unavailable,
}

/// What comes of saving.
#[derive(Debug)]
pub enum Saved {
    /// It is kept; with this cookie the answer can go.
    Now(Cookie),
    /// When this ticket is answered, it is kept, and the answer can go with this cookie.
    Later(Ticket, Cookie),
    /// It isn't kept.
    Refused(Refusal),
}

/// Why a session isn't kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// An application put more into it than the store takes.
    TooLarge,
    /// The store can't be asked.
    Unavailable,
}

/// What came of a ticket.
#[derive(Debug)]
pub enum Taken {
    /// Nothing yet.
    NotYet,
    /// The session.
    Loaded(Session),
    /// It is kept.
    Saved,
    /// The store can't do it.
    Failed,
}

impl Sessions {
    /// In this store, each for so long.
    pub fn new(store: Store, lifetime: Lifetime) -> Self {
        Self { store, cookie: COOKIE.to_owned(), secure_cookie: [cookie::HOST, COOKIE].concat(), lifetime }
    }

    /// The same, with another name for the cookie.
    ///
    /// # Errors
    /// If browsers wouldn't take a cookie of that name from us.
    pub fn with_cookie(mut self, name: &str) -> Result<Self, &'static str> {
        self.cookie = name.to_owned();
        self.secure_cookie = [cookie::HOST, name].concat();
        self.line(false, SetCookie::default()).map(|_| self)
    }

    /// The name of the cookie; over TLS [`HOST`](cookie::HOST) stands before it.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// The session of a visitor by the fields of a request, which came by TLS if it is
    /// `secure`. If it comes later, `who` is woken.
    pub fn load(&mut self, fields: &Fields<'_>, secure: bool, who: Handle, time: Time) -> Loaded {
        let now = time.unix_seconds;
        let mut values = cookie::values(fields, if secure { &self.secure_cookie } else { &self.cookie })
            .take(limits::SESSION_COOKIES);
        let found = match &mut self.store {
            Store::Memory(memory) => values.find_map(|value| {
                let id = Id::parse(value)?;
                Some(Session::stored(id, memory.load(id, self.lifetime, now)?, now))
            }),
            Store::Signed(signed) => values.find_map(|value| {
                let (id, record) = signed.read(value)?;
                self.lifetime.session(id, record, now)
            }),
            Store::Kept(kept) => values.find_map(|value| {
                let id = Id::parse(value)?;
                self.lifetime.session(id, kept.load(id, now)?, now)
            }),
            Store::Pending(pending) => match values.find_map(Id::parse).map(|id| pending.load(id, who, time)) {
                None => None,
                Some(Ok(ticket)) => return Loaded::Later(ticket),
                Some(Err(Unavailable)) => return Loaded::Unavailable,
            },
        };
        Loaded::Now(found.unwrap_or_else(|| Session::none(now)))
    }

    /// Keeps what changed, if something did, and says which cookie the visitor is to
    /// get. If the store has to be asked for it, `who` is woken.
    pub fn save(&mut self, session: Session, secure: bool, who: Handle, time: Time) -> Saved {
        if !(session.changed || session.stale) {
            return Saved::Now(None);
        }
        let Session { stored, id, mut record, .. } = session;
        record.seen = time.unix_seconds;
        // What the visitor is told is who he is, if that is new.
        let cookie = match id {
            Some(id) if stored == Some(id) => None,
            Some(id) => self.set(secure, id.to_string()),
            None => self.unset(secure),
        };
        if record.values().len() > limits::SESSION {
            return Saved::Refused(Refusal::TooLarge);
        }
        match (&mut self.store, id) {
            (Store::Memory(memory), id) => {
                if let Some(old) = stored {
                    memory.remove(old);
                }
                if let Some(id) = id {
                    memory.save(id, &record, self.lifetime, time.unix_seconds);
                }
                Saved::Now(cookie)
            }
            (Store::Signed(signed), Some(id)) => {
                let value = signed.write(id, &record);
                match self.set(secure, value) {
                    None => Saved::Refused(Refusal::TooLarge),
                    cookie => Saved::Now(cookie),
                }
            }
            (Store::Signed(_), None) => Saved::Now(cookie),
            (Store::Kept(kept), id) => {
                let now = time.unix_seconds;
                let left = self.lifetime.left(record.born, record.seen, now).unwrap_or(1);
                let new = id.map(|id| (id, &record, now.saturating_add(left)));
                match kept.save(stored.filter(|stored| id != Some(*stored)), new, now) {
                    Ok(None) => Saved::Now(cookie),
                    Ok(Some(ticket)) => Saved::Later(ticket, cookie),
                    Err(_) => Saved::Refused(Refusal::Unavailable),
                }
            }
            (Store::Pending(pending), id) => {
                let question = match (id, stored) {
                    (Some(id), was) => {
                        let left = self.lifetime.left(record.born, record.seen, time.unix_seconds);
                        Question::Save { id, was, text: record.encode(), seconds: left.unwrap_or(1) }
                    }
                    (None, Some(old)) => Question::End(old),
                    // There is nothing to forget.
                    (None, None) => return Saved::Now(cookie),
                };
                match pending.save(question, who, time) {
                    Ok(ticket) => Saved::Later(ticket, cookie),
                    Err(Unavailable) => Saved::Refused(Refusal::Unavailable),
                }
            }
        }
    }

    /// What came of a ticket.
    pub fn take(&mut self, ticket: Ticket, time: Time) -> Taken {
        let pending = match &mut self.store {
            Store::Pending(pending) => pending,
            Store::Kept(kept) => {
                return match kept.take(ticket) {
                    None => Taken::NotYet,
                    Some(true) => Taken::Saved,
                    Some(false) => Taken::Failed,
                };
            }
            Store::Memory(_) | Store::Signed(_) => return Taken::Failed,
        };
        match pending.take(ticket) {
            None => Taken::NotYet,
            Some(Settled::Failed) => Taken::Failed,
            Some(Settled::Saved) => Taken::Saved,
            Some(Settled::Loaded(id, text)) => {
                let now = time.unix_seconds;
                let record = text.and_then(|text| Record::decode(&text));
                let found = record.and_then(|record| self.lifetime.session(id, record, now));
                Taken::Loaded(found.unwrap_or_else(|| Session::none(now)))
            }
        }
    }

    /// Nobody waits for this any more.
    pub fn forget(&mut self, ticket: Ticket) {
        match &mut self.store {
            Store::Pending(pending) => pending.forget(ticket),
            Store::Kept(kept) => kept.forget(ticket),
            Store::Memory(_) | Store::Signed(_) => {}
        }
    }

    /// The cookie of a session. It ends with the browser; how long the session lives
    /// is for the server to say.
    fn set(&self, secure: bool, value: String) -> Cookie {
        // It can be too large, and nothing else: its name was looked at.
        self.line(secure, SetCookie { value, ..SetCookie::default() }).ok()
    }

    /// The same cookie, taken back.
    fn unset(&self, secure: bool) -> Cookie {
        self.line(secure, SetCookie { max_age: Some(0), expires: Some(0), ..SetCookie::default() }).ok()
    }

    fn line(&self, secure: bool, cookie: SetCookie) -> Result<String, &'static str> {
        let cookie = SetCookie {
            name: if secure { &self.secure_cookie } else { &self.cookie }.clone(),
            secure,
            path: Some("/".to_owned()),
            http_only: true,
            same_site: Some(SameSite::Lax),
            ..cookie
        };
        cookie.line()
    }
}

impl Lifetime {
    /// The session of a record that a store gave us; none if it is over. Now and
    /// then it is to be noted that it is in use.
    fn session(self, id: Id, record: Record, now: i64) -> Option<Session> {
        self.left(record.born, record.seen, now)?;
        let stale = self.is_due(record.seen, now);
        Some(Session { stale, ..Session::stored(id, record, now) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Lines;
    use crate::reactor::Tick;
    use crate::session::key::Keys;
    use crate::session::pending::Reply;
    use serde_json::Value;
    use std::time::Duration;

    const LIFETIME: Lifetime = Lifetime { idle: Duration::from_secs(100), most: Duration::from_secs(250) };

    fn at(seconds: i64) -> Time {
        Time { now: Tick::default(), unix_seconds: seconds, ..Time::default() }
    }

    fn who() -> Handle {
        Handle::for_test(1)
    }

    /// Loads by a Cookie line.
    fn load(sessions: &mut Sessions, cookie: &str, seconds: i64) -> Loaded {
        let lines = Lines::of([("Cookie", cookie.as_bytes())]);
        sessions.load(&lines.fields(), false, who(), at(seconds))
    }

    fn now(loaded: Loaded) -> Session {
        if let Loaded::Now(session) = loaded { session } else { panic!("{loaded:?}") }
    }

    fn save(sessions: &mut Sessions, session: Session, seconds: i64) -> Cookie {
        match sessions.save(session, false, who(), at(seconds)) {
            Saved::Now(cookie) => cookie,
            other => panic!("{other:?}"),
        }
    }

    /// Name and value in a Set-Cookie line.
    fn pair(cookie: Cookie) -> String {
        cookie.expect("a cookie").split(';').next().unwrap().to_owned()
    }

    fn at_hand() -> [Sessions; 2] {
        let signed = Store::Signed(Signed::new(Keys::random()));
        [Store::Memory(Memory::default()), signed].map(|store| Sessions::new(store, LIFETIME))
    }

    #[test]
    fn what_is_at_hand_is_saved_and_loaded_and_ended() {
        for mut sessions in at_hand() {
            let mut session = now(load(&mut sessions, "", 0));
            assert_eq!(save(&mut sessions, Session::none(0), 0), None, "nothing was written");
            session.set("a", 1);
            let cookie = save(&mut sessions, session, 0).unwrap();
            assert!(
                cookie.starts_with("sessionId=") && cookie.ends_with("; HttpOnly; SameSite=Lax; Path=/"),
                "{cookie}"
            );
            let cookie = pair(Some(cookie));
            let mut session = now(load(&mut sessions, &cookie, 1));
            assert_eq!(session.get("a"), Some(&Value::from(1)));
            session.end();
            let ended = save(&mut sessions, session, 1).unwrap();
            let expected =
                "sessionId=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax; Path=/";
            assert_eq!(ended, expected);
        }
    }

    #[test]
    fn a_session_is_over_when_idle_or_old() {
        for mut sessions in at_hand() {
            let mut session = Session::none(0);
            session.set("a", 1);
            let mut cookie = pair(save(&mut sessions, session, 0));
            for (seconds, lives) in [(99, true), (198, true), (249, true), (250, false)] {
                let session = now(load(&mut sessions, &cookie, seconds));
                assert_eq!(session.id().is_some(), lives, "{seconds}");
                // To be in use is noted in the cookie, too.
                if let Some(line) = save(&mut sessions, session, seconds) {
                    cookie = pair(Some(line));
                }
            }
            let mut session = Session::none(0);
            session.set("a", 1);
            let cookie = pair(save(&mut sessions, session, 0));
            assert_eq!(now(load(&mut sessions, &cookie, 100)).id(), None, "idle");
        }
    }

    #[test]
    fn a_signed_cookie_is_written_anew_once_in_a_tenth_of_its_idle_time() {
        let [_, mut sessions] = at_hand();
        let mut session = Session::none(0);
        session.set("a", 1);
        let cookie = pair(save(&mut sessions, session, 0));
        for (seconds, renewed) in [(0, false), (9, false), (10, true)] {
            let session = now(load(&mut sessions, &cookie, seconds));
            assert!(!session.is_changed());
            assert_eq!(save(&mut sessions, session, seconds).is_some(), renewed, "{seconds}");
        }
    }

    #[test]
    fn the_cookie_that_is_known_counts_wherever_it_stands_among_a_few() {
        for mut sessions in at_hand() {
            let mut session = Session::none(0);
            session.set("a", 1);
            let cookie = pair(save(&mut sessions, session, 0));
            let foreign = format!("sessionId={}", Id::new());
            for (line, found) in [
                (format!("{foreign}; {cookie}"), true),
                (format!("sessionId=; x=y; {cookie}; {foreign}"), true),
                (format!("sessionid=x; {foreign}"), false),
                (format!("{}{cookie}", format!("{foreign}; ").repeat(limits::SESSION_COOKIES)), false),
            ] {
                assert_eq!(now(load(&mut sessions, &line, 0)).id().is_some(), found, "{line}");
            }
        }
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let [memory, signed] = at_hand();
        for (mut sessions, fits, too_large) in
            [(memory, limits::SESSION - 100, limits::SESSION), (signed, 2_800, 3_100)]
        {
            let filled = |size: usize| {
                let mut session = Session::none(0);
                session.set("a", "x".repeat(size));
                session
            };
            let cookie = pair(save(&mut sessions, filled(fits), 0));
            assert!(now(load(&mut sessions, &cookie, 0)).id().is_some());
            assert!(matches!(sessions.save(filled(too_large), false, who(), at(0)), Saved::Refused(Refusal::TooLarge)));
        }
    }

    #[test]
    fn names_of_cookies_are_looked_at() {
        let named = |name: &str| Sessions::default().with_cookie(name);
        let mut sessions = named("sid").ok().unwrap();
        let mut session = Session::none(0);
        session.set("a", 1);
        assert!(pair(save(&mut sessions, session, 0)).starts_with("sid="));
        assert_eq!(sessions.cookie(), "sid");
        for wrong in ["", "a b", "a=b", "a;b", "__Host-a", "__secure-a"] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn over_tls_the_cookie_is_the_hosts_alone() {
        for mut sessions in at_hand() {
            let mut session = Session::none(0);
            session.set("a", 1);
            let Saved::Now(Some(cookie)) = sessions.save(session, true, who(), at(0)) else { panic!("no cookie") };
            assert!(cookie.starts_with("__Host-sessionId="), "{cookie}");
            assert!(cookie.ends_with("; Secure; HttpOnly; SameSite=Lax; Path=/"), "{cookie}");
            let mut found = |secure: bool, name: &str| {
                let line = cookie.split(';').next().unwrap().replace("__Host-sessionId", name);
                let lines = Lines::of([("Cookie", line.as_bytes())]);
                now(sessions.load(&lines.fields(), secure, who(), at(0)))
            };
            // What somebody on the way has set is not looked at.
            assert_eq!(found(true, "sessionId").id(), None);
            assert_eq!(found(false, "__Host-sessionId").id(), None);
            let mut session = found(true, "__Host-sessionId");
            assert!(session.id().is_some());
            session.end();
            let Saved::Now(Some(ended)) = sessions.save(session, true, who(), at(0)) else { panic!("no cookie") };
            assert!(ended.starts_with("__Host-sessionId=; Max-Age=0; ") && ended.contains("; Secure; "), "{ended}");
        }
    }

    #[test]
    fn what_must_be_asked_comes_later() {
        let mut sessions = Sessions::new(Store::Pending(Pending::default()), LIFETIME);
        assert_eq!(now(load(&mut sessions, "sessionId=junk", 0)).id(), None, "nobody need be asked");
        let id = Id::new();
        let Loaded::Later(ticket) = load(&mut sessions, &format!("sessionId=junk; sessionId={id}"), 0) else {
            panic!("not later")
        };
        assert!(matches!(sessions.take(ticket, at(0)), Taken::NotYet));
        for (reply, seconds, found) in [
            (Reply::Loaded(Some(br#"{"@":[0,0],"a":1}"#.to_vec())), 5, true),
            (Reply::Loaded(Some(br#"{"@":[0,0],"a":1}"#.to_vec())), 100, false),
            (Reply::Loaded(Some(b"junk".to_vec())), 0, false),
            (Reply::Loaded(None), 0, false),
        ] {
            let Loaded::Later(ticket) = load(&mut sessions, &format!("sessionId={id}"), seconds) else {
                panic!("not later")
            };
            answer(&mut sessions, ticket, reply);
            let Taken::Loaded(session) = sessions.take(ticket, at(seconds)) else { panic!("not loaded") };
            assert_eq!(session.id(), found.then_some(id));
        }
        // The rest of its time is what the store is told.
        let Loaded::Later(ticket) = load(&mut sessions, &format!("sessionId={id}"), 240) else { panic!("not later") };
        answer(&mut sessions, ticket, Reply::Loaded(Some(br#"{"@":[0,230]}"#.to_vec())));
        let Taken::Loaded(session) = sessions.take(ticket, at(240)) else { panic!("not loaded") };
        let Saved::Later(_, None) = sessions.save(session, false, who(), at(240)) else { panic!("not kept") };
        let question = std::iter::from_fn(|| pending(&mut sessions).next_question()).last();
        let text = br#"{"@":[0,240]}"#.to_vec();
        assert_eq!(question.unwrap().1, Question::Save { id, was: Some(id), text, seconds: 10 });
        // To end what was never kept nobody need be asked.
        let mut session = Session::none(0);
        session.end();
        assert!(matches!(sessions.save(session, false, who(), at(0)), Saved::Now(Some(_))));
        pending(&mut sessions).unavailable();
        assert!(matches!(load(&mut sessions, &format!("sessionId={id}"), 0), Loaded::Unavailable));
        let mut session = Session::none(0);
        session.set("a", 1);
        assert!(matches!(sessions.save(session, false, who(), at(0)), Saved::Refused(Refusal::Unavailable)));
    }

    fn pending(sessions: &mut Sessions) -> &mut Pending {
        if let Store::Pending(pending) = &mut sessions.store { pending } else { panic!("another store") }
    }

    fn answer(sessions: &mut Sessions, ticket: Ticket, reply: Reply) {
        assert_eq!(pending(sessions).answer(ticket, reply), Some(who()));
    }
}
