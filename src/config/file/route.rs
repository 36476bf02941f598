//! Reads `[[host.route]]`: a path, at most one handler, and rules.

use std::path::PathBuf;

use toml::de::DeValue;

use super::proxy;
use super::table::Table;
use super::value::{boolean, integer, string, strings, text};
use crate::auth::guard::check_prefix;
use crate::config::options::paths;
use crate::config::{Content, FieldChanges, Handler, Positions, Redirect, Respond, Route, Rules, values};
use crate::http::address_blocks::AddressBlocks;
use crate::http::cors::{Cors, check_origin};
use crate::http::grammar;
use crate::http::media_type::MediaTypes;
use crate::http::rate::Rate;
use crate::http::redirect::RedirectTarget;

/// The keys of a route. At most one of the first is given.
const HANDLERS: [&str; 5] = ["root", "app", "proxy", "redirect", "respond"];
const RULES: [&str; 12] = [
    "path",
    "auth",
    "headers",
    "cache-control",
    "cors",
    "methods",
    "body-limit",
    "allow",
    "deny",
    "rate",
    "log",
    "compress",
];

/// Reads a route; none if it has no path.
pub(super) fn read(table: &mut Table<'_>) -> Option<Route> {
    let mut route = Route::default();
    let mut positions = Positions::default();
    positions.add("", table.own_position());
    let prefix = table.get("path", &mut positions, |value| prefix(&string(value)?));
    if positions.of("path") == positions.of("") {
        table.wrong_here("a route needs a path, like path = \"/app\"");
    }
    let handlers = handlers(table, &mut positions);
    let is_one = handlers.len() < 2;
    // Without a handler it is the host's root.
    route.handler = Some(handlers.into_iter().next().unwrap_or(Handler::Files));
    if !is_one {
        table.wrong_here(format!("a route has at most one of {}", HANDLERS.join(", ")));
    }
    let directory = table.directory();
    let file = |value: &DeValue<'_>| values::file(&paths::whole(&string(value)?, directory));
    route.auth = table.get("auth", &mut positions, file);
    route.rules = rules(table, &mut positions);
    table.finish(HANDLERS.into_iter().chain(proxy::KEYS).chain(RULES));
    route.positions = positions;
    route.prefix = prefix?;
    Some(route)
}

/// The prefix of a route, without a slash at its end.
fn prefix(text: &str) -> Result<String, String> {
    let hint = |_| "give a path from the root, decoded, like /app".to_owned();
    let prefix = check_prefix(text).map_err(hint)?;
    Ok(if prefix.is_empty() { "/".to_owned() } else { prefix.to_owned() })
}

fn handlers(table: &mut Table<'_>, positions: &mut Positions) -> Vec<Handler> {
    let directory = table.directory();
    let root = table.get("root", positions, |value| values::directory(&paths::whole(&string(value)?, directory)));
    let app = table.get("app", positions, string);
    let redirect = table.table("redirect", positions, redirect);
    let respond = table.table("respond", positions, respond);
    let proxy = proxy::read(table, positions);
    let handlers = [
        root.map(Handler::Root),
        app.map(Handler::App),
        proxy.map(Handler::Proxy),
        redirect.map(Handler::Redirect),
        respond.map(Handler::Respond),
    ];
    handlers.into_iter().flatten().collect()
}

fn redirect(table: &mut Table<'_>) -> Option<Redirect> {
    let mut positions = Positions::default();
    let status = table.get("status", &mut positions, |value| match integer(value)? {
        status @ (301 | 302 | 303 | 307 | 308) => Ok(status as u16),
        _ => Err("give 301, 302, 303, 307 or 308".to_owned()),
    });
    let to = table.get("to", &mut positions, |value| RedirectTarget::parse(&string(value)?));
    if positions.of("to").is_none() {
        table.wrong_here("a redirect needs a target, like to = \"https://example.org$path\"");
    }
    table.finish(["status", "to"].into_iter());
    Some(Redirect { status: status.unwrap_or(308), to: to? })
}

fn respond(table: &mut Table<'_>) -> Option<Respond> {
    let mut positions = Positions::default();
    let status = table.get("status", &mut positions, |value| match integer(value)? {
        status @ 200..=599 => Ok(status as u16),
        _ => Err("give a status from 200 to 599".to_owned()),
    });
    let status = status.unwrap_or(200);
    let directory = table.directory();
    let media_type = table.get("type", &mut positions, |value| {
        let media_type = string(value)?;
        MediaTypes::new().add("x", &media_type).map(|()| media_type)
    });
    let body = table.get("body", &mut positions, string);
    let file: Option<PathBuf> =
        table.get("file", &mut positions, |value| values::file(&paths::whole(&string(value)?, directory)));
    if body.is_some() && file.is_some() {
        table.wrong_here("a response has a body or a file, not both");
    }
    if matches!(status, 204 | 205 | 304) && (body.is_some() || file.is_some()) {
        table.wrong_here(format!("a response with the status {status} has no content"));
    }
    table.finish(["status", "type", "body", "file"].into_iter());
    let content = file.map_or_else(|| Content::Text(body.unwrap_or_default()), Content::File);
    Some(Respond { status, media_type, content })
}

fn rules(table: &mut Table<'_>, positions: &mut Positions) -> Rules {
    Rules {
        headers: table.table("headers", positions, |table| Some(changes(table))).unwrap_or_default(),
        cache_control: table.get("cache-control", positions, |value| values::cache_control(&string(value)?)),
        cors: table.table("cors", positions, cors),
        methods: table.get("methods", positions, |value| methods(strings(value)?)),
        body_limit: table.get("body-limit", positions, |value| values::size(&text(value)?)),
        allow: table.get("allow", positions, |value| blocks(&strings(value)?)).unwrap_or_default(),
        deny: table.get("deny", positions, |value| blocks(&strings(value)?)).unwrap_or_default(),
        rate: table.get("rate", positions, |value| Rate::parse(&string(value)?)),
        log: table.get("log", positions, boolean),
        compress: table.get("compress", positions, boolean),
    }
}

fn methods(methods: Vec<String>) -> Result<Vec<String>, String> {
    let is_method = |name: &String| grammar::is_token(name.as_bytes()) && *name == name.to_ascii_uppercase();
    match !methods.is_empty() && methods.iter().all(is_method) {
        true => Ok(methods),
        false => Err("give methods in capitals, like [\"GET\", \"POST\"]".to_owned()),
    }
}

fn blocks(texts: &[String]) -> Result<AddressBlocks, String> {
    let mut blocks = AddressBlocks::default();
    for text in texts {
        blocks.add(text).map_err(|hint| format!("{text}: {hint}"))?;
    }
    match blocks.is_empty() {
        true => Err("give at least one address or block; leave out the key if there are none".to_owned()),
        false => Ok(blocks),
    }
}

/// Fields that the server itself decides: they describe the connection, the framing, or what was
/// compared with the request.
const OWN: [&str; 17] = [
    "accept-ranges",
    "allow",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "keep-alive",
    "last-modified",
    "location",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "www-authenticate",
];

fn field_name(name: &str) -> Result<(), String> {
    if !grammar::is_token(name.as_bytes()) {
        return Err(format!("{name:?} is no name of a field"));
    }
    match OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        true => Err(format!("the server itself decides about {name}")),
        false => Ok(()),
    }
}

/// Takes all keys of a table as field lines: a name, and a value or several.
pub(super) fn fields(table: &mut Table<'_>) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for (name, span, value) in table.take_all() {
        let values = strings(value).and_then(|values| {
            field_name(name)?;
            let is_value = |value: &String| value.trim() == value && value.bytes().all(grammar::is_field_text);
            match values.iter().all(is_value) {
                true => Ok(values),
                false => Err("a field value has no control characters, and no spaces at its ends".to_owned()),
            }
        });
        match values {
            Ok(values) => fields.extend(values.into_iter().map(|value| (name.to_owned(), value))),
            Err(hint) => table.wrong(&span, hint),
        }
    }
    fields
}

fn changes(table: &mut Table<'_>) -> FieldChanges {
    let mut positions = Positions::default();
    let set = table.table("set", &mut positions, |table| Some(fields(table))).unwrap_or_default();
    let add = table.table("add", &mut positions, |table| Some(fields(table))).unwrap_or_default();
    let remove = table.get("remove", &mut positions, |value| {
        let names = strings(value)?;
        names.iter().try_for_each(|name| field_name(name))?;
        Ok(names)
    });
    table.finish(["set", "add", "remove"].into_iter());
    FieldChanges { set, add, remove: remove.unwrap_or_default() }
}

fn cors(table: &mut Table<'_>) -> Option<Cors> {
    let mut positions = Positions::default();
    let origins = table.get("origins", &mut positions, |value| {
        let origins = strings(value)?;
        if origins.iter().any(|origin| origin == "*") {
            return if origins.len() == 1 { Ok(None) } else { Err("* is for all origins: give it alone".to_owned()) };
        }
        origins.iter().try_for_each(|origin| check_origin(origin))?;
        Ok(Some(origins))
    });
    let token = |name: &String| match grammar::is_token(name.as_bytes()) {
        true => Ok(()),
        false => Err(format!("{name:?} is no name of a field")),
    };
    let cors = Cors {
        origins: origins.clone().flatten(),
        methods: table.get("methods", &mut positions, |value| methods(strings(value)?)).unwrap_or_default(),
        headers: table
            .get("headers", &mut positions, |value| {
                let names = strings(value)?;
                names.iter().try_for_each(token)?;
                Ok(names)
            })
            .unwrap_or_default(),
        credentials: table.get("credentials", &mut positions, boolean).unwrap_or_default(),
        max_age: table.get("max-age", &mut positions, |value| values::span(&text(value)?)),
    };
    table.finish(["origins", "methods", "headers", "credentials", "max-age"].into_iter());
    if origins.is_none() && positions.of("origins").is_none() {
        table.wrong_here("cors needs origins, like origins = [\"https://example.org\"], or \"*\" for all");
    }
    if cors.credentials && origins == Some(None) {
        table.wrong_here("with credentials, name the origins: all of them could act for the user");
    }
    Some(cors)
}
