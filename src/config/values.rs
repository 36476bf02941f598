//! Parsers of option values. An error is a hint: what a right value looks like.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::SessionStore;
use crate::http::content_coding::{Codings, ContentCoding};
use crate::http::grammar;
use crate::names;
use crate::reactor::{Endpoint, SendLimit};
use crate::session::remote::StoreUrl;

/// A whole number of at least 1.
///
/// # Errors
/// A hint.
pub fn count<N: std::str::FromStr + Default + PartialEq>(text: &str) -> Result<N, String> {
    match text.parse() {
        Ok(number) if number != N::default() => Ok(number),
        _ => Err("give a whole number of at least 1".to_owned()),
    }
}

/// A port; 0 means any free port.
///
/// # Errors
/// A hint.
pub fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "give a port from 0 to 65535; 0 means any free port".to_owned())
}

/// A port to connect to.
///
/// # Errors
/// A hint.
pub fn remote_port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(format!("{text}: give a port from 1 to 65535")),
    }
}

/// A host to connect to, without the brackets of an IPv6 address.
pub fn host(text: &str) -> String {
    text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text).to_owned()
}

/// Seconds, with or without a fraction.
///
/// # Errors
/// A hint.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let span = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // The loop's clock counts microseconds.
    match span {
        Some(span) if span >= Duration::from_millis(1) => Ok(span),
        _ => Err("give seconds of at least 0.001, like 10 or 2.5".to_owned()),
    }
}

/// Whole seconds, or minutes, hours, days if `m`, `h`, `d` follows.
///
/// # Errors
/// A hint.
pub fn span(text: &str) -> Result<Duration, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1),
        Some(b'm') => (&text[..text.len() - 1], 60),
        Some(b'h') => (&text[..text.len() - 1], 3_600),
        Some(b'd') => (&text[..text.len() - 1], 86_400),
        _ => (text, 1),
    };
    // A century is practically no limit, and can be added to any date.
    const MOST: u64 = 100 * 366 * 86_400;
    let seconds = digits.parse().ok().and_then(|number: u64| number.checked_mul(factor));
    match seconds {
        Some(seconds @ 1..=MOST) => Ok(Duration::from_secs(seconds)),
        _ => Err("give whole seconds, like 90, or 30m, 12h or 7d".to_owned()),
    }
}

/// The store of the sessions.
///
/// # Errors
/// A hint.
pub fn sessions(text: &str) -> Result<SessionStore, String> {
    match text {
        "memory" => Ok(SessionStore::Memory),
        "cookie" => Ok(SessionStore::Cookie),
        _ if text.starts_with("file:") => Ok(SessionStore::Directory(directory(&text["file:".len()..])?)),
        _ if text.contains("://") => Ok(SessionStore::Remote(StoreUrl::parse(text)?)),
        _ => Err("give memory, cookie, file:DIR, http://HOST:PORT/ or redis://[:PASS@]HOST:PORT/DB".to_owned()),
    }
}

/// Whole milliseconds, at most an hour.
///
/// # Errors
/// A hint.
pub fn millis(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(millis @ 0..=3_600_000) => Ok(Duration::from_millis(millis)),
        _ => Err("give milliseconds, at most 3600000".to_owned()),
    }
}

/// A probability.
///
/// # Errors
/// A hint.
pub fn probability(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "give a probability from 0 to 1, like 0.3".to_owned())
}

/// Bytes, in binary multiples if `K`, `M` or `G` follows.
///
/// # Errors
/// A hint.
pub fn size(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.strip_suffix(|unit: char| "kKmMgG".contains(unit)) {
        Some(digits) if text.ends_with(['k', 'K']) => (digits, 1 << 10),
        Some(digits) if text.ends_with(['m', 'M']) => (digits, 1 << 20),
        Some(digits) => (digits, 1 << 30),
        None => (text, 1),
    };
    let size = digits.parse().ok().and_then(|number: u64| number.checked_mul(factor));
    size.ok_or_else(|| "give bytes, like 4096, 64K, 10M or 1G".to_owned())
}

/// Bytes per second, like `512K/s`.
///
/// # Errors
/// A hint.
pub fn send_limit(text: &str) -> Result<SendLimit, String> {
    let bytes = text.strip_suffix("/s").and_then(|text| size(text).ok());
    // At less a page takes longer than its reader waits.
    let bytes = bytes.filter(|bytes| *bytes >= 1024).and_then(SendLimit::per_second);
    bytes.ok_or_else(|| "give bytes per second of at least 1K/s, like 512K/s or 10M/s".to_owned())
}

/// The seed of random events: a whole number.
///
/// # Errors
/// A hint.
pub fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "give a whole number, like 7".to_owned())
}

/// A size in memory, in bytes.
///
/// # Errors
/// A hint.
pub fn memory(text: &str) -> Result<usize, String> {
    usize::try_from(size(text)?).map_err(|_| "that is more than this machine can address".to_owned())
}

/// `KEY=VALUE`; neither part is empty.
///
/// # Errors
/// A hint.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give two parts with an equals sign between them".to_owned()),
    }
}

/// A directory, which may be absent.
///
/// # Errors
/// A hint.
pub fn directory(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("give a directory".to_owned()) } else { Ok(PathBuf::from(text)) }
}

/// A file.
///
/// # Errors
/// A hint.
pub fn file(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("give a file".to_owned()) } else { Ok(PathBuf::from(text)) }
}

/// A bearer token: at least one of the bytes that RFC 6750 §2.1 allows.
///
/// # Errors
/// A hint.
pub fn token(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if text.is_empty() || !text.bytes().all(fits) {
        return Err("give letters, digits and any of - . _ ~ + / =".to_owned());
    }
    Ok(text.to_owned())
}

/// A file below the root of a site.
///
/// # Errors
/// A hint.
pub fn file_below_root(text: &str) -> Result<String, String> {
    match text.split('/').all(|segment| !matches!(segment, "" | "." | "..")) {
        true => Ok(text.to_owned()),
        false => Err("give a path relative to the root, like index.html".to_owned()),
    }
}

/// The value of a Cache-Control field.
///
/// # Errors
/// A hint.
pub fn cache_control(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.trim() == text && text.bytes().all(grammar::is_field_text) {
        true => Ok(text.to_owned()),
        false => Err("give a field value, like max-age=3600".to_owned()),
    }
}

/// The content codings that responses get: those that are made here, separated by commas, or `off`.
///
/// # Errors
/// A hint.
pub fn codings(text: &str) -> Result<Codings, String> {
    let hint = || "give gzip, zstd, both with a comma, or off; br isn't made here, but FILE.br is sent".to_owned();
    let coding = |name: &str| match name {
        "gzip" => Ok(ContentCoding::Gzip),
        "zstd" => Ok(ContentCoding::Zstd),
        _ => Err(hint()),
    };
    match text {
        "off" => Ok(Codings::NONE),
        _ => text.split(',').map(|name| coding(name.trim())).collect(),
    }
}

/// How much effort a coding gets.
///
/// # Errors
/// A hint.
pub fn level(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(level @ 1..=9) => Ok(level),
        _ => Err("give a level from 1, the fastest, to 9, the smallest result".to_owned()),
    }
}

/// Names, separated by commas.
pub fn names(text: &str) -> Vec<String> {
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// A switch in an environment variable.
///
/// # Errors
/// A hint.
pub fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("give 1 or 0".to_owned()),
    }
}

/// An endpoint to listen at, or several if it is a name with several addresses. `port` is
/// the port of an address without one.
///
/// # Errors
/// A hint.
pub fn endpoints(text: &str, port: u16) -> Result<Vec<Endpoint>, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = PathBuf::from(path);
        return if path.as_os_str().is_empty() {
            Err("give a path after unix:".to_owned())
        } else {
            Ok(vec![Endpoint::Unix(path)])
        };
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(vec![Endpoint::Tcp(address)]);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![Endpoint::Tcp(SocketAddr::new(address, port))]);
    }
    // The resolver takes a number as an address: 8080 as 0.0.31.144.
    let digits = text.trim_start_matches(':');
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("give an address, like 127.0.0.1 or 0.0.0.0; a port alone is --port {digits}"));
    }
    let (host, port) = match text.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => (host, port),
        _ => (text, port),
    };
    let addresses = names::resolve(host, port).map_err(|error| error.to_string())?;
    Ok(addresses.into_iter().map(Endpoint::Tcp).collect())
}

/// The address or name of an endpoint to listen at, without its port; none of a unix-domain
/// socket.
pub fn host_of(text: &str) -> Option<String> {
    if text.starts_with("unix:") {
        return None;
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_string());
    }
    let is_address = text.starts_with('[') || text.parse::<IpAddr>().is_ok();
    Some(if is_address { text } else { text.split(':').next().unwrap_or(text) }.to_owned())
}

/// The host and port of a peer: `HOST`, `HOST:PORT`, `[::1]:PORT` or `::1`. Names aren't
/// resolved.
///
/// # Errors
/// A hint.
pub fn target(text: &str, port: u16) -> Result<(String, u16), String> {
    let target = |host: &str, port| (host.to_owned(), port);
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port_text) = match bracketed {
        Some((host, rest)) => (host, rest.strip_prefix(':').or((!rest.is_empty()).then_some(""))),
        // An IPv6 address has more than one colon.
        None if text.matches(':').count() > 1 => (text, None),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err("give a name or an address, like localhost or 127.0.0.1:12000".to_owned());
    }
    match port_text.map(str::parse) {
        None => Ok(target(host, port)),
        Some(Ok(port @ 1..)) => Ok(target(host, port)),
        Some(_) => Err("give a port from 1 to 65535".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_are_a_set_of_those_that_are_made() {
        use ContentCoding::{Gzip, Zstd};
        for (text, expected) in [
            ("gzip", Some(&[Gzip][..])),
            ("zstd", Some(&[Zstd])),
            ("gzip,zstd", Some(&[Gzip, Zstd])),
            ("zstd, gzip", Some(&[Gzip, Zstd])),
            ("gzip,gzip", Some(&[Gzip])),
            ("off", Some(&[])),
            ("", None),
            ("gzip,", None),
            ("gzip,off", None),
            ("br", None),
            ("gzip,br", None),
            ("GZIP", None),
            ("gzip zstd", None),
        ] {
            let expected = expected.map(|codings| codings.iter().copied().collect());
            assert_eq!(codings(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn numbers_and_sizes() {
        assert_eq!(count::<u32>("12"), Ok(12));
        for wrong in ["0", "-1", "", "x", "4294967296", "1.5"] {
            assert!(count::<u32>(wrong).is_err(), "{wrong}");
        }
        assert_eq!((port("0"), port("65535")), (Ok(0), Ok(65535)));
        assert!(port("65536").is_err() && port("http").is_err());
        for (text, expected) in [
            ("0", Some(0)),
            ("17", Some(17)),
            ("64K", Some(65536)),
            ("10m", Some(10 << 20)),
            ("2G", Some(2 << 30)),
            ("", None),
            ("K", None),
            ("1T", None),
            ("-1", None),
            ("1.5M", None),
            ("99999999999999G", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn limits_of_the_speed() {
        for (text, bytes) in [("1K/s", 1 << 10), ("512K/s", 512 << 10), ("2m/s", 2 << 20), ("5000/s", 5000)] {
            assert_eq!(send_limit(text).ok(), SendLimit::per_second(bytes), "{text}");
        }
        for wrong in ["", "/s", "512K", "0/s", "1023/s", "-1K/s", "1K/m", "1K /s", "1K/s:2", "99999999999999G/s"] {
            assert!(send_limit(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn spans() {
        assert_eq!(seconds("10"), Ok(Duration::from_secs(10)));
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        assert_eq!(seconds("0.001"), Ok(Duration::from_millis(1)));
        for wrong in ["0", "-1", "0.0009", "inf", "nan", "1e300", "ten", "", "5s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        for (text, seconds) in [("1", 1), ("90s", 90), ("30m", 1_800), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "m", "0", "0h", "-1", "1.5h", "1w", "1 h", "99999999999999999999d", "9999999d", "\u{e4}"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn stores_of_sessions() {
        assert_eq!((sessions("memory"), sessions("cookie")), (Ok(SessionStore::Memory), Ok(SessionStore::Cookie)));
        assert!(["", "Memory", "disk"].iter().all(|wrong| sessions(wrong).is_err()));
    }

    #[test]
    fn milliseconds() {
        assert_eq!((millis("0"), millis("250")), (Ok(Duration::ZERO), Ok(Duration::from_millis(250))));
        assert!(["", "-1", "1.5", "3600001", "x"].iter().all(|wrong| millis(wrong).is_err()));
    }

    #[test]
    fn probabilities() {
        assert_eq!((probability("0"), probability("1"), probability("0.25")), (Ok(0.0), Ok(1.0), Ok(0.25)));
        assert!(["", "-0.1", "1.01", "nan", "30%"].iter().all(|wrong| probability(wrong).is_err()));
    }

    #[test]
    fn peers() {
        for (text, host, port) in [
            ("localhost", "localhost", 7),
            ("localhost:80", "localhost", 80),
            ("1.2.3.4:80", "1.2.3.4", 80),
            ("::1", "::1", 7),
            ("[::1]", "::1", 7),
            ("[::1]:80", "::1", 80),
        ] {
            assert_eq!(target(text, 7), Ok((host.to_owned(), port)), "{text}");
        }
        assert!(
            ["", ":80", "[]:80", "a:", "a:0", "a:65536", "[::1]80", "[::1]:"]
                .iter()
                .all(|wrong| target(wrong, 7).is_err())
        );
    }

    #[test]
    fn endpoints_to_listen_at() {
        for (text, expected) in [
            ("0.0.0.0", "0.0.0.0:80"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("::1", "[::1]:80"),
            ("[::1]", "[::1]:80"),
            ("[::]:0", "[::]:0"),
            ("unix:/run/miod.sock", "unix:/run/miod.sock"),
        ] {
            let found = endpoints(text, 80).unwrap();
            assert_eq!(found.iter().map(Endpoint::to_string).collect::<Vec<_>>(), [expected], "{text}");
        }
        let local = endpoints("localhost:81", 80).unwrap();
        assert!(!local.is_empty());
        assert!(local.iter().all(|e| matches!(e, Endpoint::Tcp(a) if a.ip().is_loopback() && a.port() == 81)));
        for wrong in ["", ":", "8080", ":8080", "unix:", "a..b", "[::1", "1.2.3.4:99999"] {
            assert!(endpoints(wrong, 80).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pairs_names_tokens_and_switches() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(["", "a", "a=", "=b"].iter().all(|wrong| pair(wrong).is_err()));
        assert_eq!(names("a,,b,"), ["a", "b"]);
        assert_eq!(token("aZ09-._~+/="), Ok("aZ09-._~+/=".to_owned()));
        assert!(["", "a b", "a\n", "\u{e4}", "a\""].iter().all(|wrong| token(wrong).is_err()));
        assert!(directory("").is_err());
        assert_eq!((switch("Yes"), switch("off"), switch("")), (Ok(true), Ok(false), Ok(false)));
        assert!(switch("perhaps").is_err());
    }
}
