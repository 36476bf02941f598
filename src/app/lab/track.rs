//! Three counts that the client carries: in a cookie, in a hidden field of a form, and in
//! the query string of a link.
//!
//! A client can change what it carries. So each count is signed, and one with a wrong
//! signature begins again. None of them identifies the client: links are copied, logged and
//! sent to others.

use askama::Template;

use crate::app::body::Body;
use crate::app::page::{self, Foot};
use crate::app::{Answer, App, Call, Methods, Request, Response};
use crate::http::cookie::{self, SameSite, SetCookie};
use crate::http::head::Method;
use crate::http::{Status, negotiate};
use crate::session::key::Keys;

/// The name of the cookie, the field and the query parameter.
const NAME: &str = "count";
/// The purpose that the signature covers.
const PURPOSE: &str = "track";

pub(crate) struct Track {
    pub(crate) keys: Keys,
}

#[derive(Template)]
#[template(path = "track.html", config = "src/app/templates/askama.toml")]
struct Page<'a> {
    /// Where the application is mounted.
    here: &'a str,
    cookie: u64,
    field: u64,
    query: u64,
    /// What the next request carries.
    next_field: &'a str,
    next_query: &'a str,
    foot: Foot,
}

impl App for Track {
    fn methods(&self, _path: &[u8]) -> Methods {
        Methods::Only(&[Method::Get, Method::Head, Method::Post])
    }

    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        let body = match Body::read(request) {
            Ok(body) => body,
            Err(reject) => return Answer::Refused(reject),
        };
        let cookie = cookie::value(&request.head.fields, NAME).and_then(|value| std::str::from_utf8(value).ok());
        let cookie = self.next(cookie);
        let field = self.next(body.text(NAME).as_deref());
        let query = self.next(request.query(NAME).as_deref());
        let [next_cookie, next_field, next_query] = [cookie, field, query].map(|count| self.sign(count));
        let response = Response::new(Status::OK);
        let response = if negotiate::prefers_json(&request.head.fields) {
            response.json(format!(
                "{{\"cookie\":{cookie},\"field\":{field},\"query\":{query},\
                 \"next_field\":\"{next_field}\",\"next_query\":\"{next_query}\"}}\n"
            ))
        } else {
            let (here, next_field, next_query) = (request.mount, next_field.as_str(), next_query.as_str());
            let foot = Foot::of(call);
            page::page(response, &Page { here, cookie, field, query, next_field, next_query, foot })
        };
        let cookie = SetCookie {
            name: NAME.to_owned(),
            value: next_cookie,
            path: Some(if request.mount.is_empty() { "/" } else { request.mount }.to_owned()),
            http_only: true,
            same_site: Some(SameSite::Lax),
            ..SetCookie::default()
        };
        // The mount path may be invalid in a cookie. Then there is no cookie.
        Answer::now(response.field("Vary", "Accept").private(cookie.line().ok()))
    }
}

impl Track {
    fn sign(&self, count: u64) -> String {
        self.keys.sign(PURPOSE, &count.to_string())
    }

    /// The count after the one that the client sent; 1 if it sent none.
    fn next(&self, brought: Option<&str>) -> u64 {
        let count = brought.and_then(|signed| self.keys.verify(PURPOSE, signed)).and_then(|text| text.parse().ok());
        count.unwrap_or(0_u64).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{ask, ask_with, field, refused_with, text};
    use serde_json::Value;

    fn json(response: &Response) -> Value {
        serde_json::from_str(text(response)).unwrap()
    }

    fn counts(response: &Response) -> [u64; 3] {
        ["cookie", "field", "query"].map(|way| json(response)[way].as_u64().unwrap())
    }

    #[test]
    fn each_way_has_its_own_count() {
        let mut track = Track { keys: Keys::random() };
        let first = ask(&mut track, "/lab/x", &["Accept: application/json"]);
        assert_eq!(counts(&first), [1, 1, 1]);
        assert_eq!(field(&first, "Cache-Control"), Some("private, no-store"));
        let line = field(&first, "Set-Cookie").unwrap();
        assert!(line.ends_with("; HttpOnly; SameSite=Lax; Path=/lab/x"), "{line}");
        let cookie = format!("Cookie: {}", line.split(';').next().unwrap());
        let next = json(&first);
        let query = format!("/lab/x?count={}", next["next_query"].as_str().unwrap());
        assert_eq!(counts(&ask(&mut track, "/lab/x", &["Accept: application/json", &cookie])), [2, 1, 1]);
        assert_eq!(counts(&ask(&mut track, &query, &["Accept: application/json"])), [1, 1, 2]);
        let hidden = next["next_field"].as_str().unwrap();
        for (media_type, body) in [
            ("application/x-www-form-urlencoded", format!("count={hidden}")),
            ("application/json", format!("{{\"count\":\"{hidden}\"}}")),
        ] {
            let head =
                format!("POST {query} HTTP/1.1\r\nAccept: application/json\r\nContent-Type: {media_type}\r\n{cookie}");
            assert_eq!(counts(&ask_with(&mut track, "/lab/x", &head, body.as_bytes())), [2, 2, 2]);
        }
    }

    #[test]
    fn a_changed_count_begins_again() {
        let mut track = Track { keys: Keys::random() };
        let others = Keys::random().sign(PURPOSE, "7");
        let purpose = track.keys.sign("session", "7");
        let changed = track.sign(7).replacen(".7.", ".8.", 1);
        for value in ["7", "", &others, &purpose, &changed] {
            let cookie = format!("Cookie: count={value}");
            let response = ask(&mut track, &format!("/lab/x?count={value}"), &["Accept: application/json", &cookie]);
            assert_eq!(counts(&response), [1, 1, 1], "{value}");
        }
    }

    #[test]
    fn the_page_has_a_form_and_a_link_with_the_next_count() {
        let mut track = Track { keys: Keys::random() };
        let response = ask(&mut track, "/lab/x", &["Accept: text/html"]);
        let page = text(&response);
        for part in ["name=\"count\"", "action=\"/lab/x?count=", "href=\"/lab/x?count=", "Connection 12, request 3"] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert!(!page.contains("session"), "it has none to tell of");
        let head = "POST /lab/x HTTP/1.1\r\nContent-Type: text/plain";
        assert_eq!(refused_with(&mut track, "/lab/x", head, b"x"), Status::UNSUPPORTED_MEDIA_TYPE);
    }
}
