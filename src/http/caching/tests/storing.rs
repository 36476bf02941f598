//! What is stored, for how long it is fresh, and how old it is.

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "most of it is a table")]
fn a_response_is_stored_if_it_may_be() {
    use Refusal::*;
    const AUTHORIZED: Lines<'_> = &[("Authorization", "FOO")];
    let cases: &[(&str, Lines<'_>, u16, Lines<'_>, Option<Refusal>)] = &[
        ("max-age", &[], 200, &[("Cache-Control", "max-age=60")], None),
        ("Expires", &[], 200, &[("Expires", "@60"), ("Date", "@0")], None),
        ("a validator alone", &[], 200, &[("ETag", "\"a\"")], None),
        ("nothing at all", &[], 200, &[], Some(Useless)),
        ("a malformed entity-tag is no validator", &[], 200, &[("ETag", "a")], Some(Useless)),
        ("two entity-tags are none", &[], 200, &[("ETag", "\"a\""), ("ETag", "\"b\"")], Some(Useless)),
        ("stale from the beginning", &[], 200, &[("Cache-Control", "max-age=60"), ("Age", "60")], Some(Useless)),
        ("stale, but with a validator", &[], 200, &[("Cache-Control", "max-age=0"), ("ETag", "\"a\"")], None),
        ("stale, but usable in errors", &[], 200, &[("Cache-Control", "max-age=0, stale-if-error=9")], None),
        (
            "stale and must be validated",
            &[],
            200,
            &[("Cache-Control", "max-age=0, stale-if-error=9, must-revalidate")],
            Some(Useless),
        ),
        // no-store, no-cache, private.
        ("no-store", &[], 200, &[("Cache-Control", "no-store")], Some(NoStore)),
        ("no-store in any case", &[], 200, &[("Cache-Control", "No-StOrE, max-age=60")], Some(NoStore)),
        (
            "no-store beats freshness",
            &[],
            200,
            &[("Cache-Control", "max-age=60, no-store"), ("Expires", "@60")],
            Some(NoStore),
        ),
        (
            "no-store in the request",
            &[("Cache-Control", "no-store")],
            200,
            &[("Cache-Control", "max-age=60")],
            Some(NoStore),
        ),
        ("no-store after an open quote", &[], 200, &[("Cache-Control", "max-age=60, x=\"y, no-store")], Some(NoStore)),
        ("private", &[], 200, &[("Cache-Control", "private, max-age=60")], Some(Private)),
        ("private beats public", &[], 200, &[("Cache-Control", "public, private, max-age=60")], Some(Private)),
        ("private for one field", &[], 200, &[("Cache-Control", "private=\"a\", max-age=60")], None),
        (
            "private for a field that is needed",
            &[],
            200,
            &[("Cache-Control", "private=\"Vary\", max-age=60")],
            Some(Private),
        ),
        ("no-cache with a validator", &[], 200, &[("Cache-Control", "no-cache"), ("ETag", "\"a\"")], None),
        ("no-cache without a validator", &[], 200, &[("Cache-Control", "no-cache, max-age=60")], Some(Useless)),
        ("no-cache for one field", &[], 200, &[("Cache-Control", "no-cache=\"a\", max-age=60")], None),
        // Authorization.
        ("authorized", AUTHORIZED, 200, &[("Cache-Control", "max-age=60")], Some(Authorized)),
        ("authorized, Expires", AUTHORIZED, 200, &[("Expires", "@60")], Some(Authorized)),
        ("authorized, public", AUTHORIZED, 200, &[("Cache-Control", "max-age=60, public")], None),
        ("authorized, must-revalidate", AUTHORIZED, 200, &[("Cache-Control", "max-age=60, must-revalidate")], None),
        ("authorized, s-maxage", AUTHORIZED, 200, &[("Cache-Control", "s-maxage=60")], None),
        (
            "authorized, proxy-revalidate",
            AUTHORIZED,
            200,
            &[("Cache-Control", "max-age=60, proxy-revalidate")],
            Some(Authorized),
        ),
        // Cookies.
        ("a cookie is set", &[], 200, &[("Cache-Control", "max-age=60"), ("Set-Cookie", "a=b")], Some(Cookies)),
        (
            "a cookie is set, public",
            &[],
            200,
            &[("Cache-Control", "public, max-age=60"), ("Set-Cookie", "a=b")],
            Some(Cookies),
        ),
        (
            "a cookie isn't part of it",
            &[],
            200,
            &[("Cache-Control", "max-age=60, no-cache=\"Set-Cookie\""), ("Set-Cookie", "a=b")],
            None,
        ),
        ("the request has a cookie", &[("Cookie", "a=b")], 200, &[("Cache-Control", "max-age=60")], None),
        // Vary and Connection.
        ("Vary", &[], 200, &[("Cache-Control", "max-age=60"), ("Vary", "Foo")], None),
        ("Vary: *", &[], 200, &[("Cache-Control", "max-age=60"), ("Vary", "Foo, *")], Some(Vary)),
        ("Connection", &[], 200, &[("Cache-Control", "max-age=60"), ("Connection", "x")], None),
        (
            "Connection names Vary",
            &[],
            200,
            &[("Cache-Control", "max-age=60"), ("Connection", "vary")],
            Some(Connection),
        ),
        // Statuses.
        ("an interim response", &[], 103, &[("Cache-Control", "max-age=60")], Some(Status)),
        ("a part", &[], 206, &[("Cache-Control", "max-age=60"), ("Content-Range", "bytes 0-9/20")], Some(Status)),
        ("304", &[], 304, &[("Cache-Control", "max-age=60"), ("ETag", "\"a\"")], Some(Status)),
        ("the fault of the request: 412", &[], 412, &[("Cache-Control", "max-age=60")], Some(Status)),
        ("the fault of the request: 416", &[], 416, &[("Cache-Control", "max-age=60")], Some(Status)),
        ("the fault of the request: 431", &[], 431, &[("Cache-Control", "max-age=60")], Some(Status)),
        ("an error that says so", &[], 503, &[("Cache-Control", "max-age=60")], None),
        ("an unknown status that says so", &[], 599, &[("Cache-Control", "max-age=60")], None),
        ("an unknown status with a validator", &[], 599, &[("ETag", "\"a\"")], Some(NotExplicit)),
        (
            "an unknown status must be understood",
            &[],
            599,
            &[("Cache-Control", "max-age=60, must-understand")],
            Some(Status),
        ),
        (
            "the same with no-store",
            &[],
            599,
            &[("Cache-Control", "max-age=60, no-store, must-understand")],
            Some(NoStore),
        ),
        ("a known status is understood", &[], 200, &[("Cache-Control", "max-age=60, no-store, must-understand")], None),
        ("a redirect that says nothing", &[], 302, &[("ETag", "\"a\"")], Some(NotExplicit)),
        ("a redirect with s-maxage", &[], 302, &[("Cache-Control", "s-maxage=1")], None),
    ];
    for &(rule, request, status, fields, refusal) in cases {
        let found = store(request, status, fields, &DEFAULT);
        assert_eq!(found.err(), refusal, "{rule}");
    }
    let cookies = Settings { store_cookies: true, ..DEFAULT };
    let with_cookie: Lines<'_> = &[("Cache-Control", "max-age=60"), ("Set-Cookie", "a=b")];
    assert!(store(&[], 200, with_cookie, &cookies).is_ok());
    let errors = Settings { stale_if_error: 9, ..DEFAULT };
    assert!(store(&[], 200, &[("Cache-Control", "max-age=0")], &errors).is_ok());
}

#[test]
fn only_whole_responses_to_get_are_stored() {
    let (none, fields) = (lines(&[]), lines(&[("Cache-Control", "public, max-age=60")]));
    let arrival = Arrival::of(&fields.fields(), NOW, NOW);
    let refusal = |request: &Request<'_>, body| {
        evaluate(request, &Response { body, ..response(200, &fields) }, arrival, &DEFAULT).err()
    };
    for method in [Method::Head, Method::Post, Method::Put, Method::Options, Method::Unknown] {
        assert_eq!(refusal(&Request { method, ..get(&none) }, Body::Length(1)), Some(Refusal::Request), "{method:?}");
    }
    assert_eq!(refusal(&Request { has_content: true, ..get(&none) }, Body::Length(1)), Some(Refusal::Request));
    for (body, expected) in [
        (Body::Absent, None),
        (Body::Length(1), None),
        (Body::Chunked, None),
        (Body::UntilClose, Some(Refusal::Endless)),
        (Body::Tunnel, Some(Refusal::Endless)),
    ] {
        assert_eq!(refusal(&get(&none), body), expected, "{body:?}");
    }
    for (body, bytes, ended, whole) in [
        (Body::Absent, 0, true, true),
        (Body::Absent, 1, true, false),
        (Body::Length(9), 9, true, true),
        (Body::Length(9), 9, false, false),
        (Body::Length(9), 8, true, false),
        (Body::Chunked, 9, true, true),
        (Body::Chunked, 9, false, false),
        (Body::UntilClose, 9, true, false),
        (Body::Tunnel, 9, true, false),
    ] {
        assert_eq!(is_whole(body, bytes, ended), whole, "{body:?}, {bytes} bytes, ended: {ended}");
    }
}

#[test]
fn the_request_of_the_exchange_is_the_one_of_the_head() {
    for (input, has_content) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", true),
    ] {
        let mut lines = FieldLines::default();
        let head = crate::http::head::parse(input.as_bytes(), &mut lines).unwrap().unwrap();
        assert_eq!(Request::from(&head).has_content, has_content, "{input}");
    }
}

/// The number of seconds for which a response is fresh.
fn lifetime(status: u16, fields: Lines<'_>, settings: &Settings) -> u32 {
    // With a validator it is stored even if it is stale.
    let fields: Vec<_> = fields.iter().copied().chain([("ETag", "\"a\""), ("Date", "@0")]).collect();
    store(&[], status, &fields, settings).unwrap_or_else(|refusal| panic!("{fields:?}: {refusal:?}")).lifetime()
}

#[test]
fn lifetimes_are_explicit() {
    const MOST: u32 = 1 << 31;
    let cases: &[(&str, Lines<'_>, u32)] = &[
        ("none", &[], 0),
        ("max-age", &[("Cache-Control", "max-age=3600")], 3600),
        ("0", &[("Cache-Control", "max-age=0")], 0),
        ("one less than the most", &[("Cache-Control", "max-age=2147483647")], MOST - 1),
        ("the most", &[("Cache-Control", "max-age=2147483648")], MOST),
        ("more than the most", &[("Cache-Control", "max-age=99999999999")], MOST),
        ("negative", &[("Cache-Control", "max-age=-3600")], 0),
        ("a fraction", &[("Cache-Control", "max-age=3600.0")], 0),
        ("letters before", &[("Cache-Control", "max-age=a3600")], 0),
        ("letters after", &[("Cache-Control", "max-age=3600a")], 0),
        ("leading zeros", &[("Cache-Control", "max-age=003600")], 3600),
        ("quoted", &[("Cache-Control", "max-age=\"3600\"")], 3600),
        ("in single quotes", &[("Cache-Control", "max-age='3600'")], 0),
        ("any case", &[("Cache-Control", "MaX-aGe=3600")], 3600),
        ("an extension", &[("Cache-Control", "foobar, max-age=3600")], 3600),
        ("in the string of an extension", &[("Cache-Control", "extension=\"max-age=3600\", max-age=1")], 1),
        ("the same after it", &[("Cache-Control", "max-age=1, extension=\"max-age=3600\"")], 1),
        ("two: the shorter first", &[("Cache-Control", "max-age=1, max-age=1800")], 1),
        ("two: the longer first", &[("Cache-Control", "max-age=1800"), ("Cache-Control", "max-age=1")], 1),
        ("s-maxage beats max-age", &[("Cache-Control", "max-age=3600, s-maxage=1")], 1),
        ("also if it is first", &[("Cache-Control", "s-maxage=1, max-age=3600")], 1),
        ("also on another line", &[("Cache-Control", "max-age=3600"), ("Cache-Control", "s-maxage=1")], 1),
        ("also if it is longer", &[("Cache-Control", "max-age=0, s-maxage=3600"), ("Expires", "@-10")], 3600),
        ("a malformed s-maxage is 0", &[("Cache-Control", "max-age=3600, s-maxage=x")], 0),
        ("max-age beats a past Expires", &[("Cache-Control", "max-age=3600"), ("Expires", "@-7200")], 3600),
        ("max-age beats a malformed Expires", &[("Cache-Control", "max-age=3600"), ("Expires", "0")], 3600),
        ("max-age=0 beats a future Expires", &[("Cache-Control", "max-age=0"), ("Expires", "@3600")], 0),
        ("a malformed max-age beats it too", &[("Cache-Control", "max-age=x"), ("Expires", "@3600")], 0),
        ("Expires", &[("Expires", "@3600")], 3600),
        ("Expires in the past", &[("Expires", "@-3600")], 0),
        ("Expires now", &[("Expires", "@0")], 0),
        ("Expires: 0", &[("Expires", "0")], 0),
        ("Expires far in the future", &[("Expires", "Fri, 31 Dec 9999 23:59:59 GMT")], MOST),
        ("Expires with another zone", &[("Expires", "Thu, 18 Aug 2050 02:01:18 UTC")], 0),
        ("Expires with an unknown zone", &[("Expires", "Thu, 18 Aug 2050 02:01:18 AEST")], 0),
        ("Expires with two digits", &[("Expires", "Thu, 18 Aug 50 02:01:18 GMT")], 0),
        ("Expires without a comma", &[("Expires", "Thu 18 Aug 2050 02:01:18 GMT")], 0),
        ("Expires with more spaces", &[("Expires", "Thu, 18  Aug  2050 02:01:18 GMT")], 0),
        ("Expires with dashes", &[("Expires", "Thu, 18-Aug-2050 02:01:18 GMT")], 0),
        ("Expires with full stops", &[("Expires", "Thu, 18 Aug 2050 02.01.18 GMT")], 0),
        ("Expires with one digit", &[("Expires", "Thu, 18 Aug 2050 2:01:18 GMT")], 0),
        ("two Expires, malformed", &[("Expires", "Thu, 18 Aug 2050 2:01:18 GMT"), ("Expires", "@60")], 0),
        ("two Expires", &[("Expires", "@90"), ("Expires", "@60")], 60),
        ("an invalid Expires isn't heuristic", &[("Expires", "x"), ("Last-Modified", "@-36000")], 0),
    ];
    for &(rule, fields, expected) in cases {
        assert_eq!(lifetime(200, fields, &DEFAULT), expected, "{rule}");
    }
}

#[test]
fn expires_is_relative_to_date() {
    for (rule, fields, expected) in [
        ("a date in the future", &[("Date", "@400"), ("Expires", "@300")][..], 0),
        ("a date in the past", &[("Date", "@-10"), ("Expires", "@10")], 20),
        ("a malformed date", &[("Date", "foo"), ("Expires", "@10")], 10),
        ("no date", &[("Expires", "@10")], 10),
        ("two dates: the earliest", &[("Date", "@-5"), ("Date", "@5"), ("Expires", "@10")], 15),
        ("two dates, malformed", &[("Date", "@-5"), ("Date", "x"), ("Expires", "@10")], 10),
    ] {
        let fields: Vec<_> = fields.iter().copied().chain([("ETag", "\"a\"")]).collect();
        assert_eq!(store(&[], 200, &fields, &DEFAULT).unwrap().lifetime(), expected, "{rule}");
    }
}

#[test]
fn heuristic_lifetimes_are_a_tenth() {
    const MODIFIED: (&str, &str) = ("Last-Modified", "@-36000");
    for (rule, status, fields, expected) in [
        ("a tenth", 200, &[MODIFIED][..], 3600),
        ("at most a day", 200, &[("Last-Modified", "@-99999999")], 86400),
        ("modified in the future", 200, &[("Last-Modified", "@60")], 0),
        ("malformed", 200, &[("Last-Modified", "x")], 0),
        ("several", 200, &[MODIFIED, MODIFIED], 0),
        ("Pragma", 200, &[MODIFIED, ("Pragma", "no-cache")], 0),
        ("Pragma beside Cache-Control", 200, &[MODIFIED, ("Pragma", "no-cache"), ("Cache-Control", "x")], 3600),
        ("an explicit one", 200, &[MODIFIED, ("Cache-Control", "max-age=1")], 1),
        ("an unknown status, public", 599, &[MODIFIED, ("Cache-Control", "public")], 3600),
        ("an error, public", 503, &[MODIFIED, ("Cache-Control", "public")], 3600),
    ] {
        assert_eq!(lifetime(status, fields, &DEFAULT), expected, "{rule}");
    }
    for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        assert_eq!(lifetime(status, &[MODIFIED], &DEFAULT), 3600, "{status}");
    }
    for status in [201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599] {
        assert_eq!(store(&[], status, &[MODIFIED], &DEFAULT).err(), Some(Refusal::NotExplicit), "{status}");
    }
    let shorter = |heuristic_limit| lifetime(200, &[MODIFIED], &Settings { heuristic_limit, ..DEFAULT });
    assert_eq!([0, 60, 7200].map(shorter), [0, 60, 3600]);
    let personal = |fields| store(&[("Cookie", "a=b")], 200, fields, &DEFAULT).unwrap().lifetime();
    assert_eq!(personal(&[MODIFIED]), 0, "the response may be for the user of the cookie");
    assert_eq!(personal(&[MODIFIED, ("Cache-Control", "public")]), 3600);
}

#[test]
fn a_reverse_proxy_has_lifetimes_of_its_own() {
    let gateway = Settings { gateway: true, ..DEFAULT };
    let own =
        |value| [("Cache-Control", "max-age=1"), ("CDN-Cache-Control", value), ("Expires", "@9"), ("ETag", "\"a\"")];
    for (rule, value, in_gateway, elsewhere) in [
        ("its own", "max-age=3600", 3600, 1),
        ("any other directive", "foobar, max-age=3600", 3600, 1),
        ("too large", "max-age=99999999999", 1 << 31, 1),
        ("0", "max-age=0", 0, 1),
        ("without a lifetime", "foobar", 0, 1),
        ("quoted", "max-age=\"3600\"", 0, 1),
        ("malformed", "max-age=3600, &&&&&", 1, 1),
        ("empty", "", 1, 1),
        ("space before =", "max-age =100", 1, 1),
        ("space after =", "max-age= 100", 1, 1),
    ] {
        let fields = own(value);
        let lifetimes = [gateway, DEFAULT].map(|settings| store(&[], 200, &fields, &settings).unwrap().lifetime());
        assert_eq!(lifetimes, [in_gateway, elsewhere], "{rule}");
    }
    for (rule, own, common, expected) in [
        ("its own private", "private", "max-age=60", Some(Refusal::Private)),
        ("its own no-store", "no-store", "max-age=60", Some(Refusal::NoStore)),
        ("its own no-cache", "no-cache", "max-age=60", Some(Refusal::Useless)),
        ("no-store for others", "max-age=60", "no-store", None),
        ("malformed, no-store for all", "max-age=60, &&&&&", "no-store", Some(Refusal::NoStore)),
        ("quoted, no-store for all", "max-age=\"60\"", "no-store", Some(Refusal::Useless)),
    ] {
        let fields = [("CDN-Cache-Control", own), ("Cache-Control", common), ("Expires", "@60")];
        assert_eq!(store(&[], 200, &fields, &gateway).err(), expected, "{rule}");
    }
}

#[test]
fn the_age_is_the_oldest_that_is_known() {
    const MOST: u32 = 1 << 31;
    // The fields; when the request was sent; when the age is asked for; the age.
    let cases: &[(&str, Lines<'_>, i64, i64, u32)] = &[
        ("new", &[("Date", "@0")], 0, 0, 0),
        ("here for a while", &[("Date", "@0")], 0, 7, 7),
        ("the delay", &[("Date", "@0")], -5, 0, 5),
        ("Age", &[("Age", "30")], 0, 3, 33),
        ("Age and the delay", &[("Age", "30")], -5, 0, 35),
        ("an old date", &[("Date", "@-90"), ("Age", "30")], -5, 1, 91),
        ("an older Age", &[("Date", "@-10"), ("Age", "25")], 0, 0, 25),
        ("a date in the future", &[("Date", "@10"), ("Age", "15")], 0, 0, 15),
        ("a malformed date", &[("Date", "x")], 0, 2, 2),
        ("two dates", &[("Date", "@0"), ("Date", "@-9")], 0, 0, 9),
        ("Age that is no number", &[("Age", "abc")], 0, 0, 0),
        ("a negative Age", &[("Age", "-7200")], 0, 0, 0),
        ("a fraction", &[("Age", "7200.0")], 0, 0, 0),
        ("a parameter", &[("Age", "7200;foo=bar")], 0, 0, 0),
        ("one less than the most", &[("Age", "2147483647")], 0, 0, MOST - 1),
        ("the most", &[("Age", "2147483648")], 0, 0, MOST),
        ("more than the most", &[("Age", "2147483649")], -9, 9, MOST),
        ("two members, old first", &[("Age", "7200, 0")], 0, 0, 7200),
        ("two members, new first", &[("Age", "0, 7200")], 0, 0, 0),
        ("two lines, old first", &[("Age", "7200"), ("Age", "0")], 0, 0, 7200),
        ("two lines, new first", &[("Age", "0"), ("Age", "7200")], 0, 0, 0),
        ("the same twice", &[("Age", "3600"), ("Age", "3600")], 0, 0, 3600),
        ("malformed, then valid", &[("Age", "x, 7200")], 0, 0, 0),
        ("the clock was set back", &[("Age", "1")], 0, -100, 101),
        ("the clock was set back between", &[("Age", "1")], 7, 0, 8),
        ("an early date", &[("Date", "Sat, 01 Jan 0000 00:00:00 GMT")], 0, 0, MOST),
    ];
    for &(rule, fields, requested, now, expected) in cases {
        let fields: Vec<_> = fields.iter().copied().chain([("ETag", "\"a\"")]).collect();
        let (none, fields) = (lines(&[]), lines(&fields));
        let arrival = Arrival::of(&fields.fields(), NOW + requested, NOW);
        let found = evaluate(&get(&none), &response(200, &fields), arrival, &DEFAULT).unwrap();
        assert_eq!(found.age(NOW + now), expected, "{rule}");
    }
    let always = store(&[], 200, &[("Cache-Control", "max-age=5"), ("Age", "1")], &DEFAULT).unwrap();
    for now in [i64::MIN, i64::MAX] {
        assert_eq!((always.age(now), always.is_fresh(now)), (MOST, false));
    }
}

#[test]
fn freshness_is_the_same_after_a_restart() {
    for (control, seconds) in [
        ("max-age=9, stale-while-revalidate=2, stale-if-error=3", "@-1"),
        ("max-age=4294967295, immutable", "@9"),
        ("no-cache", "@-99999"),
        ("s-maxage=1, must-revalidate", "@0"),
    ] {
        for tag in [&[("ETag", "\"a\"")][..], &[]] {
            let fields: Vec<_> =
                [("Cache-Control", control), ("Date", seconds)].into_iter().chain(tag.iter().copied()).collect();
            let Ok(stored) = store(&[], 200, &fields, &DEFAULT) else { continue };
            let mut bytes = stored.to_bytes();
            assert_eq!(Freshness::from_bytes(&bytes), Some(stored), "{control}");
            bytes[32] |= 16;
            assert_eq!(Freshness::from_bytes(&bytes), None);
        }
    }
}
