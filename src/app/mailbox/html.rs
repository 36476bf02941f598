//! The HTML of a message, as a document that can do no harm.
//!
//! The policy of the response makes it a sandbox, whether it is in a frame or not: no scripts, no
//! forms, no plug-ins, and nothing from the network, so that nobody learns that the message was
//! read. (Links of the document itself, `<link>`, are taken out: browsers connect to what they name
//! in advance, whatever the policy is.) Images of the message itself (`cid:`, RFC 2392) are put into
//! the document as `data:`, since a sandbox has no origin that could ask for them. A link that a user
//! follows opens in a new tab.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use percent_encoding::percent_decode_str;

use super::super::Response;
use crate::mailbox::mime::Parsed;

/// Most bytes that images may add to a document: the same image may be in it many times.
const EMBEDDED: usize = 32 * 1024 * 1024;
/// Most references to images that are looked at.
const REFERENCES: usize = 10_000;
/// Longest Content-ID in a document, encoded.
const CONTENT_ID: usize = 1_000;

const POLICY: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data:; \
                      font-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; \
                      frame-ancestors 'self'";
/// Links open in a new tab, which the frame could not show.
const BASE: &str = "<base target=\"_blank\">";

/// The response with the HTML of the message with this content.
pub(super) fn respond(response: Response, html: &str, content: &[u8]) -> Response {
    let response = response.html(prepare(html, content)).field("Content-Security-Policy", POLICY);
    // Without it, browsers may look up the hosts of links before anybody follows them.
    response.field("X-DNS-Prefetch-Control", "off").field("Referrer-Policy", "no-referrer")
}

fn prepare(html: &str, content: &[u8]) -> String {
    // Before it, a document type would have no effect.
    let doctype = html.trim_start();
    let has_doctype = doctype.get(..9).is_some_and(|begin| begin.eq_ignore_ascii_case("<!doctype"));
    let end = if has_doctype { doctype.find('>').map(|at| html.len() - doctype.len() + at + 1) } else { None };
    let (doctype, html) = html.split_at(end.unwrap_or_default());
    let mut out = String::with_capacity(doctype.len() + BASE.len() + html.len());
    out.push_str(doctype);
    out.push_str(BASE);
    embed(&without_links(html), content, &mut out);
    out
}

/// A document whose `link` elements are unknown ones: a tag is always written in one piece.
fn without_links(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let (mut out, mut copied) = (String::with_capacity(html.len()), 0);
    for at in memmem::find_iter(lower.as_bytes(), "<link") {
        out.push_str(&html[copied..at]);
        out.push_str("<x-");
        copied = at + 1;
    }
    out.push_str(&html[copied..]);
    out
}

/// Appends a document with the images of the message in it.
fn embed(html: &str, content: &[u8], out: &mut String) {
    // As long as the document, so places are the same.
    let lower = html.to_ascii_lowercase();
    let places: Vec<_> = memmem::find_iter(lower.as_bytes(), "cid:").take(REFERENCES).collect();
    if places.is_empty() {
        return out.push_str(html);
    }
    let images = images(content);
    let (mut copied, mut room) = (0, EMBEDDED);
    for at in places {
        // It begins the value of an attribute, or an address in a style.
        if at < copied || !html[..at].ends_with(['"', '\'', '(', '=']) {
            continue;
        }
        let rest = &html[at + "cid:".len()..];
        let end = rest.bytes().take(CONTENT_ID).position(|byte| b"\"'()<> \t\r\n".contains(&byte));
        let Some(id) = end.and_then(|end| rest.get(..end)) else { continue };
        let image = images.get(&*percent_decode_str(id).decode_utf8_lossy());
        if let Some(image) = image.filter(|image| image.len() <= room) {
            room -= image.len();
            out.push_str(&html[copied..at]);
            out.push_str(image);
            copied = at + "cid:".len() + id.len();
        }
    }
    out.push_str(&html[copied..]);
}

/// The images of a message by their Content-ID, as `data:` addresses.
fn images(content: &[u8]) -> HashMap<String, String> {
    let named = Parsed::with_content_ids(content).into_iter().filter_map(|(part, content)| {
        let is_image = part.media_type.starts_with("image/");
        let address = || format!("data:{};base64,{}", part.media_type, STANDARD.encode(&content));
        is_image.then(|| Some((part.content_id?, address()))).flatten()
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "Content-Type: multipart/related; boundary=b\r\n\r\n\
        --b\r\nContent-Type: image/png\r\nContent-ID: <a@b>\r\n\r\nPNG\r\n\
        --b\r\nContent-Type: text/html\r\nContent-ID: <page>\r\n\r\n<p>\r\n\
        --b--";
    const DATA: &str = "data:image/png;base64,UE5H";

    fn embedded(html: &str) -> String {
        prepare(html, IMAGE.as_bytes()).strip_prefix(BASE).unwrap().to_owned()
    }

    #[test]
    fn images_of_the_message_are_in_the_document() {
        for (html, expected) in [
            ("<img src=\"cid:a@b\" alt=x>", format!("<img src=\"{DATA}\" alt=x>")),
            ("<img src='CID:a%40b'><img src=cid:a@b>", format!("<img src='{DATA}'><img src={DATA}>")),
            ("a{b:url(cid:a@b)}", format!("a{{b:url({DATA})}}")),
            ("<p>cid:a@b ä\u{1f980}", "<p>cid:a@b ä\u{1f980}".to_owned()),
            ("\"cid:x@y\" \"cid:page\" \"cid:", "\"cid:x@y\" \"cid:page\" \"cid:".to_owned()),
            ("\"cid:ä\u{1f980}", "\"cid:ä\u{1f980}".to_owned()),
            ("(cid:a@b", "(cid:a@b".to_owned()),
            (
                "<LINK rel=preconnect href=//a.example>\u{e4}<link",
                "<x-LINK rel=preconnect href=//a.example>\u{e4}<x-link".to_owned(),
            ),
        ] {
            assert_eq!(embedded(html), expected);
        }
    }

    #[test]
    fn a_document_type_stays_at_the_beginning() {
        assert_eq!(prepare(" <!DOCTYPE html><p>", b""), format!(" <!DOCTYPE html>{BASE}<p>"));
        assert_eq!(prepare("<!doctype html", b""), format!("{BASE}<!doctype html"));
        assert_eq!(prepare("", b""), BASE);
        assert_eq!(prepare("äääääää", b""), format!("{BASE}äääääää"));
    }

    #[test]
    fn an_image_that_is_there_very_often_is_left_out_at_last() {
        let image = "x".repeat(1 << 20);
        let message = format!("Content-Type: image/png\r\nContent-ID: <a>\r\n\r\n{image}");
        let document = prepare(&"<img src='cid:a'>".repeat(100_000), message.as_bytes());
        assert_eq!(prepare(&"=cid:".repeat(400_000), message.as_bytes()).len(), BASE.len() + 5 * 400_000);
        assert!(document.len() < EMBEDDED + 3_000_000 && document.contains("base64") && document.contains("'cid:a'"));
    }
}
