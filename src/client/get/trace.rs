//! The trace of a fetch: a line with the time of each step, and at the end a summary.

use std::net::SocketAddr;
use std::time::Duration;

use crate::console::OutputQueue;
use crate::http::Status;
use crate::reactor::{Tick, TlsFacts};

/// Seconds with microseconds, the resolution of the loop's clock.
fn seconds(span: Duration) -> String {
    format!("{}.{:06} s", span.as_secs(), span.subsec_micros())
}

/// The statistics, and whether they are printed.
#[derive(Debug)]
pub(super) struct Trace {
    wanted: bool,
    count: u32,
    bytes: u64,
    least: Duration,
    most: Duration,
    sum: Duration,
}

/// The times of one request, from its sending to the last byte of its response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) sent: Tick,
    pub(super) first: Tick,
    pub(super) last: Tick,
}

impl Trace {
    pub(super) fn new(wanted: bool) -> Self {
        Self { wanted, count: 0, bytes: 0, least: Duration::MAX, most: Duration::ZERO, sum: Duration::ZERO }
    }

    pub(super) fn resolved(&self, host: &str, addresses: &[SocketAddr], took: Duration, output: &mut OutputQueue) {
        if self.wanted {
            let addresses: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
            output.note(format_args!("resolve  {}  {host}: {}", seconds(took), addresses.join(" ")));
        }
    }

    pub(super) fn connected(&self, peer: Option<SocketAddr>, took: Duration, output: &mut OutputQueue) {
        if self.wanted {
            let peer = peer.map_or_else(String::new, |peer| peer.to_string());
            output.note(format_args!("connect  {}  {peer}", seconds(took)));
        }
    }

    pub(super) fn secured(&self, facts: &TlsFacts, took: Duration, output: &mut OutputQueue) {
        if self.wanted {
            let resumed = if facts.resumed { ", resumed" } else { "" };
            output.note(format_args!("tls      {}  {}{resumed}", seconds(took), facts.version));
        }
    }

    pub(super) fn answered(&mut self, times: Times, status: Status, bytes: u64, output: &mut OutputQueue) {
        let whole = times.last.since(times.sent);
        self.count += 1;
        self.bytes += bytes;
        self.least = self.least.min(whole);
        self.most = self.most.max(whole);
        self.sum += whole;
        if self.wanted {
            output.note(format_args!(
                "request {}: first byte {}, last byte {}, status {}, {bytes} bytes",
                self.count,
                seconds(times.first.since(times.sent)),
                seconds(whole),
                status.0
            ));
        }
    }

    /// Prints the last line, if there was more than one request.
    pub(super) fn summary(&self, output: &mut OutputQueue) {
        if self.wanted && self.count > 1 {
            output.note(format_args!(
                "{} requests, {} bytes; last byte min/avg/max {}/{}/{}",
                self.count,
                self.bytes,
                seconds(self.least).trim_end_matches(" s"),
                seconds(self.sum / self.count).trim_end_matches(" s"),
                seconds(self.most)
            ));
        }
    }
}
