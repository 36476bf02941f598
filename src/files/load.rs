//! Finds the file of a path, in all its forms: in the cache, or on the disk. Otherwise it returns
//! why there is none.
//!
//! A directory has that of its index, which is a file. One that shows nothing
//! (there is no index, and it isn't listed) looks absent, with and without its slash.
//!
//! The root is kept open. If its file system is mounted again at the same path (FUSE, NFS),
//! every open below the old root fails. So if an open fails for another reason than the
//! path, the root is opened again by its path. Only requests that failed anyway pay for this.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::cache::Known;
use super::candidates::ends_as_directory;
use super::coded::{self, Siblings};
use super::compressing::{self, Compressed, Compressing, Outcome};
use super::entry::Entry;
use super::representation::{BuildError, Form, Representation, Style, Variety};
use super::resolve::{Metadata, OpenError, Opened};
use super::{CacheResult, Site, Unanswered, names, refused};
use crate::compression::Coding;
use crate::http::Status;
use crate::http::content_coding::{AcceptedCodings, Codings, ContentCoding};
use crate::http::language::Language;
use crate::http::response::HeadContext;

/// What the path of a file says about it.
struct NamedFile<'s> {
    fields: Vec<(&'s str, &'s str)>,
    language: Option<Language>,
    mark: Option<String>,
}

/// Why a path has no file.
pub(super) enum Missed {
    NotFound,
    /// It is a directory that shows something, and the path doesn't end with a slash.
    Redirect,
    /// It is a directory without an index file.
    Directory(OwnedFd),
    /// The same, but the path doesn't end with a slash. Representations of an index may be there, or of
    /// the path itself.
    Bare,
    Forbidden,
    /// Its size isn't the length of its content.
    Unsized,
    Exhausted,
    Failed(io::Error),
}

impl Site {
    /// Calls `respond` with the file of `key`, and whether it was in the cache. If the client would
    /// get a form of it that isn't there, it is made for the next one.
    #[inline]
    pub(super) fn with<R>(
        &mut self,
        key: &[u8],
        codings: AcceptedCodings,
        context: HeadContext<'_>,
        now: u32,
        respond: impl FnOnce(&Entry, CacheResult) -> R,
    ) -> Result<R, Missed> {
        let lacking = match self.look_up(key, now) {
            Known::Found(entry) if entry.is_under(context.policy) => match entry.lacks(codings) {
                None => return Ok(respond(entry, CacheResult::Hit)),
                Some(coding) => coding,
            },
            Known::Missing => return Err(Missed::NotFound),
            // A found entry may have the head of another policy.
            Known::Found(_) | Known::Unknown => return self.with_loaded(key, codings, context, now, respond),
        };
        match self.cache.take(key) {
            Some(entry) => Ok(self.with_incomplete(entry, lacking, context, |entry| respond(entry, CacheResult::Hit))),
            None => Err(Missed::NotFound),
        }
    }

    #[inline(never)]
    fn with_loaded<R>(
        &mut self,
        key: &[u8],
        codings: AcceptedCodings,
        context: HeadContext<'_>,
        now: u32,
        respond: impl FnOnce(&Entry, CacheResult) -> R,
    ) -> Result<R, Missed> {
        let (entry, keep) = self.load(key, context, now)?;
        let respond = |entry: &Entry| respond(entry, CacheResult::Miss);
        match entry.lacks(codings).filter(|_| keep) {
            Some(lacking) => Ok(self.with_incomplete(entry, lacking, context, respond)),
            None => Ok(self.keep((entry, keep), respond)),
        }
    }

    #[inline(never)]
    fn with_incomplete<R>(
        &mut self,
        mut entry: Entry,
        lacking: ContentCoding,
        context: HeadContext<'_>,
        respond: impl FnOnce(&Entry) -> R,
    ) -> R {
        self.compress(&mut entry, lacking, context);
        self.keep((entry, true), respond)
    }

    /// Calls `respond` with a file, and then keeps it if it may be kept.
    pub(super) fn keep<R>(&mut self, (entry, keep): (Entry, bool), respond: impl FnOnce(&Entry) -> R) -> R {
        let result = respond(&entry);
        if keep {
            self.cache.insert(entry);
        }
        result
    }

    /// What the cache knows of `key`. Entries of changed files are removed.
    pub(super) fn look_up(&mut self, key: &[u8], now: u32) -> Known<'_> {
        let Self { cache, root, path, candidates, settings, .. } = self;
        cache.look_up(key, now, |entry| {
            let absent = (0..entry.candidate).all(|number| {
                candidates.get(key, number, path);
                root.stat(path).is_none_or(|found| found.directory)
            });
            // A weak entity-tag becomes strong when the file is loaded again.
            absent && !entry.is_weak() && {
                candidates.get(key, entry.candidate, path);
                let siblings = settings.precompressed && coded::may_have_siblings(path);
                entry.is_current(siblings, |ending| {
                    let length = path.len();
                    path.extend_from_slice(ending);
                    let found = root.stat(path);
                    path.truncate(length);
                    found
                })
            }
        })
    }

    /// Opens the first candidate of `key` that is a file, and its siblings. Returns it, and whether
    /// it may be kept.
    pub(super) fn load(&mut self, key: &[u8], context: HeadContext<'_>, now: u32) -> Result<(Entry, bool), Missed> {
        let mut first = None;
        for number in 0.. {
            if !self.candidates.get(key, number, &mut self.path) {
                break;
            }
            match self.open(now) {
                Ok(Opened::File { file, metadata, via_symlink }) => {
                    let siblings = match self.settings.precompressed {
                        true => Siblings::open(&self.root, &mut self.path, &metadata),
                        false => Siblings::default(),
                    };
                    // The target of a link isn't watched.
                    let keep = !via_symlink && !siblings.unsteady && self.settings.cache_size > 0;
                    let mut entry = self.build(key, (file, metadata), siblings, keep, context)?;
                    (entry.checked, entry.candidate) = (now, number);
                    return Ok((entry, keep));
                }
                // Another candidate may be there.
                absent @ (Ok(_) | Err(OpenError::NotFound | OpenError::BrokenLink)) => {
                    first.get_or_insert(absent);
                }
                Err(error) => {
                    first = Some(Err(error));
                    break;
                }
            }
        }
        Err(self.missed(key, first.unwrap_or(Err(OpenError::NotFound)), now))
    }

    /// Why no candidate of `key` is a file; `first` is what is at the first one.
    fn missed(&mut self, key: &[u8], first: Result<Opened, OpenError>, now: u32) -> Missed {
        let is_index = ends_as_directory(key);
        match first {
            // Only a file is an index, and a directory of that name is a directory like others.
            Ok(Opened::Directory { via_symlink, .. }) if is_index => self.directory(key, via_symlink, now),
            Err(OpenError::NotFound) if is_index => self.directory(key, false, now),
            Err(OpenError::BrokenLink) if is_index => self.directory(key, true, now),
            Ok(Opened::Directory { via_symlink, .. }) => self.without_slash(key, via_symlink, now),
            Ok(Opened::File { .. }) | Err(OpenError::NotFound) => self.missing(key, false, now),
            // The index of a directory may be readable, although its list of names is not.
            Err(OpenError::Forbidden) if !is_index && self.has_index(key) => Missed::Redirect,
            Err(error) => error.into(),
        }
    }

    /// The file at `self.path`, with the forms of its siblings. If it is kept, it may get others.
    fn build(
        &self,
        key: &[u8],
        (file, metadata): (File, Metadata),
        siblings: Siblings,
        keep: bool,
        context: HeadContext<'_>,
    ) -> Result<Entry, Missed> {
        let named = self.named();
        let style = self.style(&named);
        let siblings = if style.may_be_coded() { siblings } else { siblings.unused() };
        let usable = siblings.usable();
        let made = if keep { style.made_in(metadata.size, context) } else { Codings::NONE };
        let (variety, size, varies) = (Variety::Plain, metadata.size, !made.union(usable).is_empty());
        let form = Form { key, metadata: &metadata, variety, file, size, varies };
        let mut entry = Entry::new(Representation::build(form, &style, context)?, metadata);
        for (coding, metadata, form) in siblings.build(&style, context) {
            entry.add_sibling(coding, metadata, form);
        }
        entry.offer(made);
        Ok(entry)
    }

    /// What the path of the file at `self.path` says about it.
    fn named(&self) -> NamedFile<'_> {
        let negotiation = self.settings.negotiation.as_ref();
        NamedFile {
            fields: self.settings.fields_of(&self.path),
            language: negotiation.and_then(|negotiation| names::language(&self.path, &negotiation.languages)),
            mark: negotiation.map(|_| names::mark(&self.path)),
        }
    }

    /// What the fields of the file at `self.path` depend on.
    fn style<'a>(&'a self, named: &'a NamedFile<'_>) -> Style<'a> {
        Style {
            fields: &named.fields,
            language: named.language.as_ref().map(Language::as_str),
            mark: named.mark.as_deref(),
            cache_control: &self.settings.cache_control,
            media_type: self.settings.media_types.of(&self.path),
            etag_inode: self.settings.etag_inode,
            edition: self.edition,
        }
    }

    /// Takes the form of a file in a coding if it is made, or else begins to make it.
    fn compress(&mut self, entry: &mut Entry, coding: ContentCoding, context: HeadContext<'_>) {
        let Some(made) = Coding::of_name(coding.name()) else { return entry.withdraw() };
        self.candidates.get(entry.key(), entry.candidate, &mut self.path);
        let level = context.policy.compression.level;
        match entry.compressing(coding).take().map_or(Outcome::Skipped, Compressing::outcome) {
            Outcome::Running(compressing) => *entry.compressing(coding) = Some(compressing),
            Outcome::Useless => entry.withdraw(),
            Outcome::Made(Compressed { file, size, sum }) => {
                let named = self.named();
                let (metadata, variety) = (entry.metadata(), Variety::Made(coding, sum));
                let form = Form { key: b"", metadata, variety, file, size, varies: true };
                match Representation::build(form, &self.style(&named), context) {
                    Ok(form) => entry.add_made(coding, form),
                    Err(_) => entry.withdraw(),
                }
            }
            Outcome::Skipped => {
                // The result takes its place in the cache with the file.
                let most = compressing::most(entry.metadata().size, self.cache.room(entry));
                if most == 0 {
                    return entry.withdraw();
                }
                let coder = (made, level);
                let (job, compressing) = compressing::begin(&self.root, &self.path, entry.metadata(), coder, most);
                *entry.compressing(coding) = Some(compressing);
                self.job = Some(Box::new(job));
            }
        }
    }

    /// Opens the file. If the file system fails, it may have been mounted again: then the
    /// root is opened again by its path, and the file once more.
    fn open(&mut self, now: u32) -> Result<Opened, OpenError> {
        match self.cover_and_get() {
            Err(OpenError::Io(_)) => {
                self.check_root(now);
                self.cover_and_get()
            }
            opened => opened,
        }
    }

    fn cover_and_get(&mut self) -> Result<Opened, OpenError> {
        // The watch comes before the open, so no change is missed.
        if let Some(watch) = &mut self.watch {
            watch.cover(&self.root, &self.path);
        }
        self.root.get(&self.path)
    }

    /// The result for the path of a directory without its slash. If nothing would be shown
    /// with the slash, it looks absent: a redirect would tell that it exists.
    fn without_slash(&mut self, key: &[u8], via_symlink: bool, now: u32) -> Missed {
        if self.settings.listing || self.has_index(key) {
            return Missed::Redirect;
        }
        if self.settings.negotiation.is_some() {
            return Missed::Bare;
        }
        self.hint(key);
        self.missing(key, via_symlink, now)
    }

    /// Whether the directory `key` has an index file.
    fn has_index(&mut self, key: &[u8]) -> bool {
        let Self { path, root, watch, candidates, .. } = self;
        candidates.index().any(|name| {
            path.clear();
            path.extend_from_slice(key);
            path.push(b'/');
            path.extend_from_slice(name);
            if let Some(watch) = watch {
                watch.cover(root, path);
            }
            root.peek(path).is_some_and(|metadata| !metadata.directory)
        })
    }

    /// Logs, once, what would show the directory `key`, if there is one. It isn't missed if there
    /// may be another page for it.
    fn hint(&mut self, key: &[u8]) {
        if self.hinted || self.settings.has_more_pages() || !self.root.peek(key).is_some_and(|found| found.directory) {
            return;
        }
        self.hinted = true;
        let directory = self.root.path().join(OsStr::from_bytes(key));
        log::info!("{}", nothing_to_show(&directory));
    }

    /// Whether the root itself shows nothing: it has no index, and isn't listed.
    pub fn is_bare(&self) -> bool {
        let is_file = |name: &[u8]| self.root.peek(name).is_some_and(|found| !found.directory);
        let has_index = self.candidates.index().any(is_file);
        !has_index && !self.settings.listing && !self.settings.has_more_pages()
    }

    /// `key` has no file. That is kept unless a link was followed: what is behind it isn't
    /// watched.
    fn missing(&mut self, key: &[u8], via_symlink: bool, now: u32) -> Missed {
        if !via_symlink {
            self.cache.insert_missing(key, now);
        }
        Missed::NotFound
    }

    /// The result for a directory without an index file.
    fn directory(&mut self, key: &[u8], via_symlink: bool, now: u32) -> Missed {
        if !self.settings.listing {
            self.hint(key);
            return self.missing(key, via_symlink, now);
        }
        match self.root.get(key) {
            Ok(Opened::Directory { dir, .. }) => Missed::Directory(dir),
            Ok(Opened::File { .. }) => Missed::NotFound,
            Err(error) => error.into(),
        }
    }
}

impl Missed {
    /// The response that says it, if there is nothing else at `path`.
    pub(super) fn refusal(self, path: &[u8]) -> Unanswered {
        let (status, why) = match self {
            Self::NotFound | Self::Redirect | Self::Directory(_) | Self::Bare => {
                (Status::NOT_FOUND, "there is no such file")
            }
            Self::Forbidden => (Status::FORBIDDEN, "the file may not be read"),
            Self::Unsized => (Status::FORBIDDEN, "the size of the file is unknown"),
            Self::Exhausted => (Status::SERVICE_UNAVAILABLE, "there are no file descriptors left"),
            Self::Failed(error) => {
                log::error!("{}: {error}", String::from_utf8_lossy(path).escape_debug());
                (Status::INTERNAL_SERVER_ERROR, "the file can't be read")
            }
        };
        refused(status, why)
    }
}

impl From<BuildError> for Missed {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Unsized => Self::Unsized,
            BuildError::Io(error) => Self::Failed(error),
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

/// What the operator should know of a directory without an index that isn't listed.
pub fn nothing_to_show(directory: &Path) -> String {
    let directory = directory.to_string_lossy();
    format!("{} has no index.html; --listing shows what is in a directory", directory.escape_debug())
}
