//! What is remembered of a visitor between requests.
//!
//! ```text
//! Cookie: sessionId=…  ─▶ Sessions::load ─▶ Session, lent to an application
//!                                              │ get, set, remove, renew, end
//! Set-Cookie, if it must be ◀── Sessions::save ◀┘ if something changed
//! ```
//!
//! An application sees a [`Session`], a small map under names. Where it is kept is
//! the business of a [`Store`]: in memory ([`memory`]), on disk ([`kept`]), in the
//! visitor's cookie ([`signed`]), or with somebody who must be asked and answers later
//! ([`pending`], [`remote`]). Nothing here knows of sockets, and time comes from the caller.
//! It is the wall clock's, in seconds: cookies and stores outlive the process.
//!
//! An identifier that comes from a client is only ever looked up. What isn't found
//! isn't adopted: the first thing written gets an identifier made here.

pub mod kept;
pub mod key;
pub mod memory;
pub mod pending;
pub mod record;
pub mod remote;
pub mod signed;
mod store;

use std::fmt;

use serde_json::Value;

use record::Record;
pub use store::{COOKIE, Loaded, Refusal, Saved, Sessions, Store, Taken};

/// The name of a session: a UUID of version 4, from the system's generator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(uuid::Uuid);

impl Id {
    /// Bytes of its text.
    pub const LENGTH: usize = 36;

    /// One that nobody has had.
    pub fn new() -> Self {
        Self(uuid::Uuid::new_v4())
    }

    /// Reads what a client sent: none if it is anything else than we make, but for
    /// the case of its letters.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let uuid = uuid::Uuid::try_parse_ascii(text).ok()?;
        // The crate reads other forms too, without hyphens or in braces.
        let is_ours = text.len() == Self::LENGTH
            && uuid.get_version() == Some(uuid::Version::Random)
            && uuid.get_variant() == uuid::Variant::RFC4122;
        is_ours.then_some(Self(uuid))
    }

    /// Its first eight digits: enough to tell sessions apart, too little to take
    /// one over.
    pub fn first_block(self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Logs show these: the first block alone.
impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.first_block())
    }
}

/// A visitor's session, as lent to an application: values under names.
///
/// It notes whether something changed; only then it is saved, and only when it is
/// first written, renewed or ended the visitor gets a cookie.
#[derive(Debug)]
pub struct Session {
    /// Under which the store has it.
    stored: Option<Id>,
    id: Option<Id>,
    record: Record,
    changed: bool,
    /// It is to be saved in any case, so that the store knows that it is in use.
    stale: bool,
    now: i64,
}

impl Session {
    /// The session of a visitor who has none, at the Unix second `now`.
    pub fn none(now: i64) -> Self {
        Self { stored: None, id: None, record: Record::new(now), changed: false, stale: false, now }
    }

    /// What a store has under `id`.
    fn stored(id: Id, record: Record, now: i64) -> Self {
        Self { stored: Some(id), id: Some(id), record, ..Self::none(now) }
    }

    /// Its identifier; none until something is written.
    pub fn id(&self) -> Option<Id> {
        self.id
    }

    /// The value under a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.record.data.get(name)
    }

    /// Puts a value under a name. The first makes a session of nothing.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        if self.id.is_none() {
            self.id = Some(Id::new());
            self.record = Record::new(self.now);
        } else if self.get(name) == Some(&value) {
            return;
        }
        self.record.data.insert(name.to_owned(), value);
        self.changed = true;
    }

    /// Takes away the value under a name.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let value = self.record.data.remove(name);
        self.changed |= value.is_some();
        value
    }

    /// Gives it another identifier and keeps the values: to be called when the
    /// visitor's rights change, at a login above all. Who knew the old identifier,
    /// or gave it to the visitor, has nothing then.
    pub fn renew(&mut self) {
        if self.id.is_some() {
            self.id = Some(Id::new());
            self.changed = true;
        }
    }

    /// Ends it: the store forgets it, the visitor's cookie is taken back. What is
    /// written afterwards begins another.
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
    fn identifiers_are_read_strictly_and_shown_in_part() {
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
        fn whatever_comes_is_no_panic(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Id::parse(&text);
        }
    }

    #[test]
    fn there_is_no_identifier_until_something_is_written() {
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
    fn only_what_differs_is_a_change() {
        let mut record = Record::new(0);
        record.data.insert("a".to_owned(), Value::from(1));
        let mut session = Session::stored(Id::new(), record, 7);
        session.set("a", 1);
        session.remove("b");
        assert!(!session.is_changed());
        session.set("a", 2);
        assert!(session.is_changed());
    }

    #[test]
    fn renewing_keeps_the_values_and_ending_does_not() {
        let old = Id::new();
        let mut record = Record::new(0);
        record.data.insert("a".to_owned(), Value::from(1));
        let mut session = Session::stored(old, record, 7);
        session.renew();
        assert!(session.id().is_some_and(|id| id != old) && session.is_changed());
        assert_eq!((session.stored, session.get("a")), (Some(old), Some(&Value::from(1))));
        session.end();
        assert_eq!((session.id(), session.stored, session.get("a")), (None, Some(old), None));
        session.set("b", 1);
        assert!(session.id().is_some_and(|id| id != old));
        assert_eq!((session.record.born, session.stored), (7, Some(old)));
    }
}
