//! The parts of a message, each as a slice of it (RFC 2046 §5.1).
//!
//! Each multipart is searched once for its boundary. So the time is at most the size of the message times
//! the depth of the tree, and the memory is a few words for each part.

use mail_parser::{MessageParser, MimeHeaders};
use memchr::memmem;

use super::fields::{self, Header, one_line};

/// Most entities, multiparts included.
const ENTITIES: usize = 500;
/// Deepest nesting of multiparts: real messages have four or five.
const DEPTH: usize = 20;
/// Longest boundary; RFC 2046 allows 70 bytes.
const BOUNDARY: usize = 200;
/// Longest name or Content-ID, in characters.
const NAME: usize = 255;
/// What a part is that doesn't say so, or says something malformed.
const UNKNOWN: &str = "application/octet-stream";

/// The tree of a message, flat.
#[derive(Default)]
pub(super) struct Structure<'a> {
    pub(super) header: Header,
    /// The parts that have no parts, in the order of the message.
    pub(super) leaves: Vec<Leaf<'a>>,
    /// There are more.
    pub(super) is_cut: bool,
    entities: usize,
}

/// A part that has no parts.
pub(super) struct Leaf<'a> {
    /// Lower-case, without parameters.
    pub(super) media_type: String,
    pub(super) charset: Option<String>,
    pub(super) encoding: Encoding,
    pub(super) is_attachment: bool,
    pub(super) name: Option<String>,
    pub(super) content_id: Option<String>,
    /// Its content, as it was sent.
    pub(super) body: &'a [u8],
}

/// Content-Transfer-Encoding (RFC 2045 §6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Encoding {
    /// 7bit, 8bit, binary, or unknown.
    Identity,
    Base64,
    QuotedPrintable,
}

impl<'a> Structure<'a> {
    /// The structure of a message.
    pub(super) fn of(message: &'a [u8]) -> Self {
        let mut structure = Self { header: Header::of(split_head(message).0), ..Self::default() };
        structure.entity(message, 0, "text/plain", &MessageParser::new().with_mime_headers());
        structure
    }

    /// Adds an entity: a message or a part. `default_type` is its type if it has none.
    fn entity(&mut self, bytes: &'a [u8], depth: usize, default_type: &str, parser: &MessageParser) {
        self.entities += 1;
        if self.entities > ENTITIES {
            self.is_cut = true;
            return;
        }
        let (head, body) = split_head(bytes);
        let head = fields::complete(head);
        let message = fields::parse(parser, &head);
        // The library expects a part, but finds none in an empty header section.
        let fields = message.parts.first();
        let content_type = fields.and_then(MimeHeaders::content_type);
        let media_type = content_type.map_or_else(|| default_type.to_owned(), media_type);
        let boundary = content_type.and_then(|field| field.attribute("boundary"));
        if let Some(subtype) = media_type.strip_prefix("multipart/")
            && let Some(boundary) = boundary.filter(|boundary| (1..=BOUNDARY).contains(&boundary.len()))
        {
            let default_type = if subtype == "digest" { "message/rfc822" } else { "text/plain" };
            let before = self.entities;
            if depth < DEPTH {
                for section in Sections::of(body, boundary) {
                    self.entity(section, depth + 1, default_type, parser);
                    if self.is_cut && self.entities > ENTITIES {
                        return;
                    }
                }
            } else {
                self.is_cut = true;
            }
            if self.entities > before {
                return;
            }
            // None of its parts is there, or too deep: it is one itself.
        }
        let disposition = fields.and_then(MimeHeaders::content_disposition);
        let text = |text: &str| one_line(text).chars().take(NAME).collect::<String>();
        let name = fields.and_then(MimeHeaders::attachment_name).map(text).filter(|name| !name.is_empty());
        let content_id = fields.and_then(MimeHeaders::content_id).map(text).filter(|id| !id.is_empty());
        let encoding = fields.and_then(MimeHeaders::content_transfer_encoding);
        self.leaves.push(Leaf {
            charset: content_type.and_then(|field| field.attribute("charset")).map(text),
            encoding: encoding.map_or(Encoding::Identity, Encoding::of),
            is_attachment: disposition.is_some_and(|field| field.is_attachment()),
            media_type,
            name,
            content_id,
            body,
        });
    }
}

impl Encoding {
    fn of(name: &str) -> Self {
        match name.trim() {
            name if name.eq_ignore_ascii_case("base64") => Self::Base64,
            name if name.eq_ignore_ascii_case("quoted-printable") => Self::QuotedPrintable,
            _ => Self::Identity,
        }
    }
}

/// The type in a Content-Type field, if it is one.
fn media_type(field: &mail_parser::ContentType<'_>) -> String {
    let is_token = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        (1..=127).contains(&text.len()) && text.bytes().all(fits)
    };
    match field.subtype() {
        Some(subtype) if is_token(field.ctype()) && is_token(subtype) => {
            format!("{}/{subtype}", field.ctype()).to_ascii_lowercase()
        }
        _ => UNKNOWN.to_owned(),
    }
}

/// A message or a part as its header section and its body. Without a first line that is a field, all of
/// it is the body.
pub(super) fn split_head(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut rest = bytes;
    let mut is_first = true;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, next) = rest.split_at(end);
        if matches!(line, b"\r\n" | b"\n") {
            return (&bytes[..bytes.len() - rest.len()], next);
        }
        if std::mem::take(&mut is_first) && !is_field(line) {
            return (b"", bytes);
        }
        rest = next;
    }
    (bytes, b"")
}

/// Whether a line begins a field: a name and a colon.
fn is_field(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else { return false };
    let name = line[..colon].trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

/// What is between the delimiter lines of a multipart.
struct Sections<'a> {
    body: &'a [u8],
    delimiter: Vec<u8>,
    /// Where the next section begins.
    begin: Option<usize>,
}

impl<'a> Sections<'a> {
    fn of(body: &'a [u8], boundary: &str) -> Self {
        let delimiter = [b"--", boundary.as_bytes()].concat();
        let mut sections = Self { body, delimiter, begin: None };
        // What is before the first delimiter is for readers that don't know MIME.
        sections.begin = sections.next_delimiter(0).and_then(|found| found.next);
        sections
    }

    /// The first delimiter line at `from` or behind it.
    fn next_delimiter(&self, from: usize) -> Option<Delimiter> {
        let rest = self.body.get(from..)?;
        memmem::find_iter(rest, &self.delimiter).find_map(|at| self.delimiter_at(from + at))
    }

    /// The delimiter line whose boundary is here, if it is one: it is a line of its own, with white
    /// space behind it at most.
    fn delimiter_at(&self, at: usize) -> Option<Delimiter> {
        let before = self.body.get(..at)?;
        if !before.is_empty() && !before.ends_with(b"\n") {
            return None;
        }
        // The line end before a delimiter belongs to it.
        let before = before.strip_suffix(b"\n").map_or(before, |before| before.strip_suffix(b"\r").unwrap_or(before));
        let rest = self.body.get(at + self.delimiter.len()..)?;
        let (rest, is_last) = rest.strip_prefix(b"--").map_or((rest, false), |rest| (rest, true));
        let line = memchr::memchr(b'\n', rest).map_or(rest, |end| &rest[..=end]);
        let next = self.body.len() - rest.len() + line.len();
        line.trim_ascii().is_empty().then_some(Delimiter { end: before.len(), next: (!is_last).then_some(next) })
    }
}

/// A delimiter line.
struct Delimiter {
    /// Where the section before it ends.
    end: usize,
    /// Where the section behind it begins; none if it was the last.
    next: Option<usize>,
}

impl<'a> Iterator for Sections<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let begin = self.begin.take()?;
        // The delimiter that begins at once ends an empty section; its line end is before `begin`.
        let end = match self.next_delimiter(begin) {
            None => self.body.len(),
            Some(delimiter) => {
                self.begin = delimiter.next;
                delimiter.end.max(begin)
            }
        };
        self.body.get(begin..end)
    }
}
