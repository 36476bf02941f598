//! Sessions: the values that are stored for a client between requests.
//!
//! ```text
//! Cookie: sessionId=…  ─▶ Sessions::load ─▶ Session, lent to an application
//!                                              │ get, set, remove, renew, end
//! Set-Cookie, if needed ◀──── Sessions::save ◀─┘ if something changed
//! ```
//!
//! An application sees a [`Session`], a small map from names to values. A [`Store`] stores
//! it: in memory ([`memory`]), on disk ([`disk_store`]), in the client's cookie
//! ([`signed`]), or in a remote store that replies later ([`pending`], [`remote`]). Nothing
//! here has a socket. Time comes from the caller; it is the wall clock in seconds, because
//! cookies and stores outlive the process.
//!
//! An identifier that a client sends is only looked up. If it is not found, it is not
//! adopted: the first value written gets a new identifier from the server.

pub mod disk_store;
pub mod key;
pub mod memory;
pub mod pending;
pub mod record;
pub mod remote;
mod sessions;
pub mod signed;
mod store;

use std::fmt;

use serde_json::Value;

use record::SessionRecord;
pub use sessions::{COOKIE, Sessions};
pub use store::{LoadResult, SaveError, SaveResult, SharedStore, Store, TicketState};

/// The identifier of a session: a UUID of version 4 from the system's generator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(uuid::Uuid);

impl Id {
    /// Length of its text in bytes.
    pub const LENGTH: usize = 36;

    /// A new identifier.
    pub fn new() -> Self {
        Self(uuid::Uuid::new_v4())
    }

    /// Parses what a client sent. Only the form that [`Display`](fmt::Display) writes is valid,
    /// in lower or upper case.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let uuid = uuid::Uuid::try_parse_ascii(text).ok()?;
        // The crate also reads other forms, without hyphens or in braces.
        let is_ours = text.len() == Self::LENGTH
            && uuid.get_version() == Some(uuid::Version::Random)
            && uuid.get_variant() == uuid::Variant::RFC4122;
        is_ours.then_some(Self(uuid))
    }

    /// The first eight digits: enough to tell sessions apart, too few to take one over.
    pub fn first_block(self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// For logs: the first block only.
impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.first_block())
    }
}

/// A client's session, as lent to an application: a map from names to values.
///
/// It records whether something changed. Only a changed session is saved. The client gets a
/// cookie only when the session is first written, renewed or ended.
#[derive(Debug)]
pub struct Session {
    /// The identifier under which the store has it.
    stored: Option<Id>,
    id: Option<Id>,
    record: SessionRecord,
    changed: bool,
    /// It must be saved even if nothing changed, so that the store knows that it is in use.
    stale: bool,
    now: i64,
}

impl Session {
    /// An empty session for a client that has none, at the Unix second `now`.
    pub fn none(now: i64) -> Self {
        Self { stored: None, id: None, record: SessionRecord::new(now), changed: false, stale: false, now }
    }

    /// The session that a store has under `id`.
    fn stored(id: Id, record: SessionRecord, now: i64) -> Self {
        Self { stored: Some(id), id: Some(id), record, ..Self::none(now) }
    }

    /// The identifier; none until a value is written.
    pub fn id(&self) -> Option<Id> {
        self.id
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.record.data.get(name)
    }

    /// Sets the value of a name. The first value creates the session.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        if self.id.is_none() {
            self.id = Some(Id::new());
            self.record = SessionRecord::new(self.now);
        } else if self.get(name) == Some(&value) {
            return;
        }
        self.record.data.insert(name.to_owned(), value);
        self.changed = true;
    }

    /// Removes a name and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let value = self.record.data.remove(name);
        self.changed |= value.is_some();
        value
    }

    /// Gives the session a new identifier; the values stay. Call this when the client's rights
    /// change, above all at a login: then the old identifier is worthless to an attacker that
    /// knew it, or that planted it in the client (session fixation).
    pub fn renew(&mut self) {
        if self.id.is_some() {
            self.id = Some(Id::new());
            self.changed = true;
        }
    }

    /// Ends the session: the store removes it, and the client's cookie is deleted. A value that
    /// is written afterwards begins a new session.
    pub fn end(&mut self) {
        *self = Self { stored: self.stored, changed: true, ..Self::none(self.now) };
    }

    /// Whether something was written, renewed or ended.
    pub fn is_changed(&self) -> bool {
        self.changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn identifiers_are_parsed_strictly_and_logged_in_part() {
        let id = Id::new();
        let text = id.to_string();
        assert_eq!(text.len(), Id::LENGTH);
        assert_eq!(Id::parse(text.as_bytes()), Some(id));
        assert_eq!(Id::parse(text.to_uppercase().as_bytes()), Some(id));
        assert_eq!(format!("{id:?}"), format!("{}…", &text[..8]));
        assert_ne!(Id::new(), id);
        for wrong in [
            "",
            "sessionId",
            &text[..35],
            &format!("{text}0"),
            &format!(" {text}"),
            &format!("{{{text}}}"),
            &format!("urn:uuid:{text}"),
            &text.replace('-', ""),
            // Version 1, no version, and another variant.
            "c232ab00-9414-11ec-b3c8-9f6bdeced846",
            "00000000-0000-0000-0000-000000000000",
            "11111111-1111-4111-c111-111111111111",
        ] {
            assert_eq!(Id::parse(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert!(Id::parse(b"11111111-1111-4111-8111-111111111111").is_some());
    }

    proptest! {
        #[test]
        fn parsing_an_identifier_never_panics(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Id::parse(&text);
        }
    }

    #[test]
    fn a_session_has_no_identifier_until_a_value_is_written() {
        let mut session = Session::none(7);
        session.renew();
        assert_eq!(session.remove("a"), None);
        assert_eq!((session.id(), session.get("a"), session.is_changed()), (None, None, false));
        session.set("a", 1);
        let id = session.id();
        session.set("b", "c");
        assert!(id.is_some() && session.id() == id && session.is_changed());
        assert_eq!(session.get("a"), Some(&Value::from(1)));
    }

    #[test]
    fn setting_an_equal_value_is_no_change() {
        let mut record = SessionRecord::new(0);
        record.data.insert("a".to_owned(), Value::from(1));
        let mut session = Session::stored(Id::new(), record, 7);
        session.set("a", 1);
        session.remove("b");
        assert!(!session.is_changed());
        session.set("a", 2);
        assert!(session.is_changed());
    }

    #[test]
    fn renewing_keeps_the_values_and_ending_removes_them() {
        let old = Id::new();
        let mut record = SessionRecord::new(0);
        record.data.insert("a".to_owned(), Value::from(1));
        let mut session = Session::stored(old, record, 7);
        session.renew();
        assert!(session.id().is_some_and(|id| id != old) && session.is_changed());
        assert_eq!((session.stored, session.get("a")), (Some(old), Some(&Value::from(1))));
        session.end();
        assert_eq!((session.id(), session.stored, session.get("a")), (None, Some(old), None));
        session.set("b", 1);
        assert!(session.id().is_some_and(|id| id != old));
        assert_eq!((session.record.created, session.stored), (7, Some(old)));
    }
}
