//! The settings of a route as they are printed: a path of keys, and a value.

use serde_json::{Value as Json, json};

use crate::config::{Content, Handler, ProxyUpstream, Route, Rules};
use crate::http::cors::Cors;

/// The settings of a route.
pub(super) fn route_values(route: &Route) -> Vec<(String, Json)> {
    let mut values = Vec::new();
    let mut add = |key: &str, value: Json| values.push((key.to_owned(), value));
    add("path", json!(route.prefix));
    match &route.handler {
        None | Some(Handler::Files | Handler::Proxy(_)) => {}
        Some(Handler::Root(path)) => add("root", json!(path.display().to_string())),
        Some(Handler::App(name)) => add("app", json!(name)),
        Some(Handler::Redirect(redirect)) => {
            add("redirect.status", json!(redirect.status));
            add("redirect.to", json!(redirect.to.to_string()));
        }
        Some(Handler::Respond(respond)) => {
            add("respond.status", json!(respond.status));
            match &respond.content {
                Content::Text(text) => add("respond.body", json!(text)),
                Content::File(path) => add("respond.file", json!(path.display().to_string())),
            }
            if let Some(media_type) = &respond.media_type {
                add("respond.type", json!(media_type));
            }
        }
    }
    if let Some(Handler::Proxy(proxy)) = &route.handler {
        let upstream = |ProxyUpstream { url, weight }: &ProxyUpstream| match weight {
            1 => json!(url.to_string()),
            _ => json!({ "url": url.to_string(), "weight": weight }),
        };
        add("proxy", proxy.upstreams.iter().map(upstream).collect());
        add("strip", json!(proxy.strip));
        add("host", json!(if proxy.own_host { "upstream" } else { "client" }));
        if let Some(most) = proxy.max_in_flight {
            add("max-in-flight", json!(most));
        }
        if let Some(cache) = &proxy.cache {
            add("cache", json!(true));
            for (key, names) in [("bypass-fields", &cache.bypass_fields), ("bypass-cookies", &cache.bypass_cookies)] {
                if !names.is_empty() {
                    add(&format!("cache.{key}"), json!(names));
                }
            }
            for (key, span) in [("min-age", cache.min_age), ("max-age", cache.max_age)] {
                if let Some(span) = span {
                    add(&format!("cache.{key}"), json!(span.as_secs()));
                }
            }
            if cache.set_cookie {
                add("cache.set-cookie", json!(true));
            }
        }
        if let Some((path, interval)) = &proxy.health {
            add("health", json!(path));
            add("health-interval", json!(interval.as_secs_f64()));
        }
    }
    if let Some(path) = &route.auth {
        add("auth", json!(path.display().to_string()));
    }
    rule_values(&route.rules, &mut add);
    values
}

fn rule_values(rules: &Rules, mut add: impl FnMut(&str, Json)) {
    for (key, fields) in [("headers.set", &rules.headers.set), ("headers.add", &rules.headers.add)] {
        for (name, value) in fields {
            add(&format!("{key}.{name}"), json!(value));
        }
    }
    if !rules.headers.remove.is_empty() {
        add("headers.remove", json!(rules.headers.remove));
    }
    if let Some(value) = &rules.cache_control {
        add("cache-control", json!(value));
    }
    if let Some(Cors { origins, methods, headers, credentials, max_age }) = &rules.cors {
        add("cors.origins", origins.as_ref().map_or(json!("*"), |origins| json!(origins)));
        add("cors.methods", json!(methods));
        add("cors.headers", json!(headers));
        add("cors.credentials", json!(credentials));
        if let Some(age) = max_age {
            add("cors.max-age", json!(age.as_secs()));
        }
    }
    if let Some(methods) = &rules.methods {
        add("methods", json!(methods));
    }
    if let Some(limit) = rules.body_limit {
        add("body-limit", json!(limit));
    }
    for (key, blocks) in [("allow", &rules.allow), ("deny", &rules.deny)] {
        if !blocks.is_empty() {
            add(key, json!(blocks.iter().collect::<Vec<_>>()));
        }
    }
    if let Some(rate) = rules.rate {
        add("rate", json!(rate.to_string()));
    }
    if let Some(log) = rules.log {
        add("log", json!(log));
    }
}
