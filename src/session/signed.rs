//! Sessions in the client's cookie; the server stores nothing.
//!
//! ```text
//! KEY.ID.RECORD.SIGNATURE
//! ```
//!
//! `RECORD` is the session's values and timestamps, JSON in base64, which the client can
//! read. `SIGNATURE` is an HMAC-SHA256 of all parts before it, so the client can't change
//! them. A cookie with a wrong signature, or an expired one, is ignored.
//!
//! The server stores nothing, so it can revoke nothing: a copied cookie is valid until it
//! expires, even if its session was ended.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::Id;
use super::key::Keys;
use super::record::SessionRecord;

/// What the signature is for.
const PURPOSE: &str = "session";

/// Reads and writes sessions as cookies.
#[derive(Debug)]
pub struct Signed {
    keys: Keys,
}

impl Signed {
    /// Signs with these keys.
    pub fn new(keys: Keys) -> Self {
        Self { keys }
    }

    /// The session in a cookie's value, if the signature is right. The caller checks whether it
    /// has expired.
    pub fn read(&self, value: &[u8]) -> Option<(Id, SessionRecord)> {
        let text = self.keys.verify(PURPOSE, std::str::from_utf8(value).ok()?)?;
        let (id, record) = text.split_once('.')?;
        Some((Id::parse(id.as_bytes())?, SessionRecord::decode(&BASE64_URL_SAFE_NO_PAD.decode(record).ok()?)?))
    }

    /// The cookie's value for a session.
    pub fn write(&self, id: Id, record: &SessionRecord) -> String {
        self.keys.sign(PURPOSE, &format!("{id}.{}", BASE64_URL_SAFE_NO_PAD.encode(record.encode())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_written_cookie_is_read() {
        let signed = Signed::new(Keys::random());
        let (id, mut record) = (Id::new(), SessionRecord::new(5));
        record.data.insert("count".to_owned(), 1.into());
        let value = signed.write(id, &record);
        assert_eq!(signed.read(value.as_bytes()), Some((id, record.clone())));
        assert_eq!(Signed::new(Keys::random()).read(value.as_bytes()), None);
        // The record of another session under this signature, and the signature of another text.
        let other = signed.write(Id::new(), &record);
        let parts = |value: &str| value.split('.').map(str::to_owned).collect::<Vec<_>>();
        let (mine, theirs) = (parts(&value), parts(&other));
        for mixed in [[&mine[0], &mine[1], &mine[2], &theirs[3]], [&mine[0], &theirs[1], &mine[2], &mine[3]]] {
            let mixed = mixed.map(String::as_str).join(".");
            assert_eq!(signed.read(mixed.as_bytes()), None);
        }
        // Signed by this server for another purpose.
        let keys = Keys::random();
        let text = value.split_once('.').unwrap().1.rsplit_once('.').unwrap().0;
        assert_eq!(Signed::new(keys.clone()).read(keys.sign("track", text).as_bytes()), None);
        assert!(Signed::new(keys.clone()).read(keys.sign(PURPOSE, text).as_bytes()).is_some());
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "[a-zA-Z0-9._-]{0,80}", key in any::<bool>()) {
            let keys = Keys::random();
            // With and without a valid signature.
            let value = if key { keys.sign(PURPOSE, &text) } else { text };
            let _ = Signed::new(keys).read(value.as_bytes());
        }
    }
}
