//! What protects this connection, and what everybody on the way sees of it: the same page over
//! https and over http, to compare.

use std::fmt::Write;

use askama::Template;
use serde::Serialize;

use super::facts::{self, Fact, Field, Value, printable};
use super::format::Format;
use crate::app::page::{self, Foot};
use crate::app::{Answer, App, Call, Request, Response};
use crate::http::{Reject, Status};

pub(crate) struct Tls;

impl App for Tls {
    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        if !matches!(request.path, b"" | b"/") {
            return Answer::Refused(Reject::new(Status::NOT_FOUND, "there is no such page"));
        }
        let page = TlsPage::of(request, call);
        let response = Response::new(Status::OK).field("Vary", "Accept").no_store();
        Answer::now(match Format::of(&request.head.fields) {
            Format::Text => response.text(page.text()),
            Format::Html => page::page(response, &page),
            Format::Json => response.json(&page),
        })
    }
}

#[derive(Template, Serialize)]
#[template(path = "tls.html", config = "src/askama.toml")]
struct TlsPage {
    /// The connection, in a sentence.
    about: &'static str,
    #[serde(serialize_with = "connection")]
    connection: Vec<Fact>,
    /// What everybody on the way reads: of plain text the request itself, line by line.
    everybody_reads: Vec<String>,
    /// This page with the other scheme.
    other: Option<String>,
    filters: Vec<Filter>,
    #[serde(skip)]
    tls: bool,
    #[serde(skip)]
    foot: Foot,
}

fn connection<S: serde::Serializer>(facts: &[Fact], serializer: S) -> Result<S::Ok, S::Error> {
    facts::object(facts, serializer)
}

/// A display filter of Wireshark, and the packets that it shows.
#[derive(Serialize)]
struct Filter {
    filter: String,
    shows: &'static str,
}

impl TlsPage {
    fn of(request: &Request<'_>, call: &Call<'_>) -> Self {
        let tls = call.tls().is_some();
        let everybody_reads = if tls { read_of_tls(call) } else { read_of_plain_text(request) };
        Self {
            about: match (tls, call.secure) {
                (true, true) => "TLS protects this connection.",
                (false, false) => "Nothing protects this connection.",
                (true, false) => {
                    "TLS protects the connection from a proxy to this server. Nothing protects yours to the proxy."
                }
                (false, true) => {
                    "TLS protects your connection to a proxy. Nothing protects the one from there to this server."
                }
            },
            connection: facts(call),
            everybody_reads,
            other: call.ports.url(request, !call.secure),
            filters: filters(call),
            tls,
            foot: Foot::of(call),
        }
    }

    fn text(&self) -> String {
        let mut out = format!("{}\n\n{}\nEverybody on the way can read:\n", self.about, facts::lines(&self.connection));
        // Writing to a String can't fail.
        for line in &self.everybody_reads {
            let _ = writeln!(out, "  {line}");
        }
        out += "\nIn Wireshark:\n";
        for Filter { filter, shows } in &self.filters {
            let _ = writeln!(out, "  {filter}\n      {shows}");
        }
        let _ = match &self.other {
            Some(url) => writeln!(out, "\nThe same page, to compare: {url}"),
            None => writeln!(out, "\nTo compare it with HTTPS: miod --tls auto"),
        };
        out
    }
}

fn facts(call: &Call<'_>) -> Vec<Fact> {
    let text = |text: &str| if text.is_empty() { Value::Absent } else { Value::Text(text.to_owned()) };
    let nothing = &Default::default();
    let tls = call.tls().unwrap_or(nothing);
    vec![
        ("version", text(tls.version)),
        ("cipher suite", text(tls.cipher_suite)),
        ("key exchange group", text(tls.group)),
        ("server name (SNI)", tls.server_name.as_deref().map_or(Value::Absent, |name| Value::bytes(name.as_bytes()))),
        ("protocol (ALPN)", text(tls.alpn.unwrap_or_default())),
        ("resumed", Value::Flag(tls.resumed)),
        ("client certificate", call.certificate_subject().map_or(Value::Absent, Value::Text)),
        ("client", Value::address(call.ends.peer())),
        ("server", Value::address(call.ends.local())),
    ]
}

/// Everything: the head of the request as it was sent.
fn read_of_plain_text(request: &Request<'_>) -> Vec<String> {
    let head = request.head;
    let line = format!("{} {} HTTP/1.{}", head.method_name, printable(head.raw_target), head.minor);
    let fields = Field::all(request).into_iter().map(|Field { name, value }| format!("{name}: {value}"));
    std::iter::once(line).chain(fields).collect()
}

/// What TLS doesn't hide.
fn read_of_tls(call: &Call<'_>) -> Vec<String> {
    let Some(tls) = call.tls() else { return Vec::new() };
    let mut seen = vec!["the addresses and ports of both sides".to_owned()];
    if let Some(name) = &tls.server_name {
        seen.push(format!("the name of the server, {}", printable(name.as_bytes())));
    }
    seen.push(format!("the version {} and the cipher suite {}", tls.version, tls.cipher_suite));
    if tls.version == "TLSv1.2" && !tls.resumed {
        seen.push("the certificate of the server".to_owned());
        if let Some(subject) = call.certificate_subject() {
            seen.push(format!("the certificate of the client, {subject}"));
        }
    }
    seen.push("when something is sent, and about how many bytes".to_owned());
    seen
}

fn filters(call: &Call<'_>) -> Vec<Filter> {
    let (Some(client), Some(server)) = (call.ends.peer(), call.ends.local()) else { return Vec::new() };
    let ports = format!("tcp.port == {} && tcp.port == {}", server.port(), client.port());
    let also = |filter: &str, shows| Filter { filter: format!("{filter} && {ports}"), shows };
    let all = Filter { filter: ports.clone(), shows: "all packets of this connection" };
    if call.tls().is_some() {
        vec![
            all,
            also("tls", "the records of TLS; what is in them is encrypted"),
            also("tls.handshake.type == 1", "the ClientHello: what the client offers, and the name of the server"),
            also("http", "nothing, until Wireshark has the secrets of --tls-keylog: then the request and the response"),
        ]
    } else {
        vec![
            all,
            also("http", "the request and the response, which anybody can read"),
            also("tls", "nothing: there is no TLS"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Ports;
    use crate::app::testing::{Visit, field, text};
    use crate::reactor::{Security, TlsFacts};

    fn tls12(certificate: Option<&[u8]>) -> TlsFacts {
        TlsFacts {
            version: "TLSv1.2",
            cipher_suite: "TLS_X",
            group: "x25519",
            server_name: Some("example.org".into()),
            alpn: Some("http/1.1"),
            resumed: false,
            certificate: certificate.map(Box::from),
        }
    }

    fn show(security: Security<'_>, secure: bool, fields: &[&str]) -> Response {
        let ports = Ports { http: Some(80), https: Some(8443) };
        Visit { security, secure, ports, ..Visit::default() }.ask(&mut Tls, "/lab/x", fields)
    }

    #[test]
    fn plain_text_hides_nothing() {
        let response = show(Security::Plain, false, &["Cookie: a=<b>", "X: \u{9b}"]);
        assert_eq!(field(&response, "Cache-Control"), Some("no-store"));
        assert_eq!(
            text(&response),
            "Nothing protects this connection.\n\n\
             version: none\ncipher suite: none\nkey exchange group: none\nserver name (SNI): none\nprotocol (ALPN): none\n\
             resumed: no\nclient certificate: none\nclient: 192.0.2.7:4711\nserver: 192.0.2.1:80\n\n\
             Everybody on the way can read:\n  GET /lab/x HTTP/1.1\n  Cookie: a=<b>\n  X: \u{fffd}\n  \
             Host: example.org\n\n\
             In Wireshark:\n  tcp.port == 80 && tcp.port == 4711\n      all packets of this connection\n  \
             http && tcp.port == 80 && tcp.port == 4711\n      the request and the response, which anybody can read\n  \
             tls && tcp.port == 80 && tcp.port == 4711\n      nothing: there is no TLS\n\n\
             The same page, to compare: https://example.org:8443/lab/x\n"
        );
        let page = show(Security::Plain, false, &["Accept: text/html", "Cookie: a=<b>"]);
        let page = text(&page);
        assert!(page.contains("Cookie: a=&#60;b&#62;") && !page.contains("<b>"), "{page}");
        assert!(page.contains("<a href=\"https://example.org:8443/lab/x\">"), "{page}");
    }

    #[test]
    fn the_facts_of_a_handshake_are_shown() {
        let certificate = {
            use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
            let mut parameters = CertificateParams::default();
            parameters.distinguished_name = DistinguishedName::new();
            parameters.distinguished_name.push(DnType::CommonName, "a,b");
            parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
        };
        let facts = tls12(Some(&certificate));
        let shown = show(Security::Tls(Some(&facts)), true, &[]);
        for part in [
            "TLS protects this connection.\n\nversion: TLSv1.2\ncipher suite: TLS_X\nkey exchange group: x25519\n",
            "server name (SNI): example.org\nprotocol (ALPN): http/1.1\nresumed: no\nclient certificate: CN=a\\,b\n",
            "  the certificate of the client, CN=a\\,b\n",
            "  tls.handshake.type == 1 && tcp.port == 80 && tcp.port == 4711\n",
            "to compare: http://example.org/lab/x\n",
        ] {
            assert!(text(&shown).contains(part), "{part}: {}", text(&shown));
        }
        assert!(!text(&shown).contains("Host:"));
        let json = show(Security::Tls(Some(&facts)), true, &["Accept: application/json"]);
        for part in [
            "{\"about\":\"TLS protects this connection.\",\"connection\":{\"version\":\"TLSv1.2\",",
            "\"key_exchange_group\":\"x25519\",\"server_name\":\"example.org\",\"protocol\":\"http/1.1\",",
            "\"resumed\":false,\"client_certificate\":\"CN=a\\\\,b\",",
            "\"other\":\"http://example.org/lab/x\",\"filters\":[{\"filter\":\"tcp.port",
        ] {
            assert!(text(&json).contains(part), "{part}: {}", text(&json));
        }
        // TLS 1.3 hides the certificates.
        let facts = TlsFacts { version: "TLSv1.3", ..facts };
        let shown = show(Security::Tls(Some(&facts)), true, &[]);
        assert!(!text(&shown).contains("the certificate of"), "{}", text(&shown));
    }

    #[test]
    fn behind_a_proxy_it_says_which_connection_is_protected() {
        let facts = tls12(None);
        for (security, secure, about) in [
            (Security::Plain, true, "TLS protects your connection to a proxy."),
            (Security::Tls(Some(&facts)), false, "TLS protects the connection from a proxy to this server."),
        ] {
            let shown = show(security, secure, &[]);
            assert!(text(&shown).starts_with(about), "{}", text(&shown));
        }
        let nowhere = Visit::default().ask(&mut Tls, "/lab/x", &[]);
        assert!(text(&nowhere).ends_with("miod --tls auto\n"), "{}", text(&nowhere));
    }
}
