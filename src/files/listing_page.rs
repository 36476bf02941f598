//! A listing as a page for people or as JSON for programs.
//!
//! The page is never in memory as a whole: a [`Rendering`] writes the next piece when there
//! is room for it. All requests for the same listing share its entries.
//!
//! A name is any bytes but NUL and slash. It may have been chosen by an attacker who may
//! write below the root. In text, markup and control characters are escaped, and what
//! isn't UTF-8 shows as U+FFFD. In a reference every byte but the unreserved ones
//! (RFC 3986 §2.3) is percent-encoded, so that it leads to the exact name, and `./` in
//! front keeps `javascript:x` from being a scheme.

use std::sync::Arc;

use askama::Template;
use percent_encoding::percent_encode;
use serde::Serialize;

use super::listing::{ENCODED, Listing, Row, Sort};
use crate::http::date;
use crate::text::{json, size};

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
    /// What comes behind the rows of a page.
    tail: String,
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
        Rendering { listing, format, next: Part::Head, made: String::new(), sent: 0, tail: String::new() }
    }

    /// Bytes of memory that it holds: of the entries, its share.
    pub fn memory(&self) -> usize {
        self.listing.memory / Arc::strong_count(&self.listing) + self.made.capacity() + self.tail.capacity()
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
        let Rendering { listing, format, made, tail, .. } = self;
        let row_or_tail = |i: usize| if i < listing.rows.len() { Part::Row(i) } else { Part::Tail };
        self.next = match self.next {
            Part::Head => {
                match format {
                    Format::Html => (*made, *tail) = html_frame(listing),
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
                    Format::Html => *made = std::mem::take(tail),
                    Format::Json => made.push_str("\n]\n"),
                }
                Part::Nothing
            }
            Part::Nothing => Part::Nothing,
        };
    }
}

/// A page without its rows.
#[derive(Template)]
#[template(path = "listing.html", config = "src/askama.toml")]
struct Frame<'a> {
    path: &'a str,
    crumbs: Vec<Crumb<'a>>,
    columns: [Column; 3],
    /// Stands for the rows.
    rows: &'static str,
    /// The query of the next page.
    next: Option<&'a str>,
    is_empty: bool,
}

/// Stands for the rows while a page is made. No text contains it.
const ROWS: &str = "\0";

/// A directory on the way to the one that is listed, with a link to it; the last is that one.
struct Crumb<'a> {
    name: &'a str,
    reference: String,
}

/// A column of the table, whose title is a link that sorts by it.
struct Column {
    key: &'static str,
    title: &'static str,
    sorted: bool,
    descending: bool,
}

impl Column {
    fn sort_state(&self) -> &'static str {
        if self.descending { "descending" } else { "ascending" }
    }

    fn mark(&self) -> &'static str {
        match (self.sorted, self.descending) {
            (false, _) => "",
            (true, false) => " \u{25b2}",
            (true, true) => " \u{25bc}",
        }
    }

    /// The sorted column changes its direction; another one begins ascending.
    fn next_order(&self) -> &'static str {
        if self.sorted && !self.descending { "desc" } else { "asc" }
    }
}

/// An entry on a page.
#[derive(Template)]
#[template(path = "listing_row.html", config = "src/askama.toml")]
struct RowPart<'a> {
    reference: &'a str,
    name: &'a str,
    directory: bool,
    slash: &'static str,
    size: u64,
    shown_size: &'a str,
    modified: &'a str,
    date: &'a str,
    time: &'a str,
}

/// What comes before the rows of a page, and behind them.
fn html_frame(listing: &Listing) -> (String, String) {
    let columns = [(Sort::Name, "Name"), (Sort::Size, "Size"), (Sort::Modified, "Modified (UTC)")];
    let columns = columns.map(|(by, title)| Column {
        key: by.key(),
        title,
        sorted: by == listing.page.order.by,
        descending: listing.page.order.descending,
    });
    let path = printable(&listing.path);
    let names: Vec<_> = path.split_inclusive('/').collect();
    let crumbs = names.iter().enumerate();
    let crumbs = crumbs.map(|(at, name)| Crumb { name, reference: "../".repeat(names.len() - 1 - at) }).collect();
    let next = listing.next_query();
    let is_empty = listing.rows.is_empty() && listing.page.after.is_none();
    let page = Frame { path: &path, crumbs, columns, rows: ROWS, next: next.as_deref(), is_empty };
    // Rendering into a String fails only if the formatting of a value fails.
    let page = page.render().unwrap_or_default();
    let (head, tail) = page.split_once(ROWS).unwrap_or_default();
    // A template loses its last line feed.
    (head.to_owned(), format!("{tail}\n"))
}

fn html_row(out: &mut String, row: &Row) {
    let modified = rfc3339(row.modified_s);
    let part = RowPart {
        reference: &percent_encode(&row.name, ENCODED).to_string(),
        name: &printable(&row.name),
        directory: row.directory,
        slash: if row.directory { "/" } else { "" },
        size: row.size,
        shown_size: &size::shown(row.size),
        modified: &modified,
        date: modified.get(..10).unwrap_or_default(),
        time: modified.get(11..16).unwrap_or_default(),
    };
    // As above.
    let _ = part.render_into(out);
    out.push('\n');
}

/// An entry as JSON.
#[derive(Serialize)]
struct JsonRow<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    size: u64,
    modified: &'a str,
}

fn json_row(out: &mut String, row: &Row, first: bool) {
    out.push_str(if first { "\n" } else { ",\n" });
    let row = JsonRow {
        name: &String::from_utf8_lossy(&row.name),
        kind: if row.directory { "directory" } else { "file" },
        size: row.size,
        modified: &rfc3339(row.modified_s),
    };
    out.push_str(&json::to_string(&row));
}

/// A time in the form of RFC 3339.
fn rfc3339(unix_seconds: i64) -> String {
    let mut text = Vec::new();
    date::write_rfc3339(unix_seconds, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// A name or a path as text. Line feed and tab are no more visible in it than other control
/// characters, and become U+FFFD as well.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::super::listing::Page;
    use super::*;

    fn row(name: &str, size: u64, modified_s: i64) -> Row {
        Row { name: name.into(), directory: false, size, modified_s }
    }

    fn listing(path: &str, rows: Vec<Row>) -> Listing {
        Listing { path: path.into(), rows, page: Page::default(), cut: false, memory: 0 }
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
    fn a_page_leads_to_the_next() {
        for cut in [true, false] {
            let listing = Listing { cut, ..listing("/", vec![row("a&\"", 1, 1)]) };
            let link = "<a href=\"?sort=name&#38;order=asc&#38;after=a%26%22\" rel=\"next\">";
            let html = whole(page(listing));
            assert_eq!((html.contains(link), html.contains("more entries")), (cut, cut), "{html}");
        }
        let last = Listing { page: Page::from_query(b"after=z"), ..listing("/", vec![]) };
        assert!(!whole(page(last)).contains("is empty"));
    }

    #[test]
    fn html_is_whole_and_harmless() {
        let mut rows =
            vec![row("<script>'\"&", 1536, 1_795_245_300), row("javascript:x", 0, 0), row("a b%#?\n\u{202e}é", 1, 0)];
        rows.push(Row { name: b"d\xff\xfe".to_vec(), directory: true, size: 0, modified_s: 0 });
        let html = whole(page(listing("/x<y>/", rows)));
        assert!(html.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
        assert!(html.contains("<title>Index of /x&#60;y&#62;/</title>") && html.ends_with("</body>\n</html>\n"));
        assert!(html.contains(
            "<tr><td><a href=\"./%3Cscript%3E%27%22%26\"><bdi>&#60;script&#62;&#39;&#34;&#38;</bdi></a></td>\
             <td title=\"1536 bytes\">1.5 KiB</td><td><time datetime=\"2026-11-21T07:15:00Z\">2026-11-21 07:15</time></td></tr>\n"
        ));
        assert!(html.contains("href=\"./javascript%3Ax\""));
        assert!(html.contains("href=\"./a%20b%25%23%3F%0A%E2%80%AE%C3%A9\"><bdi>a b%#?\u{fffd}\u{202e}é</bdi><"));
        assert!(html.contains("<a href=\"./d%FF%FE/\"><bdi>d\u{fffd}\u{fffd}</bdi>/</a></td><td></td>"));
        assert!(html.contains("<h1>Index of <a href=\"../\"><bdi>/</bdi></a><bdi>x&#60;y&#62;/</bdi></h1>"), "{html}");
        assert!(html.contains("<a href=\"../\">../</a>"));
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
            "[\n{\"name\":\"a\\\"\\\\\\n\\u007fé<\",\"type\":\"file\",\"size\":5,\"modified\":\"2026-11-21T07:15:00Z\"},\n\
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
}
