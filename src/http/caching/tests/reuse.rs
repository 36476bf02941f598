//! What is served from the store, fresh or stale.

use super::Decision::*;
use super::*;

const HIT: Option<bool> = Some(false);
const REFRESH: Option<bool> = Some(true);

/// What is done with a request after so many seconds: none if it isn't served.
fn reuse(control: &str, seconds: i64, request: Lines<'_>, settings: &Settings) -> Decision {
    let stored = store(&[], 200, &[("Cache-Control", control), ("ETag", "\"a\"")], settings).unwrap();
    decide(&get(&lines(request)), Lookup::Found(&stored), NOW + seconds, settings)
}

#[test]
#[expect(clippy::too_many_lines, reason = "most of it is a table")]
fn a_stored_response_is_served_if_it_may_be() {
    const REQUEST: Decision = Forward(Reason::Request);
    const STALE: Decision = Forward(Reason::Stale);
    let serve = |age, validate| Serve { age, validate };
    let ask = |value| [("Cache-Control", value)];
    let cases: &[(&str, &str, i64, Lines<'_>, Decision)] = &[
        ("fresh", "max-age=9", 8, &[], serve(8, false)),
        ("stale", "max-age=9", 9, &[], STALE),
        ("no-cache", "no-cache, max-age=9", 0, &[], STALE),
        ("no-cache for one field", "no-cache=\"a\", max-age=9", 0, &[], serve(0, false)),
        ("must-revalidate, fresh", "max-age=9, must-revalidate", 8, &[], serve(8, false)),
        ("a client with cookies", "max-age=9", 1, &[("Cookie", "a=b")], serve(1, false)),
        ("a client with credentials", "max-age=9", 1, &[("Authorization", "a")], serve(1, false)),
        ("no-store in the request is about storing", "max-age=9", 1, &ask("no-store"), serve(1, false)),
        ("an unknown directive", "max-age=9", 1, &ask("foo"), serve(1, false)),
        // no-cache and Pragma.
        ("no-cache", "max-age=9", 1, &ask("no-cache"), REQUEST),
        ("no-cache, stale", "max-age=9", 10, &ask("no-cache, max-stale"), REQUEST),
        ("Pragma", "max-age=9", 1, &[("Pragma", "no-cache")], REQUEST),
        ("another Pragma", "max-age=9", 1, &[("Pragma", "foo")], serve(1, false)),
        (
            "Pragma beside Cache-Control",
            "max-age=9",
            1,
            &[("Pragma", "no-cache"), ("Cache-Control", "foo")],
            serve(1, false),
        ),
        // max-age.
        ("max-age=0", "max-age=9", 0, &ask("max-age=0"), REQUEST),
        ("max-age, old enough", "max-age=9", 5, &ask("max-age=5"), serve(5, false)),
        ("max-age, too old", "max-age=9", 6, &ask("max-age=5"), REQUEST),
        ("max-age, malformed", "max-age=9", 1, &ask("max-age=x"), REQUEST),
        ("max-age, stale", "max-age=9, stale-while-revalidate=9", 10, &ask("max-age=99"), STALE),
        ("immutable, reloaded", "max-age=9, immutable", 1, &ask("max-age=0"), serve(1, false)),
        ("immutable, doubted", "max-age=9, immutable", 1, &ask("no-cache"), REQUEST),
        ("immutable, stale", "max-age=9, immutable", 9, &[], STALE),
        ("immutable, stale, reloaded", "max-age=9, immutable", 9, &ask("max-age=0"), REQUEST),
        // min-fresh.
        ("min-fresh", "max-age=9", 4, &ask("min-fresh=5"), serve(4, false)),
        ("min-fresh, not enough", "max-age=9", 5, &ask("min-fresh=5"), REQUEST),
        ("min-fresh and max-stale", "max-age=9", 9, &ask("min-fresh=5, max-stale"), STALE),
        ("min-fresh in the window", "max-age=9, stale-while-revalidate=9", 9, &ask("min-fresh=1"), STALE),
        // max-stale.
        ("max-stale", "max-age=9", 14, &ask("max-stale=5"), serve(14, false)),
        ("max-stale, too stale", "max-age=9", 15, &ask("max-stale=5"), STALE),
        ("max-stale, any", "max-age=9", 99999, &ask("max-stale"), serve(99999, false)),
        ("max-stale and max-age", "max-age=9", 14, &ask("max-stale, max-age=20"), serve(14, false)),
        ("max-stale and max-age, too old", "max-age=9", 14, &ask("max-stale, max-age=10"), REQUEST),
        ("max-stale, must-revalidate", "max-age=9, must-revalidate", 9, &ask("max-stale"), STALE),
        ("max-stale, proxy-revalidate", "max-age=9, proxy-revalidate", 9, &ask("max-stale"), STALE),
        ("max-stale, s-maxage", "s-maxage=9", 9, &ask("max-stale"), STALE),
        ("max-stale, no-cache", "no-cache, max-age=9", 9, &ask("max-stale"), STALE),
        ("max-stale, fresh but no-cache", "no-cache, max-age=9", 1, &ask("max-stale"), STALE),
        // only-if-cached.
        ("only-if-cached, fresh", "max-age=9", 1, &ask("only-if-cached"), serve(1, false)),
        ("only-if-cached, stale", "max-age=9", 9, &ask("only-if-cached"), Unavailable),
        ("only-if-cached, no-cache", "max-age=9", 1, &ask("only-if-cached, no-cache"), Unavailable),
        ("only-if-cached, max-stale", "max-age=9", 9, &ask("only-if-cached, max-stale"), serve(9, false)),
        // stale-while-revalidate.
        ("in the window", "max-age=9, stale-while-revalidate=5", 13, &[], serve(13, true)),
        ("before the window", "max-age=9, stale-while-revalidate=5", 8, &[], serve(8, false)),
        ("after the window", "max-age=9, stale-while-revalidate=5", 14, &[], STALE),
        ("a window of nothing", "max-age=9, stale-while-revalidate=0", 9, &[], STALE),
        ("a malformed window", "max-age=9, stale-while-revalidate", 9, &[], STALE),
        ("a window, must-revalidate", "max-age=9, must-revalidate, stale-while-revalidate=5", 9, &[], STALE),
        ("a window, s-maxage", "s-maxage=9, stale-while-revalidate=5", 9, &[], STALE),
        ("a window, no-cache", "no-cache, max-age=9, stale-while-revalidate=5", 9, &[], STALE),
        ("a window, no-cache, fresh", "no-cache, max-age=9, stale-while-revalidate=5", 1, &[], STALE),
    ];
    for &(rule, control, seconds, request, expected) in cases {
        assert_eq!(reuse(control, seconds, request, &DEFAULT), expected, "{rule}");
    }
}

#[test]
fn clients_may_be_ignored() {
    let deaf = Settings { obey_requests: false, ..DEFAULT };
    let served = |control, seconds, request| match reuse(control, seconds, &[("Cache-Control", request)], &deaf) {
        Serve { validate, .. } => Some(validate),
        Forward(_) | Unavailable => None,
    };
    assert_eq!(served("max-age=9", 1, "no-cache, max-age=0, min-fresh=99"), HIT);
    assert_eq!(served("max-age=9", 9, "max-stale"), None);
    assert_eq!(served("max-age=9, stale-while-revalidate=9", 9, "max-age=0"), REFRESH);
    assert_eq!(reuse("max-age=9", 9, &[("Cache-Control", "only-if-cached")], &deaf), Unavailable);
    assert_eq!(store(&[("Cache-Control", "no-store")], 200, &[("ETag", "\"a\"")], &deaf).err(), Some(Refusal::NoStore));
}

#[test]
fn other_requests_go_to_the_origin() {
    let stored = store(&[], 200, &[("Cache-Control", "max-age=9")], &DEFAULT).unwrap();
    let found = Lookup::Found(&stored);
    let cases: &[(&str, Method, bool, Lines<'_>, Lookup<'_>, Decision)] = &[
        ("HEAD", Method::Head, false, &[], found, Serve { age: 0, validate: false }),
        ("POST", Method::Post, true, &[], found, Forward(Reason::Method)),
        ("OPTIONS", Method::Options, false, &[], found, Forward(Reason::Method)),
        ("an unknown method", Method::Unknown, false, &[], found, Forward(Reason::Method)),
        (
            "POST, only-if-cached",
            Method::Post,
            true,
            &[("Cache-Control", "only-if-cached")],
            found,
            Forward(Reason::Method),
        ),
        ("GET with content", Method::Get, true, &[], found, Forward(Reason::Bypass)),
        ("If-Match", Method::Get, false, &[("If-Match", "\"a\"")], found, Forward(Reason::Bypass)),
        ("If-Unmodified-Since", Method::Get, false, &[("If-Unmodified-Since", "@0")], found, Forward(Reason::Bypass)),
        ("nothing", Method::Get, false, &[], Lookup::Nothing, Forward(Reason::UriMiss)),
        ("other variants", Method::Get, false, &[], Lookup::OtherVariants, Forward(Reason::VaryMiss)),
        ("only-if-cached", Method::Get, false, &[("Cache-Control", "only-if-cached")], Lookup::Nothing, Unavailable),
        (
            "the same, variants",
            Method::Get,
            false,
            &[("Cache-Control", "only-if-cached")],
            Lookup::OtherVariants,
            Unavailable,
        ),
    ];
    for &(rule, method, has_content, request, lookup, expected) in cases {
        let lines = lines(request);
        let request = Request { method, fields: lines.fields(), has_content };
        assert_eq!(decide(&request, lookup, NOW, &DEFAULT), expected, "{rule}");
    }
}

#[test]
fn stale_responses_are_served_if_the_origin_fails() {
    let ask = |value| [("Cache-Control", value)];
    let default = Settings { stale_if_error: 3, ..DEFAULT };
    // The stored directives; after how many seconds; the request; the failure; the settings.
    type Case<'a> = (&'a str, &'a str, i64, Lines<'a>, Option<u16>, Settings, bool);
    let cases: &[Case<'_>] = &[
        ("not allowed", "max-age=9", 10, &[], None, DEFAULT, false),
        ("the response allows it", "max-age=9, stale-if-error=5", 13, &[], None, DEFAULT, true),
        ("for so long", "max-age=9, stale-if-error=5", 14, &[], None, DEFAULT, false),
        ("the request allows it", "max-age=9", 13, &ask("stale-if-error=5"), None, DEFAULT, true),
        ("the request allows stale ones", "max-age=9", 13, &ask("max-stale=4"), None, DEFAULT, true),
        ("the settings allow it", "max-age=9", 11, &[], None, default, true),
        ("the settings, for so long", "max-age=9", 12, &[], None, default, false),
        ("the response forbids it", "max-age=9, stale-if-error=0", 10, &[], None, default, false),
        ("the response says less", "max-age=9, stale-if-error=2", 10, &[], None, default, true),
        ("so it counts", "max-age=9, stale-if-error=2", 11, &[], None, default, false),
        ("must-revalidate", "max-age=9, must-revalidate, stale-if-error=5", 10, &[], None, default, false),
        ("proxy-revalidate", "max-age=9, proxy-revalidate, stale-if-error=5", 10, &[], None, default, false),
        ("s-maxage", "s-maxage=9, stale-if-error=5", 10, &[], None, default, false),
        ("no-cache", "no-cache, max-age=9, stale-if-error=5", 10, &[], None, default, false),
        ("the request doubts it", "max-age=9, stale-if-error=5", 10, &ask("no-cache"), None, default, false),
        ("too old for the request", "max-age=9, stale-if-error=5", 10, &ask("max-age=9"), None, default, false),
        ("not fresh enough", "max-age=9, stale-if-error=5", 10, &ask("min-fresh=1"), None, default, false),
        ("500", "max-age=9, stale-if-error=5", 10, &[], Some(500), DEFAULT, true),
        ("502", "max-age=9, stale-if-error=5", 10, &[], Some(502), DEFAULT, true),
        ("503", "max-age=9, stale-if-error=5", 10, &[], Some(503), DEFAULT, true),
        ("504", "max-age=9, stale-if-error=5", 10, &[], Some(504), DEFAULT, true),
        ("501 is an answer", "max-age=9, stale-if-error=5", 10, &[], Some(501), DEFAULT, false),
        ("404 is an answer", "max-age=9, stale-if-error=5", 10, &[], Some(404), DEFAULT, false),
        (
            "another version was asked for",
            "max-age=9, stale-if-error=5",
            10,
            &[("If-Match", "*")],
            None,
            DEFAULT,
            false,
        ),
    ];
    for &(rule, control, seconds, request, failure, settings, expected) in cases {
        let stored = store(&[], 200, &[("Cache-Control", control), ("ETag", "\"a\"")], &settings).unwrap();
        let request = lines(request);
        let age = stale_on_error(&get(&request), &stored, failure.map(Status), NOW + seconds, &settings);
        assert_eq!(age, expected.then_some(seconds as u32), "{rule}");
    }
}

#[test]
fn the_most_recent_response_is_used() {
    let stored = |date| store(&[], 200, &[("Date", date), ("Cache-Control", "max-age=9")], &DEFAULT).unwrap();
    let (old, new) = (stored("@-5"), stored("@-1"));
    assert_eq!(variant::most_recent([(1, &old), (2, &new)]), Some(2));
    assert_eq!(variant::most_recent([(2, &new), (1, &old)]), Some(2));
    assert_eq!(variant::most_recent([(1, &new), (2, &new)]), Some(2), "the last one of the same time");
    assert_eq!(variant::most_recent::<u8>([]), None);
}
