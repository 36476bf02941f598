//! The handler of requests that other servers answer. What follows is in `proxied`.

use std::rc::Rc;

use super::asking::{Arrived, Fetch, Plan, Resource, Wanted};
use super::coding::Coding;
use super::exchange::{Exchange, Facts, Turn};
use super::lookup::{self, History, Looked, LookingUp, Sent};
use super::proxied::{Over, Proxied};
use super::received::{own_location, received, stamp_of};
use super::rejects::NOT_STORED;
use super::respond::{self, refuse, refuse_with, send};
use super::state::{Progress, State};
use super::stored;
use super::tunnel::Tunnel;
use crate::app::Response;
use crate::http::caching::NAME;
use crate::http::compressing::Traits;
use crate::http::head::Method;
use crate::http::proxying::{UpstreamFailure, forwards_left, has_passed_here, is_offered_change, offered_protocols};
use crate::http::{FieldLines, Reject, Status, head};
use crate::reactor::Io;
use crate::service::proxy::{Answer, CacheRules, ExchangeId, Kept, Proxy, ToUpstream, Upstream, ask_beside};
use crate::service::{Cx, Message};

/// Asks an upstream of a route.
pub(super) fn respond(exchange: &Exchange<'_>, proxy: &Rc<Proxy>, mount: usize, turn: &mut Turn<'_, '_>) -> Progress {
    let plan = Plan {
        proxy: Rc::clone(proxy),
        wanted: Wanted::Response(if proxy.strip { Resource::Below(mount) } else { Resource::Asked }),
        textbook: None,
        fetch: None,
    };
    ask(exchange, plan, turn)
}

/// Responds from the cache, or asks an upstream.
pub(super) fn ask(exchange: &Exchange<'_>, plan: Plan, turn: &mut Turn<'_, '_>) -> Progress {
    if has_passed_here(&exchange.head.fields, &plan.proxy.pseudonym) {
        return fail(exchange, UpstreamFailure::Loop, turn);
    }
    if forwards_left(exchange.head) == Some(0) {
        return answer_as_last(exchange, turn);
    }
    let is_request = matches!(plan.wanted, Wanted::Response(_)) && offered_protocols(exchange.head).is_none();
    match plan.proxy.cache.clone().filter(|_| is_request) {
        Some(rules) => look_up(exchange, plan, &rules, History::default(), turn),
        None => forward(exchange, plan, turn),
    }
}

/// Responds to OPTIONS and TRACE that may not be passed on.
fn answer_as_last(exchange: &Exchange<'_>, turn: &mut Turn<'_, '_>) -> Progress {
    if exchange.head.method == Method::Options {
        return send(exchange, Response::new(Status::NO_CONTENT), turn);
    }
    // It would tell what others have added to the request.
    let reject = Reject::new(Status::METHOD_NOT_ALLOWED, "TRACE is passed on, but not answered here");
    refuse_with(exchange, reject, b"Allow: OPTIONS\r\n", turn)
}

/// Looks up what the cache has.
fn look_up(
    exchange: &Exchange<'_>,
    mut plan: Plan,
    rules: &Rc<CacheRules>,
    history: History,
    turn: &mut Turn<'_, '_>,
) -> Progress {
    let looked = lookup::look_up(exchange, &plan, rules, history, turn);
    if let Some(result) = looked.result() {
        rules.cache.count(result);
    }
    match looked {
        Looked::Stored(Sent { response, handling, validation }) => {
            if let Some(fetch) = validation {
                validate(exchange, &mut plan, fetch, turn);
            }
            stored::send(exchange, &plan, response, handling, turn)
        }
        Looked::Unavailable => refuse(exchange, NOT_STORED, turn),
        Looked::Ask(fetch) => {
            plan.fetch = Some(Box::new(fetch));
            forward(exchange, plan, turn)
        }
        Looked::Wait(waits) => {
            let looking = LookingUp::new(exchange, plan, waits, history, turn.cx.time.now);
            Progress::Pending(State::LookingUp(Box::new(looking)))
        }
    }
}

/// Looks up again, after a wait.
pub(super) fn look_again(looking: LookingUp, request: u32, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Progress {
    let LookingUp { head, facts, plan, history, .. } = looking;
    let mut lines = FieldLines::default();
    let head = head::parse_again(&head, &mut lines);
    let turn = &mut Turn::new(io.output, io.ends, request, cx);
    let exchange = Exchange { head: &head, facts };
    match plan.proxy.cache.clone() {
        Some(rules) => look_up(&exchange, plan, &rules, history, turn),
        None => forward(&exchange, plan, turn),
    }
}

/// Has a stored response validated, while it is sent. Nobody waits for that.
fn validate(exchange: &Exchange<'_>, plan: &mut Plan, fetch: Fetch, turn: &mut Turn<'_, '_>) {
    let now = turn.cx.time.now;
    if !fetch.place.rules.cache.begin_validation(fetch.place.key, now) {
        return;
    }
    let id = ExchangeId { client: turn.cx.handle, request: turn.request };
    let Some(in_flight) = plan.proxy.take(&[], id, now) else { return };
    plan.fetch = Some(Box::new(fetch));
    let ask = plan.ask(exchange.head, in_flight.upstream(), &exchange.facts, turn.ends, turn.cx);
    ask_beside(in_flight.upstream(), ask, turn.cx);
}

/// Asks an upstream.
fn forward(exchange: &Exchange<'_>, plan: Plan, turn: &mut Turn<'_, '_>) -> Progress {
    let id = ExchangeId { client: turn.cx.handle, request: turn.request };
    match plan.proxy.choose(&[], id, turn.cx.time.now) {
        Err(failure) => fail(exchange, failure, turn),
        Ok(chosen) => Progress::Pending(State::Proxied(Proxied::begin(exchange, plan, chosen, turn))),
    }
}

/// Writes the head of the response of an upstream. Returns what follows in its place.
pub(super) fn pass_on(
    proxied: &mut Proxied,
    answer: &Answer,
    request: u32,
    io: &mut Io<'_>,
    cx: &mut Cx<'_>,
) -> Option<Over> {
    if let Some(fetch) = proxied.fetch_mut().filter(|_| !matches!(answer.kept, Kept::Copying(_))) {
        // Those who wait for it can look for it now; for a copy when it is whole.
        fetch.guard = None;
    }
    // It is likely to be known still.
    let number = cx.handle.number();
    let mut lines = cx.shared.http.recent.take(number);
    let over = write_head(proxied, answer, request, &mut lines, io, cx);
    cx.shared.http.recent.put(number, lines);
    over
}

fn write_head(
    proxied: &mut Proxied,
    answer: &Answer,
    request: u32,
    lines: &mut FieldLines,
    io: &mut Io<'_>,
    cx: &mut Cx<'_>,
) -> Option<Over> {
    let (head, facts) = proxied.parts();
    let head = head::parse_again(head, lines);
    // The rest of the content may still be read. If it isn't, the connection closes unannounced.
    let mut exchange = Exchange { head: &head, facts: Facts { unread: None, ..facts.clone() } };
    let plan = proxied.plan();
    if let Some(fetch) = &plan.fetch {
        match fetch.arrived(&head, answer, |location| own_location(&exchange, plan, location)) {
            Arrived::Stored(response, handling) => return Some(Over::Stored(response, handling)),
            Arrived::Unconfirmed => {
                proxied.ask_again(io.ends, cx);
                return None;
            }
            Arrived::Passes(lines) => {
                exchange.facts.lines = Some([exchange_lines(facts), &lines].concat().into());
            }
        }
    }
    let upstream = proxied.upstream().map(Rc::clone);
    let turn = &mut Turn::new(io.output, io.ends, request, cx);
    turn.upstream = upstream.as_deref().map(url);
    let fields = answer.fields.fields();
    let stamp = stamp_of(&fields, turn);
    let traits = Traits::of(answer.status, fields.iter());
    let mut coding = Coding::decide(&exchange, traits, traits.whole(answer.length)).in_pieces(turn);
    let coder = coding.coder.take();
    let fields = coding.fields(received(&exchange, proxied.plan(), &fields));
    let length = coding.length(answer.length);
    let (form, persistent) = respond::begin_at(&exchange, answer.status, fields, length, &stamp, turn);
    let body = respond::begin_body(&exchange, answer.status, form, turn).with(coder);
    proxied.send(persistent, body);
    None
}

/// The field lines for this response alone.
fn exchange_lines(facts: &Facts) -> &[u8] {
    match &facts.lines {
        Some(lines) => lines,
        None => &facts.policy().further,
    }
}

/// Responds in place of an upstream, or begins a tunnel.
pub(super) fn conclude(proxied: Proxied, over: Over, request: u32, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Progress {
    let (head, facts, plan, link) = proxied.into_parts();
    let upstream = link.chosen.upstream().map(Rc::clone);
    let mut lines = FieldLines::default();
    let head = head::parse_again(&head, &mut lines);
    let exchange = Exchange { head: &head, facts };
    let turn = &mut Turn::new(io.output, io.ends, request, cx);
    turn.upstream = upstream.as_deref().map(url);
    match over {
        Over::Refused(reject) => refuse(&exchange, reject, turn),
        Over::Failed(failure) => match plan.fetch.as_ref().and_then(|fetch| fetch.failed(&head, turn.cx.time)) {
            Some((response, handling)) => stored::send(&exchange, &plan, response, handling, turn),
            None => fail(&exchange, failure, turn),
        },
        Over::Stored(response, handling) => {
            // If it isn't the one that the upstream sends, nobody wants that. Else it goes on.
            turn.cx.send(link.connection, Message::ToUpstream(link.id, ToUpstream::Cancel));
            stored::send(&exchange, &plan, response, handling, turn)
        }
        Over::Tunnel(status, fields) => {
            let fields = fields.fields();
            if status == Status::SWITCHING_PROTOCOLS && !is_offered_change(&head, &fields) {
                turn.cx.send(link.connection, Message::ToUpstream(link.id, ToUpstream::Cancel));
                return fail(&exchange, UpstreamFailure::Malformed("a change of protocol that wasn't offered"), turn);
            }
            let stamp = stamp_of(&fields, turn);
            let body = respond::begin_tunnel(&exchange, status, received(&exchange, &plan, &fields), &stamp, turn);
            let timeout = upstream.as_ref().map_or_else(Default::default, |upstream| upstream.timeouts()).tunnel;
            let queue = Rc::clone(&plan.proxy.queue);
            Progress::Pending(State::Tunnel(Box::new(Tunnel::new(link, queue, timeout, body, turn.cx.time.now))))
        }
    }
}

/// Responds after a failure of an upstream, and says which it was in Proxy-Status (RFC 9209).
fn fail(exchange: &Exchange<'_>, failure: UpstreamFailure, turn: &mut Turn<'_, '_>) -> Progress {
    let line = format!("Proxy-Status: {NAME}; error={}\r\n", failure.token());
    refuse_with(exchange, failure.reject(), line.as_bytes(), turn)
}

fn url(upstream: &Upstream) -> &str {
    &upstream.url
}
