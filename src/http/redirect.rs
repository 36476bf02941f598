//! The target of a configured redirect, with variables of the request.
//!
//! `https://example.org$path?$query` has three: `$path` is the path of the request, tidied and
//! percent-encoded, with its slash; `$query` is the query without its question mark; `$host` is
//! the host name without its port.
//!
//! **No open redirects.** A client chooses the values of the variables. So a target whose host
//! they could change is refused: one that begins with a variable, `/$path` (for the path
//! `/example.com` that would be `//example.com`, which names a host), and
//! `https://example.org$query`. Only the whole host may be `$host`.

use std::fmt;

/// The target of a redirect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RedirectTarget(Vec<Part>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    Path,
    Query,
    Host,
}

impl Part {
    fn variable(text: &str) -> Option<(Self, &str)> {
        [("path", Self::Path), ("query", Self::Query), ("host", Self::Host)]
            .into_iter()
            .find_map(|(name, part)| Some((part, text.strip_prefix(name)?)))
    }
}

const UNSAFE: &str = "a client could redirect to any host with that: begin with a path like /new, or with \
                      https://example.org or https://$host, followed by a slash, $path or a question mark";

impl RedirectTarget {
    /// Parses a target.
    ///
    /// # Errors
    /// A hint, if it has an unknown variable or characters that no URL has, or if clients could
    /// choose the host.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)) {
            return Err("give a URL or a path, percent-encoded".to_owned());
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            if at > 0 {
                parts.push(Part::Text(rest[..at].to_owned()));
            }
            let (part, behind) =
                Part::variable(&rest[at + 1..]).ok_or("known variables are $path, $query and $host; write $ as %24")?;
            parts.push(part);
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let target = Self(parts);
        if target.is_safe() { Ok(target) } else { Err(UNSAFE.to_owned()) }
    }

    /// Whether the host doesn't depend on what a client can choose freely.
    fn is_safe(&self) -> bool {
        let Some(Part::Text(start)) = self.0.first() else { return false };
        let lower = start.to_ascii_lowercase();
        let Some(authority) = ["https://", "http://"].iter().find_map(|scheme| lower.strip_prefix(scheme)) else {
            // A path. Behind its slash must be something that isn't a slash or a variable.
            return match start.strip_prefix('/') {
                Some("") => self.0.len() == 1,
                Some(rest) => !rest.starts_with('/'),
                None => false,
            };
        };
        let ends = |text: &str| text.starts_with(['/', '?', '#']);
        let next_ends = |at: usize| match self.0.get(at) {
            None | Some(Part::Path) => true,
            // A port that ends with the text could be continued by a variable, but not by $path.
            Some(Part::Text(text)) => {
                ends(text) || is_port(text, matches!(self.0.get(at + 1), None | Some(Part::Path)))
            }
            Some(Part::Query | Part::Host) => false,
        };
        if authority.is_empty() {
            return self.0.get(1) == Some(&Part::Host) && next_ends(2);
        }
        let host = authority.split(['/', '?', '#']).next().unwrap_or_default();
        let is_host = !host.is_empty() && super::target::valid_host(host.as_bytes());
        is_host && (host.len() < authority.len() || next_ends(1))
    }

    /// The target for a request with this encoded path, query and host.
    pub fn expand(&self, path: &str, query: &str, host: &str) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(part) => text += part,
                Part::Path => text += path,
                // Without a query there is no question mark.
                Part::Query if query.is_empty() && text.ends_with('?') => _ = text.pop(),
                Part::Query => text += query,
                Part::Host => text += host,
            }
        }
        text
    }

    /// Whether it needs the host of the request.
    pub fn needs_host(&self) -> bool {
        self.0.contains(&Part::Host)
    }
}

impl fmt::Display for RedirectTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Path => f.write_str("$path"),
            Part::Query => f.write_str("$query"),
            Part::Host => f.write_str("$host"),
        })
    }
}

/// Whether a text is a port with its colon, and a path behind it; without one if it may be `last`.
fn is_port(text: &str, last: bool) -> bool {
    let Some(rest) = text.strip_prefix(':') else { return false };
    let digits = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
    digits > 0 && ((last && digits == rest.len()) || rest[digits..].starts_with(['/', '?', '#']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced() {
        for (target, path, query, expected) in [
            ("https://b.example$path", "/a%20b", "", "https://b.example/a%20b"),
            ("https://b.example$path?$query", "/", "x=1", "https://b.example/?x=1"),
            ("https://b.example$path?$query", "/", "", "https://b.example/"),
            ("https://b.example/?from=$path&$query", "/a", "", "https://b.example/?from=/a&"),
            ("https://$host:8443$path", "/a", "", "https://a.example:8443/a"),
            ("https://$host/x", "/a", "", "https://a.example/x"),
            ("/new$path", "/a", "", "/new/a"),
            ("/", "/a", "x", "/"),
            ("/%24path", "/a", "x", "/%24path"),
        ] {
            let parsed = RedirectTarget::parse(target).unwrap();
            assert_eq!(parsed.expand(path, query, "a.example"), expected, "{target}");
            assert_eq!(parsed.to_string(), target);
        }
    }

    #[test]
    fn a_target_whose_host_a_client_could_choose_is_refused() {
        for target in [
            "$path",
            "$host",
            "$query",
            "/$path",
            "/$query",
            "/$host",
            "//$host",
            "//example.org",
            "https://$path",
            "https:///x",
            "https://$host.example",
            "https://$host$query",
            "https://a.example$query",
            "https://a.example$host",
            "https://a.example:$query",
            "https://$host:$query",
            "https://$host:80$query",
            "https://user@$host/",
            "https://a@b.example/",
            "example.org/",
            "javascript:alert(1)",
            "ftp://a.example/",
            "/\\a",
            "/a b",
            "",
            "/a\n",
            "https://a.example$paths?$name",
        ] {
            assert!(RedirectTarget::parse(target).is_err(), "{target}");
        }
        assert!(RedirectTarget::parse("/$x").unwrap_err().contains("$host"));
        assert!(RedirectTarget::parse("HTTPS://a.example/$host").unwrap().needs_host());
        assert!(RedirectTarget::parse("https://a.example:80$path").is_ok());
    }
}
