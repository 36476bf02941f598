//! From a path to a descriptor that is below the root. The kernel decides that.
//!
//! The usual way is to make the path canonical and to compare prefixes. It has a race:
//! between the check and the open, a directory can become a symbolic link to another
//! place. openat2(2) has no such race. With `RESOLVE_BENEATH` the kernel refuses any step
//! above the root while it walks the path. It also refuses an absolute link, even one to
//! a place below the root. One call costs less than one realpath(3).
//!
//! The first call also has `RESOLVE_NO_SYMLINKS`. It succeeds for nearly every file. Its
//! error ELOOP means that there is a link in the path. A cache has to know that, because
//! the watch of the directories of a path doesn't see changes of a link's target. Only
//! then, and only if links are followed, a second call follows them.
//!
//! Kernels before 5.6, old container filters and gVisor have no openat2. There a path is
//! walked one component at a time; each is opened with `O_NOFOLLOW` relative to the one
//! before. This is as safe, but slower. It follows no links: to follow them safely would
//! take a copy of the kernel's walk.
//!
//! **What isn't a file or a directory** must not even be opened. To open a FIFO wakes a
//! writer that waits for its reader, and to close it kills that writer (SIGPIPE); to open a
//! device can act on it (a tape rewinds). So a path is opened as a name first (`O_PATH`),
//! which has no effects, and for reading only if fstat(2) says that it is a file or a
//! directory. By measurement this takes 1.2 µs more than the open alone (2.7 instead of 1.5
//! µs), and only when the cache doesn't have the file. If something else takes the name
//! between the two calls, the second fstat(2) finds it, and `O_NONBLOCK` prevents that a
//! FIFO waits for its writer. To open the name through `/proc/self/fd` would exclude that
//! race, but costs more and needs `/proc`.
//!
//! **Names.** A component that begins with a dot is refused (`.git`, `.env`, `..`), except
//! `.well-known` (RFC 8615). This holds for the path of a request. A link may have such a
//! name as its target, since its owner chose it.
//!
//! **A root that is a file.** Its directory is the root then, and every path but the name
//! of that file is refused, before anything is opened. The file is the index of the root,
//! so it has the path `/` too. All else (the watch, a new file that is renamed into its
//! place) is as with any file of a directory.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::limits;

/// Which symbolic links below the root are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symlinks {
    /// Relative links that stay below the root at every step.
    Inside,
    /// None: a path with a link in it is not found.
    None,
}

/// The metadata of a file or directory, for comparison and validators.
///
/// Two equal values of one path mean the same content, as far as the clock of the file
/// system shows it (ticks of 1 to 10 ms). It doesn't show a write within the tick of the
/// last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// A directory, not a regular file.
    pub directory: bool,
    /// Size in bytes; without meaning for a directory.
    pub size: u64,
    /// Last change of the content (mtime), seconds since 1970 UTC; may be negative.
    pub modified_s: i64,
    /// Its fraction in nanoseconds.
    pub modified_ns: u32,
    /// Last change of content or attributes (ctime), seconds since 1970 UTC. A program
    /// can't set it, so it also shows that mtime was set back.
    pub changed_s: i64,
    /// Its fraction in nanoseconds.
    pub changed_ns: u32,
    /// Number of the inode, unique on its device while the inode exists.
    pub inode: u64,
    /// The device of the inode.
    pub device: u64,
    /// The file has more names (hard links). The watch of this directory doesn't see a
    /// write through another name.
    pub hard_linked: bool,
}

impl Metadata {
    /// From the result of stat(2); `None` if it is neither a regular file nor a directory.
    pub(super) fn of(stat: &Stat) -> Option<Metadata> {
        let directory = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => false,
            FileType::Directory => true,
            _ => return None,
        };
        Some(Metadata {
            directory,
            // It is never negative for these types. If a broken file system says so, the file counts as empty.
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified_s: stat.st_mtime,
            // It is below 1,000,000,000. The width of the field differs between architectures.
            modified_ns: stat.st_mtime_nsec as u32,
            changed_s: stat.st_ctime,
            changed_ns: stat.st_ctime_nsec as u32,
            inode: stat.st_ino,
            device: stat.st_dev,
            hard_linked: !directory && stat.st_nlink > 1,
        })
    }
}

/// The file or directory at a path.
#[derive(Debug)]
pub enum Opened {
    /// A regular file.
    File {
        /// Open for reading.
        file: File,
        /// Its metadata when it was opened.
        metadata: Metadata,
        /// The path has a symbolic link in it.
        via_symlink: bool,
    },
    /// A directory.
    Directory {
        /// Open for reading its entries.
        dir: OwnedFd,
        /// Its metadata when it was opened.
        metadata: Metadata,
        /// The path has a symbolic link in it.
        via_symlink: bool,
    },
}

/// Why nothing was opened.
#[derive(Debug)]
pub enum OpenError {
    /// Nothing that is served has this path. This holds until a directory changes that
    /// [`Watch::cover`](super::watch::Watch::cover) watches for it.
    NotFound,
    /// A symbolic link was followed. Its target isn't served, or isn't below the root. For
    /// a client it is the same as `NotFound`, but a cache must not keep it: the target of a
    /// link isn't watched.
    BrokenLink,
    /// There is no permission to read it, or to search one of its parent directories.
    Forbidden,
    /// The system has no descriptor or memory left, or another process has a lease of the
    /// file. A later try may succeed.
    Exhausted,
    /// The medium or the file system has failed.
    Io(io::Error),
}

impl OpenError {
    /// The same failure behind a symbolic link.
    fn behind_link(self) -> OpenError {
        match self {
            OpenError::NotFound => OpenError::BrokenLink,
            other => other,
        }
    }
}

impl From<Errno> for OpenError {
    fn from(errno: Errno) -> OpenError {
        match errno {
            // INVAL and ILSEQ: the file system doesn't allow every byte in a name. The client chose the name, so this
            // isn't an error of the server. XDEV: a step out of the root. NXIO, NODEV: sockets, devices without driver.
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::LOOP
            | Errno::NAMETOOLONG
            | Errno::XDEV
            | Errno::NXIO
            | Errno::NODEV
            | Errno::INVAL
            | Errno::ILSEQ => OpenError::NotFound,
            Errno::ACCESS | Errno::PERM => OpenError::Forbidden,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN => OpenError::Exhausted,
            other => OpenError::Io(other.into()),
        }
    }
}

/// How paths are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// By openat2(2).
    Openat2,
    /// Component by component, without links.
    Walk,
}

/// The directory that has the files of a site. A clone is the same directory, also for a
/// helper thread.
#[derive(Clone, Debug)]
pub struct Root {
    dir: Arc<OwnedFd>,
    path: PathBuf,
    /// The name of the only file that is served; `None`: all are.
    only: Option<Arc<[u8]>>,
    symlinks: Symlinks,
    how: How,
}

/// Flags to read a file or a directory. `NOCTTY`: a terminal must not become the
/// controlling terminal of the process.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);
/// Flags for a descriptor that is only a name: the open has no effects, and the last
/// component needs no permission.
const NAME: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
/// Below the root, with links.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
/// Below the root, without any link.
const NO_LINKS: ResolveFlags = BENEATH.union(ResolveFlags::NO_SYMLINKS);

impl Root {
    /// Opens the directory at `path`; if it is a file, its directory, of which only this
    /// file is served. Links in `path` itself are followed, since the operator chose it;
    /// but a link to a file must be one that may be followed.
    ///
    /// # Errors
    /// Of open(2), if `path` isn't a directory or a file that may be served, or there is no
    /// permission to search it.
    pub fn open(path: &Path, symlinks: Symlinks) -> io::Result<Root> {
        // An absolute path is the same for `refresh` if the working directory changes.
        let path = std::path::absolute(path)?;
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Root::open_directory(path, symlinks);
        };
        match Root::open_directory(path.clone(), symlinks) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                let root = Root::open_directory(directory.to_owned(), symlinks)?;
                let root = Root { only: Some(name.as_bytes().into()), ..root };
                match root.get(root.only().unwrap_or_default()) {
                    Ok(Opened::File { .. }) => Ok(root),
                    Err(OpenError::Forbidden) => Err(io::ErrorKind::PermissionDenied.into()),
                    _ => Err(error),
                }
            }
            result => result,
        }
    }

    fn open_directory(path: PathBuf, symlinks: Symlinks) -> io::Result<Root> {
        let dir = Arc::new(open_root(&path)?);
        let how = match rustix::fs::openat2(&dir, c".", NAME, Mode::empty(), NO_LINKS) {
            Ok(_) => How::Openat2,
            // Container filters that are older than openat2 answer EPERM to system calls that they don't know.
            Err(Errno::NOSYS | Errno::PERM) => How::Walk,
            Err(errno) => return Err(errno.into()),
        };
        Ok(Root { dir, path, only: None, symlinks, how })
    }

    /// Like [`open`](Root::open) on a system without openat2.
    #[cfg(test)]
    pub(super) fn open_walking(path: &Path, symlinks: Symlinks) -> io::Result<Root> {
        Ok(Root { how: How::Walk, ..Root::open(path, symlinks)? })
    }

    /// Opens the file or directory at `path`. The path is relative to the root, decoded,
    /// and has no slash in front; it is empty for the root itself. With a slash at the end
    /// it is the path of a directory. This takes five system calls unless there is a link.
    ///
    /// A directory is opened for reading. One that may only be searched is `Forbidden`, but
    /// a file in it is found by its own path.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn get(&self, path: &[u8]) -> Result<Opened, OpenError> {
        if !self.may_serve(path) {
            return Err(OpenError::NotFound);
        }
        match look_and_open(|flags| self.open_without_links(path, flags)) {
            Ok(fd) => identify(fd, false),
            Err(Errno::LOOP) if self.follows_links() => look_and_open(|flags| self.openat2(path, flags, BENEATH))
                .map_err(OpenError::from)
                .and_then(|fd| identify(fd, true))
                .map_err(OpenError::behind_link),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The metadata of what [`get`](Root::get) would find, `None` if nothing. It opens
    /// nothing for reading, and doesn't check the permission to read.
    pub fn peek(&self, path: &[u8]) -> Option<Metadata> {
        if !self.may_serve(path) {
            return None;
        }
        let fd = match self.open_without_links(path, NAME) {
            Err(Errno::LOOP) if self.follows_links() => self.openat2(path, NAME, BENEATH),
            other => other,
        };
        Metadata::of(&rustix::fs::fstat(fd.ok()?).ok()?)
    }

    /// The metadata of what is at `path` now, in one system call and without an open. Only
    /// compare it with the metadata of an earlier [`get`](Root::get). A link in the last
    /// component isn't followed, but links before it are, also out of the root. So alone it
    /// proves nothing.
    pub fn stat(&self, path: &[u8]) -> Option<Metadata> {
        if !self.may_serve(path) {
            return None;
        }
        let path = if path.is_empty() { b"." } else { path };
        // NO_AUTOMOUNT: a check must not mount anything.
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        Metadata::of(&rustix::fs::statat(&self.dir, path, flags).ok()?)
    }

    /// Whether there is a symbolic link in `path` that isn't followed: none is, or it leads out
    /// of the root or nowhere.
    pub fn refuses_link(&self, path: &[u8]) -> bool {
        let is_link = |path: &[u8]| {
            let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
            rustix::fs::statat(&self.dir, path, flags)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_symlink())
        };
        // The first link is found before anything behind it is looked at.
        let mut ends = memchr::memchr_iter(b'/', path).chain([path.len()]);
        may_be_served(path) && self.peek(path).is_none() && ends.any(|end| is_link(&path[..end]))
    }

    /// Whether openat2(2) is missing, so that no links are followed, whatever the setting
    /// is.
    pub fn fallback(&self) -> bool {
        self.how == How::Walk
    }

    /// Whether symbolic links are followed.
    pub fn follows_links(&self) -> bool {
        self.symlinks == Symlinks::Inside && self.how == How::Openat2
    }

    /// The path of the root's directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the only file that is served; none if all are.
    pub fn only(&self) -> Option<&[u8]> {
        self.only.as_deref()
    }

    /// Whether `path` has the form of a path that can be served, whatever is there.
    pub fn may_serve(&self, path: &[u8]) -> bool {
        match &self.only {
            Some(only) => path == &**only,
            None => may_be_served(path),
        }
    }

    /// Opens the path of the root again, since a deployment often changes the target of a
    /// link, and a network or user file system may have been mounted again. True if the path
    /// names another directory now, or if the old one fails. Then a cache and the watches
    /// ([`Watch::clear`](super::watch::Watch::clear)) must be cleared.
    ///
    /// # Errors
    /// Of open(2), fstat(2). Then the root is unchanged.
    pub fn refresh(&mut self) -> io::Result<bool> {
        let dir = open_root(&self.path)?;
        if is_same(identity(&self.dir), identity(&dir)?) {
            return Ok(false);
        }
        self.dir = Arc::new(dir);
        Ok(true)
    }

    /// Opens the directory at `path` below the root as a name only, never through a link.
    pub(super) fn directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.open_without_links(path, NAME | OFlags::DIRECTORY)
    }

    fn open_without_links(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        match self.how {
            How::Openat2 => self.openat2(path, flags, NO_LINKS),
            How::Walk => self.walk(path, flags),
        }
    }

    fn openat2(&self, path: &[u8], flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        retry(|| rustix::fs::openat2(&self.dir, path, flags, Mode::empty(), resolve))
    }

    /// The path must have passed [`may_be_served`], since `..` would be followed here.
    fn walk(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let open = |at: &dyn AsFd, name: &[u8], flags: OFlags| {
            retry(|| rustix::fs::openat(at.as_fd(), name, flags | OFlags::NOFOLLOW, Mode::empty()))
        };
        let (path, flags) = match path.strip_suffix(b"/") {
            Some(path) => (path, flags | OFlags::DIRECTORY),
            None => (path, flags),
        };
        let mut components = path.split(|&b| b == b'/');
        // `split` yields at least one piece, an empty one for the root's own path.
        let last = components.next_back().filter(|last| !last.is_empty()).unwrap_or(b".");
        let mut above: Option<OwnedFd> = None;
        for name in components {
            let at: &dyn AsFd = above.as_ref().map_or(&self.dir, |fd| fd);
            above = Some(open(at, name, NAME | OFlags::DIRECTORY)?);
        }
        open(above.as_ref().map_or(&self.dir, |fd| fd), last, flags)
    }
}

/// Whether a name is never served: it begins with a dot and isn't `.well-known`.
fn is_hidden(name: &[u8]) -> bool {
    name.first() == Some(&b'.') && name != b".well-known"
}

/// Whether a request can reach a file or directory of this name: it isn't hidden, and has no byte
/// that no request path can contain.
pub fn is_reachable(name: &[u8]) -> bool {
    !is_hidden(name) && !name.iter().any(|byte| byte.is_ascii_control() || *byte == b'\\')
}

/// The path of the directory, without its slash, and the name in it.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    memchr::memrchr(b'/', path).map_or((&b""[..], path), |slash| (&path[..slash], &path[slash + 1..]))
}

/// Whether `path` has the form of a path that can be served: it is relative, no component
/// is empty or hidden, and there is at most one slash at the end. So each file has one
/// path, as a cache needs it.
fn may_be_served(path: &[u8]) -> bool {
    if path.is_empty() {
        return true;
    }
    if path.len() > limits::PATH || path.contains(&0) {
        return false;
    }
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.split(|&b| b == b'/').all(|name| !name.is_empty() && !is_hidden(name))
}

/// Device and inode of a directory.
type Identity = (u64, u64);

fn identity(dir: &OwnedFd) -> Result<Identity, Errno> {
    let stat = rustix::fs::fstat(dir)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Whether the directory that was opened before is the one that has the path now. It is
/// still open, so no other can have its inode number, unless its file system is gone.
fn is_same(old: Result<Identity, Errno>, new: Identity) -> bool {
    old == Ok(new)
}

fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    retry(|| rustix::fs::openat(CWD, path, NAME | OFlags::DIRECTORY, Mode::empty()))
}

/// Opens for reading what `open` opens, if it is a file or a directory; else it isn't
/// opened (NXIO).
fn look_and_open(open: impl Fn(OFlags) -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    let name = open(NAME)?;
    match Metadata::of(&rustix::fs::fstat(&name)?) {
        Some(_) => open(READ),
        None => Err(Errno::NXIO),
    }
}

/// The opened file or directory; `NotFound` if it is neither.
fn identify(fd: OwnedFd, via_symlink: bool) -> Result<Opened, OpenError> {
    let metadata = Metadata::of(&rustix::fs::fstat(&fd)?).ok_or(OpenError::NotFound)?;
    Ok(if metadata.directory {
        Opened::Directory { dir: fd, metadata, via_symlink }
    } else {
        Opened::File { file: File::from(fd), metadata, via_symlink }
    })
}

/// Tries again after a race: openat2 fails with EAGAIN if a rename happens meanwhile, and a
/// network file system may be interrupted.
fn retry(mut open: impl FnMut() -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    let mut left = limits::OPEN_RETRIES;
    loop {
        match open() {
            Err(Errno::AGAIN | Errno::INTR) if left > 0 => left -= 1,
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// The result for a path, in a form to compare.
    #[derive(Debug, PartialEq)]
    enum Got {
        File(String),
        LinkedFile(String),
        Directory,
        LinkedDirectory,
        NotFound,
        BrokenLink,
        Forbidden,
        Other(String),
    }

    fn get(root: &Root, path: &[u8]) -> Got {
        match root.get(path) {
            Ok(Opened::File { mut file, metadata, via_symlink }) => {
                let mut content = String::new();
                file.read_to_string(&mut content).unwrap();
                assert_eq!(content.len() as u64, metadata.size);
                if via_symlink { Got::LinkedFile(content) } else { Got::File(content) }
            }
            Ok(Opened::Directory { via_symlink: false, .. }) => Got::Directory,
            Ok(Opened::Directory { via_symlink: true, .. }) => Got::LinkedDirectory,
            Err(OpenError::NotFound) => Got::NotFound,
            Err(OpenError::BrokenLink) => Got::BrokenLink,
            Err(OpenError::Forbidden) => Got::Forbidden,
            Err(other) => Got::Other(format!("{other:?}")),
        }
    }

    fn file(content: &str) -> Got {
        Got::File(content.into())
    }

    /// `www` is the root. What is beside it must never be served.
    fn site() -> (Scratch, Option<UnixListener>) {
        let s = Scratch::new();
        for d in ["www/a/b", "www/.git", "www/.well-known/acme", "www/a/.hidden", "outside", "www/c"] {
            s.directory(d);
        }
        s.file("outside/secret", "secret");
        s.file("secret", "secret");
        for f in ["f", "a/f", "a/b/f", ".git/config", ".well-known/acme/token", ".env", "a/.hidden/f", "...", "c/~"] {
            s.file(&format!("www/{f}"), f);
        }
        s.file("www/.well-known.txt", "no");
        s.link("www/link", "f");
        s.link("www/a/up", "../f");
        s.link("www/a/b/upup", "../../a/f");
        s.link("www/dir", "a/b");
        s.link("www/chain", "link");
        s.link("www/escape", "../secret");
        s.link("www/out-and-in", "../www/f");
        s.link("www/outdir", "../outside");
        s.link("www/absolute", s.at("www/f"));
        s.link("www/absolute-out", s.at("secret"));
        s.link("www/dangling", "nothing");
        s.link("www/loop", "loop");
        s.link("www/magic", "/proc/self/root");
        s.link("www/to-hidden", ".env");
        s.link("www/to-fifo", "fifo");
        s.fifo("www/fifo");
        let socket = UnixListener::bind(s.at("www/socket")).ok();
        (s, socket)
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "most of it is a table")]
    fn every_path_of_the_table_with_every_kind_of_root() {
        use Got::*;
        let (s, _socket) = site();
        let long_name = vec![b'n'; 256];
        let long_path = b"a/".repeat(2048);
        let same: &[(&[u8], Got)] = &[
            (b"", Directory),
            (b"f", file("f")),
            (b"a", Directory),
            (b"a/", Directory),
            (b"a/f", file("a/f")),
            (b"a/b/f", file("a/b/f")),
            (b"c/~", file("c/~")),
            (b"f/", NotFound),
            (b"f/f", NotFound),
            (b"a/b/f/", NotFound),
            (b"missing", NotFound),
            (b"missing/f", NotFound),
            (b"a//f", NotFound),
            (b"a//", NotFound),
            (b"/", NotFound),
            (b"/f", NotFound),
            (b"/etc/passwd", NotFound),
            (b".", NotFound),
            (b"./f", NotFound),
            (b"a/./f", NotFound),
            (b"..", NotFound),
            (b"../secret", NotFound),
            (b"a/../f", NotFound),
            (b"a/../../secret", NotFound),
            (b"...", NotFound),
            (b".env", NotFound),
            (b".git", NotFound),
            (b".git/config", NotFound),
            (b"a/.hidden/f", NotFound),
            (b".well-known", Directory),
            (b".well-known/acme/token", file(".well-known/acme/token")),
            (b".well-known.txt", NotFound),
            (b"f\0", NotFound),
            (b"f\0.html", NotFound),
            (b"\xff\xfe", NotFound),
            (b"fifo", NotFound),
            (b"fifo/", NotFound),
            (b"socket", NotFound),
            (&long_name, NotFound),
            (&long_path, NotFound),
        ];
        let links: &[(&[u8], Got)] = &[
            (b"link", LinkedFile("f".into())),
            (b"chain", LinkedFile("f".into())),
            (b"a/up", LinkedFile("f".into())),
            (b"a/b/upup", LinkedFile("a/f".into())),
            (b"dir/upup", LinkedFile("a/f".into())),
            (b"dir", LinkedDirectory),
            (b"dir/", LinkedDirectory),
            (b"dir/f", LinkedFile("a/b/f".into())),
            (b"to-hidden", LinkedFile(".env".into())),
            (b"dir/missing", BrokenLink),
            (b"link/", BrokenLink),
            (b"escape", BrokenLink),
            (b"out-and-in", BrokenLink),
            (b"outdir", BrokenLink),
            (b"outdir/secret", BrokenLink),
            (b"absolute", BrokenLink),
            (b"absolute-out", BrokenLink),
            (b"dangling", BrokenLink),
            (b"loop", BrokenLink),
            (b"loop/f", BrokenLink),
            (b"magic", BrokenLink),
            (b"magic/etc/passwd", BrokenLink),
            (b"to-fifo", BrokenLink),
        ];
        let www = s.at("www");
        let inside = Root::open(&www, Symlinks::Inside).unwrap();
        let none = Root::open(&www, Symlinks::None).unwrap();
        let walk = Root::open_walking(&www, Symlinks::Inside).unwrap();
        assert!(walk.fallback() && !walk.follows_links() && !none.follows_links());
        for root in [&inside, &none, &walk] {
            for (path, expected) in same {
                assert_eq!(get(root, path), *expected, "{} by {root:?}", path.escape_ascii());
                let seen = matches!(expected, File(_) | Directory);
                assert_eq!(root.peek(path).is_some(), seen, "{}", path.escape_ascii());
                assert_eq!(root.stat(path).is_some(), seen, "{}", path.escape_ascii());
                assert!(!root.refuses_link(path), "{}", path.escape_ascii());
            }
        }
        for (path, expected) in links {
            if !inside.fallback() {
                assert_eq!(get(&inside, path), *expected, "{}", path.escape_ascii());
                let seen = matches!(expected, LinkedFile(_) | LinkedDirectory);
                assert_eq!(inside.peek(path).is_some(), seen, "{}", path.escape_ascii());
                assert_eq!(inside.refuses_link(path), !seen, "{}", path.escape_ascii());
            }
            for root in [&none, &walk] {
                assert_eq!(get(root, path), NotFound, "{} by {root:?}", path.escape_ascii());
                assert_eq!(root.peek(path), None, "{} by {root:?}", path.escape_ascii());
                assert!(root.refuses_link(path), "{} by {root:?}", path.escape_ascii());
            }
        }
    }

    #[test]
    fn a_directory_that_becomes_a_link_never_leads_out_of_the_root() {
        let (s, _socket) = site();
        s.file("www/a/secret", "inside");
        s.link("www/swap", "../outside");
        let roots = [
            Root::open(&s.at("www"), Symlinks::Inside).unwrap(),
            Root::open(&s.at("www"), Symlinks::None).unwrap(),
            Root::open_walking(&s.at("www"), Symlinks::Inside).unwrap(),
        ];
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (a, b) = (s.at("www/a"), s.at("www/swap"));
                while !stop.load(Ordering::Relaxed) {
                    rustix::fs::renameat_with(CWD, &a, CWD, &b, rustix::fs::RenameFlags::EXCHANGE).unwrap();
                }
            });
            let bad = (0..5_000).flat_map(|_| &roots).map(|root| get(root, b"a/secret")).find(|got| {
                // At the second call the link may be a directory again (LinkedFile). Endless EAGAIN (Exhausted) is
                // right too, since nothing is opened.
                let (linked, exhausted) = (Got::LinkedFile("inside".into()), Got::Other("Exhausted".into()));
                ![file("inside"), linked, Got::NotFound, Got::BrokenLink, exhausted].contains(got)
            });
            stop.store(true, Ordering::Relaxed);
            assert_eq!(bad, None);
        });
    }

    #[test]
    fn errors_have_their_kinds() {
        let to = |errno: Errno| match OpenError::from(errno) {
            OpenError::NotFound => "not found",
            OpenError::BrokenLink => "broken link",
            OpenError::Forbidden => "forbidden",
            OpenError::Exhausted => "exhausted",
            OpenError::Io(_) => "io",
        };
        for (errno, expected) in [
            (Errno::NOENT, "not found"),
            (Errno::NOTDIR, "not found"),
            (Errno::LOOP, "not found"),
            (Errno::XDEV, "not found"),
            (Errno::NXIO, "not found"),
            (Errno::NAMETOOLONG, "not found"),
            (Errno::ILSEQ, "not found"),
            (Errno::ACCESS, "forbidden"),
            (Errno::PERM, "forbidden"),
            (Errno::MFILE, "exhausted"),
            (Errno::NFILE, "exhausted"),
            (Errno::NOMEM, "exhausted"),
            (Errno::AGAIN, "exhausted"),
            (Errno::IO, "io"),
            (Errno::STALE, "io"),
        ] {
            assert_eq!(to(errno), expected, "{errno:?}");
        }
    }

    #[test]
    fn permissions_hold_unless_the_user_is_root() {
        let s = Scratch::new();
        s.directory("closed");
        s.file("closed/f", "f");
        s.file("f", "f");
        for name in ["closed", "f"] {
            fs::set_permissions(s.at(name), fs::Permissions::from_mode(0o000)).unwrap();
        }
        let is_root = rustix::process::geteuid().is_root();
        for root in [Root::open(s.path(), Symlinks::Inside), Root::open_walking(s.path(), Symlinks::Inside)] {
            let root = root.unwrap();
            assert_eq!(get(&root, b"f"), if is_root { file("f") } else { Got::Forbidden });
            assert_eq!(get(&root, b"closed/f"), if is_root { file("f") } else { Got::Forbidden });
            assert_eq!(get(&root, b"closed"), if is_root { Got::Directory } else { Got::Forbidden });
        }
        fs::set_permissions(s.at("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn metadata_differs_between_versions() {
        let s = Scratch::new();
        s.file("f", "1");
        let root = Root::open(s.path(), Symlinks::Inside).unwrap();
        let Ok(Opened::File { metadata, .. }) = root.get(b"f") else { panic!("no file") };
        assert_eq!(root.stat(b"f"), Some(metadata));
        assert_eq!((metadata.size, metadata.directory, metadata.hard_linked), (1, false, false));
        // It has the same length, and is renamed into place as editors do: another inode.
        s.file("g", "2");
        fs::rename(s.at("g"), s.at("f")).unwrap();
        assert_ne!(root.stat(b"f"), Some(metadata));
        fs::hard_link(s.at("f"), s.at("h")).unwrap();
        assert!(root.stat(b"f").unwrap().hard_linked);
        fs::remove_file(s.at("f")).unwrap();
        s.link("f", "h");
        assert_eq!(root.stat(b"f"), None);
    }

    #[test]
    fn a_switched_root_is_noticed() {
        let s = Scratch::new();
        for version in ["1", "2"] {
            s.directory(version);
            s.file(&format!("{version}/f"), version);
        }
        s.link("current", "1");
        let mut root = Root::open(&s.at("current"), Symlinks::Inside).unwrap();
        assert!(!root.refresh().unwrap());
        s.link("next", "2");
        fs::rename(s.at("next"), s.at("current")).unwrap();
        assert_eq!(get(&root, b"f"), file("1"));
        assert!(root.refresh().unwrap());
        assert_eq!(get(&root, b"f"), file("2"));
        assert!(!root.refresh().unwrap());
        fs::remove_file(s.at("current")).unwrap();
        assert!(root.refresh().is_err());
        assert_eq!(get(&root, b"f"), file("2"));
    }

    #[test]
    fn only_files_and_directories_are_opened() {
        use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
        let (s, _socket) = site();
        let inotify = inotify::init(CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&inotify, s.at("www"), WatchFlags::OPEN).unwrap();
        let opened = || {
            let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
            let mut reader = inotify::Reader::new(&inotify, &mut buffer);
            let mut names = Vec::new();
            while let Ok(event) = reader.next() {
                assert!(event.events().contains(ReadFlags::OPEN));
                names.extend(event.file_name().map(|name| name.to_str().unwrap().to_owned()));
            }
            names
        };
        for root in [
            Root::open(&s.at("www"), Symlinks::Inside).unwrap(),
            Root::open(&s.at("www"), Symlinks::None).unwrap(),
            Root::open_walking(&s.at("www"), Symlinks::Inside).unwrap(),
        ] {
            for path in ["fifo", "to-fifo", "socket", "fifo/"] {
                assert!(matches!(get(&root, path.as_bytes()), Got::NotFound | Got::BrokenLink), "{path}");
            }
            assert_eq!(opened(), [""; 0], "{root:?}");
            assert_eq!((get(&root, b"f"), opened()), (file("f"), vec!["f".to_owned()]));
        }
    }

    #[test]
    fn a_root_that_fails_is_another_one() {
        assert!(is_same(Ok((1, 2)), (1, 2)));
        for old in [Ok((1, 3)), Ok((2, 2)), Err(Errno::STALE), Err(Errno::NOTCONN), Err(Errno::IO)] {
            assert!(!is_same(old, (1, 2)), "{old:?}");
        }
        let s = Scratch::new();
        s.directory("www");
        s.file("www/f", "1");
        let mut root = Root::open(&s.at("www"), Symlinks::Inside).unwrap();
        fs::remove_dir_all(s.at("www")).unwrap();
        assert!(root.refresh().is_err());
        s.directory("www");
        s.file("www/f", "2");
        assert_eq!(get(&root, b"f"), Got::NotFound);
        assert!(root.refresh().unwrap());
        assert_eq!(get(&root, b"f"), file("2"));
        assert!(!root.refresh().unwrap());
    }

    #[test]
    fn of_a_root_that_is_a_file_only_this_file_is_served() {
        let (s, _socket) = site();
        for (name, symlinks) in [("f", Symlinks::None), (".env", Symlinks::None), ("link", Symlinks::Inside)] {
            let root = Root::open(&s.at("www").join(name), symlinks).unwrap();
            let name = name.as_bytes();
            assert_eq!((root.path(), root.only()), (&*s.at("www"), Some(name)));
            for path in ["", "f", ".env", "link", "a", "a/", "a/f", "a/b/f", "../secret", "f/", "./f", "index.html"] {
                let path = path.as_bytes();
                let found = get(&root, path);
                assert_eq!(found != Got::NotFound, path == name, "{} of {root:?}", path.escape_ascii());
                assert_eq!(root.peek(path).is_some(), path == name, "{}", path.escape_ascii());
                assert_eq!(root.stat(path).is_some(), path == name && name != b"link", "{}", path.escape_ascii());
            }
        }
    }

    #[test]
    fn a_root_must_be_a_directory_or_a_file_that_may_be_served() {
        let (s, _socket) = site();
        for name in ["missing", "fifo", "socket", "dangling", "escape", "absolute", "loop", "f/f"] {
            assert!(Root::open(&s.at("www").join(name), Symlinks::Inside).is_err(), "{name}");
        }
        assert!(Root::open(&s.at("www/link"), Symlinks::None).is_err());
        assert!(Root::open(Path::new("/"), Symlinks::None).is_ok());
    }
}
