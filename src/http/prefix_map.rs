//! A map from path prefixes to values, such as applications and protected realms.
//!
//! A prefix matches itself and every path that continues it with a slash: `/lab` matches
//! `/lab` and `/lab/x`, but not `/labour`. The longest matching prefix counts; the root `/`
//! matches all paths. Paths are decoded and normalised, so each has one spelling.

/// Values by prefix. Most paths match no prefix; their second byte already shows it.
pub struct PrefixMap<T> {
    /// The longest prefix first. They have no slash at the end, so the root is empty.
    entries: Vec<(String, T)>,
    /// The second bytes of all prefixes; with the root, all bytes.
    second_bytes: [bool; 256],
}

impl<T> Default for PrefixMap<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), second_bytes: [false; 256] }
    }
}

/// The prefix without the slash at its end; none if no decoded path can begin with it: it
/// doesn't begin with a slash, or contains an empty segment or a dot segment.
pub fn normalise(prefix: &str) -> Option<&str> {
    let path = prefix.strip_suffix('/').unwrap_or(prefix);
    let is_root = path.is_empty() && !prefix.is_empty();
    let is_path = path.strip_prefix('/').is_some_and(|path| path.split('/').all(|s| !matches!(s, "" | "." | "..")));
    (is_root || is_path).then_some(path)
}

impl<T> PrefixMap<T> {
    /// Sets the value of a [normalised](normalise) prefix; an earlier value is replaced.
    pub fn set(&mut self, prefix: &str, value: T) {
        self.entries.retain(|(other, _)| other != prefix);
        let shorter = self.entries.iter().position(|(other, _)| other.len() < prefix.len());
        self.entries.insert(shorter.unwrap_or(self.entries.len()), (prefix.to_owned(), value));
        match prefix.as_bytes().get(1) {
            Some(&byte) => self.second_bytes[usize::from(byte)] = true,
            None => self.second_bytes = [true; 256],
        }
    }

    /// The index of the value for a decoded path (which begins with a slash), if there is one.
    pub fn find(&self, path: &[u8]) -> Option<usize> {
        // Only the root prefix matches the shortest path, `/`.
        let second = path.get(1).copied().unwrap_or(b'/');
        if !self.second_bytes[usize::from(second)] {
            return None;
        }
        // Comparing the end first is faster than comparing the whole prefix.
        let ends = |at: usize| at == path.len() || path.get(at) == Some(&b'/');
        self.entries.iter().position(|(prefix, _)| ends(prefix.len()) && path.starts_with(prefix.as_bytes()))
    }

    /// The value with this index, and its prefix.
    pub fn get(&self, index: usize) -> (&str, &T) {
        let (prefix, value) = &self.entries[index];
        (prefix, value)
    }

    /// The same, mutable.
    pub fn get_mut(&mut self, index: usize) -> (&str, &mut T) {
        let (prefix, value) = &mut self.entries[index];
        (prefix, value)
    }

    /// All prefixes, each with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.entries.iter().map(|(prefix, value)| (&**prefix, value))
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(all: &[&str]) -> PrefixMap<()> {
        let mut prefixes = PrefixMap::default();
        for prefix in all {
            prefixes.set(normalise(prefix).unwrap(), ());
        }
        prefixes
    }

    fn found<'a>(prefixes: &'a PrefixMap<()>, path: &str) -> Option<&'a str> {
        prefixes.find(path.as_bytes()).map(|index| prefixes.get(index).0)
    }

    #[test]
    fn the_longest_prefix_counts_and_ends_at_a_segment() {
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
    fn the_root_matches_all_other_paths_and_an_empty_map_matches_none() {
        let prefixes = prefixes(&["/lab/", "/"]);
        for (path, expected) in [("/", Some("")), ("/x", Some("")), ("/lab/x", Some("/lab")), ("/\u{e9}", Some(""))] {
            assert_eq!(found(&prefixes, path), expected, "{path}");
        }
        assert_eq!(PrefixMap::<()>::default().find(b"/"), None);
    }

    #[test]
    fn a_later_value_replaces_an_earlier_one() {
        let mut prefixes = PrefixMap::default();
        prefixes.set("/a", 1);
        prefixes.set("/b", 2);
        prefixes.set("/a", 3);
        assert_eq!(prefixes.find(b"/a").map(|index| *prefixes.get(index).1), Some(3));
        assert_eq!(prefixes.values().count(), 2);
        let number = prefixes.find(b"/b").unwrap();
        *prefixes.get_mut(number).1 = 4;
        assert_eq!(prefixes.values().sum::<i32>(), 7);
    }

    #[test]
    fn a_prefix_that_no_path_can_have_is_refused() {
        for prefix in ["", "lab", "//", "/a//b", "/a/../b", "/."] {
            assert_eq!(normalise(prefix), None, "{prefix:?}");
        }
        for (prefix, path) in [("/", ""), ("/a/", "/a"), ("/a/b", "/a/b"), ("/.a", "/.a")] {
            assert_eq!(normalise(prefix), Some(path));
        }
    }
}
