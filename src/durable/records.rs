//! The records in memory: an ordered map with an index by expiry and a count of bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

/// What a record takes beyond its key and value, in bytes: three reference-counted allocations
/// and its share of two trees. So records without content are limited too.
const OVERHEAD: usize = 128;

/// A value with an optional expiry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The value.
    pub value: Arc<[u8]>,
    /// The Unix second at which it expires; none: never.
    pub expires: Option<i64>,
}

impl Record {
    /// Whether it has not yet expired at `now`, in Unix seconds.
    pub fn is_live(&self, now: i64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// A change to one key. Its size is the key, the value and an overhead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Set the record.
    Put(Arc<[u8]>, Record),
    /// Remove the record.
    Remove(Arc<[u8]>),
    /// Remove the record if it has expired at this Unix second; it may have been replaced
    /// meanwhile.
    Expire(Arc<[u8]>, i64),
}

impl Change {
    /// The key.
    pub fn key(&self) -> &Arc<[u8]> {
        match self {
            Self::Put(key, _) | Self::Remove(key) | Self::Expire(key, _) => key,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        OVERHEAD + self.key().len() + if let Self::Put(_, record) = self { record.value.len() } else { 0 }
    }
}

/// Records by key.
#[derive(Default)]
pub(super) struct Records {
    by_key: BTreeMap<Arc<[u8]>, Record>,
    /// The keys that expire, in the order of their expiry.
    deadlines: BTreeSet<(i64, Arc<[u8]>)>,
    bytes: usize,
}

impl Records {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Record> {
        self.by_key.get(key)
    }

    /// Bytes that the record of `key` takes.
    pub(super) fn size_of(&self, key: &[u8]) -> usize {
        self.by_key.get(key).map_or(0, |record| OVERHEAD + key.len() + record.value.len())
    }

    pub(super) fn range(&self, keys: impl RangeBounds<[u8]>) -> impl DoubleEndedIterator<Item = (&Arc<[u8]>, &Record)> {
        let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (keys.start_bound(), keys.end_bound());
        self.by_key.range::<[u8], _>(bounds)
    }

    /// Makes a change. Returns whether a record was replaced or removed.
    pub(super) fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Put(key, record) => {
                let was = self.remove(&key);
                self.bytes += OVERHEAD + key.len() + record.value.len();
                if let Some(expires) = record.expires {
                    self.deadlines.insert((expires, Arc::clone(&key)));
                }
                self.by_key.insert(key, record);
                was
            }
            Change::Remove(key) => self.remove(&key),
            Change::Expire(key, now) => {
                self.by_key.get(&key).is_some_and(|record| !record.is_live(now)) && self.remove(&key)
            }
        }
    }

    fn remove(&mut self, key: &Arc<[u8]>) -> bool {
        let size = self.size_of(key);
        let Some(record) = self.by_key.remove(key) else { return false };
        self.bytes -= size;
        if let Some(expires) = record.expires {
            self.deadlines.remove(&(expires, Arc::clone(key)));
        }
        true
    }

    /// The keys of records that expire, in the order of their expiry.
    pub(super) fn first_to_expire(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        self.deadlines.iter().map(|(_, key)| key)
    }

    /// Removes a record that has expired at `now`, and returns its key.
    pub(super) fn take_expired(&mut self, now: i64) -> Option<Arc<[u8]>> {
        let (_, key) = self.deadlines.first().filter(|(expires, _)| *expires <= now)?.clone();
        self.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(key: u8, value: &[u8], expires: Option<i64>) -> Change {
        Change::Put([key].into(), Record { value: value.into(), expires })
    }

    #[test]
    fn records_are_added_removed_and_counted() {
        let mut records = Records::default();
        assert!(!records.apply(put(1, b"one", None)));
        assert!(records.apply(put(1, b"two!", Some(10))));
        assert_eq!(records.bytes(), OVERHEAD + 1 + 4);
        assert_eq!(records.take_expired(9), None);
        assert!(!records.apply(Change::Expire([1].into(), 9)));
        assert_eq!(records.take_expired(10).as_deref(), Some(&[1][..]));
        assert_eq!((records.bytes(), records.take_expired(10)), (0, None));
        assert!(!records.apply(Change::Remove([1].into())));
    }

    proptest! {
        #[test]
        fn the_byte_count_and_the_deadlines_match_the_records(
            changes in proptest::collection::vec((0..4_u8, 0..4_usize, proptest::option::of(0..5_i64), 0..3), 0..40),
        ) {
            let mut records = Records::default();
            for (key, size, expires, kind) in changes {
                let before = records.get(&[key]).cloned();
                let was = records.apply(match kind {
                    0 => put(key, &vec![0; size], expires),
                    1 => Change::Remove([key].into()),
                    _ => Change::Expire([key].into(), size as i64),
                });
                prop_assert!(before.is_some() || !was);
                let bytes: usize = records.by_key.iter().map(|(key, r)| OVERHEAD + key.len() + r.value.len()).sum();
                prop_assert_eq!(records.bytes, bytes);
                let deadlines: BTreeSet<_> =
                    records.by_key.iter().filter_map(|(key, r)| Some((r.expires?, Arc::clone(key)))).collect();
                prop_assert_eq!(&records.deadlines, &deadlines);
            }
        }
    }
}
