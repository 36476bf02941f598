//! The handler of a forward proxy: a request names the server that answers it.
//!
//! ```text
//! request ─▶ what it is for ─┬─ a resource ─▶ the origin, by its scheme, host and port ─▶ gateway
//!                            ├─ a tunnel ───▶ is the port allowed? ─▶ the same, without a request
//!                            ├─ moved ──────▶ a redirect within the proxy
//!                            └─ the proxy ──▶ a page that explains it
//! ```
//!
//! An origin is an upstream that is made when it is first asked for. It is kept as long as there is
//! room, because its idle connections are used again and its name need not be looked up each time.
//!
//! Clients must not reach by the proxy what only its machine can reach. So an origin filters its
//! addresses after its name was looked up.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use askama::Template;

use super::exchange::{Exchange, Turn};
use super::gateway::{self, Plan};
use super::respond::{refuse, send};
use super::state::Progress;
use crate::app::Response;
use crate::http::proxying::{Asked, Destination, Server, UpstreamTimeouts, is_public};
use crate::http::{Reject, Status};
use crate::limits;
use crate::reactor::{Tick, TlsConnector};
use crate::service::proxy::{Addresses, Proxy, Upstream};

const NO_HOST: Reject = Reject::new(
    Status::NOT_FOUND,
    "this is a forward proxy: the request names no server; write http://HOST/PATH or /HOST/PATH",
);
const PORT: Reject = Reject::new(Status::FORBIDDEN, "the proxy makes no tunnels to this port");
const NO_TLS: Reject = Reject::new(Status::BAD_GATEWAY, "no certificate can be for this name, or none is trusted");

/// A forward proxy.
pub struct Forward {
    /// Its name in Via. No other server has it.
    pub pseudonym: String,
    /// The ports to which it makes tunnels.
    pub connect_ports: Vec<u16>,
    /// It asks servers at special addresses, too.
    pub allows_private: bool,
    /// How long an origin may take.
    pub timeouts: UpstreamTimeouts,
    /// How TLS is spoken with origins; none if no authority is trusted.
    pub connector: Option<TlsConnector>,
    /// The origins that were asked.
    pub origins: RefCell<Origins>,
}

/// The origins that were asked, each with the time of its last request.
#[derive(Default)]
pub struct Origins(HashMap<Server, (Rc<Proxy>, Tick)>);

#[derive(Template)]
#[template(path = "forward.html", config = "src/askama.toml")]
struct ForwardPage<'a> {
    host: &'a str,
}

/// Responds to a request for a server, or for the proxy itself.
pub(super) fn respond(exchange: &Exchange<'_>, forward: &Forward, turn: &mut Turn<'_, '_>) -> Progress {
    match Asked::of(exchange.head) {
        Asked::Resource(Destination { server, target, is_textbook }) => {
            let Some(proxy) = forward.origin(&server, turn.cx.time.now) else {
                return refuse(exchange, NO_TLS, turn);
            };
            let textbook = is_textbook.then(|| Box::new(server));
            gateway::ask(exchange, Plan { proxy, target, textbook }, turn)
        }
        Asked::Tunnel(server) => {
            if !forward.connect_ports.contains(&server.port) {
                return refuse(exchange, PORT, turn);
            }
            // What is in the tunnel is the client's, TLS as well.
            let Some(proxy) = forward.origin(&server, turn.cx.time.now) else {
                return refuse(exchange, NO_TLS, turn);
            };
            gateway::connect(exchange, &proxy, turn)
        }
        Asked::Moved(path) => {
            let location = String::from_utf8_lossy(&path).into_owned();
            let text = format!("See {location}\n");
            send(exchange, Response::new(Status::TEMPORARY_REDIRECT).field("Location", location).text(text), turn)
        }
        Asked::Proxy => {
            let host = String::from_utf8_lossy(exchange.head.host().unwrap_or(b"localhost"));
            // Rendering into a String fails only if the formatting of a value fails.
            let page = ForwardPage { host: &host }.render().expect("text can be formatted") + "\n";
            send(exchange, Response::new(Status::OK).html(page), turn)
        }
        Asked::NoHost => refuse(exchange, NO_HOST, turn),
    }
}

impl Forward {
    /// The upstream for a server; none if TLS can't be spoken with it.
    fn origin(&self, server: &Server, now: Tick) -> Option<Rc<Proxy>> {
        let mut origins = self.origins.borrow_mut();
        if let Some((proxy, used)) = origins.0.get_mut(server) {
            *used = now;
            return Some(Rc::clone(proxy));
        }
        let tls = match (server.is_https, &self.connector) {
            (false, _) => None,
            (true, connector) => Some(connector.as_ref()?.to(&server.host)?),
        };
        let (scheme, authority) = (if server.is_https { "https" } else { "http" }, server.authority());
        let allows_private = self.allows_private;
        let filter = Rc::new(move |address| allows_private || is_public(address));
        let addresses = Addresses::unknown(&server.host, server.port, filter);
        let upstream = Upstream::new(format!("{scheme}://{authority}"), authority, addresses, tls, self.timeouts);
        let proxy = Rc::new(Proxy {
            upstreams: vec![Rc::new(upstream)],
            pseudonym: self.pseudonym.clone(),
            body_limit: None,
            strip: false,
            own_host: true,
            is_forward: true,
        });
        origins.make_room();
        origins.0.insert(server.clone(), (Rc::clone(&proxy), now));
        Some(proxy)
    }
}

impl Origins {
    /// Forgets a part of the origins if there are too many: those that were asked the longest time
    /// ago. Exchanges keep theirs.
    fn make_room(&mut self) {
        if self.0.len() < limits::ORIGINS {
            return;
        }
        let mut times: Vec<Tick> = self.0.values().map(|(_, used)| *used).collect();
        let at = times.len() / 4;
        let (_, oldest, _) = times.select_nth_unstable(at);
        let oldest = *oldest;
        self.0.retain(|_, (_, used)| *used > oldest);
    }
}
