//! The cache of the proxies, for operators: what it counts, and purging it.
//!
//! Entries on the disk are found by jobs that read them, so a purge may take several turns: the
//! request waits for its end. If it goes away, the purge goes on as the cache is used.

use std::rc::Rc;

use super::super::exchange::{Exchange, Turn};
use super::super::rejects::BUSY;
use super::super::respond::{refuse, send};
use super::super::state::{Progress, State};
use super::super::waiting::{Awaits, Waiting};
use crate::app::Response;
use crate::cache::{Purge, uri};
use crate::http::{Reject, Status, form, negotiate};
use crate::limits;
use crate::logging::escape;
use crate::service::proxy::Cache;

const NO_CACHE: Reject = Reject::new(Status::NOT_FOUND, "no proxy stores responses");
const PARAMETERS: Reject = Reject::bad_request("give one of url, prefix, tag, or all=1, as a form encodes it");
const NO_URL: Reject = Reject::bad_request("the URL isn't like http://host/path");

/// Responds with what the cache counts.
pub(super) fn show(exchange: &Exchange<'_>, turn: &mut Turn<'_, '_>) -> Progress {
    let Some(cache) = &turn.cx.shared.http.cache else { return refuse(exchange, NO_CACHE, turn) };
    let rows = rows(cache);
    let response = Response::new(Status::OK).no_store();
    let response = match negotiate::prefers_json(&exchange.head.fields) {
        true => {
            let pairs: Vec<_> = rows.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            response.content("application/json", format!("{{{}}}\n", pairs.join(",")).into_bytes())
        }
        false => response.text(rows.iter().map(|(name, value)| format!("{name} {value}\n")).collect::<String>()),
    };
    send(exchange, response, turn)
}

/// Names and values.
fn rows(cache: &Cache) -> Vec<(String, u64)> {
    let figures = cache.figures();
    let own = [
        ("entries", figures.entries as u64),
        ("disk_bytes", figures.disk),
        ("memory_bytes", figures.memory),
        ("growing", figures.growing as u64),
        ("memory_loads", figures.memory_hits),
        ("disk_loads", figures.disk_hits),
        ("evictions", figures.evictions),
        ("refused", figures.refused),
        ("errors", figures.errors),
        ("scanning", u64::from(figures.scanning)),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value));
    let requests = cache.requests().map(|(result, count)| (format!("requests_{}", result.replace('-', "_")), count));
    own.into_iter().chain(requests).collect()
}

/// Removes what the query of a request names, and waits until it is removed.
pub(super) fn purge(exchange: &Exchange<'_>, turn: &mut Turn<'_, '_>) -> Progress {
    let Some(cache) = turn.cx.shared.http.cache.as_ref().map(Rc::clone) else {
        return refuse(exchange, NO_CACHE, turn);
    };
    let what = match what(exchange.head.target.query.unwrap_or_default()) {
        Ok(what) => what,
        Err(reject) => return refuse(exchange, reject, turn),
    };
    let (id, removed) = {
        let mut store = cache.store.borrow_mut();
        let Some(id) = store.purge(&what, Some(turn.cx.handle)) else {
            drop(store);
            return refuse(exchange, BUSY, turn);
        };
        (id, store.purged(id))
    };
    match removed {
        // All was in memory.
        Some(removed) => purged(exchange, Some(removed), turn),
        None => {
            let awaits = Awaits::Purge(cache, id, None);
            Progress::Pending(State::Waiting(Waiting::new(exchange, b"", awaits, limits::CACHE_PURGE, turn)))
        }
    }
}

/// Responds with how many entries were removed; none if there are still more to be looked at.
pub(in super::super) fn purged(exchange: &Exchange<'_>, removed: Option<u64>, turn: &mut Turn<'_, '_>) -> Progress {
    let (number, target) = (turn.cx.handle.number(), escape(exchange.head.raw_target));
    let response = match removed {
        Some(removed) => {
            log::info!("#{number}.{} {target}: {removed} stored responses were removed", turn.request);
            Response::new(Status::OK).json(&serde_json::json!({ "removed": removed }))
        }
        None => Response::new(Status::ACCEPTED).text("it takes long, and goes on\n"),
    };
    send(exchange, response.no_store(), turn)
}

/// What a query names: one of `url`, `prefix`, `tag` and `all`.
///
/// # Errors
/// 400 for anything else, so that `&` in a URL that isn't encoded is noticed.
fn what(query: &[u8]) -> Result<Purge, Reject> {
    let mut pairs = form::pairs(query);
    let (Some((name, value)), None) = (pairs.next(), pairs.next()) else { return Err(PARAMETERS) };
    match &*name {
        "url" => uri(&value).map(Purge::Uri).map_err(|_| NO_URL),
        "prefix" => uri(&value).map(Purge::Prefix).map_err(|_| NO_URL),
        "tag" if !value.is_empty() => Ok(Purge::Tag(value.into_owned().into_bytes())),
        "all" if value == "1" => Ok(Purge::All),
        _ => Err(PARAMETERS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_one_thing() {
        for (query, expected) in [
            ("url=http%3A%2F%2FA.example%3A80%2Fx%3Fy%3D1%26z", Some(Purge::Uri(b"http://a.example/x?y=1&z".to_vec()))),
            ("url=http://a", Some(Purge::Uri(b"http://a/".to_vec()))),
            ("prefix=https://a/b", Some(Purge::Prefix(b"https://a/b".to_vec()))),
            ("tag=news+today", Some(Purge::Tag(b"news today".to_vec()))),
            ("all=1", Some(Purge::All)),
            ("", None),
            ("all", None),
            ("all=0", None),
            ("tag=", None),
            ("url=/x", None),
            ("url=ftp://a/", None),
            ("url=http://a/x?y=1&z=2", None),
            ("tag=a&tag=b", None),
            ("of=all", None),
        ] {
            assert_eq!(what(query.as_bytes()).ok(), expected, "{query}");
        }
    }
}
