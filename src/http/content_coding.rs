//! Content codings, and which of them a client accepts (RFC 9110 §8.4.1, §12.5.3).
//!
//! ```text
//! Accept-Encoding ─▶ AcceptedCodings: a weight for each coding and for identity
//!                        │
//!     what there is ─────┴▶ choose ─▶ a coding, identity, or nothing that is acceptable
//! ```
//!
//! Weights are thousandths. Identity (no coding at all) is acceptable unless the field says
//! otherwise. If the field doesn't name it, it is the last resort: each coding with a weight above
//! zero is better. Without the field, it is all that is sent: not every client that accepts
//! anything can decode it.
//!
//! A field of many lines or with codings that nobody knows makes no difference: what is kept of it
//! is four numbers. So a cache that is keyed by the choice has at most one entry for each coding.

use super::Fields;
use super::grammar::{split_unquoted, trim_ows};
use super::negotiate::{FULL, weight};

/// A content coding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ContentCoding {
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
    /// RFC 1952; `x-gzip` is another name of it.
    Gzip,
}

impl ContentCoding {
    /// All of them. Of several that a client likes equally the first is chosen: it makes the
    /// smallest content.
    pub const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// Its name in fields.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The coding of this name, in any case.
    pub fn of_name(name: &[u8]) -> Option<Self> {
        let is = |usual: &[u8]| name.eq_ignore_ascii_case(usual);
        match name.len() {
            2 if is(b"br") => Some(Self::Brotli),
            4 if is(b"gzip") => Some(Self::Gzip),
            4 if is(b"zstd") => Some(Self::Zstd),
            6 if is(b"x-gzip") => Some(Self::Gzip),
            _ => None,
        }
    }
}

/// What Content-Encoding says of a request's content: gzip once, or nothing. `identity` is nothing.
///
/// # Errors
/// The content has another coding, or several.
pub fn content_codings(fields: &Fields<'_>) -> Result<Option<ContentCoding>, OtherCoding> {
    let mut names = fields.tokens("content-encoding").filter(|name| !name.eq_ignore_ascii_case(b"identity"));
    match (names.next(), names.next()) {
        (None, _) => Ok(None),
        (Some(name), None) if ContentCoding::of_name(name) == Some(ContentCoding::Gzip) => {
            Ok(Some(ContentCoding::Gzip))
        }
        _ => Err(OtherCoding),
    }
}

/// A coding that can't be taken off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OtherCoding;

/// A set of content codings.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Codings(u8);

impl Codings {
    /// The set with this coding, too.
    #[must_use]
    pub const fn with(self, coding: ContentCoding) -> Self {
        Self(self.0 | 1 << coding as u8)
    }

    /// The codings of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set without this coding.
    #[must_use]
    pub const fn without(self, coding: ContentCoding) -> Self {
        Self(self.0 & !(1 << coding as u8))
    }

    /// Whether the coding is in it.
    pub const fn contains(self, coding: ContentCoding) -> bool {
        self.0 & 1 << coding as u8 != 0
    }

    /// No codings.
    pub const NONE: Self = Self(0);

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<ContentCoding> for Codings {
    fn from_iter<I: IntoIterator<Item = ContentCoding>>(codings: I) -> Self {
        codings.into_iter().fold(Self::default(), Self::with)
    }
}

/// How the content of a response is to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodingChoice {
    /// In this coding.
    Coded(ContentCoding),
    /// As it is.
    Identity,
    /// No way is acceptable for the client.
    NotAcceptable,
}

/// The codings that a client accepts.
///
/// Only the order of the weights matters. So what is kept of each is its rank: 0 if it isn't
/// acceptable, else a number that is larger for a larger weight. This is small enough for the head of
/// a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AcceptedCodings {
    codings: [u8; ContentCoding::ALL.len()],
    identity: u8,
}

/// The rank of identity if the field doesn't name it: less than that of each coding that it names.
const LAST_RESORT: u8 = 1;

impl Default for AcceptedCodings {
    /// Those of a request without the field.
    fn default() -> Self {
        Self { codings: [0; ContentCoding::ALL.len()], identity: LAST_RESORT }
    }
}

/// The weights that the lines of a field name.
#[derive(Default)]
pub(super) struct Weights {
    codings: [Option<u16>; ContentCoding::ALL.len()],
    identity: Option<u16>,
    /// That of `*`.
    others: Option<u16>,
}

impl Weights {
    /// Adds those of a line. A coding that is named twice has its last weight. A weight that is
    /// malformed counts as 1, since the client did name the coding.
    pub(super) fn add(&mut self, line: &[u8]) {
        for member in line.split(|byte| *byte == b',') {
            let (name, weight) = match member.iter().position(|byte| *byte == b';') {
                None => (member, FULL),
                Some(at) => (&member[..at], weight(split_unquoted(&member[at..], b';'))),
            };
            let name = trim_ows(name);
            if let Some(coding) = ContentCoding::of_name(name) {
                self.codings[coding as usize] = Some(weight);
            } else if name == b"*" {
                self.others = Some(weight);
            } else if name.eq_ignore_ascii_case(b"identity") {
                self.identity = Some(weight);
            }
        }
    }
}

impl From<Weights> for AcceptedCodings {
    fn from(named: Weights) -> Self {
        let Weights { codings, identity, others } = named;
        let codings = codings.map(|weight| weight.or(others).unwrap_or(0));
        // `*;q=0` refuses it; another weight of `*` makes it no better than it is.
        let identity = identity.or(others.filter(|&weight| weight == 0));
        let rank = |weight: u16| {
            let smaller = codings.iter().copied().chain(identity).filter(|other| (1..weight).contains(other));
            if weight == 0 { 0 } else { smaller.fold(LAST_RESORT + 1, |rank, _| rank + 1) }
        };
        Self { codings: codings.map(rank), identity: identity.map_or(LAST_RESORT, rank) }
    }
}

impl AcceptedCodings {
    /// Whether content may be sent in this coding.
    pub fn accepts(&self, coding: ContentCoding) -> bool {
        self.rank(coding) > 0
    }

    fn rank(&self, coding: ContentCoding) -> u8 {
        self.codings[coding as usize]
    }

    /// Whether content may be sent as it is.
    pub fn accepts_identity(&self) -> bool {
        self.identity > 0
    }

    /// The same codings, and identity isn't accepted.
    #[must_use]
    pub fn without_identity(self) -> Self {
        Self { identity: 0, ..self }
    }

    /// Chooses among these codings and identity. Of codings with the same weight, and of a coding
    /// and identity, the first of [`ContentCoding::ALL`] is chosen.
    pub fn choose(&self, offered: Codings) -> CodingChoice {
        let offered = ContentCoding::ALL.into_iter().filter(|coding| offered.contains(*coding));
        // Of equals `max_by_key` returns the last.
        let best = offered.rev().max_by_key(|coding| self.rank(*coding)).filter(|coding| self.accepts(*coding));
        match best {
            Some(best) if self.identity <= self.rank(best) => CodingChoice::Coded(best),
            None if !self.accepts_identity() => CodingChoice::NotAcceptable,
            _ => CodingChoice::Identity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::negotiate::tests::with_lines;
    use super::*;
    use CodingChoice::*;
    use ContentCoding::*;

    fn accepted(lines: &[&str]) -> AcceptedCodings {
        let mut named = Weights::default();
        lines.iter().for_each(|line| named.add(line.as_bytes()));
        named.into()
    }

    #[test]
    fn the_choice_among_all_codings() {
        let all: Codings = ContentCoding::ALL.into_iter().collect();
        for (lines, expected) in [
            (&[][..], Identity),
            (&[""], Identity),
            (&["gzip"], Coded(Gzip)),
            (&["GZip"], Coded(Gzip)),
            (&["x-gzip"], Coded(Gzip)),
            (&["gzip, deflate, br, zstd"], Coded(Brotli)),
            (&["gzip, deflate, zstd"], Coded(Zstd)),
            (&["deflate"], Identity),
            (&["deflate, compress;q=1, snappy"], Identity),
            (&["gzip;q=0.001"], Coded(Gzip)),
            (&["gzip;q=0"], Identity),
            (&["gzip;q=0.000"], Identity),
            (&["gzip;q=0.5, br;q=0.4"], Coded(Gzip)),
            (&["gzip;q=0.5", "br;q=0.9"], Coded(Brotli)),
            (&["gzip ; q=0.5 , identity"], Identity),
            (&["gzip, identity"], Coded(Gzip)),
            (&["identity;q=0.5, gzip;q=0.5"], Coded(Gzip)),
            (&["identity;q=0.5, gzip;q=0.4"], Identity),
            (&["identity"], Identity),
            (&["identity;q=0"], NotAcceptable),
            (&["identity;q=0, gzip"], Coded(Gzip)),
            (&["identity;q=0, gzip;q=0"], NotAcceptable),
            (&["*"], Coded(Brotli)),
            (&["*;q=0"], NotAcceptable),
            (&["*;q=0, identity"], Identity),
            (&["*;q=0, identity;q=0.001"], Identity),
            (&["identity;q=1, *;q=0"], Identity),
            (&["*;q=0.5, br;q=0"], Coded(Zstd)),
            (&["*;q=0.5, gzip;q=0.6"], Coded(Gzip)),
            (&["*, br;q=0, zstd;q=0, gzip;q=0"], Identity),
            (&["*;q=0, gzip"], Coded(Gzip)),
            (&["gzip;q=banana"], Coded(Gzip)),
            (&["gzip;q=1.001"], Coded(Gzip)),
            (&[",,gzip,,"], Coded(Gzip)),
        ] {
            assert_eq!(accepted(lines).choose(all), expected, "{lines:?}");
        }
    }

    #[test]
    fn identity_is_acceptable_unless_it_is_forbidden() {
        let cases: &[(&[&str], bool)] = &[
            (&[], true),
            (&[""], true),
            (&["gzip"], true),
            (&["gzip, br;q=0"], true),
            (&["identity;q=0"], false),
            (&["identity;q=0.000"], false),
            (&["Identity ; Q=0"], false),
            (&["gzip", "identity;q=0"], false),
            (&["*;q=0"], false),
            (&["gzip, *;q=0"], false),
            (&["identity, *;q=0"], true),
            (&["*;q=0, identity;q=0.001"], true),
            (&["*;q=0", "identity"], true),
            (&["*"], true),
            (&["*, identity;q=0"], false),
            (&["identity;q=no"], true),
            (&["identity;q="], true),
        ];
        for (lines, expected) in cases {
            assert_eq!(accepted(lines).accepts_identity(), *expected, "{lines:?}");
        }
    }

    #[test]
    fn content_has_one_coding_that_is_known_or_none() {
        for (lines, expected) in [
            (&[][..], Ok(None)),
            (&[""], Ok(None)),
            (&["identity"], Ok(None)),
            (&["Gzip"], Ok(Some(Gzip))),
            (&["x-gzip, identity"], Ok(Some(Gzip))),
            (&["gzip, gzip"], Err(OtherCoding)),
            (&["gzip", "gzip"], Err(OtherCoding)),
            (&["br"], Err(OtherCoding)),
            (&["deflate"], Err(OtherCoding)),
            (&["gzip;q=1"], Err(OtherCoding)),
        ] {
            assert_eq!(with_lines("Content-Encoding", lines, content_codings), expected, "{lines:?}");
        }
    }

    #[test]
    fn only_what_is_offered_is_chosen() {
        let offered = Codings::default().with(Gzip);
        for (line, expected) in [
            ("br, zstd", Identity),
            ("br, gzip;q=0.1", Coded(Gzip)),
            ("br, identity;q=0", NotAcceptable),
            ("*;q=0, br", NotAcceptable),
        ] {
            assert_eq!(accepted(&[line]).choose(offered), expected, "{line}");
        }
        assert_eq!(accepted(&["gzip"]).choose(offered.without(Gzip)), Identity);
    }

    /// The rules of RFC 9110 §12.5.3, one after the other, for each pair of members.
    #[test]
    fn the_choice_is_that_of_a_model_that_tries_all() {
        let names = ["gzip", "br", "zstd", "identity", "*", "other"];
        let weights = ["", ";q=0", ";q=0.3", ";q=0.7", ";q=1"];
        let members: Vec<String> =
            names.iter().flat_map(|name| weights.iter().map(move |weight| format!("{name}{weight}"))).collect();
        for (first, second, third) in members
            .iter()
            .flat_map(|first| members.iter().map(move |second| (first, second)))
            .flat_map(|(first, second)| ["br;q=0.5", "*;q=0.1", "identity;q=0.2"].map(|third| (first, second, third)))
        {
            let line = format!("{first}, {second}, {third}");
            let all: Codings = ContentCoding::ALL.into_iter().collect();
            assert_eq!(accepted(&[&line]).choose(all), model(&line), "{line}");
        }
    }

    fn model(line: &str) -> CodingChoice {
        let weight_of = |name: &str| {
            line.split(", ").filter(|member| member.split(';').next() == Some(name)).last().map(|member| {
                member.split_once(";q=").map_or(1000, |(_, weight)| (weight.parse::<f64>().unwrap() * 1000.0) as i32)
            })
        };
        let any = weight_of("*");
        let mut best = (0, NotAcceptable);
        let unnamed = if any == Some(0) { 0 } else { 1 };
        let identity = weight_of("identity").map_or(unnamed, |weight| if weight > 0 { weight * 10 } else { 0 });
        if identity > 0 {
            best = (identity, Identity);
        }
        for coding in [Gzip, Zstd, Brotli] {
            let weight = weight_of(coding.name()).or(any).unwrap_or(0) * 10;
            if weight > 0 && weight >= best.0 {
                best = (weight, Coded(coding));
            }
        }
        best.1
    }
}
