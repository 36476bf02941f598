//! What a gateway asks an upstream for: a response to the request as it is passed on, or a connection.

use std::rc::Rc;

use super::Cx;
use crate::http::FieldLines;
use crate::http::client::RequestKind;
use crate::http::framing::Framing;
use crate::http::head;
use crate::http::proxying::{ForwardedRequest, HostChoice, Sender, Server, offered_protocols};
use crate::reactor::Ends;
use crate::service::proxy::{Ask, Content, Proxy, ToUpstream, Upstream};

/// What an upstream is wanted for.
pub(super) enum Wanted {
    /// A response to the request, for this path and query, encoded.
    Response(Vec<u8>),
    /// A connection, through which bytes pass unchanged (CONNECT). The request has no content.
    Tunnel,
}

/// What is asked of which upstreams.
pub(super) struct Plan {
    pub(super) proxy: Rc<Proxy>,
    pub(super) wanted: Wanted,
    /// The client takes a forward proxy for a web server, and asks for a resource of this one.
    pub(super) textbook: Option<Box<Server>>,
}

impl Plan {
    /// Bytes of memory that it holds beyond its own size.
    pub(super) fn memory(&self) -> usize {
        if let Wanted::Response(target) = &self.wanted { target.capacity() } else { 0 }
    }

    /// What the upstream is told, for a request with this head from a client with these ends.
    pub(super) fn ask(
        &self,
        head: &[u8],
        upstream: &Upstream,
        is_secure: bool,
        ends: Ends<'_>,
        cx: &Cx<'_>,
    ) -> ToUpstream {
        let Wanted::Response(target) = &self.wanted else { return ToUpstream::Connect };
        let mut lines = FieldLines::default();
        let head = &head::parse_again(head, &mut lines);
        let (content, length) = match head.framing {
            Framing::None => (Content::None, None),
            Framing::Length(bytes) => (Content::Plain, Some(Some(bytes))),
            Framing::Chunked => (Content::Chunked, Some(None)),
        };
        let upgrade = offered_protocols(head);
        let mut bytes = Vec::with_capacity(head.raw.len() + 256);
        let peer = ends.peer().map(|peer| peer.ip());
        let sender = Sender { peer, is_trusted: cx.shared.http.proxies.trust(peer), is_secure };
        ForwardedRequest {
            head,
            target,
            host: match self.proxy.own_host {
                true => HostChoice::Upstream(upstream.authority.as_bytes()),
                false => HostChoice::Kept,
            },
            sender: (!self.proxy.is_forward).then_some(sender),
            // All servers have the same origin there, so the cookies of one would be sent to the others.
            is_left_out: if self.textbook.is_some() { is_cookie } else { |_| false },
            further: b"",
            pseudonym: &self.proxy.pseudonym,
            length,
            upgrade: upgrade.as_deref(),
        }
        .write(&mut bytes);
        let kind = if upgrade.is_some() { RequestKind::Upgrade } else { RequestKind::of(head.method_name) };
        ToUpstream::Ask(Box::new(Ask { head: bytes, content, kind }))
    }
}

fn is_cookie(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"cookie")
}
