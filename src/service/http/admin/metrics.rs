//! The figures of the server.
//!
//! They are written at once, from what is counted anyway. So that this takes no longer than a
//! large listing, the hosts beyond a limit are counted together.

use std::collections::BTreeMap;

use super::process;
use crate::files::CacheFigures;
use crate::limits;
use crate::metrics::{Exposition, Format, Kind};
use crate::reactor::JobClass;
use crate::service::Cx;
use crate::service::http::counts::{Refusal, Timeout};
use crate::service::http::host::Host;
use crate::service::http::shared::Shared;
use crate::service::proxy::{Cache, Upstream};
use crate::session::Store;

const MICROSECONDS: f64 = 1e6;

/// Writes all figures.
pub(super) fn write(cx: &Cx<'_>, format: Format) -> String {
    let mut out = Exposition::new(format);
    let version = &[("version", env!("CARGO_PKG_VERSION"))];
    out.begin("miod_build_info", Kind::Gauge, "The version of the program.");
    out.sample(version, 1);
    let http = &cx.shared.http;
    requests(&mut out, http);
    connections(&mut out, cx);
    tls(&mut out, cx);
    let caches: Vec<CacheFigures> = http.trees().iter().map(|tree| tree.borrow().cache_figures()).collect();
    memory(&mut out, &caches, cx);
    files(&mut out, &caches);
    sessions(&mut out, http);
    applications(&mut out, http);
    upstreams(&mut out, http);
    if let Some(cache) = &http.cache {
        stored_responses(&mut out, cache);
    }
    the_loop(&mut out, cx);
    operation(&mut out, cx);
    process::write(&mut out, http.operation.started, cx.connections());
    out.finish()
}

/// The name of a host in labels.
fn label(host: &Host) -> &str {
    if host.name.is_empty() { "_default" } else { &host.name }
}

fn requests(out: &mut Exposition, http: &Shared) {
    let help = "Requests, by host, method and class of the status.";
    out.begin("miod_http_requests", Kind::Counter, help);
    let web = http.web.all();
    let mut hosts: Vec<(&str, &Host)> = web.iter().map(|host| (label(host), &**host)).collect();
    hosts.push(("_unknown", http.web.nobody()));
    hosts.extend([("_kv", &**http.kv.default_host()), ("_admin", http.admin.default_host())]);
    let mut others: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut seen = 0;
    for (label, host) in hosts {
        let is_apart = host.counts.all().next().is_some() && {
            seen += 1;
            seen <= limits::COUNTED_HOSTS
        };
        for (method, code, count) in host.counts.all() {
            if is_apart {
                out.sample(&[("host", label), ("method", method), ("code", code)], count);
            } else {
                *others.entry((method, code)).or_default() += count;
            }
        }
    }
    for ((method, code), count) in others {
        out.sample(&[("host", "_other"), ("method", method), ("code", code)], count);
    }
    let counts = &http.counts;
    let help = "From the first byte of a request to the last of its response.";
    out.histogram("miod_http_request_duration_seconds", help, &counts.durations, MICROSECONDS);
    let help = "Content of responses, as it was to be sent.";
    out.histogram("miod_http_response_size_bytes", help, &counts.sizes, 1.0);
    out.one("miod_http_malformed_requests", Kind::Counter, "Input that is no request.", counts.malformed);
    let help = "Content of responses that were compressed on their way, before that.";
    out.one("miod_http_compressed_from_bytes", Kind::Counter, help, counts.coded_from);
    let help = "What became of it.";
    out.one("miod_http_compressed_to_bytes", Kind::Counter, help, counts.coded_to);
    out.begin("miod_http_timeouts", Kind::Counter, "Connections and requests that took too long.");
    for timeout in Timeout::ALL {
        out.sample(&[("kind", timeout.name())], counts.timeouts[timeout as usize]);
    }
}

fn connections(out: &mut Exposition, cx: &Cx<'_>) {
    let (figures, http) = (cx.figures(), &cx.shared.http);
    out.begin("miod_http_connections", Kind::Gauge, "Connections that speak HTTP, by what they do.");
    for (phase, count) in http.census.all() {
        out.sample(&[("phase", phase)], count);
    }
    out.one("miod_connections", Kind::Gauge, "Connections, also those to stores.", cx.connections());
    let help = "Most connections; further ones get 503.";
    out.one("miod_connections_limit", Kind::Gauge, help, figures.limits.0);
    out.one("miod_connections_accepted", Kind::Counter, "Connections that were accepted.", figures.accepted);
    out.one("miod_connections_made", Kind::Counter, "Connections to other servers.", figures.dialled);
    out.one("miod_connections_closed", Kind::Counter, "Connections that have ended.", figures.closed);
    let help = "Connections whose requests get 503, by the reason.";
    out.begin("miod_connections_refused", Kind::Counter, help);
    for refusal in Refusal::ALL {
        out.sample(&[("reason", refusal.name())], http.counts.refused[refusal as usize]);
    }
    let help = "Connections that were closed because the peer reads too slowly.";
    out.one("miod_connections_slow_readers", Kind::Counter, help, figures.slow_readers);
    let help = "Connections that were closed for want of memory.";
    out.one("miod_connections_out_of_memory", Kind::Counter, help, figures.out_of_memory);
    let help = "Times when the system had no descriptor for a connection.";
    out.one("miod_connections_out_of_descriptors", Kind::Counter, help, figures.starved);
    let help = "Bytes of requests, without those of TLS.";
    out.one("miod_received_bytes", Kind::Counter, help, figures.received);
    out.one("miod_sent_bytes", Kind::Counter, "Bytes that were sent, with those of TLS.", figures.sent);
}

fn tls(out: &mut Exposition, cx: &Cx<'_>) {
    let figures = cx.figures();
    out.begin("miod_tls_handshakes", Kind::Counter, "Complete handshakes of TLS.");
    for (resumed, count) in ["no", "yes"].into_iter().zip(figures.handshakes) {
        out.sample(&[("resumed", resumed)], count);
    }
    let help = "Handshakes of TLS that failed.";
    out.one("miod_tls_failed_handshakes", Kind::Counter, help, figures.failed_handshakes);
}

fn memory(out: &mut Exposition, caches: &[CacheFigures], cx: &Cx<'_>) {
    let http = &cx.shared.http;
    let cached = caches.iter().map(|cache| cache.memory as u64).sum();
    let stored = &http.admin.default_host().sessions;
    let sessions = if let Store::Memory(memory) = &*stored.sessions.store() { memory.size() as u64 } else { 0 };
    out.begin("miod_memory_bytes", Kind::Gauge, "Memory that is limited, by what holds it.");
    for (kind, bytes) in [
        ("connections", cx.figures().held as u64),
        ("files", cached),
        ("sessions", sessions),
        ("rates", http.rates.memory() as u64),
    ] {
        out.sample(&[("kind", kind)], bytes);
    }
    let help = "Most memory that connections may hold.";
    out.one("miod_memory_limit_bytes", Kind::Gauge, help, cx.figures().limits.1);
}

fn files(out: &mut Exposition, caches: &[CacheFigures]) {
    let sum = |of: fn(&CacheFigures) -> u64| caches.iter().map(of).sum::<u64>();
    let (hits, misses) = (sum(|cache| cache.hits), sum(|cache| cache.misses));
    let (entries, descriptors) = (sum(|cache| cache.entries as u64), sum(|cache| cache.descriptors as u64));
    out.one("miod_file_cache_hits", Kind::Counter, "Files that were in the cache.", hits);
    out.one("miod_file_cache_misses", Kind::Counter, "Files that were not in the cache.", misses);
    out.one("miod_file_cache_entries", Kind::Gauge, "Files in the cache.", entries);
    out.one("miod_file_cache_descriptors", Kind::Gauge, "Files that the cache keeps open.", descriptors);
}

fn sessions(out: &mut Exposition, http: &Shared) {
    let stored = &http.admin.default_host().sessions;
    if let Some(link) = &stored.link {
        let help = "Whether the remote session store could be reached last.";
        out.one("miod_session_store_up", Kind::Gauge, help, u8::from(!link.is_failing()));
    }
    match &*stored.sessions.store() {
        Store::Memory(memory) => out.one("miod_sessions", Kind::Gauge, "Sessions in memory.", memory.len()),
        Store::Remote(pending) => {
            let help = "Operations that wait for the remote session store.";
            out.one("miod_session_store_waiting", Kind::Gauge, help, pending.len());
        }
        Store::Signed(_) | Store::Disk(_) => {}
    }
}

fn applications(out: &mut Exposition, http: &Shared) {
    let help = "What applications say about themselves, by their paths.";
    out.begin("miod_application_figures", Kind::Gauge, help);
    let (web, kv) = (http.web.all(), http.kv.all());
    let hosts = web.iter().map(|host| (label(host), host)).chain(kv.iter().map(|host| ("_kv", host)));
    for (label, host) in hosts.take(limits::COUNTED_HOSTS) {
        for (prefix, app) in host.routes.mounted() {
            for (name, value) in app.figures() {
                out.sample(&[("host", label), ("path", path_of(prefix)), ("name", name)], value);
            }
        }
    }
}

fn upstreams(out: &mut Exposition, http: &Shared) {
    let web = http.web.all();
    let all = || {
        let routes = web
            .iter()
            .take(limits::COUNTED_HOSTS)
            .flat_map(|host| host.routes.proxies().map(|(prefix, proxy)| (label(host), path_of(prefix), proxy)));
        routes.flat_map(|(host, path, proxy)| proxy.upstreams.iter().map(move |upstream| (host, path, upstream)))
    };
    let mut figure = |name: &str, kind: Kind, help: &str, of: fn(&Upstream) -> u64| {
        out.begin(name, kind, help);
        for (host, path, upstream) in all() {
            out.sample(&[("host", host), ("path", path), ("upstream", &upstream.url)], of(upstream));
        }
    };
    let help = "Whether an upstream works: no check has taken it out, and it isn't spared after a failure.";
    figure("miod_upstream_up", Kind::Gauge, help, |upstream| u64::from(upstream.is_up()));
    let help = "Requests that an upstream has not answered completely.";
    figure("miod_upstream_requests_in_flight", Kind::Gauge, help, |upstream| upstream.in_flight() as u64);
    let help = "Connections to an upstream, requests and checks that failed.";
    figure("miod_upstream_failures", Kind::Counter, help, Upstream::failures);
}

/// The path of a route, as operators write it.
fn path_of(prefix: &str) -> &str {
    if prefix.is_empty() { "/" } else { prefix }
}

fn stored_responses(out: &mut Exposition, cache: &Cache) {
    let figures = cache.figures();
    let help = "Requests that were looked up in the cache of the proxies, by what came of it.";
    out.begin("miod_proxy_cache_requests", Kind::Counter, help);
    for (result, count) in cache.requests() {
        out.sample(&[("result", result)], count);
    }
    out.begin("miod_proxy_cache_loads", Kind::Counter, "Stored responses that were used, by where they were.");
    for (from, count) in [("memory", figures.memory_hits), ("disk", figures.disk_hits)] {
        out.sample(&[("from", from)], count);
    }
    out.one("miod_proxy_cache_entries", Kind::Gauge, "Stored responses.", figures.entries);
    out.begin("miod_proxy_cache_bytes", Kind::Gauge, "Bytes of stored responses, by where they are.");
    for (place, bytes) in [("memory", figures.memory), ("disk", figures.disk)] {
        out.sample(&[("place", place)], bytes);
    }
    out.one("miod_proxy_cache_growing", Kind::Gauge, "Responses that are being stored.", figures.growing);
    let help = "Stored responses that left for others.";
    out.one("miod_proxy_cache_evictions", Kind::Counter, help, figures.evictions);
    let help = "Responses that were not stored because too much was under way.";
    out.one("miod_proxy_cache_refused", Kind::Counter, help, figures.refused);
    let help = "Operations on the disk that failed, and damaged files.";
    out.one("miod_proxy_cache_errors", Kind::Counter, help, figures.errors);
    let help = "Whether the stored responses on the disk are not all known yet.";
    out.one("miod_proxy_cache_scanning", Kind::Gauge, help, u8::from(figures.scanning));
}

fn the_loop(out: &mut Exposition, cx: &Cx<'_>) {
    let help = "Passes over the event loop; a pass lets all others wait.";
    out.histogram("miod_loop_pass_duration_seconds", help, &cx.figures().passes, MICROSECONDS);
    out.begin("miod_jobs_waiting", Kind::Gauge, "Jobs that wait for a helper thread.");
    for class in JobClass::ALL {
        out.sample(&[("class", class.name())], cx.waiting_jobs(class));
    }
}

fn operation(out: &mut Exposition, cx: &Cx<'_>) {
    let (http, lost) = (&cx.shared.http, cx.shared.log.lost());
    out.begin("miod_log_lines_lost", Kind::Counter, "Lines of logs that could not be written.");
    for (log, lines) in [("access", lost.access), ("diagnostics", lost.diagnostics)] {
        out.sample(&[("log", log)], lines);
    }
    out.begin("miod_reloads", Kind::Counter, "Reloads of the configuration.");
    for (result, count) in ["success", "failure"].into_iter().zip(http.operation.reloads) {
        out.sample(&[("result", result)], count);
    }
    let is_store_away = http.admin.default_host().sessions.link.as_ref().is_some_and(|link| link.is_failing());
    let is_ready = super::obstacle(http, cx.draining).is_none() && !is_store_away;
    out.one("miod_ready", Kind::Gauge, "Whether requests should be sent here.", u8::from(is_ready));
    out.one("miod_draining", Kind::Gauge, "Whether the server is shutting down.", u8::from(cx.draining));
    let help = "Whether every request gets 503.";
    out.one("miod_maintenance", Kind::Gauge, help, u8::from(http.maintenance));
}
