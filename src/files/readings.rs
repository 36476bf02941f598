//! What helper threads have read of directories. It is kept for the next requests.
//!
//! Reading a directory of ten thousand entries takes some fifty milliseconds, so the loop
//! never does it. A helper thread runs each [`Reading`], one after another:
//!
//! ```text
//!  loop:    find ── kept ──▶ what was read      begin ─▶ the exchange waits
//!             ▲                                  │
//!  helper:    └──── kept ◀── run ◀───────────────┘ unless another reading just has
//! ```
//!
//! What was read is kept until the watch reports a change in the directory. After a second it is
//! kept only if its user finds that it is current still: what is behind links and in the
//! directories below isn't watched. A reading may wait behind another one of the same. It takes
//! the result of that one, if that one began after this one was created. So a hundred requests at
//! once cost one or two readings.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::resolve;

/// Something that is read of a directory.
pub trait Read {
    /// Which part of the directory, or in which order.
    type Part: PartialEq;

    /// Bytes of memory that it holds.
    fn memory(&self) -> usize;
}

/// What was read. A clone shares it, also with a helper thread.
pub(super) struct Readings<R: Read>(Arc<Mutex<Kept<R>>>);

impl<R: Read> Clone for Readings<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Kept<R: Read> {
    /// In order of their time, the newest last.
    entries: VecDeque<Entry<R>>,
    /// Most entries.
    limit: usize,
    /// Most bytes of memory of all; a single larger one is kept all the same.
    memory_limit: usize,
    /// Counts the readings.
    begun: u64,
    /// Counts the changes that were reported.
    changes: u64,
}

/// What was read of a directory, whose path has no slash at its end.
struct Entry<R: Read> {
    directory: Box<[u8]>,
    part: R::Part,
    read: Arc<R>,
    /// The number of readings when this one began.
    begun: u64,
    /// When it was created or found to be current, in seconds of the loop's clock.
    second: u32,
    /// No change was reported since it began.
    fresh: bool,
}

/// A reading that a helper thread is to do.
pub(super) struct Reading<R: Read> {
    readings: Readings<R>,
    directory: Box<[u8]>,
    part: R::Part,
    /// Its number.
    number: u64,
    second: u32,
}

impl<R: Read> Readings<R> {
    /// With room for so many, and for so many bytes.
    pub(super) fn new(limit: usize, memory_limit: usize) -> Self {
        let kept = Kept { entries: VecDeque::new(), limit, memory_limit, begun: 0, changes: 0 };
        Self(Arc::new(Mutex::new(kept)))
    }

    fn lock(&self) -> MutexGuard<'_, Kept<R>> {
        // No code that can panic runs while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was read of a directory, if that is current. `is_current` is asked after a second.
    pub(super) fn find(
        &self,
        directory: &[u8],
        part: &R::Part,
        second: u32,
        is_current: impl FnOnce(&R) -> bool,
    ) -> Option<Arc<R>> {
        let mut kept = self.lock();
        let entry = kept.find(directory, part).filter(|entry| entry.fresh)?;
        if second.wrapping_sub(entry.second) > 1 {
            if !is_current(&entry.read) {
                return None;
            }
            entry.second = second;
        }
        Some(Arc::clone(&entry.read))
    }

    /// Creates a reading of a directory.
    pub(super) fn begin(&self, directory: &[u8], part: R::Part, second: u32) -> Reading<R> {
        let mut kept = self.lock();
        kept.begun += 1;
        Reading { readings: self.clone(), directory: directory.into(), part, number: kept.begun, second }
    }

    /// Takes note of a change at `path`, relative to the root.
    pub(super) fn forget(&self, path: &[u8]) {
        let mut kept = self.lock();
        kept.changes += 1;
        let (parent, _) = resolve::split(path);
        for entry in kept.entries.iter_mut().filter(|entry| *entry.directory == *parent) {
            entry.fresh = false;
        }
    }

    /// Removes all: anything may have changed.
    pub(super) fn clear(&self) {
        let mut kept = self.lock();
        kept.changes += 1;
        kept.entries.clear();
    }
}

impl<R: Read> Reading<R> {
    /// Reads, unless another one has read the same since this one was created.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn run(self, read: impl FnOnce(&[u8], &R::Part) -> io::Result<R>) -> io::Result<Arc<R>> {
        let Self { readings, directory, part, number, second } = self;
        let (begun, changes) = {
            let mut kept = readings.lock();
            if let Some(entry) = kept.find(&directory, &part)
                && entry.begun >= number
            {
                return Ok(Arc::clone(&entry.read));
            }
            (kept.begun, kept.changes)
        };
        let read = Arc::new(read(&directory, &part)?);
        let mut kept = readings.lock();
        let fresh = kept.changes == changes;
        kept.keep(Entry { directory, part, read: Arc::clone(&read), begun, second, fresh });
        Ok(read)
    }
}

impl<R: Read> Kept<R> {
    /// What was read of a directory. There is one at most.
    fn find(&mut self, directory: &[u8], part: &R::Part) -> Option<&mut Entry<R>> {
        self.entries.iter_mut().find(|entry| *entry.directory == *directory && entry.part == *part)
    }

    /// Keeps an entry, which replaces the one of the same. Drops the oldest entries beyond the
    /// limits.
    fn keep(&mut self, entry: Entry<R>) {
        self.entries.retain(|other| other.directory != entry.directory || other.part != entry.part);
        self.entries.push_back(entry);
        let memory = |entries: &VecDeque<Entry<R>>| entries.iter().map(|entry| entry.read.memory()).sum::<usize>();
        while self.entries.len() > self.limit || (self.entries.len() > 1 && memory(&self.entries) > self.memory_limit) {
            self.entries.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Text(&'static str);

    impl Read for Text {
        type Part = u8;

        fn memory(&self) -> usize {
            self.0.len()
        }
    }

    fn run(reading: Reading<Text>, text: &'static str) -> Arc<Text> {
        reading.run(|_, _| Ok(Text(text))).unwrap()
    }

    #[test]
    fn it_is_kept_until_something_changes_and_for_a_second_if_it_is_not_known_to_be_current() {
        let readings: Readings<Text> = Readings::new(4, 100);
        let find = |second, is_current| readings.find(b"d", &0, second, |_| is_current).map(|text| text.0);
        assert_eq!(find(7, true), None);
        run(readings.begin(b"d", 0, 7), "first");
        assert_eq!((find(7, false), find(8, false), find(9, false)), (Some("first"), Some("first"), None));
        assert_eq!((find(9, true), find(10, false), find(11, false)), (Some("first"), Some("first"), None));
        assert!(readings.find(b"d", &1, 7, |_| true).is_none(), "another part");
        assert!(readings.find(b"", &0, 7, |_| true).is_none(), "another directory");
        for elsewhere in ["e/a", "a", "d/e/a", "d"] {
            readings.forget(elsewhere.as_bytes());
            assert_eq!(find(10, true), Some("first"), "{elsewhere}");
        }
        readings.forget(b"d/a");
        assert_eq!(find(10, true), None);
        run(readings.begin(b"d", 0, 10), "second");
        assert_eq!(find(10, true), Some("second"));
        readings.clear();
        assert_eq!(find(10, true), None);
    }

    #[test]
    fn those_that_wait_for_the_same_share_one_reading() {
        let readings = Readings::new(4, 100);
        let [first, second, other] = [0, 0, 1].map(|part| readings.begin(b"d", part, 7));
        let read = run(first, "first");
        let later = readings.begin(b"d", 0, 7);
        assert!(Arc::ptr_eq(&read, &run(second, "second")), "the reading began after both were created");
        assert_eq!((run(other, "other").0, run(later, "later").0), ("other", "later"));
    }

    #[test]
    fn a_change_during_the_reading_makes_it_stale() {
        let readings = Readings::new(4, 100);
        let reading = readings.begin(b"d", 0, 7);
        readings.forget(b"d/a");
        run(reading, "after the change");
        assert!(readings.find(b"d", &0, 7, |_| true).is_some());
        let reading = readings.begin(b"d", 0, 7);
        let read = reading.run(|_, _| {
            readings.forget(b"d/a");
            Ok(Text("perhaps before the change"))
        });
        assert!(read.is_ok() && readings.find(b"d", &0, 7, |_| true).is_none());
    }

    #[test]
    fn the_number_and_the_memory_are_bounded() {
        let readings = Readings::new(3, 10);
        let kept = || (0..9).filter(|part| readings.find(b"d", part, 7, |_| true).is_some()).collect::<Vec<_>>();
        for part in 0..5 {
            run(readings.begin(b"d", part, 7), "abc");
        }
        assert_eq!(kept(), [2, 3, 4]);
        run(readings.begin(b"d", 5, 7), "abcdef");
        assert_eq!(kept(), [4, 5]);
        run(readings.begin(b"d", 6, 7), "a larger one is kept");
        assert_eq!(kept(), [6]);
    }

    #[test]
    fn an_error_is_not_kept() {
        let readings: Readings<Text> = Readings::new(3, 10);
        assert!(readings.begin(b"d", 0, 7).run(|_, _| Err(io::ErrorKind::NotFound.into())).is_err());
        assert!(readings.find(b"d", &0, 7, |_| true).is_none());
    }
}
