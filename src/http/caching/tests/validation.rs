//! Conditions, 304, HEAD, and what clients with copies or ranges get.

use super::*;

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

/// Lines as they are written, with relative dates.
fn expect(written: Lines<'_>) -> String {
    lines(written).fields().iter().fold(String::new(), |text, (name, value)| {
        text + &format!("{}: {}\r\n", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
    })
}

#[test]
fn validations_have_the_stored_validators() {
    const TAG: (&str, &str) = ("ETag", "\"a\"");
    const MODIFIED: (&str, &str) = ("Last-Modified", "@-60");
    let cases: &[(&str, Option<Lines<'_>>, &[&str], Lines<'_>)] = &[
        ("a tag", Some(&[TAG]), &[], &[("If-None-Match", "\"a\"")]),
        ("a weak tag", Some(&[("ETag", "W/\"a\"")]), &[], &[("If-None-Match", "W/\"a\"")]),
        ("a date", Some(&[MODIFIED]), &[], &[("If-Modified-Since", "@-60")]),
        ("both", Some(&[TAG, MODIFIED]), &[], &[("If-None-Match", "\"a\""), ("If-Modified-Since", "@-60")]),
        ("neither", Some(&[]), &[], &[]),
        ("malformed", Some(&[("ETag", "a"), ("Last-Modified", "x")]), &[], &[]),
        ("several", Some(&[TAG, TAG, MODIFIED, MODIFIED]), &[], &[]),
        (
            "other variants",
            Some(&[TAG]),
            &["\"b\"", "x", "\"a\"", "W/\"c\""],
            &[("If-None-Match", "\"a\", \"b\", W/\"c\"")],
        ),
        ("only other variants", None, &["\"b\""], &[("If-None-Match", "\"b\"")]),
        ("nothing", None, &[], &[]),
    ];
    for &(rule, selected, others, expected) in cases {
        let stored = selected.map(lines);
        let fields = stored.as_ref().map(FieldLines::fields);
        let mut any = false;
        let written = text(|out| {
            let others = others.iter().map(|etag| etag.as_bytes());
            any = write_conditions(fields.as_ref(), others, NOW, out);
        });
        assert_eq!((written, any), (expect(expected), !expected.is_empty()), "{rule}");
    }
    for (name, left_out) in
        [("if-none-match", true), ("Range", true), ("If-Range", true), ("If-Match", false), ("Foo", false)]
    {
        assert_eq!(is_left_out(name.as_bytes()), left_out, "{name}");
    }
}

#[test]
fn a_304_confirms_what_has_its_validator() {
    use Confirmation::*;
    let cases: &[(&str, Lines<'_>, Lines<'_>, usize, Confirmation)] = &[
        ("the same strong tag", &[("ETag", "\"a\"")], &[("ETag", "\"a\"")], 2, Strong),
        ("another strong tag", &[("ETag", "\"b\"")], &[("ETag", "\"a\"")], 1, No),
        ("strong, but weak in the store", &[("ETag", "\"a\"")], &[("ETag", "W/\"a\"")], 1, No),
        ("weak", &[("ETag", "W/\"a\"")], &[("ETag", "W/\"a\"")], 2, Weak),
        ("weak, but strong in the store", &[("ETag", "W/\"a\"")], &[("ETag", "\"a\"")], 2, Weak),
        ("another weak tag", &[("ETag", "W/\"b\"")], &[("ETag", "\"a\"")], 1, No),
        ("a tag, none in the store", &[("ETag", "\"a\"")], &[("Last-Modified", "@-9")], 1, No),
        (
            "a tag beats a date",
            &[("ETag", "\"b\""), ("Last-Modified", "@-9")],
            &[("ETag", "\"a\""), ("Last-Modified", "@-9")],
            1,
            No,
        ),
        ("the same date", &[("Last-Modified", "@-9")], &[("Last-Modified", "@-9"), ("ETag", "\"a\"")], 2, Weak),
        ("another date", &[("Last-Modified", "@-8")], &[("Last-Modified", "@-9")], 1, No),
        ("a date, none in the store", &[("Last-Modified", "@-8")], &[("ETag", "\"a\"")], 1, No),
        ("no validator", &[], &[("ETag", "\"a\"")], 1, Weak),
        ("no validator, several offered", &[], &[("ETag", "\"a\"")], 2, No),
        ("the same malformed tag", &[("ETag", "a")], &[("ETag", "a")], 1, Weak),
        ("another malformed tag", &[("ETag", "a")], &[("ETag", "\"a\"")], 1, No),
        ("two tags", &[("ETag", "\"a\""), ("ETag", "\"b\"")], &[("ETag", "\"a\"")], 1, No),
    ];
    for &(rule, update, stored, offered, expected) in cases {
        let (update, stored) = (lines(update), lines(stored));
        assert_eq!(confirms(&update.fields(), &stored.fields(), offered), expected, "{rule}");
    }
}

#[test]
fn what_is_about_a_connection_is_not_stored() {
    let received: Lines<'_> = &[
        ("Date", "@-1"),
        ("A", "1"),
        ("Connection", "close, X-Hop"),
        ("x-hop", "1"),
        ("Keep-Alive", "1"),
        ("Proxy-Connection", "1"),
        ("Proxy-Authenticate", "1"),
        ("Proxy-Authentication-Info", "1"),
        ("Proxy-Authorization", "1"),
        ("TE", "1"),
        ("Trailer", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "1"),
        ("Content-Length", "5"),
        ("Age", "5"),
        ("Cache-Control", "max-age=5, private=\"b, c\", no-cache=d"),
        ("B", "1"),
        ("c", "1"),
        ("D", "1"),
        ("Set-Cookie", "1"),
        ("Set-Cookie2", "1"),
        ("A", "2"),
        ("Cache-Status", "x; hit"),
        ("Content-Encoding", "gzip"),
    ];
    let stored: Lines<'_> = &[
        ("Date", "@-1"),
        ("A", "1"),
        ("Cache-Control", "max-age=5, private=\"b, c\", no-cache=d"),
        ("A", "2"),
        ("Cache-Status", "x; hit"),
        ("Content-Encoding", "gzip"),
    ];
    let write = |fields, settings| text(|out| write_stored(&lines(fields).fields(), NOW, settings, out));
    assert_eq!(write(received, &DEFAULT), expect(stored));
    let cookies = Settings { store_cookies: true, ..DEFAULT };
    assert_eq!(write(&[("Date", "@0"), ("Set-Cookie", "1")], &cookies), expect(&[("Date", "@0"), ("Set-Cookie", "1")]));
    // There is one Date, and it is valid.
    for dates in [&[][..], &[("Date", "x")], &[("Date", "@0"), ("Date", "x")]] {
        assert_eq!(write(dates, &DEFAULT), expect(&[("Date", "@0")]), "{dates:?}");
    }
}

#[test]
fn a_304_updates_the_stored_fields() {
    let cases: &[(&str, Lines<'_>, Lines<'_>, Lines<'_>)] = &[
        ("what is omitted stays", &[("A", "1"), ("Date", "@-9")], &[("Date", "@0")], &[("A", "1"), ("Date", "@0")]),
        (
            "what is there replaces",
            &[("A", "1"), ("B", "1")],
            &[("a", "2"), ("Date", "@0")],
            &[("B", "1"), ("a", "2"), ("Date", "@0")],
        ),
        (
            "all lines of a field",
            &[("A", "1"), ("A", "2")],
            &[("A", "3"), ("A", "4"), ("Date", "@0")],
            &[("A", "3"), ("A", "4"), ("Date", "@0")],
        ),
        (
            "new fields are added",
            &[("A", "1")],
            &[("B", "2"), ("Date", "@0")],
            &[("A", "1"), ("B", "2"), ("Date", "@0")],
        ),
        (
            "content and selection stay",
            &[("Content-Encoding", "gzip"), ("Content-Range", "x"), ("Vary", "A")],
            &[
                ("Content-Encoding", "br"),
                ("Content-Range", "y"),
                ("Content-Length", "0"),
                ("Vary", "B"),
                ("Date", "@0"),
            ],
            &[("Content-Encoding", "gzip"), ("Content-Range", "x"), ("Vary", "A"), ("Date", "@0")],
        ),
        (
            "connections stay apart",
            &[("A", "1")],
            &[("Connection", "A, B"), ("A", "2"), ("B", "2"), ("TE", "x"), ("Age", "5"), ("Date", "@0")],
            &[("A", "1"), ("Date", "@0")],
        ),
        (
            "what is private goes",
            &[("A", "1"), ("B", "1")],
            &[("Cache-Control", "private=a"), ("A", "2"), ("Date", "@0")],
            &[("B", "1"), ("Cache-Control", "private=a"), ("Date", "@0")],
        ),
        ("cookies aren't stored", &[], &[("Set-Cookie", "a=b"), ("Date", "@0")], &[("Date", "@0")]),
        ("without Date it is now", &[("Date", "@-9"), ("A", "1")], &[], &[("A", "1"), ("Date", "@5")]),
        (
            "metadata",
            &[("Content-Type", "a/b"), ("ETag", "\"a\"")],
            &[("Content-Type", "c/d"), ("ETag", "W/\"a\""), ("Date", "@0")],
            &[("Content-Type", "c/d"), ("ETag", "W/\"a\""), ("Date", "@0")],
        ),
    ];
    for &(rule, stored, update, expected) in cases {
        let (stored, update) = (lines(stored), lines(update));
        let written = text(|out| write_updated(&stored.fields(), &update.fields(), NOW + 5, &DEFAULT, out));
        assert_eq!(written, expect(expected), "{rule}");
    }
}

#[test]
fn a_304_that_varies_otherwise_is_noticed() {
    for (new, old, changes) in [
        (&[][..], &[("Vary", "A")][..], false),
        (&[("Vary", "A")], &[("Vary", "a")], false),
        (&[("Vary", "b, A")], &[("Vary", "a"), ("Vary", "B")], false),
        (&[("Vary", "A, B")], &[("Vary", "A")], true),
        (&[("Vary", "B")], &[("Vary", "A")], true),
        (&[("Vary", "A")], &[], true),
        (&[("Vary", "")], &[("Vary", "A")], true),
        (&[("Vary", "*")], &[("Vary", "A")], true),
    ] {
        assert_eq!(changes_selection(&lines(new).fields(), &lines(old).fields()), changes, "{new:?} {old:?}");
    }
}

#[test]
fn a_response_to_head_freshens_or_removes() {
    use HeadEffect::*;
    const STORED: Lines<'_> =
        &[("ETag", "\"a\""), ("Last-Modified", "@-9"), ("Content-Encoding", "gzip"), ("Vary", "A"), ("X", "1")];
    let cases: &[(&str, u16, u16, Lines<'_>, HeadEffect)] = &[
        ("nothing differs", 200, 200, STORED, Update),
        ("no validator", 200, 200, &[("X", "2"), ("Cache-Control", "max-age=1000")], Update),
        ("the length", 200, 200, &[("Content-Length", "10")], Update),
        ("another length", 200, 200, &[("Content-Length", "11")], Invalidate),
        ("a malformed length", 200, 200, &[("Content-Length", "x")], Invalidate),
        ("another tag", 200, 200, &[("ETag", "\"b\"")], Invalidate),
        ("a weak tag", 200, 200, &[("ETag", "W/\"a\"")], Invalidate),
        ("another date", 200, 200, &[("Last-Modified", "@-8")], Invalidate),
        ("another coding", 200, 200, &[("Content-Encoding", "br")], Invalidate),
        ("another Vary", 200, 200, &[("Vary", "B")], Invalidate),
        ("an error", 410, 200, &[("ETag", "\"b\"")], Nothing),
        ("a stored error", 200, 404, &[("ETag", "\"b\"")], Nothing),
    ];
    for &(rule, status, stored_status, fields, expected) in cases {
        let (fields, stored) = (lines(fields), lines(STORED));
        let effect = head_effect(&response(status, &fields), Status(stored_status), &stored.fields(), 10);
        assert_eq!(effect, expected, "{rule}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "most of it is a table")]
fn clients_with_a_copy_get_304_and_ranges_are_cut() {
    use crate::http::range::Ranges;
    let part = |range| Answer::Ranges(Ranges::One(range));
    const TAG: Lines<'_> = &[("ETag", "\"a\"")];
    const WEAK: Lines<'_> = &[("ETag", "W/\"a\"")];
    const MODIFIED: Lines<'_> = &[("Last-Modified", "@-60"), ("Date", "@0")];
    const BOTH: Lines<'_> = &[("ETag", "\"a\""), ("Last-Modified", "@-60")];
    let cases: &[(&str, Lines<'_>, Lines<'_>, Answer)] = &[
        ("no condition", TAG, &[], Answer::Whole),
        ("the same tag", TAG, &[("If-None-Match", "\"a\"")], Answer::NotModified),
        ("the same weak tag", WEAK, &[("If-None-Match", "W/\"a\"")], Answer::NotModified),
        ("one of several", TAG, &[("If-None-Match", "\"1\", \"a\", \"2\"")], Answer::NotModified),
        (
            "the last of several lines",
            TAG,
            &[("If-None-Match", "\"1\""), ("If-None-Match", "\"a\"")],
            Answer::NotModified,
        ),
        ("another tag", TAG, &[("If-None-Match", "\"b\"")], Answer::Whole),
        ("any tag", MODIFIED, &[("If-None-Match", "*")], Answer::NotModified),
        ("a tag, none stored", MODIFIED, &[("If-None-Match", "\"a\"")], Answer::Whole),
        (
            "tags on two lines, none stored",
            MODIFIED,
            &[("If-None-Match", "\"a\""), ("If-None-Match", "\"b\"")],
            Answer::Whole,
        ),
        ("an unquoted tag", &[("ETag", "a")], &[("If-None-Match", "a")], Answer::Whole),
        ("a tag beats a date", BOTH, &[("If-None-Match", "\"a\""), ("If-Modified-Since", "@-90")], Answer::NotModified),
        ("also if it differs", BOTH, &[("If-None-Match", "\"b\""), ("If-Modified-Since", "@-60")], Answer::Whole),
        ("the same date", MODIFIED, &[("If-Modified-Since", "@-60")], Answer::NotModified),
        ("a later date", MODIFIED, &[("If-Modified-Since", "@-30")], Answer::NotModified),
        ("an earlier date", MODIFIED, &[("If-Modified-Since", "@-61")], Answer::Whole),
        (
            "no date stored: that of its generation",
            &[("Date", "@-40")],
            &[("If-Modified-Since", "@-40")],
            Answer::NotModified,
        ),
        ("not before", &[("Date", "@-40")], &[("If-Modified-Since", "@-41")], Answer::Whole),
        // Ranges.
        ("a range", TAG, &[("Range", "bytes=0-1")], part(0..2)),
        ("to the end", TAG, &[("Range", "bytes=1-")], part(1..10)),
        ("a suffix", TAG, &[("Range", "bytes=-1")], part(9..10)),
        ("beyond the end", TAG, &[("Range", "bytes=10-")], Answer::Ranges(Ranges::Unsatisfiable)),
        ("malformed", TAG, &[("Range", "bytes=x")], Answer::Whole),
        ("two fields", TAG, &[("Range", "bytes=0-1"), ("Range", "bytes=0-1")], Answer::Whole),
        ("304 first", TAG, &[("Range", "bytes=0-1"), ("If-None-Match", "\"a\"")], Answer::NotModified),
        ("If-Range", TAG, &[("Range", "bytes=0-1"), ("If-Range", "\"a\"")], part(0..2)),
        ("If-Range, another", TAG, &[("Range", "bytes=0-1"), ("If-Range", "\"b\"")], Answer::Whole),
        ("If-Range, weak", WEAK, &[("Range", "bytes=0-1"), ("If-Range", "W/\"a\"")], Answer::Whole),
        ("If-Range, date", MODIFIED, &[("Range", "bytes=0-1"), ("If-Range", "@-60")], part(0..2)),
        (
            "If-Range, not when it was generated",
            &[("Date", "@-40")],
            &[("Range", "bytes=0-1"), ("If-Range", "@-40")],
            Answer::Whole,
        ),
    ];
    for (rule, stored, request, expected) in cases {
        let (stored, request) = (lines(stored), lines(request));
        assert_eq!(answer(&get(&request), Status::OK, &stored.fields(), 10, NOW), *expected, "{rule}");
    }
    let (stored, request) = (lines(TAG), lines(&[("If-None-Match", "\"a\""), ("Range", "bytes=0-1")]));
    let ask = |request: &Request<'_>, status| answer(request, Status(status), &stored.fields(), 10, NOW);
    assert_eq!(ask(&get(&request), 404), Answer::Whole, "an error has no versions");
    let ranged = lines(&[("Range", "bytes=0-1")]);
    assert_eq!(ask(&Request { method: Method::Head, ..get(&ranged) }, 200), Answer::Whole, "ranges are for GET");
    for (name, sent) in
        [("ETag", true), ("date", true), ("Vary", true), ("content-type", false), ("Content-Location", true)]
    {
        assert_eq!(is_sent_with_304(name.as_bytes()), sent, "{name}");
    }
}
