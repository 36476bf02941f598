//! A listing as a page for people or as JSON for programs.
//!
//! The page is never in memory as a whole: a [`Rendering`] writes the next piece where
//! there is room for it, from entries that all who ask for the same listing share.
//!
//! A name is any bytes but NUL and slash, chosen by anybody who may write below the root,
//! perhaps an uploader. In text, markup and control characters are escaped, and what
//! isn't UTF-8 shows as U+FFFD. In a reference every byte but the unreserved ones
//! (RFC 3986 §2.3) is percent-encoded, so that it leads to the exact name, and `./` in
//! front keeps `javascript:x` from being a scheme.

use std::fmt::{Arguments, Write};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::listing::{Listing, Row, Sort};
use crate::http::date;
use crate::text::{html, json};

/// What a listing is written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// HTML, in UTF-8. Its references are relative: the page must be served at a path
    /// that ends with a slash.
    Html,
    /// JSON (RFC 8259): an array of objects with `name`, `type` (`file` or `directory`),
    /// `size` in bytes (0 for a directory) and `modified` (RFC 3339, UTC). A name that
    /// isn't UTF-8 has U+FFFD in it.
    Json,
}

impl Format {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
        }
    }
}

/// A listing on its way out.
#[derive(Debug)]
pub struct Rendering {
    listing: Arc<Listing>,
    format: Format,
    next: Part,
    /// What was made but had no room yet, from `sent` on. One row, or the head:
    /// some kilobytes at most.
    made: String,
    sent: usize,
}

/// What is to be made next.
#[derive(Clone, Copy, Debug)]
enum Part {
    Head,
    Row(usize),
    Tail,
    Nothing,
}

impl Rendering {
    /// Begins to write a listing.
    pub fn new(listing: Arc<Listing>, format: Format) -> Rendering {
        Rendering { listing, format, next: Part::Head, made: String::new(), sent: 0 }
    }

    /// Bytes of memory that it holds: of the entries, its share.
    pub fn memory(&self) -> usize {
        self.listing.memory / Arc::strong_count(&self.listing) + self.made.capacity()
    }

    /// Appends at most `room` bytes to `out`; true if there is more to come.
    pub fn write_some(&mut self, out: &mut Vec<u8>, mut room: usize) -> bool {
        loop {
            let rest = &self.made.as_bytes()[self.sent..];
            let now = rest.len().min(room);
            out.extend_from_slice(&rest[..now]);
            self.sent += now;
            room -= now;
            if self.sent < self.made.len() {
                return true;
            }
            self.made.clear();
            self.sent = 0;
            if matches!(self.next, Part::Nothing) {
                return false;
            }
            self.make();
        }
    }

    /// Makes the next part.
    fn make(&mut self) {
        let Rendering { listing, format, made, .. } = self;
        let row_or_tail = |i: usize| if i < listing.rows.len() { Part::Row(i) } else { Part::Tail };
        self.next = match self.next {
            Part::Head => {
                match format {
                    Format::Html => html_head(made, listing),
                    Format::Json => made.push('['),
                }
                row_or_tail(0)
            }
            Part::Row(i) => {
                match format {
                    Format::Html => html_row(made, &listing.rows[i]),
                    Format::Json => json_row(made, &listing.rows[i], i == 0),
                }
                row_or_tail(i + 1)
            }
            Part::Tail => {
                match format {
                    Format::Html => html_tail(made, listing),
                    Format::Json => made.push_str("\n]\n"),
                }
                Part::Nothing
            }
            Part::Nothing => Part::Nothing,
        };
    }
}

/// `unicode-bidi: isolate` keeps a name with direction marks from rearranging
/// what stands beside it.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.3rem;overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid #8884}\
td:first-child{overflow-wrap:anywhere;unicode-bidi:isolate}\
td+td,th+th{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
tbody tr:hover{background:#8882}\
a{text-decoration:none}a:hover{text-decoration:underline}";

fn html_head(out: &mut String, listing: &Listing) {
    out.push_str(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Index of ",
    );
    put_text(out, &listing.path);
    put(out, format_args!("</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>Index of "));
    put_text(out, &listing.path);
    out.push_str("</h1>\n<table>\n<thead>\n<tr>");
    for (by, title) in [(Sort::Name, "Name"), (Sort::Size, "Size"), (Sort::Modified, "Modified (UTC)")] {
        let current = by == listing.order.by;
        let (state, mark) = match (current, listing.order.descending) {
            (false, _) => ("", ""),
            (true, false) => (" aria-sort=\"ascending\"", " \u{25b2}"),
            (true, true) => (" aria-sort=\"descending\"", " \u{25bc}"),
        };
        // The current column turns round, another begins ascending.
        let order = if current && !listing.order.descending { "desc" } else { "asc" };
        let key = by.key();
        put(out, format_args!("<th{state}><a href=\"?sort={key}&amp;order={order}\">{title}{mark}</a></th>"));
    }
    out.push_str("</tr>\n</thead>\n<tbody>\n");
    if listing.path != b"/" {
        out.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
}

fn html_row(out: &mut String, row: &Row) {
    let slash = if row.directory { "/" } else { "" };
    put(out, format_args!("<tr><td><a href=\"./{}{slash}\">", percent_encode(&row.name, ENCODED)));
    put_text(out, &row.name);
    put(out, format_args!("{slash}</a></td><td"));
    if !row.directory {
        put(out, format_args!(" title=\"{} bytes\">", row.size));
        put_size(out, row.size);
    } else {
        out.push('>');
    }
    let modified = rfc3339(row.modified_s);
    let (date, time) = (modified.get(..10).unwrap_or_default(), modified.get(11..16).unwrap_or_default());
    put(out, format_args!("</td><td><time datetime=\"{modified}\">{date} {time}</time></td></tr>\n"));
}

fn html_tail(out: &mut String, listing: &Listing) {
    out.push_str("</tbody>\n</table>\n");
    if listing.cut {
        out.push_str("<p>This directory has more entries than are shown here.</p>\n");
    } else if listing.rows.is_empty() {
        out.push_str("<p>This directory is empty.</p>\n");
    }
    out.push_str("</body>\n</html>\n");
}

fn json_row(out: &mut String, row: &Row, first: bool) {
    out.push_str(if first { "\n" } else { ",\n" });
    let kind = if row.directory { "directory" } else { "file" };
    put(
        out,
        format_args!(
            "{{\"name\":{},\"type\":\"{kind}\",\"size\":{},\"modified\":\"{}\"}}",
            json::string(&row.name),
            row.size,
            rfc3339(row.modified_s)
        ),
    );
}

/// A time in the form of RFC 3339.
fn rfc3339(unix_seconds: i64) -> String {
    let mut text = Vec::new();
    date::write_rfc3339(unix_seconds, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// All but the unreserved of RFC 3986 §2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn put(out: &mut String, what: Arguments<'_>) {
    // Writing to a String fails only if a Display does, and those used here don't.
    let _ = out.write_fmt(what);
}

/// As text or as the value of a quoted attribute. Line feed and tab are no more
/// visible in a name than other control characters, and become U+FFFD as well.
fn put_text(out: &mut String, bytes: &[u8]) {
    let name = String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}");
    put(out, format_args!("{}", html::escape(&name)));
}

/// With one decimal in the largest unit of 1,024 that leaves at least 1.
fn put_size(out: &mut String, size: u64) {
    if size < 1024 {
        return put(out, format_args!("{size} B"));
    }
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    // Tenths, rounded; in 128 bits there is no overflow.
    let tenths = |shift: usize| (u128::from(size) * 10 + (1 << (shift - 1))) >> shift;
    let mut i = 0;
    // On the rounded value, or 1,048,575 would be "1024.0 KiB".
    while tenths(10 * (i + 1)) >= 10_240 && i + 1 < units.len() {
        i += 1;
    }
    let tenths = tenths(10 * (i + 1));
    put(out, format_args!("{}.{} {}", tenths / 10, tenths % 10, units[i]));
}

#[cfg(test)]
mod tests {
    use super::super::listing::Order;
    use super::*;

    fn row(name: &str, size: u64, modified_s: i64) -> Row {
        Row { name: name.into(), directory: false, size, modified_s }
    }

    fn listing(path: &str, rows: Vec<Row>) -> Listing {
        Listing { path: path.into(), rows, order: Order::default(), cut: false, memory: 0 }
    }

    fn page(listing: Listing) -> Rendering {
        Rendering::new(Arc::new(listing), Format::Html)
    }

    fn json(listing: Listing) -> Rendering {
        Rendering::new(Arc::new(listing), Format::Json)
    }

    fn whole(mut rendering: Rendering) -> String {
        let mut out = Vec::new();
        assert!(!rendering.write_some(&mut out, usize::MAX));
        assert!(!rendering.write_some(&mut out, 10));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_page_says_when_entries_were_left_out() {
        for cut in [true, false] {
            let listing = Listing { cut, ..listing("/", vec![row("a", 1, 1)]) };
            assert_eq!(whole(page(listing)).contains("more entries"), cut);
        }
    }

    #[test]
    fn html_is_whole_and_harmless() {
        let mut rows =
            vec![row("<script>'\"&", 1536, 1_795_245_300), row("javascript:x", 0, 0), row("a b%#?\n\u{202e}é", 1, 0)];
        rows.push(Row { name: b"d\xff\xfe".to_vec(), directory: true, size: 0, modified_s: 0 });
        let html = whole(page(listing("/x<y>/", rows)));
        assert!(html.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
        assert!(html.contains("<title>Index of /x&lt;y&gt;/</title>") && html.ends_with("</body>\n</html>\n"));
        assert!(html.contains(
            "<tr><td><a href=\"./%3Cscript%3E%27%22%26\">&lt;script&gt;&#39;&quot;&amp;</a></td>\
             <td title=\"1536 bytes\">1.5 KiB</td><td><time datetime=\"2026-11-21T07:15:00Z\">2026-11-21 07:15</time></td></tr>\n"
        ));
        assert!(html.contains("href=\"./javascript%3Ax\""));
        assert!(html.contains("href=\"./a%20b%25%23%3F%0A%E2%80%AE%C3%A9\">a b%#?\u{fffd}\u{202e}é<"));
        assert!(html.contains("<a href=\"./d%FF%FE/\">d\u{fffd}\u{fffd}/</a></td><td></td>"));
        assert!(html.contains("<a href=\"../\">"));
        assert!(html.contains("<th aria-sort=\"ascending\"><a href=\"?sort=name&amp;order=desc\">Name \u{25b2}</a>"));
        assert!(html.contains("<th><a href=\"?sort=size&amp;order=asc\">Size</a>"));
        let root = whole(page(listing("/", vec![])));
        assert!(!root.contains("../") && root.contains("is empty"));
    }

    #[test]
    fn json_is_exact() {
        assert_eq!(whole(json(listing("/", vec![]))), "[\n]\n");
        let mut rows = vec![row("a\"\\\n\u{7f}é<", 5, 1_795_245_300)];
        rows.push(Row { name: b"d\xff".to_vec(), directory: true, size: 0, modified_s: -1 });
        assert_eq!(
            whole(json(listing("/", rows))),
            "[\n{\"name\":\"a\\\"\\\\\\u000a\\u007fé<\",\"type\":\"file\",\"size\":5,\"modified\":\"2026-11-21T07:15:00Z\"},\n\
             {\"name\":\"d\u{fffd}\",\"type\":\"directory\",\"size\":0,\"modified\":\"1969-12-31T23:59:59Z\"}\n]\n"
        );
    }

    #[test]
    fn every_room_gives_the_same_bytes() {
        let rows = || (0..20).map(|i| row(&format!("é<{i}>"), 1 << i, i64::from(i))).collect::<Vec<_>>();
        for render in [page, json] {
            let expected = whole(render(listing("/d/", rows())));
            for room in [1, 2, 3, 7, 64, 1_000, expected.len() - 1, expected.len()] {
                let mut rendering = render(listing("/d/", rows()));
                let mut out = Vec::new();
                assert!(rendering.write_some(&mut out, 0) && out.is_empty());
                loop {
                    let before = out.len();
                    let more = rendering.write_some(&mut out, room);
                    assert!(out.len() - before <= room);
                    if !more {
                        break;
                    }
                    assert_eq!(out.len() - before, room);
                }
                assert!(out == expected.as_bytes(), "room {room}");
            }
        }
    }

    #[test]
    fn sizes_are_rounded_into_their_unit() {
        for (size, expected) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (1_048_524, "1023.9 KiB"),
            (1_048_575, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            let mut out = String::new();
            put_size(&mut out, size);
            assert_eq!(out, expected);
        }
    }
}
