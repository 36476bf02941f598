//! What those who operate the server ask it: whether it lives, whether it is ready, what it has
//! counted, and with which configuration.
//!
//! | Path | Says |
//! |---|---|
//! | `/health` | 200 as long as the loop turns |
//! | `/ready` | 200 if requests should be sent here; else 503, and why not |
//! | `/metrics` | the figures |
//! | `/config` | the configuration in use, each value with its origin |
//! | `/cache` | what the cache of the proxies counts |
//! | `/cache/purge` | how many stored responses a POST has removed |
//!
//! These are handlers of a host like any other, but their listener is apart: it answers during a
//! shutdown, under maintenance, and when there are too many connections. That is when somebody
//! asks.

mod cache;
mod metrics;
pub(super) mod page;
mod process;

pub(super) use cache::purged;

use page::Page;

use super::application::wait_for_store;
use super::exchange::{Exchange, Turn};
use super::rejects::NO_STORE;
use super::respond::{refuse, send};
use super::shared::Shared;
use super::state::Progress;
use super::waiting::Awaits;
use crate::app::Response;
use crate::http::{Fields, Reject, Status, negotiate};
use crate::metrics::Format;
use crate::session::pending::Unavailable;

/// Responds with a page.
pub(super) fn respond(exchange: &Exchange<'_>, page: Page, turn: &mut Turn<'_, '_>) -> Progress {
    // A page has no pages below it.
    if exchange.path() != page.path().as_bytes() {
        return refuse(exchange, Reject::new(Status::NOT_FOUND, "there is no such page"), turn);
    }
    let fields = &exchange.head.fields;
    let response = match page {
        Page::Index => Response::new(Status::OK).text(index()),
        Page::Health => Response::new(Status::OK).text("healthy\n"),
        Page::Ready => return ready(exchange, turn),
        Page::Cache => return cache::show(exchange, turn),
        Page::Purge => return cache::purge(exchange, turn),
        Page::Metrics => {
            let format = format(fields);
            Response::new(Status::OK).content(format.media_type(), metrics::write(turn.cx, format).into_bytes())
        }
        Page::Config => match &turn.cx.shared.http.operation.settings {
            Some([_, json]) if negotiate::prefers_json(fields) => {
                Response::new(Status::OK).content("application/json", json.clone().into_bytes())
            }
            Some([text, _]) => Response::new(Status::OK).text(text.clone()),
            None => return refuse(exchange, Reject::new(Status::NOT_FOUND, "no configuration is kept"), turn),
        },
    };
    send(exchange, response.no_store(), turn)
}

fn index() -> String {
    Page::ALL[1..].iter().fold(String::new(), |text, page| text + page.path() + "\n")
}

/// OpenMetrics, if the client accepts it as well as plain text.
fn format(fields: &Fields<'_>) -> Format {
    let open = Format::OpenMetrics.media_type();
    let weight = negotiate::quality(fields, open);
    // A wildcard isn't enough.
    let is_named = fields.all("accept").any(|line| memchr::memmem::find(line, b"openmetrics-text").is_some());
    let is_preferred = weight > 0 && weight >= negotiate::quality(fields, Format::Prometheus.media_type());
    if is_named && is_preferred { Format::OpenMetrics } else { Format::Prometheus }
}

/// Whether requests should be sent here. A remote session store is asked: otherwise nobody would
/// notice that it works again when no requests are sent here any more.
fn ready(exchange: &Exchange<'_>, turn: &mut Turn<'_, '_>) -> Progress {
    if let Some(reason) = obstacle(&turn.cx.shared.http, turn.cx.draining) {
        let text = format!("not ready: {reason}\n");
        return send(exchange, Response::new(Status::SERVICE_UNAVAILABLE).text(text).no_store(), turn);
    }
    let response = Response::new(Status::OK).text("ready\n").no_store();
    let stored = &exchange.facts.host.sessions;
    stored.allow_retry(turn.cx.time.now);
    match stored.sessions.probe(turn.cx.handle, turn.cx.time) {
        None => send(exchange, response, turn),
        Some(Ok(ticket)) => wait_for_store(exchange, b"", Awaits::Saving(ticket, Box::new(response)), turn),
        Some(Err(Unavailable)) => refuse(exchange, NO_STORE, turn),
    }
}

/// Why no requests should be sent here, if the process itself knows a reason.
fn obstacle(http: &Shared, draining: bool) -> Option<&'static str> {
    match (draining, http.maintenance) {
        (true, _) => Some("the server is shutting down"),
        (false, true) => Some("the server is under maintenance"),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;
    use crate::http::head::parse;

    #[test]
    fn open_metrics_must_be_asked_for() {
        let format = |accept: &str| {
            let head = format!("GET / HTTP/1.0\r\n{accept}\r\n");
            let mut lines = FieldLines::default();
            format(&parse(head.as_bytes(), &mut lines).unwrap().unwrap().fields)
        };
        let prometheus = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;\
                          version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n";
        assert_eq!(format(prometheus), Format::OpenMetrics);
        assert_eq!(format("Accept: application/openmetrics-text\r\n"), Format::OpenMetrics);
        for accept in [
            "",
            "Accept: */*\r\n",
            "Accept: text/plain, application/openmetrics-text;q=0.5\r\n",
            "Accept: text/html\r\n",
        ] {
            assert_eq!(format(accept), Format::Prometheus, "{accept}");
        }
        assert_eq!(format("Accept: application/openmetrics-text;q=0, */*\r\n"), Format::Prometheus);
    }
}
