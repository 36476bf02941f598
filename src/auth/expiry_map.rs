//! A limited map from keys to the second at which they expire.

use std::collections::HashMap;
use std::hash::Hash;

/// Keys with their expiry.
#[derive(Clone)]
pub(super) struct ExpiryMap<K> {
    until: HashMap<K, u64>,
    /// Most keys.
    most: usize,
}

impl<K: Hash + Eq + Copy> ExpiryMap<K> {
    pub(super) fn new(most: usize) -> Self {
        Self { until: HashMap::new(), most }
    }

    /// When `key` expires; `now` if it is absent or has expired.
    pub(super) fn get(&self, key: &K, now: u64) -> u64 {
        self.until.get(key).copied().unwrap_or(now).max(now)
    }

    /// Sets the expiry of a key. If the map is full, expired keys are removed, or else the one
    /// that expires first.
    pub(super) fn set(&mut self, key: K, until: u64, now: u64) {
        if self.until.len() >= self.most && !self.until.contains_key(&key) {
            self.until.retain(|_, until| *until > now);
            if self.until.len() >= self.most
                && let Some(first) = self.until.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key)
            {
                self.until.remove(&first);
            }
        }
        self.until.insert(key, until);
    }

    pub(super) fn clear(&mut self) {
        self.until = HashMap::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_an_expiry_until_it_expires_or_is_cleared() {
        let mut map = ExpiryMap::new(2);
        assert_eq!(map.get(&'a', 5), 5);
        map.set('a', 9, 5);
        assert_eq!((map.get(&'a', 5), map.get(&'a', 10)), (9, 10));
        map.clear();
        assert_eq!(map.get(&'a', 5), 5);
    }

    #[test]
    fn a_full_map_drops_expired_keys_and_then_the_one_that_expires_first() {
        let mut map = ExpiryMap::new(2);
        map.set('a', 20, 0);
        map.set('b', 10, 0);
        map.set('c', 30, 11);
        assert_eq!(['a', 'b', 'c'].map(|key| map.get(&key, 0)), [20, 0, 30]);
        map.set('d', 40, 11);
        map.set('d', 50, 11);
        assert_eq!(['a', 'c', 'd'].map(|key| map.get(&key, 0)), [0, 30, 50]);
        assert_eq!(map.until.len(), 2);
    }
}
