//! A directory as a page for people or as JSON for programs.
//!
//! Shown is what would be served: regular files and directories that aren't
//! hidden, and links where they are followed and lead to such. A directory may
//! be huge, so the entries looked at are bounded (the page says when some were
//! left out), and the page is never in memory as a whole: a [`Rendering`] writes
//! the next piece where there is room for it.
//!
//! A name is any octets but NUL and slash, chosen by whoever may write below the
//! root, perhaps an uploader. In text, markup and control characters are made
//! harmless and what isn't UTF-8 shows as U+FFFD; in a reference, every octet
//! but the unreserved (RFC 3986 §2.3) is percent-encoded, so that it leads to
//! the exact name, and `./` in front keeps `javascript:x` from being a scheme.

use std::cmp::Ordering;
use std::fmt::{Arguments, Write};
use std::io;
use std::os::fd::OwnedFd;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustix::fs::{AtFlags, Dir, FileType};

use super::resolve::{Metadata, Root, is_hidden};
use crate::limits;
use crate::text::{html, json};

/// What a listing is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Directories first, then by name without regard to the case of ASCII letters.
    #[default]
    Name,
    /// By content in octets; a directory counts as empty.
    Size,
    /// By time of last change.
    Modified,
}

impl Sort {
    fn key(self) -> &'static str {
        match self {
            Sort::Name => "name",
            Sort::Size => "size",
            Sort::Modified => "modified",
        }
    }
}

/// The order of a listing; by name, ascending, unless asked otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// What counts. Equals are in ascending order of their names.
    pub by: Sort,
    /// Largest, newest, or last in the alphabet first.
    pub descending: bool,
}

impl Order {
    /// From a query such as `sort=size&order=desc`. What isn't understood is as
    /// if it weren't there; the last of several counts.
    pub fn from_query(query: &[u8]) -> Order {
        let mut order = Order::default();
        for pair in query.split(|&b| b == b'&') {
            match pair {
                b"sort=name" => order.by = Sort::Name,
                b"sort=size" => order.by = Sort::Size,
                b"sort=modified" => order.by = Sort::Modified,
                b"order=asc" => order.descending = false,
                b"order=desc" => order.descending = true,
                _ => {}
            }
        }
        order
    }

    fn compare(self, a: &Row, b: &Row) -> Ordering {
        let by_name = || {
            let (x, y) = (a.name.iter(), b.name.iter());
            let folded = x.map(u8::to_ascii_lowercase).cmp(y.map(u8::to_ascii_lowercase));
            folded.then_with(|| a.name.cmp(&b.name))
        };
        let directed = |ordering: Ordering| if self.descending { ordering.reverse() } else { ordering };
        match self.by {
            Sort::Name => b.directory.cmp(&a.directory).then_with(|| directed(by_name())),
            Sort::Size => directed(a.size.cmp(&b.size)).then_with(by_name),
            Sort::Modified => directed(a.modified_s.cmp(&b.modified_s)).then_with(by_name),
        }
    }
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The name as it is on disk.
    pub name: Vec<u8>,
    /// A directory, not a regular file.
    pub directory: bool,
    /// Content in octets; 0 for a directory.
    pub size: u64,
    /// Last change, seconds since 1970 UTC; may be negative.
    pub modified_s: i64,
}

/// The entries of one directory, sorted.
#[derive(Debug)]
pub struct Listing {
    /// As shown: with a slash at both ends.
    path: Vec<u8>,
    rows: Vec<Row>,
    order: Order,
    cut: bool,
    /// Bytes of memory.
    memory: usize,
}

impl Listing {
    /// Reads the entries of `dir`, which [`Root::get`] opened at `path`. One
    /// system call an entry, and some more for a link; of a directory
    /// with more than [`limits::LISTING_ENTRIES`] entries some are left out.
    ///
    /// # Errors
    /// Of getdents64(2).
    pub fn read(root: &Root, dir: OwnedFd, path: &[u8], order: Order) -> io::Result<Listing> {
        Listing::read_at_most(root, dir, path, order, limits::LISTING_ENTRIES)
    }

    fn read_at_most(root: &Root, dir: OwnedFd, path: &[u8], order: Order, most: usize) -> io::Result<Listing> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let path = if path.is_empty() { b"/".to_vec() } else { [b"/", path, b"/"].concat() };
        let mut dir = Dir::new(dir)?;
        let mut rows = Vec::new();
        let mut looked_at = 0;
        let mut cut = false;
        while let Some(entry) = dir.read() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            // Hidden entries count too: it is the looking that takes the time.
            if looked_at == most {
                cut = true;
                break;
            }
            looked_at += 1;
            // Names that no request path can hold are as good as hidden.
            if is_hidden(name) || name.iter().any(|octet| octet.is_ascii_control() || *octet == b'\\') {
                continue;
            }
            let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
            // It may be gone by now, or a file system may fail on one entry: the others are still good.
            let Ok(stat) = rustix::fs::statat(dir.fd()?, name, flags) else { continue };
            let found = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => root.peek(&[&path[1..], name].concat()),
                _ => Metadata::of(&stat),
            };
            let Some(Metadata { directory, size, modified_s, .. }) = found else { continue };
            rows.push(Row { name: name.to_vec(), directory, size: if directory { 0 } else { size }, modified_s });
        }
        rows.sort_unstable_by(|a, b| order.compare(a, b));
        let names: usize = rows.iter().map(|row| row.name.capacity()).sum();
        let memory = path.capacity() + rows.capacity() * size_of::<Row>() + names;
        Ok(Listing { path, rows, order, cut, memory })
    }

    /// The entries in order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Whether entries were left out because there are too many.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// As HTML, in UTF-8. Its references are relative: the page must be served at
    /// a path that ends with a slash.
    pub fn html(self) -> Rendering {
        Rendering::new(self, Format::Html)
    }

    /// As JSON (RFC 8259): an array of objects with `name`, `type` (`file` or
    /// `directory`), `size` in octets (0 for a directory) and `modified` (RFC
    /// 3339, UTC). A name that isn't UTF-8 has U+FFFD in it.
    pub fn json(self) -> Rendering {
        Rendering::new(self, Format::Json)
    }
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Html,
    Json,
}

/// A listing on its way out.
#[derive(Debug)]
pub struct Rendering {
    listing: Listing,
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
    fn new(listing: Listing, format: Format) -> Rendering {
        Rendering { listing, format, next: Part::Head, made: String::new(), sent: 0 }
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.listing.memory + self.made.capacity()
    }

    /// Appends at most `room` octets to `out`; true if there is more to come.
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
    let t = Civil::from_unix(row.modified_s);
    put(
        out,
        format_args!("</td><td>{:04}-{:02}-{:02} {:02}:{:02}</td></tr>\n", t.year, t.month, t.day, t.hour, t.minute),
    );
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
    let t = Civil::from_unix(row.modified_s);
    put(
        out,
        format_args!(
            "{{\"name\":{},\"type\":\"{kind}\",\"size\":{},\"modified\":\"{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z\"}}",
            json::string(&row.name),
            row.size,
            t.year,
            t.month,
            t.day,
            t.hour,
            t.minute,
            t.second
        ),
    );
}

/// All but the unreserved of RFC 3986 §2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn put(out: &mut String, what: Arguments<'_>) {
    // Writing to a String fails only if a Display does, and those used here don't.
    let _ = out.write_fmt(what);
}

/// As text or as the value of a quoted attribute. Line feed and tab are no more
/// visible in a name than other control characters, and become U+FFFD as well.
fn put_text(out: &mut String, octets: &[u8]) {
    let name = String::from_utf8_lossy(octets).replace(char::is_control, "\u{fffd}");
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

/// A moment in the Gregorian calendar, UTC.
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Civil {
    /// From seconds since 1970. File systems hold times far beyond the four
    /// digits of a year; those are shown as the first or last second that fits.
    fn from_unix(seconds: i64) -> Civil {
        const FIRST: i64 = -62_167_219_200; // 0000-01-01T00:00:00Z
        const LAST: i64 = 253_402_300_799; // 9999-12-31T23:59:59Z
        let seconds = seconds.clamp(FIRST, LAST);
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Years are counted from 1 March, so that the leap day is the last, in eras of 400 years = 146,097 days.
        let days = days + 719_468; // from 0000-03-01
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // Five months from March, and from August, have 153 days.
        let month = (5 * day_of_year + 2) / 153; // 0 is March
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        Civil {
            year: era * 400 + year_of_era + next_year,
            month,
            day,
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::resolve::{Opened, Symlinks};
    use super::super::scratch::Scratch;
    use super::*;
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::time::{Duration, UNIX_EPOCH};

    fn open(root: &Root, path: &[u8]) -> OwnedFd {
        match root.get(path) {
            Ok(Opened::Directory { dir, .. }) => dir,
            other => panic!("{other:?}"),
        }
    }

    fn list(root: &Root, path: &[u8]) -> Listing {
        Listing::read(root, open(root, path), path, Order::default()).unwrap()
    }

    fn names(listing: &Listing) -> Vec<String> {
        listing.rows().iter().map(|row| String::from_utf8_lossy(&row.name).into_owned()).collect()
    }

    fn row(name: &str, size: u64, modified_s: i64) -> Row {
        Row { name: name.into(), directory: false, size, modified_s }
    }

    fn listing(path: &str, rows: Vec<Row>) -> Listing {
        Listing { path: path.into(), rows, order: Order::default(), cut: false, memory: 0 }
    }

    fn whole(mut rendering: Rendering) -> String {
        let mut out = Vec::new();
        assert!(!rendering.write_some(&mut out, usize::MAX));
        assert!(!rendering.write_some(&mut out, 10));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn shows_what_would_be_served() {
        let s = Scratch::new();
        for d in ["www/sub/Dir", "www/sub/.well-known", "www/sub/.git", "outside"] {
            s.directory(d);
        }
        for f in ["www/sub/b", "www/sub/A", "www/sub/.env", "www/f"] {
            s.file(f, "123");
        }
        s.fifo("www/sub/fifo");
        s.link("www/sub/link", "../f");
        s.link("www/sub/zdir", "Dir");
        s.link("www/sub/dangling", "nothing");
        s.link("www/sub/out", "../../outside");
        let root = Root::open(&s.at("www"), Symlinks::Inside).unwrap();
        if !root.fallback() {
            for path in [&b"sub"[..], b"sub/"] {
                assert_eq!(names(&list(&root, path)), [".well-known", "Dir", "zdir", "A", "b", "link"]);
            }
        }
        assert_eq!(names(&list(&root, b"")), ["sub", "f"]);
        let none = Root::open(&s.at("www"), Symlinks::None).unwrap();
        let walk = Root::open_walking(&s.at("www"), Symlinks::Inside).unwrap();
        for root in [none, walk] {
            let listing = list(&root, b"sub/");
            assert_eq!(names(&listing), [".well-known", "Dir", "A", "b"]);
            assert_eq!((listing.rows()[1].directory, listing.rows()[1].size), (true, 0));
            assert_eq!((listing.rows()[2].directory, listing.rows()[2].size), (false, 3));
        }
    }

    #[test]
    fn too_many_entries_are_cut_and_it_says_so() {
        let s = Scratch::new();
        for name in ["1", "2", "3"] {
            s.file(name, "");
        }
        let root = Root::open(s.path(), Symlinks::None).unwrap();
        let read = |most| Listing::read_at_most(&root, open(&root, b""), b"", Order::default(), most).unwrap();
        assert_eq!((read(3).rows().len(), read(3).is_cut()), (3, false));
        assert_eq!((read(2).rows().len(), read(2).is_cut()), (2, true));
        assert!(whole(read(2).html()).contains("more entries"));
        assert!(!whole(read(3).html()).contains("more entries"));
    }

    #[test]
    fn orders_come_from_the_query() {
        let order = |by, descending| Order { by, descending };
        for (query, expected) in [
            (&b""[..], order(Sort::Name, false)),
            (b"sort=size", order(Sort::Size, false)),
            (b"sort=modified&order=desc", order(Sort::Modified, true)),
            (b"order=desc", order(Sort::Name, true)),
            (b"sort=size&sort=name&order=desc&order=asc", order(Sort::Name, false)),
            (b"sort=colour&order=up&&=&x", order(Sort::Name, false)),
            (b"SORT=size", order(Sort::Name, false)),
            (b"\xff&sort=size", order(Sort::Size, false)),
        ] {
            assert_eq!(Order::from_query(query), expected, "{}", query.escape_ascii());
        }
    }

    #[test]
    fn sorts_each_way() {
        let mut rows = vec![row("b", 3, 10), row("C", 1, 30), row("a", 3, 20), row("B", 2, 10)];
        rows.push(Row { name: b"z".to_vec(), directory: true, size: 0, modified_s: 15 });
        for (query, expected) in [
            ("", "zaBbC"),
            ("order=desc", "zCbBa"),
            ("sort=size", "zCBab"),
            ("sort=size&order=desc", "abBCz"),
            ("sort=modified", "BbzaC"),
            ("sort=modified&order=desc", "CazBb"),
        ] {
            rows.sort_unstable_by(|a, b| Order::from_query(query.as_bytes()).compare(a, b));
            let got: Vec<u8> = rows.iter().flat_map(|row| row.name.clone()).collect();
            assert_eq!(got.escape_ascii().to_string(), expected, "{query}");
        }
    }

    #[test]
    fn html_is_whole_and_harmless() {
        let mut rows =
            vec![row("<script>'\"&", 1536, 1_795_245_300), row("javascript:x", 0, 0), row("a b%#?\n\u{202e}é", 1, 0)];
        rows.push(Row { name: b"d\xff\xfe".to_vec(), directory: true, size: 0, modified_s: 0 });
        let html = whole(listing("/x<y>/", rows).html());
        assert!(html.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
        assert!(html.contains("<title>Index of /x&lt;y&gt;/</title>") && html.ends_with("</body>\n</html>\n"));
        assert!(html.contains(
            "<tr><td><a href=\"./%3Cscript%3E%27%22%26\">&lt;script&gt;&#39;&quot;&amp;</a></td>\
             <td title=\"1536 bytes\">1.5 KiB</td><td>2026-11-21 07:15</td></tr>\n"
        ));
        assert!(html.contains("href=\"./javascript%3Ax\""));
        assert!(html.contains("href=\"./a%20b%25%23%3F%0A%E2%80%AE%C3%A9\">a b%#?\u{fffd}\u{202e}é<"));
        assert!(html.contains("<a href=\"./d%FF%FE/\">d\u{fffd}\u{fffd}/</a></td><td></td>"));
        assert!(html.contains("<a href=\"../\">"));
        assert!(html.contains("<th aria-sort=\"ascending\"><a href=\"?sort=name&amp;order=desc\">Name \u{25b2}</a>"));
        assert!(html.contains("<th><a href=\"?sort=size&amp;order=asc\">Size</a>"));
        let root = whole(listing("/", vec![]).html());
        assert!(!root.contains("../") && root.contains("is empty"));
    }

    #[test]
    fn json_is_exact() {
        assert_eq!(whole(listing("/", vec![]).json()), "[\n]\n");
        let mut rows = vec![row("a\"\\\n\u{7f}é<", 5, 1_795_245_300)];
        rows.push(Row { name: b"d\xff".to_vec(), directory: true, size: 0, modified_s: -1 });
        assert_eq!(
            whole(listing("/", rows).json()),
            "[\n{\"name\":\"a\\\"\\\\\\u000a\\u007fé<\",\"type\":\"file\",\"size\":5,\"modified\":\"2026-11-21T07:15:00Z\"},\n\
             {\"name\":\"d\u{fffd}\",\"type\":\"directory\",\"size\":0,\"modified\":\"1969-12-31T23:59:59Z\"}\n]\n"
        );
    }

    #[test]
    fn every_room_gives_the_same_octets() {
        let rows = || (0..20).map(|i| row(&format!("é<{i}>"), 1 << i, i64::from(i))).collect::<Vec<_>>();
        for render in [Listing::html, Listing::json] {
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

    #[test]
    fn days_are_those_of_the_calendar() {
        let show = |seconds| {
            let t = Civil::from_unix(seconds);
            format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", t.year, t.month, t.day, t.hour, t.minute, t.second)
        };
        assert_eq!(show(0), "1970-01-01 00:00:00");
        assert_eq!(show(951_782_399), "2000-02-28 23:59:59");
        assert_eq!(show(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(show(-2_203_891_201), "1900-02-28 23:59:59");
        assert_eq!(show(-2_203_891_200), "1900-03-01 00:00:00");
        assert_eq!(show(i64::MAX), "9999-12-31 23:59:59");
        assert_eq!(show(i64::MIN), "0000-01-01 00:00:00");
        // Against another's arithmetic, over days of several centuries.
        for day in (0..100_000).step_by(37) {
            let seconds = day * 86_400 + day % 86_400;
            let theirs = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            let t = Civil::from_unix(seconds as i64);
            let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let ours = format!(
                "{:02} {} {} {:02}:{:02}:{:02} GMT",
                t.day,
                month[t.month as usize - 1],
                t.year,
                t.hour,
                t.minute,
                t.second
            );
            assert!(theirs.ends_with(&ours), "{theirs} {ours}");
        }
    }

    #[test]
    fn names_that_are_not_text_are_listed() {
        let s = Scratch::new();
        let name = OsStr::from_bytes(b"n\xffm");
        if fs::write(s.path().join(name), "").is_err() {
            return; // a file system that takes only UTF-8
        }
        let root = Root::open(s.path(), Symlinks::Inside).unwrap();
        assert_eq!(list(&root, b"").rows()[0].name, b"n\xffm");
    }
}
