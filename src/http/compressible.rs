//! Which responses are worth compressing, by their media type and their length.
//!
//! Text repeats itself, and so do formats that are stored as they are in memory: WebAssembly, some
//! fonts, bitmaps. Pictures, sound, films, archives and modern fonts are compressed already. Content
//! of an unknown type counts as compressed.
//!
//! An operator's list takes the place of the built-in one, as in nginx and Caddy; the word `default`
//! in it stands for the built-in one.

use super::content_coding::Codings;
use super::grammar::is_token;

/// The smallest content that is compressed, in bytes: less fits one packet with its head, or nearly.
pub const SMALLEST: u64 = 1024;

/// The level that is used unless the operator says otherwise. Above it, a file of 100 KiB takes a
/// third more time for one percent less.
pub const LEVEL: u8 = 5;

/// What compresses well and isn't text by its name. All of `text/`, `+json`, `+xml`, `+text` and
/// `+yaml` does, too, but for events.
const TYPES: &[&str] = &[
    "application/ecmascript",
    "application/graphql",
    "application/javascript",
    "application/json",
    "application/json-seq",
    "application/jsonl",
    "application/openmetrics-text",
    "application/postscript",
    "application/rtf",
    "application/sql",
    "application/toml",
    "application/vnd.apple.mpegurl",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/x-pem-file",
    "application/x-sh",
    "application/xml",
    "application/xml-dtd",
    "application/yaml",
    "audio/mpegurl",
    "font/collection",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/vnd.microsoft.icon",
    "image/x-icon",
    "message/rfc822",
    "model/obj",
    "model/stl",
];

const SUFFIXES: &[&str] = &["+json", "+text", "+xml", "+yaml"];

/// Events must arrive when they happen, and a coding in between has surprised many: they are
/// compressed only where the operator names this type.
const EVENTS: &str = "text/event-stream";

/// Media types that are worth compressing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompressibleTypes {
    /// The built-in ones.
    built_in: bool,
    /// In lower case: `type/subtype`, or `type/*`.
    named: Vec<Box<str>>,
}

impl Default for CompressibleTypes {
    /// The built-in ones.
    fn default() -> Self {
        Self { built_in: true, named: Vec::new() }
    }
}

impl CompressibleTypes {
    /// No types.
    pub const fn none() -> Self {
        Self { built_in: false, named: Vec::new() }
    }

    /// Adds a media type without parameters, all of a kind like `text/*`, or with `default` the
    /// built-in ones.
    ///
    /// # Errors
    /// A hint.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        if text == "default" {
            self.built_in = true;
            return Ok(());
        }
        let is_type = |(kind, subtype): (&str, &str)| is_token(kind.as_bytes()) && is_token(subtype.as_bytes());
        if !text.split_once('/').is_some_and(is_type) || text.starts_with('*') {
            return Err("give media types, like text/html or text/*; default stands for the usual ones".to_owned());
        }
        self.named.push(text.to_ascii_lowercase().into());
        Ok(())
    }

    /// Whether content with this Content-Type is worth compressing.
    pub fn contains(&self, content_type: &[u8]) -> bool {
        // No quoted string comes before the parameters.
        let end = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
        let essence = content_type[..end].trim_ascii();
        let is_named = self.named.iter().any(|named| match named.strip_suffix('*') {
            Some(kind) => has_kind(essence, kind),
            None => essence.eq_ignore_ascii_case(named.as_bytes()),
        });
        is_named || (self.built_in && is_text(essence))
    }
}

/// Whether a media type begins with a kind like `text/`. Events are of no kind.
fn has_kind(essence: &[u8], kind: &str) -> bool {
    let begins = essence.get(..kind.len()).is_some_and(|start| start.eq_ignore_ascii_case(kind.as_bytes()));
    begins && !essence.eq_ignore_ascii_case(EVENTS.as_bytes())
}

fn is_text(essence: &[u8]) -> bool {
    let ends = |suffix: &&str| {
        let at = essence.len().saturating_sub(suffix.len());
        essence[at..].eq_ignore_ascii_case(suffix.as_bytes())
    };
    has_kind(essence, "text/")
        || SUFFIXES.iter().any(ends)
        || TYPES.iter().any(|known| essence.eq_ignore_ascii_case(known.as_bytes()))
}

/// How the responses of a host or a route are compressed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompressionRules {
    /// The codings that are made here.
    pub codings: Codings,
    /// From 1, the fastest, to 9, the smallest result.
    pub level: u8,
    /// What is worth it.
    pub types: CompressibleTypes,
}

impl Default for CompressionRules {
    fn default() -> Self {
        Self::OFF
    }
}

impl CompressionRules {
    /// Nothing is compressed.
    pub const OFF: Self = Self { codings: Codings::NONE, level: LEVEL, types: CompressibleTypes::none() };

    /// Whether content with this Content-Type, and this length if it is known, is worth compressing.
    pub fn is_worth(&self, content_type: Option<&[u8]>, length: Option<u64>) -> bool {
        !self.codings.is_empty()
            && length.is_none_or(|bytes| bytes >= SMALLEST)
            && content_type.is_some_and(|content_type| self.types.contains(content_type))
    }
}

#[cfg(test)]
mod tests {
    use super::super::content_coding::ContentCoding;
    use super::*;

    fn types(list: &[&str]) -> CompressibleTypes {
        let mut types = CompressibleTypes::none();
        list.iter().for_each(|text| types.add(text).unwrap());
        types
    }

    #[test]
    fn text_is_compressible_and_what_is_compressed_is_not() {
        let built_in = CompressibleTypes::default();
        for text in [
            "text/html; charset=utf-8",
            "TEXT/HTML;charset=\"a;b\"",
            "text/css",
            "text/x-anything",
            "application/json",
            "application/ld+json",
            "application/atom+XML ; charset=utf-8",
            "image/svg+xml",
            "application/wasm",
            "Application/JavaScript",
            "font/ttf",
        ] {
            assert!(built_in.contains(text.as_bytes()), "{text}");
        }
        for other in [
            "",
            "text",
            "json",
            "xml",
            "image/png",
            "font/woff2",
            "application/zip",
            "application/gzip",
            "application/octet-stream",
            "video/mp4",
            "application/jsonx",
            "text/event-stream",
            "text/event-stream; charset=utf-8",
            "Text/Event-Stream",
            "image/png; a=text/html",
        ] {
            assert!(!built_in.contains(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_list_replaces_the_built_in_one_or_adds_to_it() {
        for (list, content_type, expected) in [
            (&["text/html"][..], "text/html; charset=utf-8", true),
            (&["text/html"], "text/css", false),
            (&["text/*"], "text/css", true),
            (&["text/*"], "textile/css", false),
            (&["text/*"], "text/event-stream", false),
            (&["text/event-stream"], "text/event-stream", true),
            (&["default", "application/x-own"], "text/css", true),
            (&["Default2/x", "application/X-own"], "application/x-OWN", true),
            (&["default", "application/x-own"], "image/png", false),
            (&["default", "text/event-stream"], "text/event-stream;charset=utf-8", true),
            (&["image/*"], "image/png", true),
        ] {
            assert_eq!(types(list).contains(content_type.as_bytes()), expected, "{list:?} {content_type}");
        }
        for wrong in ["", "text", "text/", "/html", "*/*", "*", "text/html; charset=utf-8", "text/ html", "a/b/c"] {
            assert!(CompressibleTypes::none().add(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn small_content_is_not_worth_it() {
        let codings = Codings::default().with(ContentCoding::Gzip);
        let rules = CompressionRules { codings, level: LEVEL, types: CompressibleTypes::default() };
        for (content_type, length, expected) in [
            (Some("text/html"), Some(1024), true),
            (Some("text/html"), Some(1023), false),
            (Some("text/html"), None, true),
            (Some("image/png"), None, false),
            (None, None, false),
        ] {
            assert_eq!(rules.is_worth(content_type.map(str::as_bytes), length), expected, "{content_type:?}");
        }
        assert!(!CompressionRules::OFF.is_worth(Some(b"text/html"), None));
    }
}
