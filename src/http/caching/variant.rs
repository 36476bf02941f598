//! Which of several responses to requests for the same URI was made for requests like this one:
//! Vary (RFC 9111 §4.1).
//!
//! A stored response is found in two steps: by its URI, then by the values that the fields named
//! in its Vary had in its request. Names and values are written in one canonical form, so the
//! second key is compared as bytes:
//!
//! ```text
//! names    accept-encoding,accept-language
//! key      + b r , g z i p 0   -                 (the second field was absent)
//! ```
//!
//! No byte of a value can be mistaken for a mark, so different values have different keys. Who
//! keeps only a hash of the key must use a keyed one: clients choose the values.
//!
//! Two values are the same if they differ in what has no meaning: white space around commas,
//! whether a list is on one line or several; in Accept and its relatives also white space around
//! semicolons; the case of codings, charsets and languages; the order of codings. The order of
//! languages and media types stays, because many origins prefer the first.

use super::freshness::Freshness;
use crate::http::Fields;
use crate::http::grammar::is_token;

/// The most names in a Vary field.
pub const NAMES: usize = 16;

/// The most members of Accept-Encoding that are sorted; a longer list stays as it is.
const SORTED: usize = 16;

const ABSENT: u8 = b'-';
const PRESENT: u8 = b'+';
/// After a value, and where a line ends within a quoted string: no value contains it.
const END: u8 = 0;

/// Whether the Vary field of a response has names, or none, so that a later request can match.
pub fn is_selectable(response: &Fields<'_>) -> bool {
    names_of(response).is_some()
}

/// Whether the Vary fields of two responses have the same names, so that the keys of requests are
/// the same.
pub fn have_same_names(a: &Fields<'_>, b: &Fields<'_>) -> bool {
    let (Some((a, length)), Some((b, other_length))) = (names_of(a), names_of(b)) else { return false };
    length == other_length && a.iter().zip(&b).all(|(a, b)| a.eq_ignore_ascii_case(b))
}

/// Appends the names in the Vary field of a response: sorted, in lower case, each once, with
/// commas between. Nothing if there is no name. Returns false if no request can match.
pub fn write_names(response: &Fields<'_>, out: &mut Vec<u8>) -> bool {
    let Some((names, count)) = names_of(response) else { return false };
    for (number, name) in names[..count].iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.extend(name.iter().map(u8::to_ascii_lowercase));
    }
    true
}

/// The sorted names and their number.
fn names_of<'a>(response: &Fields<'a>) -> Option<([&'a [u8]; NAMES], usize)> {
    let mut names = [&b""[..]; NAMES];
    let mut count = 0;
    for name in response.tokens("vary") {
        if name == b"*" || !is_token(name) {
            return None;
        }
        match names[..count].binary_search_by(|known| compare(known, name)) {
            Ok(_) => {}
            Err(_) if count == NAMES => return None,
            Err(place) => {
                names[place..=count].rotate_right(1);
                names[place] = name;
                count += 1;
            }
        }
    }
    Some((names, count))
}

/// Compares without regard to case.
fn compare(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    a.iter().map(u8::to_ascii_lowercase).cmp(b.iter().map(u8::to_ascii_lowercase))
}

/// Appends the key of a request among the variants with these `names`, as [`write_names`] wrote
/// them.
pub fn write_key(names: &[u8], request: &Fields<'_>, out: &mut Vec<u8>) {
    for name in names.split(|&byte| byte == b',').filter(|name| !name.is_empty()) {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        if request.get(name).is_none() {
            out.push(ABSENT);
            continue;
        }
        out.push(PRESENT);
        match name {
            "accept-encoding" => write_sorted(request, name, out),
            "accept-language" | "accept-charset" => write_value(request, name, out, true, true),
            "accept" => write_value(request, name, out, true, false),
            _ => write_value(request, name, out, false, false),
        }
        out.push(END);
    }
}

/// Reads what [`write_key`] wrote: each of the `names`, and the value that requests have in this field;
/// none if they have no such field.
pub fn read_key<'a>(names: &'a [u8], mut key: &'a [u8]) -> Vec<(&'a [u8], Option<&'a [u8]>)> {
    let names = names.split(|&byte| byte == b',').filter(|name| !name.is_empty());
    let mut value = || {
        let (&mark, rest) = key.split_first()?;
        if mark != PRESENT {
            key = rest;
            return None;
        }
        // Within a value it is followed by a comma or another one.
        let is_end = |at: &usize| rest[*at] == END && matches!(rest.get(at + 1), None | Some(&PRESENT | &ABSENT));
        let length = (0..rest.len()).find(is_end).unwrap_or(rest.len());
        key = rest.get(length + 1..).unwrap_or_default();
        Some(&rest[..length])
    };
    names.map(|name| (name, value())).collect()
}

/// Of stored responses that match the request, the one to use: the most recent.
pub fn most_recent<'a, T>(matching: impl IntoIterator<Item = (T, &'a Freshness)>) -> Option<T> {
    matching.into_iter().max_by_key(|(_, freshness)| freshness.order()).map(|(response, _)| response)
}

/// Writes the members of Accept-Encoding in lower case, sorted.
fn write_sorted(request: &Fields<'_>, name: &str, out: &mut Vec<u8>) {
    let mut members = [&b""[..]; SORTED];
    let mut count = 0;
    for member in request.tokens(name) {
        if count == SORTED {
            return write_value(request, name, out, true, true);
        }
        members[count] = member;
        count += 1;
    }
    members[..count].sort_unstable_by(|a, b| compare(a, b));
    for (number, member) in members[..count].iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        let written = member.iter().filter(|byte| !matches!(byte, b' ' | b'\t'));
        out.extend(written.map(u8::to_ascii_lowercase));
    }
}

/// Writes the combined value of all lines without the white space around separators: commas, and
/// semicolons if the field has `parameters`. What is quoted stays.
fn write_value(request: &Fields<'_>, name: &str, out: &mut Vec<u8>, parameters: bool, lower_case: bool) {
    for (number, line) in request.all(name).enumerate() {
        if number > 0 {
            out.push(b',');
        }
        let (mut quoted, mut escaped) = (false, false);
        // The white space that was read, but not yet written, and whether a separator was last.
        let (mut blank, mut separated) = (0, true);
        for (at, &byte) in line.iter().enumerate() {
            if !quoted && matches!(byte, b' ' | b'\t') {
                blank += 1;
                continue;
            }
            let separates = !quoted && (byte == b',' || (parameters && byte == b';'));
            if !separates && !separated {
                out.extend_from_slice(&line[at - blank..at]);
            }
            (blank, separated) = (0, separates);
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ => {}
            }
            out.push(if lower_case { byte.to_ascii_lowercase() } else { byte });
        }
        if quoted {
            out.push(END);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;

    fn lines(lines: &[(&str, &str)]) -> FieldLines {
        FieldLines::of(lines.iter().map(|&(name, value)| (name, value.as_bytes())))
    }

    fn names(vary: &[&str]) -> Option<String> {
        let response: Vec<_> = vary.iter().map(|&value| ("Vary", value)).collect();
        let mut out = Vec::new();
        write_names(&lines(&response).fields(), &mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn names_are_canonical() {
        for (vary, expected) in [
            (&[][..], Some("")),
            (&[""], Some("")),
            (&["Foo"], Some("foo")),
            (&["Foo, bar,Baz"], Some("bar,baz,foo")),
            (&["foo", "BAR", "Foo ,, bar"], Some("bar,foo")),
            (&["*"], None),
            (&["*, *"], None),
            (&["*", "*"], None),
            (&[", *"], None),
            (&["", "*"], None),
            (&["*, Foo"], None),
            (&["Foo, *"], None),
            (&["Foo", "x, *"], None),
            (&["a b"], None),
            (&["\"a\""], None),
            (
                &["a1,a2,a3,a4,a5,a6,a7,a8,a9,b1,b2,b3,b4,b5,b6,b7,a1"],
                Some("a1,a2,a3,a4,a5,a6,a7,a8,a9,b1,b2,b3,b4,b5,b6,b7"),
            ),
            (&["a1,a2,a3,a4,a5,a6,a7,a8,a9,b1,b2,b3,b4,b5,b6,b7,b8"], None),
        ] {
            assert_eq!(names(vary).as_deref(), expected, "{vary:?}");
        }
    }

    fn key(names: &str, request: &[(&str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        write_key(names.as_bytes(), &lines(request).fields(), &mut out);
        out
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let read = |request: &[(&str, &str)]| {
            let key = key("a,b,c", request);
            let read = read_key(b"a,b,c", &key);
            read.into_iter().map(|(_, value)| value.map(|value| String::from_utf8_lossy(value).into_owned())).collect()
        };
        let some = |text: &str| Some(text.to_owned());
        for (request, expected) in [
            (&[][..], [None, None, None]),
            (&[("B", "-+x")], [None, some("-+x"), None]),
            (&[("A", ""), ("C", "1"), ("C", "2")], [some(""), None, some("1,2")]),
            (&[("A", "\"1"), ("A", "2"), ("B", "\"")], [some("\"1\0,2"), some("\"\0"), None]),
        ] {
            let values: Vec<Option<String>> = read(request);
            assert_eq!(values, expected, "{request:?}");
        }
        let names: Vec<_> = read_key(b"a,b", b"-").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [b"a", b"b"], "a key that is cut");
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "most of it is a table")]
    fn requests_match_if_only_what_has_no_meaning_differs() {
        type Request<'a> = &'a [(&'a str, &'a str)];
        let cases: &[(&str, &str, Request<'_>, Request<'_>, bool)] = &[
            ("no Vary", "", &[("Foo", "1")], &[("Foo", "2")], true),
            ("the same value", "foo", &[("Foo", "1")], &[("fOO", "1"), ("Other", "2")], true),
            ("another value", "foo", &[("Foo", "1")], &[("Foo", "2")], false),
            ("the case of an unknown value", "foo", &[("Foo", "a")], &[("Foo", "A")], false),
            ("absent in the stored request", "foo", &[], &[("Foo", "1")], false),
            ("absent in the new request", "foo", &[("Foo", "1")], &[], false),
            ("absent in both", "bar,foo", &[("Foo", "1")], &[("Foo", "1")], true),
            ("empty isn't absent", "foo", &[("Foo", "")], &[], false),
            ("absence moves no value", "bar,foo", &[("Foo", "1")], &[("Bar", "1")], false),
            ("values are kept apart", "bar,foo", &[("Bar", "1-"), ("Foo", "2")], &[("Bar", "1"), ("Foo", "-2")], false),
            (
                "two of three match",
                "bar,baz,foo",
                &[("Foo", "1"), ("Bar", "a"), ("Baz", "7")],
                &[("Foo", "1"), ("Baz", "7"), ("Bar", "ab")],
                false,
            ),
            ("the order of fields", "bar,foo", &[("Foo", "1"), ("Bar", "2")], &[("Bar", "2"), ("Foo", "1")], true),
            ("lines are combined", "foo", &[("Foo", "1, 2")], &[("Foo", "1"), ("Foo", "2")], true),
            ("the order of lines", "foo", &[("Foo", "1"), ("Foo", "2")], &[("Foo", "2"), ("Foo", "1")], false),
            ("space around commas", "foo", &[("Foo", "1,2")], &[("Foo", "1 ,\t2")], true),
            ("space elsewhere", "foo", &[("Foo", "1 2")], &[("Foo", "12")], false),
            ("how much space", "foo", &[("Foo", "1 2")], &[("Foo", "1  2")], false),
            ("space around an unknown semicolon", "foo", &[("Foo", "1;2")], &[("Foo", "1; 2")], false),
            ("quoted space", "foo", &[("Foo", "\"1, 2\"")], &[("Foo", "\"1,2\"")], false),
            ("space after an escaped quote", "foo", &[("Foo", "\"\\\", 2\"")], &[("Foo", "\"\\\",2\"")], false),
            ("an open string over lines", "foo", &[("Foo", "\"1"), ("Foo", "2\"")], &[("Foo", "\"1,2\"")], false),
            (
                "languages: case",
                "accept-language",
                &[("Accept-Language", "en, de")],
                &[("Accept-Language", "eN, De")],
                true,
            ),
            (
                "languages: space",
                "accept-language",
                &[("Accept-Language", "en,de;q=1")],
                &[("Accept-Language", "en ,   de ; q=1")],
                true,
            ),
            (
                "languages: order",
                "accept-language",
                &[("Accept-Language", "en, de")],
                &[("Accept-Language", "de, en")],
                false,
            ),
            (
                "codings: order, case, space, lines",
                "accept-encoding",
                &[("Accept-Encoding", "gzip, br;q=0.5")],
                &[("Accept-Encoding", "BR ; q=0.5"), ("Accept-Encoding", "GZip")],
                true,
            ),
            (
                "codings: weight",
                "accept-encoding",
                &[("Accept-Encoding", "br;q=0")],
                &[("Accept-Encoding", "br")],
                false,
            ),
            (
                "codings: unknown ones",
                "accept-encoding",
                &[("Accept-Encoding", "gzip, x")],
                &[("Accept-Encoding", "gzip, y")],
                false,
            ),
            (
                "codings: identity only",
                "accept-encoding",
                &[("Accept-Encoding", "")],
                &[("Accept-Encoding", "gzip")],
                false,
            ),
            ("media types: space", "accept", &[("Accept", "a/b;q=1,c/d")], &[("Accept", "a/b; q=1, c/d")], true),
            ("media types: order", "accept", &[("Accept", "a/b,c/d")], &[("Accept", "c/d,a/b")], false),
        ];
        for &(rule, names, stored, new, matches) in cases {
            assert_eq!(key(names, stored) == key(names, new), matches, "{rule}");
        }
        let many = |first: &str| format!("{first}{}", ",x".repeat(40));
        let [a, b] = ["gzip", "GZIP"].map(|first| key("accept-encoding", &[("Accept-Encoding", &many(first))]));
        assert_eq!(a, b, "a long list stays as it is");
        assert_ne!(a, key("accept-encoding", &[("Accept-Encoding", &many("br"))]));
    }
}
