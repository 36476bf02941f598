//! Languages: their tags, and which of them a client accepts (RFC 4647, RFC 9110 §12.5.4).
//!
//! ```text
//! Accept-Language ─▶ AcceptedLanguages: ranges with weights
//!                          │
//!         a language ──────┴▶ fit ─▶ its weight, and how it was found
//! ```
//!
//! A language is found in one of these ways; the first that finds it says its weight.
//!
//! 1. **Basic filtering** (RFC 4647 §3.3.1): a range is the language, or its beginning: `de` finds
//!    `de` and `de-CH`. The weight is the largest of all such ranges, since the list of what is
//!    found begins with what the best range finds. But if the longest of them has the weight 0,
//!    the language is refused.
//! 2. **Lookup** (§3.4): the language is the beginning of a range: `en-US` finds `en`, if the client
//!    doesn't name `en` itself.
//! 3. `*` finds all others.
//!
//! Of languages with the same weight the closer one is better. So `zh, zh-CN;q=0.9` gets `zh-CN`
//! rather than `zh-TW`: both are Chinese, and one is named.
//!
//! Tags are compared without regard to case. A malformed range is ignored, and a field of such
//! ranges alone is no field.

use super::Fields;
use super::grammar::split_unquoted;
use super::negotiate::{FULL, weight};
use crate::limits;

/// A language tag (RFC 5646), written as is usual: `zh-Hant-TW`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Language(Box<str>);

/// Longest tag: RFC 5646 §4.4.1 finds this enough for all but private use.
const LONGEST: usize = 35;

impl Language {
    /// The language with this tag, in any case. `None` if it is malformed: not subtags of up to
    /// eight letters and digits, of which the first has two to eight letters.
    pub fn parse(tag: &[u8]) -> Option<Self> {
        let primary = tag.split(|byte| *byte == b'-').next()?;
        let is_tag = tag.len() <= LONGEST && primary.len() >= 2 && is_range(tag);
        is_tag.then(|| Self(usual(tag).into()))
    }

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The language without what follows its first subtag.
    fn primary(&self) -> &str {
        self.0.split('-').next().unwrap_or_default()
    }

    /// How a range, which isn't `*`, finds it.
    fn found_by(&self, range: &[u8]) -> Option<LanguageMatch> {
        let tag = self.0.as_bytes();
        match (behind(range, tag), behind(tag, range)) {
            (Some(b""), _) => Some(LanguageMatch::Exact),
            (Some(further), _) => Some(LanguageMatch::Filtered(subtags(further))),
            (_, Some(further)) => Some(LanguageMatch::LookedUp(subtags(further))),
            (None, None) => None,
        }
    }
}

/// What follows `start` in `tag`, if that begins with it and a subtag ends there.
fn behind<'t>(start: &[u8], tag: &'t [u8]) -> Option<&'t [u8]> {
    let (head, rest) = tag.split_at_checked(start.len())?;
    (head.eq_ignore_ascii_case(start) && matches!(rest, [] | [b'-', ..])).then_some(rest)
}

/// How many subtags there are, each with its hyphen.
fn subtags(tags: &[u8]) -> u8 {
    tags.iter().filter(|byte| **byte == b'-').count().try_into().unwrap_or(u8::MAX)
}

/// A basic language range but `*` (RFC 4647 §2.1).
fn is_range(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b'-');
    let has_length = |part: &[u8]| (1..=8).contains(&part.len());
    parts.next().is_some_and(|first| has_length(first) && first.iter().all(u8::is_ascii_alphabetic))
        && parts.all(|part| has_length(part) && part.iter().all(u8::is_ascii_alphanumeric))
}

/// A tag in its usual case (RFC 5646 §2.1.1): regions in capitals, and scripts with one.
fn usual(tag: &[u8]) -> String {
    let lower = String::from_utf8_lossy(tag).to_ascii_lowercase();
    let mut out = String::with_capacity(lower.len());
    let mut extended = false;
    for (at, part) in lower.split('-').enumerate() {
        if at > 0 {
            out.push('-');
        }
        match part.len() {
            2 if at > 0 && !extended => out.push_str(&part.to_ascii_uppercase()),
            4 if at > 0 && !extended => {
                out.push_str(&part[..1].to_ascii_uppercase());
                out.push_str(&part[1..]);
            }
            _ => out.push_str(part),
        }
        extended |= part.len() == 1;
    }
    out
}

/// How a language was found. The closest is the least.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LanguageMatch {
    /// It is named.
    Exact,
    /// It is the beginning of a range, which has so many subtags more.
    LookedUp(u8),
    /// A range is its beginning; it has so many subtags more.
    Filtered(u8),
    /// By `*`, or because the client accepts all.
    Any,
    /// By no range.
    Nothing,
    /// By a range with the weight 0.
    Refused,
}

/// What a client thinks of a language.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LanguageFit {
    /// Its weight in thousandths; 0: it isn't acceptable.
    pub weight: u16,
    /// How it was found.
    pub found: LanguageMatch,
}

impl LanguageFit {
    /// Of a client that says nothing about languages.
    pub const ANY: Self = Self { weight: FULL, found: LanguageMatch::Any };
}

/// The languages that a client accepts.
#[derive(Clone, Default, Debug)]
pub struct AcceptedLanguages<'a> {
    /// Ranges and their weights, without `*`.
    ranges: Vec<(&'a [u8], u16)>,
    /// The weight of `*`.
    others: Option<u16>,
}

impl<'a> AcceptedLanguages<'a> {
    /// Those that the field lines of a request say: the first [`limits::PREFERENCES`] of them. A
    /// weight that is malformed counts as 1, since the client did name the language.
    pub fn of(fields: &Fields<'a>) -> Self {
        let mut accepted = Self::default();
        for member in fields.tokens("accept-language").take(limits::PREFERENCES) {
            let mut parts = split_unquoted(member, b';');
            match parts.next().unwrap_or_default() {
                b"*" => accepted.others = Some(weight(parts)),
                range if is_range(range) => accepted.ranges.push((range, weight(parts))),
                _ => {}
            }
        }
        accepted
    }

    /// This language alone.
    pub fn only(language: &'a Language) -> Self {
        Self { ranges: vec![(language.as_str().as_bytes(), FULL)], others: None }
    }

    /// Whether the client says nothing about languages.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.others.is_none()
    }

    /// What the client thinks of a language.
    pub fn fit(&self, language: &Language) -> LanguageFit {
        if self.is_empty() {
            return LanguageFit::ANY;
        }
        let (mut filtered, mut looked_up) = (Best::default(), Best::default());
        for (range, weight) in &self.ranges {
            match language.found_by(range) {
                Some(found @ LanguageMatch::LookedUp(_)) if *weight > 0 => looked_up.add(found, *weight),
                Some(found @ (LanguageMatch::Exact | LanguageMatch::Filtered(_))) => filtered.add(found, *weight),
                _ => {}
            }
        }
        let others = Best(self.others.map(|weight| (LanguageMatch::Any, weight, weight)));
        let best = filtered.0.or(looked_up.0).or(others.0);
        match best {
            Some((_, _, 0)) => LanguageFit { weight: 0, found: LanguageMatch::Refused },
            Some((found, weight, _)) => LanguageFit { weight, found },
            None => LanguageFit { weight: 0, found: LanguageMatch::Nothing },
        }
    }
}

/// The ranges that find a language: the closest of them, the largest weight, and the weight of the
/// closest one.
#[derive(Default)]
struct Best(Option<(LanguageMatch, u16, u16)>);

impl Best {
    fn add(&mut self, found: LanguageMatch, weight: u16) {
        self.0 = Some(match self.0 {
            None => (found, weight, weight),
            Some((closest, largest, own)) if closest < found => (closest, largest.max(weight), own),
            Some((_, largest, _)) => (found, largest.max(weight), weight),
        });
    }
}

/// The languages of an operator, the default first.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Languages(Vec<Language>);

impl Languages {
    /// From a list such as `en,de,zh-CN`.
    ///
    /// # Errors
    /// A hint, if it isn't one.
    pub fn parse(list: &str) -> Result<Self, String> {
        const HINT: &str = "give language tags, the default first, like en,de,zh-CN";
        let tags = list.split(',').map(|tag| Language::parse(tag.trim().as_bytes()));
        let languages: Vec<_> = tags.collect::<Option<_>>().ok_or(HINT)?;
        match languages.len() > limits::LANGUAGES {
            true => Err(format!("give at most {} languages", limits::LANGUAGES)),
            false => Ok(Self(languages)),
        }
    }

    /// The tags, in their order.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Language::as_str)
    }

    /// The place of a language: that of its own tag, or else of the first tag that begins it.
    /// Those that aren't in the list come behind it.
    pub fn place(&self, language: &Language) -> usize {
        let own = self.0.iter().position(|listed| listed == language);
        let within = || self.0.iter().position(|listed| behind(listed.0.as_bytes(), language.0.as_bytes()).is_some());
        own.or_else(within).unwrap_or(self.0.len())
    }

    /// The language that a part of a file's name says, as `de` does in `guide.de.html`. A part such
    /// as `min` or `tar` says none, although languages have these tags: only languages with two
    /// letters are recognised, and those in the list.
    pub fn of_label(&self, label: &[u8]) -> Option<Language> {
        let language = Language::parse(label)?;
        let is_usual = TWO_LETTERS.split(' ').any(|code| code == language.primary());
        (is_usual || self.0.iter().any(|listed| listed.primary() == language.primary())).then_some(language)
    }
}

/// The languages of ISO 639-1.
const TWO_LETTERS: &str = "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv \
    cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig \
    ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn \
    mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk \
    sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za \
    zh zu";

#[cfg(test)]
mod tests {
    use super::super::negotiate::tests::with_lines;
    use super::*;
    use LanguageMatch::*;
    use proptest::prelude::*;

    fn language(tag: &str) -> Language {
        Language::parse(tag.as_bytes()).unwrap()
    }

    fn fit(lines: &[&str], tag: &str) -> LanguageFit {
        with_lines("Accept-Language", lines, |fields| AcceptedLanguages::of(fields).fit(&language(tag)))
    }

    #[test]
    fn tags_are_written_as_usual() {
        for (tag, expected) in [
            ("DE", Some("de")),
            ("de-ch", Some("de-CH")),
            ("ZH-HANT-tw", Some("zh-Hant-TW")),
            ("sl-rozaj-BISKE", Some("sl-rozaj-biske")),
            ("de-u-CO-phonebk", Some("de-u-co-phonebk")),
            ("es-419", Some("es-419")),
            ("tlh", Some("tlh")),
            ("", None),
            ("d", None),
            ("*", None),
            ("de-", None),
            ("-de", None),
            ("de--ch", None),
            ("de_CH", None),
            ("d3", None),
            ("german", Some("german")),
            ("germanish", None),
            ("de-overlong9", None),
            ("de ch", None),
            ("de\r\nX: y", None),
            ("d\u{e4}", None),
            ("aa-bb-cc-dd-ee-ff-gg-hh-ii-jj-kk-ll", Some("aa-BB-CC-DD-EE-FF-GG-HH-II-JJ-KK-LL")),
            ("aa-bb-cc-dd-ee-ff-gg-hh-ii-jj-kk-ll-mm", None),
        ] {
            let parsed = Language::parse(tag.as_bytes());
            assert_eq!(parsed.as_ref().map(Language::as_str), expected, "{tag}");
        }
        assert_eq!(Language::parse(b"de\xff"), None);
    }

    #[test]
    fn the_fit_of_languages() {
        let cases: &[(&[&str], &str, u16, LanguageMatch)] = &[
            (&[], "de", 1000, Any),
            (&[""], "de", 1000, Any),
            (&["@, de_CH, verylonglanguage"], "de", 1000, Any),
            (&["@, fr"], "de", 0, Nothing),
            (&["de"], "de", 1000, Exact),
            (&["DE-ch"], "de-CH", 1000, Exact),
            (&["de;q=0.5"], "de", 500, Exact),
            (&["de;q=x"], "de", 1000, Exact),
            // Filtering.
            (&["de"], "de-CH", 1000, Filtered(1)),
            (&["zh"], "zh-Hant-TW", 1000, Filtered(2)),
            (&["de"], "den", 0, Nothing),
            (&["de-CH"], "de-AT", 0, Nothing),
            (&["zh, zh-CN;q=0.9"], "zh-TW", 1000, Filtered(1)),
            (&["zh, zh-CN;q=0.9"], "zh-CN", 1000, Exact),
            (&["en, en-GB;q=0"], "en-GB", 0, Refused),
            (&["en, en-GB;q=0"], "en-US", 1000, Filtered(1)),
            (&["en;q=0, en-GB;q=0.5"], "en-GB", 500, Exact),
            (&["en;q=0, en-GB;q=0.5"], "en", 0, Refused),
            // Lookup.
            (&["en-US"], "en", 1000, LookedUp(1)),
            (&["zh-Hant-TW"], "zh", 1000, LookedUp(2)),
            (&["zh-Hant-TW"], "zh-Hant", 1000, LookedUp(1)),
            (&["en-US;q=0.3"], "en", 300, LookedUp(1)),
            (&["en-US;q=0"], "en", 0, Nothing),
            (&["en-US;q=0, *;q=0.2"], "en", 200, Any),
            (&["en-US, de;q=0.9, en;q=0.8"], "en", 800, Exact),
            (&["en-US, en;q=0"], "en", 0, Refused),
            (&["en-GB;q=0.2, en-US;q=0.7"], "en", 700, LookedUp(1)),
            (&["i-klingon"], "de", 0, Nothing),
            // All others.
            (&["*"], "de", 1000, Any),
            (&["*;q=0.1, de;q=0.5"], "de", 500, Exact),
            (&["*;q=0.9, de;q=0.5"], "de", 500, Exact),
            (&["*;q=0.9, de;q=0"], "de", 0, Refused),
            (&["de, *;q=0"], "fr", 0, Refused),
            (&["de, *;q=0"], "de-AT", 1000, Filtered(1)),
            (&["de", "fr;q=0.5"], "fr", 500, Exact),
        ];
        for (lines, tag, weight, found) in cases {
            assert_eq!(fit(lines, tag), LanguageFit { weight: *weight, found: *found }, "{tag} in {lines:?}");
        }
    }

    #[test]
    fn only_so_many_ranges_count() {
        let many = "fr, ".repeat(limits::PREFERENCES - 1);
        assert_eq!(fit(&[&format!("{many}de")], "de").weight, 1000);
        assert_eq!(fit(&[&format!("{many}fr, de")], "de").weight, 0);
    }

    #[test]
    fn an_operator_has_an_order() {
        let languages = Languages::parse("en, DE,de-ch,tlh").unwrap();
        assert_eq!(languages.tags().collect::<Vec<_>>(), ["en", "de", "de-CH", "tlh"]);
        for (tag, place) in [("en", 0), ("en-GB", 0), ("de", 1), ("de-CH", 2), ("de-AT", 1), ("fr", 4), ("ende", 4)] {
            assert_eq!(languages.place(&language(tag)), place, "{tag}");
        }
        for wrong in ["", "en,", "en de", "e", "en;q=1"] {
            assert!(Languages::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Languages::parse(&vec!["en"; limits::LANGUAGES + 1].join(",")).is_err());
    }

    #[test]
    fn labels_of_files_are_languages_if_they_are_usual_or_listed() {
        let languages = Languages::parse("en,min").unwrap();
        for (label, expected) in [
            ("de", Some("de")),
            ("zh-cn", Some("zh-CN")),
            ("min", Some("min")),
            ("tar", None),
            ("js", None),
            ("map", None),
            ("qq", None),
            ("v2", None),
            ("", None),
        ] {
            let found = languages.of_label(label.as_bytes());
            assert_eq!(found.as_ref().map(Language::as_str), expected, "{label}");
        }
        assert_eq!(Languages::default().of_label(b"min"), None);
        assert_eq!(TWO_LETTERS.split(' ').count(), 183);
        assert!(TWO_LETTERS.split(' ').is_sorted() && TWO_LETTERS.split(' ').all(|code| code.len() == 2));
    }

    /// The rules at the top of this file, one after the other, for each list of three ranges.
    #[test]
    fn the_fit_is_that_of_a_model_that_tries_all() {
        let tags = ["de", "de-CH", "de-Latn-CH", "en"];
        let names = ["de", "DE-ch", "de-Latn-CH", "de-Latn-CH-1996", "en", "*", "?"];
        let weights = [0, 300, 1000];
        let members: Vec<_> = names.iter().flat_map(|name| weights.map(|weight| (*name, weight))).collect();
        for a in &members {
            for b in &members {
                for c in &members {
                    let line = [a, b, c].map(|(name, weight)| format!("{name};q={}", f32::from(*weight) / 1000.0));
                    for tag in tags {
                        let found = fit(&[&line.join(", ")], tag).weight;
                        assert_eq!(found, model(&[*a, *b, *c], tag), "{tag} in {line:?}");
                    }
                }
            }
        }
    }

    fn model(ranges: &[(&str, u16)], tag: &str) -> u16 {
        let tag = tag.to_lowercase();
        let valid: Vec<_> = ranges.iter().filter(|(name, _)| *name != "?").collect();
        if valid.is_empty() {
            return 1000;
        }
        let begins = |start: &str, whole: &str| format!("{whole}-").starts_with(&format!("{start}-"));
        let filtered: Vec<_> = valid.iter().filter(|(name, _)| begins(&name.to_lowercase(), &tag)).collect();
        if let Some((longest, _)) = filtered.iter().max_by_key(|(name, _)| name.len()) {
            // The last one of that name counts.
            let own = filtered.iter().rfind(|(name, _)| name == longest).unwrap().1;
            return if own == 0 { 0 } else { filtered.iter().map(|(_, weight)| *weight).max().unwrap() };
        }
        let looked_up = valid.iter().filter(|(name, weight)| *weight > 0 && begins(&tag, &name.to_lowercase()));
        if let Some(weight) = looked_up.map(|(_, weight)| *weight).max() {
            return weight;
        }
        valid.iter().rfind(|(name, _)| *name == "*").map_or(0, |(_, weight)| *weight)
    }

    proptest! {
        #[test]
        fn fits_never_panic(value in "(de|-|CH|\\*|;|q=|[0-9.]|,| |\"|\\\\|=){0,24}") {
            prop_assert!(fit(&[&value], "de-CH").weight <= 1000);
        }
    }
}
