//! The head of a request to an upstream.
//!
//! The upstream learns who asked: `Forwarded` (RFC 7239) and the usual `X-Forwarded-*` fields. What
//! a client says in them itself isn't believed: they are replaced, unless the peer is a trusted
//! proxy; then they are continued.

use std::net::IpAddr;

use super::forwards::forwards_left;
use super::hops::{HopFields, is_alike};
use crate::http::head::RequestHead;
use crate::http::response::{field, write_decimal};
use crate::http::target::Form;

/// Who sent a request, for the upstream.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// The address of the peer; none on a unix-domain socket.
    pub peer: Option<IpAddr>,
    /// The peer is a trusted proxy: what it says about its client is passed on.
    pub is_trusted: bool,
    /// The client used TLS.
    pub is_secure: bool,
}

/// The Host field for an upstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostChoice<'a> {
    /// That of the client.
    Kept,
    /// That of the upstream.
    Upstream(&'a [u8]),
}

/// A request as it is passed on.
#[derive(Clone, Copy)]
pub struct ForwardedRequest<'a> {
    /// The head as it was received.
    pub head: &'a RequestHead<'a>,
    /// The path and query for the upstream, encoded. For OPTIONS without a path it is `*` (RFC 9110
    /// §9.3.7).
    pub target: &'a [u8],
    /// The Host field.
    pub host: HostChoice<'a>,
    /// Who sent it, if the upstream is to learn that. Else what the client says itself is passed on.
    pub sender: Option<Sender>,
    /// Which other fields stay behind, by their names.
    pub is_left_out: &'a dyn Fn(&[u8]) -> bool,
    /// Field lines in addition.
    pub further: &'a [u8],
    /// The name of this proxy in Via.
    pub pseudonym: &'a str,
    /// The length of the content in bytes, or that it is chunked; none without content.
    pub length: Option<Option<u64>>,
    /// The protocol that the client wants to change to (RFC 9110 §7.8).
    pub upgrade: Option<&'a [u8]>,
}

impl ForwardedRequest<'_> {
    /// Writes the head, its empty line included.
    pub fn write(&self, out: &mut Vec<u8>) {
        let head = self.head;
        out.extend_from_slice(head.method_name.as_bytes());
        out.push(b' ');
        out.extend_from_slice(if head.target.form == Form::Asterisk { b"*" } else { self.target });
        out.extend_from_slice(b" HTTP/1.1\r\n");
        match self.host {
            HostChoice::Kept => field(out, "Host", head.host().unwrap_or_default()),
            HostChoice::Upstream(host) => field(out, "Host", host),
        }
        let left = forwards_left(head).map(|left| left.saturating_sub(1).to_string());
        for (name, value) in HopFields::of(head.fields).others() {
            if !is_written_anew(name, self.sender.is_some()) && !(self.is_left_out)(name) {
                out.extend_from_slice(name);
                out.extend_from_slice(b": ");
                out.extend_from_slice(match &left {
                    Some(left) if is_alike(name, b"Max-Forwards") => left.as_bytes(),
                    _ => value,
                });
                out.extend_from_slice(b"\r\n");
            }
        }
        self.write_way(out);
        out.extend_from_slice(self.further);
        match self.length {
            // Some servers refuse a POST that doesn't tell that it is empty (RFC 9110 §8.6).
            None if head.fields.get("Content-Length").is_some() => field(out, "Content-Length", b"0"),
            None => {}
            Some(None) => field(out, "Transfer-Encoding", b"chunked"),
            Some(Some(bytes)) => {
                out.extend_from_slice(b"Content-Length: ");
                write_decimal(out, bytes);
                out.extend_from_slice(b"\r\n");
            }
        }
        if let Some(protocol) = self.upgrade {
            field(out, "Connection", b"Upgrade");
            field(out, "Upgrade", protocol);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The way of the request so far: Via, Forwarded and the fields that are older than it.
    fn write_way(&self, out: &mut Vec<u8>) {
        let fields = &self.head.fields;
        let continued = |out: &mut Vec<u8>, name: &str, is_believed: bool| {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            for value in fields.all(name).filter(|_| is_believed) {
                out.extend_from_slice(value);
                out.extend_from_slice(b", ");
            }
        };
        continued(out, "Via", true);
        out.extend_from_slice(if self.head.minor == 0 { b"1.0 " } else { b"1.1 " });
        out.extend_from_slice(self.pseudonym.as_bytes());
        let Some(sender) = &self.sender else {
            out.extend_from_slice(b"\r\n");
            return;
        };
        let trusted = sender.is_trusted;
        let scheme = if sender.is_secure { "https" } else { "http" };
        let host = self.head.host().unwrap_or_default();
        let address = sender.peer.map(|peer| peer.to_canonical());
        let (before, after) = if address.is_some_and(|address| address.is_ipv6()) { ("\"[", "]\"") } else { ("", "") };
        out.extend_from_slice(b"\r\n");
        continued(out, "Forwarded", trusted);
        out.extend_from_slice(b"for=");
        out.extend_from_slice(before.as_bytes());
        write_address(out, address);
        out.extend_from_slice(after.as_bytes());
        out.extend_from_slice(b";proto=");
        out.extend_from_slice(scheme.as_bytes());
        if !host.is_empty() {
            out.extend_from_slice(b";host=\"");
            // A valid host has neither quotation marks nor backslashes.
            out.extend_from_slice(host);
            out.push(b'"');
        }
        out.extend_from_slice(b"\r\n");
        continued(out, "X-Forwarded-For", trusted);
        write_address(out, address);
        out.extend_from_slice(b"\r\n");
        // A proxy in front knows what the client used.
        for (name, own) in [("X-Forwarded-Proto", scheme.as_bytes()), ("X-Forwarded-Host", host)] {
            let said = fields.get(name).filter(|value| trusted && !value.is_empty());
            let value = said.unwrap_or(own);
            if !value.is_empty() {
                field(out, name, value);
            }
        }
    }
}

/// Writes the address of a peer, or `unknown`.
fn write_address(out: &mut Vec<u8>, address: Option<IpAddr>) {
    match address {
        // Each request has one, twice. The formatter would take half of the time of its head.
        Some(IpAddr::V4(address)) => {
            for (number, byte) in address.octets().into_iter().enumerate() {
                if number > 0 {
                    out.push(b'.');
                }
                write_decimal(out, byte.into());
            }
        }
        Some(IpAddr::V6(address)) => out.extend_from_slice(address.to_string().as_bytes()),
        None => out.extend_from_slice(b"unknown"),
    }
}

/// Whether this server writes a field itself, so that the client's own isn't passed on; some only if the
/// upstream is told who sent the request.
fn is_written_anew(name: &[u8], tells_sender: bool) -> bool {
    let always: [&[u8]; 2] = [b"Host", b"Via"];
    let of_sender: [&[u8]; 5] = [
        b"Forwarded",
        b"X-Forwarded-For",
        b"X-Forwarded-Proto",
        b"X-Forwarded-Host",
        // It is a name for the client's address in other servers.
        b"X-Real-IP",
    ];
    let has = |names: &[&[u8]]| names.iter().any(|own| is_alike(name, own));
    has(&always) || (tells_sender && has(&of_sender))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;
    use crate::http::head::parse;

    const SENDER: Sender =
        Sender { peer: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1))), is_trusted: false, is_secure: false };

    fn written(head: &str, adjust: impl FnOnce(&mut ForwardedRequest<'_>)) -> String {
        let mut lines = FieldLines::default();
        let head = parse(head.as_bytes(), &mut lines).unwrap().unwrap();
        let target = head.raw_target;
        let mut request = ForwardedRequest {
            head: &head,
            target,
            host: HostChoice::Kept,
            sender: Some(SENDER),
            is_left_out: &|_| false,
            further: b"",
            pseudonym: "miod",
            length: None,
            upgrade: None,
        };
        adjust(&mut request);
        let mut out = Vec::new();
        request.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_head_is_written_anew() {
        let head = "POST /a?b=c HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\nConnection: close, x-secret\r\n\
                    X-Secret: 1\r\nContent-Length: 3\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
                    X-Real-IP: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nTE: trailers\r\n\
                    X_Forwarded_For: 6.6.6.6\r\nx-real_ip: 6.6.6.6\r\nContent_Length: 7\r\n\r\n";
        let expected = "POST /a?b=c HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\nVia: 1.1 miod\r\n\
                        Forwarded: for=192.0.2.1;proto=http;host=\"example.org\"\r\nX-Forwarded-For: 192.0.2.1\r\n\
                        X-Forwarded-Proto: http\r\nX-Forwarded-Host: example.org\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(written(head, |request| request.length = Some(Some(3))), expected);
    }

    #[test]
    fn a_trusted_proxy_is_continued() {
        let head = "GET / HTTP/1.1\r\nHost: x\r\nVia: 1.0 a\r\nVia: 1.1 b\r\nX-Forwarded-For: 203.0.113.9\r\n\
                    Forwarded: for=203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: public\r\n\r\n";
        let text = written(head, |request| request.sender = Some(Sender { is_trusted: true, ..SENDER }));
        for line in [
            "\r\nVia: 1.0 a, 1.1 b, 1.1 miod\r\n",
            "\r\nForwarded: for=203.0.113.9, for=192.0.2.1;proto=http;host=\"x\"\r\n",
            "\r\nX-Forwarded-For: 203.0.113.9, 192.0.2.1\r\n",
            "\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: public\r\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn a_forward_proxy_tells_nothing_about_its_client() {
        let head = "GET http://a/ HTTP/1.1\r\nHost: x\r\nCookie: a\r\nX-Forwarded-For: 6.6.6.6\r\nVia: 1.1 b\r\n\r\n";
        let text = written(head, |request| {
            (request.sender, request.target, request.host) = (None, b"/", HostChoice::Upstream(b"a"));
            request.is_left_out = &|name| name.eq_ignore_ascii_case(b"cookie");
            request.further = b"If-None-Match: \"a\"\r\n";
        });
        let expected = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nVia: 1.1 b, 1.1 miod\r\n\
                        If-None-Match: \"a\"\r\n\r\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn each_part_of_it_can_be_another_one() {
        let text = written("GET http://other:81/p HTTP/1.0\r\n\r\n", |request| {
            request.target = b"/p";
            request.host = HostChoice::Upstream(b"app.internal:3000");
            request.sender = Some(Sender { peer: Some("::1".parse().unwrap()), is_secure: true, ..SENDER });
            request.length = Some(None);
            request.upgrade = Some(b"websocket");
        });
        let expected = "GET /p HTTP/1.1\r\nHost: app.internal:3000\r\nVia: 1.0 miod\r\n\
                        Forwarded: for=\"[::1]\";proto=https;host=\"other:81\"\r\nX-Forwarded-For: ::1\r\n\
                        X-Forwarded-Proto: https\r\nX-Forwarded-Host: other:81\r\nTransfer-Encoding: chunked\r\n\
                        Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(text, expected);
        let empty = written("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 00\r\n\r\n", |_| ());
        assert!(empty.ends_with("\r\nContent-Length: 0\r\n\r\n"), "{empty}");
        let text = written("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", |request| {
            request.target = b"/";
            request.sender = Some(Sender { peer: None, ..SENDER });
        });
        assert!(text.starts_with("OPTIONS * HTTP/1.1\r\n") && text.contains("for=unknown;"), "{text}");
        let mapped = written("GET / HTTP/1.1\r\nHost: x\r\n\r\n", |request| {
            request.sender = Some(Sender { peer: Some("::ffff:192.0.2.7".parse().unwrap()), ..SENDER });
        });
        assert!(mapped.contains("X-Forwarded-For: 192.0.2.7\r\n"), "{mapped}");
    }

    #[test]
    fn what_is_written_is_one_request() {
        // Whatever Connection names, the next server sees the same request.
        for named in ["host", "content-length", "transfer-encoding", "via", "forwarded", "cookie", "x", "close, host"] {
            let head = format!(
                "PUT /a HTTP/1.1\r\nHost: x\r\nConnection: {named}\r\nTransfer-Encoding: chunked\r\nCookie: a\r\nX: y\r\n\r\n"
            );
            let text = written(&head, |request| request.length = Some(None));
            let mut lines = FieldLines::default();
            let again = parse(text.as_bytes(), &mut lines).unwrap().unwrap();
            assert_eq!((again.length, again.host(), again.raw_target), (text.len(), Some(&b"x"[..]), &b"/a"[..]));
            assert_eq!(again.framing, crate::http::framing::Framing::Chunked);
            assert_eq!(again.fields.all("host").count(), 1);
        }
    }
}
