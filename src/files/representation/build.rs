//! Makes the block of a representation.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::super::read::read_range;
use super::super::resolve::Metadata;
use super::super::validators::{self, Validators};
use super::{ACCEPT_RANGES, Representation, SMALL};
use crate::http::compressing::{forbids_transforms, varies_by_coding};
use crate::http::content_coding::{Codings, ContentCoding};
use crate::http::response::{self, HeadContext, ResponseHead};
use crate::http::{Status, date};
use crate::limits;

const NO_SNIFF: &[u8] = b"X-Content-Type-Options: nosniff\r\n";

/// Field values that depend on the site and the name of the file.
pub(in super::super) struct Style<'a> {
    pub(in super::super) cache_control: &'a str,
    pub(in super::super) media_type: &'a str,
    /// Further fields: name and value. They replace those above.
    pub(in super::super) fields: &'a [(&'a str, &'a str)],
    /// Its language, if its name says it.
    pub(in super::super) language: Option<&'a str>,
    pub(in super::super) etag_inode: bool,
    /// What tells the files that represent one resource apart, in entity-tags.
    pub(in super::super) mark: Option<&'a str>,
    /// A random number that changes with the root.
    pub(in super::super) edition: u64,
}

impl<'a> Style<'a> {
    /// The value of a further field.
    fn field(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().rev().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The value of Cache-Control.
    fn cache_control<'v>(&self, context: HeadContext<'v>) -> &'v str
    where
        'a: 'v,
    {
        self.field("Cache-Control").or(context.policy.cache_control.as_deref()).unwrap_or(self.cache_control)
    }

    /// Writes the lines that say something about the content, but for its coding and its type.
    fn write(&self, writer: &mut ResponseHead<'_>) {
        if self.field("X-Content-Type-Options").is_none() {
            writer.lines(NO_SNIFF);
        }
        let is_written = |name: &str| ["Cache-Control", "Vary"].iter().any(|other| name.eq_ignore_ascii_case(other));
        for (name, value) in self.fields.iter().filter(|(name, _)| !is_written(name)) {
            writer.field(name, value.as_bytes());
        }
        let language = self.language.filter(|_| self.field("Content-Language").is_none());
        if let Some(language) = language {
            writer.field("Content-Language", language.as_bytes());
        }
    }

    /// What a client may compare.
    fn validators(&self, metadata: &Metadata, variety: Variety, now: i64) -> Validators {
        let tag = variety.tag();
        let parts: Vec<_> = [self.mark.unwrap_or_default(), &tag].into_iter().filter(|part| !part.is_empty()).collect();
        Validators::of(metadata, &parts.join("-"), self.etag_inode, self.edition, now)
    }

    /// Whether there may be coded forms: the operator says nothing else about the coding.
    pub(in super::super) fn may_be_coded(&self) -> bool {
        self.field("Content-Encoding").is_none()
    }

    /// The codings in which forms of `size` bytes may be made here.
    pub(in super::super) fn made_in(&self, size: u64, context: HeadContext<'_>) -> Codings {
        let rules = &context.policy.compression;
        let content_type = self.field("Content-Type").unwrap_or(self.media_type).as_bytes();
        let may_be_made = size <= limits::COMPRESSED_FILE
            && rules.is_worth(Some(content_type), Some(size))
            && self.may_be_coded()
            && !forbids_transforms(self.cache_control(context).as_bytes());
        if may_be_made { rules.codings } else { Codings::NONE }
    }
}

/// One form of a file.
pub(in super::super) struct Form<'a> {
    /// The path of the file, for the plain form.
    pub(in super::super) key: &'a [u8],
    /// The metadata that its validators are made of.
    pub(in super::super) metadata: &'a Metadata,
    pub(in super::super) variety: Variety,
    /// The content, with so many bytes.
    pub(in super::super) file: File,
    pub(in super::super) size: u64,
    /// The path has coded forms, or may get some.
    pub(in super::super) varies: bool,
}

/// Which of the forms of a file it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Variety {
    /// As it is.
    Plain,
    /// A file that the operator has compressed.
    Sibling(ContentCoding),
    /// Compressed here, with this checksum.
    Made(ContentCoding, u32),
}

impl Variety {
    fn coding(self) -> Option<ContentCoding> {
        match self {
            Self::Plain => None,
            Self::Sibling(coding) | Self::Made(coding, _) => Some(coding),
        }
    }

    /// What tells it apart from other forms of the file in entity-tags. What is made depends on the
    /// level, and on the version and the processor of a machine, while a strong entity-tag means the same
    /// bytes everywhere.
    fn tag(self) -> String {
        match self {
            Self::Plain => String::new(),
            Self::Sibling(coding) => coding.name().to_owned(),
            Self::Made(coding, sum) => format!("{}-{sum:x}", coding.name()),
        }
    }
}

/// Why a file has no representation.
#[derive(Debug)]
pub(in super::super) enum BuildError {
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

impl Representation {
    /// Builds the representation of a form.
    ///
    /// # Errors
    /// If the file can't be read, has become shorter than its metadata says, or has no size
    /// that holds.
    pub(in super::super) fn build(
        form: Form<'_>,
        style: &Style<'_>,
        context: HeadContext<'_>,
    ) -> Result<Self, BuildError> {
        let Form { key, metadata, variety, file, size, varies } = form;
        let now = context.stamp.unix_seconds();
        let Validators { etag, weak } = style.validators(metadata, variety, now);
        let small = size <= SMALL;

        let mut block = Vec::with_capacity(key.len() + 512 + if small { size as usize } else { 0 });
        block.extend_from_slice(key);
        let head = block.len();
        let mut writer = ResponseHead::begin(&mut block, Status::OK, context);
        let validators_at = writer.position();
        writer.field("ETag", &etag);
        let etag_length = if writer.position() > validators_at { etag.len() } else { 0 };
        if let Some(modified) = validators::last_modified(metadata, now) {
            let mut text = [0; date::LENGTH];
            date::write(modified, &mut text);
            writer.field("Last-Modified", &text);
        }
        writer.field("Cache-Control", style.cache_control(context).as_bytes());
        if let Some(vary) = vary(style, varies) {
            writer.field("Vary", vary.as_bytes());
        }
        let description = writer.position();
        writer.lines(ACCEPT_RANGES);
        style.write(&mut writer);
        let kind = writer.position();
        if let Some(coding) = variety.coding() {
            writer.field("Content-Encoding", coding.name().as_bytes());
        }
        writer.field("Content-Type", style.media_type.as_bytes());
        let length = writer.position();
        response::content_length(&mut block, size);
        let end = block.len();
        block.extend_from_slice(b"\r\n");

        let file = if small {
            read_small(&file, size, &mut block)?;
            None
        } else {
            Some(Rc::new(OwnedFd::from(file)))
        };

        let narrow = |offset: usize| u16::try_from(offset).map_err(|_| io::Error::other("the head is too large"));
        Ok(Self {
            head: narrow(head)?,
            validators: narrow(validators_at)?,
            description: narrow(description)?,
            kind: narrow(kind)?,
            length: narrow(length)?,
            end: narrow(end)?,
            policy: context.policy.id,
            // An entity-tag has at most five numbers and a coding.
            etag: etag_length as u8,
            // A copy of the exact size. To shrink the buffer in place would leave a hole behind
            // it that nothing fits.
            block: Box::from(&block[..]),
            file,
            size,
            weak,
        })
    }
}

/// The value of Vary: that of the site, and what the choice among forms depends on.
fn vary(style: &Style<'_>, varies: bool) -> Option<String> {
    const CHOICE: &str = "Accept-Encoding";
    let own = style.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Vary")).map(|(_, value)| *value);
    let own = own.collect::<Vec<_>>().join(", ");
    match (own.as_str(), varies && !varies_by_coding(own.as_bytes())) {
        ("", false) => None,
        ("", true) => Some(CHOICE.to_owned()),
        (_, true) => Some(format!("{CHOICE}, {own}")),
        (_, false) => Some(own),
    }
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
