//! Which files may answer for a path, in their order.
//!
//! For a directory these are its index files. For another path it is the file itself, and with
//! pretty URLs also the page of that name: `/about` is `about.html`. The first that is there
//! answers. A cached answer remembers its number, so that an earlier one that appears later
//! replaces it.

/// The rules of a site.
pub(super) struct Candidates {
    /// The names of index files.
    index: Vec<Box<[u8]>>,
    /// Paths without the ending are of pages, too.
    pretty: bool,
}

/// The ending of pages.
const HTML: &[u8] = b".html";

impl Candidates {
    /// With these names of index files, and pretty URLs or not.
    pub(super) fn new(index: impl IntoIterator<Item = Box<[u8]>>, pretty: bool) -> Self {
        Self { index: index.into_iter().collect(), pretty }
    }

    /// Sets `path` to the candidate of `key` with this number. False if there is none.
    pub(super) fn get(&self, key: &[u8], number: u8, path: &mut Vec<u8>) -> bool {
        path.clear();
        path.extend_from_slice(key);
        if ends_as_directory(key) {
            let Some(name) = self.index.get(usize::from(number)) else { return false };
            path.extend_from_slice(name);
            return true;
        }
        match number {
            0 => true,
            1 if self.pretty && !key.ends_with(HTML) => {
                path.extend_from_slice(HTML);
                true
            }
            _ => false,
        }
    }

    /// The names of index files.
    pub(super) fn index(&self) -> impl Iterator<Item = &[u8]> {
        self.index.iter().map(|name| &**name)
    }

    /// Calls `forget` with each key for which `entry`, the path of a file or directory, is a
    /// candidate, but for its own.
    pub(super) fn keys(&self, entry: &[u8], mut forget: impl FnMut(&[u8])) {
        for name in &self.index {
            if let Some(directory) = entry.strip_suffix(&**name)
                && ends_as_directory(directory)
            {
                forget(directory);
            }
        }
        if self.pretty
            && let Some(key) = entry.strip_suffix(HTML)
        {
            forget(key);
        }
    }
}

/// Whether it is the path of the root, or of a directory with its slash.
pub(super) fn ends_as_directory(key: &[u8]) -> bool {
    key.is_empty() || key.ends_with(b"/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(candidates: &Candidates, key: &str) -> Vec<String> {
        let mut path = Vec::new();
        let mut all = Vec::new();
        for number in 0.. {
            if !candidates.get(key.as_bytes(), number, &mut path) {
                break;
            }
            all.push(String::from_utf8(path.clone()).unwrap());
        }
        all
    }

    #[test]
    fn a_path_has_its_candidates_in_their_order() {
        let names = ["index.html", "home.htm"].map(|name| Box::from(name.as_bytes()));
        let usual = Candidates::new(names.clone(), false);
        let pretty = Candidates::new(names, true);
        for (key, of_usual, of_pretty) in [
            ("", &["index.html", "home.htm"][..], &["index.html", "home.htm"][..]),
            ("a/", &["a/index.html", "a/home.htm"], &["a/index.html", "a/home.htm"]),
            ("a", &["a"], &["a", "a.html"]),
            ("a.html", &["a.html"], &["a.html"]),
            ("a.txt", &["a.txt"], &["a.txt", "a.txt.html"]),
        ] {
            assert_eq!((all(&usual, key), all(&pretty, key)), (owned(of_usual), owned(of_pretty)), "{key}");
        }
        let keys = |entry: &str| {
            let mut keys = Vec::new();
            pretty.keys(entry.as_bytes(), |key| keys.push(String::from_utf8(key.to_vec()).unwrap()));
            keys
        };
        assert_eq!(keys("a/index.html"), ["a/", "a/index"]);
        assert_eq!(keys("home.htm"), [""]);
        assert_eq!(keys("a.html"), ["a"]);
        assert_eq!(keys("myhome.htm"), [] as [&str; 0]);
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }
}
