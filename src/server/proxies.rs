//! Builds the gateways of routes: their servers are looked up, so that a name that is unknown is a
//! mistake of the configuration.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::ServerError;
use super::error::Faults;
use super::surroundings::Surroundings;
use crate::config::{
    CachePlace, Config, ForwardProxy, Handler, Host, Process, ProxyRoute, ProxyUpstream, Route, RouteCache, UpstreamUrl,
};
use crate::http::cache_control::MAX_SECONDS;
use crate::http::caching::Settings;
use crate::http::proxying::Server;
use crate::names;
use crate::reactor::{Endpoint, Reactor};
use crate::service::Service;
use crate::service::http::RouteHandler;
use crate::service::proxy::{Addresses, Cache, CacheRules, Forward, HealthCheck, HealthSettings, Proxy, Upstream};

/// The gateway of a route; `body_limit` is what its requests may have at most, if that is limited.
pub(super) fn build(
    route: &ProxyRoute,
    body_limit: Option<u64>,
    surroundings: &Surroundings<'_>,
    faults: &mut Faults,
) -> Option<RouteHandler> {
    let process = surroundings.process;
    let settings = |(path, interval): &(String, _)| HealthSettings { path: path.clone(), interval: *interval };
    let health = route.health.as_ref().map(settings);
    let mut upstreams = Vec::new();
    for ProxyUpstream { url, weight } in &route.upstreams {
        let made = upstream(url, process).map_err(ServerError::Config);
        let made = faults.keep(made).map(|upstream| upstream.with_weight(*weight).with_health(health.clone()));
        upstreams.extend(made.map(Rc::new));
    }
    if upstreams.is_empty() {
        return None;
    }
    let cache = route.cache.as_ref().and_then(|cache| route_cache(cache, surroundings, faults));
    let ProxyRoute { strip, own_host, max_in_flight, .. } = *route;
    let max_in_flight = max_in_flight.unwrap_or(usize::MAX);
    let proxy = Proxy::new(upstreams, surroundings.state.pseudonym().to_owned());
    Some(RouteHandler::Proxy(Rc::new(Proxy { max_in_flight, body_limit, strip, own_host, cache, ..proxy })))
}

/// Begins to check the upstreams of all hosts. Checks of upstreams that were replaced end by
/// themselves.
pub(super) fn begin_checks(reactor: &mut Reactor<Service>) {
    let now = reactor.time().now;
    let hosts = reactor.shared().http.web.all();
    let proxies = hosts.iter().flat_map(|host| host.routes.proxies());
    for upstream in proxies.flat_map(|(_, proxy)| &proxy.upstreams) {
        if let Some((to, check)) = HealthCheck::of(upstream, now) {
            reactor.connect(to, check);
        }
    }
}

/// The forward proxy of a host.
pub(super) fn build_forward(proxy: &ForwardProxy, surroundings: &Surroundings<'_>, faults: &mut Faults) -> Forward {
    let process = surroundings.process;
    let connector = process.upstream_trust.connector(&["http/1.1"]);
    let connector = connector.map(|connector| connector.with_key_log(process.tap.key_log(None)));
    let connector = connector.inspect_err(|why| log::warn!("no server can be asked by https://: {why}")).ok();
    // Clients of a forward proxy expect what they would get without it, cookies too.
    let settings = Settings { store_cookies: true, ..Settings::default() };
    let rules = |cache| CacheRules { cache, settings, bypass_fields: Vec::new(), bypass_cookies: Vec::new() };
    let cache = cache(surroundings, faults).map(|cache| Rc::new(rules(cache)));
    Forward {
        pseudonym: surroundings.state.pseudonym().to_owned(),
        connect_ports: proxy.connect_ports.clone(),
        allows_private: proxy.allow_private || (surroundings.is_local && proxy.allow.is_empty()),
        timeouts: process.upstream_timeouts,
        connector,
        cache,
        origins: RefCell::default(),
    }
}

/// How the responses of a route are stored.
fn route_cache(config: &RouteCache, surroundings: &Surroundings<'_>, faults: &mut Faults) -> Option<Rc<CacheRules>> {
    let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(MAX_SECONDS).min(MAX_SECONDS);
    let settings = Settings {
        gateway: true,
        store_cookies: config.set_cookie,
        // Otherwise any client could have any request sent to the application.
        obey_requests: false,
        lifetimes: (config.min_age.map_or(0, seconds), config.max_age.map_or(MAX_SECONDS, seconds)),
        ..Settings::default()
    };
    let (bypass_fields, bypass_cookies) = (config.bypass_fields.clone(), config.bypass_cookies.clone());
    let cache = cache(surroundings, faults)?;
    Some(Rc::new(CacheRules { cache, settings, bypass_fields, bypass_cookies }))
}

/// The cache; none if it is off, or this start only looks for errors.
fn cache(surroundings: &Surroundings<'_>, faults: &mut Faults) -> Option<Rc<Cache>> {
    if !faults.may_create() {
        return None;
    }
    faults.keep(surroundings.state.cache(&surroundings.process.proxy_cache)).flatten()
}

/// Where the responses of proxies are stored, and in at most how many bytes; none if they aren't.
pub(super) fn describe_cache(config: &Config) -> Option<String> {
    let is_stored = |route: &Route| matches!(&route.handler, Some(Handler::Proxy(proxy)) if proxy.cache.is_some());
    let stores = |host: &Host| host.is_forward_proxy() || host.routes.iter().any(is_stored);
    let cache = &config.process.proxy_cache;
    (cache.place != CachePlace::Off && config.hosts.iter().any(stores)).then(|| cache.to_string())
}

fn upstream(url: &UpstreamUrl, process: &Process) -> Result<Upstream, String> {
    let client = |host| process.upstream_trust.client(host, &["http/1.1"]);
    let (addresses, tls) = match url {
        UpstreamUrl::Unix(path) => (Addresses::at(Endpoint::Unix(path.clone())), None),
        UpstreamUrl::Tcp(Server { is_https, host, port }) => {
            let addresses = names::resolve(host, *port).map_err(|error| error.to_string())?;
            let tls = is_https.then(|| client(host)).transpose()?;
            let tls = tls.map(|client| client.with_key_log(process.tap.key_log(None)));
            (Addresses::known(host, *port, addresses), tls)
        }
    };
    Ok(Upstream::new(url.to_string(), url.server(), addresses, tls, process.upstream_timeouts))
}
