//! What an operator removes before its time: by URI, by the beginning of URIs, or by tags.

use std::fmt;
use std::ops::Range;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::disk::DIRECTORIES;
use super::key::{Key, Secret};
use crate::http::proxying::Server;
use crate::http::response::{field_lines, written_fields};
use crate::http::target::valid_host;
use crate::http::uri::Reference;

/// What is to be removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Purge {
    /// Everything.
    All,
    /// All variants of this URI.
    Uri(Vec<u8>),
    /// What has a URI that begins with these bytes.
    Prefix(Vec<u8>),
    /// What has this tag: a member of the list in its Cache-Tag field, byte for byte.
    Tag(Vec<u8>),
}

/// The URI of the responses to requests for this URL, as operators write it.
///
/// # Errors
/// If it isn't `http://host/path`, or the same with `https`.
pub fn uri(url: &str) -> Result<Vec<u8>, NotHttp> {
    let Reference { scheme, authority, path, query, .. } = Reference::parse(url);
    let is_https = match scheme.map(str::to_ascii_lowercase).as_deref() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(NotHttp),
    };
    let authority = authority.filter(|authority| valid_host(authority.as_bytes())).ok_or(NotHttp)?;
    let server = Server::new(is_https, authority.as_bytes()).ok_or(NotHttp)?;
    let path = if path.is_empty() { "/" } else { path };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("{path}{query}");
    // What isn't encoded can't be in a request. All else is compared as it is sent.
    let target = utf8_percent_encode(&target, UNSENT);
    Ok(format!("{}{target}", server.origin()).into_bytes())
}

/// The bytes that no request target has.
const UNSENT: &AsciiSet = &CONTROLS.add(b' ');

/// A text isn't the URL of a stored response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotHttp;

impl fmt::Display for NotHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("give a URL like http://host/path")
    }
}

impl std::error::Error for NotHttp {}

impl Purge {
    /// Whether it includes the response with this URI and head.
    pub(super) fn fits(&self, uri: &[u8], head: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Uri(own) => uri == own,
            Self::Prefix(prefix) => uri.starts_with(prefix),
            Self::Tag(tag) => tags(head).any(|own| own == tag.as_slice()),
        }
    }

    /// The numbers of the directories that may have some of it, and its key if it has only one. So
    /// little is read for one URI.
    pub(super) fn places(&self, secret: &Secret) -> (Range<u16>, Option<Key>) {
        let Self::Uri(uri) = self else { return (0..DIRECTORIES, None) };
        let key = secret.key(uri);
        let directory = u16::from(key.directory());
        (directory..directory + 1, Some(key))
    }
}

/// The tags of a response. The stored head has one field a line, and no folded ones.
fn tags(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let fields = written_fields(field_lines(head)).filter(|(name, _)| name.eq_ignore_ascii_case(b"cache-tag"));
    fields.flat_map(|(_, value)| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_that_of_requests() {
        for (url, expected) in [
            ("http://a/b?c", Some("http://a/b?c")),
            ("HTTP://A.Example.:80/B?C#d", Some("http://a.example/B?C")),
            ("https://a:443", Some("https://a/")),
            ("https://a:80?", Some("https://a:80/?")),
            ("http://[::1]:8080/%7e|", Some("http://[::1]:8080/%7e|")),
            ("http://a/\u{e4} b", Some("http://a/%C3%A4%20b")),
            ("http:///a", None),
            ("http://a:0/", None),
            ("http://user@a/", None),
            ("ftp://a/", None),
            ("//a/", None),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(uri(url).ok().map(|uri| String::from_utf8(uri).unwrap()).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn responses_are_chosen_by_uri_and_by_tag() {
        let head = b"HTTP/1.1 200 OK\r\nX: a\r\ncache-TAG: one, two \r\nCache-Tag:three\r\n\r\n";
        let prefix = |text: &str| Purge::Prefix(text.into()).fits(b"http://a/b", head);
        assert!(prefix("") && prefix("http://a/") && prefix("http://a/b") && !prefix("http://a/b/") && !prefix("a"));
        let tag = |text: &str| Purge::Tag(text.into()).fits(b"", head);
        assert!(tag("one") && tag("two") && tag("three"));
        assert!(!tag("a") && !tag("One") && !tag("tw") && !tag("one, two"));
        let uri = |text: &str| Purge::Uri(text.into()).fits(b"http://a/b", head);
        assert!(uri("http://a/b") && !uri("http://a/") && !uri("http://a/b/"));
        assert!(Purge::All.fits(b"", b""));
    }
}
