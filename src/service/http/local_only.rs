//! A host that answers only to this machine: the demonstration, whose password everybody
//! knows, and the service for operators.
//!
//! That no other machine can connect is known from its listeners. Two ways around that are
//! left. A proxy on this machine passes on requests of others; it shows by its fields, or
//! because it is trusted. (One that adds no field can't be told from a client.) And a page of
//! another site can have the name of that site lead to this machine (DNS rebinding); then
//! the Host is not a local name.

use std::net::{IpAddr, SocketAddr};

use crate::http::forwarded::Proxies;
use crate::http::head::RequestHead;
use crate::http::{Reject, Status, origin};

/// A rule for a host that answers only to this machine.
pub struct LocalOnly {
    /// What a client is told whose request comes through a proxy.
    pub through_proxy: &'static str,
    /// What a client is told that uses another name.
    pub other_name: &'static str,
    /// The rule is for unix-domain sockets, too.
    pub sockets_too: bool,
}

/// The rule of the demonstration.
pub static DEMONSTRATION: LocalOnly = LocalOnly {
    through_proxy: "the demonstration does not answer requests that come through a proxy; to serve applications to \
                    others, start miod with --apps",
    other_name: "the demonstration answers only to localhost and loopback addresses; to serve applications under \
                 another name, start miod with --apps",
    sockets_too: true,
};

impl LocalOnly {
    /// Whether this machine sent a request, under a local name.
    ///
    /// # Errors
    /// 403 if a proxy passes it on; 421 if it is for another name (RFC 9110 §15.5.20).
    pub(super) fn check(
        &self,
        head: &RequestHead<'_>,
        peer: Option<SocketAddr>,
        proxies: &Proxies,
    ) -> Result<(), Reject> {
        if peer.is_none() && !self.sockets_too {
            return Ok(());
        }
        let by_proxy = head.fields.iter().any(|(name, _)| is_added_by_proxies(name));
        if by_proxy || proxies.trust(peer.map(|peer| peer.ip())) {
            return Err(Reject::new(Status::FORBIDDEN, self.through_proxy));
        }
        // A browser always sends it.
        let is_local = head.host().is_none_or(|host| origin::is_local_name(host, IpAddr::is_loopback));
        if is_local { Ok(()) } else { Err(Reject::new(Status::MISDIRECTED_REQUEST, self.other_name)) }
    }
}

fn is_added_by_proxies(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"x-forwarded-";
    let names: [&[u8]; 3] = [b"forwarded", b"via", b"x-real-ip"];
    let has_prefix = name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    has_prefix || names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;
    use crate::http::head::parse;

    fn status(target: &str, lines: &str, proxies: &Proxies) -> u16 {
        let head = format!("GET {target} HTTP/1.0\r\n{lines}\r\n");
        let mut fields = FieldLines::default();
        let head = parse(head.as_bytes(), &mut fields).unwrap().unwrap();
        DEMONSTRATION
            .check(&head, Some(([127, 0, 0, 1], 1).into()), proxies)
            .map_or_else(|reject| reject.status.0, |()| 200)
    }

    #[test]
    fn only_local_names_are_answered() {
        for (host, expected) in [
            ("localhost", 200),
            ("LocalHost:8080", 200),
            ("127.0.0.1:8080", 200),
            ("127.9.9.9", 200),
            ("[::1]:8080", 200),
            ("example.org", 421),
            ("localhost.example.org", 421),
            ("127.0.0.1.example.org:8080", 421),
            ("192.0.2.1", 421),
            ("[2001:db8::1]:80", 421),
            ("a", 421),
        ] {
            assert_eq!(status("/", &format!("Host: {host}\r\n"), &Proxies::default()), expected, "{host}");
        }
        assert_eq!(status("/", "", &Proxies::default()), 200, "without Host it is no browser");
        let target = "http://example.org/";
        assert_eq!(status(target, "Host: example.org\r\n", &Proxies::default()), 421);
    }

    #[test]
    fn what_comes_through_a_proxy_is_refused() {
        for line in [
            "Forwarded: for=192.0.2.1",
            "forwarded: ",
            "X-Forwarded-For: 192.0.2.1",
            "x-forwarded-proto: https",
            "X-FORWARDED-HOST: a",
            "X-Real-IP: 192.0.2.1",
            "Via: 1.1 proxy",
        ] {
            assert_eq!(status("/", &format!("Host: localhost\r\n{line}\r\n"), &Proxies::default()), 403, "{line}");
        }
        for line in ["X-Forwarded: a", "Viaduct: a", "X: y"] {
            assert_eq!(status("/", &format!("Host: localhost\r\n{line}\r\n"), &Proxies::default()), 200, "{line}");
        }
        let mut proxies = Proxies::default();
        proxies.add("127.0.0.0/8").unwrap();
        assert_eq!(status("/", "Host: localhost\r\n", &proxies), 403, "the peer is a trusted proxy");
    }
}
