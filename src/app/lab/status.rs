//! Responds with the requested status: `status/404`.
//!
//! The response has the fields that its status requires, with made-up values: a 401 has a
//! challenge, a 416 has a Content-Range.

use super::number;
use crate::app::{Answer, App, Call, Methods, Request, Response};
use crate::http::Status;
use crate::http::head::Method;

pub(crate) struct StatusCode;

const METHODS: &[Method] = &[Method::Get, Method::Head, Method::Post, Method::Put, Method::Delete, Method::Patch];

impl App for StatusCode {
    fn methods(&self, _path: &[u8]) -> Methods {
        Methods::Only(METHODS)
    }

    fn handle(&mut self, request: &Request<'_>, _call: &mut Call<'_>) -> Answer {
        let code = request.path.strip_prefix(b"/").and_then(|code| std::str::from_utf8(code).ok()).unwrap_or("");
        let code = number::parse(code, 100..=599).filter(|_| code.len() == 3).map(|code| Status(code as u16));
        Answer::now(match code {
            Some(status) if status.0 < 200 => Response::new(Status::BAD_REQUEST)
                .text("A 1xx status only comes before another; ask for one from 200 to 599.\n")
                .no_store(),
            Some(status) if !status.reason().is_empty() => respond(status),
            _ => Response::new(Status::NOT_FOUND)
                .text("There is no such status here; ask for one such as status/503.\n")
                .no_store(),
        })
    }
}

/// The fields that a status must have (RFC 9110 §15) or usually has.
fn respond(status: Status) -> Response {
    const ALLOW: &str = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";
    let text = format!("{} {}\n", status.0, status.reason());
    let response = Response::new(status).no_store();
    let response = match status.0 {
        206 => response.field("Content-Range", format!("bytes 0-{}/1000", text.len() - 1)),
        300..=303 | 307 | 308 => response.field("Location", "/"),
        401 => response.field("WWW-Authenticate", "Basic realm=\"lab\", charset=\"UTF-8\""),
        405 => response.field("Allow", ALLOW),
        407 => response.field("Proxy-Authenticate", "Basic realm=\"lab\", charset=\"UTF-8\""),
        413 | 429 | 503 => response.field("Retry-After", "1"),
        415 => response.field("Accept", "text/plain"),
        416 => response.field("Content-Range", "bytes */0"),
        // The connection option must go with it (RFC 9110 §7.8).
        426 => response.field("Upgrade", "HTTP/2.0").field("Connection", "upgrade"),
        _ => response,
    };
    // 205 has content of length 0; 204 and 304 have none at all.
    if status.allows_content() && status != Status::RESET_CONTENT { response.text(text) } else { response }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{ask, content, field, text};

    fn get(code: &str) -> Response {
        ask(&mut StatusCode, &format!("/lab/x{code}"), &[])
    }

    #[test]
    fn all_final_statuses_can_be_sent() {
        let mut sent = 0;
        for code in 200..=599_u16 {
            let response = get(&format!("/{code}"));
            let known = !Status(code).reason().is_empty();
            sent += u32::from(known);
            assert_eq!(response.status, if known { Status(code) } else { Status::NOT_FOUND });
            assert_eq!(field(&response, "Cache-Control"), Some("no-store"), "{code}");
            match code {
                204 | 205 | 304 => {
                    assert!(content(&response).is_empty() && field(&response, "Content-Type").is_none(), "{code}");
                }
                _ => assert!(!content(&response).is_empty(), "{code}"),
            }
        }
        assert!(sent > 40);
        assert_eq!(text(&get("/404")), "404 Not Found\n");
    }

    #[test]
    fn a_status_has_the_fields_that_it_requires() {
        for (code, name, value) in [
            (206, "Content-Range", "bytes 0-19/1000"),
            (301, "Location", "/"),
            (308, "Location", "/"),
            (401, "WWW-Authenticate", "Basic realm=\"lab\", charset=\"UTF-8\""),
            (407, "Proxy-Authenticate", "Basic realm=\"lab\", charset=\"UTF-8\""),
            (405, "Allow", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"),
            (416, "Content-Range", "bytes */0"),
            (426, "Upgrade", "HTTP/2.0"),
            (429, "Retry-After", "1"),
            (503, "Retry-After", "1"),
        ] {
            assert_eq!(field(&get(&format!("/{code}")), name), Some(value), "{code}");
        }
        assert_eq!(text(&get("/206")).len(), 20, "as the range says");
        assert!(field(&get("/304"), "Location").is_none());
    }

    #[test]
    fn other_numbers_are_refused_with_an_explanation() {
        for (path, status) in [
            ("", 404),
            ("/", 404),
            ("/0200", 404),
            ("/+20", 404),
            ("/299", 404),
            ("/600", 404),
            ("/99", 404),
            ("/200/", 404),
            ("/ok", 404),
            ("/100", 400),
            ("/101", 400),
            ("/199", 400),
        ] {
            let response = get(path);
            assert_eq!(response.status, Status(status), "{path}");
            assert!(text(&response).ends_with(".\n"));
        }
    }
}
