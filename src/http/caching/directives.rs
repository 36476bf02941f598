//! What Cache-Control means to a shared cache (RFC 9111 §5.2, RFC 5861, RFC 8246), and
//! CDN-Cache-Control, which replaces it for the cache of a reverse proxy (RFC 9213).
//!
//! What is malformed or contradictory never allows more than what is not: a directive that
//! forbids counts whatever its argument is; of several numbers the smallest counts, which is
//! never later than the first of them, the one that the RFC would use (§4.2.1); a lifetime that
//! isn't a number is 0; and if a quoted string has no end, nothing is stored.

use super::exchange::Settings;
use super::structured::{Item, dictionary};
use crate::http::Fields;
use crate::http::cache_control::{self, MAX_SECONDS};
use crate::http::grammar::{has_closed_quotes, is_token, trim_ows};

/// The directives of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ResponseDirectives {
    /// `no-store` (§5.2.2.5).
    pub no_store: bool,
    /// `no-cache` without field names (§5.2.2.4).
    pub no_cache: bool,
    /// `private` without field names (§5.2.2.7).
    pub private: bool,
    /// `no-cache` or `private` with field names: such fields aren't stored.
    pub names_fields: bool,
    /// `public` (§5.2.2.9).
    pub public: bool,
    /// `must-revalidate` (§5.2.2.2).
    pub must_revalidate: bool,
    /// `proxy-revalidate` (§5.2.2.8).
    pub proxy_revalidate: bool,
    /// `must-understand` (§5.2.2.3).
    pub must_understand: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
    /// `s-maxage` in seconds (§5.2.2.10).
    pub s_maxage: Option<u32>,
    /// `max-age` in seconds (§5.2.2.1).
    pub max_age: Option<u32>,
    /// `stale-while-revalidate` in seconds (RFC 5861 §3).
    pub stale_while_revalidate: Option<u32>,
    /// `stale-if-error` in seconds (RFC 5861 §4).
    pub stale_if_error: Option<u32>,
    /// They are those of CDN-Cache-Control, so Cache-Control and Expires have no effect (RFC
    /// 9213 §2.2).
    pub targeted: bool,
    /// There is at least one directive, known or not.
    pub present: bool,
}

/// The argument of a directive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Argument<'a> {
    Absent,
    /// A number, a token or the content of a quoted string.
    Text(&'a [u8]),
    Malformed,
}

impl ResponseDirectives {
    /// The directives of a response with these fields.
    pub fn of(fields: &Fields<'_>, settings: &Settings) -> Self {
        let mut found = Self { targeted: is_targeted(fields, settings), ..Self::default() };
        if !found.targeted {
            found.no_store = fields.all("cache-control").any(|line| !has_closed_quotes(line));
        }
        each(fields, found.targeted, |name, argument| found.add(name, argument));
        found
    }

    fn add(&mut self, name: &[u8], argument: Argument<'_>) {
        self.present = true;
        let plain = argument == Argument::Absent;
        let is = |usual: &str| name.eq_ignore_ascii_case(usual.as_bytes());
        match name.len() {
            6 if is("public") => self.public |= plain,
            7 if is("max-age") => lower(&mut self.max_age, argument),
            7 if is("private") => self.forbid(argument, |directives| &mut directives.private),
            8 if is("no-store") => self.no_store = true,
            8 if is("no-cache") => self.forbid(argument, |directives| &mut directives.no_cache),
            8 if is("s-maxage") => lower(&mut self.s_maxage, argument),
            9 if is("immutable") => self.immutable |= plain,
            14 if is("stale-if-error") => lower(&mut self.stale_if_error, argument),
            15 if is("must-revalidate") => self.must_revalidate = true,
            15 if is("must-understand") => self.must_understand |= plain,
            16 if is("proxy-revalidate") => self.proxy_revalidate = true,
            22 if is("stale-while-revalidate") => lower(&mut self.stale_while_revalidate, argument),
            _ => {}
        }
    }

    fn forbid(&mut self, argument: Argument<'_>, whole: fn(&mut Self) -> &mut bool) {
        match argument {
            Argument::Text(names) if can_be_left_out(names) => self.names_fields = true,
            _ => *whole(self) = true,
        }
    }

    /// Whether a stale response may never be used without validation (§4.2.4).
    pub fn forbid_stale(&self) -> bool {
        self.no_cache || self.must_revalidate || self.proxy_revalidate || self.s_maxage.is_some()
    }

    /// Whether the response to a request with Authorization may be stored (§3.5).
    pub fn allow_authorized(&self) -> bool {
        self.public || self.must_revalidate || self.s_maxage.is_some()
    }

    /// Whether `no-cache` or `private` of `fields`, from which these directives were made, names
    /// the field `name`.
    pub fn exclude(&self, fields: &Fields<'_>, name: &[u8]) -> bool {
        let mut excluded = false;
        if self.names_fields {
            each(fields, self.targeted, |directive, argument| {
                if let Argument::Text(names) = argument
                    && (directive.eq_ignore_ascii_case(b"no-cache") || directive.eq_ignore_ascii_case(b"private"))
                {
                    excluded |= members(names).any(|member| member.eq_ignore_ascii_case(name));
                }
            });
        }
        excluded
    }
}

/// The directives of a request (§5.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RequestDirectives {
    /// `no-cache`; or Pragma says it, and there is no Cache-Control (§5.4).
    pub no_cache: bool,
    /// `no-store`.
    pub no_store: bool,
    /// `only-if-cached`.
    pub only_if_cached: bool,
    /// `max-age` in seconds; what isn't a number is 0.
    pub max_age: Option<u32>,
    /// `min-fresh` in seconds; 0 by default.
    pub min_fresh: u32,
    /// `max-stale` in seconds; the largest number if it has no argument.
    pub max_stale: Option<u32>,
    /// `stale-if-error` in seconds (RFC 5861 §4); 0 by default.
    pub stale_if_error: u32,
}

impl RequestDirectives {
    /// The directives of a request with these fields.
    pub fn of(fields: &Fields<'_>) -> Self {
        let mut found = Self::default();
        let mut present = false;
        for line in fields.all("cache-control") {
            present = true;
            found.no_cache |= !has_closed_quotes(line);
            found.no_store |= !has_closed_quotes(line);
            for directive in cache_control::directives(line) {
                let argument = argument(&directive);
                let number = seconds(argument);
                match directive.name.len() {
                    7 if directive.is("max-age") => lower(&mut found.max_age, argument),
                    8 if directive.is("no-cache") => found.no_cache = true,
                    8 if directive.is("no-store") => found.no_store = true,
                    9 if directive.is("min-fresh") => {
                        found.min_fresh = found.min_fresh.max(number.unwrap_or(MAX_SECONDS));
                    }
                    9 if directive.is("max-stale") && argument == Argument::Absent => {
                        found.max_stale = found.max_stale.or(Some(MAX_SECONDS));
                    }
                    9 if directive.is("max-stale") => lower(&mut found.max_stale, argument),
                    14 if directive.is("only-if-cached") => found.only_if_cached = true,
                    14 if directive.is("stale-if-error") => found.stale_if_error = number.unwrap_or(0),
                    _ => {}
                }
            }
        }
        if !present {
            found.no_cache = is_no_cache_pragma(fields);
        }
        found
    }
}

/// Whether there is `Pragma: no-cache` (§5.4).
pub(super) fn is_no_cache_pragma(fields: &Fields<'_>) -> bool {
    fields.tokens("pragma").any(|token| token.eq_ignore_ascii_case(b"no-cache"))
}

/// The seconds of an argument; none if it isn't a number.
fn seconds(argument: Argument<'_>) -> Option<u32> {
    match argument {
        Argument::Text(digits) => cache_control::seconds(digits),
        Argument::Absent | Argument::Malformed => None,
    }
}

/// Lowers `value` to that of `argument`; to 0 if it isn't a number.
fn lower(value: &mut Option<u32>, argument: Argument<'_>) {
    let number = seconds(argument).unwrap_or(0);
    *value = Some(value.map_or(number, |before| before.min(number)));
}

/// Fields that the rules of caches or the meaning of content depend on. A response without one
/// of them is another response, so it can't be stored without it.
const ESSENTIAL: [&str; 12] = [
    "Age",
    "Cache-Control",
    "CDN-Cache-Control",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Date",
    "ETag",
    "Expires",
    "Last-Modified",
    "Vary",
];

/// Whether a response without the field `name` is another response.
pub(super) fn is_essential(name: &[u8]) -> bool {
    ESSENTIAL.iter().any(|essential| essential.as_bytes().eq_ignore_ascii_case(name))
}

/// Whether `names` is a list of field names, at least one, without any of which the response can
/// be stored. If not, the directive is meant for the whole response.
fn can_be_left_out(names: &[u8]) -> bool {
    members(names).next().is_some() && members(names).all(|name| is_token(name) && !is_essential(name))
}

fn members(names: &[u8]) -> impl Iterator<Item = &[u8]> {
    names.split(|&byte| byte == b',').map(trim_ows).filter(|name| !name.is_empty())
}

fn argument<'a>(directive: &cache_control::Directive<'a>) -> Argument<'a> {
    match (directive.argument, directive.value()) {
        (None, _) => Argument::Absent,
        (Some(_), Some(value)) => Argument::Text(value),
        (Some(_), None) => Argument::Malformed,
    }
}

/// Whether CDN-Cache-Control applies: it isn't empty, and is valid (RFC 9213 §2.2).
fn is_targeted(fields: &Fields<'_>, settings: &Settings) -> bool {
    let mut count = 0;
    settings.gateway && fields.all("cdn-cache-control").all(|line| dictionary(line, |_, _| count += 1)) && count > 0
}

/// Calls `add` for each directive that applies to a response. Unlike in other dictionaries, a
/// member that is repeated doesn't replace the first: both count, as in Cache-Control.
fn each<'a>(fields: &Fields<'a>, targeted: bool, mut add: impl FnMut(&'a [u8], Argument<'a>)) {
    if targeted {
        for line in fields.all("cdn-cache-control") {
            dictionary(line, |name, item| match item {
                Item::Boolean(false) => {}
                Item::Boolean(true) => add(name, Argument::Absent),
                Item::Integer(digits) => add(name, Argument::Text(digits)),
                // A number must not be quoted here.
                Item::Text(text) if cache_control::seconds(text).is_none() => add(name, Argument::Text(text)),
                Item::Text(_) | Item::Other => add(name, Argument::Malformed),
            });
        }
        return;
    }
    for line in fields.all("cache-control") {
        for directive in cache_control::directives(line) {
            add(directive.name, argument(&directive));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;

    fn response(gateway: bool, lines: &[(&str, &str)]) -> ResponseDirectives {
        let lines = FieldLines::of(lines.iter().map(|&(name, value)| (name, value.as_bytes())));
        ResponseDirectives::of(&lines.fields(), &Settings { gateway, ..Settings::default() })
    }

    #[test]
    fn directives_of_responses_are_read() {
        let none = ResponseDirectives { present: true, ..ResponseDirectives::default() };
        let with = |change: fn(&mut ResponseDirectives)| {
            let mut directives = none;
            change(&mut directives);
            directives
        };
        for (value, expected) in [
            ("x", none),
            ("max-age=5", with(|d| d.max_age = Some(5))),
            ("x, MaX-aGe=\"5\"", with(|d| d.max_age = Some(5))),
            ("max-age=5, max-age=3", with(|d| d.max_age = Some(3))),
            ("max-age=3, max-age=5", with(|d| d.max_age = Some(3))),
            ("max-age=3, max-age", with(|d| d.max_age = Some(0))),
            ("max-age=1.5", with(|d| d.max_age = Some(0))),
            ("max-age =5", with(|d| d.max_age = Some(0))),
            ("max-age= 5", with(|d| d.max_age = Some(0))),
            ("max-age='5'", with(|d| d.max_age = Some(0))),
            ("x=\"max-age=7\", max-age=1", with(|d| d.max_age = Some(1))),
            ("s-maxage=9", with(|d| d.s_maxage = Some(9))),
            ("No-StOrE", with(|d| d.no_store = true)),
            ("no-store=0", with(|d| d.no_store = true)),
            ("no-cache", with(|d| d.no_cache = true)),
            ("no-cache=\"a, b\"", with(|d| d.names_fields = true)),
            ("no-cache=a", with(|d| d.names_fields = true)),
            ("no-cache=\"\"", with(|d| d.no_cache = true)),
            ("no-cache=\"a b\"", with(|d| d.no_cache = true)),
            ("no-cache= \"a\"", with(|d| d.no_cache = true)),
            ("private=\"Set-Cookie\"", with(|d| d.names_fields = true)),
            ("private=\"x, vary\"", with(|d| d.private = true)),
            ("private, private=\"x\"", with(|d| (d.private, d.names_fields) = (true, true))),
            ("public=1", none),
            (
                "public, must-understand, immutable",
                with(|d| {
                    (d.public, d.must_understand, d.immutable) = (true, true, true);
                }),
            ),
            ("must-revalidate, proxy-revalidate", with(|d| (d.must_revalidate, d.proxy_revalidate) = (true, true))),
            (
                "stale-while-revalidate=5, stale-if-error=6",
                with(|d| {
                    (d.stale_while_revalidate, d.stale_if_error) = (Some(5), Some(6));
                }),
            ),
            ("stale-while-revalidate", with(|d| d.stale_while_revalidate = Some(0))),
            ("x=\"a, no-store", with(|d| d.no_store = true)),
        ] {
            assert_eq!(response(false, &[("Cache-Control", value)]), expected, "{value}");
        }
        assert_eq!(response(true, &[]), ResponseDirectives::default());
        let lines = response(false, &[("Cache-Control", "max-age=9"), ("cache-control", "no-store")]);
        assert_eq!(lines, with(|d| (d.max_age, d.no_store) = (Some(9), true)));
    }

    #[test]
    fn a_reverse_proxy_prefers_its_own_field() {
        for (gateway, targeted, expected) in [
            (true, "max-age=5", (true, Some(5), false)),
            (false, "max-age=5", (false, None, true)),
            (true, "no-store, max-age=5", (true, Some(5), true)),
            (true, "no-store=?0, max-age=5", (true, Some(5), false)),
            (true, "max-age=-5", (true, Some(0), false)),
            (true, "max-age=5.0", (true, Some(0), false)),
            (true, "max-age=\"5\"", (true, Some(0), false)),
            (true, "max-age=5, &&&", (false, None, true)),
            (true, "Max-Age=5", (false, None, true)),
            (true, "", (false, None, true)),
        ] {
            let found = response(gateway, &[("Cache-Control", "no-store"), ("CDN-Cache-Control", targeted)]);
            assert_eq!((found.targeted, found.max_age, found.no_store), expected, "{targeted}");
        }
        let two = response(true, &[("CDN-Cache-Control", "max-age=5"), ("CDN-Cache-Control", "private=\"x\"")]);
        assert_eq!((two.max_age, two.private, two.names_fields), (Some(5), false, true));
        let two = response(true, &[("CDN-Cache-Control", "max-age=5"), ("CDN-Cache-Control", "Bad")]);
        assert!(!two.targeted, "one line makes the whole field invalid");
    }

    #[test]
    fn directives_of_requests_are_read() {
        let none = RequestDirectives::default();
        for (lines, expected) in [
            (
                &[("Cache-Control", "max-age=5, min-fresh=6, max-stale=7")][..],
                RequestDirectives { max_age: Some(5), min_fresh: 6, max_stale: Some(7), ..none },
            ),
            (&[("Cache-Control", "max-stale")], RequestDirectives { max_stale: Some(MAX_SECONDS), ..none }),
            (&[("Cache-Control", "max-stale, max-stale=3")], RequestDirectives { max_stale: Some(3), ..none }),
            (&[("Cache-Control", "max-stale=x")], RequestDirectives { max_stale: Some(0), ..none }),
            (&[("Cache-Control", "max-age=x")], RequestDirectives { max_age: Some(0), ..none }),
            (&[("Cache-Control", "min-fresh=x")], RequestDirectives { min_fresh: MAX_SECONDS, ..none }),
            (&[("Cache-Control", "only-if-cached")], RequestDirectives { only_if_cached: true, ..none }),
            (&[("Cache-Control", "stale-if-error=4")], RequestDirectives { stale_if_error: 4, ..none }),
            (
                &[("Cache-Control", "x"), ("Cache-Control", "No-Cache, no-store")],
                RequestDirectives { no_cache: true, no_store: true, ..none },
            ),
            (&[("Pragma", "x, No-Cache")], RequestDirectives { no_cache: true, ..none }),
            (&[("Pragma", "x")], none),
            (&[("Pragma", "no-cache"), ("Cache-Control", "x")], none),
            (&[("Cache-Control", "x=\", no-store")], RequestDirectives { no_cache: true, no_store: true, ..none }),
        ] {
            let fields = FieldLines::of(lines.iter().map(|&(name, value)| (name, value.as_bytes())));
            assert_eq!(RequestDirectives::of(&fields.fields()), expected, "{lines:?}");
        }
    }

    #[test]
    fn named_fields_are_found() {
        let lines = [("Cache-Control", &b"no-cache=\"a, B\", x=\"d\""[..]), ("Cache-Control", b"private=c")];
        let lines = FieldLines::of(lines);
        let directives = ResponseDirectives::of(&lines.fields(), &Settings::default());
        for (name, excluded) in [("A", true), ("b", true), ("c", true), ("d", false), ("", false)] {
            assert_eq!(directives.exclude(&lines.fields(), name.as_bytes()), excluded, "{name}");
        }
    }
}
