//! The posts of the board, and the events: one sequence of records for both.
//!
//! Each change is a record under the next number: a post, or the deletion of a post. The
//! list is the posts, newest first. The events after a number are the records with higher
//! numbers. So there is only one thing to store, to limit and to restore after a restart.

use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::durable::{Change, Record, Store, WriteError, Written};
use crate::http::event_stream;
use crate::reactor::Time;

/// Longest text, in characters.
pub(super) const TEXT: usize = 1_000;
/// Most records. Beyond it the oldest are removed.
const RECORDS: usize = 1_000;
/// Bytes that they may take: for each four bytes a character and what JSON and the store
/// add; and the same again for records that are being written to the disk.
pub(crate) const CAPACITY: usize = 2 * RECORDS * (2 * 4 * TEXT + 1_024);
/// Most missed events that a client gets when it reconnects. A client that missed more starts
/// again.
const REPLAY: usize = 100;
/// Posts do not expire.
const NOW: i64 = 0;

/// A post.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Post {
    /// When it was written, in Unix seconds.
    pub(super) at: i64,
    /// The user's name, if the author was logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// The hash of the secret that its author needs to delete it.
    pub(super) owner: String,
    pub(super) text: String,
}

/// The content of a record.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Entry {
    Post(Post),
    Gone(u64),
}

/// All posts.
pub(super) struct Posts {
    store: Store,
    /// The next record's number.
    next: u64,
    /// Records before this number are unknown.
    begin: u64,
}

impl Posts {
    /// The posts in a store.
    pub(super) fn of(mut store: Store) -> Self {
        let last = store.range(everything(), NOW).next_back().and_then(|(key, _)| number(key));
        let next = last.map_or(1, |last| last.saturating_add(1));
        Self { store, next, begin: 1 }
    }

    /// Begins to count at the milliseconds since 1970, if the store is empty. So a number from
    /// before a restart that lost everything isn't mistaken for a current one: no board gets a
    /// thousand posts in each second.
    pub(super) fn begin(&mut self, now: Time) {
        if self.next == 1 {
            let millis = now.unix_seconds.saturating_mul(1000).saturating_add(i64::from(now.unix_micros / 1000));
            self.next = u64::try_from(millis).unwrap_or_default().max(1);
            self.begin = self.next;
        }
    }

    /// Writes a post. Returns its number, and the state of the write. Old posts are removed to
    /// make room.
    ///
    /// # Errors
    /// If the store is full.
    pub(super) fn add(&mut self, post: Post) -> Result<(u64, Written), WriteError> {
        self.write(Entry::Post(post), Vec::new())
    }

    /// What operators may want to know.
    pub(super) fn figures(&self) -> Vec<(&'static str, u64)> {
        self.store.figures()
    }

    /// Removes a post.
    ///
    /// # Errors
    /// If the store is full.
    pub(super) fn remove(&mut self, post: u64) -> Result<Written, WriteError> {
        let changes = vec![Change::Remove(key(post).into())];
        self.write(Entry::Gone(post), changes).map(|(_, written)| written)
    }

    fn write(&mut self, entry: Entry, mut changes: Vec<Change>) -> Result<(u64, Written), WriteError> {
        let number = self.next;
        let count = self.store.range(everything(), NOW).count();
        let oldest = self.store.range(everything(), NOW).take((count + 1).saturating_sub(RECORDS));
        changes.extend(oldest.map(|(key, _)| Change::Remove(key.clone())));
        // It fails only for maps with keys that are no text.
        let value = serde_json::to_vec(&entry).expect("no maps");
        changes.push(Change::Put(key(number).into(), Record { value: value.into(), expires: None }));
        let written = self.store.write(changes, NOW)?;
        self.next += 1;
        Ok((number, written))
    }

    /// The post with this number.
    pub(super) fn get(&mut self, post: u64) -> Option<Post> {
        match self.store.get(&key(post), NOW).and_then(entry)? {
            Entry::Post(post) => Some(post),
            Entry::Gone(_) => None,
        }
    }

    /// At most `most` posts before a number, newest first; and whether there are more.
    pub(super) fn before(&mut self, number: Option<u64>, most: usize) -> (Vec<(u64, Post)>, bool) {
        let end = number.map(key);
        let end = end.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(&key[..]));
        let records = self.store.range((Bound::Unbounded, end), NOW).rev();
        let mut posts = records.filter_map(|(key, record)| match entry(record)? {
            Entry::Post(post) => Some((self::number(key)?, post)),
            Entry::Gone(_) => None,
        });
        (posts.by_ref().take(most).collect(), posts.next().is_some())
    }

    /// The number of the last change.
    pub(super) fn last(&mut self) -> u64 {
        let last = self.store.range(everything(), NOW).next_back().and_then(|(key, _)| number(key));
        last.unwrap_or(self.begin - 1)
    }

    /// Appends the events after number `seen`, about `room` bytes. Returns the number of the last
    /// one. `show` writes a post as JSON.
    pub(super) fn events(
        &mut self,
        seen: u64,
        out: &mut Vec<u8>,
        room: usize,
        show: impl Fn(u64, Post) -> String,
    ) -> u64 {
        let (last, full) = (self.last(), out.len() + room);
        let from = key(seen.saturating_add(1));
        let missed = self.store.range((Bound::Included(&from[..]), Bound::Unbounded), NOW);
        if seen.saturating_add(1) < self.begin || seen > last || missed.count() > REPLAY {
            event_stream::event(last, "reload", "", out);
            return last;
        }
        let mut told = seen;
        for (key, record) in self.store.range((Bound::Included(&from[..]), Bound::Unbounded), NOW) {
            if out.len() >= full {
                break;
            }
            let Some(number) = number(key) else { continue };
            match entry(record) {
                Some(Entry::Post(post)) => event_stream::event(number, "post", &show(number, post), out),
                Some(Entry::Gone(post)) => event_stream::event(number, "gone", &post.to_string(), out),
                None => {}
            }
            told = number;
        }
        told
    }
}

fn everything() -> (Bound<&'static [u8]>, Bound<&'static [u8]>) {
    (Bound::Unbounded, Bound::Unbounded)
}

/// The key of a number: bytes that sort as the numbers do.
fn key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

fn number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// The content of a record, unless another program wrote something else.
fn entry(record: &Record) -> Option<Entry> {
    serde_json::from_slice(&record.value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(text: &str) -> Post {
        Post { at: 7, name: None, owner: "o".to_owned(), text: text.to_owned() }
    }

    fn board() -> Posts {
        Posts::of(Store::in_memory(CAPACITY))
    }

    fn add(posts: &mut Posts, text: &str) -> u64 {
        let (number, written) = posts.add(post(text)).unwrap();
        assert!(matches!(written, Written::Now(_)));
        number
    }

    fn texts(posts: &mut Posts, before: Option<u64>) -> Vec<String> {
        posts.before(before, usize::MAX).0.into_iter().map(|(_, post)| post.text).collect()
    }

    fn events(posts: &mut Posts, seen: u64, room: usize) -> (String, u64) {
        let mut out = b"before".to_vec();
        let told = posts.events(seen, &mut out, room, |_, post| post.text);
        (String::from_utf8(out).unwrap()["before".len()..].to_owned(), told)
    }

    fn at(unix_seconds: i64) -> Time {
        Time { unix_seconds, ..Time::default() }
    }

    #[test]
    fn the_list_is_newest_first_and_the_events_are_what_was_missed() {
        let mut posts = board();
        assert_eq!(posts.last(), 0);
        for text in ["a", "b", "c"] {
            add(&mut posts, text);
        }
        assert_eq!(texts(&mut posts, None), ["c", "b", "a"]);
        assert_eq!(texts(&mut posts, Some(3)), ["b", "a"]);
        assert_eq!(posts.before(None, 2), (vec![(3, post("c")), (2, post("b"))], true));
        assert!(!posts.before(None, 3).1 && !posts.before(Some(2), 1).1);
        assert!(matches!(posts.remove(2), Ok(Written::Now(true))));
        assert_eq!(texts(&mut posts, None), ["c", "a"]);
        assert_eq!((posts.get(2), posts.get(4), posts.get(3)), (None, None, Some(post("c"))));
        assert_eq!(events(&mut posts, 1, 999).0, "id: 3\nevent: post\ndata: c\n\nid: 4\nevent: gone\ndata: 2\n\n");
        assert_eq!(events(&mut posts, 3, 1), ("id: 4\nevent: gone\ndata: 2\n\n".into(), 4));
        assert_eq!(events(&mut posts, 0, 1), ("id: 1\nevent: post\ndata: a\n\n".into(), 1));
        assert_eq!(events(&mut posts, 4, 999), (String::new(), 4));
        assert_eq!(posts.last(), 4);
    }

    #[test]
    fn the_oldest_are_removed() {
        let mut posts = board();
        for n in 1..=RECORDS + 5 {
            add(&mut posts, &n.to_string());
        }
        let texts = texts(&mut posts, None);
        assert_eq!((texts.len(), &*texts[0], &*texts[RECORDS - 1]), (RECORDS, "1005", "6"));
    }

    #[test]
    fn the_longest_posts_fit() {
        let mut posts = board();
        for _ in 0..RECORDS + 5 {
            add(&mut posts, &"\u{1f980}".repeat(TEXT));
        }
        let mut posts = board();
        for _ in 0..RECORDS + 5 {
            add(&mut posts, &"\"".repeat(TEXT));
        }
    }

    #[test]
    fn a_client_that_missed_too_much_or_knows_another_board_starts_again() {
        let mut posts = board();
        for n in 1..=REPLAY + 1 {
            add(&mut posts, &n.to_string());
        }
        let last = REPLAY as u64 + 1;
        let reload = (format!("id: {last}\nevent: reload\ndata: \n\n"), last);
        assert_eq!(events(&mut posts, 0, 999), reload);
        assert_eq!(events(&mut posts, last + 1, 999), reload);
        assert_eq!(events(&mut posts, u64::MAX, 999), reload);
        assert_eq!(events(&mut posts, 1, 100_000).0.matches("event: post").count(), REPLAY);
        assert_eq!(events(&mut posts, last, 999), (String::new(), last));
    }

    #[test]
    fn a_board_that_lost_its_posts_does_not_reuse_their_numbers() {
        let mut posts = board();
        posts.begin(at(1_800_000_000));
        posts.begin(at(1_900_000_000));
        let last = 1_800_000_000_000 - 1;
        assert_eq!(posts.last(), last);
        assert_eq!(events(&mut posts, last, 999), (String::new(), last));
        assert_eq!(add(&mut posts, "a"), last + 1);
        assert!(events(&mut posts, last - 1, 999).0.contains("event: reload"));
        assert!(events(&mut posts, last, 999).0.contains("data: a"));
        // A restart within the same second, after two posts.
        let mut restarted = board();
        restarted.begin(Time { unix_micros: 3_000, ..at(1_800_000_000) });
        assert!(restarted.last() > posts.last());
    }

    #[test]
    fn a_restart_continues_with_the_posts_on_disk() {
        let files = crate::files::scratch::Scratch::new();
        let open = || Posts::of(Store::open(files.path(), "board", CAPACITY).unwrap());
        let mut posts = open();
        posts.begin(at(1_800_000_000));
        for text in ["a", "b"] {
            let (_, Written::Later(commit)) = posts.add(post(text)).unwrap() else { panic!("not on disk") };
            assert!(texts(&mut posts, None).first().is_none_or(|newest| newest != text), "seen before it is kept");
            commit.wait().unwrap();
        }
        drop(posts);
        let mut posts = open();
        assert_eq!((texts(&mut posts, None), posts.last()), (vec!["b".to_owned(), "a".to_owned()], 1_800_000_000_001));
        posts.begin(at(1_900_000_000));
        assert!(events(&mut posts, 1_800_000_000, 999).0.contains("data: b"));
    }
}
