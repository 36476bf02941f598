//! The names of hosts, and a table of values by them.
//!
//! A name is exact (`example.org`), or a pattern for one label (`*.example.org` is for
//! `a.example.org`, not for `example.org` and not for `a.b.example.org`), as in certificates
//! (RFC 9525 §6.3). An exact name comes before a pattern. Case doesn't count, nor does a dot at
//! the end, nor the port of a Host field (RFC 9110 §7.2, RFC 3986 §3.2.2).
//!
//! A look-up hashes the name once or twice, however many names there are.

use std::fmt;

use hashbrown::HashMap;
use memchr::{memchr, memrchr};

use super::target;

/// Longest host name in bytes (RFC 1035 §2.3.4). A longer one is nobody's.
const LONGEST: usize = 253;

/// The name of a host: exact, or a pattern for one label. In lower case.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostName {
    /// Without `*`, but with the dot behind it.
    text: String,
    pattern: bool,
}

impl HostName {
    /// Parses a name.
    ///
    /// # Errors
    /// A hint.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, pattern) = match text.strip_prefix('*') {
            Some(rest) if rest.len() > 1 && rest.starts_with('.') => (rest, true),
            Some(_) => {
                return Err("a pattern is *. and a name, like *.example.org; leave out the names to get \
                                   all requests that are for no other host"
                    .to_owned());
            }
            None => (text, false),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if name.contains('*') {
            return Err("only the whole first label can be *, as in *.example.org".to_owned());
        }
        let bare = if pattern { &name[1..] } else { &name[..] };
        let has_port = !bare.starts_with('[') && bare.contains(':') || bare.contains("]:");
        if bare.contains("://") || bare.contains('/') || has_port {
            return Err("give the name alone, without scheme, port and path".to_owned());
        }
        let is_name = bare.starts_with('[') || bare.split('.').all(|label| !label.is_empty());
        if !bare.is_ascii() {
            return Err("give the name as it is in DNS, in ASCII (Punycode: xn--…)".to_owned());
        }
        if !is_name || name.len() > LONGEST || !target::valid_host(bare.as_bytes()) {
            return Err("give a host name, like example.org or *.example.org".to_owned());
        }
        Ok(Self { text: name, pattern })
    }

    /// Whether it is for one name only.
    pub fn is_exact(&self) -> bool {
        !self.pattern
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.pattern { "*" } else { "" }, self.text)
    }
}

/// Values by host name.
#[derive(Clone, Debug)]
pub struct HostNames<T> {
    exact: HashMap<Box<[u8]>, T, foldhash::fast::RandomState>,
    /// By the part behind the first label, with its dot.
    patterns: HashMap<Box<[u8]>, T, foldhash::fast::RandomState>,
}

impl<T> Default for HostNames<T> {
    fn default() -> Self {
        Self { exact: HashMap::default(), patterns: HashMap::default() }
    }
}

impl<T> HostNames<T> {
    /// Adds a name. Returns the value that it had.
    pub fn insert(&mut self, name: &HostName, value: T) -> Option<T> {
        let table = if name.pattern { &mut self.patterns } else { &mut self.exact };
        table.insert(name.text.as_bytes().into(), value)
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.patterns.values())
    }

    /// Whether there are no names.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    /// The value for a host as in the Host field, perhaps with a port.
    pub fn find(&self, host: &[u8]) -> Option<&T> {
        // Most clients write it as it is in the table.
        self.exact.get(host).or_else(|| self.find_otherwise(host))
    }

    /// The value for a host that is written in another way, or has a pattern.
    #[inline(never)]
    fn find_otherwise(&self, host: &[u8]) -> Option<&T> {
        let name = bare(host);
        if name.len() > LONGEST {
            return None;
        }
        let mut lower = [0; LONGEST];
        let lower = &mut lower[..name.len()];
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        if let Some(value) = self.exact.get(&*lower) {
            return Some(value);
        }
        let dot = memchr(b'.', lower).filter(|dot| *dot > 0)?;
        self.patterns.get(&lower[dot..])
    }
}

/// A host as in the Host field without its port and without a dot at the end.
pub fn bare(host: &[u8]) -> &[u8] {
    let end = match memrchr(b':', host) {
        // The colons of an IPv6 address are between its brackets.
        Some(colon) if !host[colon..].contains(&b']') => colon,
        _ => host.len(),
    };
    let name = &host[..end];
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&str]) -> HostNames<usize> {
        let mut table = HostNames::default();
        for (number, name) in names.iter().enumerate() {
            assert_eq!(table.insert(&HostName::parse(name).unwrap(), number), None);
        }
        table
    }

    #[test]
    fn a_host_is_found_by_its_name_without_case_port_and_dot() {
        let table = table(&["example.org", "*.example.org", "www.Example.org.", "[::1]", "192.0.2.1", "*.org"]);
        for (host, expected) in [
            ("example.org", Some(0)),
            ("EXAMPLE.org:8080", Some(0)),
            ("example.org.", Some(0)),
            ("example.org.:80", Some(0)),
            ("example.org:", Some(0)),
            ("a.example.org", Some(1)),
            ("A.Example.Org.:1", Some(1)),
            ("www.example.org", Some(2)),
            ("a.b.example.org", None),
            (".example.org", None),
            ("other.org", Some(5)),
            ("org", None),
            ("[::1]", Some(3)),
            ("[::1]:80", Some(3)),
            ("192.0.2.1:80", Some(4)),
            ("", None),
            (":80", None),
            ("example.org..", None),
        ] {
            assert_eq!(table.find(host.as_bytes()).copied(), expected, "{host}");
        }
        let long = format!("{}.example.org", "a".repeat(250));
        assert_eq!(table.find(long.as_bytes()), None);
        assert!(!table.is_empty() && HostNames::<()>::default().is_empty());
    }

    #[test]
    fn a_name_is_checked() {
        for (text, hint) in [
            ("", "host name"),
            ("*", "leave out the names"),
            ("*example.org", "a pattern is"),
            ("a.*.org", "whole first label"),
            ("**.org", "a pattern is"),
            ("*.*.org", "whole first label"),
            ("http://example.org", "alone"),
            ("example.org:80", "alone"),
            ("[::1]:80", "alone"),
            ("example.org/a", "alone"),
            ("a..b", "host name"),
            (".a", "host name"),
            ("a b", "host name"),
            ("münchen.de", "Punycode"),
        ] {
            let error = HostName::parse(text).expect_err(text);
            assert!(error.contains(hint), "{text}: {error}");
        }
        for (text, shown) in [("Example.ORG.", "example.org"), ("*.A", "*.a"), ("localhost", "localhost")] {
            let name = HostName::parse(text).unwrap();
            assert_eq!((name.to_string().as_str(), name.is_exact()), (shown, !text.starts_with('*')));
        }
    }

    #[test]
    fn a_second_value_of_a_name_is_reported() {
        let mut table = table(&["a", "*.a"]);
        assert_eq!(table.insert(&HostName::parse("A.").unwrap(), 9), Some(0));
        assert_eq!(table.insert(&HostName::parse("*.a").unwrap(), 9), Some(1));
    }
}
