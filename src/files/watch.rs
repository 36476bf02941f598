//! Reports changes below a root, by inotify(7), so that a cache may keep a file without
//! checking it at each request.
//!
//! **Order.** A reader first covers a path and then opens it. A change in between is
//! reported, so at worst a current entry is removed. In the other order a stale entry
//! could be kept for ever.
//!
//! **What is watched** is each directory from the root down to the one that has the file.
//! The upper ones matter, because a rename of a directory moves its content without an
//! event in the lower ones. A watch is set on a descriptor that was opened below the root
//! without a link (by its name in `/proc/self/fd`). It is never set on a path, which could
//! name another directory by then. A missing directory needs no watch: its creation is an
//! event in its parent.
//!
//! **After a move.** A watch follows the directory, not its path. When a watched directory
//! is moved, removed or unmounted, when its permissions change, or when the kernel's queue
//! has overflowed, all watches are dropped and `Change::All` is reported. The next reads
//! set the watches again. To repair one subtree would take much code for a rare case.
//!
//! **What inotify doesn't report**: a write through a shared memory map (it is reported
//! when the writer has closed and unmapped the file), a write through a hard link in
//! another directory (see `Metadata::hard_linked`), a change on another machine of a
//! network file system, a mount over a path, and a change of a symbolic link's target. So
//! a cache should still compare its entries with stat(2) now and then.

use std::collections::{HashMap, HashSet};
use std::io;
use std::iter::once;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::resolve::{self, Root};
use crate::limits;

/// A change. Paths are relative to the root, as in [`Root::get`], without a slash at the
/// end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The file at this path was written or removed, or its attributes have changed.
    Entry(Vec<u8>),
    /// A file or directory has appeared at this path; it may have replaced another. A
    /// cache must remove this path and all missing paths.
    Created(Vec<u8>),
    /// Anything may have changed, and nothing is watched any more. A cache must remove
    /// everything.
    All,
}

/// A set of watched directories.
///
/// Its descriptor is readable when there are changes. It doesn't block. It works with
/// edge-triggered polling, if [`drain`](Watch::drain) is called until it returns false.
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
    /// Watched directories; the path of the root is empty. If a directory is in here, all
    /// its parents are too.
    watches: HashSet<Rc<[u8]>>,
    /// The same paths by watch descriptor.
    paths: HashMap<i32, Rc<[u8]>>,
    /// The most directories that are watched.
    limit: usize,
}

/// The events of each watch. `CLOSE_WRITE` reports writers that map the file.
/// `EXCL_UNLINK` leaves out writes to files that are removed.
const EVENTS: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::EXCL_UNLINK);

/// The watched directory itself was moved or removed.
const GONE: ReadFlags =
    ReadFlags::DELETE_SELF.union(ReadFlags::MOVE_SELF).union(ReadFlags::UNMOUNT).union(ReadFlags::IGNORED);
/// A name appeared or disappeared by rename(2).
const MOVED: ReadFlags = ReadFlags::MOVED_FROM.union(ReadFlags::MOVED_TO);
/// A name appeared.
const APPEARED: ReadFlags = ReadFlags::CREATE.union(ReadFlags::MOVED_TO);

impl Watch {
    /// A set without watches.
    ///
    /// # Errors
    /// Of inotify_init1(2): this user has too many instances (128 by default), there is no
    /// descriptor left, or inotify isn't supported.
    pub fn new() -> io::Result<Watch> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Watch { inotify, watches: HashSet::new(), paths: HashMap::new(), limit: limits::WATCHES })
    }

    /// Watches the directories of `path`, which has the form that [`Root::get`] takes: the
    /// root and all directories before the last slash, as far as they exist and aren't
    /// links. Call it before you open the path. If they are watched already, it costs one
    /// look-up.
    ///
    /// True if a change of the file at `path` will be reported. This doesn't hold if the
    /// path has a symbolic link in it, which `Root::get` says. False if changes can't be
    /// reported (too many watches, no permission to read a directory, no `/proc`): then
    /// only stat(2) shows a change.
    pub fn cover(&mut self, root: &Root, path: &[u8]) -> bool {
        if !root.may_serve(path) {
            // Its form alone makes it not found, and no change can alter that.
            return true;
        }
        let (parent, _) = resolve::split(path);
        if self.watches.contains(parent) {
            return true;
        }
        // From the root down: then the watch of the parent reports what happens to a directory before its own watch
        // is set.
        let ends = once(0).chain(memchr::memchr_iter(b'/', parent)).chain(once(parent.len()));
        for directory in ends.map(|end| &parent[..end]) {
            if self.watches.contains(directory) {
                continue;
            }
            match self.add(root, directory) {
                Ok(true) => {}
                Ok(false) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    /// Reads the changes since the last call and reports each, until none is left or the
    /// limit of one turn is reached. True if some may be left: then call it again after
    /// the turns of others, since no event will follow.
    pub fn drain(&mut self, mut on_change: impl FnMut(Change)) -> bool {
        let Watch { inotify, watches, paths, .. } = self;
        // The longest name and the fixed part of an event take 272 bytes.
        let mut buffer = [MaybeUninit::uninit(); 8 * 1024];
        let mut reader = inotify::Reader::new(inotify.as_fd(), &mut buffer);
        let mut reads = 0;
        loop {
            if reader.is_buffer_empty() {
                if reads == limits::WATCH_READS {
                    return true;
                }
                reads += 1;
            }
            let change = match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| name.to_bytes());
                    interpret(event.events(), name, paths.get(&event.wd()), |path| watches.contains(path))
                }
                Err(Errno::AGAIN) => return false,
                Err(Errno::INTR) => continue,
                // This isn't expected. But if changes can't be read, every entry may be stale.
                Err(_) => {
                    self.clear();
                    on_change(Change::All);
                    return false;
                }
            };
            if change == Some(Change::All) {
                remove_all(inotify.as_fd(), watches, paths);
            }
            if let Some(change) = change {
                on_change(change);
            }
        }
    }

    /// Drops all watches, for example if the root names another directory now
    /// ([`Root::refresh`]). The caller must clear its cache.
    pub fn clear(&mut self) {
        remove_all(self.inotify.as_fd(), &mut self.watches, &mut self.paths);
    }

    /// The number of watched directories.
    pub fn len(&self) -> usize {
        self.watches.len()
    }

    /// Whether no directory is watched.
    pub fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// Watches one directory, whose parents are watched. `Ok(false)` if there is no
    /// directory at this path, or if it is a link.
    fn add(&mut self, root: &Root, directory: &[u8]) -> Result<bool, Errno> {
        if self.watches.len() >= self.limit {
            return Err(Errno::NOSPC);
        }
        let fd = match root.directory(directory) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => return Ok(false),
            Err(errno) => return Err(errno),
        };
        let wd = inotify::add_watch(&self.inotify, format!("/proc/self/fd/{}", fd.as_raw_fd()), EVENTS)?;
        // One directory at two paths: there is a bind mount, or the directory was moved and that event is still to be
        // read. Its events can be reported for one path only, and that is the first.
        if self.paths.contains_key(&wd) {
            return Err(Errno::EXIST);
        }
        let path: Rc<[u8]> = directory.into();
        self.watches.insert(Rc::clone(&path));
        self.paths.insert(wd, path);
        Ok(true)
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.inotify.as_raw_fd()
    }
}

/// The change that an event reports. `directory` is the path of its watch, if there still
/// is one; `name` is the entry of the directory.
fn interpret(
    events: ReadFlags,
    name: Option<&[u8]>,
    directory: Option<&Rc<[u8]>>,
    watched: impl Fn(&[u8]) -> bool,
) -> Option<Change> {
    if events.contains(ReadFlags::QUEUE_OVERFLOW) {
        return Some(Change::All);
    }
    // Without a directory it is a late event of a removed watch.
    let directory = directory?;
    let is_directory = events.contains(ReadFlags::ISDIR);
    if events.intersects(GONE) || (is_directory && events.intersects(MOVED)) {
        return Some(Change::All);
    }
    // Without a name, the attributes of the directory have changed, perhaps its permissions.
    let Some(name) = name else { return Some(Change::All) };
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    if !directory.is_empty() {
        path.extend_from_slice(directory);
        path.push(b'/');
    }
    path.extend_from_slice(name);
    if events.intersects(APPEARED) {
        Some(Change::Created(path))
    } else if is_directory && events.contains(ReadFlags::DELETE) && watched(&path) {
        // The last event of its own watch may come much later, if a process holds it open.
        Some(Change::All)
    } else {
        Some(Change::Entry(path))
    }
}

fn remove_all(inotify: BorrowedFd<'_>, watches: &mut HashSet<Rc<[u8]>>, paths: &mut HashMap<i32, Rc<[u8]>>) {
    for (wd, _) in paths.drain() {
        // This fails if the kernel has removed the watch already, which is fine. The kernel counts watch
        // descriptors up, so waiting events of this watch aren't mistaken for those of a later one.
        let _ = inotify::remove_watch(inotify, wd);
    }
    watches.clear();
}

#[cfg(test)]
mod tests {
    use super::super::resolve::Symlinks;
    use super::super::scratch::Scratch;
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    fn site() -> (Scratch, Root, Watch) {
        let s = Scratch::new();
        s.directory("www/a/b");
        s.file("www/f", "f");
        s.file("www/a/f", "f");
        s.file("www/a/b/f", "f");
        let root = Root::open(&s.at("www"), Symlinks::Inside).unwrap();
        let watch = Watch::new().unwrap();
        (s, root, watch)
    }

    /// The changes, in order, without repetitions.
    fn changes(watch: &mut Watch) -> Vec<Change> {
        let mut seen = Vec::new();
        while watch.drain(|change| {
            if seen.last() != Some(&change) {
                seen.push(change);
            }
        }) {}
        seen
    }

    fn entry(path: &str) -> Change {
        Change::Entry(path.into())
    }

    fn created(path: &str) -> Change {
        Change::Created(path.into())
    }

    #[test]
    fn covers_each_parent_directory_and_no_others() {
        let (s, root, mut watch) = site();
        assert!(watch.is_empty());
        assert!(watch.cover(&root, b"f"));
        assert_eq!(watch.len(), 1);
        assert!(watch.cover(&root, b"a/b/f"));
        assert_eq!(watch.len(), 3);
        assert!(watch.cover(&root, b"a/b/other") && watch.cover(&root, b"a/f") && watch.cover(&root, b""));
        assert!(watch.cover(&root, b"a/b/"));
        // Paths that can't exist need no further watch.
        for path in [&b"f/g/h"[..], b"no/such/thing", b"../x/y", b"/etc/passwd", b".git/x", b"a//b/f"] {
            assert!(watch.cover(&root, path));
        }
        s.link("www/link", "a");
        assert!(watch.cover(&root, b"link/b/f"));
        assert_eq!(watch.len(), 3);
        assert_eq!(changes(&mut watch), [created("link")]);
    }

    #[test]
    fn changes_of_files_are_reported_by_path() {
        let (s, root, mut watch) = site();
        assert!(watch.cover(&root, b"a/b/f"));
        let mut f = fs::File::options().append(true).open(s.at("www/a/b/f")).unwrap();
        f.write_all(b"more").unwrap();
        assert_eq!(changes(&mut watch), [entry("a/b/f")]);
        // The writer may have written through a map before it closed the file.
        drop(f);
        assert_eq!(changes(&mut watch), [entry("a/b/f")]);
        fs::set_permissions(s.at("www/f"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(changes(&mut watch), [entry("f")]);
        s.file("www/a/new", "");
        assert_eq!(changes(&mut watch), [created("a/new"), entry("a/new")]);
        fs::rename(s.at("www/a/new"), s.at("www/f")).unwrap();
        assert_eq!(changes(&mut watch), [entry("a/new"), created("f")]);
        fs::hard_link(s.at("www/f"), s.at("www/a/b/g")).unwrap();
        assert!(changes(&mut watch).contains(&created("a/b/g")));
        fs::remove_file(s.at("www/a/b/f")).unwrap();
        assert!(changes(&mut watch).contains(&entry("a/b/f")));
        fs::read(s.at("www/f")).unwrap();
        assert_eq!(changes(&mut watch), []);
        assert_eq!(watch.len(), 3);
    }

    #[test]
    fn a_missing_directory_is_reported_when_it_appears() {
        let (s, root, mut watch) = site();
        assert!(watch.cover(&root, b"new/deep/f"));
        s.directory("www/new/deep");
        assert_eq!(changes(&mut watch), [created("new")]);
        assert!(watch.cover(&root, b"new/deep/f"));
        s.file("www/new/deep/f", "");
        assert_eq!(changes(&mut watch)[0], created("new/deep/f"));
        s.link("www/link", "a");
        assert_eq!(changes(&mut watch), [created("link")]);
    }

    #[test]
    fn a_moved_or_removed_directory_drops_all_watches() {
        let drops_all = |what: &dyn Fn(&Scratch), file: &[u8]| {
            let (s, root, mut watch) = site();
            assert!(watch.cover(&root, file));
            what(&s);
            let seen = changes(&mut watch);
            assert_eq!(seen.iter().filter(|&change| *change == Change::All).count(), 1, "{seen:?}");
            assert_eq!(seen.last(), Some(&Change::All), "{seen:?}");
            assert!(watch.is_empty());
            // New watches work, whatever events of the old ones are left.
            assert!(watch.cover(&root, b"f"));
            s.file("www/f", "new");
            assert_eq!(changes(&mut watch), [entry("f")]);
        };
        drops_all(&|s| fs::rename(s.at("www/a"), s.at("www/z")).unwrap(), b"a/b/f");
        drops_all(&|s| fs::rename(s.at("www/a/b"), s.at("b")).unwrap(), b"a/b/f");
        drops_all(
            &|s| fs::rename(s.at("www"), s.at("other")).and_then(|()| fs::rename(s.at("other"), s.at("www"))).unwrap(),
            b"f",
        );
        drops_all(&|s| fs::remove_dir_all(s.at("www/a")).unwrap(), b"a/b/f");
        drops_all(&|s| fs::set_permissions(s.at("www/a"), fs::Permissions::from_mode(0o700)).unwrap(), b"a/b/f");
        // The directory isn't watched itself, but the rename may have moved or replaced anything.
        drops_all(&|s| fs::rename(s.at("www/a"), s.at("www/z")).unwrap(), b"f");
    }

    #[test]
    fn a_removed_directory_drops_all_watches_even_if_it_is_held_open() {
        let (s, root, mut watch) = site();
        s.directory("www/empty");
        let held = root.get(b"empty").unwrap();
        assert!(watch.cover(&root, b"empty/f"));
        fs::remove_dir(s.at("www/empty")).unwrap();
        assert_eq!(changes(&mut watch), [Change::All]);
        drop(held);
        s.directory("www/empty");
        assert!(watch.cover(&root, b"f"));
        fs::remove_dir(s.at("www/empty")).unwrap();
        assert_eq!(changes(&mut watch), [entry("empty")]);
    }

    #[test]
    fn the_target_of_a_link_is_not_watched() {
        let (s, root, mut watch) = site();
        s.directory("outside");
        assert!(watch.cover(&root, b"f"));
        fs::rename(s.at("www/a"), s.at("www/z")).unwrap();
        s.link("www/a", "../outside");
        changes(&mut watch);
        assert!(watch.cover(&root, b"a/b/f"));
        assert_eq!(watch.len(), 1);
        s.file("outside/f", "");
        assert_eq!(changes(&mut watch), []);
    }

    #[test]
    fn cover_is_false_if_there_are_too_many_directories() {
        let (s, root, mut watch) = site();
        watch.limit = 2;
        assert!(!watch.cover(&root, b"a/b/f"));
        assert!(watch.cover(&root, b"a/f"));
        assert!(!watch.cover(&root, b"a/b/f"));
        s.file("www/a/f", "g");
        assert_eq!(changes(&mut watch), [entry("a/f")]);
        watch.clear();
        assert!(watch.is_empty());
        s.file("www/a/f", "h");
        assert_eq!(changes(&mut watch), []);
    }

    #[test]
    fn a_directory_known_by_another_path_is_not_covered_until_its_move_is_reported() {
        let (s, root, mut watch) = site();
        assert!(watch.cover(&root, b"a/f"));
        fs::rename(s.at("www/a"), s.at("www/z")).unwrap();
        assert!(!watch.cover(&root, b"z/f"));
        assert_eq!(changes(&mut watch), [Change::All]);
        assert!(watch.cover(&root, b"z/f"));
    }

    #[test]
    fn an_overflow_drops_all_watches() {
        let path: Rc<[u8]> = b"a"[..].into();
        let change = interpret(ReadFlags::QUEUE_OVERFLOW, None, None, |_| false);
        assert_eq!(change, Some(Change::All));
        assert_eq!(interpret(ReadFlags::MODIFY, Some(b"f"), None, |_| false), None);
        assert_eq!(interpret(ReadFlags::IGNORED, None, None, |_| false), None);
        assert_eq!(interpret(ReadFlags::UNMOUNT, None, Some(&path), |_| false), Some(Change::All));
    }

    #[test]
    fn a_turn_is_bounded_and_no_change_is_lost() {
        let (s, root, mut watch) = site();
        assert!(watch.cover(&root, b"f"));
        // Two names in turn, since the kernel merges equal neighbours; an event has 32 bytes.
        let n = 3 * limits::WATCH_READS * 8 * 1024 / 32 / 2;
        let (a, b) = (s.at("www/x"), s.at("www/y"));
        s.file("www/x", "");
        for i in 0..n / 2 {
            let (from, to) = if i % 2 == 0 { (&a, &b) } else { (&b, &a) };
            fs::rename(from, to).unwrap();
        }
        let mut turns = 1;
        let mut seen = 0;
        while watch.drain(|_| seen += 1) {
            turns += 1;
        }
        assert_eq!(turns, 2);
        assert_eq!(seen, n + 2);
    }

    #[test]
    fn works_the_same_without_openat2() {
        let (s, _, mut watch) = site();
        let root = Root::open_walking(&s.at("www"), Symlinks::Inside).unwrap();
        s.link("www/link", "a");
        assert!(watch.cover(&root, b"a/b/f") && watch.cover(&root, b"link/f") && watch.cover(&root, b"no/f"));
        assert_eq!(watch.len(), 3);
        s.file("www/a/b/f", "g");
        assert_eq!(changes(&mut watch), [entry("a/b/f")]);
    }
}
