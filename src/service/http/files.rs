//! Requests for files: from what the site makes of a path to a response.

use super::exchange::{Exchange, Turn};
use super::respond::{complete, refuse, send};
use super::state::Progress;
use crate::app::{Pull, Response, Source};
use crate::files::Served;
use crate::files::listing::Rendering;
use crate::http::{Reject, Status};
use crate::reactor::Tick;
use crate::text::html;

/// Answers with a file, a listing, a redirect or an error.
#[inline]
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
        Served::Listing { rendering, media_type } => {
            let response = Response::new(Status::OK)
                .field("Cache-Control", "no-cache")
                .field("Vary", "Accept")
                .field("X-Content-Type-Options", "nosniff")
                .stream(media_type, ListingSource(rendering));
            send(exchange, response, turn)
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
