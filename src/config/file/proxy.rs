//! Reads the keys of a route that other servers answer: `proxy`, and how they are asked.

use toml::Spanned;
use toml::de::DeValue;

use super::table::Table;
use super::value::{boolean, integer, string, strings, text};
use crate::config::{Positions, ProxyRoute, ProxyUpstream, RouteCache, UpstreamUrl, values};
use crate::http::grammar::is_token;
use crate::limits;

/// The keys that belong to `proxy`.
pub(super) const KEYS: [&str; 6] = ["strip", "host", "max-in-flight", "health", "health-interval", "cache"];

/// Takes these keys; none if the route has no `proxy`.
pub(super) fn read(table: &mut Table<'_>, positions: &mut Positions) -> Option<ProxyRoute> {
    let upstreams = upstreams(table, positions);
    let strip = table.get("strip", positions, boolean);
    let own_host = table.get("host", positions, |value| match string(value)?.as_str() {
        "client" => Ok(false),
        "upstream" => Ok(true),
        _ => Err("give client or upstream".to_owned()),
    });
    let max_in_flight = table.get("max-in-flight", positions, |value| match integer(value)? {
        0 => Err("give a whole number of at least 1".to_owned()),
        most => Ok(usize::try_from(most).unwrap_or(usize::MAX)),
    });
    let health = table.get("health", positions, |value| path(&string(value)?));
    let interval = table.get("health-interval", positions, |value| values::seconds(&text(value)?));
    let cache = cache(table, positions);
    if interval.is_some() && health.is_none() {
        table.wrong_here("health-interval is for a route with health");
    }
    let is_set = [strip.is_some(), own_host.is_some(), max_in_flight.is_some(), health.is_some(), cache.is_some()]
        .contains(&true);
    if upstreams.is_none() && is_set {
        table.wrong_here(format!("{} are for a route with proxy", KEYS.join(", ")));
    }
    let (strip, own_host) = (strip.unwrap_or(false), own_host.unwrap_or(false));
    let health = health.map(|path| (path, interval.unwrap_or(limits::UPSTREAM_CHECK_INTERVAL)));
    Some(ProxyRoute { upstreams: upstreams?, strip, own_host, max_in_flight, health, cache: cache.flatten() })
}

/// Whether responses are stored, and how: `true`, or a table. Outer none if the key is missing.
fn cache(table: &mut Table<'_>, positions: &mut Positions) -> Option<Option<RouteCache>> {
    let (span, value) = table.take("cache")?;
    positions.add("cache", table.position(&span));
    let Some(mut table) = table.inner(value) else {
        return match boolean(value.get_ref()) {
            Ok(is_on) => Some(is_on.then(RouteCache::default)),
            Err(_) => {
                table.wrong(&value.span(), "cache: give true, or a table like { max-age = \"1d\" }");
                Some(None)
            }
        };
    };
    let mut positions = Positions::default();
    let names = |value: &DeValue<'_>| {
        let names = strings(value)?;
        match names.iter().all(|name| is_token(name.as_bytes())) {
            true => Ok(names),
            false => Err("give names".to_owned()),
        }
    };
    let bypass_fields = table.get("bypass-fields", &mut positions, names).unwrap_or_default();
    let bypass_cookies = table.get("bypass-cookies", &mut positions, names).unwrap_or_default();
    let span = |value: &DeValue<'_>| values::span(&text(value)?);
    let min_age = table.get("min-age", &mut positions, span);
    let max_age = table.get("max-age", &mut positions, span);
    let set_cookie = table.get("set-cookie", &mut positions, boolean).unwrap_or(false);
    if min_age.is_some_and(|min| max_age.is_some_and(|max| min > max)) {
        table.wrong_here("cache: min-age is more than max-age");
    }
    table.finish(CACHE_KEYS.into_iter());
    Some(Some(RouteCache { bypass_fields, bypass_cookies, min_age, max_age, set_cookie }))
}

/// The keys of the table `cache`.
const CACHE_KEYS: [&str; 5] = ["bypass-fields", "bypass-cookies", "min-age", "max-age", "set-cookie"];

/// The path of a check, as it is sent.
fn path(text: &str) -> Result<String, String> {
    match text.starts_with('/') && text.len() <= limits::TARGET && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("give a path from the root, encoded, like /health".to_owned()),
    }
}

/// The servers: one or a list, each a URL or a table.
fn upstreams(table: &mut Table<'_>, positions: &mut Positions) -> Option<Vec<ProxyUpstream>> {
    let (span, value) = table.take("proxy")?;
    positions.add("proxy", table.position(&span));
    let values: Vec<&Spanned<DeValue<'_>>> = match value.get_ref().as_array() {
        Some(array) => array.iter().collect(),
        None => vec![value],
    };
    if values.is_empty() {
        table.wrong(&value.span(), "proxy: give at least one URL, like http://127.0.0.1:3000");
        return None;
    }
    let mut upstreams: Vec<ProxyUpstream> = Vec::new();
    for value in values {
        let Some(upstream) = upstream(table, value) else { continue };
        if upstreams.iter().any(|other| other.url == upstream.url) {
            table.wrong(&value.span(), format!("proxy: {} is given twice; give it a weight", upstream.url));
        }
        upstreams.push(upstream);
    }
    Some(upstreams)
}

fn upstream(table: &mut Table<'_>, value: &Spanned<DeValue<'_>>) -> Option<ProxyUpstream> {
    let parse = |value: &DeValue<'_>| {
        let url = string(value)?;
        UpstreamUrl::parse(&url).map_err(|hint| format!("{url}: {hint}"))
    };
    let Some(mut table) = table.inner(value) else {
        let url = parse(value.get_ref()).map_err(|hint| table.wrong(&value.span(), format!("proxy: {hint}")));
        return url.ok().map(ProxyUpstream::from);
    };
    let mut positions = Positions::default();
    let url = table.get("url", &mut positions, parse);
    if positions.of("url").is_none() {
        table.wrong_here("an upstream needs a URL, like url = \"http://127.0.0.1:3000\"");
    }
    let weight = table.get("weight", &mut positions, |value| match integer(value)? {
        weight @ 1..=limits::UPSTREAM_WEIGHT => Ok(weight as u32),
        _ => Err(format!("give a weight from 1 to {}", limits::UPSTREAM_WEIGHT)),
    });
    table.finish(["url", "weight"].into_iter());
    Some(ProxyUpstream { weight: weight.unwrap_or(1), ..ProxyUpstream::from(url?) })
}
