//! The entries of a directory, as a listing shows them.
//!
//! A listing shows what the server would serve: regular files and directories that aren't
//! hidden, and symbolic links to such, if links are followed. A directory may be huge, so
//! the number of entries that are read is bounded; the page says if entries are left out.
//! Reading a directory takes a system call for each entry, so it is a job for a helper
//! thread (`files/listings.rs`). [`listing_page`](super::listing_page) writes a listing.

use std::cmp::Ordering;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType};

use super::resolve::{Metadata, Root, is_hidden};
use crate::limits;

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

/// The entries of one directory, sorted.
#[derive(Debug)]
pub struct Listing {
    /// As it is shown: with a slash at both ends.
    pub(super) path: Vec<u8>,
    pub(super) rows: Vec<Row>,
    pub(super) order: Order,
    pub(super) cut: bool,
    /// Bytes of memory that it holds.
    pub(super) memory: usize,
}

impl Listing {
    /// Reads the entries of `dir`, which [`Root::get`] opened at `path`. It takes one
    /// system call for each entry, and some more for a link. Entries beyond
    /// [`limits::LISTING_ENTRIES`] are left out.
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
        let mut seen = 0;
        let mut cut = false;
        while let Some(entry) = dir.read() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            // Hidden entries count too, since reading them takes time.
            if seen == most {
                cut = true;
                break;
            }
            seen += 1;
            // No request path can contain these bytes, so no request can reach such a name.
            if is_hidden(name) || name.iter().any(|byte| byte.is_ascii_control() || *byte == b'\\') {
                continue;
            }
            let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
            // The entry may be gone, or the file system may fail for it: the others still count.
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

    /// Whether it is the listing of the directory at `path`, with or without a slash at the
    /// end, in this order.
    pub(super) fn is(&self, path: &[u8], order: Order) -> bool {
        self.order == order && self.is_of(path.strip_suffix(b"/").unwrap_or(path))
    }

    /// Whether it is a listing of the directory at `path`, which has no slash at the end.
    pub(super) fn is_of(&self, path: &[u8]) -> bool {
        let own = self.path.get(1..self.path.len() - 1).unwrap_or_default();
        own == path
    }

    /// Whether the other is of the same directory in the same order.
    pub(super) fn is_same(&self, other: &Listing) -> bool {
        (self.order, &self.path) == (other.order, &other.path)
    }

    /// The entries, in order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Whether entries were left out because there are too many.
    pub fn is_cut(&self) -> bool {
        self.cut
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
        Listing::read(root, open(root, path), path, Order::default()).unwrap()
    }

    fn names(listing: &Listing) -> Vec<String> {
        listing.rows().iter().map(|row| String::from_utf8_lossy(&row.name).into_owned()).collect()
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
    fn entries_beyond_the_limit_are_cut_and_the_listing_says_so() {
        let s = Scratch::new();
        for name in ["1", "2", "3"] {
            s.file(name, "");
        }
        let root = Root::open(s.path(), Symlinks::None).unwrap();
        let read = |most| Listing::read_at_most(&root, open(&root, b""), b"", Order::default(), most).unwrap();
        assert_eq!((read(3).rows().len(), read(3).is_cut()), (3, false));
        assert_eq!((read(2).rows().len(), read(2).is_cut()), (2, true));
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
