//! Values by the prefix of paths, such as applications and protected realms.
//!
//! A prefix matches itself and what continues it with a slash: `/lab` matches
//! `/lab` and `/lab/x`, not `/labour`. The longest wins; the root `/` matches all.
//! Paths are decoded and tidied, so each has one way of being written.

/// Values by prefix. Most paths match none, and that is seen at their second byte.
pub struct Prefixes<T> {
    /// Longest prefix first. Without a slash at the end, so the root's is empty.
    entries: Vec<(String, T)>,
    /// What stands behind the first slash of a prefix; everything, for the root's.
    seconds: [bool; 256],
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), seconds: [false; 256] }
    }
}

/// A prefix without the slash at its end; none if no decoded path begins so: it
/// doesn't begin with a slash, or holds an empty or a dot segment.
pub fn tidy(prefix: &str) -> Option<&str> {
    let path = prefix.strip_suffix('/').unwrap_or(prefix);
    let is_root = path.is_empty() && !prefix.is_empty();
    let is_path = path.strip_prefix('/').is_some_and(|path| path.split('/').all(|s| !matches!(s, "" | "." | "..")));
    (is_root || is_path).then_some(path)
}

impl<T> Prefixes<T> {
    /// Puts a value under a [tidy] prefix, in place of what is there.
    pub fn set(&mut self, prefix: &str, value: T) {
        self.entries.retain(|(other, _)| other != prefix);
        let shorter = self.entries.iter().position(|(other, _)| other.len() < prefix.len());
        self.entries.insert(shorter.unwrap_or(self.entries.len()), (prefix.to_owned(), value));
        match prefix.as_bytes().get(1) {
            Some(&byte) => self.seconds[usize::from(byte)] = true,
            None => self.seconds = [true; 256],
        }
    }

    /// The number of the value for a decoded path (which begins with a slash), if
    /// there is one.
    pub fn find(&self, path: &[u8]) -> Option<usize> {
        // The shortest path, the root's own, is in the root's prefix only.
        let second = path.get(1).copied().unwrap_or(b'/');
        if !self.seconds[usize::from(second)] {
            return None;
        }
        // Where it ends is quicker to look at than what it is.
        let ends = |at: usize| at == path.len() || path.get(at) == Some(&b'/');
        self.entries.iter().position(|(prefix, _)| ends(prefix.len()) && path.starts_with(prefix.as_bytes()))
    }

    /// The value of this number, with its prefix.
    pub fn get(&self, number: usize) -> (&str, &T) {
        let (prefix, value) = &self.entries[number];
        (prefix, value)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, number: usize) -> (&str, &mut T) {
        let (prefix, value) = &mut self.entries[number];
        (prefix, value)
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(all: &[&str]) -> Prefixes<()> {
        let mut prefixes = Prefixes::default();
        for prefix in all {
            prefixes.set(tidy(prefix).unwrap(), ());
        }
        prefixes
    }

    fn found<'a>(prefixes: &'a Prefixes<()>, path: &str) -> Option<&'a str> {
        prefixes.find(path.as_bytes()).map(|number| prefixes.get(number).0)
    }

    #[test]
    fn the_longest_wins_at_segment_bounds() {
        let prefixes = prefixes(&["/lab", "/lab/echo/", "/lab/e", "/\u{e9}", "/\u{e8}"]);
        for (path, expected) in [
            ("/lab", Some("/lab")),
            ("/lab/", Some("/lab")),
            ("/lab/x", Some("/lab")),
            ("/lab/echo", Some("/lab/echo")),
            ("/lab/echo/x", Some("/lab/echo")),
            ("/lab/echoes", Some("/lab")),
            ("/\u{e8}/x", Some("/\u{e8}")),
            ("/labour", None),
            ("/LAB", None),
            ("/", None),
            ("/index.html", None),
        ] {
            assert_eq!(found(&prefixes, path), expected, "{path}");
        }
    }

    #[test]
    fn the_root_takes_what_nobody_else_does_and_nothing_takes_nothing() {
        let prefixes = prefixes(&["/lab/", "/"]);
        for (path, expected) in [("/", Some("")), ("/x", Some("")), ("/lab/x", Some("/lab")), ("/\u{e9}", Some(""))] {
            assert_eq!(found(&prefixes, path), expected, "{path}");
        }
        assert_eq!(Prefixes::<()>::default().find(b"/"), None);
    }

    #[test]
    fn a_later_value_takes_the_place_of_an_earlier() {
        let mut prefixes = Prefixes::default();
        prefixes.set("/a", 1);
        prefixes.set("/b", 2);
        prefixes.set("/a", 3);
        assert_eq!(prefixes.find(b"/a").map(|number| *prefixes.get(number).1), Some(3));
        assert_eq!(prefixes.values().count(), 2);
        let number = prefixes.find(b"/b").unwrap();
        *prefixes.get_mut(number).1 = 4;
        assert_eq!(prefixes.values().sum::<i32>(), 7);
    }

    #[test]
    fn what_no_path_begins_with_is_no_prefix() {
        for prefix in ["", "lab", "//", "/a//b", "/a/../b", "/."] {
            assert_eq!(tidy(prefix), None, "{prefix:?}");
        }
        for (prefix, path) in [("/", ""), ("/a/", "/a"), ("/a/b", "/a/b"), ("/.a", "/.a")] {
            assert_eq!(tidy(prefix), Some(path));
        }
    }
}
