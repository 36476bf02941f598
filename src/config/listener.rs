//! The listeners: endpoints, protocol and timeouts.

use std::path::PathBuf;
use std::time::Duration;

use super::values;
use crate::certificates::PemFiles;
use crate::limits;
use crate::reactor::{Endpoint, SendLimit};

/// The default port of `miod serve`: the usual one for HTTP without privileges.
pub(super) const HTTP_PORT: u16 = 8080;
/// The default port of the key-value service.
pub(super) const KV_PORT: u16 = 5100;
/// The default port of `miod proxy`.
pub(super) const PROXY_PORT: u16 = 8888;
/// The default port of `miod echo`.
pub(super) const ECHO_PORT: u16 = 5555;
/// The default port of `miod upper` and `miod udp`.
pub const UPPER_PORT: u16 = 12_000;
/// The default port of `miod heartbeat`.
pub const HEARTBEAT_PORT: u16 = 12_001;

/// The default ports of a mailbox: of SMTP, of SMTP over TLS from its beginning, and of its page.
pub(super) const SMTP_PORT: u16 = 2525;
pub(super) const SMTPS_PORT: u16 = 2465;
pub(super) const MAILBOX_PORT: u16 = 8025;

/// The default port of the service for operators.
pub(super) const ADMIN_PORT: u16 = 9180;
/// The default port of HTTPS beside plain HTTP: the usual one without privileges.
pub(super) const HTTPS_PORT: u16 = 8443;

/// TLS on a listener's connections.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tls {
    /// The files with certificate and key. A client gets the first that is for the name that it
    /// asks for, or else the first.
    pub certificates: Vec<PemFiles>,
    /// There are no files: an authority of this user makes a certificate.
    pub auto: bool,
    /// TLS 1.2 is refused.
    pub only_tls13: bool,
    /// The file of the authorities that must have signed clients' certificates.
    pub client_ca: Option<PathBuf>,
    /// The file for the secrets of connections.
    pub key_log: Option<PathBuf>,
}

/// The protocol on a listener's connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// HTTP, for the listener's hosts.
    #[default]
    Http,
    /// Each byte is sent back.
    Echo,
    /// The input is sent back in upper case.
    Upper,
    /// HTTP, for those who operate the server.
    Admin,
    /// Mail is received; with certificates TLS may begin by STARTTLS.
    Smtp,
    /// Mail is received, over TLS.
    Smtps,
}

/// Endpoints with the same protocol and hosts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// Addresses, names and `unix:PATH`, as written. Empty: loopback, IPv4 and IPv6 (if the
    /// machine has it).
    pub bind: Vec<String>,
    /// The port of addresses without one. Addresses with port 0 share one free port.
    pub port: u16,
    /// The operator has chosen the port.
    pub port_is_chosen: bool,
    /// The protocol on the connections.
    pub protocol: Protocol,
    /// The protocol is spoken over TLS, or TLS may begin in it.
    pub tls: Option<Tls>,
    /// The numbers of its hosts in [`Config::hosts`](super::Config::hosts).
    pub hosts: Vec<usize>,
    /// Other processes may listen at the same addresses.
    pub reuse_port: bool,
    /// Requests for hosts that aren't named get 421, whatever the default host is.
    pub strict_hosts: bool,
    /// The limit from accept, or from the first byte of a request, to the end of the head.
    pub header_timeout: Duration,
    /// The limit between two requests.
    pub idle_timeout: Duration,
    /// The limit without progress of a request's body.
    pub body_timeout: Duration,
    /// The limit without progress of a response.
    pub send_timeout: Duration,
    /// How fast a connection is sent bytes at most; `None`: as fast as it takes them.
    pub limit_rate: Option<SendLimit>,
    /// Most connections from one address; `None`: no limit.
    pub max_per_address: Option<u32>,
    /// How long the line services (echo and upper) hold each byte back.
    pub delay: Duration,
    /// The seed of the line services' simulated bad network; `None`: a good network.
    pub chaos: Option<u64>,
}

impl Listener {
    /// A listener with this default port.
    pub fn at(port: u16) -> Self {
        Self { port, ..Self::default() }
    }

    /// A listener for HTTPS beside this one for plain HTTP: at `bind`, or at the addresses of
    /// that one. If that one is at a free port, so is this one.
    pub(super) fn https_beside(&self, bind: Vec<String>, tls: Tls) -> Self {
        let bind =
            if bind.is_empty() { self.bind.iter().filter_map(|bind| values::host_of(bind)).collect() } else { bind };
        let port = if self.port == 0 { 0 } else { HTTPS_PORT };
        Self { bind, port, tls: Some(tls), ..self.clone() }
    }

    /// The listener for operators beside this one, at `bind`. Nobody else can have its address.
    pub(crate) fn admin_beside(&self, bind: Vec<String>) -> Self {
        let (protocol, tls, hosts) = (Protocol::Admin, None, Vec::new());
        let (port, port_is_chosen, reuse_port) = (ADMIN_PORT, false, false);
        Self { bind, port, port_is_chosen, protocol, tls, hosts, reuse_port, ..self.clone() }
    }

    /// A listener beside this one: at `bind`, or at loopback. If this one is at a free port, so is that.
    pub(super) fn beside(&self, bind: Vec<String>, port: u16, protocol: Protocol, tls: Option<Tls>) -> Self {
        let port = if self.port == 0 { 0 } else { port };
        Self { bind, port, protocol, tls, ..self.clone() }
    }

    /// Whether a connection begins with TLS.
    pub fn speaks_tls(&self) -> bool {
        self.tls.is_some() && self.protocol != Protocol::Smtp
    }

    /// Whether the operator has chosen where to listen. Sockets from a service manager take the
    /// place of the defaults, but not of what is chosen.
    pub fn is_chosen(&self) -> bool {
        self.port_is_chosen || !self.bind.is_empty()
    }

    /// The endpoints to listen at, each once. Names are resolved, which blocks.
    ///
    /// # Errors
    /// If one is malformed or can't be resolved.
    pub fn endpoints(&self) -> Result<Vec<Endpoint>, String> {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for bind in &self.bind {
            for endpoint in values::endpoints(bind, self.port).map_err(|hint| format!("{bind}: {hint}"))? {
                if !endpoints.contains(&endpoint) {
                    endpoints.push(endpoint);
                }
            }
        }
        Ok(endpoints)
    }
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            bind: Vec::new(),
            port: HTTP_PORT,
            port_is_chosen: false,
            protocol: Protocol::Http,
            tls: None,
            hosts: Vec::new(),
            reuse_port: false,
            strict_hosts: false,
            header_timeout: limits::HEADER_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            body_timeout: limits::BODY_TIMEOUT,
            send_timeout: limits::SEND_TIMEOUT,
            limit_rate: None,
            max_per_address: None,
            delay: Duration::ZERO,
            chaos: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_gets_the_listeners_port_and_is_listed_once() {
        let bind = ["127.0.0.1", "127.0.0.1:81", "127.0.0.1:80", "unix:/s"].map(str::to_owned).to_vec();
        let endpoints = Listener { bind, port: 80, ..Listener::default() }.endpoints().unwrap();
        let shown: Vec<_> = endpoints.iter().map(Endpoint::to_string).collect();
        assert_eq!(shown, ["127.0.0.1:80", "127.0.0.1:81", "unix:/s"]);
    }
}
