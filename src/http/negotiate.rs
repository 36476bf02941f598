//! Content negotiation: weights, Accept and Accept-Charset (RFC 9110 §12.4.2, §12.5.1, §12.5.2).
//!
//! Weights are thousandths, 0 to 1000. A malformed `qvalue` counts as 1, the default,
//! because the client did name the media range.

use super::Fields;
use super::grammar::{split_unquoted, trim_ows};
use crate::limits;

/// The largest weight, `q=1`.
pub(super) const FULL: u16 = 1000;

/// The weight of `media_type`, which may have parameters, in the Accept field: that of the most
/// specific media range that includes it (RFC 9110 §12.5.1), or 0 if there is none. Without the
/// field every type is acceptable.
pub fn quality(fields: &Fields<'_>, media_type: &str) -> u16 {
    type_fit(fields, media_type).weight
}

/// What a client thinks of a media type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TypeFit {
    /// Its weight in thousandths; 0: it isn't acceptable.
    pub weight: u16,
    /// How specific the media range is that includes it: 0 for `*/*` or no field, 1 for `type/*`, 2
    /// for the type, and one more for each parameter.
    pub specificity: usize,
}

/// The weight of a media type, as [`quality`], and how specific the range is that says it.
pub fn type_fit(fields: &Fields<'_>, media_type: &str) -> TypeFit {
    let mut parts = split_unquoted(media_type.as_bytes(), b';');
    let essence = parts.next().unwrap_or_default();
    let mut is_empty = true;
    let best = ranges(fields)
        .inspect(|_| is_empty = false)
        .filter_map(|range| Some((range.specificity(essence, media_type.as_bytes())?, range.weight())))
        .max();
    let (specificity, weight) = best.unwrap_or((0, if is_empty { FULL } else { 0 }));
    TypeFit { weight, specificity }
}

/// The weight of a charset in the Accept-Charset field. The field is deprecated, and what isn't
/// acceptable by it may be sent all the same (RFC 9110 §12.5.2). Without it every charset is
/// acceptable.
pub fn charset_quality(fields: &Fields<'_>, charset: &str) -> u16 {
    let (mut named, mut others, mut is_empty) = (None, None, true);
    for member in fields.tokens("accept-charset").take(limits::PREFERENCES) {
        is_empty = false;
        let mut parts = split_unquoted(member, b';');
        match parts.next().unwrap_or_default() {
            b"*" => others = Some(weight(parts)),
            name if name.eq_ignore_ascii_case(charset.as_bytes()) => named = Some(weight(parts)),
            _ => {}
        }
    }
    named.or(others).unwrap_or(if is_empty { FULL } else { 0 })
}

/// Whether to respond with JSON rather than HTML: the client names `application/json`, which
/// browsers don't do when they navigate, with at least the weight of HTML.
pub fn prefers_json(fields: &Fields<'_>) -> bool {
    const JSON: &str = "application/json";
    let json = quality(fields, JSON);
    let is_named = ranges(fields).any(|range| range.essence.eq_ignore_ascii_case(JSON.as_bytes()));
    is_named && json > 0 && json >= quality(fields, "text/html")
}

/// Whether to respond with HTML rather than plain text. A browser prefers HTML; `*/*`, or no
/// Accept field, is no preference.
pub fn prefers_html(fields: &Fields<'_>) -> bool {
    quality(fields, "text/html") > quality(fields, "text/plain")
}

/// Whether `text/html` is acceptable, also by a wildcard or without an Accept field.
pub fn accepts_html(fields: &Fields<'_>) -> bool {
    quality(fields, "text/html") > 0
}

/// One member of the Accept field.
struct MediaRange<'a> {
    /// `type/subtype`, `type/*` or `*/*`.
    essence: &'a [u8],
    whole: &'a [u8],
}

/// The first [`limits::PREFERENCES`] members of the Accept field over all its lines.
fn ranges<'a>(fields: &Fields<'a>) -> impl Iterator<Item = MediaRange<'a>> + use<'a> {
    fields
        .all("accept")
        .flat_map(|line| split_unquoted(line, b','))
        .take(limits::PREFERENCES)
        .map(|whole| MediaRange { essence: split_unquoted(whole, b';').next().unwrap_or_default(), whole })
}

impl<'a> MediaRange<'a> {
    fn parameters(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        split_unquoted(self.whole, b';').skip(1)
    }

    fn weight(&self) -> u16 {
        weight(self.parameters())
    }

    /// How specific the range is for a media type; `None` if it doesn't include the type. Every
    /// parameter of the range must be one of the type's, and makes the range more specific.
    fn specificity(&self, essence: &[u8], media_type: &[u8]) -> Option<usize> {
        if self.essence == b"*/*" {
            return Some(0);
        }
        if let Some(main) = self.essence.strip_suffix(b"*")
            && main.ends_with(b"/")
        {
            let start = essence.get(..main.len())?;
            return start.eq_ignore_ascii_case(main).then_some(1);
        }
        if !self.essence.eq_ignore_ascii_case(essence) {
            return None;
        }
        // What follows the weight isn't a parameter of the media type.
        let mut wanted = self.parameters().take_while(|parameter| weight_value(parameter).is_none());
        wanted.try_fold(2, |specificity, wanted| {
            let mut own = split_unquoted(media_type, b';').skip(1);
            own.any(|own| same_parameter(own, wanted)).then_some(specificity + 1)
        })
    }
}

/// Whether two `name=value` are equal. The value may be quoted. The comparison is
/// case-insensitive, as that of a charset.
fn same_parameter(a: &[u8], b: &[u8]) -> bool {
    fn plain(parameter: &[u8]) -> impl Iterator<Item = u8> {
        parameter.iter().filter(|&&byte| byte != b'"').map(u8::to_ascii_lowercase)
    }
    plain(a).eq(plain(b))
}

/// The weight among `parameters`; 1000 if there is none.
pub(super) fn weight<'a>(mut parameters: impl Iterator<Item = &'a [u8]>) -> u16 {
    parameters.find_map(weight_value).map_or(FULL, |value| parse_qvalue(value).unwrap_or(FULL))
}

/// The value of a parameter `q` (RFC 9110 §12.4.2).
fn weight_value(parameter: &[u8]) -> Option<&[u8]> {
    match parameter {
        [b'q' | b'Q', b'=', value @ ..] => Some(trim_ows(value)),
        _ => None,
    }
}

/// `qvalue`: 0 to 1 with at most three decimals (RFC 9110 §12.4.2).
fn parse_qvalue(value: &[u8]) -> Option<u16> {
    let (whole, decimals) = match value {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut thousandths = 0;
    for place in 0..3 {
        let digit = decimals.get(place).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths = thousandths * 10 + u16::from(digit - b'0');
    }
    match whole {
        b'0' => Some(thousandths),
        _ => (thousandths == 0).then_some(FULL),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::http::FieldLines;
    use proptest::prelude::*;

    pub(in crate::http) fn with_lines<R>(name: &str, values: &[&str], run: impl FnOnce(&Fields<'_>) -> R) -> R {
        run(&FieldLines::of(values.iter().map(|value| (name, value.as_bytes()))).fields())
    }

    #[test]
    fn qvalues_are_parsed_strictly() {
        for (value, expected) in [
            ("0", Some(0)),
            ("1", Some(1000)),
            ("0.", Some(0)),
            ("1.", Some(1000)),
            ("0.5", Some(500)),
            ("0.05", Some(50)),
            ("0.005", Some(5)),
            ("0.999", Some(999)),
            ("1.000", Some(1000)),
            ("0.0005", None),
            ("1.001", None),
            ("1.1", None),
            ("2", None),
            ("", None),
            (".5", None),
            ("-1", None),
            ("0,5", None),
            ("0.x", None),
            ("\"0\"", None),
            ("00", None),
            ("1e0", None),
        ] {
            assert_eq!(parse_qvalue(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn the_most_specific_range_decides() {
        const RFC: &[&str] =
            &["text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, text/plain;format=fixed;q=0.4, */*;q=0.5"];
        let cases: &[(&[&str], &str, u16)] = &[
            (&[], "text/html", 1000),
            (&[""], "text/html", 1000),
            (&["*/*"], "text/html", 1000),
            (&["*/*;q=0"], "text/html", 0),
            (&["text/html"], "text/html", 1000),
            (&["TEXT/HTML"], "text/html", 1000),
            (&["text/html"], "text/plain", 0),
            (&["text/html"], "text/html; charset=utf-8", 1000),
            (&["text/html;charset=UTF-8"], "text/html; charset=utf-8", 1000),
            (&["text/html;charset=\"utf-8\""], "text/html; charset=utf-8", 1000),
            (&["text/html;charset=latin1"], "text/html; charset=utf-8", 0),
            (&["text/html;level=1;q=0.5, text/html;q=0.2"], "text/html", 200),
            (&["text/html;x=\"a,b;q=0\""], "text/html;x=\"a,b;q=0\"", 1000),
            (&["*/*;q=0.9, text/html;q=0.1"], "text/html", 100),
            (&["text/html;q=0.1", "*/*;q=0.9"], "text/html", 100),
            (&["text/*;q=0.2, */*;q=0.9"], "text/html", 200),
            (&["text/*"], "textual/html", 0),
            (&["text/html;q=0.2, text/html;q=0.8"], "text/html", 800),
            (&["text/html;q=abc"], "text/html", 1000),
            (&["text/html;q=2"], "text/html", 1000),
            (&["text/html ; Q=0.5"], "text/html", 500),
            (&["text/html;q=0.5;ext=1"], "text/html", 500),
            (&["text"], "text/html", 0),
            (&["*"], "text/html", 0),
            (&[", ,text/html"], "text/html", 1000),
            // The table in RFC 9110 §12.5.1.
            (RFC, "text/plain;format=flowed", 1000),
            (RFC, "text/plain", 700),
            (RFC, "text/html", 300),
            (RFC, "image/jpeg", 500),
            (RFC, "text/plain;format=fixed", 400),
            (RFC, "text/html;level=3", 300),
        ];
        for (lines, media_type, expected) in cases {
            let quality = with_lines("Accept", lines, |fields| quality(fields, media_type));
            assert_eq!(quality, *expected, "{media_type} in {lines:?}");
        }
    }

    /// The rules of RFC 9110 §12.5.1, one after the other, for each list of three ranges.
    #[test]
    fn the_fit_is_that_of_a_model_that_tries_all() {
        let types = ["text/html; charset=utf-8", "text/html", "text/plain", "image/png"];
        let names =
            ["text/html", "TEXT/*", "*/*", "text/html;charset=utf-8", "text/html;level=1", "image/png", "text", "*"];
        let members: Vec<_> = names.iter().flat_map(|name| [0, 300, 1000].map(|weight| (*name, weight))).collect();
        for a in &members {
            for b in &members {
                for c in &members {
                    let line = [a, b, c].map(|(name, weight)| format!("{name};q={}", f32::from(*weight) / 1000.0));
                    for media_type in types {
                        let fit = with_lines("Accept", &[&line.join(", ")], |fields| type_fit(fields, media_type));
                        let expected = model(&[*a, *b, *c], media_type);
                        assert_eq!((fit.weight, fit.specificity), expected, "{media_type} in {line:?}");
                    }
                }
            }
        }
    }

    /// The weight and the specificity.
    fn model(ranges: &[(&str, u16)], media_type: &str) -> (u16, usize) {
        let parts = |text: &str| -> Vec<String> { text.split(';').map(|part| part.trim().to_lowercase()).collect() };
        let of_type = parts(media_type);
        let specificity = |range: &str| {
            let of_range = parts(range);
            let kind = of_type[0].split('/').next().unwrap();
            match of_range[0].as_str() {
                "*/*" => Some(0),
                all if all == format!("{kind}/*") => Some(1),
                own if own == of_type[0] && of_range[1..].iter().all(|part| of_type[1..].contains(part)) => {
                    Some(1 + of_range.len())
                }
                _ => None,
            }
        };
        let including = ranges.iter().filter_map(|(range, weight)| Some((specificity(range)?, *weight)));
        let including: Vec<_> = including.collect();
        let Some(most) = including.iter().map(|(specificity, _)| *specificity).max() else { return (0, 0) };
        let of_these = including.iter().filter(|(specificity, _)| *specificity == most);
        (of_these.map(|(_, weight)| *weight).max().unwrap(), most)
    }

    #[test]
    fn the_range_says_how_specific_it_is() {
        let html = "text/html; charset=utf-8";
        for (line, specificity) in [
            ("", 0),
            ("*/*", 0),
            ("image/png", 0),
            ("*/*, text/*", 1),
            ("text/*, text/html;q=0.5", 2),
            ("text/html;charset=utf-8", 3),
        ] {
            assert_eq!(
                with_lines("Accept", &[line], |fields| type_fit(fields, html)).specificity,
                specificity,
                "{line}"
            );
        }
        let many = "image/png, ".repeat(limits::PREFERENCES);
        assert_eq!(with_lines("Accept", &[&many, "text/html"], |fields| quality(fields, html)), 0, "too many members");
    }

    #[test]
    fn charsets_have_weights() {
        let cases: &[(&[&str], u16)] = &[
            (&[], 1000),
            (&[""], 1000),
            (&["UTF-8;q=0.7"], 700),
            (&["iso-8859-1"], 0),
            (&["iso-8859-1, *;q=0.2"], 200),
            (&["*;q=0", "utf-8"], 1000),
            (&["utf-8;q=0, *"], 0),
        ];
        for (lines, weight) in cases {
            let found = with_lines("Accept-Charset", lines, |fields| charset_quality(fields, "utf-8"));
            assert_eq!(found, *weight, "{lines:?}");
        }
    }

    #[test]
    fn json_or_html_is_preferred() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        // The field; whether JSON is preferred, whether HTML is accepted.
        let cases: &[(&[&str], bool, bool)] = &[
            (&[], false, true),
            (&["*/*"], false, true),
            (&[browser], false, true),
            (&["application/json"], true, false),
            (&["Application/JSON"], true, false),
            (&["application/json, text/plain, */*"], true, true),
            (&["application/json, text/html"], true, true),
            (&["application/json;q=0.9, text/html"], false, true),
            (&["application/json;q=0"], false, false),
            (&["application/json;q=0, */*;q=0"], false, false),
            (&["application/*"], false, false),
            (&["text/html", "application/json"], true, true),
            (&["application/json;profile=x"], false, false),
            (&["image/png"], false, false),
        ];
        for (lines, json, html) in cases {
            let both = with_lines("Accept", lines, |fields| (prefers_json(fields), accepts_html(fields)));
            assert_eq!(both, (*json, *html), "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn weights_never_panic_and_are_in_range(value in "(text|/|html|\\*|;|q=|[0-9.]|,| |\"|\\\\|=){0,24}") {
            let quality = with_lines("Accept", &[&value], |fields| quality(fields, "text/html; charset=utf-8"));
            prop_assert!(quality <= 1000);
        }
    }
}
