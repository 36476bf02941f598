//! What holds until a moment: a bounded table of keys, each with the second after
//! which it means nothing.

use std::collections::HashMap;
use std::hash::Hash;

/// Keys that hold until a moment.
#[derive(Clone)]
pub(super) struct Moments<K> {
    until: HashMap<K, u64>,
    /// Most of them.
    most: usize,
}

impl<K: Hash + Eq + Copy> Moments<K> {
    pub(super) fn new(most: usize) -> Self {
        Self { until: HashMap::new(), most }
    }

    /// Until when `key` holds; `now` if it doesn't.
    pub(super) fn get(&self, key: &K, now: u64) -> u64 {
        self.until.get(key).copied().unwrap_or(now).max(now)
    }

    /// Has `key` hold until then. If the table is full of what still holds, what
    /// would end first goes.
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
    fn what_holds_until_when() {
        let mut moments = Moments::new(2);
        assert_eq!(moments.get(&'a', 5), 5);
        moments.set('a', 9, 5);
        assert_eq!((moments.get(&'a', 5), moments.get(&'a', 10)), (9, 10));
        moments.clear();
        assert_eq!(moments.get(&'a', 5), 5);
    }

    #[test]
    fn a_full_table_loses_what_is_over_and_then_what_ends_first() {
        let mut moments = Moments::new(2);
        moments.set('a', 20, 0);
        moments.set('b', 10, 0);
        moments.set('c', 30, 11);
        assert_eq!(['a', 'b', 'c'].map(|key| moments.get(&key, 0)), [20, 0, 30]);
        moments.set('d', 40, 11);
        moments.set('d', 50, 11);
        assert_eq!(['a', 'c', 'd'].map(|key| moments.get(&key, 0)), [0, 30, 50]);
        assert_eq!(moments.until.len(), 2);
    }
}
