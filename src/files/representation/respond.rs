//! Writes the responses of a representation.

use std::ops::Range;
use std::rc::Rc;

use super::super::read::read_range;
use super::super::resolve::Metadata;
use super::super::validators;
use super::{ACCEPT_RANGES, Answered, CacheResult, Failure, REQUEST_MARK, Representation};
use crate::http::conditional::{self, Evaluation};
use crate::http::head::{Method, RequestHead};
use crate::http::range::{self, Ranges};
use crate::http::response::{self, BodyForm, HeadContext, Length, RequestTraits, ResponseHead, write_decimal};
use crate::http::{Reject, Status, date};
use crate::reactor::{FileSlice, Output};

/// Pieces of a file up to this size are read into the output. That takes one read and a
/// share of a write, instead of a sendfile with a segment of its own.
const SMALL_RANGE: u64 = 4 * 1024;

/// The offset of the value of Date in the head.
const DATE: usize = response::date_offset(Status::OK);

/// A precondition of the request is false.
pub const PRECONDITION_FAILED: Reject =
    Reject::new(Status::PRECONDITION_FAILED, "the file does not meet the preconditions of the request");

/// When a representation was last modified.
#[derive(Clone, Copy)]
pub(in super::super) struct Modified<'a> {
    /// The metadata that its validators were made of.
    pub(in super::super) metadata: &'a Metadata,
    /// The file has other forms, too. They may have the same date, so a date doesn't say which of
    /// them a client has a part of.
    pub(in super::super) is_shared: bool,
}

/// A file as it is, for who sends it in another way.
pub struct PlainFile {
    /// The field lines that say something about the content, but for its length.
    pub lines: Vec<u8>,
    /// When it was last modified, in Unix seconds, if that is known.
    pub modified: Option<i64>,
    /// The content.
    pub content: PlainContent,
    /// Its bytes.
    pub size: u64,
    /// Whether the file was in the cache.
    pub cache: CacheResult,
}

/// The content of a file.
pub enum PlainContent {
    /// Small content.
    Memory(Vec<u8>),
    /// Larger content.
    File(FileSlice),
}

impl Representation {
    /// What it is, for who sends it in another way.
    pub(in super::super) fn as_it_is(
        &self,
        modified: Modified<'_>,
        cache: CacheResult,
        context: HeadContext<'_>,
    ) -> PlainFile {
        PlainFile {
            lines: self.part(self.validators, self.length).to_vec(),
            modified: validators::last_modified(modified.metadata, context.stamp.unix_seconds()),
            content: match &self.file {
                None => PlainContent::Memory(self.content().to_vec()),
                Some(file) => PlainContent::File(FileSlice { file: Rc::clone(file), offset: 0, length: self.size }),
            },
            size: self.size,
            cache,
        }
    }

    /// Writes the response to a GET or HEAD: 200, 206, 304 or 416.
    ///
    /// # Errors
    /// 412 if a precondition fails; 500 if the file can't be read any more. Then the output
    /// is unchanged.
    pub(in super::super) fn respond(
        &self,
        modified: Modified<'_>,
        request: &RequestHead<'_>,
        context: HeadContext<'_>,
        output: &mut Output,
    ) -> Result<Answered, Reject> {
        let present = request.present;
        output.attempt(|output| {
            if (present.conditional || present.range)
                && let Some(answered) = self.respond_specially(modified, request, context, output)?
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

    /// Writes the content as an error page, without a look at the preconditions. The number of the
    /// request is in place of the first [`REQUEST_MARK`] of a small file.
    ///
    /// # Errors
    /// 500 if the file can't be read any more. Then the output is unchanged.
    pub(in super::super) fn respond_to_failure(
        &self,
        failure: &Failure<'_>,
        context: HeadContext<'_>,
        output: &mut Output,
    ) -> Result<Answered, Reject> {
        let Failure { status, lines, number, .. } = *failure;
        let number = self.mark().map(|at| (at, format!("{}/{}", number.0, number.1)));
        let replaced = number.as_ref().map(|(_, text)| self.size + text.len() as u64 - REQUEST_MARK.len() as u64);
        let length = replaced.unwrap_or(self.size);
        output.attempt(|output| {
            let mut head = ResponseHead::begin(output.buffer(), status, context);
            head.lines(lines);
            // It isn't the requested resource, so it has no validators and no ranges.
            head.lines(self.vary());
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
        modified: Modified<'_>,
        request: &RequestHead<'_>,
        context: HeadContext<'_>,
        output: &mut Output,
    ) -> Result<Option<Answered>, Reject> {
        let now = context.stamp.unix_seconds();
        let date = validators::last_modified(modified.metadata, now);
        let validators = conditional::Validators { etag: self.etag(), modified: date };
        if request.present.conditional {
            match conditional::evaluate(true, &request.fields, Some(&validators), now) {
                Evaluation::Proceed => {}
                Evaluation::NotModified => return Ok(Some(self.write_not_modified(context, output))),
                Evaluation::Failed => {
                    return Err(PRECONDITION_FAILED);
                }
            }
        }
        // Range is defined for GET alone (RFC 9110 §14.2).
        if !request.present.range || request.method != Method::Get {
            return Ok(None);
        }
        let mut values = request.fields.all("range");
        let (Some(value), None) = (values.next(), values.next()) else { return Ok(None) };
        let exact = conditional::Validators { modified: date.filter(|_| !modified.is_shared), ..validators };
        if request.present.conditional && !conditional::range_applies(&request.fields, &exact, now) {
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
        // The size is that of the form that the client would get.
        head.lines(self.vary());
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
            head.extend_from_slice(self.part(self.kind, self.length));
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
        head.prebuilt(self.part(self.validators, self.kind));
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
