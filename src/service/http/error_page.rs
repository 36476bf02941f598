//! What stands in an error: the status, the reason, and the request's number,
//! which the access log shows too. For people as a small page, for programs that
//! don't take HTML as a line of text.

use crate::http::Reject;
use crate::http::response::write_decimal;

/// The media type of an error's content.
pub(super) fn media_type(html: bool) -> &'static [u8] {
    if html { b"text/html; charset=utf-8" } else { b"text/plain; charset=utf-8" }
}

/// Writes the content of an error: `reject`, met by request `request` of
/// connection `connection`.
pub(super) fn write(out: &mut Vec<u8>, reject: Reject, html: bool, connection: u32, request: u32) {
    if html {
        out.extend_from_slice(
            b"<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
            <meta name=\"viewport\" content=\"width=device-width\"><title>",
        );
        write_title(out, reject);
        out.extend_from_slice(
            b"</title>\n<style>:root{color-scheme:light dark}\
            body{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:15vh auto;padding:0 1em}\
            small{opacity:.6}</style>\n<h1>",
        );
        write_title(out, reject);
        out.extend_from_slice(b"</h1>\n<p>");
        write_sentence(out, reject.why);
        out.extend_from_slice(b"</p>\n<p><small>miod, request ");
        write_number(out, connection, request);
        out.extend_from_slice(b"</small></p>\n</html>\n");
    } else {
        write_title(out, reject);
        out.extend_from_slice(b"\n");
        write_sentence(out, reject.why);
        out.extend_from_slice(b"\nRequest ");
        write_number(out, connection, request);
        out.extend_from_slice(b"\n");
    }
}

fn write_title(out: &mut Vec<u8>, reject: Reject) {
    write_decimal(out, u64::from(reject.status.0));
    out.push(b' ');
    out.extend_from_slice(reject.status.reason().as_bytes());
}

/// Reasons are our own constants: ASCII, without markup.
fn write_sentence(out: &mut Vec<u8>, why: &str) {
    let mut octets = why.bytes();
    if let Some(first) = octets.next() {
        out.push(first.to_ascii_uppercase());
    }
    out.extend(octets);
    out.push(b'.');
}

fn write_number(out: &mut Vec<u8>, connection: u32, request: u32) {
    write_decimal(out, u64::from(connection));
    out.push(b'/');
    write_decimal(out, u64::from(request));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Status;

    #[test]
    fn says_what_why_and_which_request() {
        let reject = Reject::new(Status::NOT_FOUND, "there is no such file");
        let mut text = Vec::new();
        write(&mut text, reject, false, 17, 3);
        assert_eq!(text, b"404 Not Found\nThere is no such file.\nRequest 17/3\n");
        let mut page = Vec::new();
        write(&mut page, reject, true, 17, 3);
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains("<h1>404 Not Found</h1>") && page.contains("request 17/3"), "{page}");
    }
}
