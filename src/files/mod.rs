//! Static files: from a path to an answer.
//!
//! ```text
//! request path ─ decoded ─▶ cache ──hit──▶ Representation ─▶ output
//!                             │ miss
//!                             ▼
//!                 watch (before the open) ─▶ resolve (openat2) ─▶ Representation
//! ```
//!
//! [`resolve`] proves that what is opened lies below the root, [`watch`] tells of
//! changes, [`representation`] builds and writes answers, [`listing`] makes pages
//! of directories; [`Site`] joins them.

mod cache;
pub mod listing;
pub mod listing_page;
mod listings;
pub mod representation;
pub mod resolve;
#[cfg(test)]
pub(crate) mod scratch;
pub mod watch;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use crate::http::head::RequestHead;
use crate::http::media_type::MediaTypes;
use crate::http::response::HeadContext;
use crate::http::target;
use crate::http::{Reject, Status, negotiate};
use crate::limits;
use crate::reactor::{Output, Tick};
use cache::{Cache, Known};
use listing::{Listing, Order};
use listing_page::Format;
pub use listings::ListingJob;
use listings::Listings;
use representation::{Answered, Representation, Style};
use resolve::{OpenError, Opened, Root};
use watch::{Change, Watch};

/// What a site can be told.
pub struct Settings {
    /// Directories without an index file are listed.
    pub listing: bool,
    /// The value of Cache-Control.
    pub cache_control: String,
    /// Bytes of memory for small files; 0 turns the cache off.
    pub cache_size: usize,
    /// Most descriptors of large files that are kept open.
    pub open_files: usize,
    /// The entity-tag tells inode and ctime too.
    pub etag_inode: bool,
    /// Extensions and their types.
    pub media_types: MediaTypes,
    /// The file that answers what isn't found, relative to the root.
    pub spa: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listing: false,
            cache_control: "no-cache".to_owned(),
            cache_size: limits::CACHE,
            open_files: limits::OPEN_FILES,
            etag_inode: false,
            media_types: MediaTypes::new(),
            spa: None,
        }
    }
}

/// A tree of files that is served.
pub struct Site {
    root: Root,
    watch: Option<Watch>,
    /// The watch had more to tell than one turn takes.
    undrained: bool,
    cache: Cache,
    listings: Listings,
    settings: Settings,
    /// When the root was last looked at, in seconds of the loop's clock.
    looked: u32,
    /// Paths are made here.
    path: Vec<u8>,
}

/// What became of a request for a file.
pub enum Served {
    /// It is answered; the answer is in the output.
    Answered(Answered),
    /// It is a directory: go there (a Location).
    Redirect(Vec<u8>),
    /// It is a directory that is listed.
    Listing(Listed, Format),
    /// It isn't served.
    Refused(Reject),
}

/// The listing of a directory.
pub enum Listed {
    /// It is kept.
    Ready(Arc<Listing>),
    /// A helper thread must read it.
    Job(ListingJob),
}

/// Why a path has no representation.
enum Missed {
    NotFound,
    /// It is a directory, and the path doesn't end in a slash.
    Redirect,
    /// It is a directory without an index file.
    Directory(OwnedFd),
    Forbidden,
    Exhausted,
    Failed(io::Error),
}

const INDEX: &[u8] = b"index.html";

impl Site {
    /// The files below `root`.
    pub fn new(root: Root, settings: Settings) -> Self {
        let watch = Watch::new().inspect_err(|error| {
            log::warn!("no notice of changed files ({error}): they are looked at once a second");
        });
        Self {
            cache: Cache::new(settings.cache_size, settings.open_files),
            root,
            watch: watch.ok(),
            undrained: false,
            listings: Listings::default(),
            settings,
            looked: 0,
            path: Vec::new(),
        }
    }

    /// The descriptor that becomes readable when a file changed, if there is one.
    pub fn watch_fd(&self) -> Option<RawFd> {
        self.watch.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Takes note of changes. To be called before the requests of the same turn.
    pub fn take_changes(&mut self) {
        let Self { watch: Some(watch), cache, listings, path, .. } = self else { return };
        self.undrained = watch.drain(|change| match change {
            Change::Entry(entry) => {
                forget(cache, path, &entry);
                listings.forget(&entry);
            }
            Change::Created(entry) => {
                forget(cache, path, &entry);
                cache.forget_missing();
                listings.forget(&entry);
            }
            Change::All => {
                cache.clear();
                listings.clear();
            }
        });
    }

    /// Answers a GET or HEAD for the file that the decoded path `key`, without its first
    /// slash, leads to.
    pub fn serve(
        &mut self,
        request: &RequestHead<'_>,
        key: &[u8],
        context: HeadContext<'_>,
        now: Tick,
        output: &mut Output,
    ) -> Served {
        if self.undrained {
            self.take_changes();
        }
        let now = seconds(now);
        if now != self.looked {
            self.look_at_root(now);
        }
        match self.look_up(key, now) {
            Known::Found(entry) if entry.is_under(context.policy) => answered(entry.answer(request, context, output)),
            Known::Missing => self.serve_missing(request, context, now, output),
            // Or its head says what holds elsewhere.
            Known::Unknown | Known::Found(_) => self.serve_unknown(request, key, context, now, output),
        }
    }

    #[inline(never)]
    fn serve_unknown(
        &mut self,
        request: &RequestHead<'_>,
        key: &[u8],
        context: HeadContext<'_>,
        now: u32,
        output: &mut Output,
    ) -> Served {
        let missed = match self.load(key, context, now) {
            Ok(entry) => return answered(self.keep(entry, |entry| entry.answer(request, context, output))),
            Err(missed) => missed,
        };
        match missed {
            Missed::Redirect => Served::Redirect(location(key, request.target.query)),
            Missed::Directory(dir) => self.list(dir, key, request, now),
            Missed::NotFound => self.serve_missing(request, context, now, output),
            Missed::Forbidden => refused(Status::FORBIDDEN, "the file may not be read"),
            Missed::Exhausted => refused(Status::SERVICE_UNAVAILABLE, "there are no file descriptors left"),
            Missed::Failed(error) => {
                log::error!("{}: {error}", String::from_utf8_lossy(key).escape_debug());
                refused(Status::INTERNAL_SERVER_ERROR, "the file can't be read")
            }
        }
    }

    fn serve_missing(
        &mut self,
        request: &RequestHead<'_>,
        context: HeadContext<'_>,
        now: u32,
        output: &mut Output,
    ) -> Served {
        if let Some(page) = self.settings.spa.take() {
            let result = self.with(page.as_bytes(), context, now, |entry| entry.answer(request, context, output));
            self.settings.spa = Some(page);
            if let Ok(result) = result {
                return answered(result);
            }
        }
        refused(Status::NOT_FOUND, "there is no such file")
    }

    /// Answers an error with the root's own page for it, if there is one;
    /// `lines` are further field lines.
    pub fn serve_error(
        &mut self,
        status: Status,
        lines: &[u8],
        context: HeadContext<'_>,
        now: Tick,
        output: &mut Output,
    ) -> Option<Answered> {
        let page: &[u8] = match status.0 {
            404 => b"404.html",
            500..600 => b"50x.html",
            _ => return None,
        };
        self.with(page, context, seconds(now), |entry| entry.answer_error(status, lines, context, output)).ok()?.ok()
    }

    /// Hands the representation that `key` leads to, to `answer`.
    fn with<R>(
        &mut self,
        key: &[u8],
        context: HeadContext<'_>,
        now: u32,
        answer: impl FnOnce(&Representation) -> R,
    ) -> Result<R, Missed> {
        match self.look_up(key, now) {
            Known::Found(entry) if entry.is_under(context.policy) => return Ok(answer(entry)),
            // Its head says what holds elsewhere.
            Known::Found(_) => {}
            Known::Missing => return Err(Missed::NotFound),
            Known::Unknown => {}
        }
        let loaded = self.load(key, context, now)?;
        Ok(self.keep(loaded, answer))
    }

    /// Hands a representation to `answer`, and then keeps it if it may be kept.
    fn keep<R>(&mut self, (entry, keep): (Representation, bool), answer: impl FnOnce(&Representation) -> R) -> R {
        let result = answer(&entry);
        if keep {
            self.cache.insert(entry);
        }
        result
    }

    /// What the cache knows, as far as it is still true.
    fn look_up(&mut self, key: &[u8], now: u32) -> Known<'_> {
        let Self { cache, root, path, .. } = self;
        cache.look_up(key, now, |entry| {
            file_path(key, path);
            // A weak entity-tag is to become strong as soon as it can.
            !entry.is_weak() && root.stat(path).as_ref() == Some(entry.metadata())
        })
    }

    /// Opens what `key` leads to: the representation, and whether it may be kept.
    fn load(&mut self, key: &[u8], context: HeadContext<'_>, now: u32) -> Result<(Representation, bool), Missed> {
        file_path(key, &mut self.path);
        // First the watch, then the open, so that no change falls between.
        if let Some(watch) = &mut self.watch {
            watch.cover(&self.root, &self.path);
        }
        match self.root.get(&self.path) {
            Ok(Opened::File { file, metadata, via_symlink }) => {
                let style = Style {
                    cache_control: &self.settings.cache_control,
                    media_type: self.settings.media_types.of(&self.path),
                    etag_inode: self.settings.etag_inode,
                };
                let mut entry = Representation::build(key, file, &metadata, &style, context).map_err(Missed::Failed)?;
                entry.checked = now;
                // Where links lead isn't watched.
                Ok((entry, !via_symlink && self.settings.cache_size > 0))
            }
            Ok(Opened::Directory { .. }) => Err(Missed::Redirect),
            Err(OpenError::NotFound) if self.path.len() > key.len() => self.directory(key, now),
            Err(OpenError::NotFound) => {
                self.cache.insert_missing(key, now);
                Err(Missed::NotFound)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What a directory without an index file is.
    fn directory(&mut self, key: &[u8], now: u32) -> Result<(Representation, bool), Missed> {
        if !self.settings.listing {
            self.cache.insert_missing(key, now);
            return Err(Missed::NotFound);
        }
        match self.root.get(key) {
            Ok(Opened::Directory { dir, .. }) => Err(Missed::Directory(dir)),
            Ok(Opened::File { .. }) => Err(Missed::NotFound),
            Err(error) => Err(error.into()),
        }
    }

    fn list(&mut self, dir: OwnedFd, key: &[u8], request: &RequestHead<'_>, now: u32) -> Served {
        let order = Order::from_query(request.target.query.unwrap_or_default());
        let format = if negotiate::prefers_json(&request.fields) { Format::Json } else { Format::Html };
        let listed = match self.listings.find(key, order, now) {
            Some(listing) => Listed::Ready(listing),
            None => Listed::Job(self.listings.job(&self.root, dir, key, order, now)),
        };
        Served::Listing(listed, format)
    }

    /// Once a second: whether the root's path names another directory now, as
    /// after a deployment that switches a link.
    fn look_at_root(&mut self, now: u32) {
        self.looked = now;
        match self.root.refresh() {
            Ok(false) => {}
            Ok(true) => {
                log::info!("{} is another directory now", self.root.path().display());
                self.cache.clear();
                self.listings.clear();
                if let Some(watch) = &mut self.watch {
                    watch.clear();
                }
            }
            Err(error) => log::debug!("{}: {error}", self.root.path().display()),
        }
    }
}

impl From<OpenError> for Missed {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NotFound | OpenError::BrokenLink => Self::NotFound,
            OpenError::Forbidden => Self::Forbidden,
            OpenError::Exhausted => Self::Exhausted,
            OpenError::Io(error) => Self::Failed(error),
        }
    }
}

/// The file that a path leads to: a directory's is its index.
fn file_path(key: &[u8], path: &mut Vec<u8>) {
    path.clear();
    path.extend_from_slice(key);
    if key.is_empty() || key.ends_with(b"/") {
        path.extend_from_slice(INDEX);
    }
}

/// Forgets what is known of a changed file or directory: under its own path, as
/// a directory, and as the index of its directory.
fn forget(cache: &mut Cache, path: &mut Vec<u8>, entry: &[u8]) {
    cache.remove(entry);
    if let Some(directory) = entry.strip_suffix(INDEX)
        && (directory.is_empty() || directory.ends_with(b"/"))
    {
        cache.remove(directory);
    }
    path.clear();
    path.extend_from_slice(entry);
    path.push(b'/');
    cache.remove(path);
}

/// Where a directory's address without its slash leads. Built from the decoded
/// path behind a single slash, so it stays on this server whatever was asked for.
fn location(key: &[u8], query: Option<&[u8]>) -> Vec<u8> {
    let mut location = vec![b'/'];
    target::encode_path(key, &mut location);
    location.push(b'/');
    if let Some(query) = query {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    location
}

fn seconds(now: Tick) -> u32 {
    // Only compared and subtracted with wrapping, so that it wraps is no matter.
    (now.as_micros() / 1_000_000) as u32
}

fn answered(result: Result<Answered, Reject>) -> Served {
    result.map_or_else(Served::Refused, Served::Answered)
}

fn refused(status: Status, why: &'static str) -> Served {
    Served::Refused(Reject::new(status, why))
}
