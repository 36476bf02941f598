//! The listening sockets of a running server, and which of them a configuration needs.
//!
//! A socket is known by the endpoint that was asked for: with port 0 the system has chosen
//! another one. A socket that a new configuration asks for, too, is kept, so no connection that
//! waits at it is lost; what it is for may change.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::ServerError;
use super::listening::listen;
use crate::config::{self, Config, Protocol};
use crate::reactor::{Endpoint, Listener};
use crate::service::{Kind, http};

/// What a listener is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// The main listener.
    Main,
    /// The one for HTTPS beside it.
    Https,
    /// The one of the key-value service beside it.
    Kv,
    /// The one of the service for operators.
    Admin,
    /// The one at which mail is received.
    Mail,
    /// The one at which it is received over TLS.
    MailOverTls,
}

impl Role {
    /// The role of a listener, by its number in the configuration.
    pub(super) fn of(config: &Config, number: usize) -> Self {
        match (number, &config.listeners[number]) {
            (_, listener) if listener.protocol == Protocol::Admin => Self::Admin,
            (_, listener) if listener.protocol == Protocol::Smtp => Self::Mail,
            (_, listener) if listener.protocol == Protocol::Smtps => Self::MailOverTls,
            (0, _) => Self::Main,
            (_, listener) if listener.tls.is_some() => Self::Https,
            _ => Self::Kv,
        }
    }

    /// What the connections of a listener in this role are for.
    pub(super) fn kind(self, listener: &config::Listener) -> Kind {
        match listener.protocol {
            _ if self == Self::Admin => Kind::Http(http::HostsId::Admin),
            _ if self.greets() => Kind::Mail,
            Protocol::Http if self == Self::Kv => Kind::Http(http::HostsId::Kv),
            Protocol::Http | Protocol::Admin => Kind::Http(http::HostsId::Web),
            Protocol::Echo => Kind::Echo,
            Protocol::Upper => Kind::Upper,
            Protocol::Smtp | Protocol::Smtps => Kind::Mail,
        }
    }

    /// Whether the server speaks first.
    fn greets(self) -> bool {
        matches!(self, Self::Mail | Self::MailOverTls)
    }
}

/// A socket that a configuration asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    pub(super) role: Role,
    /// With port 0 for a free port.
    pub(super) endpoint: Endpoint,
    /// Connections to it speak TLS.
    pub(super) tls: bool,
}

impl Wanted {
    /// Whether it is what is asked for in this role at this endpoint. At an endpoint with a port
    /// the role may change; free ports are different ones.
    pub(super) fn is_same(&self, role: Role, endpoint: &Endpoint) -> bool {
        let is_free = matches!(endpoint, Endpoint::Tcp(address) if address.port() == 0);
        self.endpoint == *endpoint && (self.role == role || !is_free)
    }
}

/// An open socket.
pub(super) struct Open {
    pub(super) wanted: Wanted,
    pub(super) socket: Listener,
}

/// The endpoints of a listener: those that are configured, or else loopback.
pub(super) fn or_loopback(endpoints: &[Endpoint], port: u16) -> Vec<Endpoint> {
    if !endpoints.is_empty() {
        return endpoints.to_vec();
    }
    [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
        .map(|address| Endpoint::Tcp(SocketAddr::new(address, port)))
        .to_vec()
}

/// Opens the sockets of a listener at these endpoints. Without endpoints: loopback, IPv4 and
/// IPv6, if there is one.
///
/// # Errors
/// Each that can't be opened.
pub(super) fn open(listener: &config::Listener, role: Role, endpoints: &[Endpoint]) -> Result<Vec<Open>, ServerError> {
    let asked = or_loopback(endpoints, listener.port);
    let bind = match (role.greets(), listener.reuse_port) {
        (true, _) => Listener::bind_greeting,
        (false, true) => Listener::bind_shared,
        (false, false) => Listener::bind,
    };
    let sockets = listen(endpoints, listener.port, bind).map_err(ServerError::Several)?;
    let opened = sockets.into_iter().map(|socket| {
        let endpoint = asked.iter().find(|asked| is_for(asked, &socket.endpoint())).unwrap_or(&asked[0]).clone();
        Open { wanted: Wanted { role, endpoint, tls: listener.speaks_tls() }, socket }
    });
    Ok(opened.collect())
}

/// Whether an endpoint is what was asked for.
fn is_for(asked: &Endpoint, endpoint: &Endpoint) -> bool {
    match (asked, endpoint) {
        (Endpoint::Tcp(asked), Endpoint::Tcp(found)) => {
            asked.ip() == found.ip() && (asked.port() == found.port() || asked.port() == 0)
        }
        (asked, found) => asked == found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_known_by_the_endpoint_that_was_asked_for() {
        let at = |text: &str| Endpoint::Tcp(text.parse().unwrap());
        for (asked, found, expected) in [
            (at("127.0.0.1:0"), at("127.0.0.1:4711"), true),
            (at("127.0.0.1:80"), at("127.0.0.1:80"), true),
            (at("127.0.0.1:80"), at("127.0.0.1:81"), false),
            (at("127.0.0.1:0"), at("[::1]:4711"), false),
            (Endpoint::Unix("/a".into()), Endpoint::Unix("/a".into()), true),
            (Endpoint::Unix("/a".into()), at("127.0.0.1:80"), false),
        ] {
            assert_eq!(is_for(&asked, &found), expected, "{asked} {found}");
        }
        let free = Wanted { role: Role::Main, endpoint: at("127.0.0.1:0"), tls: false };
        assert!(free.is_same(Role::Main, &at("127.0.0.1:0")) && !free.is_same(Role::Https, &at("127.0.0.1:0")));
        let one = Wanted { endpoint: at("127.0.0.1:80"), ..free };
        assert!(one.is_same(Role::Https, &at("127.0.0.1:80")) && !one.is_same(Role::Main, &at("127.0.0.1:0")));
        let opened = open(&config::Listener::at(0), Role::Main, &[at("127.0.0.1:0")]).unwrap();
        assert_eq!(opened[0].wanted, Wanted { role: Role::Main, endpoint: at("127.0.0.1:0"), tls: false });
    }
}
