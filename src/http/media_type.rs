//! Media types by file extension (RFC 9110 §8.3, §8.3.1).

use std::cmp::Ordering;

use super::grammar::{is_field_text, is_token, split_unquoted};

/// The built-in table: each line has a media type, a tab and its extensions.
const BUILT_IN: &str = include_str!("media_types.txt");

/// The media type of a file with an unknown extension.
const DEFAULT: &str = "application/octet-stream";

/// A table of media types by extension: the built-in one and added ones.
#[derive(Clone, Debug)]
pub struct MediaTypes {
    /// The built-in types, sorted by extension in lower case. The strings are in the binary.
    built_in: Vec<(&'static str, &'static str)>,
    /// The added types; they take precedence.
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

    /// Sets the media type of files with `extension` (without its dot, in any case). The media
    /// type may have parameters.
    ///
    /// # Errors
    /// A message for the operator, if the extension is empty or contains a dot or a slash, or
    /// if `media_type` is malformed.
    pub fn add(&mut self, extension: &str, media_type: &str) -> Result<(), String> {
        if extension.is_empty() || !extension.bytes().all(|byte| byte.is_ascii_graphic() && !b"./".contains(&byte)) {
            return Err(format!("{extension:?} is not a file extension; write it without the dot"));
        }
        if !is_media_type(media_type) {
            return Err(format!("{media_type:?} is not a media type, like text/plain; charset=utf-8"));
        }
        let extension = extension.to_ascii_lowercase();
        match self.added.binary_search_by(|(known, _)| (**known).cmp(&extension)) {
            Ok(at) => self.added[at].1 = media_type.into(),
            Err(at) => self.added.insert(at, (extension.into(), media_type.into())),
        }
        Ok(())
    }

    /// The media type of the file at `path`, by the extension after the last dot;
    /// `application/octet-stream` if it is unknown.
    pub fn of(&self, path: &[u8]) -> &str {
        self.known(path).unwrap_or(DEFAULT)
    }

    /// The media type of the file at `path`; none if its extension is unknown.
    pub fn known(&self, path: &[u8]) -> Option<&str> {
        // No known extension contains a slash, so a dot in a directory's name doesn't matter.
        let dot = path.iter().rposition(|&byte| byte == b'.')?;
        let extension = &path[dot + 1..];
        if let Ok(at) = self.added.binary_search_by(|(known, _)| compare(known, extension)) {
            return Some(&self.added[at].1);
        }
        let at = self.built_in.binary_search_by(|(known, _)| compare(known, extension)).ok()?;
        Some(self.built_in[at].1)
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

/// `type "/" subtype *( ";" name "=" value )` (RFC 9110 §8.3.1), valid in a field.
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
    fn common_files_have_their_types() {
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
    fn the_table_is_sorted_and_complete() {
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
    fn added_types_take_precedence() {
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
