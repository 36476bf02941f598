//! How often this visitor has been here. The count is in the visitor's session;
//! `POST reset` ends that.

use askama::Template;

use super::page::{self, Foot};
use super::{Answer, App, Methods, Request, Response, Visit};
use crate::http::head::Method;
use crate::http::{Reject, Status, negotiate};

/// What the count is kept under.
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

    fn handle(&mut self, request: &Request<'_>, visit: &mut Visit<'_>) -> Answer {
        match request.path {
            b"" | b"/" => Answer::now(show(request, visit)),
            b"/reset" => {
                visit.session().end();
                Answer::now(Response::new(Status::SEE_OTHER).field("Location", request.here().to_owned()))
            }
            _ => Answer::Refused(Reject::new(Status::NOT_FOUND, "the counter has no such page")),
        }
    }
}

fn show(request: &Request<'_>, visit: &mut Visit<'_>) -> Response {
    let session = visit.session();
    let count = session.get(COUNT).and_then(|count| count.as_u64()).unwrap_or(0).saturating_add(1);
    // HEAD asks what GET would say, and is no visit.
    if request.head.method == Method::Get {
        session.set(COUNT, count);
    }
    if negotiate::prefers_json(&request.head.fields) {
        return Response::new(Status::OK).json(format!("{{\"count\":{count}}}\n")).field("Vary", "Accept");
    }
    let here = request.mount;
    page::page(Status::OK, &Page { count, here, foot: Foot::of(visit) }).field("Vary", "Accept")
}
