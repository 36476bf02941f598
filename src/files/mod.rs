//! Static files: from a path to a response.
//!
//! ```text
//! request path ─ decoded ─▶ cache ──hit──▶ Entry ─ one of its forms ─▶ Representation ─▶ output
//!                             │ miss
//!                             ▼
//!                 watch (before the open) ─▶ resolve (openat2) ─▶ Entry
//! ```
//!
//! [`resolve`] opens files and proves that they are below the root. [`watch`] reports
//! changes. `load` takes these steps; `coded` finds files that are compressed already, `compressing` compresses others. `entry` keeps
//! the forms of a file, and chooses among them. [`representation`] builds and writes responses,
//! `validators` says what a client may compare, `error_pages` which file an error has. [`listing`] reads directories,
//! [`listing_page`] writes them. `names` finds the files that represent a path in several languages and types,
//! `negotiated` serves one of them. `readings` keeps what helper threads read. [`Site`] combines all.

mod cache;
mod candidates;
mod coded;
mod compressing;
mod entry;
mod error_pages;
pub mod glob;
pub mod listing;
pub mod listing_page;
mod listings;
mod load;
mod names;
mod negotiated;
mod read;
mod readings;
pub mod representation;
pub mod resolve;
#[cfg(test)]
pub(crate) mod scratch;
mod validators;
pub mod watch;

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;

use crate::http::head::RequestHead;
use crate::http::media_type::MediaTypes;
use crate::http::response::HeadContext;
use crate::http::target;
use crate::http::{Reject, Status, negotiate};
use crate::limits;
use crate::reactor::{Output, Tick};
use cache::Cache;
pub use cache::CacheFigures;
use candidates::Candidates;
pub use coded::original;
pub use compressing::CompressionJob;
use entry::{Entry, Selected};
pub use error_pages::{ErrorPage, ErrorPages};
use glob::Glob;
use listing::{Listing, Page};
use listing_page::Format;
pub use listings::ListingJob;
use listings::Listings;
use load::Missed;
pub use load::nothing_to_show;
pub use names::{Names, NamesJob};
pub use negotiated::{Alternative, Negotiation, NotAcceptable};
use readings::Readings;
use representation::{Answered, Modified};
pub use representation::{CacheResult, Failure, PRECONDITION_FAILED, PlainContent, PlainFile};
use resolve::Root;
use watch::{Change, Watch};

/// The settings of a site.
pub struct Settings {
    /// Directories without an index file are listed.
    pub listing: bool,
    /// The value of Cache-Control.
    pub cache_control: String,
    /// Files that are there in a coding, like `a.html.br`, are sent in place of the plain ones.
    pub precompressed: bool,
    /// Changes of files are noticed at once; else each file is checked once a second.
    pub watch: bool,
    /// Bytes of memory for small files; 0 turns the cache off.
    pub cache_size: usize,
    /// Most descriptors of large files that are kept open.
    pub open_files: usize,
    /// The entity-tag has the inode and the ctime too.
    pub etag_inode: bool,
    /// The names of index files, in their order.
    pub index: Vec<String>,
    /// `/about` shows `about.html`.
    pub pretty_urls: bool,
    /// How one of several representations is chosen; `None`: each path is that of one file.
    pub negotiation: Option<Negotiation>,
    /// Extensions and their media types.
    pub media_types: Arc<MediaTypes>,
    /// The file for paths that aren't found, relative to the root.
    pub spa: Option<String>,
    /// The pages for errors.
    pub error_pages: Rc<ErrorPages>,
    /// Fields of files by their names: name and value. The last that matches counts.
    pub fields: Vec<(Glob, Vec<(String, String)>)>,
}

impl Settings {
    /// Whether a path without a file may show a page all the same.
    fn has_more_pages(&self) -> bool {
        self.spa.is_some() || self.negotiation.is_some()
    }

    /// The fields of a file, by its path without a slash in front.
    fn fields_of(&self, path: &[u8]) -> Vec<(&str, &str)> {
        let mut fields: Vec<(&str, &str)> = Vec::new();
        for (_, set) in self.fields.iter().filter(|(glob, _)| glob.matches(path)) {
            fields.retain(|(name, _)| set.iter().all(|(other, _)| !other.eq_ignore_ascii_case(name)));
            fields.extend(set.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        }
        fields
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listing: false,
            cache_control: "no-cache".to_owned(),
            precompressed: true,
            watch: true,
            cache_size: limits::CACHE,
            open_files: limits::OPEN_FILES,
            etag_inode: false,
            index: vec!["index.html".to_owned()],
            pretty_urls: false,
            negotiation: None,
            media_types: Arc::default(),
            spa: None,
            error_pages: Rc::new(ErrorPages::new(Vec::new())),
            fields: Vec::new(),
        }
    }
}

/// A tree of files that is served.
pub struct Site {
    root: Root,
    watch: Option<Watch>,
    /// The watch may have more changes than one turn takes.
    undrained: bool,
    cache: Cache,
    listings: Listings,
    names: Readings<Names>,
    candidates: Candidates,
    settings: Settings,
    /// A random number for entity-tags; another one for each root directory.
    edition: u64,
    /// When the root was last checked, in seconds of the loop's clock.
    checked: u32,
    /// The log says what shows the content of a directory.
    hinted: bool,
    /// A buffer for paths.
    path: Vec<u8>,
    /// A job that is to be begun.
    job: Option<Box<CompressionJob>>,
}

/// A request for a file.
pub struct Asked<'a> {
    /// A GET or HEAD.
    pub request: &'a RequestHead<'a>,
    /// The decoded path, without a slash in front.
    pub key: &'a [u8],
    /// The names that a job has read for it.
    pub names: Option<&'a Arc<Names>>,
    /// How the head of the response is written.
    pub context: HeadContext<'a>,
}

/// What there is in place of a file.
pub enum Unanswered {
    /// The path is a directory that shows something, without its slash; this is the Location.
    Redirect(Vec<u8>),
    /// The path is a directory that is listed.
    Listing(Listed, Format),
    /// The client accepts no form that is there: the file as it is, which may be compressed on its way.
    Plain(Box<PlainFile>),
    /// A helper thread must read the names in a directory. Then the request is asked again with
    /// them.
    Names(Box<NamesJob>),
    /// The client accepts none of the representations.
    NotAcceptable(Box<NotAcceptable>),
    /// The path isn't served.
    Refused(Reject),
}

impl Unanswered {
    /// The same; a file has these field lines, too.
    fn with_lines(mut self, lines: &[u8]) -> Self {
        if let Self::Plain(file) = &mut self {
            file.lines.extend_from_slice(lines);
        }
        self
    }
}

// It is moved several times for each response, so it must be small.
const _: () = assert!(size_of::<Unanswered>() <= 40);

/// The listing of a directory.
pub enum Listed {
    /// A listing that is kept.
    Ready(Arc<Listing>),
    /// A helper thread must read the directory.
    Job(Box<ListingJob>),
}

impl Site {
    /// The files below `root`.
    pub fn new(root: Root, settings: Settings) -> Self {
        let watch = settings.watch.then(|| {
            Watch::new().inspect_err(|error| {
                log::warn!("can't watch for changed files ({error}): each file is checked once a second");
            })
        });
        // A root that is a file has one index: that file.
        let index = match root.only() {
            Some(only) => vec![Box::from(only)],
            None => settings.index.iter().map(|name| name.as_bytes().into()).collect(),
        };
        Self {
            candidates: Candidates::new(index, settings.pretty_urls),
            cache: Cache::new(settings.cache_size, settings.open_files),
            root,
            watch: watch.and_then(Result::ok),
            undrained: false,
            listings: Listings::new(limits::LISTINGS, limits::LISTINGS_MEMORY),
            names: Readings::new(limits::NAMED_DIRECTORIES, limits::NAMES_MEMORY),
            settings,
            edition: random(),
            checked: 0,
            hinted: false,
            path: Vec::new(),
            job: None,
        }
    }

    /// The descriptor that becomes readable when a file changes, if there is one.
    pub fn watch_fd(&self) -> Option<RawFd> {
        self.watch.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Bytes of memory that the cached files take.
    pub fn cache_memory(&self) -> usize {
        self.cache.memory()
    }

    /// As [`Root::refuses_link`].
    pub fn refuses_link(&self, path: &[u8]) -> bool {
        self.root.refuses_link(path)
    }

    /// Takes note of changes. Call it before the requests of the same turn.
    pub fn take_changes(&mut self) {
        let Self { watch: Some(watch), candidates, cache, listings, names, path, checked, .. } = self else { return };
        self.undrained = watch.drain(|change| match change {
            Change::Entry(entry) => {
                forget(cache, path, candidates, &entry);
                listings.forget(&entry);
                names.forget(&entry);
            }
            Change::Created(entry) => {
                forget(cache, path, candidates, &entry);
                cache.forget_missing();
                listings.forget(&entry);
                names.forget(&entry);
            }
            Change::All => {
                cache.clear();
                listings.clear();
                names.clear();
                // The root itself may have been moved or unmounted: the next request looks.
                *checked = checked.wrapping_sub(1);
            }
        });
    }

    /// Writes the response to a request for a file.
    ///
    /// # Errors
    /// What there is in place of a file; the output is unchanged.
    pub fn serve(&mut self, asked: &Asked<'_>, now: Tick, output: &mut Output) -> Result<Answered, Unanswered> {
        if self.undrained {
            self.take_changes();
        }
        let now = seconds(now);
        if now != self.checked {
            self.check_root(now);
        }
        let result = self.with(asked.key, asked.request.codings, asked.context, now, |entry, cache| {
            respond(entry, cache, asked, false, output)
        });
        match result {
            Ok(served) => served,
            Err(missed) => self.serve_missed(asked, missed, now, output),
        }
    }

    /// Serves a path that has no file of its own.
    #[inline(never)]
    fn serve_missed(
        &mut self,
        asked: &Asked<'_>,
        missed: Missed,
        now: u32,
        output: &mut Output,
    ) -> Result<Answered, Unanswered> {
        if let Some(served) = self.negotiate(asked, &missed, now, output) {
            return served;
        }
        Err(match missed {
            Missed::Redirect => Unanswered::Redirect(location(asked.key, asked.request.target.query)),
            Missed::Directory(dir) => self.list(dir, asked.key, asked.request, now),
            Missed::NotFound | Missed::Bare => return self.serve_missing(asked, now, output),
            missed => missed.refusal(asked.key),
        })
    }

    fn serve_missing(&mut self, asked: &Asked<'_>, now: u32, output: &mut Output) -> Result<Answered, Unanswered> {
        if let Some(page) = self.settings.spa.take() {
            let result = self.with(page.as_bytes(), asked.request.codings, asked.context, now, |entry, cache| {
                respond(entry, cache, asked, false, output)
            });
            self.settings.spa = Some(page);
            if let Ok(result) = result {
                return result;
            }
        }
        Err(Missed::NotFound.refusal(asked.key))
    }

    /// A job that the last request needs for the next ones. Without it they get the file as it is.
    pub fn take_job(&mut self) -> Option<Box<CompressionJob>> {
        self.job.take()
    }

    /// What the cache counts.
    pub fn cache_figures(&self) -> CacheFigures {
        self.cache.figures()
    }

    /// Writes an error response with the page that the root has for it, if there is one.
    pub fn serve_error(
        &mut self,
        failure: &Failure<'_>,
        context: HeadContext<'_>,
        now: Tick,
        output: &mut Output,
    ) -> Option<Answered> {
        let pages = Rc::clone(&self.settings.error_pages);
        let (page, codings) = (pages.of(failure.status)?, failure.codings);
        self.with(page.as_bytes(), codings, context, seconds(now), |entry, _| {
            entry.for_error(codings).respond_to_failure(failure, context, output)
        })
        .ok()?
        .ok()
    }

    fn list(&mut self, dir: OwnedFd, key: &[u8], request: &RequestHead<'_>, now: u32) -> Unanswered {
        let page = Page::from_query(request.target.query.unwrap_or_default());
        let format = if negotiate::prefers_json(&request.fields) { Format::Json } else { Format::Html };
        let directory = key.strip_suffix(b"/").unwrap_or(key);
        // What is behind links isn't watched.
        let listed = match self.listings.find(directory, &page, now, |_| false) {
            Some(listing) => Listed::Ready(listing),
            None => Listed::Job(Box::new(ListingJob {
                reading: self.listings.begin(directory, page, now),
                root: self.root.clone(),
                dir,
                precompressed: self.settings.precompressed,
            })),
        };
        Unanswered::Listing(listed, format)
    }

    /// Checks whether the root's path names another directory now, for example after a
    /// deployment that switches a link. This happens once a second, and when something fails.
    fn check_root(&mut self, now: u32) {
        self.checked = now;
        match self.root.refresh() {
            Ok(false) => {}
            Ok(true) => {
                log::info!("{} is another directory now", self.root.path().display());
                self.edition = random();
                self.cache.clear();
                self.listings.clear();
                self.names.clear();
                if let Some(watch) = &mut self.watch {
                    watch.clear();
                }
            }
            Err(error) => log::debug!("{}: {error}", self.root.path().display()),
        }
    }
}

/// Removes the entries of a changed file or directory: by its own path, as a directory,
/// for the other paths that it may answer for, and as a form of another file.
fn forget(cache: &mut Cache, path: &mut Vec<u8>, candidates: &Candidates, entry: &[u8]) {
    for file in [Some(entry), coded::original(entry)].into_iter().flatten() {
        cache.remove(file);
        candidates.keys(file, |key| cache.remove(key));
    }
    path.clear();
    path.extend_from_slice(entry);
    path.push(b'/');
    cache.remove(path);
}

/// The Location for the path of a directory without its slash. It is the decoded path
/// after a single slash, so it stays on this server whatever the request is.
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

fn random() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1
}

fn seconds(now: Tick) -> u32 {
    // The seconds are only compared, or subtracted with wrapping, so they may wrap.
    (now.as_micros() / 1_000_000) as u32
}

/// Writes the response of a file, in the form that the client gets. It was `chosen` among several
/// that may have the same date.
#[inline]
fn respond(
    entry: &Entry,
    cache: CacheResult,
    asked: &Asked<'_>,
    chosen: bool,
    output: &mut Output,
) -> Result<Answered, Unanswered> {
    match entry.select(asked.request) {
        Some(Selected { form, modified }) => {
            let modified = Modified { is_shared: modified.is_shared || chosen, ..modified };
            let result = form.respond(modified, asked.request, asked.context, output);
            result.map(|answered| Answered { cache, ..answered }).map_err(Unanswered::Refused)
        }
        None => {
            let Selected { form, modified } = entry.plain();
            Err(Unanswered::Plain(Box::new(form.as_it_is(modified, cache, asked.context))))
        }
    }
}

fn refused(status: Status, why: &'static str) -> Unanswered {
    Unanswered::Refused(Reject::new(status, why))
}
