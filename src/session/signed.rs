//! Sessions in the visitor's own cookie; the server keeps nothing.
//!
//! ```text
//! KEY.ID.RECORD.SIGNATURE
//! ```
//!
//! `RECORD` is the session's values and moments, JSON in base64, which anybody can
//! read; `SIGNATURE` is an HMAC-SHA256 over what stands before it, so nobody can
//! change it. What isn't as we signed it, or is over, is no session.
//!
//! Nothing is kept, so nothing can be taken back: a cookie that somebody copied is
//! good until it is over, though its session was ended.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::Id;
use super::key::Keys;
use super::record::Record;

/// What our signature is for.
const PURPOSE: &str = "session";

/// Reads and writes sessions as cookies.
#[derive(Debug)]
pub struct Signed {
    keys: Keys,
}

impl Signed {
    /// With these keys.
    pub fn new(keys: Keys) -> Self {
        Self { keys }
    }

    /// The session in a cookie's value, if we wrote it. Whether it is over is for
    /// the caller to see.
    pub fn read(&self, value: &[u8]) -> Option<(Id, Record)> {
        let text = self.keys.verify(PURPOSE, std::str::from_utf8(value).ok()?)?;
        let (id, record) = text.split_once('.')?;
        Some((Id::parse(id.as_bytes())?, Record::decode(&BASE64_URL_SAFE_NO_PAD.decode(record).ok()?)?))
    }

    /// A session as a cookie's value.
    pub fn write(&self, id: Id, record: &Record) -> String {
        self.keys.sign(PURPOSE, &format!("{id}.{}", BASE64_URL_SAFE_NO_PAD.encode(record.encode())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else() {
        let signed = Signed::new(Keys::random());
        let (id, mut record) = (Id::new(), Record::new(5));
        record.data.insert("count".to_owned(), 1.into());
        let value = signed.write(id, &record);
        assert_eq!(signed.read(value.as_bytes()), Some((id, record.clone())));
        assert_eq!(Signed::new(Keys::random()).read(value.as_bytes()), None);
        // Another's record under our signature, and the signature of another text.
        let other = signed.write(Id::new(), &record);
        let parts = |value: &str| value.split('.').map(str::to_owned).collect::<Vec<_>>();
        let (mine, theirs) = (parts(&value), parts(&other));
        for mixed in [[&mine[0], &mine[1], &mine[2], &theirs[3]], [&mine[0], &theirs[1], &mine[2], &mine[3]]] {
            let mixed = mixed.map(String::as_str).join(".");
            assert_eq!(signed.read(mixed.as_bytes()), None);
        }
        // Signed by us, for something else.
        let keys = Keys::random();
        let text = value.split_once('.').unwrap().1.rsplit_once('.').unwrap().0;
        assert_eq!(Signed::new(keys.clone()).read(keys.sign("track", text).as_bytes()), None);
        assert!(Signed::new(keys.clone()).read(keys.sign(PURPOSE, text).as_bytes()).is_some());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_no_panic(text in "[a-zA-Z0-9._-]{0,80}", key in any::<bool>()) {
            let keys = Keys::random();
            // With and without a good signature.
            let value = if key { keys.sign(PURPOSE, &text) } else { text };
            let _ = Signed::new(keys).read(value.as_bytes());
        }
    }
}
