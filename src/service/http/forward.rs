//! The handler of a forward proxy: a request names the server that answers it.
//!
//! ```text
//! request ─▶ what it is for ─┬─ a resource ─▶ the origin, by its scheme, host and port ─▶ gateway
//!                            ├─ a tunnel ───▶ is the port allowed? ─▶ the same, without a request
//!                            ├─ moved ──────▶ a redirect within the proxy
//!                            └─ the proxy ──▶ a page that explains it
//! ```

use askama::Template;

use super::asking::{Plan, Resource, Wanted};
use super::exchange::{Exchange, Turn};
use super::gateway;
use super::respond::{refuse, send};
use super::state::Progress;
use crate::app::Response;
use crate::http::framing::Framing;
use crate::http::proxying::{Asked, Destination};
use crate::http::target::Form;
use crate::http::{Reject, Status, origin};
use crate::service::proxy::Forward;

const NO_HOST: Reject = Reject::new(
    Status::NOT_FOUND,
    "this is a forward proxy: the request names no server; write http://HOST/PATH or /HOST/PATH",
);
const PORT: Reject = Reject::new(Status::FORBIDDEN, "the proxy makes no tunnels to this port");
/// Where the content ends and the tunnel begins, servers could see differently (RFC 9110 §9.3.6).
const CONTENT: Reject = Reject::bad_request("the request for a tunnel has content");
/// A page of another site can have the name of that site lead here (DNS rebinding). It would read
/// what only this machine can reach.
const OTHER_NAME: Reject = Reject::new(
    Status::MISDIRECTED_REQUEST,
    "the proxy asks private addresses, so it has to be called localhost, or by its address",
);
const NO_TLS: Reject = Reject::new(Status::BAD_GATEWAY, "no certificate can be for this name, or none is trusted");

#[derive(Template)]
#[template(path = "forward.html", config = "src/askama.toml")]
struct ForwardPage<'a> {
    host: &'a str,
}

/// Responds to a request for a server, or for the proxy itself.
pub(super) fn respond(exchange: &Exchange<'_>, forward: &Forward, turn: &mut Turn<'_, '_>) -> Progress {
    let head = exchange.head;
    let is_local = || head.host().is_none_or(|host| origin::is_local_name(host, |_| true));
    if forward.allows_private && head.target.form == Form::Origin && !is_local() {
        return refuse(exchange, OTHER_NAME, turn);
    }
    match Asked::of(head) {
        Asked::Resource(Destination { server, target, is_textbook }) => {
            let Some(proxy) = forward.origin(&server, turn.cx.time.now) else {
                return refuse(exchange, NO_TLS, turn);
            };
            let textbook = is_textbook.then(|| Box::new(server));
            let wanted = Wanted::Response(target.map_or(Resource::Asked, Resource::Named));
            gateway::ask(exchange, Plan { proxy, wanted, textbook, fetch: None }, turn)
        }
        Asked::Tunnel(server) => {
            if exchange.head.framing != Framing::None {
                return refuse(exchange, CONTENT, turn);
            }
            if !forward.connect_ports.contains(&server.port) {
                return refuse(exchange, PORT, turn);
            }
            // What is in the tunnel is the client's, TLS as well.
            let Some(proxy) = forward.origin(&server, turn.cx.time.now) else {
                return refuse(exchange, NO_TLS, turn);
            };
            gateway::ask(exchange, Plan { proxy, wanted: Wanted::Tunnel, textbook: None, fetch: None }, turn)
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
