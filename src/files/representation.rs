//! A file as it is sent: one prebuilt block.
//!
//! All parts of a response that don't depend on the request are made once:
//!
//! ```text
//! | key | HTTP/1.1 200 OK, Date, Server | ETag, Last-Modified, Cache-Control | Accept-Ranges … Content-Type | Content-Length: size CRLF | CRLF | content |
//!       ^ head                          ^ validators                         ^ description                  ^ length                  ^ end
//! ```
//!
//! The usual response is a copy of the block from the head on, with a new Date. A 304
//! uses the validators. A 206 uses the validators and the description, which are side by
//! side, and the size. Small content is in the block. Larger content stays in the file
//! and is sent from its descriptor, so large files take no memory.
//!
//! **Files without a size.** What the kernel makes up as it is read, in `/proc` and `/sys`,
//! has the size 0 or 4,096, whatever its content is. No length, no validator and no watch
//! would hold for it. So a small file whose content has another length than its size is
//! refused; an empty one is read to find out. The size of a larger file is believed.
//!
//! So the usual response reads one cache line of the processor, and the block. The
//! metadata, which is compared with the file once a second, is elsewhere.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use memchr::memmem;

use super::read::read_range;
use super::resolve::Metadata;
use super::validators::{self, Validators};
use crate::http::conditional::{self, Evaluation};
use crate::http::head::{Method, RequestHead};
use crate::http::range::{self, Ranges};
use crate::http::response::{self, BodyForm, HeadContext, Length, Policy, RequestTraits, ResponseHead, write_decimal};
use crate::http::{Reject, Status, date};
use crate::reactor::{FileSlice, Output};

/// Content up to this size is copied from memory. By measurement, sendfile is cheaper
/// from about 7 KiB on.
pub(super) const SMALL: u64 = 6 * 1024;

/// Pieces of a file up to this size are read into the output. That takes one read and a
/// share of a write, instead of a sendfile with a segment of its own.
const SMALL_RANGE: u64 = 4 * 1024;

/// The first lines of the description, before Content-Type.
const ACCEPT_RANGES: &[u8] = b"Accept-Ranges: bytes\r\n";
const NO_SNIFF: &[u8] = b"X-Content-Type-Options: nosniff\r\n";

/// The beginning of the last line of the description, behind another one.
const CONTENT_TYPE: &[u8] = b"\r\nContent-Type: ";

const ETAG: &[u8] = b"ETag: ";
const CONTENT_LENGTH: &[u8] = b"Content-Length: ";

/// The offset of the value of Date in the head.
const DATE: usize = response::date_offset(Status::OK);

/// A file as it is sent.
#[repr(align(64))]
pub struct Representation {
    block: Box<[u8]>,
    /// The file of larger content; small content is in the block.
    file: Option<Rc<OwnedFd>>,
    /// The metadata of the file when it was read.
    metadata: Box<Metadata>,
    /// Bytes of the content.
    size: u64,
    head: u16,
    validators: u16,
    description: u16,
    length: u16,
    end: u16,
    /// Length of the entity-tag in bytes.
    etag: u8,
    /// The entity-tag is weak: the file was modified so recently that its times might not
    /// show another modification.
    weak: bool,
    /// The policy whose fields are in the head.
    policy: u16,
    /// Which of the candidates of its path it is.
    pub(super) candidate: u8,
    /// It was used since the last sweep of the cache.
    pub(super) used: bool,
    /// When the file was last checked, in seconds of the loop's clock.
    pub(super) checked: u32,
}

// Every field is in the same cache line.
const _: () = assert!(size_of::<Representation>() == 64);

/// Field values that depend on the site and the name of the file.
pub(super) struct Style<'a> {
    pub(super) cache_control: &'a str,
    pub(super) media_type: &'a str,
    /// Further fields: name and value. They replace those above.
    pub(super) fields: &'a [(&'a str, &'a str)],
    pub(super) etag_inode: bool,
    /// A random number that changes with the root.
    pub(super) edition: u64,
}

/// Why a file has no representation.
#[derive(Debug)]
pub(super) enum BuildError {
    /// Its size isn't that of its content, as in `/proc` and `/sys`.
    Unsized,
    /// It can't be read.
    Io(io::Error),
}

impl From<io::Error> for BuildError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
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
    /// Whether the file was in the cache. Who has just read it says that it wasn't.
    pub cache: CacheResult,
}

impl Representation {
    /// Builds the representation of `file`, whose path is `key`.
    ///
    /// # Errors
    /// If the file can't be read, has become shorter than its metadata says, or has no size
    /// that holds.
    pub(super) fn build(
        key: &[u8],
        file: File,
        metadata: &Metadata,
        style: &Style<'_>,
        context: HeadContext<'_>,
    ) -> Result<Self, BuildError> {
        let now = context.stamp.unix_seconds();
        let Validators { etag, weak } = Validators::of(metadata, style.etag_inode, style.edition, now);
        let small = metadata.size <= SMALL;

        let mut block = Vec::with_capacity(key.len() + 512 + if small { metadata.size as usize } else { 0 });
        block.extend_from_slice(key);
        let head = block.len();
        let mut writer = ResponseHead::begin(&mut block, Status::OK, context);
        let validators_at = writer.position();
        writer.field("ETag", &etag);
        if let Some(modified) = validators::last_modified(metadata, now) {
            let mut text = [0; date::LENGTH];
            date::write(modified, &mut text);
            writer.field("Last-Modified", &text);
        }
        let of_name = |name: &str| style.fields.iter().rev().find(|(field, _)| field.eq_ignore_ascii_case(name));
        let cache_control = match (of_name("Cache-Control"), &context.policy.cache_control) {
            (Some((_, value)), _) => value,
            (None, Some(value)) => &**value,
            (None, None) => style.cache_control,
        };
        writer.field("Cache-Control", cache_control.as_bytes());
        let description = writer.position();
        writer.lines(ACCEPT_RANGES);
        if of_name("X-Content-Type-Options").is_none() {
            writer.lines(NO_SNIFF);
        }
        for (name, value) in style.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("Cache-Control")) {
            writer.field(name, value.as_bytes());
        }
        // It is the last line, so that it can be left out.
        writer.field("Content-Type", style.media_type.as_bytes());
        let length = writer.position();
        response::content_length(&mut block, metadata.size);
        let end = block.len();
        block.extend_from_slice(b"\r\n");

        let descriptor = if small {
            read_small(&file, metadata.size, &mut block)?;
            None
        } else {
            Some(Rc::new(OwnedFd::from(file)))
        };

        let narrow = |offset: usize| u16::try_from(offset).map_err(|_| io::Error::other("the head is too large"));
        Ok(Self {
            head: narrow(head)?,
            validators: narrow(validators_at)?,
            description: narrow(description)?,
            length: narrow(length)?,
            end: narrow(end)?,
            // An entity-tag has at most four numbers.
            etag: etag.len() as u8,
            // A copy of the exact size. To shrink the buffer in place would leave a hole behind
            // it that nothing fits.
            block: Box::from(&block[..]),
            file: descriptor,
            metadata: Box::new(*metadata),
            size: metadata.size,
            weak,
            policy: context.policy.id,
            candidate: 0,
            used: true,
            checked: 0,
        })
    }

    /// The path of the file.
    pub(super) fn key(&self) -> &[u8] {
        &self.block[..usize::from(self.head)]
    }

    /// The metadata of the file when it was read.
    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Whether its head has the fields of this policy.
    pub(super) fn is_under(&self, policy: &Policy) -> bool {
        self.policy == policy.id
    }

    /// Whether its entity-tag is weak, so that it must be built again soon.
    pub(super) fn is_weak(&self) -> bool {
        self.weak
    }

    /// Bytes of memory that it takes in the cache.
    pub(super) fn memory(&self) -> usize {
        // A table that has just grown is filled to 7/16, and needs a byte for each slot.
        const SLOT: usize = (size_of::<Representation>() + 1) * 16 / 7;
        // An `Rc` has two counts.
        let file = self.file.as_ref().map_or(0, |_| allocated(size_of::<OwnedFd>() + 2 * size_of::<usize>()));
        SLOT + allocated(self.block.len()) + allocated(size_of::<Metadata>()) + file
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

    /// The value of ETag.
    fn etag(&self) -> &[u8] {
        &self.block[usize::from(self.validators) + ETAG.len()..][..usize::from(self.etag)]
    }

    /// The field line of Content-Type.
    fn content_type(&self) -> &[u8] {
        let description = self.part(self.description, self.length);
        let at = memmem::rfind(description, CONTENT_TYPE).map_or(description.len(), |at| at + 2);
        &description[at..]
    }

    /// The size in decimal digits, and the end of its line.
    fn size_line(&self) -> &[u8] {
        &self.part(self.length, self.end)[CONTENT_LENGTH.len()..]
    }

    /// Writes the response to a GET or HEAD: 200, 206, 304 or 416.
    ///
    /// # Errors
    /// 412 if a precondition fails; 500 if the file can't be read any more. Then the output
    /// is unchanged.
    pub(super) fn respond(
        &self,
        request: &RequestHead<'_>,
        context: HeadContext<'_>,
        output: &mut Output,
    ) -> Result<Answered, Reject> {
        let present = request.present;
        output.attempt(|output| {
            if (present.conditional || present.range)
                && let Some(answered) = self.respond_specially(request, context, output)?
            {
                return Ok(answered);
            }
            self.write_whole(context, output)
        })
    }

    fn write_whole(&self, context: HeadContext<'_>, output: &mut Output) -> Result<Answered, Reject> {
        let traits = context.traits;
        let out = output.buffer();
        let date = out.len() + DATE;
        // The usual response is one copy.
        let is_one = self.file.is_none()
            && traits == RequestTraits { minor: 1, head_only: false, persistent: true }
            && context.further.is_empty();
        if is_one {
            out.extend_from_slice(&self.block[usize::from(self.head)..]);
        } else {
            out.extend_from_slice(self.part(self.head, self.end));
            response::end_head(out, context);
        }
        out[date..date + date::LENGTH].copy_from_slice(context.stamp.date());
        let body = match (is_one, traits.head_only) {
            (true, _) => self.size,
            (false, true) => 0,
            (false, false) => self.write_content(0..self.size, output)?,
        };
        Ok(Answered { status: Status::OK, body, persistent: traits.persistent, cache: CacheResult::Hit })
    }

    /// Writes the content as an error page: with this status, and without a look at the
    /// preconditions. `lines` are further field lines. `number` is the number of the request,
    /// in place of the first [`REQUEST_MARK`] of a small file.
    ///
    /// # Errors
    /// 500 if the file can't be read any more. Then the output is unchanged.
    pub(super) fn respond_with_status(
        &self,
        status: Status,
        lines: &[u8],
        number: (u32, u32),
        context: HeadContext<'_>,
        output: &mut Output,
    ) -> Result<Answered, Reject> {
        let mark = if self.file.is_none() { memmem::find(self.content(), REQUEST_MARK) } else { None };
        let number = mark.map(|at| (at, format!("{}/{}", number.0, number.1)));
        let replaced = number.as_ref().map(|(_, text)| self.size + text.len() as u64 - REQUEST_MARK.len() as u64);
        let length = replaced.unwrap_or(self.size);
        output.attempt(|output| {
            let mut head = ResponseHead::begin(output.buffer(), status, context);
            head.lines(lines);
            // It isn't the requested resource, so it has no validators and no ranges.
            head.lines(&self.part(self.description, self.length)[ACCEPT_RANGES.len()..]);
            let (form, persistent) = head.end(Length::Known(length));
            if form == BodyForm::Absent {
                return Ok(Answered { status, body: 0, persistent, cache: CacheResult::Hit });
            }
            match number {
                None => _ = self.write_content(0..self.size, output)?,
                Some((at, text)) => {
                    let behind = (at + REQUEST_MARK.len()) as u64;
                    self.write_content(0..at as u64, output)?;
                    output.write(text.as_bytes());
                    self.write_content(behind..self.size, output)?;
                }
            }
            Ok(Answered { status, body: length, persistent, cache: CacheResult::Hit })
        })
    }

    /// Writes the response to preconditions and ranges; None if the response is the usual one.
    #[inline(never)]
    fn respond_specially(
        &self,
        request: &RequestHead<'_>,
        context: HeadContext<'_>,
        output: &mut Output,
    ) -> Result<Option<Answered>, Reject> {
        let now = context.stamp.unix_seconds();
        let modified = validators::last_modified(&self.metadata, now);
        let validators = conditional::Validators { etag: self.etag(), modified };
        if request.present.conditional {
            match conditional::evaluate(true, &request.fields, Some(&validators), now) {
                Evaluation::Proceed => {}
                Evaluation::NotModified => return Ok(Some(self.write_not_modified(context, output))),
                Evaluation::Failed => {
                    return Err(Reject::new(
                        Status::PRECONDITION_FAILED,
                        "the file does not meet the preconditions of the request",
                    ));
                }
            }
        }
        // Range is defined for GET alone (RFC 9110 §14.2).
        if !request.present.range || request.method != Method::Get {
            return Ok(None);
        }
        let mut values = request.fields.all("range");
        let (Some(value), None) = (values.next(), values.next()) else { return Ok(None) };
        if request.present.conditional && !conditional::range_applies(&request.fields, &validators, now) {
            return Ok(None);
        }
        match range::parse(value, self.size) {
            Ranges::Ignored => Ok(None),
            Ranges::Unsatisfiable => Ok(Some(self.write_unsatisfiable(context, output))),
            Ranges::One(range) => self.write_part(range, context, output).map(Some),
            Ranges::Several(ranges) => self.write_parts(&ranges, context, output).map(Some),
        }
    }

    fn write_not_modified(&self, context: HeadContext<'_>, output: &mut Output) -> Answered {
        let status = Status::NOT_MODIFIED;
        let mut head = ResponseHead::begin(output.buffer(), status, context);
        head.prebuilt(self.part(self.validators, self.description));
        let (_, persistent) = head.end(Length::Known(self.size));
        Answered { status, body: 0, persistent, cache: CacheResult::Hit }
    }

    fn write_unsatisfiable(&self, context: HeadContext<'_>, output: &mut Output) -> Answered {
        let status = Status::RANGE_NOT_SATISFIABLE;
        let mut head = ResponseHead::begin(output.buffer(), status, context);
        head.lines(b"Content-Range: bytes */");
        head.lines(self.size_line());
        let (_, persistent) = head.end(Length::Known(0));
        Answered { status, body: 0, persistent, cache: CacheResult::Hit }
    }

    fn write_part(&self, range: Range<u64>, context: HeadContext<'_>, output: &mut Output) -> Result<Answered, Reject> {
        let status = Status::PARTIAL_CONTENT;
        let mut head = ResponseHead::begin(output.buffer(), status, context);
        head.prebuilt(self.part(self.validators, self.length));
        self.write_content_range(&range, head.buffer());
        let (_, persistent) = head.end(Length::Known(range.end - range.start));
        let body = self.write_content(range, output)?;
        Ok(Answered { status, body, persistent, cache: CacheResult::Hit })
    }

    /// `multipart/byteranges` (RFC 9110 §14.6).
    fn write_parts(
        &self,
        ranges: &[Range<u64>],
        context: HeadContext<'_>,
        output: &mut Output,
    ) -> Result<Answered, Reject> {
        // The boundary must not occur in the content, so nobody may be able to predict it.
        let boundary = uuid::Uuid::new_v4().simple().to_string();
        let mut heads: Vec<Vec<u8>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
            head.extend_from_slice(self.content_type());
            self.write_content_range(range, &mut head);
            head.extend_from_slice(b"\r\n");
            heads.push(head);
        }
        let tail = format!("\r\n--{boundary}--\r\n");
        let bytes = heads.iter().map(|head| head.len() as u64).sum::<u64>()
            + ranges.iter().map(|range| range.end - range.start).sum::<u64>()
            + tail.len() as u64;

        let status = Status::PARTIAL_CONTENT;
        let mut head = ResponseHead::begin(output.buffer(), status, context);
        let lines = self.part(self.validators, self.length);
        head.prebuilt(&lines[..lines.len() - self.content_type().len()]);
        head.field("Content-Type", format!("multipart/byteranges; boundary={boundary}").as_bytes());
        let (_, persistent) = head.end(Length::Known(bytes));
        for (head, range) in heads.iter().zip(ranges) {
            output.write(head);
            self.write_content(range.clone(), output)?;
        }
        output.write(tail.as_bytes());
        Ok(Answered { status, body: bytes, persistent, cache: CacheResult::Hit })
    }

    /// The field line of Content-Range (RFC 9110 §14.4).
    fn write_content_range(&self, range: &Range<u64>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Content-Range: bytes ");
        write_decimal(out, range.start);
        out.push(b'-');
        write_decimal(out, range.end - 1);
        out.push(b'/');
        out.extend_from_slice(self.size_line());
    }

    /// Appends a range of the content: it is copied, read, or left to sendfile.
    fn write_content(&self, range: Range<u64>, output: &mut Output) -> Result<u64, Reject> {
        let length = range.end - range.start;
        match &self.file {
            None => output.write(&self.content()[range.start as usize..range.end as usize]),
            Some(file) if length <= SMALL_RANGE => {
                let read = read_range(file, range.start, length as usize, output.buffer());
                read.map_err(|_| Reject::new(Status::INTERNAL_SERVER_ERROR, "the file can't be read"))?;
            }
            Some(file) => output.file(FileSlice { file: Rc::clone(file), offset: range.start, length }),
        }
        Ok(length)
    }
}

/// What stands in an error page of the site for the number of the request, as it is in the
/// access log.
const REQUEST_MARK: &[u8] = b"<!-- request -->";

/// What an allocation of so many bytes takes: the allocator adds a word and rounds up.
const fn allocated(bytes: usize) -> usize {
    let taken = (bytes + 8).next_multiple_of(16);
    if taken < 32 { 32 } else { taken }
}

/// Appends the content of a small file, which has `size` bytes.
///
/// # Errors
/// `Unsized` if there are more or fewer, although the file still has that size.
fn read_small(file: &File, size: u64, out: &mut Vec<u8>) -> Result<(), BuildError> {
    let agrees = match read_range(file, 0, size as usize, out) {
        Ok(()) if size > 0 => return Ok(()),
        // It is empty, unless there is a byte all the same.
        Ok(()) => read_range(file, 0, 1, &mut Vec::new()).is_err(),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(error.into()),
    };
    if agrees {
        return Ok(());
    }
    let now = file.metadata()?.len();
    Err(if now == size { BuildError::Unsized } else { io::Error::from(io::ErrorKind::UnexpectedEof).into() })
}
