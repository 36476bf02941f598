//! One form of a file as it is sent: one prebuilt block.
//!
//! All parts of a response that don't depend on the request are made once:
//!
//! ```text
//! | key | HTTP/1.1 200 OK, Date, Server | ETag, Last-Modified, Cache-Control, Vary | Accept-Ranges … | Content-Encoding, Content-Type | Content-Length: size CRLF | CRLF | content |
//!       ^ head                          ^ validators                               ^ description    ^ kind                           ^ length                  ^ end
//! ```
//!
//! The usual response is a copy of the block from the head on, with a new Date. A 304
//! uses the validators. A 206 uses the validators and the description, which are side by
//! side, and the size; of several parts, each has the kind. Small content is in the block. Larger
//! content stays in the file and is sent from its descriptor, so large files take no memory.
//! `build.rs` makes a block, `respond.rs` writes responses from it.
//!
//! A file may have several: as it is, and in content codings. Each has a block of its own
//! (`entry.rs`).
//!
//! **Files without a size.** What the kernel makes up as it is read, in `/proc` and `/sys`,
//! has the size 0 or 4,096, whatever its content is. No length, no validator and no watch
//! would hold for it. So a small file whose content has another length than its size is
//! refused; an empty one is read to find out. The size of a larger file is believed.

mod build;
mod respond;

use std::os::fd::OwnedFd;
use std::rc::Rc;

use memchr::memmem;

use crate::http::Status;
use crate::http::content_coding::AcceptedCodings;
use crate::http::response::Policy;
pub(super) use build::{BuildError, Form, Style, Variety};
pub(super) use respond::Modified;
pub use respond::{PRECONDITION_FAILED, PlainContent, PlainFile};

/// Content up to this size is copied from memory. By measurement, sendfile is cheaper
/// from about 7 KiB on.
pub(super) const SMALL: u64 = 6 * 1024;

/// The first lines of the description.
const ACCEPT_RANGES: &[u8] = b"Accept-Ranges: bytes\r\n";

const ETAG: &[u8] = b"ETag: ";
const CONTENT_LENGTH: &[u8] = b"Content-Length: ";

/// One form of a file as it is sent.
pub(super) struct Representation {
    block: Box<[u8]>,
    /// The file of larger content; small content is in the block.
    file: Option<Rc<OwnedFd>>,
    /// Bytes of the content.
    size: u64,
    head: u16,
    validators: u16,
    description: u16,
    kind: u16,
    length: u16,
    end: u16,
    /// The policy whose fields are in the head.
    policy: u16,
    /// Length of the entity-tag in bytes.
    etag: u8,
    /// The entity-tag is weak: the file was modified so recently that its times might not
    /// show another modification.
    weak: bool,
}

/// Whether what is sent was in a cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CacheResult {
    /// It was.
    Hit,
    /// It had to be read.
    Miss,
}

impl CacheResult {
    /// Its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
        }
    }
}

/// A response that was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answered {
    /// The status.
    pub status: Status,
    /// Bytes of the body.
    pub body: u64,
    /// Whether the connection persists.
    pub persistent: bool,
    /// Whether the file was in the cache. The code that has just read it says that it wasn't.
    pub cache: CacheResult,
}

/// An error that is responded to with a page of the site.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// The status.
    pub status: Status,
    /// Further field lines.
    pub lines: &'a [u8],
    /// The number of the connection and of the request on it, as in the access log.
    pub number: (u32, u32),
    /// The codings that the client accepts.
    pub codings: AcceptedCodings,
}

impl Representation {
    /// The path of the file; empty for another form than the plain one.
    pub(super) fn key(&self) -> &[u8] {
        &self.block[..usize::from(self.head)]
    }

    /// Whether its head has the fields of this policy.
    pub(super) fn is_under(&self, policy: &Policy) -> bool {
        self.policy == policy.id
    }

    /// Whether its entity-tag is weak, so that it must be built again soon.
    pub(super) fn is_weak(&self) -> bool {
        self.weak
    }

    /// Bytes of the content.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of memory that it holds beyond its own size, but for the file.
    pub(super) fn memory(&self) -> usize {
        // An `Rc` has two counts.
        let file = self.file.as_ref().map_or(0, |_| allocated(size_of::<OwnedFd>() + 2 * size_of::<usize>()));
        allocated(self.block.len()) + file
    }

    /// Whether it keeps a descriptor open.
    pub(super) fn has_descriptor(&self) -> bool {
        self.file.is_some()
    }

    fn part(&self, from: u16, to: u16) -> &[u8] {
        &self.block[usize::from(from)..usize::from(to)]
    }

    /// The content, if it is in memory.
    fn content(&self) -> &[u8] {
        &self.block[usize::from(self.end) + 2..]
    }

    /// The value of ETag; empty if there is none.
    pub(super) fn etag(&self) -> &[u8] {
        &self.block[usize::from(self.validators) + ETAG.len()..][..usize::from(self.etag)]
    }

    /// The field line of Vary, if there is one.
    fn vary(&self) -> &[u8] {
        const VARY: &[u8] = b"\r\nVary: ";
        let validators = self.part(self.validators, self.description);
        // It is the last line of these.
        memmem::rfind(validators, VARY).map_or(b"", |at| &validators[at + 2..])
    }

    /// The size in decimal digits, and the end of its line.
    fn size_line(&self) -> &[u8] {
        &self.part(self.length, self.end)[CONTENT_LENGTH.len()..]
    }

    /// Where in the content of an error page the number of the request is to stand.
    pub(super) fn mark(&self) -> Option<usize> {
        let is_coded = self.part(self.kind, self.length).starts_with(b"Content-Encoding:");
        if self.file.is_some() || is_coded { None } else { memmem::find(self.content(), REQUEST_MARK) }
    }
}

/// What stands in an error page of the site for the number of the request, as it is in the
/// access log.
const REQUEST_MARK: &[u8] = b"<!-- request -->";

/// What an allocation of so many bytes takes: the allocator adds a word and rounds up.
pub(super) const fn allocated(bytes: usize) -> usize {
    let taken = (bytes + 8).next_multiple_of(16);
    if taken < 32 { 32 } else { taken }
}
