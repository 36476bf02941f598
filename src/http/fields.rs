//! The field lines of a message (RFC 9110 §5), borrowed from the bytes of its head.

use std::fmt;
use std::ops::Range;

/// The positions of one field line's name and value in a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    name: (u16, u16),
    value: (u16, u16),
}

/// Heads are shorter: see [`limits::HEAD`](crate::limits::HEAD).
const _: () = assert!(crate::limits::HEAD <= u16::MAX as usize);

impl Line {
    /// A line with its name and value at these positions.
    pub(super) fn new(name: Range<usize>, value: Range<usize>) -> Self {
        let narrow = |range: Range<usize>| (range.start as u16, range.end as u16);
        Self { name: narrow(name), value: narrow(value) }
    }
}

/// The field lines of one head, in the order in which they were received.
///
/// Names are tokens. Values contain no control bytes and no white space around them. The parser
/// of the head has checked this.
#[derive(Clone, Copy, Default)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    lines: &'a [Line],
}

impl<'a> Fields<'a> {
    /// The field lines `lines` in `bytes`.
    pub(super) fn new(bytes: &'a [u8], lines: &'a [Line]) -> Self {
        Self { bytes, lines }
    }

    /// Name and value of every line.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let bytes = self.bytes;
        self.lines.iter().map(move |line| (part(bytes, line.name), part(bytes, line.value)))
    }

    /// The values of all lines named `name` (case-insensitive), in order. A list-valued field
    /// on several lines is one list (RFC 9110 §5.3).
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let bytes = self.bytes;
        // Most names already differ in their length.
        let named = move |line: &&Line| {
            usize::from(line.name.1 - line.name.0) == name.len()
                && part(bytes, line.name).eq_ignore_ascii_case(name.as_bytes())
        };
        self.lines.iter().filter(named).map(move |line| part(bytes, line.value))
    }

    /// The value of the line with this number, from 0.
    pub(super) fn value(&self, number: u16) -> Option<&'a [u8]> {
        self.lines.get(usize::from(number)).map(|line| part(self.bytes, line.value))
    }

    /// The value of the first line named `name`.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The members of a comma-separated list field over all its lines, trimmed, without empty
    /// ones (RFC 9110 §5.6.1). Quoted strings are not recognised: use it for lists of tokens
    /// only.
    pub fn tokens<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.all(name).flat_map(|value| value.split(|&b| b == b',')).map(<[u8]>::trim_ascii).filter(|t| !t.is_empty())
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for (name, value) in self.iter() {
            list.entry(&format_args!("{}: {}", name.escape_ascii(), value.escape_ascii()));
        }
        list.finish()
    }
}

/// Whether a field name is `usual`, the usual spelling, or equals it case-insensitively (RFC
/// 9110 §5.1).
pub fn is_named(name: &[u8], usual: &[u8]) -> bool {
    name == usual || name.eq_ignore_ascii_case(usual)
}

fn part(bytes: &[u8], (start, end): (u16, u16)) -> &[u8] {
    &bytes[usize::from(start)..usize::from(end)]
}

#[cfg(test)]
mod tests {
    use crate::http::FieldLines;

    #[test]
    fn debug_shows_the_content() {
        let mut lines = FieldLines::default();
        let input = b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n";
        let head = crate::http::head::parse(input, &mut lines).unwrap().unwrap();
        assert_eq!(format!("{:?}", head.fields), r"[Host: a, X: \xff]");
    }

    #[test]
    fn names_are_case_insensitive_and_lists_are_joined() {
        let lines = FieldLines::of([("Accept", &b"a , ,b"[..]), ("X", b"1"), ("aCCEPT", b"c")]);
        let fields = lines.fields();
        assert_eq!(fields.get("accept"), Some(&b"a , ,b"[..]));
        assert_eq!(fields.tokens("ACCEPT").collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!(fields.get("y"), None);
        assert_eq!(fields.iter().count(), 3);
    }
}
