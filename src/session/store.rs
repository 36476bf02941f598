//! The front that the exchange uses: from the cookies of a request to a session,
//! and from a changed session to the cookie of the answer.
//!
//! One enum lists the stores. What one has at hand comes [`Now`](Loaded::Now); for
//! what must be asked for there is a ticket, and the exchange waits
//! ([`Later`](Loaded::Later)), with a deadline.

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
    /// With somebody who answers later.
    Pending(Pending),
}

/// All sessions.
pub struct Sessions {
    /// Where they are kept.
    pub store: Store,
    /// The name of their cookie; it is one that can be set.
    cookie: String,
    /// How long they live.
    pub lifetime: Lifetime,
}

/// The name of the cookie if nobody says.
pub const COOKIE: &str = "sessionId";

impl Default for Sessions {
    fn default() -> Self {
        Self { store: Store::Memory(Memory::default()), cookie: COOKIE.to_owned(), lifetime: Lifetime::default() }
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
    /// The same, with another name for the cookie.
    ///
    /// # Errors
    /// If browsers wouldn't take a cookie of that name from us.
    pub fn with_cookie(mut self, name: &str) -> Result<Self, &'static str> {
        self.cookie = name.to_owned();
        self.line(SetCookie::default()).map(|_| self)
    }

    /// The name of the cookie.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// The session of a visitor by the fields of a request. If it comes later, `who` is
    /// woken.
    pub fn load(&mut self, fields: &Fields<'_>, who: Handle, time: Time) -> Loaded {
        let now = time.unix_seconds;
        let mut values = cookie::values(fields, &self.cookie).take(limits::SESSION_COOKIES);
        let found = match &mut self.store {
            Store::Memory(memory) => values.find_map(|value| {
                let id = Id::parse(value)?;
                Some(Session::stored(id, memory.load(id, self.lifetime, now)?, now))
            }),
            Store::Signed(signed) => values.find_map(|value| {
                let (id, record) = signed.read(value)?;
                self.lifetime.session(id, record, now)
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
    pub fn save(&mut self, session: Session, who: Handle, time: Time) -> Saved {
        if !(session.changed || session.stale) {
            return Saved::Now(None);
        }
        let Session { stored, id, mut record, .. } = session;
        record.seen = time.unix_seconds;
        // What the visitor is told is who he is, if that is new.
        let cookie = match id {
            Some(id) if stored == Some(id) => None,
            Some(id) => self.set(id.to_string()),
            None => self.unset(),
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
                match self.set(value) {
                    None => Saved::Refused(Refusal::TooLarge),
                    cookie => Saved::Now(cookie),
                }
            }
            (Store::Signed(_), None) => Saved::Now(cookie),
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
        let Store::Pending(pending) = &mut self.store else { return Taken::Failed };
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
        if let Store::Pending(pending) = &mut self.store {
            pending.forget(ticket);
        }
    }

    /// The cookie of a session. It ends with the browser; how long the session lives
    /// is for the server to say.
    fn set(&self, value: String) -> Cookie {
        // It can be too large, and nothing else: its name was looked at.
        self.line(SetCookie { value, ..SetCookie::default() }).ok()
    }

    /// The same cookie, taken back.
    fn unset(&self) -> Cookie {
        self.line(SetCookie { max_age: Some(0), expires: Some(0), ..SetCookie::default() }).ok()
    }

    fn line(&self, cookie: SetCookie) -> Result<String, &'static str> {
        let cookie = SetCookie {
            name: self.cookie.clone(),
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
