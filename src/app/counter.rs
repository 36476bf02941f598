//! Counts the requests of a client. The count is in the client's session; `POST reset`
//! ends the session.

use askama::Template;

use super::page::{self, Foot};
use super::{Answer, App, Call, Methods, Request, Response};
use crate::http::head::Method;
use crate::http::{Reject, Status, negotiate};

/// The key of the count in the session.
const COUNT: &str = "count";

pub(super) struct Counter;

#[derive(Template)]
#[template(path = "counter.html", config = "src/app/templates/askama.toml")]
struct Page<'a> {
    count: u64,
    /// Where the application is mounted.
    here: &'a str,
    foot: Foot,
}

impl App for Counter {
    fn methods(&self, path: &[u8]) -> Methods {
        Methods::Only(if path == b"/reset" { &[Method::Post] } else { &[Method::Get, Method::Head] })
    }

    fn reads_session(&self) -> bool {
        true
    }

    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        match request.path {
            b"" | b"/" => Answer::now(show(request, call)),
            b"/reset" => {
                call.session().end();
                Answer::now(Response::new(Status::SEE_OTHER).field("Location", request.here().to_owned()))
            }
            _ => Answer::Refused(Reject::new(Status::NOT_FOUND, "the counter has no such page")),
        }
    }
}

fn show(request: &Request<'_>, call: &mut Call<'_>) -> Response {
    let session = call.session();
    let count = session.get(COUNT).and_then(|count| count.as_u64()).unwrap_or(0).saturating_add(1);
    // HEAD gets the head that GET would get, and isn't counted.
    if request.head.method == Method::Get {
        session.set(COUNT, count);
    }
    if negotiate::prefers_json(&request.head.fields) {
        return Response::new(Status::OK).json(format!("{{\"count\":{count}}}\n")).field("Vary", "Accept");
    }
    let here = request.mount;
    page::page(Response::new(Status::OK), &Page { count, here, foot: Foot::of(call) }).field("Vary", "Accept")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{field, text, visit};
    use crate::session::Session;

    fn ask(session: &mut Session, line: &str, accept: &str) -> Response {
        let head = format!("{line} HTTP/1.1\r\nAccept: {accept}");
        match visit(&mut Counter, "/counter", &head, b"", Some(session)) {
            Answer::Now(response) => response,
            _ => panic!("{line} is refused"),
        }
    }

    #[test]
    fn each_get_counts_as_json_and_as_a_page() {
        let mut session = Session::none(0);
        let json = ask(&mut session, "GET /counter", "application/json");
        assert_eq!((text(&json), field(&json, "Content-Type")), ("{\"count\":1}\n", Some("application/json")));
        let page = ask(&mut session, "GET /counter/", "*/*");
        assert_eq!(field(&page, "Content-Type"), Some("text/html; charset=utf-8"));
        let block = session.id().unwrap().first_block();
        for part in ["Count: 2<", "action=\"/counter/reset\"", &format!("Connection 12, request 3, session {block}<")] {
            assert!(text(&page).contains(part), "{part} in {}", text(&page));
        }
        assert_eq!(field(&page, "Vary"), Some("Accept"));
        // HEAD has the head of GET, and isn't counted.
        let before = text(&ask(&mut session, "HEAD /counter", "text/html")).to_owned();
        assert_eq!(before, text(&ask(&mut session, "GET /counter", "text/html")));
    }

    #[test]
    fn head_is_as_long_as_get_and_begins_no_session() {
        let mut session = Session::none(0);
        let head = text(&ask(&mut session, "HEAD /counter", "text/html")).len();
        assert!(!session.is_changed());
        assert_eq!(head, text(&ask(&mut session, "GET /counter", "text/html")).len());
    }

    #[test]
    fn reset_ends_the_session_and_leads_back() {
        let mut session = Session::none(0);
        ask(&mut session, "GET /counter", "*/*");
        let reset = ask(&mut session, "POST /counter/reset", "*/*");
        assert_eq!((reset.status, field(&reset, "Location")), (Status::SEE_OTHER, Some("/counter")));
        assert_eq!(session.id(), None);
        assert_eq!(text(&ask(&mut session, "GET /counter", "application/json")), "{\"count\":1}\n");
    }

    #[test]
    fn a_value_of_another_type_is_no_count() {
        for odd in [serde_json::Value::from("7"), (-1).into(), 1.5.into(), u64::MAX.into()] {
            let mut session = Session::none(0);
            session.set(COUNT, odd.clone());
            let expected = if odd.is_u64() { u64::MAX } else { 1 };
            let answer = ask(&mut session, "GET /counter", "application/json");
            assert_eq!(text(&answer), format!("{{\"count\":{expected}}}\n"));
        }
    }

    #[test]
    fn other_pages_are_not_there_and_methods_go_with_the_page() {
        let answer = visit(&mut Counter, "/counter", "GET /counter/x HTTP/1.1", b"", Some(&mut Session::none(0)));
        assert!(matches!(answer, Answer::Refused(reject) if reject.status == Status::NOT_FOUND));
        assert_eq!(Counter.methods(b"/reset"), Methods::Only(&[Method::Post]));
        assert_eq!(Counter.methods(b""), Methods::Only(&[Method::Get, Method::Head]));
    }
}
