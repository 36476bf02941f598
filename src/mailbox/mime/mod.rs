//! What is in a message: header, texts, and the other parts (RFC 5322, RFC 2045 to 2047, RFC 2231).
//!
//! ```text
//!   multipart/mixed
//!    ├─ multipart/alternative
//!    │   ├─ text/plain ─────────▶ the text
//!    │   └─ multipart/related
//!    │       ├─ text/html ──────▶ the HTML
//!    │       └─ image/png ──────▶ a part, which the HTML shows by its Content-ID
//!    └─ application/pdf ────────▶ a part
//! ```
//!
//! The fields, their encodings and the charsets are read by `mail-parser`. The tree of parts is taken apart
//! here (`structure.rs`), because a hostile message must cost bounded time and memory: there are limits on
//! parts, depth, header and text, and what is beyond them is left out and said to be. A message inside
//! of a message is one part.
//!
//! Nothing in a message is an error. What can't be decoded is taken as it is.

mod fields;
mod structure;

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use serde::{Deserialize, Serialize};

pub use fields::{Address, Field, Header};

use crate::panics;
use structure::{Encoding, Leaf, Structure};

/// The most bytes of a text or of HTML that are decoded: a longer one is cut.
pub const TEXT: usize = 2 * 1024 * 1024;
/// Most characters of a subject or a sender in the list.
const SHORT: usize = 500;

/// What the list shows of a message, beside its envelope.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// The field From, as text.
    pub from: String,
    /// The field Subject.
    pub subject: String,
}

/// What is in a message.
#[derive(PartialEq, Eq, Default, Debug)]
pub struct Parsed {
    /// Its header.
    pub header: Header,
    /// The first plain text that isn't an attachment.
    pub text: Option<Text>,
    /// The first HTML that isn't an attachment.
    pub html: Option<Text>,
    /// All other parts.
    pub parts: Vec<Part>,
    /// There are more parts than are shown here.
    pub has_more_parts: bool,
}

/// A text.
#[derive(PartialEq, Eq, Debug)]
pub struct Text {
    /// The text, or its beginning.
    pub text: String,
    /// It is longer than that.
    pub is_cut: bool,
}

/// A part that has no parts itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Its number in the message, from 1.
    pub number: usize,
    /// Its media type: lower-case, without parameters.
    pub media_type: String,
    /// The name of its file, as the sender wrote it.
    pub name: Option<String>,
    /// By what HTML refers to it (RFC 2392), without the angle brackets.
    pub content_id: Option<String>,
    /// Its size in bytes, decoded.
    pub size: usize,
}

impl Summary {
    /// The summary of a message.
    pub fn of(content: &[u8]) -> Self {
        // This runs on the loop, which must not end.
        let header = panics::catch(|| Header::of(structure::split_head(content).0)).unwrap_or_default();
        let from = header.from.iter().map(Address::to_string).collect::<Vec<_>>().join(", ");
        Self { from: shortened(from), subject: shortened(header.subject.unwrap_or_default()) }
    }

    /// Its length in bytes.
    pub(super) fn length(&self) -> usize {
        self.from.len().saturating_add(self.subject.len())
    }
}

impl Parsed {
    /// Takes a message apart. This takes up to some tenths of a second: for a helper thread.
    pub fn of(content: &[u8]) -> Self {
        let structure = Structure::of(content);
        let mut parsed = Self { header: structure.header, has_more_parts: structure.is_cut, ..Self::default() };
        for (at, leaf) in structure.leaves.into_iter().enumerate() {
            match &*leaf.media_type {
                "text/plain" if parsed.text.is_none() && !leaf.is_attachment => parsed.text = Some(text(&leaf)),
                "text/html" if parsed.html.is_none() && !leaf.is_attachment => parsed.html = Some(text(&leaf)),
                _ => parsed.parts.push(part(at + 1, leaf).0),
            }
        }
        parsed
    }

    /// The part with this number, which may be one of the texts, and its content, decoded.
    pub fn part(content: &[u8], number: usize) -> Option<(Part, Vec<u8>)> {
        let leaf = Structure::of(content).leaves.into_iter().nth(number.checked_sub(1)?)?;
        let (part, content) = part(number, leaf);
        Some((part, content.into_owned()))
    }

    /// All parts that HTML can refer to by a Content-ID, with their content.
    pub fn with_content_ids(content: &[u8]) -> Vec<(Part, Vec<u8>)> {
        let leaves = Structure::of(content).leaves.into_iter().enumerate();
        let named = leaves.filter(|(_, leaf)| leaf.content_id.is_some());
        named.map(|(at, leaf)| part(at + 1, leaf)).map(|(part, content)| (part, content.into_owned())).collect()
    }
}

fn part(number: usize, leaf: Leaf<'_>) -> (Part, Cow<'_, [u8]>) {
    let content = decoded(&leaf);
    let Leaf { media_type, name, content_id, .. } = leaf;
    (Part { number, media_type, name, content_id, size: content.len() }, content)
}

/// The content of a part, its transfer encoding taken off.
fn decoded<'a>(leaf: &Leaf<'a>) -> Cow<'a, [u8]> {
    let decoded = match leaf.encoding {
        Encoding::Identity => None,
        Encoding::Base64 => base64_decode(leaf.body),
        Encoding::QuotedPrintable => quoted_printable_decode(leaf.body),
    };
    decoded.map_or(Cow::Borrowed(leaf.body), Cow::Owned)
}

fn text(leaf: &Leaf<'_>) -> Text {
    let bytes = decoded(leaf);
    let (bytes, is_cut) = bytes.get(..TEXT).map_or((&*bytes, false), |begin| (begin, bytes.len() > TEXT));
    let decoder = leaf.charset.as_deref().and_then(|charset| charset_decoder(charset.as_bytes()));
    let mut text = decoder.map_or_else(|| String::from_utf8_lossy(bytes).into_owned(), |decode| decode(bytes));
    if is_cut {
        // A character may be cut in the middle.
        text.truncate(text.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
    }
    Text { text, is_cut }
}

/// A text, cut if it is too long.
fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(SHORT) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
