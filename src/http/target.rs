//! The request-target (RFC 9112 §3.2) and its path (RFC 3986 §3.3).
//!
//! Parsing only splits a target; the path stays percent-encoded, for logs and redirects.
//! Decoding happens once, in [`decode_path`]. The decoded path is checked, so no encoding of
//! `..` or of a slash gets through: nothing that could leave the root, or that a file
//! system could interpret differently.

use std::net::Ipv6Addr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::Reject;

/// The forms of a request-target (RFC 9112 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// `/path?query`: the usual one (RFC 9112 §3.2.1).
    Origin,
    /// `http://host/path?query`: for proxies, but a server must accept it too (§3.2.2).
    Absolute,
    /// `*`: for OPTIONS about the whole server (§3.2.4).
    Asterisk,
    /// `host:port`: for CONNECT alone (§3.2.3).
    Authority,
}

/// A parsed request-target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target<'a> {
    /// Its form.
    pub form: Form,
    /// The authority, `host[:port]`, of the absolute and the authority form; it replaces the Host
    /// field.
    pub authority: Option<&'a [u8]>,
    /// The scheme of the absolute form is `https`.
    pub is_https: bool,
    /// The path: begins with `/` (or is `*`), percent-encoded. CONNECT has none: then it is `/`.
    pub path: &'a [u8],
    /// The query: what follows the first `?`, percent-encoded.
    pub query: Option<&'a [u8]>,
    /// The path equals its decoded form: it has no escape, no backslash, no empty segment and
    /// no segment that begins with a dot. It can be looked up without decoding.
    pub plain: bool,
}

/// The class of a byte in a target, as bits; plain bytes have none.
const CLASSES: [u8; 256] = {
    let mut table = [REFUSED; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        table[byte] = PLAIN;
        byte += 1;
    }
    table[b'#' as usize] = REFUSED;
    table[b'?' as usize] = QUESTION;
    table[b'%' as usize] = ESCAPE;
    // Refused by the decoder.
    table[b'\\' as usize] = ESCAPE;
    table[b'/' as usize] = SLASH | SEGMENT;
    table[b'.' as usize] = SEGMENT;
    table
};
const PLAIN: u8 = 0;
const QUESTION: u8 = 1;
const REFUSED: u8 = 2;
const ESCAPE: u8 = 4;
const SLASH: u8 = 8;
/// A slash or a dot: not plain after a slash.
const SEGMENT: u8 = SLASH << 1;
/// Ends a name.
const COLON: u8 = 32;

/// Parses the request-target `raw`.
///
/// Printable bytes that RFC 3986 wants encoded (`"<>\^{|}` and the back quote) are accepted,
/// because browsers send some of them unencoded.
///
/// # Errors
/// 400 for control bytes, spaces, `#` and bytes above ASCII anywhere; for a scheme other than
/// `http` and `https`; for an authority with user information or that isn't a [valid
/// host](valid_host); for anything else that doesn't begin with `/`.
pub fn parse(raw: &[u8]) -> Result<Target<'_>, Reject> {
    match raw {
        [b'/', ..] => {
            let (path, query, plain) = split_query(raw)?;
            Ok(Target { form: Form::Origin, authority: None, is_https: false, path, query, plain })
        }
        b"*" => {
            Ok(Target { form: Form::Asterisk, authority: None, is_https: false, path: raw, query: None, plain: false })
        }
        _ => parse_absolute(raw),
    }
}

/// Parses the request-target of CONNECT: a host and a port (RFC 9110 §9.3.6).
///
/// # Errors
/// 400 for anything else.
pub fn parse_authority(raw: &[u8]) -> Result<Target<'_>, Reject> {
    let port = raw.iter().rposition(|byte| *byte == b':').map(|colon| &raw[colon + 1..]);
    if !valid_host(raw) || !port.is_some_and(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit)) {
        return Err(Reject::bad_request("the request-target of CONNECT is a host and a port"));
    }
    let (form, authority) = (Form::Authority, Some(raw));
    Ok(Target { form, authority, is_https: false, path: b"/", query: None, plain: true })
}

fn parse_absolute(raw: &[u8]) -> Result<Target<'_>, Reject> {
    let after = |scheme: &[u8]| {
        let (start, rest) = raw.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let (rest, is_https) = after(b"http://")
        .map(|rest| (rest, false))
        .or_else(|| after(b"https://").map(|rest| (rest, true)))
        .ok_or(Reject::bad_request("the request-target is neither a path nor an http URI"))?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    if !valid_host(authority) {
        return Err(Reject::bad_request("the authority of the request-target is malformed"));
    }
    let (path, query, plain) = split_query(rest)?;
    let path = if path.is_empty() { b"/" } else { path };
    Ok(Target { form: Form::Absolute, authority: Some(authority), is_https, path, query, plain })
}

/// Path and query, and whether the path is plain.
type Split<'a> = (&'a [u8], Option<&'a [u8]>, bool);

/// Splits off the query, and checks every byte.
fn split_query(raw: &[u8]) -> Result<Split<'_>, Reject> {
    let (seen, plain) = survey(raw);
    if seen & REFUSED != 0 {
        return Err(Reject::bad_request("the request-target contains a byte that must be encoded"));
    }
    if seen & QUESTION == 0 {
        return Ok((raw, None, plain));
    }
    let end = raw.iter().position(|&byte| byte == b'?').unwrap_or(raw.len());
    Ok((&raw[..end], raw.get(end + 1..), survey(&raw[..end]).1))
}

/// The union of the classes of all bytes, and whether they are a plain path. The loop has no
/// branch.
fn survey(bytes: &[u8]) -> (u8, bool) {
    let (mut seen, mut odd, mut before) = (0, 0, 0);
    for &byte in bytes {
        let class = CLASSES[usize::from(byte)];
        seen |= class;
        odd |= before << 1 & class;
        before = class;
    }
    (seen, seen & ESCAPE == 0 && odd & SEGMENT == 0)
}

/// Whether `host` is a valid value of the Host field: `uri-host [ ":" port ]`
/// (RFC 9110 §7.2, RFC 3986 §3.2.2).
///
/// It is stricter than the grammar: the name isn't empty, a port is at most 65535 (but may be
/// empty: `host:`), and IPv6 without zone is the only supported IP literal.
pub fn valid_host(host: &[u8]) -> bool {
    let (name_is_valid, rest) = if let [b'[', literal @ ..] = host {
        let Some(end) = literal.iter().position(|&byte| byte == b']') else { return false };
        let address = std::str::from_utf8(&literal[..end]);
        (address.is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok()), &literal[end + 1..])
    } else {
        let Some(length) = reg_name(host) else { return false };
        (length > 0, &host[length..])
    };
    name_is_valid
        && match rest {
            [] => true,
            [b':', port @ ..] => valid_port(port),
            _ => false,
        }
}

/// The length of the `reg-name` at the beginning (RFC 3986 §3.2.2); an IPv4 address is one too.
/// None if it contains an invalid byte.
fn reg_name(host: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(&byte) = host.get(at) {
        at += match NAME[usize::from(byte)] {
            PLAIN => 1,
            COLON => break,
            ESCAPE => decode_byte(host.get(at + 1), host.get(at + 2)).map(|_| 3)?,
            _ => return None,
        };
    }
    Some(at)
}

/// The class of a byte in a `reg-name` or after it: unreserved and sub-delims are plain.
const NAME: [u8; 256] = {
    let mut table = [REFUSED; 256];
    let plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=";
    let mut at = 0;
    while at < plain.len() {
        table[plain[at] as usize] = PLAIN;
        at += 1;
    }
    table[b'%' as usize] = ESCAPE;
    // Refused by the decoder.
    table[b'\\' as usize] = ESCAPE;
    table[b':' as usize] = COLON;
    table
};

fn valid_port(port: &[u8]) -> bool {
    let value = port.iter().try_fold(0u32, |value, byte| {
        byte.is_ascii_digit().then(|| value.saturating_mul(10).saturating_add(u32::from(byte - b'0')))
    });
    value.is_some_and(|value| value <= 65_535)
}

/// Why a path can't be decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathError {
    /// A `%` without two hexadecimal digits (RFC 3986 §2.1).
    Malformed,
    /// A segment `..`, an encoded slash, a backslash or a control byte: no honest request for a
    /// file contains one.
    Refused,
}

/// Appends the file path of `path` to `out`: decoded, relative to the root, without the leading
/// slash.
///
/// Repeated slashes are merged and segments `.` removed; a slash at the end stays:
/// `/a//./b%20c/` becomes `a/b c/`, and `/` becomes empty.
///
/// # Errors
/// See [`PathError`]. `out` is then unchanged.
pub fn decode_path(path: &[u8], out: &mut Vec<u8>) -> Result<(), PathError> {
    decode_path_with(path, EncodedSlash::Refused, out)
}

/// What an encoded slash is in a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EncodedSlash {
    /// Nothing that is permitted.
    Refused,
    /// The end of a segment, like any slash.
    Separator,
    /// A part of its segment. It becomes a byte 0, which no path has otherwise.
    Part,
}

/// As [`decode_path`], with another meaning of encoded slashes.
///
/// # Errors
/// See [`PathError`]. `out` is then unchanged.
pub fn decode_path_with(path: &[u8], slash: EncodedSlash, out: &mut Vec<u8>) -> Result<(), PathError> {
    let before = out.len();
    let result = decode_segments(path, slash, out);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

fn decode_segments(path: &[u8], slash: EncodedSlash, out: &mut Vec<u8>) -> Result<(), PathError> {
    out.reserve(path.len());
    let mut segment = out.len();
    let mut rest = path.iter();
    loop {
        let raw = rest.next();
        match raw {
            None | Some(b'/') => segment = end_segment(segment, raw.is_some(), out)?,
            Some(b'%') => match (decode_byte(rest.next(), rest.next()).ok_or(PathError::Malformed)?, slash) {
                (b'/', EncodedSlash::Refused) => return Err(PathError::Refused),
                (b'/', EncodedSlash::Separator) => segment = end_segment(segment, true, out)?,
                (b'/', EncodedSlash::Part) => out.push(0),
                (byte, _) => push_byte(byte, out)?,
            },
            Some(&byte) => push_byte(byte, out)?,
        }
        if raw.is_none() {
            return Ok(());
        }
    }
}

/// Ends the segment that begins at `start` of `out`. Returns where the next one begins.
fn end_segment(start: usize, has_slash: bool, out: &mut Vec<u8>) -> Result<usize, PathError> {
    match &out[start..] {
        b"" => {}
        b"." => out.truncate(start),
        b".." => return Err(PathError::Refused),
        _ if has_slash => out.push(b'/'),
        _ => {}
    }
    Ok(out.len())
}

/// What follows the first `prefix` bytes of a decoded path, but as it was sent: empty, or with one slash at the
/// beginning. The prefix ends where a segment ends.
pub fn below(path: &[u8], prefix: usize) -> &[u8] {
    // How much of the path was passed, and the length of that when it is decoded.
    let (mut passed, mut decoded) = (0, 0);
    for segment in path.split(|byte| *byte == b'/') {
        if decoded >= prefix && passed > 0 {
            break;
        }
        passed += segment.len() + 1;
        if !matches!(segment, b"" | b"." | b"%2e" | b"%2E") {
            let escapes = segment.iter().filter(|byte| **byte == b'%').count();
            decoded += 1 + segment.len().saturating_sub(2 * escapes);
        }
    }
    let mut rest = path.get(passed.saturating_sub(1)..).unwrap_or_default();
    while let Some(shorter) = rest.strip_prefix(b"/").filter(|shorter| shorter.starts_with(b"/")) {
        rest = shorter;
    }
    rest
}

fn push_byte(byte: u8, out: &mut Vec<u8>) -> Result<(), PathError> {
    if byte.is_ascii_control() || byte == b'\\' {
        return Err(PathError::Refused);
    }
    out.push(byte);
    Ok(())
}

fn decode_byte(high: Option<&u8>, low: Option<&u8>) -> Option<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// The bytes that stay unencoded in a path. `&` and `'` would need an escape in HTML, and a `:`
/// in the first segment of a link would make it a scheme.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// Appends `path` percent-encoded, for a Location field or for an attribute of a link: the
/// inverse of [`decode_path`], apart from the leading slash.
pub fn encode_path(path: &[u8], out: &mut Vec<u8>) {
    for piece in percent_encode(path, KEPT) {
        out.extend_from_slice(piece.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_is_parsed() {
        use Form::*;
        type Case = (&'static str, Form, Option<&'static str>, &'static str, Option<&'static str>);
        let cases: &[Case] = &[
            ("/", Origin, None, "/", None),
            ("/a/b?c=d", Origin, None, "/a/b", Some("c=d")),
            ("/?", Origin, None, "/", Some("")),
            ("/a?b?c/d", Origin, None, "/a", Some("b?c/d")),
            ("//evil/x", Origin, None, "//evil/x", None),
            ("/%zz", Origin, None, "/%zz", None),
            ("/\"<>\\^`{|}?\"<>\\^`{|}", Origin, None, "/\"<>\\^`{|}", Some("\"<>\\^`{|}")),
            ("*", Asterisk, None, "*", None),
            ("http://a", Absolute, Some("a"), "/", None),
            ("HTTPS://A.b:443/c?d", Absolute, Some("A.b:443"), "/c", Some("d")),
            ("http://[::1]:8080?q", Absolute, Some("[::1]:8080"), "/", Some("q")),
            ("http://a?/b", Absolute, Some("a"), "/", Some("/b")),
        ];
        for &(raw, form, authority, path, query) in cases {
            let expected = Target {
                form,
                authority: authority.map(str::as_bytes),
                is_https: raw.starts_with("HTTPS"),
                path: path.as_bytes(),
                query: query.map(str::as_bytes),
                plain: !(raw.contains(['\\', '*', '%']) || raw.starts_with("//")),
            };
            assert_eq!(parse(raw.as_bytes()), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn the_target_of_connect_is_a_host_and_a_port() {
        for authority in ["a:443", "a.example:1", "[::1]:443", "127.0.0.1:80"] {
            let target = parse_authority(authority.as_bytes()).unwrap();
            assert_eq!((target.form, target.authority), (Form::Authority, Some(authority.as_bytes())));
        }
        for wrong in ["", "a", "a:", ":443", "[::1]", "a:b", "/", "a:443/", "http://a:443", "u@a:443", "a:65536", "*"] {
            assert!(parse_authority(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_plain_path_equals_its_decoded_form() {
        for path in ["/", "/a", "/a/", "/a.b/c..d/", "/a?%2e/../", "http://x/a?//"] {
            let target = parse(path.as_bytes()).unwrap();
            assert!(target.plain, "{path}");
            let mut decoded = b"/".to_vec();
            decode_path(target.path, &mut decoded).unwrap();
            assert_eq!(decoded, target.path);
        }
        for path in ["//", "/a//b", "/./a", "/..", "/.a", "/a/.", "/%61", "http://x/a/../b"] {
            assert!(!parse(path.as_bytes()).unwrap().plain, "{path}");
        }
    }

    #[test]
    fn all_other_targets_are_refused() {
        let cases: &[&[u8]] = &[
            b"",
            b"a",
            b"?a",
            b"**",
            b"*/",
            b"example.com:443",
            b"ftp://a/",
            b"http:/a",
            b"http://",
            b"http:///a",
            b"http://?a",
            b"http://u@a/",
            b"http://u:p@a/",
            b"http://a:b/",
            b"http://a\\b/",
            b"http://a#b",
            b"http://a/ b",
            b"javascript:alert(1)",
        ];
        for raw in cases {
            assert_eq!(parse(raw).map_err(|e| e.status.0), Err(400), "{}", raw.escape_ascii());
        }
        for byte in (0..=b' ').chain([b'#']).chain(0x7f..=0xff) {
            for raw in [[b'/', byte, b'a'], [b'/', b'?', byte]] {
                assert_eq!(parse(&raw).map_err(|e| e.status.0), Err(400), "{byte:#x}");
            }
        }
    }

    #[test]
    fn valid_hosts_are_recognised() {
        for good in [
            "a",
            "example.com",
            "example.com.",
            "EXAMPLE.com:80",
            "127.0.0.1",
            "127.0.0.1:65535",
            "a:0",
            "a:",
            "[::1]",
            "[::1]:80",
            "[::ffff:1.2.3.4]",
            "a_b",
            "a%2Db",
            "xn--bcher-kva.example",
            "a:00080",
            "(a)",
        ] {
            assert!(valid_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":",
            ":80",
            "a:65536",
            "a:99999999999999999999",
            "a:8o",
            "a:+80",
            "a:80:80",
            "a:-1",
            "u@a",
            "u:p@a",
            "[::1",
            "::1",
            "[]",
            "[::1]80",
            "[::1%25eth0]",
            "[v1.a]",
            "[1.2.3.4]",
            "[::1]]",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a%2",
            "a%zz",
            "a%",
            "a\\b",
            "b\u{fc}cher",
            "a\0",
            "a,b ",
            "a[::1]",
            "<a>",
        ] {
            assert!(!valid_host(bad.as_bytes()), "{bad}");
        }
    }

    fn decoded(path: &str) -> Result<Vec<u8>, PathError> {
        let mut out = b"root/".to_vec();
        let result = decode_path(path.as_bytes(), &mut out);
        let appended = out.strip_prefix(b"root/").expect("only appends").to_vec();
        assert!(result.is_ok() || appended.is_empty(), "{path} left something behind");
        result.map(|()| appended)
    }

    #[test]
    fn paths_are_decoded_and_normalised() {
        let cases: &[(&str, &[u8])] = &[
            ("/", b""),
            ("", b""),
            ("/a", b"a"),
            ("/a/", b"a/"),
            ("/a/b%20c/", b"a/b c/"),
            ("//a///b//", b"a/b/"),
            ("/./a/././b/.", b"a/b/"),
            ("/%2e/a/%2E/b", b"a/b"),
            ("/.", b""),
            ("/a.", b"a."),
            ("/.a", b".a"),
            ("/...", b"..."),
            ("/..a/a..", b"..a/a.."),
            ("/%41%c3%a4%FF", b"A\xc3\xa4\xff"),
            ("/%252e%252e/", b"%2e%2e/"),
            ("/a+b;c=d", b"a+b;c=d"),
            ("/a:b", b"a:b"),
        ];
        for &(path, expected) in cases {
            assert_eq!(decoded(path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn paths_that_could_leave_the_root_are_refused() {
        for path in [
            "/..",
            "/../",
            "/a/..",
            "/a/../b",
            "/%2e%2e",
            "/.%2e/",
            "/%2E./x",
            "/a/%2e%2E",
            "/a%2fb",
            "/%2F",
            "/..%2f",
            "/a\\b",
            "/a%5cb",
            "/..\\",
            "/%00",
            "/a%0a",
            "/%7f",
            "/%1F",
            "/a\0",
            "/a\x7f",
            "/%00%",
        ] {
            assert_eq!(decoded(path), Err(PathError::Refused), "{path}");
        }
        for path in ["/%", "/%4", "/%zz", "/a%4/", "/%%41", "/%+1", "/% 1", "/%%2e%2e", "/%u002e", "/%\u{e9}"] {
            assert_eq!(decoded(path), Err(PathError::Malformed), "{path}");
        }
    }

    #[test]
    fn an_encoded_slash_ends_a_segment_or_is_part_of_it() {
        let decoded = |path: &str, slash| {
            let mut out = Vec::new();
            decode_path_with(path.as_bytes(), slash, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        for (path, separated, part) in [
            ("/a%2fb", Ok("a/b"), Ok("a\0b")),
            ("/a/%2F%2fb%2f", Ok("a/b/"), Ok("a/\0\0b\0")),
            ("/a%2f.", Ok("a/"), Ok("a\0.")),
            ("/a%2f..", Err(PathError::Refused), Ok("a\0..")),
            ("/..%2fa", Err(PathError::Refused), Ok("..\0a")),
            ("/a%2fb/..", Err(PathError::Refused), Err(PathError::Refused)),
            ("/%00", Err(PathError::Refused), Err(PathError::Refused)),
        ] {
            let own = |result: Result<&str, PathError>| result.map(str::to_owned);
            assert_eq!(decoded(path, EncodedSlash::Separator), own(separated), "{path}");
            assert_eq!(decoded(path, EncodedSlash::Part), own(part), "{path}");
        }
    }

    #[test]
    fn what_is_below_a_prefix_is_as_it_was_sent() {
        for (path, prefix, expected) in [
            ("/a", "/a", ""),
            ("/a/", "/a", "/"),
            ("/a/b%2fc:d@e//f/./%41", "/a", "/b%2fc:d@e//f/./%41"),
            ("/%61/b", "/a", "/b"),
            ("/./%2e//a/b", "/a", "/b"),
            ("/a///b", "/a", "/b"),
            ("/a/b/c", "/a/b", "/c"),
            ("/a%20b/c", "/a b", "/c"),
            ("/b//c", "", "/b//c"),
            ("//b", "", "/b"),
        ] {
            assert_eq!(below(path.as_bytes(), prefix.len()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn an_encoded_path_is_safe_in_a_link() {
        let mut out = Vec::new();
        encode_path(b"a b/\"<&'>#?%:\xc3\xa4\n.-_~$", &mut out);
        assert_eq!(out, b"a%20b/%22%3C%26%27%3E%23%3F%25%3A%C3%A4%0A.-_~$");
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_loses_nothing(raw in proptest::collection::vec(any::<u8>(), 0..64), slash: bool) {
            let raw = if slash { [b"/", &raw[..]].concat() } else { raw };
            if let Ok(target) = parse(&raw) {
                prop_assert!(target.path.starts_with(b"/") || target.form == Form::Asterisk);
                if target.form == Form::Origin {
                    let mut whole = target.path.to_vec();
                    if let Some(query) = target.query {
                        whole.push(b'?');
                        whole.extend_from_slice(query);
                    }
                    prop_assert_eq!(whole, raw);
                }
            }
        }

        #[test]
        fn decoded_paths_stay_below_the_root(path in "(/|\\.|%2[eEfF]|%5c|%00|%|\\\\|a|%41){0,12}") {
            let mut out = Vec::new();
            if decode_path(path.as_bytes(), &mut out).is_ok() {
                prop_assert!(!out.starts_with(b"/") && !out.windows(2).any(|w| w == b"//"));
                prop_assert!(out.split(|&o| o == b'/').all(|segment| segment != b".." && segment != b"."));
                prop_assert!(!out.contains(&0) && !out.contains(&b'\\'));
            }
        }

        #[test]
        fn encoding_round_trips(names in proptest::collection::vec("[^/\\\\\\x00-\\x1f\\x7f.][^/\\\\\\x00-\\x1f\\x7f]{0,8}", 0..4)) {
            let path = names.join("/").into_bytes();
            let mut encoded = b"/".to_vec();
            encode_path(&path, &mut encoded);
            prop_assert!(parse(&encoded).is_ok_and(|target| target.path == encoded), "encoded paths are targets");
            let mut decoded = Vec::new();
            prop_assert_eq!(decode_path(&encoded, &mut decoded), Ok(()));
            prop_assert_eq!(decoded, path);
        }
    }
}
