//! A session as a store has it: the values, and from when they are.
//!
//! Its text is a JSON object of the values, so that somebody who looks into a store
//! reads `{"count":1}`; a store that has no place of its own for the two moments
//! keeps them under the one name that is reserved: `{"@":[1795260000,1795260600],"count":1}`.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::limits;

/// The name under which the moments stand.
const MOMENTS: &str = "@";

/// A session's values and moments.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// The values.
    pub data: Map<String, Value>,
    /// When it was first written, in Unix seconds.
    pub born: i64,
    /// When it was in use, in Unix seconds; not younger than it need be, see
    /// [`Lifetime::is_due`].
    pub seen: i64,
}

impl Record {
    /// Without values, as of now.
    pub fn new(now: i64) -> Self {
        Self { data: Map::new(), born: now, seen: now }
    }

    /// The values as JSON.
    pub fn values(&self) -> Vec<u8> {
        // A map of values with strings as names always has a text.
        serde_json::to_vec(&self.data).unwrap_or_default()
    }

    /// Values that were written by [`values`](Self::values), with their moments.
    pub fn with_values(values: &[u8], born: i64, seen: i64) -> Option<Self> {
        Some(Self { data: serde_json::from_slice(values).ok()?, born, seen })
    }

    /// Values and moments as one JSON object.
    pub fn encode(&self) -> Vec<u8> {
        let mut all = self.data.clone();
        all.insert(MOMENTS.to_owned(), Value::from(vec![self.born, self.seen]));
        serde_json::to_vec(&all).unwrap_or_default()
    }

    /// What was written by [`encode`](Self::encode); none if it is anything else.
    pub fn decode(text: &[u8]) -> Option<Self> {
        let mut data: Map<String, Value> = serde_json::from_slice(text).ok()?;
        let moments = data.remove(MOMENTS)?;
        let [born, seen] = moments.as_array()?.as_slice() else { return None };
        Some(Self { data, born: born.as_i64()?, seen: seen.as_i64()? })
    }
}

/// How long sessions live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetime {
    /// Without a request.
    pub idle: Duration,
    /// In all.
    pub most: Duration,
}

impl Default for Lifetime {
    fn default() -> Self {
        Self { idle: limits::SESSION_IDLE, most: limits::SESSION_MOST }
    }
}

impl Lifetime {
    /// Seconds that are left of a session; none if it is over.
    pub fn left(&self, born: i64, seen: i64, now: i64) -> Option<i64> {
        let ends = |from: i64, span: Duration| from.saturating_add(i64::try_from(span.as_secs()).unwrap_or(i64::MAX));
        let left = ends(seen, self.idle).min(ends(born, self.most)).saturating_sub(now);
        (left > 0).then_some(left)
    }

    /// Whether it is time to note that a session is in use: a tenth of the idle
    /// time has passed since that was last done. More often would make a write of
    /// every read.
    pub fn is_due(&self, seen: i64, now: i64) -> bool {
        now.saturating_sub(seen) >= i64::try_from(self.idle.as_secs() / 10).unwrap_or(i64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn its_text_is_the_values() {
        let mut record = Record::new(5);
        assert_eq!(record.values(), b"{}");
        record.data.insert("count".to_owned(), Value::from(1));
        record.seen = 6;
        assert_eq!(record.values(), br#"{"count":1}"#);
        assert_eq!(record.encode(), br#"{"@":[5,6],"count":1}"#);
        assert_eq!(Record::decode(&record.encode()), Some(record.clone()));
        assert_eq!(Record::with_values(&record.values(), 5, 6), Some(record));
        for wrong in [&b""[..], b"{}", b"[]", br#"{"@":[1]}"#, br#"{"@":[1,"2"]}"#, br#"{"@":1}"#, b"\xff", b"{"] {
            assert_eq!(Record::decode(wrong), None);
        }
    }

    proptest! {
        #[test]
        fn whatever_a_store_gives_is_no_panic(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Record::decode(&text);
        }
    }

    #[test]
    fn it_ends_idle_or_at_its_age_and_use_is_noted_now_and_then() {
        let lifetime = Lifetime { idle: Duration::from_secs(100), most: Duration::from_secs(250) };
        for (born, seen, now, left) in [
            (0, 0, 0, Some(100)),
            (0, 0, 99, Some(1)),
            (0, 0, 100, None),
            (0, 90, 100, Some(90)),
            (0, 200, 249, Some(1)),
            (0, 249, 250, None),
            // A clock that was set back, and numbers from nowhere.
            (50, 50, 0, Some(150)),
            (i64::MAX, i64::MAX, i64::MIN, Some(i64::MAX)),
            (i64::MIN, i64::MIN, i64::MAX, None),
        ] {
            assert_eq!(lifetime.left(born, seen, now), left, "{born} {seen} {now}");
        }
        assert_eq!([9, 10, -5].map(|now| lifetime.is_due(0, now)), [false, true, false]);
        let short = Lifetime { idle: Duration::from_secs(5), ..lifetime };
        assert_eq!([0, 1].map(|now| short.is_due(0, now)), [false, true], "no more than once a second");
    }
}
