//! A file as it is answered: one prebuilt block.
//!
//! Everything about an answer that doesn't depend on the request is made once:
//!
//! ```text
//! | key | HTTP/1.1 200 OK, Date, Server | Content-Length | ETag, Last-Modified, Cache-Control | Accept-Ranges … Content-Type | CRLF | content | metadata |
//!       ^ head                          ^ length         ^ validators                         ^ description                  ^ end  ^ content
//! ```
//!
//! The usual answer is then a copy of the stretch from head to the end of the
//! content, with the Date written over. A 304 takes the validators, a 206 those
//! and the description, each behind a line of its own. Small content lies in the
//! block; larger content stays in the file and is sent from its descriptor, so
//! no file is ever in memory because of its size.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use super::resolve::Metadata;
use crate::http::conditional::{self, Validators, Verdict};
use crate::http::head::{Method, RequestHead};
use crate::http::range::{self, Ranges};
use crate::http::response::{self, Manner, Stamp};
use crate::http::{Reject, Status, date};
use crate::reactor::{FileSlice, Output};

/// Content up to this size is copied from memory: measured, sendfile is cheaper
/// from about 7 KiB on.
pub(super) const SMALL: u64 = 6 * 1024;

/// Stretches of a file up to this size are read into the output: one read and a
/// share in a write, instead of a sendfile with a segment of its own.
const SMALL_RANGE: u64 = 4 * 1024;

/// The first line of the description.
const ACCEPT_RANGES: &[u8] = b"Accept-Ranges: bytes\r\n";

/// A file as it is answered.
pub struct Representation {
    block: Box<[u8]>,
    /// Larger content; small content is in the block.
    file: Option<Rc<OwnedFd>>,
    head: u16,
    length: u16,
    validators: u16,
    description: u16,
    end: u16,
    /// The entity-tag is weak: the file was modified so lately that a second
    /// modification could go unseen.
    weak: bool,
    /// Was asked for since the cache last looked.
    pub(super) used: bool,
    /// When the file was last looked at, in seconds of the loop's clock.
    pub(super) checked: u32,
}

/// What is the same for all files of a site.
pub(super) struct Style<'a> {
    pub(super) stamp: &'a Stamp,
    pub(super) cache_control: &'a str,
    pub(super) media_type: &'a str,
    pub(super) etag_inode: bool,
}

/// What was answered: the status, and how many octets of body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answered {
    /// The status.
    pub status: Status,
    /// Octets of the body.
    pub body: u64,
    /// Whether the connection persists.
    pub persistent: bool,
}

impl Representation {
    /// Builds the answer for `file`, which `key` leads to.
    ///
    /// # Errors
    /// If the file can't be read, or has become shorter.
    pub(super) fn build(key: &[u8], file: File, metadata: &Metadata, style: &Style<'_>) -> io::Result<Self> {
        let now = style.stamp.unix_seconds();
        // RFC 9110 §8.8.2.1: a Last-Modified later than Date is replaced by Date.
        let modified = metadata.modified_s.min(now);
        let weak = now - metadata.modified_s < 2;
        let small = metadata.size <= SMALL;

        let mut block = Vec::with_capacity(key.len() + 512 + if small { metadata.size as usize } else { 0 });
        block.extend_from_slice(key);
        let head = block.len();
        response::begin(&mut block, Status::OK, style.stamp);
        let length = block.len();
        response::content_length(&mut block, metadata.size);
        let validators = block.len();
        block.extend_from_slice(b"ETag: ");
        write_etag(&mut block, metadata, weak, style.etag_inode);
        block.extend_from_slice(b"\r\nLast-Modified: ");
        let mut text = [0; date::LENGTH];
        date::write(modified, &mut text);
        block.extend_from_slice(&text);
        block.extend_from_slice(b"\r\nCache-Control: ");
        block.extend_from_slice(style.cache_control.as_bytes());
        block.extend_from_slice(b"\r\n");
        let description = block.len();
        block.extend_from_slice(ACCEPT_RANGES);
        block.extend_from_slice(b"X-Content-Type-Options: nosniff\r\n");
        response::field(&mut block, "Content-Type", style.media_type.as_bytes());
        let end = block.len();
        block.extend_from_slice(b"\r\n");

        let mut descriptor = None;
        if small {
            let start = block.len();
            block.resize(start + metadata.size as usize, 0);
            file.read_exact_at(&mut block[start..], 0)?;
        } else {
            descriptor = Some(Rc::new(OwnedFd::from(file)));
        }
        block.extend_from_slice(&pack(metadata));

        let narrow = |offset: usize| u16::try_from(offset).map_err(|_| io::Error::other("the head is too large"));
        Ok(Self {
            head: narrow(head)?,
            length: narrow(length)?,
            validators: narrow(validators)?,
            description: narrow(description)?,
            end: narrow(end)?,
            block: block.into_boxed_slice(),
            file: descriptor,
            weak,
            used: true,
            checked: 0,
        })
    }

    /// The path that led here.
    pub(super) fn key(&self) -> &[u8] {
        &self.block[..usize::from(self.head)]
    }

    /// What the file was when it was read.
    pub(super) fn metadata(&self) -> Metadata {
        unpack(&self.block[self.block.len() - PACKED..])
    }

    /// Whether it can't be kept for long: its weak entity-tag will become strong.
    pub(super) fn is_weak(&self) -> bool {
        self.weak
    }

    /// Octets of memory.
    pub(super) fn memory(&self) -> usize {
        self.block.len() + size_of::<Self>()
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
        &self.block[usize::from(self.end) + 2..self.block.len() - PACKED]
    }

    fn size(&self) -> u64 {
        if self.file.is_some() { self.metadata().size } else { self.content().len() as u64 }
    }

    /// The value of a field among the validators, which are ours and in order.
    fn etag(&self) -> &[u8] {
        let lines = &self.part(self.validators, self.description)[b"ETag: ".len()..];
        &lines[..memchr::memchr(b'\r', lines).unwrap_or(lines.len())]
    }

    /// Answers a GET or HEAD: the whole, a part, or what the preconditions say.
    ///
    /// # Errors
    /// 412 if a precondition fails; 500 if the file can't be read any more.
    #[inline]
    pub(super) fn answer(
        &self,
        request: &RequestHead<'_>,
        manner: Manner,
        stamp: &Stamp,
        output: &mut Output,
    ) -> Result<Answered, Reject> {
        let present = request.present;
        if (present.conditional || present.range)
            && let Some(answered) = self.answer_particular(request, manner, stamp, output)?
        {
            return Ok(answered);
        }
        self.answer_whole(Status::OK, b"", manner, stamp, output)
    }

    /// Answers with the whole content under another status, whatever the
    /// preconditions: an error page. `lines` are further field lines.
    pub(super) fn answer_whole(
        &self,
        status: Status,
        lines: &[u8],
        manner: Manner,
        stamp: &Stamp,
        output: &mut Output,
    ) -> Result<Answered, Reject> {
        let out = output.buffer();
        let start = out.len();
        let usual = manner == Manner { minor: 1, head_only: false, persistent: true };
        if status == Status::OK && usual && self.file.is_none() {
            // One copy, and the date over it.
            out.extend_from_slice(&self.block[usize::from(self.head)..self.block.len() - PACKED]);
            let at = start + date_offset_of_ok();
            out[at..at + date::LENGTH].copy_from_slice(stamp.date());
            return Ok(Answered { status, body: self.content().len() as u64, persistent: true });
        }
        response::begin(out, status, stamp);
        out.extend_from_slice(lines);
        if status == Status::OK {
            out.extend_from_slice(self.part(self.length, self.end));
        } else {
            // An error page represents nothing that was asked for: no
            // validators, no ranges.
            out.extend_from_slice(self.part(self.length, self.validators));
            out.extend_from_slice(&self.part(self.description, self.end)[ACCEPT_RANGES.len()..]);
        }
        response::end_persistence(out, manner.minor, manner.persistent);
        let body = if manner.head_only { 0 } else { self.write_content(0..self.size(), output)? };
        Ok(Answered { status, body, persistent: manner.persistent })
    }

    /// Answers what isn't just the whole, if the request really asks for it.
    #[inline(never)]
    fn answer_particular(
        &self,
        request: &RequestHead<'_>,
        manner: Manner,
        stamp: &Stamp,
        output: &mut Output,
    ) -> Result<Option<Answered>, Reject> {
        let now = stamp.unix_seconds();
        let modified = self.metadata().modified_s.min(now);
        let validators = Validators { etag: self.etag(), modified };
        if request.present.conditional {
            match conditional::evaluate(true, &request.fields, Some(&validators), now) {
                Verdict::Proceed => {}
                Verdict::NotModified => return Ok(Some(self.answer_not_modified(manner, stamp, output))),
                Verdict::Failed => {
                    return Err(Reject::new(
                        Status::PRECONDITION_FAILED,
                        "the file is not in the state that was asked for",
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
        match range::parse(value, self.size()) {
            Ranges::Ignored => Ok(None),
            Ranges::Unsatisfiable => Ok(Some(self.answer_unsatisfiable(manner, stamp, output))),
            Ranges::One(range) => self.answer_part(range, manner, stamp, output).map(Some),
            Ranges::Several(ranges) => self.answer_parts(&ranges, manner, stamp, output).map(Some),
        }
    }

    fn answer_not_modified(&self, manner: Manner, stamp: &Stamp, output: &mut Output) -> Answered {
        let out = output.buffer();
        response::begin(out, Status::NOT_MODIFIED, stamp);
        out.extend_from_slice(self.part(self.validators, self.description));
        response::end_persistence(out, manner.minor, manner.persistent);
        Answered { status: Status::NOT_MODIFIED, body: 0, persistent: manner.persistent }
    }

    fn answer_unsatisfiable(&self, manner: Manner, stamp: &Stamp, output: &mut Output) -> Answered {
        let out = output.buffer();
        let status = Status::RANGE_NOT_SATISFIABLE;
        response::begin(out, status, stamp);
        out.extend_from_slice(b"Content-Range: ");
        range::write_unsatisfied(self.size(), out);
        out.extend_from_slice(b"\r\nContent-Length: 0\r\n");
        response::end_persistence(out, manner.minor, manner.persistent);
        Answered { status, body: 0, persistent: manner.persistent }
    }

    fn answer_part(
        &self,
        range: Range<u64>,
        manner: Manner,
        stamp: &Stamp,
        output: &mut Output,
    ) -> Result<Answered, Reject> {
        let out = output.buffer();
        let status = Status::PARTIAL_CONTENT;
        response::begin(out, status, stamp);
        out.extend_from_slice(b"Content-Range: ");
        range::write_content_range(&range, self.size(), out);
        out.extend_from_slice(b"\r\n");
        response::content_length(out, range.end - range.start);
        out.extend_from_slice(self.part(self.validators, self.end));
        response::end_persistence(out, manner.minor, manner.persistent);
        let body = self.write_content(range, output)?;
        Ok(Answered { status, body, persistent: manner.persistent })
    }

    /// `multipart/byteranges` (RFC 9110 §14.6).
    fn answer_parts(
        &self,
        ranges: &[Range<u64>],
        manner: Manner,
        stamp: &Stamp,
        output: &mut Output,
    ) -> Result<Answered, Reject> {
        // The boundary must not occur in the content, which nobody can foresee.
        let boundary = uuid::Uuid::new_v4().simple().to_string();
        let (description, media_type) = self.split_description();
        let mut heads: Vec<Vec<u8>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
            head.extend_from_slice(media_type);
            head.extend_from_slice(b"Content-Range: ");
            range::write_content_range(range, self.size(), &mut head);
            head.extend_from_slice(b"\r\n\r\n");
            heads.push(head);
        }
        let tail = format!("\r\n--{boundary}--\r\n");
        let octets = heads.iter().map(|head| head.len() as u64).sum::<u64>()
            + ranges.iter().map(|range| range.end - range.start).sum::<u64>()
            + tail.len() as u64;

        let status = Status::PARTIAL_CONTENT;
        let out = output.buffer();
        response::begin(out, status, stamp);
        response::content_length(out, octets);
        out.extend_from_slice(self.part(self.validators, self.description));
        out.extend_from_slice(description);
        response::field(out, "Content-Type", format!("multipart/byteranges; boundary={boundary}").as_bytes());
        response::end_persistence(out, manner.minor, manner.persistent);
        for (head, range) in heads.iter().zip(ranges) {
            output.write(head);
            self.write_content(range.clone(), output)?;
        }
        output.write(tail.as_bytes());
        Ok(Answered { status, body: octets, persistent: manner.persistent })
    }

    /// The description without its last line, and that line: Content-Type.
    fn split_description(&self) -> (&[u8], &[u8]) {
        let description = self.part(self.description, self.end);
        let before = &description[..description.len().saturating_sub(2)];
        description.split_at(memchr::memrchr(b'\n', before).map_or(0, |at| at + 1))
    }

    /// Appends a stretch of the content: copied, read, or left to sendfile.
    fn write_content(&self, range: Range<u64>, output: &mut Output) -> Result<u64, Reject> {
        let length = range.end - range.start;
        match &self.file {
            None => output.write(&self.content()[range.start as usize..range.end as usize]),
            Some(file) if length <= SMALL_RANGE => {
                let out = output.buffer();
                let start = out.len();
                out.resize(start + length as usize, 0);
                let mut filled = start;
                while filled < out.len() {
                    match rustix::io::pread(file, &mut out[filled..], range.start + (filled - start) as u64) {
                        // The file became shorter than its head says.
                        Ok(0) | Err(_) => {
                            return Err(Reject::new(Status::INTERNAL_SERVER_ERROR, "the file can't be read"));
                        }
                        Ok(count) => filled += count,
                    }
                }
            }
            Some(file) => output.file(FileSlice { file: Rc::clone(file), offset: range.start, length }),
        }
        Ok(length)
    }
}

fn date_offset_of_ok() -> usize {
    const OFFSET: usize = b"HTTP/1.1 200 OK\r\nDate: ".len();
    debug_assert_eq!(OFFSET, response::date_offset(Status::OK));
    OFFSET
}

/// The same on every machine that serves the same tree: modification in
/// nanoseconds and size (RFC 9110 §8.8.3).
fn write_etag(out: &mut Vec<u8>, metadata: &Metadata, weak: bool, inode: bool) {
    if weak {
        out.extend_from_slice(b"W/");
    }
    out.push(b'"');
    let nanoseconds = i128::from(metadata.modified_s) * 1_000_000_000 + i128::from(metadata.modified_ns);
    write_hexadecimal(out, nanoseconds as u128 as u64);
    out.push(b'-');
    write_hexadecimal(out, metadata.size);
    if inode {
        out.push(b'-');
        write_hexadecimal(out, metadata.inode);
        out.push(b'-');
        let changed = i128::from(metadata.changed_s) * 1_000_000_000 + i128::from(metadata.changed_ns);
        write_hexadecimal(out, changed as u128 as u64);
    }
    out.push(b'"');
}

fn write_hexadecimal(out: &mut Vec<u8>, number: u64) {
    let digits = (16 - number.leading_zeros() as usize / 4).max(1);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(number >> (4 * place)) as usize & 15]);
    }
}

const PACKED: usize = 56;

/// Metadata as octets, at the end of the block: looked at once a second, so not
/// worth a place in the table of the cache.
fn pack(metadata: &Metadata) -> [u8; PACKED] {
    let words = [
        metadata.size,
        metadata.modified_s as u64,
        metadata.changed_s as u64,
        u64::from(metadata.modified_ns) << 32 | u64::from(metadata.changed_ns),
        metadata.inode,
        metadata.device,
        u64::from(metadata.directory) << 1 | u64::from(metadata.hard_linked),
    ];
    let mut packed = [0; PACKED];
    for (place, word) in packed.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    packed
}

fn unpack(packed: &[u8]) -> Metadata {
    let mut words = [0; PACKED / 8];
    for (word, place) in words.iter_mut().zip(packed.chunks_exact(8)) {
        *word = place.iter().rev().fold(0, |word, &octet| word << 8 | u64::from(octet));
    }
    let [size, modified_s, changed_s, nanoseconds, inode, device, flags] = words;
    Metadata {
        size,
        modified_s: modified_s as i64,
        changed_s: changed_s as i64,
        modified_ns: (nanoseconds >> 32) as u32,
        changed_ns: nanoseconds as u32,
        inode,
        device,
        directory: flags & 2 != 0,
        hard_linked: flags & 1 != 0,
    }
}
