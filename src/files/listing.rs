//! The entries of a directory, as a listing shows them.
//!
//! A listing shows what the server would serve: regular files and directories that aren't
//! hidden, and symbolic links to such, if links are followed. Reading a directory takes a
//! system call for each entry, so it is a job for a helper thread (`files/listings.rs`).
//! [`listing_page`](super::listing_page) writes a listing.
//!
//! **Pages.** A directory may be huge, so a listing has a bounded number of entries: the
//! first ones in its order after a given one, the last of the page before. Each page leads
//! to the next. All entries are read for each page, since only then it is known which come
//! next; but never more than two pages of them are held. A page begins after an entry, not
//! at a number: so no entry that stays in the directory is left out or shown twice, whatever
//! appears or disappears between two pages, and although the entry itself may be gone.

use std::cmp::Ordering;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use rustix::fs::{AtFlags, Dir, FileType};

use super::coded;
use super::resolve::{Metadata, Root, is_reachable};
use crate::limits;

/// What is encoded in a reference: all but the unreserved of RFC 3986 §2.3.
pub(super) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a listing is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Directories first, then by name without regard to the case of ASCII letters.
    #[default]
    Name,
    /// By size in bytes; the size of a directory counts as 0.
    Size,
    /// By the time of the last change.
    Modified,
}

impl Sort {
    pub(super) fn key(self) -> &'static str {
        match self {
            Sort::Name => "name",
            Sort::Size => "size",
            Sort::Modified => "modified",
        }
    }
}

/// The order of a listing; by default by name, ascending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// What it is sorted by. Equal entries are in ascending order of their names.
    pub by: Sort,
    /// Largest, newest, or last in the alphabet first.
    pub descending: bool,
}

impl Order {
    /// From a query such as `sort=size&order=desc`. Unknown parts are ignored. If a
    /// parameter comes twice, the last one counts.
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

/// Which entries a listing has: in which order, and after which one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The order.
    pub order: Order,
    /// The last entry of the page before, as far as the order compares it; none on the first
    /// page.
    pub after: Option<Row>,
}

impl Page {
    /// From a query such as `sort=size&after=NAME&at=1024`. `after` is a name, with a slash
    /// if it is that of a directory, and `at` what the listing is sorted by, if that isn't
    /// the name. Unknown parts are ignored.
    pub fn from_query(query: &[u8]) -> Page {
        let value = |name: &[u8]| query.split(|&b| b == b'&').rev().find_map(|pair| pair.strip_prefix(name));
        let after = value(b"after=").map(|name| {
            let name: Vec<u8> = percent_decode(name).collect();
            let at = value(b"at=").and_then(|at| str::from_utf8(at).ok()?.parse().ok()).unwrap_or(0);
            let (name, directory) = match name.strip_suffix(b"/") {
                Some(name) => (name.to_vec(), true),
                None => (name, false),
            };
            Row { name, directory, size: u64::try_from(at).unwrap_or(0), modified_s: at }
        });
        Page { order: Order::from_query(query), after }
    }

    /// The query of the page after the entry `last`.
    fn query_after(order: Order, last: &Row) -> String {
        let direction = if order.descending { "desc" } else { "asc" };
        let name = percent_encode(&last.name, ENCODED);
        let slash = if last.directory { "/" } else { "" };
        let query = format!("sort={}&order={direction}&after={name}{slash}", order.by.key());
        match order.by {
            Sort::Name => query,
            Sort::Size => format!("{query}&at={}", last.size),
            Sort::Modified => format!("{query}&at={}", last.modified_s),
        }
    }

    /// Whether an entry is on this page, or on a later one.
    fn has(&self, row: &Row) -> bool {
        self.after.as_ref().is_none_or(|after| self.order.compare(row, after) == Ordering::Greater)
    }
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The name as it is on disk.
    pub name: Vec<u8>,
    /// A directory, not a regular file.
    pub directory: bool,
    /// Size in bytes; 0 for a directory.
    pub size: u64,
    /// Last change, seconds since 1970 UTC; may be negative.
    pub modified_s: i64,
}

/// One page of the entries of a directory, sorted.
#[derive(Debug)]
pub struct Listing {
    /// As it is shown: with a slash at both ends.
    pub(super) path: Vec<u8>,
    pub(super) rows: Vec<Row>,
    pub(super) page: Page,
    /// There are more entries than these.
    pub(super) cut: bool,
    /// Bytes of memory that it holds.
    pub(super) memory: usize,
}

impl Listing {
    /// Reads the entries of `dir`, which [`Root::get`] opened at `path`. It takes one
    /// system call for each entry, and some more for a link. There are at most
    /// [`limits::LISTING_ENTRIES`] on a page. With `precompressed`, files that are coded forms of
    /// others aren't listed.
    ///
    /// # Errors
    /// Of getdents64(2), or if the directory has more than [`limits::DIRECTORY_ENTRIES`].
    pub fn read(root: &Root, dir: OwnedFd, path: &[u8], page: Page, precompressed: bool) -> io::Result<Listing> {
        Listing::read_at_most(root, dir, path, page, precompressed, limits::LISTING_ENTRIES)
    }

    fn read_at_most(
        root: &Root,
        dir: OwnedFd,
        path: &[u8],
        page: Page,
        precompressed: bool,
        most: usize,
    ) -> io::Result<Listing> {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let path = if path.is_empty() { b"/".to_vec() } else { [b"/", path, b"/"].concat() };
        let mut dir = Dir::new(dir)?;
        let mut rows = Vec::new();
        let mut seen = 0;
        let mut cut = false;
        let compare = |a: &Row, b: &Row| page.order.compare(a, b);
        while let Some(entry) = dir.read() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            // All count, since reading them takes time.
            seen += 1;
            if seen > limits::DIRECTORY_ENTRIES {
                return Err(io::Error::other("the directory has too many entries to be listed"));
            }
            if !is_reachable(name) {
                continue;
            }
            // The entry may be gone, or the file system may fail for it: the others still count.
            let Some(found) = look(root, dir.fd()?, &path, name) else { continue };
            let Metadata { directory, size, modified_s, .. } = found;
            if precompressed
                && !directory
                && let Some(original) = coded::original(name)
                && look(root, dir.fd()?, &path, original).is_some_and(|found| !found.directory)
            {
                continue;
            }
            let row = Row { name: name.to_vec(), directory, size: if directory { 0 } else { size }, modified_s };
            if page.has(&row) {
                rows.push(row);
            }
            if rows.len() > 2 * most {
                // The first ones may be in any order as yet.
                rows.select_nth_unstable_by(most, compare);
                rows.truncate(most);
                cut = true;
            }
        }
        rows.sort_unstable_by(compare);
        cut |= rows.len() > most;
        rows.truncate(most);
        rows.shrink_to_fit();
        let names: usize = rows.iter().map(|row| row.name.capacity()).sum();
        let memory = path.capacity() + rows.capacity() * size_of::<Row>() + names;
        Ok(Listing { path, rows, page, cut, memory })
    }

    /// The entries, in order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The query of the next page, if there is one.
    pub fn next_query(&self) -> Option<String> {
        let last = self.rows.last().filter(|_| self.cut)?;
        Some(Page::query_after(self.page.order, last))
    }
}

/// The metadata of an entry of the directory `dir`, whose path with its slashes is `path`; none if
/// it isn't served.
fn look(root: &Root, dir: BorrowedFd<'_>, path: &[u8], name: &[u8]) -> Option<Metadata> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let stat = rustix::fs::statat(dir, name, flags).ok()?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => root.peek(&[&path[1..], name].concat()),
        _ => Metadata::of(&stat),
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

    fn open(root: &Root, path: &[u8]) -> OwnedFd {
        match root.get(path) {
            Ok(Opened::Directory { dir, .. }) => dir,
            other => panic!("{other:?}"),
        }
    }

    fn list(root: &Root, path: &[u8]) -> Listing {
        Listing::read(root, open(root, path), path, Page::default(), true).unwrap()
    }

    fn names(listing: &Listing) -> Vec<String> {
        listing.rows().iter().map(|row| String::from_utf8_lossy(&row.name).into_owned()).collect()
    }

    #[test]
    fn coded_forms_are_not_listed_beside_their_files() {
        let s = Scratch::new();
        for d in ["www/d.gz", "www/e", "www/f"] {
            s.directory(d);
        }
        for f in ["x.js", "x.js.br", "x.js.gz", "x.js.gz.gz", "alone.gz", "d", "e.br", ".gz", ".env.gz", ".env", "l.gz"]
        {
            s.file(&format!("www/{f}"), "123");
        }
        s.link("www/l", "f");
        s.link("www/x.js.zst", "d");
        let root = Root::open(&s.at("www"), Symlinks::Inside).unwrap();
        let shown = |precompressed| {
            let page = Page::default();
            names(&Listing::read(&root, open(&root, b""), b"", page, precompressed).unwrap()).join(" ")
        };
        let others = "alone.gz d e.br l.gz x.js";
        assert_eq!(shown(true), format!("d.gz e f l {others} x.js.gz.gz"));
        assert_eq!(shown(false), format!("d.gz e f l {others} x.js.br x.js.gz x.js.gz.gz x.js.zst"));
        // The original is gone.
        fs::remove_file(s.at("www/x.js")).unwrap();
        assert!(shown(true).ends_with("l.gz x.js.br x.js.gz x.js.gz.gz x.js.zst"), "{}", shown(true));
    }

    fn row(name: &str, size: u64, modified_s: i64) -> Row {
        Row { name: name.into(), directory: false, size, modified_s }
    }

    #[test]
    fn shows_what_the_server_would_serve() {
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
    fn the_pages_of_a_directory_have_all_its_entries_once() {
        let s = Scratch::new();
        for (number, name) in ["b", "A", "a", "&=%\u{e9}+ c", "z#", "n?", "x&sort=size"].iter().enumerate() {
            s.file(name, &"x".repeat(number / 2));
        }
        for name in ["D", "d", "after=b"] {
            s.directory(name);
        }
        fs::write(s.path().join(OsStr::from_bytes(b"n\xff")), "").unwrap();
        s.file(".hidden", "");
        let root = Root::open(s.path(), Symlinks::None).unwrap();
        for order in
            ["", "order=desc", "sort=size", "sort=size&order=desc", "sort=modified", "sort=modified&order=desc"]
        {
            let whole =
                names(&Listing::read(&root, open(&root, b""), b"", Page::from_query(order.as_bytes()), true).unwrap());
            assert_eq!(whole.len(), 11);
            for most in [1, 2, 3, 5, 10, 11, 12] {
                let (mut query, mut found, mut pages) = (order.to_owned(), Vec::new(), 0);
                loop {
                    let page = Page::from_query(query.as_bytes());
                    let listing = Listing::read_at_most(&root, open(&root, b""), b"", page, true, most).unwrap();
                    assert!(listing.rows().len() <= most && listing.rows.capacity() <= most.max(4), "{query}");
                    found.extend(names(&listing));
                    pages += 1;
                    match listing.next_query() {
                        Some(next) => query = next,
                        None => break,
                    }
                }
                assert_eq!((&found, pages), (&whole, 11_usize.div_ceil(most)), "{order} by {most}");
            }
        }
    }

    #[test]
    fn a_page_begins_after_an_entry_that_may_be_gone() {
        let s = Scratch::new();
        // All in one second, so that their order by time is that of their names.
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        let create = |name: &str| {
            s.file(name, "");
            fs::File::options().write(true).open(s.at(name)).unwrap().set_modified(time).unwrap();
        };
        ["a", "b", "c", "d"].into_iter().for_each(create);
        let root = Root::open(s.path(), Symlinks::None).unwrap();
        let read = |query: &str, most| {
            let page = Page::from_query(query.as_bytes());
            Listing::read_at_most(&root, open(&root, b""), b"", page, true, most).unwrap()
        };
        let first = read("", 2);
        assert_eq!(names(&first), ["a", "b"]);
        fs::remove_file(s.at("b")).unwrap();
        create("0");
        assert_eq!(names(&read(&first.next_query().unwrap(), 2)), ["c", "d"]);
        for (query, expected) in [
            ("after=c", &["d"][..]),
            ("after=%63&x=y", &["d"]),
            ("after=d", &[]),
            ("after=", &["0", "a", "c", "d"]),
            ("after=/", &["0", "a", "c", "d"]),
            ("after=c&order=desc", &["a", "0"]),
            ("at=5", &["0", "a", "c", "d"]),
            ("after=a&after=c", &["d"]),
            ("sort=size&after=a&at=0", &["c", "d"]),
            ("sort=size&after=a&at=many", &["c", "d"]),
            ("sort=size&after=a&at=-1", &["c", "d"]),
            ("sort=size&after=a&at=1", &[]),
            ("sort=modified&after=a&at=99999999999", &[]),
            ("sort=modified&after=a&at=99999999999999999999", &["0", "a", "c", "d"]),
        ] {
            assert_eq!(names(&read(query, 9)), expected, "{query}");
        }
    }

    #[test]
    fn the_query_gives_the_order() {
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
    fn sorts_by_each_key_in_both_directions() {
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
    fn names_that_are_not_utf_8_are_listed() {
        let s = Scratch::new();
        let name = OsStr::from_bytes(b"n\xffm");
        if fs::write(s.path().join(name), "").is_err() {
            return; // the file system allows only UTF-8
        }
        let root = Root::open(s.path(), Symlinks::Inside).unwrap();
        assert_eq!(list(&root, b"").rows()[0].name, b"n\xffm");
    }
}
