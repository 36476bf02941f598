//! The list of everything, made as its reader takes it.
//!
//! It is of one moment: keys and values are shared with the store, so what a list
//! costs is two references a record, and what is overwritten while it is read.

use std::rc::Rc;
use std::sync::Arc;
use std::vec;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::JSON;
use crate::app::{Pull, Source};
use crate::reactor::Tick;
use crate::text::json;

/// How a list is written.
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

/// A key and its record.
type Entry = (Arc<[u8]>, Arc<[u8]>);

/// A list on its way.
pub(super) struct Listing {
    records: vec::IntoIter<Entry>,
    format: Format,
    /// Written and not yet taken.
    rest: Vec<u8>,
    taken: usize,
    /// The first record is still to come.
    first: bool,
    ended: bool,
    _counted: Rc<()>,
}

impl Listing {
    pub(super) fn new(records: Vec<Entry>, format: Format, counted: Rc<()>) -> Self {
        Self {
            records: records.into_iter(),
            format,
            rest: Vec::new(),
            taken: 0,
            first: true,
            ended: false,
            _counted: counted,
        }
    }

    /// Writes what comes next.
    fn next(&mut self) {
        self.taken = 0;
        self.rest.clear();
        let Some((key, value)) = self.records.next() else {
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
        self.rest.extend_from_slice(json::string(&*key).to_string().as_bytes());
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
        // Where JSON may be broken into lines it may be joined with spaces.
        Some((tag, value)) if *tag == JSON.0 => {
            out.extend(value.iter().map(|octet| if matches!(octet, b'\n' | b'\r') { b' ' } else { *octet }));
        }
        Some((_, value)) if std::str::from_utf8(value).is_ok() => {
            out.extend_from_slice(json::string(value).to_string().as_bytes());
        }
        Some((_, value)) => {
            let uri = format!("\"data:application/octet-stream;base64,{}\"", STANDARD.encode(value));
            out.extend_from_slice(uri.as_bytes());
        }
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list of records, pulled with this much room each time.
    fn list(records: &[(&str, &[u8])], format: Format, room: usize) -> String {
        let records = records.iter().map(|(key, value)| (key.as_bytes().into(), (*value).into())).collect();
        let mut listing = Listing::new(records, format, Rc::default());
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
    fn every_kind_of_value_with_any_room() {
        let records: [(&str, &[u8]); 4] =
            [("a\"b", b"j{\"n\":\r\n [1]}"), ("c/d", b"otext\n"), ("e", b"o\xff\x00"), ("f", b"o")];
        let data = "data:application/octet-stream;base64,/wA=";
        for room in [1, 2, 7, 1000] {
            let object =
                format!("{{\"a\\\"b\":{{\"n\":   [1]}},\n\"c/d\":\"text\\u000a\",\n\"e\":\"{data}\",\n\"f\":\"\"}}\n");
            assert_eq!(list(&records, Format::Object, room), object);
            let lines = format!(
                "{{\"a\\\"b\":{{\"n\":   [1]}}}}\n{{\"c/d\":\"text\\u000a\"}}\n{{\"e\":\"{data}\"}}\n{{\"f\":\"\"}}\n"
            );
            assert_eq!(list(&records, Format::Lines, room), lines);
            assert_eq!(
                (list(&[], Format::Object, room).as_str(), list(&[], Format::Lines, room).as_str()),
                ("{}\n", "")
            );
        }
    }
}
