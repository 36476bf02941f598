//! The header section: what the field lines of a request say about the message
//! itself (RFC 9110 §6.3), whatever its method and target.
//!
//! A client repeats itself: from one request to the next the target changes, and the
//! fields seldom do, which is why HTTP/2 sends only what has changed (RFC 7541).
//! HTTP/1.1 sends it all again, and most of the work on a small request would be to
//! find out once more what the one before has said. What a section says is decided by
//! its bytes and nothing else, so [`Lines`] may keep the bytes beside what was
//! understood of them: a section that begins with the very same bytes, up to the
//! empty line that ends it, says the same. [`Recent`] keeps such lines for the
//! connections that were heard lately, a bounded number of them. A section with a
//! password is never kept.
//!
//! `httparse` finds the lines; where it is lenient, what it lets through is looked at
//! again: every line must end in CRLF.

use super::fields::{Fields, Line, is_named};
use super::{Reject, Status, target};
use crate::limits;

/// Which of the fields that change an answer are there, so that the usual
/// request, which has none of them, isn't searched for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Present {
    /// Any `If-` field.
    pub conditional: bool,
    /// `Range`.
    pub range: bool,
    /// `Accept` that says more than `*/*`, which is as good as none (RFC 9110 §12.5.1).
    pub accept: bool,
    /// `Accept-Encoding` with a weight: without any it forbids nothing (§12.5.3).
    pub accept_encoding: bool,
}

/// What a header section says about its message, in any version of HTTP/1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Section {
    /// There is a Host field: one, and a good one.
    pub(super) host: bool,
    /// There is a field about the framing of the body.
    pub(super) framed: bool,
    /// There is an Expect field.
    pub(super) expected: bool,
    /// What Connection says.
    pub(super) connection: Connection,
    /// There is a field with credentials, which may be a password (RFC 9110 §11.4).
    credentials: bool,
    /// Which fields are there that change an answer.
    pub(super) present: Present,
}

/// The options of a Connection field that matter here (RFC 9110 §7.6.1).
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

    /// Takes a line of it.
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
    /// # Errors
    /// 400 if there are several Host fields, or one that is malformed.
    pub(super) fn understand(fields: &Fields<'_>) -> Result<Self, Reject> {
        let mut section = Self::default();
        let present = &mut section.present;
        for (name, value) in fields.iter() {
            let is = |usual: &[u8]| is_named(name, usual);
            match name.len() {
                4 if is(b"Host") => {
                    if section.host {
                        return Err(Reject::bad_request("there must be exactly one Host field"));
                    }
                    section.host = true;
                    if !target::valid_host(value) {
                        return Err(Reject::bad_request("the Host field is malformed"));
                    }
                }
                5 => present.range |= is(b"Range"),
                6 => {
                    present.accept |= is(b"Accept") && value != b"*/*";
                    section.expected |= is(b"Expect");
                }
                10 if is(b"Connection") => section.connection.add(value),
                13 => section.credentials |= is(b"Authorization"),
                14 => section.framed |= is(b"Content-Length"),
                15 => present.accept_encoding |= is(b"Accept-Encoding") && value.contains(&b';'),
                17 => section.framed |= is(b"Transfer-Encoding"),
                19 => section.credentials |= is(b"Proxy-Authorization"),
                _ => {}
            }
            if name.len() >= 8 && name[..3].eq_ignore_ascii_case(b"if-") {
                present.conditional = true;
            }
        }
        Ok(section)
    }
}

/// Room for the field lines of one head.
#[derive(Default)]
pub struct Lines {
    lines: Vec<Line>,
    /// Keeps the bytes of a section when it is done with it.
    keeps: bool,
    /// The section whose lines these are, its empty line included; nothing if it isn't kept.
    bytes: Vec<u8>,
    /// What it says.
    section: Section,
}

impl Lines {
    /// Lines of which the bytes are kept, to be recognised.
    pub fn kept() -> Self {
        Self { keeps: true, ..Self::default() }
    }

    /// Lines made by hand, of names and values that are as they should be.
    ///
    /// # Panics
    /// If they are more than [`limits::HEAD`] bytes together.
    pub fn of<'a>(fields: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut lines = Self::default();
        for (name, value) in fields {
            let start = lines.bytes.len();
            lines.bytes.extend_from_slice(name.as_bytes());
            let end = lines.bytes.len();
            lines.bytes.extend_from_slice(value);
            assert!(lines.bytes.len() <= limits::HEAD, "a head is no larger");
            lines.lines.push(Line::new(start..end, end..lines.bytes.len()));
        }
        lines
    }

    /// The fields of lines made by hand.
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(&self.bytes, &self.lines)
    }

    /// How long the section at the beginning of `bytes` is and what it says, if it is
    /// the one that was kept.
    pub(super) fn recognise(&self, bytes: &[u8]) -> Option<(usize, Section)> {
        (!self.bytes.is_empty() && bytes.starts_with(&self.bytes)).then_some((self.bytes.len(), self.section))
    }

    /// Finds the lines of the section at the beginning of `bytes`: how long it is and what
    /// it says; none if it isn't whole yet.
    ///
    /// # Errors
    /// 400 for what isn't proper, as far as it is there; 431 over [`limits::FIELDS`] and
    /// [`limits::HEAD`].
    pub(super) fn parse(&mut self, bytes: &[u8]) -> Result<Option<(usize, Section)>, Reject> {
        // Room for all that may come costs more than to find the usual few.
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
                return Err(explain(error));
            }
        };
        let bytes = &bytes[..length];
        no_bare_lf(bytes)?;
        check_size(length)?;
        self.fill(bytes, found);
        let section = Section::understand(&self.within(bytes))?;
        if self.keeps && length <= limits::KEPT_SECTION && !section.credentials {
            self.bytes.extend_from_slice(bytes);
            self.section = section;
        }
        Ok(Some((length, section)))
    }

    /// Takes the lines that were found in `bytes`, which are no more than [`limits::HEAD`].
    pub(super) fn fill(&mut self, bytes: &[u8], found: &[httparse::Header<'_>]) {
        self.bytes.clear();
        self.lines.clear();
        let start = bytes.as_ptr() as usize;
        self.lines.extend(found.iter().map(|line| {
            let name = line.name.as_ptr() as usize - start;
            // An empty value may stand anywhere.
            let value = if line.value.is_empty() { name } else { line.value.as_ptr() as usize - start };
            Line::new(name..name + line.name.len(), value..value + line.value.len())
        }));
    }

    /// The lines as they stand in `bytes`.
    pub(super) fn within<'a>(&'a self, bytes: &'a [u8]) -> Fields<'a> {
        Fields::new(bytes, &self.lines)
    }
}

pub(super) const BARE_LF: Reject = Reject::bad_request("a line ends in a bare LF");

/// Every line must end in CRLF. Without a branch inside, so that many bytes are
/// looked at at once.
pub(super) fn no_bare_lf(bytes: &[u8]) -> Result<(), Reject> {
    let bare = bytes.first() == Some(&b'\n');
    let pairs = bytes.iter().zip(bytes.get(1..).unwrap_or_default());
    let bare = pairs.fold(bare, |bare, (&before, &byte)| bare | ((byte == b'\n') & (before != b'\r')));
    if bare { Err(BARE_LF) } else { Ok(()) }
}

/// The head must fit its limit.
pub(super) fn check_size(length: usize) -> Result<(), Reject> {
    if length > limits::HEAD {
        return Err(Reject::new(Status::HEADER_FIELDS_TOO_LARGE, "the head is too large"));
    }
    Ok(())
}

fn explain(error: httparse::Error) -> Reject {
    match error {
        httparse::Error::TooManyHeaders => {
            Reject::new(Status::HEADER_FIELDS_TOO_LARGE, "there are too many field lines")
        }
        httparse::Error::HeaderName => Reject::bad_request("a field name is malformed"),
        httparse::Error::HeaderValue => Reject::bad_request("a field value holds a control byte"),
        _ => Reject::bad_request("a line doesn't end in CRLF"),
    }
}

/// The sections that connections have sent lately, by connection.
#[derive(Default)]
pub struct Recent {
    kept: Vec<Option<Box<Lines>>>,
}

impl Recent {
    /// Lends the lines of connection `number`, and perhaps of others: what is in them
    /// is recognised or overwritten.
    pub fn take(&mut self, number: u32) -> Box<Lines> {
        if self.kept.is_empty() {
            self.kept.resize_with(limits::KEPT_SECTIONS, || None);
        }
        self.kept[number as usize % limits::KEPT_SECTIONS].take().unwrap_or_else(|| Box::new(Lines::kept()))
    }

    /// Takes them back.
    pub fn put(&mut self, number: u32, lines: Box<Lines>) {
        self.kept[number as usize % limits::KEPT_SECTIONS] = Some(lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head;

    /// Parses a request with `lines`: its path, and what its fields are.
    fn parse(lines: &mut Lines, request: &str) -> Option<(String, Vec<(String, String)>)> {
        let input = request.as_bytes().to_vec();
        let head = head::parse(&input, lines).ok()??;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(head.length, request.len());
        Some((text(head.target.path), head.fields.iter().map(|(name, value)| (text(name), text(value))).collect()))
    }

    #[test]
    fn a_section_that_was_kept_says_the_same_for_another_target() {
        let mut lines = Lines::kept();
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
    fn another_section_is_never_taken_for_the_one_that_was_kept() {
        let mut lines = Lines::kept();
        let sections = ["Host: x\r\n\r\n", "Host: y\r\n\r\n", "Host: x\r\nA: b\r\n\r\n", "Host: x\r\nA: bc\r\n\r\n"];
        for section in sections.iter().chain(sections.iter().rev()) {
            let (_, fields) = parse(&mut lines, &format!("GET / HTTP/1.1\r\n{section}")).unwrap();
            assert_eq!(fields.len(), section.matches(':').count());
            assert!(section.contains(&format!("Host: {}", fields[0].1)));
        }
    }

    #[test]
    fn what_depends_on_the_version_is_decided_anew() {
        let mut lines = Lines::kept();
        for _ in 0..2 {
            let persists =
                |lines: &mut Lines, request: &str| head::parse(request.as_bytes(), lines).unwrap().unwrap().persistent;
            assert!(persists(&mut lines, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
            assert!(!persists(&mut lines, "GET / HTTP/1.0\r\nHost: x\r\n\r\n"));
        }
        assert!(parse(&mut lines, "GET / HTTP/1.0\r\nA: b\r\n\r\n").is_some());
        assert!(parse(&mut lines, "GET / HTTP/1.1\r\nA: b\r\n\r\n").is_none(), "there is no Host");
        assert!(parse(&mut lines, "GET  / HTTP/1.0\r\nA: b\r\n\r\n").is_none(), "the request line is looked at");
        assert!(parse(&mut lines, "GET / HTTP/1.0\r\nA: b\r\n\r\n").is_some());
    }

    #[test]
    fn neither_credentials_nor_much_is_kept() {
        let long = format!("A: {}", "a".repeat(limits::KEPT_SECTION));
        for line in ["authorization: Basic YQ==", "Proxy-Authorization: x", &long] {
            let mut lines = Lines::kept();
            parse(&mut lines, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            parse(&mut lines, &format!("GET / HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n")).unwrap();
            assert!(lines.bytes.is_empty() && lines.bytes.capacity() < 64, "{line}");
        }
        let mut lines = Lines::default();
        parse(&mut lines, "GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(lines.bytes.is_empty(), "nothing is kept by default");
    }

    #[test]
    fn connections_have_lines_of_their_own_as_long_as_they_are_few() {
        let mut recent = Recent::default();
        for number in 0..2 {
            let mut lines = recent.take(number);
            parse(&mut lines, &format!("GET / HTTP/1.1\r\nHost: {number}\r\n\r\n")).unwrap();
            recent.put(number, lines);
        }
        let kept = |recent: &mut Recent, number| String::from_utf8(recent.take(number).bytes).unwrap();
        assert_eq!(kept(&mut recent, 1), "Host: 1\r\n\r\n");
        assert_eq!(kept(&mut recent, limits::KEPT_SECTIONS as u32), "Host: 0\r\n\r\n");
    }
}
