//! The list of all keys and values, made while the client reads it.
//!
//! A list is a cursor over the live store: it stores the last key, and takes a few records
//! at a time after that. So the memory of a list doesn't depend on the number of records. A
//! record that is written meanwhile appears as it is when its key is reached. Each key
//! appears once at most, in order.

use std::cell::RefCell;
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;
use std::vec;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::JSON;
use crate::app::{Pull, Source};
use crate::durable::Store;
use crate::reactor::Tick;
use crate::text::json;

/// The format of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// One object with all keys.
    Object,
    /// An object with one key on each line.
    Lines,
}

impl Format {
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Object => JSON.1,
            Self::Lines => "application/x-ndjson",
        }
    }
}

/// Records that are taken from the store at a time.
const BATCH: usize = 64;

/// The store, which the service shares with its lists. It is borrowed for one call at a time.
pub(super) type SharedStore = Rc<StoreCell>;
pub(super) struct StoreCell(RefCell<Store>);

impl StoreCell {
    pub(super) fn new(store: Store) -> SharedStore {
        Rc::new(Self(RefCell::new(store)))
    }

    /// Lends the store to `call`.
    pub(super) fn with<R>(&self, call: impl FnOnce(&mut Store) -> R) -> R {
        call(&mut self.0.borrow_mut())
    }
}

/// A key and its record.
type Entry = (Arc<[u8]>, Arc<[u8]>);

/// A list that is being sent.
pub(super) struct Listing {
    store: SharedStore,
    /// The Unix second of the request. Records that have expired by then are left out.
    now: i64,
    /// The last key that was taken from the store.
    last: Option<Arc<[u8]>>,
    records: vec::IntoIter<Entry>,
    format: Format,
    /// Written, and not yet pulled.
    rest: Vec<u8>,
    taken: usize,
    /// No record was written yet.
    first: bool,
    ended: bool,
    _counted: Rc<()>,
}

impl Listing {
    /// The list of `store` at the Unix second `now`.
    pub(super) fn new(store: SharedStore, now: i64, format: Format, counted: Rc<()>) -> Self {
        Self {
            store,
            now,
            last: None,
            records: Vec::new().into_iter(),
            format,
            rest: Vec::new(),
            taken: 0,
            first: true,
            ended: false,
            _counted: counted,
        }
    }

    /// The next record.
    fn record(&mut self) -> Option<Entry> {
        if let Some(record) = self.records.next() {
            return Some(record);
        }
        let after = match &self.last {
            Some(key) => Bound::Excluded(&**key),
            None => Bound::Unbounded,
        };
        let batch: Vec<Entry> = self.store.with(|store| {
            let records = store.range((after, Bound::Unbounded), self.now);
            records.take(BATCH).map(|(key, record)| (Arc::clone(key), Arc::clone(&record.value))).collect()
        });
        self.last = batch.last().map(|(key, _)| Arc::clone(key)).or(self.last.take());
        self.records = batch.into_iter();
        self.records.next()
    }

    /// Writes the next part.
    fn next(&mut self) {
        self.taken = 0;
        self.rest.clear();
        let Some((key, value)) = self.record() else {
            self.ended = true;
            if self.format == Format::Object {
                self.rest.extend_from_slice(if self.first { b"{}\n" } else { b"}\n" });
            }
            return;
        };
        let before: &[u8] = match self.format {
            Format::Lines => b"{",
            Format::Object if self.first => b"{",
            Format::Object => b",\n",
        };
        self.first = false;
        self.rest.extend_from_slice(before);
        self.rest.extend_from_slice(json::to_string(&String::from_utf8_lossy(&key)).as_bytes());
        self.rest.push(b':');
        write_value(&value, &mut self.rest);
        if self.format == Format::Lines {
            self.rest.extend_from_slice(b"}\n");
        }
    }
}

impl Source for Listing {
    fn pull(&mut self, out: &mut Vec<u8>, room: usize, _now: Tick) -> Pull {
        let end = out.len() + room;
        loop {
            let rest = &self.rest[self.taken..];
            let count = rest.len().min(end - out.len());
            out.extend_from_slice(&rest[..count]);
            self.taken += count;
            if self.taken < self.rest.len() || out.len() == end {
                return Pull::More;
            }
            if self.ended {
                return Pull::End;
            }
            self.next();
        }
    }

    fn memory(&self) -> usize {
        self.records.len() * size_of::<(Arc<[u8]>, Arc<[u8]>)>() + self.rest.capacity()
    }
}

/// A record's value as JSON on one line.
fn write_value(record: &[u8], out: &mut Vec<u8>) {
    match record.split_first() {
        // Line breaks between JSON tokens may be spaces.
        Some((tag, value)) if *tag == JSON.0 => {
            out.extend(value.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
        }
        Some((_, value)) => {
            let text = std::str::from_utf8(value).map(str::to_owned);
            let text =
                text.unwrap_or_else(|_| format!("data:application/octet-stream;base64,{}", STANDARD.encode(value)));
            out.extend_from_slice(json::to_string(&text).as_bytes());
        }
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::{Change, Record};

    /// The list of records, pulled with this much room each time.
    fn list(records: &[(&str, &[u8])], format: Format, room: usize) -> String {
        let mut store = Store::in_memory(1 << 20);
        for (key, value) in records {
            let record = Record { value: (*value).into(), expires: None };
            let _ = store.write(vec![Change::Put(key.as_bytes().into(), record)], 0).unwrap();
        }
        let mut listing = Listing::new(StoreCell::new(store), 0, format, Rc::default());
        let mut text = Vec::new();
        loop {
            let before = text.len();
            let pull = listing.pull(&mut text, room, Tick::default());
            assert!(text.len() - before <= room);
            if pull == Pull::End {
                return String::from_utf8(text).unwrap();
            }
        }
    }

    #[test]
    fn each_kind_of_value_with_any_room() {
        let records: [(&str, &[u8]); 4] =
            [("a\"b", b"j{\"n\":\r\n [1]}"), ("c/d", b"otext\n"), ("e", b"o\xff\x00"), ("f", b"o")];
        let data = "data:application/octet-stream;base64,/wA=";
        for room in [1, 2, 7, 1000] {
            let object =
                format!("{{\"a\\\"b\":{{\"n\":   [1]}},\n\"c/d\":\"text\\n\",\n\"e\":\"{data}\",\n\"f\":\"\"}}\n");
            assert_eq!(list(&records, Format::Object, room), object);
            let lines = format!(
                "{{\"a\\\"b\":{{\"n\":   [1]}}}}\n{{\"c/d\":\"text\\n\"}}\n{{\"e\":\"{data}\"}}\n{{\"f\":\"\"}}\n"
            );
            assert_eq!(list(&records, Format::Lines, room), lines);
            assert_eq!(
                (list(&[], Format::Object, room).as_str(), list(&[], Format::Lines, room).as_str()),
                ("{}\n", "")
            );
        }
    }

    #[test]
    fn a_list_takes_a_few_records_at_a_time_and_each_key_once() {
        let put = |store: &mut Store, key: &str| {
            let record = Record { value: b"j1".as_slice().into(), expires: None };
            let _ = store.write(vec![Change::Put(key.as_bytes().into(), record)], 0).unwrap();
        };
        let mut store = Store::in_memory(1 << 20);
        (0..1_000).for_each(|number| put(&mut store, &format!("key {number:03}")));
        let store = StoreCell::new(store);
        let mut listing = Listing::new(Rc::clone(&store), 0, Format::Lines, Rc::default());
        let mut text = Vec::new();
        assert_eq!(listing.pull(&mut text, 100, Tick::default()), Pull::More);
        assert!(listing.records.len() < BATCH, "nothing is collected beyond a batch");
        // A new record before the cursor doesn't appear, one after it does.
        store.with(|store| {
            put(store, "a");
            put(store, "key 500a");
            let _ = store.write(vec![Change::Remove(b"key 999".as_slice().into())], 0).unwrap();
        });
        while listing.pull(&mut text, 1_000, Tick::default()) == Pull::More {}
        let text = String::from_utf8(text).unwrap();
        let keys: Vec<&str> = text.lines().collect();
        assert_eq!((keys.len(), keys[0], keys[1_000 - 1]), (1_000, "{\"key 000\":1}", "{\"key 998\":1}"));
        assert!(keys.is_sorted() && keys[501] == "{\"key 500a\":1}");
    }
}
