//! A session as a store has it: the values and two timestamps.
//!
//! The text is a JSON object of the values, so that `{"count":1}` is readable in a store. A
//! store without fields for the timestamps has them under the one reserved name:
//! `{"@":[1795260000,1795260600],"count":1}`.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::limits;

/// The reserved name of the timestamps.
const TIMESTAMPS: &str = "@";

/// A session's values and timestamps.
#[derive(Clone, PartialEq, Debug)]
pub struct SessionRecord {
    /// The values.
    pub data: Map<String, Value>,
    /// When it was first written, in Unix seconds.
    pub created: i64,
    /// When it was last used, in Unix seconds. It is updated only now and then, see
    /// [`Lifetime::is_due`].
    pub last_used: i64,
}

impl SessionRecord {
    /// A record without values, created now.
    pub fn new(now: i64) -> Self {
        Self { data: Map::new(), created: now, last_used: now }
    }

    /// The values as JSON.
    pub fn values(&self) -> Vec<u8> {
        // A map with strings as keys can always be serialised.
        serde_json::to_vec(&self.data).unwrap_or_default()
    }

    /// A record from the output of [`values`](Self::values) and the timestamps.
    pub fn with_values(values: &[u8], created: i64, last_used: i64) -> Option<Self> {
        Some(Self { data: serde_json::from_slice(values).ok()?, created, last_used })
    }

    /// Values and timestamps as one JSON object.
    pub fn encode(&self) -> Vec<u8> {
        let mut all = self.data.clone();
        all.insert(TIMESTAMPS.to_owned(), Value::from(vec![self.created, self.last_used]));
        serde_json::to_vec(&all).unwrap_or_default()
    }

    /// Decodes the output of [`encode`](Self::encode); none if it is anything else.
    pub fn decode(text: &[u8]) -> Option<Self> {
        let mut data: Map<String, Value> = serde_json::from_slice(text).ok()?;
        let timestamps = data.remove(TIMESTAMPS)?;
        let [created, last_used] = timestamps.as_array()?.as_slice() else { return None };
        Some(Self { data, created: created.as_i64()?, last_used: last_used.as_i64()? })
    }
}

/// How long sessions live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lifetime {
    /// Longest time without a request.
    pub idle: Duration,
    /// Longest time in all.
    pub max_age: Duration,
}

impl Default for Lifetime {
    fn default() -> Self {
        Self { idle: limits::SESSION_IDLE, max_age: limits::SESSION_MAX_AGE }
    }
}

impl Lifetime {
    /// The seconds until a session expires; none if it has expired.
    pub fn left(&self, created: i64, last_used: i64, now: i64) -> Option<i64> {
        let ends = |from: i64, span: Duration| from.saturating_add(i64::try_from(span.as_secs()).unwrap_or(i64::MAX));
        let left = ends(last_used, self.idle).min(ends(created, self.max_age)).saturating_sub(now);
        (left > 0).then_some(left)
    }

    /// Whether the time of use must be updated: a tenth of the idle time has passed since the
    /// last update. If every request updated it, every read would also be a write.
    pub fn is_due(&self, last_used: i64, now: i64) -> bool {
        now.saturating_sub(last_used) >= i64::try_from(self.idle.as_secs() / 10).unwrap_or(i64::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_text_is_a_json_object_of_the_values() {
        let mut record = SessionRecord::new(5);
        assert_eq!(record.values(), b"{}");
        record.data.insert("count".to_owned(), Value::from(1));
        record.last_used = 6;
        assert_eq!(record.values(), br#"{"count":1}"#);
        assert_eq!(record.encode(), br#"{"@":[5,6],"count":1}"#);
        assert_eq!(SessionRecord::decode(&record.encode()), Some(record.clone()));
        assert_eq!(SessionRecord::with_values(&record.values(), 5, 6), Some(record));
        for wrong in [&b""[..], b"{}", b"[]", br#"{"@":[1]}"#, br#"{"@":[1,"2"]}"#, br#"{"@":1}"#, b"\xff", b"{"] {
            assert_eq!(SessionRecord::decode(wrong), None);
        }
    }

    proptest! {
        #[test]
        fn decoding_never_panics(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = SessionRecord::decode(&text);
        }
    }

    #[test]
    fn a_session_expires_when_idle_or_old_and_use_is_recorded_rarely() {
        let lifetime = Lifetime { idle: Duration::from_secs(100), max_age: Duration::from_secs(250) };
        for (created, last_used, now, left) in [
            (0, 0, 0, Some(100)),
            (0, 0, 99, Some(1)),
            (0, 0, 100, None),
            (0, 90, 100, Some(90)),
            (0, 200, 249, Some(1)),
            (0, 249, 250, None),
            // A clock that was set back, and extreme numbers.
            (50, 50, 0, Some(150)),
            (i64::MAX, i64::MAX, i64::MIN, Some(i64::MAX)),
            (i64::MIN, i64::MIN, i64::MAX, None),
        ] {
            assert_eq!(lifetime.left(created, last_used, now), left, "{created} {last_used} {now}");
        }
        assert_eq!([9, 10, -5].map(|now| lifetime.is_due(0, now)), [false, true, false]);
        let short = Lifetime { idle: Duration::from_secs(5), ..lifetime };
        assert_eq!([0, 1].map(|now| short.is_due(0, now)), [false, true], "once a second at most");
    }
}
