//! Builds the routes of a host: their handlers, and the rules of each.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use super::ServerError;
use super::error::Faults;
use super::proxies;
use super::site::{open_root, site_settings};
use super::surroundings::Surroundings;
use crate::config::{Content, Handler, Host, Respond, Route, Rules};
use crate::files::Site;
use crate::files::resolve::Opened;
use crate::http::Status;
use crate::http::compressible::CompressionRules;
use crate::http::content_coding::Codings;
use crate::http::media_type::MediaTypes;
use crate::service::http::{self, FixedResponse, Redirect, RouteHandler, Routes};

/// Adds the handlers of a host's routes, but for applications, which are there already.
pub(super) fn add(host: &Host, routes: &mut Routes, surroundings: &Surroundings<'_>, faults: &mut Faults) {
    for route in &host.routes {
        let Some(handler) = &route.handler else { continue };
        faults.place(route.positions.of(""));
        if let Some(handler) = handler_of(host, route, handler, surroundings, faults) {
            faults.keep(routes.set(&route.prefix, handler).map_err(ServerError::Config));
        }
        faults.place(None);
    }
}

fn handler_of(
    host: &Host,
    route: &Route,
    handler: &Handler,
    surroundings: &Surroundings<'_>,
    faults: &mut Faults,
) -> Option<RouteHandler> {
    match handler {
        Handler::App(_) => None,
        Handler::Proxy(proxy) => {
            faults.place(route.positions.of("proxy"));
            proxies::build(proxy, route.rules.body_limit, surroundings, faults)
        }
        Handler::Files => Some(RouteHandler::Files),
        Handler::Root(path) => {
            faults.place(route.positions.of("root"));
            let root = faults.keep(open_root(path, host.symlinks))?;
            if !matches!(root.get(b""), Ok(Opened::Directory { .. })) {
                faults.wrong(format!("{} is no directory", path.display()));
            }
            let settings = site_settings(host, surroundings, faults);
            // A page for paths that aren't found, or for errors, is that of the host.
            let settings = crate::files::Settings { spa: None, ..settings };
            Some(RouteHandler::Tree(Rc::new(Site::new(root, settings).into())))
        }
        Handler::Redirect(redirect) => {
            let redirect = Redirect { status: Status(redirect.status), to: redirect.to.clone() };
            Some(RouteHandler::Redirect(Rc::new(redirect)))
        }
        Handler::Respond(respond) => fixed(host, respond, faults).map(|fixed| RouteHandler::Fixed(Rc::new(fixed))),
    }
}

fn fixed(host: &Host, respond: &Respond, faults: &mut Faults) -> Option<FixedResponse> {
    let mut media_types = MediaTypes::new();
    for (extension, media_type) in &host.media_types {
        faults.keep(media_types.add(extension, media_type).map_err(ServerError::Config));
    }
    let (media_type, content) = match &respond.content {
        Content::Text(text) => ("text/plain; charset=utf-8".to_owned(), text.clone().into_bytes()),
        Content::File(path) => {
            let read = std::fs::read(path).map_err(|error| {
                let why = crate::text::io_error::describe(&error);
                ServerError::Config(format!("can't read {}: {why}", path.display()))
            });
            let name = path.as_os_str().as_encoded_bytes();
            (media_types.of(name).to_owned(), faults.keep(read)?)
        }
    };
    let media_type = respond.media_type.clone().unwrap_or(media_type);
    Some(FixedResponse { status: Status(respond.status), media_type, content: content.into() })
}

/// A host with its rules and those of its routes, and nothing else yet.
pub(super) fn with_rules(config: &Host, faults: &mut Faults) -> http::Host {
    let mut host = http::Host::new(rules(config, &Rules::default(), 0));
    let mut routes: Vec<&Route> = config.routes.iter().filter(|route| route.rules != Rules::default()).collect();
    // The outer ones first.
    routes.sort_by_key(|route| route.prefix.len());
    let mut complete: Vec<(&str, Rules, u64)> = Vec::new();
    for route in routes {
        let outer = complete.iter().rev().find(|(prefix, ..)| is_below(&route.prefix, prefix));
        let merged = route.rules.clone().within(outer.map_or(&Rules::default(), |(_, rules, _)| rules));
        // A limit counts for all routes that have it from the same place.
        let group = match (route.rules.rate, outer) {
            (Some(_), _) => group(config, &route.prefix),
            (None, Some((.., group))) => *group,
            (None, None) => 0,
        };
        faults.keep(host.add_rules(&route.prefix, rules(config, &merged, group)).map_err(ServerError::Config));
        complete.push((&route.prefix, merged, group));
    }
    host
}

/// A number for the limits of a route. It is the same after a reload, so what was used up stays
/// used up.
fn group(host: &Host, prefix: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (host.names.first().map(ToString::to_string), prefix).hash(&mut hasher);
    hasher.finish() | 1
}

/// Whether a prefix is for paths that another one is for, too.
fn is_below(prefix: &str, outer: &str) -> bool {
    let outer = outer.trim_end_matches('/');
    prefix.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// How a route's responses are compressed. They may be where the host's aren't.
fn compression(host: &Host, compress: Option<bool>) -> CompressionRules {
    let codings = match compress {
        Some(false) => Codings::NONE,
        Some(true) if host.compress.is_empty() => Host::default().compress,
        Some(true) | None => host.compress,
    };
    CompressionRules { codings, level: host.compress_level, types: host.compress_types.clone().unwrap_or_default() }
}

/// The fields of `--security-headers`. The source is the OWASP Secure Headers Project.
const SECURITY: [(&str, &str); 4] = [
    ("X-Content-Type-Options", "nosniff"),
    // Pages of other sites can't show these in a frame (clickjacking).
    ("Content-Security-Policy", "frame-ancestors 'self'"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// The rules of a host's paths, with those of a route.
fn rules(host: &Host, own: &Rules, group: u64) -> http::Rules {
    let headers = &own.headers;
    let replaced: Vec<String> =
        headers.set.iter().map(|(name, _)| name).chain(&headers.remove).map(|name| name.to_ascii_lowercase()).collect();
    let mut lines = Vec::new();
    let mut write = |name: &str, value: &str| lines.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    let is_replaced = |name: &str| replaced.iter().any(|other| other.eq_ignore_ascii_case(name));
    if host.server_field && !is_replaced("Server") {
        write("Server", "miod");
    }
    let security = SECURITY.iter().filter(|(name, _)| host.security_headers && !is_replaced(name));
    security.for_each(|(name, value)| write(name, value));
    for (name, value) in headers.set.iter().chain(&headers.add) {
        write(name, value);
    }
    let mut replaced = replaced;
    // The handlers write it, too, and once is enough.
    replaced.extend(host.security_headers.then(|| "x-content-type-options".to_owned()));
    http::Rules {
        lines,
        replaced,
        cache_control: own.cache_control.clone(),
        hsts: host.hsts,
        cors: own.cors.clone(),
        methods: own.methods.clone(),
        body_limit: own.body_limit.unwrap_or(host.body_limit),
        allow: own.allow.clone(),
        deny: own.deny.clone(),
        rate: own.rate.or(host.rate).map(|rate| (rate, group)),
        log: own.log.unwrap_or(true),
        compression: Rc::new(compression(host, own.compress)),
    }
}
