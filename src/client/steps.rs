//! The steps until a connection is open, as `--trace` and `-v` show them.

use std::net::SocketAddr;
use std::time::Duration;

use crate::certificates::Facts as Certificate;
use crate::certificates::x509::iso_date;
use crate::console::OutputQueue;
use crate::reactor::{Tick, TlsFacts};

/// Seconds with microseconds, the resolution of the loop's clock.
pub(super) fn seconds(span: Duration) -> String {
    format!("{}.{:06} s", span.as_secs(), span.subsec_micros())
}

/// What is shown of the steps, on standard error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Steps {
    /// The time of each.
    pub(super) times: bool,
    /// What TLS has agreed on, and the server's certificate.
    pub(super) facts: bool,
}

impl Steps {
    /// A name was resolved.
    pub(super) fn resolved(self, host: &str, addresses: &[SocketAddr], took: Duration, output: &mut OutputQueue) {
        if self.times {
            let addresses: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
            output.note(format_args!("resolve  {}  {host}: {}", seconds(took), addresses.join(" ")));
        }
    }

    /// The peer accepted a connection that was asked for at `since`.
    pub(super) fn connected(self, peer: Option<SocketAddr>, since: Tick, now: Tick, output: &mut OutputQueue) {
        if self.times {
            let peer = peer.map_or_else(String::new, |peer| peer.to_string());
            output.note(format_args!("connect  {}  {peer}", seconds(now.since(since))));
        }
    }

    /// A handshake that began at `since` is over.
    pub(super) fn secured(self, facts: &TlsFacts, since: Tick, now: Tick, output: &mut OutputQueue) {
        if self.times {
            let resumed = if facts.resumed { ", resumed" } else { "" };
            output.note(format_args!("tls      {}  {}{resumed}", seconds(now.since(since)), facts.version));
        }
        if self.facts {
            show_facts(facts, output);
        }
    }
}

/// Shows what a handshake has agreed on, and the server's certificate.
fn show_facts(facts: &TlsFacts, output: &mut OutputQueue) {
    let alpn = facts.alpn.map_or_else(String::new, |alpn| format!(", ALPN {alpn}"));
    output.note(format_args!("* {}, {}, {}{alpn}", facts.version, facts.cipher_suite, facts.group));
    match facts.certificate.as_deref().map(Certificate::read) {
        Some(Ok(certificate)) => {
            let (from, to) = (certificate.not_before, certificate.not_after);
            output.note(format_args!("* certificate of {}", certificate.subject));
            output.note(format_args!(
                "*   issued by {}, valid from {} to {}",
                certificate.issuer,
                iso_date(from),
                iso_date(to)
            ));
        }
        Some(Err(why)) => output.note(format_args!("* certificate: {why}")),
        None => {}
    }
}
