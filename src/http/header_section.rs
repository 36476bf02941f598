//! The header section of a request: its field lines, and what they say about the message
//! itself, whatever the method and target (RFC 9110 §6.3).
//!
//! A client repeats itself: from one request to the next the target changes, but the fields
//! seldom do. (So HTTP/2 sends only changed fields, RFC 7541.) HTTP/1.1 sends all fields
//! again, and most of the work on a small request would be to parse them again. The meaning
//! of a section depends on its bytes only. So [`FieldLines`] can remember the bytes of a
//! section together with the result of parsing it: a section with the same bytes, up to its
//! empty line, has the same result. [`RecentSections`] has such lines for the connections
//! that were active recently, a limited number of them. A section with a secret of its client,
//! credentials or cookies, is never remembered: it would outlive its connection.
//!
//! `httparse` finds the lines. Where it is lenient, this file checks again: every line must
//! end in CRLF.

use super::content_coding::{AcceptedCodings, Weights};
use super::fields::{Fields, Line, is_named};
use super::{Reject, Status, target};
use crate::limits;

/// Which of the fields that affect a response are present. The usual request has none of them,
/// so it isn't searched for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Present {
    /// Any `If-` field.
    pub conditional: bool,
    /// `Range`.
    pub range: bool,
    /// `Accept`, other than `*/*`, which has no effect (RFC 9110 §12.5.1).
    pub accept: bool,
}

/// What a header section says about its message, in any version of HTTP/1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Section {
    /// The number of the line of the one Host field, which is valid.
    pub(super) host: Option<u16>,
    /// There is Content-Length or Transfer-Encoding.
    pub(super) framed: bool,
    /// There is an Expect field.
    pub(super) expected: bool,
    /// The options of the Connection field.
    pub(super) connection: Connection,
    /// There is a field with credentials (RFC 9110 §11.4) or cookies (RFC 6265), which are the
    /// credentials of sessions.
    secret: bool,
    /// Which of the fields that affect a response are present.
    pub(super) present: Present,
    /// What Accept-Encoding says: as it stays with a section that is remembered, a client that
    /// repeats itself pays for it once.
    pub(super) codings: AcceptedCodings,
}

/// The options of the Connection field that matter here (RFC 9110 §7.6.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Connection {
    close: bool,
    keep_alive: bool,
}

impl Connection {
    pub(super) fn of(fields: &Fields<'_>) -> Self {
        let mut options = Self::default();
        fields.all("connection").for_each(|value| options.add(value));
        options
    }

    /// Adds the options of one field line.
    fn add(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Whether the connection may persist after a message of HTTP/1.`minor` (RFC 9112 §9.3).
    pub(super) fn persists(self, minor: u8) -> bool {
        !self.close && (minor > 0 || self.keep_alive)
    }
}

impl Section {
    /// Interprets the fields.
    ///
    /// # Errors
    /// 400 if there are several Host fields, or one that is malformed.
    pub(super) fn interpret(fields: &Fields<'_>) -> Result<Self, Reject> {
        let mut section = Self::default();
        let mut codings = Weights::default();
        let present = &mut section.present;
        for (number, (name, value)) in fields.iter().enumerate() {
            let is = |usual: &[u8]| is_named(name, usual);
            match name.len() {
                4 if is(b"Host") => {
                    if section.host.is_some() {
                        return Err(Reject::bad_request("there must be exactly one Host field"));
                    }
                    section.host = Some(number as u16);
                    if !target::valid_host(value) {
                        return Err(Reject::bad_request("the Host field is malformed"));
                    }
                }
                5 => present.range |= is(b"Range"),
                6 => {
                    section.secret |= is(b"Cookie");
                    present.accept |= is(b"Accept") && value != b"*/*";
                    section.expected |= is(b"Expect");
                }
                10 if is(b"Connection") => section.connection.add(value),
                13 => section.secret |= is(b"Authorization"),
                14 => section.framed |= is(b"Content-Length"),
                15 if is(b"Accept-Encoding") => codings.add(value),
                17 => section.framed |= is(b"Transfer-Encoding"),
                19 => section.secret |= is(b"Proxy-Authorization"),
                _ => {}
            }
            if name.len() >= 8 && name[..3].eq_ignore_ascii_case(b"if-") {
                present.conditional = true;
            }
        }
        section.codings = codings.into();
        Ok(section)
    }
}

/// The field lines of one head; the memory is reused.
#[derive(Default, Debug)]
pub struct FieldLines {
    lines: Vec<Line>,
    /// Remember the bytes of a section after parsing it.
    remember: bool,
    /// The remembered section, its empty line included; empty if there is none.
    bytes: Vec<u8>,
    /// The result of parsing it.
    section: Section,
}

impl FieldLines {
    /// Field lines that remember the last section, to recognise it.
    pub fn remembering() -> Self {
        Self { remember: true, ..Self::default() }
    }

    /// Field lines from valid names and values, for callers without a message.
    ///
    /// # Panics
    /// If they have more than [`limits::HEAD`] bytes together.
    pub fn of<'a, N: AsRef<[u8]>>(fields: impl IntoIterator<Item = (N, &'a [u8])>) -> Self {
        // Most messages have no more.
        let mut lines = Self { bytes: Vec::with_capacity(256), lines: Vec::with_capacity(16), ..Self::default() };
        for (name, value) in fields {
            let start = lines.bytes.len();
            lines.bytes.extend_from_slice(name.as_ref());
            let end = lines.bytes.len();
            lines.bytes.extend_from_slice(value);
            assert!(lines.bytes.len() <= limits::HEAD, "larger than a head may be");
            lines.lines.push(Line::new(start..end, end..lines.bytes.len()));
        }
        lines
    }

    /// Bytes of memory that they hold beyond their own size.
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.lines.capacity() * size_of::<Line>()
    }

    /// The fields of lines that were made by [`of`](Self::of).
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(&self.bytes, &self.lines)
    }

    /// The length and meaning of the section at the beginning of `bytes`, if it is the
    /// remembered one.
    pub(super) fn recognise(&self, bytes: &[u8]) -> Option<(usize, Section)> {
        (!self.bytes.is_empty() && bytes.starts_with(&self.bytes)).then_some((self.bytes.len(), self.section))
    }

    /// Parses the section at the beginning of `bytes`. Returns its length and meaning; none if
    /// it is incomplete.
    ///
    /// # Errors
    /// 400 for a malformed section, even if it is incomplete; 431 beyond [`limits::FIELDS`] and
    /// [`limits::HEAD`].
    pub(super) fn parse(&mut self, bytes: &[u8]) -> Result<Option<(usize, Section)>, Reject> {
        // Initialising room for the most lines costs more than parsing the usual few.
        let mut few = [httparse::EMPTY_HEADER; 24];
        let mut room;
        let found = match httparse::parse_headers(bytes, &mut few) {
            Err(httparse::Error::TooManyHeaders) => {
                room = [httparse::EMPTY_HEADER; limits::FIELDS];
                httparse::parse_headers(bytes, &mut room)
            }
            found => found,
        };
        let (length, found) = match found {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => {
                no_bare_lf(bytes)?;
                return Ok(None);
            }
            Err(error) => {
                no_bare_lf(bytes)?;
                return Err(reject(error));
            }
        };
        let bytes = &bytes[..length];
        no_bare_lf(bytes)?;
        check_size(length)?;
        self.fill(bytes, found);
        let section = Section::interpret(&self.within(bytes))?;
        if self.remember && length <= limits::REMEMBERED_SECTION && !section.secret {
            self.bytes.extend_from_slice(bytes);
            self.section = section;
        }
        Ok(Some((length, section)))
    }

    /// Sets the positions of the lines that were found in `bytes`, at most [`limits::HEAD`] bytes.
    pub(super) fn fill(&mut self, bytes: &[u8], found: &[httparse::Header<'_>]) {
        self.bytes.clear();
        self.lines.clear();
        let start = bytes.as_ptr() as usize;
        self.lines.extend(found.iter().map(|line| {
            let name = line.name.as_ptr() as usize - start;
            // An empty value may point anywhere.
            let value = if line.value.is_empty() { name } else { line.value.as_ptr() as usize - start };
            Line::new(name..name + line.name.len(), value..value + line.value.len())
        }));
    }

    /// The field lines, with the text in `bytes`.
    pub(super) fn within<'a>(&'a self, bytes: &'a [u8]) -> Fields<'a> {
        Fields::new(bytes, &self.lines)
    }
}

pub(super) const BARE_LF: Reject = Reject::bad_request("a line ends in a bare LF");

/// Every line must end in CRLF. There is no branch inside the loop, so that it can be vectorised.
pub(super) fn no_bare_lf(bytes: &[u8]) -> Result<(), Reject> {
    let bare = bytes.first() == Some(&b'\n');
    let pairs = bytes.iter().zip(bytes.get(1..).unwrap_or_default());
    let bare = pairs.fold(bare, |bare, (&before, &byte)| bare | ((byte == b'\n') & (before != b'\r')));
    if bare { Err(BARE_LF) } else { Ok(()) }
}

/// The head must not exceed its limit.
pub(super) fn check_size(length: usize) -> Result<(), Reject> {
    if length > limits::HEAD {
        return Err(Reject::new(Status::HEADER_FIELDS_TOO_LARGE, "the head is too large"));
    }
    Ok(())
}

fn reject(error: httparse::Error) -> Reject {
    match error {
        httparse::Error::TooManyHeaders => {
            Reject::new(Status::HEADER_FIELDS_TOO_LARGE, "there are too many field lines")
        }
        httparse::Error::HeaderName => Reject::bad_request("a field name is malformed"),
        httparse::Error::HeaderValue => Reject::bad_request("a field value contains a control byte"),
        _ => Reject::bad_request("a line doesn't end in CRLF"),
    }
}

/// The sections that connections sent recently, by connection.
#[derive(Default)]
pub struct RecentSections {
    sections: Vec<Option<Box<FieldLines>>>,
}

impl RecentSections {
    /// Lends the lines of connection `number`. They may hold the section of another connection,
    /// which is then recognised or overwritten.
    #[inline]
    pub fn take(&mut self, number: u32) -> Box<FieldLines> {
        if self.sections.is_empty() {
            self.sections.resize_with(limits::REMEMBERED_SECTIONS, || None);
        }
        self.sections[number as usize % limits::REMEMBERED_SECTIONS]
            .take()
            .unwrap_or_else(|| Box::new(FieldLines::remembering()))
    }

    /// Takes the lines back.
    pub fn put(&mut self, number: u32, lines: Box<FieldLines>) {
        self.sections[number as usize % limits::REMEMBERED_SECTIONS] = Some(lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head;

    /// Parses a request with `lines`: its path and its fields.
    fn parse(lines: &mut FieldLines, request: &str) -> Option<(String, Vec<(String, String)>)> {
        let input = request.as_bytes().to_vec();
        let head = head::parse(&input, lines).ok()??;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(head.length, request.len());
        Some((text(head.target.path), head.fields.iter().map(|(name, value)| (text(name), text(value))).collect()))
    }

    #[test]
    fn a_remembered_section_is_recognised_with_another_target() {
        let mut lines = FieldLines::remembering();
        let section = "Host: x\r\nA:\r\nRange: bytes=0-1\r\nIf-Range: \"x\"\r\n\r\n";
        for path in ["/a", "/longer", "/", "/a"] {
            let (found, fields) = parse(&mut lines, &format!("GET {path} HTTP/1.1\r\n{section}")).unwrap();
            assert_eq!(found, path);
            let expected = [("Host", "x"), ("A", ""), ("Range", "bytes=0-1"), ("If-Range", "\"x\"")];
            assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
            assert_eq!(lines.bytes, section.as_bytes());
        }
    }

    #[test]
    fn another_section_is_never_taken_for_the_remembered_one() {
        let mut lines = FieldLines::remembering();
        let sections = ["Host: x\r\n\r\n", "Host: y\r\n\r\n", "Host: x\r\nA: b\r\n\r\n", "Host: x\r\nA: bc\r\n\r\n"];
        for section in sections.iter().chain(sections.iter().rev()) {
            let (_, fields) = parse(&mut lines, &format!("GET / HTTP/1.1\r\n{section}")).unwrap();
            assert_eq!(fields.len(), section.matches(':').count());
            assert!(section.contains(&format!("Host: {}", fields[0].1)));
        }
    }

    #[test]
    fn version_dependent_rules_apply_to_a_remembered_section() {
        let mut lines = FieldLines::remembering();
        for _ in 0..2 {
            let persists = |lines: &mut FieldLines, request: &str| {
                head::parse(request.as_bytes(), lines).unwrap().unwrap().persistent
            };
            assert!(persists(&mut lines, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert!(!persists(&mut lines, "GET / HTTP/1.0\r\nHost: x\r\n\r\n"));
        }
        assert!(parse(&mut lines, "GET / HTTP/1.0\r\nA: b\r\n\r\n").is_some());
        assert!(parse(&mut lines, "GET / HTTP/1.1\r\nA: b\r\n\r\n").is_none(), "there is no Host");
        assert!(parse(&mut lines, "GET  / HTTP/1.0\r\nA: b\r\n\r\n").is_none(), "the request line is parsed");
        assert!(parse(&mut lines, "GET / HTTP/1.0\r\nA: b\r\n\r\n").is_some());
    }

    #[test]
    fn secrets_and_long_sections_are_not_remembered() {
        let long = format!("A: {}", "a".repeat(limits::REMEMBERED_SECTION));
        for line in ["authorization: Basic YQ==", "Proxy-Authorization: x", "Cookie: a=b", "cookie:", &long] {
            let mut lines = FieldLines::remembering();
            parse(&mut lines, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            parse(&mut lines, &format!("GET / HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n")).unwrap();
            assert!(lines.bytes.is_empty() && lines.bytes.capacity() < 64, "{line}");
        }
        let mut lines = FieldLines::default();
        parse(&mut lines, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(lines.bytes.is_empty(), "nothing is remembered by default");
    }

    #[test]
    fn each_of_a_few_connections_has_its_own_lines() {
        let mut recent = RecentSections::default();
        for number in 0..2 {
            let mut lines = recent.take(number);
            parse(&mut lines, &format!("GET / HTTP/1.1\r\nHost: {number}\r\n\r\n")).unwrap();
            recent.put(number, lines);
        }
        let remembered = |recent: &mut RecentSections, number| String::from_utf8(recent.take(number).bytes).unwrap();
        assert_eq!(remembered(&mut recent, 1), "Host: 1\r\n\r\n");
        assert_eq!(remembered(&mut recent, limits::REMEMBERED_SECTIONS as u32), "Host: 0\r\n\r\n");
    }
}
