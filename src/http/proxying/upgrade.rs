//! The change to another protocol on the same connection (RFC 9110 §7.8).
//!
//! A request can offer protocols in Upgrade; a 101 says which was taken. Both fields are for one
//! connection, so a proxy writes its own. It doesn't offer protocols in which HTTP would be spoken
//! again: requests within them would get around its rules and its log.

use crate::http::Fields;
use crate::http::client::RequestKind;
use crate::http::framing::Framing;
use crate::http::head::RequestHead;

/// Protocols that carry HTTP: `h2c`, `HTTP/2.0`, `TLS/1.0` and their like.
const CARRY_HTTP: [&[u8]; 3] = [b"h2c", b"HTTP", b"TLS"];

/// The protocols that a request offers, as an upstream may be offered them. None if there are none,
/// in HTTP/1.0, if the Upgrade field isn't meant for this connection, or if the request has content.
pub fn offered_protocols(head: &RequestHead<'_>) -> Option<Vec<u8>> {
    let is_meant = head.fields.tokens("connection").any(|option| option.eq_ignore_ascii_case(b"upgrade"));
    // The responses to HEAD and CONNECT end in ways of their own.
    let is_usual = RequestKind::of(head.method_name) == RequestKind::Content;
    if head.minor == 0 || head.framing != Framing::None || !is_meant || !is_usual {
        return None;
    }
    let protocols: Vec<&[u8]> = protocols(&head.fields).collect();
    (!protocols.is_empty()).then(|| protocols.join(&b", "[..]))
}

/// Whether a 101 with these fields changes to a protocol, and only to such as the request offers.
pub fn is_offered_change(head: &RequestHead<'_>, response: &Fields<'_>) -> bool {
    let mut taken = response.tokens("upgrade").peekable();
    let is_offered = |taken: &[u8]| protocols(&head.fields).any(|offered| offered.eq_ignore_ascii_case(taken));
    taken.peek().is_some() && taken.all(is_offered)
}

/// The fields of a 101 about the change of the protocol.
pub fn upgrade_fields<'a>(response: Fields<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let protocols = response.all("upgrade").map(|value| (&b"Upgrade"[..], value));
    std::iter::once((&b"Connection"[..], &b"Upgrade"[..])).chain(protocols)
}

fn protocols<'a>(fields: &Fields<'a>) -> impl Iterator<Item = &'a [u8]> {
    fields.tokens("upgrade").filter(|protocol| {
        let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
        !CARRY_HTTP.iter().any(|carrier| carrier.eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{FieldLines, head};

    /// What a request with these lines offers; `version` is the end of its first line.
    fn offered(method: &str, version: &str, lines: &str) -> Option<String> {
        let head = format!("{method} / {version}\r\nHost: a\r\n{lines}\r\n");
        let mut room = FieldLines::default();
        let head = head::parse(head.as_bytes(), &mut room).unwrap().unwrap();
        offered_protocols(&head).map(|offered| String::from_utf8(offered).unwrap())
    }

    #[test]
    fn protocols_are_offered_on_if_they_are_meant_for_this_connection() {
        for (lines, expected) in [
            ("Connection: Upgrade\r\nUpgrade: websocket\r\n", Some("websocket")),
            ("Connection: keep-alive, upgrade\r\nUpgrade: a/1, b\r\nUpgrade: c\r\n", Some("a/1, b, c")),
            ("Connection: close\r\nConnection: UPGRADE\r\nUpgrade: a\r\n", Some("a")),
            ("Upgrade: websocket\r\n", None),
            ("Connection: Upgrade\r\n", None),
            ("Connection: Upgrade\r\nUpgrade: , ,\r\n", None),
            ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n", None),
            ("Connection: Upgrade\r\nUpgrade: tls/1.2, HTTP/2.0, H2C, x\r\n", Some("x")),
            ("Connection: Upgrade\r\nUpgrade: a\r\nContent-Length: 0\r\n", Some("a")),
            ("Connection: Upgrade\r\nUpgrade: a\r\nContent-Length: 1\r\n", None),
            ("Connection: Upgrade\r\nUpgrade: a\r\nTransfer-Encoding: chunked\r\n", None),
        ] {
            assert_eq!(offered("GET", "HTTP/1.1", lines).as_deref(), expected, "{lines}");
        }
        let lines = "Connection: Upgrade\r\nUpgrade: a\r\n";
        assert_eq!(offered("OPTIONS", "HTTP/1.1", lines).as_deref(), Some("a"));
        assert_eq!(offered("GET", "HTTP/1.0", lines), None);
        assert_eq!(offered("HEAD", "HTTP/1.1", lines), None);
    }

    #[test]
    fn only_what_was_offered_may_be_taken() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket, b/2, h2c\r\n\r\n";
        let mut room = FieldLines::default();
        let head = head::parse(head, &mut room).unwrap().unwrap();
        for (lines, expected) in [
            (&["websocket"][..], true),
            (&["WebSocket"], true),
            (&["b/2, websocket"], true),
            (&["b/2", "websocket"], true),
            (&[], false),
            (&[""], false),
            (&["b"], false),
            (&["h2c"], false),
            (&["websocket", "x"], false),
        ] {
            let response = FieldLines::of(lines.iter().map(|value| ("Upgrade", value.as_bytes())));
            assert_eq!(is_offered_change(&head, &response.fields()), expected, "{lines:?}");
        }
    }
}
