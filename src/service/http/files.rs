//! Responds to requests for files with what the site has at the path.

use std::sync::Arc;

use askama::Template;

use super::choices;
use super::coded_file;
use super::exchange::{Exchange, Handler, Turn};
use super::jobs;
use super::rejects::BUSY;
use super::respond::{complete, refuse, send};
use super::state::Progress;
use super::tree;
use super::waiting::AfterJob;
use crate::app::{Pull, Response, Source};
use crate::files::listing::Listing;
use crate::files::listing_page::{Format, Rendering};
use crate::files::{Asked, Listed, Names, Unanswered};
use crate::http::head::Method;
use crate::http::{Reject, Status, target};
use crate::reactor::{JobClass, JobResult, Tick};
use crate::service::Outcome;

/// Responds with a file, a listing, a redirect or an error.
#[inline]
pub(super) fn respond(exchange: &Exchange<'_>, turn: &mut Turn<'_, '_>) -> Progress {
    respond_with(exchange, None, turn)
}

/// Responds to a request for which a job has read names; none if it took too long.
pub(super) fn resume_choice(
    exchange: &Exchange<'_>,
    read: Option<JobResult<Outcome>>,
    turn: &mut Turn<'_, '_>,
) -> Progress {
    match read {
        Some(Ok(Outcome::Names(Ok(names)))) => respond_with(exchange, Some(&names), turn),
        Some(_) => refuse(exchange, UNREADABLE, turn),
        None => refuse(exchange, BUSY, turn),
    }
}

/// Responds, perhaps with the names in a directory, which were read for the request.
fn respond_with(exchange: &Exchange<'_>, names: Option<&Arc<Names>>, turn: &mut Turn<'_, '_>) -> Progress {
    let (files, mount) = match &exchange.facts.handler {
        Handler::Tree(site, mount) => (Some(site), *mount),
        _ => (exchange.facts.host.files.as_ref(), 0),
    };
    let mut job = None;
    let served = match files {
        // The prefix itself is a directory.
        Some(_) if exchange.path().len() == mount => Err(Unanswered::Redirect(directory(exchange.head.target.query))),
        Some(files) => {
            let context = exchange.context(&turn.cx.shared.http.stamp, turn.cx.draining);
            let key = &exchange.path()[mount + 1..];
            let asked = Asked { request: exchange.head, key, names, context };
            let mut files = files.borrow_mut();
            let served = files.serve(&asked, turn.cx.time.now, turn.output);
            job = files.take_job();
            served
        }
        None => Err(Unanswered::Refused(Reject::new(Status::NOT_FOUND, "no files are served here"))),
    };
    if let Some(job) = job {
        tree::begin(job, turn.cx);
    }
    match served {
        Ok(answered) => {
            turn.cache = Some(answered.cache);
            complete(exchange, answered.status, answered.body, answered.persistent, turn)
        }
        Err(found) => respond_without_file(exchange, found, mount, turn),
    }
}

/// Responds where there is no file. Apart from the above, so that a file pays nothing for it.
#[inline(never)]
fn respond_without_file(exchange: &Exchange<'_>, found: Unanswered, mount: usize, turn: &mut Turn<'_, '_>) -> Progress {
    match found {
        Unanswered::Redirect(below) => {
            let mut location = Vec::new();
            target::encode_path(&exchange.path()[..mount], &mut location);
            location.extend_from_slice(&below);
            redirect(exchange, &location, turn)
        }
        Unanswered::Listing(_, format) if exchange.head.method == Method::Head => {
            head_of_listing(exchange, format, turn)
        }
        Unanswered::Listing(Listed::Ready(listing), format) => send_listing(exchange, listing, format, turn),
        Unanswered::Listing(Listed::Job(job), format) => {
            let job = move || Outcome::Listing(job.run());
            jobs::start(exchange, b"", AfterJob::List(format), JobClass::Files, job, turn)
        }
        Unanswered::Names(job) => {
            let job = move || Outcome::Names(job.run());
            jobs::start(exchange, b"", AfterJob::Choose, JobClass::Files, job, turn)
        }
        Unanswered::NotAcceptable(found) => send(exchange, choices::response(&found, &exchange.head.fields), turn),
        Unanswered::Plain(file) => coded_file::respond(exchange, *file, turn),
        Unanswered::Refused(reject) => refuse(exchange, reject, turn),
    }
}

/// The Location of a directory, behind its own path.
fn directory(query: Option<&[u8]>) -> Vec<u8> {
    match query {
        Some(query) => [b"/?", query].concat(),
        None => b"/".to_vec(),
    }
}

#[derive(Template)]
#[template(path = "moved.html", config = "src/askama.toml")]
struct MovedPage<'a> {
    location: &'a str,
}

fn redirect(exchange: &Exchange<'_>, location: &[u8], turn: &mut Turn<'_, '_>) -> Progress {
    // A Location is made of ASCII bytes that need no escape.
    let location = String::from_utf8_lossy(location).into_owned();
    // Rendering into a String fails only if the formatting of a value fails.
    let page = MovedPage { location: &location }.render().expect("text can be formatted") + "\n";
    let response = Response::new(Status::MOVED_PERMANENTLY).field("Location", location).html(page);
    send(exchange, response, turn)
}

/// A listing as a response.
fn listing_response(format: Format, content: ListingSource) -> Response {
    let response = Response::new(Status::OK).field("Cache-Control", "no-cache").field("Vary", "Accept");
    response.stream(format.media_type(), content)
}

/// The head of a listing. The directory isn't read for it, so the link to the next page is
/// missing (RFC 9110 §9.3.2 allows to leave out such a field).
fn head_of_listing(exchange: &Exchange<'_>, format: Format, turn: &mut Turn<'_, '_>) -> Progress {
    send(exchange, listing_response(format, ListingSource(None)), turn)
}

/// Responds with a listing that a job has made; none if it took too long.
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
    let next = listing.next_query();
    let response = listing_response(format, ListingSource(Some(Rendering::new(listing, format))));
    let response = match next {
        // RFC 8288.
        Some(query) => response.field("Link", format!("<?{query}>; rel=\"next\"")),
        None => response,
    };
    send(exchange, response, turn)
}

/// A directory listing as content; none for a response to HEAD.
struct ListingSource(Option<Rendering>);

impl Source for ListingSource {
    fn pull(&mut self, out: &mut Vec<u8>, room: usize, _now: Tick) -> Pull {
        let more = self.0.as_mut().is_some_and(|rendering| rendering.write_some(out, room));
        if more { Pull::More } else { Pull::End }
    }

    fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, Rendering::memory)
    }
}
