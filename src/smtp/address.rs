//! Addresses (RFC 5321 §4.1.2, RFC 6531 §3.3).
//!
//! ```text
//! Ada Example <ada@example.org>        a mailbox: perhaps a name, and an address
//!              ^^^ ^^^^^^^^^^^
//!              |   domain, or an address literal: [192.0.2.1], [IPv6:2001:db8::1]
//!              local part, or a quoted one: "ada example"
//! ```
//!
//! An address goes into a command, so nothing in it may end the line or the path: each character
//! is checked. Characters beyond ASCII are allowed, and need SMTPUTF8.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest local part, domain and address in bytes (RFC 5321 §4.5.3.1). A path has two brackets
/// more.
const LOCAL: usize = 64;
const DOMAIN: usize = 255;
const ADDRESS: usize = 254;

/// An address that can stand in a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Address(String);

/// Why a text is no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressError {
    /// A CR, LF, NUL or other control character.
    Control,
    /// No `@`, or nothing before it.
    Incomplete,
    /// The local part has a character that isn't allowed.
    Local,
    /// The domain isn't one.
    Domain,
    /// A part is too long.
    Long,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Control => "it has a control character, like a line end",
            Self::Incomplete => "give an address, like ada@example.org",
            Self::Local => "the part before @ has a character that isn't allowed there",
            Self::Domain => "the part behind @ isn't a domain",
            Self::Long => "it is too long",
        })
    }
}

impl std::error::Error for AddressError {}

impl Address {
    /// Checks an address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.contains(char::is_control) {
            return Err(AddressError::Control);
        }
        // A server accepts mail for its postmaster without a domain (RFC 5321 §4.5.1).
        if text.eq_ignore_ascii_case("postmaster") {
            return Ok(Self(text.to_owned()));
        }
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::Incomplete)?;
        if local.is_empty() {
            return Err(AddressError::Incomplete);
        }
        if local.len() > LOCAL || domain.len() > DOMAIN || text.len() > ADDRESS {
            return Err(AddressError::Long);
        }
        if !is_dot_string(local) && !is_quoted(local) {
            return Err(AddressError::Local);
        }
        if !is_domain(domain) && !is_literal(domain) {
            return Err(AddressError::Domain);
        }
        Ok(Self(text.to_owned()))
    }

    /// The address without brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain; empty for a postmaster without one.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// Whether it needs SMTPUTF8.
    pub fn needs_utf8(&self) -> bool {
        !self.0.is_ascii()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Atoms with single dots between them (RFC 5321 §4.1.2).
fn is_dot_string(local: &str) -> bool {
    let is_atext = |char: char| match char {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        _ if char.is_ascii() => "!#$%&'*+-/=?^_`{|}~".contains(char),
        _ => !char.is_whitespace(),
    };
    local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// A quoted string, with backslashes before quotes and backslashes.
fn is_quoted(local: &str) -> bool {
    let Some(inner) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return false };
    let mut escaped = false;
    for char in inner.chars() {
        escaped = match char {
            _ if escaped => false,
            '\\' => true,
            '"' => return false,
            _ => false,
        };
    }
    !escaped
}

/// Whether a text is a domain: labels of letters, digits and inner hyphens. Letters may be those
/// of any script.
pub fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let fits = |char: char| char == '-' || char.is_alphanumeric() || (!char.is_ascii() && !char.is_whitespace());
        (1..=63).contains(&label.len()) && label.chars().all(fits) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= DOMAIN && !text.contains(char::is_control) && text.split('.').all(is_label)
}

/// Whether a text is an address literal (RFC 5321 §4.1.3).
pub fn is_literal(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return false };
    match inner.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address.parse::<Ipv6Addr>().is_ok(),
        _ => inner.parse::<Ipv4Addr>().is_ok(),
    }
}

/// An address, perhaps with a name for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mailbox {
    /// The name, without quotes.
    pub name: Option<String>,
    /// The address.
    pub address: Address,
}

impl Mailbox {
    /// Parses `ada@example.org`, `<ada@example.org>` or `Ada Example <ada@example.org>`. The name
    /// may be in quotes.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.contains(char::is_control) {
            return Err(AddressError::Control);
        }
        let text = text.trim();
        let Some(rest) = text.strip_suffix('>') else {
            return Ok(Self { name: None, address: Address::parse(text)? });
        };
        let (name, address) = rest.rsplit_once('<').ok_or(AddressError::Incomplete)?;
        let name = name.trim();
        let name = match name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => unescape(quoted),
            None => name.to_owned(),
        };
        Ok(Self { name: (!name.is_empty()).then_some(name), address: Address::parse(address)? })
    }
}

/// A quoted text without its backslashes.
fn unescape(quoted: &str) -> String {
    let mut chars = quoted.chars();
    std::iter::from_fn(|| match chars.next()? {
        '\\' => chars.next(),
        char => Some(char),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_accepted() {
        for text in [
            "ada@example.org",
            "a.b+c=d{e}@localhost",
            "\"ada example\"@example.org",
            "\"a\\\"b\\\\\"@example.org",
            "\"a@b\"@example.org",
            "ada@[192.0.2.1]",
            "ada@[IPv6:2001:db8::1]",
            "j\u{fc}rgen@b\u{fc}cher.example",
            "postmaster",
            "Postmaster@a",
        ] {
            assert_eq!(Address::parse(text).map(|address| address.to_string()), Ok(text.to_owned()));
        }
        let address = Address::parse("axb@example.org").unwrap();
        assert_eq!((address.domain(), address.needs_utf8()), ("example.org", false));
        assert!(Address::parse("\u{fc}@a").unwrap().needs_utf8());
    }

    #[test]
    fn what_could_end_the_line_or_the_path_is_refused() {
        use AddressError as E;
        for (text, error) in [
            ("ada@example.org\r\nRCPT TO:<eve@example.org>", E::Control),
            ("ada\n@example.org", E::Control),
            ("ada@example.org\0", E::Control),
            ("ada@exam\rple.org", E::Control),
            ("\u{85}ada@example.org", E::Control),
            ("ada", E::Incomplete),
            ("", E::Incomplete),
            ("@example.org", E::Incomplete),
            ("ada lovelace@example.org", E::Local),
            ("ada>@example.org", E::Local),
            ("<ada@example.org", E::Local),
            ("a..b@example.org", E::Local),
            (".a@example.org", E::Local),
            ("a@b@example.org", E::Local),
            ("\"a\"b\"@example.org", E::Local),
            ("\"a\\\"@example.org", E::Local),
            ("\u{2003}a@example.org", E::Local),
            ("ada@example.org> SIZE=1", E::Domain),
            ("ada@example.org ", E::Domain),
            ("ada@", E::Domain),
            ("ada@example..org", E::Domain),
            ("ada@example.org.", E::Domain),
            ("ada@-a", E::Domain),
            ("ada@[192.0.2]", E::Domain),
            ("ada@[IPv6:192.0.2.1]", E::Domain),
            ("ada@[::1]", E::Domain),
        ] {
            assert_eq!(Address::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(Address::parse(&format!("{}@a", "x".repeat(65))), Err(E::Long));
        assert_eq!(Address::parse(&format!("a@{}", "x.".repeat(200))), Err(E::Long));
    }

    #[test]
    fn mailboxes_may_have_a_name() {
        for (text, name, address) in [
            ("ada@a", None, "ada@a"),
            (" <ada@a> ", None, "ada@a"),
            ("Ada Example <ada@a>", Some("Ada Example"), "ada@a"),
            ("\"Example, Ada \\\"A\\\"\" <ada@a>", Some("Example, Ada \"A\""), "ada@a"),
            ("J\u{fc}rgen <j@a>", Some("J\u{fc}rgen"), "j@a"),
            ("a <b <ada@a>", Some("a <b"), "ada@a"),
        ] {
            let mailbox = Mailbox::parse(text).unwrap();
            assert_eq!((mailbox.name.as_deref(), mailbox.address.as_str()), (name, address), "{text}");
        }
        for text in ["Ada <ada@a", "Ada ada@a>", "Ada\n <ada@a>", "Ada <>", "a@a, b@a", "Ada <ada@a> more"] {
            assert!(Mailbox::parse(text).is_err(), "{text}");
        }
    }
}
