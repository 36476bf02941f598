//! Patterns for the names of files: `*.woff2`, `/assets/**`.
//!
//! A pattern without a slash is for the last segment of a path, in any directory. One with a
//! slash is for the whole path, which begins with one. `*` is for any characters but a slash,
//! `**` also for slashes, `?` for one character, `[a-z]` for one of these, `{a,b}` for either.

/// A pattern for the names of files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glob {
    pattern: String,
    /// It is for the whole path.
    path: bool,
}

impl Glob {
    /// Parses a pattern.
    ///
    /// # Errors
    /// A hint.
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = text.contains('/');
        if path && !text.starts_with('/') {
            return Err(
                "give a pattern for a name, like *.woff2, or for a path from the root, like /assets/**".to_owned()
            );
        }
        let (mut braces, mut brackets) = (0_i32, false);
        for byte in text.bytes() {
            match byte {
                b'[' => brackets = true,
                b']' => brackets = false,
                b'{' if !brackets => braces += 1,
                b'}' if !brackets => braces -= 1,
                _ => {}
            }
            if braces < 0 {
                break;
            }
        }
        if text.is_empty() || braces != 0 || brackets || text.ends_with('\\') {
            return Err("give a pattern, like *.woff2 or /assets/**; a bracket or brace is left open".to_owned());
        }
        Ok(Self { pattern: text.to_owned(), path })
    }

    /// Whether it is for a file, by its decoded path without a slash in front.
    pub fn matches(&self, key: &[u8]) -> bool {
        if self.path {
            return fast_glob::glob_match(&self.pattern[1..], key);
        }
        let name = key.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        fast_glob::glob_match(&self.pattern, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_for_a_name_or_for_a_path() {
        for (pattern, key, expected) in [
            ("*.woff2", "a.woff2", true),
            ("*.woff2", "fonts/a.woff2", true),
            ("*.woff2", "a.woff", false),
            ("*.{css,js}", "a/b.js", true),
            ("*.{css,js}", "a/b.jsx", false),
            ("/assets/**", "assets/a/b", true),
            ("/assets/**", "assets/a", true),
            ("/assets/**", "x/assets/a", false),
            ("/assets/*.css", "assets/a.css", true),
            ("/assets/*.css", "assets/b/a.css", false),
            ("/*", "a", true),
            ("/*", "a/b", false),
            ("index.html", "a/index.html", true),
            ("[ab]?", "bc", true),
            ("*", "\u{fc}", true),
        ] {
            assert_eq!(Glob::parse(pattern).unwrap().matches(key.as_bytes()), expected, "{pattern} {key}");
        }
        assert!(Glob::parse("*.bin").unwrap().matches(b"\xff.bin"));
    }

    #[test]
    fn a_broken_pattern_is_refused() {
        for pattern in ["", "a/b", "[a", "{a", "a}", "a\\"] {
            assert!(Glob::parse(pattern).is_err(), "{pattern}");
        }
    }
}
