//! Whether the content of a response is compressed on its way, and what its fields say then.
//!
//! ```text
//! status, fields, length ─▶ Traits ─┐
//! rules of the path ────────────────┼─▶ decide ─▶ Decision ─▶ rewrite ─▶ fields for the client
//! codings that it accepts ──────────┘
//! ```
//!
//! The same resource then has two representations (RFC 9110 §8.8.3.3), made of one response:
//!
//! - `Vary: Accept-Encoding` is in both, also in a 304, so that no cache mixes them up.
//! - The entity-tag of the compressed one is weak: it isn't the same bytes. A 304 has the tag that
//!   the client has, or else caches wouldn't find what it is about (RFC 9111 §4.3.4).
//! - Fields about the bytes of the other one are left out: Accept-Ranges, digests. They are computed
//!   over the content as it is coded (RFC 9530 §3).
//!
//! What is coded already, is a part of something, or must not be changed passes as it is.

use std::borrow::Cow;

use super::compressible::{CompressionRules, SMALLEST};
use super::content_coding::{CodingChoice, ContentCoding};
use super::head::RequestHead;
use super::response::Length;
use super::{Status, cache_control, conditional};

/// The line that says that a response depends on Accept-Encoding.
pub const VARY: &[u8] = b"Vary: Accept-Encoding\r\n";

/// What decides about a response, apart from the request.
#[derive(Clone, Copy, Debug)]
pub struct Traits<'a> {
    status: Status,
    content_type: Option<&'a [u8]>,
    kind: Kind,
    /// How it varies already.
    vary: Vary,
}

/// What can be done with the content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// It may be compressed.
    Plain,
    /// It may not be changed.
    Fixed,
    /// There is none, or it has a coding, which its maker has chosen.
    Settled,
    /// The fields are those of other content, which may be compressed: of the whole (206), or of what
    /// the client has (304).
    Other,
}

impl Kind {
    /// That of a response with this status.
    fn answered(self, status: Status) -> Self {
        match (self, status) {
            (Self::Plain, Status::NOT_MODIFIED | Status::PARTIAL_CONTENT) => Self::Other,
            (Self::Plain, Status::RESET_CONTENT) => Self::Settled,
            (Self::Plain, _) if !status.allows_content() => Self::Settled,
            (kind, _) => kind,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Vary {
    Absent,
    /// By other fields.
    Otherwise,
    /// By Accept-Encoding, or by everything.
    ByCoding,
}

impl<'a> Traits<'a> {
    /// Those of a response with this status and these fields.
    pub fn of(status: Status, fields: impl IntoIterator<Item = (impl AsRef<[u8]>, &'a [u8])>) -> Self {
        let kind = Kind::Plain.answered(status);
        let mut this = Self { status, content_type: None, kind, vary: Vary::Absent };
        for (name, value) in fields {
            this.add(name.as_ref(), value);
        }
        this
    }

    /// The same, of a response whose content must not be compressed.
    #[must_use]
    pub fn fixed(self) -> Self {
        let kind = match self.kind {
            Kind::Plain | Kind::Fixed => Kind::Fixed,
            Kind::Settled | Kind::Other => Kind::Settled,
        };
        Self { kind, ..self }
    }

    /// Those of a response with another status, which was made of this one.
    #[must_use]
    pub fn answered(self, status: Status) -> Self {
        // Without a type it is never compressed.
        let kind = if self.content_type.is_none() { Kind::Settled } else { self.kind.answered(status) };
        Self { status, kind, ..self }
    }

    /// The length of the whole content, of a response with this one: it isn't known of a part, nor of a
    /// 304.
    pub fn whole(&self, length: Length) -> Length {
        if self.kind == Kind::Other { Length::Unknown } else { length }
    }

    /// The value of Content-Type.
    pub fn content_type(&self) -> Option<&'a [u8]> {
        self.content_type
    }

    /// The same with a Content-Type that lives elsewhere.
    pub fn with_content_type(self, content_type: Option<&[u8]>) -> Traits<'_> {
        Traits { content_type, ..self }
    }

    /// Whether it is an ordinary response to a request that was right.
    pub fn is_success(&self) -> bool {
        self.status.0 / 100 == 2
    }

    fn add(&mut self, name: &[u8], value: &'a [u8]) {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            4 if is("Vary") => {
                let is_by_coding = self.vary == Vary::ByCoding || varies_by_coding(value);
                self.vary = if is_by_coding { Vary::ByCoding } else { Vary::Otherwise };
            }
            12 if is("Content-Type") => self.content_type = Some(value),
            13 if is("Content-Range") && self.kind == Kind::Plain => self.kind = Kind::Fixed,
            13 if is("Cache-Control") && forbids_transforms(value) => *self = self.fixed(),
            16 if is("Content-Encoding") && tokens(value).any(|coding| !coding.eq_ignore_ascii_case(b"identity")) => {
                self.kind = Kind::Settled;
            }
            _ => {}
        }
    }
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Whether a value of Vary says that the response depends on Accept-Encoding: by its name, or as on
/// everything.
pub fn varies_by_coding(vary: &[u8]) -> bool {
    tokens(vary).any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"))
}

/// Whether a value of Cache-Control says that nobody on the way may change the content (RFC 9111
/// §5.2.2.6).
pub fn forbids_transforms(cache_control: &[u8]) -> bool {
    cache_control::directives(cache_control).any(|directive| directive.is("no-transform"))
}

/// How a response is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The coding of its content.
    pub choice: CodingChoice,
    /// The choice depended on Accept-Encoding.
    pub varies: bool,
}

impl Decision {
    const AS_IT_IS: Self = Self { choice: CodingChoice::Identity, varies: false };

    /// What it does to a head.
    pub fn change(self, traits: &Traits<'_>) -> Change {
        match (self.coding(), self.varies, traits.vary) {
            (Some(_), ..) | (None, true, Vary::Otherwise) => Change::Fields,
            (None, true, Vary::Absent) => Change::Line(VARY),
            (None, true, Vary::ByCoding) | (None, false, _) => Change::None,
        }
    }

    /// The coding that it gets.
    pub fn coding(self) -> Option<ContentCoding> {
        if let CodingChoice::Coded(coding) = self.choice { Some(coding) } else { None }
    }
}

/// What a decision does to the head of a response that isn't a 304.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing.
    None,
    /// There is this line in addition.
    Line(&'static [u8]),
    /// The fields change; see [`rewrite`].
    Fields,
}

/// Decides about a response to a request. The length is that of the whole content, also if only a part
/// of it is sent, or nothing. Where the client refuses content as it is, type and length
/// don't count.
pub fn decide(rules: &CompressionRules, request: &RequestHead<'_>, traits: &Traits<'_>, length: Length) -> Decision {
    let length = if let Length::Known(bytes) = length { Some(bytes) } else { None };
    let accepts_identity = request.codings.accepts_identity();
    let is_worth = match traits.kind {
        Kind::Plain => rules.is_worth(traits.content_type, length),
        Kind::Other => {
            // What isn't known of that content counts as compressible.
            let is_type = traits.content_type.is_none_or(|content_type| rules.types.contains(content_type));
            let is_worth = is_type && length.is_none_or(|bytes| bytes >= SMALLEST);
            let varies = (is_worth || !accepts_identity) && !rules.codings.is_empty();
            return Decision { varies, ..Decision::AS_IT_IS };
        }
        Kind::Settled => return Decision::AS_IT_IS,
        Kind::Fixed if accepts_identity => return Decision::AS_IT_IS,
        Kind::Fixed => return Decision { choice: CodingChoice::NotAcceptable, varies: false },
    };
    if !is_worth && accepts_identity {
        return Decision::AS_IT_IS;
    }
    let choice = match request.codings.choose(rules.codings) {
        CodingChoice::Coded(_) if request.fields.all("cache-control").any(forbids_transforms) => CodingChoice::Identity,
        choice => choice,
    };
    Decision { choice, varies: true }
}

/// The fields of a response with these traits, as they are sent after a decision.
pub fn rewrite<'f>(
    decision: Decision,
    traits: Traits<'_>,
    request: &'f RequestHead<'_>,
    fields: impl Iterator<Item = (&'f [u8], Cow<'f, [u8]>)>,
) -> impl Iterator<Item = (&'f [u8], Cow<'f, [u8]>)> {
    let coding = decision.coding();
    let weakens = coding.is_some() || (decision.varies && traits.status == Status::NOT_MODIFIED);
    let mut vary = if decision.varies { traits.vary } else { Vary::ByCoding };
    let added = [
        coding.map(|coding| (&b"Content-Encoding"[..], Cow::from(coding.name().as_bytes()))),
        (vary == Vary::Absent).then_some((&b"Vary"[..], Cow::from(&b"Accept-Encoding"[..]))),
    ];
    let fields = fields.filter_map(move |(name, value)| {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let is_stale = coding.is_some() && is_about_bytes(name);
        match name.len() {
            4 if weakens && is("ETag") && (coding.is_some() || has_weak(request, &value)) => Some((name, weak(value))),
            4 if vary == Vary::Otherwise && is("Vary") => {
                vary = Vary::ByCoding;
                Some((name, Cow::from([&value, &b", Accept-Encoding"[..]].concat())))
            }
            _ if is_stale => None,
            _ => Some((name, value)),
        }
    });
    fields.chain(added.into_iter().flatten())
}

/// Whether a field is about the very bytes of the content, so that it is wrong for others.
fn is_about_bytes(name: &[u8]) -> bool {
    // An identity of Content-Encoding isn't one beside another.
    let names = ["Accept-Ranges", "Content-Digest", "Content-Encoding", "Content-MD5", "Digest", "Repr-Digest"];
    names.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

/// An entity-tag as a weak one.
pub fn weak(tag: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if tag.starts_with(b"W/") { tag } else { Cow::from([b"W/", &*tag].concat()) }
}

/// Whether a client has the weak form of this entity-tag, and not the strong one.
fn has_weak(request: &RequestHead<'_>, tag: &[u8]) -> bool {
    let known = request.fields.all("if-none-match").flat_map(conditional::tags);
    let mut tags = known.filter(|known| conditional::weak_match(known, tag));
    let is_weak = |known: &[u8]| known.starts_with(b"W/");
    tags.next().is_some_and(is_weak) && tags.all(is_weak)
}

#[cfg(test)]
mod tests {
    use super::super::compressible::{CompressibleTypes, LEVEL};
    use super::super::content_coding::Codings;
    use super::super::header_section::FieldLines;
    use super::*;
    use CodingChoice::{Coded, Identity, NotAcceptable};
    use ContentCoding::Gzip;

    const HTML: (&str, &str) = ("Content-Type", "text/html");
    const AS_IT_IS: (CodingChoice, bool) = (Identity, false);

    fn rules() -> CompressionRules {
        let codings = Codings::NONE.with(Gzip);
        CompressionRules { codings, level: LEVEL, types: CompressibleTypes::default() }
    }

    fn with_request<R>(fields: &str, run: impl FnOnce(&RequestHead<'_>) -> R) -> R {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut lines = FieldLines::default();
        run(&super::super::head::parse(text.as_bytes(), &mut lines).unwrap().unwrap())
    }

    fn traits<'a>(status: u16, fields: &[(&'a str, &'a str)]) -> Traits<'a> {
        Traits::of(Status(status), fields.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    fn decided(request: &str, status: u16, fields: &[(&str, &str)], length: Option<u64>) -> (CodingChoice, bool) {
        with_request(request, |request| {
            let length = length.map_or(Length::Unknown, Length::Known);
            let Decision { choice, varies } = decide(&rules(), request, &traits(status, fields), length);
            (choice, varies)
        })
    }

    /// The fields as they are sent, one a line.
    fn sent(request: &str, status: u16, fields: &[(&str, &str)]) -> String {
        with_request(request, |request| {
            let traits = traits(status, fields);
            let decision = decide(&rules(), request, &traits, Length::Unknown);
            let fields = fields.iter().map(|(name, value)| (name.as_bytes(), Cow::from(value.as_bytes())));
            rewrite(decision, traits, request, fields)
                .map(|(name, value)| format!("{}: {}\n", name.escape_ascii(), String::from_utf8_lossy(&value)))
                .collect()
        })
    }

    const GZIP: &str = "Accept-Encoding: gzip\r\n";
    const ONLY: &str = "Accept-Encoding: gzip, identity;q=0\r\n";
    const NEITHER: &str = "Accept-Encoding: br, identity;q=0\r\n";

    #[test]
    fn what_decides() {
        for (request, status, fields, length, expected) in [
            (GZIP, 200, &[HTML][..], None, (Coded(Gzip), true)),
            (GZIP, 200, &[HTML], Some(1024), (Coded(Gzip), true)),
            (GZIP, 404, &[HTML], None, (Coded(Gzip), true)),
            ("", 200, &[HTML], None, (Identity, true)),
            ("Accept-Encoding: br\r\n", 200, &[HTML], None, (Identity, true)),
            ("Accept-Encoding: gzip;q=0\r\n", 200, &[HTML], None, (Identity, true)),
            ("Accept-Encoding: x-gzip;q=0.1\r\n", 200, &[HTML], None, (Coded(Gzip), true)),
            (GZIP, 200, &[HTML], Some(1023), AS_IT_IS),
            (GZIP, 200, &[("content-type", "image/png")], None, AS_IT_IS),
            (GZIP, 200, &[("content-type", "text/event-stream")], None, AS_IT_IS),
            (GZIP, 200, &[], None, AS_IT_IS),
            (GZIP, 204, &[HTML], None, AS_IT_IS),
            (GZIP, 205, &[HTML], Some(0), AS_IT_IS),
            (GZIP, 206, &[HTML, ("Content-Range", "bytes 0-1/5")], None, (Identity, true)),
            (GZIP, 206, &[("Content-Type", "image/png")], None, AS_IT_IS),
            (GZIP, 206, &[HTML, ("Content-Encoding", "br")], None, AS_IT_IS),
            (GZIP, 416, &[HTML, ("Content-Range", "bytes */5")], None, AS_IT_IS),
            (GZIP, 200, &[HTML, ("content-encoding", "br")], None, AS_IT_IS),
            (GZIP, 200, &[HTML, ("Content-Encoding", "identity")], None, (Coded(Gzip), true)),
            (GZIP, 200, &[HTML, ("cache-control", "max-age=5, No-Transform")], None, AS_IT_IS),
            ("Accept-Encoding: gzip\r\nCache-Control: no-transform\r\n", 200, &[HTML], None, (Identity, true)),
            // A client that refuses identity gets what there is, whatever its type and length.
            (ONLY, 200, &[("content-type", "image/png")], Some(1), (Coded(Gzip), true)),
            (ONLY, 200, &[], None, (Coded(Gzip), true)),
            (NEITHER, 200, &[HTML], None, (NotAcceptable, true)),
            (ONLY, 200, &[HTML, ("Cache-Control", "no-transform")], None, (NotAcceptable, false)),
            (NEITHER, 200, &[HTML, ("Content-Encoding", "zstd")], None, AS_IT_IS),
            (NEITHER, 204, &[], None, AS_IT_IS),
            (NEITHER, 304, &[HTML], None, (Identity, true)),
            (GZIP, 304, &[HTML], None, (Identity, true)),
            (GZIP, 304, &[], None, (Identity, true)),
            (GZIP, 304, &[("Content-Type", "image/png")], None, AS_IT_IS),
            (ONLY, 304, &[("Content-Type", "image/png")], Some(5), (Identity, true)),
            (GZIP, 304, &[HTML], Some(1023), AS_IT_IS),
            (GZIP, 206, &[HTML], Some(1023), AS_IT_IS),
            (GZIP, 304, &[HTML, ("Content-Encoding", "br")], None, AS_IT_IS),
        ] {
            assert_eq!(
                decided(request, status, fields, length),
                expected,
                "{request:?} {status} {fields:?} {length:?}"
            );
        }
    }

    #[test]
    fn a_secret_is_not_compressed() {
        with_request(GZIP, |request| {
            let decision = decide(&rules(), request, &traits(200, &[HTML]).fixed(), Length::Unknown);
            assert_eq!(decision, Decision::AS_IT_IS);
        });
    }

    #[test]
    fn a_304_of_what_is_never_compressed_does_not_vary() {
        for (fields, expected) in [(&[][..], false), (&[("Content-Type", "image/png")], false), (&[HTML], true)] {
            with_request(GZIP, |request| {
                let traits = traits(200, fields).answered(Status::NOT_MODIFIED);
                assert_eq!(decide(&rules(), request, &traits, Length::Unknown).varies, expected, "{fields:?}");
            });
        }
    }

    #[test]
    fn without_codings_nothing_changes() {
        for (request, choice) in [(GZIP, Identity), ("", Identity), (NEITHER, NotAcceptable)] {
            for (status, choice) in [(200, choice), (304, Identity)] {
                with_request(request, |request| {
                    let decision = decide(&CompressionRules::OFF, request, &traits(status, &[HTML]), Length::Unknown);
                    assert_eq!((decision.choice, decision.varies), (choice, choice == NotAcceptable));
                });
            }
        }
    }

    #[test]
    fn fields_about_the_bytes_are_changed_or_left_out() {
        let fields = [
            HTML,
            ("ETag", "\"a\""),
            ("Accept-Ranges", "bytes"),
            ("Content-MD5", "x"),
            ("digest", "x"),
            ("Content-Digest", "x"),
            ("Repr-Digest", "x"),
            ("Last-Modified", "then"),
        ];
        let expected = "Content-Type: text/html\nETag: W/\"a\"\nLast-Modified: then\nContent-Encoding: gzip\n\
                        Vary: Accept-Encoding\n";
        assert_eq!(sent(GZIP, 200, &fields), expected);
        let plain: String = fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        assert_eq!(sent("", 200, &fields), plain + "Vary: Accept-Encoding\n");
        assert_eq!(sent("", 200, &fields[1..2]), "ETag: \"a\"\n");
    }

    #[test]
    fn vary_names_the_field_once() {
        for (vary, expected) in [
            (&["Accept"][..], &["Accept, Accept-Encoding"][..]),
            (&["Accept", "Cookie"], &["Accept, Accept-Encoding", "Cookie"]),
            (&["Cookie", "accept-encoding"], &["Cookie", "accept-encoding"]),
            (&["Accept-Encoding, Cookie", "Origin"], &["Accept-Encoding, Cookie", "Origin"]),
            (&["*"], &["*"]),
            (&["Accept-Encodings"], &["Accept-Encodings, Accept-Encoding"]),
            (&[], &["Accept-Encoding"]),
        ] {
            let fields: Vec<_> = [HTML].into_iter().chain(vary.iter().map(|value| ("Vary", *value))).collect();
            let sent = sent("", 200, &fields);
            let lines: Vec<_> = sent.lines().filter_map(|line| line.strip_prefix("Vary: ")).collect();
            assert_eq!(lines, expected, "{vary:?}");
        }
    }

    #[test]
    fn a_304_has_the_tag_that_the_client_has() {
        for (known, tag, expected) in [
            ("W/\"a\"", "\"a\"", "W/\"a\""),
            ("\"a\"", "\"a\"", "\"a\""),
            ("W/\"a\", \"a\"", "\"a\"", "\"a\""),
            ("\"b\", W/\"a\"", "\"a\"", "W/\"a\""),
            ("*", "\"a\"", "\"a\""),
            ("W/\"a\"", "W/\"a\"", "W/\"a\""),
        ] {
            let request = format!("{GZIP}If-None-Match: {known}\r\n");
            let expected = format!("ETag: {expected}\nVary: Accept-Encoding\n");
            assert_eq!(sent(&request, 304, &[("ETag", tag)]), expected, "{known}");
        }
    }
}
