//! Lines in each format, parsed strictly: whatever a client sends, a line is one line, and its
//! values are those that were sent.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::http::{FieldLines, head};

/// What a client chooses.
#[derive(Clone, Debug)]
struct Chosen {
    line: Vec<u8>,
    referer: Option<Vec<u8>>,
    agent: Option<Vec<u8>>,
    request_id: Option<Vec<u8>>,
    route: Option<Vec<u8>>,
    user: Option<String>,
}

impl Chosen {
    /// Every byte in every text.
    fn everything() -> Self {
        let all: Vec<u8> = (0..=255).collect();
        let user = all.iter().map(|&byte| char::from(byte)).collect();
        let line = [b"GET /", &all[..], b" HTTP/1.1"].concat();
        let [referer, agent, request_id, route] = [(); 4].map(|()| Some(all.clone()));
        Self { line, referer, agent, request_id, route, user: Some(user) }
    }

    fn any() -> impl Strategy<Value = Self> {
        // Marks of the formats are as likely as all other bytes together.
        let byte = || prop_oneof![any::<u8>(), prop::sample::select(b" \"\\=\n\r\t-[]{}':,x0u\xc3\xa4\xe2".to_vec())];
        let text = move || prop::collection::vec(byte(), 0..40);
        let option = move || prop::option::of(text());
        (text(), option(), option(), option(), option(), prop::option::of(".{0,20}")).prop_map(
            |(line, referer, agent, request_id, route, user)| Self { line, referer, agent, request_id, route, user },
        )
    }

    /// Its line in this format, without the line end.
    fn line(&self, format: LogFormat) -> String {
        let details = Details {
            host: Some(b"Example.ORG:8080"),
            request_id: self.request_id.as_deref(),
            secure: true,
            tls: Some(["TLSv1.3", "TLS_AES_128_GCM_SHA256"]),
            route: self.route.as_deref(),
            cache: Some(CacheResult::Hit),
            upstream: Some(b"http://a:1"),
            phases: Phases {
                wait: Duration::from_millis(250),
                head: Some(Duration::ZERO),
                body: Some(Duration::from_micros(20)),
                answer: Some(Duration::from_millis(3)),
                send: Some(Duration::from_secs(4)),
            },
        };
        let request = RequestSummary {
            line: &self.line,
            client: Some("2001:db8::1".parse().unwrap()),
            user: self.user.as_deref().map(Cow::from),
            referer: self.referer.as_deref(),
            agent: self.agent.as_deref(),
            details: Some(&details),
        };
        line(&request, &response(), format)
    }

    /// The texts by name, as the formats with names have them.
    fn texts(&self) -> BTreeMap<&str, String> {
        let words: Vec<&[u8]> = self.line.split(|&byte| byte == b' ').collect();
        let mut texts = match words[..] {
            [method, target, protocol] if protocol.starts_with(b"HTTP/") => {
                vec![("method", method), ("target", target), ("protocol", protocol)]
            }
            _ => vec![("line", &self.line[..])],
        };
        texts.extend(self.referer.as_deref().map(|referer| ("referer", referer)));
        texts.extend(self.agent.as_deref().map(|agent| ("user_agent", agent)));
        texts.extend(self.request_id.as_deref().map(|id| ("request_id", id)));
        texts.extend(self.route.as_deref().map(|route| ("route", route)));
        texts.extend(self.user.as_deref().map(|user| ("user", user.as_bytes())));
        texts.into_iter().map(|(name, text)| (name, String::from_utf8_lossy(text).into_owned())).collect()
    }
}

fn response() -> ResponseSummary {
    ResponseSummary {
        status: Status(404),
        body: 1024,
        bytes: 1290,
        duration: Duration::from_micros(1_500_001),
        peer_port: Some(50_312),
        local: Some("[::1]:8080".parse().unwrap()),
        request: 2,
        asker: Some(Asker::Origin),
    }
}

fn line(request: &RequestSummary<'_>, response: &ResponseSummary, format: LogFormat) -> String {
    // 2026-11-21T07:15:00.25Z
    let time = Time { unix_seconds: 1_795_245_300, unix_micros: 250_000, ..Time::default() };
    let entry = Entry { request, response, connection: 7, time };
    let mut access = AccessLog::default();
    let mut out = b"before\n".to_vec();
    write_to(&mut out, format, &entry, &mut access);
    let text = String::from_utf8(out).unwrap();
    let line = text.strip_prefix("before\n").unwrap().strip_suffix('\n').unwrap();
    assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line:?}");
    line.to_owned()
}

/// The names and values of a line in a format with names. Numbers are as they are written.
fn parse(line: &str, format: LogFormat) -> BTreeMap<String, String> {
    if format == LogFormat::Logfmt {
        return parse_logfmt(line);
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).expect(line);
    let text = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    object.into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// Parses `name=value name="value"` strictly.
fn parse_logfmt(line: &str) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').expect(line);
        assert!(!name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')), "{name} in {line}");
        let length = if let Some(quoted) = after.strip_prefix('"') {
            let mut escaped = false;
            let end = quoted.bytes().position(|byte| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            });
            end.expect(line) + 2
        } else {
            after.find(' ').unwrap_or(after.len())
        };
        let (value, tail) = after.split_at(length);
        let value = match value.starts_with('"') {
            true => serde_json::from_str(value).expect(line),
            false => {
                assert!(!value.is_empty() && !value.contains(['"', '\\', '=']), "{value} in {line}");
                value.to_owned()
            }
        };
        assert_eq!(pairs.insert(name.to_owned(), value), None, "{name} twice in {line}");
        assert!(tail.is_empty() || tail.len() > 1 && tail.starts_with(' '), "{tail:?} in {line}");
        rest = tail.strip_prefix(' ').unwrap_or_default();
    }
    pairs
}

/// The text that was escaped for a log with quotation marks.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        assert_ne!(byte, b'"', "{text}");
        out.push(match byte {
            b'\\' => match bytes.next().unwrap() {
                b'x' => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                byte @ (b'"' | b'\\') => byte,
                other => panic!("{other} in {text}"),
            },
            _ => byte,
        });
    }
    out
}

/// The words of a line: separated by one space, and quoted or in brackets if they contain spaces.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let end = match rest.as_bytes() {
            [b'"', ..] => {
                let mut escaped = true;
                let end = rest.bytes().position(|byte| {
                    let ends = byte == b'"' && !escaped;
                    escaped = byte == b'\\' && !escaped;
                    ends
                });
                end.expect(line) + 1
            }
            // The time. Later there may be an IPv6 address in brackets.
            [b'[', ..] if words.len() == 3 => rest.find(']').expect(line) + 1,
            _ => rest.find(' ').unwrap_or(rest.len()),
        };
        let (word, tail) = rest.split_at(end);
        words.push(word);
        match tail.strip_prefix(' ') {
            Some(tail) => rest = tail,
            None => {
                assert_eq!(tail, "", "{line}");
                return words;
            }
        }
    }
}

fn check_named(chosen: &Chosen, format: LogFormat) {
    let line = chosen.line(format);
    let mut pairs = parse(&line, format);
    for (name, text) in chosen.texts() {
        assert_eq!(pairs.remove(name).as_ref(), Some(&text), "{name} in {line}");
    }
    let rest: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let is_json = format == LogFormat::Json;
    let number = |json, text| if is_json { json } else { text };
    assert_eq!(
        rest,
        [
            ("body_bytes", "1024"),
            ("bytes", "1290"),
            ("cache", "hit"),
            ("client", "2001:db8::1"),
            ("connection", "7"),
            ("host", "example.org"),
            ("local", "[::1]:8080"),
            ("peer_port", "50312"),
            ("request", "2"),
            ("scheme", "https"),
            ("status", "404"),
            ("time", "2026-11-21T07:15:00.250000Z"),
            ("time_answer", number("0.003", "0.003000")),
            ("time_body", number("0.00002", "0.000020")),
            ("time_head", number("0.0", "0.000000")),
            ("time_send", number("4.0", "4.000000")),
            ("time_to_response", number("0.25", "0.250000")),
            ("tls_cipher", "TLS_AES_128_GCM_SHA256"),
            ("tls_version", "TLSv1.3"),
            ("total_time", "1.500001"),
            ("upstream", "http://a:1"),
        ]
    );
}

fn check_words(chosen: &Chosen, format: LogFormat) {
    let line = chosen.line(format);
    let words = words(&line);
    let quoted = |at: usize| unescape(words[at].strip_prefix('"').unwrap().strip_suffix('"').unwrap());
    assert_eq!((words[0], words[1]), ("2001:db8::1", "-"));
    match chosen.user.as_deref() {
        None => assert_eq!(words[2], "-"),
        Some("" | "-") => assert_eq!(words[2], "\"\""),
        Some(user) => assert_eq!(unescape(words[2]), user.as_bytes()),
    }
    assert_eq!(words[3], "[21/Nov/2026:07:15:00 +0000]");
    assert_eq!(quoted(4), chosen.line);
    assert_eq!(words[5..7], ["404", "1024"]);
    if format == LogFormat::Common {
        assert_eq!(words.len(), 7);
        return;
    }
    assert_eq!(quoted(7), chosen.referer.as_deref().unwrap_or(b"-"));
    assert_eq!(quoted(8), chosen.agent.as_deref().unwrap_or(b"-"));
    assert_eq!(words[9..], ["50312", "[::1]:8080", "1.500001", "1290", "7/2"]);
}

proptest! {
    #[test]
    fn every_line_parses_to_what_was_sent(chosen in Chosen::any()) {
        check_named(&chosen, LogFormat::Json);
        check_named(&chosen, LogFormat::Logfmt);
        check_words(&chosen, LogFormat::Combined);
        check_words(&chosen, LogFormat::Common);
    }
}

#[test]
fn every_byte_can_be_everywhere() {
    let mut chosen = Chosen::everything();
    // Also as the method and as the complete line.
    for line in [chosen.line.clone(), [&[b'"'][..], &(0..=255).collect::<Vec<u8>>(), b" / HTTP/1.0"].concat()] {
        chosen.line = line;
        check_named(&chosen, LogFormat::Json);
        check_named(&chosen, LogFormat::Logfmt);
        check_words(&chosen, LogFormat::Combined);
        check_words(&chosen, LogFormat::Common);
    }
}

#[test]
fn absent_facts_are_absent_names() {
    let request =
        RequestSummary { line: b"nonsense", client: None, user: None, referer: None, agent: None, details: None };
    let response = ResponseSummary { peer_port: None, local: None, body: 0, ..response() };
    let named = |format| line(&request, &response, format);
    assert_eq!(
        named(LogFormat::Logfmt),
        "time=2026-11-21T07:15:00.250000Z connection=7 request=2 line=nonsense status=404 body_bytes=0 bytes=1290 \
         total_time=1.500001"
    );
    assert_eq!(
        named(LogFormat::Json),
        r#"{"time":"2026-11-21T07:15:00.250000Z","connection":7,"request":2,"line":"nonsense","status":404,"#
            .to_owned()
            + r#""body_bytes":0,"bytes":1290,"total_time":1.500001}"#
    );
    assert_eq!(named(LogFormat::Common), r#"unix - - [21/Nov/2026:07:15:00 +0000] "nonsense" 404 -"#);
    assert_eq!(
        named(LogFormat::Combined),
        r#"unix - - [21/Nov/2026:07:15:00 +0000] "nonsense" 404 0 "-" "-" - - 1.500001 1290 7/2"#
    );
}

#[test]
fn the_user_has_a_password_or_else_a_certificate() {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "a b");
    let certificate = parameters.self_signed(&KeyPair::generate().unwrap()).unwrap();
    // bob:x
    let bob = FieldLines::of([("Authorization", &b"Basic Ym9iOng="[..])]);
    let nobody = FieldLines::default();
    for (lines, protected, certificate, expected) in [
        (&bob, true, Some(certificate.der()), Some("bob")),
        (&bob, false, Some(certificate.der()), Some("CN=a b")),
        (&nobody, true, Some(certificate.der()), Some("CN=a b")),
        (&bob, true, None, Some("bob")),
        (&bob, false, None, None),
    ] {
        let certificate = certificate.map(|der| &der[..]);
        let summary =
            RequestSummary::new(b"", lines.fields(), None, protected.then_some(Asker::Origin), certificate, None);
        assert_eq!(summary.user.as_deref(), expected, "{protected}");
    }
    let broken = RequestSummary::new(b"", nobody.fields(), None, None, Some(b"broken"), None);
    assert_eq!(broken.user, None);
}

#[test]
fn the_request_line_is_what_was_sent() {
    for line in ["GET / HTTP/1.1", "GET /a?b HTTP/1.0", "UNHEARD-OF http://x:80/?%20 HTTP/1.1", "OPTIONS * HTTP/1.1"] {
        for before in ["", "\r\n"] {
            let input = format!("{before}{line}\r\nHost: x\r\n\r\n").into_bytes();
            let mut lines = FieldLines::default();
            let head = head::parse(&input, &mut lines).unwrap().unwrap();
            assert_eq!(request_line(&head), line.as_bytes());
        }
    }
}

#[test]
fn the_first_line_of_anything() {
    assert_eq!(first_line(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), b"GET / HTTP/1.1");
    assert_eq!(first_line(b"\x16\x03\x01"), b"\x16\x03\x01");
    assert_eq!(first_line(&[b'a'; 100_000]).len(), 8_300);
}
