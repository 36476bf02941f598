//! The field lines of a message (RFC 9110 §5), borrowed from the input.

/// The field lines of one head, in order, as they were received.
///
/// Names are tokens and values are free of control octets and of white space
/// around them; that was checked when the head was parsed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a> {
    lines: &'a [httparse::Header<'a>],
}

impl<'a> Fields<'a> {
    /// Wraps parsed field lines.
    pub fn new(lines: &'a [httparse::Header<'a>]) -> Self {
        Self { lines }
    }

    /// Every line as name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.lines.iter().map(|line| (line.name, line.value))
    }

    /// The values of all lines named `name` (case doesn't matter), in order. A
    /// list-valued field on several lines is one list (RFC 9110 §5.3).
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.lines.iter().filter(move |line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_name_whatever_the_case_and_joins_lists() {
        let lines = [
            httparse::Header { name: "Accept", value: b"a , ,b" },
            httparse::Header { name: "X", value: b"1" },
            httparse::Header { name: "aCCEPT", value: b"c" },
        ];
        let fields = Fields::new(&lines);
        assert_eq!(fields.get("accept"), Some(&b"a , ,b"[..]));
        assert_eq!(fields.tokens("ACCEPT").collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!(fields.get("y"), None);
        assert_eq!(fields.iter().count(), 3);
    }
}
