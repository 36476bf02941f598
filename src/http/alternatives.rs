//! Which of several representations of a resource a client gets (RFC 9110 §12.1): proactive
//! negotiation of language and media type.
//!
//! ```text
//! Candidate: language, media type, size ─┐
//! Wishes: Accept, Accept-Language, …  ───┼─▶ rank ─▶ Ranking: each with its weights and
//! Languages: the operator's order  ──────┘           the reason of its place, the best first
//! ```
//!
//! A candidate with an acceptable type and an acceptable language has the product of both weights.
//! Of equals these decide, in this order: how close the language is to what the client named, the
//! operator's order of languages, how specific the media range is that includes the type, and the
//! size. So without Accept-Language the operator's first language is chosen.
//!
//! Behind these are candidates of which only the type is acceptable, then those of which only the
//! language is, then the others: if nothing is acceptable, the best of the rest may be sent all the
//! same, or the list with 406 (§15.5.7).
//!
//! A candidate without a language is acceptable for all clients. Beside others that have one it is
//! the last resort.
//!
//! The charset doesn't decide anything. RFC 9110 §12.5.2 allows to disregard Accept-Charset, and all
//! text that is written today is UTF-8.
//!
//! **The URL and the cookie.** A language in the query (`?lang=de`), or else in the cookie `lang`,
//! takes the place of Accept-Language if there is such a candidate. What a cache must know of this
//! is in [`Dependence`]. With the query the URL says the language, so nothing else does. The cookie
//! decides also if it isn't there, so it is always named.

use std::cmp::{Ordering, Reverse};

use super::language::{AcceptedLanguages, Language, LanguageFit, LanguageMatch, Languages};
use super::negotiate::{FULL, TypeFit, charset_quality, type_fit};
use super::{Fields, cookie, form};

/// A representation that may be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate<'a> {
    /// Its language, if it has one.
    pub language: Option<&'a Language>,
    /// Its media type, perhaps with parameters.
    pub media_type: &'a str,
    /// Bytes of its content.
    pub size: u64,
}

/// The name of the parameter of the query, and of the cookie, that choose a language.
pub const OVERRIDE: &str = "lang";

/// Where a language came from that takes the place of Accept-Language.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OverrideSource {
    /// The query.
    Query,
    /// The cookie.
    Cookie,
}

/// What a client wishes.
pub struct Wishes<'a> {
    fields: Fields<'a>,
    languages: AcceptedLanguages<'a>,
    /// The languages that it has chosen, the one of the query first.
    chosen: Vec<(OverrideSource, Language)>,
}

impl<'a> Wishes<'a> {
    /// Those of a request.
    pub fn of(fields: &Fields<'a>, query: Option<&[u8]>) -> Self {
        // It is decoded: for caches `%64e` may be the same as `de` (RFC 3986 §6.2.2.2).
        let of_query = query.and_then(|query| form::value(query, OVERRIDE));
        let of_query = of_query.and_then(|tag| Language::parse(tag.as_bytes()));
        let of_query = of_query.map(|language| (OverrideSource::Query, language));
        let of_cookie = cookie::value(fields, OVERRIDE).and_then(Language::parse);
        let of_cookie = of_cookie.map(|language| (OverrideSource::Cookie, language));
        let languages = AcceptedLanguages::of(fields);
        Self { fields: *fields, languages, chosen: of_query.into_iter().chain(of_cookie).collect() }
    }
}

/// What decided against a candidate, or for the chosen one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// There is no other candidate.
    Alone,
    /// The media type is acceptable or not.
    TypeAccepted,
    /// The language is acceptable or not.
    LanguageAccepted,
    /// The weights.
    Weight,
    /// How close the language is.
    LanguageMatch,
    /// The operator's order of languages.
    LanguageOrder,
    /// How specific the media range is.
    TypeSpecificity,
    /// The size.
    Size,
    /// Nothing but the order in which they are given.
    Order,
}

impl Reason {
    /// As sentences without their full stop: about the better one of two candidates, and about the other.
    pub fn sentences(self) -> [&'static str; 2] {
        match self {
            Self::Alone => ["there is no other", "there is no other"],
            Self::TypeAccepted => {
                ["its media type is acceptable, that of the next isn't", "its media type isn't acceptable"]
            }
            Self::LanguageAccepted => {
                ["its language is acceptable, that of the next isn't", "its language isn't acceptable"]
            }
            Self::Weight => ["its weights are the highest", "its weights are lower"],
            Self::LanguageMatch => [
                "equal weights; its language is the closest to what the client named",
                "equal weights; its language is less close to what the client named",
            ],
            Self::LanguageOrder => [
                "equal weights; its language is the first in the server's order",
                "equal weights; its language is later in the server's order",
            ],
            Self::TypeSpecificity => [
                "equal weights; the client named its media type most exactly",
                "equal weights; the client named its media type less exactly",
            ],
            Self::Size => ["equal weights; it is the smallest", "equal weights; it is larger"],
            Self::Order => ["all is equal; it comes first", "all is equal; it comes later"],
        }
    }
}

/// A candidate, as a client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ranked {
    /// Its number among the candidates.
    pub candidate: usize,
    /// What the client thinks of its language.
    pub language: LanguageFit,
    /// What the client thinks of its media type.
    pub media_type: TypeFit,
    /// The weight of its charset in thousandths, which decides nothing.
    pub charset: u16,
    /// What decided between it and the chosen one; for the chosen one, between it and the next.
    pub reason: Reason,
}

impl Ranked {
    /// Whether the client accepts it.
    pub fn is_acceptable(&self) -> bool {
        self.language.weight > 0 && self.media_type.weight > 0
    }

    /// The product of the weights, in millionths.
    pub fn quality(&self) -> u32 {
        u32::from(self.language.weight) * u32::from(self.media_type.weight)
    }
}

/// What the choice depends on, as Vary says it (RFC 9110 §12.5.5).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Dependence {
    /// On Accept-Language, and on the cookie.
    pub language: bool,
    /// On Accept.
    pub media_type: bool,
}

impl Dependence {
    /// The value of Vary; none if it depends on nothing.
    pub fn vary(self) -> Option<&'static str> {
        match (self.language, self.media_type) {
            (true, true) => Some("Accept-Language, Cookie, Accept"),
            (true, false) => Some("Accept-Language, Cookie"),
            (false, true) => Some("Accept"),
            (false, false) => None,
        }
    }
}

/// The candidates, the best first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ranking {
    /// All candidates.
    pub all: Vec<Ranked>,
    /// What the order depends on.
    pub dependence: Dependence,
    /// What took the place of Accept-Language, if something did.
    pub chosen_by: Option<OverrideSource>,
}

impl Ranking {
    /// Those that may be sent, the best first: all, or if that is `strict`, the acceptable ones.
    pub fn eligible(&self, strict: bool) -> &[Ranked] {
        let acceptable = self.all.iter().take_while(|ranked| ranked.is_acceptable()).count();
        if strict { &self.all[..acceptable] } else { &self.all }
    }
}

/// Ranks candidates for a client.
pub fn rank(candidates: &[Candidate<'_>], wishes: &Wishes<'_>, order: &Languages, strict: bool) -> Ranking {
    let has_languages = candidates.iter().any(|candidate| candidate.language.is_some());
    let is_there = |language: &Language| {
        let only = AcceptedLanguages::only(language);
        candidates.iter().any(|candidate| candidate.language.is_some_and(|own| only.fit(own).weight > 0))
    };
    let chosen = wishes.chosen.iter().find(|(_, language)| is_there(language));
    let only = chosen.map(|(_, language)| AcceptedLanguages::only(language));
    let accepted = only.as_ref().unwrap_or(&wishes.languages);
    let mut types: Vec<(&str, TypeFit)> = Vec::new();
    let mut all = Vec::with_capacity(candidates.len());
    for (number, candidate) in candidates.iter().enumerate() {
        let known = types.iter().find(|(media_type, _)| *media_type == candidate.media_type).map(|(_, fit)| *fit);
        let media_type = known.unwrap_or_else(|| {
            let fit = type_fit(&wishes.fields, candidate.media_type);
            types.push((candidate.media_type, fit));
            fit
        });
        let language = match candidate.language {
            Some(language) => accepted.fit(language),
            None if has_languages => LanguageFit { weight: 1, found: LanguageMatch::Nothing },
            None => LanguageFit::ANY,
        };
        let charset = charset_of(candidate.media_type);
        let charset = charset.map_or(FULL, |charset| charset_quality(&wishes.fields, charset));
        all.push(Ranked { candidate: number, language, media_type, charset, reason: Reason::Alone });
    }
    all.sort_by(|a, b| compare(a, b, candidates, order).map_or(Ordering::Equal, |(ordering, _)| ordering));
    let reason_of = |other: &Ranked| compare(&all[0], other, candidates, order).map_or(Reason::Alone, |found| found.1);
    let reasons: Vec<_> = all.iter().skip(1).map(reason_of).collect();
    for (at, ranked) in all.iter_mut().enumerate() {
        // The reason of the first one is that of the second.
        ranked.reason = reasons.get(at.saturating_sub(1)).copied().unwrap_or(Reason::Alone);
    }
    let differ =
        |same: fn(&Candidate<'_>, &Candidate<'_>) -> bool| candidates.windows(2).any(|two| !same(&two[0], &two[1]));
    let dependence = Dependence {
        language: chosen.is_none_or(|(source, _)| *source == OverrideSource::Cookie)
            && (differ(|a, b| a.language == b.language) || (strict && has_languages)),
        media_type: differ(|a, b| a.media_type == b.media_type) || (strict && !candidates.is_empty()),
    };
    Ranking { all, dependence, chosen_by: chosen.map(|(source, _)| *source) }
}

/// The order of two candidates, and what decides it. `None` if they are the same one.
fn compare(a: &Ranked, b: &Ranked, candidates: &[Candidate<'_>], order: &Languages) -> Option<(Ordering, Reason)> {
    let (of_a, of_b) = (candidates.get(a.candidate)?, candidates.get(b.candidate)?);
    let weight = |ranked: &Ranked| {
        Reverse(u32::from(ranked.language.weight.max(1)) * u32::from(ranked.media_type.weight.max(1)))
    };
    let place = |candidate: &Candidate<'_>| candidate.language.map_or(usize::MAX, |language| order.place(language));
    let steps = [
        (Reason::TypeAccepted, (a.media_type.weight == 0).cmp(&(b.media_type.weight == 0))),
        (Reason::LanguageAccepted, (a.language.weight == 0).cmp(&(b.language.weight == 0))),
        (Reason::Weight, weight(a).cmp(&weight(b))),
        (Reason::LanguageMatch, a.language.found.cmp(&b.language.found)),
        (Reason::LanguageOrder, place(of_a).cmp(&place(of_b)).then_with(|| of_a.language.cmp(&of_b.language))),
        (Reason::TypeSpecificity, b.media_type.specificity.cmp(&a.media_type.specificity)),
        (Reason::Size, of_a.size.cmp(&of_b.size)),
        (Reason::Order, a.candidate.cmp(&b.candidate)),
    ];
    steps.into_iter().find(|(_, ordering)| ordering.is_ne()).map(|(reason, ordering)| (ordering, reason))
}

/// The charset that a media type says.
pub fn charset_of(media_type: &str) -> Option<&str> {
    media_type.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("charset="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;
    use proptest::prelude::*;

    const HTML: &str = "text/html; charset=utf-8";
    const PDF: &str = "application/pdf";

    fn language(tag: &str) -> Language {
        Language::parse(tag.as_bytes()).unwrap()
    }

    /// Candidates as text: `de html 10`.
    fn with_candidates<R>(texts: &[&str], run: impl FnOnce(&[Candidate<'_>]) -> R) -> R {
        let parts: Vec<Vec<&str>> = texts.iter().map(|text| text.split(' ').collect()).collect();
        let languages: Vec<_> = parts.iter().map(|parts| Language::parse(parts[0].as_bytes())).collect();
        let candidates = parts.iter().zip(&languages).map(|(parts, language)| Candidate {
            language: language.as_ref(),
            media_type: match parts[1] {
                "html" => HTML,
                "pdf" => PDF,
                "avif" => "image/avif",
                "webp" => "image/webp",
                "jpg" => "image/jpeg",
                other => panic!("{other}"),
            },
            size: parts[2].parse().unwrap(),
        });
        run(&candidates.collect::<Vec<_>>())
    }

    fn ranking(texts: &[&str], lines: &[(&str, &str)], query: &str, strict: bool) -> Ranking {
        let lines = FieldLines::of(lines.iter().map(|(name, value)| (*name, value.as_bytes())));
        let order = Languages::parse("en,de").unwrap();
        with_candidates(texts, |candidates| {
            rank(candidates, &Wishes::of(&lines.fields(), Some(query.as_bytes())), &order, strict)
        })
    }

    /// The candidates in their order, and the reason.
    fn order(texts: &[&str], lines: &[(&str, &str)]) -> (Vec<usize>, Reason) {
        let ranking = ranking(texts, lines, "", false);
        (ranking.all.iter().map(|ranked| ranked.candidate).collect(), ranking.all[0].reason)
    }

    const PAGES: &[&str] = &["de html 10", "en html 20", "zh-CN html 5", "zh-TW html 5"];
    const PICTURES: &[&str] = &["x avif 10", "x jpg 30", "x webp 20"];
    const CHROMIUM: &str = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";

    #[test]
    fn the_order_of_pages_and_pictures() {
        use Reason::*;
        let al = |value| ("Accept-Language", value);
        let accept = |value| ("Accept", value);
        type Case<'c> = (&'c [&'c str], &'c [(&'c str, &'c str)], &'c [usize], Reason);
        let cases: &[Case<'_>] = &[
            (PAGES, &[], &[1, 0, 2, 3], LanguageOrder),
            (PAGES, &[al("*")], &[1, 0, 2, 3], LanguageOrder),
            (PAGES, &[al("de")], &[0, 1, 2, 3], LanguageAccepted),
            (PAGES, &[al("de;q=0.5, en;q=0.4")], &[0, 1, 2, 3], Weight),
            (PAGES, &[al("de;q=0.5, en;q=0.5")], &[1, 0, 2, 3], LanguageOrder),
            (PAGES, &[al("de, en")], &[1, 0, 2, 3], LanguageOrder),
            (PAGES, &[al("de, *;q=0.5")], &[0, 1, 2, 3], Weight),
            (PAGES, &[al("zh, zh-CN;q=0.9")], &[2, 3, 1, 0], LanguageMatch),
            (PAGES, &[al("zh, zh-TW;q=0.9")], &[3, 2, 1, 0], LanguageMatch),
            (PAGES, &[al("en-US")], &[1, 0, 2, 3], LanguageAccepted),
            (PAGES, &[al("fr")], &[1, 0, 2, 3], LanguageOrder),
            (PAGES, &[al("en;q=0")], &[0, 2, 3, 1], LanguageOrder),
            (PAGES, &[al("de"), accept("image/png")], &[0, 1, 2, 3], LanguageAccepted),
            (PICTURES, &[], &[0, 2, 1], Size),
            (PICTURES, &[accept(CHROMIUM)], &[0, 2, 1], Size),
            (PICTURES, &[accept("image/webp,*/*")], &[2, 0, 1], TypeSpecificity),
            (PICTURES, &[accept("image/jpeg, image/*;q=0.9")], &[1, 0, 2], Weight),
            (PICTURES, &[accept("image/jpeg")], &[1, 0, 2], TypeAccepted),
            (PICTURES, &[accept("image/avif;q=0, */*")], &[2, 1, 0], Size),
            (PICTURES, &[accept("text/html")], &[0, 2, 1], Size),
            (&["de html 10"], &[al("fr")], &[0], Alone),
            (&["de pdf 9", "en html 9"], &[al("de, en;q=0.5"), accept("text/html, */*;q=0.1")], &[1, 0], Weight),
            (&["de pdf 9", "en html 9"], &[al("de"), accept("text/html")], &[1, 0], TypeAccepted),
            (&["x html 1", "de html 9"], &[al("de;q=0.5")], &[1, 0], Weight),
            (&["x html 1", "de html 9"], &[al("fr")], &[0, 1], LanguageAccepted),
            (&["x html 1", "de html 9"], &[], &[1, 0], Weight),
            (&["de html 9", "de html 9"], &[], &[0, 1], Order),
        ];
        for (candidates, lines, expected, reason) in cases {
            assert_eq!(order(candidates, lines), (expected.to_vec(), *reason), "{candidates:?} {lines:?}");
        }
    }

    #[test]
    fn only_what_is_acceptable_is_eligible_if_it_is_strict() {
        let first = |lines: &[(&str, &str)], strict| {
            ranking(PAGES, lines, "", strict).eligible(strict).iter().map(|ranked| ranked.candidate).collect::<Vec<_>>()
        };
        let fr = [("Accept-Language", "fr")];
        assert_eq!((first(&fr, false), first(&fr, true)), (vec![1, 0, 2, 3], vec![]));
        assert_eq!((first(&[], false), first(&[], true)), (vec![1, 0, 2, 3], vec![1, 0, 2, 3]));
        let de = [("Accept-Language", "de")];
        assert_eq!((first(&de, false), first(&de, true)), (vec![0, 1, 2, 3], vec![0]));
        let png = [("Accept", "image/png")];
        assert_eq!((first(&png, false), first(&png, true)), (vec![1, 0, 2, 3], vec![]));
        let charset = [("Accept-Charset", "iso-8859-1")];
        assert_eq!(first(&charset, true), [1, 0, 2, 3]);
        assert_eq!(ranking(PAGES, &charset, "", true).all[0].charset, 0);
        assert_eq!(ranking(PICTURES, &charset, "", true).all[0].charset, 1000);
    }

    #[test]
    fn the_query_or_the_cookie_takes_the_place_of_accept_language() {
        use OverrideSource::*;
        let languages = "Accept-Language, Cookie";
        for (query, cookie, expected, source, vary) in [
            ("", "", 1, None, Some(languages)),
            ("lang=de", "", 0, Some(Query), None),
            ("a=b&lang=DE&c", "lang=en", 0, Some(Query), None),
            ("lang=de&lang=en", "", 0, Some(Query), None),
            ("%6cang=%64%65", "", 0, Some(Query), None),
            ("lang=zh%2DCN", "", 2, Some(Query), None),
            ("lang=de-AT", "", 0, Some(Query), None),
            ("lang=zh", "", 2, Some(Query), None),
            ("lang=fr", "", 1, None, Some(languages)),
            ("lang=", "", 1, None, Some(languages)),
            ("lang=*", "", 1, None, Some(languages)),
            ("lang=../../etc", "", 1, None, Some(languages)),
            ("lang=de%00", "", 1, None, Some(languages)),
            ("language=de", "", 1, None, Some(languages)),
            ("", "lang=de", 0, Some(Cookie), Some(languages)),
            ("", "a=b; lang=\"de\"", 0, Some(Cookie), Some(languages)),
            ("", "lang=fr", 1, None, Some(languages)),
            ("lang=fr", "lang=de", 0, Some(Cookie), Some(languages)),
        ] {
            let lines = [("Accept-Language", "en"), ("Cookie", cookie)];
            let ranking = ranking(PAGES, &lines, query, false);
            let found = (ranking.all[0].candidate, ranking.chosen_by, ranking.dependence.vary());
            assert_eq!(found, (expected, source, vary), "{query} {cookie}");
        }
    }

    #[test]
    fn vary_says_what_the_choice_depends_on() {
        for (candidates, strict, vary) in [
            (PAGES, false, Some("Accept-Language, Cookie")),
            (PAGES, true, Some("Accept-Language, Cookie, Accept")),
            (PICTURES, false, Some("Accept")),
            (&["de pdf 1", "en html 1"], false, Some("Accept-Language, Cookie, Accept")),
            (&["x html 1", "en html 1"], false, Some("Accept-Language, Cookie")),
            (&["en html 1"], false, None),
            (&["en html 1"], true, Some("Accept-Language, Cookie, Accept")),
            (&["x html 1"], true, Some("Accept")),
            (&[], true, None),
        ] {
            assert_eq!(ranking(candidates, &[], "", strict).dependence.vary(), vary, "{candidates:?}");
        }
    }

    const MIXED: &[&[&str]] = &[
        &["de pdf 9", "de html 9", "en html 8", "x html 7", "x pdf 1"],
        &["en-GB html 1", "en html 2", "de-CH html 3"],
        &["de html 1", "de pdf 2"],
        &["x html 1", "de html 2"],
        &["de html 1"],
    ];

    /// What a cache may send instead of the server: what was sent for another request with the same
    /// URL, which agrees in all fields that Vary named.
    #[test]
    fn requests_that_agree_in_what_vary_names_get_the_same() {
        let of_language = ["", "de", "en;q=0.5, de;q=0.4", "zh, x", "fr", "*;q=0"];
        let of_cookie = ["", "lang=de", "lang=fr"];
        let of_type = ["", "text/html", "application/pdf;q=0.5, */*;q=0.4", "image/webp, */*", "*/*;q=0"];
        let of_charset = ["", "iso-8859-1"];
        let mut requests = Vec::new();
        for language in of_language {
            for cookie in of_cookie {
                for media in of_type {
                    requests.extend(of_charset.map(|charset| {
                        [
                            ("Accept-Language", language),
                            ("Cookie", cookie),
                            ("Accept", media),
                            ("Accept-Charset", charset),
                        ]
                    }));
                }
            }
        }
        for set in [PAGES, PICTURES].iter().chain(MIXED) {
            for (query, strict) in ["", "lang=de", "lang=fr"].iter().flat_map(|query| [(query, false), (query, true)]) {
                let responses = requests.iter().map(|lines| {
                    let ranking = ranking(set, lines, query, strict);
                    let chosen = ranking.eligible(strict).first().map(|ranked| ranked.candidate);
                    (chosen, ranking.dependence.vary().unwrap_or_default().split(", ").collect::<Vec<_>>())
                });
                let responses: Vec<_> = responses.collect();
                for (stored, (sent, vary)) in requests.iter().zip(&responses) {
                    for (request, (chosen, _)) in requests.iter().zip(&responses) {
                        let mut pairs = stored.iter().zip(request);
                        if pairs.all(|(one, other)| one == other || !vary.contains(&one.0)) {
                            assert_eq!(sent, chosen, "{set:?} {query} {strict}: {stored:?} for {request:?}");
                        }
                    }
                }
            }
        }
    }

    /// Each candidate against each other one, for each pair of fields: the chosen one loses to none.
    #[test]
    fn the_choice_is_that_of_a_model_that_tries_all() {
        let ranges = ["", "de", "de;q=0.5", "en-GB, en;q=0.7", "zh, de;q=0.9", "en;q=0, *;q=0.2", "fr", "*", "de-DE"];
        let types = ["", "*/*", "text/html;q=0.5, */*;q=0.4", "image/webp,image/*;q=0.5", CHROMIUM, "application/pdf"];
        for set in [PAGES, PICTURES].iter().chain(MIXED) {
            for languages in ranges {
                for media in types {
                    let lines = [("Accept-Language", languages), ("Accept", media)];
                    let chosen = ranking(set, &lines, "", false).all[0].candidate;
                    assert_eq!(chosen, model(set, &lines), "{set:?} {lines:?}");
                }
            }
        }
    }

    fn model(texts: &[&str], lines: &[(&str, &str); 2]) -> usize {
        let lines = FieldLines::of(lines.iter().map(|(name, value)| (*name, value.as_bytes())));
        let fields = lines.fields();
        let accepted = AcceptedLanguages::of(&fields);
        with_candidates(texts, |candidates| {
            let any_language = candidates.iter().any(|candidate| candidate.language.is_some());
            let key = |number: usize| {
                let candidate = candidates[number];
                let of_type = type_fit(&fields, candidate.media_type);
                let fit = match candidate.language {
                    Some(language) => accepted.fit(language),
                    None if any_language => LanguageFit { weight: 1, found: LanguageMatch::Nothing },
                    None => LanguageFit::ANY,
                };
                let product = f64::from(fit.weight.max(1)) * f64::from(of_type.weight.max(1));
                let place = candidate.language.map_or(9, |language| match language.as_str() {
                    tag if tag.starts_with("en") => 0,
                    tag if tag.starts_with("de") => 1,
                    _ => 2,
                });
                let tag = candidate.language.map_or("zz", Language::as_str);
                let acceptable = (of_type.weight == 0, fit.weight == 0, -product as i64);
                (acceptable, fit.found, place, tag, -(of_type.specificity as i64), candidate.size, number)
            };
            (0..candidates.len()).min_by_key(|number| key(*number)).unwrap()
        })
    }

    proptest! {
        /// Whatever a client says, each candidate has one place, and the acceptable ones come first.
        #[test]
        fn any_client_gets_an_order_of_all(
            language in "(de|en|-|CH|\\*|;|q=|[0-9.]|,| |\"|\\\\|=|\u{e4}){0,16}",
            media in "(text|/|html|image|\\*|;|q=|[0-9.]|,| |\"|=){0,16}",
            cookie in "(lang|=|de|en|;|,| |\"|-){0,8}",
            query in "(lang|=|de|en|&|%|6c|-|\\+){0,8}",
            strict: bool,
        ) {
            let lines = [("Accept-Language", &*language), ("Accept", &*media), ("Cookie", &*cookie)];
            for set in [PAGES, PICTURES].iter().chain(MIXED) {
                let ranking = ranking(set, &lines, &query, strict);
                let mut places: Vec<_> = ranking.all.iter().map(|ranked| ranked.candidate).collect();
                places.sort_unstable();
                prop_assert_eq!(places, (0..set.len()).collect::<Vec<_>>());
                let acceptable: Vec<_> = ranking.all.iter().map(Ranked::is_acceptable).collect();
                prop_assert!(acceptable.is_sorted_by(|one, next| one >= next));
            }
        }
    }

    #[test]
    fn the_charset_of_a_type() {
        assert_eq!(charset_of(HTML), Some("utf-8"));
        assert_eq!((charset_of(PDF), charset_of("a/b;x=y")), (None, None));
        assert_eq!(language("de").as_str(), "de");
    }
}
