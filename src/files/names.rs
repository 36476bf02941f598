//! The files of a directory by the names of which they are representations.
//!
//! ```text
//! guide.zh-CN.html = guide    . zh-CN    . html
//!                    stem       language   ending     it represents guide, guide.html, guide.zh-CN
//! photo.avif       = photo               . avif       it represents photo
//! ```
//!
//! A helper thread reads the names of a directory at once, so requests for a thousand names that
//! aren't there cost one reading. The names are kept until the directory changes
//! (`files/readings.rs`): by the watch, or by its metadata, which are compared once a second. They
//! only say what may be there. Each file is opened by its own path, as if it was requested by it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType};

use super::coded;
use super::readings::{Read, Reading};
use super::resolve::{self, Metadata, Root, is_reachable};
use crate::http::language::{Language, Languages};
use crate::http::media_type::MediaTypes;
use crate::limits;

/// The files of a directory that may be representations.
#[derive(Debug)]
pub struct Names {
    /// The path of the directory, without a slash at its end.
    pub(super) directory: Box<[u8]>,
    /// Sorted by stem, then by name.
    files: Vec<Named>,
    /// The metadata of the directory before it was read.
    metadata: Metadata,
    /// Each later change of the directory shows in its metadata.
    settled: bool,
    memory: usize,
}

/// A file by its name.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Named {
    pub(super) name: Box<[u8]>,
    /// The length of the stem.
    stem: usize,
    /// Its language, and the length of its tag.
    language: Option<(Language, usize)>,
    /// In bytes.
    pub(super) size: u64,
}

/// The parts of a file's name.
struct Parts<'n> {
    stem: &'n [u8],
    language: Option<(Language, usize)>,
}

/// The parts of a name; none if it has no ending, or that of a coding.
fn parts<'n>(name: &'n [u8], languages: &Languages) -> Option<Parts<'n>> {
    let (start, ending) = split(name)?;
    if ending.is_empty() || !coded::may_have_siblings(name) {
        return None;
    }
    let labelled = split(start).and_then(|(stem, label)| Some((stem, languages.of_label(label)?, label.len())));
    Some(match labelled {
        Some((stem, language, length)) => Parts { stem, language: Some((language, length)) },
        None => Parts { stem: start, language: None },
    })
}

/// What is before and behind the last dot; none if nothing is before it.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = memchr::memrchr(b'.', name).filter(|dot| *dot > 0)?;
    Some((&name[..dot], &name[dot + 1..]))
}

/// The language that the name of a file says.
pub(super) fn language(path: &[u8], languages: &Languages) -> Option<Language> {
    let (_, name) = resolve::split(path);
    parts(name, languages)?.language.map(|(language, _)| language)
}

/// What tells the file at `path` apart from others with the same time and size: a checksum of its
/// name (FNV-1a), which is the same on every machine.
pub(super) fn mark(path: &[u8]) -> String {
    let (_, name) = resolve::split(path);
    let sum = name.iter().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    format!("{sum:x}")
}

impl Named {
    fn stem(&self) -> &[u8] {
        &self.name[..self.stem]
    }

    /// Its language.
    pub(super) fn language(&self) -> Option<&Language> {
        self.language.as_ref().map(|(language, _)| language)
    }

    /// Whether `part` is its ending or the tag of its language, and it has a language.
    fn is_partly(&self, part: &[u8]) -> bool {
        let Some((_, length)) = self.language else { return false };
        let rest = self.name.get(self.stem + 1..).unwrap_or_default();
        rest.split_at_checked(length)
            .is_some_and(|(tag, ending)| tag == part || ending.strip_prefix(b".") == Some(part))
    }
}

impl Names {
    /// Reads the names in a directory. One that can't be read has none.
    fn read(source: &Source, dir: OwnedFd, directory: &[u8]) -> Self {
        let read = source.read(dir, directory).inspect_err(|error| {
            let path = String::from_utf8_lossy(directory);
            log::warn!("no representations are looked for in /{}: {error}", path.escape_debug());
        });
        // A change within the tick of the last one doesn't show. A file system may count whole seconds.
        let settled = read.is_ok() && source.now - source.metadata.changed_s >= 2;
        let mut files = read.unwrap_or_default();
        files.sort_unstable_by(|a, b| a.stem().cmp(b.stem()).then_with(|| a.name.cmp(&b.name)));
        files.shrink_to_fit();
        let names: usize = files.iter().map(|file| file.name.len() + file.language.as_ref().map_or(0, |of| of.1)).sum();
        let memory = size_of::<Self>() + directory.len() + files.capacity() * size_of::<Named>() + names;
        Self { directory: directory.into(), files, metadata: source.metadata, settled, memory }
    }

    /// Whether the directory is unchanged; `found` is what is at its path now.
    pub(super) fn is_current(&self, found: Option<Metadata>) -> bool {
        self.settled && found == Some(self.metadata)
    }

    /// The files that represent `name`, with their media types: [`limits::REPRESENTATIONS`] at most.
    pub(super) fn of<'n, 't>(&'n self, name: &[u8], media_types: &'t MediaTypes) -> Vec<(&'n Named, &'t str)> {
        let whole = self.with_stem(name);
        let partly = split(name)
            .into_iter()
            .flat_map(|(stem, part)| self.with_stem(stem).filter(move |file| file.is_partly(part)));
        whole
            .chain(partly)
            .filter_map(|file| Some((file, media_types.known(&file.name)?)))
            .take(limits::REPRESENTATIONS)
            .collect()
    }

    fn with_stem(&self, stem: &[u8]) -> impl Iterator<Item = &Named> {
        let start = self.files.partition_point(|file| file.stem() < stem);
        let rest = self.files.get(start..).unwrap_or_default();
        let end = rest.partition_point(|file| file.stem() == stem);
        rest.get(..end).unwrap_or_default().iter()
    }
}

/// The path of a file in a directory.
pub(super) fn path(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        [] => name.to_vec(),
        _ => [directory, b"/", name].concat(),
    }
}

impl Read for Names {
    type Part = ();

    fn memory(&self) -> usize {
        self.memory
    }
}

/// What it takes to read a directory.
pub(super) struct Source {
    pub(super) root: Root,
    /// The metadata of the directory.
    pub(super) metadata: Metadata,
    pub(super) languages: Arc<Languages>,
    pub(super) media_types: Arc<MediaTypes>,
    /// A time before the metadata were read, in Unix seconds.
    pub(super) now: i64,
}

impl Source {
    /// Reads the names that may be those of representations.
    ///
    /// # Errors
    /// Of getdents64(2), or if there are more than [`limits::NAMES`].
    fn read(&self, dir: OwnedFd, directory: &[u8]) -> io::Result<Vec<Named>> {
        let mut dir = Dir::new(dir)?;
        let mut files = Vec::new();
        let mut seen = 0;
        while let Some(entry) = dir.read() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            seen += 1;
            if seen > limits::NAMES {
                return Err(io::Error::other("the directory has too many entries"));
            }
            // A file of unknown type is no representation.
            if !is_reachable(name) || self.media_types.known(name).is_none() {
                continue;
            }
            let Some(Parts { stem, language }) = parts(name, &self.languages) else { continue };
            let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
            // It may be gone.
            let Ok(stat) = rustix::fs::statat(dir.fd()?, name, flags) else { continue };
            let found = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => self.root.peek(&path(directory, name)),
                _ => Metadata::of(&stat),
            };
            let Some(Metadata { directory: false, size, .. }) = found else { continue };
            files.push(Named { name: name.into(), stem: stem.len(), language, size });
        }
        Ok(files)
    }
}

/// A job that reads the names in a directory on a helper thread.
pub struct NamesJob {
    pub(super) reading: Reading<Names>,
    pub(super) dir: OwnedFd,
    pub(super) source: Source,
}

impl NamesJob {
    /// Reads the names, unless another job has read them since this one was created.
    pub fn run(self) -> io::Result<Arc<Names>> {
        let Self { reading, dir, source } = self;
        reading.run(|directory, ()| Ok(Names::read(&source, dir, directory)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::resolve::{Opened, Symlinks};
    use super::super::scratch::Scratch;
    use super::*;

    fn read(files: &Scratch, directory: &str, now: i64) -> Names {
        let root = Root::open(files.path(), Symlinks::Inside).unwrap();
        let path = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let Ok(Opened::Directory { dir, metadata, .. }) = root.get(path.as_bytes()) else { panic!("no directory") };
        let languages = Arc::new(Languages::parse("en,tlh").unwrap());
        let media_types = Arc::default();
        Names::read(&Source { root, metadata, languages, media_types, now }, dir, directory.as_bytes())
    }

    fn of(names: &Names, name: &str) -> String {
        let media_types = MediaTypes::new();
        let of = names.of(name.as_bytes(), &media_types);
        let shown = of.iter().map(|(file, media_type)| {
            assert_eq!(*media_type, media_types.of(&file.name));
            let name = String::from_utf8_lossy(&file.name).into_owned();
            file.language().map_or(name.clone(), |language| format!("{name}={}", language.as_str()))
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    /// Files of all kinds.
    fn files() -> Scratch {
        let files = Scratch::new();
        for name in [
            "guide.en.html",
            "guide.DE.html",
            "guide.zh-CN.html",
            "guide.de.pdf",
            "guide.html.gz",
            "guide.de.html.gz",
            "guide.de.html.br",
            "guide.de",
            "guide.v2.html",
            "guide",
            "guided.de.html",
            "photo.avif",
            "photo.jpg",
            "photo.bak",
            "photo.swp~",
            "photo.jpg.html",
            "app.min.js",
            "word.tlh.txt",
            ".secret.de.html",
            ".de.html",
            "dot..html",
            "x.de.",
            "a.b.c.de.html",
            "a.de.en.html",
        ] {
            files.file(name, "123");
        }
        files.directory("guide.fr.html");
        files.fifo("guide.it.html");
        files.link("guide.es.html", "guide.en.html");
        files.link("guide.nl.html", "nowhere");
        files.link("guide.pl.html", "/etc/passwd");
        files
    }

    #[test]
    fn files_represent_their_stem_and_it_with_one_of_both_parts() {
        let files = files();
        let names = read(&files, "", 0);
        for (name, expected) in [
            ("guide", "guide.DE.html=de guide.de.pdf=de guide.en.html=en guide.es.html=es guide.zh-CN.html=zh-CN"),
            ("guide.html", "guide.DE.html=de guide.en.html=en guide.es.html=es guide.zh-CN.html=zh-CN"),
            ("guide.pdf", "guide.de.pdf=de"),
            ("guide.de", "guide.de.pdf=de"),
            ("guide.DE", "guide.DE.html=de"),
            ("guide.zh-CN", "guide.zh-CN.html=zh-CN"),
            ("guide.v2", "guide.v2.html"),
            ("guide.", ""),
            ("guid", ""),
            ("guide.de.html", ""),
            ("photo", "photo.avif photo.jpg"),
            ("photo.jpg", "photo.jpg.html"),
            ("photo.webp", ""),
            ("app", ""),
            ("app.js", ""),
            ("app.min", "app.min.js"),
            ("word", "word.tlh.txt=tlh"),
            (".secret", ""),
            ("", ""),
            ("dot.", "dot..html"),
            ("dot", ""),
            ("a.b.c", "a.b.c.de.html=de"),
            ("a.b", ""),
            ("a", ""),
            ("a.de", "a.de.en.html=en"),
            ("a.de.html", "a.de.en.html=en"),
            ("a.html", ""),
        ] {
            assert_eq!(of(&names, name), expected, "{name}");
        }
        // Thousands of `core.1234` would be looked at for each request.
        assert!(names.files.iter().all(|file| MediaTypes::new().known(&file.name).is_some()));
    }

    #[test]
    fn a_path_says_its_language() {
        let languages = Languages::parse("tlh").unwrap();
        for (path, expected) in [
            ("a/guide.de.html", Some("de")),
            ("guide.zh-cn.html", Some("zh-CN")),
            ("word.tlh.txt", Some("tlh")),
            ("de.html", None),
            ("guide.de", None),
            ("a.de/guide.html", None),
            ("guide.de.html.gz", None),
            ("app.min.js", None),
            ("", None),
        ] {
            assert_eq!(language(path.as_bytes(), &languages).as_ref().map(Language::as_str), expected, "{path}");
        }
    }

    #[test]
    fn names_have_different_marks() {
        assert_eq!(mark(b"a/x.de.html"), mark(b"x.de.html"));
        assert_ne!(mark(b"x.de.html"), mark(b"x.en.html"));
        assert_eq!((mark(b""), mark(b"a")), ("811c9dc5".to_owned(), "e40c292c".to_owned()));
    }

    #[test]
    fn they_are_current_until_the_directory_changes() {
        let files = Scratch::new();
        files.directory("d");
        files.file("d/a.de.html", "1");
        let root = Root::open(files.path(), Symlinks::Inside).unwrap();
        let peek = || root.peek(b"d");
        let now = peek().unwrap().changed_s;
        let names = read(&files, "d", now + 2);
        assert!(names.is_current(peek()) && !names.is_current(None));
        assert!(!read(&files, "d", now + 1).is_current(peek()), "another change may have the same time");
        files.file("d/b.de.html", "1");
        // The new time may be the same, as far as the clock of the file system shows it.
        assert!(!names.is_current(peek()) || peek() == Some(names.metadata));
        assert_eq!((of(&names, "b"), &*names.directory), (String::new(), &b"d"[..]));
        assert_eq!(of(&read(&files, "d", now), "b"), "b.de.html=de");
    }

    #[test]
    fn there_are_only_so_many_representations() {
        let files = Scratch::new();
        for number in 0..limits::REPRESENTATIONS + 5 {
            files.file(&format!("x.de-{number:03}.html"), "");
        }
        assert_eq!(read(&files, "", 0).of(b"x", &MediaTypes::new()).len(), limits::REPRESENTATIONS);
    }
}
