//! The field lines of a message (RFC 9110 §5), borrowed from its bytes.

use std::fmt;
use std::ops::Range;

/// Where one field line's name and value stand among the bytes of a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    name: (u16, u16),
    value: (u16, u16),
}

/// Heads are shorter: see [`limits::HEAD`](crate::limits::HEAD).
const _: () = assert!(crate::limits::HEAD <= u16::MAX as usize);

impl Line {
    /// A line whose name and value stand there.
    pub(super) fn new(name: Range<usize>, value: Range<usize>) -> Self {
        let narrow = |range: Range<usize>| (range.start as u16, range.end as u16);
        Self { name: narrow(name), value: narrow(value) }
    }
}

/// The field lines of one head, in order, as they were received.
///
/// Names are tokens and values are free of control bytes and of white space
/// around them; that was checked when the head was parsed.
#[derive(Clone, Copy, Default)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    lines: &'a [Line],
}

impl<'a> Fields<'a> {
    /// The lines that stand in `bytes`.
    pub(super) fn new(bytes: &'a [u8], lines: &'a [Line]) -> Self {
        Self { bytes, lines }
    }

    /// Every line as name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let bytes = self.bytes;
        self.lines.iter().map(move |line| (part(bytes, line.name), part(bytes, line.value)))
    }

    /// The values of all lines named `name` (case doesn't matter), in order. A
    /// list-valued field on several lines is one list (RFC 9110 §5.3).
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let bytes = self.bytes;
        // Most lines are told apart by their length, without a look at the bytes.
        let named = move |line: &&Line| {
            usize::from(line.name.1 - line.name.0) == name.len()
                && part(bytes, line.name).eq_ignore_ascii_case(name.as_bytes())
        };
        self.lines.iter().filter(named).map(move |line| part(bytes, line.value))
    }

    /// The value of the first line named `name`.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The members of a comma-separated list field over all its lines, trimmed,
    /// without empty ones (RFC 9110 §5.6.1). Quoted strings aren't looked into:
    /// for token lists only.
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
        f.debug_list().entries(self.iter().map(|(name, value)| (name.escape_ascii(), value.escape_ascii()))).finish()
    }
}

/// Whether a field's name is `usual`, as nearly everybody writes it, or the same in
/// other case (RFC 9110 §5.1).
pub fn is_named(name: &[u8], usual: &[u8]) -> bool {
    name == usual || name.eq_ignore_ascii_case(usual)
}

fn part(bytes: &[u8], (start, end): (u16, u16)) -> &[u8] {
    &bytes[usize::from(start)..usize::from(end)]
}

#[cfg(test)]
mod tests {
    use crate::http::Lines;

    #[test]
    fn finds_by_name_whatever_the_case_and_joins_lists() {
        let lines = Lines::of([("Accept", &b"a , ,b"[..]), ("X", b"1"), ("aCCEPT", b"c")]);
        let fields = lines.fields();
        assert_eq!(fields.get("accept"), Some(&b"a , ,b"[..]));
        assert_eq!(fields.tokens("ACCEPT").collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!(fields.get("y"), None);
        assert_eq!(fields.iter().count(), 3);
    }
}
