//! What the cache has for a request (RFC 9111 §4).
//!
//! ```text
//! look up ─┬─ it may be sent ─▶ Stored
//!          ├─ nothing, stale ──▶ Ask: the upstream, perhaps with conditions
//!          ├─ on the disk ─────▶ Wait: the store wakes, and it is looked up again
//!          └─ asked for ───────▶ Wait: for the head of that response. It is stored: Stored;
//!                                it isn't: Ask
//! ```
//!
//! If the request that others wait for was given up, one of them is sent in its place. If its response
//! wasn't stored, or there was none, all of them are sent.

use std::rc::Rc;

use super::asking::{Fetch, Plan, Resource, Wanted};
use super::exchange::{Exchange, Facts, Turn};
use crate::cache::{EntryId, Found, Load, Response};
use crate::http::caching::{self, Decision, Handling, Lookup, Reason};
use crate::http::head::Method;
use crate::limits;
use crate::reactor::Tick;
use crate::service::proxy::{CachePlace, CacheRules};

/// What the cache has for a request.
pub(super) enum Looked {
    /// This response, to be sent in this way.
    Stored(Sent),
    /// Nothing that may be sent, and no other is wanted (`only-if-cached`).
    Unavailable,
    /// Nothing that may be sent: an upstream is to be asked.
    Ask(Fetch),
    /// It isn't known yet.
    Wait(Waits),
}

impl Looked {
    /// What came of it, as the figures call it; none if it isn't known yet.
    pub(super) fn result(&self) -> Option<&'static str> {
        match self {
            Self::Stored(Sent { handling: Handling::Hit, .. }) => Some("hit"),
            Self::Stored(_) => Some("collapsed"),
            Self::Unavailable => Some("unavailable"),
            Self::Ask(fetch) => Some(fetch.reason.token()),
            Self::Wait(_) => None,
        }
    }
}

/// How a stored response is sent.
pub(super) struct Sent {
    pub(super) response: Rc<Response>,
    pub(super) handling: Handling,
    /// It is stale, and is to be validated beside this.
    pub(super) validation: Option<Fetch>,
}

/// What a look-up waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// The disk.
    Disk,
    /// The head of the response to another request; it would be sent itself for this reason.
    Head(Reason),
}

/// A request whose look-up waits.
pub(super) struct LookingUp {
    pub(super) head: Vec<u8>,
    pub(super) facts: Facts,
    pub(super) plan: Plan,
    pub(super) history: History,
    /// What was waited for may be there.
    is_woken: bool,
    until: Tick,
}

/// What a look-up has waited for.
#[derive(Clone, Copy, Default)]
pub(super) struct History {
    /// Since when it waits.
    since: Option<Tick>,
    /// Why it would have been sent when it began to wait for another request, if it did.
    collapsed: Option<Reason>,
}

impl History {
    /// How a request that is answered with what is stored was handled.
    fn handling(self) -> Handling {
        let collapsed = |why| Handling::Forwarded { why, status: None, stored: false, collapsed: Some(true) };
        self.collapsed.map_or(Handling::Hit, collapsed)
    }
}

impl LookingUp {
    /// A look-up that waits.
    pub(super) fn new(exchange: &Exchange<'_>, plan: Plan, waits: Waits, history: History, now: Tick) -> Self {
        let since = history.since.unwrap_or(now);
        let waited = if let Waits::Head(reason) = waits { Some(reason) } else { None };
        let collapsed = history.collapsed.or(waited);
        Self {
            head: exchange.head.raw.to_vec(),
            facts: exchange.facts.clone(),
            plan,
            history: History { since: Some(since), collapsed },
            is_woken: false,
            until: since.after(limits::CACHE_WAIT),
        }
    }

    /// What it waits for may be there.
    pub(super) fn woken(&mut self) {
        self.is_woken = true;
    }

    /// Until when it waits; none if it is to be looked up again now.
    pub(super) fn waits_until(&self, now: Tick) -> Option<Tick> {
        (!self.is_woken && now < self.until).then_some(self.until)
    }

    /// Bytes of memory that it holds beyond its own size.
    pub(super) fn memory(&self) -> usize {
        let path = self.facts.path_memory();
        self.head.capacity() + path + self.plan.memory()
    }
}

/// Looks up what the cache has for a request.
pub(super) fn look_up(
    exchange: &Exchange<'_>,
    plan: &Plan,
    rules: &Rc<CacheRules>,
    history: History,
    turn: &mut Turn<'_, '_>,
) -> Looked {
    let mut scratch = std::mem::take(&mut turn.cx.shared.http.scratch);
    write_uri(exchange, plan, &mut scratch);
    let looked = look_up_uri(exchange, rules, &scratch, history, turn);
    scratch.clear();
    turn.cx.shared.http.scratch = scratch;
    looked
}

fn look_up_uri(
    exchange: &Exchange<'_>,
    rules: &Rc<CacheRules>,
    uri: &[u8],
    history: History,
    turn: &Turn<'_, '_>,
) -> Looked {
    let request = caching::Request::from(exchange.head);
    let (handle, time) = (turn.cx.handle, turn.cx.time);
    let mut store = rules.cache.store.borrow_mut();
    let key = store.key(uri);
    let fetch = |reason: Reason, stored: Option<(EntryId, Rc<Response>)>| {
        let place = CachePlace { rules: Rc::clone(rules), uri: uri.into(), key, stored };
        Fetch { place, reason, has_waited: history.collapsed.is_some(), guard: None }
    };
    if rules.is_bypassed(&request.fields) {
        return Looked::Ask(fetch(Reason::Bypass, None));
    }
    let is_late = history.since.is_some_and(|since| time.now >= since.after(limits::CACHE_WAIT));
    let found = store.find(key, &request.fields);
    let entry = if let Found::Entry(id) = found { Some(id) } else { None };
    let freshness = entry.and_then(|id| store.freshness(id));
    let lookup = match (&freshness, found) {
        (Some(freshness), _) => Lookup::Found(freshness),
        (None, Found::OtherVariants) => Lookup::OtherVariants,
        (None, _) => Lookup::Nothing,
    };
    let decision = caching::decide(&request, lookup, time.unix_seconds, &rules.settings);
    let mut load = |id: EntryId| match store.load(id, uri, handle) {
        Load::Ready(response) => Ok(Some(response)),
        Load::Pending if !is_late => Err(Looked::Wait(Waits::Disk)),
        Load::Pending | Load::Gone => Ok(None),
    };
    let reason = match (decision, entry) {
        (Decision::Unavailable, _) => return Looked::Unavailable,
        (Decision::Forward(reason @ (Reason::Method | Reason::Bypass)), _) => return Looked::Ask(fetch(reason, None)),
        (Decision::Forward(reason), Some(id)) => match load(id) {
            Err(wait) => return wait,
            Ok(stored) => {
                drop(store);
                return ask_or_join(fetch(reason, stored.map(|stored| (id, stored))), &request, is_late, turn);
            }
        },
        (Decision::Forward(reason), None) => reason,
        (Decision::Serve { validate, .. }, Some(id)) => match load(id) {
            Err(wait) => return wait,
            Ok(Some(response)) => {
                let validation = validate.then(|| fetch(Reason::Stale, Some((id, Rc::clone(&response)))));
                return Looked::Stored(Sent { response, handling: history.handling(), validation });
            }
            Ok(None) => Reason::UriMiss,
        },
        (Decision::Serve { .. }, None) => Reason::UriMiss,
    };
    drop(store);
    ask_or_join(fetch(reason, None), &request, is_late, turn)
}

/// Joins a request that is under way, or asks.
fn ask_or_join(mut fetch: Fetch, request: &caching::Request<'_>, is_late: bool, turn: &Turn<'_, '_>) -> Looked {
    let time = turn.cx.time;
    let rules = Rc::clone(&fetch.place.rules);
    let is_shareable = request.method == Method::Get && fetch.reason != Reason::Request;
    if is_shareable && let Some(response) = growing(&fetch, request, time.unix_seconds) {
        let handling = Handling::Forwarded { why: fetch.reason, status: None, stored: false, collapsed: Some(true) };
        return Looked::Stored(Sent { response, handling, validation: None });
    }
    fetch.guard = match is_shareable && !is_late {
        true => match rules.cache.begin_fetch(fetch.place.key, turn.cx.handle, time.now) {
            Some(guard) => Some(guard),
            None => return Looked::Wait(Waits::Head(fetch.reason)),
        },
        false => (request.method == Method::Get).then(|| rules.cache.fetch_alone(fetch.place.key)),
    };
    Looked::Ask(fetch)
}

/// A response that is being stored, and may be sent for this request.
fn growing(fetch: &Fetch, request: &caching::Request<'_>, now: i64) -> Option<Rc<Response>> {
    let store = fetch.place.rules.cache.store.borrow();
    let response = store.growing(store.filling(fetch.place.key, &request.fields)?)?;
    // What has no length may be too long in the end.
    response.length()?;
    let decision = caching::decide(request, Lookup::Found(response.freshness()), now, &fetch.place.rules.settings);
    matches!(decision, Decision::Serve { .. }).then(|| Rc::clone(response))
}

/// The URI of a request, which is its key: scheme, host and port, path and query. All that the upstream
/// is told of them is in it.
fn write_uri(exchange: &Exchange<'_>, plan: &Plan, out: &mut Vec<u8>) {
    let (head, asked) = (exchange.head, &exchange.head.target);
    let is_https = match &plan.textbook {
        Some(server) => {
            out.extend_from_slice(server.origin().as_bytes());
            if let Wanted::Response(Resource::Named(target)) = &plan.wanted {
                out.extend_from_slice(target);
            }
            return;
        }
        None if plan.proxy.is_forward => asked.is_https,
        None => exchange.facts.secure,
    };
    out.extend_from_slice(if is_https { b"https://" } else { b"http://" });
    let host = head.host().unwrap_or_default();
    // The usual port is the same as none, and the root of DNS may be written or not.
    let usual: &[u8] = if is_https { b":443" } else { b":80" };
    let host = host.strip_suffix(usual).or_else(|| host.strip_suffix(b":")).unwrap_or(host);
    let (name, port) = match memchr::memrchr(b':', host) {
        Some(colon) if !host.ends_with(b"]") => host.split_at(colon),
        _ => (host, &b""[..]),
    };
    let name = name.strip_suffix(b".").unwrap_or(name);
    let start = out.len();
    out.extend_from_slice(name);
    out.extend_from_slice(port);
    out[start..].make_ascii_lowercase();
    out.extend_from_slice(asked.path);
    if let Some(query) = asked.query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
}
