//! The client behind a proxy: Forwarded (RFC 7239), X-Forwarded-For and X-Forwarded-Proto.
//!
//! Each proxy appends the address of its peer. So the list is read from its right end, as
//! long as the proxies that wrote it are trusted:
//!
//! ```text
//! X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.2      from 10.0.0.1
//!                  forged   the client   a proxy       a proxy, our peer
//! ```
//!
//! A proxy that writes one of the two fields usually passes the other on unchanged, from
//! any sender. So if both fields are present they must name the same client. Otherwise, and
//! if a field is malformed, the client is the last address that is certain: that of the
//! proxy that wrote the field.
//!
//! Whether the client used TLS is in the member of the proxy that the client is connected to:
//! of Forwarded the same member, of X-Forwarded-Proto the one at the same distance from the
//! right end. One field that says `https` is enough.

use std::net::{IpAddr, SocketAddr};

use super::Fields;
use super::address_blocks::AddressBlocks;
use super::grammar::{has_closed_quotes, split_unquoted};

/// The trusted proxies: their forwarding fields are believed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Proxies {
    blocks: AddressBlocks,
    /// Peers on unix-domain sockets are trusted.
    unix: bool,
}

impl Proxies {
    /// Adds a block of addresses, or with `unix` all peers on unix-domain sockets.
    ///
    /// # Errors
    /// If it is neither.
    pub fn add(&mut self, text: &str) -> Result<(), &'static str> {
        if text == "unix" {
            self.unix = true;
        } else {
            self.blocks.add(text)?;
        }
        Ok(())
    }

    /// Whether this peer is trusted; none is a peer on a unix-domain socket. An IPv4 address
    /// that is written as IPv6 is an IPv4 address.
    pub fn trust(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            Some(address) => self.blocks.contain(address),
            None => self.unix,
        }
    }

    /// Whether no proxy is trusted.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && !self.unix
    }

    /// The address of the client behind `peer`: the peer's own, unless the peer is trusted
    /// and reports another.
    pub fn client(&self, peer: Option<IpAddr>, fields: &Fields<'_>) -> Option<IpAddr> {
        if !self.trust(peer) {
            return peer;
        }
        let forwarded = self.follow(peer, fields, "forwarded", forwarded_for).map(|(client, _)| client);
        let x_forwarded = self.follow(peer, fields, "x-forwarded-for", node).map(|(client, _)| client);
        match (forwarded, x_forwarded) {
            (Some(a), Some(b)) if a != b => peer,
            (Some(client), _) | (None, Some(client)) => client,
            (None, None) => peer,
        }
    }

    /// Whether the client behind `peer` used TLS; none if `peer` isn't trusted or doesn't say.
    pub fn secure(&self, peer: Option<IpAddr>, fields: &Fields<'_>) -> Option<bool> {
        if !self.trust(peer) {
            return None;
        }
        let is_https = |scheme: &[u8]| scheme.eq_ignore_ascii_case(b"https");
        let x_forwarded = self.follow(peer, fields, "x-forwarded-for", node).map_or(1, |(_, proxies)| proxies);
        let forwarded = self.follow(peer, fields, "forwarded", forwarded_for).map_or(1, |(_, proxies)| proxies);
        let x_forwarded = member(fields, "x-forwarded-proto", x_forwarded);
        let forwarded = member(fields, "forwarded", forwarded).and_then(|element| parameter(element, b"proto="));
        let schemes = || x_forwarded.into_iter().chain(forwarded);
        schemes().next().map(|_| schemes().any(is_https))
    }

    /// Reads the members of a list field from right to left, as long as their writers are
    /// trusted. Returns the client, and how many proxies are known. None without the field.
    fn follow(
        &self,
        peer: Option<IpAddr>,
        fields: &Fields<'_>,
        name: &str,
        read: fn(&[u8]) -> Option<IpAddr>,
    ) -> Option<(Option<IpAddr>, usize)> {
        // The head bounds their number.
        let lines: Vec<&[u8]> = fields.all(name).collect();
        if lines.is_empty() {
            return None;
        }
        let mut client = peer;
        // The peer.
        let mut proxies = 1;
        for line in lines.iter().rev() {
            // An open quoted string, begun by a client, would swallow the members that the
            // proxy appended.
            if !has_closed_quotes(line) {
                return Some((client, proxies));
            }
            let members: Vec<&[u8]> = split_unquoted(line, b',').collect();
            for member in members.iter().rev() {
                let Some(address) = read(member) else { return Some((client, proxies)) };
                client = Some(address);
                if !self.trust(client) {
                    return Some((client, proxies));
                }
                proxies += 1;
            }
        }
        Some((client, proxies))
    }
}

/// Member number `position` of a list field, from 1 at the right end; the first one if there
/// are fewer.
fn member<'a>(fields: &Fields<'a>, name: &str, position: usize) -> Option<&'a [u8]> {
    let members: Vec<&[u8]> = fields.all(name).flat_map(|line| split_unquoted(line, b',')).collect();
    members.get(members.len().saturating_sub(position)).copied()
}

/// The `for` of one `forwarded-element` (RFC 7239 §4), if it is an address.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    node(parameter(element, b"for=")?)
}

/// The value of a parameter, `name` with its equals sign, of one `forwarded-element`;
/// none if it is repeated.
fn parameter<'a>(element: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut values = split_unquoted(element, b';').filter_map(|pair| {
        let (found, value) = pair.split_at_checked(name.len())?;
        found.eq_ignore_ascii_case(name).then_some(value)
    });
    let value = values.next().filter(|_| values.next().is_none())?;
    match value {
        [b'"', inner @ .., b'"'] => Some(inner),
        _ => Some(value),
    }
}

/// An address with or without a port; IPv6 with a port has brackets (RFC 7239 §6),
/// without one it may.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bare {
        Some(inside) => IpAddr::V6(inside.parse().ok()?),
        None => text.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip())).ok()?,
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;
    use proptest::prelude::*;

    fn trusts(block: &str, address: &str) -> bool {
        proxies(&[block]).trust(address.parse().ok())
    }

    #[test]
    fn blocks_contain_their_addresses() {
        for (block, inside, outside) in [
            ("192.0.2.1", &["192.0.2.1", "::ffff:192.0.2.1"][..], &["192.0.2.2", "::1"][..]),
            ("10.0.0.0/8", &["10.0.0.0", "10.255.255.255"], &["11.0.0.0", "9.255.255.255", "::a00:0"]),
            ("10.1.2.128/25", &["10.1.2.128", "10.1.2.255"], &["10.1.2.127"]),
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::1"]),
            ("::/0", &["::", "2001:db8::1"], &["127.0.0.1", "::ffff:127.0.0.1"]),
            ("2001:db8::/32", &["2001:db8:ffff::1"], &["2001:db9::", "2001:db7:ffff::"]),
            ("::1/128", &["::1"], &["::", "::2"]),
        ] {
            for address in inside {
                assert!(trusts(block, address), "{address} in {block}");
            }
            for address in outside {
                assert!(!trusts(block, address), "{address} not in {block}");
            }
        }
        for wrong in ["", "/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/8/8", "a/8", "10/8"] {
            assert!(AddressBlocks::default().add(wrong).is_err_and(|hint| hint.contains("like")), "{wrong}");
        }
        for wrong in ["10.0.0.1/8", "10.1.2.129/25", "0.0.0.1/0", "::1/0", "2001:db8::1/32"] {
            assert!(AddressBlocks::default().add(wrong).is_err_and(|hint| hint.contains("mask")), "{wrong}");
        }
    }

    fn proxies(trusted: &[&str]) -> Proxies {
        let mut proxies = Proxies::default();
        for text in trusted {
            proxies.add(text).unwrap();
        }
        proxies
    }

    fn found(peer: &str, lines: &[(&str, &[u8])]) -> String {
        let proxies = proxies(&["10.0.0.0/8", "::1", "fd00::/8", "unix"]);
        let lines = FieldLines::of(lines.iter().copied());
        proxies.client(peer.parse().ok(), &lines.fields()).unwrap().to_string()
    }

    #[test]
    fn the_list_is_read_from_the_right_while_writers_are_trusted() {
        for (value, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
            ("6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80, fd00::1", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            (" , 203.0.113.9 , ", "203.0.113.9"),
            // A member that is no address hides the client of its writer, not the writer.
            ("203.0.113.9, unknown", "10.0.0.1"),
            ("203.0.113.9, unknown, 10.0.0.2", "10.0.0.2"),
            ("", "10.0.0.1"),
            ("203.0.113.9.", "10.0.0.1"),
            ("[203.0.113.9]", "10.0.0.1"),
            ("203.0.113.9:99999", "10.0.0.1"),
            ("\"203.0.113.9\"", "10.0.0.1"),
            ("6.6.6.6\", 203.0.113.9", "10.0.0.1"),
        ] {
            assert_eq!(found("10.0.0.1", &[("X-Forwarded-For", value.as_bytes())]), expected, "{value}");
        }
        assert_eq!(found("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(found("unix", &[("X-Forwarded-For", b"203.0.113.9")]), "203.0.113.9");
        // Several lines are one list.
        let lines: [(&str, &[u8]); 2] = [("x-forwarded-for", b"6.6.6.6, 203.0.113.9"), ("X-Forwarded-For", b"fd00::1")];
        assert_eq!(found("10.0.0.1", &lines), "203.0.113.9");
        assert_eq!(found("10.0.0.1", &[("X-Forwarded-For", b"\xff, 203.0.113.9")]), "203.0.113.9");
        assert_eq!(found("10.0.0.1", &[("X-Forwarded-For", b"203.0.113.9, \xff")]), "10.0.0.1");
    }

    #[test]
    fn an_untrusted_peer_is_the_client() {
        let lines = FieldLines::of([("X-Forwarded-For", &b"203.0.113.9"[..])]);
        let fields = lines.fields();
        let (near, far) = ("10.0.0.1".parse().ok(), "192.0.2.1".parse().ok());
        for (trusted, peer) in
            [(&[][..], near), (&[], None), (&["10.0.0.0/8"], far), (&["10.0.0.0/8"], None), (&["unix"], near)]
        {
            assert_eq!(proxies(trusted).client(peer, &fields), peer, "{trusted:?}");
        }
        assert!(Proxies::default().add("unix:").is_err());
    }

    #[test]
    fn the_standard_field() {
        for (value, expected) in [
            ("for=203.0.113.9", "203.0.113.9"),
            ("For=\"203.0.113.9:80\";proto=http;by=10.0.0.1", "203.0.113.9"),
            ("proto=https; FOR=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=6.6.6.6, for=203.0.113.9, for=10.0.0.2;by=10.0.0.1", "203.0.113.9"),
            ("for=_hidden, for=10.0.0.2", "10.0.0.2"),
            ("for=unknown", "10.0.0.1"),
            ("by=203.0.113.9", "10.0.0.1"),
            ("203.0.113.9", "10.0.0.1"),
            ("for=1.1.1.1;for=203.0.113.9", "10.0.0.1"),
            ("for=", "10.0.0.1"),
            ("for=\"", "10.0.0.1"),
            ("for=2001:db8::1", "2001:db8::1"),
            // The client's open string isn't closed by what the proxy appends.
            ("for=\"6.6.6.6, for=203.0.113.9", "10.0.0.1"),
            ("for=\"6.6.6.6, for=\"[2001:db8::1]\"", "10.0.0.1"),
            ("for=\"\\, for=\"[2001:db8::1]\"", "10.0.0.1"),
            ("x=\", for=6.6.6.6\", for=203.0.113.9", "203.0.113.9"),
        ] {
            assert_eq!(found("10.0.0.1", &[("Forwarded", value.as_bytes())]), expected, "{value}");
        }
    }

    #[test]
    fn https_is_recognised() {
        let proxies = proxies(&["10.0.0.0/8"]);
        for (name, value, expected) in [
            ("X-Forwarded-Proto", "https", true),
            ("x-forwarded-proto", "HTTPS", true),
            // The first member may be the client's own.
            ("X-Forwarded-Proto", "https, http", false),
            ("X-Forwarded-Proto", "http, https", true),
            ("X-Forwarded-Proto", "http", false),
            ("X-Forwarded-Proto", "httpss", false),
            ("X-Forwarded-Proto", "", false),
            ("Forwarded", "for=1.1.1.1;proto=https", true),
            ("Forwarded", "Proto=\"https\";for=1.1.1.1, for=10.0.0.2;proto=http", true),
            ("Forwarded", "for=1.1.1.1, for=10.0.0.2;proto=https", false),
            ("Forwarded", "proto=https;proto=http", false),
            ("Forwarded", "for=\";proto=https\"", false),
            ("X-Forwarded-For", "https", false),
            ("Forwarded", "proto=https, for=1.1.1.1;proto=http", false),
        ] {
            let lines = FieldLines::of([(name, value.as_bytes())]);
            let secure = |peer: &str| proxies.secure(peer.parse().ok(), &lines.fields());
            assert_eq!(secure("10.0.0.1").unwrap_or_default(), expected, "{name}: {value}");
            assert_eq!((secure("192.0.2.1"), secure("unix")), (None, None), "{name}: {value}");
        }
        // The client used TLS with the first of two proxies.
        for (clients, schemes, expected) in [
            ("1.1.1.1, 10.0.0.2", "https, http", true),
            ("6.6.6.6, 1.1.1.1, 10.0.0.2", "https, http, http", false),
            ("1.1.1.1, 10.0.0.2", "http, https", false),
            // One that replaces the field.
            ("1.1.1.1, 10.0.0.2", "https", true),
        ] {
            let lines = [("X-Forwarded-For", clients.as_bytes()), ("X-Forwarded-Proto", schemes.as_bytes())];
            let lines = FieldLines::of(lines);
            let secure = proxies.secure("10.0.0.1".parse().ok(), &lines.fields());
            assert_eq!(secure, Some(expected), "{clients}: {schemes}");
        }
    }

    #[test]
    fn two_fields_that_differ_are_ignored() {
        let both =
            |a: &str, b: &str| found("10.0.0.1", &[("Forwarded", a.as_bytes()), ("X-Forwarded-For", b.as_bytes())]);
        assert_eq!(both("for=203.0.113.9", "203.0.113.9"), "203.0.113.9");
        assert_eq!(both("for=6.6.6.6", "203.0.113.9"), "10.0.0.1");
        assert_eq!(both("for=203.0.113.9", "6.6.6.6"), "10.0.0.1");
        assert_eq!(both("for=unknown", "203.0.113.9"), "10.0.0.1");
    }

    proptest! {
        #[test]
        fn a_client_never_changes_what_the_proxy_appends(
            junk in "[ -~]{0,40}", quoted: bool, standard: bool
        ) {
            let (name, own) = match (standard, quoted) {
                (true, true) => ("Forwarded", "for=\"203.0.113.9:80\""),
                (true, false) => ("Forwarded", "for=203.0.113.9"),
                (false, _) => ("X-Forwarded-For", "203.0.113.9"),
            };
            let line = format!("{junk}, {own}");
            let client = found("10.0.0.1", &[(name, line.as_bytes())]);
            prop_assert!(client == "203.0.113.9" || client == "10.0.0.1", "{line}: {client}");
        }
    }
}
