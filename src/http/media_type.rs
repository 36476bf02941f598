//! Media types by file extension (RFC 9110 §8.3, §8.3.1).

use std::cmp::Ordering;

use super::grammar::{is_field_text, is_token, split_unquoted};

/// The built-in table: on each line a media type, a tab and its extensions.
const BUILT_IN: &str = include_str!("media_types.txt");

/// What a file is sent as whose extension isn't known.
const DEFAULT: &str = "application/octet-stream";

/// A table of media types by extension: the built-in one and what was added.
#[derive(Clone, Debug)]
pub struct MediaTypes {
    /// Sorted by extension, which is in lower case; all of it is in the binary.
    built_in: Vec<(&'static str, &'static str)>,
    /// The same for what was added; it takes precedence.
    added: Vec<(Box<str>, Box<str>)>,
}

impl Default for MediaTypes {
    fn default() -> Self {
        Self::new()
    }
}

impl MediaTypes {
    /// The built-in table.
    pub fn new() -> Self {
        let mut built_in: Vec<_> = lines()
            .flat_map(|(media_type, extensions)| extensions.map(move |extension| (extension, media_type)))
            .collect();
        built_in.sort_unstable();
        built_in.shrink_to_fit();
        Self { built_in, added: Vec::new() }
    }

    /// Files with `extension` (without its dot, in any case) are `media_type` from
    /// now on, which may have parameters.
    ///
    /// # Errors
    /// One sentence for the operator, if the extension is empty or can't be the
    /// last one of a name, or if that is no media type.
    pub fn add(&mut self, extension: &str, media_type: &str) -> Result<(), String> {
        if extension.is_empty() || !extension.bytes().all(|byte| byte.is_ascii_graphic() && !b"./".contains(&byte)) {
            return Err(format!("{extension:?} is no file extension; write it without the dot"));
        }
        if !is_media_type(media_type) {
            return Err(format!("{media_type:?} is no media type, like text/plain; charset=utf-8"));
        }
        let extension = extension.to_ascii_lowercase();
        match self.added.binary_search_by(|(known, _)| (**known).cmp(&extension)) {
            Ok(at) => self.added[at].1 = media_type.into(),
            Err(at) => self.added.insert(at, (extension.into(), media_type.into())),
        }
        Ok(())
    }

    /// The media type of the file at `path`, by what follows the last dot of its
    /// name; `application/octet-stream` where that isn't known.
    pub fn of(&self, path: &[u8]) -> &str {
        // No known extension has a slash, so a dot in a folder's name does no harm.
        let Some(dot) = path.iter().rposition(|&byte| byte == b'.') else { return DEFAULT };
        let extension = &path[dot + 1..];
        if let Ok(at) = self.added.binary_search_by(|(known, _)| compare(known, extension)) {
            return &self.added[at].1;
        }
        match self.built_in.binary_search_by(|(known, _)| compare(known, extension)) {
            Ok(at) => self.built_in[at].1,
            Err(_) => DEFAULT,
        }
    }
}

/// The lines of the built-in table.
fn lines() -> impl Iterator<Item = (&'static str, std::str::SplitAsciiWhitespace<'static>)> {
    BUILT_IN
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('\t'))
        .map(|(media_type, extensions)| (media_type, extensions.split_ascii_whitespace()))
}

/// Compares a known extension, in lower case, with one in any case.
fn compare(known: &str, extension: &[u8]) -> Ordering {
    known.bytes().cmp(extension.iter().map(u8::to_ascii_lowercase))
}

/// `type "/" subtype *( ";" name "=" value )` (RFC 9110 §8.3.1), fit for a field.
fn is_media_type(text: &str) -> bool {
    let mut parts = split_unquoted(text.as_bytes(), b';');
    let essence = parts.next().unwrap_or_default();
    let slash = essence.iter().position(|&byte| byte == b'/').unwrap_or(essence.len());
    text.bytes().all(is_field_text)
        && is_token(&essence[..slash])
        && essence.get(slash + 1..).is_some_and(is_token)
        && parts.all(|parameter| {
            let equals = parameter.iter().position(|&byte| byte == b'=').unwrap_or(0);
            is_token(&parameter[..equals])
                && match &parameter[equals + 1..] {
                    [b'"', inner @ .., b'"'] => !inner.contains(&b'"') && !inner.contains(&b'\\'),
                    value => is_token(value),
                }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_files() {
        let types = MediaTypes::new();
        for (path, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("/a/b.HTM", "text/html; charset=utf-8"),
            ("a.Js", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.svg", "image/svg+xml"),
            ("a.min.js.map", "application/json"),
            ("a.tar.gz", "application/gzip"),
            ("a.wasm", "application/wasm"),
            ("a.woff2", "font/woff2"),
            ("a.7z", "application/x-7z-compressed"),
            (".html", "text/html; charset=utf-8"),
            ("a", DEFAULT),
            ("", DEFAULT),
            ("a.", DEFAULT),
            (".", DEFAULT),
            ("a.html/", DEFAULT),
            ("a.html/b", DEFAULT),
            ("html", DEFAULT),
            ("a.htmlx", DEFAULT),
            ("a.ht", DEFAULT),
            ("a.h\u{e4}", DEFAULT),
        ] {
            assert_eq!(types.of(path.as_bytes()), expected, "{path}");
        }
        assert_eq!(types.of(b"a.\xff\xfe"), DEFAULT);
    }

    #[test]
    fn the_table_is_in_order() {
        let types = MediaTypes::new();
        assert!(types.built_in.len() > 120);
        assert_eq!(types.of(b"x.bin"), DEFAULT, "the default is a registered type");
        for pair in types.built_in.windows(2) {
            assert_ne!(pair[0].0, pair[1].0, "an extension has two types");
        }
        for &(extension, media_type) in &types.built_in {
            assert!(is_media_type(media_type), "{media_type}");
            assert!(extension.bytes().all(|o| o.is_ascii_lowercase() || o.is_ascii_digit()), "{extension}");
            assert_eq!(media_type.starts_with("text/"), media_type.ends_with("; charset=utf-8"), "{media_type}");
            assert_eq!(types.of(format!("x.{}", extension.to_uppercase()).as_bytes()), media_type);
        }
        let data = BUILT_IN.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert_eq!(data.count(), lines().count(), "a line has no tab");
    }

    #[test]
    fn what_is_added_wins() {
        let mut types = MediaTypes::new();
        assert_eq!(types.add("HTML", "text/html; charset=iso-8859-1"), Ok(()));
        assert_eq!(types.add("zig", "text/plain"), Ok(()));
        assert_eq!(types.add("a+b", "x/y;z=\"1 2\""), Ok(()));
        assert_eq!(types.add("Zig", "text/x-zig"), Ok(()));
        assert_eq!(types.of(b"a.html"), "text/html; charset=iso-8859-1");
        assert_eq!(types.of(b"a.htm"), "text/html; charset=utf-8");
        assert_eq!(types.of(b"a.ZIG"), "text/x-zig");
        assert_eq!(types.of(b"a.a+b"), "x/y;z=\"1 2\"");

        for extension in ["", ".html", "tar.gz", "a/b", "a b", "\u{e4}", "a\n"] {
            assert!(types.add(extension, "text/plain").is_err(), "{extension}");
        }
        for media_type in [
            "",
            "text",
            "text/",
            "/plain",
            "text/plain/x",
            "text /plain",
            "text/plain; charset",
            "text/plain; =x",
            "text/plain; a=",
            "text/plain\r\nX: y",
            "text/plain; a=\"\n\"",
            "text/plain; a=b c",
            "t\u{e4}xt/plain",
            "text/plain; a=\"\\\"",
        ] {
            assert!(types.add("x", media_type).is_err(), "{media_type:?}");
        }
    }
}
