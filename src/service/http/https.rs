//! The rules about requests in plain text where HTTPS is spoken: what a port for HTTPS answers
//! to them, and the redirect from the port for plain HTTP.

use super::exchange::{Exchange, Turn};
use crate::app::Response;
use crate::http::head::RequestHead;
use crate::http::target::Form;
use crate::http::{Status, origin};
use crate::reactor::Security;

/// Certificate authorities ask for files below it in plain text (RFC 8555 §8.3).
const CHALLENGES: &[u8] = b"/.well-known/acme-challenge/";

/// Whether there is a rule about a request in plain text. Most hosts have none.
#[inline(always)]
pub(super) fn applies(exchange: &Exchange<'_>, turn: &Turn<'_, '_>) -> bool {
    let facts = &exchange.facts;
    !facts.secure && (facts.host.redirect_https || matches!(turn.ends.security(), Security::PlainAtTls))
}

/// The response to a request in plain text to which a rule [applies], if it isn't to pass.
pub(super) fn answer(exchange: &Exchange<'_>, turn: &Turn<'_, '_>) -> Option<Response> {
    let head = exchange.head;
    let port = turn.cx.shared.http.ports.https.unwrap_or(443);
    if matches!(turn.ends.security(), Security::PlainAtTls) {
        let text = match url(head, port) {
            Some(url) => format!("This port speaks HTTPS: {url}\n"),
            None => "This port speaks HTTPS.\n".to_owned(),
        };
        return Some(Response::new(Status::BAD_REQUEST).text(text));
    }
    if head.target.form == Form::Asterisk || exchange.path().starts_with(CHALLENGES) {
        return None;
    }
    Some(match url(head, port) {
        Some(url) => Response::new(Status::PERMANENT_REDIRECT).field("Location", url),
        None => Response::new(Status::BAD_REQUEST).text("Use HTTPS.\n"),
    })
}

/// The URL of the request with the scheme https and this port; none if its host is unknown. The
/// target stays as it was sent.
fn url(head: &RequestHead<'_>, port: u16) -> Option<String> {
    let mut url = origin::at(head, true, port)?;
    url += std::str::from_utf8(head.target.path).ok()?;
    if let Some(query) = head.target.query {
        url.push('?');
        url += std::str::from_utf8(query).ok()?;
    }
    Some(url)
}
