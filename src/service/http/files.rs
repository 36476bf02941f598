//! Requests for files: from what the site makes of a path to a response.

use std::sync::Arc;

use super::exchange::{Exchange, Turn};
use super::jobs;
use super::rejects::BUSY;
use super::respond::{begin, complete, refuse, send};
use super::state::Progress;
use super::waiting::AfterJob;
use crate::app::{Pull, Response, Source};
use crate::files::listing::Listing;
use crate::files::listing_page::{Format, Rendering};
use crate::files::{Listed, Served};
use crate::http::head::Method;
use crate::http::response::Length;
use crate::http::{Reject, Status};
use crate::reactor::{JobClass, JobResult, Tick};
use crate::service::Outcome;
use crate::text::html;

/// Answers with a file, a listing, a redirect or an error.
pub(super) fn respond(exchange: &Exchange<'_>, turn: &mut Turn<'_, '_>) -> Progress {
    let served = match &exchange.facts.host.files {
        Some(files) => {
            let context = exchange.context(&turn.cx.shared.http.stamp, turn.cx.draining);
            let key = &exchange.path()[1..];
            files.borrow_mut().serve(exchange.head, key, context, turn.cx.time.now, turn.output)
        }
        None => Served::Refused(Reject::new(Status::NOT_FOUND, "no files are served here")),
    };
    match served {
        Served::Answered(answered) => complete(exchange, answered.status, answered.body, answered.persistent, turn),
        Served::Redirect(location) => redirect(exchange, &location, turn),
        Served::Listing(_, format) if exchange.head.method == Method::Head => head_of_listing(exchange, format, turn),
        Served::Listing(Listed::Ready(listing), format) => send_listing(exchange, listing, format, turn),
        Served::Listing(Listed::Job(job), format) => {
            let job = move || Outcome::Listing(job.run());
            jobs::start(exchange, b"", AfterJob::List(format), JobClass::Files, job, turn)
        }
        Served::Refused(reject) => refuse(exchange, reject, turn),
    }
}

fn redirect(exchange: &Exchange<'_>, location: &[u8], turn: &mut Turn<'_, '_>) -> Progress {
    // A Location is made of ASCII bytes that need no escape.
    let location = String::from_utf8_lossy(location).into_owned();
    let page = html::page("Moved", &format!("<p>It is at <a href=\"{0}\">{0}</a>.</p>", html::escape(&location)));
    let response = Response::new(Status::MOVED_PERMANENTLY).field("Location", location).html(page);
    send(exchange, response, turn)
}

/// The field lines of a listing.
fn listing_fields(format: Format) -> [(&'static str, &'static str); 4] {
    [
        ("Cache-Control", "no-cache"),
        ("Vary", "Accept"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Type", format.media_type()),
    ]
}

/// The head of a listing, for which nothing must be read.
fn head_of_listing(exchange: &Exchange<'_>, format: Format, turn: &mut Turn<'_, '_>) -> Progress {
    let (_, persistent) = begin(exchange, Status::OK, listing_fields(format), Length::Unknown, turn);
    complete(exchange, Status::OK, 0, persistent, turn)
}

/// Answers with a listing that was waited for; none if it took too long.
pub(super) fn resume_listing(
    exchange: &Exchange<'_>,
    read: Option<JobResult<Outcome>>,
    format: Format,
    turn: &mut Turn<'_, '_>,
) -> Progress {
    match read {
        Some(Ok(Outcome::Listing(Ok(listing)))) => send_listing(exchange, listing, format, turn),
        Some(Ok(Outcome::Listing(Err(error)))) => {
            log::error!("listing {}: {error}", String::from_utf8_lossy(exchange.path()).escape_debug());
            refuse(exchange, UNREADABLE, turn)
        }
        Some(_) => refuse(exchange, UNREADABLE, turn),
        None => refuse(exchange, BUSY, turn),
    }
}

/// The directory can't be read.
const UNREADABLE: Reject = Reject::new(Status::INTERNAL_SERVER_ERROR, "the directory can't be read");

fn send_listing(exchange: &Exchange<'_>, listing: Arc<Listing>, format: Format, turn: &mut Turn<'_, '_>) -> Progress {
    let source = ListingSource(Rendering::new(listing, format));
    let [cache, vary, sniff, (_, media_type)] = listing_fields(format);
    let response =
        [cache, vary, sniff].into_iter().fold(Response::new(Status::OK), |r, (name, value)| r.field(name, value));
    send(exchange, response.stream(media_type, source), turn)
}

/// A directory listing as content.
struct ListingSource(Rendering);

impl Source for ListingSource {
    fn pull(&mut self, out: &mut Vec<u8>, room: usize, _now: Tick) -> Pull {
        if self.0.write_some(out, room) { Pull::More } else { Pull::End }
    }

    fn memory(&self) -> usize {
        self.0.memory()
    }
}
