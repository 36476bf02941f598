//! Makes an [`Exchange`] of a request head: host, path, realm, handler and client are each
//! looked up once.

use std::rc::Rc;

use super::admin::page::Page;
use super::exchange::{Exchange, Facts, Handler, Turn};
use super::host::Host;
use super::hosts::Hosts;
use super::rejects::{FAILED, UNKNOWN_HOST};
use super::routes::RouteHandler;
use super::rules::RuleSet;
use crate::app::{BodyMode, Methods};
use crate::http::head::{Method, RequestHead};
use crate::http::host_names::bare;
use crate::http::target::{self, EncodedSlash, Form, PathError};
use crate::http::{Reject, Status, origin};
use crate::reactor::{Security, Tick, TlsFacts};

/// The methods for files.
pub(super) const FILE_METHODS: Methods = Methods::Only(&[Method::Get, Method::Head]);

/// Resolves a request for one of `hosts` whose first byte was received at `began`.
pub(super) fn resolve<'a>(head: &'a RequestHead<'a>, hosts: &Hosts, began: Tick, turn: &Turn<'_, '_>) -> Exchange<'a> {
    let found = hosts.find(head).filter(|_| !is_misdirected(head, turn));
    let host = found.unwrap_or_else(|| hosts.nobody());
    let mut facts = facts(head, host, began, turn);
    if found.is_none() {
        facts.handler = Handler::Refused(UNKNOWN_HOST, None);
    } else if head.target.form == Form::Asterisk {
        facts.handler = Handler::Options(FILE_METHODS);
    } else if let Some(forward) = &host.forward {
        // Its rules are for all requests, since their paths are those of other servers.
        facts.realm = host.guard.borrow().find(b"/");
        facts.rules = host.find_rules(b"/");
        facts.unread = Some(u64::MAX);
        facts.handler = Handler::Forward(Rc::clone(forward));
    } else if head.target.form == Form::Authority {
        facts.handler = not_allowed(head.method, FILE_METHODS);
    } else if let Err(reject) = resolve_path(head, host, &mut facts) {
        facts.handler = Handler::Refused(reject, None);
    }
    Exchange { head, facts }
}

/// What is known without the path: the times, and who asks in which way.
#[inline(always)]
fn facts(head: &RequestHead<'_>, host: &Rc<Host>, began: Tick, turn: &Turn<'_, '_>) -> Facts {
    // Nothing can make plain text secure where TLS is expected.
    let is_plain_at_tls = matches!(turn.ends.security(), Security::PlainAtTls);
    let mut facts = Facts {
        host: Rc::clone(host),
        began,
        head_at: turn.cx.time.now,
        body_at: None,
        path: None,
        handler: Handler::Files,
        realm: None,
        rules: 0,
        lines: None,
        forwarded: None,
        secure: turn.ends.security().is_tls(),
        persistent: head.persistent && !is_plain_at_tls,
        unread: None,
    };
    if !turn.cx.shared.http.proxies.is_empty() && !is_plain_at_tls {
        ask_proxy(head, &mut facts, turn);
    }
    facts
}

/// Finds what depends on the path.
///
/// # Errors
/// If it can't be decoded.
#[inline(always)]
fn resolve_path(head: &RequestHead<'_>, host: &Host, facts: &mut Facts) -> Result<(), Reject> {
    if !head.target.plain {
        let path = head.target.path;
        let decoded = decode(path, EncodedSlash::Refused);
        facts.path = Some(decoded.or_else(|reject| decode_for_upstream(path, host).ok_or(reject))?);
    }
    let path = facts.path.as_deref().unwrap_or(head.target.path);
    facts.realm = host.guard.borrow().find(path);
    facts.rules = host.find_rules(path);
    let rules = host.rules(facts.rules);
    if rules.rules.cors.is_some() {
        facts.lines = Some(cors_lines(head, rules, facts));
    }
    facts.handler = find_handler(head, path, host, facts.secure);
    if let Handler::Proxy(proxy, _) = &facts.handler {
        facts.unread = Some(proxy.body_limit.unwrap_or(u64::MAX));
    }
    if let Handler::App(app, mount) = &facts.handler {
        match app.body_mode(head.method, &path[*mount..]) {
            Ok(BodyMode::Collect) => {}
            Ok(BodyMode::Stream { limit }) => facts.unread = Some(limit),
            Err(_) => facts.handler = Handler::Refused(FAILED, None),
        }
    }
    Ok(())
}

/// The field lines of the policy, and those that tell pages of other origins what they may do.
#[cold]
fn cors_lines(head: &RequestHead<'_>, rules: &RuleSet, facts: &Facts) -> Box<[u8]> {
    let mut lines = rules.policy(facts.realm.is_some(), facts.secure).further.to_vec();
    if let Some(cors) = &rules.rules.cors {
        cors.write(head, &mut lines);
    }
    lines.into()
}

/// Whether a request over TLS is for a host for which this connection's certificate isn't good.
/// Then it may have come here by mistake (RFC 9110 §7.4), or gets around the rules for the
/// certificates of clients.
#[inline(always)]
fn is_misdirected(head: &RequestHead<'_>, turn: &Turn<'_, '_>) -> bool {
    turn.ends.security().facts().is_some_and(|tls| is_for_another(head, tls, turn))
}

fn is_for_another(head: &RequestHead<'_>, tls: &TlsFacts, turn: &Turn<'_, '_>) -> bool {
    let Some(host) = head.host() else { return false };
    let (asked, name) = (tls.server_name.as_deref(), bare(host));
    if asked.is_some_and(|asked| asked.as_bytes().eq_ignore_ascii_case(name)) {
        return false;
    }
    let Ok(name) = std::str::from_utf8(name) else { return true };
    let certificates = turn.cx.shared.certificates.as_ref();
    certificates.is_some_and(|certificates| !certificates.acceptor_is_for(asked, name))
}

/// Finds out what a trusted proxy reports about the client.
fn ask_proxy(head: &RequestHead<'_>, facts: &mut Facts, turn: &Turn<'_, '_>) {
    let proxies = &turn.cx.shared.http.proxies;
    let peer = turn.ends.peer().map(|peer| peer.ip());
    facts.forwarded = proxies.client(peer, &head.fields);
    facts.secure = proxies.secure(peer, &head.fields).unwrap_or(facts.secure);
}

/// The decoded path if it has encoded slashes that only an upstream sees. Nobody knows whether it takes them for
/// slashes, so the same rules and the same route must be for both readings.
#[cold]
fn decode_for_upstream(path: &[u8], host: &Host) -> Option<Box<[u8]>> {
    let [separated, whole] = [EncodedSlash::Separator, EncodedSlash::Part].map(|slash| decode(path, slash).ok());
    let (separated, whole) = (separated?, whole?);
    let found = |path: &[u8]| {
        let route = host.routes.find(path).map(|(_, mount)| mount);
        (host.guard.borrow().find(path), host.find_rules(path), route)
    };
    let is_passed_on = matches!(host.routes.find(&separated), Some((RouteHandler::Proxy(_), _)));
    (is_passed_on && found(&separated) == found(&whole)).then_some(separated)
}

/// The decoded path, with its slash.
fn decode(path: &[u8], slash: EncodedSlash) -> Result<Box<[u8]>, Reject> {
    let mut decoded = vec![b'/'];
    match target::decode_path_with(path, slash, &mut decoded) {
        Ok(()) => Ok(decoded.into_boxed_slice()),
        Err(PathError::Malformed) => Err(Reject::bad_request("the path contains a malformed escape")),
        Err(PathError::Refused) => {
            Err(Reject::bad_request("the path leads upwards, or has an encoded slash, a backslash or a control byte"))
        }
    }
}

/// The handler of a request for a decoded path.
fn find_handler(head: &RequestHead<'_>, path: &[u8], host: &Host, secure: bool) -> Handler {
    let files = |handler| match FILE_METHODS.allow(head.method) {
        true => handler,
        false => not_allowed(head.method, FILE_METHODS),
    };
    let (app, mount) = match host.routes.find(path) {
        None | Some((RouteHandler::Files, _)) => return files(Handler::Files),
        Some((RouteHandler::Tree(site), mount)) => return files(Handler::Tree(Rc::clone(site), mount)),
        Some((RouteHandler::Proxy(proxy), mount)) => return Handler::Proxy(Rc::clone(proxy), mount),
        Some((RouteHandler::Admin(page), _)) => return admin_page(head, *page, secure),
        Some((RouteHandler::Redirect(redirect), _)) => return Handler::Redirect(Rc::clone(redirect)),
        Some((RouteHandler::Fixed(response), _)) => return Handler::Fixed(Rc::clone(response)),
        Some((RouteHandler::App(app), mount)) => (app, mount),
    };
    let Ok(methods) = app.methods(&path[mount..]) else { return Handler::Refused(FAILED, None) };
    if !methods.allow(head.method) {
        return not_allowed(head.method, methods);
    }
    if !matches!(head.method, Method::Get | Method::Head | Method::Options) {
        match app.reads_session() {
            Ok(true) if origin::is_cross_origin(head, secure) => return OTHER_SITE,
            Ok(_) => {}
            Err(_) => return Handler::Refused(FAILED, None),
        }
    }
    Handler::App(Rc::clone(app), mount)
}

/// The handler of a request for a page for operators. Pages of other sites can't change anything.
fn admin_page(head: &RequestHead<'_>, page: Page, secure: bool) -> Handler {
    match page.methods() {
        methods if !methods.allow(head.method) => not_allowed(head.method, methods),
        _ if head.method == Method::Post && origin::is_cross_origin(head, secure) => OTHER_SITE,
        _ => Handler::Admin(page),
    }
}

/// The response to a request that changes something, and that a page of another site has sent.
const OTHER_SITE: Handler = Handler::Refused(Reject::new(Status::FORBIDDEN, "another site caused this request"), None);

/// The response to a method that isn't served.
fn not_allowed(method: Method, methods: Methods) -> Handler {
    match method {
        Method::Options => Handler::Options(methods),
        Method::Unknown => {
            Handler::Refused(Reject::new(Status::NOT_IMPLEMENTED, "the method is not implemented"), None)
        }
        _ => Handler::Refused(Reject::new(Status::METHOD_NOT_ALLOWED, "the method is not allowed here"), Some(methods)),
    }
}
