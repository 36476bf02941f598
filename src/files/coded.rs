//! Files that the operator has compressed: `x.br`, `x.zst` and `x.gz` are `x` in a content coding.
//!
//! Such a sibling is sent in place of the file to clients that accept its coding, if it is a file
//! below the root by the same rules as others, isn't empty, and is at least as new as the file: an
//! older one was made of other content. It shows nothing that isn't there without it: the file
//! itself decides whether there is a response. By its own name it is a file like others, which has
//! no siblings.

use std::fs::File;

use super::representation::{BuildError, Form, Representation, Style, Variety};
use super::resolve::{Metadata, OpenError, Opened, Root};
use crate::http::content_coding::{Codings, ContentCoding};
use crate::http::response::HeadContext;

/// The ending of the name of a file in a coding.
pub(super) const fn ending(coding: ContentCoding) -> &'static [u8] {
    match coding {
        ContentCoding::Brotli => b".br",
        ContentCoding::Zstd => b".zst",
        ContentCoding::Gzip => b".gz",
    }
}

/// The path without the ending of a coding; none if it has none.
fn without_ending(path: &[u8]) -> Option<&[u8]> {
    ContentCoding::ALL.into_iter().find_map(|coding| path.strip_suffix(ending(coding)))
}

/// Whether the file at `path` may have siblings: it isn't one by its own name.
pub(super) fn may_have_siblings(path: &[u8]) -> bool {
    without_ending(path).is_none()
}

/// The path of the file that the one at `path` may be a sibling of.
pub fn original(path: &[u8]) -> Option<&[u8]> {
    without_ending(path).filter(|original| may_have_siblings(original))
}

/// A sibling with its metadata, and its form, if it is to be sent.
pub(super) type BuiltSibling = (ContentCoding, Metadata, Option<Representation>);

/// A file beside another one, in a coding.
struct Sibling {
    coding: ContentCoding,
    metadata: Metadata,
    /// None if it isn't to be sent.
    file: Option<File>,
}

/// The siblings of a file.
#[derive(Default)]
pub(super) struct Siblings {
    found: Vec<Sibling>,
    /// What was found may change without a report.
    pub(super) unsteady: bool,
}

impl Siblings {
    /// Opens the siblings of the file at `path`, whose directory is watched. `path` is unchanged
    /// afterwards. A sibling that is absent costs one system call.
    pub(super) fn open(root: &Root, path: &mut Vec<u8>, file: &Metadata) -> Self {
        let mut siblings = Self::default();
        if !may_have_siblings(path) {
            return siblings;
        }
        let length = path.len();
        for coding in ContentCoding::ALL {
            path.truncate(length);
            path.extend_from_slice(ending(coding));
            let found = match root.get(path) {
                Ok(Opened::File { file: sibling, metadata, via_symlink }) => {
                    siblings.unsteady |= via_symlink;
                    let is_usable = metadata.size > 0 && modified(&metadata) >= modified(file);
                    Some((metadata, Some(sibling).filter(|_| is_usable)))
                }
                Ok(Opened::Directory { .. }) | Err(OpenError::NotFound) => None,
                // It may become readable, which its metadata will show.
                Err(OpenError::Forbidden) => root.stat(path).map(|metadata| (metadata, None)),
                Err(OpenError::BrokenLink | OpenError::Exhausted | OpenError::Io(_)) => {
                    siblings.unsteady = true;
                    None
                }
            };
            siblings.found.extend(found.map(|(metadata, file)| Sibling { coding, metadata, file }));
        }
        path.truncate(length);
        siblings
    }

    /// None of them is to be sent.
    pub(super) fn unused(mut self) -> Self {
        self.found.iter_mut().for_each(|sibling| sibling.file = None);
        self
    }

    /// The codings of those that are to be sent.
    pub(super) fn usable(&self) -> Codings {
        self.found.iter().filter(|sibling| sibling.file.is_some()).map(|sibling| sibling.coding).collect()
    }

    /// Builds the forms, each with its metadata.
    pub(super) fn build(self, style: &Style<'_>, context: HeadContext<'_>) -> impl Iterator<Item = BuiltSibling> {
        self.found.into_iter().map(move |Sibling { coding, metadata, file }| {
            let form = file.and_then(|file| {
                let (variety, size) = (Variety::Sibling(coding), metadata.size);
                let form = Form { key: b"", metadata: &metadata, variety, file, size, varies: true };
                Representation::build(form, style, context).inspect_err(log).ok()
            });
            (coding, metadata, form)
        })
    }
}

fn modified(metadata: &Metadata) -> (i64, u32) {
    (metadata.modified_s, metadata.modified_ns)
}

fn log(error: &BuildError) {
    log::debug!("a compressed file can't be used: {error:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_original_has_the_name_without_the_ending_and_is_no_sibling_itself() {
        for (path, expected) in [
            ("a/x.js.gz", Some("a/x.js")),
            ("x.br", Some("x")),
            ("x.zst", Some("x")),
            ("x.tar.gz.br", None),
            ("x.gz.gz", None),
            ("x.gzip", None),
            ("gz", None),
            ("", None),
        ] {
            assert_eq!(original(path.as_bytes()), expected.map(str::as_bytes), "{path}");
        }
    }
}
