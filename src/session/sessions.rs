//! What an exchange calls: it loads a session by the cookies of a request, and saves a
//! changed session and returns the cookie for the response.

use std::cell::RefMut;
use std::rc::Rc;

use super::memory::Memory;
use super::pending::{Operation, StoreResult, Ticket, Unavailable};
use super::record::{Lifetime, SessionRecord};
use super::store::{Cookie, LoadResult, SaveError, SaveResult, SharedStore, Store, TicketState};
use super::{Id, Session};
use crate::http::Fields;
use crate::http::cookie::{self, SameSite, SetCookie};
use crate::limits;
use crate::reactor::{Handle, Time};

/// The sessions of a host: their store, which it may share with others, and their settings.
pub struct Sessions {
    /// Where they are stored. It is borrowed for one call.
    store: Rc<SharedStore>,
    /// The name of the cookie; it is valid.
    cookie: String,
    /// Its name over TLS.
    secure_cookie: String,
    /// How long they live.
    pub lifetime: Lifetime,
}

/// The default name of the cookie.
pub const COOKIE: &str = "sessionId";

impl Default for Sessions {
    fn default() -> Self {
        Self::new(Store::Memory(Memory::default()), Lifetime::default())
    }
}

impl Sessions {
    /// Sessions in this store, with this lifetime.
    pub fn new(store: Store, lifetime: Lifetime) -> Self {
        Self::sharing(SharedStore::new(store), lifetime)
    }

    /// Sessions in a store that others use, too, with this lifetime.
    pub fn sharing(store: Rc<SharedStore>, lifetime: Lifetime) -> Self {
        Self { store, cookie: COOKIE.to_owned(), secure_cookie: [cookie::HOST, COOKIE].concat(), lifetime }
    }

    /// Sets the name of the cookie.
    ///
    /// # Errors
    /// If the name can't be the name of a cookie, or has a prefix that browsers reserve.
    pub fn with_cookie(mut self, name: &str) -> Result<Self, &'static str> {
        self.cookie = name.to_owned();
        self.secure_cookie = [cookie::HOST, name].concat();
        self.line(false, SetCookie::default()).map(|_| self)
    }

    /// The store.
    pub fn store(&self) -> RefMut<'_, Store> {
        self.store.borrow()
    }

    /// The store, to be shared.
    pub fn shared_store(&self) -> Rc<SharedStore> {
        Rc::clone(&self.store)
    }

    /// The name of the cookie. Over TLS it has the prefix [`HOST`](cookie::HOST).
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Loads the session that the cookies of a request name; `secure`: the request came over
    /// TLS. If the result comes later, the connection `waiter` is woken.
    pub fn load(&self, fields: &Fields<'_>, secure: bool, waiter: Handle, time: Time) -> LoadResult {
        let now = time.unix_seconds;
        let mut values = cookie::values(fields, if secure { &self.secure_cookie } else { &self.cookie })
            .take(limits::SESSION_COOKIES);
        let found = match &mut *self.store() {
            Store::Memory(memory) => values.find_map(|value| {
                let id = Id::parse(value)?;
                Some(Session::stored(id, memory.load(id, self.lifetime, now)?, now))
            }),
            Store::Signed(signed) => values.find_map(|value| {
                let (id, record) = signed.read(value)?;
                self.lifetime.session(id, record, now)
            }),
            Store::Disk(disk) => values.find_map(|value| {
                let id = Id::parse(value)?;
                self.lifetime.session(id, disk.load(id, now)?, now)
            }),
            Store::Remote(pending) => {
                let ids: Vec<Id> = values.filter_map(Id::parse).collect();
                match (!ids.is_empty()).then(|| pending.load(&ids, waiter, time)) {
                    None => None,
                    Some(Ok(ticket)) => return LoadResult::Later(ticket),
                    Some(Err(Unavailable)) => return LoadResult::Unavailable,
                }
            }
        };
        LoadResult::Now(found.unwrap_or_else(|| Session::none(now)))
    }

    /// Saves a session if it changed, and returns the cookie for the response. If the result
    /// comes later, the connection `waiter` is woken.
    pub fn save(&self, session: Session, secure: bool, waiter: Handle, time: Time) -> SaveResult {
        if !(session.changed || session.stale) {
            return SaveResult::Now(None);
        }
        let Session { stored, id, mut record, .. } = session;
        record.last_used = time.unix_seconds;
        // The client gets a cookie only if the identifier is new.
        let cookie = match id {
            Some(id) if stored == Some(id) => None,
            Some(id) => self.set_cookie(secure, id.to_string()),
            None => self.delete_cookie(secure),
        };
        if record.values().len() > limits::SESSION {
            return SaveResult::Refused(SaveError::TooLarge);
        }
        match (&mut *self.store(), id) {
            (Store::Memory(memory), id) => {
                if let Some(old) = stored {
                    memory.remove(old);
                }
                if let Some(id) = id {
                    memory.save(id, &record, self.lifetime, time.unix_seconds);
                }
                SaveResult::Now(cookie)
            }
            (Store::Signed(signed), Some(id)) => {
                let value = signed.write(id, &record);
                match self.set_cookie(secure, value) {
                    None => SaveResult::Refused(SaveError::TooLarge),
                    cookie => SaveResult::Now(cookie),
                }
            }
            (Store::Signed(_), None) => SaveResult::Now(cookie),
            (Store::Disk(disk), id) => {
                let now = time.unix_seconds;
                let left = self.lifetime.left(record.created, record.last_used, now).unwrap_or(1);
                let new = id.map(|id| (id, &record, now.saturating_add(left)));
                match disk.save(stored.filter(|stored| id != Some(*stored)), new, now) {
                    Ok(None) => SaveResult::Now(cookie),
                    Ok(Some(ticket)) => SaveResult::Later(ticket, cookie),
                    Err(_) => SaveResult::Refused(SaveError::Unavailable),
                }
            }
            (Store::Remote(pending), id) => {
                let operation = match (id, stored) {
                    (Some(id), was) => {
                        let left = self.lifetime.left(record.created, record.last_used, time.unix_seconds);
                        Operation::Save { id, was, text: record.encode(), seconds: left.unwrap_or(1) }
                    }
                    (None, Some(old)) => Operation::End(old),
                    // There is nothing to remove.
                    (None, None) => return SaveResult::Now(cookie),
                };
                match pending.save(operation, waiter, time) {
                    Ok(ticket) => SaveResult::Later(ticket, cookie),
                    Err(Unavailable) => SaveResult::Refused(SaveError::Unavailable),
                }
            }
        }
    }

    /// Asks a remote store whether it works: it removes a session that nobody has. The connection
    /// `waiter` is woken when the reply is there. None if the store isn't remote.
    ///
    /// # Errors
    /// If the store can't be asked.
    pub fn probe(&self, waiter: Handle, time: Time) -> Option<Result<Ticket, Unavailable>> {
        let mut store = self.store();
        store.pending().map(|pending| pending.save(Operation::End(Id::new()), waiter, time))
    }

    /// Takes the result of a ticket, if there is one.
    pub fn take(&self, ticket: Ticket, time: Time) -> TicketState {
        let mut store = self.store();
        let pending = match &mut *store {
            Store::Remote(pending) => pending,
            Store::Disk(disk) => {
                return match disk.take(ticket) {
                    None => TicketState::Pending,
                    Some(true) => TicketState::Saved,
                    Some(false) => TicketState::Failed,
                };
            }
            Store::Memory(_) | Store::Signed(_) => return TicketState::Failed,
        };
        match pending.take(ticket) {
            None => TicketState::Pending,
            Some(StoreResult::Failed) => TicketState::Failed,
            Some(StoreResult::Saved) => TicketState::Saved,
            Some(StoreResult::Loaded(id, text)) => {
                let now = time.unix_seconds;
                let record = text.and_then(|text| SessionRecord::decode(&text));
                let found = record.and_then(|record| self.lifetime.session(id, record, now));
                TicketState::Loaded(found.unwrap_or_else(|| Session::none(now)))
            }
        }
    }

    /// Drops a ticket; no exchange waits for it any more.
    pub fn forget(&self, ticket: Ticket) {
        match &mut *self.store() {
            Store::Remote(pending) => pending.forget(ticket),
            Store::Disk(disk) => disk.forget(ticket),
            Store::Memory(_) | Store::Signed(_) => {}
        }
    }

    /// The cookie of a session. It has no expiry: the browser deletes it when it exits, and
    /// the server decides how long the session lives.
    fn set_cookie(&self, secure: bool, value: String) -> Cookie {
        // The only possible error is its size: the name was checked.
        self.line(secure, SetCookie { value, ..SetCookie::default() }).ok()
    }

    /// The cookie that deletes it.
    fn delete_cookie(&self, secure: bool) -> Cookie {
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
    /// The session of a stored record; none if it has expired.
    fn session(self, id: Id, record: SessionRecord, now: i64) -> Option<Session> {
        self.left(record.created, record.last_used, now)?;
        let stale = self.is_due(record.last_used, now);
        Some(Session { stale, ..Session::stored(id, record, now) })
    }
}

#[cfg(test)]
mod tests;
