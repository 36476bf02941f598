//! Which field lines of a response are stored, and how later responses change them (RFC 9111
//! §3.1, §3.2).
//!
//! Not stored are fields about a connection; those that Connection, `private` or `no-cache` name;
//! cookies, unless the settings allow them; and what is written anew with each response from the
//! store: Age, Content-Length. So nothing that describes a message is taken for a property of the
//! content. Each stored head has exactly one valid Date (RFC 9110 §6.6.1).

use super::directives::ResponseDirectives;
use super::exchange::Settings;
use super::freshness::date_of;
use crate::http::proxying::HopFields;
use crate::http::{Fields, date};

/// Fields that are neither for one connection nor stored: about a proxy (RFC 9111 §3.1), or written
/// anew.
const TRANSIENT: [&str; 2] = ["Age", "Proxy-Authentication-Info"];

/// Fields that describe the stored content or decide which requests it matches. A 304 can't change
/// them: the content stays, and so does its key.
const FIXED: [&str; 3] = ["Content-Encoding", "Content-Range", "Vary"];

fn is_one_of(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

/// Which fields of one response are stored.
struct Selection<'a> {
    fields: Fields<'a>,
    hops: HopFields<'a>,
    directives: ResponseDirectives,
    store_cookies: bool,
    /// Its Date is valid.
    dated: bool,
}

impl<'a> Selection<'a> {
    fn new(fields: &Fields<'a>, received: i64, settings: &Settings) -> Self {
        Self {
            fields: *fields,
            hops: HopFields::of(*fields),
            directives: ResponseDirectives::of(fields, settings),
            store_cookies: settings.store_cookies,
            dated: date_of(fields, received).is_some(),
        }
    }

    fn has(&self, name: &[u8]) -> bool {
        let is = |usual: &str| name.eq_ignore_ascii_case(usual.as_bytes());
        let is_cookie = is("set-cookie") || is("set-cookie2");
        !is_one_of(name, &TRANSIENT)
            && (self.store_cookies || !is_cookie)
            && (self.dated || !is("date"))
            && !self.hops.contain(name)
            && !self.is_excluded(name)
    }

    fn is_excluded(&self, name: &[u8]) -> bool {
        self.directives.exclude(&self.fields, name)
    }
}

/// Appends the field lines of a response that are stored, without the empty line. The response
/// was received in the Unix second `received`.
pub fn write_stored(response: &Fields<'_>, received: i64, settings: &Settings, out: &mut Vec<u8>) {
    let selection = Selection::new(response, received, settings);
    for (name, value) in response.iter().filter(|(name, _)| selection.has(name)) {
        write_line(name, value, out);
    }
    if !selection.dated {
        write_date(received, out);
    }
}

/// Appends the field lines of a stored response after it was freshened by `update`, the fields of
/// a 304 or of a 200 to HEAD that was received in the Unix second `received` (§3.2). All lines of
/// a field are replaced together. The result must be [evaluated](super::evaluate) again, as a
/// response with the stored status.
pub fn write_updated(stored: &Fields<'_>, update: &Fields<'_>, received: i64, settings: &Settings, out: &mut Vec<u8>) {
    let selection = Selection::new(update, received, settings);
    let changes = |name: &[u8]| !is_one_of(name, &FIXED) && selection.has(name);
    let is_new = |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| update.get(name).is_some());
    for (name, value) in stored.iter() {
        let replaced = (is_new(name) && changes(name)) || name.eq_ignore_ascii_case(b"date");
        if !replaced && !selection.is_excluded(name) {
            write_line(name, value, out);
        }
    }
    for (name, value) in update.iter().filter(|(name, _)| changes(name)) {
        write_line(name, value, out);
    }
    if !selection.dated {
        write_date(received, out);
    }
}

/// Whether a field of a stored response is sent with a 304 to a client (RFC 9110 §15.4.5): not
/// those that describe the content that isn't sent.
pub fn is_sent_with_304(name: &[u8]) -> bool {
    const CONTENT: [&str; 8] = [
        "Content-Disposition",
        "Content-Encoding",
        "Content-Language",
        "Content-Length",
        "Content-MD5",
        "Content-Range",
        "Content-Type",
        "Content-Digest",
    ];
    !is_one_of(name, &CONTENT)
}

fn write_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn write_date(unix_seconds: i64, out: &mut Vec<u8>) {
    let mut value = [0; date::LENGTH];
    date::write(unix_seconds, &mut value);
    write_line(b"Date", &value, out);
}
