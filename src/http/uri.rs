//! URI references (RFC 3986): parsing, and resolving against a base.
//!
//! A Location field or a link may be any reference. Only the resolved URI must be an
//! [`HttpUrl`], the one kind that the client can request.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use super::target::valid_host;

/// A parsed reference (RFC 3986, appendix B). Every text is a reference: nothing is checked,
/// and nothing is decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reference<'a> {
    /// The part before the first `:`, if it is a valid scheme (RFC 3986 §3.1).
    pub scheme: Option<&'a str>,
    /// The part after `//`.
    pub authority: Option<&'a str>,
    /// The path; may be empty.
    pub path: &'a str,
    /// The part after the first `?`.
    pub query: Option<&'a str>,
    /// The part after the first `#`.
    pub fragment: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// Parses `text`.
    pub fn parse(text: &'a str) -> Self {
        let (text, fragment) = cut(text, '#');
        let (text, query) = cut(text, '?');
        let (scheme, text) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
            _ => (None, text),
        };
        let (authority, path) = match text.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(authority), path)
            }
            None => (None, text),
        };
        Self { scheme, authority, path, query, fragment }
    }

    /// The URI of `reference` with `self` as the base (RFC 3986 §5.2.2).
    pub fn resolve(&self, reference: &Reference<'_>) -> String {
        let r = reference;
        let (scheme, authority, path, query);
        if r.scheme.is_some() {
            (scheme, authority, path, query) = (r.scheme, r.authority, without_dots(r.path), r.query);
        } else if r.authority.is_some() {
            (scheme, authority, path, query) = (self.scheme, r.authority, without_dots(r.path), r.query);
        } else if r.path.is_empty() {
            (scheme, authority, path) = (self.scheme, self.authority, self.path.to_owned());
            query = r.query.or(self.query);
        } else if r.path.starts_with('/') {
            (scheme, authority, path, query) = (self.scheme, self.authority, without_dots(r.path), r.query);
        } else {
            (scheme, authority, path, query) =
                (self.scheme, self.authority, without_dots(&self.merge(r.path)), r.query);
        }
        Reference { scheme, authority, path: &path, query, fragment: r.fragment }.to_string()
    }

    /// The path of a relative reference in the directory of this one (RFC 3986 §5.2.3).
    fn merge(&self, path: &str) -> String {
        if self.authority.is_some() && self.path.is_empty() {
            return format!("/{path}");
        }
        let directory = self.path.rfind('/').map_or("", |slash| &self.path[..=slash]);
        format!("{directory}{path}")
    }
}

impl fmt::Display for Reference<'_> {
    /// Composes the parts (RFC 3986 §5.3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{scheme}:")?;
        }
        if let Some(authority) = self.authority {
            write!(f, "//{authority}")?;
        }
        f.write_str(self.path)?;
        if let Some(query) = self.query {
            write!(f, "?{query}")?;
        }
        if let Some(fragment) = self.fragment {
            write!(f, "#{fragment}")?;
        }
        Ok(())
    }
}

/// The parts before and after the first `mark`.
fn cut(text: &str, mark: char) -> (&str, Option<&str>) {
    text.split_once(mark).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// `path` without dot segments (RFC 3986 §5.2.4).
fn without_dots(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let rooted = path.starts_with('/');
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    out.pop();
                }
                // A path that ends with a dot segment is a directory.
                if last {
                    out.push("");
                }
            }
            _ => out.push(segment),
        }
    }
    let path = out.join("/");
    if rooted { format!("/{path}") } else { path }
}

/// Splits an authority without user information into host and port, which may be empty. An IPv6
/// address loses its brackets.
pub fn split_host_port(authority: &str) -> (&str, &str) {
    let literal = authority.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match authority[literal..].split_once(':') {
        Some((rest, port)) => (&authority[..literal + rest.len()], port),
        None => (authority, ""),
    };
    (host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host), port)
}

/// Whether a URL is one of https, and what follows its scheme and `://`. None if it isn't one of http either.
pub fn after_scheme(url: &[u8]) -> Option<(bool, &[u8])> {
    [(false, &b"http://"[..]), (true, b"https://")].into_iter().find_map(|(is_https, scheme)| {
        let (start, rest) = url.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some((is_https, rest))
    })
}

/// The authority of a host at a port: IPv6 in brackets, and the port only if it isn't that of the scheme.
pub fn authority(scheme: Scheme, host: &str, port: u16) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port == scheme.default_port() { host } else { format!("{host}:{port}") }
}

/// The scheme of a URL that can be requested.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// That with TLS or without.
    pub fn of(is_https: bool) -> Self {
        if is_https { Self::Https } else { Self::Http }
    }

    /// The port of URLs without one.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// A URL that can be requested: `http://host[:port]/path[?query]`, or the same with `https`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpUrl {
    /// The scheme.
    pub scheme: Scheme,
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// The port; that of the scheme by default.
    pub port: u16,
    /// The request-target in origin form, ready to be sent.
    pub target: String,
}

/// Why a URL can't be requested.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UrlError {
    /// The scheme is neither http nor https, or missing.
    Scheme,
    /// It contains a user's name or password.
    User,
    /// The host or port is missing or malformed.
    Host,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "a URL begins with http:// or https://",
            Self::User => "a name or password in a URL isn't sent; give an Authorization field",
            Self::Host => "the host or the port is missing or malformed",
        })
    }
}

impl std::error::Error for UrlError {}

/// The bytes that are encoded in a target. They are encoded instead of refused, because users
/// and servers write them. Existing escapes stay.
const ENCODED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

impl HttpUrl {
    /// Parses a URL. A fragment isn't sent, so it is dropped.
    ///
    /// # Errors
    /// If it can't be requested.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let reference = Reference::parse(text);
        let scheme = reference.scheme.and_then(Scheme::parse).ok_or(UrlError::Scheme)?;
        let authority = reference.authority.ok_or(UrlError::Host)?;
        if authority.contains('@') {
            return Err(UrlError::User);
        }
        if !valid_host(authority.as_bytes()) {
            return Err(UrlError::Host);
        }
        let (host, port) = split_host_port(authority);
        let port = match port {
            "" => scheme.default_port(),
            digits => digits.parse().map_err(|_| UrlError::Host)?,
        };
        let query = reference.query.map(|query| format!("?{query}")).unwrap_or_default();
        let rooted = if reference.path.starts_with('/') { "" } else { "/" };
        let target = encoded(&format!("{rooted}{}{query}", reference.path));
        Ok(Self { scheme, host: host.to_owned(), port, target })
    }

    /// The http URL of a file on a host, with or without a leading slash. A `#` in a file name
    /// begins no fragment.
    ///
    /// # Errors
    /// If the host is malformed.
    pub fn of_file(host: &str, port: u16, file: &str) -> Result<Self, UrlError> {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let file = file.strip_prefix('/').unwrap_or(file).replace('#', "%23");
        let target = encoded(&format!("/{file}"));
        let url = Self { scheme: Scheme::Http, host: host.to_owned(), port, target };
        if valid_host(url.authority().as_bytes()) { Ok(url) } else { Err(UrlError::Host) }
    }

    /// The URL of a reference that was found at this URL.
    ///
    /// # Errors
    /// If it can't be requested.
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        let base = self.to_string();
        Self::parse(&Reference::parse(&base).resolve(&Reference::parse(reference)))
    }

    /// The value of the Host field; the default port of the scheme is omitted.
    pub fn authority(&self) -> String {
        authority(self.scheme, &self.host, self.port)
    }

    /// Whether the other URL has the same origin (RFC 6454 §5), so that secrets for one may be
    /// sent to the other.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.port == other.port && self.host.eq_ignore_ascii_case(&other.host)
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority(), self.target)
    }
}

fn encoded(text: &str) -> String {
    percent_encode(text.as_bytes(), ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_authority_is_split_before_its_port() {
        for (authority, expected) in [
            ("host", ("host", "")),
            ("host:", ("host", "")),
            ("host:80", ("host", "80")),
            ("[::1]", ("::1", "")),
            ("[::1]:80", ("::1", "80")),
            ("a:b:c", ("a", "b:c")),
        ] {
            assert_eq!(split_host_port(authority), expected, "{authority}");
        }
    }

    #[test]
    fn references_are_resolved_as_the_rfc_says() {
        // The tables in RFC 3986 §5.4.1 and §5.4.2.
        let base = Reference::parse("http://a/b/c/d;p?q");
        for (reference, expected) in [
            ("g:h", "g:h"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q#s"),
            ("g#s", "http://a/b/c/g#s"),
            ("g?y#s", "http://a/b/c/g?y#s"),
            (";x", "http://a/b/c/;x"),
            ("g;x", "http://a/b/c/g;x"),
            ("g;x?y#s", "http://a/b/c/g;x?y#s"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("../../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            (".g", "http://a/b/c/.g"),
            ("g..", "http://a/b/c/g.."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("./g/.", "http://a/b/c/g/"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/./x", "http://a/b/c/g?y/./x"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("g#s/./x", "http://a/b/c/g#s/./x"),
            ("g#s/../x", "http://a/b/c/g#s/../x"),
            ("http:g", "http:g"),
        ] {
            assert_eq!(base.resolve(&Reference::parse(reference)), expected, "{reference:?}");
        }
        let bare = Reference::parse("http://a?q");
        assert_eq!(bare.resolve(&Reference::parse("g")), "http://a/g");
    }

    #[test]
    fn urls_are_parsed() {
        for (text, host, port, target, again) in [
            ("http://a", "a", 80, "/", "http://a/"),
            ("HTTP://A:80/b?c#d", "A", 80, "/b?c", "http://A/b?c"),
            ("http://a:8080?c", "a", 8080, "/?c", "http://a:8080/?c"),
            ("http://a:/b", "a", 80, "/b", "http://a/b"),
            ("http://[::1]/", "::1", 80, "/", "http://[::1]/"),
            ("http://[::1]:81/", "::1", 81, "/", "http://[::1]:81/"),
            ("HTTPS://a", "a", 443, "/", "https://a/"),
            ("https://a:443/", "a", 443, "/", "https://a/"),
            ("https://a:80/", "a", 80, "/", "https://a:80/"),
            ("http://a:443/", "a", 443, "/", "http://a:443/"),
            ("http://a/b c\u{e4}%20", "a", 80, "/b%20c%C3%A4%20", "http://a/b%20c%C3%A4%20"),
        ] {
            let url = HttpUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((url.host.as_str(), url.port, url.target.as_str()), (host, port, target));
            assert_eq!(url.to_string(), again);
        }
        for (text, error) in [
            ("ftp://a/", UrlError::Scheme),
            ("a/b", UrlError::Scheme),
            ("", UrlError::Scheme),
            ("http:a", UrlError::Host),
            ("http:///a", UrlError::Host),
            ("http://a:99999/", UrlError::Host),
            ("http://a b/", UrlError::Host),
            ("http://a\r\nX: y/", UrlError::Host),
            ("http://u@a/", UrlError::User),
            ("http://u:p@a/", UrlError::User),
        ] {
            assert_eq!(HttpUrl::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn files_of_a_host_become_urls() {
        for (host, file, expected) in [
            ("a", "b", "http://a:81/b"),
            ("a", "/b", "http://a:81/b"),
            ("a", "", "http://a:81/"),
            ("a", "b c#1?d", "http://a:81/b%20c%231?d"),
            ("::1", "b", "http://[::1]:81/b"),
            ("[::1]", "b", "http://[::1]:81/b"),
        ] {
            assert_eq!(HttpUrl::of_file(host, 81, file).unwrap().to_string(), expected);
        }
        assert!(HttpUrl::of_file("a b", 80, "").is_err() && HttpUrl::of_file("", 80, "").is_err());
    }

    #[test]
    fn redirects_are_resolved() {
        let url = HttpUrl::parse("http://a:81/b/c?d").unwrap();
        assert_eq!(url.join("e").unwrap().to_string(), "http://a:81/b/e");
        assert_eq!(url.join("http://f/").unwrap().to_string(), "http://f/");
        assert_eq!(url.join("https://f/").unwrap().to_string(), "https://f/");
        assert!(url.same_origin(&url.join("/x").unwrap()) && !url.same_origin(&url.join("//a/").unwrap()));
        let of = |text| HttpUrl::parse(text).unwrap();
        assert!(!of("https://a:81/").same_origin(&of("http://a:81/")));
    }

    proptest! {
        #[test]
        fn every_parsed_url_can_be_sent(text in ".{0,60}", host in "[a-z]{1,5}") {
            let url = HttpUrl::of_file(&host, 80, "").unwrap();
            for url in [url.join(&text), HttpUrl::parse(&format!("http://{host}/{text}"))].into_iter().flatten() {
                prop_assert!(url.target.starts_with('/'));
                prop_assert!(url.target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
                prop_assert!(valid_host(url.authority().as_bytes()));
                prop_assert_eq!(HttpUrl::parse(&url.to_string()), Ok(url));
            }
        }
    }
}
