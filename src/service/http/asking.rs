//! What a gateway asks an upstream for: a response to the request as it is passed on, or a connection.

use std::borrow::Cow;
use std::rc::Rc;

use super::exchange::Facts;
use crate::cache::Response;
use crate::http::Status;
use crate::http::caching::{self, Handling, Reason};
use crate::http::client::RequestKind;
use crate::http::framing::Framing;
use crate::http::head::{Method, RequestHead};
use crate::http::proxying::{ForwardedRequest, HostChoice, Sender, Server, offered_protocols};
use crate::http::target::{self, Form};
use crate::reactor::{Ends, Time};
use crate::service::Cx;
use crate::service::proxy::{Answer, Ask, CachePlace, Content, Fetching, Kept, Proxy, Storing, ToUpstream, Upstream};

/// What an upstream is wanted for.
pub(super) enum Wanted {
    /// A response to the request, for this resource.
    Response(Resource),
    /// A connection, through which bytes pass unchanged (CONNECT). The request has no content.
    Tunnel,
}

/// The path and query of a request, as the upstream gets them.
pub(super) enum Resource {
    /// Those of the client.
    Asked,
    /// Those of the client, without a prefix of so many decoded bytes.
    Below(usize),
    /// These, encoded.
    Named(Vec<u8>),
}

impl Resource {
    /// The request-target for the upstream.
    fn target<'a>(&'a self, head: &RequestHead<'a>) -> Cow<'a, [u8]> {
        let (mut target, asked) = (Vec::new(), &head.target);
        match self {
            Self::Named(target) => return Cow::from(target),
            Self::Asked if asked.form == Form::Origin => return Cow::from(head.raw_target),
            Self::Asked => target.extend_from_slice(asked.path),
            Self::Below(mount) => {
                let below = target::below(asked.path, *mount);
                if below.is_empty() {
                    target.push(b'/');
                }
                target.extend_from_slice(below);
            }
        }
        if let Some(query) = asked.query {
            target.push(b'?');
            target.extend_from_slice(query);
        }
        Cow::from(target)
    }
}

/// What the cache is to do with a request that is sent, and with its response.
pub(super) struct Fetch {
    pub(super) place: CachePlace,
    /// Why it is sent.
    pub(super) reason: Reason,
    /// It has waited for another request, in vain.
    pub(super) has_waited: bool,
    /// Other requests wait for the head of its response.
    pub(super) guard: Option<Fetching>,
}

impl Fetch {
    /// Whether the response may be stored, or change what is stored.
    fn may_store(&self, method: Method) -> bool {
        match self.reason {
            Reason::Bypass => false,
            Reason::Method => method == Method::Post,
            _ => true,
        }
    }

    /// How it was handled: it was sent. `status` is that of the origin's response, if the client gets another one.
    fn handling(&self, status: Option<Status>, stored: bool) -> Handling {
        Handling::Forwarded { why: self.reason, status, stored, collapsed: self.has_waited.then_some(false) }
    }

    /// The head of the response has come. `locate` maps a Location as the client gets it.
    pub(super) fn arrived<'a>(
        &self,
        head: &RequestHead<'_>,
        answer: &'a Answer,
        locate: impl Fn(&'a [u8]) -> Cow<'a, [u8]>,
    ) -> Arrived {
        if caching::invalidates(head.method, answer.status) {
            self.invalidate(answer, locate);
        }
        match &answer.kept {
            Kept::Growing(_, response) => Arrived::Stored(Rc::clone(response), self.handling(None, true)),
            Kept::Confirmed(response) => Arrived::Stored(Rc::clone(response), self.handling(Some(answer.status), true)),
            Kept::Stale(response) => Arrived::Stored(Rc::clone(response), self.handling(Some(answer.status), false)),
            Kept::Unconfirmed => Arrived::Unconfirmed,
            Kept::Copying(_) => Arrived::Passes(passed_lines(self.handling(None, true))),
            Kept::No => Arrived::Passes(passed_lines(self.handling(None, false))),
        }
    }

    /// There is no response: what is sent of the stored one, if it may be. Nobody waits for another failure.
    pub(super) fn failed(&self, head: &RequestHead<'_>, time: Time) -> Option<(Rc<Response>, Handling)> {
        self.place.note_unshared(time.now);
        let stored = self.place.usable_after(None, &caching::Request::from(head), time)?;
        Some((Rc::clone(stored), self.handling(None, false)))
    }

    /// What is stored for the URI isn't right any more, nor for others that the response names.
    fn invalidate<'a>(&self, answer: &'a Answer, locate: impl Fn(&'a [u8]) -> Cow<'a, [u8]>) {
        let mut store = self.place.rules.cache.store.borrow_mut();
        // One that is stored has replaced what there was.
        if !matches!(answer.kept, Kept::Growing(..) | Kept::Copying(_)) {
            store.remove_uri(self.place.key);
        }
        let Some(url) = self.place.url() else { return };
        let fields = answer.fields.fields();
        let locations = ["Location", "Content-Location"].into_iter().flat_map(|name| fields.all(name)).map(locate);
        for other in caching::further_targets(&url, locations) {
            let key = store.key(other.to_string().as_bytes());
            store.remove_uri(key);
        }
    }
}

/// The field lines about the cache of a response that is passed on.
fn passed_lines(handling: Handling) -> Vec<u8> {
    let mut lines = Vec::new();
    caching::write_cache_status(handling, None, &mut lines);
    lines.extend_from_slice(b"X-Cache: MISS\r\n");
    lines
}

/// What the head of a response means for the client.
pub(super) enum Arrived {
    /// It gets this stored response.
    Stored(Rc<Response>, Handling),
    /// The upstream says that something else is not modified: it is to be asked without conditions.
    Unconfirmed,
    /// It gets that response, with these field lines in addition.
    Passes(Vec<u8>),
}

/// What is asked of which upstreams.
pub(super) struct Plan {
    pub(super) proxy: Rc<Proxy>,
    pub(super) wanted: Wanted,
    /// The client takes a forward proxy for a web server, and asks for a resource of this one.
    pub(super) textbook: Option<Box<Server>>,
    /// What the cache is to do, if there is one.
    pub(super) fetch: Option<Box<Fetch>>,
}

impl Plan {
    /// The value of Via in responses. A gateway need not name itself there (RFC 9110 §7.6.3).
    pub(super) fn via(&self) -> Option<String> {
        self.proxy.is_forward.then(|| format!("1.1 {}", self.proxy.pseudonym))
    }

    /// Bytes of memory that it holds beyond its own size.
    pub(super) fn memory(&self) -> usize {
        if let Wanted::Response(Resource::Named(target)) = &self.wanted { target.capacity() } else { 0 }
    }

    /// What the upstream is told, for a request with this head from a client with these ends.
    pub(super) fn ask(
        &self,
        head: &RequestHead<'_>,
        upstream: &Upstream,
        facts: &Facts,
        ends: Ends<'_>,
        cx: &Cx<'_>,
    ) -> ToUpstream {
        let Wanted::Response(resource) = &self.wanted else { return ToUpstream::Connect };
        let (content, length) = match head.framing {
            Framing::None => (Content::None, None),
            Framing::Length(bytes) => (Content::Plain, Some(Some(bytes))),
            Framing::Chunked => (Content::Chunked, Some(None)),
        };
        let upgrade = offered_protocols(head);
        let is_stored = self.fetch.as_ref().filter(|fetch| fetch.may_store(head.method));
        let storing = is_stored.map(|fetch| Box::new(self.storing(fetch, head, cx)));
        let is_validation =
            head.method == Method::Get && storing.as_ref().is_some_and(|storing| storing.is_validation());
        let mut conditions = Vec::new();
        if let Some(storing) = storing.as_ref().filter(|_| is_validation) {
            storing.write_conditions(cx.time.unix_seconds, &mut conditions);
        }
        // All servers have the same origin there, so the cookies of one would be sent to the others.
        let hides_cookies = self.textbook.is_some();
        let is_left_out = |name: &[u8]| {
            (hides_cookies && name.eq_ignore_ascii_case(b"cookie")) || (is_validation && caching::is_left_out(name))
        };
        let mut bytes = Vec::with_capacity(head.raw.len() + 256);
        let peer = ends.peer().map(|peer| peer.ip());
        let sender = Sender { peer, is_trusted: cx.shared.http.proxies.trust(peer), is_secure: facts.secure };
        ForwardedRequest {
            head,
            target: &resource.target(head),
            host: match self.proxy.own_host {
                true => HostChoice::Upstream(upstream.authority.as_bytes()),
                false => HostChoice::Kept,
            },
            sender: (!self.proxy.is_forward).then_some(sender),
            is_left_out: &is_left_out,
            further: &conditions,
            pseudonym: &self.proxy.pseudonym,
            length,
            upgrade: upgrade.as_deref(),
        }
        .write(&mut bytes);
        let kind = if upgrade.is_some() { RequestKind::Upgrade } else { RequestKind::of(head.method_name) };
        ToUpstream::Ask(Box::new(Ask { head: bytes, content, kind, storing }))
    }

    /// How the response is stored.
    fn storing(&self, fetch: &Fetch, head: &RequestHead<'_>, cx: &Cx<'_>) -> Storing {
        Storing {
            place: fetch.place.clone(),
            request: head.raw.into(),
            requested: cx.time.now,
            queue: Rc::clone(&self.proxy.queue),
        }
    }
}
