//! One request and its response: everything about the request that is looked up once.
//!
//! [`resolve`](super::resolve) makes an [`Exchange`]; the following steps only read
//! it. A request that must wait keeps its [`Facts`] beside its head, and continues with
//! them. So nothing is looked up twice, and a reload meanwhile can't make a fact stale.

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

use super::access_log::{Details, Phases};
use super::admin::page::Page;
use super::fixed::{FixedResponse, Redirect};
use super::host::Host;
use super::rules::RuleSet;
use super::tree::Tree;
use crate::app::Methods;
use crate::app::boundary::Application;
use crate::files::CacheResult;
use crate::http::Reject;
use crate::http::basic::Asker;
use crate::http::framing::Framing;
use crate::http::head::{Method, RequestHead};
use crate::http::response::{HeadContext, Policy, RequestTraits, Stamp};
use crate::reactor::{Ends, Mark, Output, Tick};
use crate::service::Cx;
use crate::service::proxy::{Forward, Proxy};

/// A request whose head is parsed and resolved.
pub(super) struct Exchange<'a> {
    pub(super) head: &'a RequestHead<'a>,
    pub(super) facts: Facts,
}

/// The facts about a request. They hold until its response is written. A waiting request
/// keeps a copy.
#[derive(Clone)]
pub(super) struct Facts {
    pub(super) host: Rc<Host>,
    /// When the first byte of the request was received.
    pub(super) began: Tick,
    /// When its head was complete.
    pub(super) head_at: Tick,
    /// When its body was complete, if it has one and it was read.
    pub(super) body_at: Option<Tick>,
    /// The decoded path, with its slash, if it isn't the one that was sent.
    pub(super) path: Option<Box<[u8]>>,
    pub(super) handler: Handler,
    /// The number of the protected realm of the path, in the host's guard.
    pub(super) realm: Option<u16>,
    /// The client's address as a trusted proxy reports it; none if it is the peer's.
    pub(super) forwarded: Option<IpAddr>,
    /// The client used TLS, directly or to a trusted proxy.
    pub(super) secure: bool,
    /// The number of the rules of the path, in the host.
    pub(super) rules: u16,
    /// Field lines for this response alone, behind those of the policy.
    pub(super) lines: Option<Box<[u8]>>,
    /// Another request may follow on the connection.
    pub(super) persistent: bool,
    /// The application may still receive the body, with this limit in bytes: none of it was
    /// read yet.
    pub(super) unread: Option<u64>,
}

/// What answers a request.
#[derive(Clone)]
pub(super) enum Handler {
    /// The host's files.
    Files,
    /// Files of another directory, and the length of the prefix in bytes.
    Tree(Rc<Tree>, usize),
    /// A redirect.
    Redirect(Rc<Redirect>),
    /// Always the same response.
    Fixed(Rc<FixedResponse>),
    /// An application, and the length of its prefix in bytes.
    App(Rc<Application>, usize),
    /// A page for operators.
    Admin(Page),
    /// Another server, and the length of the prefix in bytes.
    Proxy(Rc<Proxy>, usize),
    /// Any server that the request names.
    Forward(Rc<Forward>),
    /// OPTIONS: the server itself lists these methods.
    Options(Methods),
    /// An error; if it is 405, with the allowed methods.
    Refused(Reject, Option<Methods>),
}

impl Facts {
    /// Bytes of memory that the decoded path takes.
    pub(super) fn path_memory(&self) -> usize {
        self.path.as_ref().map_or(0, |path| path.len())
    }

    /// What is added to the response.
    pub(super) fn policy(&self) -> &Policy {
        // A proxy's password says nothing about who may see the response.
        let is_private = self.realm.is_some() && self.host.asker() == Asker::Origin;
        self.host.rules(self.rules).policy(is_private, self.secure)
    }
}

impl<'a> Exchange<'a> {
    /// What the access log and a tap tell of it and of its response, which is ready.
    #[cold]
    pub(super) fn details(&'a self, turn: &Turn<'a, '_>) -> Details<'a> {
        let (head, facts) = (self.head, &self.facts);
        // A path that can't be decoded is below no route.
        let path = facts.path.as_deref().or(head.target.plain.then_some(head.target.path));
        let path = path.filter(|path| path.starts_with(b"/"));
        let length = path.and_then(|path| facts.host.find_route(path));
        let route = path.zip(length).map(|(path, length)| if length == 0 { &b"/"[..] } else { &path[..length] });
        let phases = self.phases(turn.cx.time.now);
        let details = Details::new(head.host(), &head.fields, facts.secure, turn.ends.security(), phases.wait);
        Details { route, cache: turn.cache, upstream: turn.upstream.map(str::as_bytes), phases, ..details }
    }
}

impl Exchange<'_> {
    /// How long its phases took until `now`, when the head of its response is ready.
    pub(super) fn phases(&self, now: Tick) -> Phases {
        let Facts { began, head_at, body_at, .. } = self.facts;
        Phases::new(began, head_at, body_at, now)
    }

    /// The decoded path, with its slash.
    pub(super) fn path(&self) -> &[u8] {
        self.facts.path.as_deref().unwrap_or(self.head.target.path)
    }

    /// The client's address; none on a unix-domain socket.
    pub(super) fn client(&self, ends: Ends<'_>) -> Option<IpAddr> {
        self.facts.forwarded.or_else(|| ends.peer().map(|peer| peer.ip()))
    }

    /// The rules of its path.
    pub(super) fn rules(&self) -> &RuleSet {
        self.facts.host.rules(self.facts.rules)
    }

    /// How the head of its response is written.
    pub(super) fn context<'c>(&'c self, stamp: &'c Stamp, draining: bool) -> HeadContext<'c> {
        let head_only = self.head.method == Method::Head;
        let persistent = self.facts.persistent && !self.is_body_unread() && !draining;
        let policy = self.facts.policy();
        HeadContext {
            traits: RequestTraits { minor: self.head.minor, head_only, persistent },
            stamp,
            policy,
            further: self.facts.lines.as_deref().unwrap_or(&policy.further),
        }
    }

    /// Whether there is a body that isn't read. Then the start of the next request is
    /// unknown.
    fn is_body_unread(&self) -> bool {
        self.facts.unread.is_some() && self.head.framing != Framing::None
    }

    /// The path behind the application's prefix, and the prefix.
    pub(super) fn mount(&self, length: usize) -> (Cow<'_, str>, &[u8]) {
        let (mount, below) = self.path().split_at_checked(length).unwrap_or_default();
        // The application was found by this prefix.
        (String::from_utf8_lossy(mount), below)
    }
}

/// The connection during one call, as the steps of an exchange see it.
pub(super) struct Turn<'t, 'c> {
    pub(super) cx: &'t mut Cx<'c>,
    pub(super) output: &'t mut Output,
    pub(super) ends: Ends<'t>,
    /// Where the response begins in the output.
    pub(super) start: Mark,
    /// The request's number on its connection, from 1.
    pub(super) request: u32,
    /// Whether the file of the response was in the cache, if it is one.
    pub(super) cache: Option<CacheResult>,
    /// The URL of the upstream that answers, if one does.
    pub(super) upstream: Option<&'t str>,
}

impl<'t, 'c> Turn<'t, 'c> {
    /// A turn for request number `request`, whose response begins here.
    pub(super) fn new(output: &'t mut Output, ends: Ends<'t>, request: u32, cx: &'t mut Cx<'c>) -> Self {
        let start = output.mark();
        Self { cx, output, ends, start, request, cache: None, upstream: None }
    }
}
