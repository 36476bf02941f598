//! What the first bytes of a side look like.
//!
//! It is decided by what is said, not by port numbers.

use super::hello;
use crate::http::grammar::is_token;
use crate::limits;

/// What the first bytes of a client look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sniffed {
    Http,
    Tls,
    /// It can't be told yet.
    Partial,
    Other,
}

/// What bytes that a client sent look like.
pub(super) fn sniff(bytes: &[u8]) -> Sniffed {
    if hello::is_tls(bytes) {
        return if bytes.len() < 6 { Sniffed::Partial } else { Sniffed::Tls };
    }
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let is_whole = line.len() < bytes.len();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let method = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    let fits = method.len() <= 32 && line.len() <= limits::TARGET + 64 && !line.iter().any(u8::is_ascii_control);
    match () {
        () if bytes.is_empty() => Sniffed::Partial,
        () if !is_token(method) || !fits => Sniffed::Other,
        () if !is_whole => Sniffed::Partial,
        () if request_line(bytes).is_some() => Sniffed::Http,
        () => Sniffed::Other,
    }
}

/// Whether bytes may be the beginning of a response.
pub(super) fn is_response(bytes: &[u8]) -> bool {
    const VERSION: &[u8] = b"HTTP/1.";
    !bytes.is_empty() && VERSION.starts_with(&bytes[..bytes.len().min(VERSION.len())])
}

/// Method and target of a request line that may be wrong in every other way.
pub(super) fn request_line(bytes: &[u8]) -> Option<(String, String)> {
    let line = bytes.strip_prefix(b"\r\n").unwrap_or(bytes).split(|&byte| byte == b'\n').next()?.trim_ascii_end();
    let (line, [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9']) = line.split_last_chunk::<9>()? else {
        return None;
    };
    let space = line.iter().position(|&byte| byte == b' ')?;
    let (method, target) = (&line[..space], &line[space + 1..]);
    let method = std::str::from_utf8(method).ok().filter(|method| is_token(method.as_bytes()))?;
    Some((method.to_owned(), target[..target.len().min(limits::TARGET)].escape_ascii().to_string()))
}

/// The status in a status line.
pub(super) fn status_line(bytes: &[u8]) -> Option<u16> {
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', a, b, c, ..] = bytes else { return None };
    std::str::from_utf8(&[*a, *b, *c]).ok()?.parse().ok().filter(|status| (100..600).contains(status))
}
